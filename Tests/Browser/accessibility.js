// What WCAG 2.2 (A and AA) asks of a page, as far as a program can tell. Each fault names its clause.
// Called with `eyes` there; answers [{ clause, rule, where, why }].

() => {
  const faults = [];
  const fault = (clause, rule, element, why) => faults.push({ clause, rule, where: element ? path(element) : "page", why });

  function path(element) {
    const steps = [];
    for (let e = element; e && e !== document.documentElement && steps.length < 4; e = e.parentElement) steps.unshift(e.tagName.toLowerCase() + (e.id ? `#${e.id}` : "") + (e.className && typeof e.className === "string" ? `.${e.className.trim().split(/\s+/)[0]}` : ""));
    return `${steps.join(" > ")} ${JSON.stringify(eyes.squeeze(element.textContent ?? "").slice(0, 40))}`;
  }

  const all = eyes.everything().filter((e) => !e.closest("svg") || e.tagName.toLowerCase() === "svg");
  const met = all.filter(eyes.exposed);
  const drawn = met.filter(eyes.visible);
  const role = new Map(met.map((e) => [e, eyes.role(e)]));
  const of = (...roles) => met.filter((e) => roles.includes(role.get(e)));
  const name = (() => { const known = new Map(); return (e) => { if (!known.has(e)) known.set(e, eyes.name(e)); return known.get(e); }; })();
  const CONTROLS = ["button", "checkbox", "combobox", "link", "listbox", "menuitem", "menuitemcheckbox", "menuitemradio", "option", "radio", "searchbox", "slider", "spinbutton", "switch", "tab", "textbox", "treeitem"];
  const focusable = (e) => e.matches("a[href], area[href], button, input:not([type=hidden]), select, textarea, summary, iframe, audio[controls], video[controls], [contenteditable=''], [contenteditable=true], [tabindex]") && !e.matches(":disabled") && !e.closest("[inert]");

  // The page as a whole

  const lang = document.documentElement.lang;
  if (!/^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$/.test(lang)) fault("3.1.1", "lang", document.documentElement, `the page's language is ${JSON.stringify(lang)}`);
  if (!document.title.trim()) fault("2.4.2", "title", null, "the page has no title");
  const zoom = document.querySelector("meta[name=viewport]")?.content ?? "";
  if (/user-scalable\s*=\s*(no|0)|maximum-scale\s*=\s*(0|1(\.\d+)?)\b/.test(zoom)) fault("1.4.4", "zoom", null, `zooming is off: ${zoom}`);
  if (document.documentElement.scrollWidth > innerWidth) fault("1.4.10", "reflow", null, `${document.documentElement.scrollWidth} px of page in ${innerWidth} px of window`);

  const ids = new Map();
  for (const e of all) if (e.id) ids.set(e.id, [...(ids.get(e.id) ?? []), e]);
  for (const [id, those] of ids) if (those.length > 1) fault("4.1.1", "duplicate-id", those[1], `${those.length} elements have the id ${id}`);

  // Names

  for (const e of met) {
    const r = role.get(e);
    if (CONTROLS.includes(r) && !name(e) && !(r === "option" && e.tagName === "OPTION")) fault(["textbox", "searchbox", "combobox", "listbox", "spinbutton", "checkbox", "radio"].includes(r) ? "3.3.2" : r === "link" ? "2.4.4" : "4.1.2", "name", e, `a ${r} without a name`);
    if (CONTROLS.includes(r) && e.matches("input, textarea") && !e.labels?.length && !named(e) && e.placeholder) fault("3.3.2", "placeholder", e, "only the placeholder names it");
    if (r === "img" && !name(e)) fault("1.1.1", "image-name", e, "an image without words");
    if (["dialog", "alertdialog"].includes(r) && !name(e)) fault("4.1.2", "dialog-name", e, "a dialog without a name");
    if (["meter", "progressbar", "tooltip", "tree", "grid", "tablist", "radiogroup", "menu"].includes(r) && !name(e)) fault("4.1.2", "name", e, `a ${r} without a name`);
    if (r === "heading" && !name(e)) fault("1.3.1", "empty-heading", e, "a heading without words");
    if (e.tagName === "IFRAME" && !name(e)) fault("4.1.2", "frame-name", e, "a frame without a title");
    // What is drawn must be part of what is spoken, or "click SAVE" finds nothing.
    if (["button", "link", "tab", "menuitem"].includes(r) && (e.hasAttribute("aria-label") || e.hasAttribute("aria-labelledby")) && eyes.visible(e)) {
      const seen = eyes.squeeze(e.innerText ?? "").toLowerCase();
      if (/[\p{L}\p{N}]{2}/u.test(seen) && !name(e).toLowerCase().includes(seen)) fault("2.5.3", "label-in-name", e, `shows ${JSON.stringify(seen)}, is called ${JSON.stringify(name(e))}`);
    }
  }
  function named(e) { return ["aria-label", "aria-labelledby", "title"].some((a) => e.getAttribute(a)?.trim()); }

  // Roles, states and references

  const ROLES = new Set(("alert alertdialog application article banner blockquote button caption cell checkbox code columnheader combobox complementary contentinfo definition deletion dialog document emphasis feed figure form generic grid gridcell group heading img image insertion link list listbox listitem log main marquee math menu menubar menuitem menuitemcheckbox menuitemradio meter navigation none note option paragraph presentation progressbar radio radiogroup region row rowgroup rowheader scrollbar search searchbox separator slider spinbutton status strong subscript superscript switch tab table tablist tabpanel term textbox time timer toolbar tooltip tree treegrid treeitem").split(" "));
  const REQUIRED = { checkbox: ["aria-checked"], combobox: ["aria-expanded"], heading: ["aria-level"], meter: ["aria-valuenow"], radio: ["aria-checked"], scrollbar: ["aria-valuenow", "aria-controls"], slider: ["aria-valuenow"], switch: ["aria-checked"], menuitemcheckbox: ["aria-checked"], menuitemradio: ["aria-checked"] };
  const PARENT = { option: ["listbox", "group", "combobox"], tab: ["tablist"], treeitem: ["tree", "group"], row: ["table", "grid", "treegrid", "rowgroup"], gridcell: ["row"], cell: ["row"], columnheader: ["row"], rowheader: ["row"], listitem: ["list", "directory"], menuitem: ["menu", "menubar", "group"], menuitemradio: ["menu", "menubar", "group"], menuitemcheckbox: ["menu", "menubar", "group"] };
  const yes = ["true", "false"], BOOLEAN = yes;
  const VALUES = { "aria-atomic": BOOLEAN, "aria-busy": BOOLEAN, "aria-disabled": BOOLEAN, "aria-modal": BOOLEAN, "aria-multiline": BOOLEAN, "aria-multiselectable": BOOLEAN, "aria-readonly": BOOLEAN, "aria-required": BOOLEAN,
    "aria-expanded": yes, "aria-hidden": yes, "aria-selected": yes, "aria-checked": [...yes, "mixed"], "aria-pressed": [...yes, "mixed"], "aria-live": ["off", "polite", "assertive"], "aria-current": [...yes, "page", "step", "location", "date", "time"],
    "aria-haspopup": [...yes, "menu", "listbox", "tree", "grid", "dialog"], "aria-invalid": [...yes, "grammar", "spelling"], "aria-orientation": ["horizontal", "vertical", "undefined"], "aria-sort": ["ascending", "descending", "none", "other"], "aria-autocomplete": ["inline", "list", "both", "none"] };
  const NUMBERS = ["aria-valuenow", "aria-valuemin", "aria-valuemax", "aria-level", "aria-posinset", "aria-setsize", "aria-rowcount", "aria-rowindex", "aria-colcount", "aria-colindex", "aria-colspan", "aria-rowspan"];
  const REFERENCES = ["aria-labelledby", "aria-describedby", "aria-controls", "aria-owns", "aria-activedescendant", "aria-details", "aria-errormessage", "aria-flowto"];
  const KNOWN = new Set([...Object.keys(VALUES), ...NUMBERS, ...REFERENCES, "aria-label", "aria-valuetext", "aria-roledescription", "aria-keyshortcuts", "aria-placeholder", "aria-relevant", "aria-description", "aria-braillelabel", "aria-brailleroledescription"]);

  for (const e of met) {
    const given = e.getAttribute("role");
    if (given !== null) {
      if (!given.trim() || given.trim().split(/\s+/).some((each) => !ROLES.has(each))) fault("4.1.2", "role", e, `there is no role ${JSON.stringify(given)}`);
      const native = e.matches("input, select, h1, h2, h3, h4, h5, h6, meter, progress, hr");
      for (const attribute of (!native && REQUIRED[role.get(e)]) || []) if (!e.hasAttribute(attribute)) fault("4.1.2", "required-state", e, `a ${given} without ${attribute}`);
      if (["none", "presentation"].includes(given) && focusable(e)) fault("4.1.2", "presentation-focus", e, "takes the focus but has no role");
    }
    for (const { name: attribute, value } of e.attributes) {
      if (!attribute.startsWith("aria-")) continue;
      if (!KNOWN.has(attribute)) fault("4.1.2", "aria-attribute", e, `there is no ${attribute}`);
      else if (VALUES[attribute] && !VALUES[attribute].includes(value)) fault("4.1.2", "aria-value", e, `${attribute}=${JSON.stringify(value)}`);
      else if (NUMBERS.includes(attribute) && !Number.isFinite(Number(value || NaN))) fault("4.1.2", "aria-value", e, `${attribute}=${JSON.stringify(value)}`);
      else if (REFERENCES.includes(attribute)) for (const id of value.trim().split(/\s+/)) if (!document.getElementById(id) && !(attribute === "aria-controls" && e.getAttribute("aria-expanded") === "false") && !(attribute === "aria-describedby" && e.dataset.tip)) fault("1.3.1", "aria-reference", e, `${attribute} names ${JSON.stringify(id)}, which isn't there`);
    }
    if ((e.hasAttribute("aria-label") || e.hasAttribute("aria-labelledby")) && ["generic", "paragraph", "strong", "emphasis", "code", "presentation", "deletion", "insertion", "subscript", "superscript", "term", "definition", "time", "caption"].includes(role.get(e)) && !["time", "definition", "term"].includes(role.get(e)) && !e.closest("svg")) fault("4.1.2", "name-prohibited", e, `a ${role.get(e)} takes no aria-label`);
    const parents = PARENT[role.get(e)];
    if (parents) {
      let up = e.parentElement;
      while (up && ["generic", "presentation"].includes(eyes.role(up)) && up !== document.body) up = up.parentElement;
      const owned = e.id && document.querySelector(`[aria-owns~="${CSS.escape(e.id)}"]`);
      const wanted = owned || up;
      if (!wanted || !parents.includes(eyes.role(wanted)) && !(e.tagName === "OPTION") && !(wanted.tagName === "DETAILS")) fault("1.3.1", "required-parent", e, `a ${role.get(e)} outside ${parents[0]}`);
    }
    if (["button", "link", "checkbox", "option", "tab", "switch", "menuitem", "radio"].includes(role.get(e))) {
      const inner = [...e.querySelectorAll("*")].find((child) => eyes.exposed(child) && focusable(child));
      if (inner) fault("4.1.2", "nested-control", e, `holds another control, ${inner.tagName.toLowerCase()}`);
    }
  }
  for (const e of all) if (e.closest("[aria-hidden=true]") && focusable(e) && e.tabIndex >= 0 && e.checkVisibility({ visibilityProperty: true })) fault("4.1.2", "hidden-focus", e, "hidden from screen readers, yet it takes the focus");
  for (const e of all) if (Number(e.getAttribute("tabindex")) > 0) fault("2.4.3", "tabindex", e, `tabindex ${e.getAttribute("tabindex")}`);
  for (const e of met) if (e.matches("ul, ol, menu") && [null, "list"].includes(e.getAttribute("role"))) for (const child of e.children) if (!child.matches("li, script, template")) fault("1.3.1", "list", child, `a ${child.tagName.toLowerCase()} right inside a list`);
  for (const e of met) if (e.tagName === "DL") for (const child of e.children) if (!child.matches("dt, dd, div, script, template")) fault("1.3.1", "list", child, `a ${child.tagName.toLowerCase()} right inside a dl`);
  for (const e of met) if (e.matches("input[type=password]") && !e.autocomplete) fault("1.3.5", "autocomplete", e, "a password field that doesn't say which");
  for (const e of drawn) if (e.tagName === "TIME" && !/^(\d{4}-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?)?|P.*|\d\d:\d\d.*)$/.test(e.dateTime || e.textContent.trim())) fault("1.3.1", "time", e, `a time that no program reads: ${JSON.stringify(e.dateTime)}`);
  for (const e of drawn) if (e.tagName === "TABLE" && role.get(e) === "table" && e.rows.length > 1 && !e.querySelector("th")) fault("1.3.1", "table-headers", e, "a table without headings");

  // Landmarks and headings

  const modal = document.querySelector("dialog:modal");
  if (!modal) {
    const mains = of("main");
    if (mains.length !== 1) fault("1.3.1", "main", mains[1] ?? null, `${mains.length} main landmarks`);
    for (const kind of ["banner", "contentinfo"]) if (of(kind).length > 1) fault("1.3.1", "landmarks", of(kind)[1], `${of(kind).length} of ${kind}`);
    for (const kind of ["navigation", "complementary", "region", "form", "search"]) {
      const names = of(kind).map(name);
      if (names.length > 1 && (new Set(names).size < names.length || names.includes(""))) fault("1.3.1", "landmark-names", of(kind)[1], `several of ${kind}, called ${JSON.stringify(names)}`);
    }
    for (const e of document.body.children) if (eyes.exposed(e) && eyes.visible(e) && eyes.squeeze(e.innerText ?? "") && !["main", "banner", "contentinfo", "navigation", "complementary", "region", "search", "form", "dialog", "alert", "status", "log", "tooltip"].includes(eyes.role(e)) && !e.querySelector("main, [role=main]") && !e.matches("script, style, noscript, a[href^='#']")) fault("1.3.1", "outside-landmarks", e, "stands in no landmark");
    const headings = of("heading").filter((e) => eyes.visible(e) || e.getBoundingClientRect().width <= 1);
    const level = (e) => Number(e.getAttribute("aria-level") ?? e.tagName.slice(1));
    // What people wrote has headings of its own; those are judged by nobody.
    const ours = headings.filter((e) => !e.closest("[data-written], .markdown, .prose"));
    if (!ours.some((e) => level(e) === 1)) fault("1.3.1", "heading-one", null, "no heading of level 1");
    ours.reduce((before, e) => { if (level(e) > before + 1) fault("1.3.1", "heading-order", e, `level ${level(e)} after ${before}`); return level(e); }, 0);
  }

  // Colours

  const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  brush.canvas.width = brush.canvas.height = 1;
  const mixed = new Map();
  /// Any colour of CSS as [red, green, blue, opacity]: drawn and read back, so that color-mix and oklch count as seen.
  function rgba(text) {
    if (!mixed.has(text)) {
      brush.clearRect(0, 0, 1, 1);
      brush.fillStyle = "#000";
      brush.fillStyle = text;
      brush.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
      mixed.set(text, [r, g, b, a / 255]);
    }
    return mixed.get(text);
  }
  const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + 0.05) / (y + 0.05); };
  const dark = getComputedStyle(document.documentElement).colorScheme.includes("dark") && matchMedia("(prefers-color-scheme: dark)").matches;
  /// What is painted behind an element; null where a picture is.
  function ground(element) {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const style = getComputedStyle(e);
      if (style.backgroundImage !== "none") return null;
      const layer = rgba(style.backgroundColor);
      if (layer[3] > 0) layers.push(layer);
      if (layer[3] === 1) break;
      if (e.matches("dialog:modal, [popover]") && layer[3] === 0) break;
    }
    return layers.reverse().reduce((under, layer) => over(layer, under), dark ? [18, 18, 18, 1] : [255, 255, 255, 1]);
  }
  function opacity(element) {
    let value = 1;
    for (let e = element; e; e = e.parentElement) value *= Number(getComputedStyle(e).opacity);
    return value;
  }
  function legible(element, style, what) {
    const behind = ground(element);
    if (!behind) return;
    const ink = rgba(style.color).slice();
    ink[3] *= opacity(element);
    const size = Number.parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
    const ratio = contrast(over(ink, behind), behind);
    if (ratio < (large ? 3 : 4.5) - 0.005) fault("1.4.3", "contrast", element, `${what} at ${ratio.toFixed(2)}:1, ${style.color} on rgb(${behind.slice(0, 3).map(Math.round)})`);
  }
  const judged = new Set();
  for (const e of all) {
    const words = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if (words && !e.matches("option, script, style, noscript, title") && !e.closest("svg") && eyes.visible(e) && !e.closest(":disabled, [aria-disabled=true], [inert]") && !(modal && !modal.contains(e)) && shown(e) && opacity(e) > 0) {
      const style = getComputedStyle(e);
      // Alike in ink, size and ground: judged once.
      const key = [style.color, style.fontSize, style.fontWeight, opacity(e), ground(e)].join();
      if (!judged.has(key)) legible(e, style, "text");
      judged.add(key);
    }
    if (e.matches("input, textarea") && e.placeholder && !e.value && eyes.visible(e) && !e.disabled) legible(e, getComputedStyle(e, "::placeholder"), "placeholder");
  }
  function shown(e) { const clip = getComputedStyle(e); return clip.clipPath === "none" || !/inset\(50%|inset\(100%/.test(clip.clipPath); }
  for (const e of drawn) {
    // The edge or the ground of a field must tell where it is.
    if (!e.matches("input:not([type=checkbox], [type=radio], [type=range], [type=color], [type=file]), textarea") || e.disabled) continue;
    const style = getComputedStyle(e), around = ground(e.parentElement), inside = ground(e);
    if (!around || !inside) continue;
    const edges = [inside, ...["Top", "Bottom"].filter((side) => style[`border${side}Style`] !== "none" && Number.parseFloat(style[`border${side}Width`]) > 0).map((side) => over(rgba(style[`border${side}Color`]), around))];
    if (e.parentElement && edges.every((edge) => contrast(edge, around) < 3)) {
      const frame = getComputedStyle(e.parentElement), outside = e.parentElement.parentElement && ground(e.parentElement.parentElement);
      const framed = outside && Number.parseFloat(frame.borderBottomWidth) > 0 && contrast(over(rgba(frame.borderBottomColor), outside), outside) >= 3;
      if (!framed) fault("1.4.11", "field-edge", e, `its edge stands out by ${Math.max(...edges.map((edge) => contrast(edge, around))).toFixed(2)}:1`);
    }
  }

  // Sizes

  const targets = drawn.filter((e) => (CONTROLS.includes(role.get(e)) || focusable(e) && e.matches("a, button, input, select, textarea, summary")) && role.get(e) !== "option" && !e.matches(":disabled") && !e.closest("svg"));
  const box = (e) => { const label = e.matches("input[type=checkbox], input[type=radio]") && e.labels?.[0]; const [a, b] = [e.getBoundingClientRect(), label ? label.getBoundingClientRect() : e.getBoundingClientRect()]; const left = Math.min(a.left, b.left), top = Math.min(a.top, b.top), right = Math.max(a.right, b.right), bottom = Math.max(a.bottom, b.bottom); return { left, top, right, bottom, width: right - left, height: bottom - top, x: (left + right) / 2, y: (top + bottom) / 2 }; };
  const boxes = new Map(targets.map((e) => [e, box(e)]));
  const small = (b) => b.width < 24 - 0.5 || b.height < 24 - 0.5;
  const grown = targets.filter((e) => !small(boxes.get(e)));
  for (const e of targets) {
    const b = boxes.get(e);
    if (!small(b) || b.right < 0 || b.bottom < 0) continue;
    const inline = getComputedStyle(e).display === "inline" && [...(e.parentElement?.childNodes ?? [])].some((n) => n !== e && n.textContent.trim());
    if (inline || e.matches("a[href^='#']") && b.width <= 1) continue;
    const near = targets.find((other) => {
      if (other === e || other.contains(e) || e.contains(other)) return false;
      const o = boxes.get(other);
      if (small(o)) return Math.hypot(o.x - b.x, o.y - b.y) < 24;
      return Math.hypot(Math.max(o.left - b.x, 0, b.x - o.right), Math.max(o.top - b.y, 0, b.y - o.bottom)) < 12;
    });
    if (near) fault("2.5.8", "target-size", e, `${Math.round(b.width)} by ${Math.round(b.height)} px, right beside ${near.tagName.toLowerCase()} ${JSON.stringify(name(near).slice(0, 30))}`);
  }

  return faults;
}
