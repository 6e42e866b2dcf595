//! Stratum V1 in TLS: what a pool answers handshakes with, and how a miner knows the pool.
//!
//! The protocol itself is `rustls` (TLS 1.2 and 1.3). Here are the few decisions that are ours: the one
//! crypto library, certificates that are known by their fingerprint, and who trusts whom. When a
//! certificate is read anew, and where it lies, is the server's part.

mod fingerprint;
mod identity;
mod self_signed;
mod socket;
mod trust;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

pub use self::fingerprint::{Fingerprint, FingerprintError};
pub use self::identity::{TlsIdentity, TlsIdentityError};
pub use self::self_signed::{SelfSigned, SelfSignedError, self_signed};
pub use self::socket::LineSocket;
pub(crate) use self::socket::Rewound;
pub use self::trust::TlsTrust;
pub(crate) use self::trust::{client_config, is_mistrusted};

/// The crypto library that Noise uses too.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
