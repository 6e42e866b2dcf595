//! A connection that has used up its memory. Its budget is small here, so that a few shares do.

use std::sync::Arc;
use std::time::Duration;

use headframe_channels::MemoryBudget;
use headframe_sv2_wire::{Frame, U256};
use headframe_testkit::{Chain, Chance, Device, Sv2Miner, address, fixed_difficulty};
use headframe_work::{Imprint, Network, PayoutPolicy, PoolTag, Rung};

use super::*;
use crate::server::{Hub, JobIds, NewTemplate, PoolRules, Sv2Rules};

/// The network asks for more than any test finds.
const HARD: u32 = 0x1d00_ffff;
const BUDGET: usize = 8;

struct Bench {
    now: Instant,
    hub: Hub,
    session: Sv2Session,
    miner: Sv2Miner,
    chance: Chance,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let rules = Arc::new(PoolRules {
            payouts: PayoutPolicy {
                network: Network::Regtest,
                fee: None,
                plain_names: None,
            },
            imprint: Imprint {
                tag: PoolTag::new("test").expect("short"),
                process: [1; 4],
            },
            difficulty: fixed_difficulty(Rung::EASIEST.exponent()),
            ignores_suggestions: false,
            job_ids: JobIds::new(1),
            sv2: Sv2Rules::default(),
            password: None,
        });
        let mut hub = Hub::new(rules.job_ids.clone(), 0);
        let template = Chain::new(1, HARD, 1).shared_template();
        let earliest = template.min_time;
        let new = NewTemplate {
            template,
            received: now,
            earliest,
            latest: None,
        };
        let work = hub.handle_template(now, new).expect("a good template");
        let mut session = Sv2Session::new(rules, work, now);
        session.desk.budget = MemoryBudget::of_shares(BUDGET);
        let mut miner = Sv2Miner::default();
        miner.set_up(0);
        Self {
            now,
            hub,
            session,
            miner,
            chance: Chance::new(1),
        }
    }

    fn open(&mut self) -> u32 {
        let user = address(1).to_string();
        self.miner.open_extended(&user, 50.0, U256::MAX, 8);
        self.pump();
        *self.miner.opened.last().expect("it is opened")
    }

    fn pump(&mut self) {
        for bytes in self.miner.take_output() {
            if self.session.wants_prefix() {
                let prefix = self.hub.lease_prefix().expect("there are many");
                self.session.add_prefix(prefix);
            }
            let (frame, _) = Frame::split(&bytes).expect("whole frames");
            let taken = self.session.handle_frame(self.now, frame);
            taken.expect("nothing is wrong");
        }
        if self.session.poll_timeout().is_some_and(|at| at <= self.now) {
            self.session
                .handle_timeout(self.now)
                .expect("it has channels");
        }
        let (miner, now) = (&mut self.miner, self.now);
        self.session.drain_output(|frame| miner.receive(now, frame));
    }

    /// Submits a share of the newest job that the miner knows; why it is rejected.
    fn mine(&mut self, channel: u32) -> Option<String> {
        let job = self.miner.channels[&channel].job();
        let nonce = job.mine(&mut self.chance, job.target);
        let sequence = self.miner.submit(channel, &nonce);
        self.now += Duration::from_millis(100);
        self.pump();
        assert!(self.session.desk.budget.remembered() <= BUDGET);
        self.miner.rejection(sequence).map(str::to_owned)
    }
}

/// what is remembered by all channels is bounded; the job that was sent first is retired, and the
/// miner whose newest it was has another one at once.
#[test]
fn a_connection_s_memory_is_bounded_and_whoever_loses_his_job_gets_another() {
    let mut bench = Bench::new();
    let quiet = bench.open();
    bench.now += Duration::from_secs(2);
    let greedy = bench.open();
    bench.now += Duration::from_secs(2);
    for _ in 0..3 {
        assert_eq!(bench.mine(quiet), None);
    }
    let jobs = |bench: &Bench, channel| {
        let ids = bench.miner.channels[&channel].jobs.iter();
        ids.map(|job| job.id).collect::<Vec<_>>()
    };
    let first = jobs(&bench, quiet);
    // With the eighth the budget is used up.
    for _ in 0..5 {
        assert_eq!(bench.mine(greedy), None);
    }
    assert_eq!(jobs(&bench, greedy).len(), 1, "his is the newer one");
    let second = jobs(&bench, quiet);
    assert!(second.len() > first.len(), "the other one has another job");
    assert_eq!(bench.mine(quiet), None);
    for _ in 0..100 {
        for channel in [quiet, greedy] {
            assert_eq!(bench.mine(channel), None, "with nobody's harm");
            bench.now += Duration::from_secs(1);
        }
    }
}
