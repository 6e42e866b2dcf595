//! What is wrong with a configuration, and where. All of it is the operator's to mend.

use core::fmt;
use std::io;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of the file.
    Line {
        /// The file.
        file: PathBuf,
        /// Its line, from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One mistake.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path} ({source}); give the right path with -c")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{origin}: not TOML: {detail}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// The parser's words.
        detail: String,
    },
    /// There is no such key.
    #[error("{origin}: there is no key `{key}`{hint}")]
    UnknownKey {
        /// Where.
        origin: Origin,
        /// The key as it was written.
        key: String,
        /// Which one may have been meant, as the end of the sentence; may be empty.
        hint: String,
    },
    /// A value that the key cannot have.
    #[error("{origin}: `{key} = {value}` is not right: {expected}")]
    BadValue {
        /// Where.
        origin: Origin,
        /// The key.
        key: String,
        /// The value as it was written; a secret is not shown.
        value: String,
        /// What would be right.
        expected: String,
    },
}

/// All mistakes of a configuration, one a line: those of the file by their lines, then those of
/// variables and flags.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    pub(crate) fn in_order(mut errors: Vec<ConfigError>) -> Self {
        errors.sort_by_key(ConfigError::place);
        Self(errors)
    }
}

impl ConfigError {
    /// Where it stands among others.
    fn place(&self) -> (u8, usize) {
        match self {
            Self::Unreadable { .. } => (0, 0),
            Self::Syntax { origin, .. }
            | Self::UnknownKey { origin, .. }
            | Self::BadValue { origin, .. } => match origin {
                Origin::Line { line, .. } => (1, *line),
                Origin::Variable(_) => (2, 0),
                Origin::Flag(_) => (3, 0),
                Origin::Default => (4, 0),
            },
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
