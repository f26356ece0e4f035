// One conversation, in the order things happened: messages, events between them, the runs behind each message,
// and beside it what is known about the person and what reviewers said. It follows along while the conversation
// goes on. How an item looks is in message.js, what reviewers can do in judge.js, the replay in play.js.

import { reader } from "./api.js";
import { keepOpen, messageWords } from "./content.js";
import { el, icon, replace, words } from "./dom.js";
import english from "./en-conversation.js";
import { judging } from "./judge.js";
import { live } from "./live.js";
import { act, brokenItem, glyph, itemElement, list } from "./message.js";
import { avatar, copy, empty, failure, moment, notice, waiting } from "./parts.js";
import { absolute, format } from "./route.js";
import { gap, instant, userName } from "./text.js";
import { holdsRun, revealRun } from "./trace.js";
import { register, t, tn } from "./words.js";

register(english);
import("./tip.js").catch((error) => console.error(error)); // nothing waits for it
/// The looks of what stands beside a conversation, with the first that is opened.
let hasLooks = false;
function loadLooks() {
  if (hasLooks) return;
  hasLooks = true;
  document.head.append(el("link", { rel: "stylesheet", href: new URL("panels.css", import.meta.url).href }));
}

const FIRST = 100; // items asked for and painted before anything else
const PAGE = 500; // items a further request, the most the gateway gives
const CHUNK = 100; // items made in one go while the browser is idle
const ENOUGH = 5000; // items loaded unasked; the rest waits behind a button
const REFRESH = 250; // milliseconds a burst of changes is collected
const FEW_PAGES = 4; // up to this many, a change looks at all of them: it may be anywhere
const LONGEST_ANSWER = 60 * 60_000; // past an hour an answer answers something else
const RENDER = { render: "markdown" };

export function conversation({ go, router }) {
  let route = null, api = null, thread = null, looseRuns = [], loading = null, stopLive = null;
  let pages = []; // { cursor, limit, items, next }
  let aside = null, asideComing = null; // what stands beside the conversation, once loaded
  let filling = null, wanted = null, refreshTimer = 0, refreshing = false, refreshAgain = false;
  let patches = 0; // how often something was shown before the gateway said it
  let current = null; // id of the message the keyboard is on
  let talkOnly = false, raw = false, version = 0, player = null, starting = false;
  const nodes = new Map(); // key of an item → { element, item, around, signature }
  const home = new Map(); // id of a message → key of the item it is shown in
  const chosen = new Map(); // id of a first try → which of its tries is shown
  const rawOf = new Map(); // id → shown raw or not, where that differs from the page
  const wholes = new Map(); // id → nodes of what was rendered on demand

  const log = el("div.log", { role: "log", "aria-live": "off", "aria-label": t("thread.log") });
  const head = el("header.thread-head");
  const foot = el("div.thread-foot");
  const stage = el("div.stage"); // where the replay puts its controls
  const news = el("button.news", { type: "button", hidden: true, on: { click: () => { scroll.scrollTo({ top: scroll.scrollHeight }); news.hidden = true; } } });
  const scroll = el("div.scroll", { tabindex: "0", role: "group", "aria-label": t("thread.messages") }, el("div.column", null, log, foot));
  const element = el("section.pane.conversation", { "aria-label": t("thread.conversation"), tabindex: "-1" }, head, scroll, news, stage);
  const details = el("aside.pane.details", { "aria-label": t("thread.details") });
  scroll.addEventListener("scroll", () => { if (!news.hidden && atEnd()) news.hidden = true; }, { passive: true });
  log.addEventListener("focusin", (event) => { const article = event.target.closest("article.message"); if (article) select(article); });
  log.addEventListener("click", (event) => { const article = event.target.closest("article.message"); if (article) select(article); }); // a tap doesn't focus everywhere
  log.addEventListener("keydown", onLogKey);

  const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60; // a line of slack
  const judge = judging({ router, host: { api: () => api, thread: () => thread, reload: () => refreshSoon(0), patch, redraw } });
  const host = {
    judge,
    linkTo: (id) => format({ project: route.project, thread: route.thread, message: id }),
    runLink: (id) => absolute(format({ project: route.project, thread: route.thread, run: id })),
    isRaw: (id) => rawOf.get(id) ?? raw,
    toggleRaw: (id) => { rawOf.set(id, !host.isRaw(id)); redraw(id); },
    choose: (first, index) => { chosen.set(first, index); redraw(first); },
    whole: async (id) => {
      const { message } = await api.message(id, { ...RENDER, whole: true }, loading?.signal);
      if (message?.nodes) wholes.set(id, message.nodes);
      return message;
    },
  };

  /// Called with every change of the address.
  function show(next) {
    const before = route;
    route = next;
    if (!next.thread) { rest(); welcome(); return; }
    if (!before || before.project !== next.project || before.thread !== next.thread) { api = reader(next.project); open(); return; }
    if (before.play && !next.play) player?.stop();
    if (next.message && next.message !== before.message) find(next.message);
    else if (!next.message) unmark();
    if (next.run && next.run !== before.run) findRun(next.run);
    if (next.play && thread && (!before.play || before.time !== next.time)) play(next.time ?? 0);
  }

  function rest() {
    loading?.abort();
    player?.stop();
    player = null;
    stopLive?.();
    stopLive = filling = wanted = thread = current = null;
    clearTimeout(refreshTimer);
    pages = [];
    for (const each of [nodes, home, chosen, rawOf, wholes]) each.clear();
    judge.reset();
    news.hidden = true;
    delete head.dataset.drawn;
    aside?.reset();
    log.setAttribute("aria-live", "off");
    replace(head); replace(log); replace(foot); replace(details);
  }

  function hide() { rest(); route = null; }

  function welcome() {
    const key = (name) => el("kbd", null, name);
    replace(log, empty(t("thread.choose"),
      el("p.key-hints", null, tn("thread.hints", { move: [key("j"), " ", key("k")], open: key("Enter"), search: key("/"), all: key("?") }))));
  }

  async function open() {
    loadLooks();
    rest();
    const mine = loading = new AbortController();
    replace(head, backButton());
    replace(log, waiting());
    import("./details.js").catch(() => {}); // on its way while the gateway answers
    try {
      const page = await api.thread(route.thread, { limit: FIRST, ...RENDER }, mine.signal);
      if (mine.signal.aborted) return;
      replace(log);
      pages = [{ cursor: null, limit: FIRST, items: list(page.items), next: page.next }];
      take(page);
      draw();
      scroll.scrollTop = 0;
      follow();
      const { project } = route;
      stopLive = live(project, {
        onChange: (changes) => { if (changes.some((change) => !change.thread || change.thread === thread?.id || change.thread === route?.thread)) refreshSoon(REFRESH); },
        onReset: () => refreshSoon(REFRESH),
        onPoll: () => refreshSoon(0),
      });
      if (route.message) find(route.message);
      if (route.run) findRun(route.run);
      if (page.next) filling = fill(mine);
      if (route.play) play(route.time ?? 0);
      markSeen();
    } catch (error) {
      if (error.name === "AbortError" || router.refused(error)) return;
      replace(log, error.status === 404
        ? empty(t("thread.missing"), el("p", null, error.message), el("a.button", { href: format({ ...route, thread: null, message: null }) }, t("thread.all")))
        : failure(error, open));
    }
  }

  /// Nothing depends on it, and an older gateway doesn't know it.
  function markSeen() {
    if (thread?.seen === undefined) return;
    api.seen?.(route.thread).then(() => router.changed?.(route?.thread), () => {});
  }

  function take(page) {
    if (page.thread && typeof page.thread === "object") thread = page.thread;
    if (Array.isArray(page.runs)) looseRuns = page.runs;
    drawHead();
    drawDetails();
  }

  function follow() {
    log.setAttribute("aria-live", thread?.status === "active" && !player ? "polite" : "off");
  }

  // The rest of a long conversation, while the browser has nothing better to do.

  const idle = () => new Promise((done) => typeof requestIdleCallback === "function" ? requestIdleCallback(done, { timeout: 200 }) : setTimeout(done, 16));

  async function fill(mine) {
    try {
      while (pages.at(-1)?.next && !mine.signal.aborted) {
        if (count() >= ENOUGH && !wanted) break;
        await more(mine);
      }
      if (mine.signal.aborted) return;
      if (wanted) await lookElsewhere();
    } catch (error) {
      if (mine.signal.aborted || error.name === "AbortError" || router.refused(error)) return;
      replace(foot, failure(error, fillAgain));
      return;
    } finally { if (loading === mine) filling = null; }
    drawFoot();
    player?.refresh();
    if (refreshAgain) refreshSoon(REFRESH);
  }

  function fillAgain() { replace(foot); filling ??= fill(loading); }

  async function more(mine) {
    const { next } = pages.at(-1);
    const answer = await api.thread(route.thread, { limit: PAGE, cursor: next, ...RENDER }, mine.signal);
    const page = { cursor: next, limit: PAGE, items: [], next: answer.next };
    const items = list(answer.items);
    pages.push(page);
    for (let at = 0; at < items.length; at += CHUNK) {
      await idle();
      if (mine.signal.aborted) return;
      page.items = items.slice(0, at + CHUNK);
      draw();
    }
  }

  const count = () => pages.reduce((sum, page) => sum + page.items.length, 0);

  // What has changed since

  function refreshSoon(wait) {
    clearTimeout(refreshTimer);
    refreshTimer = setTimeout(refresh, wait);
  }

  async function refresh() {
    if (!thread || pages.length === 0) return;
    if (refreshing || filling) { refreshAgain = true; return; }
    refreshing = true;
    refreshAgain = false;
    const asked = route.thread, mine = loading;
    try {
      const known = new Set(nodes.keys());
      for (const [index, page] of pages.entries()) {
        if (pages.length > FEW_PAGES && index < pages.length - 1 && index > 0 && !inView(page)) continue;
        const before = patches;
        const answer = await api.thread(asked, { limit: page.limit, cursor: page.cursor, ...RENDER }, mine?.signal);
        if (mine?.signal.aborted || pages[index] !== page) return;
        if (before !== patches) { refreshAgain = true; return; } // asked before what was shown since: it would take that back
        renew(index, answer);
        if (index === 0) take(answer);
      }
      if (pages.length > 1 && pages.at(-1).next === null) take({ thread: null });
      const wasAtEnd = atEnd();
      draw();
      follow();
      const added = [...nodes.keys()].filter((key) => !known.has(key)).length;
      if (pages.at(-1).next) { filling ??= fill(mine); return; }
      if (added === 0) return;
      markSeen();
      if (player) return;
      if (wasAtEnd) scroll.scrollTo({ top: scroll.scrollHeight });
      else { news.textContent = t("n.newBelow", { n: added }); news.hidden = false; }
    } catch (error) {
      if (error.name !== "AbortError") router.refused(error); // unreachable for a moment: the next look will tell
    } finally {
      refreshing = false;
      if (refreshAgain && !filling) refreshSoon(REFRESH);
    }
  }

  /// A page read again. What a late arrival pushed over its end belongs to the next one.
  function renew(index, answer) {
    const page = pages[index], following = pages[index + 1];
    const items = list(answer.items), fresh = new Set(items.map(keyOf)), last = instant(items.at(-1)?.at) ?? 0;
    if (following) {
      const pushed = page.items.filter((item) => !fresh.has(keyOf(item)) && (instant(item.at) ?? 0) >= last);
      following.items = [...pushed, ...following.items];
    } else page.next = answer.next;
    page.items = items;
  }

  function inView(page) {
    const place = scroll.getBoundingClientRect();
    const first = nodes.get(keyOf(page.items[0] ?? {}))?.element, last = nodes.get(keyOf(page.items.at(-1) ?? {}))?.element;
    return Boolean(first && last && first.getBoundingClientRect().top < place.bottom && last.getBoundingClientRect().bottom > place.top);
  }

  /// Changes what is known of a message here, before the gateway says it.
  function patch(id, change) {
    patches += 1;
    for (const page of pages) page.items = page.items.map((item) => item.type === "message" && item.id === id ? { ...item, ...change } : item);
    draw();
  }

  function redraw(id) {
    const node = nodes.get(home.get(id) ?? `message:${id}`);
    if (node) node.signature = null;
    draw();
  }

  // Drawing

  function draw() {
    const items = [], seen = new Set(), messages = new Map();
    for (const page of pages) {
      for (const item of page.items) {
        const key = keyOf(item);
        if (seen.has(key)) continue;
        seen.add(key);
        items.push(item);
        if (item.type === "message") messages.set(item.id, item);
      }
    }
    const tries = retries(messages);
    let place = log.firstChild, previous = null, question = null, before = null;
    const kept = new Set();
    home.clear();
    for (const first of items) {
      let item = first, group = null;
      if (item.type === "message") {
        if (tries.later.has(item.id)) continue; // shown where the first try is
        const all = tries.all.get(item.id);
        if (all) {
          const index = Math.min(chosen.get(item.id) ?? all.length - 1, all.length - 1);
          item = all[index];
          group = { all, index };
        }
      }
      const key = keyOf(first);
      kept.add(key);
      if (item.type === "message") for (const each of group?.all ?? [item]) home.set(each.id, key);
      const asked = item.role === "assistant" ? messages.get(item.replyTo) ?? question : null;
      const after = asked ? (instant(item.at) ?? NaN) - (instant(asked.at) ?? NaN) : NaN;
      const latency = after >= 0 && after <= LONGEST_ANSWER ? after : null;
      const signature = `${version}|${item.id}|${previous?.id}|${previous?.at}|${before}|${latency}|${group ? group.all.map((each) => each.id).join() + group.index : ""}`;
      let node = nodes.get(key);
      // The gateway's answer is a new object each time; only where it differs is it compared letter by letter.
      if (!node || node.signature !== signature || (node.item !== item && JSON.stringify(node.item) !== JSON.stringify(item))) {
        const around = { previous, before, question: asked, latency, group, messages };
        const held = node?.element.contains(document.activeElement) ? document.activeElement : null; // before its board moves
        const made = safely(wholes.has(item.id) ? { ...item, nodes: wholes.get(item.id), unrendered: null } : item, around);
        if (node && node.element === place) place = place.nextSibling;
        const old = node;
        node = { element: made, item, group, latency, signature };
        nodes.set(key, node);
        quieten(made);
        if (old) exchange(old.element, made, held);
      } else Object.assign(node, { item, group });
      if (node.element === place) place = place.nextSibling;
      else if (!node.element.isConnected || node.element.nextSibling !== place) log.insertBefore(node.element, place);
      previous = first;
      if (item.type === "message") before = item.id;
      if (item.role === "user") question = item;
    }
    for (const [key, node] of nodes) if (!kept.has(key)) { node.element.remove(); nodes.delete(key); }
    if (route.message) mark(route.message);
    rove();
    reachWanted();
    player?.refresh();
    drawFoot();
  }

  /// Messages that say another again: by the id of the first, in the order of their time.
  function retries(messages) {
    const all = new Map(), later = new Set();
    for (const item of messages.values()) {
      if (!item.retryOf) continue;
      let first = item;
      const passed = new Set();
      while (first.retryOf && messages.has(first.retryOf) && !passed.has(first.id)) { passed.add(first.id); first = messages.get(first.retryOf); }
      if (first === item || first.role !== item.role || passed.has(first.id)) continue;
      if (!all.has(first.id)) all.set(first.id, [first]);
      all.get(first.id).push(item);
      later.add(item.id);
    }
    for (const group of all.values()) group.sort((a, b) => (instant(a.at) ?? 0) - (instant(b.at) ?? 0) || (a.retryOf ? 1 : 0) - (b.retryOf ? 1 : 0));
    return { all, later };
  }

  /// One bad item must not take the conversation with it.
  function safely(item, around) {
    try { return itemElement(item, around, host); } catch (error) {
      console.error(error);
      return brokenItem(item);
    }
  }

  /// A redrawn item takes the place of the old one, with its open folds and the focus.
  function exchange(before, after, active) {
    keepOpen(before, after);
    before.replaceWith(after);
    if (player) after.className += [...before.classList].filter((name) => name.startsWith("play-")).map((name) => ` ${name}`).join("");
    if (!active) return;
    const article = after.querySelector("article.message");
    if (article) select(article);
    // A board is the same element in its new place; anything else is known by its act.
    const heir = after.contains(active) ? active : active.dataset.act ? after.querySelector(`[data-act="${CSS.escape(active.dataset.act)}"]`) : null;
    (heir ?? article)?.focus({ preventScroll: true });
  }

  function drawFoot() {
    if (foot.querySelector(".failure")) return;
    if (filling) { if (!foot.querySelector(".waiting")) replace(foot, waiting(t("thread.loadingMore"))); }
    else if (pages.at(-1)?.next) replace(foot, el("button.load-more", { type: "button", on: { click: async (event) => {
      event.target.disabled = true;
      try { await more(loading); } catch (error) { if (error.name !== "AbortError" && !router.refused(error)) replace(foot, failure(error, fillAgain)); return; }
      drawFoot();
    } } }, t("thread.more")));
    else if (thread && nodes.size === 0) replace(foot, empty(t("thread.empty"), el("p", null, t("thread.emptyWhy"))));
    else replace(foot);
  }

  // The keyboard's place. One message is a stop of the Tab key; its controls are stops while it is the one.

  function quieten(item) {
    if (!item.matches("article") && !item.querySelector("article")) return; // an event is no stop, what is in it is
    for (const node of item.querySelectorAll("a[href], button, summary, [tabindex='0']")) { node.tabIndex = -1; node.dataset.quiet = ""; }
  }

  function select(article) {
    const id = article.dataset.message;
    if (current === id && article.tabIndex === 0) return;
    const before = current === null ? null : articleOf(current);
    if (before && before !== article) { before.tabIndex = -1; before.classList.remove("current"); quieten(before); }
    current = id;
    wake(article);
  }

  function wake(article) {
    article.tabIndex = 0;
    article.classList.add("current");
    for (const node of article.querySelectorAll("[data-quiet]")) node.tabIndex = 0;
  }

  function rove() {
    const article = current === null ? null : articleOf(current);
    if (article) { if (article.tabIndex !== 0) wake(article); return; }
    if (log.querySelector("article[tabindex='0']")) return;
    const first = log.querySelector("article.message");
    if (first) first.tabIndex = 0;
  }

  function step(by) {
    const from = current === null ? null : articleOf(current);
    let target = null;
    if (!from || !from.checkVisibility?.()) {
      const box = scroll.getBoundingClientRect();
      target = [...log.querySelectorAll("article.message")].find((each) => each.checkVisibility() && each.getBoundingClientRect().bottom > box.top + 8);
    } else {
      let item = from.closest(".item");
      do { item = by > 0 ? item.nextElementSibling : item.previousElementSibling; target = item?.querySelector("article.message"); } while (item && !(target?.checkVisibility?.() ?? target));
    }
    if (!target) return;
    select(target);
    target.focus({ preventScroll: true });
    target.scrollIntoView({ block: "nearest" });
    if (target.getBoundingClientRect().height > scroll.clientHeight) target.scrollIntoView({ block: by > 0 ? "start" : "end" });
  }

  function onLogKey(press) {
    if (press.defaultPrevented || press.ctrlKey || press.metaKey || press.altKey || !press.target.matches("article.message")) return;
    if (press.key !== "ArrowDown" && press.key !== "ArrowUp") return;
    const box = scroll.getBoundingClientRect(), at = press.target.getBoundingClientRect();
    // A message taller than the pane is read to its end first.
    if (press.key === "ArrowDown" ? at.bottom > box.bottom + 4 : at.top < box.top - 4) return;
    press.preventDefault();
    step(press.key === "ArrowDown" ? 1 : -1);
  }

  function selected() {
    const item = current === null ? null : nodes.get(home.get(current))?.item;
    if (!item) notice(t("thread.selectFirst"));
    return item ?? null;
  }

  // The link to one message, or to one run.

  function find(id) {
    wanted = { message: id };
    reachWanted();
    if (wanted && !filling) { if (pages.at(-1)?.next) filling = fill(loading); else lookElsewhere(); }
  }

  function findRun(id) {
    wanted = { run: id };
    reachWanted();
    if (wanted && !filling && pages.at(-1)?.next) filling = fill(loading);
  }

  function reachWanted() {
    if (!wanted) return;
    if (wanted.message) {
      const key = home.get(wanted.message) ?? (nodes.has(`event:${wanted.message}`) ? `event:${wanted.message}` : null);
      if (!key) return;
      const id = wanted.message;
      wanted = null;
      const node = nodes.get(key);
      if (node.item.type === "message" && node.item.id !== id) { // another try than the one shown
        const index = node.group?.all.findIndex((each) => each.id === id) ?? -1;
        if (index >= 0) host.choose(node.group.all[0].id, index);
      }
      mark(id, { move: true });
      return;
    }
    const holder = [...nodes.values()].find((node) => node.item.type === "message" && holdsRun(node.item.runs, wanted.run));
    const loose = holder || !aside ? null : looseRuns.find((run) => holdsRun([run], wanted.run));
    if (!holder && !loose) return;
    const id = wanted.run;
    wanted = null;
    if (loose && !router.detailsShown()) router.toggleDetails();
    const box = holder ? holder.element.querySelector(".trace-box") : details.querySelector(`[data-fold="${CSS.escape(`trace:loose:${words(loose.id)}`)}"]`)?.closest(".trace-box");
    revealRun(box, holder ? holder.item.runs : [loose], id).then((row) => {
      if (!row) return;
      for (const marked of element.parentNode?.querySelectorAll(".marked-run") ?? []) marked.classList.remove("marked-run");
      row.classList.add("marked-run");
      bring(row, row.querySelector("summary"));
    }, (error) => console.error(error));
  }

  /// Not in this conversation: a message knows where it is.
  async function lookElsewhere() {
    const id = wanted?.message, asked = route.thread;
    wanted = null;
    if (!id) return;
    try {
      const found = await api.message(id, {}, loading?.signal);
      const place = found?.message?.thread?.id ?? found?.message?.thread;
      if (place && place !== asked && route?.thread === asked) go({ ...route, thread: place, message: id }, { replace: true });
    } catch (error) {
      if (error.name === "AbortError" || router.refused(error)) return;
      notice(error.message);
    }
  }

  function articleOf(id) {
    return nodes.get(home.get(id))?.element.querySelector("article.message") ?? null;
  }

  function unmark() {
    for (const marked of log.querySelectorAll(".marked")) marked.classList.remove("marked");
  }

  function mark(id, { move = false } = {}) {
    unmark();
    const target = articleOf(id) ?? nodes.get(`event:${id}`)?.element.querySelector(".event");
    target?.classList.add("marked");
    if (!target || !move) return;
    target.tabIndex = target.matches("article") ? 0 : -1;
    bring(target, target);
  }

  /// Into the middle, and again while its neighbours get their real height.
  function bring(node, focused, turns = 5) {
    node.scrollIntoView({ block: "center" });
    if (turns === 5) focused?.focus({ preventScroll: true });
    if (turns > 0) requestAnimationFrame(() => requestAnimationFrame(() => { if (node.isConnected) bring(node, focused, turns - 1); }));
  }

  // Views of the whole

  function toggleTalk() {
    talkOnly = !talkOnly;
    log.classList.toggle("talk-only", talkOnly);
    drawHead(true);
    notice(t(talkOnly ? "view.talkOn" : "view.talkOff"));
  }

  function toggleRawAll() {
    raw = !raw;
    rawOf.clear();
    version += 1;
    draw();
    drawHead(true);
    notice(t(raw ? "view.rawOn" : "view.rawOff"));
  }

  // The replay, loaded when first wanted.

  async function play(from = 0) {
    if (player) { player.seek(from); return; }
    if (starting || !thread) return;
    starting = true;
    try {
      const { replay } = await import("./play.js");
      if (!thread) return;
      follow();
      player = replay({
        log, scroll, stage, entries, from, atEnd,
        complete: () => !pages.at(-1)?.next && !filling,
        link: (seconds) => absolute(format({ project: route.project, thread: route.thread, play: true, time: seconds })),
        choose: (first, index) => { if (first && chosen.get(first) !== index) host.choose(first, index); },
        select: (id) => { const article = articleOf(id); if (article) select(article); },
        stopped: () => {
          player = null;
          chosen.clear();
          draw();
          follow();
          drawHead(true);
          if (route?.play) go({ ...route, play: false, time: null }, { replace: true });
          head.querySelector("[data-act=play]")?.focus();
        },
      });
      drawHead(true);
    } catch (error) {
      if (!router.refused(error)) { console.error(error); notice(t("play.cannot")); }
    } finally { starting = false; }
  }

  /// What the replay needs of each item, in the order of time.
  function entries() {
    const all = [];
    const seen = new Set();
    for (const page of pages) {
      for (const item of page.items) {
        if (seen.has(keyOf(item))) continue;
        seen.add(keyOf(item));
        const key = home.get(item.id) ?? keyOf(item), node = nodes.get(item.type === "message" ? key : keyOf(item));
        const at = instant(item.at);
        if (!node || at === null) continue;
        const first = item.type === "message" && key !== keyOf(item) ? key.slice("message:".length) : null;
        const votes = list(item.feedback?.votes);
        all.push({
          id: item.id, at, kind: item.type === "message" ? words(item.role) : "event", isMessage: item.type === "message", latency: node.item === item ? node.latency : null,
          failed: node.element.classList.contains("failing"), down: votes.some((vote) => vote.thumb === "down") || item.feedback?.down > 0, up: votes.some((vote) => vote.thumb === "up") || item.feedback?.up > 0,
          deltas: Array.isArray(item.metadata?.deltas) ? item.metadata.deltas : null, text: item.type === "message" ? messageWords(item) : words(item.name),
          element: () => nodes.get(item.type === "message" ? home.get(item.id) ?? key : keyOf(item))?.element ?? null,
          first, group: first ?? item.id,
        });
      }
    }
    const tries = new Map(); // which try of its group each is
    all.sort((a, b) => a.at - b.at);
    for (const entry of all) { if (!entry.isMessage) continue; entry.index = tries.get(entry.group) ?? 0; tries.set(entry.group, entry.index + 1); }
    return all.map((entry) => ({ ...entry, tries: entry.isMessage ? tries.get(entry.group) : 1 }));
  }

  // The head and the details.

  function backButton() {
    return el("button.quiet.square.back", { type: "button", title: t("thread.back"), "aria-label": t("thread.back"), on: { click: () => go({ ...route, thread: null, message: null, run: null, play: false, time: null }) } }, icon("back"));
  }

  function drawHead(again = false) {
    if (!thread) return;
    const signature = JSON.stringify([thread.id, thread.user, thread.status, thread.messageCount, thread.firstAt, thread.lastAt]);
    if (!again && head.dataset.drawn === signature && head.childElementCount > 1) return;
    head.dataset.drawn = signature;
    const link = absolute(format({ project: route.project, thread: route.thread }));
    const from = instant(thread.firstAt), to = instant(thread.lastAt), total = Number(thread.messageCount) || 0;
    document.title = t("thread.title", { name: userName(thread.user) });
    const active = head.contains(document.activeElement) ? document.activeElement.dataset.act : null;
    const switches = [
      act("play", t("play.start"), () => player ? player.stop() : play(), { pressed: Boolean(player) }),
      act("talk", t("view.talk"), toggleTalk, { pressed: talkOnly }),
      act("raw", t("view.raw"), toggleRawAll, { pressed: raw }),
      router.can?.("review") && act("done", t("done.key"), judge.finished),
      act("link", t("copy.threadLink"), () => copy(link, t("copy.linked")), { drawing: icon("link"), class: "quiet square roomy" }),
    ];
    replace(head, backButton(), avatar(thread.user, thread.status),
      el("div.thread-title", null,
        el("h1", null, el("bdi", null, userName(thread.user))),
        el("p.dim", null, from !== null && to !== null && to - from >= 60_000 ? t("n.messagesOver", { n: total, time: gap(to - from) }) : t("n.messages", { n: total }), ", ", tn("thread.last", { time: moment(thread.lastAt) }))),
      el("span.head-acts", { role: "toolbar", "aria-label": t("thread.tools") }, switches,
        el("button.quiet.square.details-toggle", { type: "button", title: t("thread.detailsKey"), "aria-label": t("thread.details"), "aria-expanded": String(router.detailsShown()), data: { act: "details" }, on: { click: router.toggleDetails } }, icon("panel"))));
    if (active) head.querySelector(`[data-act="${CSS.escape(active)}"]`)?.focus();
  }

  function drawDetails() {
    if (!thread) return;
    if (aside) { aside.draw(thread, looseRuns, route.project); return; }
    asideComing ??= import("./details.js").then(({ detailsPane }) => {
      aside = detailsPane({ details, judge, router, runLink: host.runLink });
      drawDetails();
      reachWanted();
    }).catch((error) => { console.error(error); asideComing = null; });
  }

  // The keys while a conversation is open

  function inDetails(focus) {
    if (!router.detailsShown()) router.toggleDetails();
    requestAnimationFrame(focus);
  }

  function escape() {
    if (player) { player.stop(); return true; }
    if (raw) { toggleRawAll(); return true; }
    return false;
  }

  const judged = (does, run) => ({ does, run: (press) => judge.context.mayJudge() ? run(press) : notice(t("judge.refusedRole")) });
  const score = judged(t("hotkey.score"), (press) => judge.scoreByKey((Number(press?.key) - 1) / 4));
  const playing = (does, run) => ({ does, run: (press) => { if (!player || press?.target?.closest?.("[role=slider], [role=radiogroup]")) return false; run(); return true; } });
  const keys = {
    J: { does: t("hotkey.messages"), run: () => step(1) }, K: { does: t("hotkey.messages"), run: () => step(-1) },
    u: judged(t("hotkey.thumb"), () => { const item = selected(); if (item) judge.vote(item, "up"); }),
    d: judged(t("hotkey.thumb"), () => { const item = selected(); if (item) judge.vote(item, "down"); }),
    1: score, 2: score, 3: score, 4: score, 5: score,
    c: judged(t("hotkey.comment"), () => { const item = current === null ? null : nodes.get(home.get(current))?.item; if (item) judge.comment(item); else inDetails(() => aside?.focusComment()); }),
    t: judged(t("hotkey.tag"), () => inDetails(() => aside?.focusTag())),
    e: judged(t("hotkey.done"), judge.finished),
    p: { does: t("hotkey.play"), run: () => player ? player.stop() : play() },
    " ": { does: t("hotkey.pause"), run: (press) => { if (press?.target?.closest?.("button, a, summary, [role=slider]")) return false; if (player) player.toggle(); else play(); return true; } },
    ArrowLeft: playing(t("hotkey.playStep"), () => player.step(-1)), ArrowRight: playing(t("hotkey.playStep"), () => player.step(1)),
    Home: playing(t("hotkey.playEnds"), () => player.toEnd(-1)), End: playing(t("hotkey.playEnds"), () => player.toEnd(1)),
    v: { does: t("hotkey.talk"), run: toggleTalk },
    r: { does: t("hotkey.raw"), run: toggleRawAll },
    Escape: { does: "", hidden: true, run: escape },
  };

  return { element, details, show, hide, focus: () => element.focus({ preventScroll: true }), keys };
}

function keyOf(item) { return `${item?.type}:${item?.id}`; }
