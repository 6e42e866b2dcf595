//! Verdicts compared with those of SRI's `channels_sv2` 8.0.0: the same job, byte for byte, the same
//! shares.
//!
//! Where the two differ on purpose:
//!
//! * A block is a block here though its share is late, or its time or version is against the rules.
//!   There it is a rejected share. What is compared is what the miner is told.
//! * The latest header time follows the network's clock here, there it is the job's earliest plus
//!   two hours. Times between the two are not compared.
//! * A share with an extranonce of the wrong length for an unknown job is wrong twice. They name the
//!   job, we name the length.

mod support;

use std::time::{Duration, Instant};

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use channels_sv2::server::extended::ExtendedChannel;
use channels_sv2::server::share_accounting::{ShareValidationError, ShareValidationResult};
use headframe_channels::{Channel, ChannelKind, JobId, RejectReason, Share, ShareVerdict};
use headframe_testkit::{Chance, EASY_BITS};
use headframe_work::{Job, Rung, UnixTime};
use mining_sv2::SubmitSharesExtendedOwned;
use proptest::prelude::*;
use support::TIME;

/// One hash in 256 is a share, one in 65,536 a block.
const RUNG: i32 = -24;

#[derive(Debug, Clone, Copy)]
enum Step {
    NewJob,
    NewTip,
    Share(Kind, usize),
    Repeat(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Good,
    Block,
    Low,
    UnknownJob,
    Extranonce(usize),
    Version(u32),
    Time(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        6 => Just(Kind::Good),
        1 => Just(Kind::Block),
        2 => Just(Kind::Low),
        1 => Just(Kind::UnknownJob),
        1 => (0usize..=32).prop_map(Kind::Extranonce),
        3 => (0u32..32).prop_map(|bit| Kind::Version(1 << bit)),
        3 => prop_oneof![-3i64..3, 7_100i64..7_140, 7_201i64..7_300].prop_map(Kind::Time),
    ];
    prop_oneof![
        1 => Just(Step::NewJob),
        1 => Just(Step::NewTip),
        8 => (kind, any::<usize>()).prop_map(|(kind, job)| Step::Share(kind, job)),
        2 => any::<usize>().prop_map(Step::Repeat),
    ]
}

#[derive(Debug, Clone)]
struct Submission {
    job: usize,
    is_unknown: bool,
    version: u32,
    time: u32,
    nonce: u32,
    extranonce: Vec<u8>,
}

struct Pair {
    ours: Channel,
    theirs: ExtendedChannel,
    jobs: Vec<(Job, u32, u32)>,
    tip: u8,
    now: Instant,
    chance: Chance,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut pair = Self {
            ours: support::ours(ChannelKind::Extended),
            theirs: support::theirs(Rung::from_exponent(RUNG).target()),
            jobs: Vec::new(),
            tip: 0,
            now: Instant::now(),
            chance: Chance::new(seed),
        };
        pair.new_job();
        pair
    }

    fn new_job(&mut self) {
        let id = self.jobs.len() as u32 + 1;
        let job = support::job(&support::template(self.tip, EASY_BITS, 3), id, 12);
        let terms = support::terms(id, Rung::from_exponent(RUNG), self.now);
        self.ours.send_job(terms, &job);
        let their_id = support::send(&mut self.theirs, &job);
        self.jobs.push((job, id, their_id));
    }

    fn find(&mut self, kind: Kind, index: usize) -> Submission {
        let place = index % self.jobs.len();
        let job = &self.jobs[place].0;
        let template = job.prepared().template();
        let mut submission = Submission {
            job: place,
            is_unknown: kind == Kind::UnknownJob,
            version: template.version,
            time: TIME + 1,
            nonce: 0,
            extranonce: self.chance.bytes::<8>().to_vec(),
        };
        match kind {
            Kind::Extranonce(len) => submission.extranonce.resize(len, 0),
            Kind::Version(bits) => submission.version ^= bits,
            Kind::Time(by) => submission.time = (i64::from(TIME) + by) as u32,
            _ => {}
        }
        if submission.extranonce.len() != 8 {
            return submission;
        }
        let root = job.merkle_root(self.ours.prefix().as_bytes(), &submission.extranonce);
        let mut header = Header {
            version: Version::from_consensus(submission.version as i32),
            prev_blockhash: template.prev_hash,
            merkle_root: bitcoin::TxMerkleNode::from_byte_array(root),
            time: submission.time,
            bits: template.bits,
            nonce: self.chance.number() as u32,
        };
        let target = bitcoin::Target::from(Rung::from_exponent(RUNG).target());
        let network = header.target();
        while {
            let hash = header.block_hash();
            let (is_share, is_block) = (target.is_met_by(hash), network.is_met_by(hash));
            match kind {
                Kind::Block => !is_block,
                Kind::Low => is_share,
                _ => !is_share || is_block,
            }
        } {
            header.nonce = header.nonce.wrapping_add(1);
        }
        submission.nonce = header.nonce;
        submission
    }

    /// What each says: whether it is a block, and the code of a rejection.
    fn judge(&mut self, submission: &Submission) -> [Result<bool, &'static str>; 2] {
        let (_, our_id, their_id) = self.jobs[submission.job];
        let unknown = u32::from(submission.is_unknown) * 0x00ff_ff00;
        let share = Share {
            job_id: JobId::new(our_id + unknown).expect("not 0"),
            version: submission.version,
            time: UnixTime::from_secs(submission.time),
            nonce: submission.nonce,
            extranonce: &submission.extranonce,
        };
        let verdict = self.ours.judge(self.now, &share);
        let is_block = matches!(verdict, ShareVerdict::Block(..));
        let ours = verdict.credit().map(|_| is_block).map_err(code);
        let theirs = self.theirs.validate_share(SubmitSharesExtendedOwned {
            channel_id: 1,
            sequence_number: 1,
            job_id: their_id + unknown,
            nonce: submission.nonce,
            ntime: submission.time,
            version: submission.version,
            extranonce: submission
                .extranonce
                .clone()
                .try_into()
                .expect("at most 32 bytes"),
        });
        let theirs = match theirs {
            Ok(ShareValidationResult::Valid(_)) => Ok(false),
            Ok(ShareValidationResult::BlockFound(..)) => Ok(true),
            Err(error) => Err(their_code(&error)),
        };
        [ours, theirs]
    }
}

fn code(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::UnknownJob => "invalid-job-id",
        RejectReason::Stale => "stale-share",
        RejectReason::Duplicate => "duplicate-share",
        RejectReason::LowDifficulty => "difficulty-too-low",
        RejectReason::BadExtranonceSize => "bad-extranonce-size",
        RejectReason::BadVersionBits => "invalid-non-rollable-version-bit",
        RejectReason::TimeTooOld | RejectReason::TimeTooNew => "invalid-share",
    }
}

fn their_code(error: &ShareValidationError) -> &'static str {
    match error {
        ShareValidationError::Invalid(code)
        | ShareValidationError::Stale(code)
        | ShareValidationError::InvalidJobId(code)
        | ShareValidationError::DoesNotMeetTarget(code)
        | ShareValidationError::VersionRollingNotAllowed(code)
        | ShareValidationError::DuplicateShare(code)
        | ShareValidationError::BadExtranonceSize(code) => code,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_verdicts_are_those_of_channels_sv2(steps in proptest::collection::vec(step(), 1..40), seed: u64) {
        let mut pair = Pair::new(seed);
        let mut sent: Vec<Submission> = Vec::new();
        for step in steps {
            pair.now += Duration::from_secs(1);
            let submission = match step {
                Step::NewJob => {
                    pair.new_job();
                    continue;
                }
                Step::NewTip => {
                    pair.tip += 1;
                    pair.new_job();
                    continue;
                }
                Step::Share(kind, job) => pair.find(kind, job),
                Step::Repeat(index) => match sent.get(index % sent.len().max(1)) {
                    Some(submission) => submission.clone(),
                    None => continue,
                },
            };
            let [ours, theirs] = pair.judge(&submission);
            let is_wrong_twice = submission.extranonce.len() != 8 && ours == Err("bad-extranonce-size");
            let is_late_block = ours == Err("duplicate-share") && theirs == Err("stale-share");
            if is_wrong_twice && theirs != ours {
                prop_assert!(matches!(theirs, Err("invalid-job-id" | "stale-share")));
            } else if !is_late_block {
                prop_assert_eq!(ours, theirs, "{:?}", submission);
            }
            sent.push(submission);
        }
    }
}
