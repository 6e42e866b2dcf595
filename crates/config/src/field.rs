//! A value that somebody set, before it has a type.

use toml::de::{DeTable, DeValue};

use crate::error::{ConfigError, Origin};
use crate::keys::{self, Key, Kind};

/// A value, its key and its place.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) key: &'static Key,
    pub(crate) origin: Origin,
    pub(crate) raw: Raw,
}

/// A value in the forms that the keys have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Raw {
    Text(String),
    /// As it was written, so that decimals stay exact.
    Number(String),
    Switch(bool),
    List(Vec<String>),
    /// Something that no key has; what it is.
    Other(&'static str),
}

impl Raw {
    pub(crate) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.clone().into_owned()),
            DeValue::Integer(number) if number.radix() == 10 => {
                Self::Number(number.as_str().to_owned())
            }
            DeValue::Integer(_) => Self::Other("a number that is not decimal"),
            DeValue::Float(number) => Self::Number(number.as_str().to_owned()),
            DeValue::Boolean(switch) => Self::Switch(*switch),
            DeValue::Array(items) => items
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .map_or(Self::Other("a list of other than texts"), Self::List),
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Table(_) => Self::Other("a table"),
        }
    }

    /// The value of an environment variable or a flag.
    pub(crate) fn from_text(kind: Kind, text: &str) -> Self {
        match (kind, text.trim()) {
            (Kind::Text | Kind::Secret, _) => Self::Text(text.to_owned()),
            (Kind::Number, number) => Self::Number(number.to_owned()),
            (Kind::Switch, "true") => Self::Switch(true),
            (Kind::Switch, "false") => Self::Switch(false),
            (Kind::Switch, _) => Self::Text(text.to_owned()),
            (Kind::List, "") => Self::List(Vec::new()),
            (Kind::List, items) => {
                Self::List(items.split(',').map(|item| item.trim().into()).collect())
            }
        }
    }

    /// As it is shown in messages.
    fn shown(&self) -> String {
        const LONGEST: usize = 100;
        let text = match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Number(number) => number.clone(),
            Self::Switch(switch) => switch.to_string(),
            Self::List(items) => format!("{items:?}"),
            Self::Other(what) => (*what).to_owned(),
        };
        if text.chars().count() <= LONGEST {
            return text;
        }
        text.chars().take(LONGEST).chain("…".chars()).collect()
    }
}

impl Field {
    /// The default of a key, which nobody set.
    pub(crate) fn default_of(section: &'static str, name: &'static str) -> Self {
        let key = keys::find(section, name).expect("a key of the table");
        let document = format!("value = {}", key.default);
        let table = DeTable::parse(&document).expect("defaults are TOML");
        let value = table.get_ref().get("value").expect("it was just written");
        Self {
            key,
            origin: Origin::Default,
            raw: Raw::from_toml(value.get_ref()),
        }
    }

    /// The error that this value is not right, and what would be.
    pub(crate) fn refuse(&self, expected: impl Into<String>) -> ConfigError {
        ConfigError::BadValue {
            origin: self.origin.clone(),
            key: self.key.path(),
            value: match self.key.kind {
                Kind::Secret => "(hidden)".to_owned(),
                _ => self.raw.shown(),
            },
            expected: expected.into(),
        }
    }

    /// The text, or `None` if it is empty.
    pub(crate) fn text(&self) -> Result<Option<&str>, ConfigError> {
        match &self.raw {
            Raw::Text(text) if text.is_empty() => Ok(None),
            Raw::Text(text) => Ok(Some(text)),
            _ => Err(self.refuse("write a text, in quotes")),
        }
    }

    pub(crate) fn switch(&self) -> Result<bool, ConfigError> {
        match self.raw {
            Raw::Switch(switch) => Ok(switch),
            _ => Err(self.refuse("write true or false, without quotes")),
        }
    }

    /// The number as it was written.
    pub(crate) fn number(&self) -> Result<&str, ConfigError> {
        match &self.raw {
            Raw::Number(number) => Ok(number),
            _ => Err(self.refuse("write a number, without quotes")),
        }
    }

    pub(crate) fn list(&self) -> Result<&[String], ConfigError> {
        match &self.raw {
            Raw::List(items) => Ok(items),
            _ => Err(self.refuse("write a list of texts, such as [\"one\", \"two\"]")),
        }
    }
}
