//! What all messages have in common, and the macro that makes a protocol from a table of them.

use crate::codec::Reader;
use crate::codec::WireType;
use crate::error::DecodeError;
use crate::error::FrameTooLong;
use crate::frame::Extension;
use crate::frame::Header;
use crate::frame::MAX_PAYLOAD_LEN;

/// One message of the protocol: a row of one of the tables.
pub trait Message<'a>: Sized {
    /// The row that the message was made from.
    const INFO: MessageInfo;

    /// Reads the fields from a frame's payload. Bytes after the last field are ignored, as later versions of a
    /// message may have more of them (FR-60).
    ///
    /// # Errors
    /// [`DecodeError`] when the payload is not this message: the peer's fault.
    fn decode(payload: &'a [u8]) -> Result<Self, DecodeError>;

    /// Bytes that [`encode`](Self::encode) appends.
    fn encoded_len(&self) -> usize;

    /// Appends the payload, without a header.
    fn encode(&self, out: &mut Vec<u8>);
}

/// A message's row in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageInfo {
    /// The name as the specification writes it, e.g. `SubmitShares.Success`.
    pub name: &'static str,
    /// `msg_type` in the frame's header.
    pub message_type: u8,
    /// The extension that defines the message.
    pub extension: Extension,
    /// Whether senders set bit 15 of `extension_type`. Then the first field is the channel's id.
    pub channel_message: bool,
    /// The section of the specification, or of the extension, that defines the message.
    pub spec: &'static str,
    /// The fields in wire order.
    pub fields: &'static [FieldInfo],
}

/// A field's place in a [`MessageInfo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldInfo {
    /// The name as in the struct.
    pub name: &'static str,
    /// The type.
    pub wire_type: WireType,
    /// Whether its bytes are meant to be read by people (`STR0_255`).
    pub is_text: bool,
}

impl MessageInfo {
    /// The longest payload that the fields' types allow. It can exceed what a frame carries.
    #[must_use]
    pub const fn max_len(&self) -> u64 {
        let mut len = 0;
        let mut i = 0;
        while i < self.fields.len() {
            len += self.fields[i].wire_type.max_len();
            i += 1;
        }
        len
    }

    /// Splits a payload into its fields as they are encoded. Bytes after the last field belong to none (FR-60).
    ///
    /// # Errors
    /// [`DecodeError`] when the payload is not this message: the peer's fault.
    pub fn split<'a>(
        &self,
        payload: &'a [u8],
    ) -> impl Iterator<Item = Result<(FieldInfo, &'a [u8]), DecodeError>> + use<'a> {
        let (name, mut reader) = (self.name, Reader::new(payload));
        self.fields.iter().map(move |field| {
            let taken = field.wire_type.take(&mut reader);
            let bytes = taken.map_err(|error| error.at(name, field.name))?;
            Ok((*field, bytes))
        })
    }

    /// The header of this message with a payload of `length` bytes.
    ///
    /// # Errors
    /// [`FrameTooLong`] above [`MAX_PAYLOAD_LEN`].
    pub const fn header(&self, length: usize) -> Result<Header, FrameTooLong> {
        Header::new(
            self.extension,
            self.channel_message,
            self.message_type,
            length,
        )
    }
}

/// Appends a message as a frame: header and payload.
///
/// Only for messages whose largest value fits a frame, which is decided when this is compiled. The two that carry a
/// block's transactions (`ProvideMissingTransactions.Success`, `RequestTransactionData.Success`) do not compile
/// here and need [`try_write_frame`].
pub fn write_frame<'a, M: Message<'a>>(message: &M, out: &mut Vec<u8>) {
    const {
        assert!(
            M::INFO.max_len() <= MAX_PAYLOAD_LEN as u64,
            "this message can be longer than a frame: use try_write_frame"
        );
    };
    try_write_frame(message, out).expect("the longest value of this message fits a frame");
}

/// Appends any message as a frame: header and payload.
///
/// # Errors
/// [`FrameTooLong`] if the payload exceeds [`MAX_PAYLOAD_LEN`]; nothing is appended then.
pub fn try_write_frame<'a, M: Message<'a>>(
    message: &M,
    out: &mut Vec<u8>,
) -> Result<(), FrameTooLong> {
    let header = M::INFO.header(message.encoded_len())?;
    out.reserve(crate::HEADER_LEN + header.payload_len());
    out.extend_from_slice(&header.encode());
    message.encode(out);
    Ok(())
}

/// Makes a protocol from its table. Each row reads
///
/// ```text
/// /// What the message is for.
/// 0x1c channel "5.3.13" "SubmitShares.Success" SubmitSharesSuccess {
///     /// What the field means.
///     channel_id: u32,
/// }
/// ```
///
/// with `channel` or `connection` for bit 15, and gives a struct with its [`Message`] implementation. The table as
/// a whole gives an enum of all messages and the constant list of their rows.
macro_rules! messages {
    (
        $(#[$enum_attr:meta])*
        enum $Enum:ident of $extension:ident;
        $(
            $(#[$attr:meta])*
            $id:literal $bit:ident $spec:literal $name:literal $Message:ident $(<$a:lifetime>)? {
                $( $(#[$field_attr:meta])* $field:ident: $Type:ty, )+
            }
        )+
    ) => {
        $(#[$enum_attr])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum $Enum<'a> {
            $(
                #[doc = concat!("`", $name, "`, ", stringify!($id), ", spec §", $spec, ".")]
                $Message($Message $(<$a>)?),
            )+
        }

        impl<'a> $Enum<'a> {
            /// The table's rows, in order of message type.
            pub const MESSAGES: &'static [$crate::MessageInfo] =
                &[$(<$Message $(<$a>)? as $crate::Message<'a>>::INFO,)+];

            /// Reads a frame by its extension number and message type. `None` if the table has no such row; bit 15
            /// is not looked at, as deployed peers do not agree on it (FR-15).
            ///
            /// # Errors
            /// [`DecodeError`]($crate::DecodeError) when the payload is not the message that the header names.
            #[inline]
            pub fn decode(frame: $crate::Frame<'a>) -> Result<Option<Self>, $crate::DecodeError> {
                if frame.header().extension() != $crate::Extension::$extension {
                    return Ok(None);
                }
                let payload = frame.payload();
                match frame.header().message_type() {
                    $($id => Ok(Some(Self::$Message($crate::Message::decode(payload)?))),)+
                    _ => Ok(None),
                }
            }

            /// The message's row in the table.
            #[must_use]
            pub fn info(&self) -> $crate::MessageInfo {
                match self {
                    $(Self::$Message(_) => <$Message $(<$a>)? as $crate::Message<'a>>::INFO,)+
                }
            }

            /// Appends the message as a frame: header and payload.
            ///
            /// # Errors
            /// [`FrameTooLong`]($crate::FrameTooLong) if the payload does not fit a frame; nothing is appended then.
            pub fn write_frame(&self, out: &mut Vec<u8>) -> Result<(), $crate::FrameTooLong> {
                match self {
                    $(Self::$Message(message) => $crate::try_write_frame(message, out),)+
                }
            }
        }

        $(
            $(#[$attr])*
            #[doc = concat!("\n\nSpec §", $spec, ", message type ", stringify!($id), ", ", stringify!($bit), " message.")]
            #[derive(Debug, Clone, Copy, PartialEq)]
            pub struct $Message $(<$a>)? {
                $( $(#[$field_attr])* pub $field: $Type, )+
            }

            impl<'a> $crate::Message<'a> for $Message $(<$a>)? {
                const INFO: $crate::MessageInfo = $crate::MessageInfo {
                    name: $name,
                    message_type: $id,
                    extension: $crate::Extension::$extension,
                    channel_message: $crate::message::messages!(@bit $bit),
                    spec: $spec,
                    fields: &[$(
                        $crate::FieldInfo {
                            name: stringify!($field),
                            wire_type: <$Type as $crate::Field<'_>>::WIRE_TYPE,
                            is_text: <$Type as $crate::Field<'_>>::IS_TEXT,
                        },
                    )+],
                };

                #[inline]
                fn decode(payload: &'a [u8]) -> Result<Self, $crate::DecodeError> {
                    let mut reader = $crate::Reader::new(payload);
                    Ok(Self {
                        $($field: match $crate::Field::decode(&mut reader) {
                            Ok(value) => value,
                            Err(error) => return Err(error.at($name, stringify!($field))),
                        },)+
                    })
                }

                #[inline]
                fn encoded_len(&self) -> usize {
                    0 $(+ $crate::Field::encoded_len(&self.$field))+
                }

                #[inline]
                fn encode(&self, out: &mut Vec<u8>) {
                    $($crate::Field::encode(&self.$field, out);)+
                }
            }

            impl<'a> From<$Message $(<$a>)?> for $Enum<'a> {
                fn from(message: $Message $(<$a>)?) -> Self {
                    Self::$Message(message)
                }
            }
        )+
    };
    (@bit channel) => { true };
    (@bit connection) => { false };
}

pub(crate) use messages;
