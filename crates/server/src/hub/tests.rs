//! The hub's timer, on a clock that the test holds.

use headframe_channels::DifficultySettings;
use headframe_node::{BoxFuture, Cause, HeaderWindow};
use headframe_testkit::{Chain, EASY_BITS};
use headframe_work::Network;
use tokio::time::{sleep, timeout};

use super::*;
use crate::bell::HungBell;
use crate::silent::{Silent, rules};

/// R-15, MP-135: devices leave after 180 s of silence, so a silent node must not mean a silent pool.
#[tokio::test(start_paused = true)]
async fn work_is_numbered_anew_every_45_s_while_the_node_is_silent() {
    let (_status, status) =
        watch::channel(NodeStatus::starting("silent".to_owned(), Network::Regtest));
    let (news, _news) = mpsc::channel(16);
    let hub = Hub::new(rules(DifficultySettings::default()).job_ids, 0);
    let (mut task, _requests) = HubTask::new(hub, Silent::boxed(), status, news);
    let shutdown = CancellationToken::new();
    let first = task.first_work(&shutdown).await.unwrap();
    let (sender, mut work) = watch::channel(Arc::clone(&first));
    let running = tokio::spawn(task.run(sender, shutdown.clone()));

    let mut ids = vec![first.job_id];
    for _ in 0..4 {
        let early = timeout(Duration::from_secs(44), work.changed()).await;
        assert!(early.is_err(), "before 45 s");
        let due = timeout(Duration::from_secs(2), work.changed()).await;
        due.expect("after 45 s").unwrap();
        let again = Arc::clone(&work.borrow_and_update());
        assert!(Arc::ptr_eq(&again.prepared, &first.prepared));
        assert!(!ids.contains(&again.job_id), "a number of its own");
        ids.push(again.job_id);
    }
    shutdown.cancel();
    running.await.unwrap();
}

/// A node that says what the test says.
struct Told(mpsc::Receiver<Result<TemplateUpdate, NodeError>>);

impl TemplateSource for Told {
    fn next(&mut self) -> BoxFuture<'_, Result<TemplateUpdate, NodeError>> {
        Box::pin(async { self.0.recv().await.expect("the test is not over") })
    }
}

fn update() -> TemplateUpdate {
    TemplateUpdate {
        cause: Cause::Refresh,
        ..update_of(&mut Chain::new(1, EASY_BITS, 1))
    }
}

/// ADR 6: nothing is said of an absence of less than ten seconds, and so nothing of its end.
#[tokio::test(start_paused = true)]
async fn connections_hear_of_the_node_s_absence_only_when_it_lasts() {
    let (_status, status) =
        watch::channel(NodeStatus::starting("told".to_owned(), Network::Regtest));
    let (news, mut board) = mpsc::channel(64);
    let (node, said) = mpsc::channel(1);
    let hub = Hub::new(rules(DifficultySettings::default()).job_ids, 0);
    let (mut task, _requests) = HubTask::new(hub, Box::new(Told(said)), status, news);
    let mut service = task.service();
    let shutdown = CancellationToken::new();
    node.send(Ok(update())).await.unwrap();
    let first = task.first_work(&shutdown).await.unwrap();
    let (sender, _work) = watch::channel(first);
    let running = tokio::spawn(task.run(sender, shutdown.clone()));
    let away = || node.send(Err(NodeError::Syncing(String::new())));
    let well = || node.send(Ok(update()));

    away().await.unwrap();
    sleep(Duration::from_secs(9)).await;
    well().await.unwrap();
    // The board hears of the absence, and of its end.
    let mut holds = 0;
    while holds < 2 {
        holds += usize::from(matches!(board.recv().await.unwrap(), News::Hold(_)));
    }
    assert!(!service.has_changed().unwrap(), "a hiccup");

    away().await.unwrap();
    service.changed().await.unwrap();
    assert_eq!(*service.borrow_and_update(), Service::Held);
    well().await.unwrap();
    service.changed().await.unwrap();
    assert_eq!(*service.borrow_and_update(), Service::Usual);
    shutdown.cancel();
    running.await.unwrap();
}

/// A hub that runs on a node that says what the test says, and the tip of its first template.
struct Running {
    chain: Chain,
    node: mpsc::Sender<Result<TemplateUpdate, NodeError>>,
    hub: HubHandle,
    bells: Arc<Bells>,
    work: watch::Receiver<Arc<PoolWork>>,
    _status: watch::Sender<NodeStatus>,
}

impl Running {
    async fn start() -> Self {
        let (status_sender, status) =
            watch::channel(NodeStatus::starting("told".to_owned(), Network::Regtest));
        let (node, said) = mpsc::channel(1);
        let mut chain = Chain::new(1, EASY_BITS, 1);
        node.send(Ok(update_of(&mut chain))).await.unwrap();
        let hub = Hub::new(rules(DifficultySettings::default()).job_ids, 0);
        let news = mpsc::channel(64).0;
        let (mut task, hub) = HubTask::new(hub, Box::new(Told(said)), status, news);
        let bells = task.bells();
        let shutdown = CancellationToken::new();
        let (sender, work) = watch::channel(task.first_work(&shutdown).await.unwrap());
        tokio::spawn(task.run(sender, shutdown));
        Self {
            chain,
            node,
            hub,
            bells,
            work,
            _status: status_sender,
        }
    }

    /// Another block: what connections are told of it first.
    async fn new_tip(&mut self) -> Arc<PoolWork> {
        self.chain.advance();
        self.node
            .send(Ok(update_of(&mut self.chain)))
            .await
            .unwrap();
        self.next_work().await
    }

    async fn next_work(&mut self) -> Arc<PoolWork> {
        self.work.changed().await.unwrap();
        Arc::clone(&self.work.borrow_and_update())
    }

    fn transactions(work: &PoolWork) -> usize {
        work.prepared.template().transactions.len()
    }
}

/// The chain's next block as a node tells it.
pub(super) fn update_of(chain: &mut Chain) -> TemplateUpdate {
    let template = chain.shared_template();
    TemplateUpdate {
        cause: Cause::NewTip,
        received: now(),
        window: HeaderWindow::unbounded(&template),
        template,
    }
}

async fn hear(bell: &mut HungBell) {
    let call = std::future::poll_fn(|context| bell.poll_call(context.waker())).await;
    assert_eq!(call, Call::Work);
}

async fn answer(bell: &mut HungBell) {
    hear(bell).await;
    bell.answer();
}

/// Nobody's job goes out while somebody has not been told the tip. What connections want of the hub
/// is not kept back by that: they could not answer.
#[tokio::test(start_paused = true)]
async fn jobs_wait_until_all_have_been_told_the_tip() {
    let mut pool = Running::start().await;
    let mut bells = [1, 2].map(|connection| pool.bells.hang(connection));
    for bell in &mut bells {
        answer(bell).await;
    }
    let start = pool.new_tip().await;
    assert_eq!(Running::transactions(&start), 0);
    answer(&mut bells[0]).await;
    assert!(pool.hub.lease_prefix().await.is_some());
    assert!(
        !pool.work.has_changed().unwrap(),
        "the second knows nothing"
    );
    let before = now();
    hear(&mut bells[1]).await;
    // Served after it has looked at what it waits for.
    assert!(pool.hub.lease_prefix().await.is_some());
    assert!(
        !pool.work.has_changed().unwrap(),
        "the second would find no empty block any more"
    );
    bells[1].answer();
    let full = pool.next_work().await;
    assert_eq!((full.tip(), Running::transactions(&full)), (start.tip(), 1));
    assert_eq!(now(), before);
    // Both hear of the job too.
    for bell in &mut bells {
        answer(bell).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_listen_keeps_jobs_back_for_a_moment_only() {
    let mut pool = Running::start().await;
    let _deaf = pool.bells.hang(1);
    let start = pool.new_tip().await;
    let before = now();
    let full = pool.next_work().await;
    assert_eq!((full.tip(), Running::transactions(&full)), (start.tip(), 1));
    assert_eq!(now() - before, TOLD_WITHIN);
}
