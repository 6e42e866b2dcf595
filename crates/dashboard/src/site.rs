//! What every request handler shares, and the table of paths.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use headframe_api::History;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::feed::{RollCall, View};
use crate::{assets, events, guard, json, metrics};

/// What the operator may choose about the dashboard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Host names, without port, by which visitors may call the dashboard, for example behind a
    /// reverse proxy. IP addresses, names without a dot, `.local` and other names of private
    /// networks, and the snapshot's `connect.public_host` are always allowed. Any other name is
    /// refused: it could be a stranger's web site that points to this machine (DNS rebinding).
    pub allowed_hosts: Vec<String>,
}

/// Bounds on what visitors may take. Constants in the product; tests make them small.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Open connections. A browser takes up to six. Further ones wait in the socket's backlog.
    pub(crate) connections: usize,
    /// Open event streams, one per open page. Fewer than connections, so that scripts get through.
    pub(crate) event_streams: usize,
    /// How long a connection may take to send a request's head, and may idle between two.
    pub(crate) request_head: Duration,
    /// How long a reader may take none of the bytes that wait for it.
    pub(crate) stalled_write: Duration,
    /// How often an event stream says something, so that both ends notice a dead line.
    pub(crate) heartbeat: Duration,
    /// How long open requests may take to end at shutdown.
    pub(crate) drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            event_streams: 128,
            request_head: Duration::from_secs(15),
            stalled_write: Duration::from_secs(30),
            heartbeat: Duration::from_secs(10),
            drain: Duration::from_secs(3),
        }
    }
}

/// What every request handler shares.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) history: watch::Receiver<Arc<History>>,
    pub(crate) miners: mpsc::Sender<RollCall>,
    /// Becomes true when the server stops.
    pub(crate) closing: watch::Receiver<bool>,
    pub(crate) event_streams: Arc<Semaphore>,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
}

impl Site {
    /// The newest view. The lock inside is held for a clone of an `Arc` only.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Resolves when the server stops.
    pub(crate) async fn closed(&self) {
        // An error means that the server is gone, which is as good as closed.
        let _ = self.closing.clone().wait_for(|closing| *closing).await;
    }
}

/// The table of paths. Everything is read with GET; nothing takes a body.
pub(crate) fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(assets::page))
        .route("/favicon.ico", get(assets::favicon))
        .route("/assets/{version}/{name}", get(assets::file))
        .route("/healthz", get(json::health))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1", get(json::index))
        .route("/api/v1/", get(json::index))
        .route("/api/v1/snapshot", get(json::snapshot))
        .route("/api/v1/summary", get(json::summary))
        .route("/api/v1/miners", get(json::miners))
        .route("/api/v1/blocks", get(json::blocks))
        .route("/api/v1/node", get(json::node))
        .route("/api/v1/history", get(json::history))
        .route("/api/v1/events", get(events::events))
        .fallback(json::not_found)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&site),
            guard::guard,
        ))
        .with_state(site)
}
