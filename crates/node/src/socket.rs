//! What all connections to a node have in common.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// A connection that was silent for so long is probed by TCP, as often as `PROBES` says.
const PROBE_AFTER: Duration = Duration::from_secs(10);
/// The time between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// So many probes without an answer end a connection.
const PROBES: u32 = 3;

/// Lets the system find out that a peer has gone without a word, though nothing is sent to it: a long poll
/// waits for hours, and a publisher has something to say once in ten minutes.
pub(crate) fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let probes = TcpKeepalive::new()
        .with_time(PROBE_AFTER)
        .with_interval(PROBE_EVERY)
        .with_retries(PROBES);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}
