//! How a pool reaches a node. A scenario that holds for each way is written once, and run for each.

use std::path::PathBuf;

use crate::program;

/// How a pool, or a Template Provider, reaches a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By JSON-RPC.
    Rpc,
    /// By the mining interface, and nothing else.
    Ipc,
    /// By the mining interface, with JSON-RPC for what that does not tell.
    IpcWithRpc,
}

impl Way {
    /// The Bitcoin Core that serves it; says that a test is skipped where there is none.
    pub(crate) fn program(self) -> Option<PathBuf> {
        match self {
            Self::Rpc => program::bitcoind(),
            Self::Ipc | Self::IpcWithRpc => program::bitcoin_node(),
        }
    }

    /// Whether the node's socket is used.
    pub(crate) fn has_socket(self) -> bool {
        self != Self::Rpc
    }

    /// Whether the node's RPC is used.
    pub(crate) fn has_rpc(self) -> bool {
        self != Self::Ipc
    }
}
