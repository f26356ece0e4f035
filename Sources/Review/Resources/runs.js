// The tree of runs behind a message: what was called, how long it took, what it cost, what went wrong.
// All bars of one tree share a time axis, from the first start to the last end. Rows are made as they are
// opened, so five thousand runs cost no more than what is looked at.

import { filled, fold, json, pairs, sizeIn, value } from "./content.js";
import { el, icon, words } from "./dom.js";
import english from "./en-runs.js";
import { copy } from "./parts.js";
import { absoluteTime, duration, figure, instant, money } from "./text.js";
import { childrenOf, errorText, isFailed, runName, tokenCounts } from "./trace.js";
import { has, register, t } from "./words.js";

register(english);

const OPEN_UNDER = 400; // characters; an input or output this short needs no click
const MANY = 20; // runs; past it branches begin folded, with buttons for all
const BATCH = 100; // rows of one branch made at once
const UNFOLD = 500; // rows that "expand all" makes at most

const KINDS = {
  llm: "M12 3l2 6 6 2-6 2-2 6-2-6-6-2 6-2z", agent: "M7 8h10v9H7zM12 8V4M9.5 12v.1M14.5 12v.1M4 11v4M20 11v4", tool: "M14 6a4 4 0 0 0 5 5l-9 9-5-5 9-9M14 6l3-3",
  chain: "M4 12h4M16 12h4M8 8h8v8H8z", retriever: "M16 10a6 6 0 1 1-12 0 6 6 0 0 1 12 0M14.5 14.5 20 20", embedding: "M5 5v.1M12 5v.1M19 5v.1M5 12v.1M12 12v.1M19 12v.1M5 19v.1M12 19v.1M19 19v.1",
};

/// What opens under the line of runs. `context` is the survey of trace.js with the addresses of message and run.
export function treeBody(runs, context) {
  context.folded = context.all.length > MANY;
  const tree = branches(runs.filter((run) => run !== null && typeof run === "object"), context), { span } = context.axis;
  return el("div.trace-body", null,
    el("div.trace-tools", null,
      context.folded && el("button.link", { type: "button", on: { click: () => unfoldAll(tree) } }, t("trace.expand")),
      context.folded && el("button.link", { type: "button", on: { click: () => { for (const twist of tree.querySelectorAll(".twist[aria-expanded='true']")) twist.click(); } } }, t("trace.collapse")),
      span > 0 && el("div.axis", { "aria-hidden": "true" }, el("span", null, "0"), el("span", null, duration(span / 2)), el("span", null, duration(span)))),
    tree);
}

/// The row of a run, given the ids of those above it and its own.
export function reveal(box, path) {
  let row = null;
  for (const [depth, step] of path.entries()) {
    const find = () => [...box.querySelectorAll("details.run")].find((each) => each.dataset.fold === `run:${step}`);
    row = find();
    for (let turn = 0; !row && turn < 100; turn += 1) {
      const more = box.querySelector(".more-runs");
      if (!more) break;
      more.click();
      row = find();
    }
    if (!row) return null;
    const twist = row.closest("li")?.querySelector(":scope > .run-line > .twist");
    if (depth < path.length - 1 && twist?.getAttribute("aria-expanded") === "false") twist.click();
  }
  row.open = true;
  return row;
}

function branches(runs, context, depth = 0) {
  const list = el("ul.runs", { "aria-label": depth === 0 ? t("trace.tree") : null });
  let shown = 0;
  const more = () => {
    const next = runs.slice(shown, shown + BATCH);
    shown += next.length;
    list.append(...next.map((run) => branch(run, context, depth)));
    if (shown < runs.length) {
      const button = el("button.link.more-runs", { type: "button", on: { click: () => { item.remove(); more(); } } }, t("trace.more", { n: runs.length - shown }));
      const item = el("li", null, button);
      list.append(item);
    }
  };
  more();
  return list;
}

function branch(run, context, depth) {
  const children = childrenOf(run);
  const item = el("li");
  if (children.length === 0) { item.append(el("div.run-line", null, el("span.twist-space"), row(run, context))); return item; }
  let below = null;
  const twist = el("button.quiet.twist", { type: "button", "aria-expanded": "false", "aria-label": t("trace.below", { n: children.length }) });
  const turn = (open) => {
    if (open && !below) { below = branches(children, context, depth + 1); item.append(below); }
    if (below) below.hidden = !open;
    twist.setAttribute("aria-expanded", String(open));
  };
  twist.addEventListener("click", () => turn(twist.getAttribute("aria-expanded") !== "true"));
  item.append(el("div.run-line", null, twist, row(run, context)));
  if (depth < 40 && !(context.folded && depth > 0)) turn(true); // deeper ones open by hand: elements nested in thousands stall a browser
  return item;

}

function unfoldAll(tree) {
  for (let turn = 0; turn < 40; turn += 1) { // as deep as branches open at once
    const folded = [...tree.querySelectorAll(".twist[aria-expanded='false']")];
    if (folded.length === 0) return;
    for (const twist of folded) {
      if (tree.getElementsByClassName("run").length > UNFOLD) return;
      twist.click();
    }
  }
}

function row(run, context) {
  const failed = isFailed(run);
  const running = !failed && run.endedAt == null && run.latencyMs == null;
  const kind = words(run.kind) || "run";
  const tokens = tokenCounts(run.usage);
  const node = el("details.run", { data: { fold: `run:${words(run.id)}` } },
    el("summary", null,
      el("span.run-what", null,
        el(`span.kind.kind-${Object.hasOwn(KINDS, kind) ? kind : "other"}`, null, kindIcon(kind), el("span", null, has(`kind.${kind}`) ? t(`kind.${kind}`) : kind)),
        el("bdi.run-name", { title: runName(run) }, runName(run)),
        run.model && run.model !== run.name && el("bdi.run-model", null, words(run.model)),
        failed && el("span.chip.bad", null, t("run.failed")),
        running && el("span.chip", null, t("run.noEnd")),
        run.link && run.link !== "bound" && el(`span.chip${run.link === "refused" ? ".bad" : run.link === "pending" ? ".warn" : ""}`, { title: linkMeaning(run) }, linkName(run.link)),
        run.via && run.via !== "parent" && el("span.chip", { title: viaMeaning(run) }, viaName(run.via))),
      el("span.run-facts", null,
        tokens.total > 0 && el("span", { title: tokenTitle(tokens) }, figure(tokens.total), el("span.dim", null, " ", t("trace.tok"))),
        typeof run.cost === "number" && el("span", null, money(run.cost)),
        typeof run.latencyMs === "number" && el("span.latency", null, duration(run.latencyMs))),
      bar(run, context.axis, failed, running)));
  let made = false;
  node.addEventListener("toggle", () => {
    if (made || !node.open) return;
    made = true;
    node.append(inside(run, tokens, context));
  });
  return node;
}

function kindIcon(kind) {
  const drawing = icon("chat");
  drawing.firstChild.setAttribute("d", KINDS[kind] ?? "M12 6a6 6 0 1 1 0 12 6 6 0 0 1 0-12");
  return drawing;
}

const linkName = (link) => has(`edge.${link}`) ? t(`edge.${link}`) : words(link);
const linkMeaning = (run) => has(`edge.${run.link}.why`) ? t(`edge.${run.link}.why`) : "";
const viaName = (via) => has(`via.${via}`) ? t(`via.${via}`) : words(via);
const viaMeaning = (run) => has(`via.${run.via}.why`) ? t(`via.${run.via}.why`) : "";

function bar(run, axis, failed, running) {
  const track = el("span.track", { "aria-hidden": "true" });
  const start = instant(run.startedAt);
  if (start === null || axis.span <= 0) return track;
  const end = instant(run.endedAt) ?? (typeof run.latencyMs === "number" ? start + run.latencyMs : running ? axis.end : start);
  const left = ((start - axis.start) / axis.span) * 100;
  const width = Math.max(0, (end - start) / axis.span) * 100;
  track.append(el(`span.fill${failed ? ".bad" : running ? ".running" : ""}`, { css: { left: `${Math.min(left, 99)}%`, width: `${Math.min(width, 100 - left)}%` } }));
  track.title = t("trace.bar", { start: duration(start - axis.start) || "0", length: duration(end - start) || "0" });
  return track;
}

function inside(run, tokens, { link, message }) {
  const id = words(run.id);
  const facts = [
    ["run.id", run.id], ["run.parent", run.parent], ["run.link", run.link && `${linkName(run.link)}. ${linkMeaning(run)}`], ["run.via", run.via && `${viaName(run.via)}. ${viaMeaning(run)}`],
    ["run.model", run.model], ["run.provider", run.provider], ["run.tokens", tokens.total > 0 && tokenTitle(tokens)], ["run.cost", typeof run.cost === "number" && money(run.cost)],
    ["run.started", run.startedAt && absoluteTime(run.startedAt)], ["run.ended", run.endedAt && absoluteTime(run.endedAt)],
  ].filter(([, text]) => text);
  return el("div.run-body", null,
    run.error && el("div.run-error", null, el("p.block-label", null, t("run.error")), typeof run.error === "string" ? value(run.error) : [el("p", { dir: "auto" }, errorText(run)), Object.keys(run.error).length > 1 && fold(t("run.wholeError"), () => json(run.error), { key: `error:${id}` })]),
    piece("run.input", run.input, id),
    piece("run.output", run.output, id),
    filled(run.metadata) && fold(t("item.metadata"), () => pairs(run.metadata), { key: `metadata:${id}` }),
    filled(run.usage) && fold(t("run.usage"), () => json(run.usage), { key: `usage:${id}` }),
    el("dl.pairs", null, facts.map(([name, text]) => el("div", null, el("dt", null, t(name)), el("dd", null, el("bdi", null, words(text)))))),
    el("p.run-acts", null,
      message && el("a", { href: message }, t("trace.toMessage")),
      link && el("button.link", { type: "button", on: { click: () => copy(link(id), t("copy.linked")) } }, t("trace.copyLink"))));
}

function piece(label, any, id) {
  if (any === null || any === undefined) return null;
  const size = sizeIn(any);
  return fold(t(label), () => value(any), { open: size < OPEN_UNDER, key: `${label}:${id}`, hint: size < OPEN_UNDER ? null : t("n.characters", { n: size }) });
}
function tokenTitle({ input, output, total }) {
  return input || output ? t("trace.inOut", { input, output }) : figure(total);
}
