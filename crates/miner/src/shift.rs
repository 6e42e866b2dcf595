//! A miner at work: one connection after another.

use core::future::Future;
use core::hash::{BuildHasher, Hasher};
use core::pin::pin;
use core::time::Duration;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use headframe_mining::client::{
    ChannelKind, ClientEvent, Reconnect, ReconnectGuard, Submission, Sv1Session, Sv1Settings,
    Sv2Session, Sv2Settings,
};
use headframe_transport::{CurvePool, DialSettings, Dialer, Endpoint, PoolUrl, TlsTrust};
use headframe_work::{Hashrate, Rung, Target};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::connection::{Connection, Socket, Woke};
use crate::crew::Crew;
use crate::gauge::Gauge;
use crate::slot::Assignment;
use crate::worker::Found;
use crate::{Channel, MinerError, MinerEvent, MinerReport, MinerSettings};

#[cfg(test)]
mod tests;

/// The longest wait that a pool may demand before a reconnect.
const LONGEST_DEMANDED_WAIT: Duration = Duration::from_secs(300);

/// How often the hashrate is measured and the report published.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Payload bytes of a frame: coinbase prefix and suffix of 64 KiB each, and a merkle path.
pub(crate) const FRAME_LIMIT: usize = 144 * 1024;

/// Bytes of a line: as much in hexadecimal digits as any job needs that a device can take.
pub(crate) const LINE_LIMIT: usize = 128 * 1024;

/// Bytes of extranonce to ask for: more than a processor can roll in a lifetime of a tip.
const MIN_EXTRANONCE_SIZE: u16 = 4;

/// Shares a minute that the difficulty suggested on Stratum V1 is to give.
const SHARES_PER_MINUTE: f64 = 20.0;

const VENDOR: &str = concat!("headframe ", env!("CARGO_PKG_VERSION"));
const USER_AGENT: &str = concat!("headframe/", env!("CARGO_PKG_VERSION"));

/// How a connection ended.
#[derive(Debug)]
enum Ending {
    /// We were told to stop.
    Shutdown,
    /// The pool wants us to connect again.
    Redirected(Reconnect),
    /// Something failed.
    Failed(MinerError),
}

/// The state of a miner at work.
#[derive(Debug)]
pub(crate) struct Shift {
    settings: MinerSettings,
    report: MinerReport,
    events: mpsc::Sender<MinerEvent>,
    progress: watch::Sender<MinerReport>,
    nominal_hashrate: Hashrate,
    crew: Crew,
    /// The number of the present connection: solutions of earlier ones are nothing to it.
    connection: u64,
    /// Whether any pool has ever served us.
    served: bool,
    gauge: Gauge,
}

impl Shift {
    pub(crate) fn new(
        settings: MinerSettings,
        nominal_hashrate: Hashrate,
        crew: Crew,
        events: mpsc::Sender<MinerEvent>,
        progress: watch::Sender<MinerReport>,
    ) -> Self {
        let report = progress.borrow().clone();
        Self {
            settings,
            report,
            events,
            progress,
            nominal_hashrate,
            crew,
            connection: 0,
            served: false,
            gauge: Gauge::new(Instant::now()),
        }
    }

    /// Connects and mines until `shutdown` completes.
    pub(crate) async fn keep_connected(
        &mut self,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), MinerError> {
        let mut shutdown = pin!(shutdown);
        let mut guard = ReconnectGuard::default();
        let mut failures = 0;
        let home = self.settings.url.clone();
        let mut url = home.clone();
        loop {
            let ending = self.connect_and_mine(&url, &mut shutdown).await;
            let was_mining = self.lay_down();
            let (reason, wait) = match ending {
                Ending::Shutdown => return Ok(()),
                Ending::Redirected(demand) => {
                    let wait = demand.wait.min(LONGEST_DEMANDED_WAIT);
                    url = self.redirect(&url, &demand);
                    let reason = format!("the pool asks to connect to {}", url.endpoint());
                    (reason, wait.max(guard.pause(Instant::now())))
                }
                Ending::Failed(error) if error.is_final() && !self.served => return Err(error),
                Ending::Failed(error) => {
                    failures = if was_mining { 1 } else { failures + 1 };
                    url = home.clone();
                    match self.settings.backoff.wait(failures, chance()) {
                        Some(wait) => (error.to_string(), wait),
                        None => {
                            return Err(MinerError::GaveUp {
                                failures,
                                last: Box::new(error),
                            });
                        }
                    }
                }
            };
            self.tell(MinerEvent::Disconnected {
                reason,
                retry_in: wait,
            });
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                () = sleep(wait) => {}
            }
        }
    }

    /// Ends the shift: the threads go home.
    pub(crate) async fn end(mut self) -> MinerReport {
        self.measure();
        self.report.hashes = self.crew.slot.hashes();
        self.report.dropped += self.crew.dismiss().await;
        self.report.mining = false;
        self.progress.send_replace(self.report.clone());
        self.report
    }

    async fn connect_and_mine(
        &mut self,
        url: &PoolUrl,
        shutdown: &mut (impl Future<Output = ()> + Unpin),
    ) -> Ending {
        let connected = tokio::select! {
            () = &mut *shutdown => return Ending::Shutdown,
            connected = self.connect(url) => connected,
        };
        match connected {
            Ok(connection) => self.mine(url.endpoint(), connection, shutdown).await,
            Err(error) => Ending::Failed(error),
        }
    }

    async fn connect(&self, url: &PoolUrl) -> Result<Connection, MinerError> {
        let settings = DialSettings {
            frame_limit: FRAME_LIMIT,
            line_limit: LINE_LIMIT,
            ..DialSettings::default()
        };
        let dialer = Dialer::new(settings, CurvePool::new());
        Ok(match url {
            PoolUrl::Sv1(endpoint) => {
                let stream = dialer.sv1(endpoint).await?;
                Connection::Sv1(stream, Box::new(self.sv1_session()?))
            }
            PoolUrl::Sv1Tls(endpoint, trust) => {
                let stream = dialer.sv1_tls(endpoint, *trust).await?;
                Connection::Sv1(stream, Box::new(self.sv1_session()?))
            }
            PoolUrl::Sv2(endpoint, trust) => {
                let stream = dialer.sv2(endpoint, *trust).await?;
                Connection::Sv2(stream, Box::new(self.sv2_session(endpoint)?))
            }
        })
    }

    fn sv1_session(&self) -> Result<Sv1Session, MinerError> {
        let rung = Rung::for_hashrate(self.nominal_hashrate, SHARES_PER_MINUTE);
        let settings = Sv1Settings {
            user_agent: USER_AGENT.to_owned(),
            user: self.settings.user.clone(),
            password: self.settings.password.clone(),
            roll_version: self.settings.roll_version,
            suggest_difficulty: Some(rung.difficulty()),
        };
        Ok(Sv1Session::new(Instant::now(), &settings)?)
    }

    fn sv2_session(&self, endpoint: &Endpoint) -> Result<Sv2Session, MinerError> {
        let settings = Sv2Settings {
            channel: match self.settings.channel {
                Some(Channel::Standard) => ChannelKind::Standard,
                Some(Channel::Extended) | None => ChannelKind::Extended,
            },
            user_identity: self.settings.user.clone(),
            nominal_hashrate: self.nominal_hashrate,
            max_target: Target::MAX,
            min_extranonce_size: MIN_EXTRANONCE_SIZE,
            roll_version: self.settings.roll_version,
            worker_name: self.settings.worker.clone(),
            endpoint_host: endpoint.host().to_owned(),
            endpoint_port: endpoint.port(),
            vendor: VENDOR.to_owned(),
            hardware_version: "cpu".to_owned(),
            firmware: USER_AGENT.to_owned(),
        };
        Ok(Sv2Session::new(Instant::now(), &settings)?)
    }

    /// Serves one connection to its end.
    async fn mine<L: Socket, F: Socket>(
        &mut self,
        endpoint: &Endpoint,
        mut connection: Connection<L, F>,
        shutdown: &mut (impl Future<Output = ()> + Unpin),
    ) -> Ending {
        let mut ticks = interval(REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            match self.handle_input(endpoint, &mut connection) {
                Ok(None) => {}
                Ok(Some(Ending::Redirected(demand))) => {
                    connection.close().await;
                    return Ending::Redirected(demand);
                }
                Ok(Some(ending)) => return ending,
                Err(error) => return Ending::Failed(error),
            }
            tokio::select! {
                () = &mut *shutdown => {
                    self.submit_found(&mut connection);
                    connection.close().await;
                    return Ending::Shutdown;
                }
                woke = connection.wait() => match woke {
                    Ok(Woke::Input) => {}
                    Ok(Woke::Closed) => return Ending::Failed(MinerError::Closed),
                    Err(error) => return Ending::Failed(error.into()),
                },
                Some(found) = self.crew.found.recv() => self.submit(&mut connection, found),
                _ = ticks.tick() => self.measure(),
            }
        }
    }

    /// Lets the session have all that has arrived and does what it says.
    fn handle_input<L: Socket, F: Socket>(
        &mut self,
        endpoint: &Endpoint,
        connection: &mut Connection<L, F>,
    ) -> Result<Option<Ending>, MinerError> {
        loop {
            while let Some(event) = connection.poll_event() {
                if let Some(ending) = self.handle_event(endpoint, event) {
                    return Ok(Some(ending));
                }
            }
            connection.queue_output()?;
            if !connection.handle_message()? {
                return Ok(None);
            }
        }
    }

    fn handle_event(&mut self, endpoint: &Endpoint, event: ClientEvent) -> Option<Ending> {
        match event {
            ClientEvent::Ready => {
                (self.served, self.report.mining) = (true, true);
                self.tell(MinerEvent::Ready {
                    pool: endpoint.to_string(),
                });
            }
            ClientEvent::Work(work) => {
                let is_new_tip = work.clean;
                let connection = self.connection;
                let solved = AtomicBool::new(false);
                self.crew.slot.assign(Some(Assignment {
                    connection,
                    work,
                    solved,
                }));
                if is_new_tip {
                    self.tell(MinerEvent::NewTip);
                }
            }
            ClientEvent::NoWork => self.crew.slot.assign(None),
            ClientEvent::Target(target) => self.tell(MinerEvent::Target(target)),
            ClientEvent::ShareAccepted { sent } => {
                let count = u32::try_from(sent.len()).unwrap_or(u32::MAX);
                self.report.shares_accepted += u64::from(count);
                self.tell(MinerEvent::Accepted { count });
            }
            ClientEvent::ShareRejected { code, sent: _ } => {
                self.report.count_rejected(&code);
                self.tell(MinerEvent::Rejected { code });
            }
            ClientEvent::Notice(text) => self.tell(MinerEvent::Notice(text)),
            ClientEvent::Reconnect(demand) => return Some(Ending::Redirected(demand)),
            ClientEvent::Closed(reason) => return Some(Ending::Failed(MinerError::Ended(reason))),
        }
        None
    }

    fn submit<L: Socket, F: Socket>(&mut self, connection: &mut Connection<L, F>, found: Found) {
        if found.connection != self.connection {
            self.report.dropped += 1;
            return;
        }
        match connection.submit(&found.solution) {
            Submission::Sent { block: false } => {}
            Submission::Sent { block: true } => {
                self.report.block_candidates += 1;
                self.tell(MinerEvent::BlockCandidate {
                    count: self.report.block_candidates,
                });
            }
            Submission::Void => self.report.dropped += 1,
            Submission::Wrong(error) => {
                self.report.dropped += 1;
                self.tell(MinerEvent::Notice(format!(
                    "a solution was not sent: {error}"
                )));
            }
        }
    }

    /// What was found before we were told to stop is still worth something.
    fn submit_found<L: Socket, F: Socket>(&mut self, connection: &mut Connection<L, F>) {
        self.crew.slot.assign(None);
        while let Ok(found) = self.crew.found.try_recv() {
            self.submit(connection, found);
        }
    }

    /// Ends the work of a connection; says whether it had come to mining.
    fn lay_down(&mut self) -> bool {
        self.crew.slot.assign(None);
        self.connection += 1;
        core::mem::take(&mut self.report.mining)
    }

    fn redirect(&mut self, from: &PoolUrl, demand: &Reconnect) -> PoolUrl {
        redirected(from, demand).unwrap_or_else(|host| {
            self.tell(MinerEvent::Notice(format!(
                "not following the pool to another host, {host}"
            )));
            from.clone()
        })
    }

    /// Tells the observer, if he listens, and publishes the counts.
    fn tell(&mut self, event: MinerEvent) {
        // A full queue is the observer's business, not the miner's.
        let _ = self.events.try_send(event);
        self.publish();
    }

    fn publish(&mut self) {
        self.report.hashes = self.crew.slot.hashes();
        self.progress.send_replace(self.report.clone());
    }

    fn measure(&mut self) {
        let hashes = self.crew.slot.hashes();
        self.report.hashrate = self.gauge.measure(Instant::now(), hashes);
        self.publish();
    }
}

/// Where to go when the pool at `from` sends us away, or the host that we do not follow it to.
///
/// A Stratum V1 pool cannot prove that it is the one that we know, and anybody on the way can write
/// this line: it may only name another port. A Stratum V2 pool may name any host, which has to
/// prove itself by the same authority as the pool did (FR-37, FR-38); so may one that is known by the
/// certificate of its TLS.
fn redirected<'a>(from: &PoolUrl, demand: &'a Reconnect) -> Result<PoolUrl, &'a str> {
    let present = from.endpoint();
    let host = demand.host.as_deref();
    let port = demand.port.unwrap_or_else(|| present.port());
    let endpoint = Endpoint::new(host.unwrap_or_else(|| present.host()), port);
    let endpoint = endpoint.unwrap_or_else(|_| present.clone());
    match (from, host) {
        (PoolUrl::Sv1(_) | PoolUrl::Sv1Tls(_, TlsTrust::Anyone), Some(host))
            if host != present.host() =>
        {
            Err(host)
        }
        (PoolUrl::Sv1(_), _) => Ok(PoolUrl::Sv1(endpoint)),
        (PoolUrl::Sv1Tls(_, trust), _) => Ok(PoolUrl::Sv1Tls(endpoint, *trust)),
        (PoolUrl::Sv2(_, trust), _) => Ok(PoolUrl::Sv2(endpoint, *trust)),
    }
}

/// A number from 0 to 1 for the jitter. The standard library's hash keys are random enough for it.
fn chance() -> f64 {
    let draw = std::hash::RandomState::new().build_hasher().finish();
    draw as f64 / u64::MAX as f64
}
