//! From a pool's address to a stream of lines or frames.

use core::time::Duration;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use headframe_sv2_noise::{ACT2_LEN, HandshakeError, Initiator, RecordLayer, Trust};
use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::accept::{HANDSHAKE_DEADLINE, MINING_FRAME_LIMIT};
use crate::curve_pool::CurvePool;
use crate::error::TransportError;
use crate::frame_stream::FrameStream;
use crate::line_stream::{LINE_LIMIT, LineStream};
use crate::link::{Filled, Link};
use crate::outbox::OUTBOX_LIMIT;
use crate::pool_url::Endpoint;
use crate::random;
use crate::tls::{LineSocket, Rewound, TlsTrust, client_config, is_mistrusted};

/// How long each address of a pool has to take a connection.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// What a dialer allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialSettings {
    /// For a connection to each address that the host's name stands for.
    pub connect_deadline: Duration,
    /// From the connection to the end of the handshake, of Noise or TLS.
    pub handshake_deadline: Duration,
    /// Payload bytes of a frame.
    pub frame_limit: usize,
    /// Bytes of a line without its end.
    pub line_limit: usize,
    /// Bytes that may wait for a peer that does not read.
    pub outbox_limit: usize,
    /// The address of this computer to connect from; `None` for the one that the system picks.
    /// Addresses of the other IP version are then out of reach.
    pub source: Option<IpAddr>,
}

/// Opens connections to pools. Clones share the curve pool.
#[derive(Debug, Clone, Default)]
pub struct Dialer {
    settings: DialSettings,
    curve_pool: CurvePool,
}

/// Why there is no connection to a pool.
#[derive(Debug, Error)]
pub enum DialError {
    /// The pool's: it closed the connection during the handshake.
    #[error(
        "{endpoint} closed the connection during the handshake; does it speak encrypted Stratum V2?"
    )]
    Closed {
        /// Who was dialled.
        endpoint: Endpoint,
    },
    /// The network's or the pool's: no connection.
    #[error("cannot connect to {endpoint}: {error}")]
    Connect {
        /// Who was dialled.
        endpoint: Endpoint,
        /// What the last of its addresses answered.
        error: io::Error,
    },
    /// The pool's: it did not answer the handshake in time.
    #[error("{endpoint} did not answer the handshake in time; does it speak encrypted Stratum V2?")]
    Deadline {
        /// Who was dialled.
        endpoint: Endpoint,
    },
    /// The pool's, an impostor's, or the configured key's.
    #[error("{endpoint}: {error}")]
    Handshake {
        /// Who was dialled.
        endpoint: Endpoint,
        /// Which check failed.
        error: HandshakeError,
    },
    /// The pool's, an impostor's, or the configured fingerprint's.
    #[error(
        "{endpoint}: the certificate that it shows has another fingerprint than the configured one; compare it with the one that the pool publishes"
    )]
    Certificate {
        /// Who was dialled.
        endpoint: Endpoint,
    },
    /// The pool's, of both, who have no way of TLS in common, or the network's.
    #[error("{endpoint}: the TLS handshake failed: {error}; does it speak TLS?")]
    Tls {
        /// Who was dialled.
        endpoint: Endpoint,
        /// What failed.
        error: io::Error,
    },
    /// The network's, or ours when the operating system has no random bytes.
    #[error("connection to {endpoint} failed during the handshake: {error}")]
    Io {
        /// Who was dialled.
        endpoint: Endpoint,
        /// What failed.
        error: io::Error,
    },
}

/// What a TLS handshake failed of.
fn tls_fault(endpoint: Endpoint, error: io::Error) -> DialError {
    let inner = error.get_ref().and_then(|error| error.downcast_ref());
    match inner.is_some_and(is_mistrusted) {
        true => DialError::Certificate { endpoint },
        false => DialError::Tls { endpoint, error },
    }
}

impl Default for DialSettings {
    fn default() -> Self {
        Self {
            connect_deadline: CONNECT_DEADLINE,
            handshake_deadline: HANDSHAKE_DEADLINE,
            frame_limit: MINING_FRAME_LIMIT,
            line_limit: LINE_LIMIT,
            outbox_limit: OUTBOX_LIMIT,
            source: None,
        }
    }
}

impl Dialer {
    /// A dialer whose handshakes take turns in `curve_pool`.
    pub const fn new(settings: DialSettings, curve_pool: CurvePool) -> Self {
        Self {
            settings,
            curve_pool,
        }
    }

    /// Connects to a pool that speaks Stratum V1.
    pub async fn sv1(&self, endpoint: &Endpoint) -> Result<LineStream, DialError> {
        let socket = self.connect(endpoint).await?;
        Ok(self.lines(LineSocket::Tcp(socket)))
    }

    /// Connects to a pool that speaks Stratum V1 in TLS, and verifies whom `trust` names.
    pub async fn sv1_tls(
        &self,
        endpoint: &Endpoint,
        trust: TlsTrust,
    ) -> Result<LineStream, DialError> {
        let socket = self.connect(endpoint).await?;
        let shaken = timeout(
            self.settings.handshake_deadline,
            self.shake_hands_in_tls(socket, endpoint, trust),
        );
        match shaken.await {
            Ok(Ok(socket)) => Ok(self.lines(socket)),
            Ok(Err(error)) => Err(tls_fault(endpoint.clone(), error)),
            Err(_) => Err(tls_fault(endpoint.clone(), io::ErrorKind::TimedOut.into())),
        }
    }

    fn lines(&self, socket: LineSocket) -> LineStream {
        LineStream::new(socket, self.settings.line_limit, self.settings.outbox_limit)
    }

    async fn shake_hands_in_tls(
        &self,
        socket: TcpStream,
        endpoint: &Endpoint,
        trust: TlsTrust,
    ) -> io::Result<LineSocket> {
        let config = client_config(trust).map_err(io::Error::other)?;
        let name = ServerName::try_from(endpoint.host().to_owned());
        let name = name.map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(config));
        let handshake = connector.connect(name, Rewound::new(Vec::new(), socket));
        let stream = self.curve_pool.drive(handshake).await??;
        Ok(LineSocket::Tls(Box::new(stream.into())))
    }

    /// Connects to a pool that speaks Stratum V2 over Noise, and verifies whom `trust` names.
    pub async fn sv2(&self, endpoint: &Endpoint, trust: Trust) -> Result<FrameStream, DialError> {
        let socket = self.connect(endpoint).await?;
        let mut link = Link::new(socket, ACT2_LEN, self.settings.outbox_limit);
        let shaken = self.shake_hands(&mut link, trust);
        let record = match timeout(self.settings.handshake_deadline, shaken).await {
            Ok(Ok(record)) => record,
            Ok(Err(fault)) => return Err(fault.at(endpoint)),
            Err(_) => return Err(Fault::Deadline.at(endpoint)),
        };
        Ok(FrameStream::sealed_from_link(
            link,
            record,
            self.settings.frame_limit,
        ))
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<TcpStream, DialError> {
        connect(endpoint, &self.settings)
            .await
            .map_err(|error| DialError::Connect {
                endpoint: endpoint.clone(),
                error,
            })
    }

    async fn shake_hands(
        &self,
        link: &mut Link<TcpStream>,
        trust: Trust,
    ) -> Result<RecordLayer, Fault> {
        let start = move || Ok(Initiator::start(trust, random::ephemeral_key()?));
        let (initiator, act1) = self.curve_pool.run(start).await?;
        link.outbox.append(act1.len())?.extend_from_slice(&act1);
        let act2 = loop {
            if let Some(act2) = link.inbox.pending().first_chunk::<ACT2_LEN>() {
                break *act2;
            }
            if link.fill().await? == Filled::Closed {
                return Err(Fault::Closed);
            }
        };
        link.inbox.take(ACT2_LEN);
        let finish = move || Ok(initiator.finish(&act2, unix_now()));
        let established = self.curve_pool.run(finish).await?;
        Ok(established.map_err(Fault::Handshake)?.record)
    }
}

/// Tries the addresses one after another; the last error is told.
async fn connect(endpoint: &Endpoint, settings: &DialSettings) -> io::Result<TcpStream> {
    let deadline = settings.connect_deadline;
    let resolved = timeout(deadline, lookup_host((endpoint.host(), endpoint.port())));
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host's name has no address");
    for address in resolved.await?? {
        match timeout(deadline, connect_from(settings.source, address)).await {
            Ok(Ok(socket)) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Ok(Err(error)) => last = error,
            Err(elapsed) => last = elapsed.into(),
        }
    }
    Err(last)
}

async fn connect_from(source: Option<IpAddr>, address: SocketAddr) -> io::Result<TcpStream> {
    let Some(source) = source else {
        return TcpStream::connect(address).await;
    };
    let socket = match source {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(address).await
}

/// A [`DialError`] that does not know its endpoint yet.
enum Fault {
    Closed,
    Deadline,
    Handshake(HandshakeError),
    Io(io::Error),
}

impl Fault {
    fn at(self, endpoint: &Endpoint) -> DialError {
        let endpoint = endpoint.clone();
        match self {
            Self::Closed => DialError::Closed { endpoint },
            Self::Deadline => DialError::Deadline { endpoint },
            Self::Handshake(error) => DialError::Handshake { endpoint, error },
            Self::Io(error) => DialError::Io { endpoint, error },
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<TransportError> for Fault {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Io(error) => Self::Io(error),
            other => Self::Io(io::Error::other(other)),
        }
    }
}

/// Unix seconds; a clock before 1970 counts as 1970, and one past 2106 as 2106.
fn unix_now() -> u32 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| {
        u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX)
    })
}
