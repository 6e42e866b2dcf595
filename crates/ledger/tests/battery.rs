//! What every ledger must do, run over each implementation.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use core::time::Duration;

use bitcoin::{Amount, CompactTarget};
use common::{DAWN, at, hash, share, units, worker};
use headframe_ledger::{
    BAN_REMEMBERED, BEST_SHARES, Ban, BlockFate, BlockUpdate, Bucket, ClientKind, FoundBlock,
    Ledger, LedgerError, MAX_ANSWERS, MAX_BANS, Protocol, Rejection, Retention, ShareBatch,
    Sighting, Slot, Sums, Text, Upkeep,
};
use headframe_work::UnixTime;

/// Opens an empty ledger.
type Open<'a> = &'a dyn Fn(Retention) -> Box<dyn Ledger>;

macro_rules! battery {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $test() {
                let dir = tempfile::tempdir().unwrap();
                super::$test(&|retention| {
                    let dir = headframe_ledger::DataDir::open(dir.path()).unwrap();
                    Box::new(headframe_ledger::SqliteLedger::open(&dir, retention).unwrap())
                });
            })*
        }
        mod memory {
            $(#[test]
            fn $test() {
                super::$test(&|retention| Box::new(headframe_ledger::MemoryLedger::new(retention)));
            })*
        }
    };
}

battery!(
    an_empty_ledger_shows_nothing,
    shares_are_summed_per_worker_and_minute,
    work_is_exact_past_64_bits_and_stops_at_the_end,
    rejections_are_told_apart,
    a_sighting_stays_until_the_next,
    the_best_shares_are_kept,
    a_block_goes_its_way,
    what_is_not_known_of_a_block_stays_unknown,
    a_block_is_recorded_once,
    a_ban_is_remembered_for_a_day_after_its_end,
    bans_are_bounded_and_those_that_end_first_go,
    answers_of_nodes_are_bounded,
    news_of_an_unknown_block_is_refused,
    slots_are_whole_ordered_and_disjoint,
    a_simulated_year_stays_small_and_loses_nothing,
    a_late_share_joins_the_slot_that_is_left,
    old_days_are_dropped_but_not_the_totals,
    the_least_recently_seen_workers_are_forgotten,
);

fn open_default(open: Open<'_>) -> Box<dyn Ledger> {
    open(Retention::default())
}

fn ever() -> core::ops::Range<UnixTime> {
    UnixTime::from_secs(0)..UnixTime::from_secs(u32::MAX)
}

fn total(slots: &[Slot]) -> Sums {
    let mut sum = Sums::default();
    for slot in slots {
        sum.add(&slot.sums);
    }
    sum
}

fn keep_up(ledger: &mut dyn Ledger, now: UnixTime) {
    while ledger.upkeep(now).unwrap() == Upkeep::More {}
}

fn an_empty_ledger_shows_nothing(open: Open<'_>) {
    let mut ledger = open_default(open);
    ledger.record(&ShareBatch::default()).unwrap();
    assert_eq!(ledger.upkeep(at(0)).unwrap(), Upkeep::Done);
    assert_eq!(
        ledger.totals().unwrap(),
        headframe_ledger::Totals::default()
    );
    assert!(ledger.workers(10).unwrap().is_empty());
    assert!(ledger.worker(&worker("a")).unwrap().is_none());
    assert!(ledger.best_shares().unwrap().is_empty());
    assert!(ledger.blocks(10).unwrap().is_empty());
    assert!(
        ledger
            .pool_history(ever(), Bucket::Minute)
            .unwrap()
            .is_empty()
    );
    let nobody = ledger.worker_history(&worker("a"), ever(), Bucket::Minute);
    assert!(nobody.unwrap().is_empty());
}

fn shares_are_summed_per_worker_and_minute(open: Open<'_>) {
    let mut ledger = open_default(open);
    let [a, b] = ["a", "b"].map(worker);
    let mut batch = ShareBatch::default();
    batch.accept(&a, units(100), share(90, 0));
    batch.accept(&a, units(10), share(91, 59));
    batch.accept(&a, units(1), share(92, 60));
    batch.not_durable(&a, at(60));
    batch.accept(&b, units(1000), share(93, 61));
    assert_eq!(batch.shares(), 4);
    ledger.record(&batch).unwrap();
    batch.clear();
    assert!(batch.is_empty());
    batch.accept(&a, units(5), share(94, 119));
    ledger.record(&batch).unwrap();

    let history = ledger.worker_history(&a, ever(), Bucket::Minute).unwrap();
    let shape: Vec<_> = history
        .iter()
        .map(|slot| {
            (
                slot.start,
                slot.seconds,
                slot.sums.accepted.count,
                slot.sums.accepted.work.units(),
                slot.sums.not_durable,
            )
        })
        .collect();
    assert_eq!(shape, [(at(0), 60, 2, 110, 0), (at(60), 60, 2, 6, 1)]);
    let pool = ledger.pool_history(ever(), Bucket::Minute).unwrap();
    assert_eq!(pool[1].sums.accepted.count, 3);
    assert_eq!(pool[1].sums.accepted.work, units(1006));
    let totals = ledger.totals().unwrap();
    assert_eq!(totals.sums, total(&pool));
    assert_eq!(totals.sums.accepted.work, units(1116));
    assert_eq!(
        (totals.since, totals.last_accepted, totals.workers),
        (Some(at(0)), Some(at(119)), 2)
    );
    let latest: Vec<_> = ledger
        .workers(10)
        .unwrap()
        .into_iter()
        .map(|r| (r.worker, r.sums.accepted.count))
        .collect();
    assert_eq!(latest, [(a.clone(), 4), (b, 1)]);
    let record = ledger.worker(&a).unwrap().unwrap();
    assert_eq!(
        (record.first_seen, record.last_seen, record.last_accepted),
        (at(0), at(119), Some(at(119)))
    );
    assert_eq!(ledger.workers(1).unwrap().len(), 1);
}

fn work_is_exact_past_64_bits_and_stops_at_the_end(open: Open<'_>) {
    let mut ledger = open_default(open);
    let a = worker("a");
    let record = |ledger: &mut dyn Ledger, work: u128| {
        let mut batch = ShareBatch::default();
        batch.accept(&a, units(work), share(7, 0));
        ledger.record(&batch).unwrap();
        ledger.totals().unwrap().sums.accepted.work.units()
    };
    let [odd, large] = [u128::from(u64::MAX), (1 << 100) + 1];
    assert_eq!(record(&mut *ledger, odd), odd);
    assert_eq!(record(&mut *ledger, odd), 2 * odd);
    assert_eq!(record(&mut *ledger, large), 2 * odd + large);
    assert_eq!(record(&mut *ledger, u128::MAX - 1), u128::MAX);
    assert_eq!(record(&mut *ledger, 5), u128::MAX);
    let history = ledger.worker_history(&a, ever(), Bucket::Minute).unwrap();
    assert_eq!(history[0].sums.accepted.work.units(), u128::MAX);
    assert_eq!(history[0].sums.accepted.count, 5);
}

fn rejections_are_told_apart(open: Open<'_>) {
    let mut ledger = open_default(open);
    let a = worker("a");
    let mut batch = ShareBatch::default();
    for (number, reason) in Rejection::ALL.into_iter().enumerate() {
        for _ in 0..=number {
            batch.reject(&a, at(3), units(2), reason);
        }
    }
    ledger.record(&batch).unwrap();
    let record = ledger.worker(&a).unwrap().unwrap();
    for (number, reason) in Rejection::ALL.into_iter().enumerate() {
        assert_eq!(record.sums.rejected[&reason].count, number as u64 + 1);
        assert_eq!(
            record.sums.rejected[&reason].work,
            units(2 * (number as u128 + 1))
        );
    }
    assert_eq!(record.sums.stale().count, 1);
    assert_eq!(record.sums.rejected_total().count, 66);
    assert_eq!(
        (record.last_accepted, record.last_seen, record.best),
        (None, at(3), None)
    );
    assert_eq!(ledger.totals().unwrap().sums, record.sums);
}

fn a_sighting_stays_until_the_next(open: Open<'_>) {
    let mut ledger = open_default(open);
    let a = worker("a");
    let seen = |client, agent| Sighting {
        client,
        user_agent: Text::clip(agent),
    };
    let mut batch = ShareBatch::default();
    batch.sighting(&a, at(0), seen(ClientKind::Sv1, "cgminer/4.11"));
    ledger.record(&batch).unwrap();
    batch.clear();
    batch.accept(&a, units(1), share(1, 60));
    ledger.record(&batch).unwrap();
    let sighting = || ledger.worker(&a).unwrap().unwrap().sighting;
    assert_eq!(sighting(), Some(seen(ClientKind::Sv1, "cgminer/4.11")));
    batch.clear();
    let newest = seen(ClientKind::Sv2Standard, "bitaxe | BM1370 | é");
    batch.sighting(&a, at(61), newest.clone());
    ledger.record(&batch).unwrap();
    assert_eq!(ledger.worker(&a).unwrap().unwrap().sighting, Some(newest));
}

fn the_best_shares_are_kept(open: Open<'_>) {
    let mut ledger = open_default(open);
    let [a, b] = ["a", "b"].map(worker);
    // Hashes fall and rise in turn over several batches, most of them not among the best.
    for round in 0..10 {
        let mut batch = ShareBatch::default();
        for step in 0..10 {
            let number = (round * 37 + step * 11) % 100 + 1;
            let finder = if number % 2 == 0 { &a } else { &b };
            batch.accept(finder, units(1), share(number, number as u32));
        }
        ledger.record(&batch).unwrap();
    }
    let mut numbers: Vec<u64> = (0..10)
        .flat_map(|r| (0..10).map(move |s| (r * 37 + s * 11) % 100 + 1))
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let kept = ledger.best_shares().unwrap();
    assert_eq!(kept.len(), BEST_SHARES);
    for (ranked, number) in kept.iter().zip(&numbers) {
        assert_eq!(ranked.share, share(*number, *number as u32));
        assert_eq!(
            ranked.worker,
            if number % 2 == 0 {
                a.clone()
            } else {
                b.clone()
            }
        );
    }
    let smallest_even = *numbers.iter().find(|n| *n % 2 == 0).unwrap();
    let best = ledger.worker(&a).unwrap().unwrap().best.unwrap();
    assert_eq!(best, share(smallest_even, smallest_even as u32));
    assert!(kept[0].share.difficulty().as_f64() > kept[1].share.difficulty().as_f64());
}

fn block(number: u64) -> FoundBlock {
    FoundBlock {
        height: 800_000 + number as u32,
        hash: hash(number),
        found_at: at(number as u32),
        worker: worker("finder"),
        paid: Amount::from_sat(312_500_000 + number),
        fee: Some(Amount::from_sat(number)),
        bits: Some(CompactTarget::from_consensus(0x1703_4219)),
        protocol: Some(Protocol::ALL[number as usize % 2]),
        work_before: Some(units(u128::MAX / 3 + u128::from(number))),
        job: "job 7f3a, template 12".into(),
    }
}

fn a_block_goes_its_way(open: Open<'_>) {
    let mut ledger = open_default(open);
    assert!(ledger.record_block(&block(1)).unwrap());
    assert!(ledger.record_block(&block(2)).unwrap());
    let fate = |ledger: &mut dyn Ledger, number, fate| {
        ledger
            .update_block(hash(number), &BlockUpdate::Fate(fate))
            .unwrap();
    };
    fate(&mut *ledger, 1, BlockFate::Submitted);
    let refused = BlockFate::Refused {
        reason: "bad-txns".into(),
    };
    fate(&mut *ledger, 2, refused.clone());
    fate(&mut *ledger, 1, BlockFate::Accepted);
    fate(&mut *ledger, 1, refused.clone());
    let blocks = ledger.blocks(10).unwrap();
    assert_eq!(blocks[0].found, block(2));
    assert_eq!(blocks[0].fate, refused);
    assert_eq!(blocks[1].found, block(1));
    assert_eq!(blocks[1].fate, BlockFate::Accepted);
    assert_eq!(ledger.unsettled_blocks().unwrap(), [blocks[1].clone()]);
    fate(&mut *ledger, 1, BlockFate::Confirmed { confirmations: 99 });
    assert_eq!(ledger.unsettled_blocks().unwrap().len(), 1);
    fate(&mut *ledger, 1, BlockFate::Confirmed { confirmations: 100 });
    assert!(ledger.unsettled_blocks().unwrap().is_empty());
    fate(&mut *ledger, 1, BlockFate::Orphaned);
    assert_eq!(ledger.blocks(10).unwrap()[1].fate, BlockFate::Orphaned);
    assert_eq!(ledger.blocks(1).unwrap()[0].found, block(2));
}

/// Read back from its own bytes, a block does not say everything.
fn what_is_not_known_of_a_block_stays_unknown(open: Open<'_>) {
    let mut ledger = open_default(open);
    let known = block(1);
    let unknown = FoundBlock {
        fee: None,
        bits: None,
        protocol: None,
        work_before: None,
        ..block(2)
    };
    ledger.record_block(&known).unwrap();
    ledger.record_block(&unknown).unwrap();
    let found: Vec<_> = ledger.blocks(2).unwrap();
    assert_eq!(found[0].found, unknown);
    assert_eq!(found[1].found, known);
}

fn ban(address: u32, until: u32) -> Ban {
    Ban {
        address: core::net::Ipv4Addr::from(address).into(),
        since: at(0),
        until: at(until),
        reason: "a flood".into(),
        times: 1,
    }
}

fn a_ban_is_remembered_for_a_day_after_its_end(open: Open<'_>) {
    let mut ledger = open_default(open);
    let day = u32::try_from(BAN_REMEMBERED.as_secs()).unwrap();
    let first = Ban {
        address: "2001:db8::".parse().unwrap(),
        ..ban(0, 600)
    };
    let again = Ban {
        since: at(700),
        until: at(1_900),
        times: 2,
        ..first.clone()
    };
    ledger.record_ban(&first).unwrap();
    assert_eq!(ledger.bans(at(0)).unwrap(), [first]);
    ledger.record_ban(&again).unwrap();
    ledger.record_ban(&ban(7, 600)).unwrap();
    assert_eq!(
        ledger.bans(at(1_000)).unwrap(),
        [again.clone(), ban(7, 600)]
    );
    assert_eq!(ledger.bans(at(600 + day)).unwrap(), [again]);
    keep_up(&mut *ledger, at(1_900 + day));
    assert!(ledger.bans(at(0)).unwrap().is_empty());
}

fn bans_are_bounded_and_those_that_end_first_go(open: Open<'_>) {
    let mut ledger = open_default(open);
    let many = u32::try_from(MAX_BANS).unwrap() + 5;
    for number in 0..many {
        ledger.record_ban(&ban(number, 10_000 + number)).unwrap();
    }
    let kept = ledger.bans(at(0)).unwrap();
    assert_eq!(kept.len(), MAX_BANS);
    assert_eq!(kept.first(), Some(&ban(many - 1, 10_000 + many - 1)));
    assert_eq!(kept.last(), Some(&ban(5, 10_005)));
}

fn a_block_is_recorded_once(open: Open<'_>) {
    let mut ledger = open_default(open);
    assert!(ledger.record_block(&block(1)).unwrap());
    ledger
        .update_block(hash(1), &BlockUpdate::Fate(BlockFate::Accepted))
        .unwrap();
    assert!(!ledger.record_block(&block(1)).unwrap());
    assert_eq!(ledger.blocks(10).unwrap()[0].fate, BlockFate::Accepted);
    assert_eq!(ledger.totals().unwrap().sums.blocks, 1);
    assert_eq!(
        ledger
            .worker(&worker("finder"))
            .unwrap()
            .unwrap()
            .sums
            .blocks,
        1
    );
    let slots = ledger.pool_history(ever(), Bucket::Minute).unwrap();
    assert_eq!(total(&slots).blocks, 1);
}

fn answers_of_nodes_are_bounded(open: Open<'_>) {
    let mut ledger = open_default(open);
    ledger.record_block(&block(1)).unwrap();
    let say = |ledger: &mut dyn Ledger, answer: &str, seconds| {
        let update = BlockUpdate::Answer {
            node: "local".into(),
            answer: answer.into(),
            at: at(seconds),
        };
        ledger.update_block(hash(1), &update).unwrap();
    };
    for second in 0..1000 {
        say(&mut *ledger, "connection refused", second);
    }
    let answers = ledger.blocks(1).unwrap()[0].answers.clone();
    assert_eq!(answers.len(), 1);
    assert_eq!(
        (answers[0].first_at, answers[0].last_at, answers[0].times),
        (at(0), at(999), 1000)
    );
    for number in 0..100 {
        say(
            &mut *ledger,
            &format!("{number} {}", "x".repeat(1000)),
            number,
        );
    }
    let answers = ledger.blocks(1).unwrap()[0].answers.clone();
    assert_eq!(answers.len(), MAX_ANSWERS);
    assert!(answers[MAX_ANSWERS - 1].answer.as_str().starts_with("99 x"));
    assert_eq!(answers[MAX_ANSWERS - 1].answer.as_str().len(), Text::MAX);
}

fn news_of_an_unknown_block_is_refused(open: Open<'_>) {
    let mut ledger = open_default(open);
    let unknown = ledger.update_block(hash(9), &BlockUpdate::Fate(BlockFate::Accepted));
    assert!(matches!(unknown, Err(LedgerError::UnknownBlock(known)) if known == hash(9)));
}

fn slots_are_whole_ordered_and_disjoint(open: Open<'_>) {
    let mut ledger = open_default(open);
    let a = worker("a");
    let mut batch = ShareBatch::default();
    for minute in 0..100 {
        batch.accept(&a, units(1), share(minute + 1, minute as u32 * 60));
    }
    ledger.record(&batch).unwrap();
    for bucket in [
        Bucket::Minute,
        Bucket::FiveMinutes,
        Bucket::TenMinutes,
        Bucket::Hour,
        Bucket::Day,
    ] {
        let slots = ledger.pool_history(ever(), bucket).unwrap();
        assert_eq!(total(&slots).accepted.count, 100);
        for slot in &slots {
            assert_eq!(slot.seconds, bucket.seconds());
            assert_eq!(slot.start.as_secs() % slot.seconds, 0);
        }
        assert!(slots.windows(2).all(|pair| pair[0].start < pair[1].start));
    }
    // A range that begins and ends inside a slot shows the whole of both.
    let part = ledger
        .pool_history(at(14 * 60)..at(21 * 60), Bucket::TenMinutes)
        .unwrap();
    let shape: Vec<_> = part
        .iter()
        .map(|slot| (slot.start, slot.sums.accepted.count))
        .collect();
    assert_eq!(shape, [(at(600), 10), (at(1200), 10)]);
    let nothing = ledger.pool_history(at(60)..at(0), Bucket::Minute).unwrap();
    assert!(nothing.is_empty());
}

const DAY: u32 = 24 * 60 * 60;

fn a_simulated_year_stays_small_and_loses_nothing(open: Open<'_>) {
    let mut ledger = open_default(open);
    let a = worker("a");
    let mut given = Sums::default();
    for day in 0..365 {
        let mut batch = ShareBatch::default();
        for slice in 0..96_u32 {
            let now = day * DAY + slice * 900;
            let work = units(u128::from(now) + 1);
            batch.accept(&a, work, share(u64::from(now) + 1, now));
            given.accepted.add(headframe_ledger::Tally::one(work));
        }
        ledger.record(&batch).unwrap();
        keep_up(&mut *ledger, at((day + 1) * DAY));
    }
    let slots = ledger.pool_history(ever(), Bucket::Minute).unwrap();
    assert_eq!(total(&slots), given);
    assert_eq!(
        total(&ledger.worker_history(&a, ever(), Bucket::Minute).unwrap()),
        given
    );
    assert_eq!(ledger.totals().unwrap().sums, given);
    let count = |seconds| slots.iter().filter(|slot| slot.seconds == seconds).count();
    assert_eq!(count(60), 7 * 96);
    assert_eq!(count(3600), 83 * 24);
    assert_eq!(count(DAY), 275);
    let days = ledger.pool_history(ever(), Bucket::Day).unwrap();
    assert_eq!(days.len(), 365);
    assert!(days.iter().all(|slot| slot.sums.accepted.count == 96));
}

fn a_late_share_joins_the_slot_that_is_left(open: Open<'_>) {
    let mut ledger = open_default(open);
    let a = worker("a");
    let mut batch = ShareBatch::default();
    batch.accept(&a, units(1), share(1, 0));
    ledger.record(&batch).unwrap();
    keep_up(&mut *ledger, at(8 * DAY));
    batch.clear();
    batch.accept(&a, units(2), share(2, 120));
    ledger.record(&batch).unwrap();
    let expect = |ledger: &dyn Ledger| {
        let slots = ledger.pool_history(ever(), Bucket::Minute).unwrap();
        assert_eq!(slots.len(), 1);
        assert_eq!((slots[0].start, slots[0].seconds), (at(0), 3600));
        assert_eq!(slots[0].sums.accepted.work, units(3));
    };
    expect(&*ledger);
    keep_up(&mut *ledger, at(8 * DAY));
    expect(&*ledger);
}

fn old_days_are_dropped_but_not_the_totals(open: Open<'_>) {
    let day = Duration::from_secs(DAY.into());
    let mut ledger = open(Retention {
        minutes: day,
        hours: 2 * day,
        days: 3 * day,
        ..Retention::default()
    });
    let a = worker("a");
    let mut batch = ShareBatch::default();
    batch.accept(&a, units(1), share(1, 0));
    batch.accept(&a, units(1), share(2, 9 * DAY));
    ledger.record(&batch).unwrap();
    keep_up(&mut *ledger, at(10 * DAY));
    let slots = ledger.pool_history(ever(), Bucket::Minute).unwrap();
    assert_eq!(slots.len(), 1);
    assert_eq!(slots[0].start.as_secs(), DAWN + 9 * DAY);
    assert_eq!(ledger.totals().unwrap().sums.accepted.count, 2);
    assert_eq!(ledger.worker(&a).unwrap().unwrap().sums.accepted.count, 2);
}

fn the_least_recently_seen_workers_are_forgotten(open: Open<'_>) {
    let mut ledger = open(Retention {
        workers: 3,
        ..Retention::default()
    });
    for (number, name) in ["a", "b", "c", "a", "d"].into_iter().enumerate() {
        let mut batch = ShareBatch::default();
        batch.accept(
            &worker(name),
            units(1),
            share(100 - number as u64, number as u32 * 60),
        );
        ledger.record(&batch).unwrap();
    }
    let names: Vec<_> = ledger
        .workers(10)
        .unwrap()
        .into_iter()
        .map(|record| record.worker)
        .collect();
    assert_eq!(names, ["d", "a", "c"].map(worker));
    assert!(ledger.worker(&worker("b")).unwrap().is_none());
    assert!(
        ledger
            .worker_history(&worker("b"), ever(), Bucket::Minute)
            .unwrap()
            .is_empty()
    );
    assert_eq!(ledger.totals().unwrap().sums.accepted.count, 5);
    assert_eq!(
        total(&ledger.pool_history(ever(), Bucket::Minute).unwrap())
            .accepted
            .count,
        5
    );
    assert_eq!(ledger.best_shares().unwrap().len(), 5);

    // One batch with more workers than are remembered.
    let mut crowd = ShareBatch::default();
    for number in 0..50 {
        crowd.accept(&worker(&format!("w{number}")), units(1), share(200, 3600));
    }
    ledger.record(&crowd).unwrap();
    assert_eq!(ledger.workers(100).unwrap().len(), 3);
    assert_eq!(ledger.totals().unwrap().sums.accepted.count, 55);
}
