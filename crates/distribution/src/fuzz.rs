//! Arbitrary frames at sessions of both ends, for the fuzz targets.

use std::sync::Arc;
use std::time::Instant;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash, CompactTarget, ScriptBuf, Txid, Wtxid};
use headframe_sv2_wire::Frame;
use headframe_work::{BlockLimits, Network, Template, TemplateTransaction, UnixTime};

use crate::client::{ClientSession, ClientSettings};
use crate::server::{ServerEvent, ServerSession};
use crate::{CoinbaseConstraints, FittedTemplate};

/// Feeds frames to a client's session.
pub fn fuzz_client(now: Instant, data: &[u8]) {
    let settings = ClientSettings {
        endpoint_host: "localhost".to_owned(),
        endpoint_port: 1,
        vendor: String::new(),
        firmware: String::new(),
        constraints: CoinbaseConstraints::default(),
    };
    let mut session = ClientSession::new(now, &settings).expect("the texts are short");
    let mut rest = data;
    while let Some((frame, behind)) = Frame::split(rest) {
        rest = behind;
        if session.handle_frame(now, frame).is_err() {
            return;
        }
        while session.poll_transmit().is_some() || session.poll_event().is_some() {}
    }
}

/// Feeds frames to a provider's session, which has a template to give.
pub fn fuzz_server(now: Instant, data: &[u8]) {
    let template = Arc::new(template());
    let mut session = ServerSession::new(now, 1);
    let mut rest = data;
    while let Some((frame, behind)) = Frame::split(rest) {
        rest = behind;
        if session.handle_frame(now, frame).is_err() {
            return;
        }
        while let Some(event) = session.poll_event() {
            if let ServerEvent::Constraints(constraints) = event {
                let Ok(fitted) = FittedTemplate::new(&template, constraints) else {
                    return;
                };
                session.offer(now, &Arc::new(fitted), UnixTime::from_secs(1));
            }
        }
        while session.poll_transmit().is_some() {}
    }
}

/// A template with a transaction that is none, so that one which has to be cut is refused.
fn template() -> Template {
    let transaction = TemplateTransaction {
        data: vec![1; 60],
        txid: Txid::from_byte_array([1; 32]),
        wtxid: Wtxid::from_byte_array([2; 32]),
        fee: Amount::from_sat(700),
        sigops: 1,
        weight: 240,
    };
    Template {
        network: Network::Regtest,
        height: 200,
        version: 0x2000_0000,
        fixed_version_bits: 0,
        prev_hash: BlockHash::from_byte_array([3; 32]),
        bits: CompactTarget::from_consensus(0x207f_ffff),
        min_time: UnixTime::from_secs(1),
        current_time: UnixTime::from_secs(2),
        coinbase_value: Amount::from_sat(5_000),
        coinbase_sequence: 0xffff_fffe,
        coinbase_lock_time: 199,
        transactions: vec![transaction],
        witness_commitment: Some(ScriptBuf::from_bytes(vec![0x6a; 38])),
        limits: BlockLimits::default(),
    }
}
