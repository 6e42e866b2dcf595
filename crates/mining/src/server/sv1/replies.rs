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
        if self.queue.is_empty() {
            return reply.encode(&mut self.output);
        }
        let mut line = Vec::new();
        reply.encode(&mut line);
        self.queue.push_back(Queued::Ready(line));
    }

    /// Answers a request with `true`, once the ledger has the share of `worker`.
    pub(super) fn push_accepted(&mut self, id: Id<'_>, worker: ChannelId, accepted: Accepted) {
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
