//! How many files and connections the operating system lets this process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Files that are kept for all but miners: the dashboard's visitors (256), the ledger, the journal,
/// the ways to the node, and room besides. Without it a pool full of miners could not write a block.
const RESERVE: u64 = 400;

/// Raises the limit as far as it is needed and allowed, and says for how many of the `wanted`
/// connections there is room.
pub(crate) fn room_for(wanted: usize) -> usize {
    let needed = wanted as u64 + RESERVE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // No limit is no bound at all.
    let (soft, hard) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    let raised = needed.min(hard).max(soft);
    let limit = Rlimit {
        current: Some(raised),
        maximum,
    };
    let allowed = match raised > soft && setrlimit(Resource::Nofile, limit).is_ok() {
        true => raised,
        false => soft,
    };
    let room = within(wanted, allowed);
    if room < wanted {
        warn!(
            "this system allows {allowed} open files, so {room} miners can connect instead of \
             {wanted}; raise the limit (LimitNOFILE= in systemd, ulimit -n in a shell)"
        );
    }
    room
}

/// The most files that this process may have open, if it asks for them.
pub(crate) fn most_allowed() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// The connections that fit into a limit on open files.
pub(crate) fn within(wanted: usize, allowed: u64) -> usize {
    let room = allowed.saturating_sub(RESERVE).max(1);
    usize::try_from(room).map_or(wanted, |room| room.min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kept_for_blocks() {
        assert_eq!(within(10_000, 1_024), 624);
        assert_eq!(within(10_000, 1_048_576), 10_000);
        assert_eq!(within(10_000, u64::MAX), 10_000);
        assert_eq!(within(10_000, 64), 1);
    }

    #[test]
    fn the_limit_is_raised_where_that_is_allowed() {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let wanted = 600;
        assert_eq!(room_for(wanted), within(wanted, hard));
    }
}
