//! A new tip to many channels on few connections, against the bare loop.

use crate::child::Protocol;
use crate::client::Miners;
use crate::{fan_out, runtime};

pub(crate) fn run(protocol: Protocol) -> anyhow::Result<()> {
    let runtime = runtime(1)?;
    for distinct in [false, true] {
        let miners = Miners {
            connections: 100,
            channels: 1_000,
            distinct,
        };
        runtime.block_on(fan_out::measure(protocol, miners))?;
    }
    Ok(())
}
