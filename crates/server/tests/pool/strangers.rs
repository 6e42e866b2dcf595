//! The limits of one address by Stratum V2, and what offends in either protocol. By Stratum V1 alone:
//! `limits.rs`.

use std::net::SocketAddr;

use headframe_api::Overview;
use headframe_sv2_noise::AuthorityPublicKey;
use headframe_sv2_wire::U256;
use headframe_testkit::{Chance, Nonce};

use crate::client::{Sv1Client, Sv2Client, user};
use crate::harness::TestPool;
use crate::limits::{FARM, ROOM, STRANGER, behind_a_proxy, header, mine_sv1, proxy};

/// Where a farm and a stranger connect to a pool.
struct Town {
    pool: TestPool,
    farm: SocketAddr,
    stranger: SocketAddr,
}

impl Town {
    async fn found() -> Self {
        let pool = behind_a_proxy().start().await;
        Self {
            farm: proxy(&pool, header(FARM)).await,
            stranger: proxy(&pool, header(STRANGER)).await,
            pool,
        }
    }

    fn authority(&self) -> AuthorityPublicKey {
        self.pool.authority
    }

    /// A Stratum V2 miner of a place, up to its first job.
    async fn miner(&self, place: SocketAddr, number: u64) -> Sv2Client {
        Sv2Client::connect_to((place, self.authority()), &user(number)).await
    }

    /// The stranger is banned for a reason and shown, and the farm mines in both protocols.
    async fn end(self, reason: &str) {
        let refused = Sv2Client::dial(self.stranger, self.authority()).await;
        assert!(refused.is_err(), "it is banned in Stratum V2");
        let mut refused = Sv1Client::dial(self.stranger).await;
        refused.miner.log_in(&user(1));
        assert!(!refused.until(|_| false).await);
        assert_eq!(refused.miner.transcript.len(), 0, "and in Stratum V1");
        let shown = self.pool.shows(|it| ban(it).is_some()).await;
        let detail = ban(&shown).unwrap();
        assert!(detail.starts_with(STRANGER), "{detail}");
        assert!(detail.contains(reason), "{detail}");
        drop(mine_sv1(self.farm, &user(2)).await);
        self.miner(self.farm, 3).await.mine_share().await;
        self.pool.stop().await;
    }
}

fn alarm(shown: &Overview, code: &str) -> Option<String> {
    let mut alarms = shown.summary.alarms.iter();
    let alarm = alarms.find(|it| it.code == code)?;
    Some(alarm.detail.clone())
}

fn ban(shown: &Overview) -> Option<String> {
    alarm(shown, "address_banned")
}

fn warning(shown: &Overview) -> Option<String> {
    alarm(shown, "address_warned")
}

/// As `limits.rs` has it of Stratum V1. The flood opens channels and never submits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farm_mines_while_a_flood_of_stratum_v2_is_held_off() {
    let town = Town::found().await;
    let mut flood = Vec::new();
    for _ in 0..ROOM + 10 {
        let Ok(mut client) = Sv2Client::dial(town.stranger, town.authority()).await else {
            continue;
        };
        client.miner.set_up(0);
        client.miner.open_extended(&user(1), 50.0, U256::MAX, 8);
        assert!(client.until(|miner| !miner.channels.is_empty()).await);
        flood.push(client);
    }
    assert_eq!(flood.len(), ROOM / 2, "the rest is closed in its handshake");
    for number in 0..20 {
        town.miner(town.farm, number).await.mine_share().await;
    }
    let shown = town.pool.shows(|it| it.summary.shares.accepted == 20).await;
    assert_eq!(ban(&shown), None, "who only connects is not banned");
    drop(flood);
    town.pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_frames_that_are_none_is_banned() {
    let town = Town::found().await;
    for connection in 0..=10 {
        let mut client = town.miner(town.stranger, 1).await;
        // An OpenExtendedMiningChannel with a payload of three bytes.
        client.miner.output.push(vec![0, 0, 0x13, 3, 0, 0, 1, 2, 3]);
        assert!(!client.until(|_| false).await, "connection {connection}");
    }
    town.end("cannot be decoded").await;
}

/// R-20: what an honest device sends after a reconnect is none of it a reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_by_mistake_what_devices_send_is_never_banned() {
    let town = Town::found().await;
    for connection in 0..30 {
        let mut client = town.miner(town.stranger, connection).await;
        let share = client.find_share();
        let of_no_job = Nonce {
            job_id: share.job_id.wrapping_add(1_000_000),
            ..share.clone()
        };
        let job = client.miner.channels.values().next().unwrap().job();
        let too_easy = job.mine_where(&mut Chance::new(1), |hash| !job.target.is_met_by(hash));
        for nonce in [&of_no_job, &too_easy, &too_easy] {
            client.submit(nonce);
        }
        assert!(client.until(|miner| miner.rejected.len() == 3).await);
    }
    town.miner(town.stranger, 99).await.mine_share().await;
    town.pool.stop().await;
}

/// Shares with impossible times, each refused, 50 to an offence.
const IMPOSSIBLE: usize = 11 * 50;

fn impossible(share: &Nonce) -> Nonce {
    let mut late = share.clone();
    late.header.time = u32::MAX;
    late
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_impossible_shares_is_banned_in_stratum_v1() {
    let town = Town::found().await;
    let user = user(1);
    let mut client = Sv1Client::dial(town.stranger).await;
    client.miner.log_in(&user);
    assert!(client.until(|miner| !miner.jobs.is_empty()).await);
    let late = impossible(&client.find_share());
    for _ in 1..IMPOSSIBLE {
        assert_eq!(client.submit(&user, &late).await, Some(20));
    }
    let shown = town.pool.shows(|it| warning(it).is_some()).await;
    let detail = warning(&shown).unwrap();
    assert!(detail.contains(&user), "{detail}");
    client.miner.submit(&user, &late);
    assert!(!client.until(|_| false).await, "it is sent away");
    town.end("impossible").await;
}

/// Half of what bans, and no more: the person behind a miner that shows messages reads what will follow, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_close_to_a_ban_is_told_so() {
    let town = Town::found().await;
    let user = user(1);
    for device in ["scripted/1.0", "cgminer/4.12.1"] {
        let mut client = Sv1Client::dial(town.stranger).await;
        let subscribe =
            format!(r#"{{"id":"sub","method":"mining.subscribe","params":["{device}"]}}"#);
        client.miner.send(&subscribe);
        client.miner.authorize("auth", &user);
        assert!(client.until(|miner| !miner.jobs.is_empty()).await);
        let late = impossible(&client.find_share());
        for _ in 0..=IMPOSSIBLE / 11 * 5 {
            assert_eq!(client.submit(&user, &late).await, Some(20), "{device}");
        }
        let shown = client.miner.transcript.iter();
        let shown = shown.filter(|line| line.starts_with("client.show_message"));
        let expected = usize::from(device.starts_with("cgminer"));
        assert_eq!(shown.count(), expected, "{device}");
        client.leave().await;
    }
    let shown = town.pool.shows(|it| warning(it).is_some()).await;
    let detail = warning(&shown).unwrap();
    assert!(
        detail.starts_with(&format!("{STRANGER} ({user})")),
        "{detail}"
    );
    assert!(detail.contains("banned for 10 minutes"), "{detail}");
    assert_eq!(ban(&shown), None);
    drop(mine_sv1(town.stranger, &user).await);
    town.pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_impossible_shares_is_banned_in_stratum_v2() {
    let town = Town::found().await;
    let mut client = town.miner(town.stranger, 1).await;
    let late = impossible(&client.find_share());
    for _ in 1..IMPOSSIBLE {
        client.submit(&late);
    }
    assert!(
        client
            .until(|miner| miner.rejected.len() == IMPOSSIBLE - 1)
            .await
    );
    let shown = town.pool.shows(|it| warning(it).is_some()).await;
    let detail = warning(&shown).unwrap();
    assert!(detail.contains(&user(1)), "{detail}");
    client.submit(&late);
    assert!(!client.until(|_| false).await, "it is sent away");
    town.end("impossible").await;
}
