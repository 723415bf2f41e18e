"""Where the operands of a nest lie while a row of it is worked out: addresses, loads and stores, of
vectors and of single values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from clearprop.graph import Var
from clearprop.jit.expressions import Value, Vectors
from clearprop.jit.nest import Member, Nest, Read
from clearprop.jit.space import space_of
from clearprop.jit.stages import Stages, crossing
from clearprop.jit.target import Target
from clearprop.jit.writer import SIZES, Writer, splat, stored, vector


@dataclass
class Segment:
    """A stretch of a row that one round of a loop works on."""

    vectors: Vectors
    index: str  # of its first element
    valid: int  # how many of its lanes count
    env: dict[Var, Value] = field(default_factory=dict)
    spread: dict[str, Value] = field(default_factory=dict)  # row values at every lane
    alone: dict[str, Value] = field(default_factory=dict)  # and back

    @property
    def lanes(self) -> int:
        return self.vectors.lanes

    @property
    def masked(self) -> bool:
        return self.valid < self.lanes


class RowMemory:
    """A nest, the function that is written for it, and how its operands are reached."""

    def __init__(
        self, nest: Nest, has_place: set[Var], constants: dict[Var, Any], target: Target
    ) -> None:
        self.nest = nest
        self.has_place = has_place
        self.constants = constants
        self.target = target
        self.space = space_of(nest)
        self.stages = Stages(nest)
        self.w = Writer()
        self.row = Vectors(self.w, 1)
        self.math: set[tuple[str, str, int]] = self.row.math
        self.arguments: list[Var | tuple[str, Var]] = []
        self.names: dict[Any, str] = {}
        self.counters: list[str] = []
        self.pointers: dict[Any, str] = {}
        self.row_loads: dict[tuple[Any, ...], Value] = {}
        self.crossing = set(crossing(nest))
        self.inner = self.space.sizes[-1] if self.space.sizes else 1
        self.lanes = self._lanes()

    def _segment(self, index: str, valid: int, lanes: int = 0) -> Segment:
        vectors = Vectors(self.w, lanes or self.lanes)
        vectors.math = self.math
        return Segment(vectors, index, valid)

    def _lanes(self) -> int:
        """How many elements a vector has: two registers full, to have work while one waits."""
        kinds = {m.out.aval.dtype.short for m in self.nest.members if not self.nest.is_row(m)}
        widest = max(
            (k for k in kinds if k in ("f32", "f64")), key=lambda k: SIZES[k], default="f32"
        )
        lanes = 2 * self.target.lanes(widest)
        while lanes > 1 and lanes // 2 >= self.inner:
            lanes //= 2
        return lanes

    def _keeps(self, m: Member) -> bool:
        return m.out in self.crossing and self.inner > self.lanes

    def _argument(self, v: Var) -> str:
        """The name of the address of a value's memory."""
        key: Any = v if v in self.has_place or v not in self.nest.made else ("scratch", v)
        if key not in self.names:
            self.names[key] = f"%p{len(self.arguments)}"
            self.arguments.append(key)
        return self.names[key]

    def _write(self, m: Member) -> Read:
        axes = len(self.nest.space)
        if m.out not in self.has_place and self._keeps(m):  # scratch: one row
            return Read(m.out, 0, (0,) * (axes - 1) + (1,))
        return Read(m.out, m.offset, m.write).over(axes)

    def _as_stored(self, x: Read) -> Read:
        """A read of a value that was kept for a later pass, from where it is kept."""
        maker = self.nest.made.get(x.base)
        return x if maker is None or maker.alone else self._write(maker)

    def _key(self, x: Read) -> tuple[Any, ...]:
        return (x.base, x.offset, self.space.strides(x.over(len(self.nest.space)).strides)[:-1])

    def _row_pointers(self) -> None:
        """The address at which every operand begins in this row."""
        for m in self.nest.members:
            wanted = [self._as_stored(r) for r in m.reads if self._is_loaded(r, m)]
            if m.combine is not None or m.alone or m.out in self.has_place or self._keeps(m):
                joined_here = m.combine is not None and m.out not in self.has_place
                if not joined_here:
                    wanted.append(self._write(m))
            for x in wanted:
                key = self._key(x)
                if key not in self.pointers:
                    self.pointers[key] = self._row_pointer(x, key[2])
        for m in self.nest.members:  # before anything is stored, and where all passes see it
            for x in m.reads:
                if self._is_loaded(x, m) and (self.nest.is_row(m) or not self._inner(x)):
                    self._load(x, None)

    def _is_loaded(self, x: Read, m: Member) -> bool:
        if x.base in self.constants:
            return False
        maker = self.nest.made.get(x.base)
        if maker is None or maker.alone:
            return True
        if maker.combine or self.nest.is_row(maker) or self.nest.is_row(m):
            return False
        return self.inner > self.lanes and self.stages.of[m] > self.stages.of[maker]

    def _row_pointer(self, x: Read, strides: tuple[int, ...]) -> str:
        d = x.base.aval.dtype.short
        at = self._argument(x.base)
        if x.offset:
            at = self.w.emit(f"getelementptr {stored(d)}, ptr {at}, i64 {x.offset}", "r")
        for counter, stride in zip(self.counters, strides, strict=True):
            if stride:
                step = self.w.emit(f"mul i64 {counter}, {stride}")
                at = self.w.emit(f"getelementptr {stored(d)}, ptr {at}, i64 {step}", "r")
        return at

    def _inner(self, x: Read) -> int:
        strides = self.space.strides(x.over(len(self.nest.space)).strides)
        return strides[-1] if strides else 0

    def _pointer(self, x: Read, s: Segment) -> str:
        """The address of the first element of a segment."""
        at, stride = self.pointers[self._key(x)], self._inner(x)
        if s.index == "0" or not stride:
            return at
        d = stored(x.base.aval.dtype.short)
        index = s.index
        if stride != 1:
            index = self.w.emit(f"mul i64 {s.index}, {stride}")
        return self.w.emit(f"getelementptr {d}, ptr {at}, i64 {index}", "r")

    def _load(self, x: Read, s: Segment | None) -> Value:
        x = self._as_stored(x)
        d = x.base.aval.dtype.short
        if s is None or not self._inner(x):
            key = self._key(x)
            if key not in self.row_loads:
                self.row_loads[key] = self._load_one(self.pointers[key], d)
            value = self.row_loads[key]
            return value if s is None else self._spread(value, s)
        key = ("load", *self._key(x), self._inner(x))
        if key not in s.spread:  # type: ignore[comparison-overlap]
            s.spread[key] = self._load_at(self._pointer(x, s), x, s, d)  # type: ignore[index]
        return s.spread[key]  # type: ignore[index]

    def _load_one(self, pointer: str, d: str) -> Value:
        kind = f"<1 x {stored(d)}>"
        return self._truth(self.w.emit(f"load {kind}, ptr {pointer}, align {SIZES[d]}"), d, 1)

    def _truth(self, name: str, d: str, lanes: int) -> Value:
        if d == "bool":
            name = self.w.emit(f"icmp ne <{lanes} x i8> {name}, zeroinitializer")
        return Value(name, d)

    def _load_at(self, pointer: str, x: Read, s: Segment, d: str) -> Value:
        stride, n, element = self._inner(x), s.lanes, stored(d)
        kind = f"<{n} x {element}>"
        if stride == 1:
            if not s.masked:
                made = self.w.emit(f"load {kind}, ptr {pointer}, align {SIZES[d]}")
            elif self._masks(d):
                function = f"@llvm.masked.load.v{n}{_suffix(d)}.p0"
                self.w.declares.add(f"declare {kind} {function}(ptr, <{n} x i1>, {kind})")
                made = self.w.emit(
                    f"call {kind} {function}(ptr align {SIZES[d]} {pointer},"
                    f" <{n} x i1> {mask(n, s.valid)}, {kind} zeroinitializer)"
                )
            else:
                short = f"<{s.valid} x {element}>"
                made = self.w.emit(f"load {short}, ptr {pointer}, align {SIZES[d]}")
                picks = ", ".join(f"i32 {min(j, s.valid)}" for j in range(n))
                made = self.w.emit(
                    f"shufflevector {short} {made}, {short} zeroinitializer, <{n} x i32> <{picks}>"
                )
            return self._truth(made, d, n)
        if stride == -1 and not s.masked and n > 1:
            back = self.w.emit(f"getelementptr {element}, ptr {pointer}, i64 {1 - n}")
            made = self.w.emit(f"load {kind}, ptr {back}, align {SIZES[d]}")
            picks = ", ".join(f"i32 {n - 1 - j}" for j in range(n))
            made = self.w.emit(f"shufflevector {kind} {made}, {kind} poison, <{n} x i32> <{picks}>")
            return self._truth(made, d, n)
        return self._truth(self._picked(pointer, stride, s, element, d), d, n)

    def _picked(self, pointer: str, stride: int, s: Segment, element: str, d: str) -> str:
        """Elements that lie apart, one by one."""
        n, kind = s.lanes, f"<{s.lanes} x {element}>"
        made = "zeroinitializer" if s.masked else "poison"
        for j in range(s.valid):
            at = pointer
            if j:
                at = self.w.emit(f"getelementptr {element}, ptr {pointer}, i64 {j * stride}")
            one = self.w.emit(f"load {element}, ptr {at}, align {SIZES[d]}")
            made = self.w.emit(f"insertelement {kind} {made}, {element} {one}, i32 {j}")
        return made if s.valid else splat(0, d, n)

    def _masks(self, d: str) -> bool:
        """Whether the processor loads and stores a part of a vector of this type."""
        return self.target.name == "avx512" or (self.target.name == "avx2" and SIZES[d] >= 4)

    def _store_at(self, x: Read, s: Segment, value: Value) -> None:
        pointer, stride, d = self._pointer(x, s), self._inner(x), value.dtype
        n, element = s.lanes, stored(d)
        kind, name = f"<{n} x {element}>", value.name
        if d == "bool":
            name = self.w.emit(f"zext <{n} x i1> {name} to {kind}")
        if stride == 1 or s.valid == 1:
            if not s.masked:
                self.w.do(f"store {kind} {name}, ptr {pointer}, align {SIZES[d]}")
            elif self._masks(d):
                function = f"@llvm.masked.store.v{n}{_suffix(d)}.p0"
                self.w.declares.add(f"declare void {function}({kind}, ptr, <{n} x i1>)")
                self.w.do(
                    f"call void {function}({kind} {name}, ptr align {SIZES[d]} {pointer},"
                    f" <{n} x i1> {mask(n, s.valid)})"
                )
            else:
                short = f"<{s.valid} x {element}>"
                picks = ", ".join(f"i32 {j}" for j in range(s.valid))
                part = self.w.emit(
                    f"shufflevector {kind} {name}, {kind} poison, <{s.valid} x i32> <{picks}>"
                )
                self.w.do(f"store {short} {part}, ptr {pointer}, align {SIZES[d]}")
            return
        for j in range(s.valid):
            one = self.w.emit(f"extractelement {kind} {name}, i32 {j}")
            at = self.w.emit(f"getelementptr {element}, ptr {pointer}, i64 {j * stride}")
            self.w.do(f"store {element} {one}, ptr {at}, align {SIZES[d]}")

    def _store_row(self, m: Member, value: Value) -> None:
        self._store_one(self.pointers[self._key(self._write(m))], value)

    def _store_one(self, pointer: str, value: Value) -> None:
        d, name = value.dtype, value.name
        if d == "bool":
            name = self.w.emit(f"zext <1 x i1> {name} to <1 x i8>")
        self.w.do(f"store <1 x {stored(d)}> {name}, ptr {pointer}, align {SIZES[d]}")

    def _spread(self, value: Value, s: Segment) -> Value:
        """A value of the row at every lane."""
        if value.name not in s.spread:
            d = value.dtype
            one = vector(d, 1)
            if s.lanes == 1:
                s.spread[value.name] = value
            else:
                made = self.w.emit(
                    f"shufflevector {one} {value.name}, {one} poison,"
                    f" <{s.lanes} x i32> zeroinitializer"
                )
                s.spread[value.name] = Value(made, d)
                s.alone[made] = value
        return s.spread[value.name]


def _suffix(d: str) -> str:
    return d if d in ("f32", "f64", "f16") else stored(d)


def mask(lanes: int, valid: int) -> str:
    """Which lanes count, as a constant."""
    return "<" + ", ".join("i1 true" if j < valid else "i1 false" for j in range(lanes)) + ">"
