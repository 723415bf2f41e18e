"""A laid-out graph as SVG: legible on light and dark ground, every text escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from clearprop.explanation.dag import Arrow, Box, Dag, Frame
from clearprop.explanation.layout import Layout, Point, Rectangle

TITLE, LINE = 13.0, 11.0  # heights of letters
WIDE = 0.62  # of a letter, against its height
MARGIN = 14.0
DECADES = 6  # of gradient strength, from the widest line to the finest

STYLE = """
.cp-dag{font-family:system-ui,sans-serif;color:#1d2733}
.cp-dag .box{fill:#f3f5f8;stroke:#8795a6;stroke-width:1.2}
.cp-dag .input .box,.cp-dag .output .box{fill:#fff4e0;stroke:#c98a1b}
.cp-dag .module .box{fill:#e3effc;stroke:#2f74b5}
.cp-dag .parameter .box{fill:#e6f4ec;stroke:#3b8a63}
.cp-dag .frame{fill:#8795a6;fill-opacity:.07;stroke:#8795a6;stroke-dasharray:4 3}
.cp-dag text{fill:#1d2733}
.cp-dag .title{font-size:13px;font-weight:600}
.cp-dag .line{font-size:11px;opacity:.78}
.cp-dag .label{paint-order:stroke;stroke:#fff;stroke-width:4px;opacity:1}
.cp-dag .arrow{fill:none;stroke:#6b7a8c;stroke-width:1.3}
.cp-dag .tip{fill:#6b7a8c}
.cp-dag .flow{stroke:#1f5fa8}
.cp-dag .tip.flow{fill:#1f5fa8;stroke:none}
.cp-dag .blocked{stroke:#c0392b;stroke-dasharray:2 3}
.cp-dag .cut{stroke:#b8730a;stroke-dasharray:7 4}
.cp-dag .mark{font-size:12px;font-weight:700;stroke:none}
.cp-dag .mark.blocked{fill:#c0392b}
.cp-dag .mark.cut{fill:#b8730a}
@media (prefers-color-scheme:dark){
.cp-dag{color:#e7ecf2}
.cp-dag text{fill:#e7ecf2}
.cp-dag .label{stroke:#14181d}
.cp-dag .box{fill:#252d38;stroke:#75849a}
.cp-dag .input .box,.cp-dag .output .box{fill:#3a2f1b;stroke:#e0a63d}
.cp-dag .module .box{fill:#1b2f45;stroke:#64a5e4}
.cp-dag .parameter .box{fill:#1c3428;stroke:#6fbf95}
.cp-dag .arrow{stroke:#9aa8b8}
.cp-dag .tip{fill:#9aa8b8}
.cp-dag .flow{stroke:#6fb0f2}
.cp-dag .tip.flow{fill:#6fb0f2}
.cp-dag .blocked{stroke:#ff7b6b}
.cp-dag .cut{stroke:#f0b04a}
}
""".strip().replace("\n", "")


def size_of(box: Box) -> Point:
    """Width and height that the text of a box needs."""
    widths = [
        len(box.title) * TITLE * WIDE,
        *(len(line) * LINE * WIDE * 0.95 for line in box.lines),
    ]
    return max(60.0, max(widths) + 22), 16 + TITLE + len(box.lines) * (LINE + 4)


def picture(dag: Dag, layout: Layout) -> str:
    """The SVG text."""
    frames = [f for f in layout.frames if isinstance(f, Frame)]
    legend = _legend(dag)
    left, top = -MARGIN, -MARGIN
    width = max(layout.width, _legend_width(legend)) + 2 * MARGIN
    height = layout.height + 2 * MARGIN + (26 if legend else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="cp-dag" role="img" '
        f'aria-label="graph of the computation" viewBox="{left:.0f} {top:.0f} {width:.0f} '
        f'{height:.0f}" width="{width:.0f}" height="{height:.0f}" style="max-width:100%">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="cp-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
        '<path class="tip" d="M0 0L8 4L0 8z"/></marker>'
        '<marker id="cp-tip-flow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="13" '
        'markerHeight="13" markerUnits="userSpaceOnUse" orient="auto">'
        '<path class="tip flow" d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    around = {inner: outer for box in dag.boxes.values() for outer, inner in pairwise(box.group)}
    drawn = [_frame(f, layout.frames[f], around.get(f)) for f in frames]
    parts += [rectangle for rectangle, _ in drawn]
    most = max((a.strength or 0.0 for a in dag.arrows.values()), default=0.0)
    parts += [_arrow(layout.routes[k], a, most) for k, a in dag.arrows.items()]
    parts += [_box(box, layout.at[box.key]) for box in dag.boxes.values()]
    parts += [label for _, label in drawn]
    parts += _drawn_legend(legend, layout.height + 22)
    return "".join([*parts, "</svg>"])


def _frame(frame: Frame, sides: Rectangle, outer: Frame | None) -> tuple[str, str]:
    """The rectangle, and the text that is written above the arrows."""
    x0, y0, x1, y1 = sides
    name = frame.name.removeprefix(f"{outer.name}.") if outer is not None else frame.name
    label = (
        name if frame.title in (name, frame.name.rpartition(".")[2]) else f"{name} · {frame.title}"
    )
    room = int((x1 - x0 - 14) / (LINE * WIDE))
    if len(label) > room:
        label = name if len(name) <= room else name[: max(room - 1, 1)] + "…"
    return (
        f'<rect class="frame" x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" '
        f'height="{y1 - y0:.1f}" rx="10"/>',
        f'<text class="line label" x="{x0 + 8:.1f}" y="{y0 + 15:.1f}">{escape(label)}</text>',
    )


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


def _arrow(points: Sequence[Point], arrow: Arrow, most: float) -> str:
    """A line through the points with round corners; as wide as the gradient is strong."""
    style, kind, words = "", "", ""
    if arrow.cut:
        kind, words = " cut", "cut: data flows here, no gradient"
    elif arrow.blocked:
        kind, words = " blocked", "blocked: a gradient arrives, and none leaves"
    elif arrow.strength is not None and most > 0:
        part = 1 + math.log10(max(arrow.strength / most, 1e-30)) / DECADES
        part = min(max(part, 0.0), 1.0)
        kind, words = " flow", f"‖gradient‖ = {arrow.strength:.3g}"
        style = (
            f' style="stroke-width:{0.8 + 4.2 * part:.2f};stroke-opacity:{0.3 + 0.7 * part:.2f}"'
        )
    title = f"<title>{words}</title>" if words else ""
    mark = ""
    if kind in (" cut", " blocked"):
        x, y = _middle(points)
        sign = "✕" if arrow.cut else "0"
        mark = (
            f'<text class="mark{kind}" text-anchor="middle" x="{x + 9:.1f}" y="{y + 4:.1f}">'
            f"{sign}</text>"
        )
    tip = "-flow" if kind == " flow" else ""
    line = f'<path class="arrow{kind}" marker-end="url(#cp-tip{tip})"{style} d="{_path(points)}"'
    return f"{line}>{title}</path>{mark}" if title else f"{line}/>{mark}"


def _strong(width: float, opacity: float) -> str:
    return f' style="stroke-width:{width:.2f};stroke-opacity:{opacity:.2f}"'


def _path(points: Sequence[Point], radius: float = 12.0) -> str:
    """Straight pieces, with the corners rounded off."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for before, at, after in zip(points, points[1:], points[2:], strict=False):
        into, out = _towards(at, before, radius), _towards(at, after, radius)
        parts.append(f"L{into[0]:.1f} {into[1]:.1f}")
        parts.append(f"Q{at[0]:.1f} {at[1]:.1f} {out[0]:.1f} {out[1]:.1f}")
    parts.append(f"L{points[-1][0]:.1f} {points[-1][1]:.1f}")
    return "".join(parts)


def _towards(a: Point, b: Point, far: float) -> Point:
    """The point `far` from a on the way to b, but not beyond the half."""
    length = math.dist(a, b)
    part = min(far / length, 0.5) if length else 0.0
    return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part


def _middle(points: Sequence[Point]) -> Point:
    i = (len(points) - 1) // 2
    (x0, y0), (x1, y1) = points[i], points[i + 1]
    return (x0 + x1) / 2, (y0 + y1) / 2


# ---------------------------------------------------------------------- legend
def _legend(dag: Dag) -> list[tuple[str, str]]:
    """(sign, words) for what is in the picture and does not explain itself."""
    kinds = {b.kind for b in dag.boxes.values()}
    arrows = dag.arrows.values()
    out: list[tuple[str, str]] = []
    if len(kinds & {"module", "op", "parameter"}) > 1:
        out += [(k, k) for k in ("module", "op", "parameter") if k in kinds]
    if any(a.strength is not None for a in arrows):
        out.append(("flow", f"gradient: wide = strong, {DECADES} decades"))
    if any(a.blocked and not a.cut for a in arrows):
        out.append(("blocked", "blocked: derivative 0"))
    if any(a.cut for a in arrows):
        out.append(("cut", "cut: no gradient flows"))
    return out


def _legend_width(legend: list[tuple[str, str]]) -> float:
    return sum(44 + len(words) * LINE * WIDE * 0.9 for _, words in legend)


def _drawn_legend(legend: list[tuple[str, str]], y: float) -> list[str]:
    parts, x = [], 0.0
    for sign, words in legend:
        if sign in ("module", "op", "parameter"):
            parts.append(
                f'<g class="{sign}"><rect class="box" x="{x:.1f}" y="{y - 9:.1f}" width="20" '
                'height="12" rx="3"/></g>'
            )
        elif sign == "flow":
            for i, (width, opacity) in enumerate(((5.0, 1.0), (2.5, 0.6), (0.8, 0.3))):
                parts.append(
                    f'<path class="arrow flow"{_strong(width, opacity)}'
                    f' d="M{x + 7 * i:.1f} {y - 3:.1f}h7"/>'
                )
        else:
            parts.append(f'<path class="arrow {sign}" d="M{x:.1f} {y - 3:.1f}h20"/>')
        parts.append(f'<text class="line" x="{x + 26:.1f}" y="{y:.1f}">{escape(words)}</text>')
        x += 44 + len(words) * LINE * WIDE * 0.9
    return parts
