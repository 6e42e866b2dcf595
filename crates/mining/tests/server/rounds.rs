//! Many channels on one connection: all are told a tip at once, and get their jobs a few at a time, while
//! shares are judged and channels come and go.

use std::collections::BTreeSet;

use headframe_mining::server::{Hub, SessionEvent, Sv2Session};
use headframe_sv2_wire::{Frame, U256};
use headframe_testkit::{Chance, Device, Pool, PoolSettings, Server, address};
use proptest::prelude::*;

use crate::{MILLISECOND, STANDARD_JOBS, share};

/// Jobs go to no more channels at a time.
const AT_ONCE: usize = 64;
const LINK: usize = 0;

/// A client of standard jobs with so many channels, each with a payout of its own, that hold the next
/// tip's job.
fn with_many(channels: u64) -> Pool {
    let mut pool = Pool::new(&PoolSettings::default());
    assert_eq!(pool.connect_sv2(), LINK);
    pool.sv2[LINK].miner.set_up(STANDARD_JOBS);
    for user in 1..=channels {
        open(&mut pool, user);
    }
    pool.pump();
    pool.advance(2_000 * MILLISECOND);
    let miner = &pool.sv2[LINK].miner;
    assert_eq!(miner.channels.len() as u64, channels);
    assert!(miner.channels.values().all(|it| it.future.len() == 1));
    pool
}

fn open(pool: &mut Pool, user: u64) {
    let user = format!("{}.rig", address(user));
    pool.sv2[LINK].miner.open_standard(&user, 0.0, U256::MAX);
}

/// Another block: what is staged for it, if anything is, and at once the full work.
fn begin_tip(pool: &mut Pool) {
    pool.chain.advance();
    let new = pool.node_template();
    let start = pool.hub.begin_tip(pool.now, &new);
    let full = pool
        .hub
        .handle_template(pool.now, new)
        .expect("a good template");
    for work in start.into_iter().chain([full]) {
        pool.sv2[LINK].session.handle_work(pool.now, &work);
    }
    exchange(pool);
}

/// The first channels that wait for jobs get theirs.
fn send_some(pool: &mut Pool) {
    assert!(pool.sv2[LINK].session.has_more(pool.now));
    pool.sv2[LINK].session.send_some(pool.now);
    exchange(pool);
}

fn send_all(pool: &mut Pool) {
    while pool.sv2[LINK].session.has_more(pool.now) {
        send_some(pool);
    }
}

/// Carries what both sides have to say, and does nothing else that is due.
fn exchange(pool: &mut Pool) {
    let (now, link) = (pool.now, &mut pool.sv2[LINK]);
    loop {
        for input in link.miner.take_output() {
            while link.session.wants_prefix() {
                let prefix = pool.hub.lease_prefix().expect("2^32 are enough");
                link.session.add_prefix(prefix);
            }
            link.miner.forget(&input);
            let (frame, _) = Frame::split(&input).expect("a whole frame");
            link.session
                .handle_frame(now, frame)
                .expect("nothing wrong");
        }
        take_events(&mut link.session, &mut pool.hub);
        let bytes = link.session.output();
        if bytes.is_empty() {
            return;
        }
        link.miner.receive(now, &bytes);
    }
}

/// The ledger commits each share at once.
fn take_events(session: &mut Sv2Session, hub: &mut Hub) {
    while let Some(event) = session.poll_event() {
        match event {
            SessionEvent::PrefixReturned(prefix) => hub.give_back_prefix(prefix),
            SessionEvent::Share(share) => session.handle_committed(share.sequence),
            _ => {}
        }
    }
}

fn heard_since(pool: &Pool, from: usize) -> Vec<String> {
    pool.sv2[LINK].miner.transcript[from..].to_vec()
}

fn channels(pool: &Pool) -> BTreeSet<u32> {
    pool.sv2[LINK].miner.channels.keys().copied().collect()
}

/// The channels whose newest job is the pool's present work.
fn served(pool: &Pool) -> BTreeSet<u32> {
    let job_id = pool.work().job_id.get();
    let channels = pool.sv2[LINK].miner.channels.values();
    let served = channels.filter(|channel| channel.job().id == job_id);
    served.map(|channel| channel.id).collect()
}

/// A good share of the newest job of a channel.
fn submit(pool: &mut Pool, channel: u32, seed: u64) -> Option<String> {
    let nonce = share(pool, LINK, channel, seed);
    let sequence = pool.sv2[LINK].miner.submit(channel, &nonce);
    exchange(pool);
    let rejection = pool.sv2[LINK].miner.rejection(sequence);
    rejection.map(str::to_owned)
}

#[test]
fn all_know_the_tip_before_any_has_its_job() {
    let mut pool = with_many(200);
    let before = heard_since(&pool, 0).len();
    begin_tip(&mut pool);
    let tips = heard_since(&pool, before);
    let told: BTreeSet<String> = tips.iter().cloned().collect();
    let all = channels(&pool);
    assert_eq!((tips.len(), told.len()), (200, 200));
    assert!(
        all.iter()
            .all(|id| told.contains(&format!("SetNewPrevHash {id}")))
    );
    for round in 1.. {
        send_some(&mut pool);
        assert_eq!(served(&pool).len(), (round * AT_ONCE).min(200));
        if !pool.sv2[LINK].session.has_more(pool.now) {
            break;
        }
    }
    assert_eq!(served(&pool), all);
    assert_eq!(heard_since(&pool, before).len(), 400, "one job each");
}

#[test]
fn shares_of_both_jobs_are_good_meanwhile() {
    let mut pool = with_many(100);
    begin_tip(&mut pool);
    send_some(&mut pool);
    let served = served(&pool);
    let waiting = *channels(&pool).difference(&served).next().unwrap();
    for channel in [*served.first().unwrap(), waiting] {
        assert_eq!(submit(&mut pool, channel, 1), None);
    }
}

/// Nobody is given a job of the block before, once there is another.
#[test]
fn a_tip_overtakes_the_jobs_of_the_last() {
    let mut pool = with_many(100);
    begin_tip(&mut pool);
    send_some(&mut pool);
    let overtaken = pool.work().job_id.get();
    let had = served(&pool);
    begin_tip(&mut pool);
    send_all(&mut pool);
    let all = channels(&pool);
    assert_eq!(served(&pool), all);
    let jobs = pool.sv2[LINK].miner.channels.values();
    let given = jobs.filter(|channel| channel.job_ids.contains(&overtaken));
    assert_eq!(
        given.map(|channel| channel.id).collect::<BTreeSet<_>>(),
        had
    );
}

/// The next tip's jobs are sent ahead in the same way, though channels are opened without end.
#[test]
fn everybody_s_turn_to_stage_comes() {
    let mut pool = with_many(200);
    begin_tip(&mut pool);
    send_all(&mut pool);
    for user in 1_000.. {
        let unstaged = |pool: &Pool| {
            let channels = pool.sv2[LINK].miner.channels.values();
            channels
                .filter(|it| it.future.is_empty() && it.id <= 400)
                .count()
        };
        if unstaged(&pool) == 0 {
            break;
        }
        assert!(user < 1_010, "{} wait for ever", unstaged(&pool));
        pool.now += 1_000 * MILLISECOND;
        if pool.sv2[LINK].session.has_more(pool.now) {
            send_some(&mut pool);
        }
        open(&mut pool, user);
        exchange(&mut pool);
    }
}

/// Something that happens while channels wait for jobs.
#[derive(Debug, Clone, Copy)]
enum Step {
    Jobs,
    Tip,
    Pass,
    Open(u64),
    Close(usize),
    Share(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Jobs),
        2 => Just(Step::Tip),
        1 => Just(Step::Pass),
        2 => (1u64..400).prop_map(Step::Open),
        2 => any::<usize>().prop_map(Step::Close),
        3 => any::<usize>().prop_map(Step::Share),
    ]
}

fn any_channel(pool: &Pool, index: usize) -> u32 {
    let all = channels(pool);
    *all.iter().nth(index % all.len()).expect("some stay open")
}

fn take(pool: &mut Pool, step: Step, chance: &mut Chance) {
    match step {
        Step::Jobs if pool.sv2[LINK].session.has_more(pool.now) => send_some(pool),
        Step::Jobs => {}
        Step::Tip => begin_tip(pool),
        Step::Pass => pool.now += 400 * MILLISECOND,
        Step::Open(user) => open(pool, user),
        Step::Close(index) => {
            let channel = any_channel(pool, index);
            pool.sv2[LINK].miner.close(channel);
        }
        Step::Share(index) => {
            let channel = any_channel(pool, index);
            // Whoever was not told of a tip yet works on the last one in good faith.
            assert_eq!(submit(pool, channel, chance.number()), None);
        }
    }
    exchange(pool);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The scripted miner checks each message: no id twice on a channel, each tip to the id of its job.
    #[test]
    fn nobody_is_forgotten(steps in proptest::collection::vec(step(), 1..60), seed: u64) {
        let mut pool = with_many(150);
        let mut chance = Chance::new(seed);
        for step in steps {
            take(&mut pool, step, &mut chance);
        }
        send_all(&mut pool);
        let served = served(&pool);
        let is_forgotten = |id: &&u32| !served.contains(id);
        prop_assert_eq!(channels(&pool).iter().filter(is_forgotten).count(), 0);
    }
}
