//! What our crates reach in other people's: no runtime in ring 0, one copy of what must be one, and
//! never the reference implementation.

use std::collections::BTreeSet;

use super::arrows::{Arrows, folder_name};
use crate::graph::Graph;

/// Whoever has one of these can touch a socket.
const RUNTIMES: [&str; 3] = ["tokio", "mio", "socket2"];

/// Types of two versions do not fit together, and a second `secp256k1` doubles the C code.
const SINGLE: [&str; 2] = ["bitcoin", "secp256k1"];

/// Crates of the Stratum V2 reference implementation that do not end in `_sv2`.
const REFERENCE: [&str; 4] = [
    "stratum-core",
    "stratum-common",
    "stratum_translation",
    "sv1_api",
];

const PRODUCT: &str = "headframe";

pub(super) fn check(graph: &Graph, arrows: &[Arrows]) -> Vec<String> {
    let mut errors = Vec::new();
    for (position, package) in graph.ours() {
        let name = folder_name(package);
        let is_pure = arrows.iter().any(|row| row.name == name && row.is_pure());
        for (reached, chain) in graph.normal_tree(position) {
            let reached = graph.packages[reached].name.as_str();
            if is_pure && RUNTIMES.contains(&reached) {
                errors.push(format!("{name} is ring 0 and reaches {reached}: {chain}"));
            }
            if is_reference(reached) {
                errors.push(format!("{reached} is for tests only: {chain}"));
            }
        }
    }
    errors.extend(doubles(graph));
    errors
}

fn doubles(graph: &Graph) -> Vec<String> {
    let Some(product) = graph.position(PRODUCT) else {
        return vec![format!("there is no package {PRODUCT}")];
    };
    let tree = graph.normal_tree(product);
    let mut errors = Vec::new();
    for name in SINGLE {
        let packages = tree.keys().map(|position| &graph.packages[*position]);
        let copies = packages.filter(|package| package.name == name);
        let versions: BTreeSet<&str> = copies.map(|package| package.version.as_str()).collect();
        if versions.len() > 1 {
            let versions: Vec<&str> = versions.into_iter().collect();
            errors.push(format!(
                "the product has {name} in versions {}",
                versions.join(" and ")
            ));
        }
    }
    errors
}

fn is_reference(name: &str) -> bool {
    name.ends_with("_sv2") || REFERENCE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::super::arrows;
    use super::*;
    use crate::graph::tests::graph;

    fn complaints(lines: &[&str]) -> Vec<String> {
        let table = "## Arrows\n| r | c | u | n |\n| - | - | - | - |
            \n| 0 | work | nothing | - |\n| 2 | headframe | work | - |\n";
        check(&graph(lines), &arrows::parse(table).unwrap())
    }

    #[test]
    fn a_runtime_is_no_matter_outside_ring_0_or_in_tests() {
        let lines = [
            "headframe 1: tokio headframe-work",
            "headframe-work 1: ~tokio",
            "tokio 1: mio",
            "mio 1:",
        ];
        assert_eq!(complaints(&lines), [""; 0]);
    }

    #[test]
    fn ring_0_reaches_no_runtime() {
        let lines = [
            "headframe 1:",
            "headframe-work 1: helper",
            "helper 1: socket2",
            "socket2 1:",
        ];
        assert_eq!(
            complaints(&lines),
            ["work is ring 0 and reaches socket2: headframe-work -> helper -> socket2"]
        );
    }

    #[test]
    fn the_product_has_one_secp256k1() {
        let lines = [
            "headframe 1: bitcoin other",
            "bitcoin 0.32: secp256k1",
            "secp256k1 0.29:",
            "other 1:",
        ];
        assert_eq!(complaints(&lines), [""; 0]);
        let mut graph = graph(&lines);
        graph.packages[3].name = "secp256k1".to_owned();
        assert_eq!(
            doubles(&graph),
            ["the product has secp256k1 in versions 0.29 and 1"]
        );
    }

    #[test]
    fn the_reference_implementation_stays_in_tests() {
        let tests = ["headframe 1: ~noise_sv2", "noise_sv2 1:"];
        assert_eq!(complaints(&tests), [""; 0]);
        let shipped = ["headframe 1: helper", "helper 1: noise_sv2", "noise_sv2 1:"];
        assert_eq!(
            complaints(&shipped),
            ["noise_sv2 is for tests only: headframe -> helper -> noise_sv2"]
        );
    }
}
