//! How long miners are held while the node gives no templates (ADR 6). A state machine: failures,
//! templates and time in, what becomes of miners out.

use std::time::{Duration, Instant};

/// Miners are not told of an absence that is shorter.
const TOLD_AFTER: Duration = Duration::from_secs(10);

/// What becomes of miners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// They mine as usual.
    Usual,
    /// They keep their last work, and may be told so.
    Held,
    /// They are sent to whatever other pool they have, and nobody is let in.
    Released,
}

/// A node's absence, as far as miners are concerned.
#[derive(Debug)]
pub(crate) struct Hold {
    /// `None`: for ever.
    limit: Option<Duration>,
    /// Since when the node gives no templates.
    since: Option<Instant>,
    service: Service,
}

impl Hold {
    pub(crate) const fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            since: None,
            service: Service::Usual,
        }
    }

    pub(crate) const fn service(&self) -> Service {
        self.service
    }

    /// When miners are released if nothing changes.
    pub(crate) fn release_at(&self) -> Option<Instant> {
        Some(self.since? + self.limit?)
    }

    /// The node gives no template at `now`.
    pub(crate) fn handle_failure(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// The node has given a template.
    pub(crate) fn handle_template(&mut self) {
        self.since = None;
        self.service = Service::Usual;
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let told = self.since? + TOLD_AFTER;
        match (self.service, self.release_at()) {
            (Service::Usual, None) => Some(told),
            (Service::Usual, Some(released)) => Some(told.min(released)),
            (Service::Held, released) => released,
            (Service::Released, _) => None,
        }
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        self.service = match self.release_at() {
            Some(released) if now >= released => Service::Released,
            _ => Service::Held,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(hold: &mut Hold, now: Instant) -> Service {
        hold.handle_timeout(now);
        hold.service()
    }

    #[test]
    fn miners_are_held_then_told_then_released_and_taken_back() {
        let start = Instant::now();
        let mut hold = Hold::new(Some(300 * SECOND));
        assert_eq!((hold.poll_timeout(), hold.release_at()), (None, None));
        hold.handle_failure(start);
        assert_eq!(hold.poll_timeout(), Some(start + 10 * SECOND));
        assert_eq!(at(&mut hold, start + 9 * SECOND), Service::Usual);
        assert_eq!(at(&mut hold, start + 10 * SECOND), Service::Held);
        // It fails again and again; the time runs from the first.
        hold.handle_failure(start + 200 * SECOND);
        assert_eq!(hold.poll_timeout(), Some(start + 300 * SECOND));
        assert_eq!(at(&mut hold, start + 299 * SECOND), Service::Held);
        assert_eq!(at(&mut hold, start + 300 * SECOND), Service::Released);
        assert_eq!(hold.poll_timeout(), None);
        hold.handle_template();
        assert_eq!((hold.service(), hold.release_at()), (Service::Usual, None));
        hold.handle_failure(start + 400 * SECOND);
        assert_eq!(hold.release_at(), Some(start + 700 * SECOND));
    }

    #[test]
    fn without_a_limit_miners_are_held_for_ever() {
        let start = Instant::now();
        let mut hold = Hold::new(None);
        hold.handle_failure(start);
        assert_eq!(at(&mut hold, start + 10 * SECOND), Service::Held);
        assert_eq!(hold.poll_timeout(), None);
        assert_eq!(at(&mut hold, start + 1_000_000 * SECOND), Service::Held);
    }

    #[test]
    fn a_short_absence_is_nobody_s_business() {
        let start = Instant::now();
        let mut hold = Hold::new(Some(10 * SECOND));
        hold.handle_failure(start);
        hold.handle_template();
        assert_eq!(at(&mut hold, start + 20 * SECOND), Service::Usual);
        hold.handle_failure(start + 20 * SECOND);
        assert_eq!(at(&mut hold, start + 31 * SECOND), Service::Released);
    }
}
