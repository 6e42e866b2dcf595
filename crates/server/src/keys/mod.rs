//! The pool's keys on disk: made once, readable by nobody else, renewed in time, and changed by their
//! operator while the pool runs.
//!
//! What a certificate is, `headframe-sv2-noise` knows. Here are files, locks, the clock and the words
//! for an operator.

mod authority;
mod error;
pub(crate) mod file;
pub(crate) mod keeper;
mod place;
mod sets;

use std::path::Path;
use std::sync::Arc;

use headframe_sv2_noise::{AuthorityPublicKey, KeyRing, OtherAuthority, StaticIdentity};
use headframe_work::UnixTime;

pub use authority::Authority;
pub use error::KeyError;
pub use place::{KeyFacts, KeyPlace};
pub use sets::{KeySets, KeysId};

use self::file::Stamp;
use crate::clock::wall_clock;
use crate::news::CertificateNews;
use crate::random::random_bytes;

/// A pool's authority key, static key and certificate, and where they are kept.
#[derive(Debug)]
pub struct Keys {
    ring: KeyRing,
    place: KeyPlace,
    /// The version of the file that was looked at last.
    stamp: Option<Stamp>,
    /// Whether the file holds what `ring` does.
    is_written: bool,
    /// Whether the file is one of these keys. Another is never written over: it may be the only one.
    is_ours: bool,
}

/// What has become of the keys of a running pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The pool has made a certificate.
    Renewed,
    /// The operator has put one into the file.
    Installed,
}

impl Keys {
    /// The file of a pool's own keys in the data directory.
    pub const FILE_NAME: &str = "keys";

    /// Reads the pool's own keys in `directory`; see [`Keys::open_at`].
    ///
    /// # Errors
    ///
    /// As [`Keys::open_at`].
    pub fn open(directory: &Path) -> Result<Self, KeyError> {
        Self::open_at(KeyPlace::new(directory, Self::FILE_NAME))
    }

    /// Reads the keys in a place, or makes them if there are none. Renews a certificate that is about
    /// to expire, if the authority's secret is there.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written, or holds something else; when a static key waits there
    /// for its certificate.
    pub fn open_at(place: KeyPlace) -> Result<Self, KeyError> {
        let lock = place.lock()?;
        let ring = match place.read()? {
            Some(ring) => ring,
            None => place.create()?,
        };
        place.keep_private();
        let mut keys = Self {
            ring,
            stamp: place.stamp(),
            place,
            is_written: true,
            is_ours: true,
        };
        drop(lock);
        keys.renew();
        keys.save()?;
        Ok(keys)
    }

    /// What miners are told to trust.
    pub fn authority(&self) -> AuthorityPublicKey {
        self.ring.authority()
    }

    /// The key file.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// What handshakes are answered with.
    pub(crate) fn identity(&self) -> Arc<StaticIdentity> {
        Arc::new(self.ring.identity())
    }

    /// What the board is to know.
    pub(crate) fn news(&self) -> CertificateNews {
        CertificateNews {
            path: self.path().to_owned(),
            ends: UnixTime::from_secs(self.ring.certificate().not_valid_after()),
            renew_from: UnixTime::from_secs(self.ring.renewal_at()),
            is_renewed_here: self.ring.can_sign(),
        }
    }

    /// Takes up what the operator has put into the file, and renews the certificate if it is time. A
    /// renewed one serves even if it cannot be written; [`Self::save`] tries again.
    ///
    /// # Errors
    ///
    /// Once, when the file has become none of this pool's; the pool goes on with what it has.
    pub(crate) fn refresh(&mut self) -> Result<Option<Change>, KeyError> {
        let is_installed = self.adopt()?;
        match (self.renew(), is_installed) {
            (true, _) => Ok(Some(Change::Renewed)),
            (false, true) => Ok(Some(Change::Installed)),
            (false, false) => Ok(None),
        }
    }

    /// Writes what is not written yet, unless the operator is about to change the keys.
    pub(crate) fn save(&mut self) -> Result<(), KeyError> {
        if self.is_written || !self.is_ours {
            return Ok(());
        }
        let Some(_lock) = self.place.try_lock()? else {
            return Ok(());
        };
        if self.place.stamp() == self.stamp {
            self.place.write(&self.ring)?;
            self.stamp = self.place.stamp();
            self.is_written = true;
        }
        Ok(())
    }

    /// Takes up another version of the file; true when handshakes are to be answered otherwise.
    fn adopt(&mut self) -> Result<bool, KeyError> {
        let stamp = self.place.stamp();
        if stamp == self.stamp {
            return Ok(false);
        }
        // Whatever it is, it is told of once.
        self.stamp = stamp;
        self.is_ours = stamp.is_none();
        let path = self.path().to_owned();
        let Some(ring) = self.place.read()? else {
            return Err(KeyError::Gone { path });
        };
        let (found, expected) = (ring.authority(), self.authority());
        if found != expected {
            let other = Box::new(OtherAuthority { found, expected });
            return Err(KeyError::Replaced { path, other });
        }
        self.place.keep_private();
        self.is_ours = true;
        let is_other = (ring.static_key(), *ring.certificate())
            != (self.ring.static_key(), *self.ring.certificate());
        self.ring = ring;
        self.is_written = true;
        Ok(is_other)
    }

    /// Renews the certificate if it is time; true when it was.
    fn renew(&mut self) -> bool {
        let now = wall_clock().as_secs();
        let is_renewed =
            self.ring.needs_renewal(now) && self.ring.renew(&random_bytes(), now).is_ok();
        self.is_written &= !is_renewed;
        is_renewed
    }
}

/// An authority and all that it needs to be a pool's.
fn new_ring() -> KeyRing {
    let now = wall_clock().as_secs();
    loop {
        // One draw in 2^127 is no key; then the next one is.
        let keys = KeyRing::create(random_bytes(), random_bytes(), &random_bytes(), now);
        if let Ok(ring) = keys {
            return ring;
        }
    }
}

/// A ring with a new static key; `None` when the authority's secret is elsewhere.
fn rotated(ring: &KeyRing) -> Option<KeyRing> {
    let now = wall_clock().as_secs();
    loop {
        if let Ok(rotated) = ring.rotate(random_bytes(), &random_bytes(), now) {
            return rotated;
        }
    }
}

#[cfg(test)]
impl Keys {
    /// Keys whose certificate is to be renewed, though nobody has looked yet.
    pub(crate) fn about_to_expire(directory: &Path) -> Self {
        let long_ago = wall_clock().as_secs() - 25 * 24 * 3600;
        let ring = KeyRing::create([1; 32], [2; 32], &[3; 32], long_ago).unwrap();
        Self {
            ring,
            place: KeyPlace::new(directory, Self::FILE_NAME),
            stamp: None,
            is_written: false,
            is_ours: true,
        }
    }
}

#[cfg(test)]
mod tests;
