//! A share's way to the ledger and its reply's way back.

use headframe_ledger::{DataDir, Ledger, Retention, SqliteLedger, WorkerRecord};
use headframe_testkit::{MinerChannel, Sv2Miner, address};

use crate::client::{Sv1Client, Sv2Client, user};
use crate::fakes::{FakeLedger, Mood};
use crate::harness::Setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_share_is_in_the_ledger_or_counted_as_not_durable() {
    let ledger = FakeLedger::new();
    let pool = Setup::for_shares().with(&ledger).start().await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    let mut early = 0;
    for shares in 1..=20 {
        client.mine_share().await;
        early += u64::from(ledger.accepted() < shares);
    }
    drop(client);
    pool.stop().await;
    let totals = ledger.memory().totals().unwrap();
    assert_eq!(totals.sums.accepted.count, 20);
    assert!(early < 20, "no reply waited for its commit");
    assert!(totals.sums.not_durable >= early, "{totals:?}");
}

/// What was found out about a miner is in the answer to its opening when it comes back, and in its first
/// job, without a `SetTarget` between; a miner of another name begins where this one did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miner_that_comes_back_opens_its_channel_with_its_own_target() {
    let mut setup = Setup::for_shares();
    setup.harder_by = 4;
    let pool = setup.start().await;
    fn channel(client: &Sv2Client) -> &MinerChannel {
        client.miner.channels.values().next().unwrap()
    }
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    let first = channel(&client).target;
    while channel(&client).target == first {
        client.mine_share().await;
    }
    let harder = channel(&client).target;
    drop(client);
    for (number, target) in [(1, harder), (2, first)] {
        let client = Sv2Client::connect(&pool, &user(number)).await;
        let channel = channel(&client);
        assert_eq!(channel.opened_with, target, "{number}");
        assert_eq!(channel.target, target, "{number}");
        assert_eq!(channel.job().target, target, "{number}");
    }
    pool.stop().await;
}

/// Extension 0x0002: one channel, and the ledger keeps its workers apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_shares_name_are_kept_apart() {
    let ledger = FakeLedger::new();
    let pool = Setup::for_shares().with(&ledger).start().await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    client.miner.request_extensions(1, &[2]);
    assert!(client.until(|miner| !miner.extensions.is_empty()).await);
    for name in ["a", "b", "a", "", "a"] {
        let len = u8::try_from(name.len()).unwrap();
        client.miner.tail = [&[2, 0, 1, len, 0], name.as_bytes()].concat();
        client.mine_share().await;
    }
    drop(client);
    pool.stop().await;
    let workers = ledger.memory().workers(10).unwrap();
    let counted = workers.iter().map(|record| {
        let WorkerRecord { worker, sums, .. } = record;
        assert_eq!(worker.payout(), address(1).to_string());
        let name = worker.user().strip_prefix(worker.payout()).unwrap();
        (name, sums.accepted.count)
    });
    let mut counted: Vec<_> = counted.collect();
    counted.sort_unstable();
    assert_eq!(counted, [(".a", 3), (".b", 1), (".rig1", 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_hangs_delays_replies_but_not_for_ever() {
    let ledger = FakeLedger::new();
    let pool = Setup::for_shares().with(&ledger).start().await;
    let mut sv2 = Sv2Client::connect(&pool, &user(1)).await;
    let mut sv1 = Sv1Client::dial(pool.address()).await;
    sv1.miner.log_in(&user(2));
    assert!(sv1.until(|miner| !miner.jobs.is_empty()).await);
    ledger.be(Mood::Held);
    sv2.mine_share().await;
    sv1.mine_share(&user(2)).await;
    assert_eq!(ledger.accepted(), 0, "the ledger is held");
    ledger.be(Mood::Well);
    drop((sv2, sv1));
    pool.stop().await;
    let sums = ledger.memory().totals().unwrap().sums;
    assert_eq!((sums.accepted.count, sums.not_durable), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_no_mining_and_loses_no_share() {
    let ledger = FakeLedger::new();
    let pool = Setup::for_shares().with(&ledger).start().await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    ledger.be(Mood::DiskFull);
    for _ in 0..5 {
        client.mine_share().await;
    }
    ledger.until(|seen| seen.failures >= 2).await;
    assert_eq!(ledger.accepted(), 0);
    ledger.be(Mood::Well);
    // A share that comes after the trouble makes those before it durable too.
    client.mine_share().await;
    drop(client);
    pool.stop().await;
    let totals = ledger.memory().totals().unwrap();
    assert_eq!(totals.sums.accepted.count, 6);
    assert!(totals.sums.not_durable >= 5, "{totals:?}");
    let workers = ledger.memory().workers(10).unwrap();
    assert_eq!(workers.len(), 1);
    assert_eq!(workers[0].sums.accepted, totals.sums.accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_stops_gives_the_replies_that_wait_and_commits_everything() {
    let ledger = FakeLedger::new();
    let pool = Setup::for_shares().with(&ledger).start().await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    client.mine_share().await;
    ledger.be(Mood::Held);
    let nonces = [
        client.find_share(),
        client.find_share(),
        client.find_share(),
    ];
    for nonce in &nonces {
        client.submit(nonce);
    }
    client.flush().await;
    ledger.until(|seen| seen.commits >= 2).await;
    pool.shutdown.cancel();
    ledger.be(Mood::Well);
    let all = |miner: &Sv2Miner| miner.acknowledged.iter().map(|ack| ack.2).sum::<u32>() == 4;
    assert!(client.until(all).await, "{:?}", client.miner.acknowledged);
    assert!(
        !client.until(|_| false).await,
        "the pool closes the connection"
    );
    drop(client);
    pool.stopped().await;
    assert_eq!(ledger.accepted(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_shows_the_same_totals() {
    let setup = Setup::for_shares();
    let directory = setup.directory.clone();
    let data = DataDir::open(directory.path()).unwrap();
    let ledger = SqliteLedger::open(&data, Retention::default()).unwrap();
    let pool = Setup {
        ledger: Box::new(ledger),
        ..setup
    };
    let pool = pool.start().await;
    let (mut first, mut second) = (
        Sv2Client::connect(&pool, &user(1)).await,
        Sv2Client::connect(&pool, &user(2)).await,
    );
    for _ in 0..3 {
        first.mine_share().await;
    }
    second.mine_share().await;
    // The second share of this nonce is a duplicate.
    let nonce = second.find_share();
    second.submit(&nonce);
    second.submit(&nonce);
    assert!(second.until(|miner| !miner.rejected.is_empty()).await);
    let both = |miner: &Sv2Miner| miner.acknowledged.len() == 2;
    assert!(second.until(both).await);
    drop((first, second));
    pool.stop().await;

    let ledger = SqliteLedger::open(&data, Retention::default()).unwrap();
    let totals = ledger.totals().unwrap();
    assert_eq!(totals.sums.accepted.count, 5);
    assert_eq!(totals.sums.rejected_total().count, 1);
    let mut workers = ledger.workers(10).unwrap();
    workers.sort_by_key(|record| record.sums.accepted.count);
    let counts: Vec<_> = workers
        .iter()
        .map(|record| (record.worker.user().to_owned(), record.sums.accepted.count))
        .collect();
    assert_eq!(counts, [(user(2), 2), (user(1), 3)]);
}
