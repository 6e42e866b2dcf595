//! How values stand in columns.

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash};
use headframe_work::{UnixTime, Work};
use rusqlite::Row;

use super::error::Failure;
use crate::sums::{Kind, MAX_COUNT};
use crate::{BestShare, Tally};

pub(super) type Blob16 = [u8; 16];
pub(super) type Blob32 = [u8; 32];

pub(super) const fn work_of_blob(blob: Blob16) -> Work {
    Work::from_units(u128::from_be_bytes(blob))
}

pub(super) const fn work_blob(work: Work) -> Blob16 {
    work.units().to_be_bytes()
}

/// Counts are kept below 2^63 everywhere.
pub(super) fn count_column(count: u64) -> i64 {
    count.min(MAX_COUNT).cast_signed()
}

/// A limit of rows; SQLite takes a signed one.
pub(super) fn limit_column(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn time(row: &Row<'_>, column: &str) -> Result<UnixTime, Failure> {
    Ok(UnixTime::from_secs(row.get(column)?))
}

pub(super) fn optional_time(row: &Row<'_>, column: &str) -> Result<Option<UnixTime>, Failure> {
    Ok(row.get::<_, Option<u32>>(column)?.map(UnixTime::from_secs))
}

/// The columns `kind`, `count` and `work`.
pub(super) fn tally(row: &Row<'_>) -> Result<(Kind, Tally), Failure> {
    let code: String = row.get("kind")?;
    let kind = Kind::from_code(&code).ok_or_else(|| Failure::Damaged(format!("kind {code:?}")))?;
    let count = u64::try_from(row.get::<_, i64>("count")?)
        .map_err(|_| Failure::damaged("negative count"))?;
    let work = work_of_blob(row.get("work")?);
    Ok((kind, Tally { count, work }))
}

/// Satoshi in a column of this name, if there are any.
pub(super) fn optional_amount(row: &Row<'_>, column: &str) -> Result<Option<Amount>, Failure> {
    let satoshi: Option<i64> = row.get(column)?;
    let amount = |satoshi| u64::try_from(satoshi).map(Amount::from_sat);
    let amount = satoshi.map(amount).transpose();
    amount.map_err(|_| Failure::damaged("negative amount"))
}

/// The hash as a number's big-endian bytes: the order in which people read it and SQLite sorts it.
pub(super) fn hash_column(hash: BlockHash) -> Blob32 {
    let mut bytes = hash.to_byte_array();
    bytes.reverse();
    bytes
}

pub(super) fn hash(row: &Row<'_>, column: &str) -> Result<BlockHash, Failure> {
    let mut bytes: Blob32 = row.get(column)?;
    bytes.reverse();
    Ok(BlockHash::from_byte_array(bytes))
}

/// The columns `best_hash` and `best_at`, both or none.
pub(super) fn best(row: &Row<'_>) -> Result<Option<BestShare>, Failure> {
    let rank: Option<Blob32> = row.get("best_hash")?;
    let at = optional_time(row, "best_at")?;
    Ok(rank
        .zip(at)
        .map(|(rank, at)| BestShare::from_rank(rank, at)))
}
