//! A connection's account of itself, owned by its task.

use std::time::Instant;

use headframe_channels::{Credit, RejectReason};
use headframe_ledger::Ban;
use headframe_mining::server::Guess;

use super::Offence;
use super::conduct::{Conduct, Cost};
use super::door::Visit;
use super::warning::{Consequence, Warning};

/// A connection, as the limits see it.
#[derive(Debug)]
pub(crate) struct Guest {
    visit: Visit,
    conduct: Conduct,
    /// What has come of it, and is not told yet; a ban stays.
    consequence: Option<Box<Consequence>>,
    /// Once is enough.
    is_warned: bool,
    /// Whether its address has said so many wrong passwords that none is heard of it any more.
    guesses: bool,
}

impl Guest {
    /// A connection of a pool that aims at so many shares a minute of each miner.
    pub(crate) fn new(mut visit: Visit, shares_per_minute: f64) -> Self {
        visit.greeted();
        Self {
            visit,
            conduct: Conduct::new(shares_per_minute),
            consequence: None,
            is_warned: false,
            guesses: false,
        }
    }

    /// Until when nothing is read of it, because it sent too much.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        let until = self.conduct.held_until()?;
        (Instant::now() < until).then_some(until)
    }

    /// It is read whatever it sends, which ends soon.
    pub(crate) fn let_off(&mut self) {
        self.conduct.let_off();
    }

    /// It is held again where it sends too much.
    pub(crate) fn hold_again(&mut self) {
        self.conduct.hold_again();
    }

    pub(crate) fn handle_message(&mut self, now: Instant, cost: Cost) {
        if !self.visit.is_unlimited() {
            let offence = self.conduct.handle_message(now, cost);
            self.note(offence);
        }
    }

    pub(crate) fn handle_opened(&mut self) {
        self.conduct.handle_opened();
    }

    pub(crate) fn handle_closed(&mut self) {
        self.conduct.handle_closed();
    }

    pub(crate) fn handle_share(&mut self, outcome: Result<Credit, RejectReason>) {
        match outcome {
            Ok(_) if self.conduct.handle_valid() => self.visit.prove(),
            Ok(_) => {}
            Err(reason) => {
                let offence = self.conduct.handle_rejected(reason);
                self.note(offence);
            }
        }
    }

    /// It ends because of what cannot be decoded.
    pub(crate) fn handle_undecodable(&mut self) {
        self.note(Some(Offence::Undecodable));
    }

    /// It said a wrong password, whether it mines or not.
    pub(crate) fn handle_guess(&mut self, guess: Guess) {
        match self.visit.guess(guess) {
            Ok(Some(warning)) => self.warn(warning),
            Ok(None) => {}
            Err(ban) => {
                self.guesses = true;
                if let Some(ban) = ban {
                    self.consequence = Some(Box::new(Consequence::Ban(ban)));
                }
            }
        }
    }

    /// Whether it is not heard any more: it goes on guessing.
    pub(crate) fn guesses(&self) -> bool {
        self.guesses
    }

    /// The ban that its address has earned by it.
    pub(crate) fn ban(&self) -> Option<&Ban> {
        match self.consequence.as_deref() {
            Some(Consequence::Ban(ban)) => Some(ban),
            None | Some(Consequence::Nothing | Consequence::Warning(_)) => None,
        }
    }

    /// What is to be told before its address is banned: once, when half of what bans has happened.
    pub(crate) fn take_warning(&mut self) -> Option<Warning> {
        let Some(Consequence::Warning(warning)) = self.consequence.as_deref() else {
            return None;
        };
        let warning = *warning;
        self.consequence = None;
        Some(warning)
    }

    fn note(&mut self, offence: Option<Offence>) {
        match offence.map(|offence| self.visit.offend(offence)) {
            None | Some(Consequence::Nothing) => {}
            Some(Consequence::Warning(warning)) => self.warn(warning),
            Some(ban @ Consequence::Ban(_)) => self.consequence = Some(Box::new(ban)),
        }
    }

    fn warn(&mut self, warning: Warning) {
        let is_warned = core::mem::replace(&mut self.is_warned, true);
        if !is_warned && self.consequence.is_none() {
            self.consequence = Some(Box::new(Consequence::Warning(warning)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use bitcoin::BlockHash;
    use bitcoin::hashes::Hash as _;
    use headframe_mining::server::Password;
    use headframe_transport::AddressSet;
    use headframe_work::{Rung, UnixTime};

    use super::*;
    use crate::limits::{Door, Limits};
    use crate::settings::AccessSettings;

    fn valid() -> Credit {
        Credit {
            rung: Rung::ONE,
            hash: BlockHash::from_byte_array([0; 32]),
        }
    }

    fn door(max_connections: usize) -> Arc<Door> {
        let access = AccessSettings {
            unlimited: AddressSet::PRIVATE,
            proxies: AddressSet::NONE,
        };
        let times = (Instant::now(), UnixTime::from_secs(1_704_067_200));
        Arc::new(Door::new(access, Limits::new(max_connections, &[], times)))
    }

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(0xcb00_7100 + number).into()
    }

    fn flood(guest: &mut Guest) -> bool {
        let now = Instant::now();
        for _ in 0..60_000 {
            guest.handle_message(now, Cost::MESSAGE);
        }
        guest.held_until().is_some()
    }

    #[test]
    fn a_guest_has_left_when_it_is_dropped_and_has_proven_itself_by_a_share() {
        let door = door(2);
        let mut first = Guest::new(door.arrive(address(1)).unwrap(), 12.0);
        assert!(door.arrive(address(1)).is_err());
        first.handle_share(Ok(valid()));
        let second = Guest::new(door.arrive(address(1)).unwrap(), 12.0);
        assert!(door.arrive(address(1)).is_err());
        drop(second);
        assert!(door.arrive(address(1)).is_ok());
    }

    #[test]
    fn a_guest_s_handshake_is_over() {
        let door = door(10_000);
        let arrive = |number: u32| Guest::new(door.arrive(address(number % 100)).unwrap(), 12.0);
        let guests: Vec<_> = (0..4_000).map(arrive).collect();
        assert_eq!(guests.len(), 4_000);
    }

    #[test]
    fn limits_apply_to_strangers_and_not_to_near_addresses() {
        let door = door(10);
        let mut stranger = Guest::new(door.arrive(address(1)).unwrap(), 12.0);
        assert!(flood(&mut stranger));
        stranger.let_off();
        assert_eq!(stranger.held_until(), None);
        assert!(!flood(&mut stranger), "nor by what it sends then");
        stranger.hold_again();
        assert!(flood(&mut stranger));
        let near = Ipv4Addr::new(192, 168, 1, 1).into();
        let mut near: Vec<_> = (0..100)
            .map(|_| Guest::new(door.arrive(near).unwrap(), 12.0))
            .collect();
        assert!(!flood(&mut near[0]));
        for _ in 0..100 {
            near[0].handle_undecodable();
        }
        assert_eq!(near[0].ban(), None);
    }

    /// What a guesser says is different each time, and a farm with a mistyped password says the same.
    #[test]
    fn whoever_guesses_is_banned_and_whoever_mistyped_is_not() {
        let door = door(10_000);
        let password = Password::new("open-sesame");
        let said = |number: u32, text: &str| {
            let mut guest = Guest::new(door.arrive(address(number)).unwrap(), 12.0);
            guest.handle_guess(password.guess(text));
            (guest.guesses(), guest.ban().cloned())
        };
        for _ in 0..200 {
            assert_eq!(said(1, "open-sesam"), (false, None));
        }
        for number in 0..64 {
            assert_eq!(said(2, &number.to_string()), (false, None), "{number}");
        }
        let (guesses, ban) = said(2, "64");
        assert!(guesses);
        assert_eq!(ban.map(|ban| ban.address), Some(address(2)));
        assert!(door.arrive(address(2)).is_err());
        assert!(door.arrive(address(1)).is_ok());
    }

    /// An address that mines is not banned: the connection goes, and so the guesses of each that comes.
    #[test]
    fn behind_an_address_that_mines_a_connection_has_one_guess_more() {
        let door = door(10_000);
        let password = Password::new("open-sesame");
        let guest = || Guest::new(door.arrive(address(1)).unwrap(), 12.0);
        let mut miner = guest();
        miner.handle_share(Ok(valid()));
        let mut said = 0..;
        let mut guess = |guest: &mut Guest| {
            let number = said.next().expect("it has no end");
            guest.handle_guess(password.guess(&number.to_string()));
            guest.guesses()
        };
        let mut first = guest();
        assert_eq!((0..100).position(|_| guess(&mut first)), Some(64));
        for _ in 0..10 {
            assert!(guess(&mut guest()));
        }
        assert!(guess(&mut miner));
        assert_eq!(miner.ban(), None);
        assert!(door.arrive(address(1)).is_ok());
    }

    /// Half of what bans is five offences of fifty shares.
    #[test]
    fn a_guest_is_warned_once_before_it_is_banned() {
        let door = door(10);
        let mut guest = Guest::new(door.arrive(address(1)).unwrap(), 12.0);
        let warned_at: Vec<_> = (1..=11 * 50)
            .filter(|_| {
                guest.handle_share(Err(RejectReason::TimeTooNew));
                guest.take_warning().is_some()
            })
            .collect();
        assert_eq!(warned_at, [5 * 50]);
        assert!(guest.ban().is_some());
    }

    #[test]
    fn an_offence_too_many_is_a_ban_and_who_mines_has_none() {
        let door = door(10);
        let mut miner = Guest::new(door.arrive(address(1)).unwrap(), 12.0);
        let mut stranger = Guest::new(door.arrive(address(2)).unwrap(), 12.0);
        miner.handle_share(Ok(valid()));
        for guest in [&mut miner, &mut stranger] {
            for _ in 0..11 * 50 {
                guest.handle_share(Err(RejectReason::BadVersionBits));
            }
        }
        assert_eq!(miner.ban(), None);
        assert_eq!(stranger.ban().map(|ban| ban.address), Some(address(2)));
        assert!(door.arrive(address(2)).is_err());
        assert!(door.arrive(address(1)).is_ok());
    }
}
