"""Sliding windows along one axis: a view, and its adjoint, which adds up where windows overlap.

    y = window(x)     y[..., t, ..., k] = x[..., t * step + k * dilation, ...]

`dim` is the axis of x; the places t take its position, the window k becomes the last axis.
"""

from __future__ import annotations

import numpy as np

from clearprop.core import (
    Aval,
    Composed,
    Example,
    Tensor,
    View,
    apply,
    apply_view,
    float64,
    primitive,
)
from clearprop.core.primitive import ALIGNED
from clearprop.errors import ShapeError
from clearprop.ops import movement
from clearprop.ops.broadcasting import dims_by_any_name, here, normal_dim, zeros_for


def places(n: int, size: int, step: int, dilation: int) -> int:
    """How many windows fit into n elements."""
    return (n - dilation * (size - 1) - 1) // step + 1


def _window(x: np.ndarray, *, dim: int, size: int, step: int, dilation: int) -> np.ndarray:
    shape, strides = list(x.shape), list(x.strides)
    shape[dim] = places(shape[dim], size, step, dilation)
    stride = strides[dim]
    strides[dim] = stride * step
    apart = step > dilation * (size - 1) and x.flags.writeable
    return np.lib.stride_tricks.as_strided(
        x, (*shape, size), (*strides, stride * dilation), writeable=apart
    )


def _window_shape(x: Aval, *, dim: int, size: int, step: int, dilation: int) -> Aval:
    n = places(x.shape[dim], size, step, dilation)
    return Aval((*x.shape[:dim], n, *x.shape[dim + 1 :], size), x.dtype)


def _unwindow(
    g: np.ndarray, *, dim: int, length: int, size: int, step: int, dilation: int
) -> np.ndarray:
    x = np.zeros((*g.shape[:dim], length, *g.shape[dim + 1 : -1]), g.dtype)
    n = g.shape[dim]
    for k in range(size if n else 0):
        start = k * dilation
        target = x[(slice(None),) * dim + (slice(start, start + (n - 1) * step + 1, step),)]
        np.add(target, g[..., k], target)
    return x


def _unwindow_ops(
    g: Tensor, *, dim: int, length: int, size: int, step: int, dilation: int
) -> Tensor:
    """The same as a sum of the elements of the windows, each where it came from."""
    shape = (*g.shape[:dim], length, *g.shape[dim + 1 : -1])
    n = len(shape)
    steps = (*(1,) * dim, step, *(1,) * (n - dim - 1))
    total = zeros_for(Aval(shape, g.dtype))
    for k in range(size if g.shape[dim] else 0):
        part = movement.slice_(g, (*(0,) * n, k), (*g.shape[:-1], k + 1), (1,) * (n + 1))
        part = movement.reshape_to(part, g.shape[:-1])
        starts = (*(0,) * dim, k * dilation, *(0,) * (n - dim - 1))
        total = total + movement.unslice(part, shape, starts, steps)
    return total


_X = Aval((2, 6, 3), float64)
_AT = {"dim": 1, "size": 3, "step": 2, "dilation": 1}
_APART = {"dim": 0, "size": 2, "step": 3, "dilation": 2}

WINDOW = primitive(
    "window",
    doc="Windows of `size` elements along dim, every `step` elements, as a last axis.",
    eager=_window,
    shape=_window_shape,
    vjp=(
        lambda g, _out, x_aval, *, dim, **params: apply(
            UNWINDOW, g, dim=dim, length=x_aval.shape[dim], **params
        ),
    ),
    lower=View(),
    examples=(
        Example((_X,), _AT),
        Example((Aval((7, 2), float64),), _APART),
        Example((Aval((5,), float64),), {"dim": 0, "size": 5, "step": 1, "dilation": 1}),
    ),
)

UNWINDOW = primitive(
    "unwindow",
    doc="The adjoint of window: every element of a window is added where it came from.",
    eager=_unwindow,
    shape=lambda g, *, dim, length, **_: Aval(
        (*g.shape[:dim], length, *g.shape[dim + 1 : -1]), g.dtype
    ),
    vjp=(lambda g, _out, _x, *, length, **params: window(g, **params),),
    lower=Composed(lambda g, **params: _unwindow_ops(g, **params)),
    batch=ALIGNED,
    examples=(
        Example((Aval((2, 2, 3, 3), float64),), {**_AT, "length": 6}),
        Example((Aval((2, 2, 2), float64),), {**_APART, "length": 7}),
    ),
)


def window(x: Tensor, *, dim: int, size: int, step: int, dilation: int) -> Tensor:
    """The view, for sizes that fit."""
    params = {"dim": dim, "size": size, "step": step, "dilation": dilation}
    return apply_view(WINDOW, x, params)


def unwindow(g: Tensor, *, dim: int, length: int, size: int, step: int, dilation: int) -> Tensor:
    """The adjoint of `window` for an axis of `length` elements."""
    return apply(UNWINDOW, g, dim=dim, length=length, size=size, step=step, dilation=dilation)


@dims_by_any_name
def unfold(x: Tensor, dim: int, size: int, step: int) -> Tensor:
    """Windows of `size` elements along dim, every `step` elements: a view whose last axis runs
    through the window.

    >>> import clearprop as cp
    >>> cp.arange(5).unfold(0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    d = normal_dim("unfold", dim, x.ndim)
    for name, value in (("size", size), ("step", step)):
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"unfold: {name} must be an integer, got {value!r}{here()}")
    n = x.shape[d] if x.ndim else 1
    if size < 0:
        raise ShapeError(f"unfold: size is {size} but must be >= 0{here()}")
    if size > n:
        raise ShapeError(
            f"unfold: maximum size for tensor at dimension {d} is {n} but size is {size}{here()}"
        )
    if step <= 0:
        raise ShapeError(f"unfold: step is {step} but must be > 0{here()}")
    if not x.ndim:
        return movement.slice_(movement.reshape_to(x, (1,)), (0,), (size,), (1,))
    if not size:  # no element, in a place before every step and one after the last
        shape = (*x.shape[:d], n // step + 1, *x.shape[d + 1 :], 0)
        return zeros_for(Aval(shape, x.dtype))
    return window(x, dim=d, size=int(size), step=int(step), dilation=1)
