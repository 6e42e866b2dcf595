//! Which of several nodes is mined on: what is known of each goes in, with the time; the choice comes out.
//!
//! It has no clock and asks nobody. The rules, from the strongest:
//!
//! - A node that gives no templates, or does not answer, is not mined on.
//! - Nor is one that is behind: another knows a longer chain, and has known it for [`BEHIND_GRACE`].
//! - A node about which there is a concern is mined on only while there is none about any other.
//! - Of those that are left the one that is mined on is kept, and where it cannot be, the preferred one is
//!   taken. So two nodes on different blocks of one height do not switch the tip back and forth.
//! - A node that is preferred to the one that is mined on is taken back when it has been well for a while.
//! - No node is mined on that knows less than what is mined on already, for [`CATCH_UP`] after the node that
//!   knew it was lost: the others hear of the same block any moment, and miners keep their work.

use std::time::{Duration, Instant};

/// For so long a node may know a shorter chain than another before it is behind. A block is with all nodes that
/// are well connected within a second or two; with less the pool would change nodes at most blocks.
pub const BEHIND_GRACE: Duration = Duration::from_secs(2);
/// A node that was not well is preferred again after so long without trouble. Two answers in a row are no proof
/// that it stays, and to mine on the other node costs nothing.
pub const WELL_AFTER: Duration = Duration::from_secs(60);
/// The same for one that fails again and again: the time is doubled with each failure up to this one.
pub const WELL_AFTER_MOST: Duration = Duration::from_secs(960);
/// A node that was well for so long has its failures forgotten.
pub const FORGIVEN_AFTER: Duration = Duration::from_secs(3_600);
/// A node gives a template every 30 s, one that needs 20 s for each every 50 s. One without for so long has
/// stopped, though it answers.
pub const TEMPLATE_TOO_OLD: Duration = Duration::from_secs(120);
/// How long work on a block that only a lost node knew is kept before another node's shorter chain is mined on.
pub const CATCH_UP: Duration = Duration::from_secs(30);

/// What is known of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// What it is good for.
    pub state: State,
    /// The height of the best chain's last block by its newest template; `None` before the first.
    pub height: Option<u32>,
    /// When its newest template arrived, or was last known to stand.
    pub template_at: Option<Instant>,
    /// Whether it has peers, as far as it says; without them it hears of no block.
    pub has_peers: bool,
}

/// What a node is good for, by its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing was heard of it yet.
    Starting,
    /// It gives templates.
    Giving,
    /// It gives none, or does not answer.
    Failed,
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was heard of it yet.
    Starting,
    /// It can be mined on.
    Well,
    /// It has not been well for long enough to be preferred again.
    Recovering,
    /// It has no peers.
    Alone,
    /// It has given no template for long, though it answers.
    Stuck,
    /// Another node's chain is longer by so many blocks.
    Behind(u32),
    /// It gives no templates.
    Failed,
}

/// Chooses among several nodes, by their place in the order of preference.
#[derive(Debug, Clone)]
pub struct Chooser {
    nodes: Vec<Node>,
    chosen: Option<usize>,
    /// The height that is mined on top of.
    height: Option<u32>,
    /// Since when no node that knows as much can be had.
    lost: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Node {
    known: Known,
    behind_since: Option<Instant>,
    well_since: Option<Instant>,
    /// How long it has to be well before it is preferred again.
    patience: Duration,
}

/// How good a node is to be mined on; less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Well,
    Doubtful,
    Unusable,
}

impl Chooser {
    /// A chooser among so many nodes, of which nothing is known.
    pub fn new(nodes: usize) -> Self {
        let node = Node {
            known: Known {
                state: State::Starting,
                height: None,
                template_at: None,
                has_peers: true,
            },
            behind_since: None,
            well_since: None,
            patience: Duration::ZERO,
        };
        Self {
            nodes: vec![node; nodes],
            chosen: None,
            height: None,
            lost: None,
        }
    }

    /// Takes in what is known of a node now. A place that there is none at is passed over.
    pub fn handle(&mut self, now: Instant, node: usize, known: Known) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.known = known;
        }
        self.advance(now);
    }

    /// Does what is due at `now`, and says which node is mined on; `None`: there is none, and what was mined on
    /// before is kept.
    pub fn advance(&mut self, now: Instant) -> Option<usize> {
        self.compare(now);
        for place in 0..self.nodes.len() {
            let is_well = self.grade(now, place) == Grade::Well;
            self.nodes[place].note(now, is_well);
        }
        self.chosen = self.choice(now);
        let height = self
            .chosen
            .and_then(|chosen| self.nodes[chosen].known.height);
        match height {
            Some(height) => (self.height, self.lost) = (Some(height), None),
            None if self.height.is_some() => self.lost = self.lost.or(Some(now)),
            None => {}
        }
        self.chosen
    }

    /// The node that is mined on.
    pub const fn chosen(&self) -> Option<usize> {
        self.chosen
    }

    /// When [`Self::advance`] is due though nothing new is known.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let turns = self.nodes.iter().flat_map(|node| {
            let behind = node.behind_since.map(|since| since + BEHIND_GRACE);
            let well = node.well_since.map(|since| since + node.patience);
            let stuck = node.known.template_at.map(|at| at + TEMPLATE_TOO_OLD);
            [behind, well, stuck]
        });
        let caught_up = self.lost.map(|lost| lost + CATCH_UP);
        let turns = turns.chain([caught_up]).flatten();
        turns.filter(|turn| *turn > now).min()
    }

    /// Where a node stands at `now`.
    pub fn standing(&self, now: Instant, node: usize) -> Standing {
        let Some(at) = self.nodes.get(node) else {
            return Standing::Starting;
        };
        match at.known.state {
            State::Starting => Standing::Starting,
            State::Failed => Standing::Failed,
            State::Giving if at.is_behind(now) => Standing::Behind(self.lag(node)),
            State::Giving if at.is_stuck(now) => Standing::Stuck,
            State::Giving if !at.known.has_peers => Standing::Alone,
            State::Giving if self.chosen != Some(node) && !at.is_proven(now) => {
                Standing::Recovering
            }
            State::Giving => Standing::Well,
        }
    }

    /// Notes since when each node knows less than another that gives templates.
    fn compare(&mut self, now: Instant) {
        for place in 0..self.nodes.len() {
            let lag = self.lag(place);
            let node = &mut self.nodes[place];
            node.behind_since = (lag > 0).then(|| node.behind_since.unwrap_or(now));
        }
    }

    /// By how many blocks another node's chain is longer.
    fn lag(&self, node: usize) -> u32 {
        let giving = self
            .nodes
            .iter()
            .filter(|it| it.known.state == State::Giving);
        let longest = giving.filter_map(|it| it.known.height).max();
        let own = &self.nodes[node].known;
        match (own.state, own.height, longest) {
            (State::Giving, Some(own), Some(longest)) => longest.saturating_sub(own),
            _ => 0,
        }
    }

    fn grade(&self, now: Instant, node: usize) -> Grade {
        match self.standing(now, node) {
            Standing::Well | Standing::Recovering => Grade::Well,
            Standing::Alone | Standing::Stuck => Grade::Doubtful,
            Standing::Starting | Standing::Behind(_) | Standing::Failed => Grade::Unusable,
        }
    }

    fn choice(&self, now: Instant) -> Option<usize> {
        let grades = (0..self.nodes.len()).map(|node| self.grade(now, node));
        let best = grades.min().filter(|best| *best < Grade::Unusable)?;
        let is_best = |node: &usize| self.grade(now, *node) == best;
        if let Some(chosen) = self.chosen.filter(is_best) {
            // What is preferred to it, when it has proven itself and costs no block.
            let mut preferred = (0..chosen).filter(is_best);
            let is_ready =
                |node: &usize| self.nodes[*node].is_proven(now) && self.knows_enough(*node);
            return preferred.find(is_ready).or(Some(chosen));
        }
        let mut best = (0..self.nodes.len()).filter(is_best);
        let is_late = self.lost.is_some_and(|lost| now >= lost + CATCH_UP);
        best.find(|node| is_late || self.knows_enough(*node))
            .or_else(|| self.any_that_knows_enough(now))
    }

    /// A doubtful node that knows what is mined on is better than a good one that does not.
    fn any_that_knows_enough(&self, now: Instant) -> Option<usize> {
        let usable = |node: &usize| self.grade(now, *node) < Grade::Unusable;
        let mut usable = (0..self.nodes.len()).filter(usable);
        usable.find(|node| self.knows_enough(*node))
    }

    /// Whether a node's chain is as long as what is mined on.
    fn knows_enough(&self, node: usize) -> bool {
        self.nodes[node].known.height >= self.height
    }
}

impl Node {
    fn is_behind(&self, now: Instant) -> bool {
        self.behind_since
            .is_some_and(|since| now >= since + BEHIND_GRACE)
    }

    fn is_stuck(&self, now: Instant) -> bool {
        let at = self.known.template_at;
        at.is_some_and(|at| now >= at + TEMPLATE_TOO_OLD)
    }

    fn is_proven(&self, now: Instant) -> bool {
        self.well_since
            .is_some_and(|since| now >= since + self.patience)
    }

    /// Notes since when the node is well. One of which nothing was heard has not failed.
    fn note(&mut self, now: Instant, is_well: bool) {
        match (is_well, self.well_since) {
            (true, None) => self.well_since = Some(now),
            (true, Some(since)) if now >= since + FORGIVEN_AFTER => {
                self.patience = self.patience.min(WELL_AFTER);
            }
            (true, Some(_)) => {}
            (false, None) if self.known.state == State::Starting => {}
            (false, None) => self.patience = self.patience.max(WELL_AFTER),
            (false, Some(_)) => {
                self.well_since = None;
                self.patience = (self.patience * 2).clamp(WELL_AFTER, WELL_AFTER_MOST);
            }
        }
    }
}

#[cfg(test)]
mod tests;
