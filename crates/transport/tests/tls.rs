//! Stratum V1 in TLS, over real sockets on 127.0.0.1.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use headframe_sv2_noise::{KeyRing, Trust};
use headframe_transport::{
    AcceptError, AcceptSettings, Accepted, Acceptor, CurvePool, DialError, Dialer, Endpoint,
    Filled, LineStream, Protocols, TlsIdentity, TlsTrust, TransportError, self_signed,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const SUBSCRIBE: &[u8] = b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}";
const TLS_ALONE: Protocols = Protocols {
    sv1: false,
    sv1_tls: true,
    sv2: false,
    plaintext_sv2: false,
};

struct Server {
    acceptor: Acceptor,
    tls: watch::Sender<TlsIdentity>,
    ring: KeyRing,
    listener: TcpListener,
    address: SocketAddr,
}

fn identity() -> TlsIdentity {
    let made = self_signed(&["127.0.0.1".to_owned()], 1_700_000_000, 2_000_000_000).unwrap();
    TlsIdentity::from_pem(made.certificate.as_bytes(), made.key.as_bytes()).unwrap()
}

impl Server {
    async fn new(settings: AcceptSettings) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = u32::try_from(now.unwrap().as_secs()).unwrap();
        let ring = KeyRing::create([1; 32], [2; 32], &[3; 32], now).unwrap();
        let (_, noise) = watch::channel(Arc::new(ring.identity()));
        let (tls, identities) = watch::channel(identity());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = Acceptor::new(settings, noise, CurvePool::new()).with_tls(identities);
        Self {
            acceptor,
            tls,
            ring,
            listener,
            address,
        }
    }

    async fn serving(protocols: Protocols) -> Self {
        Self::new(AcceptSettings {
            protocols,
            ..AcceptSettings::default()
        })
        .await
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::new("127.0.0.1", self.address.port()).unwrap()
    }

    fn trust(&self) -> TlsTrust {
        TlsTrust::Pinned(self.tls.borrow().fingerprint())
    }

    async fn accept(&self) -> Result<Accepted, AcceptError> {
        let (socket, _) = self.listener.accept().await.unwrap();
        self.acceptor.accept(socket).await
    }

    /// A miner that trusts so and says `first`, and what becomes of it on this side.
    async fn meet(
        &self,
        trust: TlsTrust,
        first: &[u8],
    ) -> (Result<LineStream, DialError>, Result<Accepted, AcceptError>) {
        let dialer = Dialer::default();
        let endpoint = self.endpoint();
        let dial = async {
            let mut stream = dialer.sv1_tls(&endpoint, trust).await?;
            stream.queue_lines(first).unwrap();
            stream.flush().await.unwrap();
            Ok(stream)
        };
        tokio::join!(dial, self.accept())
    }

    /// Both ends of a connection on which a line was said.
    async fn connected(&self) -> (LineStream, LineStream) {
        let line = [SUBSCRIBE, b"\n"].concat();
        let (miner, pool) = self.meet(self.trust(), &line).await;
        let mut pool = sv1(pool);
        assert_eq!(next_line(&mut pool).await, SUBSCRIBE);
        (miner.unwrap(), pool)
    }
}

fn sv1(accepted: Result<Accepted, AcceptError>) -> LineStream {
    match accepted {
        Ok(Accepted::Sv1(stream)) => stream,
        other => panic!("not Stratum V1: {other:?}"),
    }
}

async fn next_line(stream: &mut LineStream) -> Vec<u8> {
    loop {
        if let Some(line) = stream.next_line().unwrap() {
            return line.to_vec();
        }
        assert_eq!(stream.fill().await.unwrap(), Filled::Bytes);
    }
}

#[tokio::test]
async fn three_kinds_of_miners_are_served_on_one_port() {
    let server = Server::serving(Protocols::USUAL).await;
    let (mut miner, mut pool) = server.connected().await;
    assert!(pool.socket().is_tls() && miner.socket().is_tls());
    assert!(pool.socket().tcp().nodelay().unwrap());
    pool.queue_line(b"{\"id\":1,\"result\":true}").unwrap();
    pool.flush().await.unwrap();
    assert_eq!(next_line(&mut miner).await, b"{\"id\":1,\"result\":true}");

    let dialer = Dialer::default();
    let endpoint = server.endpoint();
    let clear = async {
        let mut stream = dialer.sv1(&endpoint).await.unwrap();
        stream.queue_line(SUBSCRIBE).unwrap();
        stream.flush().await.unwrap();
        stream
    };
    let (_clear, accepted) = tokio::join!(clear, server.accept());
    assert!(!sv1(accepted).socket().is_tls());
    let trust = Trust::Authority(server.ring.authority());
    let (noise, accepted) = tokio::join!(dialer.sv2(&endpoint, trust), server.accept());
    noise.unwrap();
    assert!(matches!(accepted, Ok(Accepted::Sv2(_))), "{accepted:?}");
}

/// Passes on what both sides say, to the pool in pieces of `piece` bytes.
async fn relay(miner: TcpStream, pool: SocketAddr, piece: usize) {
    let pool = TcpStream::connect(pool).await.unwrap();
    pool.set_nodelay(true).unwrap();
    let (mut from_miner, mut to_miner) = miner.into_split();
    let (mut from_pool, mut to_pool) = pool.into_split();
    let up = async {
        let mut bytes = vec![0; piece];
        loop {
            let len = from_miner.read(&mut bytes).await.unwrap_or(0);
            if len == 0 || to_pool.write_all(&bytes[..len]).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let down = async {
        // The miner may be gone.
        let _ = tokio::io::copy(&mut from_pool, &mut to_miner).await;
    };
    tokio::join!(up, down);
}

#[tokio::test]
async fn a_handshake_in_small_pieces_is_a_handshake() {
    let server = Server::serving(Protocols::USUAL).await;
    for piece in [1, 5, 9, 63, 200] {
        let between = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = between.local_addr().unwrap().port();
        let pool = server.address;
        let relaying = tokio::spawn(async move {
            let (miner, _) = between.accept().await.unwrap();
            relay(miner, pool, piece).await;
        });
        let endpoint = Endpoint::new("127.0.0.1", port).unwrap();
        let dialer = Dialer::default();
        let dial = async {
            let mut stream = dialer.sv1_tls(&endpoint, server.trust()).await.unwrap();
            stream.queue_line(SUBSCRIBE).unwrap();
            stream.flush().await.unwrap();
            stream
        };
        let (miner, accepted) = tokio::join!(dial, server.accept());
        assert_eq!(next_line(&mut sv1(accepted)).await, SUBSCRIBE);
        drop(miner);
        relaying.await.unwrap();
    }
}

#[tokio::test]
async fn a_pool_that_has_another_certificate_is_not_trusted() {
    let server = Server::serving(Protocols::USUAL).await;
    let before = server.trust();
    server.tls.send_replace(identity());
    let (miner, _) = server.meet(before, b"").await;
    let error = miner.unwrap_err();
    assert!(matches!(error, DialError::Certificate { .. }), "{error}");
    // The new one serves at once, and so does whatever there is where nobody asks.
    server.connected().await;
    let (miner, _) = server.meet(TlsTrust::Anyone, SUBSCRIBE).await;
    miner.unwrap();
}

#[tokio::test]
async fn tls_is_served_where_the_port_has_it_and_clear_text_where_it_has_that() {
    let without = Protocols {
        sv1_tls: false,
        ..Protocols::USUAL
    };
    let server = Server::serving(without).await;
    let (miner, accepted) = server.meet(server.trust(), b"").await;
    assert!(matches!(accepted, Err(AcceptError::Tls)), "{accepted:?}");
    assert!(miner.is_err());

    let server = Server::serving(TLS_ALONE).await;
    server.connected().await;
    let mut clear = TcpStream::connect(server.address).await.unwrap();
    clear.write_all(SUBSCRIBE).await.unwrap();
    let accepted = server.accept().await;
    assert!(
        matches!(accepted, Err(AcceptError::ClearSv1)),
        "{accepted:?}"
    );
}

#[tokio::test]
async fn in_tls_there_is_stratum_v1_alone_and_silence_is_nothing() {
    let server = Server::serving(Protocols::USUAL).await;
    for foreign in [
        &[0x5a; 64][..],
        b"GET / HTTP/1.1\r\nHost: pool.example\r\n\r\n",
    ] {
        let (_miner, accepted) = server.meet(server.trust(), foreign).await;
        let error = accepted.unwrap_err();
        assert!(matches!(error, AcceptError::ForeignInTls), "{error}");
    }
    let dialer = Dialer::default();
    let endpoint = server.endpoint();
    let probe = async { drop(dialer.sv1_tls(&endpoint, server.trust()).await.unwrap()) };
    let ((), accepted) = tokio::join!(probe, server.accept());
    assert!(matches!(accepted, Ok(Accepted::Nothing)), "{accepted:?}");
}

#[tokio::test]
async fn what_only_looks_like_a_hello_fails_and_a_slow_one_meets_its_deadline() {
    let server = Server::new(AcceptSettings {
        handshake_deadline: Duration::from_millis(300),
        ..AcceptSettings::default()
    })
    .await;
    let mut hello = vec![22, 3, 1, 0, 40, 1, 0, 0, 36, 3, 3];
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(&hello).await.unwrap();
    let accepted = server.accept().await;
    assert!(
        matches!(accepted, Err(AcceptError::Deadline)),
        "{accepted:?}"
    );
    hello.resize(45, 0xff);
    let mut wrong = TcpStream::connect(server.address).await.unwrap();
    wrong.write_all(&hello).await.unwrap();
    let accepted = server.accept().await;
    assert!(
        matches!(accepted, Err(AcceptError::TlsHandshake(_))),
        "{accepted:?}"
    );
    // Neither keeps the others from their handshakes.
    server.connected().await;
}

#[tokio::test]
async fn a_miner_that_leaves_without_farewell_has_left() {
    let server = Server::serving(Protocols::USUAL).await;
    let (mut miner, mut pool) = server.connected().await;
    pool.queue_line(b"{}").unwrap();
    pool.flush().await.unwrap();
    // What is not read when a socket is closed would reset the connection.
    assert_eq!(next_line(&mut miner).await, b"{}");
    drop(miner);
    let left = loop {
        match pool.fill().await {
            Ok(Filled::Bytes) => {}
            left => break left,
        }
    };
    assert!(matches!(left, Ok(Filled::Closed)), "{left:?}");
}

#[tokio::test]
async fn a_miner_that_does_not_read_is_not_waited_for() {
    let server = Server::serving(Protocols::USUAL).await;
    let (_miner, mut pool) = server.connected().await;
    let line = vec![b'x'; 16_000];
    let error = loop {
        if let Err(error) = pool.queue_line(&line) {
            break error;
        }
        tokio::select! {
            biased;
            filled = pool.fill() => panic!("nobody said anything: {filled:?}"),
            () = std::future::ready(()) => {}
        }
    };
    assert!(
        matches!(error, TransportError::SlowReader { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn handshakes_at_once_are_all_answered() {
    let server = Server::serving(Protocols::USUAL).await;
    let dialer = Dialer::default();
    let endpoint = server.endpoint();
    let miners = (0..20).map(|_| {
        let (dialer, endpoint, trust) = (dialer.clone(), endpoint.clone(), server.trust());
        tokio::spawn(async move {
            let mut stream = dialer.sv1_tls(&endpoint, trust).await.unwrap();
            stream.queue_line(SUBSCRIBE).unwrap();
            stream.flush().await.unwrap();
            stream
        })
    });
    let miners: Vec<_> = miners.collect();
    let mut pools = Vec::new();
    for _ in &miners {
        let (socket, _) = server.listener.accept().await.unwrap();
        let acceptor = server.acceptor.clone();
        pools.push(tokio::spawn(async move { acceptor.accept(socket).await }));
    }
    for pool in pools {
        assert_eq!(next_line(&mut sv1(pool.await.unwrap())).await, SUBSCRIBE);
    }
    for miner in miners {
        miner.await.unwrap();
    }
}
