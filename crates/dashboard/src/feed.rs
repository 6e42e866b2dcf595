//! What the pool tells the dashboard, and what is made of it once for all visitors.
//!
//! A [`View`] is one snapshot with its JSON, written at first use and shared from then on.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use headframe_api::{Block, History, Snapshot, Summary};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

/// Visitors see at most four changes a second, however many the pool publishes.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(250);

/// The page shows this many blocks before it asks for more.
const BLOCKS_IN_UPDATE: usize = 10;

/// What the pool tells the dashboard. Only the newest value of each matters.
#[derive(Debug, Clone)]
pub struct Feed {
    /// The pool at this moment: about one a second, and one at once when a block is found.
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    /// The hashrate over time: one per bucket.
    pub history: watch::Receiver<Arc<History>>,
}

/// One snapshot and the JSON made of it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) seen: Instant,
    update: OnceLock<Bytes>,
    whole: OnceLock<Bytes>,
}

/// The body of an `update` event: all that the page shows but the miners and the chart.
#[derive(Serialize)]
struct Update<'a> {
    summary: &'a Summary,
    blocks: &'a [Block],
}

impl View {
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            snapshot,
            seen: Instant::now(),
            update: OnceLock::new(),
            whole: OnceLock::new(),
        }
    }

    /// The `update` event of this snapshot, ready for the wire.
    pub(crate) fn update_event(&self) -> Bytes {
        let event = || {
            let blocks = &self.snapshot.blocks;
            let update = Update {
                summary: &self.snapshot.summary,
                blocks: blocks.get(..BLOCKS_IN_UPDATE).unwrap_or(blocks),
            };
            let mut event = b"event: update\ndata: ".to_vec();
            event.extend(to_json(&update));
            event.extend(b"\n\n");
            Bytes::from(event)
        };
        self.update.get_or_init(event).clone()
    }

    /// The whole snapshot as JSON.
    pub(crate) fn whole(&self) -> Bytes {
        let whole = || Bytes::from(to_json(&*self.snapshot));
        self.whole.get_or_init(whole).clone()
    }
}

/// JSON of a plain struct of [`headframe_api`] or of this crate.
pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain structs with string keys always serialise")
}

/// Turns snapshots into views until the pool is gone. Whoever watches then keeps the last one.
pub(crate) async fn follow(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    views: watch::Sender<Arc<View>>,
) {
    while snapshots.changed().await.is_ok() {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        views.send_replace(Arc::new(View::new(snapshot)));
        tokio::time::sleep(SHORTEST_INTERVAL).await;
    }
}
