//! `cargo xtask release`: the program as it is given to others, with all features, in one archive for
//! this kind of machine, its checksum beside it. It publishes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::ci::ALL_FEATURES;
use crate::graph::Graph;
use crate::run::{cargo, output, run as execute};

/// What lies in the archive beside the program.
const PAPERS: [&str; 5] = [
    "README.md",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "docs",
];

/// Needs the Cap'n Proto compiler, `tar` and `sha256sum`.
pub(crate) fn run(root: &Path) -> Result {
    let mut build = cargo(&[
        "build",
        "--profile",
        "dist",
        "--locked",
        "--package",
        "headframe",
    ]);
    execute(build.args(ALL_FEATURES).current_dir(root))?;
    let target = Graph::load(&root.join("Cargo.toml"))?.target_directory;
    let program = target.join("dist/headframe");
    let archive = pack(root, &program, &target.join("release-archives"))?;
    println!("{}", archive.display());
    Ok(())
}

/// One folder named after the archive, so that unpacking scatters nothing.
fn pack(root: &Path, program: &Path, folder: &Path) -> Result<PathBuf> {
    let name = name(program)?;
    let content = folder.join(&name);
    let failed = |error| format!("{}: {error}", content.display());
    if content.exists() {
        fs::remove_dir_all(&content).map_err(failed)?;
    }
    fs::create_dir_all(&content).map_err(failed)?;
    let papers = PAPERS.map(|paper| root.join(paper));
    execute(
        Command::new("cp")
            .arg("-R")
            .arg(program)
            .args(papers)
            .arg(&content),
    )?;

    let archive = format!("{name}.tar.gz");
    execute(
        Command::new("tar")
            .current_dir(folder)
            .args(["-czf", &archive, &name]),
    )?;
    let sum = output(Command::new("sha256sum").current_dir(folder).arg(&archive))?;
    let beside = folder.join(format!("{archive}.sha256"));
    fs::write(&beside, sum).map_err(|error| format!("{}: {error}", beside.display()))?;
    Ok(folder.join(archive))
}

/// `headframe-VERSION-TARGET`. The program is asked for its version, so that one that does not start, or
/// lacks a feature, is not packed.
fn name(program: &Path) -> Result<String> {
    let said = output(Command::new(program).arg("--version"))?;
    let version = said
        .strip_prefix("headframe ")
        .and_then(|rest| rest.strip_suffix(", with ipc\n"));
    let version = version.ok_or_else(|| format!("{} is not whole: {said}", program.display()))?;
    let compiler = output(Command::new("rustc").arg("-vV"))?;
    let host = compiler
        .lines()
        .find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc -vV names no host")?;
    Ok(format!("headframe-{version}-{host}"))
}
