//! A pool's demand to connect again, and a bound on how often it is followed (FR-36, FR-40).

use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

/// Demands that are followed at once within [`WINDOW`].
const FREE: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// A demand to connect again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reconnect {
    /// Another host; `None` for the present one, also where the pool named one that is no host name.
    pub host: Option<String>,
    /// Another port; `None` for the present one.
    pub port: Option<u16>,
    /// What the pool asks to wait before; a driver bounds it.
    pub wait: Duration,
}

impl Reconnect {
    /// Reads what a pool sent; an empty or impossible host and port 0 stand for the present ones.
    pub(super) fn new(host: &[u8], port: u16, wait: Duration) -> Self {
        Self {
            host: host_name(host),
            port: (port != 0).then_some(port),
            wait,
        }
    }
}

/// A host name or address, as far as its characters say.
fn host_name(bytes: &[u8]) -> Option<String> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]%".contains(byte);
    let text = core::str::from_utf8(bytes).ok()?;
    (!bytes.is_empty() && bytes.len() <= 253 && bytes.iter().all(allowed)).then(|| text.to_owned())
}

/// Keeps two pools from playing a miner like a ball. It outlives the sessions.
#[derive(Debug, Clone, Default)]
pub struct ReconnectGuard {
    recent: VecDeque<Instant>,
}

impl ReconnectGuard {
    /// How long to wait before the demand made at `now` is followed: nothing for the first ten in a
    /// minute, then until the first of them is a minute old.
    pub fn pause(&mut self, now: Instant) -> Duration {
        while self
            .recent
            .front()
            .is_some_and(|first| now.duration_since(*first) >= WINDOW)
        {
            self.recent.pop_front();
        }
        let pause = match self.recent.front() {
            Some(first) if self.recent.len() >= FREE => WINDOW - now.duration_since(*first),
            _ => Duration::ZERO,
        };
        if self.recent.len() >= FREE {
            self.recent.pop_front();
        }
        self.recent.push_back(now + pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FR-40: ten demands in a minute are followed at once, the eleventh waits.
    #[test]
    fn the_eleventh_demand_in_a_minute_waits() {
        let start = Instant::now();
        let mut guard = ReconnectGuard::default();
        for second in 0..10 {
            let now = start + Duration::from_secs(second);
            assert_eq!(guard.pause(now), Duration::ZERO);
        }
        let now = start + Duration::from_secs(10);
        assert_eq!(guard.pause(now), Duration::from_secs(50));
        let later = start + Duration::from_secs(300);
        assert_eq!(guard.pause(later), Duration::ZERO);
    }

    /// FR-40: a pool that demands without end is followed ten times a minute at most.
    #[test]
    fn a_loop_is_slowed_for_as_long_as_it_lasts() {
        let start = Instant::now();
        let mut guard = ReconnectGuard::default();
        let mut now = start;
        // So many that eleven a minute would take a minute less.
        for _ in 0..200 {
            now += guard.pause(now);
        }
        assert_eq!(now - start, Duration::from_secs(19 * 60));
    }

    /// FR-36: the four combinations, and hosts that are none.
    #[test]
    fn what_names_no_host_means_the_present_one() {
        let read = |host: &[u8], port| {
            let demand = Reconnect::new(host, port, Duration::ZERO);
            (demand.host, demand.port)
        };
        assert_eq!(read(b"", 0), (None, None));
        assert_eq!(read(b"b.example", 0), (Some("b.example".to_owned()), None));
        assert_eq!(read(b"", 3334), (None, Some(3334)));
        assert_eq!(read(b"::1", 1), (Some("::1".to_owned()), Some(1)));
        for wrong in [
            &[b'a'; 255][..],
            b"a b",
            b"a/b",
            b"\xff",
            b"a\0",
            "\u{e9}".as_bytes(),
        ] {
            assert_eq!(read(wrong, 7), (None, Some(7)));
        }
    }
}
