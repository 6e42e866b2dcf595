//! The session: subscribe, authorise, and what comes after.

use core::time::Duration;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Instant;

use bitcoin::{BlockHash, CompactTarget, hashes::Hash};
use headframe_sv1_wire::{
    Answer, Authorize, Configure, Configured, Id, LineError, MAX_PASSWORD_LEN, MAX_WORKER_NAME_LEN,
    Method, Notification, Notify, Reply, Request, ServerLine, Submit, Subscribe, Subscribed,
    VersionRolling, VersionRollingAnswer,
};
use headframe_work::{Difficulty, Target, UnixTime};
use tracing::debug;

use super::difficulty::target_of;
use crate::client::jobs::{JobTable, Judged};
use crate::client::outstanding::Outstanding;
use crate::client::text::shown;
use crate::client::{
    ANSWER_DEADLINE, ClientEvent, CloseReason, CoinbaseParts, Extranonce, MAX_JOBS, MiningWork,
    NtimeWindow, Reconnect, RootSource, SILENCE_DEADLINE, SessionError, SettingsError, Solution,
    Submission,
};

/// The bits that Stratum V1 rolls (BIP 310, BIP 320).
const BIP320_MASK: u32 = 0x1fff_e000;

/// Lines in a row that are no Stratum before the session gives up.
const MAX_BAD_LINES: u32 = 10;

/// The requests that begin a session, by id. Shares have the ids that follow.
const CONFIGURE: u32 = 1;
const SUBSCRIBE: u32 = 2;
const AUTHORIZE: u32 = 3;
const SUGGEST: u32 = 4;
const FIRST_SHARE: u32 = 5;

/// What a session asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Sv1Settings {
    /// Name and version of this client, as in `headframe/1.0`.
    pub user_agent: String,
    /// Who is to be paid, in the pool's own form: mostly `address.worker`. At most 255 bytes.
    pub user: String,
    /// The password, mostly `x`. At most 255 bytes.
    pub password: String,
    /// Whether to ask for version rolling.
    pub roll_version: bool,
    /// A difficulty to suggest.
    pub suggest_difficulty: Option<Difficulty>,
}

/// A miner's end of a Stratum V1 connection with one worker.
///
/// See the [module](crate::client) for how to drive it.
#[derive(Debug)]
pub struct Sv1Session {
    user: String,
    user_agent: String,
    subscription: Option<Subscription>,
    authorised: bool,
    closed: bool,
    /// The version mask that the pool granted, for jobs that are yet to come.
    rolling: Option<u32>,
    /// The target of jobs that are yet to come.
    target: Target,
    prev_hash: Option<BlockHash>,
    jobs: JobTable<JobName>,
    shares: Outstanding,
    bad_lines: u32,
    out: VecDeque<Vec<u8>>,
    events: VecDeque<ClientEvent>,
    deadline: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Subscription {
    extranonce1: Extranonce,
    extranonce2_len: usize,
}

/// What a submit has to say about its job.
#[derive(Debug, Clone)]
struct JobName {
    id: String,
    /// The mask in force when the job came; `None` where rolling was not agreed.
    rolling: Option<u32>,
}

impl PartialEq for JobName {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Sv1Session {
    /// A session whose first messages are ready to be sent, all at once: pools answer in order, and
    /// each round trip saved is work sooner.
    ///
    /// # Errors
    /// [`SettingsError`] where the user name or the password is too long.
    pub fn new(now: Instant, settings: &Sv1Settings) -> Result<Self, SettingsError> {
        check_len("user name", &settings.user, MAX_WORKER_NAME_LEN)?;
        check_len("password", &settings.password, MAX_PASSWORD_LEN)?;
        Ok(Self {
            user: settings.user.clone(),
            user_agent: settings.user_agent.clone(),
            subscription: None,
            authorised: false,
            closed: false,
            rolling: None,
            target: Target::DIFFICULTY_1,
            prev_hash: None,
            jobs: JobTable::new(MAX_JOBS),
            shares: Outstanding::starting_at(FIRST_SHARE),
            bad_lines: 0,
            out: first_requests(settings),
            events: VecDeque::new(),
            deadline: now + ANSWER_DEADLINE,
        })
    }

    /// Takes a line from the pool, with or without its end. A line that cannot be read is passed over.
    ///
    /// # Errors
    /// [`SessionError`] when the pool broke the protocol; close the connection then.
    pub fn handle_line(&mut self, now: Instant, line: &[u8]) -> Result<(), SessionError> {
        if self.closed {
            return Ok(());
        }
        if self.authorised {
            self.deadline = now + SILENCE_DEADLINE;
        }
        match ServerLine::parse(line) {
            Ok(line) => {
                self.bad_lines = 0;
                match line {
                    ServerLine::Reply(reply) => self.handle_reply(now, reply),
                    ServerLine::Notification { id, notification } => {
                        self.handle_notification(now, &id, notification)
                    }
                }
            }
            Err(error) => self.handle_bad_line(&error),
        }
    }

    /// Sends a solution, if it is worth it.
    pub fn submit(&mut self, now: Instant, solution: &Solution) -> Submission {
        if self.closed || !self.authorised {
            return Submission::Void;
        }
        let Judged {
            id: job,
            work,
            block,
        } = match self.jobs.judge(now, solution) {
            Ok(judged) => judged,
            Err(submission) => return submission,
        };
        let submit = submit(&self.user, job, work, solution);
        self.out.push_back(request(self.shares.send(now), submit));
        Submission::Sent { block }
    }

    /// Sends a solution without a look at what it is worth; false when its work is void or unknown. For
    /// loads and tests: it is how a pool is given wrong shares, and shares that were judged before.
    pub fn submit_unjudged(&mut self, now: Instant, solution: &Solution) -> bool {
        if self.closed || !self.authorised {
            return false;
        }
        let Some((job, work)) = self.jobs.find(solution.job) else {
            return false;
        };
        let submit = submit(&self.user, job, work, solution);
        self.out.push_back(request(self.shares.send(now), submit));
        true
    }

    /// Ends the session. Stratum V1 has no word for it.
    pub fn close(&mut self) {
        self.end(CloseReason::Done);
    }

    /// The next line to be sent, its end included.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None` when the session is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.closed).then_some(self.deadline)
    }

    /// Ends the session if its deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.deadline {
            return;
        }
        let waiting_for = match (&self.subscription, self.authorised) {
            (None, _) => "an answer to mining.subscribe",
            (Some(_), false) => "an answer to mining.authorize",
            (Some(_), true) => "anything for three minutes",
        };
        self.end(CloseReason::TimedOut { waiting_for });
    }

    fn handle_reply(&mut self, now: Instant, reply: Reply<'_>) -> Result<(), SessionError> {
        let id = reply.id.as_number().and_then(|id| u32::try_from(id).ok());
        match id {
            Some(CONFIGURE) => self.handle_configured(&reply.answer),
            Some(SUBSCRIBE) => return self.handle_subscribed(now, reply.answer),
            Some(AUTHORIZE) => self.handle_authorised(now, &reply.answer),
            Some(SUGGEST) => {}
            id => match id.and_then(|id| self.shares.answer(id)) {
                Some(sent) => self.events.push_back(match refusal(&reply.answer) {
                    None => ClientEvent::ShareAccepted { sent: vec![sent] },
                    Some(code) => ClientEvent::ShareRejected { code, sent },
                }),
                None => debug!(id = %reply.id, "answer to no request ignored"),
            },
        }
        Ok(())
    }

    /// A pool that does not know `mining.configure`, or refuses it, gets no rolled versions.
    fn handle_configured(&mut self, answer: &Answer<'_>) {
        let Answer::Configured(Configured {
            version_rolling, ..
        }) = answer
        else {
            return;
        };
        self.rolling = match version_rolling {
            Some(VersionRollingAnswer::Granted { mask }) => Some(mask & BIP320_MASK),
            Some(VersionRollingAnswer::Refused) | None => None,
        };
    }

    fn handle_subscribed(&mut self, now: Instant, answer: Answer<'_>) -> Result<(), SessionError> {
        if self.subscription.is_some() {
            return Err(SessionError::OutOfOrder {
                message: "an answer to mining.subscribe",
            });
        }
        match answer {
            Answer::Subscribed(Subscribed {
                extranonce1,
                extranonce2_size,
                ..
            }) => {
                self.subscription = Some(Subscription::new(extranonce1, extranonce2_size)?);
                self.begin(now);
            }
            answer => {
                let reason = refusal(&answer).unwrap_or_else(|| "no extranonce".to_owned());
                self.end(CloseReason::SetupRefused { reason });
            }
        }
        Ok(())
    }

    fn handle_authorised(&mut self, now: Instant, answer: &Answer<'_>) {
        match refusal(answer) {
            Some(reason) => self.end(CloseReason::UserRefused { reason }),
            None if self.authorised => {}
            None => {
                self.authorised = true;
                self.begin(now);
            }
        }
    }

    /// Mining begins when there is an extranonce to mine with and somebody to be paid. Pools may send
    /// work between the two answers.
    fn begin(&mut self, now: Instant) {
        if self.subscription.is_none() || !self.authorised {
            return;
        }
        self.deadline = now + SILENCE_DEADLINE;
        self.events.push_back(ClientEvent::Ready);
        let work = self
            .jobs
            .newest()
            .map(|work| ClientEvent::Work(work.clone()));
        self.events.extend(work);
    }

    fn handle_notification(
        &mut self,
        now: Instant,
        id: &Id<'_>,
        notification: Notification<'_>,
    ) -> Result<(), SessionError> {
        match notification {
            Notification::Notify(notify) => self.handle_notify(now, notify),
            Notification::SetDifficulty(difficulty) => {
                self.target = target_of(difficulty);
                self.events.push_back(ClientEvent::Target(self.target));
            }
            Notification::SetExtranonce {
                extranonce1,
                extranonce2_size,
            } => {
                self.subscription = Some(Subscription::new(extranonce1, extranonce2_size)?);
            }
            Notification::SetVersionMask(mask) => {
                self.rolling = self.rolling.map(|_| mask & BIP320_MASK);
            }
            Notification::ShowMessage(text) => {
                self.events.push_back(ClientEvent::Notice(shown(&text)));
            }
            Notification::Reconnect(to) => {
                let host = to.host.unwrap_or_default();
                let wait = Duration::from_secs(to.wait.into());
                let demand = Reconnect::new(host.as_bytes(), to.port.unwrap_or(0), wait);
                self.events.push_back(ClientEvent::Reconnect(demand));
            }
            Notification::Ping => self.answer(id, Answer::Text("pong".into())),
            Notification::GetVersion => {
                self.answer(id, Answer::Text(self.user_agent.clone().into()));
            }
            Notification::Unknown { name } => debug!(name = %shown(&name), "method ignored"),
        }
        Ok(())
    }

    /// A job. Without an extranonce there is nothing to be done with it; pools send it again.
    fn handle_notify(&mut self, now: Instant, notify: Notify<'_>) {
        let Some(subscription) = self.subscription else {
            debug!("job before the answer to mining.subscribe ignored");
            return;
        };
        let prev_hash = BlockHash::from_byte_array(notify.prev_hash);
        let ntime = UnixTime::from_secs(notify.ntime);
        let clean = notify.clean_jobs || self.prev_hash != Some(prev_hash);
        let name = JobName {
            id: notify.job_id.into_owned(),
            rolling: self.rolling,
        };
        let work = self.jobs.add(name, |job| MiningWork {
            job,
            clean,
            prev_hash,
            version: notify.version,
            version_mask: self.rolling.unwrap_or(0),
            root: RootSource::Coinbase(CoinbaseParts {
                prefix: notify.coinbase1.into_owned(),
                extranonce_prefix: subscription.extranonce1,
                rolled_len: subscription.extranonce2_len,
                suffix: notify.coinbase2.into_owned(),
                merkle_path: notify.merkle_branch.into_owned(),
            }),
            ntime: NtimeWindow::new(ntime, ntime, now),
            bits: CompactTarget::from_consensus(notify.bits),
            target: self.target,
        });
        self.prev_hash = Some(prev_hash);
        if self.authorised {
            self.events.push_back(ClientEvent::Work(work));
        }
    }

    fn handle_bad_line(&mut self, error: &LineError<'_>) -> Result<(), SessionError> {
        debug!(%error, "line ignored");
        if error.fault.is_undecodable() {
            self.bad_lines += 1;
        }
        match self.bad_lines < MAX_BAD_LINES {
            true => Ok(()),
            false => Err(SessionError::NotStratum),
        }
    }

    fn answer(&mut self, id: &Id<'_>, answer: Answer<'_>) {
        if !id.is_null() {
            let mut line = Vec::new();
            Reply {
                id: id.clone(),
                answer,
            }
            .encode(&mut line);
            self.out.push_back(line);
        }
    }

    fn end(&mut self, reason: CloseReason) {
        if !self.closed {
            self.closed = true;
            self.events.push_back(ClientEvent::Closed(reason));
        }
    }
}

impl Subscription {
    fn new(extranonce1: Extranonce, extranonce2_size: u8) -> Result<Self, SessionError> {
        let extranonce2_len = usize::from(extranonce2_size);
        // No more than 32 can be told apart from it in a scriptSig of 100 bytes; sv1-wire checks that.
        if extranonce2_len == 0 {
            let fixed = extranonce1.as_bytes().len();
            return Err(SessionError::Extranonce { fixed, rolled: 0 });
        }
        Ok(Self {
            extranonce1,
            extranonce2_len,
        })
    }
}

fn first_requests(settings: &Sv1Settings) -> VecDeque<Vec<u8>> {
    let configure = settings.roll_version.then(|| {
        let rolling = VersionRolling {
            mask: BIP320_MASK,
            min_bit_count: 2,
        };
        let configure = Configure {
            version_rolling: Some(rolling),
            ..Configure::default()
        };
        (CONFIGURE, Method::Configure(configure))
    });
    let subscribe = Method::Subscribe(Subscribe {
        user_agent: Cow::Borrowed(&settings.user_agent),
        session_id: None,
    });
    let authorize = Method::Authorize(Authorize {
        worker: Cow::Borrowed(&settings.user),
        password: Cow::Borrowed(&settings.password),
    });
    let suggest = settings.suggest_difficulty.and_then(|wish| {
        let wish = headframe_sv1_wire::Difficulty::new(wish.as_f64())?;
        Some((SUGGEST, Method::SuggestDifficulty(wish)))
    });
    configure
        .into_iter()
        .chain([(SUBSCRIBE, subscribe), (AUTHORIZE, authorize)])
        .chain(suggest)
        .map(|(id, method)| request(id, method))
        .collect()
}

fn request(id: u32, method: Method<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    Request {
        id: Id::number(id.into()),
        method,
    }
    .encode(&mut line);
    line
}

fn submit<'a>(
    user: &'a str,
    job: &'a JobName,
    work: &MiningWork,
    solution: &Solution,
) -> Method<'a> {
    Method::Submit(Submit {
        worker: Cow::Borrowed(user),
        job_id: Cow::Borrowed(&job.id),
        extranonce2: solution.extranonce,
        ntime: solution.ntime.as_secs(),
        nonce: solution.nonce,
        version_bits: job.rolling.map(|_| solution.version & work.version_mask),
    })
}

/// The reason of an answer that is no yes.
fn refusal(answer: &Answer<'_>) -> Option<String> {
    match answer {
        Answer::Bool(true) => None,
        Answer::Refused(refusal) => Some(shown(&refusal.to_string())),
        Answer::Bool(false) => Some("refused without a reason".to_owned()),
        Answer::Subscribed(_)
        | Answer::Configured(_)
        | Answer::Text(_)
        | Answer::Number(_)
        | Answer::Nothing => Some("an answer without meaning".to_owned()),
    }
}

fn check_len(setting: &'static str, text: &str, max: usize) -> Result<(), SettingsError> {
    match text.len() {
        len if len > max => Err(SettingsError { setting, len, max }),
        _ => Ok(()),
    }
}
