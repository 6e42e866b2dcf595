//! headframe: the command line, and the wiring of the parts.
//!
//! Nothing here knows a message or a rule of mining.

mod cli;
mod demo;
mod files;
mod interrupt;
mod keys;
mod lan;
mod log;
mod miner;
mod node;
mod pool;
mod web;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Some(Command::Demo(demo)) => demo::run(demo),
        Some(Command::Pool(pool)) => pool::run(pool),
        Some(Command::Miner(miner)) => miner::run(miner),
        Some(Command::Keys(keys)) => keys::run(keys),
        None => {
            print!("{}", cli::WELCOME);
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headframe: {error:#}");
            ExitCode::FAILURE
        }
    }
}
