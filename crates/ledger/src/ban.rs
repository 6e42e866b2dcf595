//! Addresses that the pool does not serve for a while.

use core::time::Duration;
use std::net::IpAddr;

use headframe_work::UnixTime;

use crate::Text;

/// Bans that are remembered; past it those that end first are forgotten. An address costs its
/// owner little, an IPv6 prefix nothing, so that a list without a bound could be filled.
pub const MAX_BANS: usize = 4_096;

/// How long a ban is remembered after its end, so that who comes back and goes on is known.
pub const BAN_REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// A ban. There is one for each address, the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// The address; of IPv6 the first of its /64, which stands for all of them.
    pub address: IpAddr,
    /// Since when.
    pub since: UnixTime,
    /// When it ends.
    pub until: UnixTime,
    /// Why, in words for the operator.
    pub reason: Text,
    /// The how manyth it is of this address, as far as that is remembered, from 1.
    pub times: u32,
}

impl Ban {
    /// Whether it is still to be known at `now`.
    pub(crate) fn is_remembered(&self, now: UnixTime) -> bool {
        self.until.saturating_add(BAN_REMEMBERED) > now
    }
}
