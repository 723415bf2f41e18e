"""Weight gradients of convolutions, directly, in register tiles: w[o, c, k] = sum over n and t of
g[n, o, t] image[n, c, t * stride + k * dilation].

A tile holds some channels of g times some elements of the kernel while it goes over the places of a
sample. A vector holds neighbours along a row ("along": its lanes are added up at the very end), or
channels of g at one place ("across": g is transposed first).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from clearprop.jit.access import Shape
from clearprop.jit.correlation_tiles import ACROSS, ALONG_ROW
from clearprop.jit.images import Images, fill
from clearprop.jit.special import Code, Special, Spot, full_strides, loops, moved, shifted, transfer
from clearprop.jit.target import WIDEST, Target
from clearprop.jit.tile import Tile, chunks, sums_over
from clearprop.jit.writer import SIZES, Writer


@dataclass(eq=False)
class WeightSum(Special):
    """out = the weight gradient of inputs (x, g)."""

    SAMPLED = (0, 1)
    ADDED = True

    @property
    def work(self) -> float:
        g = self.inputs[1]
        return 2.0 * g.base.aval.size * math.prod(self.out.aval.shape[1:])

    def write(self, target: Target, in_place: bool) -> Code:
        return _Writer(self, target).write()

    @property
    def scratch(self) -> int:
        w = _Writer(self, WIDEST)
        return SIZES[w.d] * (w.images.count + max(w.sizes(ALONG_ROW), w.sizes(ACROSS)) + 64)


class _Writer:
    def __init__(self, of: WeightSum, target: Target) -> None:
        self.of, self.target = of, target
        self.d = of.out.aval.dtype.short
        self.lanes = target.lanes(self.d)
        self.tile = Tile(target, self.d)
        x, g = of.inputs
        p = of.equation.params
        self.groups: int = p["groups"]
        self.kernel: Shape = of.out.aval.shape[2:]
        self.stride, self.dilation = p["stride"], p["dilation"]
        self.places = g.shape[2:]
        self.out = g.shape[1] // self.groups
        self.channels = x.shape[1] // self.groups
        self.elements = math.prod(self.kernel)
        self.wide = -(-self.out // self.lanes) * self.lanes
        self.row = -(-self.places[-1] // self.lanes) * self.lanes
        # one vector more, so that channels do not meet in the same places of the cache
        self.plane = math.prod(self.places[:-1]) * self.row + self.lanes
        sizes = tuple(
            (t - 1) * s + (k - 1) * e + 1
            for t, s, k, e in zip(self.places, self.stride, self.kernel, self.dilation, strict=True)
        )
        before = tuple(a for a, _ in p["padding"])
        self.images = Images(
            x.shape[1], x.shape[2:], sizes, before, (1,) * len(sizes), self.stride[-1],
            2 * self.lanes + self.places[-1],
        )  # fmt: skip
        along, across = self.places[-1] / self.row, 0.9 * self.out / self.wide
        self.way = ALONG_ROW if along >= across else ACROSS
        self.functions: dict[str, str] = {}
        self.names: dict[tuple[int, Shape], str] = {}
        self.declares: set[str] = set()

    def sizes(self, way: str) -> int:
        """Elements of the copy of g and of the sums."""
        if way == ALONG_ROW:
            sums = self.groups * self.channels * self.elements * self.out * self.lanes
            return self.groups * self.out * self.plane + sums
        sums = self.groups * self.channels * self.elements * self.wide
        return self.groups * math.prod(self.places) * self.wide + self.lanes * self.wide + sums

    # ------------------------------------------------------------------ the whole
    def write(self) -> Code:
        of, w, d = self.of, Writer(), self.d
        x, g = of.inputs
        image = "%scratch"
        given = shifted(w, image, self.images.count + (-self.images.count) % 16, d)
        if self.way == ALONG_ROW:
            size = self.groups * self.out * self.plane
            part = self.out * self.plane
            each = self.channels * self.elements * self.out * self.lanes
        else:
            part = math.prod(self.places) * self.wide
            size = self.groups * part + self.lanes * self.wide
            each = self.channels * self.elements * self.wide
        sums = shifted(w, given, size, d)
        self.images.clear(w, self.target, image, d)
        fill(w, self.target, given, size + self.groups * each, d)
        source = shifted(w, "%p0", x.offset, d)
        cotangent = shifted(w, "%p1", g.offset, d)
        with loops(w, x.shape[:1]) as (n,):
            sample = moved(w, Spot(source, x.strides[:1]), [n], d)
            self.images.copy(w, self.target, Spot(sample, x.strides[1:]), image, d)
            of_sample = moved(w, Spot(cotangent, g.strides[:1]), [n], d)
            with loops(w, [self.groups] if self.groups > 1 else []) as group:
                at = moved(w, Spot(image, (self.channels * self.images.strides[0],)), group, d)
                have = moved(w, Spot(of_sample, (self.out * g.strides[1],)), group, d)
                copy = moved(w, Spot(given, (part,)), group, d)
                total = moved(w, Spot(sums, (each,)), group, d)
                self._copy(w, Spot(have, g.strides[1:]), copy)
                self._tiles(w, at, copy, total)
        self._result(w, sums, "%p2")
        w.do("ret void")
        self.declares |= w.declares
        head = "define internal void @KERNEL(ptr %p0, ptr %p1, ptr %p2, ptr %scratch) #0 {"
        main = "\n".join([head, "entry:", *w.lines, "}"])
        operands = [x.base, g.base, of.out]
        return Code(
            "\n".join([*self.functions.values(), main]), operands, self.declares, scratch=True
        )

    def _copy(self, w: Writer, g: Spot, to: str) -> None:
        """A sample's g: rows filled up with zeros, or [place][channel]."""
        d = self.d
        sizes = [self.out, *self.places]
        if self.way == ALONG_ROW:
            strides = (self.plane, *full_strides((*self.places[:-1], self.row)))
            transfer(w, self.target, sizes, d, g, Spot(to, strides), "set")
            return
        plain = math.prod(self.places)
        packed = g.strides[1:] == _packed(self.places)
        if not packed or plain < self.lanes:
            strides = (1, *(s * self.wide for s in full_strides(self.places)))
            transfer(w, self.target, sizes, d, g, Spot(to, strides), "set")
            return
        t, lanes = self.tile, self.lanes
        step = g.strides[0]

        def square(o: str, p: str, valid: int) -> None:
            at = moved(w, Spot(g.at, (step, 1)), [o, p], d)
            rows = [t.load(w, shifted(w, at, i * step, d)) for i in range(valid)]
            place = moved(w, Spot(to, (1, self.wide)), [o, p], d)
            for i, x in enumerate(t.transposed(w, rows)):
                t.store(w, x, shifted(w, place, i * self.wide, d), valid)

        whole = plain - plain % lanes
        for o, valid in chunks(w, self.out, lanes):
            with w.loop(whole, lanes) as p:
                square(o, p, valid)
            if whole < plain:  # the last ones again, further back
                square(o, str(plain - lanes), valid)

    # ------------------------------------------------------------------ tiles
    def _shape(self) -> tuple[int, int, int]:
        """Channels of the image that are taken together, channels of g (or vectors of them), and
        elements of the kernel in a tile.
        """
        along, most = self.way == ALONG_ROW, self.tile.most
        whole = self.out if along else self.wide // self.lanes
        best = (math.inf, 1, 1, 1)
        for c in range(1, max(1, min(self.channels, most // self.elements)) + 1):
            elements = c * self.elements
            for r in range(1, min(whole, 16 if along else 2) + 1):
                for k in range(1, min(elements, most + (r == 1)) + 1):  # the 25 of 5 x 5 fit, too
                    if r * k > most + (r == 1) or r * k + r + 2 > self.target.registers:
                        continue
                    cost = 1 + 0.3 * (r + k) / (r * k) + max(0.0, 6 / (r * k) - 1)
                    for n, size in ((whole, r), (elements, k), (self.channels, c)):
                        cost *= 1 + 0.05 * (n % size != 0)
                    best = min(best, (cost, -c, r, k))
        _, c, r, k = best
        return -c, r, k

    def _tiles(self, w: Writer, image: str, g: str, sums: str) -> None:
        """All tiles for a sample; what they read of g stays in the cache."""
        together, r, k = self._shape()
        d, plane = self.d, self.images.strides[0]
        if self.way == ALONG_ROW:
            whole, g_step, wide = self.out, self.plane, self.lanes
            wide *= self.out
        else:
            whole, g_step, wide = self.wide // self.lanes, self.lanes, self.wide
        for o, rows in chunks(w, whole, r):
            here = moved(w, Spot(g, (g_step,)), [o], d)
            of_rows = moved(w, Spot(sums, (self.lanes,)), [o], d)
            for c, some in chunks(w, self.channels, together):
                x = moved(w, Spot(image, (plane,)), [c], d)
                total = moved(w, Spot(of_rows, (self.elements * wide,)), [c], d)
                for first in range(0, some * self.elements, k):
                    offsets = list(self._offsets(first, min(k, some * self.elements - first)))
                    name = self._function(rows, tuple(at - offsets[0] for at in offsets))
                    begin = shifted(w, x, offsets[0], d)
                    at = shifted(w, total, first * wide, d)
                    w.do(f"call void @{name}(ptr {begin}, ptr {here}, ptr {at})")

    def _offsets(self, first: int, count: int) -> Iterator[int]:
        """Where elements of a window, and of those of the next channels, are in the image."""
        steps = (*self.images.strides[1:], 1)
        for i in range(first, first + count):
            channel, left = divmod(i, self.elements)
            at = channel * self.images.strides[0]
            for axis in range(len(self.kernel) - 1, -1, -1):
                left, j = divmod(left, self.kernel[axis])
                j *= self.dilation[axis]
                at += self.images.column(j) if axis == len(self.kernel) - 1 else j * steps[axis]
            yield at

    def _function(self, rows: int, offsets: Shape) -> str:
        """The function for a tile; `offsets`: where its elements are in the image."""
        if (rows, offsets) in self.names:
            return self.names[rows, offsets]
        name = f"KERNEL.{self.way}{rows}x{len(offsets)}.{len(self.names)}"
        self.names[rows, offsets] = name
        count = len(offsets)
        w, t, d, lanes = Writer(), self.tile, self.d, self.lanes
        along = self.way == ALONG_ROW
        wide = self.out * lanes if along else self.wide
        places = [
            (k, r, shifted(w, "%s", k * wide + r * lanes, d))
            for k in range(count)
            for r in range(rows)
        ]
        sums = [t.load(w, at) for _, _, at in places]
        down = tuple(s * n for s, n in zip(self.stride, self.images.strides[1:], strict=False))
        plane = self.plane

        def round_(counters: list[str], sums: list[str], valid: int = lanes) -> list[str]:
            x = moved(w, Spot("%x", (*down, lanes if along else 1)), counters, d)
            if along:
                steps = full_strides((*self.places[:-1], self.row))
                at = moved(w, Spot("%g", (*steps[:-1], lanes)), counters, d)
                gs = [t.load(w, shifted(w, at, r * plane, d), valid) for r in range(rows)]
            else:
                steps = tuple(s * self.wide for s in full_strides(self.places))
                at = moved(w, Spot("%g", steps), counters, d)
                gs = [t.load(w, shifted(w, at, r * lanes, d)) for r in range(rows)]
            for k in range(count):
                place = shifted(w, x, offsets[k], d)
                xs = t.load(w, place, valid) if along else t.spread(w, place)
                for r in range(rows):
                    sums[k * rows + r] = t.fma(w, xs, gs[r], sums[k * rows + r])
            return sums

        def row(counters: list[str], sums: list[str]) -> list[str]:
            whole, rest = divmod(self.places[-1], lanes)
            if whole:
                more = lambda i, sums: round_([*counters, *i], sums)
                sums = sums_over(w, [whole], sums, t.kind, more)
            return round_([*counters, str(whole)], sums, rest) if rest else sums

        if along:
            sums = sums_over(w, self.places[:-1], sums, t.kind, row)
        else:
            sums = sums_over(w, self.places, sums, t.kind, round_)
        for (_, _, at), s in zip(places, sums, strict=True):
            t.store(w, s, at)
        w.do("ret void")
        self.declares |= w.declares
        head = f"define internal void @{name}(ptr %x, ptr %g, ptr %s) noinline #0 {{"
        self.functions[name] = "\n".join([head, "entry:", *w.lines, "}"])
        return name

    # ------------------------------------------------------------------ the end
    def _result(self, w: Writer, sums: str, to: str) -> None:
        """[group][c][k][o] to [group][o][c][k]; lanes are added up."""
        d, t = self.d, self.tile
        sizes = [self.groups, self.channels, self.elements, self.out]
        target = full_strides((self.groups, self.out, self.channels, self.elements))
        strides = (target[0], target[2], target[3], target[1])
        if self.way == ACROSS:
            source = full_strides((*sizes[:-1], self.wide))
            transfer(w, self.target, sizes, d, Spot(sums, source), Spot(to, strides), "set")
            return
        with loops(w, sizes) as counters:
            x = moved(w, Spot(sums, full_strides((*sizes, self.lanes))), counters, d)
            total = t.total(w, t.load(w, x))
            w.do(f"store {t.element} {total}, ptr {moved(w, Spot(to, strides), counters, d)}")


def _packed(shape: Shape) -> Shape:
    return tuple(math.prod(shape[i + 1 :]) if n != 1 else 0 for i, n in enumerate(shape))
