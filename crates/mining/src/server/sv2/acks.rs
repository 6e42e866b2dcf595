//! Acknowledgements of accepted shares, held back until the ledger has them (R-19, spec §5.3.13).

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use headframe_channels::ChannelId;
use headframe_sv2_wire::mining::SubmitSharesSuccess;
use headframe_sv2_wire::write_frame;
use headframe_work::Work;

use crate::server::desk::{Accepted, MAX_WAITING};

/// Accepted shares whose acknowledgement is still to be sent.
#[derive(Debug, Default)]
pub(super) struct Acks {
    waiting: VecDeque<Waiting>,
    /// What was left of each channel's work after its last whole `new_shares_sum`.
    carried: BTreeMap<ChannelId, Work>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    channel: ChannelId,
    /// Whom the share is booked on.
    seat: ChannelId,
    sequence_number: u32,
    accepted: Accepted,
}

/// What one acknowledgement says.
#[derive(Debug, Clone, Copy, Default)]
struct Batch {
    last_sequence_number: u32,
    count: u32,
    work: Work,
}

impl Acks {
    pub(super) fn push(
        &mut self,
        (channel, seat): (ChannelId, ChannelId),
        sequence_number: u32,
        accepted: Accepted,
    ) {
        self.waiting.push_back(Waiting {
            channel,
            seat,
            sequence_number,
            accepted,
        });
    }

    /// Acknowledges the shares that the ledger has: those up to number `sequence`. One message per
    /// channel.
    pub(super) fn release(&mut self, sequence: u64, output: &mut Vec<u8>) {
        self.release_while(|share| share.accepted.sequence <= sequence, output);
    }

    /// Acknowledges the shares that have waited long enough, and says how many each seat had.
    pub(super) fn release_overdue(
        &mut self,
        now: Instant,
        output: &mut Vec<u8>,
    ) -> impl Iterator<Item = (ChannelId, u32)> + use<> {
        self.release_while(|share| share.accepted.deadline <= now, output)
            .into_iter()
    }

    /// Whether so many wait that the ledger cannot be counted on.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
    }

    /// Acknowledges all shares, and says how many each seat had.
    pub(super) fn release_all(
        &mut self,
        output: &mut Vec<u8>,
    ) -> impl Iterator<Item = (ChannelId, u32)> + use<> {
        self.release_while(|_| true, output).into_iter()
    }

    /// Forgets a closed channel: there is no message for it any more (MP-51). Its shares are in
    /// the ledger's hands all the same.
    pub(super) fn forget(&mut self, channel: ChannelId) {
        self.waiting.retain(|share| share.channel != channel);
        self.carried.remove(&channel);
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|share| share.accepted.deadline)
    }

    fn release_while(
        &mut self,
        is_due: impl Fn(&Waiting) -> bool,
        output: &mut Vec<u8>,
    ) -> BTreeMap<ChannelId, u32> {
        let due = self
            .waiting
            .iter()
            .take_while(|share| is_due(share))
            .count();
        let mut batches = BTreeMap::<ChannelId, Batch>::new();
        let mut seats = BTreeMap::new();
        for share in self.waiting.drain(..due) {
            batches.entry(share.channel).or_default().add(&share);
            *seats.entry(share.seat).or_default() += 1;
        }
        self.write(&batches, output);
        seats
    }

    fn write(&mut self, batches: &BTreeMap<ChannelId, Batch>, output: &mut Vec<u8>) {
        for (&channel, batch) in batches {
            let carried = self.carried.entry(channel).or_default();
            let (new_shares_sum, rest) = (*carried + batch.work).split_whole_difficulty();
            *carried = rest;
            let success = SubmitSharesSuccess {
                channel_id: channel.get(),
                last_sequence_number: batch.last_sequence_number,
                new_submits_accepted_count: batch.count,
                new_shares_sum,
            };
            write_frame(&success, output);
        }
    }
}

impl Batch {
    fn add(&mut self, share: &Waiting) {
        self.last_sequence_number = share.sequence_number;
        self.count += 1;
        self.work += share.accepted.work;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use headframe_sv2_wire::mining::MiningMessage;
    use headframe_sv2_wire::{Frame, Incoming};
    use headframe_work::Rung;

    use super::*;

    /// The acknowledgements in `output`: channel, sequence number, count, sum.
    fn read(output: &[u8]) -> Vec<(u32, u32, u32, u64)> {
        let mut rest = output;
        core::iter::from_fn(|| {
            let (frame, after) = Frame::split(rest)?;
            rest = after;
            match Incoming::decode(frame) {
                Ok(Incoming::Protocol(MiningMessage::SubmitSharesSuccess(ack))) => Some((
                    ack.channel_id,
                    ack.last_sequence_number,
                    ack.new_submits_accepted_count,
                    ack.new_shares_sum,
                )),
                other => panic!("{other:?}"),
            }
        })
        .collect()
    }

    /// MP-80, MP-84: shares of difficulty 3/4 in all are nothing yet, the quarter after them makes
    /// it 1, and each share counts with the difficulty that it was required to meet.
    #[test]
    fn fractions_of_difficulty_are_carried_over() {
        let now = Instant::now();
        let mut acks = Acks::default();
        let mut output = Vec::new();
        let exponents = [-1, -2, -2, 3, -1];
        for (number, exponent) in (1..).zip(exponents) {
            let accepted = Accepted {
                sequence: u64::from(number),
                work: Work::of_rung(Rung::from_exponent(exponent)),
                deadline: now + Duration::from_secs(1),
            };
            let seat = ChannelId::new(number);
            acks.push((ChannelId::new(7), seat), number, accepted);
        }
        for sequence in [0, 1, 2, 2, 5] {
            acks.release(sequence, &mut output);
        }
        assert_eq!(read(&output), [(7, 1, 1, 0), (7, 2, 1, 0), (7, 5, 3, 9)]);
    }

    #[test]
    fn nothing_is_said_of_a_closed_channel() {
        let now = Instant::now();
        let mut acks = Acks::default();
        let mut output = Vec::new();
        for (number, channel) in [(1, 1), (2, 2), (3, 1)] {
            let accepted = Accepted {
                sequence: u64::from(number),
                work: Work::of_rung(Rung::ONE),
                deadline: now,
            };
            let id = ChannelId::new(channel);
            acks.push((id, id), number, accepted);
        }
        acks.forget(ChannelId::new(1));
        let overdue: Vec<_> = acks.release_overdue(now, &mut output).collect();
        assert_eq!(overdue, [(ChannelId::new(2), 1)]);
        assert_eq!(read(&output), [(2, 2, 1, 1)]);
        assert_eq!(acks.next_deadline(), None);
    }
}
