//! Blocks and what nodes said of them.

use bitcoin::{BlockHash, CompactTarget};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::columns::{
    Blob16, count_column, hash, hash_column, limit_column, optional_amount, time, work_blob,
    work_of_blob,
};
use super::error::Failure;
use super::read::worker_columns;
use super::write::Writer;
use crate::batch::WorkerSums;
use crate::{
    BlockFate, BlockRecord, BlockUpdate, FoundBlock, NodeAnswer, Protocol, Retention, Text,
};

/// Records a block; false if it is known.
pub(super) fn insert(
    connection: &Connection,
    retention: &Retention,
    block: &FoundBlock,
) -> Result<bool, Failure> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO blocks (hash, height, found_at, user, payout, paid, job, fate, settled,
                             fee, bits, protocol, work_before)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?11, ?12)
         ON CONFLICT DO NOTHING",
    )?;
    let inserted = statement.execute(params![
        hash_column(block.hash),
        block.height,
        block.found_at.as_secs(),
        block.worker.user(),
        block.worker.payout(),
        count_column(block.paid.to_sat()),
        block.job.as_str(),
        BlockFate::Found.code(),
        block.fee.map(|fee| count_column(fee.to_sat())),
        block.bits.map(CompactTarget::to_consensus),
        block.protocol.map(Protocol::code),
        block.work_before.map(work_blob),
    ])?;
    if inserted == 0 {
        return Ok(false);
    }
    let news = WorkerSums::of_block(block.found_at);
    let mut writer = Writer::new(connection, retention);
    writer.add(&block.worker, &news)?;
    writer.add_to_pool(&news)?;
    Ok(true)
}

/// Takes in news of a block; `None` if it is unknown.
pub(super) fn update(
    connection: &Connection,
    hash: BlockHash,
    update: &BlockUpdate,
) -> Result<Option<()>, Failure> {
    let id: Option<i64> = connection
        .prepare_cached("SELECT id FROM blocks WHERE hash = ?1")?
        .query_row([hash_column(hash)], |row| row.get(0))
        .optional()?;
    let Some(id) = id else { return Ok(None) };
    let Some(mut record) = select(connection, "WHERE id = ?1 LIMIT 1", id)?.pop() else {
        return Ok(None);
    };
    record.update(update);
    match update {
        BlockUpdate::Fate(_) => write_fate(connection, id, &record.fate)?,
        BlockUpdate::Answer { .. } => write_answers(connection, id, &record.answers)?,
    }
    Ok(Some(()))
}

/// The blocks recorded last, the latest first.
pub(super) fn latest(connection: &Connection, limit: usize) -> Result<Vec<BlockRecord>, Failure> {
    select(connection, "ORDER BY id DESC LIMIT ?1", limit_column(limit))
}

/// The blocks whose fate is open, the latest first.
pub(super) fn unsettled(connection: &Connection) -> Result<Vec<BlockRecord>, Failure> {
    select(connection, "WHERE settled = ?1 ORDER BY id DESC", 0)
}

/// The blocks that a clause with one parameter picks.
fn select(
    connection: &Connection,
    clause: &'static str,
    parameter: i64,
) -> Result<Vec<BlockRecord>, Failure> {
    let mut statement = connection.prepare_cached(&format!("SELECT * FROM blocks {clause}"))?;
    let mut rows = statement.query([parameter])?;
    let mut blocks = Vec::new();
    while let Some(row) = rows.next()? {
        blocks.push(BlockRecord {
            found: found(row)?,
            fate: fate(row)?,
            answers: answers(connection, row.get("id")?)?,
        });
    }
    Ok(blocks)
}

fn write_fate(connection: &Connection, id: i64, fate: &BlockFate) -> Result<(), Failure> {
    let (confirmations, reason) = match fate {
        BlockFate::Confirmed { confirmations } => (Some(*confirmations), None),
        BlockFate::Refused { reason } => (None, Some(reason.as_str())),
        _ => (None, None),
    };
    let mut statement = connection.prepare_cached(
        "UPDATE blocks SET fate = ?2, confirmations = ?3, reason = ?4, settled = ?5 WHERE id = ?1",
    )?;
    statement.execute(params![
        id,
        fate.code(),
        confirmations,
        reason,
        fate.is_settled()
    ])?;
    Ok(())
}

fn write_answers(connection: &Connection, id: i64, answers: &[NodeAnswer]) -> Result<(), Failure> {
    connection
        .prepare_cached("DELETE FROM answers WHERE block = ?1")?
        .execute([id])?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO answers (block, position, node, answer, first_at, last_at, times)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for (position, answer) in answers.iter().enumerate() {
        insert.execute(params![
            id,
            limit_column(position),
            answer.node.as_str(),
            answer.answer.as_str(),
            answer.first_at.as_secs(),
            answer.last_at.as_secs(),
            answer.times,
        ])?;
    }
    Ok(())
}

fn found(row: &Row<'_>) -> Result<FoundBlock, Failure> {
    let paid = optional_amount(row, "paid")?;
    let work_before: Option<Blob16> = row.get("work_before")?;
    let bits: Option<u32> = row.get("bits")?;
    let job: String = row.get("job")?;
    Ok(FoundBlock {
        height: row.get("height")?,
        hash: hash(row, "hash")?,
        found_at: time(row, "found_at")?,
        worker: worker_columns(row)?,
        paid: paid.ok_or_else(|| Failure::damaged("no amount"))?,
        fee: optional_amount(row, "fee")?,
        bits: bits.map(CompactTarget::from_consensus),
        protocol: protocol(row)?,
        work_before: work_before.map(work_of_blob),
        job: Text::clip(&job),
    })
}

fn protocol(row: &Row<'_>) -> Result<Option<Protocol>, Failure> {
    let code: Option<String> = row.get("protocol")?;
    let protocol = |code: String| {
        Protocol::from_code(&code).ok_or_else(|| Failure::Damaged(format!("protocol {code:?}")))
    };
    code.map(protocol).transpose()
}

fn fate(row: &Row<'_>) -> Result<BlockFate, Failure> {
    let code: String = row.get("fate")?;
    match code.as_str() {
        "found" => Ok(BlockFate::Found),
        "submitted" => Ok(BlockFate::Submitted),
        "accepted" => Ok(BlockFate::Accepted),
        "confirmed" => Ok(BlockFate::Confirmed {
            confirmations: row.get("confirmations")?,
        }),
        "orphaned" => Ok(BlockFate::Orphaned),
        "refused" => Ok(BlockFate::Refused {
            reason: Text::clip(&row.get::<_, String>("reason")?),
        }),
        _ => Err(Failure::Damaged(format!("fate {code:?}"))),
    }
}

fn answers(connection: &Connection, block: i64) -> Result<Vec<NodeAnswer>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM answers WHERE block = ?1 ORDER BY position")?;
    let mut rows = statement.query([block])?;
    let mut answers = Vec::new();
    while let Some(row) = rows.next()? {
        answers.push(NodeAnswer {
            node: Text::clip(&row.get::<_, String>("node")?),
            answer: Text::clip(&row.get::<_, String>("answer")?),
            first_at: time(row, "first_at")?,
            last_at: time(row, "last_at")?,
            times: row.get("times")?,
        });
    }
    Ok(answers)
}
