//! Where templates come from and where blocks go.
//!
//! Four ports ([`TemplateSource`], [`BlockSink`], [`BlockCheck`], [`TransactionSource`]) stand
//! between the pool and a Bitcoin node; [`Node`] is one of each. Four adapters fill them:
//! [`rpc`] speaks JSON-RPC with Bitcoin Core, `ipc` (with the feature of that name) its mining
//! interface over a Unix socket, [`tdp`] the template distribution protocol with a Template
//! Provider, [`embedded`] is a chain inside the process. [`several`] makes one node of several.
//!
//! This crate knows no miner, no channel and no share. It never alters a template, and what it
//! hands on has been checked: a block built from a [`Template`](headframe_work::Template) of this
//! crate is refused by the node for no reason that lies in the template.

mod answer;
pub mod embedded;
mod error;
#[cfg(feature = "ipc")]
pub mod ipc;
mod news;
mod port;
#[cfg(feature = "ipc")]
mod raw_transaction;
pub mod rpc;
pub mod several;
mod socket;
#[cfg(feature = "ipc")]
mod solution;
mod status;
pub mod tdp;
mod window;
pub mod zmq;

pub use answer::{BlockFate, CheckAnswer, SubmitAnswer};
pub use error::{ErrorKind, Fault, NodeError};
pub use port::{
    BlockCheck, BlockSink, BoxFuture, Cause, NewTip, Node, TemplateSource, TemplateUpdate,
    TransactionSource,
};
pub use status::{Condition, NodeStatus, Tip};
pub use window::HeaderWindow;
