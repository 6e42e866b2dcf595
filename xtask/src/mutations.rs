//! `cargo xtask mutations`: breaks the code on purpose, one patch of `xtask/mutations/` at a time, and
//! demands that the tests which `docs/spec-coverage.md` names for it fail.
//!
//! A patch begins with the rows that it is about, the tests that must fail, and their package:
//!
//! ```text
//! Row: MP-38
//! Test: crates/mining/tests/server/difficulty.rs::easing_ends_at_the_client_s_max_target
//! Package: headframe-mining
//! ```
//!
//! It happens in a copy of the files that git tracks or would track; nothing here is touched.

mod patch;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use rustix::process::{Pid, Signal, kill_process_group};

use self::patch::{Outcome, Patch, Proof};
use crate::Result;
use crate::run::{cargo, output};

const FOLDER: &str = "xtask/mutations";
/// Enough to compile everything on a slow machine. What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(1_200);

/// Applies all patches, or those whose names are in `only`.
pub(crate) fn run(root: &Path, only: &[&str]) -> Result {
    let patches = patches(root, only)?;
    let tree = Tree::copy(root)?;
    let mut complaints = tree.check_unbroken(&patches);
    if complaints.is_empty() {
        for patch in &patches {
            let found = tree.check(patch);
            let verdict = if found.is_empty() {
                "noticed"
            } else {
                "MISSED"
            };
            println!("{} ({}): {verdict}", patch.name, patch.rows);
            complaints.extend(found);
        }
    }
    for complaint in &complaints {
        println!("error: {complaint}");
    }
    if complaints.is_empty() {
        println!("mutations: {}, each noticed", patches.len());
        return Ok(());
    }
    Err(format!("mutations: {} errors", complaints.len()))
}

fn patches(root: &Path, only: &[&str]) -> Result<Vec<Patch>> {
    let folder = root.join(FOLDER);
    let entries = fs::read_dir(&folder).map_err(|error| format!("{FOLDER}: {error}"))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension() == Some("patch".as_ref()))
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        Patch::parse(path, &text)
    };
    let patches = paths.iter().map(read).collect::<Result<Vec<_>>>()?;
    let is_known = |name: &&str| patches.iter().any(|patch| patch.name == *name);
    if let Some(unknown) = only.iter().find(|name| !is_known(name)) {
        return Err(format!("there is no {FOLDER}/{unknown}.patch"));
    }
    let wanted = |patch: &Patch| only.is_empty() || only.contains(&patch.name.as_str());
    Ok(patches.into_iter().filter(wanted).collect())
}

/// A copy of the repository's files, outside of any repository; gone when it is dropped.
struct Tree {
    folder: PathBuf,
    /// Kept from run to run, so that dependencies are built once.
    target: PathBuf,
}

impl Tree {
    fn copy(root: &Path) -> Result<Self> {
        let name = format!("headframe-mutations-{}", std::process::id());
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
        let tree = Self {
            folder: env::temp_dir().join(name),
            target: target.join("mutations"),
        };
        let mut git = Command::new("git");
        git.current_dir(root).args(["ls-files", "-z"]);
        git.args(["--cached", "--others", "--exclude-standard"]);
        let paths = output(&mut git)?;
        for path in paths.split('\0').filter(|path| !path.is_empty()) {
            let (from, to) = (root.join(path), tree.folder.join(path));
            // Git lists files that were just deleted.
            if from.is_file() {
                let copied = to
                    .parent()
                    .map_or(Ok(()), fs::create_dir_all)
                    .and_then(|()| fs::copy(&from, &to));
                copied.map_err(|error| format!("{}: {error}", to.display()))?;
            }
        }
        Ok(tree)
    }

    /// A test that fails anyway proves nothing.
    fn check_unbroken(&self, patches: &[Patch]) -> Vec<String> {
        let proofs: BTreeSet<&Proof> = patches.iter().flat_map(|patch| &patch.proofs).collect();
        let complain = |proof: &&Proof| match self.test(proof) {
            Outcome::Passed => None,
            other => Some(format!("{proof} {other} in the unbroken code")),
        };
        proofs
            .iter()
            .copied()
            .filter_map(|proof| complain(&proof))
            .collect()
    }

    fn check(&self, patch: &Patch) -> Vec<String> {
        if let Err(error) = self.apply(patch, &[]) {
            return vec![format!("{} does not apply any more: {error}", patch.name)];
        }
        let complain = |proof: &Proof| match self.test(proof) {
            Outcome::Failed => None,
            other => Some(format!("{}: {proof} {other}", patch.name)),
        };
        let mut complaints: Vec<String> = patch.proofs.iter().filter_map(complain).collect();
        if let Err(error) = self.apply(patch, &["--reverse"]) {
            complaints.push(format!("{} cannot be taken back: {error}", patch.name));
        }
        complaints
    }

    fn apply(&self, patch: &Patch, how: &[&str]) -> Result {
        let mut git = Command::new("git");
        git.current_dir(&self.folder).arg("apply").args(how);
        // A repository around the temporary folder would have its own idea of the paths.
        git.env("GIT_CEILING_DIRECTORIES", env::temp_dir());
        output(git.arg(&patch.path)).map(drop)
    }

    fn test(&self, proof: &Proof) -> Outcome {
        let mut test = cargo(&["test", "--package", &proof.package]);
        test.current_dir(&self.folder)
            .args(proof.target(&self.folder));
        test.args(["--", &proof.test]);
        test.env("CARGO_TARGET_DIR", &self.target);
        // What the test printed tells what became of it.
        test.env_remove("CARGO_TERM_QUIET");
        let log = self.folder.join("test.log");
        let ended = File::create(&log).and_then(|file| run_within(LIMIT, test.stdout(file)));
        match ended {
            Ok(true) => proof.outcome(&fs::read_to_string(log).unwrap_or_default()),
            Ok(false) => Outcome::Hangs,
            Err(_) => Outcome::NotRun,
        }
    }
}

/// Runs a program and what it starts; false if they had to be killed.
fn run_within(limit: Duration, command: &mut Command) -> io::Result<bool> {
    let mut child = command.stderr(Stdio::null()).process_group(0).spawn()?;
    let end = Instant::now() + limit;
    while child.try_wait()?.is_none() {
        if Instant::now() >= end {
            let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let group = group.ok_or(io::ErrorKind::InvalidData)?;
            kill_process_group(group, Signal::KILL)?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(true)
}

impl Drop for Tree {
    fn drop(&mut self) {
        // What is left in the system's temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_killed_with_what_it_started() {
        let shell = |script: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script]);
            shell
        };
        let hour = Duration::from_secs(3_600);
        assert!(run_within(hour, &mut shell("exit 1")).unwrap());
        let hangs = run_within(Duration::ZERO, &mut shell("sleep 3600 & wait"));
        assert!(!hangs.unwrap());
    }
}
