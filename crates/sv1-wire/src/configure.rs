//! `mining.configure` and its reply (BIP310).

use std::borrow::Cow;

use crate::params::{Params, parse_hex_u32};
use crate::value::Value;
use crate::{Difficulty, Fault, json};

const VERSION_ROLLING: &str = "version-rolling";
const VERSION_ROLLING_MASK: &str = "version-rolling.mask";
const VERSION_ROLLING_MIN_BITS: &str = "version-rolling.min-bit-count";
const MINIMUM_DIFFICULTY: &str = "minimum-difficulty";
const MINIMUM_DIFFICULTY_VALUE: &str = "minimum-difficulty.value";
const SUGGEST_DIFFICULTY: &str = "suggest-difficulty";
const SUGGEST_DIFFICULTY_VALUE: &str = "suggest-difficulty.value";
const SUBSCRIBE_EXTRANONCE: &str = "subscribe-extranonce";

/// The longest name of an extension that is answered, in bytes; a longer one is cut.
const MAX_EXTENSION_LEN: usize = 64;

/// The most extensions that one request can name; more are dropped. BIP310 defines four.
const MAX_EXTENSIONS: usize = 16;

/// The extensions that a client asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Configure<'a> {
    /// The client wants to roll version bits.
    pub version_rolling: Option<VersionRolling>,
    /// The client wants no difficulty below this.
    pub minimum_difficulty: Option<Difficulty>,
    /// The client suggests a difficulty, as by `mining.suggest_difficulty`. Not in BIP310; goPool's
    /// clients ask so.
    pub suggest_difficulty: Option<Difficulty>,
    /// The client understands `mining.set_extranonce`.
    pub subscribe_extranonce: bool,
    /// Extensions that nobody here knows, and those whose value cannot be read.
    pub unknown: Vec<Cow<'a, str>>,
}

/// The parameters of the `version-rolling` extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRolling {
    /// Bits that the client can roll; all of them where it does not say.
    pub mask: u32,
    /// The fewest bits that are of use to it; 0 where it does not say.
    pub min_bit_count: u32,
}

/// What a server grants to clients that ask for it by `mining.configure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The version bits that may be rolled.
    pub version_mask: u32,
    /// It keeps the minimum difficulty that this client asks for.
    pub keeps_minimum: bool,
    /// It begins with the difficulty that this client suggests.
    pub follows_suggestion: bool,
}

/// The result of `mining.configure`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configured<'a> {
    /// The answer to `version-rolling`, if it was asked for.
    pub version_rolling: Option<VersionRollingAnswer>,
    /// The answer to each other extension.
    pub others: Vec<(Cow<'a, str>, bool)>,
}

/// The answer to `version-rolling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionRollingAnswer {
    /// The client may change the bits of this mask.
    Granted {
        /// A subset of the mask that the client asked for.
        mask: u32,
    },
    /// The client must not roll; some do nevertheless.
    Refused,
}

impl<'a> Configure<'a> {
    /// The reply of a server with these `terms` that also knows `mining.extranonce.subscribe`: the
    /// intersection of both masks, and `false` to everything that is not known or not done.
    pub fn answer(&self, terms: Terms) -> Configured<'a> {
        let known = [
            (
                MINIMUM_DIFFICULTY,
                self.minimum_difficulty.is_some(),
                terms.keeps_minimum,
            ),
            (
                SUGGEST_DIFFICULTY,
                self.suggest_difficulty.is_some(),
                terms.follows_suggestion,
            ),
            (SUBSCRIBE_EXTRANONCE, self.subscribe_extranonce, true),
        ];
        let asked = known.into_iter().filter(|(_, is_asked, _)| *is_asked);
        let mut others: Vec<_> = asked
            .map(|(name, _, is_granted)| (Cow::Borrowed(name), is_granted))
            .collect();
        others.extend(self.unknown.iter().map(|name| (name.clone(), false)));
        Configured {
            version_rolling: (self.version_rolling).map(|asked| asked.answer(terms.version_mask)),
            others,
        }
    }

    pub(crate) fn parse(mut params: Params<'a>) -> Result<Self, Fault> {
        let names = extension_names(params.optional());
        let options = match params.optional() {
            Some(Value::Object(options)) => options,
            _ => Vec::new(),
        };
        let minimum = difficulty(&options, MINIMUM_DIFFICULTY_VALUE);
        let suggested = difficulty(&options, SUGGEST_DIFFICULTY_VALUE);
        let mut configure = Self::default();
        for name in names {
            match &*name {
                VERSION_ROLLING => {
                    configure.version_rolling = Some(VersionRolling::parse(&options)?);
                }
                MINIMUM_DIFFICULTY if minimum.is_some() => configure.minimum_difficulty = minimum,
                SUGGEST_DIFFICULTY if suggested.is_some() => {
                    configure.suggest_difficulty = suggested;
                }
                SUBSCRIBE_EXTRANONCE => configure.subscribe_extranonce = true,
                _ => configure.unknown.push(name),
            }
        }
        Ok(configure)
    }

    pub(crate) fn push_params(&self, out: &mut Vec<u8>) {
        let known = [
            self.version_rolling.map(|_| VERSION_ROLLING),
            self.minimum_difficulty.map(|_| MINIMUM_DIFFICULTY),
            self.suggest_difficulty.map(|_| SUGGEST_DIFFICULTY),
            self.subscribe_extranonce.then_some(SUBSCRIBE_EXTRANONCE),
        ];
        let unknown = self.unknown.iter().map(AsRef::as_ref);
        out.push(b'[');
        json::push_list(
            out,
            known.into_iter().flatten().chain(unknown),
            |out, name| {
                json::push_str(out, name);
            },
        );
        out.extend_from_slice(b"],{");
        self.push_options(out);
        out.push(b'}');
    }

    fn push_options(&self, out: &mut Vec<u8>) {
        if let Some(rolling) = self.version_rolling {
            push_key(out, VERSION_ROLLING_MASK);
            json::push_hex_u32(out, rolling.mask);
            out.push(b',');
            push_key(out, VERSION_ROLLING_MIN_BITS);
            json::push_display(out, rolling.min_bit_count);
        }
        let difficulties = [
            (MINIMUM_DIFFICULTY_VALUE, self.minimum_difficulty),
            (SUGGEST_DIFFICULTY_VALUE, self.suggest_difficulty),
        ];
        let mut is_first = self.version_rolling.is_none();
        for (key, difficulty) in difficulties {
            let Some(difficulty) = difficulty else {
                continue;
            };
            if !core::mem::take(&mut is_first) {
                out.push(b',');
            }
            push_key(out, key);
            json::push_display(out, difficulty);
        }
    }
}

impl VersionRolling {
    fn answer(self, mask: u32) -> VersionRollingAnswer {
        let mask = mask & self.mask;
        if mask == 0 {
            return VersionRollingAnswer::Refused;
        }
        VersionRollingAnswer::Granted { mask }
    }

    fn parse(options: &[(Cow<'_, str>, Value<'_>)]) -> Result<Self, Fault> {
        Ok(Self {
            mask: match option(options, VERSION_ROLLING_MASK) {
                None => u32::MAX,
                Some(value) => parse_mask(value)?,
            },
            min_bit_count: option(options, VERSION_ROLLING_MIN_BITS)
                .and_then(Value::as_i64)
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(0),
        })
    }
}

impl<'a> Configured<'a> {
    pub(crate) fn parse(result: Vec<(Cow<'a, str>, Value<'a>)>) -> Result<Self, Fault> {
        let mut configured = Self::default();
        if let Some(answer) = option(&result, VERSION_ROLLING) {
            configured.version_rolling = Some(match answer {
                Value::Bool(true) => VersionRollingAnswer::Granted {
                    mask: option(&result, VERSION_ROLLING_MASK).map_or(
                        Err(Fault::Missing {
                            field: "version mask",
                        }),
                        parse_mask,
                    )?,
                },
                _ => VersionRollingAnswer::Refused,
            });
        }
        // Keys with a dot are parameters of an extension, not extensions (BIP310).
        let others = result
            .into_iter()
            .filter(|(name, _)| name != VERSION_ROLLING && !name.contains('.'))
            .map(|(name, answer)| (name, answer == Value::Bool(true)));
        configured.others = others.collect();
        Ok(configured)
    }

    pub(crate) fn push_result(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        match self.version_rolling {
            Some(VersionRollingAnswer::Granted { mask }) => {
                push_key(out, VERSION_ROLLING);
                out.extend_from_slice(b"true,");
                push_key(out, VERSION_ROLLING_MASK);
                json::push_hex_u32(out, mask);
            }
            Some(VersionRollingAnswer::Refused) => {
                push_key(out, VERSION_ROLLING);
                out.extend_from_slice(b"false");
            }
            None => {}
        }
        if self.version_rolling.is_some() && !self.others.is_empty() {
            out.push(b',');
        }
        json::push_list(out, &self.others, |out, (name, granted)| {
            push_key(out, name);
            json::push_display(out, granted);
        });
        out.push(b'}');
    }
}

/// The names in a list, or in one string with commas.
fn extension_names(names: Option<Value<'_>>) -> Vec<Cow<'_, str>> {
    let names: Vec<Cow<'_, str>> = match names {
        Some(Value::Array(names)) => names.into_iter().filter_map(Value::into_text).collect(),
        Some(Value::Text(names)) => names
            .split(',')
            .map(|name| Cow::Owned(name.trim().to_owned()))
            .collect(),
        _ => Vec::new(),
    };
    let named = names.into_iter().filter(|name| !name.is_empty());
    named
        .take(MAX_EXTENSIONS)
        .map(|name| crate::params::cut(name, MAX_EXTENSION_LEN))
        .collect()
}

fn difficulty(options: &[(Cow<'_, str>, Value<'_>)], name: &str) -> Option<Difficulty> {
    option(options, name)
        .and_then(Value::as_f64)
        .and_then(Difficulty::new)
}

fn parse_mask(value: &Value<'_>) -> Result<u32, Fault> {
    match value {
        Value::Text(text) => parse_hex_u32(text, "version mask"),
        _ => Err(Fault::Malformed {
            field: "version mask",
            expected: "a string",
        }),
    }
}

fn option<'o, 'a>(options: &'o [(Cow<'a, str>, Value<'a>)], name: &str) -> Option<&'o Value<'a>> {
    let mut found = options.iter().filter(|(key, _)| key == name);
    found.next().map(|(_, value)| value)
}

fn push_key(out: &mut Vec<u8>, name: &str) {
    json::push_str(out, name);
    out.push(b':');
}
