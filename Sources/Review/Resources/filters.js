// What the list is narrowed to: the search box, the folded filters and, for each that is set, a chip that takes it off.
// All of it lives in the address; this only shows it and says what somebody changed.

import { el, icon, replace, spoken, words } from "./dom.js";
import { FILTERS } from "./route.js";
import { absoluteTime, figure } from "./text.js";
import { has, t } from "./words.js";

const TYPING_PAUSE = 300; // after the last keystroke in the search box

const CHOICES = {
  role: ["user", "assistant", "system", "tool"],
  feedback: ["up", "down", "any", "none"],
  status: ["active", "inactive"],
  provenance: ["verified", "claimed", "anonymous", "confirmed", "differs"],
  error: ["true"],
  runs: ["orphan", "pending"],
  reviewed: ["false", "true"],
  seen: ["false", "true"],
};
const FOLDED = ["user", "tag", "role", "feedback", "score", "status", "provenance", "error", "runs", "reviewed", "seen"];
const SCORE = /^(.+?)(>=|<=|>|<|=)(.*)$/s; // name, comparison, value
const OPERATORS = [">=", "<=", ">", "<", "="];
const RANGES = [["today", 0], ["days7", 6], ["days30", 29]]; // and how many days before today they begin

/// `change(filters)` is told the filters that are new, `clear()` that all go.
export function filterForm({ change, clear }) {
  let route = null, api = null, known = null;
  const search = el("input.search-field", { type: "search", placeholder: t("filter.q"), "aria-label": t("filter.q"), autocomplete: "off", spellcheck: "false" });
  const tagNames = el("datalist", { id: "known-tags" });
  const scoreNames = el("datalist", { id: "known-scores" });
  const score = {
    name: el("input", { type: "text", list: "known-scores", autocomplete: "off", "aria-label": t("filter.scoreName"), placeholder: t("filter.scoreAny") }),
    operator: el("select", { "aria-label": t("filter.scoreOperator") }, el("option", { value: "" }, t("filter.scoreGiven")), OPERATORS.map((each) => el("option", { value: each }, t(`operator.${each}`)))),
    value: el("input", { type: "text", autocomplete: "off", inputmode: "decimal", "aria-label": t("filter.scoreValue") }),
  };
  const fields = {
    user: el("input", { type: "text", autocomplete: "off", spellcheck: "false" }),
    tag: el("input", { type: "text", autocomplete: "off", list: "known-tags" }),
    from: el("input", { type: "datetime-local" }), to: el("input", { type: "datetime-local" }),
  };
  for (const name of Object.keys(CHOICES)) fields[name] = el("select", null, el("option", { value: "" }, t("filter.any")), CHOICES[name].map((value) => el("option", { value }, t(`${name}.${value}`))));
  const scoreField = el("fieldset.filter-score", null, el("legend", null, t("filter.score")), el("div.score-filter", null, score.name, score.operator, score.value));
  const filterCount = el("span.count", { hidden: true });
  const filterFold = el("details.filters", { on: { toggle: suggestions } },
    el("summary", null, t("filter.title"), filterCount),
    el("div.filter-grid", null,
      FOLDED.map((name) => name === "score" ? scoreField : el(`label.filter-${name}`, null, el("span", null, t(`filter.${name}`)), fields[name])),
      el("div.quick", { role: "group", "aria-label": t("filter.ranges") }, RANGES.map(([name, days]) => el("button", { type: "button", on: { click: () => change({ from: daysBack(days), to: undefined }) } }, t(`range.${name}`)))),
      ["from", "to"].map((name) => el(`label.filter-${name}`, null, el("span", null, t(`filter.${name}`)), fields[name]))),
    tagNames, scoreNames);
  const active = el("div.active-filters");
  const form = el("form.search", { role: "search", on: { submit: (event) => { event.preventDefault(); apply("q", search.value.trim()); } } }, icon("search"), search);

  let typed = 0;
  search.addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(() => apply("q", search.value.trim()), TYPING_PAUSE); });
  for (const name of ["user", "tag"]) fields[name].addEventListener("change", () => apply(name, fields[name].value.trim()));
  for (const name of Object.keys(CHOICES)) fields[name].addEventListener("change", () => apply(name, fields[name].value));
  for (const name of ["from", "to"]) fields[name].addEventListener("change", () => apply(name, fromLocal(fields[name].value)));
  for (const part of Object.values(score)) part.addEventListener("change", () => apply("score", scoreFilter()));

  function scoreFilter() {
    const name = score.name.value.trim(), value = score.value.value.trim();
    score.value.disabled = score.operator.value === "";
    if (!name) return "";
    return score.operator.value && value ? `${name}${score.operator.value}${value}` : score.operator.value ? route?.filters.score ?? "" : name;
  }

  /// What the gateway knows already, offered once the filters are opened.
  async function suggestions() {
    if (!filterFold.open || known === route?.project) return;
    known = route?.project;
    const asked = api;
    const [tags, names] = await Promise.all([asked.tags().catch(() => null), asked.scoreNames().catch(() => null)]);
    if (asked !== api) return;
    replace(tagNames, list(tags?.tags).map((each) => el("option", { value: words(each?.tag) })));
    replace(scoreNames, ["any", "none", ...list(names?.names).map((each) => words(each?.name))].map((value) => el("option", { value })));
  }

  function apply(name, value) {
    if (!route || (route.filters[name] ?? "") === (value ?? "")) return;
    change({ [name]: value || undefined });
  }

  /// A filter in words: "Feedback: Thumbs up".
  function filterWords(name, value) {
    if (name === "from" || name === "to") return absoluteTime(value);
    const score = name === "score" ? SCORE.exec(value) : null;
    if (score) return `${score[1]} ${t(`operator.${score[2]}`)} ${score[3]}`;
    return has(`${name}.${value}`) ? t(`${name}.${value}`) : value;
  }

  /// Called with every change of the filters in the address.
  function show(next, reading) {
    if (route?.project !== next.project) known = null;
    route = next;
    api = reading;
    const { filters } = route;
    const fill = (field, value) => { if (document.activeElement !== field) field.value = value; };
    fill(search, filters.q ?? "");
    for (const name of ["user", "tag", ...Object.keys(CHOICES)]) fill(fields[name], filters[name] ?? "");
    for (const name of ["from", "to"]) fill(fields[name], toLocal(filters[name]));
    const [, name, operator, value] = SCORE.exec(filters.score ?? "") ?? [null, filters.score ?? "", "", ""];
    fill(score.name, name); fill(score.value, value);
    if (filters.score || document.activeElement !== score.operator) score.operator.value = operator;
    score.value.disabled = score.operator.value === "";
    const set = FILTERS.filter((each) => filters[each]);
    const folded = set.filter((each) => each !== "q");
    filterCount.hidden = folded.length === 0;
    filterCount.textContent = figure(folded.length);
    replace(active, set.map((each) => el("button.active-filter", { type: "button", title: t("filter.remove"), on: { click: () => { if (each === "q") search.value = ""; apply(each, ""); } } },
      el("span.dim", null, `${t(`filter.short.${each}`)} `), el("bdi", null, filterWords(each, filters[each])), icon("close"), spoken(t("filter.removeSpoken")))),
    set.length > 1 && el("button.link", { type: "button", on: { click: clear } }, t("filter.clearAll")));
  }

  return {
    form, fold: filterFold, active, show, suggestions,
    empty() { search.value = ""; },
    focus() { search.focus(); search.select(); },
  };
}

function list(any) { return Array.isArray(any) ? any : []; }

/// The wire speaks ISO in UTC, the field speaks the reader's own clock.
function toLocal(iso) {
  const at = iso ? new Date(iso) : null;
  if (!at || Number.isNaN(at.getTime())) return "";
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function fromLocal(text) {
  const at = text ? new Date(text) : null;
  return !at || Number.isNaN(at.getTime()) ? "" : at.toISOString();
}

/// The beginning of the reader's day, so many days ago.
function daysBack(days) {
  const at = new Date();
  at.setHours(0, 0, 0, 0);
  at.setDate(at.getDate() - days);
  return at.toISOString();
}
