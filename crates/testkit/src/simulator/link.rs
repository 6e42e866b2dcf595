//! A simulated TCP connection: bytes arrive late, in pieces, in order, or not at all.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Chance;

/// The direction of bytes on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To the pool.
    Up,
    /// To the client.
    Down,
}

/// What arrives at an end.
#[derive(Debug)]
pub(super) enum Piece {
    Bytes(Vec<u8>),
    /// The other end has closed the connection; everything before has arrived.
    End,
}

/// Both directions of a connection.
#[derive(Debug)]
pub(super) struct Link {
    latency: Duration,
    /// Nothing arrives before this time: the network is divided.
    held_until: Instant,
    is_cut: bool,
    up: Pipe,
    down: Pipe,
}

#[derive(Debug)]
struct Pipe {
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// When the last piece arrives.
    last: Instant,
}

impl Link {
    pub(super) fn new(now: Instant, latency: Duration) -> Self {
        let pipe = || Pipe {
            pieces: VecDeque::new(),
            bytes: 0,
            last: now,
        };
        Self {
            latency,
            held_until: now,
            is_cut: false,
            up: pipe(),
            down: pipe(),
        }
    }

    /// Sends `piece`; says when it arrives, if it ever does.
    pub(super) fn send(
        &mut self,
        now: Instant,
        way: Way,
        piece: Piece,
        chance: &mut Chance,
    ) -> Option<Instant> {
        if self.is_cut {
            return None;
        }
        let latency = self.latency.mul_f64(0.5 + chance.fraction());
        let pipe = self.pipe(way);
        if let Piece::Bytes(bytes) = &piece {
            pipe.bytes += bytes.len();
        }
        pipe.pieces.push_back(piece);
        pipe.last = pipe.last.max(now + latency);
        Some(pipe.last)
    }

    /// The piece that arrives next; the time at which it does, where the network is divided.
    pub(super) fn take(&mut self, now: Instant, way: Way) -> Result<Option<Piece>, Instant> {
        if now < self.held_until {
            return Err(self.held_until);
        }
        let pipe = self.pipe(way);
        let piece = pipe.pieces.pop_front();
        if let Some(Piece::Bytes(bytes)) = &piece {
            pipe.bytes -= bytes.len();
        }
        Ok(piece)
    }

    /// Bytes that are on their way to the client.
    pub(super) fn unread(&self) -> usize {
        self.down.bytes
    }

    /// Divides the network until `end`.
    pub(super) fn hold(&mut self, end: Instant) {
        self.held_until = self.held_until.max(end);
    }

    /// Loses what is in flight and all that is sent from now on.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
        for pipe in [&mut self.up, &mut self.down] {
            pipe.pieces.clear();
            pipe.bytes = 0;
        }
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}
