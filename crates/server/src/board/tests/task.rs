//! The task around the model.

use super::*;
use crate::{Started, Waiting};

/// A board, and what it shows.
fn board() -> (
    Board,
    watch::Receiver<Arc<Overview>>,
    watch::Receiver<Arc<History>>,
) {
    let feed = Feed::new(Overview::default(), History::default());
    let (seen, charts) = (feed.overviews.subscribe(), feed.history.subscribe());
    let Facts {
        network,
        demo,
        persistent,
        connect,
        payout,
        node_kind,
        node_endpoint,
        backups,
    } = facts();
    let board = Board {
        feed,
        started: Started::now(),
        network: network.expect("it is one"),
        demo,
        persistent,
        connect,
        payout,
        node_kind,
        node_endpoint,
        backups,
    };
    (board, seen, charts)
}

#[tokio::test]
async fn the_task_shows_a_block_and_says_that_it_stops() {
    let (board, mut seen, charts) = board();
    let (news, receiver) = mpsc::channel(16);
    let (told, state) = watch::channel(LedgerState::default());
    let shutdown = CancellationToken::new();
    let board = board.open(Past::default(), state);
    let task = tokio::spawn(board.run(receiver, shutdown.clone()));
    news.send(work(0, 5.0)).await.unwrap();
    news.send(found(0, 101, 5_000.0)).await.unwrap();
    let shown = seen.wait_for(|snapshot| snapshot.blocks.len() == 1).await;
    assert_eq!(shown.unwrap().summary.state, PoolState::Running);
    assert_eq!(charts.borrow().series.len(), 3);
    shutdown.cancel();
    let is_stopping = |snapshot: &Arc<Overview>| snapshot.summary.state == PoolState::Stopping;
    seen.wait_for(is_stopping).await.unwrap();
    // What happens until the end is shown, the ledger's last word included.
    news.send(found(0, 102, 6_000.0)).await.unwrap();
    drop(news);
    told.send_modify(|state| state.lost = 3);
    drop(told);
    task.await.unwrap();
    let last = seen.borrow();
    assert!(is_stopping(&last));
    assert_eq!(last.blocks.len(), 2);
    assert_eq!(last.summary.ledger.shares_not_durable, 3);
}

/// A ledger whose disk fails is tried for seconds when the pool stops.
#[tokio::test(start_paused = true)]
async fn the_miners_are_listed_until_the_ledger_has_ended() {
    let (board, _seen, _charts) = board();
    let caller = board.feed.roll_caller();
    let (news, receiver) = mpsc::channel(1);
    let (told, state) = watch::channel(LedgerState::default());
    let board = board.open(Past::default(), state);
    let task = tokio::spawn(board.run(receiver, CancellationToken::new()));
    drop(news);
    tokio::task::yield_now().await;
    for _ in 0..2 {
        let (call, miners) = oneshot::channel();
        caller.send(call).await.unwrap();
        let listed = tokio::time::timeout(Duration::from_secs(5), miners).await;
        assert_eq!(listed.expect("the board answers").unwrap().len(), 0);
        told.send_modify(|state| state.lost += 1);
    }
    drop(told);
    task.await.unwrap();
    let (call, miners) = oneshot::channel();
    assert!(caller.send(call).await.is_err() && miners.await.is_err());
}

/// Nobody sees a pool without its past, however early he looks.
#[tokio::test]
async fn what_the_ledger_remembers_is_shown_before_the_task_runs() {
    let mut ledger = MemoryLedger::new(Retention::default());
    let mut batch = ShareBatch::default();
    let worker = WorkerId::new("a", ADDRESS).unwrap();
    batch.accept(&worker, Work::from_units(1 << 32), share(0, 2.0));
    ledger.record(&batch).unwrap();
    let past = Past::read_at(&ledger, wall(1)).unwrap();
    let held = LedgerState {
        committed: past.accepted().count,
        ..LedgerState::default()
    };
    let (board, seen, _charts) = board();
    let (_told, state) = watch::channel(held);
    let _not_running = board.open(past, state);
    let shown = seen.borrow();
    assert_eq!(shown.summary.shares.accepted, 1);
    assert_eq!(shown.summary.ledger.shares_not_yet_durable, 0);
    assert_eq!(shown.summary.state, PoolState::Starting);
}

/// The newest word on the ledger is what is shown, however many there were in between.
#[tokio::test]
async fn the_ledger_s_trouble_is_shown_until_it_is_over() {
    let (board, mut seen, _charts) = board();
    let (_news, receiver) = mpsc::channel(1);
    let (told, state) = watch::channel(LedgerState::default());
    let task = board.open(Past::default(), state);
    let task = tokio::spawn(task.run(receiver, CancellationToken::new()));
    let trouble = |trouble: Option<&str>| {
        told.send_modify(|state| state.trouble = trouble.map(str::to_owned));
    };
    let shown = |snapshot: &Arc<Overview>| snapshot.summary.ledger.trouble.clone();
    trouble(Some("the disk is full"));
    seen.wait_for(|snapshot| shown(snapshot).is_some())
        .await
        .unwrap();
    trouble(None);
    trouble(Some("the disk is slow"));
    trouble(None);
    seen.wait_for(|snapshot| shown(snapshot).is_none())
        .await
        .unwrap();
    task.abort();
}

/// One run has one start and one count of snapshots, whenever its node came.
#[tokio::test]
async fn a_pool_whose_node_came_late_goes_on_with_what_was_shown() {
    let (mut board, seen, _charts) = board();
    let at = UnixTime::from_secs(DAWN);
    let instant = Instant::now() - Duration::from_secs(90);
    board.started = Started { instant, at };
    let ledger = MemoryLedger::new(Retention::default());
    let mut waiting = Waiting::new(&ledger, true, NodeKind::Rpc, board.started).unwrap();
    let setup = PoolState::Setup(headframe_api::SetupStep::default());
    let first = waiting.overview(setup.clone(), None);
    assert_eq!((first.summary.sequence, &first.summary.state), (1, &setup));
    assert_eq!(first.summary.network, None);
    assert_eq!(first.summary.software.name, "headframe");
    board.feed.overviews.send_replace(Arc::new(first));
    let (_told, state) = watch::channel(LedgerState::default());
    let _task = board.open(Past::default(), state);
    let summary = &seen.borrow().summary;
    assert_eq!(summary.sequence, 2);
    assert_eq!(summary.started_at, u64::from(DAWN));
    assert!(summary.uptime_seconds >= 90);
}

/// A ledger with a past has it also while there is no node.
#[test]
fn what_the_ledger_remembers_is_shown_without_a_node() {
    let mut ledger = MemoryLedger::new(Retention::default());
    let mut batch = ShareBatch::default();
    let worker = WorkerId::new("a", ADDRESS).unwrap();
    batch.accept(&worker, Work::from_units(1 << 32), share(0, 2.0));
    ledger.record(&batch).unwrap();
    let mut waiting = Waiting::new(&ledger, true, NodeKind::Rpc, Started::now()).unwrap();
    let snapshot = waiting.overview(PoolState::Starting, Some(Network::Signet));
    assert_eq!(snapshot.summary.shares.accepted, 1);
    assert!(snapshot.summary.ledger.persistent);
    assert_eq!(
        snapshot.summary.network,
        Some(headframe_api::Network::Signet)
    );
    assert_eq!(snapshot.summary.node.kind, Some(NodeKind::Rpc));
}
