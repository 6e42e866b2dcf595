//! The pool: its parts, started in order and stopped in order.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Instant;

use headframe_channels::DifficultySettings;
use headframe_ledger::{Ban, Ledger, LedgerError};
use headframe_mining::server::{Hub, JobIds, PoolRules};
use headframe_node::several::{Backups, NodeHealth};
use headframe_node::{BlockCheck, BlockSink, Node, NodeStatus, TemplateSource};
use headframe_sv2_noise::StaticIdentity;
use headframe_transport::{AcceptSettings, Acceptor, CurvePool, TlsIdentity};
use headframe_work::{Imprint, Network};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::blocks::{Destination, FoundSender, Journal, Left};
use crate::board::{Board, Past, RollCall};
use crate::clock::wall_clock;
use crate::connection::PoolLinks;
use crate::control::Control;
use crate::dues::Creditors;
use crate::hub::HubTask;
use crate::hush::Hush;
use crate::keys::KeySets;
use crate::keys::keeper::Keeper;
use crate::ledger::LedgerHandle;
use crate::limits::{Door, Limits};
use crate::listener::Reception;
use crate::news::News;
use crate::proof::Prover;
use crate::random::random_bytes;
use crate::settings::{ListenSettings, Settings};
use crate::tls::Certificates;
use crate::tls::keeper::TlsKeeper;
use crate::trace::Tracer;
use crate::vital::Vital;

use crate::{blocks, ledger, proof};

/// News that wait for the board.
const NEWS: usize = 8_192;
/// Connections that wait to be accepted: all miners of a farm come back at once.
pub(crate) const BACKLOG: u32 = 1_024;

/// What a pool is made of.
pub struct Parts<'a> {
    /// What the operator decided.
    pub settings: Settings,
    /// Where templates come from and blocks go.
    pub node: Node,
    /// What the node is called in the log.
    pub node_name: String,
    /// Other nodes, where there are any: `node` is all of them then, and its sink the preferred one's.
    pub backups: Option<Backups>,
    /// What the pool remembers.
    pub ledger: Box<dyn Ledger>,
    /// The keys of its listeners.
    pub keys: KeySets,
    /// The certificates of its listeners.
    pub certificates: Certificates,
    /// Where the block journal is kept.
    pub data_directory: &'a Path,
    /// What the dashboard shows.
    pub board: Board,
    /// Ends the pool.
    pub shutdown: CancellationToken,
}

/// A pool that is running.
#[derive(Debug)]
pub struct Pool {
    addresses: Vec<SocketAddr>,
    tasks: TaskTracker,
    threads: Vec<JoinHandle<()>>,
    board: tokio::task::JoinHandle<()>,
    shutdown: CancellationToken,
}

/// Why a pool does not start. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The block journal cannot be opened.
    #[error("cannot keep found blocks in {directory}: {error}")]
    Journal {
        /// The data directory.
        directory: String,
        /// Why.
        error: io::Error,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The pool was stopped before it had begun.
    #[error("stopped before the node gave a template")]
    Stopped,
}

impl Pool {
    /// Starts the pool: the blocks of the journal are submitted, and once the node has given a
    /// template the listeners are opened.
    ///
    /// # Errors
    ///
    /// When a part cannot be started. Nothing is left running then.
    pub async fn start(parts: Parts<'_>) -> Result<Self, StartError> {
        let Parts {
            settings,
            node,
            mut board,
            backups,
            keys,
            certificates,
            shutdown,
            ..
        } = parts;
        let health = backups.as_ref().map(|backups| backups.health.clone());
        // Taken now, so that a port in use is found out at once; opened when there is work.
        let sockets = reserve(&settings.listen)?;
        let ports = sockets.iter().zip(&settings.listen);
        board.set_ports(ports.map(|((socket, _), asked)| {
            let bound = socket.local_addr();
            bound.map_or_else(|_| asked.address.port(), |bound| bound.port())
        }));
        let vital = Vital::new(shutdown.clone());
        let miners = board.feed.roll_caller();
        let check = node.check;
        let keeping = Keeping {
            data_directory: parts.data_directory,
            network: settings.payouts.network,
            ledger: parts.ledger,
            nodes: destinations(parts.node_name, node.sink, backups),
            board,
        };
        // What has been started is stopped without the rest of the program if the start fails.
        let (mut pool, ways) = keeping.start(&vital, shutdown.child_token())?;
        let opening = Opening {
            settings,
            sockets,
            templates: node.templates,
            status: node.status,
            check,
            keys,
            certificates,
            ways,
            miners,
            data_directory: parts.data_directory.to_owned(),
        };
        if let Some(health) = health {
            let told = tell_health(health, opening.ways.news.clone(), pool.shutdown.clone());
            pool.tasks.spawn(told);
        }
        if let Err(error) = pool.open(opening, &vital).await {
            pool.shutdown.cancel();
            pool.stopped().await;
            return Err(error);
        }
        Ok(pool)
    }

    /// Waits for the first work, and lets miners in.
    async fn open(&mut self, opening: Opening, vital: &Vital) -> Result<(), StartError> {
        let Opening {
            settings,
            sockets,
            templates,
            status,
            check,
            keys,
            certificates,
            ways,
            miners,
            data_directory,
        } = opening;
        let job_ids = JobIds::new(u32::from_be_bytes(random_bytes()));
        let hub = Hub::new(job_ids.clone(), u32::from_be_bytes(random_bytes()))
            .signalling(settings.version_bits);
        let (mut hub, hub_handle) = HubTask::new(hub, templates, status.clone(), ways.news.clone());
        hub = hub
            .holding(settings.hold)
            .beginning_empty(settings.empty_blocks);
        let (service, bells) = (hub.service(), hub.bells());
        let first = hub.first_work(&self.shutdown).await;
        let first = first.ok_or(StartError::Stopped)?;
        let listeners = listen(sockets)?;
        let (work_sender, work) = watch::channel(first);
        let hub_guard = vital.guard("hub");
        let hub_stop = self.shutdown.clone();
        self.tasks.spawn(async move {
            let _guard = hub_guard;
            hub.run(work_sender, hub_stop).await;
        });
        let tracer = Arc::new(Tracer::default());
        let control = Control {
            tracer: Arc::clone(&tracer),
            miners,
            network: settings.payouts.network,
            bells: Arc::clone(&bells),
            shutdown: self.shutdown.clone(),
        };
        self.tasks.spawn(control.serve(&data_directory));
        let ringing = Arc::clone(&bells).await_shutdown(self.shutdown.clone());
        self.tasks.spawn(ringing);
        let (prover, proofs) = Prover::new(proof::Parts {
            check,
            network: settings.payouts.network,
            work: work.clone(),
            status,
            news: ways.news.clone(),
        });
        self.tasks.spawn(prover.run(self.shutdown.clone()));
        let door = door(&settings, &ways);
        let news = ways.news.clone();
        let reception = Reception {
            pool: Arc::new(PoolLinks {
                rules: Arc::new(rules(&settings, job_ids)),
                creditors: Arc::new(Creditors {
                    ledger: ways.ledger,
                    hub: hub_handle,
                    news: ways.news,
                }),
                work,
                found: ways.found,
                tracer,
                bells,
                shutdown: self.shutdown.clone(),
                service,
                move_to: settings.move_to.clone(),
                arrivals: Arc::new(Hush::new(Instant::now())),
                faults: Arc::new(Hush::new(Instant::now())),
                proofs,
            }),
            room: Arc::new(Semaphore::new(settings.max_connections)),
            door,
            proxies: Arc::new(settings.access.proxies.clone()),
            tasks: self.tasks.clone(),
            next_id: Arc::new(AtomicU64::new(1)),
        };
        let identities = self.keep(keys, &news);
        let certificates = self.keep_certificates(certificates, &news);
        self.welcome(&reception, listeners, &identities, &certificates);
        Ok(())
    }

    /// Keeps the keys fresh; what handshakes are answered with, by sets of keys.
    fn keep(
        &mut self,
        keys: KeySets,
        news: &mpsc::Sender<News>,
    ) -> Vec<watch::Receiver<Arc<StaticIdentity>>> {
        let kept = keys.into_iter().map(|keys| {
            let (keeper, identities) = Keeper::new(keys, news.clone());
            self.tasks.spawn(keeper.run(self.shutdown.clone()));
            identities
        });
        kept.collect()
    }

    /// Keeps the certificates; what TLS is answered with, by certificates.
    fn keep_certificates(
        &mut self,
        certificates: Certificates,
        news: &mpsc::Sender<News>,
    ) -> Vec<watch::Receiver<TlsIdentity>> {
        let kept = certificates.into_iter().map(|certificate| {
            let (keeper, identities) = TlsKeeper::new(certificate, news.clone());
            self.tasks.spawn(keeper.run(self.shutdown.clone()));
            identities
        });
        kept.collect()
    }

    /// Lets miners in.
    fn welcome(
        &mut self,
        reception: &Reception,
        listeners: Vec<(TcpListener, ListenSettings)>,
        identities: &[watch::Receiver<Arc<StaticIdentity>>],
        certificates: &[watch::Receiver<TlsIdentity>],
    ) {
        let curve_pool = CurvePool::new();
        for (listener, settings) in listeners {
            let accept = AcceptSettings {
                protocols: settings.protocols,
                ..AcceptSettings::default()
            };
            let identity = settings.keys.of(identities).clone();
            let acceptor = Acceptor::new(accept, identity, curve_pool.clone());
            let certificate = settings.certificate.and_then(|id| id.among(certificates));
            let acceptor = match certificate {
                Some(certificate) => acceptor.with_tls(certificate.clone()),
                None => acceptor,
            };
            let mut reception = reception.clone();
            if let Some(proxies) = settings.proxies {
                reception.proxies = Arc::new(proxies);
            }
            let links = Arc::make_mut(&mut reception.pool);
            links.rules = Arc::new(PoolRules {
                difficulty: settings.difficulty,
                password: settings.password,
                ignores_suggestions: settings.ignores_suggestions,
                ..PoolRules::clone(&links.rules)
            });
            let address = listener.local_addr().unwrap_or(settings.address);
            self.addresses.push(address);
            self.tasks.spawn(reception.listen(listener, acceptor));
        }
        self.tasks.close();
    }

    /// Where miners connect.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits until the pool has stopped: connections closed, shares committed, blocks on disk.
    pub async fn stopped(self) {
        self.shutdown.cancelled().await;
        // A pool that was stopped before it let miners in has not closed it.
        self.tasks.close();
        self.tasks.wait().await;
        // The threads end when the last miner is gone, and the board's task after them.
        let _ = self.board.await;
        let joined = tokio::task::spawn_blocking(move || {
            for thread in self.threads {
                if thread.join().is_err() {
                    warn!("a thread of the pool panicked");
                }
            }
        });
        let _ = joined.await;
    }
}

/// What keeps blocks and shares, and shows them.
struct Keeping<'a> {
    data_directory: &'a Path,
    network: Network,
    ledger: Box<dyn Ledger>,
    /// The nodes, and which of them is mined on.
    nodes: (Vec<Destination>, watch::Receiver<usize>),
    board: Board,
}

/// The ways to what keeps blocks and shares. Its threads end when these are gone.
struct Ways {
    ledger: LedgerHandle,
    found: FoundSender,
    news: mpsc::Sender<News>,
    /// Those that an earlier run left.
    bans: Vec<Ban>,
}

/// What serves miners.
struct Opening {
    settings: Settings,
    sockets: Vec<(TcpSocket, ListenSettings)>,
    templates: Box<dyn TemplateSource>,
    status: watch::Receiver<NodeStatus>,
    check: Arc<dyn BlockCheck>,
    keys: KeySets,
    certificates: Certificates,
    ways: Ways,
    miners: mpsc::Sender<RollCall>,
    data_directory: PathBuf,
}

impl Keeping<'_> {
    /// Starts a pool without miners. Blocks that an earlier run left are on their way to the node.
    fn start(self, vital: &Vital, shutdown: CancellationToken) -> Result<(Pool, Ways), StartError> {
        let journal_error = |error| StartError::Journal {
            directory: self.data_directory.display().to_string(),
            error,
        };
        let journal = Journal::open(self.data_directory).map_err(journal_error)?;
        let left = Left::read(&journal, &*self.ledger, self.network).map_err(journal_error)?;
        let past = Past::read(&*self.ledger)?;
        let bans = self.ledger.bans(wall_clock())?;
        let (ledger, ledger_thread) =
            ledger::start(self.ledger, past.accepted(), vital.guard("ledger"))
                .map_err(StartError::Thread)?;
        let (news, news_receiver) = mpsc::channel(NEWS);
        let (found, mut threads) = blocks::start(blocks::Parts {
            journal: Arc::new(journal),
            left,
            nodes: self.nodes.0,
            mined_on: self.nodes.1,
            network: self.network,
            ledger: ledger.clone(),
            news: news.clone(),
            vital: vital.clone(),
        })
        .map_err(StartError::Thread)?;
        threads.push(ledger_thread);
        let board = self.board.open(past, ledger.state());
        let pool = Pool {
            addresses: Vec::new(),
            tasks: TaskTracker::new(),
            threads,
            board: tokio::spawn(board.run(news_receiver, shutdown.clone())),
            shutdown,
        };
        let ways = Ways {
            ledger,
            found,
            news,
            bans,
        };
        Ok((pool, ways))
    }
}

/// Tells the board how each of several nodes is, until shutdown.
async fn tell_health(
    mut health: watch::Receiver<Vec<NodeHealth>>,
    news: mpsc::Sender<News>,
    shutdown: CancellationToken,
) {
    loop {
        let all = health.borrow_and_update().clone();
        // The board is never waited for: the next news of a node tells it the same and more.
        let _ = news.try_send(News::Nodes(all));
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = health.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// Where blocks go, the preferred node first, and which node is mined on.
pub(crate) fn destinations(
    name: String,
    sink: Box<dyn BlockSink>,
    backups: Option<Backups>,
) -> (Vec<Destination>, watch::Receiver<usize>) {
    let mut nodes = vec![Destination { name, sink }];
    let Some(backups) = backups else {
        return (nodes, watch::Sender::new(0).subscribe());
    };
    let others = backups.sinks.into_iter();
    nodes.extend(others.map(|(name, sink)| Destination { name, sink }));
    (nodes, backups.mined_on)
}

/// The limits, with the bans that an earlier run left, which are shown again.
fn door(settings: &Settings, ways: &Ways) -> Arc<Door> {
    let (now, wall) = (Instant::now(), wall_clock());
    for ban in ways.bans.iter().filter(|ban| ban.until > wall) {
        // The log of that run has those for which there is no room.
        let _ = ways.news.try_send(News::Banned(ban.clone()));
    }
    let limits = Limits::new(settings.max_connections, &ways.bans, (now, wall));
    Arc::new(Door::new(settings.access.clone(), limits))
}

/// The rules of the pool; each listener has a difficulty of its own, and its word on suggestions.
fn rules(settings: &Settings, job_ids: JobIds) -> PoolRules {
    PoolRules {
        payouts: settings.payouts.clone(),
        imprint: Imprint {
            tag: settings.tag.clone(),
            process: random_bytes(),
        },
        difficulty: DifficultySettings::default(),
        ignores_suggestions: false,
        job_ids,
        sv2: settings.sv2,
        password: None,
    }
}

/// Whether miners could be listened for at this address now.
///
/// # Errors
///
/// They could not: somebody else listens there, or this computer has no such address.
pub fn check_place(address: SocketAddr) -> io::Result<()> {
    bind(address).map(drop)
}

/// Binds the addresses. Whoever connects is still refused.
fn reserve(listen: &[ListenSettings]) -> Result<Vec<(TcpSocket, ListenSettings)>, StartError> {
    let reserve = |settings: &ListenSettings| {
        let address = settings.address;
        match bind(address) {
            Ok(socket) => Ok((socket, settings.clone())),
            Err(error) => Err(StartError::Listen { address, error }),
        }
    };
    listen.iter().map(reserve).collect()
}

pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A pool that is started again does not wait for the connections of the last one.
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() {
        // So that `0.0.0.0` and `[::]` can be listened on together, on every system.
        socket2::SockRef::from(&socket).set_only_v6(true)?;
    }
    socket.bind(address)?;
    Ok(socket)
}

fn listen(
    sockets: Vec<(TcpSocket, ListenSettings)>,
) -> Result<Vec<(TcpListener, ListenSettings)>, StartError> {
    let open = |(socket, settings): (TcpSocket, ListenSettings)| {
        let address = settings.address;
        match socket.listen(BACKLOG) {
            Ok(listener) => Ok((listener, settings)),
            Err(error) => Err(StartError::Listen { address, error }),
        }
    };
    sockets.into_iter().map(open).collect()
}
