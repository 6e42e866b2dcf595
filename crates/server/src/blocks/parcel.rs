//! A block on its way to the nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bitcoin::BlockHash;
use headframe_ledger::WorkerId;

use super::siblings::Place;

/// What is brought to every node: one for all of them.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) height: u32,
    pub(super) hash: BlockHash,
    pub(super) hex: Arc<str>,
    pub(super) origin: Origin,
    /// Its place among the blocks of this run on the same tip.
    place: Option<Place>,
    was_given_back: AtomicBool,
    is_safe: AtomicBool,
}

/// Where a block on its way to a node comes from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// This miner has just found it.
    Finder(WorkerId),
    /// The journal, where an earlier run left it.
    Journal,
    /// The journal, where it was kept for when the node forgets it.
    Forgotten,
    /// A file of the journal that no record for the ledger can be made of.
    Stranger,
}

/// A parcel on its way to one node.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) parcel: Arc<Parcel>,
    /// How often this node was given it.
    pub(super) attempts: u32,
    /// It is not tried before.
    pub(super) due: Instant,
}

impl Parcel {
    pub(super) fn new(height: u32, hash: BlockHash, hex: Arc<str>, origin: Origin) -> Self {
        Self {
            height,
            hash,
            hex,
            origin,
            place: None,
            was_given_back: AtomicBool::new(false),
            is_safe: AtomicBool::new(false),
        }
    }

    pub(super) fn placed(self, place: Place) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }

    /// A node has it.
    pub(super) fn make_safe(&self) {
        self.is_safe.store(true, Ordering::Relaxed);
    }

    /// Whether a node has it, so that the others will hear of it from their peers.
    pub(super) fn is_safe(&self) -> bool {
        self.is_safe.load(Ordering::Relaxed)
    }

    /// A node has refused it: another block on its tip may be worth as much. However many nodes do, it
    /// had one place.
    pub(super) fn give_back_place(&self) {
        let place = self.place.as_ref();
        if let Some(place) = place.filter(|_| !self.was_given_back.swap(true, Ordering::Relaxed)) {
            place.give_back();
        }
    }
}

impl Delivery {
    pub(super) fn of(parcel: &Arc<Parcel>) -> Self {
        Self {
            parcel: Arc::clone(parcel),
            attempts: 0,
            due: Instant::now(),
        }
    }

    /// Whether its node was never given it.
    pub(super) const fn is_new(&self) -> bool {
        self.attempts == 0
    }
}
