//! The templates of a connection (TD-29, TD-31).

use std::collections::VecDeque;
use std::sync::Arc;

use super::{OfferedTemplate, ProviderFault, ProviderTip};

/// Templates for the future that are kept; of more, the oldest go.
pub const MAX_FUTURE: usize = 16;
/// Templates of the present tip that are kept.
pub const KEPT_OF_TIP: usize = 64;
/// Templates of the tip before that are kept, for blocks that cross the new one.
pub const KEPT_OF_LAST_TIP: usize = 16;

/// A template, and the tip that it is of.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) template: Arc<OfferedTemplate>,
    pub(super) tip: Arc<ProviderTip>,
}

/// All that a provider gave and that may still be mined.
#[derive(Debug, Default)]
pub(super) struct Kept {
    future: VecDeque<Arc<OfferedTemplate>>,
    present: VecDeque<Given>,
    last: VecDeque<Given>,
    tip: Option<Arc<ProviderTip>>,
}

impl Kept {
    pub(super) const fn tip(&self) -> Option<&Arc<ProviderTip>> {
        self.tip.as_ref()
    }

    pub(super) fn keep_future(&mut self, template: Arc<OfferedTemplate>) {
        self.future.push_back(template);
        if self.future.len() > MAX_FUTURE {
            self.future.pop_front();
        }
    }

    /// A template on the present tip.
    pub(super) fn keep(&mut self, template: Arc<OfferedTemplate>, tip: Arc<ProviderTip>) {
        self.present.push_back(Given { template, tip });
        if self.present.len() > KEPT_OF_TIP {
            self.present.pop_front();
        }
    }

    /// The template that a tip names: one for the future, or one that is mined already where the tip stays.
    pub(super) fn named(&self, id: u64) -> Result<Arc<OfferedTemplate>, ProviderFault> {
        let present = self.present.iter().map(|given| &given.template);
        let mut all = self.future.iter().chain(present);
        let named = all.find(|template| template.id == id);
        named.cloned().ok_or(ProviderFault::UnknownTemplate(id))
    }

    /// A tip was told, with the template to begin with. True when it is another than before.
    pub(super) fn begin(&mut self, template: Arc<OfferedTemplate>, tip: Arc<ProviderTip>) -> bool {
        let is_new = (self.tip.as_ref()).is_none_or(|before| before.prev_hash != tip.prev_hash);
        if is_new {
            self.last = core::mem::take(&mut self.present);
            let surplus = self.last.len().saturating_sub(KEPT_OF_LAST_TIP);
            self.last.drain(..surplus);
        }
        self.future.clear();
        self.tip = Some(Arc::clone(&tip));
        self.keep(template, tip);
        is_new
    }

    /// All of the present tip and the last, the newest first.
    pub(super) fn given(&self) -> impl Iterator<Item = &Given> {
        self.present.iter().rev().chain(self.last.iter().rev())
    }
}
