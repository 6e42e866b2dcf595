//! The directory in which a pool keeps everything, held by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

const LOCK_FILE: &str = "headframe.lock";

/// A data directory that this process holds. The lock goes with this value, and with the process
/// however it ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Opens the directory, creating it (mode 0700) where it is missing, makes sure that it can be
    /// written, and locks it.
    ///
    /// # Errors
    /// [`DataDirError`], the operator's, says what to do.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        create(path)?;
        let mut lock = open_lock(path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut lock)),
            Err(TryLockError::Error(source)) => {
                return Err(DataDirError::CannotLock {
                    path: path.into(),
                    source,
                });
            }
        }
        write_pid(&mut lock).map_err(|source| DataDirError::NotWritable {
            path: path.into(),
            source,
        })?;
        Ok(Self {
            path: path.into(),
            _lock: lock,
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// A data directory that cannot be used. Texts end with the advice to choose another: who reads the
/// operator's wishes adds where.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It is missing and cannot be created.
    #[error("cannot create the data directory {path} ({source}); choose another")]
    CannotCreate {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a file of that name.
    #[error("the data directory {path} is not a directory; choose another")]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error(
        "the data directory {path} cannot be written ({source}); let the user that runs the pool write it, free some space, or choose another"
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another pool holds it.
    #[error("the data directory {path} is in use by another headframe{}; stop that one or choose another", Pid(.pid))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other pool's process id, if its lock file says so.
        pid: Option<u32>,
    },
    /// The file system knows no locks.
    #[error(
        "the data directory {path} cannot be locked ({source}); put it on a local disk or choose another"
    )]
    CannotLock {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

struct Pid<'a>(&'a Option<u32>);

impl core::fmt::Display for Pid<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(pid) => write!(f, ", pid {pid}"),
            None => Ok(()),
        }
    }
}

fn create(path: &Path) -> Result<(), DataDirError> {
    if path.is_dir() {
        return Ok(());
    }
    if path.exists() {
        return Err(DataDirError::NotADirectory { path: path.into() });
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|source| DataDirError::CannotCreate {
            path: path.into(),
            source,
        })
}

fn open_lock(dir: &Path) -> Result<File, DataDirError> {
    private()
        .read(true)
        .open(dir.join(LOCK_FILE))
        .map_err(|source| DataDirError::NotWritable {
            path: dir.into(),
            source,
        })
}

fn in_use(dir: &Path, lock: &mut File) -> DataDirError {
    let mut text = String::new();
    let read = lock.take(32).read_to_string(&mut text);
    let pid = read.ok().and_then(|_| text.trim().parse().ok());
    DataDirError::InUse {
        path: dir.into(),
        pid,
    }
}

fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

/// Creates the file with mode 0600 if it is missing.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    private().open(path).map(drop)
}

/// Opens a file for writing, and makes it with mode 0600 if it is missing.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_second_pool_is_told_who_holds_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let held = DataDir::open(&path).unwrap();
        let error = DataDir::open(&path).unwrap_err();
        assert!(
            matches!(error, DataDirError::InUse { pid: Some(pid), .. } if pid == std::process::id())
        );
        assert_eq!(
            error.to_string(),
            format!(
                "the data directory {} is in use by another headframe, pid {}; stop that one or choose another",
                path.display(),
                std::process::id()
            )
        );
        drop(held);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(
            DataDir::open(&file),
            Err(DataDirError::NotADirectory { .. })
        ));
        assert!(matches!(
            DataDir::open(&file.join("below")),
            Err(DataDirError::CannotCreate { .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn what_the_pool_creates_is_its_users_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let held = DataDir::open(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        create_private(&held.join("secret")).unwrap();
        assert_eq!(mode(&held.join("secret")), 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn the_lock_file_is_the_owner_s_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let _held = DataDir::open(dir.path()).unwrap();
        let metadata = fs::metadata(dir.path().join(LOCK_FILE)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_cannot_be_written_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
        // Root may write anywhere: then there is nothing to refuse.
        let is_root = File::create(dir.path().join("probe")).is_ok();
        let opened = DataDir::open(dir.path());
        assert_eq!(opened.is_ok(), is_root);
        if let Err(error) = opened {
            assert!(matches!(error, DataDirError::NotWritable { .. }));
        }
    }
}
