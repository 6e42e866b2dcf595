//! What the node says of blocks before one is found.

use std::time::Duration;

use headframe_api::{Alarm, BlockProof, ProofVerdict, Severity};
use headframe_work::UnixTime;

use super::convert;
use crate::news::ProofNews;

/// A layout that nobody mines with any more is not shown to the node again; its refusal is told for so
/// long.
const REFUSED_SHOWN: Duration = Duration::from_secs(60 * 60);

/// The node's last word, and which ways to pay it refuses.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    last: Option<ProofNews>,
    /// Each with the time of its first refusal.
    refused: Vec<(ProofNews, UnixTime)>,
}

impl Proofs {
    /// Takes a word in; true when it is another than before.
    pub(super) fn handle(&mut self, news: ProofNews) -> bool {
        let known = |(it, _): &(ProofNews, _)| it.layout == news.layout;
        let place = self.refused.iter().position(known);
        let before = place.map(|place| self.refused.swap_remove(place));
        let is_new = self.last.is_none() || before.is_some() != news.verdict.is_err();
        if news.verdict.is_err() {
            let since = before.map_or(news.at, |(_, since)| since);
            self.refused.push((news.clone(), since));
        }
        self.last = Some(news);
        is_new
    }

    /// Forgets what is over.
    pub(super) fn advance(&mut self, wall: UnixTime) {
        self.refused
            .retain(|(news, _)| news.at > wall.saturating_sub(REFUSED_SHOWN));
    }

    /// A refusal, if there is one, and else the last word.
    pub(super) fn shown(&self) -> Option<BlockProof> {
        let refused = self.refused.first().map(|(news, _)| news);
        let news = refused.or(self.last.as_ref())?;
        Some(BlockProof {
            checked_at: convert::unix(news.at),
            height: news.height.into(),
            payout_address: news.address.clone(),
            paid_sats: news.paid.to_sat(),
            node: news.node.clone(),
            verdict: match &news.verdict {
                Ok(()) => ProofVerdict::Accepted,
                Err(reason) => ProofVerdict::Refused {
                    reason: convert::clipped(reason),
                },
            },
        })
    }

    pub(super) fn alarm(&self) -> Option<Alarm> {
        let (news, since) = self.refused.first()?;
        let reason = news.verdict.as_ref().err()?;
        Some(Alarm {
            code: "proof_refused".into(),
            severity: Severity::Critical,
            title: "The node would refuse a block".into(),
            detail: format!(
                "A block at height {} that pays {}, built as a found one is, was shown to {} without its \
                 proof of work. The node said: {}.",
                news.height,
                news.address,
                news.node,
                convert::clipped(reason)
            ),
            next_step: remedy(reason).into(),
            since_at: convert::unix(*since),
        })
    }
}

/// What to do about a reason of Bitcoin Core's.
fn remedy(reason: &str) -> &'static str {
    const ROOM: [&str; 3] = ["bad-blk-weight", "bad-blk-length", "bad-blk-sigops"];
    const TIME: [&str; 3] = ["time-too-new", "time-too-old", "time-timewarp-attack"];
    const TRANSACTIONS: [&str; 4] = [
        "bad-txns",
        "mandatory-script-verify-flag-failed",
        "block-script-verify-flag-failed",
        "non-final",
    ];
    let is_one_of = |reasons: &[&str]| reasons.iter().any(|it| reason.contains(it));
    match () {
        () if is_one_of(&ROOM) => {
            "Raise blockreservedweight in bitcoin.conf and restart the node, or pay the fee to fewer addresses."
        }
        () if is_one_of(&TIME) => {
            "Set the clocks of the node's computer and of this one, and keep them set by NTP."
        }
        () if is_one_of(&TRANSACTIONS) => {
            "Restart the node and read its debug.log: the block has the transactions of the node's own template."
        }
        () => {
            "Update headframe. If that does not help, report this with the pool's log, and mine elsewhere until then."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::Layouts;
    use bitcoin::Amount;

    fn news(layout: u32, at: u32, verdict: Result<(), &str>) -> ProofNews {
        ProofNews {
            layout: Layouts::from_bits(layout),
            height: 840_000,
            node: "the node".to_owned(),
            address: "bc1q".to_owned(),
            paid: Amount::from_sat(312_500_000),
            verdict: verdict.map_err(str::to_owned),
            at: UnixTime::from_secs(at),
        }
    }

    #[test]
    fn a_refusal_stays_until_the_same_layout_is_accepted() {
        let mut proofs = Proofs::default();
        assert!(proofs.handle(news(1, 10, Ok(()))));
        assert!(proofs.alarm().is_none());
        assert!(proofs.handle(news(2, 20, Err("bad-cb-amount"))));
        assert!(!proofs.handle(news(1, 30, Ok(()))), "no news");
        assert!(!proofs.handle(news(2, 40, Err("bad-cb-amount"))));
        let alarm = proofs.alarm().unwrap();
        assert_eq!(alarm.since_at, 20);
        assert!(alarm.detail.ends_with("The node said: bad-cb-amount."));
        let refused = ProofVerdict::Refused {
            reason: "bad-cb-amount".to_owned(),
        };
        assert_eq!(proofs.shown().unwrap().verdict, refused);
        assert!(proofs.handle(news(2, 50, Ok(()))));
        assert!(proofs.alarm().is_none());
        assert_eq!(proofs.shown().unwrap().verdict, ProofVerdict::Accepted);
    }

    /// Its miner has gone, and nobody else shows the node what it was.
    #[test]
    fn a_refusal_that_is_not_repeated_ends_after_an_hour() {
        let mut proofs = Proofs::default();
        proofs.handle(news(1, 10_000, Err("bad-cb-amount")));
        proofs.advance(UnixTime::from_secs(10_000 + 3_599));
        assert!(proofs.alarm().is_some());
        proofs.advance(UnixTime::from_secs(10_000 + 3_600));
        assert!(proofs.alarm().is_none());
    }

    #[test]
    fn each_reason_has_one_thing_to_do() {
        for (reason, step) in [
            ("bad-blk-sigops", "blockreservedweight"),
            ("bad-blk-weight", "blockreservedweight"),
            ("time-too-old", "NTP"),
            ("bad-txns-inputs-missingorspent", "debug.log"),
            ("block-script-verify-flag-failed (…)", "debug.log"),
            ("bad-cb-amount", "report this"),
            ("bad-witness-merkle-match", "report this"),
        ] {
            assert!(remedy(reason).contains(step), "{reason}");
        }
    }
}
