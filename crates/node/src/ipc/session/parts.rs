//! The parts of a template, asked for together.

use bitcoin::BlockHash;
use bitcoin::CompactTarget;
use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize;
use bitcoin_capnp_types::mining_capnp::block_template;

use super::{Session, TEMPLATE_LIMIT, items, unintelligible};
use crate::NodeError;
use crate::ipc::template::{CoinbaseParts, Parts};

impl Session {
    /// All that the pool needs of a template.
    pub(in crate::ipc) async fn parts(
        &self,
        template: &block_template::Client,
    ) -> Result<Parts, NodeError> {
        // All are sent before the first answer is waited for.
        let block = self.block(template);
        let fees = self.fees(template);
        let sigops = self.sigops(template);
        let coinbase = self.coinbase(template);
        let (block, fees, sigops, coinbase) = tokio::try_join!(block, fees, sigops, coinbase)?;
        Ok(Parts {
            block,
            fees,
            sigops,
            coinbase,
        })
    }

    /// The tip that a template builds on, and its target.
    pub(in crate::ipc) async fn tip_and_bits(
        &self,
        template: &block_template::Client,
    ) -> Result<(BlockHash, CompactTarget), NodeError> {
        const METHOD: &str = "getBlockHeader";
        let mut request = template.get_block_header_request();
        on!(request, self.threads.ask);
        let answer = self.answer(METHOD, TEMPLATE_LIMIT, request.send()).await?;
        let data = read!(METHOD, read!(METHOD, answer.get()).get_result());
        let header: Header = read!(METHOD, deserialize(data));
        Ok((header.prev_blockhash, header.bits))
    }

    /// The whole block, with a coinbase that is not to be used.
    pub(super) async fn block(
        &self,
        template: &block_template::Client,
    ) -> Result<Vec<u8>, NodeError> {
        const METHOD: &str = "getBlock";
        let mut request = template.get_block_request();
        on!(request, self.threads.ask);
        let answer = self.answer(METHOD, TEMPLATE_LIMIT, request.send()).await?;
        let data = read!(METHOD, read!(METHOD, answer.get()).get_result());
        Ok(data.to_vec())
    }

    async fn fees(&self, template: &block_template::Client) -> Result<Vec<i64>, NodeError> {
        const METHOD: &str = "getTxFees";
        let mut request = template.get_tx_fees_request();
        on!(request, self.threads.ask);
        let answer = self.answer(METHOD, TEMPLATE_LIMIT, request.send()).await?;
        let list = read!(METHOD, read!(METHOD, answer.get()).get_result());
        Ok(list.iter().collect())
    }

    async fn sigops(&self, template: &block_template::Client) -> Result<Vec<i64>, NodeError> {
        const METHOD: &str = "getTxSigops";
        let mut request = template.get_tx_sigops_request();
        on!(request, self.threads.ask);
        let answer = self.answer(METHOD, TEMPLATE_LIMIT, request.send()).await?;
        let list = read!(METHOD, read!(METHOD, answer.get()).get_result());
        Ok(list.iter().collect())
    }

    async fn coinbase(
        &self,
        template: &block_template::Client,
    ) -> Result<CoinbaseParts, NodeError> {
        const METHOD: &str = "getCoinbaseTx";
        let mut request = template.get_coinbase_tx_request();
        on!(request, self.threads.ask);
        let answer = self.answer(METHOD, TEMPLATE_LIMIT, request.send()).await?;
        let coinbase = read!(METHOD, read!(METHOD, answer.get()).get_result());
        let outputs = read!(METHOD, coinbase.get_required_outputs());
        Ok(CoinbaseParts {
            sequence: coinbase.get_sequence(),
            script_sig_prefix: read!(METHOD, coinbase.get_script_sig_prefix()).to_vec(),
            witness: read!(METHOD, coinbase.get_witness()).to_vec(),
            value: coinbase.get_block_reward_remaining(),
            required_outputs: items(METHOD, outputs)?,
            lock_time: coinbase.get_lock_time(),
        })
    }
}
