//! ESP-Miner's client of Stratum V1, as its behaviour is known (v2.15.0).

use bitcoin::Target;
use bitcoin::hex::FromHex;
use headframe_testkit::{MinerJob, Nonce, RootSource};
use headframe_work::{Difficulty, Rung};
use serde_json::{Value, json};

use crate::client::{Client, Heard};

/// What the firmware asks for in the first place of its settings.
const SUGGESTED: u32 = 1000;

#[derive(Debug)]
pub(crate) struct Sv1Client {
    user: String,
    extranonce1: Vec<u8>,
    extranonce2_size: usize,
    difficulty: Option<Rung>,
    last_job: Option<u32>,
    is_authorized: bool,
    next_id: u32,
}

impl Sv1Client {
    pub(crate) fn new(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            extranonce1: Vec::new(),
            extranonce2_size: 0,
            difficulty: None,
            last_job: None,
            is_authorized: false,
            next_id: 1,
        }
    }

    fn request(&mut self, method: &str, params: &Value) -> (u32, Vec<u8>) {
        let id = self.next_id;
        self.next_id += 1;
        let line = json!({"id": id, "method": method, "params": params});
        (id, format!("{line}\n").into_bytes())
    }

    /// Replies are told by what they look like, not by their id.
    fn handle_reply(&mut self, id: &Value, reply: &Value) -> Option<Heard> {
        let result = &reply["result"];
        let number = id.as_u64().map_or(0, |id| id as u32);
        match result {
            Value::Array(parts) if parts.len() >= 3 => {
                let extranonce1 = parts[1].as_str().unwrap();
                self.extranonce1 = Vec::from_hex(extranonce1).unwrap();
                self.extranonce2_size = parts[2].as_u64().unwrap() as usize;
                None
            }
            Value::Object(_) => {
                assert_eq!(result["version-rolling.mask"], "1fffe000");
                None
            }
            Value::Bool(true) if number == 3 && !self.is_authorized => {
                self.is_authorized = true;
                let (_, line) = self.request("mining.suggest_difficulty", &json!([SUGGESTED]));
                Some(Heard::Say(line))
            }
            Value::Bool(true) if number == 4 => Some(Heard::Open),
            Value::Bool(true) => Some(Heard::Accepted(number)),
            _ => Some(Heard::Rejected {
                number,
                code: reply["error"][1].as_str().unwrap().to_owned(),
            }),
        }
    }

    fn handle_notification(&mut self, method: &str, params: &Value) -> Option<Heard> {
        match method {
            "mining.set_difficulty" => {
                let difficulty = Difficulty::from_f64(params[0].as_f64().unwrap()).unwrap();
                self.difficulty = Some(Rung::at_most(difficulty));
                None
            }
            "mining.notify" => self.handle_notify(params),
            _ => None,
        }
    }

    /// The same job again is passed over unless it is to clean up.
    fn handle_notify(&mut self, params: &Value) -> Option<Heard> {
        assert!(!self.extranonce1.is_empty(), "it crashes");
        let text = |place: usize| params[place].as_str().expect("it crashes");
        let number = |place: usize| u32::from_str_radix(text(place), 16).unwrap();
        let bytes = |text: &str| Vec::from_hex(text).unwrap();
        let is_clean = params[8].as_bool().expect("a real boolean");
        let id = number(0);
        if self.last_job.replace(id) == Some(id) && !is_clean {
            return None;
        }
        let mut prev_hash: [u8; 32] = bytes(text(1)).try_into().unwrap();
        prev_hash.chunks_exact_mut(4).for_each(<[u8]>::reverse);
        let branches = params[4].as_array().unwrap().iter();
        let path = branches.map(|hash| bytes(hash.as_str().unwrap()).try_into().unwrap());
        let rung = self
            .difficulty
            .expect("a difficulty comes before the first job");
        Some(Heard::Work(Box::new(MinerJob {
            id,
            version: number(5),
            prev_hash,
            bits: number(6),
            time: number(7),
            root: RootSource::Coinbase {
                prefix: bytes(text(2)),
                extranonce_prefix: self.extranonce1.clone(),
                rolled_len: self.extranonce2_size,
                suffix: bytes(text(3)),
                path: path.collect(),
            },
            target: Target::from_le_bytes(rung.target().to_le_bytes()),
        })))
    }
}

impl Client for Sv1Client {
    /// Three requests without waiting.
    fn greet(&mut self) -> Vec<Vec<u8>> {
        let mask = json!([["version-rolling"], {"version-rolling.mask": "ffffffff"}]);
        let user = json!([self.user, "x"]);
        let requests = [
            ("mining.configure", mask),
            ("mining.subscribe", json!(["bitaxe/BM1370/v2.15.0"])),
            ("mining.authorize", user),
        ];
        requests
            .iter()
            .map(|(method, params)| self.request(method, params).1)
            .collect()
    }

    fn receive(&mut self, bytes: &[u8]) -> Vec<Heard> {
        assert!(bytes.ends_with(b"\n"), "half a line");
        let lines = bytes.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        lines
            .filter_map(|line| {
                let line: Value = serde_json::from_slice(line).unwrap();
                match line["method"].as_str() {
                    Some(method) => self.handle_notification(method, &line["params"]),
                    None => self.handle_reply(&line["id"], &line),
                }
            })
            .collect()
    }

    fn submit(&mut self, user: &str, nonce: &Nonce) -> (u32, Vec<u8>) {
        let extranonce: String = nonce
            .extranonce
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let word = |number: u32| format!("{number:08x}");
        let rolled = nonce.version() & 0x1fff_e000;
        let (time, bits) = (nonce.header.time, nonce.header.nonce);
        let job = format!("{:x}", nonce.job_id);
        let params = json!([user, job, extranonce, word(time), word(bits), word(rolled)]);
        self.request("mining.submit", &params)
    }

    fn submit_too_early(&mut self, _nonce: &Nonce) -> Option<(u32, Vec<u8>)> {
        None
    }

    /// A counter, little endian.
    fn extranonce(&self, count: u64) -> Vec<u8> {
        let mut bytes = count.to_le_bytes().to_vec();
        bytes.resize(self.extranonce2_size, 0);
        bytes
    }
}
