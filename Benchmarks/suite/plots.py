"""Line plots as SVG: a logarithmic axis below, any others linear from zero."""

import html
import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 70, 150, 50, 60
# Told apart by people who see few colours, too (Okabe and Ito).
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"]


def nice_top(most):
    """The next number of one digit, or of 1.5 or 2.5, that is not less."""
    if most <= 0:
        return 1
    power = 10 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= most * 0.999)


def short(value):
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def text(x, y, words, anchor="middle", size=12, extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" {extra}>{html.escape(str(words))}</text>'


def line_plot(title, below, beside, series, goal=None):
    """`series`: name → [(x, y)]; `goal`: (height, words) for a dashed line."""
    points = [point for line in series.values() for point in line]
    if not points:
        return None
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    top = nice_top(max([y for _, y in points] + ([goal[0]] if goal else [])))
    span = math.log10(high / low) or 1

    def place(x, y):
        return (LEFT + (WIDTH - LEFT - RIGHT) * math.log10(x / low) / span, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / top)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" fill="#222" role="img">',
             f"<title>{html.escape(title)}</title>", f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', text(LEFT, 26, title, "start", 15, 'font-weight="bold"')]
    for step in range(6):
        _, y = place(low, top * step / 5)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, y + 4, short(top * step / 5), "end"))
    for x in sorted({x for x, _ in points}):
        at, _ = place(x, 0)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 5}" stroke="#222"/>')
        parts.append(text(at, HEIGHT - BOTTOM + 20, short(x)))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, below))
    parts.append(text(18, (TOP + HEIGHT - BOTTOM) / 2, beside, extra=f'transform="rotate(-90 18 {(TOP + HEIGHT - BOTTOM) / 2})"'))
    if goal:
        _, y = place(low, goal[0])
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#888" stroke-dasharray="5 4"/>')
        parts.append(text(WIDTH - RIGHT + 8, y + 4, goal[1], "start", 11))
    # Names beside the last points, apart from each other.
    labels, floor = [], TOP
    for number, (name, line) in enumerate(series.items()):
        if line:
            labels.append([place(*line[-1])[1], name, COLOURS[number % len(COLOURS)]])
            places = [place(x, y) for x, y in line]
            colour = COLOURS[number % len(COLOURS)]
            parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
    for y, name, colour in sorted(labels):
        y = max(y, floor)
        floor = y + 16
        parts.append(text(WIDTH - RIGHT + 8, y + 4, name, "start", 12, f'style="fill:{colour}"'))
    return "\n".join(parts + ["</svg>", ""])
