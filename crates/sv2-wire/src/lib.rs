//! Stratum V2 on the wire: frame header, wire types, and every message of every subprotocol.
//!
//! Bytes become values and values become bytes; nothing else happens here. This crate knows no socket, no
//! encryption, no clock, and no rule about what a message means: whether a share is good, a hashrate plausible or a
//! message in order is judged elsewhere.
//!
//! - [`Header`] and [`Frame`]: the six bytes before every message, and the bytes after them (spec §3.2).
//! - [`Bytes`], [`Str255`], [`Seq`], [`U256`], `Option`: the wire types (spec §3.1).
//! - [`common`], [`mining`], [`job_declaration`], [`template_distribution`], [`extensions`]: one table each, one row
//!   per message, from which struct, decoder, encoder and size are made.
//! - [`tlv`]: what may follow the last field of a `SubmitSharesExtended` (extension 0x0002).
//! - [`Incoming`]: a frame as it arrives on a connection of one subprotocol.
//! - [`codes`], [`flags`]: the strings and bits that both sides must spell alike.
//!
//! Decoding borrows from the frame and allocates nothing. Values that would not fit their wire type cannot be
//! constructed, so encoding cannot fail; see [`write_frame`] for the one exception.
//!
//! ```
//! use headframe_sv2_wire::mining::{MiningMessage, SubmitSharesSuccess};
//! use headframe_sv2_wire::{Frame, Incoming, write_frame};
//!
//! let message = SubmitSharesSuccess {
//!     channel_id: 3,
//!     last_sequence_number: 10,
//!     new_submits_accepted_count: 10,
//!     new_shares_sum: 81920,
//! };
//! let mut bytes = Vec::new();
//! write_frame(&message, &mut bytes);
//!
//! let (frame, rest) = Frame::split(&bytes).expect("a whole frame");
//! assert!(rest.is_empty());
//! let incoming = Incoming::decode(frame).expect("well formed");
//! assert_eq!(incoming, Incoming::Protocol(MiningMessage::SubmitSharesSuccess(message)));
//! ```

mod bytes;
mod codec;
mod error;
mod frame;
mod fuzz;
mod incoming;
mod message;
mod seq;
mod u256;

pub mod codes;
pub mod common;
pub mod extensions;
pub mod flags;
pub mod job_declaration;
pub mod mining;
pub mod template_distribution;
pub mod tlv;

pub use bytes::Bytes;
pub use bytes::Bytes16M;
pub use bytes::Bytes32;
pub use bytes::Bytes64K;
pub use bytes::Bytes255;
pub use bytes::Str255;
pub use codec::Field;
pub use codec::Reader;
pub use codec::WireType;
pub use error::DecodeError;
pub use error::FieldError;
pub use error::FrameTooLong;
pub use error::LengthMismatch;
pub use error::TooLong;
pub use frame::Extension;
pub use frame::Frame;
pub use frame::HEADER_LEN;
pub use frame::Header;
pub use frame::MAX_PAYLOAD_LEN;
#[doc(hidden)]
pub use frame::fuzz_frame;
pub use incoming::Incoming;
pub use incoming::Protocol;
pub use incoming::Subprotocol;
pub use message::FieldInfo;
pub use message::Message;
pub use message::MessageInfo;
pub use message::try_write_frame;
pub use message::write_frame;
pub use seq::Seq;
pub use seq::Seq64K;
pub use seq::Seq255;
pub use seq::SeqIter;
pub use u256::U256;
