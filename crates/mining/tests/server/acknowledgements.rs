//! Accepted shares are acknowledged when the ledger has them (R-19).

use std::time::Duration;

use headframe_mining::server::SessionEvent;
use headframe_testkit::{Pool, PoolSettings};

use crate::{MILLISECOND, open, pool, share, with_channel, with_sv1};

/// MP-78, MP-79, MP-81, R-19: one acknowledgement for each channel and commit, of exactly the shares
/// that were accepted; a rejection goes out at once and counts nowhere.
#[test]
fn one_acknowledgement_per_channel_and_commit() {
    let mut pool = pool();
    let (link, first) = with_channel(&mut pool, true, 1);
    let second = open(&mut pool, link, false, 1);
    let mut last = [0, 0];
    for seed in 0..9 {
        for (place, channel) in [first, second].into_iter().enumerate() {
            let nonce = share(&pool, link, channel, seed);
            last[place] = pool.sv2[link].miner.submit(channel, &nonce);
            if seed == 4 {
                pool.sv2[link].miner.submit(channel, &nonce);
            }
        }
    }
    pool.pump();
    assert_eq!(pool.sv2[link].miner.rejected.len(), 2, "at once");
    assert_eq!(pool.sv2[link].miner.acknowledged, []);
    pool.advance(10 * MILLISECOND);
    let expected = [(first, last[0], 9, 0), (second, last[1], 9, 0)];
    assert_eq!(pool.sv2[link].miner.acknowledged, expected);
    pool.advance(Duration::from_secs(5));
    assert_eq!(pool.sv2[link].miner.acknowledged.len(), 2);
    assert_eq!(pool.sv2[link].not_durable(), 0);
}

/// R-19: a commit is word of the shares up to it, and of none that came later.
#[test]
fn a_commit_acknowledges_no_share_that_came_after_it() {
    let mut pool = pool();
    let (link, channel) = with_channel(&mut pool, true, 1);
    let (sv1, user) = with_sv1(&mut pool, 1);
    let job = pool.sv1[sv1].miner.job().clone();
    let mut sent = Vec::new();
    for seed in 0..2 {
        let nonce = share(&pool, link, channel, seed);
        let sequence = pool.sv2[link].miner.submit(channel, &nonce);
        let nonce = job.mine(&mut headframe_testkit::Chance::new(seed), job.target);
        sent.push((sequence, pool.sv1[sv1].miner.submit(&user, &nonce)));
        pool.advance(5 * MILLISECOND);
    }
    // The ledger takes 10 ms: it has the first share of each, and not the second.
    let [first, second] = [0, 1].map(|place: usize| sent[place].clone());
    assert_eq!(
        pool.sv2[link].miner.acknowledged,
        [(channel, first.0, 1, 0)]
    );
    assert!(pool.sv1[sv1].miner.is_granted(&first.1));
    assert!(!pool.sv1[sv1].miner.is_granted(&second.1));
    pool.advance(5 * MILLISECOND);
    assert_eq!(
        pool.sv2[link].miner.acknowledged[1..],
        [(channel, second.0, 1, 0)]
    );
    assert!(pool.sv1[sv1].miner.is_granted(&second.1));
}

/// R-19: without a commit the reply goes out after 100 ms, once, and is counted.
#[test]
fn without_a_ledger_replies_go_out_all_the_same() {
    let mut pool = Pool::new(&PoolSettings {
        commit_after: None,
        ..PoolSettings::default()
    });
    let (link, channel) = with_channel(&mut pool, true, 1);
    let (sv1, user) = with_sv1(&mut pool, 1);
    for seed in 0..3 {
        let nonce = share(&pool, link, channel, seed);
        pool.sv2[link].miner.submit(channel, &nonce);
    }
    let job = pool.sv1[sv1].miner.job();
    let nonce = job.mine(&mut headframe_testkit::Chance::new(1), job.target);
    let id = pool.sv1[sv1].miner.submit(&user, &nonce);
    pool.advance(99 * MILLISECOND);
    assert_eq!(pool.sv2[link].miner.acknowledged, []);
    assert!(!pool.sv1[sv1].miner.is_granted(&id));
    pool.advance(MILLISECOND);
    assert_eq!(pool.sv2[link].miner.acknowledged, [(channel, 2, 3, 0)]);
    assert!(pool.sv1[sv1].miner.is_granted(&id));
    // The word comes late; nothing is said twice.
    pool.sv2[link].session.handle_committed(u64::MAX);
    pool.sv1[sv1].session.handle_committed(u64::MAX);
    pool.advance(Duration::from_secs(1));
    assert_eq!(pool.sv2[link].miner.acknowledged.len(), 1);
    assert_eq!(
        (pool.sv2[link].not_durable(), pool.sv1[sv1].not_durable()),
        (3, 1)
    );
}

/// R-19: SV1 replies keep the order of the requests, work does not wait for them.
#[test]
fn stratum_v1_replies_keep_their_order_and_work_overtakes_them() {
    let mut pool = pool();
    let (link, user) = with_sv1(&mut pool, 1);
    let job = pool.sv1[link].miner.job();
    let nonce = job.mine(&mut headframe_testkit::Chance::new(1), job.target);
    pool.sv1[link].miner.transcript.clear();
    let first = pool.sv1[link].miner.submit(&user, &nonce);
    let second = pool.sv1[link].miner.submit(&user, &nonce);
    pool.sv1[link]
        .miner
        .send(r#"{"id":"ping","method":"mining.ping","params":[]}"#);
    pool.pump();
    pool.new_template();
    assert_eq!(pool.sv1[link].miner.transcript, ["mining.notify"]);
    pool.advance(20 * MILLISECOND);
    let expected = [
        format!("reply {first}"),
        format!("reply {second}"),
        "reply ping".to_owned(),
    ];
    assert_eq!(pool.sv1[link].miner.transcript[1..], expected);
    assert_eq!(pool.sv1[link].miner.refusal(&second), Some(22));
}

/// What waits for a ledger that has stopped is bounded.
#[test]
fn replies_that_wait_are_bounded() {
    let mut pool = Pool::new(&PoolSettings {
        commit_after: None,
        ..PoolSettings::default()
    });
    let (link, user) = with_sv1(&mut pool, 1);
    let job = pool.sv1[link].miner.job();
    let nonce = job.mine(&mut headframe_testkit::Chance::new(1), job.target);
    pool.sv1[link].miner.submit(&user, &nonce);
    for _ in 0..4_094 {
        pool.sv1[link]
            .miner
            .send(r#"{"id":1,"method":"x","params":[]}"#);
    }
    pool.pump();
    let before = pool.sv1[link].sent_bytes;
    pool.sv1[link]
        .miner
        .send(r#"{"id":1,"method":"x","params":[]}"#);
    pool.pump();
    assert!(pool.sv1[link].sent_bytes > before + 4_094 * 20);
    assert_eq!(pool.sv1[link].not_durable(), 1);
}

/// R-19, R-2: each of the workers of a connection is told of its own shares that were not durable.
#[test]
fn shares_that_are_not_durable_are_their_worker_s() {
    let mut pool = Pool::new(&PoolSettings {
        commit_after: None,
        ..PoolSettings::default()
    });
    let (link, first) = with_sv1(&mut pool, 1);
    let [second, third] = ["b", "c"].map(|worker| format!("{first}.{worker}"));
    pool.sv1[link].miner.authorize("b", &second);
    pool.sv1[link].miner.authorize("c", &third);
    pool.pump();
    let job = pool.sv1[link].miner.job().clone();
    for (seed, worker) in [&third, &second, &third, &first, &third].iter().enumerate() {
        let nonce = job.mine(&mut headframe_testkit::Chance::new(seed as u64), job.target);
        pool.sv1[link].miner.submit(worker, &nonce);
    }
    pool.advance(100 * MILLISECOND);
    let seats = |wanted: fn(&SessionEvent) -> Option<(u32, u32)>| -> Vec<(u32, u32)> {
        pool.sv1[link].events.iter().filter_map(wanted).collect()
    };
    let not_durable = seats(|event| match event {
        SessionEvent::NotDurable { seat, shares } => Some((seat.get(), *shares)),
        _ => None,
    });
    assert_eq!(not_durable, [(1, 1), (2, 1), (3, 3)]);
    let shares = seats(|event| match event {
        SessionEvent::Share(share) => Some((share.seat.get(), 1)),
        _ => None,
    });
    assert_eq!(shares, [3, 2, 3, 1, 3].map(|seat| (seat, 1)));
}
