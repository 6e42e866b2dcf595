// The node, and what is worth knowing about the pool as a whole.

import { byId, fact, make, setAttribute, setFacts, setText } from "./dom.js";
import { coins, count, difficulty, duration, exact, percent, nodeName, rate, sentence, shorten, visible } from "./format.js";
import { reasonsText } from "./miners.js";

const KINDS = {
  embedded: "chain inside this program",
  rpc: "Bitcoin Core over RPC",
  ipc: "Bitcoin Core over IPC",
  template_distribution: "SV2 template provider",
};

export function show(summary) {
  showNode(summary);
  showNodes(summary);
  showPool(summary);
}

function showNode({ node, nodes, odds, proof }) {
  const [text, tone] = stateOf(node.state);
  setText(byId("node-state"), text);
  setAttribute(byId("node-state"), "data-tone", tone);
  const { template } = node;
  const facts = [fact("Source", KINDS[node.kind] ?? node.kind ?? "not known yet")];
  if (node.state.kind === "unusable") facts.push(fact("Trouble", sentence(node.state.reason)));
  // Where there are several, the list says which one is meant.
  if (node.endpoint && node.kind !== "embedded" && nodes.length === 0) facts.push(fact("At", node.endpoint));
  if (node.software) facts.push(fact("Software", visible(node.software)));
  if (node.height !== null) facts.push(fact("Height", count(node.height), node.tip_hash));
  if (node.tip_seen_at !== null) facts.push(fact("Tip seen", when(node.tip_seen_at)));
  if (node.peers !== null) facts.push(fact("Peers", count(node.peers)));
  if (odds.network_difficulty !== null) facts.push(fact("Difficulty", difficulty(odds.network_difficulty), exact(odds.network_difficulty)));
  if (odds.network_hashes_per_second !== null) facts.push(fact("Network", rate(odds.network_hashes_per_second)));
  if (template) {
    facts.push(fact("Template", `block ${count(template.height)}, ${count(template.transactions)} transactions`));
    facts.push(fact("A block pays", `${coins(template.value_sats)}, fees ${coins(template.fees_sats)}`));
    facts.push(fact("Received", when(template.received_at)));
  }
  if (node.kind === "rpc" && nodes.length === 0) facts.push(fact("Block signals", signals(node.publishers)));
  if (proof) facts.push(fact("Shown a block", proofParts(proof), proof.node));
  setFacts(byId("node"), facts);
}

/** Where the node publishes its new blocks, and whether it is heard there. */
function signals(publishers) {
  if (publishers.length === 0) return "off: new blocks come with their template";
  return make("span", {}, ...publishers.map((it) => make("span", { class: "signal" }, ...signalParts(it))));
}

function signalParts(publisher) {
  const { address, state, reason, next_step: advice, since_at: since, last_block_at: last } = publisher;
  const block = last === null ? ["no block yet"] : ["last block ", when(last)];
  switch (state) {
    case "connected":
      return [`${visible(address)}, connected, `, ...block];
    case "connecting":
      if (!reason) return [`${visible(address)}, connecting`];
      return [`${visible(address)}, not connected: `, ...trouble(reason, since, advice)];
    default:
      return [`${visible(address)}, connected: `, ...trouble(reason ?? state, since, advice)];
  }
}

const trouble = (reason, since, advice) => [`${sentence(visible(reason))} `, when(since), ...(advice ? [`. ${visible(advice)}`] : [])];

/** One line for each of several nodes: which it is, how it stands, and why. */
function showNodes({ nodes }) {
  const list = byId("nodes");
  list.hidden = nodes.length === 0;
  const key = JSON.stringify(nodes);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...nodes.map(nodeItem));
}

function nodeItem(node) {
  const [text, tone] = standingOf(node);
  const known = [
    node.height !== null ? `height ${count(node.height)}` : "",
    node.peers !== null ? (node.peers === 1 ? "1 peer" : `${count(node.peers)} peers`) : "",
    node.software ? visible(node.software) : "",
  ];
  return make(
    "li",
    {},
    make("span", { class: "name" }, nodeName(node.name)),
    make("span", { class: "chip", "data-tone": tone }, text),
    make("span", { class: "about" }, known.filter(Boolean).join(" · "), ...seen("tip", node.tip_seen_at), ...seen("template", node.template_at)),
    ...node.publishers.map((it) => make("p", { class: "why" }, "Block signals: ", ...signalParts(it))),
    ...(node.reason ? [make("p", { class: "why" }, sentence(node.reason), " ", when(node.since_at))] : []),
  );
}

const seen = (what, at) => (at === null ? [] : [` · ${what} `, when(at)]);

function standingOf({ mined_on: minedOn, standing }) {
  if (minedOn) return standing === "doubtful" ? ["Mined on", "warn"] : ["Mined on", "good"];
  switch (standing) {
    case "starting":
      return ["Connecting", "warn"];
    case "well":
      return ["Ready", null];
    case "recovering":
      return ["Back, on trial", "warn"];
    case "doubtful":
      return ["Doubtful", "warn"];
    case "behind":
      return ["Behind", "warn"];
    case "failed":
      return ["Not usable", "bad"];
    default:
      return [standing, null];
  }
}

const JUDGES = { embedded: "This chain", template_distribution: "The template provider" };

/** Whether the node was shown a block, and would take it. */
export const accepts = (proof) => proof?.verdict.kind === "accepted";

function proofParts(proof) {
  const said = accepts(proof) ? `accepts height ${count(proof.height)}, ` : `refuses height ${count(proof.height)} (${visible(proof.verdict.reason)}), `;
  return make("span", {}, said, when(proof.checked_at));
}

export function proofText({ node, proof: { height, payout_address: address, paid_sats: paid } }) {
  return `${JUDGES[node.kind] ?? "Bitcoin Core"} accepts your block at height ${count(height)}, paying ${shorten(address)} ${coins(paid)}`;
}

const when = (at) => make("span", { "data-at": at });

function stateOf(state) {
  switch (state.kind) {
    case "connecting":
      return ["Connecting", "warn"];
    case "syncing":
      return [`Syncing, ${percent(state.progress_percent)}`, "warn"];
    case "ready":
      return ["Ready", "good"];
    case "unusable":
      return ["Not usable", "bad"];
    default:
      return [state.kind, null];
  }
}

function showPool({ shares, ledger, payout, odds, started_at, uptime_seconds }) {
  const all = shares.accepted + shares.rejected;
  const share = all > 0 ? ` (${percent((100 * shares.rejected) / all)})` : "";
  const facts = [
    fact("Accepted", `${count(shares.accepted)} shares`, `work ${exact(shares.accepted_work)}`),
    fact("Rejected", shares.rejected > 0 ? `${count(shares.rejected)}${share}: ${reasonsText(shares)}` : "none"),
    fact("Not yet on disk", ledger.persistent ? durability(ledger) : "everything: the ledger is in memory"),
  ];
  if (ledger.trouble) facts.push(fact("Ledger", sentence(ledger.trouble)));
  facts.push(fact("This round", `${percent(odds.round_effort_percent)} of the work of an average block`, `work ${exact(odds.round_work)}`));
  facts.push(fact("Fee", payout.fee_percent > 0 ? `${percent(payout.fee_percent)} to ${payout.fee_address ?? "the operator"}` : "none: a block pays its miner in full"));
  if (payout.plain_name_address) facts.push(fact("Plain names pay", payout.plain_name_address));
  facts.push(fact("Running for", duration(uptime_seconds), new Date(started_at * 1000).toISOString()));
  setFacts(byId("pool"), facts);
}

function durability({ shares_not_yet_durable: now, shares_acknowledged_early: early, shares_not_durable: never }) {
  const parts = [`${count(now)} ${now === 1 ? "share" : "shares"}`];
  if (early > 0) parts.push(`${count(early)} were acknowledged early since the start`);
  if (never > 0) parts.push(`${count(never)} were acknowledged and not kept`);
  return parts.join("; ");
}
