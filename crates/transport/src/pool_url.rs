//! The address of a pool as a person types it (sv2-spec 4.7).

use core::fmt;
use core::str::FromStr;
use std::net::Ipv6Addr;

use headframe_sv2_noise::{AuthorityKeyError, AuthorityPublicKey, Trust};
use thiserror::Error;

use crate::tls::{FingerprintError, TlsTrust};

/// A host and a port. Shown as `host:port`, IPv6 in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// Where a pool listens, and what to speak there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolUrl {
    /// `stratum+tcp://host:port`: Stratum V1 in clear.
    Sv1(Endpoint),
    /// `stratum+ssl://host:port/FINGERPRINT`, or `stratum+tls://`: Stratum V1 in TLS.
    Sv1Tls(Endpoint, TlsTrust),
    /// `stratum2+tcp://host:port/KEY`: Stratum V2 over Noise.
    Sv2(Endpoint, Trust),
}

/// What is wrong with a pool's address. The user's to put right.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PoolUrlError {
    /// The fingerprint behind the port.
    #[error("{0}")]
    Fingerprint(#[from] FingerprintError),
    /// The key behind the port.
    #[error("{0}")]
    Key(#[from] AuthorityKeyError),
    /// No host, or one that cannot be.
    #[error("pool address has no valid host; write stratum2+tcp://host:port/KEY")]
    Host,
    /// More than one colon, and no brackets.
    #[error("an IPv6 address goes in brackets, as in [::1]:3333")]
    Ipv6Brackets,
    /// TLS without a fingerprint.
    #[error(
        "stratum+ssl:// needs the SHA-256 fingerprint of the pool's certificate behind the port, as in stratum+ssl://host:port/FINGERPRINT; only --insecure connects without one"
    )]
    MissingFingerprint,
    /// Stratum V2 without a key.
    #[error(
        "stratum2+tcp:// needs the pool's authority key behind the port, as in stratum2+tcp://host:port/KEY; only --insecure connects without one"
    )]
    MissingKey,
    /// No port.
    #[error("pool address has no port, as in host:3333")]
    MissingPort,
    /// Not a number from 1 to 65535.
    #[error("{0:?} is no port; a port is a number from 1 to 65535")]
    Port(String),
    /// A user in the address.
    #[error("the worker's name is not part of the pool address")]
    User,
    /// Something behind the port of an SV1 pool.
    #[error(
        "stratum+tcp://host:port takes nothing behind the port; an authority key needs stratum2+tcp://"
    )]
    Path,
    /// Anything but a known scheme.
    #[error("pool address does not begin with stratum+tcp://, stratum+ssl:// or stratum2+tcp://")]
    Scheme,
}

impl Endpoint {
    /// The host may be a name, an IPv4 address or an IPv6 address without brackets; the port is not 0.
    pub fn new(host: &str, port: u16) -> Result<Self, PoolUrlError> {
        let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let named = !host.is_empty() && host.len() <= 253 && host.bytes().all(is_name_byte);
        if !named && host.parse::<Ipv6Addr>().is_err() {
            return Err(PoolUrlError::Host);
        }
        if port == 0 {
            return Err(PoolUrlError::Port(port.to_string()));
        }
        let host = host.to_owned();
        Ok(Self { host, port })
    }

    /// A name or an address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port, never 0.
    pub const fn port(&self) -> u16 {
        self.port
    }

    fn parse(text: &str) -> Result<Self, PoolUrlError> {
        if text.contains('@') {
            return Err(PoolUrlError::User);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(literal) => {
                let (host, port) = literal.split_once(']').ok_or(PoolUrlError::Host)?;
                host.parse::<Ipv6Addr>().map_err(|_| PoolUrlError::Host)?;
                (host, port.strip_prefix(':'))
            }
            None => match text.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(PoolUrlError::Ipv6Brackets),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = port
            .filter(|port| !port.is_empty())
            .ok_or(PoolUrlError::MissingPort)?;
        let refuse = || PoolUrlError::Port(port.to_owned());
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refuse());
        }
        Self::new(host, port.parse().map_err(|_| refuse())?)
    }
}

impl FromStr for Endpoint {
    type Err = PoolUrlError;

    /// Reads `host:port`, IPv6 in brackets.
    fn from_str(text: &str) -> Result<Self, PoolUrlError> {
        Self::parse(text)
    }
}

impl PoolUrl {
    /// Reads a pool's address.
    ///
    /// `insecure` is the user's word that he wants encryption without knowing whom he speaks to; it
    /// matters only where no key or fingerprint is given: one that is there is used.
    pub fn parse(text: &str, insecure: bool) -> Result<Self, PoolUrlError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(PoolUrlError::Scheme)?;
        let (place, path) = match rest.split_once('/') {
            Some((place, path)) => (place, path),
            None => (rest, ""),
        };
        match scheme.to_ascii_lowercase().as_str() {
            "stratum+tcp" if path.is_empty() => Ok(Self::Sv1(Endpoint::parse(place)?)),
            "stratum+tcp" => Err(PoolUrlError::Path),
            "stratum2+tcp" => Ok(Self::Sv2(Endpoint::parse(place)?, trust(path, insecure)?)),
            "stratum+ssl" | "stratum+tls" | "stratum+tcps" => Ok(Self::Sv1Tls(
                Endpoint::parse(place)?,
                tls_trust(path, insecure)?,
            )),
            _ => Err(PoolUrlError::Scheme),
        }
    }

    /// Whether Stratum V1 is spoken, in clear or in TLS.
    pub const fn is_sv1(&self) -> bool {
        match self {
            Self::Sv1(_) | Self::Sv1Tls(..) => true,
            Self::Sv2(..) => false,
        }
    }

    /// Where the pool listens.
    pub const fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Sv1(endpoint) | Self::Sv1Tls(endpoint, _) | Self::Sv2(endpoint, _) => endpoint,
        }
    }
}

fn trust(path: &str, insecure: bool) -> Result<Trust, PoolUrlError> {
    match path {
        "" if insecure => Ok(Trust::Anyone),
        "" => Err(PoolUrlError::MissingKey),
        key => Ok(Trust::Authority(key.parse::<AuthorityPublicKey>()?)),
    }
}

fn tls_trust(path: &str, insecure: bool) -> Result<TlsTrust, PoolUrlError> {
    match path {
        "" if insecure => Ok(TlsTrust::Anyone),
        "" => Err(PoolUrlError::MissingFingerprint),
        fingerprint => Ok(TlsTrust::Pinned(fingerprint.parse()?)),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for PoolUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sv1(endpoint) => write!(f, "stratum+tcp://{endpoint}"),
            Self::Sv1Tls(endpoint, TlsTrust::Anyone) => write!(f, "stratum+ssl://{endpoint}"),
            Self::Sv1Tls(endpoint, TlsTrust::Pinned(fingerprint)) => {
                write!(f, "stratum+ssl://{endpoint}/{fingerprint}")
            }
            Self::Sv2(endpoint, Trust::Anyone) => write!(f, "stratum2+tcp://{endpoint}"),
            Self::Sv2(endpoint, Trust::Authority(key)) => {
                write!(f, "stratum2+tcp://{endpoint}/{key}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh";

    fn parse(text: &str) -> Result<PoolUrl, PoolUrlError> {
        PoolUrl::parse(text, false)
    }

    #[test]
    fn good_addresses_read_and_show_the_same() {
        for text in [
            "stratum+tcp://pool.example:3333".to_owned(),
            "stratum+tcp://[2001:db8::1]:3333".to_owned(),
            "stratum+tcp://192.168.1.7:1".to_owned(),
            format!("stratum2+tcp://thepool.com:34254/{KEY}"),
            format!("stratum2+tcp://[::1]:65535/{KEY}"),
        ] {
            assert_eq!(parse(&text).unwrap().to_string(), text);
        }
        let slashed = parse("Stratum+TCP://pool.example:3333/").unwrap();
        assert_eq!(slashed.to_string(), "stratum+tcp://pool.example:3333");
        let url = parse("stratum+tcp://[::1]:3333").unwrap();
        assert_eq!(
            (url.endpoint().host(), url.endpoint().port()),
            ("::1", 3333)
        );
    }

    #[test]
    fn without_a_key_only_the_insecure_connect_and_a_key_is_never_ignored() {
        let bare = "stratum2+tcp://pool.example:3333";
        assert_eq!(parse(bare), Err(PoolUrlError::MissingKey));
        assert!(matches!(
            PoolUrl::parse(bare, true),
            Ok(PoolUrl::Sv2(_, Trust::Anyone))
        ));
        let keyed = format!("{bare}/{KEY}");
        assert!(matches!(
            PoolUrl::parse(&keyed, true),
            Ok(PoolUrl::Sv2(_, Trust::Authority(_)))
        ));
    }

    #[test]
    fn tls_goes_by_a_fingerprint_as_sv2_by_a_key() {
        let bare = "stratum+ssl://pool.example:3333";
        assert_eq!(parse(bare), Err(PoolUrlError::MissingFingerprint));
        assert!(matches!(
            PoolUrl::parse(bare, true),
            Ok(PoolUrl::Sv1Tls(_, TlsTrust::Anyone))
        ));
        let pinned = format!("{bare}/{}", ["AB"; 32].join(":"));
        assert_eq!(parse(&pinned).unwrap().to_string(), pinned);
        let other = format!("stratum+tls://pool.example:3333/{}", "ab".repeat(32));
        assert_eq!(PoolUrl::parse(&other, true), parse(&pinned));
        assert_eq!(
            PoolUrl::parse(&format!("{bare}/{KEY}"), true),
            Err(PoolUrlError::Fingerprint(FingerprintError))
        );
    }

    #[test]
    fn each_fault_is_named() {
        use PoolUrlError as E;
        let cases = [
            ("pool.example:3333", E::Scheme),
            ("http://pool.example:3333", E::Scheme),
            ("", E::Scheme),
            ("stratum+ssl://pool.example:3333", E::MissingFingerprint),
            ("stratum+tls://pool.example/x", E::MissingPort),
            ("stratum+tcp://pool.example", E::MissingPort),
            ("stratum+tcp://pool.example:", E::MissingPort),
            ("stratum+tcp://[::1]", E::MissingPort),
            ("stratum+tcp://pool.example:0", E::Port("0".into())),
            ("stratum+tcp://pool.example:65536", E::Port("65536".into())),
            ("stratum+tcp://pool.example:+1", E::Port("+1".into())),
            ("stratum+tcp://::1:3333", E::Ipv6Brackets),
            ("stratum+tcp://[::g]:3333", E::Host),
            ("stratum+tcp://[::1:3333", E::Host),
            ("stratum+tcp://:3333", E::Host),
            ("stratum+tcp://po ol:3333", E::Host),
            ("stratum+tcp://me@pool.example:3333", E::User),
            ("stratum+tcp://pool.example:3333/x", E::Path),
            ("stratum2+tcp://pool.example/x", E::MissingPort),
            (
                "stratum2+tcp://pool.example:1/x",
                E::Key(AuthorityKeyError::Checksum),
            ),
            (
                "stratum2+tcp://pool.example:1/a/b",
                E::Key(AuthorityKeyError::Character('/')),
            ),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }
}
