//! A Template Provider's end of a connection (spec §7).
//!
//! ```text
//! frames ──> handle_frame ──> poll_event ──> Constraints: fit the node's template to them, and offer
//!            offer                       ──> Solved: give the block to the node
//!              └──────────────────────────── poll_transmit ──> frames
//! ```
//!
//! The driver fits the node's templates to [`ServerSession::constraints`] and offers them as they come; the
//! session decides what the client is told, keeps what it told, and makes blocks of solutions.

mod changes;
mod event;
mod kept;
mod pace;
mod session;
mod solution;

pub use changes::{CHANGE_INTERVAL, CHANGES_AT_ONCE};
pub use event::{ClientFault, ServerEvent};
pub use kept::{KEPT_FOR, KEPT_OF_LAST_TIP, KEPT_OF_TIP, MOST_OF_TIP};
pub use pace::{MESSAGES_AT_ONCE, MESSAGES_PER_SECOND};
pub use session::{
    CONSTRAINTS_WITHIN, FEE_INTERVAL, MATERIAL_FEES, MAX_REQUESTS, SETUP_WITHIN, ServerSession,
};
pub use solution::{SolutionFlaw, Solved};
