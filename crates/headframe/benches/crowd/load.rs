//! A swarm that loads the pool of the bench.

use std::future::pending;
use std::net::IpAddr;

use anyhow::ensure;
use headframe_miner::{SwarmReport, SwarmSettings, run_swarm};
use headframe_testkit::address;

use crate::child::{Child, Protocol};

/// Names, and so rows of the ledger.
pub(crate) const WORKERS: u64 = 50;
/// Addresses of the loopback that the connections come from.
const SOURCES: u8 = 8;

/// So many connections, whose cost to the pool is read.
pub(crate) fn swarm(
    pool: &Child,
    protocol: Protocol,
    connections: usize,
) -> anyhow::Result<SwarmSettings> {
    let sources = (1..=SOURCES).map(|it| IpAddr::from([127, 0, 0, it]));
    Ok(SwarmSettings {
        connections,
        users: (0..WORKERS).map(|it| address(it).to_string()).collect(),
        sources: sources.collect(),
        pid: Some(pool.pid()),
        ..SwarmSettings::new(pool.url(protocol)?, "")
    })
}

/// Loads the pool. No connection may be lost, and the swarm has to find its shares in time.
pub(crate) async fn load(settings: SwarmSettings) -> anyhow::Result<SwarmReport> {
    let report = run_swarm(settings, None, |_| {}, pending()).await?;
    let is_whole = report.failed + report.lost == 0 && report.shares.not_found_in_time == 0;
    ensure!(is_whole, "the load was another: {}", report.to_json());
    Ok(report)
}
