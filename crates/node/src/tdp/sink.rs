//! Blocks, back to the provider as solutions, and to the node's RPC where there is one.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use bitcoin::consensus::encode::{VarInt, deserialize_partial};
use bitcoin::hex::FromHex as _;
use bitcoin::{BlockHash, Transaction, block};
use headframe_distribution::client::SubmitError;
use headframe_work::{BlockHex, Header, UnixTime};
use tokio::sync::{mpsc, watch};

use super::tips::Tips;
use crate::{BlockFate, BlockSink, Condition, NodeError, NodeStatus, SubmitAnswer};

/// How long the connection's task may take to send a solution. It waits for nothing; it may be connecting.
const SENT_WITHIN: Duration = Duration::from_secs(1);
/// How long the provider may take to name the block as its tip: the node checks the whole of it before.
const NAMED_WITHIN: Duration = Duration::from_secs(2);
/// The most of a block that its header, a count and a coinbase that fits a message take, in digits.
const HEAD_DIGITS: usize = 2 * (80 + 9 + 0x1_0000);

/// A block's header and coinbase, on their way to the connection's task.
#[derive(Debug)]
pub(super) struct HandedIn {
    pub(super) header: Header,
    pub(super) coinbase: Vec<u8>,
    /// Told whether it was sent.
    pub(super) sent: SyncSender<Result<(), SubmitError>>,
}

/// Takes blocks to one provider.
pub(super) struct TdpSink {
    solutions: mpsc::Sender<HandedIn>,
    tips: Arc<Tips>,
    status: watch::Receiver<NodeStatus>,
    rpc: Option<Box<dyn BlockSink>>,
}

impl TdpSink {
    pub(super) fn new(
        solutions: mpsc::Sender<HandedIn>,
        tips: Arc<Tips>,
        status: watch::Receiver<NodeStatus>,
        rpc: Option<Box<dyn BlockSink>>,
    ) -> Self {
        Self {
            solutions,
            tips,
            status,
            rpc,
        }
    }

    /// Gives the solution to the connection's task, which says whether it was sent.
    fn hand_in(&self, header: Header, coinbase: Vec<u8>) -> Receiver<Result<(), SubmitError>> {
        let (sent, was_sent) = sync_channel(1);
        let handed_in = HandedIn {
            header,
            coinbase,
            sent,
        };
        // One that is not taken is dropped, and with it who would say that it was sent.
        let _ = self.solutions.try_send(handed_in);
        was_sent
    }

    /// What the provider makes of a solution, as far as it can be known.
    fn answer(
        &self,
        hash: BlockHash,
        was_sent: &Receiver<Result<(), SubmitError>>,
    ) -> SubmitAnswer {
        let sent = was_sent.recv_timeout(SENT_WITHIN);
        match sent.unwrap_or(Err(SubmitError::NotOpen)) {
            Ok(()) if self.tips.wait_for(hash, NAMED_WITHIN) => SubmitAnswer::Accepted,
            Ok(()) => SubmitAnswer::Inconclusive,
            Err(_) if self.tips.fate(hash) != BlockFate::Unknown => SubmitAnswer::AlreadyKnown,
            Err(error @ (SubmitError::UnknownTemplate | SubmitError::NotOpen)) => {
                SubmitAnswer::Retry(error.to_string())
            }
            Err(error @ (SubmitError::Target | SubmitError::Version | SubmitError::TooLong(_))) => {
                SubmitAnswer::Refused(error.to_string())
            }
        }
    }
}

impl BlockSink for TdpSink {
    fn submit(&mut self, block: &BlockHex) -> SubmitAnswer {
        let Some((header, coinbase)) = head_of(block.head()) else {
            return SubmitAnswer::Refused("Block decode failed".to_owned());
        };
        let hash = header.hash();
        let was_sent = self.hand_in(header, coinbase);
        let Some(rpc) = &mut self.rpc else {
            return self.answer(hash, &was_sent);
        };
        // A provider that is being connected to holds up no block for the node.
        match rpc.submit(block) {
            // The provider may know, where the node does not answer.
            SubmitAnswer::Retry(reason) => match self.answer(hash, &was_sent) {
                SubmitAnswer::Accepted => SubmitAnswer::Accepted,
                SubmitAnswer::AlreadyKnown => SubmitAnswer::AlreadyKnown,
                SubmitAnswer::Inconclusive | SubmitAnswer::Refused(_) | SubmitAnswer::Retry(_) => {
                    SubmitAnswer::Retry(reason)
                }
            },
            answer => answer,
        }
    }

    fn another_way(&self) -> Option<Box<dyn BlockSink>> {
        let rpc = match &self.rpc {
            Some(rpc) => Some(rpc.another_way()?),
            None => None,
        };
        Some(Box::new(Self::new(
            self.solutions.clone(),
            Arc::clone(&self.tips),
            self.status.clone(),
            rpc,
        )))
    }

    fn fate(&mut self, hash: BlockHash) -> Result<BlockFate, NodeError> {
        match &mut self.rpc {
            Some(rpc) => rpc.fate(hash),
            None => match self.tips.fate(hash) {
                // It may be far below the first tip that was named.
                BlockFate::Unknown => Err(NodeError::NotAskable {
                    what: "where a block stands that it has not named",
                }),
                fate => Ok(fate),
            },
        }
    }

    fn stand_by(&mut self) -> Result<(), NodeError> {
        if let Some(rpc) = &mut self.rpc {
            return rpc.stand_by();
        }
        match &self.status.borrow().condition {
            Condition::Ready => Ok(()),
            Condition::Unusable(error) => Err(error.clone()),
            Condition::Starting => Err(NodeError::NotAskable {
                what: "before it has answered",
            }),
        }
    }
}

/// Header and coinbase of a block in hexadecimal; `None` where it does not begin with them.
fn head_of(block_hex: &str) -> Option<(Header, Vec<u8>)> {
    let head = block_hex.get(..block_hex.len().min(HEAD_DIGITS))?;
    let bytes = Vec::from_hex(head).ok()?;
    let (header, len) = deserialize_partial::<block::Header>(&bytes).ok()?;
    let rest = bytes.get(len..)?;
    let (_, count_len) = deserialize_partial::<VarInt>(rest).ok()?;
    let rest = rest.get(count_len..)?;
    let (_, coinbase_len) = deserialize_partial::<Transaction>(rest).ok()?;
    let coinbase = rest.get(..coinbase_len)?.to_vec();
    Some((header_of(&header), coinbase))
}

fn header_of(header: &block::Header) -> Header {
    use bitcoin::hashes::Hash as _;
    Header {
        version: header.version.to_consensus().cast_unsigned(),
        prev_hash: header.prev_blockhash,
        merkle_root: header.merkle_root.to_byte_array(),
        time: UnixTime::from_secs(header.time),
        bits: header.bits,
        nonce: header.nonce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::consensus::encode::{serialize, serialize_hex};

    use crate::Tip;
    use bitcoin::constants::genesis_block;

    #[test]
    fn a_block_s_head_is_what_a_solution_has() {
        let block = genesis_block(bitcoin::Network::Bitcoin);
        let (header, coinbase) = head_of(&serialize_hex(&block)).unwrap();
        assert_eq!(header.hash(), block.block_hash());
        assert_eq!(header.to_bytes().to_vec(), serialize(&block.header));
        assert_eq!(coinbase, serialize(&block.txdata[0]));
        for wrong in ["", "00", "zz", "é", &"00".repeat(81)] {
            assert!(head_of(wrong).is_none(), "{wrong}");
        }
    }

    /// A node that says what it is told.
    struct Says(SubmitAnswer);

    impl BlockSink for Says {
        fn submit(&mut self, _: &BlockHex) -> SubmitAnswer {
            self.0.clone()
        }

        fn fate(&mut self, _: BlockHash) -> Result<BlockFate, NodeError> {
            Ok(BlockFate::SideBranch)
        }

        fn stand_by(&mut self) -> Result<(), NodeError> {
            Err(NodeError::Busy)
        }
    }

    /// A sink whose connection says this of a solution; what it was handed stands in the receiver.
    fn sink(
        rpc: Option<SubmitAnswer>,
        sent: Result<(), SubmitError>,
    ) -> (TdpSink, Arc<Tips>, std::thread::JoinHandle<usize>) {
        let (solutions, mut handed_in) = mpsc::channel::<HandedIn>(1);
        let status = NodeStatus::starting(String::new(), headframe_work::Network::Regtest);
        let tips = Arc::new(Tips::default());
        let rpc = rpc.map(|answer| Box::new(Says(answer)) as Box<dyn BlockSink>);
        let status = watch::channel(status).1;
        let sink = TdpSink::new(solutions, Arc::clone(&tips), status, rpc);
        let connection = std::thread::spawn(move || {
            let mut count = 0;
            while let Some(block) = handed_in.blocking_recv() {
                // Where the node has said enough nobody waits for it.
                let _ = block.sent.send(sent.clone());
                count += 1;
            }
            count
        });
        (sink, tips, connection)
    }

    /// TD-47: a solution is sent whatever the node says, the node's answer counts where there is one, and
    /// the provider's tip where there is none.
    #[test]
    fn blocks_go_both_ways_and_the_node_s_answer_counts() {
        let block = genesis_block(bitcoin::Network::Regtest);
        let hex = serialize_hex(&block);
        let refused = || SubmitAnswer::Refused("bad-cb-amount".to_owned());
        let hangs = || SubmitAnswer::Retry("it hangs".to_owned());
        for (rpc, is_named, expected) in [
            (Some(SubmitAnswer::Accepted), false, SubmitAnswer::Accepted),
            (
                Some(SubmitAnswer::AlreadyKnown),
                false,
                SubmitAnswer::AlreadyKnown,
            ),
            (Some(refused()), true, refused()),
            (Some(hangs()), true, SubmitAnswer::Accepted),
            (None, true, SubmitAnswer::Accepted),
        ] {
            let (mut sink, tips, connection) = sink(rpc.clone(), Ok(()));
            if is_named {
                tips.name(Tip {
                    height: 1,
                    hash: block.block_hash(),
                });
            }
            assert_eq!(sink.submit(&hex.as_str().into()), expected, "{rpc:?}");
            drop(sink);
            assert_eq!(connection.join().unwrap(), 1, "the solution was sent");
        }
    }

    /// A node that says when it is asked, and then hangs.
    struct Asked(std::sync::mpsc::Sender<()>);

    impl BlockSink for Asked {
        fn submit(&mut self, _: &BlockHex) -> SubmitAnswer {
            self.0.send(()).unwrap();
            SubmitAnswer::Retry("it hangs".to_owned())
        }

        fn fate(&mut self, _: BlockHash) -> Result<BlockFate, NodeError> {
            Err(NodeError::Busy)
        }

        fn stand_by(&mut self) -> Result<(), NodeError> {
            Ok(())
        }
    }

    /// A provider that is being connected to says nothing of a solution for many seconds.
    #[test]
    fn the_node_has_the_block_before_the_provider_says_anything() {
        let block = genesis_block(bitcoin::Network::Regtest);
        let (solutions, mut handed_in) = mpsc::channel::<HandedIn>(1);
        let status = NodeStatus::starting(String::new(), headframe_work::Network::Regtest);
        let tips = Arc::new(Tips::default());
        tips.name(Tip {
            height: 1,
            hash: block.block_hash(),
        });
        let (asked, was_asked) = std::sync::mpsc::channel();
        let status = watch::channel(status).1;
        let mut sink = TdpSink::new(solutions, tips, status, Some(Box::new(Asked(asked))));
        let connection = std::thread::spawn(move || {
            let block = handed_in.blocking_recv().unwrap();
            was_asked.recv().unwrap();
            // Who waited for this before asking the node has given up.
            let _ = block.sent.send(Ok(()));
        });
        let answer = sink.submit(&serialize_hex(&block).as_str().into());
        assert_eq!(answer, SubmitAnswer::Accepted);
        connection.join().unwrap();
    }

    /// A provider names tips and nothing else: of a block from before the connection it does not say that its node has
    /// forgotten it, and nobody brings it back.
    #[test]
    fn where_a_block_stands_is_said_of_blocks_that_were_named() {
        let hash = genesis_block(bitcoin::Network::Regtest).block_hash();
        let (mut sink, tips, _connection) = sink(None, Ok(()));
        assert!(matches!(sink.fate(hash), Err(NodeError::NotAskable { .. })));
        tips.name(Tip { height: 1, hash });
        let confirmations = 1;
        assert_eq!(sink.fate(hash), Ok(BlockFate::InChain { confirmations }));
    }

    /// What was not sent is tried again where that can help, and not where the block is nothing for the provider.
    #[test]
    fn what_was_not_sent_is_tried_again_unless_it_cannot_help() {
        let hex = serialize_hex(&genesis_block(bitcoin::Network::Regtest));
        let answer = |rpc, error| sink(rpc, Err(error)).0.submit(&hex.as_str().into());
        for error in [SubmitError::UnknownTemplate, SubmitError::NotOpen] {
            assert!(matches!(answer(None, error), SubmitAnswer::Retry(_)));
        }
        for error in [SubmitError::Target, SubmitError::Version] {
            assert!(matches!(answer(None, error), SubmitAnswer::Refused(_)));
        }
        // The node may take it yet.
        let hangs = SubmitAnswer::Retry("it hangs".to_owned());
        assert_eq!(answer(Some(hangs.clone()), SubmitError::Target), hangs);
        let (mut both, _, _) = sink(Some(SubmitAnswer::Accepted), Ok(()));
        let hash = genesis_block(bitcoin::Network::Regtest).block_hash();
        assert_eq!(both.fate(hash), Ok(BlockFate::SideBranch), "the node knows");
        assert_eq!(both.stand_by(), Err(NodeError::Busy));
    }
}
