//! `mining.submit`: a share.

use std::borrow::Cow;

use crate::json;
use crate::params::{Params, parse_hex_u32};
use crate::{Extranonce, Fault};

/// The longest worker name in bytes. An address, a dot and a label need about 100.
pub const MAX_WORKER_NAME_LEN: usize = 255;

/// The longest job id in bytes. Ours are far shorter; the bound keeps a foreign one small.
pub const MAX_JOB_ID_LEN: usize = 64;

/// Without the bits of the version, which not every device rolls.
const LEAST_PARAMS: usize = 5;

/// The parameters of `mining.submit`: five of them, or six with version rolling (BIP310).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit<'a> {
    /// Who found the share: a name authorised before, at most [`MAX_WORKER_NAME_LEN`] bytes.
    pub worker: Cow<'a, str>,
    /// The job's id as `mining.notify` gave it, at most [`MAX_JOB_ID_LEN`] bytes.
    pub job_id: Cow<'a, str>,
    /// The part of the extranonce that the miner chose. Its length is not checked against the
    /// subscription here.
    pub extranonce2: Extranonce,
    /// The header's time.
    pub ntime: u32,
    /// The header's nonce.
    pub nonce: u32,
    /// The bits that the miner changed in the job's version, within the negotiated mask: the header's
    /// version is `job & !mask | bits & mask` (BIP310). Some devices send them without having asked.
    pub version_bits: Option<u32>,
}

impl<'a> Submit<'a> {
    pub(crate) fn parse(mut params: Params<'a>) -> Result<Self, Fault> {
        if !params.is_list() {
            return Err(Fault::NoList);
        }
        if params.len() < LEAST_PARAMS {
            return Err(Fault::TooFew);
        }
        Ok(Self {
            worker: params.text("username", MAX_WORKER_NAME_LEN)?,
            job_id: params.text("job_id", MAX_JOB_ID_LEN)?,
            extranonce2: params.extranonce("nonce2")?,
            ntime: params.hex_u32("ntime")?,
            nonce: params.hex_u32("nonce")?,
            version_bits: parse_version_bits(&mut params)?,
        })
    }

    pub(crate) fn push_params(&self, out: &mut Vec<u8>) {
        json::push_str(out, &self.worker);
        out.push(b',');
        json::push_str(out, &self.job_id);
        out.push(b',');
        json::push_hex(out, self.extranonce2.as_bytes());
        out.push(b',');
        json::push_hex_u32(out, self.ntime);
        out.push(b',');
        json::push_hex_u32(out, self.nonce);
        if let Some(bits) = self.version_bits {
            out.push(b',');
            json::push_hex_u32(out, bits);
        }
    }
}

/// An absent, null or empty sixth parameter is none.
fn parse_version_bits(params: &mut Params<'_>) -> Result<Option<u32>, Fault> {
    let field = "version bits";
    let Some(value) = params.optional() else {
        return Ok(None);
    };
    let text = value.into_text().ok_or(Fault::Malformed {
        field,
        expected: "a string",
    })?;
    if text.is_empty() {
        return Ok(None);
    }
    parse_hex_u32(&text, field).map(Some)
}
