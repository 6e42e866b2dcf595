//! Where miners connect.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headframe_transport::{Accepted, Acceptor};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::connection::{Connection, PoolLinks};
use crate::wire::Wire;

/// After an accept that failed, usually for want of file descriptors, the listener rests.
const REST: Duration = Duration::from_millis(100);

/// What all listeners share.
#[derive(Debug, Clone)]
pub(crate) struct Reception {
    pub(crate) pool: PoolLinks,
    /// A permit per connection.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) tasks: TaskTracker,
    /// Numbers connections.
    pub(crate) next_id: Arc<AtomicU64>,
}

impl Reception {
    /// Accepts until shutdown.
    pub(crate) async fn listen(self, listener: TcpListener, acceptor: Acceptor) {
        let shutdown = self.pool.shutdown.clone();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.welcome(socket, peer, &acceptor),
                Err(error) => self.rest_after(&error).await,
            }
        }
    }

    fn welcome(&self, socket: TcpStream, peer: SocketAddr, acceptor: &Acceptor) {
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            let faults = &self.pool.faults;
            return faults.tell(format_args!(
                "{peer} is turned away: the pool has as many connections as it may have"
            ));
        };
        let (reception, acceptor) = (self.clone(), acceptor.clone());
        self.tasks
            .spawn(reception.serve(socket, peer, acceptor, permit));
    }

    async fn serve(
        self,
        socket: TcpStream,
        peer: SocketAddr,
        acceptor: Acceptor,
        _permit: OwnedSemaphorePermit,
    ) {
        let shutdown = self.pool.shutdown.clone();
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = acceptor.accept(socket) => accepted,
        };
        let rules = Arc::clone(&self.pool.rules);
        let work = Arc::clone(&self.pool.work.borrow());
        let wire = match accepted {
            Ok(Accepted::Nothing) => return,
            Ok(Accepted::Sv1(stream)) => Wire::sv1(stream, rules, work),
            Ok(Accepted::Sv2(stream)) => Wire::sv2(stream, rules, work),
            Err(error) => {
                let faults = &self.pool.faults;
                return faults.tell(format_args!("{peer} is no miner: {error}"));
            }
        };
        debug!("{peer} speaks {wire}");
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        Connection::new(id, peer, wire, self.pool).run().await;
    }

    async fn rest_after(&self, error: &io::Error) {
        self.pool.faults.tell(format_args!(
            "cannot accept a connection: {error}; check the limit of open files"
        ));
        sleep(REST).await;
    }
}
