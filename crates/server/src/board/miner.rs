//! One miner: what is kept of it when it goes, and what is known while it is here.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use headframe_api::{Encryption, HashrateWindows, MinerState, RejectReason, Silence};
use headframe_ledger::{BestShare, ClientKind, WorkerId, WorkerRecord};
use headframe_mining::server::{Device, Joined, LongCoinbase};
use headframe_work::{Rung, UnixTime};

use super::convert;
use super::counts::Counts;
use super::silence::Hearing;
use super::window::Windows;
use crate::news::ShareTally;

/// What makes two connections the same miner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) worker: WorkerId,
    pub(super) client: ClientKind,
}

/// What is kept of a miner across its connections.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// Names it to the outside.
    pub(super) id: u64,
    pub(super) identity: Identity,
    device: Device,
    encryption: Encryption,
    connected_at: UnixTime,
    pub(super) rung: Option<Rung>,
    pub(super) counts: Counts,
    best: Option<BestShare>,
    pub(super) last_share_at: Option<UnixTime>,
    /// For how long it was connected, before its present connection.
    pub(super) stayed: Duration,
}

impl Record {
    /// A miner that was never seen.
    pub(super) fn new(id: u64, identity: Identity) -> Self {
        Self {
            id,
            identity,
            device: Device::default(),
            encryption: Encryption::None,
            connected_at: UnixTime::default(),
            rung: None,
            counts: Counts::default(),
            best: None,
            last_share_at: None,
            stayed: Duration::ZERO,
        }
    }

    /// A miner that the ledger remembers. It does not remember how the miner was connected, nor for
    /// how long: the time over which it was seen stands for that.
    pub(super) fn remembered(id: u64, worker: &WorkerRecord) -> Self {
        let sighting = worker.sighting.as_ref();
        let client = sighting.map_or(ClientKind::Sv1, |sighting| sighting.client);
        let (first, last) = (worker.first_seen.as_secs(), worker.last_seen.as_secs());
        let span = last.saturating_sub(first);
        let identity = Identity {
            worker: worker.worker.clone(),
            client,
        };
        Self {
            device: sighting.map_or_else(Device::default, |it| Device::new(it.user_agent.as_str())),
            connected_at: worker.first_seen,
            counts: Counts::of_sums(&worker.sums),
            best: worker.best,
            last_share_at: worker.last_accepted,
            stayed: Duration::from_secs(span.into()),
            ..Self::new(id, identity)
        }
    }

    /// Whether it ever sent a share.
    pub(super) fn has_shares(&self) -> bool {
        self.counts.judged() > 0
    }

    /// Takes up what another connection of the same miner did.
    pub(super) fn merge(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.last_share_at = self.last_share_at.max(other.last_share_at);
        // Connections of one name at the same time are mostly there for the same time.
        self.stayed = self.stayed.max(other.stayed);
        if let Some(share) = other.best {
            self.offer_best(share);
        }
    }

    fn offer_best(&mut self, share: BestShare) {
        if self.best.is_none_or(|best| share.beats(&best)) {
            self.best = Some(share);
        }
    }

    pub(super) fn shown(&self, state: MinerState) -> headframe_api::Miner {
        let Identity { worker, client } = &self.identity;
        let best_difficulty = self.best.map_or(0.0, |best| best.difficulty().as_f64());
        headframe_api::Miner {
            id: self.id,
            worker: worker.user().to_owned(),
            payout_address: Some(worker.payout().to_owned()),
            device: convert::clipped(self.device.as_str()),
            peer: String::new(),
            protocol: convert::protocol_of(*client),
            channel: convert::channel_of(*client),
            encryption: self.encryption,
            state,
            connected_at: convert::unix(self.connected_at),
            hashes_per_second: HashrateWindows::default(),
            difficulty: self.rung.map_or(0.0, |rung| rung.difficulty().as_f64()),
            shares: self.counts.shown(),
            best_difficulty: convert::finite(best_difficulty),
            last_share_at: self.last_share_at.map(convert::unix),
            silence: None,
            coinbase_too_long: None,
        }
    }
}

/// A miner that is connected.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) record: Record,
    peer: IpAddr,
    hearing: Hearing,
    /// A coinbase that is too long for its device.
    pub(super) coinbase: Option<Box<LongCoinbase>>,
    /// From the first share on.
    judged: Option<Box<Judged>>,
}

/// What is known of a miner's shares on its present connection.
#[derive(Debug)]
struct Judged {
    windows: Windows,
    verdicts: Verdicts,
}

impl Connected {
    pub(super) fn new(
        mut record: Record,
        joined: &Joined,
        (peer, encryption): (SocketAddr, Encryption),
        (now, at): (Instant, UnixTime),
    ) -> Self {
        record.device = joined.device.clone();
        record.encryption = encryption;
        record.connected_at = at;
        record.rung = Some(joined.rung);
        Self {
            record,
            peer: peer.ip().to_canonical(),
            hearing: Hearing::new(joined, now),
            coinbase: None,
            judged: None,
        }
    }

    pub(super) fn handle_shares(&mut self, now: Instant, at: UnixTime, tally: &ShareTally) {
        let counts = Counts::of_tally(tally);
        let since = self.since();
        let judged = self
            .judged
            .get_or_insert_with(|| Box::new(Judged::new(since)));
        judged.windows.add(now, counts.work);
        judged.verdicts.add(&counts, at);
        self.record.counts.add(&counts);
        if let Some(share) = tally.best {
            self.record.offer_best(share);
        }
        if tally.accepted > 0 {
            let rate = self.rates(now).one_hour;
            self.hearing.handle_accepted(now, rate);
            self.record.last_share_at = tally.last_accepted.or(Some(at));
        } else {
            self.hearing.handle_rejected(&counts.rejected);
        }
    }

    /// Whether too many of its last shares were rejected.
    pub(super) fn high_rejects(&self) -> Option<HighRejects> {
        self.judged.as_ref()?.verdicts.high()
    }

    /// When this connection began.
    pub(super) const fn since(&self) -> Instant {
        self.hearing.since()
    }

    /// What is kept of it when it goes.
    pub(super) fn into_record(mut self, now: Instant) -> Record {
        let stay = now.saturating_duration_since(self.since());
        self.record.stayed = self.record.stayed.saturating_add(stay);
        self.record
    }

    /// Whether its shares have been missing for long. Time before `resumed` does not count: there
    /// was nothing to work on.
    pub(super) fn is_quiet(&self, now: Instant, resumed: Instant) -> bool {
        self.hearing
            .has_lost_patience(self.record.rung, now, resumed)
    }

    /// Whether it works.
    pub(super) fn state(&self, now: Instant, resumed: Option<Instant>) -> MinerState {
        match resumed.is_some_and(|resumed| self.is_quiet(now, resumed)) {
            true => MinerState::Quiet,
            false => MinerState::Mining,
        }
    }

    /// Since when it is silent.
    pub(super) fn silent_since(&self) -> UnixTime {
        let heard_here = self
            .record
            .last_share_at
            .filter(|_| self.hearing.has_heard());
        heard_here.unwrap_or(self.record.connected_at)
    }

    /// What is known of its silence.
    pub(super) fn silence(&self) -> Silence {
        let was_heard_before = self.record.counts.accepted > 0;
        Silence {
            since_at: convert::unix(self.silent_since()),
            expected_share_seconds: self.hearing.expected(self.record.rung),
            causes: self.hearing.causes(self.record.rung, was_heard_before),
        }
    }

    fn rates(&self, now: Instant) -> HashrateWindows {
        match &self.judged {
            Some(judged) => judged.windows.rates(now),
            None => HashrateWindows {
                observed_seconds: now.saturating_duration_since(self.since()).as_secs(),
                ..HashrateWindows::default()
            },
        }
    }

    pub(super) fn shown(&self, now: Instant, state: MinerState) -> headframe_api::Miner {
        headframe_api::Miner {
            peer: self.peer.to_string(),
            hashes_per_second: self.rates(now),
            silence: (state == MinerState::Quiet).then(|| self.silence()),
            coinbase_too_long: self.coinbase.as_deref().map(convert::coinbase_too_long),
            ..self.record.shown(state)
        }
    }
}

impl Judged {
    /// Of a miner that is connected since then.
    fn new(since: Instant) -> Self {
        Self {
            windows: Windows::new(since),
            verdicts: Verdicts::default(),
        }
    }
}

/// The verdicts on the last shares of a miner: between one and two times [`Verdicts::SHARES`].
#[derive(Debug, Default)]
struct Verdicts {
    earlier: Counts,
    latest: Counts,
    high_since: Option<UnixTime>,
}

/// What a miner with too many rejected shares is told about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct HighRejects {
    pub(super) percent: f64,
    /// The most frequent reason.
    pub(super) reason: RejectReason,
    pub(super) since: UnixTime,
}

impl Verdicts {
    /// Fewer shares say nothing.
    const SHARES: u64 = 200;
    /// More than this is high.
    const HIGH_PERCENT: f64 = 5.0;

    fn add(&mut self, counts: &Counts, at: UnixTime) {
        self.latest.add(counts);
        if self.latest.judged() >= Self::SHARES {
            self.earlier = core::mem::take(&mut self.latest);
        }
        let is_high = self
            .percent()
            .is_some_and(|percent| percent > Self::HIGH_PERCENT);
        self.high_since = is_high.then(|| self.high_since.unwrap_or(at));
    }

    /// The rejected of the last shares, when there were enough.
    fn percent(&self) -> Option<f64> {
        let judged = self.earlier.judged().saturating_add(self.latest.judged());
        let rejected = self.earlier.rejected_total() as f64 + self.latest.rejected_total() as f64;
        (judged >= Self::SHARES).then(|| 100.0 * rejected / judged as f64)
    }

    fn high(&self) -> Option<HighRejects> {
        let since = self.high_since?;
        let percent = self.percent()?;
        let mut both = self.earlier.clone();
        both.add(&self.latest);
        let (reason, _) = both.rejected.into_iter().max_by_key(|(_, count)| *count)?;
        Some(HighRejects {
            percent,
            reason,
            since,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headframe_ledger::Rejection;

    fn tally(accepted: u64, stale: u64) -> Counts {
        Counts::of_tally(&ShareTally {
            accepted,
            rejected: [(Rejection::Stale, stale)].into(),
            ..ShareTally::default()
        })
    }

    #[test]
    fn rejects_are_high_above_five_percent_of_two_hundred_shares_and_pass() {
        let mut verdicts = Verdicts::default();
        let at = UnixTime::from_secs;
        verdicts.add(&tally(0, 199), at(1));
        assert_eq!(verdicts.high(), None);
        verdicts.add(&tally(1, 0), at(2));
        let high = verdicts.high().unwrap();
        assert_eq!((high.percent, high.since), (99.5, at(2)));
        assert_eq!(high.reason, RejectReason::Stale);
        verdicts.add(&tally(95, 5), at(3));
        assert_eq!(verdicts.high().unwrap().since, at(2));
        verdicts.add(&tally(100, 0), at(4));
        assert_eq!(verdicts.high(), None, "5 of the last 200");
    }
}
