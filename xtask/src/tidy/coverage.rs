//! `docs/spec-coverage.md` names, for each requirement, the tests that fail when it is broken, as
//! `` `crates/x/tests/y.rs::test_name` ``. Every one named must exist, there and in the patches of
//! `xtask/mutations/`.

use super::{Source, find};

const PAPER: &str = "docs/spec-coverage.md";
const PATCHES: &str = "xtask/mutations/";

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let paper = find(sources, PAPER).unwrap_or_default();
    let mut errors = Vec::new();
    for (index, line) in paper.lines().enumerate() {
        for named in line.split('`').skip(1).step_by(2) {
            if named.contains(".rs::") && !exists(sources, named) {
                let number = index + 1;
                errors.push(format!("{PAPER}:{number}: there is no test {named}"));
            }
        }
    }
    let patches = sources.iter().filter(|it| it.path.starts_with(PATCHES));
    for patch in patches {
        let named = patch
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("Test: "));
        let missing = named.filter(|named| !exists(sources, named));
        errors.extend(missing.map(|named| format!("{}: there is no test {named}", patch.path)));
    }
    errors
}

/// The last part names the function; parts between are modules, which the file's text need not show.
fn exists(sources: &[Source], named: &str) -> bool {
    let parts = named.split_once("::").zip(named.rsplit_once("::"));
    let Some(((path, _), (_, test))) = parts else {
        return false;
    };
    let text = find(sources, path).unwrap_or_default();
    text.contains(&format!("fn {test}("))
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    #[test]
    fn a_test_that_is_named_exists() {
        let test = source("crates/a/tests/b.rs", "//! B.\n#[test]\nfn holds() {}\n");
        let paper = |named: &str| source(PAPER, &format!("| R-1 | `Type` | `{named}` |\n"));
        let complaints = |named| check(&[paper(named), source(&test.path, &test.text)]);
        assert_eq!(complaints("crates/a/tests/b.rs::holds"), [""; 0]);
        assert_eq!(complaints("crates/a/tests/b.rs::tests::holds"), [""; 0]);
        assert_eq!(complaints("crates/a/tests/b.rs::hold").len(), 1);
        assert_eq!(complaints("crates/a/tests/c.rs::holds").len(), 1);
    }

    #[test]
    fn a_test_that_a_patch_names_exists() {
        let test = || source("crates/a/tests/b.rs", "#[test]\nfn holds() {}\n");
        let patch = |named: &str| source("xtask/mutations/c.patch", &format!("Test: {named}\n"));
        let complaints = |named| check(&[patch(named), test()]);
        assert_eq!(complaints("crates/a/tests/b.rs::holds"), [""; 0]);
        assert_eq!(complaints("crates/a/tests/b.rs::hold").len(), 1);
    }

    #[test]
    fn without_the_paper_there_is_nothing_to_check() {
        assert_eq!(check(&[source("README.md", "`a.rs::b`")]), [""; 0]);
    }
}
