//! Peers that vanish without a word: a rig whose power, Wi-Fi or place in a router's table is gone.
//!
//! Its connection would stay for as long as the system sends again, a quarter of an hour on Linux. TCP asks
//! such a peer whether it is there (RFC 9293, section 3.8.4), and waits no longer for what it does not
//! acknowledge (RFC 5482). One that is there answers without its program's help: an ASIC that says
//! nothing while it tunes itself is kept.
//!
//! Not here: a peer that is there and does not read, whose outbox fills up; on Linux it is let go of too, when it has
//! had no room for so long.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// A peer that has not been heard of for so long is probed.
const PROBE_AFTER: Duration = Duration::from_secs(60);
/// The time between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// So many probes without an answer end a connection.
const PROBES: u32 = 6;
/// What was sent is to be acknowledged within this time: as long as the probes take.
#[cfg(target_os = "linux")]
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(120);

/// Lets the system end the connection about two minutes after its peer was last there.
pub(crate) fn let_go_of_who_vanishes(socket: &TcpStream) -> io::Result<()> {
    let probes = TcpKeepalive::new()
        .with_time(PROBE_AFTER)
        .with_interval(PROBE_EVERY)
        .with_retries(PROBES);
    let socket = SockRef::from(socket);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(ACKNOWLEDGED_WITHIN))?;
    socket.set_tcp_keepalive(&probes)
}
