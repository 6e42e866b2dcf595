//! `GET /metrics`: the snapshot as OpenMetrics 1.0.
//!
//! Every series is made from the snapshot when it is asked for. There is none per miner: a pool of
//! thousands would fill the time-series database, and workers' names are strangers' text. Base
//! units throughout; ratios are 0 to 1 where the JSON has percent.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use headframe_api::{
    BestShare, HashrateWindows, Network, Node, NodeHealth, NodeStanding, NodeState, Overview,
    PoolState, ProofVerdict, Publisher, PublisherState, RejectReason, Severity, Summary,
};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::site::Site;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const REJECT_REASONS: [(RejectReason, &str); 11] = [
    (RejectReason::Stale, "stale"),
    (RejectReason::Duplicate, "duplicate"),
    (RejectReason::LowDifficulty, "low_difficulty"),
    (RejectReason::UnknownJob, "unknown_job"),
    (RejectReason::UnknownChannel, "unknown_channel"),
    (RejectReason::Time, "time"),
    (RejectReason::Version, "version"),
    (RejectReason::Extranonce, "extranonce"),
    (RejectReason::Unauthorized, "unauthorized"),
    (RejectReason::Malformed, "malformed"),
    (RejectReason::Other, "other"),
];

/// `GET /metrics`
pub(crate) async fn metrics(State(site): State<Arc<Site>>) -> Response {
    let open = site.limits.event_streams - site.event_streams.available_permits();
    let scrape = Scrape {
        overview: Arc::clone(&site.view().overview),
        event_streams: open as u64,
    };
    ([(CONTENT_TYPE, OPENMETRICS)], scrape.into_text()).into_response()
}

/// What one scrape is made of.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) overview: Arc<Overview>,
    pub(crate) event_streams: u64,
}

impl Scrape {
    pub(crate) fn into_text(self) -> String {
        let mut registry = Registry::with_prefix("headframe");
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        text::encode(&mut text, &registry).expect("writing to a string cannot fail");
        text
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        let summary = &self.overview.summary;
        process(&mut page, summary, self.event_streams)?;
        hashrate(&mut page, summary)?;
        shares(&mut page, summary)?;
        closeness(&mut page, summary)?;
        blocks(&mut page, summary)?;
        node(&mut page, summary)?;
        nodes(&mut page, summary)?;
        alarms(&mut page, summary)
    }
}

fn process(page: &mut Page<'_>, summary: &Summary, event_streams: u64) -> fmt::Result {
    let network = summary.network.map(|network| match network {
        Network::Mainnet => "mainnet",
        Network::Testnet4 => "testnet4",
        Network::Signet => "signet",
        Network::Regtest => "regtest",
    });
    let version = ("version", summary.software.version.as_str());
    // A label that is not known is left out.
    let labels: Vec<_> = [Some(version), network.map(|name| ("network", name))]
        .into_iter()
        .flatten()
        .collect();
    page.0
        .encode_descriptor(
            "pool",
            "The program and its network.",
            None,
            MetricType::Info,
        )?
        .encode_info(&labels)?;
    let state = match summary.state {
        PoolState::Starting => "starting",
        PoolState::Setup(_) => "setup",
        PoolState::Running => "running",
        PoolState::NodeUnusable { .. } => "node_unusable",
        PoolState::Stopping => "stopping",
    };
    let states = ["starting", "setup", "running", "node_unusable", "stopping"];
    let states = states.map(|name| ([("state", name)], u64::from(name == state)));
    page.gauges(
        "state",
        "1 for the state that the pool is in.",
        None,
        states,
    )?;
    page.gauge(
        "start_time",
        "When the process started.",
        SECONDS,
        summary.started_at,
    )?;
    page.gauge(
        "uptime",
        "How long the process runs.",
        SECONDS,
        summary.uptime_seconds,
    )?;
    page.gauge(
        "snapshot_time",
        "When these figures were taken.",
        SECONDS,
        summary.taken_at,
    )?;
    page.gauge(
        "dashboard_event_streams",
        "Open dashboard pages.",
        None,
        event_streams,
    )
}

fn hashrate(page: &mut Page<'_>, summary: &Summary) -> fmt::Result {
    let HashrateWindows {
        one_minute,
        five_minutes,
        one_hour,
        one_day,
        observed_seconds: _,
    } = summary.hashes_per_second;
    let windows = [
        ("1m", one_minute),
        ("5m", five_minutes),
        ("1h", one_hour),
        ("24h", one_day),
    ];
    let windows = windows.map(|(window, value)| ([("window", window)], value));
    let help = "The hashrate, estimated from accepted shares.";
    page.gauges("hashes_per_second", help, None, windows)?;
    let miners = &summary.miners;
    let kinds = [
        ([("protocol", "sv1"), ("channel", "none")], miners.sv1),
        (
            [("protocol", "sv2"), ("channel", "standard")],
            miners.sv2_standard,
        ),
        (
            [("protocol", "sv2"), ("channel", "extended")],
            miners.sv2_extended,
        ),
    ];
    page.gauges("miners", "Open mining channels.", None, kinds)?;
    let help = "Open mining channels without the shares expected of them.";
    page.gauge("miners_quiet", help, None, miners.quiet)?;
    page.gauge(
        "miners_gone",
        "Workers that left lately.",
        None,
        miners.gone,
    )
}

fn shares(page: &mut Page<'_>, summary: &Summary) -> fmt::Result {
    let shares = &summary.shares;
    page.counter("shares_accepted", "Accepted shares.", shares.accepted)?;
    let help = "The sum of the difficulties of accepted shares.";
    page.counter("shares_accepted_work", help, shares.accepted_work)?;
    let mut rejected = page.0.encode_descriptor(
        "shares_rejected",
        "Rejected shares by reason.",
        None,
        MetricType::Counter,
    )?;
    for (reason, name) in REJECT_REASONS {
        let count = shares.rejected_by_reason.get(&reason).copied().unwrap_or(0);
        let labels = [("reason", name)];
        let mut series = rejected.encode_family(&labels)?;
        series.encode_counter::<[(&str, &str); 0], _, u64>(&count, None)?;
    }
    let ledger = &summary.ledger;
    let help = "Accepted shares that no commit holds at this moment.";
    page.gauge(
        "shares_not_yet_durable",
        help,
        None,
        ledger.shares_not_yet_durable,
    )?;
    let help = "Shares acknowledged before their commit, since the start.";
    page.counter(
        "shares_acknowledged_early",
        help,
        ledger.shares_acknowledged_early,
    )?;
    let help = "Shares acknowledged that no commit will hold, since the start.";
    page.counter("shares_not_durable", help, ledger.shares_not_durable)?;
    let help = "1 while the ledger is in trouble.";
    page.gauge(
        "ledger_trouble",
        help,
        None,
        u64::from(ledger.trouble.is_some()),
    )
}

fn closeness(page: &mut Page<'_>, summary: &Summary) -> fmt::Result {
    let best = [
        ("round", &summary.best.this_round),
        ("ever", &summary.best.ever),
    ];
    let best = best.map(|(since, share)| ([("since", since)], share.as_ref()));
    let of = |value: fn(&BestShare) -> f64| {
        best.map(|(labels, share)| (labels, share.map_or(0.0, value)))
    };
    let help = "The difficulty of the best share; 0 without one.";
    page.gauges(
        "best_share_difficulty",
        help,
        None,
        of(|share| share.difficulty),
    )?;
    let help = "The best share's difficulty over the network's; a block has 1 or more.";
    let ratios = of(|share| share.percent_of_block / 100.0);
    page.gauges("best_share_block", help, RATIO, ratios)?;
    let odds = &summary.odds;
    page.known(
        "network_difficulty",
        "The difficulty of a block.",
        None,
        odds.network_difficulty,
    )?;
    let help = "The hashrate of the whole network.";
    page.known(
        "network_hashes_per_second",
        help,
        None,
        odds.network_hashes_per_second,
    )?;
    let help = "The mean time between blocks at the hashrate of the last hour.";
    page.known(
        "expected_time_to_block",
        help,
        SECONDS,
        odds.expected_seconds_to_block,
    )?;
    let help = "The work since the last block, as a sum of difficulties.";
    page.gauge("round_work", help, None, odds.round_work)?;
    let help = "The work since the last block over what a block takes on average.";
    page.gauge(
        "round_effort",
        help,
        RATIO,
        odds.round_effort_percent / 100.0,
    )
}

fn blocks(page: &mut Page<'_>, summary: &Summary) -> fmt::Result {
    let blocks = &summary.blocks;
    page.counter(
        "blocks_found",
        "Blocks found, whatever became of them.",
        blocks.found,
    )?;
    let fates = [
        ([("fate", "accepted")], blocks.accepted),
        ([("fate", "pending")], blocks.pending),
        ([("fate", "orphaned")], blocks.orphaned),
        ([("fate", "refused")], blocks.refused),
    ];
    page.gauges(
        "blocks",
        "Blocks found, by what became of them.",
        None,
        fates,
    )?;
    let help = "Tips begun on a block without transactions.";
    page.counter("empty_tips", help, summary.empty_blocks.tips_begun)?;
    let help = "Tips begun so before the node had a template.";
    page.counter(
        "empty_tips_awaited",
        help,
        summary.empty_blocks.tips_awaited,
    )?;
    let help = "The time from such blocks to the jobs after them.";
    page.gauge("empty_work", help, SECONDS, summary.empty_blocks.seconds)?;
    let help = "The operator's fee.";
    page.gauge("fee", help, RATIO, summary.payout.fee_percent / 100.0)
}

fn node(page: &mut Page<'_>, summary: &Summary) -> fmt::Result {
    let node = &summary.node;
    let ready = u64::from(node.state == NodeState::Ready);
    page.gauge(
        "node_ready",
        "1 while the node gives templates.",
        None,
        ready,
    )?;
    page.known(
        "node_height",
        "The height of the node's tip.",
        None,
        node.height,
    )?;
    page.known("node_peers", "The node's peers.", None, node.peers)?;
    let help = "When the node's tip was seen.";
    page.known("node_tip_seen_time", help, SECONDS, node.tip_seen_at)?;
    let help = "When the node last answered.";
    page.known("node_last_answer_time", help, SECONDS, node.last_answer_at)?;
    publishers(page, node)?;
    proof(page, summary)?;
    let Some(template) = &node.template else {
        return Ok(());
    };
    let help = "Transactions in the template without the coinbase.";
    page.gauge("template_transactions", help, None, template.transactions)?;
    page.gauge(
        "template_fees_satoshi",
        "Fees in the template.",
        None,
        template.fees_sats,
    )?;
    page.gauge(
        "template_value_satoshi",
        "What a block pays now.",
        None,
        template.value_sats,
    )?;
    page.gauge(
        "template_received_time",
        "When it came.",
        SECONDS,
        template.received_at,
    )
}

/// Nothing where none is listened to.
fn publishers(page: &mut Page<'_>, node: &Node) -> fmt::Result {
    if node.publishers.is_empty() {
        return Ok(());
    }
    fn label(it: &Publisher) -> Labels<'_, 1> {
        [("publisher", it.address.as_str())]
    }
    let of = |value: fn(&Publisher) -> bool| {
        let publishers = node.publishers.iter();
        publishers.map(move |it| (label(it), u64::from(value(it))))
    };
    let help = "1 for each of the node's publishers of new blocks that is connected.";
    let connected = of(|it| it.state != PublisherState::Connecting);
    page.gauges("node_publisher_connected", help, None, connected)?;
    let help = "1 for each that is connected and has told of no block though there was one.";
    let mute = of(|it| it.state == PublisherState::Mute);
    page.gauges("node_publisher_mute", help, None, mute)?;
    let publishers = node.publishers.iter();
    let told = publishers.filter_map(|it| Some((label(it), it.last_block_at?)));
    let help = "When each last announced a block.";
    page.gauges("node_publisher_block_time", help, SECONDS, told)
}

/// Nothing where there is one node.
fn nodes(page: &mut Page<'_>, summary: &Summary) -> fmt::Result {
    if summary.nodes.is_empty() {
        return Ok(());
    }
    fn label(node: &NodeHealth) -> Labels<'_, 1> {
        [("node", node.name.as_str())]
    }
    let well = summary
        .nodes
        .iter()
        .map(|node| (label(node), u64::from(is_well(node))));
    page.gauges(
        "nodes_well",
        "1 for each node that could be mined on.",
        None,
        well,
    )?;
    let mined_on = summary
        .nodes
        .iter()
        .map(|node| (label(node), u64::from(node.mined_on)));
    page.gauges(
        "nodes_mined_on",
        "1 for the node that is mined on.",
        None,
        mined_on,
    )?;
    let known = |value: fn(&NodeHealth) -> Option<u64>| {
        let nodes = summary.nodes.iter();
        nodes.filter_map(move |node| Some((label(node), value(node)?)))
    };
    let help = "The height of each node's tip.";
    page.gauges("nodes_height", help, None, known(|node| node.height))?;
    page.gauges(
        "nodes_peers",
        "Each node's peers.",
        None,
        known(|node| node.peers),
    )?;
    let help = "When each node's tip was seen.";
    page.gauges(
        "nodes_tip_seen_time",
        help,
        SECONDS,
        known(|node| node.tip_seen_at),
    )?;
    let help = "When each node last gave a template.";
    page.gauges(
        "nodes_template_time",
        help,
        SECONDS,
        known(|node| node.template_at),
    )?;
    nodes_publishers(page, summary)
}

/// Nothing where none of any node is listened to.
fn nodes_publishers(page: &mut Page<'_>, summary: &Summary) -> fmt::Result {
    let of = |value: fn(&Publisher) -> bool| {
        let nodes = summary.nodes.iter();
        nodes.flat_map(move |node| {
            let publishers = node.publishers.iter();
            publishers.map(move |it| {
                let labels = [
                    ("node", node.name.as_str()),
                    ("publisher", it.address.as_str()),
                ];
                (labels, u64::from(value(it)))
            })
        })
    };
    if summary.nodes.iter().all(|node| node.publishers.is_empty()) {
        return Ok(());
    }
    let help = "1 for each publisher of new blocks, of each node, that is connected.";
    let connected = of(|it| it.state != PublisherState::Connecting);
    page.gauges("nodes_publisher_connected", help, None, connected)?;
    let help = "1 for each that is connected and has told of no block though there was one.";
    let mute = of(|it| it.state == PublisherState::Mute);
    page.gauges("nodes_publisher_mute", help, None, mute)
}

const fn is_well(node: &NodeHealth) -> bool {
    matches!(node.standing, NodeStanding::Well | NodeStanding::Recovering)
}

fn proof(page: &mut Page<'_>, summary: &Summary) -> fmt::Result {
    let proof = summary.proof.as_ref();
    let accepted = proof.map(|proof| u64::from(proof.verdict == ProofVerdict::Accepted));
    let help =
        "1 while the node would take a block of this pool, by what it said of one without work.";
    page.known("block_proof_accepted", help, None, accepted)?;
    let help = "When the node was last shown a block without work.";
    let checked = proof.map(|proof| proof.checked_at);
    page.known("block_proof_time", help, SECONDS, checked)
}

fn alarms(page: &mut Page<'_>, summary: &Summary) -> fmt::Result {
    let count = |severity| {
        let same = summary
            .alarms
            .iter()
            .filter(|alarm| alarm.severity == severity);
        same.count() as u64
    };
    let severities = [
        ([("severity", "critical")], count(Severity::Critical)),
        ([("severity", "warning")], count(Severity::Warning)),
        ([("severity", "notice")], count(Severity::Notice)),
    ];
    page.gauges("alarms", "What needs the operator.", None, severities)
}

const SECONDS: Option<&Unit> = Some(&Unit::Seconds);
const RATIO: Option<&Unit> = Some(&Unit::Ratios);

/// The page being written.
struct Page<'a>(DescriptorEncoder<'a>);

type Labels<'a, const N: usize> = [(&'a str, &'a str); N];

impl Page<'_> {
    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Gauge)?;
        metric.encode_gauge(&value)
    }

    /// A gauge that is absent while its value is unknown.
    fn known(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: Option<impl EncodeGaugeValue>,
    ) -> fmt::Result {
        match value {
            Some(value) => self.gauge(name, help, unit, value),
            None => Ok(()),
        }
    }

    fn gauges<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        series: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in series {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter<V: EncodeCounterValue>(&mut self, name: &str, help: &str, value: V) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<[(&str, &str); 0], _, u64>(&value, None)
    }
}
