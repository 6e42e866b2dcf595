//! Stratum V1 as typed lines: JSON in, types out, and back. Both ends.
//!
//! A server parses a [`Request`] and writes a [`Reply`] or a [`Notification`]; a client writes a
//! [`Request`] and parses a [`ServerLine`], which is one of the other two. Reading is tolerant,
//! because firmware is not: ids are numbers, strings or null and go back byte for byte, numbers may
//! come as strings, parameters may be missing, a line may begin with a byte order mark and end in
//! garbage, and a method that nobody knows survives as a value. Writing is strict: one line, `\n`
//! included, always with `id`, and with `result` and `error` in a reply.
//!
//! There is no session here, no difficulty policy and no line limit: what is in order, what is true
//! and how long a line may grow are decided by those who call. Nothing in a line can cause a panic,
//! and no allocation exceeds a small multiple of the line's length.
//!
//! Stratum V1 has no specification. The sources are the original `mining.*` description, BIP310
//! (`mining.configure`, version rolling), BIP40/41 (reserved numbers), ckpool's replies and codes,
//! and what deployed firmware sends.

mod configure;
mod difficulty;
mod envelope;
mod extranonce;
mod fault;
mod fuzz;
mod hex;
mod id;
mod json;
mod notification;
mod notify;
mod params;
mod refusal;
mod reply;
mod request;
mod second_opinion;
mod server_line;
mod submit;
mod subscribe;
mod value;

pub use configure::{Configure, Configured, Terms, VersionRolling, VersionRollingAnswer};
pub use difficulty::Difficulty;
pub use extranonce::{Extranonce, MAX_EXTRANONCE_LEN};
pub use fault::{Fault, LineError};
#[doc(hidden)]
pub use fuzz::{fuzz_notification, fuzz_request};
pub use id::{Id, MAX_ID_LEN};
pub use notification::{Notification, Reconnect};
pub use notify::{MAX_MERKLE_BRANCHES, Notify};
pub use refusal::{ErrorCode, Refusal};
pub use reply::{Answer, Reply};
pub use request::{Authorize, MAX_METHOD_LEN, MAX_PASSWORD_LEN, Method, Request};
#[doc(hidden)]
pub use second_opinion::fuzz_against_serde_json;
pub use server_line::ServerLine;
pub use submit::{MAX_JOB_ID_LEN, MAX_WORKER_NAME_LEN, Submit};
pub use subscribe::{MAX_SESSION_ID_LEN, MAX_USER_AGENT_LEN, Subscribe, Subscribed};
