//! Which header times a template's bits are valid for: testnet4's 20-minute rule, and the
//! embedded chain's easing.
//!
//! On mainnet, signet and regtest the bits hold for every time that consensus allows. On testnet4
//! (BIP94) a block that is more than 20 minutes later than its parent has the minimum difficulty,
//! and *must* have it; an earlier one must not. A template therefore holds on one side of that
//! moment only.

use std::time::Duration;

use bitcoin::CompactTarget;
use headframe_work::{Network, Template, UnixTime};

/// testnet4's minimum difficulty.
const TESTNET4_MINIMUM: u32 = 0x1d00_ffff;
/// After this many seconds without a block testnet4 falls to its minimum difficulty.
const TESTNET4_PATIENCE: Duration = Duration::from_secs(1_200);
/// Blocks between two difficulty adjustments; the first block of a period is exempt from the rule.
const RETARGET_PERIOD: u32 = 2_016;

/// The header times for which a template's bits are the right ones.
///
/// A share outside is no block, whatever its hash. When consensus time passes `latest`, the
/// template is dead: its jobs are re-issued from the next one, which the source gives then
/// without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderWindow {
    /// The earliest header time, never below the template's `min_time`.
    pub earliest: UnixTime,
    /// The last header time, where there is one before the usual two hours into the future.
    pub latest: Option<UnixTime>,
}

impl HeaderWindow {
    /// The window of a template whose bits do not depend on the time.
    pub fn unbounded(template: &Template) -> Self {
        Self {
            earliest: template.min_time,
            latest: None,
        }
    }

    /// The window of a template whose parent has the header time `parent_time`.
    pub fn of(template: &Template, parent_time: UnixTime) -> Self {
        match template.network {
            Network::Testnet4 => testnet4(template, parent_time),
            Network::Mainnet | Network::Signet | Network::Regtest => Self::unbounded(template),
        }
    }

    /// Whether a header with this time may carry the template's bits.
    pub fn contains(&self, time: UnixTime) -> bool {
        self.earliest <= time && self.latest.is_none_or(|latest| time <= latest)
    }
}

/// The rule as it bears on one template. Where the true difficulty is the minimum anyway, both
/// sides of the moment have the same bits and nothing is bounded.
fn testnet4(template: &Template, parent_time: UnixTime) -> HeaderWindow {
    let unbounded = HeaderWindow::unbounded(template);
    if template.height.is_multiple_of(RETARGET_PERIOD) {
        return unbounded;
    }
    let last_ordinary = parent_time.saturating_add(TESTNET4_PATIENCE);
    let minimum = template.bits == CompactTarget::from_consensus(TESTNET4_MINIMUM);
    match (minimum, template.current_time > last_ordinary) {
        (false, _) => HeaderWindow {
            latest: Some(last_ordinary),
            ..unbounded
        },
        (true, true) => HeaderWindow {
            earliest: unbounded
                .earliest
                .max(last_ordinary.saturating_add(Duration::from_secs(1))),
            ..unbounded
        },
        (true, false) => unbounded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash;
    use bitcoin::{Amount, BlockHash};
    use headframe_work::BlockLimits;

    const PARENT: UnixTime = UnixTime::from_secs(1_000_000);

    fn template(network: Network, height: u32, bits: u32, since_parent: u32) -> Template {
        Template {
            network,
            height,
            version: 0x2000_0000,
            fixed_version_bits: 0,
            prev_hash: BlockHash::all_zeros(),
            bits: CompactTarget::from_consensus(bits),
            min_time: UnixTime::from_secs(PARENT.as_secs() - 3_000),
            current_time: UnixTime::from_secs(PARENT.as_secs() + since_parent),
            coinbase_value: Amount::ZERO,
            coinbase_sequence: 0xffff_fffe,
            coinbase_lock_time: height - 1,
            transactions: Vec::new(),
            witness_commitment: None,
            limits: BlockLimits::default(),
        }
    }

    fn after_parent(seconds: u32) -> UnixTime {
        UnixTime::from_secs(PARENT.as_secs() + seconds)
    }

    #[test]
    fn ordinary_bits_of_testnet4_hold_for_20_minutes_to_the_second() {
        let template = template(Network::Testnet4, 100_001, 0x1b00_ffff, 5);
        let window = HeaderWindow::of(&template, PARENT);
        assert!(window.contains(template.min_time));
        assert!(window.contains(after_parent(1_200)));
        assert!(!window.contains(after_parent(1_201)));
    }

    #[test]
    fn minimum_bits_of_testnet4_hold_only_after_20_minutes() {
        let template = template(Network::Testnet4, 100_001, TESTNET4_MINIMUM, 1_201);
        let window = HeaderWindow::of(&template, PARENT);
        assert!(!window.contains(after_parent(1_200)));
        assert!(window.contains(after_parent(1_201)));
        assert!(window.contains(after_parent(9_000)));
    }

    #[test]
    fn where_the_true_difficulty_is_the_minimum_nothing_is_bounded() {
        let template = template(Network::Testnet4, 100_001, TESTNET4_MINIMUM, 1_200);
        assert_eq!(
            HeaderWindow::of(&template, PARENT),
            HeaderWindow::unbounded(&template)
        );
    }

    #[test]
    fn the_first_block_of_a_period_is_exempt() {
        let template = template(Network::Testnet4, 2_016 * 50, 0x1b00_ffff, 5);
        assert_eq!(HeaderWindow::of(&template, PARENT).latest, None);
    }

    #[test]
    fn no_other_network_has_the_rule() {
        for network in [Network::Mainnet, Network::Signet, Network::Regtest] {
            let template = template(network, 100_001, 0x1b00_ffff, 5);
            assert_eq!(
                HeaderWindow::of(&template, PARENT),
                HeaderWindow::unbounded(&template)
            );
        }
    }
}
