//! The client sessions against the pool's own sessions: both ends of the protocol, no sockets, and
//! time that passes when told to.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use headframe_mining::client::{
    ChannelKind, ClientEvent, Extranonce, Frame, MiningWork, Solution, Submission, Sv1Session,
    Sv1Settings, Sv2Session, Sv2Settings,
};
use headframe_mining::server::{self, SessionEvent};
use headframe_testkit::{Pool, PoolSettings, Server, address};
use headframe_work::{Hashrate, Target};

/// What both client sessions have in common.
trait Client {
    fn receive(&mut self, now: Instant, bytes: &[u8]);
    fn poll_transmit(&mut self) -> Option<Vec<u8>>;
    fn poll_event(&mut self) -> Option<ClientEvent>;
    fn submit(&mut self, now: Instant, solution: &Solution) -> Submission;
}

macro_rules! client {
    ($Session:ty, $receive:expr) => {
        impl Client for $Session {
            fn receive(&mut self, now: Instant, bytes: &[u8]) {
                $receive(self, now, bytes);
            }

            fn poll_transmit(&mut self) -> Option<Vec<u8>> {
                self.poll_transmit()
            }

            fn poll_event(&mut self) -> Option<ClientEvent> {
                self.poll_event()
            }

            fn submit(&mut self, now: Instant, solution: &Solution) -> Submission {
                self.submit(now, solution)
            }
        }
    };
}

client!(Sv1Session, |session: &mut Self, now, bytes: &[u8]| {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        session.handle_line(now, line).unwrap();
    }
});

client!(Sv2Session, |session: &mut Self, now, bytes| {
    let mut rest = bytes;
    while let Some((frame, tail)) = Frame::split(rest) {
        session.handle_frame(now, frame).unwrap();
        rest = tail;
    }
    assert!(rest.is_empty());
});

/// Both ends of a connection, and what came of it.
struct Pair<C, S> {
    pool: Pool,
    client: C,
    server: S,
    ready: bool,
    work: Option<Arc<MiningWork>>,
    accepted: usize,
    blocks: u32,
}

impl<C: Client, S: Server> Pair<C, S> {
    fn new(client: impl FnOnce(Instant) -> C, server: impl FnOnce(&Pool) -> S) -> Self {
        let pool = Pool::new(&PoolSettings::default());
        let (client, server) = (client(pool.now), server(&pool));
        let (ready, work) = (false, None);
        Self {
            pool,
            client,
            server,
            ready,
            work,
            accepted: 0,
            blocks: 0,
        }
    }

    /// Carries everything both ways until nothing moves. Shares are committed at once.
    fn pump(&mut self) {
        loop {
            let now = self.pool.now;
            let mut is_moving = false;
            while let Some(message) = self.client.poll_transmit() {
                is_moving = true;
                while self.server.wants_prefix() {
                    self.server
                        .add_prefix(self.pool.hub.lease_prefix().unwrap());
                }
                self.server.handle_input(now, &message).unwrap();
            }
            if self.server.poll_timeout().is_some_and(|at| at <= now) {
                self.server.handle_timeout(now).unwrap();
            }
            while let Some(event) = self.server.poll_event() {
                match event {
                    SessionEvent::Block(_) => self.blocks += 1,
                    SessionEvent::Share(share) => {
                        assert!(share.outcome.is_ok());
                        self.server.handle_committed(share.sequence);
                    }
                    _ => {}
                }
            }
            let bytes = self.server.output();
            is_moving |= !bytes.is_empty();
            self.client.receive(now, &bytes);
            while let Some(event) = self.client.poll_event() {
                self.note(event);
            }
            if !is_moving {
                return;
            }
        }
    }

    fn note(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Ready => self.ready = true,
            ClientEvent::Work(work) => self.work = Some(work),
            ClientEvent::ShareAccepted { sent } => self.accepted += sent.len(),
            ClientEvent::Target(_) | ClientEvent::Notice(_) => {}
            other => panic!("{other:?}"),
        }
    }

    /// Finds and sends a share with the number `number` in its extranonce or version.
    fn send(&mut self, number: u8, suits: impl Fn(&MiningWork, &BlockHash) -> bool) -> Solution {
        let work = Arc::clone(self.work.as_ref().expect("work"));
        let mut extranonce = vec![0; work.root.rolled_len()];
        extranonce.iter_mut().for_each(|byte| *byte = number);
        let mut solution = Solution {
            job: work.job,
            version: work.version ^ (u32::from(number) << 13 & work.version_mask),
            ntime: work.ntime.latest(self.pool.now),
            nonce: 0,
            extranonce: Extranonce::new(&extranonce).unwrap(),
        };
        let mut header = work.header(&solution);
        while !suits(&work, &header.hash()) {
            header.nonce += 1;
        }
        solution.nonce = header.nonce;
        let sent = self.client.submit(self.pool.now, &solution);
        assert!(matches!(sent, Submission::Sent { .. }), "{sent:?}");
        self.pump();
        solution
    }

    /// A life: set-up, shares, time, another tip, a block.
    fn live(mut self) {
        self.pump();
        // SV1 work is held a moment for a suggestion.
        self.pool.now += Duration::from_millis(100);
        self.pump();
        assert!(self.ready);
        let share = |work: &MiningWork, hash: &BlockHash| work.target.is_met_by(hash);
        for number in 0..10 {
            self.send(number, share);
            self.pool.now += Duration::from_secs(1);
        }
        assert_eq!(self.accepted, 10);

        let no_block = |work: &MiningWork, hash: &BlockHash| {
            share(work, hash) && !work.network_target().is_met_by(hash)
        };
        let old = self.send(11, no_block);
        self.pool.chain.advance();
        let work = self.pool.publish_template();
        self.server.handle_work(self.pool.now, &work);
        self.pump();
        assert_eq!(self.client.submit(self.pool.now, &old), Submission::Void);
        self.send(12, share);
        assert_eq!(self.accepted, 12);

        let before = self.blocks;
        self.send(13, |work, hash| work.network_target().is_met_by(hash));
        assert_eq!(self.blocks, before + 1);
    }
}

fn sv2(channel: ChannelKind, roll_version: bool) {
    let settings = Sv2Settings {
        channel,
        user_identity: format!("{}.worker", address(1)),
        nominal_hashrate: Hashrate::from_hashes_per_second(1e3).unwrap(),
        max_target: Target::MAX,
        min_extranonce_size: 4,
        roll_version,
        worker_name: None,
        endpoint_host: "pool.example".to_owned(),
        endpoint_port: 3333,
        vendor: "headframe".to_owned(),
        hardware_version: "cpu".to_owned(),
        firmware: String::new(),
    };
    Pair::new(
        |now| Sv2Session::new(now, &settings).unwrap(),
        |pool| server::Sv2Session::new(Arc::clone(&pool.rules), pool.work(), pool.now),
    )
    .live();
}

#[test]
fn a_standard_channel() {
    sv2(ChannelKind::Standard, false);
    sv2(ChannelKind::Standard, true);
}

#[test]
fn an_extended_channel() {
    sv2(ChannelKind::Extended, false);
    sv2(ChannelKind::Extended, true);
}

#[test]
fn stratum_v1() {
    for roll_version in [false, true] {
        let settings = Sv1Settings {
            user_agent: "headframe/1.0".to_owned(),
            user: format!("{}.worker", address(1)),
            password: "x".to_owned(),
            roll_version,
            suggest_difficulty: None,
        };
        Pair::new(
            |now| Sv1Session::new(now, &settings).unwrap(),
            |pool| server::Sv1Session::new(Arc::clone(&pool.rules), pool.work(), pool.now),
        )
        .live();
    }
}
