//! A made-up pool as a dashboard hears of it.

use std::sync::Arc;

use headframe_api::{History, Overview, Snapshot};
use headframe_dashboard::{Feed, RollCall};
use tokio::sync::{mpsc, watch};

/// The pool's end of a dashboard.
pub(crate) struct Stage {
    snapshots: watch::Sender<Arc<Snapshot>>,
    overviews: watch::Sender<Arc<Overview>>,
    histories: watch::Sender<Arc<History>>,
}

impl Stage {
    /// A pool that shows these, and what its dashboard is given. A task of the runtime that this is called
    /// in lists its miners.
    pub(crate) fn set(snapshot: Snapshot, history: History) -> (Self, Feed) {
        let (overviews, overview) = watch::channel(overview(&snapshot));
        let (histories, history) = watch::channel(Arc::new(history));
        let (snapshots, shown) = watch::channel(Arc::new(snapshot));
        let (miners, mut calls) = mpsc::channel::<RollCall>(1);
        tokio::spawn(async move {
            while let Some(call) = calls.recv().await {
                let miners = shown.borrow().miners.clone();
                let _ = call.send(miners.into());
            }
        });
        let stage = Self {
            snapshots,
            overviews,
            histories,
        };
        let feed = Feed {
            overview,
            history,
            miners,
        };
        (stage, feed)
    }

    /// What is shown.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::clone(&self.snapshots.borrow())
    }

    pub(crate) fn show(&self, snapshot: Snapshot) {
        let overview = overview(&snapshot);
        self.snapshots.send_replace(Arc::new(snapshot));
        self.overviews.send_replace(overview);
    }

    /// The chart that is shown.
    pub(crate) fn history(&self) -> History {
        History::clone(&self.histories.borrow())
    }

    pub(crate) fn chart(&self, history: History) {
        self.histories.send_replace(Arc::new(history));
    }
}

fn overview(snapshot: &Snapshot) -> Arc<Overview> {
    Arc::new(Overview {
        summary: snapshot.summary.clone(),
        blocks: snapshot.blocks.clone(),
    })
}
