//! Blocks: found whatever else is wrong with the share.

use bitcoin::hashes::Hash;
use headframe_mining::server::SessionEvent;
use headframe_testkit::{Chance, Pool, PoolSettings, REGTEST_BITS};

use crate::{MILLISECOND, block, pool, with_channel, with_sv1};

/// FR-48, FR-51, MP-73, R-5: what goes to the node is the block that the miner hashed: proof of
/// work, merkle root, witness commitment, height.
#[test]
fn a_found_block_is_a_block() {
    for (is_extended, transactions) in [(true, 0), (true, 5), (false, 0), (false, 12)] {
        let mut pool = Pool::new(&PoolSettings {
            transactions,
            ..PoolSettings::default()
        });
        let (link, channel) = with_channel(&mut pool, is_extended, 1);
        let nonce = block(&pool, link, channel, 1);
        pool.sv2[link].miner.submit(channel, &nonce);
        pool.advance(200 * MILLISECOND);
        let blocks = pool.sv2[link].blocks();
        let [block] = blocks.as_slice() else {
            panic!("one block")
        };
        assert_eq!(block.header, nonce.header);
        assert_eq!(block.txdata.len(), transactions + 1);
        assert!(block.check_merkle_root());
        assert!(block.check_witness_commitment());
        assert_eq!(block.bip34_block_height().ok(), Some(1_000));
        assert!(block.header.validate_pow(block.header.target()).is_ok());
        // A block is a share too.
        assert_eq!(pool.sv2[link].miner.acknowledged.len(), 1);
    }
}

/// The same on Stratum V1.
#[test]
fn a_block_of_a_stratum_v1_miner_is_a_block() {
    let mut pool = pool();
    let (link, user) = with_sv1(&mut pool, 1);
    let job = pool.sv1[link].miner.job();
    let nonce = job.mine(&mut Chance::new(3), job.network_target());
    let id = pool.sv1[link].miner.submit(&user, &nonce);
    pool.advance(200 * MILLISECOND);
    assert!(pool.sv1[link].miner.is_granted(&id));
    let [block] = pool.sv1[link].blocks().try_into().expect("one block");
    assert_eq!(block.header, nonce.header);
    assert!(block.check_merkle_root() && block.check_witness_commitment());
}

/// MP-75, MP-77, R-18: a block that comes late, or whose version or time is against the rules, is a
/// block; its miner is told what was wrong; and a second copy of it goes nowhere.
#[test]
fn a_block_is_a_block_whatever_is_wrong_with_the_share() {
    let mut pool = pool();
    let (link, channel) = with_channel(&mut pool, false, 1);
    let late = block(&pool, link, channel, 1);
    let mut odd_job = pool.sv2[link].miner.channels[&channel].job().clone();
    odd_job.version ^= 3;
    let odd = odd_job.mine(&mut Chance::new(2), odd_job.network_target());
    odd_job.version ^= 3;
    odd_job.time += 9_000;
    let early = odd_job.mine(&mut Chance::new(3), odd_job.network_target());
    let submit = |pool: &mut Pool, nonce| {
        let sequence = pool.sv2[link].miner.submit(channel, nonce);
        pool.advance(200 * MILLISECOND);
        pool.sv2[link].miner.rejection(sequence).map(str::to_owned)
    };
    let duplicate = || Some("duplicate-share".to_owned());
    assert_eq!(
        submit(&mut pool, &odd).as_deref(),
        Some("invalid-non-rollable-version-bit")
    );
    assert_eq!(submit(&mut pool, &early).as_deref(), Some("invalid-share"));
    assert_eq!(submit(&mut pool, &odd), duplicate());
    pool.new_tip();
    assert_eq!(submit(&mut pool, &late).as_deref(), Some("stale-share"));
    assert_eq!(submit(&mut pool, &late), duplicate());
    assert_eq!(pool.sv2[link].blocks().len(), 3);
    // One tip later nobody remembers the job.
    pool.new_tip();
    assert_eq!(submit(&mut pool, &late).as_deref(), Some("invalid-job-id"));
    assert_eq!(pool.sv2[link].blocks().len(), 3);
    assert_eq!(pool.sv2[link].miner.acknowledged, []);
}

/// The block leaves before the reply and before everything else that is said about the share.
#[test]
fn the_block_is_the_first_thing_that_is_told() {
    let mut pool = pool();
    let (link, channel) = with_channel(&mut pool, true, 1);
    let nonce = block(&pool, link, channel, 1);
    pool.sv2[link].events.clear();
    pool.sv2[link].miner.submit(channel, &nonce);
    pool.pump();
    assert!(matches!(pool.sv2[link].events[0], SessionEvent::Block(_)));
    assert!(matches!(pool.sv2[link].events[1], SessionEvent::Share(_)));
}

/// on regtest half of all hashes are blocks, and the share target is as easy.
#[test]
fn on_regtest_every_share_may_be_a_block() {
    let mut pool = Pool::new(&PoolSettings {
        bits: REGTEST_BITS,
        ..PoolSettings::default()
    });
    let (link, channel) = with_channel(&mut pool, true, 1);
    let job = pool.sv2[link].miner.channels[&channel].job().clone();
    assert!(job.target >= job.network_target());
    let mut hashes = Vec::new();
    for seed in 0..8 {
        let nonce = job.mine(&mut Chance::new(seed), job.network_target());
        hashes.push(nonce.hash().to_byte_array());
        pool.sv2[link].miner.submit(channel, &nonce);
        pool.pump();
    }
    let found: Vec<_> = pool.sv2[link]
        .blocks()
        .iter()
        .map(bitcoin::Block::block_hash)
        .collect();
    assert_eq!(
        found
            .iter()
            .map(|hash| hash.to_byte_array())
            .collect::<Vec<_>>(),
        hashes
    );
}

/// R-2 refuses the share of a name that was not authorized. The block in it pays whom the connection
/// pays, and is handed in; a share that is none leaves no trace.
#[test]
fn a_block_under_a_wrong_name_is_handed_in() {
    let mut pool = pool();
    let (link, user) = with_sv1(&mut pool, 1);
    let job = pool.sv1[link].miner.job().clone();
    let network = job.network_target();
    let found = job.mine(&mut Chance::new(3), network);
    let id = pool.sv1[link].miner.submit("somebody", &found);
    pool.advance(200 * MILLISECOND);
    assert_eq!(pool.sv1[link].miner.refusal(&id), Some(24));
    let [block] = pool.sv1[link].blocks().try_into().expect("one block");
    assert_eq!(block.header, found.header);
    let mut chance = Chance::new(4);
    let share = job.mine_where(&mut chance, |hash| {
        job.target.is_met_by(hash) && !network.is_met_by(hash)
    });
    let id = pool.sv1[link].miner.submit("somebody", &share);
    pool.advance(200 * MILLISECOND);
    assert_eq!(pool.sv1[link].miner.refusal(&id), Some(24));
    let id = pool.sv1[link].miner.submit(&user, &share);
    pool.advance(200 * MILLISECOND);
    assert!(pool.sv1[link].miner.is_granted(&id), "it is no duplicate");
}

/// The node's chain may come back to a tip that it had left.
#[test]
fn a_block_on_a_tip_that_came_back_is_a_block() {
    let mut pool = pool();
    let (link, channel) = with_channel(&mut pool, true, 1);
    let found = block(&pool, link, channel, 1);
    let (tip, height) = (pool.chain.tip, pool.chain.height);
    pool.new_tip();
    (pool.chain.tip, pool.chain.height) = (tip, height);
    pool.new_template();
    pool.sv2[link].miner.submit(channel, &found);
    pool.advance(200 * MILLISECOND);
    assert_eq!(pool.sv2[link].blocks().len(), 1);
}
