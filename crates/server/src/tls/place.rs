//! Where a certificate lies, and whether the pool makes it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use headframe_transport::{TlsIdentity, self_signed};
use zeroize::Zeroizing;

use super::CertificateError;
use crate::clock::wall_clock;
use crate::keys::file::{self, Stamp};

/// The longest file that is read: a chain of certificates has some kilobytes each.
const MAX_FILE: u64 = 256 * 1024;
const DAY: u32 = 24 * 3_600;
/// How long a certificate of our own holds. Nobody vouches for it, so that nobody learns anything from its
/// end; but miners would have to be told of the next one. The year is one that the shorter of X.509's two
/// forms of time can still write.
const LIFETIME: u32 = 20 * 365 * DAY;
/// Clocks of miners run late.
const BACKDATE: u32 = DAY;

/// Two files in PEM: a certificate, with those that vouch for it, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificatePlace {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// The names for which a certificate is made where there is none; `None` where it is the operator's.
    made_for: Option<Vec<String>>,
}

impl CertificatePlace {
    /// The operator's own files.
    pub const fn files(certificate: PathBuf, key: PathBuf) -> Self {
        Self {
            certificate,
            key,
            made_for: None,
        }
    }

    /// One that the pool makes in `directory` where there is none, for these host names and addresses.
    pub fn own(directory: &Path, names: Vec<String>) -> Self {
        Self {
            certificate: directory.join("tls-certificate.pem"),
            key: directory.join("tls-key.pem"),
            made_for: Some(names),
        }
    }

    /// Whether nobody vouches for it but the pool.
    pub const fn is_own(&self) -> bool {
        self.made_for.is_some()
    }

    /// The version of both files.
    pub(super) fn stamps(&self) -> [Option<Stamp>; 2] {
        [&self.certificate, &self.key].map(|path| Stamp::of(path))
    }

    /// Makes a certificate where there has to be one and is none.
    pub(super) fn make(&self) -> Result<(), CertificateError> {
        let Some(names) = &self.made_for else {
            return Ok(());
        };
        match self.stamps() {
            [None, None] => {}
            [Some(_), Some(_)] => {
                file::keep_private(&self.key);
                return Ok(());
            }
            [Some(_), None] => return Err(half(&self.certificate, &self.key)),
            [None, Some(_)] => return Err(half(&self.key, &self.certificate)),
        }
        let now = wall_clock().as_secs();
        let made = self_signed(
            names,
            now.saturating_sub(BACKDATE),
            now.saturating_add(LIFETIME),
        )?;
        file::create(&self.key, &made.key)?;
        Ok(file::create(&self.certificate, &made.certificate)?)
    }

    pub(super) fn read(&self) -> Result<TlsIdentity, CertificateError> {
        let certificate = read(&self.certificate)?;
        let key = read(&self.key)?;
        TlsIdentity::from_pem(&certificate, &key).map_err(|error| CertificateError::Unusable {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            error,
        })
    }
}

fn half(there: &Path, gone: &Path) -> CertificateError {
    CertificateError::Half {
        there: there.into(),
        gone: gone.into(),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let read = || {
        let mut bytes = Zeroizing::new(Vec::new());
        let len = File::open(path)?
            .take(MAX_FILE + 1)
            .read_to_end(&mut bytes)?;
        match len as u64 > MAX_FILE {
            true => Err(io::Error::other("it is larger than such a file can be")),
            false => Ok(bytes),
        }
    };
    read().map_err(|error| CertificateError::Read {
        path: path.into(),
        error,
    })
}
