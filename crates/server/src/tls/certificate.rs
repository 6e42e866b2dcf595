//! A certificate in use, and all those of a pool.

use std::slice;

use headframe_transport::{Fingerprint, TlsIdentity};
use headframe_work::UnixTime;

use super::{CertificateError, CertificatePlace};
use crate::clock::wall_clock;
use crate::keys::file::Stamp;
use crate::news::TlsNews;

/// So long before its end a certificate is spoken of. Those who renew by themselves do so 30 days before,
/// so that something has gone wrong by then.
const WARN_BEFORE: u32 = 14 * 24 * 3_600;

/// A certificate, its key, and the files that they are in.
#[derive(Debug)]
pub struct Certificate {
    place: CertificatePlace,
    identity: TlsIdentity,
    /// The version of the files that is in use.
    stamps: [Option<Stamp>; 2],
    /// Another version that was seen and not read yet.
    seen: [Option<Stamp>; 2],
    /// Why what is in the files now is not in use, and since when.
    trouble: Option<(String, UnixTime)>,
}

impl Certificate {
    /// Reads a certificate, which is made before where it is the pool's own and there is none.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written, or what is in them cannot be used.
    pub fn open(place: CertificatePlace) -> Result<Self, CertificateError> {
        place.make()?;
        let stamps = place.stamps();
        Ok(Self {
            identity: place.read()?,
            place,
            stamps,
            seen: stamps,
            trouble: None,
        })
    }

    /// What miners know it by.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.identity.fingerprint()
    }

    /// Its last second.
    pub fn ends(&self) -> UnixTime {
        UnixTime::from_secs(u32::try_from(self.identity.ends()).unwrap_or(u32::MAX))
    }

    /// Where it lies.
    pub const fn place(&self) -> &CertificatePlace {
        &self.place
    }

    pub(crate) fn identity(&self) -> TlsIdentity {
        self.identity.clone()
    }

    /// Reads the files again if they have changed; true when what they say is in use then, be the
    /// certificate the same and only those who vouch for it others. A version is read at the second look
    /// that finds it, so that both files are there and whole.
    ///
    /// # Errors
    ///
    /// Once for each version that cannot be used. What was in use stays in use.
    pub(crate) fn refresh(&mut self) -> Result<bool, CertificateError> {
        let stamps = self.place.stamps();
        if stamps == self.stamps {
            return Ok(false);
        }
        if core::mem::replace(&mut self.seen, stamps) != stamps {
            return Ok(false);
        }
        self.stamps = stamps;
        match self.place.read() {
            Ok(identity) => {
                self.identity = identity;
                self.trouble = None;
                Ok(true)
            }
            Err(error) => {
                self.trouble = Some((error.to_string(), wall_clock()));
                Err(error)
            }
        }
    }

    /// What the board is to know.
    pub(crate) fn news(&self) -> TlsNews {
        TlsNews {
            path: self.place.certificate.clone(),
            fingerprint: self.fingerprint(),
            ends: self.ends(),
            warn_from: UnixTime::from_secs(self.ends().as_secs().saturating_sub(WARN_BEFORE)),
            is_own: self.place.is_own(),
            trouble: self.trouble.clone(),
        }
    }

    /// Whether it is time to speak of its end.
    pub(crate) fn is_ending(&self) -> bool {
        wall_clock() > self.news().warn_from
    }
}

/// All certificates of a pool's listeners.
#[derive(Debug, Default)]
pub struct Certificates(Vec<Certificate>);

/// One of a pool's certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CertificateId(usize);

impl Certificates {
    /// Opens the certificate in a place, unless it is there already.
    ///
    /// # Errors
    ///
    /// As [`Certificate::open`].
    pub fn open(&mut self, place: CertificatePlace) -> Result<CertificateId, CertificateError> {
        let known = self.0.iter().position(|one| *one.place() == place);
        if let Some(known) = known {
            return Ok(CertificateId(known));
        }
        self.0.push(Certificate::open(place)?);
        Ok(CertificateId(self.0.len() - 1))
    }

    /// The one with this id.
    pub fn of(&self, id: CertificateId) -> Option<&Certificate> {
        self.0.get(id.0)
    }
}

impl CertificateId {
    /// Which of what was made of each certificate, in order, is that of this one.
    pub(crate) fn among<T>(self, made: &[T]) -> Option<&T> {
        made.get(self.0)
    }
}

impl IntoIterator for Certificates {
    type Item = Certificate;
    type IntoIter = std::vec::IntoIter<Certificate>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Certificates {
    type Item = &'a Certificate;
    type IntoIter = slice::Iter<'a, Certificate>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
