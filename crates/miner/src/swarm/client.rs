//! One connection of a swarm: a task, its channels, and when they send.

use core::pin::pin;
use core::time::Duration;
use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use bitcoin::BlockHash;
use headframe_mining::client::{ClientEvent, CrowdEvent};
use headframe_transport::{Dialer, Filled};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::link::{Link, kind_of, kind_of_close};
use super::seat::{Prepared, Seat, prepare};
use super::shares::Effort;
use super::tally::Batch;
use super::{Pace, Shared};
use crate::MinerError;

/// Shares that a connection which is behind its pace may catch up with; more are skipped.
const CATCH_UP: usize = 64;

/// Shares of a channel that may wait for an answer where they are sent at a pace.
const PACED_WINDOW: usize = 4_096;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Connections are opened, and shares found beforehand.
    Connecting,
    /// Shares are sent, from this moment on.
    Sending(Instant),
    /// No more shares are sent; answers are waited for.
    Draining,
}

/// A connection and what it has to count.
pub(super) struct Client {
    shared: Arc<Shared>,
    number: usize,
    stage: watch::Receiver<Stage>,
    seats: Vec<Seat>,
    /// All shares that wait for an answer.
    waiting: usize,
    batch: Batch,
    /// When the connection was begun; `None` once the first job came.
    begun: Option<Instant>,
    is_ready: bool,
    is_preparing: bool,
    tip: TipWatch,
    finding: Option<JoinHandle<Prepared>>,
    pace: Option<Steps>,
    next_seat: usize,
}

impl Client {
    pub(super) fn new(shared: Arc<Shared>, number: usize, stage: watch::Receiver<Stage>) -> Self {
        let seats = (0..shared.settings.channels).map(|_| Seat::default());
        Self {
            seats: seats.collect(),
            shared,
            number,
            stage,
            waiting: 0,
            batch: Batch::default(),
            begun: None,
            is_ready: false,
            is_preparing: false,
            tip: TipWatch::default(),
            finding: None,
            pace: None,
            next_seat: 0,
        }
    }

    /// Connects at `begin` and stays until the run is over, or the connection is.
    pub(super) async fn run(mut self, begin: Instant, dialer: Dialer) {
        sleep_until(begin.into()).await;
        let result = self.live(&dialer).await;
        self.leave(result.err());
    }

    /// Errors with the kind of what went wrong.
    async fn live(&mut self, dialer: &Dialer) -> Result<(), String> {
        self.begun = Some(Instant::now());
        let shared = Arc::clone(&self.shared);
        let link = Link::dial(&shared.settings, dialer, self.number).await;
        let mut link = link.map_err(|error| kind_of(&error))?;
        let mut timeout = pin!(sleep_until(deadline_of(&link)));
        loop {
            let due = self.send(&mut link);
            self.find_shares();
            link.queue_output()
                .map_err(|error| kind_of(&error.into()))?;
            shared.add(&mut self.batch);
            if self.is_drained() {
                return Ok(());
            }
            tokio::select! {
                filled = link.fill() => {
                    let now = Instant::now();
                    match filled.map_err(|error| kind_of(&error.into()))? {
                        Filled::Bytes => link.handle_input(now).map_err(|error| kind_of(&error))?,
                        Filled::Closed => return Err(kind_of(&MinerError::Closed)),
                    }
                    self.handle_events(&mut link, now)?;
                }
                prepared = found(&mut self.finding) => self.handle_prepared(prepared),
                () = due_at(due) => {}
                // The sender lives for as long as the run.
                _ = self.stage.changed() => {}
                () = &mut timeout => {
                    link.handle_timeout(Instant::now());
                    self.handle_events(&mut link, Instant::now())?;
                    timeout.as_mut().reset(deadline_of(&link));
                }
            }
        }
    }

    /// Counts the end of the connection.
    fn leave(mut self, error: Option<String>) {
        if let Some(finding) = &self.finding {
            finding.abort();
        }
        self.batch.errors.extend(error);
        let mut tally = self.shared.tally();
        tally.add(&mut self.batch);
        tally.dropped += self.waiting as u64;
        tally.preparing -= usize::from(self.is_preparing);
        let is_over = *self.stage.borrow() == Stage::Draining;
        match self.is_ready {
            true => tally.lost += usize::from(!is_over),
            false => {
                tally.pending -= 1;
                tally.failed += 1;
            }
        }
        drop(tally);
        self.shared.changed.notify_one();
    }

    fn is_drained(&self) -> bool {
        *self.stage.borrow() == Stage::Draining && self.waiting == 0
    }

    fn handle_events(&mut self, link: &mut Link, now: Instant) -> Result<(), String> {
        while let Some(event) = link.poll_event() {
            match event {
                CrowdEvent::Channel(number, event) => self.handle_event(number, event, now)?,
                CrowdEvent::Reconnect(_) => return Err("told to reconnect".to_owned()),
                CrowdEvent::Closed(reason) => return Err(kind_of_close(&reason)),
            }
        }
        Ok(())
    }

    fn handle_event(
        &mut self,
        number: usize,
        event: ClientEvent,
        now: Instant,
    ) -> Result<(), String> {
        let quality = self.shared.settings.quality;
        let Some(seat) = self.seats.get_mut(number) else {
            return Ok(());
        };
        match event {
            ClientEvent::Work(work) => {
                let tip = work.prev_hash;
                let is_new_tip = seat.tip.replace(tip) != Some(tip);
                if seat.handle_work(work, quality) == Effort::TooMuch {
                    let kind = "shares of this difficulty take too many hashes";
                    self.batch.errors.push(kind.to_owned());
                }
                let open = self.seats.iter().filter(|seat| !seat.is_closed).count();
                if is_new_tip && self.tip.handle_channel(tip, open) {
                    self.batch.tips.push((tip, now));
                }
                self.look_whether_ready(now);
            }
            ClientEvent::NoWork => seat.handle_no_work(),
            ClientEvent::ShareAccepted { sent } => {
                self.batch.accepted += sent.len() as u64;
                self.answered(number, &sent, now);
            }
            ClientEvent::ShareRejected { code, sent } => {
                self.batch.rejected.push(code);
                self.answered(number, &[sent], now);
            }
            ClientEvent::Closed(reason) => {
                seat.is_closed = true;
                seat.handle_no_work();
                let kind = kind_of_close(&reason);
                if self.seats.iter().all(|seat| seat.is_closed) {
                    return Err(kind);
                }
                self.batch.errors.push(kind);
                self.look_whether_ready(now);
            }
            ClientEvent::Ready
            | ClientEvent::Target(_)
            | ClientEvent::Notice(_)
            | ClientEvent::Reconnect(_) => {}
        }
        Ok(())
    }

    fn answered(&mut self, number: usize, sent: &[Instant], now: Instant) {
        let replies = sent.iter().map(|at| now.saturating_duration_since(*at));
        self.batch.replies.extend(replies);
        self.waiting = self.waiting.saturating_sub(sent.len());
        if let Some(seat) = self.seats.get_mut(number) {
            seat.waiting = seat.waiting.saturating_sub(sent.len());
        }
    }

    /// A connection is ready when each of its channels has work or was refused.
    fn look_whether_ready(&mut self, now: Instant) {
        if let Some(begun) = self
            .begun
            .take_if(|_| self.seats.iter().any(Seat::has_work))
        {
            self.shared
                .tally()
                .add_first_job(now.saturating_duration_since(begun));
        }
        let is_ready = |seat: &Seat| seat.is_closed || seat.has_work();
        if self.is_ready || !self.seats.iter().all(is_ready) {
            return;
        }
        self.is_ready = true;
        self.is_preparing = !self.seats.iter().all(Seat::is_prepared);
        let mut tally = self.shared.tally();
        tally.pending -= 1;
        tally.ready += 1;
        tally.preparing += usize::from(self.is_preparing);
        drop(tally);
        self.shared.changed.notify_one();
    }

    /// Has shares found elsewhere, for one channel at a time.
    fn find_shares(&mut self) {
        if self.finding.is_some() {
            return;
        }
        let quality = self.shared.settings.quality;
        let mut seats = self.seats.iter_mut().enumerate();
        let wanting = seats.find_map(|(number, seat)| Some((number, seat.wanting(quality)?)));
        let Some((number, maker)) = wanting else {
            return;
        };
        let places = Arc::clone(&self.shared.places);
        self.finding = Some(tokio::spawn(async move {
            let place = places.acquire_owned().await;
            let found = tokio::task::spawn_blocking(move || {
                let prepared = prepare(number, maker);
                drop(place);
                prepared
            });
            found.await.expect("finding shares does not panic")
        }));
    }

    fn handle_prepared(&mut self, prepared: Option<Prepared>) {
        self.finding = None;
        let Some(prepared) = prepared else {
            return;
        };
        if let Some(seat) = self.seats.get_mut(prepared.number) {
            seat.handle_prepared(prepared);
        }
        if self.is_preparing && self.seats.iter().all(Seat::is_prepared) {
            self.is_preparing = false;
            self.shared.tally().preparing -= 1;
            self.shared.changed.notify_one();
        }
    }

    /// Sends what is to be sent now; says when the next share is due, if that is a matter of time.
    fn send(&mut self, link: &mut Link) -> Option<Instant> {
        let Stage::Sending(start) = *self.stage.borrow() else {
            return None;
        };
        match self.shared.settings.pace {
            Pace::AsAnswered { window } => {
                self.fill_windows(link, window);
                None
            }
            Pace::PerSecond(rate) => Some(self.keep_pace(link, start, rate)),
        }
    }

    fn fill_windows(&mut self, link: &mut Link, window: usize) {
        let now = Instant::now();
        for number in 0..self.seats.len() {
            while self.seats[number].waiting < window && self.send_one(link, number, now) {}
        }
    }

    fn keep_pace(&mut self, link: &mut Link, start: Instant, rate: f64) -> Instant {
        let settings = &self.shared.settings;
        let first = || Steps::new(start, rate, self.number, settings.connections);
        let mut steps = self.pace.unwrap_or_else(first);
        let now = Instant::now();
        let (due, skipped) = steps.take(now);
        self.batch.skipped += skipped;
        for _ in 0..due {
            let number = self.next_seat;
            self.next_seat = (number + 1) % self.seats.len();
            match self.seats[number].waiting < PACED_WINDOW {
                true => drop(self.send_one(link, number, now)),
                false => self.batch.skipped += 1,
            }
        }
        self.pace = Some(steps);
        steps.next
    }

    /// Sends a share of a channel; false if there is none, or no more are wanted.
    fn send_one(&mut self, link: &mut Link, number: usize, now: Instant) -> bool {
        let Some(seat) = self.seats.get_mut(number) else {
            return false;
        };
        let late = &mut self.batch.not_found_in_time;
        let Some(share) = seat.share(self.shared.settings.quality, || *late += 1) else {
            return false;
        };
        if !self.shared.take_ticket() {
            seat.keep(share);
            return false;
        }
        match link.submit(now, number, &share) {
            true => {
                seat.waiting += 1;
                self.waiting += 1;
                self.batch.sent += 1;
            }
            false => {
                self.shared.return_ticket();
                seat.handle_void(&share);
            }
        }
        true
    }
}

/// What was found elsewhere, when it is; `None` if nobody can look any more.
async fn found(finding: &mut Option<JoinHandle<Prepared>>) -> Option<Prepared> {
    match finding {
        Some(finding) => finding.await.ok(),
        None => pending().await,
    }
}

/// That moment, or never.
pub(super) async fn due_at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}

/// When the session wants to look at the time next.
fn deadline_of(link: &Link) -> tokio::time::Instant {
    let soon = || Instant::now() + Duration::from_secs(1);
    link.poll_timeout().unwrap_or_else(soon).into()
}

/// When the shares of a connection are due.
#[derive(Debug, Clone, Copy)]
struct Steps {
    next: Instant,
    step: Duration,
}

impl Steps {
    /// `rate` shares a second of `connections`, of which this one has a `number`: they take turns.
    fn new(start: Instant, rate: f64, number: usize, connections: usize) -> Self {
        let step = |shares: f64| {
            let seconds = (shares / rate).clamp(1e-6, 1e6);
            Duration::from_secs_f64(seconds)
        };
        Self {
            next: start + step(number as f64 + 1.0),
            step: step(connections as f64),
        }
    }

    /// The shares that are due, and those that are not worth catching up with.
    fn take(&mut self, now: Instant) -> (usize, u64) {
        let mut due = 0;
        while self.next <= now && due < CATCH_UP {
            self.next += self.step;
            due += 1;
        }
        let behind = now.saturating_duration_since(self.next);
        if self.next > now {
            return (due, 0);
        }
        let skipped = behind.as_nanos() / self.step.as_nanos().max(1) + 1;
        self.next = now + self.step;
        (due, u64::try_from(skipped).unwrap_or(u64::MAX))
    }
}

/// Notices when all channels of a connection have come to a new tip.
#[derive(Debug, Default)]
struct TipWatch {
    present: Option<BlockHash>,
    before: Option<BlockHash>,
    /// Channels that are not on the present tip yet.
    missing: usize,
}

impl TipWatch {
    /// One more of `open` channels has come to `tip`; whether it was the last of them. The tip that the
    /// connection began with is none that it was told.
    fn handle_channel(&mut self, tip: BlockHash, open: usize) -> bool {
        if self.before == Some(tip) {
            return false;
        }
        if self.present != Some(tip) {
            self.before = self.present.replace(tip);
            self.missing = open;
        }
        let was_missing = self.missing;
        self.missing = self.missing.saturating_sub(1);
        was_missing == 1 && self.before.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use bitcoin::hashes::Hash;

    fn tip(number: u8) -> BlockHash {
        BlockHash::from_byte_array([number; 32])
    }

    #[test]
    fn a_tip_has_arrived_with_the_last_channel() {
        let mut watch = TipWatch::default();
        let mut told = |number, open| watch.handle_channel(tip(number), open);
        // Three channels open, one after another: no tip was told.
        assert!(!told(1, 1) && !told(1, 2) && !told(1, 3));
        assert!(!told(2, 3) && !told(2, 3) && told(2, 3));
        // A fourth opens on it, and one is late with the tip before.
        assert!(!told(2, 4) && !told(1, 4));
        // A tip is overtaken before all had it.
        assert!(!told(3, 4) && !told(3, 4));
        assert!(!told(4, 4) && !told(4, 4) && !told(4, 4) && told(4, 4));
    }

    #[test]
    fn connections_take_turns_at_the_rate() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        // Four connections send 100 a second: every 40 ms each, the third at first after 30 ms.
        let mut steps = Steps::new(start, 100.0, 2, 4);
        assert_eq!((steps.take(at(29)), steps.next), ((0, 0), at(30)));
        assert_eq!((steps.take(at(30)), steps.next), ((1, 0), at(70)));
        assert_eq!((steps.take(at(150)), steps.next), ((3, 0), at(190)));
    }

    #[test]
    fn who_is_far_behind_skips() {
        let start = Instant::now();
        let mut steps = Steps::new(start, 1_000.0, 0, 1);
        let (due, skipped) = steps.take(start + Duration::from_secs(1));
        assert_eq!((due, skipped), (CATCH_UP, 1_000 - CATCH_UP as u64));
        assert_eq!(steps.next, start + Duration::from_millis(1_001));
    }
}
