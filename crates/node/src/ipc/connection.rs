//! One connection to a node's socket: Cap'n Proto's bootstrap, threads in the node, deadlines, errors.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use bitcoin_capnp_types::capnp::capability::{RemotePromise, Response};
use bitcoin_capnp_types::capnp::traits::{Owned, Pipelined};
use bitcoin_capnp_types::capnp::{Error, ErrorKind};
use bitcoin_capnp_types::capnp_rpc::rpc_twoparty_capnp::Side;
use bitcoin_capnp_types::capnp_rpc::{RpcSystem, twoparty};
use bitcoin_capnp_types::init_capnp::init;
use bitcoin_capnp_types::proxy_capnp::{thread, thread_map};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

use super::socket;
use crate::NodeError;

/// The longest wait for what a node does at once, if it runs at all.
pub(super) const PROMPT: Duration = Duration::from_secs(5);

/// An open connection. It is closed when this is dropped.
pub(super) struct Connection {
    pub(super) init: init::Client,
    threads: thread_map::Client,
    path: PathBuf,
    is_open: watch::Receiver<()>,
    system: JoinHandle<()>,
}

impl Connection {
    /// Connects to the first socket that is there. Belongs on the thread that goes on to use it.
    pub(super) async fn open(sockets: &[PathBuf]) -> Result<Self, NodeError> {
        let (stream, path) = socket::open(sockets).await?;
        let (reader, writer) = stream.into_split();
        let network = twoparty::VatNetwork::new(
            reader.compat(),
            writer.compat_write(),
            Side::Client,
            Default::default(),
        );
        let mut system = RpcSystem::new(Box::new(network), None);
        let init: init::Client = system.bootstrap(Side::Server);
        let (open, is_open) = watch::channel(());
        let system = tokio::task::spawn_local(async move {
            if let Err(error) = system.await {
                tracing::debug!(%error, "the connection to the node's socket ended");
            }
            drop(open);
        });
        // Nothing can be asked before, so the clients are made twice.
        let threads = Self::construct(&init, &path).await;
        match threads {
            Ok(threads) => Ok(Self {
                init,
                threads,
                path,
                is_open,
                system,
            }),
            Err(error) => {
                system.abort();
                Err(error)
            }
        }
    }

    async fn construct(
        init: &init::Client,
        path: &std::path::Path,
    ) -> Result<thread_map::Client, NodeError> {
        const METHOD: &str = "construct";
        let sent = init.construct_request().send();
        let answer = answer(METHOD, path, Some(PROMPT), sent).await?;
        let results = answer
            .get()
            .map_err(|error| unintelligible(METHOD, error))?;
        results
            .get_thread_map()
            .map_err(|error| unintelligible(METHOD, error))
    }

    /// A thread in the node, on which calls are made one after the other.
    pub(super) async fn thread(&self, name: &str) -> Result<thread::Client, NodeError> {
        const METHOD: &str = "makeThread";
        let mut request = self.threads.make_thread_request();
        request.get().set_name(name);
        let answer = self.answer(METHOD, Some(PROMPT), request.send()).await?;
        let results = answer
            .get()
            .map_err(|error| unintelligible(METHOD, error))?;
        results
            .get_result()
            .map_err(|error| unintelligible(METHOD, error))
    }

    /// Waits for the answer to a call.
    pub(super) async fn answer<R>(
        &self,
        method: &'static str,
        limit: Option<Duration>,
        sent: RemotePromise<R>,
    ) -> Result<Response<R>, NodeError>
    where
        R: Pipelined + Owned + Unpin + 'static,
    {
        answer(method, &self.path, limit, sent).await
    }

    /// Ends when the connection does.
    pub(super) async fn closed(&self) -> NodeError {
        let mut is_open = self.is_open.clone();
        while is_open.changed().await.is_ok() {}
        NodeError::Broken {
            address: self.path.display().to_string(),
            method: "waitNext",
            reason: "it stopped, or was restarted".to_owned(),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.system.abort();
    }
}

async fn answer<R>(
    method: &'static str,
    path: &std::path::Path,
    limit: Option<Duration>,
    sent: RemotePromise<R>,
) -> Result<Response<R>, NodeError>
where
    R: Pipelined + Owned + Unpin + 'static,
{
    let answered = match limit {
        None => sent.promise.await,
        Some(limit) => tokio::time::timeout(limit, sent.promise)
            .await
            .map_err(|_| NodeError::TimedOut { method, limit })?,
    };
    answered.map_err(|error| refused(method, path, error))
}

fn refused(method: &'static str, path: &std::path::Path, error: Error) -> NodeError {
    match error.kind {
        ErrorKind::Disconnected => NodeError::Broken {
            address: path.display().to_string(),
            method,
            reason: error.extra,
        },
        ErrorKind::Unimplemented => NodeError::UnknownInterface {
            reason: format!("it has no {method}"),
        },
        _ => NodeError::Refused {
            method,
            message: error.extra,
        },
    }
}

pub(super) fn unintelligible(method: &'static str, reason: impl Display) -> NodeError {
    NodeError::Unintelligible {
        method,
        reason: reason.to_string(),
    }
}
