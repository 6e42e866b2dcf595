// The four answers of the first screen, the set-up panel, and the banner of a found block.

import { byId, copyButton, fact, make, setAttribute, setFacts, setText } from "./dom.js";
import { accepts, proofText } from "./node.js";
import { brief, coins, count, difficulty, duration, exact, large, nameOnly, percent, rate, rateParts, sentence, shorten, visible, windowsOf, workerName } from "./format.js";

const NETWORKS = { mainnet: "Mainnet", testnet4: "Testnet4", signet: "Signet", regtest: "Regtest" };

/** The gauge covers eight powers of ten: each step is ten times closer to a block. */
const STEPS = 8;

export function show(summary, blocks, since) {
  showNetwork(summary);
  showSetup(summary.state);
  showState(summary, blocks);
  showRate(summary);
  showClosest(summary);
  showNeeds(summary);
  announce(summary, blocks, since);
}

function showNetwork(summary) {
  const chip = byId("network");
  // Before a node was found, its network may not be known either.
  chip.hidden = summary.network === null && !summary.demo;
  if (!chip.hidden) setText(chip, summary.demo ? "Demonstration" : NETWORKS[summary.network]);
  setAttribute(chip, "data-tone", summary.demo || summary.network !== "mainnet" ? "accent" : null);
  byId("demo-note").hidden = !summary.demo;
  setText(byId("version"), `${summary.software.name} ${summary.software.version}`.trim() || "headframe");
}

function showSetup(state) {
  const missing = state.kind === "setup";
  for (const id of ["overview", "chart-section", "miners-section", "blocks-section", "node-and-pool"]) byId(id).hidden = missing;
  byId("setup").hidden = !missing;
  if (!missing) return;
  setText(byId("setup-title"), sentence(state.missing));
  setText(byId("setup-step"), sentence(state.next_step));
  const command = byId("setup-command");
  command.hidden = state.command === null;
  setText(command.querySelector("code"), state.command ?? "");
  if (!command.querySelector("button")) {
    command.append(copyButton("the command", () => command.querySelector("code").textContent));
  }
}

function showState(summary, blocks) {
  const [text, tone] = stateOf(summary);
  setText(byId("state"), text);
  setAttribute(byId("state"), "data-tone", tone);
  const parts = [];
  const { connected } = summary.miners;
  if (connected > 0) parts.push(`${count(connected)} ${connected === 1 ? "miner" : "miners"}`);
  if (summary.state.kind === "running" && summary.node.template) parts.push(`working on block ${count(summary.node.template.height)}`);
  parts.push(summary.uptime_seconds < 1 ? "just started" : `up ${duration(summary.uptime_seconds)}`);
  setText(byId("state-under"), parts.join(" · "));
  const line = byId("last-block");
  line.hidden = blocks.length === 0;
  if (blocks.length > 0 && line.dataset.key !== blocks[0].hash) {
    line.dataset.key = blocks[0].hash;
    line.replaceChildren(`Last block ${count(blocks[0].height)}, `, make("span", { "data-at": blocks[0].found_at }));
  }
  const title = connected > 0 ? rate(summary.hashes_per_second.five_minutes) : text;
  document.title = `${tone === "bad" ? "Problem: " : ""}${title} · headframe`;
}

function stateOf({ state, miners }) {
  switch (state.kind) {
    case "running":
      return miners.connected > 0 ? ["Mining", "good"] : ["Ready", "good"];
    case "starting":
      return ["Starting", "warn"];
    case "setup":
      return ["Needs set-up", "warn"];
    case "node_unusable":
      return ["Not mining", "bad"];
    case "stopping":
      return ["Stopping", "warn"];
    default:
      return [state.kind, null];
  }
}

function showRate({ hashes_per_second: windows }) {
  const [minute, five, ...longer] = windowsOf(windows);
  setText(byId("rate-label"), `Hashrate, ${five.value === null ? "since start" : five.name}`);
  const short = five.value === null ? { name: "1 min", value: null } : minute;
  const [digits, unit] = rateParts(windows.five_minutes);
  const figure = byId("rate");
  if (figure.textContent !== `${digits} ${unit}`) figure.replaceChildren(`${digits} `, make("small", {}, unit));
  figure.title = `${exact(windows.five_minutes)} H/s`;
  const pair = ({ name, value }) => make("div", {}, ...rateFact(name, value));
  setFacts(byId("rates"), [short, ...longer].map((window) => [pair(window)]));
}

const rateFact = (name, value) => (value === null ? fact(name, "–", "not observed for so long yet") : fact(name, rate(value), `${exact(value)} H/s`));

function showClosest({ best, odds }) {
  const round = best.this_round;
  const ever = best.ever;
  const record = ever && ever.difficulty > (round?.difficulty ?? 0) ? ever : null;
  showBest(round, ever);
  setText(byId("closest-under"), closestText(round, ever));
  byId("best-ever").hidden = !record;
  if (record) setText(byId("best-ever"), `Best ever ${difficulty(record.difficulty)} (${percent(record.percent_of_block)})`, bestTitle(record));
  const line = byId("odds");
  line.hidden = odds.expected_seconds_to_block === null;
  if (!line.hidden) setText(line, oddsText(odds));
  showGauge(round, record);
}

function showBest(round, ever) {
  const figure = byId("closest");
  if (!round) return setText(figure, ever ? "New round" : "No share yet", "");
  const share = percent(round.percent_of_block);
  if (figure.textContent !== `${share} of a block`) figure.replaceChildren(share, " ", make("small", {}, "of a block"));
  figure.title = bestTitle(round);
}

const bestTitle = (share) => `difficulty ${exact(share.difficulty)}, by ${share.worker}`;

function closestText(round, ever) {
  if (round) return `Difficulty ${difficulty(round.difficulty)} by ${brief(nameOnly(round.worker))}`;
  return ever ? "No share since the last block yet." : "The first share shows here.";
}

function showGauge(round, record) {
  const gauge = byId("gauge");
  gauge.style.setProperty("--track", `${gauge.clientWidth}px`);
  gauge.querySelector(".fill").style.width = `${100 * closeness(round)}%`;
  gauge.querySelector(".ever").style.width = `${100 * closeness(record)}%`;
  gauge.querySelector(".ever").hidden = !record;
  const spoken = round ? `${percent(round.percent_of_block)} of a block` : "none yet";
  setAttribute(gauge, "aria-label", `Closest share: ${spoken}, on a scale where each step is ten times closer`);
  setAttribute(gauge, "title", "Each step is ten times closer to a block. The line marks the best share ever.");
}

function oddsText({ expected_seconds_to_block: seconds, chance_per_day_percent: chance }) {
  if (seconds < 1) return "More than a block a second";
  if (seconds < 86_400) return `A block every ${duration(seconds)} on average`;
  const daily = chance ? `; any day, 1 in ${large(100 / chance)}` : "";
  return `A block in ${duration(seconds)} on average${daily}`;
}

function closeness(share) {
  if (!share || share.percent_of_block <= 0) return 0;
  return Math.min(1, Math.max(0.01, 1 + Math.log10(share.percent_of_block / 100) / STEPS));
}

const TONES = { critical: "bad", warning: "warn", notice: null };
const WORDS = { critical: "Critical", warning: "Warning", notice: "Notice" };

function showNeeds(summary) {
  const alarms = [...summary.alarms];
  if (summary.state.kind === "node_unusable") alarms.unshift(nodeAlarm(summary));
  const urgent = alarms.some((alarm) => alarm.severity === "critical");
  for (const id of ["needs", "overview"]) setAttribute(byId(id), "data-urgent", urgent && "");
  setAttribute(byId("overview"), "data-busy", alarms.length > 0 && "");
  byId("calm").hidden = alarms.length > 0;
  byId("calm-under").hidden = alarms.length > 0;
  const [headline, calm, wanted] = calmText(summary);
  setText(byId("calm"), headline);
  setAttribute(byId("calm"), "data-wanted", wanted && "");
  byId("to-connect").hidden = !wanted || alarms.length > 0;
  const proof = byId("proof");
  proof.hidden = alarms.length > 0 || !accepts(summary.proof);
  if (!proof.hidden) setText(proof, `${proofText(summary)}.`, summary.proof.payout_address);
  setText(byId("calm-under"), calm);
  const list = byId("alarms");
  const key = JSON.stringify(alarms);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...alarms.map(alarmItem));
}

function nodeAlarm({ state: { reason, next_step, since_at, release_at }, connect, miners }) {
  const detail = [sentence(reason), ...heldText(release_at, connect, miners)].join(" ");
  return { severity: "critical", title: "The node cannot be used", detail, next_step, since_at };
}

/** What becomes of miners while the node is away. Before the first work no port is open, and there are none. */
function heldText(releaseAt, { listeners }, { connected }) {
  if (listeners.some(({ open }) => open)) {
    const until = releaseAt ? ` and are released to their other pools at ${clockTime(releaseAt)}` : "";
    return [`Miners keep their last work${until}.`];
  }
  if (!releaseAt) return [];
  return [connected > 0 ? "Miners are being released to their other pools." : "Miners were released to their other pools. The ports open again when the node is back."];
}

const clockTime = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

function alarmItem({ severity, title, detail, next_step, since_at }) {
  const item = make("li", { "data-tone": TONES[severity] }, make("strong", {}, visible(title)));
  if (detail) item.append(make("p", { class: "detail" }, sentence(visible(detail))));
  item.append(make("p", {}, sentence(visible(next_step))));
  item.append(make("p", { class: "severity" }, `${WORDS[severity]}, `, make("span", { "data-at": since_at })));
  return item;
}

function calmText({ state, miners }) {
  if (state.kind === "starting") return ["Nothing", "The pool is opening its ports."];
  if (miners.connected === 0) return ["Connect a miner", miners.gone > 0 ? "None is connected now." : "None has connected yet.", true];
  return ["Nothing", "Node, mining ports and ledger are well."];
}

/** How long a found block stays at the top of the page; a demonstration finds one every moment. */
const NEWS_SECONDS = 3_600;

const dismissed = new Set();

function announce(summary, blocks, since) {
  const banner = byId("found");
  const block = blocks[0];
  const news = block && !summary.demo && !dismissed.has(block.hash) && since(block.found_at) < NEWS_SECONDS;
  banner.hidden = !news;
  if (!news) return;
  const live = byId("found-live");
  const key = JSON.stringify([block.hash, block.fate]);
  if (live.dataset.key === key) return;
  live.dataset.key = key;
  const refused = block.fate.kind === "refused";
  setAttribute(banner, "data-tone", refused ? "bad" : null);
  const close = make("button", { type: "button" }, "Dismiss");
  close.addEventListener("click", () => {
    dismissed.add(block.hash);
    banner.hidden = true;
  });
  live.replaceChildren(
    make("strong", {}, `Block ${count(block.height)} ${refused ? "was refused" : "found"}`),
    make("span", {}, newsText(block)),
    close,
  );
}

function newsText({ worker, payout_address: address, value_sats: value, fate }) {
  const by = `by ${brief(workerName(worker, address))}`;
  if (fate.kind === "refused") return `${by}. The node's reason: ${visible(fate.reason)}`;
  const pays = address ? `, pays ${coins(value)} to ${shorten(address)}` : "";
  const said = { submitting: ", waiting for the node", waiting: ", waiting for the chain", orphaned: ", the chain went on without it" };
  return `${by}${pays}${said[fate.kind] ?? ""}`;
}
