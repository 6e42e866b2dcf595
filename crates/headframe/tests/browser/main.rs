//! The demonstration in a real browser: a block that is mined while somebody looks shows at once.

#[path = "../../../dashboard/tests/browser/chromium.rs"]
mod chromium;
#[path = "../program/process.rs"]
mod process;

use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chromium::Chromium;
use process::{Process, json};
use serde_json::{Value, json};

const DEMO: [&str; 5] = ["demo", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];

/// Runs a test with a browser and a demonstration, or says why not.
fn with_demo(test: impl FnOnce(&mut Chromium, SocketAddr)) {
    let Some(program) = chromium::find() else {
        eprintln!("skipped: no chromium found; `apt install chromium` or set CHROMIUM");
        return;
    };
    let home = tempfile::tempdir().expect("a directory");
    let mut demo = Process::start(home.path(), &DEMO);
    let dashboard = demo.dashboard();
    test(&mut Chromium::start(&program, home.path()), dashboard);
}

/// The blocks that the API shows, newest first.
fn blocks(dashboard: SocketAddr) -> Vec<Value> {
    let snapshot = json(dashboard, "/api/v1/snapshot");
    snapshot["blocks"].as_array().expect("a list").clone()
}

#[test]
fn a_block_that_is_mined_while_somebody_looks_shows_without_reloading() {
    with_demo(|browser, dashboard| {
        browser.open(&format!("http://{dashboard}/"));
        browser.until("document.querySelector('#live-text')?.textContent === 'Live'");
        browser.value_of("window.loadedOnce = true");
        let known = blocks(dashboard);
        let known: Vec<_> = known
            .iter()
            .map(|block| block["hash"].to_string())
            .collect();
        // The page's first block is one that the API did not have when the page was there.
        browser.until(&format!(
            "(() => {{
                const first = document.querySelector('#blocks li');
                const known = [{}];
                return first && known.every((hash) => !first.textContent.includes(hash));
            }})()",
            known.join(",")
        ));
        let shown = browser.value_of("document.querySelector('#blocks').textContent");
        let shown = shown.as_str().expect("text");
        let mined = blocks(dashboard).into_iter().find(|block| {
            let hash = block["hash"].as_str().expect("a hash");
            shown.contains(hash) && !known.contains(&block["hash"].to_string())
        });
        let mined = mined.expect("the page and the API show the same new block");
        let height = mined["height"].to_string();
        let heights = browser.value_of(
            "[...document.querySelectorAll('#blocks li .height')].map((it) => it.textContent)",
        );
        let heights = heights.as_array().expect("a list");
        assert!(
            heights.contains(&Value::from(height.as_str())),
            "{height} in {heights:?}"
        );
        assert_eq!(
            browser.value_of("window.loadedOnce"),
            true,
            "the page was loaded again"
        );
    });
}

/// Makes the pictures of the documentation: `cargo test -p headframe --test browser -- --ignored`.
#[test]
#[ignore = "writes docs/images"]
fn pictures_for_the_documentation() {
    with_demo(|browser, dashboard| {
        let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images");
        browser.open(&format!("http://{dashboard}/"));
        // Some minutes, for a chart that is one.
        for height in [120, 130, 140, 150] {
            browser.until(&format!(
                "Number(document.querySelector('#blocks li .height')?.textContent) >= {height}"
            ));
        }
        browser.until("/[0-9]/.test(document.querySelector('#closest').textContent)");
        for (name, scheme, (width, height, scale)) in [
            ("dashboard-desktop-light.png", "light", (1280, 900, 1)),
            ("dashboard-phone-dark.png", "dark", (390, 844, 2)),
        ] {
            let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
            browser.call("Emulation.setEmulatedMedia", json!({ "features": scheme }));
            browser.call(
                "Emulation.setDeviceMetricsOverride",
                json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 500 }),
            );
            browser.value_of(
                "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))",
            );
            let shot = browser.call("Page.captureScreenshot", json!({ "format": "png" }));
            let data = shot["data"].as_str().expect("a picture");
            let picture = BASE64_STANDARD.decode(data).expect("base64");
            std::fs::write(images.join(name), picture).expect("docs/images can be written");
        }
    });
}
