"""A nest of loops as a function in LLVM IR, with vectors along the innermost loop.

A row that fits into one vector is a stretch of code in which values stay in registers from one pass
to the next; a longer one has a loop per pass, and a shorter vector at its end.
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
from clearprop.jit.rowmemory import Segment, mask
from clearprop.jit.rowsums import RowSums
from clearprop.jit.target import Target
from clearprop.jit.writer import Carried, splat, vector

FEW_ROUNDS = 4  # rounds of a loop up to which what is left is worth a vector of its own


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


class LoopWriter(RowSums):
    """Writes one nest. `has_place`: values that must be stored, `constants`: known numbers;
    `parts`: a function for some rounds of the outermost loop, if that can be; `apart`: nothing is
    written to memory that is read, so that elements may be worked out twice.
    """

    def __init__(
        self,
        nest: Nest,
        has_place: set[Var],
        constants: dict[Var, Any],
        target: Target,
        parts: bool = False,
        apart: bool = False,
    ) -> None:
        super().__init__(nest, has_place, constants, target)
        self.apart = apart and not parts
        self.checks = False
        self.row_env: dict[Var, Value] = {}
        self.units = self._units() if parts else 0

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

    def _long_pass(self, stage: int) -> dict[Member, tuple[Value, int]]:
        """A pass over a row that is longer than a vector."""
        rounds, rest = divmod(self.inner, self.lanes)
        sums = {m: self._sum_type(m, rounds) for m in self._along(stage)}
        carried = {
            m: Carried(vector(d, self.lanes), self._identity(m, d, self.lanes).name)
            for m, d in sums.items()
        }
        if rest and self.apart and not any(m.combine for m in self.stages.members(stage)):
            self._overlapping(stage, rounds)
            return {}
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

    def _overlapping(self, stage: int, rounds: int) -> None:
        """A pass whose last vector begins early enough to be a whole one: there is but one copy of
        the code for LLVM to work on.
        """
        with self.w.loop(rounds + 1) as i:
            at = self.w.emit(f"mul i64 {i}, {self.lanes}")
            last = self.inner - self.lanes
            early = self.w.emit(f"icmp ult i64 {at}, {last}")
            at = self.w.emit(f"select i1 {early}, i64 {at}, i64 {last}")
            self._pass(self._segment(at, self.lanes), stage, {})

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

    def _pass(
        self,
        s: Segment,
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
            self._store_at(self._write(m), s, value)
        return joined

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

    def _row_members(self, stage: int) -> None:
        for m in self.stages.row_members(stage):
            value = self._value(m, None)
            if m.combine:
                self._accumulate_row(m, value)
                continue
            self.row_env[m.out] = value
            if m.out in self.has_place:
                self._store_row(m, value)

    def _value(self, m: Member, s: Segment | None) -> Value:
        """tree(operands), on a segment or (None) for the row."""
        vectors = self.row if s is None else s.vectors
        inputs = [self._operand(x, s) for x in m.operands]
        want = m.out.aval.dtype.short

        def call(name: str, args: list[Operand]) -> Operand:
            if name == "checked":
                return self._checked(args, s)
            return vectors._call(name, args)

        return vectors.typed(_fold(m.tree, inputs, call), want)

    def _operand(self, x: Read | Counter, s: Segment | None) -> Value:
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

    def _counter(self, x: Counter, s: Segment | None) -> Value:
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

    def _checked(self, args: list[Operand], s: Segment | None) -> Value:
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
            bad = self.w.emit(f"and <{vectors.lanes} x i1> {bad}, {mask(vectors.lanes, valid)}")
        any_bad = self.w.call("i1", f"@llvm.vector.reduce.or.v{vectors.lanes}i1",
                              f"<{vectors.lanes} x i1> {bad}")  # fmt: skip
        status = self.names.setdefault("status", "%status")
        old = self.w.emit(f"load i32, ptr {status}")
        new = self.w.emit(f"select i1 {any_bad}, i32 1, i32 {old}")
        self.w.do(f"store i32 {new}, ptr {status}")


def _fold(tree: Tree, inputs: list[Value], call: Callable[..., Operand]) -> Operand:
    """Work a tree out; the arguments of `checked` reach `call` as they are."""
    if isinstance(tree, Input):
        return inputs[tree.index]
    if isinstance(tree, Constant):
        return tree
    return call(tree.name, [_fold(a, inputs, call) for a in tree.args])
