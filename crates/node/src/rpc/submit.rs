//! `submitblock` on a connection of its own, so that a block never waits behind a template.
//!
//! The calls block. Inside is a runtime for this thread only: the same client as everywhere else,
//! shared with nobody.

use std::io;
use std::time::Duration;

use bitcoin::BlockHash;
use headframe_work::BlockHex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use super::RpcSettings;
use super::client::RpcClient;
use crate::{BlockFate, BlockSink, NodeError, SubmitAnswer};

/// Bitcoin Core's `RPC_DESERIALIZATION_ERROR`: what it was given is no block, and never will be. All its other errors
/// say that it failed, and nothing of the block (ADR 11).
const NO_BLOCK: i64 = -22;
/// Bitcoin Core's `RPC_INVALID_ADDRESS_OR_KEY`: here, no such block.
const NO_SUCH_BLOCK: i64 = -5;

/// The longest wait for the answer that keeps the connection open: a block may be waiting for it.
const STAND_BY_LIMIT: Duration = Duration::from_secs(2);

/// Why there is a runtime.
const RUNTIME: &str = "the runtime is there until the drop";

/// Takes blocks to one node.
pub struct RpcSink {
    /// Absent only while dropping.
    runtime: Option<Runtime>,
    client: RpcClient,
    settings: RpcSettings,
}

#[derive(Deserialize)]
struct HeaderInfo {
    confirmations: i64,
}

impl RpcSink {
    /// A sink that connects at its first call; [`BlockSink::stand_by`] is a good one.
    ///
    /// # Errors
    ///
    /// The operating system gives no event queue.
    pub fn new(settings: &RpcSettings) -> io::Result<Self> {
        Ok(Self {
            runtime: Some(Builder::new_current_thread().enable_all().build()?),
            client: settings.client(),
            settings: settings.clone(),
        })
    }

    fn call<T: DeserializeOwned>(
        &mut self,
        method: &'static str,
        params: impl Serialize,
        limit: Duration,
    ) -> Result<T, NodeError> {
        let runtime = self.runtime.as_ref().expect(RUNTIME);
        runtime.block_on(self.client.call(method, params, Some(limit)))
    }
}

impl BlockSink for RpcSink {
    fn submit(&mut self, block: &BlockHex) -> SubmitAnswer {
        let runtime = self.runtime.as_ref().expect(RUNTIME);
        let limit = self.settings.submit_limit;
        let call = self.client.call_with_block("submitblock", block, limit);
        let result: Result<Option<String>, NodeError> = runtime.block_on(call);
        match result {
            Ok(result) => SubmitAnswer::from_result(result.as_deref()),
            Err(NodeError::Rpc {
                code: NO_BLOCK,
                message,
                ..
            }) => SubmitAnswer::Refused(message),
            Err(error) => SubmitAnswer::Retry(error.to_string()),
        }
    }

    fn fate(&mut self, hash: BlockHash) -> Result<BlockFate, NodeError> {
        match self.call::<HeaderInfo>("getblockheader", [hash.to_string()], STAND_BY_LIMIT) {
            Ok(HeaderInfo { confirmations }) => Ok(match u32::try_from(confirmations) {
                Ok(confirmations @ 1..) => BlockFate::InChain { confirmations },
                Ok(0) | Err(_) => BlockFate::SideBranch,
            }),
            Err(NodeError::Rpc {
                code: NO_SUCH_BLOCK,
                ..
            }) => Ok(BlockFate::Unknown),
            Err(error) => Err(error),
        }
    }

    fn another_way(&self) -> Option<Box<dyn BlockSink>> {
        let another = Self::new(&self.settings).ok()?;
        Some(Box::new(another))
    }

    fn stand_by(&mut self) -> Result<(), NodeError> {
        // The cheapest call: it takes none of the node's locks.
        self.call::<u64>("uptime", [(); 0], STAND_BY_LIMIT)
            .map(drop)
    }
}

impl Drop for RpcSink {
    fn drop(&mut self) {
        // A runtime that is dropped in asynchronous code would panic; this does not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
