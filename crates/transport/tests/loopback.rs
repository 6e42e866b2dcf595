//! Acceptor and dialer over real sockets on 127.0.0.1.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use headframe_sv2_noise::{
    ACT1_LEN, ACT2_LEN, AuthoritySecretKey, Certificate, CertificateError, HandshakeError,
    Initiator, KeyRing, NoiseKey, StaticIdentity, Trust,
};
use headframe_transport::{
    AcceptError, AcceptSettings, Accepted, Acceptor, CurvePool, DialError, DialSettings, Dialer,
    Endpoint, Filled, FrameStream, LineStream, Protocols, SHUTDOWN_DEADLINE, TransportError,
};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const SUBSCRIBE: &[u8] = b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n";
const SETUP: &[u8] = b"\0\0\0\x1d\0\0\0\x02\0\x02\0\0\0\0\0\x09localhost\x05\x0d\x03KAT\x01h\0\0";

struct Server {
    acceptor: Acceptor,
    identity: watch::Sender<Arc<StaticIdentity>>,
    ring: KeyRing,
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    async fn new(settings: AcceptSettings) -> Self {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let now = u32::try_from(now.as_secs()).unwrap();
        let ring = KeyRing::create([1; 32], [2; 32], &[3; 32], now).unwrap();
        let (identity, receiver) = watch::channel(Arc::new(ring.identity()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = Acceptor::new(settings, receiver, CurvePool::new());
        Self {
            acceptor,
            identity,
            ring,
            listener,
            address,
        }
    }

    async fn default() -> Self {
        Self::new(AcceptSettings::default()).await
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::new("127.0.0.1", self.address.port()).unwrap()
    }

    fn trust(&self) -> Trust {
        Trust::Authority(self.ring.authority())
    }

    /// A client's bare socket, and what becomes of it on this side.
    async fn connect(&self) -> (TcpStream, JoinHandle<Result<Accepted, AcceptError>>) {
        let client = TcpStream::connect(self.address).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (socket, _) = self.listener.accept().await.unwrap();
        let acceptor = self.acceptor.clone();
        (
            client,
            tokio::spawn(async move { acceptor.accept(socket).await }),
        )
    }

    /// A listed proxy's bare socket, which has sent `bytes`, and what becomes of it on this side.
    async fn forward(
        &self,
        bytes: &[u8],
    ) -> (
        TcpStream,
        JoinHandle<Result<Option<(SocketAddr, Accepted)>, AcceptError>>,
    ) {
        let mut proxy = TcpStream::connect(self.address).await.unwrap();
        proxy.write_all(bytes).await.unwrap();
        let (socket, _) = self.listener.accept().await.unwrap();
        let acceptor = self.acceptor.clone();
        let accept = async move {
            let Some(forwarded) = acceptor.read_proxy_header(socket).await? else {
                return Ok(None);
            };
            let source = forwarded.source();
            let accepted = acceptor.accept_forwarded(forwarded).await?;
            Ok(Some((source, accepted)))
        };
        (proxy, tokio::spawn(accept))
    }

    async fn accept(&self) -> Result<Accepted, AcceptError> {
        let (socket, _) = self.listener.accept().await.unwrap();
        self.acceptor.accept(socket).await
    }
}

fn sv1(accepted: Result<Accepted, AcceptError>) -> LineStream {
    match accepted {
        Ok(Accepted::Sv1(stream)) => stream,
        other => panic!("not Stratum V1: {other:?}"),
    }
}

fn sv2(accepted: Result<Accepted, AcceptError>) -> FrameStream {
    match accepted {
        Ok(Accepted::Sv2(stream)) => stream,
        other => panic!("not Stratum V2: {other:?}"),
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

async fn next_frame(stream: &mut FrameStream) -> Vec<u8> {
    loop {
        if let Some(frame) = stream.next_frame().unwrap() {
            return frame.to_vec();
        }
        assert_eq!(stream.fill().await.unwrap(), Filled::Bytes);
    }
}

/// What a client still receives before its connection ends, however it ends.
async fn leftovers(mut client: TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    let _ = client.read_to_end(&mut received).await;
    received
}

#[tokio::test]
async fn both_protocols_are_served_on_one_port() {
    let server = Server::default().await;
    let dialer = Dialer::default();

    let (client, accepted) = tokio::join!(
        async {
            let mut client = dialer.sv1(&server.endpoint()).await.unwrap();
            client.queue_lines(SUBSCRIBE).unwrap();
            client.flush().await.unwrap();
            client
        },
        server.accept()
    );
    let (mut client, mut line) = (client, sv1(accepted));
    let sockets = [line.socket(), client.socket()];
    assert!(sockets.iter().all(|socket| socket.tcp().nodelay().unwrap()));
    assert_eq!(next_line(&mut line).await, SUBSCRIBE.trim_ascii_end());
    line.queue_line(b"{\"id\":1,\"result\":true}").unwrap();
    line.flush().await.unwrap();
    assert_eq!(next_line(&mut client).await, b"{\"id\":1,\"result\":true}");

    let endpoint = server.endpoint();
    let (client, accepted) = tokio::join!(dialer.sv2(&endpoint, server.trust()), server.accept());
    let (mut client, mut miner) = (client.unwrap(), sv2(accepted));
    assert!(miner.is_sealed() && miner.socket().nodelay().unwrap());
    client.queue_frame(SETUP).unwrap();
    client.flush().await.unwrap();
    assert_eq!(next_frame(&mut miner).await, SETUP);
    miner.queue_frame(&[0, 0, 1, 0, 0, 0]).unwrap();
    let closing = tokio::spawn(miner.shutdown(SHUTDOWN_DEADLINE));
    assert_eq!(next_frame(&mut client).await, [0, 0, 1, 0, 0, 0]);
    assert_eq!(client.fill().await.unwrap(), Filled::Closed);
    drop(client);
    closing.await.unwrap();
}

#[tokio::test]
async fn act_1_byte_by_byte_and_a_hundred_frames_at_once() {
    let server = Server::default().await;
    let (mut client, accepting) = server.connect().await;
    let key = NoiseKey::new([4; 32], [5; 32]).unwrap();
    let (initiator, act1) = Initiator::start(Trust::Anyone, key);
    for byte in act1 {
        client.write_all(&[byte]).await.unwrap();
    }
    let mut act2 = [0; ACT2_LEN];
    client.read_exact(&mut act2).await.unwrap();
    let mut record = initiator.finish(&act2, 0).unwrap().record;
    let mut wire = Vec::new();
    for _ in 0..100 {
        record.sealer.seal_frame(SETUP, &mut wire).unwrap();
    }
    client.write_all(&wire).await.unwrap();
    let mut miner = sv2(accepting.await.unwrap());
    for _ in 0..100 {
        assert_eq!(next_frame(&mut miner).await, SETUP);
    }
}

#[tokio::test]
async fn act_1_that_begins_with_a_brace_is_answered() {
    let server = Server::default().await;
    let mut braces = 0;
    for secret in 1..=255_u8 {
        for aux in 0..8_u8 {
            let key = NoiseKey::new([secret; 32].map(|b| b % 0xf0), [aux; 32]);
            let Ok(key) = key else { continue };
            if key.encoding()[0] != b'{' || braces >= 3 {
                continue;
            }
            braces += 1;
            let (mut client, accepting) = server.connect().await;
            let (initiator, act1) = Initiator::start(Trust::Anyone, key);
            let (first, rest) = act1.split_at(1 + usize::from(aux));
            client.write_all(first).await.unwrap();
            client.write_all(rest).await.unwrap();
            let mut act2 = [0; ACT2_LEN];
            client.read_exact(&mut act2).await.unwrap();
            assert!(initiator.finish(&act2, 0).is_ok());
            assert!(sv2(accepting.await.unwrap()).is_sealed());
        }
    }
    assert!(braces > 0, "no encoding began with a brace");
}

#[tokio::test]
async fn an_sv1_client_that_dribbles_a_short_request_is_answered_at_its_line_feed() {
    let server = Server::default().await;
    let (mut client, accepting) = server.connect().await;
    let request = b"\xef\xbb\xbf \r\n{\"id\":1,\"method\":\"\"}\n";
    for byte in request {
        client.write_all(&[*byte]).await.unwrap();
    }
    let mut stream = sv1(accepting.await.unwrap());
    assert_eq!(next_line(&mut stream).await, b"{\"id\":1,\"method\":\"\"}");
}

#[tokio::test]
async fn a_connection_that_closes_without_a_byte_is_no_event() {
    let server = Server::default().await;
    let (client, accepting) = server.connect().await;
    drop(client);
    assert!(matches!(accepting.await.unwrap(), Ok(Accepted::Nothing)));
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_is_told_of() {
    let server = Server::default().await;
    for len in [1, 9, ACT1_LEN - 1] {
        let (mut client, accepting) = server.connect().await;
        client.write_all(&vec![0x5a; len]).await.unwrap();
        drop(client);
        let left = accepting.await.unwrap().unwrap_err();
        assert!(
            matches!(left, AcceptError::ClosedEarly { received } if received == len),
            "{left}"
        );
    }
}

#[tokio::test]
async fn a_silent_client_meets_the_deadline_and_disturbs_nobody() {
    let settings = AcceptSettings {
        handshake_deadline: Duration::from_secs(1),
        ..AcceptSettings::default()
    };
    let server = Server::new(settings).await;
    let (silent, waiting) = server.connect().await;
    let (mut slow, dribbling) = server.connect().await;
    slow.write_all(b"{").await.unwrap();
    let (mut prompt, accepting) = server.connect().await;
    prompt.write_all(SUBSCRIBE).await.unwrap();
    assert_eq!(
        next_line(&mut sv1(accepting.await.unwrap())).await,
        SUBSCRIBE.trim_ascii_end()
    );
    for (client, accepting) in [(silent, waiting), (slow, dribbling)] {
        assert!(matches!(
            accepting.await.unwrap(),
            Err(AcceptError::Deadline)
        ));
        assert!(leftovers(client).await.is_empty());
    }
}

#[tokio::test]
async fn tls_and_plaintext_are_refused_by_name_and_without_an_answer() {
    let mut hello = vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    hello.resize(517, 0xaa);
    let server = Server::default().await;
    for (bytes, tls) in [(hello.as_slice(), true), (SETUP, false)] {
        let (mut client, accepting) = server.connect().await;
        client.write_all(bytes).await.unwrap();
        let refused = accepting.await.unwrap().unwrap_err();
        match tls {
            true => assert!(matches!(refused, AcceptError::Tls)),
            false => assert!(matches!(refused, AcceptError::Plaintext)),
        }
        assert!(leftovers(client).await.is_empty());
    }
}

#[tokio::test]
async fn what_a_port_does_not_serve_is_refused_by_name_and_the_rest_is_served() {
    let only = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        AcceptSettings {
            protocols: Protocols::parse(&names).unwrap(),
            ..AcceptSettings::default()
        }
    };
    let act1 = [0x5a; ACT1_LEN];
    for (served, bytes, error) in [
        (
            "sv2",
            SUBSCRIBE,
            Some("speaks Stratum V1, which this port does not"),
        ),
        ("sv2", &act1, None),
        ("sv1", &act1, Some("does not speak Stratum V1")),
        ("sv1", SETUP, Some("does not speak Stratum V1")),
        ("sv1", SUBSCRIBE, None),
        ("sv2_plain", SETUP, None),
        ("sv2_plain", &act1, Some("does not speak Stratum V1")),
    ] {
        let server = Server::new(only(&[served])).await;
        let (mut client, accepting) = server.connect().await;
        client.write_all(bytes).await.unwrap();
        let refused = accepting.await.unwrap().err().map(|it| it.to_string());
        match (error, refused) {
            (None, None) => {}
            (Some(expected), Some(refused)) => {
                assert!(refused.contains(expected), "{served}: {refused}");
                assert!(leftovers(client).await.is_empty(), "nothing is answered");
            }
            (expected, refused) => panic!("{served}: {expected:?}, {refused:?}"),
        }
    }
}

#[tokio::test]
async fn plaintext_sv2_is_served_where_it_is_allowed() {
    let settings = AcceptSettings {
        protocols: Protocols {
            plaintext_sv2: true,
            ..Protocols::USUAL
        },
        ..AcceptSettings::default()
    };
    let server = Server::new(settings).await;
    let (mut client, accepting) = server.connect().await;
    client.write_all(SETUP).await.unwrap();
    let mut stream = sv2(accepting.await.unwrap());
    assert!(!stream.is_sealed());
    assert_eq!(next_frame(&mut stream).await, SETUP);
    stream.queue_frame(&[0, 0, 1, 0, 0, 0]).unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    assert_eq!(leftovers(client).await, [0, 0, 1, 0, 0, 0]);

    let endpoint = server.endpoint();
    let dialer = Dialer::default();
    let (client, accepted) = tokio::join!(dialer.sv2(&endpoint, server.trust()), server.accept());
    assert!(client.unwrap().is_sealed() && sv2(accepted).is_sealed());
}

#[tokio::test]
async fn garbage_is_answered_like_any_act_1_and_then_closed() {
    let server = Server::default().await;
    let (mut client, accepting) = server.connect().await;
    client.write_all(&[0xa7; 200]).await.unwrap();
    let mut stream = sv2(accepting.await.unwrap());
    let refused = loop {
        match stream.next_frame() {
            Ok(None) => assert_eq!(stream.fill().await.unwrap(), Filled::Bytes),
            Ok(Some(_)) => panic!("garbage made a frame"),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, TransportError::Open(_)));
    drop(stream);
    assert_eq!(leftovers(client).await.len(), ACT2_LEN);
}

#[tokio::test]
async fn a_json_line_of_a_mebibyte_is_refused_at_the_limit() {
    let server = Server::default().await;
    let (mut client, accepting) = server.connect().await;
    let writing = tokio::spawn(async move {
        let mut line = vec![b' '; 1 << 20];
        line[..SUBSCRIBE.len() - 1].copy_from_slice(SUBSCRIBE.trim_ascii_end());
        // The server closes in the middle.
        let _ = client.write_all(&line).await;
    });
    let mut stream = sv1(accepting.await.unwrap());
    let refused = loop {
        match stream.next_line() {
            Ok(None) => assert_eq!(stream.fill().await.unwrap(), Filled::Bytes),
            Ok(Some(_)) => panic!("a line without an end"),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(
        refused,
        TransportError::LineTooLong { limit: 16_384 }
    ));
    drop(stream);
    writing.await.unwrap();
}

#[tokio::test]
async fn a_renewed_identity_serves_new_connections_and_the_old_stay() {
    let mut server = Server::default().await;
    let endpoint = server.endpoint();
    let dialer = Dialer::default();
    let (old, accepted) = tokio::join!(dialer.sv2(&endpoint, server.trust()), server.accept());
    let (mut old, mut old_miner) = (old.unwrap(), sv2(accepted));

    let now = server.ring.certificate().valid_from() + 3_600;
    server.ring = server.ring.rotate([9; 32], &[3; 32], now).unwrap().unwrap();
    server
        .identity
        .send_replace(Arc::new(server.ring.identity()));
    let (new, accepted) = tokio::join!(dialer.sv2(&endpoint, server.trust()), server.accept());
    assert!(new.is_ok() && accepted.is_ok());

    old.queue_frame(SETUP).unwrap();
    old.flush().await.unwrap();
    assert_eq!(next_frame(&mut old_miner).await, SETUP);
}

#[tokio::test]
async fn a_client_refuses_the_wrong_authority_and_says_so() {
    let server = Server::default().await;
    let other = AuthoritySecretKey::from_bytes([9; 32]).unwrap().public();
    let endpoint = server.endpoint();
    let dialer = Dialer::default();
    let (dialled, _accepted) = tokio::join!(
        dialer.sv2(&endpoint, Trust::Authority(other)),
        server.accept()
    );
    let error = dialled.unwrap_err();
    assert!(
        matches!(
            error,
            DialError::Handshake {
                error: HandshakeError::Certificate(CertificateError::Signature),
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_client_refuses_an_expired_certificate_unless_it_trusts_anyone() {
    let server = Server::default().await;
    let authority = AuthoritySecretKey::from_bytes([1; 32]).unwrap();
    let key = NoiseKey::with_fixed_encoding([2; 32]).unwrap();
    let expired = Certificate::sign(&authority, &key.public(), 1, 1_000, &[0; 32]);
    server
        .identity
        .send_replace(Arc::new(StaticIdentity::new(key, expired)));
    let endpoint = server.endpoint();
    let dialer = Dialer::default();
    let (dialled, _) = tokio::join!(dialer.sv2(&endpoint, server.trust()), server.accept());
    assert!(matches!(
        dialled.unwrap_err(),
        DialError::Handshake {
            error: HandshakeError::Certificate(CertificateError::Expired { .. }),
            ..
        }
    ));
    let (dialled, _) = tokio::join!(dialer.sv2(&endpoint, Trust::Anyone), server.accept());
    assert!(dialled.is_ok());
}

#[tokio::test]
async fn servers_that_do_not_shake_hands_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::new("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    let settings = DialSettings {
        handshake_deadline: Duration::from_millis(200),
        ..DialSettings::default()
    };
    let impatient = Dialer::new(settings, CurvePool::new());
    let silent = tokio::join!(impatient.sv2(&endpoint, Trust::Anyone), listener.accept());
    assert!(matches!(silent.0, Err(DialError::Deadline { .. })));
    let dialer = Dialer::default();

    let closing = tokio::join!(dialer.sv2(&endpoint, Trust::Anyone), async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.read_exact(&mut [0; ACT1_LEN]).await.unwrap();
    });
    assert!(matches!(closing.0, Err(DialError::Closed { .. })));

    let babbling = tokio::join!(dialer.sv2(&endpoint, Trust::Anyone), async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(&[7; ACT2_LEN]).await.unwrap();
        socket
    });
    assert!(matches!(
        babbling.0,
        Err(DialError::Handshake {
            error: HandshakeError::Forged,
            ..
        })
    ));

    drop(listener);
    let nobody = dialer.sv1(&endpoint).await.unwrap_err();
    assert!(matches!(nobody, DialError::Connect { .. }));
    assert!(nobody.to_string().contains(&endpoint.to_string()));
}

/// All of 127.0.0.0/8 is this machine on Linux; elsewhere only 127.0.0.1.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_comes_from_the_address_that_was_set() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::new("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    for source in ["127.0.0.1", "127.0.0.9"] {
        let source = Some(source.parse().unwrap());
        let settings = DialSettings {
            source,
            ..DialSettings::default()
        };
        let dialer = Dialer::new(settings, CurvePool::new());
        let (dialled, accepted) = tokio::join!(dialer.sv1(&endpoint), listener.accept());
        assert!(dialled.is_ok());
        assert_eq!(Some(accepted.unwrap().1.ip()), source);
    }
}

#[tokio::test]
async fn ipv6_is_served_where_the_machine_has_it() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        eprintln!("skipped: this machine has no IPv6 loopback");
        return;
    };
    let server = Server {
        listener,
        ..Server::default().await
    };
    let port = server.listener.local_addr().unwrap().port();
    let endpoint = Endpoint::new("::1", port).unwrap();
    let dialer = Dialer::default();
    let (client, accepted) = tokio::join!(dialer.sv2(&endpoint, server.trust()), server.accept());
    assert!(client.is_ok() && accepted.is_ok());
}

const HEADER: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 40000 3333\r\n";

#[tokio::test]
async fn behind_a_proxy_s_header_all_is_as_without() {
    let server = Server::default().await;
    let source: SocketAddr = "203.0.113.7:40000".parse().unwrap();
    // In one segment, and byte by byte.
    let (_proxy, accepted) = server.forward(&[HEADER, SUBSCRIBE].concat()).await;
    let (from, accepted) = accepted.await.unwrap().unwrap().unwrap();
    assert_eq!(from, source);
    assert_eq!(
        next_line(&mut sv1(Ok(accepted))).await,
        SUBSCRIBE.trim_ascii_end()
    );
    let (mut proxy, accepted) = server.forward(&[]).await;
    for byte in [HEADER, SUBSCRIBE].concat() {
        proxy.write_all(&[byte]).await.unwrap();
    }
    let (from, accepted) = accepted.await.unwrap().unwrap().unwrap();
    assert_eq!(from, source);
    assert_eq!(
        next_line(&mut sv1(Ok(accepted))).await,
        SUBSCRIBE.trim_ascii_end()
    );

    let (mut proxy, accepted) = server.forward(HEADER).await;
    proxy.write_all(&[0x5a; ACT1_LEN]).await.unwrap();
    proxy.read_exact(&mut [0; ACT2_LEN]).await.unwrap();
    let (from, accepted) = accepted.await.unwrap().unwrap().unwrap();
    assert_eq!(from, source);
    assert!(sv2(Ok(accepted)).is_sealed());
}

#[tokio::test]
async fn a_proxy_that_speaks_for_itself_is_the_source() {
    let server = Server::default().await;
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let (proxy, accepted) = server.forward(&[local, SUBSCRIBE].concat()).await;
    let (from, _) = accepted.await.unwrap().unwrap().unwrap();
    assert_eq!(from, proxy.local_addr().unwrap());
    // A look whether the pool is there.
    let (proxy, accepted) = server.forward(&[]).await;
    drop(proxy);
    assert!(matches!(accepted.await.unwrap(), Ok(None)));
}

#[tokio::test]
async fn a_header_is_demanded_of_who_is_listed_and_not_believed_of_others() {
    let server = Server::default().await;
    let (proxy, refused) = server.forward(SUBSCRIBE).await;
    let refused = refused.await.unwrap().unwrap_err();
    assert!(matches!(refused, AcceptError::ProxyHeader(_)), "{refused}");
    assert_eq!(leftovers(proxy).await, b"");
    let (mut client, refused) = server.connect().await;
    client
        .write_all(&[HEADER, SUBSCRIBE].concat())
        .await
        .unwrap();
    let refused = refused.await.unwrap().unwrap_err();
    assert!(matches!(refused, AcceptError::UnlistedProxy), "{refused}");
    assert_eq!(leftovers(client).await, b"");
}

/// In clear only to near addresses, and it is the source's that counts.
#[tokio::test]
async fn stratum_v2_in_clear_is_not_served_through_a_near_proxy() {
    let settings = AcceptSettings {
        protocols: Protocols {
            plaintext_sv2: true,
            ..Protocols::USUAL
        },
        ..AcceptSettings::default()
    };
    let server = Server::new(settings).await;
    let (_proxy, refused) = server.forward(&[HEADER, SETUP].concat()).await;
    let refused = refused.await.unwrap().unwrap_err();
    assert!(matches!(refused, AcceptError::Plaintext), "{refused}");
    let near = b"PROXY TCP4 10.0.0.7 198.51.100.1 40000 3333\r\n";
    let (_proxy, accepted) = server.forward(&[&near[..], SETUP].concat()).await;
    assert!(accepted.await.unwrap().unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_sends_no_header_meets_the_deadline() {
    let server = Server::default().await;
    let (_proxy, refused) = server.forward(&HEADER[..20]).await;
    let refused = refused.await.unwrap().unwrap_err();
    assert!(matches!(refused, AcceptError::Deadline), "{refused}");
}

/// A rig that is gone without a word is noticed by TCP, over either protocol and behind a proxy.
#[tokio::test]
async fn who_vanishes_is_asked_whether_he_is_there() {
    let server = Server::default().await;
    let (mut client, accepting) = server.connect().await;
    client.write_all(SUBSCRIBE).await.unwrap();
    let direct = sv1(accepting.await.unwrap());
    assert_asked(direct.socket().tcp());

    let dialer = Dialer::default();
    let endpoint = server.endpoint();
    let (_miner, accepted) = tokio::join!(dialer.sv2(&endpoint, server.trust()), server.accept());
    assert_asked(sv2(accepted).socket());

    let (_proxy, accepting) = server.forward(&[HEADER, SUBSCRIBE].concat()).await;
    let (_, accepted) = accepting.await.unwrap().unwrap().unwrap();
    assert_asked(sv1(Ok(accepted)).socket().tcp());
}

fn assert_asked(socket: &TcpStream) {
    let socket = SockRef::from(socket);
    assert!(socket.keepalive().unwrap());
    assert_eq!(
        socket.tcp_keepalive_time().unwrap(),
        Duration::from_secs(60)
    );
    assert_eq!(
        socket.tcp_keepalive_interval().unwrap(),
        Duration::from_secs(10)
    );
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 6);
    #[cfg(target_os = "linux")]
    assert_eq!(
        socket.tcp_user_timeout().unwrap(),
        Some(Duration::from_secs(120))
    );
}
