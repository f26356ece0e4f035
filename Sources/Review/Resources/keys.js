// The keyboard. Single keys, so they are off while someone types and while a modifier is down.

import { el, icon, replace } from "./dom.js";
import { t } from "./words.js";

function typing(target) {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable], [role=combobox]") !== null;
}

/// `layers()` answers with the keys of the moment, the nearest first: [{ key: { does, run } }]. A `run` that answers
/// false leaves the key to the next layer. In a field, Esc leaves the field.
export function listen(layers) {
  document.addEventListener("keydown", (press) => {
    if (press.defaultPrevented || press.ctrlKey || press.metaKey || press.altKey || press.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    if (typing(press.target)) {
      if (press.key === "Escape") press.target.blur();
      return;
    }
    for (const actions of layers()) {
      const action = Object.hasOwn(actions, press.key) ? actions[press.key] : null;
      if (!action || action.run(press) === false) continue;
      press.preventDefault();
      return;
    }
  });
}

const NAMES = { " ": "keys.space", ArrowLeft: "keys.left", ArrowRight: "keys.right", ArrowUp: "keys.up", ArrowDown: "keys.down", Escape: "keys.escape", Enter: "keys.enter" };

/// The sheet that tells the keys; `groups()` answers with [[title, { key: { does } }]] when it opens.
export function sheet(groups) {
  const body = el("div.key-groups");
  const node = el("dialog.sheet", { "aria-labelledby": "sheet-title", on: { click: (press) => press.target === node && node.close() } },
    el("div.sheet-body", null,
      el("header", null,
        el("h2", { id: "sheet-title" }, t("keys.title")),
        el("button.quiet.square", { type: "button", "aria-label": t("act.close"), on: { click: () => node.close() } }, icon("close"))),
      body,
      el("p.dim", null, t("keys.rest"))));
  return {
    element: node,
    open() {
      replace(body, groups().filter(([, actions]) => Object.keys(actions).length > 0).map(([title, actions]) => el("section", null,
        el("h3", null, title),
        el("dl.keys", null, lines(actions).map(([keys, does]) => el("div", null,
          el("dt", null, keys.map((key) => key === "…" ? key : el("kbd", null, NAMES[key] ? t(NAMES[key]) : key))),
          el("dd", null, does)))))));
      node.showModal();
    },
  };
}

/// Keys that do the same stand on one line; `keys` names a row of them ("1 … 5"), `hidden` ones are not told.
function lines(actions) {
  const byWords = new Map();
  for (const [key, { does, keys, hidden }] of Object.entries(actions)) {
    if (does && !hidden) byWords.set(does, [...(byWords.get(does) ?? []), ...(keys ? keys.split(" ") : [key])]);
  }
  return [...byWords].map(([does, keys]) => [[...new Set(keys)], does]);
}
