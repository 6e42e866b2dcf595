//! A pool on such a network: the real chooser, the real hub, and what must hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use headframe_mining::server::{Hub, JobIds, NewTemplate};
use headframe_node::several::{
    BEHIND_GRACE, CATCH_UP, Chooser, Known, Standing, State, WELL_AFTER,
};
use headframe_testkit::Chain;
use headframe_work::{Template, UnixTime};

use crate::network::{Figures, Mood, NODES, Network, Seen};

pub(crate) struct Run {
    start: Instant,
    until: Duration,
    now: Duration,
    network: Network,
    chooser: Chooser,
    hub: Hub,
    /// The last template of each node, and when it came.
    given: [Option<(Arc<Template>, Instant)>; NODES],
    pattern: Template,
    chosen: Option<usize>,
    /// Since when the work is on less than a node knows that gives templates.
    stale_since: Option<Duration>,
    /// Since when there is no node to mine on though one gives templates.
    without_since: Option<Duration>,
    /// When each node was last not well.
    bad_at: [Option<Duration>; NODES],
    /// The tip before this one, and the one before that.
    tips: [Option<BlockHash>; 2],
}

impl Run {
    pub(crate) fn new(seed: u64, until: Duration) -> Self {
        Self {
            start: Instant::now(),
            until,
            now: Duration::ZERO,
            network: Network::new(seed),
            chooser: Chooser::new(NODES),
            hub: Hub::new(JobIds::new(1), 1),
            given: [const { None }; NODES],
            pattern: Chain::new(seed, 0x1d00_ffff, 0).template(),
            chosen: None,
            stale_since: None,
            without_since: None,
            bad_at: [None; NODES],
            tips: [None; 2],
        }
    }

    /// Lets it run; gives what happened, or what must not.
    pub(crate) fn finish(mut self) -> Result<Figures, String> {
        while self.now < self.until {
            self.step()?;
        }
        self.network.heal(self.now);
        let end = self.now + Duration::from_secs(600);
        while self.now < end {
            self.step()?;
        }
        match self.network.unsafe_blocks.is_empty() {
            true => Ok(self.network.figures),
            false => Err(format!("blocks are lost: {:?}", self.network.unsafe_blocks)),
        }
    }

    fn step(&mut self) -> Result<(), String> {
        let turn = self.chooser.poll_timeout(self.instant());
        let turn = turn.map_or(Duration::MAX, |turn| turn - self.start);
        let work = self.hub.poll_timeout();
        let work = work.map_or(Duration::MAX, |due| {
            due.saturating_duration_since(self.start)
        });
        let event = self.network.next_at();
        self.now = event.min(turn).min(work).max(self.now);
        if event <= self.now {
            match self.network.step() {
                Seen::Nothing => {}
                Seen::Of(node, has_template) => self.look(node, has_template),
                Seen::OursFound => {
                    if let Some(work) = self.hub.work() {
                        let tip = work.tip();
                        self.network.submit(self.now, tip);
                    }
                }
            }
        }
        self.choose()?;
        self.renew();
        self.check()
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    /// Takes in what is to be seen of a node, as the pool's task does.
    fn look(&mut self, place: usize, has_template: bool) {
        let now = self.instant();
        let node = &self.network.nodes[place];
        let is_silent = node.mood == Mood::Frozen && node.is_noticed;
        let state = match node.mood {
            Mood::Down => State::Failed,
            Mood::Frozen if is_silent => State::Failed,
            _ => State::Giving,
        };
        if has_template {
            let seconds = u32::try_from(self.now.as_secs()).unwrap_or(u32::MAX);
            let mut template = self.pattern.clone();
            template.prev_hash = node.tip.hash;
            template.height = node.tip.height + 1;
            template.current_time = UnixTime::from_secs(1_700_000_000 + seconds);
            self.given[place] = Some((Arc::new(template), now));
        }
        let given = self.given[place].as_ref();
        let known = Known {
            state: given.map_or(State::Starting, |_| state),
            height: given.map(|(template, _)| template.height - 1),
            template_at: given.map(|(_, at)| *at),
            has_peers: node.mood != Mood::Alone,
        };
        self.chooser.handle(now, place, known);
        if has_template && self.chooser.chosen() == Some(place) && self.chosen == Some(place) {
            self.offer(place);
        }
    }

    fn offer(&mut self, node: usize) {
        if let Some((template, received)) = self.given[node].clone() {
            self.hub.offer(NewTemplate {
                earliest: template.min_time,
                template,
                received,
                latest: None,
            });
        }
    }

    fn choose(&mut self) -> Result<(), String> {
        let now = self.instant();
        let choice = self.chooser.advance(now);
        let standings: [Standing; NODES] =
            core::array::from_fn(|node| self.chooser.standing(now, node));
        if let (Some(before), Some(after)) = (self.chosen, choice)
            && before != after
        {
            self.network.figures.changes += 1;
            match standings[before] {
                Standing::Behind(_) => self.network.figures.left_for_lag += 1,
                Standing::Well | Standing::Recovering => self.check_taken_back(before, after)?,
                _ => {}
            }
        }
        for (standing, bad_at) in standings.iter().zip(&mut self.bad_at) {
            if !matches!(standing, Standing::Well | Standing::Recovering) {
                *bad_at = Some(self.now);
            }
        }
        if choice != self.chosen {
            self.network.figures.without_any += u64::from(choice.is_none());
            self.chosen = choice;
            if let Some(node) = choice {
                self.offer(node);
            }
        }
        Ok(())
    }

    /// A node that is well is left for one that is preferred, and has been well for a while.
    fn check_taken_back(&mut self, before: usize, after: usize) -> Result<(), String> {
        self.network.figures.taken_back += 1;
        if after > before {
            return Err(format!("node {after} in place of {before}, which is well"));
        }
        match self.bad_at[after] {
            // Before it said anything it was not bad.
            Some(bad) if self.now < bad + WELL_AFTER && self.now > WELL_AFTER => Err(format!(
                "node {after} is taken back after {:?}",
                self.now - bad
            )),
            _ => Ok(()),
        }
    }

    fn renew(&mut self) {
        let now = self.instant();
        if self.hub.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        match self.hub.take_offered() {
            Some(new) => {
                let work = self.hub.handle_template(now, new);
                work.expect("a block can be built on it");
            }
            None => drop(self.hub.refresh(now)),
        }
    }

    fn check(&mut self) -> Result<(), String> {
        let Some(tip) = self.hub.work().map(|work| work.tip()) else {
            return Ok(());
        };
        self.check_tips(tip)?;
        let height = self.network.height_of(tip);
        // As far as the pool can know: what a frozen node has is not to be had.
        let giving = (0..NODES).filter(|node| self.network.gives(*node));
        let given = giving.filter_map(|node| self.given[node].as_ref());
        let best = given.map(|(template, _)| template.height - 1).max();
        let is_stale = best.is_some_and(|best| best > height);
        self.stale_since = is_stale.then(|| self.stale_since.unwrap_or(self.now));
        if let Some(since) = self.stale_since {
            let stale = self.now - since;
            let figures = &mut self.network.figures;
            figures.longest_stale = figures.longest_stale.max(stale);
            if stale > BEHIND_GRACE {
                return Err(format!("stale work for {stale:?} at {:?}", self.now));
            }
        }
        let is_without = self.chosen.is_none() && best.is_some();
        self.without_since = is_without.then(|| self.without_since.unwrap_or(self.now));
        match self.without_since {
            Some(since) if self.now - since > CATCH_UP + BEHIND_GRACE => Err(format!(
                "nobody is mined on since {since:?}, at {:?}",
                self.now
            )),
            _ => Ok(()),
        }
    }

    /// A tip that was left for another of its height is not come back to, unless the node that gave the other
    /// one is gone.
    fn check_tips(&mut self, tip: BlockHash) -> Result<(), String> {
        let [last, before] = self.tips;
        if last == Some(tip) {
            return Ok(());
        }
        self.tips = [Some(tip), last];
        let is_back = before == Some(tip);
        let height = |hash: BlockHash| self.network.height_of(hash);
        let is_level = last.is_some_and(|last| height(last) == height(tip));
        let giver = (0..NODES).find(|node| {
            let given = self.given[*node].as_ref();
            given.is_some_and(|(template, _)| Some(template.prev_hash) == last)
        });
        let is_there = giver.is_some_and(|node| {
            self.chooser.standing(self.instant(), node) == Standing::Well
                && Some(node) == self.chosen
        });
        match is_back && is_level && is_there {
            true => Err(format!("the tip goes back and forth at {:?}", self.now)),
            false => Ok(()),
        }
    }
}
