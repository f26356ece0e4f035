// What stands beside a conversation: the person, the boards of the review, the facts, and the runs that no message
// holds. Loaded after the conversation is painted.

import { boards } from "./boards.js";
import { filled, keepOpen, pairs } from "./content.js";
import { el, icon, replace, words } from "./dom.js";
import { avatar, copy } from "./parts.js";
import { format } from "./route.js";
import { absoluteTime, userName } from "./text.js";
import { runTree } from "./trace.js";
import { t } from "./words.js";

export function detailsPane({ details, judge, router, runLink }) {
  const make = boards(judge.context);
  let own = null, drawn = null; // the boards of this conversation; what the rest shows

  function reset() { own = drawn = null; }

  function draw(thread, looseRuns, project) {
    own ??= { status: make.status(), scores: make.scores(thread.id), tags: make.tags((name) => format({ project, filters: { tag: name } })), comments: make.comments(thread.id) };
    for (const board of Object.values(own)) board.update(thread);
    const { scores, comments, tags, ...facts } = thread; // the boards show these
    const signature = JSON.stringify([facts, looseRuns]);
    if (drawn === signature) return;
    drawn = signature;
    const { user } = thread;
    const active = details.contains(document.activeElement) ? document.activeElement : null; // before its board moves
    const line = (name, shown) => el("div", null, el("dt", null, t(name)), el("dd", null, shown));
    const fresh = el("div.scroll", { tabindex: "-1" },
      el("header.details-head", null, el("h2", null, t("thread.details")), el("button.quiet.square", { type: "button", title: t("thread.closeDetails"), "aria-label": t("thread.closeDetails"), on: { click: router.toggleDetails } }, icon("close"))),
      section(t("details.user"), user
        ? [el("p.user-line", null, avatar(user), el("span", null, el("bdi.strong", null, userName(user)), userName(user) !== user.id && el("code", null, el("bdi", null, words(user.id))))),
           filled(user.props) && pairs(user.props), user.id && el("p", null, el("a", { href: format({ project, filters: { user: words(user.id) } }) }, t("details.ofUser")))]
        : el("p.dim", null, t("details.nobody"))),
      Object.entries(own).map(([name, board]) => section(t(`details.${name}`), board.element)),
      section(t("thread.conversation"), el("dl.pairs", null,
        line("details.started", el("time", { datetime: words(thread.firstAt) }, absoluteTime(thread.firstAt))),
        line("details.last", el("time", { datetime: words(thread.lastAt) }, absoluteTime(thread.lastAt))),
        line("details.messages", words(thread.messageCount ?? 0)),
        line("details.id", el("button.copy-id", { type: "button", title: t("copy.id"), on: { click: () => copy(words(thread.id), t("copy.ided")) } }, el("code", null, el("bdi", null, words(thread.id))))))),
      filled(thread.metadata) && section(t("item.metadata"), pairs(thread.metadata)),
      looseRuns.length > 0 && section(t("details.loose"), el("p.dim", null, t("details.looseWhy")), looseRuns.map((run) => runTree([run], { key: `loose:${words(run?.id)}`, title: words(run?.name) || words(run?.kind) || t("run.unnamed"), link: runLink }))));
    keepOpen(details, fresh);
    const top = details.firstChild?.scrollTop ?? 0;
    replace(details, fresh);
    fresh.scrollTop = top;
    if (active?.isConnected) active.focus({ preventScroll: true });
  }

  return { draw, reset, focusComment: () => own?.comments.focus(), focusTag: () => own?.tags.focus() };
}

function section(title, ...body) {
  return el("section", null, el("h3", null, title), ...body);
}
