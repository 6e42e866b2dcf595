//! What is shown while there is no node yet: what the ledger remembers, and what the operator is to
//! do. What nobody knows then, such as the network, is shown as not known.

use std::time::Instant;

use headframe_api::{Connect, History, Miner, NodeKind, Overview, Payout, PoolState};
use headframe_ledger::{Ledger, LedgerError};
use headframe_work::Network;

use super::convert;
use super::model::{Facts, Model};
use super::past::Past;
use crate::clock::{Started, wall_clock};

/// A pool that is not there yet, as it is shown.
#[derive(Debug)]
pub struct Waiting {
    model: Model,
}

impl Waiting {
    /// Reads what the ledger remembers. `persistent` says whether it outlives the process.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn new(
        ledger: &dyn Ledger,
        persistent: bool,
        node_kind: NodeKind,
        started: Started,
    ) -> Result<Self, LedgerError> {
        let facts = Facts {
            network: None,
            demo: false,
            persistent,
            connect: Connect::default(),
            payout: Payout::default(),
            node_kind,
            node_endpoint: String::new(),
            backups: Vec::new(),
        };
        let past = Past::read(ledger)?;
        let mut model = Model::new(facts, past, Instant::now(), wall_clock());
        model.go_on(started, 0);
        Ok(Self { model })
    }

    /// The pool as it is now: in `state`, and with the network if that is known.
    pub fn overview(&mut self, state: PoolState, network: Option<Network>) -> Overview {
        let mut overview = self.model.overview(Instant::now(), wall_clock());
        overview.summary.state = state;
        overview.summary.network = network.map(convert::network);
        overview
    }

    /// The miners that the ledger remembers.
    pub fn miners(&self) -> Vec<Miner> {
        self.model.miners(Instant::now(), wall_clock())
    }

    /// The chart.
    pub fn history(&self) -> History {
        self.model.history()
    }
}
