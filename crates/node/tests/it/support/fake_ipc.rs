//! A node that serves the mining interface of the release that it is told, on the embedded chain. Not Bitcoin
//! Core: what no binary here does can be seen with it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bitcoin::Block;
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::Hash;
use bitcoin_capnp_types::capnp::Error;
use bitcoin_capnp_types::capnp::capability::Rc;
use bitcoin_capnp_types::capnp_rpc::rpc_twoparty_capnp::Side;
use bitcoin_capnp_types::capnp_rpc::{RpcSystem, new_client, twoparty};
use bitcoin_capnp_types::init_capnp::init;
use bitcoin_capnp_types::mining_capnp::{block_template, mining};
use bitcoin_capnp_types::proxy_capnp::{thread as node_thread, thread_map};
use headframe_node::embedded::EmbeddedChain;
use headframe_node::{CheckAnswer, SubmitAnswer};
use headframe_work::Template;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

use super::block::unsolved;
use crate::embedded::REGTEST;

/// Whose interface is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// Its methods are at other places.
    Core30,
    /// Says yes or no to a solution, and takes no whole blocks.
    Core31,
    /// Says why, and takes whole blocks.
    Core32,
    /// Says yes to whatever it is shown.
    Yes,
}

/// What tests look at and change.
pub(crate) struct Shared {
    release: Release,
    pub(crate) chain: EmbeddedChain,
    /// Questions whether it runs.
    pub(crate) beats: watch::Sender<usize>,
    /// Templates that clients hold.
    pub(crate) held: AtomicUsize,
    /// Waits that clients ended.
    pub(crate) interrupted: watch::Sender<usize>,
    /// Templates are made only after as many questions whether it runs.
    pub(crate) beats_before_template: AtomicUsize,
    /// Each solution is said to have been refused before.
    pub(crate) refused_before: AtomicBool,
    /// Ends the waits of clients, as a node does that shuts down.
    ends: watch::Sender<usize>,
}

impl Shared {
    /// From now on no wait lasts.
    pub(crate) fn interrupt_waits(&self) {
        self.ends.send_modify(|ends| *ends += 1);
    }
}

/// A node at a socket of its own. It ends with its value.
pub(crate) struct FakeIpc {
    directory: TempDir,
    pub(crate) shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

impl FakeIpc {
    pub(crate) fn start(release: Release) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let shared = Arc::new(Shared {
            release,
            chain: EmbeddedChain::open(None, REGTEST).unwrap(),
            beats: watch::Sender::new(0),
            held: AtomicUsize::new(0),
            interrupted: watch::Sender::new(0),
            beats_before_template: AtomicUsize::new(0),
            refused_before: AtomicBool::new(false),
            ends: watch::Sender::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let (bound, is_bound) = std::sync::mpsc::channel();
        let (path, served) = (socket_in(directory.path()), shared.clone());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            LocalSet::new().block_on(&runtime, async move {
                let listener = UnixListener::bind(path).unwrap();
                bound.send(()).unwrap();
                tokio::select! {
                    () = serve(listener, served) => {}
                    _ = stopped => {}
                }
            });
        });
        is_bound.recv().unwrap();
        Self {
            directory,
            shared,
            _stop: stop,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        socket_in(self.directory.path())
    }
}

fn socket_in(directory: &Path) -> PathBuf {
    directory.join("node.sock")
}

async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, writer) = stream.into_split();
        let network = twoparty::VatNetwork::new(
            reader.compat(),
            writer.compat_write(),
            Side::Server,
            Default::default(),
        );
        let init: init::Client = new_client(Init(shared.clone()));
        spawn_local(RpcSystem::new(Box::new(network), Some(init.client)));
    }
}

struct Init(Arc<Shared>);

impl init::Server for Init {
    async fn construct(
        self: Rc<Self>,
        _: init::ConstructParams,
        mut results: init::ConstructResults,
    ) -> Result<(), Error> {
        results.get().set_thread_map(new_client(Threads));
        Ok(())
    }

    async fn make_mining(
        self: Rc<Self>,
        _: init::MakeMiningParams,
        mut results: init::MakeMiningResults,
    ) -> Result<(), Error> {
        match self.0.release {
            Release::Core30 => Err(absent()),
            Release::Core31 | Release::Core32 | Release::Yes => {
                results.get().set_result(new_client(Mining(self.0.clone())));
                Ok(())
            }
        }
    }
}

fn absent() -> Error {
    Error::unimplemented("Method not implemented.".to_owned())
}

struct Threads;

impl thread_map::Server for Threads {
    async fn make_thread(
        self: Rc<Self>,
        _: thread_map::MakeThreadParams,
        mut results: thread_map::MakeThreadResults,
    ) -> Result<(), Error> {
        results.get().set_result(new_client(Thread));
        Ok(())
    }
}

struct Thread;

impl node_thread::Server for Thread {}

struct Mining(Arc<Shared>);

impl mining::Server for Mining {
    async fn is_test_chain(
        self: Rc<Self>,
        _: mining::IsTestChainParams,
        mut results: mining::IsTestChainResults,
    ) -> Result<(), Error> {
        self.0.beats.send_modify(|beats| *beats += 1);
        results.get().set_result(true);
        Ok(())
    }

    async fn get_tip(
        self: Rc<Self>,
        _: mining::GetTipParams,
        mut results: mining::GetTipResults,
    ) -> Result<(), Error> {
        let tip = self.0.chain.tip();
        let mut result = results.get().init_result();
        result.set_hash(tip.hash.as_byte_array());
        result.set_height(tip.height as i32);
        Ok(())
    }

    async fn wait_tip_changed(
        self: Rc<Self>,
        params: mining::WaitTipChangedParams,
        mut results: mining::WaitTipChangedResults,
    ) -> Result<(), Error> {
        let known = params.get()?.get_current_tip()?.to_vec();
        let limit = milliseconds(params.get()?.get_timeout());
        let mut tips = self.0.chain.subscribe();
        let other = tips.wait_for(|tip| tip.hash.as_byte_array() != known.as_slice());
        let _ = tokio::time::timeout(limit, other).await;
        let tip = self.0.chain.tip();
        let mut result = results.get().init_result();
        result.set_hash(tip.hash.as_byte_array());
        result.set_height(tip.height as i32);
        Ok(())
    }

    async fn create_new_block(
        self: Rc<Self>,
        _: mining::CreateNewBlockParams,
        mut results: mining::CreateNewBlockResults,
    ) -> Result<(), Error> {
        let wanted = self.0.beats_before_template.load(Ordering::SeqCst);
        let mut beats = self.0.beats.subscribe();
        let _ = beats.wait_for(|beats| *beats >= wanted).await;
        results.get().set_result(held(&self.0));
        Ok(())
    }

    async fn check_block(
        self: Rc<Self>,
        params: mining::CheckBlockParams,
        mut results: mining::CheckBlockResults,
    ) -> Result<(), Error> {
        let block = params.get()?.get_block()?;
        let reason = match self.0.chain.check(block) {
            CheckAnswer::Valid => None,
            CheckAnswer::StaleTip => Some("inconclusive-not-best-prevblk".to_owned()),
            CheckAnswer::AlreadyKnown => Some("duplicate".to_owned()),
            CheckAnswer::Refused(reason) => Some(reason),
        };
        results.get().set_result(reason.is_none());
        results.get().set_reason(reason.unwrap_or_default());
        Ok(())
    }

    async fn submit_block(
        self: Rc<Self>,
        params: mining::SubmitBlockParams,
        mut results: mining::SubmitBlockResults,
    ) -> Result<(), Error> {
        match self.0.release {
            Release::Core30 | Release::Core31 => Err(absent()),
            Release::Core32 | Release::Yes => {
                let block = params.get()?.get_block()?;
                let reason = reason(self.0.chain.submit(block));
                results.get().set_result(reason.is_none());
                results.get().set_reason(reason.unwrap_or_default());
                Ok(())
            }
        }
    }

    async fn interrupt(
        self: Rc<Self>,
        _: mining::InterruptParams,
        _: mining::InterruptResults,
    ) -> Result<(), Error> {
        self.0.interrupted.send_modify(|count| *count += 1);
        Ok(())
    }
}

fn held(shared: &Arc<Shared>) -> block_template::Client {
    shared.held.fetch_add(1, Ordering::SeqCst);
    new_client(Held {
        shared: shared.clone(),
        template: shared.chain.template(),
        interrupt: Notify::new(),
        is_waited_for: Cell::new(false),
    })
}

struct Held {
    shared: Arc<Shared>,
    template: Template,
    interrupt: Notify,
    is_waited_for: Cell<bool>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.held.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Held {
    /// The block of a solution.
    fn block(
        &self,
        (version, time, nonce): (u32, u32, u32),
        coinbase: &[u8],
    ) -> Result<Block, Error> {
        let mut block = unsolved(&self.template);
        block.txdata[0] =
            deserialize(coinbase).map_err(|error| Error::failed(error.to_string()))?;
        block.header.version = bitcoin::block::Version::from_consensus(version as i32);
        block.header.time = time;
        block.header.nonce = nonce;
        super::block::renew_merkle_root(&mut block);
        Ok(block)
    }
}

impl block_template::Server for Held {
    async fn get_block(
        self: Rc<Self>,
        _: block_template::GetBlockParams,
        mut results: block_template::GetBlockResults,
    ) -> Result<(), Error> {
        results
            .get()
            .set_result(&serialize(&unsolved(&self.template)));
        Ok(())
    }

    async fn get_block_header(
        self: Rc<Self>,
        _: block_template::GetBlockHeaderParams,
        mut results: block_template::GetBlockHeaderResults,
    ) -> Result<(), Error> {
        let block = unsolved(&self.template);
        results.get().set_result(&serialize(&block.header));
        Ok(())
    }

    async fn get_tx_fees(
        self: Rc<Self>,
        _: block_template::GetTxFeesParams,
        mut results: block_template::GetTxFeesResults,
    ) -> Result<(), Error> {
        let transactions = &self.template.transactions;
        let mut list = results.get().init_result(transactions.len() as u32);
        for (index, transaction) in (0..).zip(transactions) {
            list.set(index, transaction.fee.to_sat() as i64);
        }
        Ok(())
    }

    async fn get_tx_sigops(
        self: Rc<Self>,
        _: block_template::GetTxSigopsParams,
        mut results: block_template::GetTxSigopsResults,
    ) -> Result<(), Error> {
        let transactions = &self.template.transactions;
        let mut list = results.get().init_result(transactions.len() as u32);
        for (index, transaction) in (0..).zip(transactions) {
            list.set(index, transaction.sigops.into());
        }
        Ok(())
    }

    async fn get_coinbase_tx(
        self: Rc<Self>,
        _: block_template::GetCoinbaseTxParams,
        mut results: block_template::GetCoinbaseTxResults,
    ) -> Result<(), Error> {
        let template = &self.template;
        let prefix = bitcoin::script::Builder::new()
            .push_int(template.height.into())
            .into_bytes();
        let mut result = results.get().init_result();
        result.set_version(2);
        result.set_sequence(template.coinbase_sequence);
        result.set_script_sig_prefix(&prefix);
        result.set_witness(&[0; 32]);
        result.set_block_reward_remaining(template.coinbase_value.to_sat() as i64);
        result.set_lock_time(template.coinbase_lock_time);
        let commitment = bitcoin::TxOut {
            value: bitcoin::Amount::ZERO,
            script_pubkey: template.witness_commitment.clone().unwrap(),
        };
        result
            .init_required_outputs(1)
            .set(0, &serialize(&commitment));
        Ok(())
    }

    async fn submit_solution(
        self: Rc<Self>,
        params: block_template::SubmitSolutionParams,
        mut results: block_template::SubmitSolutionResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        let header = (
            params.get_version(),
            params.get_timestamp(),
            params.get_nonce(),
        );
        let block = self.block(header, params.get_coinbase()?)?;
        let reason = match self.shared.release {
            Release::Core30 | Release::Core31 => return Err(absent()),
            Release::Core32 if self.shared.refused_before.load(Ordering::SeqCst) => {
                Some("duplicate-invalid".to_owned())
            }
            Release::Core32 => reason(self.shared.chain.submit(&serialize(&block))),
            Release::Yes => None,
        };
        results.get().set_result(reason.is_none());
        results.get().set_reason(reason.unwrap_or_default());
        Ok(())
    }

    async fn submit_solution_old7(
        self: Rc<Self>,
        params: block_template::SubmitSolutionOld7Params,
        mut results: block_template::SubmitSolutionOld7Results,
    ) -> Result<(), Error> {
        let params = params.get()?;
        let header = (
            params.get_version(),
            params.get_timestamp(),
            params.get_nonce(),
        );
        let block = self.block(header, params.get_coinbase()?)?;
        let answer = self.shared.chain.submit(&serialize(&block));
        let is_stored = !matches!(answer, SubmitAnswer::Refused(_));
        results.get().set_result(is_stored);
        Ok(())
    }

    async fn wait_next(
        self: Rc<Self>,
        params: block_template::WaitNextParams,
        mut results: block_template::WaitNextResults,
    ) -> Result<(), Error> {
        assert!(!self.is_waited_for.replace(true), "one wait at a time");
        let limit = milliseconds(params.get()?.get_options()?.get_timeout());
        let mut tips = self.shared.chain.subscribe();
        let known = self.template.prev_hash;
        let mut ends = self.shared.ends.subscribe();
        tokio::select! {
            _ = ends.wait_for(|ends| *ends > 0) => {}
            _ = tips.wait_for(|tip| tip.hash != known) => {
                results.get().set_result(held(&self.shared));
            }
            () = self.interrupt.notified() => {}
            () = tokio::time::sleep(limit) => {}
        }
        self.is_waited_for.set(false);
        Ok(())
    }

    async fn interrupt_wait(
        self: Rc<Self>,
        _: block_template::InterruptWaitParams,
        _: block_template::InterruptWaitResults,
    ) -> Result<(), Error> {
        self.shared.interrupted.send_modify(|count| *count += 1);
        self.interrupt.notify_one();
        Ok(())
    }
}

/// In BIP22's words.
fn reason(answer: SubmitAnswer) -> Option<String> {
    match answer {
        SubmitAnswer::Accepted => None,
        SubmitAnswer::AlreadyKnown => Some("duplicate".to_owned()),
        SubmitAnswer::Inconclusive => Some("inconclusive".to_owned()),
        SubmitAnswer::Refused(reason) | SubmitAnswer::Retry(reason) => Some(reason),
    }
}

fn milliseconds(time: f64) -> Duration {
    Duration::from_millis(time as u64)
}
