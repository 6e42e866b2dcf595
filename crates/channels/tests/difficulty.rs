//! Difficulty control over simulated days: what must hold for every miner. The same simulation as
//! in `docs/difficulty.md`, whose tables come from the example `difficulty`.

mod support;

#[path = "../examples/difficulty/ours.rs"]
mod ours;
#[path = "../examples/difficulty/simulation.rs"]
mod simulation;

use std::time::Instant;

use headframe_channels::{ChannelKind, DifficultySettings, JobId, RejectReason, Share};
use headframe_work::{Header, Rung, UnixTime};

use crate::ours::Ours;
use crate::simulation::{Control, Miner, Outcome, Simulation, Story};
use crate::support::TIME;

const HOUR: f64 = 3600.0;
const WANTED: f64 = 12.0;

fn miner(rate: f64, story: Story) -> Miner {
    Miner {
        rate,
        story,
        mask: 0.0,
        seconds: 24.0 * HOUR,
    }
}

fn run(miner: Miner, declared: f64, seed: u64) -> Outcome {
    let settings = DifficultySettings::default();
    let mut control = Ours::new(settings, declared);
    Simulation::new(&mut control, miner, WANTED, seed).run()
}

fn within(outcome: &Outcome, seconds: f64) -> bool {
    outcome.converged.is_some_and(|time| time <= seconds)
}

/// Whatever a miner is and whatever it says of itself, it is soon served, is left alone then, gets
/// the rate of shares that was asked for, and is never refused a share that met its target.
#[test]
fn every_miner_settles_and_stays() {
    let rates = [5e4].into_iter().chain((5..=18).map(|n| 10f64.powi(n)));
    for rate in rates {
        for declared in [rate, 1e12, 0.0] {
            for seed in 1..=2 {
                let outcome = run(miner(rate, Story::Steady), declared, seed);
                let what = format!("{rate:e} H/s, {declared:e} declared, {seed}: {outcome:?}");
                assert_eq!(outcome.refused, 0, "{what}");
                assert!(outcome.changes_per_day <= 4.0, "{what}");
                // R-21 holds 100 GH/s at difficulty 256: five and a half shares a minute.
                if rate != 1e11 {
                    assert!(within(&outcome, 1200.0), "{what}");
                    assert!(outcome.within > 0.97, "{what}");
                    assert!((7.0..20.0).contains(&outcome.per_minute), "{what}");
                }
                assert!((0.95..1.05).contains(&outcome.credited), "{what}");
            }
        }
    }
}

/// 1e12 declared, 10 MH/s real, in under five minutes, unless chance makes it longer.
#[test]
fn a_boasting_device_converges_in_five_minutes() {
    let outcomes: Vec<Outcome> = (1..=30)
        .map(|seed| {
            let device = Miner {
                seconds: 2.0 * HOUR,
                ..miner(1e7, Story::Steady)
            };
            run(device, 1e12, seed)
        })
        .collect();
    let in_time = outcomes.iter().filter(|outcome| within(outcome, 300.0));
    assert!(in_time.count() >= 27, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| within(outcome, 900.0)));
}

/// D14: a miner a million times as fast as was thought is not left to flood the pool.
#[test]
fn a_flood_is_over_in_a_minute() {
    for declared in [1e12, 0.0] {
        for seed in 1..=5 {
            let device = Miner {
                seconds: 2.0 * HOUR,
                ..miner(1e18, Story::Steady)
            };
            let outcome = run(device, declared, seed);
            // 2 h at 12 to 17 a minute, and the flood, which the link bounds to 1,000 a second.
            assert!(outcome.shares < 8_000, "{outcome:?}");
        }
    }
}

/// D9: a miner that slows down is followed, as is one that becomes faster.
#[test]
fn a_miner_that_changes_is_followed() {
    for rate in [1e6, 1e12, 1e15] {
        for story in [Story::Halves(12.0 * HOUR), Story::Doubles(12.0 * HOUR)] {
            for seed in 1..=4 {
                let outcome = run(miner(rate, story), rate, seed);
                let what = format!("{rate:e}, {story:?}, {seed}: {outcome:?}");
                assert!(within(&outcome, 1800.0), "{what}");
                assert!(outcome.within > 0.95 && outcome.refused == 0, "{what}");
            }
        }
    }
}

/// D3: a miner that is silent for an hour, as one that warms up, does not flood the pool when it
/// comes back.
#[test]
fn an_hour_of_silence_makes_no_flood() {
    for rate in [1e9, 1e12, 1e15] {
        for seed in 1..=4 {
            let outcome = run(miner(rate, Story::Stops(12.0 * HOUR)), rate, seed);
            assert!(within(&outcome, 600.0), "{rate:e}: {outcome:?}");
            assert!(outcome.peak < 500, "{rate:e}: {outcome:?}");
        }
    }
}

/// D13: a link that stalls and breaks costs hardly a change, since the rung is remembered.
#[test]
fn wifi_drops_change_little() {
    for rate in [1e6, 1e12] {
        for seed in 1..=4 {
            let outcome = run(miner(rate, Story::Drops), 1e12, seed);
            assert!(outcome.changes_per_day <= 6.0, "{rate:e}: {outcome:?}");
            assert!(outcome.within > 0.95 && outcome.refused == 0, "{outcome:?}");
        }
    }
}

/// Chips that report nothing below difficulty 256 are credited with what they do, on whatever rung
/// they begin.
#[test]
fn a_chip_that_leaves_out_easy_shares_is_credited_in_full() {
    for rate in [5e10, 8e10, 1.2e11, 1.5e11, 3e11] {
        for declared in [1e12, 1e9] {
            let chip = Miner {
                mask: 256.0,
                ..miner(rate, Story::Steady)
            };
            let outcome = run(chip, declared, 1);
            let what = format!("{rate:e}, {declared:e} declared: {outcome:?}");
            assert!((0.93..1.07).contains(&outcome.credited), "{what}");
            assert!(outcome.changes_per_day <= 6.0, "{what}");
        }
    }
}

/// D13: a device that declares 1 TH/s whatever it is begins where it was, once it was here.
#[test]
fn a_miner_that_comes_back_has_its_old_rung() {
    let mut control = Ours::new(DifficultySettings::default(), 1e12);
    let first = control.difficulty();
    let hour = Miner {
        seconds: HOUR,
        ..miner(1e6, Story::Steady)
    };
    Simulation::new(&mut control, hour, WANTED, 1).run();
    let settled = control.difficulty();
    assert!(settled < first);
    control.reconnect(HOUR);
    assert_eq!(control.difficulty(), settled);
}

/// D6, D7: whichever of its live jobs a share is for, and however often the rung changed since, it
/// is judged by exactly the target that this job was given.
#[test]
fn a_share_is_judged_by_the_target_of_its_job() {
    let now = Instant::now();
    let mut channel = support::ours(ChannelKind::Standard);
    let prepared = support::template(1, 0x1703_4219, 0);
    let rungs = [-32, -28, -30, -27, -31, -29].map(Rung::from_exponent);
    for (id, rung) in (1..).zip(rungs) {
        let job = support::job(&prepared, id, 12);
        channel.send_job(support::terms(id, rung, now), job);
    }
    let mut verdicts = [0, 0];
    for nonce in 0..2_000 {
        for (id, rung) in (1..).zip(rungs) {
            let job_id = JobId::new(id).expect("not 0");
            let job = channel.job(job_id).expect("it is live");
            let header = Header {
                version: 0x2000_0000,
                prev_hash: prepared.template().prev_hash,
                merkle_root: job.merkle_root().expect("a standard job has one"),
                time: UnixTime::from_secs(TIME),
                bits: prepared.template().bits,
                nonce,
            };
            let share = Share {
                job_id,
                version: header.version,
                time: header.time,
                nonce,
                extranonce: &[],
            };
            let credit = channel.judge(now, &share).credit();
            let is_valid = rung.target().is_met_by(&header.hash());
            verdicts[usize::from(is_valid)] += 1;
            match is_valid {
                true => assert_eq!(credit.map(|credit| credit.rung), Ok(rung)),
                false => assert_eq!(credit.err(), Some(RejectReason::LowDifficulty)),
            }
        }
    }
    assert!(verdicts.iter().all(|count| *count > 1_000), "{verdicts:?}");
}
