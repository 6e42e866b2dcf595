//! `U256`: 32 bytes that are a little endian integer or a raw hash (spec §3.1).

use core::fmt;

use crate::codec::Field;
use crate::codec::Reader;
use crate::codec::WireType;
use crate::error::FieldError;

/// 256 bits in wire order.
///
/// For a target these are the integer's bytes, least significant first. For a hash they are the raw double-SHA256
/// output, in the order in which a block header holds it. Both views are the same bytes: nothing is ever reversed.
/// [`Display`](fmt::Display) shows the integer, most significant digit first, as explorers show a block hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct U256([u8; 32]);

impl U256 {
    /// The integer 2²⁵⁶−1: as a maximum target, no limit.
    pub const MAX: Self = Self([0xff; 32]);

    /// A little endian integer, or the raw output of a hash function.
    #[must_use]
    #[inline]
    pub const fn from_le_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The integer's little endian bytes, or the hash as a header holds it.
    #[must_use]
    #[inline]
    pub const fn to_le_bytes(self) -> [u8; 32] {
        self.0
    }

    /// The same bytes, borrowed.
    #[must_use]
    #[inline]
    pub const fn as_le_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl<'a> Field<'a> for U256 {
    const WIRE_TYPE: WireType = WireType::Uint(32);

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, FieldError> {
        Ok(Self(*reader.take_array()?))
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        32
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl fmt::Display for U256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .rev()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for U256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
