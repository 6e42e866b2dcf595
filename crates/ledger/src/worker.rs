//! Who did the work: the name a miner gave and the address that its block would pay.

use core::fmt;
use core::hash::{Hash, Hasher};
use std::hash::DefaultHasher;
use std::sync::Arc;

use headframe_work::UnixTime;

use crate::{BestShare, Sums, Text};

/// A worker: its user name as the miner gave it and the address that is paid for it. Cheap to
/// clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerId(Arc<Identity>);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    user: Arc<str>,
    payout: Box<str>,
    /// Of both: each share looks for its worker by it.
    hash: u64,
}

impl Hash for WorkerId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl WorkerId {
    /// The longest user name in bytes: that of a Stratum V2 `STR0_255`.
    pub const MAX_USER: usize = 255;
    /// The longest payout address in bytes; the longest there is, bech32, has 90.
    pub const MAX_PAYOUT: usize = 128;

    /// The worker of the given user name (as given, at most 255 bytes) and payout address (its
    /// text, 1 to 128 bytes; not decoded here).
    ///
    /// # Errors
    /// [`NameError`] if one of them is out of its bounds: the peer's fault, or the caller's for an
    /// empty address.
    pub fn new(user: &str, payout: &str) -> Result<Self, NameError> {
        Self::sharing(user.into(), payout)
    }

    /// The same, with a user name that others keep too.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn sharing(user: Arc<str>, payout: &str) -> Result<Self, NameError> {
        if user.len() > Self::MAX_USER {
            return Err(NameError::UserTooLong(user.len()));
        }
        if payout.is_empty() || payout.len() > Self::MAX_PAYOUT {
            return Err(NameError::PayoutLength(payout.len()));
        }
        Ok(Self::unchecked(user, payout))
    }

    /// Stands for all workers past a bound on their number. No caller's worker equals it, since
    /// its address is empty.
    pub(crate) fn others() -> Self {
        Self::unchecked("(others)", "")
    }

    /// For what the database holds, which came in through [`new`](Self::new).
    pub(crate) fn unchecked(user: impl Into<Arc<str>>, payout: &str) -> Self {
        let user = user.into();
        let mut hasher = DefaultHasher::new();
        (&user, payout).hash(&mut hasher);
        Self(Arc::new(Identity {
            user,
            payout: payout.into(),
            hash: hasher.finish(),
        }))
    }

    /// The user name as the miner gave it.
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// The text of the address that a block of this worker pays.
    pub fn payout(&self) -> &str {
        &self.0.payout
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkerId({:?} → {})", self.user(), self.payout())
    }
}

/// A user name or an address that cannot name a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The user name is too long; the miner has to choose a shorter one.
    #[error("user name of {0} bytes, at most 255 are kept; choose a shorter worker name")]
    UserTooLong(usize),
    /// No address, or one longer than any address is.
    #[error("payout address of {0} bytes, an address has 1 to 128")]
    PayoutLength(usize),
}

/// What a worker was last seen mining with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Protocol and kind of channel.
    pub client: ClientKind,
    /// What the miner calls itself: the SV1 user agent, or the SV2 vendor, hardware and firmware.
    pub user_agent: Text,
}

/// Protocol and kind of channel of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientKind {
    /// Stratum V1.
    Sv1,
    /// A standard channel of Stratum V2.
    Sv2Standard,
    /// An extended channel of Stratum V2.
    Sv2Extended,
}

impl ClientKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Sv1, Self::Sv2Standard, Self::Sv2Extended];

    /// The stable code under which the kind is stored.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Sv1 => "sv1",
            Self::Sv2Standard => "sv2-standard",
            Self::Sv2Extended => "sv2-extended",
        }
    }

    /// The kind of a stored code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// All that is remembered about a worker, over its whole life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRecord {
    /// The worker.
    pub worker: WorkerId,
    /// All its shares since the ledger knows it.
    pub sums: Sums,
    /// Its best accepted share.
    pub best: Option<BestShare>,
    /// When it was first heard of.
    pub first_seen: UnixTime,
    /// When it was last heard of: a share of any verdict, or a [`Sighting`].
    pub last_seen: UnixTime,
    /// When its last accepted share came.
    pub last_accepted: Option<UnixTime>,
    /// What it was last seen mining with.
    pub sighting: Option<Sighting>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_bounds() {
        assert!(WorkerId::new(&"a".repeat(255), "addr").is_ok());
        assert_eq!(
            WorkerId::new(&"a".repeat(256), "addr"),
            Err(NameError::UserTooLong(256))
        );
        assert_eq!(WorkerId::new("a", ""), Err(NameError::PayoutLength(0)));
        assert_eq!(
            WorkerId::new("a", &"b".repeat(129)),
            Err(NameError::PayoutLength(129))
        );
    }
}
