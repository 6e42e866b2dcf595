//! Which addresses are near.

use std::net::{IpAddr, Ipv6Addr};

/// Whether an address is loopback, link-local or of a private network (RFC 1918, RFC 3927, RFC 4193),
/// also when it is an IPv4 address written as IPv6.
pub fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || is_private_v6(v6),
    }
}

const fn is_private_v6(address: Ipv6Addr) -> bool {
    address.is_unique_local() || address.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_ranges_and_their_neighbours() {
        let near = [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.1.1",
            "::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "::ffff:192.168.1.1",
        ];
        let far = [
            "0.0.0.0",
            "11.0.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.169.0.1",
            "100.64.0.1",
            "8.8.8.8",
            "::",
            "2001:db8::1",
            "fe00::1",
            "::ffff:8.8.8.8",
        ];
        for text in near {
            assert!(is_local(text.parse().unwrap()), "{text}");
        }
        for text in far {
            assert!(!is_local(text.parse().unwrap()), "{text}");
        }
    }
}
