"""Items for the drawing of a module: it runs once on the example, and what it does is noted op by
op, also where the tape stops.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.autograd import enable_grad, engine
from clearprop.autograd.anomaly import Checked
from clearprop.core import Leaf, Node, Primitive, Scope, Tensor, local, locate, wrap
from clearprop.core.events import listeners
from clearprop.core.node import creation
from clearprop.core.provenance import user_frame
from clearprop.core.random import default_generator
from clearprop.core.tree import tensors_in
from clearprop.explanation.dag import Item, Link
from clearprop.explanation.paths import Backward
from clearprop.explanation.scopes import Scopes, settle_parameters
from clearprop.nn import Module


@dataclass(eq=False)
class Run:
    """One primitive that ran, or one custom block; its node on the tape, if there is one, has a
    number in `seq`. `inputs`: array, whether a gradient can flow to it, its number among the edges.
    """

    name: str
    inputs: tuple[tuple[np.ndarray, bool, int], ...]
    outs: tuple[np.ndarray, ...]
    scope: Scope | None
    where: str
    seq: range


class Recorder(Checked):
    """The eager interpreter, taking notes."""

    def __init__(self) -> None:
        super().__init__(shapes=False, finite=False)
        self.runs: list[Run] = []
        self.holds: dict[int, np.ndarray] = {}  # array written to: what was written
        self.leaves: dict[int, Tensor] = {}
        self.blocks: list[tuple[int, int]] = []  # those that are running: first run, number

    def run(self, prim: Primitive, values: Sequence[Any], params: dict[str, Any]) -> Any:
        arrays = [v.value if isinstance(v, Tensor) else v for v in values]
        out = local.c.run(prim.eager, *arrays, **params)
        outs = tuple(map(np.asarray, out)) if prim.outputs > 1 else (np.asarray(out),)
        grad = local.c.grad
        rules = prim.vjp * len(values) if prim.variadic else prim.vjp
        inputs = [
            (a, grad and self._tracked(v) and rules[i] is not None, i)
            for i, (v, a) in enumerate(zip(values, arrays, strict=True))
        ]
        number = next(creation) + 1
        self._note(prim.name, inputs, outs, range(number, number + 1))
        return outs if prim.outputs > 1 else outs[0]

    def _tracked(self, v: Any) -> bool:
        if not isinstance(v, Tensor) or v.node is None:
            return False
        if isinstance(v.node, Leaf):
            self.leaves.setdefault(id(v.value), v)
        return True

    def _note(self, name: str, inputs: Any, outs: Any, seq: range) -> None:
        frame = user_frame(sys._getframe(2))
        where = "" if frame is None else str(locate(frame.f_code, frame.f_lasti))
        self.runs.append(Run(name, tuple(inputs), tuple(outs), local.c.scope, where, seq))

    def hear(self, event: str, *details: Any) -> None:
        """What runs in a custom block, off the tape, becomes one run."""
        if event == "block":
            self.blocks.append((len(self.runs), next(creation)))
        elif event == "block done" and self.blocks:
            first, number = self.blocks.pop()
            if not self.blocks:
                cls, args = details
                inputs = [
                    (a.value, local.c.grad and self._tracked(a), i)
                    for i, a in enumerate(args)
                    if isinstance(a, Tensor)
                ]
                outs = [a for run in self.runs[first:] for a in run.outs]
                del self.runs[first:]
                self._note(cls.__name__, inputs, outs, range(number, next(creation)))

    def write(self, target: Tensor, source: Tensor) -> None:
        super().write(target, source)
        self.holds[id(target.value)] = source.value


@contextmanager
def looking(module: Module, recorder: Recorder) -> Iterator[None]:
    """The module in eval mode under the recorder; everything is as before afterwards."""
    c = local.c
    before = c.interpreter, c.scope
    modes = [(m, m.training) for m in module.modules()]
    random = default_generator.get_state(), np.random.get_state()
    module.eval()
    try:
        c.interpreter, c.scope = recorder, None
        listeners.append(recorder.hear)
        with enable_grad():
            yield
    finally:
        listeners.remove(recorder.hear)
        c.interpreter, c.scope = before
        default_generator.set_state(random[0])
        np.random.set_state(random[1])
        for m, training in modes:
            m.training = training


def items_of_module(module: Module, example: tuple[Any, ...], gradients: bool) -> list[Item]:
    """Run the module on the example and say what happened."""
    recorder, inputs, arguments = Recorder(), [], []
    for i, x in enumerate(example):
        if isinstance(x, Tensor):
            x = wrap(x.value, None)
            if x.is_floating_point():
                x.requires_grad_()
            inputs.append(("input" if len(example) == 1 else f"input {i}", x))
        arguments.append(x)
    with looking(module, recorder):
        out = module(*arguments)
    outputs = tensors_in(out)
    backward = Backward.of([y for y in outputs if y.node is not None]) if gradients else None
    return _items(module, recorder, inputs, outputs, backward)


def _items(
    root: Module,
    recorder: Recorder,
    inputs: list[tuple[str, Tensor]],
    outputs: list[Tensor],
    backward: Backward | None,
) -> list[Item]:
    scopes = Scopes(root)
    ends = [y.node for y in outputs if y.node is not None]
    nodes = {n.seq: n for n in engine.collect(ends) if isinstance(n, Node)}
    items: list[Item] = []
    made: dict[int, Item] = {}  # array: the item that made it
    live: set[Item] = set()  # those that a gradient can flow back from
    for name, x in inputs:
        item = Item(("input", name), "input", name, [str(x.aval)], value=x.value)
        item.gradient = None if backward is None else backward.at(x.node)
        items.append(item)
        made[id(x.value)] = item
        if x.node is not None:
            live.add(item)
    for run in recorder.runs:
        item = Item(run, "op", run.name, frames=scopes.frames(run.scope))
        item.tooltip = f"{run.name}{f' at {run.where}' if run.where else ''}"
        item.value = run.outs[-1] if run.outs else None
        node = next((nodes[i] for i in run.seq if i in nodes), None)
        item.gradient = None if backward is None or node is None else backward.at(node)
        for array, flows, i in run.inputs:
            array = recorder.holds.get(id(array), array)
            source = made.get(id(array))
            if source is None and id(array) in recorder.leaves:
                source = _parameter(recorder.leaves[id(array)], scopes, run.scope, backward)
                items.append(source)
                made[id(array)] = source
                live.add(source)
            if source is None:
                continue
            link = Link(source.key, cut=source in live and not flows)
            if flows and backward is not None and node is not None:
                link.strength, link.blocked = backward.along(node, i)
            item.links.append(link)
            if flows and source in live and any(a.dtype.kind == "f" for a in run.outs):
                live.add(item)
        items.append(item)
        for a in run.outs:
            made[id(a)] = item
    for i, y in enumerate(outputs):
        title = "output" if len(outputs) == 1 else f"output {i}"
        item = Item(("output", i), "output", title, [str(y.aval)], value=y.value)
        source = made.get(id(recorder.holds.get(id(y.value), y.value)))
        if source is not None:
            link = Link(source.key)
            if backward is not None and y.node is not None:
                link.strength = float(np.sqrt(y.numel()))
            item.links.append(link)
        items.append(item)
    settle_parameters(items)
    return items


def _parameter(p: Tensor, scopes: Scopes, scope: Scope | None, backward: Backward | None) -> Item:
    """The item of a weight, in the frames of the module that owns it."""
    name = scopes.parameters.get(id(p), "")
    item = Item(p.node, "parameter", name or "leaf", [str(p.aval)], value=p.value)
    item.frames, item.owned = scopes.owner_frames(name, scope), name
    item.gradient = None if backward is None else backward.at(p.node)
    return item
