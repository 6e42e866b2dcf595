//! Found blocks, their fate and their rounds.

use super::*;

#[test]
fn a_block_ends_its_round_and_a_refused_one_does_not() {
    let mut stage = Stage::running();
    stage.tell(0, joined(0, 1, "a", Protocol::Sv1));
    stage.tell(1, shares(1, 1, 1, 800.0));
    assert_eq!(stage.tell(2, found(2, 101, 5_000.0)), Urgency::Urgent);
    // The share that is the block is told a moment later, and is not of the next round.
    stage.tell(2, shares(2, 1, 1, 5_000.0));
    let shown = stage.look(2);
    assert_eq!(shown.summary.odds.round_work, 1_024.0);
    assert_eq!(
        shown.summary.odds.round_started_at,
        Some(u64::from(DAWN) + 2)
    );
    assert_eq!(shown.summary.best.this_round, None);
    let ever = shown.summary.best.ever.unwrap();
    assert!((ever.percent_of_block - 488.3).abs() < 0.1);
    let block = &shown.blocks[0];
    assert_eq!(block.effort_percent, Some(100.0));
    assert_eq!((block.value_sats, block.fee_sats), (100, 1));
    stage.tell(3, shares(3, 1, 1, 700.0));
    assert_eq!(
        stage.tell(4, fate(5_000.0, refused(), 1, None)),
        Urgency::Urgent
    );
    let shown = stage.look(4);
    assert_eq!(shown.summary.odds.round_work, 3.0 * 1_024.0);
    assert_eq!(shown.summary.odds.round_started_at, Some(u64::from(DAWN)));
    let best = shown.summary.best.this_round.unwrap();
    assert!((best.percent_of_block - 80.0).abs() < 0.1);
    assert_eq!(shown.summary.blocks.refused, 1);
    let alarm = &shown.summary.alarms[0];
    assert_eq!(
        (alarm.code.as_str(), alarm.severity),
        ("block_refused", Severity::Critical)
    );
    assert_eq!(alarm.title, "Block 101 was refused");
    assert!(
        alarm
            .next_step
            .ends_with("submitblock < '/data/blocks/it.hex'")
    );
    // Another node takes it after all.
    stage.tell(5, fate(5_000.0, BlockFate::Accepted, 1, None));
    let shown = stage.look(5);
    assert_eq!(shown.summary.alarms, []);
    assert_eq!(shown.summary.odds.round_work, 2.0 * 1_024.0);
    let best = shown.summary.best.this_round.unwrap();
    assert!((best.percent_of_block - 70.0).abs() < 0.1);
}

#[test]
fn a_node_that_is_faster_than_the_disk_is_heard() {
    let mut stage = Stage::running();
    stage.tell(1, fate(5_000.0, BlockFate::Accepted, 1, None));
    let confirmed = BlockFate::Confirmed { confirmations: 1 };
    stage.tell(1, fate(5_000.0, confirmed, 0, None));
    stage.tell(1, found(1, 101, 5_000.0));
    let accepted = |confirmations| headframe_api::BlockFate::Accepted { confirmations };
    assert_eq!(stage.look(1).blocks[0].fate, accepted(1));
    // Its tip says how deep a block is.
    stage.tell(9, status(Condition::Ready, 100));
    stage.tell(
        10,
        News::Node(NodeStatus {
            tip: Some(Tip {
                height: 107,
                hash: BlockHash::from_byte_array([7; 32]),
            }),
            ..NodeStatus::starting("node".into(), Network::Mainnet)
        }),
    );
    assert_eq!(stage.look(10).blocks[0].fate, accepted(7));
    stage.tell(11, fate(5_000.0, BlockFate::Orphaned, 0, None));
    assert_eq!(stage.look(11).summary.blocks.orphaned, 1);
}

#[test]
fn a_block_that_the_node_does_not_answer_for_is_an_alarm_until_it_does() {
    let mut stage = Stage::running();
    stage.tell(1, found(1, 101, 5_000.0));
    assert_eq!(stage.alarm(1, "block_pending"), None);
    let sent = |attempts, trouble| fate(5_000.0, BlockFate::Submitted, attempts, trouble);
    stage.tell(2, sent(1, Some("no connection")));
    assert_eq!(
        stage.tell(3, sent(2, Some("no connection"))),
        Urgency::Urgent
    );
    let alarm = stage.alarm(3, "block_pending").unwrap();
    assert_eq!(alarm.title, "Block 101 is not delivered yet");
    assert_eq!(
        alarm.detail,
        "No connection. Tried 2 times so far; the pool goes on trying."
    );
    let submitting = headframe_api::BlockFate::Submitting {
        attempts: 2,
        last_trouble: Some("no connection".into()),
    };
    assert_eq!(stage.look(3).blocks[0].fate, submitting);
    stage.tell(4, sent(3, None));
    assert_eq!(
        stage.look(4).blocks[0].fate,
        headframe_api::BlockFate::Waiting
    );
    assert_eq!(stage.alarm(4, "block_pending"), None);
}

/// What is to be done about a block that this node did not take.
fn remedy(node: Condition, trouble: &str) -> String {
    let mut stage = Stage::running();
    stage.tell(1, status(node, 100));
    stage.tell(1, found(1, 101, 5_000.0));
    let sent = fate(5_000.0, BlockFate::Submitted, 1, Some(trouble));
    stage.tell(2, sent);
    stage.alarm(2, "block_pending").unwrap().next_step
}

#[test]
fn what_to_do_about_a_block_follows_what_stands_in_its_way() {
    let SubmitAnswer::Retry(no_parent) = SubmitAnswer::from_result(Some("prev-blk-not-found"))
    else {
        panic!("it is submitted again");
    };
    let advice = remedy(Condition::Ready, &no_parent);
    assert!(advice.contains("on another chain, or still syncing"));
    assert!(advice.contains("file in blocks/ may have to be submitted first"));
    assert_eq!(remedy(syncing(), &no_parent), advice);
    let error = NodeError::Unauthorized {
        address: "127.0.0.1:8332".into(),
        tried: "the cookie".into(),
    };
    let cause = error.to_string();
    let expected = crate::board::convert::sentence(error.advice());
    assert_eq!(remedy(Condition::Unusable(error), &cause), expected);
    let expected = "See that the node runs and answers.";
    assert_eq!(remedy(Condition::Ready, "no connection"), expected);
}

#[test]
fn the_command_that_submits_a_refused_block_names_the_chain() {
    for (network, chain) in [(Network::Mainnet, ""), (Network::Signet, " -signet")] {
        let start = Instant::now();
        let facts = Facts {
            network: Some(network),
            ..facts()
        };
        let model = Model::new(facts, Past::default(), start, wall(0));
        let mut stage = Stage { model, start };
        stage.tell(1, found(1, 101, 5_000.0));
        stage.tell(1, fate(5_000.0, refused(), 1, None));
        let command = format!("bitcoin-cli{chain} -stdin submitblock < '/data/blocks/it.hex'");
        let alarm = stage.alarm(1, "block_refused").unwrap();
        assert!(alarm.next_step.ends_with(&command), "{}", alarm.next_step);
    }
}

#[test]
fn a_refused_block_that_nobody_announced_is_not_overlooked() {
    let mut stage = Stage::running();
    stage.tell(1, fate(5_000.0, refused(), 1, None));
    assert_eq!(
        stage.alarm(2, "block_refused"),
        None,
        "it may be announced yet"
    );
    let alarm = stage.alarm(20, "block_refused").unwrap();
    assert!(alarm.next_step.contains(&hash(5_000.0).to_string()));
}

/// What the board shows of a block comes from what the ledger keeps, so that a restart changes none
/// of it; work that is done between two blocks and told late does not either.
#[test]
fn a_restart_shows_blocks_as_they_were() {
    let mut ledger = MemoryLedger::new(Retention::default());
    let mut stage = Stage::running();
    for height in 1..=1_100u32 {
        let difficulty = 10_000.0 + f64::from(height);
        let News::BlockFound(mut news) = found(height.into(), height, difficulty) else {
            panic!("a block");
        };
        let units = u128::from(height).pow(2) << 40;
        news.record.work_before = Some(Work::from_units(units));
        news.record.protocol = match height % 2 {
            0 => Some(headframe_ledger::Protocol::Sv1),
            _ => Some(headframe_ledger::Protocol::Sv2),
        };
        ledger.record_block(&news.record).unwrap();
        stage.tell(height.into(), News::BlockFound(news));
        // The last before the list, and one of the list, do not end a round.
        if [100, 1_000].contains(&height) {
            let update = BlockUpdate::Fate(refused());
            ledger.update_block(hash(difficulty), &update).unwrap();
            stage.tell(height.into(), fate(difficulty, refused(), 0, None));
        }
    }
    let before = stage.look(2_000).blocks;
    let past = Past::read_at(&ledger, wall(2_000)).unwrap();
    let after = Stage::new(past).look(2_000).blocks;
    assert_eq!(after.len(), 1_000);
    let facts = |blocks: &[headframe_api::Block]| -> Vec<_> {
        let facts = blocks.iter().cloned().map(|block| headframe_api::Block {
            fate: headframe_api::BlockFate::Waiting,
            ..block
        });
        facts.collect()
    };
    assert_eq!(facts(&after), facts(&before));
    let last = &after[0];
    assert_eq!((last.network_difficulty, last.fee_sats), (1_024.0, 1));
    let step = f64::from(1_100u32.pow(2) - 1_099u32.pow(2));
    assert_eq!(last.effort_percent, Some(100.0 * step * 256.0 / 1_024.0));
    assert!(
        after[999].effort_percent.is_some(),
        "its round began before the list"
    );
}

#[test]
fn blocks_do_not_pile_up_and_are_all_counted() {
    let mut stage = Stage::running();
    for height in 1..=1_100u32 {
        let difficulty = 10_000.0 + f64::from(height);
        stage.tell(height.into(), found(height.into(), height, difficulty));
        stage.tell(
            height.into(),
            fate(difficulty, BlockFate::Accepted, 1, None),
        );
    }
    let Snapshot {
        summary, blocks, ..
    } = stage.look(2_000);
    assert_eq!((blocks.len(), blocks[0].height), (1_000, 1_100));
    assert_eq!(
        (summary.blocks.found, summary.blocks.accepted),
        (1_100, 1_100)
    );
}
