//! What Stratum V1 replies, and when: each reply once, in the order of the requests, and before what
//! its request brings about.
//!
//! The pool's work is no consequence of a request: a new tip or template goes out at once, ahead of
//! replies that wait for the ledger.

use std::time::Duration;

use headframe_channels::DifficultySettings;
use headframe_testkit::{Chance, Pool, PoolSettings, Sv1Miner, address};
use headframe_work::Rung;
use proptest::prelude::*;

use crate::MILLISECOND;

/// The rung that a miner begins with, and the easiest that is suggested.
const START: i32 = -27;
const EASIEST: i32 = -30;
/// So few shares, in so short a time, tell difficulty control nothing.
const MOST_SHARES: usize = 5;

#[derive(Debug, Clone)]
enum Step {
    /// What the client sends at once.
    Send(Vec<Ask>),
    Template,
    Tip,
    Refresh,
    /// The network's target is another one.
    Bits(bool),
    Ledger(Option<u64>),
    Pass(u64),
}

#[derive(Debug, Clone)]
enum Ask {
    /// A share of the job that came so many before the newest.
    Share(usize),
    /// One that was submitted already, or that nobody can have found.
    BadShare(bool),
    /// A difficulty that was not suggested before.
    Suggest,
    Authorize(u32),
    Subscribe,
    Configure(u32),
    /// A line that needs no more than an answer.
    Plain(usize),
}

const PLAIN: [&str; 6] = [
    r#""method":"mining.ping","params":[]"#,
    r#""method":"client.get_version","params":[]"#,
    r#""method":"mining.extranonce.subscribe","params":[]"#,
    r#""method":"mining.unheard_of","params":[1]"#,
    r#""method":"mining.submit","params":["somebody"]"#,
    r#""method":"mining.suggest_difficulty","params":["x"]"#,
];

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        4 => (0usize..4).prop_map(Ask::Share),
        2 => any::<bool>().prop_map(Ask::BadShare),
        4 => Just(Ask::Suggest),
        1 => (0u32..3).prop_map(Ask::Authorize),
        1 => Just(Ask::Subscribe),
        1 => any::<u32>().prop_map(Ask::Configure),
        3 => (0..PLAIN.len()).prop_map(Ask::Plain),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => proptest::collection::vec(ask(), 1..5).prop_map(Step::Send),
        1 => Just(Step::Template),
        2 => Just(Step::Tip),
        1 => Just(Step::Refresh),
        1 => any::<bool>().prop_map(Step::Bits),
        2 => proptest::option::of(0u64..300).prop_map(Step::Ledger),
        6 => (0u64..150).prop_map(Step::Pass),
    ]
}

/// A client that knows what it asked for.
struct Client {
    pool: Pool,
    user: String,
    chance: Chance,
    /// The ids of its requests, in order.
    asked: Vec<String>,
    /// The difficulties that it suggested, each with the id of the request.
    suggested: Vec<(f64, String)>,
    /// Shares that it found as it ought to: none is too easy.
    shares: Vec<String>,
}

impl Client {
    fn new(seed: u64) -> Self {
        let mut pool = Pool::new(&PoolSettings {
            seed,
            transactions: 0,
            bits: HARD_BITS,
            difficulty: DifficultySettings {
                start: Rung::from_exponent(START),
                min: Rung::from_exponent(EASIEST),
                ..DifficultySettings::default()
            },
            ..PoolSettings::default()
        });
        let link = pool.connect_sv1();
        pool.sv1[link].miner.heard = Some(Vec::new());
        Self {
            pool,
            user: address(1).to_string(),
            chance: Chance::new(seed),
            asked: Vec::new(),
            suggested: Vec::new(),
            shares: Vec::new(),
        }
    }

    fn miner(&mut self) -> &mut Sv1Miner {
        &mut self.pool.sv1[0].miner
    }

    fn send(&mut self, rest: &str) -> String {
        let id = format!("r{}", self.asked.len());
        self.miner().send(&format!(r#"{{"id":"{id}",{rest}}}"#));
        self.asked.push(id.clone());
        id
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Send(asks) => asks.iter().for_each(|ask| self.ask(ask)),
            Step::Template => self.pool.new_template(),
            Step::Tip => self.pool.new_tip(),
            Step::Refresh => self.pool.refresh(),
            Step::Bits(is_easy) => {
                self.pool.chain.bits = if *is_easy { EASY_BITS } else { HARD_BITS };
            }
            Step::Ledger(after) => self.pool.commit_after = after.map(Duration::from_millis),
            Step::Pass(time) => self.pool.advance(Duration::from_millis(*time)),
        }
        self.pool.pump();
    }

    fn ask(&mut self, ask: &Ask) {
        let user = self.user.clone();
        match ask {
            Ask::Share(back) => self.share(*back),
            Ask::BadShare(true) => {
                self.send(&format!(
                    r#""method":"mining.submit","params":["{user}","7","00","00","00"]"#
                ));
            }
            Ask::BadShare(false) => {
                self.send(&format!(
                    r#""method":"mining.submit","params":["{user}.nobody","7","00","00","00"]"#
                ));
            }
            Ask::Suggest => {
                // Harder than all before, so that none is a repetition.
                let exponent = EASIEST + self.suggested.len() as i32;
                let difficulty = 2f64.powi(exponent);
                let id = self.send(&format!(
                    r#""method":"mining.suggest_difficulty","params":[{difficulty}]"#
                ));
                self.suggested.push((difficulty, id));
            }
            Ask::Authorize(worker) => {
                self.send(&format!(
                    r#""method":"mining.authorize","params":["{user}.{worker}","x"]"#
                ));
            }
            Ask::Subscribe => {
                self.send(r#""method":"mining.subscribe","params":["again"]"#);
            }
            Ask::Configure(mask) => {
                self.send(&format!(
                    r#""method":"mining.configure","params":[["version-rolling"],{{"version-rolling.mask":"{mask:08x}"}}]"#
                ));
            }
            Ask::Plain(line) => {
                self.send(PLAIN[*line]);
            }
        }
    }

    fn share(&mut self, back: usize) {
        let jobs = &self.pool.sv1[0].miner.jobs;
        let job = jobs.iter().rev().nth(back.min(jobs.len().max(1) - 1));
        let Some(job) = job.filter(|job| {
            self.shares.len() < MOST_SHARES && job.target > bitcoin::Target::from_be_bytes(HARD)
        }) else {
            return;
        };
        let mut nonce = job.mine(&mut self.chance, job.target);
        // The mask may have been narrowed since.
        let version = job.version;
        let mut header = job.header(&nonce.extranonce, version, job.time, 0);
        while !job.target.is_met_by(header.block_hash()) {
            header.nonce += 1;
        }
        nonce.header = header;
        let extranonce: String = nonce
            .extranonce
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let user = self.user.clone();
        let id = self.send(&format!(
            r#""method":"mining.submit","params":["{user}","{:x}","{extranonce}","{:08x}","{:08x}"]"#,
            nonce.job_id, header.time, header.nonce,
        ));
        self.shares.push(id);
    }

    /// Where each reply stands in what came, by its request.
    fn replied_at(&self, id: &str) -> Option<usize> {
        let name = format!("reply {id}");
        let transcript = &self.pool.sv1[0].miner.transcript;
        transcript.iter().position(|it| *it == name)
    }
}

/// Blocks are rare, or harder to find than nothing else.
const HARD_BITS: u32 = 0x1d00_ffff;
const EASY_BITS: u32 = 0x207f_ffff;
/// A target that is not searched for in a test: one in 4,096.
const HARD: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[1] = 0x10;
    bytes
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is asked while whatever happens: each request is answered once, in order; nothing is
    /// sent before the handshake is answered; a difficulty that was suggested is set after the
    /// suggestion is answered; and what is found for the difficulty that was told is never too easy.
    #[test]
    fn each_reply_comes_once_in_order_and_before_its_consequences(
        steps in proptest::collection::vec(step(), 1..40), seed: u64,
    ) {
        let mut client = Client::new(seed);
        let user = client.user.clone();
        client.send(r#""method":"mining.subscribe","params":["x"]"#);
        client.send(&format!(r#""method":"mining.authorize","params":["{user}","x"]"#));
        client.pool.pump();
        for step in &steps {
            client.take(step);
        }
        client.pool.advance(200 * MILLISECOND);

        let transcript = client.pool.sv1[0].miner.transcript.clone();
        let replies: Vec<_> = transcript.iter().filter_map(|it| it.strip_prefix("reply ")).collect();
        prop_assert_eq!(replies, client.asked.iter().map(String::as_str).collect::<Vec<_>>());
        let first = transcript.iter().position(|it| !it.starts_with("reply "));
        prop_assert!(first.is_none_or(|first| client.replied_at("r1").expect("it is answered") < first));
        for (difficulty, id) in &client.suggested {
            let answered = client.replied_at(id).expect("it is answered");
            let heard = client.pool.sv1[0].miner.heard.as_ref().expect("it is kept");
            let set = format!(r#""method":"mining.set_difficulty","params":[{difficulty}]"#);
            let told = heard.iter().position(|line| String::from_utf8_lossy(line).contains(&set));
            prop_assert!(told.is_none_or(|told| answered < told || *difficulty <= 2f64.powi(START)),
                "{difficulty} is set before {id} is answered: {transcript:?}");
        }
        for id in &client.shares {
            prop_assert_ne!(client.pool.sv1[0].miner.refusal(id), Some(23), "{} of {:?}", id, transcript);
        }
    }
}

/// A difficulty that shares have brought about is set after they are answered, and a tip does not wait
/// for that.
#[test]
fn a_difficulty_follows_the_replies_to_the_shares_that_changed_it() {
    let mut pool = Pool::new(&PoolSettings {
        bits: HARD_BITS,
        difficulty: DifficultySettings {
            start: Rung::from_exponent(EASIEST),
            min: Rung::from_exponent(EASIEST),
            ..DifficultySettings::default()
        },
        commit_after: None,
        ..PoolSettings::default()
    });
    let (link, user) = crate::with_sv1(&mut pool, 1);
    pool.sv1[link].miner.transcript.clear();
    let job = pool.sv1[link].miner.job().clone();
    let mut ids = Vec::new();
    for seed in 0..40 {
        let nonce = job.mine(&mut Chance::new(seed), job.target);
        ids.push(format!(
            "reply {}",
            pool.sv1[link].miner.submit(&user, &nonce)
        ));
    }
    pool.pump();
    assert!(pool.sv1[link].miner.transcript.is_empty());
    pool.advance(10 * MILLISECOND);
    pool.new_tip();
    assert_eq!(pool.sv1[link].miner.transcript, ["mining.notify"]);
    pool.advance(200 * MILLISECOND);
    let transcript = &pool.sv1[link].miner.transcript[1..];
    assert_eq!(transcript[..40], ids);
    let work = ["mining.set_difficulty", "mining.notify"];
    assert_eq!(transcript[40..], work);
}
