//! What a pool answers TLS handshakes with.

use core::fmt;
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, InconsistentKeys, ServerConfig};
use x509_cert::der::Decode as _;

use super::fingerprint::Fingerprint;
use super::provider;

/// A certificate, those that vouch for it, and its key. Clones share them.
#[derive(Clone)]
pub struct TlsIdentity {
    config: Arc<ServerConfig>,
    fingerprint: Fingerprint,
    ends: u64,
}

/// Why a certificate or a key cannot be used. The operator's to put right.
#[derive(Debug, Error)]
pub enum TlsIdentityError {
    /// There is no certificate in the file.
    #[error(
        "there is no certificate in it; a file in PEM with -----BEGIN CERTIFICATE----- is needed"
    )]
    NoCertificate,
    /// There is no key in the file.
    #[error(
        "there is no private key in it; a file in PEM with -----BEGIN PRIVATE KEY----- and without a passphrase is needed"
    )]
    NoKey,
    /// The file is damaged.
    #[error("it is no PEM file: {0}")]
    Pem(pem::Error),
    /// What stands there is no certificate.
    #[error("its first certificate cannot be read: {0}")]
    Certificate(x509_cert::der::Error),
    /// The key is of another certificate.
    #[error("the key is not that of the certificate")]
    OtherKey,
    /// TLS has no use for them.
    #[error("TLS cannot use them: {0}")]
    Unusable(rustls::Error),
}

impl TlsIdentity {
    /// Reads a certificate, followed by those that vouch for it if there are any, and its key, both in PEM.
    ///
    /// # Errors
    ///
    /// One of them cannot be used, or they do not belong together. Whether the certificate is valid at
    /// this time is not asked: see [`Self::ends`].
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsIdentityError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
        let chain = chain.map_err(TlsIdentityError::Pem)?;
        let first = chain.first().ok_or(TlsIdentityError::NoCertificate)?;
        let read = x509_cert::Certificate::from_der(first);
        let read = read.map_err(TlsIdentityError::Certificate)?;
        let ends = read.tbs_certificate.validity.not_after;
        let fingerprint = Fingerprint::of(first);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsIdentityError::NoKey,
            error => TlsIdentityError::Pem(error),
        })?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        Ok(Self {
            config: Arc::new(config.map_err(unusable)?),
            fingerprint,
            ends: ends.to_unix_duration().as_secs(),
        })
    }

    /// What miners know the certificate by.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The certificate's last second, in Unix time.
    pub const fn ends(&self) -> u64 {
        self.ends
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config).into()
    }
}

fn unusable(error: rustls::Error) -> TlsIdentityError {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsIdentityError::OtherKey
        }
        error => TlsIdentityError::Unusable(error),
    }
}

/// Without the key.
impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity")
            .field("fingerprint", &format_args!("{}", self.fingerprint))
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::self_signed;
    use super::*;

    const BEGINS: u32 = 1_700_000_000;
    const ENDS: u32 = 1_800_000_000;

    fn made() -> (String, String) {
        let made = self_signed(&["pool.example".to_owned()], BEGINS, ENDS).unwrap();
        (made.certificate, made.key.to_string())
    }

    #[test]
    fn a_certificate_of_our_own_is_read_with_its_end() {
        let (certificate, key) = made();
        let identity = TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(identity.ends(), u64::from(ENDS));
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        assert_eq!(identity.fingerprint(), Fingerprint::of(&der));
        assert!(!format!("{identity:?}").contains("key"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        use TlsIdentityError as E;
        let ((certificate, key), (_, other)) = (made(), made());
        let damaged = certificate.replacen("MII", "MIJ", 1);
        let cut = &certificate[..certificate.len() - 30];
        let read = |certificate: &str, key: &str| {
            TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap_err()
        };
        assert!(matches!(read("", &key), E::NoCertificate));
        assert!(matches!(read(&key, &key), E::NoCertificate));
        assert!(matches!(read(&certificate, ""), E::NoKey));
        assert!(matches!(read(&certificate, &certificate), E::NoKey));
        assert!(matches!(read(&certificate, &other), E::OtherKey));
        assert!(matches!(read(cut, &key), E::Pem(_)));
        if damaged != certificate {
            assert!(matches!(read(&damaged, &key), E::Certificate(_)));
        }
    }
}
