"""Checks of accessibility in a real page: rules of WCAG 2.2 that a program can judge, and a walk through it by keyboard alone.

`faults(page)` looks at the page as it stands (accessibility.js); `walk(page)` presses Tab until the focus comes round, and says
what it met, what it could not reach, and where nobody could see the focus.
"""

from pathlib import Path

RULES = (Path(__file__).parent / "accessibility.js").read_text().split("\n\n", 1)[1].strip()
MOST = 400  # presses of Tab; a page with more stops than this needs ways around them (2.4.1)

# What must be reachable: everything to press or to fill in, but inside a composite only the one that holds its tab stop.
STOPS = """() => {
    const inside = "[role=listbox] [role=option], [role=tablist] [role=tab], [role=tree] [role=treeitem], [role=menu] *, [role=grid] *, [role=radiogroup] [role=radio], [role=toolbar] *, [role=log] article *";
    const stops = eyes.everything().filter((e) => e.matches("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0'], [contenteditable=true]")
        && e.tabIndex >= 0 && !e.matches(":disabled") && eyes.exposed(e) && eyes.visible(e));
    const radios = new Set();
    window.stops = stops.filter((e) => {
        if (e.matches("[tabindex='-1']") || e.matches(inside) && e.tabIndex < 0) return false;
        if (!e.matches("input[type=radio]")) return true;
        const group = `${e.form?.id} ${e.name}`;
        if (radios.has(group)) return false;
        return radios.add(group);
    });
    // Pressable without being a stop: only the mouse gets there.
    const mouse = eyes.everything().filter((e) => eyes.exposed(e) && eyes.visible(e) && ["button", "link", "checkbox", "switch", "slider"].includes(eyes.role(e)) && e.tabIndex < 0
        && !e.matches(":disabled, [aria-disabled=true]") && !e.matches(inside) && !e.closest("[role=toolbar], [role=tablist], [role=listbox], [role=tree], [role=menu], [role=grid], [role=radiogroup]"));
    return { stops: window.stops.length, mouse: mouse.map(eyes.told) };
}"""

LOOK = """(element) => {
    const style = getComputedStyle(element), text = (s) => [s.outlineStyle === "none" || s.outlineWidth === "0px" ? "" : [s.outlineStyle, s.outlineWidth, s.outlineColor, s.outlineOffset], s.boxShadow, s.borderTopColor, s.borderTopWidth, s.backgroundColor, s.textDecorationLine, s.color].join();
    return [text(style), text(getComputedStyle(element, "::before")), text(getComputedStyle(element, "::after")), element.parentElement ? text(getComputedStyle(element.parentElement)) : ""].join("|");
}"""

STEP = f"""() => {{
    const look = {LOOK};
    const element = document.activeElement === document.body || document.activeElement === document.documentElement ? null : document.activeElement;
    window.met ??= new Map();
    window.order ??= [];
    const before = window.last;
    // Now that the focus is elsewhere: did anything tell where it was?
    if (before && before !== element && before.isConnected && window.met.get(before)?.focused === look(before)) window.met.get(before).unseen = true;
    window.last = element;
    if (!element) return null;
    const again = window.met.has(element);
    if (!again) {{
        const box = element.getBoundingClientRect();
        const points = [[0.5, 0.5], [0.1, 0.5], [0.9, 0.5], [0.5, 0.15], [0.5, 0.85]].map(([x, y]) => document.elementFromPoint(box.left + box.width * x, box.top + box.height * y));
        const labelled = [...(element.labels ?? [])];
        window.met.set(element, {{
            focused: look(element), told: eyes.told(element), name: eyes.name(element), role: eyes.role(element),
            hidden: !points.some((p) => p && (element.contains(p) || p.contains(element) || labelled.some((l) => l.contains(p)))) }});
        window.order.push(element);
    }}
    return {{ again, first: element === window.order[0], told: eyes.told(element) }};
}}"""

RESULT = """() => {
    const met = [...window.met.values()];
    const left = window.stops.filter((e) => e.isConnected && !window.met.has(e) && eyes.visible(e)).map(eyes.told);
    const found = { names: met.map((m) => [m.role, m.name]), left, unseen: met.filter((m) => m.unseen).map((m) => m.told), hidden: met.filter((m) => m.hidden).map((m) => m.told) };
    for (const key of ["met", "order", "last", "stops"]) delete window[key];
    return found;
}"""


def faults(page, *but):
    """The faults as lines, without those of the rules named."""
    found = page.evaluate(RULES)
    return [f"{each['clause']} {each['rule']}: {each['where']}: {each['why']}" for each in found if each["rule"] not in but]


def rules(page):
    return {each["rule"] for each in page.evaluate(RULES)}


def walk(page, keys="Tab"):
    """Presses Tab until the focus is back where it began. Answers the stops and the faults by clause."""
    ends = page.evaluate(STOPS)
    # From the top: where the selection is, the walk begins.
    page.evaluate("() => { document.activeElement?.blur(); getSelection().collapse(document.body, 0); window.last = null }")
    outside, comes_round, same, before = 0, False, 0, None
    for _ in range(MOST):
        page.press(keys)
        at = page.evaluate(STEP)
        if at is None:
            outside += 1  # the browser's own bars
            if outside > 15:
                break
            continue
        same = same + 1 if at["told"] == before and at["again"] else 0
        before = at["told"]
        if same > 3:
            break
        if at["again"] and at["first"]:
            comes_round = True
            break
        outside = 0 if not at["again"] else outside
    result = page.evaluate(RESULT)
    complaints = [f"2.1.1 keyboard: {each} is for the mouse only" for each in ends["mouse"]]
    complaints += [f"2.1.1 keyboard: Tab does not reach {each}" for each in result["left"]]
    complaints += [f"2.4.7 focus-visible: nothing shows the focus on {each}" for each in result["unseen"]]
    complaints += [f"2.4.11 focus-obscured: {each} has the focus out of sight" for each in result["hidden"]]
    # In Firefox the way round leads through the browser's own bars; leaving the page is no trap either.
    if not comes_round and outside == 0:
        complaints.append(f"2.1.2 trap: Tab does not leave {before}")
    return result["names"], complaints
