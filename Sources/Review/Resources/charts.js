// Small plots: bars that stack and lines, over days or minutes. The picture is one image with a summary in words;
// its points can be walked with the arrow keys, and the same figures stand in a table below.

import { el, replace, words } from "./dom.js";
import { figure } from "./text.js";
import { t } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000, HEIGHT = 100; // of the drawing's own grid; it stretches to the space it gets

function shape(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) node.setAttribute(attribute, String(value));
  return node;
}

/// A plot. `points` are [{ label, long }], `series` [{ name, kind: "bar" | "line", tone, values }] with a number or
/// null for each point; `unit(value)` says a value; `open(index)` follows a point, where there is somewhere to go.
export function chart({ title, note = null, summary, points, series, unit = figure, open = null, openLabel = null }) {
  const number = (value) => typeof value === "number" && Number.isFinite(value) ? value : null;
  const bars = series.filter((each) => each.kind !== "line"), lines = series.filter((each) => each.kind === "line");
  const stacks = points.map((point, at) => bars.reduce((sum, each) => sum + Math.max(0, number(each.values[at]) ?? 0), 0));
  const top = ceiling(Math.max(0, ...stacks, ...lines.flatMap((each) => each.values.map((value) => number(value) ?? 0))));
  const step = WIDTH / Math.max(1, points.length);
  const y = (value) => HEIGHT - (value / top) * HEIGHT;
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}. ${summary}`, class: "plot" });
  for (const part of [0, 0.5, 1]) svg.append(shape("line", { x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part, class: "grid-line", "vector-effect": "non-scaling-stroke" }));
  points.forEach((point, at) => {
    let below = 0;
    for (const each of bars) {
      const value = Math.max(0, number(each.values[at]) ?? 0);
      if (value > 0) svg.append(shape("rect", { x: at * step + step * 0.12, width: step * 0.76, y: y(below + value), height: (value / top) * HEIGHT, class: `fill-${each.tone}` }));
      below += value;
    }
  });
  for (const each of lines) for (const path of paths(each.values.map(number), step, y)) svg.append(shape("path", { d: path, class: `stroke-${each.tone}`, "vector-effect": "non-scaling-stroke" }));

  // One control walks the points: a mouse by where it is, the arrow keys one by one.
  let current = points.length - 1;
  const say = (at) => [words(points[at].long ?? points[at].label), ...series.map((each) => `${each.name} ${number(each.values[at]) === null ? t("chart.noValue") : unit(each.values[at])}`)];
  const tip = el("div.chart-tip", { "aria-hidden": "true", hidden: true });
  const mark = el("span.chart-mark", { hidden: true, css: { width: `${100 / Math.max(1, points.length)}%` } });
  const walk = points.length > 0 && el("div.chart-walk", { role: "slider", tabindex: "0", "aria-label": open && openLabel ? `${title}. ${openLabel}` : title, "aria-valuemin": "0", "aria-valuemax": String(points.length - 1), on: {
    pointermove: (move) => { const box = walk.getBoundingClientRect(); point(Math.min(points.length - 1, Math.max(0, Math.floor((move.clientX - box.left) / box.width * points.length)))); },
    pointerleave: () => { if (document.activeElement !== walk) hide(); },
    focus: () => point(current),
    blur: hide,
    click: () => open?.(current),
    keydown: (press) => {
      if (press.key === "Enter" && open) { press.preventDefault(); open(current); return; }
      const next = { ArrowLeft: current - 1, ArrowDown: current - 1, ArrowRight: current + 1, ArrowUp: current + 1, Home: 0, End: points.length - 1 }[press.key];
      if (next === undefined) return;
      press.preventDefault();
      press.stopPropagation();
      point(Math.min(points.length - 1, Math.max(0, next)));
    },
  } });
  if (open) walk?.classList?.add("opens");
  function name(at) {
    walk.setAttribute("aria-valuenow", String(at));
    walk.setAttribute("aria-valuetext", say(at).join(", "));
  }
  function point(at) {
    current = at;
    name(at);
    const [head, ...rest] = say(at);
    replace(tip, el("strong", null, head), rest.map((line) => el("span", null, line)));
    const share = (at + 0.5) / points.length;
    tip.style.setProperty("left", `${share * 100}%`);
    tip.style.setProperty("transform", `translateX(-${Math.round(share * 100)}%)`);
    mark.style.setProperty("left", `${at / points.length * 100}%`);
    tip.hidden = mark.hidden = false;
  }
  function hide() { tip.hidden = mark.hidden = true; }
  if (walk) name(current);

  const ticks = points.length < 3 ? points.map((point) => point.label) : [points[0].label, points[Math.floor((points.length - 1) / 2)].label, points.at(-1).label];
  return el("figure.chart", null,
    el("figcaption", null, el("h2", null, title), note && el("p.dim", null, note),
      series.length > 1 && el("ul.legend", null, series.map((each) => el("li", null, el(`span.swatch.tone-${each.tone}${each.kind === "line" ? ".thin" : ""}`, { "aria-hidden": "true" }), each.name)))),
    el("div.plot-box", null,
      el("div.plot-axis", { "aria-hidden": "true" }, el("span", null, unit(top)), el("span", null, unit(top / 2)), el("span", null, unit(0))),
      el("div.plot-area", null, svg, mark, walk, tip)),
    el("div.plot-marks", { "aria-hidden": "true" }, ticks.map((tick) => el("span", null, tick))),
    table({ title, points, series, unit, number }));
}

/// The same figures as a table, for whoever would rather read them.
function table({ title, points, series, unit, number }) {
  const fold = el("details.fold.chart-table", null, el("summary", null, t("chart.table")));
  fold.addEventListener("toggle", () => {
    if (!fold.open || fold.childElementCount > 1) return;
    fold.append(el("div.table-box", { tabindex: "0", role: "region", "aria-label": title }, el("table", null,
      el("thead", null, el("tr", null, el("th", { scope: "col" }, t("chart.when")), series.map((each) => el("th.number", { scope: "col" }, each.name)))),
      el("tbody", null, points.map((point, at) => el("tr", null, el("th", { scope: "row" }, words(point.long ?? point.label)), series.map((each) => el("td.number", null, number(each.values[at]) === null ? t("chart.noValue") : unit(each.values[at])))))))));
  });
  return fold;
}

/// A line, broken where there is no value; a value alone is a short dash.
function paths(values, step, y) {
  const found = [];
  let current = [];
  const close = () => {
    if (current.length === 1) current.push([current[0][0] + step * 0.3, current[0][1]]);
    if (current.length) found.push(`M${current.map(([x, height]) => `${x.toFixed(1)} ${height.toFixed(2)}`).join("L")}`);
    current = [];
  };
  values.forEach((value, at) => value === null ? close() : current.push([at * step + step / 2, y(value)]));
  close();
  return found;
}

/// The next round number whose half is round too, so that the axis says something one can read.
function ceiling(value) {
  if (!(value > 2)) return 2;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((each) => each * size).find((each) => each >= value) ?? value;
}
