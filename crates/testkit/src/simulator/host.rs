//! The pool without its sessions: hub, ledger, what is published, and the witness of it all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_channels::{DifficultySettings, ExtranoncePrefix};
use headframe_mining::server::{
    FoundBlock, Hub, JobIds, NewTemplate, ParkedSession, PoolRules, PoolWork, SessionEvent,
    SessionId, ShareEvent, Sv2Rules,
};
use headframe_work::{Imprint, Network, PayoutPolicy, PoolTag};

use super::ledger::ModelLedger;
use super::schedule::{Event, Schedule};
use super::users::Users;
use super::witness::sv1::Past;
use super::witness::{Violation, Witness, ensure};
use crate::{Chance, address};

/// Hub, ledger and witness.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) schedule: Schedule,
    pub(super) chance: Chance,
    /// Those of each listener.
    pub(super) rules: Vec<Arc<PoolRules>>,
    pub(super) ledger: ModelLedger,
    pub(super) witness: Witness,
    pub(super) users: Users,
    /// Blocks that were handed out, with the hash before each, for the node.
    pub(super) found: Vec<(bitcoin::BlockHash, bitcoin::BlockHash)>,
    hub: Hub,
    /// What every session is given when it looks; whether it is the full work on its tip.
    newest: Option<(Arc<PoolWork>, bool)>,
    /// The template that the hub's task is making ready.
    preparing: Option<NewTemplate>,
    /// When the hub is to be looked at.
    timer: Option<Instant>,
}

impl Host {
    pub(super) fn new(
        schedule: Schedule,
        chance: Chance,
        first_job_id: u32,
        difficulty: DifficultySettings,
    ) -> Self {
        let usual = PoolRules {
            payouts: PayoutPolicy {
                network: Network::Regtest,
                fee: None,
                plain_names: Some(address(0)),
            },
            imprint: Imprint {
                tag: PoolTag::new("/simulator/").expect("printable and short"),
                process: [9, 8, 7, 6],
            },
            difficulty,
            ignores_suggestions: false,
            job_ids: JobIds::new(first_job_id),
            sv2: Sv2Rules::default(),
            password: None,
        };
        let rules = listeners(&usual);
        Self {
            schedule,
            chance,
            hub: Hub::new(usual.job_ids, u32::MAX - 500),
            rules,
            ledger: ModelLedger::new(),
            witness: Witness::new(),
            users: Users::new(),
            found: Vec::new(),
            newest: None,
            preparing: None,
            timer: None,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.schedule.now()
    }

    /// What a session that looks now is given, and whether it is the full work on its tip.
    pub(super) fn newest(&self) -> (Arc<PoolWork>, bool) {
        self.newest
            .clone()
            .expect("the node begins with a template")
    }

    /// The node has another template.
    pub(super) fn take_template(&mut self, new: NewTemplate) {
        self.hub.offer(new);
        self.plan();
    }

    /// The hub's timer: other work, if it is time. True when something was published.
    pub(super) fn renew(&mut self) -> Result<bool, Violation> {
        let now = self.now();
        if self.timer.take_if(|at| *at <= now).is_none() || self.preparing.is_some() {
            return Ok(false);
        }
        let Some(new) = self.hub.take_offered() else {
            let again = self.hub.refresh(now).ok_or("a hub without work")?;
            self.publish(&again, true)?;
            return Ok(true);
        };
        let Some(start) = self.hub.begin_tip(now, &new) else {
            return self.prepare(new);
        };
        self.publish(&start, false)?;
        self.preparing = Some(new);
        let wait = Duration::from_micros(self.chance.below(20_000));
        self.schedule.after(wait, Event::Prepared);
        Ok(true)
    }

    /// A template has been made ready.
    pub(super) fn finish_template(&mut self) -> Result<bool, Violation> {
        match self.preparing.take() {
            Some(new) => self.prepare(new),
            None => Ok(false),
        }
    }

    pub(super) fn lease(&mut self, connection: u64) -> Result<ExtranoncePrefix, Violation> {
        let prefix = self.hub.lease_prefix().ok_or("all prefixes are out")?;
        self.witness.lease(prefix, connection)?;
        Ok(prefix)
    }

    /// A prefix is back at the hub.
    pub(super) fn give_back(&mut self, prefix: ExtranoncePrefix) {
        self.hub.give_back_prefix(prefix);
        self.witness.rest(prefix);
    }

    /// The session of this id, and what is known of it, if a client may go on with it.
    pub(super) fn resume(
        &mut self,
        connection: u64,
        id: SessionId,
    ) -> Result<Option<(ParkedSession, Past)>, Violation> {
        let Some(session) = self.hub.resume(self.now(), id) else {
            return Ok(None);
        };
        let past = self.witness.resume(session.prefix(), connection)?;
        Ok(Some((session, past)))
    }

    /// A session has ended that its client may go on with.
    pub(super) fn park(
        &mut self,
        connection: u64,
        session: ParkedSession,
        past: Past,
    ) -> Result<(), Violation> {
        let now = self.now();
        self.witness
            .park(now, (session.prefix(), connection), past)?;
        self.hub.park(now, session);
        Ok(())
    }

    /// What a session told the pool.
    pub(super) fn take_event(
        &mut self,
        connection: u64,
        event: &SessionEvent,
    ) -> Result<(), Violation> {
        match event {
            SessionEvent::PrefixReturned(prefix) => {
                self.witness.release(*prefix, connection)?;
                let wait = Duration::from_millis(self.chance.below(200));
                self.schedule.after(wait, Event::GiveBack(*prefix));
            }
            SessionEvent::Share(share) => self.take_share(connection, share),
            SessionEvent::Block(found) => self.take_block(found),
            SessionEvent::Learnt { user, past } => {
                self.hub.remember(Arc::clone(user), past.clone());
            }
            _ => {}
        }
        Ok(())
    }

    /// What the miner `user` had when it was here last.
    pub(super) fn recall(&self, user: &str) -> Option<Box<headframe_channels::Past>> {
        let past = self.hub.recall(self.now(), user);
        past.cloned().map(Box::new)
    }

    /// What is true after every event.
    pub(super) fn check(&self) -> Result<(), Violation> {
        let (given, accepted) = (self.ledger.given(), self.witness.accepted);
        ensure(given == accepted, || {
            format!("the ledger was given {given:?} of {accepted:?}")
        })?;
        let (out, known) = (self.hub.prefixes_in_use(), self.witness.prefixes());
        ensure(out == known, || {
            format!("R-6: the hub has {out} prefixes in use, and {known} are")
        })
    }

    /// The end: nothing is worked on any more.
    pub(super) fn close(&mut self) {
        self.hub = Hub::new(JobIds::new(1), 0);
        self.newest = None;
        self.preparing = None;
    }

    fn prepare(&mut self, new: NewTemplate) -> Result<bool, Violation> {
        let now = self.now();
        let work = match self.hub.handle_template(now, new.clone()) {
            Ok(work) => Some(work),
            Err(_) => self.hub.handle_unusable(now, new),
        };
        match &work {
            Some(work) => self.publish(work, true)?,
            None => self.plan(),
        }
        Ok(work.is_some())
    }

    fn publish(&mut self, work: &Arc<PoolWork>, is_full: bool) -> Result<(), Violation> {
        self.witness.publish(self.now(), work)?;
        self.newest = Some((Arc::clone(work), is_full));
        self.plan();
        Ok(())
    }

    /// Plans the hub's timer.
    fn plan(&mut self) {
        let now = self.now();
        self.timer = self.hub.poll_timeout().map(|at| at.max(now));
        if let Some(at) = self.timer {
            self.schedule.at(at, Event::Hub);
        }
    }

    fn take_share(&mut self, connection: u64, share: &ShareEvent) {
        if let Ok(credit) = share.outcome {
            let (now, sequence) = (self.now(), share.sequence);
            let write = self.ledger.take(now, connection, sequence, credit.work());
            if let Some(at) = write {
                self.schedule.at(at, Event::Write);
            }
        }
    }

    fn take_block(&mut self, found: &FoundBlock) {
        self.found.push((found.block.header.prev_hash, found.hash));
    }
}

/// The listeners' rules, in the order of [`super::clients::Listener`].
fn listeners(usual: &PoolRules) -> Vec<Arc<PoolRules>> {
    let with = |sv2: Sv2Rules, times: f64| {
        let mut rules = usual.clone();
        rules.sv2 = sv2;
        rules.difficulty.shares_per_minute *= times;
        Arc::new(rules)
    };
    let nothing = Sv2Rules::default();
    vec![
        with(nothing, 1.0),
        with(
            Sv2Rules {
                fixed_version: true,
                ..nothing
            },
            2.0,
        ),
        with(
            Sv2Rules {
                extended_channels_only: true,
                ..nothing
            },
            0.5,
        ),
        with(
            Sv2Rules {
                worker_names_required: true,
                ..nothing
            },
            1.0,
        ),
    ]
}
