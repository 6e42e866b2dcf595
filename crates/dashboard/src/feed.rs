//! What the pool tells the dashboard, and what is made of it once for all visitors.
//!
//! A [`View`] is the pool at one moment with its JSON, written at first use and shared from then on. Its
//! miners are asked for at first use too: there may be very many, and mostly nobody looks.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use headframe_api::{Block, History, Miner, Overview, Summary};
use serde::Serialize;
use tokio::sync::{OnceCell, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

/// Visitors see at most four changes a second, however many the pool publishes.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(250);

/// The pool lists its miners within milliseconds. One that takes so long is stuck, or stopping.
const LISTED_WITHIN: Duration = Duration::from_secs(5);

/// The page shows this many blocks before it asks for more.
const BLOCKS_IN_UPDATE: usize = 10;

/// Somebody who wants the list of miners, and waits for it.
pub type RollCall = oneshot::Sender<Arc<[Miner]>>;

/// What the pool tells the dashboard. Only the newest value of the first two matters.
#[derive(Debug, Clone)]
pub struct Feed {
    /// The pool at this moment: about one a second, and one at once when a block is found.
    pub overview: watch::Receiver<Arc<Overview>>,
    /// The hashrate over time: one per bucket.
    pub history: watch::Receiver<Arc<History>>,
    /// Where the miners are asked for: four times a second at most, and only while somebody looks.
    pub miners: mpsc::Sender<RollCall>,
}

/// The pool at one moment, and the JSON made of it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) overview: Arc<Overview>,
    pub(crate) seen: Instant,
    miners: OnceCell<Arc<[Miner]>>,
    update: OnceLock<Bytes>,
    whole: OnceLock<Bytes>,
}

/// The pool does not say who its miners are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pool is stopping, or stuck: it does not list its miners")]
pub(crate) struct NotListed;

/// The body of `/api/v1/snapshot`: a [`Snapshot`](headframe_api::Snapshot).
#[derive(Serialize)]
struct Whole<'a> {
    summary: &'a Summary,
    miners: &'a [Miner],
    blocks: &'a [Block],
}

/// The body of an `update` event: all that the page shows but the miners and the chart.
#[derive(Serialize)]
struct Update<'a> {
    summary: &'a Summary,
    blocks: &'a [Block],
}

impl View {
    pub(crate) fn new(overview: Arc<Overview>) -> Self {
        Self {
            overview,
            seen: Instant::now(),
            miners: OnceCell::new(),
            update: OnceLock::new(),
            whole: OnceLock::new(),
        }
    }

    /// The miners, as they are when the first visitor asks.
    pub(crate) async fn miners(
        &self,
        pool: &mpsc::Sender<RollCall>,
    ) -> Result<&[Miner], NotListed> {
        let listed = self.miners.get_or_try_init(async || {
            let (call, miners) = oneshot::channel();
            pool.send(call).await.map_err(|_| NotListed)?;
            miners.await.map_err(|_| NotListed)
        });
        let listed = timeout(LISTED_WITHIN, listed).await;
        listed.unwrap_or(Err(NotListed)).map(|miners| &**miners)
    }

    /// The `update` event of this moment, ready for the wire.
    pub(crate) fn update_event(&self) -> Bytes {
        let event = || {
            let blocks = &self.overview.blocks;
            let update = Update {
                summary: &self.overview.summary,
                blocks: blocks.get(..BLOCKS_IN_UPDATE).unwrap_or(blocks),
            };
            let mut event = b"event: update\ndata: ".to_vec();
            event.extend(to_json(&update));
            event.extend(b"\n\n");
            Bytes::from(event)
        };
        self.update.get_or_init(event).clone()
    }

    /// All of it as JSON.
    pub(crate) async fn whole(&self, pool: &mpsc::Sender<RollCall>) -> Result<Bytes, NotListed> {
        let Overview { summary, blocks } = &*self.overview;
        let miners = self.miners(pool).await?;
        let whole = Whole {
            summary,
            miners,
            blocks,
        };
        let whole = || Bytes::from(to_json(&whole));
        Ok(self.whole.get_or_init(whole).clone())
    }
}

/// JSON of a plain struct of [`headframe_api`] or of this crate.
pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain structs with string keys always serialise")
}

/// Turns what is published into views until the pool is gone. Whoever watches then keeps the last one.
pub(crate) async fn follow(
    mut overviews: watch::Receiver<Arc<Overview>>,
    views: watch::Sender<Arc<View>>,
) {
    while overviews.changed().await.is_ok() {
        let overview = Arc::clone(&overviews.borrow_and_update());
        views.send_replace(Arc::new(View::new(overview)));
        tokio::time::sleep(SHORTEST_INTERVAL).await;
    }
}
