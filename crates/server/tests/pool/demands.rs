//! What the pool asks of connected miners: to go elsewhere when it ends, and to end one worker. Those that are
//! not known to bear it panic at the messages.

use headframe_api::MinerState;
use headframe_sv2_wire::U256;
use headframe_testkit::Sv1Miner;
use headframe_transport::Endpoint;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::client::{Sv1Client, Sv2Client, user};
use crate::harness::{Setup, TestPool};

/// A client with a channel for each of these users, that introduces itself as our own miner, or as nobody known.
async fn with_channels(pool: &TestPool, is_ours: bool, users: &[u64]) -> Sv2Client {
    let mut client = Sv2Client::dial(pool.address(), pool.authority)
        .await
        .unwrap();
    match is_ours {
        true => client.miner.set_up_as_ours(0),
        false => client.miner.set_up(0),
    }
    for number in users {
        client
            .miner
            .open_extended(&user(*number), 50.0, U256::MAX, 8);
    }
    let wanted = users.len();
    let has_jobs = |miner: &headframe_testkit::Sv2Miner| {
        miner.channels.len() == wanted && miner.channels.values().all(|it| !it.jobs.is_empty())
    };
    assert!(client.until(has_jobs).await, "the pool gives jobs");
    client
}

/// What `headframe close` is told.
async fn close(pool: &TestPool, worker: &str) -> String {
    let socket = UnixStream::connect(pool.directory.path().join("control.sock")).await;
    let mut socket = socket.unwrap();
    let question = format!("{{\"close\":{{\"worker\":\"{worker}\"}}}}\n");
    socket.write_all(question.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Waits until the board has these workers and no others.
async fn shows_only(pool: &TestPool, workers: &[u64]) {
    let mut wanted: Vec<String> = workers.iter().map(|number| user(*number)).collect();
    wanted.sort();
    loop {
        let miners = pool.miners().await;
        let here = miners.iter().filter(|it| it.state != MinerState::Gone);
        let mut here: Vec<String> = here.map(|it| it.worker.clone()).collect();
        here.sort();
        if here == wanted {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// R-12, FR-36: who bears it goes to the other pool and mines there; the others are hung up on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn miners_that_bear_it_are_sent_elsewhere_when_the_pool_ends() {
    let other = Setup::for_shares().start().await;
    let place = other.address();
    let mut pool = Setup::for_shares();
    pool.move_to = Some(Endpoint::new("127.0.0.1", place.port()).unwrap());
    let pool = pool.start().await;
    let mut ours = with_channels(&pool, true, &[1]).await;
    let mut unknown = with_channels(&pool, false, &[2]).await;
    let mut sv1 = Sv1Client::dial(pool.address()).await;
    sv1.miner.log_in(&user(3));
    assert!(sv1.until(|miner: &Sv1Miner| !miner.jobs.is_empty()).await);
    // What is on its way when the pool ends is answered before the demand.
    let nonce = ours.find_share();
    ours.submit(&nonce);
    ours.flush().await;
    pool.shutdown.cancel();
    assert!(!ours.until(|_| false).await && !unknown.until(|_| false).await);
    assert!(!sv1.until(|_| false).await);
    let sent_to = ours.miner.sent_to.clone();
    assert_eq!(sent_to, Some(("127.0.0.1".to_owned(), place.port())));
    assert_eq!(ours.acknowledged(), 1);
    drop((ours, unknown, sv1));
    pool.stopped().await;
    let mut moved = with_channels(&other, true, &[1]).await;
    moved.mine_share().await;
    drop(moved);
    other.stop().await;
}

/// Without another pool the demand names none: they come back to this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn miners_that_bear_it_are_called_back_when_no_other_pool_is_named() {
    let pool = Setup::for_shares().start().await;
    let mut ours = with_channels(&pool, true, &[1]).await;
    pool.shutdown.cancel();
    assert!(!ours.until(|_| false).await);
    assert_eq!(ours.miner.sent_to, Some((String::new(), 0)));
    drop(ours);
    pool.stopped().await;
}

/// ADR 6: who is released goes to his own other pool, wherever the operator would have them move.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn released_miners_are_sent_nowhere() {
    let mut setup = Setup::for_shares();
    setup.move_to = Some(Endpoint::new("127.0.0.1", 1).unwrap());
    setup.hold = Some(std::time::Duration::from_millis(1));
    let pool = setup.start().await;
    let mut ours = with_channels(&pool, true, &[1]).await;
    pool.away.send(true).unwrap();
    assert!(
        !ours.until(|_| false).await,
        "the pool closes the connection"
    );
    assert_eq!(ours.miner.sent_to, None);
    drop(ours);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_s_channel_is_closed_where_that_is_borne() {
    let pool = Setup::for_shares().start().await;
    let mut client = with_channels(&pool, true, &[1, 2]).await;
    shows_only(&pool, &[1, 2]).await;
    let answer = close(&pool, &user(1)).await;
    assert_eq!(
        answer,
        format!("{{\"done\":\"1 channel of {} closed\"}}\n", user(1))
    );
    assert!(client.until(|miner| !miner.closed.is_empty()).await);
    assert_eq!(client.miner.closed[0].1, "closed-by-operator");
    shows_only(&pool, &[2]).await;
    client.mine_share().await;
    let answer = close(&pool, &user(1)).await;
    assert!(answer.contains("is not connected; these are: "), "{answer}");
    drop(client);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_closed_where_nobody_else_is_on_it_and_kept_where_somebody_is() {
    let pool = Setup::for_shares().start().await;
    let mut alone = with_channels(&pool, false, &[1]).await;
    let mut shared = with_channels(&pool, false, &[2, 3]).await;
    let mut sv1 = Sv1Client::dial(pool.address()).await;
    sv1.miner.log_in(&user(4));
    assert!(sv1.until(|miner: &Sv1Miner| !miner.jobs.is_empty()).await);
    shows_only(&pool, &[1, 2, 3, 4]).await;
    // An answer that waits is given before.
    let nonce = alone.find_share();
    alone.submit(&nonce);
    alone.flush().await;
    for number in [1, 4] {
        let answer = close(&pool, &user(number)).await;
        assert!(answer.contains("1 connection of "), "{answer}");
    }
    assert!(!alone.until(|_| false).await && !sv1.until(|_| false).await);
    assert_eq!(alone.acknowledged(), 1);
    let answer = close(&pool, &user(2)).await;
    assert!(
        answer.contains("\"refused\"") && answer.contains("1 other worker,"),
        "{answer}"
    );
    shared.mine_share().await;
    shows_only(&pool, &[2, 3]).await;
    drop((alone, shared, sv1));
    pool.stop().await;
}
