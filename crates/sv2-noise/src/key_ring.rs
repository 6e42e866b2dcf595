//! The keys that a pool keeps: authority, static key and certificate, and their text form.
//!
//! Reads and writes text, never a file: the caller keeps the file readable by its owner alone
//! (mode 0600), since whoever has the authority's secret is the pool to every miner.
//!
//! The text ([`crate::KeyText::Keys`]):
//!
//! ```text
//! headframe-keys 1
//! authority-public 9c73…   base58check, what miners are configured with
//! authority-secret 7WZn…   base58check; absent when the authority is kept elsewhere
//! static-secret 2ZGx…      base58check of 32 bytes
//! certificate 0000f153…    74 bytes as hexadecimal digits
//! ```

use core::fmt;

use bitcoin::hex::DisplayHex;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::authority::{AuthorityPublicKey, AuthoritySecretKey};
use crate::certificate::Certificate;
use crate::identity::StaticIdentity;
use crate::key_text::{
    AUTHORITY_PUBLIC, AUTHORITY_SECRET, CERTIFICATE, KeyFileText, KeyText, KeyTextError, Lines,
};
use crate::noise_key::InvalidSecret;
use crate::request::{CertificateRequest, OtherAuthority, SignedCertificate};
use crate::static_secret::StaticSecret;

/// Seconds between the start of a certificate's window and its signing, for clients whose clocks
/// run late (NX-22).
pub const CERTIFICATE_BACKDATE: u32 = 60 * 60;

/// Seconds for which a certificate is made. Renewal is automatic, so a stolen static key serves an
/// impostor for weeks, not years.
pub const CERTIFICATE_LIFETIME: u32 = 30 * 24 * 60 * 60;

/// A certificate is renewed when fewer than this many seconds are left: a pool that is switched on
/// once a week never shows an expired one. One that was made for less than thrice as long is renewed
/// when a third of its time is left.
pub const CERTIFICATE_RENEWAL: u32 = 10 * 24 * 60 * 60;

/// A pool's keys: who signs, who answers, and the certificate that joins them.
///
/// Always whole: the certificate is the authority's and belongs to the static key.
pub struct KeyRing {
    authority: Authority,
    static_secret: StaticSecret,
    certificate: Certificate,
}

enum Authority {
    /// The secret is here, so certificates are renewed by the pool.
    Here(AuthoritySecretKey),
    /// The secret is kept elsewhere, and certificates come from there.
    Elsewhere(AuthorityPublicKey),
}

/// The certificate has to be renewed where the authority's secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the authority's secret key is not in the key file; sign a new certificate where it is kept"
)]
pub struct AuthorityElsewhere;

/// Why a certificate that came from elsewhere is not taken. The operator's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InstallError {
    /// Miners know the pool by another authority.
    #[error("the certificate is signed by another authority: {0}")]
    OtherAuthority(Box<OtherAuthority>),
    /// The pool has no such static key.
    #[error("the certificate is for another static key than the pool's")]
    OtherStaticKey,
    /// It is over, or has not begun.
    #[error(
        "the certificate is valid from unix time {valid_from} to {not_valid_after}, and it is {now} here"
    )]
    Window {
        /// Its first second.
        valid_from: u32,
        /// Its last second.
        not_valid_after: u32,
        /// The time it was checked at.
        now: u32,
    },
}

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
        static_secret: [u8; 32],
        aux: &[u8; 32],
        now: u32,
    ) -> Result<Self, InvalidSecret> {
        let static_secret = StaticSecret::from_bytes(static_secret)?;
        let authority = AuthoritySecretKey::from_bytes(authority_secret)?;
        let certificate = certify(&authority, &static_secret, aux, now);
        Ok(Self {
            authority: Authority::Here(authority),
            static_secret,
            certificate,
        })
    }

    /// Reads a key file's text and checks that its parts belong together.
    ///
    /// An expired certificate reads well: [`KeyRing::needs_renewal`] tells.
    pub fn from_text(text: &str) -> Result<Self, KeyTextError> {
        let lines = Lines::read(text, &[KeyText::Keys])?;
        let authority = match lines.authority_secret()? {
            Some(secret) => Authority::Here(secret),
            None => Authority::Elsewhere(lines.authority_public()?),
        };
        let ring = Self {
            authority,
            static_secret: StaticSecret::of_lines(&lines)?,
            certificate: lines.certificate()?,
        };
        ring.certificate
            .verify_untimed(&ring.authority(), &ring.static_key())
            .map_err(|_| KeyTextError::CertificateMismatch)?;
        Ok(ring)
    }

    /// The text of the key file. It holds secrets.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = KeyFileText::of(KeyText::Keys);
        text.line(AUTHORITY_PUBLIC, self.authority());
        if let Authority::Here(secret) = &self.authority {
            text.line(AUTHORITY_SECRET, &*secret.to_text());
        }
        self.static_secret.write_to(&mut text);
        text.line(CERTIFICATE, self.certificate.to_bytes().as_hex());
        text.finish()
    }

    /// The key that miners are configured with.
    pub fn authority(&self) -> AuthorityPublicKey {
        match &self.authority {
            Authority::Here(secret) => secret.public(),
            Authority::Elsewhere(public) => *public,
        }
    }

    /// Whether the authority's secret is here, so that certificates can be made.
    pub const fn can_sign(&self) -> bool {
        matches!(self.authority, Authority::Here(_))
    }

    /// The static public key's x coordinate, 32 bytes, big endian.
    pub fn static_key(&self) -> [u8; 32] {
        self.static_secret.public()
    }

    /// The certificate, for example to show when it ends.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// What handshakes are answered with.
    pub fn identity(&self) -> StaticIdentity {
        StaticIdentity::new(self.static_secret.key(), self.certificate)
    }

    /// Whether the certificate is to be renewed at the unix time `now`: less than
    /// [`CERTIFICATE_RENEWAL`], or a third of its time, is left, or the clock stands before its window.
    pub fn needs_renewal(&self, now: u32) -> bool {
        now > self.renewal_at() || now < self.certificate.valid_from()
    }

    /// The last unix time at which the certificate is not to be renewed for its age.
    pub fn renewal_at(&self) -> u32 {
        let end = self.certificate.not_valid_after();
        let window = end.saturating_sub(self.certificate.valid_from());
        end.saturating_sub(CERTIFICATE_RENEWAL.min(window / 3))
    }

    /// Signs a new certificate for the same static key; `aux` are 32 random bytes.
    ///
    /// Errors when the authority's secret is kept elsewhere.
    pub fn renew(&mut self, aux: &[u8; 32], now: u32) -> Result<(), AuthorityElsewhere> {
        let Authority::Here(authority) = &self.authority else {
            return Err(AuthorityElsewhere);
        };
        self.certificate = certify(authority, &self.static_secret, aux, now);
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

    /// What the authority is asked to sign, so that this ring goes on.
    pub fn request(&self) -> CertificateRequest {
        CertificateRequest {
            authority: Some(self.authority()),
            static_key: self.static_key(),
        }
    }

    /// The ring that a certificate from elsewhere makes, at the unix time `now`, of what the pool has:
    /// its `present` ring, and a static key that is `waiting` for its certificate. It may be for either
    /// key. The authority is the present one; a pool without one takes the certificate's.
    pub fn install(
        present: Option<&Self>,
        waiting: Option<&StaticSecret>,
        signed: &SignedCertificate,
        now: u32,
    ) -> Result<Self, InstallError> {
        let found = signed.authority();
        let authority = match present.map(|present| &present.authority) {
            None => Authority::Elsewhere(found),
            Some(Authority::Elsewhere(known)) => Authority::Elsewhere(*known),
            Some(Authority::Here(secret)) => Authority::Here(secret.duplicate()),
        };
        let expected = present.map_or(found, Self::authority);
        if expected != found {
            let other = OtherAuthority { found, expected };
            return Err(InstallError::OtherAuthority(Box::new(other)));
        }
        let present = present.map(|present| &present.static_secret);
        let mut keys = [waiting, present].into_iter().flatten();
        let static_secret = keys.find(|key| key.public() == *signed.static_key());
        let static_secret = static_secret.ok_or(InstallError::OtherStaticKey)?.clone();
        let certificate = *signed.certificate();
        certificate
            .verify_window(now)
            .map_err(|_| InstallError::Window {
                valid_from: certificate.valid_from(),
                not_valid_after: certificate.not_valid_after(),
                now,
            })?;
        Ok(Self {
            authority,
            static_secret,
            certificate,
        })
    }

    /// Takes the authority's secret out of the ring, which goes on without it; `None` when it is kept
    /// elsewhere already.
    pub fn take_authority(&mut self) -> Option<AuthoritySecretKey> {
        let public = Authority::Elsewhere(self.authority());
        match core::mem::replace(&mut self.authority, public) {
            Authority::Here(secret) => Some(secret),
            Authority::Elsewhere(_) => None,
        }
    }
}

fn certify(
    authority: &AuthoritySecretKey,
    static_secret: &StaticSecret,
    aux: &[u8; 32],
    now: u32,
) -> Certificate {
    Certificate::sign(
        authority,
        &static_secret.public(),
        now.saturating_sub(CERTIFICATE_BACKDATE),
        now.saturating_add(CERTIFICATE_LIFETIME),
        aux,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AuthorityKeyError;
    use crate::key_text::STATIC_SECRET;

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
    fn a_third_of_a_short_certificate_is_time_to_renew_it() {
        const DAY: u32 = 24 * 60 * 60;
        let own = ring();
        let Authority::Here(authority) = &own.authority else {
            panic!("it was just made");
        };
        let signed = own.request().sign(authority, 6 * DAY, NOW, &[0; 32]);
        let ring = KeyRing::install(Some(&own), None, &signed.unwrap(), NOW).unwrap();
        assert!(!ring.needs_renewal(NOW + 3 * DAY));
        assert!(ring.needs_renewal(NOW + 4 * DAY));
    }

    /// An authority of its own, and what it signs for a static key.
    fn sign(authority: u8, request: CertificateRequest) -> SignedCertificate {
        let authority = AuthoritySecretKey::from_bytes([authority; 32]).unwrap();
        let request = CertificateRequest {
            authority: None,
            ..request
        };
        request.sign(&authority, 86_400, NOW, &[0; 32]).unwrap()
    }

    #[test]
    fn a_certificate_from_elsewhere_renews_the_key_that_is_there_or_brings_the_one_that_waits() {
        let (own, waiting) = (ring(), StaticSecret::from_bytes([8; 32]).unwrap());
        let renewal = sign(1, own.request());
        let renewed = KeyRing::install(Some(&own), Some(&waiting), &renewal, NOW).unwrap();
        assert_eq!(renewed.certificate(), renewal.certificate());
        assert_eq!(renewed.static_key(), own.static_key());
        assert!(renewed.can_sign(), "the authority's secret stays");
        let request = CertificateRequest {
            authority: None,
            static_key: waiting.public(),
        };
        let rotated = KeyRing::install(Some(&own), Some(&waiting), &sign(1, request), NOW);
        assert_eq!(rotated.unwrap().static_key(), waiting.public());
        let first = KeyRing::install(None, Some(&waiting), &sign(4, request), NOW).unwrap();
        assert_eq!(first.authority(), sign(4, request).authority());
        assert!(!first.can_sign());
        let read = KeyRing::from_text(&first.to_text()).unwrap();
        assert_eq!(read.identity().encoding(), first.identity().encoding());
    }

    #[test]
    fn a_certificate_that_does_not_fit_is_refused_with_the_reason() {
        let (own, waiting) = (ring(), StaticSecret::from_bytes([8; 32]).unwrap());
        let install =
            |signed: &_, now| KeyRing::install(Some(&own), Some(&waiting), signed, now).err();
        let other = sign(4, own.request());
        let expected = InstallError::OtherAuthority(Box::new(OtherAuthority {
            found: other.authority(),
            expected: own.authority(),
        }));
        assert_eq!(install(&other, NOW), Some(expected));
        let stranger = CertificateRequest {
            authority: None,
            static_key: [6; 32],
        };
        let refused = install(&sign(1, stranger), NOW);
        assert_eq!(refused, Some(InstallError::OtherStaticKey));
        let good = sign(1, own.request());
        assert_eq!(install(&good, NOW), None);
        for now in [NOW - CERTIFICATE_BACKDATE - 61, NOW + 86_461] {
            assert!(matches!(
                install(&good, now),
                Some(InstallError::Window { .. })
            ));
        }
    }

    #[test]
    fn the_authority_can_be_taken_out_once_and_signs_elsewhere() {
        let mut ring = ring();
        let public = ring.authority();
        let secret = ring.take_authority().unwrap();
        assert_eq!(secret.public(), public);
        assert_eq!((ring.authority(), ring.can_sign()), (public, false));
        assert!(ring.take_authority().is_none());
        let signed = ring.request().sign(&secret, 86_400, NOW, &[0; 32]).unwrap();
        let renewed = KeyRing::install(Some(&ring), None, &signed, NOW).unwrap();
        assert!(!renewed.can_sign());
    }

    #[test]
    fn each_fault_of_a_key_file_is_named() {
        use KeyTextError as E;
        let text = ring().to_text();
        let other = KeyRing::create([5; 32], [6; 32], &[3; 32], NOW).unwrap();
        let other_public = other.authority().to_string();
        let own_public = ring().authority().to_string();
        let broken = |from: &str, to: &str| text.replace(from, to);
        let kind = |found| E::Kind {
            expected: KeyText::Keys,
            found,
        };
        let cases = [
            (String::new(), kind(None)),
            (broken("keys 1", "keys 2"), kind(None)),
            (
                broken("keys 1", "authority 1"),
                kind(Some(KeyText::Authority)),
            ),
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
