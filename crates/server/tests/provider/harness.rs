//! A provider on the embedded chain, and a node that is reached through it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{BlockHash, ScriptBuf};
use headframe_node::embedded::{ChainSettings, Difficulty, EmbeddedChain};
use headframe_node::several;
use headframe_node::tdp::{self, Patience, TdpSettings};
use headframe_node::{
    BlockSink, NewTip, Node, NodeError, SubmitAnswer, TemplateSource, TemplateUpdate,
};
use headframe_server::{Keys, NODE_GRACE, Provider, ProviderParts, StartError};
use headframe_sv2_noise::AuthorityPublicKey;
use headframe_transport::AddressSet;
use headframe_work::{
    Block, Header, Job, Network, Payout, PoolTag, PreparedTemplate, Template, UniqueBytes,
};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longer than anything takes; no test measures time by it.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A provider that runs.
pub(crate) struct House {
    pub(crate) chain: EmbeddedChain,
    pub(crate) address: SocketAddr,
    pub(crate) authority: AuthorityPublicKey,
    pub(crate) directory: Arc<TempDir>,
    provider: Provider,
    shutdown: CancellationToken,
}

/// How a provider is started.
pub(crate) struct Setup {
    pub(crate) chain: EmbeddedChain,
    pub(crate) listen: SocketAddr,
    pub(crate) unlimited: AddressSet,
    pub(crate) sink: Option<Box<dyn BlockSink>>,
    pub(crate) templates: Option<Box<dyn TemplateSource>>,
    /// Another node.
    pub(crate) backup: Option<Node>,
    pub(crate) node_grace: Duration,
    pub(crate) directory: Arc<TempDir>,
}

impl Setup {
    pub(crate) fn usual() -> Self {
        let difficulty = Difficulty::Regtest;
        Self {
            chain: EmbeddedChain::open(None, ChainSettings { difficulty }).unwrap(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            unlimited: AddressSet::PRIVATE,
            sink: None,
            templates: None,
            backup: None,
            node_grace: NODE_GRACE,
            directory: Arc::new(tempfile::tempdir().unwrap()),
        }
    }

    pub(crate) fn start(self) -> House {
        self.try_start().unwrap()
    }

    pub(crate) fn try_start(self) -> Result<House, StartError> {
        let shutdown = CancellationToken::new();
        let mut node = self.chain.node(Duration::from_secs(3_600));
        node.sink = self.sink.unwrap_or(node.sink);
        node.templates = self.templates.unwrap_or(node.templates);
        let named = |node| ("a node".to_owned(), node);
        let others = self.backup.into_iter().map(named).collect();
        let (node, backups) = several::join(named(node), others);
        let provider = Provider::start(ProviderParts {
            listen: vec![self.listen],
            unlimited: self.unlimited,
            node,
            node_name: "the embedded chain".to_owned(),
            backups,
            node_grace: self.node_grace,
            network: Network::Regtest,
            keys: Keys::open(self.directory.path()).unwrap(),
            data_directory: self.directory.path(),
            shutdown: shutdown.clone(),
        })?;
        Ok(House {
            chain: self.chain,
            address: provider.addresses()[0],
            authority: provider.authority(),
            directory: self.directory,
            provider,
            shutdown,
        })
    }
}

impl House {
    /// A node that is reached through the provider.
    pub(crate) fn connect(&self) -> Pool {
        Pool::at(self.address, &self.authority.to_string())
    }

    /// Stops the provider; what it takes to start another in its place.
    pub(crate) async fn stop(self) -> Setup {
        self.shutdown.cancel();
        timeout(LIMIT, self.provider.stopped()).await.unwrap();
        Setup {
            chain: self.chain,
            listen: self.address,
            directory: self.directory,
            ..Setup::usual()
        }
    }

    /// The files of the journal, by their endings.
    pub(crate) fn journal(&self, ending: &str) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.directory.path().join("blocks")).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let is_such = |path: &PathBuf| path.extension().is_some_and(|it| it == ending);
        files.filter(is_such).collect()
    }
}

/// What a pool has of a node.
pub(crate) struct Pool {
    templates: Box<dyn TemplateSource>,
    sink: Option<Box<dyn BlockSink>>,
    pub(crate) status: watch::Receiver<headframe_node::NodeStatus>,
    /// Tips without a template yet.
    pub(crate) tips: watch::Receiver<Option<NewTip>>,
}

impl Pool {
    pub(crate) fn at(address: SocketAddr, key: &str) -> Self {
        Self::patient(address, key, Patience::default())
    }

    /// One that bears so much silence.
    pub(crate) fn patient(address: SocketAddr, key: &str, patience: Patience) -> Self {
        let Node {
            templates,
            sink,
            status,
            ..
        } = tdp::connect(TdpSettings {
            network: Network::Regtest,
            provider: format!("{address}/{key}").parse().unwrap(),
            rpc: None,
            patience,
        })
        .unwrap();
        Self {
            tips: templates.new_tips().unwrap(),
            templates,
            sink: Some(sink),
            status,
        }
    }

    pub(crate) async fn next(&mut self) -> Result<TemplateUpdate, NodeError> {
        timeout(LIMIT, self.templates.next()).await.unwrap()
    }

    /// The next tip without a template.
    pub(crate) async fn tip(&mut self) -> NewTip {
        let changed = timeout(LIMIT, self.tips.changed());
        changed.await.unwrap().unwrap();
        self.tips.borrow_and_update().unwrap()
    }

    /// The next template on that tip.
    pub(crate) async fn on(&mut self, tip: BlockHash) -> TemplateUpdate {
        loop {
            match self.next().await {
                Ok(update) if update.template.prev_hash == tip => return update,
                Ok(_) | Err(_) => {}
            }
        }
    }

    pub(crate) async fn submit(&mut self, block: &Block) -> SubmitAnswer {
        let hex = block.to_hex();
        let mut sink = self.sink.take().unwrap();
        let submitted = spawn_blocking(move || (sink.submit(&hex), sink));
        let (answer, sink) = timeout(LIMIT, submitted).await.unwrap().unwrap();
        self.sink = Some(sink);
        answer
    }

    pub(crate) fn sink(&mut self) -> &mut dyn BlockSink {
        self.sink.as_deref_mut().unwrap()
    }
}

/// A block of a template, as a pool makes it; `salt` makes it another.
pub(crate) fn mine(template: &Arc<Template>, salt: u32) -> Block {
    let prepared = Arc::new(PreparedTemplate::new(Arc::clone(template)).unwrap());
    let unique = UniqueBytes {
        process: *b"test",
        job: salt,
    };
    let payout = Payout::new(
        ScriptBuf::from_hex("0014000102030405060708090a0b0c0d0e0f10111213").unwrap(),
        None,
    );
    let tag = PoolTag::new("test").unwrap();
    let job = Job::new(prepared, payout, &tag, unique, 8).unwrap();
    let extranonce = [7; 8];
    let headers = (0..).map(|nonce| Header {
        version: template.version | 0x0400_0000,
        prev_hash: template.prev_hash,
        merkle_root: job.merkle_root(&extranonce, &[]),
        time: template.current_time,
        bits: template.bits,
        nonce,
    });
    let target = job.prepared().target();
    let header = headers
        .into_iter()
        .find(|header| target.is_met_by(&header.hash()));
    job.block(header.unwrap(), &extranonce)
}

/// Gives the chain a block of its own template, as somebody else would.
pub(crate) fn advance(chain: &EmbeddedChain, salt: u32) -> BlockHash {
    let block = mine(&Arc::new(chain.template()), salt);
    let bytes = block.to_hex().to_bytes().unwrap();
    assert_eq!(chain.submit(&bytes), SubmitAnswer::Accepted);
    block.hash()
}
