//! Which channels of a connection one message can reach (R-1, R-9, spec §5.2.3). Not here: what
//! they are told.

use std::collections::{BTreeSet, HashMap};

use headframe_channels::{Channel, ChannelId, ChannelMap};
use headframe_work::Payout;

/// The channels of a connection, in groups that can share a job.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_id: ChannelMap<Group>,
    by_kind: HashMap<GroupKind, ChannelId>,
    of_channel: ChannelMap<ChannelId>,
}

#[derive(Debug)]
struct Group {
    kind: GroupKind,
    members: BTreeSet<ChannelId>,
}

/// What the channels of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GroupKind {
    extranonce_len: usize,
    payout: Payout,
}

/// Channels that one message reaches, by the id it is addressed to: a channel's own, or that of a
/// group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Audience {
    pub(super) to: ChannelId,
    /// `None` where it is one channel, whose id stands above.
    group: Option<Vec<ChannelId>>,
}

/// Where an audience stands among all: those of one group, which share a job, beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    group: ChannelId,
    channel: ChannelId,
}

impl GroupKind {
    pub(super) fn of(channel: &Channel) -> Self {
        Self {
            extranonce_len: channel.extranonce_len(),
            payout: channel.payout().clone(),
        }
    }
}

impl Audience {
    /// One channel, by its own id.
    pub(super) fn alone(channel: ChannelId) -> Self {
        Self {
            to: channel,
            group: None,
        }
    }

    pub(super) fn members(&self) -> &[ChannelId] {
        let alone = core::slice::from_ref(&self.to);
        self.group.as_deref().unwrap_or(alone)
    }
}

impl Place {
    /// No audience stands before it.
    pub(super) const FIRST: Self = {
        let id = ChannelId::new(0);
        Self {
            group: id,
            channel: id,
        }
    };
}

impl Groups {
    /// The group that a channel of this kind joins, if there is one.
    pub(super) fn find(&self, kind: &GroupKind) -> Option<ChannelId> {
        self.by_kind.get(kind).copied()
    }

    /// Puts `channel` into the group `id`, which is made if it is not there.
    pub(super) fn join(&mut self, id: ChannelId, kind: GroupKind, channel: ChannelId) {
        self.by_kind.entry(kind.clone()).or_insert(id);
        let members = BTreeSet::new();
        let group = || Group { kind, members };
        let group = self.by_id.get_or_insert_with(id, group);
        group.members.insert(channel);
        self.of_channel.insert(channel, id);
    }

    /// Takes `channel` out of its group, which goes with its last member.
    pub(super) fn leave(&mut self, channel: ChannelId) {
        let Some(id) = self.of_channel.remove(channel) else {
            return;
        };
        let Some(group) = self.by_id.get_mut(id) else {
            return;
        };
        group.members.remove(&channel);
        if group.members.is_empty() {
            self.by_kind.remove(&group.kind);
            self.by_id.remove(id);
        }
    }

    /// The members of the group `id`.
    pub(super) fn members(&self, id: ChannelId) -> Option<Vec<ChannelId>> {
        let group = self.by_id.get(id)?;
        Some(group.members.iter().copied().collect())
    }

    /// The audiences from `from` on, `most` of them at most, and where the next one stands if there may be
    /// more. A channel is in one of them: alone by its own id, or with the others of its group where there
    /// are others and channels are not to be addressed `singly`.
    pub(super) fn audiences(
        &self,
        from: Place,
        most: usize,
        singly: bool,
    ) -> (Vec<Audience>, Option<Place>) {
        let mut audiences = Vec::new();
        for (id, group) in self.by_id.from(from.group) {
            let first = match id == from.group {
                true => from.channel,
                false => Place::FIRST.channel,
            };
            let is_together = !singly && group.members.len() > 1;
            for &channel in group.members.range(first..) {
                let at = Place { group: id, channel };
                if audiences.len() == most {
                    return (audiences, Some(at));
                }
                if is_together {
                    audiences.push(group.audience(id));
                    break;
                }
                audiences.push(Audience::alone(channel));
            }
        }
        (audiences, None)
    }
}

impl Group {
    fn audience(&self, id: ChannelId) -> Audience {
        Audience {
            to: id,
            group: Some(self.members.iter().copied().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use headframe_work::Payout;

    use super::*;

    fn kind(extranonce_len: usize) -> GroupKind {
        GroupKind {
            extranonce_len,
            payout: Payout::new(bitcoin::ScriptBuf::new(), None),
        }
    }

    fn id(number: u32) -> ChannelId {
        ChannelId::new(number)
    }

    /// All audiences, asked for so many at a time.
    fn audiences(groups: &Groups, most: usize, singly: bool) -> Vec<Audience> {
        let (mut all, mut from) = (Vec::new(), Some(Place::FIRST));
        while let Some(place) = from {
            let (audiences, next) = groups.audiences(place, most, singly);
            assert!(audiences.len() <= most);
            all.extend(audiences);
            from = next;
        }
        all
    }

    fn together(to: u32, members: &[u32]) -> Audience {
        Audience {
            to: id(to),
            group: Some(members.iter().copied().map(id).collect()),
        }
    }

    #[test]
    fn only_two_or_more_are_addressed_together() {
        let mut groups = Groups::default();
        groups.join(id(2), kind(12), id(1));
        groups.join(id(4), kind(20), id(3));
        let alone = [Audience::alone(id(1)), Audience::alone(id(3))];
        assert_eq!(audiences(&groups, 9, false), alone);
        groups.join(groups.find(&kind(12)).unwrap(), kind(12), id(5));
        let mixed = [together(2, &[1, 5]), Audience::alone(id(3))];
        assert_eq!(audiences(&groups, 9, false), mixed);
        assert_eq!(audiences(&groups, 9, true).len(), 3);
        groups.leave(id(1));
        let alone = [Audience::alone(id(5)), Audience::alone(id(3))];
        assert_eq!(audiences(&groups, 9, false), alone);
        groups.leave(id(5));
        assert_eq!(groups.find(&kind(12)), None);
        assert_eq!(groups.members(id(2)), None);
    }

    #[test]
    fn a_few_at_a_time_make_all_of_them() {
        let mut groups = Groups::default();
        for channel in 0..40 {
            let group = 100 + channel % 7;
            groups.join(id(group), kind(group as usize), id(channel));
        }
        for singly in [false, true] {
            let all = audiences(&groups, usize::MAX, singly);
            assert_eq!(all.len(), if singly { 40 } else { 7 });
            for most in 1..42 {
                assert_eq!(audiences(&groups, most, singly), all, "{most} at a time");
            }
        }
    }

    /// Between two of them channels come and go.
    #[test]
    fn who_leaves_takes_nobody_s_turn() {
        let mut groups = Groups::default();
        for (group, channel) in [(10, 1), (10, 2), (10, 3), (20, 4), (20, 5)] {
            groups.join(id(group), kind(group as usize), id(channel));
        }
        let (first, next) = groups.audiences(Place::FIRST, 1, true);
        assert_eq!(first, [Audience::alone(id(1))]);
        groups.leave(id(2));
        let (rest, next) = groups.audiences(next.unwrap(), 1, true);
        assert_eq!(rest, [Audience::alone(id(3))]);
        groups.leave(id(4));
        groups.join(id(20), kind(20), id(6));
        let (rest, next) = groups.audiences(next.unwrap(), 9, true);
        assert_eq!(rest, [Audience::alone(id(5)), Audience::alone(id(6))]);
        assert_eq!(next, None);
    }
}
