//! Follows a node: long polls for new tips, refreshes on a timer, and asks again after errors.
//!
//! Long poll and refresh have a connection each. A long poll is never given up for the timer: a
//! node keeps a thread busy for each until its tip changes, and has only a few. The exception is a
//! long poll that has missed a block which the refresh saw; its connection is dead.
//!
//! What is learnt goes into a slot of which only the newest matters. A refresh that was asked for
//! before a newer tip arrived is thrown away. Word of a new block from elsewhere costs nothing but the
//! long poll's answer, which is on its way then; only one that takes too long is asked for again
//! ([`super::signals`]).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use headframe_work::{Network, Template, UnixTime};
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, sleep_until};
use tracing::warn;

use super::RpcSettings;
use super::chain_info::{ChainInfo, NetworkInfo};
use super::client::{RpcClient, unintelligible};
use super::pace::Pace;
use super::signals::Signals;
use super::template::{self, Fetched};
use crate::news::{News, NewsSource, Tasks, tell_error, tip_of};
use crate::zmq::Publisher;
use crate::{Cause, Condition, HeaderWindow, NodeError, NodeStatus, TemplateUpdate, Tip};

/// The first wait after an error, doubled with each error after it.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait after an error.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long a long poll may lag behind a refresh that saw another tip, or a refresh's time if that
/// is shorter.
const LONG_POLL_LAG: Duration = Duration::from_secs(10);
/// The shortest time between two refreshes, or between a long poll's answer that was late and the next one.
const LEAST_REFRESH: Duration = Duration::from_millis(500);

/// Starts to follow a node; the task ends when the source is dropped.
pub(super) fn start(settings: RpcSettings) -> (NewsSource<Tasks>, watch::Receiver<NodeStatus>) {
    let name = format!("Bitcoin Core at {}", settings.address);
    let now = Instant::now();
    let publishers = settings.zmq.iter().cloned();
    let status = watch::Sender::new(NodeStatus {
        publishers: publishers.map(|it| Publisher::new(it, now)).collect(),
        ..NodeStatus::starting(name, settings.network)
    });
    let health = status.subscribe();
    let news = watch::Sender::new(None);
    let receiver = news.subscribe();
    let signals = Signals::default();
    let new_tips = (!settings.zmq.is_empty()).then(|| signals.new_tips());
    let listening = settings.zmq.iter().enumerate();
    let listening =
        listening.map(|(place, address)| signals.listen(address, status.clone(), place));
    let mut tasks: Vec<AbortHandle> = listening.collect();
    let poller = Poller {
        settings,
        status,
        news,
        parent: Mutex::new(None),
        pace: Pace::default(),
        signals,
    };
    tasks.push(tokio::spawn(poller.run()).abort_handle());
    let templates = NewsSource {
        news: receiver,
        new_tips,
        _followed_by: Tasks(tasks),
    };
    (templates, health)
}

pub(super) struct Poller {
    pub(super) settings: RpcSettings,
    status: watch::Sender<NodeStatus>,
    pub(super) news: watch::Sender<Option<News>>,
    pub(super) pace: Pace,
    pub(super) signals: Signals,
    /// The newest template's parent and its header time; on testnet4 only.
    parent: Mutex<Option<(BlockHash, UnixTime)>>,
}

#[derive(Deserialize)]
struct HeaderInfo {
    time: u32,
}

impl Poller {
    async fn run(self) {
        let mut wait = FIRST_WAIT;
        loop {
            let error = self.follow().await;
            wait = if self.is_well() {
                FIRST_WAIT
            } else {
                (wait * 2).min(LONGEST_WAIT)
            };
            tell_error(&self.status, &self.news, error);
            sleep(wait).await;
        }
    }

    /// Follows the node until something goes wrong.
    async fn follow(&self) -> NodeError {
        let mut client = self.settings.client();
        self.signals.expect_nothing();
        // From before the first template on, so that no block comes between.
        let announced = self.signals.announced();
        let first = match self.refresh(&mut client).await {
            Ok(first) => first,
            Err(error) => return error,
        };
        self.signals.set_polled(first.is_some());
        tokio::select! {
            error = self.long_polls(first) => error,
            error = self.refreshes(client) => error,
            never = self.hear_of_tips(announced) => match never {},
            never = self.learn_times() => match never {},
        }
    }

    async fn long_polls(&self, first: Option<String>) -> NodeError {
        let mut client = self.settings.client();
        let mut longpoll_id = first;
        loop {
            let Some(id) = longpoll_id else {
                // A node without long poll is followed by the timer and by signals.
                self.signals.set_polled(false);
                return std::future::pending().await;
            };
            let params = self.params(Some(&id));
            let answer = tokio::select! {
                answer = client.call_unread(template::METHOD, [params], None) => answer,
                () = self.left_behind() => {
                    client = self.settings.client();
                    longpoll_id = Some(id);
                    continue;
                }
            };
            longpoll_id = match self.take(&mut client, answer).await {
                Ok(next) => next,
                Err(error) => return error,
            };
        }
    }

    /// Ends when a refresh has told another tip than the one now, and a long poll that was begun
    /// before has had time enough to say so itself.
    async fn left_behind(&self) {
        let mut news = self.news.subscribe();
        let watched = tip_of(&news.borrow());
        let _ = news.wait_for(|news| tip_of(news) != watched).await;
        sleep(self.pace.rest(LONG_POLL_LAG.min(self.settings.refresh))).await;
    }

    async fn refreshes(&self, mut client: RpcClient) -> NodeError {
        loop {
            self.until_refresh().await;
            if let Err(error) = self.refresh(&mut client).await {
                return error;
            }
        }
    }

    /// Ends when the newest template is due to be refreshed, or one on a tip that was told of is overdue.
    async fn until_refresh(&self) {
        let mut news = self.news.subscribe();
        let mut expected = self.signals.subscribe();
        loop {
            let known = tip_of(&news.borrow_and_update());
            let awaited = expected.borrow_and_update().and_then(|tip| tip.due(known));
            let due = awaited.unwrap_or_else(|| {
                let wait = match &*self.news.borrow() {
                    Some(Ok(update)) => self.refresh_wait(update),
                    Some(Err(_)) | None => self.settings.refresh,
                };
                tokio::time::Instant::now() + wait.max(LEAST_REFRESH)
            });
            tokio::select! {
                () = sleep_until(due) => return,
                Ok(()) = news.changed() => {}
                Ok(()) = expected.changed() => {}
            }
        }
    }

    /// The time until a template is too old, or its bits are (testnet4).
    fn refresh_wait(&self, update: &TemplateUpdate) -> Duration {
        let bits_last = update.window.latest.map(|latest| {
            let seconds = latest
                .as_secs()
                .saturating_sub(update.template.current_time.as_secs());
            Duration::from_secs(seconds.into()) + Duration::from_secs(1)
        });
        let usual = self.pace.rest(self.settings.refresh);
        bits_last.map_or(usual, |bits| bits.min(usual))
    }

    /// Looks at the node and fetches a template; gives its long poll id.
    async fn refresh(&self, client: &mut RpcClient) -> Result<Option<String>, NodeError> {
        let tip = self.look_at_node(client).await?;
        let (asked, since) = (Instant::now(), tokio::time::Instant::now());
        let answer = client
            .call_unread(template::METHOD, [self.params(None)], self.limit())
            .await;
        match &answer {
            Ok(_) => self.pace.note(since.elapsed()),
            Err(_) => self.pace.note_missed(since.elapsed()),
        }
        let received = Instant::now();
        let fetched = self.read(answer?).await?;
        self.check_tip(client, tip, &fetched.template).await?;
        self.give(client, fetched, received, Some(asked)).await
    }

    /// Refuses a template that does not build on what the node says is its tip: one that a proxy has kept, or of
    /// a node that is broken.
    async fn check_tip(
        &self,
        client: &mut RpcClient,
        tip: Tip,
        template: &Template,
    ) -> Result<(), NodeError> {
        let (field, reason) = if template.prev_hash == tip.hash {
            if Some(template.height) == tip.height.checked_add(1) {
                return Ok(());
            }
            ("height", format!("the tip's is {}", tip.height))
        } else {
            let best = self.best(client).await?;
            // Otherwise a block has come between.
            if best != tip.hash.to_string() {
                return Ok(());
            }
            ("previousblockhash", format!("the node's tip is {best}"))
        };
        let field = field.to_owned();
        Err(NodeError::Template { field, reason })
    }

    /// The longest wait for an answer.
    pub(super) fn limit(&self) -> Option<Duration> {
        Some(self.pace.limit(self.settings.request_limit))
    }

    /// Refuses a node on the wrong chain or behind its network; notes what it says of itself.
    async fn look_at_node(&self, client: &mut RpcClient) -> Result<Tip, NodeError> {
        let limit = self.limit();
        let chain: ChainInfo = client.call("getblockchaininfo", [(); 0], limit).await?;
        let verified = chain.verificationprogress.map(|part| part.clamp(0.0, 1.0));
        self.status.send_if_modified(|status| {
            let changed = status.verified != verified;
            status.verified = verified;
            changed
        });
        chain.check_network(self.settings.network)?;
        chain.check_synced()?;
        let hash = chain
            .bestblockhash
            .parse()
            .map_err(|error| unintelligible("getblockchaininfo", error))?;
        // Health is told even by a node that does not let us ask for its peers.
        let network: Option<NetworkInfo> = client.call("getnetworkinfo", [(); 0], limit).await.ok();
        let tip = Tip {
            height: chain.blocks,
            hash,
        };
        self.status.send_modify(|status| {
            status.tip = Some(tip);
            if let Some(network) = network {
                status.version = Some(network.subversion);
                status.peers = Some(network.connections);
            }
        });
        Ok(tip)
    }

    fn params(&self, longpoll_id: Option<&str>) -> serde_json::Value {
        let rules = template::rules(self.settings.network);
        match longpoll_id {
            Some(id) => json!({ "rules": rules, "longpollid": id }),
            None => json!({ "rules": rules }),
        }
    }

    /// Reads a long poll's answer and tells its template, unless a refresh has told a newer tip meanwhile; gives its
    /// long poll id.
    async fn take(
        &self,
        client: &mut RpcClient,
        answer: Result<Bytes, NodeError>,
    ) -> Result<Option<String>, NodeError> {
        let received = Instant::now();
        let fetched = self.read(answer?).await?;
        if self.is_late(client, &fetched.template).await? {
            // A proxy may give it again and again.
            sleep(LEAST_REFRESH).await;
            return Ok(fetched.longpoll_id);
        }
        self.give(client, fetched, received, None).await
    }

    /// Whether a long poll's template would take miners back to a tip that the node has left: it was under way when
    /// the tip came, or a proxy has kept it. A template that goes on from the present one costs no question.
    async fn is_late(
        &self,
        client: &mut RpcClient,
        template: &Template,
    ) -> Result<bool, NodeError> {
        let goes_back = |present: Arc<Template>| {
            template.prev_hash != present.prev_hash && template.height <= present.height
        };
        if !self.present().is_some_and(goes_back) {
            return Ok(false);
        }
        Ok(self.best(client).await? != template.prev_hash.to_string())
    }

    /// The node's tip.
    async fn best(&self, client: &mut RpcClient) -> Result<String, NodeError> {
        let limit = self.limit();
        client.call("getbestblockhash", [(); 0], limit).await
    }

    /// Tells a template that was read; gives its long poll id.
    async fn give(
        &self,
        client: &mut RpcClient,
        fetched: Fetched,
        received: Instant,
        asked: Option<Instant>,
    ) -> Result<Option<String>, NodeError> {
        let window = self.window(client, &fetched.template).await?;
        if let Some(asked) = asked {
            self.hold_against(&fetched.template, asked);
        }
        self.tell(fetched.template, window, received, asked);
        Ok(fetched.longpoll_id)
    }

    /// Reads a template, which takes a while for ten megabytes, beside the tasks.
    async fn read(&self, body: Bytes) -> Result<Fetched, NodeError> {
        let network = self.settings.network;
        let before = self.present();
        tokio::task::spawn_blocking(move || template::read(&body, network, before.as_deref()))
            .await
            .unwrap_or_else(|error| Err(unintelligible(template::METHOD, error)))
    }

    async fn window(
        &self,
        client: &mut RpcClient,
        template: &Template,
    ) -> Result<HeaderWindow, NodeError> {
        match template.network {
            Network::Testnet4 => {
                let parent_time = self.parent_time(client, template.prev_hash).await?;
                Ok(HeaderWindow::of(template, parent_time))
            }
            Network::Mainnet | Network::Signet | Network::Regtest => {
                Ok(HeaderWindow::unbounded(template))
            }
        }
    }

    async fn parent_time(
        &self,
        client: &mut RpcClient,
        hash: BlockHash,
    ) -> Result<UnixTime, NodeError> {
        let known = *self.parent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, time)) = known.filter(|(parent, _)| *parent == hash) {
            return Ok(time);
        }
        let header: HeaderInfo = client
            .call("getblockheader", [hash.to_string()], self.limit())
            .await?;
        let time = UnixTime::from_secs(header.time);
        *self.parent.lock().unwrap_or_else(PoisonError::into_inner) = Some((hash, time));
        Ok(time)
    }

    /// Sees whether publishers have told of the block that a template builds on.
    fn hold_against(&self, template: &Template, asked: Instant) {
        let (tip, now) = (tip_below(template), Instant::now());
        let mut mute = Vec::new();
        self.status.send_if_modified(|status| {
            let publishers = status.publishers.iter_mut();
            let turned = publishers.filter_map(|it| {
                let is_mute = it.handle_template(tip, asked, now);
                is_mute.then(|| it.address().clone())
            });
            mute.extend(turned);
            !mute.is_empty()
        });
        for address in mute {
            warn!(
                "the node's ZMQ at {address} says nothing of blocks, and there was a new one; see whether bitcoin.conf \
                 has zmqpubrawblock={address}; long polls go on"
            );
        }
    }

    /// Tells a template, unless one on another tip has arrived since it was asked for.
    fn tell(
        &self,
        template: Template,
        window: HeaderWindow,
        received: Instant,
        asked: Option<Instant>,
    ) {
        let tip = tip_below(&template);
        if self.signals.is_overtaken(tip.hash, asked) {
            return;
        }
        let template = Arc::new(template);
        self.news.send_if_modified(|news| {
            let before = match news {
                Some(Ok(before)) => Some(before),
                Some(Err(_)) | None => None,
            };
            let same_tip = before
                .as_ref()
                .is_some_and(|before| before.template.prev_hash == tip.hash);
            let overtaken =
                before.is_some_and(|before| asked.is_some_and(|asked| before.received > asked));
            if overtaken && !same_tip {
                return false;
            }
            let cause = if same_tip {
                Cause::Refresh
            } else {
                Cause::NewTip
            };
            // Who hears of the template finds a node that is well.
            self.status.send_modify(|status| {
                status.condition = Condition::Ready;
                status.tip = Some(tip);
                status.last_template = Some(received);
            });
            *news = Some(Ok(TemplateUpdate {
                template,
                cause,
                received,
                window,
            }));
            true
        });
    }

    fn is_well(&self) -> bool {
        self.status.borrow().is_ready()
    }
}

fn tip_below(template: &Template) -> Tip {
    Tip {
        height: template.height.saturating_sub(1),
        hash: template.prev_hash,
    }
}
