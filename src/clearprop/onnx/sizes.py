"""Sizes that depend on the batch: a network is traced with two batch sizes, and the two graphs are
read side by side.

What is equal in both is a number; what differs is a `Size`, slope * batch + offset. Everything that
follows from sizes (a reshape, the end of a slice, a count by which a mean divides) is so known for
every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.core import Primitive
from clearprop.graph import Graph, Origin
from clearprop.onnx.library import ExportError

FIXED = (
    "export it for one batch size with dynamic_batch=False, or say which axis of each argument is"
    " the batch: dynamic_batch=(0, 1)"
)


@dataclass(frozen=True)
class Size:
    """A number that was `one` with the first batch size, and `two` with the second."""

    one: int
    two: int

    def __add__(self, other: Any) -> Any:
        return _both(int.__add__, self, other)

    def __sub__(self, other: Any) -> Any:
        return _both(int.__sub__, self, other)

    def __rsub__(self, other: Any) -> Any:
        return _both(int.__sub__, other, self)

    def __mul__(self, other: Any) -> Any:
        return _both(int.__mul__, self, other)

    __radd__, __rmul__ = __add__, __mul__


Number = int | Size
Shape = tuple[Number, ...]


def _both(f: Callable[[int, int], int], a: Any, b: Any) -> Number:
    one, two = (f(_at(a, side), _at(b, side)) for side in (0, 1))
    return joined(one, two)


def _at(n: Number, side: int) -> int:
    return n if isinstance(n, int) else (n.one, n.two)[side]


def joined(one: int, two: int) -> Number:
    """The number, or the Size."""
    return one if one == two else Size(one, two)


def line(one: float, two: float, batches: tuple[int, int]) -> tuple[int, int] | None:
    """(slope, offset) of the straight line through both; None if they are no integers."""
    slope = (two - one) / (batches[1] - batches[0])
    a = round(slope)
    b = round(one - a * batches[0])
    fits = all(a * n + b == v for n, v in zip(batches, (one, two), strict=True))
    return (a, b) if fits else None


@dataclass(eq=False)
class Value:
    """A value of both graphs."""

    shape: Shape
    dtype: Any
    hint: str = ""

    @property
    def ndim(self) -> int:
        return len(self.shape)


@dataclass(frozen=True, eq=False)
class Step:
    """An equation of both graphs; params hold a Size where they differ."""

    prim: Primitive
    inputs: tuple[Value, ...]
    params: dict[str, Any]
    outputs: tuple[Value, ...]
    origin: Origin


@dataclass(frozen=True, eq=False)
class Pair:
    """Two graphs as one. `constants`: the array of either side."""

    inputs: tuple[Value, ...]
    constants: dict[Value, tuple[np.ndarray, np.ndarray]]
    steps: tuple[Step, ...]
    outputs: tuple[Value, ...]
    batches: tuple[int, int] | None


def pair(one: Graph, two: Graph, batches: tuple[int, int] | None) -> Pair:
    """Read two graphs side by side.

    Errors: ExportError where they differ in more than sizes.
    """
    known: dict[Any, Value] = {}
    twin: dict[Any, Any] = {}

    def value(v: Any, w: Any) -> Value:
        if v not in known:
            if v.aval.ndim != w.aval.ndim or v.aval.dtype is not w.aval.dtype:
                raise ExportError(f"export: {v.aval} with one batch size, {w.aval} with another")
            shape = tuple(map(joined, v.aval.shape, w.aval.shape))
            known[v], twin[v] = Value(shape, v.aval.dtype, v.hint), w
        return known[v]

    inputs = tuple(map(value, one.inputs, two.inputs))
    steps = []
    constants: dict[Value, tuple[np.ndarray, np.ndarray]] = {}

    def read(v: Any, w: Any) -> Value:
        if v in one.constants and v not in known:
            if w not in two.constants:
                raise ExportError(UNLIKE)
            constants[value(v, w)] = (one.constants[v], two.constants[w])
        if twin.get(v) is not w:
            raise ExportError(UNLIKE)
        return known[v]

    for e, f in zip(one.equations, two.equations, strict=False):
        try:
            if e.prim is not f.prim:
                raise ExportError(UNLIKE)
            ins = tuple(map(read, e.inputs, f.inputs))
            params = {k: _merged(p, f.params[k]) for k, p in e.params.items()}
        except (ExportError, ValueError) as error:
            raise ExportError(
                f"export: {e.prim.name} {e.origin}: {UNLIKE} ({error})"
                if str(error) != UNLIKE
                else f"export: {e.prim.name} {e.origin}: {UNLIKE}"
            ) from error
        outs = tuple(map(value, e.outputs, f.outputs))
        steps.append(Step(e.prim, ins, params, outs, e.origin))
    if len(one.equations) != len(two.equations):
        more = max(one.equations, two.equations, key=len)[len(steps)]
        raise ExportError(f"export: {more.prim.name} {more.origin}: {UNLIKE}")
    outputs = tuple(map(read, one.outputs, two.outputs))
    return Pair(inputs, constants, tuple(steps), outputs, batches)


UNLIKE = f"what the network does depends on the batch size; {FIXED}"


def _merged(p: Any, q: Any) -> Any:
    if isinstance(p, tuple | list):
        return tuple(_merged(a, b) for a, b in zip(p, q, strict=True))
    if type(p) is int and type(q) is int:
        return joined(p, q)
    if p is q or p == q:
        return p
    raise ValueError(f"{p} with one batch size, {q} with another")


def numbers(what: str, sizes: Sequence[Number]) -> list[int]:
    """Sizes that must not depend on the batch."""
    for n in sizes:
        if not isinstance(n, int):
            raise ExportError(f"{what} depends on the batch size; {FIXED}")
    return [int(n) for n in sizes]  # type: ignore[arg-type]
