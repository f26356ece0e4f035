// Set-up, for administrators: how events get in, who may send and who may look, what holds in a project, and what was
// changed by whom. This file is the frame; the sections live in connect.js, access.js and rules.js.

import { members, origins, keys } from "./access.js";
import { project as projectAPI, reader } from "./api.js";
import { newProject, sending } from "./connect.js";
import { el, replace } from "./dom.js";
import english from "./en-setup.js";
import { empty, failure, waiting } from "./parts.js";
import { format } from "./route.js";
import { audit, privacy, rules } from "./rules.js";
import { register, t } from "./words.js";

register(english);

// Each is given the ground it stands on and answers with an element, or with { element, hide }.
const SECTIONS = { sending, keys, origins, rules, members, privacy, audit, new: newProject };

export default function setup({ go, router }) {
  let route = null, current = null, asked = null;
  const nav = el("nav.section-nav", { "aria-label": t("setup.sections") });
  const body = el("div.room-body");
  const element = el("section.operations.setup", null, el("header", null, el("h1", null, t("nav.setup"))), el("div.setup-grid", null, nav, body));

  function show(to) {
    const before = route;
    route = to;
    const name = section();
    replace(nav, el("ul", null, Object.keys(SECTIONS).filter((each) => each === "new" || to.project).map((each) => el("li", null, el("a", { href: format({ project: to.project, view: "setup", section: each === "sending" ? null : each }), "aria-current": each === name ? "page" : null }, t(`setup.${each}`))))));
    if (!router.can("admin")) { rest(); replace(body, empty(t("setup.notYours"), el("p", null, t("setup.notYoursText")))); return; }
    if (before && before.project === to.project && before.section === to.section && body.childElementCount > 0) return;
    open(name);
  }

  function section() {
    if (!route.project) return "new";
    return Object.hasOwn(SECTIONS, route.section ?? "") ? route.section : "sending";
  }

  async function open(name) {
    rest();
    const mine = asked = route;
    const ground = { go, router, route: mine, api: route.project ? reader(route.project) : null, id: router.projectOf(route.project)?.id ?? route.project, project: null, again: () => open(name), alive: () => route === mine };
    if (name !== "new") {
      replace(body, waiting());
      try {
        ground.project = (await projectAPI.read(ground.id))?.project ?? {};
      } catch (error) {
        if (asked === mine && route === mine && !router.refused(error)) replace(body, failure(error, () => open(name)));
        return;
      }
      if (asked !== mine || route !== mine) return;
    }
    const made = SECTIONS[name](ground);
    current = made instanceof Element ? { element: made } : made;
    replace(body, current.element);
  }

  function rest() { current?.hide?.(); current = null; }

  return { element, show, hide() { rest(); route = null; replace(body); } };
}
