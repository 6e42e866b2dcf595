//! The hub's timer, on a clock that the test holds.

use headframe_channels::DifficultySettings;
use headframe_node::{BoxFuture, Cause, HeaderWindow};
use headframe_testkit::{Chain, EASY_BITS};
use headframe_work::Network;
use tokio::time::{sleep, timeout};

use super::*;
use crate::silent::{Silent, rules};

/// R-15, MP-135: devices leave after 180 s of silence, so a silent node must not mean a silent pool.
#[tokio::test(start_paused = true)]
async fn work_is_numbered_anew_every_45_s_while_the_node_is_silent() {
    let (_status, status) =
        watch::channel(NodeStatus::starting("silent".to_owned(), Network::Regtest));
    let (news, _news) = mpsc::channel(16);
    let hub = Hub::new(rules(DifficultySettings::default()).job_ids, 0);
    let (mut task, _requests) = HubTask::new(hub, Silent::boxed(), status, news);
    let shutdown = CancellationToken::new();
    let first = task.first_work(&shutdown).await.unwrap();
    let (sender, mut work) = watch::channel(Arc::clone(&first));
    let running = tokio::spawn(task.run(sender, shutdown.clone()));

    let mut ids = vec![first.job_id];
    for _ in 0..4 {
        let early = timeout(Duration::from_secs(44), work.changed()).await;
        assert!(early.is_err(), "before 45 s");
        let due = timeout(Duration::from_secs(2), work.changed()).await;
        due.expect("after 45 s").unwrap();
        let again = Arc::clone(&work.borrow_and_update());
        assert!(Arc::ptr_eq(&again.prepared, &first.prepared));
        assert!(!ids.contains(&again.job_id), "a number of its own");
        ids.push(again.job_id);
    }
    shutdown.cancel();
    running.await.unwrap();
}

/// A node that says what the test says.
struct Told(mpsc::Receiver<Result<TemplateUpdate, NodeError>>);

impl TemplateSource for Told {
    fn next(&mut self) -> BoxFuture<'_, Result<TemplateUpdate, NodeError>> {
        Box::pin(async { self.0.recv().await.expect("the test is not over") })
    }
}

fn update() -> TemplateUpdate {
    let template = Chain::new(1, EASY_BITS, 1).shared_template();
    TemplateUpdate {
        cause: Cause::Refresh,
        received: now(),
        window: HeaderWindow::unbounded(&template),
        template,
    }
}

/// ADR 6: nothing is said of an absence of less than ten seconds, and so nothing of its end.
#[tokio::test(start_paused = true)]
async fn connections_hear_of_the_node_s_absence_only_when_it_lasts() {
    let (_status, status) =
        watch::channel(NodeStatus::starting("told".to_owned(), Network::Regtest));
    let (news, mut board) = mpsc::channel(64);
    let (node, said) = mpsc::channel(1);
    let hub = Hub::new(rules(DifficultySettings::default()).job_ids, 0);
    let (mut task, _requests) = HubTask::new(hub, Box::new(Told(said)), status, news);
    let mut service = task.service();
    let shutdown = CancellationToken::new();
    node.send(Ok(update())).await.unwrap();
    let first = task.first_work(&shutdown).await.unwrap();
    let (sender, _work) = watch::channel(first);
    let running = tokio::spawn(task.run(sender, shutdown.clone()));
    let away = || node.send(Err(NodeError::Syncing(String::new())));
    let well = || node.send(Ok(update()));

    away().await.unwrap();
    sleep(Duration::from_secs(9)).await;
    well().await.unwrap();
    // The board hears of the absence, and of its end.
    let mut holds = 0;
    while holds < 2 {
        holds += usize::from(matches!(board.recv().await.unwrap(), News::Hold(_)));
    }
    assert!(!service.has_changed().unwrap(), "a hiccup");

    away().await.unwrap();
    service.changed().await.unwrap();
    assert_eq!(*service.borrow_and_update(), Service::Held);
    well().await.unwrap();
    service.changed().await.unwrap();
    assert_eq!(*service.borrow_and_update(), Service::Usual);
    shutdown.cancel();
    running.await.unwrap();
}
