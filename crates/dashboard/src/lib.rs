//! The pool's face over HTTP: one live page, the same as JSON, and metrics.
//!
//! [`serve`] is given a listening socket and a [`Feed`] of [`Overview`](headframe_api::Overview)s,
//! and answers:
//!
//! | path | what |
//! | --- | --- |
//! | `/` | the page; its files are in the binary under `/assets/` |
//! | `/api/v1/` | the list of what follows |
//! | `/api/v1/snapshot`, `summary`, `miners`, `blocks`, `node`, `history` | JSON of [`headframe_api`] |
//! | `/api/v1/events` | the same as server-sent events, for the page |
//! | `/metrics` | OpenMetrics |
//! | `/healthz` | whether the process answers, for orchestrators |
//!
//! What it is not: it sees nothing of the pool but the feed, and it takes no commands. There is no
//! log-in yet: worker names and addresses are visible to whoever can open the page, so the listener
//! belongs on a loopback address unless the operator decides otherwise.
//!
//! It cannot hurt the pool: the number of connections and event streams is bounded, a request has a
//! size and a deadline, a reader that stops reading is dropped, and what is sent is made once per
//! snapshot, not once per visitor. Run it on a runtime of its own (`new_current_thread`), and it
//! never takes more than one core from mining either.

mod assets;
mod events;
mod feed;
mod guard;
mod json;
mod metrics;
mod query;
mod serve;
mod site;
mod write_deadline;

pub use feed::{Feed, RollCall};
pub use serve::{ServeError, serve};
pub use site::Settings;
