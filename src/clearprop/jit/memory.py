"""Where every value of a schedule lives: in the memory of an input that it is written to, in an
output, or in the arena, a block in which values share places when their lives do not overlap.

Values that only members of one nest see live in registers and have no place.
"""

from __future__ import annotations

import bisect
import heapq
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from clearprop.core import TABLE, Aval
from clearprop.graph import Equation, Graph, Var
from clearprop.jit.access import Access, whole
from clearprop.jit.members import copy
from clearprop.jit.nest import Nest
from clearprop.jit.schedule import Callback, Kernel, Product, Schedule, makes, reads_of
from clearprop.jit.special import Special
from clearprop.jit.stages import Stages, crossing

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Byte `offset` behind the address in `slot` of the table that a step is called with."""

    slot: int
    offset: int = 0


@dataclass(eq=False)
class Plan:
    """Slots are, in this order: inputs, outputs, constants, the arena. `scratch` has the place of
    values that a nest keeps for a later pass over the same row.
    """

    schedule: Schedule
    places: dict[Var, Place] = field(default_factory=dict)
    scratch: dict[tuple[int, Var], Place] = field(default_factory=dict)
    constants: list[np.ndarray] = field(default_factory=list)
    arena: int = 0  # bytes
    direct: int = 0  # values that are worked out right where they are wanted

    @property
    def graph(self) -> Graph:
        return self.schedule.graph

    @property
    def slots(self) -> int:
        graph = self.graph
        return len(graph.inputs) + len(graph.outputs) + len(self.constants) + 1


def plan(schedule: Schedule) -> Plan:
    """Find a place for every value; adds copies to the schedule where a value is wanted in a place
    that it cannot be worked out in.
    """
    return _Planner(schedule).run()


class _Planner:
    def __init__(self, schedule: Schedule) -> None:
        self.plan = Plan(schedule)
        self.schedule = schedule
        self.kernels = schedule.kernels
        self.graph = schedule.graph
        self.places = self.plan.places

    def run(self) -> Plan:
        graph, places = self.graph, self.places
        for i, v in enumerate(graph.inputs):
            places[v] = Place(i)
        self._settle()
        self._constants()
        self._arena()
        return self.plan

    # ------------------------------------------------------------------ results
    def _settle(self) -> None:
        """Give results the memory in which they are wanted, or have them copied there."""
        graph, access = self.graph, self.schedule.access
        made = self.makers = _index(self.kernels, makes)
        first_output = len(graph.inputs)
        candidates: list[tuple[Var, Var]] = []  # input, value that may be worked out in it
        copies: list[tuple[Access, Place]] = []
        taken: set[Var] = set()
        for x, v in graph.writes.items():
            found = access[v]
            if found.base in made and found.plain and _all(found) and found.base not in taken:
                taken.add(found.base)
                candidates.append((x, found.base))
            elif found.base is not x or not found.plain:
                copies.append((found, self.places[x]))
        later = []
        for i, v in enumerate(graph.outputs):
            found, place = access[v], Place(first_output + i)
            if found.base in made and found.plain and _all(found) and found.base not in taken:
                taken.add(found.base)
                self.places[found.base] = place
                self.plan.direct += 1
            else:
                later.append((found, place))
        written = set(graph.writes)
        early = [(a, p) for a, p in copies if a.base in written]
        copies = [(a, p) for a, p in copies if a.base not in written]
        for found, place in later:
            self._copy(found, place)
        waiting = [(self._copy(found, None), place) for found, place in early]
        self.readers = _index(self.kernels, lambda kernel: [r.base for r in reads_of(kernel)])
        for x, v in candidates:
            if self._is_safe(x, v):
                self.places[v] = self.places[x]
                self.plan.direct += 1
            else:
                copies.append((whole(v), self.places[x]))
        for found, place in [*copies, *((whole(v), p) for v, p in waiting)]:
            self._copy(found, place)

    def _copy(self, x: Access, place: Place | None) -> Var:
        """A kernel at the end that brings x to a place, packed."""
        equation = _clone_of(x)
        out = equation.output
        member = copy(equation, x, out)
        self.kernels.append(Nest(member.space, [member], {out: member}))
        if place is not None:
            self.places[out] = place
        return out

    def _is_safe(self, x: Var, v: Var) -> bool:
        """Whether v may be worked out in the memory of x: nobody may read the old x after, and in
        the kernel that makes v only the very element may be read that is overwritten.
        """
        makers, readers = self.makers[v], self.readers.get(x, [])
        at, last = makers[0], max(readers, default=-1)
        if len(makers) > 1:
            return last < at
        if last > at:
            return False
        kernel = self.kernels[at]
        if isinstance(kernel, Product):
            return last < at
        if isinstance(kernel, Special):
            return last < at or kernel.may_replace(x)
        if isinstance(kernel, Callback):
            return True
        maker = kernel.made.get(v)
        reading = [(m, r) for m in kernel.members for r in m.reads if r.base is x]
        if not reading:
            return True
        if maker is None or maker.combine or kernel.is_row(maker):
            return False
        stages = Stages(kernel)
        return all(
            kernel.forwards(r.over(len(kernel.space)), maker)
            and not kernel.is_row(m)
            and stages.of[m] <= stages.of[maker]
            for m, r in reading
        )

    # ------------------------------------------------------------------ constants and arena
    def _constants(self) -> None:
        first = len(self.graph.inputs) + len(self.graph.outputs)
        for v, array in self.graph.constants.items():
            if v not in self.places:
                self.places[v] = Place(first + len(self.plan.constants))
                self.plan.constants.append(np.ascontiguousarray(array))

    def _arena(self) -> None:
        """First fit: every value gets the lowest place that is free while it lives."""
        slot = self.plan.slots - 1
        begin, end = self._lives()
        order = sorted(begin, key=lambda v: (begin[v], -size_of(v)))
        gaps = _Gaps()
        ends: list[tuple[int, int, int]] = []  # last kernel, first and last byte
        for v in order:
            while ends and ends[0][0] < begin[v]:
                gaps.give(*heapq.heappop(ends)[1:])
            size = _rounded(size_of(v))
            at = gaps.take(size)
            heapq.heappush(ends, (end[v], at, at + size))
            self.places[v] = Place(slot, at)
            self.plan.arena = max(self.plan.arena, at + size)
        base, free = self.plan.arena, 0
        for at, kernel in enumerate(self.kernels):  # rows that a nest keeps: behind all the rest
            here = 0
            for v in crossing(kernel) if isinstance(kernel, Nest) else ():
                if v not in self.places:
                    self.plan.scratch[at, v] = Place(slot, base + here)
                    here += _rounded(kernel.space[-1] * v.aval.dtype.np.itemsize)  # type: ignore[union-attr]
            if isinstance(kernel, Special) and kernel.scratch:
                self.plan.scratch[at, kernel.out] = Place(slot, base)
                here = kernel.scratch
            free = max(free, here)
        self.plan.arena = base + free

    def _lives(self) -> tuple[dict[Var, int], dict[Var, int]]:
        """The first and the last kernel for which a value in the arena must be there."""
        begin: dict[Var, int] = {}
        end: dict[Var, int] = {}
        for at, kernel in enumerate(self.kernels):
            in_parts = _in_parts(kernel) if isinstance(kernel, Nest) else None
            for v in makes(kernel):
                begin.setdefault(v, at)
                if in_parts is None or v in in_parts:
                    end[v] = at
            for read in reads_of(kernel):
                end[read.base] = at
            if isinstance(kernel, Nest):
                for v, maker in kernel.made.items():
                    if kernel.is_barrier(maker) and v not in end:
                        end[v] = at  # adds up in memory, even if nobody reads it
        begin = {v: at for v, at in begin.items() if v in end and v not in self.places}
        return begin, end


class _Gaps:
    """Memory that is free: intervals in order, of which the last has no end."""

    def __init__(self) -> None:
        self.first = [0]
        self.last = [sys.maxsize]

    def take(self, size: int) -> int:
        """The lowest place for so many bytes."""
        i = next(i for i, at in enumerate(self.first) if self.last[i] - at >= size)
        at = self.first[i]
        self.first[i] += size
        if self.first[i] == self.last[i]:
            del self.first[i], self.last[i]
        return at

    def give(self, first: int, last: int) -> None:
        """Bytes are free again."""
        i = bisect.bisect_left(self.first, first)
        if i and self.last[i - 1] == first:
            i -= 1
            first = self.first.pop(i)
            del self.last[i]
        if self.first[i] == last:
            self.first[i] = first
        else:
            self.first.insert(i, first)
            self.last.insert(i, last)


def _index(kernels: list[Kernel], of: Callable[[Kernel], Iterable[Var]]) -> dict[Var, list[int]]:
    """The numbers of the kernels of which `of` names a value."""
    out: dict[Var, list[int]] = {}
    for at, kernel in enumerate(kernels):
        for v in dict.fromkeys(of(kernel)):
            out.setdefault(v, []).append(at)
    return out


def _in_parts(kernel: Nest) -> set[Var]:
    """What members write to only a part of."""
    return {m.out for m in kernel.members if m.alone}


def _all(x: Access) -> bool:
    """Whether an access reaches all of its base."""
    n = 1
    for d in x.shape:
        n *= d
    return n == x.base.aval.size


def _rounded(size: int) -> int:
    return -(-max(size, 1) // ALIGNMENT) * ALIGNMENT


def size_of(v: Var) -> int:
    """The bytes of a value."""
    return v.aval.size * v.aval.dtype.np.itemsize


def _clone_of(x: Access) -> Equation:
    """An equation that stands for the copy of x."""
    return Equation(TABLE["clone"], (x.base,), {}, (Var(Aval(x.shape, x.base.aval.dtype)),))
