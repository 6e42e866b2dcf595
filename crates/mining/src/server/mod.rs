//! The pool's end of the mining protocol.
//!
//! A [`Hub`] turns templates into [`PoolWork`] and hands out extranonce prefixes. Each connection
//! has a session of its own, [`Sv2Session`] or [`Sv1Session`], which takes messages, work, commits
//! and the passing of time, and gives messages and [`SessionEvent`]s. Sessions and hub share
//! nothing but immutable values.
//!
//! What calls a session in which order:
//!
//! * `wants_prefix` before each message: while it is true, lease one from the hub and `add_prefix`.
//! * `wants_session` after each message of Stratum V1: while it is something, ask the hub for that
//!   session and `handle_session`.
//! * `handle_*` for what happens: a message, new work, a ledger commit, time.
//! * `send_some` of Stratum V2 while `has_more`, with other connections in between.
//! * `poll_event` until it is empty, then `drain_output`. Blocks are events, so they leave before
//!   any reply does.
//! * `poll_timeout` for when `handle_timeout` is due.

mod desk;
mod event;
mod fuzz;
mod hub;
mod parking;
mod refresh;
mod rules;
mod seat;
mod sv1;
mod sv2;

pub use desk::REPLY_WITHIN;
pub use event::{Device, FoundBlock, Joined, LongCoinbase, Protocol, SessionEvent, ShareEvent};
pub use fuzz::{fuzz_sv1_session, fuzz_sv2_session};
pub use hub::{AnnouncedTip, Hub, NewTemplate, PoolWork};
pub use rules::{Guess, JobIds, Password, PoolRules, Sv2Rules};
pub use sv1::{ParkedSession, SessionId, Sv1Fault, Sv1Session};
pub use sv2::{NotClosed, Sv2Fault, Sv2Session};
