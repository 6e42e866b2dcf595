//! Numbers that name channels and jobs.

use core::fmt;
use core::num::NonZeroU32;

/// Names a channel, or a group of channels, within one connection. Never used again in it after
/// the channel is closed (MP-15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(u32);

impl ChannelId {
    /// The id that is `id` on the wire.
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The id on the wire.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a job: one number per fan-out event, pool-wide, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(NonZeroU32);

impl JobId {
    /// The id with the given number; `None` for 0.
    pub const fn new(id: u32) -> Option<Self> {
        match NonZeroU32::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number, as on the wire of SV2.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for JobId {
    /// Writes the number in hexadecimal, as it stands in SV1's `mining.notify`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_no_job_id() {
        assert_eq!(JobId::new(0), None);
    }
}
