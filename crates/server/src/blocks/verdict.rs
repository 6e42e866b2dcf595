//! What several nodes say to a block, and what that comes to.

use headframe_ledger::BlockFate;
use headframe_ledger::Text;
use headframe_node::SubmitAnswer;

/// What the ledger and the journal keep of a node that took a block but not on its best chain. The
/// board knows by it, after a restart, that such a block waits.
pub(crate) const INCONCLUSIVE: &str = "inconclusive";

/// The last answer of each node, in their order of preference.
#[derive(Debug, Clone)]
pub(crate) struct Verdict(Vec<Option<SubmitAnswer>>);

impl Verdict {
    /// Of so many nodes, none of which has answered.
    pub(crate) fn of(nodes: usize) -> Self {
        Self(vec![None; nodes])
    }

    pub(crate) fn handle_answer(&mut self, node: usize, answer: SubmitAnswer) {
        if let Some(last) = self.0.get_mut(node) {
            *last = Some(answer);
        }
    }

    /// Each node that has answered, with its answer.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (usize, &SubmitAnswer)> {
        let answers = self.0.iter().enumerate();
        answers.filter_map(|(node, answer)| Some((node, answer.as_ref()?)))
    }

    /// The answer that stands for all: what any node took is taken, what one holds valid is followed, and
    /// what those that answered refused is refused. `None`: no node has said anything.
    pub(crate) fn answer(&self) -> Option<&SubmitAnswer> {
        let answers = || self.answers().map(|(_, answer)| answer);
        let rank = |answer: &&SubmitAnswer| match answer {
            SubmitAnswer::Accepted => 0,
            SubmitAnswer::AlreadyKnown => 1,
            SubmitAnswer::Inconclusive => 2,
            SubmitAnswer::Refused(_) => 3,
            SubmitAnswer::Retry(_) => 4,
        };
        answers().min_by_key(rank)
    }

    /// What the block has come to.
    pub(crate) fn fate(&self) -> BlockFate {
        match self.answer() {
            None => BlockFate::Found,
            Some(SubmitAnswer::Accepted | SubmitAnswer::AlreadyKnown) => BlockFate::Accepted,
            Some(SubmitAnswer::Inconclusive | SubmitAnswer::Retry(_)) => BlockFate::Submitted,
            Some(SubmitAnswer::Refused(reason)) => BlockFate::Refused {
                reason: Text::clip(reason),
            },
        }
    }

    /// Whether a node has the block.
    pub(crate) fn is_accepted(&self) -> bool {
        self.fate() == BlockFate::Accepted
    }

    /// Why no node has said anything of worth, if none has.
    pub(crate) fn trouble(&self) -> Option<&str> {
        match self.answer() {
            Some(SubmitAnswer::Retry(reason)) => Some(reason),
            _ => None,
        }
    }

    /// Whether nothing is left to be done for the block at the next start: a node has it, or all have refused
    /// it. One that has not answered may take what another refused.
    pub(crate) fn is_final(&self) -> bool {
        let refused = |answer: &Option<_>| matches!(answer, Some(SubmitAnswer::Refused(_)));
        self.is_accepted() || self.0.iter().all(refused)
    }

    /// Whether no node is left to answer.
    pub(crate) fn is_complete(&self) -> bool {
        let is_final =
            |answer: &Option<SubmitAnswer>| answer.as_ref().is_some_and(|it| it.is_final());
        self.0.iter().all(is_final)
    }
}

/// What a node has said, as it stands beside the block.
pub(crate) fn words(answer: &SubmitAnswer) -> String {
    match answer {
        SubmitAnswer::Accepted => "accepted".to_owned(),
        SubmitAnswer::AlreadyKnown => "known".to_owned(),
        SubmitAnswer::Inconclusive => INCONCLUSIVE.to_owned(),
        SubmitAnswer::Refused(reason) => format!("refused: {reason}"),
        SubmitAnswer::Retry(reason) => format!("no answer: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SubmitAnswer::{Accepted, AlreadyKnown, Inconclusive};

    fn refused() -> SubmitAnswer {
        SubmitAnswer::Refused("high-hash".to_owned())
    }

    fn retry() -> SubmitAnswer {
        SubmitAnswer::Retry("no connection".to_owned())
    }

    #[test]
    fn what_any_node_takes_is_taken_and_what_all_refuse_is_refused() {
        let refusal = || BlockFate::Refused {
            reason: "high-hash".into(),
        };
        let rows = [
            (None, None, BlockFate::Found, false),
            (Some(Accepted), None, BlockFate::Accepted, true),
            (Some(refused()), Some(Accepted), BlockFate::Accepted, true),
            (Some(retry()), Some(AlreadyKnown), BlockFate::Accepted, true),
            (
                Some(Inconclusive),
                Some(refused()),
                BlockFate::Submitted,
                false,
            ),
            (Some(retry()), Some(retry()), BlockFate::Submitted, false),
            (
                Some(retry()),
                Some(Inconclusive),
                BlockFate::Submitted,
                false,
            ),
            // The other may take it yet.
            (Some(refused()), Some(retry()), refusal(), false),
            (Some(refused()), None, refusal(), false),
            (Some(refused()), Some(refused()), refusal(), true),
        ];
        for (first, second, fate, is_final) in rows {
            // Whoever says what.
            for answers in [[&first, &second], [&second, &first]] {
                let mut verdict = Verdict::of(2);
                for (node, answer) in answers.into_iter().enumerate() {
                    if let Some(answer) = answer {
                        verdict.handle_answer(node, answer.clone());
                    }
                }
                assert_eq!(verdict.fate(), fate, "{answers:?}");
                assert_eq!(verdict.is_final(), is_final, "{answers:?}");
            }
        }
    }

    #[test]
    fn trouble_is_told_while_no_node_says_anything_of_worth() {
        let mut verdict = Verdict::of(2);
        verdict.handle_answer(1, retry());
        assert_eq!(verdict.trouble(), Some("no connection"));
        verdict.handle_answer(0, Inconclusive);
        assert_eq!(verdict.trouble(), None);
        assert!(!verdict.is_complete());
        verdict.handle_answer(1, refused());
        verdict.handle_answer(0, Accepted);
        assert!(verdict.is_complete());
    }
}
