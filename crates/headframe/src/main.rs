//! headframe: the command line, and the wiring of the parts.
//!
//! Nothing here knows a message or a rule of mining.

mod ask;
mod blocks;
mod check;
mod cli;
mod close;
mod data;
mod demo;
mod files;
mod interrupt;
mod keys;
mod lan;
mod left;
mod listeners;
mod log;
mod miner;
mod node;
mod places;
mod pool;
mod reach;
mod swarm;
mod template_provider;
mod trace;
mod web;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            for line in told(&error).lines() {
                eprintln!("headframe: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Some(Command::Check(check)) => return check::run(&check),
        Some(Command::Demo(demo)) => demo::run(demo),
        Some(Command::Pool(pool)) => pool::run(pool),
        Some(Command::Miner(miner)) => miner::run(miner),
        Some(Command::Swarm(swarm)) => swarm::run(swarm),
        Some(Command::Keys(keys)) => keys::run(keys),
        Some(Command::TemplateProvider(provider)) => template_provider::run(provider),
        Some(Command::Blocks(blocks)) => blocks::run(blocks),
        Some(Command::Trace(trace)) => trace::run(trace),
        Some(Command::Close(close)) => close::run(&close),
        None => {
            say(cli::WELCOME.trim_end());
            Ok(())
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a result. Whoever has read enough of it (`| head`) may close the pipe.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// An error with its causes. Most tell their cause themselves; it is not told twice.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn each_cause_is_told_once() {
        let cause = || Err::<(), _>(io::Error::other("no room"));
        let told = |context: &'static str| told(&cause().context(context).unwrap_err());
        assert_eq!(told("cannot write"), "cannot write: no room");
        assert_eq!(told("cannot write (no room)"), "cannot write (no room)");
    }
}
