//! A client of a Template Provider, of the reference's parsers, with coinbases of any size.

use std::net::SocketAddr;

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::{
    Amount, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Target, Transaction, TxIn,
    TxMerkleNode, TxOut, Witness, transaction,
};
use common_messages_sv2::Protocol;
use parsers_sv2::{AnyMessageOwned, TemplateDistributionOwned};
use template_distribution_sv2::{
    CoinbaseOutputConstraintsOwned, NewTemplateOwned, RequestTransactionDataOwned,
    SetNewPrevHashOwned, SubmitSolutionOwned,
};

use super::Link;

/// A connection and what it was told.
pub struct TemplateClient {
    link: Link,
    template: Option<NewTemplateOwned>,
    tip: Option<SetNewPrevHashOwned>,
}

impl TemplateClient {
    /// Connects, and says what its coinbases need.
    ///
    /// # Panics
    ///
    /// When the provider refuses.
    pub fn connect(address: SocketAddr, key: &str, size: u32, sigops: u16) -> Self {
        let mut link = Link::connect(address, key);
        let protocol = Protocol::TemplateDistributionProtocol;
        let success = link.set_up(protocol, 0, address, "");
        assert_eq!(success.flags, 0);
        let mut client = Self {
            link,
            template: None,
            tip: None,
        };
        client.constrain(size, sigops);
        client
    }

    /// Says what its coinbases need from now on, and waits for a template with its tip.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub fn constrain(&mut self, size: u32, sigops: u16) {
        self.send(TemplateDistributionOwned::CoinbaseOutputConstraints(
            CoinbaseOutputConstraintsOwned {
                coinbase_output_max_additional_size: size,
                coinbase_output_max_additional_sigops: sigops,
            },
        ));
        self.tip = None;
        while self.tip.is_none() {
            self.step();
        }
    }

    /// The transactions of the template, as the provider gives them.
    ///
    /// # Panics
    ///
    /// When it does not give them.
    pub fn transactions(&mut self) -> Vec<Transaction> {
        let template_id = self.template().template_id;
        self.send(TemplateDistributionOwned::RequestTransactionData(
            RequestTransactionDataOwned { template_id },
        ));
        loop {
            match self.link.receive() {
                AnyMessageOwned::TemplateDistribution(
                    TemplateDistributionOwned::RequestTransactionDataSuccess(success),
                ) => {
                    assert_eq!(success.template_id, template_id);
                    let list = success.transaction_list.iter();
                    let read = list.map(|bytes| deserialize(bytes.as_bytes()));
                    return read.map(|read| read.expect("a transaction")).collect();
                }
                other => self.take(other),
            }
        }
    }

    /// What a coinbase may spend.
    ///
    /// # Panics
    ///
    /// When there is no template.
    pub fn value(&self) -> Amount {
        Amount::from_sat(self.template().coinbase_tx_value_remaining)
    }

    /// Sends a block with these outputs before the provider's and a script of 100 bytes, and gives its hash.
    ///
    /// # Panics
    ///
    /// When there is no template.
    pub fn solve(&mut self, outputs: Vec<TxOut>) -> BlockHash {
        let coinbase = self.coinbase(outputs);
        let (template, tip) = (self.template(), self.tip());
        let mut root = coinbase.compute_txid().to_raw_hash();
        for sibling in template.merkle_path.iter() {
            let pair = [root.as_byte_array(), sibling.as_ref()].concat();
            root = sha256d::Hash::hash(&pair);
        }
        let bits = CompactTarget::from_consensus(tip.n_bits);
        let mut header = Header {
            version: Version::from_consensus(template.version.cast_signed()),
            prev_blockhash: BlockHash::from_slice(tip.prev_hash.as_ref()).expect("32 bytes"),
            merkle_root: TxMerkleNode::from_raw_hash(root),
            time: tip.header_timestamp,
            bits,
            nonce: 0,
        };
        while !Target::from_compact(bits).is_met_by(header.block_hash()) {
            header.nonce += 1;
        }
        let solution = SubmitSolutionOwned {
            template_id: template.template_id,
            version: template.version,
            header_timestamp: header.time,
            header_nonce: header.nonce,
            coinbase_tx: serialize(&coinbase).try_into().expect("it fits a message"),
        };
        self.send(TemplateDistributionOwned::SubmitSolution(solution));
        header.block_hash()
    }

    /// Takes messages until a tip is this one.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub fn step_until_on(&mut self, tip: BlockHash) {
        let is_on = |client: &Self| client.tip().prev_hash.as_ref() == tip.as_byte_array();
        while !is_on(self) {
            self.step();
        }
    }

    fn coinbase(&self, own: Vec<TxOut>) -> Transaction {
        let template = self.template();
        let mut script = template.coinbase_prefix.as_bytes().to_vec();
        script.resize(100, 0);
        let mut rest = template.coinbase_tx_outputs.as_bytes();
        let mut outputs = own;
        for _ in 0..template.coinbase_tx_outputs_count {
            let (output, len) = bitcoin::consensus::encode::deserialize_partial(rest)
                .expect("the provider's outputs can be read");
            outputs.push(output);
            rest = &rest[len..];
        }
        assert!(rest.is_empty(), "no more outputs than are counted");
        Transaction {
            version: transaction::Version(template.coinbase_tx_version.cast_signed()),
            lock_time: LockTime::from_consensus(template.coinbase_tx_locktime),
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig: ScriptBuf::from_bytes(script),
                sequence: Sequence(template.coinbase_tx_input_sequence),
                witness: Witness::from_slice(&[[0; 32]]),
            }],
            output: outputs,
        }
    }

    fn template(&self) -> &NewTemplateOwned {
        self.template.as_ref().expect("there is a template")
    }

    fn tip(&self) -> &SetNewPrevHashOwned {
        self.tip.as_ref().expect("there is a tip")
    }

    fn step(&mut self) {
        let message = self.link.receive();
        self.take(message);
    }

    fn take(&mut self, message: AnyMessageOwned) {
        let AnyMessageOwned::TemplateDistribution(message) = message else {
            panic!("the provider sends {message}");
        };
        match message {
            TemplateDistributionOwned::NewTemplate(template) => {
                if let Some(last) = &self.template {
                    assert!(template.template_id > last.template_id, "ids rise");
                }
                self.template = Some(template);
            }
            TemplateDistributionOwned::SetNewPrevHash(tip) => {
                assert_eq!(tip.template_id, self.template().template_id);
                self.tip = Some(tip);
            }
            other => panic!("the provider sends {other}"),
        }
    }

    fn send(&mut self, message: TemplateDistributionOwned) {
        self.link
            .send(AnyMessageOwned::TemplateDistribution(message));
    }
}
