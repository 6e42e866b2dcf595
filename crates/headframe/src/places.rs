//! Addresses that are to be listened on: whether they can be, found out before anything else is begun
//! and told all at once.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

use headframe_server::check_place;

/// How many ports after one that is taken are looked at for a free one.
const LOOKED_AT: u16 = 100;

/// What is listened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Miners,
    Visitors,
}

/// Whether miners and the dashboard's visitors can be listened for.
///
/// # Errors
///
/// Names each place that cannot be had, and where possible a free one beside it.
pub(crate) fn check(
    miners: impl IntoIterator<Item = SocketAddr>,
    visitors: Option<SocketAddr>,
) -> anyhow::Result<()> {
    let miners = miners.into_iter().map(|place| (For::Miners, place));
    let visitors = visitors.map(|place| (For::Visitors, place));
    let mut taken = Vec::new();
    let mut wanted: Vec<SocketAddr> = Vec::new();
    for (whom, place) in miners.chain(visitors) {
        wanted.push(place);
        if let Err(error) = whom.check(place) {
            let free = (error.kind() == ErrorKind::AddrInUse)
                .then(|| whom.free_after(place, &wanted))
                .flatten();
            wanted.extend(free);
            taken.push(whom.told(place, &error, free));
        }
    }
    match taken.is_empty() {
        true => Ok(()),
        false => Err(anyhow::anyhow!(taken.join("\n"))),
    }
}

impl For {
    fn check(self, place: SocketAddr) -> io::Result<()> {
        match self {
            Self::Miners => check_place(place),
            Self::Visitors => TcpListener::bind(place).map(drop),
        }
    }

    /// A place with another port that is free and that nothing else is `wanted` for.
    fn free_after(self, place: SocketAddr, wanted: &[SocketAddr]) -> Option<SocketAddr> {
        let ports = (1..=LOOKED_AT).filter_map(|more| place.port().checked_add(more));
        let mut places = ports.map(|port| SocketAddr::new(place.ip(), port));
        places.find(|place| !wanted.contains(place) && self.check(*place).is_ok())
    }

    fn told(self, place: SocketAddr, error: &io::Error, free: Option<SocketAddr>) -> String {
        let (what, flag) = match self {
            Self::Miners => ("listen on", "--listen"),
            Self::Visitors => ("serve the dashboard at", "--http"),
        };
        let free = free.map_or_else(
            || format!(" with {flag}"),
            |free| format!(", such as {flag} {free}"),
        );
        format!("cannot {what} {place}: {error}; choose another place{free}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        (listener, place)
    }

    #[test]
    fn all_that_is_taken_is_told_with_places_that_are_free() {
        let (_one, miners) = taken();
        let (_other, visitors) = taken();
        let error = check([miners], Some(visitors)).unwrap_err().to_string();
        let (first, second) = error.split_once('\n').unwrap();
        for (line, flag, place) in [(first, "--listen", miners), (second, "--http", visitors)] {
            assert!(line.contains(&place.to_string()), "{error}");
            let (_, free) = line.rsplit_once(&format!("such as {flag} ")).unwrap();
            assert!(TcpListener::bind(free).is_ok(), "{error}");
        }
    }

    #[test]
    fn one_free_place_is_not_named_for_two() {
        let (_taken, place) = taken();
        let error = check([place], Some(place)).unwrap_err().to_string();
        let free = |line: &str| line.rsplit_once(' ').unwrap().1.to_owned();
        let places: Vec<String> = error.lines().map(free).collect();
        assert_ne!(places[0], places[1], "{error}");
    }

    #[test]
    fn what_is_free_passes_and_what_is_not_ours_is_told() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        assert!(check([any, any], Some(any)).is_ok());
        // Reserved for documentation (RFC 5737).
        let foreign = SocketAddr::from(([192, 0, 2, 1], 3333));
        let error = check([foreign], None).unwrap_err().to_string();
        assert!(
            error.ends_with("choose another place with --listen"),
            "{error}"
        );
    }
}
