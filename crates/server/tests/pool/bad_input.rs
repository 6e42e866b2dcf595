//! Whatever comes over one connection, another one goes on undisturbed.

use headframe_sv2_noise::AuthorityPublicKey;
use headframe_sv2_wire::{Protocol, U256};
use headframe_testkit::Sv2Miner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Sv1Client, Sv2Client, user};
use crate::harness::{Setup, TestPool};

/// An address of the main network, of the private key 1.
const FOREIGN: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";

/// A pool with a miner on it that minds its own business.
struct Quiet {
    pool: TestPool,
    neighbour: Sv2Client,
}

impl Quiet {
    async fn start() -> Self {
        let pool = Setup::for_shares().start().await;
        let neighbour = Sv2Client::connect(&pool, &user(1)).await;
        Self { pool, neighbour }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.pool.address()).await.unwrap()
    }

    /// Sends `bytes`, and waits until the pool has closed the connection; gives its answer.
    async fn until_closed(&self, bytes: &[u8]) -> Vec<u8> {
        let mut socket = self.connect().await;
        // The pool may have closed the connection before it has read everything.
        let _ = socket.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        answer
    }

    /// The neighbour has noticed nothing.
    async fn end(mut self) {
        self.neighbour.mine_share().await;
        drop(self.neighbour);
        self.pool.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_protocol() {
    let mut quiet = Quiet::start().await;
    quiet.until_closed(&[0x5a; 1_000]).await;
    quiet.neighbour.mine_share().await;
    quiet
        .until_closed(
            b"GET / HTTP/1.1\r\nHost: pool\r\nUser-Agent: scanner\r\nAccept: */*\r\nX: y\r\n\r\n",
        )
        .await;
    quiet.neighbour.mine_share().await;
    // A connection that says nothing, and one that leaves in the middle of a word.
    drop(quiet.connect().await);
    let mut socket = quiet.connect().await;
    socket.write_all(b"{\"id\"").await.unwrap();
    drop(socket);
    quiet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_a_mebibyte() {
    let quiet = Quiet::start().await;
    let line = [b"{\"id\":1,\"method\":\"".as_slice(), &vec![b'a'; 1 << 20]].concat();
    let answer = quiet.until_closed(&line).await;
    assert_eq!(
        refusals(&answer),
        [(-32700, "a line can have 16384 bytes".to_owned())]
    );
    quiet.end().await;
}

/// What a client is told that sends lines whose ids cannot be read: codes and texts.
fn refusals(answer: &[u8]) -> Vec<(i64, String)> {
    let lines = std::str::from_utf8(answer).unwrap().lines();
    let refusal = |line: &str| {
        let reply: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(reply["id"].is_null() && reply["result"].is_null(), "{line}");
        let (code, text) = (&reply["error"][0], &reply["error"][1]);
        (code.as_i64().unwrap(), text.as_str().unwrap().to_owned())
    };
    lines.map(refusal).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_are_no_requests() {
    let quiet = Quiet::start().await;
    let lines: [&[u8]; 5] = [
        b"{\"id\": 1, \"method\": \"mining.subscribe\", [1, 2, 3]}\n",
        b"{\"id\": 2, \"method\": \"mining.\xff\xfe\", \"params\": []}\n",
        b"[1, 2, 3]\n",
        b"\"mining.subscribe\"\n",
        b"{\"id\": [], \"method\": \"mining.subscribe\", \"params\": []}\n",
    ];
    let answer = quiet.until_closed(&lines.concat().repeat(20)).await;
    let told = refusals(&answer);
    // Whoever sends ten of them is no miner.
    assert_eq!(told.len(), 10);
    assert_eq!(told[..5], told[5..]);
    assert!(told.iter().all(|(code, _)| *code == -32700), "{told:?}");
    let wrong = [
        "column 41",
        "column 29",
        "not a JSON object",
        "not a JSON object",
        "id must be",
    ];
    for ((_, text), wrong) in told.iter().zip(wrong) {
        assert!(text.contains(wrong), "{text}");
    }
    quiet.end().await;
}

/// Half a line harms nobody, and is a line when the rest of it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_line() {
    let mut quiet = Quiet::start().await;
    let mut socket = quiet.connect().await;
    let line = b"{\"id\": 1, \"method\": \"mining.ping\", \"params\": []}\n";
    let (half, rest) = line.split_at(40);
    socket.write_all(half).await.unwrap();
    quiet.neighbour.mine_share().await;
    socket.write_all(rest).await.unwrap();
    let mut answer = [0; 256];
    let len = socket.read(&mut answer).await.unwrap();
    let reply: serde_json::Value = serde_json::from_slice(&answer[..len]).unwrap();
    assert_eq!(
        (&reply["id"], &reply["result"]),
        (&1.into(), &"pong".into())
    );
    drop(socket);
    quiet.end().await;
}

/// A `SetupConnection` for the mining protocol, in clear.
fn set_up_in_clear() -> Vec<u8> {
    let mut miner = Sv2Miner::default();
    miner.set_up(0);
    headframe_testkit::Device::take_output(&mut miner).concat()
}

/// `SetupConnection.Success` and no more: the protocol has no answer to what comes behind it.
fn assert_is_setup_success(answer: &[u8]) {
    let (frame, rest) = headframe_sv2_wire::Frame::split(answer).unwrap();
    assert_eq!(frame.header().message_type(), 0x01);
    assert_eq!(rest, b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_announces_16_mebibytes() {
    let quiet = Quiet::start().await;
    let bytes = [set_up_in_clear(), vec![0, 0, 0x1a, 0xff, 0xff, 0xff]].concat();
    let answer = quiet.until_closed(&bytes).await;
    assert_is_setup_success(&answer);
    quiet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_frame() {
    let quiet = Quiet::start().await;
    let mut socket = quiet.connect().await;
    let bytes = [set_up_in_clear(), vec![0, 0, 0x1a, 0x20]].concat();
    socket.write_all(&bytes).await.unwrap();
    drop(socket);
    quiet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_whose_content_is_no_message() {
    let quiet = Quiet::start().await;
    // OpenExtendedMiningChannel with a payload of three bytes.
    let bytes = [set_up_in_clear(), vec![0, 0, 0x13, 3, 0, 0, 1, 2, 3]].concat();
    let answer = quiet.until_closed(&bytes).await;
    assert_is_setup_success(&answer);
    quiet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_expects_another_pool() {
    let quiet = Quiet::start().await;
    let other = tempfile::tempdir().unwrap();
    let other: AuthorityPublicKey = headframe_server::Keys::open(other.path())
        .unwrap()
        .authority();
    let refused = Sv2Client::dial(quiet.pool.address(), other).await;
    let Err(refused) = refused else {
        panic!("the pool cannot prove to be another")
    };
    assert!(refused.to_string().contains("authority"), "{refused}");
    quiet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_subprotocol() {
    let quiet = Quiet::start().await;
    let address = quiet.pool.address();
    let mut client = Sv2Client::dial(address, quiet.pool.authority)
        .await
        .unwrap();
    client.miner.set_up_as(Protocol::JOB_DECLARATION, 2, 2, 0);
    assert!(client.until(|miner| miner.setup.is_some()).await);
    let (_, code) = client.miner.setup.clone().unwrap().unwrap_err();
    assert_eq!(code, "unsupported-protocol");
    assert!(
        !client.until(|_| false).await,
        "the pool closes the connection"
    );
    drop(client);
    quiet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_pay_nobody_here() {
    let quiet = Quiet::start().await;
    let truncated = user(2)[..30].to_owned();
    for (name, why) in [
        (FOREIGN, "is no address of regtest"),
        (&truncated, "looks like an address but cannot be paid"),
        ("satoshi", "use your regtest address as user name"),
        ("", "use your regtest address as user name"),
    ] {
        let address = quiet.pool.address();
        let mut sv2 = Sv2Client::dial(address, quiet.pool.authority)
            .await
            .unwrap();
        sv2.miner.set_up(0);
        sv2.miner.open_extended(name, 50.0, U256::MAX, 8);
        assert!(sv2.until(|miner| !miner.refused.is_empty()).await, "{name}");
        assert!(sv2.miner.channels.is_empty(), "{name}");
        let (_, code) = &sv2.miner.refused[0];
        assert_eq!(code, "invalid-user-identity", "{name}");

        let mut sv1 = Sv1Client::dial(address).await;
        sv1.miner.log_in(name);
        assert!(sv1.until(|miner| miner.replies.contains_key("auth")).await);
        let (code, reason) = sv1.miner.replies["auth"].clone().expect("a refusal");
        assert_eq!(code, 24, "{name}: {reason}");
        assert!(reason.contains(why), "{name}: {reason}");
    }
    quiet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_for_a_job_that_was_never_sent() {
    let quiet = Quiet::start().await;
    let mut client = Sv2Client::connect(&quiet.pool, &user(2)).await;
    let mut nonce = client.find_share();
    nonce.job_id = nonce.job_id.wrapping_add(1_000_000);
    let sequence = client.submit(&nonce);
    assert!(client.until(|miner| !miner.rejected.is_empty()).await);
    assert_eq!(client.miner.rejection(sequence), Some("invalid-job-id"));
    // It does not even harm the one who sent it.
    client.miner.rejected.clear();
    client.mine_share().await;
    drop(client);

    let user = user(3);
    let mut client = Sv1Client::dial(quiet.pool.address()).await;
    client.miner.log_in(&user);
    assert!(client.until(|miner| !miner.jobs.is_empty()).await);
    nonce.job_id = 0x00ff_fff0;
    let id = client.miner.submit(&user, &nonce);
    assert!(client.until(|miner| miner.replies.contains_key(&id)).await);
    assert_eq!(client.miner.refusal(&id), Some(21));
    client.mine_share(&user).await;
    drop(client);
    quiet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_worthless_shares() {
    let mut quiet = Quiet::start().await;
    let mut flooder = Sv2Client::connect(&quiet.pool, &user(2)).await;
    let nonce = flooder.find_share();
    for _ in 0..2_000 {
        flooder.submit(&nonce);
    }
    quiet.neighbour.mine_share().await;
    assert!(flooder.until(|miner| miner.rejected.len() == 1_999).await);
    assert!(
        flooder
            .miner
            .rejected
            .iter()
            .all(|(_, _, code)| code == "duplicate-share")
    );
    drop(flooder);
    quiet.end().await;
}
