//! Error codes and the error member of a reply.

use std::borrow::Cow;
use std::fmt;

use crate::json;
use crate::value::Value;

/// The longest error message that is kept, in bytes.
const MAX_MESSAGE_LEN: usize = 255;

/// The number in a reply's error. Those that a pool sends are constants here: the numbers are the
/// field's, the texts ckpool's, which sends no numbers and whose texts AxeOS and others explain to
/// their owners (ESP-Miner issue 765). A client may see any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(i64);

/// One row per code: constant, number, what it means and says by itself.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $message:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// The message that the field uses for this code.
            pub const fn default_message(self) -> &'static str {
                match self.0 {
                    $($code => $message,)*
                    _ => "Unknown error",
                }
            }
        }
    };
}

error_codes! {
    /// Whatever has no code of its own.
    OTHER = 20, "Other";
    /// The job is unknown or stale.
    JOB_NOT_FOUND = 21, "Invalid JobID";
    /// The share was sent before.
    DUPLICATE = 22, "Duplicate";
    /// The share misses its target.
    LOW_DIFFICULTY = 23, "Above target";
    /// The worker was not authorised.
    UNAUTHORIZED = 24, "Unauthorized worker";
    /// The client did not subscribe.
    NOT_SUBSCRIBED = 25, "Not subscribed";
    /// JSON-RPC: nobody knows this method.
    METHOD_NOT_FOUND = -32601, "Method not found";
    /// JSON-RPC: the line is no request.
    PARSE_ERROR = -32700, "Parse error";
}

impl ErrorCode {
    /// The number as it stands in the reply.
    pub const fn as_i64(self) -> i64 {
        self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a request was refused: `[code, "message", null]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The kind.
    pub code: ErrorCode,
    /// For people, though devices map some texts too.
    pub message: Cow<'a, str>,
}

impl<'a> Refusal<'a> {
    /// A refusal in the field's words for its code.
    pub const fn new(code: ErrorCode) -> Self {
        Self {
            code,
            message: Cow::Borrowed(code.default_message()),
        }
    }

    /// A refusal that says more than its code.
    pub fn with_message(code: ErrorCode, message: impl Into<Cow<'a, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Reads the forms in use: `[code, "message", …]`, `{"code": …, "message": …}`, `"message"`.
    pub(crate) fn parse(error: Value<'a>) -> Self {
        let (code, message) = match error {
            Value::Array(items) => {
                let mut items = items.into_iter();
                (items.next(), items.next())
            }
            Value::Object(members) => {
                let mut code = None;
                let mut message = None;
                for (name, value) in members {
                    match &*name {
                        "code" => code = Some(value),
                        "message" => message = Some(value),
                        _ => {}
                    }
                }
                (code, message)
            }
            message => (None, Some(message)),
        };
        let code = code.and_then(|code| code.as_i64());
        let code = code.map_or(ErrorCode::OTHER, ErrorCode);
        match message.and_then(Value::into_text) {
            Some(text) => Self::with_message(code, crate::params::cut(text, MAX_MESSAGE_LEN)),
            None => Self::new(code),
        }
    }

    pub(crate) fn push(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        json::push_display(out, self.code);
        out.push(b',');
        json::push_str(out, &self.message);
        out.extend_from_slice(b",null]");
    }
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}
