//! The other end of all connections, the same for the pool and for the bare loop: it reads what comes,
//! counts the bytes and notes when so many have come. It opens no frame once its channels are open.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use headframe_sv2_noise::Trust;
use headframe_testkit::{Device as _, Sv2Miner, U256, address};
use headframe_transport::{CurvePool, DialSettings, Dialer, Endpoint, Filled, FrameStream};
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections that are opened at once.
const AT_ONCE: usize = 64;
/// Connections from one address of the loopback; a port of each is used once.
const OF_ONE_SOURCE: usize = 2_000;
/// Nothing has come for so long: all has.
const QUIET: Duration = Duration::from_millis(150);
/// A round that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(60);
/// `REQUIRES_STANDARD_JOBS`, as devices set it.
const STANDARD_JOBS: u32 = 1;

/// Who connects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Miners {
    pub(crate) connections: usize,
    /// Standard channels on each.
    pub(crate) channels: usize,
    /// Whether each has a payout address of its own.
    pub(crate) distinct: bool,
}

/// All connections to one place.
pub(crate) struct Crowd {
    seen: Arc<[Seen]>,
    round: Arc<Round>,
    _readers: JoinSet<()>,
}

/// What a connection has read in a round.
#[derive(Debug, Default)]
struct Seen {
    bytes: AtomicU64,
}

/// What all connections have read in a round.
#[derive(Debug)]
struct Round {
    began: Instant,
    /// The bytes after which a connection has what is waited for, of each of the two things.
    marks: [AtomicU64; 2],
    /// Connections that have come so far, and when the last did, in nanoseconds.
    reached: [AtomicUsize; 2],
    reached_at: [AtomicU64; 2],
    /// When anybody read last.
    last: AtomicU64,
}

/// What became of a round: milliseconds from its beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// Until the last connection had the first thing, and the second.
    pub(crate) to_last: [f64; 2],
}

impl Crowd {
    /// Connects miners to a pool, and waits until each has its work and the next tip's.
    pub(crate) async fn of_miners(
        pool: SocketAddr,
        authority: &str,
        miners: Miners,
    ) -> anyhow::Result<Self> {
        let trust = Trust::Authority(authority.parse()?);
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let curve_pool = CurvePool::new();
        let mut opening = JoinSet::new();
        for number in 0..miners.connections {
            let (places, curve_pool) = (Arc::clone(&places), curve_pool.clone());
            opening.spawn(async move {
                let _place = places.acquire_owned().await?;
                open(pool, trust, curve_pool, number, miners).await
            });
        }
        let mut streams = Vec::new();
        while let Some(opened) = opening.join_next().await {
            let (stream, device) = opened??;
            streams.push((stream, device));
        }
        let mut staging = JoinSet::new();
        for (mut stream, mut device) in streams {
            staging.spawn(async move {
                let is_staged =
                    |miner: &Sv2Miner| miner.channels.values().all(|it| !it.future.is_empty());
                until(&mut stream, &mut device, is_staged).await?;
                anyhow::Ok(stream)
            });
        }
        let mut streams = Vec::new();
        while let Some(staged) = staging.join_next().await {
            streams.push(staged??);
        }
        Ok(Self::read(streams, FrameStream::socket))
    }

    /// Connects to the bare loop.
    pub(crate) async fn of_sockets(bare: SocketAddr, connections: usize) -> anyhow::Result<Self> {
        let mut sockets = Vec::new();
        for number in 0..connections {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(source(number), 0))?;
            sockets.push(socket.connect(bare).await?);
        }
        Ok(Self::read(sockets, |socket| socket))
    }

    fn read<S: Send + Sync + 'static>(streams: Vec<S>, socket: fn(&S) -> &TcpStream) -> Self {
        let seen: Arc<[Seen]> = streams.iter().map(|_| Seen::default()).collect();
        let round = Arc::new(Round {
            began: Instant::now(),
            marks: Default::default(),
            reached: Default::default(),
            reached_at: Default::default(),
            last: AtomicU64::new(0),
        });
        let mut readers = JoinSet::new();
        for (number, stream) in streams.into_iter().enumerate() {
            let (seen, round) = (Arc::clone(&seen), Arc::clone(&round));
            readers.spawn(async move {
                let mut buffer = [0; 16 * 1024];
                let socket = socket(&stream);
                while socket.ready(Interest::READABLE).await.is_ok() {
                    match socket.try_read(&mut buffer) {
                        Ok(0) => return,
                        Ok(len) => round.note(&seen[number], len as u64),
                        // Readiness can be a false alarm; all else shows as silence.
                        Err(_) => {}
                    }
                }
            });
        }
        Self {
            seen,
            round,
            _readers: readers,
        }
    }

    /// Begins a round by `begin`, and waits until every connection has read `marks` bytes, the second
    /// being the more.
    pub(crate) async fn round(
        &self,
        marks: [u64; 2],
        begin: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Taken> {
        let round = &self.round;
        self.seen
            .iter()
            .for_each(|seen| seen.bytes.store(0, Ordering::Relaxed));
        for (kept, mark) in round.marks.iter().zip(marks) {
            kept.store(mark, Ordering::Relaxed);
        }
        round
            .reached
            .iter()
            .for_each(|reached| reached.store(0, Ordering::SeqCst));
        let zero = round.began.elapsed();
        begin()?;
        let deadline = Instant::now() + LONGEST;
        while round.reached[1].load(Ordering::SeqCst) < self.seen.len() {
            ensure!(Instant::now() < deadline, "a connection was not served");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let since = |at: &AtomicU64| {
            let at = Duration::from_nanos(at.load(Ordering::SeqCst));
            at.saturating_sub(zero).as_secs_f64() * 1e3
        };
        Ok(Taken {
            to_last: [0, 1].map(|mark| since(&round.reached_at[mark])),
        })
    }

    /// Waits until nothing comes any more, and says how many bytes the first connection has read.
    pub(crate) async fn quiet(&self) -> u64 {
        loop {
            tokio::time::sleep(QUIET / 3).await;
            let last = Duration::from_nanos(self.round.last.load(Ordering::SeqCst));
            if self.round.began.elapsed().saturating_sub(last) >= QUIET {
                return self.seen[0].bytes.load(Ordering::SeqCst);
            }
        }
    }
}

impl Round {
    fn note(&self, seen: &Seen, len: u64) {
        let before = seen.bytes.fetch_add(len, Ordering::SeqCst);
        let at = self.began.elapsed().as_nanos() as u64;
        self.last.fetch_max(at, Ordering::SeqCst);
        for (number, mark) in self.marks.iter().enumerate() {
            let mark = mark.load(Ordering::SeqCst);
            if before < mark && before + len >= mark {
                self.reached_at[number].fetch_max(at, Ordering::SeqCst);
                self.reached[number].fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

fn source(number: usize) -> IpAddr {
    let last = u8::try_from(1 + number / OF_ONE_SOURCE).unwrap_or(1);
    IpAddr::from([127, 0, 0, last])
}

/// One connection with its channels, each of which has work.
async fn open(
    pool: SocketAddr,
    trust: Trust,
    curve_pool: CurvePool,
    number: usize,
    miners: Miners,
) -> anyhow::Result<(FrameStream, Sv2Miner)> {
    let settings = DialSettings {
        source: Some(source(number)),
        ..DialSettings::default()
    };
    let endpoint = Endpoint::new(&pool.ip().to_string(), pool.port())?;
    let dialer = Dialer::new(settings, curve_pool);
    let mut stream = dialer.sv2(&endpoint, trust).await?;
    let mut device = Sv2Miner::default();
    device.set_up(STANDARD_JOBS);
    for channel in 0..miners.channels {
        let miner = number * miners.channels + channel;
        let paid = if miners.distinct { miner as u64 } else { 0 };
        let user = format!("{}.rig{miner}", address(paid));
        device.open_standard(&user, 1e9, U256::MAX);
    }
    let has_work = |device: &Sv2Miner| {
        let mut channels = device.channels.values();
        device.channels.len() == miners.channels && channels.all(|it| !it.jobs.is_empty())
    };
    until(&mut stream, &mut device, has_work).await?;
    Ok((stream, device))
}

async fn until(
    stream: &mut FrameStream,
    device: &mut Sv2Miner,
    condition: impl Fn(&Sv2Miner) -> bool,
) -> anyhow::Result<()> {
    loop {
        for frame in device.take_output() {
            stream.queue_frame(&frame)?;
        }
        while let Some(frame) = stream.next_frame()? {
            device.receive(Instant::now(), frame);
        }
        if condition(device) && !stream.wants_flush() {
            return Ok(());
        }
        let filled = stream.fill().await.context("the pool is gone")?;
        ensure!(filled == Filled::Bytes, "the pool closed a connection");
    }
}
