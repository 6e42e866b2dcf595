//! What a miner calls itself, and whom that means its blocks pay.

use core::str::FromStr;
use std::sync::Arc;

use bitcoin::address::{Address, AddressType, NetworkUnchecked};
use bitcoin::key::XOnlyPublicKey;

use crate::{Fee, Network, Payout, lookalike};

/// How the pool turns user names into payouts.
#[derive(Debug, Clone)]
pub struct PayoutPolicy {
    /// The network on which addresses must be valid.
    pub network: Network,
    /// What the operator keeps of a block that pays a miner's own address.
    pub fee: Option<Fee>,
    /// Who is paid for the blocks of names that are no addresses; without it they are refused.
    pub plain_names: Option<Address>,
}

/// A user name that the pool serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Miner {
    /// The name as the miner gave it. Whoever else keeps it has the same text.
    pub user: Arc<str>,
    /// The part after the address, which tells the machines of one owner apart. May be empty.
    pub worker: Box<str>,
    /// The address that a block of this miner pays.
    pub address: Address,
    /// All outputs that a block of this miner pays.
    pub payout: Payout,
}

/// A user name that is not served, and why. The miner's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Longer than any protocol allows.
    #[error("the user name is longer than {} bytes", Miner::MAX_LEN)]
    TooLong,
    /// Not text that people can read.
    #[error("the user name has control characters")]
    ControlCharacter,
    /// It looks like an address but is none, or an address stands where it would not be paid.
    #[error("{address} looks like an address but cannot be paid: {reason}")]
    BadAddress {
        /// The part of the name that looks like an address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An address of another network.
    #[error("{address} is no address of {network}, the network that this pool mines on")]
    OtherNetwork {
        /// The address.
        address: String,
        /// The pool's network.
        network: Network,
    },
    /// An address whose coins anyone can take, or nobody.
    #[error(
        "{address} is not of a kind that only its owner can spend from; use a P2PKH, P2SH, P2WPKH, P2WSH or P2TR address of your wallet"
    )]
    Unspendable {
        /// The address.
        address: String,
    },
    /// No address, and the operator set none for such names.
    #[error(
        "use your {network} address as user name (address or address.worker); this pool does not serve names without one"
    )]
    NoAddress {
        /// The pool's network.
        network: Network,
    },
}

impl Miner {
    /// The longest user name in bytes: SV2's `STR0_255`.
    pub const MAX_LEN: usize = 255;
}

impl NameError {
    /// Why `address`, a part of a name that looks like an address, is not paid.
    fn bad_address(address: &str) -> Self {
        let reason = match Address::from_str(address) {
            Ok(_) => "an address stands first in a user name, and only a dot or an underscore may follow it".to_owned(),
            Err(_) => lookalike::address_flaw(address),
        };
        let address = address.to_owned();
        Self::BadAddress { address, reason }
    }
}

/// A user name up to its first `.` or `_`, where an address stands if the name has one, and what comes
/// behind that: the worker.
pub fn split_user(user: &str) -> (&str, Option<&str>) {
    match user.split_once(['.', '_']) {
        Some((name, worker)) => (name, Some(worker)),
        None => (user, None),
    }
}

impl PayoutPolicy {
    /// Whom `user` means: `address`, `address.worker` or `address_worker` is paid directly, less
    /// the fee; any other name is the operator's, where he serves such names.
    ///
    /// # Errors
    ///
    /// When the name is not served. A name that looks like an address is never treated as a plain
    /// name.
    pub fn miner(&self, user: &str) -> Result<Miner, NameError> {
        if user.len() > Miner::MAX_LEN {
            return Err(NameError::TooLong);
        }
        if user.chars().any(char::is_control) {
            return Err(NameError::ControlCharacter);
        }
        let (name, worker) = split_user(user);
        match Address::from_str(name) {
            Ok(address) => self.own_address(user, worker.unwrap_or_default(), address),
            Err(_) => match lookalike::address_in(user) {
                Some(address) => Err(NameError::bad_address(address)),
                None => self.plain_name(user),
            },
        }
    }

    fn own_address(
        &self,
        user: &str,
        worker: &str,
        address: Address<NetworkUnchecked>,
    ) -> Result<Miner, NameError> {
        if !address.is_valid_for_network(self.network.into()) {
            return Err(NameError::OtherNetwork {
                address: address.assume_checked().to_string(),
                network: self.network,
            });
        }
        let address = address.assume_checked();
        if !is_spendable(&address) {
            let address = address.to_string();
            return Err(NameError::Unspendable { address });
        }
        Ok(Miner {
            user: user.into(),
            worker: worker.into(),
            payout: Payout::new(address.script_pubkey(), self.fee.clone()),
            address,
        })
    }

    fn plain_name(&self, user: &str) -> Result<Miner, NameError> {
        let network = self.network;
        let address = self.plain_names.clone();
        let address = address.ok_or(NameError::NoAddress { network })?;
        Ok(Miner {
            user: user.into(),
            worker: user.into(),
            payout: Payout::new(address.script_pubkey(), None),
            address,
        })
    }
}

/// Whether the owner of `address`, and nobody else, can spend what a block pays to it. Witness
/// versions without rules yet are anyone's to spend, and so are pay-to-anchor outputs; a Taproot
/// key that is no point of the curve is nobody's.
fn is_spendable(address: &Address) -> bool {
    match address.address_type() {
        Some(AddressType::P2pkh | AddressType::P2sh | AddressType::P2wpkh | AddressType::P2wsh) => {
            true
        }
        Some(AddressType::P2tr) => address.witness_program().is_some_and(|program| {
            XOnlyPublicKey::from_slice(program.program().as_bytes()).is_ok()
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::Amount;
    use bitcoin::hex::DisplayHex;

    const GENESIS: &str = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa";
    const BIP173: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";

    fn policy(network: Network) -> PayoutPolicy {
        PayoutPolicy {
            network,
            fee: None,
            plain_names: None,
        }
    }

    fn operator() -> Address {
        Address::from_str(GENESIS).unwrap().assume_checked()
    }

    /// BIP173, BIP350 and Bitcoin's first blocks.
    #[test]
    fn all_kinds_of_address_pay_their_script() {
        for (address, script) in [
            (
                GENESIS,
                "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac",
            ),
            (
                "3P14159f73E4gFr7JterCCQh9QjiTjiZrG",
                "a914e9c3dd0c07aac76179ebc76a6c78d4d67c6c160a87",
            ),
            (BIP173, "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
            (
                "bc1qwqdg6squsna38e46795at95yu9atm8azzmyvckulcc7kytlcckxswvvzej",
                "0020701a8d401c84fb13e6baf169d59684e17abd9fa216c8cc5b9fc63d622ff8c58d",
            ),
            (
                "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
                "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            ),
        ] {
            let miner = policy(Network::Mainnet).miner(address).unwrap();
            assert_eq!(
                miner.payout.miner().as_bytes().to_lower_hex_string(),
                script
            );
        }
    }

    #[test]
    fn a_worker_follows_a_dot_or_an_underscore() {
        let policy = policy(Network::Mainnet);
        for (user, worker) in [
            (BIP173.to_owned(), ""),
            (format!("{BIP173}.garage"), "garage"),
            (format!("{BIP173}_garage"), "garage"),
            (format!("{BIP173}.garage_2.left"), "garage_2.left"),
            (format!("{}.X", BIP173.to_uppercase()), "X"),
        ] {
            let miner = policy.miner(&user).unwrap();
            assert_eq!(&*miner.worker, worker);
            assert_eq!(miner.address.to_string(), BIP173);
            assert_eq!(&*miner.user, user);
        }
    }

    #[test]
    fn what_looks_like_an_address_is_one_or_is_refused() {
        let policy = PayoutPolicy {
            plain_names: Some(operator()),
            ..policy(Network::Mainnet)
        };
        for name in [
            // Cut off.
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t",
            "bc1qw508d6",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfN",
            "1A1zP1eP5QGefi2DMPTf",
            // A wrong character, in and out of the alphabet.
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3tb",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfN0",
            // Mixed case is no bech32.
            "bc1Qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            // Another network's, and broken.
            "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsy",
            "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsyy",
        ] {
            let error = policy.miner(&format!("{name}.worker")).unwrap_err();
            assert!(
                matches!(error, NameError::BadAddress { .. }),
                "{name}: {error}"
            );
        }
    }

    #[test]
    fn an_address_of_another_network_is_refused() {
        let error = policy(Network::Regtest).miner(BIP173).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{BIP173} is no address of regtest, the network that this pool mines on")
        );
        let testnet = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
        assert!(policy(Network::Mainnet).miner(testnet).is_err());
        assert!(policy(Network::Testnet4).miner(testnet).is_ok());
        assert!(policy(Network::Signet).miner(testnet).is_ok());
        assert!(policy(Network::Regtest).miner(testnet).is_err());
    }

    #[test]
    fn plain_names_are_the_operator_s_where_he_wants_them() {
        let mut policy = policy(Network::Mainnet);
        for name in ["garage", "", "rig.1", "1", "bc1", "miner01", "3dprinter"] {
            assert!(matches!(
                policy.miner(name),
                Err(NameError::NoAddress { .. })
            ));
        }
        policy.plain_names = Some(operator());
        let miner = policy.miner("rig.1").unwrap();
        assert_eq!(&*miner.worker, "rig.1");
        assert_eq!(miner.address.to_string(), GENESIS);
        assert_eq!(miner.payout.outputs(Amount::ONE_BTC).count(), 1);
    }

    #[test]
    fn unreadable_names_are_refused() {
        let policy = policy(Network::Mainnet);
        assert_eq!(policy.miner(&"x".repeat(256)), Err(NameError::TooLong));
        assert_eq!(policy.miner("a\u{7}b"), Err(NameError::ControlCharacter));
    }
}
