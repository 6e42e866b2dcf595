//! Keys, addresses, and transactions that spend coinbases with witnesses.

use bitcoin::absolute::LockTime;
use bitcoin::blockdata::script::Builder;
use bitcoin::hashes::Hash as _;
use bitcoin::key::{TapTweak as _, TweakedKeypair};
use bitcoin::secp256k1::{Keypair, Message, Secp256k1, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, CompressedPublicKey, KnownHrp, Network, OutPoint, ScriptBuf, Sequence,
    Transaction, TxIn, TxOut, Witness, ecdsa, opcodes, taproot,
};

/// The kinds of address that are paid to in the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A key hash behind a witness, version 0.
    P2wpkh,
    /// A key behind a witness, version 1.
    P2tr,
    /// A key hash as in 2009.
    P2pkh,
    /// The hash of a script, here of one that asks for a key behind a witness, as wallets have had
    /// it for years.
    P2sh,
    /// The hash of a script behind a witness, here of one that asks for one of one keys.
    P2wsh,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::P2wpkh,
        Self::P2tr,
        Self::P2pkh,
        Self::P2sh,
        Self::P2wsh,
    ];
}

/// A private key that everybody knows.
#[derive(Debug, Clone, Copy)]
pub struct Key(SecretKey);

/// An output that can be spent.
#[derive(Debug, Clone)]
pub struct Coin {
    /// Where it is.
    pub outpoint: OutPoint,
    /// What it is.
    pub output: TxOut,
}

impl Key {
    /// The key with this number.
    ///
    /// # Panics
    ///
    /// For 0, which is no key.
    pub fn number(number: u8) -> Self {
        let mut bytes = [0; 32];
        bytes[31] = number;
        Self(SecretKey::from_slice(&bytes).expect("numbers above 0 are keys"))
    }

    fn pair(&self) -> Keypair {
        Keypair::from_secret_key(&Secp256k1::new(), &self.0)
    }

    /// An address of it.
    pub fn address(&self, kind: Kind, network: Network) -> Address {
        let public = CompressedPublicKey(self.pair().public_key());
        match kind {
            Kind::P2wpkh => Address::p2wpkh(&public, KnownHrp::from(network)),
            Kind::P2pkh => Address::p2pkh(public, network),
            Kind::P2sh => Address::p2shwpkh(&public, network),
            Kind::P2wsh => {
                let script = Builder::new()
                    .push_int(1)
                    .push_key(&public.into())
                    .push_int(1)
                    .push_opcode(opcodes::all::OP_CHECKMULTISIG);
                Address::p2wsh(script.as_script(), network)
            }
            Kind::P2tr => {
                let (key, _) = self.pair().x_only_public_key();
                Address::p2tr(&Secp256k1::new(), key, None, KnownHrp::from(network))
            }
        }
    }

    /// Spends a coin of this key, P2WPKH or P2TR, to the given outputs.
    ///
    /// # Panics
    ///
    /// When the coin is of another kind.
    pub fn spend(&self, coin: &Coin, outputs: Vec<TxOut>) -> Transaction {
        let mut transaction = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: coin.outpoint,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output: outputs,
        };
        transaction.input[0].witness = match coin.output.script_pubkey.is_p2tr() {
            true => self.taproot_witness(&transaction, coin),
            false => self.witness(&transaction, coin),
        };
        transaction
    }

    fn witness(&self, transaction: &Transaction, coin: &Coin) -> Witness {
        let (script, value) = (&coin.output.script_pubkey, coin.output.value);
        let kind = EcdsaSighashType::All;
        let hash = SighashCache::new(transaction)
            .p2wpkh_signature_hash(0, script, value, kind)
            .expect("the coin is P2WPKH");
        let message = Message::from_digest(hash.to_byte_array());
        let signature = ecdsa::Signature {
            signature: Secp256k1::new().sign_ecdsa(&message, &self.0),
            sighash_type: kind,
        };
        Witness::p2wpkh(&signature, &self.pair().public_key())
    }

    fn taproot_witness(&self, transaction: &Transaction, coin: &Coin) -> Witness {
        let kind = TapSighashType::Default;
        let spent = [&coin.output];
        let hash = SighashCache::new(transaction)
            .taproot_key_spend_signature_hash(0, &Prevouts::All(&spent), kind)
            .expect("the coin is P2TR");
        let message = Message::from_digest(hash.to_byte_array());
        let secp = Secp256k1::new();
        let pair: TweakedKeypair = self.pair().tap_tweak(&secp, None);
        Witness::p2tr_key_spend(&taproot::Signature {
            signature: secp.sign_schnorr_no_aux_rand(&message, &pair.to_keypair()),
            sighash_type: kind,
        })
    }
}

impl Coin {
    /// An output of a transaction.
    ///
    /// # Panics
    ///
    /// When it has no such output.
    pub fn of(transaction: &Transaction, index: u32) -> Self {
        Self {
            outpoint: OutPoint::new(transaction.compute_txid(), index),
            output: transaction.output[index as usize].clone(),
        }
    }

    /// Outputs that share what is in the coin equally, but for the fee.
    ///
    /// # Panics
    ///
    /// When the coin is smaller than the fee.
    pub fn shared_among(&self, scripts: &[ScriptBuf], fee: Amount) -> Vec<TxOut> {
        let all = self.output.value.checked_sub(fee).expect("the fee is less");
        let value = all / scripts.len() as u64;
        let output = |script: &ScriptBuf| TxOut {
            value,
            script_pubkey: script.clone(),
        };
        scripts.iter().map(output).collect()
    }
}
