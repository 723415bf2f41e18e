"""What a nest adds up (or joins otherwise): along a row in registers, over rows in registers where
a row is one vector, else in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clearprop.graph import Var
from clearprop.jit.expressions import Value, Vectors
from clearprop.jit.nest import Member, Nest
from clearprop.jit.rowmemory import RowMemory, Segment, mask
from clearprop.jit.target import Target
from clearprop.jit.writer import SIZES, Carried, number, splat, stored, vector

SUMS = 4  # vectors that add up over rows in registers
LONG_SUM = 64  # rounds of a loop from which on float32 is added up in float64

IDENTITY: dict[str, Callable[[str], Any]] = {
    "add": lambda d: 0,
    "mul": lambda d: 1,
    "or": lambda d: 0,
    "and": lambda d: 1,
    "max": lambda d: float("-inf") if d in ("f32", "f64") else _least(d),
    "min": lambda d: float("inf") if d in ("f32", "f64") else ~_least(d),
}


def _least(d: str) -> int:
    return 0 if d in ("u8", "bool") else -(1 << (8 * SIZES[d] - 1))


class Sum(Carried):
    """What is added up over rows, in a vector of so many lanes."""

    def __init__(self, kind: str, start: str, lanes: int) -> None:
        super().__init__(kind, start)
        self.lanes = lanes


class RowSums(RowMemory):
    """The members of a nest that join values."""

    def __init__(
        self, nest: Nest, has_place: set[Var], constants: dict[Var, Any], target: Target
    ) -> None:
        super().__init__(nest, has_place, constants, target)
        self.whole = Vectors(self.w, self.lanes)
        self.sums = self._sums()

    def _sums(self) -> dict[Member, Sum]:
        """What is added up over the rows of a single loop, if a row is one vector: in registers."""
        out: dict[Member, Sum] = {}
        if len(self.space.sizes) != 2:
            return out
        for m in self.nest.members:
            if not m.combine or not self._adds_up_in_memory(m) or m.out not in self.has_place:
                continue
            lanes = 1 if self.nest.is_row(m) or self._joins_row(m) else self.lanes
            vectors = sum(c.lanes > 1 for c in out.values())
            if lanes > 1 and (self.inner > self.lanes or vectors == SUMS):
                continue
            if self.space.strides(self._write(m).strides)[0] == 0:
                d = m.out.aval.dtype.short
                out[m] = Sum(vector(d, lanes), self._identity(m, d, lanes).name, lanes)
        return out

    def _store_sums(self) -> None:
        for m, c in self.sums.items():
            value = Value(c.name, m.out.aval.dtype.short)
            if c.lanes == 1:
                self._store_row(m, value)
            else:
                self._store_at(self._write(m), self._segment("0", self.inner), value)

    def _joins_row(self, m: Member) -> bool:
        return (
            m.combine is not None
            and bool(self.nest.space)
            and (self.space.axes[-1][-1] in m.reduced)
        )

    def _sum_type(self, m: Member, rounds: int) -> str:
        d = m.out.aval.dtype.short
        return "f64" if d == "f32" and m.combine == "add" and rounds >= LONG_SUM else d

    def _outer_reduced(self, m: Member) -> bool:
        inner = set(self.space.axes[-1])
        return any(axis not in inner for axis in m.reduced)

    def _identity(self, m: Member, d: str, lanes: int) -> Value:
        assert m.combine
        return Value(splat(IDENTITY[m.combine](d), d, lanes), d)

    def _adds_up_in_memory(self, m: Member) -> bool:
        over_rows = self.nest.is_barrier(m) and self._outer_reduced(m)
        return self.nest.is_row(m) or not self._joins_row(m) or over_rows

    def _combine(self, vectors: Vectors, m: Member, a: Value, b: Value) -> Value:
        assert m.combine
        return vectors.apply(m.combine, [a, b])

    def _only_valid(self, s: Segment, m: Member, value: Value) -> Value:
        """The identity at lanes that lie behind the end of the row."""
        if not s.masked:
            return value
        kind = vector(value.dtype, s.lanes)
        text = (
            f"select <{s.lanes} x i1> {mask(s.lanes, s.valid)}, {kind} {value.name},"
            f" {kind} {self._identity(m, value.dtype, s.lanes).name}"
        )
        return Value(self.w.emit(text), value.dtype)

    def _widened(self, m: Member, value: Value, s: Segment) -> Value:
        """A shorter vector with the identity behind it."""
        if s.lanes == self.lanes:
            return value
        kind = vector(value.dtype, s.lanes)
        more = self._identity(m, value.dtype, s.lanes).name
        picks = ", ".join(f"i32 {min(j, s.lanes)}" for j in range(self.lanes))
        return Value(
            self.w.emit(
                f"shufflevector {kind} {value.name}, {kind} {more}, <{self.lanes} x i32> <{picks}>"
            ),
            value.dtype,
        )

    def _across(self, m: Member, value: Value) -> Value:
        """All lanes joined, by halves: a vector of one element."""
        lanes = self.lanes
        while lanes > 1:
            half = lanes // 2
            kind = vector(value.dtype, lanes)
            parts = []
            for first in (0, half):
                picks = ", ".join(f"i32 {first + j}" for j in range(half))
                parts.append(
                    Value(
                        self.w.emit(
                            f"shufflevector {kind} {value.name}, {kind} poison,"
                            f" <{half} x i32> <{picks}>"
                        ),
                        value.dtype,
                    )
                )
            value = self._combine(Vectors(self.w, half), m, *parts)
            lanes = half
        return value

    def _accumulate(self, m: Member, s: Segment, value: Value) -> None:
        """Join a value of every element with what is there already."""
        if m in self.sums:
            self._sum_up(s.vectors, m, value)
            return
        write = self._write(m)
        old = self._load_at(self._pointer(write, s), write, s, m.out.aval.dtype.short)
        new = self._combine(s.vectors, m, old, value)
        self._store_at(write, s, new)

    def _accumulate_row(self, m: Member, value: Value) -> None:
        if m in self.sums:
            self._sum_up(self.row, m, value)
            return
        d = m.out.aval.dtype.short
        pointer = self.pointers[self._key(self._write(m))]
        old = self._load_one(pointer, d)
        self._store_one(pointer, self._combine(self.row, m, old, value))

    def _sum_up(self, vectors: Vectors, m: Member, value: Value) -> None:
        before = Value(self.sums[m].name, value.dtype)
        self.sums[m].next = self._combine(vectors, m, before, value).name

    def _clear_accumulators(self) -> None:
        """Memory in which values add up begins with the identity."""
        for m in self.nest.members:
            if m.combine is None or not self._adds_up_in_memory(m) or m in self.sums:
                continue
            d, n = m.out.aval.dtype.short, m.out.aval.size
            base = self._argument(m.out)
            value = number(IDENTITY[m.combine](d), d)
            if n == 1:
                self.w.do(f"store {stored(d)} {value}, ptr {base}")
                continue
            lanes = min(n, self.target.lanes(d))
            with self.w.loop(n - n % lanes, lanes) as i:
                at = self.w.emit(f"getelementptr {stored(d)}, ptr {base}, i64 {i}")
                kind = f"<{lanes} x {stored(d)}>"
                self.w.do(f"store {kind} splat ({stored(d)} {value}), ptr {at}, align {SIZES[d]}")
            for j in range(n - n % lanes, n):
                at = self.w.emit(f"getelementptr {stored(d)}, ptr {base}, i64 {j}")
                self.w.do(f"store {stored(d)} {value}, ptr {at}")
