//! Bitcoin Core over JSON-RPC.
//!
//! Four connections to a node, so that nothing waits for anything else: long polls, refreshes,
//! questions, and blocks. The HTTP client is hyper's, driven by tokio in all four; the sink has a
//! runtime of its own on its own thread. Where the node publishes by ZeroMQ, a fifth connection hears of new
//! blocks before there is a template on them ([`zmq`](crate::zmq)).
//!
//! It is not a general RPC client: it makes the calls that a pool needs, and each may be made
//! twice without harm.

mod address;
mod ahead;
mod body;
mod chain_info;
mod client;
mod cookie;
mod examine;
mod inquiry;
mod network;
mod pace;
mod poll;
mod signals;
mod submit;
mod template;
mod tips;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headframe_work::Network;

#[cfg(feature = "ipc")]
pub(crate) use chain_info::{ChainInfo, NetworkInfo};
#[cfg(feature = "ipc")]
pub(crate) use client::{RpcClient as HttpClient, read_reply};

pub use address::{AddressError, RpcAddress};
pub use cookie::{Candidate, RpcAuth, cookie_paths, discover};
pub use examine::{ClockOffset, Examination, Publication, TemplateFacts, examine};
pub use network::{ask_network, ask_network_with_cookies};
pub use submit::RpcSink;
pub use tips::TipWatch;

use crate::Node;
use crate::zmq::ZmqAddress;
use client::RpcClient;
use inquiry::Inquiry;

/// How a node is reached and how often it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcSettings {
    /// The network that the node has to be on.
    pub network: Network,
    /// Where it listens.
    pub address: RpcAddress,
    /// How the pool identifies itself.
    pub auth: RpcAuth,
    /// Where it publishes new blocks; empty: it is not listened to.
    pub zmq: Vec<ZmqAddress>,
    /// The longest time between two templates.
    pub refresh: Duration,
    /// The longest wait for an answer that is not a long poll's, of a node that is not known to be slow: who
    /// takes 15 s for a template has a minute.
    pub request_limit: Duration,
    /// The longest wait for an answer to a block; then it is sent again.
    pub submit_limit: Duration,
}

impl RpcSettings {
    /// A node on this machine with everything as Bitcoin Core has it when told nothing: the
    /// network's RPC port, and the cookie file in the data directory below `home` or in that of
    /// the system service.
    pub fn local(network: Network, home: Option<&Path>) -> Self {
        Self {
            network,
            address: RpcAddress::local(network),
            auth: RpcAuth::Cookie(cookie_paths(network, home)),
            zmq: Vec::new(),
            refresh: Duration::from_secs(30),
            request_limit: Duration::from_secs(30),
            submit_limit: Duration::from_secs(30),
        }
    }

    fn client(&self) -> RpcClient {
        RpcClient::new(self.address.clone(), self.auth.clone())
    }
}

/// The node as a value of each port. It is asked from now on, by a task that ends when the
/// template source is dropped.
///
/// Must be called inside a tokio runtime with time and I/O enabled. A node that cannot be reached
/// is no error here: the source tells it, and goes on trying.
///
/// # Errors
///
/// The operating system gives no event queue for the sink.
pub fn connect(settings: RpcSettings) -> io::Result<Node> {
    let sink = RpcSink::new(&settings)?;
    let inquiry = Arc::new(Inquiry::new(&settings));
    let (templates, status) = poll::start(settings);
    Ok(Node {
        templates: Box::new(templates),
        sink: Box::new(sink),
        check: inquiry.clone(),
        transactions: inquiry,
        status,
    })
}
