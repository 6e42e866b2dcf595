//! A network of blocks, and three nodes in it that are not well all the time.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use headframe_testkit::Chance;

pub(crate) const NODES: usize = 3;
/// Between two templates of a node on one tip.
const REFRESH: Duration = Duration::from_secs(30);
/// The longest that a frozen node goes unnoticed: a question every 5 s, and two without an answer in 2 s each.
const NOTICED: Duration = Duration::from_secs(9);

/// What happened how often.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) blocks: u64,
    pub(crate) forks: u64,
    pub(crate) own_blocks: u64,
    pub(crate) failures: u64,
    pub(crate) freezes: u64,
    pub(crate) lags: u64,
    pub(crate) changes: u64,
    pub(crate) left_for_lag: u64,
    pub(crate) taken_back: u64,
    pub(crate) without_any: u64,
    /// The longest that the work was on less than a node knew that gave templates.
    pub(crate) longest_stale: Duration,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Its connections break, and nobody listens.
    Down,
    /// Nothing breaks, and nothing comes.
    Frozen,
    /// It hears of blocks late.
    Lagging,
    /// It hears of none.
    Alone,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) hash: BlockHash,
    pub(crate) height: u32,
    parent: BlockHash,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) mood: Mood,
    pub(crate) tip: Block,
    /// Whether it is known to be frozen.
    pub(crate) is_noticed: bool,
    /// Grows with each change of mood.
    turn: u64,
    /// Blocks that it has not heard of.
    unheard: Vec<Block>,
    /// The blocks of ours that it has not been given.
    undelivered: Vec<Block>,
    /// Until then it goes from bad to well and back within minutes.
    flaps_until: Duration,
}

/// Something that will happen.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Somebody finds a block.
    Found,
    /// Our miners find one.
    OursFound,
    Hears(usize, Block),
    Template(usize),
    Mood(usize),
    Noticed(usize, u64),
    Deliver(usize),
}

/// What the pool sees of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Nothing,
    /// Something of this node, a template among it if it says so.
    Of(usize, bool),
    /// Our miners have found a block on what they mine on.
    OursFound,
}

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) nodes: [Node; NODES],
    pub(crate) figures: Figures,
    pub(crate) chance: Chance,
    /// Where all of the network but our nodes mines.
    best: Block,
    known: HashMap<BlockHash, Block>,
    events: BTreeMap<(Duration, u64), Event>,
    number: u64,
    /// Of our blocks, those that no node has taken.
    pub(crate) unsafe_blocks: Vec<BlockHash>,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        let genesis = Block {
            hash: BlockHash::from_byte_array([0xee; 32]),
            height: 1_000,
            parent: BlockHash::all_zeros(),
        };
        let node = |_| Node {
            mood: Mood::Well,
            tip: genesis,
            is_noticed: false,
            turn: 0,
            unheard: Vec::new(),
            undelivered: Vec::new(),
            flaps_until: Duration::ZERO,
        };
        let mut network = Self {
            nodes: core::array::from_fn(node),
            figures: Figures::default(),
            chance: Chance::new(seed),
            best: genesis,
            known: HashMap::from([(genesis.hash, genesis)]),
            events: BTreeMap::new(),
            number: 0,
            unsafe_blocks: Vec::new(),
        };
        network.plan(Duration::from_secs(60), Event::Found);
        network.plan(Duration::from_secs(3_600), Event::OursFound);
        for node in 0..NODES {
            network.plan(
                Duration::from_millis(100 * node as u64),
                Event::Template(node),
            );
            network.plan(Duration::from_secs(600), Event::Mood(node));
        }
        network
    }

    /// When the next event is.
    pub(crate) fn next_at(&self) -> Duration {
        let first = self.events.first_key_value();
        first.map_or(Duration::MAX, |((at, _), _)| *at)
    }

    /// Lets the next event happen.
    pub(crate) fn step(&mut self) -> Seen {
        let Some(((now, _), event)) = self.events.pop_first() else {
            return Seen::Nothing;
        };
        match event {
            Event::Found => self.find(now),
            Event::OursFound => {
                let next = now + self.chance.wait(3.0 * 3_600.0);
                self.plan(next, Event::OursFound);
                return Seen::OursFound;
            }
            Event::Hears(node, block) => return self.hear(now, node, block),
            Event::Template(node) => {
                self.plan(now + REFRESH, Event::Template(node));
                return Seen::Of(node, self.gives(node));
            }
            Event::Mood(node) => return self.change_mood(now, node),
            Event::Noticed(node, turn) => {
                let node_now = &mut self.nodes[node];
                node_now.is_noticed = node_now.mood == Mood::Frozen && node_now.turn == turn;
                return Seen::Of(node, false);
            }
            Event::Deliver(node) => return self.deliver(now, node),
        }
        Seen::Nothing
    }

    /// Whether a node gives templates when it is asked.
    pub(crate) fn gives(&self, node: usize) -> bool {
        !matches!(self.nodes[node].mood, Mood::Down | Mood::Frozen)
    }

    pub(crate) fn height_of(&self, hash: BlockHash) -> u32 {
        self.known[&hash].height
    }

    /// Our miners have found a block on this one; it goes to all nodes.
    pub(crate) fn submit(&mut self, now: Duration, on: BlockHash) {
        self.figures.own_blocks += 1;
        let block = self.new_block(on);
        self.unsafe_blocks.push(block.hash);
        for node in 0..NODES {
            self.nodes[node].undelivered.push(block);
            self.plan(now, Event::Deliver(node));
        }
    }

    /// All nodes get well, and there is time for everything that is under way.
    pub(crate) fn heal(&mut self, now: Duration) {
        self.events
            .retain(|_, event| !matches!(event, Event::Mood(_) | Event::Found | Event::OursFound));
        for node in 0..NODES {
            self.nodes[node].flaps_until = Duration::ZERO;
            self.become_well(now, node);
        }
    }

    fn plan(&mut self, at: Duration, event: Event) {
        self.number += 1;
        self.events.insert((at, self.number), event);
    }

    fn new_block(&mut self, on: BlockHash) -> Block {
        let block = Block {
            hash: BlockHash::from_byte_array(self.chance.bytes()),
            height: self.height_of(on) + 1,
            parent: on,
        };
        self.known.insert(block.hash, block);
        block
    }

    /// Somebody finds a block; now and then two do.
    fn find(&mut self, now: Duration) {
        let parent = self.best.hash;
        let count = 1 + usize::from(self.chance.happens(0.03));
        self.figures.forks += count as u64 - 1;
        for _ in 0..count {
            let block = self.new_block(parent);
            self.figures.blocks += 1;
            self.best = block;
            self.spread(now, block);
        }
        let next = now + self.chance.wait(600.0);
        self.plan(next, Event::Found);
    }

    /// Each node hears of a block in its own time.
    fn spread(&mut self, now: Duration, block: Block) {
        for node in 0..NODES {
            let mean = match self.nodes[node].mood {
                Mood::Lagging => 900.0,
                _ => 0.5,
            };
            let at = now + self.chance.wait(mean);
            self.plan(at, Event::Hears(node, block));
        }
    }

    fn hear(&mut self, now: Duration, node: usize, block: Block) -> Seen {
        let node_now = &mut self.nodes[node];
        if matches!(node_now.mood, Mood::Down | Mood::Frozen | Mood::Alone) {
            node_now.unheard.push(block);
            return Seen::Nothing;
        }
        if block.height <= node_now.tip.height {
            return Seen::Nothing;
        }
        // One that lacks the blocks before it asks for them.
        node_now.tip = block;
        if block.height > self.best.height {
            self.best = block;
            self.spread(now, block);
        }
        Seen::Of(node, true)
    }

    fn change_mood(&mut self, now: Duration, node: usize) -> Seen {
        let flaps = now < self.nodes[node].flaps_until;
        let next = match flaps {
            true => self.chance.wait(60.0),
            false => self.chance.wait(4.0 * 3_600.0),
        };
        if self.nodes[node].mood != Mood::Well {
            self.plan(now + next, Event::Mood(node));
            return self.become_well(now, node);
        }
        let mood = match self.chance.below(4) {
            0 => Mood::Down,
            1 => Mood::Frozen,
            2 => Mood::Lagging,
            _ => Mood::Alone,
        };
        if !flaps && self.chance.happens(0.2) {
            self.nodes[node].flaps_until = now + self.chance.wait(4.0 * 3_600.0);
        }
        let bad = match flaps {
            true => self.chance.wait(45.0),
            false => self.chance.wait(900.0),
        };
        self.plan(now + bad, Event::Mood(node));
        self.figures.failures += u64::from(mood == Mood::Down);
        self.figures.freezes += u64::from(mood == Mood::Frozen);
        self.figures.lags += u64::from(mood == Mood::Lagging);
        let node_now = &mut self.nodes[node];
        node_now.mood = mood;
        node_now.turn += 1;
        let turn = node_now.turn;
        if mood == Mood::Frozen {
            let after = NOTICED.mul_f64(self.chance.fraction());
            self.plan(now + after, Event::Noticed(node, turn));
            return Seen::Nothing;
        }
        Seen::Of(node, false)
    }

    /// It hears of what it has missed.
    fn become_well(&mut self, now: Duration, node: usize) -> Seen {
        let node_now = &mut self.nodes[node];
        let was_away = matches!(node_now.mood, Mood::Down | Mood::Frozen);
        node_now.mood = Mood::Well;
        node_now.is_noticed = false;
        node_now.turn += 1;
        for block in core::mem::take(&mut node_now.unheard) {
            let at = now + self.chance.wait(3.0);
            self.plan(at, Event::Hears(node, block));
        }
        Seen::Of(node, was_away)
    }

    /// Gives a node the blocks of ours that it lacks. One that it cannot judge yet is tried again in a second.
    fn deliver(&mut self, now: Duration, node: usize) -> Seen {
        if !self.gives(node) {
            self.plan(now + Duration::from_secs(1), Event::Deliver(node));
            return Seen::Nothing;
        }
        let mut is_new = false;
        for block in core::mem::take(&mut self.nodes[node].undelivered) {
            if !self.knows(node, block.parent) {
                self.nodes[node].undelivered.push(block);
                continue;
            }
            self.unsafe_blocks.retain(|hash| *hash != block.hash);
            if block.height > self.nodes[node].tip.height {
                self.nodes[node].tip = block;
                is_new = true;
            }
            if block.height > self.best.height && self.nodes[node].mood == Mood::Well {
                self.best = block;
                self.spread(now, block);
            }
        }
        if !self.nodes[node].undelivered.is_empty() {
            self.plan(now + Duration::from_secs(1), Event::Deliver(node));
        }
        match is_new {
            true => Seen::Of(node, true),
            false => Seen::Nothing,
        }
    }

    /// Whether a node has a block: its own chain's, or another as high as that, which it may have aside.
    fn knows(&self, node: usize, hash: BlockHash) -> bool {
        self.nodes[node].tip.height >= self.height_of(hash)
    }
}
