//! The miner's end of the mining protocol, as state machines: [`Sv2Session`] and [`Sv1Session`].
//!
//! Both have one shape. A driver that owns the socket and the clock
//!
//! 1. makes a session, which has its first messages ready,
//! 2. sends what [`poll_transmit`](Sv2Session::poll_transmit) gives, one message a call,
//! 3. hands in what arrives, and the time when [`poll_timeout`](Sv2Session::poll_timeout) is reached,
//! 4. drains [`poll_event`](Sv2Session::poll_event) after each input, and
//! 5. gives found solutions to [`submit`](Sv2Session::submit).
//!
//! [`MiningWork`] is all that hashing needs; a miner does not know which protocol brought it. A
//! session is one connection with one channel ([`Sv2Crowd`], for loads and tests, has many): after an error, a [`ClientEvent::Closed`] or a
//! [`ClientEvent::Reconnect`] it is dropped with its connection, and its work with it.
//!
//! Not here: hashing, sockets, encryption, and the decision to connect again ([`ReconnectGuard`]
//! only bounds how often a pool may demand it).
//!
//! Memory that a pool can make a session hold is bounded: [`MAX_JOBS`] jobs, as many future ones,
//! and [`MAX_OUTSTANDING`] sequence numbers.

mod error;
mod event;
mod jobs;
mod outstanding;
mod reconnect;
mod sv1;
mod sv2;
mod text;
mod work;

pub use error::{SessionError, SettingsError, SolutionError};
pub use event::{ClientEvent, CloseReason, Submission};
pub use jobs::MAX_JOBS;
pub use outstanding::MAX_OUTSTANDING;
pub use reconnect::{Reconnect, ReconnectGuard};
pub use sv1::{Sv1Session, Sv1Settings};
pub use sv2::{ChannelKind, CrowdEvent, MAX_WORKER_NAME_LEN, Sv2Crowd, Sv2Session, Sv2Settings};
pub use work::{CoinbaseParts, JobHandle, MiningWork, NtimeWindow, RootSource, Solution};

pub use headframe_sv1_wire::Extranonce;
pub use headframe_sv2_wire::Frame;

use core::time::Duration;

/// How long a pool may take to answer the messages that begin a session.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// How long a pool may take to answer a request for extensions. One that has none never does, and is
/// mined on without them (EX-30).
pub const EXTENSIONS_DEADLINE: Duration = Duration::from_secs(5);

/// How long a pool may say nothing at all once mining has begun. ESP-Miner waits as long; pools
/// send a job at least every minute.
pub const SILENCE_DEADLINE: Duration = Duration::from_secs(180);
