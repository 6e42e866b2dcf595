//! What a server shows of itself in every handshake.

use zeroize::Zeroizing;

use crate::certificate::{CERTIFICATE_LEN, Certificate};
use crate::noise_key::NoiseKey;

/// A server's static key, its encoding and its certificate, made once and shared by all handshakes
/// behind an `Arc`. A renewed certificate is a new identity: whoever is connected keeps what he has.
#[derive(Debug)]
pub struct StaticIdentity {
    key: NoiseKey,
    certificate: Certificate,
    certificate_bytes: [u8; CERTIFICATE_LEN],
}

impl StaticIdentity {
    /// Joins a static key with the certificate that an authority signed for it.
    ///
    /// Nothing is verified: clients do that, and [`crate::KeyRing`] does it for key files.
    pub fn new(key: NoiseKey, certificate: Certificate) -> Self {
        let certificate_bytes = certificate.to_bytes();
        Self {
            key,
            certificate,
            certificate_bytes,
        }
    }

    /// The certificate, for example to show when it ends.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The static public key's x coordinate, 32 bytes, big endian.
    pub fn public(&self) -> [u8; 32] {
        self.key.public()
    }

    pub(crate) const fn certificate_bytes(&self) -> &[u8; CERTIFICATE_LEN] {
        &self.certificate_bytes
    }

    pub(crate) fn encoding(&self) -> [u8; 64] {
        self.key.encoding()
    }

    pub(crate) fn agree(&self, initiator: &[u8; 64]) -> Zeroizing<[u8; 32]> {
        self.key.agree_as_responder(initiator)
    }
}
