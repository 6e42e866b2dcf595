//! Where a Template Provider is, and by which key it is known.

use core::fmt;
use core::str::FromStr;

use headframe_transport::{DialError, Dialer, Endpoint, FrameStream, PoolUrl, PoolUrlError};
use thiserror::Error;

/// What stands in the place of the key where whoever answers is trusted.
const INSECURE: &str = "insecure";
const SCHEME: &str = "stratum2+tcp://";

/// `host:port/KEY`: a Template Provider, and the authority key by which it is known.
///
/// Without a key nobody is connected to, but for `host:port/insecure`: whoever sits between pool and provider
/// then says what is mined on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderAddress(PoolUrl);

/// A text that is no address of a Template Provider. The operator's fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProviderAddressError {
    /// No key.
    #[error(
        "it has no authority key behind the port, as in host:port/KEY; host:port/insecure trusts whoever answers"
    )]
    NoKey,
    /// Anything else.
    #[error("{0}; write host:port/KEY")]
    Other(PoolUrlError),
}

impl ProviderAddress {
    /// Host and port.
    pub const fn endpoint(&self) -> &Endpoint {
        self.0.endpoint()
    }

    /// Connects and shakes hands.
    pub(super) async fn dial(&self, dialer: &Dialer) -> Result<FrameStream, DialError> {
        match &self.0 {
            PoolUrl::Sv2(endpoint, trust) => dialer.sv2(endpoint, *trust).await,
            PoolUrl::Sv1(endpoint) | PoolUrl::Sv1Tls(endpoint, _) => Err(DialError::Closed {
                endpoint: endpoint.clone(),
            }),
        }
    }
}

impl FromStr for ProviderAddress {
    type Err = ProviderAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let place = text.strip_prefix(SCHEME).unwrap_or(text);
        let (place, is_insecure) = match place.rsplit_once('/') {
            Some((place, INSECURE)) => (place, true),
            Some(_) | None => (place, false),
        };
        let url = PoolUrl::parse(&format!("{SCHEME}{place}"), is_insecure);
        url.map(Self).map_err(|error| match error {
            PoolUrlError::MissingKey => ProviderAddressError::NoKey,
            other => ProviderAddressError::Other(other),
        })
    }
}

/// Without the key, which people know it less by.
impl fmt::Display for ProviderAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh";

    #[test]
    fn a_provider_is_known_by_its_key_unless_the_operator_says_otherwise() {
        let read = |text: &str| text.parse::<ProviderAddress>();
        let keyed = read(&format!("node.example:8442/{KEY}")).unwrap();
        assert_eq!(keyed.to_string(), "node.example:8442");
        assert_eq!(
            read(&format!(" {SCHEME}node.example:8442/{KEY}")),
            Ok(keyed.clone())
        );
        let anyone = read("[::1]:8442/insecure").unwrap();
        assert_eq!(anyone.to_string(), "[::1]:8442");
        assert_ne!(read("node.example:8442/insecure"), Ok(keyed));
        assert_eq!(read("node.example:8442"), Err(ProviderAddressError::NoKey));
        assert_eq!(read("node.example:8442/"), Err(ProviderAddressError::NoKey));
        for wrong in [
            "",
            "node.example",
            "node.example/insecure",
            "node.example:8442/x",
            "a:b/c",
        ] {
            let error = read(wrong).unwrap_err();
            assert!(
                matches!(error, ProviderAddressError::Other(_)),
                "{wrong}: {error}"
            );
        }
    }
}
