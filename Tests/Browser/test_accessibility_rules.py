"""The checks of accessibility find what they say they find: a page of planted faults, one by one, and a sound page without any."""

import pytest

import accessibility

SOUND = """<!doctype html><html lang="en"><head><title>Sound</title><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<style>body { font: 16px sans-serif; color: #222; background: #fff } :focus-visible { outline: 3px solid #00f } a, button, input, select { display: inline-block; min-height: 28px; min-width: 28px; margin: 8px }
input { border: 1px solid #555 }</style></head>
<body><header><a href="#main">Skip</a><nav aria-label="Views"><a href="#one" aria-current="page">One</a></nav></header>
<main id="main"><h1>Sound</h1><h2>Below</h2><p>Words, <a href="#two" style="display:inline;min-height:0">a link</a> and more.</p>
<label>Name <input type="text" autocomplete="name"></label><button type="button" aria-pressed="false" id="press">Press</button>
<label><input type="checkbox"> Yes</label><select aria-label="Which"><option>one</option></select>
<table><tr><th>Day</th></tr><tr><td>1</td></tr></table><ul><li>An item</li></ul><time datetime="2026-11-21T10:00:00Z">ten</time>
<details><summary>More</summary>Words</details><section style="margin:40px 0">%s</section></main></body></html>"""

PLANTED = [
    ("name", "<button type=button></button>"),
    ("name", '<a href="#x"><img src="data:," alt=""></a>'),
    ("name", "<input type=text style='border:1px solid #555'>"),
    ("name", "<select><option>one</option></select>"),
    ("name", '<div role="tablist"></div>'),
    ("placeholder", '<input placeholder="Search">'),
    ("image-name", '<img src="data:,">'),
    ("image-name", '<div role="img"></div>'),
    ("dialog-name", "<dialog open>Words</dialog>"),
    ("empty-heading", "<h2></h2>"),
    ("frame-name", '<iframe src="about:blank"></iframe>'),
    ("label-in-name", '<button type=button aria-label="Store it">Save</button>'),
    ("role", '<div role="buton">Words</div>'),
    ("required-state", '<div role="switch" tabindex=0 aria-label="On">x</div>'),
    ("required-state", '<div role="slider" tabindex=0 aria-label="Loud"></div>'),
    ("presentation-focus", '<div role="presentation" tabindex=0>x</div>'),
    ("aria-attribute", '<p aria-labeledby="main">Words</p>'),
    ("aria-value", '<button type=button aria-pressed="yes">Words</button>'),
    ("aria-value", '<div role="meter" aria-label="Level" aria-valuenow="high"></div>'),
    ("aria-reference", '<button type=button aria-describedby="nowhere">Words</button>'),
    ("name-prohibited", '<div aria-label="Words">x</div>'),
    ("required-parent", '<div role="option" tabindex=0>Words</div>'),
    ("required-parent", '<div role="tab" tabindex=0>Words</div>'),
    ("nested-control", '<a href="#y">Words <button type=button>Press</button></a>'),
    ("hidden-focus", '<div aria-hidden="true"><button type=button>Words</button></div>'),
    ("tabindex", "<button type=button tabindex=3>Words</button>"),
    ("duplicate-id", '<p id="main">Words</p>'),
    ("list", "<ul><div>Words</div></ul>"),
    ("list", "<dl><p>Words</p></dl>"),
    ("autocomplete", "<label>Password <input type=password></label>"),
    ("time", '<time datetime="yesterday">Words</time>'),
    ("table-headers", "<table><tr><td>1</td></tr><tr><td>2</td></tr></table>"),
    ("main", '<div role="main">Words</div>'),
    ("landmark-names", '<nav>Words</nav>'),
    ("heading-order", "<h4>Words</h4>"),
    ("contrast", '<p style="color:#888">Words</p>'),
    ("contrast", '<p style="opacity:.5">Words</p>'),
    ("contrast", '<p style="color: color-mix(in oklab, #222 40%, white)">Words</p>'),
    ("contrast", '<div style="background:#222"><p>Words</p></div>'),
    ("contrast", '<div style="background: rgb(0 0 0 / .6)"><p>Words</p></div>'),
    ("contrast", '<p style="color:#999;font-size:30px">Words</p>'),
    ("contrast", '<label>Words <input placeholder="pale" id="pale"></label><style>#pale::placeholder { color: #bbb; opacity: 1 }</style>'),
    ("field-edge", '<label>Words <input style="border:1px solid #eee"></label>'),
    ("target-size", "<button type=button style='all:unset;display:inline-block;width:10px;height:10px;margin:1px'>x</button>" * 2),
    ("reflow", '<div style="width:5000px">Words</div>'),
]


def test_a_sound_page_has_no_faults(page, elsewhere):
    page.goto(elsewhere.serve(SOUND % ""))
    assert accessibility.faults(page) == []
    stops, complaints = accessibility.walk(page)
    assert complaints == []
    assert stops == [["link", "Skip"], ["link", "One"], ["link", "a link"], ["textbox", "Name"], ["button", "Press"], ["checkbox", "Yes"], ["combobox", "Which"], ["button", "More"]]


def test_each_planted_fault_is_found_and_nothing_else(page, elsewhere):
    astray = []
    for rule, html in PLANTED:
        page.goto(elsewhere.serve(SOUND % html))
        found = accessibility.faults(page)
        if {line.split(" ")[1].rstrip(":") for line in found} != {rule}:
            astray.append((rule, html, found))
    assert astray == []


@pytest.mark.parametrize("rule, whole, planted", [
    ("lang", '<html lang="en">', "<html>"), ("title", "<title>Sound</title>", ""), ("zoom", "initial-scale=1", "user-scalable=no"),
    ("heading-one", "<h1>Sound</h1>", ""), ("outside-landmarks", "<main", "<p>Words</p><main")])
def test_a_fault_of_the_page_itself_is_found(page, elsewhere, rule, whole, planted):
    page.goto(elsewhere.serve((SOUND % "").replace(whole, planted)))
    assert rule in accessibility.rules(page)


@pytest.mark.parametrize("clause, html", [
    ("2.1.1", '<div role="button" tabindex="-1">Words</div>'),
    ("2.4.7", '<button type=button id=dull>Words</button><style>#dull:focus-visible { outline: none }</style>'),
    ("2.4.11", '<button type=button>Words</button><div style="position:fixed;inset:0;background:#fff">cover</div>'),
    ("2.1.2", '<button type=button onkeydown="event.preventDefault()">Words</button>')])
def test_the_walk_finds_what_the_keyboard_cannot_do(page, elsewhere, clause, html):
    page.goto(elsewhere.serve(SOUND % html))
    _, complaints = accessibility.walk(page)
    assert [each for each in complaints if each.startswith(clause)], complaints


def test_both_browsers_point_type_and_tell(page, elsewhere):
    page.goto(elsewhere.serve(SOUND % '<p id="heard"></p><script>press.onclick = (event) => { heard.textContent = event.isTrusted ? "pressed" : "made up" }</script>'))
    page.click("button", "Press").reads("pressed")
    page.fill("textbox", "Name", text="Zoë 😀")
    assert page.value("textbox", "Name") == "Zoë 😀"
    page.press("Tab")
    assert page.focused() == ["button", "Press"]
    page.click("checkbox", "Yes")
    assert page.evaluate("() => document.querySelector('[type=checkbox]').checked") is True
    page.resize(390, 844)
    assert page.evaluate("() => innerWidth") == 390
    with pytest.raises(AssertionError, match="covered by"):
        page.evaluate("() => document.body.insertAdjacentHTML('beforeend', '<div style=\"position:fixed;inset:0\">Cover</div>')")
        page.click("button", "Press", timeout=1)


def test_what_a_page_does_wrong_is_heard(browsers, browser_name, elsewhere):
    page = browsers.page(browser_name)
    page.goto(elsewhere.serve("""<title>Loud</title><link rel="icon" href="data:,"><meta http-equiv="Content-Security-Policy" content="img-src 'none'"><body><script>
        console.error("one"); alert("two"); setTimeout(() => { throw new Error("three") });
        const image = new Image(); image.src = "http://127.0.0.1:9/four"; document.body.append(image)</script>"""))
    page.wait_for("() => refusedByPolicy.some((each) => each.includes('four'))")
    assert any(each.startswith("img-src http://127.0.0.1:9/four") for each in page.refused()), page.refused()
    assert page.dialogs == ["two"]
    assert any("one" in each for each in page.faults) and any("three" in each for each in page.faults), page.faults
    page.close()


def test_the_schemes_of_colour_and_motion_are_real(open_page, elsewhere):
    address = elsewhere.serve(SOUND % "")
    for dark, still in [(False, False), (True, False), (False, True)]:
        page = open_page(dark=dark, still=still)
        page.goto(address)
        assert page.evaluate("() => matchMedia('(prefers-color-scheme: dark)').matches") == dark
        assert page.evaluate("() => matchMedia('(prefers-reduced-motion: reduce)').matches") == still
