//! One chain behind every kind of source, so that all of them go through the same tests: the embedded chain as it
//! is made, or a Bitcoin Core that has its blocks and transactions.

use std::time::Duration;

use bitcoin::hex::DisplayHex;
use headframe_node::embedded::{EmbeddedChain, PREMINE};
use headframe_node::{BlockSink, Node, TemplateUpdate, rpc};
use headframe_work::{Network, Template};
use serde_json::json;

use super::bitcoind::Bitcoind;
use crate::embedded::REGTEST;

/// Which adapter is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Embedded,
    Rpc,
    #[cfg(feature = "ipc")]
    Ipc,
    /// IPC, with blocks by RPC as well.
    #[cfg(feature = "ipc")]
    IpcAndRpc,
}

/// A chain of [`PREMINE`] blocks with transactions for the next, and the way to it.
pub(crate) struct Arena {
    source: Source,
    /// The chain, or the one that Bitcoin Core's was copied from.
    chain: EmbeddedChain,
    core: Option<Bitcoind>,
}

impl Arena {
    /// Starts what the source stands for; nothing where the environment names none, with a word about it.
    pub(crate) fn start(source: Source) -> Option<Self> {
        let chain = EmbeddedChain::open(None, REGTEST).unwrap();
        let arguments = &["-acceptnonstdtxn=1"];
        let core = match source {
            Source::Embedded => None,
            Source::Rpc => Some(Bitcoind::start(Network::Regtest, arguments)?),
            #[cfg(feature = "ipc")]
            Source::Ipc | Source::IpcAndRpc => {
                Some(Bitcoind::start_with_ipc(Network::Regtest, arguments)?)
            }
        };
        if let Some(core) = &core {
            core.wait();
            let blocks = (1..=PREMINE).map(|height| chain.block(height).unwrap());
            core.replay(blocks.map(|block| block.to_lower_hex_string()));
        }
        let arena = Self {
            source,
            chain,
            core,
        };
        Some(arena)
    }

    /// Connects to the node by the source's way.
    pub(crate) fn connect(&self) -> Node {
        match (self.source, &self.core) {
            (Source::Embedded, _) => self.chain.node(Duration::from_secs(60)),
            (Source::Rpc, Some(core)) => {
                let mut settings = core.settings();
                settings.refresh = Duration::from_secs(1);
                rpc::connect(settings).unwrap()
            }
            #[cfg(feature = "ipc")]
            (Source::Ipc, Some(core)) => headframe_node::ipc::connect(core.ipc()).unwrap(),
            #[cfg(feature = "ipc")]
            (Source::IpcAndRpc, Some(core)) => {
                let mut settings = core.ipc();
                settings.rpc = Some(core.settings());
                headframe_node::ipc::connect(settings).unwrap()
            }
            (_, None) => panic!("a Bitcoin Core belongs to every other source"),
        }
    }

    /// The next block's template, as the chain that all have in common gives it.
    pub(crate) fn expected(&self) -> Template {
        self.chain.template()
    }

    /// Puts the transactions of the next block where the node finds them. The embedded chain has them already.
    pub(crate) fn add_transactions(&self) {
        if let Some(core) = &self.core {
            for transaction in self.expected().transactions {
                let digits = transaction.data.to_lower_hex_string();
                core.call("sendrawtransaction", &json!([digits]));
            }
        }
    }

    /// The Bitcoin Core behind the source.
    #[cfg(feature = "ipc")]
    pub(crate) fn core(&self) -> &Bitcoind {
        self.core.as_ref().expect("the source is Bitcoin Core's")
    }

    /// Whether the node keeps blocks beside its best chain.
    pub(crate) fn has_branches(&self) -> bool {
        self.core.is_some()
    }
}

/// Waits through the errors of a node that is starting.
pub(crate) async fn template(node: &mut Node) -> TemplateUpdate {
    loop {
        match node.templates.next().await {
            Ok(update) => return update,
            Err(error) => eprintln!("not yet: {error}"),
        }
    }
}

/// Calls the sink on a thread of its own, where it belongs.
pub(crate) async fn on_sink<T: Send + 'static>(
    node: &mut Node,
    call: impl FnOnce(&mut dyn BlockSink) -> T + Send + 'static,
) -> T {
    let mut sink = std::mem::replace(&mut node.sink, Box::new(NoSink));
    let called = tokio::task::spawn_blocking(move || {
        let answer = call(&mut *sink);
        (sink, answer)
    });
    let (sink, answer) = called.await.unwrap();
    node.sink = sink;
    answer
}

/// Stands where the sink is away.
struct NoSink;

impl BlockSink for NoSink {
    fn submit(&mut self, _: &headframe_work::BlockHex) -> headframe_node::SubmitAnswer {
        unreachable!("the sink is away")
    }

    fn fate(
        &mut self,
        _: bitcoin::BlockHash,
    ) -> Result<headframe_node::BlockFate, headframe_node::NodeError> {
        unreachable!("the sink is away")
    }

    fn stand_by(&mut self) -> Result<(), headframe_node::NodeError> {
        unreachable!("the sink is away")
    }
}
