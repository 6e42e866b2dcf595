//! Sequences with a count prefix: `SEQ0_255[T]` and `SEQ0_64K[T]` (spec §3.1).
//!
//! A decoded sequence keeps the bytes it was checked against and decodes its elements as they are asked for; one to
//! be sent borrows the sender's slice. Neither allocates.

use core::fmt;

use crate::codec::Field;
use crate::codec::Reader;
use crate::codec::WireType;
use crate::codec::prefix_len;
use crate::codec::put_prefix;
use crate::error::FieldError;
use crate::error::TooLong;
use crate::u256::U256;

/// `SEQ0_255[T]`: up to 255 elements.
pub type Seq255<'a, T> = Seq<'a, T, 0xff>;
/// `SEQ0_64K[T]`: up to 65 535 elements.
pub type Seq64K<'a, T> = Seq<'a, T, 0xffff>;

/// Up to `MAX` borrowed elements.
#[derive(Clone, Copy)]
pub struct Seq<'a, T, const MAX: usize>(Elements<'a, T>);

#[derive(Clone, Copy)]
enum Elements<'a, T> {
    /// `count` elements in wire form; decoding them from `bytes` has been seen to succeed.
    Wire {
        count: usize,
        bytes: &'a [u8],
    },
    Slice(&'a [T]),
}

impl<'a, T: Field<'a> + Copy, const MAX: usize> Seq<'a, T, MAX> {
    /// No elements.
    pub const EMPTY: Self = Self(Elements::Slice(&[]));

    /// Borrows elements to be sent.
    ///
    /// # Errors
    /// [`TooLong`] above `MAX` elements.
    pub const fn new(elements: &'a [T]) -> Result<Self, TooLong> {
        match check_count(elements.len(), MAX) {
            Ok(()) => Ok(Self(Elements::Slice(elements))),
            Err(error) => Err(error),
        }
    }

    /// Number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Elements::Wire { count, .. } => count,
            Elements::Slice(elements) => elements.len(),
        }
    }

    /// Whether there is no element.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, each decoded when it is asked for.
    #[must_use]
    pub fn iter(&self) -> SeqIter<'a, T> {
        SeqIter(self.0)
    }
}

impl<'a, const MAX: usize> Seq<'a, U256, MAX> {
    /// Borrows hashes, each the raw output of the hash function, as they are: their bytes are their wire form.
    ///
    /// # Errors
    /// [`TooLong`] above `MAX` hashes.
    pub const fn from_hashes(hashes: &'a [[u8; 32]]) -> Result<Self, TooLong> {
        match check_count(hashes.len(), MAX) {
            Ok(()) => Ok(Self(Elements::Wire {
                count: hashes.len(),
                bytes: hashes.as_flattened(),
            })),
            Err(error) => Err(error),
        }
    }
}

const fn check_count(len: usize, max: usize) -> Result<(), TooLong> {
    if len > max {
        Err(TooLong { len, max })
    } else {
        Ok(())
    }
}

impl<'a, T: Field<'a> + Copy, const MAX: usize> Field<'a> for Seq<'a, T, MAX> {
    const WIRE_TYPE: WireType = WireType::Seq(MAX, &T::WIRE_TYPE);

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, FieldError> {
        let count = reader.take_prefix(MAX)?;
        let bytes = match const { T::WIRE_TYPE.fixed_len() } {
            Some(element_len) => reader.take(count * element_len)?,
            None => take_elements::<T>(reader, count)?,
        };
        Ok(Self(Elements::Wire { count, bytes }))
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        prefix_len(MAX)
            + match self.0 {
                Elements::Wire { bytes, .. } => bytes.len(),
                Elements::Slice(elements) => elements.iter().map(T::encoded_len).sum(),
            }
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        put_prefix(self.len(), MAX, out);
        match self.0 {
            Elements::Wire { bytes, .. } => out.extend_from_slice(bytes),
            Elements::Slice(elements) => elements.iter().for_each(|element| element.encode(out)),
        }
    }
}

/// Walks over `count` elements of varying length and takes their bytes. A walk can take no more steps than the
/// payload has bytes, since every element has at least one.
fn take_elements<'a, T: Field<'a>>(
    reader: &mut Reader<'a>,
    count: usize,
) -> Result<&'a [u8], FieldError> {
    let mut ahead = *reader;
    for _ in 0..count {
        T::decode(&mut ahead)?;
    }
    reader.take(reader.rest().len() - ahead.rest().len())
}

impl<'a, T: Field<'a> + Copy, const MAX: usize> Default for Seq<'a, T, MAX> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'a, T: Field<'a> + Copy + PartialEq, const MAX: usize> PartialEq for Seq<'a, T, MAX> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Field<'a> + Copy + fmt::Debug, const MAX: usize> fmt::Debug for Seq<'a, T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Field<'a> + Copy, const MAX: usize> IntoIterator for Seq<'a, T, MAX> {
    type Item = T;
    type IntoIter = SeqIter<'a, T>;

    fn into_iter(self) -> SeqIter<'a, T> {
        self.iter()
    }
}

/// The elements of a [`Seq`], in order.
#[derive(Clone)]
pub struct SeqIter<'a, T>(Elements<'a, T>);

impl<'a, T: Field<'a> + Copy> Iterator for SeqIter<'a, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Elements::Wire { count, bytes } => {
                *count = count.checked_sub(1)?;
                let mut reader = Reader::new(bytes);
                let element = T::decode(&mut reader).ok()?;
                *bytes = reader.rest();
                Some(element)
            }
            Elements::Slice(elements) => {
                let (first, rest) = elements.split_first()?;
                *elements = rest;
                Some(*first)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = match self.0 {
            Elements::Wire { count, .. } => count,
            Elements::Slice(elements) => elements.len(),
        };
        (len, Some(len))
    }
}

impl<'a, T: Field<'a> + Copy> ExactSizeIterator for SeqIter<'a, T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes16M;

    /// FR-10: a count of 65 535 in a short payload is refused before anything is done with it.
    #[test]
    fn counts_beyond_the_payload_are_refused() {
        let mut payload = [0; 10];
        payload[..2].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(
            Seq64K::<U256>::decode(&mut Reader::new(&payload)).map(|seq| seq.len()),
            Err(FieldError::Truncated {
                needed: 65_535 * 32,
                left: 8
            })
        );
        assert!(Seq64K::<Bytes16M<'_>>::decode(&mut Reader::new(&payload)).is_err());
    }

    #[test]
    fn a_slice_and_its_wire_form_are_equal() {
        let transactions = [&[1, 2, 3][..], &[], &[4]].map(|tx| Bytes16M::new(tx).unwrap());
        let sent = Seq64K::new(&transactions).unwrap();
        let mut wire = Vec::new();
        sent.encode(&mut wire);
        assert_eq!(wire, [3, 0, 3, 0, 0, 1, 2, 3, 0, 0, 0, 1, 0, 0, 4]);
        assert_eq!(wire.len(), sent.encoded_len());

        let mut reader = Reader::new(&wire);
        let received = Seq64K::decode(&mut reader).unwrap();
        assert_eq!(received, sent);
        assert!(received.iter().eq(transactions));
        assert_eq!(received.iter().len(), 3);
        assert!(reader.rest().is_empty());
    }

    #[test]
    fn hashes_are_sent_as_they_are() {
        let hashes = [[1; 32], [2; 32]];
        let sent = Seq255::<U256>::from_hashes(&hashes).unwrap();
        let mut wire = Vec::new();
        sent.encode(&mut wire);
        assert_eq!(wire[0], 2);
        assert_eq!(wire[1..], *hashes.as_flattened());
        assert!(sent.iter().map(U256::to_le_bytes).eq(hashes));
        assert_eq!(
            Seq255::from_hashes(&[[0; 32]; 256]),
            Err(TooLong { len: 256, max: 255 })
        );
    }
}
