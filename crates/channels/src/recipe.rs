//! What the jobs of a channel are made of, but for template and number.

use std::sync::Arc;

use headframe_work::{CoinbaseError, Imprint, Job, Payout, PreparedTemplate, UniqueBytes};

use crate::JobId;

/// It makes the same job of the same template under the same number whenever it is asked, so that a
/// channel need not keep the coinbases of jobs of which no share comes. It never changes.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) payout: Payout,
    pub(crate) imprint: Imprint,
    pub(crate) extranonce_len: usize,
}

impl Recipe {
    /// The job `id` of `prepared`.
    pub(crate) fn job(
        &self,
        prepared: &Arc<PreparedTemplate>,
        id: JobId,
    ) -> Result<Job, CoinbaseError> {
        let Imprint { tag, process } = &self.imprint;
        let unique = UniqueBytes {
            process: *process,
            job: id.get(),
        };
        let (prepared, payout) = (Arc::clone(prepared), self.payout.clone());
        Job::new(prepared, payout, tag, unique, self.extranonce_len)
    }
}
