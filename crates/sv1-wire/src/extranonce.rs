//! The bytes of an extranonce, without an allocation.

use std::fmt;

/// The longest extranonce in bytes: Stratum V2's bound for prefix and rolled part together, and what
/// ESP-Miner clamps to.
pub const MAX_EXTRANONCE_LEN: usize = 32;

/// Bytes of an extranonce, in the order in which they stand in the coinbase.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extranonce {
    len: u8,
    // Zero past `len`, which makes the derived equality right.
    bytes: [u8; MAX_EXTRANONCE_LEN],
}

impl Extranonce {
    /// The bytes, unless there are more than [`MAX_EXTRANONCE_LEN`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut extranonce = Self {
            len: u8::try_from(bytes.len()).ok()?,
            bytes: [0; MAX_EXTRANONCE_LEN],
        };
        extranonce
            .bytes
            .get_mut(..bytes.len())?
            .copy_from_slice(bytes);
        Some(extranonce)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Extranonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extranonce(")?;
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        write!(f, ")")
    }
}
