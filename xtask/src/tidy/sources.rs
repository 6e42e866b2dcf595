//! The form of files: a word on what each is, no unexplained debts, nobody's own paths, and a list of
//! what has grown long.

use super::Source;

/// Past this a file asks why.
const LONG_FILE: usize = 600;

/// Past this a function asks why.
const LONG_FUNCTION: usize = 60;

// Written in two parts so that this file passes its own rules.
const DEBT: &str = concat!("TO", "DO");
const MACHINE_PATHS: [&str; 3] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/", "target"),
];

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let mut errors = Vec::new();
    for source in sources {
        let path = &source.path;
        if source.is_rust() && !source.text.starts_with("//!") {
            errors.push(format!("{path}: does not begin by saying what it is (//!)"));
        }
        for (index, line) in source.text.lines().enumerate() {
            let number = index + 1;
            if source.is_rust() && has_unexplained_debt(line) {
                errors.push(format!("{path}:{number}: {DEBT} without a reason"));
            }
            if let Some(machine_path) = machine_path(line) {
                errors.push(format!(
                    "{path}:{number}: {machine_path} is a machine's path"
                ));
            }
        }
    }
    errors
}

/// Files and functions that have grown long. Worth a look, no error.
pub(super) fn sizes(sources: &[Source]) -> Vec<String> {
    let mut warnings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let path = &source.path;
        let lines: Vec<&str> = source.text.lines().collect();
        if lines.len() > LONG_FILE {
            warnings.push(format!("{path}: {} lines", lines.len()));
        }
        for (start, line) in lines.iter().enumerate() {
            let length = function_length(&lines[start..]);
            if length > LONG_FUNCTION {
                let number = start + 1;
                let shown = line.trim();
                warnings.push(format!("{path}:{number}: {length} lines: {shown}"));
            }
        }
    }
    warnings
}

/// In a comment the mark needs a reason, in parentheses or after a colon.
fn has_unexplained_debt(line: &str) -> bool {
    let Some((_, comment)) = line.split_once("//") else {
        return false;
    };
    comment.match_indices(DEBT).any(|(at, _)| {
        let rest = &comment[at + DEBT.len()..];
        let reason = match rest.split_at_checked(1) {
            Some(("(", reason)) => reason.trim_start_matches([')', ' ']),
            Some((":", reason)) => reason.trim(),
            _ => "",
        };
        reason.is_empty()
    })
}

/// An absolute path of a machine; `crates/…` has such names in it and is none.
fn machine_path(line: &str) -> Option<&'static str> {
    let is_absolute = |at: usize| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || "_-./*}".contains(letter))
    };
    MACHINE_PATHS
        .into_iter()
        .find(|path| line.match_indices(path).any(|(at, _)| is_absolute(at)))
}

/// How many lines the function has that begins on the first of these; 0 if none does. rustfmt puts the
/// closing brace under the first letter, which saves us a parser.
fn function_length(lines: &[&str]) -> usize {
    let Some(first) = lines.first().filter(|line| begins_function(line)) else {
        return 0;
    };
    if first.ends_with(['}', ';']) {
        return 1;
    }
    let indent = &first[..first.len() - first.trim_start().len()];
    let ends = |line: &&str| {
        let rest = line.strip_prefix(indent);
        rest.is_some_and(|rest| {
            rest.starts_with('}') || (rest.starts_with(')') && rest.ends_with(';'))
        })
    };
    let end = lines.iter().position(ends);
    end.map_or(0, |end| end + 1)
}

fn begins_function(line: &str) -> bool {
    let words = line.split_whitespace();
    let mut words = words.skip_while(|word| {
        matches!(
            *word,
            "pub" | "const" | "async" | "unsafe" | "extern" | "\"C\""
        ) || word.starts_with("pub(")
            || *word == "super)"
    });
    words.next() == Some("fn")
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        check(&[source(path, text)])
    }

    #[test]
    fn a_file_says_what_it_is() {
        assert_eq!(complaints("a.rs", "//! A.\n"), [""; 0]);
        assert_eq!(complaints("a.md", "A.\n"), [""; 0]);
        assert_eq!(complaints("a.rs", "mod b;\n").len(), 1);
    }

    #[test]
    fn a_debt_needs_a_reason() {
        for (rest, errors) in [
            ("", 1),
            (":", 1),
            ("()", 1),
            (" later", 1),
            (": Core 32 moves it", 0),
            ("(Core 32 moves it)", 0),
        ] {
            let text = format!("//! A.\n// {DEBT}{rest}\n");
            assert_eq!(complaints("a.rs", &text).len(), errors, "{rest:?}");
        }
    }

    #[test]
    fn nobodys_path_is_in_a_file() {
        for path in MACHINE_PATHS {
            let text = format!("see `{path}x`\n");
            assert_eq!(complaints("a.md", &text).len(), 1, "{path}");
            let text = format!("see crates{path}x\n");
            assert_eq!(complaints("a.md", &text), [""; 0], "{path}");
        }
    }

    #[test]
    fn what_has_grown_long_is_listed() {
        let body = "        x();\n".repeat(59);
        let short = format!("impl A {{\n    pub(crate) fn f() {{\n{body}    }}\n}}\n");
        assert_eq!(sizes(&[source("a.rs", &short)]).len(), 1);
        let shorter = short.replacen("        x();\n", "", 1);
        assert_eq!(sizes(&[source("a.rs", &shorter)]), [""; 0]);
        let file = "//! A.\n".repeat(LONG_FILE + 1);
        assert_eq!(sizes(&[source("a.rs", &file)]), ["a.rs: 601 lines"]);
    }

    #[test]
    fn a_declaration_is_no_long_function() {
        let body = "        x();\n".repeat(100);
        let text = format!(
            "trait A {{\n    fn f(\n        &self,\n    ) -> u8;\n    fn g();\n}}\nmod b {{\n{body}    }}\n"
        );
        assert_eq!(sizes(&[source("a.rs", &text)]), [""; 0]);
    }
}
