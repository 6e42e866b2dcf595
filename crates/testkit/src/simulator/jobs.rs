//! Jobs as they stand on the wire, of both protocols and at either end of a connection.
//!
//! The headers are computed with the `bitcoin` crate, from what was sent and nothing else.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bitcoin::block::{Header, Version};
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use headframe_work::Target;

/// Jobs that are kept whatever their age.
const KEPT: usize = 16;
/// How long others are kept after they were replaced: longer than any pool takes shares of them.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// No more are kept than this.
const MOST: usize = 320;

/// What a job says before its tip is known.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: u32,
    pub(super) version: u32,
    pub(super) root: Root,
}

/// Where a merkle root comes from.
#[derive(Debug)]
pub(super) enum Root {
    Given([u8; 32]),
    Coinbase {
        prefix: Vec<u8>,
        suffix: Vec<u8>,
        path: Vec<[u8; 32]>,
    },
}

/// What a job builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tip {
    pub(super) prev_hash: [u8; 32],
    pub(super) bits: u32,
    pub(super) min_time: u32,
}

/// The moment at which a job is sent, by the pool's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) at: Instant,
    /// The network's time, as the node of the pool had it.
    pub(super) time: u32,
    /// The latest header time for which the job's bits hold.
    pub(super) latest: u32,
}

/// A job that shares may name.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) draft: Rc<Draft>,
    pub(super) tip: Tip,
    /// The earliest header time that is surely accepted.
    pub(super) min_time: u32,
    pub(super) sent: Sent,
    /// The target that was in force when it began.
    pub(super) target: Target,
    /// When the job after it began.
    replaced: Option<Instant>,
    /// Another tip came after it.
    pub(super) is_stale: bool,
    pub(super) credited: HashSet<BlockHash>,
    pub(super) found: HashSet<BlockHash>,
}

/// The jobs of a channel, and what its next ones begin with.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: u32,
    pub(super) group: u32,
    pub(super) is_extended: bool,
    /// The pool's part of the extranonce.
    pub(super) prefix: Vec<u8>,
    /// Bytes that the client rolls.
    pub(super) size: usize,
    /// The target for jobs that begin now.
    pub(super) target: Target,
    pub(super) tip: Option<Tip>,
    /// Jobs that wait for their tip, each with the id that it was addressed to.
    pub(super) future: Vec<(u32, Rc<Draft>)>,
    pub(super) jobs: VecDeque<Job>,
}

/// What a share says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'a> {
    pub(super) job_id: u32,
    pub(super) version: u32,
    pub(super) time: u32,
    pub(super) nonce: u32,
    pub(super) extranonce: &'a [u8],
}

impl Channel {
    pub(super) fn new(id: u32, group: u32, prefix: &[u8], size: Option<usize>) -> Self {
        Self {
            id,
            group,
            is_extended: size.is_some(),
            prefix: prefix.to_vec(),
            size: size.unwrap_or(0),
            target: Target::ZERO,
            tip: None,
            future: Vec::new(),
            jobs: VecDeque::new(),
        }
    }

    pub(super) fn is_addressed_by(&self, id: u32) -> bool {
        self.id == id || self.group == id
    }

    /// Begins `draft` on the present tip; false when there is none.
    pub(super) fn begin(&mut self, sent: Sent, draft: Rc<Draft>, min_time: u32) -> bool {
        let now = sent.at;
        let Some(tip) = self.tip else { return false };
        if let Some(last) = self.jobs.back_mut() {
            last.replaced = Some(now);
            let last = last.tip.prev_hash;
            if last != tip.prev_hash {
                self.jobs.iter_mut().for_each(|job| job.is_stale = true);
                let kept = [last, tip.prev_hash];
                self.jobs.retain(|job| kept.contains(&job.tip.prev_hash));
            }
        }
        self.jobs.push_back(Job {
            draft,
            tip,
            min_time,
            sent,
            target: self.target,
            replaced: None,
            is_stale: false,
            credited: HashSet::new(),
            found: HashSet::new(),
        });
        while self.jobs.len() > MOST
            || self.jobs.len() > KEPT
                && self
                    .jobs
                    .front()
                    .is_some_and(|job| !job.is_fresh(now, KEPT_FOR))
        {
            self.jobs.pop_front();
        }
        true
    }

    /// Names the tip of the future job `id`, which was addressed to `to`; false when there is none.
    pub(super) fn activate(&mut self, sent: Sent, to: u32, id: u32, tip: Tip) -> bool {
        self.tip = Some(tip);
        let mut named = self.future.iter();
        let named = named.position(|(addressed, draft)| *addressed == to && draft.id == id);
        let named = named.map(|index| self.future.swap_remove(index).1);
        self.future.clear();
        named.is_some_and(|draft| self.begin(sent, draft, tip.min_time))
    }

    /// The tips that its jobs are for.
    pub(super) fn tips(&self) -> Vec<[u8; 32]> {
        let mut tips: Vec<_> = self.jobs.iter().map(|job| job.tip.prev_hash).collect();
        tips.dedup();
        tips
    }

    pub(super) fn job(&self, id: u32) -> Option<&Job> {
        self.jobs.iter().rev().find(|job| job.draft.id == id)
    }

    pub(super) fn job_mut(&mut self, id: u32) -> Option<&mut Job> {
        self.jobs.iter_mut().rev().find(|job| job.draft.id == id)
    }

    /// Whether the job is among the last [`KEPT`], or was replaced less than `age` ago.
    pub(super) fn surely_knows(&self, now: Instant, id: u32, age: Duration) -> bool {
        let newest = self.jobs.iter().rev().take(KEPT);
        newest.clone().any(|job| job.draft.id == id)
            || self.job(id).is_some_and(|job| job.is_fresh(now, age))
    }

    /// The header that `claim` stands for.
    pub(super) fn header(&self, job: &Job, claim: &Claim<'_>) -> Header {
        Header {
            version: Version::from_consensus(claim.version as i32),
            prev_blockhash: BlockHash::from_byte_array(job.tip.prev_hash),
            merkle_root: TxMerkleNode::from_byte_array(
                job.draft.root.merkle_root(&self.prefix, claim.extranonce),
            ),
            time: claim.time,
            bits: CompactTarget::from_consensus(job.tip.bits),
            nonce: claim.nonce,
        }
    }
}

impl Sent {
    /// For whoever knows nothing of the pool's clock.
    pub(super) fn at(at: Instant) -> Self {
        let (time, latest) = (0, u32::MAX);
        Self { at, time, latest }
    }
}

impl Job {
    /// The network's time at `now`, by the clock that the job was sent with.
    pub(super) fn network_time(&self, now: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(self.sent.at).as_secs();
        self.sent.time + u32::try_from(elapsed).unwrap_or(u32::MAX / 4)
    }

    pub(super) fn network_target(&self) -> Target {
        Target::from_compact(CompactTarget::from_consensus(self.tip.bits))
    }

    fn is_fresh(&self, now: Instant, age: Duration) -> bool {
        self.replaced
            .is_none_or(|at| now.saturating_duration_since(at) < age)
    }
}

impl Root {
    fn merkle_root(&self, prefix: &[u8], rolled: &[u8]) -> [u8; 32] {
        match self {
            Self::Given(root) => *root,
            Self::Coinbase {
                prefix: before,
                suffix,
                path,
            } => {
                let leaf = double_sha256(&[before, prefix, rolled, suffix]);
                path.iter()
                    .fold(leaf, |left, right| double_sha256(&[&left, right]))
            }
        }
    }
}

fn double_sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut engine = sha256d::Hash::engine();
    parts.iter().for_each(|part| engine.input(part));
    sha256d::Hash::from_engine(engine).to_byte_array()
}
