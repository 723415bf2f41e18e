"""Counting: unique values, histograms, occurrences, one-hot codes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from clearprop.core import (
    Aval,
    Example,
    Opaque,
    Tensor,
    apply,
    float64,
    int64,
    primitive,
    wrap,
)
from clearprop.core.tensor import known
from clearprop.errors import DtypeError, ShapeError, UnsupportedDtypeError
from clearprop.ops import elementwise as ew
from clearprop.ops import movement, reductions
from clearprop.ops.broadcasting import cast, constant, expand_to, here, normal_dim, tensor_as
from clearprop.ops.create import arange
from clearprop.ops.out import takes_out
from clearprop.ops.shapes import narrow, unsqueeze


# ---------------------------------------------------------------------- unique values
def _runs(rows: np.ndarray) -> np.ndarray:
    """Whether each row begins a run of equal ones."""
    new = np.ones(len(rows), bool)
    if len(rows) > 1:
        new[1:] = (rows[1:] != rows[:-1]).any(tuple(range(1, rows.ndim)))
    return new


def _uniques(
    op: str, x: Tensor, dim: int | None, inverse: bool, counts: bool, in_order: bool
) -> Any:
    value = x.detach().array(f"{op}()")
    if dim is None:
        rows, shape = value.reshape(-1), value.shape
    else:
        d = normal_dim(op, dim, x.ndim)
        rows, shape = np.moveaxis(value, d, 0), (value.shape[d],)
    order = np.arange(len(rows))
    if in_order and dim is None:
        order = np.argsort(rows, kind="stable")
    elif in_order:
        keys = rows.reshape(len(rows), math.prod(rows.shape[1:])).T[::-1]
        order = np.lexsort(keys) if len(keys) else order
    ordered = rows[order]
    new = _runs(ordered)
    number = np.cumsum(new) - 1
    found = ordered[new]
    places = np.empty(len(rows), np.int64)
    places[order] = number
    values = found if dim is None else np.ascontiguousarray(np.moveaxis(found, 0, d))
    out = [wrap(values, None)]
    if inverse:
        out.append(wrap(places.reshape(shape), None))
    if counts:
        out.append(wrap(np.bincount(number, minlength=len(found)).astype(np.int64), None))
    return tuple(out) if len(out) > 1 else out[0]


def unique(
    x: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in order (or slices along dim); with them, if asked for, the place of
    each element among them (`return_inverse`), and how often each occurs (`return_counts`).

    >>> import clearprop as cp
    >>> cp.unique(cp.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    return _uniques("unique", x, dim, return_inverse, return_counts, in_order=True)


def unique_consecutive(
    x: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """One of each run of equal elements (or slices along dim); options as for `unique`."""
    return _uniques("unique_consecutive", x, dim, return_inverse, return_counts, in_order=False)


# ---------------------------------------------------------------------- occurrences
@takes_out
def bincount(x: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number 0, 1, 2, ... occurs in a vector of integers, or the sum of the weights
    where it does.
    """
    if x.ndim != 1 or x.dtype.category != 1:
        kind = DtypeError if x.dtype.category == 1 else UnsupportedDtypeError
        raise kind(
            "bincount: bincount only supports 1-d non-negative integral inputs, got"
            f" {x.aval}{here()}"
        )
    value = x.array("bincount()")
    if minlength < 0:
        raise IndexError(f"bincount: minlength should be >= 0, got {minlength}{here()}")
    if value.size and value.min() < 0:
        raise DtypeError(
            "bincount: bincount only supports 1-d non-negative integral inputs, got"
            f" {int(value.min())}{here()}"
        )
    if weights is None:
        return wrap(np.bincount(value, minlength=minlength).astype(np.int64), None)
    if weights.shape != x.shape:
        raise ShapeError(
            f"bincount: weights should be 1-d and have the same length as input, got {x.aval} and"
            f" {weights.aval}{here()}"
        )
    w = weights.detach().array("bincount()")
    d = np.dtype(np.float32) if w.dtype == np.float32 else np.dtype(np.float64)
    return wrap(np.bincount(value, w, minlength).astype(d), None)


def one_hot(x: Tensor, num_classes: int = -1) -> Tensor:
    """int64 (..., num_classes) with a 1 at the class of each element."""
    if x.dtype is not int64:
        raise DtypeError(
            f"one_hot: is only applicable to index tensor of type int64, got {x.aval}{here()}"
        )
    if num_classes == -1:
        if not x.numel():
            raise ShapeError(
                f"one_hot: Can not infer total number of classes from empty tensor.{here()}"
            )
        num_classes = int(x.array("one_hot() without num_classes").max()) + 1
    value = known(x)
    if value is not None and value.size and not 0 <= value.min() <= value.max() < num_classes:
        wrong = "non-negative" if value.min() < 0 else f"smaller than num_classes ({num_classes})"
        raise ShapeError(f"one_hot: Class values must be {wrong}.{here()}")
    return cast(
        ew.eq(
            expand_to(unsqueeze(x, -1), (*x.shape, num_classes)),
            expand_to(arange(num_classes), (*x.shape, num_classes)),
        ),
        int64,
    )


# ---------------------------------------------------------------------- histograms
def _histc(x: np.ndarray, *, bins: int, low: float, high: float) -> np.ndarray:
    x = x.reshape(-1)
    if low == high and x.size:
        low, high = float(x.min()), float(x.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise DtypeError(f"histc: range of [{low}, {high}] is not finite")
    if low == high:
        low, high = low - 1, high + 1
    inside = x[(x >= low) & (x <= high)]
    bin_of = ((inside - low) / (high - low) * bins).astype(np.int64)
    return np.bincount(np.minimum(bin_of, bins - 1), minlength=bins).astype(x.dtype)


histc_p = primitive(
    "histc",
    doc="How many elements fall into each of `bins` equal parts of [low, high].",
    eager=_histc,
    shape=lambda x, *, bins, low, high: Aval((bins,), x.dtype),
    vjp=(None,),
    lower=Opaque("counts"),
    examples=(
        Example((Aval((20,), float64),), {"bins": 5, "low": -1.0, "high": 1.0}),
        Example((Aval((4, 5), float64),), {"bins": 3, "low": 0.0, "high": 0.0}),
    ),
)

histogram_p = primitive(
    "histogram",
    doc="Sums of weights of the elements between neighbouring edges (the last one included).",
    eager=lambda x, edges, weight: np.histogram(x, edges, weights=weight)[0].astype(x.dtype),
    shape=lambda x, edges, weight: Aval((edges.shape[0] - 1,), x.dtype),
    vjp=(None, None, None),
    lower=Opaque("counts"),
    examples=(
        Example(
            (Aval((20,), float64), Aval((4,), float64), Aval((20,), float64)),
            {},
            (None, np.array([-1.0, 0, 0.5, 1]), None),
        ),
    ),
)  # fmt: skip


def _floats_only(op: str, x: Tensor) -> None:
    if not x.is_floating_point():
        raise NotImplementedError(
            f'{op}: "{op}_cpu" not implemented for {x.dtype!r}; use x.float(){here()}'
        )


@takes_out
def histc(x: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of `bins` equal parts of [min, max] (of the range of x when
    both are equal); others are not counted.
    """
    _floats_only("histc", x)
    if bins <= 0:
        raise DtypeError(f"histc: bins must be > 0, got {bins}{here()}")
    if max < min:
        raise DtypeError(f"histc: max must be larger than min, got {min} and {max}{here()}")
    return apply(histc_p, x.detach(), bins=int(bins), low=float(min), high=float(max))


class Histogram(NamedTuple):
    """(hist, bin_edges), as `histogram` gives them."""

    hist: Tensor
    bin_edges: Tensor


@takes_out
def histogram(
    x: Tensor,
    bins: Any,
    *,
    range: tuple[float, float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """Counts (or sums of weights) between edges: `bins` equal parts of `range` (of that of x when
    None), or the edges themselves; `density` divides by the total and the widths.
    """
    _floats_only("histogram", x)
    flat = movement.reshape_to(x.detach(), (x.numel(),))
    d = x.value.dtype
    if isinstance(bins, Tensor):
        edges = bins.detach()
    else:
        if range is not None:
            low: Any = tensor_as(range[0], x.dtype, "histogram")
            high: Any = tensor_as(range[1], x.dtype, "histogram")
        elif x.numel():
            low, high = reductions.amin(flat), reductions.amax(flat)
        else:
            low, high = constant(0, d, ()), constant(1, d, ())
        flat_range = ew.eq(low, high)
        low, high = ew.where(flat_range, low - 0.5, low), ew.where(flat_range, high + 0.5, high)
        part = cast(arange(bins + 1), x.dtype) / bins
        edges = low + (high - low) * part
        ends = ew.eq(arange(bins + 1), bins)
        edges = ew.where(ends, high, edges)
    if weight is None:
        weight = constant(1, d, flat.shape)
    elif weight.shape != x.shape:
        raise ShapeError(
            f"histogram(): if weight tensor is provided it should have the same shape as the input"
            f" tensor, got {weight.aval} and {x.aval}{here()}"
        )
    counted = apply(histogram_p, flat, edges, movement.reshape_to(weight.detach(), flat.shape))
    if density:
        n = edges.shape[0] - 1
        widths = narrow(edges, 0, 1, n) - narrow(edges, 0, 0, n)
        counted = counted / reductions.sum(counted) / widths
    return Histogram(counted, edges)


__all__ = [
    "bincount", "histc", "histogram", "one_hot", "unique", "unique_consecutive",
]  # fmt: skip
