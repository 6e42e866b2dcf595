//! The dashboard, on a thread and a runtime of its own, so that no visitor can slow a miner down.

use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use headframe_api::{History, Overview};
use headframe_server::Feed;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// A dashboard that is being served.
pub(crate) struct Web {
    /// Where it is.
    pub(crate) address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Web {
    /// Serves the dashboard at `address` until `shutdown`. `first` is what it shows at first.
    pub(crate) fn start(
        address: SocketAddr,
        allowed_hosts: Vec<String>,
        first: (Overview, History),
        shutdown: CancellationToken,
    ) -> anyhow::Result<(Self, Feed)> {
        let listener = TcpListener::bind(address).with_context(|| {
            format!("cannot serve the dashboard at {address}; choose another place with --http")
        })?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let feed = Feed::new(first.0, first.1);
        let shown = headframe_dashboard::Feed {
            overview: feed.overviews.subscribe(),
            history: feed.history.subscribe(),
            miners: feed.roll_caller(),
        };
        let settings = headframe_dashboard::Settings { allowed_hosts };
        let thread = thread::Builder::new().name("dashboard".to_owned());
        let thread = thread.spawn(move || {
            if let Err(problem) = serve(listener, shown, settings, shutdown) {
                error!("the dashboard has stopped: {problem:#}");
            }
        })?;
        Ok((Self { address, thread }, feed))
    }

    /// Waits until the last visitor is gone.
    pub(crate) fn join(self) {
        // A panic there has been reported already.
        let _ = self.thread.join();
    }
}

fn serve(
    listener: TcpListener,
    feed: headframe_dashboard::Feed,
    settings: headframe_dashboard::Settings,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let stopped = shutdown.cancelled_owned();
        headframe_dashboard::serve(listener, feed, settings, stopped).await?;
        Ok(())
    })
}
