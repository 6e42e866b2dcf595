//! From SQLite's result codes to what the operator can do.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::LedgerError;

/// A failure before it is known which file it was.
#[derive(Debug)]
pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    /// The file could not be created.
    Open(io::Error),
    /// A column holds what this version never writes.
    Damaged(String),
    Foreign,
    TooNew {
        found: i64,
        known: i64,
    },
    TooOld {
        found: i64,
        known: i64,
    },
    NotDurable(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    pub(super) fn damaged(what: &str) -> Self {
        Self::Damaged(what.to_owned())
    }

    /// The error for people, naming the file.
    pub(super) fn at(self, path: &Path) -> LedgerError {
        let path = path.to_owned();
        match self {
            Self::Sqlite(error) => of_sqlite(&error, path),
            Self::Open(error) if error.kind() == io::ErrorKind::StorageFull => {
                LedgerError::DiskFull { path }
            }
            Self::Open(error) => LedgerError::NoPermission {
                path,
                detail: error.to_string(),
            },
            Self::Damaged(detail) => LedgerError::Damaged { path, detail },
            Self::Foreign => LedgerError::Foreign { path },
            Self::TooNew { found, known } => LedgerError::TooNew { path, found, known },
            Self::TooOld { found, known } => LedgerError::TooOld { path, found, known },
            Self::NotDurable(detail) => LedgerError::NotDurable { path, detail },
        }
    }
}

fn of_sqlite(error: &rusqlite::Error, path: std::path::PathBuf) -> LedgerError {
    use rusqlite::Error as E;
    let detail = error.to_string();
    if let E::FromSqlConversionFailure(..)
    | E::InvalidColumnType(..)
    | E::IntegralValueOutOfRange(..) = error
    {
        return LedgerError::Damaged { path, detail };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => LedgerError::DiskFull { path },
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            LedgerError::NoPermission { path, detail }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LedgerError::Busy { path },
        Some(ErrorCode::SystemIoFailure) => LedgerError::Disk { path, detail },
        Some(ErrorCode::DatabaseCorrupt) => LedgerError::Damaged { path, detail },
        Some(ErrorCode::NotADatabase) => LedgerError::Foreign { path },
        _ => LedgerError::Other { path, detail },
    }
}
