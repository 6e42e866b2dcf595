//! A frame as it arrives on a connection: which table it belongs to, and what to do with one that has no row.

use core::fmt;

use crate::codec::Field;
use crate::codec::Reader;
use crate::codec::WireType;
use crate::common::CommonMessage;
use crate::error::DecodeError;
use crate::error::FieldError;
use crate::error::FrameTooLong;
use crate::extensions::ExtensionsMessage;
use crate::frame::Extension;
use crate::frame::Frame;
use crate::job_declaration::JobDeclarationMessage;
use crate::message::MessageInfo;
use crate::mining::MiningMessage;
use crate::template_distribution::TemplateDistributionMessage;

/// `protocol` of `SetupConnection`: the subprotocol that a connection speaks. Unknown values survive, since they
/// have to be answered (FR-27).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// The mining protocol.
    pub const MINING: Self = Self(0);
    /// The job declaration protocol.
    pub const JOB_DECLARATION: Self = Self(1);
    /// The template distribution protocol.
    pub const TEMPLATE_DISTRIBUTION: Self = Self(2);
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MINING => f.write_str("mining"),
            Self::JOB_DECLARATION => f.write_str("job declaration"),
            Self::TEMPLATE_DISTRIBUTION => f.write_str("template distribution"),
            Self(other) => write!(f, "protocol {other}"),
        }
    }
}

impl<'a> Field<'a> for Protocol {
    const WIRE_TYPE: WireType = WireType::Uint(1);

    fn decode(reader: &mut Reader<'a>) -> Result<Self, FieldError> {
        u8::decode(reader).map(Self)
    }

    fn encoded_len(&self) -> usize {
        1
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

/// The messages of one subprotocol, each as a variant.
pub trait Subprotocol<'a>: Sized {
    /// The value of `SetupConnection.protocol` that opens a connection for these messages.
    const PROTOCOL: Protocol;

    /// The table's rows, in order of message type.
    const MESSAGES: &'static [MessageInfo];

    /// Reads a frame if the table has a row for it.
    ///
    /// # Errors
    /// [`DecodeError`] when the payload is not the message that the header names.
    fn decode(frame: Frame<'a>) -> Result<Option<Self>, DecodeError>;

    /// Appends the message as a frame: header and payload.
    ///
    /// # Errors
    /// [`FrameTooLong`] if the payload does not fit a frame; nothing is appended then.
    fn write_frame(&self, out: &mut Vec<u8>) -> Result<(), FrameTooLong>;
}

macro_rules! subprotocol {
    ($($Enum:ident: $protocol:ident,)*) => {$(
        impl<'a> Subprotocol<'a> for $Enum<'a> {
            const PROTOCOL: Protocol = Protocol::$protocol;
            const MESSAGES: &'static [MessageInfo] = Self::MESSAGES;

            #[inline]
            fn decode(frame: Frame<'a>) -> Result<Option<Self>, DecodeError> {
                Self::decode(frame)
            }

            fn write_frame(&self, out: &mut Vec<u8>) -> Result<(), FrameTooLong> {
                self.write_frame(out)
            }
        }
    )*};
}

subprotocol! {
    MiningMessage: MINING,
    JobDeclarationMessage: JOB_DECLARATION,
    TemplateDistributionMessage: TEMPLATE_DISTRIBUTION,
}

/// A frame that arrived on a connection whose subprotocol has the messages `P`.
///
/// What has no row in a table survives as the frame it came in. Whether it came in the right direction or order, and
/// whether bit 15 was set as it should be, is the caller's to judge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Incoming<'a, P> {
    /// A message of every subprotocol: set-up, endpoint changes, reconnects.
    Common(CommonMessage<'a>),
    /// A message of the connection's own subprotocol.
    Protocol(P),
    /// Extensions negotiation.
    Extensions(ExtensionsMessage<'a>),
    /// A core message of another subprotocol, its payload not read. Its sender has lost its way: close (FR-59).
    Misplaced(Frame<'a>, &'static MessageInfo),
    /// A message type that the core protocol, or extension 0x0001, does not have. Log and ignore (FR-58).
    UnknownMessage(Frame<'a>),
    /// A message of an extension that this crate does not know. An endpoint discards it silently (FR-57); a proxy
    /// passes it on by its [`Frame::channel_id`] (FR-54).
    UnknownExtension(Frame<'a>),
}

impl<'a, P: Subprotocol<'a>> Incoming<'a, P> {
    /// Reads a frame, dispatching on extension number and message type together.
    ///
    /// # Errors
    /// [`DecodeError`] when the payload is not the message that the header names, or when an unknown message says
    /// that it begins with a channel id but is too short for one (FR-17).
    #[inline]
    pub fn decode(frame: Frame<'a>) -> Result<Self, DecodeError> {
        match frame.header().extension() {
            Extension::CORE => {
                if let Some(message) = P::decode(frame)? {
                    return Ok(Self::Protocol(message));
                }
                if let Some(message) = CommonMessage::decode(frame)? {
                    return Ok(Self::Common(message));
                }
                Self::of_no_row(frame)
            }
            Extension::NEGOTIATION => match ExtensionsMessage::decode(frame)? {
                Some(message) => Ok(Self::Extensions(message)),
                None => frame.channel_id().map(|_| Self::UnknownMessage(frame)),
            },
            _ => frame.channel_id().map(|_| Self::UnknownExtension(frame)),
        }
    }

    /// Appends the message as a frame, unknown ones as they came.
    ///
    /// # Errors
    /// [`FrameTooLong`] if the payload does not fit a frame; nothing is appended then.
    pub fn write_frame(&self, out: &mut Vec<u8>) -> Result<(), FrameTooLong> {
        match self {
            Self::Common(message) => message.write_frame(out),
            Self::Protocol(message) => message.write_frame(out),
            Self::Extensions(message) => message.write_frame(out),
            Self::Misplaced(frame, _)
            | Self::UnknownMessage(frame)
            | Self::UnknownExtension(frame) => {
                frame.encode(out);
                Ok(())
            }
        }
    }

    fn of_no_row(frame: Frame<'a>) -> Result<Self, DecodeError> {
        match core_message(frame.header().message_type()) {
            Some(info) => Ok(Self::Misplaced(frame, info)),
            None => frame.channel_id().map(|_| Self::UnknownMessage(frame)),
        }
    }
}

/// The row of a core message type, whichever subprotocol has it.
fn core_message(message_type: u8) -> Option<&'static MessageInfo> {
    [
        CommonMessage::MESSAGES,
        MiningMessage::MESSAGES,
        JobDeclarationMessage::MESSAGES,
        TemplateDistributionMessage::MESSAGES,
    ]
    .into_iter()
    .flatten()
    .find(|info| info.message_type == message_type)
}
