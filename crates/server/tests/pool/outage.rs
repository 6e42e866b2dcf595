//! A farm of a thousand miners comes back after an outage, all at once and from one address, while another
//! address floods. The addresses are of the loopback, of which only Linux has more than one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use headframe_server::AccessSettings;
use headframe_sv2_noise::AuthorityPublicKey;
use headframe_transport::{AddressSet, CurvePool, DialSettings, Dialer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::client::{Sv1Client, Sv2Client, user};
use crate::harness::{Setup, TestPool};

const FARM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const FLOOD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const MINERS: u64 = 1_000;
/// Half of it may be one address's before its first share.
const ROOM: usize = 2_200;
const FLOODING: usize = 2_000;
/// For both ends of all connections at once, and what a pool needs besides.
const FILES: u64 = 2 * (MINERS + FLOODING as u64) + 200;
/// All mine by then. The pace at which an address may come, which does not hang on the machine, has them wait for five
/// seconds.
const LONGEST: Duration = Duration::from_secs(60);
/// A device that was sent away comes back after so long.
const DEVICE_RESTS: Duration = Duration::from_secs(1);

/// False, and the test cannot be, where a process may not have so many files open.
fn raise_open_files() -> bool {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= FILES);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    is_enough(current) || is_enough(maximum) && setrlimit(Resource::Nofile, raised).is_ok()
}

/// A pool that has just been started again: it knows of no address that mined here before.
async fn restarted() -> TestPool {
    let setup = Setup {
        max_connections: ROOM,
        access: AccessSettings {
            unlimited: AddressSet::NONE,
            proxies: AddressSet::NONE,
        },
        ..Setup::for_shares()
    };
    setup.start().await
}

fn farm_dialer() -> Dialer {
    let settings = DialSettings {
        source: Some(FARM),
        connect_deadline: Duration::from_secs(60),
        handshake_deadline: Duration::from_secs(60),
        ..DialSettings::default()
    };
    Dialer::new(settings, CurvePool::new())
}

/// Connects as often as it can, asks for work and never gives a share. Gives who was answered.
async fn flood(pool: &TestPool) -> Vec<TcpStream> {
    let mut sockets = Vec::new();
    for _ in 0..FLOODING {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((FLOOD, 0).into()).unwrap();
        let mut socket = socket.connect(pool.address()).await.unwrap();
        // The pool may have closed it.
        let _ = socket
            .write_all(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n")
            .await;
        sockets.push(socket);
    }
    let mut answered = Vec::new();
    for mut socket in sockets {
        if matches!(socket.read(&mut [0; 512]).await, Ok(1..)) {
            answered.push(socket);
        }
    }
    answered
}

/// All of the farm has mined while the flood was there, and nobody is banned for it.
async fn all_mine<M: Send + 'static>(pool: TestPool, mut miners: JoinSet<M>, begun: Instant) {
    let flooding = flood(&pool);
    let mining = async {
        let mut here = Vec::new();
        while let Some(miner) = miners.join_next().await {
            here.push(miner.unwrap());
        }
        (here, begun.elapsed())
    };
    let (answered, (here, taken)) = tokio::join!(flooding, mining);
    println!(
        "{} mine after {taken:?}; {} of {FLOODING} that flood are served",
        here.len(),
        answered.len()
    );
    assert!(taken <= LONGEST, "{taken:?}");
    assert!(answered.len() <= ROOM / 2, "{} are served", answered.len());
    let shown = pool.shows(|it| it.summary.shares.accepted == MINERS).await;
    let alarms = &shown.summary.alarms;
    let banned = alarms.iter().find(|it| it.code.starts_with("address_"));
    assert_eq!(banned, None);
    drop((here, answered));
    pool.stop().await;
}

async fn mine_sv2(
    dialer: Dialer,
    (pool, authority): (SocketAddr, AuthorityPublicKey),
    user: String,
) -> Sv2Client {
    loop {
        if let Ok(mut client) = Sv2Client::dial_by(&dialer, pool, authority).await
            && client.begin(&user).await
        {
            client.mine_share().await;
            return client;
        }
        tokio::time::sleep(DEVICE_RESTS).await;
    }
}

async fn mine_sv1(dialer: Dialer, pool: SocketAddr, user: String) -> Sv1Client {
    loop {
        if let Some(mut client) = Sv1Client::dial_by(&dialer, pool).await {
            client.miner.log_in(&user);
            if client.until(|miner| !miner.jobs.is_empty()).await {
                client.mine_share(&user).await;
                return client;
            }
        }
        tokio::time::sleep(DEVICE_RESTS).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_miners_of_stratum_v2_return_at_once_while_a_flood_is_held_off() {
    if !raise_open_files() {
        return println!("skipped: it takes {FILES} open files");
    }
    let (pool, dialer, begun) = (restarted().await, farm_dialer(), Instant::now());
    let place = (pool.address(), pool.authority);
    let miners = (0..MINERS)
        .map(|number| mine_sv2(dialer.clone(), place, user(number)))
        .collect();
    all_mine(pool, miners, begun).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_miners_of_stratum_v1_return_at_once_while_a_flood_is_held_off() {
    if !raise_open_files() {
        return println!("skipped: it takes {FILES} open files");
    }
    let (pool, dialer, begun) = (restarted().await, farm_dialer(), Instant::now());
    let place = pool.address();
    let miners = (0..MINERS)
        .map(|number| mine_sv1(dialer.clone(), place, user(number)))
        .collect();
    all_mine(pool, miners, begun).await;
}
