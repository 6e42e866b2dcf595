//! Reading sums, workers and best shares.

use headframe_work::UnixTime;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::POOL;
use super::columns::{best, limit_column, optional_time, tally, time};
use super::error::Failure;
use super::write::LIFE;
use crate::history::{SlotBuilder, Span, starts_touching};
use crate::{
    BestShare, Bucket, ClientKind, RankedShare, Sighting, Slot, Sums, Text, TimeRange, Totals,
    WorkerId, WorkerRecord,
};

pub(super) fn totals(connection: &Connection) -> Result<Totals, Failure> {
    let pool = connection
        .prepare_cached("SELECT * FROM workers WHERE id = ?1")?
        .query_row([POOL], |row| {
            Ok((
                row.get::<_, u32>("first_seen")?,
                row.get::<_, Option<u32>>("last_accepted")?,
            ))
        })
        .optional()?;
    Ok(Totals {
        sums: life(connection, POOL)?,
        since: pool.map(|(since, _)| UnixTime::from_secs(since)),
        last_accepted: pool.and_then(|(_, last)| last).map(UnixTime::from_secs),
        workers: worker_count(connection)?,
    })
}

pub(super) fn worker_count(connection: &Connection) -> Result<usize, Failure> {
    let count: i64 = connection
        .prepare_cached("SELECT COUNT(*) FROM workers WHERE id <> 0")?
        .query_row([], |row| row.get(0))?;
    usize::try_from(count).map_err(|_| Failure::damaged("negative count"))
}

pub(super) fn worker_id(
    connection: &Connection,
    worker: &WorkerId,
) -> Result<Option<i64>, Failure> {
    Ok(connection
        .prepare_cached("SELECT id FROM workers WHERE user = ?1 AND payout = ?2")?
        .query_row([worker.user(), worker.payout()], |row| row.get(0))
        .optional()?)
}

pub(super) fn workers(connection: &Connection, limit: usize) -> Result<Vec<WorkerRecord>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM workers WHERE id <> 0 ORDER BY last_seen DESC, user, payout LIMIT ?1",
    )?;
    let mut rows = statement.query([limit_column(limit)])?;
    let mut workers = Vec::new();
    while let Some(row) = rows.next()? {
        workers.push(record(connection, row)?);
    }
    Ok(workers)
}

pub(super) fn worker(
    connection: &Connection,
    worker: &WorkerId,
) -> Result<Option<WorkerRecord>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM workers WHERE user = ?1 AND payout = ?2")?;
    let mut rows = statement.query([worker.user(), worker.payout()])?;
    rows.next()?.map(|row| record(connection, row)).transpose()
}

pub(super) fn best_shares(connection: &Connection) -> Result<Vec<RankedShare>, Failure> {
    let mut statement = connection.prepare_cached("SELECT * FROM best_shares ORDER BY hash")?;
    let mut rows = statement.query([])?;
    let mut shares = Vec::new();
    while let Some(row) = rows.next()? {
        shares.push(RankedShare {
            worker: worker_columns(row)?,
            share: BestShare::from_rank(row.get("hash")?, time(row, "at")?),
        });
    }
    Ok(shares)
}

pub(super) fn history(
    connection: &Connection,
    worker: i64,
    range: &TimeRange,
    bucket: Bucket,
) -> Result<Vec<Slot>, Failure> {
    let mut slots = SlotBuilder::new(bucket);
    let mut statement = connection.prepare_cached(
        "SELECT start, kind, count, work FROM sums
         WHERE worker = ?1 AND span = ?2 AND start >= ?3 AND start < ?4 ORDER BY start",
    )?;
    for span in Span::COARSEST_FIRST {
        let starts = starts_touching(range, bucket, span);
        let mut rows =
            statement.query(params![worker, span.seconds(), starts.start, starts.end])?;
        while let Some(row) = rows.next()? {
            let (kind, tally) = tally(row)?;
            slots.slot(span, time(row, "start")?).add_kind(kind, tally);
        }
    }
    Ok(slots.finish())
}

/// The columns `user` and `payout`.
pub(super) fn worker_columns(row: &Row<'_>) -> Result<WorkerId, Failure> {
    let user: String = row.get("user")?;
    let payout: String = row.get("payout")?;
    Ok(WorkerId::unchecked(user, &payout))
}

fn record(connection: &Connection, row: &Row<'_>) -> Result<WorkerRecord, Failure> {
    Ok(WorkerRecord {
        worker: worker_columns(row)?,
        sums: life(connection, row.get("id")?)?,
        best: best(row)?,
        first_seen: time(row, "first_seen")?,
        last_seen: time(row, "last_seen")?,
        last_accepted: optional_time(row, "last_accepted")?,
        sighting: sighting(row)?,
    })
}

fn sighting(row: &Row<'_>) -> Result<Option<Sighting>, Failure> {
    let Some(code) = row.get::<_, Option<String>>("client")? else {
        return Ok(None);
    };
    let client =
        ClientKind::from_code(&code).ok_or_else(|| Failure::Damaged(format!("client {code:?}")))?;
    let user_agent: Option<String> = row.get("user_agent")?;
    Ok(Some(Sighting {
        client,
        user_agent: Text::clip(&user_agent.unwrap_or_default()),
    }))
}

/// The sums of a worker's, or the pool's, whole life.
fn life(connection: &Connection, worker: i64) -> Result<Sums, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT kind, count, work FROM sums WHERE span = ?1 AND start = ?2 AND worker = ?3",
    )?;
    let mut rows = statement.query(params![LIFE.0, LIFE.1, worker])?;
    let mut sums = Sums::default();
    while let Some(row) = rows.next()? {
        let (kind, tally) = tally(row)?;
        sums.add_kind(kind, tally);
    }
    Ok(sums)
}
