//! Who may come in: the decisions, as a value. It has no clock, lock or socket.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use headframe_ledger::Ban;
use headframe_mining::server::Guess;
use headframe_work::UnixTime;

use super::Offence;
use super::bans::Bans;
use super::record::{ARRIVALS, OFFENCES, Record, Stage};
use super::source::Source;
use super::warning::{Consequence, Warning};

/// Connections that wait for their turn or are in their handshake, all addresses together. Each holds
/// some 5 KiB.
const MAX_GREETING: u32 = 4_096;
/// The same of one address: a quarter, and all that [`ARRIVALS`] lets in or wait at once.
const MAX_GREETING_OF_ONE: u32 = 1_024;
/// What strangers leave of [`MAX_GREETING`] to addresses that mine or did lately.
const KEPT_FOR_MINERS: u32 = MAX_GREETING / 4;
/// Connections of one address that gave no valid share, and never more than half of the pool's room:
/// what is left is for the others. A device finds its first share within seconds.
const MAX_UNPROVEN: u32 = 2_048;
/// How long a connection waits for its turn. Devices wait as long for an answer; one that is closed
/// instead comes back by itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses without a connection that are remembered, the latest.
const MAX_IDLE: usize = 65_536;

/// Who may come in.
#[derive(Debug)]
pub(crate) struct Limits {
    max_unproven: u32,
    greeting: u32,
    records: HashMap<Source, Record>,
    /// Those without a connection, in the order in which they went.
    idle: BTreeMap<u64, Source>,
    next_idle: u64,
    bans: Bans,
}

/// Why somebody may not come in now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it is banned for another {} min", left.as_secs().div_ceil(60))]
    Banned { left: Duration },
    #[error("it has {0} connections without a valid share")]
    Unproven(u32),
    #[error("too many of its connections are in their handshake")]
    Greeting,
    #[error("the pool has all the handshakes that it takes at once")]
    Busy,
    #[error("it connects faster than the pool lets it")]
    Pace,
}

impl Limits {
    /// Limits of a pool with room for so many connections, and with what its ledger remembers.
    pub(crate) fn new(
        max_connections: usize,
        bans: &[Ban],
        (now, wall): (Instant, UnixTime),
    ) -> Self {
        let half = u32::try_from(max_connections / 2).unwrap_or(u32::MAX);
        Self {
            max_unproven: half.clamp(1, MAX_UNPROVEN),
            greeting: 0,
            records: HashMap::new(),
            idle: BTreeMap::new(),
            next_idle: 0,
            bans: Bans::remembered(bans, now, wall),
        }
    }

    /// A connection comes: when its turn is to be greeted. It is here from now on, until
    /// [`Self::leave`].
    pub(super) fn arrive(&mut self, now: Instant, source: Source) -> Result<Instant, Refusal> {
        if let Some(until) = self.bans.until(now, source) {
            return Err(Refusal::Banned { left: until - now });
        }
        let record = match self.records.entry(source) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Record::default()),
        };
        let turn = admit(record, now, self.greeting, self.max_unproven);
        match turn {
            Ok(_) => {
                record.greeting += 1;
                record.unproven += 1;
                self.greeting += 1;
                if let Some(place) = record.idle.take() {
                    self.idle.remove(&place);
                }
            }
            Err(_) => self.rest(source),
        }
        turn
    }

    /// The handshake of a connection is over.
    pub(super) fn greeted(&mut self, source: Source) {
        if let Some(record) = self.records.get_mut(&source) {
            record.greeting = record.greeting.saturating_sub(1);
            self.greeting = self.greeting.saturating_sub(1);
        }
    }

    /// A connection, which was greeted, gave its first valid share.
    pub(super) fn prove(&mut self, now: Instant, source: Source) {
        if let Some(record) = self.records.get_mut(&source) {
            record.unproven = record.unproven.saturating_sub(1);
            record.proven = record.proven.saturating_add(1);
            record.mined_at = Some(now);
        }
    }

    /// A connection that had come so far is gone.
    pub(super) fn leave(&mut self, now: Instant, source: Source, stage: Stage) {
        if stage == Stage::Greeting {
            self.greeted(source);
        }
        if let Some(record) = self.records.get_mut(&source) {
            match stage {
                Stage::Greeting | Stage::Unproven => {
                    record.unproven = record.unproven.saturating_sub(1);
                }
                Stage::Proven => {
                    record.proven = record.proven.saturating_sub(1);
                    record.mined_at = Some(now);
                }
            }
        }
        self.rest(source);
    }

    /// A connection that never gave a valid share did wrong. Tells what comes of it.
    pub(super) fn offend(
        &mut self,
        (now, wall): (Instant, UnixTime),
        source: Source,
        offence: Offence,
    ) -> Consequence {
        let Some(record) = self.records.get_mut(&source) else {
            return Consequence::Nothing;
        };
        let turn = record.offences.take_turn(now, OFFENCES, Duration::ZERO);
        let is_close = record.offences.is_half_spent(now, OFFENCES);
        match turn {
            Some(_) if is_close => {
                let warning = self.warning(now, source, offence);
                warning.map_or(Consequence::Nothing, Consequence::Warning)
            }
            Some(_) => Consequence::Nothing,
            None => {
                let ban = self.ban((now, wall), source, offence);
                ban.map_or(Consequence::Nothing, Consequence::Ban)
            }
        }
    }

    /// A connection said a wrong password: the warning that it earns. `Err`, with the ban that comes of it,
    /// if it is one too many.
    pub(super) fn guess(
        &mut self,
        (now, wall): (Instant, UnixTime),
        source: Source,
        guess: Guess,
    ) -> Result<Option<Warning>, Option<Ban>> {
        let Some(record) = self.records.get_mut(&source) else {
            return Ok(None);
        };
        let is_too_many = record.guesses.take(now, guess);
        let is_close = record.guesses.is_half_spent(now);
        match (is_too_many, is_close) {
            (true, _) => Err(self.ban((now, wall), source, Offence::Guesses)),
            (false, true) => Ok(self.warning(now, source, Offence::Guesses)),
            (false, false) => Ok(None),
        }
    }

    /// What an address is told that is close to a ban, unless it cannot be banned or is.
    fn warning(&self, now: Instant, source: Source, offence: Offence) -> Option<Warning> {
        self.is_bannable(now, source).then(|| Warning {
            source,
            offence,
            lasts: self.bans.would_last(now, source),
        })
    }

    /// Bans an address, unless somebody mines from it, or one of its connections has told already.
    fn ban(
        &mut self,
        (now, wall): (Instant, UnixTime),
        source: Source,
        offence: Offence,
    ) -> Option<Ban> {
        let is_bannable = self.is_bannable(now, source);
        is_bannable.then(|| self.bans.ban((now, wall), source, offence))
    }

    /// Whether nobody mines from an address, and it is not banned.
    fn is_bannable(&self, now: Instant, source: Source) -> bool {
        let mines = self.records.get(&source).is_some_and(|it| it.mines(now));
        let is_banned = self.bans.until(now, source).is_some();
        !mines && !is_banned
    }

    /// Puts an address without a connection behind the others, and forgets the first if there are too
    /// many.
    fn rest(&mut self, source: Source) {
        let Some(record) = self.records.get_mut(&source) else {
            return;
        };
        if record.is_here() {
            return;
        }
        if let Some(place) = record.idle.replace(self.next_idle) {
            self.idle.remove(&place);
        }
        self.idle.insert(self.next_idle, source);
        self.next_idle += 1;
        if self.idle.len() > MAX_IDLE
            && let Some((_, oldest)) = self.idle.pop_first()
        {
            self.records.remove(&oldest);
        }
    }
}

/// When a connection has its turn, if it may come in.
fn admit(
    record: &mut Record,
    now: Instant,
    greeting: u32,
    max_unproven: u32,
) -> Result<Instant, Refusal> {
    let room = match record.mines(now) {
        true => MAX_GREETING,
        false => MAX_GREETING - KEPT_FOR_MINERS,
    };
    match () {
        () if record.unproven >= max_unproven => Err(Refusal::Unproven(record.unproven)),
        () if record.greeting >= MAX_GREETING_OF_ONE => Err(Refusal::Greeting),
        () if greeting >= room => Err(Refusal::Busy),
        () => {
            let turn = record.arrivals.take_turn(now, ARRIVALS, PATIENCE);
            turn.ok_or(Refusal::Pace)
        }
    }
}

#[cfg(test)]
mod tests;
