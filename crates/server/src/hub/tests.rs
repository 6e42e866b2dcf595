//! The hub's timer, on a clock that the test holds.

use headframe_channels::DifficultySettings;
use headframe_work::Network;
use tokio::time::timeout;

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
