// The keyboard. Single keys, so they are off while someone types and while a modifier is down.

import { el, icon } from "./dom.js";

const SHEET = [
  ["j  k", "next, previous conversation"],
  ["Enter", "open the conversation in focus"],
  ["Esc", "back, or close what is open"],
  ["/", "search"],
  ["o", "show or hide the details"],
  ["?", "this sheet"],
];

function typing(target) {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable], [role=combobox]") !== null;
}

/// `actions` maps a key to what it does; Esc is told while typing too, so that it can leave the field.
export function listen(actions) {
  document.addEventListener("keydown", (press) => {
    if (press.defaultPrevented || press.ctrlKey || press.metaKey || press.altKey || press.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    if (typing(press.target)) {
      if (press.key === "Escape") press.target.blur();
      return;
    }
    const action = actions[press.key];
    if (!action) return;
    press.preventDefault();
    action();
  });
}

export function sheet() {
  const dialog = el("dialog.sheet", { "aria-labelledby": "sheet-title", on: { click: (press) => press.target === dialog && dialog.close() } },
    el("div.sheet-body", null,
      el("header", null,
        el("h2", { id: "sheet-title" }, "Keys"),
        el("button.quiet.square", { type: "button", "aria-label": "Close", on: { click: () => dialog.close() } }, icon("close"))),
      el("dl.keys", null, SHEET.map(([keys, meaning]) => el("div", null,
        el("dt", null, keys.split(/\s+/).map((key) => el("kbd", null, key))),
        el("dd", null, meaning)))),
      el("p.dim", null, "Keys rest while you type in a field.")));
  return dialog;
}
