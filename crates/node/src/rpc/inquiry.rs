//! Questions apart from templates and blocks: proposals and mempool transactions, on a connection
//! of their own.

use std::time::Duration;

use bitcoin::Txid;
use bitcoin::hex::FromHex;
use serde_json::json;
use tokio::sync::Mutex;

use super::RpcSettings;
use super::client::{RpcClient, unintelligible};
use crate::{BlockCheck, BoxFuture, CheckAnswer, NodeError, TransactionSource};

/// Bitcoin Core's `RPC_DESERIALIZATION_ERROR`.
const UNDECODABLE: i64 = -22;
/// Bitcoin Core's `RPC_INVALID_ADDRESS_OR_KEY`: here, no such transaction.
const NO_SUCH_TRANSACTION: i64 = -5;
/// Transactions per request: the largest that nodes relay take 800 kB each as digits.
const BATCH: usize = 50;

/// Asks one node, one question at a time.
pub(super) struct Inquiry {
    client: Mutex<RpcClient>,
    limit: Duration,
}

impl Inquiry {
    pub(super) fn new(settings: &RpcSettings) -> Self {
        Self {
            client: Mutex::new(settings.client()),
            limit: settings.request_limit,
        }
    }

    async fn propose(&self, block_hex: &str) -> Result<CheckAnswer, NodeError> {
        let request = json!({ "mode": "proposal", "data": block_hex, "rules": ["segwit"] });
        let mut client = self.client.lock().await;
        let result: Result<Option<String>, _> = client
            .call("getblocktemplate", [request], Some(self.limit))
            .await;
        match result {
            Ok(result) => Ok(CheckAnswer::from_result(result.as_deref())),
            Err(NodeError::Rpc {
                code: UNDECODABLE,
                message,
                ..
            }) => Ok(CheckAnswer::Refused(message)),
            Err(error) => Err(error),
        }
    }

    async fn fetch(&self, txids: &[Txid]) -> Result<Vec<Option<Vec<u8>>>, NodeError> {
        const METHOD: &str = "getrawtransaction";
        let mut client = self.client.lock().await;
        let mut found = Vec::with_capacity(txids.len());
        for chunk in txids.chunks(BATCH) {
            let params = chunk.iter().map(|txid| [txid.to_string()]);
            let digits: Vec<Option<String>> = client
                .batch(METHOD, params, NO_SUCH_TRANSACTION, Some(self.limit))
                .await?;
            for digits in digits {
                let bytes = digits.map(|digits| Vec::from_hex(&digits)).transpose();
                found.push(bytes.map_err(|error| unintelligible(METHOD, error))?);
            }
        }
        Ok(found)
    }
}

impl BlockCheck for Inquiry {
    fn check<'a>(&'a self, block_hex: &'a str) -> BoxFuture<'a, Result<CheckAnswer, NodeError>> {
        Box::pin(self.propose(block_hex))
    }
}

impl TransactionSource for Inquiry {
    fn transactions<'a>(
        &'a self,
        txids: &'a [Txid],
    ) -> BoxFuture<'a, Result<Vec<Option<Vec<u8>>>, NodeError>> {
        Box::pin(self.fetch(txids))
    }
}
