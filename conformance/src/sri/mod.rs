//! A client made of the reference implementation's crates: their handshake and codec, their parsers,
//! their channels. Nothing here is ours but the wires between them, so that a mistake of the
//! pool's is not repeated by the one who looks for it.

mod channel;
mod client;
mod link;
mod template;

pub use client::{Client, Found, Judged, Kind, Opened, REQUIRES_STANDARD_JOBS, Share};
pub use link::Link;
pub use template::TemplateClient;
