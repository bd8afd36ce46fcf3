// Elements from values, and the smallest change from what is shown to what should be.
// Text only ever arrives as text nodes: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

export const h = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

/** Make `element` contain `children`, keeping the nodes (and so focus and selection) that stay the same. */
export function fill(element, ...children) {
  const next = document.createDocumentFragment();
  next.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  morphChildren(element, next);
}

const keyOf = (node) => node?.dataset?.key;
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

function morphChildren(shown, wanted) {
  const keyed = new Map([...shown.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
  let cursor = shown.firstChild;
  for (const next of [...wanted.childNodes]) {
    const match = keyOf(next) ? keyed.get(keyOf(next)) : cursor;
    if (!match || !alike(match, next)) {
      shown.insertBefore(next, cursor);
      continue;
    }
    if (match === cursor) cursor = cursor.nextSibling;
    else shown.insertBefore(match, cursor);
    morph(match, next);
  }
  while (cursor) {
    const after = cursor.nextSibling;
    cursor.remove();
    cursor = after;
  }
}

function morph(shown, wanted) {
  if (shown.nodeType === Node.TEXT_NODE) {
    if (shown.data !== wanted.data) shown.data = wanted.data;
    return;
  }
  for (const { name } of [...shown.attributes]) {
    // Whether a <details> is open belongs to the reader.
    if (name !== "open" && !wanted.hasAttribute(name)) shown.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  morphChildren(shown, wanted);
}
