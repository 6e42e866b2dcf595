//! Difficulty follows the miner (R-21), and jobs come as often as they are used up (R-15).

use std::time::Duration;

use headframe_channels::DifficultySettings;
use headframe_sv2_wire::U256;
use headframe_testkit::{Chance, Pool, PoolSettings, address};
use headframe_work::Rung;

use crate::{MILLISECOND, STANDARD_JOBS, with_sv1};

fn pool(shares_per_minute: f64) -> Pool {
    Pool::new(&PoolSettings {
        difficulty: DifficultySettings {
            shares_per_minute,
            start: Rung::from_exponent(-24),
            min: Rung::EASIEST,
            max: Rung::HARDEST,
        },
        bits: 0x1b00_ffff,
        ..PoolSettings::default()
    })
}

/// R-21, MP-124: a device that floods gets a harder target, and a job with it, at most one a second,
/// while replies wait for the ledger without a pause.
#[test]
fn a_flood_is_answered_with_a_harder_target_and_a_job() {
    let mut pool = pool(12.0);
    let (link, user) = with_sv1(&mut pool, 1);
    pool.commit_after = Some(100 * MILLISECOND);
    let easy = pool.sv1[link].miner.difficulty.unwrap();
    let mut chance = Chance::new(1);
    for _ in 0..60 {
        let job = pool.sv1[link].miner.job();
        let nonce = job.mine(&mut chance, job.target);
        pool.sv1[link].miner.submit(&user, &nonce);
        pool.advance(50 * MILLISECOND);
    }
    assert!(pool.sv1[link].miner.difficulty.unwrap() > easy);
    let miner = &pool.sv1[link].miner;
    assert!(miner.jobs.len() > 1);
    // The first one is the pool's.
    assert!(
        miner.job_times[1..]
            .windows(2)
            .all(|pair| pair[1] - pair[0] >= Duration::from_secs(1))
    );
}

/// R-21: ESP-Miner declares 1 TH/s whatever it is. A device that finds nothing is eased in steps of
/// 16 until it does.
#[test]
fn a_silent_device_is_eased() {
    let mut pool = pool(12.0);
    let link = pool.connect_sv2();
    pool.sv2[link].miner.set_up(STANDARD_JOBS);
    pool.sv2[link]
        .miner
        .open_standard(&address(1).to_string(), 1e12, U256::MAX);
    pool.pump();
    let difficulty = |pool: &Pool| {
        pool.sv2[link].miner.channels[&1]
            .job()
            .target
            .difficulty_float()
    };
    let first = difficulty(&pool);
    pool.advance(Duration::from_secs(16));
    assert_eq!(difficulty(&pool), first / 16.0);
    pool.advance(Duration::from_secs(60));
    assert_eq!(difficulty(&pool), first / 16f64.powi(5));
}

/// R-21, MP-126: easing ends at what the client takes.
#[test]
fn easing_ends_at_the_client_s_max_target() {
    let mut pool = pool(12.0);
    let link = pool.connect_sv2();
    pool.sv2[link].miner.set_up(0);
    let mut max_target = [0xff; 32];
    max_target[29..].fill(0);
    pool.sv2[link].miner.open_extended(
        &address(1).to_string(),
        1e12,
        U256::from_le_bytes(max_target),
        2,
    );
    pool.advance(Duration::from_secs(3600));
    let channel = &pool.sv2[link].miner.channels[&1];
    let max = bitcoin::Target::from_le_bytes(max_target);
    assert!(channel.target <= max);
    assert!(channel.target.difficulty_float() <= 2.1 * max.difficulty_float());
}

/// R-15, MP-3: a standard job is replaced before a device has hashed all of it, at most one a
/// second, and after 30 s at the latest. An extended one is not: its miner rolls the extranonce.
#[test]
fn standard_jobs_are_replaced_before_they_are_used_up() {
    for (rate, at_least, at_most) in [(1e18, 8, 11), (1e15, 8, 11), (2e13, 1, 4), (1.0, 0, 0)] {
        let mut pool = pool(12.0);
        let link = pool.connect_sv2();
        pool.sv2[link].miner.set_up(0);
        let user = address(1).to_string();
        pool.sv2[link].miner.open_standard(&user, rate, U256::MAX);
        pool.sv2[link]
            .miner
            .open_extended(&user, rate, U256::MAX, 2);
        pool.advance(Duration::from_secs(10));
        let jobs = |id: u32| {
            pool.sv2[link].miner.channels[&pool.sv2[link].miner.opened[id as usize]]
                .jobs
                .len()
                - 1
        };
        assert!(
            (at_least..=at_most).contains(&jobs(0)),
            "{rate}: {}",
            jobs(0)
        );
        assert_eq!(jobs(1), 0, "{rate}");
    }
}

/// MP-3, MP-6: a standard job has 2^48 headers for each second of header time, and the time may be rolled
/// for nearly two hours. So one a second is enough for a device of an exahash.
#[test]
fn a_standard_job_lasts_an_exahash_for_a_second() {
    const AHEAD: u32 = 7_100;
    assert!(f64::from(AHEAD) * 2f64.powi(48) > 1e18);
    let mut pool = crate::pool();
    let (link, id) = crate::with_channel(&mut pool, false, 1);
    for (ahead, code) in [(AHEAD, None), (7_141, Some("invalid-share"))] {
        let mut job = pool.sv2[link].miner.channels[&id].job().clone();
        job.time += ahead;
        let network = job.network_target();
        let target = job.target;
        let nonce = job.mine_where(&mut Chance::new(1), |hash| {
            target.is_met_by(hash) && !network.is_met_by(hash)
        });
        let sequence = pool.sv2[link].miner.submit(id, &nonce);
        pool.pump();
        assert_eq!(pool.sv2[link].miner.rejection(sequence), code, "{ahead}");
    }
}

/// R-15: work that a slow device has not used up is replaced after 30 s all the same, with a later
/// header time: some devices leave a pool that is silent for longer. Nothing else would have caused
/// it here: the device is on the easiest rung, and the pool has no other work.
#[test]
fn a_slow_device_s_standard_job_is_replaced_after_30_s() {
    let mut pool = crate::pool();
    let (link, extended) = crate::with_channel(&mut pool, true, 1);
    let standard = crate::open(&mut pool, link, false, 1);
    let count = |pool: &Pool, id: u32| pool.sv2[link].miner.channels[&id].jobs.len();
    pool.advance(29_999 * MILLISECOND);
    assert_eq!(count(&pool, standard), 1);
    pool.advance(MILLISECOND);
    assert_eq!(count(&pool, standard), 2);
    pool.advance(Duration::from_secs(90));
    assert_eq!((count(&pool, standard), count(&pool, extended)), (5, 1));
    let jobs = &pool.sv2[link].miner.channels[&standard].jobs;
    assert!(
        jobs.windows(2)
            .all(|pair| pair[1].time == pair[0].time + 30)
    );
}

#[test]
fn each_standard_job_is_replaced_at_its_own_time() {
    let mut pool = crate::pool();
    let (link, first) = crate::with_channel(&mut pool, false, 1);
    pool.advance(10_000 * MILLISECOND);
    let second = crate::open(&mut pool, link, false, 1);
    pool.advance(7_000 * MILLISECOND);
    let third = crate::open(&mut pool, link, false, 2);
    let counts = |pool: &Pool| {
        let channels = &pool.sv2[link].miner.channels;
        [first, second, third].map(|id| channels[&id].jobs.len())
    };
    for (wait, before, after) in [
        (13_000, [1, 1, 1], [2, 1, 1]),
        (10_000, [2, 1, 1], [2, 2, 1]),
        (7_000, [2, 2, 1], [2, 2, 2]),
        (13_000, [2, 2, 2], [3, 2, 2]),
    ] {
        pool.advance((wait - 1) * MILLISECOND);
        assert_eq!(counts(&pool), before);
        pool.advance(MILLISECOND);
        assert_eq!(counts(&pool), after);
    }
}

/// A pool whose first rung is a guess.
fn pool_that_guesses() -> Pool {
    Pool::new(&PoolSettings {
        difficulty: DifficultySettings {
            shares_per_minute: 12.0,
            start: Rung::from_exponent(-20),
            min: Rung::EASIEST,
            max: Rung::HARDEST,
        },
        bits: 0x1b00_ffff,
        ..PoolSettings::default()
    })
}

/// What a miner had is used when it comes back, in the first target that it is told and in the first
/// job; another one begins at the beginning.
#[test]
fn a_miner_that_comes_back_has_its_difficulty() {
    let mut pool = pool_that_guesses();
    let mut chance = Chance::new(1);
    let (link, id) = crate::with_channel(&mut pool, true, 1);
    let start = pool.sv2[link].miner.channels[&id].target;
    // A quarter of the pace that is wanted.
    for _ in 0..40 {
        let job = pool.sv2[link].miner.channels[&id].job();
        let nonce = job.mine(&mut chance, job.target);
        pool.sv2[link].miner.submit(id, &nonce);
        pool.advance(Duration::from_secs(20));
    }
    let settled = pool.sv2[link].miner.channels[&id].target;
    assert!(settled > start, "it was eased");
    pool.close_sv2(link);
    for (user, target) in [(1, settled), (2, start)] {
        let (link, id) = crate::with_channel(&mut pool, true, user);
        pool.advance(Duration::from_secs(1));
        let channel = &pool.sv2[link].miner.channels[&id];
        assert_eq!(channel.opened_with, target);
        assert_eq!(channel.target, target);
        assert_eq!(channel.jobs.len(), 1, "one job, and no SetTarget");
        assert_eq!(channel.job().target, target);
    }
    let user = format!("{}.rig", address(1));
    let link = pool.connect_sv1();
    pool.sv1[link].miner.log_in(&user);
    pool.advance(50 * MILLISECOND);
    assert_eq!(pool.sv1[link].miner.job().target, settled);
}

/// The same of Stratum V1, whose miners are told a difficulty apart from its job: what is on its way for
/// the last jobs is judged by the difficulty that each came with, the newest by the newest.
#[test]
fn shares_in_flight_meet_the_difficulty_of_their_job_on_stratum_v1() {
    let mut pool = pool(12.0);
    let (link, user) = with_sv1(&mut pool, 1);
    for exponent in [-22, -21, -23, -20] {
        pool.advance(Duration::from_secs(1));
        pool.sv1[link].miner.send(&format!(
            r#"{{"id":"s","method":"mining.suggest_difficulty","params":[{}]}}"#,
            2f64.powi(exponent)
        ));
        pool.advance(Duration::from_secs(1));
    }
    let jobs = pool.sv1[link].miner.jobs.clone();
    let easiest = jobs[0].target;
    let hardest = jobs[4].target;
    assert_eq!(jobs.len(), 5, "each difficulty came with a job");
    assert!(
        jobs.iter()
            .all(|job| hardest <= job.target && job.target <= easiest)
    );
    for (seed, job) in (0..).zip(&jobs) {
        // Too easy for any other job that is harder, so that nothing else can be what it was judged by.
        let harder = jobs.iter().map(|job| job.target);
        let harder = harder.filter(|target| *target < job.target).max();
        let harder = harder.unwrap_or_else(|| job.network_target());
        let good = job.mine_where(&mut Chance::new(seed), |hash| {
            job.target.is_met_by(hash) && !harder.is_met_by(hash)
        });
        let low = job.mine_where(&mut Chance::new(seed + 10), |hash| {
            !job.target.is_met_by(hash)
        });
        let [good, low] = [good, low].map(|nonce| pool.sv1[link].miner.submit(&user, &nonce));
        pool.advance(200 * MILLISECOND);
        let miner = &pool.sv1[link].miner;
        assert!(miner.is_granted(&good), "{:?}", miner.replies[&good]);
        assert_eq!(miner.refusal(&low), Some(23));
    }
}

/// Connections that end before anything is due teach all the same: the silence on each adds to that on
/// the last, though hours lie between them, in both protocols.
#[test]
fn the_silence_of_short_connections_adds_up() {
    let mut pool = pool_that_guesses();
    let user = format!("{}.rig", address(2));
    let mut targets = Vec::new();
    for _ in 0..4 {
        let (sv2, id) = crate::with_channel(&mut pool, true, 1);
        let sv1 = pool.connect_sv1();
        pool.sv1[sv1].miner.log_in(&user);
        pool.advance(Duration::from_secs(6));
        let sv2_target = pool.sv2[sv2].miner.channels[&id].target;
        targets.push([sv2_target, pool.sv1[sv1].miner.job().target]);
        pool.close_sv2(sv2);
        let now = pool.now;
        pool.sv1.remove(sv1).close(now, &mut pool.hub);
        pool.advance(Duration::from_secs(3600));
    }
    // At five seconds a share it is eased after fifteen.
    let rung = |target: &bitcoin::Target| {
        let target = headframe_work::Target::from_le_bytes(target.to_le_bytes());
        Rung::within(target).unwrap().exponent()
    };
    for protocol in 0..2 {
        let exponents: Vec<i32> = targets.iter().map(|it| rung(&it[protocol])).collect();
        assert_eq!(exponents, [-20, -20, -24, -24], "{protocol}");
    }
}
