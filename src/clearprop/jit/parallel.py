"""The text of a step for n threads: large kernels in n parts, small ones by the first thread, and a
barrier wherever one thread needs what another has done.

The parts are fixed: rows of products, rounds of the outermost loop of nests. What a nest adds up
over these rounds, every part adds up in memory of its own, and the first thread joins them in
order. So the bits of a result depend on n, and on nothing that changes from run to run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from clearprop.core import Aval
from clearprop.graph import Equation, Var
from clearprop.graph.formula import Call, Input, Tree
from clearprop.jit.loops import LoopCode, LoopWriter
from clearprop.jit.memory import ALIGNMENT, Place, Plan, size_of
from clearprop.jit.module import PART, Module, ModuleWriter
from clearprop.jit.nest import Member, Nest, Read
from clearprop.jit.products import parts_of
from clearprop.jit.schedule import Callback, Kernel, Product, makes, reads_of, work_of
from clearprop.jit.special import Special
from clearprop.jit.target import Target
from clearprop.jit.workers import DECLARES, FAILED

SMALL = 3e4  # multiplications below which a kernel is not worth a barrier


def write_parallel(plan: Plan, target: Target, n: int) -> tuple[Module, int]:
    """The IR of a planned schedule for n threads, and how much memory the arena must have then."""
    writer = _ParallelWriter(plan, target, n)
    return writer.write(), writer.arena


@dataclass
class _Worker:
    """What one thread does."""

    main: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    slots: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Stretch:
    """Bytes behind the address in a slot, and whether one thread alone (the first) has them."""

    slot: int
    first: int
    last: int
    serial: bool

    def meets(self, other: _Stretch) -> bool:
        """Whether two threads might touch the same bytes."""
        return (
            self.slot == other.slot
            and self.first < other.last
            and other.first < self.last
            and not (self.serial and other.serial)
        )


class _ParallelWriter(ModuleWriter):
    def __init__(self, plan: Plan, target: Target, n: int) -> None:
        super().__init__(plan, target)
        self.n = n
        self.arena = plan.arena
        self.workers = [_Worker() for _ in range(n)]
        self.phase = 0
        self.checked = False
        self.reads: list[_Stretch] = []
        self.writes: list[_Stretch] = []
        self.declares |= DECLARES

    def write(self) -> Module:
        names = [self._kernel(at, k) for at, k in enumerate(self.plan.schedule.kernels)]
        self._barrier(False)
        works = [f"work{p}" for p in range(self.n)]
        entries = []
        for p, name in enumerate(works):
            with self._of(p):
                entries += [*self.parts, self._entry(name, self.calls)]
        pointers = ", ".join(f"ptr @{name}" for name in works)
        entries.append(f"@works = internal constant [{self.n} x ptr] [{pointers}]")
        entries.append(
            "define i32 @step(ptr %table) #0 {\nentry:\n"
            f"  %at = getelementptr ptr, ptr %table, i64 {self.plan.slots + 1}\n"
            "  %pool = load ptr, ptr %at\n"
            "  %status = call i32 @clearprop_launch(ptr %pool, ptr %table, ptr @works)\n"
            "  ret i32 %status\n}"
        )
        return Module(self._text(entries), names)

    @contextmanager
    def _of(self, p: int) -> Iterator[None]:
        """What is written goes to this thread."""
        worker = self.workers[p]
        self.main, self.parts, self.calls = worker.main, worker.parts, worker.calls
        self.slots = worker.slots
        self.prefix = f"w{p}."
        yield
        if len(self.main) > PART:
            self._part()
        worker.main, worker.slots = self.main, self.slots

    # ------------------------------------------------------------------ kernels
    def _kernel(self, at: int, kernel: Kernel) -> str:
        """Write one kernel; the name of its function."""
        if isinstance(kernel, Product) and work_of(kernel) >= SMALL:
            return self._product_in_parts(kernel)
        if isinstance(kernel, Nest) and work_of(kernel) >= SMALL:
            code = self._loops(kernel, parts=True)
            if code.units >= self.n:
                return self._nest_in_parts(at, kernel, code)
        if isinstance(kernel, Special) and work_of(kernel) >= SMALL and _samples(kernel) >= self.n:
            return self._special_in_parts(at, kernel)
        self._meet(kernel, at, serial=True)
        name, self.checked = "", False
        with self._of(0):
            match kernel:
                case Nest():
                    name = self._nest(at, kernel)
                case Product():
                    name = self._product(kernel)
                case Special():
                    name = self._special(at, kernel)
                case Callback():
                    self._callback(at)
        if self.checked:
            self._barrier(True)
        return name

    def _loops(self, nest: Nest, parts: bool = False) -> LoopCode:
        stored = {m.out for m in nest.members if m.out in self.plan.places}
        return LoopWriter(nest, stored, self.constants, self.target, parts).write()

    def _product_in_parts(self, product: Product) -> str:
        self._meet(product, 0, serial=False)
        name = ""
        for p, part in enumerate(parts_of(product, self.n, self.target)):
            with self._of(p):
                name = self._product(product, part)
        return name

    def _nest_in_parts(self, at: int, nest: Nest, code: LoopCode) -> str:
        self._meet(nest, at, serial=False)
        name = self._loop_function(code, ", i64 %from, i64 %to")
        partial = {m.out: m for m in code.partial}
        sums: dict[Var, list[Place]] = {v: [] for v in partial}
        for p in range(self.n):
            bounds = [f"i64 {code.units * q // self.n}" for q in (p, p + 1)]
            with self._of(p):
                given = []
                for v in code.arguments:
                    place = self._place(at, v)
                    if p and (isinstance(v, tuple) or v in partial):
                        place = self._more(_bytes(nest, v))
                    if not isinstance(v, tuple) and v in partial:
                        sums[v].append(place)
                    given.append(self._address(place))
                self._call(name, given + ["ptr %status"] * code.checks + bounds)
                if code.checks:
                    self._stop(at)
        if code.checks:
            self._barrier(True)
        if partial:
            self._barrier(False)
            for v, m in partial.items():
                self._join(m.equation, v, m.combine or "", sums[v])
        return name

    def _special_in_parts(self, at: int, kernel: Special) -> str:
        self._meet(kernel, at, serial=False)
        name, sums = "", []
        count, step = _samples(kernel), size_of(kernel.out) // kernel.out.aval.shape[0]
        for p in range(self.n):
            start, stop = (count * q // self.n for q in (p, p + 1))
            code = kernel.some(stop - start).write(self.target, False)
            self.declares |= code.declares
            self.shared |= code.shared
            name = self._function(code.text, kernel.equation.prim.name)
            out = self.plan.places[kernel.out]
            if kernel.ADDED:
                out = self._more(size_of(kernel.out)) if p else out
                sums.append(out)
            else:
                out = Place(out.slot, out.offset + start * step)
            with self._of(p):
                given = []
                for i, v in enumerate(code.operands[:-1]):
                    place = self.plan.places[v]
                    if i in kernel.SAMPLED:
                        by = start * kernel.inputs[i].strides[0] * v.aval.dtype.np.itemsize
                        place = Place(place.slot, place.offset + by)
                    given.append(self._address(place))
                given.append(self._address(out))
                if code.scratch:
                    own = self._more(kernel.scratch) if p else self.plan.scratch[at, kernel.out]
                    given.append(self._address(own))
                self._call(name, given)
        if sums:
            self._barrier(False)
            self._join(kernel.equation, kernel.out, "add", sums)
        return name

    def _join(self, equation: Equation, v: Var, combine: str, places: list[Place]) -> None:
        """The first thread joins what the parts have added up, in their order."""
        n, d = v.aval.size, v.aval.dtype
        shape = (n,) if n > 1 else ()
        sums = [Var(Aval(shape, d)) for _ in places]
        tree: Tree = Input(0)
        for i in range(1, len(places)):
            tree = Call(combine, (tree, Input(i)))
        stride = (1,) * len(shape)
        reads = tuple(Read(part, 0, stride) for part in sums)
        out = Var(Aval(shape, d))
        member = Member(equation, tree, reads, out, shape, stride)
        code = LoopWriter(Nest(shape, [member], {out: member}), {out}, {}, self.target).write()
        found: dict[Any, Place] = dict(zip([*sums, out], [*places, places[0]], strict=True))
        name = self._loop_function(code)
        with self._of(0):
            self._call(name, [self._address(found[x]) for x in code.arguments])
        size = n * d.np.itemsize
        for place in places:
            self.reads.append(_Stretch(place.slot, place.offset, place.offset + size, True))
        self.writes.append(
            _Stretch(places[0].slot, places[0].offset, places[0].offset + size, True)
        )

    def _more(self, size: int) -> Place:
        """Memory of a thread's own."""
        at = self.arena
        self.arena += -(-max(size, 1) // ALIGNMENT) * ALIGNMENT
        return Place(self.plan.slots - 1, at)

    # ------------------------------------------------------------------ barriers
    def _meet(self, kernel: Kernel, at: int, serial: bool) -> None:
        """A barrier before the kernel, if it touches what another thread has touched since the last
        one.
        """
        reads = [self._stretch(at, r.base, serial) for r in reads_of(kernel)]
        writes = [self._stretch(at, v, serial) for v in makes(kernel)]
        new_reads, new_writes = ([s for s in found if s] for found in (reads, writes))
        if (
            any(a.meets(b) for a in new_reads for b in self.writes)
            or any(a.meets(b) for a in new_writes for b in self.writes)
            or any(a.meets(b) for a in new_writes for b in self.reads)
        ):
            self._barrier(False)
        self.reads += new_reads
        self.writes += new_writes

    def _stretch(self, at: int, v: Var, serial: bool) -> _Stretch | None:
        place = self.plan.places.get(v) or self.plan.scratch.get((at, v))
        if place is None:
            return None
        size = max(1, v.aval.size) * v.aval.dtype.np.itemsize
        return _Stretch(place.slot, place.offset, place.offset + size, serial)

    def _barrier(self, checked: bool) -> None:
        """All threads wait for each other; with `checked`, all leave if one has failed."""
        self.phase += 1
        for p in range(self.n):
            with self._of(p):
                pool = self._address(Place(self.plan.slots + 1))
                self.main.append(
                    f"  call void @clearprop_barrier({pool}, i64 {self.phase * self.n})"
                )
                if checked:
                    self._leave(pool)
        self.reads, self.writes = [], []

    def _leave(self, pool: str) -> None:
        """Leave if a thread failed before this barrier; one that is ahead may have failed since."""
        self.names += 1
        n = self.names
        self.main += [
            f"  %f{n} = getelementptr i64, {pool}, i64 {FAILED}",
            f"  %g{n} = load atomic i64, ptr %f{n} seq_cst, align 8",
            f"  %h{n} = lshr i64 %g{n}, 32",
            f"  %k{n} = icmp ugt i64 %h{n}, {self.phase}",
            f"  br i1 %k{n}, label %go{n}, label %stop{n}",
            f"stop{n}:",
            "  ret i32 1",
            f"go{n}:",
        ]

    def _stop(self, at: int) -> None:
        """Tell the others if the kernel has set the status; all leave at the next barrier."""
        self.checked = True
        pool = self._address(Place(self.plan.slots + 1))
        self.names += 1
        n = self.names
        self.main += [
            f"  %s{n} = load i32, ptr %status",
            f"  %c{n} = icmp eq i32 %s{n}, 0",
            f"  br i1 %c{n}, label %go{n}, label %bad{n}",
            f"bad{n}:",
            f"  call void @clearprop_fail({pool}, i64 {(self.phase + 1 << 32) | (at + 1)})",
            f"  br label %go{n}",
            f"go{n}:",
        ]


def _samples(kernel: Special) -> int:
    """How many there are; 0 where they do not stand for themselves."""
    if not kernel.SAMPLED or kernel.over is not None or kernel.more:
        return 0
    return kernel.inputs[kernel.SAMPLED[0]].shape[0]


def _bytes(nest: Nest, v: Var | tuple[str, Var]) -> int:
    """What an argument of a nest needs: one row of a value that is kept, or all of it."""
    if isinstance(v, tuple):
        return nest.space[-1] * v[1].aval.dtype.np.itemsize
    return size_of(v)
