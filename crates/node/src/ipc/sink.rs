//! Blocks: to the node by header and coinbase, and beside that whole by its RPC where that is configured.
//!
//! Both ways are gone at once. The socket's answer is waited for first: if it accepts the block, that is the answer, and
//! if not, what RPC says is held against it. A socket that does not answer so holds up what RPC has said already, for the
//! limit of its question, and not the block.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use bitcoin::BlockHash;
use headframe_work::BlockHex;

use super::command::{Command, Commands, SolutionAnswer};
use super::worker::absent;
use crate::rpc::{RpcSettings, RpcSink};
use crate::solution::Solution;
use crate::{BlockFate, BlockSink, NodeError, SubmitAnswer};

/// The longest wait for the answer that says that the way is open: a block may be waiting for it.
pub(super) const STAND_BY_LIMIT: Duration = Duration::from_secs(2);
/// What the thread of the connection may take beyond the node's own limit.
const SLACK: Duration = Duration::from_secs(1);
/// BIP22's word for a block that the node has refused before.
const REFUSED_BEFORE: &str = "duplicate-invalid";
/// Blocks that wait for a node whose RPC hangs. What does not fit is sent again by who asked.
const QUEUE: usize = 4;

/// Takes blocks to one node.
pub(super) struct IpcSink {
    commands: Commands,
    limit: Duration,
    rpc: Option<RpcSettings>,
    beside: Option<Beside>,
}

/// The node's RPC, on a thread of its own.
struct Beside {
    jobs: SyncSender<Job>,
}

enum Job {
    Submit(BlockHex, SyncSender<SubmitAnswer>),
    StandBy,
}

impl IpcSink {
    /// A sink over the thread that `commands` lead to.
    pub(super) fn new(
        commands: Commands,
        rpc: Option<RpcSettings>,
        limit: Duration,
    ) -> io::Result<Self> {
        Ok(Self {
            commands,
            limit,
            beside: rpc.as_ref().map(Beside::start).transpose()?,
            rpc,
        })
    }

    fn by_socket(&self, solution: Solution, block: &BlockHex) -> SubmitAnswer {
        let solution = Box::new(solution);
        match self.ask(|reply| Command::Solution(solution, reply), self.limit) {
            Some(SolutionAnswer::Said(answer)) => answer,
            Some(SolutionAnswer::ShowBlock) => self.whole(block, Command::Block),
            Some(SolutionAnswer::JudgeBlock) => self.whole(block, Command::Judge),
            None => self.silent(),
        }
    }

    fn whole(
        &self,
        block: &BlockHex,
        command: impl FnOnce(Vec<u8>, SyncSender<SubmitAnswer>) -> Command,
    ) -> SubmitAnswer {
        let Ok(block) = block.to_bytes() else {
            return undecodable();
        };
        self.ask(|reply| command(block, reply), self.limit)
            .unwrap_or_else(|| self.silent())
    }

    /// What is wrong with a block that the node says it has refused before. Both ways can be told that, where it judged the
    /// block for one of them while the other brought it.
    fn with_reason(&self, answer: SubmitAnswer, block: &BlockHex) -> SubmitAnswer {
        if !matches!(&answer, SubmitAnswer::Refused(reason) if reason == REFUSED_BEFORE) {
            return answer;
        }
        match self.whole(block, Command::Judge) {
            refused @ SubmitAnswer::Refused(_) => refused,
            _ => answer,
        }
    }

    fn silent(&self) -> SubmitAnswer {
        let limit = self.limit;
        let method = "submitSolution";
        SubmitAnswer::Retry(NodeError::TimedOut { method, limit }.to_string())
    }

    /// Asks the thread; nothing if there is no answer in time.
    fn ask<T>(&self, command: impl FnOnce(SyncSender<T>) -> Command, limit: Duration) -> Option<T> {
        let (reply, answer) = sync_channel(1);
        self.commands.try_send(command(reply)).ok()?;
        answer.recv_timeout(limit + SLACK).ok()
    }
}

impl BlockSink for IpcSink {
    fn submit(&mut self, block: &BlockHex) -> SubmitAnswer {
        let Some(solution) = Solution::of_block(block.head()) else {
            return undecodable();
        };
        let by_rpc = self.beside.as_ref().map(|beside| beside.submit(block));
        let by_socket = self.by_socket(solution, block);
        let by_rpc = by_rpc.filter(|_| by_socket != SubmitAnswer::Accepted);
        let by_rpc = by_rpc.and_then(|answer| answer.recv_timeout(self.limit + SLACK).ok());
        let answer = match by_rpc {
            Some(by_rpc) => better(by_rpc, by_socket),
            None => by_socket,
        };
        self.with_reason(answer, block)
    }

    fn fate(&mut self, hash: BlockHash) -> Result<BlockFate, NodeError> {
        let answer = self.ask(|reply| Command::Fate(hash, reply), STAND_BY_LIMIT);
        answer.unwrap_or_else(|| Err(absent()))
    }

    /// The socket is one for all, and a thread of the RPC's own is for each.
    fn another_way(&self) -> Option<Box<dyn BlockSink>> {
        let another = Self::new(self.commands.clone(), self.rpc.clone(), self.limit);
        Some(Box::new(another.ok()?))
    }

    fn stand_by(&mut self) -> Result<(), NodeError> {
        if let Some(beside) = &self.beside {
            // A queue that is full has something to do.
            let _ = beside.jobs.try_send(Job::StandBy);
        }
        let answer = self.ask(Command::StandBy, STAND_BY_LIMIT);
        answer.unwrap_or_else(|| Err(absent()))
    }
}

impl Beside {
    fn start(settings: &RpcSettings) -> io::Result<Self> {
        let mut rpc = RpcSink::new(settings)?;
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        let serve = move || {
            while let Ok(job) = queue.recv() {
                match job {
                    Job::Submit(block, reply) => {
                        let _ = reply.try_send(rpc.submit(&block));
                    }
                    Job::StandBy => drop(rpc.stand_by()),
                }
            }
        };
        thread::Builder::new()
            .name("ipc-rpc".to_owned())
            .spawn(serve)?;
        Ok(Self { jobs })
    }

    /// Gives the block to the thread, and where its answer will come.
    fn submit(&self, block: &BlockHex) -> Receiver<SubmitAnswer> {
        let (reply, answer) = sync_channel(1);
        let job = Job::Submit(block.clone(), reply);
        if let Err(TrySendError::Full(Job::Submit(_, reply))) = self.jobs.try_send(job) {
            let busy = "the node has not answered for earlier blocks";
            let _ = reply.try_send(SubmitAnswer::Retry(busy.to_owned()));
        }
        answer
    }
}

/// Of two answers to one block the one that says more. The way that came second hears of a duplicate, which says
/// nothing of what the block is: the node may not have looked yet.
fn better(by_rpc: SubmitAnswer, by_socket: SubmitAnswer) -> SubmitAnswer {
    use SubmitAnswer::{Accepted, AlreadyKnown, Inconclusive, Refused, Retry};
    match (&by_rpc, &by_socket) {
        (_, Accepted) | (Retry(_), _) | (AlreadyKnown, Inconclusive | Refused(_)) => by_socket,
        (Refused(reason), Refused(_)) if reason == REFUSED_BEFORE => by_socket,
        (Accepted | AlreadyKnown | Inconclusive | Refused(_), _) => by_rpc,
    }
}

fn undecodable() -> SubmitAnswer {
    SubmitAnswer::Refused("Block decode failed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_answers_the_one_that_says_more_counts() {
        use SubmitAnswer::{Accepted, AlreadyKnown, Inconclusive};
        let refused = |reason: &str| SubmitAnswer::Refused(reason.to_owned());
        let retry = || SubmitAnswer::Retry("no connection".to_owned());
        for (by_rpc, by_socket, answer) in [
            (Accepted, retry(), Accepted),
            (Accepted, AlreadyKnown, Accepted),
            (AlreadyKnown, Accepted, Accepted),
            (retry(), Accepted, Accepted),
            (AlreadyKnown, retry(), AlreadyKnown),
            (AlreadyKnown, Inconclusive, Inconclusive),
            (
                AlreadyKnown,
                refused("bad-cb-amount"),
                refused("bad-cb-amount"),
            ),
            (
                refused("bad-cb-amount"),
                AlreadyKnown,
                refused("bad-cb-amount"),
            ),
            (Inconclusive, AlreadyKnown, Inconclusive),
            (refused("high-hash"), retry(), refused("high-hash")),
            (retry(), refused("high-hash"), refused("high-hash")),
            (
                refused("duplicate-invalid"),
                refused("high-hash"),
                refused("high-hash"),
            ),
            (
                refused("high-hash"),
                refused("duplicate-invalid"),
                refused("high-hash"),
            ),
            (retry(), retry(), retry()),
        ] {
            let name = format!("{by_rpc:?} {by_socket:?}");
            assert_eq!(better(by_rpc, by_socket), answer, "{name}");
        }
    }
}
