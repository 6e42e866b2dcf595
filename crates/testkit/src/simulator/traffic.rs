//! What goes to and fro: bytes, connections that begin and end, and what the clients do of themselves.

use std::time::Duration;

use super::clients::Plan;
use super::host::Host;
use super::link::{Link, Piece, Way};
use super::port::Port;
use super::schedule::Event;
use super::witness::Violation;
use super::world::{Connection, World};

/// Bytes on their way to a client that does not read, before the pool lets it go.
const OUTBOX: usize = 256 << 10;

impl World {
    /// Lets a session do something, sends what it says, and ends its connection if it ended it.
    pub(super) fn with_port(
        &mut self,
        id: u64,
        act: impl FnOnce(&mut Port, &mut Host) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        let now = self.now();
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        let Some(port) = &mut connection.port else {
            return Ok(());
        };
        act(port, &mut self.host)?;
        let output = port.take_output();
        self.figures.most_waiting = self.figures.most_waiting.max(port.waiting());
        let is_over = port.fault.is_some();
        let next = port.next_timer().filter(|_| !is_over);
        if let Some(at) = next.map(|at| at.max(now))
            && port.timer.is_none_or(|planned| at < planned)
        {
            port.timer = Some(at);
            self.host.schedule.at(at, Event::Timer(id));
        }
        if !output.is_empty() {
            self.send(id, Way::Down, output);
        }
        self.hand_over_blocks();
        match is_over {
            true => self.close_port(id),
            false => Ok(()),
        }
    }

    /// The node gets the blocks that were found.
    fn hand_over_blocks(&mut self) {
        let found = core::mem::take(&mut self.host.found);
        for (prev, hash) in found {
            if self.node.submit(prev, hash) {
                let template = self.node.template(self.now());
                self.host.take_template(template);
            }
        }
    }

    /// Sends bytes, now and then in halves.
    fn send(&mut self, id: u64, way: Way, bytes: Vec<u8>) {
        self.log.note_sent(&bytes);
        let now = self.now();
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let is_cut = self.chance.happens(0.03);
            let len = if is_cut {
                1 + self.chance.below(rest.len() as u64) as usize
            } else {
                rest.len()
            };
            let after = rest.split_off(len);
            let piece = Piece::Bytes(core::mem::replace(&mut rest, after));
            if let Some(at) = connection.link.send(now, way, piece, &mut self.chance) {
                self.host.schedule.at(at, Event::Arrive(id, way));
            }
        }
        if connection.link.unread() > OUTBOX {
            // The pool does not wait for whoever does not read.
            self.lose(id, Duration::ZERO);
        }
    }

    /// The connection is lost: the client learns of it soon, the pool when it can.
    pub(super) fn lose(&mut self, id: u64, pool_learns_within: Duration) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.link.is_cut() {
            return;
        }
        connection.link.cut();
        let pool = pool_learns_within.mul_f64(self.chance.fraction());
        let client = Duration::from_secs(30).mul_f64(self.chance.fraction());
        self.host.schedule.after(pool, Event::Lost(id, Way::Up));
        self.host.schedule.after(client, Event::Lost(id, Way::Down));
    }

    pub(super) fn arrive(&mut self, id: u64, way: Way) -> Result<(), Violation> {
        let now = self.now();
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        let client = connection.client;
        match (connection.link.take(now, way), way) {
            (Err(later), _) => {
                self.host.schedule.at(later, Event::Arrive(id, way));
                Ok(())
            }
            (Ok(None), _) => Ok(()),
            (Ok(Some(Piece::Bytes(bytes))), Way::Up) => {
                self.with_port(id, |port, host| port.handle_bytes(&bytes, host))
            }
            (Ok(Some(Piece::Bytes(bytes))), Way::Down) => {
                if self.clients[client].connection == Some(id) {
                    self.clients[client].handle_bytes(now, &bytes)?;
                    self.settle_client(client);
                }
                Ok(())
            }
            (Ok(Some(Piece::End)), Way::Up) => self.close_port(id),
            (Ok(Some(Piece::End)), Way::Down) => {
                self.lose_client(id);
                Ok(())
            }
        }
    }

    /// The pool's end is closed, by whomever.
    pub(super) fn close_port(&mut self, id: u64) -> Result<(), Violation> {
        let now = self.now();
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        let Some(mut port) = connection.port.take() else {
            return Ok(());
        };
        port.handle_closed(&mut self.host)?;
        let end = connection
            .link
            .send(now, Way::Down, Piece::End, &mut self.chance);
        if let Some(at) = end {
            self.host.schedule.at(at, Event::Arrive(id, Way::Down));
        }
        self.forget_if_over(id);
        self.hand_over_blocks();
        Ok(())
    }

    /// The client's end is closed; it comes again.
    pub(super) fn lose_client(&mut self, id: u64) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let number = connection.client;
        if self.clients[number].connection == Some(id) {
            self.clients[number].disconnect();
            let wait = self.chance.wait(5.0);
            self.host.schedule.after(wait, Event::Knock(number));
        }
        self.forget_if_over(id);
    }

    fn forget_if_over(&mut self, id: u64) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let is_client_gone = self.clients[connection.client].connection != Some(id);
        if connection.port.is_none() && is_client_gone {
            self.connections.remove(&id);
        }
    }

    pub(super) fn connect(&mut self, number: usize) {
        if self.is_ending || self.clients[number].connection.is_some() {
            return;
        }
        self.figures.connections += 1;
        let (now, id) = (self.now(), self.figures.connections);
        let client = &mut self.clients[number];
        let mut port = Port::new(id, client.is_sv2(), client.listener(), &mut self.host);
        if let Some(at) = port.next_timer() {
            port.timer = Some(at);
            self.host.schedule.at(at, Event::Timer(id));
        }
        let latency = Duration::from_millis(1 + self.chance.below(150));
        let connection = Connection {
            port: Some(port),
            link: Link::new(now, latency),
            client: number,
        };
        self.connections.insert(id, connection);
        client.connect(now, id, &self.host.users);
        let stay = self.chance.wait(self.scenario.stay);
        let leave = Event::Leave(number, client.life);
        self.host.schedule.after(stay, leave);
        self.settle_client(number);
    }

    pub(super) fn time_client(&mut self, number: usize, life: u64) -> Result<(), Violation> {
        let now = self.now();
        let client = &mut self.clients[number];
        let (Some(id), true) = (client.connection, client.life == life) else {
            return Ok(());
        };
        client.timer = None;
        if client.next_timer().is_some_and(|at| at <= now) && !client.handle_timeout(now)? {
            self.leave(id, number);
            return Ok(());
        }
        self.settle_client(number);
        Ok(())
    }

    pub(super) fn find(&mut self, number: usize, channel: u32, plan: u64) -> Result<(), Violation> {
        let now = self.now();
        let client = &mut self.clients[number];
        if client.life == plan >> 32 {
            client.find(now, channel, plan & u64::from(u32::MAX))?;
            self.settle_client(number);
        }
        Ok(())
    }

    pub(super) fn act_client(&mut self, number: usize, life: u64) {
        let client = &mut self.clients[number];
        if client.life == life {
            client.act(&self.host.users);
            self.settle_client(number);
        }
    }

    /// A client goes: with a word, without, in the middle of one, or by losing its power.
    pub(super) fn dismiss_client(&mut self, number: usize, life: u64) {
        let client = &mut self.clients[number];
        let (Some(id), true) = (client.connection, client.life == life) else {
            return;
        };
        match self.chance.below(4) {
            0 => {
                client.close();
                self.settle_client(number);
                self.leave(id, number);
            }
            1 => self.leave(id, number),
            2 => {
                self.send(id, Way::Up, vec![0, 0, 0x1b, 0xff]);
                self.leave(id, number);
            }
            _ => self.lose(id, Duration::from_secs(300)),
        }
    }

    /// A client closes its end, and comes again.
    fn leave(&mut self, id: u64, number: usize) {
        let now = self.now();
        if let Some(connection) = self.connections.get_mut(&id) {
            let end = connection
                .link
                .send(now, Way::Up, Piece::End, &mut self.chance);
            if let Some(at) = end {
                self.host.schedule.at(at, Event::Arrive(id, Way::Up));
            }
        }
        if self.clients[number].connection == Some(id) {
            self.lose_client(id);
        }
    }

    /// Sends what a client says, and plans what it plans.
    fn settle_client(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let Some(id) = client.connection else { return };
        let life = client.life;
        for (wait, plan) in client.means.plans.drain(..) {
            let event = match plan {
                Plan::Find(channel, epoch) => Event::Find(number, channel, life << 32 | epoch),
                Plan::Act => Event::Act(number, life),
            };
            self.host.schedule.after(wait, event);
        }
        if let Some(at) = client.next_timer()
            && client.timer.is_none_or(|planned| at < planned)
        {
            client.timer = Some(at);
            let event = Event::ClientTimer(number, life);
            self.host.schedule.at(at, event);
        }
        let output = client.take_output();
        if !output.is_empty() {
            self.send(id, Way::Up, output);
        }
    }
}
