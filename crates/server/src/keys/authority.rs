//! An authority whose secret is kept away from the pool, in a file of its own.

use std::path::Path;
use std::time::Duration;

use headframe_sv2_noise::{
    AuthorityPublicKey, AuthoritySecretKey, CertificateRequest, SignedCertificate,
};

use super::{KeyError, file};
use crate::clock::wall_clock;
use crate::random::random_bytes;

/// An authority that signs what pools request.
#[derive(Debug)]
pub struct Authority(AuthoritySecretKey);

impl Authority {
    /// Makes an authority, and the file with its secret.
    ///
    /// # Errors
    ///
    /// When there is such a file already, or it cannot be written.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let secret = loop {
            // One draw in 2^127 is no key; then the next one is.
            if let Ok(secret) = AuthoritySecretKey::from_bytes(random_bytes()) {
                break secret;
            }
        };
        file::create(path, &secret.to_key_file())?;
        Ok(Self(secret))
    }

    /// Reads an authority's file, or a pool's key file that has the authority's secret.
    ///
    /// # Errors
    ///
    /// When it cannot be read, holds something else, or can be read by others.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let text = file::need(path)?;
        let secret = AuthoritySecretKey::from_key_file(&text).map_err(KeyError::text(path))?;
        file::check_private(path)?;
        Ok(Self(secret))
    }

    /// The key that miners are configured with.
    pub fn public(&self) -> AuthorityPublicKey {
        self.0.public()
    }

    /// Signs the certificate that the file asks for, valid from an hour ago for `lifetime` from now.
    ///
    /// # Errors
    ///
    /// When the file is no request, or one for another authority.
    pub fn sign(&self, request: &Path, lifetime: Duration) -> Result<SignedCertificate, KeyError> {
        let text = file::need(request)?;
        let asked = CertificateRequest::from_text(&text).map_err(KeyError::text(request))?;
        let lifetime = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        let now = wall_clock().as_secs();
        asked
            .sign(&self.0, lifetime, now, &random_bytes())
            .map_err(KeyError::AskedOther)
    }
}
