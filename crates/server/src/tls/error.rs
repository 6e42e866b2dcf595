//! Why a certificate cannot be had. All of it is the operator's to mend.

use std::io;
use std::path::PathBuf;

use headframe_transport::{SelfSignedError, TlsIdentityError};

use crate::keys::KeyError;

/// Why a certificate cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What is in the files cannot be used.
    #[error("the certificate in {} and its key in {} cannot be used: {error}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        error: TlsIdentityError,
    },
    /// One of the pool's own two files is gone.
    #[error("{} is there without {}; restore it from a backup, or remove both to let the pool make a new certificate, which miners must then be told", there.display(), gone.display())]
    Half {
        /// The one that is there.
        there: PathBuf,
        /// The one that is not.
        gone: PathBuf,
    },
    /// A certificate cannot be made.
    #[error(transparent)]
    Make(#[from] SelfSignedError),
    /// What was made cannot be written.
    #[error(transparent)]
    Write(#[from] KeyError),
}
