//! Scripted exchanges in the lines that pools and devices send. What the client sends is compared as
//! text or judged by `bitcoin`.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, Transaction, TxMerkleNode, Txid};
use headframe_sv1_wire::{Method, Request, Submit};
use headframe_work::{Difficulty, Rung, Target, UnixTime};
use proptest::prelude::*;

use super::{Sv1Session, Sv1Settings};
use crate::client::{
    ClientEvent, CloseReason, Extranonce, MAX_JOBS, MiningWork, Reconnect, SessionError, Solution,
    SolutionError, Submission,
};

const COINBASE_1: &str = "02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff165100065376322f2f\
2f0c";
const COINBASE_2: &str = "ffffffff0200f2052a01000000160014ebe1b7dcc293ccaa0ee743a86f89df8258c208fc0000000000000000266a24aa21a9\
ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf900000000";
/// The header's bytes are 00 01 02 … 1f; on the line each word is reversed.
const PREV_HASH: &str = "03020100070605040b0a09080f0e0d0c13121110171615141b1a19181f1e1d1c";
const NTIME: u32 = 0x6553_f100;

const SUBSCRIBED: &str = r#"{"id":2,"result":[[["mining.notify","s"]],"e1e2e3e4",8],"error":null}"#;
const AUTHORISED: &str = r#"{"id":3,"result":true,"error":null}"#;
const ROLLING: &str =
    r#"{"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"},"error":null}"#;

fn notify(job: &str, prev_hash: &str, bits: &str, clean: bool) -> String {
    format!(
        r#"{{"id":null,"method":"mining.notify","params":["{job}","{prev_hash}","{COINBASE_1}","{COINBASE_2}",["{}"],"20000000","{bits}","{NTIME:08x}",{clean}]}}"#,
        "a1".repeat(32)
    )
}

fn job(id: &str, clean: bool) -> String {
    notify(id, PREV_HASH, "17034219", clean)
}

fn set_difficulty(rung: Rung) -> String {
    format!(r#"{{"id":null,"method":"mining.set_difficulty","params":[{rung}]}}"#)
}

fn easy() -> Rung {
    Rung::from_exponent(-24)
}

fn settings() -> Sv1Settings {
    Sv1Settings {
        user_agent: "headframe/1.0".to_owned(),
        user: "user.worker".to_owned(),
        password: "x".to_owned(),
        roll_version: true,
        suggest_difficulty: None,
    }
}

struct Bench {
    session: Sv1Session,
    now: Instant,
}

impl Bench {
    fn new(settings: &Sv1Settings) -> Self {
        let now = Instant::now();
        Self {
            session: Sv1Session::new(now, settings).unwrap(),
            now,
        }
    }

    /// A session that has subscribed and is authorised, on an easy difficulty.
    fn open(rolling: bool) -> Self {
        let mut bench = Self::new(&settings());
        bench.sent();
        if rolling {
            bench.receive(ROLLING);
        }
        bench.receive(SUBSCRIBED);
        bench.receive(AUTHORISED);
        bench.receive(&set_difficulty(easy()));
        assert_eq!(
            bench.events(),
            [ClientEvent::Ready, ClientEvent::Target(easy().target())]
        );
        bench
    }

    fn receive(&mut self, line: &str) {
        self.session.handle_line(self.now, line.as_bytes()).unwrap();
    }

    fn events(&mut self) -> Vec<ClientEvent> {
        core::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn sent(&mut self) -> Vec<String> {
        let lines = core::iter::from_fn(|| self.session.poll_transmit());
        lines.map(|line| String::from_utf8(line).unwrap()).collect()
    }

    fn work(&mut self) -> Arc<MiningWork> {
        match &self.events()[..] {
            [ClientEvent::Work(work)] => work.clone(),
            other => panic!("work expected: {other:?}"),
        }
    }

    fn submit(&mut self, solution: &Solution) -> Submission {
        self.session.submit(self.now, solution)
    }
}

fn solve(work: &MiningWork, version: u32, suits: impl Fn(&BlockHash) -> bool) -> Solution {
    let extranonce = Extranonce::new(&vec![0x99; work.root.rolled_len()]).unwrap();
    let ntime = work.ntime.earliest();
    let mut solution = Solution {
        job: work.job,
        version,
        ntime,
        nonce: 0,
        extranonce,
    };
    while !suits(&work.header(&solution).hash()) {
        solution.nonce += 1;
    }
    solution
}

fn share(work: &MiningWork) -> Solution {
    solve(work, work.version, |hash| work.target.is_met_by(hash))
}

/// The header that a pool puts together from a submit, with `bitcoin`'s types and BIP 310's rule.
fn header(line: &str, extranonce1: &str, mask: u32) -> bitcoin::block::Header {
    let request = Request::parse(line.as_bytes()).unwrap();
    let Method::Submit(submit) = request.method else {
        panic!("{line}")
    };
    let Submit {
        extranonce2,
        ntime,
        nonce,
        version_bits,
        ..
    } = submit;
    let hex = |text: &str| -> Vec<u8> { bitcoin::hex::FromHex::from_hex(text).unwrap() };
    let bytes = [
        &hex(COINBASE_1)[..],
        &hex(extranonce1),
        extranonce2.as_bytes(),
        &hex(COINBASE_2),
    ]
    .concat();
    let coinbase: Transaction = bitcoin::consensus::deserialize(&bytes).unwrap();
    let leaves = [coinbase.compute_txid(), Txid::from_byte_array([0xa1; 32])];
    let root = bitcoin::merkle_tree::calculate_root(leaves.into_iter()).unwrap();
    let version = 0x2000_0000 & !mask | version_bits.unwrap_or(0) & mask;
    bitcoin::block::Header {
        version: bitcoin::block::Version::from_consensus(version.cast_signed()),
        prev_blockhash: BlockHash::from_byte_array(core::array::from_fn(|i| i as u8)),
        merkle_root: TxMerkleNode::from_byte_array(root.to_byte_array()),
        time: ntime,
        bits: CompactTarget::from_consensus(0x1703_4219),
        nonce,
    }
}

fn meets(header: &bitcoin::block::Header, target: Target) -> bool {
    bitcoin::Target::from(target).is_met_by(header.block_hash())
}

#[test]
fn everything_is_asked_for_at_once() {
    let wish = Difficulty::from_f64(0.5);
    let mut bench = Bench::new(&Sv1Settings {
        suggest_difficulty: wish,
        ..settings()
    });
    assert_eq!(
        bench.sent(),
        [
            "{\"id\":1,\"method\":\"mining.configure\",\"params\":[[\"version-rolling\"],{\"version-rolling.mask\":\"1fffe000\",\"version-rolling.min-bit-count\":2}]}\n",
            "{\"id\":2,\"method\":\"mining.subscribe\",\"params\":[\"headframe/1.0\"]}\n",
            "{\"id\":3,\"method\":\"mining.authorize\",\"params\":[\"user.worker\",\"x\"]}\n",
            "{\"id\":4,\"method\":\"mining.suggest_difficulty\",\"params\":[0.5]}\n",
        ]
    );
    let mut bench = Bench::new(&Sv1Settings {
        roll_version: false,
        ..settings()
    });
    assert_eq!(bench.sent().len(), 2);
}

/// With version rolling a submit has six parameters, and the pool that follows BIP 310 finds the
/// header that was hashed.
#[test]
fn a_share_with_a_rolled_version_has_six_parameters() {
    let mut bench = Bench::open(true);
    bench.receive(&job("j1", true));
    let work = bench.work();
    assert_eq!((work.version_mask, work.clean), (0x1fff_e000, true));
    let solution = solve(&work, work.version ^ 0x0400_2000, |hash| {
        work.target.is_met_by(hash)
    });
    assert_eq!(bench.submit(&solution), Submission::Sent { block: false });
    let [line] = &bench.sent()[..] else { panic!() };
    let nonce = solution.nonce;
    assert_eq!(
        line,
        &format!(
            "{{\"id\":5,\"method\":\"mining.submit\",\"params\":[\"user.worker\",\"j1\",\"9999999999999999\",\"6553f100\",\"{nonce:08x}\",\"04002000\"]}}\n"
        )
    );
    assert!(meets(
        &header(line, "e1e2e3e4", 0x1fff_e000),
        easy().target()
    ));
}

/// Without an agreement it has five, and the version stays.
#[test]
fn a_share_without_version_rolling_has_five_parameters() {
    let mut bench = Bench::open(false);
    bench.receive(&job("j1", true));
    let work = bench.work();
    assert_eq!(work.version_mask, 0);
    let rolled = Solution {
        version: work.version ^ 0x2000,
        ..share(&work)
    };
    assert_eq!(
        bench.submit(&rolled),
        Submission::Wrong(SolutionError::Version)
    );
    assert_eq!(
        bench.submit(&share(&work)),
        Submission::Sent { block: false }
    );
    let [line] = &bench.sent()[..] else { panic!() };
    assert!(line.ends_with(&format!("\"6553f100\",\"{:08x}\"]}}\n", share(&work).nonce)));
    assert!(meets(&header(line, "e1e2e3e4", 0), easy().target()));
}

/// A mask is for the jobs that follow, and only where rolling was agreed; never more than BIP 320's.
#[test]
fn a_new_mask_is_for_later_jobs() {
    let mask = r#"{"id":null,"method":"mining.set_version_mask","params":["fffff000"]}"#;
    let mut bench = Bench::open(true);
    bench.receive(&job("j1", true));
    bench.receive(mask);
    assert_eq!(bench.work().version_mask, 0x1fff_e000);
    let none = r#"{"id":null,"method":"mining.set_version_mask","params":["00000000"]}"#;
    bench.receive(none);
    bench.receive(&job("j2", false));
    let work = bench.work();
    assert_eq!(work.version_mask, 0);
    bench.submit(&share(&work));
    assert!(bench.sent()[0].ends_with("\"00000000\"]}\n"));
    let mut bench = Bench::open(false);
    bench.receive(mask);
    bench.receive(&job("j1", true));
    assert_eq!(bench.work().version_mask, 0);
}

/// A difficulty is for the next job, exactly; work in progress keeps its own.
#[test]
fn a_new_difficulty_waits_for_the_next_job() {
    let mut bench = Bench::open(true);
    bench.receive(&job("j1", true));
    let active = bench.work();
    let harder = easy().harder(3);
    bench.receive(&set_difficulty(harder));
    assert_eq!(bench.events(), [ClientEvent::Target(harder.target())]);
    let between =
        |hash: &BlockHash| active.target.is_met_by(hash) && !harder.target().is_met_by(hash);
    let solution = solve(&active, active.version, between);
    assert_eq!(bench.submit(&solution), Submission::Sent { block: false });
    bench.receive(&job("j2", false));
    let next = bench.work();
    assert_eq!((next.target, next.clean), (harder.target(), false));
    assert_eq!(
        bench.submit(&solve(&next, next.version, between)),
        Submission::Wrong(SolutionError::Target)
    );
    assert_eq!(
        bench.submit(&share(&active)),
        Submission::Sent { block: false }
    );
}

/// Work of difficulty 1 until the pool has named one.
#[test]
fn the_difficulty_is_1_until_it_is_set() {
    let mut bench = Bench::new(&settings());
    bench.receive(SUBSCRIBED);
    bench.receive(AUTHORISED);
    bench.events();
    bench.receive(&job("j1", true));
    assert_eq!(bench.work().target, Target::DIFFICULTY_1);
}

/// A new extranonce is for the jobs that follow.
#[test]
fn a_new_extranonce_is_for_later_jobs() {
    let mut bench = Bench::open(false);
    bench.receive(&job("j1", true));
    bench.receive(r#"{"id":null,"method":"mining.set_extranonce","params":["0a0b0c0d",8]}"#);
    bench.receive(&job("j2", false));
    let events = bench.events();
    for (event, extranonce1) in events.iter().zip(["e1e2e3e4", "0a0b0c0d"]) {
        let ClientEvent::Work(work) = event else {
            panic!()
        };
        bench.submit(&share(work));
        assert!(meets(
            &header(&bench.sent()[0], extranonce1, 0),
            easy().target()
        ));
    }
    assert_eq!(events.len(), 2);
}

/// Clean work and another tip make earlier work void, though a block is a block.
#[test]
fn void_work_is_submitted_only_if_it_is_a_block() {
    let elsewhere = notify("j2", &"ab".repeat(32), "17034219", false);
    for next in [job("j2", true), elsewhere] {
        let mut bench = Bench::open(false);
        bench.receive(&notify("j1", PREV_HASH, "207fffff", true));
        let work = bench.work();
        let network = work.network_target();
        let both = |hash: &BlockHash| network.is_met_by(hash) && work.target.is_met_by(hash);
        let nothing = solve(&work, work.version, |hash| !network.is_met_by(hash));
        let block = solve(&work, work.version, both);
        bench.receive(&next);
        assert!(bench.work().clean);
        assert_eq!(bench.submit(&nothing), Submission::Void);
        assert_eq!(bench.submit(&block), Submission::Sent { block: true });
        assert!(bench.sent()[0].contains("\"j1\""));
    }
}

/// Pools send work before they have answered the authorisation: it is begun when they do.
#[test]
fn work_begins_with_the_authorisation() {
    let mut bench = Bench::new(&settings());
    bench.receive(&job("j0", true));
    bench.receive(SUBSCRIBED);
    bench.receive(&job("j1", true));
    bench.receive(&job("j2", false));
    assert_eq!(bench.events(), []);
    bench.receive(AUTHORISED);
    let events = bench.events();
    let [ClientEvent::Ready, ClientEvent::Work(work)] = &events[..] else {
        panic!("{events:?}")
    };
    bench.sent();
    bench.receive(&set_difficulty(easy()));
    bench.receive(&job("j3", false));
    let newer = bench.events();
    let Some(ClientEvent::Work(newer)) = newer.last() else {
        panic!()
    };
    assert!(newer.job > work.job);
    bench.submit(&share(newer));
    assert!(bench.sent()[0].contains("\"j3\""));
}

#[test]
fn answers_are_matched_by_id() {
    let mut bench = Bench::open(false);
    bench.receive(&job("j1", true));
    let solution = share(&bench.work());
    for _ in 0..4 {
        bench.submit(&solution);
    }
    bench.receive(r#"{"id":6,"result":null,"error":[23,"Low difficulty share",null]}"#);
    bench.receive(r#"{"id":"5","result":true,"error":null}"#);
    bench.receive(r#"{"id":5,"result":true,"error":null}"#);
    bench.receive(r#"{"id":7,"result":false,"error":null}"#);
    bench.receive(r#"{"id":99,"result":true,"error":null}"#);
    bench.receive(r#"{"id":8,"result":null,"error":"a\nb"}"#);
    let sent = bench.now;
    let rejected = |code: &str| ClientEvent::ShareRejected {
        code: code.to_owned(),
        sent,
    };
    assert_eq!(
        bench.events(),
        [
            rejected("Low difficulty share (23)"),
            ClientEvent::ShareAccepted { sent: vec![sent] },
            rejected("refused without a reason"),
            rejected("a\\u{a}b (20)"),
        ]
    );
}

#[test]
fn refusals_say_who_is_refused() {
    let closed = |line: &str| {
        let mut bench = Bench::new(&settings());
        bench.receive(line);
        match &bench.events()[..] {
            [ClientEvent::Closed(reason)] => reason.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        closed(r#"{"id":3,"result":null,"error":[24,"bad address",null]}"#),
        "the pool refuses this user name: bad address (24)"
    );
    assert_eq!(
        closed(r#"{"id":3,"result":false,"error":null}"#),
        "the pool refuses this user name: refused without a reason"
    );
    assert_eq!(
        closed(r#"{"id":2,"result":null,"error":[20,"full",null]}"#),
        "the pool refuses this client: full (20)"
    );
}

#[test]
fn what_the_pool_asks_is_answered() {
    let mut bench = Bench::open(false);
    bench.receive(r#"{"id":7,"method":"mining.ping","params":[]}"#);
    bench.receive(r#"{"id":8,"method":"client.get_version","params":[]}"#);
    bench.receive(r#"{"id":null,"method":"mining.ping","params":[]}"#);
    bench.receive(r#"{"id":9,"method":"mining.unheard_of","params":[]}"#);
    assert_eq!(
        bench.sent(),
        [
            "{\"id\":7,\"result\":\"pong\",\"error\":null}\n",
            "{\"id\":8,\"result\":\"headframe/1.0\",\"error\":null}\n",
        ]
    );
    bench.receive(r#"{"id":null,"method":"client.show_message","params":["hello\u202e"]}"#);
    bench.receive(r#"{"id":null,"method":"client.reconnect","params":["",3334,5]}"#);
    let wait = Duration::from_secs(5);
    assert_eq!(
        bench.events(),
        [
            ClientEvent::Notice("hello\\u{202e}".to_owned()),
            ClientEvent::Reconnect(Reconnect {
                host: None,
                port: Some(3334),
                wait,
            }),
        ]
    );
}

#[test]
fn impossible_extranonces_are_refused() {
    let subscribe = |result: &str| {
        let mut bench = Bench::new(&settings());
        let line = format!(r#"{{"id":2,"result":[[],{result}],"error":null}}"#);
        bench
            .session
            .handle_line(bench.now, line.as_bytes())
            .map(|()| bench.events().len())
    };
    let zero = SessionError::Extranonce {
        fixed: 4,
        rolled: 0,
    };
    assert_eq!(subscribe(r#""e1e2e3e4",0"#), Err(zero.clone()));
    // Lines with a wrong parameter are passed over; the deadline ends a session without extranonce.
    assert_eq!(subscribe(r#""e1e2e3e4",33"#), Ok(0));
    assert_eq!(subscribe(r#""e1e2e3e4",65535"#), Ok(0));
    assert_eq!(subscribe(&format!("\"{}\",4", "00".repeat(33))), Ok(0));
    let mut bench = Bench::open(false);
    let line = br#"{"id":null,"method":"mining.set_extranonce","params":["e1e2e3e4",0]}"#;
    assert_eq!(bench.session.handle_line(bench.now, line), Err(zero));
}

/// One line that is no Stratum is passed over, ten in a row are another protocol.
#[test]
fn garbage_ends_the_session_in_the_end() {
    let mut bench = Bench::open(false);
    for _ in 0..9 {
        bench.receive("HTTP/1.1 400 Bad Request");
        bench.receive("{\"id\":null,\"method\":\"mining.notify\",\"params\":[1]}");
    }
    bench.receive(&set_difficulty(easy()));
    for _ in 0..9 {
        bench.receive("[]");
    }
    let result = bench.session.handle_line(bench.now, b"nonsense");
    assert_eq!(result, Err(SessionError::NotStratum));
}

#[test]
fn silence_ends_the_session() {
    for (mut bench, wait) in [(Bench::new(&settings()), 30), (Bench::open(true), 180)] {
        let deadline = bench.session.poll_timeout().unwrap();
        assert_eq!(deadline, bench.now + Duration::from_secs(wait));
        bench
            .session
            .handle_timeout(deadline - Duration::from_millis(1));
        assert_eq!(bench.events(), []);
        bench.session.handle_timeout(deadline);
        let events = bench.events();
        assert!(matches!(
            events[..],
            [ClientEvent::Closed(CloseReason::TimedOut { .. })]
        ));
        assert_eq!(bench.session.poll_timeout(), None);
    }
}

/// The time may run ahead by the seconds since the job came (MP-64 holds here too).
#[test]
fn the_time_of_a_share_is_bounded_by_the_clock() {
    let mut bench = Bench::open(false);
    bench.receive(&job("j1", true));
    let work = bench.work();
    bench.now += Duration::from_secs(3);
    assert_eq!(work.ntime.latest(bench.now), UnixTime::from_secs(NTIME + 3));
    let late = Solution {
        ntime: UnixTime::from_secs(NTIME + 4),
        ..share(&work)
    };
    assert_eq!(bench.submit(&late), Submission::Wrong(SolutionError::Ntime));
}

#[test]
fn jobs_are_bounded() {
    let mut bench = Bench::open(false);
    for i in 0..100 {
        bench.receive(&job(&format!("j{i}"), false));
    }
    let events = bench.events();
    assert_eq!(events.len(), 100);
    for (i, event) in events.iter().enumerate() {
        let ClientEvent::Work(work) = event else {
            panic!()
        };
        let expected = match i < 100 - MAX_JOBS {
            true => Submission::Void,
            false => Submission::Sent { block: false },
        };
        assert_eq!(bench.submit(&share(work)), expected);
    }
}

#[test]
fn settings_that_cannot_be_sent_are_named() {
    let wrong = Sv1Settings {
        password: "x".repeat(256),
        ..settings()
    };
    let error = Sv1Session::new(Instant::now(), &wrong).unwrap_err();
    assert_eq!(
        error.to_string(),
        "password has 256 bytes; at most 255 can be sent"
    );
}

proptest! {
    /// Pieces of real lines, shuffled and cut: never a panic, and no output without end.
    #[test]
    fn garbage_is_survived(pieces in proptest::collection::vec((0usize..10, 0usize..400, any::<u8>()), 0..40)) {
        let lines = [
            SUBSCRIBED.to_owned(),
            AUTHORISED.to_owned(),
            ROLLING.to_owned(),
            job("j1", true),
            job("j2", false),
            set_difficulty(easy()),
            r#"{"id":1,"method":"mining.set_difficulty","params":[1e300]}"#.to_owned(),
            r#"{"id":9,"method":"mining.set_extranonce","params":["",32]}"#.to_owned(),
            r#"{"id":5,"result":true,"error":null}"#.to_owned(),
            r#"{"id":4,"method":"client.reconnect","params":["a",65536,-1]}"#.to_owned(),
        ];
        let mut bench = Bench::new(&settings());
        for (line, cut, byte) in pieces {
            let mut bytes = lines[line].clone().into_bytes();
            if let Some(at) = bytes.get_mut(cut) {
                *at = byte;
            }
            if bench.session.handle_line(bench.now, &bytes).is_err() {
                break;
            }
            for event in bench.events() {
                if let ClientEvent::Work(work) = event {
                    let extranonce = Extranonce::new(&vec![0; work.root.rolled_len()]).unwrap();
                    let (job, version, ntime) = (work.job, work.version, work.ntime.earliest());
                    bench.submit(&Solution { job, version, ntime, nonce: 0, extranonce });
                }
            }
            prop_assert!(bench.sent().len() <= 5);
        }
    }
}
