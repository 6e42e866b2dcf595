//! The project's chores, one file each. None of them is needed to build or use the program.

mod bench;
mod bitcoin_core;
mod ci;
mod fuzz;
mod graph;
mod mutations;
mod release;
mod run;
mod tidy;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask tidy           check what the compiler does not: arrows, purity, papers
cargo xtask ci             what .ci/run does after the tests: format, lints, docs, tidy, conformance
cargo xtask ci --full      the same, then every conformance pairing, mutations, fuzzing and the benches
cargo xtask mutations      break the code as xtask/mutations says, and see the tests fail; names may follow
cargo xtask bench          run all benches
cargo xtask release        the program with all features and its papers, in one archive
cargo xtask bitcoin-core   build a Bitcoin Core for the conformance tests, print how to use it";

/// A chore's outcome; the error is for the person who ran it.
type Result<T = ()> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = &root();
    let done = match args.as_slice() {
        ["tidy"] => tidy::run(root),
        ["ci"] => ci::run(root, ci::Extent::Usual),
        ["ci", "--full"] => ci::run(root, ci::Extent::Full),
        ["mutations", only @ ..] => mutations::run(root, only),
        ["bench"] => bench::run(root),
        ["release"] => release::run(root),
        ["bitcoin-core"] => bitcoin_core::run(root),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder. Cargo says at run time where our manifest is; what it said when we were built
/// may be another checkout that shares the target folder.
fn root() -> PathBuf {
    let built_in = env!("CARGO_MANIFEST_DIR").into();
    let xtask = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or(built_in));
    xtask.parent().map(Path::to_owned).unwrap_or_default()
}
