//! A connection of a crowd until it has its work: its stream, and the device that speaks over it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use headframe_testkit::{Chance, Device as _, MinerJob, Nonce, Sv1Miner, Sv2Miner, U256, address};
use headframe_transport::{
    CurvePool, DialSettings, Dialer, Filled, FrameStream, LineStream, PoolUrl,
};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// `REQUIRES_STANDARD_JOBS`, as devices set it.
const STANDARD_JOBS: u32 = 1;
/// Nothing has come for so long: all has.
const QUIET: Duration = Duration::from_millis(20);

/// Who connects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Miners {
    pub(crate) connections: usize,
    /// Standard channels on each; 1 on Stratum V1.
    pub(crate) channels: usize,
    /// Whether each has a payout address of its own.
    pub(crate) distinct: bool,
}

impl Miners {
    /// How they are paid, for people.
    pub(crate) fn payouts(self) -> &'static str {
        match self.distinct {
            true => "a payout each",
            false => "one payout",
        }
    }
}

/// A connection in either protocol.
pub(crate) enum Client {
    Sv1(LineStream, Sv1Miner),
    Sv2(FrameStream, Sv2Miner),
}

impl Client {
    pub(crate) async fn dial(
        pool: &PoolUrl,
        source: IpAddr,
        curve_pool: CurvePool,
    ) -> anyhow::Result<Self> {
        let settings = DialSettings {
            source: Some(source),
            ..DialSettings::default()
        };
        let dialer = Dialer::new(settings, curve_pool);
        match pool {
            PoolUrl::Sv1(endpoint) => {
                let stream = dialer.sv1(endpoint).await?;
                Ok(Self::Sv1(stream, Sv1Miner::default()))
            }
            PoolUrl::Sv2(endpoint, trust) => {
                let stream = dialer.sv2(endpoint, *trust).await?;
                Ok(Self::Sv2(stream, Sv2Miner::default()))
            }
            PoolUrl::Sv1Tls(..) => bail!("a crowd does not speak TLS"),
        }
    }

    /// Asks for the work of connection `number` of these miners.
    pub(crate) fn open(&mut self, number: usize, miners: Miners) {
        let user = |miner: usize| {
            let paid = if miners.distinct { miner as u64 } else { 0 };
            format!("{}.rig{miner}", address(paid))
        };
        match self {
            Self::Sv1(_, device) => device.log_in(&user(number)),
            Self::Sv2(_, device) => {
                device.set_up(STANDARD_JOBS);
                for channel in 0..miners.channels {
                    let user = user(number * miners.channels + channel);
                    device.open_standard(&user, 1e9, U256::MAX);
                }
            }
        }
    }

    pub(crate) fn has_work(&self, channels: usize) -> bool {
        match self {
            Self::Sv1(_, device) => !device.jobs.is_empty(),
            Self::Sv2(_, device) => {
                let mut opened = device.channels.values();
                device.channels.len() == channels && opened.all(|it| !it.jobs.is_empty())
            }
        }
    }

    /// Whether it has the next tip's work, which only Stratum V2 sends ahead.
    pub(crate) fn is_staged(&self) -> bool {
        match self {
            Self::Sv1(..) => true,
            Self::Sv2(_, device) => device.channels.values().all(|it| !it.future.is_empty()),
        }
    }

    /// Whether what it works on is on the tip with this hash.
    pub(crate) fn is_on(&self, tip: &str) -> bool {
        let tip_of = |job: &MinerJob| BlockHash::from_byte_array(job.prev_hash).to_string();
        self.job().is_some_and(|job| tip_of(job) == tip)
    }

    /// Hashes until it has a block of what it works on.
    pub(crate) fn mine(&self, chance: &mut Chance) -> Nonce {
        let job = self.job().expect("it has work");
        job.mine(chance, job.network_target())
    }

    /// Sends a share.
    pub(crate) async fn submit(&mut self, nonce: &Nonce) -> anyhow::Result<()> {
        match self {
            Self::Sv1(..) => bail!("only a miner of Stratum V2 finds blocks here"),
            Self::Sv2(_, device) => {
                let channel = *device.opened.first().context("a channel")?;
                device.submit(channel, nonce);
            }
        }
        self.exchange()?;
        match self {
            Self::Sv1(stream, _) => stream.flush().await?,
            Self::Sv2(stream, _) => stream.flush().await?,
        }
        Ok(())
    }

    /// Reads what has come.
    pub(crate) async fn catch_up(&mut self) -> anyhow::Result<()> {
        while let Ok(filled) = timeout(QUIET, self.fill()).await {
            ensure!(filled? == Filled::Bytes, "the pool closed a connection");
            self.exchange()?;
        }
        Ok(())
    }

    fn job(&self) -> Option<&MinerJob> {
        match self {
            Self::Sv1(_, device) => device.jobs.last(),
            Self::Sv2(_, device) => device.channels.values().next()?.jobs.last(),
        }
    }

    /// Speaks with the pool until `is_done`.
    pub(crate) async fn until(&mut self, is_done: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        loop {
            self.exchange()?;
            if is_done(self) && !self.wants_flush() {
                return Ok(());
            }
            let filled = self.fill().await.context("the pool is gone")?;
            ensure!(filled == Filled::Bytes, "the pool closed a connection");
        }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Sv1(stream, _) => stream.socket().tcp(),
            Self::Sv2(stream, _) => stream.socket(),
        }
    }

    fn exchange(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Sv1(stream, device) => {
                for line in device.take_output() {
                    stream.queue_lines(&line)?;
                }
                while let Some(line) = stream.next_line()? {
                    device.receive(Instant::now(), &[line, b"\n"].concat());
                }
            }
            Self::Sv2(stream, device) => {
                for frame in device.take_output() {
                    stream.queue_frame(&frame)?;
                }
                while let Some(frame) = stream.next_frame()? {
                    device.receive(Instant::now(), frame);
                }
            }
        }
        Ok(())
    }

    fn wants_flush(&self) -> bool {
        match self {
            Self::Sv1(stream, _) => stream.wants_flush(),
            Self::Sv2(stream, _) => stream.wants_flush(),
        }
    }

    async fn fill(&mut self) -> anyhow::Result<Filled> {
        Ok(match self {
            Self::Sv1(stream, _) => stream.fill().await?,
            Self::Sv2(stream, _) => stream.fill().await?,
        })
    }
}
