//! Rolling up and dropping what has served its time.

use headframe_work::UnixTime;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::columns::limit_column;
use super::error::Failure;
use crate::block::MAX_BLOCKS;
use crate::history::{Span, floor_to};
use crate::retention::coarser;
use crate::{Retention, Upkeep};

/// A piece of upkeep ends once it has moved this many rows: some ten milliseconds of work.
const ROWS: usize = 2_000;

const MOVE: &str = add_to_sums!(
    "
    INSERT INTO sums (span, start, worker, kind, count, work)
    SELECT ?3, ?4, worker, kind, count, work FROM sums WHERE span = ?1 AND start = ?2"
);

/// Does a piece of upkeep.
pub(super) fn piece(
    connection: &Connection,
    retention: &Retention,
    now: UnixTime,
) -> Result<Upkeep, Failure> {
    forget_blocks(connection)?;
    super::bans::forget(connection, now)?;
    let mut rows = 0;
    for span in Span::COARSEST_FIRST {
        let horizon = retention.horizon(span, now);
        while let Some(start) = oldest(connection, span, horizon)? {
            rows += age(connection, span, start)?;
            if rows >= ROWS {
                return Ok(Upkeep::More);
            }
        }
    }
    Ok(if rows == 0 {
        Upkeep::Done
    } else {
        Upkeep::More
    })
}

/// The oldest start of the span, if it is past the horizon.
fn oldest(
    connection: &Connection,
    span: Span,
    horizon: UnixTime,
) -> Result<Option<UnixTime>, Failure> {
    let start: Option<u32> = connection
        .prepare_cached(
            "SELECT start FROM sums WHERE span = ?1 AND start < ?2 ORDER BY start LIMIT 1",
        )?
        .query_row([span.seconds(), horizon.as_secs()], |row| row.get(0))
        .optional()?;
    Ok(start.map(UnixTime::from_secs))
}

/// Moves the rows of one start to the coarser span, or drops them. Returns how many there were.
fn age(connection: &Connection, span: Span, start: UnixTime) -> Result<usize, Failure> {
    if let Some(coarse) = coarser(span) {
        let to = floor_to(start, coarse.seconds());
        connection.prepare_cached(MOVE)?.execute(params![
            span.seconds(),
            start.as_secs(),
            coarse.seconds(),
            to.as_secs(),
        ])?;
    }
    let mut delete =
        connection.prepare_cached("DELETE FROM sums WHERE span = ?1 AND start = ?2")?;
    Ok(delete.execute([span.seconds(), start.as_secs()])?)
}

fn forget_blocks(connection: &Connection) -> Result<(), Failure> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM blocks WHERE id <= (SELECT id FROM blocks ORDER BY id DESC LIMIT 1 OFFSET ?1)",
    )?;
    delete.execute([limit_column(MAX_BLOCKS)])?;
    Ok(())
}
