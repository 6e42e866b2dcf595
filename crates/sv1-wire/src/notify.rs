//! `mining.notify`: a job.

use std::borrow::Cow;

use crate::params::Params;
use crate::value::Value;
use crate::{Fault, MAX_JOB_ID_LEN, hex, json};

/// The most merkle branches that a client takes. ESP-Miner has room for 32, enough for
/// 2^32 transactions.
pub const MAX_MERKLE_BRANCHES: usize = 32;

/// The parameters of `mining.notify`. Hashes are in the byte order of the header and the hash function,
/// not in that of block explorers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify<'a> {
    /// Names the job in `mining.submit`; at most [`MAX_JOB_ID_LEN`] bytes.
    pub job_id: Cow<'a, str>,
    /// Hash of the previous block as it stands in the header. On the wire the bytes of each 4-byte word are
    /// reversed.
    pub prev_hash: [u8; 32],
    /// The coinbase without its witness, up to the extranonce.
    pub coinbase1: Cow<'a, [u8]>,
    /// The coinbase from the end of the extranonce.
    pub coinbase2: Cow<'a, [u8]>,
    /// The hashes that lead from the coinbase's txid to the merkle root.
    pub merkle_branch: Cow<'a, [[u8; 32]]>,
    /// The header's version, before rolling.
    pub version: u32,
    /// The network target in compact form.
    pub bits: u32,
    /// The earliest time that the header may have.
    pub ntime: u32,
    /// Whether all jobs before this one are worthless.
    pub clean_jobs: bool,
}

impl<'a> Notify<'a> {
    pub(crate) fn parse(mut params: Params<'a>) -> Result<Self, Fault> {
        Ok(Self {
            job_id: params.text("job id", MAX_JOB_ID_LEN)?,
            prev_hash: swap_words(parse_hash(params.optional(), "previous hash")?),
            coinbase1: Cow::Owned(params.hex_bytes("coinbase 1")?),
            coinbase2: Cow::Owned(params.hex_bytes("coinbase 2")?),
            merkle_branch: Cow::Owned(parse_branch(params.optional())?),
            version: params.hex_u32("version")?,
            bits: params.hex_u32("bits")?,
            ntime: params.hex_u32("ntime")?,
            clean_jobs: params.optional() == Some(Value::Bool(true)),
        })
    }

    pub(crate) fn push_params(&self, out: &mut Vec<u8>) {
        json::push_str(out, &self.job_id);
        out.push(b',');
        json::push_hex(out, &swap_words(self.prev_hash));
        out.push(b',');
        json::push_hex(out, &self.coinbase1);
        out.push(b',');
        json::push_hex(out, &self.coinbase2);
        out.extend_from_slice(b",[");
        json::push_list(out, self.merkle_branch.iter(), |out, hash| {
            json::push_hex(out, hash);
        });
        out.extend_from_slice(b"],");
        json::push_hex_u32(out, self.version);
        out.push(b',');
        json::push_hex_u32(out, self.bits);
        out.push(b',');
        json::push_hex_u32(out, self.ntime);
        out.push(b',');
        json::push_display(out, self.clean_jobs);
    }
}

/// Reverses the bytes of each 4-byte word.
fn swap_words(mut hash: [u8; 32]) -> [u8; 32] {
    hash.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    hash
}

fn parse_branch(branch: Option<Value<'_>>) -> Result<Vec<[u8; 32]>, Fault> {
    let field = "merkle branch";
    let expected = "a list of at most 32 hashes";
    let hashes = branch.and_then(Value::into_array);
    let hashes = hashes.filter(|hashes| hashes.len() <= MAX_MERKLE_BRANCHES);
    let hashes = hashes.ok_or(Fault::Malformed { field, expected })?;
    let hashes = hashes.into_iter().map(|hash| parse_hash(Some(hash), field));
    hashes.collect()
}

fn parse_hash(hash: Option<Value<'_>>, field: &'static str) -> Result<[u8; 32], Fault> {
    let hash = hash.ok_or(Fault::Missing { field })?;
    let mut bytes = [0; 32];
    hash.into_text()
        .and_then(|text| hex::decode_exact(&text, &mut bytes))
        .ok_or(Fault::Malformed {
            field,
            expected: "64 hexadecimal digits",
        })?;
    Ok(bytes)
}
