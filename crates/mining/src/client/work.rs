//! All that hashing needs to know, whichever protocol brought it.

use core::time::Duration;
use std::time::Instant;

use bitcoin::{BlockHash, CompactTarget};
use headframe_sv1_wire::Extranonce;
use headframe_work::{Header, Target, UnixTime, merkle_root, sha256d};

use super::SolutionError;

/// Names a piece of work within its session. Handles rise and are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobHandle(pub(super) u64);

/// A job on a tip, ready to be hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MiningWork {
    /// To be given back with a solution.
    pub job: JobHandle,
    /// Whether all work of this session before this one is void.
    pub clean: bool,
    /// Hash of the block before, as the hash function gives it.
    pub prev_hash: BlockHash,
    /// The header's version before rolling. Its rollable bits may have any value (MP-92).
    pub version: u32,
    /// The bits of the version that may be changed; 0 if none.
    pub version_mask: u32,
    /// Where the merkle root comes from.
    pub root: RootSource,
    /// The times that the header may have.
    pub ntime: NtimeWindow,
    /// The network target in compact form.
    pub bits: CompactTarget,
    /// What a share has to meet, frozen for this work (MP-122).
    pub target: Target,
}

/// Where a header's merkle root comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSource {
    /// The pool made it (standard channel): there is no extranonce.
    Fixed([u8; 32]),
    /// The miner makes it with an extranonce of its own (extended channel, Stratum V1).
    Coinbase(CoinbaseParts),
}

/// A coinbase with a hole for the rolled extranonce, and the way from there to the merkle root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoinbaseParts {
    /// The transaction up to the extranonce, without BIP 141 bytes.
    pub prefix: Vec<u8>,
    /// The part of the extranonce that the pool fixed.
    pub extranonce_prefix: Extranonce,
    /// Bytes of the extranonce that the miner chooses: 1 to 32.
    pub rolled_len: usize,
    /// The transaction after the extranonce, without BIP 141 bytes.
    pub suffix: Vec<u8>,
    /// The hashes from the coinbase to the root, deepest first, as the hash function gives them.
    pub merkle_path: Vec<[u8; 32]>,
}

/// The times that a header may have: from `earliest` on, and no further ahead than time has passed
/// since the tip or job was received (spec §5.3.11, MP-64).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NtimeWindow {
    earliest: UnixTime,
    anchor: UnixTime,
    anchored_at: Instant,
}

/// A header that was found, as far as it differs from its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solution {
    /// The work.
    pub job: JobHandle,
    /// The header's version, rolled bits included.
    pub version: u32,
    /// The header's time.
    pub ntime: UnixTime,
    /// The header's nonce.
    pub nonce: u32,
    /// The rolled extranonce; empty where the root is fixed.
    pub extranonce: Extranonce,
}

impl MiningWork {
    /// The target that makes a block.
    pub fn network_target(&self) -> Target {
        Target::from_compact(self.bits)
    }

    /// The header that `solution` stands for.
    pub fn header(&self, solution: &Solution) -> Header {
        Header {
            version: solution.version,
            prev_hash: self.prev_hash,
            merkle_root: self.root.merkle_root(solution.extranonce.as_bytes()),
            time: solution.ntime,
            bits: self.bits,
            nonce: solution.nonce,
        }
    }

    /// The hash of a solution that keeps to what the work allows.
    pub(super) fn check(
        &self,
        now: Instant,
        solution: &Solution,
    ) -> Result<BlockHash, SolutionError> {
        if (solution.version ^ self.version) & !self.version_mask != 0 {
            return Err(SolutionError::Version);
        }
        let (len, expected) = (solution.extranonce.as_bytes().len(), self.root.rolled_len());
        if len != expected {
            return Err(SolutionError::ExtranonceLen { len, expected });
        }
        if !(self.ntime.earliest()..=self.ntime.latest(now)).contains(&solution.ntime) {
            return Err(SolutionError::Ntime);
        }
        Ok(self.header(solution).hash())
    }
}

impl RootSource {
    /// Bytes of the extranonce that the miner chooses; 0 where the root is fixed.
    pub const fn rolled_len(&self) -> usize {
        match self {
            Self::Fixed(_) => 0,
            Self::Coinbase(parts) => parts.rolled_len,
        }
    }

    /// The root that `extranonce`, the rolled part, leads to.
    pub fn merkle_root(&self, extranonce: &[u8]) -> [u8; 32] {
        match self {
            Self::Fixed(root) => *root,
            Self::Coinbase(parts) => {
                merkle_root(sha256d(&parts.coinbase(extranonce)), &parts.merkle_path)
            }
        }
    }
}

impl CoinbaseParts {
    /// The transaction with `extranonce` in its place, without BIP 141 bytes: what the txid is made of.
    pub fn coinbase(&self, extranonce: &[u8]) -> Vec<u8> {
        [
            &self.prefix,
            self.extranonce_prefix.as_bytes(),
            extranonce,
            &self.suffix,
        ]
        .concat()
    }
}

impl NtimeWindow {
    /// Times from `earliest` on, up to the seconds that pass from `anchored_at`, when the pool's time
    /// was `anchor`. `earliest` itself is always allowed.
    pub(super) fn new(earliest: UnixTime, anchor: UnixTime, anchored_at: Instant) -> Self {
        Self {
            earliest,
            anchor,
            anchored_at,
        }
    }

    /// The first time, to begin with.
    pub const fn earliest(&self) -> UnixTime {
        self.earliest
    }

    /// The last time that is allowed at `now`.
    pub fn latest(&self, now: Instant) -> UnixTime {
        let passed: Duration = now.saturating_duration_since(self.anchored_at);
        self.anchor.saturating_add(passed).max(self.earliest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MP-64: the time may run ahead by the seconds that have passed, and not by one more.
    #[test]
    fn time_runs_no_faster_than_the_clock() {
        let received = Instant::now();
        let time = UnixTime::from_secs;
        let window = NtimeWindow::new(time(1_000), time(1_000), received);
        assert_eq!(window.latest(received), time(1_000));
        assert_eq!(
            window.latest(received + Duration::from_millis(999)),
            time(1_000)
        );
        assert_eq!(
            window.latest(received + Duration::from_secs(600)),
            time(1_600)
        );
    }

    /// A job whose first time is ahead of the clock stays at it until the clock has caught up.
    #[test]
    fn a_job_from_the_future_is_not_rolled() {
        let received = Instant::now();
        let time = UnixTime::from_secs;
        let window = NtimeWindow::new(time(1_030), time(1_000), received);
        assert_eq!(
            window.latest(received + Duration::from_secs(29)),
            time(1_030)
        );
        assert_eq!(
            window.latest(received + Duration::from_secs(31)),
            time(1_031)
        );
    }
}
