//! A connection of a Stratum V1 miner.
//!
//! Inside it is one extended channel, so that a share takes the same road as one of SV2. The
//! protocol only: what single devices need stands in `quirks.rs`.

mod asked;
mod messages;
mod quirks;
mod replies;
mod resume;
mod submit;
mod subscription;
mod wishes;
mod work;
mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_channels::{Channel, ChannelId, ExtranoncePrefix, Past, SV1_VERSION_MASK};
use headframe_sv1_wire::{
    Answer, ErrorCode, Fault, Id, LineError, Method, Notification, Refusal, Reply, Request,
};
use headframe_work::Rung;

use self::quirks::Quirks;
use self::replies::Replies;
use self::resume::Resumption;
pub use self::resume::{ParkedSession, SessionId};
use self::wishes::{of_target, of_wire};
use self::workers::Worker;
use super::desk::Desk;
use super::seat::Seat;
use super::{Device, PoolRules, PoolWork, SessionEvent};

/// A client that is connected subscribes and authorizes within this time.
const AUTHORIZED_WITHIN: Duration = Duration::from_secs(60);
/// A client's first work waits this long for the difficulty that it suggests: most send the
/// suggestion right after they are authorized.
const SUGGESTION_WITHIN: Duration = Duration::from_millis(50);
const POOL_IS_FULL: &str = "the pool is full";
/// Lines that cannot be read before the connection is ended.
const MAX_UNREADABLE: u32 = 10;

/// The server's end of a Stratum V1 connection.
#[derive(Debug)]
pub struct Sv1Session {
    desk: Desk,
    device: Device,
    quirks: &'static Quirks,
    /// The version bits that the client may roll (BIP310).
    version_mask: u32,
    /// What the client is told at `mining.subscribe`.
    prefix: Option<ExtranoncePrefix>,
    /// Whether the prefix was there before this connection, so that the pool's present job may have been
    /// sent with it.
    is_prefix_worn: bool,
    /// What the session can be resumed by.
    id: Option<SessionId>,
    resumption: Option<Box<Resumption>>,
    is_subscribed: bool,
    /// The names that may submit. The first fixed the payout.
    workers: Vec<Worker>,
    seat: Option<Seat>,
    suggested: Option<Rung>,
    /// The easiest rung that the client would have, as it was granted (BIP310).
    minimum: Rung,
    /// What a person asked for, in a password or a name: before all that the device suggests.
    asked: Option<Rung>,
    work: WorkFlow,
    /// So many replies go before the client is told its difficulty.
    told_after: u64,
    patience: Option<Instant>,
    unreadable: u32,
    replies: Replies,
}

/// Whether the client is sent work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WorkFlow {
    /// It did not subscribe, or not authorize.
    NotReady,
    /// The first work waits for a suggestion, at most until this time.
    HeldUntil(Instant),
    /// It has its first work.
    Flowing,
}

/// Why a connection has to end. The client's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Sv1Fault {
    /// Too many lines that are no Stratum.
    #[error("sent {MAX_UNREADABLE} lines that cannot be read, the last one: {0}")]
    Unreadable(Fault),
    /// A line that no request needs.
    #[error("sent a line of more than {limit} bytes")]
    TooLong {
        /// Bytes that a line may have.
        limit: usize,
    },
    /// The client did not say who it is.
    #[error("did not subscribe and authorize within {} s", AUTHORIZED_WITHIN.as_secs())]
    Silent,
}

impl Sv1Session {
    /// A session for a client that connected at `now`.
    pub fn new(rules: Arc<PoolRules>, work: Arc<PoolWork>, now: Instant) -> Self {
        Self {
            desk: Desk::new(rules, work),
            device: Device::default(),
            quirks: &quirks::PLAIN,
            version_mask: SV1_VERSION_MASK,
            prefix: None,
            is_prefix_worn: false,
            id: None,
            resumption: None,
            is_subscribed: false,
            workers: Vec::new(),
            seat: None,
            suggested: None,
            minimum: Rung::EASIEST,
            asked: None,
            work: WorkFlow::NotReady,
            told_after: 0,
            patience: Some(now + AUTHORIZED_WITHIN),
            unreadable: 0,
            replies: Replies::default(),
        }
    }

    /// The channel that the connection is inside, when it has one.
    pub fn channel(&self) -> Option<&Channel> {
        self.seat.as_ref().map(|seat| &seat.channel)
    }

    /// Whether the session needs a prefix from the hub before it takes the next line.
    pub fn wants_prefix(&self) -> bool {
        self.prefix.is_none() && self.desk.wants_prefix()
    }

    /// Gives the session a prefix.
    pub fn add_prefix(&mut self, prefix: ExtranoncePrefix) {
        self.desk.add_prefix(prefix);
    }

    /// Takes a line, with or without its end.
    ///
    /// # Errors
    ///
    /// When the connection has to end. What is to be written before that is in the output.
    pub fn handle_line(&mut self, now: Instant, line: &[u8]) -> Result<(), Sv1Fault> {
        // Whoever calls this has no answer.
        self.handle_session(now, None);
        let taken = match Request::parse(line) {
            Ok(request) => {
                let before = self.fitting_rung();
                self.handle_request(now, request);
                self.note_consequence(before);
                Ok(())
            }
            Err(error) => self.handle_unreadable(&error),
        };
        if self.replies.is_full() {
            let shares = self.replies.release_all();
            self.tell_not_durable(shares);
        }
        taken
    }

    /// The client sent more than `limit` bytes without the end of a line. Whoever reads the lines has
    /// not kept them; the client is told, and the connection has to end.
    pub fn handle_too_long(&mut self, limit: usize) -> Sv1Fault {
        let text = format!("a line can have {limit} bytes");
        self.tell_fault(ErrorCode::PARSE_ERROR, text);
        Sv1Fault::TooLong { limit }
    }

    /// The pool has other work. What the session has already is not sent again.
    pub fn handle_work(&mut self, now: Instant, work: &Arc<PoolWork>) {
        if !self.desk.handle_work(work) {
            return;
        }
        match self.work {
            WorkFlow::Flowing => self.send_pool_job(now),
            WorkFlow::NotReady | WorkFlow::HeldUntil(_) => self.retire_resumed(),
        }
    }

    /// This is known of the worker on `seat`, who was just authorized, or nothing is. The one whose name
    /// the connection has is the first; what is known of others is of other connections.
    pub fn handle_past(&mut self, now: Instant, seat: ChannelId, past: Option<Box<Past>>) {
        let before = self.fitting_rung();
        let first = self.seat.as_mut().filter(|first| first.id == seat);
        if let (Some(first), Some(past)) = (first, past) {
            first.control.handle_past(now, past);
        }
        self.note_consequence(before);
    }

    /// Says something to the person behind the device, if it is one that bears it.
    pub fn handle_notice(&mut self, text: &str) {
        if messages::bears(self.device.as_str()) {
            let message = Notification::ShowMessage(text.into());
            self.replies.notify(&message);
        }
    }

    /// The ledger has committed all shares up to number `sequence`.
    pub fn handle_committed(&mut self, sequence: u64) {
        self.replies.release(sequence);
    }

    /// Does what is due at `now`.
    ///
    /// # Errors
    ///
    /// When the client has been silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Sv1Fault> {
        if self.patience.is_some_and(|end| now >= end) {
            self.patience = None;
            let seconds = AUTHORIZED_WITHIN.as_secs();
            let text = format!("subscribe and authorize within {seconds} s");
            self.tell_fault(ErrorCode::OTHER, text);
            return Err(Sv1Fault::Silent);
        }
        let shares = self.replies.release_overdue(now);
        self.tell_not_durable(shares);
        match self.work {
            WorkFlow::HeldUntil(end) if now >= end => self.send_first_job(now),
            WorkFlow::NotReady | WorkFlow::HeldUntil(_) => {}
            WorkFlow::Flowing => {
                if let Some(seat) = &mut self.seat {
                    seat.handle_timeout(now);
                    if let Some(learnt) = seat.learnt(now) {
                        self.desk.tell(learnt);
                    }
                }
                self.send_own_job(now);
            }
        }
        Ok(())
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let seat = self.seat.as_ref();
        let work = match self.work {
            WorkFlow::NotReady => None,
            WorkFlow::HeldUntil(end) => Some(end),
            WorkFlow::Flowing => seat.map(|seat| match self.is_answered() {
                true => seat.poll_timeout(&self.desk.work),
                false => seat.poll_control_timeout(),
            }),
        };
        [work, self.patience, self.replies.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next thing that the pool is to know.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.desk.poll_event()
    }

    /// Hands out what is to be sent: whole lines, in order.
    pub fn drain_output(&mut self, send: impl FnOnce(&[u8])) {
        self.desk.release();
        self.replies.drain_output(send);
    }

    /// The connection is gone: the prefix goes back, every seat is empty.
    pub fn handle_closed(&mut self, now: Instant) {
        if let Some(farewell) = self.seat.as_ref().and_then(|seat| seat.farewell(now)) {
            self.desk.tell(farewell);
        }
        for worker in self.workers.drain(..) {
            self.desk.tell(SessionEvent::Left { seat: worker.seat });
        }
        if self.park(now) {
            self.prefix = None;
        }
        let prefixes = [self.prefix.take(), self.desk.take_prefix()];
        for prefix in prefixes.into_iter().flatten() {
            self.desk.tell(SessionEvent::PrefixReturned(prefix));
        }
    }

    fn handle_request(&mut self, now: Instant, request: Request<'_>) {
        let Request { id, method } = request;
        let reply = match method {
            Method::Subscribe(subscribe) => {
                return self.handle_subscribe(now, id, &subscribe);
            }
            Method::Authorize(authorize) => return self.handle_authorize(now, id, &authorize),
            Method::Configure(configure) => return self.handle_configure(now, id, &configure),
            Method::Submit(submit) => return self.handle_submit(now, id, &submit),
            Method::SuggestDifficulty(difficulty) => {
                return self.handle_suggestion(now, id, of_wire(difficulty));
            }
            Method::SuggestTarget(target) => {
                return self.handle_suggestion(now, id, Some(of_target(target)));
            }
            Method::Capabilities { suggested_target } => {
                return self.handle_suggestion(now, id, suggested_target.map(of_target));
            }
            Method::GetTransactions { job_id } => self.count_transactions(id, job_id.as_deref()),
            Method::ExtranonceSubscribe | Method::MultiVersion => Reply::yes(id),
            Method::Ping => answer(id, Answer::Text("pong".into())),
            Method::GetVersion => {
                let version = concat!("headframe/", env!("CARGO_PKG_VERSION"));
                answer(id, Answer::Text(version.into()))
            }
            Method::Echo { .. } | Method::Unknown { .. } if id.is_null() => return,
            Method::Echo { .. } => Reply::yes(id),
            Method::Unknown { .. } => Reply::unknown_method(id),
        };
        self.replies.push(&reply);
    }

    /// Answers what is no request.
    fn tell_fault(&mut self, code: ErrorCode, text: String) {
        let refusal = Refusal::with_message(code, text);
        self.replies.push(&Reply::refused(Id::NULL, refusal));
    }

    fn handle_unreadable(&mut self, error: &LineError<'_>) -> Result<(), Sv1Fault> {
        if matches!(error.fault, Fault::Blank | Fault::NoMethod) {
            return Ok(());
        }
        self.replies.push(&error.reply());
        if !error.fault.is_undecodable() {
            return Ok(());
        }
        self.unreadable += 1;
        match self.unreadable {
            MAX_UNREADABLE.. => Err(Sv1Fault::Unreadable(error.fault)),
            _ => Ok(()),
        }
    }

    /// A client that has subscribed and is authorized, in whatever order, gets work.
    fn start_work(&mut self, now: Instant) {
        if self.work != WorkFlow::NotReady || !self.is_subscribed || self.seat.is_none() {
            return;
        }
        self.patience = None;
        self.work = WorkFlow::HeldUntil(match self.wish() {
            Some(_) => now,
            None => now + SUGGESTION_WITHIN,
        });
    }

    /// How many transactions a job has, its coinbase aside: the named one, or the newest.
    fn count_transactions<'a>(&self, id: Id<'a>, job_id: Option<&str>) -> Reply<'a> {
        let channel = self.seat.as_ref().map(|seat| &seat.channel);
        let job = channel.and_then(|channel| match job_id {
            Some(job_id) => channel.job(submit::job_id(job_id)?),
            None => channel.newest_job(),
        });
        let Some(job) = job else {
            return Reply::refused(id, Refusal::new(ErrorCode::JOB_NOT_FOUND));
        };
        let count = job.template().transactions.len();
        answer(id, Answer::Number(count as i64))
    }

    fn tell_not_durable(&mut self, shares: BTreeMap<ChannelId, u32>) {
        for (seat, shares) in shares {
            self.desk.tell(SessionEvent::NotDurable { seat, shares });
        }
    }
}

fn answer<'a>(id: Id<'a>, answer: Answer<'a>) -> Reply<'a> {
    Reply { id, answer }
}
