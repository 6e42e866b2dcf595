//! The hashrate over time.

use serde::{Deserialize, Serialize};

/// The hashrate over time, at several resolutions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The finest first. A page offers each as a range to look at.
    pub series: Vec<Series>,
}

/// Buckets of one length, the oldest first. All vectors have the same length, at most 1,500.
///
/// Bucket `i` covers `bucket_seconds` from `first_at + i * bucket_seconds`. The running bucket is
/// not in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The length of a bucket.
    pub bucket_seconds: u64,
    /// Where the first bucket begins; 0 when there is none.
    pub first_at: u64,
    /// The pool's hashrate in each bucket; `None` where the pool was not running.
    pub hashes_per_second: Vec<Option<f64>>,
    /// Shares accepted in each bucket.
    pub accepted: Vec<u64>,
    /// Shares rejected in each bucket.
    pub rejected: Vec<u64>,
}
