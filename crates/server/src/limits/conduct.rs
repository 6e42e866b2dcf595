//! How a connection behaves: what it takes of the pool, and what its shares are like.
//!
//! Who sends more than the pool reads is not read for a moment: his messages wait in the network, and
//! none is lost. Only who keeps that up without a valid share offends.

use std::time::{Duration, Instant};

use headframe_channels::RejectReason;

use super::Offence;
use super::pace::{Pace, Rate};

/// Messages that may come at once. A hundred petahashes behind a channel at difficulty 1,024 find so many
/// in the second before the first harder job is there.
const BURST: u32 = 20_000;
/// Messages a second of a connection, and more for its channels: one percent of a core.
const PER_SECOND: f64 = 1_000.0;
/// So many times what difficulty control aims at is allowed to each channel, beyond [`PER_SECOND`].
const TIMES_WANTED: f64 = 5.0;
/// How long a connection that sent too much is not read, at least. Short, for among what waits may be a
/// block.
const HOLD: Duration = Duration::from_millis(250);
/// A connection that was held for so long in all, and gave no valid share, floods; and again each time.
const FLOOD: Duration = Duration::from_secs(10);
/// So many shares with an impossible version or time, and no valid one, are an offence; and again each
/// time. A device whose clock is wrong sends some twelve a minute, and is forgiven.
const IMPOSSIBLE: u32 = 50;

/// What a message costs the pool, in messages that cost nothing but their reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost(u32);

impl Cost {
    /// A channel is opened: an extranonce prefix, a job of its own, a row in the ledger.
    pub(crate) const OPEN: Self = Self(5);
    /// A channel is updated: a target, and perhaps a job.
    pub(crate) const UPDATE: Self = Self(2);
    /// Everything else.
    pub(crate) const MESSAGE: Self = Self(1);
    /// Bytes that cost as much as a message.
    const BYTES: usize = 512;

    /// The cost of a message of `len` bytes.
    pub(crate) fn with_len(self, len: usize) -> Self {
        let bytes = u32::try_from(len / Self::BYTES).unwrap_or(u32::MAX);
        Self(self.0.saturating_add(bytes))
    }
}

/// How a connection behaves.
#[derive(Debug)]
pub(super) struct Conduct {
    pace: Pace,
    rate: Rate,
    /// Messages a second for each channel.
    per_channel: f64,
    channels: u32,
    held_until: Option<Instant>,
    /// How long it was held since it last offended by that.
    held: Duration,
    impossible: u32,
    is_proven: bool,
    /// It is held no more.
    is_let_off: bool,
}

impl Conduct {
    pub(super) fn new(shares_per_minute: f64) -> Self {
        let per_channel = TIMES_WANTED * shares_per_minute / 60.0;
        Self {
            pace: Pace::default(),
            rate: rate(0, per_channel),
            per_channel,
            channels: 0,
            held_until: None,
            held: Duration::ZERO,
            impossible: 0,
            is_proven: false,
            is_let_off: false,
        }
    }

    /// Until when nothing is read; it may be over.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// Reads whatever comes, until it is said otherwise.
    pub(super) fn let_off(&mut self) {
        self.is_let_off = true;
        self.held_until = None;
    }

    /// Reads no faster than is allowed, as before.
    pub(super) fn hold_again(&mut self) {
        self.is_let_off = false;
    }

    pub(super) fn handle_opened(&mut self) {
        self.channels = self.channels.saturating_add(1);
        self.rate = rate(self.channels, self.per_channel);
    }

    pub(super) fn handle_closed(&mut self) {
        self.channels = self.channels.saturating_sub(1);
        self.rate = rate(self.channels, self.per_channel);
    }

    /// A message came. Tells when the connection floods.
    pub(super) fn handle_message(&mut self, now: Instant, Cost(cost): Cost) -> Option<Offence> {
        let turn = self.pace.spend(now, self.rate, cost);
        if turn <= now || self.is_let_off {
            return None;
        }
        let until = turn.max(now + HOLD);
        let from = self.held_until.map_or(now, |before| before.max(now));
        self.held += until.saturating_duration_since(from);
        self.held_until = Some(until);
        if self.is_proven || self.held < FLOOD {
            return None;
        }
        self.held = Duration::ZERO;
        Some(Offence::Flood)
    }

    /// A share is valid; true if it is the first.
    pub(super) fn handle_valid(&mut self) -> bool {
        !core::mem::replace(&mut self.is_proven, true)
    }

    /// A share is rejected. Tells when there are many that no device sends by accident.
    pub(super) fn handle_rejected(&mut self, reason: RejectReason) -> Option<Offence> {
        match reason {
            RejectReason::BadVersionBits | RejectReason::TimeTooOld | RejectReason::TimeTooNew => {}
            // Sent by honest devices after a reconnect, a block or a change of difficulty.
            RejectReason::UnknownJob
            | RejectReason::Stale
            | RejectReason::Duplicate
            | RejectReason::LowDifficulty
            | RejectReason::BadExtranonceSize => return None,
        }
        self.impossible += 1;
        if self.is_proven || self.impossible < IMPOSSIBLE {
            return None;
        }
        self.impossible = 0;
        Some(Offence::ImpossibleShares)
    }
}

fn rate(channels: u32, per_channel: f64) -> Rate {
    let per_second = PER_SECOND + f64::from(channels) * per_channel;
    Rate {
        burst: BURST,
        interval: Duration::from_secs_f64(per_second.recip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flood(conduct: &mut Conduct, now: &mut Instant, messages: u32) -> usize {
        let mut offences = 0;
        for _ in 0..messages {
            offences += usize::from(conduct.handle_message(*now, Cost::MESSAGE).is_some());
            *now = conduct.held_until().map_or(*now, |until| until.max(*now));
        }
        offences
    }

    #[test]
    fn who_sends_too_much_is_read_at_the_rate_that_is_allowed() {
        let start = Instant::now();
        let (mut conduct, mut now) = (Conduct::new(12.0), start);
        assert_eq!(flood(&mut conduct, &mut now, BURST), 0);
        assert_eq!(now, start, "a burst is read at once");
        flood(&mut conduct, &mut now, 60_000);
        let taken = (now - start).as_secs_f64();
        assert!((59.0..61.0).contains(&taken), "{taken}");
    }

    #[test]
    fn a_flood_offends_every_ten_seconds_unless_there_is_a_valid_share() {
        let start = Instant::now();
        let (mut conduct, mut now) = (Conduct::new(12.0), start);
        assert_eq!(flood(&mut conduct, &mut now, BURST + 35_000), 3);
        assert!(conduct.handle_valid());
        assert!(!conduct.handle_valid());
        assert_eq!(flood(&mut conduct, &mut now, 35_000), 0);
    }

    #[test]
    fn a_proxy_of_many_miners_is_allowed_many_times_what_they_send() {
        let start = Instant::now();
        let mut conduct = Conduct::new(12.0);
        let mut now = start;
        for _ in 0..10_000 {
            conduct.handle_message(now, Cost::OPEN);
            conduct.handle_opened();
            now = conduct.held_until().map_or(now, |until| until.max(now));
        }
        assert!(
            now - start < Duration::from_secs(20),
            "ten thousand are opened soon"
        );
        // Four times the two thousand shares a second that are aimed at, for an hour.
        for _ in 0..3_600 {
            now += Duration::from_secs(1);
            for _ in 0..8_000 {
                assert_eq!(conduct.handle_message(now, Cost::MESSAGE), None);
            }
            assert!(conduct.held_until().is_none_or(|until| until <= now));
        }
    }

    #[test]
    fn only_impossible_shares_count() {
        let mut conduct = Conduct::new(12.0);
        for reason in [
            RejectReason::UnknownJob,
            RejectReason::Stale,
            RejectReason::Duplicate,
            RejectReason::LowDifficulty,
            RejectReason::BadExtranonceSize,
        ] {
            for _ in 0..1_000 {
                assert_eq!(conduct.handle_rejected(reason), None);
            }
        }
        let impossible = [
            RejectReason::BadVersionBits,
            RejectReason::TimeTooOld,
            RejectReason::TimeTooNew,
        ];
        let offences = |conduct: &mut Conduct| {
            let reasons = impossible.iter().cycle().take(100);
            reasons
                .filter(|reason| conduct.handle_rejected(**reason).is_some())
                .count()
        };
        assert_eq!(offences(&mut conduct), 2);
        conduct.handle_valid();
        assert_eq!(offences(&mut conduct), 0);
    }

    #[test]
    fn long_messages_cost_more() {
        assert_eq!(Cost::MESSAGE.with_len(40), Cost::MESSAGE);
        assert_eq!(Cost::MESSAGE.with_len(80 * 1024), Cost(161));
        assert_eq!(Cost::OPEN.with_len(100), Cost::OPEN);
    }
}
