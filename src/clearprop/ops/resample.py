"""Resampling along one axis: every element of the result is a weighted sum of a few of x.

    y[i] = sum over taps k of weight[k, i] x[index[k, i]]

Which and with what weights is worked out from the sizes (`taps`). Modes: `nearest` floor(i s),
`nearest-exact` floor((i + 1/2) s), `linear` and `cubic` (Keys, a = -3/4) around (i + 1/2) s - 1/2,
or i (n - 1)/(t - 1) where corners are aligned, `area` the mean of floor(i s) to ceil((i + 1) s),
`linear-antialias` and `cubic-antialias` (a = -1/2) filters as wide as s; s = n / t, or as given.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from clearprop.core import Aval, Composed, Example, Tensor, apply, float64, primitive, wrap
from clearprop.core.primitive import ALIGNED
from clearprop.ops import movement
from clearprop.ops.broadcasting import expand_to, zeros_for
from clearprop.ops.index import TAKE, put_add

# (places of the result, elements of x, weights or None for ones) of one tap
Tap = tuple[Any, np.ndarray, np.ndarray | None]


@functools.lru_cache(maxsize=256)
def taps(
    n: int, t: int, mode: str, corners: bool, scale: float | None, kind: str
) -> tuple[Tap, ...]:
    """The taps that make t elements of n; `kind` is the float type in which places are computed, as
    PyTorch does.
    """
    real = np.dtype(kind).type if np.dtype(kind).kind == "f" else np.float32
    i = np.arange(t).astype(real)
    if corners:
        step = real((n - 1) / (t - 1)) if t > 1 else real(0)
    else:
        step = real(1 / scale) if scale else real(n) / real(t)
    match mode:
        case "nearest" | "nearest-exact":
            half = real(0.5 if mode == "nearest-exact" else 0)
            at = np.floor((i + half) * step).astype(np.int64)
            return ((slice(None), np.minimum(at, n - 1), None),)
        case "linear":
            at = i * step if corners else np.maximum((i + real(0.5)) * step - real(0.5), real(0))
            low = np.minimum(np.floor(at).astype(np.int64), n - 1)
            high = np.minimum(low + 1, n - 1)
            part = np.clip(at - low.astype(real), 0, 1).astype(real)
            return (slice(None), low, 1 - part), (slice(None), high, part)
        case "cubic":
            at = i * step if corners else (i + real(0.5)) * step - real(0.5)
            low = np.floor(at)
            part = np.clip(at - low, 0, 1)
            return tuple(
                (
                    slice(None),
                    np.clip(low.astype(np.int64) + k, 0, n - 1),
                    _cubic(np.abs(part - real(k)), -0.75).astype(real),
                )
                for k in (-1, 0, 1, 2)
            )
        case "area":
            start = np.arange(t) * n // t
            stop = -(-np.arange(1, t + 1) * n // t)
            return _ragged(start, stop, lambda k: (1 / (stop - start)).astype(real))
    return _antialiased(n, t, float(step), mode, real)


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic at a distance x >= 0."""
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _ragged(start: np.ndarray, stop: np.ndarray, weight: Any) -> tuple[Tap, ...]:
    """A tap per element of the widest window, for the places whose windows reach that far."""
    out: list[Tap] = []
    for k in range(int((stop - start).max())):
        places = np.flatnonzero(start + k < stop)
        every = len(places) == len(start)
        chosen: Any = slice(None) if every else places
        out.append((chosen, (start + k)[places], weight(k)[places]))
    return tuple(out)


def _antialiased(n: int, t: int, step: float, mode: str, real: Any) -> tuple[Tap, ...]:
    reach = 1.0 if mode == "linear-antialias" else 2.0
    wide = max(step, 1.0)
    centre = step * (np.arange(t) + 0.5)
    start = np.maximum((centre - reach * wide + 0.5).astype(np.int64), 0)
    stop = np.minimum((centre + reach * wide + 0.5).astype(np.int64), n)

    def filtered(k: int) -> np.ndarray:
        x = np.abs((k + start - centre + 0.5) / wide)
        height = np.maximum(1 - x, 0) if mode == "linear-antialias" else _cubic(x, -0.5)
        return np.where(start + k < stop, height, 0)

    total = sum(filtered(k) for k in range(int((stop - start).max())))
    return _ragged(start, stop, lambda k: (filtered(k) / total).astype(real))


def _taps(n: int, t: int, params: dict[str, Any], d: np.dtype) -> tuple[Tap, ...]:
    return taps(n, t, params["mode"], params["corners"], params["scale"], d.char)


def _along(dim: int, place: Any) -> Any:
    return (slice(None),) * dim + (place,)


def _column(weight: np.ndarray, dim: int, ndim: int) -> np.ndarray:
    return weight.reshape(-1, *(1,) * (ndim - 1 - dim))


def _resample(x: np.ndarray, *, dim: int, size: int, **params: Any) -> np.ndarray:
    y = None
    for places, index, weight in _taps(x.shape[dim], size, params, x.dtype):
        part = np.take(x, index, dim)
        if weight is not None:
            part *= _column(weight, dim, x.ndim)
        if y is None:
            y = part  # the first tap reaches all places
        else:
            target = _along(dim, places)
            y[target] += part
    assert y is not None
    return y


def _resample_input(g: np.ndarray, *, dim: int, size: int, **params: Any) -> np.ndarray:
    x = np.zeros((*g.shape[:dim], size, *g.shape[dim + 1 :]), g.dtype)
    if not x.size:
        return x
    for places, index, weight in _taps(size, g.shape[dim], params, g.dtype):
        part = g[_along(dim, places)]
        if weight is not None:
            part = part * _column(weight, dim, g.ndim)
        first = np.flatnonzero(
            np.diff(index, prepend=-1)
        )  # indices grow: equal ones are neighbours
        if len(first) < len(index):
            part = np.add.reduceat(part, first, dim)
        x[_along(dim, index[first])] += part
    return x


def _resample_ops(x: Tensor, *, dim: int, size: int, **params: Any) -> Tensor:
    order = (dim, *(i for i in range(x.ndim) if i != dim))
    front = movement.permute(x, order)
    shape = (size, *front.shape[1:])
    y = None
    for places, index, weight in _taps(x.shape[dim], size, params, x.value.dtype):
        part = apply(TAKE, front, wrap(np.array(index), None))
        if weight is not None:
            part = part * expand_to(wrap(_column(weight, 0, x.ndim).copy(), None), part.shape)
        if y is None:
            y = part
        elif isinstance(places, slice):
            y = y + part
        else:
            y = put_add(y, (wrap(np.array(places), None),), part)
    assert y is not None and y.shape == shape
    return apply(movement.clone_p, movement.permute(y, movement._inverse(order)))


def _resample_input_ops(g: Tensor, *, dim: int, size: int, **params: Any) -> Tensor:
    order = (dim, *(i for i in range(g.ndim) if i != dim))
    front = movement.permute(g, order)
    x = zeros_for(Aval((size, *front.shape[1:]), g.dtype))
    for places, index, weight in _taps(size, g.shape[dim], params, g.value.dtype):
        part = front
        if not isinstance(places, slice):
            part = apply(TAKE, front, wrap(np.array(places), None))
        if weight is not None:
            part = part * expand_to(wrap(_column(weight, 0, g.ndim).copy(), None), part.shape)
        x = put_add(x, (wrap(np.array(index), None),), part)
    return apply(movement.clone_p, movement.permute(x, movement._inverse(order)))


_X = Aval((2, 5, 3), float64)
_MODES: tuple[dict[str, Any], ...] = (
    {"dim": 1, "size": 8, "mode": "linear", "corners": False, "scale": None},
    {"dim": 1, "size": 3, "mode": "linear", "corners": True, "scale": None},
    {"dim": 2, "size": 7, "mode": "cubic", "corners": False, "scale": 2.4},
    {"dim": 0, "size": 3, "mode": "nearest", "corners": False, "scale": 1.5},
    {"dim": 1, "size": 3, "mode": "area", "corners": False, "scale": None},
    {"dim": 1, "size": 2, "mode": "cubic-antialias", "corners": False, "scale": None},
)


def _shape(x: Aval, dim: int, size: int) -> Aval:
    return Aval((*x.shape[:dim], size, *x.shape[dim + 1 :]), x.dtype)


RESAMPLE = primitive(
    "resample",
    doc="`size` elements along dim, each a weighted sum of elements of x.",
    eager=_resample,
    shape=lambda x, *, dim, size, **_: _shape(x, dim, size),
    vjp=(
        lambda g, _out, x_aval, *, dim, size, **params: apply(
            RESAMPLE_INPUT, g, dim=dim, size=x_aval.shape[dim], **params
        ),
    ),
    lower=Composed(_resample_ops),
    batch=ALIGNED,
    examples=[Example((_X,), p) for p in _MODES],
)

RESAMPLE_INPUT = primitive(
    "resample_input",
    doc="The adjoint of resample: what the elements of g are sums of gets their parts.",
    eager=_resample_input,
    shape=lambda g, *, dim, size, **_: _shape(g, dim, size),
    vjp=(
        lambda h, _out, g_aval, *, dim, size, **params: apply(
            RESAMPLE, h, dim=dim, size=g_aval.shape[dim], **params
        ),
    ),
    lower=Composed(_resample_input_ops),
    batch=ALIGNED,
    examples=[
        Example((_shape(_X, p["dim"], p["size"]),), {**p, "size": _X.shape[p["dim"]]})
        for p in _MODES
    ],
)


def resample(
    x: Tensor, dim: int, size: int, mode: str, corners: bool = False, scale: float | None = None
) -> Tensor:
    """x with `size` elements along dim."""
    if math.prod(x.shape) == 0:
        scale = None
    return apply(RESAMPLE, x, dim=dim, size=size, mode=mode, corners=corners, scale=scale)
