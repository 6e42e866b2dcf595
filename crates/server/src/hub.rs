//! The hub's task: hears the node, publishes work, hands out extranonce prefixes.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::Amount;
use headframe_channels::{ExtranoncePrefix, Past};
use headframe_mining::server::{
    AnnouncedTip, Hub, NewTemplate, ParkedSession, PoolWork, SessionId,
};
use headframe_node::{NewTip, NodeError, NodeStatus, TemplateSource, TemplateUpdate};
use headframe_work::{Difficulty, KeptVersion};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{self, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::ahead::Ahead;
use crate::bell::{Bells, Call};
use crate::clock::{sleep_until_some, wall_clock};
use crate::hold::{Hold, Service};
use crate::news::{HoldNews, News, WorkNews};

/// Requests that wait for the hub.
const QUEUE: usize = 1_024;
/// A source that gave no template is not asked again before this time, whatever it is.
const REST: Duration = Duration::from_millis(250);
/// Jobs wait no longer than this for the tip to have reached all miners: by then the fees that the
/// first of them forgo are worth more than the time that the last of them would lose.
const TOLD_WITHIN: Duration = Duration::from_millis(250);

/// What connections ask of the hub.
#[derive(Debug)]
enum Request {
    Lease(oneshot::Sender<Option<ExtranoncePrefix>>),
    GiveBack(Vec<ExtranoncePrefix>),
    Recall(String, oneshot::Sender<Option<Box<Past>>>),
    Remember(Arc<str>, Box<Past>),
    Park(Box<ParkedSession>),
    Resume(SessionId, oneshot::Sender<Option<Box<ParkedSession>>>),
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

    /// What was known of the miner that calls itself `user` when it was here last.
    pub(crate) async fn recall(&self, user: &str) -> Option<Box<Past>> {
        let (answer, past) = oneshot::channel();
        let request = Request::Recall(user.to_owned(), answer);
        self.0.send(request).await.ok()?;
        past.await.ok()?
    }

    /// Remembers what is known of the miner that calls itself `user`, unless the hub is behind.
    pub(crate) fn remember(&self, user: Arc<str>, past: Box<Past>) {
        if let Ok(place) = self.0.try_reserve() {
            place.send(Request::Remember(user, past));
        }
    }

    /// Keeps a session that has lost its connection, unless the hub is behind; then its prefix is to
    /// be given back.
    pub(crate) fn park(&self, session: Box<ParkedSession>) -> Result<(), ExtranoncePrefix> {
        match self.0.try_reserve() {
            Ok(place) => {
                place.send(Request::Park(session));
                Ok(())
            }
            Err(_) => Err(session.prefix()),
        }
    }

    /// The session that a client wants to go on with, if it is there.
    pub(crate) async fn resume(&self, id: SessionId) -> Option<Box<ParkedSession>> {
        let (answer, session) = oneshot::channel();
        self.0.send(Request::Resume(id, answer)).await.ok()?;
        session.await.ok()?
    }

    /// Takes `prefixes` back, unless the hub is behind; then they stay.
    pub(crate) fn give_back_prefixes(&self, prefixes: &mut Vec<ExtranoncePrefix>) {
        if !prefixes.is_empty()
            && let Ok(place) = self.0.try_reserve()
        {
            place.send(Request::GiveBack(core::mem::take(prefixes)));
        }
    }

    /// Takes `prefixes` back, however long the hub is behind.
    pub(crate) async fn insist_on_prefixes(
        &self,
        prefixes: impl ExactSizeIterator<Item = ExtranoncePrefix>,
    ) {
        if prefixes.len() > 0 {
            // A hub that is gone needs no prefixes.
            let _ = self.0.send(Request::GiveBack(prefixes.collect())).await;
        }
    }
}

/// The hub and what it hears.
pub(crate) struct HubTask {
    hub: Hub,
    source: Box<dyn TemplateSource>,
    status: watch::Receiver<NodeStatus>,
    news: mpsc::Sender<News>,
    requests: mpsc::Receiver<Request>,
    /// The source is not asked before this time.
    ask_at: Instant,
    is_node_well: bool,
    hold: Hold,
    ahead: Ahead,
    service: watch::Sender<Service>,
    bells: Arc<Bells>,
    /// What the log has of the version that blocks get.
    kept_version: Option<KeptVersion>,
}

impl HubTask {
    pub(crate) fn new(
        hub: Hub,
        source: Box<dyn TemplateSource>,
        status: watch::Receiver<NodeStatus>,
        news: mpsc::Sender<News>,
    ) -> (Self, HubHandle) {
        let (sender, requests) = mpsc::channel(QUEUE);
        let ahead = Ahead::of(&*source);
        let task = Self {
            hub,
            source,
            status,
            news,
            requests,
            ask_at: Instant::now(),
            is_node_well: true,
            hold: Hold::new(None),
            ahead,
            service: watch::Sender::new(Service::Usual),
            bells: Arc::default(),
            kept_version: None,
        };
        (task, HubHandle(sender))
    }

    /// Holds miners for so long while the node is away; `None`: for ever.
    pub(crate) fn holding(self, limit: Option<Duration>) -> Self {
        Self {
            hold: Hold::new(limit),
            ..self
        }
    }

    /// Begins tips on the block without transactions, where they have no template yet for so long at the most;
    /// zero: never.
    pub(crate) fn beginning_empty(mut self, limit: Duration) -> Self {
        self.ahead.set_limit(limit);
        match limit {
            Duration::ZERO => Self {
                hub: self.hub.without_empty_blocks(),
                ..self
            },
            _ => self,
        }
    }

    /// What becomes of miners while the node is away.
    pub(crate) fn service(&self) -> watch::Receiver<Service> {
        self.service.subscribe()
    }

    /// Where connections hear of work and service.
    pub(crate) fn bells(&self) -> Arc<Bells> {
        Arc::clone(&self.bells)
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
                    let new = self.accept(update);
                    if let Some(work) = new.and_then(|new| self.prepare(new)) {
                        self.tell_work(&work, true);
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
            let ahead_ends = self.ahead.ends(&self.hub);
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                // Before all else: a tip that was just heard of is due at once.
                tip = self.ahead.next() => self.begin_ahead(tip, &work),
                () = sleep_until_some(self.hub.poll_timeout()) => self.renew(&work).await,
                () = sleep_until_some(self.hold.poll_timeout()) => {
                    self.hold.handle_timeout(now());
                    self.serve();
                }
                () = sleep_until_some(ahead_ends) => self.take_back(&work),
                update = next_after(self.ask_at, &mut *self.source) => {
                    if let Some(new) = self.accept(update) {
                        self.hub.offer(new);
                    }
                }
                Some(request) = self.requests.recv() => self.handle_request(request),
                Ok(()) = self.status.changed() => self.tell_status(),
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
            Request::Recall(user, answer) => {
                // A connection that is gone in the meantime needs no answer.
                let past = self.hub.recall(Instant::now(), &user);
                let _ = answer.send(past.cloned().map(Box::new));
            }
            Request::Park(session) => self.hub.park(Instant::now(), *session),
            Request::Resume(id, answer) => {
                let now = Instant::now();
                let session = self.hub.resume(now, id).map(Box::new);
                // A connection that is gone in the meantime leaves its session in the answer.
                if let Err(Some(session)) = answer.send(session) {
                    self.hub.park(now, *session);
                }
            }
            Request::Remember(user, past) => self.hub.remember(user, past),
            Request::GiveBack(prefixes) => {
                let prefixes = prefixes.into_iter();
                prefixes.for_each(|prefix| self.hub.give_back_prefix(prefix));
            }
        }
    }

    /// Publishes the work that is due.
    async fn renew(&mut self, work: &watch::Sender<Arc<PoolWork>>) {
        if let Some(new) = self.hub.take_offered() {
            self.publish(new, work).await;
        } else if let Some(again) = self.hub.refresh(now()) {
            self.show(work, again);
        }
    }

    fn show(&self, work: &watch::Sender<Arc<PoolWork>>, newer: Arc<PoolWork>) {
        work.send_replace(newer);
        self.bells.ring(Call::Work);
    }

    /// Publishes the empty block on a tip that has no template yet.
    fn begin_ahead(&mut self, tip: NewTip, work: &watch::Sender<Arc<PoolWork>>) {
        let announced = AnnouncedTip {
            hash: tip.tip.hash,
            parent: tip.parent,
            height: tip.tip.height,
            bits: tip.bits,
            earliest: tip.earliest,
        };
        if let Some(start) = self.hub.begin_ahead(now(), &announced) {
            self.show(work, start);
            self.ahead.begin(now(), true);
            info!(
                "mining on block {}: {}, which has no template yet",
                tip.tip.height, tip.tip.hash
            );
        }
    }

    /// No template has come on a tip for too long.
    fn take_back(&mut self, work: &watch::Sender<Arc<PoolWork>>) {
        if let Some(back) = self.hub.take_back(now()) {
            self.show(work, back);
            self.tell_empty();
            warn!(
                "the node told of a block and gave no template on it: miners go back to what they had before"
            );
            // As if it had said so itself: its next template ends this.
            self.is_node_well = false;
            self.hold.handle_failure(now());
            self.tell_hold();
        }
    }

    /// Miners have something else than the block without transactions now.
    fn tell_empty(&mut self) {
        if let Some(news) = self.ahead.end(now()) {
            self.tell(News::Empty(news));
        }
    }

    /// Publishes what miners hold for a new tip, and then the template.
    async fn publish(&mut self, new: NewTemplate, work: &watch::Sender<Arc<PoolWork>>) {
        let old_tip = self.hub.work().map(|work| work.tip());
        let mut is_begun = self.hub.ahead_since().is_some();
        if let Some(start) = self.hub.begin_tip(now(), &new) {
            self.show(work, start);
            self.ahead.begin(now(), false);
            is_begun = true;
        }
        if is_begun {
            self.until_told().await;
        }
        if let Some(newer) = self.prepare(new) {
            // Miners first.
            self.show(work, Arc::clone(&newer));
            self.tell_work(&newer, old_tip != Some(newer.tip()));
        }
    }

    /// Waits until all miners have been told the tip, so that none waits for the jobs of others, nor for
    /// what the template takes of this thread. Those who want something of the hub are served: they
    /// would not hear of the tip before.
    async fn until_told(&mut self) {
        let mut limit = pin!(sleep(TOLD_WITHIN));
        loop {
            tokio::select! {
                biased;
                () = self.bells.answered() => return,
                () = &mut limit => return,
                Some(request) = self.requests.recv() => self.handle_request(request),
            }
        }
    }

    /// The node's template; its silence is told.
    fn accept(&mut self, update: Result<TemplateUpdate, NodeError>) -> Option<NewTemplate> {
        let update = match update {
            Ok(update) => update,
            Err(error) => {
                warn!("the node gives no templates: {error}; {}", error.advice());
                self.is_node_well = false;
                self.ask_at = Instant::now() + REST;
                self.hold.handle_failure(now());
                self.tell_hold();
                return None;
            }
        };
        if !core::mem::replace(&mut self.is_node_well, true) {
            info!("the node gives templates again");
            self.hold.handle_template();
            self.serve();
        }
        Some(NewTemplate {
            template: update.template,
            received: update.received,
            earliest: update.window.earliest,
            latest: update.window.latest,
        })
    }

    /// The work that is made of a template, if a block can be built on it.
    fn prepare(&mut self, new: NewTemplate) -> Option<Arc<PoolWork>> {
        match self.hub.handle_template(now(), new.clone()) {
            Ok(work) => {
                self.tell_version();
                self.tell_empty();
                Some(work)
            }
            Err(error) => {
                error!("no block can be built on the node's template: {error}");
                let (reason, at) = (error.to_string(), wall_clock());
                self.tell(News::NoJob { reason, at });
                let emptied = self.hub.handle_unusable(now(), new)?;
                self.ahead.begin(now(), false);
                Some(emptied)
            }
        }
    }

    /// Says in the log that blocks do not signal as they are to.
    fn tell_version(&mut self) {
        let kept = self.hub.kept_version();
        if core::mem::replace(&mut self.kept_version, kept) != kept
            && let Some(reason) = kept
        {
            warn!("blocks signal as the node says, and not as pool.version_bits does: {reason}");
        }
    }

    /// Miners are served so from now on. Their connections hear of it where it is something else.
    fn serve(&mut self) {
        let service = self.hold.service();
        let changes = |before: &mut Service| core::mem::replace(before, service) != service;
        if !self.service.send_if_modified(changes) {
            return self.tell_hold();
        }
        self.bells.ring(Call::Service);
        match service {
            Service::Usual => info!("miners are served as usual again"),
            Service::Held => {}
            Service::Released => warn!(
                "the node was away for too long: miners are released to their other pools, and the \
                 ports are shut until it is back"
            ),
        }
        self.tell_hold();
    }

    fn tell_hold(&self) {
        let left = |at: Instant| at.saturating_duration_since(now());
        self.tell(News::Hold(HoldNews {
            release_at: self
                .hold
                .release_at()
                .map(|at| wall_clock().saturating_add(left(at))),
            is_released: self.hold.service() == Service::Released,
        }));
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

/// The time by the clock that the hub's timer follows.
fn now() -> Instant {
    time::Instant::now().into_std()
}

async fn next_after(
    at: Instant,
    source: &mut dyn TemplateSource,
) -> Result<TemplateUpdate, NodeError> {
    sleep_until(at.into()).await;
    source.next().await
}

#[cfg(test)]
mod announced;
#[cfg(test)]
mod tests;
