"""`explain`: how a derivative comes about, path by path, as a derivation on the board has it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

from clearprop.core import Leaf, Map, Reduce, Tensor
from clearprop.core.provenance import user_frame
from clearprop.errors import AutogradError
from clearprop.explanation.derivation import Derivation, Factor, Path, Value
from clearprop.explanation.names import (
    assigned_name,
    distinct,
    name_of,
    of_variables,
    tensors_of,
)
from clearprop.explanation.paths import (
    Between,
    Net,
    aval_of,
    consumers,
    edges_of,
    kept,
    moves_only,
    op_of,
    pull,
    reach,
)
from clearprop.explanation.symbols import Algebra, NoFormula

NO_HISTORY = (
    "explain: nothing was recorded behind {z}: none of what it was computed from requires grad"
)
NO_PATH = (
    "explain: no path leads from {z} back to {x}: {z} does not depend on it, or the tape was cut"
    " between them (detach(), no_grad, .data, .item() or a round trip through NumPy)"
)


def explain(
    z: Tensor,
    wrt: Tensor,
    *,
    index: int | Sequence[int] | None = None,
    k: int = 8,
    detail: str = "auto",
    symbolic: bool | None = None,
) -> Derivation:
    """The derivative dz/dx as the sum, over all paths from z back to x, of the products of the
    local derivatives along them: in symbols (with SymPy, the extra `explain`) and in numbers.

    Values have the names of your variables where the program shows them, else v1, v2, ....
    `index` is the element of z that is looked at (of x, if z is a single number); without it,
    paths between tensors are weighed by the norms of their gradients, and a z with several elements
    stands for its sum. Of many paths the `k` strongest are shown. `detail`: "names" stops at named
    values only, "ops" at every op, "auto" at every op if names show nothing in between.

    Errors: AutogradError where no path leads from z to x, or where a backward pass has freed what
    the rules need; MissingExtraError for symbolic=True without SymPy.

    >>> import clearprop as cp
    >>> x = cp.tensor(1.0, requires_grad=True)
    >>> y1, y2 = 2 * x**2 + cp.exp(2 * x), cp.exp(x)
    >>> z = 3 * y1 + y2**2
    >>> d = cp.explain(z, wrt=x)
    >>> d.count, round(d.total, 4)
    (2, 71.1124)
    >>> [p.names for p in d.paths]
    [['z', 'y1', 'x'], ['z', 'y2', 'x']]
    """
    if detail not in ("auto", "names", "ops"):
        raise ValueError(f"explain: detail must be auto, names or ops, got {detail!r}")
    if k < 1:
        raise ValueError(f"explain: k must be at least 1, got {k}")
    if not isinstance(z, Tensor) or not isinstance(wrt, Tensor):
        raise TypeError("explain: wants two tensors, explain(z, wrt=x)")
    work = Chain(z, wrt, user_frame(sys._getframe(1)))
    work.choose_vertices(detail)
    work.seed(index)
    return work.derivation(k, find_spec("sympy") is not None if symbolic is None else symbolic)


class Chain:
    """The tape between two tensors, with names for its values."""

    def __init__(self, z: Tensor, x: Tensor, frame: Any) -> None:
        self.z, self.x = z, x
        self.variables, self.alive = of_variables(frame), tensors_of(frame)
        self.alive[id(z.node)], self.alive[id(x.node)] = z, x
        z_name = self.variables.get(id(z.node)) or assigned_name(z.node) or "z"
        x_name = self.variables.get(id(x.node)) or assigned_name(x.node) or "x"
        if z.node is None:
            raise AutogradError(NO_HISTORY.format(z=z_name))
        between = None if x.node is None else Between.of(z.node, x.node)
        if between is None or not between.nodes:
            raise AutogradError(NO_PATH.format(z=z_name, x=x_name))
        self.between = between
        self.end, self.start = self.between.nodes[0], self.between.nodes[-1]
        self.users = consumers(self.end)
        self.avals: dict[Any, Any] = {}
        for node in self.users:  # newest first, so those that use a node are known before
            self.avals[node] = self._aval_of(node)
        self.ends = {self.end: z_name, self.start: x_name}

    # ------------------------------------------------------------------ where to stop
    def choose_vertices(self, detail: str) -> None:
        found = {n: self._name(n) for n in self.between.nodes}
        named = {n for n, name in found.items() if name is not None}
        ops = {n for n in self.between.nodes if not moves_only(n)} | {self.end, self.start}
        if detail == "names" or (detail == "auto" and len(named) > 2):
            self.vertices = named
        else:
            self.vertices = ops | named
        self.order = [n for n in self.between.nodes if n in self.vertices]
        oldest_first = self.order[::-1]
        names = distinct([found[n] for n in oldest_first])
        self.names = dict(zip(oldest_first, names, strict=True))

    def _name(self, node: Any) -> str | None:
        if node in self.ends:
            return self.ends[node]
        if id(node) in self.variables:
            return self.variables[id(node)]
        return None if isinstance(node, Leaf) else name_of(node, self.users[node])

    # ------------------------------------------------------------------ numbers
    def seed(self, index: Any) -> None:
        """The cotangent of z, and which element of every node it looks at (`element`), where that
        is one.
        """
        z = self.z
        where = () if index is None else tuple(np.atleast_1d(np.asarray(index, int)).tolist())
        self.picked: tuple[int, ...] | None = None  # element of x, where z is one number
        self.about: list[str] = []
        g = np.ones(z.shape, z.value.dtype)
        if index is not None and z.numel() != 1:
            at = _inside(where, z.shape, "z")
            g = np.zeros(z.shape, z.value.dtype)
            g[at] = 1
            self.about.append(f"element {list(at)} of {self.ends[self.end]}")
        elif index is not None:
            self.picked = _inside(where, self.x.shape, "x")
            self.about.append(f"element {list(self.picked)} of {self.ends[self.start]}")
        elif z.numel() != 1:
            self.about.append(f"of the sum of all {z.numel()} elements of {self.ends[self.end]}")
        self.g = g
        self.element = self._follow() if index is not None or z.numel() == 1 else None

    def _follow(self) -> dict[Any, int] | None:
        """The flat index of the one element that matters in every node; None if several do in a
        node between z and x.
        """
        element = {self.end: int(np.argmax(self.g.reshape(-1)))}
        ways = set(self.between.nodes)
        for node in self.users:
            if node is self.start or node not in element or isinstance(node, Leaf):
                continue
            found = self._element_before(node, element[node])
            for edge, at in zip(edges_of(node), found, strict=True):
                if edge is None:
                    continue
                if at is None or element.setdefault(edge, at) != at:
                    if edge in ways:
                        return None
                    element.pop(edge, None)
        return element

    def _element_before(self, node: Any, at: int) -> list[int | None]:
        """For each input the element that element `at` of the node is computed from, if it is
        one.
        """
        edges = edges_of(node)
        aval = self.avals.get(node)
        if aval is None:
            return [None] * len(edges)
        marker = np.zeros(aval.shape, aval.dtype.np)
        marker.reshape(-1)[at] = 1
        kind = getattr(getattr(op_of(node), "prim", None), "lower", None)
        out: list[int | None] = []
        for part in pull(node, marker):
            if part is None:
                out.append(None)
            elif part.size == 1:
                out.append(0)
            elif isinstance(kind, Map) and part.size == marker.size:
                out.append(at)
            elif np.count_nonzero(part) == 1 and not isinstance(kind, Reduce):
                out.append(int(np.flatnonzero(part)[0]))
            else:
                out.append(None)
        return out

    def _aval_of(self, node: Any) -> Any:
        tensor = self.alive.get(id(node))
        if tensor is not None:
            return tensor.aval
        found = aval_of(node, self.users[node])
        if found is not None:
            return found
        for user in self.users[node]:  # what its users make of a cotangent has its shape
            if isinstance(getattr(getattr(op_of(user), "prim", None), "lower", None), Map):
                return self.avals[user]
        return None

    def value_of(self, node: Any) -> np.ndarray | None:
        """The value of a node, where somebody has kept it."""
        tensor = self.alive.get(id(node))
        if tensor is not None:
            return tensor.value  # type: ignore[no-any-return]
        if isinstance(node, Leaf):
            leaf = node.tensor()
            return None if leaf is None else leaf.value
        return next((v for v in kept(node, self.users[node]) if isinstance(v, np.ndarray)), None)

    def _number(self, node: Any) -> float | None:
        value = self.value_of(node)
        if value is None or self.element is None:
            return None
        return float(value.reshape(-1)[self.element[node]])

    def _one(self, node: Any) -> np.ndarray:
        """The cotangent 1 of the element that is looked at."""
        assert self.element is not None
        aval: Any = self.avals[node]
        marker = np.zeros(aval.shape, aval.dtype.np)
        marker.reshape(-1)[self.element[node]] = 1
        return marker

    # ------------------------------------------------------------------ putting it together
    def derivation(self, k: int, symbolic: bool) -> Derivation:
        before = reach(self.between, self.vertices)
        total = self.between.walk(self.end, self.g, set()).get(self.start, self.g)
        self.gains: dict[tuple[Any, Any], float] = {}
        scalar = self.element is not None
        if scalar:
            for v in self.order[:-1]:
                for u, part in self.between.local(v, self._one(v), self.vertices).items():
                    self.gains[v, u] = float(part.reshape(-1)[self.element[u]])  # type: ignore[index]
        else:
            self._gains_of_norms(total)
        strength = {pair: abs(gain) for pair, gain in self.gains.items()}
        for v in before:
            before[v] = [u for u in before[v] if (v, u) in strength]
        net = Net(self.order, before, strength)
        chosen = net.strongest(k)
        self.strength = net.strength() if scalar else None
        algebra, values = self._values(symbolic and scalar)
        paths = [self._path(p, total, algebra) for p in chosen]
        paths.sort(key=lambda p: -abs(p.share))
        count = net.count()
        carried = 1.0 if count == len(paths) else float(sum(p.share for p in paths))
        formula = None
        if algebra is not None and count == len(paths):
            formula = self._total(algebra, values)
        return Derivation(
            self.ends[self.end], self.ends[self.start], scalar, values, paths, count, carried,
            self._shown(total), formula, [*self.about, *([] if algebra is None else algebra.notes)],
        )  # fmt: skip

    def _gains_of_norms(self, total: np.ndarray) -> None:
        """By how much the norm of the gradient changes between vertices."""
        arrived: dict[Any, np.ndarray] = {self.end: self.g}
        for v in self.order[:-1]:
            g = arrived.get(v)
            if g is None:
                continue
            for u, part in self.between.local(v, g, self.vertices).items():
                arrived[u] = arrived[u] + part if u in arrived else part
                came = float(np.linalg.norm(g))
                self.gains[v, u] = float(np.linalg.norm(part)) / came if came else 0.0

    def _path(self, path: tuple[Any, ...], total: np.ndarray, algebra: Algebra | None) -> Path:
        factors, g = [], self.g
        for v, u in pairwise(path):
            formula = None
            if algebra is not None and self.formulas.get(v) is not None:
                formula = algebra.derivative(self.formulas[v], u)
            before = float(np.linalg.norm(g))
            g = self._along(v, u, g)
            number = self.gains[v, u]
            if self.element is None:
                number = float(np.linalg.norm(g)) / before if before else 0.0
            factors.append(Factor(self.names[v], self.names[u], number, formula))
        value = self._shown(g)
        if self.strength is not None:
            size = float(np.prod([abs(f.number) for f in factors]))
            share = size / self.strength if self.strength else 0.0
        else:  # what it adds in the direction of the whole
            square = float(np.vdot(total, total))
            share = float(np.vdot(g, total)) / square if square else 0.0
        return Path([self.names[v] for v in path], factors, value, share)

    def _along(self, v: Any, u: Any, g: np.ndarray) -> np.ndarray:
        """The cotangent g of v at the earlier vertex u, without ways through other vertices."""
        found = self.between.local(v, g, self.vertices)
        return found.get(u, np.zeros_like(self.z.value))

    def _shown(self, g: np.ndarray) -> Any:
        """A number where one element of x is looked at, else the array."""
        if self.picked is not None:
            return float(g[self.picked])
        if self.element is not None:
            return float(g.reshape(-1)[self.element[self.start]])
        return float(g.reshape(())) if g.size == 1 else g

    def _values(self, symbolic: bool) -> tuple[Algebra | None, list[Value]]:
        oldest_first = self.order[::-1]
        values = []
        for node in oldest_first:
            main = op_of(node)
            aval, location = self.avals.get(node), getattr(main, "location", None)
            values.append(
                Value(
                    self.names[node],
                    self._number(node),
                    op="" if isinstance(node, Leaf) else main.prim.name,
                    where="" if location is None else str(location),
                    shape=() if aval is None else aval.shape,
                )
            )
        self.formulas: dict[Any, Any] = {}
        if not symbolic:
            return None, values
        numbers = {n: v for n in self.order if (v := self._number(n)) is not None}
        algebra = Algebra(self.element or {}, numbers)
        algebra.name(self.start, self.names[self.start])
        for node, value in zip(oldest_first[1:], values[1:], strict=True):
            inner = self._inner(node)
            self._name_others(algebra, inner)
            try:
                value.formula = self.formulas[node] = algebra.formula(node, inner)
            except NoFormula:
                self.formulas[node] = None
            algebra.name(node, self.names[node])
            if value.number is None and value.formula is not None:
                found = value.formula.subs(algebra.numbers)
                if found.is_number:
                    value.number = algebra.values[node] = float(found)
                    algebra.numbers[algebra.symbols[node]] = value.number
        return algebra, values

    def _inner(self, vertex: Any) -> list[Any]:
        """The nodes that a vertex is computed from, as far back as the next vertices and leaves;
        oldest first.
        """
        found, stack = {vertex}, [vertex]
        while stack:
            for edge in edges_of(stack.pop()):
                if edge is None or edge in found or edge in self.vertices or isinstance(edge, Leaf):
                    continue
                found.add(edge)
                stack.append(edge)
        return sorted(found, key=lambda n: n.seq)

    def _name_others(self, algebra: Algebra, inner: list[Any]) -> None:
        """Symbols for the leaves besides x: weights, other inputs."""
        for node in inner:
            for edge in edges_of(node):
                if isinstance(edge, Leaf) and edge not in algebra.symbols:
                    tensor = edge.tensor()
                    name = self.variables.get(id(edge)) or getattr(tensor, "name", None)
                    name = name or f"w{len(algebra.symbols)}"
                    taken = {s.name for s in algebra.symbols.values()} | set(self.names.values())
                    while name in taken:
                        name += "_"
                    at = algebra.element.get(edge)
                    if tensor is not None and at is not None:
                        algebra.values[edge] = float(tensor.value.reshape(-1)[at])
                    algebra.name(edge, name)

    def _total(self, algebra: Algebra, values: list[Value]) -> Any:
        """The whole derivative as a formula of x alone (and of other leaves)."""
        if any(self.formulas.get(n) is None for n in self.order[:-1]):
            return None
        in_x: dict[Any, Any] = {}
        for node in self.order[-2::-1]:  # oldest first, without x
            in_x[algebra.symbols[node]] = self.formulas[node].subs(in_x)
            if algebra.sp.count_ops(in_x[algebra.symbols[node]]) > 10_000:
                return None
        return algebra.tidy(algebra.derivative(in_x[algebra.symbols[self.end]], self.start))


def _inside(index: tuple[int, ...], shape: tuple[int, ...], what: str) -> tuple[int, ...]:
    if len(index) != len(shape) or not all(-n <= i < n for i, n in zip(index, shape, strict=True)):
        raise IndexError(
            f"explain: index {list(index)} is no element of {what}, which has shape {list(shape)}"
        )
    return index
