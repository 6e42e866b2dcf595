//! The session: set-up, constraints, templates and tips, transactions, solutions.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bitcoin::BlockHash;
use headframe_sv2_wire::common::{CommonMessage, SetupConnectionSuccess};
use headframe_sv2_wire::template_distribution::{
    NewTemplate, RequestTransactionData, RequestTransactionDataError,
    RequestTransactionDataSuccess, SetNewPrevHash, SubmitSolution, TemplateDistributionMessage,
};
use headframe_sv2_wire::{Bytes64K, Frame, Incoming, codes};
use headframe_work::{Header, merkle_root};
use tracing::debug;

use super::kept::{Given, Kept};
use super::{
    ClientEvent, ClientSettings, CloseReason, OfferedTemplate, ProviderFault, ProviderTip,
    SettingsError, SubmitError,
};
use crate::frames::framed;
use crate::{CoinbaseConstraints, ROLLED_VERSION_BITS, VERSION};

/// How long the provider has to answer `SetupConnection`, and then to send its first template: a node that
/// makes one slowly is given time.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A client's end of a connection to a Template Provider. See the [module](super) for how to drive it.
#[derive(Debug)]
pub struct ClientSession {
    phase: Phase,
    constraints: CoinbaseConstraints,
    last_id: Option<u64>,
    kept: Kept,
    out: VecDeque<Vec<u8>>,
    events: VecDeque<ClientEvent>,
    deadline: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// `SetupConnection` was sent.
    SettingUp,
    /// Set up; no template has come.
    Waiting,
    /// There is a template on a tip.
    Open,
    /// Nothing is said or heard any more.
    Closed,
}

impl ClientSession {
    /// A session whose first message is ready to be sent.
    ///
    /// # Errors
    /// [`SettingsError`] where a text is longer than 255 bytes.
    pub fn new(now: Instant, settings: &ClientSettings) -> Result<Self, SettingsError> {
        Ok(Self {
            phase: Phase::SettingUp,
            constraints: settings.constraints,
            last_id: None,
            kept: Kept::default(),
            out: VecDeque::from([settings.setup_frame()?]),
            events: VecDeque::new(),
            deadline: Some(now + ANSWER_WITHIN),
        })
    }

    /// Takes a frame from the provider.
    ///
    /// # Errors
    /// [`ProviderFault`] when nothing sensible can follow; close the connection then.
    pub fn handle_frame(&mut self, now: Instant, frame: Frame<'_>) -> Result<(), ProviderFault> {
        if frame.header().channel_message() {
            // No message of this protocol has a channel; deployed peers do not agree on the bit (TD-2).
            debug!(header = ?frame.header(), "channel bit set");
        }
        match Incoming::decode(frame)? {
            _ if self.phase == Phase::Closed => Ok(()),
            Incoming::Common(message) => self.handle_common(now, &message),
            Incoming::Protocol(message) => self.handle_distribution(now, &message),
            Incoming::Misplaced(_, info) => Err(ProviderFault::Misplaced(info.name)),
            Incoming::Extensions(_)
            | Incoming::UnknownMessage(_)
            | Incoming::UnknownExtension(_) => {
                debug!(header = ?frame.header(), "message of no known kind ignored");
                Ok(())
            }
        }
    }

    /// Says that coinbases will need something else than before. Before the session is set up it is what is
    /// said first.
    pub fn set_constraints(&mut self, constraints: CoinbaseConstraints) {
        let has_changed = core::mem::replace(&mut self.constraints, constraints) != constraints;
        if has_changed && matches!(self.phase, Phase::Waiting | Phase::Open) {
            self.out.push_back(framed(&constraints.to_message()));
        }
    }

    /// Asks for the transactions of a template.
    pub fn request_transactions(&mut self, template_id: u64) {
        if self.phase != Phase::Closed {
            self.out
                .push_back(framed(&RequestTransactionData { template_id }));
        }
    }

    /// Sends a block's header and coinbase, the latter whole, as a solution of the template that it was made of.
    ///
    /// # Errors
    /// [`SubmitError`] when it is nothing for this provider; nothing was sent then.
    pub fn submit(&mut self, header: &Header, coinbase: &[u8]) -> Result<(), SubmitError> {
        if self.phase != Phase::Open {
            return Err(SubmitError::NotOpen);
        }
        let Given { template, tip } = self.given_for(header, coinbase)?;
        let template_id = template.id;
        check(header, template, tip)?;
        let too_long = |_| SubmitError::TooLong(coinbase.len());
        let solution = SubmitSolution {
            template_id,
            version: header.version,
            header_timestamp: header.time.as_secs(),
            header_nonce: header.nonce,
            coinbase_tx: Bytes64K::new(coinbase).map_err(too_long)?,
        };
        // Before all that waits to be sent: a block is never second.
        self.out.push_front(framed(&solution));
        Ok(())
    }

    /// The next frame to be sent, header and payload in clear.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if at all. A provider that has said all
    /// that it owes may be silent for as long as its chain and its fees are.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Ends the session if its deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        let waiting_for = match self.phase {
            Phase::SettingUp => "SetupConnection.Success",
            Phase::Waiting => "a template",
            Phase::Open | Phase::Closed => return,
        };
        self.end(CloseReason::TimedOut { waiting_for });
    }

    fn handle_common(
        &mut self,
        now: Instant,
        message: &CommonMessage<'_>,
    ) -> Result<(), ProviderFault> {
        let name = message.info().name;
        match (message, self.phase) {
            (CommonMessage::SetupConnectionSuccess(success), Phase::SettingUp) => {
                self.set_up(now, success)
            }
            (CommonMessage::SetupConnectionError(error), Phase::SettingUp) => {
                let reason = error.error_code.to_string();
                self.end(CloseReason::SetupRefused { reason });
                Ok(())
            }
            (CommonMessage::Reconnect(_), _) => {
                self.end(CloseReason::Reconnect);
                Ok(())
            }
            (CommonMessage::ChannelEndpointChanged(_), _) => Ok(()),
            (CommonMessage::SetupConnection(_), _) => Err(ProviderFault::Misplaced(name)),
            (
                CommonMessage::SetupConnectionSuccess(_) | CommonMessage::SetupConnectionError(_),
                _,
            ) => Err(ProviderFault::OutOfOrder(name)),
        }
    }

    /// What the coinbase needs is the first thing that is said (TD-3).
    fn set_up(
        &mut self,
        now: Instant,
        success: &SetupConnectionSuccess,
    ) -> Result<(), ProviderFault> {
        if success.used_version != VERSION {
            return Err(ProviderFault::Version(success.used_version));
        }
        self.phase = Phase::Waiting;
        self.deadline = Some(now + ANSWER_WITHIN);
        self.out.push_front(framed(&self.constraints.to_message()));
        self.events.push_back(ClientEvent::Ready);
        Ok(())
    }

    fn handle_distribution(
        &mut self,
        now: Instant,
        message: &TemplateDistributionMessage<'_>,
    ) -> Result<(), ProviderFault> {
        use TemplateDistributionMessage as Message;
        let name = message.info().name;
        match message {
            Message::CoinbaseOutputConstraints(_)
            | Message::RequestTransactionData(_)
            | Message::SubmitSolution(_) => Err(ProviderFault::Misplaced(name)),
            _ if self.phase == Phase::SettingUp => Err(ProviderFault::OutOfOrder(name)),
            Message::NewTemplate(message) => self.handle_template(message),
            Message::SetNewPrevHash(message) => self.handle_tip(now, message),
            Message::RequestTransactionDataSuccess(message) => {
                self.handle_transactions(message);
                Ok(())
            }
            Message::RequestTransactionDataError(message) => {
                self.handle_no_transactions(message);
                Ok(())
            }
        }
    }

    fn handle_template(&mut self, message: &NewTemplate<'_>) -> Result<(), ProviderFault> {
        let id = message.template_id;
        if let Some(last) = self.last_id.filter(|last| id <= *last) {
            return Err(ProviderFault::Id { id, last });
        }
        let template = Arc::new(OfferedTemplate::read(message)?);
        self.last_id = Some(id);
        if message.future_template {
            self.kept.keep_future(Arc::clone(&template));
            self.events.push_back(ClientEvent::Future(template));
            return Ok(());
        }
        let tip = self.kept.tip();
        let tip = tip.ok_or(ProviderFault::OutOfOrder("a template before its tip"))?;
        let (tip, height) = (Arc::clone(tip), template.height);
        if height != tip.height {
            return Err(ProviderFault::OtherTip {
                id,
                height,
                expected: tip.height,
            });
        }
        self.kept.keep(Arc::clone(&template), Arc::clone(&tip));
        self.events.push_back(ClientEvent::Template {
            template,
            tip,
            is_new_tip: false,
        });
        Ok(())
    }

    fn handle_tip(&mut self, now: Instant, message: &SetNewPrevHash) -> Result<(), ProviderFault> {
        let template = self.kept.named(message.template_id)?;
        let tip = Arc::new(ProviderTip::read(message, template.height, now)?);
        let is_new_tip = self.kept.begin(Arc::clone(&template), Arc::clone(&tip));
        self.phase = Phase::Open;
        self.deadline = None;
        self.events.push_back(ClientEvent::Template {
            template,
            tip,
            is_new_tip,
        });
        Ok(())
    }

    fn handle_transactions(&mut self, message: &RequestTransactionDataSuccess<'_>) {
        let transactions = message.transaction_list.iter();
        self.events.push_back(ClientEvent::Transactions {
            template_id: message.template_id,
            transactions: transactions.map(|tx| tx.as_bytes().to_vec()).collect(),
        });
    }

    fn handle_no_transactions(&mut self, message: &RequestTransactionDataError<'_>) {
        self.events.push_back(ClientEvent::NoTransactions {
            template_id: message.template_id,
            code: message.error_code.to_string(),
            is_stale: message.error_code == codes::STALE_TEMPLATE_ID,
        });
    }

    /// The template that a block was made of.
    fn given_for(&self, header: &Header, coinbase: &[u8]) -> Result<&Given, SubmitError> {
        let txid = txid_of(coinbase).ok_or(SubmitError::UnknownTemplate)?;
        let is_of = |given: &&Given| {
            given.tip.prev_hash == header.prev_hash
                && merkle_root(txid, &given.template.merkle_path) == header.merkle_root
        };
        let given = self.kept.given().find(is_of);
        given.ok_or(SubmitError::UnknownTemplate)
    }

    fn end(&mut self, reason: CloseReason) {
        self.phase = Phase::Closed;
        self.deadline = None;
        self.events.push_back(ClientEvent::Closed(reason));
    }
}

/// What the specification asks of a solution (spec §7.7), but for its time (TD-41): that of the tip is where work begins,
/// and a valid block may be older. One that was found while there was no connection is, when the tip is told anew.
fn check(
    header: &Header,
    template: &OfferedTemplate,
    tip: &ProviderTip,
) -> Result<(), SubmitError> {
    let hash: BlockHash = header.hash();
    match () {
        () if !tip.target.is_met_by(&hash) => Err(SubmitError::Target),
        () if (header.version ^ template.version) & !ROLLED_VERSION_BITS != 0 => {
            Err(SubmitError::Version)
        }
        () => Ok(()),
    }
}

/// The hash of a coinbase without its witness, in raw order.
fn txid_of(coinbase: &[u8]) -> Option<[u8; 32]> {
    use bitcoin::hashes::Hash as _;
    let coinbase: bitcoin::Transaction = bitcoin::consensus::deserialize(coinbase).ok()?;
    Some(coinbase.compute_txid().to_byte_array())
}
