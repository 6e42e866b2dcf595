//! A block in hexadecimal digits, as `submitblock` takes it: in two pieces, so that nobody has to join them.
//!
//! Nearly all of a full block are its template's transactions. Their digits are made when there is time, and are the
//! same for each block of the template; at the block there are some hundred more to make.

use std::fmt;
use std::sync::Arc;

use bitcoin::hex::{DisplayHex, FromHex, HexToBytesError};

/// A whole block, in lower-case digits if it is ours. A clone is two pointers to the same digits.
#[derive(Clone)]
pub struct BlockHex {
    head: Arc<str>,
    rest: Arc<String>,
}

impl BlockHex {
    /// `head` are the bytes before those whose digits are `rest`.
    pub(crate) fn new(head: &[u8], rest: Arc<String>) -> Self {
        let head = head.to_lower_hex_string().into();
        Self { head, rest }
    }

    /// The digits in their order.
    pub fn pieces(&self) -> [&str; 2] {
        [&self.head, &self.rest]
    }

    /// The first digits: those of header, number of transactions and coinbase, or more.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// The whole block as nodes send it to each other.
    ///
    /// # Errors
    ///
    /// They are no digits, or half a byte is missing: whoever wrote the text did not write a block.
    pub fn to_bytes(&self) -> Result<Vec<u8>, HexToBytesError> {
        let [mut head, rest] = [Vec::from_hex(&self.head)?, Vec::from_hex(&self.rest)?];
        head.extend(rest);
        Ok(head)
    }
}

/// A block that somebody else has written.
impl From<&str> for BlockHex {
    fn from(digits: &str) -> Self {
        Self {
            head: digits.into(),
            rest: Arc::default(),
        }
    }
}

impl fmt::Display for BlockHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces()
            .iter()
            .try_for_each(|piece| f.write_str(piece))
    }
}

/// Eight million digits tell nobody anything.
impl fmt::Debug for BlockHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: usize = self.pieces().iter().map(|piece| piece.len()).sum();
        write!(f, "BlockHex({digits} digits)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole_in_order() {
        let block = BlockHex::new(&[0xab, 0x01], Arc::new("ff00".to_owned()));
        assert_eq!(block.to_string(), "ab01ff00");
        assert_eq!(block.pieces().concat(), "ab01ff00");
        assert_eq!(block.to_bytes(), Ok(vec![0xab, 1, 0xff, 0]));
    }

    #[test]
    fn what_somebody_else_has_written_is_one_piece() {
        let block = BlockHex::from("Ab01");
        assert_eq!(
            (block.head(), block.to_string()),
            ("Ab01", "Ab01".to_owned())
        );
        assert_eq!(block.to_bytes(), Ok(vec![0xab, 1]));
        assert!(BlockHex::from("ab0").to_bytes().is_err());
    }
}
