//! What can be typed.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use headframe_config::{KeysName, listen_address};
use headframe_miner::MinerSettings;

/// What `headframe` alone prints.
pub(crate) const WELCOME: &str = "\
headframe is a Bitcoin mining pool that speaks Stratum V1 and Stratum V2.

  headframe demo                         see it all work, on a private chain
  headframe pool                         mine with your own Bitcoin Core
  headframe miner URL --user ADDRESS     mine with this computer
  headframe COMMAND --help, and README.md beside the program's source, tell the rest
";

/// Tells what can be compiled in or left out, since a bug report says no more.
const VERSION: &str = if cfg!(feature = "ipc") {
    concat!(env!("CARGO_PKG_VERSION"), ", with ipc")
} else {
    env!("CARGO_PKG_VERSION")
};

/// A Bitcoin mining pool that speaks Stratum V1 and Stratum V2.
#[derive(Debug, Parser)]
#[command(version = VERSION)]
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
    /// Load a pool with thousands of miners and measure its answers
    Swarm(Swarm),
    /// The keys by which miners know your pool: show, renew, keep the authority elsewhere
    Keys(Keys),
    /// Serve your node's templates to pools, by Stratum V2's template distribution
    TemplateProvider(TemplateProvider),
    /// Look at the configuration and all that it names, and say what is wrong and what to do
    Check(Check),
    /// The blocks that the pool found and what became of them; submit one again
    Blocks(Blocks),
    /// Write down what a worker and the running pool say to each other, for a bug report
    Trace(Trace),
    /// End what the running pool has with a worker, as far as that ends nothing of others
    Close(Close),
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where miners connect
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3333", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,
    /// Where the dashboard is
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = listen_address)]
    pub(crate) http: SocketAddr,
    /// Where the chain, the ledger and the keys are kept [default: nowhere, they go with the demo]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Stop after the chain has accepted this many blocks
    #[arg(long, value_name = "N", value_parser = from_one)]
    pub(crate) blocks: Option<NonZeroU32>,
}

#[derive(Debug, Args)]
pub(crate) struct Pool {
    /// The configuration; without it every key has its default
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where miners connect, in place of all that the configuration says; may be given several times
    /// [default: 0.0.0.0:3333]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<String>,
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
pub(crate) struct TemplateProvider {
    /// The pool's configuration, of which the node's tables count; without it every key has its default
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where pools connect; may be given several times
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8442", value_parser = listen_address)]
    pub(crate) listen: Vec<SocketAddr>,
    /// Where the keys and found blocks are kept [default: template-provider in the pool's data directory]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<PathBuf>,
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
    /// The keys of this name, as a listener's `keys` in the configuration [default: the pool's own]
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) keys: Option<KeysName>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// Tell what the pool uses, and what miners are configured with
    Show {
        /// Print the authority key and nothing else
        #[arg(long)]
        key: bool,
    },
    /// Make a new static key and certificate; miners keep the authority key, and a pool that runs takes them up
    Rotate,
    /// Print a request for a certificate, to be signed where the authority's secret is
    Request {
        /// For a new static key, which takes the place of the present one with its certificate
        #[arg(long)]
        new: bool,
    },
    /// Sign a request, where the authority's secret is; prints the certificate
    Sign {
        /// What `headframe keys request` printed at the pool
        request: PathBuf,
        /// The authority's file
        #[arg(long, value_name = "FILE")]
        authority: PathBuf,
        /// For how long the certificate holds
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=3650))]
        days: u16,
    },
    /// Put a certificate that was signed elsewhere into use; a pool that runs takes it up
    Install {
        /// What `headframe keys sign` printed
        certificate: PathBuf,
    },
    /// Make an authority in a file of its own, on a computer that is kept safe
    Authority {
        /// The file to be made
        file: PathBuf,
    },
    /// Move the authority's secret from the pool's keys into a file, to be carried to where it is safe
    Detach {
        /// The file to be made
        file: PathBuf,
    },
}

/// Changes nothing, and a pool may run meanwhile. Ends with 0 when nothing is wrong, and with 1 when something is.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The configuration of the pool; without it every key has its default
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory of the pool
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<String>,
}

/// Reads the data directory, whether a pool runs with it or not, and changes nothing in it.
#[derive(Debug, Args)]
pub(crate) struct Blocks {
    #[command(subcommand)]
    pub(crate) action: Option<BlocksAction>,
    /// List so many, the highest
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) last: usize,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The configuration of the pool
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// The data directory of the pool
    #[arg(long, value_name = "DIRECTORY", global = true)]
    pub(crate) data_dir: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BlocksAction {
    /// Give a block to all nodes of the configuration once more, and tell what each says
    Submit {
        /// Its hash, or the end of it, or its height
        block: String,
    },
}

/// Addresses and passwords are masked. Ctrl-C ends it sooner; what was said until then is in the file.
#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// The worker's user name, or what stands behind the address in it
    pub(crate) worker: String,
    /// For how long
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) seconds: u32,
    /// Where it is written [default: headframe-trace-WORKER.jsonl]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Wait for a worker that is not connected, or is refused; give its whole user name
    #[arg(long)]
    pub(crate) wait: bool,
    /// The configuration of the pool
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory of the pool
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<String>,
}

/// Its channel, where its client is known to bear that; else its connection, where nobody else is on it. It may
/// come back: nobody is banned by this.
#[derive(Debug, Args)]
pub(crate) struct Close {
    /// The worker's user name, or what stands behind the address in it
    pub(crate) worker: String,
    /// The configuration of the pool
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory of the pool
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Miner {
    /// stratum+tcp://HOST:PORT, stratum+ssl://HOST:PORT/FINGERPRINT, or
    /// stratum2+tcp://HOST:PORT/AUTHORITY_KEY
    pub(crate) url: String,
    /// The user name at the pool: usually your address, or address.worker
    #[arg(long)]
    pub(crate) user: String,
    /// A name for this machine in each share, for several behind one user name: at most 32 bytes (SV2, where
    /// the pool has extension 0x0002)
    #[arg(long, value_name = "NAME", value_parser = worker_name)]
    pub(crate) worker: Option<String>,
    /// The password at the pool; most do not look at it
    #[arg(long, default_value = "x")]
    pub(crate) password: String,
    /// Threads that hash [default: one per core]
    #[arg(long, value_name = "N", value_parser = from_one)]
    pub(crate) threads: Option<NonZeroU32>,
    /// The kind of SV2 channel [default: extended]
    #[arg(long, value_enum)]
    pub(crate) channel: Option<Channel>,
    /// Hashes per second and thread, at most
    #[arg(long, value_name = "RATE", value_parser = from_one)]
    pub(crate) throttle: Option<NonZeroU32>,
    /// Do not roll the header's version
    #[arg(long)]
    pub(crate) fixed_version: bool,
    /// Trust whoever answers, without an authority key or a fingerprint
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Print the counts as one JSON object at the end
    #[arg(long)]
    pub(crate) json: bool,
}

/// A load generator. It finds no shares worth anything, and prints one JSON object at the end.
#[derive(Debug, Args)]
pub(crate) struct Swarm {
    /// stratum+tcp://HOST:PORT, stratum+ssl://HOST:PORT/FINGERPRINT, or
    /// stratum2+tcp://HOST:PORT/AUTHORITY_KEY
    pub(crate) url: String,
    /// A user name at the pool; given several times, the channels take them in turn
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Vec<String>,
    /// Use so many addresses made up for --network as user names, instead of --user
    #[arg(long, value_name = "N", conflicts_with = "user")]
    pub(crate) distinct_users: Option<NonZeroU32>,
    /// The network of the addresses that are made up
    #[arg(long, value_enum, default_value_t = SwarmNetwork::Regtest)]
    pub(crate) network: SwarmNetwork,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) connections: usize,
    /// SV2 channels on each connection
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) channels: usize,
    /// The kind of SV2 channel
    #[arg(long, value_enum, default_value_t = Channel::Standard)]
    pub(crate) channel: Channel,
    /// Open the connections over this time
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    pub(crate) ramp: f64,
    /// Send shares for this time, once all have connected
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub(crate) duration: f64,
    /// End sooner, after so many shares
    #[arg(long, value_name = "N")]
    pub(crate) shares: Option<NonZeroU64>,
    /// Shares a second in all; 0: a new one whenever one is answered
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub(crate) rate: f64,
    /// With --rate 0: shares of each channel that wait for an answer
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) window: usize,
    /// Whether shares meet their target, or just miss it
    #[arg(long, value_enum, default_value_t = SwarmMode::Valid)]
    pub(crate) mode: SwarmMode,
    /// Connect from so many loopback addresses, 127.0.0.1 and on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=254))]
    pub(crate) sources: Option<u8>,
    /// Measure the process with this number too: the pool, on this computer
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// The RPC of the pool's Bitcoin node, host:port: new tips are timed from its word
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) node: Option<String>,
    /// The node's cookie file [default: looked for in Bitcoin Core's data directories]
    #[arg(long, value_name = "FILE", requires = "node")]
    pub(crate) cookie: Option<PathBuf>,
    /// Threads of the swarm [default: half of the cores]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroU32>,
    /// Trust whoever answers, without an authority key or a fingerprint
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Load a pool that is not on this computer. Only one that is yours
    #[arg(long)]
    pub(crate) anywhere: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SwarmMode {
    Valid,
    Invalid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SwarmNetwork {
    Mainnet,
    Testnet4,
    Signet,
    Regtest,
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

/// A count of which there is at least one.
fn from_one(text: &str) -> Result<NonZeroU32, String> {
    let count = text.parse();
    count.map_err(|_| format!("write a whole number from 1 to {}", u32::MAX))
}

fn worker_name(text: &str) -> Result<String, String> {
    let most = MinerSettings::MAX_WORKER_LEN;
    match (1..=most).contains(&text.len()) {
        true => Ok(text.to_owned()),
        false => Err(format!("write a name of 1 to {most} bytes")),
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
