//! A Bitaxe: what ESP-Miner does beside its protocol.
//!
//! Its chip finds shares as chance has it, so many a minute as its speed and the target make; each is
//! searched for with real hashes, so that the pool's verdict is real. Its two faults after a reconnect
//! are there: the first work is done twice, and old work goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bitcoin::{BlockHash, Target};
use headframe_testkit::{Chance, MinerJob, Nonce};
use headframe_work::{Rung, Work};

use crate::client::{Client, Heard};
use crate::sv1::Sv1Client;
use crate::sv2::Sv2Client;

/// It leaves a pool that says nothing for so long.
const SILENCE: Duration = Duration::from_secs(180);
/// A chip takes an extranonce for so long: the BM1366.
const EXTRANONCE_FOR: Duration = Duration::from_secs(2);
/// A standard job is used up then: 2^48 hashes at 1.2 TH/s.
const USED_UP_AFTER: Duration = Duration::from_secs(234);
/// The pool has heard by then what a device suggests.
const SUGGESTED_WITHIN: Duration = Duration::from_secs(2);
/// What the chip still had in its pipeline when other work came, in percent of the times.
const STRAGGLERS: u64 = 10;

/// What is spoken to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Standard,
    Extended,
    Sv1,
}

/// A share that was sent.
#[derive(Debug)]
pub(crate) struct Submission {
    connection: u32,
    number: u32,
    pub(crate) hash: BlockHash,
    pub(crate) rung: Rung,
    pub(crate) fate: Fate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Pending,
    Accepted,
    Rejected,
    /// The connection is gone, or the share was sent before there was a channel.
    Unanswered,
}

pub(crate) struct Firmware {
    kind: Kind,
    user: String,
    /// Hashes per second.
    hashrate: f64,
    /// Seconds of its own clock in a second.
    drift: f64,
    chance: Chance,
    client: Option<Box<dyn Client>>,
    work: Option<Running>,
    is_open: bool,
    last_byte: Instant,
    share_at: Option<Instant>,
    /// Shares that are sent a little later: repeated ones, and those of work that was replaced.
    later: Vec<(Instant, u32, Nonce, Rung)>,
    output: Vec<Vec<u8>>,
    pub(crate) connections: u32,
    /// Why it left the pool by itself.
    pub(crate) left: Vec<String>,
    /// The counters on its screen.
    pub(crate) accepted: u64,
    pub(crate) rejected: BTreeMap<String, u64>,
    pub(crate) submissions: Vec<Submission>,
    /// Shares that it knows to be accepted.
    pub(crate) acknowledged: BTreeSet<BlockHash>,
    /// Shares that will never be answered, each as often as it was sent.
    pub(crate) unanswered: Vec<BlockHash>,
    /// Shares that it sent for jobs of another connection.
    pub(crate) foreign: u64,
    /// When the first work of each connection came, and how hard it was after two seconds.
    pub(crate) starts: Vec<(Instant, Rung)>,
    /// The time that its clock is set to, from the last job.
    pub(crate) clock: u32,
    /// Submissions before this one have their answer.
    answered: usize,
}

#[derive(Debug, Clone)]
struct Running {
    job: MinerJob,
    since: Instant,
    connection: u32,
    is_first: bool,
}

impl Firmware {
    pub(crate) fn new(kind: Kind, user: &str, hashrate: f64, seed: u64, now: Instant) -> Self {
        let mut chance = Chance::new(seed);
        let drift = 0.98 + 0.04 * chance.below(1000) as f64 / 1000.0;
        Self {
            kind,
            user: user.to_owned(),
            hashrate,
            drift,
            chance,
            client: None,
            work: None,
            is_open: false,
            last_byte: now,
            share_at: None,
            later: Vec::new(),
            output: Vec::new(),
            connections: 0,
            left: Vec::new(),
            accepted: 0,
            rejected: BTreeMap::new(),
            submissions: Vec::new(),
            acknowledged: BTreeSet::new(),
            unanswered: Vec::new(),
            foreign: 0,
            starts: Vec::new(),
            clock: 0,
            answered: 0,
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.is_some()
    }

    /// Whether every share has been answered that ever will be.
    pub(crate) fn is_answered(&mut self) -> bool {
        let open = self.submissions[self.answered..]
            .iter()
            .position(|share| share.fate == Fate::Pending);
        self.answered = open.map_or(self.submissions.len(), |open| self.answered + open);
        open.is_none()
    }

    /// How long it has worked on what it has.
    pub(crate) fn age_of_work(&self, now: Instant) -> Option<Duration> {
        let work = self.work.as_ref()?;
        (work.connection == self.connections).then(|| now - work.since)
    }

    pub(crate) fn connect(&mut self, now: Instant) {
        let mut client: Box<dyn Client> = match self.kind {
            Kind::Standard => Box::new(Sv2Client::new(false, &self.user)),
            Kind::Extended => Box::new(Sv2Client::new(true, &self.user)),
            Kind::Sv1 => Box::new(Sv1Client::new(&self.user)),
        };
        self.connections += 1;
        self.last_byte = now;
        self.output = client.greet();
        self.client = Some(client);
        if self.chance.below(2) == 0 {
            self.submit_too_early();
        }
    }

    /// The connection is gone. On an extended channel the chip goes on with what it has.
    pub(crate) fn lose(&mut self) {
        self.client = None;
        self.is_open = false;
        self.output.clear();
        self.later.clear();
        if self.kind != Kind::Extended {
            self.work = None;
            self.share_at = None;
        }
        let pending = self.submissions[self.answered..].iter_mut();
        for share in pending.filter(|share| share.fate == Fate::Pending) {
            share.fate = Fate::Unanswered;
            self.unanswered.push(share.hash);
        }
    }

    /// Takes what came. False when it gives the connection up.
    pub(crate) fn hear(&mut self, now: Instant, bytes: &[u8]) -> bool {
        self.last_byte = now;
        let Some(client) = &mut self.client else {
            return true;
        };
        for heard in client.receive(bytes) {
            match heard {
                Heard::Say(message) => self.output.push(message),
                Heard::Open => self.handle_open(now),
                Heard::Work(job) => self.begin(now, *job),
                Heard::AcceptedUpTo { number, count } => self.note_accepted(number, count),
                Heard::Accepted(number) => self.answer(number, Fate::Accepted),
                Heard::Rejected { number, code } => {
                    *self.rejected.entry(code).or_default() += 1;
                    self.answer(number, Fate::Rejected);
                }
                Heard::Leave(reason) => {
                    self.left.push(reason);
                    return false;
                }
            }
        }
        true
    }

    /// Does what is due. False when it gives the connection up.
    pub(crate) fn handle_time(&mut self, now: Instant) -> bool {
        if self.share_at.is_some_and(|at| at <= now) {
            self.find(now);
        }
        let due: Vec<_> = self.later.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, connection, nonce, rung) in due {
            if connection == self.connections {
                self.submit(&nonce, rung);
            }
        }
        if self.is_connected() && now >= self.silent_at() {
            self.left.push("180 s of silence".to_owned());
            return false;
        }
        true
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let later = self.later.iter().map(|(at, ..)| *at).min();
        let silence = self.is_connected().then(|| self.silent_at());
        [self.share_at, later, silence].into_iter().flatten().min()
    }

    pub(crate) fn take_output(&mut self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.output)
    }

    fn silent_at(&self) -> Instant {
        self.last_byte + SILENCE.div_f64(self.drift)
    }

    /// Until work comes, the chip goes on with that of the last connection.
    fn handle_open(&mut self, now: Instant) {
        self.is_open = true;
        if self.work.is_some() && self.chance.below(2) == 0 {
            self.find(now);
        }
    }

    fn begin(&mut self, now: Instant, job: MinerJob) {
        self.clock = job.time;
        let is_first = self
            .work
            .as_ref()
            .is_none_or(|work| work.connection != self.connections);
        if is_first {
            self.starts.push((now, rung(&job)));
        }
        // What it suggests in Stratum V1 may come when the pool has sent work.
        if let Some(start) = self.starts.last_mut()
            && self.kind == Kind::Sv1
            && now <= start.0 + SUGGESTED_WITHIN
        {
            start.1 = rung(&job);
        }
        if let Some(old) = self.work.clone()
            && !is_first
            && self.chance.below(100) < STRAGGLERS
        {
            let nonce = self.mine(&old, now);
            let soon = now + Duration::from_millis(1 + self.chance.below(40));
            self.later
                .push((soon, self.connections, nonce, rung(&old.job)));
        }
        self.work = Some(Running {
            job,
            since: now,
            connection: self.connections,
            is_first,
        });
        self.plan_share(now);
    }

    fn find(&mut self, now: Instant) {
        let Some(work) = self.work.clone() else {
            return;
        };
        let is_current = work.connection == self.connections;
        assert!(
            self.kind != Kind::Standard || now - work.since < USED_UP_AFTER,
            "the chip idles: its job is used up"
        );
        let nonce = self.mine(&work, now);
        self.foreign += u64::from(!is_current && self.is_open);
        // The first extranonce is done twice.
        let is_repeated = self.kind != Kind::Standard
            && is_current
            && work.is_first
            && now - work.since < EXTRANONCE_FOR;
        if is_repeated {
            let again = (
                now + EXTRANONCE_FOR,
                self.connections,
                nonce.clone(),
                rung(&work.job),
            );
            self.later.push(again);
        }
        self.submit(&nonce, rung(&work.job));
        self.plan_share(now);
    }

    fn plan_share(&mut self, now: Instant) {
        let Some(work) = &self.work else { return };
        let hashes = Work::of_rung(rung(&work.job)).expected_hashes();
        let luck = -((self.chance.below(1 << 32) as f64 + 0.5) / (1u64 << 32) as f64).ln();
        let seconds = (hashes / self.hashrate * luck).min(1e9);
        self.share_at = Some(now + Duration::from_secs_f64(seconds));
    }

    fn mine(&mut self, work: &Running, now: Instant) -> Nonce {
        let count = (now - work.since).div_duration_f64(EXTRANONCE_FOR) as u64;
        let client = self.client.as_ref();
        let mut extranonce = client.map_or(Vec::new(), |client| client.extranonce(count));
        extranonce.resize(work.job.rolled_len(), 0);
        let rolled = self.chance.number() as u32 & 0x1fff_e000;
        let version = work.job.version & !0x1fff_e000 | rolled;
        let nonce = self.chance.number() as u32;
        let mut header = work.job.header(&extranonce, version, work.job.time, nonce);
        while !work.job.target.is_met_by(header.block_hash()) {
            header.nonce = header.nonce.wrapping_add(1);
        }
        Nonce {
            job_id: work.job.id,
            extranonce,
            header,
        }
    }

    fn submit(&mut self, nonce: &Nonce, rung: Rung) {
        if !self.is_open {
            return;
        }
        let Some(client) = &mut self.client else {
            return;
        };
        let (number, message) = client.submit(&self.user, nonce);
        self.output.push(message);
        self.note(number, nonce, rung, Fate::Pending);
    }

    /// What the chip finds of the last connection's work, before the pool knows who this is.
    fn submit_too_early(&mut self) {
        let (Some(work), Some(client)) = (self.work.clone(), &mut self.client) else {
            return;
        };
        let rolled = vec![0; work.job.rolled_len()];
        let nonce = Nonce {
            job_id: work.job.id,
            header: work.job.header(&rolled, work.job.version, work.job.time, 7),
            extranonce: rolled,
        };
        if let Some((number, message)) = client.submit_too_early(&nonce) {
            self.output.push(message);
            self.note(number, &nonce, rung(&work.job), Fate::Unanswered);
            self.unanswered.push(nonce.hash());
        }
    }

    fn note(&mut self, number: u32, nonce: &Nonce, rung: Rung, fate: Fate) {
        self.submissions.push(Submission {
            connection: self.connections,
            number,
            hash: nonce.hash(),
            rung,
            fate,
        });
    }

    /// An acknowledgement covers all shares up to its number that were not rejected (MP-85).
    fn note_accepted(&mut self, up_to: u32, count: u32) {
        self.accepted += u64::from(count);
        let mut covered = 0;
        for share in &mut self.submissions[self.answered..] {
            let is_covered = share.connection == self.connections && share.number <= up_to;
            if is_covered && share.fate == Fate::Pending {
                share.fate = Fate::Accepted;
                let is_new = self.acknowledged.insert(share.hash);
                assert!(is_new, "a share is acknowledged twice");
                covered += 1;
            }
        }
        assert_eq!(
            covered, count,
            "the acknowledgement of {up_to} counts wrong"
        );
    }

    fn answer(&mut self, number: u32, fate: Fate) {
        self.accepted += u64::from(fate == Fate::Accepted);
        let connection = self.connections;
        let open = self.submissions[self.answered..].iter_mut();
        let share = open.rev().find(|share| {
            (share.connection, share.number) == (connection, number) && share.fate == Fate::Pending
        });
        let share = share.expect("an answer to what was asked");
        if fate == Fate::Accepted {
            let is_new = self.acknowledged.insert(share.hash);
            assert!(is_new, "a share is acknowledged twice");
        }
        share.fate = fate;
    }
}

fn rung(job: &MinerJob) -> Rung {
    rung_of(job.target)
}

fn rung_of(target: Target) -> Rung {
    let target = headframe_work::Target::from_le_bytes(target.to_le_bytes());
    Rung::within(target).expect("the pool gives rungs")
}
