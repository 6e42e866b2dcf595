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
    assert!((ever.percent_of_block - 500.0).abs() < 0.1);
    let block = &shown.blocks[0];
    assert_eq!(block.effort_percent, Some(102.4));
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
