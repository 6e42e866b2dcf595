//! Which network a node is on, asked before anything else is known of it.
//!
//! Only for a pool that is not told its network. One that is told checks it with every refresh
//! (`poll.rs`).

use std::path::Path;
use std::time::Duration;

use headframe_work::Network;
use serde::Deserialize;

use super::client::RpcClient;
use super::{RpcAddress, RpcAuth, cookie_paths};
use crate::NodeError;

/// Nobody waits for a template yet: a node that takes longer is asked again.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct ChainInfo {
    chain: String,
}

/// Asks a node which network it is on. Answers within 10 s.
///
/// # Errors
///
/// The node cannot be asked now, or it is on a chain that nobody mines on here
/// ([`NodeError::UnknownChain`]).
pub async fn ask_network(address: &RpcAddress, auth: &RpcAuth) -> Result<Network, NodeError> {
    let mut client = RpcClient::new(address.clone(), auth.clone());
    let info: ChainInfo = client
        .call("getblockchaininfo", [(); 0], Some(LIMIT))
        .await?;
    let network = Network::from_core_name(&info.chain);
    network.ok_or(NodeError::UnknownChain { found: info.chain })
}

/// As [`ask_network`], of a node of which neither the network is known nor the cookie: tries the
/// cookies of all networks, since which one it is depends on the network. Also gives the one that
/// the node takes.
///
/// # Errors
///
/// As [`ask_network`]. A cookie that the node refuses or that cannot be read, one that was left
/// behind for example, is an error only if none is taken.
pub async fn ask_network_with_cookies(
    address: &RpcAddress,
    home: Option<&Path>,
) -> Result<(Network, RpcAuth), NodeError> {
    let looked: Vec<_> = Network::ALL
        .into_iter()
        .flat_map(|network| cookie_paths(network, home))
        .collect();
    let mut refused = None;
    for path in &looked {
        let auth = RpcAuth::Cookie(vec![path.clone()]);
        match ask_network(address, &auth).await {
            Ok(network) => return Ok((network, auth)),
            Err(NodeError::NoCookie { .. }) => {}
            Err(error @ (NodeError::Unauthorized { .. } | NodeError::UnreadableCookie { .. })) => {
                refused.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or(NodeError::NoCookie { looked }))
}
