//! The hub's task: hears the node, publishes work, hands out extranonce prefixes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::Amount;
use headframe_channels::ExtranoncePrefix;
use headframe_mining::server::{Hub, NewTemplate, PoolWork};
use headframe_node::{NodeError, NodeStatus, TemplateSource, TemplateUpdate};
use headframe_work::Difficulty;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::wall_clock;
use crate::news::{News, WorkNews};

/// Requests that wait for the hub.
const QUEUE: usize = 1_024;
/// While the node has no other template, work is numbered anew this often: devices drop a
/// connection after 180 s of silence, and a fast standard channel runs out of nonces.
const REFRESH: Duration = Duration::from_secs(30);
/// A source that gave no template is not asked again before this time, whatever it is.
const REST: Duration = Duration::from_millis(250);

/// What connections ask of the hub.
#[derive(Debug)]
enum Request {
    Lease(oneshot::Sender<Option<ExtranoncePrefix>>),
    GiveBack(ExtranoncePrefix),
}

/// The way to the hub.
#[derive(Debug, Clone)]
pub(crate) struct HubHandle(mpsc::Sender<Request>);

impl HubHandle {
    /// A prefix that no live channel has; `None` when the pool is full or shutting down.
    pub(crate) async fn lease_prefix(&self) -> Option<ExtranoncePrefix> {
        let (answer, prefix) = oneshot::channel();
        self.0.send(Request::Lease(answer)).await.ok()?;
        prefix.await.ok()?
    }

    /// Takes a prefix back.
    pub(crate) async fn give_back_prefix(&self, prefix: ExtranoncePrefix) {
        // A hub that is gone needs no prefixes.
        let _ = self.0.send(Request::GiveBack(prefix)).await;
    }
}

/// The hub and what it hears.
pub(crate) struct HubTask {
    hub: Hub,
    source: Box<dyn TemplateSource>,
    status: watch::Receiver<NodeStatus>,
    news: mpsc::Sender<News>,
    requests: mpsc::Receiver<Request>,
    refresh_at: Instant,
    /// The source is not asked before this time.
    ask_at: Instant,
    is_node_well: bool,
}

impl HubTask {
    pub(crate) fn new(
        hub: Hub,
        source: Box<dyn TemplateSource>,
        status: watch::Receiver<NodeStatus>,
        news: mpsc::Sender<News>,
    ) -> (Self, HubHandle) {
        let (sender, requests) = mpsc::channel(QUEUE);
        let task = Self {
            hub,
            source,
            status,
            news,
            requests,
            refresh_at: Instant::now() + REFRESH,
            ask_at: Instant::now(),
            is_node_well: true,
        };
        (task, HubHandle(sender))
    }

    /// Waits for the first template that can be worked on; `None` at shutdown.
    pub(crate) async fn first_work(
        &mut self,
        shutdown: &CancellationToken,
    ) -> Option<Arc<PoolWork>> {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return None,
                Ok(()) = self.status.changed() => self.tell_status(),
                update = next_after(self.ask_at, &mut *self.source) => {
                    if let Some((work, is_new_tip)) = self.handle_update(update) {
                        self.tell_work(&work, is_new_tip);
                        return Some(work);
                    }
                }
            }
        }
    }

    /// Publishes work until shutdown.
    pub(crate) async fn run(
        mut self,
        work: watch::Sender<Arc<PoolWork>>,
        shutdown: CancellationToken,
    ) {
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                update = next_after(self.ask_at, &mut *self.source) => {
                    if let Some((newer, is_new_tip)) = self.handle_update(update) {
                        // Miners first.
                        work.send_replace(Arc::clone(&newer));
                        self.tell_work(&newer, is_new_tip);
                    }
                }
                Some(request) = self.requests.recv() => self.handle_request(request),
                Ok(()) = self.status.changed() => self.tell_status(),
                () = sleep_until(self.refresh_at.into()) => {
                    if let Some(again) = self.hub.refresh() {
                        work.send_replace(again);
                    }
                    self.refresh_at = Instant::now() + REFRESH;
                }
            }
        }
    }

    fn handle_request(&mut self, request: Request) {
        match request {
            Request::Lease(answer) => {
                // A connection that is gone in the meantime leaves its prefix in the answer.
                if let Err(Some(prefix)) = answer.send(self.hub.lease_prefix()) {
                    self.hub.give_back_prefix(prefix);
                }
            }
            Request::GiveBack(prefix) => self.hub.give_back_prefix(prefix),
        }
    }

    /// The new work, and whether it is on another tip.
    fn handle_update(
        &mut self,
        update: Result<TemplateUpdate, NodeError>,
    ) -> Option<(Arc<PoolWork>, bool)> {
        let update = match update {
            Ok(update) => update,
            Err(error) => {
                warn!("the node gives no templates: {error}; {}", error.advice());
                self.is_node_well = false;
                self.ask_at = Instant::now() + REST;
                return None;
            }
        };
        if !core::mem::replace(&mut self.is_node_well, true) {
            info!("the node gives templates again");
        }
        let old_tip = self.hub.work().map(|work| work.tip());
        let made = self.hub.handle_template(NewTemplate {
            template: update.template,
            received: update.received,
            earliest: update.window.earliest,
            latest: update.window.latest,
        });
        match made {
            Ok(work) => {
                self.refresh_at = Instant::now() + REFRESH;
                let is_new_tip = old_tip != Some(work.tip());
                Some((work, is_new_tip))
            }
            Err(error) => {
                error!("no block can be built on the node's template: {error}");
                let (reason, at) = (error.to_string(), wall_clock());
                self.tell(News::NoJob { reason, at });
                None
            }
        }
    }

    fn tell_status(&mut self) {
        let status = self.status.borrow_and_update().clone();
        self.tell(News::Node(status));
    }

    fn tell_work(&self, work: &Arc<PoolWork>, is_new_tip: bool) {
        let template = work.prepared.template();
        if is_new_tip {
            info!(
                "mining on block {}: {}",
                template.height.saturating_sub(1),
                template.prev_hash
            );
        }
        // A found block need not wait for the transactions to be written out.
        let prepared = Arc::clone(&work.prepared);
        tokio::task::spawn_blocking(move || prepared.transactions_hex().len());
        let transactions = template.transactions.iter();
        let fees = transactions.map(|transaction| transaction.fee);
        self.tell(News::Work(WorkNews {
            height: template.height,
            prev_hash: template.prev_hash,
            transactions: template.transactions.len(),
            fees: fees.fold(Amount::ZERO, |sum, fee| sum + fee),
            value: template.coinbase_value,
            network_difficulty: Difficulty::of_target(work.prepared.target()).as_f64(),
            at: wall_clock(),
        }));
    }

    /// The board is never waited for: the next template tells it the same and more.
    fn tell(&self, news: News) {
        let _ = self.news.try_send(news);
    }
}

async fn next_after(
    at: Instant,
    source: &mut dyn TemplateSource,
) -> Result<TemplateUpdate, NodeError> {
    sleep_until(at.into()).await;
    source.next().await
}
