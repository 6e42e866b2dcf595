//! Byte strings with a length prefix: `B0_32`, `B0_255`, `B0_64K`, `B0_16M` and `STR0_255` (spec §3.1).
//!
//! The prefix is a plain little endian integer, never Bitcoin's CompactSize. The content is whatever the peer sent:
//! no character set is enforced, and showing it escapes what could deceive a reader of a log.

use core::fmt;
use core::fmt::Write;

use crate::codec::Field;
use crate::codec::Reader;
use crate::codec::WireType;
use crate::codec::prefix_len;
use crate::codec::put_prefix;
use crate::error::FieldError;
use crate::error::TooLong;

/// `B0_32`: up to 32 bytes.
pub type Bytes32<'a> = Bytes<'a, 32>;
/// `B0_255`: up to 255 bytes.
pub type Bytes255<'a> = Bytes<'a, 0xff>;
/// `B0_64K`: up to 65 535 bytes.
pub type Bytes64K<'a> = Bytes<'a, 0xffff>;
/// `B0_16M`: up to 16 777 215 bytes.
pub type Bytes16M<'a> = Bytes<'a, 0xff_ffff>;

/// Up to `MAX` borrowed bytes; on the wire behind a prefix of one, two or three bytes as `MAX` needs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Bytes<'a, const MAX: usize>(&'a [u8]);

impl<'a, const MAX: usize> Bytes<'a, MAX> {
    /// Wraps `bytes`.
    ///
    /// # Errors
    /// [`TooLong`] above `MAX` bytes.
    pub const fn new(bytes: &'a [u8]) -> Result<Self, TooLong> {
        if bytes.len() > MAX {
            return Err(TooLong {
                len: bytes.len(),
                max: MAX,
            });
        }
        Ok(Self(bytes))
    }

    /// The bytes, without their length prefix.
    #[must_use]
    #[inline]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a, const MAX: usize> Field<'a> for Bytes<'a, MAX> {
    const WIRE_TYPE: WireType = WireType::Bytes(MAX);

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, FieldError> {
        let len = reader.take_prefix(MAX)?;
        if len > MAX {
            return Err(FieldError::TooLong { len, max: MAX });
        }
        Ok(Self(reader.take(len)?))
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        prefix_len(MAX) + self.0.len()
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        put_prefix(self.0.len(), MAX, out);
        out.extend_from_slice(self.0);
    }
}

impl<const MAX: usize> fmt::Debug for Bytes<'_, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// `STR0_255`: up to 255 bytes that are meant to be read, UTF-8 by recommendation only.
///
/// [`Display`](fmt::Display) shows text as it is and escapes backslashes, control characters, characters that
/// reorder or hide their neighbours, and bytes that are not UTF-8, so that a line in a log stays one line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Str255<'a>(Bytes255<'a>);

impl<'a> Str255<'a> {
    /// Wraps `text`.
    ///
    /// # Errors
    /// [`TooLong`] above 255 bytes.
    pub const fn new(text: &'a str) -> Result<Self, TooLong> {
        Self::from_bytes(text.as_bytes())
    }

    /// Wraps bytes that need not be UTF-8.
    ///
    /// # Errors
    /// [`TooLong`] above 255 bytes.
    pub const fn from_bytes(bytes: &'a [u8]) -> Result<Self, TooLong> {
        match Bytes255::new(bytes) {
            Ok(bytes) => Ok(Self(bytes)),
            Err(error) => Err(error),
        }
    }

    /// The bytes as they are on the wire, without their length prefix.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0.as_bytes()
    }

    /// The text, if it is UTF-8. It may hold control characters.
    #[must_use]
    pub fn to_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.as_bytes()).ok()
    }
}

impl<'a> Field<'a> for Str255<'a> {
    const WIRE_TYPE: WireType = WireType::Bytes(0xff);
    const IS_TEXT: bool = true;

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, FieldError> {
        Bytes255::decode(reader).map(Self)
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl fmt::Display for Str255<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(self.as_bytes(), f)
    }
}

impl fmt::Debug for Str255<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Shows what a peer sent as text, so that it cannot pretend to be something else.
pub(crate) fn write_escaped(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                c if deceives(c) => write!(f, "{}", c.escape_unicode())?,
                c => f.write_char(c)?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// Control characters, line and paragraph separators, and the invisible or reordering format characters.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FR-4: 32 bytes are a `B0_32`, 33 are not.
    #[test]
    fn b0_32_stops_at_32() {
        let mut wire = vec![32];
        wire.extend([7; 33]);
        let mut reader = Reader::new(&wire);
        assert_eq!(Bytes32::decode(&mut reader).unwrap().as_bytes(), [7; 32]);
        assert_eq!(reader.rest(), [7]);

        wire[0] = 33;
        assert_eq!(
            Bytes32::decode(&mut Reader::new(&wire)),
            Err(FieldError::TooLong { len: 33, max: 32 })
        );
        assert_eq!(Bytes32::new(&[0; 33]), Err(TooLong { len: 33, max: 32 }));
    }

    /// FR-6: any 255 bytes are a string; a length beyond the buffer is an error.
    #[test]
    fn strings_hold_any_bytes() {
        let mut wire = vec![255];
        wire.extend((0..255).map(|i| if i % 2 == 0 { 0x00 } else { 0xff }));
        let text = Str255::decode(&mut Reader::new(&wire)).unwrap();
        assert_eq!(text.as_bytes(), &wire[1..]);
        assert_eq!(text.to_str(), None);

        wire.pop();
        assert_eq!(
            Str255::decode(&mut Reader::new(&wire)),
            Err(FieldError::Truncated {
                needed: 255,
                left: 254
            })
        );
    }

    /// FR-7: the prefix of 253 bytes is `fd` alone, and `fd fd 00` is not read as CompactSize.
    #[test]
    fn prefixes_are_not_compact_size() {
        let text = "x".repeat(253);
        let mut out = Vec::new();
        Str255::new(&text).unwrap().encode(&mut out);
        assert_eq!(out[..3], [0xfd, b'x', b'x']);
        assert_eq!(out.len(), 254);

        let mut compact = vec![0xfd, 0xfd, 0x00];
        compact.extend([b'x'; 253]);
        let read = Str255::decode(&mut Reader::new(&compact)).unwrap();
        assert_eq!(read.as_bytes()[..2], [0xfd, 0x00]);
        assert_eq!(read.as_bytes().len(), 253);
    }

    /// FR-7: `B0_64K` and `B0_16M` have little endian prefixes of two and three bytes.
    #[test]
    fn long_prefixes_are_little_endian() {
        let bytes = vec![9; 0x010203];
        let mut out = Vec::new();
        Bytes16M::new(&bytes).unwrap().encode(&mut out);
        assert_eq!(out[..4], [0x03, 0x02, 0x01, 9]);
        assert_eq!(
            Bytes16M::decode(&mut Reader::new(&out)).unwrap().as_bytes(),
            bytes
        );

        out.clear();
        Bytes64K::new(&bytes[..0x0102]).unwrap().encode(&mut out);
        assert_eq!(out[..3], [0x02, 0x01, 9]);
        assert!(Bytes64K::new(&bytes).is_err());
    }

    /// FR-46: what a peer sent cannot break or reorder a line of a log.
    #[test]
    fn display_escapes_what_deceives() {
        let cases: [(&[u8], &str); 5] = [
            (b"bc1q.worker-1", "bc1q.worker-1"),
            (b"a\nb\x7f", "a\\u{a}b\\u{7f}"),
            ("\u{202e}evil".as_bytes(), "\\u{202e}evil"),
            (b"\xff\\x", "\\xff\\\\x"),
            ("M\u{fc}nze".as_bytes(), "M\u{fc}nze"),
        ];
        for (bytes, shown) in cases {
            assert_eq!(Str255::from_bytes(bytes).unwrap().to_string(), shown);
        }
    }
}
