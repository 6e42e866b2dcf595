//! The channels of a connection, and when each is to be looked at. Not here: what is done then.
//!
//! Times stand beside each other: of thousands of channels only those are touched that are due.

use std::time::{Duration, Instant};

use headframe_channels::{Channel, ChannelId, ChannelMap};

use crate::server::PoolWork;
use crate::server::seat::Seat;

/// Looking at what is due for the channels costs a thousandth of this for each at most; it is not done
/// again before, however many there are.
const LOOK_REST_PER_CHANNEL: Duration = Duration::from_micros(100);

/// A time that no connection sees: the timer where there is nothing to look at.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The channels of a connection.
#[derive(Debug)]
pub(super) struct Seats {
    places: ChannelMap<Place>,
    /// No seat is to be looked at before this time.
    look_at: Instant,
    /// Nor before this one, however soon it is due.
    rested_at: Instant,
}

/// A channel, and when it is to be looked at.
#[derive(Debug)]
pub(super) struct Place {
    /// The seat is to be looked at no later.
    due: Instant,
    pub(super) seat: Box<Seat>,
}

impl Place {
    /// Something happened to the seat: when it is to be looked at now, of which [`Seats::look_at_by`] is to hear.
    pub(super) fn due(&mut self, work: &PoolWork) -> Instant {
        self.due = self.seat.poll_timeout(work);
        self.due
    }
}

impl Seats {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            places: ChannelMap::new(),
            look_at: now + NEVER,
            rested_at: now,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn get(&self, id: ChannelId) -> Option<&Seat> {
        let place = self.places.get(id)?;
        Some(&place.seat)
    }

    pub(super) fn get_mut(&mut self, id: ChannelId) -> Option<&mut Seat> {
        Some(&mut self.place_mut(id)?.seat)
    }

    pub(super) fn place_mut(&mut self, id: ChannelId) -> Option<&mut Place> {
        self.places.get_mut(id)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = ChannelId> {
        self.places.keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Seat> {
        self.places.values().map(|place| &*place.seat)
    }

    /// Adds a seat. It is looked at when [`Self::look_by`] has said so.
    pub(super) fn insert(&mut self, now: Instant, seat: Box<Seat>) {
        let due = now + NEVER;
        self.places.insert(seat.id, Place { due, seat });
    }

    pub(super) fn remove(&mut self, id: ChannelId) -> Option<Box<Seat>> {
        self.places.remove(id).map(|place| place.seat)
    }

    /// When something may be due; `None` where there is no seat.
    pub(super) fn next_look(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.look_at)
    }

    /// Something happened to a seat: it is to be looked at when something is due for it.
    pub(super) fn look_by(&mut self, id: ChannelId, work: &PoolWork) {
        if let Some(place) = self.places.get_mut(id) {
            let due = place.due(work);
            self.look_at_by(due);
        }
    }

    /// A seat is due at `due`.
    pub(super) fn look_at_by(&mut self, due: Instant) {
        self.look_at = self.look_at.min(due.max(self.rested_at));
    }

    /// All channels, to which something happens for which each is to be looked at.
    pub(super) fn look_at_all(&mut self, now: Instant) -> impl Iterator<Item = &mut Channel> {
        self.look_at = now;
        self.places.values_mut().map(move |place| {
            place.due = now;
            &mut place.seat.channel
        })
    }

    /// Those that are to be looked at.
    pub(super) fn due(&self, now: Instant) -> Vec<ChannelId> {
        let due = self.places.iter().filter(|(_, place)| now >= place.due);
        due.map(|(id, _)| id).collect()
    }

    /// These were looked at.
    pub(super) fn rest(&mut self, now: Instant, looked_at: &[ChannelId], work: &PoolWork) {
        for id in looked_at {
            self.look_by(*id, work);
        }
        self.rested_at = now + LOOK_REST_PER_CHANNEL * self.len() as u32;
        let due = self.places.values().map(|place| place.due).min();
        self.look_at = due.unwrap_or(now + NEVER).max(self.rested_at);
    }
}
