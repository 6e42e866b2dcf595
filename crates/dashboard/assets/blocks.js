// Blocks found, newest first: the ten that every update brings, or all of them when asked.

import { byId, make, setText } from "./dom.js";
import { brief, coins, count, difficulty, duration, exact, nodeName, percent, shorten, visible, workerName } from "./format.js";

let all = false;
let shownKey = "";

export function show(summary, newest) {
  const { found, refused, orphaned, pending } = summary.blocks;
  const parts = [count(found)];
  if (pending > 0) parts.push(`${count(pending)} not settled`);
  if (orphaned > 0) parts.push(`${count(orphaned)} orphaned`);
  if (refused > 0) parts.push(`${count(refused)} refused`);
  setText(byId("blocks-count"), found > 0 ? parts.join(", ") : "");
  byId("blocks-more").hidden = all || found <= newest.length;
  byId("blocks-empty").hidden = newest.length > 0;
  if (newest.length === 0) setText(byId("blocks-empty"), emptyText(summary));
  const key = JSON.stringify(newest);
  if (key === shownKey) return;
  shownKey = key;
  if (all) showAll();
  else byId("blocks").replaceChildren(...newest.map(item));
}

function emptyText({ odds, miners, connect }) {
  if (!connect.listeners.some((listener) => listener.open)) return "None yet.";
  if (miners.connected === 0) return "None yet. Connect a miner first.";
  if (odds.expected_seconds_to_block === null) return "None yet.";
  return `None yet. At this hashrate one takes ${duration(odds.expected_seconds_to_block)} on average; it could be the next share.`;
}

async function showAll() {
  all = true;
  byId("blocks-more").hidden = true;
  try {
    const answer = await fetch("/api/v1/blocks?limit=1000");
    if (!answer.ok) return;
    const { blocks } = await answer.json();
    byId("blocks").replaceChildren(...blocks.map(item));
  } catch {
    // The line is down; live.js says so, and the next block asks again.
  }
}

function item(block) {
  const [fate, tone] = fateOf(block.fate);
  const name = workerName(block.worker, block.payout_address);
  // Blocks of one moment have no work between them, which says nothing about luck.
  const luck = block.effort_percent > 0 ? `after ${percent(block.effort_percent)} of the average work` : "";
  const line = make(
    "li",
    { "data-hash": block.hash },
    make("span", { class: "height" }, count(block.height)),
    make(
      "span",
      { class: "who" },
      make("span", { title: block.worker }, brief(name)),
      make("span", { class: "sub" }, block.payout_address ? `  pays ${shorten(block.payout_address)}` : ""),
    ),
    make(
      "span",
      { class: "paid", title: `difficulty ${exact(block.difficulty)}, asked ${exact(block.network_difficulty)}` },
      coins(block.value_sats),
    ),
    make("span", { class: "fate" }, make("span", { class: "chip", "data-tone": tone }, fate)),
    make(
      "span",
      { class: "about" },
      make("span", { "data-at": block.found_at }),
      luck ? ` · ${luck}` : "",
      block.fee_sats > 0 ? ` · fee ${coins(block.fee_sats)}` : "",
      ` · share ${difficulty(block.difficulty)}`,
    ),
    make("span", { class: "hash", title: block.hash }, block.hash),
  );
  // One node's answer is the block's state; of several it is worth knowing who said what.
  if (block.answers.length > 1) {
    const said = block.answers.map(({ node, answer }) => `${nodeName(node)}: ${visible(answer)}`);
    line.append(...said.map((text) => make("span", { class: "about answers" }, text)));
  }
  const trouble = troubleOf(block.fate);
  if (trouble) line.append(make("p", { class: "loud", "data-tone": tone }, trouble));
  return line;
}

function fateOf(fate) {
  switch (fate.kind) {
    case "submitting":
      return ["Submitting", "warn"];
    case "accepted":
      return [fate.confirmations === 1 ? "1 confirmation" : `${count(fate.confirmations)} confirmations`, "good"];
    case "waiting":
      return ["Waiting for the chain", "warn"];
    case "orphaned":
      return ["Orphaned", null];
    case "refused":
      return ["Refused", "bad"];
    default:
      return [fate.kind, null];
  }
}

function troubleOf(fate) {
  if (fate.kind === "refused") {
    const kept = fate.file ? ` The block is kept in ${fate.file}.` : "";
    return `The node refused this block: ${visible(fate.reason)}.${kept}`;
  }
  if (fate.kind === "submitting" && fate.attempts > 1) {
    const why = fate.last_trouble ? ` Last time: ${fate.last_trouble}.` : "";
    return `Sent ${count(fate.attempts)} times and not settled yet; it is safe on disk and is sent again by itself.${why}`;
  }
  return null;
}

byId("blocks-more").addEventListener("click", showAll);
