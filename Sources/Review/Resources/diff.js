// Where the page showed something else than the run produced, word by word. Loaded when there is such a finding.

import { hidesSomething, letters } from "./content.js";
import { el, spoken } from "./dom.js";
import { t } from "./words.js";

const CELLS = 1_000_000; // of the table a diff may fill; past it the two texts stand whole

export function difference(displayed, produced) {
  const body = document.createDocumentFragment();
  body.append(
    el("p.dim", null, el("del", null, t("finding.page")), " ", el("ins", null, t("finding.run"))),
    el("div.diff", { dir: "auto", tabindex: "0", role: "group", "aria-label": t("finding.title") }, wordDiff(displayed, produced).map(([kind, text]) => {
      const shown = hidesSomething(text) ? letters(text) : text;
      return kind === 0 ? shown : el(kind < 0 ? "del" : "ins", null, spoken(t(kind < 0 ? "finding.pageOnly" : "finding.runOnly"), " "), shown);
    })));
  return body;
}

/// What two texts share and not, by words: [[-1 | 0 | 1, text]]. Bounded: very different long texts stand whole.
export function wordDiff(before, after) {
  const a = before.match(/\s+|[\p{L}\p{N}_]+|[^]/gu) ?? [], b = after.match(/\s+|[\p{L}\p{N}_]+|[^]/gu) ?? [];
  let head = 0, tail = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const left = a.slice(head, a.length - tail), right = b.slice(head, b.length - tail);
  const steps = [];
  const add = (kind, text) => { if (text === "") return; if (steps.at(-1)?.[0] === kind) steps.at(-1)[1] += text; else steps.push([kind, text]); };
  add(0, a.slice(0, head).join(""));
  if (left.length * right.length > CELLS) { add(-1, left.join("")); add(1, right.join("")); }
  else {
    const wide = right.length + 1, table = new Uint32Array((left.length + 1) * wide);
    for (let i = left.length - 1; i >= 0; i -= 1) {
      for (let j = right.length - 1; j >= 0; j -= 1) {
        table[i * wide + j] = left[i] === right[j] ? table[(i + 1) * wide + j + 1] + 1 : Math.max(table[(i + 1) * wide + j], table[i * wide + j + 1]);
      }
    }
    let i = 0, j = 0;
    while (i < left.length || j < right.length) {
      if (i < left.length && j < right.length && left[i] === right[j]) { add(0, left[i]); i += 1; j += 1; }
      else if (j >= right.length || (i < left.length && table[(i + 1) * wide + j] >= table[i * wide + j + 1])) { add(-1, left[i]); i += 1; }
      else { add(1, right[j]); j += 1; }
    }
  }
  add(0, a.slice(a.length - tail).join(""));
  return steps;
}
