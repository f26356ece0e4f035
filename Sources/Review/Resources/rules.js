// What holds in a project: when a conversation ends, who may score it when, how much may come, how long it is kept;
// erasing and deleting; and the record of who changed what.

import { project as projectAPI } from "./api.js";
import { el, replace, words } from "./dom.js";
import { confirm, failure, field, moment, notice, waiting } from "./parts.js";
import { figure } from "./text.js";
import { erase } from "./users.js";
import { has, t } from "./words.js";

const SCORING = ["review", "open", "strict"];

const settingsOf = (project) => project.settings !== null && typeof project.settings === "object" ? project.settings : {};

/// A form that sends what `read()` answers with, and says how it went. What is changed and sent while a save is under way is saved behind it.
function saved({ id, router, read }, ...fields) {
  const trouble = el("div");
  const act = el("button.primary", { type: "submit" }, t("act.save"));
  let isSaving = false, isOwed = false;
  async function save() {
    replace(trouble);
    try {
      const body = read();
      await projectAPI.change(id, body);
      notice(t("state.saved"));
      if (body.name !== undefined) await router.reload();
    } catch (error) { if (!router.refused(error)) replace(trouble, failure(error)); }
  }
  return el("form.form", { on: { submit: async (event) => {
    event.preventDefault();
    isOwed = true;
    // Not disabled meanwhile: Enter would be heard by nobody.
    if (isSaving) return;
    isSaving = true;
    act.setAttribute("aria-busy", "true");
    while (isOwed) {
      isOwed = false;
      await save();
    }
    act.removeAttribute("aria-busy");
    isSaving = false;
  } } }, ...fields, trouble, el("div", null, act));
}

function numberField(value, { least = 1, most = null, step = "any" } = {}) {
  return el("input.short", { type: "number", min: String(least), max: most === null ? null : String(most), step: String(step), required: true, value: typeof value === "number" ? String(value) : "" });
}

/// What one counts in, and what the wire counts in: kilobytes here, bytes there.
const UNITS = { events: { each: 1, least: 0.01 }, bytes: { each: 1000, least: 0.001 } };

/// So much a second and the burst on top, or no limit.
function limitField(unit, quota) {
  const { each, least } = UNITS[unit];
  const per = numberField(quota && quota.perSecond / each, { least }), burst = numberField(quota && quota.burst / each, { least: unit === "bytes" ? least : 1 });
  const unlimited = el("input", { type: "checkbox", checked: !quota, on: { change: apply } });
  const numbers = el("div.pair", null, field(t(`quota.${unit}.perSecond`), per), field(t(`quota.${unit}.burst`), burst));
  function apply() { per.disabled = burst.disabled = numbers.hidden = unlimited.checked; }
  apply();
  return {
    element: el("div.limit", null, el("label.check", null, unlimited, t(`quota.${unit}.none`)), numbers),
    read: () => unlimited.checked ? null : { perSecond: Number(per.value) * each, burst: Number(burst.value) * each },
  };
}

/// Whose quota it is: in events, and in bytes.
function quotaField(owner, events, bytes) {
  const limits = [limitField("events", events), limitField("bytes", bytes)];
  return {
    element: el("fieldset.quota", null, el("legend", null, t(`quota.${owner}`)), el("p.hint", null, t(`quota.${owner}Text`)), limits.map((limit) => limit.element)),
    read: () => limits.map((limit) => limit.read()),
  };
}

const RARE = ["session", "thread", "project"];

/// All quotas of a project: two that most have, and three that few need.
function quotas(settings) {
  const more = settings.quotas ?? {};
  const key = quotaField("key", settings.keyQuota, more["key.bytes"]), address = quotaField("address", settings.addressQuota, more["address.bytes"]);
  const rare = RARE.map((owner) => quotaField(owner, more[owner], more[`${owner}.bytes`]));
  const open = RARE.some((owner) => more[owner] || more[`${owner}.bytes`]);
  return {
    elements: [el("p.dim", null, t("quota.text")), key.element, address.element, el("details.fold", { open }, el("summary", null, t("quota.more")), el("div.quotas", null, rare.map((each) => each.element)))],
    read() {
      const [keyQuota, keyBytes] = key.read(), [addressQuota, addressBytes] = address.read();
      const named = { "key.bytes": keyBytes, "address.bytes": addressBytes };
      RARE.forEach((owner, at) => { [named[owner], named[`${owner}.bytes`]] = rare[at].read(); });
      return { keyQuota, addressQuota, quotas: named };
    },
  };
}

export function rules(ground) {
  const { project, go, route } = ground;
  const settings = settingsOf(project);
  const name = el("input", { type: "text", required: true, maxlength: "80", autocomplete: "off", value: words(project.name) });
  const minutes = numberField(typeof settings.inactiveAfterSeconds === "number" ? settings.inactiveAfterSeconds / 60 : 15, { least: 0.1 });
  const group = `scoring-${Math.random().toString(36).slice(2)}`;
  const choices = SCORING.map((value) => el("input", { type: "radio", name: group, value, checked: settings.scoring === value }));
  const limits = quotas(settings);
  return el("div.sections", null,
    el("section.panel", null, el("h2", null, t("rules.name")), saved({ ...ground, read: () => { const given = name.value.trim(); setTimeout(() => { if (given !== route.project && ground.router.projectOf(given)) go({ project: given, view: "setup", section: "rules" }, { replace: true }); }, 600); return { name: given }; } }, field(t("project.name"), name, t("project.nameHint")))),
    el("section.panel", null, el("h2", null, t("rules.inactive")), saved({ ...ground, read: () => ({ inactiveAfterSeconds: Math.round(Number(minutes.value) * 60) }) }, field(t("rules.inactiveMinutes"), minutes, t("rules.inactiveText")))),
    el("section.panel", null, el("h2", null, t("rules.scoring")), saved({ ...ground, read: () => ({ scoring: choices.find((choice) => choice.checked)?.value ?? "review" }) },
      el("fieldset.choices", null, el("legend.spoken", null, t("rules.scoring")), SCORING.map((value, at) => el("label.check", null, choices[at], el("span", null, el("strong", null, t(`scoring.${value}`)), el("span.hint.below", null, t(`scoring.${value}Text`)))))))),
    el("section.panel", null, el("h2", null, t("rules.quotas")), saved({ ...ground, read: limits.read }, ...limits.elements)));
}

export function privacy(ground) {
  const { project, api, id, go, router } = ground;
  const settings = settingsOf(project);
  const forever = el("input", { type: "checkbox", checked: typeof settings.retentionDays !== "number", on: { change: apply } });
  const days = numberField(settings.retentionDays ?? 90, { step: 1 });
  const daysField = field(t("retention.days"), days);
  function apply() { days.disabled = daysField.hidden = forever.checked; }
  apply();
  const user = el("input", { type: "text", autocomplete: "off", spellcheck: "false", required: true });
  const name = words(project.name);
  return el("div.sections", null,
    el("section.panel", null, el("h2", null, t("retention.title")), el("p.dim", null, t("retention.text")),
      saved({ ...ground, read: () => ({ retentionDays: forever.checked ? null : Number(days.value) }) }, el("label.check", null, forever, t("retention.forever")), daysField)),
    scrubbing(ground),
    el("section.panel", null, el("h2", null, t("erase.act")), el("p.dim", null, t("erase.text")),
      el("form.inline-form", { on: { submit: async (event) => { event.preventDefault(); if (await erase(api, user.value.trim())) user.value = ""; } } }, field(t("filter.user"), user), el("button.danger", { type: "submit" }, t("erase.act")))),
    el("section.panel", null, el("h2", null, t("project.delete")), el("p.dim", null, t("project.deleteText")),
      el("div", null, el("button.danger", { type: "button", on: { click: async () => {
        const done = await confirm({ title: t("project.deleteTitle", { name }), body: t("project.deleteText"), act: t("project.delete"), type: name, run: () => projectAPI.remove(id, name) });
        if (!done) return;
        notice(t("project.deleted"));
        await router.reload().catch(() => {});
        go({ project: router.projects[0]?.name ?? null, view: router.projects.length ? null : "setup" });
      } } }, t("project.delete")))));
}

/// The rules as the command line has them, one a line, with a text to try them on.
function scrubbing({ project, id, router, ...ground }) {
  const given = settingsOf(project).scrubbing;
  const lines = el("textarea", { rows: "4", spellcheck: "false", autocomplete: "off" });
  lines.value = (Array.isArray(given) ? given : []).map((rule) => words(rule?.text)).join("\n");
  const sample = el("input", { type: "text", autocomplete: "off", spellcheck: "false" });
  const made = el("div", { "aria-live": "polite" });
  const read = () => lines.value.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  async function attempt(event) {
    event.preventDefault();
    try { replace(made, el("p", null, el("bdi", null, words((await projectAPI.scrub(id, read(), sample.value))?.text)))); } catch (error) { if (!router.refused(error)) replace(made, failure(error)); }
  }
  return el("section.panel", null, el("h2", null, t("scrubbing.title")), el("p.dim", null, t("scrubbing.text")),
    saved({ ...ground, id, router, read: () => ({ scrubbing: read() }) }, field(t("scrubbing.rules"), lines, t("scrubbing.hint"))),
    el("form.inline-form", { on: { submit: attempt } }, field(t("scrubbing.sample"), sample), el("button", { type: "submit" }, t("scrubbing.try"))), made);
}

export function audit({ api, router, alive }) {
  const body = el("div", null, waiting());
  const scopes = el("div.spans", { role: "group", "aria-label": t("audit.scope") });
  const element = el("section.panel", null, el("header.panel-head", null, el("div", null, el("h2", null, t("setup.audit")), el("p.dim", null, t("audit.text"))), scopes), body);
  let rows = null, next = null, scope = "project";
  turn("project");

  /// What happened in this project, or to the installation: members, projects.
  function turn(to) {
    scope = to;
    next = null;
    rows = el("tbody");
    replace(scopes, ["project", "installation"].map((each) => el("button", { type: "button", "aria-pressed": String(each === scope), on: { click: () => turn(each) } }, t(`audit.scope.${each}`))));
    replace(body, waiting());
    load();
  }

  async function load() {
    try {
      const mine = rows;
      const page = await api.audit({ limit: 50, cursor: next, scope: scope === "installation" ? scope : undefined });
      if (!alive() || mine !== rows) return;
      const entries = (Array.isArray(page?.entries) ? page.entries : []).filter((entry) => entry !== null && typeof entry === "object");
      next = page?.next ?? null;
      rows.append(...entries.map((entry) => el("tr", null,
        el("td", null, moment(entry.at)), el("td", null, el("bdi", null, words(entry.by))),
        el("td", null, has(`audit.${entry.action}`) ? t(`audit.${entry.action}`) : words(entry.action)),
        el("td.subject", null, el("bdi", null, words(entry.subject))), el("td.detail", null, detail(entry.detail)))));
      replace(body, rows.childElementCount === 0 ? el("p.dim", null, t("audit.none")) : el("div.table-box", { tabindex: "0", role: "region", "aria-label": t("setup.audit") }, el("table.audit", null,
        el("thead", null, el("tr", null, ["at", "by", "action", "subject", "detail"].map((name) => el("th", { scope: "col" }, t(`audit.${name}`))))), rows)),
      next && el("button.load-more", { type: "button", on: { click: load } }, t("list.more")));
    } catch (error) { if (alive() && !router.refused(error)) replace(body, failure(error, load)); }
  }

  function detail(any) {
    if (any === null || any === undefined || typeof any !== "object") return words(any);
    return Object.entries(any).map(([name, value]) => `${name}: ${typeof value === "number" ? figure(value) : words(value)}`).join(", ");
  }

  return element;
}
