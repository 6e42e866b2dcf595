//! Timers move on, whatever happens in whatever order.

use std::time::Duration;

use headframe_sv2_wire::U256;
use headframe_testkit::{Chance, Pool, PoolSettings, address};
use proptest::prelude::*;

use crate::MILLISECOND;

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Template,
    Tip,
    Refresh,
    Share(usize),
    Garbage(usize),
    Open(bool, u64),
    Close(usize),
    Update(usize, i32),
    Suggest(i32),
    Ledger(Option<u64>),
    Bits(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..20_000).prop_map(Step::Pass),
        2 => (0u64..200).prop_map(Step::Pass),
        1 => Just(Step::Template),
        1 => Just(Step::Tip),
        1 => Just(Step::Refresh),
        6 => any::<usize>().prop_map(Step::Share),
        1 => any::<usize>().prop_map(Step::Garbage),
        2 => (any::<bool>(), 1u64..4).prop_map(|(extended, user)| Step::Open(extended, user)),
        1 => any::<usize>().prop_map(Step::Close),
        2 => (any::<usize>(), 0i32..20).prop_map(|(index, rate)| Step::Update(index, rate)),
        1 => (-20i32..20).prop_map(Step::Suggest),
        1 => proptest::option::of(0u64..300).prop_map(Step::Ledger),
        1 => any::<bool>().prop_map(Step::Bits),
    ]
}

fn channel(pool: &Pool, index: usize) -> Option<u32> {
    let channels = &pool.sv2[0].miner.channels;
    channels.keys().nth(index % channels.len().max(1)).copied()
}

fn take(pool: &mut Pool, step: Step, chance: &mut Chance) {
    match step {
        Step::Pass(time) => pool.advance(Duration::from_millis(time)),
        Step::Template => pool.new_template(),
        Step::Tip => pool.new_tip(),
        Step::Refresh => pool.refresh(),
        Step::Share(index) => {
            if let Some(id) = channel(pool, index) {
                let job = pool.sv2[0].miner.channels[&id].job();
                let easiest = job.target.max(bitcoin::Target::from_be_bytes({
                    let mut bytes = [0xff; 32];
                    bytes[0] = 0x0f;
                    bytes
                }));
                let nonce = job.mine(chance, easiest);
                pool.sv2[0].miner.submit(id, &nonce);
            }
            if let Some(job) = pool.sv1[0].miner.jobs.last() {
                let nonce = job.mine(chance, bitcoin::Target::from_be_bytes([0xff; 32]));
                pool.sv1[0].miner.submit(&address(1).to_string(), &nonce);
            }
        }
        Step::Garbage(index) => {
            let lines = [
                "{}",
                "[]",
                r#"{"id":1}"#,
                r#"{"id":1,"method":"mining.submit","params":[1]}"#,
            ];
            pool.sv1[0].miner.send(lines[index % lines.len()]);
        }
        Step::Open(true, user) => {
            pool.sv2[0]
                .miner
                .open_extended(&address(user).to_string(), 0.0, U256::MAX, 2);
        }
        Step::Open(false, user) => {
            pool.sv2[0]
                .miner
                .open_standard(&address(user).to_string(), 2e13, U256::MAX);
        }
        Step::Close(index) => {
            if let Some(id) = channel(pool, index) {
                pool.sv2[0].miner.close(id);
            }
        }
        Step::Update(index, rate) => {
            if let Some(id) = channel(pool, index) {
                pool.sv2[0].miner.update(id, 10f32.powi(rate), U256::MAX);
            }
        }
        Step::Suggest(exponent) => pool.sv1[0].miner.send(&format!(
            r#"{{"id":2,"method":"mining.suggest_difficulty","params":[{}]}}"#,
            2f64.powi(exponent)
        )),
        Step::Ledger(after) => pool.commit_after = after.map(Duration::from_millis),
        Step::Bits(is_regtest) => {
            pool.chain.bits = if is_regtest { 0x207f_ffff } else { 0x1d00_ffff };
        }
    }
    pool.pump();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// After `handle_timeout` at `poll_timeout` the timer is later than before: the simulated pool
    /// checks it at each step, and would not come to its end otherwise. The scripted miners check
    /// what they are sent.
    #[test]
    fn timers_move_on(steps in proptest::collection::vec(step(), 1..60), logs_in in any::<bool>(), seed: u64) {
        let mut pool = Pool::new(&PoolSettings { seed, transactions: 0, ..PoolSettings::default() });
        pool.connect_sv2();
        pool.connect_sv1();
        pool.sv2[0].miner.set_up(0);
        if logs_in {
            pool.sv1[0].miner.log_in(&address(1).to_string());
        }
        let mut chance = Chance::new(seed);
        for step in steps {
            take(&mut pool, step, &mut chance);
        }
        pool.advance(1_000 * MILLISECOND);
    }
}
