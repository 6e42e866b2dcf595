//! Start, limits and stop.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use headframe_server::StartError;
use headframe_testkit::{Nonce, RootSource, Sv1Miner};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Sv1Client, Sv2Client, user};
use crate::harness::{Setup, TestPool};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_protocols_are_served_on_one_port() {
    let pool = Setup::for_shares().start().await;
    let mut sv2 = Sv2Client::connect(&pool, &user(1)).await;
    let mut sv1 = Sv1Client::dial(pool.address()).await;
    sv1.miner.log_in(&user(2));
    assert!(sv1.until(|miner| !miner.jobs.is_empty()).await);
    sv2.mine_share().await;
    sv1.mine_share(&user(2)).await;
    drop((sv2, sv1));
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_gives_everybody_new_work() {
    let setup = Setup::for_blocks();
    let chain = setup.chain.clone();
    let pool = setup.start().await;
    let mut finder = Sv2Client::connect(&pool, &user(1)).await;
    let mut other = Sv2Client::connect(&pool, &user(2)).await;
    for height in 111..114 {
        let nonce = finder.find_block();
        finder.submit(&nonce);
        let tip = bitcoin::hashes::Hash::to_byte_array(nonce.hash());
        for client in [&mut finder, &mut other] {
            let is_on_tip = client
                .until(|miner| miner.channels.values().all(|it| it.job().prev_hash == tip))
                .await;
            assert!(is_on_tip, "the pool closed the connection");
        }
        assert_eq!(chain.tip().height, height);
        assert_eq!(chain.tip().hash, nonce.hash());
    }
    drop((finder, other));
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_named_and_nothing_is_left_running() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = other.local_addr().unwrap();
    let taken = Setup {
        listen: address,
        ..Setup::for_shares()
    };
    let Err(error) = taken.try_start().await else {
        panic!("the port is in use");
    };
    assert!(matches!(error, StartError::Listen { address: it, .. } if it == address));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_turns_away_and_has_room_again_when_somebody_leaves() {
    let pool = Setup {
        max_connections: 2,
        ..Setup::for_shares()
    };
    let pool = pool.start().await;
    let mut first = Sv2Client::connect(&pool, &user(1)).await;
    let second = Sv2Client::connect(&pool, &user(2)).await;
    let third = Sv2Client::dial(pool.address(), pool.authority).await;
    assert!(third.is_err(), "there is no room");
    first.mine_share().await;
    drop(second);
    // The pool hears of it when it hears of it.
    let mut fourth = loop {
        match Sv2Client::dial(pool.address(), pool.authority).await {
            Ok(client) => break client,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    fourth.miner.set_up(0);
    assert!(fourth.until(|miner| miner.setup.is_some()).await);
    first.mine_share().await;
    drop((first, fourth));
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_stopped_can_be_started_again_on_its_port_with_its_keys() {
    let setup = Setup::for_shares();
    let directory = setup.directory.clone();
    let pool = setup.start().await;
    let (address, authority): (SocketAddr, _) = (pool.address(), pool.authority);
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    client.mine_share().await;
    pool.shutdown.cancel();
    assert!(
        !client.until(|_| false).await,
        "the pool closes the connection"
    );
    drop(client);
    pool.stopped().await;
    let pool = Setup {
        listen: address,
        directory,
        ..Setup::for_shares()
    };
    let pool = pool.start().await;
    assert_eq!(pool.authority, authority);
    Sv2Client::connect(&pool, &user(1)).await.mine_share().await;
    pool.stop().await;
}

/// R-6 and R-10: a pool that is started again on the same tip repeats neither a coinbase nor the ids of
/// its jobs. Two draws of four bytes are the same once in four thousand million runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_start_draws_its_bytes_in_the_coinbase_and_its_first_job_id() {
    let setup = Setup::for_shares();
    let (chain, directory) = (setup.chain.clone(), setup.directory.clone());
    let (first_id, first_bytes) = first_job(setup.start().await).await;
    let again = Setup {
        chain,
        directory,
        ..Setup::for_shares()
    };
    let (second_id, second_bytes) = first_job(again.start().await).await;
    assert_ne!(first_bytes, second_bytes);
    assert_ne!(first_id, second_id);
}

/// The id of a pool's first job, and the four bytes of the process in its coinbase: before the extranonce
/// stand they, the job's number of four bytes, and the opcode that pushes the extranonce.
async fn first_job(pool: TestPool) -> (u32, Vec<u8>) {
    let client = Sv2Client::connect(&pool, &user(1)).await;
    let job = &client.miner.channels.values().next().unwrap().jobs[0];
    let RootSource::Coinbase { prefix, .. } = &job.root else {
        panic!("an extended channel has the coinbase");
    };
    let unique = &prefix[prefix.len() - 9..prefix.len() - 1];
    assert_eq!(unique[4..], job.id.to_be_bytes(), "R-6: the job's number");
    let drawn = (job.id, unique[..4].to_vec());
    drop(client);
    pool.stop().await;
    drawn
}

/// ADR 6: when the node is away for too long miners are released and nobody listens, so that they mine
/// elsewhere; when it is back the same port is open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn miners_are_released_while_the_node_is_away_and_taken_back_when_it_is_there() {
    let setup = Setup {
        hold: Some(Duration::from_millis(200)),
        has_second: true,
        ..Setup::for_shares()
    };
    let pool = setup.start().await;
    let places = [pool.address(), pool.second().0];
    let mut sv1 = Sv1Client::dial(pool.address()).await;
    let cgminer = r#"{"id":9,"method":"mining.subscribe","params":["cgminer/4.12.1"]}"#;
    sv1.miner.send(cgminer);
    sv1.miner.authorize("10", &user(1));
    assert!(sv1.until(|miner| !miner.jobs.is_empty()).await);
    let mut sv2 = Sv2Client::connect(&pool, &user(2)).await;
    let nonces = [sv1.find_share(), sv2.find_share()];
    assert_eq!(sv1.submit(&user(1), &nonces[0]).await, None);
    sv2.submit(&nonces[1]);
    sv2.until_acknowledged(1).await;

    pool.away.send_replace(true);
    let told = |miner: &Sv1Miner| {
        miner
            .transcript
            .iter()
            .any(|it| it == "client.show_message")
    };
    assert!(sv1.until(told).await, "it is told before it is released");
    pool.shows(|snapshot| snapshot.summary.connect.listeners.iter().all(|it| !it.open))
        .await;
    assert!(sv1_is_let_go(&mut sv1, &nonces[0]).await, "Stratum V1");
    assert!(sv2_is_let_go(&mut sv2, &nonces[1]).await, "Stratum V2");
    for place in places {
        loop {
            // Who was in the queue of the system is reset; then nobody listens.
            match TcpStream::connect(place).await {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => break,
                _ => tokio::task::yield_now().await,
            }
        }
    }

    pool.away.send_replace(false);
    pool.shows(|snapshot| snapshot.summary.connect.listeners.iter().all(|it| it.open))
        .await;
    let mut back = loop {
        match Sv2Client::dial(pool.address(), pool.authority).await {
            Ok(_) => break Sv2Client::connect(&pool, &user(2)).await,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    back.mine_share().await;
    let mut sv1_back = Sv1Client::dial(pool.address()).await;
    sv1_back.miner.log_in(&user(1));
    assert!(sv1_back.until(|miner| !miner.jobs.is_empty()).await);
    sv1_back.mine_share(&user(1)).await;
    drop((sv1, sv2, back, sv1_back));
    pool.stop().await;
}

/// More questions than a pool answers between its word that miners are released and the end of a connection. One
/// that keeps its miners answers all of them, and the test ends, however busy the machine is.
const ASKED: usize = 1_000;

/// Whether the connection ends while its client goes on sending the same share.
async fn sv1_is_let_go(client: &mut Sv1Client, nonce: &Nonce) -> bool {
    for _ in 0..ASKED {
        let id = client.miner.submit(&user(1), nonce);
        if !client.until(|miner| miner.replies.contains_key(&id)).await {
            return true;
        }
    }
    false
}

/// As [`sv1_is_let_go`].
async fn sv2_is_let_go(client: &mut Sv2Client, nonce: &Nonce) -> bool {
    for _ in 0..ASKED {
        let sequence = client.submit(nonce);
        if !client
            .until(|miner| miner.rejection(sequence).is_some())
            .await
        {
            return true;
        }
    }
    false
}

/// Who stays because the operator wants no release goes on mining.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn miners_are_held_for_ever_where_the_operator_says_so() {
    let pool = Setup::for_shares().start().await;
    let mut miner = Sv2Client::connect(&pool, &user(1)).await;
    pool.away.send_replace(true);
    miner.mine_share().await;
    pool.away.send_replace(false);
    miner.mine_share().await;
    drop(miner);
    pool.stop().await;
}
