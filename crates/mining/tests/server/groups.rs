//! Channels that are addressed together (R-1, R-9, MP-9, MP-95, MP-101).
//!
//! The scripted miner panics at a group's message where a channel's is due and the other way round,
//! at a tip that is addressed to another id than its job, and at a job id that a channel had.

use std::time::Duration;

use headframe_channels::DifficultySettings;
use headframe_sv2_wire::U256;
use headframe_testkit::{EASY_BITS, Pool, PoolSettings, address};
use headframe_work::Rung;

use crate::{MILLISECOND, STANDARD_JOBS, block, open, pool, share, with_channel};

/// What came to each id after the first `from` messages.
fn told(pool: &Pool, link: usize, from: usize) -> Vec<String> {
    pool.sv2[link].miner.transcript[from..].to_vec()
}

/// A connection with a group of a standard and two extended channels, and one channel that pays
/// somebody else. Gives the link, the three, the other, and the group's id.
fn grouped(pool: &mut Pool) -> (usize, [u32; 3], u32, u32) {
    let (link, first) = with_channel(pool, true, 1);
    let other = open(pool, link, true, 2);
    let second = open(pool, link, false, 1);
    let third = open(pool, link, true, 1);
    let miner = &pool.sv2[link].miner;
    let group = |id| miner.channels[&id].group;
    assert_eq!(group(first), group(second));
    assert_eq!(group(first), group(third));
    assert_ne!(
        group(first),
        group(other),
        "another payout is another group"
    );
    let group = group(first);
    (link, [first, second, third], other, group)
}

#[test]
fn a_group_gets_one_job_and_one_tip() {
    let mut pool = pool();
    let (link, members, other, group) = grouped(&mut pool);
    let before = told(&pool, link, 0).len();
    pool.new_tip();
    pool.advance(MILLISECOND);
    pool.new_template();
    let mut expected = Vec::new();
    for id in [group, other] {
        expected.push(format!("NewExtendedMiningJob(future) {id}"));
        expected.push(format!("SetNewPrevHash {id}"));
    }
    expected.push(format!("NewExtendedMiningJob {group}"));
    expected.push(format!("NewExtendedMiningJob {other}"));
    assert_eq!(told(&pool, link, before), expected);
    for id in members {
        assert_eq!(pool.sv2[link].miner.channels[&id].jobs.len(), 3);
    }
}

/// Each member's own extranonce prefix makes a group's job its own work, and each is paid.
#[test]
fn shares_and_blocks_of_all_members_count() {
    let mut pool = pool();
    let (link, members, other, _) = grouped(&mut pool);
    pool.new_tip();
    for (seed, id) in (1..).zip(members.into_iter().chain([other])) {
        let nonce = share(&pool, link, id, seed);
        pool.sv2[link].miner.submit(id, &nonce);
        let nonce = block(&pool, link, id, seed);
        pool.sv2[link].miner.submit(id, &nonce);
    }
    pool.advance(Duration::from_secs(1));
    let connection = &pool.sv2[link];
    assert_eq!(connection.miner.rejected, []);
    let paid: Vec<_> = connection
        .blocks()
        .iter()
        .map(|block| block.txdata[0].output[0].script_pubkey.clone())
        .collect();
    let script = |user| address(user).script_pubkey();
    assert_eq!(paid, [script(1), script(1), script(1), script(2)]);
}

/// MP-24: nothing for groups where the client takes standard jobs only.
#[test]
fn a_client_of_standard_jobs_is_never_addressed_as_a_group() {
    let mut pool = pool();
    let (link, first) = with_channel(&mut pool, false, 1);
    assert_eq!(STANDARD_JOBS, 1);
    let second = open(&mut pool, link, false, 1);
    pool.advance(Duration::from_secs(2));
    pool.new_tip_begun();
    let jobs = |id| &pool.sv2[link].miner.channels[&id].jobs;
    assert_eq!((jobs(first).len(), jobs(second).len()), (3, 3));
}

/// The last one of a group is addressed by its own id, and a group that was closed is nobody.
#[test]
fn a_group_of_one_is_a_channel_again() {
    let mut pool = pool();
    let (link, [first, second, third], other, group) = grouped(&mut pool);
    pool.advance(Duration::from_secs(2));
    pool.sv2[link].miner.close(first);
    pool.sv2[link].miner.close(third);
    pool.pump();
    // The tip comes before the job could be sent ahead to the channel's own id.
    let before = told(&pool, link, 0).len();
    pool.new_tip_begun();
    let to_second: Vec<_> = told(&pool, link, before)
        .into_iter()
        .filter(|message| message.ends_with(&format!(" {second}")))
        .collect();
    assert_eq!(
        to_second,
        [
            format!("NewMiningJob(future) {second}"),
            format!("SetNewPrevHash {second}")
        ]
    );
    pool.advance(Duration::from_secs(2));
    pool.sv2[link].miner.close(group);
    pool.pump();
    pool.new_tip_begun();
    let miner = &pool.sv2[link].miner;
    assert_eq!(miner.channels.keys().copied().collect::<Vec<_>>(), [other]);
    assert_eq!(pool.sv2[link].fault, None);
}

/// Each member keeps a target of its own, and gets a job of its own when it changes.
#[test]
fn a_member_s_target_is_its_own() {
    let mut pool = pool();
    let (link, [first, second, third], ..) = grouped(&mut pool);
    pool.advance(Duration::from_secs(2));
    let before = pool.sv2[link].miner.channels[&first].target;
    let any = U256::MAX;
    pool.sv2[link].miner.update(third, 2e3, any);
    pool.advance(Duration::from_secs(2));
    let target = |id| pool.sv2[link].miner.channels[&id].target;
    assert!(target(third) < before);
    assert_eq!((target(first), target(second)), (before, before));
    // The next job of the group is judged by each one's own.
    pool.new_template();
    let nonce = share(&pool, link, third, 5);
    let sequence = pool.sv2[link].miner.submit(third, &nonce);
    pool.advance(Duration::from_secs(1));
    assert_eq!(pool.sv2[link].miner.rejection(sequence), None);
}

/// On a chain where a share is no block before difficulty 2^-3.
const HARD_BITS: u32 = 0x1c07_ffff;

/// A group of three channels that declare `rates`, and its id, in a pool whose network has `bits`.
fn group_of(bits: u32, rates: [f32; 3]) -> (Pool, usize, [u32; 3], u32) {
    let mut pool = Pool::new(&PoolSettings {
        bits,
        difficulty: DifficultySettings {
            min: Rung::EASIEST,
            ..DifficultySettings::default()
        },
        ..PoolSettings::default()
    });
    let link = pool.connect_sv2();
    pool.sv2[link].miner.set_up(0);
    let user = address(1).to_string();
    for rate in rates {
        let miner = &mut pool.sv2[link].miner;
        miner.open_extended(&user, rate, U256::MAX, 2);
    }
    pool.pump();
    let miner = &pool.sv2[link].miner;
    let members = [0, 1, 2].map(|number| miner.opened[number]);
    let group = miner.channels[&members[0]].group;
    (pool, link, members, group)
}

fn targets(pool: &Pool, link: usize) -> Vec<(String, usize)> {
    let told = told(pool, link, 0);
    let targets = told.iter().enumerate();
    let targets = targets.filter(|(_, message)| message.starts_with("SetTarget"));
    targets.map(|(at, message)| (message.clone(), at)).collect()
}

/// MP-125: a tip whose network target lets shares be harder changes the target of all members alike: one
/// message tells them, before the job that it holds for. Members that differ are told one by one.
#[test]
fn a_target_that_is_right_for_all_of_a_group_is_told_once() {
    let (mut pool, link, members, group) = group_of(EASY_BITS, [4e4; 3]);
    let target = |pool: &Pool, id| pool.sv2[link].miner.channels[&id].job().target;
    let capped = target(&pool, members[0]);
    pool.chain.bits = HARD_BITS;
    pool.new_tip();
    assert_eq!(targets(&pool, link).len(), 1);
    let (message, at) = &targets(&pool, link)[0];
    assert_eq!(*message, format!("SetTarget {group}"));
    let next = &told(&pool, link, 0)[at + 1];
    assert_eq!(*next, format!("NewExtendedMiningJob(future) {group}"));
    assert!(members.iter().all(|id| target(&pool, *id) < capped));
    let nonce = share(&pool, link, members[2], 1);
    let sequence = pool.sv2[link].miner.submit(members[2], &nonce);
    pool.advance(Duration::from_secs(1));
    assert_eq!(pool.sv2[link].miner.rejection(sequence), None);

    let (mut pool, link, members, _) = group_of(EASY_BITS, [4e4, 4e4, 1.6e5]);
    pool.chain.bits = HARD_BITS;
    pool.new_tip();
    let expected = members.map(|id| format!("SetTarget {id}"));
    let told: Vec<_> = targets(&pool, link).into_iter().collect();
    assert!(told.iter().map(|(message, _)| message).eq(&expected));
    let target = |id| pool.sv2[link].miner.channels[&id].job().target;
    assert_eq!(target(members[0]), target(members[1]));
    assert!(target(members[2]) < target(members[0]));
}

/// Devices that came together and find nothing are eased together: one target and one job for all.
#[test]
fn what_all_of_a_group_need_goes_to_the_group() {
    let (mut pool, link, members, group) = group_of(HARD_BITS, [4e5; 3]);
    pool.advance(Duration::from_secs(14));
    let before = told(&pool, link, 0).len();
    pool.advance(Duration::from_secs(2));
    assert_eq!(
        told(&pool, link, before),
        [
            format!("SetTarget {group}"),
            format!("NewExtendedMiningJob {group}")
        ]
    );
    // One of them is heard of now, and is left alone when the others are eased.
    let nonce = share(&pool, link, members[0], 1);
    pool.sv2[link].miner.submit(members[0], &nonce);
    let before = told(&pool, link, 0).len();
    pool.advance(Duration::from_secs(15));
    let told = told(&pool, link, before);
    for id in &members[1..] {
        let both = ["SetTarget", "NewExtendedMiningJob"].map(|name| format!("{name} {id}"));
        assert!(
            both.iter().all(|message| told.contains(message)),
            "{told:?}"
        );
    }
    assert!(!told.contains(&format!("SetTarget {group}")), "{told:?}");
}

/// `UpdateChannel` is about a channel (§5.3.7), and only two messages are said to take a group's id
/// (§5.3.9, §5.3.21): what a whole group declares is nobody's hashrate.
#[test]
fn a_group_cannot_be_updated() {
    let mut pool = pool();
    let (link, members, _, group) = grouped(&mut pool);
    let before = members.map(|id| pool.sv2[link].miner.channels[&id].target);
    pool.sv2[link].miner.update(group, 1e9, U256::MAX);
    pool.advance(Duration::from_secs(2));
    let miner = &pool.sv2[link].miner;
    let refused = (group, "invalid-channel-id".to_owned());
    assert_eq!(miner.update_errors, [refused]);
    assert_eq!(members.map(|id| miner.channels[&id].target), before);
}
