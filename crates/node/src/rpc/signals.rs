//! Word of new blocks from the node's publisher: what is begun at once, and when a template is overdue.
//!
//! A signal asks for no template where a long poll is out: the node answers that by itself, and is busy with
//! the answer. So a block costs one template, however many ways there are to hear of it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bitcoin::block::Header;
use bitcoin::{BlockHash, CompactTarget};
use headframe_work::{Network, Template, UnixTime};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::ahead::{MEDIAN_OF, Times, new_tip};
use super::client::RpcClient;
use super::poll::Poller;
use crate::news::tip_of;
use crate::zmq::{Announced, Publisher, Word, ZmqAddress, subscribe};
use crate::{NewTip, NodeError, NodeStatus, Tip};

/// Headers of announced blocks that are kept: blocks may come faster than templates.
const HEADS: usize = 16;

/// What is known from signals, and waited for because of them.
#[derive(Default)]
pub(super) struct Signals {
    announced: Arc<watch::Sender<Heard>>,
    expected: watch::Sender<Option<Expected>>,
    new_tips: watch::Sender<Option<NewTip>>,
    /// Whether a long poll is out, which will be answered on a new tip.
    is_polled: AtomicBool,
    /// Times of the blocks up to the tip that is mined on.
    times: Mutex<Option<Times>>,
}

/// What publishers told.
#[derive(Debug, Default)]
pub(super) struct Heard {
    last: Option<Announced>,
    /// The newest first.
    heads: VecDeque<Header>,
}

impl Heard {
    /// Whether `block` is news.
    fn take(&mut self, block: Announced) -> bool {
        let is_known = self.last.is_some_and(|last| last.hash() == block.hash());
        // The whole block says more than its hash.
        let is_more = matches!(
            (self.last, block),
            (Some(Announced::Hash(_)), Announced::Block(_))
        );
        if is_known && !is_more {
            return false;
        }
        self.last = Some(block);
        if let Announced::Block(head) = block {
            self.heads.truncate(HEADS - 1);
            self.heads.push_front(head.header);
        }
        true
    }
}

/// A tip that was told of, and on which a template has to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    hash: BlockHash,
    /// The tip that was mined on then.
    before: Option<BlockHash>,
    at: Instant,
    /// When it is to be asked for.
    due: tokio::time::Instant,
}

impl Expected {
    /// When a template is to be asked for, while what is `known` is the tip before.
    pub(super) fn due(&self, known: Option<BlockHash>) -> Option<tokio::time::Instant> {
        (known == self.before).then_some(self.due)
    }
}

/// What `getblockheader` says of a block.
#[derive(Debug, Deserialize)]
struct HeaderInfo {
    /// -1 where it is not in the chain that the node builds on.
    confirmations: i64,
    height: u32,
    time: u32,
    mediantime: u32,
    bits: String,
    previousblockhash: Option<String>,
}

impl Signals {
    /// Hears of new blocks from the publisher at `address`, which the status has at `place`, until it is aborted.
    pub(super) fn listen(
        &self,
        address: &ZmqAddress,
        status: watch::Sender<NodeStatus>,
        place: usize,
    ) -> AbortHandle {
        let (address, announced) = (address.clone(), Arc::clone(&self.announced));
        let tell = move |word| {
            // What miners wait for comes first.
            if let Word::Block(block) = word {
                announced.send_if_modified(|heard| heard.take(block));
            }
            let now = Instant::now();
            status.send_if_modified(|status| {
                let publisher = status.publishers.get_mut(place);
                publisher.is_some_and(|it| note(it, &word, now))
            });
        };
        tokio::spawn(subscribe(address, tell)).abort_handle()
    }

    /// What publishers tell from now on.
    pub(super) fn announced(&self) -> watch::Receiver<Heard> {
        self.announced.subscribe()
    }

    pub(super) fn new_tips(&self) -> watch::Receiver<Option<NewTip>> {
        self.new_tips.subscribe()
    }

    /// What is waited for, as it changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Expected>> {
        self.expected.subscribe()
    }

    pub(super) fn set_polled(&self, is_polled: bool) {
        self.is_polled.store(is_polled, Ordering::Relaxed);
    }

    pub(super) fn expect_nothing(&self) {
        self.expected
            .send_if_modified(|expected| expected.take().is_some());
    }

    /// A template on `tip` has come, for which the node was `asked` then; `None`: by a long poll, at any time.
    /// Whether it is older than what was heard of a new tip, and not to be told.
    pub(super) fn is_overtaken(&self, tip: BlockHash, asked: Option<Instant>) -> bool {
        let Some(expected) = *self.expected.borrow() else {
            return false;
        };
        let is_old = expected.before == Some(tip) && asked.is_none_or(|asked| asked < expected.at);
        if !is_old {
            self.expect_nothing();
        }
        is_old
    }

    /// The times of the blocks up to `tip`, if they are known.
    fn times_up_to(&self, tip: BlockHash) -> Option<Times> {
        let mut known = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let times = known.as_ref()?.up_to(tip, &self.announced.borrow().heads)?;
        Some(known.insert(times).clone())
    }

    fn set_times(&self, times: Times) {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner) = Some(times);
    }
}

/// Notes what there is to tell of a publisher; whether it is news.
fn note(publisher: &mut Publisher, word: &Word, now: Instant) -> bool {
    match word {
        Word::Connected => publisher.handle_connected(now),
        Word::Block(_) => publisher.handle_block(now),
        Word::Lost(reason) => publisher.handle_lost(reason, now),
    }
}

impl Poller {
    /// Tells of new tips before there is a template on them, for ever: of those that are `announced` from now on.
    pub(super) async fn hear_of_tips(&self, mut announced: watch::Receiver<Heard>) -> Infallible {
        let mut client = self.settings.client();
        loop {
            let Ok(()) = announced.changed().await else {
                return std::future::pending().await;
            };
            let block = announced.borrow_and_update().last;
            let Some(block) = block else { continue };
            let Some(present) = self.present() else {
                continue;
            };
            if !self.expect(block.hash()) {
                continue;
            }
            let tip = match self.read_ahead(&present, &block) {
                Some(tip) => Some(tip),
                None => tokio::select! {
                    tip = self.ask_ahead(&mut client, &present, &block) => tip,
                    () = self.until_other(block) => None,
                },
            };
            self.tell_ahead(tip);
        }
    }

    /// Ends when there is word of another block, or more of this one.
    async fn until_other(&self, block: Announced) {
        let mut announced = self.signals.announced.subscribe();
        let is_other = announced
            .wait_for(|heard| heard.last != Some(block))
            .await
            .is_ok();
        if !is_other {
            std::future::pending::<()>().await;
        }
    }

    /// What is mined on.
    pub(super) fn present(&self) -> Option<Arc<Template>> {
        match &*self.news.borrow() {
            Some(Ok(update)) => Some(Arc::clone(&update.template)),
            Some(Err(_)) | None => None,
        }
    }

    /// Notes that a template on the block `hash` has to come. False where it is there.
    fn expect(&self, hash: BlockHash) -> bool {
        let before = tip_of(&self.news.borrow());
        if before == Some(hash) {
            return false;
        }
        let is_polled = self.signals.is_polled.load(Ordering::Relaxed);
        let now = tokio::time::Instant::now();
        let due = match is_polled {
            true => now + self.pace.grace(),
            false => now,
        };
        self.signals.expected.send_if_modified(|expected| {
            let is_news = expected.is_none_or(|expected| expected.hash != hash);
            if is_news {
                let at = Instant::now();
                *expected = Some(Expected {
                    hash,
                    before,
                    at,
                    due,
                });
            }
            is_news
        });
        true
    }

    /// What a block says by itself, with the times of those before it.
    fn read_ahead(&self, present: &Template, block: &Announced) -> Option<NewTip> {
        let Announced::Block(head) = block else {
            return None;
        };
        let times = self.signals.times_up_to(present.prev_hash)?;
        new_tip(present, &times, head)
    }

    /// What the node says of a block of which only the hash is known, or of the blocks before one that it does not
    /// find.
    async fn ask_ahead(
        &self,
        client: &mut RpcClient,
        present: &Template,
        block: &Announced,
    ) -> Option<NewTip> {
        if !present
            .network
            .is_like_its_parent(present.height.checked_add(1)?)
        {
            return None;
        }
        let hash = block.hash();
        let header = match (self.header(client, hash).await, block) {
            (Ok(header), _) => header,
            (Err(_), Announced::Hash(_)) => return None,
            (Err(_), Announced::Block(_)) => {
                let times = self.ask_times(client, present.prev_hash).await.ok()?;
                self.signals.set_times(times);
                return self.read_ahead(present, block);
            }
        };
        let bits = u32::from_str_radix(&header.bits, 16).ok()?;
        let tip = NewTip {
            tip: Tip {
                height: header.height,
                hash,
            },
            parent: header.previousblockhash?.parse().ok()?,
            bits: CompactTarget::from_consensus(bits),
            earliest: UnixTime::from_secs(header.mediantime.checked_add(1)?),
        };
        (header.confirmations > 0 && tip.can_follow(present)).then_some(tip)
    }

    /// Tells of a tip, unless a template came meanwhile.
    fn tell_ahead(&self, tip: Option<NewTip>) {
        if let Some(tip) = tip
            && tip_of(&self.news.borrow()) == Some(tip.parent)
        {
            let tip = Some(tip);
            self.signals
                .new_tips
                .send_if_modified(|told| core::mem::replace(told, tip) != tip);
        }
    }

    /// Knows the times of the blocks up to the tip, when there is time, for ever.
    pub(super) async fn learn_times(&self) -> Infallible {
        let is_wanted = match self.settings.network {
            Network::Testnet4 => false,
            Network::Mainnet | Network::Signet | Network::Regtest => !self.settings.zmq.is_empty(),
        };
        if !is_wanted {
            return std::future::pending().await;
        }
        let mut client = self.settings.client();
        let mut news = self.news.subscribe();
        news.mark_changed();
        while let Ok(()) = news.changed().await {
            let tip = tip_of(&news.borrow_and_update());
            let unknown = tip.filter(|tip| self.signals.times_up_to(*tip).is_none());
            if let Some(tip) = unknown
                && let Ok(times) = self.ask_times(&mut client, tip).await
            {
                self.signals.set_times(times);
            }
        }
        std::future::pending().await
    }

    async fn ask_times(&self, client: &mut RpcClient, tip: BlockHash) -> Result<Times, NodeError> {
        let mut times = Vec::with_capacity(MEDIAN_OF);
        let mut next = Some(tip);
        while let Some(hash) = next.filter(|_| times.len() < MEDIAN_OF) {
            let header = self.header(client, hash).await?;
            times.push(header.time);
            next = header.previousblockhash.and_then(|hash| hash.parse().ok());
        }
        Ok(Times::of(tip, times))
    }

    async fn header(
        &self,
        client: &mut RpcClient,
        hash: BlockHash,
    ) -> Result<HeaderInfo, NodeError> {
        client
            .call("getblockheader", [hash.to_string()], self.limit())
            .await
    }
}
