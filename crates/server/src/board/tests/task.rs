//! The task around the model.

use super::*;

#[tokio::test]
async fn the_task_shows_a_block_and_says_that_it_stops() {
    let (snapshots, mut seen) = watch::channel(Arc::new(Snapshot::default()));
    let (history, charts) = watch::channel(Arc::new(History::default()));
    let Facts {
        network,
        demo,
        persistent,
        connect,
        payout,
        node_kind,
        node_endpoint,
    } = facts();
    let board = Board {
        feed: Feed { snapshots, history },
        network,
        demo,
        persistent,
        connect,
        payout,
        node_kind,
        node_endpoint,
    };
    let (news, receiver) = mpsc::channel(16);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(board.run(Past::default(), receiver, shutdown.clone()));
    news.send(work(0, 5.0)).await.unwrap();
    news.send(found(0, 101, 5_000.0)).await.unwrap();
    let shown = seen.wait_for(|snapshot| snapshot.blocks.len() == 1).await;
    assert_eq!(shown.unwrap().summary.state, PoolState::Running);
    assert_eq!(charts.borrow().series.len(), 3);
    shutdown.cancel();
    task.await.unwrap();
    assert_eq!(seen.borrow().summary.state, PoolState::Stopping);
}
