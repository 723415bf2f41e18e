"""`draw`: the graph behind a tensor, of a module on an example, or of a trace, as a picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from clearprop.core import Tensor
from clearprop.core.provenance import user_frame
from clearprop.explanation.dag import Detail, Item, shortened
from clearprop.explanation.layout import place
from clearprop.explanation.recorded import items_of_module
from clearprop.explanation.staged import items_of_graph
from clearprop.explanation.svg import picture, size_of
from clearprop.explanation.taped import items_of_tensor
from clearprop.graph import Graph, Traced
from clearprop.nn import Module

DETAILS = ("modules", "ops")


class Drawing:
    """A picture as SVG text in `svg`. Shows itself in notebooks; `save(path)` writes it."""

    def __init__(self, svg: str, boxes: int) -> None:
        self.svg = svg
        self.boxes = boxes

    def save(self, path: str | Path) -> None:
        """Write the SVG file."""
        Path(path).write_text(self.svg, encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"Drawing({self.boxes} boxes; save('graph.svg') writes it)"


def draw(
    what: Tensor | Module | Graph | Traced,
    *example: Any,
    detail: str = "modules",
    depth: int | None = None,
    values: bool = False,
    gradients: bool = False,
    most: int = 300,
) -> Drawing:
    """Draw the graph behind a tensor, what a module computes from an example input, or the graph
    of `graph.trace`.

    `detail="modules"`: a module without children is one box; `detail="ops"`: every op is. Modules
    nested `depth` deep are closed to one box; so are deeper ones first, and then runs of ops, where
    there are more than `most` boxes. `values` writes what was computed into the boxes, `gradients`
    the gradient of the tensor (of the sum of the module's outputs): lines are as wide as it is
    strong, and red where an op lets none of it through. A line is marked as cut where data flows
    on, but no gradient (detach(), no_grad, argmax).

    The module runs once in eval mode, with its training flags, gradients and random numbers left
    as they were.

    >>> import clearprop as cp
    >>> model = cp.nn.Sequential(cp.nn.Linear(2, 3), cp.nn.Tanh())
    >>> cp.draw(model, cp.zeros(1, 2))
    Drawing(4 boxes; save('graph.svg') writes it)
    """
    if detail not in DETAILS:
        raise ValueError(f"draw: detail must be one of {', '.join(DETAILS)}, got {detail!r}")
    if depth is not None and depth < 1:
        raise ValueError(f"draw: depth must be at least 1, got {depth}")
    items = _items(what, example, values, gradients)
    dag = shortened(items, Detail(detail == "ops", depth, values, gradients), most)
    sizes = {b.key: size_of(b) for b in dag.boxes.values()}
    layout = place(sizes, dag.arrows, {b.key: b.group for b in dag.boxes.values()})
    return Drawing(picture(dag, layout), len(dag.boxes))


def _items(what: Any, example: tuple[Any, ...], values: bool, gradients: bool) -> list[Item]:
    if isinstance(what, Module):
        if not example:
            raise TypeError("draw: a Module is drawn from an example input: draw(model, x)")
        return items_of_module(what, example, gradients)
    if example:
        raise TypeError("draw: an example input is for a Module")
    if isinstance(what, Graph | Traced):
        if values or gradients:
            raise TypeError("draw: a traced graph has no values; draw a tensor or a module")
        return items_of_graph(what if isinstance(what, Graph) else what.graph)
    if not isinstance(what, Tensor):
        raise TypeError(f"draw: wants a Tensor, a Module or a Graph, got {type(what).__name__}")
    if what.node is None:
        raise ValueError(
            "draw: nothing was recorded behind this tensor: none of what it was computed from"
            " requires grad"
        )
    return items_of_tensor(what, user_frame(sys._getframe(2)), gradients)
