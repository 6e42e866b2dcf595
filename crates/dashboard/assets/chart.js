// The hashrate over time, drawn as SVG at the size of its box.

import { byId, make, makeSvg, setAttribute } from "./dom.js";
import { count, duration, moment, rate, roundRate } from "./format.js";

const LEFT = 66;
const BOTTOM = 24;
const TOP = 8;
/** A short life is drawn large, but never fewer than this part of a range. */
const LEAST_PART = 1 / 12;

const box = byId("chart");
/** `null` until the pool has answered. */
let series = null;
let blocks = [];
let chosen = null;
let loading = false;

/** Fetches the history; the server says when there is more of it. */
export async function refresh() {
  if (loading) return;
  loading = true;
  try {
    const answer = await fetch("/api/v1/history");
    if (answer.ok) {
      series = (await answer.json()).series;
      showRanges();
      draw();
    }
  } catch {
    // The line is down; live.js says so, and the next bucket asks again.
  }
  loading = false;
}

/** Marks blocks on the chart. */
export function showBlocks(newest) {
  const known = blocks.map((block) => block.hash).join();
  blocks = newest;
  if (newest.map((block) => block.hash).join() !== known) draw();
}

/** What the pool's series cover once they are full. A young pool's are shorter. */
const RANGES = new Map([[5, "1 hour"], [60, "24 hours"], [600, "7 days"]]);
/** With fewer points than this a line says nothing. */
const LEAST_POINTS = 60;

const label = (one) => RANGES.get(one.bucket_seconds) ?? duration(one.bucket_seconds * one.hashes_per_second.length);

const known = (one) => one.hashes_per_second.filter((value) => value !== null).length;

/** The longest range up to a day that has something to show, unless the visitor chose one. */
function current() {
  const wanted = series.find((one) => one.bucket_seconds === chosen);
  return wanted ?? series.findLast((one) => known(one) >= LEAST_POINTS && one.bucket_seconds <= 60) ?? series[0];
}

function showRanges() {
  const now = current();
  const buttons = series.map((one) => {
    const pressed = one === now;
    const button = make("button", { type: "button", "aria-pressed": String(pressed) }, label(one));
    button.addEventListener("click", () => {
      chosen = one.bucket_seconds;
      showRanges();
      draw();
      byId("ranges").querySelector("[aria-pressed=true]").focus();
    });
    return button;
  });
  const key = buttons.map((button) => button.textContent + button.getAttribute("aria-pressed")).join();
  if (byId("ranges").dataset.key === key) return;
  byId("ranges").dataset.key = key;
  byId("ranges").replaceChildren(...buttons);
}

/** Leaves off the empty beginning of a young pool. */
function trimmed({ bucket_seconds: step, first_at: first, hashes_per_second: values }) {
  const start = values.findIndex((value) => value !== null);
  const latest = Math.floor(values.length * (1 - LEAST_PART));
  const from = start < 0 ? latest : Math.min(start, latest);
  return { step, first: first + from * step, values: values.slice(from) };
}

function draw() {
  if (!series) return;
  const one = current();
  const isEmpty = !one || known(one) === 0;
  byId("ranges").hidden = isEmpty;
  setAttribute(box, "data-empty", isEmpty && "");
  if (isEmpty) {
    box.replaceChildren(make("p", { class: "nothing" }, "The hashrate shows here once a miner has sent shares."));
    return;
  }
  const width = box.clientWidth;
  const height = box.clientHeight;
  if (width === 0) return;
  const { step, first, values } = trimmed(one);
  const peak = niceCeiling(Math.max(...values.map((value) => value ?? 0)));
  const end = first + step * values.length;
  const x = (at) => LEFT + ((at - first) / (end - first)) * (width - LEFT - 2);
  const y = (value) => TOP + (1 - value / peak) * (height - TOP - BOTTOM);
  const points = thinned(values, Math.floor((width - LEFT) / 2)).map(([i, value]) => [x(first + (i + 0.5) * step), value === null ? null : y(value)]);
  const svg = makeSvg("svg", { role: "img", "aria-label": spoken(values, end - first) });
  svg.append(...levels(peak, y, width), ...hours(first, end, x, height));
  for (const run of runs(points)) {
    const line = run.map(([px, py]) => `${px.toFixed(1)} ${py.toFixed(1)}`).join("L");
    const floor = y(0).toFixed(1);
    svg.append(makeSvg("path", { class: "area", d: `M${run[0][0].toFixed(1)} ${floor}L${line}L${run.at(-1)[0].toFixed(1)} ${floor}Z` }));
    svg.append(makeSvg("path", { class: "rate", d: `M${line}${run.length === 1 ? "h.1" : ""}` }));
  }
  for (const block of blocks) {
    // A block of this moment is newer than the last full bucket: it stands at the edge.
    if (block.found_at >= first) svg.append(...blockMark(block, x(Math.min(block.found_at, end)), y));
  }
  box.replaceChildren(svg);
  follow(svg, { first, step, values, x, y, width, height });
}

/** A round number a little above the value, whose half is round too. */
function niceCeiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value * 1.08));
  return [1, 1.2, 1.6, 2, 3, 4, 6, 8, 10].find((factor) => factor * power >= value * 1.08) * power;
}

/** At most `most` points, each the mean of its buckets; a gap stays a gap. */
function thinned(values, most) {
  const size = Math.max(1, Math.ceil(values.length / Math.max(1, most)));
  const points = [];
  for (let i = 0; i < values.length; i += size) {
    const known = values.slice(i, i + size).filter((value) => value !== null);
    const mean = known.length > 0 ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
    points.push([i + (size - 1) / 2, mean]);
  }
  return points;
}

function runs(points) {
  const all = [[]];
  for (const point of points) {
    if (point[1] === null) all.push([]);
    else all.at(-1).push(point);
  }
  return all.filter((run) => run.length > 0);
}

function levels(peak, y, width) {
  return [0, 0.5, 1].flatMap((part) => {
    const at = y(peak * part);
    return [
      makeSvg("line", { class: "grid", x1: LEFT, x2: width, y1: at, y2: at }),
      makeSvg("text", { x: LEFT - 10, y: at + 4, "text-anchor": "end" }, part === 0 ? "0" : roundRate(peak * part)),
    ];
  });
}

const STEPS = [60, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 172_800];

function hours(first, end, x, height) {
  const room = Math.max(2, Math.floor((x(end) - x(first)) / 76));
  const step = STEPS.find((one) => (end - first) / one <= room) ?? STEPS.at(-1);
  const offset = new Date(first * 1000).getTimezoneOffset() * 60;
  const marks = [];
  for (let at = Math.ceil((first - offset) / step) * step + offset; at < end; at += step) {
    const px = x(at);
    const anchor = px < LEFT + 16 ? "start" : px > x(end) - 16 ? "end" : "middle";
    marks.push(makeSvg("text", { x: px, y: height - 5, "text-anchor": anchor }, clock(at, step)));
  }
  return marks;
}

function clock(at, step) {
  const time = new Date(at * 1000);
  return step >= 86_400
    ? time.toLocaleDateString("en-GB", { weekday: "short", day: "numeric" })
    : time.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

function blockMark(block, px, y) {
  const title = makeSvg("title", {}, `Block ${count(block.height)}`);
  return [
    makeSvg("line", { class: "block-line", x1: px, x2: px, y1: TOP, y2: y(0) }),
    makeSvg("path", { class: "block", d: `M${px} ${TOP - 6}l6 6l-6 6l-6-6Z` }, title),
  ];
}

function spoken(values, seconds) {
  const known = values.filter((value) => value !== null);
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  return `Hashrate over ${duration(seconds)}: mean ${rate(mean)}, least ${rate(Math.min(...known))}, most ${rate(Math.max(...known))}, last ${rate(known.at(-1))}`;
}

/** Shows the value under the pointer. */
function follow(svg, { first, step, values, x, y, width, height }) {
  const line = makeSvg("line", { class: "cursor", y1: TOP, y2: height - BOTTOM, visibility: "hidden" });
  const dot = makeSvg("circle", { class: "dot", r: 4.5, visibility: "hidden" });
  const tip = make("div", { class: "tip", hidden: "" });
  svg.append(line, dot);
  box.append(tip);
  const hide = () => {
    tip.hidden = true;
    for (const mark of [line, dot]) mark.setAttribute("visibility", "hidden");
  };
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", (event) => {
    const part = (event.clientX - svg.getBoundingClientRect().left - LEFT) / (width - LEFT - 2);
    const i = Math.floor(part * values.length);
    const value = values[i];
    if (value === null || value === undefined) return hide();
    const px = x(first + (i + 0.5) * step);
    for (const name of ["x1", "x2"]) setAttribute(line, name, px);
    setAttribute(dot, "cx", px);
    setAttribute(dot, "cy", y(value));
    for (const mark of [line, dot]) mark.setAttribute("visibility", "visible");
    tip.textContent = `${rate(value)}, ${moment(first + i * step)}`;
    tip.hidden = false;
    tip.style.left = `${Math.min(width - 110, Math.max(110, px))}px`;
  });
}

new ResizeObserver(draw).observe(box);
