//! A load generator: thousands of miners in one process, and what they measure of a pool.
//!
//! ```text
//! connecting ──> preparing ──> sending ──> draining
//!   ramp          shares that    shares       answers
//!                 take work
//! ```
//!
//! Each connection is one task that owns its stream, its session and its channels. What all of them
//! count together stands in one tally behind a lock that is held for a batch at a time. A share costs
//! the swarm a hash or two, one seal, and its part of a write, a read and an open.
//!
//! It is not a miner: it makes no more hashes than its shares take, does not come back when it
//! loses a connection, and follows no demand to go elsewhere. It speaks to any pool; what it needs
//! to find valid shares is a pool that assigns, or is set to, a low difficulty.

mod client;
mod conductor;
mod link;
mod report;
mod seat;
mod settings;
mod shares;
mod tally;
mod tips;
mod usage;

use core::future::Future;
use core::time::Duration;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use headframe_transport::{CurvePool, DialSettings, Dialer};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

pub use report::{Cost, ShareCounts, Spread, SwarmReport, TipZero};
pub use settings::{
    MAX_CHANNELS, MAX_CONNECTIONS, MAX_WINDOW, Pace, Quality, SwarmSettings, SwarmSettingsError,
};
pub use tips::{TipSeen, TipTimes};

use crate::shift::{FRAME_LIMIT, LINE_LIMIT};
use client::{Client, Stage};
use conductor::Conductor;
use tally::{Batch, Tally};

/// What is known of a run while it lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct SwarmProgress {
    /// The time since the beginning.
    pub elapsed: Duration,
    /// What is done at present: connecting, preparing, sending.
    pub phase: &'static str,
    /// Connections that are ready.
    pub ready: usize,
    /// Connections that failed, or were lost.
    pub gone: usize,
    /// Shares answered in the last second or so, a second.
    pub answered_per_second: f64,
    /// Replies so far.
    pub reply_ms: Spread,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    settings: SwarmSettings,
    tally: Mutex<Tally>,
    /// Shares that may still be sent.
    tickets: AtomicU64,
    /// Done shares after which the run is over.
    goal: u64,
    /// Where shares are found beforehand: one place a core.
    places: Arc<Semaphore>,
    /// Something may have come to an end.
    changed: Notify,
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, batch: &mut Batch) {
        let mut tally = self.tally();
        tally.add(batch);
        let is_done = tally.done() >= self.goal;
        drop(tally);
        if is_done {
            self.changed.notify_one();
        }
    }

    fn take_ticket(&self) -> bool {
        let less = |tickets: u64| tickets.checked_sub(1);
        let taken = self
            .tickets
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.is_ok()
    }

    fn return_ticket(&self) {
        self.tickets.fetch_add(1, Ordering::Relaxed);
    }
}

/// Loads a pool as `settings` say and tells what came of it. Ends when the time is over, when as many
/// shares as were wanted are answered, or when `shutdown` completes.
///
/// `tips` is the word of a node of one's own on new tips, `progress` is called every second or so. Must
/// be run inside a tokio runtime with time and I/O.
///
/// # Errors
/// [`SwarmSettingsError`] where the settings make no swarm. All that a pool does or fails to do is
/// in the report.
pub async fn run_swarm(
    settings: SwarmSettings,
    tips: Option<mpsc::Receiver<TipSeen>>,
    progress: impl FnMut(SwarmProgress),
    shutdown: impl Future<Output = ()>,
) -> Result<SwarmReport, SwarmSettingsError> {
    settings.check()?;
    let goal = settings.shares.map_or(u64::MAX, |shares| shares.get());
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let shared = Arc::new(Shared {
        tally: Mutex::new(Tally::new(settings.connections, tips.is_some())),
        tickets: AtomicU64::new(goal),
        goal,
        places: Arc::new(Semaphore::new(cores)),
        changed: Notify::new(),
        settings,
    });
    let (stage, stages) = watch::channel(Stage::Connecting);
    let conductor = Conductor::new(Arc::clone(&shared), stage, tips, progress);
    let clients = start_clients(&shared, &stages);
    Ok(conductor.conduct(clients, shutdown).await)
}

/// Starts a task for each connection; each waits for its own moment to connect.
fn start_clients(shared: &Arc<Shared>, stages: &watch::Receiver<Stage>) -> JoinSet<()> {
    let settings = &shared.settings;
    let curve_pool = CurvePool::new();
    let begin = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..settings.connections {
        let wanted = DialSettings {
            source: settings.source_of(number),
            frame_limit: FRAME_LIMIT,
            line_limit: LINE_LIMIT,
            ..DialSettings::default()
        };
        let dialer = Dialer::new(wanted, curve_pool.clone());
        let part = number as f64 / settings.connections as f64;
        let client = Client::new(Arc::clone(shared), number, stages.clone());
        clients.spawn(client.run(begin + settings.ramp.mul_f64(part), dialer));
    }
    clients
}

/// The next word of the node, if there is one.
async fn next_tip(tips: &mut Option<mpsc::Receiver<TipSeen>>) -> TipSeen {
    loop {
        match tips {
            Some(receiver) => match receiver.recv().await {
                Some(tip) => return tip,
                None => *tips = None,
            },
            None => pending().await,
        }
    }
}
