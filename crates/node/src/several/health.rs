//! How each of several nodes is, with the reason in plain words.

use std::time::{Duration, Instant};

use super::chooser::Standing;
use crate::{Condition, NodeStatus};

/// How one of several nodes is.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeHealth {
    /// What the node is called in the log.
    pub name: String,
    /// What is known of the node itself.
    pub status: NodeStatus,
    /// Whether it is mined on.
    pub is_mined_on: bool,
    /// Where it stands among the others.
    pub standing: Standing,
    /// Whether it leaves questions unanswered.
    pub is_silent: bool,
    /// When its newest block was first seen by the pool.
    pub tip_seen: Option<Instant>,
}

impl NodeHealth {
    /// Whether it could be mined on without a second thought.
    pub const fn is_well(&self) -> bool {
        matches!(self.standing, Standing::Well | Standing::Recovering)
    }

    /// Why it is not mined on, or what is the matter with it, in plain words; `None`: nothing is.
    pub fn reason(&self) -> Option<String> {
        match self.standing {
            Standing::Starting => Some("nothing was heard of it yet".to_owned()),
            Standing::Well => None,
            Standing::Recovering => {
                Some("it was not well lately, and has to be for a while".to_owned())
            }
            Standing::Alone => Some("it has no peers, and hears of no blocks".to_owned()),
            Standing::Stuck => Some("it has given no template for two minutes".to_owned()),
            Standing::Behind(1) => Some("it is 1 block behind another node".to_owned()),
            Standing::Behind(blocks) => Some(format!("it is {blocks} blocks behind another node")),
            Standing::Failed => Some(self.failure()),
        }
    }

    fn failure(&self) -> String {
        match &self.status.condition {
            // The name stands before the reason already.
            Condition::Unusable(error) => error.to_string().replace(&self.name, "it"),
            _ if self.is_silent => "it does not answer".to_owned(),
            Condition::Starting | Condition::Ready => "it gives no templates".to_owned(),
        }
    }

    /// What to do about it, where somebody can do something.
    pub fn advice(&self) -> Option<&'static str> {
        match (self.standing, &self.status.condition) {
            (Standing::Failed, Condition::Unusable(error)) => Some(error.advice()),
            (Standing::Failed, _) => Some("see whether the node is overloaded or frozen"),
            (Standing::Alone, _) => Some("check the node's internet connection"),
            (Standing::Stuck | Standing::Behind(_), _) => {
                Some("look at the node's debug.log and its connections")
            }
            (Standing::Starting | Standing::Well | Standing::Recovering, _) => None,
        }
    }

    /// How old its newest template is.
    pub fn template_age(&self, now: Instant) -> Option<Duration> {
        let at = self.status.last_template?;
        Some(now.saturating_duration_since(at))
    }
}
