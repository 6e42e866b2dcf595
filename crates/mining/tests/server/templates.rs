//! What of the node's template reaches miners: its version, and the times that it holds for.

use std::time::Duration;

use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{Amount, Txid, Wtxid};
use headframe_testkit::{Chance, Pool, RootSource};
use headframe_work::{TemplateTransaction, UnixTime};

use crate::{MILLISECOND, block, open, pool, share, with_channel, with_sv1};

/// BIP9's top bits with bit 2 signalling; a template that signals all that may be rolled; and bits
/// that nobody may roll.
const VERSIONS: [u32; 4] = [0x2000_0004, 0x3fff_e000, 0x3fff_ffff, 0x6000_0001];

/// MP-93: jobs of both kinds have the template's version, and so has the header that shares and
/// blocks are judged by.
#[test]
fn the_template_s_version_reaches_stratum_v2() {
    for version in VERSIONS {
        let mut pool = pool();
        let (link, extended) = with_channel(&mut pool, true, 1);
        let standard = open(&mut pool, link, false, 1);
        pool.chain.version = version;
        // A later template of the same tip, and one of another.
        for is_new_tip in [false, true] {
            match is_new_tip {
                false => pool.new_template(),
                true => pool.new_tip(),
            }
            for channel in [extended, standard] {
                let job = pool.sv2[link].miner.channels[&channel].job();
                assert_eq!(job.version, version, "{version:08x}");
                let found = share(&pool, link, channel, 3);
                assert_eq!(found.version() & !0x1fff_e000, version & !0x1fff_e000);
                let first = pool.sv2[link].miner.submit(channel, &found);
                let block = block(&pool, link, channel, 4);
                let second = pool.sv2[link].miner.submit(channel, &block);
                pool.advance(200 * MILLISECOND);
                assert_eq!(pool.sv2[link].miner.rejection(first), None);
                assert_eq!(pool.sv2[link].miner.rejection(second), None);
                let found = pool.sv2[link].blocks().pop().unwrap();
                assert_eq!(found.header, block.header);
            }
        }
    }
}

/// MP-70, MP-93: a bit that may not roll is judged against the template's, not against zero.
#[test]
fn a_signalling_bit_that_is_dropped_is_noticed() {
    let mut pool = pool();
    pool.chain.version = 0x2000_0004;
    pool.new_template();
    let (link, channel) = with_channel(&mut pool, true, 1);
    let mut job = pool.sv2[link].miner.channels[&channel].job().clone();
    job.version = 0x2000_0000;
    let network = job.network_target();
    let target = job.target;
    let nonce = job.mine_where(&mut Chance::new(1), |hash| {
        target.is_met_by(hash) && !network.is_met_by(hash)
    });
    let sequence = pool.sv2[link].miner.submit(channel, &nonce);
    pool.pump();
    assert_eq!(
        pool.sv2[link].miner.rejection(sequence),
        Some("invalid-non-rollable-version-bit")
    );
}

/// BIP310: `version_bits` replace the template's within the mask, set and cleared alike; a miner that
/// submits none has left the version alone.
#[test]
fn the_template_s_version_reaches_stratum_v1() {
    for version in VERSIONS {
        let mut pool = pool();
        let (link, user) = with_sv1(&mut pool, 1);
        pool.chain.version = version;
        pool.new_tip();
        let job = pool.sv1[link].miner.job().clone();
        assert_eq!(job.version, version, "{version:08x}");
        for (seed, bits) in [
            (1, Some(0)),
            (2, Some(0x1fff_e000)),
            (3, Some(0x00a0_2000)),
            (4, None),
        ] {
            let rolled = match bits {
                Some(bits) => version & !0x1fff_e000 | bits,
                None => version,
            };
            let extranonce = [seed; 8];
            let mut header = job.header(&extranonce, rolled, job.time, 0);
            while !job.target.is_met_by(header.block_hash()) {
                header.nonce += 1;
            }
            let extranonce: String = extranonce.map(|byte| format!("{byte:02x}")).concat();
            let bits = bits.map_or(String::new(), |bits| format!(r#","{bits:08x}""#));
            pool.sv1[link].miner.send(&format!(
                r#"{{"id":"s{seed}","method":"mining.submit","params":["{user}","{:x}","{extranonce}","{:08x}","{:08x}"{bits}]}}"#,
                job.id, header.time, header.nonce,
            ));
            pool.advance(200 * MILLISECOND);
            let id = format!("s{seed}");
            assert!(pool.sv1[link].miner.is_granted(&id), "{version:08x}{bits}");
        }
    }
}

/// A template of another tip whose node's clock is `behind` seconds before the earliest time that the
/// chain allows.
fn slow_clock(pool: &mut Pool, behind: u32) -> u32 {
    pool.chain.advance();
    let mut template = pool.chain.template();
    let earliest = pool.chain.time + behind;
    template.min_time = UnixTime::from_secs(earliest);
    let new = pool.given(template);
    let work = pool
        .hub
        .handle_template(pool.now, new)
        .expect("a good template");
    pool.give_work(&work);
    earliest
}

/// MP-107: where the node's clock is before the chain's earliest time, the earliest time is sent, until
/// the clock has come up to it.
#[test]
fn no_time_before_the_earliest_is_sent() {
    let mut pool = pool();
    let (link, extended) = with_channel(&mut pool, true, 1);
    let standard = open(&mut pool, link, false, 1);
    let (sv1, user) = with_sv1(&mut pool, 1);
    let earliest = slow_clock(&mut pool, 500);
    let times = |pool: &Pool| {
        let channels = &pool.sv2[link].miner.channels;
        [
            channels[&extended].job().time,
            channels[&standard].job().time,
            pool.sv1[sv1].miner.job().time,
        ]
    };
    assert_eq!(times(&pool), [earliest; 3]);
    let mut ids = Vec::new();
    for channel in [extended, standard] {
        let nonce = share(&pool, link, channel, 1);
        pool.sv2[link].miner.submit(channel, &nonce);
    }
    let job = pool.sv1[sv1].miner.job().clone();
    ids.push((
        pool.sv1[sv1]
            .miner
            .submit(&user, &job.mine(&mut Chance::new(1), job.target)),
        true,
    ));
    // A second earlier would be no block anywhere.
    for channel in [extended, standard] {
        let mut job = pool.sv2[link].miner.channels[&channel].job().clone();
        job.time -= 1;
        let nonce = job.mine(&mut Chance::new(2), job.target);
        pool.sv2[link].miner.submit(channel, &nonce);
    }
    let mut early = job;
    early.time -= 1;
    let nonce = early.mine_where(&mut Chance::new(3), |hash| {
        early.target.is_met_by(hash) && !early.network_target().is_met_by(hash)
    });
    ids.push((pool.sv1[sv1].miner.submit(&user, &nonce), false));
    pool.advance(200 * MILLISECOND);
    assert_eq!(pool.sv2[link].miner.acknowledged.len(), 2);
    let codes = pool.sv2[link].miner.rejected.iter();
    assert!(codes.map(|(_, _, code)| code).eq(["invalid-share"; 2]));
    for (id, granted) in ids {
        assert_eq!(pool.sv1[sv1].miner.is_granted(&id), granted);
    }
    pool.advance(Duration::from_secs(400));
    pool.refresh();
    assert_eq!(times(&pool), [earliest; 3]);
    pool.advance(Duration::from_secs(200));
    pool.refresh();
    assert_eq!(times(&pool), [earliest + 100; 3]);
}

/// MP-136: ESP-Miner has room for 20 hashes of a merkle path and 8,192 bytes of a message. The most
/// transactions that fit into a block make 15 of them.
#[test]
fn the_job_of_the_fullest_block_fits_into_firmware() {
    const MOST: u32 = 16_600;
    const LEAST_WEIGHT: u32 = 240;
    let mut pool = pool();
    let (link, id) = with_channel(&mut pool, true, 1);
    let mut template = pool.chain.template();
    template.coinbase_value = template.network.subsidy(template.height);
    let transactions = (0..MOST).map(|number| {
        let hash = sha256d::Hash::hash(&number.to_le_bytes());
        TemplateTransaction {
            data: vec![0; 60],
            txid: Txid::from_raw_hash(hash),
            wtxid: Wtxid::from_raw_hash(hash),
            fee: Amount::ZERO,
            sigops: 0,
            weight: LEAST_WEIGHT,
        }
    });
    template.transactions = transactions.collect();
    assert!(u64::from(MOST + 100) * u64::from(LEAST_WEIGHT) > 4_000_000);
    let new = pool.given(template);
    let work = pool.hub.handle_template(pool.now, new).expect("it fits");
    let before = pool.sv2[link].sent_bytes;
    pool.give_work(&work);
    assert!(pool.sv2[link].sent_bytes - before <= 8_192);
    let job = pool.sv2[link].miner.channels[&id].job();
    let RootSource::Coinbase { path, .. } = &job.root else {
        panic!("extended jobs have a coinbase");
    };
    assert_eq!(path.len(), 15);
}

/// On testnet4 the bits change within a tip, after twenty minutes. A client has them of `SetNewPrevHash`
/// alone (§5.3.17), so that it is told the tip once more; what it was sent ahead is void then.
#[test]
fn other_bits_on_the_same_tip_are_told() {
    for is_extended in [false, true] {
        let mut pool = pool();
        let (link, channel) = with_channel(&mut pool, is_extended, 1);
        pool.advance(2_000 * MILLISECOND);
        for bits in [0x1d00_ffff, 0x207f_ffff, 0x1e00_ffff] {
            pool.chain.bits = bits;
            pool.new_template();
            assert_eq!(pool.sv2[link].miner.channels[&channel].job().bits, bits);
            submit_share(&mut pool, link, channel);
            pool.advance(2_000 * MILLISECOND);
        }
        pool.new_tip_begun();
        pool.pump();
        submit_share(&mut pool, link, channel);
    }
}

/// A share that no network takes for a block, or would be one, and that the pool takes.
fn submit_share(pool: &mut Pool, link: usize, channel: u32) {
    let job = pool.sv2[link].miner.channels[&channel].job();
    let nonce = job.mine(&mut Chance::new(1), job.target);
    let sequence = pool.sv2[link].miner.submit(channel, &nonce);
    pool.advance(200 * MILLISECOND);
    assert_eq!(pool.sv2[link].miner.rejection(sequence), None);
}
