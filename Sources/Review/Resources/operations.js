// Two pages for whoever keeps Parley running: what was set aside and why, and whether every event is accounted for.

import { reader } from "./api.js";
import { el, icon, replace, words } from "./dom.js";
import { fold, value } from "./content.js";
import { empty, failure, moment, notice, waiting, whileVisible } from "./parts.js";
import { format } from "./route.js";
import { absoluteTime, count, figure, instant, minuteTime } from "./text.js";

const REASONS = {
  lane_forbidden: "A public key sent what only a secret key may: runs, scores, costs.",
  weak_id: "The id could be guessed. Ids from web pages need 64 bits or more.",
  missing_field: "A field that the event needs isn't there.",
  invalid_field: "A field holds what it can't hold.",
  reserved_field: "A field that only the gateway may set.",
  id_conflict: "The same id came again with other content. The first one stands; this is the second.",
};
const VERDICTS = ["stored", "duplicate", "conflict", "quarantined", "dropped", "retry"];

// Quarantine

export function quarantine({ router }) {
  let route = null, api = null, items = [], counts = {}, next = null;
  const body = el("div.operations-body");
  const element = el("section.operations", { "aria-label": "Quarantine" }, el("header", null, el("h1", null, "Quarantine"), el("p.dim", null, "Events that were refused but kept. Mend the cause, then replay them: each gets a new verdict.")), body);

  function show(to) { route = to; api = reader(to.project); load(); }
  function hide() { route = null; }

  async function load() {
    const asked = route;
    replace(body, waiting());
    try {
      const page = await api.quarantine({ reason: route.reason, limit: 100 });
      if (route !== asked) return;
      items = page.items; counts = page.counts ?? {}; next = page.next;
      draw();
    } catch (error) { if (route === asked && !router.refused(error)) replace(body, failure(error, load)); }
  }

  async function more() {
    const asked = route;
    try {
      const page = await api.quarantine({ reason: route.reason, limit: 100, cursor: next });
      if (route !== asked) return;
      items = items.concat(page.items); next = page.next;
      draw();
    } catch (error) { if (!router.refused(error)) body.append(failure(error)); }
  }

  function draw() {
    const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
    if (items.length === 0 && total === 0) { replace(body, empty("Nothing is set aside", el("p", null, "Every event of this project was taken as it came. What can't be taken waits here, with the reason."))); return; }
    const groups = new Map();
    for (const item of items) groups.set(item.reason, [...(groups.get(item.reason) ?? []), item]);
    replace(body,
      el("nav.reasons", { "aria-label": "Reasons" },
        el("a.chip", { href: format({ ...route, reason: null }), "aria-current": route.reason ? null : "true" }, "All ", el("strong", null, figure(total))),
        Object.entries(counts).sort((a, b) => b[1] - a[1]).map(([reason, n]) => el("a.chip", { href: format({ ...route, reason }), "aria-current": route.reason === reason ? "true" : null }, `${reason} `, el("strong", null, figure(n))))),
      [...groups].map(([reason, group]) => el("section.group", null,
        el("header", null,
          el("div", null, el("h2", null, el("code", null, reason), " ", el("span.dim", null, figure(counts[reason] ?? group.length))),
            el("p", null, REASONS[reason] ?? "", " ", el("a", { href: `/docs/reasons#${encodeURIComponent(reason)}`, target: "_blank", rel: "noopener" }, "What to do"))),
          el("button", { type: "button", on: { click: (press) => replay({ reason }, press.currentTarget) } }, "Replay all")),
        el("ul.aside-items", null, group.map(itemElement)))),
      next && el("button.load-more", { type: "button", on: { click: more } }, "Load more"));
  }

  function itemElement(item) {
    const outcome = el("p.outcome", { role: "status" });
    return el("li.aside-item", null,
      el("div.aside-head", null,
        el("p", { dir: "auto" }, words(item.message) || item.reason),
        el("button", { type: "button", on: { click: (press) => replay({ ids: [item.id] }, press.currentTarget, outcome) } }, "Replay")),
      el("p.aside-facts", null,
        el("span.chip", null, words(item.type) || "event"), item.field && el("span", null, "field ", el("code", null, item.field)),
        item.eventId && el("span", null, "id ", el("code", null, item.eventId)), el("span", null, `${words(item.lane)} key`),
        item.origin && el("span", null, "from ", el("bdi", null, item.origin)), moment(item.receivedAt)),
      outcome,
      item.differs?.length > 0 && differences(item.differs),
      fold("What was sent", () => value(item.payload), { key: `payload:${item.id}` }));
  }

  async function replay(what, button, outcome) {
    button.disabled = true;
    try {
      const { results = [] } = await api.replay(what);
      const tally = new Map();
      for (const result of results) tally.set(result.verdict, (tally.get(result.verdict) ?? 0) + 1);
      const said = [...tally].map(([verdict, n]) => `${figure(n)} ${verdict}`).join(", ") || "Nothing to replay";
      if (outcome) {
        const one = results[0] ?? {};
        const done = one.verdict === "stored" || one.verdict === "duplicate";
        replace(outcome, el(`span.chip${done ? ".good" : ".bad"}`, null, words(one.verdict) || "no verdict"), " ", words(one.message ?? one.reason));
        button.disabled = done;
      } else { notice(`Replayed: ${said}`); load(); }
    } catch (error) {
      button.disabled = false;
      if (router.refused(error)) return;
      if (outcome) replace(outcome, failure(error)); else notice(error.message);
    }
  }

  return { element, show, hide };
}

/// Field by field, what stands in the store beside what came later.
function differences(list) {
  return el("div.table-box", null, el("table.differs", null,
    el("thead", null, el("tr", null, el("th", { scope: "col" }, "Field"), el("th", { scope: "col" }, "Stored, and stays"), el("th", { scope: "col" }, "Received later"))),
    el("tbody", null, list.map(({ field, stored, received }) => {
      const left = plain(stored), right = plain(received);
      const [a, b] = apart(left, right);
      return el("tr", null, el("th", { scope: "row" }, el("code", null, field)), el("td", { dir: "auto" }, marked(a, "del", stored)), el("td", { dir: "auto" }, marked(b, "ins", received)));
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
  if (original === undefined || original === null) return el("span.dim", null, "not there");
  return [head, middle && el(tag, null, middle), tail];
}

// Outcomes

export function outcomes({ go, router }) {
  const POLL = 30_000; // a minute's row changes for a minute
  const SPANS = [["Last hour", 3600e3], ["Last day", 86400e3], ["All", null]];
  let route = null, api = null, stop = null;
  const body = el("div.operations-body");
  const spans = el("div.spans", { role: "group", "aria-label": "Time span" });
  const element = el("section.operations", { "aria-label": "Outcomes" },
    el("header", null, el("h1", null, "Outcomes"), el("p.dim", null, "What became of every event, per key and minute. The law: received = stored + duplicate + conflict + quarantined + dropped + retry.")), spans, body);
  let span = SPANS[0];

  function show(to) {
    route = to; api = reader(to.project);
    drawSpans();
    load();
    stop ??= whileVisible(POLL, () => load(true));
  }
  function hide() { route = null; stop?.(); stop = null; }

  function drawSpans() {
    const fixed = route.filters.from || route.filters.to;
    replace(spans, fixed && el("button", { type: "button", "aria-pressed": "true", on: { click: () => go({ ...route, filters: {} }, { replace: true }) } }, `${absoluteTime(route.filters.from) || "start"} to ${absoluteTime(route.filters.to) || "now"}`, icon("close")),
      !fixed && SPANS.map((each) => el("button", { type: "button", "aria-pressed": String(each === span), on: { click: () => { span = each; drawSpans(); load(); } } }, each[0])));
  }

  async function load(quietly = false) {
    const asked = route;
    if (!quietly) replace(body, waiting());
    const from = route.filters.from ?? (span[1] && !route.filters.to ? new Date(Date.now() - span[1]).toISOString() : undefined);
    try {
      const page = await api.outcomes({ from, to: route.filters.to });
      if (route === asked) draw(page);
    } catch (error) { if (route === asked && !router.refused(error)) replace(body, failure(error, load)); }
  }

  function draw({ outcomes: rows = [], total = {} }) {
    if (rows.length === 0) { replace(body, empty("No events in this span", el("p", null, "As soon as a key sends something, its minutes are counted here."))); return; }
    const sorted = [...rows].sort((a, b) => (instant(b.minute) ?? 0) - (instant(a.minute) ?? 0) || words(a.key).localeCompare(words(b.key)));
    const broken = sorted.filter((row) => balance(row) !== 0).length;
    replace(body,
      el(`p.law${broken || balance(total) ? ".bad" : ".good"}`, { role: "status" }, icon(broken || balance(total) ? "warning" : "check"),
        broken || balance(total) ? `The law doesn't hold: ${count(broken, "row doesn't", "rows don't")} add up, and the total is off by ${figure(balance(total))}. Please report this.` : `The law holds: ${count(total.received ?? 0, "event")} received, every one accounted for.`),
      el("div.table-box", { tabindex: "0", role: "region", "aria-label": "Outcomes per key and minute" }, el("table.outcomes", null,
        el("thead", null, el("tr", null, ["Minute", "Key"].map((name) => el("th", { scope: "col" }, name)), ["Received", ...VERDICTS].map((name) => el("th.number", { scope: "col" }, name)), el("th", { scope: "col" }, "Reasons"), el("th", { scope: "col" }, "Law"))),
        el("tbody", null,
          el("tr.total", null, el("th", { scope: "row", colspan: "2" }, "Total"), cells(total), el("td"), law(total)),
          sorted.map((row) => el("tr", null,
            el("th", { scope: "row" }, el("time", { datetime: words(row.minute), title: absoluteTime(row.minute) }, minuteTime(row.minute))), el("td", null, el("code", null, row.key)), cells(row),
            el("td.why", null, Object.entries(row.reasons ?? {}).map(([reason, n]) => el("span.chip", null, `${reason} `, el("strong", null, figure(n))))), law(row)))))));
  }

  const balance = (row) => (row.received ?? 0) - VERDICTS.reduce((sum, name) => sum + (row[name] ?? 0), 0);

  function cells(row) {
    return ["received", ...VERDICTS].map((name) => el(`td.number${(row[name] ?? 0) === 0 ? ".zero" : /conflict|quarantined|dropped|retry/.test(name) ? ".amiss" : ""}`, null, figure(row[name] ?? 0)));
  }

  function law(row) {
    const off = balance(row);
    return el("td", null, off === 0 ? el("span.good-text", { title: "received = the sum of the verdicts" }, "holds") : el("span.chip.bad", null, `off by ${figure(off)}`));
  }

  return { element, show, hide };
}
