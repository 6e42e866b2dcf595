//! The dashboard over real sockets on the loopback interface.

#[allow(dead_code, reason = "the browser test uses the rest")]
mod sample;

use std::collections::{BTreeMap, BTreeSet};

use headframe_api::{History, Miner, PoolState, Summary};
use headframe_dashboard::{Settings, serve};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Dashboard {
    address: String,
    stage: sample::Stage,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), headframe_dashboard::ServeError>>,
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_str(&self.body).expect("the body is JSON")
    }
}

impl Dashboard {
    async fn start(scene: &str) -> Self {
        let now = sample::now();
        let snapshot = sample::snapshot(scene, now, 0);
        let (stage, feed) = sample::Stage::set(snapshot, sample::history(scene, now));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let settings = Settings {
            allowed_hosts: vec!["pool.example.com".into()],
        };
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(listener, feed, settings, stopped).await
        });
        Self {
            address,
            stage,
            stop,
            served,
        }
    }

    async fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).await.expect("it listens");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let mut bytes = Vec::new();
        // A refused request may be followed by a reset; what came before it counts.
        let _ = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.get(9..12))
            .expect("a status");
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Answer {
            status: status.parse().expect("a number"),
            headers: lines.map(header).collect(),
            body: body.to_owned(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        let host = &self.address;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        self.send(&request).await
    }

    /// Opens the event stream.
    async fn listen(&self) -> Events {
        let mut stream = TcpStream::connect(&self.address).await.expect("it listens");
        let request = format!(
            "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.address
        );
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        Events {
            stream,
            seen: String::new(),
        }
    }
}

struct Events {
    stream: TcpStream,
    seen: String,
}

impl Events {
    /// Reads on until the text holds `wanted`, and gives back what was read up to and with it.
    async fn until(&mut self, wanted: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(wanted) {
                let rest = self.seen.split_off(at + wanted.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let mut bytes = [0; 4096];
            let count = self
                .stream
                .read(&mut bytes)
                .await
                .expect("the stream goes on");
            assert_ne!(count, 0, "the stream ended before {wanted:?}");
            let text = std::str::from_utf8(&bytes[..count]).expect("the sample is ASCII");
            self.seen.push_str(text);
        }
    }
}

fn written(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain structs serialise")
}

#[tokio::test]
async fn the_json_is_that_of_the_snapshot() {
    let dashboard = Dashboard::start("running").await;
    let snapshot = dashboard.stage.snapshot();

    let text = async |path: &str| dashboard.get(path).await.body;
    assert_eq!(text("/api/v1/snapshot").await, written(&snapshot));
    assert_eq!(text("/api/v1/summary").await, written(&snapshot.summary));
    assert_eq!(text("/api/v1/node").await, written(&snapshot.summary.node));
    let blocks = dashboard
        .get("/api/v1/blocks?limit=1&offset=1")
        .await
        .json();
    assert_eq!(blocks["total"], 2);
    assert_eq!(blocks["blocks"][0]["height"], 871_003);
    let history = dashboard.stage.history();
    assert_eq!(text("/api/v1/history").await, written(&history));
    let minutes = dashboard
        .get("/api/v1/history?bucket_seconds=60")
        .await
        .json();
    assert_eq!(minutes["series"].as_array().unwrap().len(), 1);
    assert_eq!(minutes["series"][0]["bucket_seconds"], 60);
}

#[tokio::test]
async fn the_index_lists_what_answers() {
    let dashboard = Dashboard::start("running").await;
    let index = dashboard.get("/api/v1/").await.json();
    assert_eq!(index["api_version"], 1);
    for endpoint in index["endpoints"].as_array().unwrap() {
        let path = endpoint["path"].as_str().unwrap();
        if path != "/api/v1/events" {
            assert_eq!(dashboard.get(path).await.status, 200, "{path}");
        }
    }
    let missing = dashboard.get("/api/v1/nothing").await;
    assert_eq!(
        (missing.status, missing.json()["error"].is_string()),
        (404, true)
    );
}

#[tokio::test]
async fn miners_are_searched_sorted_and_cut_by_the_server() {
    let dashboard = Dashboard::start("farm").await;
    let page = |query: &'static str| {
        let dashboard = &dashboard;
        async move {
            let page = dashboard
                .get(&format!("/api/v1/miners?{query}"))
                .await
                .json();
            let miners: Vec<Miner> = serde_json::from_value(page["miners"].clone()).unwrap();
            (page["matching"].as_u64().unwrap(), miners)
        }
    };
    let (matching, all) = page("").await;
    assert_eq!((matching, all.len()), (2_000, 2_000));
    let rates: Vec<f64> = all
        .iter()
        .map(|m| m.hashes_per_second.five_minutes)
        .collect();
    assert!(
        rates.is_sorted_by(|a, b| a >= b),
        "the strongest come first"
    );

    let (matching, cut) = page("sort=worker&order=asc&offset=10&limit=5").await;
    assert_eq!((matching, cut.len()), (2_000, 5));
    assert!(cut.is_sorted_by(|a, b| a.worker < b.worker));
    let (_, first) = page("sort=worker&order=asc&limit=11").await;
    assert_eq!(first[10], cut[0]);

    let (matching, quiet) = page("state=quiet").await;
    assert_eq!(matching, 20);
    assert!(quiet.iter().all(|miner| miner.id % 97 == 0));
    let (matching, named) = page("search=S21-0042").await;
    assert_eq!((matching, named[0].id), (1, 42), "case does not matter");
    assert_eq!(page("search=nobody").await.0, 0);
    assert_eq!(
        dashboard.get("/api/v1/miners?sort=beauty").await.status,
        400
    );
    assert_eq!(dashboard.get("/api/v1/miners?limit=-1").await.status, 400);
}

#[tokio::test]
async fn events_tell_the_newest_and_end_at_shutdown() {
    let dashboard = Dashboard::start("running").await;
    let mut events = dashboard.listen().await;
    let hello = events.until("\n\n").await;
    assert!(hello.contains("content-type: text/event-stream"), "{hello}");
    assert!(hello.contains("event: hello"), "{hello}");
    let first = events.until("\n\n").await;
    assert!(
        first.contains("event: update") && !first.contains("918000,\"hash\""),
        "{first}"
    );
    events.until("event: history").await;

    let block = sample::snapshot("block", sample::now(), 1);
    let hash = block.blocks[0].hash.clone();
    dashboard.stage.show(block);
    events.until(&hash).await;
    dashboard.stage.chart(History::default());
    events.until("event: history").await;

    dashboard.stop.send(()).unwrap();
    dashboard.served.await.unwrap().unwrap();
    events.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_name_that_may_be_a_strangers_is_refused() {
    let dashboard = Dashboard::start("running").await;
    let port = dashboard.address.rsplit_once(':').unwrap().1.to_owned();
    let status = async |host: String| {
        let request =
            format!("GET /api/v1/summary HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        dashboard.send(&request).await.status
    };
    for good in [
        "127.0.0.1",
        "192.168.1.20",
        "[::1]",
        "localhost",
        "umbrel",
        "umbrel.local",
        "pool.example.com",
        "POOL.example.com.",
    ] {
        assert_eq!(status(format!("{good}:{port}")).await, 200, "{good}");
        assert_eq!(status(good.to_owned()).await, 200, "{good}");
    }
    for bad in [
        "evil.example",
        "pool.example.com.evil.example",
        "127.0.0.1.nip.io",
        "local.evil.example",
    ] {
        assert_eq!(status(format!("{bad}:{port}")).await, 421, "{bad}");
    }
    let nameless = dashboard
        .send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(nameless.status, 400);

    let mut configured = sample::snapshot("running", sample::now(), 1);
    configured.summary.connect.public_host = Some("evil.example".into());
    let mut events = dashboard.listen().await;
    dashboard.stage.show(configured);
    events.until("\"public_host\":\"evil.example\"").await;
    assert_eq!(
        status("evil.example".into()).await,
        200,
        "the configured host is the operator's"
    );
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let dashboard = Dashboard::start("running").await;
    for path in [
        "/",
        "/api/v1/summary",
        "/nothing",
        "/metrics",
        "/favicon.ico",
    ] {
        let headers = dashboard.get(path).await.headers;
        let policy = &headers["content-security-policy"];
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'"),
            "{path}"
        );
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(
            headers["cross-origin-resource-policy"], "same-origin",
            "{path}"
        );
        assert!(
            !headers.contains_key("access-control-allow-origin"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_page_names_only_files_that_the_binary_holds() {
    let dashboard = Dashboard::start("running").await;
    let page = dashboard.get("/").await;
    assert_eq!(page.headers["cache-control"], "no-cache");
    assert!(
        !page.body.contains("{{")
            && !page.body.contains("<style")
            && !page.body.contains(" style=")
    );
    let quoted: BTreeSet<&str> = page
        .body
        .split('"')
        .filter(|text| text.starts_with("/assets/"))
        .collect();
    let base = quoted
        .iter()
        .find(|path| !path.contains('.'))
        .expect("the version's directory");
    let mut wanted: Vec<String> = quoted
        .iter()
        .filter(|path| path.contains('.'))
        .map(ToString::to_string)
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(path) = wanted.pop() {
        let file = dashboard.get(&path).await;
        assert_eq!(file.status, 200, "{path}");
        assert!(
            file.headers["cache-control"].contains("immutable"),
            "{path}"
        );
        if path.ends_with(".js") && seen.insert(path) {
            let imports = file
                .body
                .split("from \"./")
                .skip(1)
                .filter_map(|rest| rest.split('"').next());
            wanted.extend(imports.map(|name| format!("{base}/{name}")));
        }
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
    assert_eq!(
        dashboard
            .get("/assets/0000000000000000/app.js")
            .await
            .status,
        404
    );
    assert_eq!(
        dashboard
            .get(&format!("{base}/../../Cargo.toml"))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn nothing_can_be_commanded() {
    let dashboard = Dashboard::start("running").await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/", "/api/v1/summary", "/api/v1/miners", "/metrics"] {
            let host = &dashboard.address;
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
            );
            assert_eq!(
                dashboard.send(&request).await.status,
                405,
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn a_huge_request_head_is_refused() {
    let dashboard = Dashboard::start("running").await;
    let host = &dashboard.address;
    let long = "x".repeat(40_000);
    let request = format!("GET /?{long} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert!(matches!(dashboard.send(&request).await.status, 414 | 431));
    let many = "A: b\r\n".repeat(100);
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{many}\r\n");
    assert_eq!(dashboard.send(&request).await.status, 431);
    assert_eq!(dashboard.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_pool_that_waits_for_its_operator_is_healthy() {
    for (scene, status) in [
        ("running", "ok"),
        ("setup", "setup"),
        ("node-down", "node_unusable"),
    ] {
        let dashboard = Dashboard::start(scene).await;
        let health = dashboard.get("/healthz").await;
        assert_eq!(
            (health.status, &health.json()["status"]),
            (200, &status.into())
        );
    }
}

#[tokio::test]
async fn set_up_mode_is_the_same_in_json() {
    let dashboard = Dashboard::start("setup").await;
    let summary: Summary =
        serde_json::from_value(dashboard.get("/api/v1/summary").await.json()).unwrap();
    let PoolState::Setup(step) = summary.state else {
        panic!("{:?}", summary.state);
    };
    assert_eq!(step.missing, "No Bitcoin node was found on this machine.");
    assert_eq!(summary.network, None);
    let metrics = dashboard.get("/metrics").await.body;
    let info = "\nheadframe_pool_info{version=\"0.1.0\"} 1\n";
    assert!(metrics.contains(info), "{metrics}");
    assert!(
        summary
            .connect
            .listeners
            .iter()
            .all(|listener| !listener.open)
    );
}

/// Reads the text as a scraper of OpenMetrics 1.0 would: every sample belongs to the family that
/// was declared before it, names carry what their type demands, nothing comes twice, EOF is last.
#[tokio::test]
async fn the_metrics_are_open_metrics() {
    for scene in sample::SCENES {
        let dashboard = Dashboard::start(scene).await;
        let answer = dashboard.get("/metrics").await;
        let wanted = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(answer.headers["content-type"], wanted);
        let text = answer.body.strip_suffix("# EOF\n").expect("EOF is last");
        let mut types = BTreeMap::new();
        let mut series = BTreeMap::new();
        let mut family = String::new();
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", name, _] => family = name.to_owned(),
                ["#", "TYPE", name, kind] => {
                    assert_eq!(name, family);
                    assert!(
                        types.insert(name.to_owned(), kind.to_owned()).is_none(),
                        "{name} twice"
                    );
                }
                ["#", "UNIT", name, unit] => {
                    assert_eq!(name, family);
                    assert!(name.ends_with(&format!("_{unit}")), "{line}");
                }
                _ => {
                    let (sample, value) = line.rsplit_once(' ').expect("a value");
                    let name = sample.split('{').next().unwrap();
                    let suffix = match types[&family].as_str() {
                        "counter" => "_total",
                        "info" => "_info",
                        "gauge" => "",
                        other => panic!("an unexpected type {other}"),
                    };
                    assert_eq!(name, format!("{family}{suffix}"));
                    assert!(name.starts_with("headframe_"), "{line}");
                    let value: f64 = value.parse().expect("a number");
                    assert!(value.is_finite(), "{line}");
                    assert!(
                        series.insert(sample.to_owned(), value).is_none(),
                        "{sample} twice"
                    );
                }
            }
        }
        assert!(series.len() < 100, "{scene} has {} series", series.len());
    }
}

#[tokio::test]
async fn the_metrics_count_what_the_snapshot_counts() {
    let dashboard = Dashboard::start("running").await;
    let text = dashboard.get("/metrics").await.body;
    for line in [
        "headframe_pool_info{version=\"0.1.0\",network=\"mainnet\"} 1",
        "headframe_state{state=\"running\"} 1",
        "headframe_state{state=\"setup\"} 0",
        "headframe_shares_accepted_total 1284112",
        "headframe_shares_rejected_total{reason=\"stale\"} 171",
        "headframe_shares_rejected_total{reason=\"time\"} 0",
        "headframe_hashes_per_second{window=\"1h\"} 6610000000000.0",
        "headframe_miners{protocol=\"sv2\",channel=\"standard\"} 1",
        "headframe_blocks{fate=\"accepted\"} 2",
        "headframe_empty_tips_total 1306",
        "headframe_empty_tips_awaited_total 11",
        "headframe_empty_work_seconds 61.25",
        "headframe_node_height 917999",
        "headframe_node_publisher_connected{publisher=\"tcp://127.0.0.1:28332\"} 1",
        "headframe_node_publisher_mute{publisher=\"tcp://127.0.0.1:28332\"} 0",
        "headframe_block_proof_accepted 1",
        "headframe_alarms{severity=\"critical\"} 0",
    ] {
        assert!(
            text.lines().any(|have| have == line),
            "no {line} in\n{text}"
        );
    }
}

#[tokio::test]
async fn without_publishers_there_is_no_series_of_one() {
    let demo = Dashboard::start("demo").await;
    let text = demo.get("/metrics").await.body;
    assert!(text.contains("headframe_node_height"));
    assert!(!text.contains("publisher"), "{text}");
}

#[tokio::test]
async fn each_of_several_nodes_has_its_series_and_one_alone_has_none() {
    let alone = Dashboard::start("running").await;
    assert!(!alone.get("/metrics").await.body.contains("headframe_nodes"));
    let dashboard = Dashboard::start("nodes").await;
    let text = dashboard.get("/metrics").await.body;
    for line in [
        "headframe_nodes_well{node=\"the node at 127.0.0.1:8332\"} 0",
        "headframe_nodes_well{node=\"the node at 192.168.1.5:8332\"} 1",
        "headframe_nodes_mined_on{node=\"the node at 192.168.1.5:8332\"} 1",
        "headframe_nodes_mined_on{node=\"the node at umbrel.local:8332\"} 0",
        "headframe_nodes_height{node=\"the node at 127.0.0.1:8332\"} 917998",
        "headframe_nodes_peers{node=\"the node at umbrel.local:8332\"} 1",
        "headframe_nodes_publisher_connected{node=\"the node at 127.0.0.1:8332\",publisher=\"tcp://127.0.0.1:28332\"} 0",
        "headframe_nodes_publisher_connected{node=\"the node at umbrel.local:8332\",publisher=\"tcp://umbrel.local:28332\"} 1",
        "headframe_nodes_publisher_mute{node=\"the node at 192.168.1.5:8332\",publisher=\"tcp://192.168.1.5:28332\"} 0",
        "headframe_nodes_publisher_mute{node=\"the node at umbrel.local:8332\",publisher=\"tcp://umbrel.local:28332\"} 1",
    ] {
        assert!(
            text.lines().any(|have| have == line),
            "no {line} in\n{text}"
        );
    }
}
