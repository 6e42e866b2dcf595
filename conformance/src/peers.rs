//! Programs of other people as clients of our pool: those of the Stratum V2 Reference Implementation,
//! and a Stratum V1 client from npm.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use crate::bitcoind::free_address;
use crate::pool::Pool;
use crate::process::Process;
use crate::program;
use crate::provider::Provider;

/// Microseconds that the device waits between calls of its hash loop: a few blocks a second on
/// regtest.
const HANDICAP: &str = "100000";

/// How often a translator's pool is listed: it goes on with the next entry when it loses one, and ends
/// with the last.
const UPSTREAMS: usize = 12;

/// Starts its CPU miner, one standard channel. `None`, with a word on the terminal, where there is
/// none.
pub fn mining_device(pool: &Pool, user: &str) -> Option<Process> {
    let mut command = Command::new(program::peer("mining_device")?);
    command
        .args(["--address-pool", &pool.listen().to_string()])
        .args(["--pubkey-pool", &pool.authority_key()])
        .args(["--id-user", user])
        .args(["--handicap", HANDICAP, "--nonces-per-call", "1"])
        .args(["--cores", "1"]);
    Some(Process::start("mining_device", &mut command))
}

/// Starts a miner by the npm package `stratum-client`, which prints `block HASH` once it has mined one,
/// and ends. `None`, with a word on the terminal, where it is not installed.
pub fn stratum_client(pool: SocketAddr, user: &str) -> Option<Process> {
    let modules = program::node_modules()?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/stratum_client.js");
    let mut command = Command::new("node");
    command
        .env("NODE_PATH", modules)
        .args([script, &pool.ip().to_string(), &pool.port().to_string()])
        .arg(user);
    Some(Process::start("stratum-client", &mut command))
}

/// The reference's pool, with templates of a Template Provider.
#[derive(Debug)]
pub struct ReferencePool {
    /// Where miners connect.
    pub listen: SocketAddr,
    process: Process,
    _directory: TempDir,
}

impl ReferencePool {
    /// The key pair that the pool has here, of which everybody knows the secret.
    const KEY: &str = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";
    const SECRET: &str = "mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n";

    /// Starts it; its blocks pay `address`. `None`, with a word on the terminal, where there is none.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(provider: &Provider, address: &str) -> Option<Self> {
        let program = program::peer("pool_sv2")?;
        let directory = TempDir::new().expect("a temporary directory can be made");
        let (listen, monitoring) = (free_address(), free_address());
        let file = directory.path().join("pool.toml");
        let (key, secret) = (Self::KEY, Self::SECRET);
        let (provider, provider_key) = (provider.address(), provider.key());
        let config = format!(
            r#"
authority_public_key = "{key}"
authority_secret_key = "{secret}"
cert_validity_sec = 3600
listen_address = "{listen}"
coinbase_reward_script = "addr({address})"
server_id = 1
pool_signature = "reference"
shares_per_minute = 60.0
share_batch_size = 1
supported_extensions = []
required_extensions = []
monitoring_address = "{monitoring}"
monitoring_cache_refresh_secs = 2

[template_provider_type.Sv2Tp]
address = "{provider}"
public_key = "{provider_key}"
"#
        );
        fs::write(&file, config).expect("a temporary file can be written");
        let mut command = Command::new(program);
        command.arg("-c").arg(file);
        Some(Self {
            listen,
            process: Process::start("pool_sv2", &mut command),
            _directory: directory,
        })
    }

    /// Where our miner finds it.
    pub fn url(&self) -> String {
        format!("stratum2+tcp://{}/{}", self.listen, Self::KEY)
    }

    /// What it prints.
    pub fn log(&self) -> &Process {
        &self.process
    }
}

/// The reference's translator from Stratum V1 to V2, between V1 miners and our pool.
#[derive(Debug)]
pub struct Translator {
    /// Where V1 miners connect.
    pub listen: SocketAddr,
    process: Process,
    _directory: TempDir,
}

impl Translator {
    /// Starts it, with one channel for all its miners or one for each. `None`, with a word on the
    /// terminal, where there is none.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(pool: &Pool, user: &str, aggregate: bool) -> Option<Self> {
        Self::requiring(pool, user, aggregate, &[])
    }

    /// As [`start`](Self::start); it leaves a pool that does not agree on these extensions.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn requiring(pool: &Pool, user: &str, aggregate: bool, extensions: &[u16]) -> Option<Self> {
        let program = program::peer("translator_sv2")?;
        let directory = TempDir::new().expect("a temporary directory can be made");
        let (listen, monitoring) = (free_address(), free_address());
        let file = directory.path().join("translator.toml");
        let config = config(pool, user, aggregate, extensions, listen, monitoring);
        fs::write(&file, config).expect("a temporary file can be written");
        let mut command = Command::new(program);
        command.arg("--config").arg(file);
        Some(Self {
            listen,
            process: Process::start("translator_sv2", &mut command),
            _directory: directory,
        })
    }

    /// What it prints.
    pub fn log(&self) -> &Process {
        &self.process
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }
}

fn config(
    pool: &Pool,
    user: &str,
    aggregate: bool,
    extensions: &[u16],
    listen: SocketAddr,
    monitoring: SocketAddr,
) -> String {
    let (port, upstream, key) = (listen.port(), pool.listen().port(), pool.authority_key());
    let upstream = format!(
        r#"
[[upstreams]]
address = "127.0.0.1"
port = {upstream}
authority_pubkey = "{key}"
user_identity = "{user}"
"#
    );
    let upstreams = upstream.repeat(UPSTREAMS);
    format!(
        r#"
downstream_address = "127.0.0.1"
downstream_port = {port}
max_supported_version = 2
min_supported_version = 2
downstream_extranonce2_size = 4
verify_payout = false
aggregate_channels = {aggregate}
supported_extensions = [0x0002]
required_extensions = {extensions:?}
monitoring_address = "{monitoring}"
monitoring_cache_refresh_secs = 2

[downstream_difficulty_config]
min_individual_miner_hashrate = 50.0
shares_per_minute = 60.0
enable_vardiff = true
job_keepalive_interval_secs = 60
{upstreams}"#
    )
}
