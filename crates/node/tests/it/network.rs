//! Asking a node for its network: what it says, which cookie it takes, and why it cannot be asked.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headframe_node::rpc::{
    RpcAddress, RpcAuth, RpcSettings, ask_network, ask_network_with_cookies, cookie_paths,
};
use headframe_node::{ErrorKind, Fault, NodeError};
use headframe_work::Network;
use serde_json::json;

use crate::support::fake_node::{FakeNode, Reply, healthy};

const GOOD: &str = "__cookie__:good";

fn node_of(network: Network) -> FakeNode {
    FakeNode::start(move |call| Reply::Result(healthy(call, network).unwrap()))
}

async fn ask(node: &FakeNode) -> Result<Network, NodeError> {
    let RpcSettings { address, auth, .. } = node.settings(Network::Mainnet);
    ask_network(&address, &auth).await
}

#[tokio::test]
async fn a_node_says_which_network_it_is_on() {
    for network in Network::ALL {
        assert_eq!(ask(&node_of(network)).await, Ok(network));
    }
}

/// The third test network, and what may come.
#[tokio::test]
async fn a_chain_that_nobody_mines_on_here_is_refused_by_name() {
    for chain in ["test", "testnet5"] {
        let node = FakeNode::start(move |_| Reply::Result(json!({ "chain": chain })));
        let error = ask(&node).await.unwrap_err();
        let found = chain.to_owned();
        assert_eq!(error, NodeError::UnknownChain { found });
        assert!(error.to_string().contains(chain), "{error}");
        assert!(error.advice().contains("testnet4"), "{}", error.advice());
        assert_eq!(error.fault(), Fault::Operator);
        assert_eq!(error.kind(), ErrorKind::Persistent);
    }
}

#[tokio::test]
async fn a_node_that_is_starting_says_so() {
    let node = FakeNode::start(|_| Reply::Error(-28, "Loading block index…"));
    let error = NodeError::WarmingUp("Loading block index…".to_owned());
    assert_eq!(ask(&node).await, Err(error));
}

/// A home directory with a cookie of each of some networks.
struct Home(tempfile::TempDir);

impl Home {
    fn with_cookies(cookies: &[(Network, &str)]) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for (network, cookie) in cookies {
            let path = home.cookie(*network);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, cookie).unwrap();
        }
        home
    }

    fn cookie(&self, network: Network) -> PathBuf {
        cookie_paths(network, Some(self.0.path()))[0].clone()
    }

    async fn ask(&self, address: &RpcAddress) -> Result<(Network, RpcAuth), NodeError> {
        ask_network_with_cookies(address, Some(self.0.path())).await
    }
}

/// A node of regtest that takes one cookie only.
fn strict_node() -> FakeNode {
    let expected = format!("Basic {}", STANDARD.encode(GOOD));
    FakeNode::start(move |call| match call.authorization == expected {
        true => Reply::Result(healthy(call, Network::Regtest).unwrap()),
        false => Reply::Http(401, String::new()),
    })
}

#[tokio::test]
async fn the_cookies_of_all_networks_are_tried() {
    let node = strict_node();
    let address = node.settings(Network::Mainnet).address;
    // The first was left behind by a node that was killed, the second is no cookie.
    let home = Home::with_cookies(&[
        (Network::Mainnet, "__cookie__:stale"),
        (Network::Testnet4, ""),
        (Network::Regtest, GOOD),
    ]);
    let taken = RpcAuth::Cookie(vec![home.cookie(Network::Regtest)]);
    assert_eq!(home.ask(&address).await, Ok((Network::Regtest, taken)));
}

#[tokio::test]
async fn where_no_cookie_is_taken_the_error_says_what_was_tried() {
    let node = strict_node();
    let address = node.settings(Network::Mainnet).address;
    let home = Home::with_cookies(&[(Network::Signet, "__cookie__:stale")]);
    let error = home.ask(&address).await.unwrap_err().to_string();
    let tried = home.cookie(Network::Signet).display().to_string();
    assert!(
        error.contains("refused") && error.contains(&tried),
        "{error}"
    );

    let nobody = Home::with_cookies(&[]);
    match nobody.ask(&address).await.unwrap_err() {
        NodeError::NoCookie { looked } => {
            for network in Network::ALL {
                assert!(looked.contains(&nobody.cookie(network)), "{looked:?}");
            }
        }
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_is_not_asked_with_every_cookie() {
    let node = FakeNode::start(|_| Reply::Close);
    let address = node.settings(Network::Mainnet).address;
    let home = Home::with_cookies(&[(Network::Mainnet, GOOD), (Network::Regtest, GOOD)]);
    let error = home.ask(&address).await.unwrap_err();
    assert!(matches!(error, NodeError::Broken { .. }), "{error}");
    assert_eq!(node.calls().len(), 1);
}
