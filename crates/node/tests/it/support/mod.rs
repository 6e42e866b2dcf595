//! What the tests of this crate share.

pub(crate) mod arena;
pub(crate) mod bitcoind;
pub(crate) mod block;
pub(crate) mod calls;
#[cfg(feature = "ipc")]
pub(crate) mod fake_ipc;
pub(crate) mod fake_node;
pub(crate) mod publisher;
