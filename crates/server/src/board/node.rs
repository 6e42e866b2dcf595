//! The node as people see it.

use std::time::Instant;

use bitcoin::BlockHash;
use headframe_api::{Node, NodeKind, NodeState, TemplateSummary};
use headframe_node::{Condition, NodeError, NodeStatus};
use headframe_work::UnixTime;

use super::{convert, odds, publishers};
use crate::news::WorkNews;

/// What is known of the node.
#[derive(Debug)]
pub(super) struct NodeView {
    kind: NodeKind,
    endpoint: String,
    status: Option<NodeStatus>,
    unusable: Option<Unusable>,
    tip: Option<(u32, BlockHash, UnixTime)>,
    answered_at: Option<UnixTime>,
    work: Option<WorkNews>,
}

/// Why the node cannot be used.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unusable {
    pub(super) reason: String,
    pub(super) next_step: String,
    pub(super) since: UnixTime,
}

impl NodeView {
    pub(super) fn new(kind: NodeKind, endpoint: String) -> Self {
        Self {
            kind,
            endpoint,
            status: None,
            unusable: None,
            tip: None,
            answered_at: None,
            work: None,
        }
    }

    /// Another node is mined on, or still this one.
    pub(super) fn handle_change(&mut self, kind: NodeKind, endpoint: String) {
        (self.kind, self.endpoint) = (kind, endpoint);
    }

    /// Takes in the node's health; true when it changed for better or worse.
    pub(super) fn handle_status(&mut self, status: NodeStatus, wall: UnixTime) -> bool {
        let before = self.unusable.take();
        let since = before.as_ref().map_or(wall, |unusable| unusable.since);
        if let Condition::Unusable(error) = &status.condition {
            self.unusable = Some(Unusable {
                reason: convert::sentence(&error.to_string()),
                next_step: convert::sentence(error.advice()),
                since,
            });
        }
        let before = self.status.as_ref();
        if status.is_ready() && before.is_none_or(|before| is_word_of_node(before, &status)) {
            self.answered_at = Some(wall);
        }
        if let Some(tip) = status.tip {
            self.handle_tip(tip.height, tip.hash, wall);
        }
        let condition = self.status.as_ref().map(|status| &status.condition);
        let is_change = condition != Some(&status.condition);
        self.status = Some(status);
        is_change
    }

    /// Takes in what is worked on.
    pub(super) fn handle_work(&mut self, work: WorkNews, wall: UnixTime) {
        self.handle_tip(work.height.saturating_sub(1), work.prev_hash, wall);
        self.answered_at = Some(wall);
        self.work = Some(work);
    }

    fn handle_tip(&mut self, height: u32, hash: BlockHash, wall: UnixTime) {
        if self.tip.is_none_or(|(_, known, _)| known != hash) {
            self.tip = Some((height, hash, wall));
        }
    }

    pub(super) fn unusable(&self) -> Option<&Unusable> {
        self.unusable.as_ref()
    }

    pub(super) fn has_given_work(&self) -> bool {
        self.work.is_some()
    }

    pub(super) fn is_embedded(&self) -> bool {
        self.kind == NodeKind::Embedded
    }

    pub(super) fn height(&self) -> Option<u32> {
        self.tip.map(|(height, ..)| height)
    }

    /// The difficulty of the block that is worked on.
    pub(super) fn network_difficulty(&self) -> Option<f64> {
        let work = self.work.as_ref()?;
        odds::difficulty(work.network_difficulty)
    }

    pub(super) fn shown(&self, now: Instant, wall: UnixTime) -> Node {
        let status = self.status.as_ref();
        let listened_to = status.map(|status| status.publishers.as_slice());
        Node {
            kind: Some(self.kind),
            endpoint: self.endpoint.clone(),
            software: status.and_then(|status| status.version.as_deref().map(convert::clipped)),
            state: self.state(),
            height: self.height().map(u64::from),
            tip_hash: self.tip.map(|(_, hash, _)| hash.to_string()),
            tip_seen_at: self.tip.map(|(.., at)| convert::unix(at)),
            peers: status.and_then(|status| status.peers).map(u64::from),
            last_answer_at: self.answered_at.map(convert::unix),
            template: self.work.as_ref().map(template),
            publishers: publishers::shown(listened_to.unwrap_or_default(), now, wall),
        }
    }

    fn state(&self) -> NodeState {
        if let Some(progress_percent) = self.status.as_ref().and_then(sync_progress) {
            return NodeState::Syncing { progress_percent };
        }
        if let Some(unusable) = &self.unusable {
            return NodeState::Unusable {
                reason: unusable.reason.clone(),
                since_at: convert::unix(unusable.since),
            };
        }
        let is_ready = self.status.as_ref().is_some_and(NodeStatus::is_ready);
        match is_ready || (self.status.is_none() && self.has_given_work()) {
            true => NodeState::Ready,
            false => NodeState::Connecting,
        }
    }
}

/// How far a node is that has not caught up with its network, in percent; rounded down, so that it is
/// not there before it is. One that does not say has all before it.
fn sync_progress(status: &NodeStatus) -> Option<f64> {
    match status.condition {
        Condition::Unusable(NodeError::Syncing(_)) => {
            let verified = status.verified.unwrap_or(0.0);
            Some((verified * 10_000.0).floor() / 100.0)
        }
        Condition::Unusable(_) | Condition::Starting | Condition::Ready => None,
    }
}

/// Whether the node itself was heard of: not where nothing differs from what was known `before` but how its
/// publishers are.
fn is_word_of_node(before: &NodeStatus, status: &NodeStatus) -> bool {
    let with_them = NodeStatus {
        publishers: status.publishers.clone(),
        ..before.clone()
    };
    before.publishers == status.publishers || with_them != *status
}

fn template(work: &WorkNews) -> TemplateSummary {
    TemplateSummary {
        height: work.height.into(),
        transactions: work.transactions.try_into().unwrap_or(u64::MAX),
        fees_sats: work.fees.to_sat(),
        value_sats: work.value.to_sat(),
        received_at: convert::unix(work.at),
    }
}
