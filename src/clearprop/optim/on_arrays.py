"""The steps of SGD and Adam on bare arrays, for eager mode: the same formulas as in ops, rounded
alike, written into memory that is there. Large parameters go block by block, so that what one NumPy
function leaves is in the cache for the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from clearprop.core import Tensor, bump, local

BLOCK = 1 << 14  # elements; four arrays of that many fit into the second cache


def flat(g: Tensor, written: Sequence[Tensor], numbers: Sequence[Any]) -> list[np.ndarray] | None:
    """g and what will be written, as vectors; None where ops have to do it: while something traces
    or checks, or where dtypes or memory are of another kind, or an option is a tensor.
    """
    if local.c.interpreter is not None:
        return None
    value = g.value
    d, shape = value.dtype, value.shape
    if d.kind != "f" or d.itemsize < 4:
        return None
    for x in numbers:
        if x.__class__ is not float and x.__class__ is not int:
            return None
    out = [value.reshape(-1)]
    for t in written:
        v = t.value
        flags = v.flags
        if v.dtype is not d or v.shape != shape or t.view_of is not None:
            return None
        if not (flags.c_contiguous and flags.writeable):
            return None
        out.append(v.reshape(-1))
    for t in written:
        bump(t)
    return out


def _blocks(arrays: Sequence[np.ndarray]) -> Iterator[Sequence[np.ndarray]]:
    n = arrays[0].size
    if n <= BLOCK:
        yield arrays
        return
    for start in range(0, n, BLOCK):
        yield [a[start : start + BLOCK] for a in arrays]


def sgd(
    arrays: Sequence[np.ndarray], lr: float, momentum: float, dampening: float, decay: float,
    nesterov: bool,
) -> None:  # fmt: skip
    """arrays: g, p, and with momentum its buffer."""
    memory = np.empty((2, min(arrays[0].size, BLOCK)), arrays[0].dtype)
    for g, p, *rest in _blocks(arrays):
        a, b = memory[:, : g.size]
        if decay:
            np.multiply(p, decay, b)
            g = np.add(g, b, b)
        if rest:
            (buf,) = rest
            buf *= momentum
            buf += g if dampening == 0 else np.multiply(g, 1 - dampening, a)
            if nesterov:
                np.multiply(buf, momentum, a)
                g = np.add(g, a, b)
            else:
                g = buf
        p -= g if lr == 1 else np.multiply(g, lr, a)


def adam(
    arrays: Sequence[np.ndarray], beta1: float, beta2: float, eps: float, decay: float,
    shrink: float, root: float, rate: float,
) -> None:  # fmt: skip
    """arrays: g, p, the means of g and of g², and with amsgrad the largest of the latter so far.

    p *= shrink; then p -= rate · m / (√v / root + eps).
    """
    memory = np.empty((2, min(arrays[0].size, BLOCK)), arrays[0].dtype)
    for g, p, m, v, *most in _blocks(arrays):
        a, b = memory[:, : g.size]
        if shrink != 1:
            p *= shrink
        if decay:
            np.multiply(p, decay, b)
            g = np.add(g, b, b)
        np.subtract(g, m, a)
        a *= 1 - beta1
        m += a
        v *= beta2
        np.multiply(g, g, a)
        a *= 1 - beta2
        v += a
        if most:
            np.maximum(most[0], v, out=most[0])
            v = most[0]
        np.sqrt(v, a)
        a /= root
        a += eps
        np.divide(m, a, a)
        a *= -rate
        p += a
