// The runs behind a message, in one line: how many, how long, how much, what failed. The tree below that line is
// in runs.js, which is loaded when one is first opened.

import { el, icon, words } from "./dom.js";
import { duration, instant, money } from "./text.js";
import { t } from "./words.js";

let tree = null; // runs.js, once loaded

/// The tree under a message. Folded, but for what failed: that is said in the open. `link(run)` is a run's address,
/// `message` that of the message above.
export function runTree(runs, { key, title = null, link = null, message = null } = {}) {
  if (!Array.isArray(runs) || runs.length === 0) return null;
  const context = survey(runs);
  Object.assign(context, { link, message });
  const { all, axis, tokens, cost } = context;
  const failed = all.filter(isFailed);
  const node = el("details.trace", { data: { fold: `trace:${key}` } },
    el("summary", { data: { act: "trace" } },
      el("span.trace-title", null, title ? el("bdi", null, title) : t("n.runs", { n: all.length })),
      axis.span > 0 && el("span.fact", { title: t("trace.span") }, duration(axis.span)),
      tokens > 0 && el("span.fact", null, t("n.tokens", { n: tokens })),
      cost > 0 && el("span.fact", null, money(cost)),
      failed.length > 0 && el("span.chip.bad", null, t("trace.failedCount", { n: failed.length })),
      all.some((run) => run.link === "pending") && el("span.chip.warn", null, t("edge.pending"))));
  let made = false;
  const fill = async () => {
    if (made || !node.open) return;
    made = true;
    if (!tree) try { tree = await import("./runs.js"); } catch (error) { made = false; console.error(error); return; }
    node.append(tree.treeBody(runs, context));
  };
  node.addEventListener("toggle", fill);
  return el("div.trace-box", null, node, failed.slice(0, 3).map(failureLine));
}

/// Opens the tree in `box` as far as one run, and answers with its row.
export async function revealRun(box, runs, id) {
  const trace = box?.querySelector("details.trace"), path = pathTo(runs, id);
  if (!trace || !path) return null;
  tree ??= await import("./runs.js");
  if (!trace.open) { trace.open = true; trace.dispatchEvent(new Event("toggle")); }
  return tree.reveal(box, path);
}

export function holdsRun(runs, id) { return pathTo(runs, id) !== null; }

function pathTo(runs, id) {
  const rest = (Array.isArray(runs) ? runs : []).map((run) => [run, null]);
  while (rest.length > 0) {
    const step = rest.pop(), [run] = step;
    if (words(run?.id) === id) {
      const path = [];
      for (let at = step; at; at = at[1]) path.unshift(words(at[0].id));
      return path;
    }
    for (const child of childrenOf(run)) rest.push([child, step]);
  }
  return null;
}

function failureLine(run) {
  return el("p.trace-error", { dir: "auto" }, icon("warning"), el("span", null, el("strong", null, el("bdi", null, runName(run))), " ", el("bdi", null, errorText(run) || t("run.failed"))));
}

export function runName(run) {
  return words(run.name) || words(run.model) || words(run.kind) || words(run.id);
}

export const isFailed = (run) => run.success === false || Boolean(run.error);
export const childrenOf = (run) => Array.isArray(run?.runs) ? run.runs.filter((child) => child !== null && typeof child === "object") : [];

export function errorText(run) {
  if (!run.error) return "";
  return typeof run.error === "string" ? run.error : words(run.error.message ?? run.error.type ?? run.error);
}

/// One walk over a tree of any depth: all its runs, the axis, and what it used. A parent that reports the sum of
/// its children must not be counted beside them, so of the two the larger stands.
function survey(runs) {
  const all = [], parents = [];
  const rest = runs.filter((run) => run !== null && typeof run === "object").map((run) => [run, -1]).reverse();
  while (rest.length > 0) {
    const [run, parent] = rest.pop();
    all.push(run);
    parents.push(parent);
    const mine = all.length - 1;
    rest.push(...childrenOf(run).map((child) => [child, mine]).reverse());
  }
  const below = all.map(() => [0, 0]);
  let tokens = 0, cost = 0, start = Infinity, end = -Infinity;
  for (let at = all.length - 1; at >= 0; at -= 1) {
    const run = all[at];
    const used = Math.max(tokenCounts(run.usage).total, below[at][0]), paid = Math.max(typeof run.cost === "number" ? run.cost : 0, below[at][1]);
    if (parents[at] < 0) { tokens += used; cost += paid; } else { below[parents[at]][0] += used; below[parents[at]][1] += paid; }
    const from = instant(run.startedAt);
    if (from === null) continue;
    start = Math.min(start, from);
    end = Math.max(end, from, instant(run.endedAt) ?? from + (Number(run.latencyMs) || 0));
  }
  return { all, tokens, cost, axis: { start, end, span: end > start ? end - start : 0 } };
}

/// What a message's runs used and whether one failed.
export function runSums(runs) {
  if (!Array.isArray(runs) || runs.length === 0) return null;
  const { all, tokens, cost } = survey(runs);
  return { tokens, cost, failed: all.some(isFailed) };
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
