//! Where connections see what is wanted of them, and hand blocks in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use headframe_channels::Channel;
use headframe_mining::server::{Joined, Protocol};
use headframe_work::Block;
use tokio::sync::mpsc;

use super::Layouts;
use crate::wire::Wire;

/// Blocks that wait for the prover: one of each layout, since a connection that has none of its miner's
/// messages to answer does not offer twice.
const WAITING: usize = 32;

/// The way to the prover. What a connection pays for it is one read of a number when it wakes up.
#[derive(Debug, Clone)]
pub(crate) struct ProofDesk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    wanted: AtomicU32,
    /// Those that some channel had.
    known: AtomicU32,
    samples: mpsc::Sender<Sample>,
}

/// A block without proof of work, and how it pays.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) layout: Layouts,
    pub(super) block: Block,
}

impl ProofDesk {
    pub(super) fn new() -> (Self, mpsc::Receiver<Sample>) {
        let (samples, receiver) = mpsc::channel(WAITING);
        let shared = Shared {
            wanted: AtomicU32::new(0),
            known: AtomicU32::new(0),
            samples,
        };
        (Self(Arc::new(shared)), receiver)
    }

    /// A desk where nothing is wanted.
    #[cfg(test)]
    pub(crate) fn unheard() -> Self {
        Self::new().0
    }

    /// A miner has come to the connection that has channels of the layouts `shown`. A layout that
    /// nobody had is wanted.
    pub(crate) fn join(&self, shown: &mut Layouts, joined: &Joined) {
        let script = joined.miner.payout.miner();
        let layout = Layouts::of(joined.protocol, joined.kind, script);
        let before = self.0.known.fetch_or(layout.bits(), Ordering::Relaxed);
        if !Layouts::from_bits(before).meets(layout) {
            self.want(layout);
        }
        *shown = shown.and(layout.or_any());
    }

    /// Whether a connection that has channels of the layouts `shown` is to offer a block.
    #[inline]
    pub(crate) fn wants(&self, shown: Layouts) -> bool {
        self.wanted().meets(shown)
    }

    /// Hands in the block of one channel that is wanted, unless too many wait. Where there is none,
    /// `shown` becomes what the connection has.
    pub(crate) fn offer(&self, wire: &Wire, shown: &mut Layouts) {
        let Ok(place) = self.0.samples.try_reserve() else {
            return;
        };
        let (wanted, protocol) = (self.wanted(), wire.protocol());
        let channels = || wire.channels().map(|it| (layout(protocol, it), it));
        let mut fitting = channels().filter(|(layout, _)| wanted.meets(layout.or_any()));
        match fitting.find_map(|(layout, channel)| Some((layout, channel.unproven_block()?))) {
            Some((layout, block)) => {
                let answered = layout.or_any().bits();
                self.0.wanted.fetch_and(!answered, Ordering::Relaxed);
                place.send(Sample { layout, block });
            }
            None => {
                let layouts = channels().map(|(layout, _)| layout.or_any());
                *shown = layouts.fold(Layouts::NONE, Layouts::and);
            }
        }
    }

    pub(super) fn want(&self, layouts: Layouts) {
        self.0.wanted.fetch_or(layouts.bits(), Ordering::Relaxed);
    }

    fn wanted(&self) -> Layouts {
        Layouts::from_bits(self.0.wanted.load(Ordering::Relaxed))
    }
}

fn layout(protocol: Protocol, channel: &Channel) -> Layouts {
    Layouts::of(protocol, channel.kind(), channel.payout().miner())
}
