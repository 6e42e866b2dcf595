//! The other end of all connections, the same for the pool and for the bare loop: it reads what comes,
//! counts the bytes and notes when so many have come. It opens no frame and reads no line once its miners
//! have their work.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use headframe_transport::{CurvePool, PoolUrl};
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::{Client, Miners};

/// Connections that are opened at once.
const AT_ONCE: usize = 64;
/// Connections from one address of the loopback; a port of each is used once.
const OF_ONE_SOURCE: usize = 2_000;
/// Nothing has come for so long: all has.
const QUIET: Duration = Duration::from_millis(150);
/// A round that takes longer has failed. Less than the time after which miners are told the same work again, which
/// would pass for what they missed.
const LONGEST: Duration = Duration::from_secs(20);

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
    /// When the first did.
    first_at: [AtomicU64; 2],
    /// When anybody read last.
    last: AtomicU64,
}

/// What became of a round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// Milliseconds from its beginning until the last connection had the first thing, and the second.
    pub(crate) to_last: [f64; 2],
    /// When the first connection had them.
    pub(crate) first: [Instant; 2],
}

impl Crowd {
    /// Connects miners to a pool, and waits until each has its work and the next tip's.
    pub(crate) async fn of_miners(pool: &PoolUrl, miners: Miners) -> anyhow::Result<Self> {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let curve_pool = CurvePool::new();
        let mut opening = JoinSet::new();
        for number in 0..miners.connections {
            let (places, curve_pool) = (Arc::clone(&places), curve_pool.clone());
            let pool = pool.clone();
            opening.spawn(async move {
                let _place = places.acquire_owned().await?;
                let mut client = Client::dial(&pool, source(number), curve_pool).await?;
                client.open(number, miners);
                client.until(|it| it.has_work(miners.channels)).await?;
                anyhow::Ok(client)
            });
        }
        let mut clients = Vec::new();
        while let Some(opened) = opening.join_next().await {
            clients.push(opened??);
        }
        let mut staging = JoinSet::new();
        for mut client in clients {
            staging.spawn(async move {
                client.until(Client::is_staged).await?;
                anyhow::Ok(client)
            });
        }
        let mut clients = Vec::new();
        while let Some(staged) = staging.join_next().await {
            clients.push(staged??);
        }
        Ok(Self::read(clients, Client::socket))
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
            first_at: Default::default(),
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
        for first in &round.first_at {
            first.store(u64::MAX, Ordering::SeqCst);
        }
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
            first: [0, 1].map(|mark| {
                let at = round.first_at[mark].load(Ordering::SeqCst);
                round.began + Duration::from_nanos(at)
            }),
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
                self.first_at[number].fetch_min(at, Ordering::SeqCst);
                self.reached[number].fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

fn source(number: usize) -> IpAddr {
    let last = u8::try_from(1 + number / OF_ONE_SOURCE).unwrap_or(1);
    IpAddr::from([127, 0, 0, last])
}
