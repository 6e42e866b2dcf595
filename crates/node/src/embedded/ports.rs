//! The embedded chain behind the ports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::hex::FromHex;
use bitcoin::{BlockHash, Txid};
use headframe_work::{BlockHex, Network};
use tokio::sync::watch;

use super::EmbeddedChain;
use super::chain::system_time;
use crate::{
    BlockCheck, BlockFate, BlockSink, BoxFuture, Cause, CheckAnswer, Condition, HeaderWindow, Node,
    NodeError, NodeStatus, SubmitAnswer, TemplateSource, TemplateUpdate, TransactionSource,
};

/// The shortest time between two templates on one tip, so that a change of bits that a rounded
/// clock announces early cannot make a busy loop.
const LEAST_WAIT: Duration = Duration::from_millis(200);

impl EmbeddedChain {
    /// The chain as a [`Node`], with a fresh template at least every `refresh`. Each call gives a
    /// template source of its own.
    pub fn node(&self, refresh: Duration) -> Node {
        let status = watch::Sender::new(self.status());
        let receiver = status.subscribe();
        Node {
            templates: Box::new(ChainTemplates {
                chain: self.clone(),
                tip: self.subscribe(),
                told: None,
                refresh,
                status,
            }),
            sink: Box::new(ChainSink(self.clone())),
            check: Arc::new(self.clone()),
            transactions: Arc::new(self.clone()),
            status: receiver,
        }
    }

    fn status(&self) -> NodeStatus {
        NodeStatus {
            condition: Condition::Ready,
            tip: Some(self.tip()),
            version: Some(concat!("headframe ", env!("CARGO_PKG_VERSION")).to_owned()),
            ..NodeStatus::starting("embedded chain".to_owned(), Network::Regtest)
        }
    }
}

/// The template source: follows the tip, the refresh timer and the easing of the bits.
struct ChainTemplates {
    chain: EmbeddedChain,
    tip: watch::Receiver<crate::Tip>,
    told: Option<Told>,
    refresh: Duration,
    status: watch::Sender<NodeStatus>,
}

/// The template that was told last.
#[derive(Clone, Copy)]
struct Told {
    prev_hash: BlockHash,
    /// When it is to be followed by another though the tip is the same.
    due: tokio::time::Instant,
}

impl TemplateSource for ChainTemplates {
    fn next(&mut self) -> BoxFuture<'_, Result<TemplateUpdate, NodeError>> {
        Box::pin(async move {
            if let Some(told) = self.told {
                self.wait(told).await;
            }
            Ok(self.tell())
        })
    }
}

impl ChainTemplates {
    async fn wait(&mut self, told: Told) {
        let moved = self.tip.wait_for(|tip| tip.hash != told.prev_hash);
        // Both an elapsed time and a closed channel (which the chain in self rules out) mean: tell.
        let _ = tokio::time::timeout_at(told.due, moved).await;
    }

    fn tell(&mut self) -> TemplateUpdate {
        let now = system_time();
        let template = Arc::new(self.chain.template_at(now));
        let cause = match self.told {
            Some(told) if told.prev_hash == template.prev_hash => Cause::Refresh,
            _ => Cause::NewTip,
        };
        let wait = self
            .chain
            .until_easier(now)
            .unwrap_or(self.refresh)
            .min(self.refresh);
        self.told = Some(Told {
            prev_hash: template.prev_hash,
            due: tokio::time::Instant::now() + wait.max(LEAST_WAIT),
        });
        let received = Instant::now();
        self.status.send_replace(NodeStatus {
            last_template: Some(received),
            ..self.chain.status()
        });
        TemplateUpdate {
            window: HeaderWindow::unbounded(&template),
            template,
            cause,
            received,
        }
    }
}

struct ChainSink(EmbeddedChain);

impl BlockSink for ChainSink {
    fn submit(&mut self, block: &BlockHex) -> SubmitAnswer {
        match block.to_bytes() {
            Ok(block) => self.0.submit(&block),
            Err(_) => SubmitAnswer::Refused("Block decode failed".to_owned()),
        }
    }

    fn fate(&mut self, hash: BlockHash) -> Result<BlockFate, NodeError> {
        Ok(self.0.fate(hash))
    }

    fn another_way(&self) -> Option<Box<dyn BlockSink>> {
        Some(Box::new(Self(self.0.clone())))
    }

    fn stand_by(&mut self) -> Result<(), NodeError> {
        Ok(())
    }
}

impl BlockCheck for EmbeddedChain {
    fn check<'a>(&'a self, block_hex: &'a str) -> BoxFuture<'a, Result<CheckAnswer, NodeError>> {
        Box::pin(async move {
            Ok(match Vec::from_hex(block_hex) {
                Ok(block) => Self::check(self, &block),
                Err(_) => CheckAnswer::Refused("Block decode failed".to_owned()),
            })
        })
    }
}

impl TransactionSource for EmbeddedChain {
    fn transactions<'a>(
        &'a self,
        txids: &'a [Txid],
    ) -> BoxFuture<'a, Result<Vec<Option<Vec<u8>>>, NodeError>> {
        Box::pin(async move { Ok(Self::transactions(self, txids)) })
    }
}
