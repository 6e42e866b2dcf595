//! Positional parameters, read one after another; each error names the parameter.

use std::borrow::Cow;

use crate::value::Value;
use crate::{Difficulty, Extranonce, Fault, MAX_EXTRANONCE_LEN, hex};

/// The parameters of a line that have not been read yet.
pub(crate) struct Params<'a> {
    items: std::vec::IntoIter<Value<'a>>,
    is_list: bool,
}

impl<'a> Params<'a> {
    /// Takes a list; a bare value counts as a list of one, and anything else as an empty list.
    pub(crate) fn new(params: Option<Value<'a>>) -> Self {
        let is_list = matches!(params, Some(Value::Array(_)));
        let items = match params {
            Some(Value::Array(items)) => items,
            None | Some(Value::Null | Value::Object(_)) => Vec::new(),
            Some(value) => vec![value],
        };
        let items = items.into_iter();
        Self { items, is_list }
    }

    /// Whether they came as a list.
    pub(crate) fn is_list(&self) -> bool {
        self.is_list
    }

    /// How many parameters are left.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The next parameter; none if it is missing or `null`.
    pub(crate) fn optional(&mut self) -> Option<Value<'a>> {
        self.items.next().filter(|value| *value != Value::Null)
    }

    /// The next parameter as text cut to `max` bytes; empty if there is none.
    pub(crate) fn text_cut(&mut self, max: usize) -> Cow<'a, str> {
        let text = self.optional().and_then(Value::into_text);
        cut(text.unwrap_or_default(), max)
    }

    /// The next parameter as text of at most `max` bytes.
    pub(crate) fn text(&mut self, field: &'static str, max: usize) -> Result<Cow<'a, str>, Fault> {
        let text = self.any_text(field)?;
        if text.len() > max {
            return Err(Fault::TooLong { field, max });
        }
        Ok(text)
    }

    /// The next parameter as a number of one to eight hexadecimal digits.
    pub(crate) fn hex_u32(&mut self, field: &'static str) -> Result<u32, Fault> {
        parse_hex_u32(&self.any_text(field)?, field)
    }

    /// The next parameter as bytes in hexadecimal.
    pub(crate) fn hex_bytes(&mut self, field: &'static str) -> Result<Vec<u8>, Fault> {
        hex::decode(&self.any_text(field)?).ok_or(Fault::Malformed {
            field,
            expected: "pairs of hexadecimal digits",
        })
    }

    /// The next parameter as the bytes of an extranonce.
    pub(crate) fn extranonce(&mut self, field: &'static str) -> Result<Extranonce, Fault> {
        let max = MAX_EXTRANONCE_LEN;
        Extranonce::new(&self.hex_bytes(field)?).ok_or(Fault::TooLong { field, max })
    }

    /// The next parameter as a difficulty, also where it came as a string.
    pub(crate) fn difficulty(&mut self, field: &'static str) -> Result<Difficulty, Fault> {
        let value = self.optional().ok_or(Fault::Missing { field })?;
        value
            .as_f64()
            .and_then(Difficulty::new)
            .ok_or(Fault::Malformed {
                field,
                expected: "a number above zero",
            })
    }

    /// The next parameter as a length of at most [`MAX_EXTRANONCE_LEN`] bytes.
    pub(crate) fn extranonce_size(&mut self, field: &'static str) -> Result<u8, Fault> {
        let value = self.optional().ok_or(Fault::Missing { field })?;
        value
            .as_i64()
            .and_then(|size| u8::try_from(size).ok())
            .filter(|size| usize::from(*size) <= MAX_EXTRANONCE_LEN)
            .ok_or(Fault::Malformed {
                field,
                expected: "a number of bytes up to 32",
            })
    }

    fn any_text(&mut self, field: &'static str) -> Result<Cow<'a, str>, Fault> {
        let value = self.optional().ok_or(Fault::Missing { field })?;
        value.into_text().ok_or(Fault::Malformed {
            field,
            expected: "a string",
        })
    }
}

/// Reads a number of one to eight hexadecimal digits.
pub(crate) fn parse_hex_u32(text: &str, field: &'static str) -> Result<u32, Fault> {
    hex::decode_u32(text).ok_or(Fault::Malformed {
        field,
        expected: "up to 8 hexadecimal digits",
    })
}

/// The text up to `max` bytes, cut between characters.
pub(crate) fn cut(text: Cow<'_, str>, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rev().find(|end| text.is_char_boundary(*end));
    let end = end.unwrap_or(0);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}
