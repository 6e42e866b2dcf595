//! A client made of the reference implementation's crates at the built pool: what its own channels
//! say of a share is what the pool says (issue of `channels_sv2`'s client side and our server).

use std::collections::BTreeSet;

use bitcoin::{Address, BlockHash, Target};
use headframe_conformance::sri::{Client, Found, Kind, REQUIRES_STANDARD_JOBS, Share};
use headframe_conformance::wait::until_true;
use headframe_conformance::wallet;
use headframe_conformance::{Bitcoind, Chain, FoundBlock, Key, Pool};
use serde_json::{Value, json};

/// A millionth of the network's difficulty, about: a share is some thousand hashes.
const START: (&str, &str) = ("DIFFICULTY_START", "0.00000095367431640625");
const SHARES_PER_MINUTE: (&str, &str) = ("DIFFICULTY_SHARES_PER_MINUTE", "120");
/// Blocks that somebody else finds.
const TIPS: usize = 5;
/// Hash rates that a client declares in turn. Each is another target.
const RATES: [f32; 2] = [4e3, 6.4e4];
/// A version bit that nobody may roll, one that everybody may.
const FIXED_BIT: u32 = 1 << 29;
const ROLLING_BIT: u32 = 1 << 20;

/// A channel of one of the clients.
struct Seat {
    client: usize,
    channel: u32,
    kind: Kind,
    /// Shares that were found and kept, one on each tip.
    kept: Vec<Found>,
}

/// What was there to be compared.
#[derive(Debug, Default)]
struct Seen {
    codes: BTreeSet<String>,
    /// Whether an older job was easier than the newest.
    kept: BTreeSet<bool>,
}

fn address(node: &Bitcoind, number: u8) -> Address {
    Key::number(number).address(wallet::Kind::P2wpkh, node.chain().network())
}

/// Handshake, standard and extended channels, alone and in a group; jobs and tips over five blocks;
/// a target that changes on each; every kind of share that there is a word for.
#[test]
fn a_client_of_the_reference_crates_and_the_pool_judge_alike() {
    let Some(node) = Bitcoind::start(Chain::OpenSignet) else {
        return;
    };
    let pool = Pool::configured(&node, &[START, SHARES_PER_MINUTE]);
    let (mut clients, mut seats, group) = open_channels(&node, &pool);
    let mut seen = Seen::default();
    for round in 0..TIPS {
        for seat in &mut seats {
            let client = &mut clients[seat.client];
            let rate = RATES[round % RATES.len()];
            change_target(client, seat.channel, rate);
        }
        for seat in &mut seats {
            let client = &mut clients[seat.client];
            judge_alike(client, seat, round as u32, &mut seen);
            seat.kept.push(find(client, seat.channel, !(round as u32)));
        }
        node.mine(1, &address(&node, 9));
        for client in &mut clients {
            client.step_until("the new tip", |client| client.is_on(&node.tip()));
        }
    }
    let expected = [
        "",
        "bad-extranonce-size",
        "difficulty-too-low",
        "duplicate-share",
        "invalid-job-id",
        "invalid-non-rollable-version-bit",
        "invalid-share",
        "stale-share",
    ];
    assert!(seen.codes.iter().eq(&expected), "{seen:?}");
    assert_eq!(seen.kept.len(), 2, "older jobs were easier and harder");
    for seat in &seats {
        count_alike(&clients[seat.client], seat.channel);
    }
    assert!(clients[0].to_groups >= 2 * TIPS);
    close_channels(&mut clients[0], group, &seats);
    assert_eq!(node.height(), TIPS as u64);
}

/// Three connections: a group of three with one that is paid otherwise beside them, one that takes
/// standard jobs only, and an extended channel alone. Gives the id of the group of three too.
fn open_channels(node: &Bitcoind, pool: &Pool) -> (Vec<Client>, Vec<Seat>, u32) {
    let flags = [0, REQUIRES_STANDARD_JOBS, 0];
    let mut clients: Vec<_> = flags.map(|flags| Client::connect(pool, flags)).into();
    let mut seats = Vec::new();
    let mut groups = Vec::new();
    for (client, kind, user) in [
        (0, Kind::Standard, 1),
        (0, Kind::Extended, 1),
        (0, Kind::Extended, 1),
        (0, Kind::Extended, 2),
        (1, Kind::Standard, 1),
        (1, Kind::Standard, 1),
        (2, Kind::Extended, 3),
    ] {
        let opened = clients[client].open(kind, &address(node, user), 0.0);
        groups.push(opened.group);
        seats.push(Seat {
            client,
            channel: opened.channel,
            kind,
            kept: Vec::new(),
        });
    }
    assert_eq!(groups[..2], groups[1..3], "one group");
    assert_ne!(groups[2], groups[3], "another payout is another group");
    (clients, seats, groups[0])
}

/// `UpdateChannel` is answered with `SetTarget`, and a job follows where the target is another one: it
/// seldom is not, since the pool measures too.
fn change_target(client: &mut Client, channel: u32, rate: f32) {
    let targets = client.targets;
    client.update(channel, rate);
    client.step_until("the answer to UpdateChannel", |client| {
        client.targets > targets
    });
    client.step_until("a job with the new target", |client| {
        client.job(channel).1 == client.target(channel)
    });
}

/// A share of the newest job that is no block.
fn find(client: &Client, channel: u32, seed: u32) -> Found {
    let (job, target) = client.job(channel);
    let network = client.network_target(channel);
    client.find(channel, job, seed, |_| {}, is_share(target, network))
}

fn is_share(target: Target, network: Target) -> impl Fn(BlockHash) -> bool {
    move |hash| target.is_met_by(hash) && !network.is_met_by(hash)
}

fn judge_alike(client: &mut Client, seat: &Seat, round: u32, seen: &mut Seen) {
    let channel = seat.channel;
    let (job, target) = client.job(channel);
    let network = client.network_target(channel);
    let seed = round << 20;
    let adjusted = |client: &Client, adjust: &dyn Fn(&mut Share)| {
        let found = client.find(channel, job, seed, adjust, is_share(target, network));
        found.share
    };
    let good = adjusted(client, &|_| {});
    let mut shares = vec![
        ("", good.clone()),
        ("duplicate-share", good.clone()),
        ("", adjusted(client, &|share| share.time += 5)),
        ("", adjusted(client, &|share| share.version ^= ROLLING_BIT)),
        (
            "invalid-non-rollable-version-bit",
            adjusted(client, &|share| share.version ^= FIXED_BIT),
        ),
        ("invalid-share", adjusted(client, &|share| share.time -= 1)),
        (
            "invalid-job-id",
            Share {
                job: job ^ 0x4000_0000,
                ..good.clone()
            },
        ),
    ];
    let low = client.find(channel, job, seed, |_| {}, |hash| !target.is_met_by(hash));
    shares.push(("difficulty-too-low", low.share));
    if seat.kind == Kind::Extended {
        for len in [0, 7, 9] {
            let mut short = good.clone();
            short.extranonce.resize(len, 0);
            shares.push(("bad-extranonce-size", short));
        }
    }
    // A job of the same tip that was replaced keeps the target that it was sent with.
    let mut past = client.past_jobs(channel).into_iter().rev();
    if let Some((past, before)) = past.find(|(_, before)| *before != target) {
        let (easier, harder) = (before.max(target), before.min(target));
        let between = |hash: BlockHash| easier.is_met_by(hash) && !harder.is_met_by(hash);
        let found = client.find(channel, past, seed, |_| {}, between);
        let is_easier = before > target;
        let expected = if is_easier { "" } else { "difficulty-too-low" };
        shares.push((expected, found.share));
        seen.kept.insert(is_easier);
    }
    for (age, kept) in seat.kept.iter().rev().take(2).enumerate() {
        let expected = ["stale-share", "invalid-job-id"][age];
        shares.push((expected, kept.share.clone()));
    }
    for (expected, share) in shares {
        let judged = client.submit(channel, seat.kind, &share);
        let expected = match expected {
            "" => Ok(()),
            code => Err(code.to_owned()),
        };
        assert_eq!(judged.pool, expected, "{:?}: {share:?}", seat.kind);
        // No block was looked for.
        let own = expected.clone().map(|()| false);
        assert_eq!(judged.client, own, "{:?}: {share:?}", seat.kind);
        seen.codes.insert(expected.err().unwrap_or_default());
    }
}

/// What the client found good is what the pool acknowledged.
fn count_alike(client: &Client, channel: u32) {
    let counts = client.accounting(channel);
    assert!(counts.get_validated_shares() >= 3 * TIPS as u32);
    assert_eq!(
        counts.get_acknowledged_shares(),
        counts.get_validated_shares()
    );
    let (theirs, ours) = (
        counts.get_acknowledged_work_sum() as f64,
        counts.get_validated_work_sum(),
    );
    assert!((theirs - ours).abs() < 1.0, "{theirs} of {ours}");
    assert!(counts.get_rejected_shares_count() > 0);
    assert_eq!(counts.get_rejected_shares_error_count("unknown"), 0);
}

/// A channel that is closed is nobody; the others of its group go on. A group closes with all.
fn close_channels(client: &mut Client, group: u32, seats: &[Seat]) {
    let [first, second, third, other, ..] = seats else {
        panic!("there are more");
    };
    let gone = find(client, first.channel, 77);
    client.close(first.channel);
    let judged = client.submit(first.channel, first.kind, &gone.share);
    assert_eq!(judged.client.map(drop), judged.pool);
    assert_eq!(judged.pool, Err("invalid-channel-id".to_owned()));
    for seat in [second, third, other] {
        accept(client, seat, 78);
    }
    let gone = find(client, second.channel, 79);
    client.close(group);
    for seat in [second, third] {
        let judged = client.submit(seat.channel, seat.kind, &gone.share);
        assert_eq!(judged.pool, Err("invalid-channel-id".to_owned()));
    }
    accept(client, other, 80);
}

fn accept(client: &mut Client, seat: &Seat, seed: u32) {
    let found = find(client, seat.channel, seed);
    let judged = client.submit(seat.channel, seat.kind, &found.share);
    assert_eq!(judged.client, Ok(false));
    assert_eq!(judged.pool, Ok(()));
}

/// What a client's channel takes for a block is one to the node, whichever channel it was found on.
#[test]
fn a_block_of_a_reference_client_is_a_block_to_the_node() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = Pool::on(&node);
    let (mut clients, seats, _) = open_channels(&node, &pool);
    let users = [1, 1, 1, 2, 1, 1, 3];
    for (height, (seat, user)) in (1..).zip(seats.iter().zip(users)) {
        let client = &mut clients[seat.client];
        let (channel, (job, _)) = (seat.channel, client.job(seat.channel));
        let network = client.network_target(channel);
        let is_block = |hash| network.is_met_by(hash);
        let found = client.find(channel, job, 0, |_| {}, is_block);
        let judged = client.submit(channel, seat.kind, &found.share);
        assert_eq!(judged.client, Ok(true), "{:?}", seat.kind);
        assert_eq!(judged.pool, Ok(()), "{:?}", seat.kind);
        until_true("the block in the chain", || {
            node.has_in_chain(&found.hash.to_string())
        });
        let block = FoundBlock::at(&node, height);
        let payout = (address(&node, user).script_pubkey(), block.value());
        assert_eq!(block.payouts(), [payout]);
        for client in &mut clients {
            client.step_until("the new tip", |client| client.is_on(&node.tip()));
        }
    }
}

/// A block is the node's to judge, whatever its share is: one that comes too late is kept and
/// followed, one that breaks a rule of consensus is refused and shown. The miner is told what its
/// own channel says.
#[test]
fn what_becomes_of_a_block_is_for_the_node_to_say() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = Pool::on(&node);
    let mut client = Client::connect(&pool, 0);
    let channel = client.open(Kind::Extended, &address(&node, 1), 0.0).channel;
    let block = |client: &Client, adjust: &dyn Fn(&mut Share)| {
        let (job, network) = (client.job(channel).0, client.network_target(channel));
        client.find(channel, job, 0, adjust, |hash| network.is_met_by(hash))
    };

    // inconclusive: a fork of one block. It wins when the other is gone.
    let late = block(&client, &|_| {});
    node.mine(1, &address(&node, 9));
    let rival = node.tip();
    client.step_until("the new tip", |client| client.is_on(&rival));
    assert_refused_alike(&mut client, channel, &late.share, "stale-share");
    let fate = |hash: BlockHash| fate(&pool, hash);
    until_true("the fork", || fate(late.hash)["kind"] == "waiting");
    node.call("invalidateblock", json!([rival]));
    until_true("the fork as the chain", || {
        fate(late.hash)["kind"] == "accepted"
    });
    assert_eq!(node.tip(), late.hash.to_string());

    // As old as the chain itself.
    client.step_until("the tip of the fork", |client| client.is_on(&node.tip()));
    let genesis = node.block(&node.hash_at(0)).header.time;
    let old = block(&client, &|share| share.time = genesis);
    assert_refused_alike(&mut client, channel, &old.share, "invalid-share");
    until_true("a refused block", || fate(old.hash)["kind"] == "refused");
    assert_eq!(fate(old.hash)["reason"], "time-too-old");
    pool.log().line("was refused by the node");
    assert_eq!(node.tip(), late.hash.to_string());
}

fn assert_refused_alike(client: &mut Client, channel: u32, share: &Share, code: &str) {
    let judged = client.submit(channel, Kind::Extended, share);
    assert_eq!(judged.client, Err(code.to_owned()));
    assert_eq!(judged.pool, Err(code.to_owned()));
}

/// What the dashboard says became of a block.
fn fate(pool: &Pool, hash: BlockHash) -> Value {
    let blocks = pool.api("blocks");
    let mut blocks = blocks["blocks"].as_array().into_iter().flatten();
    let block = blocks.find(|block| block["hash"] == hash.to_string());
    block.map_or(Value::Null, |block| block["fate"].clone())
}
