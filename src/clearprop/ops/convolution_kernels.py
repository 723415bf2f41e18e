"""Convolutions of NumPy arrays: windows of the input as a matrix (im2col), then BLAS products.

The matrix is made in two steps, because NumPy copies long runs fast and short ones slowly. The
first takes the windows along the last axis only: strips[n, c, j, ..., t] is column t * stride + j *
dilation of the padded input. The second takes them along the other axes, where whole images lie
one after the other. Samples go in blocks that stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Sizes = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]  # (before, after) per spatial axis

BLOCK = 1 << 18  # elements of the windows of one block of samples
MANY = 256  # places from which on the weight gradient reads g as it lies


def output_size(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int) -> int:
    """How many windows fit along one axis."""
    return (size + pads[0] + pads[1] - dilation * (kernel - 1) - 1) // stride + 1


def windows(x: np.ndarray, kernel: Sizes, out: Sizes, stride: Sizes, dilation: Sizes) -> np.ndarray:
    """A view (..., *kernel, *out) of x (..., *S): [k, t] is x[t * stride + k * dilation]."""
    lead = x.ndim - len(kernel)
    steps = x.strides[lead:]
    strides = (
        *x.strides[:lead],
        *(s * d for s, d in zip(steps, dilation, strict=True)),
        *(s * t for s, t in zip(steps, stride, strict=True)),
    )
    shape = (*x.shape[:lead], *kernel, *out)
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)


@dataclass(frozen=True)
class _Geometry:
    """Sizes of a convolution, and where the pieces of its windows are."""

    size: Sizes
    kernel: Sizes
    stride: Sizes
    padding: Pads
    dilation: Sizes
    groups: int
    channels: int  # of the input

    @property
    def out(self) -> Sizes:
        return tuple(
            map(output_size, self.size, self.kernel, self.stride, self.padding, self.dilation)
        )

    @property
    def rows(self) -> int:
        """Rows of the matrix of windows of one group."""
        return self.channels // self.groups * math.prod(self.kernel)

    @property
    def plain(self) -> bool:
        """Whether every element is a window: nothing is to be moved."""
        return (
            all(k == 1 for k in self.kernel)
            and all(s == 1 for s in self.stride)
            and not any(a or b for a, b in self.padding)
        )

    @property
    def middle(self) -> Sizes:
        """Padded sizes of all axes but the last."""
        return tuple(n + a + b for n, (a, b) in zip(self.size, self.padding, strict=True))[:-1]

    def blocks(self, n: int) -> list[slice]:
        """Samples 0..n in blocks."""
        step = max(1, BLOCK // max(1, self.groups * self.rows * math.prod(self.out)))
        return [slice(i, min(n, i + step)) for i in range(0, n, step)]

    def strips(self, n: int, dtype: Any) -> np.ndarray:
        """Memory for the strips of n samples, zeros."""
        return np.zeros((n, self.channels, self.kernel[-1], *self.middle, self.out[-1]), dtype)

    def pairs(self, strips: np.ndarray, x: np.ndarray) -> Iterator[tuple[Any, Any]]:
        """The part of the strips for each offset of the last axis, and the columns of x in it."""
        (a, _), n = self.padding[-1], self.size[-1]
        d, s, t = self.dilation[-1], self.stride[-1], self.out[-1]
        rows = [
            slice(b, b + m) for (b, _), m in zip(self.padding[:-1], self.size[:-1], strict=True)
        ]
        whole = slice(None)
        for j in range(self.kernel[-1]):
            first = max(0, -((j * d - a) // s))
            last = min(t, (n - 1 + a - j * d) // s + 1)
            if first < last:
                start = first * s + j * d - a
                columns = slice(start, start + (last - first - 1) * s + 1, s)
                part: Any = (whole, whole, j, *rows, slice(first, last))
                yield strips[part], x[..., columns]

    def stacked(self, strips: np.ndarray) -> np.ndarray:
        """A view of strips with their windows along all axes but the last, in the order of the
        rows and columns of the matrix.
        """
        d = len(self.kernel) - 1
        view = windows(
            np.moveaxis(strips, -1, 3), self.kernel[:-1], self.out[:-1], self.stride[:-1],
            self.dilation[:-1],
        )  # fmt: skip
        # (n, c, j, t, *k, *places) to (n, c, *k, j, *places, t)
        return view.transpose((0, 1, *range(4, 4 + d), 2, *range(4 + d, 4 + 2 * d), 3))

    def columns(self, x: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of samples, and their windows as matrices (block, groups, rows, places)."""
        n, out = len(x), self.out
        if self.plain:
            places = math.prod(out)
            yield slice(0, n), np.ascontiguousarray(x).reshape(n, self.groups, self.rows, places)
            return
        blocks = self.blocks(n)
        step = blocks[0].stop if blocks else 0
        strips = self.strips(step, x.dtype)
        matrix = strips
        if len(out) > 1:
            matrix = np.empty((step, self.channels, *self.kernel, *out), x.dtype)
            view = self.stacked(strips)
        shape = (-1, self.groups, self.rows, math.prod(out))
        for block in blocks:
            m = block.stop - block.start
            for strip, source in self.pairs(strips[:m], x[block]):
                strip[...] = source
            if len(out) > 1:
                matrix[:m] = view[:m]
            yield block, matrix[:m].reshape(shape)


def convolution(
    x: np.ndarray, w: np.ndarray, *, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
) -> np.ndarray:
    """y[n, o, t] = sum over c, k of w[o, c, k] x[n, c, t * stride + k * dilation - padding]."""
    n, channels = x.shape[:2]
    at = _Geometry(x.shape[2:], w.shape[2:], stride, padding, dilation, groups, channels)
    matrix = np.ascontiguousarray(w).reshape(groups, w.shape[0] // groups, at.rows)
    y = np.empty((n, groups, matrix.shape[1], math.prod(at.out)), x.dtype)
    for block, columns in at.columns(x):
        np.matmul(matrix, columns, y[block])
    return y.reshape(n, w.shape[0], *at.out)


def convolution_input(
    g: np.ndarray,
    w: np.ndarray,
    *,
    stride: Sizes,
    padding: Pads,
    dilation: Sizes,
    groups: int,
    size: Sizes,
) -> np.ndarray:
    """x[n, c, t * stride + k * dilation - padding] = sum over o, k of w[o, c, k] g[n, o, t]."""
    n, kernel, out = len(g), w.shape[2:], g.shape[2:]
    at = _Geometry(size, kernel, stride, padding, dilation, groups, w.shape[1] * groups)
    if at.plain:
        matrix = w.reshape(groups, w.shape[0] // groups, at.rows).swapaxes(1, 2)
        given = np.ascontiguousarray(g).reshape(n, groups, matrix.shape[2], math.prod(out))
        return np.matmul(matrix, given).reshape(n, at.channels, *size)
    x = np.zeros((n, at.channels, *size), g.dtype)
    if not x.size:
        return x
    spread = _by_rows if _rows_pay(w.shape[0], at) else _by_windows
    for block, strips in spread(g, w, at):
        for strip, target in at.pairs(strips, x[block]):
            np.add(target, strip, target)
    return x


def _rows_pay(out_channels: int, at: _Geometry) -> bool:
    """Whether copying windows of g is less work than adding up windows of the result, whose
    elements cost about three times as much.
    """
    return (
        len(at.kernel) > 1
        and all(s == 1 for s in at.stride[:-1])
        and out_channels * at.middle[-1] <= 3 * at.channels * at.kernel[-1] * at.out[-2]
    )


def _by_rows(g: np.ndarray, w: np.ndarray, at: _Geometry) -> Iterator[tuple[slice, np.ndarray]]:
    """The gradient of the strips as one product, for stride 1 along all axes but the last: a row
    of strips meets, over the kernel, a window of rows of g, mirrored and padded.
    """
    n, (out_channels, per), last = len(g), w.shape[:2], at.out[-1]
    kernel, lead = at.kernel[:-1], len(at.kernel) - 1
    # strips[i] is the sum over k of w[k] g[i - k * dilation] = w[mirror of k] around[i + k * ...]
    before = tuple((k - 1) * d for k, d in zip(kernel, at.dilation, strict=False))
    around = np.zeros(
        (n, out_channels, *(a + m for a, m in zip(before, at.middle, strict=True)), last), g.dtype
    )
    places = (slice(a, a + t) for a, t in zip(before, at.out, strict=False))
    around[(slice(None), slice(None), *places)] = g
    view = windows(
        np.moveaxis(around, -1, 2), kernel, at.middle, (1,) * lead, at.dilation[:-1]
    )  # (n, o, t, *k, *rows)
    view = np.moveaxis(view, 2, -1)
    turned = np.flip(w, tuple(range(2, 2 + lead))).reshape(
        at.groups, out_channels // at.groups, per, -1, at.kernel[-1]
    )
    matrix = turned.transpose(0, 2, 4, 1, 3).reshape(at.groups, per * at.kernel[-1], -1)
    size = math.prod(at.middle) * last
    step = max(1, BLOCK // max(1, out_channels * math.prod(kernel) * size))
    rows = np.empty((min(step, n), out_channels, *kernel, *at.middle, last), g.dtype)
    for i in range(0, n, step):
        m = min(step, n - i)
        rows[:m] = view[i : i + m]
        strips = np.matmul(matrix, rows[:m].reshape(m, at.groups, matrix.shape[2], size))
        yield (
            slice(i, i + m),
            strips.reshape(m, at.channels, at.kernel[-1], *at.middle, last),
        )


def _by_windows(g: np.ndarray, w: np.ndarray, at: _Geometry) -> Iterator[tuple[slice, np.ndarray]]:
    """The gradient of the strips from that of the windows, each added where it was read."""
    n, (out_channels, _), out = len(g), w.shape[:2], at.out
    per = out_channels // at.groups
    matrix = np.ascontiguousarray(w).reshape(at.groups, per, at.rows).swapaxes(1, 2)
    given = np.ascontiguousarray(g).reshape(n, at.groups, per, math.prod(out))
    whole = slice(None)
    for block in at.blocks(n):
        m = block.stop - block.start
        parts = np.matmul(matrix, given[block]).reshape(m, at.channels, *at.kernel, *out)
        if len(out) == 1:
            yield block, parts
            continue
        strips = at.strips(m, g.dtype)
        for k in np.ndindex(*at.kernel[:-1]):
            rows = tuple(
                slice(i * d, i * d + (t - 1) * s + 1, s)
                for i, d, t, s in zip(k, at.dilation, out, at.stride, strict=False)
            )
            target = strips[(whole, whole, whole, *rows)]
            np.add(target, parts[(whole, whole, *k)], target)
        yield block, strips


def convolution_weight(
    x: np.ndarray,
    g: np.ndarray,
    *,
    stride: Sizes,
    padding: Pads,
    dilation: Sizes,
    groups: int,
    kernel: Sizes,
) -> np.ndarray:
    """w[o, c, k] = sum over n, t of g[n, o, t] x[n, c, t * stride + k * dilation - padding]."""
    n, out = len(g), g.shape[2:]
    at = _Geometry(x.shape[2:], kernel, stride, padding, dilation, groups, x.shape[1])
    places = math.prod(out)
    given = np.ascontiguousarray(g).reshape(n, groups, g.shape[1] // groups, places)
    given = given.swapaxes(2, 3)
    if places <= MANY:  # a packed copy makes the product fast, and pays where it is small
        given = np.ascontiguousarray(given)
    w = np.zeros((groups, at.rows, given.shape[3]), x.dtype)
    for block, columns in at.columns(x):
        w += np.matmul(columns, given[block]).sum(0)
    return np.ascontiguousarray(w.swapaxes(1, 2)).reshape(g.shape[1], x.shape[1] // groups, *kernel)
