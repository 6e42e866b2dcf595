//! Templates from a Template Provider, by Stratum V2's template distribution protocol over Noise (spec §7).
//!
//! One connection, one task. A template is told when its transactions have come too, so that whatever is
//! found on it is a whole block that any node takes. Blocks go back as solutions, to which the protocol has
//! no answer: that the provider names the block as its new tip is one. Where the node can be reached by RPC
//! besides, blocks go there as well, and its answer counts.
//!
//! Not here: messages and their order, which are the session's ([`headframe_distribution::client`]).

mod address;
mod ahead;
mod assemble;
mod link;
mod pulse;
mod sink;
mod tips;
mod unnamed;

use std::io;
use std::sync::Arc;

use bitcoin::Txid;
use headframe_distribution::CoinbaseConstraints;
use headframe_work::Network;
use tokio::sync::{mpsc, watch};

pub use address::{ProviderAddress, ProviderAddressError};
pub use pulse::Patience;

use crate::news::{NewsSource, Tasks};
use crate::rpc::{self, RpcSettings};
use crate::{BlockCheck, BoxFuture, CheckAnswer, Node, NodeError, NodeStatus, TransactionSource};
use link::{Link, Slots};
use sink::TdpSink;
use tips::Tips;

/// What a coinbase of this pool may add to a template's: three outputs, each with a value, and a script of up
/// to 42 bytes, the longest that an address stands for; and as many checks of a signature, each counted
/// fourfold. That has to be said before the first template comes.
pub const COINBASE_CONSTRAINTS: CoinbaseConstraints = CoinbaseConstraints {
    size: 3 * (8 + 1 + 42),
    sigops: 3 * 4,
};

/// Blocks that wait to be sent.
const SOLUTIONS: usize = 16;

/// How a node is reached through a Template Provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdpSettings {
    /// The network, which the protocol does not tell.
    pub network: Network,
    /// The provider.
    pub provider: ProviderAddress,
    /// The RPC of the node behind it, or of another one: for the answers to blocks, and for what a provider
    /// cannot be asked.
    pub rpc: Option<RpcSettings>,
    /// How long the provider may be silent.
    pub patience: Patience,
}

/// The provider as a value of each port. It is connected to from now on, and again whenever the connection is
/// lost, by a task that ends when the template source is dropped.
///
/// Must be called inside a tokio runtime with time and I/O enabled. A provider that cannot be reached is no
/// error here: the source tells it, and goes on trying.
///
/// # Errors
///
/// The operating system gives no event queue for the RPC's sink.
pub fn connect(settings: TdpSettings) -> io::Result<Node> {
    let name = format!("the template provider at {}", settings.provider);
    let slots = Slots {
        status: watch::Sender::new(NodeStatus::starting(name, settings.network)),
        news: watch::Sender::new(None),
        new_tips: watch::Sender::new(None),
    };
    let health = slots.status.subscribe();
    let (news, new_tips) = (slots.news.subscribe(), slots.new_tips.subscribe());
    let tips = Arc::new(Tips::default());
    let (solutions, handed_in) = mpsc::channel(SOLUTIONS);
    let by_rpc = settings.rpc.map(rpc::connect).transpose()?;
    let (rpc_sink, check, transactions) = match by_rpc {
        // Its templates are not followed.
        Some(node) => (Some(node.sink), node.check, node.transactions),
        None => {
            let nobody = Arc::new(Nobody);
            let check: Arc<dyn BlockCheck> = nobody.clone();
            (None, check, nobody as Arc<dyn TransactionSource>)
        }
    };
    let sink = TdpSink::new(solutions, Arc::clone(&tips), health.clone(), rpc_sink);
    let link = Link::new(
        settings.network,
        settings.provider,
        settings.patience,
        slots,
        tips,
        handed_in,
    );
    Ok(Node {
        templates: Box::new(NewsSource {
            news,
            new_tips: Some(new_tips),
            _followed_by: Tasks(vec![tokio::spawn(link.run()).abort_handle()]),
        }),
        sink: Box::new(sink),
        check,
        transactions,
        status: health,
    })
}

/// Stands where a node would be asked.
struct Nobody;

impl BlockCheck for Nobody {
    fn check<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<CheckAnswer, NodeError>> {
        let what = "to check a block";
        Box::pin(async move { Err(NodeError::NotAskable { what }) })
    }
}

impl TransactionSource for Nobody {
    fn transactions<'a>(
        &'a self,
        _: &'a [Txid],
    ) -> BoxFuture<'a, Result<Vec<Option<Vec<u8>>>, NodeError>> {
        let what = "for transactions that are in no template";
        Box::pin(async move { Err(NodeError::NotAskable { what }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::consensus::encode::serialize;
    use bitcoin::{Amount, ScriptBuf, TxOut};
    use headframe_work::{BasisPoints, Fee, Payout};

    fn script(byte: u8, kind: &[u8], len: usize, tail: &[u8]) -> ScriptBuf {
        ScriptBuf::from_bytes([kind, &vec![byte; len], tail].concat())
    }

    /// TD-15, TD-17: a miner, the fee and its second receiver, each at the address that takes most.
    #[test]
    fn what_is_asked_for_is_what_the_largest_coinbase_needs() {
        let longest = |byte| script(byte, &[0x60, 40], 40, &[]);
        let p2pkh = |byte| script(byte, &[0x76, 0xa9, 20], 20, &[0x88, 0xac]);
        let part = |value| BasisPoints::new(value).unwrap();
        let payout = |of: &dyn Fn(u8) -> ScriptBuf| {
            let fee = Fee {
                rate: part(200),
                script: of(2),
                split: Some((part(5_000), of(3))),
            };
            Payout::new(of(1), Some(fee))
        };
        let needs = |payout: &Payout| {
            let outputs = payout.outputs(Amount::from_sat(5_000_000_000));
            let outputs = outputs.map(|(value, script)| TxOut {
                value,
                script_pubkey: script.to_owned(),
            });
            outputs.fold((0, 0), |(size, sigops), output| {
                let checks = 4 * output.script_pubkey.count_sigops_legacy();
                (size + serialize(&output).len(), sigops + checks)
            })
        };
        let (size, none) = needs(&payout(&longest));
        assert_eq!((size, none), (COINBASE_CONSTRAINTS.size as usize, 0));
        let (less, sigops) = needs(&payout(&p2pkh));
        assert!(less < size);
        assert_eq!(sigops, usize::from(COINBASE_CONSTRAINTS.sigops));
    }
}
