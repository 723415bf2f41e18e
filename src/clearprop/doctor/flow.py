"""The backward pass, looked at: the cotangent of every node of the tape, and what each rule passed
on, without adding to any `.grad`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clearprop.autograd import engine
from clearprop.core import Leaf, Node, Pick, Tensor, local, wrap
from clearprop.core.random import default_generator
from clearprop.doctor.log import Log, Record

Cotangent = Any  # an array, or {output number: array}


@dataclass
class Flow:
    """What flowed back. `order`: nodes from the newest on; `arrived[n]`: what came to n;
    `passed[n][i]`: what its rule gave to edge i (None: nobody asked); `error`: what a rule raised,
    and at which node.
    """

    log: Log
    roots: list[Any]
    order: list[Any] = field(default_factory=list)
    arrived: dict[Any, Cotangent] = field(default_factory=dict)
    passed: dict[Any, list[Any]] = field(default_factory=dict)
    leaves: dict[int, np.ndarray] = field(default_factory=dict)  # by id of the leaf's tensor
    tensors: list[Tensor] = field(default_factory=list)  # the leaves that were reached
    error: tuple[Any, BaseException] | None = None

    def record(self, node: Any) -> Record | None:
        """What ran when the node was made."""
        return self.log.by_node.get(getattr(node, "seq", 0)) if isinstance(node, Node) else None

    def g(self, node: Any) -> np.ndarray | None:
        """The cotangent that arrived, of the first output that got one."""
        got = self.arrived.get(node)
        return next(iter(got.values()), None) if isinstance(got, dict) else got

    def behind(self, node: Any) -> list[Tensor]:
        """The leaves that can be reached from a node."""
        leaves = (n.tensor() for n in engine.collect([node]) if isinstance(n, Leaf))
        return [t for t in leaves if t is not None]

    def only_through(self, node: Any) -> list[Tensor]:
        """The leaves all of whose paths from the roots pass through the node."""
        seen = {r for r in self.roots if r is not node}
        stack = list(seen)
        while stack:
            for edge in stack.pop().edges:
                if edge is not None and edge not in seen and edge is not node:
                    seen.add(edge)
                    stack.append(edge)
        around = {id(n.tensor()) for n in seen if isinstance(n, Leaf)}
        return [t for t in self.behind(node) if id(t) not in around]


def flow_back(outputs: Sequence[Tensor], grads: Sequence[Tensor] | None, log: Log) -> Flow:
    """Walk back from the outputs and keep everything. The tape, `.grad`s and random generators
    are as before afterwards.
    """
    c = local.c
    before = (c.grad, c.interpreter)
    random = default_generator.get_state(), np.random.get_state()
    flow = Flow(log, [y.node for y in outputs if y.node is not None])
    c.grad, c.interpreter = False, None
    try:
        _walk(flow, outputs, grads)
    finally:
        c.grad, c.interpreter = before
        default_generator.set_state(random[0])
        np.random.set_state(random[1])
    return flow


def _walk(flow: Flow, outputs: Sequence[Tensor], grads: Sequence[Tensor] | None) -> None:
    waiting: dict[Any, Any] = {}
    for i, y in enumerate(outputs):
        if y.node is None:
            continue
        g = np.ones(y.shape, y.value.dtype) if grads is None or grads[i] is None else grads[i].value
        waiting[y.node] = g if y.node not in waiting else waiting[y.node] + g
    flow.order = engine.collect(list(waiting))
    for node in flow.order:
        g = waiting.pop(node, None)
        if g is None:
            continue
        flow.arrived[node] = g
        if isinstance(node, Leaf):
            tensor = node.tensor()
            if tensor is not None:
                flow.leaves[id(tensor)] = g
                flow.tensors.append(tensor)
            continue
        if isinstance(node, Pick):
            slots = waiting.setdefault(node.main, {})
            slots[node.index] = g if node.index not in slots else slots[node.index] + g
            continue
        try:
            parts = _pull(node, g)
        except Exception as error:  # what backward() is about to raise
            flow.error = (node, error)
            return
        flow.passed[node] = parts
        for edge, part in zip(node.edges, parts, strict=True):
            if edge is None or part is None:
                continue
            if edge in waiting and not isinstance(waiting[edge], dict):
                with np.errstate(all="ignore"):
                    waiting[edge] = waiting[edge] + part
            else:
                waiting[edge] = part


def _pull(node: Any, g: Any) -> list[Any]:
    given: Any
    if isinstance(g, dict):
        given = {i: wrap(v, None) for i, v in g.items()}
    else:
        given = wrap(np.asarray(g), None)
    if type(node) is Node:
        parts = engine.pull(node, given, None, False)
    else:
        parts = node.pull(given, None)
    return [None if p is None else p.value for p in parts]
