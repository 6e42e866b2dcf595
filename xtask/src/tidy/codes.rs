//! `docs/stratum-v2.md` has a table of the error codes that the pool can send: each code that the
//! server's sources name has a row there, and no other code has (FR-44).

use super::{Source, find};

const PAPER: &str = "docs/stratum-v2.md";
const CODES: &str = "crates/sv2-wire/src/codes.rs";
/// Where messages to clients are made.
const SERVERS: [&str; 2] = ["crates/mining/src/server/", "crates/server/src/"];

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let paper = find(sources, PAPER).unwrap_or_default();
    let rows: Vec<&str> = paper.lines().filter_map(row).collect();
    let codes = codes(find(sources, CODES).unwrap_or_default());
    codes
        .into_iter()
        .filter_map(
            |(name, code)| match (sender(sources, name), rows.contains(&code)) {
                (Some(path), false) => {
                    Some(format!("{PAPER}: no row for `{code}`, which {path} sends"))
                }
                (None, true) => Some(format!("{PAPER}: nothing in the server sends `{code}`")),
                (Some(_), true) | (None, false) => None,
            },
        )
        .collect()
}

/// The code of a table's row.
fn row(line: &str) -> Option<&str> {
    line.strip_prefix("| `")?.split_once("` |").map(|row| row.0)
}

/// The names and texts of all codes, from lines such as `STALE_SHARE = "stale-share";`.
fn codes(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter_map(|line| {
            let (name, text) = line.trim().split_once(" = \"")?;
            let is_name = name
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            is_name.then_some((name, text.strip_suffix("\";")?))
        })
        .collect()
}

/// A file of the server that names the constant outside its tests and comments.
fn sender<'s>(sources: &'s [Source], name: &str) -> Option<&'s str> {
    let mut servers = sources.iter().filter(|source| {
        let is_server = SERVERS.iter().any(|folder| source.path.starts_with(folder));
        is_server && source.is_rust() && !source.path.contains("/tests")
    });
    let found = servers.find(|source| {
        let product = source.text.split("#[cfg(test)]\nmod tests").next();
        let lines = product.unwrap_or_default().lines();
        let code = lines.filter(|line| !line.trim_start().starts_with("//"));
        code.flat_map(words).any(|word| word == name)
    });
    found.map(|source| source.path.as_str())
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    fn complaints(server: &str, paper: &str) -> Vec<String> {
        let codes =
            "codes! {\n    /// Old.\n    STALE = \"stale\";\n    STALE_TIP = \"stale-tip\";\n}\n";
        check(&[
            source(CODES, codes),
            source("crates/mining/src/server/sv2/submit.rs", server),
            source("crates/mining/src/client/sv2.rs", "codes::STALE_TIP"),
            source("crates/mining/src/server/tests.rs", "codes::STALE_TIP"),
            source(PAPER, paper),
        ])
    }

    #[test]
    fn a_code_that_is_sent_has_a_row() {
        let server = "Err(codes::STALE)\n// codes::STALE_TIP\n#[cfg(test)]\nmod tests {\n    codes::STALE_TIP\n}\n";
        assert_eq!(complaints(server, "| `stale` | old | wait |\n"), [""; 0]);
        let [complaint] = complaints(server, "`stale` is sent\n").try_into().unwrap();
        assert!(complaint.contains("no row for `stale`"), "{complaint}");
        assert!(complaint.contains("submit.rs"), "{complaint}");
    }

    #[test]
    fn a_code_that_is_not_sent_has_no_row() {
        let paper = "| `stale` | old | wait |\n| `stale-tip` | older | wait |\n";
        let [complaint] = complaints("Err(codes::STALE)\n", paper).try_into().unwrap();
        assert!(complaint.contains("sends `stale-tip`"), "{complaint}");
    }
}
