"""Rebuilds a graph equation by equation: folds constants, applies identities, and meets no equation
twice.

Every rule is exact, bit for bit, for every input (nan, inf and -0 too), so that what is simplified
can be compared with eager mode. The identities are entered by primitive in IDENTITIES; what holds
for a whole kind of op (a View of a repeated number is a repeated number) is said once for the kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop.core import TABLE, Aval, Indexed, Map, Opaque, Primitive, View, local
from clearprop.graph.ir import Equation, Graph, Var, aval_of
from clearprop.ops import movement

_SMALL = 64  # constants up to this many elements are folded; larger ones would only grow the graph

Rule = Callable[["Rebuilder", tuple[Var, ...], dict[str, Any], Aval], "Var | None"]


class Rebuilder:
    """The new body of a graph, as far as it has been built."""

    def __init__(self, graph: Graph) -> None:
        self.constants = dict(graph.constants)
        self.equations: list[Equation] = []
        self.made_by: dict[Var, Equation] = {}
        self._known: dict[tuple[Any, ...], tuple[Var, ...]] = {}
        self._numbers: dict[tuple[str, bytes], Var] = {}
        for v, array in self.constants.items():
            if not array.ndim:
                self._numbers.setdefault((array.dtype.char, array.tobytes()), v)

    # ------------------------------------------------------------------ questions
    def source(self, v: Var, prim: Primitive) -> Equation | None:
        """The equation that makes v, if it is a `prim`."""
        made = self.made_by.get(v)
        return made if made is not None and made.prim is prim else None

    def number(self, v: Var) -> np.ndarray | None:
        """The 0-d array that v repeats, if v is one number everywhere."""
        found = self.constants.get(v)
        if found is None:
            made = self.source(v, movement.expand_p)
            found = None if made is None else self.constants.get(made.inputs[0])
        return found if found is not None and not found.ndim else None

    def is_number(self, v: Var, wanted: float) -> bool:
        """Whether v is `wanted` everywhere; 0.0 and -0.0 differ."""
        found = self.number(v)
        return (
            found is not None
            and bool(found == wanted)
            and math.copysign(1.0, float(found)) == math.copysign(1.0, wanted)
        )

    # ------------------------------------------------------------------ building
    def constant(self, value: np.ndarray) -> Var:
        """A 0-d constant; equal ones are one Var."""
        key = (value.dtype.char, value.tobytes())
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = Var(aval_of(value))
            self.constants[found] = value
        return found

    def repeated(self, value: np.ndarray, shape: tuple[int, ...]) -> Var:
        """The number `value` at every place of `shape`."""
        v = self.constant(value)
        return self.emit(movement.expand_p, (v,), {"shape": shape}) if shape else v

    def emit(self, prim: Primitive, inputs: tuple[Var, ...], params: dict[str, Any]) -> Var:
        """The output of a new equation (of one output), simplified like every other."""
        aval = prim.shape(*(v.aval for v in inputs), **params)
        equation = Equation(prim, inputs, params, (Var(aval),))
        return self.add(equation)[0]

    def add(self, equation: Equation) -> tuple[Var, ...]:
        """What stands for the outputs of an equation whose inputs are of the new graph."""
        if equation.prim.outputs == 1:
            simpler = self._simpler(equation)
            if simpler is not None:
                return (simpler,)
        key = equation.key()
        known = self._known.get(key)
        if known is not None:
            return known
        self._known[key] = equation.outputs
        self.equations.append(equation)
        for v in equation.outputs:
            self.made_by[v] = equation
        return equation.outputs

    def _small(self, v: Var) -> np.ndarray | None:
        """The array that v always is, if it is a small one."""
        if v.aval.size > _SMALL:
            return None
        found = self.constants.get(v)
        number = self.number(v) if found is None else None
        return found if number is None else np.full(v.aval.shape, number)

    def _simpler(self, equation: Equation) -> Var | None:
        prim, inputs, params = equation.prim, equation.inputs, equation.params
        aval = equation.output.aval
        rule = IDENTITIES.get(prim)
        found = None if rule is None else rule(self, inputs, params, aval)
        if found is not None:
            return found
        numbers = [self.number(v) for v in inputs]
        if inputs and all(n is not None for n in numbers):
            if isinstance(prim.lower, Map):
                return self.repeated(_run(prim, numbers, params), aval.shape)
            if (
                isinstance(prim.lower, View)
                and prim in REPEATS
                and prim is not movement.expand_p
                and len({np.asarray(n).tobytes() for n in numbers}) == 1  # concat may mix numbers
            ):
                return self.repeated(numbers[0], aval.shape)  # type: ignore[arg-type]
        arrays = [self._small(v) for v in inputs]
        if (
            inputs
            and all(a is not None for a in arrays)
            and aval.size <= _SMALL
            and prim is not movement.expand_p
            and not isinstance(prim.lower, Opaque | Indexed)
        ):
            value = np.ascontiguousarray(_run(prim, arrays, params)).reshape(aval.shape)
            if not aval.shape:
                return self.constant(value)
            self.constants[equation.output] = value
            return equation.output
        return None


def _run(prim: Primitive, values: list[Any], params: dict[str, Any]) -> np.ndarray:
    return np.asarray(local.c.run(prim.eager, *values, **params))


def rebuild(graph: Graph) -> Graph:
    """The graph with constants folded, identities applied and equal equations joined."""
    b = Rebuilder(graph)
    renamed: dict[Var, Var] = {}
    for e in graph.equations:
        inputs = tuple(renamed.get(v, v) for v in e.inputs)
        new = b.add(Equation(e.prim, inputs, e.params, e.outputs, e.origin))
        for old, now in zip(e.outputs, new, strict=True):
            if old is not now:
                renamed[old] = now
    return graph.with_body(b.equations, b.constants, renamed)


# ---------------------------------------------------------------------- identities
def _p(name: str) -> Primitive:
    return TABLE[name]


# Views that give a repeated number back as a repeated number (unslice adds zeros).
REPEATS = {_p(name) for name in ("expand", "reshape", "permute", "slice", "flip", "concat")}


def _same(_b: Rebuilder, inputs: tuple[Var, ...], _params: Any, _aval: Aval) -> Var:
    return inputs[0]


def _mul(b: Rebuilder, inputs: tuple[Var, ...], _params: Any, _aval: Aval) -> Var | None:
    x, y = inputs
    return x if b.is_number(y, 1.0) else y if b.is_number(x, 1.0) else None


def _div(b: Rebuilder, inputs: tuple[Var, ...], _params: Any, aval: Aval) -> Var | None:
    return inputs[0] if b.is_number(inputs[1], 1.0) and inputs[0].aval == aval else None


def _sub(b: Rebuilder, inputs: tuple[Var, ...], _params: Any, _aval: Aval) -> Var | None:
    return inputs[0] if b.is_number(inputs[1], 0.0) else None  # x - 0 = x, for x = -0 too


def _add(b: Rebuilder, inputs: tuple[Var, ...], _params: Any, _aval: Aval) -> Var | None:
    x, y = inputs  # x + 0 is not x for x = -0; x + -0 is
    return x if b.is_number(y, -0.0) else y if b.is_number(x, -0.0) else None


def _neg(b: Rebuilder, inputs: tuple[Var, ...], _params: Any, _aval: Aval) -> Var | None:
    inner = b.source(inputs[0], _p("neg"))
    return None if inner is None else inner.inputs[0]


def _cast(b: Rebuilder, inputs: tuple[Var, ...], params: Any, _aval: Aval) -> Var | None:
    return inputs[0] if inputs[0].aval.dtype is params["to"] else None


def _reshape(b: Rebuilder, inputs: tuple[Var, ...], params: Any, aval: Aval) -> Var | None:
    (x,) = inputs
    if x.aval == aval:
        return x
    inner = b.source(x, movement.reshape_p)
    return None if inner is None else b.emit(movement.reshape_p, inner.inputs, params)


def _permute(b: Rebuilder, inputs: tuple[Var, ...], params: Any, _aval: Aval) -> Var | None:
    dims = tuple(params["dims"])
    if dims == tuple(range(len(dims))):
        return inputs[0]
    inner = b.source(inputs[0], movement.permute_p)
    if inner is None:
        return None
    first = inner.params["dims"]
    return b.emit(movement.permute_p, inner.inputs, {"dims": tuple(first[d] for d in dims)})


def _expand(b: Rebuilder, inputs: tuple[Var, ...], params: Any, aval: Aval) -> Var | None:
    (x,) = inputs
    if x.aval == aval:
        return x
    inner = b.source(x, movement.expand_p)
    return None if inner is None else b.emit(movement.expand_p, inner.inputs, params)


def _slice(b: Rebuilder, inputs: tuple[Var, ...], params: Any, aval: Aval) -> Var | None:
    return inputs[0] if inputs[0].aval == aval and set(params["steps"]) <= {1} else None


def _concat(_b: Rebuilder, inputs: tuple[Var, ...], _params: Any, aval: Aval) -> Var | None:
    return inputs[0] if len(inputs) == 1 and inputs[0].aval == aval else None


def _reduced(b: Rebuilder, inputs: tuple[Var, ...], params: Any, aval: Aval) -> Var | None:
    """Over axes of size 1 an extreme is a reshape, and so is a sum but for -0 (0 + -0 = 0)."""
    (x,) = inputs
    if not all(x.aval.shape[d] == 1 for d in params["dim"]):
        return None
    return b.emit(movement.reshape_p, inputs, {"shape": aval.shape})


IDENTITIES: dict[Primitive, Rule] = {
    _p("clone"): _same,
    _p("mul"): _mul,
    _p("div"): _div,
    _p("sub"): _sub,
    _p("add"): _add,
    _p("neg"): _neg,
    _p("cast"): _cast,
    _p("reshape"): _reshape,
    _p("permute"): _permute,
    _p("expand"): _expand,
    _p("slice"): _slice,
    _p("concat"): _concat,
    _p("amax"): _reduced,
    _p("amin"): _reduced,
}
