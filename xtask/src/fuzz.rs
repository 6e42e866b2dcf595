//! Every fuzz target for a while, on the nightly compiler that the sanitizers need.
//!
//! Finds land in fuzz/artifacts; the committed corpus is only read.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::{fs, thread};

use crate::Result;
use crate::run;

/// How long each target runs, in seconds.
const SECONDS: u32 = 120;

/// As many targets at a time as there are cores: each of them uses one.
pub(crate) fn run(root: &Path) -> Result {
    run::run(&mut nightly(root, "build", &[]))?;
    let waiting = Mutex::new(targets(root)?.into_iter());
    let next = || waiting.lock().ok()?.next();
    let work = || {
        let mut done = Ok(());
        while let Some(target) = next() {
            let fuzzed = one(root, &target);
            done = done.and(fuzzed);
        }
        done
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let ends = workers.into_iter().map(|worker| {
            let end = worker.join();
            end.unwrap_or_else(|_| Err("a thread of the fuzzers panicked".to_owned()))
        });
        ends.fold(Ok(()), Result::and)
    })
}

fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|error| format!("fuzz/fuzz_targets: {error}"))?;
    let mut targets: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .collect();
    targets.sort();
    Ok(targets)
}

fn one(root: &Path, target: &str) -> Result {
    println!("{target}: {SECONDS} s");
    let grown = root.join("fuzz/target/corpus").join(target);
    fs::create_dir_all(&grown).map_err(|error| format!("{}: {error}", grown.display()))?;
    let mut fuzz = nightly(root, "run", &[target]);
    fuzz.arg(grown).arg(root.join("fuzz/corpus").join(target));
    fuzz.args(["--", &format!("-max_total_time={SECONDS}"), "-verbosity=0"]);
    run::run(&mut fuzz)
}

fn nightly(root: &Path, what: &str, args: &[&str]) -> Command {
    let mut fuzz = Command::new("cargo");
    fuzz.args(["+nightly", "fuzz", what]).args(args);
    // A cargo started by cargo inherits which toolchain to use.
    fuzz.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    fuzz.current_dir(root);
    fuzz
}
