//! Tips that are begun on the block without transactions, most of all those that the node tells of before it has a
//! template on them: whether they are, how long, and what that was in all. Not here: what is begun, which the hub of
//! `mining` knows.

use std::future::pending;
use std::time::{Duration, Instant};

use headframe_mining::server::Hub;
use headframe_node::{NewTip, TemplateSource};
use tokio::sync::watch;

use crate::news::EmptyNews;

/// What is heard of such tips.
#[derive(Debug)]
pub(crate) struct Ahead {
    tips: Option<watch::Receiver<Option<NewTip>>>,
    limit: Duration,
    /// Since when miners have such a block.
    since: Option<Instant>,
    risked: EmptyNews,
}

impl Ahead {
    pub(crate) fn of(source: &dyn TemplateSource) -> Self {
        Self {
            tips: source.new_tips(),
            limit: Duration::ZERO,
            since: None,
            risked: EmptyNews::default(),
        }
    }

    /// How long such a tip may be worked on; zero: not at all.
    pub(crate) fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Waits for a tip that is to be begun. Cancel-safe.
    pub(crate) async fn next(&mut self) -> NewTip {
        let Some(tips) = self.tips.as_mut().filter(|_| self.limit > Duration::ZERO) else {
            return pending().await;
        };
        loop {
            if tips.changed().await.is_err() {
                return pending().await;
            }
            if let Some(tip) = *tips.borrow_and_update() {
                return tip;
            }
        }
    }

    /// When what is worked on has been so for too long.
    pub(crate) fn ends(&self, hub: &Hub) -> Option<Instant> {
        Some(hub.ahead_since()? + self.limit)
    }

    /// A tip is begun at `at`; `is_awaited`: its template has not come.
    pub(crate) fn begin(&mut self, at: Instant, is_awaited: bool) {
        if self.since.is_none() {
            self.since = Some(at);
            self.risked.tips += 1;
            self.risked.awaited += u64::from(is_awaited);
        }
    }

    /// They have another one at `at`; what there was in all, if they had such a block.
    pub(crate) fn end(&mut self, at: Instant) -> Option<EmptyNews> {
        let since = self.since.take()?;
        self.risked.spent += at.saturating_duration_since(since);
        Some(self.risked)
    }
}
