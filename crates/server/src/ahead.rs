//! Tips that the node tells of before it has a template on them: whether they are begun, how long, and what that
//! was in all. Not here: what is begun, which the hub of `mining` knows.

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
    risked: EmptyNews,
}

impl Ahead {
    pub(crate) fn of(source: &dyn TemplateSource) -> Self {
        Self {
            tips: source.new_tips(),
            limit: Duration::ZERO,
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

    /// A tip is begun.
    pub(crate) fn count(&mut self) {
        self.risked.tips += 1;
    }

    /// It was worked on for so long; what there was in all.
    pub(crate) fn spend(&mut self, time: Duration) -> EmptyNews {
        self.risked.spent += time;
        self.risked
    }
}
