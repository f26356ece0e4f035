// What people and models said, and what programs passed around: always as text, or as the gateway's node tree.
// `messageContent` is the one place that decides how a message reads.

import { el, words } from "./dom.js";
import { codeBlock, markdown, safeAddress } from "./markdown.js";
import { failure } from "./parts.js";
import { t } from "./words.js";

const CLIP_CHARACTERS = 1500; // past this or CLIP_LINES a message folds behind "Show all"
const CLIP_LINES = 20;
const PAGE_CHARACTERS = 20_000; // the most put on the page before someone asks for the rest
const MOST_LINKS = 200; // in one text; the rest stay words
const MOST_TOKENS = 5000; // named one by one; past them a dot stands for each
const COLOURED = 20_000; // characters of JSON; longer ones stay plain

/// How a message reads. `raw` shows what was sent, letter by letter; `whole` asks the gateway to render what it
/// left out for its length, and answers with the message.
export function messageContent(message, { raw = false, whole = null } = {}) {
  const { content, nodes } = message;
  if (raw) return el("div.raw", null, letters(typeof content === "string" ? content : JSON.stringify(content, null, 2) ?? ""));
  if (typeof content === "string") return content === "" ? absent(t("content.empty")) : spoken(message, content, nodes, whole);
  if (content === null || content === undefined) return absent(t("content.none"));
  if (Array.isArray(content)) {
    if (content.length === 0) return absent(t("content.empty"));
    return el("div.blocks", null, content.map((part, index) => block(part, message, Array.isArray(nodes) ? nodes[index] : null)));
  }
  return block(content, message, null);
}

/// A text of the conversation: marked up where it came as nodes, plain and with its links where not.
function spoken(message, text, nodes, whole) {
  const body = message.role === "assistant" && nodes ? markdown(nodes) : null;
  if (body) return clipped(el("div.md", null, body), text.length, lines(text));
  const plain = prose(text, { links: true });
  if (!message.unrendered || !whole) return plain;
  const note = el("p.unrendered", null, el("span", null, t(message.unrendered === "deep" ? "content.deep" : "content.long")), " ");
  const button = el("button.link", { type: "button", on: { click: async () => {
    button.disabled = true;
    try {
      const fresh = markdown((await whole())?.nodes);
      if (fresh) holder.replaceChildren(el("div.md", null, fresh));
      else note.replaceChildren(t("content.cannot"));
    } catch (error) { button.disabled = false; if (error.name !== "AbortError") note.after(failure(error)); }
  } } }, t("content.anyway"));
  note.append(button);
  const holder = el("div", null, note, plain);
  return holder;
}

/// The same message as plain words, for the clipboard.
export function messageWords(message) {
  const { content } = message;
  if (!Array.isArray(content)) return words(content);
  return content.map((part) => (typeof part?.text === "string" ? part.text : words(part))).join("\n\n");
}

function absent(text) {
  return el("p.absent", null, text);
}

/// One content block. The kinds are those of the common chat APIs; one that isn't known shows as JSON.
function block(part, message, nodes) {
  if (typeof part === "string") return spoken(message, part, nodes);
  if (part === null || typeof part !== "object") return prose(words(part));
  const type = words(part.type);
  if (typeof part.text === "string" && (type === "" || /text/.test(type))) return spoken(message, part.text, nodes);
  if (type === "refusal" && typeof part.refusal === "string") return labelled(t("block.refusal"), prose(part.refusal));
  if (/thinking|reasoning/.test(type)) {
    const text = part.thinking ?? part.reasoning ?? part.text;
    return fold(t("block.reasoning"), () => value(text ?? part));
  }
  if (/image/.test(type)) return image(part);
  if (/tool_use|tool_call|function_call|tool-call/.test(type)) {
    const name = words(part.name ?? part.toolName ?? part.function?.name ?? "tool");
    return labelled(t("block.calls", { name }), value(part.input ?? part.args ?? part.arguments ?? part.function?.arguments ?? part), "call");
  }
  if (/tool_result|tool-result/.test(type)) {
    return labelled(t(part.is_error ? "block.failed" : "block.result"), value(part.content ?? part.result ?? part.output ?? part), part.is_error ? "failed" : "call");
  }
  if (/file|document|audio|video/.test(type)) {
    return labelled(words(part.name ?? part.filename ?? part.title ?? type), fold(t("block.show"), () => json(part)));
  }
  return fold(type || t("block.structured"), () => json(part), { open: sizeIn(part) < 400 }); // short enough to need no click
}

function labelled(label, body, kind = "") {
  return el(`div.block${kind ? `.${kind}` : ""}`, null, el("p.block-label", null, el("bdi", null, label)), body);
}

/// Pictures that came inside the message are shown; one elsewhere is named and never fetched.
function image(part) {
  const source = part.source ?? {};
  const address = words(part.image_url?.url ?? part.image_url ?? part.url ?? source.url ?? part.image ?? "");
  const inline = source.data && source.media_type ? `data:${words(source.media_type)};base64,${words(source.data)}` : address;
  const label = words(part.alt ?? part.name ?? "");
  if (/^data:image\/(png|jpeg|gif|webp|avif)[;,]/.test(inline)) return el("img.picture", { src: inline, alt: label || t("block.picture"), loading: "lazy" });
  return labelled(t("block.notLoaded"), prose(address || t("block.noAddress"), { links: true }));
}

/// Words as they were typed: line breaks and spaces kept, each paragraph in its own direction.
export function prose(text, { links = false } = {}) {
  const body = el("div.prose", { dir: "auto" });
  const fill = (some) => body.replaceChildren(links ? linked(some) : some);
  fill(text.length > PAGE_CHARACTERS ? text.slice(0, PAGE_CHARACTERS) : text);
  return clipped(body, text.length, lines(text), text.length > PAGE_CHARACTERS ? () => fill(text) : null);
}

/// Folds what is long behind a button. What the keyboard reaches inside unfolds it.
function clipped(body, characters, lineCount, rest = null) {
  if (characters <= CLIP_CHARACTERS && lineCount <= CLIP_LINES) return body;
  body.classList.add("clipped");
  const button = el("button.more", { type: "button", "aria-expanded": "false", data: { act: "more" } }, t("content.all", { n: characters }));
  const turn = (open) => {
    body.classList.toggle("clipped", !open);
    if (open && rest) { rest(); rest = null; }
    button.setAttribute("aria-expanded", String(open));
    button.textContent = open ? t("content.less") : t("content.all", { n: characters });
  };
  button.addEventListener("click", () => turn(body.classList.contains("clipped")));
  body.addEventListener("focusin", (event) => { if (event.target.matches(":focus-visible")) turn(true); });
  return el("div.clip", null, body, button);
}

function lines(text) {
  let found = 1;
  for (let at = text.indexOf("\n"); at >= 0 && found <= CLIP_LINES; at = text.indexOf("\n", at + 1)) found += 1;
  return found;
}

/// The text with its web addresses as links. What trails an address in a sentence isn't part of it.
function linked(text) {
  const body = document.createDocumentFragment();
  let at = 0, count = 0;
  for (const found of text.matchAll(/\bhttps?:\/\/[^\s<>"'`\p{C}]{1,2000}/giu)) {
    if ((count += 1) > MOST_LINKS) break;
    let address = found[0].replace(/[.,;:!?*_~]+$/, "");
    while (/[)\]}]$/.test(address) && !balanced(address)) address = address.slice(0, -1);
    const href = safeAddress(address);
    if (!href) continue;
    body.append(text.slice(at, found.index), el("a", { href, rel: "noopener noreferrer nofollow", target: "_blank" }, address));
    at = found.index + address.length;
  }
  body.append(text.slice(at));
  return body;
}

function balanced(address) {
  const close = address.at(-1), open = { ")": "(", "]": "[", "}": "{" }[close];
  return address.split(open).length >= address.split(close).length;
}

// What can't be seen

const UNSEEN = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B-\u200F\u2028-\u202E\u2060-\u206F\u3164\uFE00-\uFE0F\uFEFF\uFFA0\uFFF0-\uFFFB\u{1BCA0}-\u{1BCA3}\u{1D173}-\u{1D17A}\u{E0000}-\u{E0FFF}]/u;
const EVERY_UNSEEN = new RegExp(UNSEEN, "gu");
const NAMED = {
  0x00: "NUL", 0x07: "BEL", 0x08: "BS", 0x0d: "CR", 0x1b: "ESC", 0x7f: "DEL", 0xad: "SHY", 0x61c: "ALM", 0x200b: "ZWSP", 0x200c: "ZWNJ", 0x200d: "ZWJ", 0x200e: "LRM", 0x200f: "RLM", 0x2028: "LS", 0x2029: "PS",
  0x202a: "LRE", 0x202b: "RLE", 0x202c: "PDF", 0x202d: "LRO", 0x202e: "RLO", 0x2060: "WJ", 0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xfe0f: "VS16", 0xfeff: "BOM",
};

/// True where a text holds what the eye misses and the writing doesn't need: joiners inside emoji and inside
/// scripts that join are need, a lone line end of Windows too.
export function hidesSomething(text) {
  if (!UNSEEN.test(text)) return false;
  const needed = text.replace(/\r\n/g, "").replace(/\p{Extended_Pictographic}[\uFE0E\uFE0F]?|[#*0-9]\uFE0F/gu, "\u2620")
    .replace(/(?<=[\u2620\u{1F3FB}-\u{1F3FF}])\u200D(?=[\u2620\u2640\u2642])/gu, "").replace(/(?<=[\u0600-\u109F\u1780-\u17FF])[\u200C\u200D](?=[\u0600-\u109F\u1780-\u17FF]|$|\s)/g, "");
  return UNSEEN.test(needed);
}

/// A text letter by letter: whatever can't be seen stands there by its name, so it can't turn or hide the rest.
export function letters(text) {
  const body = el("div.prose.letters", { dir: "auto" });
  let at = 0, count = 0;
  for (const found of text.matchAll(EVERY_UNSEEN)) {
    const point = found[0].codePointAt(0);
    const code = `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
    const name = NAMED[point] ?? (point > 0xe0020 && point < 0xe007f ? `TAG ${String.fromCharCode(point - 0xe0000)}` : code);
    body.append(text.slice(at, found.index));
    if ((count += 1) <= MOST_TOKENS) body.append(el("span.token", { title: code, dir: "ltr" }, name));
    else body.append("·");
    at = found.index + found[0].length;
  }
  body.append(text.slice(at));
  return body;
}

// What programs passed around

/// A value of any shape: text reads as text, JSON inside a string is unfolded, the rest is JSON.
export function value(any) {
  if (typeof any === "string") {
    if (/^\s*[[{]/.test(any)) {
      try { return json(JSON.parse(any)); } catch { /* only looks like JSON */ }
    }
    return prose(any);
  }
  return json(any);
}

/// JSON, indented, as text. A large one begins with its first part.
export function json(any) {
  const text = JSON.stringify(any, null, 2) ?? "undefined";
  if (text.length <= COLOURED) {
    const pre = codeBlock(text, "json").querySelector("pre");
    pre.className = "json";
    return pre;
  }
  const pre = el("pre.json", { tabindex: "0", dir: "ltr" }, text.slice(0, PAGE_CHARACTERS));
  const button = el("button.more", { type: "button", on: { click: () => { pre.textContent = text; button.remove(); } } }, t("content.all", { n: text.length }));
  return el("div", null, pre, button);
}

/// A fold whose inside is made when it is first opened. `key` lets a redraw keep it open.
export function fold(label, make, { open = false, key = label, hint = null } = {}) {
  const node = el("details.fold", { data: { fold: key } }, el("summary", null, el("bdi", null, label), hint && el("span.dim", null, " ", hint)));
  let made = false;
  const fill = () => {
    if (made || !node.open) return;
    made = true;
    node.append(el("div.fold-body", null, make()));
  };
  node.addEventListener("toggle", fill);
  if (open) { node.open = true; fill(); }
  return node;
}

/// How many characters a value takes as text.
export function sizeIn(any) {
  return (typeof any === "string" ? any : JSON.stringify(any) ?? "").length;
}

/// Name and value pairs, as metadata and user properties are.
export function pairs(object) {
  const entries = Object.entries(object ?? {});
  return el("dl.pairs", null, entries.map(([name, item]) => el("div", null,
    el("dt", null, el("bdi", null, name)),
    el("dd", { dir: "auto" }, item !== null && typeof item === "object" ? json(item) : words(item ?? "null")))));
}

export function filled(object) {
  return object !== null && typeof object === "object" && Object.keys(object).length > 0;
}

/// Folds that were open stay open through a redraw.
export function keepOpen(before, after) {
  const open = [...before.querySelectorAll("details[data-fold]")].filter((node) => node.open).map((node) => node.dataset.fold);
  if (open.length === 0) return;
  // Outer folds first: opening one makes the folds inside it.
  for (const key of open) {
    const node = [...after.querySelectorAll("details[data-fold]")].find((candidate) => candidate.dataset.fold === key);
    if (node && !node.open) { node.open = true; node.dispatchEvent(new Event("toggle")); }
  }
}
