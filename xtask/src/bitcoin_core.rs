//! `cargo xtask bitcoin-core`: a Bitcoin Core for the conformance tests, built from the sources that a
//! crate on the registry carries, so that nothing but cargo needs to be trusted or reached. About 25
//! minutes on two cores, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::graph::Graph;
use crate::run::{cargo, run as execute};

/// Carries the sources of a development version after 31.0.
const CRATE: &str = "libbitcoinkernel-sys";
const VERSION: &str = "0.4.1";

const PROGRAMS: [&str; 3] = ["bitcoind", "bitcoin-node", "bitcoin-cli"];

const TOOLS: &str = "\
apt-get install -y cmake ninja-build g++ libboost-dev libevent-dev capnproto libcapnp-dev";

/// No wallet, no ZMQ and no tests: what is left needs few libraries and is built in the shortest time.
const OPTIONS: [&str; 11] = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DAPPEND_CXXFLAGS=-O1",
    "-DWITH_EMBEDDED_ASMAP=OFF",
    "-DENABLE_WALLET=OFF",
    "-DWITH_ZMQ=OFF",
    "-DENABLE_IPC=ON",
    "-DBUILD_DAEMON=ON",
    "-DBUILD_CLI=ON",
    "-DBUILD_TESTS=OFF",
    "-DBUILD_BENCH=OFF",
    "-DBUILD_TX=OFF",
];

const THROWAWAY_MANIFEST: &str = "\
[package]
name = \"fetch\"
version = \"0.0.0\"
edition = \"2024\"

[workspace]

[dependencies]
";

/// Builds what is not built yet. Standard output gets only lines that a shell can evaluate.
pub(crate) fn run(root: &Path) -> Result {
    let target = Graph::load(&root.join("Cargo.toml"))?.target_directory;
    let folder = target.join("bitcoin-core");
    let is_built = |program: &str| folder.join(program).exists();
    if !PROGRAMS.into_iter().all(is_built) {
        build(&folder)?;
    }
    for (variable, program) in ["BITCOIND", "BITCOIN_NODE", "BITCOIN_CLI"]
        .iter()
        .zip(PROGRAMS)
    {
        println!("export {variable}='{}'", folder.join(program).display());
    }
    Ok(())
}

fn build(folder: &Path) -> Result {
    let source = fetch(&folder.join("fetch"))?;
    // The registry's copy is shared by all projects and stays as it is. The last step is a rename, so
    // that an interrupted copy is not taken for a whole one, and ninja can go on where it was.
    let copy = folder.join("source");
    if !copy.exists() {
        let part = folder.join("source.part");
        copy_folder(&source, &part)?;
        let message = |error| format!("{}: {error}", copy.display());
        fs::rename(&part, &copy).map_err(message)?;
    }
    let build = folder.join("build");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(&copy).arg("-B").arg(&build);
    configure
        .args(["-G", "Ninja", "-DBUILD_UTIL=OFF"])
        .args(OPTIONS);
    let quiet = |command: &mut Command| {
        let errors = std::io::stderr();
        command.stdout(errors);
        execute(command).map_err(|error| format!("{error}\nthe build needs: {TOOLS}"))
    };
    quiet(&mut configure)?;
    quiet(Command::new("ninja").arg("-C").arg(&build).args(PROGRAMS))?;
    for program in PROGRAMS {
        let built = build.join("bin").join(program);
        let message = |error| format!("{}: {error}", built.display());
        fs::copy(&built, folder.join(program)).map_err(message)?;
    }
    Ok(())
}

/// Has cargo fetch the crate for a manifest made for this, and says where its Bitcoin Core is.
fn fetch(folder: &Path) -> Result<PathBuf> {
    let manifest = folder.join("Cargo.toml");
    let write = |path: &Path, text: &str| {
        let parent = path.parent().expect("both files are in a folder");
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(path, text))
            .map_err(|error| format!("{}: {error}", path.display()))
    };
    let dependency = format!("{THROWAWAY_MANIFEST}{CRATE} = \"={VERSION}\"\n");
    write(&manifest, &dependency)?;
    write(&folder.join("src/lib.rs"), "")?;
    execute(cargo(&["fetch", "--manifest-path"]).arg(&manifest))?;
    let graph = Graph::load(&manifest)?;
    let position = graph.position(CRATE);
    let position = position.ok_or_else(|| format!("cargo did not fetch {CRATE}"))?;
    Ok(graph.packages[position].folder.join("bitcoin"))
}

fn copy_folder(from: &Path, to: &Path) -> Result {
    let message = |error| format!("{}: {error}", from.display());
    fs::create_dir_all(to).map_err(message)?;
    for entry in fs::read_dir(from).map_err(message)? {
        let entry = entry.map_err(message)?;
        let copy = to.join(entry.file_name());
        if entry.file_type().map_err(message)?.is_dir() {
            copy_folder(&entry.path(), &copy)?;
        } else {
            fs::copy(entry.path(), copy).map_err(message)?;
        }
    }
    Ok(())
}
