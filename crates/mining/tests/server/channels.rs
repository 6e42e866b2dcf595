//! Channels are opened, updated and closed.

use std::collections::HashSet;

use headframe_mining::server::SessionEvent;
use headframe_sv2_wire::U256;
use headframe_testkit::{Pool, PoolSettings, address};

use crate::{MILLISECOND, STANDARD_JOBS, open, pool, share, with_channel};

fn target(top: u8) -> U256 {
    let mut bytes = [0; 32];
    bytes[31 - usize::from(top / 8)] = 0x80 >> (top % 8);
    U256::from_le_bytes(bytes)
}

/// MP-34, MP-36, MP-37, MP-38, MP-40, MP-42, R-3: each refusal says why, and the connection is as
/// good as before.
#[test]
fn a_channel_is_refused_for_the_reason_that_there_is() {
    let mut pool = pool();
    let link = pool.connect_sv2();
    let miner = &mut pool.sv2[link].miner;
    miner.set_up(0);
    let good = address(1).to_string();
    let mistyped = good.replace('q', "p");
    let long = "x".repeat(255);
    let requests = [
        (
            miner.open_standard(&good, f32::NAN, U256::MAX),
            "invalid-nominal-hashrate",
        ),
        (
            miner.open_standard(&good, -1.0, U256::MAX),
            "invalid-nominal-hashrate",
        ),
        (
            miner.open_standard(&good, f32::INFINITY, U256::MAX),
            "invalid-nominal-hashrate",
        ),
        (
            miner.open_standard(&good, 0.0, target(255)),
            "max-target-out-of-range",
        ),
        (
            miner.open_standard(&good, 0.0, U256::from_le_bytes([0; 32])),
            "max-target-out-of-range",
        ),
        (
            miner.open_standard(&mistyped, 0.0, U256::MAX),
            "invalid-user-identity",
        ),
        (
            miner.open_extended(&good, 0.0, U256::MAX, 29),
            "min-extranonce-size-too-large",
        ),
        (
            miner.open_extended(&good, 0.0, U256::MAX, 65_535),
            "min-extranonce-size-too-large",
        ),
    ];
    miner.open_extended(&good, 0.0, U256::MAX, 28);
    miner.open_extended(&good, 0.0, U256::MAX, 0);
    miner.open_standard(&long, 0.0, U256::MAX);
    pool.pump();
    let miner = &pool.sv2[link].miner;
    let expected = requests.map(|(id, code)| (id, code.to_owned()));
    assert_eq!(miner.refused, expected);
    assert_eq!(miner.opened.len(), 3);
    let sizes: Vec<_> = miner
        .channels
        .values()
        .map(|channel| channel.extranonce_size)
        .collect();
    assert_eq!(sizes, [28, 8, 0]);
    let refused = |event: &SessionEvent| matches!(event, SessionEvent::NameRefused { .. });
    assert_eq!(
        pool.sv2[link]
            .events
            .iter()
            .filter(|event| refused(event))
            .count(),
        1
    );
}

/// MP-24, MP-4: no extended channel on a connection that takes standard jobs only.
#[test]
fn a_standard_only_client_gets_no_extended_channel() {
    let mut pool = pool();
    let link = pool.connect_sv2();
    pool.sv2[link].miner.set_up(STANDARD_JOBS);
    pool.sv2[link]
        .miner
        .open_extended(&address(1).to_string(), 0.0, U256::MAX, 2);
    pool.pump();
    assert!(pool.sv2[link].miner.opened.is_empty());
    assert_eq!(pool.sv2[link].miner.refused.len(), 1);
}

/// MP-38, MP-126: whatever the hashrate, the target is within what the client takes; and a share at
/// that target is accepted.
#[test]
fn the_target_is_never_above_what_the_client_takes() {
    let mut pool = pool();
    for top in [0, 1, 3, 9, 15, 17, 24, 31, 40] {
        for rate in [0.0, 1.0, 1e6, 1e18] {
            let link = pool.connect_sv2();
            let miner = &mut pool.sv2[link].miner;
            miner.set_up(0);
            miner.open_extended(&address(1).to_string(), rate, target(top), 2);
            pool.pump();
            let channel = &pool.sv2[link].miner.channels[&1];
            let max = bitcoin::Target::from_le_bytes(target(top).to_le_bytes());
            assert!(
                channel.target <= max,
                "max {max:x}, target {:x}",
                channel.target
            );
        }
    }
}

/// Where the network is easier than what the client takes, the client's word wins; where it is
/// harder, no share is: a device that keeps hashes above its target to itself keeps no block.
#[test]
fn a_share_target_is_no_harder_than_the_network_s_unless_the_client_wants_it() {
    let mut pool = pool();
    let link = pool.connect_sv2();
    let miner = &mut pool.sv2[link].miner;
    miner.set_up(0);
    miner.open_extended(&address(1).to_string(), 1e30, U256::MAX, 2);
    miner.open_extended(&address(1).to_string(), 1e30, target(20), 2);
    pool.pump();
    let miner = &pool.sv2[link].miner;
    let [boaster, choosy] = [
        &miner.channels[&miner.opened[0]],
        &miner.channels[&miner.opened[1]],
    ];
    let network = boaster.job().network_target();
    assert!(boaster.target >= network);
    assert!(choosy.target < network);
    let id = choosy.id;
    // Its blocks are blocks all the same, should it send them.
    let job = choosy.job();
    let nonce = job.mine_where(&mut headframe_testkit::Chance::new(5), |hash| {
        job.network_target().is_met_by(hash) && !job.target.is_met_by(hash)
    });
    let sequence = pool.sv2[link].miner.submit(id, &nonce);
    pool.pump();
    assert_eq!(pool.sv2[link].blocks().len(), 1);
    assert_eq!(
        pool.sv2[link].miner.rejection(sequence),
        Some("difficulty-too-low")
    );
}

/// MP-47, MP-49, R-13: each valid update is answered with a target at once, which is within the new
/// bound; a job follows only when the target changed, at most one a second.
#[test]
fn updates_are_answered_with_a_target() {
    let mut pool = pool();
    let (link, id) = with_channel(&mut pool, true, 1);
    let jobs = pool.sv2[link].miner.channels[&id].jobs.len();
    for _ in 0..5 {
        pool.sv2[link].miner.update(id, 0.0, U256::MAX);
    }
    pool.advance(MILLISECOND);
    let count = |pool: &Pool, name: &str| {
        let names = pool.sv2[link].miner.transcript.iter();
        names.filter(|entry| entry.starts_with(name)).count()
    };
    assert_eq!(count(&pool, "SetTarget"), 5);
    assert_eq!(pool.sv2[link].miner.channels[&id].jobs.len(), jobs);
    for top in [10, 11, 12, 13, 14] {
        pool.sv2[link].miner.update(id, 0.0, target(top));
        pool.pump();
        let max = bitcoin::Target::from_le_bytes(target(top).to_le_bytes());
        assert!(pool.sv2[link].miner.channels[&id].target <= max, "MP-47");
    }
    assert_eq!(count(&pool, "SetTarget"), 10);
    assert_eq!(pool.sv2[link].miner.channels[&id].jobs.len(), jobs + 1);
    pool.advance(1_000 * MILLISECOND);
    let channel = &pool.sv2[link].miner.channels[&id];
    assert_eq!(channel.jobs.len(), jobs + 2);
    assert_eq!(channel.job().target, channel.target);
    pool.advance(5_000 * MILLISECOND);
    assert_eq!(pool.sv2[link].miner.channels[&id].jobs.len(), jobs + 2);
}

/// MP-49: an update that makes no sense changes nothing.
#[test]
fn a_bad_update_is_refused() {
    let mut pool = pool();
    let (link, id) = with_channel(&mut pool, true, 1);
    let target = pool.sv2[link].miner.channels[&id].target;
    pool.sv2[link].miner.update(id, f32::NAN, U256::MAX);
    pool.sv2[link]
        .miner
        .update(id, 1.0, U256::from_le_bytes([0; 32]));
    pool.sv2[link].miner.update(99, 1.0, U256::MAX);
    pool.pump();
    let miner = &pool.sv2[link].miner;
    let codes: Vec<_> = miner
        .update_errors
        .iter()
        .map(|(id, code)| (*id, code.as_str()))
        .collect();
    let expected = [
        (id, "invalid-nominal-hashrate"),
        (id, "max-target-out-of-range"),
        (99, "invalid-channel-id"),
    ];
    assert_eq!(codes, expected);
    assert_eq!(miner.channels[&id].target, target);
}

/// MP-15, MP-51: nothing is sent for a closed channel, its id is never used again, and a share for
/// it is refused though another channel has been opened.
#[test]
fn a_closed_channel_stays_closed() {
    let mut pool = pool();
    let (link, id) = with_channel(&mut pool, true, 1);
    let nonce = share(&pool, link, id, 1);
    let sequence = pool.sv2[link].miner.submit(id, &nonce);
    pool.pump();
    pool.sv2[link].miner.close(id);
    // The miner panics at anything that comes for the closed channel, the acknowledgement included.
    pool.advance(200 * MILLISECOND);
    assert_eq!(pool.sv2[link].miner.rejection(sequence), None);
    pool.new_tip();
    let other = open(&mut pool, link, true, 1);
    assert_ne!(other, id);
    let late = pool.sv2[link].miner.submit_as(id, true, &nonce);
    pool.pump();
    assert_eq!(
        pool.sv2[link].miner.rejection(late),
        Some("invalid-channel-id")
    );
}

/// MP-55: a group is closed with all its channels, and with no other.
#[test]
fn closing_a_group_closes_its_channels() {
    let mut pool = pool();
    let (link, first) = with_channel(&mut pool, true, 1);
    open(&mut pool, link, false, 1);
    let other = open(&mut pool, link, true, 2);
    let group = pool.sv2[link].miner.channels[&first].group;
    pool.sv2[link].miner.close(group);
    pool.new_tip();
    let left: Vec<u32> = pool.sv2[link].miner.channels.keys().copied().collect();
    assert_eq!(left, [other]);
    assert_eq!(pool.sv2[link].miner.channels[&other].jobs.len(), 2);
}

/// MP-2, MP-14, R-6: over ten thousand opens and closes no two channels that could have work at the
/// same time have one prefix; all prefixes come back.
#[test]
fn prefixes_are_unique_and_come_back() {
    let mut pool = pool();
    let link = pool.connect_sv2();
    pool.sv2[link].miner.set_up(0);
    let user = address(1).to_string();
    let mut since_tip = HashSet::new();
    for round in 0..10_000u32 {
        pool.sv2[link].miner.open_extended(&user, 0.0, U256::MAX, 2);
        pool.pump();
        let miner = &mut pool.sv2[link].miner;
        let id = *miner.opened.last().unwrap();
        let prefix = miner.channels[&id].extranonce_prefix.clone();
        assert!(since_tip.insert(prefix), "a prefix was given out twice");
        // Not checked on every round by the scripted miner, which would look through all of them.
        miner.opened.clear();
        miner.close(id);
        if round % 1_000 == 999 {
            pool.new_tip();
            since_tip.clear();
        }
    }
    assert_eq!(pool.sv2[link].miner.refused, []);
    pool.close_sv2(link);
    pool.new_tip();
    assert_eq!(pool.hub.prefixes_in_use(), 0);
}

/// MP-15, MP-16, MP-17: each channel, of whatever kind and on whatever connection, is told its group,
/// whose id is not 0 and is no channel's.
#[test]
fn every_channel_is_told_its_group() {
    for flags in [0, STANDARD_JOBS] {
        let mut pool = pool();
        let link = pool.connect_sv2();
        pool.sv2[link].miner.set_up(flags);
        for user in [1, 2, 1, 3] {
            open(&mut pool, link, false, user);
            if flags == 0 {
                open(&mut pool, link, true, user);
            }
        }
        let channels = &pool.sv2[link].miner.channels;
        assert_eq!(channels.len(), if flags == 0 { 8 } else { 4 });
        let groups: HashSet<u32> = channels.values().map(|channel| channel.group).collect();
        assert_eq!(groups.len(), 3, "one for each payout");
        assert!(groups.iter().all(|group| *group != 0));
        assert!(groups.iter().all(|group| !channels.contains_key(group)));
        assert!(channels.keys().all(|id| *id != 0));
    }
}

/// MP-48: a larger maximum is a wish, and the pool goes by the hashrate.
#[test]
fn a_larger_maximum_target_is_a_wish() {
    let mut pool = Pool::new(&PoolSettings {
        bits: 0x1b00_ffff,
        ..PoolSettings::default()
    });
    let link = pool.connect_sv2();
    pool.sv2[link].miner.set_up(0);
    let user = address(1).to_string();
    // At 1 TH/s the pool wants difficulty 1,024; at 1 GH/s one.
    pool.sv2[link]
        .miner
        .open_extended(&user, 1e12, target(40), 2);
    pool.pump();
    let id = pool.sv2[link].miner.opened[0];
    let difficulty = |pool: &Pool| pool.sv2[link].miner.channels[&id].target.difficulty_float();
    assert_eq!(difficulty(&pool), 1024.0);
    pool.sv2[link].miner.update(id, 1e12, U256::MAX);
    pool.pump();
    assert_eq!(difficulty(&pool), 1024.0);
    assert_eq!(pool.sv2[link].miner.channels[&id].jobs.len(), 1);
    pool.sv2[link].miner.update(id, 1e9, target(40));
    pool.pump();
    assert_eq!(difficulty(&pool), 512.0, "the smaller maximum is none");
    pool.sv2[link].miner.update(id, 1e9, U256::MAX);
    pool.pump();
    assert_eq!(difficulty(&pool), 1.0);
    assert_eq!(pool.sv2[link].miner.update_errors, []);
}
