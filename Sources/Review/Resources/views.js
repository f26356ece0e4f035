// Views of the list: a name for a set of filters. Five are built in; the rest are kept by the gateway, one's own or shared.

import { reader } from "./api.js";
import { el, icon, replace } from "./dom.js";
import { confirm, dialog, failure, field, notice } from "./parts.js";
import { filtersOf, format, queryOf } from "./route.js";
import { t } from "./words.js";

const BUILT_IN = [["all", ""], ["unreviewed", "reviewed=false"], ["down", "feedback=down"], ["errors", "error=true"], ["differs", "provenance=differs"]];

/// The menu above the list that names the view in sight.
export function viewMenu({ router }) {
  let route = null, api = null, saved = [], asked = null;
  const name = el("bdi");
  const items = el("div.menu-items");
  const element = el("details.menu.views", null, el("summary", null, icon("save"), name), items);

  function show(next) {
    const other = route?.project !== next.project;
    route = next;
    if (other) { api = reader(next.project); saved = []; load(); }
    draw();
  }

  async function load() {
    const mine = asked = {};
    try {
      const answer = await api.views();
      if (asked !== mine) return;
      saved = (Array.isArray(answer?.views) ? answer.views : []).filter((view) => typeof view?.name === "string" && typeof view?.query === "string");
      draw();
    } catch (error) { router.refused(error); } // the built-in ones are there either way
  }

  /// The same filters in the same order, so that two queries can be compared.
  const normal = (query) => queryOf(filtersOf(query));

  function draw() {
    const here = queryOf(route.filters);
    const builtIn = BUILT_IN.find(([, query]) => query === here);
    const own = saved.find((view) => normal(view.query) === here);
    name.textContent = builtIn ? t(`view.${builtIn[0]}`) : own ? own.name : t("view.custom");
    const link = (label, query, remove) => el("div.view-line", null,
      el("a", { href: format({ project: route.project, thread: route.thread, filters: filtersOf(query) }), "aria-current": normal(query) === here ? "true" : null, on: { click: () => { element.open = false; } } }, label), remove);
    const mine = (view) => view.owner === router.me.name || router.can("admin");
    replace(items,
      BUILT_IN.map(([key, query]) => link(t(`view.${key}`), query)),
      saved.length > 0 && el("p.menu-title", null, t("view.saved")),
      saved.map((view) => link([el("bdi", null, view.name), view.shared && el("span.dim", null, ` ${t("view.sharedMark")}`)], view.query,
        mine(view) && el("button.quiet.square", { type: "button", title: t("view.remove", { name: view.name }), "aria-label": t("view.remove", { name: view.name }), on: { click: () => remove(view) } }, icon("close")))),
      !builtIn && !own && el("button.quiet.menu-act", { type: "button", on: { click: save } }, icon("plus"), t("view.save")));
  }

  function save() {
    element.open = false;
    const query = queryOf(route.filters);
    const input = el("input", { type: "text", required: true, maxlength: "80", autocomplete: "off" });
    const shared = el("input", { type: "checkbox" });
    const trouble = el("div");
    const form = el("form.dialog-form", { on: { submit: async (event) => {
      event.preventDefault();
      replace(trouble);
      try {
        await api.saveView({ name: input.value.trim(), query, shared: shared.checked });
        pane.close();
        notice(t("view.savedNotice"));
        load();
      } catch (error) { if (!router.refused(error)) replace(trouble, failure(error)); }
    } } },
    field(t("view.name"), input),
    router.can("review") && el("label.check", null, shared, t("view.share")),
    trouble,
    el("div.dialog-acts", null, el("button", { type: "button", on: { click: () => pane.close() } }, t("act.cancel")), el("button.primary", { type: "submit" }, t("act.save"))));
    const pane = dialog(t("view.save"), form);
    input.focus();
  }

  async function remove(view) {
    element.open = false;
    const done = await confirm({ title: t("view.removeTitle"), body: view.shared ? t("view.removeShared", { name: view.name }) : t("view.removeOwn", { name: view.name }), act: t("act.delete"), run: () => api.removeView(view.id) });
    if (done) load();
  }

  return { element, show };
}
