//! Whose coinbase.

use std::collections::BTreeMap;

use headframe_testkit::{Chance, Pool, PoolSettings, address};
use proptest::prelude::*;

use crate::{MILLISECOND, open};

#[derive(Debug, Clone)]
enum Step {
    Open { is_extended: bool, user: u64 },
    Close(usize),
    NewTip,
    NewTemplate,
    Refresh,
    Update(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 1u64..5).prop_map(|(is_extended, user)| Step::Open { is_extended, user }),
        1 => any::<usize>().prop_map(Step::Close),
        1 => Just(Step::NewTip),
        1 => Just(Step::NewTemplate),
        1 => Just(Step::Refresh),
        1 => any::<usize>().prop_map(Step::Update),
    ]
}

fn pick(channels: &BTreeMap<u32, u64>, index: usize) -> Option<u32> {
    channels.keys().nth(index % channels.len().max(1)).copied()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// with mixed addresses on one connection, every job that a channel is sent pays that
    /// channel's user and nobody else. An extended job is read as it stands on the wire; of a
    /// standard job only the root is, so it is the block found on it that is read.
    #[test]
    fn every_job_pays_its_channel_s_user(steps in proptest::collection::vec(step(), 1..40)) {
        let mut pool = Pool::new(&PoolSettings { bits: headframe_testkit::REGTEST_BITS, ..PoolSettings::default() });
        let link = pool.connect_sv2();
        pool.sv2[link].miner.set_up(0);
        let mut users = BTreeMap::new();
        for step in steps {
            match step {
                Step::Open { is_extended, user } => {
                    let id = open(&mut pool, link, is_extended, user);
                    users.insert(id, user);
                }
                Step::Close(index) => if let Some(id) = pick(&users, index) {
                    pool.sv2[link].miner.close(id);
                    users.remove(&id);
                    pool.pump();
                },
                Step::NewTip => pool.new_tip(),
                Step::NewTemplate => pool.new_template(),
                Step::Refresh => pool.refresh(),
                Step::Update(index) => if let Some(id) = pick(&users, index) {
                    pool.sv2[link].miner.update(id, 1e3, headframe_sv2_wire::U256::MAX);
                    pool.advance(1_000 * MILLISECOND);
                },
            }
        }
        for (id, user) in users {
            let script = address(user).script_pubkey();
            let jobs = pool.sv2[link].miner.channels[&id].jobs.clone();
            for job in &jobs {
                let rolled = vec![0; pool.sv2[link].miner.channels[&id].extranonce_size];
                if let Some(coinbase) = job.coinbase(&rolled) {
                    let paid: Vec<_> = coinbase.output.iter().filter(|out| out.value.to_sat() > 0).collect();
                    prop_assert_eq!(paid.len(), 1);
                    prop_assert_eq!(&paid[0].script_pubkey, &script);
                }
            }
            let nonce = jobs.last().unwrap().mine(&mut Chance::new(user), jobs[0].network_target());
            pool.sv2[link].miner.submit(id, &nonce);
            pool.pump();
            let block = pool.sv2[link].blocks().pop().unwrap();
            prop_assert_eq!(block.header, nonce.header);
            prop_assert_eq!(&block.txdata[0].output[0].script_pubkey, &script);
        }
    }
}

/// a plain name is the operator's, where he serves such names.
#[test]
fn a_plain_name_pays_the_operator() {
    let mut pool = Pool::new(&PoolSettings::default());
    let link = pool.connect_sv2();
    pool.sv2[link].miner.set_up(0);
    pool.sv2[link]
        .miner
        .open_extended("somebody", 0.0, headframe_sv2_wire::U256::MAX, 2);
    pool.pump();
    let coinbase = pool.sv2[link].miner.channels[&1]
        .job()
        .coinbase(&[0; 8])
        .unwrap();
    assert_eq!(coinbase.output[0].script_pubkey, address(0).script_pubkey());
}

/// an SV1 connection has one payout. Another worker of the same address is a label; another
/// address is refused, with the reason.
#[test]
fn a_stratum_v1_connection_pays_one_address() {
    let mut pool = Pool::new(&PoolSettings::default());
    let link = pool.connect_sv1();
    let (first, second) = (address(1), address(2));
    pool.sv1[link].miner.log_in(&format!("{first}.a"));
    let miner = &mut pool.sv1[link].miner;
    miner.authorize("label", &format!("{first}.b"));
    miner.authorize("other", &format!("{second}.a"));
    pool.advance(100 * MILLISECOND);
    let miner = &pool.sv1[link].miner;
    assert!(miner.is_granted("auth") && miner.is_granted("label"));
    let (code, text) = miner.replies["other"].clone().unwrap();
    assert_eq!(code, 24);
    assert!(text.contains(&first.to_string()), "{text}");
    let coinbase = miner.job().coinbase(&[0; 8]).unwrap();
    assert_eq!(coinbase.output[0].script_pubkey, first.script_pubkey());
}
