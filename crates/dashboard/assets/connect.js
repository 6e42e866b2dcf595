// What to type into a miner, in the words of that miner.

import { byId, copyButton, make, setAttribute, setText } from "./dom.js";

const LOOPBACK = /^(localhost|.*\.localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/i;

/** What the last snapshot said; the fields are made again when it or the visitor's input changes. */
let summary = null;
let key = "";

const field = (name, value, note) => ({ name, value, note });

// Title, the protocol that it needs, and its fields in the device's own names. AxeOS takes a bare
// host: no scheme, no port, no key in it.
const DEVICES = [
  ["Bitaxe (AxeOS), Stratum V2", "sv2", (at) => [
    field("Stratum Protocol", "SV2"),
    field("Stratum Host", at.host),
    field("Stratum Port", at.port),
    field("Channel Type", "Extended"),
    field("Authority Public Key", at.key),
    field("User", at.user),
  ]],
  ["Bitaxe (AxeOS), Stratum V1", "sv1", (at) => [
    field("Stratum Host", at.host),
    field("Stratum Port", at.port),
    field("User", at.user),
    field("Password", at.password),
  ]],
  ["Antminer, Whatsminer, Avalon, NerdMiner", "sv1", (at) => [
    field("Pool URL", `stratum+tcp://${at.urlHost}:${at.port}`),
    field("Worker", at.user),
    field("Password", at.password),
  ]],
  ["Braiins OS, or any Stratum V2 URL", "sv2", (at) => [
    field("Pool URL", `stratum2+tcp://${at.urlHost}:${at.port}/${at.key}`),
    field("User", at.user),
  ]],
  ["SRI translator", "sv2", (at) => [
    field("address", at.host),
    field("port", at.port),
    field("authority_pubkey", at.key),
    field("user_identity", at.user),
  ]],
  ["Any miner, Stratum V1 with TLS", "sv1_tls", (at) => [
    field("Pool URL", `stratum+ssl://${at.urlHost}:${at.port}`),
    field("Worker", at.user),
    field("Password", at.password),
    field("Certificate, SHA-256", at.fingerprint),
  ]],
  ["This computer, with headframe miner", "sv2", (at) => [
    field("Command", at.user && `headframe miner stratum2+tcp://${at.urlHost}:${at.port}/${at.key} --user ${at.user}`),
  ]],
];

export function show(newest) {
  summary = newest;
  place();
  const next = JSON.stringify([summary.connect, summary.payout, summary.demo, summary.state.kind]);
  if (next === key) return;
  key = next;
  const open = summary.connect.listeners.filter((listener) => listener.open);
  byId("connect").hidden = open.length === 0;
  byId("connect-closed").hidden = open.length > 0;
  const setup = summary.state.kind === "setup";
  const released = summary.state.kind === "node_unusable" && summary.state.release_at;
  setText(byId("connect-closed"), released ? "The mining ports are shut until the node is back." : setup ? "What to type into your miner shows here as soon as the pool is set up." : "No mining port is open yet.");
  const offered = DEVICES.filter(([, protocol]) => serving(protocol).length > 0);
  const device = byId("device");
  const chosen = device.value;
  device.replaceChildren(...offered.map(([title]) => make("option", {}, title)));
  if (offered.some(([title]) => title === chosen)) device.value = chosen;
  setAttribute(byId("address"), "placeholder", summary.connect.example_address || "bc1q…");
  showValues();
}

/** Without miners, connecting one is what the page is for; later it is at the end. */
function place() {
  const section = byId("connect-section");
  const last = byId("main").lastElementChild;
  // Not from under the hands of who is filling in the fields.
  if (section.matches(":hover, :focus-within")) return;
  if (summary.miners.connected === 0) {
    if (byId("chart-section").previousElementSibling !== section) byId("chart-section").before(section);
  } else if (last !== section) last.after(section);
}

const NAMES = { sv1: "SV1", sv1_tls: "SV1 with TLS", sv2: "SV2", sv2_plain: "SV2 in clear" };

/** The open ports that a device of this protocol can use. */
function serving(protocol) {
  const serves = ({ open, protocols, authority_key: authority }) => open && protocols.includes(protocol) && (protocol !== "sv2" || authority);
  return summary.connect.listeners.filter(serves);
}

/** The port that the visitor chose among several; the first one as long as none was chosen. */
function choosePort(listeners) {
  const port = byId("port");
  const several = listeners.length > 1;
  byId("port-field").hidden = !several;
  const title = ({ address, port: number, protocols, authority_key: authority }) => {
    const same = listeners.filter((one) => one.port === number).length > 1;
    const place = same ? `${address}:${number}` : String(number);
    const other = authority && authority !== summary.connect.authority_key ? ", another key" : "";
    return `${place}: ${protocols.map((one) => NAMES[one] ?? one).join(", ")}${other}`;
  };
  const titles = several ? listeners.map(title) : [];
  const shown = [...port.options].map((option) => option.text);
  if (JSON.stringify(shown) !== JSON.stringify(titles)) {
    const chosen = port.value;
    port.replaceChildren(...titles.map((text) => make("option", {}, text)));
    if (titles.includes(chosen)) port.value = chosen;
  }
  return listeners[Math.max(0, titles.indexOf(port.value))];
}

function showValues() {
  const device = DEVICES.find(([title]) => title === byId("device").value);
  if (!device) return;
  const [, protocol, fields] = device;
  const listener = choosePort(serving(protocol));
  const [host, note] = hostFor(listener);
  const bare = host.replace(/^\[|\]$/g, "");
  const at = {
    host: bare,
    urlHost: bare.includes(":") ? `[${bare}]` : bare,
    port: String(listener.port),
    key: listener.authority_key ?? "",
    fingerprint: listener.tls_fingerprint ?? "",
    password: listener.has_password ? "the password of this port" : "x",
    user: userName(),
  };
  byId("values").replaceChildren(...fields(at).map(valueRow));
  setText(byId("connect-note"), [note, protocol === "sv1_tls" ? certificateNote(listener) : ""].join(" ").trim());
}

/** What a miner that looks at certificates needs. */
function certificateNote({ tls_self_signed: isOwn }) {
  return isOwn
    ? "The pool has made its certificate itself: have the miner accept it without verification, or give the miner tls-certificate.pem from the pool's data directory."
    : "A miner that verifies it must be given the host name that is in the certificate.";
}

function valueRow({ name, value }) {
  const missing = !value;
  const shown = make("dd", { class: "value", "data-missing": missing ? "" : null }, missing ? "enter your address above" : value);
  const button = copyButton(name, () => value);
  button.disabled = missing;
  return make("div", {}, make("dt", {}, name), shown, make("dd", { class: "copy" }, button));
}

/** The host that this visitor's miners can reach, and why it is that one. */
function hostFor({ loopback_only: loopbackOnly, port }) {
  const { public_host: configured, lan_hosts: lan } = summary.connect;
  const typed = location.hostname;
  // Also where the port is on loopback: a proxy on this computer may stand before it.
  if (configured) return [configured, ""];
  if (loopbackOnly) {
    return ["127.0.0.1", `Only programs on this computer can connect now. To let other miners in, start headframe with --listen 0.0.0.0:${port}.`];
  }
  if (LOOPBACK.test(typed)) {
    return lan.length > 0
      ? [lan[0], others("This computer's address in your network.", lan)]
      : [typed, "This address works on this computer only. On another device, put this computer's network address in its place."];
  }
  // Many small miners cannot resolve .local names.
  if (typed.endsWith(".local") && lan.length > 0) return [lan[0], others("", lan)];
  return [typed, ""];
}

function others(text, [, ...more]) {
  return more.length > 0 ? `${text} It also answers to ${more.join(", ")}.`.trim() : text;
}

/** Nobody is to be paid by mistake: without an address there is nothing to copy, but in a demo. */
function userName() {
  const rig = byId("rig").value.trim().replace(/[^\w-]/g, "") || "rig1";
  const address = byId("address").value.trim();
  if (address) return `${address}.${rig}`;
  if (summary.demo) return `${summary.connect.example_address}.${rig}`;
  return summary.payout.plain_name_address ? rig : "";
}

for (const id of ["device", "port", "address", "rig"]) byId(id).addEventListener("input", showValues);
