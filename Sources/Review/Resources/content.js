// What people and models said, and what programs passed around: always as text.
// `messageContent` is the one place that decides how a message reads.

import { el, words } from "./dom.js";
import { count } from "./text.js";

const CLIP_CHARACTERS = 1500; // past this or CLIP_LINES a message folds behind "Show all"
const CLIP_LINES = 20;
const PAGE_CHARACTERS = 20_000; // the most put on the page before someone asks for the rest

export function messageContent(message) {
  const { content } = message;
  if (typeof content === "string") return content === "" ? absent("Empty message") : prose(content);
  if (content === null || content === undefined) return absent("No content");
  if (Array.isArray(content)) {
    if (content.length === 0) return absent("Empty message");
    return el("div.blocks", null, content.map(block));
  }
  return block(content);
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
function block(part) {
  if (typeof part === "string") return prose(part);
  if (part === null || typeof part !== "object") return prose(words(part));
  const type = words(part.type);
  if (typeof part.text === "string" && (type === "" || /text/.test(type))) return prose(part.text);
  if (type === "refusal" && typeof part.refusal === "string") return labelled("Refusal", prose(part.refusal));
  if (/thinking|reasoning/.test(type)) {
    const text = part.thinking ?? part.reasoning ?? part.text;
    return fold("Reasoning", () => value(text ?? part));
  }
  if (/image/.test(type)) return image(part);
  if (/tool_use|tool_call|function_call|tool-call/.test(type)) {
    const name = words(part.name ?? part.toolName ?? part.function?.name ?? "tool");
    return labelled(`Calls ${name}`, value(part.input ?? part.args ?? part.arguments ?? part.function?.arguments ?? part), "call");
  }
  if (/tool_result|tool-result/.test(type)) {
    return labelled(part.is_error ? "Tool failed" : "Tool result", value(part.content ?? part.result ?? part.output ?? part), part.is_error ? "failed" : "call");
  }
  if (/file|document|audio|video/.test(type)) {
    return labelled(words(part.name ?? part.filename ?? part.title ?? type), fold("Show the block", () => json(part)));
  }
  return fold(type || "Structured content", () => json(part), { open: sizeIn(part) < 400 }); // short enough to need no click
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
  if (/^data:image\/(png|jpeg|gif|webp|avif)[;,]/.test(inline)) return el("img.picture", { src: inline, alt: label || "Picture in this message", loading: "lazy" });
  return labelled("Picture, not loaded", prose(address || "No address"));
}

/// Words as they were typed: line breaks and spaces kept, each paragraph in its own direction.
export function prose(text) {
  const body = el("div.prose", { dir: "auto" });
  const long = text.length > CLIP_CHARACTERS || lines(text) > CLIP_LINES;
  body.textContent = text.length > PAGE_CHARACTERS ? text.slice(0, PAGE_CHARACTERS) : text;
  if (!long) return body;
  body.classList.add("clipped");
  const button = el("button.more", { type: "button", "aria-expanded": "false" }, `Show all ${count(text.length, "character")}`);
  button.addEventListener("click", () => {
    const clipped = body.classList.toggle("clipped");
    if (!clipped && body.textContent.length < text.length) body.textContent = text;
    button.setAttribute("aria-expanded", String(!clipped));
    button.textContent = clipped ? `Show all ${count(text.length, "character")}` : "Show less";
  });
  return el("div", null, body, button);
}

function lines(text) {
  let found = 1;
  for (let at = text.indexOf("\n"); at >= 0 && found <= CLIP_LINES; at = text.indexOf("\n", at + 1)) found += 1;
  return found;
}

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
  const pre = el("pre.json", { tabindex: "0", dir: "ltr" });
  if (text.length <= PAGE_CHARACTERS) { pre.textContent = text; return pre; }
  pre.textContent = text.slice(0, PAGE_CHARACTERS);
  const button = el("button.more", { type: "button", on: { click: () => { pre.textContent = text; button.remove(); } } }, `Show all ${count(text.length, "character")}`);
  return el("div", null, pre, button);
}

/// A fold whose inside is made when it is first opened. `key` lets a redraw keep it open.
export function fold(label, make, { open = false, key = label, hint = null } = {}) {
  const node = el("details.fold", { data: { fold: key } }, el("summary", null, label, hint && el("span.dim", null, " ", hint)));
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
