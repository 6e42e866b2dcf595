//! A patch with its headers, and what a test's output says of it.

use core::fmt;
use std::path::{Path, PathBuf};

use crate::Result;

/// A way to break the code, and the tests that notice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Patch {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// The rows of the papers that it is about, for people.
    pub(super) rows: String,
    pub(super) proofs: Vec<Proof>,
}

/// A test that must fail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Proof {
    pub(super) package: String,
    /// Relative to the workspace's folder, with slashes.
    pub(super) file: String,
    /// The function's name.
    pub(super) test: String,
}

/// What became of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    Hangs,
    /// It was not found, or was skipped, or the code did not compile.
    NotRun,
}

impl Patch {
    /// Reads the headers in front of the difference.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let wrong = |what: &str| format!("xtask/mutations/{name}.patch: {what}");
        let header = |key: &'static str| {
            let head = text.lines().take_while(|line| !line.starts_with("--- "));
            head.filter_map(move |line| line.strip_prefix(key)?.strip_prefix(": "))
        };
        let rows = header("Row").next().ok_or_else(|| wrong("no `Row:`"))?;
        let package = header("Package").next();
        let package = package.ok_or_else(|| wrong("no `Package:`"))?;
        let proof = |test: &str| {
            let (file, test) = test.split_once(".rs::")?;
            Some(Proof {
                package: package.to_owned(),
                file: format!("{file}.rs"),
                test: test.to_owned(),
            })
        };
        let proofs: Option<Vec<Proof>> = header("Test").map(proof).collect();
        let proofs = proofs.filter(|proofs| !proofs.is_empty());
        Ok(Self {
            proofs: proofs.ok_or_else(|| wrong("no `Test: path.rs::name`"))?,
            rows: rows.to_owned(),
            path: path.to_owned(),
            name: name.into_owned(),
        })
    }
}

impl Proof {
    /// Cargo's arguments for the binary that has the test.
    pub(super) fn target(&self, root: &Path) -> Vec<String> {
        let (package, rest) = self.parts();
        match rest.as_slice() {
            ["tests", binary, ..] => {
                let binary = binary.strip_suffix(".rs").unwrap_or(binary);
                vec!["--test".to_owned(), binary.to_owned()]
            }
            _ if root.join(package).join("src/lib.rs").exists() => vec!["--lib".to_owned()],
            _ => vec!["--bins".to_owned()],
        }
    }

    /// What `output`, the standard output of `cargo test`, says of this very test: others may have
    /// its name in other modules.
    pub(super) fn outcome(&self, output: &str) -> Outcome {
        let (module, name) = (self.module(), format!("::{}", self.test));
        let is_it = |path: &str| {
            let full = format!("::{path}");
            full.starts_with(&module) && full.ends_with(&name)
        };
        let result = output.lines().find_map(|line| {
            let (path, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
            let path = path.strip_suffix(" - should panic").unwrap_or(path);
            is_it(path).then_some(result)
        });
        match result {
            Some("ok") => Outcome::Passed,
            Some("FAILED") => Outcome::Failed,
            Some(_) | None => Outcome::NotRun,
        }
    }

    /// The file's module within its binary, each part behind `::`.
    fn module(&self) -> String {
        let (_, rest) = self.parts();
        let parts = match rest.as_slice() {
            ["src", parts @ ..] | ["tests", _, parts @ ..] => parts,
            _ => &[],
        };
        let stems = parts
            .iter()
            .map(|part| part.strip_suffix(".rs").unwrap_or(part));
        let modules = stems.filter(|stem| !["lib", "main", "mod"].contains(stem));
        modules.map(|module| format!("::{module}")).collect()
    }

    /// The package's folder, and the parts of the path in it.
    fn parts(&self) -> (&str, Vec<&str>) {
        let file = self.file.as_str();
        let inner = ["/src/", "/tests/"]
            .iter()
            .filter_map(|inner| file.find(inner));
        match inner.min() {
            Some(at) => (&file[..at], file[at + 1..].split('/').collect()),
            None => (file, Vec::new()),
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.file, self.test)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passes",
            Self::Failed => "fails",
            Self::Hangs => "hangs",
            Self::NotRun => "does not run, or the code does not compile",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(file: &str) -> Proof {
        Proof {
            package: "a".to_owned(),
            file: file.to_owned(),
            test: "holds".to_owned(),
        }
    }

    #[test]
    fn headers_are_read() {
        let text = "Row: R-1, MP-2\nTest: crates/a/tests/b.rs::holds\nTest: crates/a/src/c.rs::is\nPackage: a\n\n--- a/x\n+++ b/x\nTest: y.rs::no\n";
        let patch = Patch::parse(Path::new("xtask/mutations/b.patch"), text).unwrap();
        assert_eq!(
            (patch.name.as_str(), patch.rows.as_str()),
            ("b", "R-1, MP-2")
        );
        let shown: Vec<_> = patch.proofs.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["crates/a/tests/b.rs::holds", "crates/a/src/c.rs::is"]
        );
        assert_eq!(patch.proofs[0].package, "a");
    }

    #[test]
    fn a_patch_without_its_headers_is_refused() {
        let parse = |text: &str| Patch::parse(Path::new("b.patch"), text);
        assert!(parse("--- a/x\n+++ b/x\n").is_err());
        assert!(
            parse("Row: R-1\nPackage: a\n")
                .unwrap_err()
                .contains("Test")
        );
        assert!(parse("Row: R-1\nTest: x\nPackage: a\n").is_err());
        assert!(
            parse("Row: R-1\nTest: x.rs::y\n")
                .unwrap_err()
                .contains("Package")
        );
        assert!(parse("Row: R-1\nTest: x.rs::y\nPackage: a\n").is_ok());
    }

    #[test]
    fn the_binary_of_a_test_is_found() {
        let root = Path::new("/nowhere");
        let target = |file| proof(file).target(root).join(" ");
        assert_eq!(target("crates/a/tests/b.rs"), "--test b");
        assert_eq!(target("crates/a/tests/wire/golden.rs"), "--test wire");
        assert_eq!(target("crates/a/src/b.rs"), "--bins");
    }

    #[test]
    fn only_the_test_of_the_named_file_counts() {
        let output = "\nrunning 3 tests\ntest sv1::tests::holds ... ok\ntest sv2::tests::holds ... FAILED\ntest sv2::tests::holds_not ... ok\n";
        assert_eq!(
            proof("crates/a/src/sv1/mod.rs").outcome(output),
            Outcome::Passed
        );
        assert_eq!(
            proof("crates/a/src/sv2.rs").outcome(output),
            Outcome::Failed
        );
        assert_eq!(
            proof("crates/a/src/sv2/tests.rs").outcome(output),
            Outcome::Failed
        );
        assert_eq!(
            proof("crates/a/src/sv3.rs").outcome(output),
            Outcome::NotRun
        );
        assert_eq!(
            proof("crates/a/src/sv2.rs").outcome("error: E0308"),
            Outcome::NotRun
        );
        let ignored = "test holds ... ignored";
        assert_eq!(
            proof("crates/a/tests/b.rs").outcome(ignored),
            Outcome::NotRun
        );
        let panics = "test golden::holds - should panic ... FAILED";
        assert_eq!(
            proof("crates/a/tests/wire/golden.rs").outcome(panics),
            Outcome::Failed
        );
    }
}
