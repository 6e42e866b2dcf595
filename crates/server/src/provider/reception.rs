//! Where clients connect, and how many may.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headframe_transport::{Accepted, Acceptor, AddressSet};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::client::{Client, Links};

/// Clients at one time, those included that shake hands: a provider serves pools and declarators, not
/// miners, and each client may keep forty templates.
pub const MAX_CLIENTS: usize = 64;
/// Clients of one address, unless it is one that no limits apply to.
pub const MAX_CLIENTS_OF_ADDRESS: usize = 8;
/// After an accept that failed, usually for want of file descriptors, the listener rests.
const REST: Duration = Duration::from_millis(100);

/// What all listeners share.
#[derive(Debug, Clone)]
pub(super) struct Reception {
    acceptor: Acceptor,
    unlimited: Arc<AddressSet>,
    room: Arc<Semaphore>,
    present: Present,
    links: Links,
    tasks: TaskTracker,
}

/// How many clients each address has.
#[derive(Debug, Clone, Default)]
struct Present(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One client's place among those of its address.
#[derive(Debug)]
struct Seat {
    present: Present,
    address: IpAddr,
}

impl Reception {
    pub(super) fn new(
        acceptor: Acceptor,
        unlimited: AddressSet,
        links: Links,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            acceptor,
            unlimited: Arc::new(unlimited),
            room: Arc::new(Semaphore::new(MAX_CLIENTS)),
            present: Present::default(),
            links,
            tasks,
        }
    }

    /// Accepts until shutdown.
    pub(super) async fn listen(self, listener: TcpListener) {
        let shutdown = self.links.shutdown.clone();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.welcome(socket, peer),
                Err(error) => {
                    self.links.faults.tell(format_args!(
                        "cannot accept a connection: {error}; check the limit of open files"
                    ));
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// Whoever may not come in costs no task.
    fn welcome(&self, socket: TcpStream, peer: SocketAddr) {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            return self.turn_away(
                peer,
                &format_args!("there are {MAX_CLIENTS} clients already"),
            );
        };
        let is_limited = !self.unlimited.contains(peer.ip());
        let Some(seat) = self.present.admit(peer.ip(), is_limited) else {
            let why = format_args!("its address has {MAX_CLIENTS_OF_ADDRESS} connections already");
            return self.turn_away(peer, &why);
        };
        self.tasks
            .spawn(self.clone().serve(socket, peer, room, seat));
    }

    async fn serve(
        self,
        socket: TcpStream,
        peer: SocketAddr,
        _room: OwnedSemaphorePermit,
        _seat: Seat,
    ) {
        let accepted = tokio::select! {
            () = self.links.shutdown.cancelled() => return,
            accepted = self.acceptor.accept(socket) => accepted,
        };
        match accepted {
            Ok(Accepted::Sv2(stream)) => Client::new(peer, stream, self.links).run().await,
            Ok(Accepted::Nothing | Accepted::Sv1(_)) => {}
            Err(error) => {
                let faults = &self.links.faults;
                faults.tell(format_args!("{peer} is no client: {error}"));
            }
        }
    }

    fn turn_away(&self, peer: SocketAddr, why: &dyn Display) {
        let faults = &self.links.faults;
        faults.tell(format_args!("{peer} is turned away: {why}"));
    }
}

impl Present {
    fn admit(&self, address: IpAddr, is_limited: bool) -> Option<Seat> {
        let mut present = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = present.entry(address).or_default();
        if is_limited && *count >= MAX_CLIENTS_OF_ADDRESS {
            return None;
        }
        *count += 1;
        drop(present);
        let present = self.clone();
        Some(Seat { present, address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let present = &self.present.0;
        let mut present = present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = present.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                present.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_clients_and_its_places_come_back() {
        let present = Present::default();
        let [one, other] = [1, 2].map(|host| IpAddr::from([192, 0, 2, host]));
        let mut seats: Vec<_> = (0..MAX_CLIENTS_OF_ADDRESS)
            .map(|_| present.admit(one, true).unwrap())
            .collect();
        assert!(present.admit(one, true).is_none());
        assert!(present.admit(one, false).is_some(), "no limits apply to it");
        assert!(present.admit(other, true).is_some());
        seats.pop();
        assert!(present.admit(one, true).is_some());
        drop(seats);
        assert!(present.0.lock().unwrap().is_empty());
    }
}
