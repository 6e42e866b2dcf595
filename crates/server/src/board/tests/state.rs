//! The hashrate and the state of the pool.

use headframe_api::NodeState;

use super::*;
use crate::news::HoldNews;

#[test]
fn a_share_a_second_shows_its_hashrate() {
    let mut stage = Stage::running();
    stage.tell(0, joined(0, 1, "a", Protocol::Sv2));
    for second in 1..=60 {
        stage.tell(second, shares(second, 1, 1, 2_000.0));
    }
    let Snapshot {
        summary, miners, ..
    } = stage.look(60);
    let rate = 2f64.powi(42) * 65536.0 / 65535.0;
    assert_eq!(summary.hashes_per_second.one_minute, rate);
    assert_eq!(miners[0].hashes_per_second.one_day, rate);
    assert_eq!(summary.shares.accepted, 60);
    assert_eq!(summary.shares.accepted_work, 60.0 * 1_024.0);
    assert_eq!(miners[0].difficulty, 1_024.0);
    assert_eq!(miners[0].peer, "10.0.0.7");
    assert_eq!(summary.miners.sv2_extended, 1);
    // A thousand difficulties, at a share of 1,024 a second.
    let expected = summary.odds.expected_seconds_to_block.unwrap();
    assert!((expected - 1_000.0 / 1_024.0).abs() < 1e-9, "{expected}");
    assert_eq!(summary.odds.round_effort_percent, 6_144.0);
}

#[test]
fn the_state_follows_the_node_and_is_shown_at_once() {
    let mut stage = Stage::new(Past::default());
    let state = |stage: &mut Stage, at| stage.look(at).summary.state;
    assert_eq!(state(&mut stage, 0), PoolState::Starting);
    assert!(!stage.look(0).summary.connect.listeners[0].open);
    assert_eq!(stage.tell(1, work(1, 5.0)), Urgency::Urgent);
    assert_eq!(stage.tell(2, work(2, 5.0)), Urgency::Routine);
    assert_eq!(state(&mut stage, 2), PoolState::Running);
    assert!(stage.look(2).summary.connect.listeners[0].open);
    assert_eq!(stage.tell(3, status(syncing(), 100)), Urgency::Urgent);
    let busy = Condition::Unusable(NodeError::Busy);
    assert_eq!(stage.tell(9, status(busy, 100)), Urgency::Urgent);
    let expected = PoolState::NodeUnusable {
        reason: "The node is busy (HTTP 503, work queue full).".into(),
        next_step: "Raise rpcworkqueue and rpcthreads in bitcoin.conf if this lasts.".into(),
        since_at: u64::from(DAWN) + 3,
        release_at: None,
    };
    assert_eq!(state(&mut stage, 9), expected);
    let ready = || status(Condition::Ready, 100);
    assert_eq!(stage.tell(10, ready()), Urgency::Urgent);
    assert_eq!(stage.tell(11, ready()), Urgency::Routine);
    assert_eq!(state(&mut stage, 11), PoolState::Running);
    stage.model.stop();
    let last = stage.look(12).summary;
    assert_eq!(last.state, PoolState::Stopping);
    assert!(!last.connect.listeners[0].open);
    assert_eq!(last.sequence, 7);
}

#[test]
fn nobody_is_released_before_the_first_work() {
    let mut stage = Stage::new(Past::default());
    let release_at = |stage: &mut Stage| match stage.look(2).summary.state {
        PoolState::NodeUnusable { release_at, .. } => release_at,
        other => panic!("{other:?}"),
    };
    let hold = || {
        News::Hold(HoldNews {
            release_at: Some(UnixTime::from_secs(DAWN + 300)),
            is_released: false,
        })
    };
    let busy = || status(Condition::Unusable(NodeError::Busy), 100);
    stage.tell(1, busy());
    stage.tell(1, hold());
    assert_eq!(release_at(&mut stage), None);
    stage.tell(1, work(1, 5.0));
    stage.tell(2, busy());
    stage.tell(2, hold());
    assert_eq!(release_at(&mut stage), Some(u64::from(DAWN) + 300));
}

#[test]
fn a_node_that_catches_up_shows_how_far_it_is() {
    let mut stage = Stage::new(Past::default());
    let mut syncing_at = |verified| {
        stage.tell(
            1,
            News::Node(NodeStatus {
                condition: syncing(),
                verified,
                ..NodeStatus::starting("node".into(), Network::Mainnet)
            }),
        );
        let summary = stage.look(1).summary;
        assert!(matches!(summary.state, PoolState::NodeUnusable { .. }));
        match summary.node.state {
            NodeState::Syncing { progress_percent } => progress_percent,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(syncing_at(None), 0.0);
    assert_eq!(syncing_at(Some(0.25)), 25.0);
    // Some blocks are left.
    assert_eq!(syncing_at(Some(0.999_999)), 99.99);
    stage.tell(2, status(Condition::Ready, 100));
    assert_eq!(stage.look(2).summary.node.state, NodeState::Ready);
}
