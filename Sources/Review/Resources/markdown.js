// The gateway's node tree as elements. It was parsed there; here an allow-list decides what a node may become,
// and whatever isn't on it becomes its text.

import { el, icon, words } from "./dom.js";
import { copy } from "./parts.js";
import { t } from "./words.js";

const PLAIN = new Set(["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "hr", "pre", "code", "em", "strong", "del", "a", "br", "table", "thead", "tbody", "tr", "th", "td", "input", "span"]);
const OWN_DIRECTION = new Set(["p", "h1", "h2", "h3", "h4", "h5", "h6", "li", "th", "td", "blockquote"]);
const DEEPEST = 100; // the gateway stops there too
const MOST = 30_000; // nodes; past it the plain text is kinder than the wait

class TooMuch extends Error {}

/// A tree as a fragment, or null where it can't be drawn whole: then the caller shows the plain text.
export function markdown(tree) {
  if (!Array.isArray(tree) || tree.length === 0) return null;
  const state = { left: MOST };
  try {
    const body = document.createDocumentFragment();
    const roots = typeof tree[0] === "string" && PLAIN.has(tree[0]) ? [tree] : tree;
    for (const node of roots) body.append(drawn(node, 0, state));
    return body;
  } catch (error) {
    if (!(error instanceof TooMuch)) console.error(error);
    return null;
  }
}

function drawn(node, depth, state) {
  if (depth > DEEPEST || (state.left -= 1) < 0) throw new TooMuch();
  if (!Array.isArray(node)) return document.createTextNode(words(node));
  const [tag, second, ...rest] = node;
  const attributes = second !== null && typeof second === "object" && !Array.isArray(second) ? second : null;
  const children = attributes ? rest : node.slice(1);
  const inside = () => children.map((child) => drawn(child, depth + 1, state));
  switch (tag) {
    case "a": return link(attributes, inside());
    case "pre": return codeBlock(textOf(children), attributes?.lang);
    case "hr": case "br": return el(tag);
    case "input": return document.createTextNode(attributes?.checked ? "☑ " : "☐ ");
    case "ol": return el("ol", { start: Number.isInteger(attributes?.start) ? attributes.start : null }, inside());
    case "li": return el(typeof attributes?.checked === "boolean" ? "li.task" : "li", { dir: "auto" },
      typeof attributes?.checked === "boolean" && el("span.task-mark", { role: "img", "aria-label": t(attributes.checked ? "md.done" : "md.open") }, attributes.checked ? "☑" : "☐"), inside());
    case "table": return el("div.md-table", { tabindex: "0", role: "group", "aria-label": t("md.table") }, el("table", null, inside()));
    case "th": case "td": return el(tag, { dir: "auto", data: /^(left|center|right)$/.test(attributes?.align) ? { align: attributes.align } : {} }, inside());
    case "h1": case "h2": case "h3": case "h4": case "h5": case "h6":
      // A heading of the text is no heading of the page: its level starts below the page's own.
      return el(`div.md-h.${tag}`, { role: "heading", "aria-level": Math.min(6, Number(tag[1]) + 2), dir: "auto" }, inside());
    default: return typeof tag === "string" && PLAIN.has(tag) ? el(tag, OWN_DIRECTION.has(tag) ? { dir: "auto" } : null, inside()) : document.createTextNode(textOf(children));
  }
}

function link(attributes, children) {
  const href = safeAddress(attributes?.href);
  if (!href) return el("span", null, children);
  return el("a", { href, title: href, rel: "noopener noreferrer nofollow", target: "_blank" }, children);
}

/// The address, if a click on it can only ever be a visit or a letter.
export function safeAddress(text) {
  if (typeof text !== "string") return null;
  try {
    const url = new URL(text);
    return /^(https?|mailto):$/.test(url.protocol) ? url.href : null;
  } catch { return null; }
}

/// A block of code, with its language, a button to take it away, and a place to scroll.
export function codeBlock(text, language) {
  const name = words(language).split(/\s/)[0].slice(0, 30);
  return el("div.code", null,
    el("div.code-head", null, el("bdi.code-lang", null, name || t("code.plain")),
      el("button.quiet.code-copy", { type: "button", on: { click: () => copy(text, t("code.copied")) } }, icon("copy"), t("code.copy"))),
    el("pre", { tabindex: "0", dir: "ltr" }, coloured(text.replace(/\n$/, ""), name)));
}

// Colour comes to code when it comes into view; until then, and without it, it is plain.
const waiting = typeof IntersectionObserver === "function" ? new IntersectionObserver(async (seen) => {
  const due = seen.filter((each) => each.isIntersecting).map((each) => each.target);
  for (const node of due) waiting.unobserve(node);
  if (due.length === 0) return;
  const { highlight } = await import("./code.js");
  for (const node of due) highlight(node, node.dataset.lang);
}, { rootMargin: "200px" }) : null; // a little before it is seen

function coloured(text, language) {
  const code = el("code", { dir: "ltr", data: { lang: language } }, text);
  if (language) waiting?.observe(code);
  return code;
}

function textOf(children) {
  let text = "";
  const rest = [...children].reverse();
  while (rest.length > 0) {
    const node = rest.pop();
    if (!Array.isArray(node)) { if (typeof node !== "object") text += words(node); continue; }
    rest.push(...node.slice(typeof node[0] === "string" ? 1 : 0).reverse());
  }
  return text;
}
