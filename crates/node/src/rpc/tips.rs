//! New tips as soon as the node has them, and nothing else: for who measures, not for a pool, whose
//! templates bring their tips (`poll.rs`).

use std::time::Duration;

use bitcoin::BlockHash;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{RpcClient, unintelligible};
use super::{RpcAddress, RpcAuth};
use crate::NodeError;

/// How long the node holds a call when no block comes.
const HELD: Duration = Duration::from_secs(20);
/// The longest wait for an answer besides.
const LIMIT: Duration = Duration::from_secs(10);

/// The tips of one node, over a connection of its own.
pub struct TipWatch {
    client: RpcClient,
    known: Option<BlockHash>,
    /// Whether the node takes the tip that is known (Bitcoin Core since 30). One that does not may
    /// pass over a block that comes between two calls until the next one.
    takes_known: bool,
}

#[derive(Deserialize)]
struct Block {
    hash: String,
}

impl TipWatch {
    /// Asks the node at `address`.
    pub fn new(address: RpcAddress, auth: RpcAuth) -> Self {
        Self {
            client: RpcClient::new(address, auth),
            known: None,
            takes_known: true,
        }
    }

    /// Waits for a tip other than the last that was told; the first is the present one, told at once.
    ///
    /// # Errors
    ///
    /// The node cannot be asked now. It may be asked again.
    pub async fn next(&mut self) -> Result<BlockHash, NodeError> {
        loop {
            let hash = match self.known {
                None => self.present().await?,
                Some(known) => self.after(known).await?,
            };
            if self.known != Some(hash) {
                self.known = Some(hash);
                return Ok(hash);
            }
        }
    }

    async fn present(&mut self) -> Result<BlockHash, NodeError> {
        const METHOD: &str = "getbestblockhash";
        let hash: String = self.client.call(METHOD, [(); 0], Some(LIMIT)).await?;
        hash_of(METHOD, &hash)
    }

    async fn after(&mut self, known: BlockHash) -> Result<BlockHash, NodeError> {
        const METHOD: &str = "waitfornewblock";
        let held = u64::try_from(HELD.as_millis()).unwrap_or(u64::MAX);
        let params: Vec<Value> = match self.takes_known {
            true => vec![json!(held), json!(known.to_string())],
            false => vec![json!(held)],
        };
        let limit = Some(HELD + LIMIT);
        let block: Result<Block, _> = self.client.call(METHOD, params, limit).await;
        match block {
            Ok(block) => hash_of(METHOD, &block.hash),
            Err(NodeError::Rpc { .. }) if self.takes_known => {
                self.takes_known = false;
                self.present().await
            }
            Err(error) => Err(error),
        }
    }
}

fn hash_of(method: &'static str, text: &str) -> Result<BlockHash, NodeError> {
    text.parse().map_err(|error| unintelligible(method, error))
}
