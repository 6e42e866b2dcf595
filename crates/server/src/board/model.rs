//! The board as a state machine: news and time in, what is shown out. It reads no clock, and no task,
//! channel or file is known here.

use std::net::SocketAddr;
use std::time::Instant;

use headframe_api::{
    BestShares, Connect, EmptyBlocks, Encryption, History, LedgerSummary, Miner, NodeKind,
    Overview, Payout, PoolState, Software, Summary,
};
use headframe_ledger::WorkerId;
use headframe_mining::server::Joined;
use headframe_work::{Network, UnixTime, Work};

use super::alarms::{Scene, Troubles};
use super::bests::{Bests, Near};
use super::blocks::{Blocks, RoundStart, Word};
use super::convert;
use super::counts::Counts;
use super::history::Chart;
use super::miner::Connected;
use super::miners::Miners;
use super::node::NodeView;
use super::nodes::NodesView;
use super::odds::Stakes;
use super::past::Past;
use super::proof::Proofs;
use super::window::Windows;
use crate::clock::Started;
use crate::ledger::LedgerState;
use crate::news::{EmptyNews, HoldNews, MinerKey, News, ShareTally, TlsNews};

/// What the board is told at the start and shows unchanged.
#[derive(Debug)]
pub(super) struct Facts {
    /// `None` while there is no node.
    pub(super) network: Option<Network>,
    pub(super) demo: bool,
    pub(super) persistent: bool,
    pub(super) connect: Connect,
    pub(super) payout: Payout,
    pub(super) node_kind: NodeKind,
    pub(super) node_endpoint: String,
    pub(super) backups: Vec<(NodeKind, String)>,
}

impl Facts {
    /// What kind of node is at this place of the order of preference, and where.
    fn node_at(&self, place: usize) -> Option<(NodeKind, String)> {
        match place.checked_sub(1) {
            None => Some((self.node_kind, self.node_endpoint.clone())),
            Some(backup) => self.backups.get(backup).cloned(),
        }
    }
}

/// What the dashboard shows.
#[derive(Debug)]
pub(super) struct Model {
    facts: Facts,
    started: (Instant, UnixTime),
    sequence: u64,
    is_stopping: bool,
    /// Since when there has been work to do, without a break.
    running_since: Option<Instant>,
    node: NodeView,
    nodes: NodesView,
    /// All shares since the ledger began.
    totals: Counts,
    /// When the ledger began, or the first miner came.
    since: Option<UnixTime>,
    acknowledged_early: u64,
    ledger: LedgerState,
    /// The pool's hashrate, observed since the first miner came.
    windows: Option<Windows>,
    miners: Miners,
    blocks: Blocks,
    bests: Bests,
    chart: Chart,
    troubles: Troubles,
    hold: HoldNews,
    proofs: Proofs,
    empty: EmptyNews,
}

/// Whether something is to be shown at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// With the next snapshot.
    Routine,
    /// People wait for it.
    Urgent,
}

impl Model {
    pub(super) fn new(facts: Facts, past: Past, now: Instant, wall: UnixTime) -> Self {
        let blocks = Blocks::remembered(past.blocks, past.older_blocks, past.first_round);
        let mut bests = Bests::default();
        for near in past.bests {
            match blocks.knows(&near.share.hash) {
                true => bests.offer_ever(near),
                false => bests.offer(near),
            }
        }
        Self {
            nodes: NodesView::default(),
            node: NodeView::new(facts.node_kind, facts.node_endpoint.clone()),
            facts,
            started: (now, wall),
            sequence: 0,
            is_stopping: false,
            running_since: None,
            totals: past.totals,
            since: past.since,
            acknowledged_early: 0,
            ledger: LedgerState::default(),
            windows: None,
            miners: Miners::remembered(&past.workers),
            blocks,
            bests,
            chart: Chart::new(wall, &past.minutes, &past.ten_minutes),
            troubles: Troubles::default(),
            hold: HoldNews::default(),
            proofs: Proofs::default(),
            empty: EmptyNews::default(),
        }
    }

    /// Goes on with a run that `started` before, and has shown overviews up to number `shown`.
    pub(super) fn go_on(&mut self, started: Started, shown: u64) {
        self.started = (started.instant, started.at);
        self.sequence = shown;
    }

    /// Takes in what happened.
    pub(super) fn handle(&mut self, news: News, now: Instant, wall: UnixTime) -> Urgency {
        let mut is_urgent = false;
        match news {
            News::Joined {
                key,
                worker,
                joined,
                peer,
                encryption,
                at,
            } => self.join(key, worker, &joined, (peer, encryption), (now, at)),
            News::Shares { key, tally } => self.handle_shares(key, &tally, now, wall),
            News::Difficulty { key, rung } => self.miners.handle_difficulty(key, rung),
            News::LongCoinbase { key, coinbase } => {
                self.miners.handle_long_coinbase(key, coinbase);
            }
            News::Left { key, at, vacated } => self.miners.leave(key, (now, at), vacated),
            News::NameRefused {
                user,
                reason,
                peer,
                at,
            } => self.troubles.handle_name((&user, &reason), peer, at, now),
            News::Warned(news) => self.troubles.handle_warning(*news, now),
            News::Banned(ban) => self.troubles.handle_ban(ban),
            News::NoJob { reason, at } => self.troubles.handle_no_job(&reason, at, now),
            News::BlockFound(block) => {
                self.blocks.handle_found(*block, self.totals.work);
                is_urgent = true;
            }
            News::BlockFate {
                hash,
                fate,
                attempts,
                trouble,
                answers,
            } => {
                is_urgent = self.blocks.handle_word(Word {
                    hash,
                    fate,
                    attempts,
                    trouble,
                    answers,
                    at: wall,
                });
            }
            News::Node(status) => is_urgent = self.node.handle_status(status, wall),
            News::Nodes(health) => {
                let mined_on = health.iter().position(|node| node.is_mined_on);
                if let Some((kind, endpoint)) = mined_on.and_then(|it| self.facts.node_at(it)) {
                    self.node.handle_change(kind, endpoint);
                }
                is_urgent = self.nodes.handle_health(health, wall);
            }
            News::Work(work) => {
                is_urgent = !self.node.has_given_work();
                self.node.handle_work(work, wall);
                self.troubles.handle_work();
            }
            News::Certificate(certificate) => self.troubles.handle_certificate(certificate),
            News::Hold(hold) => {
                is_urgent = self.hold != hold;
                self.hold = hold;
            }
            News::Empty(empty) => self.empty = empty,
            News::Tls(tls) => self.handle_tls(tls),
            News::Proof(proof) => is_urgent = self.proofs.handle(proof),
            News::Ledger(state) => {
                is_urgent = self.troubles.handle_ledger(state.trouble.as_deref(), wall);
                self.ledger = state;
            }
        }
        let is_running = self.node.has_given_work() && self.node.unusable().is_none();
        self.running_since = is_running.then(|| self.running_since.unwrap_or(now));
        match is_urgent {
            true => Urgency::Urgent,
            false => Urgency::Routine,
        }
    }

    /// The pool ends.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// Whether the pool ends.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// The state of the pool at this moment, under the next number.
    pub(super) fn overview(&mut self, now: Instant, wall: UnixTime) -> Overview {
        self.sequence += 1;
        self.troubles.advance(now, wall);
        self.proofs.advance(wall);
        let census = self.miners.census(now, wall, self.running_since);
        let rates = self.windows.as_ref().map(|windows| windows.rates(now));
        let rates = rates.unwrap_or_default();
        let round = self.round();
        let (blocks, block_counts) = self.blocks.shown(self.node.height());
        let stakes = Stakes {
            network_difficulty: self.node.network_difficulty(),
            network: self.facts.network.filter(|_| !self.node.is_embedded()),
            rates: &rates,
            round,
            work: self.totals.work,
        };
        let summary = Summary {
            sequence: self.sequence,
            taken_at: convert::unix(wall),
            software: software(),
            network: self.facts.network.map(convert::network),
            demo: self.facts.demo,
            state: self.state(),
            started_at: convert::unix(self.started.1),
            uptime_seconds: now.saturating_duration_since(self.started.0).as_secs(),
            hashes_per_second: rates,
            miners: census.counts.clone(),
            shares: self.totals.shown(),
            ledger: self.ledger_shown(),
            best: self.best(),
            odds: stakes.odds(),
            blocks: block_counts,
            empty_blocks: EmptyBlocks {
                tips_begun: self.empty.tips,
                tips_awaited: self.empty.awaited,
                seconds: self.empty.spent.as_secs_f64(),
            },
            node: self.node.shown(now, wall),
            nodes: self.nodes.shown(now, wall),
            proof: self.proofs.shown(),
            payout: self.facts.payout.clone(),
            connect: self.connect(),
            alarms: self.troubles.alarms(&Scene {
                now,
                wall,
                running_since: self.running_since,
                network: self.facts.network,
                nodes: &self.nodes,
                node_advice: self.node.unusable().map(|it| it.next_step.as_str()),
                blocks: &self.blocks,
                miners: &self.miners,
                census: &census,
                proofs: &self.proofs,
                example_address: &self.facts.connect.example_address,
            }),
        };
        Overview { summary, blocks }
    }

    /// The miners at this moment, in any order.
    pub(super) fn miners(&self, now: Instant, wall: UnixTime) -> Vec<Miner> {
        self.miners.shown(now, wall, self.running_since)
    }

    /// The chart, when a bucket of it has become full.
    pub(super) fn poll_history(&mut self, now: Instant, wall: UnixTime) -> Option<History> {
        let rates = self.windows.as_ref().map(|windows| windows.rates(now));
        let one_minute = rates.unwrap_or_default().one_minute;
        let is_new = self.chart.advance(wall, one_minute);
        is_new.then(|| self.chart.shown())
    }

    /// The chart as it is.
    pub(super) fn history(&self) -> History {
        self.chart.shown()
    }

    fn join(
        &mut self,
        key: MinerKey,
        worker: WorkerId,
        joined: &Joined,
        from: (SocketAddr, Encryption),
        (now, at): (Instant, UnixTime),
    ) {
        self.since.get_or_insert(at);
        self.windows.get_or_insert_with(|| Windows::new(now));
        let client = convert::client(joined.protocol, joined.kind);
        self.miners.join(key, worker, client, |record| {
            Connected::new(record, joined, from, (now, at))
        });
    }

    /// Listeners that showed the certificate of these files show the one that is in use now.
    fn handle_tls(&mut self, tls: TlsNews) {
        let shown = Some(tls.fingerprint.to_string());
        if let Some(before) = self.troubles.handle_tls(tls) {
            let before = Some(before.to_string());
            let listeners = self.facts.connect.listeners.iter_mut();
            for listener in listeners.filter(|listener| listener.tls_fingerprint == before) {
                listener.tls_fingerprint.clone_from(&shown);
            }
        }
    }

    fn handle_shares(&mut self, key: MinerKey, tally: &ShareTally, now: Instant, wall: UnixTime) {
        let counts = Counts::of_tally(tally);
        self.totals.add(&counts);
        self.chart.add(&counts);
        let windows = self.windows.get_or_insert_with(|| Windows::new(now));
        windows.add(now, counts.work);
        self.miners.handle_shares(key, (now, wall), tally);
        self.acknowledged_early = self.acknowledged_early.saturating_add(tally.not_durable);
        self.troubles.handle_shares(tally, wall, now);
        if let Some(share) = tally.best {
            let found = self.blocks.network_difficulty_of(&share);
            let near = Near {
                share,
                worker: self.miners.user(key).unwrap_or_default().to_owned(),
                network_difficulty: found.or_else(|| self.node.network_difficulty()),
                work: self.totals.work,
            };
            match self.blocks.knows(&share.hash) {
                true => self.bests.offer_ever(near),
                false => self.bests.offer(near),
            }
        }
    }

    fn state(&self) -> PoolState {
        match (self.is_stopping, self.node.unusable()) {
            (true, _) => PoolState::Stopping,
            (false, Some(unusable)) => PoolState::NodeUnusable {
                reason: unusable.reason.clone(),
                next_step: unusable.next_step.clone(),
                since_at: convert::unix(unusable.since),
                release_at: self.release_at().map(convert::unix),
            },
            (false, None) if self.node.has_given_work() => PoolState::Running,
            (false, None) => PoolState::Starting,
        }
    }

    /// Before the first work nobody is here who could be released.
    fn release_at(&self) -> Option<UnixTime> {
        let release_at = self.hold.release_at;
        release_at.filter(|_| self.node.has_given_work())
    }

    /// The listeners open with the first work, and are shut while miners are released.
    fn connect(&self) -> Connect {
        let mut connect = self.facts.connect.clone();
        for listener in &mut connect.listeners {
            listener.open =
                self.node.has_given_work() && !self.is_stopping && !self.hold.is_released;
        }
        connect
    }

    fn ledger_shown(&self) -> LedgerSummary {
        LedgerSummary {
            persistent: self.facts.persistent,
            // The board hears of shares at most a second after the ledger: what it knows and the
            // ledger does not hold has waited longer than a commit takes.
            shares_not_yet_durable: self.totals.accepted.saturating_sub(self.ledger.committed),
            shares_acknowledged_early: self.acknowledged_early,
            shares_not_durable: self.ledger.lost,
            trouble: self.troubles.ledger().map(convert::sentence),
        }
    }

    fn round(&self) -> RoundStart {
        self.blocks.round().unwrap_or(RoundStart {
            at: self.since,
            work_before: Work::ZERO,
        })
    }

    fn best(&self) -> BestShares {
        let difficulty = self.node.network_difficulty();
        let shown = |near: &Near| near.shown(difficulty);
        BestShares {
            this_round: self.bests.since(self.blocks.round()).map(shown),
            ever: self.bests.ever().map(shown),
        }
    }
}

fn software() -> Software {
    Software {
        name: "headframe".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
