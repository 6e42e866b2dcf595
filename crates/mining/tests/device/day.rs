//! A day of one device at a pool: its Wi-Fi, the chain, the ledger, and what must hold at each
//! moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use headframe_channels::{DifficultySettings, RejectReason};
use headframe_mining::server::{PoolWork, SessionEvent};
use headframe_testkit::{Chance, Connection, Pool, PoolSettings, Server, address};
use headframe_work::{Rung, Work};

use crate::firmware::{Firmware, Kind};
use crate::radio::Radio;

/// The ledger commits after this.
const COMMIT: Option<Duration> = Some(Duration::from_millis(10));
/// The system ends a connection that nobody answers on.
const KEEPALIVE: Duration = Duration::from_secs(120);
/// The device is scaled down so that its shares are worth a test's while: at six a minute each takes
/// 64 hashes or so.
const HASHRATE: f64 = 6.0;
const SHARES_PER_MINUTE: f64 = 6.0;
/// And so is what the 1 TH/s that it declares make of its first target: 64 times too hard for it.
const HARDEST: i32 = -20;

/// What the day is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// Between two troubles of the Wi-Fi, on average; `None`: it has none.
    pub(crate) calm: Option<Duration>,
    /// Between two blocks, on average.
    pub(crate) blocks: Duration,
    /// Between two templates, on average.
    pub(crate) templates: Duration,
}

pub(crate) struct Day<S> {
    pub(crate) firmware: Firmware,
    pub(crate) ledger: Ledger,
    pub(crate) troubles: u32,
    chance: Chance,
    weather: Weather,
    pool: Pool,
    make_session: fn(&Pool) -> S,
    live: Option<Connection<S, Radio>>,
    /// Connections that the pool does not know to be dead, and when it will.
    half_open: Vec<(Instant, Connection<S, Radio>)>,
    began: Instant,
    trouble_at: Option<Instant>,
    connect_at: Option<Instant>,
    block_at: Instant,
    template_at: Instant,
    /// Shares that were judged when the counters were compared last.
    checked: u64,
}

/// The pool's side of the story.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) accepted: BTreeSet<BlockHash>,
    pub(crate) rejected: BTreeMap<RejectReason, u64>,
    pub(crate) work: Work,
    pub(crate) blocks: u64,
}

impl<S: Server> Day<S> {
    pub(crate) fn new(
        kind: Kind,
        weather: Weather,
        seed: u64,
        make_session: fn(&Pool) -> S,
    ) -> Self {
        let pool = Pool::new(&PoolSettings {
            seed,
            transactions: 2,
            difficulty: DifficultySettings {
                shares_per_minute: SHARES_PER_MINUTE,
                start: Rung::from_exponent(-20),
                min: Rung::EASIEST,
                max: Rung::from_exponent(HARDEST),
            },
            ..PoolSettings::default()
        });
        let now = pool.now;
        let user = format!("{}.bitaxe", address(seed));
        let mut day = Self {
            firmware: Firmware::new(kind, &user, HASHRATE, seed, now),
            ledger: Ledger::default(),
            troubles: 0,
            chance: Chance::new(seed ^ 0xda7),
            weather,
            pool,
            make_session,
            live: None,
            half_open: Vec::new(),
            began: now,
            trouble_at: None,
            connect_at: Some(now),
            block_at: now,
            template_at: now,
            checked: 0,
        };
        day.block_at = day.soon(weather.blocks);
        day.template_at = day.soon(weather.templates);
        day.trouble_at = weather.calm.map(|calm| day.soon(calm));
        day
    }

    /// Lets `duration` pass, and the answers come that are due at its end.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.began + duration;
        while self.pool.now < end || !self.is_quiet() {
            let next = self.next_event();
            self.pool.now = self.pool.now.max(next);
            self.handle_event();
            self.check();
        }
        self.check_sums();
    }

    /// When it began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// The rungs with which connections began so long after the first and later.
    pub(crate) fn starts_after(&self, wait: Duration) -> Vec<Rung> {
        let from = self.began + wait;
        let starts = self.firmware.starts.iter();
        starts
            .filter(|(at, _)| *at >= from)
            .map(|(_, rung)| *rung)
            .collect()
    }

    fn next_event(&self) -> Instant {
        let live = self.live.iter();
        let half_open = self.half_open.iter();
        let timers = live
            .clone()
            .filter_map(Connection::next_timer)
            .chain(live.filter_map(|link| link.miner.next_arrival()))
            .chain(half_open.clone().filter_map(|(_, link)| link.next_timer()))
            .chain(half_open.map(|(end, _)| *end))
            .chain(self.firmware.next_timer())
            .chain(self.trouble_at)
            .chain(self.connect_at)
            .chain(self.pool.hub.poll_timeout())
            .chain([self.block_at, self.template_at]);
        timers.min().expect("there is always a block to come")
    }

    fn handle_event(&mut self) {
        let now = self.pool.now;
        if self.connect_at.is_some_and(|at| at <= now) {
            self.connect();
        }
        if self.trouble_at.is_some_and(|at| at <= now) {
            self.have_trouble();
        }
        self.handle_node();
        self.run_pool();
        self.run_device();
    }

    fn handle_node(&mut self) {
        let now = self.pool.now;
        if self.block_at <= now {
            self.block_at = self.soon(self.weather.blocks);
            self.pool.chain.advance();
        } else if self.template_at <= now {
            self.template_at = self.soon(self.weather.templates);
        } else {
            return self.run_hub();
        }
        let new = self.pool.node_template();
        self.pool.hub.offer(new);
        self.run_hub();
    }

    /// The hub's task: a tip is begun with what was staged for it, the full job follows.
    fn run_hub(&mut self) {
        let now = self.pool.now;
        if self.pool.hub.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        let hub = &mut self.pool.hub;
        let work = match hub.take_offered() {
            None => [hub.refresh(now), None],
            Some(new) => [hub.begin_tip(now, &new), hub.handle_template(now, new).ok()],
        };
        for work in work.iter().flatten() {
            self.give(work);
        }
    }

    fn give(&mut self, work: &Arc<PoolWork>) {
        let half_open = self.half_open.iter_mut().map(|(_, link)| link);
        for link in self.live.iter_mut().chain(half_open) {
            link.session.handle_work(self.pool.now, work);
        }
    }

    fn run_pool(&mut self) {
        let now = self.pool.now;
        let ended = |(end, link): &mut (Instant, Connection<_, _>)| {
            // Of whoever was lost before he introduced himself the pool has heard enough.
            *end <= now || link.fault.is_some()
        };
        for (_, link) in self.half_open.extract_if(.., ended).collect::<Vec<_>>() {
            link.close(now, &mut self.pool.hub);
        }
        let half_open = self.half_open.iter_mut().map(|(_, link)| link);
        for link in self.live.iter_mut().chain(half_open) {
            link.miner.arrive(now);
            while link.step(now, COMMIT, &mut self.pool.hub) {}
            for event in link.events.drain(..) {
                self.ledger.book(&event);
                if matches!(event, SessionEvent::Block(_)) {
                    self.block_at = now + Duration::from_secs(1);
                }
            }
        }
        let fault = self.live.as_ref().and_then(|link| link.fault.as_ref());
        assert_eq!(fault, None, "the pool ended the connection");
    }

    fn run_device(&mut self) {
        let now = self.pool.now;
        while let Some(bytes) = self.live.as_mut().and_then(|link| link.miner.hear(now)) {
            if !self.firmware.hear(now, &bytes) {
                return self.leave();
            }
        }
        if !self.firmware.handle_time(now) {
            return self.leave();
        }
        let output = self.firmware.take_output();
        if let Some(link) = &mut self.live {
            output
                .into_iter()
                .for_each(|message| link.miner.send(now, message));
        }
    }

    fn connect(&mut self) {
        self.connect_at = None;
        let session = (self.make_session)(&self.pool);
        let radio = Radio::new(self.pool.now, self.chance.number());
        self.live = Some(Connection::new(session, radio));
        self.firmware.connect(self.pool.now);
    }

    /// The firmware gives the connection up, and tries again after a second.
    fn leave(&mut self) {
        self.disconnect(false);
        self.connect_at = Some(self.pool.now + Duration::from_secs(1));
    }

    fn have_trouble(&mut self) {
        let now = self.pool.now;
        self.trouble_at = self.weather.calm.map(|calm| self.soon(calm));
        let long = Duration::from_millis(3_000 + self.chance.below(90_000));
        let has_work = self.firmware.age_of_work(now).is_some();
        match (self.chance.below(3), &mut self.live) {
            (_, None) => {}
            // Nothing is lost, but all comes late.
            (0, Some(link)) if has_work && now > link.miner.stalled_until => {
                link.miner.stall(now + long);
            }
            (kind, Some(_)) => {
                self.troubles += 1;
                self.disconnect(kind == 1);
                self.connect_at = Some(now + long);
            }
        }
    }

    /// What is on its way is lost. The pool hears of it at once, or when nobody answers.
    fn disconnect(&mut self, is_silent: bool) {
        let now = self.pool.now;
        self.firmware.lose();
        let Some(mut link) = self.live.take() else {
            return;
        };
        link.miner = Radio::new(now, 1);
        match is_silent {
            true => self.half_open.push((now + KEEPALIVE, link)),
            false => link.close(now, &mut self.pool.hub),
        }
    }

    /// Nothing is on its way.
    fn is_quiet(&mut self) -> bool {
        let is_silent = self.live.as_ref().is_some_and(|link| link.miner.is_empty());
        is_silent && self.firmware.is_answered()
    }

    /// What holds at each moment.
    fn check(&mut self) {
        assert!(
            self.firmware.left.is_empty(),
            "it left: {:?}",
            self.firmware.left
        );
        assert_eq!(
            self.firmware.connections,
            self.troubles + u32::from(self.live.is_some())
        );
        let low = self.ledger.rejected.get(&RejectReason::LowDifficulty);
        let low = low.copied().unwrap_or(0);
        assert!(
            low <= self.firmware.foreign,
            "a share that met its target was rejected"
        );
        assert!(self.firmware.accepted <= self.ledger.accepted.len() as u64);
        self.check_work();
        let judged = self.ledger.judged();
        if judged != self.checked && self.is_quiet() {
            self.checked = judged;
            self.check_counters();
        }
    }

    /// The chip never waits, nor hashes what is old.
    fn check_work(&mut self) {
        let now = self.pool.now;
        let Some(link) = &self.live else { return };
        let is_stalled = now < link.miner.stalled_until + Duration::from_secs(1);
        if let Some(age) = self.firmware.age_of_work(now)
            && !is_stalled
        {
            assert!(age <= Duration::from_secs(60), "{age:?} without work");
            let ahead = self.pool.unix_time().abs_diff(self.firmware.clock);
            assert!(ahead <= 65, "its clock is off by {ahead} s");
        }
    }

    /// Both have counted the same, but for what the Wi-Fi swallowed.
    fn check_counters(&self) {
        let unheard = self.unheard().len() as u64;
        assert_eq!(
            self.firmware.accepted + unheard,
            self.ledger.accepted.len() as u64,
            "accepted shares"
        );
        let rejected: u64 = self.firmware.rejected.values().sum();
        let recorded = self.ledger.judged() - self.ledger.accepted.len() as u64;
        let lost = self.firmware.unanswered.len() as u64;
        assert!(rejected <= recorded && recorded <= rejected + lost - unheard);
    }

    /// Shares that the pool has, and of which the device does not know it.
    fn unheard(&self) -> BTreeSet<BlockHash> {
        let lost = self.firmware.unanswered.iter().copied();
        let unheard = lost.filter(|hash| {
            self.ledger.accepted.contains(hash) && !self.firmware.acknowledged.contains(hash)
        });
        unheard.collect()
    }

    /// Share by share: what one has, the other has, and it is worth the same.
    fn check_sums(&mut self) {
        self.check_counters();
        let known: BTreeSet<_> = self
            .firmware
            .acknowledged
            .union(&self.unheard())
            .copied()
            .collect();
        assert_eq!(known, self.ledger.accepted);
        let rungs = self.firmware.submissions.iter();
        let rungs: BTreeMap<BlockHash, Rung> =
            rungs.map(|share| (share.hash, share.rung)).collect();
        let mut work = Work::default();
        known
            .iter()
            .for_each(|hash| work += Work::of_rung(rungs[hash]));
        assert_eq!(work, self.ledger.work);
    }

    /// A time that is `mean` away on average.
    fn soon(&mut self, mean: Duration) -> Instant {
        let luck = -((self.chance.below(1 << 32) as f64 + 0.5) / (1u64 << 32) as f64).ln();
        self.pool.now + mean.mul_f64(luck)
    }
}

impl Ledger {
    fn judged(&self) -> u64 {
        let rejected: u64 = self.rejected.values().sum();
        self.accepted.len() as u64 + rejected
    }

    fn book(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::Share(share) => match share.outcome {
                Ok(credit) => {
                    assert!(self.accepted.insert(credit.hash), "a share counted twice");
                    self.work += credit.work();
                }
                Err(reason) => *self.rejected.entry(reason).or_default() += 1,
            },
            SessionEvent::Block(_) => self.blocks += 1,
            SessionEvent::NotDurable { .. } => panic!("the ledger was in time"),
            _ => {}
        }
    }
}
