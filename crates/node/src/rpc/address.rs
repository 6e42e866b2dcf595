//! Where a node's RPC port is.

use std::fmt;
use std::net::Ipv6Addr;

use headframe_work::Network;
use thiserror::Error;

/// Host and port of a node's RPC server. There is no TLS: the node is on this machine or on a
/// network that the operator trusts, as Bitcoin Core demands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RpcAddress {
    host: String,
    port: u16,
}

/// Why a text is no RPC address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Bitcoin Core's RPC server speaks plain HTTP.
    #[error("a node is reached by plain http; write host:port or http://host:port")]
    NotHttp,
    /// Credentials do not belong into an address, which is logged.
    #[error("user and password do not belong into the address; set them by their own keys")]
    Credentials,
    /// Neither a host name nor an IP address.
    #[error("{0:?} is no host; write host:port, such as 127.0.0.1:8332 or [::1]:8332")]
    Host(String),
    /// No port.
    #[error("{0:?} is no port; ports are numbers from 1 to 65535")]
    Port(String),
}

impl RpcAddress {
    /// The address of a node on this machine, on its network's usual port.
    pub fn local(network: Network) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: Self::default_port(network),
        }
    }

    /// The port that Bitcoin Core's RPC server listens on when it is told nothing.
    pub const fn default_port(network: Network) -> u16 {
        match network {
            Network::Mainnet => 8_332,
            Network::Testnet4 => 48_332,
            Network::Signet => 38_332,
            Network::Regtest => 18_443,
        }
    }

    /// Reads `host`, `host:port`, `[ipv6]:port`, each with `http://` before and `/` after if need
    /// be. Without a port it is the network's usual one.
    ///
    /// # Errors
    ///
    /// The text is none of these; the error says what would be right.
    pub fn parse(text: &str, network: Network) -> Result<Self, AddressError> {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(AddressError::NotHttp),
            None => text,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(AddressError::Credentials);
        }
        let (host, port) = split(rest)?;
        let port = match port {
            Some(port) => parse_port(port)?,
            None => Self::default_port(network),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// Host name or IP address, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for RpcAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Host and port as they stand in the text.
fn split(text: &str) -> Result<(&str, Option<&str>), AddressError> {
    let wrong = || AddressError::Host(text.to_owned());
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
        host.parse::<Ipv6Addr>().map_err(|_| wrong())?;
        return match (rest, rest.strip_prefix(':')) {
            ("", _) => Ok((host, None)),
            (_, Some(port)) => Ok((host, Some(port))),
            (_, None) => Err(wrong()),
        };
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let plausible = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if host.is_empty() || !host.bytes().all(plausible) {
        return Err(wrong());
    }
    Ok((host, port))
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(AddressError::Port(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, AddressError> {
        RpcAddress::parse(text, Network::Signet).map(|address| address.to_string())
    }

    #[test]
    fn reads_what_people_write() {
        let rows = [
            ("127.0.0.1", "127.0.0.1:38332"),
            ("umbrel.local:8332", "umbrel.local:8332"),
            ("http://bitcoind:8332/", "bitcoind:8332"),
            ("HTTP://10.0.0.2:1", "10.0.0.2:1"),
            ("[::1]:8332", "[::1]:8332"),
            ("[::1]", "[::1]:38332"),
        ];
        for (text, address) in rows {
            assert_eq!(parse(text).as_deref(), Ok(address), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(parse("https://node:8332"), Err(AddressError::NotHttp));
        assert_eq!(
            parse("http://user:secret@node:8332"),
            Err(AddressError::Credentials)
        );
        for text in ["", "a b", ":8332", "node/wallet", "[::1", "[x]:1", "[::1]x"] {
            assert!(matches!(parse(text), Err(AddressError::Host(_))), "{text}");
        }
        for text in ["node:", "node:0", "node:65536", "node:x", "::1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
