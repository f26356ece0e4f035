// The tree of runs behind a message: what was called, how long it took, what it cost, what went wrong.
// All bars of one tree share a time axis, from the first start to the last end.

import { el, icon, spoken, words } from "./dom.js";
import { filled, fold, json, pairs, sizeIn, value } from "./content.js";
import { absoluteTime, count, duration, figure, instant, money } from "./text.js";

const LINKS = {
  bound: ["linked", "The parent this run names is here."],
  pending: ["link pending", "The run names a parent that hasn't arrived yet. It binds when the parent does."],
  refused: ["link refused", "The parent this run names can't hold it: itself, a circle, or another project."],
  none: ["no parent", "The run names no parent."],
};
const OPEN_UNDER = 400; // characters; an input or output this short needs no click

/// The tree under a message. Folded, but for what failed: that is said in the open.
export function runTree(runs, { key, open = false, title = null } = {}) {
  if (!Array.isArray(runs) || runs.length === 0) return null;
  const all = flatten(runs);
  const failed = all.filter((run) => run.success === false || run.error);
  const axis = axisOf(all);
  const tokens = runs.reduce((sum, run) => sum + tokensUnder(run), 0);
  const cost = runs.reduce((sum, run) => sum + costUnder(run), 0);
  const pending = all.some((run) => run.link === "pending");
  const node = el("details.trace", { data: { fold: `trace:${key}` } },
    el("summary", null,
      el("span.trace-title", null, title ?? count(all.length, "run")),
      axis.span > 0 && el("span.fact", { title: "From the first start to the last end" }, duration(axis.span)),
      tokens > 0 && el("span.fact", null, count(tokens, "token")),
      cost > 0 && el("span.fact", null, money(cost)),
      failed.length > 0 && el("span.chip.bad", null, `${failed.length} failed`),
      pending && el("span.chip.warn", { title: LINKS.pending[1] }, LINKS.pending[0])));
  let made = false;
  const fill = () => {
    if (made || !node.open) return;
    made = true;
    node.append(el("div.trace-body", null,
      axis.span > 0 && el("div.axis", { "aria-hidden": "true" }, el("span", null, "0"), el("span", null, duration(axis.span / 2)), el("span", null, duration(axis.span))),
      branches(runs, axis)));
  };
  node.addEventListener("toggle", fill);
  if (open) { node.open = true; fill(); }
  return el("div.trace-box", null, node, failed.slice(0, 3).map(failureLine));
}

function failureLine(run) {
  return el("p.trace-error", { dir: "auto" }, icon("warning"), el("span", null, el("strong", null, el("bdi", null, runName(run))), " ", el("span", null, errorText(run) || "failed")));
}

function branches(runs, axis) {
  return el("ul.runs", null, runs.map((run) => el("li", null,
    row(run, axis),
    Array.isArray(run.runs) && run.runs.length > 0 && branches(run.runs, axis))));
}

function row(run, axis) {
  const failed = run.success === false || Boolean(run.error);
  const running = !failed && run.endedAt == null && run.latencyMs == null;
  const kind = words(run.kind) || "run";
  const tokens = tokenCounts(run.usage);
  const node = el("details.run", { data: { fold: `run:${words(run.id)}` } },
    el("summary", null,
      el("span.run-what", null,
        el(`span.kind.kind-${/^[a-z]+$/.test(kind) ? kind : "other"}`, null, kind),
        el("bdi.run-name", { title: runName(run) }, runName(run)),
        run.model && run.model !== run.name && el("bdi.run-model", null, run.model),
        failed && el("span.chip.bad", null, "failed"),
        running && el("span.chip", null, "no end yet"),
        run.link && run.link !== "bound" && linkChip(run.link)),
      el("span.run-facts", null,
        tokens.total > 0 && el("span", { title: tokenTitle(tokens) }, figure(tokens.total), el("span.dim", null, " tok")),
        typeof run.cost === "number" && el("span", null, money(run.cost)),
        run.latencyMs != null && el("span.latency", null, duration(run.latencyMs))),
      bar(run, axis, failed, running)));
  let made = false;
  node.addEventListener("toggle", () => {
    if (made || !node.open) return;
    made = true;
    node.append(inside(run, tokens));
  });
  return node;
}

function linkChip(link) {
  const [label, meaning] = LINKS[link] ?? [words(link), ""];
  return el(`span.chip${link === "refused" ? ".bad" : link === "pending" ? ".warn" : ""}`, { title: meaning }, label, spoken(`: ${meaning}`));
}

function bar(run, axis, failed, running) {
  const track = el("span.track", { "aria-hidden": "true" });
  const start = instant(run.startedAt);
  if (start === null || axis.span <= 0) return track;
  const end = instant(run.endedAt) ?? (run.latencyMs != null ? start + run.latencyMs : running ? axis.end : start);
  const left = ((start - axis.start) / axis.span) * 100;
  const width = Math.max(0, (end - start) / axis.span) * 100;
  track.append(el(`span.fill${failed ? ".bad" : running ? ".running" : ""}`, { css: { left: `${Math.min(left, 99)}%`, width: `${Math.min(width, 100 - left)}%` } }));
  track.title = `starts at ${duration(start - axis.start) || "0"}, takes ${duration(end - start) || "0"}`;
  return track;
}

function inside(run, tokens) {
  const id = words(run.id);
  const facts = [
    ["Run", run.id], ["Parent", run.parent], ["Link", run.link && `${LINKS[run.link]?.[0] ?? words(run.link)}. ${LINKS[run.link]?.[1] ?? ""}`],
    ["Model", run.model], ["Provider", run.provider], ["Tokens", tokens.total > 0 && tokenTitle(tokens)], ["Cost", typeof run.cost === "number" && money(run.cost)],
    ["Started", run.startedAt && absoluteTime(run.startedAt)], ["Ended", run.endedAt && absoluteTime(run.endedAt)],
  ].filter(([, text]) => text);
  return el("div.run-body", null,
    run.error && el("div.run-error", null, el("p.block-label", null, "Error"), typeof run.error === "string" ? value(run.error) : [el("p", { dir: "auto" }, errorText(run)), Object.keys(run.error).length > 1 && fold("Whole error", () => json(run.error), { key: `error:${id}` })]),
    piece("Input", run.input, id),
    piece("Output", run.output, id),
    filled(run.metadata) && fold("Metadata", () => pairs(run.metadata), { key: `metadata:${id}` }),
    filled(run.usage) && fold("Usage", () => json(run.usage), { key: `usage:${id}` }),
    el("dl.pairs", null, facts.map(([name, text]) => el("div", null, el("dt", null, name), el("dd", null, text)))));
}

function piece(label, any, id) {
  if (any === null || any === undefined) return null;
  const size = sizeIn(any);
  return fold(label, () => value(any), { open: size < OPEN_UNDER, key: `${label}:${id}`, hint: size < OPEN_UNDER ? null : count(size, "character") });
}

function runName(run) {
  return words(run.name) || words(run.model) || words(run.kind) || words(run.id);
}

function errorText(run) {
  if (!run.error) return "";
  return typeof run.error === "string" ? run.error : words(run.error.message ?? run.error.type ?? run.error);
}

function flatten(runs) {
  return runs.flatMap((run) => [run, ...flatten(Array.isArray(run.runs) ? run.runs : [])]);
}

function axisOf(all) {
  let start = Infinity, end = -Infinity;
  for (const run of all) {
    const from = instant(run.startedAt);
    if (from === null) continue;
    start = Math.min(start, from);
    end = Math.max(end, from, instant(run.endedAt) ?? from + (run.latencyMs ?? 0));
  }
  return { start, end, span: end > start ? end - start : 0 };
}

/// Usage by the names the common SDKs give it.
export function tokenCounts(usage) {
  const pick = (...names) => {
    for (const name of names) if (typeof usage?.[name] === "number") return usage[name];
    return 0;
  };
  const input = pick("inputTokens", "input_tokens", "promptTokens", "prompt_tokens", "input", "prompt");
  const output = pick("outputTokens", "output_tokens", "completionTokens", "completion_tokens", "output", "completion");
  return { input, output, total: pick("totalTokens", "total_tokens", "total") || input + output };
}

function tokenTitle({ input, output, total }) {
  return input || output ? `${figure(input)} in, ${figure(output)} out` : figure(total);
}

/// A parent that reports the sum of its children must not be counted beside them: the larger of the two stands.
function tokensUnder(run) {
  const below = (run.runs ?? []).reduce((sum, child) => sum + tokensUnder(child), 0);
  return Math.max(tokenCounts(run.usage).total, below);
}

function costUnder(run) {
  const below = (run.runs ?? []).reduce((sum, child) => sum + costUnder(child), 0);
  return Math.max(typeof run.cost === "number" ? run.cost : 0, below);
}
