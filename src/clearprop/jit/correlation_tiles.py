"""The register tiles of convolutions: y[n, o, t] = sum over c and k of w[o, c, k] image[n, c,
t * stride + k * dilation].

A vector holds neighbours along a row of the result ("along"), or channels of it at one place
("across"), whichever leaves fewer lanes idle; across, the tile is transposed when it is stored.
Rows of the kernel that meet nothing but padding are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clearprop.jit.access import Access, Shape
from clearprop.jit.images import Images, fill
from clearprop.jit.special import Spot, full_strides, loops, moved, shifted, transfer
from clearprop.jit.target import Target
from clearprop.jit.tile import Tile, chunks, sums_over
from clearprop.jit.writer import Writer

ALONG_ROW, ACROSS = "along", "across"
LONG = 16  # elements of a row of the kernel that are written out one by one


@dataclass(frozen=True)
class Correlation:
    """One group's sum: sizes, and where the kernel's elements are (`at`, strides over o, c, k)."""

    channels: int  # of the image, in a group
    out: int  # channels of the result, in a group
    groups: int
    kernel: Shape
    places: Shape  # sizes of the result
    stride: Shape
    dilation: Shape
    image: Images
    kernel_strides: Shape
    mirrored: bool
    first: int = 0  # where the kernel's first element is
    start: Shape = ()  # the result's places are start, start + step, ... of the whole; () is all
    step: Shape = ()

    @property
    def rows(self) -> Shape:
        return self.places[:-1]

    def reach(self, k: Sequence[int]) -> int:
        """Where element k of a window is, seen from the first."""
        steps = self.image.strides[1:]
        outer = sum(i * d * s for i, d, s in zip(k[:-1], self.dilation, steps, strict=False))
        return outer + self.image.column(k[-1] * self.dilation[-1])

    def taps(self, i: int, h: int) -> tuple[int, int]:
        """(first, how many) of the kernel's elements along the rows' axis that meet more than zeros
        somewhere in rows i to i + h of the result.
        """
        axis = len(self.places) - 2
        image, s, e = self.image, self.stride[axis], self.dilation[axis]
        before, n = image.before[axis], self.kernel[axis]
        begin = max(0, before)
        end = before + (image.source[axis] - 1) * image.spread[axis] + 1
        first = max(0, -(-(begin - (i + h - 1) * s) // e))
        last = min(n, (end - 1 - i * s) // e + 1)
        return (first, last - first) if first < last else (0, 0)

    def blocks(self, height: int) -> list[tuple[int, int, int, tuple[int, int]]]:
        """Blocks of rows: (first row, how many blocks, rows of each, taps), equal ones together."""
        n = self.places[-2]
        out: list[tuple[int, int, int, tuple[int, int]]] = []
        for i in range(0, n, height):
            h = min(height, n - i)
            taps = self.taps(i, h)
            if out and out[-1][2:] == (h, taps):
                first, count, *_ = out[-1]
                out[-1] = (first, count + 1, h, taps)
            else:
                out.append((i, 1, h, taps))
        return out

    @property
    def down(self) -> Shape:
        """Elements of the image from one row of the result to the next, along each axis."""
        return tuple(s * n for s, n in zip(self.stride, self.image.strides[1:], strict=False))


class Correlator:
    """The tiles of one sum."""

    def __init__(
        self, g: Correlation, d: str, target: Target, tag: str, bias: Access | None, relu: bool
    ) -> None:
        self.g, self.d, self.target, self.tag = g, d, target, tag
        self.bias_access, self.relu = bias, relu
        self.lanes = target.lanes(self.d)
        self.tile = Tile(target, self.d)
        self.wide = -(-g.out // self.lanes) * self.lanes  # channels of the result, in whole vectors
        self.way = self._way()
        self.table_size = g.groups * g.channels * math.prod(g.kernel) * self.wide
        self.functions: dict[str, str] = {}
        self.declares: set[str] = set()

    @property
    def _weight_strides(self) -> Shape:
        """Of the weights that tiles read, over channels and the kernel's axes."""
        g = self.g
        if self.way == ALONG_ROW:
            return g.kernel_strides[1:]
        return tuple(s * self.wide for s in full_strides((g.channels, *g.kernel)))

    def _way(self) -> str:
        """The way that leaves fewer lanes idle, what a transposed store costs counted in."""
        g, lanes = self.g, self.lanes
        row = g.places[-1]
        along = row / (-(-row // lanes) * lanes)
        depth = max(1, g.channels * math.prod(g.kernel))
        across = g.out / self.wide / (1 + 6 * lanes / (depth * min(row, lanes)))
        return ALONG_ROW if along >= across else ACROSS

    # ------------------------------------------------------------------ the whole
    @property
    def space(self) -> int:
        """Elements of memory for the image and the weights."""
        return _rounded(self.g.image.count) + _rounded(self.table_size)

    def prepare(self, w: Writer, free: str) -> str:
        """What is done once; `free` is memory from where on it is free, and where it is then."""
        g, d, bias = self.g, self.d, self.bias_access
        self.image = free
        table = shifted(w, free, _rounded(g.image.count), d)
        g.image.clear(w, self.target, self.image, d)
        self.weights = shifted(w, "%p1", g.first, d)
        if self.way == ACROSS:
            self._table(w, self.weights, table)
            self.weights = table
        self.bias = None if bias is None else shifted(w, "%p2", bias.offset, d)
        return shifted(w, table, _rounded(self.table_size), d)

    def sample(self, w: Writer, x: Spot, y: str) -> None:
        """What is done for a sample."""
        g, d = self.g, self.d
        g.image.copy(w, self.target, x, self.image, d)
        if self.way == ACROSS:
            step = g.channels * math.prod(g.kernel) * self.wide
        elif g.mirrored:
            step = g.channels * g.kernel_strides[1]
        else:
            step = g.out * g.kernel_strides[0]
        with loops(w, [g.groups] if g.groups > 1 else []) as group:
            at = moved(w, Spot(self.image, (g.channels * g.image.strides[0],)), group, d)
            y = moved(w, Spot(y, (g.out * math.prod(g.places),)), group, d)
            bias = None if self.bias is None else moved(w, Spot(self.bias, (g.out,)), group, d)
            self._group(w, at, moved(w, Spot(self.weights, (step,)), group, d), y, bias)

    def _table(self, w: Writer, weights: str, table: str) -> None:
        """The kernel as [group][c][k][o], o in whole vectors; what is too much is zero."""
        g, d = self.g, self.d
        if self.wide != g.out:
            fill(w, self.target, table, self.table_size, d)
        sizes = [g.groups, g.channels, *g.kernel, g.out]
        o, c, *k = g.kernel_strides
        first = g.channels * c if g.mirrored else g.out * o
        transfer(w, self.target, sizes, d, Spot(weights, (first, c, *k, o)),
                 Spot(table, full_strides((*sizes[:-1], self.wide))), "set")  # fmt: skip

    def _group(self, w: Writer, image: str, weights: str, y: str, bias: str | None) -> None:
        """All tiles of a group: blocks of channels, then rows, then places in a row."""
        g, d = self.g, self.d
        if self.way == ALONG_ROW:
            rows, height, width = self._along_sizes()
            step, weight_step = rows, rows * g.kernel_strides[0]
            width *= self.lanes
        else:
            vectors, height, width = self._across_sizes()
            step, weight_step = vectors * self.lanes, vectors * self.lanes
        plane = math.prod(g.places)
        outer = g.rows[:-1]
        strides = [math.prod(g.places[i + 1 :]) for i in range(len(g.places))]
        steps = g.down

        def columns(r: int, h: int, taps: int, at: Sequence[str]) -> None:
            for j, width_now in chunks(w, g.places[-1], width):
                x = moved(w, Spot(at[0], (1,)), [j], d)
                to = moved(w, Spot(at[2], (1,)), [j], d)
                given = [f"ptr {x}", f"ptr {at[1]}", f"ptr {to}", f"i64 {taps}"]
                if bias is not None:
                    given.append(f"ptr {at[3]}")
                name = self._function(r, h, width_now, taps)
                w.do(f"call void @{name}({', '.join(given)})")

        for o, r in chunks(w, g.out, step):
            v = moved(w, Spot(weights, (weight_step // step,)), [o], d)
            to = moved(w, Spot(y, (plane,)), [o], d)
            b = "" if bias is None else moved(w, Spot(bias, (1,)), [o], d)
            with loops(w, outer) as counters:
                x = moved(w, Spot(image, steps[: len(outer)]), counters, d)
                to = moved(w, Spot(to, tuple(strides[: len(outer)])), counters, d)
                if not g.rows:
                    columns(r, 1, 1, (x, v, to, b))
                    continue
                tap = g.dilation[-2] * g.image.strides[-1]
                for i, count, h, (first, taps) in g.blocks(height):
                    with loops(w, [count] if count > 1 else []) as block:
                        here = shifted(w, x, i * steps[-1] + first * tap, d)
                        there = shifted(w, to, i * g.places[-1], d)
                        here = moved(w, Spot(here, (h * steps[-1],)), block, d)
                        there = moved(w, Spot(there, (h * g.places[-1],)), block, d)
                        taken = shifted(w, v, first * self._weight_strides[-2], d)
                        columns(r, h, taps, (here, taken, there, b))

    # ------------------------------------------------------------------ tiles
    def _along_sizes(self) -> tuple[int, int, int]:
        """Channels, rows and vectors of a tile."""
        g = self.g
        vectors = -(-g.places[-1] // self.lanes)
        down = g.rows[-1] if g.rows else 1
        best = (math.inf, 1, 1, 1)
        for v in range(1, min(vectors, 4) + 1):
            for h in range(1, min(down, 8) + 1):
                for r in range(1, min(g.out, 16) + 1):
                    if r * v * h <= self.tile.most and (r + 1) * v * h < self.target.registers:
                        cost = self._cost(r, v * h, h, [(g.out, r), (vectors, v), (down, h)])
                        best = min(best, (cost, r, h, v))
        return best[1:]

    def _across_sizes(self) -> tuple[int, int, int]:
        """Vectors of channels, rows and places of a tile."""
        g = self.g
        vectors = self.wide // self.lanes
        down = g.rows[-1] if g.rows else 1
        best = (math.inf, 1, 1, 1)
        for v in range(1, min(vectors, 3) + 1):
            for h in range(1, min(down, 8) + 1):
                for t in range(1, min(g.places[-1], self.tile.most) + 1):
                    if v * h * t <= self.tile.most:
                        parts = [(vectors, v), (down, h), (g.places[-1], t)]
                        cost = self._cost(v, h * t, h, parts)
                        # LLVM keeps what neighbouring elements of the kernel read in common
                        alive = v * h * t + h * (t + g.kernel[-1] - 1) + v
                        cost *= 1 + 0.15 * (alive > self.target.registers)
                        best = min(best, (cost, v, h, t))
        return best[1:]

    def _cost(self, a: int, b: int, h: int, splits: list[tuple[int, int]]) -> float:
        """Loads per multiplication, more where a tile is small or leaves a rest, less where zeros
        are left out.
        """
        g = self.g
        cost = 1 + 0.1 * (a + b) / (a * b) + max(0.0, 6 / (a * b) - 1)
        if g.rows:
            done = sum(count * rows * taps for _, count, rows, (_, taps) in g.blocks(h))
            cost *= done / max(1, g.rows[-1] * g.kernel[-2])
        for whole, part in splits:
            cost *= 1 + 0.05 * (whole % part != 0)
        return cost

    def _function(self, r: int, h: int, width: int, taps: int) -> str:
        """The function for one tile: (image, weights, result, taps[, bias]). Of the kernel's rows
        so many count; it is another one where none does.
        """
        name = f"KERNEL.{self.tag}{self.way}{r}x{h}x{width}{'' if taps else '.0'}"
        if name not in self.functions:
            w = Writer()
            if self.way == ALONG_ROW:
                self._tile_along(w, r, h, width, taps)
            else:
                self._tile_across(w, r, h, width, taps)
            w.do("ret void")
            self.declares |= w.declares
            more = ", ptr %bias" if self.bias_access is not None else ""
            head = (
                f"define internal void @{name}(ptr %x, ptr %w, ptr %y, i64 %n{more}) noinline #0 {{"
            )
            self.functions[name] = "\n".join([head, "entry:", *w.lines, "}"])
        return name

    def _deep(
        self, w: Writer, count: int, body: Callable[[str, str, int, list[str]], None], taps: int
    ) -> list[str]:
        """Sums over channels and the kernel's elements: body(image, weights, n, sums) adds n of a
        row of the kernel.
        """
        g, d = self.g, self.d
        sizes: list[int | str] = [g.channels, *g.kernel[:-1]]
        if g.rows and taps and any(b[3] != (0, g.kernel[-2]) for b in g.blocks(1)):
            sizes[-1] = "%n"
        if not taps or 0 in sizes or not g.kernel[-1]:
            return ["zeroinitializer"] * count
        strides = self._weight_strides
        steps = [g.image.strides[0]]
        steps += [e * s for e, s in zip(g.dilation, g.image.strides[1:], strict=False)]
        # a long row in pieces whose elements lie alike
        parts = g.image.parts
        piece = g.kernel[-1] if g.kernel[-1] <= LONG else parts * max(1, LONG // (2 * parts))
        whole, rest = divmod(g.kernel[-1], piece)
        ahead = piece * g.dilation[-1] // parts

        def inner(counters: list[str], sums: list[str]) -> list[str]:
            x = moved(w, Spot("%x", tuple(steps)), counters, d)
            v = moved(w, Spot("%w", strides), counters, d)

            def pieces(i: list[str], sums: list[str]) -> list[str]:
                here = moved(w, Spot(x, (ahead,)), i, d)
                body(here, moved(w, Spot(v, (piece * strides[-1],)), i, d), piece, sums)
                return sums

            sums = sums_over(w, [whole], sums, self.tile.kind, pieces)
            if rest:
                far = shifted(w, v, whole * piece * strides[-1], d)
                body(shifted(w, x, whole * ahead, d), far, rest, sums)
            return sums

        return sums_over(w, sizes, ["zeroinitializer"] * count, self.tile.kind, inner)

    def _tile_along(self, w: Writer, r: int, h: int, width: int, taps: int) -> None:
        """r channels, h rows, `width` neighbours in each."""
        g, t = self.g, self.tile
        vectors = -(-width // self.lanes)
        o, along = g.kernel_strides[0], g.kernel_strides[-1]
        down = g.down[-1] if g.down else 0

        def row(x: str, v: str, n: int, sums: list[str]) -> None:
            for j in range(n):
                here = shifted(w, x, g.reach((*(0,) * (len(g.kernel) - 1), j)), self.d)
                xs = [
                    t.load(w, shifted(w, here, i * down + q * self.lanes, self.d))
                    for i in range(h)
                    for q in range(vectors)
                ]
                for a in range(r):
                    one = t.spread(w, shifted(w, v, a * o + j * along, self.d))
                    for b, xv in enumerate(xs):
                        at = a * len(xs) + b
                        sums[at] = t.fma(w, one, xv, sums[at])

        sums = self._deep(w, r * h * vectors, row, taps)
        plane = math.prod(g.places)
        for a in range(r):
            bias = None
            if self.bias_access is not None:
                bias = t.spread(w, shifted(w, "%bias", a, self.d))
            for i in range(h):
                for q in range(vectors):
                    value = t.finish(w, sums[(a * h + i) * vectors + q], bias, self.relu)
                    to = shifted(w, "%y", a * plane + i * g.places[-1] + q * self.lanes, self.d)
                    t.store(w, value, to, min(self.lanes, width - q * self.lanes))

    def _tile_across(self, w: Writer, r: int, h: int, width: int, taps: int) -> None:
        """r channels in whole vectors, h rows, `width` places in each."""
        g, t, lanes = self.g, self.tile, self.lanes
        vectors = -(-r // lanes)
        down = g.down[-1] if g.down else 0
        wide = self.wide

        def row(x: str, v: str, n: int, sums: list[str]) -> None:
            for j in range(n):
                here = shifted(w, x, g.reach((*(0,) * (len(g.kernel) - 1), j)), self.d)
                ws = [
                    t.load(w, shifted(w, v, j * wide + q * lanes, self.d)) for q in range(vectors)
                ]
                for i in range(h):
                    for p in range(width):
                        one = t.spread(w, shifted(w, here, i * down + p, self.d))
                        for q, wv in enumerate(ws):
                            at = (i * width + p) * vectors + q
                            sums[at] = t.fma(w, one, wv, sums[at])

        sums = self._deep(w, h * width * vectors, row, taps)
        plane = math.prod(g.places)
        for q in range(vectors):
            valid = min(lanes, r - q * lanes)
            bias = None
            if self.bias_access is not None:
                bias = t.load(w, shifted(w, "%bias", q * lanes, self.d), valid)
            for i in range(h):
                for first in range(0, width, lanes):
                    count = min(lanes, width - first)
                    block = [
                        t.finish(w, sums[(i * width + first + p) * vectors + q], bias, self.relu)
                        for p in range(count)
                    ]
                    for a, value in enumerate(t.transposed(w, block)[:valid]):
                        to = (q * lanes + a) * plane + i * g.places[-1] + first
                        t.store(w, value, shifted(w, "%y", to, self.d), count)


def _rounded(count: int) -> int:
    return count + (-count) % 16
