//! Accepts connections, within bounds, until told to stop.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use headframe_api::Overview;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::feed::{Feed, View, follow};
use crate::site::{Limits, Settings, Site, router};
use crate::write_deadline::WriteDeadline;

/// The largest request head, which holds every request of a browser with room to spare.
const LARGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;

/// How long to wait when the system refuses to accept, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Why the dashboard cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket given to [`serve`] is not one that listens: a fault of the caller.
    #[error("the dashboard's socket cannot be used: {0}")]
    Listener(#[source] std::io::Error),
}

/// Serves the dashboard on `listener` until `shutdown` resolves, then lets open requests end for
/// at most three seconds.
///
/// A feed whose pool has gone is still served, with what it said last, and its age is shown.
///
/// # Errors
///
/// Only if the listener is unusable from the start. Trouble with one visitor ends that visitor's
/// connection; a system that is out of file descriptors is waited for.
pub async fn serve(
    listener: TcpListener,
    feed: Feed,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_within(listener, feed, settings, Limits::default(), shutdown).await
}

pub(crate) async fn serve_within(
    listener: TcpListener,
    feed: Feed,
    settings: Settings,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    listener.local_addr().map_err(ServeError::Listener)?;
    let first = Arc::clone(&feed.overview.borrow());
    let (views, view) = watch::channel(Arc::new(View::new(first)));
    let (close, closing) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let site = Arc::new(Site {
        view,
        history: feed.history,
        miners: feed.miners,
        closing,
        event_streams: Arc::new(Semaphore::new(limits.event_streams)),
        settings,
        limits: limits.clone(),
    });
    tasks.spawn(follow_until_closed(Arc::clone(&site), feed.overview, views));

    tokio::select! {
        () = shutdown => {}
        never = accept_all(&listener, &site, &mut tasks) => match never {},
    }
    drop(listener);
    close.send_replace(true);
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, drained).await.is_err() {
        tracing::debug!("dashboard connections were still open at shutdown and were cut");
    }
    Ok(())
}

async fn follow_until_closed(
    site: Arc<Site>,
    overviews: watch::Receiver<Arc<Overview>>,
    views: watch::Sender<Arc<View>>,
) {
    tokio::select! {
        () = follow(overviews, views) => {}
        () = site.closed() => {}
    }
}

async fn accept_all(
    listener: &TcpListener,
    site: &Arc<Site>,
    tasks: &mut JoinSet<()>,
) -> Infallible {
    let router = router(Arc::clone(site));
    let slots = Arc::new(Semaphore::new(site.limits.connections));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await;
        let slot = slot.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                tasks.spawn(converse(stream, router.clone(), Arc::clone(site), slot));
            }
            Err(error) => {
                tracing::debug!(%error, "the dashboard could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while tasks.try_join_next().is_some() {}
    }
}

/// One connection, from its first request to its end.
async fn converse(stream: TcpStream, router: Router, site: Arc<Site>, _slot: OwnedSemaphorePermit) {
    // Without it events would wait for the acknowledgement of the one before; with an error the
    // connection is dead, which the first read will say.
    let _ = stream.set_nodelay(true);
    let stream = WriteDeadline::new(stream, site.limits.stalled_write);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(site.limits.request_head)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = site.closed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a dashboard connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use headframe_api::History;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// Starts a dashboard within `limits`; it stops when the sender is dropped.
    async fn start(limits: Limits) -> (std::net::SocketAddr, oneshot::Sender<()>) {
        let (_, overview) = watch::channel(Arc::new(Overview::default()));
        let (miners, _) = mpsc::channel(1);
        let (_, history) = watch::channel(Arc::new(History::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let feed = Feed {
            overview,
            history,
            miners,
        };
        tokio::spawn(serve_within(
            listener,
            feed,
            Settings::default(),
            limits,
            stopped,
        ));
        (address, stop)
    }

    async fn ask(stream: &mut TcpStream, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
    }

    async fn status(stream: &mut TcpStream) -> String {
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        String::from_utf8(head[9..].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn one_event_stream_too_many_is_refused_until_one_ends() {
        let limits = Limits {
            event_streams: 1,
            ..Limits::default()
        };
        let (address, _stop) = start(limits).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        ask(&mut first, "/api/v1/events").await;
        assert_eq!(status(&mut first).await, "200");
        let mut second = TcpStream::connect(address).await.unwrap();
        ask(&mut second, "/api/v1/events").await;
        assert_eq!(status(&mut second).await, "503");
        drop(first);
        loop {
            let mut again = TcpStream::connect(address).await.unwrap();
            ask(&mut again, "/api/v1/events").await;
            if status(&mut again).await == "200" {
                break;
            }
        }
    }

    #[tokio::test]
    async fn one_connection_too_many_waits_for_its_turn() {
        let limits = Limits {
            connections: 1,
            ..Limits::default()
        };
        let (address, _stop) = start(limits).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        ask(&mut first, "/healthz").await;
        assert_eq!(status(&mut first).await, "200");
        let mut second = TcpStream::connect(address).await.unwrap();
        ask(&mut second, "/healthz").await;
        ask(&mut first, "/healthz").await;
        let mut rest = vec![0; 1024];
        assert_ne!(
            first.read(&mut rest).await.unwrap(),
            0,
            "the first is still served"
        );
        drop(first);
        assert_eq!(status(&mut second).await, "200");
    }

    #[tokio::test]
    async fn a_visitor_that_sends_no_request_is_dropped() {
        let limits = Limits {
            request_head: Duration::from_millis(20),
            ..Limits::default()
        };
        let (address, _stop) = start(limits).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HT").await.unwrap();
        for stream in [&mut silent, &mut slow] {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_pool_that_is_gone_is_still_shown_with_a_heartbeat() {
        let limits = Limits {
            heartbeat: Duration::from_millis(5),
            ..Limits::default()
        };
        let (address, _stop) = start(limits).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask(&mut stream, "/api/v1/events").await;
        let mut seen = String::new();
        while seen.matches("event: beat").count() < 2 {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            assert_ne!(count, 0);
            seen.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        assert!(seen.contains("\"kind\":\"starting\""), "{seen}");
    }
}
