//! The template distribution protocol (spec §7), both ends as values: from a node's templates to whoever
//! makes work of them, and from a solution back to a block.
//!
//! - [`server`]: what a Template Provider says to one client, and what it keeps to make blocks of solutions.
//! - [`client`]: what a pool or a declarator says to a Template Provider.
//! - [`FittedTemplate`]: a node's template cut to the room that a client's coinbase needs.
//!
//! Frames go in, frames and events come out, and time is an argument. Not here: sockets, Noise, a node,
//! and what a pool does with a template.

pub mod client;
mod constraints;
mod fitted;
mod frames;
#[doc(hidden)]
pub mod fuzz;
pub mod server;

pub use constraints::CoinbaseConstraints;
pub use fitted::{FitError, FittedTemplate};
/// A frame, as sessions take it.
pub use headframe_sv2_wire::{Frame, MAX_PAYLOAD_LEN};

/// The one version of the protocol there is.
const VERSION: u16 = 2;

/// The bits of a header's version that a miner may roll (BIP323); all others are the template's.
pub const ROLLED_VERSION_BITS: u32 = 0x1fff_ffe0;
