//! The session: set-up, one channel, and what comes on it.

use std::collections::VecDeque;
use std::time::Instant;

use core::time::Duration;

use headframe_sv2_wire::codes::Code;
use headframe_sv2_wire::common::{CommonMessage, SetupConnectionSuccess};
use headframe_sv2_wire::extensions::ExtensionsMessage;
use headframe_sv2_wire::flags::MiningSuccessFlags;
use headframe_sv2_wire::mining::{CloseChannel, MiningMessage};
use headframe_sv2_wire::{Frame, Incoming};
use tracing::debug;

use super::channel::{Channel, Shape};
use super::naming::{Answer, Naming};
use super::settings::{ChannelKind, REQUEST_ID, Sv2Settings, VERSION, framed};
use crate::client::{
    ANSWER_DEADLINE, ClientEvent, CloseReason, EXTENSIONS_DEADLINE, MAX_JOBS, Reconnect,
    SILENCE_DEADLINE, SessionError, SettingsError, Solution, Submission,
};

/// A miner's end of a Stratum V2 connection with one channel.
///
/// See the [module](crate::client) for how to drive it.
#[derive(Debug)]
pub struct Sv2Session {
    kind: ChannelKind,
    min_extranonce_size: u16,
    roll_version: bool,
    /// The name that shares are to carry, if they are.
    naming: Option<Naming>,
    phase: Phase,
    out: VecDeque<Vec<u8>>,
    events: VecDeque<ClientEvent>,
    deadline: Instant,
}

#[derive(Debug)]
enum Phase {
    /// `SetupConnection` was sent; this frame follows when it is answered.
    SettingUp { open: Vec<u8> },
    /// Extensions were asked for; this frame follows when that is answered (EX-21).
    Negotiating { open: Vec<u8>, fixed_version: bool },
    /// The channel was asked for.
    Opening { fixed_version: bool },
    /// Mining.
    Open(Box<Channel>),
    /// Nothing is said or heard any more.
    Closed,
}

impl Sv2Session {
    /// A session whose first message is ready to be sent.
    ///
    /// # Errors
    /// [`SettingsError`] where a text is longer than 255 bytes, or the worker's name than 32.
    pub fn new(now: Instant, settings: &Sv2Settings) -> Result<Self, SettingsError> {
        let name = settings.worker_name.as_deref();
        // Only extended shares can carry one.
        let name = name.filter(|_| settings.channel == ChannelKind::Extended);
        Ok(Self {
            naming: name.map(Naming::new).transpose()?,
            kind: settings.channel,
            min_extranonce_size: settings.min_extranonce_size,
            roll_version: settings.roll_version,
            phase: Phase::SettingUp {
                open: settings.open_frame()?,
            },
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
        let incoming = Incoming::decode(frame)?;
        match self.phase {
            Phase::Closed => return Ok(()),
            Phase::Open(_) => self.deadline = now + SILENCE_DEADLINE,
            Phase::SettingUp { .. } | Phase::Negotiating { .. } | Phase::Opening { .. } => {}
        }
        match incoming {
            Incoming::Common(message) => self.handle_common(now, message),
            Incoming::Protocol(message) => self.handle_mining(now, message),
            Incoming::Misplaced(_, info) => Err(SessionError::Misplaced { message: info.name }),
            Incoming::Extensions(message) => self.handle_extensions(now, &message),
            Incoming::UnknownMessage(_) | Incoming::UnknownExtension(_) => {
                debug!(header = ?frame.header(), "message of no known kind ignored");
                Ok(())
            }
        }
    }

    /// Sends a solution, if it is worth it.
    pub fn submit(&mut self, now: Instant, solution: &Solution) -> Submission {
        let Phase::Open(channel) = &mut self.phase else {
            return Submission::Void;
        };
        let tail = self.naming.as_ref().map_or(&[][..], Naming::tail);
        match channel.submit(now, solution, tail) {
            Ok((frame, block)) => {
                self.out.push_back(frame);
                Submission::Sent { block }
            }
            Err(submission) => submission,
        }
    }

    /// Ends the session: an open channel is closed with a message (MP-50).
    pub fn close(&mut self) {
        if let Phase::Open(channel) = &self.phase {
            self.out.push_back(framed(&CloseChannel {
                channel_id: channel.id(),
                reason_code: const {
                    match Code::new("shutdown") {
                        Ok(code) => code,
                        Err(_) => panic!("not a code"),
                    }
                },
            }));
        }
        self.end(CloseReason::Done);
    }

    /// The next frame to be sent, header and payload in clear.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None` when the session is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Closed => None,
            Phase::SettingUp { .. }
            | Phase::Negotiating { .. }
            | Phase::Opening { .. }
            | Phase::Open(_) => Some(self.deadline),
        }
    }

    /// Ends the session if its deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.deadline {
            return;
        }
        let waiting_for = match self.phase {
            Phase::SettingUp { .. } => "SetupConnection.Success",
            Phase::Negotiating { .. } => return self.ask_for_channel(now),
            Phase::Opening { .. } => "an answer to the opening of a channel",
            Phase::Open(_) => "anything for three minutes",
            Phase::Closed => return,
        };
        self.end(CloseReason::TimedOut { waiting_for });
    }

    fn handle_common(
        &mut self,
        now: Instant,
        message: CommonMessage<'_>,
    ) -> Result<(), SessionError> {
        match message {
            CommonMessage::SetupConnectionSuccess(success) => self.open_channel(now, &success),
            CommonMessage::SetupConnectionError(error) => match self.phase {
                Phase::SettingUp { .. } => {
                    let reason = error.error_code.to_string();
                    self.end(CloseReason::SetupRefused { reason });
                    Ok(())
                }
                _ => Err(out_of_order(&message)),
            },
            CommonMessage::Reconnect(demand) => {
                let (host, port) = (demand.new_host.as_bytes(), demand.new_port);
                let demand = Reconnect::new(host, port, Duration::ZERO);
                self.events.push_back(ClientEvent::Reconnect(demand));
                Ok(())
            }
            CommonMessage::ChannelEndpointChanged(changed) => {
                self.negotiate_anew(changed.channel_id);
                Ok(())
            }
            CommonMessage::SetupConnection(_) => Err(SessionError::WrongDirection {
                message: message.info().name,
            }),
        }
    }

    fn handle_mining(
        &mut self,
        now: Instant,
        message: MiningMessage<'_>,
    ) -> Result<(), SessionError> {
        match message {
            MiningMessage::OpenStandardMiningChannelSuccess(m) => {
                let (id, group) = (m.channel_id, m.group_channel_id);
                self.opened(now, ChannelKind::Standard, m.request_id, |roll| {
                    let shape = Shape::Standard;
                    Ok(Channel::new(id, group, shape, m.target, roll, MAX_JOBS))
                })
            }
            MiningMessage::OpenExtendedMiningChannelSuccess(m) => {
                let (id, group) = (m.channel_id, m.group_channel_id);
                let least = self.min_extranonce_size;
                self.opened(now, ChannelKind::Extended, m.request_id, |roll| {
                    let shape = Shape::extended(m.extranonce_prefix, m.extranonce_size, least)?;
                    Ok(Channel::new(id, group, shape, m.target, roll, MAX_JOBS))
                })
            }
            MiningMessage::OpenMiningChannelError(m) => {
                if matches!(self.phase, Phase::Opening { .. }) && m.request_id == REQUEST_ID {
                    let reason = m.error_code.to_string();
                    self.end(CloseReason::UserRefused { reason });
                }
                Ok(())
            }
            MiningMessage::OpenStandardMiningChannel(_)
            | MiningMessage::OpenExtendedMiningChannel(_)
            | MiningMessage::UpdateChannel(_)
            | MiningMessage::SubmitSharesStandard(_)
            | MiningMessage::SubmitSharesExtended(_)
            | MiningMessage::SetCustomMiningJob(_) => Err(SessionError::WrongDirection {
                message: message.info().name,
            }),
            _ => match &mut self.phase {
                Phase::Open(channel) => {
                    let event = on_channel(channel, now, message)?;
                    event.into_iter().for_each(|event| self.push(event));
                    Ok(())
                }
                Phase::SettingUp { .. } | Phase::Negotiating { .. } => {
                    let message = message.info().name;
                    Err(SessionError::OutOfOrder { message })
                }
                // A pool may be about to serve a channel whose Success is on its way.
                Phase::Opening { .. } | Phase::Closed => Ok(()),
            },
        }
    }

    /// `SetupConnection.Success`: the channel is asked for at once (MP-31), or right after an extension
    /// (EX-18, EX-20).
    fn open_channel(
        &mut self,
        now: Instant,
        success: &SetupConnectionSuccess,
    ) -> Result<(), SessionError> {
        let Phase::SettingUp { open } = &mut self.phase else {
            return Err(SessionError::OutOfOrder {
                message: "SetupConnection.Success",
            });
        };
        if success.used_version != VERSION {
            return Err(SessionError::Version {
                version: success.used_version,
            });
        }
        let flags = MiningSuccessFlags::from_bits(success.flags);
        if flags.contains(MiningSuccessFlags::REQUIRES_EXTENDED_CHANNELS)
            && self.kind == ChannelKind::Standard
        {
            self.end(CloseReason::ExtendedChannelsOnly);
            return Ok(());
        }
        let fixed_version = flags.contains(MiningSuccessFlags::REQUIRES_FIXED_VERSION);
        let open = core::mem::take(open);
        self.phase = Phase::Negotiating {
            open,
            fixed_version,
        };
        match &mut self.naming {
            Some(naming) => {
                self.out.push_back(naming.request());
                self.deadline = now + EXTENSIONS_DEADLINE;
            }
            None => self.ask_for_channel(now),
        }
        Ok(())
    }

    /// Goes on from where extensions were asked for.
    fn ask_for_channel(&mut self, now: Instant) {
        let Phase::Negotiating {
            open,
            fixed_version,
        } = &mut self.phase
        else {
            return;
        };
        let fixed_version = *fixed_version;
        self.out.push_back(core::mem::take(open));
        self.deadline = now + ANSWER_DEADLINE;
        self.phase = Phase::Opening { fixed_version };
    }

    /// An answer that comes late, when the channel is open, counts as well.
    fn handle_extensions(
        &mut self,
        now: Instant,
        message: &ExtensionsMessage<'_>,
    ) -> Result<(), SessionError> {
        let Some(naming) = &mut self.naming else {
            debug!(message = message.info().name, "message ignored");
            return Ok(());
        };
        match (naming.handle(message)?, &self.phase) {
            (Some(Answer::Granted | Answer::Declined), _) => self.ask_for_channel(now),
            (Some(Answer::Impossible), Phase::Negotiating { .. } | Phase::Opening { .. }) => {
                self.end(CloseReason::ExtensionsRequired);
            }
            (Some(Answer::Impossible) | None, _) => {}
        }
        Ok(())
    }

    /// `ChannelEndpointChanged`: nothing of an extension is sent on the channel until it is agreed on
    /// again (FR-35).
    fn negotiate_anew(&mut self, channel_id: u32) {
        let Phase::Open(channel) = &self.phase else {
            return;
        };
        if channel.id() == channel_id
            && let Some(naming) = &mut self.naming
        {
            self.out.push_back(naming.request());
        }
    }

    /// An answer to the request for a channel; `channel` makes it, given whether versions may be rolled.
    /// An answer to another request is none of ours (MP-36).
    fn opened(
        &mut self,
        now: Instant,
        kind: ChannelKind,
        request_id: u32,
        channel: impl FnOnce(bool) -> Result<Channel, SessionError>,
    ) -> Result<(), SessionError> {
        let Phase::Opening { fixed_version } = self.phase else {
            return Ok(());
        };
        if request_id != REQUEST_ID {
            return Ok(());
        }
        if kind != self.kind {
            return Err(SessionError::ChannelKind);
        }
        let channel = channel(self.roll_version && !fixed_version)?;
        self.phase = Phase::Open(Box::new(channel));
        self.deadline = now + SILENCE_DEADLINE;
        self.events.push_back(ClientEvent::Ready);
        Ok(())
    }

    fn push(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Closed(reason) => self.end(reason),
            event => self.events.push_back(event),
        }
    }

    fn end(&mut self, reason: CloseReason) {
        if !matches!(self.phase, Phase::Closed) {
            self.phase = Phase::Closed;
            self.events.push_back(ClientEvent::Closed(reason));
        }
    }
}

/// A message about channels, once ours is open. Those to other channels are nothing to us.
pub(super) fn on_channel(
    channel: &mut Channel,
    now: Instant,
    message: MiningMessage<'_>,
) -> Result<Option<ClientEvent>, SessionError> {
    let own = channel.id();
    let reaches = |id| channel.is_addressed_by(id);
    Ok(match message {
        MiningMessage::NewMiningJob(m) if m.channel_id == own => channel.handle_job(&m),
        MiningMessage::NewExtendedMiningJob(m) if reaches(m.channel_id) => {
            channel.handle_extended_job(&m)
        }
        MiningMessage::SetNewPrevHash(m) if reaches(m.channel_id) => {
            Some(channel.handle_new_prev_hash(now, &m))
        }
        MiningMessage::SetTarget(m) if reaches(m.channel_id) => {
            Some(channel.set_target(m.maximum_target))
        }
        MiningMessage::SetExtranoncePrefix(m) if m.channel_id == own => {
            channel.set_extranonce_prefix(m.extranonce_prefix)?;
            None
        }
        MiningMessage::SubmitSharesSuccess(m) if m.channel_id == own => {
            channel.accept_through(m.last_sequence_number)
        }
        MiningMessage::SubmitSharesError(m) if m.channel_id == own => {
            channel.reject(m.sequence_number, m.error_code.to_string())
        }
        MiningMessage::UpdateChannelError(m) if m.channel_id == own => Some(ClientEvent::Notice(
            format!("the pool refuses an update: {}", m.error_code),
        )),
        MiningMessage::CloseChannel(m) if reaches(m.channel_id) => {
            let reason = m.reason_code.to_string();
            Some(ClientEvent::Closed(CloseReason::ChannelClosed { reason }))
        }
        MiningMessage::SetGroupChannel(m) => {
            if m.channel_ids.iter().any(|id| id == own) {
                channel.join_group(m.group_channel_id)?;
            }
            None
        }
        // To another channel, or answers to what we never ask.
        _ => {
            debug!(message = message.info().name, "message ignored");
            None
        }
    })
}

fn out_of_order(message: &CommonMessage<'_>) -> SessionError {
    SessionError::OutOfOrder {
        message: message.info().name,
    }
}
