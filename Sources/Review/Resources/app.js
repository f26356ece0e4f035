// The review page: who is signed in, which project, which view. The address decides what is shown (route.js);
// this file listens to it and hands it to the list (list.js), the conversation (thread.js) and the operator's
// pages (operations.js).

import { Refused, projects as askProjects, reader, session } from "./api.js";
import { el, icon, replace } from "./dom.js";
import { listen, sheet } from "./keys.js";
import { threadList } from "./list.js";
import { outcomes, quarantine } from "./operations.js";
import { empty, failure, noticePlace, takeaway, waiting } from "./parts.js";
import { format, parse } from "./route.js";
import { conversation } from "./thread.js";

const WIDE = matchMedia("(min-width: 1200px)"); // room for three panes
const NARROW = matchMedia("(max-width: 899px)"); // room for one

let projects = [], reviewer = null, route = null, views = null, bare = false, detailsOpen = WIDE.matches && remembered();
const main = el("main", { id: "main" });
const bar = el("header.bar");
const help = sheet();
document.body.append(el("a.skip", { href: "#main", on: { click: (press) => { press.preventDefault(); main.focus(); } } }, "Skip to the conversations"), bar, main, noticePlace(), help);
main.tabIndex = -1;

// Where to

function go(to, { replace: replacing = false } = {}) {
  const hash = format(to);
  if (hash === location.hash) return;
  if (!replacing) { location.hash = hash; return; } // tells hashchange
  history.replaceState(null, "", hash);
  arrive();
}

async function arrive() {
  const token = /^#signin=(.+)$/.exec(location.hash)?.[1];
  if (token !== undefined) { await signIn(token); return; }
  if (!views) return;
  let next = parse(location.hash);
  if (projects.length === 0) { noProjects(); return; }
  if (!next.project) {
    history.replaceState(null, "", format({ ...next, project: projects[0].name }));
    next = parse(location.hash);
  }
  const before = route;
  route = next;
  drawBar();
  if (!projects.some((project) => project.name === next.project || project.id === next.project)) {
    leave();
    replace(main, empty("No such project", el("p", null, "There is no project called ", el("bdi.strong", null, next.project), ", or you may not see it."), el("a.button", { href: format({ project: projects[0].name }) }, "Go to ", projects[0].name)));
    return;
  }
  if (next.message && !next.thread && next.view === "threads") { await lookUp(next); return; }
  if (next.view === "quarantine" || next.view === "outcomes") { threads(false); operator(next); return; }
  views.quarantine.hide(); views.outcomes.hide();
  threads(true);
  if (!before?.thread !== !next.thread && !next.thread) document.title = "Parley";
  views.list.show(next);
  views.thread.show(next);
  panes();
  if (NARROW.matches && before && before.thread !== next.thread) next.thread ? views.thread.focus() : views.list.focusRow(before.thread);
}

/// A link that names only a message leads to its conversation.
async function lookUp(next) {
  leave();
  replace(main, waiting());
  try {
    const { message } = await reader(next.project).message(next.message);
    go({ ...next, thread: message.thread?.id ?? message.thread }, { replace: true });
  } catch (error) {
    if (!refused(error)) replace(main, failure(error, () => lookUp(next)));
  }
}

function threads(shown) {
  if (!shown) { views.list.hide(); views.thread.hide(); main.className = ""; return; }
  if (!views.list.element.isConnected) replace(main, views.list.element, views.thread.element, views.thread.details);
}

function operator(next) {
  const view = views[next.view], other = views[next.view === "quarantine" ? "outcomes" : "quarantine"];
  other.hide();
  document.title = `${next.view === "quarantine" ? "Quarantine" : "Outcomes"} · Parley`;
  replace(main, view.element);
  view.show(next);
}

function leave() {
  for (const view of Object.values(views)) view.hide();
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

function drawBar() {
  const link = (view, label) => el("a", { href: format({ project: route.project, view }), "aria-current": route.view === view ? "page" : null }, label);
  const named = projects.some((project) => project.name === route.project) ? "name" : "id";
  const picker = el("select.picker", { "aria-label": "Project", on: { change: () => go({ project: picker.value, view: route.view }) } },
    projects.map((project) => el("option", { value: project[named], selected: project[named] === route.project }, project.name)));
  replace(bar,
    el("a.brand", { href: format({ project: route.project }), "aria-label": "Parley" }, el("span.brand-mark", null, icon("chat")), el("span.brand-name", null, "Parley")),
    projects.length > 1 ? picker : el("span.project", null, el("bdi", null, projects[0]?.name ?? "")),
    el("nav", { "aria-label": "Views" }, link("threads", "Conversations"), link("quarantine", "Quarantine"), link("outcomes", "Outcomes")),
    el("span.bar-end", null,
      el("button.quiet.square.help-button", { type: "button", title: "Keys (?)", "aria-label": "Keys", on: { click: () => help.showModal() } }, "?"),
      el("span.reviewer", null, el("bdi", null, reviewer?.name ?? "")),
      el("button.quiet", { type: "button", on: { click: signOut } }, "Sign out")));
}

// Who

async function signIn(token) {
  if (views) leave();
  history.replaceState(null, "", "#/"); // before anything else: the token works once and belongs in no history
  replace(main, waiting("Signing in…"));
  try {
    await session.open(decodeURIComponent(token));
  } catch (error) {
    signedOut(error);
    return;
  }
  await begin();
}

async function signOut() {
  try { await session.close(); } catch { /* gone already */ }
  signedOut(null, "You are signed out.");
}

/// True where the session is over, which is dealt with here; every other error belongs to whoever asked.
function refused(error) {
  if (!(error instanceof Refused)) { console.error(error); return false; }
  if (!error.signedOut) return false;
  signedOut();
  return true;
}

function signedOut(error = null, word = null) {
  if (views) leave();
  views = null;
  route = null;
  document.title = "Sign in · Parley";
  bar.replaceChildren();
  replace(main, el("div.sign-in", null,
    el("span.brand-mark", null, icon("chat")),
    el("h1", null, "Parley"),
    word && el("p", { role: "status" }, word),
    error && failure(error),
    el("p", null, error ? "Each link works once. Make a new one where Parley runs:" : "Reading conversations takes a one-time link. Make one where Parley runs, and open it in this browser:"),
    takeaway("parley review link"),
    el("p.dim", null, "This page goes on by itself once a link was opened in another tab.")));
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && !views) session.current().then(begin, () => {});
});

function noProjects() {
  replace(bar, el("span.brand", null, el("span.brand-mark", null, icon("chat")), "Parley"));
  replace(main, empty("No projects yet", el("p", null, "A project holds the conversations of one site or app. Make the first one where Parley runs:"), takeaway("parley project create my-site --origin https://www.example.com"), el("button", { type: "button", on: { click: begin } }, "Look again")));
}

// The start

async function begin() {
  try {
    const [who, list] = [await session.current(), await askProjects()];
    reviewer = who?.reviewer ?? null;
    projects = list.projects ?? [];
  } catch (error) {
    if (!refused(error)) replace(main, failure(error, begin));
    return;
  }
  const router = { refused, toggleDetails, detailsShown: () => detailsOpen, bare: (none) => { bare = none; if (route?.view === "threads") panes(); } };
  views = { list: threadList({ go, router }), thread: conversation({ go, router }), quarantine: quarantine({ go, router }), outcomes: outcomes({ go, router }) };
  route = null;
  await arrive();
}

function back() {
  if (views?.list.closeMenus()) return;
  if (route?.thread && detailsOpen && !WIDE.matches) { toggleDetails(); return; }
  if (route?.thread) {
    const left = route.thread;
    go({ ...route, thread: null, message: null });
    requestAnimationFrame(() => views?.list.focusRow(left));
  } else if (route && route.view !== "threads") go({ project: route.project });
}

function listed(action) {
  return () => { if (views && route && route.view === "threads") action(); };
}

listen({
  j: listed(() => views.list.step(1)),
  k: listed(() => views.list.step(-1)),
  o: listed(toggleDetails),
  "/": () => { if (!views || !route) return; if (NARROW.matches && route.thread || route.view !== "threads") go({ project: route.project, filters: route.view === "threads" ? route.filters : {} }); requestAnimationFrame(() => views.list.focusSearch()); },
  "?": () => help.showModal(),
  Escape: back,
});

addEventListener("hashchange", arrive);
if (location.hash.startsWith("#signin=")) arrive();
else { replace(main, waiting()); begin(); }
