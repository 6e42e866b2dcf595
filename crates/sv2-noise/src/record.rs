//! The record layer: frames in, boxes out, and back (sv2-spec 4.6).
//!
//! A header travels as a box of its own (6 → 22 bytes); a payload in chunks of at most 65,519 bytes,
//! each a box; an empty payload in no box at all. Each direction counts its boxes from 0, with empty
//! associated data. The meaning of a frame and its length limit are the caller's: after
//! [`Opener::open_header`] ask [`payload_len`] and refuse before a byte is allocated (NX-30).

use core::fmt;

use headframe_sv2_wire::HEADER_LEN;
use thiserror::Error;

use crate::cipher::{Cipher, Forged, NonceExhausted};
use crate::symmetric::TransportKeys;

/// Bytes of a Poly1305 tag, which every box ends with.
pub const TAG_LEN: usize = 16;

/// Bytes of a header in its box.
pub const SEALED_HEADER_LEN: usize = HEADER_LEN + TAG_LEN;

/// The most plaintext bytes in one box: a Noise message is at most 65,535 bytes with its tag.
pub const MAX_CHUNK: usize = 65_535 - TAG_LEN;

/// Both directions of an established connection.
#[derive(Debug)]
pub struct RecordLayer {
    /// Seals what this side sends.
    pub sealer: Sealer,
    /// Opens what the peer sent.
    pub opener: Opener,
}

/// Seals frames, one after another. Its key is erased when it is dropped.
pub struct Sealer(Cipher);

/// Opens boxes in the order in which the peer sealed them. Its key is erased when it is dropped.
pub struct Opener(Cipher);

/// Why a frame was not sealed. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// Ours: the bytes are no frame.
    #[error("frame is {actual} bytes, but its header announces {announced}")]
    Length {
        /// Bytes given.
        actual: usize,
        /// Bytes of header and payload by the header's length, or of a header if there is none.
        announced: usize,
    },
    /// Nobody's: all nonces of this connection are used. Close it.
    #[error("this connection has used all of its nonces and must be closed")]
    NonceExhausted,
}

/// Why a box was not opened. The connection is to be closed without a reply (NX-15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The peer's, or of somebody on the way: the box is not authentic.
    #[error(
        "a sealed message is not authentic: it was changed on its way or sealed with another key"
    )]
    Forged,
    /// Ours: no payload has this many bytes when sealed.
    #[error("no payload is {0} bytes long when sealed")]
    Length(usize),
    /// Nobody's: all nonces of this connection are used. Close it.
    #[error("this connection has used all of its nonces and must be closed")]
    NonceExhausted,
}

/// The payload's length in bytes, as the header says it (U24, little endian).
pub const fn payload_len(header: &[u8; HEADER_LEN]) -> usize {
    u32::from_le_bytes([header[3], header[4], header[5], 0]) as usize
}

/// How many bytes a payload of `len` bytes takes when sealed: `len + 16·⌈len / 65,519⌉`.
pub const fn sealed_payload_len(len: usize) -> usize {
    len + TAG_LEN * len.div_ceil(MAX_CHUNK)
}

/// How many bytes a frame with a payload of `len` bytes takes when sealed.
pub const fn sealed_frame_len(len: usize) -> usize {
    SEALED_HEADER_LEN + sealed_payload_len(len)
}

impl RecordLayer {
    pub(crate) fn initiator(keys: &TransportKeys) -> Self {
        Self {
            sealer: Sealer(Cipher::new(&keys.initiator_to_responder)),
            opener: Opener(Cipher::new(&keys.responder_to_initiator)),
        }
    }

    pub(crate) fn responder(keys: &TransportKeys) -> Self {
        Self {
            sealer: Sealer(Cipher::new(&keys.responder_to_initiator)),
            opener: Opener(Cipher::new(&keys.initiator_to_responder)),
        }
    }
}

impl Sealer {
    /// A sealer from a bare key, for known-answer tests.
    #[doc(hidden)]
    pub fn from_key(key: &[u8; 32], next_nonce: u64) -> Self {
        Self(Cipher::starting_at(key, next_nonce))
    }

    /// Appends the sealed form of `frame` (header and payload in clear) to `out`:
    /// [`sealed_frame_len`] bytes.
    ///
    /// Errors, with `out` untouched, when the header's length is not that of the payload or the
    /// nonces are used up.
    pub fn seal_frame(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let Some((header, payload)) = frame.split_first_chunk::<HEADER_LEN>() else {
            return Err(wrong_length(frame, 0));
        };
        if payload.len() != payload_len(header) {
            return Err(wrong_length(frame, payload_len(header)));
        }
        let boxes = 1 + payload.len().div_ceil(MAX_CHUNK);
        self.0.require(boxes as u64)?;
        out.reserve(sealed_frame_len(payload.len()));
        self.seal_box(header, out);
        for chunk in payload.chunks(MAX_CHUNK) {
            self.seal_box(chunk, out);
        }
        Ok(())
    }

    /// Nothing is to be sealed for a while: gives back the memory that sealing takes. The next frame takes
    /// it again by itself.
    pub fn rest(&mut self) {
        self.0.rest();
    }

    fn seal_box(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(plain);
        let tag = self.0.seal(&[], &mut out[start..]);
        out.extend_from_slice(&tag);
    }
}

impl Opener {
    /// An opener from a bare key, for known-answer tests.
    #[doc(hidden)]
    pub fn from_key(key: &[u8; 32], next_nonce: u64) -> Self {
        Self(Cipher::starting_at(key, next_nonce))
    }

    /// Nothing is to be opened for a while: gives back the memory that opening takes. The next box takes it
    /// again by itself.
    pub fn rest(&mut self) {
        self.0.rest();
    }

    /// Opens a header's box in place and returns the header.
    pub fn open_header(
        &mut self,
        sealed: &mut [u8; SEALED_HEADER_LEN],
    ) -> Result<[u8; HEADER_LEN], OpenError> {
        self.0.require(1)?;
        let plain = self.0.open(&[], sealed)?;
        Ok(core::array::from_fn(|i| plain[i]))
    }

    /// Opens all boxes of a payload in place and returns the plaintext at the front of `sealed`.
    ///
    /// `sealed` is exactly the [`sealed_payload_len`] bytes that follow a header; for an empty payload
    /// it is empty, and no nonce is used (NX-28).
    pub fn open_payload<'a>(&mut self, sealed: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
        const SEALED_CHUNK: usize = MAX_CHUNK + TAG_LEN;
        let sealed_len = sealed.len();
        let boxes = sealed_len.div_ceil(SEALED_CHUNK);
        self.0.require(boxes as u64)?;
        let mut plain_len = 0;
        for start in (0..sealed_len).step_by(SEALED_CHUNK) {
            let end = sealed_len.min(start + SEALED_CHUNK);
            if end - start <= TAG_LEN {
                return Err(OpenError::Length(sealed_len));
            }
            let opened = self.0.open(&[], &mut sealed[start..end])?.len();
            if plain_len != start {
                sealed.copy_within(start..start + opened, plain_len);
            }
            plain_len += opened;
        }
        Ok(&mut sealed[..plain_len])
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

impl From<NonceExhausted> for SealError {
    fn from(_: NonceExhausted) -> Self {
        Self::NonceExhausted
    }
}

impl From<NonceExhausted> for OpenError {
    fn from(_: NonceExhausted) -> Self {
        Self::NonceExhausted
    }
}

impl From<Forged> for OpenError {
    fn from(_: Forged) -> Self {
        Self::Forged
    }
}

fn wrong_length(frame: &[u8], payload_len: usize) -> SealError {
    SealError::Length {
        actual: frame.len(),
        announced: HEADER_LEN + payload_len,
    }
}
