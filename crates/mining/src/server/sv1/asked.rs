//! The difficulty that a person asks for, in the password or behind the user name: where a device has
//! no other field, or is somebody else's.
//!
//! The forms are those that pools and market places document:
//!
//! * in the password `d=N`, alone or after others behind a comma: litecoinpool.org (news 56), yiimp
//!   (KlausT/ccminer, issue 156), public-pool (issue 44); or behind a semicolon, and `fd=N`:
//!   datum_gateway (pull request 234)
//! * `diff=N`: ckpool-lhr (README); `sd=N`: php-mpos (issue 2750); `difficulty=`, `suggestdiff=`, a
//!   colon for the equals sign, and the other separators: goPool (`miner_auth.go`)
//! * behind the user name `+N`: p2pool (issue 321); any of the above behind `+`, `#`, `,` or `;`: goPool
//!
//! Some devices keep what was typed into their page in the form in which a browser sent it, with `%2B`
//! for the `+`: both texts are read without their escapes.
//!
//! Not here: what becomes of it, which is what becomes of a suggestion, and p2pool's `/N`, which
//! is a difficulty of another kind.

use std::borrow::Cow;

use headframe_work::Difficulty;

/// What stands before a number that is a difficulty, in small letters.
const KEYS: [&str; 6] = ["d", "fd", "sd", "diff", "difficulty", "suggestdiff"];

/// `text` with its marks as they were typed, where they are escaped (RFC 3986, section 2.1). Letters and
/// digits need no escape, so that one of them, as any other `%`, is what it looks like.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default();
    let mut plain = Cow::Borrowed(first);
    for part in parts {
        let plain = plain.to_mut();
        match part
            .split_at_checked(2)
            .and_then(|(digits, rest)| Some((mark(digits)?, rest)))
        {
            Some((mark, rest)) => {
                plain.push(mark);
                plain.push_str(rest);
            }
            None => {
                plain.push('%');
                plain.push_str(part);
            }
        }
    }
    plain
}

/// The mark, or the space, that two hexadecimal digits stand for.
fn mark(digits: &str) -> Option<char> {
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let code = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
    (code == b' ' || code.is_ascii_punctuation()).then_some(code.into())
}

/// The difficulty that the password asks for: the first, where there are several.
pub(super) fn in_password(password: &str) -> Option<Difficulty> {
    words(password).find_map(assigned)
}

/// What stands in the password, one thing after another.
pub(super) fn words(password: &str) -> impl Iterator<Item = &str> {
    password.split(|c: char| matches!(c, ',' | ';' | '|' | '&') || c.is_whitespace())
}

/// The user name without the difficulty that it ends with, and that difficulty. A name that ends with
/// none is given whole.
pub(super) fn split_name(name: &str) -> (&str, Option<Difficulty>) {
    let Some(at) = name.rfind(['+', '#', ',', ';']) else {
        return (name, None);
    };
    let (user, end) = name.split_at(at);
    let asked = match end.strip_prefix('+') {
        Some(end) => number(end).or_else(|| assigned(end)),
        None => assigned(end.get(1..).unwrap_or_default()),
    };
    match asked {
        Some(_) => (user, asked),
        None => (name, None),
    }
}

/// The number of `key=number`.
fn assigned(text: &str) -> Option<Difficulty> {
    let (key, value) = text.split_once(['=', ':'])?;
    let mut known = KEYS.iter();
    let is_known = known.any(|known| key.trim().eq_ignore_ascii_case(known));
    number(value.trim()).filter(|_| is_known)
}

/// A decimal number above zero, without sign or exponent.
fn number(text: &str) -> Option<Difficulty> {
    let is_decimal = |c: char| c.is_ascii_digit() || c == '.';
    let number = text.parse().ok().filter(|_| text.chars().all(is_decimal))?;
    Difficulty::from_f64(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difficulty(number: f64) -> Option<Difficulty> {
        Some(Difficulty::from_f64(number).unwrap())
    }

    #[test]
    fn passwords_ask_in_the_forms_that_are_documented() {
        for (password, number) in [
            ("d=1024", 1024.0),
            ("foo,d=64", 64.0),
            ("x;fd=8192", 8192.0),
            ("diff=0.0005", 0.0005),
            ("sd=3", 3.0),
            ("x, D:512 , y", 512.0),
            ("p=secret|difficulty=16", 16.0),
            ("suggestdiff=2&d=4", 2.0),
            ("d=, d=8", 8.0),
        ] {
            assert_eq!(in_password(password), difficulty(number), "{password}");
        }
    }

    #[test]
    fn passwords_that_are_none_of_these_ask_for_nothing() {
        for password in [
            "",
            "x",
            "123",
            "1024",
            "d",
            "d=",
            "d=x",
            "d=0",
            "d=-5",
            "d=1e9",
            "d=inf",
            "d=1.2.3",
            "id=5",
            "password=7",
            "d 5",
        ] {
            assert_eq!(in_password(password), None, "{password}");
        }
        let longest = format!("d={}", "9".repeat(253));
        assert_eq!(in_password(&longest), difficulty(1e253));
    }

    #[test]
    fn names_ask_behind_a_mark_and_are_left_without_it() {
        for (name, user, number) in [
            ("bc1q.rig+1024", "bc1q.rig", 1024.0),
            ("bc1q+0.5", "bc1q", 0.5),
            ("bc1q.rig+d=4096", "bc1q.rig", 4096.0),
            ("bc1q.rig#diff=16", "bc1q.rig", 16.0),
            ("bc1q.rig,d=32", "bc1q.rig", 32.0),
            ("bc1q.rig;D:32", "bc1q.rig", 32.0),
            ("bc1q.a+b+8", "bc1q.a+b", 8.0),
        ] {
            assert_eq!(split_name(name), (user, difficulty(number)), "{name}");
        }
    }

    #[test]
    fn marks_may_be_escaped() {
        for (escaped, plain) in [
            ("", ""),
            ("bc1q.rig", "bc1q.rig"),
            ("bc1q.rig%2B1024", "bc1q.rig+1024"),
            ("bc1q%2Erig%2bd%3D4096", "bc1q.rig+d=4096"),
            ("x%2C%20d%3a512%7cy", "x, d:512|y"),
            ("100%25", "100%"),
            ("%252B", "%2B"),
        ] {
            assert_eq!(unescaped(escaped), plain, "{escaped}");
        }
    }

    /// What is no escape of a mark says what it says, whatever it is.
    #[test]
    fn nothing_else_is_an_escape() {
        for text in [
            "100%", "%", "%%", "%2", "%2G", "%+5", "%-1", "%30", "%61", "%00", "%0A", "%7F", "%E9",
            "%\u{e9}", "%2\u{e9}",
        ] {
            assert_eq!(unescaped(text), text, "{text}");
        }
    }

    #[test]
    fn names_that_end_otherwise_are_whole() {
        for name in [
            "",
            "bc1q.rig",
            "bc1q.1024",
            "bc1q.d=1024",
            "bc1q.rig/1024",
            "bc1q.c++",
            "bc1q.rig+",
            "bc1q.rig+a5",
            "bc1q.rig#5",
            "bc1q.rig,5",
            "bc1q.rig+0",
            "bc1q.rig#\u{e9}",
        ] {
            assert_eq!(split_name(name), (name, None), "{name}");
        }
    }
}
