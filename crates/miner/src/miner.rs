//! The miner as others see it: settings in, events and counts out.

use core::future::Future;
use std::time::Instant;

use headframe_transport::PoolUrl;
use headframe_work::{Hashrate, Header, HeaderSearch};
use tokio::sync::{mpsc, watch};

use crate::crew::Crew;
use crate::shift::Shift;
use crate::{Channel, MinerError, MinerEvent, MinerReport, MinerSettings, Protocol};

/// Events that may wait for the observer. Further ones are lost to him; the counts are not.
const EVENT_QUEUE: usize = 256;

/// A CPU miner that is yet to be run.
#[derive(Debug)]
pub struct Miner {
    pub(crate) settings: MinerSettings,
    pub(crate) events: mpsc::Sender<MinerEvent>,
    pub(crate) progress: watch::Sender<MinerReport>,
}

/// How to watch a miner. Whoever does not look costs it nothing.
#[derive(Debug)]
pub struct Observer {
    /// What happens. Ends with the miner.
    pub events: mpsc::Receiver<MinerEvent>,
    /// The counts, published with every event and every second.
    pub progress: watch::Receiver<MinerReport>,
}

impl Miner {
    /// A miner and the means to watch it.
    pub fn new(settings: MinerSettings) -> (Self, Observer) {
        let (protocol, channel) = match settings.url {
            PoolUrl::Sv1(_) | PoolUrl::Sv1Tls(..) => (Protocol::Sv1, None),
            PoolUrl::Sv2(..) => (
                Protocol::Sv2,
                Some(settings.channel.unwrap_or(Channel::Extended)),
            ),
        };
        let (events, events_rx) = mpsc::channel(EVENT_QUEUE);
        let (progress, progress_rx) = watch::channel(MinerReport::new(protocol, channel));
        let observer = Observer {
            events: events_rx,
            progress: progress_rx,
        };
        (
            Self {
                settings,
                events,
                progress,
            },
            observer,
        )
    }

    /// Mines until `shutdown` completes, through any number of connections, and gives back the counts.
    /// The channel is closed and all threads are joined before it returns.
    ///
    /// # Errors
    /// [`MinerError`] when there is no use in going on: a pool that cannot prove who it is or refuses
    /// this user, before it ever served us; a setting that cannot be sent; more failures in a row than
    /// the back-off allows.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<MinerReport, MinerError> {
        let count = self.settings.thread_count();
        let crew = Crew::start(count, self.settings.throttle).map_err(MinerError::Threads)?;
        let nominal_hashrate = nominal_hashrate(&self.settings).await;
        let Self {
            settings,
            events,
            progress,
        } = self;
        let mut shift = Shift::new(settings, nominal_hashrate, crew, events, progress);
        let result = shift.keep_connected(shutdown).await;
        let report = shift.end().await;
        result.map(|()| report)
    }
}

/// What to announce: what was set, what the throttle allows, or what a core turns out to do.
async fn nominal_hashrate(settings: &MinerSettings) -> Hashrate {
    if let Some(rate) = settings.nominal_hashrate {
        return rate;
    }
    let threads = f64::from(settings.thread_count().get());
    let per_thread = match settings.throttle {
        Some(throttle) => f64::from(throttle.get()),
        None => tokio::task::spawn_blocking(measure_one_thread)
            .await
            .unwrap_or_default(),
    };
    Hashrate::from_hashes_per_second(per_thread * threads).unwrap_or_default()
}

/// Hashes per second of one thread, from a tenth of a second's worth.
fn measure_one_thread() -> f64 {
    const HASHES: u32 = 1 << 19;
    let mut search = HeaderSearch::from_bytes(&[0; Header::LEN]);
    let started = Instant::now();
    core::hint::black_box(search.find(0, HASHES, 0));
    f64::from(HASHES) / started.elapsed().as_secs_f64()
}
