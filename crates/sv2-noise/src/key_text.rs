//! The text of key files: a first line that says what the file is, then one `name value` pair a line.
//!
//! Empty lines and lines that begin with `#` are skipped. What the values mean is not known here but
//! to those who write them: [`crate::KeyRing`], [`crate::StaticSecret`], [`crate::AuthoritySecretKey`],
//! [`crate::CertificateRequest`] and [`crate::SignedCertificate`]. No file is opened.

use core::fmt::{self, Write as _};

use bitcoin::hex::FromHex;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::authority::{AuthorityKeyError, AuthorityPublicKey, AuthoritySecretKey};
use crate::certificate::{CERTIFICATE_LEN, Certificate};

const FORMAT: &str = "1";

pub(crate) const AUTHORITY_PUBLIC: &str = "authority-public";
pub(crate) const AUTHORITY_SECRET: &str = "authority-secret";
pub(crate) const STATIC_PUBLIC: &str = "static-public";
pub(crate) const STATIC_SECRET: &str = "static-secret";
pub(crate) const CERTIFICATE: &str = "certificate";

/// What a key file is, as its first line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyText {
    /// `headframe-keys`: all that a pool answers handshakes with. Secret.
    Keys,
    /// `headframe-authority`: an authority's two keys. Secret.
    Authority,
    /// `headframe-static-key`: a static key that waits for its certificate. Secret.
    StaticKey,
    /// `headframe-request`: a static public key that is to be certified.
    Request,
    /// `headframe-certificate`: a certificate, with the two public keys that it joins.
    Certificate,
}

/// What is wrong with a key file. The operator's to put right; nothing is guessed or replaced.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyTextError {
    /// No key file, one of a later version, or one of another kind.
    #[error("{} belongs here, and this is {}", .expected, Found(.found))]
    Kind {
        /// What was looked for.
        expected: KeyText,
        /// What it is; `None`: no key file of version 1.
        found: Option<KeyText>,
    },
    /// A line that is no `name value`, or a name that such a file does not have.
    #[error("line {0} of the key file is not one that belongs into it")]
    Line(usize),
    /// A name that occurs twice.
    #[error("the key file has two lines {0}")]
    Twice(&'static str),
    /// A line that has to be there and is not.
    #[error("the key file has no line {0}")]
    Missing(&'static str),
    /// A key that does not read.
    #[error("line {name} of the key file: {error}")]
    Key {
        /// The line's name.
        name: &'static str,
        /// What is wrong with its value.
        error: AuthorityKeyError,
    },
    /// A certificate that is not 74 bytes in hexadecimal digits.
    #[error("line certificate of the key file is not 148 hexadecimal digits")]
    Certificate,
    /// A static public key that is not 32 bytes in hexadecimal digits.
    #[error("line static-public of the key file is not 64 hexadecimal digits")]
    StaticKey,
    /// Public and secret key of the authority do not belong together.
    #[error("lines authority-public and authority-secret of the key file are not of one key")]
    AuthorityMismatch,
    /// The certificate was signed by another authority or for another static key, or was changed.
    #[error(
        "line certificate of the key file was not signed by this authority for this static key"
    )]
    CertificateMismatch,
}

impl KeyText {
    const ALL: [Self; 5] = [
        Self::Keys,
        Self::Authority,
        Self::StaticKey,
        Self::Request,
        Self::Certificate,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Keys => "headframe-keys",
            Self::Authority => "headframe-authority",
            Self::StaticKey => "headframe-static-key",
            Self::Request => "headframe-request",
            Self::Certificate => "headframe-certificate",
        }
    }

    /// The names of the lines behind the first one.
    const fn lines(self) -> &'static [&'static str] {
        match self {
            Self::Keys => &[
                AUTHORITY_PUBLIC,
                AUTHORITY_SECRET,
                STATIC_SECRET,
                CERTIFICATE,
            ],
            Self::Authority => &[AUTHORITY_PUBLIC, AUTHORITY_SECRET],
            Self::StaticKey => &[STATIC_SECRET],
            Self::Request => &[AUTHORITY_PUBLIC, STATIC_PUBLIC],
            Self::Certificate => &[AUTHORITY_PUBLIC, STATIC_PUBLIC, CERTIFICATE],
        }
    }

    fn of(first_line: &str) -> Option<Self> {
        let (name, format) = first_line.split_once(' ')?;
        let named = |kind: &Self| kind.name() == name;
        Self::ALL
            .into_iter()
            .find(named)
            .filter(|_| format == FORMAT)
    }
}

impl fmt::Display for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys => "the key file of a pool (`headframe-keys 1`)",
            Self::Authority => "the key file of an authority (`headframe-authority 1`)",
            Self::StaticKey => "a static key (`headframe-static-key 1`)",
            Self::Request => "a request for a certificate (`headframe-request 1`)",
            Self::Certificate => "a certificate (`headframe-certificate 1`)",
        })
    }
}

struct Found<'a>(&'a Option<KeyText>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(kind) => kind.fmt(f),
            None => f.write_str("no key file of headframe"),
        }
    }
}

/// The values of a key file's lines, not yet understood.
pub(crate) struct Lines<'a>(Vec<(&'static str, &'a str)>);

impl<'a> Lines<'a> {
    /// Reads a file of one of the `expected` kinds, of which there is at least one.
    pub(crate) fn read(text: &'a str, expected: &[KeyText]) -> Result<Self, KeyTextError> {
        let mut lines = (1..)
            .zip(text.lines().map(str::trim))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let found = lines.next().and_then(|(_, first)| KeyText::of(first));
        let Some(kind) = found.filter(|kind| expected.contains(kind)) else {
            let expected = expected[0];
            return Err(KeyTextError::Kind { expected, found });
        };
        let mut values: Vec<(&str, &str)> = Vec::new();
        for (number, line) in lines {
            let known = line.split_once(' ').and_then(|(name, value)| {
                let name = kind.lines().iter().find(|known| **known == name)?;
                Some((*name, value.trim()))
            });
            let (name, value) = known.ok_or(KeyTextError::Line(number))?;
            if values.iter().any(|(there, _)| *there == name) {
                return Err(KeyTextError::Twice(name));
            }
            values.push((name, value));
        }
        Ok(Self(values))
    }

    fn find(&self, name: &'static str) -> Option<&'a str> {
        let mut values = self.0.iter();
        values
            .find(|(there, _)| *there == name)
            .map(|(_, value)| *value)
    }

    fn need(&self, name: &'static str) -> Result<&'a str, KeyTextError> {
        self.find(name).ok_or(KeyTextError::Missing(name))
    }

    pub(crate) fn authority_public(&self) -> Result<AuthorityPublicKey, KeyTextError> {
        let text = self.need(AUTHORITY_PUBLIC)?;
        text.parse().map_err(in_line(AUTHORITY_PUBLIC))
    }

    pub(crate) fn known_authority(&self) -> Result<Option<AuthorityPublicKey>, KeyTextError> {
        let text = self.find(AUTHORITY_PUBLIC).map(str::parse).transpose();
        text.map_err(in_line(AUTHORITY_PUBLIC))
    }

    /// The authority's secret, if it is there; the public key has to be its own.
    pub(crate) fn authority_secret(&self) -> Result<Option<AuthoritySecretKey>, KeyTextError> {
        let public = self.authority_public()?;
        let Some(text) = self.find(AUTHORITY_SECRET) else {
            return Ok(None);
        };
        let secret = AuthoritySecretKey::from_text(text).map_err(in_line(AUTHORITY_SECRET))?;
        match secret.public() == public {
            true => Ok(Some(secret)),
            false => Err(KeyTextError::AuthorityMismatch),
        }
    }

    /// The two kinds of secret key have one text form.
    pub(crate) fn static_secret(&self) -> Result<Zeroizing<[u8; 32]>, KeyTextError> {
        let text = self.need(STATIC_SECRET)?;
        let secret = AuthoritySecretKey::from_text(text).map_err(in_line(STATIC_SECRET))?;
        Ok(secret.secret_bytes())
    }

    pub(crate) fn static_public(&self) -> Result<[u8; 32], KeyTextError> {
        let text = self.need(STATIC_PUBLIC)?;
        <[u8; 32]>::from_hex(text).map_err(|_| KeyTextError::StaticKey)
    }

    pub(crate) fn certificate(&self) -> Result<Certificate, KeyTextError> {
        let text = self.need(CERTIFICATE)?;
        <[u8; CERTIFICATE_LEN]>::from_hex(text)
            .map(|bytes| Certificate::from_bytes(&bytes))
            .map_err(|_| KeyTextError::Certificate)
    }
}

fn in_line(name: &'static str) -> impl Fn(AuthorityKeyError) -> KeyTextError {
    move |error| KeyTextError::Key { name, error }
}

/// The text of a key file that is being written; erased when dropped, for it may hold secrets.
pub(crate) struct KeyFileText(Zeroizing<String>);

impl KeyFileText {
    pub(crate) fn of(kind: KeyText) -> Self {
        // As long as the longest, so that no copy is left behind when it grows.
        let mut text = Self(Zeroizing::new(String::with_capacity(512)));
        text.line(kind.name(), FORMAT);
        text
    }

    pub(crate) fn line(&mut self, name: &str, value: impl fmt::Display) {
        writeln!(self.0, "{name} {value}").expect("writing to a string cannot fail");
    }

    pub(crate) fn finish(self) -> Zeroizing<String> {
        self.0
    }
}
