"""Statistics made of other reductions: with nan left out, pairs of results, covariance."""

from __future__ import annotations

from typing import Any, NamedTuple

from clearprop.core import Tensor, bool_, dtype
from clearprop.errors import ShapeError
from clearprop.ops import elementwise as ew
from clearprop.ops import movement, reductions
from clearprop.ops.broadcasting import (
    cast,
    dims_by_any_name,
    get_default_dtype,
    here,
    normal_dim,
    zeros_for,
)
from clearprop.ops.contract import matmul
from clearprop.ops.diagonals import diagonal
from clearprop.ops.out import takes_out


@dims_by_any_name
def nansum(
    x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None
) -> Tensor:
    """Sum over dim with nan counted as 0."""
    if x.is_floating_point():
        x = ew.where(ew.isnan(x), zeros_for(x), x)
    return reductions.sum(x, dim, keepdim, dtype=dtype)


@dims_by_any_name
def nanmean(
    x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None
) -> Tensor:
    """Mean over dim of the elements that are not nan."""
    x = x if dtype is None else cast(x, dtype)
    if not x.is_floating_point():
        raise ShapeError(
            f"nanmean(): expected input to have floating point or complex dtype but got"
            f" {x.aval}; use x.float(){here()}"
        )
    count = reductions.sum(ew.eq(x, x), dim, keepdim)
    return nansum(x, dim, keepdim) / count


class AMinMax(NamedTuple):
    """(min, max), as `aminmax` gives them."""

    min: Tensor
    max: Tensor


@dims_by_any_name
def aminmax(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> AMinMax:
    """The smallest and the largest element, of all or along dim; ties share the gradient."""
    d = None if dim is None else normal_dim("aminmax", dim, x.ndim)
    if not (x.numel() if d is None or not x.ndim else x.shape[d]):
        raise ShapeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no"
            f" identity, x is {x.aval}{here()}"
        )
    return AMinMax(reductions.amin(x, dim, keepdim), reductions.amax(x, dim, keepdim))


@dims_by_any_name
def var_mean(
    x: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float = 1,
) -> tuple[Tensor, Tensor]:
    """(variance, mean) over dim."""
    v = reductions.var(x, dim, unbiased, keepdim, correction=correction)
    return v, reductions.mean(x, dim, keepdim)


@dims_by_any_name
def std_mean(
    x: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float = 1,
) -> tuple[Tensor, Tensor]:
    """(standard deviation, mean) over dim."""
    s = reductions.std(x, dim, unbiased, keepdim, correction=correction)
    return s, reductions.mean(x, dim, keepdim)


@takes_out
def dist(x: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of x - other."""
    return reductions.norm(x - other, p)


def cov(
    x: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """The covariance matrix of the variables in the rows of x, observed in its columns.

    `fweights` says how often each observation was made, `aweights` how much it counts.
    """
    if x.ndim > 2:
        raise ShapeError(
            f"cov(): expected input to have two or fewer dimensions but got {x.aval}{here()}"
        )
    if x.dtype is bool_:
        raise ShapeError(f"cov(): bool dtype is not supported for input{here()}")
    x = x if x.is_floating_point() else cast(x, get_default_dtype())
    table = movement.reshape_to(x, (1, x.numel())) if x.ndim < 2 else x
    n = table.shape[1]
    weight = None
    for name, w in (("fweights", fweights), ("aweights", aweights)):
        if w is None:
            continue
        if w.ndim > 1 or w.numel() != n:
            raise ShapeError(
                f"cov(): expected {name} to have the same numel as there are observations in the"
                f" input, {n}, but got {w.aval}{here()}"
            )
        if w.is_floating_point() is not (name == "aweights"):
            kind = "floating point" if name == "aweights" else "integral"
            raise ShapeError(f"cov(): expected {name} to have {kind} dtype, got {w.aval}{here()}")
        w = cast(w, x.dtype)
        weight = w if weight is None else weight * w
    if weight is None:
        centred = table - reductions.mean(table, 1, True)
        free: Any = max(n - correction, 0)
        scaled = centred
    else:
        total = reductions.sum(weight)
        centred = table - reductions.sum(table * weight, 1, True) / total
        scaled = centred * weight
        if aweights is not None and correction:
            free = total - correction * reductions.sum(weight * cast(aweights, x.dtype)) / total
        else:
            free = total - correction
        free = ew.clamp(free, 0)
    out = matmul(scaled, centred.mT) / free
    return movement.reshape_to(out, ()) if table.shape[0] == 1 else out


def corrcoef(x: Tensor) -> Tensor:
    """The correlation coefficients of the variables in the rows of x, limited to [-1, 1]."""
    if x.ndim > 2:
        raise ShapeError(
            f"corrcoef(): expected input to have two or fewer dimensions but got {x.aval}{here()}"
        )
    c = cov(x)
    if not c.ndim:
        return c / c
    n = c.shape[0]
    spread = ew.sqrt(diagonal(c))
    rows = movement.reshape_to(spread, (n, 1))
    return ew.clamp(c / rows / movement.reshape_to(spread, (1, n)), -1, 1)


__all__ = [
    "aminmax", "corrcoef", "cov", "dist", "nanmean", "nansum", "std_mean", "var_mean",
]  # fmt: skip
