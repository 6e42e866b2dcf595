//! What holds for every request: the host it may name, and the headers of the answer.
//!
//! The dashboard has no log-in, so the one thing that keeps a stranger's web page from reading it
//! through the visitor's browser is the same-origin policy. A host name under the stranger's
//! control that resolves to this machine (DNS rebinding) would defeat it; hence the check of `Host`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::site::Site;

/// Scripts, styles, pictures and connections from here and nothing else; no inline code; no string
/// ever becomes markup or code, which the browser enforces (`require-trusted-types-for`).
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// Endings of names that no public DNS serves.
const PRIVATE_SUFFIXES: [&str; 6] = [
    ".local",
    ".localhost",
    ".lan",
    ".home.arpa",
    ".internal",
    ".home",
];

/// Refuses foreign hosts, passes everything else on, and adds the security headers.
pub(crate) async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let host = requested_host(&request);
    let mut response = match host {
        Some(host) if is_allowed(&site, &host) => next.run(request).await,
        Some(host) => misdirected(&host),
        None => (StatusCode::BAD_REQUEST, "the request names no host\n").into_response(),
    };
    add_headers(response.headers_mut());
    response
}

fn add_headers(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// The host that the visitor typed, without port and in lower case.
fn requested_host(request: &Request<Body>) -> Option<String> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(header::HOST)?.to_str().ok()?,
    };
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host),
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

fn is_allowed(site: &Site, host: &str) -> bool {
    let named = |name: &String| name.eq_ignore_ascii_case(host);
    host.parse::<IpAddr>().is_ok()
        || !host.contains('.')
        || PRIVATE_SUFFIXES.iter().any(|suffix| host.ends_with(suffix))
        || site.settings.allowed_hosts.iter().any(named)
        || site
            .view()
            .overview
            .summary
            .connect
            .public_host
            .iter()
            .any(named)
}

fn misdirected(host: &str) -> Response {
    let text = format!(
        "this dashboard does not answer to the name {host}; open it by its IP address, \
         or let the operator add the name to the dashboard's allowed hosts\n"
    );
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}
