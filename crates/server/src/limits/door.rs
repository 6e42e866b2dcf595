//! The door: the limits of addresses, as listeners and connections meet them.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use headframe_ledger::Ban;
use headframe_mining::server::Guess;

use super::Offence;
use super::record::Stage;
use super::source::Source;
use super::table::{Limits, Refusal};
use super::warning::{Consequence, Warning};
use crate::clock::wall_clock;
use crate::settings::AccessSettings;

/// Lets connections in, or not.
#[derive(Debug)]
pub(crate) struct Door {
    access: AccessSettings,
    limits: Mutex<Limits>,
}

/// A connection that was let in. It has left when this is dropped.
#[derive(Debug)]
pub(crate) struct Visit {
    /// `None` where no limits apply.
    counted: Option<(Arc<Door>, Source)>,
    stage: Stage,
    turn: Instant,
}

impl Door {
    pub(crate) const fn new(access: AccessSettings, limits: Limits) -> Self {
        Self {
            access,
            limits: Mutex::new(limits),
        }
    }

    /// A connection comes from `address`.
    pub(crate) fn arrive(self: &Arc<Self>, address: IpAddr) -> Result<Visit, Refusal> {
        let now = Instant::now();
        if self.access.unlimited.contains(address) {
            return Ok(Visit::unlimited(now));
        }
        let source = Source::of(address);
        let turn = self.limits().arrive(now, source)?;
        Ok(Visit {
            counted: Some((Arc::clone(self), source)),
            stage: Stage::Greeting,
            turn,
        })
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        // Whatever panicked while it held the lock, the counts are at worst a little off.
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// One to which no limits apply.
    pub(crate) const fn unlimited(now: Instant) -> Self {
        Self {
            counted: None,
            stage: Stage::Greeting,
            turn: now,
        }
    }

    /// When its turn is to be greeted.
    pub(crate) const fn turn(&self) -> Instant {
        self.turn
    }

    pub(crate) const fn is_unlimited(&self) -> bool {
        self.counted.is_none()
    }

    /// Its handshake is over.
    pub(crate) fn greeted(&mut self) {
        if self.stage != Stage::Greeting {
            return;
        }
        self.stage = Stage::Unproven;
        if let Some((door, source)) = &self.counted {
            door.limits().greeted(*source);
        }
    }

    /// It gave a valid share.
    pub(super) fn prove(&mut self) {
        self.greeted();
        if self.stage == Stage::Proven {
            return;
        }
        self.stage = Stage::Proven;
        if let Some((door, source)) = &self.counted {
            door.limits().prove(Instant::now(), *source);
        }
    }

    /// It did wrong. Who mines is forgiven.
    pub(super) fn offend(&self, offence: Offence) -> Consequence {
        let Some((door, source)) = &self.counted else {
            return Consequence::Nothing;
        };
        if self.stage == Stage::Proven {
            return Consequence::Nothing;
        }
        let times = (Instant::now(), wall_clock());
        door.limits().offend(times, *source, offence)
    }

    /// It said a wrong password: the warning that its address earns. `Err`, with the ban that comes of it,
    /// if the address has said too many.
    pub(super) fn guess(&self, guess: Guess) -> Result<Option<Warning>, Option<Ban>> {
        let Some((door, source)) = &self.counted else {
            return Ok(None);
        };
        let times = (Instant::now(), wall_clock());
        door.limits().guess(times, *source, guess)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some((door, source)) = &self.counted {
            door.limits().leave(Instant::now(), *source, self.stage);
        }
    }
}
