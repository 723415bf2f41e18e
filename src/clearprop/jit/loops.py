"""A nest of loops as a function in LLVM IR, with vectors along the innermost loop.

A row that fits into one vector is a stretch of code in which values stay in registers from one pass
to the next; a longer one has a loop per pass, and a shorter vector at its end. What is added up
along a row is kept in registers, what is added up over rows in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from clearprop.graph import Var
from clearprop.graph.formula import Constant, Input, Tree
from clearprop.jit.expressions import Operand, Value, Vectors
from clearprop.jit.nest import Counter, Member, Nest, Read
from clearprop.jit.space import space_of
from clearprop.jit.stages import Stages, crossing
from clearprop.jit.target import Target
from clearprop.jit.writer import SIZES, Carried, Writer, number, splat, stored, vector

FEW_ROUNDS = 4  # rounds of a loop up to which what is left is worth a vector of its own
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


@dataclass(eq=False)
class LoopCode:
    """What was written: a function without its name, and what goes into its arguments (`True` for
    the address of the status).
    """

    body: str
    arguments: list[Var | tuple[str, Var]]
    declares: set[str]
    math: set[tuple[str, str, int]]
    checks: bool
    units: int = 0  # with `parts`: how many rounds there are, of which %from to %to are done
    partial: list[Member] = field(default_factory=list)  # adds up only what these rounds give


@dataclass
class _Segment:
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


class _Sum(Carried):
    """What is added up over rows, in a vector of so many lanes."""

    def __init__(self, kind: str, start: str, lanes: int) -> None:
        super().__init__(kind, start)
        self.lanes = lanes


class LoopWriter:
    """Writes one nest. `has_place`: values that must be stored, `constants`: known numbers;
    `parts`: a function for some rounds of the outermost loop, if that can be.
    """

    def __init__(
        self,
        nest: Nest,
        has_place: set[Var],
        constants: dict[Var, Any],
        target: Target,
        parts: bool = False,
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
        self.checks = False
        self.counters: list[str] = []
        self.pointers: dict[Any, str] = {}
        self.row_env: dict[Var, Value] = {}
        self.row_loads: dict[tuple[Any, ...], Value] = {}
        self.crossing = set(crossing(nest))
        self.inner = self.space.sizes[-1] if self.space.sizes else 1
        self.lanes = self._lanes()
        self.whole = Vectors(self.w, self.lanes)
        self.sums = self._sums()
        self.units = self._units() if parts else 0

    # ------------------------------------------------------------------ the whole
    def write(self) -> LoopCode:
        if 0 not in self.nest.space:
            self._clear_accumulators()
            self._nested(list(self.space.sizes[:-1]), self._one_row)
            self._store_sums()
        self.w.do("ret void")
        declares = set(self.w.declares)
        partial = [m for m in self.nest.members if m.combine and self._adds_up_in_memory(m)]
        return LoopCode(
            "\n".join(self.w.lines), self.arguments, declares, self.math, self.checks, self.units,
            partial,
        )  # fmt: skip

    def _units(self) -> int:
        """Rounds that parts can be made of: of the outermost loop; vectors, if there is but one."""
        if 0 in self.nest.space or len(self.space.sizes) == 0:
            return 0
        if len(self.space.sizes) > 1:
            return self.space.sizes[0]
        if any(m.combine for m in self.nest.members) or self.stages.count > 1:
            return 0
        return self.inner // self.lanes

    def _nested(self, sizes: list[int], body: Callable[[], None]) -> None:
        if not sizes:
            body()
            return
        bounds: tuple[int | str, int | str] = (0, sizes[0])
        if self.units and not self.counters:
            bounds = ("%from", "%to")
        with self.w.loop(bounds[1], 1, list(self.sums.values()), bounds[0]) as i:
            self.counters.append(i)
            self._nested(sizes[1:], body)
            self.counters.pop()

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

    def _sums(self) -> dict[Member, _Sum]:
        """What is added up over the rows of a single loop, if a row is one vector: in registers."""
        out: dict[Member, _Sum] = {}
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
                out[m] = _Sum(vector(d, lanes), self._identity(m, d, lanes).name, lanes)
        return out

    def _store_sums(self) -> None:
        for m, c in self.sums.items():
            value = Value(c.name, m.out.aval.dtype.short)
            if c.lanes == 1:
                self._store_row(m, value)
            else:
                self._store_at(self._write(m), self._segment("0", self.inner), value)

    # ------------------------------------------------------------------ one row
    def _one_row(self) -> None:
        self.pointers.clear()
        self.row_env.clear()
        self.row_loads.clear()
        self._row_pointers()
        self._row_members(-1)
        if self.inner <= self.lanes:
            segment = self._segment("0", self.inner)
            for stage in range(self.stages.count):
                sums = self._pass(segment, stage, None)
                self._finish(stage, sums)
            return
        for stage in range(self.stages.count):
            self._finish(stage, self._long_pass(stage))

    def _segment(self, index: str, valid: int, lanes: int = 0) -> _Segment:
        vectors = Vectors(self.w, lanes or self.lanes)
        vectors.math = self.math
        return _Segment(vectors, index, valid)

    def _long_pass(self, stage: int) -> dict[Member, tuple[Value, int]]:
        """A pass over a row that is longer than a vector."""
        rounds, rest = divmod(self.inner, self.lanes)
        sums = {m: self._sum_type(m, rounds) for m in self._along(stage)}
        carried = {
            m: Carried(vector(d, self.lanes), self._identity(m, d, self.lanes).name)
            for m, d in sums.items()
        }
        one_loop = self.units and len(self.space.sizes) == 1
        if rounds == 1 and not one_loop:
            totals = self._pass(self._segment("0", self.lanes), stage, sums)
        else:
            bounds: tuple[int | str, int | str] = (0, rounds * self.lanes)
            if one_loop:
                names = [self.w.emit(f"mul i64 {x}, {self.lanes}") for x in ("%from", "%to")]
                bounds = (names[0], names[1])
            with self.w.loop(bounds[1], self.lanes, list(carried.values()), bounds[0]) as i:
                before = {m: Value(c.name, sums[m]) for m, c in carried.items()}
                new = self._pass(self._segment(i, self.lanes), stage, sums, before)
                for m, c in carried.items():
                    c.next = new[m].name
            totals = {m: Value(c.name, sums[m]) for m, c in carried.items()}
        if rest:
            lanes = self.lanes
            while rounds <= FEW_ROUNDS and lanes // 2 >= rest:
                lanes //= 2
            last = self._segment(str(rounds * self.lanes), rest, lanes)
            with self._if_last(rounds) if one_loop else nullcontext():
                totals = self._pass(last, stage, sums, totals)
        return totals  # type: ignore[return-value]

    @contextmanager
    def _if_last(self, rounds: int) -> Iterator[None]:
        """Only for the part that ends with the last round."""
        yes, after = self.w.fresh("last"), self.w.fresh("after")
        is_last = self.w.emit(f"icmp eq i64 %to, {rounds}")
        self.w.do(f"br i1 {is_last}, label %{yes}, label %{after}")
        self.w.start(yes)
        yield
        self.w.block(after)

    def _along(self, stage: int) -> list[Member]:
        """Members that are joined along the row in this pass."""
        return [m for m in self.stages.members(stage) if self._joins_row(m)]

    def _joins_row(self, m: Member) -> bool:
        return (
            m.combine is not None
            and bool(self.nest.space)
            and (self.space.axes[-1][-1] in m.reduced)
        )

    def _sum_type(self, m: Member, rounds: int) -> str:
        d = m.out.aval.dtype.short
        return "f64" if d == "f32" and m.combine == "add" and rounds >= LONG_SUM else d

    def _pass(
        self,
        s: _Segment,
        stage: int,
        types: dict[Member, str] | None,
        before: dict[Member, Value] | None = None,
    ) -> dict[Member, Value]:
        """Work out the members of a pass on one segment; what is joined along the row so far."""
        joined: dict[Member, Value] = {}
        stores: list[tuple[Member, Value]] = []
        for m in self.stages.members(stage):
            value = self._value(m, s)
            if m.combine is None:
                s.env[m.out] = value
                if m.alone or m.out in self.has_place or self._keeps(m):
                    stores.append((m, value))
            elif self._joins_row(m):
                d = types[m] if types else m.out.aval.dtype.short
                value = self._only_valid(s, m, s.vectors.cast(value, d))
                if before is not None:
                    value = self._combine(self.whole, m, before[m], self._widened(m, value, s))
                joined[m] = value
            else:
                self._accumulate(m, s, value)
        for m, value in stores:
            self._store_segment(m, s, value)
        return joined

    def _keeps(self, m: Member) -> bool:
        return m.out in self.crossing and self.inner > self.lanes

    def _finish(self, stage: int, sums: dict[Any, Any]) -> None:
        """After a pass: what was joined along the row is a value of the row now."""
        for m, value in sums.items():
            total = self._across(m, value)
            total = self.row.cast(total, m.out.aval.dtype.short)
            if self.nest.is_barrier(m) and self._outer_reduced(m):
                self._accumulate_row(m, total)
            else:
                self.row_env[m.out] = total
                if m.out in self.has_place:
                    self._store_row(m, total)
        self._row_members(stage)

    def _outer_reduced(self, m: Member) -> bool:
        inner = set(self.space.axes[-1])
        return any(axis not in inner for axis in m.reduced)

    def _row_members(self, stage: int) -> None:
        for m in self.stages.row_members(stage):
            value = self._value(m, None)
            if m.combine:
                self._accumulate_row(m, value)
                continue
            self.row_env[m.out] = value
            if m.out in self.has_place:
                self._store_row(m, value)

    # ------------------------------------------------------------------ values
    def _value(self, m: Member, s: _Segment | None) -> Value:
        """tree(operands), on a segment or (None) for the row."""
        vectors = self.row if s is None else s.vectors
        inputs = [self._operand(x, s) for x in m.operands]
        want = m.out.aval.dtype.short

        def call(name: str, args: list[Operand]) -> Operand:
            if name == "checked":
                return self._checked(args, s)
            return vectors._call(name, args)

        return vectors.typed(_fold(m.tree, inputs, call), want)

    def _operand(self, x: Read | Counter, s: _Segment | None) -> Value:
        if isinstance(x, Counter):
            return self._counter(x, s)
        v = x.base
        if v in self.constants:
            vectors = self.row if s is None else s.vectors
            return vectors.constant(self.constants[v], v.aval.dtype.short)
        if v in self.nest.made and not self.nest.made[v].alone:
            if s is not None and v in s.env:
                return s.env[v]
            if v in self.row_env:
                return self.row_env[v] if s is None else self._spread(self.row_env[v], s)
        return self._load(x, s)

    def _spread(self, value: Value, s: _Segment) -> Value:
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

    def _counter(self, x: Counter, s: _Segment | None) -> Value:
        loop = self.space.loop_of(x.axis)
        if loop == len(self.space.sizes) - 1 and s is not None:
            lanes = s.lanes
            first = self._single("i64", s.index)
            start = self._spread(first, s).name if lanes > 1 else first.name
            steps = ", ".join(f"i64 {j}" for j in range(lanes))
            return Value(self.w.emit(f"add <{lanes} x i64> {start}, <{steps}>"), "i64")
        one = self._single("i64", self.counters[loop])
        return one if s is None else self._spread(one, s)

    def _single(self, d: str, name: str) -> Value:
        kind = vector(d, 1)
        text = f"insertelement {kind} poison, {kind[5:-1]} {name}, i32 0"
        return Value(self.w.emit(text), d)

    def _checked(self, args: list[Operand], s: _Segment | None) -> Value:
        """An index; the status is set if it is out of range."""
        index, info = args
        assert isinstance(index, Value) and isinstance(info, Constant)
        size = info.value[0]
        vectors = self.row if s is None else s.vectors
        self.checks = True
        if s is not None and index.name in s.alone:  # the same at every lane: look once
            self._check(self.row, s.alone[index.name], size, 1)
        else:
            self._check(vectors, index, size, s.valid if s else 1)
        return vectors.cast(index, "i64")

    def _check(self, vectors: Vectors, index: Value, size: int, valid: int) -> None:
        wide = vectors.cast(index, "i64")
        bad = self.w.emit(
            f"icmp uge <{vectors.lanes} x i64> {wide.name}, {splat(size, 'i64', vectors.lanes)}"
        )
        if valid < vectors.lanes:
            bad = self.w.emit(f"and <{vectors.lanes} x i1> {bad}, {_mask(vectors.lanes, valid)}")
        any_bad = self.w.call("i1", f"@llvm.vector.reduce.or.v{vectors.lanes}i1",
                              f"<{vectors.lanes} x i1> {bad}")  # fmt: skip
        status = self.names.setdefault("status", "%status")
        old = self.w.emit(f"load i32, ptr {status}")
        new = self.w.emit(f"select i1 {any_bad}, i32 1, i32 {old}")
        self.w.do(f"store i32 {new}, ptr {status}")

    # ------------------------------------------------------------------ joining
    def _identity(self, m: Member, d: str, lanes: int) -> Value:
        assert m.combine
        return Value(splat(IDENTITY[m.combine](d), d, lanes), d)

    def _adds_up_in_memory(self, m: Member) -> bool:
        over_rows = self.nest.is_barrier(m) and self._outer_reduced(m)
        return self.nest.is_row(m) or not self._joins_row(m) or over_rows

    def _combine(self, vectors: Vectors, m: Member, a: Value, b: Value) -> Value:
        assert m.combine
        return vectors.apply(m.combine, [a, b])

    def _only_valid(self, s: _Segment, m: Member, value: Value) -> Value:
        """The identity at lanes that lie behind the end of the row."""
        if not s.masked:
            return value
        kind = vector(value.dtype, s.lanes)
        text = (
            f"select <{s.lanes} x i1> {_mask(s.lanes, s.valid)}, {kind} {value.name},"
            f" {kind} {self._identity(m, value.dtype, s.lanes).name}"
        )
        return Value(self.w.emit(text), value.dtype)

    def _widened(self, m: Member, value: Value, s: _Segment) -> Value:
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

    def _accumulate(self, m: Member, s: _Segment, value: Value) -> None:
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

    # ------------------------------------------------------------------ memory
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

    def _pointer(self, x: Read, s: _Segment) -> str:
        """The address of the first element of a segment."""
        at, stride = self.pointers[self._key(x)], self._inner(x)
        if s.index == "0" or not stride:
            return at
        d = stored(x.base.aval.dtype.short)
        index = s.index
        if stride != 1:
            index = self.w.emit(f"mul i64 {s.index}, {stride}")
        return self.w.emit(f"getelementptr {d}, ptr {at}, i64 {index}", "r")

    def _load(self, x: Read, s: _Segment | None) -> Value:
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

    def _load_at(self, pointer: str, x: Read, s: _Segment, d: str) -> Value:
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
                    f" <{n} x i1> {_mask(n, s.valid)}, {kind} zeroinitializer)"
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

    def _picked(self, pointer: str, stride: int, s: _Segment, element: str, d: str) -> str:
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

    def _store_segment(self, m: Member, s: _Segment, value: Value) -> None:
        self._store_at(self._write(m), s, value)

    def _store_at(self, x: Read, s: _Segment, value: Value) -> None:
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
                    f" <{n} x i1> {_mask(n, s.valid)})"
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


def _suffix(d: str) -> str:
    return d if d in ("f32", "f64", "f16") else stored(d)


def _mask(lanes: int, valid: int) -> str:
    return "<" + ", ".join("i1 true" if j < valid else "i1 false" for j in range(lanes)) + ">"


def _fold(tree: Tree, inputs: list[Value], call: Callable[..., Operand]) -> Operand:
    """Work a tree out; the arguments of `checked` reach `call` as they are."""
    if isinstance(tree, Input):
        return inputs[tree.index]
    if isinstance(tree, Constant):
        return tree
    return call(tree.name, [_fold(a, inputs, call) for a in tree.args])
