//! The JSON of `/api/v1/` and `/healthz`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use headframe_api::{API_VERSION, Block, History, PoolState, Software};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::feed::{NotListed, to_json};
use crate::query::MinerQuery;
use crate::site::Site;

/// A pool that publishes nothing for this long is stuck: it publishes every second.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Path and meaning of everything that `/api/v1/` offers.
const ENDPOINTS: [(&str, &str); 9] = [
    (
        "/api/v1/summary",
        "the pool at this moment, without its lists",
    ),
    ("/api/v1/snapshot", "the summary, all miners and all blocks"),
    (
        "/api/v1/miners",
        "miners; ?search=TEXT &state=mining|quiet|gone &sort=worker|hashrate|difficulty|accepted|\
         rejected|best|last_share|connected &order=asc|desc &offset=N &limit=N",
    ),
    (
        "/api/v1/blocks",
        "found blocks, newest first; ?offset=N &limit=N",
    ),
    ("/api/v1/node", "the node"),
    (
        "/api/v1/history",
        "the hashrate over time; ?bucket_seconds=N for one resolution only",
    ),
    (
        "/api/v1/events",
        "server-sent events: update, history, beat",
    ),
    ("/metrics", "OpenMetrics"),
    (
        "/healthz",
        "200 while the process answers, 503 when it is stuck",
    ),
];

#[derive(Serialize)]
struct Index<'a> {
    software: &'a Software,
    api_version: u32,
    read_only: bool,
    endpoints: Vec<Endpoint>,
}

#[derive(Serialize)]
struct Endpoint {
    path: &'static str,
    description: &'static str,
}

/// `GET /api/v1/`
pub(crate) async fn index(State(site): State<Arc<Site>>) -> Response {
    let view = site.view();
    let endpoint = |(path, description)| Endpoint { path, description };
    json(&Index {
        software: &view.overview.summary.software,
        api_version: API_VERSION,
        read_only: true,
        endpoints: ENDPOINTS.into_iter().map(endpoint).collect(),
    })
}

/// `GET /api/v1/snapshot`
pub(crate) async fn snapshot(State(site): State<Arc<Site>>) -> Response {
    match site.view().whole(&site.miners).await {
        Ok(whole) => json_bytes(whole),
        Err(error) => not_listed(error),
    }
}

/// `GET /api/v1/summary`
pub(crate) async fn summary(State(site): State<Arc<Site>>) -> Response {
    json(&site.view().overview.summary)
}

/// `GET /api/v1/miners`
pub(crate) async fn miners(
    State(site): State<Arc<Site>>,
    query: Result<Query<MinerQuery>, QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => return bad_request(&rejection),
    };
    let view = site.view();
    match view.miners(&site.miners).await {
        Ok(miners) => json(&query.page_of(view.overview.summary.taken_at, miners)),
        Err(error) => not_listed(error),
    }
}

/// Which part of a list is asked for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Part {
    offset: Option<usize>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct BlocksPage<'a> {
    total: usize,
    offset: usize,
    blocks: Vec<&'a Block>,
}

/// `GET /api/v1/blocks`
pub(crate) async fn blocks(
    State(site): State<Arc<Site>>,
    query: Result<Query<Part>, QueryRejection>,
) -> Response {
    let part = match query {
        Ok(Query(part)) => part,
        Err(rejection) => return bad_request(&rejection),
    };
    let view = site.view();
    let blocks = &view.overview.blocks;
    let offset = part.offset.unwrap_or(0);
    let limit = part.limit.unwrap_or(usize::MAX);
    json(&BlocksPage {
        total: blocks.len(),
        offset,
        blocks: blocks.iter().skip(offset).take(limit).collect(),
    })
}

/// `GET /api/v1/node`
pub(crate) async fn node(State(site): State<Arc<Site>>) -> Response {
    json(&site.view().overview.summary.node)
}

/// Which resolution of the history is asked for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Resolution {
    bucket_seconds: Option<u64>,
}

/// `GET /api/v1/history`
pub(crate) async fn history(
    State(site): State<Arc<Site>>,
    query: Result<Query<Resolution>, QueryRejection>,
) -> Response {
    let history = Arc::clone(&site.history.borrow());
    match query {
        Err(rejection) => bad_request(&rejection),
        Ok(Query(Resolution {
            bucket_seconds: None,
        })) => json(&*history),
        Ok(Query(Resolution {
            bucket_seconds: Some(wanted),
        })) => {
            let mut series = history.series.clone();
            series.retain(|series| series.bucket_seconds == wanted);
            json(&History { series })
        }
    }
}

/// `GET /healthz`: an orchestrator must not restart a pool that waits for its node or its
/// operator, so only a stuck process is unhealthy.
pub(crate) async fn health(State(site): State<Arc<Site>>) -> Response {
    let view = site.view();
    let age = view.seen.elapsed();
    let (code, status) = match (&view.overview.summary.state, age < STUCK_AFTER) {
        (_, false) => (StatusCode::SERVICE_UNAVAILABLE, "stuck"),
        (PoolState::Running, true) => (StatusCode::OK, "ok"),
        (PoolState::Starting, true) => (StatusCode::OK, "starting"),
        (PoolState::Setup(_), true) => (StatusCode::OK, "setup"),
        (PoolState::NodeUnusable { .. }, true) => (StatusCode::OK, "node_unusable"),
        (PoolState::Stopping, true) => (StatusCode::OK, "stopping"),
    };
    let body = json!({ "status": status, "snapshot_age_seconds": age.as_secs() });
    (code, json(&body)).into_response()
}

/// Any other path.
pub(crate) async fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "nothing is here; see /api/v1/")
}

fn not_listed(problem: NotListed) -> Response {
    error(StatusCode::SERVICE_UNAVAILABLE, &problem.to_string())
}

fn bad_request(rejection: &QueryRejection) -> Response {
    error(StatusCode::BAD_REQUEST, &rejection.body_text())
}

fn error(code: StatusCode, message: &str) -> Response {
    (code, json(&json!({ "error": message }))).into_response()
}

fn json(value: &impl Serialize) -> Response {
    json_bytes(Bytes::from(to_json(value)))
}

fn json_bytes(body: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use headframe_api::Overview;
    use tokio::sync::{Semaphore, mpsc, watch};

    use super::*;
    use crate::feed::View;
    use crate::site::{Limits, Settings};

    #[tokio::test(start_paused = true)]
    async fn a_pool_that_publishes_nothing_is_stuck() {
        let overview = Arc::new(Overview::default());
        let (views, view) = watch::channel(Arc::new(View::new(Arc::clone(&overview))));
        let (_histories, history) = watch::channel(Arc::default());
        let (miners, _) = mpsc::channel(1);
        let (_close, closing) = watch::channel(false);
        let site = Arc::new(Site {
            view,
            history,
            miners,
            closing,
            event_streams: Arc::new(Semaphore::new(1)),
            settings: Settings::default(),
            limits: Limits::default(),
        });
        let status = async || health(State(Arc::clone(&site))).await.status();
        assert_eq!(status().await, StatusCode::OK);
        tokio::time::advance(STUCK_AFTER).await;
        assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
        views.send_replace(Arc::new(View::new(overview)));
        assert_eq!(status().await, StatusCode::OK);
    }
}
