// How a project is doing: its figures of a span of days beside those of the span before, and a few plots by day.

import { reader } from "./api.js";
import { chart } from "./charts.js";
import { el, replace } from "./dom.js";
import english from "./en-pages.js";
import { live } from "./live.js";
import { empty, failure, waiting } from "./parts.js";
import { format } from "./route.js";
import { duration, figure, share, shortDayOf } from "./text.js";
import { register, t } from "./words.js";

register(english);

const SPANS = [7, 30, 90]; // days
const FRESH = 15_000; // milliseconds between two looks, however much goes on

export default function overview({ go, router }) {
  let route = null, api = null, stop = null, timer = 0, asked = null;
  const body = el("div.room-body");
  const spans = el("div.spans", { role: "group", "aria-label": t("overview.span") });
  const element = el("section.operations", null, el("header.room-head", null, el("h1", null, t("nav.overview")), spans), body);

  function show(to) {
    const before = route;
    route = to;
    if (before?.project !== to.project) {
      stop?.();
      api = reader(to.project);
      replace(body, waiting());
      const soon = () => { timer ||= setTimeout(() => { timer = 0; load(true); }, FRESH); };
      stop = live(to.project, { onChange: soon, onReset: soon, onPoll: soon });
    }
    replace(spans, SPANS.map((days) => el("button", { type: "button", "aria-pressed": String(days === span()), on: { click: () => go({ ...route, section: days === 30 ? null : String(days) }, { replace: true }) } }, t("n.days", { n: days }))));
    load(before?.project === to.project);
  }

  function hide() {
    stop?.();
    stop = null; route = null;
    clearTimeout(timer);
    timer = 0;
  }

  function span() { return SPANS.find((days) => String(days) === route?.section) ?? 30; }

  async function load(quietly = false) {
    const mine = asked = route;
    if (!mine) return;
    const from = new Date();
    from.setHours(0, 0, 0, 0);
    from.setDate(from.getDate() - span() + 1);
    try {
      const answer = await api.overview({ from: from.toISOString(), offset: -from.getTimezoneOffset() });
      if (route === mine && asked === mine) draw(answer);
    } catch (error) {
      if (route === mine && !router.refused(error) && !(quietly && body.querySelector(".tiles"))) replace(body, failure(error, load));
    }
  }

  function draw(answer) {
    const days = (Array.isArray(answer?.days) ? answer.days : []).filter((day) => day !== null && typeof day === "object");
    const total = answer?.total ?? {}, previous = answer?.previous ?? {};
    if (!(total.messages > 0) && !(total.conversations > 0) && !(previous.messages > 0)) {
      replace(body, empty(t("overview.none"), el("p", null, t("overview.noneText")), router.can("admin") && el("a.button", { href: format({ project: route.project, view: "setup" }) }, t("nav.setup"))));
      return;
    }
    if (body.contains(document.activeElement) && body.querySelector(".tiles")) return; // somebody walks a plot: it keeps still
    const opened = [...body.querySelectorAll(".chart-table")].map((table) => table.open);
    const points = days.map((day) => ({ label: shortDayOf(`${day.day}T12:00:00`), long: shortDayOf(`${day.day}T12:00:00`) }));
    const values = (name) => days.map((day) => day[name]);
    const liked = (sum) => sum.up + sum.down > 0 ? sum.up / (sum.up + sum.down) : null;
    const dayOf = (at) => {
      const from = new Date(`${days[at].day}T00:00:00`), to = new Date(from);
      to.setDate(to.getDate() + 1);
      return { from: from.toISOString(), to: to.toISOString() };
    };
    const open = (filters) => (at) => go({ project: route.project, filters: { ...dayOf(at), ...filters } });
    replace(body,
      el("ul.tiles", null,
        tile("conversations", total.conversations, previous.conversations, figure),
        tile("users", total.users, previous.users, figure),
        tile("messages", total.messages, previous.messages, figure),
        tile("liked", liked(total), liked(previous), share, { better: "more", detail: t("overview.votes", { up: Number(total.up) || 0, down: Number(total.down) || 0 }) }),
        tile("errors", total.errors, previous.errors, figure, { better: "less", detail: total.runs > 0 ? t("overview.ofRuns", { share: share((total.errors || 0) / total.runs), n: total.runs }) : null }),
        tile("p50", total.latencyP50Ms, previous.latencyP50Ms, duration, { better: "less" }),
        tile("p95", total.latencyP95Ms, previous.latencyP95Ms, duration, { better: "less" })),
      days.length > 0 && el("div.charts", null,
        chart({ title: t("overview.conversations"), points, summary: t("chart.summary", { total: Number(total.conversations) || 0, most: most(values("conversations"), points) }),
          series: [{ name: t("overview.conversations"), kind: "bar", tone: "a", values: values("conversations") }], open: open({}), openLabel: t("overview.openDay") }),
        chart({ title: t("overview.feedback"), points, summary: t("overview.votes", { up: Number(total.up) || 0, down: Number(total.down) || 0 }),
          series: [{ name: t("overview.up"), kind: "bar", tone: "good", values: values("up") }, { name: t("overview.down"), kind: "bar", tone: "bad", values: values("down") }], open: open({ feedback: "any" }), openLabel: t("overview.openDay") }),
        chart({ title: t("overview.latency"), note: t("overview.latencyNote"), points, unit: (value) => value === 0 ? "0" : duration(value),
          summary: t("overview.latencySummary", { p50: duration(total.latencyP50Ms) || t("chart.noValue"), p95: duration(total.latencyP95Ms) || t("chart.noValue") }),
          series: [{ name: t("overview.p50Short"), kind: "line", tone: "a", values: values("latencyP50Ms") }, { name: t("overview.p95Short"), kind: "line", tone: "warn", values: values("latencyP95Ms") }] }),
        chart({ title: t("overview.errors"), points, summary: t("chart.summary", { total: Number(total.errors) || 0, most: most(values("errors"), points) }),
          series: [{ name: t("overview.errors"), kind: "bar", tone: "bad", values: values("errors") }], open: open({ error: "true" }), openLabel: t("overview.openDay") })));
    [...body.querySelectorAll(".chart-table")].forEach((table, at) => { if (opened[at]) table.open = true; });
  }

  /// A figure with what became of it since the span before. `better` says which way is good; by default, neither.
  function tile(name, value, before, say, { better = null, detail = null } = {}) {
    const known = typeof value === "number" && Number.isFinite(value);
    const grown = known && typeof before === "number" && before > 0 ? value / before - 1 : null;
    const tone = grown === null || !better || Math.abs(grown) < 0.005 ? "" : (grown > 0) === (better === "more") ? ".good-text" : ".bad-text";
    return el("li.tile", null,
      el("h2", null, t(`overview.${name}`)),
      el("p.tile-figure", null, known ? say(value) : "–"),
      el("p.tile-change", null,
        grown !== null ? el(`span${tone}`, { title: t("overview.before", { value: say(before) }) }, Math.abs(grown) < 0.005 ? t("overview.same") : t(grown > 0 ? "overview.more" : "overview.less", { share: share(Math.abs(grown)) })) : el("span.dim", null, t("overview.noBefore")),
        detail && el("span.dim", null, detail)));
  }

  return { element, show, hide };
}

function most(values, points) {
  let at = -1;
  values.forEach((value, each) => { if (typeof value === "number" && (at < 0 || value > values[at])) at = each; });
  return at < 0 ? t("chart.noValue") : t("chart.mostAt", { n: values[at], when: points[at].label });
}
