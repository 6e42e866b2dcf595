//! Where a set of keys lies, and what an operator does with it there, whether a pool runs or not.
//!
//! Who changes keys holds the lock of their place from reading to writing. A running pool notices a
//! new file by itself ([`super::keeper`]).

use std::fs::File;
use std::path::{Path, PathBuf};

use headframe_sv2_noise::{
    AuthorityPublicKey, Certificate, CertificateRequest, KeyRing, SignedCertificate, StaticSecret,
};

use super::file::{self, Stamp};
use super::{KeyError, new_ring, rotated};
use crate::clock::wall_clock;
use crate::random::random_bytes;

/// A set of keys in a directory: its key file, and beside it, with other endings, what belongs to it.
#[derive(Debug, Clone)]
pub struct KeyPlace(PathBuf);

/// What may be told of a set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFacts {
    /// What miners are configured with.
    pub authority: AuthorityPublicKey,
    /// Whether the authority's secret is here, so that the pool renews its certificate.
    pub can_sign: bool,
    /// The static public key's x coordinate, 32 bytes, big endian.
    pub static_key: [u8; 32],
    /// The certificate.
    pub certificate: Certificate,
}

impl KeyFacts {
    pub(super) fn of(ring: &KeyRing) -> Self {
        Self {
            authority: ring.authority(),
            can_sign: ring.can_sign(),
            static_key: ring.static_key(),
            certificate: *ring.certificate(),
        }
    }
}

impl KeyPlace {
    /// The keys of this file in the data directory. `file_name` is a plain name without an ending.
    pub fn new(directory: &Path, file_name: &str) -> Self {
        Self(directory.join(file_name))
    }

    /// The key file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The static key that waits for its certificate, and its file; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds something else.
    pub fn waiting(&self) -> Result<Option<([u8; 32], PathBuf)>, KeyError> {
        let waiting = self.read_waiting()?;
        Ok(waiting.map(|key| (key.public(), self.waiting_path())))
    }

    /// What is there; `None` when there are no keys yet. Only reads, so that it can be asked for while
    /// a pool runs.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds something else.
    pub fn look(&self) -> Result<Option<KeyFacts>, KeyError> {
        Ok(self.read()?.map(|ring| KeyFacts::of(&ring)))
    }

    /// Replaces the static key and the certificate; the authority stays, so that no miner has to be
    /// told.
    ///
    /// # Errors
    ///
    /// When there are no keys, the authority's secret is elsewhere, or the file cannot be written; the
    /// old keys are in force then.
    pub fn rotate(&self) -> Result<KeyFacts, KeyError> {
        let _lock = self.lock()?;
        let ring = self.read()?.ok_or_else(|| self.no_keys())?;
        let ring = rotated(&ring).ok_or(KeyError::AuthorityElsewhere)?;
        self.write(&ring)?;
        Ok(KeyFacts::of(&ring))
    }

    /// What an authority is to sign elsewhere: the static key that is in use, or, if `new` or if there
    /// is none, another one, which waits in a file of its own for its certificate.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written, or holds something else.
    pub fn request(&self, new: bool) -> Result<CertificateRequest, KeyError> {
        let _lock = self.lock()?;
        let present = self.read()?;
        let authority = present.as_ref().map(KeyRing::authority);
        match (self.read_waiting()?, present) {
            (None, Some(present)) if !new => Ok(present.request()),
            (Some(waiting), _) if !new => Ok(CertificateRequest {
                authority,
                static_key: waiting.public(),
            }),
            _ => Ok(CertificateRequest {
                authority,
                static_key: self.make_waiting()?.public(),
            }),
        }
    }

    /// Puts a certificate that an authority made elsewhere into use.
    ///
    /// # Errors
    ///
    /// When it is none, or not for this pool, or not for now, or cannot be written; the old one is in
    /// force then.
    pub fn install(&self, certificate: &Path) -> Result<KeyFacts, KeyError> {
        let text = file::need(certificate)?;
        let signed = SignedCertificate::from_text(&text).map_err(KeyError::text(certificate))?;
        let _lock = self.lock()?;
        let (present, waiting) = (self.read()?, self.read_waiting()?);
        if present.is_none() && waiting.is_none() {
            return Err(KeyError::NothingAsked);
        }
        let now = wall_clock().as_secs();
        let ring = KeyRing::install(present.as_ref(), waiting.as_ref(), &signed, now)?;
        self.write(&ring)?;
        if waiting.is_some_and(|waiting| waiting.public() == ring.static_key()) {
            file::remove(&self.waiting_path())?;
        }
        Ok(KeyFacts::of(&ring))
    }

    /// Moves the authority's secret into a file of its own, to be carried to where it is safe.
    ///
    /// # Errors
    ///
    /// When it is not here, or one of the files cannot be written; the secret is still here then.
    pub fn detach(&self, authority: &Path) -> Result<KeyFacts, KeyError> {
        let _lock = self.lock()?;
        let mut ring = self.read()?.ok_or_else(|| self.no_keys())?;
        let away = || KeyError::Away {
            path: self.0.clone(),
        };
        let secret = ring.take_authority().ok_or_else(away)?;
        file::create(authority, &secret.to_key_file())?;
        self.write(&ring)?;
        Ok(KeyFacts::of(&ring))
    }

    pub(super) fn stamp(&self) -> Option<Stamp> {
        Stamp::of(&self.0)
    }

    pub(super) fn lock(&self) -> Result<File, KeyError> {
        file::lock(&self.0.with_extension("lock"))
    }

    pub(super) fn try_lock(&self) -> Result<Option<File>, KeyError> {
        file::try_lock(&self.0.with_extension("lock"))
    }

    pub(super) fn read(&self) -> Result<Option<KeyRing>, KeyError> {
        let Some(text) = file::read(&self.0)? else {
            return Ok(None);
        };
        KeyRing::from_text(&text)
            .map(Some)
            .map_err(|error| KeyError::Unreadable {
                path: self.0.clone(),
                reason: error.to_string(),
            })
    }

    pub(super) fn write(&self, ring: &KeyRing) -> Result<(), KeyError> {
        file::write(&self.0, &ring.to_text())
    }

    pub(super) fn keep_private(&self) {
        file::keep_private(&self.0);
    }

    /// The keys of a pool that has none. One that waits for its certificate gets no others.
    pub(super) fn create(&self) -> Result<KeyRing, KeyError> {
        let path = self.waiting_path();
        if path.exists() {
            return Err(KeyError::Waiting { path });
        }
        let ring = new_ring();
        self.write(&ring)?;
        Ok(ring)
    }

    fn waiting_path(&self) -> PathBuf {
        self.0.with_extension("waiting")
    }

    fn read_waiting(&self) -> Result<Option<StaticSecret>, KeyError> {
        let path = self.waiting_path();
        let text = file::read(&path)?;
        let key = text.map(|text| StaticSecret::from_text(&text));
        key.transpose().map_err(KeyError::text(&path))
    }

    fn make_waiting(&self) -> Result<StaticSecret, KeyError> {
        let key = loop {
            // One draw in 2^127 is no key; then the next one is.
            if let Ok(key) = StaticSecret::from_bytes(random_bytes()) {
                break key;
            }
        };
        file::write(&self.waiting_path(), &key.to_text())?;
        Ok(key)
    }

    fn no_keys(&self) -> KeyError {
        KeyError::NoKeys {
            path: self.0.clone(),
        }
    }
}
