//! The page in a real browser: it changes without being loaded again, shows strangers' text as
//! text, and fits on a phone.

mod chromium;
mod edges;
#[path = "../sample/mod.rs"]
#[allow(dead_code, reason = "the test over sockets uses the rest")]
mod sample;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use chromium::Chromium;
use headframe_api::{
    BlockFate, NodeKind, PoolState, ProofVerdict, Publisher, PublisherState, Snapshot,
};
use headframe_dashboard::{Settings, serve};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// A dashboard on a port of its own, and the ends that the pool would hold.
struct Dashboard {
    address: SocketAddr,
    stage: sample::Stage,
    _stop: oneshot::Sender<()>,
    runtime: Runtime,
}

impl Dashboard {
    fn start(scene: &str) -> Self {
        Self::on(([127, 0, 0, 1], 0).into(), scene, 0)
    }

    fn on(address: SocketAddr, scene: &str, tick: u64) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let now = sample::now();
        let listener = runtime.block_on(TcpListener::bind(address));
        let listener = listener.expect("a port that is free");
        let address = listener.local_addr().expect("its address");
        let entered = runtime.enter();
        let snapshot = sample::snapshot(scene, now, tick);
        let (stage, feed) = sample::Stage::set(snapshot, sample::history(scene, now));
        let (stop, stopped) = oneshot::channel();
        runtime.spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(listener, feed, Settings::default(), stopped).await
        });
        drop(entered);
        Self {
            address,
            stage,
            _stop: stop,
            runtime,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    fn publish(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = self.stage.snapshot();
        snapshot.summary.sequence += 1;
        snapshot.summary.taken_at = sample::now();
        change(&mut snapshot);
        self.stage.show(snapshot);
    }
}

/// Runs a test with a browser, or says why not.
fn with_browser(test: impl FnOnce(&mut Chromium)) {
    let Some(program) = chromium::find() else {
        eprintln!("skipped: no chromium found; `apt install chromium` or set CHROMIUM");
        return;
    };
    let profile = tempfile::tempdir().expect("a directory");
    test(&mut Chromium::start(&program, profile.path()));
}

#[test]
fn a_block_shows_without_reloading() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("running");
        browser.open(&dashboard.url());
        browser.until("document.querySelector('#blocks li')");
        browser.until("document.querySelector('#live-text')?.textContent === 'Live'");
        browser.value_of("window.loadedOnce = true");

        let found = sample::snapshot("block", sample::now(), 1).blocks.remove(0);
        let (hash, height) = (found.hash.clone(), found.height);
        assert_eq!(height, 918_000);
        dashboard.publish(|snapshot| {
            snapshot.blocks.insert(0, found);
            snapshot.summary.blocks.found += 1;
            snapshot.summary.blocks.accepted += 1;
        });

        browser.until(&format!(
            "document.querySelector('#blocks').textContent.includes('{hash}')"
        ));
        browser
            .until("document.querySelector('#found').textContent.includes('Block 918,000 found')");
        let first = browser.value_of("document.querySelector('#blocks li .height').textContent");
        assert_eq!(first, "918,000");
        assert_eq!(
            browser.value_of("window.loadedOnce"),
            true,
            "the page was loaded again"
        );
    });
}

#[test]
fn several_nodes_are_listed_with_what_is_the_matter_and_one_alone_is_not() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("running");
        browser.open(&dashboard.url());
        browser.until("document.querySelector('#node dd')");
        assert_eq!(
            browser.value_of("document.querySelector('#nodes').hidden"),
            true
        );
        dashboard.publish(|snapshot| {
            *snapshot = sample::snapshot("nodes", sample::now(), 1);
        });
        browser.until("document.querySelectorAll('#nodes:not([hidden]) li').length === 3");
        browser.until("document.querySelector('#nodes li:first-child').textContent.includes('It does not answer.')");
        browser.until("document.querySelector('#nodes li:first-child').textContent.includes('Block signals: tcp://127.0.0.1:28332, not connected: Nothing listens there.')");
        browser.until("document.querySelector('#nodes li:nth-child(3)').textContent.includes('28332, connected: It says nothing of blocks')");
        browser.until(
            "document.querySelector('#nodes li:nth-child(2) .chip').textContent === 'Mined on'",
        );
        browser.until(
            "document.querySelector('#blocks').textContent.includes('umbrel.local:8332: known')",
        );
        dashboard.publish(|snapshot| snapshot.summary.nodes.clear());
        browser.until("document.querySelector('#nodes').hidden");
    });
}

#[test]
fn block_signals_say_whether_they_are_heard_and_what_to_do() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("running");
        browser.open(&dashboard.url());
        let shows = |words: &str| {
            format!(
                "[...document.querySelectorAll('#node dt')].find((dt) => dt.textContent === 'Block signals')?.nextElementSibling.textContent.includes({})",
                json!(words)
            )
        };
        browser.until(&shows(
            "tcp://127.0.0.1:28332, connected, last block 6 min ago",
        ));
        dashboard.publish(|snapshot| {
            *snapshot = sample::snapshot("node-down", sample::now(), 1);
        });
        browser.until(&shows("not connected: Nothing listens there."));
        browser.until(&shows("See whether the node runs"));
        let publish = |state, reason: Option<&str>| {
            dashboard.publish(|snapshot| {
                let publishers = &mut snapshot.summary.node.publishers;
                let [publisher, ..] = &mut publishers[..] else {
                    panic!("the sample has one");
                };
                *publisher = Publisher {
                    state,
                    reason: reason.map(Into::into),
                    next_step: None,
                    last_block_at: None,
                    ..publisher.clone()
                };
            });
        };
        publish(PublisherState::Mute, Some("It says nothing of blocks."));
        browser.until(&shows("28332, connected: It says nothing of blocks."));
        publish(PublisherState::Connecting, None);
        browser.until(&shows("28332, connecting"));
        publish(PublisherState::Connected, None);
        browser.until(&shows("connected, no block yet"));
        dashboard.publish(|snapshot| snapshot.summary.node.publishers.clear());
        browser.until(&shows("off: new blocks come with their template"));
    });
}

#[test]
fn a_refused_block_is_loud() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("running");
        browser.open(&dashboard.url());
        browser.until("document.querySelector('#blocks li')");
        dashboard.publish(|snapshot| {
            let mut refused = sample::snapshot("refused", sample::now(), 0);
            snapshot.summary.alarms = std::mem::take(&mut refused.summary.alarms);
            snapshot.blocks = refused.blocks;
        });
        browser.until("document.querySelector('#blocks .loud:last-child')?.textContent.includes('sent again by itself')");
        browser.until("document.querySelector('#blocks').textContent.includes('The node refused this block: bad-cb-amount.')");
        browser.until("document.querySelector('#needs[data-urgent]')?.textContent.includes('Block 917,998 was refused')");
    });
}

/// Word for word, by the name of whoever was asked; and no word of it where the node would not take the block.
#[test]
fn the_page_says_which_block_the_node_would_take_and_whom_it_pays() {
    const SAID: &str =
        "accepts your block at height 918,000, paying bc1qar0srr…wf5mdq 3.14604331 BTC.";
    let shown = "document.querySelector('#proof:not([hidden])')?.textContent";
    with_browser(|browser| {
        let dashboard = Dashboard::start("running");
        browser.open(&dashboard.url());
        for (kind, judge) in [
            (NodeKind::Rpc, "Bitcoin Core"),
            (NodeKind::TemplateDistribution, "The template provider"),
            (NodeKind::Ipc, "Bitcoin Core"),
            (NodeKind::Embedded, "This chain"),
        ] {
            dashboard.publish(|snapshot| snapshot.summary.node.kind = Some(kind));
            browser.until(&format!("{shown} === '{judge} {SAID}'"));
        }
        dashboard.publish(|snapshot| {
            let proof = snapshot.summary.proof.as_mut().expect("the scene has one");
            proof.verdict = ProofVerdict::Refused {
                reason: "bad-cb-amount".into(),
            };
        });
        browser.until("document.querySelector('#proof').hidden");
    });
}

#[test]
fn text_of_strangers_stays_text() {
    const NAME: &str = "<img src=x onerror=\"window.broken=1\"><script>window.broken=1</script>";
    with_browser(|browser| {
        let dashboard = Dashboard::start("running");
        dashboard.publish(|snapshot| {
            let miner = &mut snapshot.miners[0];
            miner.worker = NAME.into();
            miner.payout_address = None;
            miner.device = NAME.into();
            miner.hashes_per_second.five_minutes = 1e20;
            snapshot.miners.truncate(1);
            snapshot.blocks[0].worker = NAME.into();
            snapshot.blocks[0].fate = BlockFate::Refused {
                reason: NAME.into(),
                file: Some(NAME.into()),
            };
            let best = snapshot
                .summary
                .best
                .this_round
                .as_mut()
                .expect("the sample has one");
            best.worker = NAME.into();
        });
        browser.open(&dashboard.url());
        browser.until("document.querySelector('#miner-rows .worker button')");
        browser.value_of("document.querySelector('#miner-rows .worker button').click()");
        let quoted = json!(NAME).to_string();
        for part in [
            "#miner-rows .worker button",
            "#miner-rows .worker",
            "#miner-rows .detail",
            "#blocks .loud",
        ] {
            browser.until(&format!(
                "document.querySelector('{part}')?.textContent.includes({quoted})"
            ));
        }
        // A list of blocks names a long name by its ends.
        browser.until(
            "document.querySelector('#blocks .who').textContent.startsWith('<img src=x onerror=')",
        );
        assert_eq!(
            browser.value_of("document.querySelectorAll('main img, main script').length"),
            0
        );
        assert_eq!(browser.value_of("typeof window.broken"), "undefined");
        let markup = "try { document.body.innerHTML = '<p>'; 'taken' } catch { 'refused' }";
        assert_eq!(
            browser.value_of(markup),
            "refused",
            "the browser enforces trusted types"
        );
    });
}

#[test]
fn set_up_mode_says_the_one_thing_to_do_and_gives_way_to_the_pool() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("setup");
        browser.open(&dashboard.url());
        browser.until("document.querySelector('#setup:not([hidden]) h2')?.textContent.includes('No Bitcoin node was found')");
        browser.until(
            "document.querySelector('#setup-command').textContent.includes('bitcoind -server')",
        );
        browser.until("!document.querySelector('#connect-closed').hidden");
        dashboard.publish(|snapshot| {
            snapshot.summary.state = PoolState::Running;
            snapshot.summary.connect.listeners[0].open = true;
        });
        browser.until("document.querySelector('#setup').hidden");
        browser.until("document.querySelector('#state').textContent === 'Ready'");
        browser.until("!document.querySelector('#connect').hidden");
    });
}

#[test]
fn the_fields_of_a_miner_are_bare_and_reachable() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("running");
        browser.open(&dashboard.url());
        browser.until("document.querySelector('#values .value')");
        let value = |field: &str| {
            format!(
                "[...document.querySelectorAll('#values dt')].find((dt) => dt.textContent === '{field}')?.nextElementSibling.textContent"
            )
        };
        assert_eq!(
            browser.value_of(&value("Stratum Host")),
            "192.168.1.20",
            "not the loopback address typed"
        );
        assert_eq!(browser.value_of(&value("Stratum Port")), "3333");
        assert_eq!(browser.value_of(&value("User")), "enter your address above");
        browser.value_of(
            "(() => { const box = document.querySelector('#address'); box.value = 'bc1qmine'; box.dispatchEvent(new Event('input')); })()",
        );
        assert_eq!(browser.value_of(&value("User")), "bc1qmine.rig1");
        browser.value_of(
            "(() => { const box = document.querySelector('#device'); box.selectedIndex = 3; box.dispatchEvent(new Event('input')); })()",
        );
        assert_eq!(
            browser.value_of(&value("Pool URL")),
            "stratum2+tcp://192.168.1.20:3333/9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72"
        );
    });
}

/// A proxy on the pool's computer may stand before a port that is open to that computer alone.
#[test]
fn a_configured_host_is_what_miners_are_told() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("proxied");
        browser.open(&dashboard.url());
        browser.until("document.querySelector('#values .value')");
        let host = "[...document.querySelectorAll('#values dt')].find((dt) => dt.textContent === 'Stratum Host').nextElementSibling.textContent";
        assert_eq!(browser.value_of(host), "pool.example.org");
        assert_eq!(
            browser.value_of("document.querySelector('#connect-note').textContent"),
            ""
        );
    });
}

#[test]
fn a_field_is_copied_also_where_the_browser_keeps_its_clipboard_from_the_page() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("running");
        browser.open(&dashboard.url());
        browser.until("document.querySelectorAll('#values button').length === 6");
        // Over plain http from another computer there is no `navigator.clipboard`.
        browser.value_of(
            "(() => {
                Object.defineProperty(navigator, 'clipboard', { value: undefined });
                document.addEventListener('copy', () => {
                    window.copied = document.activeElement.value;
                });
                document.querySelectorAll('#values button')[4].click();
            })()",
        );
        browser.until("document.querySelectorAll('#values button')[4].textContent === 'Copied'");
        let key = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";
        assert_eq!(browser.value_of("window.copied"), key);
    });
}

#[test]
fn a_farm_is_searched_sorted_and_paged() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("farm");
        browser.open(&dashboard.url());
        let rows = "[...document.querySelectorAll('#miner-rows tr')]";
        browser.until(&format!("{rows}.length === 25"));
        browser.value_of("document.querySelector('#next').click()");
        browser.until("document.querySelector('#pager-text').textContent === '26–50 of 2,000'");
        let set = |field: &str, value: &str, event: &str| {
            format!(
                "(() => {{ const field = document.querySelector('{field}'); field.value = '{value}'; field.dispatchEvent(new Event('{event}')); }})()"
            )
        };
        browser.value_of(&set("#filter", "quiet", "change"));
        browser.until(&format!(
            "{rows}.length === 20 && {rows}.every((row) => row.dataset.state === 'quiet')"
        ));
        browser.value_of("document.querySelectorAll('#miner-heads button')[0].click()");
        browser.until(&format!(
            "{rows}[0].textContent.startsWith('row00.rack04.s21-0097')"
        ));
        assert_eq!(
            browser.value_of("document.querySelector('#miner-heads th').ariaSort"),
            "ascending"
        );
        browser.value_of(&set("#filter", "", "change"));
        browser.value_of(&set("#search", "s21-0042", "input"));
        browser.until(&format!(
            "{rows}.length === 1 && {rows}[0].textContent.includes('s21-0042')"
        ));
        browser.value_of(&set("#search", "nobody", "input"));
        browser
            .until("document.querySelector('#miners-empty').textContent === 'No miner matches.'");
    });
}

#[test]
fn a_lost_pool_is_said_and_found_again() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("running");
        browser.open(&dashboard.url());
        browser.until("document.querySelector('#live-text')?.textContent === 'Live'");
        browser.value_of("window.loadedOnce = true");
        let Dashboard {
            address, runtime, ..
        } = dashboard;
        runtime.shutdown_timeout(Duration::from_secs(60));
        browser.until("!document.querySelector('#lost').hidden");
        browser
            .until("document.querySelector('#lost').textContent.includes('What you see is from')");
        browser.until("document.querySelector('#live-text').textContent === 'Not live'");
        let again = Dashboard::on(address, "running", 9);
        browser.until("document.querySelector('#lost').hidden && document.querySelector('#live-text').textContent === 'Live'");
        assert_eq!(browser.value_of("window.loadedOnce"), true);
        drop(again);
    });
}

/// The first answers are on a phone's first screen, nothing is wider than it, and a farm of 2,000
/// is a page of rows.
#[test]
fn a_phone_shows_the_four_answers_at_once() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("farm");
        show_as(browser, 390, 844, "light");
        browser.open(&dashboard.url());
        browser.until("document.querySelectorAll('#miner-rows tr').length === 25");
        assert_eq!(
            browser.value_of("document.documentElement.scrollWidth"),
            390
        );
        let running = Dashboard::start("running");
        browser.open(&running.url());
        browser.until("document.querySelectorAll('#miner-rows tr').length === 4");
        let lowest =
            browser.value_of("document.querySelector('#overview').getBoundingClientRect().bottom");
        assert!(
            lowest.as_f64().expect("a length") <= 844.0,
            "the four answers end at {lowest}"
        );
        assert_eq!(
            browser.value_of("document.documentElement.scrollWidth"),
            390
        );
    });
}

fn show_as(browser: &mut Chromium, width: u32, height: u32, scheme: &str) {
    let screen =
        json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
    browser.call("Emulation.setDeviceMetricsOverride", screen);
    let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    browser.call("Emulation.setEmulatedMedia", scheme);
}

/// Takes pictures of every state into the directory `PICTURES`:
/// `PICTURES=/tmp/p cargo test -p headframe-dashboard --test browser -- --ignored`.
#[test]
#[ignore = "makes pictures for people"]
fn pictures() {
    let directory = std::env::var("PICTURES").expect("PICTURES names a directory");
    let only = std::env::var("SCENE").ok();
    with_browser(|browser| {
        for scene in sample::SCENES {
            if only.as_ref().is_some_and(|only| only != scene) {
                continue;
            }
            let dashboard = Dashboard::start(scene);
            for (name, width, height) in [("phone", 390, 844), ("desktop", 1280, 900)] {
                for scheme in ["light", "dark"] {
                    show_as(browser, width, height, scheme);
                    browser.open(&dashboard.url());
                    browser.until("document.querySelector('#main:not([hidden])')");
                    browser.until("document.querySelector('#chart').childElementCount > 0 || document.querySelector('#chart-section').hidden");
                    browser.until("document.querySelector('#miner-rows tr') || !document.querySelector('#miners-empty').hidden");
                    let path = Path::new(&directory).join(format!("{scene}-{name}-{scheme}.png"));
                    std::fs::write(path, picture(browser)).expect("the directory can be written");
                }
            }
        }
    });
}

/// The rows of miners that are silent, one of them open.
fn quiet_pictures(browser: &mut Chromium, save: &impl Fn(&str, Vec<u8>)) {
    let dashboard = Dashboard::start("farm");
    for (name, width, height) in [("phone", 390, 844), ("desktop", 1280, 900)] {
        for scheme in ["light", "dark"] {
            show_as(browser, width, height, scheme);
            browser.open(&dashboard.url());
            browser.until("document.querySelectorAll('#miner-rows tr').length === 25");
            browser.value_of("(() => { const field = document.querySelector('#filter'); field.value = 'quiet'; field.dispatchEvent(new Event('change')); })()");
            browser.until(
                "document.querySelectorAll('#miner-rows tr[data-state=quiet]').length === 20",
            );
            browser.value_of("document.querySelector('#miner-rows .worker button').click()");
            browser.value_of("document.querySelector('#miners-section').scrollIntoView()");
            save(&format!("quiet-{name}-{scheme}.png"), picture(browser));
        }
    }
}

/// What to type into a miner that speaks TLS.
fn tls_pictures(browser: &mut Chromium, save: &impl Fn(&str, Vec<u8>)) {
    let dashboard = Dashboard::start("running");
    for (name, width, height) in [("phone", 390, 844), ("desktop", 1280, 900)] {
        for scheme in ["light", "dark"] {
            show_as(browser, width, height, scheme);
            browser.open(&dashboard.url());
            browser.until("document.querySelector('#device option')");
            browser.value_of("(() => { const field = document.querySelector('#device'); field.value = 'Any miner, Stratum V1 with TLS'; field.dispatchEvent(new Event('input')); })()");
            browser.until(
                "document.querySelector('#connect-note').textContent.includes('certificate')",
            );
            browser.value_of("document.querySelector('#connect-section').scrollIntoView()");
            save(&format!("tls-{name}-{scheme}.png"), picture(browser));
        }
    }
}

/// The page when its pool has gone, and with the details of a miner open.
#[test]
#[ignore = "makes pictures for people"]
fn more_pictures() {
    let directory = std::env::var("PICTURES").expect("PICTURES names a directory");
    let save = |name: &str, picture: Vec<u8>| {
        let path = Path::new(&directory).join(name);
        std::fs::write(path, picture).expect("the directory can be written");
    };
    with_browser(|browser| {
        let dashboard = Dashboard::start("running");
        show_as(browser, 1280, 900, "light");
        browser.open(&dashboard.url());
        browser.until("document.querySelector('#miner-rows .worker button')");
        browser.value_of("document.querySelector('#miner-rows .worker button').click()");
        browser.value_of("document.querySelector('#miners-section').scrollIntoView()");
        save("detail-desktop-light.png", picture(browser));
        quiet_pictures(browser, &save);
        tls_pictures(browser, &save);
        dashboard.runtime.shutdown_background();
        browser.until("!document.querySelector('#lost').hidden");
        browser.value_of("scrollTo(0, 0)");
        save("lost-desktop-light.png", picture(browser));
    });
}

fn picture(browser: &mut Chromium) -> Vec<u8> {
    let whole = std::env::var("WHOLE").is_ok();
    let answer = browser.call(
        "Page.captureScreenshot",
        json!({ "format": "png", "captureBeyondViewport": whole }),
    );
    from_base64(answer["data"].as_str().expect("a picture"))
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let bits = text.bytes().filter(|c| *c != b'=');
    let (mut bytes, mut held, mut count) = (Vec::new(), 0_u32, 0);
    for c in bits {
        held = held << 6 | u32::from(value(c));
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((held >> count) as u8);
        }
    }
    bytes
}
