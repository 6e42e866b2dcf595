//! What a miner is told.

use core::num::NonZeroU32;

use headframe_transport::PoolUrl;
use headframe_work::Hashrate;

use crate::{Backoff, Channel};

/// Where to mine, for whom, and how hard.
#[derive(Debug, Clone)]
pub struct MinerSettings {
    /// The pool. Whether it must prove who it is stands there too.
    pub url: PoolUrl,
    /// Who is to be paid, in the pool's own form: mostly `address.worker`. At most 255 bytes.
    pub user: String,
    /// The name that each share carries, for who has several machines behind one user name
    /// (Stratum V2 extension 0x0002, extended channels). At most [`Self::MAX_WORKER_LEN`] bytes.
    pub worker: Option<String>,
    /// The password of Stratum V1, which most pools ignore.
    pub password: String,
    /// Threads that hash; `None` for one per core.
    pub threads: Option<NonZeroU32>,
    /// The kind of channel on Stratum V2; `None` for extended.
    pub channel: Option<Channel>,
    /// Hashes per second and thread at most; `None` for all that the core gives.
    pub throttle: Option<NonZeroU32>,
    /// Whether to roll version bits where the pool allows it.
    pub roll_version: bool,
    /// The hashrate to announce; `None` for what the throttle says or a short measurement finds.
    pub nominal_hashrate: Option<Hashrate>,
    /// The rhythm of reconnecting.
    pub backoff: Backoff,
}

impl MinerSettings {
    /// The longest name of a worker, in bytes.
    pub const MAX_WORKER_LEN: usize = headframe_mining::client::MAX_WORKER_NAME_LEN;

    /// All cores for `user` at `url`, an extended channel on Stratum V2, versions rolled.
    pub fn new(url: PoolUrl, user: impl Into<String>) -> Self {
        Self {
            url,
            user: user.into(),
            worker: None,
            password: "x".to_owned(),
            threads: None,
            channel: None,
            throttle: None,
            roll_version: true,
            nominal_hashrate: None,
            backoff: Backoff::default(),
        }
    }

    /// The number of threads.
    pub(crate) fn thread_count(&self) -> NonZeroU32 {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        self.threads
            .or_else(|| NonZeroU32::new(cores()))
            .unwrap_or(NonZeroU32::MIN)
    }
}
