//! Jobs and tips that the pool sends on a Stratum V2 connection.

use std::rc::Rc;

use headframe_sv2_wire::mining::{NewExtendedMiningJob, NewMiningJob, SetNewPrevHash};

use super::{Moment, Seat, Sv2Observer};
use crate::simulator::jobs::{Draft, Root, Sent, Tip};
use crate::simulator::witness::{Violation, Witness, ensure};

/// Job ids of a channel that are kept in mind: more than it can have in the time that a job is good.
const KEPT_IDS: usize = 600;
/// Jobs that wait for their tip on one channel: the specification has no bound, firmware eight. Each channel
/// that joins a group has one more sent to all of it.
const MOST_FUTURE: usize = 8;
/// A job's first time is not further ahead of the network's than this, in seconds.
const AHEAD: u32 = 60;
/// Nor further behind: what a session says was made a moment ago.
const BEHIND: u32 = 5;

impl Sv2Observer {
    pub(super) fn take_standard_job(
        &mut self,
        at: &Moment<'_>,
        job: &NewMiningJob,
        witness: &mut Witness,
    ) -> Result<(), Violation> {
        let root = job.merkle_root.to_le_bytes();
        let draft = Draft {
            id: job.job_id,
            version: job.version,
            root: Root::Given(root),
        };
        let to = job.channel_id;
        let seat = self
            .seats
            .get(&to)
            .ok_or("MP-51: a job for no open channel")?;
        ensure(!seat.channel.is_extended, || {
            "MP-4: a standard job on an extended channel".to_owned()
        })?;
        witness.search(&[&root])?;
        self.give_job(at, to, draft, job.min_ntime, witness)
    }

    pub(super) fn take_job(
        &mut self,
        at: &Moment<'_>,
        job: &NewExtendedMiningJob<'_>,
        witness: &mut Witness,
    ) -> Result<(), Violation> {
        let (prefix, suffix) = (
            job.coinbase_tx_prefix.as_bytes(),
            job.coinbase_tx_suffix.as_bytes(),
        );
        ensure(!self.takes_standard_only, || {
            "MP-24: the client takes standard jobs only".to_owned()
        })?;
        ensure(
            job.version_rolling_allowed != self.rules.fixed_version,
            || {
                "MP-28: versions are rolled where they are fixed, or not where they are not"
                    .to_owned()
            },
        )?;
        let to = job.channel_id;
        for seat in self.addressed(to)? {
            let Seat {
                channel, script, ..
            } = seat;
            ensure(channel.is_extended || to != channel.id, || {
                "MP-5: an extended job on a standard channel".to_owned()
            })?;
            let script = script.as_bytes();
            ensure(
                suffix.windows(script.len()).any(|part| part == script),
                || format!("R-1: a job of channel {} pays somebody else", channel.id),
            )?;
            let fixed = &channel.prefix[..4];
            witness.search(&[prefix, fixed])?;
        }
        let path = job.merkle_path.iter().map(|hash| hash.to_le_bytes());
        let draft = Draft {
            id: job.job_id,
            version: job.version,
            root: Root::Coinbase {
                prefix: prefix.to_vec(),
                suffix: suffix.to_vec(),
                path: path.collect(),
            },
        };
        self.give_job(at, to, draft, job.min_ntime, witness)
    }

    fn give_job(
        &mut self,
        at: &Moment<'_>,
        to: u32,
        draft: Draft,
        min_time: Option<u32>,
        witness: &mut Witness,
    ) -> Result<(), Violation> {
        let (id, is_future) = (draft.id, min_time.is_none());
        ensure(id != 0, || "MP-90: 0 is no job id".to_owned())?;
        witness.number(id, is_future, (self.connection, to))?;
        let draft = Rc::new(draft);
        let (used, least) = (self.used_ids.len(), self.least_time(at, to)?);
        for seat in self.addressed(to)? {
            ensure(!seat.ids.contains(&id), || {
                format!(
                    "R-10: job id {id} comes twice on channel {}",
                    seat.channel.id
                )
            })?;
            seat.ids.push_back(id);
            if seat.ids.len() > KEPT_IDS {
                seat.ids.pop_front();
            }
            let Some(time) = min_time else {
                seat.channel.future.push((to, Rc::clone(&draft)));
                let most = MOST_FUTURE + used - seat.used_at_tip;
                ensure(seat.channel.future.len() <= most, || {
                    "MP-88: too many future jobs".to_owned()
                })?;
                continue;
            };
            check_time(at, least, time)?;
            let is_begun = seat.channel.begin(at.sent(), Rc::clone(&draft), time);
            ensure(is_begun, || {
                "MP-89: a job that begins without a tip".to_owned()
            })?;
        }
        Ok(())
    }

    /// The first time of the last job on the present tip of the channels that are addressed by `to`.
    fn least_time(&mut self, at: &Moment<'_>, to: u32) -> Result<u32, Violation> {
        let tip = at.work.tip();
        let tip: &[u8] = tip.as_ref();
        let last = |seat: &mut Seat| {
            let last = seat.channel.jobs.back();
            last.filter(|job| job.tip.prev_hash[..] == *tip)
                .map(|job| job.min_time)
        };
        let addressed = self.addressed(to)?.into_iter();
        Ok(addressed.filter_map(last).max().unwrap_or(0))
    }

    pub(super) fn take_tip(
        &mut self,
        at: &Moment<'_>,
        message: &SetNewPrevHash,
    ) -> Result<(), Violation> {
        let tip = Tip {
            prev_hash: message.prev_hash.to_le_bytes(),
            bits: message.nbits,
            min_time: message.min_ntime,
        };
        let template = at.work.prepared.template();
        let is_present = AsRef::<[u8]>::as_ref(&template.prev_hash) == tip.prev_hash
            && template.bits.to_consensus() == tip.bits;
        ensure(is_present, || "MP-101: a tip that is none".to_owned())?;
        let used = self.used_ids.len();
        let least = self.least_time(at, message.channel_id)?;
        for seat in self.addressed(message.channel_id)? {
            seat.used_at_tip = used;
            let is_other = seat
                .channel
                .tip
                .is_none_or(|last| (last.prev_hash, last.bits) != (tip.prev_hash, tip.bits));
            ensure(is_other, || "MP-101: the same tip again".to_owned())?;
            check_time(at, least, tip.min_time)?;
            let (to, job) = (message.channel_id, message.job_id);
            ensure(seat.channel.activate(at.sent(), to, job, tip), || {
                format!("R-9: the tip of {to} names job {job}, which was not sent to it ahead")
            })?;
        }
        Ok(())
    }
}

/// a job begins with the network's time, as far as its bits hold for that, and never before one
/// that its addressees had on the same tip, the last of which began at `least`: where the node's
/// clock was set back, all begin with the time of the last.
fn check_time(at: &Moment<'_>, least: u32, time: u32) -> Result<(), Violation> {
    let Sent {
        time: now, latest, ..
    } = at.sent();
    let least = least.min(latest);
    let wanted = now.max(at.work.earliest.as_secs()).max(least).min(latest);
    let is_present = (wanted.saturating_sub(BEHIND)..=wanted + AHEAD).contains(&time);
    ensure(is_present && time <= latest, || {
        format!("R-16: a job begins at {time} instead of {wanted}, until {latest}")
    })?;
    ensure(least <= time, || {
        format!("R-16: a job's first time goes back to {time}")
    })
}
