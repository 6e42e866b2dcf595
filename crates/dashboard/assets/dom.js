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

/** Replaces the facts of a list if they read differently. */
export function setFacts(list, pairs) {
  const next = make("dl", {}, ...pairs.flat());
  if (list.dataset.key === next.textContent) return;
  list.dataset.key = next.textContent;
  list.replaceChildren(...next.childNodes);
}

/** A button that copies what `text()` gives at that moment. */
export function copyButton(label, text) {
  const button = make("button", { type: "button", "aria-label": `Copy ${label}` }, "Copy");
  button.addEventListener("click", async () => {
    const copied = await copy(text());
    button.textContent = copied ? "Copied" : "Not copied";
    setTimeout(() => (button.textContent = "Copy"), 1600);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers offer the clipboard to https and localhost only; a pool at home is neither.
    const area = make("textarea", { readonly: "", class: "hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}
