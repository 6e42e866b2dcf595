//! The answer of `getblocktemplate` (BIP22, BIP23, BIP145) → [`Template`].
//!
//! Nothing is taken on trust that can be computed: transaction ids, weights and the witness
//! commitment are made again from the data, so that an answer that contradicts itself is refused
//! here, with the field's name, and not at the block.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use bitcoin::consensus::encode::deserialize;
use bitcoin::hex::FromHex;
use bitcoin::{Amount, CompactTarget, ScriptBuf, Target, Transaction, Wtxid};
use headframe_work::{
    BlockLimits, Network, Template, TemplateTransaction, UnixTime, witness_commitment,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::borrowed_result;
use crate::NodeError;

/// The call.
pub(super) const METHOD: &str = "getblocktemplate";

/// Rules that a template may demand (`!rule`): those whose meaning for a miner is known here.
const KNOWN_RULES: [&str; 4] = ["csv", "segwit", "taproot", "signet"];
/// The one signet challenge that can be mined: `OP_TRUE` (R-24).
const OPEN_CHALLENGE: &str = "51";
/// `nSequence` of the coinbases that Bitcoin Core makes; a template does not say it (R-5).
const COINBASE_SEQUENCE: u32 = 0xffff_fffe;

/// A template, and what to ask with to be told the next one.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) template: Template,
    pub(super) longpoll_id: Option<String>,
}

/// The rules that Bitcoin Core wants to hear that the miner knows.
pub(super) const fn rules(network: Network) -> &'static [&'static str] {
    match network {
        Network::Mainnet | Network::Testnet4 | Network::Regtest => &["segwit"],
        Network::Signet => &["segwit", "signet"],
    }
}

/// Reads a reply to `getblocktemplate`. What it shares with the template `before` is known to be right.
pub(super) fn read(
    body: &[u8],
    network: Network,
    before: Option<&Template>,
) -> Result<Fetched, NodeError> {
    let fields: Fields<'_> = borrowed_result(METHOD, body)?;
    check_rules(&fields, network)?;
    let limits = BlockLimits {
        weight: fields.limit("weightlimit", BlockLimits::default().weight)?,
        size: fields.limit("sizelimit", BlockLimits::default().size)?,
        sigops: fields.limit("sigoplimit", BlockLimits::default().sigops)?,
    };
    let transactions = read_transactions(&fields, limits, before)?;
    let height = fields.required("height")?;
    if height == 0 {
        return Err(wrong("height", "the genesis block is not mined"));
    }
    let (min_time, current_time) = read_times(&fields)?;
    let template = Template {
        network,
        height,
        version: read_version(&fields)?,
        fixed_version_bits: fields.optional("vbrequired")?.unwrap_or(0),
        prev_hash: fields.parsed("previousblockhash")?,
        bits: read_bits(&fields)?,
        min_time,
        current_time,
        coinbase_value: read_coinbase_value(&fields, network, height, &transactions)?,
        coinbase_sequence: COINBASE_SEQUENCE,
        coinbase_lock_time: height - 1,
        witness_commitment: read_commitment(&fields, &transactions)?,
        transactions,
        limits,
    };
    let longpoll_id = fields.optional("longpollid")?;
    Ok(Fetched {
        template,
        longpoll_id,
    })
}

/// The changes of the rules that blocks can signal for by a node's word (`vbavailable`, BIP9), by name, with
/// their bits; none where it says nothing that can be read.
pub(super) fn deployments(body: &[u8]) -> BTreeMap<String, u8> {
    let fields: Option<Fields<'_>> = borrowed_result(METHOD, body).ok();
    let named = fields.and_then(|fields| fields.optional("vbavailable").ok().flatten());
    named.unwrap_or_default()
}

/// A JSON object whose members are read one by one, so that an error can say which.
#[derive(Deserialize)]
#[serde(transparent)]
struct Fields<'a>(#[serde(borrow)] HashMap<&'a str, &'a RawValue>);

impl<'a> Fields<'a> {
    fn optional<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, NodeError> {
        let Some(raw) = self.0.get(name) else {
            return Ok(None);
        };
        serde_json::from_str(raw.get()).map_err(|error| wrong(name, error))
    }

    fn required<T: Deserialize<'a>>(&self, name: &str) -> Result<T, NodeError> {
        self.optional(name)?
            .ok_or_else(|| wrong(name, "it is missing"))
    }

    fn parsed<T>(&self, name: &str) -> Result<T, NodeError>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        let text: &str = self.required(name)?;
        text.parse().map_err(|error| wrong(name, error))
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, NodeError> {
        let text: &str = self.required(name)?;
        Vec::from_hex(text).map_err(|error| wrong(name, error))
    }

    fn limit(&self, name: &str, most: u32) -> Result<u32, NodeError> {
        let limit: u32 = self.required(name)?;
        if limit == 0 || limit > most {
            return Err(wrong(
                name,
                format_args!("{limit} is not between 1 and {most}"),
            ));
        }
        Ok(limit)
    }
}

fn wrong(field: impl Into<String>, reason: impl std::fmt::Display) -> NodeError {
    NodeError::Template {
        field: field.into(),
        reason: reason.to_string(),
    }
}

fn check_rules(fields: &Fields<'_>, network: Network) -> Result<(), NodeError> {
    let rules: Vec<&str> = fields.optional("rules")?.unwrap_or_default();
    let demanded = rules.iter().filter_map(|rule| rule.strip_prefix('!'));
    if let Some(rule) = demanded
        .into_iter()
        .find(|rule| !KNOWN_RULES.contains(rule))
    {
        return Err(NodeError::UnknownRule {
            rule: rule.to_owned(),
        });
    }
    match network {
        Network::Mainnet | Network::Testnet4 | Network::Regtest => Ok(()),
        Network::Signet => check_challenge(fields.required("signet_challenge")?),
    }
}

/// Refuses a signet that cannot be mined here.
pub(super) fn check_challenge(challenge: &str) -> Result<(), NodeError> {
    if challenge == OPEN_CHALLENGE {
        return Ok(());
    }
    Err(NodeError::SignetChallenge {
        challenge: challenge.to_owned(),
    })
}

fn read_version(fields: &Fields<'_>) -> Result<u32, NodeError> {
    let version: i32 = fields.required("version")?;
    u32::try_from(version).map_err(|_| wrong("version", "it is negative"))
}

fn read_times(fields: &Fields<'_>) -> Result<(UnixTime, UnixTime), NodeError> {
    let min_time = fields.required("mintime")?;
    let current_time = fields.required("curtime")?;
    if current_time < min_time {
        return Err(wrong("curtime", "it is before mintime"));
    }
    Ok((
        UnixTime::from_secs(min_time),
        UnixTime::from_secs(current_time),
    ))
}

/// Reads `bits`, which has to agree with `target`.
fn read_bits(fields: &Fields<'_>) -> Result<CompactTarget, NodeError> {
    let bits = <[u8; 4]>::try_from(fields.bytes("bits")?)
        .map(|bits| CompactTarget::from_consensus(u32::from_be_bytes(bits)))
        .map_err(|_| wrong("bits", "it has not 4 bytes"))?;
    let target = <[u8; 32]>::try_from(fields.bytes("target")?)
        .map(Target::from_be_bytes)
        .map_err(|_| wrong("target", "it has not 32 bytes"))?;
    if target == Target::ZERO {
        return Err(wrong("target", "it is zero"));
    }
    if Target::from_compact(bits) != target {
        return Err(wrong("target", "it is not the target of bits"));
    }
    Ok(bits)
}

/// Reads `coinbasevalue`. A block that creates more than subsidy and fees would be refused.
fn read_coinbase_value(
    fields: &Fields<'_>,
    network: Network,
    height: u32,
    transactions: &[TemplateTransaction],
) -> Result<Amount, NodeError> {
    let value = Amount::from_sat(fields.required("coinbasevalue")?);
    let subsidy = network.subsidy(height);
    let allowed = transactions
        .iter()
        .try_fold(subsidy, |sum, transaction| sum.checked_add(transaction.fee));
    match allowed {
        Some(allowed) if value <= allowed => Ok(value),
        _ => Err(wrong("coinbasevalue", "it is more than subsidy and fees")),
    }
}

/// Reads `default_witness_commitment`, which has to be that of the transactions, and has to be
/// there if one of them has a witness.
fn read_commitment(
    fields: &Fields<'_>,
    transactions: &[TemplateTransaction],
) -> Result<Option<ScriptBuf>, NodeError> {
    const NAME: &str = "default_witness_commitment";
    if !fields.0.contains_key(NAME) {
        let bare = transactions
            .iter()
            .all(|tx| tx.txid.to_raw_hash() == tx.wtxid.to_raw_hash());
        return if bare {
            Ok(None)
        } else {
            Err(wrong(NAME, "it is missing, and there are witnesses"))
        };
    }
    let script = ScriptBuf::from_bytes(fields.bytes(NAME)?);
    if script != witness_commitment(transactions.iter().map(|tx| tx.wtxid)) {
        return Err(wrong(NAME, "it is not that of the transactions"));
    }
    Ok(Some(script))
}

fn read_transactions(
    fields: &Fields<'_>,
    limits: BlockLimits,
    before: Option<&Template>,
) -> Result<Vec<TemplateTransaction>, NodeError> {
    let before = before.into_iter().flat_map(|before| &before.transactions);
    let known: Known<'_> = before.map(|known| (known.wtxid, known)).collect();
    let raw: Vec<Fields<'_>> = fields.required("transactions")?;
    let transactions = raw
        .iter()
        .enumerate()
        .map(|(index, fields)| {
            read_transaction(fields, &known).map_err(|error| within(index, error))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let sum = |part: fn(&TemplateTransaction) -> u64| transactions.iter().map(part).sum::<u64>();
    let rows = [
        ("weight", sum(|tx| tx.weight.into()), limits.weight),
        ("data", sum(|tx| tx.data.len() as u64), limits.size),
        ("sigops", sum(|tx| tx.sigops.into()), limits.sigops),
    ];
    for (name, sum, limit) in rows {
        if sum > u64::from(limit) {
            let field = format!("transactions[].{name}");
            return Err(wrong(
                field,
                format_args!("together {sum}, more than the limit {limit}"),
            ));
        }
    }
    Ok(transactions)
}

/// Says in which transaction the field is.
fn within(index: usize, error: NodeError) -> NodeError {
    match error {
        NodeError::Template { field, reason } => {
            wrong(format!("transactions[{index}].{field}"), reason)
        }
        other => other,
    }
}

/// Transactions whose ids and weights were made from their data, by the id over all of it.
type Known<'a> = HashMap<Wtxid, &'a TemplateTransaction>;

fn read_transaction(
    fields: &Fields<'_>,
    known: &Known<'_>,
) -> Result<TemplateTransaction, NodeError> {
    let wtxid = fields.parsed("hash")?;
    // Most of a template was in the one before. What the hash stands for is known then, and not read again.
    let known = known.get(&wtxid);
    let read = TemplateTransaction {
        txid: fields.parsed("txid")?,
        wtxid,
        fee: Amount::from_sat(fields.required("fee")?),
        sigops: fields.required("sigops")?,
        weight: fields.required("weight")?,
        data: known.map_or_else(|| fields.bytes("data"), |known| Ok(known.data.clone()))?,
    };
    let is_right = known.is_some_and(|it| (it.txid, it.weight) == (read.txid, read.weight));
    if !is_right {
        check_transaction(&read)?;
    }
    Ok(read)
}

/// Makes ids and weight of a transaction from its data, and compares.
fn check_transaction(read: &TemplateTransaction) -> Result<(), NodeError> {
    let transaction: Transaction = deserialize(&read.data).map_err(|error| wrong("data", error))?;
    if transaction.is_coinbase() {
        return Err(wrong("data", "it is a coinbase"));
    }
    if read.txid != transaction.compute_txid() {
        return Err(wrong("txid", "it is not that of data"));
    }
    if read.wtxid != transaction.compute_wtxid() {
        return Err(wrong("hash", "it is not that of data"));
    }
    if u64::from(read.weight) != transaction.weight().to_wu() {
        return Err(wrong("weight", "it is not that of data"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of Bitcoin Core 31.99's `getblocktemplate` on regtest, with the embedded chain's
    /// first 110 blocks and three transactions in its mempool.
    const FROM_CORE: &str = include_str!("../../tests/data/getblocktemplate-regtest.json");

    fn read_result(result: &str, network: Network) -> Result<Fetched, NodeError> {
        let body = format!(r#"{{"result":{result},"error":null,"id":0}}"#);
        read(body.as_bytes(), network, None)
    }

    #[test]
    fn a_template_of_bitcoin_core() {
        let fetched = read_result(FROM_CORE, Network::Regtest).unwrap();
        let template = fetched.template;
        assert_eq!(template.height, 111);
        assert_eq!(template.version, 0x2000_0000);
        assert_eq!(template.bits.to_consensus(), 0x207f_ffff);
        assert_eq!(template.coinbase_lock_time, 110);
        assert_eq!(template.coinbase_sequence, 0xffff_fffe);
        assert_eq!(template.limits, BlockLimits::default());
        assert_eq!(template.transactions.len(), 3);
        let fees: Amount = template.transactions.iter().map(|tx| tx.fee).sum();
        assert_eq!(
            template.coinbase_value,
            Amount::from_sat(5_000_000_000) + fees
        );
        assert!(template.min_time <= template.current_time);
        let commitment = template.witness_commitment.expect("regtest has segwit");
        assert!(
            commitment
                .as_bytes()
                .starts_with(&headframe_work::COMMITMENT_PREFIX)
        );
        assert!(fetched.longpoll_id.is_some());
    }

    #[test]
    fn bits_that_the_node_requires_are_fixed_and_those_that_it_knows_are_told() {
        let said =
            r#""vbavailable":{"reduced_data":4,"testdummy":28},"vbrequired":16,"height":111"#;
        let result = FROM_CORE
            .replace(r#""vbavailable": {},"#, "")
            .replace(r#""vbrequired": 0,"#, "")
            .replace(r#""height": 111"#, said);
        let template = read_result(&result, Network::Regtest).unwrap().template;
        assert_eq!(template.fixed_version_bits, 1 << 4);
        let body = |result: &str| format!(r#"{{"result":{result},"error":null,"id":0}}"#);
        let known = deployments(body(&result).as_bytes());
        let known: Vec<_> = known
            .iter()
            .map(|(name, bit)| (name.as_str(), *bit))
            .collect();
        assert_eq!(known, [("reduced_data", 4), ("testdummy", 28)]);
        for nothing in [FROM_CORE, r#"{"vbavailable":7}"#, "null", "{"] {
            assert!(deployments(body(nothing).as_bytes()).is_empty());
        }
        let wrong = result.replace(r#""vbrequired":16"#, r#""vbrequired":-1"#);
        let error = read_result(&wrong, Network::Regtest).unwrap_err();
        assert!(error.to_string().contains("vbrequired"), "{error}");
    }

    #[test]
    fn a_signet_template_has_to_name_its_challenge() {
        let error = read_result(FROM_CORE, Network::Signet).unwrap_err();
        assert!(error.to_string().contains("signet_challenge"), "{error}");
    }

    #[test]
    fn no_cut_and_no_changed_digit_gets_through_unseen() {
        let whole = read_result(FROM_CORE, Network::Regtest).unwrap().template;
        for length in 0..FROM_CORE.trim_end().len() {
            assert!(read_result(&FROM_CORE[..length], Network::Regtest).is_err());
        }
        for place in FROM_CORE
            .match_indices("\"data\": \"")
            .map(|(place, name)| place + name.len())
        {
            for digit in place..place + 100 {
                let mut changed = FROM_CORE.to_owned();
                let other = if &changed[digit..=digit] == "0" {
                    "1"
                } else {
                    "0"
                };
                changed.replace_range(digit..=digit, other);
                let read = read_result(&changed, Network::Regtest);
                assert!(read.is_err() || read.is_ok_and(|read| read.template == whole));
            }
        }
    }

    #[test]
    fn an_error_of_the_node_is_no_template() {
        let body = br#"{"result":null,"error":{"code":-28,"message":"Loading"},"id":0}"#;
        assert_eq!(
            read(body, Network::Regtest, None).unwrap_err(),
            NodeError::WarmingUp("Loading".to_owned())
        );
        assert!(read(b"{}", Network::Regtest, None).is_err());
        assert!(read(b"", Network::Regtest, None).is_err());
        assert!(read(b"\xff", Network::Regtest, None).is_err());
    }

    /// The bytes of a known hash are known, whatever the answer has for them. What else it says is held to them.
    #[test]
    fn what_was_in_the_template_before_is_taken_over_and_held_to_its_bytes() {
        let first = read_result(FROM_CORE, Network::Regtest).unwrap().template;
        let again = |answer: &str| {
            let body = format!(r#"{{"result":{answer},"error":null,"id":0}}"#);
            read(body.as_bytes(), Network::Regtest, Some(&first)).map(|fetched| fetched.template)
        };
        assert_eq!(again(FROM_CORE).as_ref(), Ok(&first));
        let changed = |name: &str, skip| {
            let field = format!("\"{name}\": ");
            let place = FROM_CORE.find(&field).unwrap() + field.len() + 1 + skip;
            let mut changed = FROM_CORE.to_owned();
            let other = if &changed[place..=place] == "7" {
                "3"
            } else {
                "7"
            };
            changed.replace_range(place..=place, other);
            changed
        };
        assert_eq!(again(&changed("data", 12)).as_ref(), Ok(&first));
        for (name, skip) in [("txid", 4), ("hash", 4), ("weight", 0)] {
            let changed = changed(name, skip);
            let error = again(&changed).unwrap_err();
            assert_eq!(
                error,
                read_result(&changed, Network::Regtest).unwrap_err(),
                "{name}"
            );
        }
    }
}
