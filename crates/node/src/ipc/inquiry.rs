//! Questions apart from templates and blocks: verdicts on blocks without work, and transactions.

use bitcoin::Txid;
use bitcoin::hex::FromHex;
use tokio::sync::oneshot;

use super::command::{Command, Commands};
use super::worker::absent;
use crate::{BlockCheck, BoxFuture, CheckAnswer, NodeError, TransactionSource};

/// Asks the thread of one node.
pub(super) struct Inquiry {
    commands: Commands,
}

impl Inquiry {
    pub(super) fn new(commands: Commands) -> Self {
        Self { commands }
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, NodeError>>) -> Command,
    ) -> Result<T, NodeError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| absent())?;
        answer.await.unwrap_or_else(|_| Err(absent()))
    }
}

impl BlockCheck for Inquiry {
    fn check<'a>(&'a self, block_hex: &'a str) -> BoxFuture<'a, Result<CheckAnswer, NodeError>> {
        Box::pin(async move {
            let Ok(block) = Vec::from_hex(block_hex) else {
                return Ok(CheckAnswer::Refused("Block decode failed".to_owned()));
            };
            self.ask(|reply| Command::Check(block, reply)).await
        })
    }
}

impl TransactionSource for Inquiry {
    fn transactions<'a>(
        &'a self,
        txids: &'a [Txid],
    ) -> BoxFuture<'a, Result<Vec<Option<Vec<u8>>>, NodeError>> {
        Box::pin(self.ask(|reply| Command::Transactions(txids.to_vec(), reply)))
    }
}
