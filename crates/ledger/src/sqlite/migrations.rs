//! The form of the file, and how an older one is brought up to date.

use rusqlite::{Connection, TransactionBehavior};

use super::error::Failure;

/// "hdfr": tells a ledger from other programs' SQLite files.
const APPLICATION_ID: i64 = 0x6864_6672;

/// What brings a file of version n to version n + 1. A released migration never changes.
const MIGRATIONS: [&str; 3] = [
    include_str!("v1.sql"),
    include_str!("v2.sql"),
    include_str!("v3.sql"),
];

const VERSION: i64 = MIGRATIONS.len() as i64;

/// Makes sure, before anything is written, that the file is ours, of a version that we know, or
/// empty.
pub(super) fn check_identity(connection: &Connection) -> Result<(), Failure> {
    let id = pragma(connection, "application_id")?;
    let version = pragma(connection, "user_version")?;
    let tables: i64 =
        connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match id {
        APPLICATION_ID if version > VERSION => Err(Failure::TooNew {
            found: version,
            known: VERSION,
        }),
        APPLICATION_ID => Ok(()),
        0 if tables == 0 && version == 0 => Ok(()),
        _ => Err(Failure::Foreign),
    }
}

/// Makes sure that the file is ours and of this version; false when it is empty, as one is whose pool was
/// killed at its first start.
pub(super) fn check_version(connection: &Connection) -> Result<bool, Failure> {
    check_identity(connection)?;
    match pragma(connection, "user_version")? {
        VERSION => Ok(true),
        0 => Ok(false),
        found => Err(Failure::TooOld {
            found,
            known: VERSION,
        }),
    }
}

/// Brings the file to this version's form, all or nothing.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = pragma(&transaction, "user_version")?;
    if version == VERSION {
        return Ok(());
    }
    let done = usize::try_from(version).map_err(|_| Failure::Foreign)?;
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, Failure> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(connection: &Connection) -> Vec<String> {
        connection
            .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn every_earlier_version_becomes_this_one() {
        let mut fresh = Connection::open_in_memory().unwrap();
        migrate(&mut fresh).unwrap();
        for version in 0..=MIGRATIONS.len() {
            let mut old = Connection::open_in_memory().unwrap();
            for migration in &MIGRATIONS[..version] {
                old.execute_batch(migration).unwrap();
            }
            if version > 0 {
                old.pragma_update(None, "application_id", APPLICATION_ID)
                    .unwrap();
                old.pragma_update(None, "user_version", version as i64)
                    .unwrap();
            }
            check_identity(&old).unwrap();
            migrate(&mut old).unwrap();
            assert_eq!(schema(&old), schema(&fresh), "from version {version}");
            assert_eq!(pragma(&old, "user_version").unwrap(), VERSION);
        }
    }

    #[test]
    fn a_newer_file_and_a_foreign_one_are_refused() {
        let mut newer = Connection::open_in_memory().unwrap();
        migrate(&mut newer).unwrap();
        newer
            .pragma_update(None, "user_version", VERSION + 1)
            .unwrap();
        assert!(matches!(
            check_identity(&newer),
            Err(Failure::TooNew { .. })
        ));
        let foreign = Connection::open_in_memory().unwrap();
        foreign.execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(matches!(check_identity(&foreign), Err(Failure::Foreign)));
    }
}
