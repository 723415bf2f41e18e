"""Running results along an axis: largest and smallest so far, log of a running sum of
exponentials, differences, trapezoids. Sums and products are in ops.reductions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.core import (
    ALIGNED,
    Aval,
    Example,
    Opaque,
    Tensor,
    apply,
    bool_,
    float64,
    int64,
    primitive,
    wrap,
)
from clearprop.errors import ShapeError
from clearprop.ops import movement, reductions
from clearprop.ops.broadcasting import dims_by_any_name, here, need_tensors, normal_dim
from clearprop.ops.index import gather
from clearprop.ops.reductions import Extreme
from clearprop.ops.shapes import cat, narrow
from clearprop.ops.special import logaddexp


def _record_index(x: np.ndarray, *, dim: int, largest: bool) -> np.ndarray:
    """Where the extreme so far stands: the latest of equal ones; the latest nan from a nan on."""
    best = (np.maximum if largest else np.minimum).accumulate(x, dim)
    hit = (x == best) | (x != x)
    place = np.arange(x.shape[dim]).reshape([-1 if i == dim else 1 for i in range(x.ndim)])
    return np.maximum.accumulate(np.where(hit, place, 0), dim)


record_p = primitive(
    "record",
    doc="Index of the largest (or smallest) element so far along dim, the latest of equal ones.",
    eager=_record_index,
    shape=lambda x, *, dim, largest: Aval(x.shape, int64),
    vjp=(None,),
    lower=Opaque("scans"),
    batch=ALIGNED,
    examples=(
        Example((Aval((3, 4), float64),), {"dim": 1, "largest": True}),
        Example((Aval((3, 4), float64),), {"dim": 0, "largest": False}),
    ),
)


def _record(op: str, x: Tensor, dim: int, largest: bool) -> Extreme:
    d = normal_dim(op, dim, x.ndim)
    if not x.ndim:
        return Extreme(x, wrap(np.zeros((), np.int64), None))
    index = apply(record_p, x.detach(), dim=d, largest=largest)
    return Extreme(gather(x, d, index), index)


@dims_by_any_name
def cummax(x: Tensor, dim: int) -> Extreme:
    """The largest element so far along dim: (values, indices); the latest of equal ones gets the
    gradient.
    """
    return _record("cummax", x, dim, largest=True)


@dims_by_any_name
def cummin(x: Tensor, dim: int) -> Extreme:
    """The smallest element so far along dim: (values, indices); the latest of equal ones gets the
    gradient.
    """
    return _record("cummin", x, dim, largest=False)


@dims_by_any_name
def logcumsumexp(x: Tensor, dim: int) -> Tensor:
    """log of the running sum of e^x along dim, without overflow.

    By doubling: log2(n) times x is joined with itself some places before, so gradients of any order
    are those of logaddexp.
    """
    d = normal_dim("logcumsumexp", dim, x.ndim)
    if not x.is_floating_point():
        raise NotImplementedError(
            f'logcumsumexp: "logcumsumexp_out_cpu" not implemented for {x.aval}; use'
            f" x.float(){here()}"
        )
    by = 1
    while x.ndim and by < x.shape[d]:
        n = x.shape[d]
        later = logaddexp(narrow(x, d, by, n - by), narrow(x, d, 0, n - by))
        x = cat([narrow(x, d, 0, by), later], d)
        by *= 2
    return x


@dims_by_any_name
def diff(
    x: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """Differences of neighbours along dim, n times over (exclusive or, of bools)."""
    if not x.ndim:
        raise ShapeError(f"diff: diff expects input to be at least one-dimensional{here()}")
    d = normal_dim("diff", dim, x.ndim)
    if n < 0:
        raise ShapeError(f"diff: order must be non-negative but got {n}{here()}")
    parts = [part for part in (prepend, x, append) if part is not None]
    x = cat(parts, d) if len(parts) > 1 else x
    for _ in range(min(n, x.shape[d])):
        m = max(x.shape[d] - 1, 0)
        later, earlier = narrow(x, d, x.shape[d] - m, m), narrow(x, d, 0, m)
        x = later ^ earlier if x.dtype is bool_ else later - earlier
    return x


def _areas(op: str, y: Tensor, x: Tensor | None, dx: Any, dim: int) -> tuple[Tensor, int]:
    """The areas of the trapezoids between neighbours along dim."""
    need_tensors(op, y, *(() if x is None else (x,)))
    d = normal_dim(op, dim, y.ndim)
    n = y.shape[d]
    if y.dtype is bool_:
        raise ShapeError(f"{op}: received a bool input for `y`, but bool is not supported{here()}")
    m = max(n - 1, 0)
    both = narrow(y, d, n - m, m) + narrow(y, d, 0, m)
    if x is None:
        return both * (0.5 if dx is None else dx / 2), d
    if x.ndim == 1 and y.ndim > 1:
        if x.shape[0] != n:
            raise ShapeError(
                f"{op}: There must be one `x` value for each sample point, x is {x.aval}, y is"
                f" {y.aval}{here()}"
            )
        x = movement.reshape_to(x, tuple(n if i == d else 1 for i in range(y.ndim)))
        width = diff(x, 1, d)
    else:
        width = diff(x, 1, d - y.ndim)
    return both * width / 2, d


@dims_by_any_name
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral of y along dim by trapezoids, over the points x or at distance dx (1).

    >>> import clearprop as cp
    >>> cp.trapezoid(cp.tensor([1.0, 2.0, 4.0]))
    tensor(4.5000)
    """
    areas, d = _areas("trapezoid", y, x, dx, dim)
    return reductions.sum(areas, d - y.ndim)


@dims_by_any_name
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1
) -> Tensor:
    """The running integral of y along dim by trapezoids."""
    areas, d = _areas("cumulative_trapezoid", y, x, dx, dim)
    return reductions.cumsum(areas, d - y.ndim)


__all__ = ["cummax", "cummin", "cumulative_trapezoid", "diff", "logcumsumexp", "trapezoid"]
