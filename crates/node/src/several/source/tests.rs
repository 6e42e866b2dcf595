//! Nodes that tell what the test says, by a clock that stands still until all wait.

use std::sync::Arc;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, CompactTarget};
use headframe_work::{BlockLimits, Network, Template, UnixTime};
use tokio::time::{advance, timeout};

use super::super::chooser::{BEHIND_GRACE, CATCH_UP, Standing, TEMPLATE_TOO_OLD, WELL_AFTER};
use super::*;
use crate::BoxFuture;
use crate::{HeaderWindow, Tip};

const SECOND: Duration = Duration::from_secs(1);

/// A node that tells what the test says.
struct Fake {
    news: queue::Sender<News>,
    status: watch::Sender<NodeStatus>,
    missed: watch::Sender<u32>,
}

struct Told(queue::Receiver<News>);

impl TemplateSource for Told {
    fn next(&mut self) -> BoxFuture<'_, News> {
        Box::pin(async move {
            match self.0.recv().await {
                Some(news) => news,
                None => std::future::pending().await,
            }
        })
    }
}

impl Fake {
    fn new(name: &str) -> (Self, Candidate) {
        let (news, told) = queue::channel(8);
        let status = watch::Sender::new(NodeStatus::starting(name.to_owned(), Network::Signet));
        let missed = watch::Sender::new(0);
        let candidate = Candidate {
            name: name.to_owned(),
            templates: Box::new(Told(told)),
            status: status.subscribe(),
            missed: missed.subscribe(),
            _alive: mpsc::channel().0,
        };
        let fake = Self {
            news,
            status,
            missed,
        };
        (fake, candidate)
    }

    /// Gives a template on block `tip` of `height`, as of this node's clock.
    async fn gives(&self, height: u32, tip: u8, clock: u32) {
        self.status.send_modify(|status| {
            status.condition = Condition::Ready;
            status.tip = Some(Tip {
                height,
                hash: hash(tip),
            });
        });
        let template = Arc::new(template(height, tip, clock));
        let update = TemplateUpdate {
            window: HeaderWindow::unbounded(&template),
            template,
            cause: Cause::NewTip,
            received: now(),
        };
        self.news.send(Ok(update)).await.unwrap();
    }

    async fn fails(&self, error: NodeError) {
        self.status
            .send_modify(|status| status.condition = Condition::Unusable(error.clone()));
        self.news.send(Err(error)).await.unwrap();
    }
}

fn hash(number: u8) -> BlockHash {
    BlockHash::from_byte_array([number; 32])
}

fn template(height: u32, tip: u8, clock: u32) -> Template {
    Template {
        network: Network::Signet,
        height: height + 1,
        version: 0x2000_0000,
        fixed_version_bits: 0,
        prev_hash: hash(tip),
        bits: CompactTarget::from_consensus(0x1d00_ffff),
        min_time: UnixTime::from_secs(clock - 100),
        current_time: UnixTime::from_secs(clock),
        coinbase_value: Amount::ZERO,
        coinbase_sequence: 0xffff_fffe,
        coinbase_lock_time: height,
        transactions: Vec::new(),
        witness_commitment: None,
        limits: BlockLimits::default(),
    }
}

/// Two nodes as one.
fn two() -> (Fake, Fake, Started) {
    let (first, first_candidate) = Fake::new("first");
    let (second, second_candidate) = Fake::new("second");
    let started = start(vec![first_candidate, second_candidate]);
    (first, second, started)
}

impl Started {
    /// What is told within a second.
    async fn told(&mut self) -> Option<News> {
        timeout(SECOND, self.templates.next()).await.ok()
    }

    /// The block that is told to mine on, and why, within a second.
    async fn tip(&mut self) -> Option<(BlockHash, Cause)> {
        let update = self.told().await?.unwrap();
        Some((update.template.prev_hash, update.cause))
    }

    fn mined_on(&self) -> usize {
        *self.mined_on.borrow()
    }

    fn standing(&self, node: usize) -> Standing {
        self.health.borrow()[node].standing
    }
}

#[tokio::test(start_paused = true)]
async fn the_others_go_on_within_a_second_of_a_failure() {
    let (first, second, mut started) = two();
    first.gives(7, 1, 1_000).await;
    assert_eq!(started.tip().await, Some((hash(1), Cause::NewTip)));
    second.gives(7, 1, 1_000).await;
    assert_eq!(started.tip().await, None, "the preferred one is mined on");
    first.fails(NodeError::Busy).await;
    assert_eq!(started.tip().await, Some((hash(1), Cause::Refresh)));
    assert_eq!(started.mined_on(), 1);
    let health = started.health.borrow()[0].clone();
    assert_eq!(health.reason(), Some(NodeError::Busy.to_string()));
    assert!(started.status.borrow().is_ready());

    // Back when it has been well for a while, with the newest that it gave.
    first.gives(7, 1, 1_000).await;
    assert_eq!(started.tip().await, None);
    assert_eq!(started.standing(0), Standing::Recovering);
    advance(WELL_AFTER - 2 * SECOND).await;
    assert_eq!(started.mined_on(), 1);
    assert!(timeout(3 * SECOND, started.templates.next()).await.is_ok());
    assert_eq!(started.mined_on(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_questions_unanswered_is_left() {
    let (first, second, mut started) = two();
    first.gives(7, 1, 1_000).await;
    second.gives(7, 1, 1_000).await;
    assert!(started.tip().await.is_some());
    first.missed.send_replace(1);
    assert_eq!(started.tip().await, None, "one may have met a busy moment");
    first.missed.send_replace(2);
    assert!(started.tip().await.is_some());
    assert_eq!(started.mined_on(), 1);
    let reason = started.health.borrow()[0].reason();
    assert_eq!(reason.as_deref(), Some("it does not answer"));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_behind_is_left_after_the_grace() {
    let (first, second, mut started) = two();
    first.gives(7, 1, 1_000).await;
    second.gives(7, 1, 1_000).await;
    assert!(started.tip().await.is_some());
    second.gives(8, 2, 1_000).await;
    assert_eq!(started.tip().await, None);
    advance(BEHIND_GRACE).await;
    assert_eq!(started.tip().await, Some((hash(2), Cause::NewTip)));
    let health = started.health.borrow()[0].clone();
    assert_eq!(
        health.reason().as_deref(),
        Some("it is 1 block behind another node")
    );
    assert!(!health.is_mined_on);
}

#[tokio::test(start_paused = true)]
async fn the_tip_is_not_switched_between_two_blocks_of_one_height() {
    let (first, second, mut started) = two();
    first.gives(7, 1, 1_000).await;
    second.gives(7, 2, 1_000).await;
    assert_eq!(started.tip().await, Some((hash(1), Cause::NewTip)));
    for _ in 0..10 {
        second.gives(7, 2, 1_000).await;
        assert_eq!(started.tip().await, None);
        first.gives(7, 1, 1_000).await;
        assert_eq!(started.tip().await, Some((hash(1), Cause::Refresh)));
    }
}

/// TD-49: a provider on a network with few transactions has nothing to say for longer than a node would.
#[tokio::test(start_paused = true)]
async fn a_node_with_nothing_to_say_is_mined_on_while_it_shows_that_it_is_there() {
    let (first, second, mut started) = two();
    first.gives(7, 1, 1_000).await;
    assert!(started.tip().await.is_some());
    for _ in 0..4 {
        advance(TEMPLATE_TOO_OLD / 2).await;
        let sign = Some(now());
        first.status.send_modify(|status| status.last_sign = sign);
        second.gives(7, 1, 1_000).await;
        assert_eq!(started.tip().await, None);
        assert_eq!(started.standing(0), Standing::Well);
    }
    advance(TEMPLATE_TOO_OLD / 2).await;
    second.gives(7, 1, 1_000).await;
    assert_eq!(started.tip().await, None);
    advance(TEMPLATE_TOO_OLD / 2).await;
    assert!(started.tip().await.is_some(), "no sign for two minutes");
    assert_eq!(started.standing(0), Standing::Stuck);
}

/// a share is judged by the clock of the node that its job is from.
#[tokio::test(start_paused = true)]
async fn time_goes_by_the_node_that_is_mined_on() {
    let (first, second, mut started) = two();
    first.gives(7, 1, 1_000_000).await;
    second.gives(7, 1, 2_000_000).await;
    let update = started.told().await.unwrap().unwrap();
    assert_eq!(update.consensus_time(now()).as_secs(), 1_000_000);
    advance(10 * SECOND).await;
    first.fails(NodeError::Busy).await;
    let update = started.told().await.unwrap().unwrap();
    // Ten seconds have passed since the other node gave its template.
    let seconds = update.consensus_time(now()).as_secs();
    assert!((2_000_010..=2_000_012).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn when_none_can_be_mined_on_it_is_told_once_with_every_reason() {
    let (first, second, mut started) = two();
    first.gives(7, 1, 1_000).await;
    assert!(started.tip().await.is_some());
    let wrong = NodeError::WrongNetwork {
        expected: Network::Signet,
        found: "main".to_owned(),
    };
    second.fails(wrong.clone()).await;
    assert!(started.told().await.is_none(), "the other one is well");
    first.fails(NodeError::Busy).await;
    let error = started.told().await.unwrap().unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("first: {}", NodeError::Busy)),
        "{text}"
    );
    assert!(text.contains(&format!("second: {wrong}")), "{text}");
    assert!(matches!(
        started.status.borrow().condition,
        Condition::Unusable(_)
    ));
    first.fails(NodeError::Busy).await;
    assert!(started.told().await.is_none());
    first.gives(7, 1, 1_000).await;
    assert_eq!(started.tip().await, Some((hash(1), Cause::Refresh)));
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_starts_without_any_node_is_told_so() {
    let (first, second, mut started) = two();
    first.fails(NodeError::Busy).await;
    assert!(started.told().await.is_none(), "the other may be there");
    second.fails(NodeError::Busy).await;
    assert!(started.told().await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn work_that_only_the_lost_node_knew_is_kept_for_a_while() {
    let (first, second, mut started) = two();
    second.gives(7, 1, 1_000).await;
    first.gives(8, 2, 1_000).await;
    assert!(started.tip().await.is_some());
    first.fails(NodeError::Busy).await;
    assert!(started.told().await.unwrap().is_err());
    second.gives(7, 1, 1_000).await;
    assert!(started.told().await.is_none());
    advance(CATCH_UP).await;
    assert_eq!(started.tip().await, Some((hash(1), Cause::NewTip)));
}

/// A tip that a node tells of before its template is one for who mines on that node, and for nobody else.
#[tokio::test(start_paused = true)]
async fn only_the_node_that_is_mined_on_tells_of_tips_ahead() {
    struct Telling(Told, watch::Receiver<Option<NewTip>>);
    impl TemplateSource for Telling {
        fn next(&mut self) -> BoxFuture<'_, News> {
            self.0.next()
        }

        fn new_tips(&self) -> Option<watch::Receiver<Option<NewTip>>> {
            Some(self.1.clone())
        }
    }
    let ahead = |tip: u8| NewTip {
        tip: Tip {
            height: 8,
            hash: hash(tip),
        },
        parent: hash(1),
        bits: CompactTarget::from_consensus(0x1d00_ffff),
        earliest: UnixTime::from_secs(1_000),
    };
    let mut nodes = Vec::new();
    let mut candidates = Vec::new();
    for name in ["first", "second"] {
        let (news, told) = queue::channel(8);
        let (tips, announced) = watch::channel(None);
        let (mut fake, candidate) = Fake::new(name);
        fake.news = news;
        let templates = Box::new(Telling(Told(told), announced));
        candidates.push(Candidate {
            templates,
            ..candidate
        });
        nodes.push((fake, tips));
    }
    let mut started = start(candidates);
    let mut told = started.templates.new_tips().expect("both tell of tips");
    for (fake, _) in &nodes {
        fake.gives(7, 1, 1_000).await;
    }
    assert!(started.tip().await.is_some());
    nodes[1].1.send_replace(Some(ahead(3)));
    assert!(timeout(SECOND, told.changed()).await.is_err());
    nodes[0].1.send_replace(Some(ahead(2)));
    told.changed().await.unwrap();
    assert_eq!(*told.borrow_and_update(), Some(ahead(2)));
    let (_, _, plain) = two();
    assert!(plain.templates.new_tips().is_none());
}
