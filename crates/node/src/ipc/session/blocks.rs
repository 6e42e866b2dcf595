//! Blocks, with their work and without: how they are given to the node, and what it says to them.

use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin_capnp_types::capnp;
use bitcoin_capnp_types::mining_capnp::block_template;

use super::{QUESTION_LIMIT, Session, unintelligible};
use crate::ipc::command::SolutionAnswer;
use crate::solution::Solution;
use crate::{CheckAnswer, NodeError, SubmitAnswer};

const SUBMIT_SOLUTION: &str = "submitSolution";

/// Sends a solution by either schema's call, and gives the answer. Their requests are of different types.
macro_rules! send_solution {
    ($session:expr, $request:expr, $solution:expr, $limit:expr) => {{
        on!($request, $session.threads.submit);
        let mut parameters = $request.get();
        parameters.set_version($solution.header.version.to_consensus() as u32);
        parameters.set_timestamp($solution.header.time);
        parameters.set_nonce($solution.header.nonce);
        parameters.set_coinbase(&$solution.coinbase);
        let sent = $request.send();
        $session.answer(SUBMIT_SOLUTION, $limit, sent).await?
    }};
}

/// A yes or no, and the reason in BIP22's words.
struct Verdict {
    is_good: bool,
    reason: String,
}

impl Session {
    /// Gives the node a block by header and coinbase.
    pub(in crate::ipc) async fn submit_solution(
        &self,
        solution: &Solution,
        limit: Duration,
    ) -> SolutionAnswer {
        let template = self.kept.borrow().of(solution);
        let Some(template) = template else {
            return SolutionAnswer::ShowBlock;
        };
        let verdict = match self.calls.gives_reasons {
            true => self.solution_with_reason(&template, solution, limit).await,
            false => self.solution_without(&template, solution, limit).await,
        };
        match verdict {
            Ok(verdict) if self.calls.gives_reasons => SolutionAnswer::Said(verdict.on_block()),
            Ok(Verdict { is_good: true, .. }) => self.taken(solution.header.block_hash()).await,
            Ok(Verdict { is_good: false, .. }) | Err(NodeError::Refused { .. }) => {
                SolutionAnswer::ShowBlock
            }
            Err(error) => SolutionAnswer::Said(SubmitAnswer::Retry(error.to_string())),
        }
    }

    /// What became of a block that the older `submitSolution` says yes to: that it was stored, be it valid or not.
    async fn taken(&self, hash: BlockHash) -> SolutionAnswer {
        if self.accepted.get() == Some(hash) {
            return SolutionAnswer::Said(SubmitAnswer::AlreadyKnown);
        }
        match self.tip().await {
            Ok(Some(tip)) if tip.hash == hash => {
                self.accepted.set(Some(hash));
                SolutionAnswer::Said(SubmitAnswer::Accepted)
            }
            Ok(_) | Err(_) => SolutionAnswer::JudgeBlock,
        }
    }

    /// What is wrong with a block that was stored and is not the tip. One that is not on the tip any more lost a
    /// race, or won it and was overtaken: where it stands is to be asked.
    pub(in crate::ipc) async fn judge_stored(&self, block: &[u8], limit: Duration) -> SubmitAnswer {
        match self.judge(block, true, limit).await {
            Ok(CheckAnswer::Refused(reason)) => SubmitAnswer::Refused(reason),
            Ok(_) | Err(_) => SubmitAnswer::Inconclusive,
        }
    }

    async fn solution_with_reason(
        &self,
        template: &block_template::Client,
        solution: &Solution,
        limit: Duration,
    ) -> Result<Verdict, NodeError> {
        let mut request = template.submit_solution_request();
        let answer = send_solution!(self, request, solution, limit);
        let results = read!(SUBMIT_SOLUTION, answer.get());
        Ok(Verdict {
            is_good: results.get_result(),
            reason: text(SUBMIT_SOLUTION, results.get_reason())?,
        })
    }

    async fn solution_without(
        &self,
        template: &block_template::Client,
        solution: &Solution,
        limit: Duration,
    ) -> Result<Verdict, NodeError> {
        let mut request = template.submit_solution_old7_request();
        let answer = send_solution!(self, request, solution, limit);
        Ok(Verdict {
            is_good: read!(SUBMIT_SOLUTION, answer.get()).get_result(),
            reason: String::new(),
        })
    }

    /// Whether the node's `submitSolution` gives reasons.
    pub(super) async fn rehearse_solution(
        &self,
        template: &block_template::Client,
        solution: &Solution,
    ) -> Result<bool, NodeError> {
        let newer = self.solution_with_reason(template, solution, QUESTION_LIMIT);
        let (verdict, gives_reasons) = match newer.await {
            Err(NodeError::UnknownInterface { .. }) => {
                let older = self.solution_without(template, solution, QUESTION_LIMIT);
                (older.await?, false)
            }
            verdict => (verdict?, true),
        };
        if verdict.is_good || (gives_reasons && verdict.reason.is_empty()) {
            let reason = "its submitSolution did not refuse a block without work".to_owned();
            return Err(NodeError::UnknownInterface { reason });
        }
        Ok(gives_reasons)
    }

    /// Whether the node takes whole blocks.
    pub(super) async fn rehearse_block(&self, block: &[u8]) -> Result<bool, NodeError> {
        match self.whole_block(block, QUESTION_LIMIT).await {
            Ok(verdict) if !verdict.is_good && !verdict.reason.is_empty() => Ok(true),
            Ok(_) | Err(NodeError::UnknownInterface { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the node a whole block, or learns why it would refuse it where it takes none.
    pub(in crate::ipc) async fn submit_block(&self, block: &[u8], limit: Duration) -> SubmitAnswer {
        if !self.calls.takes_blocks {
            return self.why_refused(block, limit).await;
        }
        match self.whole_block(block, limit).await {
            Ok(verdict) => verdict.on_block(),
            Err(error) => SubmitAnswer::Retry(error.to_string()),
        }
    }

    async fn why_refused(&self, block: &[u8], limit: Duration) -> SubmitAnswer {
        const BY_RPC: &str = "this node takes a block that it holds no template of by its RPC alone; set node.url beside node.ipc";
        match self.judge(block, true, limit).await {
            Ok(CheckAnswer::Refused(reason)) => SubmitAnswer::Refused(reason),
            Ok(CheckAnswer::AlreadyKnown) => SubmitAnswer::AlreadyKnown,
            Ok(CheckAnswer::Valid | CheckAnswer::StaleTip) => {
                SubmitAnswer::Retry(BY_RPC.to_owned())
            }
            Err(error) => SubmitAnswer::Retry(error.to_string()),
        }
    }

    async fn whole_block(&self, block: &[u8], limit: Duration) -> Result<Verdict, NodeError> {
        const METHOD: &str = "submitBlock";
        let mut request = self.mining.submit_block_request();
        on!(request, self.threads.submit);
        request.get().set_block(block);
        let answer = self.answer(METHOD, limit, request.send()).await?;
        let results = read!(METHOD, answer.get());
        Ok(Verdict {
            is_good: results.get_result(),
            reason: text(METHOD, results.get_reason())?,
        })
    }

    /// Whether the node would accept the block if it had proof of work.
    pub(in crate::ipc) async fn check(&self, block: &[u8]) -> Result<CheckAnswer, NodeError> {
        match self.judge(block, false, QUESTION_LIMIT).await {
            Err(NodeError::Refused { message, .. }) => Ok(CheckAnswer::Refused(message)),
            verdict => verdict,
        }
    }

    async fn judge(
        &self,
        block: &[u8],
        with_work: bool,
        limit: Duration,
    ) -> Result<CheckAnswer, NodeError> {
        const METHOD: &str = "checkBlock";
        let mut request = self.mining.check_block_request();
        on!(request, self.threads.check);
        let mut parameters = request.get();
        parameters.set_block(block);
        let mut options = parameters.init_options();
        options.set_check_merkle_root(true);
        options.set_check_pow(with_work);
        let answer = self.answer(METHOD, limit, request.send()).await?;
        let results = read!(METHOD, answer.get());
        let reason = text(METHOD, results.get_reason())?;
        let verdict = (!results.get_result()).then_some(reason);
        Ok(CheckAnswer::from_result(verdict.as_deref()))
    }
}

impl Verdict {
    fn on_block(self) -> SubmitAnswer {
        SubmitAnswer::from_result((!self.is_good).then_some(&self.reason))
    }
}

fn text(
    method: &'static str,
    text: capnp::Result<capnp::text::Reader<'_>>,
) -> Result<String, NodeError> {
    let text = read!(method, text).to_string();
    Ok(read!(method, text))
}
