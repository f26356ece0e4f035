// Small pieces that several views share.

import { el, icon, replace, spoken, words } from "./dom.js";
import { absoluteTime, figure, hue, initials, relativeTime, userName } from "./text.js";

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

export function votes({ up = 0, down = 0 } = {}) {
  if (!up && !down) return null;
  return el("span.votes", null,
    up > 0 && el("span.vote.up", { title: `${up} up` }, icon("up"), spoken("thumbs up: "), figure(up)),
    down > 0 && el("span.vote.down", { title: `${down} down` }, icon("down"), spoken("thumbs down: "), figure(down)));
}

export function tag(text, href) {
  return href ? el("a.tag", { href, title: "Conversations with this tag" }, el("bdi", null, text)) : el("span.tag", null, el("bdi", null, text));
}

/// What went wrong, in the sentence the gateway gave, with what can be done about it.
export function failure(error, again) {
  return el("div.failure", { role: "alert" },
    icon("warning"),
    el("div", null,
      el("p", null, error.message),
      el("p.failure-steps", null,
        error.code && el("code", null, error.code),
        error.doc && el("a", { href: error.doc, target: "_blank", rel: "noopener" }, "What this means"),
        again && el("button.link", { type: "button", on: { click: again } }, "Try again"))));
}

export function empty(title, ...children) {
  return el("div.empty", null, el("h2", null, title), ...children);
}

export function waiting(text = "Loading…") {
  return el("p.waiting", { role: "status" }, el("span.spinner", { "aria-hidden": "true" }), text);
}

/// A line of code to take away.
export function takeaway(text) {
  return el("div.takeaway", null, el("pre", { tabindex: "0" }, el("code", null, text)),
    el("button.quiet", { type: "button", on: { click: () => copy(text, "Copied") } }, icon("copy"), "Copy"));
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
    if (!done) return notice("This browser didn't let the page copy.");
  }
  notice(said);
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
