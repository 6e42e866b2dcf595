//! A Stratum V1 client that does all that a pool has to bear.

use std::time::Instant;

use super::{Means, Plan};
use crate::pool::Device;
use crate::simulator::users::Users;
use crate::{MinerJob, Sv1Miner};

/// Something is done once in this time, in seconds.
const ACTS: f64 = 20.0;

/// The client.
#[derive(Debug)]
pub(super) struct Lines {
    miner: Sv1Miner,
    user: String,
    /// A job of an earlier tip, and the share that was sent last.
    old: Option<MinerJob>,
    last: Option<crate::Nonce>,
    is_mining: bool,
}

impl Lines {
    /// A client that mostly would go on with what it had `before`, if it was here before.
    pub(super) fn new(user: &str, before: Option<Self>, means: &mut Means) -> Self {
        let before = before.filter(|_| means.chance.happens(0.9));
        let mut miner = Sv1Miner::default();
        if means
            .chance
            .happens(if before.is_some() { 0.1 } else { 0.5 })
        {
            miner.authorize("early", user);
        }
        let session = before
            .as_ref()
            .map_or("", |before| &before.miner.session_id);
        miner.send(&format!(
            r#"{{"id":"sub","method":"mining.subscribe","params":["scripted/1.0","{session}"]}}"#
        ));
        miner.authorize("auth", user);
        // Until it is told anything this is what it knows.
        miner.session_id = session.to_owned();
        means.plans.push((means.chance.wait(ACTS), Plan::Act));
        let mut client = Self {
            miner,
            user: user.to_owned(),
            old: None,
            last: None,
            is_mining: false,
        };
        if let Some(before) = before {
            client.go_on(before, means);
        }
        client
    }

    /// What it found before comes right behind, what was sent already too.
    fn go_on(&mut self, before: Self, means: &mut Means) {
        self.old = before.miner.jobs.last().cloned().or(before.old);
        self.last = before.last;
        if let Some(job) = self.old.as_ref().filter(|_| means.chance.happens(0.5)) {
            let nonce = job.mine(&mut means.chance, job.target);
            self.miner.submit(&self.user, &nonce);
        }
        if let Some(nonce) = self.last.as_ref().filter(|_| means.chance.happens(0.5)) {
            self.miner.submit(&self.user, nonce);
        }
    }

    pub(super) fn take(&mut self, now: Instant, line: &[u8], means: &mut Means) {
        let before = self.miner.jobs.last().cloned();
        self.miner.receive(now, line);
        // What the tests of single sessions look at is not kept for days.
        self.miner.transcript.clear();
        self.miner.replies.clear();
        if self.miner.jobs.len() > 64 {
            self.miner.jobs.drain(..32);
            self.miner.job_times.drain(..32);
        }
        let tip = |job: &MinerJob| job.prev_hash;
        if before.as_ref().map(tip) != self.miner.jobs.last().map(tip) {
            self.old = before;
        }
        if !self.is_mining && !self.miner.jobs.is_empty() {
            self.is_mining = true;
            self.plan(means);
        }
    }

    /// A good share.
    pub(super) fn find(&mut self, means: &mut Means) {
        self.plan(means);
        let Some(job) = self.miner.jobs.last() else {
            return;
        };
        let nonce = job.mine(&mut means.chance, job.target);
        self.miner.submit(&self.user, &nonce);
        self.last = Some(nonce);
    }

    pub(super) fn act(&mut self, users: &Users, means: &mut Means) {
        means.plans.push((means.chance.wait(ACTS), Plan::Act));
        match means.chance.below(10) {
            // The same address is a label, another one is refused (R-2).
            0 => {
                let other = users.sibling(&self.user, &mut means.chance);
                self.miner.authorize("sibling", &other);
            }
            1 => {
                let other = users.choose(&mut means.chance);
                self.miner.authorize("other", &other);
            }
            2 => {
                let wish = 2f64.powi(-28 - means.chance.below(4) as i32);
                self.miner.send(&format!(
                    r#"{{"id":"wish","method":"mining.suggest_difficulty","params":[{wish:e}]}}"#
                ));
            }
            3 => {
                if let Some(nonce) = &self.last {
                    self.miner.submit(&self.user, nonce);
                }
            }
            4 => {
                if let Some(job) = &self.old {
                    let nonce = job.mine(&mut means.chance, job.target);
                    self.miner.submit(&self.user, &nonce);
                }
            }
            5 => {
                if let Some(job) = self.miner.jobs.last() {
                    let nonce = job.mine_where(&mut means.chance, |_| true);
                    self.miner.submit(&self.user, &nonce);
                }
            }
            6 => {
                if let Some(job) = self.miner.jobs.last() {
                    let nonce = job.mine(&mut means.chance, job.target);
                    self.miner.submit("somebody.else", &nonce);
                }
            }
            7 => self.ask(means),
            8 => self
                .miner
                .send(r#"{"id":9,"method":"mining.extranonce.subscribe","params":[]}"#),
            _ => self
                .miner
                .send(r#"{"id":8,"method":"mining.subscribe","params":["again"]}"#),
        }
    }

    /// Something that changes nothing, or a difficulty in another way.
    fn ask(&mut self, means: &mut Means) {
        let wish = 2f64.powi(-28 - means.chance.below(4) as i32);
        let line = match means.chance.below(6) {
            0 => r#"{"id":10,"method":"mining.get_transactions","params":[]}"#.to_owned(),
            1 => r#"{"id":11,"method":"mining.set_difficulty","params":[1e9]}"#.to_owned(),
            2 => r#"{"method":"client.reconnect","params":[]}"#.to_owned(),
            3 => r#"{"id":12,"method":"mining.nobody_knows"}"#.to_owned(),
            4 => format!(
                r#"{{"id":13,"method":"mining.configure","params":[["minimum-difficulty"],{{"minimum-difficulty.value":{wish:e}}}]}}"#
            ),
            _ => format!(
                r#"{{"id":14,"method":"mining.configure","params":[["suggest-difficulty"],{{"suggest-difficulty.value":"{wish:e}"}}]}}"#
            ),
        };
        self.miner.send(&line);
    }

    pub(super) fn take_output(&mut self) -> Vec<u8> {
        self.miner.take_output().concat()
    }

    fn plan(&self, means: &mut Means) {
        let target = self.miner.jobs.last().map(|job| job.target.to_le_bytes());
        let target = target.map_or(headframe_work::Target::MAX, |bytes| {
            headframe_work::Target::from_le_bytes(bytes)
        });
        means.plan_find(target, 0, 0);
    }
}
