//! What all sessions of a pool have in common, or all of one of its listeners.

use core::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use headframe_channels::{DifficultySettings, JobId};
use headframe_work::{Imprint, PayoutPolicy};

/// The pool's rules, as a session goes by them. Immutable: a change of rules is another value,
/// and touches only jobs that are still to be made.
///
/// Listeners of a pool may have rules of their own: clones number jobs together.
#[derive(Debug, Clone)]
pub struct PoolRules {
    /// Whom a user name pays.
    pub payouts: PayoutPolicy,
    /// What all coinbases have in common.
    pub imprint: Imprint,
    /// How hard shares are made.
    pub difficulty: DifficultySettings,
    /// Whether the difficulties that Stratum V1 devices suggest are answered and passed over: rented
    /// machines suggest what suits their owners.
    pub ignores_suggestions: bool,
    /// The numbers of jobs.
    pub job_ids: JobIds,
    /// What Stratum V2 clients have to put up with.
    pub sv2: Sv2Rules,
    /// What Stratum V1 clients have to say at `mining.authorize`; `None`: whatever they like. Stratum V2
    /// has no passwords.
    pub password: Option<Password>,
}

/// A listener's password. It is not shown: `Debug` leaves it out, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// This one.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether it was said. How long that takes does not tell how much of it was right.
    pub fn matches(&self, said: &str) -> bool {
        let (right, said) = (self.0.as_bytes(), said.as_bytes());
        let pairs = right.iter().zip(said);
        let differences = pairs.fold(0, |sum, (right, said)| sum | (right ^ said));
        right.len() == said.len() && differences == 0
    }

    /// What was said in place of it.
    pub fn guess(&self, said: &str) -> Guess {
        let mut engine = sha256::Hash::engine();
        for text in [&self.0, "\0", said] {
            engine.input(text.as_bytes());
        }
        let hash = sha256::Hash::from_engine(engine).to_byte_array();
        let (first, _) = hash.split_first_chunk().expect("a hash has 32 bytes");
        Guess(*first)
    }
}

/// A wrong password, told from others and not known: a hash of it and of the right one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Guess([u8; 8]);

impl fmt::Debug for Guess {
    /// Who mistypes a password says nearly the right one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guess(hidden)")
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// What a pool demands of Stratum V2 clients. By default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sv2Rules {
    /// Jobs say that versions are not to be rolled, and so does `REQUIRES_FIXED_VERSION`. Who rolls
    /// them all the same is judged by whether a block would be valid.
    pub fixed_version: bool,
    /// Standard channels are not served: `REQUIRES_EXTENDED_CHANNELS`.
    pub extended_channels_only: bool,
    /// Who does not agree on extension 0x0002, a worker's name in each share, gets no channel.
    pub worker_names_required: bool,
}

/// Numbers jobs: one number per fan-out event, pool-wide, from a random start.
///
/// The number also stands in the coinbase of the job, so that no two jobs of a process hash the
/// same headers. Clones count together.
#[derive(Debug, Clone)]
pub struct JobIds(Arc<AtomicU32>);

impl JobIds {
    /// Numbers from `start` on; a random start tells restarts apart.
    pub fn new(start: u32) -> Self {
        Self(Arc::new(AtomicU32::new(start)))
    }

    /// The next number.
    pub fn next(&self) -> JobId {
        loop {
            let id = self.0.fetch_add(1, Ordering::Relaxed);
            if let Some(id) = JobId::new(id) {
                return id;
            }
        }
    }
}
