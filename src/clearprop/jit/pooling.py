"""Pooling: the largest element or the sum of windows, and their adjoints.

Each plane is copied with padding around it (see images), so that neighbouring windows are vectors.
The adjoint of a sum is a sum again: over windows of g with zeros between its elements. Winners are
numbers of window elements; a table says where these are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from clearprop.graph import Var
from clearprop.jit.access import Access, Shape
from clearprop.jit.images import Images, fill
from clearprop.jit.special import (
    Code,
    Special,
    Spot,
    full_strides,
    loops,
    merged,
    moved,
    shifted,
    transfer,
)
from clearprop.jit.target import WIDEST, Target
from clearprop.jit.tile import Tile, chunks, sums_over
from clearprop.jit.writer import SIZES, Writer, splat, stored

LARGEST_REPEAT = 8  # elements of a window in a row that are written as part of one vector


@dataclass(frozen=True)
class Windows:
    """Windows over the last axes: element k of window t is x[t*stride + k*dilation - before]."""

    size: Shape
    places: Shape
    kernel: Shape
    stride: Shape
    dilation: Shape
    before: Shape

    def images(self, slack: int) -> Images:
        """The padded copy of one plane of x."""
        sizes = tuple(
            (t - 1) * s + (k - 1) * e + 1
            for t, s, k, e in zip(self.places, self.stride, self.kernel, self.dilation, strict=True)
        )
        return Images(1, self.size, sizes, self.before, (1,) * len(sizes), self.stride[-1], slack)

    @property
    def inside(self) -> bool:
        """Whether no window reaches beyond x."""
        ends = zip(self.size, self.places, self.kernel, self.stride, self.dilation, strict=True)
        return not any(self.before) and all((t - 1) * s + (k - 1) * e < n for n, t, k, s, e in ends)

    @property
    def first(self) -> list[list[int]]:
        """Along each axis, the first element of every window that is not before x."""
        return [
            [min(k - 1, max(0, -((t * s - b) // e))) for t in range(n)]
            for n, k, s, e, b in zip(
                self.places, self.kernel, self.stride, self.dilation, self.before, strict=True
            )
        ]

    @property
    def meet(self) -> bool:
        """Whether every window has an element of x."""
        return all(
            0 <= t * s - b + k * e < n
            for n, places, firsts, s, e, b in zip(
                self.size, self.places, self.first, self.stride, self.dilation, self.before,
                strict=True,
            )
            for t, k in zip(range(places), firsts, strict=True)
        )  # fmt: skip


def windows_of(size: Shape, places: Shape, params: dict[str, Any]) -> Windows:
    kernel = params["kernel"]
    dilation = params.get("dilation", (1,) * len(kernel))
    before = tuple(a for a, _ in params["padding"])
    return Windows(size, places, kernel, params["stride"], dilation, before)


@dataclass(eq=False)
class _Pool(Special):
    """What all have in common: planes, one after the other."""

    windows: Windows | None = None

    @property
    def at(self) -> Windows:
        assert self.windows is not None
        return self.windows

    @property
    def axes(self) -> int:
        return len(self.at.kernel)

    @property
    def work(self) -> float:
        return float(self.out.aval.size * math.prod(self.at.kernel))

    def planes(self, w: Writer, accesses: Sequence[Access]) -> Any:
        """Loops over planes; `with` gives the addresses of all operands in a plane."""
        return _planes(w, accesses, self.axes)

    def text(self, w: Writer, count: int) -> str:
        arguments = ", ".join([*(f"ptr %p{i}" for i in range(count)), "ptr %scratch"])
        head = f"define internal void @KERNEL({arguments}) #0 {{"
        return "\n".join([head, "entry:", *w.lines, "  ret void", "}"])


class _planes:
    """A context: counters of the loops over leading axes become addresses."""

    def __init__(self, w: Writer, accesses: Sequence[Access], axes: int) -> None:
        self.w, self.accesses = w, accesses
        lead = [a.strides[: len(a.strides) - axes] for a in accesses]
        shape = accesses[0].shape[: len(accesses[0].shape) - axes]
        sizes, self.strides = merged(shape, *lead)
        self.loops = loops(w, sizes)

    def __enter__(self) -> list[str]:
        counters = self.loops.__enter__()
        out = []
        for i, (a, strides) in enumerate(zip(self.accesses, self.strides, strict=True)):
            d = a.base.aval.dtype.short
            at = shifted(self.w, f"%p{i}", a.offset, d)
            out.append(moved(self.w, Spot(at, strides), counters, d))
        return out

    def __exit__(self, *error: Any) -> None:
        self.loops.__exit__(*error)


def _whole(v: Var) -> Access:
    shape = v.aval.shape
    return Access(v, 0, shape, full_strides(shape))


@dataclass(eq=False)
class SumPool(_Pool):
    """The sum of each window; `adjoint`: every g added to all elements of its window."""

    adjoint: bool = False

    def _images(self, lanes: int) -> tuple[Images, Windows]:
        at = self.at
        slack = 2 * lanes + max(at.places[-1], at.size[-1])
        if not self.adjoint:
            return at.images(slack), at
        before = tuple(k - 1 - b for k, b in zip(at.kernel, at.before, strict=True))
        sizes = tuple(n + k - 1 for n, k in zip(at.size, at.kernel, strict=True))
        images = Images(1, at.places, sizes, before, at.stride, 1, slack)
        ones = (1,) * len(sizes)
        return images, Windows(at.places, at.size, at.kernel, ones, ones, before)

    @property
    def scratch(self) -> int:
        d = self.out.aval.dtype.short
        return SIZES[d] * self._images(WIDEST.lanes(d))[0].count

    def write(self, target: Target, in_place: bool) -> Code:
        w, d = Writer(), self.out.aval.dtype.short
        t = Tile(target, d)
        images, at = self._images(t.lanes)
        (x,) = self.inputs
        y = _whole(self.out)
        if self.adjoint and _is_apart(self.at, x):
            self._repeat(w, target, t, x, y)
            return Code(self.text(w, 2), [x.base, self.out], set(w.declares), scratch=True)
        direct = not self.adjoint and _is_direct(at, x)
        if not direct:
            images.clear(w, target, "%scratch", d)
        with self.planes(w, [x, y]) as (source, end):
            strides, first = x.strides[-self.axes : -1], source
            if not direct:
                images.copy(w, target, Spot(source, (0, *x.strides[-self.axes :])), "%scratch", d)
                strides, first = images.strides[1:], "%scratch"
            with loops(w, at.places[:-1]) as rows:
                down = tuple(s * n for s, n in zip(at.stride, strides, strict=False))
                here = moved(w, Spot(first, down), rows, d)
                there = moved(w, Spot(end, full_strides(at.places)), rows, d)
                for j, width in chunks(w, at.places[-1], t.lanes):
                    if direct:
                        place = moved(w, Spot(here, (at.stride[-1],)), [j], d)
                        value = self._sum_of_rows(w, t, place, width, strides)
                    else:
                        place = moved(w, Spot(here, (1,)), [j], d)
                        value = self._sum(w, t, images, at, place)
                    t.store(w, value, moved(w, Spot(there, (1,)), [j], d), width)
        return Code(self.text(w, 2), [x.base, self.out], set(w.declares), scratch=True)

    def _repeat(self, w: Writer, target: Target, t: Tile, g: Access, y: Access) -> None:
        """The adjoint of windows side by side: each g as often as its window has elements."""
        at, d, k = self.at, t.d, self.at.kernel[-1]
        inner = full_strides(at.size)
        if any(n != p * s for n, p, s in zip(at.size, at.places, at.stride, strict=True)):
            fill(w, target, "%p1", self.out.aval.size, d)
        with self.planes(w, [g, y]) as (source, end), loops(w, at.places[:-1]) as rows:
            here = moved(w, Spot(source, g.strides[-self.axes :]), rows, d)
            down = tuple(s * n for s, n in zip(at.stride, inner, strict=True))
            there = moved(w, Spot(end, down), rows, d)
            if k > LARGEST_REPEAT:
                sizes = [at.places[-1], *at.kernel]
                from_strides = (g.strides[-1], *(0,) * self.axes)
                place_of = Spot(there, (at.stride[-1], *inner))
                transfer(w, target, sizes, d, Spot(here, from_strides), place_of, "set")
                return
            for j, width in chunks(w, at.places[-1], t.lanes):
                short, long = f"<{width} x {t.element}>", f"<{width * k} x {t.element}>"
                place = moved(w, Spot(here, (1,)), [j], d)
                x = w.emit(f"load {short}, ptr {place}, {t.align}")
                picks = ", ".join(f"i32 {i // k}" for i in range(width * k))
                chosen = f"<{width * k} x i32> <{picks}>"
                x = w.emit(f"shufflevector {short} {x}, {short} poison, {chosen}")
                to = moved(w, Spot(there, (k,)), [j], d)
                for i in range(math.prod(at.kernel[:-1])):
                    row = shifted(w, to, _offset(i, at.kernel[:-1], inner[:-1]), d)
                    w.do(f"store {long} {x}, ptr {row}, {t.align}")

    def _sum_of_rows(self, w: Writer, t: Tile, place: str, width: int, strides: Shape) -> str:
        """The same from memory of x itself: whole rows are added up, then their columns."""
        at = self.at
        row: str | None = None
        columns = _Columns(t, at, width)
        for i in range(math.prod(at.kernel[:-1])):
            x = columns.load(w, shifted(w, place, _offset(i, at.kernel[:-1], strides), t.d))
            row = x if row is None else w.emit(f"fadd {columns.kind} {row}, {x}")
        assert row is not None
        total = columns.pick(w, row, 0)
        for k in range(1, at.kernel[-1]):
            total = t.add(w, total, columns.pick(w, row, k))
        return total

    def _sum(self, w: Writer, t: Tile, images: Images, at: Windows, place: str) -> str:
        """Down the columns of the window, then along."""
        steps = tuple(e * s for e, s in zip(at.dilation, images.strides[1:], strict=False))
        total: str | None = None
        outer = at.kernel[:-1]
        for k in range(at.kernel[-1]):
            first = shifted(w, place, images.column(k * at.dilation[-1]), t.d)
            if math.prod(outer) <= 16:
                column: str | None = None
                for i in range(math.prod(outer)):
                    x = t.load(w, shifted(w, first, _offset(i, outer, steps), t.d))
                    column = x if column is None else t.add(w, column, x)
            else:
                (column,) = sums_over(
                    w, outer, [splat(-0.0, t.d, t.lanes)], t.kind,
                    lambda counters, sums: [
                        t.add(w, sums[0], t.load(w, moved(w, Spot(first, steps), counters, t.d)))  # noqa: B023
                    ],
                )  # fmt: skip
            assert column is not None
            total = column if total is None else t.add(w, total, column)
        assert total is not None
        return total


def _offset(i: int, sizes: Shape, steps: Shape) -> int:
    at = 0
    for n, s in zip(reversed(sizes), reversed(steps), strict=True):
        i, j = divmod(i, n)
        at += j * s
    return at


class _Columns:
    """A stretch of a row that some windows next to each other read, as one long vector."""

    def __init__(self, t: Tile, at: Windows, width: int) -> None:
        self.t, self.stride, self.width, self.dilation = t, at.stride[-1], width, at.dilation[-1]
        self.count = (width - 1) * self.stride + (at.kernel[-1] - 1) * self.dilation + 1
        self.kind = f"<{self.count} x {t.element}>"

    def load(self, w: Writer, at: str) -> str:
        return w.emit(f"load {self.kind}, ptr {at}, {self.t.align}")

    def pick(self, w: Writer, x: str, k: int) -> str:
        """Element k of every window."""
        places = [i * self.stride + k * self.dilation for i in range(self.width)]
        picks = [f"i32 {i}" for i in places] + ["i32 poison"] * (self.t.lanes - self.width)
        chosen = f"<{self.t.lanes} x i32> <{', '.join(picks)}>"
        return w.emit(f"shufflevector {self.kind} {x}, {self.kind} poison, {chosen}")


def _is_direct(at: Windows, x: Access) -> bool:
    """Whether windows can be read where x lies."""
    packed = x.shape[-1] == 1 or x.strides[-1] == 1
    few = math.prod(at.kernel) <= 25 and at.stride[-1] <= 4
    return at.inside and packed and few


def _is_apart(at: Windows, g: Access) -> bool:
    """Whether windows lie side by side, and so do the elements of g."""
    packed = g.shape[-1] == 1 or g.strides[-1] == 1
    few = at.kernel[-1] > LARGEST_REPEAT or (packed and math.prod(at.kernel) <= 64)
    return few and at.kernel == at.stride and at.inside


@dataclass(eq=False)
class MaxPool(_Pool):
    """The largest element of each window, and (`more[0]`) its number, the first of equals; the
    last nan where there is one.
    """

    @property
    def scratch(self) -> int:
        d = self.out.aval.dtype.short
        lanes = WIDEST.lanes(d)
        slack = 2 * lanes + self.at.places[-1]
        return SIZES[d] * self.at.images(slack).count + 4 * (self.at.places[-1] + lanes) + 64

    def write(self, target: Target, in_place: bool) -> Code:
        w, d, at = Writer(), self.out.aval.dtype.short, self.at
        t = Tile(target, d)
        images = at.images(2 * t.lanes + at.places[-1])
        (x,), winners = self.inputs, self.more[0]
        direct = _is_direct(at, x)
        if not direct:
            fill(w, target, "%scratch", images.count, d, -math.inf)
        table = shifted(w, "%scratch", images.count + (-images.count) % 16, d)
        first = at.first
        for i, number in enumerate(first[-1]):
            w.do(f"store i32 {number}, ptr {shifted(w, table, i, 'i32')}")
        with self.planes(w, [x, _whole(self.out), _whole(winners)]) as (source, end, wins):
            inner, origin = x.strides[-self.axes : -1], source
            if not direct:
                images.copy(w, target, Spot(source, (0, *x.strides[-self.axes :])), "%scratch", d)
                inner, origin = images.strides[1:], "%scratch"
            with loops(w, at.places[:-1]) as rows:
                down = tuple(s * n for s, n in zip(at.stride, inner, strict=False))
                strides = full_strides(at.places)
                here = moved(w, Spot(origin, down), rows, d)
                there = moved(w, Spot(end, strides), rows, d)
                numbers = moved(w, Spot(wins, strides), rows, winners.aval.dtype.short)
                begin = self._first(w, rows)
                for j, width in chunks(w, at.places[-1], t.lanes):
                    place = moved(w, Spot(here, (at.stride[-1] if direct else 1,)), [j], d)
                    xs = self._direct(w, t, place, inner, width) if direct else (
                        self._elements(w, t, images, place)
                    )  # fmt: skip
                    value, which = self._extreme(w, t, xs, table, j, begin)
                    t.store(w, value, moved(w, Spot(there, (1,)), [j], d), width)
                    to = moved(w, Spot(numbers, (1,)), [j], winners.aval.dtype.short)
                    self._store_numbers(w, t.lanes, which, to, width)
        operands = [x.base, self.out, winners]
        return Code(self.text(w, 3), operands, set(w.declares), scratch=True)

    def _first(self, w: Writer, rows: Sequence[str]) -> str | None:
        """The number of the first element in x, as far as it depends on the row."""
        at = self.at
        if not any(map(any, at.first)):
            return None
        total = "0"
        for axis, i in enumerate(rows):
            weight = math.prod(at.kernel[axis + 1 :])
            for t, f in enumerate(at.first[axis]):
                if f:
                    same = w.emit(f"icmp eq i64 {i}, {t}")
                    more = w.emit(f"add i32 {total}, {f * weight}")
                    total = w.emit(f"select i1 {same}, i32 {more}, i32 {total}")
        return total

    def _extreme(
        self, w: Writer, t: Tile, xs: Iterator[str], table: str, j: str, begin: str | None
    ) -> tuple[str, str]:
        lanes = t.lanes
        ints, truths = f"<{lanes} x i32>", f"<{lanes} x i1>"
        which = "zeroinitializer"
        if begin is not None:
            firsts = w.emit(f"load {ints}, ptr {moved(w, Spot(table, (1,)), [j], 'i32')}, align 4")
            one = w.emit(f"insertelement {ints} poison, i32 {begin}, i32 0")
            spread = w.emit(f"shufflevector {ints} {one}, {ints} poison, {ints} zeroinitializer")
            which = w.emit(f"add {ints} {firsts}, {spread}")
        best = ""
        for k, x in enumerate(xs):
            if not best:
                best = x
                continue
            larger = w.emit(f"fcmp ogt {t.kind} {x}, {best}")
            broken = w.emit(f"fcmp uno {t.kind} {x}, {x}")
            better = w.emit(f"or {truths} {larger}, {broken}")
            best = w.emit(f"select {truths} {better}, {t.kind} {x}, {t.kind} {best}")
            mine = splat(k, "i32", lanes)
            which = w.emit(f"select {truths} {better}, {ints} {mine}, {ints} {which}")
        return best, which

    def _elements(self, w: Writer, t: Tile, images: Images, place: str) -> Iterator[str]:
        """Each element of the windows at a place of the copy."""
        at = self.at
        steps = tuple(e * s for e, s in zip(at.dilation, images.strides[1:], strict=False))
        for k in range(math.prod(at.kernel)):
            outer, column = divmod(k, at.kernel[-1])
            offset = _offset(outer, at.kernel[:-1], steps)
            offset += images.column(column * at.dilation[-1])
            yield t.load(w, shifted(w, place, offset, t.d))

    def _direct(self, w: Writer, t: Tile, place: str, strides: Shape, width: int) -> Iterator[str]:
        """The same at a place of x."""
        at, columns = self.at, _Columns(t, self.at, width)
        steps = tuple(e * s for e, s in zip(at.dilation, strides, strict=False))
        for i in range(math.prod(at.kernel[:-1])):
            row = columns.load(w, shifted(w, place, _offset(i, at.kernel[:-1], steps), t.d))
            for k in range(at.kernel[-1]):
                yield columns.pick(w, row, k)

    def _store_numbers(self, w: Writer, lanes: int, which: str, to: str, width: int) -> None:
        d = self.more[0].aval.dtype.short
        word = "trunc" if d == "u8" else "zext"
        kind = f"<{lanes} x {stored(d)}>"
        x = w.emit(f"{word} <{lanes} x i32> {which} to {kind}")
        done = 0
        while done < width:  # in pieces, since few processors store a part of so small elements
            n = 1 << ((width - done).bit_length() - 1)
            picks = ", ".join(f"i32 {done + i}" for i in range(n))
            part = w.emit(f"shufflevector {kind} {x}, {kind} poison, <{n} x i32> <{picks}>")
            at = shifted(w, to, done, d)
            w.do(f"store <{n} x {stored(d)}> {part}, ptr {at}, align {SIZES[d]}")
            done += n


@dataclass(eq=False)
class ByWinner(_Pool):
    """Inputs are (g, winners), and every g is added where its winner is; or (`reads`) (x, winners),
    and the winners' elements are read.
    """

    reads: bool = False

    @property
    def scratch(self) -> int:
        return 8 * math.prod(self.at.kernel)

    def write(self, target: Target, in_place: bool) -> Code:
        w, d, at = Writer(), self.out.aval.dtype.short, self.at
        values, winners = self.inputs
        out = _whole(self.out)
        inside = values.strides[-self.axes :] if self.reads else full_strides(at.size)
        between = tuple(e * s for e, s in zip(at.dilation, inside, strict=True))
        for element in range(math.prod(at.kernel)):
            offset = _offset(element, at.kernel, between)
            w.do(f"store i64 {offset}, ptr {shifted(w, '%scratch', element, 'i64')}")
        corner = -sum(b * s for b, s in zip(at.before, inside, strict=True))
        steps = tuple(s * n for s, n in zip(at.stride, inside, strict=True))
        if not self.reads:
            fill(w, target, "%p2", self.out.aval.size, d)
        number_type = winners.base.aval.dtype.short
        with self.planes(w, [values, winners, out]) as (one, wins, end):
            x = shifted(w, one if self.reads else end, corner, d)
            other, strides = (end, full_strides(at.places)) if self.reads else (
                one, values.strides[-self.axes :])  # fmt: skip
            with loops(w, at.places) as t:
                place = moved(w, Spot(wins, winners.strides[-self.axes :]), t, number_type)
                k = w.emit(f"load {stored(number_type)}, ptr {place}")
                if number_type != "i64":
                    k = w.emit(f"zext {stored(number_type)} {k} to i64")
                last = math.prod(at.kernel) - 1
                low = w.emit(f"icmp ult i64 {k}, {last}")
                k = w.emit(f"select i1 {low}, i64 {k}, i64 {last}")
                where = w.emit(f"getelementptr i64, ptr %scratch, i64 {k}")
                step = w.emit(f"load i64, ptr {where}")
                at_x = moved(w, Spot(x, steps), t, d)
                at_x = w.emit(f"getelementptr {stored(d)}, ptr {at_x}, i64 {step}")
                at_y = moved(w, Spot(other, strides), t, d)
                if self.reads:
                    w.do(f"store {stored(d)} {w.emit(f'load {stored(d)}, ptr {at_x}')}, ptr {at_y}")
                else:
                    old = w.emit(f"load {stored(d)}, ptr {at_x}")
                    g = w.emit(f"load {stored(d)}, ptr {at_y}")
                    w.do(f"store {stored(d)} {w.emit(f'fadd {stored(d)} {old}, {g}')}, ptr {at_x}")
        operands = [values.base, winners.base, self.out]
        return Code(self.text(w, 3), operands, set(w.declares), scratch=True)
