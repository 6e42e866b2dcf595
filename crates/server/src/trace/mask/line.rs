//! Lines of Stratum V1, masked where they stand: all else of a line stays byte for byte as it was, since
//! what is odd about a client is often how it writes.

use bitcoin::hex::{DisplayHex as _, FromHex as _};
use serde::de::IgnoredAny;

use super::{Mask, without_content};

/// What stands for a password.
const PASSWORD: &str = "\"x\"";
/// Longer hexadecimal strings may be parts of a coinbase; hashes are not.
const HASH_DIGITS: usize = 64;

impl Mask {
    /// A line without its end, masked. Of one that is no JSON the letters and digits go, since nobody
    /// knows which of them are a password.
    pub(in crate::trace) fn line(&mut self, line: &[u8]) -> String {
        let text = String::from_utf8_lossy(line);
        if serde_json::from_str::<IgnoredAny>(&text).is_err() {
            return without_content(&text);
        }
        let masked = Scan::new(self, &text).run();
        match masked {
            Some(masked) => masked,
            None => without_content(&text),
        }
    }

    /// A string literal with its quotes, masked.
    fn literal(&mut self, literal: &str) -> String {
        let Ok(content) = serde_json::from_str::<String>(literal) else {
            return without_content(literal);
        };
        let masked = match is_coinbase(&content) {
            true => self.coinbase(&content),
            false => self.text(&content),
        };
        match masked == content {
            true => literal.to_owned(),
            false => serde_json::Value::from(masked).to_string(),
        }
    }

    fn coinbase(&mut self, digits: &str) -> String {
        let Ok(mut bytes) = Vec::from_hex(digits) else {
            return digits.to_owned();
        };
        let before = bytes.clone();
        self.outputs(&mut bytes);
        match bytes == before {
            true => digits.to_owned(),
            false => bytes.to_lower_hex_string(),
        }
    }
}

fn is_coinbase(text: &str) -> bool {
    text.len() > HASH_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A walk over a line that is known to be JSON.
struct Scan<'a> {
    mask: &'a mut Mask,
    line: &'a str,
    at: usize,
    out: String,
    /// Whether what follows the user name is a password.
    is_login: bool,
}

impl<'a> Scan<'a> {
    fn new(mask: &'a mut Mask, line: &'a str) -> Self {
        // A name that is written with escapes is unknown to the pool too, but may hold a password.
        let is_login = line.to_ascii_lowercase().contains("auth") || line.contains("\\u");
        Self {
            mask,
            line,
            at: 0,
            out: String::with_capacity(line.len()),
            is_login,
        }
    }

    fn run(mut self) -> Option<String> {
        self.value(false)?;
        self.out.push_str(self.line.get(self.at..)?);
        Some(self.out)
    }

    /// Copies a value, masked. `is_params`: it is the list of a request's parameters.
    fn value(&mut self, is_params: bool) -> Option<()> {
        self.blanks()?;
        match self.next()? {
            b'{' => self.object(),
            b'[' => self.list(is_params),
            b'"' => {
                let literal = self.take_literal()?;
                let masked = self.mask.literal(literal);
                self.out.push_str(&masked);
                Some(())
            }
            _ => {
                let scalar = self.take_scalar()?;
                self.out.push_str(scalar);
                Some(())
            }
        }
    }

    fn object(&mut self) -> Option<()> {
        self.copy(1)?;
        loop {
            self.blanks()?;
            match self.next()? {
                b'}' => return self.copy(1),
                b',' => self.copy(1)?,
                _ => self.entry()?,
            }
        }
    }

    fn entry(&mut self) -> Option<()> {
        let key = self.take_literal()?;
        let name = serde_json::from_str::<String>(key).ok()?.to_lowercase();
        let masked = self.mask.literal(key);
        self.out.push_str(&masked);
        self.blanks()?;
        self.copy(1)?;
        match name.contains("pass") {
            true => self.hide(),
            false => self.value(name == "params"),
        }
    }

    fn list(&mut self, is_params: bool) -> Option<()> {
        self.copy(1)?;
        let mut number = 0;
        loop {
            self.blanks()?;
            match self.next()? {
                b']' => return self.copy(1),
                b',' => {
                    self.copy(1)?;
                    number += 1;
                }
                _ if is_params && self.is_login && number > 0 => self.hide()?,
                _ => self.value(false)?,
            }
        }
    }

    /// Leaves a value out, whatever it is.
    fn hide(&mut self) -> Option<()> {
        self.blanks()?;
        let kept = self.out.len();
        self.value(false)?;
        self.out.truncate(kept);
        self.out.push_str(PASSWORD);
        Some(())
    }

    fn blanks(&mut self) -> Option<()> {
        let rest = self.line.get(self.at..)?;
        self.copy(rest.len() - rest.trim_start().len())
    }

    fn next(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    fn copy(&mut self, len: usize) -> Option<()> {
        let copied = self.line.get(self.at..self.at + len)?;
        self.out.push_str(copied);
        self.at += len;
        Some(())
    }

    fn take_literal(&mut self) -> Option<&'a str> {
        let rest = self.line.get(self.at..)?;
        let mut is_escaped = false;
        let end = rest.bytes().skip(1).position(|byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        })?;
        self.take(end + 2)
    }

    fn take_scalar(&mut self) -> Option<&'a str> {
        let rest = self.line.get(self.at..)?;
        let end = rest.find([',', ']', '}']).unwrap_or(rest.len());
        self.take(end)
    }

    fn take(&mut self, len: usize) -> Option<&'a str> {
        let taken = self.line.get(self.at..self.at + len)?;
        self.at += len;
        Some(taken)
    }
}
