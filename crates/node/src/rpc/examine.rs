//! What a node says of itself, for a person who wants to know whether a pool can mine on it.
//!
//! Not on any path of the pool: `headframe check` asks once. Nothing is changed at the node; the block that it
//! is given to see whether it takes any is no block.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headframe_work::{Network, Template};
use serde::Deserialize;
use serde_json::json;

use super::RpcSettings;
use super::chain_info::{ChainInfo, NetworkInfo};
use super::client::{RpcClient, unintelligible};
use super::template;
use crate::NodeError;

/// Bitcoin Core's `RPC_DESERIALIZATION_ERROR`: what it says to bytes that are no block.
const UNDECODABLE: i64 = -22;

/// What a node says of itself.
#[derive(Debug)]
pub struct Examination {
    /// What it calls itself: `/Satoshi:31.0.0/`. `None` where the pool's user may not ask.
    pub software: Option<String>,
    /// Its connections to other nodes.
    pub peers: Option<u32>,
    /// The height of its best block.
    pub height: u32,
    /// The height of the best header that it knows.
    pub headers: u32,
    /// Its clock less this computer's.
    pub clock: Option<ClockOffset>,
    /// Its template, if it gives one.
    pub template: Result<TemplateFacts, NodeError>,
    /// Whether the pool's user may give it blocks.
    pub takes_blocks: Result<(), NodeError>,
    /// Where it publishes by ZeroMQ. One that was built without does not know the question.
    pub published: Result<Vec<Publication>, NodeError>,
}

/// A node's clock as seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// By how many milliseconds the node's clock is ahead of this computer's.
    pub ahead_ms: i64,
    /// The most by which that may be wrong, in milliseconds: half the time of question and answer, which the
    /// node's answer may have been old or young.
    pub within_ms: i64,
}

/// A template, and what is seen of it from outside.
#[derive(Debug)]
pub struct TemplateFacts {
    /// The template.
    pub template: Template,
    /// From the question to the whole answer.
    pub took: Duration,
    /// The weight that the node leaves for header and coinbase (`blockreservedweight`), where it says so.
    pub reserved_weight: Option<u64>,
    /// What blocks can signal for by the node's word, by name, with the version bits (BIP9).
    pub deployments: BTreeMap<String, u8>,
}

/// Something that a node publishes by ZeroMQ.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Publication {
    /// The topic with `pub` before it: `pubhashblock`.
    #[serde(rename = "type")]
    pub topic: String,
    /// Where: `tcp://127.0.0.1:28332`.
    pub address: String,
}

#[derive(Deserialize)]
struct NetTotals {
    timemillis: i64,
}

#[derive(Deserialize)]
struct MiningInfo {
    currentblockweight: Option<u64>,
}

/// Asks a node what there is to know of it.
///
/// # Errors
///
/// The node cannot be asked, or is on another chain than the settings say.
pub async fn examine(settings: &RpcSettings) -> Result<Examination, NodeError> {
    let mut asker = Asker {
        client: settings.client(),
        limit: Some(settings.request_limit),
        network: settings.network,
    };
    let chain: ChainInfo = asker.ask("getblockchaininfo").await?;
    chain.check_network(settings.network)?;
    let network: Option<NetworkInfo> = asker.ask("getnetworkinfo").await.ok();
    let (software, peers) = network.map(|it| (it.subversion, it.connections)).unzip();
    Ok(Examination {
        software,
        peers,
        height: chain.blocks,
        headers: chain.headers,
        clock: asker.clock().await,
        template: match chain.check_synced() {
            Err(error) => Err(error),
            Ok(()) => asker.template().await,
        },
        takes_blocks: asker.takes_blocks().await,
        published: asker.ask("getzmqnotifications").await,
    })
}

struct Asker {
    client: RpcClient,
    limit: Option<Duration>,
    network: Network,
}

impl Asker {
    async fn ask<T: serde::de::DeserializeOwned>(
        &mut self,
        method: &'static str,
    ) -> Result<T, NodeError> {
        self.client.call(method, [(); 0], self.limit).await
    }

    /// The node's own reading, which no other call gives in milliseconds.
    async fn clock(&mut self) -> Option<ClockOffset> {
        let before = unix_millis()?;
        let node: NetTotals = self.ask("getnettotals").await.ok()?;
        let after = unix_millis()?;
        let within = after.checked_sub(before)?.max(0) / 2;
        Some(ClockOffset {
            ahead_ms: node.timemillis.checked_sub(before.checked_add(within)?)?,
            within_ms: within,
        })
    }

    async fn template(&mut self) -> Result<TemplateFacts, NodeError> {
        let params = json!({ "rules": template::rules(self.network) });
        let asked = Instant::now();
        let answer = self
            .client
            .call_unread(template::METHOD, [params], self.limit)
            .await?;
        let took = asked.elapsed();
        let network = self.network;
        let read = tokio::task::spawn_blocking(move || {
            let fetched = template::read(&answer, network, None)?;
            Ok((fetched.template, template::deployments(&answer)))
        });
        let unread = |error| Err(unintelligible(template::METHOD, error));
        let (template, deployments) = read.await.unwrap_or_else(unread)?;
        Ok(TemplateFacts {
            reserved_weight: self.reserved_weight(&template).await,
            template,
            took,
            deployments,
        })
    }

    /// What the last template weighs by the node's account, less its transactions.
    async fn reserved_weight(&mut self, template: &Template) -> Option<u64> {
        let info: MiningInfo = self.ask("getmininginfo").await.ok()?;
        let transactions = template.transactions.iter();
        let weight: u64 = transactions.map(|it| u64::from(it.weight)).sum();
        info.currentblockweight?.checked_sub(weight)
    }

    async fn takes_blocks(&mut self) -> Result<(), NodeError> {
        let answer: Result<Option<String>, _> =
            self.client.call("submitblock", ["00"], self.limit).await;
        match answer {
            Ok(_)
            | Err(NodeError::Rpc {
                code: UNDECODABLE, ..
            }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn unix_millis() -> Option<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    since.as_millis().try_into().ok()
}
