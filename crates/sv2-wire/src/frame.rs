//! The frame: a six-byte header and a payload of the length that it announces (spec §3.2).
//!
//! Not here: encryption, which seals header and payload apart from each other, and what a payload means.

use core::fmt;

use crate::codec::Reader;
use crate::error::DecodeError;
use crate::error::FrameTooLong;
use crate::error::LengthMismatch;

/// Length of a header: `extension_type` U16, `msg_type` U8, `msg_length` U24, all little endian.
pub const HEADER_LEN: usize = 6;

/// The longest payload: 2²⁴−1 bytes.
pub const MAX_PAYLOAD_LEN: usize = 0xff_ffff;

/// Bit 15 of `extension_type`: the payload begins with a channel id (spec §3.2.1).
const CHANNEL_BIT: u16 = 0x8000;

/// The number of an extension, 15 bits; 0 is the core protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extension(u16);

impl Extension {
    /// The messages of the specification itself.
    pub const CORE: Self = Self(0);
    /// Extensions negotiation, see [`extensions`](crate::extensions).
    pub const NEGOTIATION: Self = Self(1);
    /// Worker-specific hashrate tracking, see [`tlv`](crate::tlv).
    pub const WORKER_HASHRATE_TRACKING: Self = Self(2);

    /// The extension of this number; `None` if it does not fit 15 bits.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number & CHANNEL_BIT == 0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number, 0 to 0x7fff.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// What stands before every payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    extension: Extension,
    channel_message: bool,
    message_type: u8,
    length: u32,
}

impl Header {
    /// The header of a payload of `length` bytes.
    ///
    /// # Errors
    /// [`FrameTooLong`] above [`MAX_PAYLOAD_LEN`].
    pub const fn new(
        extension: Extension,
        channel_message: bool,
        message_type: u8,
        length: usize,
    ) -> Result<Self, FrameTooLong> {
        if length > MAX_PAYLOAD_LEN {
            return Err(FrameTooLong { len: length });
        }
        Ok(Self {
            extension,
            channel_message,
            message_type,
            length: length as u32,
        })
    }

    /// Reads a header. Every six bytes are one.
    #[must_use]
    #[inline]
    pub const fn decode(bytes: &[u8; HEADER_LEN]) -> Self {
        let [ext_low, ext_high, message_type, low, mid, high] = *bytes;
        let extension_type = u16::from_le_bytes([ext_low, ext_high]);
        Self {
            extension: Extension(extension_type & !CHANNEL_BIT),
            channel_message: extension_type & CHANNEL_BIT != 0,
            message_type,
            length: u32::from_le_bytes([low, mid, high, 0]),
        }
    }

    /// The header's wire form.
    #[must_use]
    #[inline]
    pub const fn encode(&self) -> [u8; HEADER_LEN] {
        let channel_bit = if self.channel_message { CHANNEL_BIT } else { 0 };
        let [ext_low, ext_high] = (self.extension.0 | channel_bit).to_le_bytes();
        let [low, mid, high, _] = self.length.to_le_bytes();
        [ext_low, ext_high, self.message_type, low, mid, high]
    }

    /// The extension that defines the message, bit 15 masked off.
    #[must_use]
    pub const fn extension(&self) -> Extension {
        self.extension
    }

    /// Bit 15: the payload begins with the id of the channel that the message is about.
    #[must_use]
    pub const fn channel_message(&self) -> bool {
        self.channel_message
    }

    /// The message's number within its extension.
    #[must_use]
    pub const fn message_type(&self) -> u8 {
        self.message_type
    }

    /// Length of the plaintext payload in bytes, the header not counted, at most [`MAX_PAYLOAD_LEN`].
    #[must_use]
    pub const fn payload_len(&self) -> usize {
        self.length as usize
    }
}

/// A header and the payload that it announces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    header: Header,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Joins a header and its payload.
    ///
    /// # Errors
    /// [`LengthMismatch`] unless the payload has the length that the header announces.
    pub const fn new(header: Header, payload: &'a [u8]) -> Result<Self, LengthMismatch> {
        if header.payload_len() != payload.len() {
            return Err(LengthMismatch {
                announced: header.payload_len(),
                actual: payload.len(),
            });
        }
        Ok(Self { header, payload })
    }

    /// Splits the first frame off plaintext `bytes`; `None` while it is incomplete.
    #[must_use]
    pub fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = bytes.split_first_chunk()?;
        let header = Header::decode(header);
        let (payload, rest) = rest.split_at_checked(header.payload_len())?;
        Some((Self { header, payload }, rest))
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> Header {
        self.header
    }

    /// The payload, as long as the header announces.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The id of the channel that the frame is about, whatever its extension: the first four payload bytes, read
    /// only if bit 15 says so. `None` without bit 15.
    ///
    /// # Errors
    /// [`DecodeError`] if bit 15 is set and the payload has fewer than four bytes.
    pub fn channel_id(&self) -> Result<Option<u32>, DecodeError> {
        if !self.header.channel_message {
            return Ok(None);
        }
        match Reader::new(self.payload).take_array() {
            Ok(id) => Ok(Some(u32::from_le_bytes(*id))),
            Err(error) => Err(error.at("channel message", "channel_id")),
        }
    }

    /// Appends the frame as it is, unknown content included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header.encode());
        out.extend_from_slice(self.payload);
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("extension", &self.header.extension.0)
            .field("channel_message", &self.header.channel_message)
            .field("message_type", &self.header.message_type)
            .field("payload_len", &self.payload.len())
            .finish()
    }
}

/// Splits arbitrary bytes into frames and puts them together again.
#[doc(hidden)]
pub fn fuzz_frame(data: &[u8]) {
    let mut rest = data;
    let mut again = Vec::new();
    while let Some((frame, tail)) = Frame::split(rest) {
        assert_eq!(Frame::new(frame.header(), frame.payload()), Ok(frame));
        let id = frame.channel_id();
        assert_eq!(
            matches!(id, Ok(Some(_))),
            frame.header().channel_message() && frame.payload().len() >= 4
        );
        frame.encode(&mut again);
        rest = tail;
    }
    assert_eq!(again, data[..data.len() - rest.len()]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// FR-1: extension, type and length are little endian.
    #[test]
    fn header_is_little_endian() {
        let header = Header::decode(&[0x01, 0x02, 0x03, 0x04, 0x05, 0x06]);
        assert_eq!(header.extension().number(), 0x0201);
        assert!(!header.channel_message());
        assert_eq!(header.message_type(), 3);
        assert_eq!(header.payload_len(), 0x06_05_04);
    }

    /// FR-16: bit 15 is masked off before the extension is looked up.
    #[test]
    fn channel_bit_is_no_part_of_the_extension() {
        let header = Header::decode(&[0xbc, 0x8a, 0, 0, 0, 0]);
        assert_eq!(header.extension(), Extension::new(0x0abc).unwrap());
        assert!(header.channel_message());
        assert_eq!(Extension::new(0x8abc), None);
    }

    /// FR-11: the length excludes the header; a byte less is no frame yet, a byte more belongs to the next.
    #[test]
    fn length_excludes_the_header() {
        let bytes = [0x00, 0x80, 0x03, 0x04, 0, 0, 7, 0, 0, 0, 0xaa];
        let (frame, rest) = Frame::split(&bytes).unwrap();
        assert_eq!(frame.payload(), [7, 0, 0, 0]);
        assert_eq!(rest, [0xaa]);
        assert_eq!(Frame::split(&bytes[..9]), None);
        assert_eq!(Frame::split(&bytes[..5]), None);
        assert_eq!(
            Frame::new(frame.header(), &bytes[6..]),
            Err(LengthMismatch {
                announced: 4,
                actual: 5
            })
        );
    }

    /// FR-17: with bit 15 the first four payload bytes are the channel; fewer are the peer's error.
    #[test]
    fn channel_id_is_read_only_with_the_channel_bit() {
        let split = |bytes| Frame::split(bytes).unwrap().0.channel_id();
        assert_eq!(
            split(&[0x01, 0xc0, 9, 4, 0, 0, 1, 2, 3, 4]),
            Ok(Some(0x0403_0201))
        );
        assert_eq!(split(&[0x01, 0x40, 9, 4, 0, 0, 1, 2, 3, 4]), Ok(None));
        assert_eq!(
            split(&[0x01, 0xc0, 9, 3, 0, 0, 1, 2, 3])
                .unwrap_err()
                .to_string(),
            "channel message.channel_id: 4 bytes needed, 3 left"
        );
    }

    #[test]
    fn a_payload_of_2_to_the_24_is_refused() {
        assert!(Header::new(Extension::CORE, false, 0, MAX_PAYLOAD_LEN).is_ok());
        assert_eq!(
            Header::new(Extension::CORE, false, 0, MAX_PAYLOAD_LEN + 1),
            Err(FrameTooLong { len: 1 << 24 })
        );
    }

    proptest! {
        #[test]
        fn every_header_round_trips(bytes: [u8; 6]) {
            prop_assert_eq!(Header::decode(&bytes).encode(), bytes);
        }
    }
}
