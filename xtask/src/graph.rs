//! Who depends on whom, as `cargo metadata` says.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Result;
use crate::run::{cargo, output};

/// The packages of a workspace and all that they depend on.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The folder that holds its manifest.
    pub(crate) folder: PathBuf,
    /// Whether it is one of ours.
    pub(crate) is_ours: bool,
    pub(crate) dependencies: Vec<(usize, Kind)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Graph {
    /// Asks cargo about the workspace, or any other package, whose manifest this is.
    pub(crate) fn load(manifest: &Path) -> Result<Self> {
        let mut command = cargo(&["metadata", "--format-version", "1", "--manifest-path"]);
        let json = output(command.arg(manifest))?;
        let metadata: Metadata =
            serde_json::from_str(&json).map_err(|error| format!("cargo metadata: {error}"))?;
        Ok(metadata.into_graph())
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        let mut packages = self.packages.iter();
        packages.position(|package| package.name == name)
    }

    pub(crate) fn ours(&self) -> impl Iterator<Item = (usize, &Package)> {
        let packages = self.packages.iter().enumerate();
        packages.filter(|(_, package)| package.is_ours)
    }

    /// All that a package needs to run, itself included, each with a shortest chain of names to it.
    pub(crate) fn normal_tree(&self, from: usize) -> BTreeMap<usize, String> {
        let mut chains = BTreeMap::from([(from, self.packages[from].name.clone())]);
        let mut waiting = VecDeque::from([from]);
        while let Some(package) = waiting.pop_front() {
            let chain = chains[&package].clone();
            for &(dependency, kind) in &self.packages[package].dependencies {
                if kind == Kind::Normal && !chains.contains_key(&dependency) {
                    let name = &self.packages[dependency].name;
                    chains.insert(dependency, format!("{chain} -> {name}"));
                    waiting.push_back(dependency);
                }
            }
        }
        chains
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<PackageData>,
    workspace_members: Vec<String>,
    resolve: Resolve,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct PackageData {
    id: String,
    name: String,
    version: String,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Deserialize)]
struct EdgeKind {
    kind: Option<Kind>,
}

impl Metadata {
    fn into_graph(self) -> Graph {
        let positions: BTreeMap<String, usize> = (self.packages.iter().enumerate())
            .map(|(position, package)| (package.id.clone(), position))
            .collect();
        let members = self.workspace_members;
        let mut packages: Vec<Package> = (self.packages.into_iter())
            .map(|package| Package {
                is_ours: members.contains(&package.id),
                name: package.name,
                version: package.version,
                folder: package.manifest_path.with_file_name(""),
                dependencies: Vec::new(),
            })
            .collect();
        for node in self.resolve.nodes {
            let from = positions[&node.id];
            for edge in node.deps {
                let to = positions[&edge.pkg];
                let kinds = edge.dep_kinds.into_iter();
                let kinds = kinds.map(|kind| (to, kind.kind.unwrap_or(Kind::Normal)));
                packages[from].dependencies.extend(kinds);
            }
        }
        Graph {
            packages,
            target_directory: self.target_directory,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A graph from lines `name version: dependency dependency`, where `~` marks a development and
    /// `!` a build dependency. Packages named `headframe…` are ours.
    pub(crate) fn graph<'l>(lines: &[&'l str]) -> Graph {
        let split = |line: &&'l str| {
            let (package, dependencies) = line.split_once(':').unwrap();
            let (name, version) = package.split_once(' ').unwrap();
            (name, version, dependencies)
        };
        let lines: Vec<(&str, &str, &str)> = lines.iter().map(split).collect();
        let position = |name: &str| {
            let mut names = lines.iter();
            names.position(|line| line.0 == name).unwrap()
        };
        let edge = |word: &str| match word.split_at(1) {
            ("~", name) => (position(name), Kind::Dev),
            ("!", name) => (position(name), Kind::Build),
            _ => (position(word), Kind::Normal),
        };
        let packages = lines.iter().map(|(name, version, dependencies)| Package {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            folder: PathBuf::new(),
            is_ours: name.starts_with("headframe"),
            dependencies: dependencies.split_whitespace().map(edge).collect(),
        });
        Graph {
            packages: packages.collect(),
            target_directory: PathBuf::new(),
        }
    }

    #[test]
    fn the_normal_tree_leaves_out_what_only_tests_and_build_scripts_need() {
        let graph = graph(&["a 1: b ~c !d", "b 1: e", "c 1:", "d 1:", "e 1:"]);
        let tree: Vec<String> = graph.normal_tree(0).into_values().collect();
        assert_eq!(tree, ["a", "a -> b", "a -> b -> e"]);
    }
}
