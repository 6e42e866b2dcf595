//! One connection of our server, with a miner at its other end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_channels::DifficultySettings;
use headframe_mining::server::{Hub, JobIds, NewTemplate, PoolRules, SessionEvent, Sv2Session};
use headframe_testkit::{Chain, Device, Nonce, Server, Sv2Miner, address};
use headframe_work::{Imprint, Network, PayoutPolicy, PoolTag, Rung, UnixTime};

use crate::Verdict;
use crate::theirs::SHARES_PER_MINUTE;

/// One hash in 512 is a block.
pub(crate) const BITS: u32 = 0x1f7f_ffff;
/// One hash in four is a share, to begin with.
pub(crate) const EASIEST: i32 = -30;
/// What an operator takes for the hardest that makes sense.
const HARDEST: i32 = 20;

/// A pool with one connection, whose ledger never waits.
pub(crate) struct Ours {
    pub(crate) now: Instant,
    pub(crate) miner: Sv2Miner,
    pub(crate) chain: Chain,
    session: Sv2Session,
    hub: Hub,
    blocks: usize,
    /// Node's clock, and when it was read.
    clock: (Instant, u32),
    started: (Instant, u32),
    output: Vec<u8>,
}

impl Ours {
    pub(crate) fn new(seed: u64, sv2: headframe_mining::server::Sv2Rules) -> Self {
        let rung = Rung::from_exponent(EASIEST);
        let rules = Arc::new(PoolRules {
            payouts: PayoutPolicy {
                network: Network::Regtest,
                fee: None,
                plain_names: None,
            },
            imprint: Imprint {
                tag: PoolTag::new("/differential/").expect("printable and short"),
                process: [1, 2, 3, 4],
            },
            difficulty: DifficultySettings {
                shares_per_minute: SHARES_PER_MINUTE.into(),
                start: rung,
                min: rung,
                max: Rung::from_exponent(HARDEST),
            },
            ignores_suggestions: false,
            job_ids: JobIds::new(0x4000_0000),
            sv2,
            password: None,
        });
        let (now, mut chain) = (Instant::now(), Chain::new(seed, BITS, 2));
        let mut hub = Hub::new(rules.job_ids.clone(), 0x0102_0300);
        let work = hub.handle_template(now, given(&mut chain, now));
        let session = Sv2Session::new(rules, work.expect("a good template"), now);
        let clock = (now, chain.time);
        let mut ours = Self {
            now,
            miner: Sv2Miner::default(),
            chain,
            session,
            hub,
            blocks: 0,
            clock,
            started: clock,
            output: Vec::new(),
        };
        ours.miner.set_up(0);
        ours.pump();
        ours.output.clear();
        ours
    }

    pub(crate) fn open(&mut self, is_extended: bool, user: u64) {
        let user = address(user).to_string();
        let any = headframe_sv2_wire::U256::MAX;
        match is_extended {
            true => self.miner.open_extended(&user, 0.0, any, 2),
            false => self.miner.open_standard(&user, 0.0, any),
        };
        self.pump();
    }

    /// The node has a new template, on another tip if `is_tip`; `is_begun` where the job that was sent
    /// ahead goes first.
    pub(crate) fn new_template(&mut self, is_tip: bool, is_begun: bool) {
        if is_tip {
            self.chain.advance();
        }
        let (began, time) = self.started;
        let elapsed = self.now.saturating_duration_since(began).as_secs();
        self.chain.time = time + u32::try_from(elapsed).expect("tests are shorter");
        let new = given(&mut self.chain, self.now);
        self.clock = (self.now, self.chain.time);
        let start = is_begun
            .then(|| self.hub.begin_tip(self.now, &new))
            .flatten();
        let full = self
            .hub
            .handle_template(self.now, new)
            .expect("a good template");
        for work in start.into_iter().chain([full]) {
            Server::handle_work(&mut self.session, self.now, &work);
            self.pump();
        }
    }

    pub(crate) fn refresh(&mut self) {
        let work = self.hub.refresh(self.now).expect("there is a template");
        Server::handle_work(&mut self.session, self.now, &work);
        self.pump();
    }

    /// Lets time pass, from one timer to the next.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.session.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.session
                .handle_timeout(self.now)
                .expect("the client has a channel");
            self.pump();
        }
        self.now = end;
    }

    /// What the network takes for the present time.
    pub(crate) fn network_time(&self) -> UnixTime {
        let (at, time) = self.clock;
        UnixTime::from_secs(time).saturating_add(self.now.saturating_duration_since(at))
    }

    pub(crate) fn submit(&mut self, channel: u32, is_extended: bool, nonce: &Nonce) -> Verdict {
        let blocks = self.blocks;
        let sequence = self.miner.submit_as(channel, is_extended, nonce);
        self.pump();
        let code = self.miner.rejection(sequence).map(str::to_owned);
        let acknowledged = self.miner.acknowledged.last();
        let is_acknowledged = acknowledged
            .is_some_and(|&(id, last, count, _)| (id, last, count) == (channel, sequence, 1));
        assert_ne!(code.is_some(), is_acknowledged, "an answer, and one only");
        Verdict {
            code,
            is_block: self.blocks > blocks,
        }
    }

    /// Carries bytes both ways until there are none.
    pub(crate) fn pump(&mut self) {
        loop {
            let inputs = self.miner.take_output();
            let is_idle = inputs.is_empty();
            for input in inputs {
                while self.session.wants_prefix() {
                    let prefix = self.hub.lease_prefix().expect("2^32 are enough");
                    self.session.add_prefix(prefix);
                }
                self.miner.forget(&input);
                self.session
                    .handle_input(self.now, &input)
                    .expect("the client keeps to the protocol");
            }
            while let Some(event) = self.session.poll_event() {
                match event {
                    SessionEvent::PrefixReturned(prefix) => self.hub.give_back_prefix(prefix),
                    SessionEvent::Block(_) => self.blocks += 1,
                    SessionEvent::Share(share) if share.outcome.is_ok() => {
                        self.session.handle_committed(share.sequence);
                    }
                    _ => {}
                }
            }
            let bytes = self.session.output();
            if is_idle && bytes.is_empty() {
                return;
            }
            self.miner.receive(self.now, &bytes);
            self.output.extend(bytes);
        }
    }

    /// What was sent since this was last asked.
    pub(crate) fn take_sent(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }
}

fn given(chain: &mut Chain, received: Instant) -> NewTemplate {
    let template = chain.template();
    NewTemplate {
        earliest: template.min_time,
        latest: None,
        received,
        template: template.into(),
    }
}
