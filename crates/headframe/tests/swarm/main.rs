//! `headframe swarm`, the built program, against a pool in this process on the embedded chain. Runs end
//! by the number of shares; what the swarm says of them is compared with what the pool counted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use headframe_api::{Connect, History, NodeKind, Overview, Payout};
use headframe_ledger::{MemoryLedger, Retention};
use headframe_node::embedded::{ChainSettings, Difficulty, EmbeddedChain};
use headframe_server::{
    AccessSettings, Board, Certificates, Feed, KeySets, Keys, KeysId, ListenSettings, Parts, Pool,
    Protocols, Settings, Started, Sv2Rules,
};
use headframe_testkit::fixed_difficulty;
use headframe_work::{Network, PayoutPolicy, PoolTag, VersionBits};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Some 256 hashes a share: found beforehand.
const CONSIDERABLE: i32 = -24;
/// Some 8 hashes a share: found when it is sent.
const SLIGHT: i32 = -29;

/// A chain on which no share of these tests is a block by chance, for a block makes shares stale.
fn blocks_out_of_reach() -> ChainSettings {
    let difficulty = Difficulty::Retarget {
        block_interval: Duration::from_secs(600),
        easiest: 1 << 60,
    };
    ChainSettings { difficulty }
}

struct TestPool {
    pool: Pool,
    place: String,
    authority: String,
    shutdown: CancellationToken,
    overviews: watch::Receiver<Arc<Overview>>,
    _directory: TempDir,
}

impl TestPool {
    /// A pool of one difficulty, 2^`exponent`.
    async fn start(exponent: i32, chain: ChainSettings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keys = KeySets::new(Keys::open(directory.path()).unwrap());
        let authority = keys.authority(KeysId::FIRST).to_string();
        let feed = Feed::new(Overview::default(), History::default());
        let overviews = feed.overviews.subscribe();
        let shutdown = CancellationToken::new();
        let chain = EmbeddedChain::open(None, chain).unwrap();
        let pool = Pool::start(Parts {
            node: chain.node(Duration::from_secs(3_600)),
            node_name: "the test's node".to_owned(),
            backups: None,
            ledger: Box::new(MemoryLedger::new(Retention::default())),
            keys,
            certificates: Certificates::default(),
            data_directory: directory.path(),
            board: Board {
                network: Network::Regtest,
                demo: false,
                persistent: false,
                connect: Connect::default(),
                payout: Payout::default(),
                node_kind: NodeKind::Embedded,
                node_endpoint: String::new(),
                backups: Vec::new(),
                feed,
                started: Started::now(),
            },
            settings: Settings {
                listen: vec![ListenSettings {
                    address: ([127, 0, 0, 1], 0).into(),
                    protocols: Protocols::USUAL,
                    difficulty: fixed_difficulty(exponent),
                    ignores_suggestions: false,
                    keys: KeysId::FIRST,
                    certificate: None,
                    password: None,
                    proxies: None,
                }],
                max_connections: 100,
                payouts: PayoutPolicy {
                    network: Network::Regtest,
                    fee: None,
                    plain_names: None,
                },
                tag: PoolTag::new("test").unwrap(),
                sv2: Sv2Rules::default(),
                hold: None,
                empty_blocks: Duration::from_secs(30),
                version_bits: VersionBits::default(),
                move_to: None,
                access: AccessSettings::default(),
            },
            shutdown: shutdown.clone(),
        })
        .await
        .unwrap();
        Self {
            place: pool.addresses()[0].to_string(),
            pool,
            authority,
            shutdown,
            overviews,
            _directory: directory,
        }
    }

    fn sv1(&self) -> String {
        format!("stratum+tcp://{}", self.place)
    }

    fn sv2(&self) -> String {
        format!("stratum2+tcp://{}/{}", self.place, self.authority)
    }

    /// Runs a swarm to its end and gives what it prints.
    async fn swarm(&self, url: &str, more: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headframe"));
        command
            .args(["swarm", url, "--duration", "3600", "--threads", "2"])
            .args(more)
            .env_clear()
            .stdin(Stdio::null());
        let run = tokio::task::spawn_blocking(move || command.output());
        let output = run.await.unwrap().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The pool's own counts, once it has counted so many shares: accepted and rejected.
    async fn counted(&mut self, shares: u64) -> (u64, u64) {
        let is_all = |it: &Arc<Overview>| {
            let shares_seen = &it.summary.shares;
            shares_seen.accepted + shares_seen.rejected >= shares
        };
        let seen = self.overviews.wait_for(is_all).await.unwrap();
        (seen.summary.shares.accepted, seen.summary.shares.rejected)
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.pool.stopped().await;
    }
}

/// What every run that goes well has in common.
fn check(report: &Value, connections: u64, shares: u64) {
    assert_eq!(report["ready"], connections, "{report}");
    for nothing in ["failed", "lost"] {
        assert_eq!(report[nothing], 0, "{report}");
    }
    assert_eq!(report["errors"], json!({}), "{report}");
    for all in ["sent", "answered"] {
        assert_eq!(report["shares"][all], shares, "{report}");
    }
    assert_eq!(report["shares"]["unanswered"], 0, "{report}");
    assert_eq!(report["reply_ms"]["count"], shares, "{report}");
    assert_eq!(report["connect_to_job_ms"]["count"], connections);
    let at = |quantile: &str| report["reply_ms"][quantile].as_f64().unwrap();
    assert!(at("p50") <= at("p99") && at("p99") <= at("p99_9") && at("p99_9") <= at("max"));
    assert!(report["shares"]["answered_per_second"].as_f64().unwrap() > 0.0);
    if Path::new("/proc/self/stat").exists() {
        assert!(report["swarm"]["memory_peak_bytes"].as_u64().unwrap() > 0);
    }
}

/// Fifty connections from three addresses for twenty users: every share is answered and accepted, and
/// the pool has counted as many.
#[tokio::test(flavor = "multi_thread")]
async fn valid_shares_are_all_accepted() {
    for (exponent, is_sv2, channel) in [
        (SLIGHT, true, "standard"),
        (SLIGHT, true, "extended"),
        (SLIGHT, false, "standard"),
        (CONSIDERABLE, true, "standard"),
        (CONSIDERABLE, false, "standard"),
    ] {
        let mut pool = TestPool::start(exponent, blocks_out_of_reach()).await;
        let url = if is_sv2 { pool.sv2() } else { pool.sv1() };
        let mut more = vec!["--connections", "50", "--distinct-users", "20"];
        more.extend(["--channel", channel, "--shares", "2000", "--ramp", "0.2"]);
        if cfg!(target_os = "linux") {
            more.extend(["--sources", "3"]);
        }
        let report = pool.swarm(&url, &more).await;
        check(&report, 50, 2_000);
        let protocol = if is_sv2 { "sv2" } else { "sv1" };
        assert_eq!(report["protocol"], protocol);
        assert_eq!(report["shares_are"], "valid");
        assert_eq!(report["shares"]["accepted"], 2_000, "{report}");
        assert_eq!(report["shares"]["rejected"], json!({}), "{report}");
        assert_eq!(pool.counted(2_000).await, (2_000, 0));
        pool.stop().await;
    }
}

/// The same with shares that miss their target: every one is refused, for that reason.
#[tokio::test(flavor = "multi_thread")]
async fn shares_above_the_target_are_all_refused_for_it() {
    let mut pool = TestPool::start(CONSIDERABLE, blocks_out_of_reach()).await;
    let (sv1, sv2) = (pool.sv1(), pool.sv2());
    let mut total = 0;
    for (url, channel, code) in [
        (&sv2, "standard", "difficulty-too-low"),
        (&sv2, "extended", "difficulty-too-low"),
        (&sv1, "standard", "above target (23)"),
    ] {
        let mut more = vec!["--connections", "50", "--distinct-users", "20"];
        more.extend([
            "--channel",
            channel,
            "--shares",
            "1000",
            "--mode",
            "invalid",
        ]);
        let report = pool.swarm(url, &more).await;
        check(&report, 50, 1_000);
        assert_eq!(report["shares"]["accepted"], 0, "{report}");
        let rejected = report["shares"]["rejected"].as_object().unwrap();
        assert_eq!(rejected.len(), 1, "{report}");
        let (told, count) = rejected.iter().next().unwrap();
        assert_eq!((told.to_lowercase().as_str(), count), (code, &json!(1_000)));
        total += 1_000;
        assert_eq!(pool.counted(total).await, (0, total));
    }
    pool.stop().await;
}

/// Many channels on few connections, at a pace.
#[tokio::test(flavor = "multi_thread")]
async fn channels_share_a_connection() {
    for channel in ["standard", "extended"] {
        let mut pool = TestPool::start(SLIGHT, blocks_out_of_reach()).await;
        let mut more = vec!["--connections", "4", "--channels", "25", "--shares", "500"];
        more.extend([
            "--distinct-users",
            "7",
            "--rate",
            "2000",
            "--channel",
            channel,
        ]);
        let report = pool.swarm(&pool.sv2(), &more).await;
        check(&report, 4, 500);
        assert_eq!(report["shares"]["accepted"], 500, "{report}");
        assert_eq!(pool.counted(500).await, (500, 0));
        pool.stop().await;
    }
}

/// Where every share is a block there are tips to be timed.
#[tokio::test(flavor = "multi_thread")]
async fn new_tips_are_timed() {
    let difficulty = Difficulty::Regtest;
    let pool = TestPool::start(SLIGHT, ChainSettings { difficulty }).await;
    let mut more = vec!["--connections", "3", "--distinct-users", "1"];
    more.extend(["--shares", "30", "--window", "1"]);
    let report = pool.swarm(&pool.sv2(), &more).await;
    assert!(report["tips_seen"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["tips_timed_by"], "first_connection");
    let first = &report["tips"][0];
    assert_eq!(first["first_ms"], 0.0, "{report}");
    assert!(first["connections"].as_u64().unwrap() <= 3, "{report}");
    assert!(first["last_ms"].as_f64() >= first["median_ms"].as_f64());
    pool.stop().await;
}

/// A pool that takes fewer connections: the rest is counted, by kind, and does not hold up the others.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fail_are_counted_by_kind() {
    let pool = TestPool::start(SLIGHT, blocks_out_of_reach()).await;
    let more = [
        "--connections",
        "105",
        "--distinct-users",
        "1",
        "--shares",
        "100",
    ];
    let report = pool.swarm(&pool.sv2(), &more).await;
    assert_eq!(
        (&report["ready"], &report["failed"]),
        (&json!(100), &json!(5))
    );
    let kinds = report["errors"].as_object().unwrap();
    let errors: u64 = kinds.values().filter_map(Value::as_u64).sum();
    assert_eq!(errors, 5, "{report}");
    assert_eq!(report["shares"]["accepted"], 100, "{report}");
    pool.stop().await;
}

#[test]
fn nobody_is_loaded_by_a_slip() {
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headframe"));
        let output = command.arg("swarm").args(more).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let there = "stratum+tcp://192.0.2.1:3333";
    assert!(run(&[there, "--user", "a"]).contains("--anywhere"));
    let here = "stratum+tcp://127.0.0.1:1";
    assert!(run(&[here]).contains("--user"));
    let many = ["--user", "a", "--connections", "20001"];
    assert!(run(&[&[here][..], &many].concat()).contains("20000"));
}
