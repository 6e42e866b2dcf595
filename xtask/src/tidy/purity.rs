//! Ring 0 takes time and chance as arguments: its sources name no clock, file, socket, thread or
//! random source outside their tests.

use super::Source;
use super::arrows::Arrows;

/// What would be a hidden input. A word of these must not follow a letter, so that `operand::` passes.
const HIDDEN_INPUTS: [&str; 10] = [
    "SystemTime::now",
    "Instant::now",
    ".elapsed()",
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "rand::",
    "thread_rng",
    "getrandom",
];

pub(super) fn check(sources: &[Source], arrows: &[Arrows]) -> Vec<String> {
    let pure = arrows.iter().filter(|row| row.is_pure());
    let folders: Vec<String> = pure
        .map(|row| format!("crates/{}/src/", row.name))
        .collect();
    let mut errors = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let is_pure = folders.iter().any(|folder| source.path.starts_with(folder));
        if is_pure && !is_test_file(&source.path) {
            errors.extend(check_source(source));
        }
    }
    errors
}

fn check_source(source: &Source) -> Vec<String> {
    let mut errors = Vec::new();
    for (number, line) in code_lines(&source.text) {
        for word in HIDDEN_INPUTS {
            if names(line, word) {
                let path = &source.path;
                errors.push(format!("{path}:{number}: {word} in ring 0"));
            }
        }
    }
    errors
}

fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// The lines, counted from 1, that are neither comments nor in the test module at the file's end.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let test_module = text.find("\n#[cfg(test)]\nmod ");
    let is_inline = |start: &usize| {
        let mut lines = text[*start..].lines().skip(2);
        lines.next().is_some_and(|line| line.ends_with('{'))
    };
    let end = test_module.filter(is_inline).unwrap_or(text.len());
    let lines = text[..end].lines().enumerate();
    lines
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
            || word.starts_with('.')
    })
}

#[cfg(test)]
mod tests {
    use super::super::{arrows, source};
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        let table = "## Arrows\n| r | c | u | n |\n| - | - | - | - |
            \n| 0 | work | nothing | - |\n| 1 | node | work | - |\n";
        check(&[source(path, text)], &arrows::parse(table).unwrap())
    }

    #[test]
    fn every_hidden_input_is_found() {
        for word in HIDDEN_INPUTS {
            let text = format!("//! A.\nfn f() {{\n    x {word};\n}}\n");
            let errors = complaints("crates/work/src/a.rs", &text);
            let expected = format!("crates/work/src/a.rs:3: {word} in ring 0");
            assert!(errors.contains(&expected), "{word}: {errors:?}");
        }
    }

    #[test]
    fn other_crates_tests_and_comments_may_name_them() {
        let text = "//! A.\nuse std::fs;\n";
        assert_eq!(complaints("crates/node/src/a.rs", text), [""; 0]);
        assert_eq!(complaints("crates/work/tests/a.rs", text), [""; 0]);
        assert_eq!(complaints("crates/work/src/a/tests.rs", text), [""; 0]);
        let text = "//! Not std::fs.\nuse std::time::Instant;\nlet operand::X = 1;\n
            \n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_eq!(complaints("crates/work/src/a.rs", text), [""; 0]);
    }

    #[test]
    fn code_after_a_test_module_elsewhere_is_checked() {
        let text = "//! A.\n\n#[cfg(test)]\nmod tests;\nuse std::fs;\n";
        let errors = complaints("crates/work/src/a.rs", text);
        assert_eq!(errors, ["crates/work/src/a.rs:5: std::fs in ring 0"]);
    }
}
