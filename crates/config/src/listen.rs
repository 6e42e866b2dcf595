//! An address to listen on, as people write it.

use core::str::FromStr;
use std::net::{Ipv4Addr, SocketAddr};

/// The port of the example where none was written.
const USUAL_PORT: u16 = 3333;

/// A text that is no address to listen on. The operator's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no address to listen on; write 127.0.0.1:{port} for this computer alone, 0.0.0.0:{port} for all that can reach it"
)]
pub struct ListenAddressError {
    /// The text.
    pub text: String,
    /// The port that was written, else the usual one.
    pub port: u16,
}

/// Reads an address to listen on: `IP:port`, IPv6 in brackets, or `localhost:port` for 127.0.0.1.
///
/// # Errors
///
/// It is none: names are not looked up, and a port alone does not say who may come.
pub fn listen_address(text: &str) -> Result<SocketAddr, ListenAddressError> {
    if let Ok(address) = SocketAddr::from_str(text) {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    match port.parse() {
        Ok(port) if host == "localhost" => Ok((Ipv4Addr::LOCALHOST, port).into()),
        port => Err(ListenAddressError {
            text: text.to_owned(),
            port: port.unwrap_or(USUAL_PORT),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_an_address() {
        for (text, address) in [
            ("localhost:3399", "127.0.0.1:3399"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("[::]:3333", "[::]:3333"),
        ] {
            assert_eq!(listen_address(text).unwrap().to_string(), address);
        }
    }

    #[test]
    fn the_example_has_the_port_that_was_written() {
        for (text, port) in [
            ("3399", 3399),
            (":3399", 3399),
            ("*:3399", 3399),
            ("pool.example.org:3399", 3399),
            ("localhost", 3333),
            ("localhost:99999", 3333),
            ("", 3333),
        ] {
            let error = listen_address(text).unwrap_err();
            assert_eq!((error.text.as_str(), error.port), (text, port));
        }
    }
}
