"""Pooling of NumPy arrays: one pass over strided slices per element of a window, since NumPy has no
other fast way through windows; large windows are copied out and searched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from clearprop.ops.convolution_kernels import Pads, Sizes, output_size, windows

WINNERS = 256  # windows up to this many elements number them in a byte
FEW = 49  # windows up to this many elements are gone through slice by slice


def _outputs(size: Sizes, kernel: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> Sizes:
    return tuple(map(output_size, size, kernel, stride, padding, dilation))


def _padded(x: np.ndarray, padding: Pads, value: float) -> np.ndarray:
    """x with `value` around its last axes; x itself where there is none."""
    if not any(a or b for a, b in padding):
        return x
    lead = x.ndim - len(padding)
    sizes = [n + a + b for n, (a, b) in zip(x.shape[lead:], padding, strict=True)]
    out = np.full((*x.shape[:lead], *sizes), value, x.dtype)
    out[_inside(padding, x.shape[lead:])] = x
    return out


def _inside(padding: Pads, size: Sizes) -> Any:
    """Where the elements of x are in `_padded(x)`."""
    return (..., *(slice(a, a + n) for (a, _), n in zip(padding, size, strict=True)))


def _slices(kernel: Sizes, out: Sizes, stride: Sizes, dilation: Sizes) -> Iterator[Any]:
    """For each element of a window in row-major order the elements of the padded input that are
    it.
    """
    for k in np.ndindex(*kernel):
        yield (
            ...,
            *(
                slice(i * d, i * d + (n - 1) * s + 1, s)
                for i, d, n, s in zip(k, dilation, out, stride, strict=True)
            ),
        )


def first_inside(out: Sizes, kernel: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> Any:
    """The number of the first element of each window that is not padding before x."""
    number = np.zeros((1,) * len(out), np.int64)
    for axis, (n, k, s, (a, _), d) in enumerate(
        zip(out, kernel, stride, padding, dilation, strict=True)
    ):
        first = np.minimum(k - 1, np.maximum(0, -((np.arange(n) * s - a) // d)))
        shape = [1] * len(out)
        shape[axis] = n
        number = number * k + first.reshape(shape)
    return number


def max_pool(
    x: np.ndarray, *, kernel: Sizes, stride: Sizes, padding: Pads, dilation: Sizes
) -> tuple[np.ndarray, np.ndarray]:
    """The largest element of each window and its number; nan where there is one, the last."""
    out = _outputs(x.shape[-len(kernel) :], kernel, stride, padding, dilation)
    first = first_inside(out, kernel, stride, padding, dilation) if np.any(padding) else None
    low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    wide = _padded(x, padding, low)
    n = math.prod(kernel)
    byte = np.uint8 if n <= WINNERS else np.int64
    if n > FEW:
        return _searched(wide, kernel, out, stride, dilation, first, byte)
    slices = _slices(kernel, out, stride, dilation)
    best = np.array(wide[next(slices)], order="C")
    winners = np.zeros(best.shape, byte)
    if first is not None:
        winners[...] = first
    for k, place in enumerate(slices, 1):
        other = np.ascontiguousarray(wide[place])
        # the numbers grow, so where k is better it is the larger one, too
        better = np.greater(other, best).view(np.uint8) * byte(k)
        np.maximum(winners, better, out=winners)
        np.maximum(best, other, out=best)
    if best.size and x.dtype.kind == "f" and np.isnan(best.max()):
        for k, place in enumerate(_slices(kernel, out, stride, dilation)):
            winners[np.isnan(wide[place])] = k
    return best, winners


def _searched(
    wide: np.ndarray, kernel: Sizes, out: Sizes, stride: Sizes, dilation: Sizes, first: Any,
    byte: Any,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """max_pool for large windows: each is copied into a row."""
    d = len(kernel)
    view = windows(wide, kernel, out, stride, dilation)  # (..., *kernel, *out)
    lead = wide.ndim - d
    order = (*range(lead), *range(lead + d, lead + 2 * d), *range(lead, lead + d))
    rows = view.transpose(order).reshape(*wide.shape[:lead], *out, math.prod(kernel))
    # argmax finds the first of equals, and the first nan; the last one is wanted
    winners = np.asarray(rows.argmax(-1))
    best = np.take_along_axis(rows, winners[..., None], -1)[..., 0]
    if first is not None:
        winners = np.maximum(winners, first)  # all of the window is -inf
    if best.size and wide.dtype.kind == "f" and np.isnan(best.max()):
        last = rows.shape[-1] - 1 - np.isnan(rows[..., ::-1]).argmax(-1)
        winners = np.where(np.isnan(best), last, winners)
    return best, winners.astype(byte)


def _places(
    winners: np.ndarray, size: Sizes, kernel: Sizes, stride: Sizes, padding: Pads, dilation: Sizes
) -> np.ndarray:
    """Where the winners are in the padded input, as one number per row of its last axes."""
    d = len(kernel)
    place: Any = 0
    numbers = np.unravel_index(winners.astype(np.intp), kernel)
    for axis, (number, n, s, (a, b), e) in enumerate(
        zip(numbers, size, stride, padding, dilation, strict=True)
    ):
        start = np.arange(winners.shape[axis - d]) * s
        start = start.reshape(-1, *(1,) * (d - 1 - axis))
        place = place * (n + a + b) + start + number * e
    return np.asarray(place)


def _wide(size: Sizes, padding: Pads) -> Sizes:
    return tuple(n + a + b for n, (a, b) in zip(size, padding, strict=True))


def max_pool_input(
    g: np.ndarray, winners: np.ndarray, *, size: Sizes, kernel: Sizes, stride: Sizes,
    padding: Pads, dilation: Sizes,
) -> np.ndarray:  # fmt: skip
    """g added where the winners are."""
    d = len(kernel)
    wide, out = _wide(size, padding), g.shape[g.ndim - d :]
    x = np.zeros((*g.shape[: g.ndim - d], *wide), g.dtype)
    if math.prod(kernel) > FEW:
        place = _places(winners, size, kernel, stride, padding, dilation)
        plane = math.prod(wide)
        offset = np.arange(x.size // plane).reshape(*x.shape[: x.ndim - d], *(1,) * d) * plane
        np.add.at(x.reshape(-1), (offset + place).reshape(-1), g.reshape(-1))
        return np.ascontiguousarray(x[_inside(padding, size)])
    apart = all(s > e * (k - 1) for k, s, e in zip(kernel, stride, dilation, strict=True))
    bits = np.dtype(f"i{g.itemsize}")  # as integers, since 0 * inf is nan
    given = g.view(bits)
    for k, place in enumerate(_slices(kernel, out, stride, dilation)):
        target = x[place]
        if apart:
            np.multiply(given, winners == k, out=target.view(bits))
        else:
            np.add(target, (given * (winners == k)).view(g.dtype), out=target)
    return x if wide == size else np.ascontiguousarray(x[_inside(padding, size)])


def max_pool_pick(
    x: np.ndarray, winners: np.ndarray, *, kernel: Sizes, stride: Sizes, padding: Pads,
    dilation: Sizes,
) -> np.ndarray:  # fmt: skip
    """The elements of x where the winners are."""
    d = len(kernel)
    size = x.shape[x.ndim - d :]
    place = _places(winners, size, kernel, stride, padding, dilation)
    rows = _padded(x, padding, 0).reshape(-1, math.prod(_wide(size, padding)))
    found = np.take_along_axis(rows, place.reshape(rows.shape[0], -1), 1)
    return found.reshape(winners.shape)


def sum_pool(x: np.ndarray, *, kernel: Sizes, stride: Sizes, padding: Pads) -> np.ndarray:
    """The sum of each window, one axis after the other."""
    d = len(kernel)
    if kernel == x.shape[x.ndim - d :] and not np.any(padding):
        rows = x.reshape(*x.shape[: x.ndim - d], math.prod(kernel))
        total = np.add.reduce(rows, -1, x.dtype)
        return np.asarray(total).reshape(*x.shape[: x.ndim - d], *(1,) * d)
    x = _padded(x, padding, 0)
    for axis, (k, s) in enumerate(zip(kernel, stride, strict=True), x.ndim - d):
        n = (x.shape[axis] - k) // s + 1
        parts = [_along(x, axis, i, n, s) for i in range(k)]
        total = parts[0] + parts[1] if k > 1 else np.array(parts[0], order="C")
        for part in parts[2:]:
            np.add(total, part, out=total)
        x = total
    return x


def sum_pool_input(
    g: np.ndarray, *, size: Sizes, kernel: Sizes, stride: Sizes, padding: Pads
) -> np.ndarray:
    """g added to all elements of its window, one axis after the other."""
    d = len(kernel)
    wide = _wide(size, padding)
    for axis in reversed(range(d)):
        at, k, s, n = g.ndim - d + axis, kernel[axis], stride[axis], g.shape[g.ndim - d + axis]
        shape = (*g.shape[:at], wide[axis], *g.shape[at + 1 :])
        full = s == k and n * k == wide[axis]
        x = np.empty(shape, g.dtype) if full else np.zeros(shape, g.dtype)
        for i in range(k):
            target = _along(x, at, i, n, s)
            if s >= k:
                target[...] = g
            else:
                np.add(target, g, out=target)
        g = x
    return g if wide == size else np.ascontiguousarray(g[_inside(padding, size)])


def _along(x: np.ndarray, axis: int, start: int, n: int, step: int) -> np.ndarray:
    """n elements along one axis."""
    return x[(slice(None),) * axis + (slice(start, start + (n - 1) * step + 1, step),)]
