//! Our server beside the server side of SRI's `channels_sv2` 8.0.0: the same channels, jobs, tips and
//! targets, and the same shares by kind, each found on each side's own jobs. Both say the same, or
//! the difference stands in the list.
//!
//! What decides when a job goes out and how hard it is is ours alone, and is told to theirs as it is
//! sent. `crates/channels/tests/channels_sv2.rs` compares verdicts on the same bytes.

mod differences;
mod ours;
mod scripted;
mod theirs;

use std::collections::BTreeSet;
use std::time::Duration;

use differences::{Known, LIST};
use headframe_mining::server::Sv2Rules;
use headframe_testkit::{Chance, MinerJob, Nonce};
use headframe_work::UnixTime;
use ours::Ours;
use theirs::{Settings, Theirs};

/// Sequences, and events of each.
const SEQUENCES: u64 = 60;
const EVENTS: usize = 150;
/// Channels that are open at once.
const CHANNELS: usize = 5;
/// Jobs of a channel that shares are sent for. Both sides know as many of a tip.
const LATEST_JOBS: usize = 12;
const ROLLED_LEN: usize = 8;

/// What is said to a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The code of a rejection.
    pub(crate) code: Option<String>,
    /// Whether a block goes to the node.
    pub(crate) is_block: bool,
}

impl Verdict {
    pub(crate) fn rejected(code: &str) -> Self {
        Self {
            code: Some(code.to_owned()),
            is_block: false,
        }
    }

    pub(crate) fn accepted() -> Self {
        Self {
            code: None,
            is_block: false,
        }
    }
}

/// What a share is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) proof: Proof,
    pub(crate) flaw: Flaw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Share,
    Block,
    Low,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// The job was never sent.
    Job,
    /// So many bytes of extranonce.
    Length(usize),
    /// This version bit.
    Version(u32),
    /// So many seconds from the job's earliest.
    Time(i64),
}

/// A share that was sent.
#[derive(Debug, Clone)]
struct Sent {
    channel: u32,
    is_extended: bool,
    wanted: Wanted,
    ours: Nonce,
    theirs: Nonce,
    prev_hash: [u8; 32],
    was_accepted: bool,
    was_block: bool,
}

/// Both sides, and what was sent to both.
struct Pair {
    ours: Ours,
    theirs: Theirs,
    chance: Chance,
    /// Every tip there was, the present one last.
    tips: Vec<[u8; 32]>,
    sent: Vec<Sent>,
    occurred: BTreeSet<Known>,
    codes: BTreeSet<Option<String>>,
}

impl Pair {
    fn new(seed: u64) -> Self {
        Self::with(seed, Sv2Rules::default(), Settings::default())
    }

    fn with(seed: u64, ours: Sv2Rules, theirs: Settings) -> Self {
        let ours = Ours::new(seed, ours);
        let mut pair = Self {
            tips: vec![tip_of(&ours)],
            ours,
            theirs: Theirs::new(theirs),
            chance: Chance::new(seed),
            sent: Vec::new(),
            occurred: BTreeSet::new(),
            codes: BTreeSet::new(),
        };
        pair.open(true);
        pair
    }

    /// Any event.
    fn step(&mut self) {
        match self.chance.below(100) {
            0..5 => self.open(self.chance.clone().below(2) == 0),
            5..8 => self.close(),
            8..14 => self.ours.new_template(false, false),
            14..16 => self.ours.refresh(),
            16..24 => self.new_tip(),
            24..30 => self.update(),
            30..45 => {
                let seconds = self.chance.below(20);
                self.ours.wait(Duration::from_secs(seconds));
            }
            45..85 => self.share(),
            _ => self.share_again(),
        }
        self.mirror();
    }

    fn mirror(&mut self) {
        let sent = self.ours.take_sent();
        self.theirs.mirror(&sent);
    }

    fn open(&mut self, is_extended: bool) {
        if self.ours.miner.channels.len() < CHANNELS {
            let user = 1 + self.chance.below(4) / 3;
            self.ours.open(is_extended, user);
            self.mirror();
        }
    }

    /// A channel, or all of a group, but never the last.
    fn close(&mut self) {
        let Some(id) = self.any_channel() else { return };
        let group = self.ours.miner.channels[&id].group;
        let channels = self.ours.miner.channels.values();
        let others = channels.filter(|channel| channel.group != group).count();
        let is_last = self.ours.miner.channels.len() == 1;
        let id = match self.chance.below(4) {
            0 if others > 0 => group,
            _ if is_last => return,
            _ => id,
        };
        self.ours.miner.close(id);
        self.ours.pump();
        self.theirs.close(id);
    }

    fn new_tip(&mut self) {
        let is_begun = self.chance.below(2) == 0;
        self.ours.new_template(true, is_begun);
        self.tips.push(tip_of(&self.ours));
    }

    fn update(&mut self) {
        let Some(id) = self.any_channel() else { return };
        let rate = [0.0, 0.5, 3.0, 13.0, 60.0][self.chance.below(5) as usize];
        let any = headframe_sv2_wire::U256::MAX;
        self.ours.miner.update(id, rate, any);
        self.ours.pump();
    }

    fn any_channel(&mut self) -> Option<u32> {
        let index = self.chance.below(self.ours.miner.channels.len() as u64);
        self.ours.miner.channels.keys().nth(index as usize).copied()
    }

    fn share(&mut self) {
        let Some(id) = self.any_channel() else { return };
        let channel = &self.ours.miner.channels[&id];
        let is_extended = channel.is_extended;
        let latest = channel.jobs.len().min(LATEST_JOBS) as u64;
        // Newer ones more often.
        let back = self.chance.below(self.chance.clone().below(latest) + 1) as usize;
        let job = channel.jobs[channel.jobs.len() - 1 - back].clone();
        let wanted = any_share(&mut self.chance, is_extended);
        let sent = self.find(id, is_extended, wanted, &job);
        self.submit(sent);
    }

    fn find(&mut self, channel: u32, is_extended: bool, wanted: Wanted, job: &MinerJob) -> Sent {
        let theirs = self.theirs.job(channel, job.id).clone();
        assert_eq!(job.target, theirs.target, "the target a job was sent with");
        Sent {
            channel,
            is_extended,
            wanted,
            ours: search(job, is_extended, wanted, &mut self.chance),
            theirs: search(&theirs, is_extended, wanted, &mut self.chance),
            prev_hash: job.prev_hash,
            was_accepted: false,
            was_block: false,
        }
    }

    fn share_again(&mut self) {
        let index = self.chance.below(self.sent.len() as u64) as usize;
        if let Some(sent) = self.sent.get(index) {
            self.submit(sent.clone());
        }
    }

    fn submit(&mut self, mut sent: Sent) {
        let (channel, is_extended) = (sent.channel, sent.is_extended);
        let theirs = self.theirs.submit(channel, is_extended, &sent.theirs);
        let (expected, known) = self.expected(&sent, &theirs);
        let ours = self.ours.submit(channel, is_extended, &sent.ours);
        assert_eq!(
            ours, expected,
            "theirs: {theirs:?}, known: {known:?}, share: {sent:?}"
        );
        self.occurred.extend(known);
        self.codes.insert(ours.code.clone());
        sent.was_accepted |= ours.code.is_none();
        sent.was_block |= ours.is_block;
        let same = self.sent.iter_mut().find(|other| other.ours == sent.ours);
        match same {
            Some(same) => *same = sent,
            None => self.sent.push(sent),
        }
    }

    /// What ours has to say where theirs says `theirs`, and why if that is another thing.
    fn expected(&self, sent: &Sent, theirs: &Verdict) -> (Verdict, Option<Known>) {
        let code = theirs.code.as_deref();
        if !self.ours.miner.channels.contains_key(&sent.channel) {
            return (theirs.clone(), None);
        }
        if let Flaw::Length(_) = sent.wanted.flaw
            && code != Some("bad-extranonce-size")
        {
            assert!(matches!(code, Some("invalid-job-id" | "stale-share")));
            let length = Verdict::rejected("bad-extranonce-size");
            return (length, Some(Known::LengthFirst));
        }
        let is_block = sent.wanted.proof == Proof::Block;
        if code == Some("stale-share") {
            return match (is_block, sent.was_block) {
                (true, false) => (block("stale-share"), Some(Known::LateBlock)),
                (true, true) => (
                    Verdict::rejected("duplicate-share"),
                    Some(Known::BlockAgain),
                ),
                (false, _) => (theirs.clone(), None),
            };
        }
        if let Flaw::Time(offset) = sent.wanted.flaw
            && matches!(code, None | Some("invalid-share" | "duplicate-share"))
            && sent.prev_hash == *self.tips.last().expect("there is a tip")
        {
            let ahead = Duration::from_secs(7_140);
            let latest = self.ours.network_time().saturating_add(ahead);
            let is_late = UnixTime::from_secs(sent.ours.header.time) > latest;
            match (is_late, offset > 7_200) {
                (true, false) => {
                    return (Verdict::rejected("invalid-share"), Some(Known::TimeAhead));
                }
                (false, true) if sent.was_accepted => {
                    let again = Verdict::rejected("duplicate-share");
                    return (again, Some(Known::TimeAhead));
                }
                (false, true) => return (Verdict::accepted(), Some(Known::TimeAhead)),
                // It was too late for ours before.
                (false, false) if code == Some("duplicate-share") && !sent.was_accepted => {
                    return (Verdict::accepted(), Some(Known::TimeAhead));
                }
                (true, true) | (false, false) => {}
            }
        }
        match code {
            Some(code @ ("invalid-non-rollable-version-bit" | "invalid-share")) if is_block => {
                match sent.was_block {
                    false => (block(code), Some(Known::UnruledBlock)),
                    true => (
                        Verdict::rejected("duplicate-share"),
                        Some(Known::BlockAgain),
                    ),
                }
            }
            _ => (theirs.clone(), None),
        }
    }
}

fn block(code: &str) -> Verdict {
    Verdict {
        code: Some(code.to_owned()),
        is_block: true,
    }
}

fn tip_of(ours: &Ours) -> [u8; 32] {
    use bitcoin::hashes::Hash as _;
    ours.chain.tip.to_byte_array()
}

/// Blocks are late, or have the wrong version or too early a time; times that run ahead are those of
/// shares.
fn any_share(chance: &mut Chance, is_extended: bool) -> Wanted {
    let ahead = [5, 7_100, 7_139, 7_150, 7_180, 7_201, 7_230];
    let flaw = match chance.below(12) {
        0 => Flaw::Job,
        1 if is_extended => Flaw::Length(chance.below(33) as usize),
        2 | 3 => Flaw::Version(1 << chance.below(32)),
        4 => Flaw::Time(-1),
        5 | 6 => Flaw::Time(ahead[chance.below(7) as usize]),
        _ => Flaw::None,
    };
    let runs_ahead = matches!(flaw, Flaw::Time(seconds) if seconds > 0);
    let proof = match chance.below(6) {
        0 if !runs_ahead => Proof::Block,
        1 if !runs_ahead => Proof::Low,
        _ => Proof::Share,
    };
    let flaw = match flaw {
        // It would be no flaw.
        Flaw::Length(ROLLED_LEN) => Flaw::Length(0),
        flaw => flaw,
    };
    Wanted { proof, flaw }
}

/// A header of `job` that is as wanted.
pub(crate) fn search(
    job: &MinerJob,
    is_extended: bool,
    wanted: Wanted,
    chance: &mut Chance,
) -> Nonce {
    let len = match wanted.flaw {
        Flaw::Length(len) => len,
        _ if is_extended => ROLLED_LEN,
        _ => 0,
    };
    let extranonce = chance.bytes::<32>()[..len].to_vec();
    let flipped = match wanted.flaw {
        Flaw::Version(bit) => bit,
        _ => 0,
    };
    let offset = match wanted.flaw {
        Flaw::Time(offset) => offset,
        _ => 0,
    };
    let time = i64::from(job.time) + offset;
    let time = u32::try_from(time).expect("a time of this century");
    let first = chance.number() as u32;
    let mut header = job.header(&extranonce, job.version ^ flipped, time, first);
    let (target, network) = (job.target, job.network_target());
    while {
        let hash = header.block_hash();
        !match wanted.proof {
            Proof::Share => target.is_met_by(hash) && !network.is_met_by(hash),
            Proof::Block => network.is_met_by(hash),
            Proof::Low => !target.is_met_by(hash),
        }
    } {
        header.nonce = header.nonce.wrapping_add(1);
    }
    let job_id = match wanted.flaw {
        Flaw::Job => 0x0fff_0000 + chance.below(100) as u32,
        _ => job.id,
    };
    Nonce {
        job_id,
        extranonce,
        header,
    }
}

#[test]
fn the_same_events_have_the_same_verdicts() {
    let (mut occurred, mut codes) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..SEQUENCES {
        let mut pair = Pair::new(seed);
        for _ in 0..EVENTS {
            pair.step();
        }
        occurred.extend(pair.occurred);
        codes.extend(pair.codes);
    }
    // A difference that no longer occurs is to be taken off the list.
    assert!(occurred.iter().eq(&Known::OF_SHARES), "{occurred:?}");
    let all = [
        None,
        Some("bad-extranonce-size"),
        Some("difficulty-too-low"),
        Some("duplicate-share"),
        Some("invalid-channel-id"),
        Some("invalid-job-id"),
        Some("invalid-non-rollable-version-bit"),
        Some("invalid-share"),
        Some("stale-share"),
    ];
    assert!(codes.iter().map(Option::as_deref).eq(all), "{codes:?}");
}

/// Operators and device makers read the same list.
#[test]
fn the_list_is_in_the_papers() {
    let paper = include_str!("../../../../docs/channels-sv2.md");
    for difference in &LIST {
        let row = format!(
            "| {} | {} | {} | {} |",
            difference.what, difference.theirs, difference.ours, difference.why
        );
        assert!(paper.contains(&row), "{:?}: {row}", difference.known);
    }
    let rows = paper.lines().filter(|line| line.starts_with("| "));
    assert_eq!(rows.count(), LIST.len() + 2, "a head, a rule, and the list");
}
