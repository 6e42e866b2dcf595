//! `headframe blocks`: what the pool has found, and what became of it.
//!
//! It reads what lies in the data directory, which a running pool holds, and changes nothing there. A block
//! is submitted straight to the nodes; the pool, if it runs, need not know of it (ADR 4).

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use headframe_config::Loaded;
use headframe_ledger::{BlockFate, MAX_BLOCKS, NodeAnswer};
use headframe_node::SubmitAnswer;
use headframe_server::{ArchivedBlock, Utc, read_archive};
use serde::Serialize;
use tokio::runtime::{Handle, Runtime};

use crate::reach::Way;
use crate::{cli, data, node, say};

/// A way that has to be connected first is waited for so long: a person waits, and may try again.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// Blocks of one name that are listed, so that a person can choose.
const CHOICES: usize = 5;

pub(crate) fn run(command: cli::Blocks) -> anyhow::Result<()> {
    let data_dir = data::data_dir_flag(command.data_dir.as_ref());
    let loaded = data::configuration(command.config.as_deref(), data_dir)?;
    match &command.action {
        None => list(&loaded, command.last, command.json),
        Some(cli::BlocksAction::Submit { block }) => submit(&loaded, block, command.json),
    }
}

fn read(loaded: &Loaded, limit: usize) -> anyhow::Result<Vec<ArchivedBlock>> {
    let config = &loaded.config;
    let directory = &config.data_dir;
    if !directory.is_dir() {
        let directory = directory.display();
        anyhow::bail!(
            "there is no data directory {directory}; choose another with --data-dir or -c"
        );
    }
    Ok(read_archive(directory, config.node.network, limit)?)
}

fn list(loaded: &Loaded, last: usize, is_json: bool) -> anyhow::Result<()> {
    let mut blocks = read(loaded, last)?;
    blocks.truncate(last);
    if is_json {
        let blocks: Vec<_> = blocks.iter().map(Listed::of).collect();
        say(&serde_json::to_string_pretty(&blocks)?);
        return Ok(());
    }
    if blocks.is_empty() {
        let directory = loaded.config.data_dir.display();
        say(&format!(
            "no block was found yet with the data directory {directory}"
        ));
    }
    for block in &blocks {
        say(&told(block));
    }
    Ok(())
}

/// A block, as people read it.
fn told(block: &ArchivedBlock) -> String {
    let mut lines = vec![
        format!("block {}: {}", block.height, state(&block.fate)),
        format!("  {}", block.hash),
    ];
    if let Some(record) = &block.record {
        let found = &record.found;
        let fee = found.fee.filter(|fee| fee.to_sat() > 0);
        let fee = fee.map_or_else(String::new, |fee| format!(", and {fee} to the operator"));
        lines.push(format!(
            "  found {} by {}, pays {} to {}{fee}",
            Utc(found.found_at),
            found.worker.user(),
            found.paid,
            found.worker.payout(),
        ));
        lines.extend(record.answers.iter().map(answered));
    }
    match &block.file {
        Some(file) => lines.push(format!("  {}", file.display())),
        None => lines.push("  its file is not there".to_owned()),
    }
    lines.join("\n")
}

fn state(fate: &BlockFate) -> String {
    match fate {
        BlockFate::Confirmed { confirmations } => format!("confirmed ({confirmations})"),
        BlockFate::Refused { reason } => format!("refused ({})", reason.as_str()),
        BlockFate::Found | BlockFate::Submitted | BlockFate::Accepted | BlockFate::Orphaned => {
            fate.code().to_owned()
        }
    }
}

fn answered(answer: &NodeAnswer) -> String {
    let times = match answer.times {
        0 | 1 => String::new(),
        times => format!(", {times} times, the last {}", Utc(answer.last_at)),
    };
    format!(
        "  {}: {} ({}{times})",
        answer.node.as_str(),
        answer.answer.as_str(),
        Utc(answer.first_at)
    )
}

/// A block in JSON.
#[derive(Serialize)]
struct Listed<'a> {
    height: u32,
    hash: String,
    /// `found`, `submitted`, `accepted`, `confirmed`, `orphaned` or `refused`.
    state: &'static str,
    confirmations: Option<u32>,
    reason: Option<&'a str>,
    found_at: Option<u32>,
    worker: Option<&'a str>,
    payout_address: Option<&'a str>,
    paid_sats: Option<u64>,
    fee_sats: Option<u64>,
    answers: Vec<Answered<'a>>,
    file: Option<&'a PathBuf>,
}

#[derive(Serialize)]
struct Answered<'a> {
    node: &'a str,
    answer: &'a str,
    first_at: u32,
    last_at: u32,
    times: u32,
}

impl<'a> Listed<'a> {
    fn of(block: &'a ArchivedBlock) -> Self {
        let record = block.record.as_ref();
        let found = record.map(|record| &record.found);
        let (confirmations, reason) = match &block.fate {
            BlockFate::Confirmed { confirmations } => (Some(*confirmations), None),
            BlockFate::Refused { reason } => (None, Some(reason.as_str())),
            _ => (None, None),
        };
        let answers = record.into_iter().flat_map(|record| &record.answers);
        let answers = answers.map(|answer| Answered {
            node: answer.node.as_str(),
            answer: answer.answer.as_str(),
            first_at: answer.first_at.as_secs(),
            last_at: answer.last_at.as_secs(),
            times: answer.times,
        });
        Self {
            height: block.height,
            hash: block.hash.to_string(),
            state: block.fate.code(),
            confirmations,
            reason,
            found_at: found.map(|found| found.found_at.as_secs()),
            worker: found.map(|found| found.worker.user()),
            payout_address: found.map(|found| found.worker.payout()),
            paid_sats: found.map(|found| found.paid.to_sat()),
            fee_sats: found.and_then(|found| found.fee).map(|fee| fee.to_sat()),
            answers: answers.collect(),
            file: block.file.as_ref(),
        }
    }
}

fn submit(loaded: &Loaded, name: &str, is_json: bool) -> anyhow::Result<()> {
    let blocks = read(loaded, MAX_BLOCKS)?;
    let block = named(&blocks, name)?;
    let hex = block.hex().with_context(|| {
        format!(
            "the file of block {} {} is not there",
            block.height, block.hash
        )
    })?;
    let hex = hex.with_context(|| format!("cannot read the file of block {}", block.height))?;
    // What some ways to a node are made of runs there until all have answered.
    let runtime = Runtime::new().context("cannot start the runtime")?;
    let answers = give(ways(loaded, &runtime)?, runtime.handle(), &hex);
    let is_taken = answers.iter().any(|(_, answer)| is_taken(answer));
    if is_json {
        let answers = answers.iter().map(|(node, answer)| {
            serde_json::json!({ "node": node, "answer": code(answer), "reason": reason(answer) })
        });
        say(&serde_json::to_string_pretty(&serde_json::json!({
            "height": block.height,
            "hash": block.hash.to_string(),
            "answers": answers.collect::<Vec<_>>(),
        }))?);
    } else {
        say(&format!("block {} {}", block.height, block.hash));
        for (node, answer) in &answers {
            say(&format!("  {node}: {}", words(answer)));
        }
    }
    if !is_taken {
        anyhow::bail!("no node has taken block {}", block.height);
    }
    Ok(())
}

/// The one block that is meant.
fn named<'a>(blocks: &'a [ArchivedBlock], name: &str) -> anyhow::Result<&'a ArchivedBlock> {
    let name = name.to_ascii_lowercase();
    let has_height = |block: &&ArchivedBlock| block.height.to_string() == name;
    let has_hash = |block: &&ArchivedBlock| block.hash.to_string().ends_with(&name);
    // Every sixteenth hash ends like a height of one digit.
    let mut meant: Vec<_> = blocks.iter().filter(has_height).collect();
    if meant.is_empty() {
        meant = blocks.iter().filter(has_hash).collect();
    }
    match meant.as_slice() {
        [] => anyhow::bail!("no block {name} was found by this pool; headframe blocks lists them"),
        [block] => Ok(block),
        several => {
            let hashes = several.iter().take(CHOICES);
            let hashes: Vec<_> = hashes.map(|block| block.hash.to_string()).collect();
            let hashes = hashes.join(", ");
            match several.len().saturating_sub(CHOICES) {
                0 => anyhow::bail!("{} blocks are called {name}: {hashes}", several.len()),
                more => anyhow::bail!(
                    "{} blocks are called {name}: {hashes} and {more} more",
                    several.len()
                ),
            }
        }
    }
}

fn ways(loaded: &Loaded, runtime: &Runtime) -> anyhow::Result<Vec<Way>> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let found = runtime.block_on(node::find(&loaded.config.node, home.as_deref()));
    let nodes =
        found.map_err(|missing| anyhow::anyhow!("{}; {}", missing.what, missing.next_step))?;
    let _entered = runtime.enter();
    nodes.ways().context("cannot start the nodes' connections")
}

/// Gives the block to all nodes at once; a node that hangs holds up no other.
fn give(ways: Vec<Way>, runtime: &Handle, hex: &str) -> Vec<(String, SubmitAnswer)> {
    thread::scope(|scope| {
        let given = ways.into_iter().map(|way| {
            let name = way.name.clone();
            (name, scope.spawn(move || give_one(way, runtime, hex)))
        });
        let given: Vec<_> = given.collect();
        let failed = || SubmitAnswer::Retry("the submission failed in this program".to_owned());
        let answers = given.into_iter();
        let answers =
            answers.map(|(name, thread)| (name, thread.join().unwrap_or_else(|_| failed())));
        answers.collect()
    })
}

/// A way that templates come by too takes no block before it is connected, which the first template tells. Where
/// none comes the node may take the block all the same, and says so itself.
fn give_one(mut way: Way, runtime: &Handle, hex: &str) -> SubmitAnswer {
    if let Some(templates) = &mut way.templates {
        let first = async { tokio::time::timeout(CONNECT_LIMIT, templates.next()).await };
        let _ = runtime.block_on(first);
    }
    let _ = way.sink.stand_by();
    way.sink.submit(&hex.into())
}

/// Whether the node has the block now.
fn is_taken(answer: &SubmitAnswer) -> bool {
    match answer {
        SubmitAnswer::Accepted | SubmitAnswer::AlreadyKnown | SubmitAnswer::Inconclusive => true,
        SubmitAnswer::Refused(_) | SubmitAnswer::Retry(_) => false,
    }
}

fn words(answer: &SubmitAnswer) -> String {
    match answer {
        SubmitAnswer::Accepted => "accepted".to_owned(),
        SubmitAnswer::AlreadyKnown => "known already".to_owned(),
        SubmitAnswer::Inconclusive => "valid, and not on its best chain".to_owned(),
        SubmitAnswer::Refused(reason) => format!("refused: {reason}"),
        SubmitAnswer::Retry(reason) => format!("no answer: {reason}"),
    }
}

fn code(answer: &SubmitAnswer) -> &'static str {
    match answer {
        SubmitAnswer::Accepted => "accepted",
        SubmitAnswer::AlreadyKnown => "known",
        SubmitAnswer::Inconclusive => "inconclusive",
        SubmitAnswer::Refused(_) => "refused",
        SubmitAnswer::Retry(_) => "no_answer",
    }
}

fn reason(answer: &SubmitAnswer) -> Option<&str> {
    match answer {
        SubmitAnswer::Refused(reason) | SubmitAnswer::Retry(reason) => Some(reason),
        SubmitAnswer::Accepted | SubmitAnswer::AlreadyKnown | SubmitAnswer::Inconclusive => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash as _;
    use bitcoin::{Amount, BlockHash};
    use headframe_ledger::{BlockRecord, FoundBlock, WorkerId};
    use headframe_node::{BlockSink, NodeError};
    use headframe_work::{BlockHex, UnixTime};

    fn block(height: u32, byte: u8) -> ArchivedBlock {
        let hash = BlockHash::from_byte_array([byte; 32]);
        let fate = BlockFate::Confirmed { confirmations: 7 };
        ArchivedBlock {
            height,
            hash,
            fate: fate.clone(),
            file: Some(format!("/data/blocks/{height}.hex").into()),
            record: Some(BlockRecord {
                found: FoundBlock {
                    height,
                    hash,
                    found_at: UnixTime::from_secs(1_795_388_700),
                    worker: WorkerId::new("bc1qexample.rig", "bc1qexample").unwrap(),
                    paid: Amount::from_sat(309_375_000),
                    fee: Some(Amount::from_sat(3_125_000)),
                    bits: None,
                    protocol: None,
                    work_before: None,
                    job: "job".into(),
                },
                fate,
                answers: vec![NodeAnswer {
                    node: "the node at 127.0.0.1:8332".into(),
                    answer: "accepted".into(),
                    first_at: UnixTime::from_secs(1_795_388_701),
                    last_at: UnixTime::from_secs(1_795_388_701),
                    times: 1,
                }],
            }),
        }
    }

    #[test]
    fn a_block_is_told_with_what_each_node_said() {
        let hash = "07".repeat(32);
        let expected = format!(
            "block 840000: confirmed (7)\n  {hash}\n  found 2026-11-22 23:05 UTC by bc1qexample.rig, pays \
             3.09375000 BTC to bc1qexample, and 0.03125000 BTC to the operator\n  the node at 127.0.0.1:8332: accepted \
             (2026-11-22 23:05 UTC)\n  /data/blocks/840000.hex"
        );
        assert_eq!(told(&block(840_000, 7)), expected);
        let json = serde_json::to_value(Listed::of(&block(840_000, 7))).unwrap();
        assert_eq!(json["state"], "confirmed");
        assert_eq!(json["confirmations"], 7);
        assert_eq!(json["paid_sats"], 309_375_000);
        assert_eq!(json["answers"][0]["answer"], "accepted");
    }

    /// A node that is connected to while somebody stands by, as by its socket.
    struct Connecting(bool);

    impl BlockSink for Connecting {
        fn submit(&mut self, _: &BlockHex) -> SubmitAnswer {
            match self.0 {
                true => SubmitAnswer::Accepted,
                false => SubmitAnswer::Retry("there is no connection".to_owned()),
            }
        }

        fn fate(&mut self, _: BlockHash) -> Result<headframe_node::BlockFate, NodeError> {
            Err(NodeError::Busy)
        }

        fn stand_by(&mut self) -> Result<(), NodeError> {
            self.0 = true;
            Ok(())
        }
    }

    #[test]
    fn a_node_is_connected_to_before_it_is_given_the_block() {
        let runtime = Runtime::new().unwrap();
        let way = Way {
            name: "node".to_owned(),
            templates: None,
            sink: Box::new(Connecting(false)),
        };
        let answers = give(vec![way], runtime.handle(), "00");
        assert_eq!(answers, [("node".to_owned(), SubmitAnswer::Accepted)]);
    }

    #[test]
    fn a_block_is_named_by_hash_end_or_height_and_never_guessed() {
        let blocks = [block(100, 1), block(101, 0x12), block(101, 0x32)];
        let hash = |name: &str| named(&blocks, name).map(|block| block.hash);
        assert_eq!(hash("100").unwrap(), blocks[0].hash);
        assert_eq!(hash(&"12".repeat(32)).unwrap(), blocks[1].hash);
        assert_eq!(hash("3232").unwrap(), blocks[2].hash);
        // The height counts before the end of a hash.
        let alike = [block(12, 1), block(100, 0x12)];
        assert_eq!(named(&alike, "12").unwrap().height, 12);
        assert_eq!(named(&alike, "1212").unwrap().height, 100);
        let many: Vec<_> = (0..9).map(|byte| block(7, byte)).collect();
        let many = named(&many, "7").unwrap_err().to_string();
        assert!(many.ends_with("and 4 more"), "{many}");
        let several = hash("101").unwrap_err().to_string();
        assert!(several.contains(&"12".repeat(32)) && several.contains(&"32".repeat(32)));
        assert!(
            hash("102")
                .unwrap_err()
                .to_string()
                .contains("headframe blocks")
        );
    }
}
