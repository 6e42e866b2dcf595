//! One chain, a provider on it, and the way to the provider.

use std::time::Duration;

use headframe_node::tdp::{self, Patience, TdpSettings};
use headframe_node::{Node, rpc};
use headframe_work::{Network, Template};

use super::bitcoind::Bitcoind;
pub(crate) use super::calls::{on_sink, template};
use crate::battery::Ability;
use crate::harness::{House, Setup};

/// Before which node the provider stands, and what there is beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The embedded chain.
    Embedded,
    /// A Bitcoin Core by RPC.
    Core,
    /// A Bitcoin Core, which is asked by RPC beside the provider too.
    CoreAndRpc,
}

/// A chain with transactions for the next block, and a provider of its templates.
pub(crate) struct Arena {
    source: Source,
    house: House,
    core: Option<Bitcoind>,
}

impl Arena {
    /// Starts what the source stands for; nothing where the environment names no program, with a word about it.
    pub(crate) fn start(source: Source) -> Option<Self> {
        let mut setup = Setup::usual();
        let core = match source {
            Source::Embedded => None,
            Source::Core | Source::CoreAndRpc => {
                Some(Bitcoind::start(Network::Regtest, &["-acceptnonstdtxn=1"])?)
            }
        };
        if let Some(core) = &core {
            core.copy(&setup.chain);
            let mut settings = core.settings();
            settings.refresh = Duration::from_secs(1);
            let node = rpc::connect(settings).unwrap();
            setup.templates = Some(node.templates);
            setup.sink = Some(node.sink);
        }
        let house = setup.start();
        Some(Self {
            source,
            house,
            core,
        })
    }

    /// Connects to the provider.
    pub(crate) fn connect(&self) -> Node {
        let beside = self.core.as_ref();
        let beside = beside.filter(|_| self.source == Source::CoreAndRpc);
        tdp::connect(TdpSettings {
            network: Network::Regtest,
            provider: format!("{}/{}", self.house.address, self.house.authority)
                .parse()
                .unwrap(),
            rpc: beside.map(Bitcoind::settings),
            patience: Patience::default(),
        })
        .unwrap()
    }

    /// The next block's template, as the chain that all have in common gives it.
    pub(crate) fn expected(&self) -> Template {
        self.house.chain.template()
    }

    /// Puts the transactions of the next block where the node finds them; false where it has them already.
    pub(crate) fn add_transactions(&self) -> bool {
        let Some(core) = &self.core else {
            return false;
        };
        core.send(&self.expected().transactions);
        true
    }

    pub(crate) fn can(&self, ability: Ability) -> bool {
        let has_rpc = self.source == Source::CoreAndRpc;
        match ability {
            Ability::Questions | Ability::Branches => has_rpc,
            Ability::Fees => false,
            Ability::OneWay => !has_rpc,
        }
    }
}
