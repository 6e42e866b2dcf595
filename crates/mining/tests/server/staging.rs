//! The next block's empty job is there before the block is (R-14, MP-10, MP-13).

use std::sync::Arc;
use std::time::Duration;

use headframe_mining::server::{AnnouncedTip, Hub, JobIds, NewTemplate, PoolWork};
use headframe_testkit::{Chain, Pool, PoolSettings, RootSource};
use headframe_work::Network;

use crate::{STANDARD_JOBS, block, open, pool, with_channel, with_sv1};

const SECOND: Duration = Duration::from_secs(1);

fn since(pool: &Pool, link: usize, from: usize) -> Vec<String> {
    pool.sv2[link].miner.transcript[from..].to_vec()
}

fn seen(pool: &Pool, link: usize) -> usize {
    pool.sv2[link].miner.transcript.len()
}

/// Another block, whose job is staged: what it is begun with, which no session has heard of yet, and its
/// template.
fn begin_tip(pool: &mut Pool) -> (Arc<PoolWork>, NewTemplate) {
    pool.chain.advance();
    let new = pool.node_template();
    let start = pool.hub.begin_tip(pool.now, &new);
    (start.expect("staged as the node says"), new)
}

/// After the first `SetNewPrevHash`, never before (the scripted miner panics at two future jobs
/// then), and once.
#[test]
fn a_channel_is_sent_the_next_block_s_job_ahead() {
    for (flags, is_extended, name) in [
        (STANDARD_JOBS, false, "NewMiningJob"),
        (0, true, "NewExtendedMiningJob"),
    ] {
        let mut pool = pool();
        let (link, id) = with_channel(&mut pool, is_extended, 1);
        assert_eq!(flags == STANDARD_JOBS, !is_extended);
        let before = seen(&pool, link);
        pool.advance(SECOND);
        pool.new_template();
        pool.advance(SECOND);
        let expected = [format!("{name}(future) {id}"), format!("{name} {id}")];
        assert_eq!(since(&pool, link, before), expected);
    }
}

/// The tip alone comes first, and names the staged job; the full job follows at once.
#[test]
fn a_block_costs_one_set_new_prev_hash() {
    let mut pool = pool();
    let (link, standard) = with_channel(&mut pool, false, 1);
    let (other, extended) = with_channel(&mut pool, true, 1);
    pool.advance(SECOND);
    let before = [link, other].map(|link| seen(&pool, link));
    let staged = |pool: &Pool, link: usize, id| pool.sv2[link].miner.channels[&id].future[0].1.id;
    let ids = [
        staged(&pool, link, standard),
        staged(&pool, other, extended),
    ];
    assert_eq!(ids[0], ids[1], "one number of the whole pool (R-10)");
    let (start, new) = begin_tip(&mut pool);
    pool.give_work(&start);
    assert_eq!(
        since(&pool, link, before[0]),
        [format!("SetNewPrevHash {standard}")]
    );
    assert_eq!(
        since(&pool, other, before[1]),
        [format!("SetNewPrevHash {extended}")]
    );
    let job = pool.sv2[other].miner.channels[&extended].job();
    assert_eq!(job.id, ids[1]);
    let rolled = vec![0; 8];
    let coinbase = job.coinbase(&rolled).unwrap();
    assert_eq!(
        coinbase.output[0].value,
        Network::Regtest.subsidy(pool.chain.height)
    );
    let work = pool.hub.handle_template(pool.now, new).unwrap();
    pool.give_work(&work);
    assert_eq!(seen(&pool, link), before[0] + 2);
    assert_eq!(
        since(&pool, other, before[1])[1],
        format!("NewExtendedMiningJob {extended}")
    );
}

/// The empty block is whole: the scripted node reads it, with its commitment.
#[test]
fn a_block_of_the_staged_job_is_a_block() {
    for is_extended in [false, true] {
        let mut pool = pool();
        let (link, id) = with_channel(&mut pool, is_extended, 1);
        pool.advance(SECOND);
        let (start, _) = begin_tip(&mut pool);
        pool.give_work(&start);
        let nonce = block(&pool, link, id, 7);
        pool.sv2[link].miner.submit(id, &nonce);
        pool.advance(SECOND);
        let blocks = pool.sv2[link].blocks();
        assert_eq!(blocks.len(), 1);
        assert_eq!(blocks[0].txdata.len(), 1);
        assert!(blocks[0].check_witness_commitment() && blocks[0].check_merkle_root());
        assert_eq!(pool.sv2[link].miner.rejected, []);
    }
}

/// A session that sleeps through the beginning of a tip does both at once.
#[test]
fn a_late_session_begins_with_the_tip_too() {
    let mut pool = pool();
    let (link, id) = with_channel(&mut pool, true, 1);
    pool.advance(SECOND);
    let before = seen(&pool, link);
    let (_, new) = begin_tip(&mut pool);
    let work = pool.hub.handle_template(pool.now, new).unwrap();
    pool.give_work(&work);
    assert_eq!(
        since(&pool, link, before),
        [
            format!("SetNewPrevHash {id}"),
            format!("NewExtendedMiningJob {id}")
        ]
    );
}

/// Unless the bits were changed meanwhile: what the tip began with is for other headers.
#[test]
fn a_late_session_does_not_begin_a_tip_with_bits_that_have_passed() {
    let mut pool = pool();
    let (link, id) = with_channel(&mut pool, true, 1);
    pool.advance(SECOND);
    let before = seen(&pool, link);
    let (_, new) = begin_tip(&mut pool);
    pool.hub.handle_template(pool.now, new).unwrap();
    pool.chain.bits = 0x1d00_ffff;
    let new = pool.node_template();
    let work = pool.hub.handle_template(pool.now, new).unwrap();
    pool.give_work(&work);
    assert_eq!(
        since(&pool, link, before),
        [
            format!("NewExtendedMiningJob(future) {id}"),
            format!("SetNewPrevHash {id}")
        ]
    );
    assert_eq!(pool.sv2[link].miner.channels[&id].job().bits, 0x1d00_ffff);
}

/// Nothing is sent ahead then, and neither a tip that is told of nor one that has come is begun.
#[test]
fn without_empty_blocks_the_full_job_is_all_there_is() {
    let mut pool = pool();
    pool.hub = Hub::new(JobIds::new(1 << 20), 0).without_empty_blocks();
    pool.new_template();
    let (link, id) = with_channel(&mut pool, true, 1);
    let before = seen(&pool, link);
    pool.advance(SECOND);
    let tip = pool.announced_tip();
    assert!(pool.hub.begin_ahead(pool.now, &tip).is_none());
    let new = pool.node_template();
    assert!(pool.hub.begin_tip(pool.now, &new).is_none());
    let work = pool.hub.handle_template(pool.now, new).unwrap();
    pool.give_work(&work);
    pool.advance(SECOND);
    let full = format!("NewExtendedMiningJob(future) {id}");
    assert_eq!(
        since(&pool, link, before),
        [full, format!("SetNewPrevHash {id}")]
    );
}

/// What the node says of the block is not what is staged: nothing is begun, and the full job comes
/// as a future one.
#[test]
fn what_the_node_contradicts_is_not_used() {
    let changes: [fn(&mut Chain); 3] = [
        |chain| chain.version ^= 1 << 20,
        |chain| chain.height += 1,
        |chain| chain.height -= 3,
    ];
    for change in changes {
        let mut pool = pool();
        let (link, id) = with_channel(&mut pool, true, 1);
        pool.advance(SECOND);
        let before = seen(&pool, link);
        pool.chain.advance();
        change(&mut pool.chain);
        let new = pool.node_template();
        assert!(pool.hub.begin_tip(pool.now, &new).is_none());
        let work = pool.hub.handle_template(pool.now, new).unwrap();
        pool.give_work(&work);
        assert_eq!(
            since(&pool, link, before),
            [
                format!("NewExtendedMiningJob(future) {id}"),
                format!("SetNewPrevHash {id}")
            ]
        );
    }
}

/// Regtest halves at heights 150 and 300; a reorg of three blocks comes back to other heights.
#[test]
fn halvings_and_reorgs_are_followed() {
    for heights in [148..153, 298..303, 2_014..2_019] {
        let mut pool = pool();
        let (link, id) = with_channel(&mut pool, true, 1);
        pool.chain.height = heights.start;
        pool.new_tip();
        pool.advance(2 * SECOND);
        for _ in heights {
            let before = seen(&pool, link);
            pool.new_tip_begun();
            assert_eq!(
                since(&pool, link, before)[0],
                format!("SetNewPrevHash {id}")
            );
            pool.advance(2 * SECOND);
        }
        pool.chain.height -= 3;
        let before = seen(&pool, link);
        pool.new_tip_begun();
        assert_eq!(
            since(&pool, link, before)[0],
            format!("NewExtendedMiningJob(future) {id}")
        );
    }
}

/// Signalling bits that change make another job, and the tip names the newest.
#[test]
fn a_change_of_version_is_staged_anew() {
    let mut pool = pool();
    let (link, id) = with_channel(&mut pool, true, 1);
    pool.advance(SECOND);
    pool.chain.version |= 1 << 22;
    pool.new_template();
    pool.advance(SECOND);
    let future: Vec<u32> = pool.sv2[link].miner.channels[&id]
        .future
        .iter()
        .map(|(_, job)| job.version)
        .collect();
    assert_eq!(future.len(), 2);
    pool.new_tip_begun();
    let jobs = &pool.sv2[link].miner.channels[&id].jobs;
    assert_eq!(jobs[jobs.len() - 2].version, pool.chain.version);
}

/// When a second channel joins, the job is staged on the group's id before a tip goes there.
#[test]
fn a_group_that_forms_is_staged_anew() {
    let mut pool = pool();
    let (link, first) = with_channel(&mut pool, true, 1);
    pool.advance(SECOND);
    let second = open(&mut pool, link, true, 1);
    let group = pool.sv2[link].miner.channels[&first].group;
    let before = seen(&pool, link);
    pool.advance(SECOND);
    pool.new_tip_begun();
    assert_eq!(
        since(&pool, link, before),
        [
            format!("NewExtendedMiningJob(future) {group}"),
            format!("SetNewPrevHash {group}"),
            format!("NewExtendedMiningJob {group}"),
        ]
    );
    let jobs = |id| pool.sv2[link].miner.channels[&id].jobs.len();
    assert_eq!((jobs(first), jobs(second)), (3, 3));
}

/// A tip goes to the id that the staged job went to: who is left of a group was sent none by its own
/// id, and is given a future job of its own to begin with.
#[test]
fn a_job_that_was_staged_for_a_group_is_not_begun_by_the_last_of_it() {
    for is_extended in [false, true] {
        let mut pool = pool();
        let (link, closed) = with_channel(&mut pool, true, 1);
        let last = open(&mut pool, link, is_extended, 1);
        let group = pool.sv2[link].miner.channels[&last].group;
        pool.advance(2 * SECOND);
        let staged = pool.sv2[link].miner.channels[&last].future[0].1.id;
        let sent = format!("NewExtendedMiningJob(future) {group}");
        assert!(since(&pool, link, 0).contains(&sent));
        pool.sv2[link].miner.close(closed);
        pool.pump();
        let before = seen(&pool, link);
        pool.new_tip_begun();
        let name = if is_extended {
            "NewExtendedMiningJob"
        } else {
            "NewMiningJob"
        };
        assert_eq!(
            since(&pool, link, before),
            [
                format!("{name}(future) {last}"),
                format!("SetNewPrevHash {last}")
            ]
        );
        assert_ne!(pool.sv2[link].miner.channels[&last].job().id, staged);
        let nonce = block(&pool, link, last, 7);
        pool.sv2[link].miner.submit(last, &nonce);
        pool.advance(SECOND);
        assert_eq!(pool.sv2[link].blocks().len(), 1);
    }
}

/// Testnet4's bits depend on when a block is found.
#[test]
fn testnet4_is_never_begun_ahead() {
    let mut pool = pool();
    let testnet4 = |pool: &mut Pool| {
        let mut template = pool.chain.template();
        template.network = Network::Testnet4;
        pool.given(template)
    };
    let new = testnet4(&mut pool);
    let work = pool.hub.handle_template(pool.now, new).unwrap();
    pool.give_work(&work);
    let (link, _) = with_channel(&mut pool, true, 1);
    pool.advance(SECOND);
    assert!(
        since(&pool, link, 0)
            .iter()
            .all(|told| !told.contains("SetTarget"))
    );
    let futures = since(&pool, link, 0);
    let futures = futures.iter().filter(|told| told.contains("future"));
    assert_eq!(futures.count(), 1);
    pool.chain.advance();
    let new = testnet4(&mut pool);
    assert!(pool.hub.begin_tip(pool.now, &new).is_none());
}

/// Stratum V1 has no future jobs: a tip is begun with the empty job itself, which is all that the miner
/// drops its work for, and the full one follows.
#[test]
fn stratum_v1_begins_with_the_empty_job() {
    let mut pool = Pool::new(&PoolSettings::default());
    let (link, _) = with_sv1(&mut pool, 1);
    pool.new_tip_begun();
    let jobs = &pool.sv1[link].miner.jobs;
    // The tip took the jobs before it along.
    let paths: Vec<_> = jobs
        .iter()
        .map(|job| match &job.root {
            RootSource::Coinbase { path, .. } => path.is_empty(),
            RootSource::Given(_) => panic!("Stratum V1 jobs have a coinbase"),
        })
        .collect();
    assert_eq!(paths, [true, false]);
}

/// A template that no block can be built on leaves nobody on a tip that is gone: the block without its
/// transactions is worked on, on both protocols, whether it was begun or not.
#[test]
fn an_unusable_template_is_worked_on_without_its_transactions() {
    for is_begun in [false, true] {
        let mut pool = pool();
        let (link, id) = with_channel(&mut pool, true, 1);
        let (sv1, _) = with_sv1(&mut pool, 1);
        if is_begun {
            pool.advance(SECOND);
        }
        pool.chain.advance();
        let mut new = pool.node_template();
        if is_begun {
            let start = pool.hub.begin_tip(pool.now, &new).expect("staged");
            pool.give_work(&start);
        }
        let mut template = headframe_work::Template::clone(&new.template);
        template.limits.sigops = 1;
        new.template = template.into();
        assert!(pool.hub.handle_template(pool.now, new.clone()).is_err());
        let Some(work) = pool.hub.handle_unusable(pool.now, new.clone()) else {
            panic!("there is a block without transactions");
        };
        pool.give_work(&work);
        let tip = new.template.prev_hash;
        let bytes = |hash: bitcoin::BlockHash| bitcoin::hashes::Hash::to_byte_array(hash);
        assert_eq!(
            pool.sv2[link].miner.channels[&id].job().prev_hash,
            bytes(tip)
        );
        assert_eq!(pool.sv1[sv1].miner.job().prev_hash, bytes(tip));
        // Another one on the same tip changes nothing.
        assert!(pool.hub.handle_unusable(pool.now, new).is_none());
    }
}

/// A job that was sent ahead is not held for longer than others: at the second tip after its own.
#[test]
fn what_a_tip_was_begun_with_is_let_go() {
    let mut pool = pool();
    with_channel(&mut pool, true, 1);
    pool.advance(2 * SECOND);
    let (start, new) = begin_tip(&mut pool);
    let held = Arc::downgrade(&start.prepared);
    pool.give_work(&start);
    drop(start);
    let full = pool
        .hub
        .handle_template(pool.now, new)
        .expect("a good template");
    pool.give_work(&full);
    drop(full);
    assert!(held.strong_count() > 0, "late shares may be blocks");
    for _ in 0..2 {
        pool.new_tip();
    }
    assert_eq!(held.strong_count(), 0);
}

fn template(pool: &mut Pool) -> Arc<PoolWork> {
    let new = pool.node_template();
    pool.hub
        .handle_template(pool.now, new)
        .expect("a good template")
}

/// A tip that the node tells of is begun with what was sent ahead, while its template is made; the full job follows.
#[test]
fn an_announced_tip_is_begun_before_there_is_a_template() {
    let mut pool = pool();
    let (link, standard) = with_channel(&mut pool, false, 1);
    let (other, extended) = with_channel(&mut pool, true, 1);
    pool.advance(SECOND);
    let before = [link, other].map(|link| seen(&pool, link));
    let tip = pool.announced_tip();
    pool.begin_ahead(&tip);
    let told = |id| vec![format!("SetNewPrevHash {id}")];
    assert_eq!(since(&pool, link, before[0]), told(standard));
    assert_eq!(since(&pool, other, before[1]), told(extended));
    let job = pool.sv2[other].miner.channels[&extended].job();
    assert_eq!(
        job.prev_hash,
        bitcoin::hashes::Hash::to_byte_array(tip.hash)
    );
    assert!(job.time >= tip.earliest.as_secs());
    assert_eq!(pool.hub.ahead_since(), Some(pool.now));
    pool.advance(15 * SECOND);
    let work = template(&mut pool);
    pool.give_work(&work);
    assert_eq!(pool.hub.ahead_since(), None);
    assert_eq!(since(&pool, link, before[0]).len(), 2);
    assert_eq!(
        since(&pool, other, before[1])[1..],
        [format!("NewExtendedMiningJob {extended}")]
    );
}

/// Stratum V1 has nothing that could be sent ahead, and gets the same block at once: the miner drops what it has,
/// and goes on with the full job where it is.
#[test]
fn an_announced_tip_is_an_empty_job_for_stratum_v1() {
    let mut pool = Pool::new(&PoolSettings::default());
    let (link, _) = with_sv1(&mut pool, 1);
    pool.advance(SECOND);
    let tip = pool.announced_tip();
    pool.begin_ahead(&tip);
    let branches = |pool: &Pool| match &pool.sv1[link].miner.job().root {
        RootSource::Coinbase { path, .. } => path.len(),
        RootSource::Given(_) => panic!("Stratum V1 jobs have a coinbase"),
    };
    let prev_hash = bitcoin::hashes::Hash::to_byte_array(tip.hash);
    assert_eq!(pool.sv1[link].miner.job().prev_hash, prev_hash);
    // Clean: it stands alone. The next one stands beside it.
    assert_eq!((branches(&pool), pool.sv1[link].miner.jobs.len()), (0, 1));
    let work = template(&mut pool);
    pool.give_work(&work);
    assert!(branches(&pool) > 0);
    assert_eq!(pool.sv1[link].miner.jobs.len(), 2);
}

/// A channel that was opened a moment ago holds nothing yet, and has no time to lose either.
#[test]
fn who_holds_nothing_staged_is_sent_the_empty_job_of_an_announced_tip() {
    let mut pool = pool();
    let (link, id) = with_channel(&mut pool, true, 1);
    let before = seen(&pool, link);
    let tip = pool.announced_tip();
    pool.begin_ahead(&tip);
    let expected = [
        format!("NewExtendedMiningJob(future) {id}"),
        format!("SetNewPrevHash {id}"),
    ];
    assert_eq!(since(&pool, link, before), expected);
}

/// It pays the subsidy of its height, and the scripted node finds nothing wrong with it.
#[test]
fn a_block_on_an_announced_tip_is_a_block() {
    for height in [148, 149, 150, 151, 2_013, 2_017] {
        let mut pool = pool();
        pool.chain.height = height;
        pool.new_tip();
        let (link, id) = with_channel(&mut pool, true, 1);
        pool.advance(SECOND);
        let tip = pool.announced_tip();
        pool.begin_ahead(&tip);
        let nonce = block(&pool, link, id, 7);
        pool.sv2[link].miner.submit(id, &nonce);
        pool.advance(SECOND);
        let blocks = pool.sv2[link].blocks();
        assert_eq!(blocks.len(), 1, "{height}");
        assert_eq!(blocks[0].header.prev_blockhash, tip.hash);
        assert!(blocks[0].check_witness_commitment() && blocks[0].check_merkle_root());
        let value = blocks[0].txdata[0].output[0].value;
        assert_eq!(value, Network::Regtest.subsidy(tip.height + 1), "{height}");
    }
}

/// Where the block after it may be unlike to what is staged, an announced tip waits for its template.
#[test]
fn a_tip_of_which_too_little_is_known_is_not_begun() {
    type Change = fn(&mut AnnouncedTip);
    let changes: [Change; 7] = [
        |tip| tip.parent = tip.hash,
        |tip| tip.height += 1,
        |tip| tip.height -= 3,
        |tip| tip.height = u32::MAX,
        |tip| tip.bits = bitcoin::CompactTarget::from_consensus(0x1d00_ffff),
        |tip| tip.earliest = headframe_work::UnixTime::from_secs(1),
        |tip| tip.earliest = tip.earliest.saturating_add(5 * 3_600 * SECOND),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut pool = pool();
        with_channel(&mut pool, true, 1);
        let mut tip = pool.announced_tip();
        change(&mut tip);
        assert!(
            pool.hub.begin_ahead(pool.now, &tip).is_none(),
            "change {number}"
        );
    }
    // The first block of a period, whose version may be another: on regtest one in 144.
    for (height, is_begun) in [
        (142, true),
        (143, false),
        (144, true),
        (2_014, true),
        (2_015, false),
    ] {
        let mut pool = pool();
        pool.chain.height = height - 1;
        pool.new_tip();
        let tip = pool.announced_tip();
        assert_eq!(tip.height, height);
        let begun = pool.hub.begin_ahead(pool.now, &tip);
        assert_eq!(begun.is_some(), is_begun, "{height}");
    }
}

/// A block on the third block below, as when a reorganisation has come: no template that is known is like its next.
#[test]
fn a_reorganisation_is_not_begun_ahead() {
    let mut pool = pool();
    for _ in 0..3 {
        pool.new_tip();
    }
    let mut tip = pool.announced_tip();
    tip.parent = bitcoin::hashes::Hash::from_byte_array([9; 32]);
    assert!(pool.hub.begin_ahead(pool.now, &tip).is_none());
}

/// Nor is a second block while no template has come for the first: empty blocks are not built on each other.
#[test]
fn a_tip_after_one_without_a_template_waits() {
    let mut pool = pool();
    let tip = pool.announced_tip();
    assert!(pool.hub.begin_ahead(pool.now, &tip).is_some());
    assert!(pool.hub.begin_ahead(pool.now, &tip).is_none(), "once");
    let tip = pool.announced_tip();
    assert!(pool.hub.begin_ahead(pool.now, &tip).is_none());
}

/// What the node gave for the tip before, and had to wait for its turn or was late, takes nobody back to that tip. One
/// that came after the word of the new tip does: the node knows.
#[test]
fn a_template_from_before_the_announcement_takes_nobody_back() {
    for is_late in [false, true] {
        let mut pool = pool();
        pool.advance(SECOND);
        let old = pool.node_template();
        if !is_late {
            pool.hub.offer(old.clone());
            assert!(pool.hub.poll_timeout() > Some(pool.now), "it waits");
        }
        let tip = pool.announced_tip();
        pool.advance(SECOND);
        let begun = pool.hub.begin_ahead(pool.now, &tip);
        assert!(begun.is_some(), "it is the next");
        if is_late {
            pool.hub.offer(old.clone());
        }
        assert!(pool.hub.take_offered().is_none(), "late: {is_late}");
        pool.advance(SECOND);
        let received = pool.now;
        pool.hub.offer(NewTemplate { received, ..old });
        assert!(pool.hub.poll_timeout() <= Some(pool.now));
        assert!(pool.hub.take_offered().is_some());
    }
}

/// The template on the tip may be there already when its announcement comes.
#[test]
fn a_template_on_the_announced_tip_is_kept() {
    let mut pool = pool();
    pool.advance(SECOND);
    let tip = pool.announced_tip();
    let new = pool.node_template();
    pool.hub.offer(new);
    assert!(pool.hub.begin_ahead(pool.now, &tip).is_some());
    assert!(pool.hub.poll_timeout() <= Some(pool.now));
    assert!(pool.hub.take_offered().is_some());
}

/// A template on it is worked on at once, however long it took; without one everybody is told to go back.
#[test]
fn an_announced_tip_is_taken_back_when_no_template_bears_it_out() {
    let mut pool = pool();
    let (link, id) = with_channel(&mut pool, true, 1);
    let (sv1, _) = with_sv1(&mut pool, 1);
    pool.advance(SECOND);
    let old = pool.hub.work().unwrap().tip();
    assert!(
        pool.hub.take_back(pool.now).is_none(),
        "there is nothing to take back"
    );
    let tip = pool.announced_tip();
    pool.begin_ahead(&tip);
    pool.advance(50 * SECOND);
    let again = pool.hub.refresh(pool.now).expect("there is work");
    pool.give_work(&again);
    let new = pool.node_template();
    pool.hub.offer(new);
    assert!(pool.hub.poll_timeout() <= Some(pool.now));
    pool.hub.take_offered();
    let before = seen(&pool, link);
    let back = pool.hub.take_back(pool.now).expect("it was ahead");
    assert_eq!((back.tip(), pool.hub.ahead_since()), (old, None));
    pool.give_work(&back);
    let bytes = |hash: bitcoin::BlockHash| bitcoin::hashes::Hash::to_byte_array(hash);
    assert_eq!(
        pool.sv2[link].miner.channels[&id].job().prev_hash,
        bytes(old)
    );
    assert_eq!(pool.sv1[sv1].miner.job().prev_hash, bytes(old));
    assert_eq!(since(&pool, link, before).len(), 2);
    // The template comes after all.
    let work = template(&mut pool);
    pool.give_work(&work);
    assert_eq!(
        pool.sv2[link].miner.channels[&id].job().prev_hash,
        bytes(tip.hash)
    );
    assert_eq!(pool.sv1[sv1].miner.job().prev_hash, bytes(tip.hash));
}

/// What was sent ahead was used up by the announcement: it is sent again under another id, and used again.
#[test]
fn a_tip_that_was_taken_back_is_begun_again_with_its_template() {
    for wait in [0, 2] {
        let mut pool = pool();
        let (link, id) = with_channel(&mut pool, true, 1);
        let (other, standard) = with_channel(&mut pool, false, 1);
        let (sv1, _) = with_sv1(&mut pool, 1);
        pool.advance(SECOND);
        let tip = pool.announced_tip();
        pool.begin_ahead(&tip);
        pool.advance(30 * SECOND);
        let back = pool.hub.take_back(pool.now).expect("it was ahead");
        pool.give_work(&back);
        pool.advance(wait * SECOND);
        let new = pool.node_template();
        let start = pool.hub.begin_tip(pool.now, &new).expect("it is staged");
        pool.give_work(&start);
        let work = pool.hub.handle_template(pool.now, new).expect("good");
        pool.give_work(&work);
        pool.advance(SECOND);
        let hash: [u8; 32] = bitcoin::hashes::Hash::to_byte_array(tip.hash);
        assert_eq!(pool.sv1[sv1].miner.job().prev_hash, hash);
        for (link, id) in [(link, id), (other, standard)] {
            assert_eq!(pool.sv2[link].miner.channels[&id].job().prev_hash, hash);
            let nonce = block(&pool, link, id, 7);
            pool.sv2[link].miner.submit(id, &nonce);
            pool.advance(SECOND);
            let blocks = pool.sv2[link].blocks();
            assert_eq!(blocks.len(), 1, "{wait}");
            assert_eq!(blocks[0].header.prev_blockhash, tip.hash);
        }
    }
}
