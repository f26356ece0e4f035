// What became of every event, per key and minute, and whether all of them are accounted for.

import { reader } from "./api.js";
import { chart } from "./charts.js";
import { el, icon, replace, words } from "./dom.js";
import english from "./en-pages.js";
import { live } from "./live.js";
import { empty, failure, waiting } from "./parts.js";
import { absoluteTime, figure, hourTime, instant, minuteTime } from "./text.js";
import { register, t } from "./words.js";

register(english);

const VERDICTS = ["stored", "duplicate", "conflict", "quarantined", "dropped", "retry"];
const TONES = { stored: "good", duplicate: "dim", conflict: "b", quarantined: "warn", dropped: "bad", retry: "c" };
const MINUTE = 60_000;
const SPANS = [["hour", 60 * MINUTE, MINUTE], ["day", 1440 * MINUTE, 30 * MINUTE], ["week", 7 * 1440 * MINUTE, 180 * MINUTE]]; // and how much one bar holds
const FRESH = 15_000; // milliseconds between two looks
const KEYS = 6; // plots; the table has all
const ROWS = 200; // of the table, newest first, until somebody asks for all

export default function outcomes({ go, router }) {
  let route = null, api = null, stop = null, timer = 0, all = false;
  const body = el("div.room-body");
  const spans = el("div.spans", { role: "group", "aria-label": t("outcomes.span") });
  const element = el("section.operations", null,
    el("header", null, el("div.room-head", null, el("h1", null, t("nav.outcomes")), spans), el("p.dim", null, t("outcomes.text"))), body);

  function show(to) {
    const before = route;
    route = to;
    all = false;
    if (before?.project !== to.project) {
      stop?.();
      api = reader(to.project);
      const soon = () => { timer ||= setTimeout(() => { timer = 0; load(true); }, FRESH); };
      stop = live(to.project, { onChange: soon, onReset: soon, onPoll: soon });
    }
    const fixed = to.filters.from || to.filters.to;
    replace(spans, fixed && el("button", { type: "button", "aria-pressed": "true", on: { click: () => go({ ...route, filters: {} }, { replace: true }) } }, t("outcomes.fixed", { from: absoluteTime(to.filters.from) || "…", to: absoluteTime(to.filters.to) || t("outcomes.now") }), icon("close")),
      !fixed && SPANS.map((each) => el("button", { type: "button", "aria-pressed": String(each === span()), on: { click: () => go({ ...route, section: each[0] === "hour" ? null : each[0] }, { replace: true }) } }, t(`outcomes.${each[0]}`))));
    load();
  }

  function hide() {
    stop?.();
    stop = null; route = null;
    clearTimeout(timer);
    timer = 0;
  }

  function span() { return SPANS.find(([name]) => name === route?.section) ?? SPANS[0]; }

  async function load(quietly = false) {
    const mine = route;
    if (!mine) return;
    if (!quietly) replace(body, waiting());
    const now = Date.now();
    const from = mine.filters.from ?? (mine.filters.to ? undefined : new Date(now - span()[1]).toISOString());
    try {
      const page = await api.outcomes({ from, to: mine.filters.to });
      if (route === mine) draw(page, instant(from), instant(mine.filters.to) ?? now, quietly);
    } catch (error) { if (route === mine && !router.refused(error) && !quietly) replace(body, failure(error, load)); }
  }

  function draw(page, from, to, quietly) {
    const rows = (Array.isArray(page?.outcomes) ? page.outcomes : []).filter((row) => row !== null && typeof row === "object");
    const total = page?.total ?? {};
    if (rows.length === 0) { replace(body, empty(t("outcomes.none"), el("p", null, t("outcomes.noneText")))); return; }
    if (quietly && document.activeElement?.closest?.(".chart") && body.contains(document.activeElement)) return; // somebody walks a plot
    const opened = [...body.querySelectorAll("details")].map((fold) => fold.open);
    const sorted = [...rows].sort((a, b) => (instant(b.minute) ?? 0) - (instant(a.minute) ?? 0) || words(a.key).localeCompare(words(b.key)));
    const broken = sorted.filter((row) => balance(row) !== 0).length;
    const holds = broken === 0 && balance(total) === 0;
    const shown = all ? sorted : sorted.slice(0, ROWS);
    replace(body,
      el(`p.law${holds ? ".good" : ".bad"}`, { role: "status" }, icon(holds ? "check" : "warning"),
        holds ? t("outcomes.holds", { n: Number(total.received) || 0 }) : t("outcomes.broken", { n: broken, off: balance(total) })),
      plots(rows, from ?? Math.min(...rows.map((row) => instant(row.minute) ?? to)), to),
      el("div.table-box", { tabindex: "0", role: "region", "aria-label": t("outcomes.table") }, el("table.outcomes", null,
        el("thead", null, el("tr", null, ["minute", "key"].map((name) => el("th", { scope: "col" }, t(`outcomes.${name}`))), ["received", ...VERDICTS].map((name) => el("th.number", { scope: "col" }, t(`verdict.${name}`))), el("th", { scope: "col" }, t("outcomes.reasons")), el("th", { scope: "col" }, t("outcomes.law")))),
        el("tbody", null,
          el("tr.total", null, el("th", { scope: "row", colspan: "2" }, t("outcomes.total")), cells(total), el("td"), law(total)),
          shown.map((row) => el("tr", null,
            el("th", { scope: "row" }, el("time", { datetime: words(row.minute), title: absoluteTime(row.minute) }, minuteTime(row.minute))), el("td", null, el("code", null, words(row.key))), cells(row),
            el("td.why", null, reasons(row).map(([reason, n]) => el("span.chip", null, `${reason} `, el("strong", null, figure(n))))), law(row)))))),
      shown.length < sorted.length && el("button.load-more", { type: "button", on: { click: () => { all = true; draw(page, from, to, false); } } }, t("outcomes.showAll", { n: sorted.length })));
    [...body.querySelectorAll("details")].forEach((fold, at) => { if (quietly && opened[at]) fold.open = true; });
  }

  /// A plot a key, the busiest first: its verdicts stacked, and what was received as a line over them.
  function plots(rows, from, to) {
    const bin = binOf(to - from);
    const start = Math.floor(from / bin) * bin;
    const length = Math.min(500, Math.max(1, Math.floor((to - start) / bin) + 1));
    const keys = new Map();
    for (const row of rows) {
      const at = Math.floor(((instant(row.minute) ?? start) - start) / bin);
      if (at < 0 || at >= length) continue;
      const key = words(row.key);
      let sums = keys.get(key);
      if (!sums) { sums = { received: 0, bins: Object.fromEntries(["received", ...VERDICTS].map((name) => [name, new Array(length).fill(0)])) }; keys.set(key, sums); }
      sums.received += Number(row.received) || 0;
      for (const name of ["received", ...VERDICTS]) sums.bins[name][at] += Number(row[name]) || 0;
    }
    const points = Array.from({ length }, (_, at) => { const long = minuteTime(start + at * bin); return { label: to - start <= 1500 * MINUTE ? hourTime(start + at * bin) : long, long }; });
    const busiest = [...keys].sort((a, b) => b[1].received - a[1].received);
    return el("div.charts.wide", null, busiest.slice(0, KEYS).map(([key, { received, bins }]) => {
      const there = VERDICTS.filter((name) => bins[name].some((value) => value > 0));
      const sums = there.map((name) => `${t(`verdict.${name}`)} ${figure(bins[name].reduce((sum, value) => sum + value, 0))}`).join(", ");
      return chart({ title: key, note: t("outcomes.perBar", { time: bin === MINUTE ? t("n.minutes", { n: 1 }) : bin < 60 * MINUTE ? t("n.minutes", { n: bin / MINUTE }) : t("n.hours", { n: bin / (60 * MINUTE) }) }), points,
        summary: t("outcomes.summary", { n: received, sums }),
        series: [...there.map((name) => ({ name: t(`verdict.${name}`), kind: "bar", tone: TONES[name], values: bins[name] })), { name: t("verdict.received"), kind: "line", tone: "ink", values: bins.received }] });
    }), busiest.length > KEYS && el("p.dim", null, t("outcomes.moreKeys", { n: busiest.length - KEYS })));
  }

  function binOf(length) {
    return SPANS.find(([, most]) => length <= most + MINUTE)?.[2] ?? Math.ceil(length / 90 / (180 * MINUTE)) * 180 * MINUTE;
  }

  const balance = (row) => (Number(row.received) || 0) - VERDICTS.reduce((sum, name) => sum + (Number(row[name]) || 0), 0);
  const reasons = (row) => row.reasons !== null && typeof row.reasons === "object" ? Object.entries(row.reasons) : [];

  function cells(row) {
    return ["received", ...VERDICTS].map((name) => el(`td.number${(Number(row[name]) || 0) === 0 ? ".zero" : /conflict|quarantined|dropped|retry/.test(name) ? ".amiss" : ""}`, null, figure(Number(row[name]) || 0)));
  }

  function law(row) {
    const off = balance(row);
    return el("td", null, off === 0 ? el("span.good-text", { title: t("outcomes.lawTitle") }, t("outcomes.rowHolds")) : el("span.chip.bad", null, t("outcomes.off", { n: off })));
  }

  return { element, show, hide };
}
