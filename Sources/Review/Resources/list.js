// The list of conversations: newest activity first, filtered by the address, paged by cursor.
// It asks again every five seconds but never moves a row under the reader: new order waits behind a button.

import { reader } from "./api.js";
import { append, el, icon, replace, spoken, words } from "./dom.js";
import { avatar, empty, failure, moment, tag, takeaway, votes, waiting, whileVisible } from "./parts.js";
import { FILTERS, format, sameFilters } from "./route.js";
import { count, userName } from "./text.js";

const PAGE = 50;
const POLL = 5000;
const TYPING_PAUSE = 300; // after the last keystroke in the search box

const CHOICES = {
  role: [["", "Any role"], ["user", "User"], ["assistant", "Assistant"], ["system", "System"], ["tool", "Tool"]],
  feedback: [["", "Any feedback"], ["up", "Thumbs up"], ["down", "Thumbs down"], ["any", "Some feedback"], ["none", "No feedback"]],
  status: [["", "Any status"], ["active", "Active"], ["inactive", "Inactive"]],
};
const LABELS = { q: "Search", user: "User", tag: "Tag", role: "Role", feedback: "Feedback", from: "From", to: "To", status: "Status" };

export function threadList({ go, router }) {
  let route = null, api = null, cursor = null, loading = null, fresh = null, stopPolling = null;
  let threads = new Map(), order = [];
  const placed = new Map(); // the last activity each row had when it got its place
  const rows = new Map();

  // The search box and the filters.
  const search = el("input.search-field", { type: "search", placeholder: "Search what was said", "aria-label": "Search what was said", autocomplete: "off", spellcheck: "false" });
  const fields = {
    user: el("input", { type: "text", placeholder: "User id", autocomplete: "off" }),
    tag: el("input", { type: "text", placeholder: "Tag", autocomplete: "off" }),
    role: choice("role"), feedback: choice("feedback"), status: choice("status"),
    from: el("input", { type: "datetime-local" }), to: el("input", { type: "datetime-local" }),
  };
  const filterCount = el("span.count", { hidden: true });
  const filterFold = el("details.filters", null,
    el("summary", null, "Filters", filterCount),
    el("div.filter-grid", null, ["user", "tag", "role", "feedback", "status", "from", "to"].map((name) => el(`label.filter-${name}`, null, el("span", null, LABELS[name]), fields[name]))));
  const active = el("div.active-filters");
  const exports = el("div.menu-items");
  const exportMenu = el("details.menu", null, el("summary", null, icon("download"), "Export"), exports);
  const standing = el("span.standing", { role: "status" });
  const renew = el("button.renew", { type: "button", hidden: true, on: { click: () => applyFresh() } });
  const body = el("ul.rows", { "aria-label": "Conversations" });
  const foot = el("div.list-foot");
  const trouble = el("div.list-trouble");
  const element = el("section.pane.list", { "aria-label": "Conversations" },
    el("div.list-head", null,
      el("form.search", { role: "search", on: { submit: (event) => { event.preventDefault(); apply("q", search.value.trim()); } } }, icon("search"), search),
      el("div.list-tools", null, filterFold, exportMenu),
      active,
      el("div.list-line", null, standing, renew)),
    el("div.scroll", { tabindex: "-1" }, trouble, body, foot));

  let typed = 0;
  search.addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(() => apply("q", search.value.trim()), TYPING_PAUSE); });
  for (const name of ["user", "tag"]) fields[name].addEventListener("change", () => apply(name, fields[name].value.trim()));
  for (const name of ["role", "feedback", "status"]) fields[name].addEventListener("change", () => apply(name, fields[name].value));
  for (const name of ["from", "to"]) fields[name].addEventListener("change", () => apply(name, fromLocal(fields[name].value)));
  document.addEventListener("click", (event) => { if (!exportMenu.contains(event.target)) exportMenu.open = false; });

  function choice(name) {
    return el("select", null, CHOICES[name].map(([value, label]) => el("option", { value }, label)));
  }

  function apply(name, value) {
    if (!route || (route.filters[name] ?? "") === (value ?? "")) return;
    go({ ...route, message: null, filters: { ...route.filters, [name]: value || undefined } }, { replace: true });
  }

  function showFilters() {
    const { filters } = route;
    if (document.activeElement !== search) search.value = filters.q ?? "";
    for (const name of ["user", "tag", "role", "feedback", "status"]) if (document.activeElement !== fields[name]) fields[name].value = filters[name] ?? "";
    for (const name of ["from", "to"]) fields[name].value = toLocal(filters[name]);
    const set = FILTERS.filter((name) => filters[name]);
    const folded = set.filter((name) => name !== "q");
    filterCount.hidden = folded.length === 0;
    filterCount.textContent = String(folded.length);
    replace(active, set.map((name) => {
      const shown = CHOICES[name]?.find(([value]) => value === filters[name])?.[1] ?? (name === "from" || name === "to" ? new Date(filters[name]).toLocaleString() : filters[name]);
      return el("button.active-filter", { type: "button", title: "Remove this filter", on: { click: () => { if (name === "q") search.value = ""; apply(name, ""); } } },
        el("span.dim", null, `${LABELS[name]} `), el("bdi", null, shown), icon("close"), spoken(" remove"));
    }), set.length > 1 && el("button.link", { type: "button", on: { click: clear } }, "Clear all"));
    replace(exports, ["jsonl", "csv"].map((kind) => el("a", { href: api.exportAddress(kind, filters), download: `${route.project}.${kind}` }, kind.toUpperCase(),
      el("span.dim", null, kind === "jsonl" ? " one message or event a line" : " one message a row"))));
  }

  function clear() {
    search.value = "";
    go({ project: route.project, thread: route.thread }, { replace: true });
  }

  /// Called with every change of the address.
  function show(next) {
    const before = route;
    route = next;
    if (!before || before.project !== next.project) { api = reader(next.project); threads = new Map(); order = []; rows.clear(); placed.clear(); body.replaceChildren(); router.bare(false); }
    if (!before || before.project !== next.project || !sameFilters(before.filters, next.filters)) { showFilters(); load(); }
    markOpen();
    stopPolling ??= whileVisible(POLL, poll);
  }

  function hide() {
    stopPolling?.();
    stopPolling = null;
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
      const page = await api.threads({ ...route.filters, limit: PAGE }, mine.signal);
      threads = new Map(page.threads.map((thread) => [thread.id, thread]));
      order = page.threads.map((thread) => thread.id);
      place(page.threads);
      cursor = page.next;
      draw();
      body.parentElement.scrollTop = 0;
    } catch (error) {
      if (error.name === "AbortError") return;
      if (router.refused(error)) return;
      threads = new Map(); order = []; cursor = null;
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
    try {
      const filters = route.filters;
      const page = await api.threads({ ...filters, limit: PAGE, cursor });
      if (!route || !sameFilters(filters, route.filters)) return;
      for (const thread of page.threads) {
        if (!threads.has(thread.id)) order.push(thread.id);
        threads.set(thread.id, thread);
      }
      place(page.threads);
      cursor = page.next;
      draw();
    } catch (error) {
      if (!router.refused(error)) append(replace(foot), [failure(error, more)]);
    }
  }

  async function poll() {
    if (loading || !route) return;
    const asked = route;
    let page;
    try {
      page = await api.threads({ ...route.filters, limit: PAGE });
    } catch (error) {
      if (router.refused(error)) return;
      if (route === asked) standing.textContent = `Not updating. ${error.message}`;
      return error.retryAfterMs;
    }
    if (!route || loading || route.project !== asked.project || !sameFilters(route.filters, asked.filters)) return;
    trouble.replaceChildren();
    const changed = page.threads.filter((thread) => placed.get(thread.id) !== thread.lastAt).length;
    const contiguous = page.threads.some((thread) => placed.get(thread.id) === thread.lastAt) || !page.next;
    const known = page.threads.filter((thread) => threads.has(thread.id));
    const moved = known.length < page.threads.length || page.threads.some((thread, place) => order[place] !== thread.id);
    if (!moved || order.length === 0) { accept(page, contiguous); return; }
    // Rows that are here already may say what is new, in place; their order waits.
    for (const thread of known) {
      threads.set(thread.id, thread);
      const row = rows.get(thread.id);
      if (row && row.signature !== signature(thread)) fillRow(row, thread);
    }
    fresh = { page, contiguous };
    renew.textContent = `${Math.max(changed, 1)} new`;
    renew.hidden = false;
    line();
  }

  function place(list) {
    for (const thread of list) placed.set(thread.id, thread.lastAt);
  }

  function applyFresh() {
    if (!fresh) return;
    accept(fresh.page, fresh.contiguous);
    body.parentElement.scrollTop = 0;
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
    fresh = null;
    renew.hidden = true;
    draw();
  }

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
    if (order.length === 0) replace(foot, bare ? noneYet() : noMatch());
    else replace(foot, cursor && el("button.load-more", { type: "button", on: { click: more } }, "Load more"));
  }

  function line() {
    standing.textContent = order.length === 0 ? "" : `${count(order.length, "conversation")}${cursor ? " so far" : ""}`;
  }

  function fillRow(row, thread) {
    row.signature = signature(thread);
    const last = thread.lastMessage, first = thread.firstMessage;
    const tags = Array.isArray(thread.tags) ? thread.tags : [];
    replace(row.element.firstChild,
      avatar(thread.user, thread.status),
      el("span.row-body", null,
        el("span.row-top", null, el("span.row-user", null, el("bdi", null, userName(thread.user))), spoken(`, ${thread.status}, `), moment(thread.lastAt)),
        el("span.row-first", { dir: "auto" }, first ? words(first.text) || "Empty message" : "No message yet"),
        last && last.id !== first?.id && el("span.row-last", { dir: "auto" }, el("span.row-role", null, `${words(last.role)}: `), el("bdi", null, words(last.text))),
        el("span.row-facts", null,
          el("span", null, count(thread.messageCount ?? 0, "message")), votes(thread.feedback),
          (thread.scores ?? []).slice(0, 1).map((score) => el("span", { title: "Score" }, `${words(score.name)} ${words(score.value ?? score.category)}`)),
          tags.slice(0, 3).map((name) => tag(name)), tags.length > 3 && el("span.dim", { title: tags.slice(3).join(", ") }, `+${tags.length - 3}`))));
    link(row, thread.id);
  }

  function signature(thread) { return JSON.stringify(thread); }

  function link(row, id) {
    row.element.firstChild.href = format({ ...route, view: null, reason: null, thread: id, message: null });
    row.element.firstChild.toggleAttribute("aria-current", false);
  }

  function markOpen() {
    for (const [id, row] of rows) {
      link(row, id);
      if (id === route?.thread) row.element.firstChild.setAttribute("aria-current", "true");
    }
  }

  function noMatch() {
    return empty("Nothing matches", el("p", null, "No conversation fits this search and these filters."), el("button", { type: "button", on: { click: clear } }, "Clear filters"));
  }

  function noneYet() {
    const origin = location.origin;
    return empty("No conversations yet",
      el("p", null, "Put this into the page that holds your chat, with the project's public key:"),
      takeaway(`<script src="${origin}/parley-loader.js"\n        data-url="${origin}" data-key="pk_…"></script>\n<script>\n  const chat = parley.openThread()\n  const id = chat.trackMessage({ role: "user", content: "Hello" })\n</script>`),
      el("p", null, "or send a first message from a terminal:"),
      takeaway(`curl '${origin}/v1/events?key=pk_…' -d '{\n  "type": "message", "role": "user", "content": "Hello",\n  "thread": "first", "id": "${crypto.randomUUID?.() ?? "a-long-random-id-4f9c2b7e"}"\n}'`),
      el("p", null, el("code", null, "parley key list"), " prints the key. What arrives shows up here by itself."));
  }

  /// One row down or up; opens it when a conversation is open already.
  function step(by) {
    if (order.length === 0) return;
    const focused = document.activeElement?.closest?.("a.row")?.dataset.id;
    const at = order.indexOf(focused ?? route.thread);
    const next = at < 0 ? 0 : Math.min(order.length - 1, Math.max(0, at + by));
    const anchor = rows.get(order[next])?.element.firstChild;
    if (!anchor) return;
    anchor.focus({ preventScroll: true });
    anchor.scrollIntoView({ block: "nearest" });
    if (route.thread && route.thread !== order[next]) go({ ...route, thread: order[next], message: null }, { replace: true });
  }

  return {
    element, show, hide, step,
    focusSearch() { search.focus(); search.select(); },
    closeMenus() { const was = exportMenu.open; exportMenu.open = false; return was; },
    focusOpen() { (rows.get(route?.thread)?.element.firstChild ?? body.querySelector("a"))?.focus(); },
    focusRow(id) { rows.get(id)?.element.firstChild.focus(); },
    summary: (id) => threads.get(id) ?? null,
  };
}

/// The wire speaks ISO in UTC, the field speaks the reader's own clock.
function toLocal(iso) {
  const at = iso ? new Date(iso) : null;
  if (!at || Number.isNaN(at.getTime())) return "";
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function fromLocal(text) {
  const at = text ? new Date(text) : null;
  return !at || Number.isNaN(at.getTime()) ? "" : at.toISOString();
}
