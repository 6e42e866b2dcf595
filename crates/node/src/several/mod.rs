//! Several nodes as one: the first of a list that is well is mined on, and a block goes to all.
//!
//! [`join`] makes one [`Node`] of several. Its templates are those of the node that is mined on, which the
//! [`Chooser`] decides, a function of what is known of each. Its check and its transactions are asked of that node
//! too. Its sink is the preferred node's; those of the others are in [`Backups`], since a block waits for none.
//!
//! What is NOT here: how a node is spoken with, and what becomes of a block.

mod chooser;
mod delegate;
mod health;
mod pulse;
mod source;

use std::sync::Arc;
use std::thread;

use tokio::sync::watch;
use tracing::warn;

use crate::{BlockSink, Node};

pub use chooser::{
    BEHIND_GRACE, CATCH_UP, Chooser, FORGIVEN_AFTER, Known, Standing, State, TEMPLATE_TOO_OLD,
    WELL_AFTER, WELL_AFTER_MOST,
};
pub use health::NodeHealth;

use delegate::Delegate;
use source::Candidate;

/// The nodes besides the preferred one, and how all are.
pub struct Backups {
    /// Where blocks go besides, in order of preference, each with what the node is called in the log.
    pub sinks: Vec<(String, Box<dyn BlockSink>)>,
    /// The node that is mined on: 0 for the preferred one, else its place among the others, from 1.
    pub mined_on: watch::Receiver<usize>,
    /// How each node is, the preferred one first.
    pub health: watch::Receiver<Vec<NodeHealth>>,
}

/// Makes one node of several, given in order of preference, each with what it is called in the log. One that is
/// alone stays as it is.
///
/// Must be called inside a tokio runtime with time enabled. The tasks and threads end when the template source
/// is dropped.
pub fn join(preferred: (String, Node), others: Vec<(String, Node)>) -> (Node, Option<Backups>) {
    if others.is_empty() {
        return (preferred.1, None);
    }
    let (mut candidates, mut sinks) = (Vec::new(), Vec::new());
    let (mut checks, mut transactions) = (Vec::new(), Vec::new());
    let (name, preferred) = preferred;
    candidates.push(candidate(
        name,
        &*preferred.sink,
        preferred.templates,
        preferred.status,
    ));
    for (name, node) in others {
        candidates.push(candidate(
            name.clone(),
            &*node.sink,
            node.templates,
            node.status,
        ));
        sinks.push((name, node.sink));
        checks.push(node.check);
        transactions.push(node.transactions);
    }
    let started = source::start(candidates);
    let mined_on = &started.mined_on;
    let check = Delegate::new(preferred.check, checks.into_iter(), mined_on.clone());
    let transactions = Delegate::new(
        preferred.transactions,
        transactions.into_iter(),
        mined_on.clone(),
    );
    let node = Node {
        templates: Box::new(started.templates),
        sink: preferred.sink,
        check: Arc::new(check),
        transactions: Arc::new(transactions),
        status: started.status,
    };
    let backups = Backups {
        sinks,
        mined_on: started.mined_on,
        health: started.health,
    };
    (node, Some(backups))
}

fn candidate(
    name: String,
    sink: &dyn BlockSink,
    templates: Box<dyn crate::TemplateSource>,
    status: watch::Receiver<crate::NodeStatus>,
) -> Candidate {
    let missed = watch::Sender::new(0);
    let heard = missed.subscribe();
    let (alive, stop) = std::sync::mpsc::channel();
    if let Some(way) = sink.another_way() {
        let thread = thread::Builder::new().name("pulse".to_owned());
        let asking = thread.spawn(move || pulse::run(way, &missed, &stop));
        if let Err(error) = asking {
            warn!("{name} is not asked whether it is there: {error}");
        }
    }
    Candidate {
        name,
        templates,
        status,
        missed: heard,
        _alive: alive,
    }
}
