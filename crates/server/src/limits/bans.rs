//! Who is banned, until when.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use headframe_ledger::{BAN_REMEMBERED, Ban, MAX_BANS, Text};
use headframe_work::UnixTime;

use super::Offence;
use super::source::Source;

/// The first ban of an address. Long enough that a flood is not worth its while, short enough that an
/// honest owner of the address, or the next one whom his provider gives it to, hardly notices.
const FIRST_BAN: Duration = Duration::from_secs(10 * 60);
/// Each further one lasts twice as long as the last, up to this.
const LONGEST_BAN: Duration = Duration::from_secs(24 * 60 * 60);

/// The bans that are in force or remembered, at most [`MAX_BANS`].
#[derive(Debug, Default)]
pub(super) struct Bans(HashMap<Source, Banned>);

#[derive(Debug, Clone, Copy)]
struct Banned {
    until: Instant,
    times: u32,
}

impl Bans {
    /// What the ledger remembers at this moment, which is `wall` on the calendar.
    pub(super) fn remembered(bans: &[Ban], now: Instant, wall: UnixTime) -> Self {
        let mut kept = Self::default();
        for ban in bans {
            let left = ban.until.as_secs().saturating_sub(wall.as_secs());
            let ended = wall.as_secs().saturating_sub(ban.until.as_secs());
            // A calendar that was set back must not make a ban longer than one can be.
            let left = Duration::from_secs(left.into()).min(LONGEST_BAN);
            let until = (now + left).checked_sub(Duration::from_secs(ended.into()));
            if let Some(until) = until {
                let times = ban.times;
                kept.insert(Source::of(ban.address), Banned { until, times });
            }
        }
        kept
    }

    /// When the ban of `source` ends, if there is one.
    pub(super) fn until(&self, now: Instant, source: Source) -> Option<Instant> {
        let banned = self.0.get(&source)?;
        (now < banned.until).then_some(banned.until)
    }

    /// Bans `source` from now on.
    pub(super) fn ban(
        &mut self,
        (now, wall): (Instant, UnixTime),
        source: Source,
        offence: Offence,
    ) -> Ban {
        let times = self.next(now, source);
        let lasts = lasts(times);
        let until = now + lasts;
        self.insert(source, Banned { until, times });
        Ban {
            address: source.address(),
            since: wall,
            until: wall.saturating_add(lasts),
            reason: Text::clip(offence.describe()),
            times,
        }
    }

    /// How long a ban of `source` would last.
    pub(super) fn would_last(&self, now: Instant, source: Source) -> Duration {
        lasts(self.next(now, source))
    }

    /// Which of its bans the next one is.
    fn next(&self, now: Instant, source: Source) -> u32 {
        let before = self.0.get(&source);
        let before = before.filter(|before| now < before.until + BAN_REMEMBERED);
        before.map_or(0, |before| before.times).saturating_add(1)
    }

    fn insert(&mut self, source: Source, banned: Banned) {
        self.0.insert(source, banned);
        if self.0.len() > MAX_BANS
            && let Some(first) = self.first_to_end()
        {
            self.0.remove(&first);
        }
    }

    fn first_to_end(&self) -> Option<Source> {
        let first = self.0.iter().min_by_key(|(_, banned)| banned.until);
        first.map(|(source, _)| *source)
    }
}

fn lasts(times: u32) -> Duration {
    let doubled = 1_u32.checked_shl(times - 1).unwrap_or(u32::MAX);
    FIRST_BAN.saturating_mul(doubled).min(LONGEST_BAN)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const WALL: UnixTime = UnixTime::from_secs(1_704_067_200);

    fn source(number: u32) -> Source {
        Source::of(Ipv4Addr::from(number).into())
    }

    #[test]
    fn a_ban_ends_by_itself_and_the_next_is_longer() {
        let (mut bans, mut now) = (Bans::default(), Instant::now());
        let mut lasted = Vec::new();
        for times in 1..=10 {
            let announced = bans.would_last(now, source(1));
            let ban = bans.ban((now, WALL), source(1), Offence::Flood);
            assert_eq!(ban.times, times);
            assert_eq!(bans.until(now, source(1)), Some(now + announced));
            let until = bans.until(now, source(1)).unwrap();
            lasted.push((until - now).as_secs() / 60);
            assert_eq!(ban.until, WALL.saturating_add(until - now));
            assert_eq!(bans.until(until, source(1)), None);
            assert_eq!(bans.until(now, source(2)), None);
            now = until;
        }
        assert_eq!(lasted, [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]);
        let quiet = now + BAN_REMEMBERED;
        assert_eq!(bans.ban((quiet, WALL), source(1), Offence::Flood).times, 1);
    }

    #[test]
    fn what_the_ledger_remembers_goes_on() {
        let now = Instant::now() + 2 * BAN_REMEMBERED;
        let ban = Bans::default().ban((now, WALL), source(1), Offence::Flood);
        let at = |seconds| WALL.saturating_add(Duration::from_secs(seconds));
        let mut later = Bans::remembered(std::slice::from_ref(&ban), now, at(599));
        assert_eq!(
            later.until(now, source(1)),
            Some(now + Duration::from_secs(1))
        );
        let ended = Bans::remembered(std::slice::from_ref(&ban), now, at(600));
        assert_eq!(ended.until(now, source(1)), None);
        assert_eq!(
            later.ban((now, at(600)), source(1), Offence::Flood).times,
            2
        );
        // The calendar was set back by a year.
        let early = UnixTime::from_secs(WALL.as_secs() - 365 * 86_400);
        let early = Bans::remembered(&[ban], now, early);
        assert_eq!(early.until(now, source(1)), Some(now + LONGEST_BAN));
    }

    #[test]
    fn there_are_never_more_than_may_be() {
        let (mut bans, start) = (Bans::default(), Instant::now());
        let many = u32::try_from(MAX_BANS).unwrap() + 10;
        for number in 0..many {
            let now = start + Duration::from_millis(number.into());
            bans.ban((now, WALL), source(number), Offence::Flood);
        }
        assert_eq!(bans.0.len(), MAX_BANS);
        assert_eq!(bans.until(start, source(9)), None);
        assert!(bans.until(start, source(10)).is_some());
    }
}
