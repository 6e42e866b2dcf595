//! Both ends with each other: templates one way, solutions the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, Block, ScriptBuf, Transaction};
use headframe_distribution::client::{
    ClientEvent, ClientSession, OfferedTemplate, ProviderTip, SubmitError,
};
use headframe_distribution::server::{ServerEvent, ServerSession, SolutionFlaw, Solved};
use headframe_distribution::{CoinbaseConstraints, FittedTemplate};
use headframe_sv2_wire::template_distribution::SubmitSolution;
use headframe_sv2_wire::{Bytes64K, Message as _};
use headframe_work::{Header, Target, Template, UnixTime, merkle_root};

use crate::support::{NOW, client, frame, read, template, transactions};

struct Pair {
    now: Instant,
    client: ClientSession,
    server: ServerSession,
    template: Arc<Template>,
    solved: Vec<Solved>,
    unsolved: Vec<SolutionFlaw>,
    mined: Option<(Arc<OfferedTemplate>, Arc<ProviderTip>)>,
    transactions: Vec<Vec<u8>>,
}

impl Pair {
    fn new(template: Arc<Template>) -> Self {
        let now = Instant::now();
        let mut pair = Self {
            now,
            client: client(now),
            server: ServerSession::new(now, 50),
            template,
            solved: Vec::new(),
            unsolved: Vec::new(),
            mined: None,
            transactions: Vec::new(),
        };
        pair.exchange();
        pair
    }

    /// Says everything that there is to say.
    fn exchange(&mut self) {
        loop {
            let mut is_quiet = true;
            while let Some(bytes) = self.client.poll_transmit() {
                is_quiet = false;
                self.server.handle_frame(self.now, read(&bytes)).unwrap();
                self.heed_client();
            }
            while let Some(bytes) = self.server.poll_transmit() {
                is_quiet = false;
                self.client.handle_frame(self.now, read(&bytes)).unwrap();
                self.heed_server();
            }
            if is_quiet {
                return;
            }
        }
    }

    fn heed_client(&mut self) {
        while let Some(event) = self.server.poll_event() {
            match event {
                ServerEvent::Constraints(_) => self.offer(),
                ServerEvent::Solved(solved) => self.solved.push(*solved),
                ServerEvent::Unsolved { flaw, .. } => self.unsolved.push(flaw),
                ServerEvent::Introduced(_) => {}
                ServerEvent::Finished { reason } => panic!("{reason}"),
            }
        }
    }

    fn heed_server(&mut self) {
        while let Some(event) = self.client.poll_event() {
            match event {
                ClientEvent::Template { template, tip, .. } => self.mined = Some((template, tip)),
                ClientEvent::Transactions { transactions, .. } => self.transactions = transactions,
                ClientEvent::Ready | ClientEvent::Future(_) => {}
                ClientEvent::NoTransactions { .. } | ClientEvent::Closed(_) => panic!("{event:?}"),
            }
        }
    }

    fn offer(&mut self) {
        let constraints = self.server.constraints().unwrap();
        let fitted = FittedTemplate::new(&self.template, constraints).unwrap();
        self.server.offer(self.now, &Arc::new(fitted), NOW);
    }

    /// The node has another template.
    fn change(&mut self, template: Arc<Template>) {
        self.now += Duration::from_secs(10);
        self.template = template;
        self.offer();
        self.exchange();
    }

    /// A block of what is mined, whose hash is not above `target`, `salt` in its coinbase.
    fn mine(&self, salt: u8, is_wanted: impl Fn(&Header) -> bool) -> (Header, Vec<u8>) {
        let (offered, tip) = self.mined.as_ref().unwrap();
        let coinbase = coinbase(offered, salt);
        let txid = coinbase.compute_txid().to_byte_array();
        let merkle_root = merkle_root(txid, &offered.merkle_path);
        let header = (0..).map(|nonce| Header {
            version: offered.version ^ 0x1234_5600,
            prev_hash: tip.prev_hash,
            merkle_root,
            time: tip.time,
            bits: tip.bits,
            nonce,
        });
        let header = header.into_iter().find(is_wanted).unwrap();
        (header, bitcoin::consensus::serialize(&coinbase))
    }

    fn network(&self) -> Target {
        Target::from_compact(self.template.bits)
    }

    fn submit(&mut self, header: &Header, coinbase: &[u8]) -> Result<(), SubmitError> {
        self.client.submit(header, coinbase)?;
        self.exchange();
        Ok(())
    }
}

/// TD-20 to TD-26: the coinbase as the template asks for it.
fn coinbase(offered: &OfferedTemplate, salt: u8) -> Transaction {
    use bitcoin::{OutPoint, Sequence, TxIn, TxOut, Witness};
    let script = [&offered.coinbase_prefix[..], &[4, salt, 1, 2, 3]].concat();
    let own = TxOut {
        value: offered.value,
        script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
    };
    Transaction {
        version: bitcoin::transaction::Version(offered.coinbase_version as i32),
        lock_time: bitcoin::absolute::LockTime::from_consensus(offered.coinbase_lock_time),
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: ScriptBuf::from_bytes(script),
            sequence: Sequence(offered.coinbase_sequence),
            witness: Witness::from_slice(&[[0; 32]]),
        }],
        output: [own].into_iter().chain(offered.outputs.clone()).collect(),
    }
}

fn read_block(solved: &Solved) -> Block {
    bitcoin::consensus::encode::deserialize_hex(&solved.to_hex()).unwrap()
}

/// TD-7, TD-38 to TD-42: the block that comes out is the one that was found, whole.
#[test]
fn a_solution_is_a_whole_block() {
    let mut pair = Pair::new(template(1, transactions(7)));
    let target = pair.network();
    let (header, coinbase) = pair.mine(1, |header| target.is_met_by(&header.hash()));
    pair.submit(&header, &coinbase).unwrap();
    let [solved] = &pair.solved[..] else {
        panic!("{:?}", pair.unsolved);
    };
    assert_eq!(solved.hash(), header.hash());
    assert_eq!(solved.height(), 201);
    assert!(!solved.is_late);
    let block = read_block(solved);
    assert_eq!(block.block_hash(), header.hash());
    assert_eq!(bitcoin::consensus::serialize(&block.txdata[0]), coinbase);
    assert!(block.check_merkle_root() && block.check_witness_commitment());
    let expected = pair.template.transactions.iter().map(|tx| tx.txid);
    assert!(
        block.txdata[1..]
            .iter()
            .map(|tx| tx.compute_txid())
            .eq(expected)
    );
    let paid: Amount = block.txdata[0]
        .output
        .iter()
        .map(|output| output.value)
        .sum();
    assert_eq!(paid, pair.template.coinbase_value);
}

#[test]
fn a_cut_template_makes_a_whole_block_too() {
    let many = transactions(400)
        .into_iter()
        .map(|tx| headframe_work::TemplateTransaction { sigops: 400, ..tx });
    let mut pair = Pair::new(template(1, many.collect()));
    let target = pair.network();
    let (header, coinbase) = pair.mine(1, |header| target.is_met_by(&header.hash()));
    pair.submit(&header, &coinbase).unwrap();
    let block = read_block(&pair.solved[0]);
    assert_eq!(block.txdata.len(), 1 + 199, "79,988 of 80,000 are left");
    assert!(block.check_merkle_root() && block.check_witness_commitment());
}

/// TD-37: what is asked for is what the block has.
#[test]
fn transactions_reach_the_client_whole() {
    let mut pair = Pair::new(template(1, transactions(7)));
    let id = pair.mined.as_ref().unwrap().0.id;
    pair.client.request_transactions(id);
    pair.exchange();
    let expected = pair.template.transactions.iter().map(|tx| &tx.data);
    assert!(pair.transactions.iter().eq(expected));
}

/// TD-8: an older template of the same tip, and one of the tip before.
#[test]
fn blocks_of_older_templates_are_blocks() {
    let mut pair = Pair::new(template(1, transactions(1)));
    let target = pair.network();
    let (first, first_coinbase) = pair.mine(1, |header| target.is_met_by(&header.hash()));
    pair.change(template(1, transactions(9)));
    pair.submit(&first, &first_coinbase).unwrap();
    assert_eq!(pair.solved.len(), 1);
    assert!(!pair.solved[0].is_late);
    let (second, second_coinbase) = pair.mine(2, |header| target.is_met_by(&header.hash()));
    pair.change(template(2, transactions(1)));
    pair.submit(&second, &second_coinbase).unwrap();
    assert!(pair.solved[1].is_late);
    pair.change(template(3, transactions(1)));
    let gone = pair.submit(&second, &second_coinbase);
    assert_eq!(gone, Err(SubmitError::UnknownTemplate));
}

/// TD-39: the same solution twice is two blocks of one hash; the node knows what to do.
#[test]
fn a_second_solution_of_a_template_is_a_block_as_well() {
    let mut pair = Pair::new(template(1, transactions(1)));
    let target = pair.network();
    for salt in [1, 1, 2] {
        let (header, coinbase) = pair.mine(salt, |header| target.is_met_by(&header.hash()));
        pair.submit(&header, &coinbase).unwrap();
    }
    assert_eq!(pair.solved.len(), 3);
}

/// TD-41: a block is older than the tip's time where the tip was told anew since it was found.
#[test]
fn a_block_is_not_kept_back_for_its_time() {
    let mut pair = Pair::new(template(1, transactions(1)));
    let target = pair.network();
    let (header, coinbase) = pair.mine(1, |_| true);
    let early = (0..).map(|nonce| Header {
        nonce,
        time: UnixTime::from_secs(NOW.as_secs() - 1),
        ..header
    });
    let mut blocks = early.filter(|header| target.is_met_by(&header.hash()));
    let early = blocks.next().unwrap();
    assert_eq!(pair.submit(&early, &coinbase), Ok(()));
    assert_eq!(pair.solved.len(), 1);
}

/// TD-33, TD-38, TD-40, TD-46: what is nothing for the provider is not sent.
#[test]
fn what_is_no_solution_is_not_sent() {
    let mut pair = Pair::new(template(1, transactions(1)));
    let target = pair.network();
    let (missed, coinbase) = pair.mine(1, |header| !target.is_met_by(&header.hash()));
    assert_eq!(pair.submit(&missed, &coinbase), Err(SubmitError::Target));
    let meets = |header: Header, change: fn(&mut Header)| {
        let tries = (0..).map(|nonce| {
            let mut header = Header { nonce, ..header };
            change(&mut header);
            header
        });
        let mut met = tries.filter(|header| target.is_met_by(&header.hash()));
        met.next().unwrap()
    };
    let bits = meets(missed, |header| header.version ^= 1);
    assert_eq!(pair.submit(&bits, &coinbase), Err(SubmitError::Version));
    let elsewhere = meets(missed, |header| {
        header.prev_hash = bitcoin::BlockHash::all_zeros();
    });
    assert_eq!(
        pair.submit(&elsewhere, &coinbase),
        Err(SubmitError::UnknownTemplate)
    );
    let rootless = meets(missed, |header| header.merkle_root[0] ^= 1);
    assert_eq!(
        pair.submit(&rootless, &coinbase),
        Err(SubmitError::UnknownTemplate)
    );
    assert_eq!(
        pair.submit(&rootless, b"none"),
        Err(SubmitError::UnknownTemplate)
    );
    assert!(pair.client.poll_transmit().is_none());
    let good = meets(missed, |_| {});
    let mut other = Pair::new(template(2, transactions(1)));
    assert_eq!(
        other.submit(&good, &coinbase),
        Err(SubmitError::UnknownTemplate)
    );
    assert!(pair.solved.is_empty() && pair.unsolved.is_empty());
}

/// TD-7, TD-8, TD-42: what a client of somebody else's may send.
#[test]
fn a_provider_bears_wrong_solutions_and_mends_a_missing_witness() {
    let mut pair = Pair::new(template(1, transactions(3)));
    let target = pair.network();
    let (good, coinbase) = pair.mine(1, |header| target.is_met_by(&header.hash()));
    let (missed, _) = pair.mine(1, |header| !target.is_met_by(&header.hash()));
    let id = pair.mined.as_ref().unwrap().0.id;
    let mut stripped: Transaction = bitcoin::consensus::deserialize(&coinbase).unwrap();
    stripped.input[0].witness.clear();
    let stripped = bitcoin::consensus::serialize(&stripped);
    let other = &pair.template.transactions[0].data.clone();
    let table: [(u64, &Header, &[u8]); 7] = [
        (id + 1, &good, &coinbase),
        (0, &good, &coinbase),
        (id, &missed, &coinbase),
        (id, &good, b""),
        (id, &good, &coinbase[..20]),
        (id, &good, other),
        (id, &good, &stripped),
    ];
    for (template_id, header, coinbase) in table {
        let solution = frame(&SubmitSolution {
            template_id,
            version: header.version,
            header_timestamp: header.time.as_secs(),
            header_nonce: header.nonce,
            coinbase_tx: Bytes64K::new(coinbase).unwrap(),
        });
        pair.server.handle_frame(pair.now, read(&solution)).unwrap();
        pair.heed_client();
    }
    use SolutionFlaw as Flaw;
    assert_eq!(
        pair.unsolved,
        [
            Flaw::UnknownTemplate,
            Flaw::UnknownTemplate,
            Flaw::Hash(missed.hash()),
            Flaw::Coinbase,
            Flaw::Coinbase,
            Flaw::Coinbase,
        ]
    );
    let [mended] = &pair.solved[..] else {
        panic!("the stripped one is a block");
    };
    assert_eq!(mended.coinbase, coinbase);
    assert!(read_block(mended).check_witness_commitment());
}

/// A block goes before all else that waits to be sent.
#[test]
fn a_solution_overtakes_requests() {
    let mut pair = Pair::new(template(1, transactions(3)));
    let target = pair.network();
    let (header, coinbase) = pair.mine(1, |header| target.is_met_by(&header.hash()));
    pair.client.request_transactions(50);
    pair.client.set_constraints(CoinbaseConstraints::default());
    pair.client.submit(&header, &coinbase).unwrap();
    let first = pair.client.poll_transmit().unwrap();
    let message = SubmitSolution::decode(read(&first).payload()).unwrap();
    // TD-42: the whole coinbase, witness included.
    assert_eq!(message.coinbase_tx.as_bytes(), coinbase);
    assert_eq!(message.template_id, 50);
}
