//! `mining.authorize`: the names that may submit on a connection, and who is paid for them.
//!
//! The first name fixes the payout and takes the seat; further ones are labels of the same
//! address.

use std::sync::Arc;
use std::time::Instant;

use headframe_channels::{Channel, ChannelId, ChannelKind, DifficultyControl, ExtranoncePrefix};
use headframe_sv1_wire::{Authorize, ErrorCode, Id, Refusal, Reply};
use headframe_work::{Difficulty, Hashrate, Miner, Rung};

use super::{POOL_IS_FULL, Sv1Session, asked};
use crate::server::seat::Seat;
use crate::server::{Device, Joined, Protocol, SessionEvent};

/// Workers of one address on a connection.
const MAX_WORKERS: usize = 256;
const WRONG_PASSWORD: &str = "this port needs another password";

/// A name that may submit.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) name: Arc<str>,
    pub(super) seat: ChannelId,
    /// Whether it was told that the coinbase is too long for its device.
    pub(super) is_warned: bool,
}

impl Sv1Session {
    pub(super) fn handle_authorize(&mut self, now: Instant, id: Id<'_>, authorize: &Authorize<'_>) {
        let worker = asked::unescaped(&authorize.worker);
        let password = asked::unescaped(&authorize.password);
        let (name, behind_name) = asked::split_name(&worker);
        let asked = asked::in_password(&password).or(behind_name);
        let authorized = match self.knows_password(authorize, &password) {
            true => self.authorize(now, name, asked),
            false => Err(WRONG_PASSWORD.to_owned()),
        };
        match authorized {
            Ok(()) => self.replies.push(&Reply::yes(id)),
            Err(reason) => {
                let refusal = Refusal::with_message(ErrorCode::UNAUTHORIZED, reason);
                self.replies.push(&Reply::refused(id, refusal));
            }
        }
        self.start_work(now);
    }

    /// Whether the password is said, by itself or among options as miners write them, in the device's
    /// words or in those of its owner, `typed`.
    fn knows_password(&mut self, authorize: &Authorize<'_>, typed: &str) -> bool {
        let Some(password) = &self.desk.rules.password else {
            return true;
        };
        let said = &*authorize.password;
        // It may have marks in it that stand between options elsewhere, but no comma.
        let parts = |said: &'_ str| {
            said.split(',')
                .chain(asked::words(said))
                .any(|part| password.matches(part))
        };
        let is_known = [said, typed]
            .iter()
            .any(|said| password.matches(said) || parts(said));
        if !is_known {
            let user = Device::new(&authorize.worker).as_str().to_owned();
            let guess = password.guess(said);
            self.desk
                .tell(SessionEvent::PasswordRefused { user, guess });
        }
        is_known
    }

    /// Lets the worker `name` submit, a name without the difficulty that was `asked` for in it.
    fn authorize(
        &mut self,
        now: Instant,
        name: &str,
        asked: Option<Difficulty>,
    ) -> Result<(), String> {
        if self.workers.iter().any(|worker| &*worker.name == name) {
            return Ok(());
        }
        let miner = self.desk.rules.payouts.miner(name).map_err(|error| {
            let reason = self.quirks.explain(name, error.to_string());
            let user = Device::new(name).as_str().to_owned();
            self.desk.tell(SessionEvent::NameRefused {
                user,
                reason: reason.clone(),
            });
            reason
        })?;
        self.check_worker(&miner)?;
        let prefix = self.prefix().ok_or(POOL_IS_FULL)?;
        self.ask(now, asked);
        let seat_id = ChannelId::new(self.workers.len() as u32 + 1);
        if self.seat.is_none() {
            self.seat = Some(self.take_seat(now, seat_id, miner.clone(), prefix));
        }
        if self.workers.is_empty() {
            // Most connections have one.
            self.workers.reserve_exact(1);
        }
        self.workers.push(Worker {
            name: Arc::clone(&miner.user),
            seat: seat_id,
            is_warned: false,
        });
        self.tell_joined(seat_id, miner);
        Ok(())
    }

    /// One connection, one payout.
    fn check_worker(&self, miner: &Miner) -> Result<(), String> {
        match &self.seat {
            Some(seat) if seat.miner.payout != miner.payout => Err(format!(
                "this connection mines for {}; use another connection for another address",
                seat.miner.address
            )),
            Some(_) if self.workers.len() >= MAX_WORKERS => Err(format!(
                "a connection can have {MAX_WORKERS} workers; use another one for more"
            )),
            _ => Ok(()),
        }
    }

    fn take_seat(
        &mut self,
        now: Instant,
        id: ChannelId,
        miner: Miner,
        prefix: ExtranoncePrefix,
    ) -> Seat {
        let resumed = self.take_resumed(&miner.payout);
        let mut channel = resumed.unwrap_or_else(|| {
            let payout = miner.payout.clone();
            let imprint = self.desk.rules.imprint.clone();
            let budget = &self.desk.budget;
            Channel::new(ChannelKind::Extended, prefix, payout, imprint, budget)
        });
        channel.set_version_mask(self.version_mask);
        let settings = self.desk.rules.difficulty;
        let mut control = DifficultyControl::new(settings, Hashrate::ZERO, Rung::EASIEST, now);
        control.handle_least(now, self.least());
        if let Some(rung) = self.wish() {
            control.handle_suggestion(now, rung);
        }
        Seat::new(id, miner, channel, control, &self.desk.work, now)
    }

    fn tell_joined(&mut self, seat_id: ChannelId, miner: Miner) {
        let rung = self.seat.as_ref().map_or(Rung::ONE, Seat::announced);
        self.desk.tell(SessionEvent::Joined(Box::new(Joined {
            seat: seat_id,
            miner,
            protocol: Protocol::Sv1,
            kind: ChannelKind::Extended,
            device: self.device.clone(),
            rung,
            declared: Hashrate::ZERO,
            easiest: Rung::EASIEST,
        })));
    }
}
