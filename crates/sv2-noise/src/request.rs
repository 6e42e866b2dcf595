//! A certificate made away from the pool: what the pool asks for, and what the authority answers.
//!
//! Both are texts without secrets ([`KeyText::Request`], [`KeyText::Certificate`]) that may be carried
//! or sent in any way: a certificate that was changed does not hold, and one for another static key is
//! of no use to the pool.

use core::fmt;

use bitcoin::hex::DisplayHex;
use thiserror::Error;

use crate::authority::{AuthorityPublicKey, AuthoritySecretKey};
use crate::certificate::Certificate;
use crate::key_ring::CERTIFICATE_BACKDATE;
use crate::key_text::{
    AUTHORITY_PUBLIC, CERTIFICATE, KeyFileText, KeyText, KeyTextError, Lines, STATIC_PUBLIC,
};

/// A static key that wants a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Whom the pool's miners are configured with; `None` for a pool that has no authority yet.
    pub authority: Option<AuthorityPublicKey>,
    /// The static public key's x coordinate, 32 bytes, big endian.
    pub static_key: [u8; 32],
}

/// A certificate with the two keys that it joins. Its signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCertificate {
    authority: AuthorityPublicKey,
    static_key: [u8; 32],
    certificate: Certificate,
}

/// Another authority than the one that belongs there. The operator's, who has the wrong file at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the authority is {found}, and {expected} belongs here")]
pub struct OtherAuthority {
    /// Which one it is.
    pub found: AuthorityPublicKey,
    /// Which one it should be.
    pub expected: AuthorityPublicKey,
}

impl CertificateRequest {
    /// Reads a request's text.
    pub fn from_text(text: &str) -> Result<Self, KeyTextError> {
        let lines = Lines::read(text, &[KeyText::Request])?;
        Ok(Self {
            authority: lines.known_authority()?,
            static_key: lines.static_public()?,
        })
    }

    /// Signs a certificate that is valid from the unix time `now`, less what the clocks of clients may
    /// run late, for `lifetime` seconds. `aux` are 32 fresh random bytes.
    ///
    /// # Errors
    ///
    /// When another authority is to sign.
    pub fn sign(
        &self,
        authority: &AuthoritySecretKey,
        lifetime: u32,
        now: u32,
        aux: &[u8; 32],
    ) -> Result<SignedCertificate, Box<OtherAuthority>> {
        let found = authority.public();
        if let Some(expected) = self.authority.filter(|asked| *asked != found) {
            return Err(Box::new(OtherAuthority { found, expected }));
        }
        let certificate = Certificate::sign(
            authority,
            &self.static_key,
            now.saturating_sub(CERTIFICATE_BACKDATE),
            now.saturating_add(lifetime),
            aux,
        );
        Ok(SignedCertificate {
            authority: found,
            static_key: self.static_key,
            certificate,
        })
    }
}

impl fmt::Display for CertificateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = KeyFileText::of(KeyText::Request);
        if let Some(authority) = self.authority {
            text.line(AUTHORITY_PUBLIC, authority);
        }
        text.line(STATIC_PUBLIC, self.static_key.as_hex());
        f.write_str(&text.finish())
    }
}

impl SignedCertificate {
    /// Reads a certificate's text and checks its signature. Its time is not looked at.
    pub fn from_text(text: &str) -> Result<Self, KeyTextError> {
        let lines = Lines::read(text, &[KeyText::Certificate])?;
        let read = Self {
            authority: lines.authority_public()?,
            static_key: lines.static_public()?,
            certificate: lines.certificate()?,
        };
        read.certificate
            .verify_untimed(&read.authority, &read.static_key)
            .map_err(|_| KeyTextError::CertificateMismatch)?;
        Ok(read)
    }

    /// Who signed it.
    pub const fn authority(&self) -> AuthorityPublicKey {
        self.authority
    }

    /// The static public key's x coordinate, 32 bytes, big endian.
    pub const fn static_key(&self) -> &[u8; 32] {
        &self.static_key
    }

    /// What servers show.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

impl fmt::Display for SignedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = KeyFileText::of(KeyText::Certificate);
        text.line(AUTHORITY_PUBLIC, self.authority);
        text.line(STATIC_PUBLIC, self.static_key.as_hex());
        text.line(CERTIFICATE, self.certificate.to_bytes().as_hex());
        f.write_str(&text.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 1_750_000_000;
    const DAY: u32 = 24 * 60 * 60;

    fn authority(secret: u8) -> AuthoritySecretKey {
        AuthoritySecretKey::from_bytes([secret; 32]).unwrap()
    }

    fn request(authority: Option<AuthorityPublicKey>) -> CertificateRequest {
        CertificateRequest {
            authority,
            static_key: [3; 32],
        }
    }

    #[test]
    fn request_and_certificate_read_back_the_same() {
        for asked in [None, Some(authority(1).public())] {
            let request = request(asked);
            let text = request.to_string();
            assert_eq!(CertificateRequest::from_text(&text), Ok(request));
            let signed = request.sign(&authority(1), DAY, NOW, &[0; 32]).unwrap();
            let text = signed.to_string();
            assert_eq!(SignedCertificate::from_text(&text), Ok(signed));
        }
    }

    #[test]
    fn a_certificate_holds_for_as_long_as_it_was_signed_for() {
        let signed = request(None).sign(&authority(1), DAY, NOW, &[0; 32]);
        let signed = signed.unwrap();
        let verify = |now| {
            let certificate = signed.certificate();
            certificate.verify(&authority(1).public(), &[3; 32], now)
        };
        assert_eq!(verify(NOW - CERTIFICATE_BACKDATE), Ok(()));
        assert_eq!(verify(NOW + DAY), Ok(()));
        assert!(verify(NOW + DAY + 61).is_err());
    }

    #[test]
    fn the_authority_that_was_not_asked_does_not_sign() {
        let request = request(Some(authority(1).public()));
        let error = request.sign(&authority(2), DAY, NOW, &[0; 32]).unwrap_err();
        assert_eq!(error.expected, authority(1).public());
        assert_eq!(error.found, authority(2).public());
    }

    #[test]
    fn each_fault_is_named() {
        use KeyTextError as E;
        let signed = request(None).sign(&authority(1), DAY, NOW, &[0; 32]);
        let text = signed.unwrap().to_string();
        let other = authority(2).public().to_string();
        let broken = |from: &str, to: &str| SignedCertificate::from_text(&text.replace(from, to));
        let key = authority(1).public().to_string();
        for read in [
            broken("certificate 0000", "certificate 0100"),
            broken(&key, &other),
            broken("static-public 03", "static-public 04"),
        ] {
            assert_eq!(read, Err(E::CertificateMismatch));
        }
        assert_eq!(
            broken("certificate 00", "certificate "),
            Err(E::Certificate)
        );
        let short = broken("static-public 03", "static-public ");
        assert_eq!(short, Err(E::StaticKey));
        assert_eq!(
            CertificateRequest::from_text(&text),
            Err(E::Kind {
                expected: KeyText::Request,
                found: Some(KeyText::Certificate)
            })
        );
        let nothing = SignedCertificate::from_text("hello").unwrap_err();
        assert_eq!(
            nothing.to_string(),
            "a certificate (`headframe-certificate 1`) belongs here, and this is no key file of headframe"
        );
    }
}
