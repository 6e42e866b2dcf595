//! What Bitcoin Core says of its chain and of itself, by whichever way it is asked, and whether it can be mined on by
//! that.

use headframe_work::Network;
use serde::Deserialize;

use super::template::check_challenge;
use crate::NodeError;

/// What `getblockchaininfo` says.
#[derive(Deserialize)]
pub(crate) struct ChainInfo {
    chain: String,
    pub(crate) blocks: u32,
    pub(crate) headers: u32,
    pub(crate) bestblockhash: String,
    #[serde(default)]
    initialblockdownload: bool,
    pub(crate) verificationprogress: Option<f64>,
    signet_challenge: Option<String>,
}

/// What `getnetworkinfo` says.
#[derive(Deserialize)]
pub(crate) struct NetworkInfo {
    pub(crate) subversion: String,
    pub(crate) connections: u32,
}

impl ChainInfo {
    /// Refuses a node on another network, and a signet that nobody but its owner can mine.
    pub(crate) fn check_network(&self, expected: Network) -> Result<(), NodeError> {
        if self.chain != expected.core_name() {
            let found = self.chain.clone();
            return Err(NodeError::WrongNetwork { expected, found });
        }
        match (expected, &self.signet_challenge) {
            (Network::Signet, Some(challenge)) => check_challenge(challenge),
            _ => Ok(()),
        }
    }

    /// Refuses a node that is behind its network.
    pub(crate) fn check_synced(&self) -> Result<(), NodeError> {
        // A chain whose only miner we are says that it is syncing until its first new block.
        match self.initialblockdownload && self.blocks < self.headers {
            true => Err(NodeError::Syncing(format!(
                "block {} of {}",
                self.blocks, self.headers
            ))),
            false => Ok(()),
        }
    }
}
