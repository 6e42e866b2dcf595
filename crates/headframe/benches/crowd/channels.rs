//! A new tip to many channels on few connections, against the bare loop.

use crate::fan_out;
use crate::reader::Miners;

pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    for distinct in [false, true] {
        runtime.block_on(fan_out::measure(Miners {
            connections: 100,
            channels: 1_000,
            distinct,
        }))?;
    }
    Ok(())
}
