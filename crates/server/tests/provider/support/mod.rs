//! What the battery goes by: texts of the node's tests, and an arena in which a provider stands before the node.

pub(crate) mod arena;
#[allow(
    dead_code,
    unexpected_cfgs,
    reason = "the node's tests do more with it, and are built with the mining interface too"
)]
#[path = "../../../../node/tests/it/support/bitcoind.rs"]
pub(crate) mod bitcoind;
#[allow(dead_code, reason = "the node's tests do more with it")]
#[path = "../../../../node/tests/it/support/block.rs"]
pub(crate) mod block;
#[path = "../../../../node/tests/it/support/calls.rs"]
pub(crate) mod calls;
