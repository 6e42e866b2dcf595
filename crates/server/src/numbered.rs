//! Numbers in sentences.

/// So many of what is called `one`, and `many` otherwise.
pub(crate) fn numbered(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
