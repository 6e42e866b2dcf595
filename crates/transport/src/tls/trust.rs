//! How a miner knows a pool that speaks TLS: by the fingerprint of its certificate, or not at all.
//!
//! There is no list of authorities here: a miner's operator has the fingerprint from the pool's dashboard,
//! as he has the authority key of Stratum V2.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
};

use super::fingerprint::Fingerprint;
use super::provider;

/// Whom a miner takes for its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsTrust {
    /// Who has the key of the certificate with this fingerprint, whatever name or time it is for.
    Pinned(Fingerprint),
    /// Whoever answers.
    Anyone,
}

/// The settings of a TLS client that trusts so.
pub(crate) fn client_config(trust: TlsTrust) -> Result<ClientConfig, Error> {
    let provider = provider();
    let verifier = Arc::new(Verifier {
        trust,
        provider: Arc::clone(&provider),
    });
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// What is said of a certificate with another fingerprint, and of nothing else.
const MISTRUSTED: Error =
    Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);

/// Whether a handshake failed because the certificate is not the one that is trusted.
pub(crate) fn is_mistrusted(error: &Error) -> bool {
    *error == MISTRUSTED
}

#[derive(Debug)]
struct Verifier {
    trust: TlsTrust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.trust {
            TlsTrust::Pinned(pinned) if Fingerprint::of(certificate) != pinned => Err(MISTRUSTED),
            TlsTrust::Pinned(_) | TlsTrust::Anyone => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
