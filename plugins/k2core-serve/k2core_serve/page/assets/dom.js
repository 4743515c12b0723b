// Building elements, putting in what the server has laid out, and telling screen readers what is new.

/** An element: h("p", {class: "hint", onclick: f}, "text", child, …). Text is always text, never markup. */
export function h(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const words = (text) => new Set(text.split(" "));
const HTML = words("p br em strong code pre ol ul li blockquote hr table thead tbody tr th td b span");
const MATH = words("math mrow mi mn mo mtext mspace msup msub msubsup mfrac msqrt mroot mover munder munderover mtable mtr mtd mstyle"
  + " mpadded mphantom mmultiscripts mprescripts none merror");
const ATTRIBUTES = words("class start tabindex display columnalign form mathvariant stretchy fence accent displaystyle movablelimits"
  + " separator symmetric width lspace rspace linethickness minsize maxsize scriptlevel");
const MATHML = "http://www.w3.org/1998/Math/MathML";

/** What the server has laid out, copied element by element: what is not on the lists above becomes its text. */
export function laidOut(html) {
  const made = document.createDocumentFragment();
  if (html) copy(new DOMParser().parseFromString(html, "text/html").body, made);
  return made;
}

function copy(from, into) {
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) into.append(node.data);
    if (node.nodeType !== Node.ELEMENT_NODE) continue;
    const made = alike(node);
    copy(node, made || into);
    if (made) into.append(made);
  }
}

function alike(node) {
  const maths = node.namespaceURI === MATHML;
  if (!(maths ? MATH : HTML).has(node.localName)) return null;
  const made = document.createElementNS(node.namespaceURI, node.localName);
  for (const { name, value } of node.attributes) if (ATTRIBUTES.has(name)) made.setAttribute(name, value);
  return made;
}

/** Replaces what is in `node`. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

let waiting = [];
/** Tells screen readers; what comes in the same second is told together. */
export function announce(text) {
  if (!waiting.length) {
    setTimeout(() => {
      document.getElementById("news").textContent = waiting.join(" ");
      waiting = [];
    }, 700);
  }
  waiting.push(text);
}

let count = 0;
/** An id that no other element has. */
export const fresh = (name) => `${name}-${++count}`;
