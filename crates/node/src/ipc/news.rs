//! What the thread has learnt, in slots of which only the newest matters.

use std::sync::Arc;
use std::time::Instant;

use headframe_work::{Template, UnixTime};
use tokio::sync::watch;

use super::ahead::is_certain;
use super::command::Commands;
use crate::news::{News, NewsSource, tell_error, tip_of};
use crate::{Cause, Condition, HeaderWindow, NewTip, NodeError, NodeStatus, TemplateUpdate, Tip};

/// Tells templates, errors and health.
pub(super) struct Teller {
    news: watch::Sender<Option<News>>,
    status: watch::Sender<NodeStatus>,
    new_tips: watch::Sender<Option<NewTip>>,
}

impl Teller {
    pub(super) fn new(status: NodeStatus) -> Self {
        Self {
            news: watch::Sender::new(None),
            status: watch::Sender::new(status),
            new_tips: watch::Sender::new(None),
        }
    }

    /// The template source. The thread lives as long as its queue of commands has a sender.
    pub(super) fn templates(&self, commands: Commands) -> NewsSource<Commands> {
        NewsSource {
            news: self.news.subscribe(),
            new_tips: Some(self.new_tips.subscribe()),
            _followed_by: commands,
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
        let cause = match tip_of(&self.news.borrow()) {
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

    /// Tells an error, unless it is the one that was told last.
    pub(super) fn error(&self, error: NodeError) {
        tell_error(&self.status, &self.news, error);
    }

    /// Says a tip that the node has and no template on it yet, if it can be begun; `earliest` is when the block after
    /// it may be.
    pub(super) fn new_tip(&self, tip: Tip, earliest: UnixTime) {
        let present = match &*self.news.borrow() {
            Some(Ok(update)) => Arc::clone(&update.template),
            Some(Err(_)) | None => return,
        };
        let new = NewTip {
            tip,
            parent: present.prev_hash,
            bits: present.bits,
            earliest: earliest.max(present.min_time),
        };
        let next = tip.height.saturating_add(1);
        if new.can_follow(&present) && is_certain(present.network, next) {
            self.new_tips.send_replace(Some(new));
        }
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
