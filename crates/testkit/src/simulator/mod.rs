//! A pool, its node, its ledger, its clients and the network between them in one thread, in simulated
//! time, with all chance from one seed: the same scenario is the same run, to the byte.
//!
//! The sessions, the hub and the honest clients are the real ones of `headframe-mining`; ledger, node
//! and network are models that are slow, refuse, divide, lose and reorganise; the node's clock is set
//! back and forth, bits change while a tip stays, and on every second seed hold for a time, as on
//! testnet4. The pool has listeners with other difficulties and demands. Invariants are checked
//! after each event, on the wire at the pool's end and in what the sessions tell the pool: no two
//! channels share work, no job id is used again while it is valid, each share is judged as what stands
//! on the wire demands and answered once, every acknowledged one is in the ledger once, blocks come
//! first and once, Stratum V1 sessions go on over other connections with their jobs and shares, and nothing is
//! held that has no use.
//!
//! Not here: encryption, sockets, limits on addresses. They are in `transport` and `server`.

mod clients;
mod host;
mod jobs;
mod ledger;
mod link;
mod log;
mod node;
mod port;
mod scenario;
mod schedule;
mod traffic;
mod users;
mod weather;
mod witness;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use self::world::World;

pub use self::node::Rhythm;
pub use self::scenario::Scenario;

/// What came of a simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Stands for every event and every byte that was sent.
    pub digest: u64,
    /// What happened how often.
    pub figures: Figures,
}

/// What happened how often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Events of the simulation.
    pub events: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// Works that the hub published, refreshed ones included.
    pub published: u64,
    /// Blocks of others.
    pub tips: u64,
    /// Of those, reorgs of one to three blocks.
    pub reorgs: u64,
    /// Of those, tips that came back.
    pub returns: u64,
    /// Storms of templates.
    pub storms: u64,
    /// Times when the node was silent.
    pub silences: u64,
    /// Times when the node's clock was set.
    pub clocks: u64,
    /// Works with easier bits than usual.
    pub easier: u64,
    /// Faults of network and disk.
    pub faults: u64,
    /// Shares that were accepted.
    pub accepted: u64,
    /// Of those, acknowledged to the client.
    pub acknowledged: u64,
    /// Of those, before the ledger had them.
    pub not_durable: u64,
    /// Accepted shares whose connection or channel was gone before the answer.
    pub unanswered: u64,
    /// Shares that were rejected, by the reason.
    pub rejected: BTreeMap<String, u64>,
    /// Blocks that miners found.
    pub blocks: u64,
    /// Stratum V1 sessions that went on over another connection.
    pub resumed: u64,
    /// The most replies that waited on one connection.
    pub most_waiting: usize,
}

/// An invariant was broken.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The scenario's seed.
    pub seed: u64,
    /// When, in simulated time.
    pub at: Duration,
    /// What is wrong.
    pub violation: String,
    /// The last events.
    pub last: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            at,
            violation,
            last,
        } = self;
        writeln!(
            f,
            "seed {seed}, after {:.6} s: {violation}",
            at.as_secs_f64()
        )?;
        write!(f, "the last events:\n{last}")
    }
}

/// Simulates `scenario`.
///
/// # Errors
///
/// When an invariant is broken. Where the code under test panics, the seed and the last events are
/// printed.
pub fn simulate(scenario: &Scenario) -> Result<Report, Failure> {
    let mut world = World::new(scenario);
    match world.run() {
        Ok(()) => Ok(world.report()),
        Err(violation) => Err(world.failure(violation)),
    }
}
