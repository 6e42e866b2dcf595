//! What a swarm is told.

use core::num::NonZeroU64;
use core::time::Duration;
use std::net::IpAddr;

use headframe_transport::PoolUrl;
use thiserror::Error;

use crate::Channel;

/// Connections that one process opens at most: what one source address has ports for.
pub const MAX_CONNECTIONS: usize = 20_000;

/// Channels in all. Each costs about a kilobyte.
pub const MAX_CHANNELS: usize = 200_000;

/// Shares of a channel that may wait for an answer.
pub const MAX_WINDOW: usize = 1_024;

/// Whom to load, and how.
#[derive(Debug, Clone)]
pub struct SwarmSettings {
    /// The pool.
    pub url: PoolUrl,
    /// The kind of channels on Stratum V2.
    pub channel: Channel,
    /// User names, which the channels take in turn; at least one, each of at most 255 bytes.
    pub users: Vec<String>,
    /// Connections, 1 to [`MAX_CONNECTIONS`].
    pub connections: usize,
    /// Channels on each connection, at least 1; one on Stratum V1.
    pub channels: usize,
    /// Addresses to connect from, which the connections take in turn; empty: what the system picks.
    pub sources: Vec<IpAddr>,
    /// The time over which the connections are opened, evenly.
    pub ramp: Duration,
    /// The time for which shares are sent, once all have connected.
    pub duration: Duration,
    /// Shares after which the run ends sooner.
    pub shares: Option<NonZeroU64>,
    /// When a share is sent.
    pub pace: Pace,
    /// What the shares are worth.
    pub quality: Quality,
    /// The process whose processor time and memory are read: the pool's, on this computer.
    pub pid: Option<u32>,
}

/// When a share is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Whenever one is answered: so many of a channel, at most [`MAX_WINDOW`], wait at any time.
    AsAnswered {
        /// Shares of a channel that wait for an answer.
        window: usize,
    },
    /// So many a second in all, spread evenly, answered or not.
    PerSecond(f64),
}

/// What the shares are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// They meet the target.
    Valid,
    /// They are well formed and miss the target: the pool does all of its work and refuses them.
    AboveTarget,
}

/// A setting that makes no swarm.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SwarmSettingsError {
    /// Too few or too many connections.
    #[error("{0} connections; 1 to {MAX_CONNECTIONS} are possible")]
    Connections(usize),
    /// Too few or too many channels.
    #[error("{0} channels in all; at least 1 a connection and at most {MAX_CHANNELS} are possible")]
    Channels(usize),
    /// More than one channel on a Stratum V1 connection.
    #[error("Stratum V1 has one channel a connection")]
    OneChannel,
    /// No user.
    #[error("a swarm needs a user name")]
    NoUser,
    /// Nothing, or too much, may wait for an answer.
    #[error("a window of {0} shares; 1 to {MAX_WINDOW} are possible")]
    Window(usize),
    /// A rate that is none.
    #[error("a rate is a number of shares a second, above 0")]
    Rate,
}

impl SwarmSettings {
    /// A hundred connections of one channel for half a minute, eight valid shares on the way on each.
    pub fn new(url: PoolUrl, user: impl Into<String>) -> Self {
        Self {
            url,
            channel: Channel::Standard,
            users: vec![user.into()],
            connections: 100,
            channels: 1,
            sources: Vec::new(),
            ramp: Duration::ZERO,
            duration: Duration::from_secs(30),
            shares: None,
            pace: Pace::AsAnswered { window: 8 },
            quality: Quality::Valid,
            pid: None,
        }
    }

    /// Whether these settings make a swarm.
    ///
    /// # Errors
    /// [`SwarmSettingsError`] with what would be right.
    pub fn check(&self) -> Result<(), SwarmSettingsError> {
        use SwarmSettingsError as E;
        let channels = self.connections.saturating_mul(self.channels);
        match (&self.url, self.pace) {
            _ if !(1..=MAX_CONNECTIONS).contains(&self.connections) => {
                Err(E::Connections(self.connections))
            }
            _ if !(1..=MAX_CHANNELS).contains(&channels) => Err(E::Channels(channels)),
            (url, _) if url.is_sv1() && self.channels > 1 => Err(E::OneChannel),
            _ if self.users.is_empty() => Err(E::NoUser),
            (_, Pace::AsAnswered { window }) if !(1..=MAX_WINDOW).contains(&window) => {
                Err(E::Window(window))
            }
            (_, Pace::PerSecond(rate)) if !(rate > 0.0 && rate.is_finite()) => Err(E::Rate),
            _ => Ok(()),
        }
    }

    /// The users of the connection with this number.
    pub(super) fn users_of(&self, connection: usize) -> Vec<String> {
        let first = connection * self.channels;
        let user = |number: usize| self.users[number % self.users.len()].clone();
        (first..first + self.channels).map(user).collect()
    }

    /// Where the connection with this number comes from.
    pub(super) fn source_of(&self, connection: usize) -> Option<IpAddr> {
        let turn = connection.checked_rem(self.sources.len())?;
        self.sources.get(turn).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_swarm_is_refused() {
        use SwarmSettingsError as E;
        type Change = dyn Fn(&mut SwarmSettings);
        let sv1 = PoolUrl::parse("stratum+tcp://127.0.0.1:1", false).unwrap();
        let sv2 = PoolUrl::parse("stratum2+tcp://127.0.0.1:1", true).unwrap();
        let check = |url: &PoolUrl, change: &Change| {
            let mut settings = SwarmSettings::new(url.clone(), "user");
            change(&mut settings);
            settings.check()
        };
        assert_eq!(check(&sv1, &|_| {}), Ok(()));
        assert_eq!(check(&sv2, &|it| it.channels = 2_000), Ok(()));
        let cases: [(&PoolUrl, &Change, E); 9] = [
            (&sv2, &|it| it.connections = 0, E::Connections(0)),
            (&sv2, &|it| it.connections = 20_001, E::Connections(20_001)),
            (&sv2, &|it| it.channels = 0, E::Channels(0)),
            (&sv2, &|it| it.channels = 2_001, E::Channels(200_100)),
            (&sv1, &|it| it.channels = 2, E::OneChannel),
            (&sv1, &|it| it.users.clear(), E::NoUser),
            (
                &sv1,
                &|it| it.pace = Pace::AsAnswered { window: 0 },
                E::Window(0),
            ),
            (&sv1, &|it| it.pace = Pace::PerSecond(0.0), E::Rate),
            (&sv1, &|it| it.pace = Pace::PerSecond(f64::NAN), E::Rate),
        ];
        for (url, change, error) in cases {
            assert_eq!(check(url, change), Err(error));
        }
    }

    #[test]
    fn channels_take_users_and_connections_take_sources_in_turn() {
        let url = PoolUrl::parse("stratum2+tcp://127.0.0.1:1", true).unwrap();
        let source = |last| IpAddr::from([127, 0, 0, last]);
        let settings = SwarmSettings {
            users: ["a", "b", "c"].map(str::to_owned).to_vec(),
            channels: 2,
            sources: vec![source(1), source(2)],
            ..SwarmSettings::new(url.clone(), "")
        };
        assert_eq!(settings.users_of(0), ["a", "b"]);
        assert_eq!(settings.users_of(1), ["c", "a"]);
        assert_eq!(settings.source_of(2), Some(source(1)));
        assert_eq!(settings.source_of(3), Some(source(2)));
        assert_eq!(SwarmSettings::new(url, "").source_of(3), None);
    }
}
