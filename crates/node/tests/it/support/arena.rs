//! One chain behind every kind of source, so that all of them go through the same tests: the embedded chain as it
//! is made, or a Bitcoin Core that has its blocks and transactions.

use std::time::Duration;

use headframe_node::embedded::EmbeddedChain;
use headframe_node::{Node, rpc};
use headframe_work::{Network, Template};

use super::bitcoind::Bitcoind;
pub(crate) use super::calls::{on_sink, template};
use crate::battery::Ability;
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
            core.copy(&chain);
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

    /// Puts the transactions of the next block where the node finds them; false where it has them already.
    pub(crate) fn add_transactions(&self) -> bool {
        let Some(core) = &self.core else {
            return false;
        };
        core.send(&self.expected().transactions);
        true
    }

    /// The Bitcoin Core behind the source.
    #[cfg(feature = "ipc")]
    pub(crate) fn core(&self) -> &Bitcoind {
        self.core.as_ref().expect("the source is Bitcoin Core's")
    }

    pub(crate) fn can(&self, ability: Ability) -> bool {
        match ability {
            Ability::Branches => self.core.is_some(),
            Ability::Questions | Ability::Fees | Ability::OneWay => true,
        }
    }
}
