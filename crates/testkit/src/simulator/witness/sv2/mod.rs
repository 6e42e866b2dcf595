//! What is true of a Stratum V2 connection at any time, as it stands on the wire at the pool's end.

mod jobs;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use bitcoin::ScriptBuf;
use headframe_mining::server::{PoolWork, Sv2Rules};
use headframe_sv2_wire::common::CommonMessage;
use headframe_sv2_wire::mining::{MiningMessage, SubmitSharesError, SubmitSharesSuccess};
use headframe_sv2_wire::{Extension, Frame, Incoming, U256};
use headframe_work::{Target, UnixTime};

use super::account::Account;
use super::verdict::{Foreseen, Terms};
use super::{Heard, Violation, Witness, ensure};
use crate::simulator::jobs::{Channel, Claim, Sent};
use crate::simulator::users::Users;

/// The flag of a client that takes standard jobs only.
const REQUIRES_STANDARD_JOBS: u32 = 1;
const SV2_VERSION_MASK: u32 = 0x1fff_ffe0;

/// A connection, seen from the pool's end.
#[derive(Debug)]
pub(in crate::simulator) struct Sv2Observer {
    connection: u64,
    /// What its listener demands.
    rules: Sv2Rules,
    has_names: bool,
    seats: BTreeMap<u32, Seat>,
    opening: HashMap<u32, Opening>,
    used_ids: BTreeSet<u32>,
    is_set_up: bool,
    takes_standard_only: bool,
    pub(in crate::simulator) account: Account,
}

/// A channel and whose it is.
#[derive(Debug)]
struct Seat {
    channel: Channel,
    script: ScriptBuf,
    ids: VecDeque<u32>,
    /// How many ids the connection had given out when this channel last heard of a tip.
    used_at_tip: usize,
}

/// What a client asked for.
#[derive(Debug)]
struct Opening {
    script: ScriptBuf,
    /// Bytes to roll at least; `None` for a standard channel.
    least: Option<usize>,
}

/// What a client's message is to be answered with.
#[derive(Debug)]
pub(in crate::simulator) enum Asked {
    Nothing,
    SetUp,
    Open(u32),
    Update(u32),
    Extensions(u16),
    CustomJob(u32),
    /// The share `number` of a channel. `None`: of a channel that does not take it.
    Share(u32, u32, Option<Box<Foreseen>>),
}

/// The moment of a step.
pub(in crate::simulator) struct Moment<'a> {
    pub(in crate::simulator) now: Instant,
    /// What the session works on.
    pub(in crate::simulator) work: &'a PoolWork,
    /// Whether the session has ended the connection.
    pub(in crate::simulator) is_over: bool,
    /// Whether the session was just given a full template.
    pub(in crate::simulator) has_new_work: bool,
}

impl Moment<'_> {
    /// The network's time, by the clock that the session goes by.
    fn time(&self) -> u32 {
        self.work.clock.at(self.now).as_secs()
    }

    pub(super) fn sent(&self) -> Sent {
        let latest = self.work.latest.map_or(u32::MAX, UnixTime::as_secs);
        let (at, time) = (self.now, self.time());
        Sent { at, time, latest }
    }
}

impl Sv2Observer {
    pub(in crate::simulator) fn new(connection: u64, rules: Sv2Rules) -> Self {
        Self {
            connection,
            rules,
            has_names: false,
            seats: BTreeMap::new(),
            opening: HashMap::new(),
            used_ids: BTreeSet::new(),
            is_set_up: false,
            takes_standard_only: false,
            account: Account::default(),
        }
    }

    /// The pool is about to take a client's message.
    pub(in crate::simulator) fn hear(
        &mut self,
        at: &Moment<'_>,
        frame: Frame<'_>,
        users: &Users,
        witness: &mut Witness,
    ) -> Asked {
        match Incoming::<MiningMessage<'_>>::decode(frame) {
            Ok(Incoming::Common(CommonMessage::SetupConnection(setup))) => {
                self.takes_standard_only = setup.flags & REQUIRES_STANDARD_JOBS != 0;
                Asked::SetUp
            }
            Ok(Incoming::Protocol(message)) => self.hear_mining(at, message, users, witness),
            Ok(Incoming::Extensions(
                headframe_sv2_wire::extensions::ExtensionsMessage::RequestExtensions(request),
            )) => Asked::Extensions(request.request_id),
            _ => Asked::Nothing,
        }
    }

    fn hear_mining(
        &mut self,
        at: &Moment<'_>,
        message: MiningMessage<'_>,
        users: &Users,
        witness: &mut Witness,
    ) -> Asked {
        use MiningMessage as M;
        match message {
            M::OpenStandardMiningChannel(open) => {
                self.ask(open.request_id, open.user_identity.as_bytes(), None, users)
            }
            M::OpenExtendedMiningChannel(open) => {
                let least = Some(open.min_extranonce_size.into());
                self.ask(open.request_id, open.user_identity.as_bytes(), least, users)
            }
            M::UpdateChannel(update) => Asked::Update(update.channel_id),
            M::CloseChannel(close) => {
                self.close(close.channel_id, witness);
                Asked::Nothing
            }
            M::SubmitSharesStandard(submit) => {
                let claim = Claim {
                    job_id: submit.job_id,
                    version: submit.version,
                    time: submit.ntime,
                    nonce: submit.nonce,
                    extranonce: &[],
                };
                self.foresee(at, submit.channel_id, submit.sequence_number, false, &claim)
            }
            M::SubmitSharesExtended(submit) => {
                let claim = Claim {
                    job_id: submit.job_id,
                    version: submit.version,
                    time: submit.ntime,
                    nonce: submit.nonce,
                    extranonce: submit.extranonce.as_bytes(),
                };
                self.foresee(at, submit.channel_id, submit.sequence_number, true, &claim)
            }
            M::SetCustomMiningJob(job) => Asked::CustomJob(job.request_id),
            _ => Asked::Nothing,
        }
    }

    /// Compares what the pool did with what it was asked for, and with the rules.
    pub(in crate::simulator) fn check(
        &mut self,
        at: &Moment<'_>,
        mut asked: Asked,
        heard: &Heard<'_>,
        mut output: &[u8],
        witness: &mut Witness,
    ) -> Result<(), Violation> {
        self.check_share(at, &asked, heard, witness)?;
        let mut answers = 0;
        while let Some((frame, rest)) = Frame::split(output) {
            output = rest;
            let message = Incoming::<MiningMessage<'_>>::decode(frame)
                .map_err(|error| format!("the pool's frame is broken: {error}"))?;
            answers += u32::from(self.take(at, &mut asked, message, witness)?);
        }
        ensure(output.is_empty(), || "half a frame".to_owned())?;
        let is_owed = match &asked {
            Asked::Nothing => false,
            Asked::Share(..) => heard.share.is_none_or(|share| share.outcome.is_err()),
            _ => true,
        };
        ensure(at.is_over || answers == u32::from(is_owed), || {
            format!("{answers} answers to {asked:?}")
        })?;
        if at.has_new_work && !heard.is_jobless {
            self.check_tips(at)?;
        }
        self.account.check(at.now, witness, heard)
    }

    /// The connection is gone.
    pub(in crate::simulator) fn end(&mut self, witness: &mut Witness) {
        let ids: Vec<u32> = self.seats.keys().copied().collect();
        ids.into_iter().for_each(|id| self.close(id, witness));
        self.account.forget_all(witness);
    }

    fn ask(&mut self, id: u32, user: &[u8], least: Option<usize>, users: &Users) -> Asked {
        let script = users.script(user);
        self.opening.insert(id, Opening { script, least });
        Asked::Open(id)
    }

    /// A client closes a channel or a group.
    fn close(&mut self, id: u32, witness: &mut Witness) {
        let is_closed = |seat: &Seat| seat.channel.is_addressed_by(id);
        let closed: Vec<u32> = self
            .seats
            .iter()
            .filter_map(|(id, seat)| is_closed(seat).then_some(*id))
            .collect();
        for id in closed {
            if let Some(seat) = self.seats.remove(&id) {
                witness.unassign(&seat.channel.prefix);
            }
            self.account.forget(witness, id);
        }
    }

    fn foresee(
        &self,
        at: &Moment<'_>,
        channel: u32,
        number: u32,
        is_extended: bool,
        claim: &Claim<'_>,
    ) -> Asked {
        let seat = self.seats.get(&channel);
        let seat = seat.filter(|seat| seat.channel.is_extended == is_extended);
        let terms = Terms {
            version_mask: SV2_VERSION_MASK,
            has_min_time: true,
        };
        // 0 is no job's id; such a share is refused before it is looked at.
        let seat = seat.filter(|_| claim.job_id != 0);
        let foreseen = seat.map(|seat| Foreseen::of(at.now, &seat.channel, claim, terms).into());
        Asked::Share(channel, number, foreseen)
    }

    fn check_share(
        &mut self,
        at: &Moment<'_>,
        asked: &Asked,
        heard: &Heard<'_>,
        witness: &mut Witness,
    ) -> Result<(), Violation> {
        let Asked::Share(channel, number, Some(foreseen)) = asked else {
            let is_silent = heard.block.is_none() && heard.share.is_none();
            return ensure(is_silent, || format!("{heard:?} of no share"));
        };
        if let (Some(found), Some(seat)) = (heard.block, self.seats.get(channel)) {
            witness.take_block(found, &seat.script)?;
        }
        if let Some(share) = &heard.share {
            witness.credit(share)?;
            let name = (*channel, u64::from(*number));
            self.account.push(at.now, name, share)?;
        }
        match self.seats.get_mut(channel) {
            Some(seat) => foreseen.check(&mut seat.channel, heard),
            None => Ok(()),
        }
    }

    /// Takes a message of the pool; says whether it answers what was asked.
    fn take(
        &mut self,
        at: &Moment<'_>,
        asked: &mut Asked,
        message: Incoming<'_, MiningMessage<'_>>,
        witness: &mut Witness,
    ) -> Result<bool, Violation> {
        use headframe_sv2_wire::extensions::ExtensionsMessage as E;
        match message {
            Incoming::Common(CommonMessage::SetupConnectionSuccess(success)) => {
                self.is_set_up = true;
                let rules = self.rules;
                let flags =
                    u32::from(rules.fixed_version) | u32::from(rules.extended_channels_only) << 1;
                ensure(success.flags == flags, || {
                    format!("MP-27: flags {:b} of {rules:?}", success.flags)
                })?;
                Ok(matches!(asked, Asked::SetUp))
            }
            Incoming::Common(CommonMessage::SetupConnectionError(_)) => {
                Ok(matches!(asked, Asked::SetUp))
            }
            Incoming::Extensions(E::RequestExtensionsSuccess(answer)) => {
                // A later Success takes the place of an earlier one (EX-34).
                let names = Extension::WORKER_HASHRATE_TRACKING.number();
                self.has_names = answer.supported_extensions.iter().any(|it| it == names);
                Ok(matches!(asked, Asked::Extensions(id) if *id == answer.request_id))
            }
            Incoming::Extensions(E::RequestExtensionsError(answer)) => {
                Ok(matches!(asked, Asked::Extensions(id) if *id == answer.request_id))
            }
            Incoming::Protocol(message) => {
                ensure(self.is_set_up, || "a message before the set-up".to_owned())?;
                self.take_mining(at, asked, message, witness)
            }
            other => Err(format!("R-12: the pool sent {other:?}")),
        }
    }

    fn take_mining(
        &mut self,
        at: &Moment<'_>,
        asked: &mut Asked,
        message: MiningMessage<'_>,
        witness: &mut Witness,
    ) -> Result<bool, Violation> {
        use MiningMessage as M;
        match message {
            M::OpenStandardMiningChannelSuccess(open) => {
                let prefix = open.extranonce_prefix.as_bytes();
                let channel = Channel::new(open.channel_id, open.group_channel_id, prefix, None);
                self.open(open.request_id, channel, open.target, witness)?;
                Ok(matches!(asked, Asked::Open(id) if *id == open.request_id))
            }
            M::OpenExtendedMiningChannelSuccess(open) => {
                let (prefix, size) = (open.extranonce_prefix.as_bytes(), open.extranonce_size);
                let size = Some(size.into());
                let channel = Channel::new(open.channel_id, open.group_channel_id, prefix, size);
                self.open(open.request_id, channel, open.target, witness)?;
                Ok(matches!(asked, Asked::Open(id) if *id == open.request_id))
            }
            M::OpenMiningChannelError(error) => {
                self.opening.remove(&error.request_id);
                Ok(matches!(asked, Asked::Open(id) if *id == error.request_id))
            }
            M::NewMiningJob(job) => self.take_standard_job(at, &job, witness).map(|()| false),
            M::NewExtendedMiningJob(job) => self.take_job(at, &job, witness).map(|()| false),
            M::SetNewPrevHash(tip) => self.take_tip(at, &tip).map(|()| false),
            M::SetTarget(target) => {
                for seat in self.addressed(target.channel_id)? {
                    seat.channel.target = target_of(target.maximum_target);
                }
                let is_answer = matches!(asked, Asked::Update(id) if *id == target.channel_id);
                Ok(is_answer)
            }
            M::SubmitSharesSuccess(success) => self.take_success(&success, witness).map(|()| false),
            M::SubmitSharesError(error) => take_error(asked, &error).map(|()| true),
            M::UpdateChannelError(error) => {
                Ok(matches!(asked, Asked::Update(id) if *id == error.channel_id))
            }
            M::SetCustomMiningJobError(error) => {
                Ok(matches!(asked, Asked::CustomJob(id) if *id == error.request_id))
            }
            other => Err(format!("R-12: the pool sent {}", other.info().name)),
        }
    }

    fn open(
        &mut self,
        request: u32,
        mut channel: Channel,
        target: U256,
        witness: &mut Witness,
    ) -> Result<(), Violation> {
        let opening = self.opening.remove(&request);
        let opening = opening.ok_or("MP-36: an answer to no request")?;
        ensure(self.has_names || !self.rules.worker_names_required, || {
            "EX-27: a channel without the extension that is required".to_owned()
        })?;
        let may_be_standard = !self.rules.extended_channels_only;
        ensure(channel.is_extended || may_be_standard, || {
            "MP-29: a standard channel where there are none".to_owned()
        })?;
        let (id, group, len) = (channel.id, channel.group, channel.prefix.len());
        ensure(channel.is_extended == opening.least.is_some(), || {
            "another kind of channel was opened".to_owned()
        })?;
        let is_sized = match opening.least {
            Some(least) => len == 4 && channel.size >= least.max(8) && len + channel.size <= 32,
            None => len == 12,
        };
        ensure(is_sized, || {
            format!("R-11: {len} and {} bytes", channel.size)
        })?;
        ensure(id != group && self.used_ids.insert(id), || {
            format!("MP-15, MP-16: channel id {id} was used")
        })?;
        let mut others = self.seats.values();
        let is_known = others.any(|seat| seat.channel.group == group);
        ensure(self.used_ids.insert(group) || is_known, || {
            format!("MP-16: group id {group} was used")
        })?;
        witness.assign(&channel.prefix, (self.connection, id))?;
        channel.target = target_of(target);
        self.seats.insert(
            id,
            Seat {
                channel,
                script: opening.script,
                ids: VecDeque::new(),
                used_at_tip: self.used_ids.len(),
            },
        );
        Ok(())
    }

    fn take_success(
        &mut self,
        success: &SubmitSharesSuccess,
        witness: &mut Witness,
    ) -> Result<(), Violation> {
        let id = success.channel_id;
        ensure(self.seats.contains_key(&id), || {
            "MP-51: an acknowledgement on a closed channel".to_owned()
        })?;
        let (count, last) = (
            success.new_submits_accepted_count,
            success.last_sequence_number,
        );
        let work = self
            .account
            .acknowledge(witness, id, count, u64::from(last))?;
        let sum = self.account.whole_sum(id, work);
        ensure(sum == success.new_shares_sum, || {
            format!(
                "MP-84: a sum of {} instead of {sum}",
                success.new_shares_sum
            )
        })
    }

    /// The channels that a message to `id` is for.
    fn addressed(&mut self, id: u32) -> Result<Vec<&mut Seat>, Violation> {
        let seats = self.seats.values_mut();
        let addressed: Vec<_> = seats
            .filter(|seat| seat.channel.is_addressed_by(id))
            .collect();
        let is_alone = matches!(&addressed[..], [seat] if seat.channel.id == id);
        ensure(is_alone || addressed.len() > 1, || {
            format!(
                "R-9, MP-51: {} channels are addressed by {id}",
                addressed.len()
            )
        })?;
        Ok(addressed)
    }

    /// whoever has a channel has work on the tip.
    fn check_tips(&self, at: &Moment<'_>) -> Result<(), Violation> {
        let present = at.work.tip();
        for seat in self.seats.values() {
            let tip = seat.channel.tip.map(|tip| tip.prev_hash);
            ensure(
                tip.as_ref().map(|tip| &tip[..]) == Some(present.as_ref()),
                || format!("R-15: channel {} is not on the tip", seat.channel.id),
            )?;
        }
        Ok(())
    }
}

fn take_error(asked: &Asked, error: &SubmitSharesError<'_>) -> Result<(), Violation> {
    let is_answer = matches!(asked, Asked::Share(channel, number, _)
        if *channel == error.channel_id && *number == error.sequence_number);
    ensure(is_answer, || format!("MP-82: {error:?} answers no share"))
}

fn target_of(target: U256) -> Target {
    Target::from_le_bytes(target.to_le_bytes())
}
