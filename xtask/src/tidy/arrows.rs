//! Which of our crates may use which: the table in ARCHITECTURE.md against what cargo sees.

use crate::Result;
use crate::graph::{Graph, Kind, Package};

const HEADING: &str = "## Arrows";
const TESTKIT: &str = "testkit";

/// What one crate may use, by folder names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrows {
    pub(super) name: String,
    pub(super) ring: String,
    uses: Vec<String>,
}

impl Arrows {
    /// Whether time, chance and the world outside are arguments to this crate.
    pub(super) fn is_pure(&self) -> bool {
        self.ring == "0"
    }
}

/// Reads the table: a row per ring and group of crates, names separated by commas.
pub(super) fn parse(architecture: &str) -> Result<Vec<Arrows>> {
    let section = architecture.split(HEADING).nth(1);
    let section = section.ok_or_else(|| format!("ARCHITECTURE.md has no section \"{HEADING}\""))?;
    let section = section.split("\n## ").next().unwrap_or(section);
    let mut arrows = Vec::new();
    for row in section.lines().filter(|line| line.starts_with('|')).skip(2) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [ring, crates, uses, _] = cells[..] else {
            return Err(format!("ARCHITECTURE.md: four cells wanted in \"{row}\""));
        };
        let uses: Vec<String> = names(uses).filter(|name| name != "nothing").collect();
        arrows.extend(names(crates).map(|name| Arrows {
            name,
            ring: ring.to_owned(),
            uses: uses.clone(),
        }));
    }
    for used in arrows.iter().flat_map(|row| &row.uses) {
        if !arrows.iter().any(|row| row.name == *used) {
            return Err(format!("ARCHITECTURE.md: {used} has no row of its own"));
        }
    }
    Ok(arrows)
}

/// Complains about each edge between our crates that the table does not allow.
pub(super) fn check(graph: &Graph, arrows: &[Arrows]) -> Vec<String> {
    let mut errors = Vec::new();
    for (_, package) in graph.ours() {
        let name = folder_name(package);
        let Some(row) = arrows.iter().find(|row| row.name == name) else {
            errors.push(format!("{name} has no row in ARCHITECTURE.md"));
            continue;
        };
        for &(used, kind) in &package.dependencies {
            let used = &graph.packages[used];
            let used_name = folder_name(used);
            let is_testkit_in_tests = kind == Kind::Dev && used_name == TESTKIT;
            let is_allowed = row.uses.iter().any(|name| name == used_name);
            if used.is_ours && !is_allowed && !is_testkit_in_tests {
                errors.push(format!("{name} must not use {used_name} ({kind:?})"));
            }
        }
    }
    errors
}

/// A crate's name without the prefix that all of ours share.
pub(super) fn folder_name(package: &Package) -> &str {
    let name = &package.name;
    name.strip_prefix("headframe-").unwrap_or(name)
}

fn names(cell: &str) -> impl Iterator<Item = String> {
    let names = cell.split(',').map(str::trim);
    names.filter(|name| !name.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::graph;

    const TABLE: &str = "\
# A\n## Arrows\n\n| ring | crate | may use of ours | must not know |\n| --- | --- | --- | --- |
| 0 | work, wire | nothing | each other |\n| 0 | mining | work, wire | tokio |
| test | testkit | work | - |\n\n## Next\n| 9 | not | this | table |\n";

    fn complaints(lines: &[&str]) -> Vec<String> {
        check(&graph(lines), &parse(TABLE).unwrap())
    }

    #[test]
    fn the_table_is_read() {
        let arrows = parse(TABLE).unwrap();
        let names: Vec<&str> = arrows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["work", "wire", "mining", "testkit"]);
        assert_eq!(arrows[2].uses, ["work", "wire"]);
        assert!(arrows[2].is_pure() && !arrows[3].is_pure());
    }

    #[test]
    fn a_table_that_cannot_be_read_is_an_error() {
        assert!(parse("# A\n").is_err());
        assert!(parse(&TABLE.replace("| tokio |", "|")).is_err());
        assert!(parse(&TABLE.replace("work, wire | tokio", "work, wore | tokio")).is_err());
    }

    #[test]
    fn an_edge_in_the_table_is_allowed() {
        let lines = [
            "headframe-work 1: serde ~headframe-testkit",
            "headframe-mining 1: headframe-work ~headframe-work !headframe-work",
            "headframe-testkit 1: headframe-work",
            "serde 1:",
        ];
        assert_eq!(complaints(&lines), [""; 0]);
    }

    #[test]
    fn an_edge_outside_the_table_is_refused_in_every_kind() {
        for mark in ["", "~", "!"] {
            let work = format!("headframe-work 1: {mark}headframe-wire");
            let errors = complaints(&[&work, "headframe-wire 1:"]);
            assert_eq!(errors.len(), 1, "{work}");
            assert!(errors[0].contains("work must not use wire"));
        }
    }

    #[test]
    fn testkit_is_never_shipped() {
        let errors = complaints(&[
            "headframe-work 1: headframe-testkit",
            "headframe-testkit 1:",
        ]);
        assert_eq!(errors, ["work must not use testkit (Normal)"]);
    }

    #[test]
    fn a_crate_without_a_row_is_refused() {
        let errors = complaints(&["headframe-new 1:"]);
        assert_eq!(errors, ["new has no row in ARCHITECTURE.md"]);
    }
}
