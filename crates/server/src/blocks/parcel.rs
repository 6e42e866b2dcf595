//! A block on its way to the nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bitcoin::BlockHash;
use headframe_ledger::WorkerId;
use headframe_work::BlockHex;

use super::siblings::Place;

/// What is brought to every node: one for all of them.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) height: u32,
    pub(crate) hash: BlockHash,
    pub(crate) hex: BlockHex,
    pub(crate) origin: Origin,
    /// Its place among the blocks of this run on the same tip.
    place: Option<Place>,
    was_given_back: AtomicBool,
    is_safe: AtomicBool,
}

/// Where a block on its way to a node comes from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// This miner has just found it.
    Finder(WorkerId),
    /// The journal, where an earlier run left it.
    Journal,
    /// The journal, where it was kept for when the node forgets it.
    Forgotten,
    /// No record for the ledger can be made of it: of a file of the journal, or of the block of a provider's client.
    Stranger,
}

/// A parcel on its way to one node.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) parcel: Arc<Parcel>,
    /// How often this node was given it.
    pub(crate) attempts: u32,
    /// It is not tried before.
    pub(crate) due: Instant,
}

impl Parcel {
    pub(crate) fn new(height: u32, hash: BlockHash, hex: BlockHex, origin: Origin) -> Self {
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

    pub(crate) fn placed(self, place: Place) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }

    /// A node has it.
    pub(crate) fn make_safe(&self) {
        self.is_safe.store(true, Ordering::Relaxed);
    }

    /// Whether a node has it, so that the others will hear of it from their peers.
    pub(crate) fn is_safe(&self) -> bool {
        self.is_safe.load(Ordering::Relaxed)
    }

    /// A node has refused it: another block on its tip may be worth as much. However many nodes do, it
    /// had one place.
    pub(crate) fn give_back_place(&self) {
        let place = self.place.as_ref();
        if let Some(place) = place.filter(|_| !self.was_given_back.swap(true, Ordering::Relaxed)) {
            place.give_back();
        }
    }
}

impl Delivery {
    pub(crate) fn of(parcel: &Arc<Parcel>) -> Self {
        Self {
            parcel: Arc::clone(parcel),
            attempts: 0,
            due: Instant::now(),
        }
    }

    /// Whether its node was never given it.
    pub(crate) const fn is_new(&self) -> bool {
        self.attempts == 0
    }
}
