//! What one address may take of the pool. The addresses are those that a proxy tells.

use std::net::SocketAddr;

use headframe_api::Severity;
use headframe_ledger::Ledger as _;
use headframe_server::AccessSettings;
use headframe_testkit::{Device as _, Sv2Miner};
use headframe_transport::AddressSet;
use headframe_work::UnixTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::client::{Sv1Client, Sv2Client, user};
use crate::fakes::FakeLedger;
use crate::harness::{Setup, TestPool};

pub(crate) const FARM: &str = "203.0.113.7";
pub(crate) const STRANGER: &str = "198.51.100.9";
const SUBSCRIBE: &[u8] = b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n";
/// Connections of the pool; half of them may be one address's before its first share.
pub(crate) const ROOM: usize = 240;

/// A pool to which this computer is a proxy.
pub(crate) fn behind_a_proxy() -> Setup {
    Setup {
        max_connections: ROOM,
        access: AccessSettings {
            unlimited: AddressSet::NONE,
            proxies: AddressSet::parse(&["127.0.0.1".to_owned()]).unwrap(),
        },
        ..Setup::for_shares()
    }
}

pub(crate) fn header(source: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} 192.0.2.1 50000 3333\r\n").into_bytes()
}

/// The same address in the binary form.
fn binary_header(source: [u8; 4]) -> Vec<u8> {
    let head = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    [&head[..], &source, &[192, 0, 2, 1, 0xc3, 0x50, 13, 5]].concat()
}

/// A proxy before the pool that begins each connection with `header`.
pub(crate) async fn proxy(pool: &TestPool, header: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, pool) = (listener.local_addr().unwrap(), pool.address());
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let header = header.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(pool).await.unwrap();
                far.write_all(&header).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

/// Connects, sends `bytes`, and waits until the pool closes the connection; gives its answer.
async fn until_closed(pool: &TestPool, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(pool.address()).await.unwrap();
    // The pool may have closed the connection before it has read everything.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    answer
}

/// Logs in and submits a share.
pub(crate) async fn mine_sv1(address: SocketAddr, user: &str) -> Sv1Client {
    let mut miner = Sv1Client::dial(address).await;
    miner.miner.log_in(user);
    assert!(miner.until(|miner| !miner.jobs.is_empty()).await);
    miner.mine_share(user).await;
    miner
}

/// The flood logs in and never submits; it would stay for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farm_mines_while_a_flood_from_another_address_is_held_off() {
    let pool = behind_a_proxy().start().await;
    let hello = [&header(STRANGER), SUBSCRIBE].concat();
    let mut flood = Vec::new();
    for _ in 0..ROOM + 30 {
        let mut socket = TcpStream::connect(pool.address()).await.unwrap();
        let _ = socket.write_all(&hello).await;
        flood.push(socket);
    }
    let mut served = Vec::new();
    for mut socket in flood {
        if matches!(socket.read(&mut [0; 512]).await, Ok(1..)) {
            served.push(socket);
        }
    }
    assert_eq!(
        served.len(),
        ROOM / 2,
        "the rest is closed without an answer"
    );
    let farm = proxy(&pool, header(FARM)).await;
    let miners: Vec<_> = (0..50)
        .map(|number| tokio::spawn(async move { mine_sv1(farm, &user(number)).await }))
        .collect();
    for miner in miners {
        miner.await.unwrap();
    }
    let shown = pool.shows(|it| it.summary.shares.accepted == 50).await;
    let alarms = &shown.summary.alarms;
    assert!(alarms.iter().all(|it| it.code != "address_banned"));
    drop(served);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_nonsense_again_and_again_is_banned_across_a_restart() {
    let ledger = FakeLedger::new();
    let setup = || Setup {
        ledger: ledger.boxed(),
        ..behind_a_proxy()
    };
    let pool = setup().start().await;
    let line = b"{\"id\": 1, \"method\": \"mining.subscribe\", \"params\": [}\n".repeat(10);
    let nonsense = [header(STRANGER), line].concat();
    for connection in 0..=10 {
        let answer = until_closed(&pool, &nonsense).await;
        assert!(!answer.is_empty(), "connection {connection} is answered");
    }
    assert_eq!(until_closed(&pool, &nonsense).await, b"", "it is banned");
    let is_banned = |it: &headframe_api::Alarm| it.code == "address_banned";
    let shown = pool
        .shows(|it| it.summary.alarms.iter().any(is_banned))
        .await;
    let alarm = shown
        .summary
        .alarms
        .iter()
        .find(|it| is_banned(it))
        .unwrap();
    assert!(alarm.detail.starts_with(STRANGER), "{}", alarm.detail);
    assert_eq!(alarm.severity, Severity::Notice);
    let farm = proxy(&pool, header(FARM)).await;
    drop(mine_sv1(farm, &user(1)).await);
    pool.stop().await;

    let bans = ledger.memory().bans(UnixTime::from_secs(0)).unwrap();
    let known: Vec<_> = bans
        .iter()
        .map(|ban| (ban.address.to_string(), ban.times))
        .collect();
    assert_eq!(known, [(STRANGER.to_owned(), 1)]);
    let restarted = setup().start().await;
    assert_eq!(until_closed(&restarted, &nonsense).await, b"");
    restarted
        .shows(|it| it.summary.alarms.iter().any(is_banned))
        .await;
    restarted.stop().await;
}

/// Who guesses a listener's password is banned after some guesses; a farm one of whose devices has a
/// mistyped one, and says it for ever, mines on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_guesses_a_password_is_banned_and_who_mistypes_it_is_not() {
    let setup = Setup {
        // What the scripted miner says.
        password: Some("x"),
        ..behind_a_proxy()
    };
    let pool = setup.start().await;
    let says = |password: String| {
        let user = user(1);
        format!(
            "{{\"id\":1,\"method\":\"mining.authorize\",\"params\":[\"{user}\",\"{password}\"]}}\n"
        )
    };
    let farm = proxy(&pool, header(FARM)).await;
    let mut mistyped = Sv1Client::dial(farm).await;
    for _ in 0..200 {
        mistyped.miner.send(says("y".to_owned()).trim_end());
    }
    mistyped.miner.send(r#"{"id":2,"method":"mining.ping"}"#);
    assert!(
        mistyped
            .until(|miner| miner.replies.contains_key("2"))
            .await
    );

    let guesses: String = (0..200).map(|number| says(number.to_string())).collect();
    let guesses = [header(STRANGER), guesses.into_bytes()].concat();
    let answer = String::from_utf8(until_closed(&pool, &guesses).await).unwrap();
    let refusals = answer.matches("this port needs another password").count();
    assert_eq!((refusals, answer.lines().count()), (65, 65));
    assert_eq!(until_closed(&pool, &guesses).await, b"", "it is banned");
    let shown = pool
        .shows(|it| {
            it.summary
                .alarms
                .iter()
                .any(|it| it.code == "address_banned")
        })
        .await;
    let mut alarms = shown.summary.alarms.iter();
    let alarm = alarms.find(|it| it.code == "address_banned").unwrap();
    assert!(alarm.detail.starts_with(STRANGER), "{}", alarm.detail);
    drop(mine_sv1(farm, &user(2)).await);
    drop(mistyped);
    pool.stop().await;
}

/// R-20: what an honest device sends after a reconnect is none of it a reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_what_devices_send_by_mistake_is_never_banned() {
    let pool = behind_a_proxy().start().await;
    let stranger = proxy(&pool, header(STRANGER)).await;
    for connection in 0..30 {
        let mut miner = Sv1Client::dial(stranger).await;
        let user = user(connection);
        miner.miner.log_in(&user);
        assert!(miner.until(|miner| !miner.jobs.is_empty()).await);
        for (id, job, extranonce) in [(1, "1", "0000000000000000"), (2, "1", "00"), (3, "zz", "")] {
            miner.miner.send(&format!(
                r#"{{"id":{id},"method":"mining.submit","params":["{user}","{job}","{extranonce}","00000000","00000000"]}}"#
            ));
        }
        assert!(miner.until(|miner| miner.replies.contains_key("3")).await);
        assert!(["1", "2", "3"].iter().all(|id| !miner.miner.is_granted(id)));
    }
    drop(mine_sv1(stranger, &user(99)).await);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_that_a_listed_proxy_tells_is_shown_for_both_protocols() {
    let pool = behind_a_proxy().start().await;
    let text = proxy(&pool, header(FARM)).await;
    let binary = proxy(&pool, binary_header([198, 51, 100, 9])).await;
    let sv1 = mine_sv1(text, &user(1)).await;
    let mut sv2 = Sv2Client::dial(binary, pool.authority).await.unwrap();
    sv2.miner.set_up(0);
    let max_target = headframe_sv2_wire::U256::MAX;
    sv2.miner.open_extended(&user(2), 50.0, max_target, 8);
    assert!(sv2.until(|miner| !miner.channels.is_empty()).await);
    pool.shows(|it| it.summary.miners.connected == 2).await;
    let mut peers: Vec<_> = pool
        .miners()
        .await
        .iter()
        .map(|it| it.peer.clone())
        .collect();
    peers.sort();
    assert!(
        peers[0].starts_with(STRANGER) && peers[1].starts_with(FARM),
        "{peers:?}"
    );
    drop((sv1, sv2));
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_proxy_has_to_send_a_header_and_nobody_else_may() {
    let pool = behind_a_proxy().start().await;
    assert_eq!(until_closed(&pool, SUBSCRIBE).await, b"");
    drop(mine_sv1(proxy(&pool, header(FARM)).await, &user(1)).await);
    pool.stop().await;

    let pool = Setup::for_shares().start().await;
    for header in [header(FARM), binary_header([203, 0, 113, 7])] {
        let bytes = [header, SUBSCRIBE.to_vec()].concat();
        assert_eq!(until_closed(&pool, &bytes).await, b"");
    }
    drop(mine_sv1(pool.address(), &user(1)).await);
    pool.stop().await;
}

/// Twenty thousand messages are answered at once; the rest waits, and none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_too_much_is_read_later() {
    const MESSAGES: usize = 24_000;
    let pool = behind_a_proxy().start().await;
    let stranger = proxy(&pool, header(STRANGER)).await;
    let mut sv1 = Sv1Client::dial(stranger).await;
    for id in 0..MESSAGES {
        sv1.miner.send(&format!(
            r#"{{"id":"{id}","method":"mining.ping","params":[]}}"#
        ));
    }
    let mut sv2 = Sv2Client::connect_to((stranger, pool.authority), &user(1)).await;
    let nonce = sv2.find_share();
    for _ in 0..MESSAGES {
        sv2.submit(&nonce);
    }
    let (sv1_answered, sv2_answered) = tokio::join!(
        sv1.until(|miner| miner.replies.len() == MESSAGES),
        sv2.until(|miner| miner.rejected.len() == MESSAGES - 1),
    );
    assert!(sv1_answered && sv2_answered);
    drop((sv1, sv2));
    pool.stop().await;
}

/// A connection to the pool of whose socket the system buffers next to nothing.
async fn narrow(pool: &TestPool) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(pool.address()).await.unwrap()
}

/// Says so again and again, and reads nothing, until the pool closes the connection.
async fn until_dropped(mut socket: TcpStream, bytes: &[u8]) {
    while socket.write_all(bytes).await.is_ok() {}
}

/// A slow reader's queue is bounded, and he is dropped, in both protocols; others mine on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_and_does_not_read_is_dropped() {
    let pool = Setup::for_shares().start().await;
    let mut other = Sv2Client::connect(&pool, &user(1)).await;
    let extensions: Vec<_> = (0..16).map(|number| format!("\"{number:060}\"")).collect();
    let request = format!(
        "{{\"id\":1,\"method\":\"mining.configure\",\"params\":[[{}],{{}}]}}\n",
        extensions.join(",")
    );
    until_dropped(narrow(&pool).await, request.repeat(50).as_bytes()).await;
    other.mine_share().await;

    let mut miner = Sv2Miner::default();
    miner.set_up(0);
    let mut socket = narrow(&pool).await;
    socket
        .write_all(&miner.take_output().concat())
        .await
        .unwrap();
    // Each is answered with a channel, its target and a job.
    for _ in 0..50 {
        miner.open_extended(&user(2), 50.0, headframe_sv2_wire::U256::MAX, 8);
    }
    until_dropped(socket, &miner.take_output().concat()).await;
    other.mine_share().await;
    drop(other);
    pool.stop().await;
}
