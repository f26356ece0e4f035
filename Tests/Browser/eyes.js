// What a person and a screen reader perceive of a page: roles, names, what is visible, where to point.
// Both browsers load it before a page's own scripts; the tests find everything by role and name through it.

window.eyes ??= (() => {
  const LANDMARK_OWNERS = "article, aside, main, nav, section, [role=article], [role=complementary], [role=main], [role=navigation], [role=region]";
  const INPUT = {
    button: "button", submit: "button", reset: "button", image: "button", checkbox: "checkbox", radio: "radio", range: "slider",
    number: "spinbutton", search: "searchbox", text: "textbox", email: "textbox", tel: "textbox", url: "textbox", password: "textbox",
    file: "button", hidden: null,
  };
  const ROLE = {
    A: (e) => e.hasAttribute("href") ? "link" : "generic", AREA: (e) => e.hasAttribute("href") ? "link" : "generic",
    ARTICLE: "article", ASIDE: "complementary", BUTTON: "button", CODE: "code", DATALIST: "listbox", DD: "definition", DETAILS: "group", DFN: "term",
    DIALOG: "dialog", DT: "term", EM: "emphasis", FIELDSET: "group", FIGURE: "figure",
    FOOTER: (e) => e.closest(LANDMARK_OWNERS) ? "generic" : "contentinfo", FORM: (e) => named(e) ? "form" : "generic",
    H1: "heading", H2: "heading", H3: "heading", H4: "heading", H5: "heading", H6: "heading",
    HEADER: (e) => e.closest(LANDMARK_OWNERS) ? "generic" : "banner", HR: "separator",
    IMG: (e) => e.getAttribute("alt") === "" ? "presentation" : "img",
    INPUT: (e) => {
      const type = (e.getAttribute("type") ?? "text").toLowerCase();
      const role = Object.hasOwn(INPUT, type) ? INPUT[type] : "textbox";
      return e.hasAttribute("list") && (role === "textbox" || role === "searchbox") ? "combobox" : role;
    },
    LI: "listitem", MAIN: "main", MENU: "list", METER: "meter", NAV: "navigation", OL: "list", OPTGROUP: "group", OPTION: "option", OUTPUT: "status",
    P: "paragraph", PROGRESS: "progressbar", SEARCH: "search", SECTION: (e) => named(e) ? "region" : "generic",
    SELECT: (e) => e.multiple || e.size > 1 ? "listbox" : "combobox", STRONG: "strong", SUMMARY: "button", TABLE: "table", TBODY: "rowgroup", TD: "cell",
    TEXTAREA: "textbox", TFOOT: "rowgroup", TH: (e) => e.scope === "row" ? "rowheader" : "columnheader", THEAD: "rowgroup", TIME: "time", TR: "row", UL: "list",
  };
  const FROM_CONTENT = new Set(["button", "cell", "checkbox", "columnheader", "gridcell", "heading", "link", "menuitem", "menuitemcheckbox", "menuitemradio",
    "option", "radio", "row", "rowheader", "switch", "tab", "tooltip", "treeitem"]);

  const squeeze = (text) => text.replace(/\s+/g, " ").trim();
  const named = (e) => e.hasAttribute("aria-label") || e.hasAttribute("aria-labelledby") || e.hasAttribute("title");

  function role(element) {
    const given = element.getAttribute("role")?.trim().split(/\s+/)[0];
    if (given) return given === "none" ? "presentation" : given === "image" ? "img" : given;
    const own = ROLE[element.tagName];
    return typeof own === "function" ? own(element) : own === undefined ? "generic" : own;
  }

  const hidden = (element) => {
    const style = getComputedStyle(element);
    return style.display === "none" || style.visibility !== "visible" || element.getAttribute("aria-hidden") === "true";
  };

  /// The words in an element as a screen reader puts them together.
  function content(element, seen) {
    let text = quoted(element, "::before");
    for (const child of element.childNodes) {
      if (child.nodeType === Node.TEXT_NODE) text += child.data;
      else if (child.nodeType === Node.ELEMENT_NODE && !hidden(child)) {
        const inner = own(child, seen, true);
        text += /^(inline|contents)/.test(getComputedStyle(child).display) ? inner : ` ${inner} `;
      }
    }
    return text + quoted(element, "::after");
  }

  function quoted(element, which) {
    const text = getComputedStyle(element, which).content;
    return /^"/.test(text) ? text.slice(1, -1).replace(/\\(.)/g, "$1") : "";
  }

  function own(element, seen = new Set(), inside = false) {
    if (seen.has(element)) return "";
    seen.add(element);
    const by = !inside && element.getAttribute("aria-labelledby");
    if (by) {
      const text = by.trim().split(/\s+/).map((id) => document.getElementById(id)).filter(Boolean).map((e) => own(e, seen, "label") || content(e, seen)).join(" ");
      if (squeeze(text)) return text;
    }
    const label = element.getAttribute("aria-label");
    if (label?.trim()) return label;
    if (element.matches("input, select, textarea, meter, progress, output")) {
      if (inside && inside !== "label") return element.matches("select") ? [...element.selectedOptions].map((o) => o.text).join(" ") : element.matches("[type=checkbox], [type=radio]") ? "" : element.value ?? "";
      const labels = [...(element.labels ?? [])].map((e) => content(e, seen)).join(" ");
      if (squeeze(labels)) return labels;
      if (element.matches("input[type=submit], input[type=button], input[type=reset]")) return element.value || { submit: "Submit", reset: "Reset" }[element.type] || "";
      if (element.matches("input[type=image]") && element.alt) return element.alt;
    } else if (element.matches("img, area")) {
      if (element.alt) return element.alt;
    } else if (element.tagName === "FIELDSET" || element.tagName === "TABLE") {
      const title = element.querySelector(element.tagName === "TABLE" ? ":scope > caption" : ":scope > legend");
      if (title) return content(title, seen);
    } else if (element.tagName.toLowerCase() === "svg") {
      const title = element.querySelector(":scope > title");
      if (title) return title.textContent;
    }
    if (inside || FROM_CONTENT.has(role(element))) {
      const text = content(element, seen);
      if (squeeze(text)) return text;
    }
    return element.getAttribute("title") ?? element.getAttribute("placeholder") ?? "";
  }

  const name = (element) => squeeze(own(element));

  /// A box to tick may be drawn by its label alone.
  function drawnBy(element) {
    const label = element.matches("input[type=checkbox], input[type=radio]") ? element.labels?.[0] : null;
    const box = label && element.getBoundingClientRect();
    return label && (box.width <= 1 || box.height <= 1 || getComputedStyle(element).opacity === "0") ? label : element;
  }

  /// Whether the browser leaves it undrawn while it is out of sight (content-visibility: auto).
  const skipped = (element) => !element.checkVisibility({ contentVisibilityAuto: true }) && element.checkVisibility();

  /// Whether somebody who sees could see it, were it scrolled to and pointed at: what shows on hover counts.
  function visible(given) {
    const element = drawnBy(given);
    if (!element.checkVisibility({ checkVisibilityCSS: true, visibilityProperty: true })) return false;
    if (skipped(element)) return true;
    const box = element.getBoundingClientRect();
    if (box.width > 1 && box.height > 1) return true;
    return getComputedStyle(element).display === "contents" && [...element.children].some(visible);
  }

  /// Whether a screen reader meets it.
  function exposed(element) {
    return element.checkVisibility({ checkVisibilityCSS: true, visibilityProperty: true }) && !element.closest("[aria-hidden=true], [inert]") && !behindDialog(element);
  }

  function behindDialog(element) {
    const modal = [...document.querySelectorAll("dialog:modal")].pop();
    return Boolean(modal) && !modal.contains(element);
  }

  function everything(root = document, into = []) {
    for (const element of root.querySelectorAll("*")) into.push(element);
    return into;
  }

  /// Elements by role and name. A text is the whole name or, where none has that, a part of it; a pattern is searched for.
  function find({ role: wanted = null, name: text = null, pattern = null, css = null, within = null, all = false }) {
    let roots = [document];
    if (within) roots = find(within);
    let found = roots.flatMap((root) => css ? [...root.querySelectorAll(css)] : everything(root));
    if (wanted) found = found.filter((e) => role(e) === wanted);
    found = found.filter((e) => exposed(e) && (all || visible(e)));
    if (pattern !== null) {
      const search = new RegExp(pattern, "u");
      return found.filter((e) => search.test(name(e)));
    }
    if (text === null) return found;
    const names = new Map(found.map((e) => [e, name(e).toLowerCase()])), low = squeeze(text).toLowerCase();
    const exact = found.filter((e) => names.get(e) === low);
    return exact.length ? exact : found.filter((e) => names.get(e).includes(low));
  }

  /// The smallest visible elements that hold a text.
  function holding(text, within = null) {
    const roots = within ? find(within) : [document.body];
    const says = (e) => (e.innerText ?? e.textContent).replace(/\u00a0/g, " ").includes(text);
    // Firefox gives no inner text for what it left undrawn.
    const keeps = (e) => e.textContent.includes(text) && (skipped(e) || [...e.querySelectorAll("*")].some((each) => skipped(each) && each.textContent.includes(text)));
    const found = [];
    const look = (element) => {
      const inner = [...element.children].filter((e) => visible(e) && (says(e) || keeps(e)));
      if (inner.length) inner.forEach(look);
      else if (visible(element) && (says(element) || skipped(element) && element.textContent.includes(text))) found.push(element);
    };
    roots.forEach(look);
    return found;
  }

  const told = (element) => {
    if (!element) return "nothing";
    const short = squeeze(element.innerText ?? "").slice(0, 40), css = element.className && typeof element.className === "string" ? `.${element.className.trim().split(/\s+/).join(".")}` : "";
    return `<${element.tagName.toLowerCase()}${element.id ? `#${element.id}` : ""}${css}>${short ? ` “${short}”` : ""}`;
  };

  /// Where a person would point to hit it; what covers it, where something does.
  function place(given) {
    const element = drawnBy(given);
    element.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
    const boxes = [...element.getClientRects()].filter((box) => box.width > 0 && box.height > 0);
    let cover = "nothing is drawn", at = null;
    for (const box of boxes) {
      const x = (Math.max(0, box.left) + Math.min(innerWidth, box.right)) / 2, y = (Math.max(0, box.top) + Math.min(innerHeight, box.bottom)) / 2;
      const top = document.elementFromPoint(x, y);
      if (top && (element.contains(top) || top.contains(element) && top.closest("label, a, button, summary") || [...(element.labels ?? [])].some((l) => l.contains(top)))) return { x, y, box: [box.x, box.y, box.width, box.height] };
      cover = `covered by ${told(top)}`;
      at = [x, y];
    }
    return { cover, at };
  }

  const frame = () => new Promise((done) => requestAnimationFrame(() => done()));

  /// Finds one thing to point at, at rest; answers what is in the way otherwise.
  async function target(what, nth = 0) {
    const found = what.text !== undefined ? holding(what.text, what.within) : find(what);
    const element = found.at(nth);
    if (!element) return { missing: true };
    if (element.matches(":disabled") || element.getAttribute("aria-disabled") === "true") return { cover: "disabled" };
    const before = place(element);
    await frame();
    const after = place(element);
    if (after.cover) return after;
    if (before.box && before.box.every((side, at) => Math.abs(side - after.box[at]) < 1.5)) return after;
    return { cover: `still moving, ${before.box ?? "from nowhere"} to ${after.box}` };
  }

  return { role, name, visible, exposed, find, holding, everything, place, target, told, squeeze };
})();

// What a page wasn't allowed to do is kept for the tests.
window.refusedByPolicy ??= (() => {
  const heard = [];
  addEventListener("securitypolicyviolation", (event) => heard.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`), true);
  return heard;
})();
