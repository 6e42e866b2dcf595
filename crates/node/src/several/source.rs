//! The template source that several nodes make.
//!
//! A task hears all of them, and tells what the chosen one tells into a slot of which only the newest matters. The
//! others' newest templates are kept, so that another node can be mined on at once.

use std::mem::{Discriminant, discriminant};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use tokio::sync::{mpsc as queue, watch};
use tokio::time::sleep_until;
use tracing::{info, warn};

use super::chooser::{Chooser, Known, Standing, State};
use super::health::NodeHealth;
use super::pulse;
use crate::news::{News, NewsSource, Tasks};
use crate::{Cause, Condition, NewTip, NodeError, NodeStatus, TemplateSource, TemplateUpdate};

/// A source that failed is not asked again before this time, whatever it is.
const REST: Duration = Duration::from_millis(250);
/// News that wait for the task; each node has one on its way at a time.
const QUEUE: usize = 32;

/// One of several nodes.
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) templates: Box<dyn TemplateSource>,
    pub(super) status: watch::Receiver<NodeStatus>,
    /// How many questions in a row it has left unanswered.
    pub(super) missed: watch::Receiver<u32>,
    /// Ends who asks, when it is dropped.
    pub(super) _alive: mpsc::Sender<()>,
}

/// What is to be had of several nodes together.
pub(super) struct Started {
    /// Those of the node that is mined on.
    pub(super) templates: NewsSource<Tasks>,
    pub(super) status: watch::Receiver<NodeStatus>,
    pub(super) mined_on: watch::Receiver<usize>,
    pub(super) health: watch::Receiver<Vec<NodeHealth>>,
}

/// What was heard of a node.
enum Heard {
    Templates(News),
    /// A tip on which it has no template yet.
    Tip(NewTip),
    /// Its status or its answers to who asks whether it is there.
    Signs,
}

/// What is known of a node.
struct Seen {
    name: String,
    status: watch::Receiver<NodeStatus>,
    missed: watch::Receiver<u32>,
    last: Option<TemplateUpdate>,
    /// Whether its last word was an error.
    has_failed: bool,
    tip_seen: Option<(BlockHash, Instant)>,
    /// What the log has of it.
    told: Option<Discriminant<Standing>>,
    _alive: mpsc::Sender<()>,
}

/// The task that hears all and chooses.
struct Hearing {
    nodes: Vec<Seen>,
    chooser: Chooser,
    news: watch::Sender<Option<News>>,
    new_tips: watch::Sender<Option<NewTip>>,
    status: watch::Sender<NodeStatus>,
    mined_on: watch::Sender<usize>,
    health: watch::Sender<Vec<NodeHealth>>,
    /// The block that was told last to mine on.
    tip: Option<BlockHash>,
    /// The node whose templates are told; `None`: that there is none was told, or nothing yet.
    current: Option<usize>,
}

/// Starts to hear the nodes, given in order of preference; there is one at least.
pub(super) fn start(candidates: Vec<Candidate>) -> Started {
    let (sender, heard) = queue::channel(QUEUE);
    let (mut nodes, mut tasks) = (Vec::new(), Vec::new());
    let mut tells_of_tips = false;
    for (place, candidate) in candidates.into_iter().enumerate() {
        let (templates, seen) = candidate.split();
        let signs = watch_signs(
            place,
            seen.status.clone(),
            seen.missed.clone(),
            sender.clone(),
        );
        if let Some(tips) = templates.new_tips() {
            tells_of_tips = true;
            tasks.push(tokio::spawn(hear_tips(place, tips, sender.clone())).abort_handle());
        }
        tasks.push(tokio::spawn(hear(place, templates, sender.clone())).abort_handle());
        tasks.push(tokio::spawn(signs).abort_handle());
        nodes.push(seen);
    }
    let first = nodes[0].status.borrow().clone();
    let hearing = Hearing {
        chooser: Chooser::new(nodes.len()),
        nodes,
        news: watch::Sender::new(None),
        new_tips: watch::Sender::new(None),
        status: watch::Sender::new(first),
        mined_on: watch::Sender::new(0),
        health: watch::Sender::new(Vec::new()),
        tip: None,
        current: None,
    };
    hearing.show(now());
    let news = hearing.news.subscribe();
    let new_tips = tells_of_tips.then(|| hearing.new_tips.subscribe());
    let status = hearing.status.subscribe();
    let mined_on = hearing.mined_on.subscribe();
    let health = hearing.health.subscribe();
    tasks.push(tokio::spawn(hearing.run(heard)).abort_handle());
    Started {
        templates: NewsSource {
            news,
            new_tips,
            _followed_by: Tasks(tasks),
        },
        status,
        mined_on,
        health,
    }
}

/// Hands on what one node tells.
async fn hear(
    place: usize,
    mut templates: Box<dyn TemplateSource>,
    heard: queue::Sender<(usize, Heard)>,
) {
    loop {
        let news = templates.next().await;
        let has_failed = news.is_err();
        if heard.send((place, Heard::Templates(news))).await.is_err() {
            return;
        }
        if has_failed {
            tokio::time::sleep(REST).await;
        }
    }
}

/// Hands on what one node tells of tips.
async fn hear_tips(
    place: usize,
    mut tips: watch::Receiver<Option<NewTip>>,
    heard: queue::Sender<(usize, Heard)>,
) {
    while tips.changed().await.is_ok() {
        let tip = *tips.borrow_and_update();
        if let Some(tip) = tip
            && heard.send((place, Heard::Tip(tip))).await.is_err()
        {
            return;
        }
    }
}

/// Says when there is something new to be seen of a node.
async fn watch_signs(
    place: usize,
    mut status: watch::Receiver<NodeStatus>,
    mut missed: watch::Receiver<u32>,
    heard: queue::Sender<(usize, Heard)>,
) {
    loop {
        tokio::select! {
            Ok(()) = status.changed() => {}
            Ok(()) = missed.changed() => {}
            else => return,
        }
        if heard.send((place, Heard::Signs)).await.is_err() {
            return;
        }
    }
}

impl Candidate {
    fn split(self) -> (Box<dyn TemplateSource>, Seen) {
        let seen = Seen {
            name: self.name,
            status: self.status,
            missed: self.missed,
            last: None,
            has_failed: false,
            tip_seen: None,
            told: None,
            _alive: self._alive,
        };
        (self.templates, seen)
    }
}

impl Seen {
    fn is_silent(&self) -> bool {
        *self.missed.borrow() >= pulse::MISSED
    }

    fn known(&self) -> Known {
        let status = self.status.borrow();
        let is_unusable = matches!(status.condition, Condition::Unusable(_));
        let state = match &self.last {
            _ if self.has_failed || is_unusable || self.is_silent() => State::Failed,
            None => State::Starting,
            Some(_) => State::Giving,
        };
        let is_regtest = status.network == headframe_work::Network::Regtest;
        let last = self.last.as_ref();
        Known {
            state,
            height: last.map(|last| last.template.height.saturating_sub(1)),
            template_at: last.map(|last| {
                status
                    .last_sign
                    .map_or(last.received, |sign| sign.max(last.received))
            }),
            // A chain for tests is often one node's.
            has_peers: is_regtest || status.peers != Some(0),
        }
    }
}

impl Hearing {
    async fn run(mut self, mut heard: queue::Receiver<(usize, Heard)>) {
        loop {
            let due = self.chooser.poll_timeout(now());
            tokio::select! {
                Some((place, heard)) = heard.recv() => self.handle(place, heard),
                () = until(due) => self.decide(None),
                else => return,
            }
        }
    }

    fn handle(&mut self, place: usize, heard: Heard) {
        let Some(node) = self.nodes.get_mut(place) else {
            return;
        };
        let is_template = match heard {
            // Those of another node say nothing of what is mined on.
            Heard::Tip(tip) if self.current == Some(place) => {
                self.new_tips.send_replace(Some(tip));
                return;
            }
            Heard::Tip(_) => return,
            Heard::Templates(Ok(update)) => {
                let hash = update.template.prev_hash;
                if node.tip_seen.is_none_or(|(known, _)| known != hash) {
                    node.tip_seen = Some((hash, now()));
                }
                node.has_failed = false;
                node.last = Some(update);
                true
            }
            Heard::Templates(Err(_)) => {
                node.has_failed = true;
                false
            }
            Heard::Signs => false,
        };
        let known = node.known();
        self.chooser.handle(now(), place, known);
        self.decide(is_template.then_some(place));
    }

    /// Does as the chooser says. `fresh` is the node that has just given a template.
    fn decide(&mut self, fresh: Option<usize>) {
        let now = now();
        let choice = self.chooser.advance(now);
        let is_change = choice != self.current;
        match choice {
            Some(node) if is_change || fresh == Some(node) => self.tell_template(node),
            None if self.current.is_some() || self.has_all_failed() => self.tell_failure(now),
            _ => {}
        }
        if is_change {
            self.tell_change(now, choice);
        }
        self.current = choice;
        self.log(now);
        self.show(now);
    }

    /// Before the first template there is nothing to be lost, and yet something to be told.
    fn has_all_failed(&self) -> bool {
        let is_told = matches!(&*self.news.borrow(), Some(Err(_)));
        !is_told
            && self
                .nodes
                .iter()
                .all(|node| node.known().state == State::Failed)
    }

    fn tell_template(&mut self, node: usize) {
        let Some(update) = self.nodes[node].last.clone() else {
            return;
        };
        let tip = update.template.prev_hash;
        let cause = match self.tip.replace(tip) {
            Some(before) if before == tip => Cause::Refresh,
            _ => Cause::NewTip,
        };
        self.mined_on.send_if_modified(|mined_on| {
            let is_other = *mined_on != node;
            *mined_on = node;
            is_other
        });
        self.news
            .send_replace(Some(Ok(TemplateUpdate { cause, ..update })));
    }

    fn tell_failure(&self, now: Instant) {
        let error = self.failure(now);
        self.news.send_replace(Some(Err(error)));
    }

    /// Why there is no node to mine on.
    fn failure(&self, now: Instant) -> NodeError {
        let health = self.health(now);
        let reasons = health.iter().map(|node| {
            let reason = node.reason();
            let reason = reason.unwrap_or_else(|| "it knows less than what is mined on".to_owned());
            format!("{}: {reason}", node.name)
        });
        NodeError::NoneOfSeveral(reasons.collect::<Vec<_>>().join("; "))
    }

    /// Says in the log that another node is mined on.
    fn tell_change(&self, now: Instant, choice: Option<usize>) {
        let Some(node) = choice else {
            return;
        };
        let name = &self.nodes[node].name;
        match self.current {
            None => info!("mining with {name}"),
            Some(before) => {
                let health = self.health_of(now, before);
                match health.reason() {
                    Some(reason) => {
                        warn!("mining with {name} in place of {}: {reason}", health.name);
                    }
                    None => info!("mining with {name}, which is preferred to {}", health.name),
                }
            }
        }
    }

    /// Says in the log what is the matter with a node, and when it is over.
    fn log(&mut self, now: Instant) {
        for place in 0..self.nodes.len() {
            let health = self.health_of(now, place);
            let is_trouble = !health.is_well() && health.standing != Standing::Starting;
            let kind = is_trouble.then(|| discriminant(&health.standing));
            let told = core::mem::replace(&mut self.nodes[place].told, kind);
            match (kind, told) {
                (Some(kind), told) if told != Some(kind) => {
                    let reason = health.reason().unwrap_or_default();
                    let advice = health.advice().unwrap_or("see what is said of the node");
                    warn!("{} is not well: {reason}; {advice}", health.name);
                }
                (None, Some(_)) => info!("{} is well again", health.name),
                _ => {}
            }
        }
    }

    fn health(&self, now: Instant) -> Vec<NodeHealth> {
        let places = 0..self.nodes.len();
        places.map(|place| self.health_of(now, place)).collect()
    }

    fn health_of(&self, now: Instant, place: usize) -> NodeHealth {
        let node = &self.nodes[place];
        NodeHealth {
            name: node.name.clone(),
            status: node.status.borrow().clone(),
            is_mined_on: self.chooser.chosen() == Some(place),
            standing: self.chooser.standing(now, place),
            is_silent: node.is_silent(),
            tip_seen: node.tip_seen.map(|(_, at)| at),
        }
    }

    /// Shows the health of each node, and of all together as if they were one.
    fn show(&self, now: Instant) {
        let health = self.health(now);
        let status = match self.chooser.chosen() {
            Some(node) => health[node].status.clone(),
            None => NodeStatus {
                condition: match self.current_is_open() {
                    true => Condition::Starting,
                    false => Condition::Unusable(self.failure(now)),
                },
                ..health[0].status.clone()
            },
        };
        self.status.send_if_modified(|shown| {
            let is_other = *shown != status;
            *shown = status;
            is_other
        });
        self.health.send_if_modified(|shown| {
            let is_other = *shown != health;
            *shown = health;
            is_other
        });
    }

    /// Whether some node has not said anything yet, and none was mined on.
    fn current_is_open(&self) -> bool {
        let is_open = |node: &Seen| node.known().state == State::Starting;
        self.tip.is_none() && self.nodes.iter().any(is_open)
    }
}

/// The time by the clock that tokio's timers follow.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
