//! Follows a node: waits for what it pushes, looks whether it still runs, and connects again after errors.
//!
//! A node that stops answering is told, and its connection is kept: it goes on when the node does, and the
//! templates that it holds for us are lost with the connection.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, Txid};
use bitcoin_capnp_types::mining_capnp::block_template;
use headframe_work::{Network, Template, UnixTime};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::IpcSettings;
use super::ahead::Times;
use super::command::Found;
use super::companion::Companion;
use super::connection::{Connection, PROMPT, unintelligible};
use super::kept::Kept;
use super::news::Teller;
use super::session::{Greeted, Session};
use super::template::{self, Read};
use super::tips::TipLog;
use crate::solution::Solution;
use crate::{BlockFate, HeaderWindow, NodeError, SubmitAnswer, Tip};

/// The first wait after an error, doubled with each error after it.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait after an error. An attempt is one system call while nobody listens.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How often the node is asked whether it runs.
const BEAT: Duration = Duration::from_secs(2);
/// How long a node that runs may take to say so, on a computer that is busy: the question takes none of its locks.
const BEAT_LIMIT: Duration = Duration::from_secs(5);
/// How much longer than it was told to a node may wait for the next template: more than the `BEAT` and `BEAT_LIMIT`
/// after which one that freezes is known to. It measures by its computer's clock, and waits on when that is set back.
const OVERDUE: Duration = Duration::from_secs(10);
/// The longest wait for another tip at a time. The node goes on to wait for so long after a connection that broke.
const TIP_LIMIT: Duration = Duration::from_secs(20);
/// Fees that rise are asked for so long after a template: miners get no other before (`RISE_AFTER` of the hub).
const RISE_AFTER: Duration = Duration::from_secs(10);
/// The rise that is worth another template: this part of what the block pays, and at least so many satoshis, as the
/// hub has it.
const MATERIAL_PART: u64 = 100;
const LEAST_RISE: u64 = 10_000;
/// Bitcoin Core's "no rise is enough": 21 million bitcoin.
const NO_RISE: i64 = 2_100_000_000_000_000;
/// A node makes a template each second to see whether fees have risen. One that needs longer than this for a
/// template is not asked to.
const SLOW: Duration = Duration::from_millis(500);
/// The bits of regtest, which never change.
const REGTEST_BITS: u32 = 0x207f_ffff;

/// A connection that serves, and what was learnt over it.
pub(super) struct Live {
    pub(super) session: Rc<Session>,
    companion: Companion,
    tips: RefCell<TipLog>,
    tip: watch::Sender<Option<BlockHash>>,
    /// Whether the last question whether it runs was answered.
    answers: Cell<bool>,
    /// A template is wanted at once.
    wanted: Notify,
    /// The template on which the node waits.
    waited: RefCell<Option<block_template::Client>>,
    /// The newest template's parent and its header time; on testnet4 only.
    parent: RefCell<Option<(BlockHash, UnixTime)>>,
    /// The block that is mined on.
    mined_on: watch::Sender<Option<BlockHash>>,
    /// The times of the blocks up to it.
    times: RefCell<Times>,
    /// The tip that the node said last, and when.
    word: Cell<Option<(Tip, Instant)>>,
}

/// Where the connection is, while there is one.
pub(super) type Current = Rc<watch::Sender<Option<Rc<Live>>>>;

/// Follows one node.
pub(super) struct Follower {
    settings: IpcSettings,
    teller: Teller,
    current: Current,
}

/// The template that was told last.
struct Present {
    client: block_template::Client,
    received: Instant,
    prev_hash: BlockHash,
    bits: CompactTarget,
    /// Satoshis more that are worth another template.
    rise: i64,
    /// How long the node took to make it; zero where it made it while it waited.
    took: Duration,
}

/// What a wait for the next template came to.
enum Waited {
    Next(block_template::Client),
    Nothing,
    Wanted,
}

impl Follower {
    pub(super) fn new(settings: IpcSettings, teller: Teller, current: Current) -> Self {
        Self {
            settings,
            teller,
            current,
        }
    }

    /// Follows the node for ever.
    pub(super) async fn run(self) {
        let mut wait = FIRST_WAIT;
        loop {
            let error = self.follow().await;
            self.current.send_replace(None);
            wait = match self.teller.is_well() {
                true => FIRST_WAIT,
                false => (wait * 2).min(LONGEST_WAIT),
            };
            self.teller.error(error);
            sleep(wait).await;
        }
    }

    /// Follows the node until something goes wrong.
    async fn follow(&self) -> NodeError {
        let live = match self.connect().await {
            Ok(live) => Rc::new(live),
            Err(error) => return error,
        };
        self.current.send_replace(Some(live.clone()));
        tokio::select! {
            error = self.templates(&live) => error,
            error = self.tips(&live) => error,
            error = self.beats(&live) => error,
            error = self.looks(&live) => error,
            error = self.learns(&live) => error,
            error = live.session.connection().closed() => error,
        }
    }

    async fn connect(&self) -> Result<Live, NodeError> {
        let connection = Connection::open(&self.settings.sockets).await?;
        let greeted = self.greet(connection).await?;
        let socket_rpc = greeted.rpc().await?;
        let session = Rc::new(greeted.rehearse(self.settings.reserve).await?);
        let companion = Companion::new(&session, socket_rpc, self.settings.rpc.as_ref()).await;
        let live = Live {
            session,
            companion,
            tips: RefCell::default(),
            tip: watch::Sender::new(None),
            answers: Cell::new(true),
            wanted: Notify::new(),
            waited: RefCell::default(),
            parent: RefCell::default(),
            mined_on: watch::Sender::new(None),
            times: RefCell::default(),
            word: Cell::default(),
        };
        self.look(&live).await?;
        Ok(live)
    }

    /// A node that loads its chain answers when it has, which may take hours.
    async fn greet(&self, connection: Connection) -> Result<Greeted, NodeError> {
        let mut greeting = pin!(Greeted::new(connection));
        if let Ok(greeted) = timeout(PROMPT, &mut greeting).await {
            return greeted;
        }
        self.teller
            .error(NodeError::WarmingUp("it loads its chain".to_owned()));
        greeting.await
    }

    /// Looks now and then at what only a person wants to know.
    async fn looks(&self, live: &Live) -> NodeError {
        loop {
            sleep(self.settings.refresh).await;
            if let Err(error) = self.look(live).await {
                tracing::debug!(%error, "the node was not looked at");
            }
        }
    }

    /// Refuses a node on the wrong chain or behind its network; notes what it says of itself.
    async fn look(&self, live: &Live) -> Result<(), NodeError> {
        let Some(chain) = live.companion.chain(&live.session).await? else {
            return self.look_without_companion(live).await;
        };
        self.teller.verified(chain.verificationprogress);
        chain.check_network(self.settings.network)?;
        chain.check_synced()?;
        // Health is told even by a node that does not let us ask for its peers.
        if let Ok(Some(network)) = live.companion.network(&live.session).await {
            self.teller.version(Some(network.subversion));
            self.teller.peers(Some(network.connections));
        }
        Ok(())
    }

    /// What the mining interface itself tells.
    async fn look_without_companion(&self, live: &Live) -> Result<(), NodeError> {
        let expected = self.settings.network;
        let is_test_chain = live.session.is_test_chain().await?;
        let found = match (expected, is_test_chain) {
            (Network::Mainnet, true) => "other than main",
            (Network::Testnet4 | Network::Signet | Network::Regtest, false) => "main",
            (Network::Signet, true) => {
                let what = "the challenge of its signet";
                return Err(NodeError::NotTold { what });
            }
            (Network::Testnet4, true) => {
                let what = "the time of its newest block, which testnet4 needs";
                return Err(NodeError::NotTold { what });
            }
            (Network::Mainnet, false) => return self.look_for_download(live).await,
            (Network::Regtest, true) => return Ok(()),
        };
        let found = found.to_owned();
        Err(NodeError::WrongNetwork { expected, found })
    }

    async fn look_for_download(&self, live: &Live) -> Result<(), NodeError> {
        match live.session.is_downloading().await? {
            false => Ok(()),
            true => Err(NodeError::Syncing("its first download goes on".to_owned())),
        }
    }

    /// Tells templates as the node pushes them.
    async fn templates(&self, live: &Live) -> NodeError {
        let mut present = None;
        loop {
            let told = match &present {
                None => self.fresh(live).await,
                Some(present) => self.next(live, present).await,
            };
            match told {
                Ok(told) => present = Some(told),
                Err(error) => return error,
            }
        }
    }

    /// Has the node make a template now, and tells it.
    async fn fresh(&self, live: &Live) -> Result<Present, NodeError> {
        let begun = Instant::now();
        let client = live.session.create(self.settings.reserve).await?;
        let took = begun.elapsed();
        self.tell(live, client, took, begun).await
    }

    /// Waits for the template after `present`, and tells it.
    async fn next(&self, live: &Live, present: &Present) -> Result<Present, NodeError> {
        let quiet = RISE_AFTER.min(self.settings.refresh);
        let rest = self.settings.refresh.saturating_sub(quiet);
        let rise = match present.took > SLOW {
            true => NO_RISE,
            false => present.rise,
        };
        for (limit, rise) in [(quiet, NO_RISE), (rest, rise)] {
            let asked = Instant::now();
            match self.wait(live, present, limit, rise).await? {
                Waited::Next(next) => return self.follow_up(live, present, next, asked).await,
                Waited::Nothing => {}
                Waited::Wanted => break,
            }
        }
        self.fresh(live).await
    }

    /// Tells a template that the node pushed. On testnet4 and regtest it pushes one each second once the tip is 20
    /// minutes old, of which one in ten seconds is enough.
    async fn follow_up(
        &self,
        live: &Live,
        present: &Present,
        next: block_template::Client,
        asked: Instant,
    ) -> Result<Present, NodeError> {
        if self.has_easy_blocks() {
            let (prev_hash, bits) = live.session.tip_and_bits(&next).await?;
            let left = RISE_AFTER.saturating_sub(present.received.elapsed());
            if (prev_hash, bits) == (present.prev_hash, present.bits) && !left.is_zero() {
                let mut tip = live.tip.subscribe();
                let other = tip.wait_for(|tip| tip.is_some_and(|tip| tip != prev_hash));
                let _ = timeout(left, other).await;
                return self.fresh(live).await;
            }
        }
        self.tell(live, next, present.took, asked).await
    }

    /// Whether blocks get easier when the tip is old, by the network's rules.
    fn has_easy_blocks(&self) -> bool {
        match self.settings.network {
            Network::Testnet4 | Network::Regtest => true,
            Network::Mainnet | Network::Signet => false,
        }
    }

    async fn wait(
        &self,
        live: &Live,
        present: &Present,
        limit: Duration,
        rise: i64,
    ) -> Result<Waited, NodeError> {
        let begun = Instant::now();
        let mut waiting = pin!(live.session.wait_next(&present.client, limit, rise));
        tokio::select! {
            next = &mut waiting => return match next? {
                Some(next) => Ok(Waited::Next(next)),
                None if begun.elapsed() < limit / 2 => {
                    // The node was told to shut down, or the wait to end: not in a circle.
                    sleep(FIRST_WAIT).await;
                    Ok(Waited::Wanted)
                }
                None => Ok(Waited::Nothing),
            },
            () = live.wanted.notified() => {}
            () = live.overdue(limit) => {}
        };
        live.session.interrupt_wait(&present.client).await?;
        Ok(waiting.await?.map_or(Waited::Wanted, Waited::Next))
    }

    /// Fetches a template that the node was `asked` for then, keeps it for its blocks, and tells it.
    async fn tell(
        &self,
        live: &Live,
        client: block_template::Client,
        took: Duration,
        asked: Instant,
    ) -> Result<Present, NodeError> {
        let parts = live.session.parts(&client).await?;
        let received = Instant::now();
        let network = self.settings.network;
        // Reading a full block takes a while, in which a block may have to go out.
        let read = tokio::task::spawn_blocking(move || template::read(&parts, network));
        let Read { template, path } = read
            .await
            .unwrap_or_else(|error| Err(unintelligible("getBlock", error)))?;
        self.check_bits(live, &template)?;
        let window = self.window(live, &template).await?;
        let present = Present {
            client: client.clone(),
            received,
            prev_hash: template.prev_hash,
            bits: template.bits,
            rise: worth_telling(&template),
            took,
        };
        live.session.keep(Kept {
            prev_hash: template.prev_hash,
            path,
            template: client.clone(),
        });
        *live.waited.borrow_mut() = Some(client);
        live.mined_on.send_replace(Some(template.prev_hash));
        if !is_overtaken(&template, asked, live.word.get()) {
            self.teller.template(template, window, received);
        }
        Ok(present)
    }

    /// A node that does not tell its network is known by its bits, if it is on regtest.
    fn check_bits(&self, live: &Live, template: &Template) -> Result<(), NodeError> {
        let is_known = !matches!(live.companion, Companion::Nobody);
        let regtest = CompactTarget::from_consensus(REGTEST_BITS);
        if is_known || template.network != Network::Regtest || template.bits == regtest {
            return Ok(());
        }
        Err(NodeError::WrongNetwork {
            expected: Network::Regtest,
            found: "other than regtest".to_owned(),
        })
    }

    async fn window(&self, live: &Live, template: &Template) -> Result<HeaderWindow, NodeError> {
        match template.network {
            Network::Testnet4 => {
                let parent_time = self.parent_time(live, template.prev_hash).await?;
                Ok(HeaderWindow::of(template, parent_time))
            }
            Network::Mainnet | Network::Signet | Network::Regtest => {
                Ok(HeaderWindow::unbounded(template))
            }
        }
    }

    async fn parent_time(&self, live: &Live, hash: BlockHash) -> Result<UnixTime, NodeError> {
        let known = *live.parent.borrow();
        if let Some((_, time)) = known.filter(|(parent, _)| *parent == hash) {
            return Ok(time);
        }
        let what = "the time of its newest block";
        let time = live.companion.time_of(&live.session, hash).await?;
        let time = time.ok_or(NodeError::NotTold { what })?;
        *live.parent.borrow_mut() = Some((hash, time));
        Ok(time)
    }

    /// Notes each tip as soon as the node has it.
    async fn tips(&self, live: &Live) -> NodeError {
        let mut known = BlockHash::all_zeros();
        loop {
            match live.session.wait_tip(known, TIP_LIMIT).await {
                Ok(Some(tip)) if tip.hash != known => {
                    known = tip.hash;
                    self.begin(live, tip);
                    self.teller.tip(tip);
                    live.tips.borrow_mut().push(tip);
                    live.tip.send_replace(Some(tip.hash));
                }
                Ok(Some(_)) => {}
                // The node was told to shut down.
                Ok(None) => sleep(FIRST_WAIT).await,
                Err(error) => return error,
            }
        }
    }

    /// Says a tip on which there is no template yet, as far as more is known of it than the node has said.
    fn begin(&self, live: &Live, tip: Tip) {
        live.word.set(Some((tip, Instant::now())));
        let times = live.times.borrow();
        let is_known = times.tip() == *live.mined_on.borrow();
        if let Some(earliest) = times.earliest().filter(|_| is_known) {
            self.teller.new_tip(tip, earliest);
        }
    }

    /// Knows the times of the blocks up to the one that is mined on, when there is time, where the node's RPC can be
    /// asked.
    async fn learns(&self, live: &Live) -> NodeError {
        let mut mined_on = live.mined_on.subscribe();
        while mined_on.changed().await.is_ok() {
            let tip = *mined_on.borrow_and_update();
            let known = live.times.borrow().clone();
            if let Some(tip) = tip.filter(|tip| known.tip() != Some(*tip)) {
                match self.ask_times(live, tip, &known).await {
                    Ok(times) => *live.times.borrow_mut() = times,
                    Err(error) => tracing::debug!(%error, "the times of blocks are not known"),
                }
            }
        }
        std::future::pending().await
    }

    async fn ask_times(
        &self,
        live: &Live,
        tip: BlockHash,
        known: &Times,
    ) -> Result<Times, NodeError> {
        let (mut times, mut next) = (Times::default(), Some(tip));
        while let Some(hash) = next {
            if times.join(known, hash) {
                break;
            }
            let Some(header) = live.companion.header(&live.session, hash).await? else {
                break;
            };
            next = header.parent();
            if times.push(hash, header.time) {
                break;
            }
        }
        Ok(times)
    }

    /// Asks the node whether it runs; tells when it does not answer, and wants a template when it does again.
    async fn beats(&self, live: &Live) -> NodeError {
        loop {
            sleep(BEAT).await;
            let mut beat = pin!(live.session.is_test_chain());
            let answer = match timeout(BEAT_LIMIT, &mut beat).await {
                Ok(answer) => answer,
                Err(_) => {
                    live.answers.set(false);
                    self.teller.error(silence());
                    let answer = beat.await;
                    live.answers.set(true);
                    live.wanted.notify_one();
                    answer
                }
            };
            if let Err(error) = answer {
                return error;
            }
        }
    }
}

impl Live {
    /// Ends when a wait of `limit` has gone on for too long in a node that answers. One that does not, and goes on, has a
    /// template wanted of it by the heartbeat.
    async fn overdue(&self, limit: Duration) {
        sleep(limit + OVERDUE).await;
        if !self.answers.get() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether the node answers, by what it was asked last: a question to a node that is frozen would wait there.
    pub(super) fn stand_by(&self) -> Result<(), NodeError> {
        self.answers.get().then_some(()).ok_or_else(silence)
    }

    /// Gives the node a whole block. One that takes none may have it from its peers.
    pub(super) async fn submit_block(&self, block: &[u8], limit: Duration) -> SubmitAnswer {
        let answer = self.session.submit_block(block, limit).await;
        let hash = Solution::of_bytes(block).map(|solution| solution.header.block_hash());
        let fate = hash.and_then(|hash| self.tips.borrow().fate(hash));
        match (&answer, fate) {
            (SubmitAnswer::Retry(_), Some(BlockFate::InChain { .. })) => SubmitAnswer::AlreadyKnown,
            _ => answer,
        }
    }

    /// Where a block stands, by the node's RPC, else by the tips that it has told.
    pub(super) async fn fate(&self, hash: BlockHash) -> Result<BlockFate, NodeError> {
        match self.companion.fate(&self.session, hash).await? {
            Some(fate) => Ok(fate),
            None => {
                let what = "where a block stands";
                let fate = self.tips.borrow().fate(hash);
                fate.ok_or(NodeError::NotTold { what })
            }
        }
    }

    /// Transactions of the mempool.
    pub(super) async fn transactions(&self, txids: &[Txid]) -> Result<Found, NodeError> {
        let what = "transactions of its mempool";
        let found = self.session.transactions(txids).await?;
        found.ok_or(NodeError::NotTold { what })
    }

    /// Ends the waits in the node, before the connection is closed.
    pub(super) async fn interrupt(&self) {
        let waited = self.waited.borrow().clone();
        if let Some(template) = waited {
            let _ = self.session.interrupt_wait(&template).await;
        }
        self.session.interrupt().await;
    }
}

/// Whether a template that the node was `asked` for then is on the block before a tip that it said later: the template
/// was on its way.
fn is_overtaken(template: &Template, asked: Instant, word: Option<(Tip, Instant)>) -> bool {
    word.is_some_and(|(tip, at)| {
        at > asked && template.prev_hash != tip.hash && template.height <= tip.height
    })
}

fn silence() -> NodeError {
    NodeError::TimedOut {
        method: "isTestChain",
        limit: BEAT_LIMIT,
    }
}

/// The satoshis more for which another template is worth its while: any, where there is nothing yet.
fn worth_telling(template: &Template) -> i64 {
    if template.transactions.is_empty() {
        return 1;
    }
    let rise = (template.coinbase_value.to_sat() / MATERIAL_PART).max(LEAST_RISE);
    i64::try_from(rise).unwrap_or(NO_RISE).min(NO_RISE - 1)
}
