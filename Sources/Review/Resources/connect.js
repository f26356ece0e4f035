// How events get in: a new project with its keys, the lines to paste, and whether the first event has come.

import { project as projectAPI, reader } from "./api.js";
import { el, icon, replace, words } from "./dom.js";
import { live } from "./live.js";
import { copy, failure, field, moment, takeaway, whileVisible } from "./parts.js";
import { format } from "./route.js";
import { figure } from "./text.js";
import { has, t, tn } from "./words.js";

const LOOK = 3000; // milliseconds between two looks for the first event
const RECENT = 10 * 60_000; // refusals older than this have been mended or given up on

/// What is wrong with an origin, in words, or null. The gateway has the last word.
export function originTrouble(text) {
  const match = /^([a-z][a-z0-9+.-]*):\/\/(\*\.)?(\[[0-9a-f:]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::(\d{1,5}|\*))?$/i.exec(text);
  if (match) return null;
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return t("origin.noScheme", { text });
  if (/^[a-z][a-z0-9+.-]*:\/\/[^/]+\//i.test(text)) return t("origin.path", { text });
  return t(text.includes("*") ? "origin.wildcard" : "origin.bad", { text });
}

/// A list of origins out of a field, one a line or apart by commas; `trouble` names the first that isn't one.
export function originsIn(text) {
  const origins = [...new Set(text.split(/[\s,]+/).map((each) => each.trim().replace(/\/$/, "")).filter(Boolean))];
  return { origins, trouble: origins.map(originTrouble).find(Boolean) ?? null };
}

// A new project

export function newProject({ router, alive }) {
  const name = el("input", { type: "text", required: true, maxlength: "80", autocomplete: "off", spellcheck: "false", placeholder: "my-site" });
  const list = el("textarea", { rows: "3", spellcheck: "false", placeholder: "https://www.example.com\nhttps://*.example.com\nhttp://localhost:*" });
  const trouble = el("div");
  const act = el("button.primary", { type: "submit" }, t("project.create"));
  let check = null;
  const element = el("div.panel", null, el("h2", null, t("setup.new")), el("p.dim", null, t("project.newText")));
  const form = el("form.form", { on: { submit: async (event) => {
    event.preventDefault();
    const given = originsIn(list.value);
    if (given.trouble) { replace(trouble, failure({ message: given.trouble })); list.focus(); return; }
    act.disabled = true;
    replace(trouble);
    try {
      const made = await projectAPI.create(name.value.trim(), given.origins);
      await router.reload().catch(() => {});
      if (alive()) born(made);
    } catch (error) {
      act.disabled = false;
      if (!router.refused(error)) replace(trouble, failure(error));
    }
  } } },
  field(t("project.name"), name, t("project.nameHint")), field(t("origin.list"), list, t("origin.hint")), trouble, el("div", null, act));
  element.append(form);

  function born(made) {
    const project = made?.project ?? {};
    const title = el("h2", { tabindex: "-1" }, tn("project.made", { name: el("bdi", null, words(project.name)) }));
    check = firstEvent({ id: words(project.id), name: words(project.name), router, hadEvent: false });
    replace(element, title,
      el("p.dim", null, t("project.keysOnce")),
      key(t("key.public"), words(made?.publicKey), t("key.publicText")),
      key(t("key.secret"), words(made?.secretKey), t("key.secretText")),
      el("h3", null, t("sending.page")), takeaway(snippet(words(made?.publicKey))),
      check.element,
      el("h3", null, t("sending.backend")), backends(words(made?.secretKey)),
      el("p", null, el("a.button", { href: format({ project: words(project.name) }) }, t("project.goTo", { name: words(project.name) }))));
    title.focus();
  }

  return { element, hide: () => check?.stop() };
}

/// A key, shown this once.
export function key(title, text, meaning) {
  return el("div.key-once", null,
    el("div", null, el("h3", null, title), el("p.hint", null, meaning)),
    el("div.key-line", null, el("code", { tabindex: "0" }, text), el("button", { type: "button", on: { click: () => copy(text, t("state.copied")) } }, icon("copy"), t("act.copy"))));
}

// The lines to paste

/// What goes into the page that holds the chat.
export function snippet(publicKey) {
  const origin = location.origin;
  return `<script src="${origin}/parley-loader.js"
        data-key="${publicKey}" data-url="${origin}"></script>
<script>
  const thread = parley.openThread()
  // The ID, at once: pass it to your backend.
  const id = thread.trackMessage({ role: "user", content: "Hello" })
  const answer = thread.trackMessage({ role: "assistant", content: "Hi!", replyTo: id })
  parley.trackFeedback(answer, { thumb: "up" })
</script>`;
}

/// What goes into a backend, for each way there is.
function backends(secretKey) {
  const origin = location.origin;
  const ways = [
    ["fetch", `await fetch("${origin}/v1/events", {
  method: "POST",
  headers: { "Authorization": "Bearer ${secretKey}", "Content-Type": "application/json" },
  body: JSON.stringify({ events: [{
    type: "run", id: crypto.randomUUID(), parent: messageId,   // the ID from the page
    kind: "llm", name: "answer", model: "gpt-4o", input: question, output: answer,
    startedAt: started, endedAt: Date.now(), success: true,
  }] }),
})`],
    ["curl", `curl ${origin}/v1/events -H "Authorization: Bearer ${secretKey}" -d '{"events":[
  {"type":"run","id":"run-1","kind":"llm","name":"answer","parent":"THE-MESSAGE-ID","model":"gpt-4o","input":"Hello","output":"Hi!","success":true}]}'`],
    ["Lunary", `LUNARY_API_URL=${origin}\nLUNARY_PRIVATE_KEY=${secretKey}`],
    ["Opik", `OPIK_URL_OVERRIDE=${origin}/api/\nOPIK_API_KEY=${secretKey}`],
    ["Agnost", `agnost.init("${secretKey}", endpoint="${origin}")`],
    ["OpenTelemetry", `OTEL_EXPORTER_OTLP_ENDPOINT=${origin}\nOTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20${secretKey}`],
  ];
  return el("div.ways", null, ways.map(([name, text], at) => el("details.fold", { open: at === 0, name: "backend" }, el("summary", null, name), el("div.fold-body", null, takeaway(text)))));
}

export function sending({ project, id, router, route }) {
  const check = firstEvent({ id, name: route.project, router, hadEvent: project.lastEventAt !== null && project.lastEventAt !== undefined, lastEventAt: project.lastEventAt });
  const publicKey = typeof project.publicKey === "string" ? project.publicKey : null;
  const keysHref = format({ project: route.project, view: "setup", section: "keys" });
  const element = el("div.sections", null,
    check.element,
    el("section.panel", null, el("h2", null, t("sending.page")), el("p.dim", null, t("sending.pageText")),
      !publicKey && el("p.warn-line", null, icon("warning"), el("span", null, tn("sending.noKey", { keys: el("a", { href: keysHref }, t("setup.keys")) }))),
      takeaway(snippet(publicKey ?? "pk_…"))),
    el("section.panel", null, el("h2", null, t("sending.backend")), el("p.dim", null, tn("sending.backendText", { keys: el("a", { href: keysHref }, t("setup.keys")) })), backends("sk_…")));
  return { element, hide: check.stop };
}

// The first event

/// Waits for the first event and turns green with it; until then it tells what was refused and what helps.
function firstEvent({ id, name, router, hadEvent, lastEventAt = null }) {
  const head = el("p.check-head", { role: "status" });
  const refusals = el("div");
  const element = el("section.panel.arrival", null, head, refusals);
  let arrived = hadEvent, asking = false;

  function say(at) {
    element.classList.toggle("good", arrived);
    if (arrived) replace(head, icon("check"), el("span", null, el("strong", null, t("arrival.there")), " ", at && el("span", null, `${t("arrival.last")} `, moment(at))));
    else if (!head.querySelector(".spinner")) replace(head, el("span.spinner", { "aria-hidden": "true" }), el("span", null, el("strong", null, t("arrival.waiting")), " ", t("arrival.waitingText")));
    if (arrived) replace(refusals);
  }

  async function look() {
    if (asking) return;
    asking = true;
    try {
      const at = (await projectAPI.read(id))?.project?.lastEventAt ?? null;
      const first = !arrived && at !== null;
      if (at !== null) arrived = true;
      if (first || at !== null) say(at);
      if (!arrived) await tell();
    } catch (error) { if (!router.refused(error)) throw error; } finally { asking = false; }
  }

  /// What the keys of this project were refused lately.
  async function tell() {
    const answer = await reader(name).outcomes({ from: new Date(Date.now() - RECENT).toISOString() }).catch(() => null);
    const found = new Map();
    for (const row of Array.isArray(answer?.outcomes) ? answer.outcomes : []) {
      for (const [reason, n] of Object.entries(row?.reasons ?? {})) found.set(reason, (found.get(reason) ?? 0) + (Number(n) || 0));
    }
    replace(refusals, found.size === 0 ? el("ul.remedies", null, ["page", "csp", "origin"].map((hint) => el("li.dim", null, t(`arrival.hint.${hint}`))))
      : [el("p", null, t("arrival.refused")), el("ul.remedies", null, [...found].sort((a, b) => b[1] - a[1]).map(([reason, n]) => el("li", null, icon("warning"), el("span", null,
        el("code", null, reason), " ", el("strong", null, `× ${figure(n)}`), " ", has(`remedy.${reason}`) ? t(`remedy.${reason}`) : "", " ",
        /^origin_/.test(reason) && [el("a", { href: format({ project: name, view: "setup", section: "origins" }) }, t("setup.origins")), " "],
        el("a", { href: `/docs/reasons#${encodeURIComponent(reason)}`, target: "_blank", rel: "noopener" }, t("error.doc"))))))]);
  }

  say(lastEventAt);
  if (!arrived) tell().catch(() => {});
  const stopLooking = whileVisible(LOOK, async () => { if (!arrived) await look(); });
  const stopLive = live(name, { onChange: () => { look().catch(() => {}); } });
  return { element, stop() { stopLooking(); stopLive(); } };
}
