//! The calls of the mining interface, typed, and what the node at the other end can do.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Txid};
use bitcoin_capnp_types::capnp::capability::RemotePromise;
use bitcoin_capnp_types::capnp::traits::{Owned, Pipelined};
use bitcoin_capnp_types::capnp::{self, data_list};
use bitcoin_capnp_types::mining_capnp::{block_template, mining};
use bitcoin_capnp_types::proxy_capnp::thread;
use bitcoin_capnp_types::rpc_capnp::rpc;
use headframe_work::Reserve;

use crate::ipc::command::Found;
use crate::ipc::connection::{Connection, PROMPT, unintelligible};
use crate::ipc::kept::{Kept, Templates};
use crate::{NodeError, Tip};

/// The longest wait for a template or a part of one. A node that is stopped is noticed by its heartbeat before.
const TEMPLATE_LIMIT: Duration = Duration::from_secs(120);
/// The longest wait for a verdict on a block without proof of work, and for transactions.
const QUESTION_LIMIT: Duration = Duration::from_secs(30);

/// A node that serves its mining interface.
pub(super) struct Session {
    connection: Connection,
    mining: mining::Client,
    threads: Threads,
    calls: Calls,
    kept: RefCell<Templates>,
    /// The block that was accepted last: the older `submitSolution` says the same of it again.
    accepted: Cell<Option<BlockHash>>,
}

/// The node's interface before it is known which it is.
pub(super) struct Greeted {
    connection: Connection,
    mining: mining::Client,
    threads: Threads,
}

/// Threads in the node: calls that must not wait for each other have one each.
struct Threads {
    wait: thread::Client,
    tip: thread::Client,
    ask: thread::Client,
    submit: thread::Client,
    check: thread::Client,
    beat: thread::Client,
}

/// What differs between releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Calls {
    /// `submitSolution` says why (Bitcoin Core 32, @10); before it says yes or no (31, @7).
    pub(super) gives_reasons: bool,
    /// `submitBlock` is there (32).
    pub(super) takes_blocks: bool,
}

/// Writes the thread into the context of a call.
macro_rules! on {
    ($request:expr, $thread:expr) => {
        $request.get().init_context().set_thread($thread.clone())
    };
}

/// Reads a part of an answer.
macro_rules! read {
    ($method:expr, $value:expr) => {
        $value.map_err(|error| unintelligible($method, error))?
    };
}

mod blocks;
mod parts;

impl Greeted {
    /// Asks for the mining interface, which a node that loads its chain gives when it has: there is no limit.
    pub(super) async fn new(connection: Connection) -> Result<Self, NodeError> {
        let threads = Threads {
            wait: connection.thread("headframe-wait").await?,
            tip: connection.thread("headframe-tip").await?,
            ask: connection.thread("headframe-ask").await?,
            submit: connection.thread("headframe-submit").await?,
            check: connection.thread("headframe-check").await?,
            beat: connection.thread("headframe-beat").await?,
        };
        const METHOD: &str = "makeMining";
        let mut request = connection.init.make_mining_request();
        on!(request, threads.ask);
        let answer = connection.answer(METHOD, None, request.send()).await?;
        let results = read!(METHOD, answer.get());
        if !results.has_result() {
            return Err(NodeError::WarmingUp("it is shutting down".to_owned()));
        }
        let mining = read!(METHOD, results.get_result());
        Ok(Self {
            connection,
            mining,
            threads,
        })
    }

    /// The node's RPC over the same socket; none before Bitcoin Core 32.
    pub(super) async fn rpc(&self) -> Result<Option<rpc::Client>, NodeError> {
        const METHOD: &str = "makeRpc";
        let mut request = self.connection.init.make_rpc_request();
        on!(request, self.threads.check);
        let answer = self.connection.answer(METHOD, Some(PROMPT), request.send());
        match answer.await {
            Ok(answer) => {
                let results = read!(METHOD, answer.get());
                Ok(results.get_result().ok())
            }
            Err(NodeError::UnknownInterface { .. } | NodeError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Learns which calls the node has, before a block depends on it: it is shown a block without work, as
    /// a solution and whole, and has to refuse it.
    pub(super) async fn rehearse(self, reserve: Reserve) -> Result<Session, NodeError> {
        let mut session = Session {
            connection: self.connection,
            mining: self.mining,
            threads: self.threads,
            calls: Calls {
                gives_reasons: true,
                takes_blocks: true,
            },
            kept: RefCell::default(),
            accepted: Cell::default(),
        };
        let template = session.create(reserve).await?;
        let block = session.block(&template).await?;
        let rehearsal = crate::ipc::template::without_work(&block)?;
        session.calls = Calls {
            gives_reasons: session.rehearse_solution(&template, &rehearsal.0).await?,
            takes_blocks: session.rehearse_block(&rehearsal.1).await?,
        };
        tracing::debug!(calls = ?session.calls, "the node's mining interface is known");
        Ok(session)
    }
}

impl Session {
    /// A thread in the node for questions to its RPC.
    pub(super) fn question_thread(&self) -> thread::Client {
        self.threads.check.clone()
    }

    /// The connection, for calls to the node's RPC.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Keeps a template for blocks to come.
    pub(super) fn keep(&self, kept: Kept) {
        self.kept.borrow_mut().keep(kept);
    }

    /// Makes a template now. The node's own wait for the end of its first download is left out, since a chain
    /// whose only miner we are never ends it.
    pub(super) async fn create(
        &self,
        reserve: Reserve,
    ) -> Result<block_template::Client, NodeError> {
        const METHOD: &str = "createNewBlock";
        let mut request = self.mining.create_new_block_request();
        on!(request, self.threads.ask);
        let mut parameters = request.get();
        parameters.set_cooldown(false);
        let mut options = parameters.init_options();
        options.set_use_mempool(true);
        options.set_block_reserved_weight(reserve.weight.into());
        options.set_coinbase_output_max_additional_sigops(reserve.sigops.into());
        let answer = self.answer(METHOD, TEMPLATE_LIMIT, request.send()).await?;
        let results = read!(METHOD, answer.get());
        if !results.has_result() {
            return Err(NodeError::WarmingUp("it is shutting down".to_owned()));
        }
        Ok(read!(METHOD, results.get_result()))
    }

    /// Waits for a template on another tip than that of `template`, or one that pays more by `rise` satoshis.
    /// Nothing after `limit`, or before if the wait was interrupted.
    pub(super) async fn wait_next(
        &self,
        template: &block_template::Client,
        limit: Duration,
        rise: i64,
    ) -> Result<Option<block_template::Client>, NodeError> {
        const METHOD: &str = "waitNext";
        let mut request = template.wait_next_request();
        on!(request, self.threads.wait);
        let mut options = request.get().init_options();
        options.set_timeout(milliseconds(limit));
        options.set_fee_threshold(rise);
        let answer = self.connection.answer(METHOD, None, request.send()).await?;
        let results = read!(METHOD, answer.get());
        match results.has_result() {
            true => Ok(Some(read!(METHOD, results.get_result()))),
            false => Ok(None),
        }
    }

    /// Ends a wait for the next template.
    pub(super) async fn interrupt_wait(
        &self,
        template: &block_template::Client,
    ) -> Result<(), NodeError> {
        let sent = template.interrupt_wait_request().send();
        self.answer("interruptWait", PROMPT, sent).await.map(drop)
    }

    /// Waits for another tip than `known`, at most `limit`; gives the tip as it is then.
    pub(super) async fn wait_tip(
        &self,
        known: BlockHash,
        limit: Duration,
    ) -> Result<Option<Tip>, NodeError> {
        const METHOD: &str = "waitTipChanged";
        let mut request = self.mining.wait_tip_changed_request();
        on!(request, self.threads.tip);
        request.get().set_current_tip(known.as_byte_array());
        request.get().set_timeout(milliseconds(limit));
        let answer = self.connection.answer(METHOD, None, request.send()).await?;
        let result = read!(METHOD, read!(METHOD, answer.get()).get_result());
        let hash = <[u8; 32]>::try_from(read!(METHOD, result.get_hash())).ok();
        let height = u32::try_from(result.get_height()).ok();
        Ok(hash.zip(height).map(tip))
    }

    /// The tip now.
    async fn tip(&self) -> Result<Option<Tip>, NodeError> {
        const METHOD: &str = "getTip";
        let mut request = self.mining.get_tip_request();
        on!(request, self.threads.submit);
        let answer = self.answer(METHOD, PROMPT, request.send()).await?;
        let result = read!(METHOD, read!(METHOD, answer.get()).get_result());
        let hash = <[u8; 32]>::try_from(read!(METHOD, result.get_hash())).ok();
        let height = u32::try_from(result.get_height()).ok();
        Ok(hash.zip(height).map(tip))
    }

    /// Whether the node is on a chain for tests. It takes none of the node's locks, so that it is its heartbeat
    /// too: it has no limit of its own.
    pub(super) async fn is_test_chain(&self) -> Result<bool, NodeError> {
        const METHOD: &str = "isTestChain";
        let mut request = self.mining.is_test_chain_request();
        on!(request, self.threads.beat);
        let answer = self.connection.answer(METHOD, None, request.send()).await?;
        Ok(read!(METHOD, answer.get()).get_result())
    }

    /// Whether the node says that it has not caught up with its network.
    pub(super) async fn is_downloading(&self) -> Result<bool, NodeError> {
        const METHOD: &str = "isInitialBlockDownload";
        let mut request = self.mining.is_initial_block_download_request();
        on!(request, self.threads.ask);
        let answer = self.answer(METHOD, QUESTION_LIMIT, request.send()).await?;
        Ok(read!(METHOD, answer.get()).get_result())
    }

    /// Transactions of the node's mempool; nothing if the node cannot be asked for them (before Bitcoin Core 32).
    pub(super) async fn transactions(&self, txids: &[Txid]) -> Result<Option<Found>, NodeError> {
        const METHOD: &str = "getTransactionsByTxID";
        let mut request = self.mining.get_transactions_by_tx_i_d_request();
        on!(request, self.threads.check);
        let asked = u32::try_from(txids.len()).map_err(|error| unintelligible(METHOD, error))?;
        let mut list = request.get().init_txids(asked);
        for (index, txid) in (0..).zip(txids) {
            list.set(index, txid.as_byte_array());
        }
        match self.answer(METHOD, QUESTION_LIMIT, request.send()).await {
            Ok(answer) => {
                let list = read!(METHOD, read!(METHOD, answer.get()).get_result());
                let found = items(METHOD, list)?;
                if found.len() != txids.len() {
                    return Err(unintelligible(
                        METHOD,
                        "it has not as many as were asked for",
                    ));
                }
                let found = found.into_iter();
                Ok(Some(
                    found
                        .map(|data| (!data.is_empty()).then_some(data))
                        .collect(),
                ))
            }
            Err(NodeError::UnknownInterface { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends the waits of this session in the node, before the connection is closed.
    pub(super) async fn interrupt(&self) {
        let sent = self.mining.interrupt_request().send();
        let ended = self.answer("interrupt", PROMPT, sent);
        if let Err(error) = ended.await {
            tracing::debug!(%error, "the node's waits could not be ended");
        }
    }

    async fn answer<R>(
        &self,
        method: &'static str,
        limit: Duration,
        sent: RemotePromise<R>,
    ) -> Result<capnp::capability::Response<R>, NodeError>
    where
        R: Pipelined + Owned + Unpin + 'static,
    {
        self.connection.answer(method, Some(limit), sent).await
    }
}

fn tip((hash, height): ([u8; 32], u32)) -> Tip {
    Tip {
        height,
        hash: BlockHash::from_byte_array(hash),
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn items(method: &'static str, list: data_list::Reader<'_>) -> Result<Vec<Vec<u8>>, NodeError> {
    list.iter()
        .map(|item| Ok(read!(method, item).to_vec()))
        .collect()
}
