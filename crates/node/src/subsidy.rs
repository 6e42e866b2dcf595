//! What a block may create.

use bitcoin::Amount;
use headframe_work::Network;

/// What the miner of the block at `height` may create besides the fees.
pub(crate) fn subsidy(network: Network, height: u32) -> Amount {
    let halvings = height / network.halving_interval();
    let first = 50 * Amount::ONE_BTC.to_sat();
    Amount::from_sat(first.checked_shr(halvings).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_where_bitcoin_core_halves() {
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
            assert_eq!(
                subsidy(network, height).to_sat(),
                satoshi,
                "{network} {height}"
            );
        }
    }
}
