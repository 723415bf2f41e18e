"""From a graph to kernels in order: fused loops, matrix products, calls back to eager kernels.

Equations are placed one by one: into the first nest of loops, at or after everything they read,
that takes them and shares values with them; else into a kernel of their own. Only the kind of an
equation's lowering is looked at, and for Views and gathers the axes they touch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from clearprop.core import Aval, Contract, Indexed, Map, Pool, Reduce, View
from clearprop.graph import Equation, Graph, Var
from clearprop.graph.formula import Call, Constant, Input, Tree
from clearprop.jit.access import Access, row_major, squeezed, through, whole
from clearprop.jit.correlation import Convolve
from clearprop.jit.members import (
    choice,
    copy,
    elementwise,
    filled,
    joined,
    mapped,
    reduction,
    whole_windows,
    write_by_choice,
)
from clearprop.jit.nest import LARGEST, Counter, Member, Nest, Read, read_of
from clearprop.jit.special import Special
from clearprop.jit.specials import special_of

COMBINES = {"add", "max", "min", "mul", "or", "and"}
ARGUMENTS = {"argmax": "max", "argmin": "min"}
# A gather of one element per row looks at the whole row up to this width, as part of the loops that
# make the row; where the row is in memory anyway, only if it is short.
WIDEST_CHOICE = 4096
WIDEST_LOOK = 32


@dataclass(eq=False)
class Product:
    """out = a @ b for matrices, once per batch index; then + bias, then relu."""

    equation: Equation
    a: Access
    b: Access
    out: Var
    flipped: bool = False  # the result is laid out column by column
    bias: Read | None = None
    relu: bool = False


@dataclass(eq=False)
class Callback:
    """An equation that runs its eager kernel; `why` it does."""

    equation: Equation
    inputs: tuple[Access, ...]
    why: str


Kernel = Nest | Product | Special | Callback


@dataclass(eq=False)
class Schedule:
    """Kernels in the order in which they run. `outputs[i]` and `writes[x]` are what is returned
    and what input x's memory holds at the end.
    """

    graph: Graph
    kernels: list[Kernel] = field(default_factory=list)
    access: dict[Var, Access] = field(default_factory=dict)

    @property
    def callbacks(self) -> list[Callback]:
        return [k for k in self.kernels if isinstance(k, Callback)]


def schedule(graph: Graph) -> Schedule:
    """The kernels that compute a graph."""
    return _Scheduler(graph).run()


def reads_of(kernel: Kernel) -> list[Read]:
    """What a kernel reads that it does not make itself."""
    match kernel:
        case Nest():
            return [r for m in kernel.members for r in m.reads if r.base not in kernel.made]
        case Product():
            more = [kernel.bias] if kernel.bias else []
            return [read_of(kernel.a), read_of(kernel.b), *more]
        case Special() | Callback():
            return [read_of(x) for x in kernel.inputs]


def makes(kernel: Kernel) -> list[Var]:
    """The values that a kernel makes."""
    match kernel:
        case Nest():
            return list(dict.fromkeys(m.out for m in kernel.members))
        case Product():
            return [kernel.out]
        case Special():
            return [kernel.out, *kernel.more]
        case Callback():
            return list(kernel.equation.outputs)


def work_of(kernel: Kernel) -> float:
    """About how many multiplications a kernel makes."""
    match kernel:
        case Product():
            return float(kernel.out.aval.size * kernel.a.shape[-1])
        case Nest():
            return float(math.prod(kernel.space) * len(kernel.members))
        case Special():
            return kernel.work
    return 0.0


class _Scheduler:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.out = Schedule(graph)
        self.kernels = self.out.kernels
        self.access = self.out.access
        self.place: dict[Var, int] = {}
        self.readers: dict[Var, set[int]] = {}  # nests that read a value which is no single number
        self.single: list[int] = []  # nests of single numbers
        self.uses = _uses(graph)

    def run(self) -> Schedule:
        for v in (*self.graph.inputs, *self.graph.constants):
            self.access[v] = whole(v)
        columns = _transposed(self.graph)
        for equation in self.graph.equations:
            self._put(equation, columns)
        _sink(self.out)
        _merge(self.out)
        return self.out

    def _put(self, equation: Equation, columns: set[Var]) -> None:
        inputs = tuple(self.access[v] for v in equation.inputs)
        kind = equation.prim.lower
        if isinstance(kind, View):
            self._view(equation, inputs)
            return
        if isinstance(kind, Pool) and (kind.combine, kind.part) == ("add", "input"):
            shape = equation.output.aval.shape
            axes = len(whole_windows(equation, shape))
            if axes:  # every element of a plane is the same
                (g,) = inputs
                strides = g.strides[:-axes] + (0,) * axes
                self.access[equation.output] = Access(g.base, g.offset, shape, strides)
                return
        for v in equation.outputs:
            self.access[v] = whole(v)
        out = equation.outputs[0]
        if isinstance(kind, Contract) and _is_matmul(equation) and not _is_empty(equation):
            inputs = tuple(self._matrix(equation, x) for x in inputs)
            if out in columns:
                m, n = out.aval.shape
                self.access[out] = Access(out, 0, (m, n), (1 if m > 1 else 0, m if n > 1 else 0))
            a, b = inputs
            self._append(Product(equation, a, b, out, flipped=out in columns))
        elif isinstance(member := self._member(equation, inputs), Member):
            if not self._epilogue(equation, inputs):
                self._join(member)
        else:
            self._append(special_of(equation, inputs) or Callback(equation, inputs, member))

    def _matrix(self, equation: Equation, x: Access) -> Access:
        """x if its rows or its columns lie packed in memory, else a copy of it."""
        (m, n), (down, right) = x.shape[-2:], x.strides[-2:]
        rows = (right == 1 or n == 1) and (down >= n or m == 1)
        columns = (down == 1 or m == 1) and (right >= m or n == 1)
        if rows or columns:
            return x
        v = Var(Aval(x.shape, x.base.aval.dtype))
        self.access[v] = whole(v)
        self._join(copy(equation, x, v))
        return self.access[v]

    def _append(self, kernel: Kernel) -> None:
        self.kernels.append(kernel)
        for v in makes(kernel):
            self.place[v] = len(self.kernels) - 1

    # ------------------------------------------------------------------ views
    def _view(self, equation: Equation, inputs: tuple[Access, ...]) -> None:
        out = equation.output
        name = equation.prim.name
        found = through(inputs[0], equation) if len(inputs) == 1 else None
        if found is not None:
            self.access[out] = found
            return
        self.access[out] = whole(out)
        if name == "unslice":
            p = equation.params
            fill = filled(equation, out)
            self._append(Nest(fill.space, [fill], {}))
            self._part(equation, inputs[0], out, p["starts"], p["steps"])
        elif name == "concat":
            start, dim = 0, equation.params["dim"] % len(out.aval.shape)
            for x in inputs:
                starts = [0] * len(x.shape)
                starts[dim] = start
                self._part(equation, x, out, starts, [1] * len(x.shape))
                start += x.shape[dim]
        elif name == "reshape":
            self._join(copy(equation, inputs[0], out))
        else:
            self._append(Callback(equation, inputs, f"{name} moves elements"))

    def _part(
        self, equation: Equation, x: Access, out: Var, starts: list[int], steps: list[int]
    ) -> None:
        """Write x into a part of out."""
        strides = row_major(out.aval.shape)
        axes = squeezed(x.shape)
        write = tuple(strides[i] * steps[i] for i in axes)
        offset = sum(a * s for a, s in zip(starts, strides, strict=True))
        space = tuple(x.shape[i] for i in axes)
        member = Member(equation, Input(0), (read_of(x),), out, space, write, offset=offset,
                        alone=True)  # fmt: skip
        self._append(Nest(space, [member], {out: member}))

    # ------------------------------------------------------------------ loops
    def _member(self, equation: Equation, inputs: tuple[Access, ...]) -> Member | str:
        """The equation as a member of a nest, or why it cannot be one."""
        kind = equation.prim.lower
        if _is_empty(equation):
            return "there are no elements"
        if isinstance(kind, Map):
            return mapped(equation, inputs)
        if isinstance(kind, Reduce) and kind.combine in COMBINES and _is_reduction(equation):
            return reduction(equation, inputs, kind.combine)
        if isinstance(kind, Reduce) and kind.combine in ARGUMENTS:
            return self._argument(equation, inputs[0], ARGUMENTS[kind.combine])
        if isinstance(kind, Pool) and kind.combine == "add" and not kind.part:
            dims = whole_windows(equation, inputs[0].shape)
            if dims:
                (x,) = inputs
                return joined(equation, Input(0), (read_of(x),), x.shape, dims, "add")
        if isinstance(kind, Indexed) and kind.along:
            at = self.place.get(inputs[0].base, -1)
            made_by_loops = at >= 0 and isinstance(self.kernels[at], Nest)
            widest = WIDEST_CHOICE if made_by_loops or kind.writes else WIDEST_LOOK
            return (write_by_choice if kind.writes else choice)(equation, inputs, widest)
        return getattr(kind, "why", f"{equation.prim.name} has no loops yet")

    def _argument(self, equation: Equation, x: Access, combine: str) -> Member | str:
        """Where the first of the extreme elements is: the smallest index at which x is the extreme
        one, or nan if that is what it is.
        """
        dim = equation.params["dim"] % len(x.shape)
        d = x.base.aval.dtype
        if d.short == "f16":
            return "float16 is a type for storage"
        if x.shape[dim] == 1:
            return elementwise(equation, Constant(0), (), equation.output)
        kept = tuple(1 if i == dim else n for i, n in enumerate(x.shape))
        best = Var(Aval(kept, d))
        self.access[best] = whole(best)
        self._join(joined(equation, Input(0), (read_of(x),), x.shape, {dim}, combine, best))
        spread = Access(best, 0, x.shape, row_major(kept))
        is_best = Call("or", (Call("eq", (Input(0), Input(1))), Call("ne", (Input(0), Input(0)))))
        tree = Call("select", (is_best, Input(2), Constant(x.shape[dim])))
        operands = (read_of(x), read_of(spread), Counter(squeezed(x.shape).index(dim)))
        return joined(equation, tree, operands, x.shape, {dim}, "min")

    def _join(self, member: Member) -> None:
        """Put a member into the first nest that takes it, else into a new one."""
        first = 0
        for read in member.reads:
            at = self.place.get(read.base)
            if at is None:
                continue
            kernel = self.kernels[at]
            first = max(first, at if isinstance(kernel, Nest) else at + 1)
        for at in self._candidates(member, first):
            nest = self.kernels[at]
            if isinstance(nest, Nest) and nest.takes(member) and nest.is_related(member):
                nest.accept(member)
                self._note(member, at)
                return
        self._append(Nest(member.space, [member], {member.out: member}))
        self._note(member, len(self.kernels) - 1)

    def _note(self, member: Member, at: int) -> None:
        """Remember where a member is, and what it reads."""
        self.place[member.out] = at
        for read in member.reads:
            if any(read.strides):
                self.readers.setdefault(read.base, set()).add(at)
        if not member.space:
            self.single.append(at)

    def _candidates(self, member: Member, first: int) -> list[int]:
        """Nests that have values in common with a member, from `first` on."""
        found = set() if member.space else set(self.single)
        for read in member.reads:
            found |= self.readers.get(read.base, set())
            if read.base in self.place:
                found.add(self.place[read.base])
        return sorted(at for at in found if at >= first)

    # ------------------------------------------------------------------ epilogues
    def _epilogue(self, equation: Equation, inputs: tuple[Access, ...]) -> bool:
        """Let the product before do what is added to each of its rows, and relu."""
        name = equation.prim.name
        if name not in ("add", "relu") or equation.output.aval.dtype.short not in ("f32", "f64"):
            return False
        for i, x in enumerate(inputs):
            kernel = self._sole_maker(x)
            if kernel is None:
                continue
            if name == "relu":
                kernel.relu = True
            elif not self._add(kernel, inputs[1 - i]):
                continue
            at = self.place[kernel.out]
            kernel.out = equation.output
            self.place[kernel.out] = at
            return True
        return False

    def _sole_maker(self, x: Access) -> Product | Convolve | None:
        """The product or convolution whose whole result x is, if nothing else reads it."""
        at = self.place.get(x.base)
        kernel = None if at is None else self.kernels[at]
        if not isinstance(kernel, Product | Convolve) or kernel.out is not x.base:
            return None
        if not x.plain or self.uses.get(x.base) != 1:
            return None
        if isinstance(kernel, Convolve):
            return kernel if x.shape == kernel.out.aval.shape else None
        if kernel.flipped or x.shape[-1:] != kernel.b.shape[-1:]:
            return None
        return None if len(kernel.a.shape) != 2 else kernel

    def _add(self, kernel: Product | Convolve, x: Access) -> bool:
        """Have x added by the kernel, if it is known before and the same for every row, or for all
        of a channel.
        """
        if kernel.bias is not None or kernel.relu:
            return False
        if isinstance(kernel, Product):
            kernel.bias = self._row(x, kernel)
            return kernel.bias is not None
        if self.place.get(x.base, -1) >= self.place[kernel.out]:
            return False
        others = (s for i, s in enumerate(x.strides) if i != 1)
        if any(others) or (x.shape[1] > 1 and x.strides[1] != 1):
            return False
        kernel.bias = x
        kernel.inputs += (x,)
        return True

    def _row(self, x: Access, product: Product) -> Read | None:
        """x as a row that is added to every row of the product."""
        at = self.place.get(x.base, -1)
        if at >= self.place[product.out]:
            return None
        if any(x.strides[:-1]) or (x.shape[-1] > 1 and x.strides[-1] != 1):
            return None
        return Read(x.base, x.offset, (1,))


def _form(equation: Equation) -> str:
    return getattr(equation.prim.lower, "form", "")


def _is_matmul(equation: Equation) -> bool:
    return _form(equation) == "matmul" and equation.output.aval.dtype.short in ("f32", "f64")


def _is_empty(equation: Equation) -> bool:
    return any(not v.aval.size for v in (*equation.inputs, *equation.outputs))


def _is_reduction(equation: Equation) -> bool:
    return "keepdim" in equation.params


# ---------------------------------------------------------------------- before and after
def _uses(graph: Graph) -> dict[Var, int]:
    """How many readers the memory of a value has, through views."""
    behind: dict[Var, Var] = {}
    out: dict[Var, int] = {}
    for equation in graph.equations:
        bases = [behind.get(v, v) for v in equation.inputs]
        if isinstance(equation.prim.lower, View) and len(bases) == 1:
            behind[equation.output] = bases[0]
            continue
        for v in bases:
            out[v] = out.get(v, 0) + 1
    for v in graph.roots():
        v = behind.get(v, v)
        out[v] = out.get(v, 0) + 1
    return out


def _transposed(graph: Graph) -> set[Var]:
    """Products of matrices of which only the transpose is ever read."""
    readers: dict[Var, list[Equation]] = {}
    for equation in graph.equations:
        for v in equation.inputs:
            readers.setdefault(v, []).append(equation)
    roots = set(graph.roots())
    return {
        e.output
        for e in graph.equations
        if _is_matmul(e)
        and e.output not in roots
        and len(e.output.aval.shape) == 2
        and readers.get(e.output)
        and all(r.prim.name == "permute" and r.params["dims"] == (1, 0) for r in readers[e.output])
    }


def _sink(found: Schedule) -> None:
    """Move cheap members whose values only a later nest reads into that nest: what they read is in
    memory anyway, and what they make need not go there.
    """
    kernels, graph = found.kernels, found.graph
    roots = {found.access[v].base for v in graph.roots()}
    readers: dict[Var, set[int]] = {}
    for at, kernel in enumerate(kernels):
        for read in (
            [r for m in kernel.members for r in m.reads]
            if isinstance(kernel, Nest)
            else reads_of(kernel)
        ):
            readers.setdefault(read.base, set()).add(at)
    for at in range(len(kernels) - 1, -1, -1):
        nest = kernels[at]
        if not isinstance(nest, Nest):
            continue
        for member in reversed(list(nest.members)):
            later = readers.get(member.out, set())
            if member.out in roots or member.combine or member.alone or len(later) != 1:
                continue
            (to,) = later
            target = kernels[to]
            if to == at or not isinstance(target, Nest) or not _is_cheap(member):
                continue
            if any(r.base in nest.made for r in member.reads) or target.space != member.space:
                continue
            users = [r for m in target.members for r in m.reads if r.base is member.out]
            if len(target.members) >= LARGEST or not all(
                target.forwards(r.over(len(target.space)), member) for r in users
            ):
                continue
            nest.members.remove(member)
            del nest.made[member.out]
            target.members.insert(0, member)
            target.made[member.out] = member
            for read in member.reads:
                readers[read.base].discard(at)
                readers[read.base].add(to)
                for other in nest.members:
                    if any(r.base is read.base for r in other.reads):
                        readers[read.base].add(at)
    found.kernels[:] = [k for k in kernels if not isinstance(k, Nest) or k.members]


def _merge(found: Schedule) -> None:
    """Put a nest into an earlier one that shares values with it, where nothing in between is needed
    first: equations that came one by one were each put where the first of them could be.
    """
    kernels: list[Kernel | None] = list(found.kernels)
    place: dict[Var, int] = {}
    readers: dict[Var, list[int]] = {}
    for at, kernel in enumerate(found.kernels):
        target = at
        if isinstance(kernel, Nest):
            reads = [r for r in reads_of(kernel) if r.base in place or any(r.strides)]
            first = max((_after(kernels, place, r.base) for r in reads), default=0)
            near = {place[r.base] for r in reads if r.base in place}
            near |= {i for r in reads if any(r.strides) for i in readers.get(r.base, ())}
            for i in sorted(near):
                joined = _joined_nest(kernels[i], kernel) if first <= i < at else None
                if joined is not None:
                    kernels[i], kernels[at], target = joined, None, i
                    break
        for v in makes(kernel):
            place[v] = target
        for read in reads_of(kernel):
            readers.setdefault(read.base, []).append(target)
    found.kernels[:] = [k for k in kernels if k is not None]


def _after(kernels: list[Kernel | None], place: dict[Var, int], v: Var) -> int:
    """The first place for a reader of v."""
    at = place.get(v)
    return 0 if at is None else at if isinstance(kernels[at], Nest) else at + 1


def _joined_nest(one: Kernel | None, two: Nest) -> Nest | None:
    """Both as one nest, if that can be."""
    if not isinstance(one, Nest) or len(one.members) + len(two.members) > LARGEST:
        return None
    out = Nest(one.space, list(one.members), dict(one.made))
    for member in two.members:
        if not out.takes(member):
            return None
        out.accept(member)
    return out


def _is_cheap(member: Member) -> bool:
    """Whether it costs no more than a load to work it out."""

    def size(tree: Tree) -> int:
        if not isinstance(tree, Call):
            return 0
        if tree.name in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "select", "cast", "mul", "add",
                         "sub", "and", "or", "not", "abs"):  # fmt: skip
            return 1 + sum(map(size, tree.args))
        return 99

    return size(member.tree) <= 2 and len(member.reads) <= 2
