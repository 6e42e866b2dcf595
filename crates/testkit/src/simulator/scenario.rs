//! What is simulated: how many, how long, and how much goes wrong.

use std::time::Duration;

use headframe_channels::DifficultySettings;
use headframe_work::Rung;

use super::node::Rhythm;

/// What is simulated. The same scenario is the same run, to the byte.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scenario {
    /// Chooses all chance.
    pub seed: u64,
    /// Clients, each with a connection of its own most of the time.
    pub clients: usize,
    /// Simulated time.
    pub span: Duration,
    /// All clients have come for the first time by then.
    pub arrival: Duration,
    /// The network's target, in compact form.
    pub bits: u32,
    /// The number of the first job.
    pub first_job_id: u32,
    /// How hard shares are made.
    pub difficulty: DifficultySettings,
    /// Hashes per second of each channel.
    pub hashrate: f64,
    /// What the node does how often.
    pub rhythm: Rhythm,
    /// How long a client stays, in seconds on average.
    pub stay: f64,
    /// Between two faults of the network or of the ledger's disk, in seconds on average.
    pub fault: f64,
}

impl Scenario {
    /// Whether the chain is testnet4, as with every second seed.
    pub fn is_testnet4(&self) -> bool {
        self.seed.is_multiple_of(2)
    }

    /// A pool as restless as can be: a few dozen clients, and something goes wrong all the time.
    pub fn restless(seed: u64) -> Self {
        Self {
            seed,
            clients: 40,
            span: Duration::from_secs(12 * 60),
            arrival: Duration::from_secs(20),
            bits: 0x1f07_ffff,
            // The numbers go round.
            first_job_id: u32::MAX - 40,
            difficulty: difficulty(6.0),
            hashrate: 1.5,
            rhythm: Rhythm {
                template: 6.0,
                tip: 15.0,
                storm: 80.0,
                storm_length: 1.0,
                silence: 120.0,
                silence_length: 30.0,
                clock: 60.0,
                easier_after: 15,
            },
            stay: 120.0,
            fault: 10.0,
        }
    }

    /// A thousand clients for a minute and a half.
    pub fn thousand(seed: u64) -> Self {
        Self {
            clients: 1_000,
            span: Duration::from_secs(90),
            arrival: Duration::from_secs(20),
            difficulty: difficulty(2.0),
            hashrate: 0.25,
            rhythm: Rhythm {
                template: 8.0,
                tip: 20.0,
                storm: 60.0,
                storm_length: 0.5,
                silence: 300.0,
                silence_length: 20.0,
                clock: 60.0,
                easier_after: 40,
            },
            stay: 600.0,
            fault: 5.0,
            ..Self::restless(seed)
        }
    }

    /// A thousand clients for simulated days.
    pub fn days(seed: u64, days: u64) -> Self {
        Self {
            clients: 1_000,
            span: Duration::from_secs(days * 24 * 3_600),
            arrival: Duration::from_secs(600),
            bits: 0x1e03_ffff,
            difficulty: difficulty(1.0),
            hashrate: 0.2,
            rhythm: Rhythm {
                template: 30.0,
                tip: 600.0,
                storm: 3.0 * 3_600.0,
                storm_length: 3.0,
                silence: 4.0 * 3_600.0,
                silence_length: 300.0,
                clock: 3_600.0,
                easier_after: 1_200,
            },
            stay: 4.0 * 3_600.0,
            fault: 60.0,
            ..Self::restless(seed)
        }
    }
}

/// Difficulties so low that real hashes are cheap: the first is sixteen hashes a share.
fn difficulty(shares_per_minute: f64) -> DifficultySettings {
    DifficultySettings {
        shares_per_minute,
        start: Rung::from_exponent(-28),
        min: Rung::EASIEST,
        max: Rung::HARDEST,
    }
}
