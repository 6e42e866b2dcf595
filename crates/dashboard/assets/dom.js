// The few things that the page does to the document. Text from outside becomes text nodes, never
// markup; the content security policy has the browser refuse anything else.

export const byId = (id) => document.getElementById(id);

/** Makes an element: `make("p", { class: "quiet" }, "text", child)`. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Sets text only where it changed, so that a selection survives an update. */
export function setText(element, text, title) {
  if (element.textContent !== text) element.textContent = text;
  setAttribute(element, "title", title);
}

/** Sets an attribute, or removes it when the value is null, undefined or false. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** A pair of a definition list. `value` is text or a node. */
export function fact(name, value, title) {
  const definition = make("dd", { title });
  definition.append(value);
  return [make("dt", {}, name), definition];
}

/** What each fact was when it was made: the times in it have moved on since. */
const made = new WeakMap();

/** Replaces those facts of a list that changed, so that a selection in the others survives. */
export function setFacts(list, pairs) {
  const next = pairs.flat();
  for (const element of next) made.set(element, element.outerHTML);
  if (list.children.length !== next.length) list.replaceChildren(...next);
  else next.forEach((element, i) => made.get(list.children[i]) !== made.get(element) && list.children[i].replaceWith(element));
}

/** A button that copies what `text()` gives at that moment. */
export function copyButton(label, text) {
  const button = make("button", { type: "button", class: "copy-button" });
  const say = (word) => {
    button.textContent = word;
    button.setAttribute("aria-label", `${word} ${label}`);
  };
  let timer = 0;
  say("Copy");
  button.addEventListener("click", async () => {
    clearTimeout(timer);
    say((await copy(text())) ? "Copied" : "Not copied");
    timer = setTimeout(say, 1600, "Copy");
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers offer the clipboard to https and localhost only; a pool at home is neither.
    const focused = document.activeElement;
    const area = make("textarea", { readonly: "", class: "to-copy" });
    area.value = text;
    document.body.append(area);
    area.focus({ preventScroll: true });
    area.setSelectionRange(0, text.length);
    const copied = document.execCommand("copy");
    area.remove();
    focused?.focus({ preventScroll: true });
    return copied;
  }
}
