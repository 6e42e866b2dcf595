//! Bitcoin Core's mining interface over its Unix socket (`bitcoin-node -ipcbind=unix`), by Cap'n Proto.
//!
//! The node pushes: a call that waits comes back with a template on a new tip, or with one whose fees have
//! risen. A block goes to it as header fields and coinbase, since it holds the rest.
//!
//! One thread with a runtime of its own owns the connection, since Cap'n Proto's futures stay on the
//! thread where they were made. The ports talk to it by a bounded queue. What Bitcoin Core 31 does not tell here
//! (the network's name, the header of a block) its RPC is asked for, which Bitcoin Core 32 offers over the same
//! socket, and for which the older one wants an address.
//!
//! It is not the Template Distribution Protocol, which a Template Provider speaks.

mod ahead;
mod command;
mod companion;
mod connection;
mod follow;
mod inquiry;
mod kept;
mod news;
mod session;
mod sink;
mod socket;
mod template;
mod tips;
mod worker;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use headframe_work::{Network, Reserve};

pub use socket::socket_paths;

use crate::Node;
use crate::rpc::RpcSettings;

/// How a node is reached by its mining interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpcSettings {
    /// The network that the node has to be on.
    pub network: Network,
    /// Where its socket may be; the first that exists is taken, at each attempt to connect.
    pub sockets: Vec<PathBuf>,
    /// The same node's RPC. Blocks go there too, and it is asked what the mining interface does not tell.
    pub rpc: Option<RpcSettings>,
    /// The room that templates leave for the coinbase.
    pub reserve: Reserve,
    /// The longest time between two templates.
    pub refresh: Duration,
    /// The longest wait for the answer to a block; then it is sent again.
    pub submit_limit: Duration,
}

impl IpcSettings {
    /// A node on this machine at one of these sockets, with everything else as Bitcoin Core has it.
    pub fn local(network: Network, sockets: Vec<PathBuf>) -> Self {
        Self {
            network,
            sockets,
            rpc: None,
            reserve: Reserve::for_outputs(3),
            refresh: Duration::from_secs(30),
            submit_limit: Duration::from_secs(30),
        }
    }

    /// The first socket that is there, or the first that is looked for.
    pub fn place(&self) -> String {
        let there = self.sockets.iter().find(|path| path.exists());
        let socket = there.or_else(|| self.sockets.first());
        socket.map_or_else(|| "no socket".to_owned(), |path| path.display().to_string())
    }
}

/// The node as a value of each port. A thread follows it from now on, and ends when the last of them is dropped.
///
/// A node that cannot be reached is no error here: the source tells it, and goes on trying.
///
/// # Errors
///
/// The operating system gives no thread, or no event queue for it.
pub fn connect(settings: IpcSettings) -> io::Result<Node> {
    let rpc = settings.rpc.clone();
    let limit = settings.submit_limit;
    let started = worker::start(settings)?;
    Ok(Node {
        templates: Box::new(started.templates),
        sink: Box::new(sink::IpcSink::new(started.commands, rpc, limit)?),
        check: started.inquiry.clone(),
        transactions: started.inquiry,
        status: started.status,
    })
}
