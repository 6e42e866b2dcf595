//! The pool under test, configured by its environment.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::bitcoind::Bitcoind;
use crate::http;
use crate::process::Process;
use crate::program;
use crate::provider::Provider;
use crate::wait::{until, until_true};

/// The name of the configuration in the home directory, where there is one.
const CONFIGURATION: &str = "pool.toml";
/// An address at which the system chooses the port.
const ANY_PORT: &str = "127.0.0.1:0";

/// A pool, running or not, with a home directory of its own.
#[derive(Debug)]
pub struct Pool {
    // Dropped in this order: the process has ended when its directory is removed.
    process: Process,
    home: TempDir,
    environment: Vec<(String, String)>,
    listen: SocketAddr,
    dashboard: SocketAddr,
}

impl Pool {
    /// Starts a pool on a node, and waits until miners may come.
    ///
    /// # Panics
    ///
    /// When it does not get that far.
    pub fn on(node: &Bitcoind) -> Self {
        Self::configured(node, &[])
    }

    /// Starts a pool on a node with more settings, such as `("PAYOUT_FEE_PERCENT", "1.5")`, and
    /// waits until miners may come.
    ///
    /// # Panics
    ///
    /// When it does not get that far.
    pub fn configured(node: &Bitcoind, settings: &[(&str, &str)]) -> Self {
        let mut all = of_node(node);
        // Of two with the same name the later one counts.
        all.extend(owned(settings));
        let mut pool = Self::launch(any_port(), all);
        pool.wait_for_listener();
        pool
    }

    /// Starts a pool on several nodes, the preferred one first, and waits until miners may come. Each is
    /// reached where it says, with the cookie of a node.
    ///
    /// # Panics
    ///
    /// When it does not get that far.
    pub fn on_several(chain: &str, nodes: &[(SocketAddr, PathBuf)]) -> Self {
        let home = TempDir::new().expect("a temporary directory can be made");
        let mut file = format!("[node]\nnetwork = \"{chain}\"\n");
        for (place, (address, cookie)) in nodes.iter().enumerate() {
            if place > 0 {
                file += "[[backup_node]]\n";
            }
            file += &format!("url = \"{address}\"\ncookie_file = {cookie:?}\n");
        }
        fs::write(home.path().join(CONFIGURATION), file).expect("it can be written");
        let mut pool = Self::launch_in(home, any_port(), Vec::new());
        pool.wait_for_listener();
        pool
    }

    /// Starts a pool on a node, with another by RPC for when it fails, and waits until miners may come.
    ///
    /// # Panics
    ///
    /// When it does not get that far.
    pub fn with_backup(node: &Bitcoind, backup: &Bitcoind) -> Self {
        let home = TempDir::new().expect("a temporary directory can be made");
        let (address, cookie) = (backup.address(), backup.cookie_file());
        let file = format!("[[backup_node]]\nurl = \"{address}\"\ncookie_file = {cookie:?}\n");
        fs::write(home.path().join(CONFIGURATION), file).expect("it can be written");
        let mut pool = Self::launch_in(home, any_port(), of_node(node));
        pool.wait_for_listener();
        pool
    }

    /// Starts a pool that knows nothing of a node but what its Template Provider tells, with more settings, and waits
    /// until miners may come.
    ///
    /// # Panics
    ///
    /// When it does not get that far.
    pub fn behind(provider: &Provider, settings: &[(&str, &str)]) -> Self {
        let network = provider.chain().name();
        let mut all = owned(&[
            ("NODE_NETWORK", network),
            ("NODE_TEMPLATE_PROVIDER", provider.place()),
        ]);
        all.extend(owned(settings));
        let mut pool = Self::launch(any_port(), all);
        pool.wait_for_listener();
        pool
    }

    /// Starts a pool with these settings and nothing else, and waits for its dashboard only.
    ///
    /// # Panics
    ///
    /// When it does not get that far.
    pub fn with_settings(settings: &[(&str, &str)]) -> Self {
        Self::launch(any_port(), owned(settings))
    }

    /// As [`with_settings`](Self::with_settings), with miners to be served at `listen`, for tests
    /// of that not being so.
    ///
    /// # Panics
    ///
    /// When it does not get that far.
    pub fn listening_at(listen: SocketAddr, settings: Vec<(String, String)>) -> Self {
        Self::launch(listen, settings)
    }

    fn launch(listen: SocketAddr, environment: Vec<(String, String)>) -> Self {
        let home = TempDir::new().expect("a temporary directory can be made");
        Self::launch_in(home, listen, environment)
    }

    fn launch_in(home: TempDir, listen: SocketAddr, environment: Vec<(String, String)>) -> Self {
        let process = run(home.path(), &environment, listen, any_port());
        let dashboard = address_in(&process.line("dashboard: "), "http://");
        Self {
            home,
            environment,
            listen,
            dashboard,
            process,
        }
    }

    /// Waits until miners may come.
    ///
    /// # Panics
    ///
    /// When they may not.
    pub fn wait_for_listener(&mut self) {
        const BEFORE: &str = "miners connect to ";
        self.listen = address_in(&self.process.line(BEFORE), BEFORE);
    }

    /// Ends it as Ctrl-C does; it ends in order.
    ///
    /// # Panics
    ///
    /// When it does not, or not with exit code 0.
    pub fn stop(&mut self) {
        let status = self.process.interrupt();
        assert!(status.success(), "Ctrl-C ends the pool with {status}");
    }

    /// Ends it without a word of warning.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again where it was, and waits until miners may come.
    ///
    /// # Panics
    ///
    /// When they may not.
    pub fn restart(&mut self) {
        let home = self.home.path();
        self.process = run(home, &self.environment, self.listen, self.dashboard);
        self.wait_for_listener();
    }

    /// Runs another command of the program on its data directory, with its settings, to the end.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn command(&self, arguments: &[&str]) -> Output {
        self.command_with(&[], arguments)
    }

    /// The same with more settings.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn command_with(&self, settings: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = program_with(self.home.path(), &self.environment);
        for (key, value) in settings {
            command.env(format!("HEADFRAME_{key}"), value);
        }
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data_directory());
        command.output().expect("the program starts")
    }

    /// What it prints.
    pub fn log(&self) -> &Process {
        &self.process
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Where miners connect.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where its dashboard is.
    pub fn dashboard(&self) -> SocketAddr {
        self.dashboard
    }

    /// Its data directory.
    pub fn data_directory(&self) -> PathBuf {
        data_directory(self.home.path())
    }

    /// The blocks in its journal, by the names of their files.
    pub fn journal(&self) -> Vec<String> {
        let entries = fs::read_dir(self.data_directory().join("blocks"));
        let entries = entries.into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".hex")).collect()
    }

    /// What `/api/v1/` says of something.
    ///
    /// # Panics
    ///
    /// When the dashboard does not answer.
    pub fn api(&self, what: &str) -> Value {
        http::fetch_json(self.dashboard, &format!("/api/v1/{what}")).expect("the dashboard answers")
    }

    /// The kind of state that the summary tells: `running`, `setup`, …
    ///
    /// # Panics
    ///
    /// When the dashboard does not answer.
    pub fn state(&self) -> String {
        let summary = self.api("summary");
        let kind = summary["state"]["kind"].as_str();
        kind.expect("a state has a kind").to_owned()
    }

    /// Waits until the summary tells a kind of state.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn wait_for_state(&self, kind: &str) -> Value {
        until(&format!("the dashboard's state {kind}"), || {
            let summary = self.api("summary");
            (summary["state"]["kind"] == kind).then_some(summary)
        })
    }

    /// Whether miners can connect.
    pub fn is_listening(&self, address: SocketAddr) -> bool {
        TcpStream::connect(address).is_ok()
    }

    /// The key that a miner needs to know the pool by.
    ///
    /// # Panics
    ///
    /// When the dashboard does not tell it.
    pub fn authority_key(&self) -> String {
        until("the authority key", || {
            let key = &self.api("summary")["connect"]["authority_key"];
            key.as_str().map(str::to_owned)
        })
    }

    /// Waits until the summary says that there is something the pool cannot mine without.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn wait_for_trouble(&self) -> Value {
        until("trouble on the dashboard", || {
            let summary = self.api("summary");
            let kind = summary["state"]["kind"].as_str();
            matches!(kind, Some("setup" | "node_unusable")).then_some(summary)
        })
    }

    /// Waits until the dashboard knows as many accepted shares.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn wait_for_shares(&self, count: u64) {
        until_true(&format!("{count} accepted shares"), || {
            let accepted = self.api("summary")["shares"]["accepted"].as_u64();
            accepted.is_some_and(|accepted| accepted >= count)
        });
    }
}

/// The settings that name a node, in the way in which it is reached.
pub fn of_node(node: &Bitcoind) -> Vec<(String, String)> {
    let mut settings = owned(&[("NODE_NETWORK", node.chain().name())]);
    if let Some(socket) = node.socket() {
        settings.extend(owned(&[("NODE_IPC", &socket.display().to_string())]));
    }
    if node.way().has_rpc() {
        let cookie = node.cookie_file().display().to_string();
        settings.extend(owned(&[
            ("NODE_URL", &node.address().to_string()),
            ("NODE_COOKIE_FILE", &cookie),
        ]));
    }
    settings
}

/// Settings as they are kept.
pub fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let settings = settings.iter();
    settings
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn run(
    home: &Path,
    environment: &[(String, String)],
    listen: SocketAddr,
    dashboard: SocketAddr,
) -> Process {
    let mut command = command(home, environment);
    command
        .args(["--listen", &listen.to_string()])
        .args(["--http", &dashboard.to_string()])
        .arg("--data-dir")
        .arg(data_directory(home));
    let file = home.join(CONFIGURATION);
    if file.exists() {
        command.arg("-c").arg(file);
    }
    Process::start("the pool", &mut command)
}

fn data_directory(home: &Path) -> PathBuf {
    home.join("data")
}

/// `headframe pool` with these settings and no others, without flags.
pub fn command(home: &Path, environment: &[(String, String)]) -> Command {
    let mut command = program_with(home, environment);
    command.arg("pool");
    command
}

fn program_with(home: &Path, environment: &[(String, String)]) -> Command {
    let mut command = Command::new(program::headframe());
    command.env_clear().env("HOME", home);
    for (key, value) in environment {
        command.env(format!("HEADFRAME_{key}"), value);
    }
    command
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// The flags with which a program listens where nobody else does.
pub fn any_ports() -> [&'static str; 4] {
    ["--listen", ANY_PORT, "--http", ANY_PORT]
}

/// The address in a line of the log after some text.
///
/// # Panics
///
/// When there is none.
pub fn address_in(line: &str, before: &str) -> SocketAddr {
    let rest = line.split_once(before).map(|(_, rest)| rest);
    let word = rest.and_then(|rest| rest.split([',', ' ', '/']).next());
    let address = word.and_then(|word| word.parse().ok());
    address.unwrap_or_else(|| panic!("no address after {before:?} in {line:?}"))
}
