"""Kernels with code of their own, beside nests of loops and matrix products; and the loops that
move elements from one place to another, which several of them need.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar

from clearprop.graph import Equation, Var
from clearprop.jit.access import Access, Shape
from clearprop.jit.expressions import Value, Vectors
from clearprop.jit.target import Target
from clearprop.jit.writer import SIZES, Writer, stored


@dataclass(eq=False)
class Code:
    """Functions as text. @KERNEL takes the addresses of `operands`, then (`scratch`) that of memory
    of its own and (`checks`) that of the status.
    """

    text: str
    operands: list[Var]
    declares: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    checks: bool = False
    scratch: bool = False


@dataclass(eq=False)
class Special(ABC):
    """out (and `more`), worked out of the inputs. `over`: the input in whose memory out may be
    worked out. `SAMPLED`: inputs of which some samples, entries of the first axis, give those of
    out; or, with `ADDED`, what these add to it.
    """

    SAMPLED: ClassVar[tuple[int, ...]] = ()
    ADDED: ClassVar[bool] = False

    equation: Equation
    inputs: tuple[Access, ...]
    out: Var
    over: int | None = None
    more: tuple[Var, ...] = ()

    @abstractmethod
    def write(self, target: Target, in_place: bool) -> Code:
        """The code; `in_place`: out has the memory of input `over`."""

    def some(self, count: int) -> Special:
        """The same for so many samples; operands are, in order, the inputs and out."""
        out = copy.copy(self)
        out.inputs = tuple(
            replace(x, shape=(count, *x.shape[1:])) if i in self.SAMPLED else x
            for i, x in enumerate(self.inputs)
        )
        return out

    @property
    def scratch(self) -> int:
        """How many bytes it needs while it runs, on any processor."""
        return 0

    @property
    def work(self) -> float:
        """About how many operations it makes."""
        return float(self.out.aval.size)

    def may_replace(self, x: Var) -> bool:
        """Whether out may be worked out in the memory of x."""
        reading = [i for i, a in enumerate(self.inputs) if a.base is x]
        if not reading:
            return True
        a = self.inputs[reading[0]]
        return reading == [self.over] and a.plain and a.shape == self.out.aval.shape


@dataclass(frozen=True)
class Spot:
    """An address, and the strides of what lies behind it over the axes of a space."""

    at: str
    strides: Shape


def moved(w: Writer, spot: Spot, counters: Sequence[str], d: str) -> str:
    """The address that the first axes' counters lead to."""
    at = spot.at
    for i, s in zip(counters, spot.strides, strict=False):
        if s:
            step = i if s == 1 else w.emit(f"mul i64 {i}, {s}")
            at = w.emit(f"getelementptr {stored(d)}, ptr {at}, i64 {step}")
    return at


def shifted(w: Writer, at: str, by: int, d: str) -> str:
    """The address so many elements further on."""
    return w.emit(f"getelementptr {stored(d)}, ptr {at}, i64 {by}") if by else at


def full_strides(shape: Sequence[int]) -> Shape:
    """The strides of a packed array, axes of size 1 too."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


@contextmanager
def loops(w: Writer, sizes: Sequence[int]) -> Iterator[list[str]]:
    """Nested loops; their counters."""
    with ExitStack() as stack:
        yield [stack.enter_context(w.loop(n)) for n in sizes]


def merged(sizes: Sequence[int], *strides: Shape) -> tuple[list[int], list[Shape]]:
    """The same space with as few axes as will do: none of size 1, neighbours as one where they lie
    packed for everybody.
    """
    axes: list[tuple[int, tuple[int, ...]]] = []
    for n, *steps in zip(sizes, *strides, strict=True):
        if n == 1:
            continue
        if axes and all(a == b * n for a, b in zip(axes[-1][1], steps, strict=True)):
            axes[-1] = (axes[-1][0] * n, tuple(steps))
        else:
            axes.append((n, tuple(steps)))
    return [n for n, _ in axes], [tuple(s[i] for _, s in axes) for i in range(len(strides))]


def transfer(
    w: Writer, target: Target, sizes: Sequence[int], d: str, source: Spot, to: Spot, combine: str
) -> None:
    """to = source, or to = combine(to, source), element by element in order."""
    sizes, (from_strides, to_strides) = merged(sizes, source.strides, to.strides)
    source, to = Spot(source.at, from_strides), Spot(to.at, to_strides)
    with loops(w, sizes[:-1]) as counters:
        a, b = moved(w, source, counters, d), moved(w, to, counters, d)
        if not sizes:
            _join(w, d, 1, a, b, False, combine)
            return
        n, s, t = sizes[-1], from_strides[-1], to_strides[-1]
        lanes = target.vector_bits // (8 * SIZES[d])
        if t == 1 and 2 <= s <= 4 and n > lanes and combine == "set":
            done = (n - 1) // lanes * lanes  # what is read at last is wanted
            with w.loop(done, lanes) as i:
                x, y = moved(w, Spot(a, (s,)), [i], d), moved(w, Spot(b, (1,)), [i], d)
                _pick(w, d, lanes, s, x, y)
            a, b, n = shifted(w, a, done * s, d), shifted(w, b, done, d), n - done
        if t != 1 or s not in (0, 1):
            with w.loop(n) as i:
                x, y = moved(w, Spot(a, (s,)), [i], d), moved(w, Spot(b, (t,)), [i], d)
                _join(w, d, 1, x, y, False, combine)
            return
        whole = n - n % lanes
        if whole:
            with w.loop(whole, lanes) as i:
                x, y = moved(w, Spot(a, (s,)), [i], d), moved(w, Spot(b, (1,)), [i], d)
                _join(w, d, lanes, x, y, not s, combine)
        while whole < n:
            lanes = 1 << ((n - whole).bit_length() - 1)
            x, y = shifted(w, a, whole * s, d), shifted(w, b, whole, d)
            _join(w, d, lanes, x, y, not s, combine)
            whole += lanes


def _pick(w: Writer, d: str, lanes: int, step: int, a: str, b: str) -> None:
    """Every step-th of many neighbours."""
    kind, long = f"<{lanes} x {stored(d)}>", f"<{lanes * step - step + 1} x {stored(d)}>"
    x = w.emit(f"load {long}, ptr {a}, align {SIZES[d]}")
    picks = ", ".join(f"i32 {i * step}" for i in range(lanes))
    x = w.emit(f"shufflevector {long} {x}, {long} poison, <{lanes} x i32> <{picks}>")
    w.do(f"store {kind} {x}, ptr {b}, align {SIZES[d]}")


def _join(w: Writer, d: str, lanes: int, a: str, b: str, spread: bool, combine: str) -> None:
    """Some neighbours; with `spread`, all from one element."""
    element, align = stored(d), f"align {SIZES[d]}"
    kind = f"<{lanes} x {element}>" if lanes > 1 else element
    if spread and lanes > 1:
        one = w.emit(f"load {element}, ptr {a}, {align}")
        one = w.emit(f"insertelement {kind} poison, {element} {one}, i64 0")
        x = w.emit(f"shufflevector {kind} {one}, {kind} poison, <{lanes} x i32> zeroinitializer")
    else:
        x = w.emit(f"load {kind}, ptr {a}, {align}")
    if combine != "set":
        old = w.emit(f"load {kind}, ptr {b}, {align}")
        if d == "bool":  # bytes that are 0 or 1
            x = w.emit(f"{'or' if combine in ('add', 'max') else 'and'} {kind} {old}, {x}")
        else:
            kind = f"<{lanes} x {element}>"
            if lanes == 1:  # numbers become vectors of one
                old, x = (w.emit(f"bitcast {element} {v} to {kind}") for v in (old, x))
            x = Vectors(w, lanes).apply(combine, [Value(old, d), Value(x, d)]).name
    w.do(f"store {kind} {x}, ptr {b}, {align}")
