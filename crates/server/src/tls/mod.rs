//! The certificates that Stratum V1 in TLS is answered with: read from the operator's files, or made once
//! and kept in the data directory; read again when they change.
//!
//! What TLS is, `headframe-transport` knows. Here are files, the clock and the words for an operator.

mod certificate;
mod error;
pub(crate) mod keeper;
mod place;

pub use certificate::{Certificate, CertificateId, Certificates};
pub use error::CertificateError;
pub use place::CertificatePlace;
