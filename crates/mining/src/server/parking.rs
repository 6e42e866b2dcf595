//! The Stratum V1 sessions whose connections have ended, for as long as a client may come back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use headframe_channels::ExtranoncePrefix;

use super::{ParkedSession, SessionId};

/// How long a session is kept: as long as its jobs are remembered once they are replaced.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(120);
/// Sessions that are kept; of more the oldest goes. A pool that loses all its miners at once gives most
/// of them new work, which costs each what is on its way.
const MOST: usize = 1_024;

/// Sessions that may be resumed, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Parking(VecDeque<(Instant, ParkedSession)>);

impl Parking {
    /// Keeps a session, and gives the prefixes of those that are kept no longer.
    pub(crate) fn park(&mut self, now: Instant, session: ParkedSession) -> Vec<ExtranoncePrefix> {
        self.0.push_back((now, session));
        self.expire(now)
    }

    /// The session of this id, which is nobody else's from now on.
    pub(crate) fn resume(&mut self, now: Instant, id: SessionId) -> Option<ParkedSession> {
        let at = self.0.iter().position(|(since, session)| {
            session.id() == id && now.saturating_duration_since(*since) < KEPT_FOR
        })?;
        self.0.remove(at).map(|(_, session)| session)
    }

    /// Gives the prefixes of sessions that are kept no longer.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<ExtranoncePrefix> {
        let fresh = |since: &Instant| now.saturating_duration_since(*since) < KEPT_FOR;
        let old = self.0.iter().take_while(|(since, _)| !fresh(since)).count();
        let too_many = self.0.len().saturating_sub(MOST);
        let gone = self.0.drain(..old.max(too_many));
        gone.map(|(_, session)| session.prefix()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
