//! The loop: one event after the other, and what is true after each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::clients::Client;
use super::host::Host;
use super::ledger::Disk;
use super::link::{Link, Way};
use super::log::Log;
use super::node::Node;
use super::port::Port;
use super::schedule::{Event, Schedule};
use super::witness::{Violation, ensure};
use super::{Failure, Figures, Report, Scenario};
use crate::Chance;

/// Memory is looked at after so many published works.
const LOOK_EVERY: u64 = 32;

#[derive(Debug)]
pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) chance: Chance,
    pub(super) host: Host,
    pub(super) node: Node,
    pub(super) clients: Vec<Client>,
    pub(super) connections: BTreeMap<u64, Connection>,
    pub(super) figures: Figures,
    pub(super) log: Log,
    pub(super) is_ending: bool,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) port: Option<Port>,
    pub(super) link: Link,
    pub(super) client: usize,
}

impl World {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let start = Instant::now();
        let mut chance = Chance::new(scenario.seed);
        let node = Node::new(start, chance.number(), scenario);
        let schedule = Schedule::new(start);
        let own = Chance::new(chance.number());
        let host = Host::new(schedule, own, scenario.first_job_id, scenario.difficulty);
        let clients = (0..scenario.clients).map(|_| {
            let own = Chance::new(chance.number());
            Client::new(own, scenario, &host.users)
        });
        Self {
            clients: clients.collect(),
            scenario: *scenario,
            chance,
            host,
            node,
            connections: BTreeMap::new(),
            figures: Figures::default(),
            log: Log::new(),
            is_ending: false,
        }
    }

    pub(super) fn run(&mut self) -> Result<(), Violation> {
        let start = self.now();
        let first = self.node.template(start);
        self.host.take_template(first);
        self.host.renew()?;
        self.host.schedule.at(start, Event::Node);
        self.host.schedule.at(start, Event::Weather);
        for client in 0..self.clients.len() {
            let wait = self.scenario.arrival.mul_f64(self.chance.fraction());
            self.host.schedule.after(wait, Event::Knock(client));
        }
        self.run_until(start + self.scenario.span)?;
        self.end()
    }

    fn run_until(&mut self, end: Instant) -> Result<(), Violation> {
        while let Some(event) = self.host.schedule.next_before(end) {
            self.log.note(self.host.schedule.elapsed(), event);
            self.take(event)?;
            self.host.check()?;
        }
        Ok(())
    }

    /// Everybody goes. The ledger gets to the end of its work, another tip comes, and nothing is left.
    fn end(&mut self) -> Result<(), Violation> {
        self.is_ending = true;
        self.host.ledger.disk = Disk::Takes(Duration::ZERO);
        for id in self.connections.keys().copied().collect::<Vec<_>>() {
            self.close_port(id)?;
        }
        self.connections.clear();
        self.clients.iter_mut().for_each(Client::disconnect);
        // Also those who might have come back have not.
        self.run_until(self.now() + Duration::from_secs(125))?;
        self.node.find_another();
        let template = self.node.template(self.now());
        self.host.take_template(template);
        self.run_until(self.now() + Duration::from_secs(5))?;
        let (committed, accepted) = (self.host.ledger.committed(), self.host.witness.accepted);
        ensure(committed == accepted, || {
            format!("the ledger has {committed:?} of {accepted:?}")
        })?;
        let witness = &self.host.witness;
        let answered = witness.acknowledged + witness.unanswered;
        ensure(answered == accepted.shares, || {
            format!(
                "R-19: {answered} of {} shares were answered",
                accepted.shares
            )
        })?;
        let told: u64 = self.clients.iter().map(|it| it.means.acknowledged).sum();
        ensure(told <= witness.acknowledged, || {
            format!("clients know of {told} good shares, the pool of fewer")
        })?;
        self.host.close();
        self.host.witness.check_end()
    }

    pub(super) fn report(&self) -> Report {
        let witness = &self.host.witness;
        let rejected = witness.rejected.iter();
        let figures = Figures {
            events: self.log.events(),
            accepted: witness.accepted.shares,
            acknowledged: witness.acknowledged,
            not_durable: witness.not_durable,
            unanswered: witness.unanswered,
            rejected: rejected
                .map(|(why, count)| (format!("{why:?}"), *count))
                .collect(),
            blocks: witness.blocks(),
            resumed: witness.resumed(),
            ..self.figures.clone()
        };
        Report {
            digest: self.log.digest(),
            figures,
        }
    }

    pub(super) fn failure(&self, violation: Violation) -> Failure {
        Failure {
            seed: self.scenario.seed,
            at: self.host.schedule.elapsed(),
            violation,
            last: self.log.to_string(),
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending
    }

    pub(super) fn now(&self) -> Instant {
        self.host.now()
    }

    fn take(&mut self, event: Event) -> Result<(), Violation> {
        let now = self.now();
        match event {
            Event::Node => self.act_node(),
            Event::Prepared => {
                let is_published = self.host.finish_template()?;
                return self.wake_if(is_published);
            }
            Event::Hub => {
                let is_published = self.host.renew()?;
                return self.wake_if(is_published);
            }
            Event::Write => match self.host.ledger.write(now) {
                Ok(at) => self.host.schedule.at(at, Event::Written),
                Err(at) => self.host.schedule.at(at, Event::Write),
            },
            Event::Written => self.finish_write(now),
            Event::GiveBack(prefix) => self.host.give_back(prefix),
            Event::Committed(id, sequence) => {
                return self.with_port(id, |port, host| port.handle_committed(sequence, host));
            }
            Event::Wake(id) => return self.with_port(id, Port::handle_work),
            Event::Timer(id) => {
                return self.with_port(id, |port, host| {
                    match port.timer.take_if(|at| *at == now) {
                        Some(_) => port.handle_timeout(host),
                        // An earlier timer came in its place.
                        None => Ok(()),
                    }
                });
            }
            Event::Arrive(id, way) => return self.arrive(id, way),
            Event::Lost(id, Way::Up) => return self.close_port(id),
            Event::Lost(id, Way::Down) => self.lose_client(id),
            Event::Knock(client) => self.connect(client),
            Event::ClientTimer(client, life) => return self.time_client(client, life),
            Event::Find(client, channel, plan) => return self.find(client, channel, plan),
            Event::Act(client, life) => self.act_client(client, life),
            Event::Leave(client, life) => self.dismiss_client(client, life),
            Event::Weather => self.make_weather(),
            Event::DiskIsWell => {
                let time = Duration::from_micros(self.chance.below(5_000));
                self.host.ledger.disk = Disk::Takes(time);
            }
        }
        Ok(())
    }

    fn act_node(&mut self) {
        if self.is_ending {
            return;
        }
        let now = self.now();
        let (new, wait) = self.node.act(now, &mut self.figures);
        self.host.schedule.after(wait, Event::Node);
        if let Some(new) = new {
            self.host.take_template(new);
        }
    }

    /// Every connection is to look at newer work, most of them soon.
    fn wake_if(&mut self, is_published: bool) -> Result<(), Violation> {
        if !is_published {
            return Ok(());
        }
        self.figures.published += 1;
        let bits = self.host.newest().0.prepared.template().bits.to_consensus();
        self.figures.easier += u64::from(bits != self.scenario.bits);
        for (id, connection) in &mut self.connections {
            let Some(port) = &mut connection.port else {
                continue;
            };
            if !core::mem::replace(&mut port.is_woken, true) {
                let slowest = if self.chance.happens(0.01) {
                    2_000_000
                } else {
                    20_000
                };
                let wait = Duration::from_micros(self.chance.below(slowest));
                self.host.schedule.after(wait, Event::Wake(*id));
            }
        }
        match self.figures.published % LOOK_EVERY {
            0 => self.host.witness.check_memory(self.host.now()),
            _ => Ok(()),
        }
    }

    fn finish_write(&mut self, now: Instant) {
        let (told, again) = self.host.ledger.finish(now);
        for (id, sequence) in told {
            let wait = Duration::from_micros(self.chance.below(500));
            let told = Event::Committed(id, sequence);
            self.host.schedule.after(wait, told);
        }
        if let Some(at) = again {
            self.host.schedule.at(at, Event::Write);
        }
    }
}

impl Drop for World {
    /// A panic of the code under test says as much as a broken invariant.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.failure("a panic".to_owned()));
        }
    }
}
