//! A Template Provider: the template distribution protocol for pools and declarators, from any node.
//!
//! ```text
//! node ── templates ──> source ──> watch slot ──> one task per client ── session ──> the client
//! nodes <── blocks ── couriers <── desk <── solutions ─┘
//!   ^                             └──> journal: the disk
//!   └── where does it stand? ── follower
//! ```
//!
//! Each client says what its coinbase needs; templates are cut to that once for all clients with the same
//! needs, and for those that change theirs without end when all others have one. A client that does not read is disconnected, never waited for by another. Found blocks go to the
//! nodes and to the disk at the same time, as the pool's do.
//!
//! Not here: messages, which are the session's ([`headframe_distribution::server`]), and whose work is mined
//! for whom.

mod blocks;
mod client;
mod fitter;
mod reception;
mod source;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use headframe_node::Node;
use headframe_node::several::Backups;
use headframe_sv2_noise::{AuthorityPublicKey, StaticIdentity};
use headframe_transport::{AcceptSettings, Acceptor, AddressSet, CurvePool, Protocols};
use headframe_work::Network;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::StartError;
use crate::blocks::Journal;
use crate::hush::Hush;
use crate::keys::Keys;
use crate::keys::keeper::Keeper;
use crate::pool::{BACKLOG, bind, destinations};
use crate::vital::Vital;

use client::Links;
use fitter::Fitter;
use reception::Reception;
use source::Word;

pub use client::{ANSWER_READ_WITHIN, NODE_GRACE};
pub use fitter::MAX_FITS;
pub use reception::{MAX_CLIENTS, MAX_CLIENTS_OF_ADDRESS};

/// What a provider serves, and from where.
pub struct ProviderParts<'a> {
    /// Where clients connect.
    pub listen: Vec<SocketAddr>,
    /// From here as many clients may come as there is room for.
    pub unlimited: AddressSet,
    /// The node.
    pub node: Node,
    /// The node in words for the log.
    pub node_name: String,
    /// Where it is several nodes as one, the others.
    pub backups: Option<Backups>,
    /// The node's network.
    pub network: Network,
    /// By what clients know the provider.
    pub keys: Keys,
    /// Where found blocks are kept; this process holds it.
    pub data_directory: &'a Path,
    /// How long clients are kept while the node gives no templates.
    pub node_grace: Duration,
    /// Ends the provider.
    pub shutdown: CancellationToken,
}

/// A provider that is running.
#[derive(Debug)]
pub struct Provider {
    addresses: Vec<SocketAddr>,
    authority: AuthorityPublicKey,
    tasks: TaskTracker,
    threads: Vec<JoinHandle<()>>,
    shutdown: CancellationToken,
}

impl Provider {
    /// Starts the provider: ports are taken, the blocks of the journal are submitted, and clients are let in.
    /// They get their first template when the node gives one.
    ///
    /// Must be called inside a tokio runtime with time and I/O enabled.
    ///
    /// # Errors
    ///
    /// When a part cannot be started. Nothing is left running then.
    pub fn start(parts: ProviderParts<'_>) -> Result<Self, StartError> {
        let listeners = parts.listen.iter().map(|address| open(*address));
        let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
        let journal = journal(parts.data_directory)?;
        let shutdown = parts.shutdown.child_token();
        let (nodes, mined_on) = destinations(parts.node_name, parts.node.sink, parts.backups);
        let blocks = blocks::Parts {
            journal,
            nodes,
            mined_on,
            network: parts.network,
            vital: Vital::new(parts.shutdown),
        };
        let names: Vec<&str> = blocks.nodes.iter().map(|node| node.name.as_str()).collect();
        let names = names.join(", ");
        let (found, threads) = blocks::start(blocks).map_err(StartError::Thread)?;
        let tasks = TaskTracker::new();
        let (words, templates) = watch::channel(Word::default());
        let follow = source::follow(parts.node.templates, words, names);
        tasks.spawn(unless(shutdown.clone(), follow));
        let (fitter, counter) = Fitter::new(templates.clone());
        tasks.spawn(unless(shutdown.clone(), fitter.run()));
        let authority = parts.keys.authority();
        // Nobody shows what becomes of the certificate; the keeper says it in the log.
        let (keeper, identity) = Keeper::new(parts.keys, mpsc::channel(1).0);
        tasks.spawn(keeper.run(shutdown.clone()));
        let links = Links {
            templates,
            counter,
            found,
            grace: parts.node_grace,
            faults: Arc::new(Hush::new(Instant::now())),
            shutdown: shutdown.clone(),
        };
        let reception = Reception::new(acceptor(identity), parts.unlimited, links, tasks.clone());
        let mut addresses = Vec::new();
        for (listener, address) in listeners {
            addresses.push(listener.local_addr().unwrap_or(address));
            tasks.spawn(reception.clone().listen(listener));
        }
        tasks.close();
        Ok(Self {
            addresses,
            authority,
            tasks,
            threads,
            shutdown,
        })
    }

    /// Where clients connect.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// By what clients know the provider.
    pub const fn authority(&self) -> AuthorityPublicKey {
        self.authority
    }

    /// Waits until the provider has stopped: connections closed, blocks on the disk, each tried once.
    pub async fn stopped(self) {
        self.shutdown.cancelled().await;
        self.tasks.wait().await;
        let joined = tokio::task::spawn_blocking(move || {
            for thread in self.threads {
                if thread.join().is_err() {
                    warn!("a thread of the template provider panicked");
                }
            }
        });
        let _ = joined.await;
    }
}

fn open(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listener = bind(address).and_then(|socket| socket.listen(BACKLOG));
    let listener = listener.map_err(|error| StartError::Listen { address, error })?;
    Ok((listener, address))
}

fn journal(directory: &Path) -> Result<Journal, StartError> {
    Journal::open(directory).map_err(|error| StartError::Journal {
        directory: directory.display().to_string(),
        error,
    })
}

/// Encrypted Stratum V2 and nothing else.
fn acceptor(identity: watch::Receiver<Arc<StaticIdentity>>) -> Acceptor {
    let protocols = Protocols {
        sv1: false,
        sv1_tls: false,
        sv2: true,
        plaintext_sv2: false,
    };
    let settings = AcceptSettings {
        protocols,
        ..AcceptSettings::default()
    };
    Acceptor::new(settings, identity, CurvePool::new())
}

/// Does something that has no end until shutdown.
async fn unless(shutdown: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = work => {}
    }
}
