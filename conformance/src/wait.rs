//! Waiting for something that can be looked at but does not announce itself. Always bounded.

use core::fmt::Debug;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take before it is taken to be broken. Far more than is needed on a machine
/// that is busy with something else; no test measures time by it.
pub const LIMIT: Duration = Duration::from_secs(45);
/// Between two looks.
const BETWEEN: Duration = Duration::from_millis(20);

/// Looks until there is something to see.
///
/// # Panics
///
/// When there is nothing after [`LIMIT`].
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(BETWEEN);
    }
}

/// Looks until something is so.
///
/// # Panics
///
/// When it is not after [`LIMIT`].
pub fn until_true(what: &str, mut look: impl FnMut() -> bool) {
    until(what, || look().then_some(()));
}

/// Looks until something is as expected.
///
/// # Panics
///
/// When it is not after [`LIMIT`]; shows both.
pub fn until_equal<T: PartialEq + Debug>(what: &str, expected: &T, mut look: impl FnMut() -> T) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let seen = look();
        if seen == *expected {
            return;
        }
        let is_late = Instant::now() >= deadline;
        assert!(
            !is_late,
            "waited in vain for {what}\nseen: {seen:?}\nexpected: {expected:?}"
        );
        sleep(BETWEEN);
    }
}
