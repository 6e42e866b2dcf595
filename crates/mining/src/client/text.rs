//! Text of a pool that is shown to people.

/// Keeps text on one line and within `MAX_CHARS`: what reorders, hides or breaks lines is escaped.
/// (Stratum V2's own strings do this by themselves.)
pub(super) fn shown(text: &str) -> String {
    const MAX_CHARS: usize = 255;
    let mut out = String::new();
    for c in text.chars().take(MAX_CHARS) {
        match c {
            ' ' => out.push(c),
            c if c.is_control() || is_invisible(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Separators and format characters that reorder or hide their neighbours.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FR-46: a text stays one line of bounded length.
    #[test]
    fn a_pool_s_text_cannot_break_a_line() {
        assert_eq!(shown("Low difficulty share"), "Low difficulty share");
        assert_eq!(
            shown("a\nb\u{1b}[2J\u{202e}c"),
            "a\\u{a}b\\u{1b}[2J\\u{202e}c"
        );
        assert_eq!(shown(&"x".repeat(10_000)).len(), 255);
    }
}
