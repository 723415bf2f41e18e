"""Ops that move elements and compute nothing: reshape, permute, expand, slice, pad, flip, concat;
and cast.

Each rule is another movement op, so gradients of any order are views where values are views.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import clearprop.ops.reduce as reduce
from clearprop.core import (
    Aval,
    Example,
    Map,
    Tensor,
    View,
    also_arrays,
    apply,
    apply_view,
    dtype,
    float32,
    float64,
    from_numpy_dtype,
    int64,
    primitive,
)

_ndarray = np.ndarray


def _f(*shape: int) -> Aval:
    return Aval(shape, float64)


def _expand(x: np.ndarray, *, shape: tuple[int, ...]) -> np.ndarray:
    ndim, old = len(shape), x.shape
    if not old:
        return np.ndarray(shape, x.dtype, x, 0, (0,) * ndim)
    strides = (0,) * (ndim - len(old)) + tuple(
        0 if a != b else s for a, b, s in zip(old, shape[ndim - len(old) :], x.strides, strict=True)
    )
    return (
        np.lib.stride_tricks.as_strided(x, shape, strides)
        if not x.flags.c_contiguous
        else (np.ndarray(shape, x.dtype, x, 0, strides))
    )


expand_p = primitive(
    "expand",
    doc="Repeats size-1 axes, and adds axes in front, without copying.",
    eager=_expand,
    shape=lambda x, *, shape: Aval(shape, x.dtype),
    vjp=(also_arrays(lambda g, _out, x_aval, *, shape: reduce.sum_to(g, x_aval.shape)),),
    lower=View(),
    examples=(
        Example((_f(1, 3),), {"shape": (4, 3)}),
        Example((_f(3),), {"shape": (2, 4, 3)}),
        Example((_f(),), {"shape": (2, 3)}),
    ),
)

reshape_p = primitive(
    "reshape",
    doc="The same elements in row-major order under another shape.",
    eager=lambda x, *, shape: x.reshape(shape),
    shape=lambda x, *, shape: Aval(shape, x.dtype),
    vjp=(also_arrays(lambda g, _out, x_aval, *, shape: reshape_to(g, x_aval.shape)),),
    lower=View(shares=False),
    examples=(
        Example((_f(4, 3),), {"shape": (2, 6)}),
        Example((_f(1, 3, 1),), {"shape": (3,)}),
        Example((_f(1),), {"shape": ()}),
    ),
)


def _batched_permute(size: int, mapped: Any, x: Tensor, *, dims: tuple[int, ...]) -> Tensor:
    return permute(x, (0, *(d + 1 for d in dims)))


permute_p = primitive(
    "permute",
    doc="Axes in another order: axis i of the result is axis dims[i] of x.",
    eager=lambda x, *, dims: x.transpose(dims),
    shape=lambda x, *, dims: Aval(tuple(x.shape[d] for d in dims), x.dtype),
    vjp=(also_arrays(lambda g, _out, _x, *, dims: permute(g, _inverse(dims))),),
    lower=View(),
    batch=_batched_permute,
    examples=(
        Example((_f(4, 3),), {"dims": (1, 0)}),
        Example((_f(2, 3, 4),), {"dims": (2, 0, 1)}),
    ),
)


def _sliced(x: Aval, starts: Any, stops: Any, steps: Any) -> tuple[int, ...]:
    return tuple(max(0, -(-(b - a) // s)) for a, b, s in zip(starts, stops, steps, strict=True))


slice_p = primitive(
    "slice",
    doc="Elements starts, starts + steps, ... below stops along each axis (steps >= 1).",
    eager=lambda x, *, starts, stops, steps: x[
        tuple(map(slice, starts, stops, steps)) or (Ellipsis,)
    ],
    shape=lambda x, *, starts, stops, steps: Aval(_sliced(x, starts, stops, steps), x.dtype),
    vjp=(lambda g, _out, x_aval, *, starts, stops, steps: unslice(g, x_aval.shape, starts, steps),),
    lower=View(),
    examples=(
        Example((_f(5, 4),), {"starts": (1, 0), "stops": (5, 3), "steps": (2, 1)}),
        Example((_f(6),), {"starts": (2,), "stops": (3,), "steps": (1,)}),
    ),
)


def _unslice(g: np.ndarray, *, shape: Any, starts: Any, steps: Any) -> np.ndarray:
    out = np.zeros(shape, g.dtype)
    region = tuple(
        slice(a, a + (n - 1) * s + 1 if n else a, s)
        for a, s, n in zip(starts, steps, g.shape, strict=True)
    )
    out[region or (Ellipsis,)] = g
    return out


unslice_p = primitive(
    "unslice",
    doc=(
        "Zeros of the given shape with g written at starts, starts + steps, ... along each axis"
        " (pads; the adjoint of slice)."
    ),
    eager=_unslice,
    shape=lambda g, *, shape, starts, steps: Aval(shape, g.dtype),
    vjp=(
        lambda g, _out, x_aval, *, shape, starts, steps: slice_(
            g,
            starts,
            tuple(
                a + (n - 1) * s + 1 if n else a
                for a, s, n in zip(starts, steps, x_aval.shape, strict=True)
            ),
            steps,
        ),
    ),
    lower=View(shares=False),
    examples=(
        Example((_f(2, 3),), {"shape": (5, 4), "starts": (1, 0), "steps": (2, 1)}),
        Example((_f(3),), {"shape": (5,), "starts": (1,), "steps": (1,)}),
    ),
)

flip_p = primitive(
    "flip",
    doc="Elements in reverse order along dims.",
    eager=lambda x, *, dims: np.flip(x, dims).copy(),
    shape=lambda x, *, dims: x,
    vjp=(lambda g, _out, _x, *, dims: apply(flip_p, g, dims=dims),),
    lower=View(shares=False),
    examples=(Example((_f(2, 3),), {"dims": (1,)}), Example((_f(2, 3),), {"dims": (0, 1)})),
)


def _concat_shape(*xs: Aval, dim: int) -> Aval:
    total = sum(x.shape[dim] for x in xs)
    return Aval((*xs[0].shape[:dim], total, *xs[0].shape[dim + 1 :]), xs[0].dtype)


def _concat_rule(i: int, g: Tensor, _out: Any, *x_avals: Aval, dim: int) -> Tensor:
    start = sum(x.shape[dim] for x in x_avals[:i])
    starts, stops = [0] * g.ndim, list(g.shape)
    starts[dim], stops[dim] = start, start + x_avals[i].shape[dim]
    return slice_(g, tuple(starts), tuple(stops), (1,) * g.ndim)


concat_p = primitive(
    "concat",
    doc="The inputs one after the other along dim.",
    eager=lambda *xs, dim: np.concatenate(xs, dim),
    shape=_concat_shape,
    vjp=(_concat_rule,),
    variadic=True,
    lower=View(shares=False),
    examples=(
        Example((_f(2, 3), _f(4, 3)), {"dim": 0}),
        Example((_f(2, 1), _f(2, 3), _f(2, 2)), {"dim": 1}),
    ),
)

cast_p = primitive(
    "cast",
    doc="The same values in another element type (float to integer truncates toward zero).",
    eager=lambda x, *, to: x.astype(to.np),
    shape=lambda x, *, to: Aval(x.shape, to),
    vjp=(lambda g, _out, x_aval, *, to: cast(g, x_aval.dtype),),
    lower=Map("cast(x, to)"),
    examples=(
        Example((_f(3),), {"to": float64}),
        Example((Aval((2, 3), float32),), {"to": float64}),
        Example((_f(3),), {"to": int64}),
    ),
)

clone_p = primitive(
    "clone",
    doc="A copy in memory of its own.",
    eager=lambda x: x.copy(),
    shape=lambda x: x,
    vjp=(lambda g, _out, _x: g,),
    lower=Map("x"),
)


# ---------------------------------------------------------------------- strict functions
# The first three take a bare array, too, and give one: rules on bare arrays call them.
def expand(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    if x.__class__ is _ndarray:
        return _expand(x, shape=shape)  # type: ignore[arg-type, return-value]
    return apply_view(expand_p, x, {"shape": shape})


def reshape_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    if x.__class__ is _ndarray:
        return x.reshape(shape)  # type: ignore[attr-defined, no-any-return]
    return x if x.value.shape == shape else apply_view(reshape_p, x, {"shape": shape})


def permute(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    if x.__class__ is _ndarray:
        return x.transpose(dims)  # type: ignore[attr-defined, no-any-return]
    return apply_view(permute_p, x, {"dims": dims})


def slice_(x: Tensor, starts: Any, stops: Any, steps: Any) -> Tensor:
    return apply_view(
        slice_p, x, {"starts": tuple(starts), "stops": tuple(stops), "steps": tuple(steps)}
    )


def unslice(g: Tensor, shape: Any, starts: Any, steps: Any) -> Tensor:
    return apply(unslice_p, g, shape=tuple(shape), starts=tuple(starts), steps=tuple(steps))


def cast(x: Tensor, to: dtype) -> Tensor:
    if to.category != 2 and x.node is not None:
        return apply(cast_p, x.detach(), to=to)  # integers have no derivative
    return x if from_numpy_dtype(x.value.dtype) is to else apply(cast_p, x, to=to)


@functools.cache
def _inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(dims)), key=dims.__getitem__))
