// One item of a conversation as an element: a message with where it came from, when and how fast, what was voted
// and noted on it, and the runs behind it; an event; and the lines between items.

import { filled, fold, hidesSomething, json, messageContent, messageWords, pairs } from "./content.js";
import { el, icon, spoken, words } from "./dom.js";
import { copy, moment, tag, votes } from "./parts.js";
import { absolute } from "./route.js";
import { absoluteTime, clockTime, dayName, duration, gap, instant } from "./text.js";
import { runSums, runTree } from "./trace.js";
import { has, t } from "./words.js";

const IDLE = 5 * 60_000; // a silence this long gets a divider
const LATE = 60_000; // a message that arrived this long after it was sent says so
const ROLES = new Set(["user", "assistant", "system", "tool"]);

const GLYPHS = {
  play: "M7 4.5v15l12-7.5z", pause: "M8 5v14M16 5v14", previous: "M17 5v14l-9-7zM6 5v14", next: "M7 5v14l9-7zM18 5v14", raw: "M8 7l-5 5 5 5M16 7l5 5-5 5M13.5 5l-3 14",
  talk: "M4 5h11v8H8l-4 3zM18 9h2v9l-3-2h-6v-1", note: "M5 4h14v12H9l-4 4zM9 8h6M9 12h4", left: "M15 5l-7 7 7 7", right: "M9 5l7 7-7 7", done: "M3 12.5l4.5 4.5L16 8M13 16l1 1L22 8.5",
};

export function glyph(name) {
  const drawing = icon("chat");
  drawing.firstChild.setAttribute("d", GLYPHS[name]);
  return drawing;
}

/// A square button with a drawing, named for everybody.
export function act(name, label, run, { pressed = null, key = name, drawing = null, ...more } = {}) {
  return el("button.quiet.square", { type: "button", title: label, "aria-label": label, "aria-pressed": pressed === null ? null : String(pressed), data: { act: key }, on: { click: run }, ...more }, drawing ?? glyph(name));
}

/// `around` is what an item shows of its neighbours; `host` what the conversation can do for it.
export function itemElement(item, around, host) {
  const side = item.type !== "message" || item.role === "tool" || item.role === "system";
  const failed = item.type === "message" && (runSums(item.runs)?.failed || (Array.isArray(item.content) && item.content.some((part) => part?.is_error)));
  return el(`div.item${side ? ".side" : ""}${failed ? ".failing" : ""}`, null, dividers(item, around.previous),
    item.type === "message" ? messageElement(item, around, host) : eventElement(item));
}

export function brokenItem(item) {
  return el("div.item", null, el("div.event", null, t("item.broken")), fold(t("item.show"), () => json(item)));
}

function messageElement(item, around, host) {
  const role = ROLES.has(item.role) ? item.role : "other";
  const slim = role !== "user" && role !== "assistant";
  const href = host.linkTo(item.id);
  const who = roleName(item.role);
  const arrived = instant(item.receivedAt), sent = instant(item.at);
  const late = arrived !== null && sent !== null && arrived - sent >= LATE;
  const text = messageWords(item);
  const raw = host.isRaw(item.id);
  const content = messageContent(item, { raw, whole: () => host.whole(item.id) });
  const article = el(`article.message.${role}`, { data: { message: item.id }, tabindex: "-1", "aria-label": t("item.label", { who, time: clockTime(item.at) }) },
    el("div.message-meta", null,
      el("span.who", null, el("bdi", null, who)),
      around.group && pager(around.group, item, host),
      provenance(item),
      el("a.at", { href, title: t("item.times", { sent: absoluteTime(item.at), received: absoluteTime(item.receivedAt) }) }, el("time", { datetime: words(item.at) }, clockTime(item.at))),
      around.latency !== null && chipless("latency-of", t("item.latency"), t("item.after", { time: duration(around.latency) })),
      late && el("span.dim", { title: absoluteTime(item.receivedAt) }, t("item.late", { time: gap(arrived - sent) })),
      hidesSomething(text) && el("button.chip.warn.unseen", { type: "button", "aria-pressed": String(raw), title: t("item.unseenWhy"), data: { act: "unseen" }, on: { click: () => host.toggleRaw(item.id) } }, t("item.unseen")),
      el("span.acts", null,
        host.judge.thumbs(item),
        host.judge.opener(item),
        act("copy", t("copy.text"), () => copy(text, t("copy.texted")), { drawing: icon("copy") }),
        act("link", t("copy.messageLink"), () => copy(absolute(href), t("copy.linked")), { drawing: icon("link") }))),
    item.retryOf && !around.group && relation(t("item.retryOf"), item.retryOf, around.messages, host),
    item.replyTo && item.replyTo !== around.before && item.replyTo !== around.question?.id && relation(t("item.replyTo"), item.replyTo, around.messages, host),
    slim ? el("div.slim", null, content) : el("div.bubble", null, content),
    finding(item, text),
    el("div.message-foot", null,
      visitors(item.feedback),
      list(item.scores).map(scoreChip),
      list(item.tags).map((name) => tag(words(name)))),
    remarks(item.feedback?.votes),
    host.judge.panel(item),
    filled(item.metadata) && fold(t("item.metadata"), () => pairs(item.metadata), { key: `metadata:${item.id}` }),
    runTree(item.runs, { key: item.id, link: host.runLink, message: href }));
  return article;
}

/// A small fact with its explanation, which tip.js shows by hover and by focus.
function chip(kind, meaning, ...content) {
  return el(`span.chip${kind ? `.${kind}` : ""}`, { role: "note", tabindex: "0", "aria-describedby": "tip", data: { tip: meaning } }, ...content);
}

function chipless(kind, meaning, text) {
  return el(`span.${kind}`, { title: meaning }, spoken(meaning, " "), text);
}

export function roleName(role) {
  const name = words(role);
  return name === "" ? t("speaker.other") : ROLES.has(name) ? t(`role.${name}`) : name;
}

export const list = (any) => Array.isArray(any) ? any.filter((each) => each !== null && each !== undefined) : [];

/// "2 of 3", where one thing was said again: at the place of the first.
function pager({ all, index }, item, host) {
  const step = (by) => host.choose(all[0].id, index + by);
  return el("span.pager", { role: "group", "aria-label": t("retry.group") },
    act("left", t("retry.previous"), () => step(-1), { disabled: index === 0, key: "retry-previous" }),
    el("span", { role: "status" }, t("retry.of", { n: index + 1, all: all.length })),
    act("right", t("retry.next"), () => step(1), { disabled: index === all.length - 1, key: "retry-next" }));
}

function provenance(item) {
  const marks = [];
  const level = words(item.provenance);
  if (level) marks.push(chip(level === "verified" ? "good" : "plain", has(`from.${level}.why`) ? t(`from.${level}.why`) : level, level === "verified" && icon("check"), has(`from.${level}`) ? t(`from.${level}`) : el("bdi", null, level)));
  if (item.confirmation === "confirmed") marks.push(chip("good", t("from.confirmed.why"), icon("check"), t("from.confirmed")));
  if (item.confirmation === "differs") marks.push(chip("warn", t("from.differs.why"), icon("warning"), t("from.differs")));
  if (item.derivedFrom) marks.push(chip("plain", t("from.derived.why"), t("from.derived")));
  const via = list(item.runs).map((run) => run.via).find((each) => each === "inferred" || each === "trace");
  if (via) marks.push(chip("plain", t(`via.${via}.why`), t(`via.${via}`)));
  return marks.length > 0 && el("span.chips", null, marks);
}

function relation(label, id, messages, host) {
  const target = messages.get(id);
  return el("p.relation", null, `${label} `, el("a", { href: host.linkTo(id) }, target ? el("bdi", null, `“${messageWords(target).slice(0, 80)}”`) : el("code", null, words(id))));
}

/// What the visitors of the chat said of it; reviewers' own thumbs are elsewhere.
function visitors(feedback) {
  const all = list(feedback?.votes);
  const others = all.filter((vote) => vote.by !== "reviewer");
  const sum = all.length > 0 ? { up: others.filter((vote) => vote.thumb === "up").length, down: others.filter((vote) => vote.thumb === "down").length } : feedback;
  const shown = votes(sum);
  const reviewers = all.filter((vote) => vote.by === "reviewer" && (vote.thumb === "up" || vote.thumb === "down"));
  return [
    shown && el("span.votes-of", null, el("span.dim", null, t("votes.visitors")), shown),
    reviewers.length > 0 && el("span.votes-of", { title: reviewers.map((vote) => words(vote.name ?? vote.voter)).join(", ") }, el("span.dim", null, t("votes.reviewers")),
      votes({ up: reviewers.filter((vote) => vote.thumb === "up").length, down: reviewers.filter((vote) => vote.thumb === "down").length })),
  ];
}

function remarks(given) {
  const said = list(given).filter((vote) => vote.comment);
  if (said.length === 0) return null;
  return el("ul.comments", { "aria-label": t("votes.remarks") }, said.map((vote) => el("li", null,
    vote.thumb === "up" || vote.thumb === "down" ? el(`span.vote.${vote.thumb}`, null, icon(vote.thumb), spoken(t(`thumb.${vote.thumb}`))) : el("span.vote"),
    el("div", null, el("p.comment", { dir: "auto" }, words(vote.comment)), el("p.dim", null, el("bdi", null, words(vote.name ?? vote.voter) || t("someone")), vote.by === "reviewer" && [" · ", t("votes.reviewer")], " · ", moment(vote.at))))));
}

export function scoreText(score) {
  return words(score.value ?? score.category ?? t("score.unknown"));
}

function scoreChip(score) {
  const about = [score.reason, score.author && t("score.by", { name: words(score.author) })].filter(Boolean).map(words).join(" · ");
  return chip(score.stale ? "plain" : "", about || t("score.noReason"), el("bdi", null, words(score.name)), " ", el("strong", null, scoreText(score)));
}

function eventElement(item) {
  return el("div.event", { data: { message: item.id } },
    el("p.event-line", null, el("bdi.event-name", null, words(item.name) || words(item.type)), el("time", { datetime: words(item.at), title: absoluteTime(item.at) }, clockTime(item.at))),
    filled(item.metadata) && fold(t("event.details"), () => pairs(item.metadata), { key: `event:${item.id}` }));
}

function dividers(item, previous) {
  const at = instant(item.at), before = instant(previous?.at);
  const newDay = at !== null && (before === null || new Date(at).toDateString() !== new Date(before).toDateString());
  const silence = at !== null && before !== null ? at - before : 0;
  return [
    silence >= IDLE && el("p.divider.idle", null, el("span", null, t("divider.later", { time: gap(silence) }))),
    newDay && el("p.divider", null, el("span", null, dayName(item.at))),
  ];
}

// Where page and run disagree

function finding(item, displayed) {
  if (item.confirmation !== "differs" || typeof item.finding?.produced !== "string") return null;
  const produced = item.finding.produced;
  return fold(t("finding.title"), () => {
    const body = el("div.finding-body");
    import("./diff.js").then(({ difference }) => body.append(difference(displayed, produced)), (error) => console.error(error));
    return body;
  }, { open: displayed.length + produced.length < 3000, key: `finding:${item.id}` });
}
