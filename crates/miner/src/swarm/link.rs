//! The stream of a connection and the session that speaks on it.

use std::time::Instant;

use headframe_mining::client::{
    ChannelKind, ClientEvent, CloseReason, CrowdEvent, Frame, Solution, Sv1Session, Sv1Settings,
    Sv2Crowd, Sv2Settings,
};
use headframe_transport::{Dialer, Filled, FrameStream, LineStream, PoolUrl, TransportError};
use headframe_work::{Difficulty, Hashrate, Rung, Target};

use super::{Quality, SwarmSettings};
use crate::{Channel, MinerError};

/// A connection in either protocol.
#[derive(Debug)]
pub(super) enum Link {
    Sv1(LineStream, Box<Sv1Session>),
    Sv2(FrameStream, Box<Sv2Crowd>),
}

impl Link {
    /// Connects as the connection with this number. Its first messages are ready to be sent.
    pub(super) async fn dial(
        settings: &SwarmSettings,
        dialer: &Dialer,
        number: usize,
    ) -> Result<Self, MinerError> {
        let users = settings.users_of(number);
        let first = users.first().cloned().unwrap_or_default();
        match &settings.url {
            PoolUrl::Sv1(endpoint) => Self::sv1(settings, dialer.sv1(endpoint).await?, first),
            PoolUrl::Sv1Tls(endpoint, trust) => {
                Self::sv1(settings, dialer.sv1_tls(endpoint, *trust).await?, first)
            }
            PoolUrl::Sv2(endpoint, trust) => {
                let stream = dialer.sv2(endpoint, *trust).await?;
                let wanted = Sv2Settings {
                    endpoint_host: endpoint.host().to_owned(),
                    endpoint_port: endpoint.port(),
                    ..sv2_settings(settings)
                };
                let crowd = Sv2Crowd::new(Instant::now(), &wanted, &users)?;
                Ok(Self::Sv2(stream, Box::new(crowd)))
            }
        }
    }

    fn sv1(settings: &SwarmSettings, stream: LineStream, user: String) -> Result<Self, MinerError> {
        let wanted = sv1_settings(settings.quality, user);
        let session = Sv1Session::new(Instant::now(), &wanted)?;
        Ok(Self::Sv1(stream, Box::new(session)))
    }

    /// Reads once, and writes what is queued. May be cancelled at any time.
    pub(super) async fn fill(&mut self) -> Result<Filled, TransportError> {
        match self {
            Self::Sv1(stream, _) => stream.fill().await,
            Self::Sv2(stream, _) => stream.fill().await,
        }
    }

    /// Gives everything that has arrived to the session.
    pub(super) fn handle_input(&mut self, now: Instant) -> Result<(), MinerError> {
        match self {
            Self::Sv1(stream, session) => {
                while let Some(line) = stream.next_line()? {
                    session.handle_line(now, line)?;
                }
            }
            Self::Sv2(stream, crowd) => {
                while let Some(bytes) = stream.next_frame()? {
                    if let Some((frame, _)) = Frame::split(bytes) {
                        crowd.handle_frame(now, frame)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Queues what the session has to say.
    pub(super) fn queue_output(&mut self) -> Result<(), TransportError> {
        match self {
            Self::Sv1(stream, session) => {
                while let Some(line) = session.poll_transmit() {
                    stream.queue_lines(&line)?;
                }
            }
            Self::Sv2(stream, crowd) => {
                while let Some(frame) = crowd.poll_transmit() {
                    stream.queue_frame(&frame)?;
                }
            }
        }
        Ok(())
    }

    /// The next event; one of Stratum V1 is of its only channel.
    pub(super) fn poll_event(&mut self) -> Option<CrowdEvent> {
        match self {
            Self::Sv1(_, session) => session.poll_event().map(|event| match event {
                ClientEvent::Closed(reason) => CrowdEvent::Closed(reason),
                ClientEvent::Reconnect(demand) => CrowdEvent::Reconnect(demand),
                event => CrowdEvent::Channel(0, event),
            }),
            Self::Sv2(_, crowd) => crowd.poll_event(),
        }
    }

    /// Sends a share as it is; false when its work is void.
    pub(super) fn submit(&mut self, now: Instant, channel: usize, share: &Solution) -> bool {
        match self {
            Self::Sv1(_, session) => session.submit_unjudged(now, share),
            Self::Sv2(_, crowd) => crowd.submit_unjudged(now, channel, share),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Sv1(_, session) => session.poll_timeout(),
            Self::Sv2(_, crowd) => crowd.poll_timeout(),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Sv1(_, session) => session.handle_timeout(now),
            Self::Sv2(_, crowd) => crowd.handle_timeout(now),
        }
    }
}

/// The kind of an error, for counting: without what differs from one connection to the next.
pub(super) fn kind_of(error: &MinerError) -> String {
    use headframe_transport::DialError as D;
    match error {
        MinerError::Dial(D::Connect { error, .. }) => format!("connect: {}", error.kind()),
        MinerError::Dial(D::Closed { .. }) => "handshake: closed by the pool".to_owned(),
        MinerError::Dial(D::Deadline { .. }) => "handshake: no answer in time".to_owned(),
        MinerError::Dial(D::Handshake { error, .. }) => format!("handshake: {error}"),
        MinerError::Dial(D::Certificate { .. }) => "handshake: another certificate".to_owned(),
        MinerError::Dial(D::Tls { error, .. }) => format!("TLS handshake: {}", error.kind()),
        MinerError::Dial(D::Io { error, .. }) => format!("handshake: {}", error.kind()),
        MinerError::Transport(TransportError::Io(error)) => format!("lost: {}", error.kind()),
        MinerError::Transport(error) => format!("lost: {error}"),
        MinerError::Closed => "closed by the pool".to_owned(),
        MinerError::Session(error) => format!("protocol: {error}"),
        MinerError::Ended(reason) => kind_of_close(reason),
        MinerError::Settings(_) | MinerError::Threads(_) | MinerError::GaveUp { .. } => {
            error.to_string()
        }
    }
}

/// The kind of an end that breaks no rule.
pub(super) fn kind_of_close(reason: &CloseReason) -> String {
    match reason {
        CloseReason::SetupRefused { reason } => format!("connection refused: {reason}"),
        CloseReason::UserRefused { reason } => format!("channel refused: {reason}"),
        CloseReason::ExtendedChannelsOnly => "extended channels only".to_owned(),
        CloseReason::ExtensionsRequired => "extensions required".to_owned(),
        CloseReason::ChannelClosed { reason } => format!("channel closed: {reason}"),
        CloseReason::TimedOut { waiting_for } => format!("time-out: {waiting_for}"),
        CloseReason::Done => "done".to_owned(),
    }
}

/// What is declared and suggested so that the pool assigns a fitting difficulty: next to nothing
/// where shares have to be found, and much where they have to miss their target.
fn declared(quality: Quality) -> (Hashrate, Difficulty) {
    let (rate, difficulty) = match quality {
        Quality::Valid => (1.0, Rung::EASIEST.difficulty()),
        Quality::AboveTarget => (1e12, Rung::ONE.difficulty()),
    };
    let rate = Hashrate::from_hashes_per_second(rate).unwrap_or_default();
    (rate, difficulty)
}

fn sv1_settings(quality: Quality, user: String) -> Sv1Settings {
    let (_, difficulty) = declared(quality);
    Sv1Settings {
        user_agent: concat!("headframe-swarm/", env!("CARGO_PKG_VERSION")).to_owned(),
        user,
        password: "x".to_owned(),
        roll_version: false,
        suggest_difficulty: Some(difficulty),
    }
}

fn sv2_settings(settings: &SwarmSettings) -> Sv2Settings {
    let (nominal_hashrate, _) = declared(settings.quality);
    Sv2Settings {
        channel: match settings.channel {
            Channel::Standard => ChannelKind::Standard,
            Channel::Extended => ChannelKind::Extended,
        },
        user_identity: String::new(),
        nominal_hashrate,
        max_target: Target::MAX,
        min_extranonce_size: 4,
        roll_version: false,
        worker_name: None,
        endpoint_host: String::new(),
        endpoint_port: 0,
        vendor: "headframe".to_owned(),
        hardware_version: "swarm".to_owned(),
        firmware: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
