//! Where a node publishes.

use std::fmt;
use std::str::FromStr;

use headframe_work::Network;
use thiserror::Error;

use crate::rpc::RpcAddress;

/// The address of a ZeroMQ publisher, as `zmqpubhashblock` and `zmqpubrawblock` have it: `tcp://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ZmqAddress {
    host: String,
    port: u16,
}

/// Why a text is no address of a publisher.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ZmqAddressError {
    /// Another transport, or none.
    #[error("write tcp://host:port, as in zmqpubrawblock of bitcoin.conf")]
    NotTcp,
    /// A place to listen at that names no host.
    #[error(
        "* is where a node listens; write the host that it runs on, such as tcp://127.0.0.1:28332"
    )]
    AnyHost,
    /// No host, or no port.
    #[error("it needs a host and a port, such as tcp://127.0.0.1:28332")]
    HostOrPort,
}

impl ZmqAddress {
    /// Host name or IP address, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for ZmqAddress {
    type Err = ZmqAddressError;

    fn from_str(text: &str) -> Result<Self, ZmqAddressError> {
        let rest = text.strip_prefix("tcp://").ok_or(ZmqAddressError::NotTcp)?;
        if rest.starts_with('*') {
            return Err(ZmqAddressError::AnyHost);
        }
        let (_, port) = rest.rsplit_once(':').ok_or(ZmqAddressError::HostOrPort)?;
        let is_port = port.parse().is_ok_and(|port: u16| port > 0);
        // The hosts are those of an RPC address, whose port would be the network's if it were not named.
        let address = RpcAddress::parse(rest, Network::Mainnet);
        match address {
            Ok(address) if is_port => Ok(Self {
                host: address.host().to_owned(),
                port: address.port(),
            }),
            _ => Err(ZmqAddressError::HostOrPort),
        }
    }
}

impl fmt::Display for ZmqAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (&self.host, self.port);
        match host.contains(':') {
            true => write!(f, "tcp://[{host}]:{port}"),
            false => write!(f, "tcp://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_bitcoin_conf_has_them() {
        for text in [
            "tcp://127.0.0.1:28332",
            "tcp://node.lan:1",
            "tcp://[::1]:28332",
        ] {
            let address: ZmqAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        let address: ZmqAddress = "tcp://[::1]:28332".parse().unwrap();
        assert_eq!((address.host(), address.port()), ("::1", 28_332));
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_would_be_right() {
        let rows = [
            ("", ZmqAddressError::NotTcp),
            ("127.0.0.1:28332", ZmqAddressError::NotTcp),
            ("ipc:///tmp/a", ZmqAddressError::NotTcp),
            ("tcp://*:28332", ZmqAddressError::AnyHost),
            ("tcp://node", ZmqAddressError::HostOrPort),
            ("tcp://::1", ZmqAddressError::HostOrPort),
            ("tcp://node:0", ZmqAddressError::HostOrPort),
            ("tcp://node:70000", ZmqAddressError::HostOrPort),
            ("tcp://:28332", ZmqAddressError::HostOrPort),
            ("tcp://a@node:28332", ZmqAddressError::HostOrPort),
        ];
        for (text, error) in rows {
            assert_eq!(text.parse::<ZmqAddress>(), Err(error), "{text}");
        }
    }
}
