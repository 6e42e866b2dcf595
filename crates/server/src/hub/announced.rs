//! Tips that the node tells of before it has templates on them, on a clock that the test holds.

use headframe_channels::DifficultySettings;
use headframe_node::{BoxFuture, Tip};
use headframe_testkit::{Chain, EASY_BITS};
use headframe_work::{Network, Template};
use tokio::time::timeout;

use super::tests::update_of;
use super::*;
use crate::news::EmptyNews;
use crate::silent::rules;

/// A node that tells of tips before its templates.
struct Announcing(
    mpsc::Receiver<Result<TemplateUpdate, NodeError>>,
    watch::Receiver<Option<NewTip>>,
);

impl TemplateSource for Announcing {
    fn next(&mut self) -> BoxFuture<'_, Result<TemplateUpdate, NodeError>> {
        Box::pin(async { self.0.recv().await.expect("the test is not over") })
    }

    fn new_tips(&self) -> Option<watch::Receiver<Option<NewTip>>> {
        Some(self.1.clone())
    }
}

/// A pool on such a node, and what the node says.
struct Announced {
    chain: Chain,
    tips: watch::Sender<Option<NewTip>>,
    node: mpsc::Sender<Result<TemplateUpdate, NodeError>>,
    work: watch::Receiver<Arc<PoolWork>>,
    board: mpsc::Receiver<News>,
    bells: Arc<Bells>,
    _status: watch::Sender<NodeStatus>,
}

impl Announced {
    async fn begun(limit: Duration) -> Self {
        let (told, status) =
            watch::channel(NodeStatus::starting("told".to_owned(), Network::Regtest));
        let (news, board) = mpsc::channel(64);
        let (node, said) = mpsc::channel(1);
        let (tips, announced) = watch::channel(None);
        let source = Box::new(Announcing(said, announced));
        let hub = Hub::new(rules(DifficultySettings::default()).job_ids, 0);
        let (task, _requests) = HubTask::new(hub, source, status, news);
        let mut task = task.beginning_empty(limit);
        let bells = task.bells();
        let mut chain = Chain::new(1, EASY_BITS, 1);
        node.send(Ok(update_of(&mut chain))).await.unwrap();
        let shutdown = CancellationToken::new();
        let first = task.first_work(&shutdown).await.unwrap();
        let (sender, work) = watch::channel(first);
        tokio::spawn(task.run(sender, shutdown));
        Self {
            chain,
            tips,
            node,
            work,
            board,
            bells,
            _status: told,
        }
    }

    /// The node tells of a block.
    fn announce(&mut self) -> NewTip {
        let parent = self.chain.shared_template().prev_hash;
        self.chain.advance();
        let next = self.chain.shared_template();
        let tip = NewTip {
            tip: Tip {
                height: next.height - 1,
                hash: next.prev_hash,
            },
            parent,
            bits: next.bits,
            earliest: next.min_time,
        };
        self.tips.send_replace(Some(tip));
        tip
    }

    async fn next_work(&mut self) -> Arc<PoolWork> {
        self.work.changed().await.unwrap();
        self.work.borrow_and_update().clone()
    }

    async fn risked(&mut self) -> EmptyNews {
        loop {
            if let News::Empty(risked) = self.board.recv().await.unwrap() {
                return risked;
            }
        }
    }
}

/// However long the node needs: what is begun with is a block on its tip, and what it cost is counted.
#[tokio::test(start_paused = true)]
async fn an_announced_tip_is_worked_on_until_its_template_is_there() {
    let mut pool = Announced::begun(Duration::from_secs(30)).await;
    for round in 1..=2 {
        let tip = pool.announce();
        let start = pool.next_work().await;
        assert_eq!(start.tip(), tip.tip.hash);
        assert!(start.prepared.template().transactions.is_empty());
        sleep(Duration::from_secs(20)).await;
        pool.node
            .send(Ok(update_of(&mut pool.chain)))
            .await
            .unwrap();
        let full = pool.next_work().await;
        assert_eq!(full.tip(), tip.tip.hash);
        assert!(!full.prepared.template().transactions.is_empty());
        let risked = pool.risked().await;
        assert_eq!((risked.tips, risked.awaited), (round, round));
        assert_eq!(risked.spent.as_secs(), 20 * round);
    }
}

/// Nobody mines an empty block for longer than the operator says: the work before it comes again, as after a node
/// that is away, and the template whenever it comes.
#[tokio::test(start_paused = true)]
async fn an_announced_tip_that_gets_no_template_is_left_after_the_set_time() {
    let mut pool = Announced::begun(Duration::from_secs(30)).await;
    let tip = pool.announce();
    assert_eq!(pool.next_work().await.tip(), tip.tip.hash);
    let begun = now();
    assert_eq!(pool.next_work().await.tip(), tip.parent);
    assert_eq!((now() - begun).as_secs(), 30);
    assert_eq!(pool.risked().await.spent.as_secs(), 30);
    let hold = loop {
        if let News::Hold(hold) = pool.board.recv().await.unwrap() {
            break hold;
        }
    };
    assert!(!hold.is_released);
    pool.node
        .send(Ok(update_of(&mut pool.chain)))
        .await
        .unwrap();
    // Begun as always, and then in full.
    assert_eq!(pool.next_work().await.tip(), tip.tip.hash);
}

/// Neither a tip that is told of nor one that comes with its template, however many connections there are to tell.
#[tokio::test(start_paused = true)]
async fn who_allows_no_empty_blocks_waits_for_the_template() {
    let mut pool = Announced::begun(Duration::ZERO).await;
    let _deaf = pool.bells.hang(1);
    pool.announce();
    let early = timeout(Duration::from_secs(20), pool.work.changed()).await;
    assert!(early.is_err());
    for _ in 0..3 {
        pool.node
            .send(Ok(update_of(&mut pool.chain)))
            .await
            .unwrap();
        let (told, full) = (now(), pool.next_work().await);
        assert_eq!(now(), told);
        assert_eq!(full.tip(), pool.chain.shared_template().prev_hash);
        assert!(!full.prepared.template().transactions.is_empty());
        pool.chain.advance();
    }
    let mut heard = core::iter::from_fn(|| pool.board.try_recv().ok());
    assert!(!heard.any(|news| matches!(news, News::Empty(_))));
}

/// It lasts until all have been told the tip, and a moment at most.
#[tokio::test(start_paused = true)]
async fn a_tip_that_comes_with_its_template_is_counted_too() {
    let mut pool = Announced::begun(Duration::from_secs(30)).await;
    let _deaf = pool.bells.hang(1);
    for round in 1..=3 {
        pool.chain.advance();
        pool.node
            .send(Ok(update_of(&mut pool.chain)))
            .await
            .unwrap();
        assert!(pool.next_work().await.is_start());
        assert!(!pool.next_work().await.is_start());
        let risked = pool.risked().await;
        assert_eq!((risked.tips, risked.awaited), (u64::from(round), 0));
        assert_eq!(risked.spent, TOLD_WITHIN * round);
    }
}

/// What stands in for a template on which no block can be built is such a block as well, until a better one comes.
#[tokio::test(start_paused = true)]
async fn a_template_that_is_no_block_is_counted_until_the_next() {
    let mut pool = Announced::begun(Duration::from_secs(30)).await;
    let _deaf = pool.bells.hang(1);
    pool.chain.advance();
    let mut broken = update_of(&mut pool.chain);
    let mut template = Template::clone(&broken.template);
    template.transactions[0].sigops = u32::MAX;
    broken.template = Arc::new(template);
    pool.node.send(Ok(broken)).await.unwrap();
    assert!(pool.next_work().await.is_start());
    assert!(!pool.next_work().await.is_start());
    sleep(Duration::from_secs(20)).await;
    pool.node
        .send(Ok(update_of(&mut pool.chain)))
        .await
        .unwrap();
    let risked = pool.risked().await;
    assert_eq!((risked.tips, risked.awaited), (1, 0));
    assert_eq!(risked.spent.as_secs(), 20);
}

/// The template may come before all have been told the tip: its jobs wait as those of any tip do.
#[tokio::test(start_paused = true)]
async fn an_announced_tip_reaches_every_connection_before_the_job_of_any() {
    let mut pool = Announced::begun(Duration::from_secs(30)).await;
    let mut slow = pool.bells.hang(1);
    let mut hears = || {
        let call = slow.poll_call(std::task::Waker::noop());
        slow.answer();
        call.is_ready()
    };
    assert!(hears());
    pool.announce();
    assert!(pool.next_work().await.is_start());
    pool.node
        .send(Ok(update_of(&mut pool.chain)))
        .await
        .unwrap();
    let early = timeout(TOLD_WITHIN / 2, pool.work.changed()).await;
    assert!(early.is_err());
    assert!(hears());
    let full = timeout(TOLD_WITHIN / 4, pool.next_work()).await.unwrap();
    assert!(!full.is_start());
}
