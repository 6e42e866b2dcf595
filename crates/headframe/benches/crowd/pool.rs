//! The pool, in a process of its own, on templates that it is told to take.

use std::io::stdin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use headframe_api::{Connect, History, NodeKind, Overview, Payout};
use headframe_ledger::{DataDir, Retention, SqliteLedger};
use headframe_node::embedded::{ChainSettings, EmbeddedChain};
use headframe_node::rpc::{self, RpcAddress, RpcAuth, RpcSettings, RpcSink};
use headframe_node::zmq::ZmqAddress;
use headframe_node::{
    BoxFuture, Cause, HeaderWindow, Node, NodeError, TemplateSource, TemplateUpdate,
};
use headframe_server::{
    AccessSettings, Board, Certificates, Feed, KeySets, Keys, KeysId, ListenSettings, Parts, Pool,
    Protocols, Settings, Started, Sv2Rules,
};
use headframe_testkit::{Chain, CountingAllocator, fixed_difficulty};
use headframe_transport::AddressSet;
use headframe_work::{Network, PayoutPolicy, PoolTag, Template, VersionBits};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Some 2^48 hashes a block: no share of a bench is one.
const BITS: u32 = 0x1b00_ffff;
/// Transactions of a template: twelve merkle branches, as a full block has.
const TRANSACTIONS: usize = 3_000;
/// Some 2^20 hashes a block, for who wants to find one.
const FOUND_BITS: u32 = 0x1e0f_ffff;
/// Bytes of the blocks that are found, roughly: as many transactions, each with so many bytes.
pub(crate) const BLOCK: usize = TRANSACTIONS * FOUND_TRANSACTION;
const FOUND_TRANSACTION: usize = 1_000;

/// Templates that the bench releases.
struct Released(mpsc::Receiver<TemplateUpdate>);

impl TemplateSource for Released {
    fn next(&mut self) -> BoxFuture<'_, Result<TemplateUpdate, NodeError>> {
        Box::pin(async {
            match self.0.recv().await {
                Some(update) => Ok(update),
                None => std::future::pending().await,
            }
        })
    }
}

/// Runs until its input ends. `limited` among the arguments: the limits on strangers apply to the loopback;
/// `counting`: it can say what is allocated; `hard`: a share takes more hashes than anybody makes; `rpc=`, with
/// `cookie=` and `zmq=`, or `ipc=`, or both: it works with a real node; `blocks=`: what it is released it finds blocks of,
/// which go there.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    if arguments.contains(&"counting") {
        ALLOCATOR.begin();
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    let directory = tempfile::tempdir()?;
    let data = DataDir::open(directory.path())?;
    let keys = KeySets::new(Keys::open(data.path())?);
    let authority = keys.authority(KeysId::FIRST);
    let (release, released) = mpsc::channel(1);
    let bits = match value(arguments, "blocks=") {
        Some(_) => FOUND_BITS,
        None => BITS,
    };
    let mut chain = Chain::new(1, bits, TRANSACTIONS);
    release.try_send(next(&mut chain))?;
    let node = node(arguments, Released(released))?;
    let parts = Parts {
        settings: settings(arguments.contains(&"limited"), arguments.contains(&"hard")),
        node,
        node_name: "the bench".to_owned(),
        backups: None,
        ledger: Box::new(SqliteLedger::open(&data, Retention::default())?),
        keys,
        certificates: Certificates::default(),
        data_directory: data.path(),
        board: board(Feed::new(Overview::default(), History::default())),
        shutdown: CancellationToken::new(),
    };
    let pool = runtime.block_on(Pool::start(parts))?;
    println!("{} {authority}", pool.addresses()[0]);
    let mut staged = None;
    for line in stdin().lines() {
        match line?.as_str() {
            "prepare" => {
                let update = next(&mut chain);
                println!("{}", update.template.prev_hash);
                staged = Some(update);
            }
            "tip" => {
                let mut update = staged.take().context("nothing is prepared")?;
                update.received = Instant::now();
                release.try_send(update)?;
            }
            "allocations" => println!("{}", allocations()),
            other => anyhow::bail!("{other:?} is not known"),
        }
    }
    Ok(())
}

fn node(arguments: &[&str], released: Released) -> anyhow::Result<Node> {
    if let Some(socket) = value(arguments, "ipc=") {
        return by_ipc(socket, arguments);
    }
    if let Some(address) = value(arguments, "rpc=") {
        return Ok(rpc::connect(rpc_settings(address, arguments)?)?);
    }
    let node = EmbeddedChain::open(None, ChainSettings::default())?;
    let mut node = node.node(Duration::from_secs(3_600));
    node.templates = Box::new(released);
    if let Some(address) = value(arguments, "blocks=") {
        node.sink = Box::new(RpcSink::new(&rpc_settings(address, arguments)?)?);
    }
    Ok(node)
}

#[cfg(feature = "ipc")]
fn by_ipc(socket: &str, arguments: &[&str]) -> anyhow::Result<Node> {
    use headframe_node::ipc::{self, IpcSettings};
    let rpc = value(arguments, "rpc=").map(|address| rpc_settings(address, arguments));
    Ok(ipc::connect(IpcSettings {
        rpc: rpc.transpose()?,
        ..IpcSettings::local(Network::Regtest, vec![socket.into()])
    })?)
}

#[cfg(not(feature = "ipc"))]
fn by_ipc(_: &str, _: &[&str]) -> anyhow::Result<Node> {
    anyhow::bail!("built without the feature `ipc`")
}

fn rpc_settings(address: &str, arguments: &[&str]) -> anyhow::Result<RpcSettings> {
    let auth = match value(arguments, "cookie=") {
        Some(cookie) => RpcAuth::Cookie(vec![cookie.into()]),
        None => RpcAuth::UserPassword {
            user: "the".to_owned(),
            password: "bench".to_owned(),
        },
    };
    let zmq = value(arguments, "zmq=").map(str::parse::<ZmqAddress>);
    Ok(RpcSettings {
        address: RpcAddress::parse(address, Network::Regtest)?,
        auth,
        zmq: zmq.transpose()?.into_iter().collect(),
        ..RpcSettings::local(Network::Regtest, None)
    })
}

/// What follows `name` among the arguments.
fn value<'a>(arguments: &[&'a str], name: &str) -> Option<&'a str> {
    arguments.iter().find_map(|it| it.strip_prefix(name))
}

/// Live bytes, then each size with how many allocations of it are live, as one line.
fn allocations() -> String {
    let mut line = ALLOCATOR.live_bytes().to_string();
    for (size, live) in ALLOCATOR.live_by_size() {
        line += &format!(" {size}:{live}");
    }
    line
}

/// A template on another tip.
fn next(chain: &mut Chain) -> TemplateUpdate {
    chain.advance();
    let template = match chain.bits {
        FOUND_BITS => Arc::new(padded(chain.template())),
        _ => chain.shared_template(),
    };
    TemplateUpdate {
        cause: Cause::NewTip,
        received: Instant::now(),
        window: HeaderWindow::unbounded(&template),
        template,
    }
}

/// The same with transactions of the size of a full block's, which no node will read.
fn padded(mut template: Template) -> Template {
    for transaction in &mut template.transactions {
        transaction.data.resize(FOUND_TRANSACTION, 0);
    }
    template
}

fn settings(is_limited: bool, is_hard: bool) -> Settings {
    Settings {
        listen: vec![ListenSettings {
            address: ([127, 0, 0, 1], 0).into(),
            protocols: Protocols::USUAL,
            difficulty: match is_hard {
                true => fixed_difficulty(8),
                // About one hash a share.
                false => fixed_difficulty(-32),
            },
            ignores_suggestions: false,
            keys: KeysId::FIRST,
            certificate: None,
            password: None,
            proxies: None,
        }],
        max_connections: 1 << 20,
        payouts: PayoutPolicy {
            network: Network::Regtest,
            fee: None,
            plain_names: None,
        },
        tag: PoolTag::new("bench").expect("short and printable"),
        sv2: Sv2Rules::default(),
        hold: None,
        empty_blocks: Duration::from_secs(30),
        version_bits: VersionBits::default(),
        move_to: None,
        access: AccessSettings {
            unlimited: match is_limited {
                true => AddressSet::NONE,
                false => AddressSet::PRIVATE,
            },
            ..AccessSettings::default()
        },
    }
}

fn board(feed: Feed) -> Board {
    Board {
        network: Network::Regtest,
        demo: false,
        persistent: true,
        connect: Connect::default(),
        payout: Payout::default(),
        node_kind: NodeKind::Embedded,
        node_endpoint: String::new(),
        backups: Vec::new(),
        feed,
        started: Started::now(),
    }
}
