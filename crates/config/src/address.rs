//! An address that the operator set, before and after it is known which network the pool is on.

use core::fmt;

use bitcoin::address::{Address, AddressType, NetworkUnchecked};
use headframe_work::{Network, address_flaw};

/// An address of a kind that only its owner can spend from, of some network.
#[derive(Clone, PartialEq, Eq)]
pub struct PayAddress(Address<NetworkUnchecked>);

/// An address of another network than the pool's. The operator's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} is an address of {belongs_to}, and the pool is on {network}; set one of {network}"
)]
pub struct WrongNetwork {
    /// The address.
    pub address: String,
    /// The networks that it is an address of.
    pub belongs_to: String,
    /// The pool's network.
    pub network: Network,
}

impl PayAddress {
    /// Reads an address. The error is the end of a sentence that says what would be right.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const RIGHT: &str =
            "write a P2PKH, P2SH, P2WPKH, P2WSH or P2TR address of your wallet, letter by letter";
        let address: Address<NetworkUnchecked> = text.parse().map_err(|_| {
            let flaw = address_flaw(text);
            format!("it is no Bitcoin address ({flaw}); {RIGHT}")
        })?;
        match address.clone().assume_checked().address_type() {
            Some(
                AddressType::P2pkh
                | AddressType::P2sh
                | AddressType::P2wpkh
                | AddressType::P2wsh
                | AddressType::P2tr,
            ) => Ok(Self(address)),
            _ => Err(format!(
                "not only its owner could spend what it is paid; {RIGHT}"
            )),
        }
    }

    /// The address as one of the given network.
    ///
    /// # Errors
    ///
    /// It is of another network; the error says of which.
    pub fn on(&self, network: Network) -> Result<Address, WrongNetwork> {
        let checked = self.0.clone().require_network(network.into());
        checked.map_err(|_| WrongNetwork {
            address: self.to_string(),
            belongs_to: self.networks(),
            network,
        })
    }

    /// The networks that it is an address of, as people list them.
    fn networks(&self) -> String {
        let names: Vec<String> = Network::ALL
            .into_iter()
            .filter(|network| self.0.is_valid_for_network((*network).into()))
            .map(|network| network.to_string())
            .collect();
        names.join(" or ")
    }
}

impl fmt::Display for PayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.clone().assume_checked().fmt(f)
    }
}

impl fmt::Debug for PayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PayAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_another_network_is_told_where_it_belongs() {
        // The first three are BIP173's and BIP350's examples, the last the genesis block's.
        let table = [
            ("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "mainnet"),
            (
                "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
                "testnet4 or signet",
            ),
            ("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "regtest"),
            ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "mainnet"),
            (
                "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
                "testnet4 or signet or regtest",
            ),
        ];
        for (text, belongs_to) in table {
            let address = PayAddress::parse(text).unwrap();
            for network in Network::ALL {
                match address.on(network) {
                    Ok(_) => assert!(belongs_to.contains(&network.to_string())),
                    Err(error) => {
                        assert_eq!(error.belongs_to, belongs_to);
                        assert!(!belongs_to.contains(&network.to_string()));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "bob",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3",
        ] {
            assert!(
                PayAddress::parse(text)
                    .unwrap_err()
                    .contains("no Bitcoin address"),
                "{text}"
            );
        }
        let error = PayAddress::parse("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t").unwrap_err();
        assert!(error.contains("a character is wrong or missing"), "{error}");
        // Pay to anchor: anyone can take it.
        assert!(PayAddress::parse("bc1pfeessrawgf").is_err());
    }
}
