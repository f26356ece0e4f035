// A word of explanation on a small thing, by hover and by keyboard alike (WCAG 1.4.13: it stays while the
// pointer is on it, and Esc puts it away). One bubble serves the whole page: what has `data-tip` has a word to say.

import { el } from "./dom.js";

const LEAVE = 150; // milliseconds for the pointer to travel from the thing to its bubble
const bubble = el("div.tip", { id: "tip", role: "tooltip", popover: "manual" });
let owner = null, leaving = 0;

function show(node) {
  clearTimeout(leaving);
  if (owner === node) return;
  owner = node;
  bubble.textContent = node.dataset.tip;
  if (!bubble.isConnected) document.body.append(bubble);
  if (!bubble.matches(":popover-open")) bubble.showPopover?.();
  place(node);
}

function place(node) {
  const at = node.getBoundingClientRect(), size = bubble.getBoundingClientRect();
  const left = Math.max(8, Math.min(at.left, innerWidth - size.width - 8));
  const below = at.bottom + 6 + size.height < innerHeight;
  bubble.style.setProperty("left", `${left}px`);
  bubble.style.setProperty("top", `${below ? at.bottom + 6 : Math.max(8, at.top - size.height - 6)}px`);
}

function hide() {
  clearTimeout(leaving);
  if (!owner) return false;
  owner = null;
  if (bubble.matches(":popover-open")) bubble.hidePopover();
  return true;
}

const later = () => { clearTimeout(leaving); leaving = setTimeout(hide, LEAVE); };
const tipped = (event) => event.target instanceof Element ? event.target.closest("[data-tip]") : null;

document.addEventListener("pointerover", (event) => { const node = tipped(event); if (node) show(node); else if (owner && owner !== document.activeElement && !bubble.contains(event.target)) later(); else clearTimeout(leaving); });
document.addEventListener("focusin", (event) => { const node = tipped(event); if (node) show(node); else hide(); });
document.addEventListener("focusout", (event) => { if (event.target === owner) later(); });
document.addEventListener("scroll", () => { if (owner && owner === document.activeElement) place(owner); else hide(); }, { passive: true, capture: true }); // focus itself scrolls
document.addEventListener("keydown", (press) => { if (press.key === "Escape" && hide()) press.stopPropagation(); }, { capture: true });
