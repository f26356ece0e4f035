// The list of conversations: newest activity first, filtered by the address, paged by cursor.
// It follows the project live, but never moves a row under the reader: while somebody points at it, has focus in it
// or has scrolled it, new order waits behind a button.

import { project, reader } from "./api.js";
import { append, el, icon, replace, spoken, words } from "./dom.js";
import { filterForm } from "./filters.js";
import { live } from "./live.js";
import { avatar, empty, failure, moment, tag, takeaway, votes, waiting } from "./parts.js";
import { format, sameFilters } from "./route.js";
import { figure, shortDayOf, userName } from "./text.js";
import { viewMenu } from "./views.js";
import { has, t } from "./words.js";

const PAGE = 50;
const LOOK = 1000; // at most one look at the first page in this time, however much changes
const RENEWED = 5; // rows beyond the first page that one look asks for anew
const SEEN_PAUSE = 1500; // after something new in the open conversation, until it counts as seen

export function threadList({ go, router }) {
  let route = null, api = null, cursor = null, loading = null, fresh = null, stopLive = null, partial = false;
  let threads = new Map(), order = [];
  let lookTimer = 0, lookedAt = 0, looking = false, changedIDs = new Set(), seenTimer = 0;
  const placed = new Map(); // the last activity each row had when it got its place
  const rows = new Map();

  const filters = filterForm({ change: (set) => narrow({ ...route.filters, ...set }), clear });
  const views = viewMenu({ router });
  const exports = el("div.menu-items");
  const exportMenu = el("details.menu.export", null, el("summary", null, icon("download"), t("export.title")), exports);
  const standing = el("span.standing", { role: "status" });
  const pulse = el("span.pulse");
  const renew = el("button.renew", { type: "button", hidden: true, on: { click: () => applyFresh() } });
  const body = el("ul.rows", { "aria-label": t("nav.threads") });
  const foot = el("div.list-foot");
  const trouble = el("div.list-trouble");
  const scroll = el("div.scroll", { tabindex: "-1" }, trouble, body, foot);
  const element = el("section.pane.list", { "aria-label": t("nav.threads") },
    el("div.list-head", null,
      el("h1.spoken", null, t("nav.threads")),
      el("div.list-tools", null, views.element, exportMenu),
      filters.form, filters.fold, filters.active,
      el("div.list-line", null, pulse, standing, renew)),
    scroll);

  scroll.addEventListener("pointerleave", () => setTimeout(() => { if (fresh && !reading()) applyFresh(false); }, LOOK));

  function narrow(filters) {
    go({ project: route.project, thread: route.thread, filters }, { replace: true });
  }

  function clear() {
    filters.empty();
    narrow({});
  }

  function drawExports() {
    replace(exports, el("p.menu-title", null, t("export.what")), ["jsonl", "csv", "chat"].map((kind) => el("a", { href: api.exportAddress(kind, route.filters), download: `${route.project}${kind === "chat" ? ".chat.jsonl" : `.${kind}`}` }, t(`export.${kind}`),
      el("span.dim", null, t(`export.${kind}Text`)))));
  }

  /// Called with every change of the address.
  function show(next) {
    const before = route;
    route = next;
    const other = !before || before.project !== next.project;
    if (other) {
      stopLive?.();
      api = reader(next.project); threads = new Map(); order = []; rows.clear(); placed.clear(); body.replaceChildren(); router.bare(false);
      stopLive = live(next.project, { onChange: changedLive, onReset: () => look(), onPoll: () => look(), onState: showPulse });
    }
    views.show(next);
    if (other || !sameFilters(before.filters, next.filters)) { filters.show(next, api); filters.suggestions(); drawExports(); load(); }
    markOpen();
    if (next.thread && (other || before.thread !== next.thread)) seen(next.thread);
  }

  function hide() {
    stopLive?.();
    stopLive = null;
    clearTimeout(lookTimer);
    clearTimeout(seenTimer);
    lookTimer = 0;
    loading?.abort();
    route = null;
  }

  async function load() {
    loading?.abort();
    const mine = loading = new AbortController();
    fresh = null;
    renew.hidden = true;
    trouble.replaceChildren();
    if (order.length === 0) replace(foot, waiting());
    body.setAttribute("aria-busy", "true");
    try {
      const page = tidy(await api.threads({ ...route.filters, limit: PAGE }, mine.signal));
      if (mine.signal.aborted) return;
      threads = new Map(page.threads.map((thread) => [thread.id, thread]));
      order = page.threads.map((thread) => thread.id);
      place(page.threads);
      cursor = page.next;
      partial = page.partial;
      draw();
      scroll.scrollTop = 0;
    } catch (error) {
      if (error.name === "AbortError" || router.refused(error)) return;
      threads = new Map(); order = []; cursor = null; partial = false;
      draw();
      router.bare(false);
      replace(foot);
      replace(trouble, failure(error, load));
    } finally {
      if (loading === mine) { body.removeAttribute("aria-busy"); loading = null; }
    }
  }

  async function more() {
    const button = foot.querySelector("button");
    if (button) button.disabled = true;
    const asked = route;
    try {
      const page = tidy(await api.threads({ ...asked.filters, limit: PAGE, cursor }));
      if (!sameList(asked)) return;
      for (const thread of page.threads) {
        if (!threads.has(thread.id)) order.push(thread.id);
        threads.set(thread.id, thread);
      }
      place(page.threads);
      cursor = page.next;
      partial ||= page.partial;
      draw();
    } catch (error) {
      if (!router.refused(error) && sameList(asked)) append(replace(foot), [failure(error, more)]);
    }
  }

  const sameList = (asked) => route !== null && route.project === asked.project && sameFilters(route.filters, asked.filters);

  // Live

  function changedLive(changes) {
    for (const { thread } of changes) if (typeof thread === "string") changedIDs.add(thread);
    if (route?.thread && changedIDs.has(route.thread)) { clearTimeout(seenTimer); seenTimer = setTimeout(() => seen(route?.thread), SEEN_PAUSE); }
    soon();
  }

  function soon() {
    lookTimer ||= setTimeout(() => { lookTimer = 0; look(); }, Math.max(50, lookedAt + LOOK - Date.now()));
  }

  function showPulse(open) {
    pulse.classList.toggle("open", open);
    replace(pulse, spoken(t(open ? "live.open" : "live.polling")));
    pulse.title = t(open ? "live.open" : "live.polling");
  }

  /// The first page again.
  async function look() {
    if (!route) return;
    if (loading || looking) { soon(); return; } // what is on its way may be older than what changed
    looking = true;
    lookedAt = Date.now();
    const asked = route, ids = changedIDs;
    changedIDs = new Set();
    try {
      const page = tidy(await api.threads({ ...asked.filters, limit: PAGE }));
      if (!loading && sameList(asked)) { took(page); await renewRows(ids, page, asked); }
    } catch (error) {
      if (!router.refused(error) && sameList(asked)) standing.textContent = t("list.notUpdating", { why: error.message });
    } finally {
      looking = false;
    }
  }

  /// Rows further down, where a vote or a score changed without moving them.
  async function renewRows(ids, page, asked) {
    const first = new Set(page.threads.map((thread) => thread.id));
    for (const id of [...ids].filter((id) => threads.has(id) && !first.has(id)).slice(0, RENEWED)) {
      const thread = (await api.thread(id, { limit: 1 }).catch(() => null))?.thread;
      const row = rows.get(id), old = threads.get(id);
      if (!thread || !row || !old || !sameList(asked)) continue;
      const merged = { ...old, ...thread, firstMessage: thread.firstMessage ?? old.firstMessage, lastMessage: thread.lastMessage ?? old.lastMessage };
      threads.set(id, merged);
      if (row.signature !== signature(merged)) fillRow(row, merged);
    }
  }

  function took(page) {
    trouble.replaceChildren();
    const changed = page.threads.filter((thread) => placed.get(thread.id) !== thread.lastAt).length;
    const contiguous = page.threads.some((thread) => placed.get(thread.id) === thread.lastAt) || !page.next;
    const known = page.threads.filter((thread) => threads.has(thread.id));
    const moved = known.length < page.threads.length || page.threads.some((thread, place) => order[place] !== thread.id) || (!page.next && order.length > page.threads.length);
    if (!moved || order.length === 0 || !reading()) { accept(page, contiguous); return; }
    // Rows that are here already may say what is new, in place; their order waits.
    for (const thread of known) {
      threads.set(thread.id, thread);
      const row = rows.get(thread.id);
      if (row && row.signature !== signature(thread)) fillRow(row, thread);
    }
    if (changed === 0) { fresh = null; renew.hidden = true; return; } // only fewer: they go when the reader does
    fresh = { page, contiguous };
    renew.textContent = t("list.new", { n: changed });
    renew.hidden = false;
    line();
  }

  /// True while somebody is at the list: points at it, has focus in it, or has scrolled it.
  function reading() {
    return scroll.scrollTop > 4 || scroll.matches(":hover") || body.contains(document.activeElement);
  }

  function place(list) {
    for (const thread of list) placed.set(thread.id, thread.lastAt);
  }

  function applyFresh(move = true) {
    if (!fresh) return;
    accept(fresh.page, fresh.contiguous);
    if (!move) return;
    scroll.scrollTop = 0;
    body.querySelector("a")?.focus({ preventScroll: true });
  }

  /// The new first page on top of what was loaded before; alone, where the two no longer touch.
  function accept(page, contiguous) {
    const first = page.threads.map((thread) => thread.id);
    const on = new Set(first);
    if (contiguous && page.next) order = [...first, ...order.filter((id) => !on.has(id))];
    else { order = first; cursor = page.next; threads = new Map(); }
    for (const thread of page.threads) threads.set(thread.id, thread);
    place(page.threads);
    partial = page.partial;
    fresh = null;
    renew.hidden = true;
    draw();
  }

  // Drawing

  function draw() {
    for (const id of rows.keys()) if (!threads.has(id)) rows.delete(id);
    let at = body.firstChild;
    for (const id of order) {
      const thread = threads.get(id);
      let row = rows.get(id);
      if (!row) { row = { element: el("li", null, el("a.row", { data: { id } })), signature: null }; rows.set(id, row); }
      if (row.signature !== signature(thread)) fillRow(row, thread);
      if (row.element === at) at = at.nextSibling;
      else body.insertBefore(row.element, at);
    }
    while (at) { const next = at.nextSibling; at.remove(); at = next; }
    markOpen();
    line();
    const bare = order.length === 0 && Object.keys(route.filters).length === 0;
    router.bare(bare);
    if (order.length === 0) { if (!bare || !foot.querySelector(".none-yet")) replace(foot, bare ? noneYet() : noMatch()); }
    else replace(foot, partial && el("p.list-note", null, t("list.partial")), cursor && el("button.load-more", { type: "button", on: { click: more } }, t("list.more")));
  }

  function line() {
    const text = order.length === 0 ? "" : t(cursor ? "list.countSoFar" : "list.count", { n: order.length });
    const shown = partial ? `${text} ${t("list.partialShort")}` : text;
    if (standing.textContent !== shown) standing.textContent = shown;
  }

  function fillRow(row, thread) {
    row.signature = signature(thread);
    const last = thread.lastMessage, first = thread.firstMessage;
    const tags = list(thread.tags), scores = list(thread.scores).filter((score) => score !== null && typeof score === "object" && score.stale !== true);
    const unseen = thread.seen === false && thread.id !== route?.thread;
    row.element.firstChild.classList.toggle("unseen", unseen);
    replace(row.element.firstChild,
      avatar(thread.user, thread.status),
      el("span.row-body", null,
        el("span.row-top", null, el("span.row-user", null, el("bdi", null, userName(thread.user))), spoken(`, ${has(`status.${thread.status}`) ? t(`status.${thread.status}`) : words(thread.status)}, `),
          unseen && el("span.unseen-dot", { title: t("row.unseen") }, spoken(t("row.unseen"))), moment(thread.lastAt)),
        el("span.row-first", { dir: "auto" }, first ? words(first.text) || t("row.emptyMessage") : t("row.noMessage")),
        last && last.id !== first?.id && el("span.row-last", { dir: "auto" }, el("span.row-role", null, `${has(`role.${last.role}`) ? t(`role.${last.role}`) : words(last.role)}: `), el("bdi", null, words(last.text))),
        el("span.row-facts", null,
          el("span", null, t("n.messages", { n: Number(thread.messageCount) || 0 })), votes(thread.feedback),
          thread.errors > 0 && el("span.vote.down", { title: t("row.errors", { n: thread.errors }) }, icon("warning"), spoken(t("row.errorsSpoken")), figure(thread.errors)),
          thread.findings > 0 && el("span.row-finding", { title: t("row.findings", { n: thread.findings }) }, t("row.differs", { n: thread.findings })),
          scores.slice(0, 2).map((score) => el("span", { title: [score.reason, score.author && t("score.by", { name: words(score.author) })].filter(Boolean).map(words).join(", ") || t("row.score") }, el("bdi", null, words(score.name)), " ", el("strong", null, scoreWords(score)))),
          thread.reviewed && el("span.row-reviewed", { title: t("row.reviewedBy", { name: words(thread.reviewed.by), time: shortDayOf(thread.reviewed.at) }) }, icon("check"), t("row.reviewed")),
          tags.slice(0, 3).map((name) => tag(words(name))), tags.length > 3 && el("span.dim", { title: tags.slice(3).map(words).join(", ") }, `+${tags.length - 3}`))));
    link(row, thread.id);
  }

  function signature(thread) { return JSON.stringify([thread, thread.id === route?.thread && thread.seen === false]); }

  function link(row, id) {
    row.element.firstChild.href = format({ project: route.project, thread: id, filters: route.filters });
    if (id === route.thread) row.element.firstChild.setAttribute("aria-current", "true");
    else row.element.firstChild.removeAttribute("aria-current");
  }

  function markOpen() {
    if (route) for (const [id, row] of rows) link(row, id);
  }

  /// Opened is seen, up to now.
  async function seen(id) {
    if (!id || route?.thread !== id || document.visibilityState !== "visible") return;
    const thread = threads.get(id);
    if (thread?.seen === false) { thread.seen = true; const row = rows.get(id); if (row) fillRow(row, thread); }
    try { await api.seen(id); } catch (error) { router.refused(error); } // a mark, not worth a word
  }

  function noMatch() {
    return empty(t("list.noMatch"), el("p", null, t("list.noMatchText")), partial && el("p", null, t("list.partial")), el("button", { type: "button", on: { click: clear } }, t("filter.clearAll")));
  }

  function noneYet() {
    const place = el("div.none-yet");
    const fill = (key) => {
      const origin = location.origin;
      replace(place, empty(t("list.noneYet"),
        el("p", null, t("list.noneYetPage")),
        takeaway(`<script src="${origin}/parley-loader.js"\n        data-url="${origin}" data-key="${key}"></script>\n<script>\n  const chat = parley.openThread()\n  const id = chat.trackMessage({ role: "user", content: "Hello" })\n</script>`),
        el("p", null, t("list.noneYetTerminal")),
        takeaway(`curl '${origin}/v1/events?key=${key}' -d '{\n  "type": "message", "role": "user", "content": "Hello",\n  "thread": "first", "id": "${crypto.randomUUID?.() ?? "a-long-random-id-4f9c2b7e"}"\n}'`),
        el("p", null, t("list.noneYetWait")),
        router.can("admin") && el("a.button", { href: format({ project: route.project, view: "setup" }) }, t("nav.setup"))));
    };
    fill("pk_…");
    project.read(router.projectOf(route.project)?.id ?? route.project)
      .then((answer) => { if (typeof answer?.project?.publicKey === "string" && place.isConnected) fill(answer.project.publicKey); }, () => {});
    return place;
  }

  /// One row down or up; opens it when a conversation is open already.
  function step(by) {
    if (order.length === 0) return;
    const focused = document.activeElement?.closest?.("a.row")?.dataset.id;
    const at = order.indexOf(focused ?? route.thread);
    const next = at < 0 ? 0 : Math.min(order.length - 1, Math.max(0, at + by));
    const anchor = rows.get(order[next])?.element.firstChild;
    if (!anchor) return;
    if (anchor.offsetParent !== null) { anchor.focus({ preventScroll: true }); anchor.scrollIntoView({ block: "nearest" }); }
    if (route.thread && route.thread !== order[next]) go({ project: route.project, thread: order[next], filters: route.filters }, { replace: true });
  }

  /// Opens the next conversation down the list that nobody has reviewed, else the first there is; false where none is left.
  async function nextUnreviewed() {
    const asked = route, current = route?.thread;
    let next = order.slice(order.indexOf(current) + 1).find((id) => threads.get(id)?.reviewed === null);
    let set = asked.filters;
    if (!next) {
      const page = tidy(await api.threads({ reviewed: "false", limit: 2 }));
      next = page.threads.find((thread) => thread.id !== current)?.id;
      if (next && !threads.has(next)) set = { reviewed: "false" };
    }
    if (!next) return false;
    if (route === asked) go({ project: asked.project, thread: next, filters: set });
    return true;
  }

  return {
    element, show, hide, step, nextUnreviewed,
    changed(id) { if (typeof id === "string") changedIDs.add(id); soon(); },
    focusSearch() { filters.focus(); },
    focusOpen() { (rows.get(route?.thread)?.element.firstChild ?? body.querySelector("a"))?.focus(); },
    focusRow(id) { rows.get(id)?.element.firstChild.focus(); },
    summary: (id) => threads.get(id) ?? null,
  };
}

/// A page of the wire with nothing in it that the list would trip over.
function tidy(page) {
  return {
    threads: list(page?.threads).filter((thread) => thread !== null && typeof thread === "object" && typeof thread.id === "string"),
    next: typeof page?.next === "string" ? page.next : null,
    partial: page?.isPartial === true,
  };
}

function list(any) { return Array.isArray(any) ? any : []; }

export function scoreWords(score) {
  const value = score?.value ?? score?.category;
  return typeof value === "number" ? figure(value) : words(value) || t("score.unknown");
}
