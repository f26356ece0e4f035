// One conversation, in the order things happened: messages, events between them, the runs behind each message,
// and beside it what is known about the person. It follows along while the conversation goes on.

import { reader } from "./api.js";
import { filled, fold, json, messageContent, messageWords, pairs } from "./content.js";
import { el, icon, replace, spoken, words } from "./dom.js";
import { avatar, copy, empty, failure, moment, tag, votes, waiting, whileVisible } from "./parts.js";
import { absolute, format } from "./route.js";
import { absoluteTime, clockTime, count, dayName, gap, instant, userName } from "./text.js";
import { runTree } from "./trace.js";

const PAGE = 200;
const POLL = 5000;
const IDLE = 5 * 60_000; // a silence this long gets a divider
const LATE = 60_000; // a message that arrived this long after it was sent says so
const FIND_PAGES = 25; // how far a link to one message is followed: 5,000 items
const MANY = 200; // items; past this the browser may skip laying out what isn't in view

const PROVENANCE = {
  verified: "Verified: sent with the project's secret key, or by a user whose identity was proven.",
  claimed: "Claimed: sent from a web page, in the name of a user that nobody has checked.",
  anonymous: "Anonymous: sent from a web page that named no user.",
};

export function conversation({ go, router }) {
  let route = null, api = null, thread = null, looseRuns = [], loading = null, stopPolling = null;
  let pages = []; // { cursor, items, next }
  const nodes = new Map(); // key of an item → { element, signature }

  const log = el("div.log", { role: "log", "aria-live": "off", "aria-label": "Conversation" });
  const head = el("header.thread-head");
  const foot = el("div.thread-foot");
  const news = el("button.news", { type: "button", hidden: true, on: { click: () => { scroll.scrollTo({ top: scroll.scrollHeight }); news.hidden = true; } } });
  const scroll = el("div.scroll", { tabindex: "0", role: "group", "aria-label": "Messages" }, el("div.column", null, log, foot));
  const element = el("section.pane.conversation", { "aria-label": "Conversation", tabindex: "-1" }, head, scroll, news);
  const details = el("aside.pane.details", { "aria-label": "Details" });
  scroll.addEventListener("scroll", () => { if (atEnd()) news.hidden = true; }, { passive: true });

  const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60; // a line of slack

  /// Called with every change of the address.
  function show(next) {
    const before = route;
    route = next;
    if (!next.thread) { rest(); welcome(); return; }
    if (!before || before.project !== next.project || before.thread !== next.thread) { api = reader(next.project); open(); }
    else if (next.message && next.message !== before.message) find(next.message);
    else if (!next.message) unmark();
  }

  function rest() {
    loading?.abort();
    stopPolling?.();
    stopPolling = null;
    thread = null;
    pages = [];
    nodes.clear();
    news.hidden = true;
    log.setAttribute("aria-live", "off");
    replace(head); replace(log); replace(foot); replace(details);
  }

  function hide() { rest(); route = null; }

  function welcome() {
    replace(log, empty("Choose a conversation",
      el("p.key-hints", null, el("kbd", null, "j"), " ", el("kbd", null, "k"), " to move, ", el("kbd", null, "Enter"), " to open, ", el("kbd", null, "/"), " to search, ", el("kbd", null, "?"), " for all keys")));
  }

  async function open() {
    rest();
    const mine = loading = new AbortController();
    replace(head, backButton());
    replace(log, waiting());
    try {
      const page = await api.thread(route.thread, { limit: PAGE }, mine.signal);
      if (mine.signal.aborted) return;
      replace(log);
      pages = [{ cursor: null, items: page.items, next: page.next }];
      take(page);
      draw();
      scroll.scrollTop = 0;
      if (route.message) await find(route.message);
      if (mine.signal.aborted) return;
      log.setAttribute("aria-live", thread.status === "active" ? "polite" : "off");
      stopPolling = whileVisible(POLL, poll);
    } catch (error) {
      if (error.name === "AbortError" || router.refused(error)) return;
      replace(log, error.status === 404
        ? empty("No such conversation", el("p", null, error.message), el("a.button", { href: format({ ...route, thread: null, message: null }) }, "All conversations"))
        : failure(error, open));
    }
  }

  function take(page) {
    if (page.thread) thread = page.thread;
    if (Array.isArray(page.runs)) looseRuns = page.runs;
    drawHead();
    drawDetails();
  }

  async function more() {
    const last = pages.at(-1);
    if (!last?.next) return;
    const mine = loading;
    const page = await api.thread(route.thread, { limit: PAGE, cursor: last.next }, mine?.signal);
    pages.push({ cursor: last.next, items: page.items, next: page.next });
    draw();
  }

  async function loadMore() {
    try { await more(); } catch (error) {
      if (error.name !== "AbortError" && !router.refused(error)) replace(foot, failure(error, loadMore));
    }
  }

  /// The last page again: what is new at its end, and what changed in it (a run that bound, a vote).
  async function poll() {
    const asked = route.thread, last = pages.at(-1);
    if (!last || last.next) return;
    try {
      const page = await api.thread(asked, { limit: PAGE, cursor: last.cursor }, loading?.signal);
      if (route?.thread !== asked || pages.at(-1) !== last) return;
      const known = new Set(pages.flatMap((each) => each.items.map(keyOf)));
      const added = page.items.filter((item) => !known.has(keyOf(item)));
      const follow = atEnd();
      last.items = page.items;
      last.next = page.next;
      take(page);
      log.setAttribute("aria-live", thread.status === "active" ? "polite" : "off");
      draw();
      if (added.length === 0) return;
      if (follow) scroll.scrollTo({ top: scroll.scrollHeight });
      else {
        news.textContent = `${count(added.length, "new item")} below`;
        news.hidden = false;
      }
    } catch (error) {
      if (error.name === "AbortError" || router.refused(error)) return;
      return error.retryAfterMs;
    }
  }

  function draw() {
    const items = pages.flatMap((page) => page.items);
    log.classList.toggle("long", items.length > MANY);
    const messages = new Map(items.filter((item) => item.type === "message").map((item) => [item.id, item]));
    let place = log.firstChild, previous = null;
    const kept = new Set();
    for (const item of items) {
      const key = keyOf(item);
      if (kept.has(key)) continue;
      kept.add(key);
      const signature = JSON.stringify([item, previous?.at, previous?.id]);
      let node = nodes.get(key);
      if (!node || node.signature !== signature) {
        const made = { element: safely(item, previous, messages), signature };
        if (node) { keepOpen(node.element, made.element); if (node.element === place) place = place.nextSibling; node.element.remove(); }
        node = made;
        nodes.set(key, node);
      }
      if (node.element === place) place = place.nextSibling;
      else log.insertBefore(node.element, place);
      previous = item;
    }
    for (const [key, node] of nodes) if (!kept.has(key)) { node.element.remove(); nodes.delete(key); }
    if (route.message) mark(route.message);
    if (pages.at(-1)?.next) replace(foot, el("button.load-more", { type: "button", on: { click: loadMore } }, "Load later messages"));
    else if (items.length === 0) replace(foot, empty("Nothing in this conversation yet", el("p", null, "It was opened, but no message has arrived.")));
    else replace(foot);
  }

  /// One bad item must not take the conversation with it.
  function safely(item, previous, messages) {
    try { return itemElement(item, previous, messages); } catch (error) {
      console.error(error);
      return el("div.item", null, el("div.event", null, "This item could not be drawn."), fold("Show it", () => json(item)));
    }
  }

  function itemElement(item, previous, messages) {
    return el("div.item", null, dividers(item, previous), item.type === "message" ? messageElement(item, previous, messages) : eventElement(item));
  }

  function messageElement(item, previous, messages) {
    const role = ["user", "assistant", "system", "tool"].includes(item.role) ? item.role : "other";
    const slim = role !== "user" && role !== "assistant";
    const href = format({ project: route.project, thread: route.thread, message: item.id });
    const who = words(item.role) || "message";
    const arrived = instant(item.receivedAt), sent = instant(item.at);
    const late = arrived !== null && sent !== null && arrived - sent >= LATE;
    const bubble = el("div.bubble", null, messageContent(item));
    return el(`article.message.${role}`, { data: { message: item.id }, tabindex: "-1", "aria-label": `${who}, ${clockTime(item.at)}` },
      el("div.message-meta", null,
        el("span.who", null, who),
        provenance(item.provenance),
        el("a.at", { href, title: `Sent ${absoluteTime(item.at)}\nReceived ${absoluteTime(item.receivedAt)}` }, el("time", { datetime: words(item.at) }, clockTime(item.at))),
        late && el("span.dim", { title: `Received ${absoluteTime(item.receivedAt)}` }, `arrived ${gap(arrived - sent)} later`),
        el("span.acts", null,
          el("button.quiet.square", { type: "button", title: "Copy text", "aria-label": "Copy text", on: { click: () => copy(messageWords(item), "Text copied") } }, icon("copy")),
          el("button.quiet.square", { type: "button", title: "Copy link to this message", "aria-label": "Copy link to this message", on: { click: () => copy(absolute(href), "Link copied") } }, icon("link")))),
      relation("Retry of", item.retryOf, messages),
      item.replyTo && item.replyTo !== previous?.id && relation("In reply to", item.replyTo, messages),
      slim ? el("div.slim", null, messageContent(item)) : bubble,
      el("div.message-foot", null,
        votes(item.feedback),
        (item.scores ?? []).map(scoreChip),
        (Array.isArray(item.tags) ? item.tags : []).map((name) => tag(name))),
      comments(item.feedback?.votes),
      filled(item.metadata) && fold("Metadata", () => pairs(item.metadata), { key: `metadata:${item.id}` }),
      runTree(item.runs, { key: item.id }));
  }

  function relation(label, id, messages) {
    if (!id) return null;
    const target = messages.get(id);
    return el("p.relation", null, `${label} `, el("a", { href: format({ ...route, message: id }) }, target ? el("bdi", null, `“${messageWords(target).slice(0, 80)}”`) : el("code", null, id)));
  }

  function eventElement(item) {
    return el("div.event", { data: { message: item.id } },
      el("p.event-line", null, el("bdi.event-name", null, words(item.name) || words(item.type)), el("time", { datetime: words(item.at), title: absoluteTime(item.at) }, clockTime(item.at))),
      filled(item.metadata) && fold("Details", () => pairs(item.metadata), { key: `event:${item.id}` }));
  }

  function dividers(item, previous) {
    const at = instant(item.at), before = instant(previous?.at);
    const newDay = at !== null && (before === null || new Date(at).toDateString() !== new Date(before).toDateString());
    const silence = at !== null && before !== null ? at - before : 0;
    return [
      silence >= IDLE && el("p.divider.idle", null, el("span", null, `${gap(silence)} later`)),
      newDay && el("p.divider", null, el("span", null, dayName(item.at))),
    ];
  }

  function provenance(level) {
    if (!level) return null;
    const meaning = PROVENANCE[level] ?? words(level);
    return el(`span.badge.${level === "verified" ? "verified" : "unproven"}`, { title: meaning }, level === "verified" && icon("check"), el("span", { "aria-hidden": "true" }, words(level)), spoken(meaning));
  }

  function comments(list) {
    const said = (list ?? []).filter((vote) => vote.comment);
    if (said.length === 0) return null;
    return el("ul.comments", null, said.map((vote) => el("li", null,
      vote.thumb === "up" || vote.thumb === "down" ? el(`span.vote.${vote.thumb}`, null, icon(vote.thumb), spoken(`thumbs ${vote.thumb}`)) : el("span.vote"),
      el("div", null, el("p.comment", { dir: "auto" }, vote.comment), el("p.dim", null, el("bdi", null, words(vote.voter) || "someone"), " · ", moment(vote.at))))));
  }

  // The link to one message.

  async function find(id) {
    const asked = route.thread;
    try {
      for (let turn = 0; turn < FIND_PAGES && !articleOf(id) && pages.at(-1)?.next; turn += 1) {
        await more();
        if (route?.thread !== asked) return;
      }
      if (articleOf(id)) { mark(id, { move: true }); return; }
      const found = await api.message(id, loading?.signal);
      const home = found?.message?.thread?.id ?? found?.message?.thread;
      if (home && home !== asked) go({ ...route, thread: home, message: id }, { replace: true });
    } catch (error) {
      if (error.name === "AbortError" || router.refused(error)) return;
      replace(foot, failure(error));
    }
  }

  function articleOf(id) {
    return nodes.get(`message:${id}`)?.element.querySelector("article") ?? null;
  }

  function unmark() {
    for (const marked of log.querySelectorAll(".marked")) marked.classList.remove("marked");
  }

  function mark(id, { move = false } = {}) {
    unmark();
    const article = articleOf(id);
    article?.classList.add("marked");
    if (!article || !move) return;
    article.scrollIntoView({ block: "center" });
    requestAnimationFrame(() => { article.scrollIntoView({ block: "center" }); article.focus({ preventScroll: true }); }); // again, once its neighbours have their real height
  }

  // The head and the details.

  function backButton() {
    return el("button.quiet.square.back", { type: "button", title: "Back to the list", "aria-label": "Back to the list", on: { click: () => go({ ...route, thread: null, message: null }) } }, icon("back"));
  }

  function drawHead() {
    if (head.dataset.drawn === signatureOfHead() && head.childElementCount > 1) return;
    head.dataset.drawn = signatureOfHead();
    const link = absolute(format({ project: route.project, thread: route.thread }));
    const from = instant(thread.firstAt), to = instant(thread.lastAt);
    document.title = `${userName(thread.user)} · Parley`;
    replace(head, backButton(), avatar(thread.user, thread.status),
      el("div.thread-title", null,
        el("h1", null, el("bdi", null, userName(thread.user))),
        el("p.dim", null, count(thread.messageCount ?? 0, "message"), from !== null && to !== null && to - from >= 60_000 && ` over ${gap(to - from)}`, ", last ", moment(thread.lastAt))),
      el("span.head-acts", null,
        el("button.quiet.square", { type: "button", title: "Copy link to this conversation", "aria-label": "Copy link to this conversation", on: { click: () => copy(link, "Link copied") } }, icon("link")),
        el("button.quiet.square.details-toggle", { type: "button", title: "Details (o)", "aria-label": "Details", "aria-expanded": String(router.detailsShown()), on: { click: router.toggleDetails } }, icon("panel"))));
  }

  function signatureOfHead() {
    return JSON.stringify([thread.id, thread.user, thread.status, thread.messageCount, thread.firstAt, thread.lastAt]);
  }

  function drawDetails() {
    const signature = JSON.stringify([thread, looseRuns]);
    if (details.dataset.drawn === signature && details.childElementCount > 0) return;
    details.dataset.drawn = signature;
    const { user } = thread;
    const tags = Array.isArray(thread.tags) ? thread.tags : [];
    const filter = (filters) => format({ project: route.project, filters });
    const fresh = el("div.scroll", null,
      el("header.details-head", null, el("h2", null, "Details"), el("button.quiet.square", { type: "button", title: "Close details (o)", "aria-label": "Close details", on: { click: router.toggleDetails } }, icon("close"))),
      section("User", user
        ? [el("p.user-line", null, avatar(user), el("span", null, el("bdi.strong", null, userName(user)), userName(user) !== user.id && el("code", null, user.id))),
           filled(user.props) && pairs(user.props), user.id && el("p", null, el("a", { href: filter({ user: user.id }) }, "All conversations of this user"))]
        : el("p.dim", null, "Nobody signed in or named.")),
      section("Conversation", el("dl.pairs", null, [
        ["Status", el(`span.status.${thread.status === "active" ? "active" : "inactive"}`, null, el("span.dot"), words(thread.status))],
        ["Started", el("time", { datetime: words(thread.firstAt) }, absoluteTime(thread.firstAt))],
        ["Last activity", el("time", { datetime: words(thread.lastAt) }, absoluteTime(thread.lastAt))],
        ["Messages", String(thread.messageCount ?? 0)],
        ["Id", el("button.copy-id", { type: "button", title: "Copy the id", on: { click: () => copy(words(thread.id), "Id copied") } }, el("code", null, thread.id))],
      ].map(([name, shown]) => el("div", null, el("dt", null, name), el("dd", null, shown))))),
      section("Tags", tags.length ? el("p.tags", null, tags.map((name) => tag(name, filter({ tag: name })))) : el("p.dim", null, "None.")),
      section("Scores", thread.scores?.length ? el("ul.scores", null, thread.scores.map(scoreLine)) : el("p.dim", null, "None yet.")),
      thread.comments?.length > 0 && section("Comments", el("ul.comments", null, thread.comments.map((comment) => el("li", null, el("div", null,
        el("p.comment", { dir: "auto" }, words(comment.text ?? comment.comment ?? comment.body ?? comment)), el("p.dim", null, el("bdi", null, words(comment.author) || "someone"), comment.at && [" · ", moment(comment.at)])))))),
      filled(thread.metadata) && section("Metadata", pairs(thread.metadata)),
      looseRuns.length > 0 && section("Runs under no message", el("p.dim", null, "They name this conversation, but no message of it holds them (yet)."), looseRuns.map((run) => runTree([run], { key: `loose:${run.id}`, title: words(run.name) || words(run.kind) || "run" }))));
    keepOpen(details, fresh);
    const top = details.firstChild?.scrollTop ?? 0;
    replace(details, fresh);
    fresh.scrollTop = top;
  }

  return { element, details, show, hide, focus: () => element.focus({ preventScroll: true }) };
}

function keyOf(item) { return `${item.type}:${item.id}`; }

function section(title, ...body) {
  return el("section", null, el("h3", null, title), ...body);
}

function scoreChip(score) {
  return el("span.chip", { title: [score.reason, score.author && `by ${words(score.author)}`].filter(Boolean).map(words).join(", ") }, `${words(score.name)} `, el("strong", null, words(score.value ?? score.category ?? "unknown")));
}

function scoreLine(score) {
  return el("li", null, el("p", null, el("bdi", null, words(score.name)), " ", el("strong", null, words(score.value ?? score.category ?? "unknown")), score.value != null && score.category && ` (${words(score.category)})`),
    score.reason && el("p.comment", { dir: "auto" }, score.reason),
    el("p.dim", null, el("bdi", null, words(score.author) || "unknown author"), score.at && [" · ", moment(score.at)]));
}

/// Folds that were open stay open through a redraw.
function keepOpen(before, after) {
  const open = [...before.querySelectorAll("details[data-fold]")].filter((node) => node.open).map((node) => node.dataset.fold);
  // Outer folds first: opening one makes the folds inside it.
  for (const key of open) {
    const node = [...after.querySelectorAll("details[data-fold]")].find((candidate) => candidate.dataset.fold === key);
    if (node && !node.open) { node.open = true; node.dispatchEvent(new Event("toggle")); }
  }
}
