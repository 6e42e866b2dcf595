// Joins the line to the pool with the parts of the page.

import { byId, setAttribute, setText } from "./dom.js";
import { ago, moment } from "./format.js";
import { live } from "./live.js";
import * as blocks from "./blocks.js";
import * as chart from "./chart.js";
import * as connect from "./connect.js";
import * as miners from "./miners.js";
import * as node from "./node.js";
import * as overview from "./overview.js";

/** A pool that publishes nothing for this long is stuck, though its line is up. */
const STALE_SECONDS = 15;

const clock = { skew: 0, takenAt: 0, heardAt: 0, line: "connecting" };

/** Seconds since `at` by the pool's clock: the visitor's own may be wrong. */
const since = (at) => Math.max(0, Date.now() / 1000 + clock.skew - at);

function update({ summary, blocks: newest }) {
  if (summary.taken_at !== clock.takenAt) {
    clock.takenAt = summary.taken_at;
    clock.heardAt = Date.now();
    clock.skew = summary.taken_at - Date.now() / 1000;
  }
  byId("main").hidden = false;
  overview.show(summary, newest, since);
  blocks.show(summary, newest);
  miners.show(summary);
  node.show(summary);
  connect.show(summary);
  chart.showBlocks(summary.demo ? [] : newest);
  tick();
}

/** Ages every relative time on the page, and says when the figures are old. */
function tick() {
  for (const element of document.querySelectorAll("[data-at]")) {
    const at = Number(element.dataset.at);
    setText(element, ago(since(at)), moment(at));
  }
  const age = clock.heardAt === 0 ? 0 : (Date.now() - clock.heardAt) / 1000;
  const stuck = clock.line === "on" && age > STALE_SECONDS;
  const off = clock.line === "off" || stuck;
  byId("lost").hidden = !off;
  setAttribute(document.body, "data-stale", off && "");
  if (off) setText(byId("lost-text"), lostText(stuck, age));
  setAttribute(byId("live"), "data-live", stuck ? "off" : clock.line);
  setText(byId("live-text"), { on: "Live", connecting: "Connecting", off: "Not live" }[stuck ? "off" : clock.line]);
}

function lostText(stuck, age) {
  const figures = clock.heardAt === 0 ? "" : ` What you see is from ${ago(Math.max(age, 2))}.`;
  return stuck
    ? `The pool has stopped reporting; look at its log.${figures}`
    : `Trying again by itself.${figures}`;
}

live("/api/v1/events", {
  hello({ assets }) {
    // The pool was updated while this page was open: take the page that belongs to it.
    if (!document.body.dataset.assets.endsWith(assets)) location.reload();
  },
  update,
  history: () => chart.refresh(),
  state(line) {
    clock.line = line;
    tick();
  },
});
setInterval(tick, 1000);
