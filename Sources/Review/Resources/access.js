// Who may send and who may look: a project's keys, the origins its pages come from, and the people of this page.

import { members as membersAPI, project as projectAPI } from "./api.js";
import { key as keyOnce, originTrouble } from "./connect.js";
import { el, icon, replace, words } from "./dom.js";
import { confirm, copy, dialog, failure, field, moment, notice, takeaway, waiting } from "./parts.js";
import { absoluteTime, instant, shortDayOf } from "./text.js";
import { t, tn } from "./words.js";

const list = (any) => (Array.isArray(any) ? any : []).filter((each) => each !== null && typeof each === "object");

// Keys

export function keys({ api, router, alive }) {
  const body = el("div", null, waiting());
  const element = el("section.panel", null,
    el("header.panel-head", null, el("div", null, el("h2", null, t("setup.keys")), el("p.dim", null, t("key.text"))),
      el("button.primary", { type: "button", on: { click: create } }, icon("plus"), t("key.create"))),
    body);
  load();

  async function load() {
    try {
      const found = list((await api.keys())?.keys);
      if (!alive()) return;
      replace(body, el("div.table-box", { tabindex: "0", role: "region", "aria-label": t("setup.keys") }, el("table", null,
        el("thead", null, el("tr", null, ["key", "label", "lane", "state", "created"].map((name) => el("th", { scope: "col" }, t(`key.${name}`))), el("td"))),
        el("tbody", null, found.map((each) => el("tr", null,
          el("th", { scope: "row" }, el("span.key-cell", null, el("code", null, words(each.shown) || words(each.id)), each.lane === "public" && !/…/.test(words(each.shown)) && el("button.quiet.square", { type: "button", title: t("key.copy"), "aria-label": t("key.copy"), on: { click: () => copy(words(each.shown), t("state.copied")) } }, icon("copy")))),
          el("td", null, el("bdi", null, words(each.label) || "–")),
          el("td", null, el(`span.chip${each.lane === "secret" ? ".warn" : ""}`, null, t(each.lane === "secret" ? "key.laneSecret" : "key.lanePublic")), " ", each.scope === "workspace" && el("span.chip", null, t("key.workspace"))),
          el("td", null, state(each)),
          el("td", null, moment(each.createdAt)),
          el("td.acts-cell", null, !each.revokedAt && each.live !== false && el("button.quiet", { type: "button", "aria-label": t("key.revokeNamed", { name: words(each.label) || words(each.shown) }), on: { click: () => revoke(each) } }, t("key.revoke")))))))));
    } catch (error) { if (alive() && !router.refused(error)) replace(body, failure(error, load)); }
  }

  function state(each) {
    if (each.revokedAt) return el("span.dim", null, `${t("key.revoked")} `, moment(each.revokedAt));
    const expires = instant(each.expiresAt);
    if (expires !== null && expires < Date.now()) return el("span.dim", null, t("key.expired"));
    return el("span", null, el("span.good-text", null, t("key.live")), expires !== null && el("span.dim", { title: absoluteTime(each.expiresAt) }, ` ${t("key.until", { time: shortDayOf(each.expiresAt) })}`));
  }

  function create() {
    const lane = el("select", null, el("option", { value: "public" }, t("key.public")), el("option", { value: "secret" }, t("key.secret")));
    const label = el("input", { type: "text", maxlength: "80", autocomplete: "off" });
    const expires = el("input", { type: "date" });
    const trouble = el("div");
    const form = el("form.dialog-form", { on: { submit: async (event) => {
      event.preventDefault();
      replace(trouble);
      const body = { lane: lane.value };
      if (label.value.trim()) body.label = label.value.trim();
      if (expires.value) body.expiresAt = new Date(`${expires.value}T23:59:59`).toISOString();
      try {
        const made = await api.createKey(body);
        const secret = lane.value === "secret";
        replace(form, keyOnce(t(secret ? "key.secret" : "key.public"), words(made?.text), t("key.onceText")), el("div.dialog-acts", null, el("button.primary", { type: "button", on: { click: () => pane.close() } }, t("key.kept"))));
        form.querySelector("button").focus();
        load();
      } catch (error) { if (!router.refused(error)) replace(trouble, failure(error)); }
    } } },
    field(t("key.lane"), lane, t("key.laneHint")), field(t("key.label"), label, t("key.labelHint")), field(t("key.expires"), expires, t("key.expiresHint")),
    trouble,
    el("div.dialog-acts", null, el("button", { type: "button", on: { click: () => pane.close() } }, t("act.cancel")), el("button.primary", { type: "submit" }, t("key.create"))));
    const pane = dialog(t("key.create"), form);
    lane.focus();
  }

  async function revoke(each) {
    const done = await confirm({ title: t("key.revokeTitle"), body: [el("p", null, el("code", null, words(each.shown)), " ", el("bdi", null, words(each.label))), el("p", null, t(each.lane === "public" ? "key.revokePublic" : "key.revokeSecret"))], act: t("key.revoke"), run: () => api.revokeKey(each.id) });
    if (done) { notice(t("key.revokedNotice")); load(); }
  }

  return element;
}

// Origins

export function origins({ project, id, router }) {
  let settings = project.settings !== null && typeof project.settings === "object" ? project.settings : {};
  const rows = el("ul.origins");
  const trouble = el("div");
  const input = el("input", { type: "text", autocomplete: "off", spellcheck: "false", inputmode: "url", placeholder: "https://www.example.com", on: { input: () => replace(trouble) } });
  const missing = el("input", { type: "checkbox", on: { change: () => change({ allowsMissingOrigin: missing.checked }) } });
  const none = el("input", { type: "checkbox", on: { change: () => change({ allowsNullOrigin: none.checked }) } });
  const element = el("section.panel", null, el("h2", null, t("setup.origins")), el("p.dim", null, t("origin.text")),
    rows,
    el("form.inline-form", { on: { submit: (event) => { event.preventDefault(); add(); } } }, field(t("origin.add"), input, t("origin.hint")), el("button.primary", { type: "submit" }, icon("plus"), t("act.add"))),
    trouble,
    el("label.check", null, missing, el("span", null, t("origin.missing"), el("span.hint.below", null, t("origin.missingText")))),
    el("label.check", null, none, el("span", null, t("origin.null"), el("span.hint.below", null, t("origin.nullText")))));
  draw();

  function draw() {
    const given = (Array.isArray(settings.origins) ? settings.origins : []).map(words);
    missing.checked = settings.allowsMissingOrigin === true;
    none.checked = settings.allowsNullOrigin === true;
    replace(rows, given.length === 0 ? el("li.dim", null, t("origin.none")) : given.map((origin) => el("li", null, el("code", null, origin),
      el("button.quiet", { type: "button", "aria-label": t("origin.removeNamed", { origin }), on: { click: () => remove(origin, given) } }, t("act.remove")))));
  }

  async function change(body) {
    replace(trouble);
    try { settings = (await projectAPI.change(id, body))?.project?.settings ?? { ...settings, ...body }; notice(t("state.saved")); draw(); return true; } catch (error) { draw(); if (!router.refused(error)) replace(trouble, failure(error)); return false; }
  }

  async function add() {
    const origin = input.value.trim().replace(/\/$/, "");
    const given = Array.isArray(settings.origins) ? settings.origins : [];
    const wrong = origin === "" ? t("origin.empty") : originTrouble(origin) ?? (given.includes(origin) ? t("origin.twice") : null);
    if (wrong) { replace(trouble, failure({ message: wrong })); input.focus(); return; }
    if (await change({ origins: [...given, origin] })) { input.value = ""; input.focus(); }
  }

  async function remove(origin, given) {
    const done = await confirm({ title: t("origin.removeTitle"), body: [el("p", null, el("code", null, origin)), el("p", null, t("origin.removeText"))], act: t("act.remove") , run: async () => { settings = (await projectAPI.change(id, { origins: given.filter((each) => each !== origin) }))?.project?.settings ?? settings; } });
    if (done) draw();
  }

  return element;
}

// Members

const ROLES = ["reader", "reviewer", "admin"];

export function members({ router, alive }) {
  const body = el("div", null, waiting());
  const element = el("section.panel", null,
    el("header.panel-head", null, el("div", null, el("h2", null, t("setup.members")), el("p.dim", null, t("member.text"))),
      el("button.primary", { type: "button", on: { click: () => edit(null) } }, icon("plus"), t("member.invite"))),
    body);
  load();

  async function load() {
    try {
      const found = list((await membersAPI.list())?.members);
      if (!alive()) return;
      replace(body, el("div.table-box", { tabindex: "0", role: "region", "aria-label": t("setup.members") }, el("table", null,
        el("thead", null, el("tr", null, ["name", "role", "projects", "signsIn", "lastSeen"].map((name) => el("th", { scope: "col" }, t(`member.${name}`))), el("td"))),
        el("tbody", null, found.map((each) => el("tr", null,
          el("th", { scope: "row" }, el("bdi.strong", null, words(each.name)), each.id === router.me.id && el("span.dim", null, ` ${t("member.you")}`)),
          el("td", null, ROLES.includes(each.role) ? t(`role.${each.role}`) : words(each.role)),
          el("td", null, Array.isArray(each.projects) ? each.projects.map((id) => router.projectOf(id)?.name ?? words(id)).join(", ") || t("member.noProjects") : t("member.allProjects")),
          el("td", null, t(each.hasPassword ? "member.withPassword" : "member.withLink")),
          el("td", null, each.lastSeenAt ? moment(each.lastSeenAt) : el("span.dim", null, t("member.never"))),
          el("td.acts-cell", null, el("span.item-acts", null,
            el("button.quiet", { type: "button", "aria-label": t("member.editNamed", { name: words(each.name) }), on: { click: () => edit(each) } }, t("act.edit")),
            el("button.quiet", { type: "button", "aria-label": t("member.linkNamed", { name: words(each.name) }), on: { click: () => relink(each) } }, t("member.newLink")),
            el("button.quiet", { type: "button", "aria-label": t("member.removeNamed", { name: words(each.name) }), on: { click: () => remove(each) } }, t("act.remove"))))))))));
    } catch (error) { if (alive() && !router.refused(error)) replace(body, failure(error, load)); }
  }

  function edit(each) {
    const name = el("input", { type: "text", required: true, maxlength: "80", autocomplete: "off", value: words(each?.name) });
    const role = el("select", null, ROLES.map((value) => el("option", { value, selected: value === (each?.role ?? "reviewer") }, t(`role.${value}`))));
    const everything = el("input", { type: "checkbox", checked: !Array.isArray(each?.projects), on: { change: () => { some.hidden = everything.checked; } } });
    const boxes = router.projects.map((project) => [project, el("input", { type: "checkbox", checked: Array.isArray(each?.projects) && each.projects.includes(project.id) })]);
    const some = el("fieldset", { hidden: everything.checked }, el("legend.spoken", null, t("member.projects")), boxes.map(([project, box]) => el("label.check", null, box, el("bdi", null, project.name))));
    const trouble = el("div");
    const form = el("form.dialog-form", { on: { submit: async (event) => {
      event.preventDefault();
      replace(trouble);
      const body = { name: name.value.trim(), role: role.value, projects: everything.checked ? null : boxes.filter(([, box]) => box.checked).map(([project]) => project.id) };
      try {
        if (each) { await membersAPI.change(each.id, body); pane.close(); notice(t("state.saved")); } else { linkShown(form, await membersAPI.invite(body), pane); }
        load();
      } catch (error) { if (!router.refused(error)) replace(trouble, failure(error)); }
    } } },
    field(t("member.name"), name), field(t("member.role"), role, t("member.roleHint")),
    el("label.check", null, everything, t("member.allProjects")), some, trouble,
    el("div.dialog-acts", null, el("button", { type: "button", on: { click: () => pane.close() } }, t("act.cancel")), el("button.primary", { type: "submit" }, t(each ? "act.save" : "member.invite"))));
    const pane = dialog(each ? tn("member.change", { name: el("bdi", null, words(each.name)) }) : t("member.invite"), form);
    name.focus();
  }

  function linkShown(place, made, pane) {
    replace(place, el("p", null, t("member.linkText", { time: absoluteTime(made?.expiresAt) })), takeaway(words(made?.link)), el("div.dialog-acts", null, el("button.primary", { type: "button", on: { click: () => pane.close() } }, t("act.close"))));
    place.querySelector("button").focus();
  }

  async function relink(each) {
    const place = el("div.dialog-form", null, waiting());
    const pane = dialog(tn("member.linkFor", { name: el("bdi", null, words(each.name)) }), place);
    try { linkShown(place, await membersAPI.link(each.id), pane); } catch (error) { if (!router.refused(error)) replace(place, failure(error)); }
  }

  async function remove(each) {
    const done = await confirm({ title: t("member.removeTitle", { name: words(each.name) }), body: t("member.removeText"), act: t("act.remove"), run: () => membersAPI.remove(each.id) });
    if (done) { notice(t("member.removed")); load(); }
  }

  return element;
}
