//! Which of a pool's sets of keys is meant.

use core::fmt;
use core::str::FromStr;

/// The name of a set of keys in the data directory: the pool's own by default, or another one, of an
/// authority of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct KeysName(Option<String>);

/// A text that is no name of a set of keys. The operator's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a name of 1 to 32 small letters, digits and hyphens, such as \"second\"")]
pub struct KeysNameError;

impl KeysName {
    /// The pool's own keys, which have no name.
    pub const OWN: Self = Self(None);

    /// The name of the key file: `keys` for the pool's own, else `keys-NAME`.
    pub fn file_name(&self) -> String {
        match &self.0 {
            None => "keys".to_owned(),
            Some(name) => format!("keys-{name}"),
        }
    }
}

impl FromStr for KeysName {
    type Err = KeysNameError;

    fn from_str(text: &str) -> Result<Self, KeysNameError> {
        let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        match (1..=32).contains(&text.len()) && text.bytes().all(is_fit) {
            true => Ok(Self(Some(text.to_owned()))),
            false => Err(KeysNameError),
        }
    }
}

impl fmt::Display for KeysName {
    /// As the command line takes it behind `headframe keys …`; empty for the pool's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => Ok(()),
            Some(name) => write!(f, " --keys {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_part_of_a_file_s_and_never_a_way_to_another() {
        assert_eq!(KeysName::OWN.file_name(), "keys");
        let second: KeysName = "second-2".parse().unwrap();
        assert_eq!(second.file_name(), "keys-second-2");
        let long = "x".repeat(33);
        for wrong in ["", "a/b", "..", "a.b", "A", "é", long.as_str()] {
            assert_eq!(wrong.parse::<KeysName>(), Err(KeysNameError), "{wrong}");
        }
    }
}
