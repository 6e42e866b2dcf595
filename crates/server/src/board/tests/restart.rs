//! What the ledger remembers is shown again.

use super::*;

/// What a pool leaves in its ledger: two days ago, yesterday, and an hour ago.
fn fill(ledger: &mut dyn Ledger) {
    let worker = |name: &str| WorkerId::new(name, ADDRESS).unwrap();
    let rung = Work::of_rung(Rung::from_exponent(10));
    for (name, ago, difficulty) in [
        ("old", 2 * DAY, 9_000.0),
        ("a", DAY - 600, 4_000.0),
        ("a", 3_600, 3_000.0),
    ] {
        let at = UnixTime::from_secs(DAWN).saturating_sub(Duration::from_secs(ago));
        let mut batch = ShareBatch::default();
        let sighting = Sighting {
            client: ClientKind::Sv2Extended,
            user_agent: Text::clip("bitaxe"),
        };
        batch.sighting(&worker(name), at, sighting);
        let hash = hash(difficulty);
        for _ in 0..6 {
            batch.accept(&worker(name), rung, BestShare { hash, at });
        }
        batch.reject(&worker(name), at, rung, Rejection::TimeTooOld);
        ledger.record(&batch).unwrap();
    }
    for (height, difficulty) in [(90, 70_000.0), (91, 80_000.0)] {
        let found_at = UnixTime::from_secs(DAWN - 7_200);
        let block = FoundBlock {
            height,
            hash: hash(difficulty),
            found_at,
            worker: worker("a"),
            paid: Amount::from_sat(312),
            fee: None,
            bits: None,
            protocol: None,
            work_before: None,
            job: Text::clip("job"),
        };
        assert!(ledger.record_block(&block).unwrap());
    }
    let accepted = BlockUpdate::Fate(BlockFate::Confirmed { confirmations: 6 });
    ledger.update_block(hash(70_000.0), &accepted).unwrap();
    let refused = BlockUpdate::Fate(refused());
    ledger.update_block(hash(80_000.0), &refused).unwrap();
}

fn assert_remembered(ledger: &dyn Ledger) {
    let past = Past::read_at(ledger, UnixTime::from_secs(DAWN)).unwrap();
    let mut stage = Stage::new(past);
    let Snapshot {
        summary,
        miners,
        blocks,
    } = stage.look(0);
    assert_eq!(summary.shares.accepted, 18);
    assert_eq!(summary.shares.accepted_work, 18.0 * 1_024.0);
    assert_eq!(
        summary.shares.rejected_by_reason,
        [(RejectReason::Time, 3)].into()
    );
    let ever = summary.best.ever.unwrap();
    assert!((ever.difficulty - 9_000.0).abs() < 1.0);
    assert_eq!(ever.worker, "old");
    // The round began with the block that counts, two hours ago.
    assert!((summary.best.this_round.unwrap().difficulty - 3_000.0).abs() < 1.0);
    assert_eq!(summary.odds.round_work, 6.0 * 1_024.0);
    assert_eq!(summary.odds.round_started_at, Some(u64::from(DAWN) - 7_200));
    let counts = &summary.blocks;
    assert_eq!((counts.found, counts.accepted, counts.refused), (2, 1, 1));
    let heights: Vec<_> = blocks.iter().map(|block| block.height).collect();
    assert_eq!(heights, [91, 90]);
    assert_eq!(
        blocks[1].fate,
        headframe_api::BlockFate::Accepted { confirmations: 6 }
    );
    assert_eq!(blocks[1].protocol, headframe_api::Protocol::Sv2);
    assert!(
        summary.alarms[0]
            .next_step
            .ends_with(&format!("blocks/91-{}.hex'", hash(80_000.0)))
    );
    // Who was here two days ago is not shown, but known.
    assert_eq!(miners.len(), 1);
    assert_eq!(
        (miners[0].worker.as_str(), miners[0].state),
        ("a", MinerState::Gone)
    );
    assert_eq!(
        (miners[0].shares.accepted, miners[0].device.as_str()),
        (12, "bitaxe")
    );
    stage.tell(1, joined(1, 1, "old", Protocol::Sv2));
    let old = stage
        .look(1)
        .miners
        .into_iter()
        .find(|miner| miner.worker == "old");
    assert_eq!(old.unwrap().shares.accepted, 6);
    assert_past_chart(&stage.model.history());
}

fn assert_past_chart(history: &History) {
    let [_, minutes, tens] = &history.series[..] else {
        panic!("three series");
    };
    let rate = 6.0 * 2f64.powi(42) * 65536.0 / 65535.0;
    let minute_at = |ago: u64| (u64::from(DAWN) - ago - minutes.first_at) / 60;
    assert_eq!(minutes.accepted.iter().sum::<u64>(), 12);
    assert_eq!(
        minutes.hashes_per_second[minute_at(3_600) as usize],
        Some(rate / 60.0)
    );
    assert_eq!(minutes.hashes_per_second[minute_at(1_800) as usize], None);
    assert_eq!(tens.first_at, u64::from(DAWN) - 2 * DAY);
    assert_eq!(tens.accepted.iter().sum::<u64>(), 18);
    assert_eq!(tens.rejected.iter().sum::<u64>(), 3);
    assert_eq!(tens.hashes_per_second[0], Some(rate / 600.0));
}

#[test]
fn a_restart_keeps_what_is_shown() {
    let mut memory = MemoryLedger::new(Retention::default());
    fill(&mut memory);
    assert_remembered(&memory);
    let directory = tempfile::tempdir().unwrap();
    let directory = DataDir::open(&directory.path().join("data")).unwrap();
    let mut sqlite = SqliteLedger::open(&directory, Retention::default()).unwrap();
    fill(&mut sqlite);
    drop(sqlite);
    let sqlite = SqliteLedger::open(&directory, Retention::default()).unwrap();
    assert_remembered(&sqlite);
}

/// One was there for a day, the other for a moment.
#[test]
fn who_mined_and_does_not_come_back_after_a_restart_is_missed() {
    let mut ledger = MemoryLedger::new(Retention::default());
    fill(&mut ledger);
    let mut batch = ShareBatch::default();
    let trial = WorkerId::new("trial", ADDRESS).unwrap();
    let at = UnixTime::from_secs(DAWN - 7_200);
    for _ in 0..100 {
        let rung = Work::of_rung(Rung::from_exponent(10));
        let hash = hash(2_000.0);
        batch.accept(&trial, rung, BestShare { hash, at });
    }
    ledger.record(&batch).unwrap();
    let past = Past::read_at(&ledger, UnixTime::from_secs(DAWN)).unwrap();
    let mut stage = Stage::new(past);
    stage.tell(0, work(0, 1_000.0));
    assert_eq!(stage.alarm(119, "miner_gone"), None);
    let alarm = stage.alarm(120, "miner_gone").unwrap();
    assert_eq!(alarm.title, "A miner has gone");
    assert!(alarm.detail.starts_with("a has not"), "{}", alarm.detail);
}

#[test]
fn a_block_that_waits_for_its_chain_still_does_after_a_restart() {
    let mut ledger = MemoryLedger::new(Retention::default());
    fill(&mut ledger);
    let block = FoundBlock {
        height: 92,
        hash: hash(90_000.0),
        found_at: wall(0),
        worker: WorkerId::new("a", ADDRESS).unwrap(),
        paid: Amount::from_sat(312),
        fee: None,
        bits: None,
        protocol: None,
        work_before: None,
        job: Text::clip("job"),
    };
    ledger.record_block(&block).unwrap();
    let answer = |answer: &str| BlockUpdate::Answer {
        node: Text::clip("node"),
        answer: Text::clip(answer),
        at: wall(1),
    };
    let sent = BlockUpdate::Fate(BlockFate::Submitted);
    ledger.update_block(block.hash, &sent).unwrap();
    let shown = |ledger: &MemoryLedger| {
        let past = Past::read_at(ledger, wall(2)).unwrap();
        Stage::new(past).look(2).blocks[0].fate.clone()
    };
    let submitting = headframe_api::BlockFate::Submitting {
        attempts: 0,
        last_trouble: None,
    };
    assert_eq!(shown(&ledger), submitting);
    ledger
        .update_block(block.hash, &answer("inconclusive"))
        .unwrap();
    assert_eq!(shown(&ledger), headframe_api::BlockFate::Waiting);
}
