//! The pool's end of the mining protocol against scripted miners that compute everything anew.

mod acknowledgements;
mod asked;
mod blocks;
mod channels;
mod demands;
mod difficulty;
mod extensions;
mod groups;
mod one_road;
mod order;
mod payouts;
mod refresh;
mod refusals;
mod replies;
mod resume;
mod rounds;
mod setup;
mod shares;
mod signalling;
mod staging;
mod sv1;
mod sv1_methods;
mod templates;
mod timers;
mod uniqueness;

use std::time::Duration;

use headframe_sv2_wire::U256;
use headframe_testkit::{Nonce, Pool, PoolSettings, address};

/// The flag of a client that takes standard jobs only.
const STANDARD_JOBS: u32 = 1;
const MILLISECOND: Duration = Duration::from_millis(1);

fn pool() -> Pool {
    Pool::new(&PoolSettings::default())
}

/// A set-up Stratum V2 client with one channel: its connection's number and the channel's id.
fn with_channel(pool: &mut Pool, is_extended: bool, user: u64) -> (usize, u32) {
    let flags = if is_extended { 0 } else { STANDARD_JOBS };
    let link = pool.connect_sv2();
    pool.sv2[link].miner.set_up(flags);
    let id = open(pool, link, is_extended, user);
    (link, id)
}

fn open(pool: &mut Pool, link: usize, is_extended: bool, user: u64) -> u32 {
    let miner = &mut pool.sv2[link].miner;
    let user = format!("{}.rig", address(user));
    match is_extended {
        true => miner.open_extended(&user, 0.0, U256::MAX, 2),
        false => miner.open_standard(&user, 0.0, U256::MAX),
    };
    pool.pump();
    *pool.sv2[link]
        .miner
        .opened
        .last()
        .expect("the channel is open")
}

/// A Stratum V1 client that has work.
fn with_sv1(pool: &mut Pool, user: u64) -> (usize, String) {
    let user = address(user).to_string();
    let link = pool.connect_sv1();
    pool.sv1[link].miner.log_in(&user);
    pool.advance(50 * MILLISECOND);
    (link, user)
}

/// A share of the newest job that is no block.
fn share(pool: &Pool, link: usize, channel: u32, seed: u64) -> Nonce {
    let job = pool.sv2[link].miner.channels[&channel].job();
    let (target, network) = (job.target, job.network_target());
    let mut chance = headframe_testkit::Chance::new(seed);
    job.mine_where(&mut chance, |hash| {
        target.is_met_by(hash) && !network.is_met_by(hash)
    })
}

/// A block of the newest job.
fn block(pool: &Pool, link: usize, channel: u32, seed: u64) -> Nonce {
    let job = pool.sv2[link].miner.channels[&channel].job();
    job.mine(
        &mut headframe_testkit::Chance::new(seed),
        job.network_target(),
    )
}
