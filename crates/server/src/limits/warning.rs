//! What an address is told before it is banned.

use std::fmt;
use std::time::Duration;

use headframe_ledger::Ban;

use super::Offence;
use super::source::Source;

/// An address is close to a ban: half of what bans it has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Warning {
    pub(crate) source: Source,
    /// What was done last.
    pub(crate) offence: Offence,
    /// How long the ban would be.
    pub(crate) lasts: Duration,
}

/// What follows from an offence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Consequence {
    /// It is excused, or has been told.
    Nothing,
    /// It is excused, and half of those that are.
    Warning(Warning),
    /// It was one too many.
    Ban(Ban),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; if that goes on, {} is banned for {} min",
            self.offence.describe(),
            self.source,
            self.lasts.as_secs() / 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_says_what_was_done_and_what_will_follow() {
        let warning = Warning {
            source: Source::of("2001:db8:1:2:3::4".parse().unwrap()),
            offence: Offence::ImpossibleShares,
            lasts: Duration::from_secs(1_200),
        };
        assert_eq!(
            warning.to_string(),
            "it sent many shares with impossible versions or times; if that goes on, \
             2001:db8:1:2::/64 is banned for 20 min"
        );
    }
}
