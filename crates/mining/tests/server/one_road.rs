//! One share path: the same header gets the same verdict on either protocol.
//!
//! Two pools that differ in nothing but the protocol of their client: the same seed, so the same jobs,
//! byte for byte. What the two protocols let a client do differently is left out: Stratum V1 names no
//! earliest time, and lets fewer version bits roll.

use std::time::Duration;

use headframe_channels::{Credit, DifficultySettings, RejectReason};
use headframe_mining::server::SessionEvent;
use headframe_sv2_wire::U256;
use headframe_testkit::{Chance, MinerJob, Nonce, Pool, PoolSettings, address};
use headframe_work::Rung;
use proptest::prelude::*;

use crate::MILLISECOND;

/// One hash in 512 is a block, and one in 16 a share.
const BITS: u32 = 0x1f7f_ffff;
const RUNG: i32 = -28;
/// How far a header time may run ahead of the network's (R-16).
const MAX_AHEAD: i64 = 7_200 - 60;

#[derive(Debug, Clone)]
enum Step {
    Share(Find),
    /// The same share again, counted from the last.
    Again(usize),
    Template(u32),
    Tip,
    Refresh,
    Pass(u64),
}

#[derive(Debug, Clone)]
struct Find {
    /// Counted from the newest job on.
    job: usize,
    quality: Quality,
    /// Version bits to be rolled, of those that may be.
    bits: u32,
    time: Time,
    flaw: Flaw,
}

#[derive(Debug, Clone, Copy)]
enum Quality {
    Block,
    Share,
    Low,
}

#[derive(Debug, Clone, Copy)]
enum Time {
    LongAgo,
    OfJob(u32),
    /// Seconds after the latest time that there is.
    Latest(i64),
}

#[derive(Debug, Clone, Copy)]
enum Flaw {
    None,
    ShortExtranonce,
    UnknownJob,
}

fn find() -> impl Strategy<Value = Find> {
    let quality = prop_oneof![
        1 => Just(Quality::Block),
        4 => Just(Quality::Share),
        2 => Just(Quality::Low),
    ];
    let time = prop_oneof![
        1 => Just(Time::LongAgo),
        8 => (0u32..600).prop_map(Time::OfJob),
        2 => (-1i64..=1).prop_map(Time::Latest),
    ];
    let flaw = prop_oneof![
        12 => Just(Flaw::None),
        1 => Just(Flaw::ShortExtranonce),
        1 => Just(Flaw::UnknownJob),
    ];
    (0usize..6, quality, any::<u32>(), time, flaw).prop_map(|(job, quality, bits, time, flaw)| {
        Find {
            job,
            quality,
            bits,
            time,
            flaw,
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => find().prop_map(Step::Share),
        3 => (0usize..4).prop_map(Step::Again),
        1 => any::<u32>().prop_map(Step::Template),
        1 => Just(Step::Tip),
        1 => Just(Step::Refresh),
        3 => (0u64..5_000).prop_map(Step::Pass),
    ]
}

/// A pool with one client.
struct Side {
    pool: Pool,
    channel: Option<u32>,
}

impl Side {
    fn new(settings: &PoolSettings, user: &str, mask: Option<u32>) -> Self {
        let mut pool = Pool::new(settings);
        let channel = match mask {
            Some(mask) => {
                let link = pool.connect_sv1();
                let miner = &mut pool.sv1[link].miner;
                miner.send(&format!(
                    r#"{{"id":"c","method":"mining.configure","params":[["version-rolling"],{{"version-rolling.mask":"{mask:08x}"}}]}}"#
                ));
                miner.log_in(user);
                None
            }
            None => {
                let link = pool.connect_sv2();
                let miner = &mut pool.sv2[link].miner;
                miner.set_up(0);
                miner.open_extended(user, 0.0, U256::MAX, 2);
                pool.pump();
                pool.sv2[link].miner.opened.last().copied()
            }
        };
        pool.advance(50 * MILLISECOND);
        Self { pool, channel }
    }

    /// All jobs that came, in order.
    fn jobs(&self) -> Vec<MinerJob> {
        match self.channel {
            Some(channel) => self.pool.sv2[0].miner.channels[&channel].jobs.clone(),
            None => {
                let miner = &self.pool.sv1[0].miner;
                miner.voided.iter().chain(&miner.jobs).cloned().collect()
            }
        }
    }

    fn submit(&mut self, user: &str, nonce: &Nonce) {
        match self.channel {
            Some(channel) => {
                self.pool.sv2[0].miner.submit(channel, nonce);
            }
            None => {
                self.pool.sv1[0].miner.submit(user, nonce);
            }
        }
        self.pool.pump();
    }

    fn events(&self) -> &[SessionEvent] {
        match self.channel {
            Some(_) => &self.pool.sv2[0].events,
            None => &self.pool.sv1[0].events,
        }
    }

    /// What was said to each share, and the blocks among them, in order.
    fn verdicts(&self) -> Vec<Verdict> {
        let verdicts = self.events().iter().filter_map(|event| match event {
            SessionEvent::Share(share) => Some(Verdict::Share(share.rung, share.outcome)),
            SessionEvent::Block(found) => Some(Verdict::Block(found.block.to_bytes())),
            _ => None,
        });
        verdicts.collect()
    }

    /// How many shares the client was told are accepted, and how many are not.
    fn told(&self) -> (usize, usize) {
        match self.channel {
            Some(_) => {
                let miner = &self.pool.sv2[0].miner;
                let counts = miner.acknowledged.iter().map(|(_, _, count, _)| *count);
                (counts.sum::<u32>() as usize, miner.rejected.len())
            }
            None => {
                let replies = &self.pool.sv1[0].miner.replies;
                let shares = || replies.iter().filter(|(id, _)| id.parse::<u32>().is_ok());
                let granted = shares().filter(|(_, refusal)| refusal.is_none()).count();
                (granted, shares().count() - granted)
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Template(bits) => {
                // BIP310: what is rolled replaces the bits of the job, and these have some.
                self.pool.chain.version = 0x2000_0000 | bits & 0x1fff_e000;
                self.pool.new_template();
            }
            Step::Tip => self.pool.new_tip(),
            Step::Refresh => self.pool.refresh(),
            Step::Pass(time) => self.pool.advance(Duration::from_millis(*time)),
            Step::Share(_) | Step::Again(_) => unreachable!("shares are submitted"),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Share(Rung, Result<Credit, RejectReason>),
    Block(Vec<u8>),
}

/// The share as a client would have found it, on a job that both have.
fn mine(find: &Find, job: &MinerJob, mask: u32, now: u32, chance: &mut Chance) -> Nonce {
    let mut job = job.clone();
    job.time = match find.time {
        Time::LongAgo => 1,
        Time::OfJob(seconds) => job.time + seconds,
        Time::Latest(after) => (i64::from(now) + MAX_AHEAD + after) as u32,
    };
    let version = job.version & !mask | find.bits & mask;
    let mut extranonce = chance.bytes::<8>().to_vec();
    let mut header = job.header(&extranonce, version, job.time, chance.number() as u32);
    let (target, network) = (job.target, job.network_target());
    let is_wanted = |hash| match find.quality {
        Quality::Block => network.is_met_by(hash),
        Quality::Share => target.is_met_by(hash) && !network.is_met_by(hash),
        Quality::Low => !target.is_met_by(hash),
    };
    while !is_wanted(header.block_hash()) {
        header.nonce = header.nonce.wrapping_add(1);
    }
    let mut job_id = job.id;
    match find.flaw {
        Flaw::None => {}
        Flaw::ShortExtranonce => extranonce.truncate(7),
        Flaw::UnknownJob => job_id ^= 0x4000_0000,
    }
    Nonce {
        job_id,
        extranonce,
        header,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// What a share earns, why it earns nothing, and the bytes of the block that it makes do not depend
    /// on the protocol by which it came; nor does what its client is told.
    #[test]
    fn the_same_header_gets_the_same_verdict(
        steps in proptest::collection::vec(step(), 1..60), asked: u32, seed: u64,
    ) {
        let rung = Rung::from_exponent(RUNG);
        let settings = PoolSettings {
            seed,
            bits: BITS,
            difficulty: DifficultySettings { start: rung, min: rung, max: rung, ..Default::default() },
            ..PoolSettings::default()
        };
        let user = address(1).to_string();
        let mut sides = [Some(asked), None].map(|mask| Side::new(&settings, &user, mask));
        let mask = asked & 0x1fff_e000;
        let mut chance = Chance::new(seed);
        let mut found: Vec<Nonce> = Vec::new();
        for step in &steps {
            let [v1, v2] = sides.each_ref().map(Side::jobs);
            prop_assert_eq!(&v1, &v2, "the same jobs");
            let nonce = match step {
                Step::Share(find) => {
                    let job = v1.iter().rev().nth(find.job % v1.len()).expect("in range");
                    // As the pool knows it: since the present template.
                    let now = sides[0].pool.work().clock.at(sides[0].pool.now).as_secs();
                    Some(mine(find, job, mask, now, &mut chance))
                }
                Step::Again(back) => found.iter().rev().nth(*back).cloned(),
                _ => {
                    sides.iter_mut().for_each(|side| side.take(step));
                    None
                }
            };
            if let Some(nonce) = nonce {
                sides.iter_mut().for_each(|side| side.submit(&user, &nonce));
                found.push(nonce);
            }
        }
        sides.iter_mut().for_each(|side| side.pool.advance(200 * MILLISECOND));
        let [v1, v2] = sides.each_ref().map(Side::verdicts);
        prop_assert_eq!(v1, v2);
        let [v1, v2] = sides.each_ref().map(Side::told);
        prop_assert_eq!(v1, v2);
        prop_assert_eq!(v1.0 + v1.1, found.len(), "each share is answered");
    }
}
