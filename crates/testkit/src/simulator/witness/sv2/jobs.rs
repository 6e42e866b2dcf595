//! Jobs and tips that the pool sends on a Stratum V2 connection.

use std::rc::Rc;

use headframe_sv2_wire::mining::{NewExtendedMiningJob, NewMiningJob, SetNewPrevHash};

use super::{Moment, Seat, Sv2Observer};
use crate::simulator::jobs::{Channel, Draft, Root, Tip};
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
        let used = self.used_ids.len();
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
            check_time(at, &seat.channel, time)?;
            let is_begun = seat.channel.begin(at.now, Rc::clone(&draft), time);
            ensure(is_begun, || {
                "MP-89: a job that begins without a tip".to_owned()
            })?;
        }
        Ok(())
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
        for seat in self.addressed(message.channel_id)? {
            seat.used_at_tip = used;
            let is_other = seat
                .channel
                .tip
                .is_none_or(|last| (last.prev_hash, last.bits) != (tip.prev_hash, tip.bits));
            ensure(is_other, || "MP-101: the same tip again".to_owned())?;
            check_time(at, &seat.channel, tip.min_time)?;
            let (to, job) = (message.channel_id, message.job_id);
            ensure(seat.channel.activate(at.now, to, job, tip), || {
                format!("R-9: the tip of {to} names job {job}, which was not sent to it ahead")
            })?;
        }
        Ok(())
    }
}

/// a job begins with the network's time, and never before a job on the same tip.
fn check_time(at: &Moment<'_>, channel: &Channel, time: u32) -> Result<(), Violation> {
    let is_present = (at.time - BEHIND..=at.time + AHEAD).contains(&time);
    ensure(is_present, || {
        format!(
            "R-16: a job begins at {time}, the network is at {}",
            at.time
        )
    })?;
    let tip = at.work.tip();
    let last = channel.jobs.back();
    let last = last.filter(|job| job.tip.prev_hash[..] == *AsRef::<[u8]>::as_ref(&tip));
    ensure(last.is_none_or(|last| last.min_time <= time), || {
        format!("R-16: a job's first time goes back to {time}")
    })
}
