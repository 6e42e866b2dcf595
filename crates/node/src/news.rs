//! What whoever follows a node has to tell, in a slot of which only the newest matters, and the template source
//! that reads it.

use bitcoin::BlockHash;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::{BoxFuture, Condition, NewTip, NodeError, NodeStatus, TemplateSource, TemplateUpdate};

/// A template, or why there is none.
pub(crate) type News = Result<TemplateUpdate, NodeError>;

/// The template source of whoever tells the news. With it goes `F`, by which they are followed.
pub(crate) struct NewsSource<F> {
    pub(crate) news: watch::Receiver<Option<News>>,
    pub(crate) new_tips: Option<watch::Receiver<Option<NewTip>>>,
    pub(crate) _followed_by: F,
}

impl<F: Send> TemplateSource for NewsSource<F> {
    fn next(&mut self) -> BoxFuture<'_, News> {
        Box::pin(async move {
            loop {
                if self.news.changed().await.is_err() {
                    // They follow until self is dropped; only a runtime that ends, or a panic, stops them.
                    std::future::pending::<()>().await;
                }
                if let Some(news) = self.news.borrow_and_update().clone() {
                    return news;
                }
            }
        })
    }

    fn new_tips(&self) -> Option<watch::Receiver<Option<NewTip>>> {
        self.new_tips.clone()
    }
}

/// Tasks that end when this is dropped.
pub(crate) struct Tasks(pub(crate) Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// The tip of the newest template, unless an error came after it.
pub(crate) fn tip_of(news: &Option<News>) -> Option<BlockHash> {
    match news {
        Some(Ok(update)) => Some(update.template.prev_hash),
        Some(Err(_)) | None => None,
    }
}

/// Tells an error, unless it is the one that was told last.
pub(crate) fn tell_error(
    status: &watch::Sender<NodeStatus>,
    news: &watch::Sender<Option<News>>,
    error: NodeError,
) {
    status.send_if_modified(|status| {
        let condition = Condition::Unusable(error.clone());
        let changed = status.condition != condition;
        status.condition = condition;
        changed
    });
    news.send_if_modified(|news| {
        let changed = !matches!(news, Some(Err(before)) if is_told_by(before, &error));
        *news = Some(Err(error));
        changed
    });
}

/// Whether there is nothing to tell in an error after another: how far a node has come is for its
/// status.
fn is_told_by(before: &NodeError, error: &NodeError) -> bool {
    let both_sync = matches!(
        (before, error),
        (NodeError::Syncing(_), NodeError::Syncing(_))
    );
    both_sync || before == error
}
