//! What can be typed.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// What `headframe` alone prints.
pub(crate) const WELCOME: &str = "\
headframe is a Bitcoin mining pool that speaks Stratum V1 and Stratum V2.

  headframe demo                         see it all work, on a private chain
  headframe pool                         mine with your own Bitcoin Core
  headframe miner URL --user ADDRESS     mine with this computer
  headframe COMMAND --help, and README.md beside the program's source, tell the rest
";

/// A Bitcoin mining pool that speaks Stratum V1 and Stratum V2.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See it all work: a private chain, a pool, three miners, a dashboard
    Demo(Demo),
    /// Run a pool on your Bitcoin node
    Pool(Pool),
    /// Mine at a pool with this computer's processor
    Miner(Miner),
    /// Show or renew the keys by which miners know your pool
    Keys(Keys),
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where miners connect
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3333")]
    pub(crate) listen: SocketAddr,
    /// Where the dashboard is
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) http: SocketAddr,
    /// Where the chain, the ledger and the keys are kept [default: nowhere, they go with the demo]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Stop after the chain has accepted this many blocks
    #[arg(long, value_name = "N")]
    pub(crate) blocks: Option<NonZeroU32>,
}

#[derive(Debug, Args)]
pub(crate) struct Pool {
    /// The configuration; without it every key has its default
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where miners connect [default: 0.0.0.0:3333]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// Where the dashboard is [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http: Option<String>,
    /// Where the ledger, the keys and found blocks are kept
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<String>,
    /// Print a configuration with every key and its default, and stop
    #[arg(long)]
    pub(crate) sample_config: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) action: KeysAction,
    /// The configuration of the pool
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where the pool's keys are kept
    #[arg(long, value_name = "DIRECTORY", global = true)]
    pub(crate) data_dir: Option<String>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum KeysAction {
    /// Print the authority key that miners are configured with
    Show,
    /// Make a new static key and certificate; miners keep the authority key. The pool must not run
    Rotate,
}

#[derive(Debug, Args)]
pub(crate) struct Miner {
    /// stratum+tcp://HOST:PORT, or stratum2+tcp://HOST:PORT/AUTHORITY_KEY
    pub(crate) url: String,
    /// The user name at the pool: usually your address, or address.worker
    #[arg(long)]
    pub(crate) user: String,
    /// The password at the pool; most do not look at it
    #[arg(long, default_value = "x")]
    pub(crate) password: String,
    /// Threads that hash [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroU32>,
    /// The kind of SV2 channel
    #[arg(long, value_enum, default_value_t = Channel::Extended)]
    pub(crate) channel: Channel,
    /// Hashes per second and thread, at most
    #[arg(long, value_name = "RATE")]
    pub(crate) throttle: Option<NonZeroU32>,
    /// Do not roll the header's version
    #[arg(long)]
    pub(crate) fixed_version: bool,
    /// Trust whoever answers, without an authority key
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Print the counts as one JSON object at the end
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Channel {
    Standard,
    Extended,
}

impl From<Channel> for headframe_miner::Channel {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Standard => Self::Standard,
            Channel::Extended => Self::Extended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
