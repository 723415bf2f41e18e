"""A laid-out graph as SVG: legible on light and dark ground, every text escaped."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import Any

from clearprop.explanation.dag import Box
from clearprop.explanation.layout import Layout, Point

TITLE, LINE = 13.0, 11.0  # heights of letters
WIDE = 0.62  # of a letter, against its height
MARGIN = 14.0

STYLE = """
.cp-dag{font-family:system-ui,sans-serif;color:#1d2733}
.cp-dag .box{fill:#f3f5f8;stroke:#8795a6;stroke-width:1.2}
.cp-dag .input .box,.cp-dag .output .box{fill:#fff4e0;stroke:#c98a1b}
.cp-dag .module .box{fill:#e3effc;stroke:#2f74b5}
.cp-dag .parameter .box{fill:#e6f4ec;stroke:#3b8a63}
.cp-dag .frame{fill:none;stroke:#8795a6;stroke-dasharray:4 3}
.cp-dag text{fill:currentColor}
.cp-dag .title{font-size:13px;font-weight:600}
.cp-dag .line{font-size:11px;opacity:.78}
.cp-dag .arrow{fill:none;stroke:#6b7a8c;stroke-width:1.3}
.cp-dag .tip{fill:#6b7a8c}
@media (prefers-color-scheme:dark){
.cp-dag{color:#e7ecf2}
.cp-dag .box{fill:#252d38;stroke:#75849a}
.cp-dag .input .box,.cp-dag .output .box{fill:#3a2f1b;stroke:#e0a63d}
.cp-dag .module .box{fill:#1b2f45;stroke:#64a5e4}
.cp-dag .parameter .box{fill:#1c3428;stroke:#6fbf95}
.cp-dag .arrow{stroke:#9aa8b8}
.cp-dag .tip{fill:#9aa8b8}
}
""".strip().replace("\n", "")


def size_of(box: Box) -> Point:
    """Width and height that the text of a box needs."""
    widths = [
        len(box.title) * TITLE * WIDE,
        *(len(line) * LINE * WIDE * 0.95 for line in box.lines),
    ]
    return max(60.0, max(widths) + 22), 16 + TITLE + len(box.lines) * (LINE + 4)


def picture(boxes: list[Box], layout: Layout) -> str:
    """The SVG text."""
    frames = _frames(boxes, layout)
    left = min([0.0, *(f[1] for f in frames)]) - MARGIN
    top = min([0.0, *(f[2] for f in frames)]) - MARGIN
    right = max([layout.width, *(f[3] for f in frames)]) + MARGIN
    bottom = max([layout.height, *(f[4] for f in frames)]) + MARGIN
    width, height = right - left, bottom - top
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="cp-dag" role="img" '
        f'aria-label="graph of the computation" viewBox="{left:.0f} {top:.0f} {width:.0f} '
        f'{height:.0f}" width="{width:.0f}" height="{height:.0f}" style="max-width:100%">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="cp-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    for name, x0, y0, x1, y1 in frames:
        parts.append(
            f'<rect class="frame" x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" '
            f'height="{y1 - y0:.1f}" rx="10"/>'
            f'<text class="line" x="{x0 + 8:.1f}" y="{y0 + 14:.1f}">{escape(name)}</text>'
        )
    parts += [_arrow(points) for points in layout.routes.values()]
    parts += [_box(box, layout.at[box.key]) for box in boxes]
    return "".join([*parts, "</svg>"])


def _box(box: Box, at: Point) -> str:
    width, height = size_of(box)
    x, y = at[0] - width / 2, at[1] - height / 2
    lines = [
        f'<text class="title" text-anchor="middle" x="{at[0]:.1f}" y="{y + 8 + TITLE:.1f}">'
        f"{escape(box.title)}</text>"
    ]
    for i, line in enumerate(box.lines, 1):
        lines.append(
            f'<text class="line" text-anchor="middle" x="{at[0]:.1f}" '
            f'y="{y + 8 + TITLE + i * (LINE + 4):.1f}">{escape(line)}</text>'
        )
    tooltip = f"<title>{escape(box.tooltip)}</title>" if box.tooltip else ""
    round_ = 14 if box.kind in ("input", "output") else 6
    return (
        f'<g class="{box.kind}">{tooltip}<rect class="box" x="{x:.1f}" y="{y:.1f}" '
        f'width="{width:.1f}" height="{height:.1f}" rx="{round_}"/>{"".join(lines)}</g>'
    )


def _arrow(points: list[Point]) -> str:
    """A smooth line downwards through the points."""
    path = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        path.append(f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}")
    return f'<path class="arrow" marker-end="url(#cp-tip)" d="{"".join(path)}"/>'


def _frames(boxes: list[Box], layout: Layout) -> list[tuple[str, float, float, float, float]]:
    """(name, left, top, right, bottom) around the boxes of every nested module; none where boxes of
    others would stand in it.
    """
    members: dict[tuple[str, ...], list[Box]] = {}
    for box in boxes:
        for depth in range(1, len(box.group) + 1):
            members.setdefault(box.group[:depth], []).append(box)
    frames = []
    deepest = max(map(len, members), default=0)
    for group, inside in members.items():
        level = deepest - len(group)
        sides: list[Any] = [_sides(box, layout) for box in inside]
        x0, x1 = (
            min(s[0] for s in sides) - 12 - 10 * level,
            max(s[2] for s in sides) + 12 + 10 * level,
        )
        y0, y1 = min(s[1] for s in sides) - 20 - 4 * level, max(s[3] for s in sides) + 9 + 4 * level
        others = [_sides(b, layout) for b in boxes if b.group[: len(group)] != group]
        if not any(a < x1 and c > x0 and b < y1 and d > y0 for a, b, c, d in others):
            frames.append((group[-1], x0, y0, x1, y1))
    return frames


def _sides(box: Box, layout: Layout) -> tuple[float, float, float, float]:
    (x, y), (width, height) = layout.at[box.key], size_of(box)
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
