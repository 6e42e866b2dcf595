//! What the thread has learnt, in slots of which only the newest matters.

use std::sync::Arc;
use std::time::Instant;

use bitcoin::BlockHash;
use headframe_work::Template;
use tokio::sync::watch;

use crate::{
    BoxFuture, Cause, Condition, HeaderWindow, NodeError, NodeStatus, TemplateSource,
    TemplateUpdate, Tip,
};

type News = Result<TemplateUpdate, NodeError>;

/// Tells templates, errors and health.
pub(super) struct Teller {
    news: watch::Sender<Option<News>>,
    status: watch::Sender<NodeStatus>,
}

/// The template source of one node. The thread lives as long as its queue of commands has a sender.
pub(super) struct IpcTemplates {
    news: watch::Receiver<Option<News>>,
    _commands: super::command::Commands,
}

impl Teller {
    pub(super) fn new(status: NodeStatus) -> Self {
        Self {
            news: watch::Sender::new(None),
            status: watch::Sender::new(status),
        }
    }

    pub(super) fn templates(&self, commands: super::command::Commands) -> IpcTemplates {
        IpcTemplates {
            news: self.news.subscribe(),
            _commands: commands,
        }
    }

    pub(super) fn health(&self) -> watch::Receiver<NodeStatus> {
        self.status.subscribe()
    }

    pub(super) fn template(&self, template: Template, window: HeaderWindow, received: Instant) {
        let tip = Tip {
            height: template.height.saturating_sub(1),
            hash: template.prev_hash,
        };
        let cause = match self.told_tip() {
            Some(told) if told == tip.hash => Cause::Refresh,
            Some(_) | None => Cause::NewTip,
        };
        // Who hears of the template finds a node that is well.
        self.status.send_modify(|status| {
            status.condition = Condition::Ready;
            status.tip = Some(tip);
            status.last_template = Some(received);
        });
        self.news.send_replace(Some(Ok(TemplateUpdate {
            template: Arc::new(template),
            cause,
            received,
            window,
        })));
    }

    /// The tip of the newest template, unless an error came after it.
    fn told_tip(&self) -> Option<BlockHash> {
        match &*self.news.borrow() {
            Some(Ok(update)) => Some(update.template.prev_hash),
            Some(Err(_)) | None => None,
        }
    }

    /// Tells an error, unless it is the one that was told last.
    pub(super) fn error(&self, error: NodeError) {
        let condition = Condition::Unusable(error.clone());
        self.health_if_changed(|status| &mut status.condition, condition);
        self.news.send_if_modified(|news| {
            let changed = !matches!(news, Some(Err(before)) if is_told_by(before, &error));
            *news = Some(Err(error));
            changed
        });
    }

    pub(super) fn tip(&self, tip: Tip) {
        self.health_if_changed(|status| &mut status.tip, Some(tip));
    }

    pub(super) fn verified(&self, part: Option<f64>) {
        let part = part.map(|part| part.clamp(0.0, 1.0));
        self.health_if_changed(|status| &mut status.verified, part);
    }

    pub(super) fn version(&self, version: Option<String>) {
        self.health_if_changed(|status| &mut status.version, version);
    }

    pub(super) fn peers(&self, peers: Option<u32>) {
        self.health_if_changed(|status| &mut status.peers, peers);
    }

    pub(super) fn is_well(&self) -> bool {
        self.status.borrow().is_ready()
    }

    fn health_if_changed<T: PartialEq>(&self, part: impl Fn(&mut NodeStatus) -> &mut T, value: T) {
        self.status.send_if_modified(|status| {
            let part = part(status);
            let changed = *part != value;
            *part = value;
            changed
        });
    }
}

/// How far a node has come is for its status.
fn is_told_by(before: &NodeError, error: &NodeError) -> bool {
    let both_sync = matches!(
        (before, error),
        (NodeError::Syncing(_), NodeError::Syncing(_))
    );
    both_sync || before == error
}

impl TemplateSource for IpcTemplates {
    fn next(&mut self) -> BoxFuture<'_, News> {
        Box::pin(async move {
            loop {
                if self.news.changed().await.is_err() {
                    // The thread runs as long as self; only a panic in it ends it before.
                    std::future::pending::<()>().await;
                }
                if let Some(news) = self.news.borrow_and_update().clone() {
                    return news;
                }
            }
        })
    }
}
