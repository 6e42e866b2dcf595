//! The header by which a proxy says whose connection it passes on: the PROXY protocol, versions 1 and
//! 2 (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2).
//!
//! Read only where the operator listed the sender, and demanded there: the protocol forbids to guess
//! (section 2). What follows the addresses in version 2 (TLVs, a checksum) is passed over.
//!
//! Our own reader and no library's: two fixed forms that will not change, in less code than the glue
//! to a crate that allocates.

use core::str::FromStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// Bytes of a header of version 2. Proxies keep it within one segment (536 bytes, section 2.2);
/// this leaves room for the particulars of a client's certificate.
pub const PROXY_HEADER_LIMIT: usize = 2048;

/// Bytes of a header of version 1, its line end included (section 2.1).
const LONGEST_LINE: usize = 107;

const V1: &[u8] = b"PROXY ";
const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, length.
const V2_HEAD: usize = 16;

/// A header that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProxyHeader {
    /// Its bytes.
    pub(crate) len: usize,
    /// Who connected to the proxy; `None` when the proxy speaks for itself or does not know.
    pub(crate) source: Option<SocketAddr>,
}

/// Bytes that are no PROXY header. The proxy's or its operator's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProxyHeaderError {
    /// The connection begins with something else.
    #[error("it begins without a PROXY header, which pool.proxy_protocol_from demands of it")]
    Missing,
    /// The header cannot be read.
    #[error("its PROXY header cannot be read: {0}")]
    Malformed(&'static str),
}

/// Reads the header at the beginning of `bytes`; `None` while it may still become one.
pub(crate) fn read_proxy_header(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    if begins_as(bytes, V1) {
        return read_line(bytes);
    }
    match begins_as(bytes, V2) {
        true => read_binary(bytes),
        false => Err(ProxyHeaderError::Missing),
    }
}

/// Whether `bytes` begin as `start` does, as far as either goes.
pub(crate) fn begins_as(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, start)| byte == start)
}

/// What no header can do without, so that one is known from bytes that nobody asked it of.
pub(crate) const UNMISTAKABLE: [&[u8]; 4] = [V2, b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN"];

fn read_line(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let window = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return match window.len() {
            LONGEST_LINE => Err(ProxyHeaderError::Malformed("a line of more than 107 bytes")),
            _ => Ok(None),
        };
    };
    let line = core::str::from_utf8(&window[..end]);
    let line = line.map_err(|_| ProxyHeaderError::Malformed("a line that is no text"))?;
    let source = match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", "TCP4", source, target, ports @ ..] => {
            endpoint::<Ipv4Addr>(source, target, ports).map(Some)?
        }
        ["PROXY", "TCP6", source, target, ports @ ..] => {
            endpoint::<Ipv6Addr>(source, target, ports).map(Some)?
        }
        _ => {
            return Err(ProxyHeaderError::Malformed(
                "neither TCP4, TCP6 nor UNKNOWN",
            ));
        }
    };
    Ok(Some(ProxyHeader {
        len: end + 2,
        source,
    }))
}

/// The source of a line whose addresses are of kind `A`; the target has to be one as well.
fn endpoint<A: FromStr + Into<IpAddr>>(
    source: &str,
    target: &str,
    ports: &[&str],
) -> Result<SocketAddr, ProxyHeaderError> {
    let address = |text: &str| text.parse::<A>().ok().map(Into::into);
    let [from, to] = ports else {
        return Err(ProxyHeaderError::Malformed("a line without its two ports"));
    };
    match (address(source), address(target), port(from), port(to)) {
        (Some(source), Some(_), Some(port), Some(_)) => Ok(canonical(source, port)),
        _ => Err(ProxyHeaderError::Malformed(
            "an address or a port that is none",
        )),
    }
}

/// Decimal digits and nothing else: not `+80`, not `080`.
fn port(text: &str) -> Option<u16> {
    let is_plain = text == "0" || (!text.starts_with('0') && !text.starts_with('+'));
    is_plain.then(|| text.parse().ok()).flatten()
}

fn read_binary(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    let Some(&[.., command, family, l0, l1]) = bytes.first_chunk::<V2_HEAD>() else {
        return Ok(None);
    };
    let len = V2_HEAD + usize::from(u16::from_be_bytes([l0, l1]));
    if len > PROXY_HEADER_LIMIT {
        return Err(ProxyHeaderError::Malformed(
            "it announces more than 2048 bytes",
        ));
    }
    if command != LOCAL && command != PROXY {
        return Err(ProxyHeaderError::Malformed(
            "neither LOCAL nor PROXY of version 2",
        ));
    }
    let Some(addresses) = bytes.get(V2_HEAD..len) else {
        return Ok(None);
    };
    let source = match command {
        LOCAL => None,
        _ => read_source(family, addresses)?,
    };
    Ok(Some(ProxyHeader { len, source }))
}

/// The source in the address block, whose numbers are big endian: both addresses, then both ports.
fn read_source(family: u8, block: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    const SHORT: ProxyHeaderError = ProxyHeaderError::Malformed("too short for its addresses");
    match family {
        // Not known to the proxy, and sockets of Unix, which have no address of ours.
        0x00 | 0x31 | 0x32 => Ok(None),
        0x11 => {
            let block: &[u8; 12] = block.first_chunk().ok_or(SHORT)?;
            let [a, b, c, d, _, _, _, _, p0, p1, _, _] = *block;
            let port = u16::from_be_bytes([p0, p1]);
            Ok(Some(canonical(Ipv4Addr::new(a, b, c, d).into(), port)))
        }
        0x21 => {
            let block: &[u8; 36] = block.first_chunk().ok_or(SHORT)?;
            let (address, rest): (&[u8; 16], _) = block.split_first_chunk().ok_or(SHORT)?;
            let &[p0, p1, _, _] = rest.last_chunk().ok_or(SHORT)?;
            let port = u16::from_be_bytes([p0, p1]);
            Ok(Some(canonical(Ipv6Addr::from(*address).into(), port)))
        }
        _ => Err(ProxyHeaderError::Malformed("not of a TCP connection")),
    }
}

/// An IPv4 address that is written as IPv6 is one of IPv4.
fn canonical(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

/// The body of a fuzz target: what is read of a beginning stays true however much follows.
///
/// # Panics
///
/// If it does not.
pub fn fuzz_proxy_header(bytes: &[u8]) {
    let whole = read_proxy_header(bytes);
    if let Ok(Some(header)) = whole {
        assert!(header.len <= bytes.len() && header.len <= PROXY_HEADER_LIMIT);
        assert_eq!(read_proxy_header(&bytes[..header.len]), whole);
        assert_eq!(read_proxy_header(&bytes[..header.len - 1]), Ok(None));
    }
    for len in 0..bytes.len().min(V2_HEAD + LONGEST_LINE) {
        let early = read_proxy_header(&bytes[..len]);
        assert!(early == Ok(None) || early == whole);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(bytes: &[u8]) -> ProxyHeader {
        read_proxy_header(bytes).unwrap().unwrap()
    }

    fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let len = u16::try_from(block.len()).unwrap().to_be_bytes();
        [V2, &[command, family][..], &len, block].concat()
    }

    fn block_v4() -> Vec<u8> {
        // 203.0.113.7:0x1234 to 198.51.100.1:3333
        vec![203, 0, 113, 7, 198, 51, 100, 1, 0x12, 0x34, 13, 5]
    }

    /// The examples of section 2.1, and the ends of what it allows.
    #[test]
    fn a_line_names_the_source() {
        let table: [(&str, Option<&str>); 6] = [
            (
                "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
                Some("255.255.255.255:65535"),
            ),
            (
                "PROXY TCP6 ffff:f:ffff:ffff:ffff:ffff:ffff:ffff ffff:f:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                Some("[ffff:f:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
            ),
            ("PROXY UNKNOWN\r\n", None),
            (
                "PROXY UNKNOWN ffff:f:ffff:ffff:ffff:ffff:ffff:ffff ffff:f:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                None,
            ),
            (
                "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
                Some("192.168.0.1:56324"),
            ),
            (
                "PROXY TCP6 ::ffff:203.0.113.7 ::1 0 443\r\n",
                Some("203.0.113.7:0"),
            ),
        ];
        for (line, source) in table {
            let followed = [line.as_bytes(), b"{\"id\":1}\n"].concat();
            let read = header(&followed);
            assert_eq!(read.len, line.len());
            assert_eq!(read.source, source.map(|text| text.parse().unwrap()));
            for len in 0..line.len() {
                assert_eq!(
                    read_proxy_header(&line.as_bytes()[..len]),
                    Ok(None),
                    "{len}"
                );
            }
        }
    }

    #[test]
    fn a_line_that_is_not_exact_is_refused() {
        for line in [
            "PROXY TCP4 203.0.113.7 198.51.100.1 80\r\n",
            "PROXY TCP4 203.0.113.7 198.51.100.1 80 80 80\r\n",
            "PROXY TCP4  203.0.113.7 198.51.100.1 80 80\r\n",
            "PROXY TCP4 203.0.113.7 198.51.100.1 80 65536\r\n",
            "PROXY TCP4 203.0.113.7 198.51.100.1 080 80\r\n",
            "PROXY TCP4 203.0.113.7 198.51.100.1 +80 80\r\n",
            "PROXY TCP4 203.0.113.07 198.51.100.1 80 80\r\n",
            "PROXY TCP4 ::1 ::1 80 80\r\n",
            "PROXY TCP6 203.0.113.7 198.51.100.1 80 80\r\n",
            "PROXY UDP4 203.0.113.7 198.51.100.1 80 80\r\n",
            "PROXY \r\n",
        ] {
            let read = read_proxy_header(line.as_bytes());
            assert!(
                matches!(read, Err(ProxyHeaderError::Malformed(_))),
                "{line}"
            );
        }
        let endless = [V1, &[b'U'; 200]].concat();
        assert_eq!(read_proxy_header(&endless[..LONGEST_LINE - 1]), Ok(None));
        assert!(read_proxy_header(&endless[..LONGEST_LINE]).is_err());
    }

    #[test]
    fn a_binary_header_names_the_source() {
        let v4 = header(&binary(0x21, 0x11, &block_v4()));
        assert_eq!(v4.source, Some("203.0.113.7:4660".parse().unwrap()));
        let with_tlv = [block_v4(), vec![4, 0, 3, 1, 2, 3]].concat();
        let bytes = binary(0x21, 0x11, &with_tlv);
        assert_eq!(header(&bytes).len, bytes.len());
        assert_eq!(header(&bytes).source, v4.source);
        let mut v6 = vec![0; 36];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        v6[32..34].copy_from_slice(&[0x12, 0x34]);
        let source = header(&binary(0x21, 0x21, &v6)).source;
        assert_eq!(source, Some("[2001:db8::]:4660".parse().unwrap()));
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_or_does_not_know_names_nobody() {
        for (command, family, block) in [
            (0x20, 0x00, vec![]),
            // The family of a LOCAL header is not looked at.
            (0x20, 0x11, block_v4()),
            (0x20, 0xff, vec![1, 2, 3]),
            (0x21, 0x00, vec![]),
            (0x21, 0x31, vec![0; 216]),
        ] {
            assert_eq!(header(&binary(command, family, &block)).source, None);
        }
    }

    #[test]
    fn a_binary_header_that_is_not_exact_is_refused() {
        for (command, family, block) in [
            (0x11, 0x11, block_v4()),
            (0x22, 0x11, block_v4()),
            (0x21, 0x12, block_v4()),
            (0x21, 0x41, block_v4()),
            (0x21, 0x11, vec![0; 11]),
            (0x21, 0x21, vec![0; 35]),
        ] {
            let read = read_proxy_header(&binary(command, family, &block));
            assert!(matches!(read, Err(ProxyHeaderError::Malformed(_))));
        }
        let room = PROXY_HEADER_LIMIT - V2_HEAD;
        assert!(read_proxy_header(&binary(0x20, 0, &vec![0; room])).is_ok());
        let long = binary(0x20, 0, &vec![0; room + 1]);
        assert!(read_proxy_header(&long[..V2_HEAD]).is_err());
    }

    #[test]
    fn what_is_no_header_is_told_at_its_first_byte() {
        for bytes in [
            &b"{\"id\":1}"[..],
            b"PROXX",
            b"\r\n\r\n\0\r\nQUIT!",
            &[0x16, 3, 1],
        ] {
            assert_eq!(read_proxy_header(bytes), Err(ProxyHeaderError::Missing));
        }
        assert_eq!(read_proxy_header(&[]), Ok(None));
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(bytes in prop::collection::vec(any::<u8>(), 0..300), start in 0..3_usize) {
            let start = [&b""[..], V1, V2][start];
            fuzz_proxy_header(&[start, &bytes].concat());
        }

        #[test]
        fn one_wrong_byte_breaks_nothing(place in 0..28_usize, byte: u8) {
            let mut bytes = binary(0x21, 0x11, &block_v4());
            bytes[place] = byte;
            fuzz_proxy_header(&bytes);
        }
    }
}
