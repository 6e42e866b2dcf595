//! What the mining interface does not tell, by the node's RPC: over the same socket where the node offers it
//! (Bitcoin Core 32), else where it is configured.

use std::rc::Rc;
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin_capnp_types::rpc_capnp::rpc;
use headframe_work::UnixTime;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::connection::unintelligible;
use super::session::Session;
use crate::rpc::{ChainInfo, HttpClient, NetworkInfo, RpcSettings, read_reply};
use crate::{BlockFate, NodeError};

/// The longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(30);
/// Bitcoin Core's `RPC_INVALID_ADDRESS_OR_KEY`: here, no such block.
const NO_SUCH_BLOCK: i64 = -5;
/// Who asks, as the node's `rpcwhitelist` may name it.
const USER: &str = "headframe";

/// Whom to ask.
pub(super) enum Companion {
    /// The node over its socket.
    Socket(rpc::Client),
    /// The node over HTTP.
    Http(Box<Mutex<HttpClient>>),
    /// Nobody.
    Nobody,
}

#[derive(Deserialize)]
pub(super) struct HeaderInfo {
    pub(super) time: u32,
    confirmations: i64,
    previousblockhash: Option<String>,
}

impl HeaderInfo {
    /// The block that it builds on; nothing of the first.
    pub(super) fn parent(&self) -> Option<BlockHash> {
        self.previousblockhash.as_deref()?.parse().ok()
    }
}

impl Companion {
    /// Takes what there is. A node that lets nobody ask over its socket is asked over HTTP.
    pub(super) async fn new(
        session: &Rc<Session>,
        socket: Option<rpc::Client>,
        http: Option<&RpcSettings>,
    ) -> Self {
        if let Some(socket) = socket.map(Self::Socket) {
            match socket.chain(session).await {
                Ok(Some(_)) | Err(NodeError::WarmingUp(_)) => return socket,
                Ok(None) | Err(_) => {}
            }
        }
        http.map_or(Self::Nobody, |settings| {
            let client = HttpClient::new(settings.address.clone(), settings.auth.clone());
            Self::Http(Box::new(Mutex::new(client)))
        })
    }

    pub(super) async fn chain(&self, session: &Session) -> Result<Option<ChainInfo>, NodeError> {
        self.ask(session, "getblockchaininfo", json!([])).await
    }

    pub(super) async fn network(
        &self,
        session: &Session,
    ) -> Result<Option<NetworkInfo>, NodeError> {
        self.ask(session, "getnetworkinfo", json!([])).await
    }

    /// The time of a block's header.
    pub(super) async fn time_of(
        &self,
        session: &Session,
        hash: BlockHash,
    ) -> Result<Option<UnixTime>, NodeError> {
        let header = self.header(session, hash).await?;
        Ok(header.map(|header| UnixTime::from_secs(header.time)))
    }

    /// Where a block stands.
    pub(super) async fn fate(
        &self,
        session: &Session,
        hash: BlockHash,
    ) -> Result<Option<BlockFate>, NodeError> {
        match self.header(session, hash).await {
            Ok(header) => Ok(
                header.map(|header| match u32::try_from(header.confirmations) {
                    Ok(confirmations @ 1..) => BlockFate::InChain { confirmations },
                    Ok(0) | Err(_) => BlockFate::SideBranch,
                }),
            ),
            Err(NodeError::Rpc {
                code: NO_SUCH_BLOCK,
                ..
            }) => Ok(Some(BlockFate::Unknown)),
            Err(error) => Err(error),
        }
    }

    /// A block's header.
    pub(super) async fn header(
        &self,
        session: &Session,
        hash: BlockHash,
    ) -> Result<Option<HeaderInfo>, NodeError> {
        self.ask(session, "getblockheader", json!([hash.to_string()]))
            .await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        session: &Session,
        method: &'static str,
        params: Value,
    ) -> Result<Option<T>, NodeError> {
        match self {
            Self::Socket(client) => execute(session, client, method, &params).await.map(Some),
            Self::Http(client) => {
                let mut client = client.lock().await;
                client.call(method, params, Some(LIMIT)).await.map(Some)
            }
            Self::Nobody => Ok(None),
        }
    }
}

async fn execute<T: DeserializeOwned>(
    session: &Session,
    client: &rpc::Client,
    method: &'static str,
    params: &Value,
) -> Result<T, NodeError> {
    let call = json!({ "jsonrpc": "2.0", "id": 0, "method": method, "params": params });
    let mut request = client.execute_rpc_request();
    let mut parameters = request.get();
    parameters.set_request(call.to_string().as_str());
    parameters.set_uri("/");
    parameters.set_user(USER);
    let mut context = parameters.init_context();
    context.set_thread(session.question_thread());
    let sent = request.send();
    let answer = session
        .connection()
        .answer(method, Some(LIMIT), sent)
        .await?;
    let results = answer
        .get()
        .map_err(|error| unintelligible(method, error))?;
    let reply = results
        .get_result()
        .map_err(|error| unintelligible(method, error))?;
    read_reply(method, reply.as_bytes())
}
