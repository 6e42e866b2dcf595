//! Many channels on one connection: what a load generator or a farm's proxy looks like to a pool.
//!
//! Set-up, jobs and shares are those of [`Sv2Session`](super::Sv2Session); what differs is that
//! messages find their channel here. It judges no solution, and remembers only as many jobs as a
//! share in flight may belong to.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use core::time::Duration;

use headframe_sv2_wire::common::{CommonMessage, SetupConnectionSuccess};
use headframe_sv2_wire::flags::MiningSuccessFlags;
use headframe_sv2_wire::mining::MiningMessage;
use headframe_sv2_wire::{Bytes32, Frame, Incoming, U256};

use super::channel::{Channel, Shape};
use super::session::on_channel;
use super::settings::{ChannelKind, Sv2Settings, VERSION};
use crate::client::{
    ANSWER_DEADLINE, ClientEvent, CloseReason, Reconnect, SILENCE_DEADLINE, SessionError,
    SettingsError, Solution,
};

/// Jobs that each channel remembers: the present one, and those that shares were found on beforehand.
const JOBS: usize = 4;

/// A miner's end of a Stratum V2 connection with many channels of one kind.
///
/// It is driven as [`Sv2Session`](super::Sv2Session) is; see the [module](crate::client).
#[derive(Debug)]
pub struct Sv2Crowd {
    kind: ChannelKind,
    min_extranonce_size: u16,
    roll_version: bool,
    phase: Phase,
    /// By number; `None` while the channel is not open, and after it was closed.
    channels: Vec<Option<Channel>>,
    numbers: HashMap<u32, usize>,
    /// Channels that were asked for and not answered.
    unanswered: usize,
    out: VecDeque<Vec<u8>>,
    events: VecDeque<CrowdEvent>,
    deadline: Instant,
}

#[derive(Debug)]
enum Phase {
    /// `SetupConnection` was sent; these frames follow when it is answered.
    SettingUp { opens: Vec<Vec<u8>> },
    /// Channels are, or will be, open.
    Open { roll_version: bool },
    /// Nothing is said or heard any more.
    Closed,
}

/// Something that happened on the connection.
#[derive(Debug, Clone, PartialEq)]
pub enum CrowdEvent {
    /// On the channel with this number, counted from 0 in the order of the users. After
    /// [`ClientEvent::Closed`] nothing follows on it; the others live on.
    Channel(usize, ClientEvent),
    /// The pool wants the client to connect again.
    Reconnect(Reconnect),
    /// The session is over. Nothing else follows.
    Closed(CloseReason),
}

impl Sv2Crowd {
    /// A session that opens a channel for each of `users`, in place of the one of `settings`. Its first
    /// message is ready to be sent.
    ///
    /// # Errors
    /// [`SettingsError`] where a text is longer than 255 bytes.
    pub fn new(
        now: Instant,
        settings: &Sv2Settings,
        users: &[String],
    ) -> Result<Self, SettingsError> {
        let opens = (0_u32..)
            .zip(users)
            .map(|(number, user)| settings.open_frame_for(user, number));
        Ok(Self {
            kind: settings.channel,
            min_extranonce_size: settings.min_extranonce_size,
            roll_version: settings.roll_version,
            phase: Phase::SettingUp {
                opens: opens.collect::<Result<_, _>>()?,
            },
            channels: users.iter().map(|_| None).collect(),
            numbers: HashMap::new(),
            unanswered: users.len(),
            out: VecDeque::from([settings.setup_frame()?]),
            events: VecDeque::new(),
            deadline: now + ANSWER_DEADLINE,
        })
    }

    /// Takes a frame from the pool.
    ///
    /// # Errors
    /// [`SessionError`] when the pool broke the protocol; close the connection then.
    pub fn handle_frame(&mut self, now: Instant, frame: Frame<'_>) -> Result<(), SessionError> {
        match (&self.phase, self.unanswered) {
            (Phase::Closed, _) => return Ok(()),
            (Phase::Open { .. }, 0) => self.deadline = now + SILENCE_DEADLINE,
            (Phase::Open { .. } | Phase::SettingUp { .. }, _) => {}
        }
        match Incoming::decode(frame)? {
            Incoming::Common(message) => self.handle_common(now, message),
            Incoming::Protocol(message) => self.handle_mining(now, message),
            Incoming::Misplaced(_, info) => Err(SessionError::Misplaced { message: info.name }),
            Incoming::Extensions(_)
            | Incoming::UnknownMessage(_)
            | Incoming::UnknownExtension(_) => Ok(()),
        }
    }

    /// Sends a solution on a channel without a look at what it is worth; false when the channel is not
    /// open, or the work void or unknown.
    pub fn submit_unjudged(&mut self, now: Instant, number: usize, solution: &Solution) -> bool {
        let channel = self.channels.get_mut(number).and_then(Option::as_mut);
        let frame = channel.and_then(|channel| channel.submit_unjudged(now, solution));
        let is_sent = frame.is_some();
        self.out.extend(frame);
        is_sent
    }

    /// The next frame to be sent, header and payload in clear.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<CrowdEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None` when the session is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!matches!(self.phase, Phase::Closed)).then_some(self.deadline)
    }

    /// Ends the session if its deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.deadline {
            return;
        }
        let waiting_for = match (&self.phase, self.unanswered) {
            (Phase::SettingUp { .. }, _) => "SetupConnection.Success",
            (Phase::Open { .. }, 0) => "anything for three minutes",
            (Phase::Open { .. }, _) => "an answer to the opening of a channel",
            (Phase::Closed, _) => return,
        };
        self.end(CloseReason::TimedOut { waiting_for });
    }

    fn handle_common(
        &mut self,
        now: Instant,
        message: CommonMessage<'_>,
    ) -> Result<(), SessionError> {
        match message {
            CommonMessage::SetupConnectionSuccess(success) => self.open_channels(now, &success)?,
            CommonMessage::SetupConnectionError(error) => {
                let reason = error.error_code.to_string();
                self.end(CloseReason::SetupRefused { reason });
            }
            CommonMessage::Reconnect(demand) => {
                let (host, port) = (demand.new_host.as_bytes(), demand.new_port);
                let demand = Reconnect::new(host, port, Duration::ZERO);
                self.events.push_back(CrowdEvent::Reconnect(demand));
            }
            CommonMessage::ChannelEndpointChanged(_) => {}
            CommonMessage::SetupConnection(_) => {
                let message = message.info().name;
                return Err(SessionError::WrongDirection { message });
            }
        }
        Ok(())
    }

    fn handle_mining(
        &mut self,
        now: Instant,
        message: MiningMessage<'_>,
    ) -> Result<(), SessionError> {
        use MiningMessage as M;
        let channel_id = match message {
            M::OpenStandardMiningChannelSuccess(m) => {
                let ids = (m.request_id, m.channel_id, m.group_channel_id);
                return self.opened(ChannelKind::Standard, ids, m.target, None);
            }
            M::OpenExtendedMiningChannelSuccess(m) => {
                let ids = (m.request_id, m.channel_id, m.group_channel_id);
                let extranonce = Some((m.extranonce_prefix, m.extranonce_size));
                return self.opened(ChannelKind::Extended, ids, m.target, extranonce);
            }
            M::OpenMiningChannelError(m) => {
                self.refused(m.request_id, m.error_code.to_string());
                return Ok(());
            }
            M::OpenStandardMiningChannel(_)
            | M::OpenExtendedMiningChannel(_)
            | M::UpdateChannel(_)
            | M::SubmitSharesStandard(_)
            | M::SubmitSharesExtended(_)
            | M::SetCustomMiningJob(_) => {
                let message = message.info().name;
                return Err(SessionError::WrongDirection { message });
            }
            M::SubmitSharesSuccess(m) => m.channel_id,
            M::SubmitSharesError(m) => m.channel_id,
            M::NewMiningJob(m) => m.channel_id,
            M::NewExtendedMiningJob(m) => m.channel_id,
            M::SetNewPrevHash(m) => m.channel_id,
            M::SetTarget(m) => m.channel_id,
            M::SetExtranoncePrefix(m) => m.channel_id,
            M::UpdateChannelError(m) => m.channel_id,
            M::CloseChannel(m) => m.channel_id,
            M::SetGroupChannel(_)
            | M::SetCustomMiningJobSuccess(_)
            | M::SetCustomMiningJobError(_) => return self.broadcast(now, message),
        };
        match self.numbers.get(&channel_id) {
            Some(number) => self.tell(now, *number, message),
            // A group, or a channel that is not open.
            None => self.broadcast(now, message),
        }
    }

    fn broadcast(&mut self, now: Instant, message: MiningMessage<'_>) -> Result<(), SessionError> {
        (0..self.channels.len()).try_for_each(|number| self.tell(now, number, message))
    }

    fn tell(
        &mut self,
        now: Instant,
        number: usize,
        message: MiningMessage<'_>,
    ) -> Result<(), SessionError> {
        let Some(slot) = self.channels.get_mut(number) else {
            return Ok(());
        };
        let Some(channel) = slot else {
            return Ok(());
        };
        let event = on_channel(channel, now, message)?;
        if let Some(ClientEvent::Closed(_)) = &event {
            self.numbers.remove(&channel.id());
            *slot = None;
        }
        let event = event.map(|event| CrowdEvent::Channel(number, event));
        self.events.extend(event);
        Ok(())
    }

    /// `SetupConnection.Success`: all channels are asked for at once.
    fn open_channels(
        &mut self,
        now: Instant,
        success: &SetupConnectionSuccess,
    ) -> Result<(), SessionError> {
        let Phase::SettingUp { opens } = &mut self.phase else {
            let message = "SetupConnection.Success";
            return Err(SessionError::OutOfOrder { message });
        };
        if success.used_version != VERSION {
            let version = success.used_version;
            return Err(SessionError::Version { version });
        }
        let flags = MiningSuccessFlags::from_bits(success.flags);
        if flags.contains(MiningSuccessFlags::REQUIRES_EXTENDED_CHANNELS)
            && self.kind == ChannelKind::Standard
        {
            self.end(CloseReason::ExtendedChannelsOnly);
            return Ok(());
        }
        self.out.extend(opens.drain(..));
        self.deadline = now + ANSWER_DEADLINE;
        let is_fixed = flags.contains(MiningSuccessFlags::REQUIRES_FIXED_VERSION);
        self.phase = Phase::Open {
            roll_version: self.roll_version && !is_fixed,
        };
        Ok(())
    }

    /// A channel is open. `extranonce` is what an extended one has. An answer that was not asked for is
    /// passed over (MP-36).
    fn opened(
        &mut self,
        kind: ChannelKind,
        (request_id, id, group): (u32, u32, u32),
        target: U256,
        extranonce: Option<(Bytes32<'_>, u16)>,
    ) -> Result<(), SessionError> {
        let Phase::Open { roll_version } = self.phase else {
            return Ok(());
        };
        let number = request_id as usize;
        let Some(slot @ None) = self.channels.get_mut(number) else {
            return Ok(());
        };
        if kind != self.kind {
            return Err(SessionError::ChannelKind);
        }
        let shape = match extranonce {
            None => Shape::Standard,
            Some((prefix, rolled)) => Shape::extended(prefix, rolled, self.min_extranonce_size)?,
        };
        *slot = Some(Channel::new(id, group, shape, target, roll_version, JOBS));
        self.numbers.insert(id, number);
        self.unanswered = self.unanswered.saturating_sub(1);
        let ready = CrowdEvent::Channel(number, ClientEvent::Ready);
        self.events.push_back(ready);
        Ok(())
    }

    fn refused(&mut self, request_id: u32, reason: String) {
        let number = request_id as usize;
        if let Some(None) = self.channels.get(number) {
            self.unanswered = self.unanswered.saturating_sub(1);
            let closed = ClientEvent::Closed(CloseReason::UserRefused { reason });
            self.events.push_back(CrowdEvent::Channel(number, closed));
        }
    }

    fn end(&mut self, reason: CloseReason) {
        self.phase = Phase::Closed;
        self.events.push_back(CrowdEvent::Closed(reason));
    }
}
