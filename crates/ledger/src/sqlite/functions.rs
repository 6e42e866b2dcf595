//! Sums that stop at the largest value, inside SQL.
//!
//! SQLite would add counts past 2^63 into a float, and has no integer for work at all.

use headframe_work::Work;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use super::columns::{Blob16, work_of_blob};

/// Gives the connection `count_add(integer, integer)` and `work_add(blob, blob)`.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("count_add", 2, flags, |arguments| {
        let [a, b] = [arguments.get::<i64>(0)?, arguments.get::<i64>(1)?];
        Ok(a.saturating_add(b))
    })?;
    connection.create_scalar_function("work_add", 2, flags, |arguments| {
        let [a, b] = [arguments.get::<Blob16>(0)?, arguments.get::<Blob16>(1)?];
        let sum: Work = work_of_blob(a).saturating_add(work_of_blob(b));
        Ok(sum.units().to_be_bytes())
    })
}
