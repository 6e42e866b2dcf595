//! Several listeners of one pool, and what their keys answer.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use headframe_api::Encryption;
use headframe_server::{Certificate as TlsCertificate, CertificatePlace, KeyPlace, Keys};
use headframe_sv2_noise::{ACT2_LEN, Certificate, Initiator, NoiseKey, Trust};
use headframe_transport::Fingerprint;
use headframe_work::Difficulty;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Sv1Client, Sv2Client, user};
use crate::harness::{SECOND_IS_HARDER, Setup, TestPool};

fn with_second() -> Setup {
    Setup {
        has_second: true,
        ..Setup::for_shares()
    }
}

/// The certificate and the static key that a server answers with.
async fn shown(address: SocketAddr) -> (Certificate, [u8; 32]) {
    let ephemeral = NoiseKey::new([7; 32], [8; 32]).unwrap();
    let (initiator, act1) = Initiator::start(Trust::Anyone, ephemeral);
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&act1).await.unwrap();
    let mut act2 = [0; ACT2_LEN];
    socket.read_exact(&mut act2).await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = u32::try_from(now.as_secs()).unwrap();
    let established = initiator.finish(&act2, now).unwrap();
    (established.certificate, established.server_key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_listener_has_its_authority_and_who_expects_the_other_says_so() {
    let pool = with_second().start().await;
    let (address, authority) = pool.second();
    assert_ne!(authority, pool.authority);
    let mut first = Sv2Client::connect(&pool, &user(1)).await;
    let mut second = Sv2Client::connect_to((address, authority), &user(2)).await;
    for (address, wrong) in [(pool.address(), authority), (address, pool.authority)] {
        let Err(refused) = Sv2Client::dial(address, wrong).await else {
            panic!("the listener cannot prove to be the other");
        };
        let expected = "certificate is not signed by the configured authority key";
        assert!(refused.to_string().contains(expected), "{refused}");
    }
    first.mine_share().await;
    second.mine_share().await;
    drop((first, second));
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_listener_has_its_difficulty_and_jobs_are_numbered_together() {
    let pool = with_second().start().await;
    let first = Sv2Client::connect(&pool, &user(1)).await;
    let second = Sv2Client::connect_to(pool.second(), &user(2)).await;
    let job = |client: &Sv2Client| {
        let channel = client.miner.channels.values().next().unwrap();
        (
            channel.job().target,
            channel.jobs.iter().map(|it| it.id).max(),
        )
    };
    let [(easy, first_id), (hard, second_id)] = [job(&first), job(&second)];
    let [easy, hard] = [easy, hard].map(|target| Difficulty::of_target(target.into()).as_f64());
    assert!((hard / easy - f64::from(1 << SECOND_IS_HARDER)).abs() < 1e-6);
    assert_eq!(first_id, second_id, "R-10: one number for a fan-out event");
    drop((first, second));
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_of_one_protocol_turns_the_other_away_and_nobody_else_notices() {
    let pool = with_second().start().await;
    let mut other = Sv2Client::connect_to(pool.second(), &user(1)).await;
    let mut sv1 = Sv1Client::dial(pool.second().0).await;
    sv1.miner.log_in(&user(2));
    assert!(!sv1.until(|_| false).await, "the connection is closed");
    assert!(sv1.miner.jobs.is_empty() && sv1.miner.replies.is_empty());
    other.mine_share().await;
    let mut served = Sv1Client::dial(pool.address()).await;
    served.miner.log_in(&user(2));
    assert!(served.until(|miner| !miner.jobs.is_empty()).await);
    drop((other, sv1, served));
    pool.stop().await;
}

/// Rotates the keys as an operator does, and waits until the pool answers with them.
async fn rotate(pool: &TestPool) -> [u8; 32] {
    let place = KeyPlace::new(pool.directory.path(), Keys::FILE_NAME);
    let before = shown(pool.address()).await;
    let rotated = place.rotate().unwrap();
    // A dozen times as long as the pool takes at most.
    for _ in 0..1_200 {
        let now = shown(pool.address()).await;
        if now != before {
            assert_eq!(now, (rotated.certificate, rotated.static_key));
            return now.1;
        }
        // The pool looks every few seconds, and tells nobody.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the pool does not look at its keys");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_signed_once_and_one_that_is_rotated_drops_nobody() {
    let pool = Setup::for_shares().start().await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    let first = shown(pool.address()).await;
    assert_eq!(shown(pool.address()).await, first);
    assert_ne!(rotate(&pool).await, first.1);
    client.mine_share().await;
    Sv2Client::connect(&pool, &user(2)).await.mine_share().await;
    drop(client);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miner_in_tls_mines_beside_the_others_and_the_dashboard_says_so() {
    let pool = Setup::for_shares().start().await;
    let mut clear = Sv1Client::dial(pool.address()).await;
    let sealed = Sv1Client::dial_tls(pool.address(), pool.fingerprint).await;
    let mut sealed = sealed.unwrap();
    for (client, name) in [(&mut clear, user(1)), (&mut sealed, user(2))] {
        client.miner.log_in(&name);
        assert!(client.until(|miner| !miner.jobs.is_empty()).await);
        client.mine_share(&name).await;
    }
    pool.shows(|it| it.summary.shares.accepted == 2).await;
    let miners = pool.miners().await;
    let mut encryption: Vec<_> = miners.iter().map(|miner| miner.encryption).collect();
    encryption.sort();
    assert_eq!(encryption, [Encryption::None, Encryption::Tls]);
    drop((clear, sealed));
    pool.stop().await;
}

/// An operator puts another certificate where the first one is. Who connects is answered with it, and who is
/// connected stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_was_replaced_answers_who_connects_and_drops_nobody() {
    let pool = Setup::for_shares().start().await;
    let before = Sv1Client::dial_tls(pool.address(), pool.fingerprint).await;
    let mut before = before.unwrap();
    before.miner.log_in(&user(1));
    assert!(before.until(|miner| !miner.jobs.is_empty()).await);

    let elsewhere = tempfile::tempdir().unwrap();
    let made = TlsCertificate::open(CertificatePlace::own(elsewhere.path(), Vec::new())).unwrap();
    for name in ["tls-key.pem", "tls-certificate.pem"] {
        let to = pool.directory.path().join(name);
        std::fs::copy(elsewhere.path().join(name), to).unwrap();
    }
    let mut after = dial_when_taken_up(&pool, made.fingerprint()).await;
    after.miner.log_in(&user(2));
    assert!(after.until(|miner| !miner.jobs.is_empty()).await);
    let refused = Sv1Client::dial_tls(pool.address(), pool.fingerprint).await;
    assert!(refused.is_err(), "the old one answers nobody");
    for (client, name) in [(&mut before, user(1)), (&mut after, user(2))] {
        client.mine_share(&name).await;
    }
    drop((before, after));
    pool.stop().await;
}

/// Who trusts this certificate alone, as soon as the pool answers with it.
async fn dial_when_taken_up(pool: &TestPool, certificate: Fingerprint) -> Sv1Client {
    // A dozen times as long as the pool takes at most.
    for _ in 0..1_200 {
        match Sv1Client::dial_tls(pool.address(), certificate).await {
            Ok(client) => return client,
            // The pool looks every few seconds, and tells nobody.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
    panic!("the pool does not look at its certificate");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_with_a_password_serves_who_says_it() {
    let setup = Setup {
        password: Some("open-sesame"),
        ..Setup::for_shares()
    };
    let pool = setup.start().await;
    for (password, is_right) in [("x", false), ("open-sesame", true)] {
        let mut client = Sv1Client::dial(pool.address()).await;
        client
            .miner
            .send(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
        let user = user(1);
        client.miner.send(&format!(
            r#"{{"id":2,"method":"mining.authorize","params":["{user}","{password}"]}}"#
        ));
        assert!(client.until(|miner| miner.replies.contains_key("2")).await);
        assert_eq!(client.miner.is_granted("2"), is_right, "{password}");
    }
    pool.stop().await;
}
