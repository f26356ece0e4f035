// Signing in, by a link that works once or by name and password, and one's own password.

import { session } from "./api.js";
import { el, icon, replace } from "./dom.js";
import { dialog, failure, field, notice, takeaway } from "./parts.js";
import english from "./en-signin.js";
import { register, t } from "./words.js";

register(english);

const SHORTEST = 10; // characters of a password, as the gateway has it

/// What stands in for the page while nobody is signed in; `done` goes on once somebody is.
export function signInForm({ error, word, done }) {
  const name = el("input", { type: "text", autocomplete: "username", required: true });
  const secret = el("input", { type: "password", autocomplete: "current-password", required: true });
  const trouble = el("div");
  const enter = el("button.primary", { type: "submit" }, t("signin.enter"));
  let timer = 0;

  /// Too many tries: the button counts down to the next one.
  function wait(milliseconds) {
    clearInterval(timer);
    const until = Date.now() + milliseconds;
    const tick = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left <= 0 || !enter.isConnected) { clearInterval(timer); enter.disabled = false; enter.textContent = t("signin.enter"); return; }
      enter.disabled = true;
      enter.textContent = t("signin.waitFor", { time: left >= 120 ? t("n.minutes", { n: Math.ceil(left / 60) }) : t("n.seconds", { n: left }) });
    };
    tick();
    timer = setInterval(tick, 1000);
  }

  const form = el("form", { on: { submit: async (event) => {
    event.preventDefault();
    enter.disabled = true;
    replace(trouble);
    try {
      await session.openWithPassword(name.value.trim(), secret.value);
      secret.value = "";
      await done();
    } catch (refusal) {
      enter.disabled = false;
      replace(trouble, failure(refusal));
      if (refusal.status === 429) wait(refusal.retryAfterMs ?? 30_000);
      else { secret.select(); secret.focus(); }
    }
  } } }, field(t("signin.name"), name), field(t("signin.password"), secret), trouble, enter);
  return el("div.sign-in", null,
    el("span.brand-mark", null, icon("chat")),
    el("h1", null, t("signin.title")),
    word && el("p", { role: "status" }, word),
    error && failure(error),
    form,
    el("h2", null, t("signin.linkTitle")),
    el("p", null, t(error ? "signin.linkUsed" : "signin.link")),
    takeaway("parley review link"),
    el("p.dim", null, t("signin.goesOn")));
}

/// The window in which somebody sets or changes their own password.
export function password(router) {
  const current = router.me.hasPassword ? el("input", { type: "password", autocomplete: "current-password", required: true }) : null;
  const next = el("input", { type: "password", autocomplete: "new-password", minlength: String(SHORTEST), required: true });
  const again = el("input", { type: "password", autocomplete: "new-password", required: true, on: { input: () => again.setCustomValidity("") } });
  const trouble = el("div");
  const act = el("button.primary", { type: "submit" }, t("act.save"));
  const form = el("form.dialog-form", { on: { submit: async (event) => {
    event.preventDefault();
    if (next.value !== again.value) { again.setCustomValidity(t("password.differ")); again.reportValidity(); return; }
    act.disabled = true;
    replace(trouble);
    try {
      await session.changePassword(current?.value ?? null, next.value);
      await router.again();
      pane.close();
      notice(t("password.saved"));
    } catch (error) {
      act.disabled = false;
      if (!current || error.status !== 401) { if (router.refused(error)) return; }
      replace(trouble, failure(error));
    }
  } } },
  el("input.offscreen", { type: "text", autocomplete: "username", value: router.me.name, tabindex: "-1", "aria-hidden": "true" }), // for the browser's key chain
  el("p.dim", null, t("password.text")),
  current && field(t("password.current"), current),
  field(t("password.next"), next, t("password.hint", { n: SHORTEST })),
  field(t("password.again"), again),
  trouble,
  el("div.dialog-acts", null, el("button", { type: "button", on: { click: () => pane.close() } }, t("act.cancel")), act));
  const pane = dialog(t(router.me.hasPassword ? "who.changePassword" : "who.setPassword"), form);
  (current ?? next).focus();
}
