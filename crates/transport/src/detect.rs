//! Which protocol a connection speaks, from its first bytes.
//!
//! The first 64 bytes of a Noise connection are indistinguishable from random ones, so they may look
//! like anything; all that can be done is to ask so much of the others that it never happens. The
//! chance that 64 random bytes are taken for something else:
//!
//! | taken for | what it asks of random bytes | at most |
//! | --- | --- | --- |
//! | Stratum V1 | `{`, then 31 bytes of text; or `{`, 19 or more bytes of text, a line feed | 2^-41.5 |
//! | TLS | two lengths that agree, four fixed bytes | 2^-50 |
//! | Stratum V2 in clear | three zero bytes, a possible length, two versions below 256 | 2^-53 |
//! | a PROXY header | the 11 to 13 bytes that it begins with | 2^-86 |
//!
//! The sum stays below 2^-40; a test computes it from the constants of this file. An SV1 client is
//! recognised by its first line, however short: the shortest request there can be,
//! `{"id":1,"method":""}`, has 20 bytes and a line feed.

use core::ops::RangeInclusive;

use headframe_sv2_noise::ACT1_LEN;

use crate::proxy_header::{UNMISTAKABLE, begins_as};

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detected {
    /// Too few bytes to say.
    Undecided,
    /// Stratum V1: lines of JSON, after so many bytes of byte order mark and white space.
    Sv1 { skip: usize },
    /// A TLS ClientHello.
    Tls,
    /// A PROXY header, which is not to be believed here.
    ProxyHeader,
    /// A SetupConnection that was not encrypted.
    PlainSv2,
    /// Whatever is nothing else: the first 64 bytes are act 1 of a Noise handshake.
    Noise,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// This many bytes of text from the opening brace are JSON.
const TEXT: usize = 32;

/// A line of at least this many bytes, its end included, is JSON though it is shorter than [`TEXT`].
const SHORTEST_LINE: usize = 21;

/// Payload lengths that a SetupConnection can have.
const SETUP_CONNECTION: RangeInclusive<usize> = 16..=1291;

/// Looks at the bytes that have arrived so far.
pub(crate) fn detect(bytes: &[u8]) -> Detected {
    let verdicts = [
        detect_sv1(bytes),
        detect_tls(bytes),
        detect_plain_sv2(bytes),
        detect_proxy_header(bytes),
    ];
    verdicts
        .into_iter()
        .find(|verdict| *verdict != Detected::Noise)
        .map_or(Detected::Noise, |verdict| match verdict {
            Detected::Undecided if bytes.len() >= ACT1_LEN => Detected::Noise,
            verdict => verdict,
        })
}

fn detect_sv1(bytes: &[u8]) -> Detected {
    let unmarked = match bytes.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => rest,
        None if BYTE_ORDER_MARK.starts_with(bytes) => return Detected::Undecided,
        None => bytes,
    };
    let text = unmarked.trim_ascii_start();
    match text.first() {
        None => return Detected::Undecided,
        Some(b'{') => {}
        Some(_) => return Detected::Noise,
    }
    let run = text
        .iter()
        .take(TEXT)
        .take_while(|byte| is_text(**byte))
        .count();
    let line_end = text[..run]
        .iter()
        .skip(SHORTEST_LINE - 1)
        .any(|byte| *byte == b'\n');
    match (run == TEXT || line_end, run == text.len()) {
        (true, _) => Detected::Sv1 {
            skip: bytes.len() - text.len(),
        },
        (false, true) => Detected::Undecided,
        (false, false) => Detected::Noise,
    }
}

const fn is_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')
}

/// A record (type 22, version 3.x, length U16) that holds a ClientHello (type 1, length U24) and
/// nothing else, big endian (RFC 8446 sections 4 and 5.1).
fn detect_tls(bytes: &[u8]) -> Detected {
    const FIXED: [(usize, u8); 4] = [(0, 22), (1, 3), (5, 1), (6, 0)];
    let fits = |(place, value): &(usize, u8)| bytes.get(*place).is_none_or(|byte| byte == value);
    if !FIXED.iter().all(fits) || bytes.get(2).is_some_and(|minor| *minor > 4) {
        return Detected::Noise;
    }
    let Some(&[_, _, _, r0, r1, _, _, h0, h1]) = bytes.first_chunk() else {
        return Detected::Undecided;
    };
    let (record, hello) = (u16::from_be_bytes([r0, r1]), u16::from_be_bytes([h0, h1]));
    match hello.checked_add(4) == Some(record) {
        true => Detected::Tls,
        false => Detected::Noise,
    }
}

/// A header (extension 0, message 0, length U24) and the two versions behind the subprotocol's byte,
/// little endian.
fn detect_plain_sv2(bytes: &[u8]) -> Detected {
    const ZERO: [usize; 6] = [0, 1, 2, 5, 8, 10];
    if ZERO
        .iter()
        .any(|place| bytes.get(*place).is_some_and(|byte| *byte != 0))
    {
        return Detected::Noise;
    }
    let Some(&[_, _, _, l0, l1, _, _, _, _, _, _]) = bytes.first_chunk() else {
        return Detected::Undecided;
    };
    match SETUP_CONNECTION.contains(&usize::from(u16::from_le_bytes([l0, l1]))) {
        true => Detected::PlainSv2,
        false => Detected::Noise,
    }
}

/// Where no proxy is listed its header would look like a Noise client that never goes on.
fn detect_proxy_header(bytes: &[u8]) -> Detected {
    let start = UNMISTAKABLE.iter().find(|start| begins_as(bytes, start));
    match start {
        Some(start) if bytes.len() >= start.len() => Detected::ProxyHeader,
        Some(_) => Detected::Undecided,
        None => Detected::Noise,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headframe_sv2_noise::{Initiator, NoiseKey, Trust};
    use proptest::prelude::*;
    use tokio_rustls::rustls::version::{TLS12, TLS13};
    use tokio_rustls::rustls::{
        ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, crypto,
    };

    use super::*;

    const SUBSCRIBE: &[u8] = b"{\"id\": 1, \"method\": \"mining.subscribe\", \"params\": []}\n";
    const SETUP: &[u8] =
        b"\0\0\0\x1d\0\0\0\x02\0\x02\0\0\0\0\0\x09localhost\x05\x0d\x03KAT\x01h\0\0";

    fn client_hello() -> Vec<u8> {
        let mut hello = vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
        hello.resize(517, 0xaa);
        hello
    }

    /// The verdict that bytes come to when they arrive one by one, and after how many.
    fn dribbled(bytes: &[u8]) -> (Detected, usize) {
        let at = |len: usize| detect(&bytes[..len]);
        let len = (0..=bytes.len()).find(|len| at(*len) != Detected::Undecided);
        len.map_or((Detected::Undecided, bytes.len()), |len| (at(len), len))
    }

    #[test]
    fn each_protocol_is_told_from_its_first_bytes() {
        assert_eq!(dribbled(SUBSCRIBE), (Detected::Sv1 { skip: 0 }, TEXT));
        assert_eq!(dribbled(&client_hello()), (Detected::Tls, 9));
        assert_eq!(dribbled(SETUP), (Detected::PlainSv2, 11));
        let v1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 80 80\r\n";
        assert_eq!(dribbled(v1), (Detected::ProxyHeader, 11));
        let v2 = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
        assert_eq!(dribbled(v2), (Detected::ProxyHeader, 12));
        assert_eq!(detect(&[0x5a; ACT1_LEN]), Detected::Noise);
        assert_eq!(detect(&[]), Detected::Undecided);
    }

    #[test]
    fn a_short_request_is_answered_at_its_line_feed() {
        let shortest = b"{\"id\":1,\"method\":\"\"}\n";
        assert_eq!(shortest.len(), SHORTEST_LINE);
        assert_eq!(
            dribbled(shortest),
            (Detected::Sv1 { skip: 0 }, shortest.len())
        );
        let two = b"{}\n{\"method\":\"x\"}\r\n";
        assert_eq!(detect(two), Detected::Undecided);
        let more = [two.as_slice(), SUBSCRIBE].concat();
        assert_eq!(detect(&more), Detected::Sv1 { skip: 0 });
    }

    #[test]
    fn a_byte_order_mark_and_white_space_are_skipped() {
        for (prefix, skip) in [
            (&b" \r\n\t"[..], 4),
            (BYTE_ORDER_MARK, 3),
            (b"\xef\xbb\xbf \n", 5),
        ] {
            let bytes = [prefix, SUBSCRIBE].concat();
            assert_eq!(dribbled(&bytes), (Detected::Sv1 { skip }, skip + TEXT));
        }
        assert_eq!(detect(&[b' '; ACT1_LEN - 1]), Detected::Undecided);
        assert_eq!(detect(&[b' '; ACT1_LEN]), Detected::Noise);
    }

    #[test]
    fn near_misses_are_noise() {
        let mut hello = client_hello();
        hello[4] = 1;
        let mut setup = SETUP.to_vec();
        setup[3] = 15;
        let mut brace = SUBSCRIBE.to_vec();
        brace[TEXT - 1] = 0x80;
        let proxy = b"PROXY TCP5 203.0.113.7 198.51.100.1 80 80\r\n".to_vec();
        for bytes in [hello, setup, brace, proxy, b"GET / HTTP/1.1\r\n".to_vec()] {
            assert_eq!(dribbled(&bytes).0, Detected::Noise);
        }
    }

    /// The chance that 64 uniformly random bytes are not taken for Noise, summed over all ways.
    #[test]
    fn a_misreading_is_rarer_than_two_to_the_minus_forty() {
        let byte = 1.0 / 256.0;
        let text = (0..=u8::MAX).filter(|byte| is_text(*byte)).count() as f64 / 256.0;
        let white = (0..=u8::MAX).filter(u8::is_ascii_whitespace).count() as f64 / 256.0;

        // The first line feed at or behind the shortest line's end, or no end of text.
        let lines: f64 = (SHORTEST_LINE..TEXT)
            .map(|len| byte * text.powi(i32::try_from(len).unwrap() - 2) * byte)
            .sum();
        let run = byte * text.powi(i32::try_from(TEXT).unwrap() - 1);
        let marks = 1.0 + byte.powi(3);
        let prefixes = marks / (1.0 - white);
        let sv1 = prefixes * (lines + run);

        let tls = byte.powi(4) * (5.0 * byte) * byte.powi(2);
        let lengths = SETUP_CONNECTION.count() as f64 * byte.powi(2);
        let plain_sv2 = byte.powi(6) * lengths;

        let lens = UNMISTAKABLE.map(|start| i32::try_from(start.len()).unwrap());
        let proxy: f64 = lens.map(|len| byte.powi(len)).iter().sum();

        assert!(sv1.log2() < -41.5 && tls.log2() < -50.0 && plain_sv2.log2() < -53.0);
        assert!(proxy.log2() < -86.0);
        assert!((sv1 + tls + plain_sv2 + proxy).log2() < -40.0);
    }

    /// What a TLS client begins with, as its library writes it.
    fn real_hello(host: &str, versions: &[&'static SupportedProtocolVersion]) -> Vec<u8> {
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = host.to_owned().try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        hello
    }

    /// However the bytes are cut into segments, what is looked at is always a beginning of them: each is
    /// undecided or already what the whole is.
    fn assert_never_misread(bytes: &[u8], is_right: impl Fn(Detected) -> bool) {
        for len in 0..=bytes.len() {
            let verdict = detect(&bytes[..len]);
            let is_early = verdict == Detected::Undecided && len < ACT1_LEN;
            assert!(
                is_early || is_right(verdict),
                "{verdict:?} after {len} of {bytes:02x?}"
            );
        }
        assert!(is_right(detect(bytes)), "{bytes:02x?}");
    }

    proptest! {
        #[test]
        fn a_hello_is_tls_however_it_is_cut(host in "[a-z]{1,60}[.]example", versions in 0..3_usize) {
            let sets: [&[_]; 3] = [&[&TLS12, &TLS13], &[&TLS12], &[&TLS13]];
            let hello = real_hello(&host, sets[versions]);
            assert_never_misread(&hello, |verdict| verdict == Detected::Tls);
        }

        #[test]
        fn act_1_is_noise_however_it_is_cut(secret in any::<[u8; 32]>(), entropy in any::<[u8; 32]>()) {
            let key = NoiseKey::new(secret, entropy);
            prop_assume!(key.is_ok());
            let (_, act1) = Initiator::start(Trust::Anyone, key.unwrap());
            assert_never_misread(&act1, |verdict| verdict == Detected::Noise);
        }

        #[test]
        fn a_request_is_sv1_however_it_is_cut(
            id in "(0|[1-9][0-9]{0,5}|\"[a-z0-9]{1,8}\"|null)",
            method in "mining[.][a-z_]{4,20}",
            param in "[ -!#-~]{0,60}",
            end in "\r?\n",
            lead in "\u{feff}?[ \t\r\n]{0,5}",
        ) {
            let param = param.replace('\\', "/");
            let line =
                format!("{lead}{{\"id\":{id},\"method\":\"{method}\",\"params\":[\"{param}\"]}}{end}");
            assert_never_misread(line.as_bytes(), |verdict| {
                matches!(verdict, Detected::Sv1 { skip } if skip == lead.len())
            });
        }

        #[test]
        fn act_1_may_begin_with_a_brace(mut act1 in prop::collection::vec(any::<u8>(), ACT1_LEN)) {
            act1[0] = b'{';
            let foreign = act1[1..TEXT].iter().any(|byte| !is_text(*byte));
            prop_assume!(foreign && !act1[SHORTEST_LINE - 1..TEXT].contains(&b'\n'));
            prop_assert_eq!(dribbled(&act1).0, Detected::Noise);
        }

        #[test]
        fn a_verdict_does_not_change_with_more_bytes(
            kind in 0..5_usize, place in 0..40_usize, byte: u8, cut in 0..64_usize
        ) {
            let proxy = b"PROXY TCP4 203.0.113.7 198.51.100.1 80 80\r\n".to_vec();
            let kinds = [SUBSCRIBE.to_vec(), client_hello(), SETUP.to_vec(), vec![0xef; 64], proxy];
            let mut bytes = kinds[kind].clone();
            let place = place % bytes.len();
            bytes[place] = byte;
            let early = detect(&bytes[..cut.min(bytes.len())]);
            prop_assume!(early != Detected::Undecided);
            prop_assert_eq!(detect(&bytes), early);
        }
    }
}
