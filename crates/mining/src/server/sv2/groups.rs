//! Which channels of a connection one message can reach (R-1, R-9, spec §5.2.3). Not here: what
//! they are told.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use headframe_channels::{Channel, ChannelId};
use headframe_work::Payout;

/// The channels of a connection, in groups that can share a job.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Boxed: a map keeps room for eleven where one is.
    by_id: BTreeMap<ChannelId, Box<Group>>,
    by_kind: HashMap<GroupKind, ChannelId>,
    of_channel: HashMap<ChannelId, ChannelId>,
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
    pub(super) members: Vec<ChannelId>,
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
            members: vec![channel],
        }
    }
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
        let group = || Box::new(Group { kind, members });
        let group = self.by_id.entry(id).or_insert_with(group);
        group.members.insert(channel);
        self.of_channel.insert(channel, id);
    }

    /// Takes `channel` out of its group, which goes with its last member.
    pub(super) fn leave(&mut self, channel: ChannelId) {
        let Some(id) = self.of_channel.remove(&channel) else {
            return;
        };
        let Some(group) = self.by_id.get_mut(&id) else {
            return;
        };
        group.members.remove(&channel);
        if group.members.is_empty() {
            self.by_kind.remove(&group.kind);
            self.by_id.remove(&id);
        }
    }

    /// The members of the group `id`.
    pub(super) fn members(&self, id: ChannelId) -> Option<Vec<ChannelId>> {
        let group = self.by_id.get(&id)?;
        Some(group.members.iter().copied().collect())
    }

    /// Everybody, each channel in one audience: alone by its own id, or with the others of its
    /// group where there are others.
    pub(super) fn audiences(&self) -> Vec<Audience> {
        let groups = self.by_id.iter();
        let audiences = groups.filter_map(|(&id, group)| match group.members.len() {
            1 => group.members.first().copied().map(Audience::alone),
            _ => Some(Audience {
                to: id,
                members: group.members.iter().copied().collect(),
            }),
        });
        audiences.collect()
    }

    /// Everybody, each channel alone.
    pub(super) fn singles(&self) -> Vec<Audience> {
        let members = self.by_id.values().flat_map(|group| &group.members);
        members.copied().map(Audience::alone).collect()
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

    #[test]
    fn only_two_or_more_are_addressed_together() {
        let mut groups = Groups::default();
        groups.join(id(2), kind(12), id(1));
        groups.join(id(4), kind(20), id(3));
        assert_eq!(
            groups.audiences(),
            [Audience::alone(id(1)), Audience::alone(id(3))]
        );
        groups.join(groups.find(&kind(12)).unwrap(), kind(12), id(5));
        let together = Audience {
            to: id(2),
            members: vec![id(1), id(5)],
        };
        assert_eq!(groups.audiences(), [together, Audience::alone(id(3))]);
        assert_eq!(groups.singles().len(), 3);
        groups.leave(id(1));
        assert_eq!(
            groups.audiences(),
            [Audience::alone(id(5)), Audience::alone(id(3))]
        );
        groups.leave(id(5));
        assert_eq!(groups.find(&kind(12)), None);
        assert_eq!(groups.members(id(2)), None);
    }
}
