//! A pool in one thread: a hub, sessions, a ledger, and time that passes when told to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::hashes::Hash;
use headframe_channels::{ChannelId, DifficultySettings, Past};
use headframe_mining::server::{
    AnnouncedTip, Hub, JobIds, NewTemplate, ParkedSession, PoolRules, PoolWork, SessionEvent,
    SessionId, Sv1Session, Sv2Rules, Sv2Session,
};
use headframe_sv2_wire::Frame;
use headframe_work::{Imprint, Network, PayoutPolicy, PoolTag, Rung, Template, VersionBits};

use crate::{Chain, Chance, EASY_BITS, Sv1Miner, Sv2Miner, address};

/// What differs between pools in tests.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Chooses all chance.
    pub seed: u64,
    /// The network target.
    pub bits: u32,
    /// Transactions in each template.
    pub transactions: usize,
    /// How hard shares are made.
    pub difficulty: DifficultySettings,
    /// Whether difficulties that Stratum V1 devices suggest are passed over.
    pub ignores_suggestions: bool,
    /// How long the ledger takes to commit a share; `None`: it has stopped.
    pub commit_after: Option<Duration>,
    /// The number of the first job.
    pub first_job_id: u32,
    /// The random bytes of the process.
    pub process: [u8; 4],
    /// What Stratum V2 clients have to put up with.
    pub sv2: Sv2Rules,
    /// What blocks signal, whatever the node says.
    pub version_bits: VersionBits,
}

impl Default for PoolSettings {
    fn default() -> Self {
        let rung = Rung::from_exponent(-24);
        Self {
            seed: 1,
            bits: EASY_BITS,
            transactions: 3,
            difficulty: DifficultySettings {
                shares_per_minute: 12.0,
                start: rung,
                min: rung,
                max: Rung::HARDEST,
            },
            ignores_suggestions: false,
            commit_after: Some(Duration::from_millis(10)),
            first_job_id: 0x0bad_cafe,
            process: [1, 2, 3, 4],
            sv2: Sv2Rules::default(),
            version_bits: VersionBits::default(),
        }
    }
}

/// The pool's end of a connection.
pub trait Server {
    /// See the session's method of this name.
    fn wants_prefix(&self) -> bool;
    /// See the session's method of this name.
    fn add_prefix(&mut self, prefix: headframe_channels::ExtranoncePrefix);
    /// See the session's method of this name; none of Stratum V2.
    fn wants_session(&self) -> Option<SessionId>;
    /// See the session's method of this name.
    fn handle_session(&mut self, now: Instant, parked: Option<ParkedSession>);
    /// Takes a frame or line.
    ///
    /// # Errors
    ///
    /// When the connection has to end.
    fn handle_input(&mut self, now: Instant, input: &[u8]) -> Result<(), String>;
    /// See the session's method of this name. No channel is left waiting.
    fn handle_work(&mut self, now: Instant, work: &Arc<PoolWork>);
    /// See the session's method of this name.
    fn handle_past(&mut self, now: Instant, seat: ChannelId, past: Option<Box<Past>>);
    /// See the session's method of this name.
    fn handle_committed(&mut self, sequence: u64);
    /// See the session's method of this name. No channel is left waiting.
    ///
    /// # Errors
    ///
    /// When the connection has to end.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), String>;
    /// See the session's method of this name.
    fn poll_timeout(&self) -> Option<Instant>;
    /// See the session's method of this name.
    fn poll_event(&mut self) -> Option<SessionEvent>;
    /// All bytes that are to be sent.
    fn output(&mut self) -> Vec<u8>;
    /// See the session's method of this name.
    fn handle_closed(&mut self, now: Instant);
}

/// The client's end of a connection.
pub trait Device {
    /// Takes what the pool sent, whole messages.
    fn receive(&mut self, now: Instant, bytes: &[u8]);
    /// What the client sends, message by message.
    fn take_output(&mut self) -> Vec<Vec<u8>>;
    /// The pool is about to take this message of the client's.
    fn forget(&mut self, input: &[u8]);
}

/// Both ends of a connection, and what the pool knows of it.
#[derive(Debug)]
pub struct Connection<S, D> {
    /// The pool's end.
    pub session: S,
    /// The client's end.
    pub miner: D,
    /// What the session told the pool.
    pub events: Vec<SessionEvent>,
    /// Why the session ended the connection.
    pub fault: Option<String>,
    /// Bytes that the pool sent.
    pub sent_bytes: usize,
    commits: Vec<(Instant, u64)>,
}

/// A pool, its node and its clients.
#[derive(Debug)]
pub struct Pool {
    /// The simulated time.
    pub now: Instant,
    /// The hub.
    pub hub: Hub,
    /// The rules of all sessions.
    pub rules: Arc<PoolRules>,
    /// The chain.
    pub chain: Chain,
    /// The Stratum V2 connections.
    pub sv2: Vec<Connection<Sv2Session, Sv2Miner>>,
    /// The Stratum V1 connections.
    pub sv1: Vec<Connection<Sv1Session, Sv1Miner>>,
    /// How long the ledger takes; `None`: it has stopped.
    pub commit_after: Option<Duration>,
    started: (Instant, u32),
    next_session: u64,
}

impl Pool {
    /// A pool that has its first template.
    pub fn new(settings: &PoolSettings) -> Self {
        let rules = Arc::new(PoolRules {
            payouts: PayoutPolicy {
                network: Network::Regtest,
                fee: None,
                plain_names: Some(address(0)),
            },
            imprint: Imprint {
                tag: PoolTag::new("/testkit/").expect("printable and short"),
                process: settings.process,
            },
            difficulty: settings.difficulty,
            ignores_suggestions: settings.ignores_suggestions,
            job_ids: JobIds::new(settings.first_job_id),
            sv2: settings.sv2,
            password: None,
        });
        let chain = Chain::new(settings.seed, settings.bits, settings.transactions);
        let now = Instant::now();
        let mut pool = Self {
            now,
            hub: Hub::new(rules.job_ids.clone(), 0xffff_fff0).signalling(settings.version_bits),
            rules,
            started: (now, chain.time),
            chain,
            sv2: Vec::new(),
            sv1: Vec::new(),
            commit_after: settings.commit_after,
            next_session: settings.seed,
        };
        pool.new_template();
        pool
    }

    /// The work of the moment.
    pub fn work(&self) -> Arc<PoolWork> {
        Arc::clone(self.hub.work().expect("the pool begins with a template"))
    }

    /// A Stratum V2 client connects; says its number.
    pub fn connect_sv2(&mut self) -> usize {
        let session = Sv2Session::new(Arc::clone(&self.rules), self.work(), self.now);
        self.sv2.push(Connection::new(session, Sv2Miner::default()));
        self.sv2.len() - 1
    }

    /// A Stratum V1 client connects; says its number.
    pub fn connect_sv1(&mut self) -> usize {
        let session = Sv1Session::new(Arc::clone(&self.rules), self.work(), self.now);
        let id = Chance::new(self.next_session).bytes();
        self.next_session = self.next_session.wrapping_add(1);
        let session = session.resumable(SessionId::new(id));
        self.sv1.push(Connection::new(session, Sv1Miner::default()));
        self.sv1.len() - 1
    }

    /// The node has new transactions.
    pub fn new_template(&mut self) {
        let work = self.publish_template();
        self.give_work(&work);
    }

    /// Somebody found a block.
    pub fn new_tip(&mut self) {
        self.chain.advance();
        self.new_template();
    }

    /// Somebody found a block, and what was staged for its tip goes out before the template.
    pub fn new_tip_begun(&mut self) {
        self.chain.advance();
        let new = self.node_template();
        if let Some(start) = self.hub.begin_tip(self.now, &new) {
            self.give_work(&start);
        }
        let work = self
            .hub
            .handle_template(self.now, new)
            .expect("a good template");
        self.give_work(&work);
    }

    /// Somebody found a block, and the node tells of it before it has a template.
    pub fn announced_tip(&mut self) -> AnnouncedTip {
        let parent = self.chain.template().prev_hash;
        self.chain.advance();
        let next = self.node_template().template;
        AnnouncedTip {
            hash: next.prev_hash,
            parent,
            height: next.height - 1,
            bits: next.bits,
            earliest: next.min_time,
        }
    }

    /// The hub numbers its work anew.
    pub fn refresh(&mut self) {
        let work = self
            .hub
            .refresh(self.now)
            .expect("the pool begins with a template");
        self.give_work(&work);
    }

    /// The hub takes a template that no session has heard of yet.
    pub fn publish_template(&mut self) -> Arc<PoolWork> {
        let new = self.node_template();
        self.hub
            .handle_template(self.now, new)
            .expect("a good template")
    }

    /// A template as the node gives it.
    pub fn node_template(&mut self) -> NewTemplate {
        self.chain.time = self.unix_time();
        let template = self.chain.template();
        self.given(template)
    }

    /// `template` as the node gives it.
    pub fn given(&self, template: Template) -> NewTemplate {
        NewTemplate {
            earliest: template.min_time,
            latest: None,
            received: self.now,
            template: template.into(),
        }
    }

    /// Begins a tip that was announced before its template, and gives everybody the work.
    ///
    /// # Panics
    ///
    /// When it cannot be begun.
    pub fn begin_ahead(&mut self, tip: &AnnouncedTip) {
        let start = self.hub.begin_ahead(self.now, tip);
        self.give_work(&start.expect("it is the next"));
    }

    /// All sessions hear of `work`.
    pub fn give_work(&mut self, work: &Arc<PoolWork>) {
        self.pump();
        let now = self.now;
        self.sv2
            .iter_mut()
            .for_each(|link| link.session.handle_work(now, work));
        self.sv1
            .iter_mut()
            .for_each(|link| link.session.handle_work(now, work));
        self.pump();
    }

    /// Carries bytes both ways, and events to the pool, until there are none. No time passes, but
    /// what is due is done.
    pub fn pump(&mut self) {
        let (now, commit_after) = (self.now, self.commit_after);
        let mut is_moving = true;
        while is_moving {
            is_moving = false;
            for link in &mut self.sv2 {
                is_moving |= link.step(now, commit_after, &mut self.hub);
            }
            for link in &mut self.sv1 {
                is_moving |= link.step(now, commit_after, &mut self.hub);
            }
        }
    }

    /// Lets `duration` pass, from one timer to the next.
    pub fn advance(&mut self, duration: Duration) {
        self.pump();
        let end = self.now + duration;
        while let Some(next) = self.next_timer().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.pump();
        }
        self.now = end;
    }

    /// The Stratum V2 connection `index` is gone.
    pub fn close_sv2(&mut self, index: usize) {
        let now = self.now;
        self.sv2[index].session.handle_closed(now);
        self.sv2[index].miner.channels.clear();
        self.pump();
    }

    /// The Stratum V2 connection `index` is gone, and nothing is left of it. Those after it move up.
    pub fn drop_sv2(&mut self, index: usize) {
        self.sv2.remove(index).close(self.now, &mut self.hub);
    }

    /// The same of Stratum V1.
    pub fn drop_sv1(&mut self, index: usize) {
        self.sv1.remove(index).close(self.now, &mut self.hub);
    }

    /// The network's time, seconds since 1970.
    pub fn unix_time(&self) -> u32 {
        let (began, time) = self.started;
        let elapsed = self.now.saturating_duration_since(began).as_secs();
        time + u32::try_from(elapsed).expect("tests are shorter")
    }

    fn next_timer(&self) -> Option<Instant> {
        let sv2 = self.sv2.iter().filter_map(Connection::next_timer);
        let sv1 = self.sv1.iter().filter_map(Connection::next_timer);
        sv2.chain(sv1).min()
    }
}

impl<S: Server, D: Device> Connection<S, D> {
    /// A connection over which nothing has gone yet.
    pub fn new(session: S, miner: D) -> Self {
        Self {
            session,
            miner,
            events: Vec::new(),
            fault: None,
            sent_bytes: 0,
            commits: Vec::new(),
        }
    }

    /// Hashes of the blocks that were found, from their bytes.
    pub fn blocks(&self) -> Vec<bitcoin::Block> {
        let blocks = self.events.iter().filter_map(|event| match event {
            SessionEvent::Block(found) => Some(found),
            _ => None,
        });
        blocks
            .map(|found| {
                let bytes = found.block.to_bytes();
                let block: bitcoin::Block =
                    bitcoin::consensus::deserialize(&bytes).expect("a block that is none");
                assert_eq!(
                    block.block_hash().to_byte_array(),
                    found.hash.to_byte_array()
                );
                block
            })
            .collect()
    }

    /// Shares that were acknowledged though the ledger did not have them.
    pub fn not_durable(&self) -> u32 {
        let shares = self.events.iter().filter_map(|event| match event {
            SessionEvent::NotDurable { shares, .. } => Some(shares),
            _ => None,
        });
        shares.sum()
    }

    /// The client is gone.
    pub fn close(mut self, now: Instant, hub: &mut Hub) {
        self.session.handle_closed(now);
        while let Some(event) = self.session.poll_event() {
            self.note_event(now, None, hub, event);
        }
    }

    /// When there is something to do though nothing comes.
    pub fn next_timer(&self) -> Option<Instant> {
        if self.fault.is_some() {
            return None;
        }
        let commits = self.commits.iter().map(|(at, _)| *at);
        commits.chain(self.session.poll_timeout()).min()
    }

    /// Carries bytes both ways once, and does what is due. False when there was nothing to carry.
    pub fn step(&mut self, now: Instant, commit_after: Option<Duration>, hub: &mut Hub) -> bool {
        if self.fault.is_some() {
            return false;
        }
        let inputs = self.miner.take_output();
        let mut is_moving = !inputs.is_empty();
        for input in inputs {
            while self.session.wants_prefix() {
                self.session
                    .add_prefix(hub.lease_prefix().expect("2^32 are enough"));
            }
            self.miner.forget(&input);
            let taken = self.session.handle_input(now, &input);
            self.note_fault(taken);
            if let Some(id) = self.session.wants_session() {
                let parked = hub.resume(now, id);
                self.session.handle_session(now, parked);
            }
        }
        self.handle_commits(now);
        if self.session.poll_timeout().is_some_and(|at| at <= now) && self.fault.is_none() {
            let taken = self.session.handle_timeout(now);
            self.note_fault(taken);
            let next = self.session.poll_timeout();
            assert!(
                self.fault.is_some() || next.is_none_or(|at| at > now),
                "handle_timeout leaves the timer where it was: a busy loop"
            );
        }
        while let Some(event) = self.session.poll_event() {
            self.note_event(now, commit_after, hub, event);
        }
        let bytes = self.session.output();
        self.sent_bytes += bytes.len();
        is_moving |= !bytes.is_empty();
        self.miner.receive(now, &bytes);
        is_moving
    }

    fn handle_commits(&mut self, now: Instant) {
        let due = self.commits.iter().take_while(|(at, _)| *at <= now).count();
        if let Some((_, sequence)) = self.commits.drain(..due).next_back() {
            self.session.handle_committed(sequence);
        }
    }

    fn note_event(
        &mut self,
        now: Instant,
        commit_after: Option<Duration>,
        hub: &mut Hub,
        event: SessionEvent,
    ) {
        let event = match event {
            SessionEvent::Parked(parked) => return hub.park(now, *parked),
            other => other,
        };
        match &event {
            SessionEvent::PrefixReturned(prefix) => hub.give_back_prefix(*prefix),
            SessionEvent::Joined(joined) => {
                let past = hub.recall(now, &joined.miner.user);
                let past = past.cloned().map(Box::new);
                self.session.handle_past(now, joined.seat, past);
            }
            SessionEvent::Learnt { user, past } => hub.remember(Arc::clone(user), past.clone()),
            SessionEvent::Share(share) if share.outcome.is_ok() => {
                // The ledger commits in order.
                let last = self.commits.last().map_or(now, |(at, _)| *at);
                let commit = commit_after.map(|after| (last.max(now + after), share.sequence));
                self.commits.extend(commit);
            }
            _ => {}
        }
        self.events.push(event);
    }

    fn note_fault(&mut self, taken: Result<(), String>) {
        if let Err(fault) = taken {
            self.fault.get_or_insert(fault);
        }
    }
}

macro_rules! server {
    ($Session:ty, $handle_input:expr, $handle_past:expr, $send_rest:expr, $wants_session:expr, $handle_session:expr) => {
        impl Server for $Session {
            fn wants_prefix(&self) -> bool {
                self.wants_prefix()
            }

            fn add_prefix(&mut self, prefix: headframe_channels::ExtranoncePrefix) {
                self.add_prefix(prefix);
            }

            fn wants_session(&self) -> Option<SessionId> {
                $wants_session(self)
            }

            fn handle_session(&mut self, now: Instant, parked: Option<ParkedSession>) {
                $handle_session(self, now, parked);
            }

            fn handle_input(&mut self, now: Instant, input: &[u8]) -> Result<(), String> {
                $handle_input(self, now, input)
            }

            fn handle_work(&mut self, now: Instant, work: &Arc<PoolWork>) {
                self.handle_work(now, work);
                $send_rest(self, now);
            }

            fn handle_past(&mut self, now: Instant, seat: ChannelId, past: Option<Box<Past>>) {
                $handle_past(self, now, seat, past);
            }

            fn handle_committed(&mut self, sequence: u64) {
                self.handle_committed(sequence);
            }

            fn handle_timeout(&mut self, now: Instant) -> Result<(), String> {
                let handled = self.handle_timeout(now);
                $send_rest(self, now);
                handled.map_err(|fault| fault.to_string())
            }

            fn poll_timeout(&self) -> Option<Instant> {
                self.poll_timeout()
            }

            fn poll_event(&mut self) -> Option<SessionEvent> {
                self.poll_event()
            }

            fn output(&mut self) -> Vec<u8> {
                let mut output = Vec::new();
                self.drain_output(|bytes| output.extend_from_slice(bytes));
                output
            }

            fn handle_closed(&mut self, now: Instant) {
                self.handle_closed(now);
            }
        }
    };
}

server!(
    Sv1Session,
    |session: &mut Sv1Session, now, input| {
        session
            .handle_line(now, input)
            .map_err(|fault| fault.to_string())
    },
    Sv1Session::handle_past,
    |_: &mut Sv1Session, _| {},
    Sv1Session::wants_session,
    Sv1Session::handle_session
);
server!(
    Sv2Session,
    |session: &mut Sv2Session, now, input| {
        let (frame, rest) = Frame::split(input).ok_or("half a frame")?;
        assert!(rest.is_empty(), "one frame at a time");
        session
            .handle_frame(now, frame)
            .map_err(|fault| fault.to_string())
    },
    Sv2Session::handle_past,
    |session: &mut Sv2Session, now| {
        while session.has_more(now) {
            session.send_some(now);
        }
    },
    |_: &Sv2Session| None,
    |_: &mut Sv2Session, _, _| ()
);
