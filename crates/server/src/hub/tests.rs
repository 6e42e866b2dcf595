//! The hub's timer, on a clock that the test holds.

use std::future::pending;

use headframe_channels::DifficultySettings;
use headframe_mining::server::{JobIds, PoolRules, Sv2Rules};
use headframe_node::{BoxFuture, Cause, HeaderWindow};
use headframe_testkit::Chain;
use headframe_work::{Network, PayoutPolicy, PoolTag};
use tokio::time::timeout;

use super::*;

/// A node that gives one template, and then nothing new for ever.
struct Silent(Option<TemplateUpdate>);

impl TemplateSource for Silent {
    fn next(&mut self) -> BoxFuture<'_, Result<TemplateUpdate, NodeError>> {
        let only = self.0.take();
        Box::pin(async {
            match only {
                Some(update) => Ok(update),
                None => pending().await,
            }
        })
    }
}

fn rules() -> PoolRules {
    PoolRules {
        payouts: PayoutPolicy {
            network: Network::Regtest,
            fee: None,
            plain_names: None,
        },
        tag: PoolTag::new("test").unwrap(),
        process: [1; 4],
        difficulty: DifficultySettings::default(),
        job_ids: JobIds::new(1),
        sv2: Sv2Rules::default(),
    }
}

fn update(chain: &mut Chain) -> TemplateUpdate {
    let template = chain.shared_template();
    TemplateUpdate {
        cause: Cause::NewTip,
        received: Instant::now(),
        window: HeaderWindow::unbounded(&template),
        template,
    }
}

/// R-15, MP-135: devices leave after 180 s of silence, so a silent node must not mean a silent pool.
#[tokio::test(start_paused = true)]
async fn work_is_numbered_anew_every_30_s_while_the_node_is_silent() {
    let only = update(&mut Chain::new(1, headframe_testkit::EASY_BITS, 1));
    let (_status, status) =
        watch::channel(NodeStatus::starting("silent".to_owned(), Network::Regtest));
    let (news, _news) = mpsc::channel(16);
    let hub = Hub::new(Arc::new(rules()), 0);
    let source = Box::new(Silent(Some(only)));
    let (mut task, _requests) = HubTask::new(hub, source, status, news);
    let shutdown = CancellationToken::new();
    let first = task.first_work(&shutdown).await.unwrap();
    let (sender, mut work) = watch::channel(Arc::clone(&first));
    let running = tokio::spawn(task.run(sender, shutdown.clone()));

    let mut ids = vec![first.job_id];
    for _ in 0..4 {
        let early = timeout(Duration::from_secs(29), work.changed()).await;
        assert!(early.is_err(), "before 30 s");
        let due = timeout(Duration::from_secs(2), work.changed()).await;
        due.expect("after 30 s").unwrap();
        let again = Arc::clone(&work.borrow_and_update());
        assert!(Arc::ptr_eq(&again.prepared, &first.prepared));
        assert!(!ids.contains(&again.job_id), "a number of its own");
        ids.push(again.job_id);
    }
    shutdown.cancel();
    running.await.unwrap();
}
