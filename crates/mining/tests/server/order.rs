//! What is sent twice, late or out of order. The orders that deployed clients need are in
//! `tests/transcripts.rs`.

use std::time::Duration;

use headframe_testkit::Pool;

use crate::{pool, with_channel};

fn names(pool: &Pool, link: usize) -> Vec<&str> {
    let transcript = pool.sv2[link].miner.transcript.iter();
    transcript.map(String::as_str).collect()
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
