//! The pool's keys on disk: made once, readable by nobody else, renewed in time.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headframe_sv2_noise::{AuthorityPublicKey, KeyRing, StaticIdentity};
use tracing::warn;
use zeroize::Zeroizing;

use crate::clock::wall_clock;
use crate::random::random_bytes;

/// For the owner alone.
const PRIVATE: u32 = 0o600;

/// The pool's authority key, static key and certificate, and where they are kept.
#[derive(Debug)]
pub struct Keys {
    ring: KeyRing,
    path: PathBuf,
    /// Whether the file holds what `ring` does.
    is_written: bool,
}

/// Why the keys cannot be had. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot {what} the pool's keys in {}: {error}", path.display())]
    File {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file holds something else.
    #[error("{} holds no keys ({reason}); restore it from a backup, or move it away to let the pool make new ones, which miners must then be told", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Only the authority can sign for another static key.
    #[error("the authority's secret key is not in the pool's keys; rotate them where it is kept")]
    AuthorityElsewhere,
}

impl Keys {
    /// The keys' file in the data directory.
    pub const FILE_NAME: &str = "keys";

    /// Reads the keys in `directory`, or makes them if there are none. Renews a certificate that
    /// is about to expire.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written, or holds something else.
    pub fn open(directory: &Path) -> Result<Self, KeyError> {
        let path = directory.join(Self::FILE_NAME);
        let mut keys = match fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => {
                keep_private(&path);
                Self::read(&text, path)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path)?,
            Err(error) => {
                let what = "read";
                return Err(KeyError::File { what, path, error });
            }
        };
        keys.renew();
        keys.save()?;
        Ok(keys)
    }

    /// The authority key in `directory`, by which miners know the pool. Only reads, so that it can be
    /// asked for while a pool runs.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds something else.
    pub fn authority_in(directory: &Path) -> Result<AuthorityPublicKey, KeyError> {
        let path = directory.join(Self::FILE_NAME);
        match fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => Ok(Self::read(&text, path)?.authority()),
            Err(error) => {
                let what = "read";
                Err(KeyError::File { what, path, error })
            }
        }
    }

    /// Replaces the static key and the certificate; the authority stays, so that no miner has to be
    /// told.
    ///
    /// # Errors
    ///
    /// When the authority's secret is kept elsewhere, or the file cannot be written; the old keys
    /// are in force then.
    pub fn rotate(&mut self) -> Result<(), KeyError> {
        let now = wall_clock().as_secs();
        let ring = loop {
            // One draw in 2^127 is no key; then the next one is.
            match self.ring.rotate(random_bytes(), &random_bytes(), now) {
                Ok(Some(ring)) => break ring,
                Ok(None) => return Err(KeyError::AuthorityElsewhere),
                Err(_) => {}
            }
        };
        let path = self.path.clone();
        let rotated = Self::new(ring, path);
        rotated.write()?;
        *self = rotated;
        self.is_written = true;
        Ok(())
    }

    /// What miners are told to trust.
    pub fn authority(&self) -> AuthorityPublicKey {
        self.ring.authority()
    }

    /// What handshakes are answered with.
    pub(crate) fn identity(&self) -> Arc<StaticIdentity> {
        Arc::new(self.ring.identity())
    }

    /// Renews the certificate if it is time; true when it was. The new one serves even if it cannot
    /// be written; [`Self::save`] tries again.
    pub(crate) fn renew(&mut self) -> bool {
        let now = wall_clock().as_secs();
        let is_renewed =
            self.ring.needs_renewal(now) && self.ring.renew(&random_bytes(), now).is_ok();
        self.is_written &= !is_renewed;
        is_renewed
    }

    /// Writes what is not written yet.
    pub(crate) fn save(&mut self) -> Result<(), KeyError> {
        if !self.is_written {
            self.write()?;
            self.is_written = true;
        }
        Ok(())
    }

    const fn new(ring: KeyRing, path: PathBuf) -> Self {
        Self {
            ring,
            path,
            is_written: false,
        }
    }

    fn read(text: &str, path: PathBuf) -> Result<Self, KeyError> {
        match KeyRing::from_text(text) {
            Ok(ring) => Ok(Self {
                is_written: true,
                ..Self::new(ring, path)
            }),
            Err(error) => Err(KeyError::Unreadable {
                path,
                reason: error.to_string(),
            }),
        }
    }

    fn create(path: PathBuf) -> Result<Self, KeyError> {
        let now = wall_clock().as_secs();
        let ring = loop {
            // One draw in 2^127 is no key; then the next one is.
            let keys = KeyRing::create(random_bytes(), random_bytes(), &random_bytes(), now);
            if let Ok(ring) = keys {
                break ring;
            }
        };
        let mut keys = Self::new(ring, path);
        keys.save()?;
        Ok(keys)
    }

    /// Writes beside the file and renames, so that there is always a whole one.
    fn write(&self) -> Result<(), KeyError> {
        let written = write_private(&self.path, self.ring.to_text().as_bytes());
        written.map_err(|error| KeyError::File {
            what: "write",
            path: self.path.clone(),
            error,
        })
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    // Left by a pool that was killed; its mode would stay.
    let _ = fs::remove_file(&beside);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_directory_of(path)
}

/// The new name is on disk, not only the file.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// A file restored from a backup may have become readable by others.
fn keep_private(path: &Path) {
    let Ok(metadata) = fs::metadata(path) else {
        return;
    };
    if metadata.permissions().mode() & 0o077 == 0 {
        return;
    }
    match fs::set_permissions(path, Permissions::from_mode(PRIVATE)) {
        Ok(()) => warn!("{} could be read by others; it cannot now", path.display()),
        Err(error) => warn!("{} can be read by others: {error}", path.display()),
    }
}

#[cfg(test)]
impl Keys {
    /// Keys whose certificate is to be renewed, though nobody has looked yet.
    pub(crate) fn about_to_expire(directory: &Path) -> Self {
        let long_ago = wall_clock().as_secs() - 25 * 24 * 3600;
        let ring = KeyRing::create([1; 32], [2; 32], &[3; 32], long_ago).unwrap();
        Self::new(ring, directory.join(Self::FILE_NAME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(directory: &Path) -> String {
        fs::read_to_string(directory.join(Keys::FILE_NAME)).unwrap()
    }

    fn mode(directory: &Path) -> u32 {
        let metadata = fs::metadata(directory.join(Keys::FILE_NAME)).unwrap();
        metadata.permissions().mode() & 0o777
    }

    #[test]
    fn keys_are_made_once_and_for_the_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let made = Keys::open(directory.path()).unwrap();
        let first = text(directory.path());
        assert_eq!(mode(directory.path()), 0o600);
        let again = Keys::open(directory.path()).unwrap();
        assert_eq!(again.authority(), made.authority());
        assert_eq!(text(directory.path()), first);
    }

    #[test]
    fn the_authority_is_read_and_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Keys::authority_in(directory.path()).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        // One that is to be renewed, which is the pool's to do.
        let old = Keys::about_to_expire(directory.path());
        old.write().unwrap();
        let before = text(directory.path());
        let authority = Keys::authority_in(directory.path()).unwrap();
        assert_eq!(authority, old.authority());
        assert_eq!(text(directory.path()), before);
    }

    #[test]
    fn a_file_that_others_can_read_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        Keys::open(directory.path()).unwrap();
        let path = directory.path().join(Keys::FILE_NAME);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        Keys::open(directory.path()).unwrap();
        assert_eq!(mode(directory.path()), 0o600);
    }

    #[test]
    fn what_a_killed_pool_left_beside_neither_serves_nor_keeps_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let beside = directory.path().join("keys.new");
        fs::write(&beside, "half a ke").unwrap();
        fs::set_permissions(&beside, Permissions::from_mode(0o644)).unwrap();
        Keys::open(directory.path()).unwrap();
        assert_eq!(mode(directory.path()), 0o600);
        assert!(!beside.exists());
    }

    #[test]
    fn a_damaged_file_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        Keys::open(directory.path()).unwrap();
        let path = directory.path().join(Keys::FILE_NAME);
        let damaged = text(directory.path()).replace("static-secret", "static-sacred");
        fs::write(&path, &damaged).unwrap();
        let error = Keys::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("holds no keys"), "{error}");
        assert!(error.contains("restore it from a backup"), "{error}");
        assert_eq!(text(directory.path()), damaged);
    }

    #[test]
    fn a_certificate_that_is_about_to_end_is_renewed_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let old = Keys::about_to_expire(directory.path());
        old.write().unwrap();
        let ring = old.ring;
        let renewed = Keys::open(directory.path()).unwrap();
        assert_eq!(renewed.authority(), ring.authority());
        let certificate = *renewed.ring.certificate();
        assert!(certificate.not_valid_after() > ring.certificate().not_valid_after());
        let again = Keys::open(directory.path()).unwrap();
        assert_eq!(again.ring.certificate(), &certificate, "it is signed once");
    }

    #[test]
    fn rotation_changes_the_static_key_and_keeps_the_authority() {
        let directory = tempfile::tempdir().unwrap();
        let mut keys = Keys::open(directory.path()).unwrap();
        let before = text(directory.path());
        let authority = keys.authority();
        keys.rotate().unwrap();
        let after = text(directory.path());
        let line = |text: &str, name: &str| {
            let mut lines = text.lines();
            lines.find(|line| line.starts_with(name)).map(str::to_owned)
        };
        for (name, stays) in [
            ("authority-public", true),
            ("authority-secret", true),
            ("static-secret", false),
            ("certificate", false),
        ] {
            assert_eq!(line(&before, name) == line(&after, name), stays, "{name}");
        }
        assert_eq!(Keys::open(directory.path()).unwrap().authority(), authority);
    }
}
