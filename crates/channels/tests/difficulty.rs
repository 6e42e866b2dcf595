//! Difficulty control over simulated days: what must hold for every miner. The same simulation as
//! in `docs/difficulty.md`, whose tables come from the example `difficulty`.

mod support;

#[path = "../examples/difficulty/ours.rs"]
mod ours;
#[path = "../examples/difficulty/simulation.rs"]
mod simulation;

use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use headframe_channels::{
    ChannelKind, Credit, DifficultyControl, DifficultySettings, JobId, RejectReason, Share,
};
use headframe_testkit::Chance;
use headframe_work::{Hashrate, Header, Rung, UnixTime, Work};

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

/// R-21 holds for a device whose connections last some seconds: what they taught adds up, so that it
/// has the difficulty that fits it after as much mining as on one connection, and keeps it.
#[test]
fn a_boasting_device_converges_over_many_short_connections() {
    for stays in [10.0, 20.0, 60.0] {
        let outcomes: Vec<Outcome> = (1..=30)
            .map(|seed| {
                let device = Miner {
                    seconds: 4.0 * HOUR,
                    ..miner(1e7, Story::Flaps(stays))
                };
                run(device, 1e12, seed)
            })
            .collect();
        // Five seconds are lost between two of them.
        let wall = |seconds: f64| seconds * (stays + 5.0) / stays;
        let in_time = outcomes.iter().filter(|it| within(it, wall(300.0)));
        assert!(in_time.count() >= 26, "{stays}: {outcomes:?}");
        for outcome in &outcomes {
            assert!(within(outcome, wall(900.0)), "{stays}: {outcome:?}");
            assert!(outcome.within > 0.9, "{stays}: {outcome:?}");
            assert_eq!(outcome.refused, 0, "{stays}: {outcome:?}");
        }
    }
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
        channel.send_job(support::terms(id, rung, now), &job);
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

/// What came of a crowd of named miners on one channel.
#[derive(Debug)]
struct Seen {
    /// Shares a minute of each miner, in the second half of the time.
    per_minute: Vec<f64>,
    /// The longest time for which one was not heard of, then.
    longest: f64,
    /// Changes of the rung, then.
    changes: u32,
}

/// Miners of `rates` behind one channel for `hours`. Of those that leave, the number and the time are
/// `leaving`.
fn crowd(rates: &[f64], hours: f64, leaving: (usize, f64), seed: u64) -> Seen {
    let sums = rates.iter().scan(0.0, |sum, rate| {
        *sum += rate;
        Some(*sum)
    });
    let up_to: Vec<f64> = sums.collect();
    let total = up_to.last().copied();
    let declared =
        Hashrate::from_hashes_per_second(total.expect("somebody")).expect("a finite rate");
    let began = Instant::now();
    let settings = DifficultySettings::default();
    let mut control = DifficultyControl::new(settings, declared, Rung::EASIEST, began);
    let mut chance = Chance::new(seed);
    chance.bytes::<64>();
    let mut uniform = || ((chance.number() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let end = hours * HOUR;
    // As the pool does: who was heard of within ten minutes, looked at once a minute.
    let (mut heard, mut lately, mut look_at) = (vec![f64::NEG_INFINITY; rates.len()], 0, 60.0);
    let (mut counts, mut last) = (vec![0u32; rates.len()], vec![end / 2.0; rates.len()]);
    let (mut changes, mut longest, mut now): (u32, f64, f64) = (0, 0.0, 0.0);
    while now < end {
        let at = |seconds| began + Duration::from_secs_f64(seconds);
        let here = match now >= leaving.1 {
            true => rates.len() - leaving.0,
            false => rates.len(),
        };
        let rung = control.rung();
        let rate = up_to[here - 1];
        let wait = -uniform().ln() * Work::of_rung(rung).expected_hashes() / rate;
        let due = control.poll_timeout().saturating_duration_since(began);
        if due.as_secs_f64() < now + wait {
            now = due.as_secs_f64().max(now) + 1e-6;
            control.handle_timeout(at(now));
        } else {
            now += wait;
            let luck = uniform() * rate;
            let who = up_to.partition_point(|up_to| *up_to < luck).min(here - 1);
            let hash = BlockHash::from_byte_array(rung.target().to_le_bytes());
            control.handle_share(at(now), &Credit { rung, hash });
            lately += usize::from(now - heard[who] > 600.0);
            heard[who] = now;
            if now >= look_at {
                look_at = now + 60.0;
                lately = heard.iter().filter(|heard| now - **heard <= 600.0).count();
            }
            control.handle_miners(at(now), lately);
            if now >= end / 2.0 {
                counts[who] += 1;
                longest = longest.max(now - last[who]);
                last[who] = now;
            }
        }
        changes += u32::from(now >= end / 2.0 && control.rung() != rung);
    }
    let minutes = end / 2.0 / 60.0;
    Seen {
        per_minute: counts
            .into_iter()
            .map(|count| f64::from(count) / minutes)
            .collect(),
        longest,
        changes,
    }
}

/// EX-42: whether there are two or a thousand miners behind a channel, each is seen as if it had a
/// channel to itself, and the rung stays where it is.
#[test]
fn each_miner_of_a_crowd_is_seen() {
    for (miners, rate, hours, seed) in [
        (2, 1e12, 4.0, 1),
        (7, 1e14, 4.0, 2),
        (100, 1e12, 2.0, 3),
        (1_000, 1e12, 1.0, 4),
    ] {
        let seen = crowd(&vec![rate; miners], hours, (0, 0.0), seed);
        let least = seen.per_minute.iter().fold(f64::MAX, |a, b| a.min(*b));
        let most = seen.per_minute.iter().fold(0.0, |a: f64, b| a.max(*b));
        let what = format!(
            "{miners}: {least} to {most}, {} s, {} changes",
            seen.longest, seen.changes
        );
        assert!(least > 4.0 && most < 30.0, "{what}");
        assert!(seen.longest < 180.0 && seen.changes <= 2, "{what}");
    }
}

/// Ten times slower than the others means ten times fewer shares, and no more than that.
#[test]
fn the_slow_ones_of_a_crowd_are_seen_too() {
    let mut rates = vec![1e12; 90];
    rates.extend([1e11; 10]);
    let seen = crowd(&rates, 6.0, (0, 0.0), 5);
    let slow = &seen.per_minute[90..];
    assert!(
        slow.iter().all(|rate| (0.4..3.0).contains(rate)),
        "{slow:?}"
    );
    assert!(seen.longest < 1_200.0 && seen.changes <= 2, "{seen:?}");
}

/// More than the bound share it; the pool is not flooded.
#[test]
fn a_crowd_without_end_shares_what_there_is() {
    let seen = crowd(&vec![1e12; 4_096], 0.25, (0, 0.0), 6);
    let all: f64 = seen.per_minute.iter().sum();
    assert!((6_000.0..20_000.0).contains(&all), "{all}");
}

/// Those who left are forgotten after ten minutes: who stays is one miner again.
#[test]
fn a_crowd_that_leaves_leaves_one_miner() {
    let seen = crowd(&[1e12; 64], 4.0, (63, HOUR), 7);
    assert!(
        (7.0..20.0).contains(&seen.per_minute[0]),
        "{:?}",
        seen.per_minute[0]
    );
    assert!(seen.changes <= 3, "{}", seen.changes);
}
