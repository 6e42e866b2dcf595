//! `GET /api/v1/events`: the pool as server-sent events (WHATWG HTML, section 9.2).
//!
//! | event | data | when |
//! | --- | --- | --- |
//! | `hello` | `{"assets":"…"}` | first; the version of the page's files |
//! | `update` | `{"summary":…,"blocks":[…]}`, the ten newest blocks | on every change, at most four a second |
//! | `history` | `{}` | when `/api/v1/history` has more |
//! | `beat` | `{}` | when there was nothing else for ten seconds |
//!
//! A slow reader misses updates and never queues them: it is given the newest when it is ready.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use headframe_api::History;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::assets;
use crate::feed::View;
use crate::site::Site;

/// `GET /api/v1/events`
pub(crate) async fn events(State(site): State<Arc<Site>>) -> Response {
    match Arc::clone(&site.event_streams).try_acquire_owned() {
        Ok(permit) => {
            let headers = [
                (CONTENT_TYPE, "text/event-stream"),
                // Said to nginx, which would otherwise hold events back.
                (
                    axum::http::HeaderName::from_static("x-accel-buffering"),
                    "no",
                ),
            ];
            let body = Body::from_stream(event_stream(&site, permit));
            (headers, body).into_response()
        }
        Err(_) => {
            let text = "too many open pages; close one, or ask again later\n";
            let headers = [(RETRY_AFTER, "10")];
            (StatusCode::SERVICE_UNAVAILABLE, headers, text).into_response()
        }
    }
}

/// One visitor's stream.
struct Visitor {
    site: Arc<Site>,
    view: watch::Receiver<Arc<View>>,
    history: watch::Receiver<Arc<History>>,
    greeted: bool,
    _permit: OwnedSemaphorePermit,
}

fn event_stream(
    site: &Arc<Site>,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
    let mut visitor = Visitor {
        site: Arc::clone(site),
        view: site.view.clone(),
        history: site.history.clone(),
        greeted: false,
        _permit: permit,
    };
    visitor.view.mark_changed();
    visitor.history.mark_changed();
    stream::unfold(visitor, |mut visitor| async {
        let event = visitor.next_event().await?;
        Some((Ok(event), visitor))
    })
}

impl Visitor {
    /// Waits for what is to be said next; `None` when the server stops.
    async fn next_event(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            return Some(hello());
        }
        tokio::select! {
            biased;
            () = self.site.closed() => None,
            Ok(()) = self.view.changed() => Some(self.view.borrow_and_update().update_event()),
            Ok(()) = self.history.changed() => {
                self.history.mark_unchanged();
                Some(Bytes::from_static(b"event: history\ndata: {}\n\n"))
            }
            () = tokio::time::sleep(self.site.limits.heartbeat) => {
                Some(Bytes::from_static(b"event: beat\ndata: {}\n\n"))
            }
        }
    }
}

fn hello() -> Bytes {
    let version = assets::version();
    Bytes::from(format!(
        "retry: 2000\nevent: hello\ndata: {{\"assets\":\"{version}\"}}\n\n"
    ))
}
