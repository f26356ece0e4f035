// The review page: who is signed in, which project, which view. The address decides what is shown (route.js);
// this file listens to it and hands it to the list (list.js), the conversation (thread.js) and the further
// rooms, which are loaded when somebody first goes there.

import { Refused, projects as askProjects, reader, session } from "./api.js";
import { el, icon, replace } from "./dom.js";
import { listen, sheet } from "./keys.js";
import { threadList } from "./list.js";
import { empty, failure, noticePlace, takeaway, waiting } from "./parts.js";
import { format, parse } from "./route.js";
import { conversation } from "./thread.js";
import { t, tn } from "./words.js";

const ROOMS = {
  overview: () => import("./overview.js"),
  users: () => import("./users.js"),
  quarantine: () => import("./quarantine.js"),
  outcomes: () => import("./outcomes.js"),
  setup: () => import("./setup.js"),
};
const NAV = ["overview", "threads", "users", "quarantine", "outcomes", "setup"];
const RANKS = ["reader", "reviewer", "admin"];
const WIDE = matchMedia("(min-width: 1200px)"); // room for three panes
const NARROW = matchMedia("(max-width: 899px)"); // room for one

let projects = [], me = null, route = null, views = null, rooms = new Map(), bare = false, detailsOpen = WIDE.matches && remembered();
const main = el("main", { id: "main", tabindex: "-1" });
const bar = el("header.bar");
const help = sheet(() => [[t("keys.everywhere"), globalKeys()], [t("keys.conversation"), views?.thread.keys ?? {}]]);
document.body.append(el("a.skip", { href: "#main", on: { click: (press) => { press.preventDefault(); main.focus(); } } }, t("nav.skip")), bar, main, noticePlace(), help.element);

// Where to

function go(to, { replace: replacing = false } = {}) {
  const hash = format(to);
  if (hash === location.hash) return;
  if (!replacing) { location.hash = hash; return; } // tells hashchange
  history.replaceState(null, "", hash);
  arrive();
}

const router = {
  refused,
  toggleDetails,
  detailsShown: () => detailsOpen,
  bare(none) { bare = none; if (route?.view === "threads") panes(); },
  get me() { return me; },
  get projects() { return projects; },
  can: (role) => RANKS.indexOf(me?.role) >= RANKS.indexOf(role === "review" ? "reviewer" : role),
  nextUnreviewed: () => views?.list.nextUnreviewed() ?? Promise.resolve(false),
  changed: (id) => views?.list.changed(id),
  projectOf: (name) => projects.find((project) => project.name === name || project.id === name) ?? null,
  async reload() { await ask(); if (route) drawBar(); },
  /// Who this is, after it changed (a password was set).
  async again() { me = person(await session.current()); },
};

async function arrive() {
  const token = /^#signin=(.+)$/.exec(location.hash)?.[1];
  if (token !== undefined) { await signIn(token); return; }
  if (!views) return;
  let next = parse(location.hash);
  if (projects.length === 0 && next.view !== "setup") {
    if (!router.can("admin")) { noProjects(); return; }
    next = { ...next, project: null, thread: null, view: "setup" }; // the first thing to do
  }
  if (!next.project && projects.length > 0) {
    history.replaceState(null, "", format({ ...next, project: projects[0].name }));
    next = parse(location.hash);
  }
  const before = route;
  route = next;
  drawBar();
  const turned = before && (before.view !== next.view || before.project !== next.project);
  if (next.project && !router.projectOf(next.project)) {
    leave();
    replace(main, empty(t("project.none"), el("p", null, tn("project.noneText", { name: el("bdi.strong", null, next.project) })), el("a.button", { href: format({ project: projects[0].name }) }, t("project.goTo", { name: projects[0].name }))));
    return;
  }
  if ((next.message || next.run) && !next.thread && next.view === "threads") { await lookUp(next); return; }
  if (Object.hasOwn(ROOMS, next.view)) { await room(next, turned); return; }
  for (const each of rooms.values()) each.hide();
  if (!views.list.element.isConnected) replace(main, views.list.element, views.thread.element, views.thread.details);
  if (!next.thread) document.title = t("title.page", { name: t("nav.threads") });
  views.list.show(next);
  views.thread.show(next);
  panes();
  if (turned) main.focus({ preventScroll: true });
  else if (NARROW.matches && before && before.thread !== next.thread) next.thread ? views.thread.focus() : views.list.focusRow(before.thread);
}

/// A link that names only a message or a run leads to its conversation.
async function lookUp(next) {
  leave();
  replace(main, waiting());
  try {
    const api = reader(next.project);
    const found = next.message ? (await api.message(next.message))?.message : (await api.run(next.run))?.run;
    const thread = found?.thread?.id ?? found?.thread;
    if (route !== next) return;
    if (typeof thread === "string") go({ ...next, thread }, { replace: true });
    else replace(main, empty(t("link.none"), el("p", null, t("link.noneText")), el("a.button", { href: format({ project: next.project }) }, t("nav.threads"))));
  } catch (error) {
    if (route === next && !refused(error)) replace(main, failure(error, () => lookUp(next)));
  }
}

let styles = null;
/// The further rooms' style sheet, once.
function roomStyles() {
  styles ??= new Promise((done) => {
    const link = el("link", { rel: "stylesheet", href: "pages.css", on: { load: done, error: done } });
    document.head.append(link);
  });
  return styles;
}

async function room(next, turned) {
  views.list.hide(); views.thread.hide();
  for (const [name, each] of rooms) if (name !== next.view) each.hide();
  main.className = "";
  document.title = t("title.page", { name: t(`nav.${next.view}`) });
  let shown = rooms.get(next.view);
  if (!shown) {
    replace(main, waiting());
    try {
      const [module] = await Promise.all([ROOMS[next.view](), roomStyles()]);
      shown = rooms.get(next.view) ?? module.default({ go, router });
      if (views) rooms.set(next.view, shown);
    } catch (error) {
      console.error(error);
      if (route === next) replace(main, failure(new Refused(0), () => room(next, turned)));
      return;
    }
    if (route !== next) return;
  }
  if (!shown.element.isConnected) { replace(main, shown.element); main.scrollTop = 0; }
  shown.show(next);
  if (turned) main.focus({ preventScroll: true });
}

function leave() {
  if (views) { views.list.hide(); views.thread.hide(); }
  for (const each of rooms.values()) each.hide();
  main.className = "";
}

// The panes

function remembered() {
  try { return localStorage.getItem("parley.details") !== "closed"; } catch { return true; }
}

function toggleDetails() {
  if (!route?.thread) return;
  detailsOpen = !detailsOpen;
  if (WIDE.matches) try { localStorage.setItem("parley.details", detailsOpen ? "open" : "closed"); } catch { /* private mode: forget it */ }
  panes();
  if (!WIDE.matches) (detailsOpen ? views.thread.details.querySelector("button") : document.querySelector(".details-toggle"))?.focus();
}

function panes() {
  const shown = Boolean(detailsOpen && route?.thread);
  main.className = `panes ${route?.thread ? "has-thread" : "no-thread"} ${shown ? "with-details" : ""} ${bare && !route?.thread ? "bare" : ""}`;
  views.thread.details.hidden = !shown;
  document.querySelector(".details-toggle")?.setAttribute("aria-expanded", String(shown));
}

WIDE.addEventListener("change", () => { detailsOpen = WIDE.matches && remembered(); if (main.classList.contains("panes")) panes(); });

// The bar

let drawn = null;
function drawBar() {
  const signature = JSON.stringify([route.project, route.view, projects, me]);
  if (drawn === signature && bar.childElementCount > 0) return; // a menu that is open stays open
  drawn = signature;
  const named = projects.some((project) => project.name === route.project) ? "name" : "id";
  const picker = el("select.picker", { "aria-label": t("nav.project"), on: { change: () => go({ project: picker.value, view: route.view }) } },
    projects.map((project) => el("option", { value: project[named], selected: project[named] === route.project }, project.name)));
  const links = route.project ? NAV.filter((view) => view !== "setup" || router.can("admin")) : [];
  const nav = el("nav", { id: "views", "aria-label": t("nav.views") }, links.map((view) => el("a", { href: format({ project: route.project, view }), "aria-current": route.view === view ? "page" : null }, t(`nav.${view}`))));
  const menuButton = el("button.quiet.square.nav-toggle", { type: "button", "aria-expanded": "false", "aria-controls": "views", "aria-label": t("nav.menu"), on: { click: () => openNav(!bar.classList.contains("open")) } }, icon("menu"));
  replace(bar,
    links.length > 0 && menuButton,
    el("a.brand", { href: format({ project: route.project }), "aria-label": t("nav.home") }, el("span.brand-mark", null, icon("chat")), el("span.brand-name", null, "Parley")),
    projects.length > 1 ? picker : el("span.project", null, el("bdi", null, projects[0]?.name ?? "")),
    nav,
    el("span.bar-end", null,
      el("button.quiet.square.help-button", { type: "button", title: t("keys.titleKey"), "aria-label": t("keys.title"), on: { click: help.open } }, "?"),
      whoMenu()));
}

function openNav(open) {
  bar.classList.toggle("open", open);
  bar.querySelector(".nav-toggle")?.setAttribute("aria-expanded", String(open));
}

function whoMenu() {
  const menu = el("details.menu.who", null,
    el("summary", { "aria-label": t("who.menu", { name: me.name }) }, icon("person"), el("bdi.who-name", null, me.name)),
    el("div.menu-items", null,
      el("p.menu-head", null, el("bdi.strong", null, me.name), el("span.dim", null, t(`role.${me.role}`))),
      el("button.quiet", { type: "button", on: { click: async () => { menu.open = false; const { password } = await import("./signin.js"); password(router); } } }, me.hasPassword ? t("who.changePassword") : t("who.setPassword")),
      el("button.quiet", { type: "button", on: { click: signOut } }, t("who.signOut"))));
  return menu;
}

document.addEventListener("click", (press) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(press.target)) menu.open = false;
  if (bar.classList.contains("open") && (press.target.closest?.(".bar nav a") || !bar.contains(press.target))) openNav(false);
});

/// True where something was open.
function closeMenus() {
  const open = [...document.querySelectorAll("details.menu[open]")];
  for (const menu of open) { menu.open = false; if (menu.contains(document.activeElement)) menu.querySelector("summary").focus(); }
  const nav = bar.classList.contains("open");
  if (nav) { openNav(false); bar.querySelector(".nav-toggle")?.focus(); }
  return open.length > 0 || nav;
}

// Who

async function signIn(token) {
  leave();
  history.replaceState(null, "", "#/"); // before anything else: the token works once and belongs in no history
  replace(main, waiting(t("signin.doing")));
  try {
    let text = token;
    try { text = decodeURIComponent(token); } catch { /* as it is */ }
    await session.open(text);
  } catch (error) {
    signedOut({ error });
    return;
  }
  await begin();
}

async function signOut() {
  try { await session.close(); } catch { /* gone already */ }
  signedOut({ word: t("signin.out") });
}

/// True where the session is over, which is dealt with here; every other error belongs to whoever asked.
function refused(error) {
  if (!(error instanceof Refused)) { console.error(error); return false; }
  if (!error.signedOut) return false;
  if (views) signedOut();
  return true;
}

async function signedOut({ error = null, word = null } = {}) {
  leave();
  for (const open of document.querySelectorAll("dialog[open]")) open.close();
  views = null;
  rooms = new Map();
  route = null;
  document.title = t("title.signin");
  drawn = null;
  bar.replaceChildren();
  replace(main, waiting());
  const { signInForm } = await import("./signin.js");
  if (!views) replace(main, signInForm({ error, word, done: begin }));
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && !views) session.current().then(begin, () => {});
});

function noProjects() {
  replace(main, empty(t("project.empty"), el("p", null, t("project.emptyText")), takeaway("parley project create my-site --origin https://www.example.com"), el("button", { type: "button", on: { click: begin } }, t("project.lookAgain"))));
}

// The start

function person(answer) {
  const given = answer?.reviewer;
  return {
    id: typeof given?.id === "string" ? given.id : null,
    name: typeof given?.name === "string" ? given.name : "",
    role: RANKS.includes(given?.role) ? given.role : "reader",
    projects: Array.isArray(given?.projects) ? given.projects : null,
    hasPassword: given?.hasPassword === true,
  };
}

async function ask() {
  const [who, list] = await Promise.all([session.current(), askProjects()]);
  me = person(who);
  projects = (Array.isArray(list?.projects) ? list.projects : []).filter((project) => typeof project?.id === "string" && typeof project?.name === "string");
}

async function begin() {
  try {
    await ask();
  } catch (error) {
    if (error instanceof Refused && error.signedOut) signedOut();
    else if (!refused(error)) replace(main, failure(error, begin));
    return;
  }
  views = { list: threadList({ go, router }), thread: conversation({ go, router }) };
  rooms = new Map();
  route = null;
  await arrive();
}

// The keys

function back() {
  if (closeMenus()) return;
  if (route?.thread && detailsOpen && !WIDE.matches) { toggleDetails(); return; }
  if (route?.thread) {
    const left = route.thread;
    go({ project: route.project, filters: route.filters });
    requestAnimationFrame(() => views?.list.focusRow(left));
  } else if (route?.view === "users" && route.id) go({ project: route.project, view: "users" });
  else if (route && route.view !== "threads") go({ project: route.project });
}

function search() {
  if (!views || !route) return;
  if (!(NARROW.matches && route.thread) && route.view === "threads") { views.list.focusSearch(); return; } // at once: the next letter is typed already
  go({ project: route.project, filters: route.view === "threads" ? route.filters : {} });
  requestAnimationFrame(() => views?.list.focusSearch());
}

function globalKeys() {
  const listed = (run) => () => { if (views && route?.view === "threads") run(); };
  return {
    j: { does: t("keys.next"), run: listed(() => views.list.step(1)) },
    k: { does: t("keys.previous"), run: listed(() => views.list.step(-1)) },
    o: { does: t("keys.details"), run: listed(toggleDetails) },
    "/": { does: t("keys.search"), run: search },
    Escape: { does: t("keys.back"), run: back },
    "?": { does: t("keys.sheet"), run: help.open },
  };
}

listen(() => [views && route?.view === "threads" && route.thread ? views.thread.keys ?? {} : {}, globalKeys()]);

addEventListener("hashchange", arrive);
if (location.hash.startsWith("#signin=")) arrive();
else { replace(main, waiting()); begin(); }
