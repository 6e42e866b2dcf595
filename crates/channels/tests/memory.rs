//! What the channels of one connection remember together.

mod support;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use headframe_channels::{
    Channel, ChannelKind, JobId, MemoryBudget, RejectReason, Share, ShareVerdict,
};
use headframe_work::{Rung, UnixTime};
use proptest::prelude::*;
use support::TIME;

/// Nearly every hash is a share, and none a block.
const SHARES: u32 = 0x1703_4219;
/// Every second hash is a block.
const BLOCKS: u32 = 0x207f_ffff;

#[derive(Debug, Clone)]
enum Step {
    /// A share of one of the last jobs of a channel.
    Share {
        channel: usize,
        back: u32,
        nonce: u32,
    },
    /// Another job for a channel.
    Job(usize),
    /// Another tip, for all.
    Tip,
    /// A channel is closed, and another one opened.
    Reopen(usize),
}

fn step(channels: usize) -> impl Strategy<Value = Step> {
    let share = (0..channels, 0_u32..4, 0_u32..40);
    let share = share.prop_map(|(channel, back, nonce)| Step::Share {
        channel,
        back,
        nonce,
    });
    prop_oneof![
        60 => share,
        4 => (0..channels).prop_map(Step::Job),
        1 => Just(Step::Tip),
        1 => (0..channels).prop_map(Step::Reopen),
    ]
}

/// The channels of a connection, as a session keeps them.
struct Connection {
    budget: MemoryBudget,
    channels: Vec<Channel>,
    /// Whether it makes room when there is none, as sessions do, or leaves that to the jobs.
    makes_room: bool,
    tip: u8,
    bits: u32,
    next_job: u32,
    now: Instant,
    credited: HashSet<(u32, u32)>,
}

impl Connection {
    fn new(channels: usize, shares: usize, bits: u32, makes_room: bool) -> Self {
        let budget = MemoryBudget::of_shares(shares);
        let open = |_| support::drawing_from(ChannelKind::Standard, &budget);
        let mut connection = Self {
            channels: (0..channels).map(open).collect(),
            budget,
            makes_room,
            tip: 0,
            bits,
            next_job: 1,
            now: Instant::now(),
            credited: HashSet::new(),
        };
        connection.change_tip();
        connection
    }

    fn take(&mut self, step: &Step) {
        self.now += Duration::from_millis(100);
        match *step {
            Step::Share {
                channel,
                back,
                nonce,
            } => {
                let newest = self.newest(channel).get();
                self.submit(channel, newest.saturating_sub(back).max(1), nonce);
            }
            Step::Job(channel) => self.send(channel),
            Step::Tip => self.change_tip(),
            Step::Reopen(channel) => {
                self.channels[channel] = support::drawing_from(ChannelKind::Standard, &self.budget);
                self.send(channel);
            }
        }
    }

    fn change_tip(&mut self) {
        self.tip = self.tip.wrapping_add(1);
        (0..self.channels.len()).for_each(|channel| self.send(channel));
    }

    fn send(&mut self, channel: usize) {
        let job = support::job(
            &support::template(self.tip, self.bits, 0),
            self.next_job,
            12,
        );
        let terms = support::terms(self.next_job, Rung::EASIEST, self.now);
        self.channels[channel].send_job(terms, &job);
        self.next_job += 1;
    }

    fn newest(&self, channel: usize) -> JobId {
        let job = self.channels[channel].newest_job();
        job.expect("each channel has a job").id()
    }

    /// Whether the share is credited. None is twice, and the budget is never exceeded.
    fn submit(&mut self, channel: usize, job: u32, nonce: u32) -> bool {
        let is_credited = self.judge(channel, job, nonce).credit().is_ok();
        if self.makes_room && self.budget.is_used_up() {
            self.budget.make_room(self.channels.iter_mut());
            assert!(!self.budget.is_used_up());
        }
        if is_credited {
            assert!(self.credited.insert((job, nonce)), "credited twice");
        }
        is_credited
    }

    fn judge(&mut self, channel: usize, job: u32, nonce: u32) -> ShareVerdict {
        let share = Share {
            job_id: JobId::new(job).expect("not 0"),
            version: 0x2000_0000,
            time: UnixTime::from_secs(TIME),
            nonce,
            extranonce: &[],
        };
        self.channels[channel].judge(self.now, &share)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_budget_holds_and_no_share_is_credited_twice(
        steps in prop::collection::vec(step(4), 1..600),
        shares in 4_usize..60,
        is_easy: bool,
        makes_room: bool,
    ) {
        let bits = if is_easy { BLOCKS } else { SHARES };
        let mut connection = Connection::new(4, shares, bits, makes_room);
        for step in &steps {
            connection.take(step);
            prop_assert!(connection.budget.remembered() <= shares);
            // Whoever has lost his newest job gets another, and is credited again.
            for channel in 0..4 {
                if connection.channels[channel].needs_job() {
                    connection.send(channel);
                    let job = connection.newest(channel).get();
                    prop_assert!((1_000..1_100).any(|nonce| connection.submit(channel, job, nonce)));
                }
            }
            prop_assert!(connection.budget.remembered() <= shares);
        }
        connection.channels.clear();
        prop_assert_eq!(connection.budget.remembered(), 0, "what is forgotten is given back");
    }
}

/// The shares of one greedy channel cost another one nothing that is newer.
#[test]
fn the_oldest_jobs_go_first() {
    let mut connection = Connection::new(3, 400, SHARES, true);
    let old: Vec<u32> = (0..3).map(|it| connection.newest(it).get()).collect();
    assert!(connection.submit(0, old[0], 7) && connection.submit(1, old[1], 7));
    connection.now += Duration::from_secs(1);
    (0..2).for_each(|channel| connection.send(channel));
    let new = connection.newest(0).get();
    assert!(connection.submit(0, new, 7));
    for nonce in 0..500 {
        connection.submit(2, old[2], nonce);
    }
    let mut states = HashMap::new();
    for (channel, job) in [(0, old[0]), (1, old[1]), (0, new)] {
        states.insert(job, connection.submit(channel, job, 8));
    }
    assert_eq!(
        states,
        HashMap::from([(old[0], false), (old[1], false), (new, true)])
    );
    assert!(!connection.channels[0].needs_job() && !connection.channels[1].needs_job());
    assert!(
        connection.channels[2].needs_job(),
        "the greedy one is given another"
    );
}

/// A block that there is no room to remember goes to the node all the same, and earns once.
#[test]
fn blocks_without_end_are_all_handed_over() {
    let mut connection = Connection::new(1, 1 << 16, BLOCKS, true);
    let job = connection.newest(0).get();
    let blocks = (0..40_000)
        .filter(|nonce| matches!(connection.judge(0, job, *nonce), ShareVerdict::Block(..)));
    let blocks: Vec<u32> = blocks.take(5_000).collect();
    let (first, last) = (blocks[0], blocks[4_999]);
    assert!(connection.channels[0].needs_job());
    assert!(connection.judge(0, job, first).credit().is_err());
    let again = connection.judge(0, job, last);
    assert!(matches!(again, ShareVerdict::Block(_, Err(_))), "{again:?}");
}

/// As many channels as a connection may have, with a job every 30 s, and a thousand with one every ten
/// seconds, which is as often as a pool sends one of itself: whatever was replaced less than two minutes
/// ago is credited.
#[test]
fn jobs_are_creditable_for_two_minutes() {
    for (channels, every) in [(10_000, 30), (1_000, 10)] {
        let budget = MemoryBudget::default();
        let template = support::template(1, SHARES, 0);
        let began = Instant::now();
        let mut channels: Vec<Channel> = (0..channels)
            .map(|_| support::drawing_from(ChannelKind::Extended, &budget))
            .collect();
        let jobs = 600 / every;
        let sent = |id: u32| began + Duration::from_secs(u64::from(id * every));
        for id in 1..=jobs {
            let job = support::job(&template, id, 12);
            for channel in &mut channels {
                channel.send_job(support::terms(id, Rung::EASIEST, sent(id)), &job);
            }
        }
        let now = sent(jobs) + Duration::from_secs(u64::from(every) - 1);
        let is_young = |id: &u32| now - sent(id + 1) < Duration::from_secs(120);
        let young: Vec<u32> = (1..jobs).filter(is_young).collect();
        assert!(young.len() >= 4, "{young:?}");
        for id in young {
            let share = Share {
                job_id: JobId::new(id).expect("not 0"),
                version: 0x2000_0000,
                time: UnixTime::from_secs(TIME),
                nonce: 0,
                extranonce: &[0; 8],
            };
            let mut verdicts = channels.iter_mut().map(|it| it.judge(now, &share).credit());
            let is_known =
                |verdict| !matches!(verdict, Err(RejectReason::UnknownJob | RejectReason::Stale));
            assert!(verdicts.all(is_known), "job {id} of {jobs}");
        }
    }
}

/// A connection of very many jobs remembers few for each channel.
#[test]
fn in_a_crowd_each_channel_has_few_jobs() {
    let budget = MemoryBudget::default();
    let template = support::template(1, SHARES, 0);
    let now = Instant::now();
    let mut channels: Vec<Channel> = (0..1_000)
        .map(|_| support::drawing_from(ChannelKind::Extended, &budget))
        .collect();
    for id in 1..=120 {
        let job = support::job(&template, id, 12);
        for channel in &mut channels {
            channel.send_job(support::terms(id, Rung::EASIEST, now), &job);
        }
    }
    let known = |channel: &Channel| {
        let ids = (1..=120).filter_map(JobId::new);
        ids.filter(|id| channel.job(*id).is_some()).count()
    };
    let total: usize = channels.iter().map(known).sum();
    assert!(total <= (1 << 16) + 4 * channels.len(), "{total}");
    assert!(channels.iter().all(|channel| known(channel) >= 4));
}
