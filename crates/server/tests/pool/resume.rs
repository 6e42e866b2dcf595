//! A Stratum V1 miner that loses its connection goes on with its session.

use crate::client::{Sv1Client, user};
use crate::harness::{Setup, TestPool};

async fn come(pool: &TestPool, session: &str) -> Sv1Client {
    let mut client = Sv1Client::dial(pool.address()).await;
    client.miner.send(&format!(
        r#"{{"id":"sub","method":"mining.subscribe","params":["x","{session}"]}}"#
    ));
    client.miner.authorize("auth", &user(1));
    assert!(client.until(|miner| !miner.jobs.is_empty()).await);
    client
}

/// What it found before counts after, once; and its name for the session is the same again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_on_over_another_connection() {
    let pool = Setup::for_shares().start().await;
    let mut first = come(&pool, "").await;
    let session = first.miner.session_id.clone();
    let extranonce1 = first.miner.extranonce1.clone();
    let (counted, on_its_way) = (first.find_share(), first.find_share());
    assert_eq!(first.submit(&user(1), &counted).await, None);
    first.leave().await;

    let mut second = come(&pool, &session).await;
    assert_eq!(second.miner.extranonce1, extranonce1);
    assert_eq!(second.miner.session_id, session);
    assert_eq!(second.submit(&user(1), &counted).await, Some(22));
    assert_eq!(second.submit(&user(1), &on_its_way).await, None);
    second.mine_share(&user(1)).await;

    let thief = come(&pool, &session).await;
    assert_ne!(thief.miner.extranonce1, extranonce1, "it is served still");
    assert_ne!(thief.miner.session_id, session);
    drop((second, thief));
    pool.stop().await;
}
