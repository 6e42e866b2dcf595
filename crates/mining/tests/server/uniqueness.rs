//! No header is hashed twice (R-6, R-9, R-10, MP-2, MP-91).

use std::collections::HashSet;
use std::time::Duration;

use bitcoin::hashes::Hash;
use headframe_testkit::{Pool, PoolSettings, RootSource};

use crate::{open, with_sv1};

/// All that a pool sends in a while: the merkle roots of its jobs with a rolled part of zeros, each
/// with its tip. Two equal ones would be the same work.
fn work(settings: &PoolSettings) -> Vec<([u8; 32], [u8; 32])> {
    let mut pool = Pool::new(settings);
    let (first, second) = (pool.connect_sv2(), pool.connect_sv2());
    for link in [first, second] {
        pool.sv2[link].miner.set_up(0);
        for (is_extended, user) in [(true, 1), (true, 1), (true, 2), (false, 1), (false, 1)] {
            open(&mut pool, link, is_extended, user);
        }
    }
    let (sv1, _) = with_sv1(&mut pool, 1);
    let mut roots = Vec::new();
    for round in 0..20 {
        match round % 5 {
            0 => pool.new_tip(),
            1 => pool.new_template(),
            2 => pool.new_tip_begun(),
            _ => pool.refresh(),
        }
        roots.extend(pool.sv1[sv1].miner.jobs.last().map(root));
        pool.advance(Duration::from_secs(40));
    }
    for link in [first, second] {
        let channels = pool.sv2[link].miner.channels.values();
        roots.extend(channels.flat_map(|channel| channel.jobs.iter().map(root)));
    }
    roots
}

fn root(job: &headframe_testkit::MinerJob) -> ([u8; 32], [u8; 32]) {
    let rolled = match &job.root {
        RootSource::Coinbase { rolled_len, .. } => *rolled_len,
        RootSource::Given(_) => 0,
    };
    let header = job.header(&vec![0; rolled], 0, 0, 0);
    (header.merkle_root.to_byte_array(), job.prev_hash)
}

/// Over all channels, connections and protocols, and over two processes that begin their job ids at
/// the same number and work for the same users on the same templates.
#[test]
fn no_two_jobs_have_the_same_headers() {
    let settings = PoolSettings::default();
    let restarted = PoolSettings {
        process: [4, 3, 2, 1],
        ..settings.clone()
    };
    let mut seen = HashSet::new();
    let works = [work(&settings), work(&restarted)].concat();
    let count = works.len();
    assert!(count > 400, "{count}");
    assert!(
        works.into_iter().all(|work| seen.insert(work)),
        "the same work twice"
    );
    // The oracle can fail: one process alone, twice, is the same work.
    assert!(work(&settings).iter().all(|work| seen.contains(work)));
}

/// ids go on past the largest, and never are 0. The scripted miner panics at an id that it
/// has, and at 0.
#[test]
fn job_ids_wrap_around() {
    let mut pool = Pool::new(&PoolSettings {
        first_job_id: u32::MAX - 3,
        ..PoolSettings::default()
    });
    let link = pool.connect_sv2();
    pool.sv2[link].miner.set_up(0);
    let id = open(&mut pool, link, true, 1);
    for _ in 0..8 {
        pool.new_template();
    }
    let ids: Vec<u32> = pool.sv2[link].miner.channels[&id]
        .jobs
        .iter()
        .map(|job| job.id)
        .collect();
    // One of the numbers is that of the job which is staged for the next tip.
    let last = u32::MAX;
    assert_eq!(ids, [last - 2, last - 1, last, 1, 2, 3, 4, 5, 6]);
}
