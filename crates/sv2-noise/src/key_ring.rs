//! The keys that a pool keeps: authority, static key and certificate, and their text form.
//!
//! Reads and writes text, never a file: the caller keeps the file readable by its owner alone
//! (mode 0600), since whoever has the authority's secret is the pool to every miner.
//!
//! The text is one `name value` pair a line; empty lines and lines that begin with `#` are skipped:
//!
//! ```text
//! headframe-keys 1
//! authority-public 9c73…   base58check, what miners are configured with
//! authority-secret 7WZn…   base58check; absent when the authority is kept elsewhere
//! static-secret 2ZGx…      base58check of 32 bytes
//! certificate 0000f153…    74 bytes as hexadecimal digits
//! ```

use core::fmt::{self, Write};

use bitcoin::base58;
use bitcoin::hex::{DisplayHex, FromHex};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::authority::{AuthorityKeyError, AuthorityPublicKey, AuthoritySecretKey};
use crate::certificate::{CERTIFICATE_LEN, Certificate};
use crate::identity::StaticIdentity;
use crate::noise_key::{InvalidSecret, NoiseKey};

/// Seconds between the start of a certificate's window and its signing, for clients whose clocks
/// run late (NX-22).
pub const CERTIFICATE_BACKDATE: u32 = 60 * 60;

/// Seconds for which a certificate is made. Renewal is automatic, so a stolen static key serves an
/// impostor for weeks, not years.
pub const CERTIFICATE_LIFETIME: u32 = 30 * 24 * 60 * 60;

/// A certificate is renewed when fewer than this many seconds are left: a pool that is switched on
/// once a week never shows an expired one.
pub const CERTIFICATE_RENEWAL: u32 = 10 * 24 * 60 * 60;

const FORMAT: &str = "1";

/// A pool's keys: who signs, who answers, and the certificate that joins them.
///
/// Always whole: the certificate is the authority's and belongs to the static key.
pub struct KeyRing {
    authority: Authority,
    static_secret: Box<Zeroizing<[u8; 32]>>,
    certificate: Certificate,
}

enum Authority {
    /// The secret is here, so certificates are renewed by the pool.
    Here(AuthoritySecretKey),
    /// The secret is kept elsewhere, and certificates come from there.
    Elsewhere(AuthorityPublicKey),
}

/// What is wrong with a key file. The operator's to put right; nothing is guessed or replaced.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyRingError {
    /// Not a key file, or one of a later version.
    #[error("key file does not begin with `headframe-keys 1`")]
    Format,
    /// A line that is no `name value`, or a name that is not known.
    #[error(
        "key file line {0} is not one of authority-public, authority-secret, static-secret, certificate and a value"
    )]
    Line(usize),
    /// A name that occurs twice.
    #[error("key file has two lines {0}")]
    Twice(&'static str),
    /// A line that has to be there and is not.
    #[error("key file has no line {0}")]
    Missing(&'static str),
    /// A key that does not read.
    #[error("key file line {name}: {error}")]
    Key {
        /// The line's name.
        name: &'static str,
        /// What is wrong with its value.
        error: AuthorityKeyError,
    },
    /// A certificate that is not 74 bytes in hexadecimal digits.
    #[error("key file line certificate is not 148 hexadecimal digits")]
    Certificate,
    /// Public and secret key of the authority do not belong together.
    #[error("key file lines authority-public and authority-secret are not of one key")]
    AuthorityMismatch,
    /// The certificate was signed by another authority or for another static key.
    #[error("key file line certificate was not signed by this authority for this static key")]
    CertificateMismatch,
}

/// The certificate has to be renewed where the authority's secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the authority's secret key is not in the key file; sign a new certificate where it is kept"
)]
pub struct AuthorityElsewhere;

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("authority", &self.authority())
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// New keys from secret random bytes, with a certificate made at the unix time `now`.
    ///
    /// `aux` are 32 further random bytes for the signature. Errors when one of the secrets is no
    /// scalar in 1..n: draw again.
    pub fn create(
        authority_secret: [u8; 32],
        mut static_secret: [u8; 32],
        aux: &[u8; 32],
        now: u32,
    ) -> Result<Self, InvalidSecret> {
        let kept = Box::new(Zeroizing::new(static_secret));
        static_secret.zeroize();
        let authority = AuthoritySecretKey::from_bytes(authority_secret)?;
        let certificate = certify(&authority, &kept, aux, now)?;
        Ok(Self {
            authority: Authority::Here(authority),
            static_secret: kept,
            certificate,
        })
    }

    /// Reads a key file's text and checks that its parts belong together.
    ///
    /// An expired certificate reads well: [`KeyRing::needs_renewal`] tells.
    pub fn from_text(text: &str) -> Result<Self, KeyRingError> {
        Lines::read(text)?.assemble()
    }

    /// The text of the key file. It holds secrets.
    pub fn to_text(&self) -> Zeroizing<String> {
        let static_secret = Zeroizing::new(base58::encode_check(&**self.static_secret));
        let mut text = Zeroizing::new(String::with_capacity(512));
        let mut line = |name: &str, value: &str| {
            writeln!(text, "{name} {value}").expect("writing to a string cannot fail");
        };
        line("headframe-keys", FORMAT);
        line("authority-public", &self.authority().to_string());
        if let Authority::Here(secret) = &self.authority {
            line("authority-secret", &secret.to_text());
        }
        line("static-secret", &static_secret);
        line(
            "certificate",
            &self.certificate.to_bytes().to_lower_hex_string(),
        );
        text
    }

    /// The key that miners are configured with.
    pub fn authority(&self) -> AuthorityPublicKey {
        match &self.authority {
            Authority::Here(secret) => secret.public(),
            Authority::Elsewhere(public) => *public,
        }
    }

    /// The certificate, for example to show when it ends.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// What handshakes are answered with.
    pub fn identity(&self) -> StaticIdentity {
        let key = NoiseKey::with_fixed_encoding(**self.static_secret)
            .expect("a key ring is made of valid secrets");
        StaticIdentity::new(key, self.certificate)
    }

    /// Whether the certificate is to be renewed at the unix time `now`: less than
    /// [`CERTIFICATE_RENEWAL`] is left, or the clock stands before its window.
    pub fn needs_renewal(&self, now: u32) -> bool {
        let left = self.certificate.not_valid_after().saturating_sub(now);
        left < CERTIFICATE_RENEWAL || now < self.certificate.valid_from()
    }

    /// Signs a new certificate for the same static key; `aux` are 32 random bytes.
    ///
    /// Errors when the authority's secret is kept elsewhere.
    pub fn renew(&mut self, aux: &[u8; 32], now: u32) -> Result<(), AuthorityElsewhere> {
        let Authority::Here(authority) = &self.authority else {
            return Err(AuthorityElsewhere);
        };
        self.certificate = certify(authority, &self.static_secret, aux, now)
            .expect("a key ring is made of valid secrets");
        Ok(())
    }

    /// A ring with the same authority and a new static key and certificate (R-31).
    ///
    /// `None` when the authority's secret is kept elsewhere. Errors like [`KeyRing::create`].
    pub fn rotate(
        &self,
        static_secret: [u8; 32],
        aux: &[u8; 32],
        now: u32,
    ) -> Result<Option<Self>, InvalidSecret> {
        match &self.authority {
            Authority::Here(authority) => {
                Self::create(*authority.secret_bytes(), static_secret, aux, now).map(Some)
            }
            Authority::Elsewhere(_) => Ok(None),
        }
    }
}

fn certify(
    authority: &AuthoritySecretKey,
    static_secret: &[u8; 32],
    aux: &[u8; 32],
    now: u32,
) -> Result<Certificate, InvalidSecret> {
    let key = NoiseKey::with_fixed_encoding(*static_secret)?;
    Ok(Certificate::sign(
        authority,
        &key.public(),
        now.saturating_sub(CERTIFICATE_BACKDATE),
        now.saturating_add(CERTIFICATE_LIFETIME),
        aux,
    ))
}

const AUTHORITY_PUBLIC: &str = "authority-public";
const AUTHORITY_SECRET: &str = "authority-secret";
const STATIC_SECRET: &str = "static-secret";
const CERTIFICATE: &str = "certificate";

/// The values of a key file's lines, not yet read.
#[derive(Default)]
struct Lines<'a> {
    authority_public: Option<&'a str>,
    authority_secret: Option<&'a str>,
    static_secret: Option<&'a str>,
    certificate: Option<&'a str>,
}

impl<'a> Lines<'a> {
    fn read(text: &'a str) -> Result<Self, KeyRingError> {
        let mut lines = (1..)
            .zip(text.lines().map(str::trim))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        match lines.next().and_then(|(_, first)| first.split_once(' ')) {
            Some(("headframe-keys", FORMAT)) => {}
            _ => return Err(KeyRingError::Format),
        }
        let mut values = Self::default();
        for (number, line) in lines {
            let (name, value) = line.split_once(' ').ok_or(KeyRingError::Line(number))?;
            let (name, slot) = values.slot(name).ok_or(KeyRingError::Line(number))?;
            if slot.replace(value.trim()).is_some() {
                return Err(KeyRingError::Twice(name));
            }
        }
        Ok(values)
    }

    fn slot(&mut self, name: &str) -> Option<(&'static str, &mut Option<&'a str>)> {
        Some(match name {
            AUTHORITY_PUBLIC => (AUTHORITY_PUBLIC, &mut self.authority_public),
            AUTHORITY_SECRET => (AUTHORITY_SECRET, &mut self.authority_secret),
            STATIC_SECRET => (STATIC_SECRET, &mut self.static_secret),
            CERTIFICATE => (CERTIFICATE, &mut self.certificate),
            _ => return None,
        })
    }

    fn assemble(self) -> Result<KeyRing, KeyRingError> {
        let authority = self.authority()?;
        let text = self
            .static_secret
            .ok_or(KeyRingError::Missing(STATIC_SECRET))?;
        // The two kinds of secret key have one text form.
        let secret = AuthoritySecretKey::from_text(text).map_err(in_line(STATIC_SECRET))?;
        let ring = KeyRing {
            authority,
            static_secret: Box::new(secret.secret_bytes()),
            certificate: self.certificate()?,
        };
        ring.certificate
            .verify_signature(&ring.authority(), &ring.identity().public())
            .map_err(|_| KeyRingError::CertificateMismatch)?;
        Ok(ring)
    }

    fn authority(&self) -> Result<Authority, KeyRingError> {
        let text = self
            .authority_public
            .ok_or(KeyRingError::Missing(AUTHORITY_PUBLIC))?;
        let public: AuthorityPublicKey = text.parse().map_err(in_line(AUTHORITY_PUBLIC))?;
        let Some(text) = self.authority_secret else {
            return Ok(Authority::Elsewhere(public));
        };
        let secret = AuthoritySecretKey::from_text(text).map_err(in_line(AUTHORITY_SECRET))?;
        match secret.public() == public {
            true => Ok(Authority::Here(secret)),
            false => Err(KeyRingError::AuthorityMismatch),
        }
    }

    fn certificate(&self) -> Result<Certificate, KeyRingError> {
        let text = self.certificate.ok_or(KeyRingError::Missing(CERTIFICATE))?;
        <[u8; CERTIFICATE_LEN]>::from_hex(text)
            .map(|bytes| Certificate::from_bytes(&bytes))
            .map_err(|_| KeyRingError::Certificate)
    }
}

fn in_line(name: &'static str) -> impl Fn(AuthorityKeyError) -> KeyRingError {
    move |error| KeyRingError::Key { name, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 1_750_000_000;

    fn ring() -> KeyRing {
        KeyRing::create([1; 32], [2; 32], &[3; 32], NOW).unwrap()
    }

    fn without(name: &str) -> String {
        let text = ring().to_text();
        let lines = text.lines().filter(|line| !line.starts_with(name));
        lines.map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn a_written_ring_reads_back_the_same() {
        let text = ring().to_text();
        let read = KeyRing::from_text(&text).unwrap();
        assert_eq!(read.to_text(), text);
        assert_eq!(read.identity().encoding(), ring().identity().encoding());
        let spaced = format!("# keep this\n\n{}", text.replace('\n', "\r\n\n"));
        assert_eq!(KeyRing::from_text(&spaced).unwrap().to_text(), text);
    }

    #[test]
    fn its_certificate_is_what_a_client_accepts() {
        let ring = ring();
        let server = ring.identity().public();
        let verify = |now| ring.certificate().verify(&ring.authority(), &server, now);
        assert_eq!(verify(NOW), Ok(()));
        assert_eq!(verify(NOW - CERTIFICATE_BACKDATE), Ok(()));
        assert!(verify(NOW + CERTIFICATE_LIFETIME + 61).is_err());
    }

    #[test]
    fn renewal_is_due_before_the_end_and_when_the_clock_went_back() {
        let mut ring = ring();
        let due = NOW + CERTIFICATE_LIFETIME - CERTIFICATE_RENEWAL;
        assert!(!ring.needs_renewal(NOW));
        assert!(!ring.needs_renewal(due));
        assert!(ring.needs_renewal(due + 1));
        assert!(ring.needs_renewal(NOW - CERTIFICATE_BACKDATE - 1));
        let server = ring.identity().public();
        ring.renew(&[4; 32], due + 1).unwrap();
        assert!(!ring.needs_renewal(due + 1));
        assert_eq!(ring.identity().public(), server);
    }

    #[test]
    fn rotation_keeps_the_authority_and_changes_the_static_key() {
        let old = ring();
        let new = old.rotate([9; 32], &[4; 32], NOW).unwrap().unwrap();
        assert_eq!(new.authority(), old.authority());
        assert_ne!(new.identity().public(), old.identity().public());
    }

    #[test]
    fn without_the_authority_secret_it_serves_but_does_not_renew() {
        let mut ring = KeyRing::from_text(&without(AUTHORITY_SECRET)).unwrap();
        assert_eq!(ring.renew(&[4; 32], NOW), Err(AuthorityElsewhere));
        assert!(ring.rotate([9; 32], &[4; 32], NOW).unwrap().is_none());
        assert!(!ring.to_text().contains(AUTHORITY_SECRET));
    }

    #[test]
    fn each_fault_of_a_key_file_is_named() {
        use KeyRingError as E;
        let text = ring().to_text();
        let other = KeyRing::create([5; 32], [6; 32], &[3; 32], NOW).unwrap();
        let other_public = other.authority().to_string();
        let own_public = ring().authority().to_string();
        let broken = |from: &str, to: &str| text.replace(from, to);
        let cases = [
            (String::new(), E::Format),
            (broken("keys 1", "keys 2"), E::Format),
            (format!("{}nonsense\n", *text), E::Line(6)),
            (format!("{}color red\n", *text), E::Line(6)),
            (format!("{}certificate 00\n", *text), E::Twice(CERTIFICATE)),
            (without(AUTHORITY_PUBLIC), E::Missing(AUTHORITY_PUBLIC)),
            (without(STATIC_SECRET), E::Missing(STATIC_SECRET)),
            (without(CERTIFICATE), E::Missing(CERTIFICATE)),
            (broken("certificate ", "certificate 00"), E::Certificate),
            (broken("certificate 0", "certificate x"), E::Certificate),
            (
                broken("certificate 00", "certificate 01"),
                E::CertificateMismatch,
            ),
            (broken(&own_public, &other_public), E::AuthorityMismatch),
            (
                broken(&own_public, "9"),
                E::Key {
                    name: AUTHORITY_PUBLIC,
                    error: AuthorityKeyError::Checksum,
                },
            ),
        ];
        for (text, error) in cases {
            assert_eq!(KeyRing::from_text(&text).unwrap_err(), error);
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let shown = format!("{:?}", ring());
        assert!(!shown.contains("2, 2, 2, 2"), "{shown}");
    }
}
