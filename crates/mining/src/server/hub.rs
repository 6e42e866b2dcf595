//! What all sessions of a pool work on, and the extranonce space that they share.

use std::sync::Arc;
use std::time::Instant;

use bitcoin::BlockHash;
use headframe_channels::{ExtranoncePrefix, ExtranonceSpace, JobId, NetworkClock};
use headframe_work::{PreparedTemplate, Template, TemplateError, UnixTime};

use super::PoolRules;

/// The one owner of a pool's shared state.
#[derive(Debug)]
pub struct Hub {
    rules: Arc<PoolRules>,
    space: ExtranonceSpace,
    work: Option<Arc<PoolWork>>,
}

/// A template as the node gave it, with what is known of its time.
#[derive(Debug, Clone)]
pub struct NewTemplate {
    /// The template.
    pub template: Arc<Template>,
    /// When the node's answer arrived.
    pub received: Instant,
    /// The earliest header time that the template holds for.
    pub earliest: UnixTime,
    /// The latest, where there is one before the usual two hours into the future.
    pub latest: Option<UnixTime>,
}

/// A template made ready for all sessions, under the number of one fan-out event.
///
/// Each session joins it to its own miners' payouts.
#[derive(Debug, Clone)]
pub struct PoolWork {
    /// The number that the jobs made of this carry.
    pub job_id: JobId,
    /// The template.
    pub prepared: Arc<PreparedTemplate>,
    /// The network's time.
    pub clock: NetworkClock,
    /// The earliest header time.
    pub earliest: UnixTime,
    /// The latest header time, where there is one.
    pub latest: Option<UnixTime>,
}

impl PoolWork {
    /// The block that this work builds on.
    pub fn tip(&self) -> BlockHash {
        self.prepared.template().prev_hash
    }

    /// The header time that a job sent at `now` begins with.
    pub fn time(&self, now: Instant) -> UnixTime {
        self.clock.at(now).max(self.earliest).min(self.last_time())
    }

    /// The latest header time that the template holds for.
    pub(crate) fn last_time(&self) -> UnixTime {
        self.latest.unwrap_or(UnixTime::from_secs(u32::MAX))
    }
}

impl Hub {
    /// A hub that gives out extranonce prefixes from `first_prefix` on, which is random, so that
    /// restarts differ.
    pub fn new(rules: Arc<PoolRules>, first_prefix: u32) -> Self {
        Self {
            rules,
            space: ExtranonceSpace::new(first_prefix),
            work: None,
        }
    }

    /// The node has another template.
    ///
    /// # Errors
    ///
    /// When no valid block can be built from it. What was worked on before stays.
    pub fn handle_template(&mut self, new: NewTemplate) -> Result<Arc<PoolWork>, TemplateError> {
        let clock = NetworkClock::new(new.template.current_time, new.received);
        let prepared = PreparedTemplate::new(new.template)?;
        let tip = prepared.template().prev_hash;
        if self.work.as_ref().is_some_and(|work| work.tip() != tip) {
            self.space.handle_new_tip();
        }
        Ok(self.publish(PoolWork {
            job_id: self.rules.job_ids.next(),
            prepared: Arc::new(prepared),
            clock,
            earliest: new.earliest,
            latest: new.latest,
        }))
    }

    /// Numbers the work anew, so that miners get another search space and a later time while the
    /// node has no new template.
    pub fn refresh(&mut self) -> Option<Arc<PoolWork>> {
        let work = self.work.as_ref()?;
        let again = PoolWork {
            job_id: self.rules.job_ids.next(),
            ..PoolWork::clone(work)
        };
        Some(self.publish(again))
    }

    /// What the pool works on.
    pub fn work(&self) -> Option<&Arc<PoolWork>> {
        self.work.as_ref()
    }

    /// A prefix that no live channel has; `None` when all are out.
    pub fn lease_prefix(&mut self) -> Option<ExtranoncePrefix> {
        self.space.lease()
    }

    /// Takes a closed channel's prefix back.
    pub fn give_back_prefix(&mut self, prefix: ExtranoncePrefix) {
        self.space.give_back(prefix);
    }

    /// How many prefixes are out, or rest until the next tip.
    pub fn prefixes_in_use(&self) -> usize {
        self.space.in_use()
    }

    fn publish(&mut self, work: PoolWork) -> Arc<PoolWork> {
        Arc::clone(self.work.insert(Arc::new(work)))
    }
}
