//! From an accepted socket to a stream of lines or frames (R-29, R-30, NX-40).

use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use headframe_sv2_noise::{ACT1_LEN, ACT2_LEN, RecordLayer, StaticIdentity, respond};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::curve_pool::CurvePool;
use crate::detect::{Detected, detect};
use crate::error::TransportError;
use crate::frame_stream::FrameStream;
use crate::line_stream::{LINE_LIMIT, LineStream};
use crate::link::{Filled, Link};
use crate::local::is_local;
use crate::outbox::OUTBOX_LIMIT;
use crate::protocols::Protocols;
use crate::proxy_header::{PROXY_HEADER_LIMIT, ProxyHeader, ProxyHeaderError, read_proxy_header};
use crate::random;
use crate::tls::{LineSocket, Rewound, TlsIdentity};
use crate::vanished::let_go_of_who_vanishes;

/// How long a client has from its connection to the end of its handshake. Devices and the reference
/// implementation give servers as much.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Payload bytes of a frame that a mining server takes. The longest mining message, a
/// SetCustomMiningJob, holds one field of up to 64 KiB and a merkle path.
pub const MINING_FRAME_LIMIT: usize = 80 * 1024;

/// What an acceptor allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptSettings {
    /// From the connection to the end of the handshake, or to the first recognised bytes.
    pub handshake_deadline: Duration,
    /// Payload bytes of a frame.
    pub frame_limit: usize,
    /// Bytes of a line without its end.
    pub line_limit: usize,
    /// Bytes that may wait for a peer that does not read.
    pub outbox_limit: usize,
    /// What is served.
    pub protocols: Protocols,
}

/// Turns sockets into streams. Clones share the identities and the curve pool.
#[derive(Debug, Clone)]
pub struct Acceptor {
    settings: AcceptSettings,
    identity: watch::Receiver<Arc<StaticIdentity>>,
    /// Where there is none, TLS is not served.
    tls: Option<watch::Receiver<TlsIdentity>>,
    curve_pool: CurvePool,
}

/// What a client turned out to speak.
#[derive(Debug)]
pub enum Accepted {
    /// Closed without a byte, as devices do to see whether a pool is there. Not an event.
    Nothing,
    /// Stratum V1; its first line is there to be taken.
    Sv1(LineStream),
    /// Stratum V2; the handshake is done.
    Sv2(FrameStream),
}

/// A connection that a proxy passes on. Its PROXY header is read, and nothing behind it.
#[derive(Debug)]
pub struct Forwarded {
    link: Link<TcpStream>,
    source: SocketAddr,
}

impl Forwarded {
    /// Who connected to the proxy; the proxy itself, where it said so or did not know.
    pub const fn source(&self) -> SocketAddr {
        self.source
    }
}

/// Why a socket did not become a stream. The socket is closed; nothing was answered.
#[derive(Debug, Error)]
pub enum AcceptError {
    /// The client's: it left before it could be recognised.
    #[error("the client left after {received} bytes, before its protocol could be recognised")]
    ClosedEarly {
        /// Bytes that arrived.
        received: usize,
    },
    /// The client's: too slow.
    #[error("the client did not finish its handshake in time")]
    Deadline,
    /// The network's, the client's, or ours when the operating system has no random bytes.
    #[error("connection failed during the handshake: {0}")]
    Io(#[from] io::Error),
    /// The client's user's: encryption is mandatory here.
    #[error(
        "the client speaks Stratum V2 without encryption, which this listener does not allow from its address; configure the pool's authority key in the miner"
    )]
    Plaintext,
    /// The proxy's or its operator's: it did not say whose connection it passes on.
    #[error("the connection comes from a listed proxy, and {0}")]
    ProxyHeader(#[from] ProxyHeaderError),
    /// The operator's, or a stranger's who pretends: a PROXY header from who is not listed.
    #[error(
        "the client sends a PROXY header and is no listed proxy; if it is yours, put its address into pool.proxy_protocol_from"
    )]
    UnlistedProxy,
    /// The client's user's: this port has no Stratum V1.
    #[error(
        "the client speaks Stratum V1, which this port does not; configure the miner with stratum2+tcp:// and the pool's authority key, or with another port of the pool"
    )]
    Sv1,
    /// The client's user's: this port has Stratum V1 in TLS alone.
    #[error(
        "the client speaks Stratum V1 without TLS, which this port does not; configure the miner with stratum+ssl://, or with another port of the pool"
    )]
    ClearSv1,
    /// The client's user's: this port has no Stratum V2.
    #[error(
        "the client does not speak Stratum V1, and this port has no encrypted Stratum V2; configure the miner with stratum+tcp://, or with another port of the pool"
    )]
    Sv2,
    /// The client's user's: this port has no TLS.
    #[error(
        "the client speaks TLS, which this port does not; configure the miner without TLS, stratum+tcp:// or stratum2+tcp://"
    )]
    Tls,
    /// The client's, or of both, who have no way of TLS in common.
    #[error("the TLS handshake failed: {0}")]
    TlsHandshake(io::Error),
    /// The client's user's: in TLS there is Stratum V1 alone.
    #[error(
        "the client speaks TLS, and in it something else than Stratum V1; Stratum V2 has an encryption of its own, configure the miner with stratum2+tcp://"
    )]
    ForeignInTls,
}

impl Default for AcceptSettings {
    fn default() -> Self {
        Self {
            handshake_deadline: HANDSHAKE_DEADLINE,
            frame_limit: MINING_FRAME_LIMIT,
            line_limit: LINE_LIMIT,
            outbox_limit: OUTBOX_LIMIT,
            protocols: Protocols::USUAL,
        }
    }
}

impl Acceptor {
    /// An acceptor that answers with whatever identity the channel holds at the time: a renewed
    /// certificate is sent into it, and nobody who is connected notices.
    pub const fn new(
        settings: AcceptSettings,
        identity: watch::Receiver<Arc<StaticIdentity>>,
        curve_pool: CurvePool,
    ) -> Self {
        Self {
            settings,
            identity,
            tls: None,
            curve_pool,
        }
    }

    /// Answers TLS handshakes too, with whatever identity the channel holds at the time.
    #[must_use]
    pub fn with_tls(self, tls: watch::Receiver<TlsIdentity>) -> Self {
        Self {
            tls: Some(tls),
            ..self
        }
    }

    /// Recognises what a client speaks and shakes hands with it.
    ///
    /// May be cancelled, and then closes the socket. Errors are for the log alone: to the client they
    /// are a closed connection.
    pub async fn accept(&self, socket: TcpStream) -> Result<Accepted, AcceptError> {
        let greeted = timeout(self.settings.handshake_deadline, self.greet_socket(socket));
        greeted.await.map_err(|_| AcceptError::Deadline)?
    }

    /// Reads the PROXY header of a connection from a listed proxy, which has to send one. `None` when
    /// it closed without a byte, as proxies do to see whether a pool is there.
    ///
    /// May be cancelled, and then closes the socket. The time that a handshake may take applies to
    /// this and to [`Acceptor::accept_forwarded`] each.
    pub async fn read_proxy_header(
        &self,
        socket: TcpStream,
    ) -> Result<Option<Forwarded>, AcceptError> {
        let read = timeout(self.settings.handshake_deadline, self.forwarded(socket));
        read.await.map_err(|_| AcceptError::Deadline)?
    }

    /// As [`Acceptor::accept`], for a connection that a proxy passes on.
    pub async fn accept_forwarded(&self, forwarded: Forwarded) -> Result<Accepted, AcceptError> {
        let Forwarded { link, source } = forwarded;
        let greeted = timeout(self.settings.handshake_deadline, self.greet(link, source));
        greeted.await.map_err(|_| AcceptError::Deadline)?
    }

    async fn forwarded(&self, socket: TcpStream) -> Result<Option<Forwarded>, AcceptError> {
        prepare(&socket)?;
        let proxy = socket.peer_addr()?;
        let mut link = Link::new(socket, PROXY_HEADER_LIMIT, self.settings.outbox_limit);
        let Some(header) = take_proxy_header(&mut link).await? else {
            return Ok(None);
        };
        link.inbox.set_message_limit(ACT1_LEN);
        Ok(Some(Forwarded {
            link,
            source: header.source.unwrap_or(proxy),
        }))
    }

    async fn greet_socket(&self, socket: TcpStream) -> Result<Accepted, AcceptError> {
        prepare(&socket)?;
        let source = socket.peer_addr()?;
        let link = Link::new(socket, ACT1_LEN, self.settings.outbox_limit);
        self.greet(link, source).await
    }

    async fn greet(
        &self,
        mut link: Link<TcpStream>,
        source: SocketAddr,
    ) -> Result<Accepted, AcceptError> {
        let local = is_local(source.ip());
        let Some(detected) = recognise(&mut link).await? else {
            return Ok(Accepted::Nothing);
        };
        let frame_limit = self.settings.frame_limit;
        let serves = self.settings.protocols;
        match detected {
            Detected::Sv1 { skip } if serves.sv1 => {
                link.inbox.take(skip);
                let link = link.map(LineSocket::Tcp);
                Ok(Accepted::Sv1(self.lines(link)))
            }
            Detected::Sv1 { .. } if self.serves_tls() => Err(AcceptError::ClearSv1),
            Detected::Sv1 { .. } => Err(AcceptError::Sv1),
            Detected::Tls if self.serves_tls() => Box::pin(self.greet_in_tls(link)).await,
            Detected::Tls => Err(AcceptError::Tls),
            Detected::ProxyHeader => Err(AcceptError::UnlistedProxy),
            Detected::PlainSv2 if local && serves.plaintext_sv2 => Ok(Accepted::Sv2(
                FrameStream::plain_from_link(link, frame_limit),
            )),
            Detected::PlainSv2 if serves.sv2 => Err(AcceptError::Plaintext),
            Detected::PlainSv2 => Err(AcceptError::Sv2),
            Detected::Noise | Detected::Undecided if !serves.sv2 => Err(AcceptError::Sv2),
            Detected::Noise | Detected::Undecided => {
                let record = self.shake_hands(&mut link).await?;
                Ok(Accepted::Sv2(FrameStream::sealed_from_link(
                    link,
                    record,
                    frame_limit,
                )))
            }
        }
    }

    const fn serves_tls(&self) -> bool {
        self.settings.protocols.sv1_tls && self.tls.is_some()
    }

    fn lines(&self, link: Link<LineSocket>) -> LineStream {
        LineStream::from_link(link, self.settings.line_limit)
    }

    /// The client has begun a TLS handshake.
    async fn greet_in_tls(&self, link: Link<TcpStream>) -> Result<Accepted, AcceptError> {
        let Some(tls) = &self.tls else {
            return Err(AcceptError::Tls);
        };
        let acceptor = tls.borrow().acceptor();
        let (socket, hello) = link.into_parts();
        let handshake = acceptor.accept(Rewound::new(hello, socket));
        let shaken = self.curve_pool.drive(handshake).await?;
        let stream = shaken.map_err(AcceptError::TlsHandshake)?;
        let socket = LineSocket::Tls(Box::new(stream.into()));
        let mut link = Link::new(socket, ACT1_LEN, self.settings.outbox_limit);
        match recognise(&mut link).await? {
            None => Ok(Accepted::Nothing),
            Some(Detected::Sv1 { skip }) => {
                link.inbox.take(skip);
                Ok(Accepted::Sv1(self.lines(link)))
            }
            Some(_) => Err(AcceptError::ForeignInTls),
        }
    }

    async fn shake_hands(&self, link: &mut Link<TcpStream>) -> Result<RecordLayer, AcceptError> {
        let act1 = loop {
            if let Some(act1) = link.inbox.pending().first_chunk::<ACT1_LEN>() {
                break *act1;
            }
            receive(link).await?;
        };
        link.inbox.take(ACT1_LEN);
        let identity = Arc::clone(&self.identity.borrow());
        let answer = move || Ok(respond(&identity, &act1, random::ephemeral_key()?));
        let (act2, record) = self.curve_pool.run(answer).await?;
        link.outbox
            .append(ACT2_LEN)
            .map_err(io_error)?
            .extend_from_slice(&act2);
        link.flush().await.map_err(io_error)?;
        Ok(record)
    }
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let_go_of_who_vanishes(socket)
}

/// `None` when the client left without a byte; a reset counts as leaving.
async fn recognise<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
) -> Result<Option<Detected>, AcceptError> {
    loop {
        match detect(link.inbox.pending()) {
            Detected::Undecided => {}
            detected => return Ok(Some(detected)),
        }
        if !receive_or_nothing(link).await? {
            return Ok(None);
        }
    }
}

async fn take_proxy_header(link: &mut Link<TcpStream>) -> Result<Option<ProxyHeader>, AcceptError> {
    loop {
        if let Some(header) = read_proxy_header(link.inbox.pending())? {
            link.inbox.take(header.len);
            return Ok(Some(header));
        }
        if !receive_or_nothing(link).await? {
            return Ok(None);
        }
    }
}

/// False when the client left without a byte; a reset counts as leaving.
async fn receive_or_nothing<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
) -> Result<bool, AcceptError> {
    match receive(link).await {
        Ok(()) => Ok(true),
        Err(_) if link.inbox.pending().is_empty() => Ok(false),
        Err(error) => Err(error),
    }
}

async fn receive<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>) -> Result<(), AcceptError> {
    match link.fill().await.map_err(io_error)? {
        Filled::Bytes => Ok(()),
        Filled::Closed => Err(AcceptError::ClosedEarly {
            received: link.inbox.pending().len(),
        }),
    }
}

/// During a handshake nothing but the socket can fail.
fn io_error(error: TransportError) -> AcceptError {
    match error {
        TransportError::Io(error) => AcceptError::Io(error),
        other => AcceptError::Io(io::Error::other(other)),
    }
}
