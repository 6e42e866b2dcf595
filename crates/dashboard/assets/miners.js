// The miners. The server searches, sorts and cuts; the page holds only the rows that it shows.

import { byId, fact, make, setAttribute, setFacts, setText } from "./dom.js";
import { ago, count, difficulty, duration, exact, moment, rate, shorten, visible, windowsOf, workerName } from "./format.js";

const ROWS = 25;
const SHORTEST_INTERVAL = 1_500;
/** So many rows are seen at a glance, without a search. */
const FEW = 8;
/** A row names the commonest reasons; its details have them all. */
const REASONS_IN_ROW = 2;

const REASONS = {
  stale: "stale",
  duplicate: "duplicate",
  low_difficulty: "low difficulty",
  unknown_job: "unknown job",
  unknown_channel: "unknown channel",
  time: "wrong time",
  version: "version bits",
  extranonce: "extranonce length",
  unauthorized: "not authorised",
  malformed: "unreadable",
  other: "other",
};

// Title, class, sort key, whether the greatest comes first.
const COLUMNS = [
  ["Worker", "worker", "worker", false],
  ["Protocol", "protocol", null],
  ["Hashrate", "number rate", "hashrate", true],
  ["Difficulty", "number difficulty", "difficulty", true],
  ["Accepted", "number accepted", "accepted", true],
  ["Rejected", "number rejected", "rejected", true],
  ["Best", "number best", "best", true],
  ["Last share", "number last", "last_share", true],
];

const view = { search: "", state: "", sort: "hashrate", descending: true, offset: 0 };
const rows = new Map();
const opened = new Set();
let total = 0;
let asked = 0;
let soon = 0;
let busy = false;
let again = false;
let summary = null;

export function show(newest) {
  summary = newest;
  const { connected, quiet, gone } = summary.miners;
  const parts = [count(connected)];
  if (quiet > 0) parts.push(`${count(quiet)} quiet`);
  if (gone > 0) parts.push(`${count(gone)} gone`);
  setText(byId("miners-count"), parts.join(", "));
  clearTimeout(soon);
  soon = setTimeout(load, Math.max(0, asked + SHORTEST_INTERVAL - Date.now()));
}

async function load() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  asked = Date.now();
  try {
    const answer = await fetch(`/api/v1/miners?${query()}`);
    if (answer.ok) showPage(await answer.json());
  } catch {
    // The line is down; live.js says so, and the next update asks again.
  }
  busy = false;
  if (again) {
    again = false;
    load();
  }
}

function query() {
  const { sort, descending, offset, search, state } = view;
  const query = new URLSearchParams({ sort, order: descending ? "desc" : "asc", offset, limit: ROWS });
  if (search) query.set("search", search);
  if (state) query.set("state", state);
  return query;
}

function showPage({ total: all, matching, miners }) {
  total = all;
  if (view.offset > 0 && miners.length === 0) return goTo(0);
  const shown = new Set(miners.map((miner) => miner.id));
  for (const [id, row] of rows) if (!shown.has(id)) forget(id, row);
  const order = miners.flatMap((miner) => {
    const row = rows.get(miner.id) ?? newRow(miner.id);
    row.update(miner);
    return opened.has(miner.id) ? [row.line, row.detail] : [row.line];
  });
  const body = byId("miner-rows");
  if (order.some((row, i) => body.children[i] !== row) || body.children.length !== order.length) {
    keepingFocus(() => body.replaceChildren(...order));
  }
  byId("miner-heads").parentElement.hidden = miners.length === 0;
  showEmpty(miners.length);
  showPager(matching, miners.length);
}

function forget(id, row) {
  row.line.remove();
  rows.delete(id);
}

/** Rows that move would take the focus with them out of the document. */
function keepingFocus(change) {
  const focused = document.activeElement;
  change();
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

function showEmpty(shown) {
  const empty = byId("miners-empty");
  byId("miner-tools").hidden = total < FEW;
  empty.hidden = shown > 0;
  if (total > 0) setText(empty, "No miner matches.");
  else if (summary.connect.listeners.some((listener) => listener.open)) setText(empty, "No miner has connected yet. Fill the fields under “Connect your miner” into one, and it shows here with its first share.");
  else setText(empty, "No miner can connect: no mining port is open.");
}

function showPager(matching, shown) {
  byId("pager").hidden = matching <= ROWS;
  setText(byId("pager-text"), `${count(view.offset + 1)}–${count(view.offset + shown)} of ${count(matching)}`);
  byId("previous").disabled = view.offset === 0;
  byId("next").disabled = view.offset + shown >= matching;
}

function newRow(id) {
  const cells = COLUMNS.map(([, style]) => make("td", { class: style, role: "cell" }));
  const button = make("button", { type: "button", "aria-expanded": "false" });
  const under = make("span", { class: "sub" });
  const cause = make("span", { class: "sub cause" });
  cells[0].append(button, under, cause);
  const line = make("tr", { role: "row" }, ...cells);
  const facts = make("dl", { class: "facts" });
  const detail = make("tr", { class: "detail", role: "row" }, make("td", { colspan: COLUMNS.length, role: "cell" }, facts));
  const row = { line, detail, update: (miner) => fillRow(row, miner), cells, button, under, cause, facts };
  button.addEventListener("click", () => {
    const open = !opened.delete(id);
    if (open) opened.add(id);
    setAttribute(button, "aria-expanded", open);
    if (open) line.after(detail);
    else detail.remove();
  });
  rows.set(id, row);
  return row;
}

function fillRow({ line, cells, button, under, cause, facts }, miner) {
  const [, protocol, hashrate, asks, accepted, rejected, best, last] = cells;
  const windows = miner.hashes_per_second;
  setAttribute(line, "data-state", miner.state);
  setText(button, workerName(miner.worker, miner.payout_address), miner.worker);
  setText(under, underText(miner), underTitle(miner));
  setText(cause, coinbaseText(miner) || (miner.silence?.causes[0]?.text ?? ""));
  setTwo(protocol, miner.protocol === "sv2" ? "SV2" : "SV1", kindText(miner));
  setTwo(hashrate, rate(windows.five_minutes), hourText(windows), `${exact(windows.five_minutes)} H/s`, "strong");
  setText(asks, difficulty(miner.difficulty), exact(miner.difficulty));
  setText(accepted, count(miner.shares.accepted), `work ${exact(miner.shares.accepted_work)}`);
  setTwo(rejected, count(miner.shares.rejected), reasonsText(miner.shares, REASONS_IN_ROW), "");
  setText(best, miner.best_difficulty > 0 ? difficulty(miner.best_difficulty) : "–", exact(miner.best_difficulty));
  if (miner.last_share_at === null) {
    last.removeAttribute("data-at");
    setText(last, "none yet", "");
  } else {
    setAttribute(last, "data-at", miner.last_share_at);
    if (last.textContent === "") setText(last, ago(summary.taken_at - miner.last_share_at));
  }
  setFacts(facts, details(miner));
}

function setTwo(cell, text, sub, title, style) {
  if (!cell.firstChild) cell.append(make("span", { class: style }), make("span", { class: "sub" }));
  setText(cell.firstChild, text, title);
  setText(cell.lastChild, sub);
}

function underText({ payout_address: address, device, state }) {
  const pays = address ? `pays ${shorten(address)}` : "";
  const gone = state === "gone" ? "gone" : state === "quiet" ? "quiet" : "";
  return [gone, pays, visible(device)].filter(Boolean).join(" · ");
}

function underTitle({ payout_address: address, device }) {
  const pays = address ? `A block of this miner pays ${address}` : "";
  return [pays, device].filter(Boolean).join("\n");
}

/** A miner of less than an hour has nothing to say about one. */
function hourText(windows) {
  const [, , { name, value }] = windowsOf(windows);
  return name === "1 hour" && value !== null ? `1 h ${rate(value)}` : "";
}

function kindText({ channel, encryption, protocol }) {
  const secret = encryption === "tls" ? "TLS" : encryption === "none" && protocol === "sv2" ? "in the clear" : "";
  return [channel, secret].filter(Boolean).join(", ");
}

export function reasonsText({ rejected_by_reason: reasons }, most = Infinity) {
  const entries = Object.entries(reasons).sort(([, a], [, b]) => b - a);
  const named = entries.slice(0, most).map(([reason, times]) => `${REASONS[reason] ?? reason} ${count(times)}`);
  if (entries.length > most) named.push(`${entries.length - most} more`);
  return named.join(", ");
}

function details(miner) {
  const { hashes_per_second: windows, shares } = miner;
  const secured = { none: "none", tls: "TLS", noise: "Noise" }[miner.encryption];
  return [
    fact("User name", visible(miner.worker)),
    fact("Its block pays", miner.payout_address ?? "not known yet"),
    fact("Device", visible(miner.device) || "did not say"),
    fact("From", miner.peer || "not connected"),
    fact("Encryption", secured),
    fact("Connected", moment(miner.connected_at)),
    fact("Hashrate", ratesText(windows)),
    fact("Difficulty asked", exact(miner.difficulty)),
    fact("Best share", miner.best_difficulty > 0 ? difficulty(miner.best_difficulty) : "none yet", exact(miner.best_difficulty)),
    ...(miner.coinbase_too_long ? [fact("Coinbase", coinbaseText(miner))] : []),
    ...silenceFacts(miner.silence),
    fact("Rejected", shares.rejected > 0 ? `${count(shares.rejected)}: ${reasonsText(shares)}` : "none"),
  ];
}

/** A device that cuts the coinbase mines for nothing, and looks well itself. */
function coinbaseText({ coinbase_too_long: coinbase }) {
  if (!coinbase) return "";
  return `The coinbase has ${exact(coinbase.bytes)} bytes, and such a device hashes ${exact(coinbase.limit_bytes)} at most: its shares and blocks may be worthless. Pay fewer outputs, or update it.`;
}

/** Why a quiet miner may be so; the others have nothing to say about it. */
function silenceFacts(silence) {
  if (!silence) return [];
  const { since_at: since, expected_share_seconds: expected, causes } = silence;
  const usual = expected === null ? "" : `; a share usually takes it ${duration(expected)}`;
  return [fact("No share", `since ${moment(since)}${usual}`), fact("Probably", causes.map(({ text }) => text).join(" Or: "))];
}

const ratesText = (windows) => windowsOf(windows).filter(({ value }) => value !== null).map(({ name, value }) => `${name} ${rate(value)}`).join(", ");

function goTo(offset) {
  view.offset = Math.max(0, offset);
  load();
}

function sortBy(key, descending) {
  view.sort = key;
  view.descending = descending;
  showHeads();
  byId("sort").value = key;
  goTo(0);
}

function showHeads() {
  const heads = byId("miner-heads");
  COLUMNS.forEach(([, , key], i) => {
    const order = view.descending ? "descending" : "ascending";
    setAttribute(heads.children[i], "aria-sort", key === view.sort && order);
  });
}

function prepare() {
  for (const [title, style, key, descending] of COLUMNS) {
    const head = make("th", { class: style, scope: "col", role: "columnheader" });
    if (key === null) head.append(title);
    else {
      const button = make("button", { type: "button" }, title);
      button.addEventListener("click", () => sortBy(key, view.sort === key ? !view.descending : descending));
      head.append(button);
    }
    byId("miner-heads").append(head);
  }
  showHeads();
  byId("sort").addEventListener("change", (event) => {
    const column = COLUMNS.find(([, , key]) => key === event.target.value);
    sortBy(column[2], column[3]);
  });
  let typing = 0;
  byId("search").addEventListener("input", (event) => {
    clearTimeout(typing);
    view.search = event.target.value.trim();
    typing = setTimeout(() => goTo(0), 150);
  });
  byId("filter").addEventListener("change", (event) => {
    view.state = event.target.value;
    goTo(0);
  });
  byId("previous").addEventListener("click", () => goTo(view.offset - ROWS));
  byId("next").addEventListener("click", () => goTo(view.offset + ROWS));
}

prepare();
