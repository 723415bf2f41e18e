"""Convolutions and their input gradients, directly, in register tiles (see correlation_tiles).

The input gradient is a convolution of the padded cotangent with the kernel mirrored and channels
exchanged. Of one with a stride, every remainder of the places by the stride is a convolution of its
own, with those elements of the kernel that reach it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from clearprop.jit.access import Access, Shape
from clearprop.jit.correlation_tiles import Correlation, Correlator
from clearprop.jit.images import Images
from clearprop.jit.special import Code, Special, Spot, full_strides, loops, moved, shifted, transfer
from clearprop.jit.target import WIDEST, Target
from clearprop.jit.writer import SIZES, Writer


@dataclass(eq=False)
class Convolve(Special):
    """`size`: None for a convolution of (x, w); for the input gradient of (g, w), what its result's
    sizes are. A bias for every channel and ReLU are done while a tile is stored.
    """

    SAMPLED = (0,)

    size: Shape | None = None
    bias: Access | None = None
    relu: bool = False

    @property
    def work(self) -> float:
        w = self.inputs[1]
        x_or_g = self.inputs[0].base.aval.size if self.size is not None else self.out.aval.size
        return 2.0 * x_or_g * math.prod(w.shape[1:])

    def parts(self, target: Target) -> list[Correlation]:
        """What there is to add up: one sum; of a gradient with a stride, one for every remainder of
        the places by the stride, as each meets elements of the kernel of its own.
        """
        x, w = self.inputs[:2]
        p = self.equation.params
        d, kernel, stride = len(p["stride"]), w.shape[2:], p["stride"]
        groups, padding, dilation = p["groups"], p["padding"], p["dilation"]
        places = self.out.aval.shape[2:]
        slack = 2 * target.lanes(self.out.aval.dtype.short) + places[-1]
        before = tuple(a for a, _ in padding)
        if self.size is None:
            sizes = tuple(
                (t - 1) * s + (k - 1) * e + 1
                for t, s, k, e in zip(places, stride, kernel, dilation, strict=True)
            )
            images = Images(x.shape[1], x.shape[2:], sizes, before, (1,) * d, stride[-1], slack)
            return [
                Correlation(
                    w.shape[1], w.shape[0] // groups, groups, kernel, places, stride, dilation,
                    images, w.strides, mirrored=False, first=w.offset,
                )
            ]  # fmt: skip
        if any(math.gcd(s, e) > 1 for s, e in zip(stride, dilation, strict=True)):
            return [self._of_remainder((1,) * d, (0,) * d, stride, slack)]
        return [
            self._of_remainder(stride, remainder, (1,) * d, slack)
            for remainder in itertools.product(*map(range, stride))
            if all(
                _first_place(r, b, s) < n
                for r, b, s, n in zip(remainder, before, stride, places, strict=True)
            )
        ]

    def _of_remainder(
        self, stride: Shape, remainder: Shape, spread: Shape, slack: int
    ) -> Correlation:
        """The gradient at places s with (s + before) % stride == remainder."""
        g, w = self.inputs[:2]
        p = self.equation.params
        places, taps, sizes, before, start, first = [], [], [], [], [], w.offset
        for n, k, s, r, e, (b, _), step in zip(
            self.out.aval.shape[2:], w.shape[2:], stride, remainder, p["dilation"], p["padding"],
            w.strides[2:], strict=True,
        ):  # fmt: skip
            begin = _first_place(r, b, s)
            count = -(-(n - begin) // s)
            k0 = next(i for i in range(s) if (i * e - r) % s == 0)
            m = max(0, -(-(k - k0) // s))
            # element k0 + i * s of window t reaches (s + before - r) / s = t + shift + i * e
            shift = (k0 * e - r) // s
            places.append(count)
            taps.append(m)
            sizes.append(max(1, count + (m - 1) * e))
            before.append(shift + (m - 1) * e - (begin + b) // s)
            start.append(begin)
            first += (k0 + (m - 1) * s) * step if m else 0
        images = Images(g.shape[1], g.shape[2:], tuple(sizes), tuple(before), spread, 1, slack)
        groups = p["groups"]
        strides = (w.strides[1], w.strides[0],
                   *(-step * s for step, s in zip(w.strides[2:], stride, strict=True)))  # fmt: skip
        whole = all(s == 1 for s in stride)
        return Correlation(
            w.shape[0] // groups, w.shape[1], groups, tuple(taps), tuple(places),
            (1,) * len(places), p["dilation"], images, strides, mirrored=True, first=first,
            start=() if whole else tuple(start), step=() if whole else stride,
        )  # fmt: skip

    def _writers(self, parts: list[Correlation], target: Target) -> list[Correlator]:
        d = self.out.aval.dtype.short
        return [
            Correlator(g, d, target, f"{i}." if len(parts) > 1 else "", self.bias, self.relu)
            for i, g in enumerate(parts)
        ]

    def write(self, target: Target, in_place: bool) -> Code:
        parts = self.parts(target)
        writers = self._writers(parts, target)
        d, w = writers[0].d, Writer()
        x = self.inputs[0]
        operands = [a.base for a in self.inputs] + [self.out]
        end = f"%p{len(operands) - 1}"
        free = "%scratch"
        for writer in writers:
            free = writer.prepare(w, free)
        out = self.out.aval.shape
        strides = full_strides(out)
        source = shifted(w, "%p0", x.offset, d)
        with loops(w, x.shape[:1]) as (n,):
            sample = Spot(moved(w, Spot(source, x.strides[:1]), [n], d), x.strides[1:])
            y = moved(w, Spot(end, strides[:1]), [n], d)
            for writer, g in zip(writers, parts, strict=True):
                writer.sample(w, sample, free if g.start else y)
                if g.start:
                    begin = sum(a * s for a, s in zip(g.start, strides[2:], strict=True))
                    steps = (a * s for a, s in zip(g.step, strides[2:], strict=True))
                    sizes = [out[1], *g.places]
                    to = Spot(shifted(w, y, begin, d), (strides[1], *steps))
                    transfer(w, target, sizes, d, Spot(free, full_strides(sizes)), to, "set")
        w.do("ret void")
        arguments = ", ".join([*(f"ptr %p{i}" for i in range(len(operands))), "ptr %scratch"])
        main = "\n".join(
            [f"define internal void @KERNEL({arguments}) #0 {{", "entry:", *w.lines, "}"]
        )
        declares = set(w.declares).union(*(writer.declares for writer in writers))
        functions = [text for writer in writers for text in writer.functions.values()]
        return Code("\n".join([*functions, main]), operands, declares, scratch=True)

    @property
    def scratch(self) -> int:
        parts = self.parts(WIDEST)
        writers = self._writers(parts, WIDEST)
        plane = max(math.prod(g.places) for g in parts) * self.out.aval.shape[1]
        return SIZES[writers[0].d] * (sum(writer.space for writer in writers) + plane + 64)


def _first_place(remainder: int, before: int, stride: int) -> int:
    """The first s >= 0 with (s + before) % stride == remainder."""
    return (remainder - before) % stride
