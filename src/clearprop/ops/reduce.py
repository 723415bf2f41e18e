"""Reductions: sum, max, min, prod, argmax, argmin, any, all, cumsum. Mean, var and the rest are
composites of these.

`dim` is a sorted tuple of axes, `keepdim` keeps them with size 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import clearprop.ops.broadcasting as broadcasting
import clearprop.ops.movement as movement
from clearprop.core import (
    Aval,
    Example,
    Reduce,
    Scan,
    Tensor,
    also_arrays,
    apply,
    apply1,
    bool_,
    float64,
    int64,
    primitive,
)

_X = Aval((3, 4), float64)
_EXAMPLES = (
    Example((_X,), {"dim": (0, 1), "keepdim": False}),
    Example((_X,), {"dim": (1,), "keepdim": True}),
    Example((Aval((2, 3, 2), float64),), {"dim": (0, 2), "keepdim": False}),
)
_ONE = (
    Example((_X,), {"dim": 0}),
    Example((_X,), {"dim": 1}),
)


def reduced(shape: tuple[int, ...], dim: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """The shape after reducing the axes in dim."""
    if keepdim:
        return tuple(1 if i in dim else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in dim)


def _shape(x: Aval, *, dim: Any, keepdim: bool) -> Aval:
    return Aval(reduced(x.shape, dim, keepdim), x.dtype)


def restore(g: Tensor, x_aval: Aval | Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    """A reduced tensor back at the shape it was reduced from: every element repeated along dim."""
    shape = x_aval.shape
    if not keepdim and len(dim) != len(shape):
        g = movement.reshape_to(g, reduced(shape, dim, True))
    return g if g.shape == shape else movement.expand(g, shape)


sum_p = primitive(
    "sum",
    doc="Sum over the axes in dim.",
    eager=lambda x, *, dim, keepdim: np.add.reduce(x, dim, x.dtype, None, keepdim),  # type: ignore[call-overload]
    shape=_shape,
    vjp=(also_arrays(lambda g, _out, x_aval, *, dim, keepdim: restore(g, x_aval, dim, keepdim)),),
    lower=Reduce("add"),
    examples=_EXAMPLES,
)


def _extreme_rule(g: Tensor, out: Tensor, x: Tensor, *, dim: Any, keepdim: bool) -> Tensor:
    """The gradient split evenly over the elements equal to the extreme one, or over those that are
    nan if it is.
    """
    best = restore(out, x, dim, keepdim)
    mask = broadcasting.cast((x == best) | ((x != x) & (best != best)), g.dtype)
    share = g / restore_less(mask, dim, keepdim)
    return restore(share, x, dim, keepdim) * mask


def restore_less(mask: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    return apply(sum_p, mask, dim=dim, keepdim=keepdim)


amax_p = primitive(
    "amax",
    doc=(
        "Largest element over the axes in dim; nan where there is one; ties share the gradient"
        " evenly."
    ),
    eager=lambda x, *, dim, keepdim: np.maximum.reduce(x, dim, keepdims=keepdim),
    shape=_shape,
    vjp=(_extreme_rule,),
    lower=Reduce("max"),
    examples=_EXAMPLES,
)

amin_p = primitive(
    "amin",
    doc=(
        "Smallest element over the axes in dim; nan where there is one; ties share the gradient"
        " evenly."
    ),
    eager=lambda x, *, dim, keepdim: np.minimum.reduce(x, dim, keepdims=keepdim),
    shape=_shape,
    vjp=(_extreme_rule,),
    lower=Reduce("min"),
    examples=_EXAMPLES,
)


def _shifted(x: Tensor, by: int, dim: int) -> Tensor:
    """x moved `by` places along dim, ones moving in."""
    n = x.shape[dim]
    stops = list(x.shape)
    stops[dim] = n - by
    kept = movement.slice_(x, (0,) * x.ndim, stops, (1,) * x.ndim)
    shape = list(x.shape)
    shape[dim] = by
    ones = broadcasting.constant(1, x.value.dtype, tuple(shape))
    return apply(movement.concat_p, ones, kept, dim=dim)


def cumprod_of(x: Tensor, dim: int) -> Tensor:
    """Running product along dim by doubling: log2(n) multiplications, exact gradients of any order
    at zeros too.
    """
    by = 1
    while by < x.shape[dim]:
        x = x * _shifted(x, by, dim)
        by *= 2
    return x


def _prod_rule(g: Tensor, _out: Any, x: Tensor, *, dim: Any, keepdim: bool) -> Tensor:
    """The product of the others = (product of those before) * (product of those after): right at
    zeros.
    """
    rest = tuple(i for i in range(x.ndim) if i not in dim)
    order = (*rest, *dim)
    moved = movement.permute(x, order)
    flat = movement.reshape_to(moved, (*(x.shape[i] for i in rest), _size(x.shape, dim)))
    last = len(rest)
    if flat.shape[last] == 0:
        return broadcasting.zeros_for(x)
    before = cumprod_of(_shifted(flat, 1, last), last)
    turned = apply(movement.flip_p, flat, dims=(last,))
    after = apply(movement.flip_p, cumprod_of(_shifted(turned, 1, last), last), dims=(last,))
    others = movement.reshape_to(before * after, moved.shape)
    inverse = tuple(int(i) for i in np.argsort(order))
    return restore(g, x, dim, keepdim) * movement.permute(others, inverse)


def _size(shape: tuple[int, ...], dim: tuple[int, ...]) -> int:
    n = 1
    for d in dim:
        n *= shape[d]
    return n


prod_p = primitive(
    "prod",
    doc="Product over the axes in dim; the gradient is exact at zeros.",
    eager=lambda x, *, dim, keepdim: np.multiply.reduce(x, dim, keepdims=keepdim, dtype=x.dtype),
    shape=_shape,
    vjp=(_prod_rule,),
    lower=Reduce("mul"),
    examples=_EXAMPLES,
)

cumsum_p = primitive(
    "cumsum",
    doc="Running sum along dim.",
    eager=lambda x, *, dim: np.add.accumulate(x, dim, dtype=x.dtype),
    shape=lambda x, *, dim: x,
    vjp=(
        lambda g, _out, _x, *, dim: apply(
            movement.flip_p,
            apply(cumsum_p, apply(movement.flip_p, g, dims=(dim,)), dim=dim),
            dims=(dim,),
        ),
    ),
    lower=Scan("add"),
    examples=_ONE,
)


def _index_shape(x: Aval, *, dim: int, keepdim: bool) -> Aval:
    return Aval(reduced(x.shape, (dim,), keepdim), int64)


_INDEX = (
    Example((_X,), {"dim": 0, "keepdim": False}),
    Example((_X,), {"dim": 1, "keepdim": True}),
)

argmax_p = primitive(
    "argmax",
    doc="Index of the first largest element along dim.",
    eager=lambda x, *, dim, keepdim: np.argmax(x, dim, keepdims=keepdim).astype(np.int64),
    shape=_index_shape,
    vjp=(None,),
    lower=Reduce("argmax"),
    examples=_INDEX,
)

argmin_p = primitive(
    "argmin",
    doc="Index of the first smallest element along dim.",
    eager=lambda x, *, dim, keepdim: np.argmin(x, dim, keepdims=keepdim).astype(np.int64),
    shape=_index_shape,
    vjp=(None,),
    lower=Reduce("argmin"),
    examples=_INDEX,
)


def _truth_shape(x: Aval, *, dim: Any, keepdim: bool) -> Aval:
    return Aval(reduced(x.shape, dim, keepdim), bool_)


any_p = primitive(
    "any",
    doc="Whether any element over the axes in dim is true (non-zero).",
    eager=lambda x, *, dim, keepdim: np.logical_or.reduce(x, dim, keepdims=keepdim),
    shape=_truth_shape,
    vjp=(None,),
    lower=Reduce("or"),
    examples=_EXAMPLES,
)

all_p = primitive(
    "all",
    doc="Whether all elements over the axes in dim are true (non-zero).",
    eager=lambda x, *, dim, keepdim: np.logical_and.reduce(x, dim, keepdims=keepdim),
    shape=_truth_shape,
    vjp=(None,),
    lower=Reduce("and"),
    examples=_EXAMPLES,
)


def sum_to(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """g summed over the axes along which `shape` was expanded to g's shape: the rule of every
    broadcast.
    """
    lead = g.ndim - len(shape)
    dims = tuple(range(lead)) + tuple(
        i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1
    )
    if dims:
        params = {"dim": dims, "keepdim": False}
        if g.__class__ is np.ndarray:
            g = np.asarray(sum_p.eager(g, **params))
        else:
            g = apply1(sum_p, g, params)
    return movement.reshape_to(g, shape)
