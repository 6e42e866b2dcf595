//! Why keys cannot be had or changed. All of it is the operator's to mend.

use std::io;
use std::path::{Path, PathBuf};

use headframe_sv2_noise::{InstallError, KeyTextError, OtherAuthority};
use headframe_work::UnixTime;

use crate::clock::Utc;

/// Why the keys cannot be had or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {error}", path.display())]
    File {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The pool's key file holds something else.
    #[error("{} holds no keys ({reason}); restore it from a backup, or move it away to let the pool make new ones, which miners must then be told", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another file holds something else.
    #[error("{} cannot be used: {error}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: KeyTextError,
    },
    /// Nothing is written over a file that may be somebody's only secret.
    #[error("{} is there already; write to another file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A secret that others can read is none.
    #[error("{} holds a secret and can be read by others (mode {mode:o}); chmod 600 it, and if somebody may have read it make another authority", path.display())]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// There are no keys yet.
    #[error("there are no keys in {}; the pool makes them when it is started, or choose another place with --data-dir", path.display())]
    NoKeys {
        /// The file that is missing.
        path: PathBuf,
    },
    /// The pool waits for the certificate of an authority whose secret is elsewhere.
    #[error("a certificate was requested for the key in {} and is not there yet; install it with headframe keys install, or remove that file to let the pool make an authority of its own", path.display())]
    Waiting {
        /// The file with the static key.
        path: PathBuf,
    },
    /// A certificate that nobody asked for.
    #[error("no key of the pool waits for a certificate; begin with headframe keys request")]
    NothingAsked,
    /// Only the authority can sign for another static key.
    #[error(
        "the authority's secret key is not here; run headframe keys request --new, sign the request where the secret is, and install the certificate"
    )]
    AuthorityElsewhere,
    /// What is to be moved away is away.
    #[error("the authority's secret key is not in {}; it was moved away before, or has never been there", path.display())]
    Away {
        /// The key file.
        path: PathBuf,
    },
    /// The request is for another authority.
    #[error(
        "the request is for the authority {}, and this is {}; sign with the one that the pool's miners know", .0.expected, .0.found
    )]
    AskedOther(Box<OtherAuthority>),
    /// A certificate by another authority than the one that miners know.
    #[error(
        "the certificate is signed by the authority {}, and the pool's miners know {}; sign the request with that one. A new authority runs beside it, with keys of its own (--keys NAME)", .0.found, .0.expected
    )]
    SignedByOther(Box<OtherAuthority>),
    /// A certificate for a key that is not the pool's.
    #[error(
        "the certificate is for another static key than the pool's; sign the request that headframe keys request prints here"
    )]
    OtherStaticKey,
    /// A certificate that is over.
    #[error(
        "the certificate ended on {}, and it is {} here; check both computers' clocks, or sign the request again", Utc(*ended), Utc(*now)
    )]
    Expired {
        /// Its last second.
        ended: UnixTime,
        /// The time here.
        now: UnixTime,
    },
    /// A certificate that has not begun.
    #[error(
        "the certificate begins on {}, and it is {} here; check both computers' clocks, or install it then", Utc(*begins), Utc(*now)
    )]
    NotYetValid {
        /// Its first second.
        begins: UnixTime,
        /// The time here.
        now: UnixTime,
    },
    /// The key file of a running pool was replaced by that of another one.
    #[error("{} has the keys of another authority, {}; the pool goes on with {} until it is restarted", path.display(), other.found, other.expected)]
    Replaced {
        /// The file.
        path: PathBuf,
        /// Whose keys it has, and whom miners know.
        other: Box<OtherAuthority>,
    },
    /// The key file of a running pool is gone.
    #[error("{} is gone; the pool goes on with the keys that it has until it is restarted", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
}

impl KeyError {
    pub(super) fn reading(path: &Path) -> impl Fn(io::Error) -> Self {
        Self::file("read", path)
    }

    pub(super) fn writing(path: &Path) -> impl Fn(io::Error) -> Self {
        Self::file("write", path)
    }

    fn file(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::File {
            what,
            path: path.into(),
            error,
        }
    }

    pub(super) fn text(path: &Path) -> impl Fn(KeyTextError) -> Self {
        move |error| Self::Text {
            path: path.into(),
            error,
        }
    }
}

impl From<InstallError> for KeyError {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::OtherAuthority(other) => Self::SignedByOther(other),
            InstallError::OtherStaticKey => Self::OtherStaticKey,
            InstallError::Window {
                valid_from,
                not_valid_after,
                now,
            } => {
                let [begins, ended, now] =
                    [valid_from, not_valid_after, now].map(UnixTime::from_secs);
                match now < begins {
                    true => Self::NotYetValid { begins, now },
                    false => Self::Expired { ended, now },
                }
            }
        }
    }
}
