//! Verdicts on shares, on the wire of both protocols.

use std::time::Duration;

use headframe_channels::RejectReason;
use headframe_mining::server::SessionEvent;
use headframe_testkit::{Chance, Nonce, Pool, PoolSettings, fixed_difficulty};
use headframe_work::Rung;

use crate::{MILLISECOND, open, pool, share, with_channel, with_sv1};

/// MP-73, MP-74, MP-8: every share that a miner finds by its own arithmetic is accepted, on every
/// kind of channel, over refreshes and tips, with rolled version bits and extranonces.
#[test]
fn what_a_miner_finds_is_accepted() {
    let mut pool = pool();
    let (link, first) = with_channel(&mut pool, true, 1);
    let channels = [
        first,
        open(&mut pool, link, false, 2),
        open(&mut pool, link, true, 3),
    ];
    let (sv1, user) = with_sv1(&mut pool, 4);
    let mut sequences = Vec::new();
    let mut ids = Vec::new();
    for round in 0..30 {
        for channel in channels {
            let nonce = share(&pool, link, channel, round * 10 + u64::from(channel));
            sequences.push(pool.sv2[link].miner.submit(channel, &nonce));
        }
        let job = pool.sv1[sv1].miner.job();
        let nonce = job.mine(&mut Chance::new(round), job.target);
        ids.push(pool.sv1[sv1].miner.submit(&user, &nonce));
        // As often as the pool wants them: it would make them harder else.
        pool.advance(Duration::from_secs(5));
        match round % 5 {
            0 => pool.new_tip(),
            1 => pool.new_template(),
            2 => pool.refresh(),
            _ => {}
        }
    }
    let miner = &pool.sv2[link].miner;
    assert_eq!(miner.rejected, []);
    let accepted: u32 = miner
        .acknowledged
        .iter()
        .map(|(_, _, count, _)| count)
        .sum();
    assert_eq!(accepted as usize, sequences.len());
    assert!(ids.iter().all(|id| pool.sv1[sv1].miner.is_granted(id)));
}

/// The ways in which a share can be wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    Again,
    LowDifficulty,
    UnknownJob,
    NonRollableVersion,
    TooOld,
    AtMinTime,
    TooNew,
    AtMaxTime,
    Stale,
    ShortExtranonce,
}

fn submit_both(wrong: Wrong, seed: u64) -> (Option<String>, Option<i64>) {
    let mut pool = Pool::new(&PoolSettings {
        seed,
        ..PoolSettings::default()
    });
    let (sv2, channel) = with_channel(&mut pool, true, 1);
    let (sv1, user) = with_sv1(&mut pool, 1);
    pool.advance(Duration::from_secs(10));
    let (sv2_job, sv1_job) = (
        pool.sv2[sv2].miner.channels[&channel].job().clone(),
        pool.sv1[sv1].miner.job().clone(),
    );
    // SV1 names no earliest time: its miners may go back to what consensus allows.
    let earliest = pool.work().earliest.as_secs();
    let latest = sv2_job.time + 10 + 7_200 - 60;
    let mut finds = [sv2_job, sv1_job];
    match wrong {
        Wrong::TooOld => (finds[0].time, finds[1].time) = (finds[0].time - 1, earliest - 1),
        Wrong::AtMinTime => finds[1].time = earliest,
        Wrong::TooNew => finds.iter_mut().for_each(|job| job.time = latest + 1),
        Wrong::AtMaxTime => finds.iter_mut().for_each(|job| job.time = latest),
        Wrong::NonRollableVersion => finds.iter_mut().for_each(|job| job.version ^= 1),
        _ => {}
    }
    let [mut first, mut second] = finds.map(|job| {
        let (target, network) = (job.target, job.network_target());
        let low = wrong == Wrong::LowDifficulty;
        job.mine_where(&mut Chance::new(seed), |hash| {
            target.is_met_by(hash) != low && !network.is_met_by(hash)
        })
    });
    match wrong {
        Wrong::UnknownJob => [&mut first, &mut second].map(|nonce| nonce.job_id ^= 0x40),
        Wrong::ShortExtranonce => [&mut first, &mut second].map(|nonce| {
            nonce.extranonce.pop();
        }),
        Wrong::Stale => {
            // The miner's own books forget jobs that were voided; what is submitted does not.
            let version = pool.sv1[sv1].miner.jobs.clone();
            pool.new_tip();
            pool.sv1[sv1].miner.jobs.extend(version);
            [(), ()]
        }
        _ => [(), ()],
    };
    let submit = |pool: &mut Pool, first: &Nonce, second: &Nonce| {
        let sequence = pool.sv2[sv2].miner.submit(channel, first);
        let id = pool.sv1[sv1].miner.submit(&user, second);
        pool.advance(200 * MILLISECOND);
        (sequence, id)
    };
    let (mut sequence, mut id) = submit(&mut pool, &first, &second);
    if wrong == Wrong::Again {
        (sequence, id) = submit(&mut pool, &first, &second);
    }
    let code = pool.sv2[sv2].miner.rejection(sequence).map(str::to_owned);
    let refusal = pool.sv1[sv1].miner.refusal(&id);
    assert_eq!(
        code.is_none(),
        pool.sv1[sv1].miner.is_granted(&id),
        "{wrong:?}"
    );
    (code, refusal)
}

/// MP-63, MP-66, MP-69, MP-70, MP-72, MP-74, MP-76, MP-77, R-16, R-17: the same share path for both
/// protocols: what one calls wrong the other does too, each under its own name.
#[test]
fn both_protocols_reject_the_same_shares() {
    for (wrong, code, number) in [
        (Wrong::Nothing, None, None),
        (Wrong::AtMinTime, None, None),
        (Wrong::AtMaxTime, None, None),
        (Wrong::Again, Some("duplicate-share"), Some(22)),
        (Wrong::LowDifficulty, Some("difficulty-too-low"), Some(23)),
        (Wrong::UnknownJob, Some("invalid-job-id"), Some(21)),
        (
            Wrong::NonRollableVersion,
            Some("invalid-non-rollable-version-bit"),
            Some(20),
        ),
        (Wrong::TooOld, Some("invalid-share"), Some(20)),
        (Wrong::TooNew, Some("invalid-share"), Some(20)),
        (Wrong::Stale, Some("stale-share"), Some(21)),
        (
            Wrong::ShortExtranonce,
            Some("bad-extranonce-size"),
            Some(20),
        ),
    ] {
        let answers = submit_both(wrong, 7);
        // An SV1 miner submits rolled bits alone, so that a bit outside the mask does not reach the
        // pool but makes another hash of it.
        let number = match wrong {
            Wrong::NonRollableVersion => Some(23),
            _ => number,
        };
        assert_eq!(answers, (code.map(str::to_owned), number), "{wrong:?}");
    }
}

/// R-17, MP-70: SV2 lets 24 version bits roll, SV1 sixteen of them.
#[test]
fn stratum_v2_lets_more_version_bits_roll() {
    let mut pool = pool();
    let (link, channel) = with_channel(&mut pool, false, 1);
    let mut job = pool.sv2[link].miner.channels[&channel].job().clone();
    job.version ^= 0x1fff_ffe0;
    let network = job.network_target();
    let target = job.target;
    let nonce = job.mine_where(&mut Chance::new(1), |hash| {
        target.is_met_by(hash) && !network.is_met_by(hash)
    });
    let sequence = pool.sv2[link].miner.submit(channel, &nonce);
    pool.advance(200 * MILLISECOND);
    assert_eq!(pool.sv2[link].miner.rejection(sequence), None);
}

/// MP-71: the message must be the one for the channel's kind.
#[test]
fn a_share_in_the_wrong_message_is_refused() {
    let mut pool = pool();
    let (link, extended) = with_channel(&mut pool, true, 1);
    let standard = open(&mut pool, link, false, 1);
    let nonces = [
        share(&pool, link, extended, 1),
        share(&pool, link, standard, 2),
    ];
    let miner = &mut pool.sv2[link].miner;
    let first = miner.submit_as(extended, false, &nonces[0]);
    let second = miner.submit_as(standard, true, &nonces[1]);
    pool.pump();
    let miner = &pool.sv2[link].miner;
    assert_eq!(miner.rejection(first), Some("invalid-channel-id"));
    assert_eq!(miner.rejection(second), Some("invalid-channel-id"));
}

/// MP-62, esp-miner 5.9: sequence numbers are the client's affair. Job id 0 is nobody's.
#[test]
fn sequence_numbers_are_not_judged() {
    let mut pool = pool();
    let (link, channel) = with_channel(&mut pool, true, 1);
    for (seed, number) in [5, 5, 0, u32::MAX, 3].into_iter().enumerate() {
        let nonce = share(&pool, link, channel, seed as u64);
        pool.sv2[link].miner.count_from(number);
        pool.sv2[link].miner.submit(channel, &nonce);
        pool.advance(50 * MILLISECOND);
    }
    let numbers: Vec<_> = pool.sv2[link]
        .miner
        .acknowledged
        .iter()
        .map(|ack| ack.1)
        .collect();
    assert_eq!(numbers, [5, 5, 0, u32::MAX, 3]);
    let mut nonce = share(&pool, link, channel, 9);
    nonce.job_id = 0;
    let sequence = pool.sv2[link].miner.submit(channel, &nonce);
    pool.pump();
    assert_eq!(
        pool.sv2[link].miner.rejection(sequence),
        Some("invalid-job-id")
    );
}

/// MP-122, MP-124: a job keeps the target that it came with, whatever target comes after it.
#[test]
fn a_job_keeps_its_target() {
    let mut pool = pool();
    let (link, channel) = with_channel(&mut pool, true, 1);
    let easy = pool.sv2[link].miner.channels[&channel].job().clone();
    // Only hashes of the easy target, above the harder one that comes.
    let between = |pool: &Pool, job: &headframe_testkit::MinerJob, seed| {
        let harder = pool.sv2[link].miner.channels[&channel].target;
        job.mine_where(&mut Chance::new(seed), |hash| {
            easy.target.is_met_by(hash) && !harder.is_met_by(hash)
        })
    };
    pool.sv2[link].miner.update(channel, 0.0, {
        let mut bytes = [0; 32];
        bytes[30] = 0x08;
        headframe_sv2_wire::U256::from_le_bytes(bytes)
    });
    pool.pump();
    let hard = pool.sv2[link].miner.channels[&channel].job().clone();
    assert!(hard.target < easy.target && hard.id != easy.id);
    let on_easy = between(&pool, &easy, 1);
    let on_hard = between(&pool, &hard, 2);
    let first = pool.sv2[link].miner.submit(channel, &on_easy);
    let second = pool.sv2[link].miner.submit(channel, &on_hard);
    pool.advance(200 * MILLISECOND);
    assert_eq!(pool.sv2[link].miner.rejection(first), None);
    assert_eq!(
        pool.sv2[link].miner.rejection(second),
        Some("difficulty-too-low")
    );
}

/// What the pool is told of a share, good or bad, is the rung of its job, as far as that is known.
#[test]
fn a_share_is_told_with_the_rung_of_its_job() {
    let mut pool = pool();
    let (link, channel) = with_channel(&mut pool, true, 1);
    let nonce = share(&pool, link, channel, 1);
    pool.sv2[link].miner.update(channel, 0.0, {
        let mut bytes = [0; 32];
        bytes[30] = 0x08;
        headframe_sv2_wire::U256::from_le_bytes(bytes)
    });
    pool.pump();
    let harder = share(&pool, link, channel, 2);
    let mut unknown = nonce.clone();
    unknown.job_id ^= 0x40;
    for nonce in [&nonce, &nonce, &harder, &harder, &unknown] {
        pool.sv2[link].miner.submit(channel, nonce);
    }
    pool.pump();
    let told: Vec<_> = pool.sv2[link]
        .events
        .iter()
        .filter_map(|event| match event {
            SessionEvent::Share(share) => Some((share.rung.exponent(), share.outcome.err())),
            _ => None,
        })
        .collect();
    let duplicate = Some(RejectReason::Duplicate);
    let unknown = Some(RejectReason::UnknownJob);
    let hard = told[2].0;
    assert!(hard > -24);
    let expected = [
        (-24, None),
        (-24, duplicate),
        (hard, None),
        (hard, duplicate),
        (hard, unknown),
    ];
    assert_eq!(told, expected);
}

/// MP-65, MP-58: a share for any job of the present tip counts, as long as a device can take.
#[test]
fn older_jobs_of_the_tip_still_count() {
    let mut pool = pool();
    let (link, channel) = with_channel(&mut pool, false, 1);
    let nonce = share(&pool, link, channel, 1);
    for _ in 0..100 {
        pool.advance(Duration::from_secs(1));
        pool.new_template();
    }
    let sequence = pool.sv2[link].miner.submit(channel, &nonce);
    pool.advance(200 * MILLISECOND);
    assert_eq!(pool.sv2[link].miner.rejection(sequence), None);
    // But not for ever: templates are large, and pinned by their jobs.
    let nonce = share(&pool, link, channel, 2);
    for _ in 0..300 {
        pool.advance(Duration::from_secs(1));
        pool.new_template();
    }
    let sequence = pool.sv2[link].miner.submit(channel, &nonce);
    pool.advance(200 * MILLISECOND);
    assert_eq!(
        pool.sv2[link].miner.rejection(sequence),
        Some("invalid-job-id")
    );
}

/// a job that can remember no more shares is retired, and its miner gets another; no share is
/// counted twice for it.
#[test]
fn a_full_job_is_replaced() {
    let mut pool = Pool::new(&PoolSettings {
        difficulty: fixed_difficulty(Rung::EASIEST.exponent()),
        ..PoolSettings::default()
    });
    let (link, channel) = with_channel(&mut pool, false, 1);
    let job = pool.sv2[link].miner.channels[&channel].job().clone();
    let mut nonce = job.mine(&mut Chance::new(1), job.target);
    let first = nonce.clone();
    let accepted = |pool: &Pool| -> u32 {
        let acknowledged = pool.sv2[link].miner.acknowledged.iter();
        acknowledged.map(|(_, _, count, _)| count).sum()
    };
    // A tenth of a per mille of all hashes is above the target, and one in 65,536 is a block.
    while pool.sv2[link].miner.channels[&channel].jobs.len() == 1 {
        for _ in 0..2_048 {
            pool.sv2[link].miner.submit(channel, &nonce);
            nonce.header.nonce = nonce.header.nonce.wrapping_add(1);
        }
        pool.advance(20 * MILLISECOND);
        assert!(accepted(&pool) <= 65_536);
    }
    assert_eq!(accepted(&pool), 65_536);
    pool.sv2[link].miner.rejected.clear();
    let again = pool.sv2[link].miner.submit(channel, &first);
    pool.advance(20 * MILLISECOND);
    assert_eq!(pool.sv2[link].miner.rejection(again), Some("stale-share"));
    let nonce = share(&pool, link, channel, 5);
    let fresh = pool.sv2[link].miner.submit(channel, &nonce);
    pool.advance(20 * MILLISECOND);
    assert_eq!(pool.sv2[link].miner.rejection(fresh), None);
}
