//! Replies in the order of the requests, some of which wait for the ledger.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use headframe_channels::ChannelId;
use headframe_sv1_wire::{Id, Notification, Reply};

use crate::server::desk::{Accepted, MAX_WAITING};

/// What is to be sent to a miner.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// Lines that are ready to be sent.
    output: Vec<u8>,
    /// Replies from the first that waits for the ledger on.
    queue: VecDeque<Queued>,
    /// How many replies there were.
    pushed: u64,
}

#[derive(Debug)]
enum Queued {
    /// A share was accepted; the miner is told when the ledger has it.
    Waiting {
        id: Id<'static>,
        worker: ChannelId,
        accepted: Accepted,
    },
    /// A line that has to follow those before it.
    Ready(Vec<u8>),
}

impl Replies {
    /// Answers a request after all requests before it.
    pub(super) fn push(&mut self, reply: &Reply<'_>) {
        self.pushed += 1;
        if self.queue.is_empty() {
            return reply.encode(&mut self.output);
        }
        let mut line = Vec::new();
        reply.encode(&mut line);
        self.queue.push_back(Queued::Ready(line));
    }

    /// Answers a request with `true`, once the ledger has the share of `worker`.
    pub(super) fn push_accepted(&mut self, id: Id<'_>, worker: ChannelId, accepted: Accepted) {
        self.pushed += 1;
        self.queue.push_back(Queued::Waiting {
            id: id.into_owned(),
            worker,
            accepted,
        });
    }

    /// Sends a notification, ahead of replies that still wait: work must not wait for the ledger.
    pub(super) fn notify(&mut self, notification: &Notification<'_>) {
        notification.encode(&mut self.output);
    }

    /// How many replies there were so far, those that wait included.
    pub(super) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Whether the first `count` replies are on their way.
    pub(super) fn have_gone(&self, count: u64) -> bool {
        self.pushed - self.queue.len() as u64 >= count
    }

    /// The ledger has all shares up to number `sequence`.
    pub(super) fn release(&mut self, sequence: u64) {
        self.release_while(|accepted| accepted.sequence <= sequence);
    }

    /// Answers shares that have waited long enough, and says how many each worker had.
    pub(super) fn release_overdue(&mut self, now: Instant) -> BTreeMap<ChannelId, u32> {
        self.release_while(|accepted| accepted.deadline <= now)
    }

    /// Whether so many wait that the ledger cannot be counted on.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= MAX_WAITING
    }

    /// Answers all shares, and says how many each worker had.
    pub(super) fn release_all(&mut self) -> BTreeMap<ChannelId, u32> {
        self.release_while(|_| true)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.queue.iter().find_map(|queued| match queued {
            Queued::Waiting { accepted, .. } => Some(accepted.deadline),
            Queued::Ready(_) => None,
        })
    }

    pub(super) fn drain_output(&mut self, send: impl FnOnce(&[u8])) {
        let output = core::mem::take(&mut self.output);
        if !output.is_empty() {
            send(&output);
        }
    }

    fn release_while(&mut self, is_due: impl Fn(&Accepted) -> bool) -> BTreeMap<ChannelId, u32> {
        let mut released = BTreeMap::new();
        while let Some(queued) = self.queue.pop_front() {
            match queued {
                Queued::Ready(line) => self.output.extend_from_slice(&line),
                Queued::Waiting {
                    id,
                    worker,
                    accepted,
                } if is_due(&accepted) => {
                    Reply::yes(id).encode(&mut self.output);
                    *released.entry(worker).or_default() += 1;
                }
                waiting @ Queued::Waiting { .. } => {
                    self.queue.push_front(waiting);
                    break;
                }
            }
        }
        released
    }
}
