//! Version bits that the operator has chosen are in every job: of the present template, of the next tip, and of
//! one that was announced without a template.

use std::time::Duration;

use headframe_mining::server::NewTemplate;
use headframe_testkit::{Pool, PoolSettings};
use headframe_work::{KeptVersion, Template, VersionBits};

use crate::{block, share, with_channel, with_sv1};

const SECOND: Duration = Duration::from_secs(1);
/// What the node's version and the chosen bits make.
const CHOSEN: u32 = 0x2000_0010;

/// A pool whose blocks are to have bit 4 and not bit 2, which the node sets.
fn pool() -> Pool {
    let bits = VersionBits::default().with(4, true);
    let bits = bits.and_then(|bits| bits.with(2, false));
    let mut pool = Pool::new(&PoolSettings {
        version_bits: bits.expect("both can be chosen"),
        ..PoolSettings::default()
    });
    pool.chain.version = 0x2000_0004;
    pool.new_template();
    pool
}

/// A template that differs from the node's next one in this.
fn changed(pool: &mut Pool, change: impl FnOnce(&mut Template)) -> NewTemplate {
    let mut template = pool.chain.template();
    change(&mut template);
    pool.given(template)
}

#[test]
fn chosen_bits_are_in_each_job_and_in_the_blocks_that_are_found() {
    let mut pool = pool();
    let (standard, extended) = (
        with_channel(&mut pool, false, 1),
        with_channel(&mut pool, true, 1),
    );
    let (sv1, _) = with_sv1(&mut pool, 1);
    for is_new_tip in [false, true, true] {
        match is_new_tip {
            false => pool.new_template(),
            true => pool.new_tip(),
        }
        pool.advance(SECOND);
        assert_eq!(pool.sv1[sv1].miner.job().version, CHOSEN);
        for (link, channel) in [standard, extended] {
            let job = pool.sv2[link].miner.channels[&channel].job();
            assert_eq!(job.version, CHOSEN);
            let good = share(&pool, link, channel, 3);
            pool.sv2[link].miner.submit(channel, &good);
            let found = block(&pool, link, channel, 4);
            pool.sv2[link].miner.submit(channel, &found);
            pool.advance(SECOND);
            assert_eq!(pool.sv2[link].miner.rejected, []);
            let blocks = pool.sv2[link].blocks();
            let last = blocks.last().expect("it was found").header;
            assert_eq!(last, found.header);
            let version = last.version.to_consensus().cast_unsigned();
            assert_eq!(version & 0xe000_001f, CHOSEN, "{version:08x}");
        }
    }
    assert_eq!(pool.hub.kept_version(), None);
}

/// A job that was sent ahead has the bits too, or it would not be what the next template says.
#[test]
fn the_job_of_the_next_tip_is_begun_with_the_chosen_bits() {
    let mut pool = pool();
    let (link, channel) = with_channel(&mut pool, true, 1);
    pool.advance(SECOND);
    pool.chain.advance();
    let new = pool.node_template();
    let start = pool.hub.begin_tip(pool.now, &new);
    pool.give_work(&start.expect("what is staged is what the node says, with the bits"));
    assert_eq!(
        pool.sv2[link].miner.channels[&channel].job().version,
        CHOSEN
    );
    let work = pool.hub.handle_template(pool.now, new).unwrap();
    pool.give_work(&work);
    assert_eq!(
        pool.sv2[link].miner.channels[&channel].job().version,
        CHOSEN
    );
}

#[test]
fn an_announced_tip_is_begun_with_the_chosen_bits() {
    let mut pool = pool();
    let (link, channel) = with_channel(&mut pool, false, 1);
    pool.advance(SECOND);
    let tip = pool.announced_tip();
    pool.begin_ahead(&tip);
    assert_eq!(
        pool.sv2[link].miner.channels[&channel].job().version,
        CHOSEN
    );
}

/// A block that no node would take is worth less than a signal.
#[test]
fn what_the_node_requires_is_mined_whatever_was_chosen() {
    let mut pool = pool();
    let (link, channel) = with_channel(&mut pool, true, 1);
    let required = changed(&mut pool, |template| template.fixed_version_bits = 1 << 2);
    let work = pool.hub.handle_template(pool.now, required).unwrap();
    pool.give_work(&work);
    let version = |pool: &Pool| pool.sv2[link].miner.channels[&channel].job().version;
    assert_eq!(version(&pool), 0x2000_0004);
    assert_eq!(pool.hub.kept_version(), Some(KeptVersion::Fixed(2)));
    let old = changed(&mut pool, |template| template.version = 4);
    let work = pool.hub.handle_template(pool.now, old).unwrap();
    pool.give_work(&work);
    assert_eq!(version(&pool), 4);
    assert_eq!(pool.hub.kept_version(), Some(KeptVersion::NoSignals(4)));
    pool.new_template();
    assert_eq!(version(&pool), CHOSEN);
    assert_eq!(pool.hub.kept_version(), None);
}
