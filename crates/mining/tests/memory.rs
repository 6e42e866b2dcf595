//! A hundred thousand channels are opened, mine and are closed, and the memory is what it was.
//!
//! Every byte that is allocated is counted, so the test runs alone in its binary.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_mining::server::{
    Hub, JobIds, NewTemplate, PoolRules, SessionEvent, Sv2Rules, Sv2Session,
};
use headframe_sv2_wire::common::SetupConnection;
use headframe_sv2_wire::mining::{
    CloseChannel, MiningMessage, OpenStandardMiningChannel, SubmitSharesStandard,
};
use headframe_sv2_wire::{
    Frame, Incoming, Message, Protocol, Str255, U256, codes, try_write_frame,
};
use headframe_testkit::{Chain, CountingAllocator, Server, address, fixed_difficulty};
use headframe_work::{Imprint, Network, PayoutPolicy, PoolTag, Rung};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Channels that are open at a time, and how often all of them are closed.
const CHANNELS: u64 = 500;
const ROUNDS: u64 = 200;
/// So many of them have one payout.
const CHANNELS_OF_ONE: u64 = 5;
/// Rounds after which what is kept for ever has its size.
const SETTLED: u64 = 20;
/// So many rounds share a connection. The others are lost with their channels open.
const ROUNDS_OF_ONE: u64 = 40;
/// A quarter of what one round's channels take at least: no more is ever left, however many rounds.
const SLACK: i64 = 100_000;

/// A pool and a client that remembers nothing.
struct Farm {
    now: Instant,
    hub: Hub,
    rules: Arc<PoolRules>,
    chain: Chain,
    session: Sv2Session,
    accepted: u64,
}

impl Farm {
    fn new() -> Self {
        let rules = Arc::new(PoolRules {
            payouts: PayoutPolicy {
                network: Network::Regtest,
                fee: None,
                plain_names: None,
            },
            imprint: Imprint {
                tag: PoolTag::new("/memory/").unwrap(),
                process: [1, 2, 3, 4],
            },
            difficulty: fixed_difficulty(Rung::EASIEST.exponent()),
            ignores_suggestions: false,
            job_ids: JobIds::new(1),
            sv2: Sv2Rules::default(),
            password: None,
        });
        let (mut hub, mut chain) = (
            Hub::new(rules.job_ids.clone(), 7),
            Chain::new(1, 0x1b00_ffff, 3),
        );
        let now = Instant::now();
        let work = hub.handle_template(now, template(&mut chain, now)).unwrap();
        Self {
            session: Sv2Session::new(Arc::clone(&rules), work, now),
            now,
            hub,
            rules,
            chain,
            accepted: 0,
        }
    }

    /// All channels are opened, a tip and its jobs come, each mines a share, and all are closed.
    fn round(&mut self, number: u64) {
        if number.is_multiple_of(ROUNDS_OF_ONE) {
            self.reconnect();
        }
        for channel in 0..CHANNELS {
            let owner = number * CHANNELS + channel / CHANNELS_OF_ONE;
            let user = format!("{}.rig{channel}", address(owner));
            self.send(&OpenStandardMiningChannel {
                request_id: 1,
                user_identity: Str255::new(&user).unwrap(),
                nominal_hash_rate: 1e3,
                max_target: U256::MAX,
            });
        }
        self.answers();
        self.chain.advance();
        let new = template(&mut self.chain, self.now);
        let work = self.hub.handle_template(self.now, new).unwrap();
        Server::handle_work(&mut self.session, self.now, &work);
        let tips = self.answers();
        assert_eq!(tips.len() as u64, CHANNELS);
        for &(channel_id, job_id) in &tips {
            self.send(&SubmitSharesStandard {
                channel_id,
                sequence_number: 1,
                job_id,
                nonce: 0,
                ntime: work.time(self.now).as_secs(),
                version: 0x2000_0000,
            });
        }
        self.session.handle_committed(u64::MAX);
        self.now += Duration::from_secs(2);
        self.session.handle_timeout(self.now).unwrap();
        self.answers();
        // The last round of a connection ends with it.
        if !(number + 1).is_multiple_of(ROUNDS_OF_ONE) {
            for (channel_id, _) in tips {
                self.send(&CloseChannel {
                    channel_id,
                    reason_code: codes::Code::new("done").unwrap(),
                });
            }
            self.answers();
        }
    }

    fn reconnect(&mut self) {
        self.session.handle_closed(self.now);
        self.take_events();
        let work = Arc::clone(self.hub.work().unwrap());
        self.session = Sv2Session::new(Arc::clone(&self.rules), work, self.now);
        let word = |word| Str255::new(word).unwrap();
        self.send(&SetupConnection {
            protocol: Protocol::MINING,
            min_version: 2,
            max_version: 2,
            flags: 1,
            endpoint_host: word("pool"),
            endpoint_port: 1,
            vendor: word(""),
            hardware_version: word(""),
            firmware: word(""),
            device_id: word(""),
        });
        self.answers();
    }

    fn send<'a>(&mut self, message: &impl Message<'a>) {
        while self.session.wants_prefix() {
            self.session.add_prefix(self.hub.lease_prefix().unwrap());
        }
        let mut bytes = Vec::new();
        try_write_frame(message, &mut bytes).unwrap();
        let (frame, _) = Frame::split(&bytes).unwrap();
        self.session.handle_frame(self.now, frame).unwrap();
        self.take_events();
    }

    fn take_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                SessionEvent::PrefixReturned(prefix) => self.hub.give_back_prefix(prefix),
                SessionEvent::Share(share) => self.accepted += u64::from(share.outcome.is_ok()),
                _ => {}
            }
        }
    }

    /// The channels that were told a tip, each with the job that begins on it.
    fn answers(&mut self) -> Vec<(u32, u32)> {
        let mut tips = Vec::new();
        self.session.drain_output(|bytes| {
            let (frame, _) = Frame::split(bytes).unwrap();
            match Incoming::<MiningMessage<'_>>::decode(frame).unwrap() {
                Incoming::Protocol(MiningMessage::SetNewPrevHash(tip)) => {
                    tips.push((tip.channel_id, tip.job_id));
                }
                Incoming::Protocol(MiningMessage::OpenMiningChannelError(error)) => {
                    panic!("{error:?}");
                }
                _ => {}
            }
        });
        tips
    }
}

fn template(chain: &mut Chain, now: Instant) -> NewTemplate {
    let template = chain.shared_template();
    NewTemplate {
        earliest: template.min_time,
        latest: None,
        received: now,
        template,
    }
}

#[test]
fn a_hundred_thousand_channels_leave_no_memory_behind() {
    ALLOCATOR.begin();
    let mut farm = Farm::new();
    let mut settled = 0;
    for number in 0..ROUNDS {
        farm.round(number);
        let live = ALLOCATOR.live_bytes();
        match (number + 1).is_multiple_of(ROUNDS_OF_ONE) {
            // Here the channels of the round are still open.
            true => assert!(
                number < SETTLED || live - settled > CHANNELS as i64 * 800,
                "{live}"
            ),
            false if number < SETTLED => settled = live,
            false => assert!(
                live - settled < SLACK,
                "round {number}: {live}, was {settled}"
            ),
        }
    }
    assert!(
        farm.accepted > ROUNDS * CHANNELS * 9 / 10,
        "{}",
        farm.accepted
    );
    // Those of the open channels, and the one at hand for the next.
    assert_eq!(farm.hub.prefixes_in_use() as u64, CHANNELS + 1);
}
