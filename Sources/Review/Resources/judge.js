// What reviewers say of a conversation, from where it is said: a thumb on a message, a key, the button that ends a
// review. The forms are in boards.js, which is loaded when first wanted.

import { icon, words } from "./dom.js";
import { act, list } from "./message.js";
import { notice } from "./parts.js";
import { t } from "./words.js";

export const DEFAULT = "quality"; // the score that needs no set-up

/// `host`: { api(), thread(), patch(item, change), reload(), redraw(id) }.
export function judging({ router, host }) {
  const open = new Map(); // message id → its board: { element, update(item), focus() }
  let makers = null; // boards.js, once loaded
  const mayJudge = () => router.can?.("review") ?? false;
  const me = () => words(router.me?.name);
  const isMine = (author) => Boolean(author) && (author === me() || author === `reviewer:${me()}`);

  /// Does it, says what went wrong in a sentence, and answers whether it went well.
  async function tried(work, said = null) {
    try { await work(); } catch (error) {
      if (error.name !== "AbortError" && !router.refused(error)) notice(sentence(error));
      return false;
    }
    if (said) notice(said);
    router.changed?.(host.thread()?.id);
    host.reload();
    return true;
  }

  function sentence(error) {
    if (error.code === "conversation_active") return t("judge.refusedActive");
    if (error.code === "role_forbidden") return t("judge.refusedRole");
    return error.message;
  }

  // Thumbs

  const voteOf = (item) => list(item.feedback?.votes).find((vote) => vote.by === "reviewer" && (isMine(vote.name) || isMine(vote.voter)));

  function thumbs(item) {
    if (!mayJudge()) return null;
    const given = voteOf(item)?.thumb;
    return ["up", "down"].map((thumb) => act(thumb, t(`thumb.${thumb}`), () => vote(item, thumb), { pressed: given === thumb, drawing: icon(thumb) }));
  }

  /// Shown at once; taken back with the gateway's sentence where it refuses.
  async function vote(item, thumb) {
    if (!mayJudge()) return notice(t("judge.refusedRole"));
    const before = item.feedback, own = voteOf(item);
    const next = own?.thumb === thumb ? null : thumb;
    const others = list(before?.votes).filter((each) => each !== own);
    host.patch(item.id, { feedback: { ...before, votes: [...others, { voter: `reviewer:${me()}`, by: "reviewer", name: me(), comment: own?.comment ?? null, at: new Date().toISOString(), thumb: next }] } });
    try {
      await host.api().feedback(item.id, { thumb: next });
      host.patch(item.id, {}); // what was asked for in the meantime knows nothing of it
      router.changed?.(host.thread()?.id);
      host.reload();
    } catch (error) {
      host.patch(item.id, { feedback: before });
      if (!router.refused(error)) notice(t("thumb.refused", { why: sentence(error) }));
    }
  }

  // The board under a message

  function opener(item) {
    const noted = list(item.scores).length + list(item.comments).length;
    if (!mayJudge() && noted === 0) return null;
    return act("note", noted > 0 ? t("note.openWith", { n: noted }) : t("note.open"), () => toggle(item), { key: "note", "aria-expanded": String(open.has(item.id)), class: `quiet square${noted > 0 ? " noted" : ""}` });
  }

  function toggle(item) {
    if (open.delete(item.id)) host.redraw(item.id); else comment(item);
  }

  /// The board of a message where it is open, up to date.
  function panel(item) {
    const board = open.get(item.id);
    board?.update(item);
    return board?.element ?? null;
  }

  async function comment(item) {
    makers ??= (await import("./boards.js")).boards(context);
    if (!open.has(item.id)) { open.set(item.id, makers.message(item.id)); host.redraw(item.id); }
    open.get(item.id).focus();
  }

  /// Why people may not score now, or null.
  function closedToScores() {
    const thread = host.thread();
    if (!thread || thread.status !== "active" || thread.scoring === undefined || thread.scoring === "open") return null;
    return t(thread.scoring === "strict" ? "score.strictActive" : "score.reviewActive");
  }

  async function scoreByKey(value) {
    if (!mayJudge()) return notice(t("judge.refusedRole"));
    const closed = closedToScores();
    if (closed) return notice(closed);
    await tried(() => host.api().score({ target: host.thread().id, name: DEFAULT, value }), t("score.given", { name: DEFAULT, value }));
  }

  async function finished() {
    if (!mayJudge()) return notice(t("judge.refusedRole"));
    const id = host.thread()?.id;
    if (!id || !await tried(() => host.api().patchThread(id, { reviewed: true }))) return;
    const next = await router.nextUnreviewed?.();
    notice(t(next ? "done.said" : "done.last"));
  }

  const context = { router, host, tried, voteOf, isMine, mayJudge, me, closedToScores, finished };
  return { context, thumbs, vote, opener, panel, comment, finished, scoreByKey, reset: () => open.clear() };
}
