//! The Bitcoin networks that a pool can mine on.

use core::fmt;

use bitcoin::Amount;

/// A Bitcoin network. A `match` on it is total on purpose: a network without a case is a compile
/// error, never a silent default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// The network whose coins have value.
    Mainnet,
    /// The fourth test network (BIP94), with its 20-minute rule for minimum-difficulty blocks.
    Testnet4,
    /// A network whose blocks satisfy a challenge; only the challenge `OP_TRUE` can be mined.
    Signet,
    /// A private chain where every second hash is a block.
    Regtest,
}

impl Network {
    /// All networks, in the order in which they are shown to people.
    pub const ALL: [Self; 4] = [Self::Mainnet, Self::Testnet4, Self::Signet, Self::Regtest];

    /// The name that Bitcoin Core uses in `getblockchaininfo` (`chain`).
    pub const fn core_name(self) -> &'static str {
        match self {
            Self::Mainnet => "main",
            Self::Testnet4 => "testnet4",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        }
    }

    /// The network with the given Bitcoin Core name, if a pool can mine on it.
    pub fn from_core_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|network| network.core_name() == name)
    }

    /// The number of blocks between two halvings of the subsidy.
    pub const fn halving_interval(self) -> u32 {
        match self {
            Self::Mainnet | Self::Testnet4 | Self::Signet => 210_000,
            Self::Regtest => 150,
        }
    }

    /// Whether the block at `height` has the bits of the one before it, and the version that a node gives it is
    /// the same: that is so but for the first block of a period, of retargeting or of signalling (BIP9), and
    /// on testnet4, where the bits depend on the time (BIP94).
    pub const fn is_like_its_parent(self, height: u32) -> bool {
        match self {
            Self::Mainnet | Self::Signet => !height.is_multiple_of(2_016),
            Self::Regtest => !height.is_multiple_of(144),
            Self::Testnet4 => false,
        }
    }

    /// What the miner of the block at `height` may create besides the fees.
    pub fn subsidy(self, height: u32) -> Amount {
        let halvings = height / self.halving_interval();
        let first = 50 * Amount::ONE_BTC.to_sat();
        Amount::from_sat(first.checked_shr(halvings).unwrap_or(0))
    }
}

impl From<Network> for bitcoin::Network {
    fn from(network: Network) -> Self {
        match network {
            Network::Mainnet => Self::Bitcoin,
            Network::Testnet4 => Self::Testnet4,
            Network::Signet => Self::Signet,
            Network::Regtest => Self::Regtest,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mainnet => "mainnet",
            Self::Testnet4 => "testnet4",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bitcoin_core_s() {
        for network in Network::ALL {
            let theirs = bitcoin::Network::from(network);
            assert_eq!(network.core_name(), theirs.to_core_arg());
            assert_eq!(Network::from_core_name(network.core_name()), Some(network));
        }
        // The third test network is not mined on any more.
        assert_eq!(Network::from_core_name("test"), None);
        assert_eq!(Network::from_core_name(""), None);
    }

    #[test]
    fn the_first_block_of_a_period_may_be_unlike_its_parent() {
        let rows = [
            (Network::Mainnet, 2_015, true),
            (Network::Mainnet, 2_016, false),
            (Network::Mainnet, 2_017, true),
            (Network::Signet, 4_032, false),
            (Network::Regtest, 143, true),
            (Network::Regtest, 144, false),
            (Network::Regtest, 150, true),
            (Network::Regtest, 2_016, false),
            (Network::Testnet4, 2_015, false),
        ];
        for (network, height, expected) in rows {
            let is_like = network.is_like_its_parent(height);
            assert_eq!(is_like, expected, "{network} {height}");
        }
    }

    #[test]
    fn the_subsidy_halves_where_bitcoin_core_halves() {
        let rows = [
            (Network::Mainnet, 0, 5_000_000_000),
            (Network::Mainnet, 209_999, 5_000_000_000),
            (Network::Mainnet, 210_000, 2_500_000_000),
            (Network::Mainnet, 840_000, 312_500_000),
            (Network::Mainnet, 6_929_999, 1),
            (Network::Mainnet, 6_930_000, 0),
            (Network::Mainnet, u32::MAX, 0),
            (Network::Regtest, 149, 5_000_000_000),
            (Network::Regtest, 150, 2_500_000_000),
            (Network::Regtest, 450, 625_000_000),
        ];
        for (network, height, satoshi) in rows {
            let subsidy = network.subsidy(height).to_sat();
            assert_eq!(subsidy, satoshi, "{network} {height}");
        }
    }
}
