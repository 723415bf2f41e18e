"""Where boxes go. graphlay does it: a layered layout (the method of Sugiyama, Tagawa and Toda) of
graphs with boxes inside of boxes, and arrows around them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clearprop.errors import optional_import

Key = Hashable
Point = tuple[float, float]
Rectangle = tuple[float, float, float, float]  # left, top, right, bottom

HEADER, PADDING = 14.0, 14.0  # above the boxes in a frame, and around them
OPTIONS: dict[str, Any] = {
    "direction": "topbottom",
    "routing": {"style": "diagonal"},
    "spacing": {
        "layer_gap": 34.0, "node_gap": 26.0, "dummy_gap": 18.0, "port_gap": 12.0, "stub": 9.0,
        "compound_padding": PADDING, "compound_header": HEADER, "isolated_gap": 26.0,
    },
}  # fmt: skip


@dataclass
class Layout:
    """Centre of every box, the points of every arrow, the sides of every frame, and the size of
    the picture.
    """

    at: dict[Key, Point]
    routes: dict[tuple[Key, Key], list[Point]]
    frames: dict[Key, Rectangle]
    width: float
    height: float


def place(
    sizes: dict[Key, Point],
    arrows: Iterable[tuple[Key, Key]],
    groups: dict[Key, Sequence[Key]] | None = None,
) -> Layout:
    """Lay out boxes of the given sizes (width, height), from top to bottom. `groups` are the
    frames that a box stands in, the outermost first.
    """
    graphlay = optional_import("graphlay", extra="explain")
    graph = graphlay.Graph()
    number: dict[Key, int] = {}
    inside = groups or {}
    for key in sizes:
        parent = None
        for frame in inside.get(key, ()):
            if frame not in number:
                number[frame] = graph.node(len(number), width=1, height=1, **_in(parent))
            parent = number[frame]
        number[key] = graph.node(
            len(number), width=sizes[key][0], height=sizes[key][1], **_in(parent)
        )
    arrows = list(arrows)
    for a, b in arrows:
        graph.edge(number[a], number[b])
    if not sizes:
        return Layout({}, {}, {}, 0.0, 0.0)
    found = graphlay.layout(graph, options=OPTIONS)
    low, high = found.bounds["min"], found.bounds["max"]
    x0, y0 = low["x"], low["y"]
    at, frames = {}, {}
    for key, n in number.items():
        node = found.nodes[n]
        x, y = node["center"]["x"] - x0, node["center"]["y"] - y0
        w, h = node["size"]["width"], node["size"]["height"]
        if key in sizes:
            at[key] = (x, y)
        else:
            frames[key] = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    routes = {
        pair: [(p["x"] - x0, p["y"] - y0) for p in edge["points"]]
        for pair, edge in zip(arrows, found.edges, strict=True)
    }
    return Layout(at, routes, frames, high["x"] - x0, high["y"] - y0)


def _in(parent: int | None) -> dict[str, int]:
    return {} if parent is None else {"parent": parent}
