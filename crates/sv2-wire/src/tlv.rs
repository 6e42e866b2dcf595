//! Extension fields after the last field of a message (spec §3.4.3), and the one that is in use: the worker's
//! [`UserIdentity`] in extension 0x0002.
//!
//! A field is `extension_type` U16, `field_type` U8, `length` U16, and `length` bytes. The specification's rule says
//! little endian, its examples are big endian, and both are deployed. A tail is therefore read as whichever order
//! makes sense of all of it; we write little endian.
//!
//! Not here: which extensions a connection has negotiated. That is the caller's knowledge, and an argument.

mod user_identity;

use core::fmt;

use crate::codec::Field;
use crate::codec::Reader;
use crate::codec::WireType;
use crate::error::FieldError;
use crate::error::TooLong;
use crate::frame::Extension;
use crate::frame::MAX_PAYLOAD_LEN;

pub use user_identity::USER_IDENTITY_FIELD;
pub use user_identity::UserIdentity;
pub use user_identity::UserIdentityTooLong;

/// Bytes of an extension field before its value.
pub const TLV_HEADER_LEN: usize = 5;

/// Order of the bytes in a field's two 16-bit integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// As spec §3.1 rules, and as the reference implementation reads and writes.
    Little,
    /// As the examples of spec §3.4.3 and extension 0x0002 show.
    Big,
}

impl ByteOrder {
    fn read(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    fn write(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

/// One extension field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    extension: u16,
    field: u8,
    value: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// A field to be sent.
    ///
    /// # Errors
    /// [`TooLong`] above 65 535 bytes. An extension may set a lower limit: its own type keeps it, as
    /// [`UserIdentity`] does.
    pub const fn new(extension: Extension, field: u8, value: &'a [u8]) -> Result<Self, TooLong> {
        if value.len() > 0xffff {
            return Err(TooLong {
                len: value.len(),
                max: 0xffff,
            });
        }
        Ok(Self {
            extension: extension.number(),
            field,
            value,
        })
    }

    /// The extension's number as it was sent, all 16 bits.
    #[must_use]
    pub const fn extension(&self) -> u16 {
        self.extension
    }

    /// The field's number within its extension.
    #[must_use]
    pub const fn field(&self) -> u8 {
        self.field
    }

    /// The value, as long as the field says.
    #[must_use]
    pub const fn value(&self) -> &'a [u8] {
        self.value
    }

    fn decode(reader: &mut Reader<'a>, order: ByteOrder) -> Result<Self, FieldError> {
        let [ext_0, ext_1, field, len_0, len_1] = *reader.take_array::<TLV_HEADER_LEN>()?;
        Ok(Self {
            extension: order.read([ext_0, ext_1]),
            field,
            value: reader.take(usize::from(order.read([len_0, len_1])))?,
        })
    }

    fn encode(&self, order: ByteOrder, out: &mut Vec<u8>) {
        let len = u16::try_from(self.value.len()).expect("a value of at most 65535 bytes");
        out.extend_from_slice(&order.write(self.extension));
        out.push(self.field);
        out.extend_from_slice(&order.write(len));
        out.extend_from_slice(self.value);
    }
}

impl fmt::Debug for Tlv<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}/{:#04x}=", self.extension, self.field)?;
        self.value
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Appends fields in the order that the specification demands: by extension, and within one by field (EX-9, EX-10).
/// `fields` is left sorted.
pub fn write(fields: &mut [Tlv<'_>], order: ByteOrder, out: &mut Vec<u8>) {
    fields.sort_by_key(|tlv| (tlv.extension, tlv.field));
    fields.iter().for_each(|tlv| tlv.encode(order, out));
}

/// All bytes after a message's last field, read or not.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct TlvTail<'a>(&'a [u8]);

impl<'a> TlvTail<'a> {
    /// No bytes: a message without extension fields.
    pub const EMPTY: Self = Self(&[]);

    /// The longest tail: it leaves room for the message before it in a frame.
    pub const MAX_LEN: usize = MAX_PAYLOAD_LEN - 64;

    /// Bytes made by [`write`](fn@write), to be sent.
    ///
    /// # Errors
    /// [`TooLong`] above [`MAX_LEN`](Self::MAX_LEN) bytes.
    pub const fn new(bytes: &'a [u8]) -> Result<Self, TooLong> {
        if bytes.len() > Self::MAX_LEN {
            return Err(TooLong {
                len: bytes.len(),
                max: Self::MAX_LEN,
            });
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Whether nothing follows the last field.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the tail in the byte order that makes sense of it: every field lies within the tail, nothing is left
    /// over, and some field belongs to an extension in `negotiated`. Little endian is tried first.
    ///
    /// `None` if neither order does, be it that the peer sent no fields, fields of extensions that were not
    /// negotiated, or a broken tail. The message counts as if it had none.
    #[must_use]
    pub fn read(&self, negotiated: &[Extension]) -> Option<Tlvs<'a>> {
        [ByteOrder::Little, ByteOrder::Big]
            .into_iter()
            .map(|order| self.read_as(order))
            .find(|fields| {
                fields.end_the_tail()
                    && fields
                        .clone()
                        .any(|tlv| negotiated.iter().any(|ext| ext.number() == tlv.extension))
            })
    }

    /// The fields up to the first that reaches past the end, in a byte order that is known.
    #[must_use]
    pub fn read_as(&self, order: ByteOrder) -> Tlvs<'a> {
        Tlvs {
            order,
            reader: Reader::new(self.0),
        }
    }
}

impl<'a> Field<'a> for TlvTail<'a> {
    const WIRE_TYPE: WireType = WireType::Tail;

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, FieldError> {
        let len = reader.rest().len();
        if len > Self::MAX_LEN {
            return Err(FieldError::TooLong {
                len,
                max: Self::MAX_LEN,
            });
        }
        Ok(Self(reader.take_rest()))
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

impl fmt::Debug for TlvTail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The fields of a tail, in the order in which they were sent.
#[derive(Debug, Clone)]
pub struct Tlvs<'a> {
    order: ByteOrder,
    reader: Reader<'a>,
}

impl<'a> Tlvs<'a> {
    /// The byte order in which the fields are read.
    #[must_use]
    pub const fn byte_order(&self) -> ByteOrder {
        self.order
    }

    /// The value of the first such field, wherever it stands; later ones of the same type do not count (EX-11).
    #[must_use]
    pub fn value(&self, extension: Extension, field: u8) -> Option<&'a [u8]> {
        self.clone()
            .find(|tlv: &Tlv<'_>| tlv.extension == extension.number() && tlv.field == field)
            .map(|tlv| tlv.value)
    }

    /// Whether the fields end where the tail does.
    fn end_the_tail(&self) -> bool {
        let mut fields = self.clone();
        while fields.next().is_some() {}
        fields.reader.rest().is_empty()
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        let mut ahead = self.reader;
        let tlv = Tlv::decode(&mut ahead, self.order).ok()?;
        self.reader = ahead;
        Some(tlv)
    }
}

/// Reads an arbitrary tail in both byte orders; what was read whole is written again as it was.
#[doc(hidden)]
pub fn fuzz_tlv(data: &[u8]) {
    let Ok(tail) = TlvTail::new(data) else { return };
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let fields = tail.read_as(order);
        let mut again = Vec::new();
        fields.clone().for_each(|tlv| tlv.encode(order, &mut again));
        assert!(data.starts_with(&again));
        assert_eq!(fields.end_the_tail(), again.len() == data.len());

        let mut sorted: Vec<_> = fields.collect();
        let mut written = Vec::new();
        write(&mut sorted, order, &mut written);
        assert!(TlvTail(&written).read_as(order).eq(sorted));
    }
    if let Some(fields) = tail.read(&[Extension::WORKER_HASHRATE_TRACKING]) {
        assert!(fields.end_the_tail());
        let name = fields.value(Extension::WORKER_HASHRATE_TRACKING, USER_IDENTITY_FIELD);
        assert_eq!(
            fields.user_identity().is_err(),
            name.is_some_and(|name| name.len() > UserIdentity::MAX_LEN)
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NEGOTIATED: &[Extension] = &[Extension::WORKER_HASHRATE_TRACKING];
    const LITTLE: &[u8] = b"\x02\x00\x01\x0a\x00Worker_001";
    const BIG: &[u8] = b"\x00\x02\x01\x00\x0aWorker_001";

    fn identity(tail: &[u8]) -> Option<&[u8]> {
        let fields = TlvTail::new(tail).unwrap().read(NEGOTIATED)?;
        fields.user_identity().unwrap().map(|name| name.as_bytes())
    }

    fn unknown(extension: u16, value: &[u8]) -> Tlv<'_> {
        Tlv::new(Extension::new(extension).unwrap(), 0x07, value).unwrap()
    }

    /// EX-6, EX-16: type, length and value are read in the byte order that makes sense of them.
    #[test]
    fn both_byte_orders_are_read() {
        assert_eq!(identity(LITTLE), Some(&b"Worker_001"[..]));
        assert_eq!(identity(BIG), Some(&b"Worker_001"[..]));
        let order = |tail| {
            TlvTail::new(tail)
                .unwrap()
                .read(NEGOTIATED)
                .unwrap()
                .byte_order()
        };
        assert_eq!(
            (order(LITTLE), order(BIG)),
            (ByteOrder::Little, ByteOrder::Big)
        );
    }

    /// EX-16: a tail that could be either is little endian, the rule of spec §3.1.
    #[test]
    fn little_endian_is_preferred() {
        let either = [0x02, 0x00, 0x01, 0x00, 0x00];
        let negotiated = [
            Extension::WORKER_HASHRATE_TRACKING,
            Extension::new(0x0200).unwrap(),
        ];
        let fields = TlvTail::new(&either).unwrap().read(&negotiated).unwrap();
        assert_eq!(fields.byte_order(), ByteOrder::Little);
    }

    /// EX-7: a length of 0 has no value, also at the very end.
    #[test]
    fn an_empty_value_is_a_value() {
        assert_eq!(identity(b"\x02\x00\x01\x00\x00"), Some(&b""[..]));
        assert_eq!(identity(b"\x00\x02\x01\x00\x00"), Some(&b""[..]));
    }

    /// EX-8, EX-14: a tail that ends within a field, or has bytes left over, is read as if there were none.
    #[test]
    fn broken_tails_are_ignored() {
        for len in 1..LITTLE.len() {
            assert_eq!(identity(&LITTLE[..len]), None, "{len}");
        }
        assert_eq!(identity(b"\x02\x00\x01\xff\xff"), None);
        assert_eq!(identity(&[LITTLE, b"\x00"].concat()), None);
        assert_eq!(identity(&[LITTLE, b"\x01\x40\x07\xff\x00x"].concat()), None);
    }

    /// EX-9, EX-10: fields are sent in order of extension, and within one in order of field.
    #[test]
    fn fields_are_written_in_order() {
        let name = UserIdentity::new(b"w").unwrap().to_tlv();
        let second = Tlv::new(Extension::WORKER_HASHRATE_TRACKING, 0x02, b"s").unwrap();
        let mut out = Vec::new();
        write(
            &mut [unknown(0x4001, b"x"), second, name],
            ByteOrder::Little,
            &mut out,
        );
        assert_eq!(
            out,
            b"\x02\x00\x01\x01\x00w\x02\x00\x02\x01\x00s\x01\x40\x07\x01\x00x"
        );

        out.clear();
        write(&mut [name], ByteOrder::Big, &mut out);
        assert_eq!(out, b"\x00\x02\x01\x00\x01w");
    }

    /// EX-10, EX-11: fields are found in whatever order they came; of two of a type the first counts.
    #[test]
    fn fields_are_read_in_any_order() {
        let reversed = b"\x02\x00\x02\x01\x00s\x02\x00\x01\x01\x00w";
        assert_eq!(identity(reversed), Some(&b"w"[..]));
        let twice = b"\x02\x00\x01\x01\x00w\x02\x00\x01\x01\x00v";
        assert_eq!(identity(twice), Some(&b"w"[..]));
    }

    /// EX-15, EX-17: a field after those of unknown extensions is found, in either byte order.
    #[test]
    fn unknown_fields_are_skipped() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let mut tail = Vec::new();
            unknown(0x4001, b"anything").encode(order, &mut tail);
            UserIdentity::new(b"Worker_001")
                .unwrap()
                .to_tlv()
                .encode(order, &mut tail);
            unknown(0x0001, b"").encode(order, &mut tail);
            assert_eq!(identity(&tail), Some(&b"Worker_001"[..]), "{order:?}");
        }
    }

    /// EX-17: fields of extensions that were not negotiated say nothing.
    #[test]
    fn what_was_not_negotiated_is_not_read() {
        assert!(TlvTail::new(LITTLE).unwrap().read(&[]).is_none());
        assert!(
            TlvTail::new(LITTLE)
                .unwrap()
                .read(&[Extension::new(9).unwrap()])
                .is_none()
        );
        assert!(TlvTail::EMPTY.read(NEGOTIATED).is_none());
    }

    proptest! {
        /// EX-16: whatever fields a peer sends in one byte order, its worker is never read as another.
        #[test]
        fn names_are_never_misread(
            name in prop::collection::vec(any::<u8>(), 0..=32),
            others in prop::collection::vec((3u16..0x8000, prop::collection::vec(any::<u8>(), 0..20)), 0..4),
            big: bool,
        ) {
            let order = if big { ByteOrder::Big } else { ByteOrder::Little };
            let mut fields: Vec<_> = others.iter().map(|(extension, value)| unknown(*extension, value)).collect();
            fields.push(UserIdentity::new(&name).unwrap().to_tlv());
            let mut tail = Vec::new();
            write(&mut fields, order, &mut tail);
            prop_assert_eq!(identity(&tail), Some(&name[..]));
        }

        #[test]
        fn arbitrary_tails_are_read_or_ignored(tail in prop::collection::vec(any::<u8>(), 0..60)) {
            fuzz_tlv(&tail);
        }
    }
}
