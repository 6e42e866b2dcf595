//! The project's own miner, as a process.

use std::process::Command;

use serde_json::Value;

use crate::pool::Pool;
use crate::process::Process;
use crate::program;

/// What a miner speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Stratum V2, header-only mining.
    Sv2Standard,
    /// Stratum V2, the miner rolls an extranonce.
    Sv2Extended,
    /// Stratum V1.
    Sv1,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sv2Standard, Self::Sv2Extended, Self::Sv1];

    /// The version bits that a miner may roll.
    pub fn version_mask(self) -> u32 {
        match self {
            Self::Sv1 => 0x1fff_e000,
            Self::Sv2Standard | Self::Sv2Extended => 0x1fff_ffe0,
        }
    }

    /// Where it finds the pool.
    fn url(self, pool: &Pool) -> String {
        let address = pool.listen();
        match self {
            Self::Sv1 => format!("stratum+tcp://{address}"),
            Self::Sv2Standard | Self::Sv2Extended => {
                format!("stratum2+tcp://{address}/{}", pool.authority_key())
            }
        }
    }
}

/// A miner that runs.
#[derive(Debug)]
pub struct Miner(Process);

impl Miner {
    /// Starts a miner at the pool; `options` are more flags, such as `["--fixed-version"]`.
    pub fn start(pool: &Pool, protocol: Protocol, user: &str, options: &[&str]) -> Self {
        let channel = match protocol {
            Protocol::Sv2Standard => "standard",
            Protocol::Sv2Extended | Protocol::Sv1 => "extended",
        };
        let mut all = vec!["--channel", channel];
        all.extend(options);
        Self::at(&protocol.url(pool), user, &all)
    }

    /// Starts a miner at any pool.
    pub fn at(url: &str, user: &str, options: &[&str]) -> Self {
        let mut command = Command::new(program::headframe());
        command
            .env_clear()
            .args(["miner", url, "--user", user, "--threads", "1", "--json"])
            .args(options);
        Self(Process::start(&format!("the miner {user}"), &mut command))
    }

    /// What it prints.
    pub fn log(&self) -> &Process {
        &self.0
    }

    /// Ends it as Ctrl-C does and gives its counts.
    ///
    /// # Panics
    ///
    /// When it does not end in order, or gives none.
    pub fn stop(&mut self) -> Value {
        let status = self.0.interrupt();
        assert!(status.success(), "Ctrl-C ends the miner with {status}");
        let lines = self.0.standard_output();
        let counts = lines
            .last()
            .and_then(|line| serde_json::from_str(line).ok());
        counts.expect("the last line is JSON")
    }

    /// Waits until it ends by itself, and gives its exit code.
    ///
    /// # Panics
    ///
    /// When it goes on.
    pub fn ended(&mut self) -> Option<i32> {
        self.0.ended().code()
    }
}
