//! What a node says to a block, as values: the table of rule R-23.
//!
//! Each answer of `submitblock` (BIP22) and of the proposal mode of `getblocktemplate` (BIP23) has
//! one meaning here. The embedded chain gives the same values.

/// What became of a submitted block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitAnswer {
    /// The node took it into its chain.
    Accepted,
    /// The node had it already, and not as an invalid one.
    AlreadyKnown,
    /// Valid as far as the node looked, but not its tip now: ask for its
    /// [`fate`](crate::BlockSink::fate) until it is known.
    Inconclusive,
    /// Invalid, with the node's reason. Submitting it again cannot help; somebody has to look.
    Refused(String),
    /// No verdict, with what stood in the way. Submit it again.
    Retry(String),
}

impl SubmitAnswer {
    /// Reads the `result` of `submitblock`: null or a reason.
    pub fn from_result(result: Option<&str>) -> Self {
        match result {
            None => Self::Accepted,
            Some("duplicate" | "duplicate-inconclusive") => Self::AlreadyKnown,
            Some("inconclusive") => Self::Inconclusive,
            Some("prev-blk-not-found") => {
                Self::Retry("the node does not know the previous block yet".to_owned())
            }
            Some(reason) => Self::Refused(reason.to_owned()),
        }
    }

    /// Whether the block is safe with the node, or certainly lost: nothing is left to be done.
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Accepted | Self::AlreadyKnown | Self::Refused(_) => true,
            Self::Inconclusive | Self::Retry(_) => false,
        }
    }
}

/// What a node says to a block without proof of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckAnswer {
    /// Valid on the node's tip, but for its hash.
    Valid,
    /// It does not build on the node's tip, so the node did not look further.
    StaleTip,
    /// The node knows this very block.
    AlreadyKnown,
    /// Invalid, with the node's reason.
    Refused(String),
}

impl CheckAnswer {
    /// Reads the `result` of a proposal: null or a reason.
    pub fn from_result(result: Option<&str>) -> Self {
        match result {
            None => Self::Valid,
            Some("inconclusive-not-best-prevblk") => Self::StaleTip,
            Some("duplicate" | "duplicate-inconclusive") => Self::AlreadyKnown,
            Some(reason) => Self::Refused(reason.to_owned()),
        }
    }
}

/// Where a block stands in the node's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockFate {
    /// In the best chain, with this many confirmations (the tip has 1).
    InChain {
        /// Blocks on top, and itself.
        confirmations: u32,
    },
    /// Known, but not in the best chain.
    SideBranch,
    /// The node does not know it.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submit_results_as_in_r23() {
        let refused = |reason: &str| SubmitAnswer::Refused(reason.to_owned());
        let rows = [
            (None, SubmitAnswer::Accepted),
            (Some("duplicate"), SubmitAnswer::AlreadyKnown),
            (Some("duplicate-inconclusive"), SubmitAnswer::AlreadyKnown),
            (Some("inconclusive"), SubmitAnswer::Inconclusive),
            (Some("duplicate-invalid"), refused("duplicate-invalid")),
            (Some("high-hash"), refused("high-hash")),
            (Some("bad-cb-amount"), refused("bad-cb-amount")),
            (Some("rejected"), refused("rejected")),
        ];
        for (result, answer) in rows {
            assert_eq!(SubmitAnswer::from_result(result), answer, "{result:?}");
        }
        assert!(matches!(
            SubmitAnswer::from_result(Some("prev-blk-not-found")),
            SubmitAnswer::Retry(_)
        ));
    }

    #[test]
    fn only_open_answers_are_not_final() {
        assert!(SubmitAnswer::Accepted.is_final());
        assert!(SubmitAnswer::AlreadyKnown.is_final());
        assert!(SubmitAnswer::Refused(String::new()).is_final());
        assert!(!SubmitAnswer::Inconclusive.is_final());
        assert!(!SubmitAnswer::Retry(String::new()).is_final());
    }

    #[test]
    fn proposal_results() {
        let rows = [
            (None, CheckAnswer::Valid),
            (Some("inconclusive-not-best-prevblk"), CheckAnswer::StaleTip),
            (Some("duplicate"), CheckAnswer::AlreadyKnown),
            (Some("duplicate-inconclusive"), CheckAnswer::AlreadyKnown),
            (
                Some("duplicate-invalid"),
                CheckAnswer::Refused("duplicate-invalid".to_owned()),
            ),
            (
                Some("bad-txnmrklroot"),
                CheckAnswer::Refused("bad-txnmrklroot".to_owned()),
            ),
        ];
        for (result, answer) in rows {
            assert_eq!(CheckAnswer::from_result(result), answer, "{result:?}");
        }
    }
}
