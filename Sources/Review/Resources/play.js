// The replay: a conversation at the pace it had, from its own times. Everything is already on the page; playing
// hides what hasn't happened yet and shows it when it does. Nothing is asked of the gateway.

import { el, icon, replace } from "./dom.js";
import english from "./en-play.js";
import { act, glyph, roleName } from "./message.js";
import { copy } from "./parts.js";
import { register, t } from "./words.js";

register(english);

const LONGEST_GAP = 3000; // milliseconds a silence plays when silences are cut
const SPEEDS = [1, 2, 4, 16];
const BUCKETS = 400; // ticks the scrubber can hold; more would be a grey bar
const FRAME = 100; // milliseconds a frame may count for, so that a page that slept goes on where it was
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

/// `host`: log, scroll, stage, entries(), atEnd(), complete(), link(seconds), choose(first, index), select(id), stopped(), from (seconds).
export function replay(host) {
  let entries = [], points = [], total = 0, start = 0;
  let now = 0; // milliseconds of playing time
  let shown = 0; // entries that have happened
  let playing = false, speed = 1, cut = true, frame = 0, before = 0, applying = false, over = false;
  let growing = null; // the message whose text is arriving
  let goal = host.from > 0 ? host.from * 1000 : null; // a moment that isn't loaded yet

  const dots = el("div.typing", { hidden: true, role: "img", "aria-label": t("play.typing") }, el("i"), el("i"), el("i"));
  const ticks = el("div.ticks", { "aria-hidden": "true" }), fill = el("div.play-fill"), thumb = el("div.play-thumb");
  const slider = el("div.scrubber", { role: "slider", tabindex: "0", "aria-label": t("play.position"), "aria-valuemin": "0", on: { keydown: onSlider, pointerdown: onPointer, pointermove: onPointer } }, ticks, fill, thumb);
  const toggleButton = act("pause", t("play.pause"), toggle, { key: "toggle" });
  const clock = el("span.play-clock"), said = el("span.spoken", { role: "status" }), note = el("span.dim");
  const speeds = el("fieldset.speeds", null, el("legend.spoken", null, t("play.speed")), SPEEDS.map((each) => el("label", null,
    el("input", { type: "radio", name: "parley-speed", value: each, checked: each === 1, on: { change: () => { speed = each; } } }), el("span", null, t("play.times", { n: each })))));
  const cutBox = el("label.cut", null, el("input", { type: "checkbox", checked: true, on: { change: (event) => { const at = real(now); cut = event.target.checked; measure(); now = played(at); apply(); drawTicks(); } } }), t("play.cut"));
  const calm = el("p.hint.calm", null, t("play.steps"));
  const bar = el("div.player", { role: "group", "aria-label": t("play.bar") }, slider,
    el("div.play-row", null,
      act("previous", t("play.previous"), () => step(-1)), toggleButton, act("next", t("play.next"), () => step(1)), clock, note,
      el("span.play-end", null, speeds, cutBox,
        act("moment", t("play.copy"), () => copy(host.link(Math.round(real(now) / 100) / 10), t("copy.linked")), { drawing: icon("link") }),
        act("close", t("play.close"), stop, { drawing: icon("close") }))), calm, said);

  host.log.after(dots);
  replace(host.stage, bar);
  host.log.setAttribute("aria-live", "off");
  host.log.classList.add("played");
  CALM.addEventListener("change", onCalm);
  onCalm();
  bar.querySelector(CALM.matches ? "[data-act=next]" : "[data-act=toggle]").focus();
  face("play", t("play.go"));
  refresh();
  if (goal === null && now === 0) { host.scroll.scrollTop = 0; if (!CALM.matches) toggle(); }

  // Times

  /// Reads the entries anew: another page has come, or something was redrawn.
  function refresh() {
    if (applying || over) return;
    const at = entries.length > 0 ? real(now) + start : null;
    entries = host.entries().map((entry) => {
      const last = entry.deltas?.at(-1), length = Array.isArray(last) && last[0] > 0 && last[0] < 600_000 ? last[0] : 0;
      // A recorded answer carries the time at which it was whole, as long as that leaves room for its growing.
      const begins = length > 0 && entry.latency !== null && entry.latency >= length ? entry.at - length : entry.at;
      return { ...entry, begins, length };
    }).sort((a, b) => a.begins - b.begins);
    start = entries[0]?.begins ?? 0;
    measure();
    if (at !== null) now = played(Math.max(0, at - start));
    shown = 0;
    for (const entry of entries) entry.element()?.classList.remove("play-hidden", "play-growing");
    for (const entry of entries.slice(count())) if (entry.index === 0 || !entry.isMessage) entry.element()?.classList.add("play-hidden");
    shown = count();
    grow();
    drawTicks();
    draw();
    if (goal === null || (!host.complete() && (entries.at(-1)?.offset ?? 0) < goal)) return;
    moveTo(played(goal));
    if (!CALM.matches && !playing) toggle();
  }

  /// Where real and playing time meet: at each entry, and where a recorded text is whole. Between two such points
  /// time runs evenly, and a silence that is cut runs fast.
  function measure() {
    points = [{ offset: 0, from: 0 }];
    const reach = (offset, most) => { const last = points.at(-1), silence = Math.max(0, offset - last.offset); points.push({ offset, from: last.from + Math.min(silence, most) }); };
    for (const [index, entry] of entries.entries()) {
      entry.offset = entry.begins - start;
      reach(entry.offset, cut ? LONGEST_GAP : Infinity);
      entry.from = points.at(-1).from;
      if (entry.length > 0) reach(Math.min(entry.offset + entry.length, entries[index + 1] ? entries[index + 1].begins - start : Infinity), Infinity);
    }
    total = points.at(-1).from;
  }

  /// The last entry or point at or before a moment, by one of its two times.
  function indexAt(all, value, name) {
    let low = 0, high = all.length;
    while (low < high) { const middle = (low + high) >> 1; if (all[middle][name] <= value) low = middle + 1; else high = middle; }
    return low - 1;
  }

  function count() { return indexAt(entries, now + 0.5, "from") + 1; }

  function convert(value, from, to) {
    const index = indexAt(points, value, from), a = points[index], b = points[index + 1];
    if (!a) return 0;
    if (!b) return a[to] + value - a[from];
    const span = b[from] - a[from];
    return a[to] + (span > 0 ? (value - a[from]) / span * (b[to] - a[to]) : 0);
  }

  function real(value) { return convert(value, "from", "offset"); }
  function played(value) { return convert(value, "offset", "from"); }

  // What shows at a moment

  function apply({ follow = true, move = false } = {}) {
    const wanted = count();
    const end = follow && wanted !== shown ? host.atEnd() : false;
    if (wanted !== shown) {
      applying = true;
      const groups = new Map();
      for (const entry of entries.slice(Math.min(shown, wanted), Math.max(shown, wanted))) {
        if (entry.isMessage && entry.tries > 1) groups.set(entry.group, entry);
        if (entry.isMessage && entry.index > 0) continue;
        entry.element()?.classList.toggle("play-hidden", wanted < shown);
      }
      for (const group of groups.keys()) {
        const last = entries.slice(0, wanted).filter((entry) => entry.isMessage && entry.group === group).length - 1;
        host.choose(group, Math.max(0, last));
      }
      shown = wanted;
      applying = false;
    }
    const moved = grow();
    if (end || (moved && playing && host.atEnd())) host.scroll.scrollTop = host.scroll.scrollHeight;
    if (move) entries[shown - 1]?.element()?.scrollIntoView({ block: "nearest" });
    draw();
  }

  /// The dots before an answer, and the text of one that was recorded as it came. True where something changed.
  function grow() {
    const coming = entries.slice(shown, shown + 5).find((entry) => entry.isMessage);
    const at = real(now) + start;
    const waits = Boolean(coming && coming.kind === "assistant" && coming.latency !== null && at >= coming.at - coming.latency && shown > 0 && !CALM.matches);
    let changed = dots.hidden === waits;
    dots.hidden = !waits;
    const latest = entries.slice(Math.max(0, shown - 5), shown).findLast((entry) => entry.length > 0);
    const arriving = latest && at < latest.begins + latest.length && !CALM.matches ? latest : null;
    if (growing && growing.entry.id !== arriving?.id) { growing.node.remove(); growing.entry.element()?.classList.remove("play-growing"); growing = null; changed = true; }
    if (!arriving) return changed;
    const element = arriving.element();
    if (!growing || !growing.node.isConnected) {
      growing = { entry: arriving, node: el("div.prose.growth", { dir: "auto" }), characters: -1 };
      element?.querySelector(".bubble, .slim")?.append(growing.node);
    }
    element?.classList.add("play-growing");
    let characters = 0;
    for (const step of arriving.deltas) { if (!Array.isArray(step) || step[0] > at - arriving.begins) break; characters = Number(step[1]) || 0; }
    if (characters === growing.characters) return changed;
    growing.characters = characters;
    growing.node.textContent = arriving.text.slice(0, characters);
    return true;
  }

  function draw() {
    const share = total > 0 ? Math.min(1, now / total) * 100 : 0;
    thumb.style.setProperty("left", `${share}%`);
    fill.style.setProperty("width", `${share}%`);
    const text = t("play.at", { now: digits(real(now)), all: digits(entries.length > 0 ? real(total) : 0) });
    const most = String(Math.round(total / 1000)); // cut or not, the clock shows the real time
    if (clock.textContent !== text || slider.getAttribute("aria-valuemax") !== most) {
      clock.textContent = text;
      slider.setAttribute("aria-valuemax", most);
      slider.setAttribute("aria-valuenow", String(Math.round(now / 1000)));
      slider.setAttribute("aria-valuetext", inWords());
    }
    const loading = host.complete() ? "" : t("play.loading");
    if (note.textContent !== loading) note.textContent = loading;
  }

  function inWords() {
    const entry = entries[shown - 1];
    if (!entry) return t("play.empty");
    return t("play.text", { what: entry.isMessage ? roleName(entry.kind) : entry.text, n: shown, all: entries.length, time: digits(real(now)) });
  }

  function drawTicks() {
    const best = new Map();
    for (const entry of entries) {
      const bucket = total > 0 ? Math.round(entry.from / total * BUCKETS) : 0;
      const weight = entry.failed ? 5 : entry.down ? 4 : entry.up ? 3 : entry.isMessage ? 2 : 1;
      if (weight > (best.get(bucket)?.weight ?? 0)) best.set(bucket, { weight, entry });
    }
    replace(ticks, [...best].map(([bucket, { entry }]) => {
      const kind = ["user", "assistant", "event"].includes(entry.kind) ? entry.kind : "other";
      return el(`i.tick.${kind}${entry.failed ? ".failed" : entry.down ? ".down" : entry.up ? ".up" : ""}`, { css: { left: `${bucket / BUCKETS * 100}%` } });
    }));
  }

  // What moves it

  function tick(time) {
    if (!playing) return;
    now = Math.min(total, now + Math.min(FRAME, time - before) * speed);
    before = time;
    apply();
    if (now >= total && host.complete()) { pause(); return; }
    frame = requestAnimationFrame(tick);
  }

  function toggle() {
    if (CALM.matches) { step(1); return; }
    if (playing) { pause(); return; }
    if (now >= total && total > 0 && host.complete()) { now = 0; host.scroll.scrollTop = 0; apply({ follow: false }); }
    goal = null;
    playing = true;
    before = performance.now();
    face("pause", t("play.pause"));
    frame = requestAnimationFrame(tick);
  }

  function pause() {
    playing = false;
    cancelAnimationFrame(frame);
    face("play", t("play.go"));
    said.textContent = `${t("play.paused")}. ${inWords()}`;
  }

  function face(name, label) {
    replace(toggleButton, glyph(name));
    toggleButton.title = label;
    toggleButton.setAttribute("aria-label", label);
  }

  /// To the next or previous message; events between them come along.
  function step(by) {
    let index = shown - 1 + by;
    while (entries[index] && !entries[index].isMessage) index += by;
    if (index < 0) index = 0;
    if (index >= entries.length) { now = total; apply({ move: true }); return; }
    moveTo(entries[index].from + (CALM.matches ? entries[index].length : 0));
    host.select(entries[index].id);
  }

  function toEnd(by) { moveTo(by < 0 ? 0 : total); }

  function moveTo(value) {
    goal = null; // whoever moves it means that moment
    now = Math.max(0, Math.min(total, value));
    apply({ follow: false, move: true });
    said.textContent = inWords();
  }

  function seek(seconds) { moveTo(played(seconds * 1000)); }

  function onSlider(press) {
    const moves = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
    if (press.key === "Home") toEnd(-1);
    else if (press.key === "End") toEnd(1);
    else if (press.key === " ") toggle();
    else if (moves[press.key]) for (let turn = 0; turn < Math.abs(moves[press.key]); turn += 1) step(Math.sign(moves[press.key]));
    else return;
    press.preventDefault();
  }

  function onPointer(event) {
    if (event.type === "pointermove" && !slider.hasPointerCapture(event.pointerId)) return;
    if (event.button > 0) return;
    if (event.type === "pointerdown") slider.setPointerCapture(event.pointerId);
    const box = slider.getBoundingClientRect();
    moveTo(total * Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)));
  }

  function onCalm() {
    calm.hidden = !CALM.matches;
    for (const node of [toggleButton, speeds, cutBox]) node.hidden = CALM.matches;
    if (CALM.matches && playing) pause();
  }

  function stop() {
    if (over) return;
    over = true;
    playing = false;
    cancelAnimationFrame(frame);
    CALM.removeEventListener("change", onCalm);
    growing?.node.remove();
    dots.remove();
    const last = entries[shown - 1];
    for (const entry of entries) entry.element()?.classList.remove("play-hidden", "play-growing");
    host.log.classList.remove("played");
    replace(host.stage);
    host.stopped();
    last?.element()?.scrollIntoView({ block: "nearest" });
  }

  return { stop, toggle, step, toEnd, seek, refresh };
}

/// 0:07, 12:30, 3:04:05
function digits(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000)), two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}
