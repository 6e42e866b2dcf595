//! `cargo xtask tidy`: what the compiler does not check. One file per group of rules; each rule is a
//! function from plain data to complaints, with a test that shows it complain.

mod arrows;
mod codes;
mod coverage;
mod dependencies;
mod purity;
mod sources;

use std::fs;
use std::path::Path;

use crate::Result;
use crate::graph::Graph;
use crate::run::output;

/// A file of the repository, read whole.
struct Source {
    /// Relative to the workspace's folder, with slashes.
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension() == Some("rs".as_ref())
    }
}

pub(crate) fn run(root: &Path) -> Result {
    let graph = Graph::load(&root.join("Cargo.toml"))?;
    let sources = sources(root)?;
    let arrows = arrows::parse(find(&sources, "ARCHITECTURE.md").unwrap_or_default())?;

    let mut errors = arrows::check(&graph, &arrows);
    errors.extend(dependencies::check(&graph, &arrows));
    errors.extend(purity::check(&sources, &arrows));
    errors.extend(sources::check(&sources));
    errors.extend(coverage::check(&sources));
    errors.extend(codes::check(&sources));

    for warning in sources::sizes(&sources) {
        println!("warning: {warning}");
    }
    for error in &errors {
        println!("error: {error}");
    }
    if errors.is_empty() {
        println!("tidy: {} files, no errors", sources.len());
        return Ok(());
    }
    Err(format!("tidy: {} errors", errors.len()))
}

/// All text files that git tracks or would track.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut git = std::process::Command::new("git");
    git.current_dir(root).args(["ls-files", "-z"]);
    git.args(["--cached", "--others", "--exclude-standard"]);
    let paths = output(&mut git)?;
    let paths = paths.split('\0').filter(|path| !path.is_empty());
    // A file that git lists and that cannot be read as text is an image, a corpus, or just deleted.
    let read = |path: &str| {
        Some(Source {
            path: path.to_owned(),
            text: fs::read_to_string(root.join(path)).ok()?,
        })
    };
    Ok(paths.filter_map(read).collect())
}

fn find<'s>(sources: &'s [Source], path: &str) -> Option<&'s str> {
    let mut found = sources.iter().filter(|source| source.path == path);
    found.next().map(|source| source.text.as_str())
}

#[cfg(test)]
fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}
