// The element builder. Everything on the page is made here, and it knows only text nodes, attributes and
// listeners: there is no way to hand it markup, so what a visitor typed can only ever be text.

const SVG = "http://www.w3.org/2000/svg";

/// `el("p.note", { title: "…" }, "text", child)`. The second argument is always the properties (or null), so
/// that a value which came over the wire can never be taken for them.
export function el(name, properties, ...children) {
  const [tag, ...classes] = name.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  if (properties) set(node, properties);
  append(node, children);
  return node;
}

/// `on` takes listeners, `css` takes style properties (through CSSOM: style attributes are off by policy),
/// `data` takes data attributes; the rest are attributes, where true is "present" and false, null are "absent".
export function set(node, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "css") for (const [property, text] of Object.entries(value)) node.style.setProperty(property, text);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  return node;
}

export function append(node, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(node, child);
    else if (child instanceof Node) node.append(child);
    else node.append(document.createTextNode(words(child)));
  }
}

export function replace(node, ...children) {
  const fragment = document.createDocumentFragment();
  append(fragment, children);
  node.replaceChildren(fragment);
  return node;
}

/// Any value of the wire as text; an object where a string was due shows as JSON instead of failing.
export function words(value) {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const SHAPES = {
  up: "M7 21V11l4-8c2 0 3 1 3 3l-.6 4H19a2 2 0 0 1 2 2.3l-1.2 7A2 2 0 0 1 17.8 21H3V11h4",
  down: "M17 3v10l-4 8c-2 0-3-1-3-3l.6-4H5a2 2 0 0 1-2-2.3l1.2-7A2 2 0 0 1 6.2 3H21v10h-4",
  link: "M10 14a4 4 0 0 0 6 0l4-4a4.2 4.2 0 0 0-6-6l-1.5 1.5M14 10a4 4 0 0 0-6 0l-4 4a4.2 4.2 0 0 0 6 6l1.5-1.5",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  back: "M19 12H5M11 6l-6 6 6 6",
  panel: "M3 5h18v14H3zM15 5v14",
  search: "M17 10.5a6.5 6.5 0 1 1-13 0 6.5 6.5 0 0 1 13 0M15.5 15.5 21 21",
  warning: "M12 4 2.5 20h19zM12 10v4.5M12 17.5v.1",
  close: "M6 6l12 12M18 6 6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  download: "M12 4v11M7 11l5 5 5-5M4 20h16",
  plus: "M12 5v14M5 12h14",
  menu: "M4 6h16M4 12h16M4 18h16",
  person: "M16 8a4 4 0 1 1-8 0 4 4 0 0 1 8 0M4 21c.6-4 3.8-6 8-6s7.4 2 8 6",
  key: "M15 7a4 4 0 1 1-3.5 6L4 20.5V17l5.2-5.2A4 4 0 0 1 15 7",
  save: "M6 4h12v16l-6-4-6 4z",
  live: "M12 12v.1M8 16a6 6 0 0 1 0-8M16 8a6 6 0 0 1 0 8M5 19a10 10 0 0 1 0-14M19 5a10 10 0 0 1 0 14",
  chat: "M5 4h14a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2h-7l-5 4v-4H5a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2z",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name] ?? "");
  svg.append(path);
  return svg;
}

/// Read by a screen reader, not shown.
export function spoken(...children) {
  return el("span.spoken", null, ...children);
}
