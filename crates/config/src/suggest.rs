//! Which key may have been meant.

use crate::keys::{BACKUP_NODE, ENV_PREFIX, KEYS, Key, LISTENER, all};

/// The end of a sentence about an unknown key of the file; empty if none is near.
pub(crate) fn hint(section: &str, name: &str) -> String {
    let elsewhere = || all().find(|key| key.name == name);
    let path = format!("{section}.{name}");
    match elsewhere().or_else(|| nearest(all(), &path, Key::path)) {
        Some(key) => format!("; did you mean `{}` in {}?", key.name, key.table()),
        None => String::new(),
    }
}

/// The end of a sentence about an unknown table of the file; empty if none is near.
pub(crate) fn section_hint(section: &str) -> String {
    if [LISTENER, BACKUP_NODE].contains(&section) {
        return format!("; write [[{section}]], with two brackets: there may be several");
    }
    if let Some(key) = all().find(|key| key.name == section) {
        return format!("; `{}` belongs into the table {}", key.name, key.table());
    }
    match nearest(all(), section, |key| key.section.to_owned()) {
        Some(key) => format!("; did you mean {}?", key.table()),
        None => "; the tables are [pool], [node], [payout], [difficulty], [sv2], [http], [log], \
                 [[backup_node]] and [[listener]]"
            .into(),
    }
}

/// The environment variable that may have been meant.
pub(crate) fn variable(name: &str) -> Option<String> {
    let rest = |variable: &str| variable.trim_start_matches(ENV_PREFIX).to_owned();
    nearest(KEYS.iter(), &rest(name), |key| rest(&key.variable())).map(Key::variable)
}

fn nearest(
    keys: impl Iterator<Item = &'static Key>,
    given: &str,
    name: impl Fn(&Key) -> String,
) -> Option<&'static Key> {
    // Names longer than any key cannot be near one; this bounds the work on nonsense.
    const LONGEST: usize = 64;
    if given.len() > LONGEST {
        return None;
    }
    let near = given.chars().count().div_ceil(4);
    keys.map(|key| (distance(given, &name(key)), key))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= near)
        .map(|(_, key)| key)
}

/// Levenshtein's: how many characters have to be put in, left out or replaced.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (above, from) in a.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        for (cell, to) in row[1..].iter_mut().zip(&b) {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        row[0] = above + 1;
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_that_are_known() {
        for (a, b, expected) in [
            ("", "", 0),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("", "abc", 3),
            ("abc", "", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn nonsense_is_near_nothing() {
        assert_eq!(hint("pool", "wibble_wobble"), "");
        assert_eq!(hint("pool", &"x".repeat(10_000)), "");
        assert_eq!(variable("HEADFRAME_SERVICE_HOST"), None);
    }
}
