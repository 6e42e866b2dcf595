//! Where miners connect.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headframe_transport::{AcceptError, Accepted, Acceptor, AddressSet};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, sleep_until};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::connection::{Connection, PoolLinks};
use crate::hold::Service;
use crate::limits::{Door, Visit};
use crate::pool::{BACKLOG, bind};
use crate::wire::Wire;

/// After an accept that failed, usually for want of file descriptors, the listener rests.
const REST: Duration = Duration::from_millis(100);

/// Between two tries to open a port again that somebody else has taken.
const REOPEN_REST: Duration = Duration::from_secs(1);

/// What all listeners share.
#[derive(Debug, Clone)]
pub(crate) struct Reception {
    pub(crate) pool: Arc<PoolLinks>,
    /// A permit per connection.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) door: Arc<Door>,
    /// Who begins each connection with a PROXY header, at this listener.
    pub(crate) proxies: Arc<AddressSet>,
    pub(crate) tasks: TaskTracker,
    /// Numbers connections.
    pub(crate) next_id: Arc<AtomicU64>,
}

impl Reception {
    /// Accepts until shutdown. While miners are released nobody listens, so that a device which looks
    /// whether it can come back, by no more than a connection, is told the truth by the system.
    pub(crate) async fn listen(self, mut listener: TcpListener, acceptor: Acceptor) {
        let shutdown = self.pool.shutdown.clone();
        let mut service = self.pool.service.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                Ok(_) = service.wait_for(|service| *service == Service::Released) => None,
                accepted = listener.accept() => Some(accepted),
            };
            match accepted {
                Some(Ok((socket, peer))) => self.welcome(socket, peer, &acceptor),
                Some(Err(error)) => self.rest_after(&error).await,
                None => {
                    let reopened = tokio::select! {
                        () = shutdown.cancelled() => return,
                        reopened = self.reopen(listener, &mut service) => reopened,
                    };
                    listener = reopened;
                }
            }
        }
    }

    /// Shuts a port, keeps its number, and opens it again when miners are served again.
    async fn reopen(
        &self,
        listener: TcpListener,
        service: &mut watch::Receiver<Service>,
    ) -> TcpListener {
        let address = loop {
            match listener.local_addr() {
                Ok(address) => break address,
                Err(error) => self.rest_after(&error).await,
            }
        };
        drop(listener);
        loop {
            // Bound and not listening: nobody else takes the port, and the system refuses who connects.
            let kept = bind(address);
            // The hub outlives the pool's connections.
            let _ = service
                .wait_for(|service| *service != Service::Released)
                .await;
            match kept.and_then(|socket| socket.listen(BACKLOG)) {
                Ok(listener) => return listener,
                Err(error) => {
                    warn!("cannot listen on {address} again: {error}");
                    sleep(REOPEN_REST).await;
                }
            }
        }
    }

    /// Whoever may not come in costs no task.
    fn welcome(&self, socket: TcpStream, peer: SocketAddr, acceptor: &Acceptor) {
        let visit = match self.proxies.contains(peer.ip()) {
            true => None,
            false => match self.door.arrive(peer.ip()) {
                Ok(visit) => Some(visit),
                Err(refusal) => return self.turn_away(peer, &refusal),
            },
        };
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            return self.turn_away(peer, &"the pool has as many connections as it may have");
        };
        let (reception, acceptor) = (self.clone(), acceptor.clone());
        self.tasks
            .spawn(reception.serve(socket, peer, visit, acceptor, permit));
    }

    async fn serve(
        self,
        socket: TcpStream,
        peer: SocketAddr,
        visit: Option<Visit>,
        acceptor: Acceptor,
        room: OwnedSemaphorePermit,
    ) {
        let shutdown = self.pool.shutdown.clone();
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = self.accept(socket, peer, visit, &acceptor) => accepted,
        };
        let Some((peer, visit, accepted)) = accepted else {
            return;
        };
        let rules = Arc::clone(&self.pool.rules);
        let work = Arc::clone(&self.pool.work.borrow());
        let wire = match accepted {
            Accepted::Nothing => return,
            Accepted::Sv1(stream) => Wire::sv1(stream, rules, work),
            Accepted::Sv2(stream) => Wire::sv2(stream, rules, work),
        };
        if *self.pool.service.borrow() == Service::Released {
            return;
        }
        debug!("{peer} speaks {wire}");
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let connection = Connection::new(id, peer, visit, wire, self.pool, room);
        // In a task of its own, which has no room for what a handshake needs.
        self.tasks.spawn(connection.run());
    }

    /// Shakes hands with whom the connection is of, when it is his turn. `None`, and told, if there is
    /// nobody to be served.
    async fn accept(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        visit: Option<Visit>,
        acceptor: &Acceptor,
    ) -> Option<(SocketAddr, Visit, Accepted)> {
        let (peer, visit, accepted) = match visit {
            Some(visit) => {
                sleep_until(visit.turn().into()).await;
                (peer, visit, acceptor.accept(socket).await)
            }
            None => {
                let forwarded = acceptor.read_proxy_header(socket).await;
                let forwarded = self.unless_fault(peer, forwarded)??;
                let source = forwarded.source();
                let visit = self.door.arrive(source.ip());
                let visit = visit.map_err(|refusal| self.turn_away(source, &refusal));
                let visit = visit.ok()?;
                sleep_until(visit.turn().into()).await;
                (source, visit, acceptor.accept_forwarded(forwarded).await)
            }
        };
        Some((peer, visit, self.unless_fault(peer, accepted)?))
    }

    fn unless_fault<T>(&self, peer: SocketAddr, accepted: Result<T, AcceptError>) -> Option<T> {
        let told = |error| {
            let faults = &self.pool.faults;
            faults.tell(format_args!("{peer} is no miner: {error}"));
        };
        accepted.map_err(told).ok()
    }

    fn turn_away(&self, peer: SocketAddr, why: &dyn Display) {
        let faults = &self.pool.faults;
        faults.tell(format_args!("{peer} is turned away: {why}"));
    }

    async fn rest_after(&self, error: &io::Error) {
        self.pool.faults.tell(format_args!(
            "cannot accept a connection: {error}; check the limit of open files"
        ));
        sleep(REST).await;
    }
}
