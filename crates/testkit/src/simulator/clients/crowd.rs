//! A proxy with some standard channels, each for another machine of one owner or of another.

use std::sync::Arc;
use std::time::Instant;

use headframe_mining::client::{ClientEvent, CrowdEvent, MiningWork, Sv2Crowd};
use headframe_sv2_wire::Frame;
use headframe_work::Target;

use super::{Listener, Means, Profile, settings};
use crate::simulator::users::Users;
use crate::simulator::witness::Violation;

/// Channels of one proxy, at least and at most.
const CHANNELS: core::ops::Range<u64> = 3..9;

/// A proxy.
#[derive(Debug)]
pub(super) struct Crowd {
    session: Box<Sv2Crowd>,
    rigs: Vec<Rig>,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Rig {
    work: Option<Arc<MiningWork>>,
    target: Option<Target>,
    epoch: u64,
}

impl Crowd {
    pub(super) fn new(
        now: Instant,
        listener: Listener,
        user: &str,
        users: &Users,
        means: &mut Means,
    ) -> Self {
        let count = CHANNELS.start + means.chance.below(CHANNELS.end - CHANNELS.start);
        let names: Vec<String> = (0..count)
            .map(|_| match means.chance.happens(0.7) {
                true => users.sibling(user, &mut means.chance),
                false => users.choose(&mut means.chance),
            })
            .collect();
        let settings = settings(Profile::Crowd, listener, user, means.rate);
        let session = Sv2Crowd::new(now, &settings, &names).expect("short names");
        Self {
            session: session.into(),
            rigs: names.iter().map(|_| Rig::default()).collect(),
            is_closed: false,
        }
    }

    pub(super) fn take(
        &mut self,
        now: Instant,
        message: &[u8],
        means: &mut Means,
    ) -> Result<(), Violation> {
        if let Some((frame, _)) = Frame::split(message) {
            let taken = self.session.handle_frame(now, frame);
            taken.map_err(|error| format!("a proxy leaves the pool: {error}"))?;
        }
        while let Some(event) = self.session.poll_event() {
            self.take_event(event, means)?;
        }
        Ok(())
    }

    pub(super) fn find(&mut self, now: Instant, channel: u32, epoch: u64, means: &mut Means) {
        let rig = self.rigs.get(channel as usize);
        let Some(rig) = rig.filter(|rig| rig.epoch == epoch) else {
            return;
        };
        if let Some(work) = &rig.work {
            means.plan_find(work.target, channel, epoch);
            let solution = means.solve(now, work);
            self.session
                .submit_unjudged(now, channel as usize, &solution);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<bool, Violation> {
        self.session.handle_timeout(now);
        while let Some(event) = self.session.poll_event() {
            self.is_closed |= matches!(event, CrowdEvent::Closed(_));
        }
        Ok(!self.is_closed)
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }

    pub(super) fn take_output(&mut self) -> Vec<u8> {
        let mut output = Vec::new();
        while let Some(message) = self.session.poll_transmit() {
            output.extend_from_slice(&message);
        }
        output
    }

    fn take_event(&mut self, event: CrowdEvent, means: &mut Means) -> Result<(), Violation> {
        match event {
            CrowdEvent::Channel(number, ClientEvent::Work(work)) => {
                let rig = &mut self.rigs[number];
                let target = work.target;
                rig.work = Some(work);
                if rig.target.replace(target) != Some(target) {
                    rig.epoch += 1;
                    means.plan_find(target, number as u32, rig.epoch);
                }
                Ok(())
            }
            CrowdEvent::Channel(_, ClientEvent::ShareAccepted { sent }) => {
                means.acknowledged += sent.len() as u64;
                Ok(())
            }
            CrowdEvent::Channel(
                _,
                ClientEvent::Ready | ClientEvent::Target(_) | ClientEvent::ShareRejected { .. },
            ) => Ok(()),
            CrowdEvent::Closed(_) => {
                self.is_closed = true;
                Ok(())
            }
            other => Err(format!("a proxy is told {other:?}")),
        }
    }
}
