//! A miner that is connected and has work, and gives no share: whether that is longer than chance
//! explains, and what it probably comes of.
//!
//! Only what the pool knows counts: what the miner declared, what was measured, which of its shares
//! were rejected and why. Several causes may look alike from here, so that each is a guess, the most
//! probable first.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use headframe_api::{RejectReason, SilenceCause, SilenceCode};
use headframe_mining::server::{Joined, Protocol};
use headframe_work::{Hashrate, Rung, Work};

use super::alarms::{remedy, span};
use super::convert;

/// A miner is quiet when no share came in so many times the time that one takes it: chance alone
/// does that to one share in 22,000.
const QUIET_AFTER: f64 = 10.0;
/// Nobody is called quiet sooner.
const QUIET_AT_LEAST: Duration = Duration::from_secs(60);
/// Before its first share nobody knows how fast a miner is. The difficulty control finds it within
/// five minutes, whatever the miner declared, so that nobody is called quiet before.
const FIRST_SHARE: Duration = Duration::from_secs(300);
/// One that by its own word needs longer than this for ten shares has a difficulty that is too high for
/// it, which its owner wants to know.
const FIRST_SHARE_AT_MOST: Duration = Duration::from_secs(3_600);

/// What has been heard of a miner on its present connection.
#[derive(Debug)]
pub(super) struct Hearing {
    since: Instant,
    protocol: Protocol,
    declared: Hashrate,
    easiest: Rung,
    /// When its last share was accepted, and its hashrate by then.
    last_share: Option<(Instant, Hashrate)>,
    /// The shares that were rejected after that.
    rejected: BTreeMap<RejectReason, u64>,
}

impl Hearing {
    pub(super) fn new(joined: &Joined, now: Instant) -> Self {
        Self {
            since: now,
            protocol: joined.protocol,
            declared: joined.declared,
            easiest: joined.easiest,
            last_share: None,
            rejected: BTreeMap::new(),
        }
    }

    /// A share was accepted from a miner of `rate` hashes per second.
    pub(super) fn handle_accepted(&mut self, now: Instant, rate: f64) {
        let rate = Hashrate::from_hashes_per_second(rate).unwrap_or_default();
        self.last_share = Some((now, rate));
        self.rejected.clear();
    }

    /// Shares were rejected, and none was accepted among them.
    pub(super) fn handle_rejected(&mut self, rejected: &BTreeMap<RejectReason, u64>) {
        for (reason, count) in rejected {
            convert::add(&mut self.rejected, *reason, *count);
        }
    }

    /// When its connection began.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// Whether a share was accepted.
    pub(super) const fn has_heard(&self) -> bool {
        self.last_share.is_some()
    }

    /// Whether it has been silent for longer than chance explains. Time before `resumed` does not
    /// count: there was nothing to work on.
    pub(super) fn has_lost_patience(
        &self,
        rung: Option<Rung>,
        now: Instant,
        resumed: Instant,
    ) -> bool {
        let since = self.last_share.map_or(self.since, |(at, _)| at);
        let silence = now.saturating_duration_since(since.max(resumed));
        silence.as_secs_f64() >= self.patience(rung)
    }

    /// The mean time between its shares, in seconds, if its hashrate is known.
    pub(super) fn expected(&self, rung: Option<Rung>) -> Option<f64> {
        let rate = self.last_share.map_or(self.declared, |(_, rate)| rate);
        let seconds = Work::of_rung(rung?).expected_hashes() / rate.as_f64();
        seconds.is_finite().then_some(seconds)
    }

    /// How long, in seconds, it may be silent.
    fn patience(&self, rung: Option<Rung>) -> f64 {
        let [quiet_at_least, first, first_at_most] =
            [QUIET_AT_LEAST, FIRST_SHARE, FIRST_SHARE_AT_MOST].map(|span| span.as_secs_f64());
        match (self.expected(rung), self.last_share) {
            (None, _) => first,
            (Some(expected), Some(_)) => (QUIET_AFTER * expected).max(quiet_at_least),
            (Some(expected), None) => (QUIET_AFTER * expected).clamp(first, first_at_most),
        }
    }

    /// Why it may be silent, the most probable first. `was_heard_before`: on this connection or an
    /// earlier one.
    pub(super) fn causes(&self, rung: Option<Rung>, was_heard_before: bool) -> Vec<SilenceCause> {
        let commonest = self.rejected.iter().max_by_key(|(_, count)| **count);
        if let Some((reason, _)) = commonest {
            return vec![self.rejected_cause(*reason, was_heard_before)];
        }
        let mut causes = Vec::new();
        causes.extend(self.difficulty_cause(rung));
        if self.last_share.is_some() {
            causes.push(cause(
                SilenceCode::Stopped,
                "It gave shares on this connection, and now nothing arrives: it has stopped \
                 hashing, or is cut off and its connection was not closed.",
            ));
            return causes;
        }
        if !was_heard_before && self.reads_targets() {
            causes.push(cause(
                SilenceCode::TargetByteOrder,
                "It has never had a share here, and nothing arrives: it may read the target in the \
                 wrong byte order, and wait for a hash that never comes.",
            ));
        }
        causes.push(cause(
            SilenceCode::NothingArrives,
            match was_heard_before {
                true => {
                    "It gave shares on an earlier connection, and nothing arrives on this one: it \
                     may not be hashing."
                }
                false => "Nothing arrives from it: it may not be hashing, or not be set up yet.",
            },
        ));
        causes
    }

    /// SV1 miners are told a difficulty, in decimal digits.
    fn reads_targets(&self) -> bool {
        self.protocol == Protocol::Sv2
    }

    /// A miner that was measured has the difficulty that fits it.
    fn difficulty_cause(&self, rung: Option<Rung>) -> Option<SilenceCause> {
        let rung = rung.filter(|_| self.last_share.is_none())?;
        let (difficulty, expected) = (rung.difficulty(), self.expected(Some(rung)));
        let is_long = |of: Duration| QUIET_AFTER * expected.unwrap_or(f64::MAX) > of.as_secs_f64();
        if self.easiest > Rung::EASIEST && rung <= self.easiest && is_long(FIRST_SHARE) {
            return Some(cause(
                SilenceCode::DifficultyTooHigh,
                &format!(
                    "It accepts no difficulty below {difficulty}, which seems too high for it; it \
                     may have sent its max_target in the wrong byte order."
                ),
            ));
        }
        let expected = expected.filter(|_| is_long(FIRST_SHARE_AT_MOST))?;
        Some(cause(
            SilenceCode::DifficultyTooHigh,
            &format!(
                "The difficulty is too high for what it said of itself: at {} a share of difficulty \
                 {difficulty} takes about {}.",
                self.declared,
                span(expected as u64)
            ),
        ))
    }

    fn rejected_cause(&self, reason: RejectReason, was_heard_before: bool) -> SilenceCause {
        let count = self
            .rejected
            .values()
            .fold(0, |sum: u64, count| sum.saturating_add(*count));
        let (main, why, _) = remedy(reason);
        let which = match self.has_heard() {
            true => "since its last good one",
            false => "of this connection",
        };
        let arrived = match count {
            1 => format!("The only share {which} was rejected as {main}."),
            more => format!("All {more} shares {which} were rejected, mostly {main}."),
        };
        let wrong_order = reason == RejectReason::LowDifficulty && !was_heard_before;
        let (code, why) = match reason {
            _ if wrong_order => (
                SilenceCode::TargetByteOrder,
                "It probably reads the target, or hashes the header, in the wrong byte order.",
            ),
            RejectReason::Time => (
                SilenceCode::Clock,
                "Its clock is wrong, or it rolls the time in the header too far.",
            ),
            RejectReason::Stale | RejectReason::UnknownJob | RejectReason::UnknownChannel => (
                SilenceCode::OldWork,
                "It goes on with old work and does not take what it is sent.",
            ),
            RejectReason::Duplicate
            | RejectReason::LowDifficulty
            | RejectReason::Version
            | RejectReason::Extranonce
            | RejectReason::Unauthorized
            | RejectReason::Malformed
            | RejectReason::Other => (SilenceCode::OnlyRejected, why),
        };
        cause(code, &format!("{arrived} {why}"))
    }
}

fn cause(code: SilenceCode, text: &str) -> SilenceCause {
    SilenceCause {
        code,
        text: text.to_owned(),
    }
}
