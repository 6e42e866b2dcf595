//! A certificate that nobody vouches for: miners know it by its fingerprint.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use thiserror::Error;
use zeroize::Zeroizing;

/// What the certificate says whose it is.
const COMMON_NAME: &str = "headframe";
/// Characters of a line in PEM (RFC 7468 section 2).
const LINE: usize = 64;

/// A certificate and its key, both in PEM.
#[derive(Debug)]
pub struct SelfSigned {
    /// The certificate.
    pub certificate: String,
    /// Its key (PKCS #8), a secret.
    pub key: Zeroizing<String>,
}

/// A certificate could not be made. Ours, or the operator's who chose the names.
#[derive(Debug, Error)]
#[error("cannot make a certificate: {0}")]
pub struct SelfSignedError(#[from] rcgen::Error);

/// Makes a key (ECDSA on P-256, which every miner's TLS knows) and a certificate for the host names and IP
/// addresses in `names`, valid from `begins` to `ends`, in Unix time.
///
/// # Errors
///
/// A name is not ASCII, or the operating system has no random bytes.
pub fn self_signed(
    names: &[String],
    begins: u32,
    ends: u32,
) -> Result<SelfSigned, SelfSignedError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, COMMON_NAME);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |seconds: u32| epoch + core::time::Duration::from_secs(seconds.into());
    (params.not_before, params.not_after) = (at(begins), at(ends));
    let certificate = params.self_signed(&key)?;
    let secret = Zeroizing::new(key.serialize_der());
    Ok(SelfSigned {
        certificate: pem("CERTIFICATE", certificate.der()),
        key: Zeroizing::new(pem("PRIVATE KEY", &secret)),
    })
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(BASE64_STANDARD.encode(der));
    let mut pem = String::with_capacity(text.len() + text.len() / LINE + 100);
    pem.push_str("-----BEGIN ");
    pem.push_str(label);
    pem.push_str("-----\n");
    for (place, character) in text.char_indices() {
        if place > 0 && place % LINE == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END ");
    pem.push_str(label);
    pem.push_str("-----\n");
    pem
}
