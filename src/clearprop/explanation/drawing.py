"""`draw`: the graph behind a tensor, or of a module on an example, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clearprop.autograd import enable_grad
from clearprop.core import Tensor, wrap
from clearprop.explanation.dag import Box, Dag, dag_of
from clearprop.explanation.layout import place
from clearprop.explanation.svg import picture, size_of
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


def draw(what: Tensor | Module, *example: Any, detail: str = "modules") -> Drawing:
    """Draw the graph behind a tensor, or what a module computes from an example input.

    `detail="modules"`: a module without children is one box; `detail="ops"`: every op is. The
    module runs once in eval mode, with its training flags and gradients left as they were.

    >>> import clearprop as cp
    >>> model = cp.nn.Sequential(cp.nn.Linear(2, 3), cp.nn.Tanh())
    >>> cp.draw(model, cp.zeros(1, 2))
    Drawing(4 boxes; save('graph.svg') writes it)
    """
    if detail not in DETAILS:
        raise ValueError(f"draw: detail must be one of {', '.join(DETAILS)}, got {detail!r}")
    if isinstance(what, Module):
        return _drawing(_of_module(what, example, detail))
    if not isinstance(what, Tensor):
        raise TypeError(f"draw: wants a Tensor or a Module, got {type(what).__name__}")
    if example:
        raise TypeError("draw: a tensor is drawn from its history; an example is for a Module")
    if what.node is None:
        raise ValueError(
            "draw: nothing was recorded behind this tensor: none of what it was computed from"
            " requires grad"
        )
    return _drawing(dag_of([what], [], None, detail))


def _of_module(module: Module, example: tuple[Any, ...], detail: str) -> Dag:
    if not example:
        raise TypeError("draw: a Module is drawn from an example input: draw(model, x)")
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    inputs = []
    arguments: list[Any] = []
    for i, x in enumerate(example):
        if isinstance(x, Tensor):
            x = wrap(x.value, None)
            if x.is_floating_point():
                x.requires_grad_()
                inputs.append(("input" if len(example) == 1 else f"input {i}", x))
        arguments.append(x)
    try:
        with enable_grad():
            out = module(*arguments)
    finally:
        for m, training in modes:
            m.training = training
    return dag_of(_tensors(out), inputs, module, detail)


def _tensors(out: Any) -> list[Tensor]:
    """The tensors of an output, however it is packed."""
    if isinstance(out, Tensor):
        return [out]
    if isinstance(out, dict):
        out = list(out.values())
    if isinstance(out, tuple | list):
        return [t for part in out for t in _tensors(part)]
    return []


def _drawing(dag: Dag) -> Drawing:
    boxes: list[Box] = list(dag.boxes.values())
    layout = place({b.key: size_of(b) for b in boxes}, list(dag.arrows))
    return Drawing(picture(boxes, layout), len(boxes))
