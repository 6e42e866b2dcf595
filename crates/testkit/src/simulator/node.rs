//! A simulated node: tips, reorgs, a tip that comes back, storms of templates, silence.

use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use headframe_mining::server::NewTemplate;
use headframe_work::{Network, UnixTime};

use super::{Figures, Scenario};
use crate::{Chain, Chance};

/// Between two templates of a storm: twenty a second.
const STORM: Duration = Duration::from_millis(50);
/// The bits of a block that is late: one hash in 512.
const EASIER: u32 = 0x2000_7fff;
/// Ancestors of the tip that are kept: more than any reorg takes away.
const ANCESTORS: usize = 8;

/// How often the node does what, in seconds on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rhythm {
    /// Another template on the same tip.
    pub template: f64,
    /// Somebody else's block. One in six of them is a reorg of one to three blocks, and half of those
    /// are taken back.
    pub tip: f64,
    /// A storm: twenty templates a second, and four tips.
    pub storm: f64,
    /// How long a storm is.
    pub storm_length: f64,
    /// Silence: no template.
    pub silence: f64,
    /// How long a silence is.
    pub silence_length: f64,
    /// The node's clock is set, up to five minutes back or forth.
    pub clock: f64,
    /// So many seconds after a tip, by the header's time, a block with easier bits is good, as on
    /// testnet4 after twenty minutes.
    pub easier_after: u32,
}

/// A node and its chain.
#[derive(Debug)]
pub(super) struct Node {
    chain: Chain,
    began: (Instant, u32),
    /// The bits of most blocks.
    bits: u32,
    /// Whether the chain is testnet4, where bits hold for a time that templates name, and nothing
    /// is sent ahead of a tip.
    is_testnet4: bool,
    /// The tip, and the time at which it came by the node's clock.
    since: (BlockHash, u32),
    rhythm: Rhythm,
    chance: Chance,
    /// The tip and those before it, the newest last.
    ancestors: Vec<BlockHash>,
    /// A branch that a reorg took away: the height after it, and its blocks.
    lost: Option<(u32, Vec<BlockHash>)>,
    storm_until: Instant,
}

impl Node {
    pub(super) fn new(now: Instant, seed: u64, scenario: &Scenario) -> Self {
        let Scenario { bits, rhythm, .. } = *scenario;
        let chain = Chain::new(seed, bits, 2);
        Self {
            ancestors: vec![chain.tip],
            began: (now, chain.time),
            bits,
            is_testnet4: scenario.is_testnet4(),
            since: (chain.tip, chain.time),
            chain,
            rhythm,
            chance: Chance::new(seed ^ 0x6e6f_6465),
            lost: None,
            storm_until: now,
        }
    }

    /// The time by the node's clock, in seconds.
    fn time(&self, now: Instant) -> u32 {
        let (began, time) = self.began;
        let elapsed = now.saturating_duration_since(began).as_secs();
        time + u32::try_from(elapsed).expect("a simulation is shorter than a century")
    }

    /// The next block's template.
    pub(super) fn template(&mut self, now: Instant) -> NewTemplate {
        let time = self.time(now);
        if self.since.0 != self.chain.tip {
            self.since = (self.chain.tip, time);
        }
        let last = self.since.1 + self.rhythm.easier_after;
        let is_easier = time > last;
        self.chain.bits = if is_easier { EASIER } else { self.bits };
        self.chain.time = time;
        let mut template = self.chain.template();
        let mut window = (template.min_time, None);
        if self.is_testnet4 {
            template.network = Network::Testnet4;
            window = match is_easier {
                true => (UnixTime::from_secs(last + 1), None),
                false => (template.min_time, Some(UnixTime::from_secs(last))),
            };
        }
        NewTemplate {
            earliest: window.0,
            latest: window.1,
            received: now,
            template: template.into(),
        }
    }

    /// Somebody sets the clock.
    fn set_clock(&mut self) {
        let (_, time) = &mut self.began;
        let by = self.chance.below(301) as u32;
        *time = match self.chance.happens(0.5) {
            true => *time - by,
            false => *time + by,
        };
    }

    /// Does something; says what template comes of it, and when it does something again.
    pub(super) fn act(
        &mut self,
        now: Instant,
        figures: &mut Figures,
    ) -> (Option<NewTemplate>, Duration) {
        if now < self.storm_until {
            self.chain.transactions = self.chance.below(6) as usize;
            if self.chance.happens(0.2) {
                self.find_block(figures);
            }
            return (Some(self.template(now)), STORM);
        }
        let wait = self.chance.wait(self.rhythm.template);
        if self
            .chance
            .happens(self.rhythm.template / self.rhythm.clock)
        {
            figures.clocks += 1;
            self.set_clock();
        }
        match self.deed() {
            Deed::Template => {
                self.chain.transactions = match self.chance.below(10) {
                    // Fees jump.
                    0 => 12,
                    _ => self.chance.below(4) as usize,
                };
            }
            Deed::Tip => self.find_block(figures),
            Deed::Storm => {
                figures.storms += 1;
                self.storm_until = now + self.chance.wait(self.rhythm.storm_length);
                return (None, STORM);
            }
            Deed::Silence => {
                figures.silences += 1;
                return (None, self.chance.wait(self.rhythm.silence_length));
            }
        }
        (Some(self.possibly_unusable(now)), wait)
    }

    /// Takes the pool's block. Says whether it is the tip now.
    pub(super) fn submit(&mut self, prev: BlockHash, hash: BlockHash) -> bool {
        let is_next = prev == self.chain.tip;
        if is_next {
            self.push(hash);
        }
        is_next
    }

    /// Somebody else's block is the tip.
    pub(super) fn find_another(&mut self) {
        let hash = BlockHash::from_byte_array(self.chance.bytes());
        self.push(hash);
    }

    /// What is next, each as often as the rhythm has it.
    fn deed(&mut self) -> Deed {
        let Rhythm {
            template,
            tip,
            storm,
            silence,
            ..
        } = self.rhythm;
        let rates = [1.0 / tip, 1.0 / storm, 1.0 / silence];
        // What is chosen comes once in `template` seconds.
        let mut at = self.chance.fraction() / template;
        for (rate, deed) in rates
            .into_iter()
            .zip([Deed::Tip, Deed::Storm, Deed::Silence])
        {
            if at < rate {
                return deed;
            }
            at -= rate;
        }
        Deed::Template
    }

    fn find_block(&mut self, figures: &mut Figures) {
        figures.tips += 1;
        // Another version is signalled now and then.
        if self.chance.happens(0.05) {
            self.chain.version ^= 1 << self.chance.below(3);
        }
        match self.lost.take() {
            Some((height, branch)) if self.chance.happens(0.5) => {
                figures.returns += 1;
                let fork = self.ancestors.len().saturating_sub(branch.len());
                self.ancestors.truncate(fork);
                self.ancestors.extend(branch);
                self.chain.height = height;
                self.chain.tip = *self.ancestors.last().expect("a branch has blocks");
            }
            _ if self.chance.happens(1.0 / 6.0) => self.reorganise(figures),
            _ => self.find_another(),
        }
    }

    /// One to three blocks are taken away, and as many or one more put in their place.
    fn reorganise(&mut self, figures: &mut Figures) {
        let depth = 1 + self.chance.below(3) as usize;
        if self.ancestors.len() <= depth {
            return;
        }
        figures.reorgs += 1;
        let branch = self.ancestors.split_off(self.ancestors.len() - depth);
        self.lost = Some((self.chain.height, branch));
        self.chain.height -= depth as u32;
        for _ in 0..depth + self.chance.below(2) as usize {
            self.find_another();
        }
    }

    fn push(&mut self, hash: BlockHash) {
        self.chain.tip = hash;
        self.chain.height += 1;
        self.ancestors.push(hash);
        if self.ancestors.len() > ANCESTORS {
            self.ancestors.remove(0);
        }
    }

    /// A template; one in fifty leaves no room for a coinbase.
    fn possibly_unusable(&mut self, now: Instant) -> NewTemplate {
        let mut new = self.template(now);
        if self.chance.happens(0.02) {
            let mut template = (*new.template).clone();
            if let Some(transaction) = template.transactions.first_mut() {
                transaction.weight = u32::MAX;
            }
            new.template = template.into();
        }
        new
    }
}

enum Deed {
    Template,
    Tip,
    Storm,
    Silence,
}
