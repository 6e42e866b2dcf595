//! Writing JSON into a caller's buffer.

/// Appends a string with its quotes, escaped.
pub(crate) fn push_str(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a vector takes every write");
}

/// Appends bytes as a string of hexadecimal digits.
pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    crate::hex::push(out, bytes);
    out.push(b'"');
}

/// Appends a number as eight hexadecimal digits, most significant first.
pub(crate) fn push_hex_u32(out: &mut Vec<u8>, number: u32) {
    push_hex(out, &number.to_be_bytes());
}

/// Appends anything that prints as JSON by itself.
pub(crate) fn push_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    use std::io::Write;
    write!(out, "{value}").expect("a vector takes every write");
}

/// Appends the items of a list with commas between them, each written by `push`.
pub(crate) fn push_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(&mut Vec<u8>, T),
) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, item);
    }
}
