//! A connection whose board does not read: its queue is full, and stays so until the test says.

use std::fmt;

use headframe_ledger::{MemoryLedger, Retention, Tally};
use headframe_mining::server::Hub;
use headframe_node::NodeStatus;
use headframe_sv2_wire::U256;
use headframe_testkit::{Chance, Device, Sv2Miner, address, fixed_difficulty};
use headframe_transport::{
    AddressSet, FrameStream, LINE_LIMIT, LineSocket, LineStream, MINING_FRAME_LIMIT, OUTBOX_LIMIT,
};
use headframe_work::Network;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata};

use super::*;
use crate::hub::HubTask;
use crate::ledger;
use crate::limits::{Door, Limits};
use crate::settings::AccessSettings;
use crate::silent::{Silent, rules};
use crate::vital::Vital;

/// The bytes of what `run` waits with.
fn bytes_of<T, F>(_run: impl FnOnce(T) -> F) -> usize {
    size_of::<F>()
}

/// Thousands of them wait. What has no room in here is boxed where it is seldom; a task is a multiple of
/// 128 bytes, 112 of which are the runtime's.
#[test]
fn a_connection_that_waits_takes_little() {
    let (connection, future) = (size_of::<Connection>(), bytes_of(Connection::run));
    assert!(connection <= 440, "{connection}");
    assert!(future <= 384 - 112, "{future}");
}

/// Bytes that may wait for a miner here: of little is more than that sooner made.
const MAY_WAIT: usize = 8 * 1024;

/// A pool but for its listeners, that tells `news`.
async fn links(news: mpsc::Sender<News>) -> PoolLinks {
    let (rules, shutdown) = (
        Arc::new(rules(fixed_difficulty(-24))),
        CancellationToken::new(),
    );
    let (_, status) = watch::channel(NodeStatus::starting("silent".to_owned(), Network::Regtest));
    let hub = Hub::new(rules.job_ids.clone(), 0);
    let (mut task, hub) = HubTask::new(hub, Silent::boxed(), status, mpsc::channel(16).0);
    let (service, bells) = (task.service(), task.bells());
    let (sender, work) = watch::channel(task.first_work(&shutdown).await.unwrap());
    tokio::spawn(task.run(sender, shutdown.clone()));
    let memory = Box::new(MemoryLedger::new(Retention::default()));
    let guard = Vital::new(shutdown.clone()).guard("ledger");
    let (ledger, _) = ledger::start(memory, Tally::default(), guard).unwrap();
    PoolLinks {
        rules,
        creditors: Arc::new(Creditors { ledger, hub, news }),
        work,
        found: mpsc::channel(16).0,
        tracer: Arc::default(),
        bells,
        shutdown,
        service,
        move_to: None,
        arrivals: Arc::new(Hush::new(Instant::now())),
        faults: Arc::new(Hush::new(Instant::now())),
        proofs: ProofDesk::unheard(),
    }
}

/// A miner at the other end of a connection.
struct Client {
    stream: FrameStream,
    miner: Sv2Miner,
    chance: Chance,
    serving: JoinHandle<()>,
}

impl Client {
    async fn connect(pool: PoolLinks) -> Self {
        Self::visit(pool, Visit::unlimited(Instant::now())).await
    }

    async fn visit(pool: PoolLinks, visit: Visit) -> Self {
        let stream = |socket, limit| FrameStream::plain(socket, MINING_FRAME_LIMIT, limit);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (near, peer) = listener.accept().await.unwrap();
        let socket = socket.unwrap();
        // The system keeps little of what is written and not read.
        SockRef::from(&near).set_send_buffer_size(4_096).unwrap();
        SockRef::from(&socket).set_recv_buffer_size(4_096).unwrap();
        let (rules, work) = (Arc::clone(&pool.rules), Arc::clone(&pool.work.borrow()));
        let wire = Wire::sv2(stream(near, MAY_WAIT), rules, work);
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let mut miner = Sv2Miner::default();
        miner.set_up(0);
        Self {
            stream: stream(socket, OUTBOX_LIMIT),
            miner,
            chance: Chance::new(1),
            serving: tokio::spawn(
                Connection::new(1, peer, visit, wire, Arc::new(pool), room).run(),
            ),
        }
    }

    async fn until(&mut self, condition: impl Fn(&Sv2Miner) -> bool) {
        loop {
            for frame in self.miner.take_output() {
                self.stream.queue_frame(&frame).unwrap();
            }
            while let Some(frame) = self.stream.next_frame().unwrap() {
                self.miner.receive(Instant::now(), frame);
            }
            if condition(&self.miner) {
                return;
            }
            assert_eq!(self.stream.fill().await.unwrap(), Filled::Bytes);
        }
    }

    /// Reads a little whenever the pool has done all that it would.
    async fn read_slowly_until(&mut self, condition: impl Fn(&Sv2Miner) -> bool) {
        while !condition(&self.miner) {
            for _ in 0..16 {
                yield_now().await;
            }
            assert_eq!(self.stream.fill().await.unwrap(), Filled::Bytes);
            while let Some(frame) = self.stream.next_frame().unwrap() {
                self.miner.receive(Instant::now(), frame);
            }
        }
    }

    /// Opens a channel, and waits for its first job.
    async fn open(&mut self) -> u32 {
        let user = format!("{}.rig", address(1));
        self.miner.open_extended(&user, 50.0, U256::MAX, 8);
        let count = self.miner.channels.len() + 1;
        self.until(|miner| {
            let has_jobs = |channel: u32| !miner.channels[&channel].jobs.is_empty();
            miner.opened.len() == count && miner.opened.iter().all(|it| has_jobs(*it))
        })
        .await;
        self.miner.opened[count - 1]
    }

    /// Submits a share, and waits for its acknowledgement.
    async fn mine_share(&mut self, channel: u32) {
        let job = self.miner.channels[&channel].job();
        let (target, network) = (job.target, job.network_target());
        let is_share = |hash| target.is_met_by(hash) && !network.is_met_by(hash);
        let nonce = job.mine_where(&mut self.chance, is_share);
        self.miner.submit(channel, &nonce);
        let before = self.miner.acknowledged.len();
        self.until(|miner| miner.acknowledged.len() > before || !miner.rejected.is_empty())
            .await;
        assert_eq!(self.miner.rejected, []);
    }
}

#[tokio::test]
async fn shares_are_answered_while_the_board_does_not_read_and_it_hears_of_them_later() {
    let (news, mut board) = mpsc::channel(1);
    let (reason, at) = ("the queue is full".to_owned(), wall_clock());
    news.try_send(News::NoJob { reason, at }).unwrap();
    let mut client = Client::connect(links(news.clone()).await).await;

    let (stays, leaves) = (client.open().await, client.open().await);
    client.mine_share(stays).await;
    client.mine_share(leaves).await;
    client.miner.open_extended("nobody", 50.0, U256::MAX, 8);
    client.until(|miner| !miner.refused.is_empty()).await;
    client.miner.close(leaves);
    client.mine_share(stays).await;
    assert_eq!(news.capacity(), 0, "the board has read nothing");

    assert!(matches!(board.recv().await, Some(News::NoJob { .. })));
    let mut stream = Some(client.stream);
    let (mut seats, mut shares, mut refused) = (Vec::new(), 0, 0);
    loop {
        match board.recv().await.unwrap() {
            News::Joined { key, .. } => {
                seats.push(key.seat.get());
                drop(stream.take());
            }
            News::Shares { tally, .. } => shares += tally.accepted,
            News::NameRefused { .. } => refused += 1,
            News::Left { key, .. } => {
                assert_eq!(seats, [key.seat.get()], "who came is told before who went");
                break;
            }
            News::Difficulty { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seats, [stays], "the other one came and went unseen");
    assert_eq!((shares, refused), (3, 1), "not one of them is lost");
    client.serving.await.unwrap();
}

/// The visit of somebody for whom all limits are.
fn stranger() -> Visit {
    let access = AccessSettings {
        unlimited: AddressSet::NONE,
        proxies: AddressSet::NONE,
    };
    let limits = Limits::new(100, &[], (Instant::now(), wall_clock()));
    let door = Arc::new(Door::new(access, limits));
    door.arrive([127, 0, 0, 1].into()).unwrap()
}

/// A connection that was held is read again by itself: nothing else happens here that could wake it, and
/// of what is sent together the rest is in the pool already, so that no more of it comes.
#[tokio::test]
async fn whoever_sent_too_much_is_read_again() {
    const UPDATES: usize = 12_000;
    const TOGETHER: usize = 20;
    let (news, _board) = mpsc::channel(16);
    let pool = PoolLinks {
        bells: Arc::default(),
        ..links(news).await
    };
    let mut client = Client::visit(pool, stranger()).await;
    for sent in (TOGETHER..=UPDATES).step_by(TOGETHER) {
        for _ in 0..TOGETHER {
            client.miner.update(7, 50.0, U256::MAX);
        }
        client
            .until(|miner| miner.update_errors.len() == sent)
            .await;
    }
    drop(client.stream);
    client.serving.await.unwrap();
}

/// Who has sent too much is read later; when the pool stops there is no later, and a share may be a block.
#[tokio::test]
async fn whoever_sent_too_much_is_read_when_the_pool_stops() {
    const UPDATES: usize = 10_000;
    const MORE: usize = 40;
    let (news, board) = mpsc::channel(16);
    let (pool, end) = (links(news).await, CancellationToken::new());
    tokio::spawn(Arc::clone(&pool.bells).await_shutdown(end.clone()));
    let mut client = Client::visit(pool, stranger()).await;
    let channel = client.open().await;
    for sent in (MORE..=UPDATES).step_by(MORE) {
        for _ in 0..MORE {
            client.miner.update(7, 50.0, U256::MAX);
        }
        client
            .until(|miner| miner.update_errors.len() == sent)
            .await;
    }
    for _ in 0..MORE {
        client.miner.update(7, 50.0, U256::MAX);
    }
    drop(board);
    end.cancel();
    client.mine_share(channel).await;
    drop(client.stream);
    client.serving.await.unwrap();
}

/// The jobs of a proxy's many channels are megabytes. They come as fast as it reads them, however slow that is.
#[tokio::test]
async fn many_channels_have_their_jobs_over_a_slow_line() {
    const CHANNELS: usize = 400;
    let (news, _board) = mpsc::channel(CHANNELS);
    let mut client = Client::connect(links(news).await).await;
    for number in 0..CHANNELS {
        let user = address(number as u64).to_string();
        client.miner.open_extended(&user, 50.0, U256::MAX, 8);
        if number % 4 == 3 {
            client.until(|miner| miner.opened.len() > number).await;
        }
    }
    let is_staged = |miner: &Sv2Miner| miner.channels.values().all(|it| !it.future.is_empty());
    client.read_slowly_until(is_staged).await;
    drop(client.stream);
    client.serving.await.unwrap();
}

/// Sends a line, and gives what is said until the reply to `id`.
async fn ask(stream: &mut LineStream, line: &str, id: &str) -> Vec<String> {
    stream.queue_lines(format!("{line}\n").as_bytes()).unwrap();
    let mut said = Vec::new();
    loop {
        while let Some(line) = stream.next_line().unwrap() {
            said.push(String::from_utf8(line.to_vec()).unwrap());
            if said.last().unwrap().contains(id) {
                return said;
            }
        }
        assert_eq!(stream.fill().await.unwrap(), Filled::Bytes);
    }
}

/// A device that comes after the node was away has nothing to hear of that.
#[tokio::test]
async fn who_comes_in_usual_times_is_told_nothing_of_others() {
    let (news, _board) = mpsc::channel(64);
    let (service, serviced) = watch::channel(Service::Usual);
    let pool = PoolLinks {
        service: serviced,
        ..links(news).await
    };
    for (now, notices) in [(Service::Held, 1), (Service::Usual, 0)] {
        service.send_replace(now);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (near, peer) = listener.accept().await.unwrap();
        let lines = |socket| LineStream::new(LineSocket::Tcp(socket), LINE_LIMIT, OUTBOX_LIMIT);
        let (mut near, mut stream) = (lines(near), lines(socket.unwrap()));
        let subscribe = r#"{"id":"a","method":"mining.subscribe","params":["bitaxe/1"]}"#;
        stream
            .queue_lines(format!("{subscribe}\n").as_bytes())
            .unwrap();
        stream.flush().await.unwrap();
        // Its protocol is recognised by this.
        assert_eq!(near.fill().await.unwrap(), Filled::Bytes);
        let (rules, work) = (Arc::clone(&pool.rules), Arc::clone(&pool.work.borrow()));
        let wire = Wire::sv1(near, rules, work);
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let visit = Visit::unlimited(Instant::now());
        let connection = Connection::new(1, peer, visit, wire, Arc::new(pool.clone()), room);
        let serving = tokio::spawn(connection.run());
        let mut said = Vec::new();
        for id in ["\"b\"", "\"c\""] {
            let ping = format!(r#"{{"id":{id},"method":"mining.ping","params":[]}}"#);
            said.extend(ask(&mut stream, &ping, id).await);
        }
        let told = said.iter().filter(|line| line.contains("show_message"));
        assert_eq!(told.count(), notices, "{now:?}: {said:?}");
        drop(stream);
        serving.await.unwrap();
    }
}

/// Fails when it is told that somebody is not served.
struct BrokenLog;

impl tracing::Subscriber for BrokenLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut |_: &Field, value: &dyn fmt::Debug| {
            assert!(!format!("{value:?}").contains("is not served as"));
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Whatever of the pool's own fails in a connection ends that connection, and nothing of it is lost.
#[tokio::test]
async fn a_panic_ends_its_connection_and_what_that_has_is_settled() {
    let (news, mut board) = mpsc::channel(64);
    let pool = links(news).await;
    let _log = tracing::subscriber::set_default(BrokenLog);
    let mut client = Client::connect(pool.clone()).await;
    let seat = client.open().await;
    client.mine_share(seat).await;
    client.miner.open_extended("nobody", 50.0, U256::MAX, 8);
    for frame in client.miner.take_output() {
        client.stream.queue_frame(&frame).unwrap();
    }
    client.stream.flush().await.unwrap();
    while client.stream.fill().await.unwrap() == Filled::Bytes {
        while client.stream.next_frame().unwrap().is_some() {}
    }
    drop(client.stream);
    client.serving.await.unwrap();

    let mut shares = 0;
    loop {
        match board.try_recv().unwrap() {
            News::Shares { tally, .. } => shares += tally.accepted,
            News::Left { key, .. } => break assert_eq!(key.seat.get(), seat),
            _ => {}
        }
    }
    assert_eq!(shares, 1);
    let mut other = Client::connect(pool).await;
    let seat = other.open().await;
    other.mine_share(seat).await;
}
