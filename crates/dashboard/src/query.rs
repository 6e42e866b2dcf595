//! Which miners are asked for: searched, sorted and cut here, so that a page of fifty rows costs
//! the visitor fifty rows, however many miners there are.

use std::cmp::Ordering;

use headframe_api::{Miner, MinerState};
use serde::{Deserialize, Serialize};

/// The query of `/api/v1/miners`. Without any, all miners come, the strongest first.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct MinerQuery {
    search: Option<String>,
    state: Option<MinerState>,
    #[serde(default)]
    sort: SortKey,
    order: Option<Order>,
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SortKey {
    Worker,
    #[default]
    Hashrate,
    Difficulty,
    Accepted,
    Rejected,
    Best,
    LastShare,
    Connected,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Asc,
    Desc,
}

/// The answer of `/api/v1/miners`.
#[derive(Debug, Serialize)]
pub(crate) struct MinersPage<'a> {
    /// When the miners were so.
    taken_at: u64,
    /// How many miners there are.
    total: usize,
    /// How many of them match the search.
    matching: usize,
    /// How many of the matching ones come before the first of `miners`.
    offset: usize,
    miners: Vec<&'a Miner>,
}

impl MinerQuery {
    pub(crate) fn page_of<'a>(&self, taken_at: u64, miners: &'a [Miner]) -> MinersPage<'a> {
        let mut found: Vec<&Miner> = miners.iter().collect();
        found.retain(|miner| self.matches(miner));
        found.sort_by(|a, b| self.compare(a, b));
        MinersPage {
            taken_at,
            total: miners.len(),
            matching: found.len(),
            offset: self.offset,
            miners: found
                .into_iter()
                .skip(self.offset)
                .take(self.limit.unwrap_or(usize::MAX))
                .collect(),
        }
    }

    fn matches(&self, miner: &Miner) -> bool {
        let in_state = self.state.is_none_or(|state| state == miner.state);
        let Some(search) = &self.search else {
            return in_state;
        };
        let search = search.trim().to_lowercase();
        let holds = |text: &str| text.to_lowercase().contains(&search);
        in_state
            && (holds(&miner.worker)
                || holds(&miner.device)
                || holds(&miner.peer)
                || miner.payout_address.as_deref().is_some_and(holds))
    }

    /// Equal keys keep the order of connection, so that rows do not jump.
    fn compare(&self, a: &Miner, b: &Miner) -> Ordering {
        let ascending = match self.sort {
            SortKey::Worker => a.worker.cmp(&b.worker),
            SortKey::Hashrate => a
                .hashes_per_second
                .five_minutes
                .total_cmp(&b.hashes_per_second.five_minutes),
            SortKey::Difficulty => a.difficulty.total_cmp(&b.difficulty),
            SortKey::Accepted => a.shares.accepted.cmp(&b.shares.accepted),
            SortKey::Rejected => a.shares.rejected.cmp(&b.shares.rejected),
            SortKey::Best => a.best_difficulty.total_cmp(&b.best_difficulty),
            SortKey::LastShare => a.last_share_at.cmp(&b.last_share_at),
            SortKey::Connected => a.connected_at.cmp(&b.connected_at),
        };
        let ordered = match self.order.unwrap_or_else(|| self.sort.usual_order()) {
            Order::Asc => ascending,
            Order::Desc => ascending.reverse(),
        };
        ordered.then(a.id.cmp(&b.id))
    }
}

impl SortKey {
    /// Names from A, numbers from the greatest.
    const fn usual_order(self) -> Order {
        match self {
            Self::Worker => Order::Asc,
            Self::Hashrate
            | Self::Difficulty
            | Self::Accepted
            | Self::Rejected
            | Self::Best
            | Self::LastShare
            | Self::Connected => Order::Desc,
        }
    }
}
