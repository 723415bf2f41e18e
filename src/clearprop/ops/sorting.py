"""Order: sort, top k, median and other ranks, quantiles, searching in sorted sequences.

Only `argsort` and `searchsorted` look at values; everything else picks elements by the indices that
they give, so gradients go to the picked elements. nan counts as larger than every number.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clearprop.core import (
    ALIGNED,
    LEADING,
    Aval,
    Example,
    Opaque,
    Tensor,
    apply,
    bool_,
    float64,
    int32,
    int64,
    primitive,
    wrap,
)
from clearprop.core.tensor import known
from clearprop.errors import DtypeError, ShapeError
from clearprop.ops import elementwise as ew
from clearprop.ops import movement, reductions
from clearprop.ops.broadcasting import (
    cast,
    dims_by_any_name,
    here,
    normal_dim,
    result_type,
    tensor_as,
    tensor_of,
)
from clearprop.ops.index import gather
from clearprop.ops.out import takes_out
from clearprop.ops.reductions import Extreme
from clearprop.ops.shapes import narrow, squeeze


def _argsort(x: np.ndarray, *, dim: int, descending: bool) -> np.ndarray:
    if not descending:
        return np.argsort(x, dim, kind="stable")
    # a stable descending order: sort the reversed sequence, and reverse
    order = np.argsort(np.flip(x, dim), dim, kind="stable")
    return np.ascontiguousarray(np.flip(x.shape[dim] - 1 - order, dim))


argsort_p = primitive(
    "argsort",
    doc="Indices that sort x along dim; equal elements keep their order.",
    eager=_argsort,
    shape=lambda x, *, dim, descending: Aval(x.shape, int64),
    vjp=(None,),
    lower=Opaque("sorts"),
    batch=ALIGNED,
    examples=(
        Example((Aval((3, 4), float64),), {"dim": 1, "descending": False}),
        Example((Aval((3, 4), float64),), {"dim": 0, "descending": True}),
    ),
)


def _searchsorted(sequence: np.ndarray, x: np.ndarray, *, side: str) -> np.ndarray:
    if sequence.ndim == 1:
        return np.asarray(np.searchsorted(sequence, x, side)).astype(np.int64)  # type: ignore[call-overload]
    out = np.empty(x.shape, np.int64)
    for row in np.ndindex(*sequence.shape[:-1]):
        out[row] = np.searchsorted(sequence[row], x[row], side)  # type: ignore[call-overload]
    return out


_STEPS = np.array([[0.0, 1, 2, 3], [0, 0, 1, 1]])
searchsorted_p = primitive(
    "searchsorted",
    doc="How many elements of a sorted sequence lie below each x ('left'), or not above ('right').",
    eager=_searchsorted,
    shape=lambda sequence, x, *, side: Aval(x.shape, int64),
    vjp=(None, None),
    lower=Opaque("searches"),
    batch=LEADING,
    examples=(
        Example((Aval((4,), float64), Aval((2, 3), float64)), {"side": "left"}, (_STEPS[0], None)),
        Example((Aval((2, 4), float64), Aval((2, 3), float64)), {"side": "right"}, (_STEPS, None)),
    ),
)

isin_p = primitive(
    "isin",
    doc="Whether each element of x is one of those of the second tensor.",
    eager=lambda x, among: np.isin(x, among),
    shape=lambda x, among: Aval(x.shape, bool_),
    vjp=(None, None),
    lower=Opaque("searches"),
    examples=(Example((Aval((3, 4), int64), Aval((2,), int64))),),
)


def _mode_index(x: np.ndarray, *, dim: int) -> np.ndarray:
    """The last occurrence of the most frequent value, the smallest one of several."""
    moved = np.moveaxis(x, dim, -1)
    order = np.argsort(moved, -1, kind="stable")
    runs = np.take_along_axis(moved, order, -1)
    place = np.broadcast_to(np.arange(runs.shape[-1]), runs.shape)
    new = np.ones(runs.shape, bool)
    new[..., 1:] = runs[..., 1:] != runs[..., :-1]
    length = place - np.maximum.accumulate(np.where(new, place, 0), -1)
    end = np.argmax(length, -1, keepdims=True)
    return np.ascontiguousarray(np.moveaxis(np.take_along_axis(order, end, -1), -1, dim))


mode_p = primitive(
    "mode",
    doc="Index of the last occurrence of the most frequent value along dim, which keeps size 1.",
    eager=_mode_index,
    shape=lambda x, *, dim: Aval(tuple(1 if i == dim else n for i, n in enumerate(x.shape)), int64),
    vjp=(None,),
    lower=Opaque("sorts"),
    batch=ALIGNED,
    examples=tuple(Example((Aval((3, 4), int64),), {"dim": d}) for d in (0, 1)),
)


# ---------------------------------------------------------------------- sorting
@dims_by_any_name
def argsort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Indices that sort x along dim (always stable)."""
    d = normal_dim("argsort", dim, x.ndim)
    if not x.ndim:
        return wrap(np.zeros((), np.int64), None)
    return apply(argsort_p, x, dim=d, descending=bool(descending))


@dims_by_any_name
def sort(
    x: Tensor, dim: int = -1, descending: bool = False, stable: bool | None = False
) -> Extreme:
    """(values, indices) in order along dim; equal elements keep their order."""
    index = argsort(x, dim, descending)
    return Extreme(gather(x, dim, index) if x.ndim else x, index)


@takes_out
def msort(x: Tensor) -> Tensor:
    """Sorted along the first axis."""
    return sort(x, 0).values


@dims_by_any_name
def topk(
    x: Tensor, k: int, dim: int | None = -1, largest: bool = True, sorted: bool = True
) -> Extreme:
    """The k largest (or smallest) along dim: (values, indices), in order."""
    d = normal_dim("topk", -1 if dim is None else dim, x.ndim)
    size = x.shape[d] if x.ndim else 1
    if not 0 <= k <= size:
        raise ShapeError(
            f"topk: selected index k out of range: k is {k}, dimension {d} has size {size}{here()}"
        )
    if not x.ndim:
        return Extreme(x, argsort(x))
    index = narrow(argsort(x, d, descending=largest), d, 0, k)
    return Extreme(gather(x, d, index), index)


# ---------------------------------------------------------------------- ranks
def _picked(x: Tensor, d: int, index: Tensor, keepdim: bool) -> Extreme:
    """The elements at `index`, which has size 1 along d."""
    values = gather(x, d, index)
    return Extreme(values, index) if keepdim else Extreme(squeeze(values, d), squeeze(index, d))


def _ranked(op: str, x: Tensor, dim: int) -> int:
    """The dimension, which must not be empty."""
    d = normal_dim(op, dim, x.ndim)
    if x.ndim and not x.shape[d]:
        raise IndexError(
            f"{op}(): Expected reduction dim {d} to have non-zero size, x is {x.aval}{here()}"
        )
    return d


@dims_by_any_name
def kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Extreme:
    """The k-th smallest element along dim (k counts from 1): (values, indices)."""
    d = _ranked("kthvalue", x, dim)
    if not 1 <= k <= (x.shape[d] if x.ndim else 1):
        raise ShapeError(
            f"kthvalue: selected number k out of range for dimension {d}: k is {k}, x is"
            f" {x.aval}{here()}"
        )
    if not x.ndim:
        return Extreme(x, argsort(x))
    return _picked(x, d, narrow(argsort(x, d), d, k - 1, 1), keepdim)


@dims_by_any_name
def mode(x: Tensor, dim: int = -1, keepdim: bool = False) -> Extreme:
    """The most frequent value along dim, the smallest of several: (values, indices of the last)."""
    d = _ranked("mode", x, dim)
    if not x.ndim:
        return Extreme(x, argsort(x))
    return _picked(x, d, apply(mode_p, x.detach(), dim=d), keepdim)


def _middle(x: Tensor, d: int, ignore_nan: bool) -> Tensor:
    """Index of the lower middle element along d."""
    order = argsort(x, d)
    if not x.is_floating_point():
        return narrow(order, d, (x.shape[d] - 1) // 2, 1)
    nan = ew.isnan(x)
    if ignore_nan:
        count = reductions.sum(ew.logical_not(nan), d, True)
        return gather(order, d, ew.clamp((count - 1) // 2, 0))
    index = narrow(order, d, (x.shape[d] - 1) // 2, 1)
    first_nan = reductions.argmax(cast(nan, x.dtype), d, True)
    return ew.where(reductions.any(nan, d, True), first_nan, index)


def _median(op: str, x: Tensor, dim: int | None, keepdim: bool, ignore_nan: bool) -> Any:
    if dim is None:
        if not x.numel():
            return reductions.sum(x) + math.nan if x.is_floating_point() else _none(op, x)
        flat = movement.reshape_to(x, (x.numel(),))
        found = gather(flat.detach(), 0, _middle(flat.detach(), 0, ignore_nan))
        return reductions.amax(_only(flat, found), 0)
    d = _ranked(op, x, dim)
    if not x.ndim:
        return Extreme(x, argsort(x))
    return _picked(x, d, _middle(x.detach(), d, ignore_nan), keepdim)


def _only(x: Tensor, value: Tensor) -> Tensor:
    """x where it equals `value`, the rest made so small that amax shares its gradient evenly."""
    if not x.is_floating_point():
        return ew.where(x == value, x, value)
    hit = (x == value) | (ew.isnan(x) & ew.isnan(value))
    return ew.where(hit, x, -math.inf)


def _none(op: str, x: Tensor) -> Tensor:
    raise ShapeError(f"{op}: there is no middle of no elements, x is {x.aval}{here()}")


@dims_by_any_name
def median(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element (the lower one of an even count), nan if there is one: of all elements
    (equal ones share the gradient), or (values, indices) along dim.
    """
    return _median("median", x, dim, keepdim, ignore_nan=False)


@dims_by_any_name
def nanmedian(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median of the elements that are not nan."""
    return _median("nanmedian", x, dim, keepdim, ignore_nan=True)


_WAYS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(
    op: str, x: Tensor, q: Any, dim: int | None, keepdim: bool, how: str, ignore_nan: bool
) -> Tensor:
    if x.dtype.name not in ("float32", "float64"):
        raise DtypeError(
            f"{op}() input tensor must be either float or double dtype, got {x.aval}{here()}"
        )
    if how not in _WAYS:
        raise DtypeError(
            f"{op}() interpolation must be one of {', '.join(_WAYS)}, but got {how!r}{here()}"
        )
    if isinstance(q, Tensor) and q.dtype is not x.dtype:
        raise DtypeError(f"{op}() q tensor must be same dtype as the input tensor{here()}")
    q = tensor_as(q, x.dtype, op)
    if q.ndim > 1:
        raise ShapeError(f"{op}() q must be a scalar or 1D tensor, got {q.aval}{here()}")
    values = known(q)
    if values is not None and not ((values >= 0) & (values <= 1)).all():
        raise DtypeError(f"{op}() q values must be in the range [0, 1]{here()}")
    if not x.numel():
        raise ShapeError(f"{op}() input tensor must be non-empty{here()}")
    # the reduced axis goes to the end, q to the front
    ndim = x.ndim
    if dim is None:
        lanes, kept = movement.reshape_to(x, (x.numel(),)), (1,) * ndim if keepdim else ()
    else:
        d = normal_dim(op, dim, ndim)
        lanes = x if ndim else movement.reshape_to(x, (1,))
        order = (*(i for i in range(lanes.ndim) if i != d), d)
        kept = tuple(1 if i == d else n for i, n in enumerate(x.shape)) if keepdim else tuple(
            n for i, n in enumerate(x.shape) if i != d
        )  # fmt: skip
        lanes = movement.permute(lanes, order)
    n = lanes.shape[-1]
    ordered = sort(lanes, -1).values
    nan = ew.isnan(lanes.detach())
    count = reductions.sum(ew.logical_not(nan), -1, True)
    last = ew.clamp(count - 1, 0) if ignore_nan else ew.where(count < n, n - 1, count - 1)
    rank = movement.reshape_to(q, (q.numel(),)) * cast(last, x.dtype)
    if not ignore_nan:  # a nan lies at the end
        rank = ew.where(count < n, float(n - 1), rank)
    if how in ("lower", "higher", "nearest"):
        rank = {"lower": ew.floor, "higher": ew.ceil, "nearest": ew.round}[how](rank)
    below = ew.floor(rank)
    result = gather(ordered, -1, cast(below, int64))
    if how in ("linear", "midpoint"):
        weight = rank - below
        if how == "midpoint":
            weight = ew.where(weight == 0, weight, 0.5)
        above = gather(ordered, -1, cast(ew.ceil(rank), int64))
        # from the nearer end: from an infinite other one inf - inf would come
        gap = above - result
        between = ew.where(weight < 0.5, result + weight * gap, above - (1 - weight) * gap)
        result = ew.where(below == rank, result, between)
    result = movement.permute(result, (result.ndim - 1, *range(result.ndim - 1)))
    return movement.reshape_to(result, kept if not q.ndim else (q.numel(), *kept))


@dims_by_any_name
def quantile(
    x: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The q-quantiles (0 <= q <= 1) along dim, of all elements when None; several q make a first
    axis. A lane with a nan gives nan.

    >>> import clearprop as cp
    >>> cp.quantile(cp.tensor([1.0, 2.0, 4.0]), cp.tensor([0.5, 0.75]))
    tensor([2., 3.])
    """
    return _quantile("quantile", x, q, dim, keepdim, interpolation, ignore_nan=False)


@dims_by_any_name
def nanquantile(
    x: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The q-quantiles of the elements that are not nan."""
    return _quantile("nanquantile", x, q, dim, keepdim, interpolation, ignore_nan=True)


# ---------------------------------------------------------------------- searching
@takes_out
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each element of `input` would go into the sorted sequence (along its last axis): before
    equal elements, or behind them with right=True.

    >>> import clearprop as cp
    >>> cp.searchsorted(cp.tensor([1, 3, 5]), cp.tensor([3, 4]))
    tensor([1, 2])
    """
    op = "searchsorted"
    if side is not None and side not in ("left", "right"):
        raise DtypeError(f"{op}: side can only be 'left' or 'right' but got {side}{here()}")
    if side == "left" and right:
        raise DtypeError(
            f"{op}: side and right can't be set to opposites, got side of left while right was"
            f" True{here()}"
        )
    scalar = not isinstance(input, Tensor)
    x = tensor_as(input, sorted_sequence.dtype, op) if scalar else input
    sequence = sorted_sequence if sorter is None else gather(sorted_sequence, -1, sorter)
    d = result_type(op, sequence, x)
    sequence, x = cast(sequence.detach(), d), cast(x.detach(), d)
    if sequence.ndim != 1 and x.shape[:-1] != sequence.shape[:-1]:
        raise ShapeError(
            f"{op}: boundaries tensor should be 1 dimension or the first N-1 dimensions of"
            f" boundaries tensor and input value tensor must match, got {sequence.aval} and"
            f" {x.aval}{here()}"
        )
    if not sequence.ndim:
        raise ShapeError(
            f"{op}: boundaries tensor must have at least one dimension, got {sequence.aval}{here()}"
        )
    how = "right" if right or side == "right" else "left"
    found = apply(searchsorted_p, sequence, x, side=how)
    return cast(found, int32) if out_int32 else found


@takes_out
def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The number of the bucket between sorted boundaries that each element falls into."""
    if boundaries.ndim != 1:
        raise ShapeError(
            f"bucketize: boundaries tensor must be 1 dimension, but got {boundaries.aval}{here()}"
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


@takes_out
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each element is one of the test elements (with `invert`: none of them)."""
    x, among = tensor_of(elements, "isin").detach(), tensor_of(test_elements, "isin").detach()
    d = result_type("isin", x, among)
    found = apply(isin_p, cast(x, d), cast(among, d))
    return ew.logical_not(found) if invert else found


__all__ = [
    "argsort", "bucketize", "isin", "kthvalue", "median", "mode", "msort", "nanmedian",
    "nanquantile", "quantile", "searchsorted", "sort", "topk",
]  # fmt: skip
