//! Channels are opened, updated and closed (spec §5.3.2–5.3.9).

use std::time::Instant;

use headframe_channels::{Channel, ChannelId, ChannelKind, DifficultyControl, ExtranoncePrefix};
use headframe_sv2_wire::codes::Code;
use headframe_sv2_wire::mining::{
    OpenExtendedMiningChannel, OpenExtendedMiningChannelSuccess, OpenMiningChannelError,
    OpenStandardMiningChannel, OpenStandardMiningChannelSuccess, SetCustomMiningJob,
    SetCustomMiningJobError, UpdateChannel, UpdateChannelError,
};
use headframe_sv2_wire::{Bytes32, U256, codes, write_frame};
use headframe_work::{Coinbase, Hashrate, Miner, Rung, Target};

use super::Sv2Session;
use super::groups::GroupKind;
use super::setup::Setup;
use super::workers;
use crate::server::seat::Seat;
use crate::server::{Device, SessionEvent};

/// Channels on one connection. A farm's proxy has some thousands of miners.
const MAX_CHANNELS: usize = 10_000;
/// Channels that one connection opens while the chain's tip stays: its part of the 2^31 extranonce
/// prefixes that have their turn on a tip, since that of a closed one rests until the next.
const MAX_OPENED_PER_TIP: u32 = 30_000;

/// What both kinds of channel are opened with.
struct Opening<'a> {
    kind: ChannelKind,
    request_id: u32,
    user: &'a [u8],
    nominal_hash_rate: f32,
    max_target: U256,
    rolled_len: usize,
}

/// A channel that was opened and not answered for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened {
    at: Instant,
    request_id: u32,
    pub(super) seat: ChannelId,
    group: ChannelId,
}

impl Sv2Session {
    pub(super) fn handle_open_standard(
        &mut self,
        now: Instant,
        open: &OpenStandardMiningChannel<'_>,
    ) {
        self.handle_open(
            now,
            &Opening {
                kind: ChannelKind::Standard,
                request_id: open.request_id,
                user: open.user_identity.as_bytes(),
                nominal_hash_rate: open.nominal_hash_rate,
                max_target: open.max_target,
                rolled_len: Channel::ROLLED_LEN,
            },
        );
    }

    pub(super) fn handle_open_extended(
        &mut self,
        now: Instant,
        open: &OpenExtendedMiningChannel<'_>,
    ) {
        self.handle_open(
            now,
            &Opening {
                kind: ChannelKind::Extended,
                request_id: open.request_id,
                user: open.user_identity.as_bytes(),
                nominal_hash_rate: open.nominal_hash_rate,
                max_target: open.max_target,
                rolled_len: Channel::ROLLED_LEN.max(open.min_extranonce_size.into()),
            },
        );
    }

    pub(super) fn handle_update(&mut self, now: Instant, update: &UpdateChannel) {
        let id = ChannelId::new(update.channel_id);
        let declared = declared(update.nominal_hash_rate, update.maximum_target);
        let error = match (self.seats.get_mut(id), declared) {
            (None, _) => codes::INVALID_CHANNEL_ID,
            (_, Err(code)) => code,
            (Some(_), Ok((_, floor))) if floor > self.desk.rules.difficulty.max => {
                codes::MAX_TARGET_OUT_OF_RANGE
            }
            (Some(seat), Ok((rate, floor))) => {
                seat.control.handle_declared(now, rate, floor);
                return self.answer_update(now, id);
            }
        };
        let error = UpdateChannelError {
            channel_id: update.channel_id,
            error_code: error,
        };
        write_frame(&error, &mut self.output);
    }

    /// A client closes a channel, or all channels of a group (MP-55). Unknown ids are ignored.
    pub(super) fn handle_close(&mut self, now: Instant, id: ChannelId) {
        let members = self.groups.members(id).unwrap_or_else(|| vec![id]);
        self.leave_all(now, &members);
    }

    /// Ends channels. Those that are not there are passed over.
    pub(super) fn leave_all(&mut self, now: Instant, channels: &[ChannelId]) {
        for channel in channels {
            self.leave(now, *channel);
        }
        // The last of a group is addressed by its own id again.
        self.plan_staging(now);
        if self.seats.is_empty() && self.patience.is_none() {
            self.patience = Some(now + super::CHANNEL_WITHIN);
        }
    }

    pub(super) fn refuse_custom_job(&mut self, job: &SetCustomMiningJob<'_>) {
        let error = SetCustomMiningJobError {
            channel_id: job.channel_id,
            request_id: job.request_id,
            error_code: codes::JD_NOT_SUPPORTED,
        };
        write_frame(&error, &mut self.output);
    }

    fn handle_open(&mut self, now: Instant, opening: &Opening<'_>) {
        match self.open(now, opening) {
            Ok(opened) => {
                self.patience = None;
                self.opening = Some(opened);
            }
            Err(error_code) => {
                let request_id = opening.request_id;
                let error = OpenMiningChannelError {
                    request_id,
                    error_code,
                };
                write_frame(&error, &mut self.output);
            }
        }
    }

    fn open(&mut self, now: Instant, opening: &Opening<'_>) -> Result<Opened, Code<'static>> {
        let Opening {
            kind, rolled_len, ..
        } = *opening;
        self.check_kind(kind)?;
        if ExtranoncePrefix::LEN + rolled_len > Coinbase::MAX_EXTRANONCE_LEN {
            return Err(codes::MIN_EXTRANONCE_SIZE_TOO_LARGE);
        }
        let (rate, floor) = declared(opening.nominal_hash_rate, opening.max_target)?;
        let settings = self.desk.rules.difficulty;
        if floor > settings.max {
            return Err(codes::MAX_TARGET_OUT_OF_RANGE);
        }
        let miner = self.miner(opening.user)?;
        let prefix = self.take_place()?;
        let id = self.next_id();
        let (payout, imprint) = (miner.payout.clone(), self.desk.rules.imprint.clone());
        let budget = &self.desk.budget;
        let channel = Channel::with_rolled_len(kind, prefix, payout, imprint, rolled_len, budget);
        let control = DifficultyControl::new(settings, rate, floor, now);
        let seat = Seat::new(id, miner, channel, control, &self.desk.work, now);
        let group = self.join_group(&seat);
        self.tell_joined(&seat);
        self.seats.insert(now, Box::new(seat));
        Ok(Opened {
            at: now,
            request_id: opening.request_id,
            seat: id,
            group,
        })
    }

    fn check_kind(&self, kind: ChannelKind) -> Result<(), Code<'static>> {
        let setup = self.setup.as_ref();
        let standard_only = setup.is_some_and(Setup::requires_standard_jobs);
        match kind {
            ChannelKind::Extended if standard_only => {
                Err(codes::EXTENDED_CHANNELS_NOT_SUPPORTED_FOR_STANDARD_JOBS)
            }
            ChannelKind::Standard if self.desk.rules.sv2.extended_channels_only => {
                Err(codes::STANDARD_CHANNELS_NOT_SUPPORTED)
            }
            ChannelKind::Extended | ChannelKind::Standard => Ok(()),
        }
    }

    /// A prefix for another channel, if the connection may have one. Ids for it and its group are
    /// left then.
    fn take_place(&mut self) -> Result<ExtranoncePrefix, Code<'static>> {
        let has_room = self.seats.len() < MAX_CHANNELS
            && self.opened_on_tip < MAX_OPENED_PER_TIP
            && self.next_id < workers::FIRST_SEAT - 2;
        let prefix = match has_room {
            true => self.desk.take_prefix(),
            false => None,
        };
        self.opened_on_tip += u32::from(prefix.is_some());
        prefix.ok_or(codes::CHANNEL_CAPACITY_EXHAUSTED)
    }

    fn miner(&mut self, user: &[u8]) -> Result<Miner, Code<'static>> {
        let user = String::from_utf8_lossy(user);
        self.desk.rules.payouts.miner(&user).map_err(|error| {
            self.desk.tell(SessionEvent::NameRefused {
                user: Device::new(&user).as_str().to_owned(),
                reason: error.to_string(),
            });
            codes::INVALID_USER_IDENTITY
        })
    }

    /// Tells the client of the channel that it has opened, and gives it its first job (MP-43).
    pub(super) fn answer_opening(&mut self) {
        let Some(opened) = self.opening.take() else {
            return;
        };
        let id = opened.seat;
        let Some(seat) = self.seats.get_mut(id) else {
            return;
        };
        if let Some(rung) = seat.announce(&self.desk.work) {
            self.workers.tell_difficulty(&mut self.desk, id, rung);
        }
        self.write_success(opened);
        self.send_first_job(opened.at, id);
        self.plan_staging(opened.at);
    }

    /// Puts `seat` into its group, which is made when it is the first of its kind.
    fn join_group(&mut self, seat: &Seat) -> ChannelId {
        let kind = GroupKind::of(&seat.channel);
        let id = self.groups.find(&kind).unwrap_or_else(|| self.next_id());
        self.groups.join(id, kind, seat.id);
        id
    }

    fn write_success(&mut self, opened: Opened) {
        let Some(seat) = self.seats.get(opened.seat) else {
            return;
        };
        let prefix = seat.channel.fixed_extranonce();
        let extranonce_prefix = Bytes32::new(&prefix).expect("an extranonce has at most 32 bytes");
        let target = U256::from_le_bytes(seat.announced().target().to_le_bytes());
        let request_id = opened.request_id;
        let (channel_id, group_channel_id) = (seat.id.get(), opened.group.get());
        match seat.channel.kind() {
            ChannelKind::Standard => write_frame(
                &OpenStandardMiningChannelSuccess {
                    request_id,
                    channel_id,
                    target,
                    extranonce_prefix,
                    group_channel_id,
                },
                &mut self.output,
            ),
            ChannelKind::Extended => write_frame(
                &OpenExtendedMiningChannelSuccess {
                    request_id,
                    channel_id,
                    target,
                    extranonce_size: seat.channel.submitted_len() as u16,
                    extranonce_prefix,
                    group_channel_id,
                },
                &mut self.output,
            ),
        }
    }

    fn tell_joined(&mut self, seat: &Seat) {
        let Some(setup) = &self.setup else { return };
        let joined = workers::joined(seat.id, seat.miner.clone(), seat, &setup.device);
        self.desk.tell(joined);
    }
}

/// The hashrate that a client declares, and the easiest rung that it accepts.
fn declared(rate: f32, max_target: U256) -> Result<(Hashrate, Rung), Code<'static>> {
    let rate = Hashrate::from_hashes_per_second(rate.into());
    let rate = rate.ok_or(codes::INVALID_NOMINAL_HASHRATE)?;
    let max_target = Target::from_le_bytes(max_target.to_le_bytes());
    let floor = Rung::within(max_target).ok_or(codes::MAX_TARGET_OUT_OF_RANGE)?;
    Ok((rate, floor))
}
