//! Templates with real transactions, and messages in and out of sessions.

use std::sync::Arc;
use std::time::Instant;

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut,
    Txid, Witness,
};
use headframe_distribution::CoinbaseConstraints;
use headframe_distribution::client::{ClientSession, ClientSettings};
use headframe_distribution::server::ServerSession;
use headframe_sv2_wire::common::SetupConnection;
use headframe_sv2_wire::template_distribution::CoinbaseOutputConstraints;
use headframe_sv2_wire::{Frame, Message, Protocol, Str255, try_write_frame};
use headframe_work::{
    BlockLimits, Network, Template, TemplateTransaction, UnixTime, witness_commitment,
};

pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
pub(crate) const FEE: Amount = Amount::from_sat(700);

/// A transaction that spends `parent`, with a witness of `padding` bytes.
pub(crate) fn transaction(parent: OutPoint, padding: usize, sigops: u32) -> TemplateTransaction {
    let transaction = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: parent,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[vec![7; padding]]),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(1_000),
            script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
        }],
    };
    TemplateTransaction {
        data: serialize(&transaction),
        txid: transaction.compute_txid(),
        wtxid: transaction.compute_wtxid(),
        fee: FEE,
        sigops,
        weight: transaction.weight().to_wu() as u32,
    }
}

/// An output that no block has.
pub(crate) fn coin(number: u32) -> OutPoint {
    OutPoint::new(Txid::from_byte_array([9; 32]), number)
}

/// A template on the tip `tip` with these transactions. Every second hash is a block.
pub(crate) fn template(tip: u8, transactions: Vec<TemplateTransaction>) -> Arc<Template> {
    let fees: Amount = transactions.iter().map(|tx| tx.fee).sum();
    let height = 200 + u32::from(tip);
    Arc::new(Template {
        network: Network::Regtest,
        height,
        version: 0x2000_0000,
        fixed_version_bits: 0,
        prev_hash: BlockHash::from_byte_array([tip; 32]),
        bits: CompactTarget::from_consensus(0x207f_ffff),
        min_time: UnixTime::from_secs(NOW.as_secs() - 1_000),
        current_time: NOW,
        coinbase_value: Network::Regtest.subsidy(height) + fees,
        coinbase_sequence: 0xffff_fffe,
        coinbase_lock_time: height - 1,
        witness_commitment: Some(witness_commitment(transactions.iter().map(|tx| tx.wtxid))),
        transactions,
        limits: BlockLimits::default(),
    })
}

/// As many transactions, none of which needs another.
pub(crate) fn transactions(count: u32) -> Vec<TemplateTransaction> {
    (0..count).map(|n| transaction(coin(n), 100, 4)).collect()
}

pub(crate) fn frame<'a>(message: &impl Message<'a>) -> Vec<u8> {
    let mut bytes = Vec::new();
    try_write_frame(message, &mut bytes).unwrap();
    bytes
}

/// The one frame of these bytes.
pub(crate) fn read(bytes: &[u8]) -> Frame<'_> {
    let (frame, rest) = Frame::split(bytes).unwrap();
    assert!(rest.is_empty());
    frame
}

/// The types of the messages that a session has to send.
pub(crate) fn types(frames: &[Vec<u8>]) -> Vec<u8> {
    let types = frames
        .iter()
        .map(|bytes| read(bytes).header().message_type());
    types.collect()
}

pub(crate) fn setup(protocol: Protocol, versions: (u16, u16), flags: u32) -> Vec<u8> {
    frame(&SetupConnection {
        protocol,
        min_version: versions.0,
        max_version: versions.1,
        flags,
        endpoint_host: Str255::new("localhost").unwrap(),
        endpoint_port: 8442,
        vendor: Str255::new("test").unwrap(),
        hardware_version: Str255::default(),
        firmware: Str255::new("1").unwrap(),
        device_id: Str255::default(),
    })
}

pub(crate) fn constraints(size: u32, sigops: u16) -> Vec<u8> {
    frame(&CoinbaseOutputConstraints {
        coinbase_output_max_additional_size: size,
        coinbase_output_max_additional_sigops: sigops,
    })
}

/// What a server session says.
pub(crate) fn said(session: &mut ServerSession) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| session.poll_transmit()).collect()
}

/// A client session at its beginning.
pub(crate) fn client(now: Instant) -> ClientSession {
    let settings = ClientSettings {
        endpoint_host: "provider.example".to_owned(),
        endpoint_port: 8442,
        vendor: "headframe".to_owned(),
        firmware: "test".to_owned(),
        constraints: CoinbaseConstraints {
            size: 153,
            sigops: 12,
        },
    };
    ClientSession::new(now, &settings).unwrap()
}
