//! The first messages, in the order that deployed miners need.

use std::time::Duration;

use headframe_sv2_wire::U256;
use headframe_testkit::{Pool, address};

use crate::{MILLISECOND, STANDARD_JOBS, pool, with_channel};

fn names(pool: &Pool, link: usize) -> Vec<&str> {
    let transcript = pool.sv2[link].miner.transcript.iter();
    transcript.map(String::as_str).collect()
}

/// SRI's `mining_device`, and ESP-Miner on a standard channel: `REQUIRES_STANDARD_JOBS`, all targets
/// (MP-24, MP-43, MP-86, MP-88; sri-apps 4.3; esp-miner 5.1).
#[test]
fn a_standard_miner_gets_success_one_future_job_and_its_tip() {
    let mut pool = pool();
    let link = pool.connect_sv2();
    pool.sv2[link].miner.set_up(STANDARD_JOBS);
    let user = address(1).to_string();
    pool.sv2[link].miner.open_standard(&user, 1e12, U256::MAX);
    pool.pump();
    assert_eq!(
        names(&pool, link),
        [
            "SetupConnection.Success",
            "OpenStandardMiningChannel.Success 1",
            "NewMiningJob(future) 1",
            "SetNewPrevHash 1",
        ]
    );
    // Success.flags are the pool's, never an echo (MP-30).
    assert_eq!(pool.sv2[link].miner.setup, Some(Ok((2, 0))));
    pool.new_tip();
    pool.advance(MILLISECOND);
    pool.new_template();
    assert_eq!(
        names(&pool, link)[4..],
        [
            "NewMiningJob(future) 1",
            "SetNewPrevHash 1",
            "NewMiningJob 1"
        ]
    );
}

/// SRI's translator: `REQUIRES_VERSION_ROLLING`, its own reserve of extranonce, a finite target, and
/// `UpdateChannel` right after opening (MP-19, MP-40, MP-87, R-11, R-13; sri-apps 4.1).
#[test]
fn a_translator_gets_what_it_asks_for_or_more() {
    let mut pool = pool();
    let link = pool.connect_sv2();
    let miner = &mut pool.sv2[link].miner;
    miner.set_up(0b100);
    let user = format!("{}.translator-proxy", address(1));
    let mut max_target = [0xff; 32];
    max_target[28..].fill(0);
    let max_target = U256::from_le_bytes(max_target);
    miner.open_extended(&user, 1e13, max_target, 10);
    pool.pump();
    let miner = &mut pool.sv2[link].miner;
    let id = miner.opened[0];
    assert_eq!(miner.channels[&id].extranonce_size, 10);
    let max_target = bitcoin::Target::from_le_bytes(max_target.to_le_bytes());
    assert!(miner.channels[&id].target <= max_target, "MP-38");
    miner.update(id, 1e13, U256::from_le_bytes(max_target.to_le_bytes()));
    pool.pump();
    assert_eq!(
        names(&pool, link),
        [
            "SetupConnection.Success",
            "OpenExtendedMiningChannel.Success 1",
            "NewExtendedMiningJob(future) 1",
            "SetNewPrevHash 1",
            "SetTarget 1",
        ]
    );
}

/// ESP-Miner on an extended channel: flags 0, all targets, 1e12 whatever it is, two bytes
/// (esp-miner 5.2, R-11).
#[test]
fn an_esp_miner_gets_eight_bytes_to_roll() {
    let mut pool = pool();
    let link = pool.connect_sv2();
    pool.sv2[link].miner.set_up(0);
    let user = address(1).to_string();
    pool.sv2[link]
        .miner
        .open_extended(&user, 1e12, U256::MAX, 2);
    pool.pump();
    let channel = &pool.sv2[link].miner.channels[&1];
    assert_eq!(channel.extranonce_size, 8);
    assert_eq!(channel.extranonce_prefix.len(), 4);
    assert_eq!(
        names(&pool, link)[1..],
        [
            "OpenExtendedMiningChannel.Success 1",
            "NewExtendedMiningJob(future) 1",
            "SetNewPrevHash 1",
        ]
    );
}

/// A template that comes to a session twice is sent once: `mining_device` panics at a job id that
/// recurs.
#[test]
fn the_same_work_is_not_sent_twice() {
    let mut pool = pool();
    let (link, _) = with_channel(&mut pool, false, 1);
    let before = names(&pool, link).len();
    let work = pool.work();
    pool.give_work(&work);
    assert_eq!(names(&pool, link).len(), before);
}

/// What a channel could not get a job of, it gets as a future job when there is one again: nothing
/// begins before a `SetNewPrevHash` (MP-89).
#[test]
fn a_channel_without_a_job_gets_the_next_as_a_future_job() {
    let mut pool = pool();
    // No coinbase fits into the weight that is left.
    let mut template = pool.chain.template();
    let used: u32 = template.transactions.iter().map(|tx| tx.weight).sum();
    template.limits.weight = used + 4 * 81 + 100;
    let new = pool.given(template);
    let work = pool.hub.handle_template(pool.now, new).unwrap();
    pool.give_work(&work);
    let (link, id) = with_channel(&mut pool, false, 1);
    assert!(pool.sv2[link].miner.channels[&id].jobs.is_empty());
    let is_told = |event: &headframe_mining::server::SessionEvent| {
        matches!(event, headframe_mining::server::SessionEvent::NoJob { .. })
    };
    assert!(pool.sv2[link].events.iter().any(is_told));
    pool.advance(Duration::from_secs(29));
    pool.new_template();
    assert_eq!(
        names(&pool, link)[2..],
        ["NewMiningJob(future) 1", "SetNewPrevHash 1"]
    );
}

/// A node's clock may be set back. Jobs on one tip do not go back in time all the same: SRI's
/// translator leaves such a pool, and so does the scripted miner.
#[test]
fn jobs_do_not_go_back_in_time() {
    let mut pool = pool();
    let (link, id) = with_channel(&mut pool, true, 1);
    pool.advance(Duration::from_secs(100));
    for set_back in [1, 200, 50] {
        let mut template = pool.chain.template();
        let time = template.current_time.as_secs() + 100 - set_back;
        template.current_time = headframe_work::UnixTime::from_secs(time);
        let new = pool.given(template);
        let work = pool.hub.handle_template(pool.now, new).unwrap();
        pool.give_work(&work);
    }
    let times: Vec<u32> = pool.sv2[link].miner.channels[&id]
        .jobs
        .iter()
        .map(|job| job.time)
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times.len(), 4);
}
