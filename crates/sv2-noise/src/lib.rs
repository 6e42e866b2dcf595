//! The Stratum V2 Noise handshake, certificates, authority keys and record layer: bytes in, bytes out.
//!
//! The suite is `Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256` and no other; nothing on the wire
//! negotiates it (sv2-spec chapter 4).
//!
//! ```text
//! client                                   server
//! Initiator::start ── act 1, 64 bytes ──▶  respond(&StaticIdentity, …)
//! Initiator::finish ◀── act 2, 234 bytes ──
//! RecordLayer { sealer, opener }           RecordLayer { sealer, opener }
//! ```
//!
//! This crate opens no socket, reads no clock and draws no random numbers for keys: unix seconds
//! and random bytes are arguments. It does not know what a frame means; of its header it reads the
//! length alone.

mod authority;
mod certificate;
mod cipher;
mod fuzz;
mod identity;
mod initiator;
mod key_ring;
mod key_text;
mod noise_key;
mod record;
mod request;
mod responder;
mod static_secret;
mod symmetric;

pub use authority::{AuthorityKeyError, AuthorityPublicKey, AuthoritySecretKey};
pub use certificate::{CERTIFICATE_LEN, CLOCK_TOLERANCE, Certificate, CertificateError};
#[doc(hidden)]
pub use fuzz::{fuzz_handshake, fuzz_record};
pub use identity::StaticIdentity;
pub use initiator::{Established, HandshakeError, Initiator, Trust};
pub use key_ring::{
    AuthorityElsewhere, CERTIFICATE_BACKDATE, CERTIFICATE_LIFETIME, CERTIFICATE_RENEWAL,
    InstallError, KeyRing,
};
pub use key_text::{KeyText, KeyTextError};
pub use noise_key::{InvalidSecret, NoiseKey};
pub use record::{
    MAX_CHUNK, OpenError, Opener, RecordLayer, SEALED_HEADER_LEN, SealError, Sealer, TAG_LEN,
    payload_len, sealed_frame_len, sealed_payload_len,
};
pub use request::{CertificateRequest, OtherAuthority, SignedCertificate};
pub use responder::respond;
pub use static_secret::StaticSecret;

/// Bytes of act 1: the client's ephemeral key as ElligatorSwift, unframed (NX-6).
pub const ACT1_LEN: usize = 64;

/// Bytes of act 2: the server's ephemeral key (64), its sealed static key (64 + 16) and its sealed
/// certificate (74 + 16), unframed. The specification's text once says 170; its own table adds up
/// to this (NX-8).
pub const ACT2_LEN: usize = 234;

/// The curve context that all operations share.
///
/// The library blinds its scalar multiplications with random bytes of its own; that changes
/// timing, never a result.
pub(crate) static CURVE: std::sync::LazyLock<
    bitcoin::secp256k1::Secp256k1<bitcoin::secp256k1::All>,
> = std::sync::LazyLock::new(bitcoin::secp256k1::Secp256k1::new);
