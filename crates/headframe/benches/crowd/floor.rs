//! What parts of a share's road cost alone.

use std::fs;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

use anyhow::Context as _;
use bitcoin::hashes::Hash as _;
use headframe_work::{Header, UnixTime};

use crate::bare::merkle_root;
use crate::spread::Spread;

/// Microseconds of one of `count` things that wait for nobody, the median of several tries.
pub(crate) fn time(
    count: usize,
    mut things: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let mut taken = Spread::default();
    for _ in 0..101 {
        let began = Instant::now();
        things()?;
        taken.add(began.elapsed().as_secs_f64() * 1e6 / count as f64);
    }
    Ok(taken.median())
}

/// Microseconds of processor time that this thread has used, to a few thousand.
pub(crate) fn cpu() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: u64 = stat.split(' ').next().context("a figure")?.parse()?;
    Ok(nanoseconds as f64 / 1e3)
}

/// The hash of a header.
pub(crate) fn hash_header() -> anyhow::Result<f64> {
    const COUNT: u32 = 1_000;
    let mut header = header();
    time(COUNT as usize, || {
        for nonce in 0..COUNT {
            header.nonce = nonce;
            black_box(black_box(&header).hash());
        }
        Ok(())
    })
}

/// The hashes of a share with a coinbase: its own, those of its branches, and its header's.
pub(crate) fn hash_extended() -> anyhow::Result<f64> {
    const COUNT: usize = 100;
    let mut header = header();
    time(COUNT, || {
        for number in 0..COUNT {
            header.merkle_root = merkle_root(black_box(number));
            black_box(black_box(&header).hash());
        }
        Ok(())
    })
}

/// Some header.
pub(crate) fn header() -> Header {
    Header {
        version: 0x2000_0000,
        prev_hash: bitcoin::BlockHash::all_zeros(),
        merkle_root: [7; 32],
        time: UnixTime::from_secs(1_800_000_000),
        bits: bitcoin::CompactTarget::from_consensus(0x1b00_ffff),
        nonce: 0,
    }
}

/// One read of `asked` bytes and one write of `answered`, on the loopback, where so many connections take
/// turns.
pub(crate) fn calls(connections: usize, asked: usize, answered: usize) -> anyhow::Result<f64> {
    const COUNT: usize = 200;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut pairs = Vec::new();
    for _ in 0..connections {
        let client = TcpStream::connect(listener.local_addr()?)?;
        pairs.push((client, listener.accept()?.0));
    }
    let (asked, answered) = (vec![0; asked], vec![0; answered]);
    let mut buffer = vec![0; asked.len().max(answered.len())];
    let mut taken = Spread::default();
    for number in 0..COUNT.max(connections) {
        let (client, server) = &mut pairs[number % connections];
        client.write_all(&asked)?;
        let began = Instant::now();
        server.read_exact(&mut buffer[..asked.len()])?;
        server.write_all(&answered)?;
        // Neither waits for anybody.
        taken.add(began.elapsed().as_secs_f64() * 1e6);
        client.read_exact(&mut buffer[..answered.len()])?;
    }
    Ok(taken.median())
}
