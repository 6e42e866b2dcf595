//! What the pool asks of connected miners: to go elsewhere when it ends. Those that are not known to bear it panic
//! at the message.

use headframe_sv2_wire::U256;
use headframe_testkit::Sv1Miner;
use headframe_transport::Endpoint;

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
