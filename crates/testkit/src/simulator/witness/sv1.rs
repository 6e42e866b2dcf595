//! What is true of a Stratum V1 connection at any time, as it stands on the wire at the pool's end.

use std::collections::VecDeque;
use std::rc::Rc;

use bitcoin::ScriptBuf;
use headframe_sv1_wire::{
    Answer, Fault, Method, Notification, Notify, Reply, Request, ServerLine, Submit,
};
use headframe_work::{Difficulty, Rung};

use super::account::Account;
use super::sv2::Moment;
use super::verdict::{Foreseen, Terms};
use super::{Heard, Violation, Witness, ensure};
use crate::simulator::jobs::{Channel, Claim, Draft, Root, Tip};
use crate::simulator::users::Users;

const SV1_VERSION_MASK: u32 = 0x1fff_e000;
/// The one channel that a connection is.
const CHANNEL: u32 = 1;
/// Job ids that are kept in mind.
const KEPT_IDS: usize = 600;

/// A connection, seen from the pool's end.
#[derive(Debug)]
pub(in crate::simulator) struct Sv1Observer {
    connection: u64,
    channel: Channel,
    is_subscribed: bool,
    /// Whom the connection pays, once a name was granted.
    script: Option<ScriptBuf>,
    names: Vec<String>,
    ids: VecDeque<u32>,
    /// Requests that are not answered, in order.
    owed: VecDeque<Owed>,
    next_number: u64,
    /// The session that is gone on with, until an address is known.
    past: Option<Past>,
    /// Whether a job came over this connection.
    has_work: bool,
    /// Whether it has jobs of an earlier connection.
    is_resumed: bool,
    pub(in crate::simulator) account: Account,
}

/// What a session was that may be gone on with.
#[derive(Debug)]
pub(in crate::simulator) struct Past {
    script: ScriptBuf,
    channel: Channel,
    ids: VecDeque<u32>,
}

impl Past {
    /// The tips that its jobs are for.
    pub(super) fn tips(&self) -> Vec<[u8; 32]> {
        self.channel.tips()
    }
}

/// A request, and what its answer must be.
#[derive(Debug)]
struct Owed {
    id: String,
    number: u64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A share that was accepted.
    Accepted,
    Refused,
    Other,
}

/// A client's line.
#[derive(Debug)]
pub(in crate::simulator) enum Said {
    Nothing,
    Request(String),
    Subscribe(String),
    Authorize(String, String, ScriptBuf),
    /// A share; `None` where it is refused before it is looked at.
    Share(String, Option<Box<Foreseen>>),
    /// A share under a name that was not granted: only a block is taken.
    Strange(String, Box<Foreseen>),
}

impl Sv1Observer {
    pub(in crate::simulator) fn new(connection: u64) -> Self {
        Self {
            connection,
            channel: Channel::new(CHANNEL, CHANNEL, &[], None),
            is_subscribed: false,
            script: None,
            names: Vec::new(),
            ids: VecDeque::new(),
            owed: VecDeque::new(),
            next_number: 0,
            past: None,
            has_work: false,
            is_resumed: false,
            account: Account::default(),
        }
    }

    /// The pool is about to take a client's line.
    pub(in crate::simulator) fn hear(&self, at: &Moment<'_>, line: &[u8], users: &Users) -> Said {
        let request = match Request::parse(line) {
            Ok(request) => request,
            Err(error) if matches!(error.fault, Fault::Blank | Fault::NoMethod) => {
                return Said::Nothing;
            }
            Err(error) => return Said::Request(error.reply().id.as_json().to_owned()),
        };
        let id = request.id.as_json().to_owned();
        match request.method {
            Method::Subscribe(_) => Said::Subscribe(id),
            Method::Authorize(authorize) => {
                let script = users.script(authorize.worker.as_bytes());
                Said::Authorize(id, authorize.worker.into_owned(), script)
            }
            Method::Submit(submit) => match self.foresee(at, &submit) {
                Some(foreseen) if !self.names.contains(&submit.worker.to_string()) => {
                    Said::Strange(id, foreseen)
                }
                foreseen => Said::Share(id, foreseen),
            },
            Method::Echo { .. } | Method::Unknown { .. } if request.id.is_null() => Said::Nothing,
            _ => Said::Request(id),
        }
    }

    /// Compares what the pool did with what it was asked for, and with the rules.
    pub(in crate::simulator) fn check(
        &mut self,
        at: &Moment<'_>,
        said: Said,
        heard: &Heard<'_>,
        output: &[u8],
        witness: &mut Witness,
    ) -> Result<(), Violation> {
        self.note(at, said, heard, witness)?;
        self.retire(at);
        ensure(output.is_empty() || output.ends_with(b"\n"), || {
            "half a line".to_owned()
        })?;
        let lines = output.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            match ServerLine::parse(line) {
                // Whoever did not log in is told why he is sent away.
                Ok(ServerLine::Reply(reply)) if at.is_over && self.is_farewell(&reply) => {}
                Ok(ServerLine::Reply(reply)) => self.take_reply(&reply, witness)?,
                Ok(ServerLine::Notification { notification, .. }) => {
                    self.take_notification(at, notification, witness)?;
                }
                Err(error) => return Err(format!("the pool's line is broken: {error}")),
            }
        }
        let is_prompt = at.is_over
            || self
                .owed
                .front()
                .is_none_or(|owed| owed.kind == Kind::Accepted);
        ensure(is_prompt, || {
            format!("R-19: {:?} waits for nothing", self.owed.front())
        })?;
        if at.has_new_work && self.has_work && !heard.is_jobless {
            let tip = self.channel.tip.map(|tip| tip.prev_hash);
            let present = at.work.tip();
            let present: &[u8] = present.as_ref();
            ensure(tip.is_none_or(|tip| tip[..] == *present), || {
                "R-15: the miner is not on the tip".to_owned()
            })?;
        }
        self.account.check(at.now, witness, heard)
    }

    /// The client named a session that it may go on with.
    pub(in crate::simulator) fn resume(&mut self, past: Past) {
        self.past = Some(past);
    }

    /// What the session is to whoever goes on with it.
    pub(in crate::simulator) fn leave(&mut self) -> Option<Past> {
        let own = |script| Past {
            script,
            channel: core::mem::replace(
                &mut self.channel,
                Channel::new(CHANNEL, CHANNEL, &[], None),
            ),
            ids: core::mem::take(&mut self.ids),
        };
        self.past.take().or_else(|| self.script.take().map(own))
    }

    /// The connection is gone.
    pub(in crate::simulator) fn end(&mut self, witness: &mut Witness) {
        witness.parked.holds(self.connection, Vec::new());
        if self.is_subscribed {
            witness.unassign(&self.channel.prefix);
        }
        self.account.forget_all(witness);
    }

    /// Whoever is authorized for the same address has the jobs of the session that was named.
    fn adopt(&mut self, script: &ScriptBuf) {
        let Some(past) = self.past.take() else { return };
        self.is_resumed = past.script == *script;
        if self.is_resumed {
            self.channel = past.channel;
            self.ids = past.ids;
        }
    }

    /// Jobs of an earlier connection earn nothing on another tip, also before there is a new one.
    fn retire(&mut self, at: &Moment<'_>) {
        let present = at.work.tip();
        let present: &[u8] = present.as_ref();
        let is_other = self
            .channel
            .tip
            .is_some_and(|tip| tip.prev_hash[..] != *present);
        if is_other && !self.has_work {
            self.channel
                .jobs
                .iter_mut()
                .for_each(|job| job.is_stale = true);
        }
    }

    fn foresee(&self, at: &Moment<'_>, submit: &Submit<'_>) -> Option<Box<Foreseen>> {
        let is_served = self.is_subscribed && self.script.is_some();
        let job_id = u32::from_str_radix(&submit.job_id, 16).ok();
        let job_id = job_id.filter(|id| *id != 0 && is_served)?;
        let version = self.channel.job(job_id).map_or(0, |job| job.draft.version);
        let claim = Claim {
            job_id,
            version: match submit.version_bits {
                Some(bits) => version & !(SV1_VERSION_MASK | bits) | bits,
                None => version,
            },
            time: submit.ntime,
            nonce: submit.nonce,
            extranonce: submit.extranonce2.as_bytes(),
        };
        let terms = Terms {
            version_mask: SV1_VERSION_MASK,
            has_min_time: false,
        };
        Some(Foreseen::of(at.now, &self.channel, &claim, terms).into())
    }

    /// Enters what the pool owes for a line, and checks a share's verdict.
    fn note(
        &mut self,
        at: &Moment<'_>,
        said: Said,
        heard: &Heard<'_>,
        witness: &mut Witness,
    ) -> Result<(), Violation> {
        let is_share = matches!(said, Said::Share(_, Some(_)) | Said::Strange(..));
        let is_silent = heard.block.is_none() && heard.share.is_none();
        ensure(is_share || is_silent, || format!("{heard:?} of no share"))?;
        match said {
            Said::Nothing => {}
            Said::Request(id) | Said::Subscribe(id) => self.owe(id, Kind::Other),
            Said::Authorize(id, name, script) => {
                if self.script.is_none() {
                    self.adopt(&script);
                }
                let is_paid = self.script.get_or_insert_with(|| script.clone()) == &script;
                if is_paid && !self.names.contains(&name) {
                    self.names.push(name);
                }
                self.owe(id, if is_paid { Kind::Other } else { Kind::Refused });
            }
            Said::Share(id, None) => self.owe(id, Kind::Refused),
            Said::Strange(id, foreseen) => {
                self.take_block(heard, witness)?;
                ensure(heard.share.is_none(), || {
                    "R-2: a stranger's share counts".to_owned()
                })?;
                foreseen.check_block(&mut self.channel, heard)?;
                self.owe(id, Kind::Refused);
            }
            Said::Share(id, Some(foreseen)) => {
                self.take_block(heard, witness)?;
                let share = heard.share.ok_or("a share without a verdict")?;
                witness.credit(&share)?;
                let name = (CHANNEL, self.next_number);
                self.account.push(at.now, name, &share)?;
                foreseen.check(&mut self.channel, heard)?;
                let is_good = share.outcome.is_ok();
                self.owe(
                    id,
                    if is_good {
                        Kind::Accepted
                    } else {
                        Kind::Refused
                    },
                );
            }
        }
        Ok(())
    }

    fn take_block(&self, heard: &Heard<'_>, witness: &mut Witness) -> Result<(), Violation> {
        match (heard.block, &self.script) {
            (Some(found), Some(script)) => witness.take_block(found, script),
            _ => Ok(()),
        }
    }

    fn owe(&mut self, id: String, kind: Kind) {
        let number = self.next_number;
        self.next_number += 1;
        self.owed.push_back(Owed { id, number, kind });
    }

    /// Whether a refusal answers nothing that was asked.
    fn is_farewell(&self, reply: &Reply<'_>) -> bool {
        reply.id.is_null() && matches!(reply.answer, Answer::Refused(_)) && self.owed.is_empty()
    }

    /// Replies come in the order of the requests.
    fn take_reply(&mut self, reply: &Reply<'_>, witness: &mut Witness) -> Result<(), Violation> {
        let id = reply.id.as_json();
        let owed = self.owed.pop_front();
        let owed = owed.filter(|owed| owed.id == id);
        let owed = owed.ok_or_else(|| format!("R-19: {id} is answered out of turn"))?;
        let is_refused = matches!(reply.answer, Answer::Refused(_));
        match owed.kind {
            Kind::Accepted => {
                ensure(!is_refused, || {
                    format!("share {id} is accepted and refused")
                })?;
                let counted = self.account.acknowledge(witness, CHANNEL, 1, owed.number);
                counted.map(drop)?;
            }
            Kind::Refused => {
                ensure(is_refused, || {
                    format!("request {id} is granted that must not be")
                })?;
            }
            Kind::Other => {}
        }
        if let Answer::Subscribed(subscribed) = &reply.answer {
            let prefix = subscribed.extranonce1.as_bytes();
            let resumed = self.past.as_ref().map(|past| &past.channel.prefix[..]);
            ensure(resumed.is_none_or(|resumed| resumed == prefix), || {
                "R-7: a session goes on with another prefix".to_owned()
            })?;
            let is_first = !core::mem::replace(&mut self.is_subscribed, true);
            if is_first {
                witness.assign(prefix, (self.connection, CHANNEL))?;
            }
            ensure(is_first || prefix == self.channel.prefix, || {
                "a second prefix on one connection".to_owned()
            })?;
            self.channel.prefix = prefix.to_vec();
            self.channel.size = subscribed.extranonce2_size.into();
            let is_sized = prefix.len() == 4 && self.channel.size == 8;
            ensure(is_sized, || "R-11: 4 and 8 bytes".to_owned())?;
        }
        Ok(())
    }

    fn take_notification(
        &mut self,
        at: &Moment<'_>,
        notification: Notification<'_>,
        witness: &mut Witness,
    ) -> Result<(), Violation> {
        match notification {
            Notification::SetDifficulty(difficulty) => {
                let difficulty = Difficulty::from_f64(difficulty.as_f64());
                let difficulty = difficulty.ok_or("a difficulty that is none")?;
                let rung = Rung::at_most(difficulty);
                ensure(rung.difficulty() == difficulty, || {
                    format!("R-21: {difficulty:?} is no power of two")
                })?;
                self.channel.target = rung.target();
                Ok(())
            }
            Notification::Notify(notify) => self.take_job(at, &notify, witness),
            other => Err(format!("R-12: the pool sent {}", other.name())),
        }
    }

    fn take_job(
        &mut self,
        at: &Moment<'_>,
        notify: &Notify<'_>,
        witness: &mut Witness,
    ) -> Result<(), Violation> {
        ensure(self.is_subscribed, || {
            "a job before the answer to mining.subscribe".to_owned()
        })?;
        let script = self
            .script
            .as_ref()
            .ok_or("a job before a name")?
            .as_bytes();
        let suffix = &notify.coinbase2;
        ensure(
            suffix.windows(script.len()).any(|part| part == script),
            || "R-1: a job pays somebody else".to_owned(),
        )?;
        witness.search(&[&notify.coinbase1, &self.channel.prefix])?;
        let id = self.take_id(notify, witness)?;
        let tip = Tip {
            prev_hash: notify.prev_hash,
            bits: notify.bits,
            min_time: notify.ntime,
        };
        let is_other = self
            .channel
            .tip
            .is_none_or(|last| last.prev_hash != tip.prev_hash);
        ensure(is_other == notify.clean_jobs, || {
            format!(
                "clean_jobs is {} on another tip: {is_other}",
                notify.clean_jobs
            )
        })?;
        let present = at.work.tip();
        let present: &[u8] = present.as_ref();
        ensure(tip.prev_hash[..] == *present, || {
            "a tip that is none".to_owned()
        })?;
        self.channel.tip = Some(tip);
        let draft = Rc::new(Draft {
            id,
            version: notify.version,
            root: Root::Coinbase {
                prefix: notify.coinbase1.to_vec(),
                suffix: suffix.to_vec(),
                path: notify.merkle_branch.to_vec(),
            },
        });
        self.channel.begin(at.sent(), draft, notify.ntime);
        self.has_work = true;
        if self.is_resumed {
            witness.parked.holds(self.connection, self.channel.tips());
        }
        Ok(())
    }

    /// a number that the connection did not have.
    fn take_id(&mut self, notify: &Notify<'_>, witness: &mut Witness) -> Result<u32, Violation> {
        let id = u32::from_str_radix(&notify.job_id, 16).map_err(|error| error.to_string())?;
        witness.number(id, false, (self.connection, CHANNEL))?;
        ensure(!self.ids.contains(&id), || {
            format!("R-10: job id {id} comes twice")
        })?;
        self.ids.push_back(id);
        if self.ids.len() > KEPT_IDS {
            self.ids.pop_front();
        }
        Ok(id)
    }
}
