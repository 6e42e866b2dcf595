//! When other work on the same tip goes out. Not here: a new tip, which waits for nothing.
//!
//! A job costs each miner a little: a device loses some 20 ms of hashing when it takes one up, and a
//! connection some hundred bytes. What an older template lacks costs too: fees that nobody mines for. A
//! template that pays less makes nothing of the older jobs wrong; they stay good for a block.

use std::time::Duration;

use bitcoin::Amount;

use super::hub::{NewTemplate, PoolWork};

/// The node's newest template is worked on when the present one was so long. Bitcoin Core asked by
/// RPC gives one about as often; over other interfaces nodes give one a second.
const TEMPLATE_AFTER: Duration = Duration::from_secs(30);
/// While the node gives no other template, the present one gets a number and a header time of its own
/// after so long: devices leave after 180 s of silence. Later than [`TEMPLATE_AFTER`], so that a
/// template that comes when it is due does not come right after this.
pub(super) const RENUMBER_AFTER: Duration = Duration::from_secs(45);
/// A template that pays materially more waits no longer than this. Waiting for 10 s costs a sixtieth of
/// the rise, and fees that rise for ever make six jobs a minute.
const RISE_AFTER: Duration = Duration::from_secs(10);
/// A rise by this part of what the block pays is material: waiting 20 s more for it would cost each
/// miner ten times the hashing that another job costs a device.
const MATERIAL_PART: u64 = 100;
/// No rise by less is, however little the block pays.
const LEAST_RISE: Amount = Amount::from_sat(10_000);

/// How long after `present` was made `new` is to be worked on.
pub(super) fn wait_for(present: &PoolWork, new: &NewTemplate) -> Duration {
    match () {
        // The full job follows a tip's empty one without waiting for anything.
        () if present.is_start() || !is_for_same_header(present, new) => Duration::ZERO,
        () if pays_materially_more(present, new) => RISE_AFTER,
        () => TEMPLATE_AFTER,
    }
}

/// Whether a header for `new` is one for `present`: on its tip, with its bits, and for as long.
fn is_for_same_header(present: &PoolWork, new: &NewTemplate) -> bool {
    let template = present.prepared.template();
    template.same_tip_and_bits(&new.template) && present.latest == new.latest
}

fn pays_materially_more(present: &PoolWork, new: &NewTemplate) -> bool {
    let (present, new) = (present.prepared.template(), &new.template);
    let Some(rise) = new.coinbase_value.checked_sub(present.coinbase_value) else {
        return false;
    };
    let is_first = present.transactions.is_empty() && !new.transactions.is_empty();
    is_first || rise >= (present.coinbase_value / MATERIAL_PART).max(LEAST_RISE)
}
