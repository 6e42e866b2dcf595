//! What goes wrong by itself: connections are lost, the network divides, access points die, the
//! ledger's disk is slow or refuses.

use std::time::Duration;

use super::ledger::Disk;
use super::schedule::Event;
use super::world::World;

/// A disk is slow, or refuses, for this long on average, in seconds.
const DISK_TROUBLE: f64 = 10.0;
/// The network is divided for this long on average, in seconds: some connections are silent for so
/// long that their clients give them up.
const DIVISION: f64 = 60.0;

impl World {
    /// One fault, and when the next one comes.
    pub(super) fn make_weather(&mut self) {
        if self.is_ending() {
            return;
        }
        self.figures.faults += 1;
        match self.chance.below(10) {
            0..4 => {
                // Half open: the pool does not know for minutes.
                let at = self.chance.below(self.connections.len() as u64) as usize;
                if let Some(id) = self.connections.keys().nth(at).copied() {
                    self.lose(id, Duration::from_secs(600));
                }
            }
            4..6 => {
                let end = self.now() + self.chance.wait(DIVISION);
                for id in self.region() {
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.link.hold(end);
                    }
                }
            }
            6 => {
                for id in self.region() {
                    self.lose(id, Duration::from_secs(60));
                }
            }
            7 => self.trouble_disk(Disk::Refuses),
            _ => {
                // Some commits take longer than a reply waits.
                let time = Duration::from_millis(20 + self.chance.below(200));
                self.trouble_disk(Disk::Takes(time));
            }
        }
        let wait = self.chance.wait(self.scenario.fault);
        self.host.schedule.after(wait, Event::Weather);
    }

    fn trouble_disk(&mut self, disk: Disk) {
        self.host.ledger.disk = disk;
        let wait = self.chance.wait(DISK_TROUBLE);
        self.host.schedule.after(wait, Event::DiskIsWell);
    }

    /// A tenth of all connections, chosen anew each time.
    fn region(&mut self) -> Vec<u64> {
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        let chance = &mut self.chance;
        ids.into_iter().filter(|_| chance.happens(0.1)).collect()
    }
}
