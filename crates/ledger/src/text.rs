//! Text of bounded length, from peers and nodes, on its way to the ledger.

use core::fmt;

/// At most 255 bytes of UTF-8. What is longer is clipped at a character boundary: these texts are
/// read by people, and none of them decides anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Text(Box<str>);

impl Text {
    /// The longest text in bytes, that of a Stratum V2 `STR0_255`.
    pub const MAX: usize = 255;

    /// The text, clipped to [`MAX`](Self::MAX) bytes.
    pub fn clip(text: &str) -> Self {
        let fits = |end: &usize| text.is_char_boundary(*end);
        let end = (0..=text.len().min(Self::MAX)).rev().find(fits);
        Self(text.get(..end.unwrap_or(0)).unwrap_or_default().into())
    }

    /// The text as it was kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    /// The same as [`Text::clip`].
    fn from(text: &str) -> Self {
        Self::clip(text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_clipped_between_characters() {
        let text = "é".repeat(200);
        let kept = Text::clip(&text);
        assert_eq!(kept.as_str().len(), 254);
        assert!(text.starts_with(kept.as_str()));
        assert_eq!(Text::clip("short").as_str(), "short");
    }
}
