//! The whole miner against a scripted Stratum V1 pool over loopback. Everything is awaited, nothing
//! is timed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use core::num::NonZeroU32;
use core::time::Duration;

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::hex::FromHex;
use bitcoin::{BlockHash, CompactTarget, Txid};
use headframe_miner::{
    Backoff, CloseReason, Miner, MinerError, MinerEvent, MinerSettings, Observer,
};
use headframe_transport::{DialError, PoolUrl};
use headframe_work::Rung;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const COINBASE_1: &str = "0202020202";
const COINBASE_2: &str = "0303030303";
const BRANCH: [u8; 32] = [0xa1; 32];
const DIFFICULTY: i32 = -20;

fn settings(url: &str) -> MinerSettings {
    MinerSettings {
        threads: NonZeroU32::new(2),
        throttle: NonZeroU32::new(200_000),
        backoff: Backoff {
            first: Duration::ZERO,
            longest: Duration::ZERO,
            jitter: 0.0,
            attempts: NonZeroU32::new(3),
        },
        ..MinerSettings::new(PoolUrl::parse(url, true).unwrap(), "user.worker")
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address.to_string())
}

/// A connection of the pool.
struct Pool(BufStream<TcpStream>);

impl Pool {
    async fn accept(listener: &TcpListener) -> Self {
        Self(BufStream::new(listener.accept().await.unwrap().0))
    }

    async fn say(&mut self, message: Value) {
        self.0
            .write_all(format!("{message}\n").as_bytes())
            .await
            .unwrap();
        self.0.flush().await.unwrap();
    }

    /// The next message; `None` when the miner has gone.
    async fn hear(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.0.read_line(&mut line).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    /// Answers what begins a session, and hands out `job`.
    async fn greet(&mut self, job: &str) {
        for method in [
            "mining.configure",
            "mining.subscribe",
            "mining.authorize",
            "mining.suggest_difficulty",
        ] {
            let request = self.hear().await.unwrap();
            assert_eq!(request["method"], method);
            let result = match method {
                "mining.configure" => {
                    json!({"version-rolling": true, "version-rolling.mask": "1fffe000"})
                }
                "mining.subscribe" => json!([[["mining.notify", "s"]], "c0ffee01", 4]),
                "mining.authorize" => {
                    assert_eq!(request["params"], json!(["user.worker", "x"]));
                    json!(true)
                }
                _ => json!(true),
            };
            self.say(json!({"id": request["id"], "result": result, "error": null}))
                .await;
        }
        let difficulty = Rung::from_exponent(DIFFICULTY).difficulty().as_f64();
        self.say(json!({"id": null, "method": "mining.set_difficulty", "params": [difficulty]}))
            .await;
        self.notify(job).await;
    }

    async fn notify(&mut self, job: &str) {
        let (zeros, branch) = ("0".repeat(64), "a1".repeat(32));
        let params = json!([
            job,
            zeros,
            COINBASE_1,
            COINBASE_2,
            [branch],
            "20000000",
            "17034219",
            "6553f100",
            true
        ]);
        self.say(json!({"id": null, "method": "mining.notify", "params": params}))
            .await;
    }

    /// The next share of `job`, judged by `bitcoin`: its id.
    async fn share(&mut self, job: &str) -> Value {
        let request = self.hear().await.unwrap();
        assert_eq!(request["method"], "mining.submit");
        let text = |index: usize| request["params"][index].as_str().unwrap().to_owned();
        assert_eq!(
            (text(0), text(1)),
            ("user.worker".to_owned(), job.to_owned())
        );
        let number = |index| u32::from_str_radix(&text(index), 16).unwrap();
        let coinbase = [COINBASE_1, "c0ffee01", &text(2), COINBASE_2].concat();
        let coinbase = Vec::from_hex(&coinbase).unwrap();
        let leaves = [Txid::hash(&coinbase), Txid::from_byte_array(BRANCH)];
        let version = 0x2000_0000 & !0x1fff_e000 | number(5) & 0x1fff_e000;
        let header = Header {
            version: Version::from_consensus(version.cast_signed()),
            prev_blockhash: BlockHash::all_zeros(),
            merkle_root: bitcoin::merkle_tree::calculate_root(leaves.into_iter())
                .unwrap()
                .into(),
            time: number(3),
            bits: CompactTarget::from_consensus(0x1703_4219),
            nonce: number(4),
        };
        let target = bitcoin::Target::from(Rung::from_exponent(DIFFICULTY).target());
        assert!(target.is_met_by(header.block_hash()));
        request["id"].clone()
    }

    async fn accept_share(&mut self, id: Value) {
        self.say(json!({"id": id, "result": true, "error": null}))
            .await;
    }

    /// Hears on until the miner has gone.
    async fn see_off(mut self) {
        while self.hear().await.is_some() {}
    }
}

/// A running miner that can be told to stop.
fn start(
    settings: MinerSettings,
) -> (
    impl Future<Output = Result<headframe_miner::MinerReport, MinerError>>,
    Observer,
    oneshot::Sender<()>,
) {
    let (miner, observer) = Miner::new(settings);
    let (stop, stopped) = oneshot::channel();
    (miner.run(async { stopped.await.unwrap() }), observer, stop)
}

async fn until(observer: &mut Observer, suits: impl Fn(&MinerEvent) -> bool) -> MinerEvent {
    loop {
        let event = observer.events.recv().await.expect("the miner still runs");
        if suits(&event) {
            return event;
        }
    }
}

#[tokio::test]
async fn shares_are_counted_as_the_pool_answers() {
    let (listener, address) = listen().await;
    let (run, mut observer, stop) = start(settings(&format!("stratum+tcp://{address}")));
    let script = async {
        let mut pool = Pool::accept(&listener).await;
        pool.greet("j1").await;
        for i in 0..5 {
            let id = pool.share("j1").await;
            match i {
                2 => {
                    let error = json!([23, "Low difficulty share", null]);
                    pool.say(json!({"id": id, "result": null, "error": error}))
                        .await;
                }
                _ => pool.accept_share(id).await,
            }
        }
        for _ in 0..4 {
            until(&mut observer, |event| {
                *event == MinerEvent::Accepted { count: 1 }
            })
            .await;
        }
        assert!(observer.progress.borrow().mining);
        stop.send(()).unwrap();
        pool.see_off().await;
    };
    let (report, ()) = tokio::join!(run, script);
    assert_eq!(
        report.unwrap().to_json(),
        r#"{"protocol":"sv1","channel":null,"shares_accepted":4,"shares_rejected":{"Low difficulty share (23)":1}}"#
    );
    assert!(!observer.progress.borrow().mining);
}

/// A pool that goes away is found again, and gets nothing that belongs to the connection before.
#[tokio::test]
async fn a_lost_pool_is_found_again() {
    let (listener, address) = listen().await;
    let (run, mut observer, stop) = start(settings(&format!("stratum+tcp://{address}")));
    let script = async {
        for job in ["j1", "j2", "j3", "j4", "j5"] {
            let mut pool = Pool::accept(&listener).await;
            pool.greet(job).await;
            let id = pool.share(job).await;
            pool.accept_share(id).await;
            until(&mut observer, |event| {
                *event == MinerEvent::Accepted { count: 1 }
            })
            .await;
        }
        until(&mut observer, |event| {
            matches!(event, MinerEvent::Disconnected { .. })
        })
        .await;
        stop.send(()).unwrap();
    };
    let (report, ()) = tokio::join!(run, script);
    assert_eq!(report.unwrap().shares_accepted, 5);
}

/// Anybody on the way can write this line, so it is followed to the same host only.
#[tokio::test]
async fn a_stratum_v1_pool_cannot_send_a_miner_to_another_host() {
    let (listener, address) = listen().await;
    let (elsewhere, moved) = listen().await;
    let port: u16 = moved.rsplit(':').next().unwrap().parse().unwrap();
    let (run, mut observer, stop) = start(settings(&format!("stratum+tcp://{address}")));
    let reconnect =
        |host| json!({"id": null, "method": "client.reconnect", "params": [host, port, 0]});
    let script = async {
        let mut pool = Pool::accept(&listener).await;
        pool.greet("j1").await;
        pool.say(reconnect("thief.example")).await;
        pool.see_off().await;
        let notice = until(&mut observer, |event| {
            matches!(event, MinerEvent::Notice(_))
        })
        .await;
        assert_eq!(
            notice.to_string(),
            "not following the pool to another host, thief.example"
        );

        let mut pool = Pool::accept(&listener).await;
        pool.greet("j2").await;
        pool.say(reconnect("127.0.0.1")).await;
        pool.see_off().await;
        let mut pool = Pool::accept(&elsewhere).await;
        pool.greet("j3").await;
        pool.share("j3").await;
        stop.send(()).unwrap();
        pool.see_off().await;
    };
    let (report, ()) = tokio::join!(run, script);
    assert!(report.is_ok());
}

/// The pool's reason is what the person at the miner reads, and no second attempt is made.
#[tokio::test]
async fn a_refused_name_ends_the_miner_with_the_pool_s_reason() {
    let (listener, address) = listen().await;
    let (run, _observer, _stop) = start(settings(&format!("stratum+tcp://{address}")));
    let script = async {
        let mut pool = Pool::accept(&listener).await;
        let error = json!([24, "not an address of this network", null]);
        pool.say(json!({"id": 3, "result": null, "error": error}))
            .await;
        pool.see_off().await;
    };
    let (report, ()) = tokio::join!(run, script);
    let error = report.unwrap_err();
    assert!(
        matches!(error, MinerError::Ended(CloseReason::UserRefused { .. })),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "the pool refuses this user name: not an address of this network (24)"
    );
}

#[tokio::test]
async fn a_pool_that_is_not_there_is_named() {
    let (listener, address) = listen().await;
    drop(listener);
    let (run, mut observer, _stop) = start(settings(&format!("stratum+tcp://{address}")));
    let error = run.await.unwrap_err();
    assert!(matches!(error, MinerError::GaveUp { failures: 3, .. }));
    assert!(error.to_string().starts_with(&format!(
        "gave up after 3 attempts: cannot connect to {address}: "
    )));
    for _ in 0..2 {
        until(&mut observer, |event| {
            matches!(event, MinerEvent::Disconnected { .. })
        })
        .await;
    }
    assert_eq!(observer.events.recv().await, None);
}

/// Somebody who answers the handshake without knowing how is not tried again.
#[tokio::test]
async fn a_handshake_that_fails_ends_the_miner() {
    let (listener, address) = listen().await;
    let (run, _observer, _stop) = start(settings(&format!("stratum2+tcp://{address}")));
    let script = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut act1 = [0; 64];
        socket.read_exact(&mut act1).await.unwrap();
        socket.write_all(&[7; 234]).await.unwrap();
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.unwrap();
    };
    let (report, ()) = tokio::join!(run, script);
    let error = report.unwrap_err();
    assert!(
        matches!(error, MinerError::Dial(DialError::Handshake { .. })),
        "{error}"
    );
}

/// A miner that is told to stop stops, whatever it is doing.
#[tokio::test]
async fn a_miner_stops_while_it_waits() {
    let (listener, address) = listen().await;
    let (run, _observer, stop) = start(settings(&format!("stratum+tcp://{address}")));
    let script = async {
        let mut pool = Pool::accept(&listener).await;
        pool.hear().await.unwrap();
        stop.send(()).unwrap();
        pool.see_off().await;
    };
    let (report, ()) = tokio::join!(run, script);
    assert_eq!(report.unwrap().hashes, 0);
}
