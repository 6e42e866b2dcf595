//! Leads a run from stage to stage, and measures from outside.

use core::future::Future;
use core::pin::pin;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use headframe_transport::PoolUrl;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::client::{Stage, due_at};
use super::report::{SwarmReport, TipZero};
use super::tally::Tally;
use super::tips::TipSeen;
use super::usage::Meter;
use super::{Shared, SwarmProgress, next_tip};
use crate::Protocol;

/// The longest time that is spent on finding shares before the first is sent.
const PREPARE_DEADLINE: Duration = Duration::from_secs(30);

/// The longest wait for answers after the last share.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// How often progress is told and memory looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A run and what is measured of it.
pub(super) struct Conductor<P> {
    shared: Arc<Shared>,
    stage: watch::Sender<Stage>,
    tips: Option<mpsc::Receiver<TipSeen>>,
    has_node: bool,
    progress: P,
    begin: Instant,
    /// When progress was told last, and the answers by then.
    told: (Instant, u64),
    swarm: Meter,
    process: Option<Meter>,
}

/// What the parts of a run came to.
struct Parts {
    connecting: Duration,
    preparing: Duration,
    sending: Duration,
    /// Connections that were ready when the first share was sent.
    ready: usize,
    /// Shares answered while shares were sent.
    answered: u64,
}

impl<P: FnMut(SwarmProgress)> Conductor<P> {
    pub(super) fn new(
        shared: Arc<Shared>,
        stage: watch::Sender<Stage>,
        tips: Option<mpsc::Receiver<TipSeen>>,
        progress: P,
    ) -> Self {
        let begin = Instant::now();
        let process = shared.settings.pid.map(|pid| Meter::new(Some(pid)));
        Self {
            shared,
            stage,
            has_node: tips.is_some(),
            tips,
            progress,
            begin,
            told: (begin, 0),
            swarm: Meter::new(None),
            process,
        }
    }

    /// Leads `clients` to the end, which is when the time is over, when as many shares as were wanted
    /// are done, when all connections are lost, or when `shutdown` completes.
    pub(super) async fn conduct(
        mut self,
        mut clients: JoinSet<()>,
        shutdown: impl Future<Output = ()>,
    ) -> SwarmReport {
        let mut shutdown = pin!(shutdown);
        self.read();
        let settled = |it: &Tally| it.pending == 0;
        let mut goes_on = self.until("connecting", None, &mut shutdown, settled).await;
        let connected = Instant::now();
        if goes_on {
            let prepared = |it: &Tally| it.preparing == 0;
            let most = Some(PREPARE_DEADLINE);
            goes_on = self.until("preparing", most, &mut shutdown, prepared).await;
        }
        self.read();
        let (ready, start) = (self.shared.tally().ready, Instant::now());
        if goes_on {
            self.stage.send_replace(Stage::Sending(start));
            let (most, goal) = (Some(self.shared.settings.duration), self.shared.goal);
            let over = move |it: &Tally| it.done() >= goal || it.lost == it.ready;
            self.until("sending", most, &mut shutdown, over).await;
        }
        let parts = Parts {
            connecting: connected - self.begin,
            preparing: start - connected,
            sending: start.elapsed(),
            ready,
            answered: self.shared.tally().answered(),
        };
        self.read();
        self.stage.send_replace(Stage::Draining);
        let drained = async { while clients.join_next().await.is_some() {} };
        // Whoever is late with an answer is in the report.
        let _ = timeout(DRAIN_DEADLINE, drained).await;
        clients.shutdown().await;
        self.report(&parts)
    }

    /// Waits until `is_so`, for `most` at most, and tells progress; false when the run was stopped.
    async fn until(
        &mut self,
        phase: &'static str,
        most: Option<Duration>,
        shutdown: &mut (impl Future<Output = ()> + Unpin),
        is_so: impl Fn(&Tally) -> bool,
    ) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = most.map(|most| Instant::now() + most);
        loop {
            if is_so(&shared.tally()) {
                return true;
            }
            tokio::select! {
                () = shared.changed.notified() => {}
                tip = next_tip(&mut self.tips) => shared.tally().tips.handle_node(tip),
                _ = look.tick() => self.look(phase),
                () = due_at(end) => return true,
                () = &mut *shutdown => return false,
            }
        }
    }

    fn look(&mut self, phase: &'static str) {
        self.swarm.look();
        if let Some(process) = &mut self.process {
            process.look();
        }
        let now = Instant::now();
        let (since, before) = self.told;
        let tally = self.shared.tally();
        let answered = tally.answered();
        let seconds = (now - since).as_secs_f64().max(1e-3);
        let told = SwarmProgress {
            elapsed: now - self.begin,
            phase,
            ready: tally.ready - tally.lost,
            gone: tally.failed + tally.lost,
            answered_per_second: (answered - before) as f64 / seconds,
            reply_ms: tally.reply(),
        };
        drop(tally);
        self.told = (now, answered);
        (self.progress)(told);
    }

    fn read(&mut self) {
        self.swarm.read();
        self.process.iter_mut().for_each(Meter::read);
    }

    fn report(self, parts: &Parts) -> SwarmReport {
        let settings = &self.shared.settings;
        let (protocol, channel) = match settings.url {
            PoolUrl::Sv1(_) | PoolUrl::Sv1Tls(..) => (Protocol::Sv1, None),
            PoolUrl::Sv2(..) => (Protocol::Sv2, Some(settings.channel)),
        };
        let seconds = parts.sending.as_secs_f64();
        let rate = parts.answered as f64 / seconds.max(1e-9);
        let mut tally = self.shared.tally();
        let (tips_seen, tips) = tally.tips.report();
        SwarmReport {
            protocol,
            channel,
            shares_are: settings.quality,
            connections: settings.connections,
            channels_per_connection: settings.channels,
            ready: parts.ready,
            failed: settings.connections - tally.ready,
            lost: tally.lost,
            seconds_connecting: parts.connecting.as_secs_f64(),
            seconds_preparing: parts.preparing.as_secs_f64(),
            seconds,
            shares: tally.shares(rate),
            reply_ms: tally.reply(),
            connect_to_job_ms: tally.connect_to_job(),
            tips_seen,
            tips_timed_by: match self.has_node {
                true => TipZero::Node,
                false => TipZero::FirstConnection,
            },
            tips,
            errors: tally.errors.clone(),
            swarm: self.swarm.cost(parts.answered),
            process: self.process.and_then(|meter| meter.cost(parts.answered)),
        }
    }
}
