//! Files of keys: small, for their owner alone, and always whole. Those of TLS too.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use tracing::warn;
use zeroize::Zeroizing;

use super::KeyError;

/// For the owner alone.
const PRIVATE: u32 = 0o600;

/// The longest file of keys that is read; the longest that is written has some 500 bytes.
const MAX_FILE: usize = 16 * 1024;

/// Tells one version of a file from another: each is a file of its own, renamed to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    /// That of the file as it is now; `None` while there is none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            modified: metadata.modified().ok(),
        })
    }
}

/// The text of a file, which may be a secret; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, KeyError> {
    match read_text(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(KeyError::reading(path)(error)),
    }
}

/// The text of a file that has to be there.
pub(super) fn need(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    read_text(path).map_err(KeyError::reading(path))
}

fn read_text(path: &Path) -> io::Result<Zeroizing<String>> {
    // As long as can be, so that no copy is left behind when it grows.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE + 1));
    let limit = MAX_FILE as u64 + 1;
    let read = File::open(path)?.take(limit).read_to_string(&mut text)?;
    match read > MAX_FILE {
        true => Err(io::Error::other("it is larger than a file of keys can be")),
        false => Ok(text),
    }
}

/// Writes beside the file and renames, so that there is always a whole one.
pub(super) fn write(path: &Path, text: &str) -> Result<(), KeyError> {
    let written = (|| {
        let beside = path.with_extension("new");
        // Left by a pool that was killed; its mode would stay.
        let _ = fs::remove_file(&beside);
        fill_new(&beside, text)?;
        fs::rename(&beside, path)?;
        sync_directory_of(path)
    })();
    written.map_err(KeyError::writing(path))
}

/// Writes a file that is not there yet.
pub(crate) fn create(path: &Path, text: &str) -> Result<(), KeyError> {
    match fill_new(path, text).and_then(|()| sync_directory_of(path)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let path = path.into();
            Err(KeyError::Exists { path })
        }
        written => written.map_err(KeyError::writing(path)),
    }
}

/// Removes a file that is of no use any more, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), KeyError> {
    match fs::remove_file(path).and_then(|()| sync_directory_of(path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(KeyError::writing(path)),
    }
}

/// Waits until nobody else changes the keys, and keeps others from it as long as the file is kept.
pub(super) fn lock(path: &Path) -> Result<File, KeyError> {
    let locked = open_lock(path).and_then(|file| file.lock().map(|()| file));
    locked.map_err(KeyError::writing(path))
}

/// As [`lock`]; `None` while somebody else has it.
pub(super) fn try_lock(path: &Path) -> Result<Option<File>, KeyError> {
    let file = open_lock(path).map_err(KeyError::writing(path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(KeyError::writing(path)(error)),
    }
}

/// A file restored from a backup may have become readable by others.
pub(crate) fn keep_private(path: &Path) {
    let Some(_) = public_mode(path) else {
        return;
    };
    match fs::set_permissions(path, Permissions::from_mode(PRIVATE)) {
        Ok(()) => warn!("{} could be read by others; it cannot now", path.display()),
        Err(error) => warn!("{} can be read by others: {error}", path.display()),
    }
}

/// Refuses a secret that others can read.
pub(super) fn check_private(path: &Path) -> Result<(), KeyError> {
    match public_mode(path) {
        None => Ok(()),
        Some(mode) => Err(KeyError::NotPrivate {
            path: path.into(),
            mode,
        }),
    }
}

/// The mode of a file that others than its owner may use.
fn public_mode(path: &Path) -> Option<u32> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options.mode(PRIVATE).open(path)
}

fn fill_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The name is on disk, not only the file.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(directory) if directory.as_os_str().is_empty() => Path::new("."),
        Some(directory) => directory,
        None => return Ok(()),
    };
    File::open(directory)?.sync_all()
}
