//! The pool's end of a connection, driven as `server`'s connection task drives it, and watched.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use headframe_channels::ChannelId;
use headframe_mining::server::{
    ParkedSession, PoolWork, SessionEvent, SessionId, Sv1Session, Sv2Session,
};
use headframe_sv2_wire::Frame;

use super::host::Host;
use super::witness::sv1::{Said, Sv1Observer};
use super::witness::sv2::{Asked, Moment, Sv2Observer};
use super::witness::{Heard, Violation, ensure};
use crate::pool::Server;

/// Bytes of a message that is not whole yet: more than any message has.
const MOST_UNREAD: usize = 80 << 10;

/// A session, what it has not read yet, and what is known of it.
#[derive(Debug)]
pub(super) struct Port {
    id: u64,
    end: Session,
    inbox: Vec<u8>,
    users: HashMap<ChannelId, String>,
    work: Arc<PoolWork>,
    /// The timer that is planned.
    pub(super) timer: Option<Instant>,
    /// Whether the session will look at newer work.
    pub(super) is_woken: bool,
    /// Why the session ended the connection.
    pub(super) fault: Option<String>,
    /// What it said since it was asked last.
    output: Vec<u8>,
}

#[derive(Debug)]
enum Session {
    Sv1(Box<(Sv1Session, Sv1Observer)>),
    Sv2(Box<(Sv2Session, Sv2Observer)>),
}

/// What a message was understood as before the session took it.
enum Expected {
    Sv1(Said),
    Sv2(Asked),
}

impl Port {
    /// The end of a connection at listener `listener`.
    pub(super) fn new(id: u64, is_sv2: bool, listener: usize, host: &mut Host) -> Self {
        let (now, work) = (host.now(), host.newest().0);
        let rules = Arc::clone(&host.rules[listener]);
        let demands = rules.sv2;
        let session = match is_sv2 {
            true => Session::Sv2(Box::new((
                Sv2Session::new(rules, Arc::clone(&work), now),
                Sv2Observer::new(id, demands),
            ))),
            false => Session::Sv1(Box::new((
                Sv1Session::new(rules, Arc::clone(&work), now)
                    .resumable(SessionId::new(host.chance.bytes())),
                Sv1Observer::new(id),
            ))),
        };
        Self {
            id,
            end: session,
            inbox: Vec::new(),
            users: HashMap::new(),
            work,
            timer: None,
            is_woken: false,
            fault: None,
            output: Vec::new(),
        }
    }

    /// Bytes have arrived.
    pub(super) fn handle_bytes(&mut self, bytes: &[u8], host: &mut Host) -> Result<(), Violation> {
        self.inbox.extend_from_slice(bytes);
        while self.fault.is_none()
            && let Some(message) = self.next_message()
        {
            if self.server().wants_prefix() {
                let prefix = host.lease(self.id)?;
                self.server().add_prefix(prefix);
            }
            let now = host.now();
            let expected = self.hear(now, &message, host);
            let taken = self.server().handle_input(now, &message);
            self.fault = taken.err();
            if let Some(wanted) = self.server().wants_session() {
                self.resume(wanted, host)?;
            }
            if self.is_finished() {
                self.fault.get_or_insert_with(|| "finished".to_owned());
            }
            self.settle(expected, false, host)?;
        }
        ensure(self.inbox.len() <= MOST_UNREAD, || {
            "a message without end".to_owned()
        })
    }

    /// There is other work.
    pub(super) fn handle_work(&mut self, host: &mut Host) -> Result<(), Violation> {
        self.is_woken = false;
        let (work, is_full) = host.newest();
        self.work = Arc::clone(&work);
        self.server().handle_work(host.now(), &work);
        // In Stratum V1 what a tip is begun with is a job like any other.
        let is_sv1 = matches!(self.end, Session::Sv1(_));
        self.settle_unasked(is_full || is_sv1, host)
    }

    /// The ledger has all up to `sequence`.
    pub(super) fn handle_committed(
        &mut self,
        sequence: u64,
        host: &mut Host,
    ) -> Result<(), Violation> {
        let account = match &mut self.end {
            Session::Sv1(end) => &mut end.1.account,
            Session::Sv2(end) => &mut end.1.account,
        };
        account.committed = sequence;
        self.server().handle_committed(sequence);
        self.settle_unasked(false, host)
    }

    /// The session's timer.
    pub(super) fn handle_timeout(&mut self, host: &mut Host) -> Result<(), Violation> {
        let now = host.now();
        let is_due = self.server().poll_timeout().is_some_and(|at| at <= now);
        if !is_due {
            return Ok(());
        }
        self.fault = self.server().handle_timeout(now).err();
        let next = self.server().poll_timeout();
        let is_later = next.is_none_or(|at| at > now);
        ensure(self.fault.is_some() || is_later, || {
            "a timer stays where it was: a busy loop".to_owned()
        })?;
        self.settle_unasked(false, host)
    }

    /// The connection is gone.
    pub(super) fn handle_closed(&mut self, host: &mut Host) -> Result<(), Violation> {
        self.server().handle_closed(host.now());
        self.fault.get_or_insert_with(|| "closed".to_owned());
        match &mut self.end {
            Session::Sv1(end) => end.1.end(&mut host.witness),
            Session::Sv2(end) => end.1.end(&mut host.witness),
        }
        self.settle_unasked(false, host)
    }

    /// What is to be sent to the client.
    pub(super) fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }

    /// When the session's timer is due.
    pub(super) fn next_timer(&mut self) -> Option<Instant> {
        self.server().poll_timeout()
    }

    /// Replies that wait.
    pub(super) fn waiting(&self) -> usize {
        match &self.end {
            Session::Sv1(end) => end.1.account.waiting(),
            Session::Sv2(end) => end.1.account.waiting(),
        }
    }

    /// Gives the session what its client wants to go on with, if that is there.
    fn resume(&mut self, wanted: SessionId, host: &mut Host) -> Result<(), Violation> {
        let (parked, past) = host.resume(self.id, wanted)?.unzip();
        if let (Session::Sv1(end), Some(past)) = (&mut self.end, past) {
            end.1.resume(past);
        }
        self.server().handle_session(host.now(), parked);
        Ok(())
    }

    fn park(&mut self, parked: ParkedSession, host: &mut Host) -> Result<(), Violation> {
        let past = match &mut self.end {
            Session::Sv1(end) => end.1.leave(),
            Session::Sv2(_) => None,
        };
        let past = past.ok_or("R-7: nobody's session is left")?;
        host.park(self.id, parked, past)
    }

    fn server(&mut self) -> &mut dyn Server {
        match &mut self.end {
            Session::Sv1(end) => &mut end.0,
            Session::Sv2(end) => &mut end.0,
        }
    }

    fn is_finished(&self) -> bool {
        match &self.end {
            Session::Sv1(_) => false,
            Session::Sv2(end) => end.0.is_finished(),
        }
    }

    /// The next frame or line that is whole.
    fn next_message(&mut self) -> Option<Vec<u8>> {
        let len = match &self.end {
            Session::Sv1(_) => self.inbox.iter().position(|byte| *byte == b'\n')? + 1,
            Session::Sv2(_) => self.inbox.len() - Frame::split(&self.inbox)?.1.len(),
        };
        Some(self.inbox.drain(..len).collect())
    }

    fn hear(&mut self, now: Instant, message: &[u8], host: &mut Host) -> Expected {
        let at = Moment {
            now,
            work: &self.work,
            is_over: false,
            has_new_work: false,
        };
        match &mut self.end {
            Session::Sv1(end) => Expected::Sv1(end.1.hear(&at, message, &host.users)),
            Session::Sv2(end) => Expected::Sv2(match Frame::split(message) {
                Some((frame, _)) => end.1.hear(&at, frame, &host.users, &mut host.witness),
                None => Asked::Nothing,
            }),
        }
    }

    fn settle_unasked(&mut self, is_full: bool, host: &mut Host) -> Result<(), Violation> {
        let expected = match &self.end {
            Session::Sv1(_) => Expected::Sv1(Said::Nothing),
            Session::Sv2(_) => Expected::Sv2(Asked::Nothing),
        };
        self.settle(expected, is_full, host)
    }

    /// Takes what the session has to tell, and what it sends, and checks both.
    fn settle(
        &mut self,
        expected: Expected,
        has_new_work: bool,
        host: &mut Host,
    ) -> Result<(), Violation> {
        let mut events = Vec::new();
        while let Some(event) = self.server().poll_event() {
            match event {
                SessionEvent::Parked(parked) => self.park(*parked, host)?,
                event => {
                    self.take_event(&event, host)?;
                    events.push(event);
                }
            }
        }
        let sent = self.server().output();
        let at = Moment {
            now: host.now(),
            work: &self.work,
            is_over: self.fault.is_some(),
            has_new_work,
        };
        let heard = Heard::of(&events)?;
        let witness = &mut host.witness;
        match (&mut self.end, expected) {
            (Session::Sv1(end), Expected::Sv1(said)) => {
                end.1.check(&at, said, &heard, &sent, witness)?;
            }
            (Session::Sv2(end), Expected::Sv2(asked)) => {
                end.1.check(&at, asked, &heard, &sent, witness)?;
            }
            _ => unreachable!("what was expected is of the session's protocol"),
        }
        self.output.extend_from_slice(&sent);
        Ok(())
    }

    fn take_event(&mut self, event: &SessionEvent, host: &mut Host) -> Result<(), Violation> {
        let now = host.now();
        host.take_event(self.id, event)?;
        match event {
            SessionEvent::Joined(joined) => {
                let user = &joined.miner.user;
                let past = host.recall(user);
                self.server().handle_past(now, joined.seat, past);
                let before = self.users.insert(joined.seat, user.to_string());
                ensure(before.is_none(), || "a seat is taken twice".to_owned())
            }
            SessionEvent::Left { seat } | SessionEvent::Vacated { seat } => {
                let left = self.users.remove(seat);
                ensure(left.is_some(), || "nobody has left".to_owned())
            }
            _ => Ok(()),
        }
    }
}
