//! The pool's types as the outside sees them. Each `match` is total: a new case of ours does not
//! compile until it has a name outside.

use std::collections::BTreeMap;

use headframe_api::RejectReason;
use headframe_channels::ChannelKind;
use headframe_ledger::{ClientKind, Rejection, Sums, Text};
use headframe_mining::server::{LongCoinbase, Protocol};
use headframe_work::{Network, UnixTime};

pub(super) fn network(network: Network) -> headframe_api::Network {
    match network {
        Network::Mainnet => headframe_api::Network::Mainnet,
        Network::Testnet4 => headframe_api::Network::Testnet4,
        Network::Signet => headframe_api::Network::Signet,
        Network::Regtest => headframe_api::Network::Regtest,
    }
}

pub(super) fn reason(rejection: Rejection) -> RejectReason {
    match rejection {
        Rejection::Stale => RejectReason::Stale,
        Rejection::Duplicate => RejectReason::Duplicate,
        Rejection::LowDifficulty => RejectReason::LowDifficulty,
        Rejection::UnknownJob => RejectReason::UnknownJob,
        Rejection::UnknownChannel => RejectReason::UnknownChannel,
        Rejection::BadExtranonceSize => RejectReason::Extranonce,
        Rejection::BadVersionBits => RejectReason::Version,
        Rejection::TimeTooOld | Rejection::TimeTooNew => RejectReason::Time,
        Rejection::Unauthorized => RejectReason::Unauthorized,
        Rejection::Other => RejectReason::Other,
    }
}

pub(super) fn rejected(sums: &Sums) -> BTreeMap<RejectReason, u64> {
    let mut by_reason = BTreeMap::new();
    for (rejection, tally) in &sums.rejected {
        add(&mut by_reason, reason(*rejection), tally.count);
    }
    by_reason
}

/// Adds to one reason. What never occurred stays absent.
pub(super) fn add(by_reason: &mut BTreeMap<RejectReason, u64>, reason: RejectReason, count: u64) {
    if count > 0 {
        let sum = by_reason.entry(reason).or_default();
        *sum = sum.saturating_add(count);
    }
}

pub(super) fn coinbase_too_long(coinbase: &LongCoinbase) -> headframe_api::CoinbaseTooLong {
    headframe_api::CoinbaseTooLong {
        bytes: coinbase.len as u64,
        limit_bytes: coinbase.limit as u64,
    }
}

pub(super) fn client(protocol: Protocol, kind: ChannelKind) -> ClientKind {
    match (protocol, kind) {
        (Protocol::Sv1, _) => ClientKind::Sv1,
        (Protocol::Sv2, ChannelKind::Standard) => ClientKind::Sv2Standard,
        (Protocol::Sv2, ChannelKind::Extended) => ClientKind::Sv2Extended,
    }
}

pub(super) fn protocol(protocol: headframe_ledger::Protocol) -> headframe_api::Protocol {
    match protocol {
        headframe_ledger::Protocol::Sv1 => headframe_api::Protocol::Sv1,
        headframe_ledger::Protocol::Sv2 => headframe_api::Protocol::Sv2,
    }
}

pub(super) fn protocol_of(client: ClientKind) -> headframe_api::Protocol {
    match client {
        ClientKind::Sv1 => headframe_api::Protocol::Sv1,
        ClientKind::Sv2Standard | ClientKind::Sv2Extended => headframe_api::Protocol::Sv2,
    }
}

pub(super) fn channel_of(client: ClientKind) -> Option<headframe_api::ChannelKind> {
    match client {
        ClientKind::Sv1 => None,
        ClientKind::Sv2Standard => Some(headframe_api::ChannelKind::Standard),
        ClientKind::Sv2Extended => Some(headframe_api::ChannelKind::Extended),
    }
}

pub(super) fn unix(time: UnixTime) -> u64 {
    time.as_secs().into()
}

/// A message of an error as a sentence for people. What it begins with is left as it is unless it is a
/// word: an address with a changed letter is another one or none.
pub(super) fn sentence(message: &str) -> String {
    let sentence = match begins_with_word(message) {
        true => message[..1].to_uppercase() + &message[1..],
        false => message.to_owned(),
    };
    match sentence.ends_with(['.', '!', '?']) || sentence.is_empty() {
        true => sentence,
        false => sentence + ".",
    }
}

/// Small letters of ASCII up to a space, a comma or the end, that are not the name of a program.
fn begins_with_word(message: &str) -> bool {
    let (word, _) = message.split_once([' ', ',']).unwrap_or((message, ""));
    let is_name = ["headframe", "bitcoind", "bitcoin-cli"].contains(&word);
    !word.is_empty() && !is_name && word.bytes().all(|letter| letter.is_ascii_lowercase())
}

/// Text from outside, at most 255 bytes of it.
pub(super) fn clipped(text: &str) -> String {
    Text::clip(text).as_str().to_owned()
}

/// A number that JSON can carry; zero stands for those that are none.
pub(super) fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headframe_ledger::Tally;
    use headframe_work::Work;

    #[test]
    fn every_rejection_is_counted_outside() {
        let mut sums = Sums::default();
        for rejection in Rejection::ALL {
            sums.rejected.insert(rejection, Tally::one(Work::ZERO));
        }
        let by_reason = rejected(&sums);
        assert_eq!(by_reason.values().sum::<u64>(), 11);
        assert_eq!(by_reason[&RejectReason::Time], 2);
    }

    #[test]
    fn messages_become_sentences() {
        assert_eq!(sentence("update this program"), "Update this program.");
        assert_eq!(sentence("it is outdated!"), "It is outdated!");
        assert_eq!(sentence(""), "");
        for name in [
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4 is no address of regtest",
            "bad-cb-amount",
            "headframe is too old",
            "éa",
        ] {
            assert_eq!(sentence(name), format!("{name}."));
        }
    }
}
