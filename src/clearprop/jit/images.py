"""Padded copies of one sample's images, as the loops of a convolution want to read them.

Zeros stand around an image, and between its elements where `spread` is more than 1. With a stride
of s along the last axis a row is kept in s parts, elements 0, s, 2s, ..., then 1, s+1, ..., so that
what windows read next to each other lies next to each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from clearprop.jit.access import Shape
from clearprop.jit.special import Spot, shifted, transfer
from clearprop.jit.target import Target
from clearprop.jit.writer import SIZES, Writer, number, splat, stored


@dataclass(frozen=True)
class Images:
    """`channels` images of `sizes`; element u of the source is at u * spread + before."""

    channels: int
    source: Shape  # sizes before padding
    sizes: Shape
    before: Shape
    spread: Shape
    parts: int  # of a row
    slack: int  # elements behind the last row that may be read

    @property
    def part(self) -> int:
        """Elements of a part of a row."""
        return -(-self.sizes[-1] // self.parts)

    @property
    def strides(self) -> Shape:
        """Elements from one channel to the next, and along all axes but the last."""
        row = self.part * self.parts
        rows = [math.prod(self.sizes[i:-1]) for i in range(len(self.sizes))]
        return tuple(row * n for n in rows)

    @property
    def count(self) -> int:
        return self.channels * self.strides[0] + self.slack

    def column(self, j: int) -> int:
        """Where column j is in a row, seen from the first."""
        return (j % self.parts) * self.part + j // self.parts

    def clear(self, w: Writer, target: Target, at: str, d: str) -> None:
        """Zeros everywhere; those that stand between elements stay."""
        fill(w, target, at, self.count, d)

    def copy(self, w: Writer, target: Target, source: Spot, at: str, d: str) -> None:
        """The elements of a sample; `source` has the strides over channels and axes."""
        ranges = [
            _range(n, m, b, s)
            for n, m, b, s in zip(self.source, self.sizes, self.before, self.spread, strict=True)
        ]
        if any(a >= b for a, b in ranges):
            return
        *outer, (first, last) = ranges
        strides = self.strides
        start, place = 0, 0
        for (a, _), s, step, b, n in zip(
            outer, source.strides[1:-1], self.spread, self.before, strides[1:], strict=False
        ):
            start += a * s
            place += (a * step + b) * n
        sizes = [self.channels, *(b - a for a, b in outer)]
        to = (strides[0], *(s * n for s, n in zip(self.spread, strides[1:], strict=False)))
        along, between = source.strides[-1], self.spread[-1]
        for u, count, column, step in self._runs(first, last):
            transfer(
                w, target, [*sizes, count], d,
                Spot(shifted(w, source.at, start + u * along, d),
                     (*source.strides[:-1], along * step)),
                Spot(shifted(w, at, place + column, d), (*to, 1 if self.parts > 1 else between)),
                "set",
            )  # fmt: skip

    def _runs(self, first: int, last: int) -> Iterator[tuple[int, int, int, int]]:
        """(first element, how many, where it goes in a row, step) for each part of a row."""
        before, spread = self.before[-1], self.spread[-1]
        if self.parts == 1:
            yield first, last - first, first * spread + before, 1
            return
        assert spread == 1, "a row in parts has no zeros in between"
        for u in range(first, min(first + self.parts, last)):
            count = -(-(last - u) // self.parts)
            yield u, count, self.column(u + before), self.parts


def _range(n: int, size: int, before: int, spread: int) -> tuple[int, int]:
    """The elements of an axis that have a place."""
    first = max(0, -(before // spread))
    return first, min(n, (size - 1 - before) // spread + 1)


def fill(w: Writer, target: Target, at: str, count: int, d: str, value: float | int = 0) -> None:
    """The same number everywhere."""
    lanes = target.vector_bits // (8 * SIZES[d])
    kind = f"<{lanes} x {stored(d)}>"
    whole = count - count % lanes
    if whole:
        with w.loop(whole, lanes) as i:
            to = w.emit(f"getelementptr {stored(d)}, ptr {at}, i64 {i}")
            w.do(f"store {kind} {splat(value, d, lanes)}, ptr {to}, align {SIZES[d]}")
    for j in range(whole, count):
        one = f"{stored(d)} {number(value, d)}"
        w.do(f"store {one}, ptr {shifted(w, at, j, d)}, align {SIZES[d]}")
