//! A pool under a crowd, and the same bytes from a program that does nothing else.
//!
//! Three processes: this one reads and keeps the time; a child is the pool, on templates that this one
//! releases; another child is the bare loop. The children are this program again, told their part by
//! their first argument, so that processor time and memory are those of the part alone.
//!
//! `cargo bench -p headframe --bench crowd` does all; `-- memory`, and the other names below, does one.

mod arrivals;
mod bare;
mod channels;
mod child;
mod fan_out;
mod memory;
mod pool;
mod reader;
mod shares;
mod spread;

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

type Section = fn() -> anyhow::Result<()>;

const SECTIONS: [(&str, Section); 5] = [
    ("memory", memory::run),
    ("fan-out", fan_out::run),
    ("channels", channels::run),
    ("arrivals", arrivals::run),
    ("shares", shares::run),
];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    raise_limit()?;
    match arguments[..] {
        ["pool", ..] => pool::run(&arguments[1..]),
        ["bare", ..] => bare::run(),
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
    if let Some(unknown) = wanted
        .iter()
        .find(|wanted| SECTIONS.iter().all(|(name, _)| name != *wanted))
    {
        bail!("there is no section {unknown}");
    }
    for (name, section) in SECTIONS {
        if wanted.is_empty() || wanted.contains(&name) {
            println!("\n{name}");
            section().with_context(|| format!("section {name}"))?;
        }
    }
    Ok(())
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
