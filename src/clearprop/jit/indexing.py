"""Reading and writing elements at integer indices.

All indices are looked at before anything is written. Axes along which no index changes are moved as
rows; what is added to one place comes in the order of the indices, as in eager mode.
"""

from __future__ import annotations

from dataclasses import dataclass

from clearprop.core import Indexed
from clearprop.graph import Equation
from clearprop.jit.access import Access, Shape, row_major, whole
from clearprop.jit.special import Code, Special, Spot, loops, merged, moved, shifted, transfer
from clearprop.jit.target import Target
from clearprop.jit.writer import Carried, Writer, stored


def by_index(equation: Equation, inputs: tuple[Access, ...], kind: Indexed) -> Special:
    """The kernel of an equation of this kind."""
    x, rest = inputs[0], inputs[1:]
    values = None
    axes: tuple[int, ...]
    bases = row_major(equation.output.aval.shape) if kind.writes else x.strides
    if kind.along:
        dim = equation.params["dim"] % len(x.shape)
        if kind.writes:
            values = rest[1]
        indices, axes, space = rest[:1], (dim,), rest[0].shape
        straight = tuple(0 if i == dim else s for i, s in enumerate(bases))
    else:
        if kind.writes:
            values, rest = rest[0], rest[1:]
        indices, axes = rest, tuple(range(len(rest)))
        lead = rest[0].shape
        space = lead + x.shape[len(rest) :]
        straight = (0,) * len(lead) + bases[len(rest) :]
    return ByIndex(
        equation, inputs, equation.output, 0 if kind.writes else None,
        combine=written_as(equation) if kind.writes else None, space=space, indices=indices,
        axes=axes, straight=straight, values=values,
    )  # fmt: skip


def written_as(equation: Equation) -> str:
    """How an equation of this kind joins what it writes with what was there."""
    kind = equation.prim.lower
    assert isinstance(kind, Indexed) and kind.writes
    if kind.writes == "extreme":
        return "max" if equation.params["largest"] else "min"
    return kind.writes


@dataclass(eq=False)
class ByIndex(Special):
    """out[space] = x[straight + indices], or (`combine`) out = x, then out[straight + indices] gets
    values[space]. `straight`: strides of the indexed memory over the space, aside from the indices;
    index i is taken along axis `axes[i]`.
    """

    combine: str | None = None
    space: Shape = ()
    indices: tuple[Access, ...] = ()
    axes: tuple[int, ...] = ()
    straight: Shape = ()
    values: Access | None = None

    def write(self, target: Target, in_place: bool) -> Code:
        w = Writer()
        x, out = self.inputs[0], whole(self.out)
        operands = [a.base for a in self.inputs] + [self.out]
        place = {a: shifted(w, f"%p{i}", a.offset, _d(a)) for i, a in enumerate(self.inputs)}
        end = f"%p{len(operands) - 1}"
        for index, axis in zip(self.indices, self.axes, strict=True):
            _check(w, target, index, place[index], x.shape[axis])
        d = self.out.aval.dtype.short
        if self.combine and not in_place:
            transfer(w, target, x.shape, d, Spot(place[x], x.strides),
                     Spot(end, out.strides), "set")  # fmt: skip
        bases = out if self.combine else x
        indexed = Spot(end if self.combine else place[x], self.straight)
        other = (
            Spot(place[self.values], self.values.strides)
            if self.values is not None
            else Spot(end, out.strides)
        )
        count = len(self.space)
        over = [index.strides + (0,) * (count - len(index.strides)) for index in self.indices]
        inner = count
        while inner and not any(s[inner - 1] for s in over):
            inner -= 1
        sizes, strides = merged(self.space[:inner], *(s[:inner] for s in
                                (indexed.strides, other.strides, *over)))  # fmt: skip
        with loops(w, sizes) as counters:
            a = moved(w, Spot(indexed.at, strides[0]), counters, d)
            b = moved(w, Spot(other.at, strides[1]), counters, d)
            for index, axis, steps in zip(self.indices, self.axes, strides[2:], strict=True):
                i = _load(w, index, moved(w, Spot(place[index], steps), counters, _d(index)))
                a = moved(w, Spot(a, (bases.strides[axis],)), [i], d)
            one, two = Spot(a, self.straight[inner:]), Spot(b, other.strides[inner:])
            if self.combine:
                one, two = two, one
            transfer(w, target, self.space[inner:], d, one, two, self.combine or "set")
        w.do("ret void")
        arguments = ", ".join(f"ptr %p{i}" for i in range(len(operands)))
        text = "\n".join(
            [
                f"define internal void @KERNEL({arguments}, ptr %status) #0 {{",
                "entry:",
                *w.lines,
                "}",
            ]
        )
        return Code(text, operands, set(w.declares), checks=True)


def _d(x: Access) -> str:
    return x.base.aval.dtype.short


def _load(w: Writer, index: Access, at: str) -> str:
    """An index as 64 bits."""
    d = _d(index)
    i = w.emit(f"load {stored(d)}, ptr {at}")
    return i if d == "i64" else w.emit(f"{'zext' if d == 'u8' else 'sext'} {stored(d)} {i} to i64")


def _check(w: Writer, target: Target, index: Access, at: str, size: int) -> None:
    """Set the status and leave if an index is out of range; read without a sign, a negative one is
    large.
    """
    distinct = [(n, s) for n, s in zip(index.shape, index.strides, strict=True) if s]
    sizes, (strides,) = merged([n for n, _ in distinct], tuple(s for _, s in distinct))
    lanes = target.lanes("i64")
    n = sizes[-1] if sizes and strides[-1] == 1 and _d(index) == "i64" else 0
    largest = w.emit("alloca i64")
    w.do(f"store i64 0, ptr {largest}")
    whole = n - n % lanes
    with loops(w, sizes[:-1] if n else sizes) as counters:
        row = moved(w, Spot(at, strides), counters, _d(index))
        if whole:
            kind = f"<{lanes} x i64>"
            most = Carried(kind, "zeroinitializer")
            with w.loop(whole, lanes, [most]) as i:
                x = w.emit(f"load {kind}, ptr {moved(w, Spot(row, (1,)), [i], 'i64')}, align 8")
                larger = w.emit(f"icmp ugt {kind} {x}, {most.name}")
                most.next = w.emit(
                    f"select <{lanes} x i1> {larger}, {kind} {x}, {kind} {most.name}"
                )
            found = w.call("i64", f"@llvm.vector.reduce.umax.v{lanes}i64", f"{kind} {most.name}")
            _raise(w, largest, found)
        for j in range(whole, n):
            _raise(w, largest, _load(w, index, shifted(w, row, j, "i64")))
        if not n:
            _raise(w, largest, _load(w, index, row))
    bad = w.emit(f"icmp uge i64 {w.emit(f'load i64, ptr {largest}')}, {size}")
    stop, go = w.fresh("bad"), w.fresh("good")
    w.do(f"br i1 {bad}, label %{stop}, label %{go}")
    w.start(stop)
    w.do("store i32 1, ptr %status")
    w.do("ret void")
    w.start(go)


def _raise(w: Writer, largest: str, x: str) -> None:
    """largest = max(largest, x)."""
    old = w.emit(f"load i64, ptr {largest}")
    more = w.emit(f"icmp ugt i64 {x}, {old}")
    w.do(f"store i64 {w.emit(f'select i1 {more}, i64 {x}, i64 {old}')}, ptr {largest}")
