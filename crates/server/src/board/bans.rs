//! Addresses that are banned, or close to it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use headframe_api::{Alarm, Severity};
use headframe_ledger::Ban;
use headframe_work::UnixTime;

use super::convert;
use crate::limits::Source;
use crate::news::WarningNews;
use crate::numbered::numbered;

/// Bans, and warnings, that are counted, the latest.
const MAX_BANS: usize = 1_000;
/// By then offences are forgiven, if no other came, but for wrong passwords, which take hours.
const WARNED: Duration = Duration::from_secs(600);

/// Who is banned, and who was warned.
#[derive(Debug, Default)]
pub(super) struct Bans {
    bans: VecDeque<Ban>,
    warned: VecDeque<Warned>,
}

#[derive(Debug)]
struct Warned {
    news: WarningNews,
    heard: Instant,
}

impl Bans {
    pub(super) fn handle_ban(&mut self, ban: Ban) {
        let source = Source::of(ban.address);
        self.warned
            .retain(|warned| warned.news.warning.source != source);
        self.bans.retain(|kept| kept.address != ban.address);
        self.bans.push_back(ban);
        if self.bans.len() > MAX_BANS {
            self.bans.pop_front();
        }
    }

    /// A warning may be heard after the ban that it told of: its connection had no room for it before.
    pub(super) fn handle_warning(&mut self, mut news: WarningNews, heard: Instant) {
        let source = news.warning.source;
        let is_banned = |ban: &Ban| Source::of(ban.address) == source;
        if self.bans.iter().any(is_banned) {
            return;
        }
        let before = |warned: &Warned| warned.news.warning.source == source;
        if let Some(place) = self.warned.iter().position(before)
            && let Some(before) = self.warned.remove(place)
        {
            news.at = before.news.at;
        }
        self.warned.push_back(Warned { news, heard });
        if self.warned.len() > MAX_BANS {
            self.warned.pop_front();
        }
    }

    /// Forgets what is over.
    pub(super) fn advance(&mut self, now: Instant, wall: UnixTime) {
        self.bans.retain(|ban| ban.until > wall);
        self.warned
            .retain(|warned| now.saturating_duration_since(warned.heard) < WARNED);
    }

    pub(super) fn banned(&self, wall: UnixTime) -> Option<Alarm> {
        let (first, last) = (self.bans.front()?, self.bans.back()?);
        let left = u64::from(last.until.as_secs().saturating_sub(wall.as_secs()));
        let address = Source::of(last.address);
        Some(Alarm {
            code: "address_banned".into(),
            severity: Severity::Notice,
            title: match self.bans.len() {
                1 => "An address is banned".to_owned(),
                more => format!("{more} addresses are banned"),
            },
            detail: format!(
                "{address}: {}. The ban ends by itself in {}.",
                last.reason,
                numbered(left.div_ceil(60), "minute", "minutes")
            ),
            next_step: next_step(address),
            since_at: convert::unix(first.since),
        })
    }

    pub(super) fn warned(&self) -> Option<Alarm> {
        let (first, last) = (&self.warned.front()?.news, &self.warned.back()?.news);
        let warning = last.warning;
        let who = match last.miners.as_str() {
            "" => warning.source.to_string(),
            miners => format!("{} ({})", warning.source, convert::clipped(miners)),
        };
        Some(Alarm {
            code: "address_warned".into(),
            severity: Severity::Notice,
            title: match self.warned.len() {
                1 => "An address is close to a ban".to_owned(),
                more => format!("{more} addresses are close to a ban"),
            },
            detail: format!(
                "{who}: {}. If that goes on, it is banned for {}.",
                warning.offence.describe(),
                numbered(warning.lasts.as_secs() / 60, "minute", "minutes")
            ),
            next_step: next_step(warning.source),
            since_at: convert::unix(first.at),
        })
    }
}

fn next_step(source: Source) -> String {
    format!(
        "Nothing, if you do not know it. If {source} is yours, mend the miner there, or put the \
         address into pool.unlimited_from."
    )
}
