// Small pieces that several views share.

import { el, icon, replace, spoken, words } from "./dom.js";
import { absoluteTime, figure, hue, initials, relativeTime, userName } from "./text.js";
import { t } from "./words.js";

/// A moment: relative words that keep up with the clock, the absolute time on hover.
export function moment(at) {
  return el("time", { datetime: words(at), title: absoluteTime(at), data: { relative: "" } }, relativeTime(at));
}

setInterval(() => {
  for (const node of document.querySelectorAll("time[data-relative]")) {
    const text = relativeTime(node.dateTime);
    if (node.textContent !== text) node.textContent = text;
  }
}, 20_000); // finer than the smallest step shown, a minute

export function avatar(user, status) {
  const name = userName(user);
  const node = el("span.avatar", { "aria-hidden": "true" }, user ? initials(name) : icon("chat"));
  if (user) node.style.setProperty("--hue", String(hue(words(user.id) || name)));
  else node.classList.add("nobody");
  if (status) node.append(el(`span.dot.${status === "active" ? "active" : "inactive"}`, null));
  return node;
}

export function votes(feedback) {
  const up = Number(feedback?.up) || 0, down = Number(feedback?.down) || 0;
  if (!up && !down) return null;
  return el("span.votes", null,
    up > 0 && el("span.vote.up", { title: t("votes.up", { n: up }) }, icon("up"), spoken(t("votes.upSpoken")), figure(up)),
    down > 0 && el("span.vote.down", { title: t("votes.down", { n: down }) }, icon("down"), spoken(t("votes.downSpoken")), figure(down)));
}

export function tag(text, href) {
  return href ? el("a.tag", { href, title: t("tag.title") }, el("bdi", null, text)) : el("span.tag", null, el("bdi", null, text));
}

/// What went wrong, in the sentence the gateway gave, with what can be done about it.
export function failure(error, again) {
  return el("div.failure", { role: "alert" },
    icon("warning"),
    el("div", null,
      el("p", null, error.message),
      el("p.failure-steps", null,
        error.code && el("code", null, error.code),
        error.doc && el("a", { href: error.doc, target: "_blank", rel: "noopener" }, t("error.doc")),
        again && el("button.link", { type: "button", on: { click: again } }, t("act.again")))));
}

export function empty(title, ...children) {
  return el("div.empty", null, el("h2", null, title), ...children);
}

export function waiting(text = t("state.loading")) {
  return el("p.waiting", { role: "status" }, el("span.spinner", { "aria-hidden": "true" }), text);
}

/// A line of code to take away.
export function takeaway(text) {
  return el("div.takeaway", null, el("pre", { tabindex: "0" }, el("code", null, text)),
    el("button.quiet", { type: "button", on: { click: () => copy(text, t("state.copied")) } }, icon("copy"), t("act.copy")));
}

let noticeTimer = 0;
const noticeBoard = el("div.notice", { role: "status", "aria-live": "polite" });

export function noticePlace() { return noticeBoard; }

export function notice(text) {
  replace(noticeBoard, el("span", null, text));
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => noticeBoard.replaceChildren(), 4000); // long enough to read one sentence
}

export async function copy(text, said) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Plain HTTP has no clipboard API: select a field and ask the old way.
    const field = el("textarea.offscreen", { value: text, readonly: true, "aria-hidden": "true" });
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (!done) return notice(t("state.copyRefused"));
  }
  notice(said);
}

/// A field with its name above it and, below, what may stand in it.
let fields = 0;
export function field(label, control, hint = null) {
  const id = control.id || `field-${fields += 1}`;
  control.id = id;
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return el("div.field", null, el("label", { for: id }, label), control, hint && el("p.hint", { id: `${id}-hint` }, hint));
}

/// A window in front of the page. It closes with Esc, its cross or `close()`, and leaves nothing behind.
export function dialog(title, ...content) {
  const before = document.activeElement;
  const name = `dialog-${fields += 1}`;
  const node = el("dialog.sheet", { "aria-labelledby": name, on: { click: (press) => press.target === node && node.close(), close: () => { node.remove(); if (before?.isConnected) before.focus(); } } },
    el("div.sheet-body", null,
      el("header", null, el("h2", { id: name }, title), el("button.quiet.square", { type: "button", "aria-label": t("act.close"), on: { click: () => node.close() } }, icon("close"))),
      ...content));
  document.body.append(node);
  node.showModal();
  return node;
}

/// Asks before what can't be taken back. `type` is a text that has to be typed first; `run` does it, and what
/// goes wrong is said in the window. Answers whether it was done.
export function confirm({ title, body = null, act, danger = true, type = null, run = null }) {
  return new Promise((answer) => {
    let done = false;
    const trouble = el("div", { role: "alert" });
    const typed = type === null ? null : el("input", { type: "text", autocomplete: "off", spellcheck: "false", on: { input: () => { go.disabled = typed.value !== type; } } });
    const go = el(`button${danger ? ".danger" : ".primary"}`, { type: "submit", disabled: type !== null }, act);
    const form = el("form.dialog-form", { on: { submit: async (event) => {
      event.preventDefault();
      go.disabled = true;
      replace(trouble);
      try { await run?.(); done = true; pane.close(); } catch (error) { go.disabled = false; replace(trouble, failure(error)); }
    } } },
    body && el("div.dialog-text", null, body),
    typed && field(t("confirm.type", { text: type }), typed),
    trouble,
    el("div.dialog-acts", null, el("button", { type: "button", on: { click: () => pane.close() } }, t("act.cancel")), go));
    const pane = dialog(title, form);
    pane.addEventListener("close", () => answer(done));
    (typed ?? go).focus();
  });
}

/// Runs `work` now and then again after `period` while the page is visible; hidden pages ask nothing.
/// `work` may answer with the milliseconds to wait instead.
export function whileVisible(period, work) {
  let timer = 0, stopped = false, busy = false;
  const plan = (wait) => { clearTimeout(timer); timer = setTimeout(tick, wait); };
  async function tick() {
    if (stopped || busy || document.visibilityState !== "visible") return;
    busy = true;
    const wait = await work().catch(() => null);
    busy = false;
    if (!stopped) plan(typeof wait === "number" ? Math.max(wait, period) : period);
  }
  const seen = () => document.visibilityState === "visible" ? plan(0) : clearTimeout(timer);
  document.addEventListener("visibilitychange", seen);
  plan(period);
  return () => { stopped = true; clearTimeout(timer); document.removeEventListener("visibilitychange", seen); };
}
