//! The workers of a channel, whom extension 0x0002 names share by share.
//!
//! Each has a seat of its own at the board and in the ledger, as the workers of an SV1 connection
//! have. He is a label: channel, jobs, difficulty, acknowledgements and payout are the channel's
//!

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_channels::{ChannelId, ChannelKind};
use headframe_sv2_wire::tlv::UserIdentity;
use headframe_work::{Miner, Rung};

use crate::server::desk::Desk;
use crate::server::seat::Seat;
use crate::server::{Device, Joined, Protocol, SessionEvent};

/// Names on one connection: a farm's proxy has some thousands of miners. What comes under further
/// ones is the channel's own.
pub(super) const MAX_NAMES: usize = 10_000;
/// Names on one channel, so that one of many cannot have them all.
pub(super) const MAX_NAMES_OF_CHANNEL: usize = 4_096;
/// Seats of workers are numbered from here on, those of channels stay below it.
pub(super) const FIRST_SEAT: u32 = 1 << 31;
/// Who had no share accepted for so long does not count for the difficulty of his channel. Ten times as
/// long as the slowest of a usual crowd is silent by chance.
const HEARD_WITHIN: Duration = Duration::from_secs(600);
/// They are counted this often; whoever is new counts at once.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// The workers of all channels of a connection.
#[derive(Debug)]
pub(super) struct Workers {
    crews: HashMap<ChannelId, Crew>,
    names: usize,
    next_seat: u32,
}

/// Those of one channel, and whether its own name has a seat.
#[derive(Debug, Default)]
struct Crew {
    /// By the bytes of the name, up to 32.
    workers: HashMap<Box<[u8]>, Worker>,
    own_seat: OwnSeat,
    /// How many were heard of lately, and when to count them again.
    heard: usize,
    count_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Worker {
    seat: ChannelId,
    /// When his last share was accepted.
    heard: Instant,
}

/// The seat of a channel's own name. One under which no share comes would be taken for a miner
/// that is silent, so it is given up to the workers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum OwnSeat {
    /// As the channel was opened.
    #[default]
    Idle,
    /// Shares come under it.
    Used,
    Left,
}

/// A share, as far as it says whose it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'a> {
    /// The name in the share.
    pub(super) name: Option<UserIdentity<'a>>,
    /// Whether there is work behind it: a name that nobody worked for gets no seat.
    pub(super) is_proven: bool,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            crews: HashMap::new(),
            names: 0,
            next_seat: FIRST_SEAT,
        }
    }
}

impl Workers {
    /// Whether no share was booked here since its channel was opened.
    pub(super) fn is_empty(&self) -> bool {
        self.crews.is_empty()
    }

    /// The seat that a share on the channel of `seat` is booked on, which is told of if it is new.
    pub(super) fn book(
        &mut self,
        now: Instant,
        desk: &mut Desk,
        (device, seat): (&Device, &Seat),
        claim: Claim<'_>,
    ) -> ChannelId {
        let name = claim.name.filter(|name| !name.as_bytes().is_empty());
        let crew = self.crews.entry(seat.id).or_default();
        if let Some(known) = name.and_then(|name| crew.workers.get_mut(name.as_bytes())) {
            if claim.is_proven {
                known.heard = now;
            }
            return known.seat;
        }
        let has_room = self.names < MAX_NAMES
            && crew.workers.len() < MAX_NAMES_OF_CHANNEL
            && self.next_seat < u32::MAX;
        if let Some(name) = name.filter(|_| claim.is_proven && has_room)
            && let Some(miner) = worker(&seat.miner, name)
        {
            let id = ChannelId::new(self.next_seat);
            self.next_seat += 1;
            self.names += 1;
            let worker = Worker {
                seat: id,
                heard: now,
            };
            crew.workers.insert(name.as_bytes().into(), worker);
            crew.heard += 1;
            desk.tell(joined(id, miner, seat, device));
            if crew.own_seat == OwnSeat::Idle {
                crew.own_seat = OwnSeat::Left;
                desk.tell(SessionEvent::Vacated { seat: seat.id });
            }
            return id;
        }
        if crew.own_seat == OwnSeat::Left {
            desk.tell(joined(seat.id, seat.miner.clone(), seat, device));
        }
        crew.own_seat = OwnSeat::Used;
        seat.id
    }

    /// How many workers of a channel were heard of lately; one where nobody is named.
    pub(super) fn heard(&mut self, now: Instant, channel: ChannelId) -> usize {
        let Some(crew) = self.crews.get_mut(&channel) else {
            return 1;
        };
        if crew.count_at.is_none_or(|at| now >= at) {
            let since = |worker: &Worker| now.saturating_duration_since(worker.heard);
            let workers = crew.workers.values();
            crew.heard = workers
                .filter(|worker| since(worker) <= HEARD_WITHIN)
                .count();
            crew.count_at = Some(now + COUNT_EVERY);
        }
        crew.heard.max(1)
    }

    /// Whether somebody has a seat of his own on a channel.
    pub(super) fn are_named_on(&self, channel: ChannelId) -> bool {
        let crew = self.crews.get(&channel);
        crew.is_some_and(|crew| !crew.workers.is_empty())
    }

    /// Tells all who are on a channel their difficulty.
    pub(super) fn tell_difficulty(&self, desk: &mut Desk, channel: ChannelId, rung: Rung) {
        let crew = self.crews.get(&channel);
        for seat in seats(channel, crew) {
            desk.tell(SessionEvent::Difficulty { seat, rung });
        }
    }

    /// The channel is closed, and all who were on it have left.
    pub(super) fn leave(&mut self, desk: &mut Desk, channel: ChannelId) {
        let crew = self.crews.remove(&channel);
        self.names -= crew.as_ref().map_or(0, |crew| crew.workers.len());
        for seat in seats(channel, crew.as_ref()) {
            desk.tell(SessionEvent::Left { seat });
        }
    }
}

/// The seats that are taken on a channel.
fn seats(channel: ChannelId, crew: Option<&Crew>) -> impl Iterator<Item = ChannelId> {
    let has_own = crew.is_none_or(|crew| crew.own_seat != OwnSeat::Left);
    let workers = crew.into_iter().flat_map(|crew| crew.workers.values());
    let workers = workers.map(|worker| worker.seat);
    has_own.then_some(channel).into_iter().chain(workers)
}

pub(super) fn joined(id: ChannelId, miner: Miner, seat: &Seat, device: &Device) -> SessionEvent {
    let kind: ChannelKind = seat.channel.kind();
    SessionEvent::Joined(Box::new(Joined {
        seat: id,
        miner,
        protocol: Protocol::Sv2,
        kind,
        device: device.clone(),
        rung: seat.announced(),
        declared: seat.control.declared(),
        easiest: seat.control.floor(),
    }))
}

/// The worker `name` of the channel's owner: the name with which he would come by himself, paid as
/// the owner is. `None` if that is longer than a user name may be.
fn worker(owner: &Miner, name: UserIdentity<'_>) -> Option<Miner> {
    let base = owner_name(owner);
    let name = name.to_string();
    // Some proxies pass on the whole name that the miner gave them.
    let rest = name.strip_prefix(base);
    let worker = rest.and_then(|rest| rest.strip_prefix(['.', '_']));
    // Others pass on his address, and SRI's translator cuts it.
    let is_base = base == name || (name.len() == UserIdentity::MAX_LEN && base.starts_with(&name));
    let (worker, user): (_, Arc<str>) = match worker {
        None if is_base => ("", base.into()),
        worker => {
            let worker = worker.unwrap_or(&name);
            (worker, format!("{base}.{worker}").into())
        }
    };
    (user.len() <= Miner::MAX_LEN).then(|| Miner {
        user,
        worker: worker.into(),
        address: owner.address.clone(),
        payout: owner.payout.clone(),
    })
}

/// What the owner's workers have in common: his address, or a plain name up to its last dot, since
/// proxies put their own word behind it.
fn owner_name(owner: &Miner) -> &str {
    let Miner { user, worker, .. } = owner;
    let base = match **worker == **user {
        true => user.rsplit_once('.').map(|(base, _)| base),
        false => user.strip_suffix(&**worker),
    };
    base.unwrap_or(user).trim_end_matches(['.', '_'])
}

#[cfg(test)]
mod tests {
    use headframe_testkit::address;
    use headframe_work::{Network, PayoutPolicy};

    use super::*;

    fn owner(user: &str) -> Miner {
        let policy = PayoutPolicy {
            network: Network::Regtest,
            fee: None,
            plain_names: Some(address(9)),
        };
        policy.miner(user).expect("a good name")
    }

    fn named(user: &str, name: &[u8]) -> Option<Miner> {
        let name = UserIdentity::new(name).expect("at most 32 bytes");
        worker(&owner(user), name)
    }

    /// whatever the name, the channel's owner is paid; it replaces what stood behind his name.
    #[test]
    fn a_worker_has_the_name_with_which_he_would_come_by_himself() {
        let rich = address(1).to_string();
        let (dotted, proxied) = (format!("{rich}.rig1"), format!("{rich}.translator-proxy"));
        for user in [&rich, &dotted, &proxied, &format!("{rich}_a.b")] {
            let worker = named(user, b"rig7").expect("short enough");
            assert_eq!(&*worker.user, format!("{rich}.rig7"), "{user}");
            assert_eq!(&*worker.worker, "rig7");
            assert_eq!(worker.payout, owner(&rich).payout);
            assert_eq!(worker.address, owner(&rich).address);
            assert_eq!(owner(&worker.user), worker, "as if he came by himself");
        }
        for (user, name, expected) in [
            ("farm", "rig1", "farm.rig1"),
            ("farm.translator-proxy", "rig1", "farm.rig1"),
            ("farm.translator-proxy", "farm.rig1", "farm.rig1"),
            ("farm.translator-proxy", "farm_rig1", "farm.rig1"),
            ("farm", "farm", "farm"),
            ("farm", "fa", "farm.fa"),
            ("farm", "1a\n\u{202e}", "farm.1a\\u{a}\\u{202e}"),
        ] {
            let worker = named(user, name.as_bytes()).expect("short enough");
            assert_eq!(&*worker.user, expected);
            assert_eq!(worker.payout, owner(user).payout);
        }
        let cut = named(&proxied, &rich.as_bytes()[..32]).expect("short enough");
        assert_eq!(cut, owner(&rich), "SRI's translator cuts an address");
    }

    #[test]
    fn a_name_that_would_be_too_long_is_none() {
        let long = "f".repeat(222);
        assert_eq!(
            named(&long, &[b'n'; 32]).map(|miner| miner.user.len()),
            Some(255)
        );
        assert_eq!(named(&format!("{long}f"), &[b'n'; 32]), None);
        assert_eq!(named(&long, &[0; 32]), None);
    }
}
