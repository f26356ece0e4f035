// The people who chatted: whom the project knows, and for each what is known and what they talked about.

import { reader } from "./api.js";
import { el, replace, words } from "./dom.js";
import english from "./en-pages.js";
import { avatar, confirm, dialog, empty, failure, moment, tag, votes, waiting } from "./parts.js";
import { format } from "./route.js";
import { figure, userName } from "./text.js";
import { register, t } from "./words.js";

register(english);

const PAGE = 50;
const TYPING_PAUSE = 300; // after the last keystroke in the search box

export default function users({ go, router }) {
  let route = null, api = null, list = [], next = null, asked = null, typed = 0;
  const search = el("input.search-field", { type: "search", placeholder: t("users.search"), "aria-label": t("users.search"), autocomplete: "off", spellcheck: "false" });
  const title = el("h1", null, t("nav.users"));
  const searchForm = el("form.room-search", { role: "search", on: { submit: (event) => event.preventDefault() } }, search);
  const body = el("div.room-body");
  const element = el("section.operations", null, el("header.room-head", null, title, searchForm), body);
  search.addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(() => go({ project: route.project, view: "users", filters: search.value.trim() ? { q: search.value.trim() } : {} }, { replace: true }), TYPING_PAUSE); });

  function show(to) {
    route = to;
    api = reader(to.project);
    searchForm.hidden = Boolean(to.id);
    element.classList.toggle("one-user", Boolean(to.id));
    title.hidden = Boolean(to.id);
    if (document.activeElement !== search) search.value = to.filters.q ?? "";
    to.id ? one() : load();
  }

  function hide() { route = null; clearTimeout(typed); }

  async function load() {
    const mine = asked = route;
    if (!body.querySelector(".users-table")) replace(body, waiting());
    try {
      const page = await api.users({ q: mine.filters.q, limit: PAGE });
      if (asked !== mine || route !== mine) return;
      list = tidy(page?.users); next = page?.next ?? null;
      draw();
    } catch (error) { if (route === mine && !router.refused(error)) replace(body, failure(error, load)); }
  }

  async function more(press) {
    const mine = route;
    press.currentTarget.disabled = true;
    try {
      const page = await api.users({ q: mine.filters.q, limit: PAGE, cursor: next });
      if (route !== mine) return;
      const at = list.length;
      list = list.concat(tidy(page?.users)); next = page?.next ?? null;
      draw();
      body.querySelectorAll("tbody a")[at]?.focus();
    } catch (error) { if (route === mine && !router.refused(error)) body.append(failure(error)); }
  }

  const tidy = (any) => (Array.isArray(any) ? any : []).filter((user) => user !== null && typeof user === "object" && typeof user.id === "string");
  const column = (name, numeric) => el(`th${numeric ? ".number" : ""}`, { scope: "col" }, t(`users.${name}`));

  function draw() {
    if (list.length === 0) {
      replace(body, route.filters.q ? empty(t("users.noMatch"), el("p", null, t("users.noMatchText"))) : empty(t("users.none"), el("p", null, t("users.noneText"))));
      return;
    }
    replace(body,
      el("div.table-box", { tabindex: "0", role: "region", "aria-label": t("nav.users") }, el("table.users-table", null,
        el("thead", null, el("tr", null, column("user"), column("threads", true), column("messages", true), column("feedback"), column("first"), column("last"))),
        el("tbody", null, list.map((user) => el("tr", null,
          el("th", { scope: "row" }, el("a.person", { href: format({ project: route.project, view: "users", id: user.id }) }, avatar(user), el("span", null, el("bdi.strong", null, userName(user)), userName(user) !== user.id && el("bdi.dim", null, user.id)))),
          el("td.number", null, figure(user.threads)), el("td.number", null, figure(user.messages)), el("td", null, votes(user)), el("td", null, moment(user.firstAt)), el("td", null, moment(user.lastAt))))))),
      next && el("button.load-more", { type: "button", on: { click: more } }, t("list.more")));
  }

  // One person

  async function one() {
    const mine = asked = route;
    const name = el("h1.spoken", null, el("bdi", null, mine.id)); // until it is known who that is
    replace(body, name, waiting());
    const back = el("p.room-back", null, el("a", { href: format({ project: mine.project, view: "users" }) }, `← ${t("users.all")}`));
    try {
      const [answer, page] = await Promise.all([api.user(mine.id), api.threads({ user: mine.id, limit: PAGE })]);
      if (asked !== mine || route !== mine) return;
      const user = answer?.user ?? { id: mine.id };
      const threads = (Array.isArray(page?.threads) ? page.threads : []).filter((thread) => typeof thread?.id === "string");
      const props = user.props !== null && typeof user.props === "object" ? Object.entries(user.props) : [];
      document.title = t("title.page", { name: userName(user) });
      replace(body, back,
        el("header.person-head", null, avatar(user), el("div", null, el("h1", null, el("bdi", null, userName(user))), userName(user) !== user.id && el("p", null, el("code", null, words(user.id)))),
          router.can("admin") && el("button.quiet", { type: "button", on: { click: async () => { if (await erase(api, user.id)) go({ project: mine.project, view: "users" }); } } }, t("erase.act"))),
        el("ul.tiles.small", null,
          [["threads", figure(user.threads)], ["messages", figure(user.messages)], ["feedback", votes(user) ?? "–"], ["first", moment(user.firstAt)], ["last", moment(user.lastAt)]].map(([name, shown]) => el("li.tile", null, el("h2", null, t(`users.${name}`)), el("p.tile-figure", null, shown)))),
        props.length > 0 && el("section.panel", null, el("h2", null, t("users.known")), el("dl.pairs", null, props.map(([name, value]) => el("div", null, el("dt", null, el("bdi", null, name)), el("dd", { dir: "auto" }, words(value)))))),
        el("section.panel", null, el("h2", null, t("nav.threads")),
          threads.length === 0 ? el("p.dim", null, t("users.noThreads")) : el("ul.person-threads", null, threads.map((thread) => el("li", null, el("a", { href: format({ project: mine.project, thread: thread.id, filters: { user: mine.id } }) },
            el("span.person-thread", { dir: "auto" }, words(thread.firstMessage?.text) || t("row.noMessage")),
            el("span.row-facts", null, el("span", null, t("n.messages", { n: Number(thread.messageCount) || 0 })), votes(thread.feedback), (Array.isArray(thread.tags) ? thread.tags : []).slice(0, 3).map((name) => tag(words(name))), moment(thread.lastAt)))))),
          page?.next && el("p", null, el("a", { href: format({ project: mine.project, filters: { user: mine.id } }) }, t("users.allThreads")))));
    } catch (error) {
      if (route !== mine || router.refused(error)) return;
      replace(body, name, back, error.status === 404 ? empty(t("users.noSuch"), el("p", null, error.message)) : failure(error, one));
    }
  }

  return { element, show, hide };
}

/// Erases all a person said, once their id was typed, and tells what went. True where it was done.
export async function erase(api, id) {
  let erased = null;
  const done = await confirm({ title: t("erase.title"), body: [el("p", null, t("erase.text")), el("p", null, t("erase.after"))], act: t("erase.act"), type: id, run: async () => { erased = (await api.eraseUser(id))?.erased ?? {}; } });
  if (!done) return false;
  dialog(t("erase.done"), el("dl.pairs", null, ["threads", "messages", "events", "runs", "quarantined"].map((name) => el("div", null, el("dt", null, t(`erase.${name}`)), el("dd", null, figure(Number(erased[name]) || 0))))));
  return true;
}
