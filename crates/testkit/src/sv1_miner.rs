//! A Stratum V1 client that speaks lines.

use std::collections::BTreeMap;
use std::time::Instant;

use bitcoin::Target;
use headframe_sv1_wire::{Answer, Notification, Notify, ServerLine};

use crate::pool::Device;
use crate::{MinerJob, Nonce, RootSource};

/// The client's end of a connection.
#[derive(Debug, Default)]
pub struct Sv1Miner {
    /// Names of notifications, and ids of replies, in the order in which they came.
    pub transcript: Vec<String>,
    /// Refusals and grants by the JSON text of their ids: `None` is a grant.
    pub replies: BTreeMap<String, Option<(i64, String)>>,
    /// What the session can be resumed by.
    pub session_id: String,
    /// The pool's part of the extranonce.
    pub extranonce1: Vec<u8>,
    /// Bytes that the client rolls.
    pub extranonce2_size: usize,
    /// The difficulty for jobs that come now.
    pub difficulty: Option<f64>,
    /// The jobs that are not voided, in order.
    pub jobs: Vec<MinerJob>,
    /// The jobs that were voided, in order.
    pub voided: Vec<MinerJob>,
    /// When each job came.
    pub job_times: Vec<Instant>,
    /// The mask of version bits that was granted.
    pub version_mask: Option<u32>,
    /// The lines that came, where they are kept.
    pub heard: Option<Vec<Vec<u8>>>,
    /// The lines that are to be sent, each with its end.
    pub output: Vec<Vec<u8>>,
    next_id: u64,
}

impl Sv1Miner {
    /// Sends a line.
    pub fn send(&mut self, line: &str) {
        self.output.push(format!("{line}\n").into_bytes());
    }

    /// Subscribes and authorizes, as plainly as can be.
    pub fn log_in(&mut self, user: &str) {
        self.send(r#"{"id":"sub","method":"mining.subscribe","params":["scripted/1.0"]}"#);
        self.authorize("auth", user);
    }

    /// Authorizes under the request id `id`.
    pub fn authorize(&mut self, id: &str, user: &str) {
        self.send(&format!(
            r#"{{"id":"{id}","method":"mining.authorize","params":["{user}","x"]}}"#
        ));
    }

    /// Submits `nonce`, and says under which id.
    pub fn submit(&mut self, user: &str, nonce: &Nonce) -> String {
        let rolled = nonce.version() & 0x1fff_e000;
        self.next_id += 1;
        let id = self.next_id.to_string();
        let extranonce: String = nonce
            .extranonce
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.send(&format!(
            r#"{{"id":{id},"method":"mining.submit","params":["{user}","{:x}","{extranonce}","{:08x}","{:08x}","{rolled:08x}"]}}"#,
            nonce.job_id, nonce.header.time, nonce.header.nonce,
        ));
        id
    }

    /// The job to work on.
    pub fn job(&self) -> &MinerJob {
        self.jobs.last().expect("the miner has no job")
    }

    /// The code that request `id` was refused with; `None` while it is not answered, or granted.
    pub fn refusal(&self, id: &str) -> Option<i64> {
        let refusal = self.replies.get(id)?.as_ref();
        refusal.map(|(code, _)| *code)
    }

    /// Whether request `id` was granted.
    pub fn is_granted(&self, id: &str) -> bool {
        self.replies.get(id) == Some(&None)
    }

    fn handle_answer(&mut self, answer: Answer<'_>) -> Option<(i64, String)> {
        match answer {
            Answer::Subscribed(subscribed) => {
                self.session_id = subscribed.session_id.into_owned();
                self.extranonce1 = subscribed.extranonce1.as_bytes().to_vec();
                self.extranonce2_size = subscribed.extranonce2_size.into();
            }
            Answer::Configured(configured) => {
                if let Some(headframe_sv1_wire::VersionRollingAnswer::Granted { mask }) =
                    configured.version_rolling
                {
                    self.version_mask = Some(mask);
                }
            }
            Answer::Refused(refusal) => {
                return Some((refusal.code.as_i64(), refusal.message.into_owned()));
            }
            Answer::Bool(granted) => assert!(granted, "a refusal gives its reason"),
            Answer::Text(_) | Answer::Number(_) | Answer::Nothing => {}
        }
        None
    }

    fn handle_notify(&mut self, now: Instant, notify: Notify<'_>) {
        assert!(
            !self.extranonce1.is_empty(),
            "ESP-Miner crashes at a notify before the subscribe's result"
        );
        let difficulty = self
            .difficulty
            .expect("a difficulty comes before the first job");
        if notify.clean_jobs {
            self.voided.append(&mut self.jobs);
            self.job_times.clear();
        }
        let id = u32::from_str_radix(&notify.job_id, 16).expect("hexadecimal");
        assert!(
            self.jobs.iter().all(|job| job.id != id),
            "job id {id} came twice"
        );
        self.jobs.push(MinerJob {
            id,
            version: notify.version,
            prev_hash: notify.prev_hash,
            bits: notify.bits,
            time: notify.ntime,
            root: RootSource::Coinbase {
                prefix: notify.coinbase1.into_owned(),
                extranonce_prefix: self.extranonce1.clone(),
                rolled_len: self.extranonce2_size,
                suffix: notify.coinbase2.into_owned(),
                path: notify.merkle_branch.into_owned(),
            },
            target: target(difficulty),
        });
        self.job_times.push(now);
    }
}

impl Device for Sv1Miner {
    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "half a line");
        for line in bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            if let Some(heard) = &mut self.heard {
                heard.push(line.to_vec());
            }
            match ServerLine::parse(line).expect("the pool's line is broken") {
                ServerLine::Reply(reply) => {
                    let id = reply.id.as_json().trim_matches('"').to_owned();
                    self.transcript.push(format!("reply {id}"));
                    let refusal = self.handle_answer(reply.answer);
                    self.replies.insert(id, refusal);
                }
                ServerLine::Notification { notification, .. } => {
                    self.transcript.push(notification.name().to_owned());
                    match notification {
                        Notification::Notify(notify) => self.handle_notify(now, notify),
                        Notification::SetDifficulty(difficulty) => {
                            self.difficulty = Some(difficulty.as_f64());
                        }
                        Notification::ShowMessage(_) => {}
                        other => panic!("the pool sent {}", other.name()),
                    }
                }
            }
        }
    }

    fn take_output(&mut self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.output)
    }

    fn forget(&mut self, _input: &[u8]) {}
}

/// The target of `difficulty`, which the pool keeps to powers of two: 0xffff · 2^208 / difficulty.
fn target(difficulty: f64) -> Target {
    let exponent = difficulty.log2();
    assert_eq!(
        exponent.fract(),
        0.0,
        "difficulty {difficulty} is no power of two"
    );
    let shift = 208 - exponent as i32;
    let mut bytes = [0u8; 32];
    for bit in 0..16 {
        if let Ok(place) = usize::try_from(shift + bit)
            && let Some(byte) = bytes.get_mut(place / 8)
        {
            *byte |= 1 << (place % 8);
        }
    }
    Target::from_le_bytes(bytes)
}
