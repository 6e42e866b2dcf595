//! `cargo xtask ci`: what `.ci/run` does after the tests, and with `--full` what is done before an
//! issue is closed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{self, cargo, step};
use crate::{Result, bench, fuzz, mutations, release, tidy};

/// Asks the conformance tests for every pairing rather than one per protocol.
const EVERY_PAIRING: &str = "HEADFRAME_CONFORMANCE";

/// What the default build leaves out, since it needs the Cap'n Proto compiler.
pub(crate) const ALL_FEATURES: [&str; 2] = ["--features", "headframe/ipc"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Usual,
    Full,
}

pub(crate) fn run(root: &Path, extent: Extent) -> Result {
    step("format", || format(root))?;
    step("lints", || lints(root))?;
    step("docs", || {
        let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
        doc.args(ALL_FEATURES);
        run::run(doc.env("RUSTDOCFLAGS", "-D warnings").current_dir(root))
    })?;
    step("tidy", || tidy::run(root))?;
    step("conformance", || conformance(root, extent))?;
    if extent == Extent::Full {
        step("simulator", || simulator(root))?;
        step("mutations", || mutations::run(root, &[]))?;
        step("fuzzing", || fuzz::run(root))?;
        step("release", || release::run(root))?;
        step("benches", || bench::run(root))?;
    }
    Ok(())
}

/// The workspace, and the two that stand beside it.
fn workspaces(root: &Path) -> impl Iterator<Item = PathBuf> {
    let folders = ["", "fuzz", "conformance"].map(|folder| root.join(folder));
    let has_manifest = |folder: &PathBuf| folder.join("Cargo.toml").exists();
    folders.into_iter().filter(has_manifest)
}

fn format(root: &Path) -> Result {
    for folder in workspaces(root) {
        run::run(cargo(&["fmt", "--all", "--check"]).current_dir(folder))?;
    }
    Ok(())
}

/// The workspace without its features and with them, and the workspaces beside it.
fn lints(root: &Path) -> Result {
    for folder in workspaces(root) {
        run::run(clippy(&[]).current_dir(folder))?;
    }
    run::run(clippy(&ALL_FEATURES).current_dir(root))
}

fn clippy(features: &[&str]) -> Command {
    let mut clippy = cargo(&["clippy", "--workspace", "--all-targets"]);
    clippy.args(features).args(["--", "-D", "warnings"]);
    clippy
}

fn conformance(root: &Path, extent: Extent) -> Result {
    let manifest = root.join("conformance/Cargo.toml");
    if !manifest.exists() {
        println!("there are no conformance tests yet");
        return Ok(());
    }
    if std::env::var_os("BITCOIND").is_none() {
        return Err("BITCOIND is not set; `cargo xtask bitcoin-core` builds one".to_owned());
    }
    let mut build = cargo(&["build", "--release"]);
    run::run(build.args(ALL_FEATURES).current_dir(root))?;
    let mut test = cargo(&["test", "--manifest-path"]);
    test.arg(manifest).current_dir(root);
    test.env("HEADFRAME", root.join("target/release/headframe"));
    if extent == Extent::Full {
        test.env(EVERY_PAIRING, "full");
    }
    run::run(&mut test)
}

/// A pool of a thousand sessions for simulated days. The usual tests have minutes of it.
fn simulator(root: &Path) -> Result {
    let mut test = cargo(&["test", "--release", "--package", "headframe-mining"]);
    test.args(["--test", "simulator", "--", "--ignored", "--nocapture"]);
    run::run(test.current_dir(root))
}
