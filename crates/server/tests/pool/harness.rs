//! A pool on the embedded chain.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use headframe_api::{Connect, History, Miner, NodeKind, Overview, Payout};
use headframe_ledger::{Ledger, MemoryLedger, Retention};
use headframe_node::embedded::{ChainSettings, Difficulty, EmbeddedChain};
use headframe_node::several::Backups;
use headframe_node::{BlockCheck, BlockSink};
use headframe_server::{
    AccessSettings, Board, CertificatePlace, Certificates, Feed, KeyPlace, KeySets, Keys, KeysId,
    ListenSettings, Parts, Password, Pool, Protocols, RollCall, Settings, StartError, Started,
    Sv2Rules,
};
use headframe_sv2_noise::AuthorityPublicKey;
use headframe_testkit::fixed_difficulty;
use headframe_transport::{Endpoint, Fingerprint};
use headframe_work::{Network, PayoutPolicy, PoolTag, Rung, VersionBits};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::fakes::{FakeLedger, Fickle};

/// Longer than any test.
const REFRESH: Duration = Duration::from_secs(3_600);
/// 2^8 hashes a share: nothing for any computer, and far from a block where blocks take 2^20.
const EASY: i32 = -24;
/// By so many steps shares of the second listener are harder.
pub(crate) const SECOND_IS_HARDER: i32 = 3;

/// What differs between the pools of the tests.
pub(crate) struct Setup {
    pub(crate) chain: EmbeddedChain,
    pub(crate) listen: SocketAddr,
    /// Whether there is a second listener: for SV2 alone, with an authority and a difficulty of its own.
    pub(crate) has_second: bool,
    /// By so many steps shares become harder for whoever finds too many.
    pub(crate) harder_by: i32,
    pub(crate) ledger: Box<dyn Ledger>,
    pub(crate) sink: Option<Box<dyn BlockSink>>,
    /// Nodes that blocks go to besides.
    pub(crate) backups: Option<Backups>,
    pub(crate) check: Option<Arc<dyn BlockCheck>>,
    pub(crate) max_connections: usize,
    /// How long miners are held while the node is away.
    pub(crate) hold: Option<Duration>,
    /// What Stratum V1 miners have to say at the first listener.
    pub(crate) password: Option<&'static str>,
    /// Where miners that bear it are sent when the pool ends.
    pub(crate) move_to: Option<Endpoint>,
    pub(crate) access: AccessSettings,
    pub(crate) directory: Arc<TempDir>,
}

impl Setup {
    /// Shares are no blocks.
    pub(crate) fn for_shares() -> Self {
        Self::on(ChainSettings::default())
    }

    /// Every second hash is a block.
    pub(crate) fn for_blocks() -> Self {
        let difficulty = Difficulty::Regtest;
        Self::on(ChainSettings { difficulty })
    }

    fn on(settings: ChainSettings) -> Self {
        Self {
            chain: EmbeddedChain::open(None, settings).unwrap(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            has_second: false,
            harder_by: 0,
            ledger: Box::new(MemoryLedger::new(Retention::default())),
            sink: None,
            backups: None,
            check: None,
            max_connections: 100,
            hold: None,
            password: None,
            move_to: None,
            access: AccessSettings::default(),
            directory: Arc::new(tempfile::tempdir().unwrap()),
        }
    }

    /// With this ledger.
    pub(crate) fn with(mut self, ledger: &FakeLedger) -> Self {
        self.ledger = ledger.boxed();
        self
    }

    /// With blocks going here.
    pub(crate) fn sending_to(mut self, sink: Box<dyn BlockSink>) -> Self {
        self.sink = Some(sink);
        self
    }

    /// With blocks going here too.
    pub(crate) fn sending_besides_to(mut self, sink: Box<dyn BlockSink>) -> Self {
        self.backups = Some(Backups {
            sinks: vec![("the other node".to_owned(), sink)],
            mined_on: watch::Sender::new(0).subscribe(),
            health: watch::Sender::new(Vec::new()).subscribe(),
        });
        self
    }

    pub(crate) async fn start(self) -> TestPool {
        self.try_start().await.unwrap()
    }

    pub(crate) async fn try_start(self) -> Result<TestPool, StartError> {
        let shutdown = CancellationToken::new();
        let mut node = self.chain.node(REFRESH);
        if let Some(sink) = self.sink {
            node.sink = sink;
        }
        if let Some(check) = self.check {
            node.check = check;
        }
        let (templates, away) = Fickle::boxed(node.templates);
        node.templates = templates;
        let mut keys = KeySets::new(Keys::open(self.directory.path()).unwrap());
        let authority = keys.authority(KeysId::FIRST);
        let mut settings = settings(self.listen, self.max_connections, self.access);
        let mut certificates = Certificates::default();
        let own = CertificatePlace::own(self.directory.path(), Vec::new());
        let certificate = certificates.open(own).unwrap();
        let fingerprint = certificates.of(certificate).unwrap().fingerprint();
        settings.hold = self.hold;
        settings.move_to = self.move_to;
        settings.listen[0].certificate = Some(certificate);
        settings.listen[0].password = self.password.map(Password::new);
        settings.listen[0].difficulty.max = Rung::from_exponent(EASY + self.harder_by);
        let mut second = None;
        if self.has_second {
            let place = KeyPlace::new(self.directory.path(), "keys-second");
            let id = keys.add(Keys::open_at(place).unwrap());
            second = Some(keys.authority(id));
            settings.listen.push(ListenSettings {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                protocols: Protocols {
                    sv1: false,
                    ..Protocols::USUAL
                },
                difficulty: fixed_difficulty(EASY + SECOND_IS_HARDER),
                ignores_suggestions: false,
                keys: id,
                certificate: None,
                password: None,
                proxies: None,
            });
        }
        let (board, overviews, roll_caller) = board();
        let pool = Pool::start(Parts {
            settings,
            node,
            node_name: "the test's node".to_owned(),
            backups: self.backups,
            ledger: self.ledger,
            keys,
            certificates,
            data_directory: self.directory.path(),
            board,
            shutdown: shutdown.clone(),
        })
        .await?;
        Ok(TestPool {
            pool,
            overviews,
            roll_caller,
            shutdown,
            authority,
            second,
            fingerprint,
            away,
            directory: self.directory,
        })
    }
}

/// A pool that is running.
pub(crate) struct TestPool {
    pool: Pool,
    overviews: watch::Receiver<Arc<Overview>>,
    roll_caller: mpsc::Sender<RollCall>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) authority: AuthorityPublicKey,
    second: Option<AuthorityPublicKey>,
    /// Sends the node away, and back.
    pub(crate) away: watch::Sender<bool>,
    /// What Stratum V1 in TLS is known by.
    pub(crate) fingerprint: Fingerprint,
    pub(crate) directory: Arc<TempDir>,
}

impl TestPool {
    pub(crate) fn address(&self) -> SocketAddr {
        self.pool.addresses()[0]
    }

    /// Where the second listener is, and its authority.
    pub(crate) fn second(&self) -> (SocketAddr, AuthorityPublicKey) {
        (self.pool.addresses()[1], self.second.unwrap())
    }

    /// Waits for an overview that `condition` holds of.
    pub(crate) async fn shows(
        &self,
        condition: impl FnMut(&Arc<Overview>) -> bool,
    ) -> Arc<Overview> {
        let mut overviews = self.overviews.clone();
        let shown = overviews.wait_for(condition).await;
        Arc::clone(&shown.unwrap())
    }

    /// The miners as they are now.
    pub(crate) async fn miners(&self) -> Arc<[Miner]> {
        let (call, miners) = oneshot::channel();
        self.roll_caller.send(call).await.unwrap();
        miners.await.unwrap()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.pool.stopped().await;
    }

    /// The pool has been asked to stop.
    pub(crate) async fn stopped(self) {
        self.pool.stopped().await;
    }

    /// The files of the block journal with this ending.
    pub(crate) fn journal(&self, ending: &str) -> Vec<PathBuf> {
        journal(self.directory.path(), ending)
    }
}

/// The files of the block journal in `directory` with this ending, by name.
pub(crate) fn journal(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory.join("blocks")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == ending))
        .collect();
    paths.sort();
    paths
}

fn settings(address: SocketAddr, max_connections: usize, access: AccessSettings) -> Settings {
    Settings {
        listen: vec![ListenSettings {
            address,
            protocols: Protocols {
                plaintext_sv2: true,
                ..Protocols::USUAL
            },
            difficulty: fixed_difficulty(EASY),
            ignores_suggestions: false,
            keys: KeysId::FIRST,
            certificate: None,
            password: None,
            proxies: None,
        }],
        max_connections,
        payouts: PayoutPolicy {
            network: Network::Regtest,
            fee: None,
            plain_names: None,
        },
        tag: PoolTag::new("test").unwrap(),
        sv2: Sv2Rules::default(),
        hold: None,
        empty_blocks: Duration::from_secs(30),
        version_bits: VersionBits::default(),
        move_to: None,
        access,
    }
}

fn board() -> (
    Board,
    watch::Receiver<Arc<Overview>>,
    mpsc::Sender<RollCall>,
) {
    let feed = Feed::new(Overview::default(), History::default());
    let (shown, roll_caller) = (feed.overviews.subscribe(), feed.roll_caller());
    let board = Board {
        feed,
        started: Started::now(),
        network: Network::Regtest,
        demo: false,
        persistent: true,
        connect: Connect::default(),
        payout: Payout::default(),
        node_kind: NodeKind::Embedded,
        node_endpoint: String::new(),
        backups: Vec::new(),
    };
    (board, shown, roll_caller)
}
