//! A pool under a crowd, and the same bytes from a program that does nothing else.
//!
//! Three processes: this one reads and keeps the time; a child is the pool, on templates that this one
//! releases; another child is the bare loop, or a bare server. The children are this program again, told their part by
//! their first argument, so that processor time and memory are those of the part alone.
//!
//! `cargo bench -p headframe --bench crowd` does all; `-- memory`, and the other names below, does one, and
//! `-- sv1` or `-- sv2` one protocol.

mod arrivals;
mod bare;
mod bitcoin_core;
mod channels;
mod child;
mod client;
mod echo;
mod fan_out;
mod floor;
mod found;
mod load;
mod memory;
mod pool;
mod publisher;
mod reader;
mod refusals;
mod replies;
mod shares;
mod signal;
mod spread;
mod taker;

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::child::Protocol::{self, Sv1, Sv2};

type Section = fn(Protocol) -> anyhow::Result<()>;

const SECTIONS: [(&str, &[Protocol], Section); 10] = [
    ("memory", &[Sv2, Sv1], memory::run),
    ("fan-out", &[Sv2, Sv1], fan_out::run),
    ("channels", &[Sv2], channels::run),
    ("arrivals", &[Sv2, Sv1], arrivals::run),
    ("shares", &[Sv2], shares::run),
    ("replies", &[Sv1], replies::run),
    ("refusals", &[Sv1], refusals::run),
    ("zmq", &[Sv2], signal::zmq),
    ("ipc", &[Sv2], signal::ipc),
    ("found", &[Sv2], found::run),
];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    raise_limit()?;
    match arguments[..] {
        ["pool", ..] => pool::run(&arguments[1..]),
        ["bare", ..] => bare::run(),
        ["echo", ..] => echo::run(&arguments[1..]),
        ["taker"] => taker::run(),
        ["relay", address, len] => taker::relay(address, len),
        _ => run_sections(&arguments),
    }
}

fn run_sections(arguments: &[&str]) -> anyhow::Result<()> {
    // cargo adds its own flag.
    let wanted: Vec<&str> = arguments
        .iter()
        .copied()
        .filter(|it| !it.starts_with("--"))
        .collect();
    let (spoken, wanted): (Vec<_>, Vec<_>) = wanted
        .into_iter()
        .partition(|it| Protocol::named(it).is_some());
    if let Some(unknown) = wanted
        .iter()
        .find(|wanted| SECTIONS.iter().all(|(name, ..)| name != *wanted))
    {
        bail!("there is no section {unknown}");
    }
    for (name, protocols, section) in SECTIONS {
        for protocol in protocols {
            let is_wanted = wanted.is_empty() || wanted.contains(&name);
            if is_wanted && (spoken.is_empty() || spoken.contains(&protocol.name())) {
                println!("\n{name}, {}", protocol.name());
                section(*protocol).with_context(|| format!("section {name}"))?;
            }
        }
    }
    Ok(())
}

/// What a section measures on, with so many threads: few, since the pool wants the cores.
fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
}

/// As many connections as the system lets a process have.
fn raise_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit on open files")
}

/// Connections for which there is room, `each` files of this process for one; at most `wanted`, or what
/// the variable `CONNECTIONS` says.
fn room_for(wanted: usize, each: usize) -> usize {
    let asked = std::env::var("CONNECTIONS").ok();
    let wanted = asked.and_then(|it| it.parse().ok()).unwrap_or(wanted);
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = usize::try_from(limit).unwrap_or(usize::MAX);
    wanted.min(room.saturating_sub(300) / each)
}
