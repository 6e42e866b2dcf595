//! A miner that finds shares by chance, the way between it and a pool, and what came of it.
//!
//! Seconds of simulated time; a day passes in some milliseconds. A device takes up a difficulty
//! with the next job, as ESP-Miner does and the specification says (§5.3.21).

use std::collections::VecDeque;

use headframe_testkit::Chance;

/// Hashes for a share of difficulty 1, on average.
const HASHES: f64 = 4_295_032_833.0;
/// From one end of a connection to the other.
const LATENCY: f64 = 0.05;
/// A pool's next job when nothing else makes it send one.
const JOB_INTERVAL: f64 = 30.0;
/// What a device or its link can report in a second.
const MOST_SHARES_PER_SECOND: f64 = 1_000.0;
/// A rate within a factor of two of the wanted one for so long has converged.
const HELD: f64 = 600.0;
/// Shares are counted in bins of this length, for their variance.
const BIN: f64 = 600.0;

/// A difficulty control, as a pool runs it.
pub(crate) trait Control {
    /// The difficulty of the next job.
    fn difficulty(&self) -> f64;
    /// A share of a job of `difficulty` was accepted; its hash was good for `reached`.
    fn handle_share(&mut self, now: f64, difficulty: f64, reached: f64);
    /// When to call [`Self::handle_timeout`].
    fn poll_timeout(&self) -> f64;
    /// Time has passed.
    fn handle_timeout(&mut self, now: f64);
    /// Whether a job follows a new difficulty at once.
    fn sends_job(&self) -> bool {
        true
    }
    /// Whether a share of a job of `difficulty`, good for `reached`, is accepted.
    fn accepts(&self, _now: f64, difficulty: f64, reached: f64) -> bool {
        reached >= difficulty
    }
    /// Whether the pool has ended the connection. The miner comes back after five seconds.
    fn has_hung_up(&self) -> bool {
        false
    }
    /// The miner has lost its connection.
    fn disconnect(&mut self, _now: f64) {}
    /// The miner has connected again.
    fn reconnect(&mut self, now: f64);
}

/// What a miner goes through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Story {
    /// Always the same rate.
    Steady,
    /// Half the rate from this time on.
    Halves(f64),
    /// Twice the rate from this time on.
    Doubles(f64),
    /// Nothing for an hour from this time on, connected.
    Stops(f64),
    /// A link that holds everything back for 30 s every 20 minutes, and breaks for 20 s every two
    /// hours.
    Drops,
    /// Connections that last so long, and a few seconds between two.
    Flaps(f64),
}

/// What a miner that flaps takes to connect again.
const AWAY: f64 = 5.0;
/// A link that drops breaks so often, for so long.
const BREAKS_EVERY: f64 = 7_200.0;
const BROKEN_FOR: f64 = 20.0;

/// A miner and how long it is watched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Miner {
    /// Hashes per second.
    pub(crate) rate: f64,
    /// What it goes through.
    pub(crate) story: Story,
    /// The easiest hash that it reports, whatever it is told.
    pub(crate) mask: f64,
    /// How long.
    pub(crate) seconds: f64,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// When the rate of shares began to stay within a factor of two of the wanted one for ten
    /// minutes; after the change, where the story has one.
    pub(crate) converged: Option<f64>,
    /// Difficulty changes a day, after that.
    pub(crate) changes_per_day: f64,
    /// Shares a minute, after that.
    pub(crate) per_minute: f64,
    /// Variance of the shares in ten minutes over their mean; 1 is what chance alone does.
    pub(crate) dispersion: f64,
    /// The part of the time, after that, in which the rate is within a factor of two.
    pub(crate) within: f64,
    /// Shares that met the target of their job and were refused.
    pub(crate) refused: u64,
    /// Shares in all.
    pub(crate) shares: u64,
    /// The most shares in a second.
    pub(crate) peak: u64,
    /// Work credited over work done, in the last quarter of the time.
    pub(crate) credited: f64,
    /// How often the pool ended the connection.
    pub(crate) hung_up: u64,
}

#[derive(Debug)]
enum Packet {
    Job(f64),
    Share(f64, f64),
}

/// One miner on one pool.
pub(crate) struct Simulation<'a, C> {
    control: &'a mut C,
    miner: Miner,
    wanted: f64,
    now: f64,
    chance: Chance,
    /// Difficulty of the device's job; `None` while it has none.
    job: Option<f64>,
    sent: f64,
    job_at: f64,
    own_job_at: f64,
    is_connected: bool,
    /// When the connection breaks, or comes back.
    toggle_at: f64,
    down: VecDeque<(f64, Packet)>,
    up: VecDeque<(f64, Packet)>,
    /// Differences of the device's difficulty, over time.
    path: Vec<(f64, f64)>,
    bins: Vec<u64>,
    second: (u64, u64),
    done: f64,
    credited: f64,
    outcome: Outcome,
}

impl<'a, C: Control> Simulation<'a, C> {
    /// `wanted` shares a minute.
    pub(crate) fn new(control: &'a mut C, miner: Miner, wanted: f64, seed: u64) -> Self {
        let sent = control.difficulty();
        let mut chance = Chance::new(seed);
        // The first numbers of neighbouring seeds are alike.
        chance.bytes::<64>();
        Self {
            control,
            miner,
            wanted,
            now: 0.0,
            chance,
            job: None,
            sent,
            job_at: JOB_INTERVAL,
            own_job_at: 0.0,
            is_connected: true,
            toggle_at: match miner.story {
                Story::Drops => BREAKS_EVERY,
                Story::Flaps(stays) => stays,
                _ => f64::INFINITY,
            },
            down: VecDeque::from([(LATENCY, Packet::Job(sent))]),
            up: VecDeque::new(),
            path: Vec::new(),
            bins: vec![0; (miner.seconds / BIN) as usize + 1],
            second: (0, 0),
            done: 0.0,
            credited: 0.0,
            outcome: Outcome::default(),
        }
    }

    /// Lets all the time pass.
    pub(crate) fn run(mut self) -> Outcome {
        while self.now < self.miner.seconds {
            let next_share = self.now + self.draw_wait();
            let next = self.next_event();
            if next_share < next {
                self.pass(next_share);
                self.find_share();
            } else {
                // Waiting has no memory: a share that would come later is drawn anew.
                self.pass(next);
                self.handle_event();
            }
        }
        self.conclude()
    }

    fn pass(&mut self, to: f64) {
        if to > self.miner.seconds * 0.75 && self.job.is_some() && self.is_connected {
            self.done += self.rate() * (to - self.now.max(self.miner.seconds * 0.75)).max(0.0);
        }
        self.now = to;
    }

    fn rate(&self) -> f64 {
        let (rate, now) = (self.miner.rate, self.now);
        match self.miner.story {
            Story::Halves(at) if now >= at => rate / 2.0,
            Story::Doubles(at) if now >= at => rate * 2.0,
            Story::Stops(at) if (at..at + 3600.0).contains(&now) => 0.0,
            _ => rate,
        }
    }

    fn draw_wait(&mut self) -> f64 {
        let Some(job) = self.job.filter(|_| self.is_connected) else {
            return f64::INFINITY;
        };
        let per_second = self.rate() / (HASHES * job.max(self.miner.mask));
        let unit = ((self.chance.number() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        -unit.ln() / per_second.min(MOST_SHARES_PER_SECOND)
    }

    /// When the link next begins or ends to hold things back, and whether it does now.
    fn link(&self) -> (f64, bool) {
        if self.miner.story != Story::Drops {
            return (f64::INFINITY, false);
        }
        let (round, at) = ((self.now / 1200.0).floor(), self.now % 1200.0);
        match at < 1170.0 {
            true => (round * 1200.0 + 1170.0, false),
            false => ((round + 1.0) * 1200.0, true),
        }
    }

    fn next_event(&self) -> f64 {
        let (link, is_held) = self.link();
        let packets = [self.down.front(), self.up.front()];
        let packets = packets.into_iter().flatten().map(|(at, _)| *at);
        let packets = packets.filter(|_| !is_held).map(|at| at.max(self.now));
        let own = match self.is_connected && self.sends_own_job() {
            true => self.own_job_at.max(self.now),
            false => f64::INFINITY,
        };
        let pool = match self.is_connected {
            true => self.control.poll_timeout().min(self.job_at),
            false => f64::INFINITY,
        };
        let story = match self.miner.story {
            Story::Halves(at) | Story::Doubles(at) if at > self.now => at,
            Story::Stops(at) if at > self.now => at,
            Story::Stops(at) if at + 3600.0 > self.now => at + 3600.0,
            _ => f64::INFINITY,
        };
        let fixed = [link, own, pool, story, self.toggle_at, self.miner.seconds];
        packets
            .chain(fixed)
            .fold(f64::INFINITY, f64::min)
            .max(self.now)
    }

    fn sends_own_job(&self) -> bool {
        self.control.sends_job() && self.control.difficulty() != self.sent
    }

    fn handle_event(&mut self) {
        let now = self.now;
        if now >= self.toggle_at {
            return self.toggle_connection();
        }
        if !self.is_connected {
            return;
        }
        if !self.link().1 {
            self.deliver();
        }
        if now >= self.control.poll_timeout() {
            self.control.handle_timeout(now);
        }
        if self.control.has_hung_up() {
            self.outcome.hung_up += 1;
            self.disconnect();
            return self.connect(5.0);
        }
        if now >= self.job_at || (self.sends_own_job() && now >= self.own_job_at) {
            if now < self.job_at {
                self.own_job_at = now + 1.0;
            }
            self.send_job(0.0);
        }
    }

    fn toggle_connection(&mut self) {
        let (stays, away) = match self.miner.story {
            Story::Flaps(stays) => (stays, AWAY),
            _ => (BREAKS_EVERY - BROKEN_FOR, BROKEN_FOR),
        };
        match self.is_connected {
            true => self.disconnect(),
            false => self.connect(0.0),
        }
        self.toggle_at = self.now + if self.is_connected { stays } else { away };
    }

    fn disconnect(&mut self) {
        self.control.disconnect(self.now);
        self.is_connected = false;
        self.job = None;
        self.up.clear();
        self.down.clear();
    }

    fn connect(&mut self, after: f64) {
        self.is_connected = true;
        self.control.reconnect(self.now + after);
        self.send_job(after);
    }

    fn send_job(&mut self, after: f64) {
        self.sent = self.control.difficulty();
        let arrives = self.now + after + LATENCY;
        self.down.push_back((arrives, Packet::Job(self.sent)));
        self.job_at = self.now + after + JOB_INTERVAL;
    }

    fn deliver(&mut self) {
        while let Some((_, packet)) = take_due(&mut self.down, self.now) {
            let Packet::Job(difficulty) = packet else {
                continue;
            };
            if self
                .path
                .last()
                .is_none_or(|(_, before)| *before != difficulty)
            {
                self.path.push((self.now, difficulty));
            }
            self.job = Some(difficulty);
        }
        while let Some((_, packet)) = take_due(&mut self.up, self.now) {
            if let Packet::Share(difficulty, reached) = packet {
                self.judge(difficulty, reached);
            }
        }
    }

    fn find_share(&mut self) {
        let Some(job) = self.job else { return };
        let unit = ((self.chance.number() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let reached = job.max(self.miner.mask) / unit;
        let share = Packet::Share(job, reached);
        self.up.push_back((self.now + LATENCY, share));
    }

    fn judge(&mut self, difficulty: f64, reached: f64) {
        if !self.control.accepts(self.now, difficulty, reached) {
            self.outcome.refused += 1;
            return;
        }
        self.outcome.shares += 1;
        let second = self.now as u64;
        self.second = match self.second {
            (at, shares) if at == second => (at, shares + 1),
            _ => (second, 1),
        };
        self.outcome.peak = self.outcome.peak.max(self.second.1);
        self.bins[(self.now / BIN) as usize] += 1;
        if self.now > self.miner.seconds * 0.75 {
            self.credited += difficulty * HASHES;
        }
        self.control.handle_share(self.now, difficulty, reached);
    }

    fn conclude(mut self) -> Outcome {
        let after = match self.miner.story {
            Story::Halves(at) | Story::Doubles(at) => at,
            Story::Stops(at) => at + 3600.0,
            Story::Steady | Story::Drops | Story::Flaps(_) => 0.0,
        };
        // What the rate ends at is what it has after the change.
        let rate = self.rate();
        let fits = |difficulty: f64| {
            let per_minute = 60.0 * rate / (HASHES * difficulty.max(self.miner.mask));
            (0.5..=2.0).contains(&(per_minute / self.wanted))
        };
        let ends = self.path.iter().skip(1).map(|(at, _)| *at);
        let ends: Vec<f64> = ends.chain([self.miner.seconds]).collect();
        let stays = self.path.iter().zip(&ends);
        let mut began = None;
        for ((at, difficulty), end) in stays.clone().filter(|(_, end)| **end > after) {
            let at = at.max(after);
            began = fits(*difficulty).then(|| began.unwrap_or(at));
            if began.is_some_and(|began| end - began >= HELD) {
                break;
            }
        }
        self.outcome.converged = began.map(|began| began - after);
        let from = began.unwrap_or(self.miner.seconds * 0.75) + HELD;
        let watched = self.miner.seconds - from;
        let changes = self.path.iter().filter(|(at, _)| *at > from).count();
        self.outcome.changes_per_day = changes as f64 / watched * 86_400.0;
        let good = stays.filter(|((_, difficulty), _)| fits(*difficulty));
        let good: f64 = good
            .map(|((at, _), end)| (end - at.max(from)).max(0.0))
            .sum();
        self.outcome.within = good / watched;
        let last = (self.miner.seconds / BIN) as usize;
        let first = ((from / BIN).ceil() as usize).min(last - 2);
        let bins: Vec<f64> = self.bins[first..last].iter().map(|&n| n as f64).collect();
        let mean = bins.iter().sum::<f64>() / bins.len() as f64;
        let squares: f64 = bins.iter().map(|n| (n - mean).powi(2)).sum();
        self.outcome.per_minute = mean / (BIN / 60.0);
        self.outcome.dispersion = squares / (bins.len() - 1) as f64 / mean.max(1e-9);
        self.outcome.credited = self.credited / self.done.max(1.0);
        self.outcome
    }
}

fn take_due(queue: &mut VecDeque<(f64, Packet)>, now: f64) -> Option<(f64, Packet)> {
    match queue.front() {
        Some((at, _)) if *at <= now => queue.pop_front(),
        _ => None,
    }
}
