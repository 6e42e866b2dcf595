//! On one tip the pool's work is replaced when fees have risen materially, or after a while: never
//! with each template that a node pushes. A new tip waits for nothing.

use std::time::{Duration, Instant};

use bitcoin::{Amount, CompactTarget};
use headframe_mining::server::NewTemplate;
use headframe_testkit::{Pool, PoolSettings};
use headframe_work::{Template, UnixTime};

use crate::{MILLISECOND, pool, share, with_channel, with_sv1};

const SECOND: Duration = Duration::from_secs(1);

/// What the block of the test's templates pays.
const VALUE: Amount = Amount::from_sat(100_000_000);

/// What it pays when the best transaction is gone: hardly more than the subsidy.
const POOR: Amount = Amount::from_sat(80_000_000);

/// A template on the present tip that pays `value`.
fn paying(pool: &mut Pool, value: Amount) -> NewTemplate {
    let mut new = pool.node_template();
    let mut template = Template::clone(&new.template);
    let subsidy = template.network.subsidy(template.height);
    let fees = template.transactions.iter_mut().map(|tx| &mut tx.fee);
    fees.for_each(|fee| *fee = Amount::ZERO);
    template.transactions[0].fee = value - subsidy;
    template.coinbase_value = value;
    new.template = template.into();
    new
}

/// A template on the present tip that pays [`VALUE`], with one thing changed.
fn changed(pool: &mut Pool, change: impl FnOnce(&mut Template)) -> NewTemplate {
    let mut new = paying(pool, VALUE);
    let mut template = Template::clone(&new.template);
    change(&mut template);
    new.template = template.into();
    new
}

/// A pool whose present work, which pays [`VALUE`], has just gone out.
fn settled() -> Pool {
    let mut pool = pool();
    let new = paying(&mut pool, VALUE);
    let work = pool.hub.handle_template(pool.now, new);
    pool.give_work(&work.expect("a good template"));
    pool
}

/// How long after now the pool's work is replaced if the node gives `new`.
fn wait_for(pool: &mut Pool, new: NewTemplate) -> Duration {
    pool.hub.offer(new);
    let due = pool.hub.poll_timeout().expect("there is work");
    due.saturating_duration_since(pool.now)
}

/// Does what the pool's hub task does until `end`: other work goes out when it is due.
fn run_until(pool: &mut Pool, end: Instant) {
    while let Some(due) = pool.hub.poll_timeout().filter(|due| *due <= end) {
        pool.advance(due.saturating_duration_since(pool.now));
        let now = pool.now;
        let work = match pool.hub.take_offered() {
            None => pool.hub.refresh(now).expect("there is work"),
            Some(new) => {
                if let Some(start) = pool.hub.begin_tip(now, &new) {
                    pool.give_work(&start);
                }
                pool.hub.handle_template(now, new).expect("a good template")
            }
        };
        pool.give_work(&work);
    }
    pool.advance(end.saturating_duration_since(pool.now));
}

/// Ten thousand sats and one percent of what the block pays, both: that is material.
#[test]
fn fees_that_rise_materially_wait_ten_seconds_and_others_thirty() {
    let sat = Amount::from_sat;
    let percent = VALUE / 100;
    for (rise, seconds) in [
        (Amount::ZERO, 30),
        (percent - sat(1), 30),
        (percent, 10),
        (VALUE, 10),
    ] {
        let mut pool = settled();
        let new = paying(&mut pool, VALUE + rise);
        assert_eq!(wait_for(&mut pool, new), seconds * SECOND, "{rise}");
    }
    // A block that pays next to nothing.
    for (rise, seconds) in [(9_999, 30), (10_000, 10)] {
        let mut pool = pool();
        pool.chain.height = 10_000;
        let new = paying(&mut pool, sat(1_000));
        pool.hub.handle_template(pool.now, new).unwrap();
        let new = paying(&mut pool, sat(1_000 + rise));
        assert_eq!(wait_for(&mut pool, new), seconds * SECOND, "{rise}");
    }
    // The first transaction is more than any part of nothing.
    let mut pool = Pool::new(&PoolSettings {
        transactions: 0,
        ..PoolSettings::default()
    });
    pool.chain.transactions = 1;
    let new = pool.node_template();
    assert_eq!(wait_for(&mut pool, new), 10 * SECOND);
}

/// A template that pays less, whose transactions were evicted, is in no hurry, and what was sent before
/// stays good.
#[test]
fn fees_that_fall_leave_older_jobs_good() {
    let mut pool = settled();
    let (link, id) = with_channel(&mut pool, true, 1);
    let nonce = share(&pool, link, id, 1);
    let new = paying(&mut pool, POOR);
    assert_eq!(wait_for(&mut pool, new), 30 * SECOND);
    let end = pool.now + 31 * SECOND;
    run_until(&mut pool, end);
    assert_eq!(pool.work().prepared.template().coinbase_value, POOR);
    let sequence = pool.sv2[link].miner.submit(id, &nonce);
    pool.advance(SECOND);
    assert_eq!(pool.sv2[link].miner.rejection(sequence), None);
}

/// The node's tip, the bits that it says, and how long they hold: each makes the work another at once.
#[test]
fn a_new_tip_and_another_header_wait_for_nothing() {
    let mut pool = settled();
    pool.chain.advance();
    let new = paying(&mut pool, VALUE);
    assert_eq!(wait_for(&mut pool, new), Duration::ZERO);

    let mut pool = settled();
    let easier = CompactTarget::from_consensus(0x1f01_ffff);
    let new = changed(&mut pool, |template| template.bits = easier);
    assert_eq!(wait_for(&mut pool, new), Duration::ZERO);

    let mut pool = settled();
    let mut new = paying(&mut pool, VALUE);
    new.latest = Some(UnixTime::from_secs(pool.chain.time + 1_200));
    assert_eq!(wait_for(&mut pool, new), Duration::ZERO);
}

/// The full job follows the empty one that a tip is begun with, whatever it pays (MP-13).
#[test]
fn the_full_job_of_a_tip_waits_for_nothing() {
    let mut pool = settled();
    pool.chain.advance();
    let new = paying(&mut pool, VALUE);
    assert!(pool.hub.begin_tip(pool.now, &new).is_some());
    let poorer = paying(&mut pool, POOR);
    assert_eq!(wait_for(&mut pool, poorer), Duration::ZERO);
}

/// A template a second for ten minutes: jobs come as from a node that gives one now and then, each with
/// the newest of the templates, on both protocols. With fees that rise for ever they come every ten
/// seconds; and a tip in the midst of it goes out when it comes.
#[test]
fn a_storm_of_templates_makes_no_flood_of_jobs() {
    for (grows, every) in [(false, 30), (true, 10)] {
        let mut pool = settled();
        let (link, id) = with_channel(&mut pool, true, 1);
        let (sv1, _) = with_sv1(&mut pool, 1);
        let jobs = |pool: &Pool| {
            let sv2 = pool.sv2[link].miner.channels[&id].jobs.len();
            (sv2, pool.sv1[sv1].miner.jobs.len())
        };
        let before = jobs(&pool);
        let (mut value, mut newest) = (VALUE, VALUE);
        for _ in 0..600 {
            value += match grows {
                true => value / 50,
                false => Amount::from_sat(1),
            };
            let new = paying(&mut pool, value);
            pool.hub.offer(new);
            let end = pool.now + SECOND - MILLISECOND;
            let number = pool.work().job_id;
            run_until(&mut pool, end);
            if pool.work().job_id != number {
                newest = pool.work().prepared.template().coinbase_value;
                assert_eq!(newest, value, "the newest is worked on");
            }
            pool.advance(MILLISECOND);
        }
        assert!(newest > VALUE);
        let after = jobs(&pool);
        let expected = 600 / every;
        for made in [after.0 - before.0, after.1 - before.1] {
            assert!((expected - 2..=expected).contains(&made), "{made} jobs");
        }
        pool.chain.advance();
        let new = paying(&mut pool, value);
        pool.hub.offer(new);
        let now = pool.now;
        run_until(&mut pool, now);
        assert_eq!(pool.work().tip(), pool.chain.tip);
    }
}

/// R-15, MP-135: while the node has nothing, the work gets another number and a later time every 45 s.
/// A template that comes when the present one is 30 s old is worked on at once.
#[test]
fn work_is_numbered_anew_while_nothing_comes() {
    let mut pool = settled();
    let (link, id) = with_channel(&mut pool, true, 1);
    let end = pool.now + 180 * SECOND;
    run_until(&mut pool, end);
    let jobs = &pool.sv2[link].miner.channels[&id].jobs;
    let times: Vec<u32> = jobs.iter().map(|job| job.time).collect();
    assert_eq!(times.len(), 5);
    assert!(times.windows(2).all(|pair| pair[1] == pair[0] + 45));
    let end = pool.now + 30 * SECOND;
    run_until(&mut pool, end);
    let new = paying(&mut pool, VALUE);
    assert_eq!(wait_for(&mut pool, new), Duration::ZERO);
}

/// A template on which no block can be built keeps nothing from being numbered anew.
#[test]
fn a_template_that_cannot_be_worked_on_stops_nothing() {
    let mut pool = settled();
    let unusable = changed(&mut pool, |template| template.limits.sigops = 1);
    assert_eq!(wait_for(&mut pool, unusable.clone()), 30 * SECOND);
    pool.advance(30 * SECOND);
    let new = pool.hub.take_offered().expect("it was offered");
    assert!(pool.hub.handle_template(pool.now, new.clone()).is_err());
    assert!(pool.hub.handle_unusable(pool.now, new).is_none());
    let due = pool.hub.poll_timeout().unwrap();
    assert_eq!(due, pool.now + 15 * SECOND);
}
