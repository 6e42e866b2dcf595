//! What a node says of itself, against what the pool needs of it.

use std::net::IpAddr;
use std::path::Path;

use bitcoin::hashes::Hash as _;
use bitcoin::{ScriptBuf, WScriptHash};
use headframe_node::NodeError;
use headframe_node::rpc::{ClockOffset, Examination, Publication, TemplateFacts};
use headframe_work::{
    Coinbase, CoinbaseError, Header, Network, Payout, PayoutPolicy, PoolTag, PreparedTemplate,
    Template, UniqueBytes, VersionBits,
};

use super::finding::Subject;
use super::{Pushed, signals};

/// A clock that is off by less is as good as any.
const CLOCK_NOTED_MS: i64 = 5_000;
/// Ten minutes: certificates and the ledger's times are of this computer's clock, headers' of the node's.
const CLOCK_WRONG_MS: i64 = 600_000;
/// A node that takes longer for a template gives miners of a new block late work.
const SLOW_TEMPLATE_SECONDS: f64 = 5.0;
/// A node that is further behind the best of the others is on its own branch, or stuck.
const BEHIND: u32 = 1;
/// What Bitcoin Core publishes of new blocks that a pool can hear.
const BLOCK_TOPICS: [&str; 2] = ["pubhashblock", "pubrawblock"];

/// What the pool needs of a node.
pub(crate) struct Needs<'a> {
    pub(crate) network: Option<Network>,
    pub(crate) payouts: Option<&'a PayoutPolicy>,
    pub(crate) tag: &'a PoolTag,
    /// Where the pool listens for new blocks, `tcp://host:port`.
    pub(crate) published: &'a [String],
    /// The height of the best of the other nodes.
    pub(crate) others: Option<u32>,
    /// What blocks are to signal.
    pub(crate) version_bits: VersionBits,
}

/// A node that cannot be asked.
pub(crate) fn away(to: &mut Subject<'_>, error: &NodeError) {
    to.wrong("node", error.to_string(), error.advice());
}

/// A node that was asked.
pub(crate) fn examined(to: &mut Subject<'_>, facts: &Examination, needs: &Needs<'_>) {
    version(to, facts, needs.network);
    tip(to, facts, needs);
    match &facts.template {
        Ok(template) => {
            gives_templates(to, template);
            room(to, template, needs);
            signals::chosen(
                to,
                needs.version_bits,
                &template.template,
                &template.deployments,
            );
        }
        Err(error) => to.wrong("template", error.to_string(), error.advice()),
    }
    match &facts.takes_blocks {
        Ok(()) => to.ok("submit", "it takes blocks from this pool"),
        Err(error) => to.wrong("submit", error.to_string(), error.advice()),
    }
    clock(to, facts.clock);
    publications(to, &facts.published, needs.published);
}

fn version(to: &mut Subject<'_>, facts: &Examination, network: Option<Network>) {
    let software = facts
        .software
        .as_deref()
        .unwrap_or("a node that does not say its version");
    let peers = match facts.peers {
        None => String::new(),
        Some(1) => ", 1 peer".to_owned(),
        Some(peers) => format!(", {peers} peers"),
    };
    let is_alone = network == Some(Network::Regtest);
    let network = network.map_or_else(String::new, |network| format!(" on {network}"));
    let text = format!("{software}{network}{peers}");
    match facts.peers {
        Some(0) if !is_alone => to.note(
            "version",
            text,
            "see whether it can reach others: it hears of no block, and nobody of one that it is given",
        ),
        _ => to.ok("version", text),
    }
}

fn tip(to: &mut Subject<'_>, facts: &Examination, needs: &Needs<'_>) {
    let height = facts.height;
    match needs.others {
        Some(best) if height.saturating_add(BEHIND) < best => to.wrong(
            "tip",
            format!("it is at block {height}, and another node at {best}"),
            "see whether it is syncing or cut off from its network; a node that is behind is not mined on",
        ),
        _ if height < facts.headers => to.note(
            "tip",
            format!("it is at block {height} of {}", facts.headers),
            "wait until it has caught up",
        ),
        _ if height == 0 && needs.network != Some(Network::Regtest) => to.note(
            "tip",
            "it has no block but the first, and has not heard of others",
            "wait until it has found others and caught up",
        ),
        _ => to.ok("tip", format!("its best block is {height}")),
    }
}

fn gives_templates(to: &mut Subject<'_>, facts: &TemplateFacts) {
    let Template {
        height,
        transactions,
        ..
    } = &facts.template;
    let seconds = facts.took.as_secs_f64();
    let text = format!(
        "it gives templates: block {height}, {} transactions, in {seconds:.3} s",
        transactions.len()
    );
    match seconds > SLOW_TEMPLATE_SECONDS {
        false => to.ok("template", text),
        true => to.note(
            "template",
            text,
            "let it run on a faster computer or disk, or raise dbcache in bitcoin.conf",
        ),
    }
}

/// Whether header and coinbase fit into what the node leaves for them.
fn room(to: &mut Subject<'_>, facts: &TemplateFacts, needs: &Needs<'_>) {
    let Some(payouts) = needs.payouts else {
        return;
    };
    let needed = match needed_weight(&facts.template, payouts, needs.tag) {
        Ok(needed) => needed,
        Err(problem) => {
            return to.wrong(
                "reserved_weight",
                problem,
                "raise blockreservedweight in bitcoin.conf and restart the node, or pay the fee to fewer addresses",
            );
        }
    };
    match facts.reserved_weight {
        Some(reserved) if reserved < needed => to.wrong(
            "reserved_weight",
            format!("it reserves {reserved} weight units, and header and coinbase need {needed}"),
            format!(
                "set blockreservedweight={needed} or more in bitcoin.conf and restart the node"
            ),
        ),
        Some(reserved) => to.ok(
            "reserved_weight",
            format!(
                "it reserves {reserved} weight units; header and coinbase need {needed} at most"
            ),
        ),
        None => to.ok(
            "reserved_weight",
            format!(
                "header and coinbase need {needed} weight units at most, and fit into its template"
            ),
        ),
    }
}

/// The most that header and coinbase weigh: with the longest script that a miner may be paid to, and the
/// longest extranonce.
fn needed_weight(
    template: &Template,
    payouts: &PayoutPolicy,
    tag: &PoolTag,
) -> Result<u64, String> {
    /// Header and number of transactions.
    const BEFORE: u64 = 4 * (Header::LEN as u64 + 3);
    /// Marker, flag and witness.
    const WITNESS: u64 = 2 + 34;
    let prepared = PreparedTemplate::new(template.clone()).map_err(|error| error.to_string())?;
    let script = ScriptBuf::new_p2wsh(&WScriptHash::all_zeros());
    let payout = Payout::new(script, payouts.fee.clone());
    let unique = UniqueBytes {
        process: [0; 4],
        job: 0,
    };
    let longest = Coinbase::MAX_EXTRANONCE_LEN;
    let coinbase = Coinbase::new(&prepared, &payout, tag, unique, longest);
    let coinbase = coinbase.map_err(|error: CoinbaseError| error.to_string())?;
    Ok(BEFORE + WITNESS + 4 * coinbase.stripped_len() as u64)
}

fn clock(to: &mut Subject<'_>, clock: Option<ClockOffset>) {
    const STEP: &str = "keep the clocks of the node's computer and of this one set by NTP";
    let Some(ClockOffset {
        ahead_ms,
        within_ms,
    }) = clock
    else {
        return to.note(
            "clock",
            "it does not tell its time",
            "let the pool's user call getnettotals (rpcwhitelist in bitcoin.conf)",
        );
    };
    let off = ahead_ms.saturating_abs().saturating_sub(within_ms).max(0);
    let seconds = ahead_ms.unsigned_abs() / 1_000;
    let text = match (seconds, ahead_ms.is_negative()) {
        (0, _) => "its clock is this computer's to the second".to_owned(),
        (_, true) => format!("its clock is {seconds} s behind this computer's"),
        (_, false) => format!("its clock is {seconds} s ahead of this computer's"),
    };
    match off {
        CLOCK_WRONG_MS.. => to.wrong("clock", text, STEP),
        CLOCK_NOTED_MS.. => to.note("clock", text, STEP),
        _ => to.ok("clock", text),
    }
}

/// What is configured has to be published; what is published need not be heard.
fn publications(
    to: &mut Subject<'_>,
    published: &Result<Vec<Publication>, NodeError>,
    configured: &[String],
) {
    let blocks = |it: &&Publication| BLOCK_TOPICS.contains(&it.topic.as_str());
    for place in configured {
        let at_place = |it: &&Publication| is_same_place(&it.address, place);
        let found = published.iter().flatten().filter(blocks).find(at_place);
        match (found, published) {
            (Some(found), _) => to.ok("zmq", format!("it publishes {} at {}", found.topic, found.address)),
            (None, Ok(_)) => to.wrong(
                "zmq",
                format!("it publishes no blocks at {place}"),
                format!("set zmqpubrawblock={place} in bitcoin.conf and restart the node"),
            ),
            (None, Err(error @ NodeError::Forbidden { .. })) => to.note(
                "zmq",
                format!("whether it publishes at {place} is not known: {error}"),
                "let the pool's user call getzmqnotifications (rpcwhitelist in bitcoin.conf)",
            ),
            (None, Err(_)) => to.wrong(
                "zmq",
                format!("it does not know of ZeroMQ, and {place} is configured"),
                "take a Bitcoin Core that was built with ZeroMQ, as those of bitcoincore.org, or remove the key",
            ),
        }
    }
}

/// Whether the pool hears there what the node publishes here. A node that publishes at all its addresses has
/// another host; what it publishes on its own computer alone is not heard at an address of the network.
fn is_same_place(published: &str, configured: &str) -> bool {
    let parts = |place: &str| {
        let (host, port) = place.rsplit_once(':')?;
        let host = host.rsplit_once('/').map_or(host, |(_, host)| host);
        let host = host.trim_matches(['[', ']']).parse::<IpAddr>();
        Some((host.ok(), port.to_owned()))
    };
    let is_loopback = |host: Option<IpAddr>| host.map(|host| host.is_loopback());
    match (parts(published), parts(configured)) {
        (Some((here, port)), Some((there, same))) if port == same => {
            !(is_loopback(here) == Some(true) && is_loopback(there) == Some(false))
        }
        _ => published == configured,
    }
}

/// What came by its socket or its Template Provider.
pub(crate) fn pushed(
    to: &mut Subject<'_>,
    pushed: &Result<Pushed, NodeError>,
    configured: &[String],
) {
    match pushed {
        Ok(first) => to.ok(
            "pushed",
            format!(
                "it sends templates: block {}, {} transactions, in {:.3} s",
                first.height,
                first.transactions,
                first.took.as_secs_f64()
            ),
        ),
        Err(error) => to.wrong("pushed", error.to_string(), error.advice()),
    }
    for place in configured {
        to.note(
            "zmq",
            format!("{place} is not listened to, since this node sends its templates by itself"),
            "remove the key zmq",
        );
    }
}

/// A Template Provider whose client is the pool that runs.
pub(crate) fn taken(to: &mut Subject<'_>) {
    to.note(
        "pushed",
        "it was not asked for a template: a pool runs with the data directory and has its connection",
        "see the node on that pool's dashboard, or check again while it does not run",
    );
}

/// A node that stands in the list before, under another name perhaps.
pub(crate) fn twice(to: &mut Subject<'_>, other: &str) {
    to.note(
        "twice",
        format!("it is the same as {other}: it helps nobody when that one fails"),
        "name another node, or take it out of the list",
    );
}

/// A node that is reached without its RPC.
pub(crate) fn unasked(to: &mut Subject<'_>) {
    to.note(
        "rpc",
        "its RPC is not configured, so that its version, clock and peers are not looked at",
        "set its url too: blocks go by RPC as well then",
    );
}

/// The socket of a node's mining interface, as far as it is seen without asking the node.
pub(crate) fn socket(to: &mut Subject<'_>, path: &Path) {
    use std::os::unix::fs::FileTypeExt as _;
    let shown = path.display();
    let is_socket = std::fs::metadata(path).map(|it| it.file_type().is_socket());
    match (is_socket, std::os::unix::net::UnixStream::connect(path)) {
        (Err(error), _) => to.wrong(
            "ipc",
            format!("the socket {shown} cannot be looked at: {error}"),
            "start the node with -ipcbind=unix (bitcoin-node, or bitcoin -m node), and name its socket in the configuration",
        ),
        (Ok(false), _) => to.wrong(
            "ipc",
            format!("{shown} is no socket"),
            "name the node's socket in the configuration: node.sock in its data directory",
        ),
        (Ok(true), Err(error)) => to.wrong(
            "ipc",
            format!("the socket {shown} does not answer: {error}"),
            "let the pool run as the node's user, or as one who may write to the socket; start the node if it is stopped",
        ),
        (Ok(true), Ok(_)) => to.ok("ipc", format!("the socket {shown} answers")),
    }
}

#[cfg(test)]
mod tests;
