//! Under which address miners in the same network reach this computer.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;

/// The addresses of this computer that others can reach, as far as that can be known. Inside a
/// container there are none: its own address is of no use outside.
pub(crate) fn hosts() -> Vec<String> {
    let is_container = ["/.dockerenv", "/run/.containerenv"];
    if is_container.iter().any(|path| Path::new(path).exists()) {
        return Vec::new();
    }
    outgoing_address()
        .map(|address| address.to_string())
        .into_iter()
        .collect()
}

/// The address that packets to the outside would carry. Connecting a UDP socket sends nothing; it
/// only asks the routing table. 192.0.2.1 is reserved for documentation (RFC 5737).
fn outgoing_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect(SocketAddr::from(([192, 0, 2, 1], 9))).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}
