//! For tests: a node that gives one template and then nothing new for ever, and the rules of a pool on it.

use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use headframe_channels::DifficultySettings;
use headframe_mining::server::{Hub, JobIds, PoolRules, PoolWork, Sv2Rules};
use headframe_node::{
    BoxFuture, Cause, HeaderWindow, NodeError, NodeStatus, TemplateSource, TemplateUpdate,
};
use headframe_testkit::{Chain, EASY_BITS};
use headframe_work::{Network, PayoutPolicy, PoolTag};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::hub::HubTask;

pub(crate) struct Silent(Option<TemplateUpdate>);

impl Silent {
    pub(crate) fn boxed() -> Box<dyn TemplateSource> {
        let template = Chain::new(1, EASY_BITS, 1).shared_template();
        Box::new(Self(Some(TemplateUpdate {
            cause: Cause::NewTip,
            received: Instant::now(),
            window: HeaderWindow::unbounded(&template),
            template,
        })))
    }
}

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

/// The work of its template.
pub(crate) async fn work() -> Arc<PoolWork> {
    let (_, status) = watch::channel(NodeStatus::starting("silent".to_owned(), Network::Regtest));
    let hub = Hub::new(JobIds::new(1), 0);
    let (mut hub, _) = HubTask::new(hub, Silent::boxed(), status, mpsc::channel(16).0);
    let work = hub.first_work(&CancellationToken::new()).await;
    work.expect("it has a template")
}

pub(crate) fn rules(difficulty: DifficultySettings) -> PoolRules {
    PoolRules {
        payouts: PayoutPolicy {
            network: Network::Regtest,
            fee: None,
            plain_names: None,
        },
        tag: PoolTag::new("test").unwrap(),
        process: [1; 4],
        difficulty,
        ignores_suggestions: false,
        job_ids: JobIds::new(1),
        sv2: Sv2Rules::default(),
        password: None,
    }
}
