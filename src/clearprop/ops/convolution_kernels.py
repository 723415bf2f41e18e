"""Convolutions of NumPy arrays: windows of the input as a matrix (im2col), then one BLAS product
per block of samples, small enough that the windows stay in the cache.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Sizes = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]  # (before, after) per spatial axis

BLOCK = 1 << 18  # elements of the windows of one block of samples


def output_size(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int) -> int:
    """How many windows fit along one axis."""
    return (size + pads[0] + pads[1] - dilation * (kernel - 1) - 1) // stride + 1


def padded(x: np.ndarray, padding: Pads) -> np.ndarray:
    """x with zeros around its spatial axes."""
    if not any(a or b for a, b in padding):
        return x
    lead = x.ndim - len(padding)
    sizes = [n + a + b for n, (a, b) in zip(x.shape[lead:], padding, strict=True)]
    out = np.zeros((*x.shape[:lead], *sizes), x.dtype)
    out[inside(padding, x.shape[lead:])] = x
    return out


def inside(padding: Pads, size: Sizes) -> tuple[Any, ...]:
    """Where the elements of x are in `padded(x, padding)`."""
    return (..., *(slice(a, a + n) for (a, _), n in zip(padding, size, strict=True)))


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


def taps(kernel: Sizes, out: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """For each kernel position its index, and the slices of the padded input that it meets."""
    for k in np.ndindex(*kernel):
        yield (
            k,
            tuple(
                slice(i * d, i * d + (n - 1) * s + 1, s)
                for i, d, n, s in zip(k, dilation, out, stride, strict=True)
            ),
        )


def _blocks(n: int, elements: int) -> list[slice]:
    """Samples 0..n in blocks whose windows have about BLOCK elements."""
    step = max(1, BLOCK // max(1, elements))
    return [slice(i, min(n, i + step)) for i in range(0, n, step)]


def _plain(kernel: Sizes, stride: Sizes) -> bool:
    """Whether windows are single elements, all of them: no copy is needed."""
    return all(k == 1 for k in kernel) and all(s == 1 for s in stride)


def convolution(
    x: np.ndarray, w: np.ndarray, *, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
) -> np.ndarray:
    """y[n, o, t] = sum over c, k of w[o, c, k] x[n, c, t * stride + k * dilation - padding]."""
    n, channels, *_ = x.shape
    kernel = w.shape[2:]
    x = padded(x, padding)
    out = _outputs(x.shape[2:], kernel, stride, dilation)
    per = channels // groups
    matrix = np.ascontiguousarray(w).reshape(groups, w.shape[0] // groups, per * math.prod(kernel))
    y = np.empty((n, groups, matrix.shape[1], math.prod(out)), np.result_type(x, w))
    for block, columns in _columns(x, groups, kernel, out, stride, dilation):
        np.matmul(matrix, columns, y[block])
    return y.reshape(n, w.shape[0], *out)


def _outputs(padded_size: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Sizes:
    return tuple(
        output_size(n, k, s, (0, 0), d)
        for n, k, s, d in zip(padded_size, kernel, stride, dilation, strict=True)
    )


def _columns(
    x: np.ndarray, groups: int, kernel: Sizes, out: Sizes, stride: Sizes, dilation: Sizes
) -> Any:
    """Blocks of samples and their windows as matrices (block, groups, C/groups * K, T)."""
    n, channels = x.shape[:2]
    rows, places = channels // groups * math.prod(kernel), math.prod(out)
    if _plain(kernel, stride):
        yield slice(0, n), np.ascontiguousarray(x).reshape(n, groups, rows, places)
        return
    view = windows(x, kernel, out, stride, dilation)
    for block in _blocks(n, groups * rows * places):
        yield block, view[block].reshape(-1, groups, rows, places)


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
    n, kernel, out = g.shape[0], w.shape[2:], g.shape[2:]
    per = w.shape[1] * math.prod(kernel)
    matrix = np.ascontiguousarray(w).reshape(groups, w.shape[0] // groups, per).swapaxes(1, 2)
    given = np.ascontiguousarray(g).reshape(n, groups, w.shape[0] // groups, math.prod(out))
    if _plain(kernel, stride) and not any(a or b for a, b in padding):
        return np.matmul(matrix, given).reshape(n, groups * w.shape[1], *size)
    wide = tuple(s + a + b for s, (a, b) in zip(size, padding, strict=True))
    x = np.zeros((n, groups * w.shape[1], *wide), np.result_type(g, w))
    places = list(taps(kernel, out, stride, dilation))
    for block in _blocks(n, groups * per * math.prod(out)):
        parts = np.matmul(matrix, given[block]).reshape(-1, x.shape[1], *kernel, *out)
        for k, place in places:
            target = x[(block, slice(None), *place)]
            np.add(target, parts[(slice(None), slice(None), *k)], target)
    return np.ascontiguousarray(x[inside(padding, size)])


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
    n, out = g.shape[0], g.shape[2:]
    x = padded(x, padding)
    given = np.ascontiguousarray(g).reshape(n, groups, g.shape[1] // groups, math.prod(out))
    shape = (g.shape[1], x.shape[1] // groups, *kernel)
    w = np.zeros((groups, given.shape[2], math.prod(shape[1:])), np.result_type(x, g))
    for block, columns in _columns(x, groups, kernel, out, stride, dilation):
        w += np.matmul(given[block], columns.swapaxes(2, 3)).sum(0)
    return w.reshape(shape)
