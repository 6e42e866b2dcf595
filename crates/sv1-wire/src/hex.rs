//! Hexadecimal fields: lower case on the way out, any case and an optional `0x` on the way in.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends two digits per byte.
pub(crate) fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 0xf)]);
    }
}

/// Decodes an even number of digits.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = strip_prefix(text).as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(decode_pair).collect()
}

/// Decodes exactly as many bytes as `out` holds.
pub(crate) fn decode_exact(text: &str, out: &mut [u8]) -> Option<()> {
    let digits = strip_prefix(text).as_bytes();
    if digits.len() != out.len() * 2 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = decode_pair(pair)?;
    }
    Some(())
}

/// Decodes a number of one to eight digits, most significant first.
pub(crate) fn decode_u32(text: &str) -> Option<u32> {
    let digits = strip_prefix(text);
    // `from_str_radix` takes a sign, which no field may have.
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !all_digits || digits.len() > 8 {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}

fn strip_prefix(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("0x").unwrap_or(text)
}

fn decode_pair(pair: &[u8]) -> Option<u8> {
    match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_big_endian_with_or_without_leading_zeros() {
        assert_eq!(decode_u32("20000000"), Some(0x2000_0000));
        assert_eq!(decode_u32("1FFFE000"), Some(0x1fff_e000));
        assert_eq!(decode_u32("0x6000"), Some(0x6000));
        for wrong in ["", "+1", "-1", "123456789", "0x", "nonce", "1 2"] {
            assert_eq!(decode_u32(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn bytes_need_whole_pairs() {
        assert_eq!(decode("00fFa5"), Some(vec![0x00, 0xff, 0xa5]));
        assert_eq!(decode(""), Some(vec![]));
        assert_eq!(decode("00f"), None);
        assert_eq!(decode("0g"), None);
        assert_eq!(decode("é"), None);
    }
}
