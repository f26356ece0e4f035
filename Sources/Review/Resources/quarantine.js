// What was refused but kept, grouped by its cause: see it, mend it, try the cure without storing, then send it through
// again or let it go.

import { reader } from "./api.js";
import { fold, value } from "./content.js";
import { el, icon, replace, words } from "./dom.js";
import english from "./en-pages.js";
import { confirm, empty, failure, field, moment, notice, waiting } from "./parts.js";
import { figure } from "./text.js";
import { has, register, t } from "./words.js";

register(english);

const PAGE = 20; // items shown of one cause
const SHOWN = 5; // refusals told after a try

export default function quarantine({ router }) {
  let route = null, api = null;
  const body = el("div.room-body");
  const element = el("section.operations", null,
    el("header", null, el("h1", null, t("nav.quarantine")), el("p.dim", null, t("quarantine.text"))), body);

  function show(to) {
    const same = route?.project === to.project && route?.reason === to.reason;
    route = to;
    api = reader(to.project);
    if (!same || !body.querySelector(".group")) load();
  }
  function hide() { route = null; }

  async function load() {
    const mine = route;
    replace(body, waiting());
    try {
      const answer = await api.quarantineGroups();
      if (route !== mine) return;
      const groups = (Array.isArray(answer?.groups) ? answer.groups : []).filter((group) => group !== null && typeof group === "object" && (!mine.reason || group.reason === mine.reason));
      draw(groups);
    } catch (error) { if (route === mine && !router.refused(error)) replace(body, failure(error, load)); }
  }

  function draw(groups) {
    if (groups.length === 0) { replace(body, empty(t("quarantine.none"), el("p", null, t("quarantine.noneText")))); return; }
    const total = groups.reduce((sum, group) => sum + (Number(group.count) || 0), 0);
    replace(body, el("p.standing-line", null, t("quarantine.total", { n: total, causes: t("n.causes", { n: groups.length }) })), groups.map((group) => groupElement(group)));
  }

  /// One cause: all that was refused for the same reason, at the same field, of the same type.
  function groupElement(group) {
    const what = { reason: group.reason, field: group.field ?? undefined, type: group.type ?? undefined };
    const count = el("strong", null, figure(Number(group.count) || 0));
    const mend = el("div.mend");
    const items = el("div.group-items");
    const act = (label, open) => el("button", { type: "button", on: { click: () => { replace(mend, open()); mend.querySelector("input, textarea, button")?.focus(); } } }, label);
    const section = el("section.group", null,
      el("header", null,
        el("div", null,
          el("h2", null, words(group.message) || words(group.reason)),
          el("p.aside-facts", null, el("span.chip.warn", null, words(group.reason)), group.type && el("span.chip", null, words(group.type)), group.field && el("span", null, t("quarantine.field"), " ", el("code", null, words(group.field))),
            el("span", null, count, ` ${t("quarantine.kept", { n: Number(group.count) || 0 })}`), el("span", null, t("quarantine.last"), " ", moment(group.lastAt)))),
        router.can("admin") && el("div.group-acts", null,
          act(t("quarantine.again"), () => cure(group, what, { plain: true })),
          act(t("quarantine.fix"), () => cure(group, what)),
          el("button.quiet", { type: "button", on: { click: () => dismiss(group, what) } }, t("quarantine.dismiss")))),
      mend,
      el("div.group-body", null,
        el("p.why-text", null, has(`reason.${group.reason}`) ? t(`reason.${group.reason}`) : null, " ", el("a", { href: `/docs/reasons#${encodeURIComponent(words(group.reason))}`, target: "_blank", rel: "noopener" }, t("error.doc"))),
        group.sample && typeof group.sample === "object" && itemElement(group.sample, { title: t("quarantine.sample") }),
        items));
    const more = el("button.link", { type: "button", on: { click: () => list(items, what, more) } }, t("quarantine.showAll"));
    if (group.count > 1) items.append(more);
    return section;
  }

  async function list(place, what, button, cursor = null) {
    button.disabled = true;
    try {
      const page = await api.quarantine({ ...what, limit: PAGE, cursor });
      button.remove();
      const found = (Array.isArray(page?.items) ? page.items : []).filter((item) => item !== null && typeof item === "object");
      place.append(el("ul.aside-items", null, found.map((item) => el("li", null, itemElement(item, { alone: true })))));
      if (page?.next) { const next = el("button.load-more", { type: "button", on: { click: () => list(place, what, next, page.next) } }, t("list.more")); place.append(next); }
    } catch (error) { button.disabled = false; if (!router.refused(error)) place.append(failure(error)); }
  }

  function itemElement(item, { title = null, alone = false } = {}) {
    const outcome = el("div.outcome", { role: "status" });
    const differs = Array.isArray(item.differs) ? item.differs.filter((each) => each !== null && typeof each === "object") : [];
    return el("div.aside-item", null,
      title && el("h3", null, title),
      el("p.aside-facts", null,
        item.eventId && el("span", null, "id ", el("code", null, words(item.eventId))), item.lane && el("span", null, t("quarantine.lane", { lane: words(item.lane) })),
        item.origin && el("bdi", null, words(item.origin)), moment(item.receivedAt)),
      differs.length > 0 && differences(differs),
      fold(t("quarantine.payload"), () => value(item.payload), { key: `payload:${words(item.id)}`, open: !alone && differs.length === 0 }),
      alone && router.can("admin") && el("div.item-acts", null,
        el("button", { type: "button", on: { click: (press) => one({ ids: [item.id] }, press.currentTarget, outcome) } }, t("quarantine.again")),
        el("button.quiet", { type: "button", on: { click: async (press) => {
          const button = press.currentTarget;
          button.disabled = true;
          try { await api.dismiss({ ids: [item.id] }); replace(outcome, el("p.dim", null, t("quarantine.gone"))); } catch (error) { button.disabled = false; if (!router.refused(error)) replace(outcome, failure(error)); }
        } } }, t("quarantine.dismissOne"))),
      outcome);
  }

  async function one(what, button, outcome) {
    button.disabled = true;
    try { replace(outcome, tally(count(await api.replay(what)))); } catch (error) { button.disabled = false; if (!router.refused(error)) replace(outcome, failure(error)); }
  }

  // Mending

  /// The form that mends a whole cause: a change to each event, whom to trust, a try, and then all of them.
  function cure(group, what, { plain = false } = {}) {
    const named = typeof group.field === "string" && group.field && !group.field.includes("[") ? group.field : null;
    const fixed = named ? el("input", { type: "text", autocomplete: "off", spellcheck: "false" }) : null;
    const patch = el("textarea.code", { rows: "4", spellcheck: "false", value: "{\n  \n}" });
    const raw = el("details.fold", { open: named ? null : true }, el("summary", null, t("quarantine.patch")), el("div.fold-body", null, field(t("quarantine.patchLabel"), patch, t("quarantine.patchHint"))));
    const trust = el("input", { type: "checkbox", checked: group.reason === "lane_forbidden" && !plain });
    const outcome = el("div.outcome", { role: "status" });
    const trouble = el("div");
    const total = Number(group.count) || 0;
    let stopped = false;

    function body(more) {
      const request = { ...what, ...more };
      if (trust.checked) request.trust = true;
      if (plain) return request;
      const change = raw.open ? JSON.parse(patch.value.trim() || "{}") : {};
      if (change === null || typeof change !== "object" || Array.isArray(change)) throw new SyntaxError(t("quarantine.patchShape"));
      if (fixed && fixed.value !== "") put(change, named, guess(fixed.value));
      if (Object.keys(change).length > 0) request.patch = change;
      return request;
    }

    async function attempt(run) {
      replace(trouble);
      let request;
      try { request = body({}); } catch (error) { replace(trouble, failure({ message: t("quarantine.patchBroken", { why: error.message }) })); return; }
      for (const button of form.querySelectorAll("button")) button.disabled = true;
      try { await run(request); } catch (error) { if (!router.refused(error)) replace(trouble, failure(error)); }
      for (const button of form.querySelectorAll("button")) button.disabled = false;
    }

    const rehearse = () => attempt(async (request) => {
      const answer = await api.replay({ ...request, dryRun: true });
      const tried = Array.isArray(answer?.results) ? answer.results.length : 0;
      replace(outcome, el("p.strong", null, t("quarantine.tried", { n: tried })), tally(count(answer)));
    });

    /// All of a cause, as many at a time as the gateway takes, until none is left or somebody stops it.
    const replay = () => attempt(async (request) => {
      stopped = false;
      let done = 0, left = 0, cursor = null;
      const sums = { verdicts: new Map(), refusals: new Map() };
      const bar = el("progress", { max: String(Math.max(1, total)), value: 0, "aria-label": t("quarantine.replaying") });
      const line = el("span");
      const stop = el("button.quiet", { type: "button", on: { click: () => { stopped = true; } } }, t("quarantine.stop"));
      replace(outcome, el("p.progress", null, bar, line, stop));
      for (;;) {
        line.textContent = t("quarantine.progress", { done, n: Math.max(done, total) });
        const answer = await api.replay(cursor ? { ...request, cursor } : request);
        const results = Array.isArray(answer?.results) ? answer.results : [];
        count(answer, sums);
        done += results.length;
        cursor = typeof answer?.next === "string" ? answer.next : null;
        bar.value = Math.min(done, total);
        if (cursor === null || stopped) { left = cursor === null ? 0 : Math.max(0, total - done); break; }
      }
      replace(outcome, el("p.strong", null, t(stopped ? "quarantine.stoppedAfter" : "quarantine.replayed", { n: done })), tally(sums), left > 0 && el("p.dim", null, t("quarantine.left", { n: left })), el("p", null, el("button", { type: "button", on: { click: load } }, t("quarantine.look"))));
    });

    const form = el("form.cure", { on: { submit: (event) => { event.preventDefault(); rehearse(); } } },
      el("h3", null, t(plain ? "quarantine.again" : "quarantine.fix")),
      plain ? el("p.dim", null, t("quarantine.againText")) : [
        fixed && field(t("quarantine.fixField", { field: named }), fixed, t("quarantine.fixHint")),
        raw],
      (group.reason === "lane_forbidden" || !plain) && el("label.check", null, trust, el("span", null, t("quarantine.trust"), el("span.hint.below", null, t("quarantine.trustHint")))),
      trouble,
      el("div.dialog-acts.start", null,
        el("button", { type: "submit" }, t("quarantine.rehearse")),
        el("button.primary", { type: "button", on: { click: replay } }, t("quarantine.replay", { n: total })),
        el("button.quiet", { type: "button", on: { click: () => form.remove() } }, t("act.close"))),
      outcome);
    return form;
  }

  async function dismiss(group, what) {
    let removed = 0;
    const done = await confirm({ title: t("quarantine.dismissTitle"), body: t("quarantine.dismissText", { n: Number(group.count) || 0 }), act: t("quarantine.dismiss"), run: async () => { removed = (await api.dismiss(what))?.removed ?? 0; } });
    if (!done) return;
    notice(t("quarantine.removed", { n: Number(removed) || 0 }));
    load();
  }

  return { element, show, hide };
}

/// Verdicts counted, and the sentences of those that were refused again.
function count(answer, sums = { verdicts: new Map(), refusals: new Map() }) {
  for (const result of Array.isArray(answer?.results) ? answer.results : []) {
    const verdict = words(result?.verdict) || "?";
    sums.verdicts.set(verdict, (sums.verdicts.get(verdict) ?? 0) + 1);
    const said = words(result?.message ?? result?.reason);
    if (verdict !== "stored" && verdict !== "duplicate" && said) sums.refusals.set(said, (sums.refusals.get(said) ?? 0) + 1);
  }
  return sums;
}

function tally({ verdicts, refusals }) {
  if (verdicts.size === 0) return el("p.dim", null, t("quarantine.nothing"));
  return [
    el("p.verdicts", null, [...verdicts].map(([verdict, n]) => el(`span.chip${verdict === "stored" || verdict === "duplicate" ? ".good" : ".bad"}`, null, el("strong", null, figure(n)), ` ${has(`verdict.${verdict}`) ? t(`verdict.${verdict}`) : verdict}`))),
    refusals.size > 0 && el("ul.refusals", null, [...refusals].slice(0, SHOWN).map(([said, n]) => el("li", null, icon("warning"), el("span", null, said, n > 1 && ` (${figure(n)})`)))),
  ];
}

/// Sets `user.id` in `{}` as `{ user: { id } }`.
function put(change, path, filled) {
  const steps = path.split(".");
  let at = change;
  for (const step of steps.slice(0, -1)) {
    if (at[step] === null || typeof at[step] !== "object") Object.defineProperty(at, step, { value: {}, enumerable: true, writable: true, configurable: true });
    at = at[step];
  }
  Object.defineProperty(at, steps.at(-1), { value: filled, enumerable: true, writable: true, configurable: true });
}

/// What somebody typed as the value they meant: a number, true, null, a list; else the text itself.
function guess(text) {
  try { return JSON.parse(text); } catch { return text; }
}

/// Field by field, what stands in the store beside what came later.
function differences(list) {
  return el("div.table-box", null, el("table.differs", null,
    el("thead", null, el("tr", null, el("th", { scope: "col" }, t("differs.field")), el("th", { scope: "col" }, t("differs.stored")), el("th", { scope: "col" }, t("differs.received")))),
    el("tbody", null, list.map(({ field, stored, received }) => {
      const [a, b] = apart(plain(stored), plain(received));
      return el("tr", null, el("th", { scope: "row" }, el("code", null, words(field))), el("td", { dir: "auto" }, marked(a, "del", stored)), el("td", { dir: "auto" }, marked(b, "ins", received)));
    }))));
}

function plain(any) {
  if (any === undefined || any === null) return "";
  return typeof any === "string" ? any : JSON.stringify(any, null, 2);
}

/// The middle where two texts differ, between what they share at both ends.
function apart(a, b) {
  const left = [...a], right = [...b]; // by character, so that no emoji is cut in half
  let head = 0, tail = 0;
  while (head < left.length && head < right.length && left[head] === right[head]) head += 1;
  while (tail < left.length - head && tail < right.length - head && left[left.length - 1 - tail] === right[right.length - 1 - tail]) tail += 1;
  const cut = (letters) => [letters.slice(0, head).join(""), letters.slice(head, letters.length - tail).join(""), letters.slice(letters.length - tail).join("")];
  return [cut(left), cut(right)];
}

function marked([head, middle, tail], tag, original) {
  if (original === undefined || original === null) return el("span.dim", null, t("differs.absent"));
  return [head, middle && el(tag, null, middle), tail];
}
