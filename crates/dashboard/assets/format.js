// Numbers for people. The exact value goes into the title beside each.

const PREFIXES = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const exactly = new Intl.NumberFormat("en", { maximumFractionDigits: 20 });
const twoDigits = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });
const threeDigits = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** 1,234 */
export const count = (value) => whole.format(value);

/** Every digit that there is. */
export const exact = (value) => exactly.format(value);

/** Three significant digits and a prefix, as two strings: ["1.21", "T"]. */
function scaled(value) {
  let step = 0;
  while (step < PREFIXES.length - 1 && value >= 999.5) {
    value /= 1000;
    step += 1;
  }
  if (value >= 100 || value === 0) return [value.toFixed(0), PREFIXES[step]];
  if (value >= 10) return [value.toFixed(1), PREFIXES[step]];
  if (value >= 1 || step > 0) return [value.toFixed(2), PREFIXES[step]];
  return [threeDigits.format(value), ""];
}

/** ["1.21", "TH/s"] */
export function rateParts(hashesPerSecond) {
  const [digits, prefix] = scaled(hashesPerSecond);
  return [digits, `${prefix}H/s`];
}

const WINDOWS = [["one_minute", "1 min", 60], ["five_minutes", "five minutes", 300], ["one_hour", "1 hour", 3_600], ["one_day", "24 hours", 86_400]];

/**
 * The windows of a hashrate as name and value. The first that is longer than the time observed is
 * the rate since the start; a longer one would be the same again, and has no value.
 */
export function windowsOf(rates) {
  const partial = WINDOWS.findIndex(([, , length]) => rates.observed_seconds < length);
  return WINDOWS.map(([key, name], i) => {
    if (partial < 0 || i < partial) return { name, value: rates[key] };
    return i === partial ? { name: "since start", value: rates[key] } : { name, value: null };
  });
}

/** 1.21 TH/s */
export const rate = (hashesPerSecond) => rateParts(hashesPerSecond).join(" ");

/** 5 TH/s, for the marks of an axis. */
export const roundRate = (hashesPerSecond) => rate(hashesPerSecond).replace(/(\.\d*?)0+ /, "$1 ").replace(". ", " ");

/** 4,096 or 41.2 G: powers of two stay recognisable. */
export function difficulty(value) {
  if (Number.isInteger(value) && value < 100_000) return whole.format(value);
  return scaled(value).join(" ").trim();
}

/** 0.027 % */
export function percent(value) {
  if (value >= 1000) return `${whole.format(value)} %`;
  // Nearly all is not all: a share of 99.97 % is no block.
  if (value > 99.9 && value < 100) return "99.9 %";
  return `${(value >= 1 ? threeDigits : twoDigits).format(value)} %`;
}

/** 3.14604331 BTC */
export function coins(sats) {
  const fraction = String(sats % 100_000_000).padStart(8, "0");
  return `${whole.format(Math.floor(sats / 100_000_000))}.${fraction} BTC`;
}

const UNITS = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** 4 days, 17,100 years, 12 million years */
export function duration(seconds) {
  if (seconds < 1) return "less than a second";
  const [name, length] = UNITS.find(([, length]) => seconds >= length);
  const amount = seconds / length;
  if (amount >= 1e6) return `${large(amount)} ${name}s`;
  const rounded = amount >= 100 ? Number(amount.toPrecision(3)) : Math.floor(amount);
  return `${whole.format(rounded)} ${name}${rounded === 1 ? "" : "s"}`;
}

/** 6.3 million */
export function large(value) {
  if (value >= 1e12) return `${twoDigits.format(value / 1e12)} trillion`;
  if (value >= 1e9) return `${twoDigits.format(value / 1e9)} billion`;
  if (value >= 1e6) return `${twoDigits.format(value / 1e6)} million`;
  return whole.format(Number(value.toPrecision(3)));
}

/** just now, 12 s ago, 3 min ago, 5 h ago, 4 days ago */
export function ago(seconds) {
  if (seconds < 2) return "just now";
  if (seconds < 90) return `${Math.floor(seconds)} s ago`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129_600) return `${Math.round(seconds / 3_600)} h ago`;
  return `${whole.format(Math.round(seconds / 86_400))} days ago`;
}

/** A local date and time. */
export const moment = (at) => new Date(at * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** bc1qar0srr…f5mdq */
export const shorten = (text) => (text.length > 20 ? `${text.slice(0, 10)}…${text.slice(-6)}` : text);

/** What cannot be seen, ends lines, or turns the direction of the text around it. */
const UNSEEN = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]/gu;

/** A stranger's text as it is shown: a name cannot reorder or hide what stands beside it. */
export const visible = (text) => text.replace(UNSEEN, "\ufffd");

/** A name inside a sentence: of a long one the beginning and the end. */
export function brief(name) {
  const letters = [...name];
  return letters.length > 36 ? `${letters.slice(0, 24).join("")}…${letters.slice(-8).join("")}` : name;
}

/** A node in a list of nodes: what the log puts before its address goes without saying. */
export function nodeName(name) {
  return visible(name.replace(/^the node at /, ""));
}

/** Begins with a capital, unless with a program's name or a code, and ends as a sentence does. */
export function sentence(text) {
  const trimmed = text.trim();
  const end = trimmed === "" || /[.!?:…]$/.test(trimmed) ? "" : ".";
  const isName = !/^[a-z]+[ ,]/.test(trimmed) || /^(headframe|bitcoin)/.test(trimmed);
  return `${isName ? trimmed : trimmed[0].toUpperCase() + trimmed.slice(1)}${end}`;
}

/** The part of a user name that is not the address: "garage". */
export function workerName(worker, address) {
  return visible(ownName(worker, address));
}

function ownName(worker, address) {
  if (worker === "") return "(no name)";
  if (!address || !worker.startsWith(address)) return worker;
  const rest = worker.slice(address.length);
  return /^[._]./.test(rest) ? rest.slice(1) : shorten(worker);
}

/** For names without a known address: what follows the first dot after a long first part. */
export function nameOnly(worker) {
  const address = /^([a-zA-Z0-9]{26,90})[._]/.exec(worker);
  return workerName(worker, address ? address[1] : worker);
}
