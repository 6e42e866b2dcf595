//! The session: set-up, constraints, templates, requests, solutions.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bitcoin::{Amount, BlockHash, CompactTarget, hashes::Hash as _};
use headframe_sv2_wire::common::{
    CommonMessage, SetupConnection, SetupConnectionError, SetupConnectionSuccess,
};
use headframe_sv2_wire::template_distribution::{
    CoinbaseOutputConstraints, NewTemplate, RequestTransactionData, RequestTransactionDataError,
    RequestTransactionDataSuccess, SetNewPrevHash, SubmitSolution, TemplateDistributionMessage,
};
use headframe_sv2_wire::{
    Bytes16M, Bytes64K, Bytes255, Frame, Incoming, Protocol, Seq64K, Seq255, U256, codes,
};
use headframe_work::UnixTime;
use tracing::debug;

use super::changes::Changes;
use super::kept::{Found, Kept};
use super::pace::Pace;
use super::{ClientFault, ServerEvent, SolutionFlaw, Solved};
use crate::frames::{framed, try_framed};
use crate::{CoinbaseConstraints, FittedTemplate, VERSION};

/// From the end of the handshake to `SetupConnection`.
pub const SETUP_WITHIN: Duration = Duration::from_secs(10);
/// From set-up to what the client's coinbase needs.
pub const CONSTRAINTS_WITHIN: Duration = Duration::from_secs(60);
/// What a template on the same tip has to pay more than the last that was sent, to be sent: a
/// 300,000th of a block's subsidy, and what other providers take for material.
pub const MATERIAL_FEES: Amount = Amount::from_sat(1_000);
/// The least time between two templates that differ in their fees.
pub const FEE_INTERVAL: Duration = Duration::from_secs(5);
/// Requests for transactions that may wait to be answered; each answer is as large as a block.
pub const MAX_REQUESTS: usize = 16;
/// Version 2, as Bitcoin Core makes its coinbases.
const COINBASE_VERSION: u32 = 2;

/// A Template Provider's end of a connection. See the [module](super) for how to drive it.
#[derive(Debug)]
pub struct ServerSession {
    phase: Phase,
    pace: Pace,
    changes: Changes,
    /// When constraints are told of that came too soon after others.
    change_due: Option<Instant>,
    out: VecDeque<Outgoing>,
    events: VecDeque<ServerEvent>,
    deadline: Option<(Instant, &'static str)>,
    first_id: u64,
    next_id: u64,
    sent: Option<Sent>,
    kept: Kept,
}

#[derive(Debug)]
enum Phase {
    /// Nothing was said.
    New,
    /// The client's constraints are awaited.
    SetUp,
    /// The client is served. It waits for an answer to new constraints if `asks`.
    Serving {
        constraints: CoinbaseConstraints,
        asks: bool,
    },
    /// Nothing is said or heard any more.
    Finished,
}

/// What the client was sent last.
#[derive(Debug, Clone, Copy)]
struct Sent {
    prev_hash: BlockHash,
    bits: CompactTarget,
    version: u32,
    fees: Amount,
    at: Instant,
}

#[derive(Debug)]
enum Outgoing {
    Frame(Vec<u8>),
    /// Put together when its turn has come: it is as large as a block.
    Transactions(u64, Arc<FittedTemplate>),
}

impl ServerSession {
    /// A session that waits for `SetupConnection`. Its templates are numbered from `first_id`: one of
    /// another session is not taken for one of this where they begin far from each other (TD-46).
    pub fn new(now: Instant, first_id: u64) -> Self {
        Self {
            phase: Phase::New,
            pace: Pace::new(now),
            changes: Changes::new(now),
            change_due: None,
            out: VecDeque::new(),
            events: VecDeque::new(),
            deadline: Some((now + SETUP_WITHIN, "SetupConnection")),
            first_id,
            next_id: first_id,
            sent: None,
            kept: Kept::default(),
        }
    }

    /// Takes a frame from the client.
    ///
    /// # Errors
    /// [`ClientFault`] when the client broke the protocol; close the connection then.
    pub fn handle_frame(&mut self, now: Instant, frame: Frame<'_>) -> Result<(), ClientFault> {
        if !self.pace.admits(now) {
            return Err(ClientFault::Flood);
        }
        match Incoming::decode(frame)? {
            _ if matches!(self.phase, Phase::Finished) => Ok(()),
            Incoming::Common(message) => self.handle_common(now, &message),
            Incoming::Protocol(message) => self.handle_distribution(now, &message),
            Incoming::Misplaced(_, info) => Err(ClientFault::Misplaced(info.name)),
            Incoming::Extensions(_)
            | Incoming::UnknownMessage(_)
            | Incoming::UnknownExtension(_) => {
                debug!(header = ?frame.header(), "message of no known kind ignored");
                Ok(())
            }
        }
    }

    /// What the client's coinbase needs, once it has said so. Of several that came too fast, the last.
    pub const fn constraints(&self) -> Option<CoinbaseConstraints> {
        match self.phase {
            Phase::Serving { constraints, .. } => Some(constraints),
            Phase::New | Phase::SetUp | Phase::Finished => None,
        }
    }

    /// Whether the client has changed its constraints so often lately that others are to be served before it.
    pub fn is_restless(&self, now: Instant) -> bool {
        self.changes.due(now).is_some()
    }

    /// Offers a template that is fitted to the client's constraints. `time` is what a header would say
    /// now. True when it is sent: on a new tip, to new constraints, when the node changed bits or version,
    /// and when it pays materially more.
    pub fn offer(&mut self, now: Instant, fitted: &Arc<FittedTemplate>, time: UnixTime) -> bool {
        let Phase::Serving { asks, .. } = &mut self.phase else {
            return false;
        };
        let template = fitted.whole();
        let next = Sent {
            prev_hash: template.prev_hash,
            bits: template.bits,
            version: template.version,
            fees: fitted.fees(),
            at: now,
        };
        let is_same_tip = (self.sent).is_some_and(|sent| sent.prev_hash == next.prev_hash);
        let begins = *asks || self.sent.is_none_or(|sent| !sent.has_tip_of(&next));
        if !begins && !self.sent.is_some_and(|sent| sent.is_outdone_by(&next)) {
            return false;
        }
        *asks = false;
        self.change_due = None;
        if !is_same_tip {
            self.kept.begin_tip();
        }
        let id = self.next_id;
        self.next_id += 1;
        self.sent = Some(next);
        self.out
            .push_back(Outgoing::Frame(new_template(id, begins, fitted)));
        if begins {
            let time = time.max(template.min_time);
            self.out
                .push_back(Outgoing::Frame(set_new_prev_hash(id, fitted, time)));
        }
        self.kept.keep(now, id, Arc::clone(fitted));
        true
    }

    /// The next frame to be sent, header and payload in clear. One with transactions is as large as a
    /// block: send it before asking for the next.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        match self.out.pop_front()? {
            Outgoing::Frame(frame) => Some(frame),
            Outgoing::Transactions(id, fitted) => Some(transactions(id, &fitted)),
        }
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if at all.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.deadline.map(|(at, _)| at);
        deadline.into_iter().chain(self.change_due).min()
    }

    /// Looks whether the client has said in time what it owes, and whether constraints that had to wait are to be told
    /// of.
    ///
    /// # Errors
    /// [`ClientFault::TimedOut`]; close the connection then.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ClientFault> {
        match self.deadline {
            Some((at, what)) if at <= now => return Err(ClientFault::TimedOut(what)),
            Some(_) | None => {}
        }
        if self.change_due.is_some_and(|due| due <= now) {
            self.tell_constraints(now);
        }
        Ok(())
    }

    fn handle_common(
        &mut self,
        now: Instant,
        message: &CommonMessage<'_>,
    ) -> Result<(), ClientFault> {
        match (message, &self.phase) {
            (CommonMessage::SetupConnection(setup), Phase::New) => {
                self.set_up(now, setup);
                Ok(())
            }
            (CommonMessage::SetupConnection(_), _) => {
                Err(ClientFault::OutOfOrder("a second SetupConnection"))
            }
            (message, _) => Err(ClientFault::Misplaced(message.info().name)),
        }
    }

    fn set_up(&mut self, now: Instant, setup: &SetupConnection<'_>) {
        let refused = match () {
            () if setup.protocol != Protocol::TEMPLATE_DISTRIBUTION => {
                Some((0, codes::UNSUPPORTED_PROTOCOL))
            }
            () if !(setup.min_version..=setup.max_version).contains(&VERSION) => {
                Some((0, codes::PROTOCOL_VERSION_MISMATCH))
            }
            // Template distribution has none.
            () if setup.flags != 0 => Some((setup.flags, codes::UNSUPPORTED_FEATURE_FLAGS)),
            () => None,
        };
        if let Some((flags, error_code)) = refused {
            self.send(&SetupConnectionError { flags, error_code });
            return self.finish("it asked for what is not served here");
        }
        self.send(&SetupConnectionSuccess {
            used_version: VERSION,
            flags: 0,
        });
        let words = format!("{} {}", setup.vendor, setup.firmware);
        self.events
            .push_back(ServerEvent::Introduced(words.trim().to_owned()));
        self.phase = Phase::SetUp;
        self.deadline = Some((now + CONSTRAINTS_WITHIN, "CoinbaseOutputConstraints"));
    }

    fn handle_distribution(
        &mut self,
        now: Instant,
        message: &TemplateDistributionMessage<'_>,
    ) -> Result<(), ClientFault> {
        use TemplateDistributionMessage as Message;
        let name = message.info().name;
        match (message, &self.phase) {
            (Message::CoinbaseOutputConstraints(_), Phase::New) => {
                Err(ClientFault::OutOfOrder(name))
            }
            (Message::CoinbaseOutputConstraints(message), _) => {
                self.constrain(now, message);
                Ok(())
            }
            (Message::RequestTransactionData(message), Phase::Serving { .. }) => {
                self.request(message)
            }
            (Message::SubmitSolution(message), Phase::Serving { .. }) => {
                self.solve(message);
                Ok(())
            }
            (Message::RequestTransactionData(_) | Message::SubmitSolution(_), _) => {
                Err(ClientFault::OutOfOrder(name))
            }
            (
                Message::NewTemplate(_)
                | Message::SetNewPrevHash(_)
                | Message::RequestTransactionDataSuccess(_)
                | Message::RequestTransactionDataError(_),
                _,
            ) => Err(ClientFault::Misplaced(name)),
        }
    }

    fn constrain(&mut self, now: Instant, message: &CoinbaseOutputConstraints) {
        self.phase = Phase::Serving {
            constraints: CoinbaseConstraints::of(message),
            asks: true,
        };
        self.deadline = None;
        self.tell_constraints(now);
    }

    /// Of several at once only the last counts: a burst is one template. So is what comes faster than templates are
    /// made for one client.
    fn tell_constraints(&mut self, now: Instant) {
        let Some(constraints) = self.constraints() else {
            return;
        };
        let told = self.events.iter_mut().find_map(|event| match event {
            ServerEvent::Constraints(told) => Some(told),
            _ => None,
        });
        if let Some(told) = told {
            *told = constraints;
            return;
        }
        self.change_due = self.changes.admit(now).err();
        if self.change_due.is_none() {
            self.events.push_back(ServerEvent::Constraints(constraints));
        }
    }

    fn request(&mut self, message: &RequestTransactionData) -> Result<(), ClientFault> {
        let template_id = message.template_id;
        let error_code = match self.kept.find(template_id) {
            Found::Present(fitted) => {
                let queued = |out: &&Outgoing| matches!(out, Outgoing::Transactions(..));
                if self.out.iter().filter(queued).count() >= MAX_REQUESTS {
                    return Err(ClientFault::TooManyRequests);
                }
                let fitted = Arc::clone(fitted);
                self.out
                    .push_back(Outgoing::Transactions(template_id, fitted));
                return Ok(());
            }
            Found::Last(_) => codes::STALE_TEMPLATE_ID,
            Found::Unknown if (self.first_id..self.next_id).contains(&template_id) => {
                codes::STALE_TEMPLATE_ID
            }
            Found::Unknown => codes::TEMPLATE_ID_NOT_FOUND,
        };
        self.send(&RequestTransactionDataError {
            template_id,
            error_code,
        });
        Ok(())
    }

    fn solve(&mut self, message: &SubmitSolution<'_>) {
        let solved = match self.kept.find(message.template_id) {
            Found::Present(fitted) => Solved::new(message, fitted, false),
            Found::Last(fitted) => Solved::new(message, fitted, true),
            Found::Unknown => Err(SolutionFlaw::UnknownTemplate),
        };
        self.events.push_back(match solved {
            Ok(solved) => ServerEvent::Solved(Box::new(solved)),
            Err(flaw) => ServerEvent::Unsolved {
                template_id: message.template_id,
                flaw,
            },
        });
    }

    fn send<'a>(&mut self, message: &impl headframe_sv2_wire::Message<'a>) {
        self.out.push_back(Outgoing::Frame(framed(message)));
    }

    fn finish(&mut self, reason: &'static str) {
        self.phase = Phase::Finished;
        self.deadline = None;
        self.change_due = None;
        self.events.push_back(ServerEvent::Finished { reason });
    }
}

impl Sent {
    /// Whether a client that was told the tip of this knows that of `next`.
    fn has_tip_of(&self, next: &Self) -> bool {
        self.prev_hash == next.prev_hash && self.bits == next.bits
    }

    fn is_outdone_by(&self, next: &Self) -> bool {
        let pays_more = next.fees.checked_sub(self.fees);
        let is_due = next.at.saturating_duration_since(self.at) >= FEE_INTERVAL;
        self.version != next.version
            || (is_due && pays_more.is_some_and(|more| more >= MATERIAL_FEES))
    }
}

/// A template, in a frame. `future`: it waits for the `SetNewPrevHash` that follows.
fn new_template(template_id: u64, future_template: bool, fitted: &FittedTemplate) -> Vec<u8> {
    const SHORT: &str = "heights, commitments and paths of blocks are short";
    let template = fitted.whole();
    framed(&NewTemplate {
        template_id,
        future_template,
        version: template.version,
        coinbase_tx_version: COINBASE_VERSION,
        coinbase_prefix: Bytes255::new(fitted.coinbase_prefix()).expect(SHORT),
        coinbase_tx_input_sequence: template.coinbase_sequence,
        coinbase_tx_value_remaining: fitted.value().to_sat(),
        coinbase_tx_outputs_count: fitted.commitment().is_some().into(),
        coinbase_tx_outputs: Bytes64K::new(fitted.outputs()).expect(SHORT),
        coinbase_tx_locktime: template.coinbase_lock_time,
        merkle_path: Seq255::from_hashes(fitted.merkle_path()).expect(SHORT),
    })
}

fn set_new_prev_hash(template_id: u64, fitted: &FittedTemplate, time: UnixTime) -> Vec<u8> {
    let template = fitted.whole();
    framed(&SetNewPrevHash {
        template_id,
        prev_hash: U256::from_le_bytes(template.prev_hash.to_byte_array()),
        header_timestamp: time.as_secs(),
        nbits: template.bits.to_consensus(),
        target: U256::from_le_bytes(fitted.target().to_le_bytes()),
    })
}

/// The transactions of a template, in a frame; the refusal, where they do not fit into one.
fn transactions(template_id: u64, fitted: &FittedTemplate) -> Vec<u8> {
    // What the coinbase's witness is to hold (BIP141).
    let reserved = [0; 32];
    let transactions = fitted.transactions();
    let list: Result<Vec<_>, _> = transactions.map(|tx| Bytes16M::new(&tx.data)).collect();
    let success = list.ok().and_then(|list| {
        try_framed(&RequestTransactionDataSuccess {
            template_id,
            excess_data: Bytes64K::new(&reserved).ok()?,
            transaction_list: Seq64K::new(&list).ok()?,
        })
    });
    success.unwrap_or_else(|| {
        framed(&RequestTransactionDataError {
            template_id,
            error_code: codes::TEMPLATE_ID_NOT_FOUND,
        })
    })
}
