"""The part of the tape between two tensors: its paths, how many there are, which of them carry most
of the gradient, and the numbers along them.

A vertex is a node of the tape that a derivation names; what lies between two vertices is passed
through. The derivative of a vertex after an earlier one is what its cotangent becomes on the way
there without meeting another vertex, so the product along a path is one cotangent carried back.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from clearprop.autograd import engine, no_grad
from clearprop.core import Leaf, Node, Pick, View, wrap
from clearprop.core.dtypes import Aval
from clearprop.errors import AutogradError

USED_UP = (
    "explain: what the rules of {node} need is gone: a backward pass has freed it. Call explain()"
    " before backward(), or backward(retain_graph=True)"
)


def edges_of(node: Any) -> tuple[Any, ...]:
    """The nodes of the inputs."""
    return node.main.edges if type(node) is Pick else node.edges  # type: ignore[no-any-return]


def op_of(node: Any) -> Any:
    """The node that has the rules."""
    return node.main if type(node) is Pick else node


def pull(node: Any, g: Any) -> list[np.ndarray | None]:
    """What the rules of a node make of the cotangent g (or {output: cotangent}), per input."""
    main = op_of(node)
    if getattr(main, "saved", ()) is None:
        raise AutogradError(USED_UP.format(node=main.describe()))
    given: Any
    if isinstance(g, dict):
        given = {i: wrap(v, None) for i, v in g.items()}
    else:
        given = wrap(np.asarray(g), None)
    if type(node) is Pick:
        given = {node.index: given}
    with no_grad():
        parts = (
            engine.pull(main, given, None, False) if type(main) is Node else main.pull(given, None)
        )
    return [None if p is None else p.value for p in parts]


def moves_only(node: Any) -> bool:
    """Whether a node only moves, repeats or converts numbers."""
    prim = getattr(op_of(node), "prim", None)
    kind = getattr(prim, "lower", None)
    return isinstance(kind, View) or getattr(prim, "name", "") in ("cast", "clone")


def everything_behind(node: Any) -> list[Any]:
    """Every node behind one, newest first; of an op with several outputs these, not the op."""
    return [n for n in engine.collect([node]) if not _is_main(n)]


def consumers(end: Any) -> dict[Any, list[Any]]:
    """Every node behind `end`, newest first, with the ones that use it."""
    out: dict[Any, list[Any]] = {n: [] for n in everything_behind(end)}
    for node in out:
        for edge in edges_of(node):
            if edge is not None:
                out[edge].append(node)
    return out


@dataclass
class Between:
    """The nodes on the ways from `end` (a node: what is differentiated) back to `start`."""

    end: Any
    start: Any
    nodes: list[Any]  # newest first, both ends included

    @classmethod
    def of(cls, end: Any, start: Any) -> Between:
        """Collect them; none if no way leads back."""
        behind = everything_behind(end)
        wanted = {start}
        for node in reversed(behind):
            if any(e in wanted for e in edges_of(node) if e is not None):
                wanted.add(node)
        order = [n for n in behind if n in wanted]
        if start in order:  # (a leaf has no age)
            order.remove(start)
        return cls(end, start, [*order, start] if order or end is start else [])

    @cached_property
    def age(self) -> dict[Any, int]:
        """Where each node stands in `nodes`."""
        return {n: i for i, n in enumerate(self.nodes)}

    def local(self, vertex: Any, g: np.ndarray, vertices: set[Any]) -> dict[Any, np.ndarray]:
        """The cotangents that arrive at earlier vertices when g starts from `vertex`."""
        return {v: g for v, g in self.walk(vertex, g, vertices).items() if v in vertices}

    def walk(self, vertex: Any, g: np.ndarray, vertices: set[Any]) -> dict[Any, np.ndarray]:
        """The cotangents of all nodes from `vertex` back to the next vertices."""
        age = self.age
        found: dict[Any, np.ndarray] = {}
        waiting = {vertex: g}
        heap = [age[vertex]]
        while heap:
            node = self.nodes[heapq.heappop(heap)]
            g = waiting.pop(node)
            if node is not vertex:
                found[node] = g
            if node is self.start or (node in vertices and node is not vertex):
                continue
            for edge, part in zip(edges_of(node), pull(node, g), strict=True):
                if edge not in age or part is None:
                    continue
                if edge in waiting:
                    waiting[edge] = waiting[edge] + part
                else:
                    waiting[edge] = part
                    heapq.heappush(heap, age[edge])
        return found


@dataclass
class Net:
    """Vertices and which of them comes straight after which: `before[v]` are the vertices that v is
    computed from, `gain` says how strong each connection is.
    """

    order: list[Any]  # newest first
    before: dict[Any, list[Any]]
    gain: dict[tuple[Any, Any], float]

    def count(self) -> int:
        """How many paths lead from the first vertex of `order` to the last."""
        ways = defaultdict(int, {self.order[0]: 1})
        for v in self.order:
            for u in self.before[v]:
                ways[u] += ways[v]
        return ways[self.order[-1]]

    def strength(self) -> float:
        """The sum of the products of gains over all paths."""
        flow = defaultdict(float, {self.order[0]: 1.0})
        for v in self.order:
            for u in self.before[v]:
                flow[u] += flow[v] * self.gain[v, u]
        return flow[self.order[-1]]

    def strongest(self, k: int) -> list[tuple[Any, ...]]:
        """The k paths with the largest products of gains. (A part of one of the k best paths is
        one of the k best ways to where it ends.)
        """
        best: dict[Any, list[tuple[float, tuple[Any, ...]]]] = defaultdict(list)
        best[self.order[0]] = [(0.0, (self.order[0],))]
        for v in self.order:
            ways = best[v] = heapq.nlargest(k, best[v], key=lambda w: w[0])
            for u in self.before[v]:
                log = np.log(self.gain[v, u]) if self.gain[v, u] > 0 else -np.inf
                best[u] += [(size + log, (*path, u)) for size, path in ways]
            if v is not self.order[-1]:
                del best[v]
        return [path for _, path in best[self.order[-1]]]


def reach(between: Between, vertices: set[Any]) -> dict[Any, list[Any]]:
    """For every vertex the ones that it is computed from without another in between."""
    inside = set(between.nodes)
    next_: dict[Any, dict[Any, None]] = {}  # of every node
    for node in reversed(between.nodes):
        found: dict[Any, None] = {}
        for edge in () if node is between.start else edges_of(node):
            if edge in vertices:
                found[edge] = None
            elif edge in inside:
                found.update(next_[edge])
        next_[node] = found
    return {v: list(next_[v]) for v in between.nodes if v in vertices}


def aval_of(node: Any, consumers: Iterable[Any] = ()) -> Aval | None:
    """Shape and dtype of what a node made, where somebody has kept it."""
    if isinstance(node, Leaf):
        tensor = node.tensor()
        return None if tensor is None else tensor.aval
    for x in kept(node, consumers):
        return x if isinstance(x, Aval) else wrap(x, None).aval
    return None


def kept(node: Any, consumers: Iterable[Any]) -> Iterator[Any]:
    """What is kept of the result of a node: its array, or only its aval."""
    main = op_of(node)
    out = getattr(main, "out", None)
    if type(node) is Pick:
        yield main.avals[node.index]
    elif isinstance(out, np.ndarray):
        yield out
    for user in consumers:
        for edge, x in zip(edges_of(user), getattr(op_of(user), "saved", None) or (), strict=False):
            if edge is node and x is not None:
                yield x if isinstance(x, Aval) else x.value


def _is_main(node: Any) -> bool:
    """Whether this node of several outputs is walked by way of its Picks."""
    picks = getattr(node, "picks", None)
    return bool(getattr(node, "avals", ())) if picks is None else bool(picks)


@dataclass
class Backward:
    """A whole backward pass that changes nothing: what arrived at every node, and what its rules
    passed on.
    """

    arrived: dict[Any, Any]
    passed: dict[Any, list[Any]]

    @classmethod
    def of(cls, outputs: Iterable[Any]) -> Backward:
        """From the sum of the outputs."""
        waiting: dict[Any, Any] = {}
        for y in outputs:
            one = np.ones(y.shape, y.value.dtype)
            waiting[y.node] = waiting[y.node] + one if y.node in waiting else one
        self = cls({}, {})
        for node in engine.collect(list(waiting)) if waiting else []:
            g = waiting.pop(node, None)
            if g is None:
                continue
            self.arrived[node] = g
            if type(node) is Pick:
                slots = waiting.setdefault(node.main, {})
                slots[node.index] = slots[node.index] + g if node.index in slots else g
            elif not isinstance(node, Leaf):
                parts = self.passed[node] = pull(node, g)
                for edge, part in zip(node.edges, parts, strict=True):
                    if edge is not None and part is not None:
                        waiting[edge] = waiting[edge] + part if edge in waiting else part
        return self

    def at(self, node: Any) -> np.ndarray | None:
        """What arrived, of the first output that got something."""
        g = self.arrived.get(node)
        return next(iter(g.values()), None) if isinstance(g, dict) else g

    def along(self, node: Any, i: int) -> tuple[float | None, bool]:
        """The norm of what input i got, and whether all of it was blocked here."""
        parts, g = self.passed.get(node), self.at(node)
        if parts is None or g is None or i >= len(parts) or parts[i] is None:
            return None, False
        size = float(np.linalg.norm(parts[i]))
        return size, size == 0 and bool(np.any(g))
