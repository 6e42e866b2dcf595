//! An honest device with one channel or one Stratum V1 worker.

use std::sync::Arc;
use std::time::Instant;

use headframe_mining::client::{
    ClientEvent, CloseReason, MiningWork, Submission, Sv1Session, Sv1Settings, Sv2Session,
    Sv2Settings,
};
use headframe_sv2_wire::Frame;
use headframe_work::{Hashrate, Target};

use super::Means;
use crate::simulator::witness::{Violation, ensure};

/// What an honest device's share may be refused with: its tip or its job was replaced while it was on
/// its way.
const LATE: [&str; 4] = ["stale-share", "invalid-job-id", "Stale", "Invalid JobID"];

/// And where bits hold for so long only, until the pool has the node's next template.
const OUT_OF_TIME: [&str; 2] = ["invalid-share", "Ntime out of range"];

/// A device.
#[derive(Debug)]
pub(super) struct Device {
    end: End,
    work: Option<Arc<MiningWork>>,
    /// The work before, which may still be good.
    before: Option<Arc<MiningWork>>,
    /// What it hashes for, and since when.
    target: Option<Target>,
    epoch: u64,
    is_closed: bool,
}

#[derive(Debug)]
enum End {
    Sv1(Box<Sv1Session>),
    Sv2(Box<Sv2Session>),
}

impl Device {
    pub(super) fn sv1(now: Instant, user: &str, means: &mut Means) -> Self {
        let settings = Sv1Settings {
            user_agent: "simulated/1".to_owned(),
            user: user.to_owned(),
            password: "x".to_owned(),
            roll_version: means.chance.happens(0.7),
            suggest_difficulty: None,
        };
        let session = Sv1Session::new(now, &settings).expect("short names");
        Self::new(End::Sv1(session.into()))
    }

    pub(super) fn sv2(now: Instant, mut settings: Sv2Settings, means: &mut Means) -> Self {
        // Some exaggerate.
        let factor = [1.0, 1.0, 1.0, 64.0, 0.0][means.chance.below(5) as usize];
        let rate = Hashrate::from_hashes_per_second(means.rate * factor);
        settings.nominal_hashrate = rate.unwrap_or(Hashrate::ZERO);
        let session = Sv2Session::new(now, &settings).expect("short names");
        Self::new(End::Sv2(session.into()))
    }

    fn new(end: End) -> Self {
        Self {
            end,
            work: None,
            before: None,
            target: None,
            epoch: 0,
            is_closed: false,
        }
    }

    pub(super) fn take(
        &mut self,
        now: Instant,
        message: &[u8],
        means: &mut Means,
    ) -> Result<(), Violation> {
        let taken = match &mut self.end {
            End::Sv1(session) => session.handle_line(now, message),
            End::Sv2(session) => match Frame::split(message) {
                Some((frame, _)) => session.handle_frame(now, frame),
                None => Ok(()),
            },
        };
        taken.map_err(|error| format!("a client leaves the pool: {error}"))?;
        self.take_events(means)
    }

    pub(super) fn find(
        &mut self,
        now: Instant,
        epoch: u64,
        means: &mut Means,
    ) -> Result<(), Violation> {
        let Some(work) = self.work.as_ref().filter(|_| epoch == self.epoch) else {
            return Ok(());
        };
        means.plan_find(work.target, 0, epoch);
        let before = self.before.as_ref();
        let before = before.filter(|before| before.target == work.target);
        let work = match before {
            Some(before) if means.chance.happens(0.1) => before,
            _ => work,
        };
        let solution = means.solve(now, work);
        let submitted = match &mut self.end {
            End::Sv1(session) => session.submit(now, &solution),
            End::Sv2(session) => session.submit(now, &solution),
        };
        match submitted {
            Submission::Sent { .. } | Submission::Void => Ok(()),
            Submission::Wrong(error) => Err(format!("a client refuses its own share: {error}")),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<bool, Violation> {
        match &mut self.end {
            End::Sv1(session) => session.handle_timeout(now),
            End::Sv2(session) => session.handle_timeout(now),
        }
        while let Some(event) = self.poll_event() {
            self.is_closed |= matches!(event, ClientEvent::Closed(_));
        }
        Ok(!self.is_closed)
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        match &self.end {
            End::Sv1(session) => session.poll_timeout(),
            End::Sv2(session) => session.poll_timeout(),
        }
    }

    pub(super) fn close(&mut self) {
        match &mut self.end {
            End::Sv1(session) => session.close(),
            End::Sv2(session) => session.close(),
        }
    }

    pub(super) fn take_output(&mut self) -> Vec<u8> {
        let mut output = Vec::new();
        while let Some(message) = match &mut self.end {
            End::Sv1(session) => session.poll_transmit(),
            End::Sv2(session) => session.poll_transmit(),
        } {
            output.extend_from_slice(&message);
        }
        output
    }

    fn poll_event(&mut self) -> Option<ClientEvent> {
        match &mut self.end {
            End::Sv1(session) => session.poll_event(),
            End::Sv2(session) => session.poll_event(),
        }
    }

    fn take_events(&mut self, means: &mut Means) -> Result<(), Violation> {
        while let Some(event) = self.poll_event() {
            match event {
                ClientEvent::Work(work) => self.begin(work, means),
                ClientEvent::ShareAccepted { sent } => means.acknowledged += sent.len() as u64,
                ClientEvent::ShareRejected { code, .. } => {
                    let is_any_of = |codes: &[&str]| codes.iter().any(|it| code.contains(it));
                    let is_out_of_time = means.is_bounded_in_time && is_any_of(&OUT_OF_TIME);
                    ensure(is_any_of(&LATE) || is_out_of_time, || {
                        format!("an honest device's share is refused: {code}")
                    })?;
                }
                ClientEvent::Ready | ClientEvent::Target(_) => {}
                ClientEvent::Closed(CloseReason::Done | CloseReason::TimedOut { .. }) => {
                    self.is_closed = true;
                }
                other => return Err(format!("an honest device is told {other:?}")),
            }
        }
        Ok(())
    }

    fn begin(&mut self, work: Arc<MiningWork>, means: &mut Means) {
        let target = work.target;
        self.before = self.work.replace(work);
        if self.target.replace(target) != Some(target) {
            self.epoch += 1;
            means.plan_find(target, 0, self.epoch);
        }
    }
}
