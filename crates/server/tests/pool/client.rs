//! Scripted miners on real sockets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use headframe_sv2_noise::{AuthorityPublicKey, Trust};
use headframe_sv2_wire::U256;
use headframe_testkit::{Chance, Device, Nonce, Sv1Miner, Sv2Miner, address};
use headframe_transport::{
    CurvePool, DialError, DialSettings, Dialer, Endpoint, Filled, Fingerprint, FrameStream,
    LineStream, TlsTrust,
};

use crate::harness::TestPool;

/// What the scripted miners say they hash, so that the easiest share is theirs.
const HASHRATE: f32 = 50.0;

/// The user name of the miner with this number.
pub(crate) fn user(number: u64) -> String {
    format!("{}.rig{number}", address(number))
}

/// A Stratum V2 miner with one extended channel.
pub(crate) struct Sv2Client {
    stream: FrameStream,
    pub(crate) miner: Sv2Miner,
    chance: Chance,
}

impl Sv2Client {
    /// Connects, and says nothing.
    pub(crate) async fn dial(
        address: SocketAddr,
        authority: AuthorityPublicKey,
    ) -> Result<Self, DialError> {
        let dialer = Dialer::new(DialSettings::default(), CurvePool::new());
        Self::dial_by(&dialer, address, authority).await
    }

    /// As [`Self::dial`], by this dialer.
    pub(crate) async fn dial_by(
        dialer: &Dialer,
        address: SocketAddr,
        authority: AuthorityPublicKey,
    ) -> Result<Self, DialError> {
        let stream = dialer
            .sv2(&endpoint(address), Trust::Authority(authority))
            .await?;
        Ok(Self {
            stream,
            miner: Sv2Miner::default(),
            chance: Chance::new(address.port().into()),
        })
    }

    /// Connects and mines for `user`, up to its first job.
    pub(crate) async fn connect(pool: &TestPool, user: &str) -> Self {
        Self::connect_to((pool.address(), pool.authority), user).await
    }

    /// As [`Self::connect`], at a listener with this authority.
    pub(crate) async fn connect_to(
        (address, authority): (SocketAddr, AuthorityPublicKey),
        user: &str,
    ) -> Self {
        let mut client = Self::dial(address, authority).await.unwrap();
        assert!(client.begin(user).await, "the pool gives a job");
        client
    }

    /// Opens a channel for `user`, up to its first job; false when the pool closes the connection before.
    pub(crate) async fn begin(&mut self, user: &str) -> bool {
        self.miner.set_up(0);
        self.miner.open_extended(user, HASHRATE, U256::MAX, 8);
        let has_job = |miner: &Sv2Miner| {
            let channel = miner.channels.values().next();
            channel.is_some_and(|channel| !channel.jobs.is_empty())
        };
        self.until(has_job).await
    }

    /// Sends what there is to send, and listens until `condition`; false when the pool closes the
    /// connection before.
    pub(crate) async fn until(&mut self, condition: impl Fn(&Sv2Miner) -> bool) -> bool {
        loop {
            for frame in self.miner.take_output() {
                self.stream.queue_frame(&frame).unwrap();
            }
            while let Some(frame) = self.stream.next_frame().unwrap() {
                self.miner.receive(Instant::now(), frame);
            }
            if condition(&self.miner) && !self.stream.wants_flush() {
                return true;
            }
            if !matches!(self.stream.fill().await, Ok(Filled::Bytes)) {
                return false;
            }
        }
    }

    /// Sends what there is to send.
    pub(crate) async fn flush(&mut self) {
        for frame in self.miner.take_output() {
            self.stream.queue_frame(&frame).unwrap();
        }
        self.stream.flush().await.unwrap();
    }

    /// Finds a share that is no block.
    pub(crate) fn find_share(&mut self) -> Nonce {
        let job = self.miner.channels.values().next().unwrap().job();
        let network = job.network_target();
        job.mine_where(&mut self.chance, |hash| {
            job.target.is_met_by(hash) && !network.is_met_by(hash)
        })
    }

    /// Finds a block.
    pub(crate) fn find_block(&mut self) -> Nonce {
        let job = self.miner.channels.values().next().unwrap().job();
        let network = job.network_target();
        job.mine_where(&mut self.chance, |hash| {
            network.is_met_by(hash) && job.target.is_met_by(hash)
        })
    }

    /// Queues a submission, and gives its sequence number.
    pub(crate) fn submit(&mut self, nonce: &Nonce) -> u32 {
        let channel = *self.miner.channels.keys().next().unwrap();
        self.miner.submit(channel, nonce)
    }

    /// Shares that were acknowledged.
    pub(crate) fn acknowledged(&self) -> u32 {
        self.miner.acknowledged.iter().map(|ack| ack.2).sum()
    }

    /// Submits a share, and waits until it is acknowledged.
    pub(crate) async fn mine_share(&mut self) {
        let wanted = self.acknowledged() + 1;
        let nonce = self.find_share();
        self.submit(&nonce);
        self.until_acknowledged(wanted).await;
    }

    /// Waits until so many shares are acknowledged.
    pub(crate) async fn until_acknowledged(&mut self, wanted: u32) {
        let count = |miner: &Sv2Miner| miner.acknowledged.iter().map(|ack| ack.2).sum::<u32>();
        let is_done = |miner: &Sv2Miner| count(miner) >= wanted || !miner.rejected.is_empty();
        assert!(self.until(is_done).await, "the pool closed the connection");
        assert_eq!(self.miner.rejected, [], "a good share was rejected");
    }
}

/// A Stratum V1 miner.
pub(crate) struct Sv1Client {
    stream: LineStream,
    pub(crate) miner: Sv1Miner,
    chance: Chance,
}

impl Sv1Client {
    pub(crate) async fn dial(address: SocketAddr) -> Self {
        let dialer = Dialer::new(DialSettings::default(), CurvePool::new());
        Self::dial_by(&dialer, address).await.unwrap()
    }

    /// As [`Self::dial`], by this dialer; `None` if nobody answers.
    pub(crate) async fn dial_by(dialer: &Dialer, address: SocketAddr) -> Option<Self> {
        dialer.sv1(&endpoint(address)).await.ok().map(Self::new)
    }

    /// As [`Self::dial`], in TLS.
    pub(crate) async fn dial_tls(
        address: SocketAddr,
        certificate: Fingerprint,
    ) -> Result<Self, DialError> {
        let dialer = Dialer::new(DialSettings::default(), CurvePool::new());
        let trust = TlsTrust::Pinned(certificate);
        let stream = dialer.sv1_tls(&endpoint(address), trust).await?;
        Ok(Self::new(stream))
    }

    fn new(stream: LineStream) -> Self {
        Self {
            stream,
            miner: Sv1Miner::default(),
            chance: Chance::new(7),
        }
    }

    /// See [`Sv2Client::until`].
    pub(crate) async fn until(&mut self, condition: impl Fn(&Sv1Miner) -> bool) -> bool {
        loop {
            for line in self.miner.take_output() {
                self.stream.queue_lines(&line).unwrap();
            }
            while let Some(line) = self.stream.next_line().unwrap() {
                let line = [line, b"\n"].concat();
                self.miner.receive(Instant::now(), &line);
            }
            if condition(&self.miner) {
                return true;
            }
            if !matches!(self.stream.fill().await, Ok(Filled::Bytes)) {
                return false;
            }
        }
    }

    /// Finds a share that is no block.
    pub(crate) fn find_share(&mut self) -> Nonce {
        let job = self.miner.job();
        let network = job.network_target();
        job.mine_where(&mut self.chance, |hash| {
            job.target.is_met_by(hash) && !network.is_met_by(hash)
        })
    }

    /// Submits a share, waits for its answer, and gives the code of the refusal.
    pub(crate) async fn submit(&mut self, user: &str, nonce: &Nonce) -> Option<i64> {
        let id = self.miner.submit(user, nonce);
        assert!(self.until(|miner| miner.replies.contains_key(&id)).await);
        self.miner.refusal(&id)
    }

    /// Submits a share that is no block, and waits until it is granted.
    pub(crate) async fn mine_share(&mut self, user: &str) {
        let nonce = self.find_share();
        assert_eq!(self.submit(user, &nonce).await, None);
    }

    /// Closes the connection, and waits until the pool has done so too.
    pub(crate) async fn leave(self) {
        self.stream.shutdown(Duration::from_secs(600)).await;
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::new(&address.ip().to_string(), address.port()).unwrap()
}
