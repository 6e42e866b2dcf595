//! What the ledger calls a rejection.

use headframe_channels::RejectReason;
use headframe_ledger::Rejection;

pub(crate) fn rejection(reason: RejectReason) -> Rejection {
    match reason {
        RejectReason::UnknownJob => Rejection::UnknownJob,
        RejectReason::Stale => Rejection::Stale,
        RejectReason::Duplicate => Rejection::Duplicate,
        RejectReason::LowDifficulty => Rejection::LowDifficulty,
        RejectReason::BadExtranonceSize => Rejection::BadExtranonceSize,
        RejectReason::BadVersionBits => Rejection::BadVersionBits,
        RejectReason::TimeTooOld => Rejection::TimeTooOld,
        RejectReason::TimeTooNew => Rejection::TimeTooNew,
    }
}
