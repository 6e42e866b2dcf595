//! A Stratum V1 miner by hand, line by line, for what a real one would not do.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bitcoin::block::{Header, Version};
use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::hex::{DisplayHex as _, FromHex as _};
use bitcoin::{BlockHash, CompactTarget, Target, TxMerkleNode};
use serde_json::{Value, json};

use crate::wait::{LIMIT, until};

/// A connection.
#[derive(Debug)]
pub struct Client {
    lines: BufReader<TcpStream>,
    next_id: u64,
    notifications: VecDeque<Value>,
    /// What the session can be resumed by.
    pub session_id: String,
    /// The pool's part of the extranonce.
    pub extranonce1: Vec<u8>,
    extranonce2_len: usize,
    user: String,
}

/// The work of a `mining.notify`.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name.
    pub id: String,
    /// The block that it builds on, as people read hashes.
    pub prev_hash: BlockHash,
    /// Whether all older work is void.
    pub clean: bool,
    /// The block's version, before any rolling.
    pub version: u32,
    coinbase: [Vec<u8>; 2],
    /// The hashes from the coinbase to the merkle root; none where the block is empty but for it.
    pub branches: Vec<Vec<u8>>,
    bits: u32,
    /// The header time that it begins with.
    pub time: u32,
}

/// A header that meets its target, and what is submitted for it.
#[derive(Debug)]
pub struct Solution {
    /// The block's hash.
    pub hash: BlockHash,
    job: String,
    extranonce2: Vec<u8>,
    time: u32,
    nonce: u32,
    /// Version bits that were rolled, which are submitted then.
    rolled: Option<u32>,
}

impl Client {
    /// Connects and does no more.
    ///
    /// # Panics
    ///
    /// When nobody listens.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the pool listens");
        stream.set_read_timeout(Some(LIMIT)).expect("it is not 0");
        Self {
            lines: BufReader::new(stream),
            next_id: 1,
            notifications: VecDeque::new(),
            session_id: String::new(),
            extranonce1: Vec::new(),
            extranonce2_len: 0,
            user: String::new(),
        }
    }

    /// Connects, subscribes and is authorised.
    ///
    /// # Panics
    ///
    /// When one of these fails.
    pub fn mining(address: SocketAddr, user: &str) -> Self {
        let mut client = Self::connect(address);
        client.subscribe();
        let answer = client.authorize(user);
        assert_eq!(answer["result"], true, "{user} is authorised: {answer}");
        client
    }

    /// Sends `mining.subscribe` and keeps its answer.
    ///
    /// # Panics
    ///
    /// When the answer is not one.
    pub fn subscribe(&mut self) {
        self.resume("");
    }

    /// Sends `mining.subscribe` with the id of a session, and keeps its answer.
    ///
    /// # Panics
    ///
    /// When the answer is not one.
    pub fn resume(&mut self, session_id: &str) {
        let params = json!(["conformance", session_id]);
        let answer = self.call("mining.subscribe", params);
        let session_id = answer["result"][0][0][1].as_str();
        session_id.expect("an id").clone_into(&mut self.session_id);
        let extranonce1 = answer["result"][1].as_str().expect("an extranonce1");
        self.extranonce1 = bytes(extranonce1);
        let len = answer["result"][2].as_u64().expect("a size");
        self.extranonce2_len = usize::try_from(len).expect("a small size");
    }

    /// Sends `mining.configure` for version rolling within `mask`, and gives the mask that is granted.
    ///
    /// # Panics
    ///
    /// When none is.
    pub fn configure(&mut self, mask: u32) -> u32 {
        let options = json!({ "version-rolling.mask": format!("{mask:08x}") });
        let answer = self.call("mining.configure", json!([["version-rolling"], options]));
        let result = &answer["result"];
        assert_eq!(result["version-rolling"], true, "{mask:08x}: {answer}");
        let granted = result["version-rolling.mask"].as_str();
        u32::from_str_radix(granted.expect("a mask"), 16).expect("hexadecimal digits")
    }

    /// Sends `mining.authorize` and gives the answer.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn authorize(&mut self, user: &str) -> Value {
        self.authorize_with(user, "x")
    }

    /// The same with a password.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub fn authorize_with(&mut self, user: &str, password: &str) -> Value {
        self.user = user.to_owned();
        self.call("mining.authorize", json!([user, password]))
    }

    /// Closes the connection, and waits until the pool has done so too.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn leave(mut self) {
        let stream = self.lines.get_ref();
        stream.shutdown(Shutdown::Write).expect("it is open");
        let read = self.lines.read_to_end(&mut Vec::new());
        read.expect("the pool closes it");
    }

    /// The next difficulty that the pool sets.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn difficulty(&mut self) -> f64 {
        let is_difficulty = |line: &Value| line["method"] == "mining.set_difficulty";
        let mut kept = self.notifications.iter();
        let line = match kept.position(is_difficulty) {
            Some(at) => self.notifications.remove(at).expect("it is there"),
            None => loop {
                let line = self.line().expect("the pool sets a difficulty");
                match is_difficulty(&line) {
                    true => break line,
                    false => self.notifications.push_back(line),
                }
            },
        };
        line["params"][0].as_f64().expect("a number")
    }

    /// Sends a request and gives the answer; what comes in between is kept.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({ "id": id, "method": method, "params": params });
        let sent = writeln!(self.lines.get_mut(), "{request}");
        sent.expect("the connection is open");
        loop {
            let line = self.line().expect("the pool answers");
            if line["id"] == id {
                return line;
            }
            self.notifications.push_back(line);
        }
    }

    /// The next work.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn job(&mut self) -> Job {
        loop {
            let kept = self.notifications.pop_front();
            let line = kept.unwrap_or_else(|| self.line().expect("the pool sends work"));
            if line["method"] == "mining.notify" {
                return Job::read(&line["params"]).expect("a job can be read");
            }
        }
    }

    /// The next work that builds on `tip`, in hexadecimal digits as people read hashes.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn job_on(&mut self, tip: &str) -> Job {
        until(&format!("work on {tip}"), || {
            let job = self.job();
            (job.prev_hash.to_string() == tip).then_some(job)
        })
    }

    /// Finds a block with `job` and submits it. Gives its hash as people read hashes.
    ///
    /// # Panics
    ///
    /// When it is not accepted as a share, whatever the node is like.
    pub fn find_block(&mut self, job: &Job) -> String {
        let solution = self.solve(job);
        let answer = self.submit(&solution);
        assert_eq!(answer["result"], true, "the share is accepted: {answer}");
        solution.hash.to_string()
    }

    /// The work that comes within a moment, if any: for a pool that may rightly send none.
    pub fn job_within(&mut self, moment: Duration) -> Option<Job> {
        let stream = self.lines.get_ref();
        stream.set_read_timeout(Some(moment)).expect("it is not 0");
        let job = loop {
            let line = match self.notifications.pop_front() {
                Some(kept) => Ok(kept),
                None => self.line(),
            };
            match line {
                Ok(line) if line["method"] == "mining.notify" => break Job::read(&line["params"]),
                Ok(_) => {}
                Err(_) => break None,
            }
        };
        let stream = self.lines.get_ref();
        stream.set_read_timeout(Some(LIMIT)).expect("it is not 0");
        job
    }

    /// Searches until a header meets the network's target. For regtest.
    ///
    /// # Panics
    ///
    /// When no nonce does.
    pub fn solve(&self, job: &Job) -> Solution {
        self.solve_as(job, job.version, None)
    }

    /// Searches until a header meets `target`, leaving out the first `others` that do.
    ///
    /// # Panics
    ///
    /// When no nonce does.
    pub fn solve_share(&self, job: &Job, target: Target, others: usize) -> Solution {
        self.solve_for(job, (job.version, None), target, others)
    }

    /// The same with the version bits of `mask` replaced by those of `bits` (BIP310).
    ///
    /// # Panics
    ///
    /// When no nonce does.
    pub fn solve_rolled(&self, job: &Job, mask: u32, bits: u32) -> Solution {
        let rolled = bits & mask;
        self.solve_as(job, job.version & !mask | rolled, Some(rolled))
    }

    fn solve_as(&self, job: &Job, version: u32, rolled: Option<u32>) -> Solution {
        let target = Target::from_compact(CompactTarget::from_consensus(job.bits));
        self.solve_for(job, (version, rolled), target, 0)
    }

    fn solve_for(
        &self,
        job: &Job,
        (version, rolled): (u32, Option<u32>),
        target: Target,
        others: usize,
    ) -> Solution {
        let extranonce2 = vec![7; self.extranonce2_len];
        let mut header = Header {
            version: Version::from_consensus(version.cast_signed()),
            prev_blockhash: job.prev_hash,
            merkle_root: self.merkle_root(job, &extranonce2),
            time: job.time,
            bits: CompactTarget::from_consensus(job.bits),
            nonce: 0,
        };
        let mut nonces = (0..u32::MAX).filter(|nonce| {
            header.nonce = *nonce;
            target.is_met_by(header.block_hash())
        });
        let nonce = nonces.nth(others);
        Solution {
            hash: header.block_hash(),
            job: job.id.clone(),
            extranonce2,
            time: job.time,
            nonce: nonce.expect("such targets are easy"),
            rolled,
        }
    }

    /// Submits it and gives the answer.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn submit(&mut self, solution: &Solution) -> Value {
        let mut params = vec![
            self.user.clone(),
            solution.job.clone(),
            solution.extranonce2.to_lower_hex_string(),
            format!("{:08x}", solution.time),
            format!("{:08x}", solution.nonce),
        ];
        params.extend(solution.rolled.map(|bits| format!("{bits:08x}")));
        self.call("mining.submit", json!(params))
    }

    fn merkle_root(&self, job: &Job, extranonce2: &[u8]) -> TxMerkleNode {
        let [before, after] = &job.coinbase;
        let coinbase = [before, &self.extranonce1, extranonce2, after].concat();
        let coinbase = sha256d::Hash::hash(&coinbase);
        let branches = job.branches.iter();
        let root = branches.fold(coinbase, |root, branch| {
            sha256d::Hash::hash(&[&root.to_byte_array()[..], branch].concat())
        });
        TxMerkleNode::from_raw_hash(root)
    }

    fn line(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(serde_json::from_str(&line)?),
        }
    }
}

impl Job {
    fn read(params: &Value) -> Option<Self> {
        let text = |index: usize| params[index].as_str();
        let number = |index: usize| u32::from_str_radix(text(index)?, 16).ok();
        let branches = params[4].as_array()?.iter();
        Some(Self {
            id: text(0)?.to_owned(),
            prev_hash: prev_hash(text(1)?),
            coinbase: [bytes(text(2)?), bytes(text(3)?)],
            branches: branches
                .map(|branch| branch.as_str().map(bytes))
                .collect::<Option<_>>()?,
            version: number(5)?,
            bits: number(6)?,
            time: number(7)?,
            clean: params[8].as_bool()?,
        })
    }
}

/// Stratum V1 writes it in eight words of four bytes, each with its bytes turned round.
fn prev_hash(digits: &str) -> BlockHash {
    let mut bytes = bytes(digits);
    for word in bytes.chunks_exact_mut(4) {
        word.reverse();
    }
    BlockHash::from_slice(&bytes).expect("a hash has 32 bytes")
}

fn bytes(digits: &str) -> Vec<u8> {
    Vec::from_hex(digits).expect("the pool sends hexadecimal digits")
}
