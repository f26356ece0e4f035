// The forms of a review: scores, tags, comments, whether a conversation is closed and done. A board keeps its
// element through every redraw, so that what is being typed stays.

import { el, icon, replace, words } from "./dom.js";
import { DEFAULT } from "./judge.js";
import { list, scoreText } from "./message.js";
import { moment } from "./parts.js";
import { absoluteTime, clockTime, gap, instant } from "./text.js";
import { register, t } from "./words.js";
import english from "./en-judging.js";

register(english);

let numbers = 0;

/// `context` is judge.js's: who may do what, and how it is done.
export function boards({ router, host, tried, voteOf, isMine, mayJudge, me, closedToScores, finished }) {
  let nameSource = null, tagSource = null, asked = null;

  function message(id) {
    const reason = reasonBoard(id), scores = scoreBoard(id), comments = commentBoard(id);
    return {
      element: el("div.board", { role: "group", "aria-label": t("note.board") }, reason.element, scores.element, comments.element),
      focus: () => comments.focus(),
      update(item) { for (const each of [reason, scores, comments]) each.update(item); },
    };
  }

  /// The word that goes with one's own thumb.
  function reasonBoard(id) {
    const field = el("input", { type: "text", maxlength: "2000", dir: "auto" });
    const form = el("form.line-form", { on: { submit: async (event) => {
      event.preventDefault();
      const text = field.value.trim();
      if (await tried(() => host.api().feedback(id, { comment: text === "" ? null : text }), t("thumb.reasonSaved"))) field.dataset.was = field.value;
    } } }, labelled(t("thumb.reason"), field), el("button", { type: "submit" }, t("act.keep")));
    const element = el("div", null, form);
    return { element, update(item) {
      const own = voteOf(item);
      element.hidden = !mayJudge() || !own?.thumb && !own?.comment;
      const text = words(own?.comment);
      if (field.value === (field.dataset.was ?? "")) { field.value = text; field.dataset.was = text; }
    } };
  }

  // Scores

  function scoreBoard(target) {
    const shown = el("ul.scores");
    const why = el("p.hint");
    const name = el("input", { type: "text", value: DEFAULT, maxlength: "200", required: true, list: "parley-score-names", autocomplete: "off", on: { focus: suggestNames } });
    const slider = el("input", { type: "range", min: "0", max: "1", step: "0.05", value: "0.5", "aria-label": t("score.value"), on: { input: () => { number.value = slider.value; } } });
    const number = el("input.short", { type: "number", min: "0", max: "1", step: "0.01", value: "0.5", "aria-label": t("score.value"), on: { input: () => { slider.value = number.value; } } });
    const category = el("input", { type: "text", maxlength: "200", dir: "auto", "aria-label": t("score.category") });
    const reason = el("input", { type: "text", maxlength: "2000", dir: "auto" });
    const kinds = `kind-${numbers += 1}`;
    const choice = (value, label) => el("label.radio", null, el("input", { type: "radio", name: kinds, value, checked: value === "value", on: { change: () => pick(value) } }), label);
    const pick = (kind) => { form.dataset.kind = kind; category.required = kind === "category"; number.required = kind === "value"; };
    const submit = el("button", { type: "submit" }, t("score.give"));
    const form = el("form.score-form", { data: { kind: "value" }, on: { submit: async (event) => {
      event.preventDefault();
      submit.disabled = true;
      const body = { target, name: name.value.trim() || DEFAULT, ...(form.dataset.kind === "value" ? { value: Number(number.value) } : { category: category.value.trim() }) };
      if (reason.value.trim()) body.reason = reason.value.trim();
      if (await tried(() => host.api().score(body), t("score.given", { name: body.name, value: body.value ?? body.category }))) { reason.value = ""; category.value = ""; }
      submit.disabled = false;
    } } },
    labelled(t("score.name"), name),
    el("fieldset.kinds", null, el("legend.spoken", null, t("score.kind")), choice("value", t("score.value")), choice("category", t("score.category"))),
    el("span.value-inputs", null, slider, number), el("span.category-input", null, category),
    labelled(t("score.reason"), reason), submit);
    const fields = el("fieldset.plain", null, form);
    const removed = el("div.removed");
    const element = el("div.score-board", null, shown, removed, why, fields);
    return { element, update(thing) {
      keep(shown, [list(thing.scores), me()], () => list(thing.scores).map((score) => scoreLine(score, target)));
      keep(removed, list(thing.removedScores), () => list(thing.removedScores).map(removedLine));
      fields.hidden = !mayJudge();
      const closed = closedToScores();
      fields.disabled = closed !== null;
      replace(why, closed ?? (list(thing.scores).length === 0 && !mayJudge() ? t("tag.none") : null));
      why.hidden = why.childNodes.length === 0;
    } };
  }

  function scoreLine(score, target) {
    const own = score.judge !== "program" && isMine(score.author) && mayJudge();
    return el("li", null,
      el("p", null, el("bdi", null, words(score.name)), " ", el("strong", null, el("bdi", null, scoreText(score))), typeof score.value === "number" && score.category ? [" (", el("bdi", null, words(score.category)), ")"] : null,
        score.stale && [" ", el("span.chip", { title: t("score.staleWhy") }, t("score.stale"))],
        own && el("button.quiet.square.small", { type: "button", "aria-label": t("score.remove", { name: words(score.name) }), title: t("score.remove", { name: words(score.name) }), on: { click: () => tried(() => host.api().unscore(target, score.name), t("score.removedNow")) } }, icon("close"))),
      score.reason && el("p.comment", { dir: "auto" }, words(score.reason)),
      el("p.dim", null, el("bdi", null, words(score.author) || t("someone")), score.judge === "program" && [" · ", t("score.program")], score.at && [" · ", moment(score.at)]));
  }

  function removedLine(score) {
    const policy = words(host.thread()?.scoring) || "review";
    return el("p.hint.removed-score", { title: absoluteTime(score.removedAt) }, el("s", null, el("bdi", null, words(score.name)), " ", el("bdi", null, scoreText(score))), " ",
      t(score.why === "reactivated" || !score.why ? "score.removedReactivated" : "score.removedFor", { name: words(score.author) || t("someone"), time: clockTime(score.removedAt), policy, why: words(score.why) }));
  }

  /// Suggestions belong to a project; another one has its own.
  function fresh() {
    if (asked === host.api()) return;
    asked = host.api();
    nameSource = tagSource = null;
  }

  function suggestNames() {
    fresh();
    nameSource ??= suggestions("parley-score-names", host.api().scoreNames?.(), (answer) => list(answer?.names).map((each) => each.name), [DEFAULT]);
  }

  function suggestTags() {
    fresh();
    tagSource ??= suggestions("parley-tag-names", host.api().tags?.(), (answer) => list(answer?.tags).map((each) => each.tag));
  }

  // Comments

  function commentBoard(target) {
    const shown = el("ul.talk");
    const box = composer(t("comment.add"), (text) => host.api().comment({ target, text }), t("comment.added"));
    const element = el("div.comment-board", null, shown, box.element);
    return { element, focus: () => box.focus(), update(thing) {
      box.element.hidden = !mayJudge();
      if (shown.contains(document.activeElement) && shown.querySelector("textarea")) return; // someone is answering
      keep(shown, [list(thing.comments), me()], () => list(thing.comments).length === 0 && !mayJudge() ? el("li.dim", null, t("tag.none")) : list(thing.comments).map((each) => commentLine(each, 0)));
    } };
  }

  function composer(label, send, said, { text = "", cancel = null } = {}) {
    const field = el("textarea", { rows: "2", maxlength: "10000", required: true, dir: "auto", value: text });
    const submit = el("button", { type: "submit" }, t("act.send"));
    const element = el("form.composer", { on: {
      submit: async (event) => {
        event.preventDefault();
        if (!field.value.trim()) return;
        submit.disabled = true;
        const words = field.value;
        field.value = text; // so that the redraw which follows takes it for done
        if (!await tried(() => send(words.trim()), said)) field.value = words;
        else cancel?.();
        submit.disabled = false;
      },
      keydown: (press) => {
        if (press.key === "Enter" && (press.ctrlKey || press.metaKey)) { press.preventDefault(); element.requestSubmit(); }
        if (press.key === "Escape" && cancel) { press.stopPropagation(); cancel(); }
      },
    } }, labelled(label, field), el("p.composer-acts", null, submit, cancel && el("button.quiet", { type: "button", on: { click: cancel } }, t("act.cancel"))));
    return { element, focus: () => field.focus() };
  }

  function commentLine(comment, depth) {
    const own = isMine(comment.author), admin = router.can?.("admin") ?? false;
    const below = el("ul.talk", null, depth < 20 && list(comment.replies).map((each) => commentLine(each, depth + 1)));
    const body = el("p.comment", { dir: "auto" }, words(comment.text));
    const acts = el("p.talk-acts");
    const item = el("li", null, el("p.dim", null, el("bdi.strong", null, words(comment.author) || t("someone")), " · ", moment(comment.at), comment.changedAt && instant(comment.changedAt) !== instant(comment.at) && [" · ", el("span", { title: absoluteTime(comment.changedAt) }, t("comment.edited"))]), body, acts, below);
    const instead = (node, make) => {
      const box = make(() => { box.element.replaceWith(node); acts.hidden = false; acts.querySelector("button")?.focus(); });
      acts.hidden = true;
      node.replaceWith(box.element);
      box.focus();
    };
    if (mayJudge()) {
      const place = el("span");
      item.insertBefore(place, below);
      acts.append(
        el("button.link", { type: "button", on: { click: () => instead(place, (cancel) => composer(t("comment.replyTo", { name: words(comment.author) || t("someone") }), (text) => host.api().comment({ target: comment.id, text }), t("comment.added"), { cancel })) } }, t("comment.reply")));
      if (own) acts.append(el("button.link", { type: "button", on: { click: () => instead(body, (cancel) => composer(t("comment.edit"), (text) => host.api().editComment(comment.id, { text }), t("comment.changed"), { text: words(comment.text), cancel })) } }, t("comment.edit")));
      if (own || admin) {
        const remove = el("button.link", { type: "button" }, t("comment.delete"));
        remove.addEventListener("click", () => {
          if (remove.dataset.sure) { tried(() => host.api().removeComment(comment.id), t("comment.deleted")); return; }
          remove.dataset.sure = "yes";
          remove.textContent = t("comment.sure");
        });
        remove.addEventListener("blur", () => { delete remove.dataset.sure; remove.textContent = t("comment.delete"); });
        acts.append(remove);
      }
    }
    return item;
  }

  // Tags

  function tagBoard(address) {
    const shown = el("p.tags");
    const field = el("input", { type: "text", maxlength: "64", dir: "auto", list: "parley-tag-names", autocomplete: "off", on: { focus: suggestTags } });
    const form = el("form.line-form", { on: { submit: async (event) => {
      event.preventDefault();
      const name = field.value.trim();
      if (name && await tried(() => host.api().patchThread(host.thread().id, { tags: { add: [name] } }), t("tag.added"))) field.value = "";
    } } }, labelled(t("tag.add"), field), el("button", { type: "submit" }, t("act.add")));
    return { element: el("div", null, shown, form), focus: () => field.focus(), update(thread) {
      form.hidden = !mayJudge();
      keep(shown, list(thread.tags), () => list(thread.tags).length === 0 ? el("span.dim", null, t("tag.none")) : list(thread.tags).map((each) => el("span.tag.editable", null,
        el("a", { href: address(words(each)) }, el("bdi", null, words(each))),
        mayJudge() && el("button.quiet.square.small", { type: "button", "aria-label": t("tag.remove", { name: words(each) }), title: t("tag.remove", { name: words(each) }), on: { click: () => { tried(() => host.api().patchThread(host.thread().id, { tags: { remove: [each] } }), t("tag.removed")); field.focus(); } } }, icon("close")))));
    } };
  }

  // Open or closed, done or not

  function statusBoard() {
    const line = el("p.status-line"), rule = el("p.hint"), policy = el("p.hint"), done = el("p.hint");
    const turn = el("button", { type: "button", on: { click: () => tried(() => host.api().patchThread(host.thread().id, { status: host.thread().status === "active" ? "inactive" : "active" })) } });
    const finish = el("button.primary", { type: "button", title: "e", on: { click: finished } });
    const acts = el("p.status-acts", null, turn, finish);
    return { element: el("div", null, line, rule, policy, acts, done), update(thread) {
      const active = thread.status === "active";
      replace(line, el(`span.status.${active ? "active" : "inactive"}`, null, el("span.dot"), t(active ? "state.active" : "state.inactive")));
      const length = typeof thread.inactiveAfterSeconds === "number" ? gap(thread.inactiveAfterSeconds * 1000) : null;
      rule.textContent = active && thread.closes && length ? t("status.closes", { time: clockTime(thread.closes), length }) : active && length ? t("status.closesAfter", { length }) : !active && length ? t("status.reopens", { length }) : "";
      policy.textContent = ["review", "open", "strict"].includes(thread.scoring) ? t(`policy.${thread.scoring}`) : "";
      acts.hidden = !mayJudge();
      turn.textContent = t(active ? "status.close" : "status.open");
      finish.textContent = t("done.next");
      done.textContent = thread.reviewed && typeof thread.reviewed === "object" ? t("done.by", { name: words(thread.reviewed.by) || t("someone"), time: absoluteTime(thread.reviewed.at) }) : "";
      for (const each of [rule, policy, done]) each.hidden = each.textContent === "";
    } };
  }

  return { message, scores: scoreBoard, comments: commentBoard, tags: tagBoard, status: statusBoard };
}

function labelled(text, control) {
  return el("label.labelled", null, el("span", null, text), control);
}

const drawn = new WeakMap(); // list → what it shows

/// Redraws a list only when what it shows has changed.
function keep(node, what, make) {
  const signature = JSON.stringify(what);
  if (drawn.get(node) === signature) return;
  drawn.set(node, signature);
  replace(node, make());
}

/// A datalist filled from the gateway when first wanted; nothing depends on it.
async function suggestions(id, asked, pick, first = []) {
  const source = document.getElementById(id) ?? document.body.appendChild(el("datalist", { id }));
  try {
    const names = [...new Set([...first, ...pick(await asked).map(words)])].slice(0, 200);
    replace(source, names.map((value) => el("option", { value })));
  } catch { /* typing works without */ }
  return source;
}
