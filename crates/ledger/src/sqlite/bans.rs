//! Bans.

use headframe_work::UnixTime;
use rusqlite::{Connection, Row, params};

use super::columns::{limit_column, time};
use super::error::Failure;
use crate::ban::{BAN_REMEMBERED, MAX_BANS};
use crate::{Ban, Text};

/// Puts a ban in the place of an earlier one of the same address.
pub(super) fn insert(connection: &Connection, ban: &Ban) -> Result<(), Failure> {
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO bans (address, since, until, reason, times)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![
        ban.address.to_string(),
        ban.since.as_secs(),
        ban.until.as_secs(),
        ban.reason.as_str(),
        ban.times,
    ])?;
    let mut forget = connection.prepare_cached(
        "DELETE FROM bans WHERE address IN
             (SELECT address FROM bans ORDER BY until DESC, address LIMIT -1 OFFSET ?1)",
    )?;
    forget.execute([limit_column(MAX_BANS)])?;
    Ok(())
}

/// Those that are still to be known, the one that ends last first.
pub(super) fn remembered(connection: &Connection, now: UnixTime) -> Result<Vec<Ban>, Failure> {
    let mut statement = connection
        .prepare_cached("SELECT * FROM bans WHERE until > ?1 ORDER BY until DESC, address")?;
    let mut rows = statement.query([horizon(now)])?;
    let mut bans = Vec::new();
    while let Some(row) = rows.next()? {
        bans.push(ban(row)?);
    }
    Ok(bans)
}

pub(super) fn forget(connection: &Connection, now: UnixTime) -> Result<(), Failure> {
    let mut delete = connection.prepare_cached("DELETE FROM bans WHERE until <= ?1")?;
    delete.execute([horizon(now)])?;
    Ok(())
}

/// Bans that ended then or before are forgotten.
fn horizon(now: UnixTime) -> i64 {
    i64::from(now.as_secs()) - BAN_REMEMBERED.as_secs().cast_signed()
}

fn ban(row: &Row<'_>) -> Result<Ban, Failure> {
    let address: String = row.get("address")?;
    let parsed = address.parse();
    Ok(Ban {
        address: parsed.map_err(|_| Failure::Damaged(format!("address {address:?}")))?,
        since: time(row, "since")?,
        until: time(row, "until")?,
        reason: Text::clip(&row.get::<_, String>("reason")?),
        times: row.get("times")?,
    })
}
