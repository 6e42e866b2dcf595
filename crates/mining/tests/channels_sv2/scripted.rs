//! Differences that want a scene of their own.

use std::time::Duration;

use bitcoin::Target;
use headframe_mining::server::Sv2Rules;
use headframe_sv2_wire::U256;
use headframe_testkit::{Chance, MinerJob, address};
use headframe_work::{Rung, Target as OurTarget};

use crate::differences::{Known, LIST};
use crate::ours::EASIEST;
use crate::theirs::{self, CLOSE, SHARES_REMEMBERED, Settings};
use crate::{Flaw, Pair, Proof, Verdict, Wanted, block};

const GOOD: Wanted = Wanted {
    proof: Proof::Share,
    flaw: Flaw::None,
};

/// The job of the first channel that was the `index`th.
fn job(pair: &Pair, index: usize) -> (u32, MinerJob) {
    let id = pair.ours.miner.opened[0];
    (id, pair.ours.miner.channels[&id].jobs[index].clone())
}

/// What ours and theirs say of a share of that job.
fn judge(pair: &mut Pair, index: usize, wanted: Wanted) -> [Verdict; 2] {
    let (id, job) = job(pair, index);
    let sent = pair.find(id, true, wanted, &job);
    let ours = pair.ours.submit(id, true, &sent.ours);
    let theirs = pair.theirs.submit(id, true, &sent.theirs);
    [ours, theirs]
}

/// What the list says of a difference is what was seen.
fn is_listed(known: Known, codes: &[&str]) {
    let row = LIST.iter().find(|row| row.known == known);
    let row = row.expect("it is on the list");
    for code in codes {
        let is_said = [row.ours, row.theirs].concat().contains(code);
        assert!(is_said, "{code} is not in {row:?}");
    }
}

#[test]
fn more_jobs_of_the_tip_are_kept_here() {
    let mut pair = Pair::new(1);
    for _ in 0..17 {
        pair.ours.new_template(false, false);
    }
    pair.mirror();
    let unknown = Verdict::rejected("invalid-job-id");
    let both = judge(&mut pair, 1, GOOD);
    assert_eq!(both, [Verdict::accepted(), Verdict::accepted()]);
    let both = judge(&mut pair, 0, GOOD);
    assert_eq!(both, [Verdict::accepted(), unknown.clone()]);
    // Of old ones it is one less.
    pair.ours.wait(Duration::from_secs(600));
    pair.ours.new_template(false, false);
    pair.mirror();
    let both = judge(&mut pair, 3, GOOD);
    assert_eq!(both, [Verdict::accepted(), Verdict::accepted()]);
    let both = judge(&mut pair, 2, GOOD);
    assert_eq!(both, [unknown, Verdict::accepted()]);
    is_listed(Known::JobsKept, &["invalid-job-id"]);
}

/// Theirs ends the channel when its memory is used up; ours is larger, and gives the miner another job
/// then (`crates/mining/tests/server/shares.rs::a_full_job_is_replaced`).
#[test]
fn a_full_memory_of_shares_ends_no_channel_here() {
    let mut pair = Pair::new(2);
    for _ in 0..SHARES_REMEMBERED {
        let both = judge(&mut pair, 0, GOOD);
        assert_eq!(both, [Verdict::accepted(), Verdict::accepted()]);
    }
    let both = judge(&mut pair, 0, GOOD);
    assert_eq!(both, [Verdict::accepted(), Verdict::rejected(CLOSE)]);
    is_listed(Known::SharesKept, &["has to be closed"]);
}

#[test]
fn a_number_names_one_job_here() {
    let settings = Settings {
        passed_over: 0,
        ..Settings::default()
    };
    let mut pair = Pair::with(3, Sv2Rules::default(), settings);
    pair.ours.open(true, 1);
    pair.ours.open(true, 1);
    pair.ours.new_template(false, false);
    pair.mirror();
    let (id, first) = job(&pair, 0);
    let (_, second) = job(&pair, 1);
    assert_ne!(first.id, second.id);
    let number = |job: &MinerJob| pair.theirs.job(id, job.id).id;
    assert_eq!(number(&first), number(&second));
    let verdicts: Vec<_> = (0..8).map(|_| judge(&mut pair, 0, GOOD)).collect();
    let accepted = |verdict: &Verdict| *verdict == Verdict::accepted();
    assert!(verdicts.iter().all(|[ours, _]| accepted(ours)));
    assert!(!verdicts.iter().all(|[_, theirs]| accepted(theirs)));
    is_listed(Known::JobNumbers, &["twice"]);
}

#[test]
fn a_rolled_version_is_work_here() {
    let rules = Sv2Rules {
        fixed_version: true,
        ..Sv2Rules::default()
    };
    let settings = Settings {
        is_rolling_allowed: false,
        ..Settings::default()
    };
    let mut pair = Pair::with(4, rules, settings);
    let rolled = Wanted {
        flaw: Flaw::Version(1 << 20),
        ..GOOD
    };
    let refused = Verdict::rejected("version-rolling-not-allowed");
    assert_eq!(judge(&mut pair, 0, rolled), [Verdict::accepted(), refused]);
    is_listed(Known::FixedVersion, &["version-rolling-not-allowed"]);
}

#[test]
fn a_block_earns_no_more_than_it_proves_here() {
    let mut pair = Pair::new(7);
    let (user, mut harder) = (address(1).to_string(), [0xff; 32]);
    harder[30..].fill(0);
    let miner = &mut pair.ours.miner;
    miner.open_extended(&user, 0.0, U256::from_le_bytes(harder), 2);
    pair.ours.pump();
    pair.mirror();
    let id = pair.ours.miner.opened[1];
    let job = pair.ours.miner.channels[&id].job().clone();
    assert!(job.target < job.network_target());
    let found = Wanted {
        proof: Proof::Block,
        ..GOOD
    };
    let sent = pair.find(id, true, found, &job);
    for nonce in [&sent.ours, &sent.theirs] {
        assert!(!job.target.is_met_by(nonce.hash()));
    }
    let ours = pair.ours.submit(id, true, &sent.ours);
    assert_eq!(ours, block("difficulty-too-low"));
    let theirs = pair.theirs.submit(id, true, &sent.theirs);
    assert_eq!((theirs.code, theirs.is_block), (None, true));
    is_listed(Known::BlockBelowTarget, &["difficulty-too-low"]);
}

/// The target of a channel of ours that is opened with a hash rate.
fn granted(hash_rate: f32, max_target: U256) -> Result<Target, String> {
    let mut pair = Pair::new(5);
    let user = address(1).to_string();
    let miner = &mut pair.ours.miner;
    miner.open_standard(&user, hash_rate, max_target);
    pair.ours.pump();
    let miner = &pair.ours.miner;
    match miner.refused.last() {
        Some((_, code)) => Err(code.clone()),
        None => Ok(miner.channels[&miner.opened[1]].target),
    }
}

#[test]
fn targets_are_powers_of_two_here() {
    let mut chance = Chance::new(6);
    for _ in 0..20 {
        let rate = 1.0 + chance.below(50) as f32;
        let ours = granted(rate, U256::MAX).expect("a channel");
        let theirs = theirs::granted(rate, theirs::any_target()).expect("a channel");
        let on_ladder = |target: Target| {
            let target = OurTarget::from_le_bytes(target.to_le_bytes());
            Rung::within(target).map(Rung::target) == Some(target)
        };
        assert!(on_ladder(ours) && !on_ladder(theirs), "{rate}");
    }
    is_listed(Known::Ladder, &["power of two"]);
}

#[test]
fn a_channel_without_a_rate_begins_with_the_operator_s_target_here() {
    let ours = granted(0.0, U256::MAX).expect("a channel");
    let theirs = theirs::granted(0.0, theirs::any_target()).expect("a channel");
    assert_eq!(ours, Target::from(Rung::from_exponent(EASIEST).target()));
    assert!(theirs > ours);
    is_listed(Known::NoRate, &["difficulty.start"]);
}

#[test]
fn a_target_that_nobody_meets_is_refused_here() {
    let mut harder = [0; 32];
    harder[0] = 1;
    let refused = granted(1.0, U256::from_le_bytes(harder));
    assert_eq!(refused, Err("max-target-out-of-range".to_owned()));
    let theirs = theirs::granted(1.0, Target::from_le_bytes(harder));
    assert_eq!(theirs, Some(Target::from_le_bytes(harder)));
    // Both refuse a target that nothing meets.
    let zero = granted(1.0, U256::from_le_bytes([0; 32]));
    assert_eq!(zero, refused);
    assert_eq!(theirs::granted(1.0, Target::ZERO), None);
    is_listed(Known::HardestTarget, &["max-target-out-of-range"]);
}
