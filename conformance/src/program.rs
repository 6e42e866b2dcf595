//! Where the programs under test are, by environment variable.
//!
//! `HEADFRAME` is the built pool, by default the workspace's release build and then its debug build.
//! `BITCOIND` is Bitcoin Core, and `BITCOIN_NODE` the one of its programs that serves the mining interface. `SRI_PEERS` is a directory with programs of the Stratum V2 Reference
//! Implementation. `NODE_MODULES` is a directory with a Stratum V1 client from npm. `ZMQ_PYTHON` is a Python with
//! `pyzmq`. Without the last five the tests that need them say so and pass.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Asks for every pairing of the matrix rather than one per protocol.
pub fn is_full() -> bool {
    env::var_os("HEADFRAME_CONFORMANCE").is_some_and(|extent| extent == "full")
}

/// The program under test.
///
/// # Panics
///
/// When it has not been built.
pub fn headframe() -> PathBuf {
    if let Some(given) = env::var_os("HEADFRAME") {
        return existing(given.into(), "HEADFRAME");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let builds = ["release", "debug"].map(|profile| root.join("target").join(profile));
    let mut built = builds.iter().map(|folder| folder.join("headframe"));
    built.find(|path| path.exists()).unwrap_or_else(|| {
        panic!("headframe is not built: `cargo build --release`, or set HEADFRAME to the program")
    })
}

/// Bitcoin Core; says that a test is skipped where there is none.
pub fn bitcoind() -> Option<PathBuf> {
    match env::var_os("BITCOIND") {
        Some(given) => Some(existing(given.into(), "BITCOIND")),
        None => {
            skip("BITCOIND is not set; `cargo xtask bitcoin-core` builds one and prints the line");
            None
        }
    }
}

/// The Bitcoin Core that serves its mining interface; says that a test is skipped where there is none.
pub fn bitcoin_node() -> Option<PathBuf> {
    match env::var_os("BITCOIN_NODE") {
        Some(given) => Some(existing(given.into(), "BITCOIN_NODE")),
        None => {
            skip(
                "BITCOIN_NODE is not set; `cargo xtask bitcoin-core` builds one and prints the line",
            );
            None
        }
    }
}

/// A program of the Stratum V2 Reference Implementation; says that a test is skipped where there is
/// none.
pub fn peer(name: &str) -> Option<PathBuf> {
    match env::var_os("SRI_PEERS") {
        Some(folder) => Some(existing(PathBuf::from(folder).join(name), "SRI_PEERS")),
        None => {
            skip(&format!(
                "SRI_PEERS is not set; it names a directory with {name}, as made by `cargo install`"
            ));
            None
        }
    }
}

/// Where the packages of npm are that miners are made of; says that a test is skipped where they are
/// not.
pub fn node_modules() -> Option<PathBuf> {
    match env::var_os("NODE_MODULES") {
        Some(given) => Some(existing(given.into(), "NODE_MODULES")),
        None => {
            skip(
                "NODE_MODULES is not set; it names the directory that \
                 `npm install --ignore-scripts stratum-client@1.1.0` makes",
            );
            None
        }
    }
}

/// A Python that has `pyzmq`, and so libzmq; says that a test is skipped where there is none.
pub fn zmq_python() -> Option<PathBuf> {
    match env::var_os("ZMQ_PYTHON") {
        Some(given) => Some(existing(given.into(), "ZMQ_PYTHON")),
        None => {
            skip("ZMQ_PYTHON is not set; it names a python with `pip install pyzmq==27.3.0`");
            None
        }
    }
}

fn existing(path: PathBuf, variable: &str) -> PathBuf {
    assert!(path.exists(), "{variable}: there is no {}", path.display());
    path
}

/// Says on the terminal, past the capture of a passing test's output, that a test was not run.
fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // A terminal that cannot be written to cannot be told so.
    let _ = writeln!(io::stderr(), "skipped: {test}: {reason}");
}
