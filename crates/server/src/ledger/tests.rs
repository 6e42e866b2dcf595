//! When the ledger commits, and who hears of it. The writer is called step by step, so that no thread
//! and no clock has a part in it.

use std::task::{Poll, Waker};

use bitcoin::hashes::Hash;
use headframe_ledger::{BestShare, MemoryLedger, Rejection, Retention, WorkerId};
use headframe_work::{Rung, UnixTime, Work};

use super::*;
use crate::bell::Call;

fn writer() -> Writer {
    let ledger = Box::new(MemoryLedger::new(Retention::default()));
    Writer::new(ledger, Tally::default()).0
}

fn shares(count: u64, sequence: u64, bell: &Arc<Bell>) -> Entry {
    let worker = WorkerId::new("rig", "address").unwrap();
    let at = UnixTime::from_secs(1_800_000_000);
    let hash = BlockHash::all_zeros();
    let mut batch = ShareBatch::default();
    for _ in 0..count {
        batch.accept(&worker, Work::of_rung(Rung::ONE), BestShare { hash, at });
    }
    let bell = Arc::clone(bell);
    Entry::Shares {
        batch: Box::new(batch),
        commit: Some(Commit { sequence, bell }),
    }
}

fn refused(count: u64) -> Entry {
    let worker = WorkerId::new("rig", "address").unwrap();
    let at = UnixTime::from_secs(1_800_000_000);
    let mut batch = ShareBatch::default();
    for _ in 0..count {
        batch.reject(&worker, at, Work::of_rung(Rung::ONE), Rejection::Stale);
    }
    Entry::Shares {
        batch: Box::new(batch),
        commit: None,
    }
}

/// a thousand shares wait no longer, however much of the 10 ms is left.
#[test]
fn a_thousand_shares_are_committed_before_their_time() {
    let mut writer = writer();
    let now = Instant::now();
    let bell = Arc::new(Bell::default());
    writer.take(shares(COMMIT_SHARES - 1, 999, &bell), now);
    assert!(!writer.is_due(now), "999 shares wait for more");
    assert!(writer.is_due(now + COMMIT_INTERVAL));
    writer.take(shares(1, 1_000, &bell), now);
    assert!(writer.is_due(now));
    writer.write();
    assert_eq!(bell.committed(), 1_000);
    assert_eq!(writer.ledger.totals().unwrap().sums.accepted.count, 1_000);
    assert!(!writer.is_due(now), "all is written");
    // The 10 ms of the next shares begin with them.
    assert_eq!(writer.due, None);
}

/// Nobody waits for refused shares, so that they cause few commits; an accepted one takes them with it.
#[test]
fn refused_shares_wait_for_accepted_ones_or_for_a_second() {
    let mut writer = writer();
    let now = Instant::now();
    writer.take(refused(5 * COMMIT_SHARES), now);
    assert!(!writer.is_due(now + COMMIT_INTERVAL));
    assert!(writer.is_due(now + REFUSED_WITHIN));
    writer.take(shares(1, 1, &Arc::default()), now);
    assert!(!writer.is_due(now) && writer.is_due(now + COMMIT_INTERVAL));
    writer.write();
    let sums = writer.ledger.totals().unwrap().sums;
    assert_eq!((sums.accepted.count, sums.stale().count), (1, 5_000));
}

/// A ledger that fails is tried again after its rest, whatever comes meanwhile.
#[test]
fn a_failing_ledger_has_its_rest() {
    let mut writer = writer();
    let now = Instant::now();
    writer.tell_trouble(Some("the disk is full".to_owned()));
    writer.due = Some(now + REST);
    writer.take(shares(COMMIT_SHARES, 1_000, &Arc::default()), now);
    assert!(!writer.is_due(now + COMMIT_INTERVAL) && writer.is_due(now + REST));
}

/// The thread that rests between an entry and its commit is woken by whoever fills the batch, and by nobody
/// else.
#[test]
fn a_full_batch_ends_the_rest() {
    let nap = Nap::default();
    let fills = |shares| nap.is_filled_by(shares);
    assert!(
        !fills(999) && fills(64) && !fills(5_000),
        "it is awake already"
    );
    nap.note_committed(5_164);
    assert!(!fills(100), "that makes 999");
    assert!(fills(1));
    nap.note_committed(1_000);
    assert!(!fills(0) && fills(4_000) && !fills(1));
}

/// each commit wakes the sessions that have shares in it, and no other.
#[test]
fn a_commit_wakes_only_those_with_shares_in_it() {
    let mut writer = writer();
    let now = Instant::now();
    let connections = [(); 3].map(|()| Arc::new(Bell::default()));
    let [first, second, third] = &connections;
    let commit = |writer: &mut Writer| {
        writer.write();
        connections.each_ref().map(|bell| {
            let is_called = bell.poll_call(Waker::noop()) == Poll::Ready(Call::Committed);
            is_called.then(|| bell.committed())
        })
    };
    writer.take(shares(2, 2, first), now);
    writer.take(shares(1, 7, second), now);
    assert_eq!(commit(&mut writer), [Some(2), Some(7), None]);
    writer.take(shares(1, 1, third), now);
    writer.take(shares(1, 3, first), now);
    assert_eq!(commit(&mut writer), [Some(3), None, Some(1)]);
    assert_eq!(commit(&mut writer), [None; 3], "nothing was committed");
}

fn block(number: u8) -> FoundBlock {
    FoundBlock {
        height: number.into(),
        hash: BlockHash::from_byte_array([number; 32]),
        found_at: UnixTime::from_secs(1_800_000_000),
        worker: WorkerId::new("rig", "address").unwrap(),
        paid: bitcoin::Amount::from_sat(50),
        fee: None,
        bits: None,
        protocol: None,
        work_before: None,
        job: "job".into(),
    }
}

fn accepted() -> BlockEntry {
    BlockEntry::Update(BlockUpdate::Fate(headframe_ledger::BlockFate::Accepted))
}

/// A pool that is killed between the two looks after a block again if the ledger has it and the
/// journal has no answer, and never if it is the other way round.
#[test]
fn the_journal_hears_the_last_word_when_the_ledger_has_the_block() {
    let mut writer = writer();
    let (known, unknown) = (block(1), block(2));
    let (word, was_heard) = LastWord::overheard();
    let (lost_word, was_lost_word_heard) = LastWord::overheard();
    let found = BlockEntry::Found(Box::new(known.clone()));
    writer.take(Entry::Block(known.hash, found), Instant::now());
    writer.take(Entry::Block(known.hash, accepted()), Instant::now());
    writer.take(
        Entry::Block(known.hash, BlockEntry::LastWord(word)),
        Instant::now(),
    );
    writer.take(Entry::Block(unknown.hash, accepted()), Instant::now());
    writer.take(
        Entry::Block(unknown.hash, BlockEntry::LastWord(lost_word)),
        Instant::now(),
    );
    assert!(!was_heard(), "nothing is written yet");
    writer.write();
    assert!(was_heard());
    assert!(!was_lost_word_heard(), "the ledger has nothing of it");
    let record = writer.ledger.blocks(1).unwrap().remove(0);
    assert_eq!(record.fate, headframe_ledger::BlockFate::Accepted);
}

#[test]
fn the_journal_does_not_hear_of_blocks_whose_news_had_no_room() {
    let mut writer = writer();
    let (first, second) = (block(1), block(2));
    let found = |block: &FoundBlock| BlockEntry::Found(Box::new(block.clone()));
    writer.take(Entry::Block(first.hash, found(&first)), Instant::now());
    writer.take(Entry::Block(second.hash, found(&second)), Instant::now());
    let (words, heard): (Vec<_>, Vec<_>) = (0..2).map(|_| LastWord::overheard()).unzip();
    for _ in 0..MAX_BLOCK_NEWS - 3 {
        writer.take(Entry::Block(second.hash, accepted()), Instant::now());
    }
    for (block, word) in [first, second].iter().zip(words) {
        writer.take(
            Entry::Block(block.hash, BlockEntry::LastWord(word)),
            Instant::now(),
        );
    }
    writer.write();
    let heard: Vec<_> = heard.iter().map(|was_heard| was_heard()).collect();
    assert_eq!(heard, [false, true]);
}

#[test]
fn the_state_tells_what_is_given_and_what_is_held() {
    let ledger = Box::new(MemoryLedger::new(Retention::default()));
    let held = Tally {
        count: 5,
        work: Work::from_units(7),
    };
    let (mut writer, state) = Writer::new(ledger, held);
    let bell = Arc::new(Bell::default());
    writer.take(shares(3, 3, &bell), Instant::now());
    let work = Work::from_units(7 + 3 * Work::of_rung(Rung::ONE).units());
    let seen = state.borrow().clone();
    assert_eq!((seen.work, seen.committed), (work, 5));
    writer.write();
    let seen = state.borrow().clone();
    assert_eq!((seen.work, seen.committed, seen.lost), (work, 8, 0));
    assert_eq!(seen.trouble, None);
}

fn ban(number: u32) -> Ban {
    Ban {
        address: std::net::Ipv4Addr::from(number).into(),
        since: UnixTime::from_secs(1_800_000_000),
        until: UnixTime::from_secs(1_800_000_600 + number),
        reason: "a flood".into(),
        times: 1,
    }
}

#[test]
fn bans_reach_the_ledger_and_wait_for_it_in_bounded_number() {
    let mut writer = writer();
    let many = u32::try_from(MAX_BAN_NEWS).unwrap() + 3;
    for number in 0..many {
        writer.take(Entry::Ban(ban(number)), Instant::now());
    }
    writer.write();
    let kept = writer
        .ledger
        .bans(UnixTime::from_secs(1_800_000_000))
        .unwrap();
    assert_eq!(kept.len(), MAX_BAN_NEWS);
    assert_eq!(kept[0], ban(many - 1));
}
