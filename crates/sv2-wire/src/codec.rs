//! The plain wire types and the reader that all decoding goes through (spec §3.1).
//!
//! Every multi-byte integer is little endian. Nothing here knows a message.

use crate::error::FieldError;

/// Bytes of a payload that are still to be decoded.
///
/// A read past the end is an error, never a panic, and leaves the reader where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the first byte of `payload`.
    #[must_use]
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// Takes the next `N` bytes.
    ///
    /// # Errors
    /// [`FieldError::Truncated`] if fewer are left.
    #[inline]
    pub fn take_array<const N: usize>(&mut self) -> Result<&'a [u8; N], FieldError> {
        let Some((head, rest)) = self.rest.split_first_chunk() else {
            return Err(FieldError::Truncated {
                needed: N,
                left: self.rest.len(),
            });
        };
        self.rest = rest;
        Ok(head)
    }

    /// Takes the next `len` bytes.
    ///
    /// # Errors
    /// [`FieldError::Truncated`] if fewer are left.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], FieldError> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(FieldError::Truncated {
                needed: len,
                left: self.rest.len(),
            });
        };
        self.rest = rest;
        Ok(head)
    }

    /// Takes all that is left.
    #[inline]
    pub fn take_rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// What is left, without taking it.
    #[must_use]
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes a length or count prefix as wide as values up to `max` need: one, two or three bytes.
    #[inline]
    pub(crate) fn take_prefix(&mut self, max: usize) -> Result<usize, FieldError> {
        match prefix_len(max) {
            1 => Ok(usize::from(self.take_array::<1>()?[0])),
            2 => Ok(usize::from(u16::from_le_bytes(*self.take_array()?))),
            _ => {
                let [low, mid, high] = *self.take_array::<3>()?;
                Ok(usize::from(low) | usize::from(mid) << 8 | usize::from(high) << 16)
            }
        }
    }
}

/// Appends `value` as a prefix that [`Reader::take_prefix`] with the same `max` reads back.
#[inline]
pub(crate) fn put_prefix(value: usize, max: usize, out: &mut Vec<u8>) {
    let bytes = value.to_le_bytes();
    out.extend_from_slice(&bytes[..prefix_len(max)]);
}

/// Width in bytes of the prefix of a type that holds up to `max` bytes or elements (`U8`, `U16` or `U24`).
pub(crate) const fn prefix_len(max: usize) -> usize {
    match max {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 3,
    }
}

/// A value that can be a field of a message.
///
/// Values that would not fit their wire form cannot be constructed, so encoding cannot fail.
pub trait Field<'a>: Sized {
    /// The type's name and shape in the specification.
    const WIRE_TYPE: WireType;

    /// Whether its bytes are meant to be read by people (`STR0_255`).
    const IS_TEXT: bool = false;

    /// Takes the value from the reader.
    ///
    /// # Errors
    /// [`FieldError`] when the bytes are not a value of this type.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, FieldError>;

    /// Bytes that [`encode`](Self::encode) appends.
    fn encoded_len(&self) -> usize;

    /// Appends the value's wire form.
    fn encode(&self, out: &mut Vec<u8>);
}

/// A wire type as data: for tables, dissectors and generated tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireType {
    /// `BOOL`: one byte of which bit 0 counts.
    Bool,
    /// `U8`, `U16`, `U32`, `U64`, `U256`: little endian integers of so many bytes.
    Uint(usize),
    /// `F32`: IEEE 754 binary32, little endian. Used by the mining protocol, absent from spec §3.1.
    F32,
    /// `STR0_255`, `B0_32`, `B0_255`, `B0_64K`, `B0_16M`: a length prefix and up to so many bytes.
    Bytes(usize),
    /// `SEQ0_255[T]`, `SEQ0_64K[T]`: a count prefix and up to so many elements.
    Seq(usize, &'static Self),
    /// `OPTION[T]`: a count of 0 or 1, then the value if there is one.
    Option(&'static Self),
    /// `BYTES` to the end of the payload: extension fields (spec §3.4.3).
    Tail,
}

impl WireType {
    /// The encoded length, where it does not depend on the value.
    #[must_use]
    pub const fn fixed_len(&self) -> Option<usize> {
        match self {
            Self::Bool => Some(1),
            Self::Uint(len) => Some(*len),
            Self::F32 => Some(4),
            Self::Bytes(_) | Self::Seq(..) | Self::Option(_) | Self::Tail => None,
        }
    }

    /// Width in bytes of what stands before the content of a value: its length or count.
    #[must_use]
    pub const fn prefix_len(&self) -> usize {
        match self {
            Self::Bytes(max) | Self::Seq(max, _) => prefix_len(*max),
            Self::Option(_) => 1,
            Self::Bool | Self::Uint(_) | Self::F32 | Self::Tail => 0,
        }
    }

    /// Takes a value of this type as it is encoded, prefixes included.
    ///
    /// # Errors
    /// [`FieldError`] when the bytes are not a value of this type.
    pub fn take<'a>(&self, reader: &mut Reader<'a>) -> Result<&'a [u8], FieldError> {
        let mut ahead = *reader;
        self.skip(&mut ahead)?;
        reader.take(reader.rest().len() - ahead.rest().len())
    }

    /// A walk takes no more steps than there are bytes, since every element of a sequence has at least one.
    fn skip(&self, reader: &mut Reader<'_>) -> Result<(), FieldError> {
        match self {
            Self::Bool => reader.take(1).map(drop),
            Self::Uint(len) => reader.take(*len).map(drop),
            Self::F32 => reader.take(4).map(drop),
            Self::Bytes(max) => {
                let len = reader.take_prefix(*max)?;
                match len <= *max {
                    true => reader.take(len).map(drop),
                    false => Err(FieldError::TooLong { len, max: *max }),
                }
            }
            Self::Seq(max, element) => {
                let count = reader.take_prefix(*max)?;
                match element.fixed_len() {
                    Some(len) => reader.take(count * len).map(drop),
                    None => (0..count).try_for_each(|_| element.skip(reader)),
                }
            }
            Self::Option(value) => match reader.take_array::<1>()?[0] {
                0 => Ok(()),
                1 => value.skip(reader),
                count => Err(FieldError::OptionCount { count }),
            },
            Self::Tail => {
                reader.take_rest();
                Ok(())
            }
        }
    }

    /// The longest encoding of a value of this type.
    #[must_use]
    pub const fn max_len(&self) -> u64 {
        match self {
            Self::Bool => 1,
            Self::Uint(len) => *len as u64,
            Self::F32 => 4,
            Self::Bytes(max) => (prefix_len(*max) + *max) as u64,
            Self::Seq(max, element) => prefix_len(*max) as u64 + *max as u64 * element.max_len(),
            Self::Option(value) => 1 + value.max_len(),
            Self::Tail => crate::tlv::TlvTail::MAX_LEN as u64,
        }
    }
}

macro_rules! integer_field {
    ($($Int:ty => $wire:expr,)*) => {$(
        impl<'a> Field<'a> for $Int {
            const WIRE_TYPE: WireType = $wire;

            #[inline]
            fn decode(reader: &mut Reader<'a>) -> Result<Self, FieldError> {
                Ok(Self::from_le_bytes(*reader.take_array()?))
            }

            #[inline]
            fn encoded_len(&self) -> usize {
                size_of::<Self>()
            }

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

integer_field! {
    u8 => WireType::Uint(1),
    u16 => WireType::Uint(2),
    u32 => WireType::Uint(4),
    u64 => WireType::Uint(8),
    f32 => WireType::F32,
}

impl<'a> Field<'a> for bool {
    const WIRE_TYPE: WireType = WireType::Bool;

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, FieldError> {
        Ok(reader.take_array::<1>()?[0] & 1 == 1)
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        1
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl<'a, T: Field<'a>> Field<'a> for Option<T> {
    const WIRE_TYPE: WireType = WireType::Option(&T::WIRE_TYPE);

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, FieldError> {
        match reader.take_array::<1>()?[0] {
            0 => Ok(None),
            1 => Ok(Some(T::decode(reader)?)),
            count => Err(FieldError::OptionCount { count }),
        }
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        1 + self.as_ref().map_or(0, T::encoded_len)
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.encode(out);
        }
    }
}
