//! Writing a batch of shares.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::POOL;
use super::columns::{count_column, work_blob};
use super::error::Failure;
use super::read::{self, worker_id};
use crate::batch::WorkerSums;
use crate::history::Span;
use crate::retention::room;
use crate::{BEST_SHARES, RankedShare, Retention, ShareBatch, Sums, WorkerId};

/// Span and start of the sums over a whole life.
pub(super) const LIFE: (u32, u32) = (0, 0);

const ADD_WORKER: &str = "
    INSERT INTO workers (id, user, payout, first_seen, last_seen, last_accepted, client, user_agent,
                         best_hash, best_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
    ON CONFLICT DO UPDATE SET
        first_seen = MIN(first_seen, excluded.first_seen),
        last_seen = MAX(last_seen, excluded.last_seen),
        last_accepted = MAX(COALESCE(last_accepted, excluded.last_accepted),
                            COALESCE(excluded.last_accepted, last_accepted)),
        client = COALESCE(excluded.client, client),
        user_agent = COALESCE(excluded.user_agent, user_agent),
        best_at = IIF(best_hash <= excluded.best_hash OR excluded.best_hash IS NULL,
                      best_at, excluded.best_at),
        best_hash = MIN(COALESCE(best_hash, excluded.best_hash),
                        COALESCE(excluded.best_hash, best_hash))
    RETURNING id";

const ADD_SUMS: &str = add_to_sums!(
    "
    INSERT INTO sums (span, start, worker, kind, count, work) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
);

/// Adds a batch.
pub(super) fn batch(
    connection: &Connection,
    retention: &Retention,
    batch: &ShareBatch,
) -> Result<(), Failure> {
    let mut writer = Writer::new(connection, retention);
    let mut pool: Option<WorkerSums> = None;
    for (worker, news) in batch.workers() {
        writer.add(worker, news)?;
        pool.get_or_insert_with(|| WorkerSums::new(news.first_seen))
            .merge(news);
    }
    if let Some(pool) = pool {
        writer.add_to_pool(&pool)?;
    }
    offer_best(connection, batch.best())
}

/// Adds what is new to the rows of workers and of the pool.
pub(super) struct Writer<'a> {
    connection: &'a Connection,
    retention: &'a Retention,
    /// How many workers there are, once it had to be counted.
    workers: Option<usize>,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(connection: &'a Connection, retention: &'a Retention) -> Self {
        Self {
            connection,
            retention,
            workers: None,
        }
    }

    pub(super) fn add(&mut self, worker: &WorkerId, news: &WorkerSums) -> Result<(), Failure> {
        let known = worker_id(self.connection, worker)?;
        if known.is_none() {
            self.make_room()?;
        }
        let id = self.add_worker(known, worker.user(), worker.payout(), news)?;
        self.add_news(id, news)
    }

    pub(super) fn add_to_pool(&self, news: &WorkerSums) -> Result<(), Failure> {
        let id = self.add_worker(Some(POOL), "", "", news)?;
        self.add_news(id, news)
    }

    fn add_news(&self, id: i64, news: &WorkerSums) -> Result<(), Failure> {
        let mut life = Sums::default();
        for (minute, sums) in &news.minutes {
            life.add(sums);
            let slot = (Span::Minute.seconds(), minute.as_secs());
            self.add_sums(slot, id, sums)?;
        }
        self.add_sums(LIFE, id, &life)
    }

    fn add_worker(
        &self,
        id: Option<i64>,
        user: &str,
        payout: &str,
        news: &WorkerSums,
    ) -> Result<i64, Failure> {
        let values = params![
            id,
            user,
            payout,
            news.first_seen.as_secs(),
            news.last_seen.as_secs(),
            news.last_accepted.map(|at| at.as_secs()),
            news.sighting.as_ref().map(|seen| seen.client.code()),
            news.sighting.as_ref().map(|seen| seen.user_agent.as_str()),
            news.best.map(|best| best.rank()),
            news.best.map(|best| best.at.as_secs()),
        ];
        let mut statement = self.connection.prepare_cached(ADD_WORKER)?;
        Ok(statement.query_row(values, |row| row.get(0))?)
    }

    fn add_sums(&self, slot: (u32, u32), worker: i64, sums: &Sums) -> Result<(), Failure> {
        let mut statement = self.connection.prepare_cached(ADD_SUMS)?;
        for (kind, tally) in sums.tallies() {
            statement.execute(params![
                slot.0,
                slot.1,
                worker,
                kind.code(),
                count_column(tally.count),
                work_blob(tally.work),
            ])?;
        }
        Ok(())
    }

    /// Forgets the workers least recently seen if there are as many as may be, and counts the one
    /// that is about to be added.
    fn make_room(&mut self) -> Result<(), Failure> {
        let limit = self.retention.workers.max(1);
        let mut workers = match self.workers {
            Some(workers) => workers,
            None => read::worker_count(self.connection)?,
        };
        if workers >= limit {
            let surplus = workers - limit + room(limit);
            workers -= self.forget(surplus)?;
        }
        self.workers = Some(workers + 1);
        Ok(())
    }

    fn forget(&self, number: usize) -> Result<usize, Failure> {
        let mut oldest = self.connection.prepare_cached(
            "SELECT id FROM workers WHERE id <> 0 ORDER BY last_seen, user, payout LIMIT ?1",
        )?;
        let ids: Vec<i64> = oldest
            .query_map([super::columns::limit_column(number)], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for id in &ids {
            let mut sums = self
                .connection
                .prepare_cached("DELETE FROM sums WHERE worker = ?1")?;
            sums.execute([id])?;
            let mut worker = self
                .connection
                .prepare_cached("DELETE FROM workers WHERE id = ?1")?;
            worker.execute([id])?;
        }
        Ok(ids.len())
    }
}

/// Puts the shares that belong there on the pool's list of best shares. Most batches have none.
fn offer_best(connection: &Connection, shares: &[RankedShare]) -> Result<(), Failure> {
    let last = BEST_SHARES - 1;
    let worst: Option<super::columns::Blob32> = connection
        .prepare_cached("SELECT hash FROM best_shares ORDER BY hash LIMIT 1 OFFSET ?1")?
        .query_row([super::columns::limit_column(last)], |row| row.get(0))
        .optional()?;
    let better = |ranked: &&RankedShare| worst.is_none_or(|worst| ranked.share.rank() < worst);
    let mut insert = connection.prepare_cached(
        "INSERT INTO best_shares (hash, user, payout, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO NOTHING",
    )?;
    let mut offered = 0;
    for RankedShare { worker, share } in shares.iter().filter(better) {
        let at = share.at.as_secs();
        offered += insert.execute(params![share.rank(), worker.user(), worker.payout(), at])?;
    }
    if offered > 0 {
        let mut trim = connection.prepare_cached(
            "DELETE FROM best_shares WHERE hash >
                 (SELECT hash FROM best_shares ORDER BY hash LIMIT 1 OFFSET ?1)",
        )?;
        trim.execute([super::columns::limit_column(last)])?;
    }
    Ok(())
}
