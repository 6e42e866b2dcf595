//! The page and its files, from the binary.
//!
//! The files' path holds a hash of all of them, so that a browser may keep them for ever and still
//! never mixes the files of two versions.

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

const PAGE: &str = include_str!("../assets/index.html");

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Name, media type, content.
type Asset = (&'static str, &'static str, &'static [u8]);

const ASSETS: [Asset; 12] = [
    ("app.css", CSS, include_bytes!("../assets/app.css")),
    ("favicon.svg", SVG, include_bytes!("../assets/favicon.svg")),
    ("app.js", JS, include_bytes!("../assets/app.js")),
    ("blocks.js", JS, include_bytes!("../assets/blocks.js")),
    ("chart.js", JS, include_bytes!("../assets/chart.js")),
    ("connect.js", JS, include_bytes!("../assets/connect.js")),
    ("dom.js", JS, include_bytes!("../assets/dom.js")),
    ("format.js", JS, include_bytes!("../assets/format.js")),
    ("live.js", JS, include_bytes!("../assets/live.js")),
    ("miners.js", JS, include_bytes!("../assets/miners.js")),
    ("node.js", JS, include_bytes!("../assets/node.js")),
    ("overview.js", JS, include_bytes!("../assets/overview.js")),
];

const VERSION: u64 = fingerprint();

/// The directory of the files' present version.
pub(crate) fn version() -> String {
    format!("{VERSION:016x}")
}

/// `GET /`
pub(crate) async fn page() -> Response {
    let page = PAGE.replace("{{assets}}", &format!("/assets/{}", version()));
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), NOT_CACHED];
    (headers, page).into_response()
}

/// `GET /favicon.ico`: for who asks without having read the page.
pub(crate) async fn favicon() -> Response {
    asset("favicon.svg", NOT_CACHED)
}

/// `GET /assets/{version}/{name}`
pub(crate) async fn file(Path((asked, name)): Path<(String, String)>) -> Response {
    if asked == version() {
        asset(&name, KEPT)
    } else {
        (StatusCode::NOT_FOUND, "of another version\n").into_response()
    }
}

const KEPT: (HeaderName, &str) = (CACHE_CONTROL, "public, max-age=31536000, immutable");
const NOT_CACHED: (HeaderName, &str) = (CACHE_CONTROL, "no-cache");

fn asset(name: &str, caching: (HeaderName, &'static str)) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, media_type, content)) => {
            let headers = [(CONTENT_TYPE, *media_type), caching];
            (headers, Bytes::from_static(content)).into_response()
        }
        None => (StatusCode::NOT_FOUND, "no such file\n").into_response(),
    }
}

/// FNV-1a of all files, at compile time. It tells versions apart; it proves nothing.
const fn fingerprint() -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut file = 0;
    while file < ASSETS.len() {
        let content = ASSETS[file].2;
        let mut at = 0;
        while at < content.len() {
            hash = (hash ^ content[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            at += 1;
        }
        file += 1;
    }
    hash
}
