"""Other ops made of other ops: sorting, one_hot, diag, comparisons of whole tensors."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from clearprop.core import (
    ALIGNED,
    Aval,
    Example,
    Opaque,
    Tensor,
    apply,
    float64,
    int64,
    local,
    primitive,
    wrap,
)
from clearprop.core.tensor import known
from clearprop.errors import DtypeError, ShapeError
from clearprop.ops import elementwise as ew
from clearprop.ops import movement, reductions
from clearprop.ops.broadcasting import (
    cast,
    constant,
    dims_by_any_name,
    expand_to,
    here,
    normal_dim,
)
from clearprop.ops.create import arange
from clearprop.ops.index import gather, getitem
from clearprop.ops.reductions import Extreme
from clearprop.ops.shapes import narrow, squeeze, unsqueeze


# ---------------------------------------------------------------------- sorting
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


@dims_by_any_name
def argsort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Indices that sort x along dim (always stable)."""
    d = normal_dim("argsort", dim, x.ndim)
    if not x.ndim:
        return wrap(np.zeros((), np.int64), None)
    return apply(argsort_p, x, dim=d, descending=bool(descending))


@dims_by_any_name
def sort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Extreme:
    """(values, indices) in order along dim."""
    index = argsort(x, dim, descending)
    return Extreme(gather(x, dim, index) if x.ndim else x, index)


@dims_by_any_name
def topk(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Extreme:
    """The k largest (or smallest) along dim: (values, indices), in order."""
    d = normal_dim("topk", dim, x.ndim)
    if not 0 <= k <= x.shape[d]:
        raise ShapeError(
            f"topk: selected index k out of range: k is {k}, dimension {d} has size"
            f" {x.shape[d]}{here()}"
        )
    index = narrow(argsort(x, d, descending=largest), d, 0, k)
    return Extreme(gather(x, d, index), index)


@dims_by_any_name
def median(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element (the lower one of an even count): of all elements, or (values, indices)
    along dim.
    """
    if dim is None:
        if not x.numel() and x.is_floating_point():
            return reductions.sum(x) + math.nan
        flat = movement.reshape_to(x, (x.numel(),))
        return median(flat, 0).values
    d = normal_dim("median", dim, x.ndim)
    if x.ndim and not x.shape[d]:
        raise IndexError(f"median: Expected reduction dim {d} to have non-zero size.{here()}")
    index = narrow(argsort(x, d), d, (x.shape[d] - 1) // 2, 1)
    values = gather(x, d, index)
    return Extreme(values, index) if keepdim else Extreme(squeeze(values, d), squeeze(index, d))


# ---------------------------------------------------------------------- others
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


def clone(x: Tensor) -> Tensor:
    """A copy in memory of its own; gradients pass through."""
    return apply(movement.clone_p, x)


def contiguous(x: Tensor) -> Tensor:
    """x itself if its elements lie in row-major order, else a copy."""
    interpreter = local.c.interpreter
    if interpreter is not None:
        return interpreter.contiguous(x, clone)  # type: ignore[no-any-return]
    return x if x.value.flags.c_contiguous else clone(x)


def diag(x: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector as its diagonal."""
    if x.ndim not in (1, 2):
        raise ShapeError(f"diag: Supports 1D or 2D tensors. Got {x.aval}{here()}")
    k = diagonal
    if x.ndim == 1:
        n = x.shape[0] + builtins.abs(k)
        mask = wrap(np.eye(n, k=k, dtype=bool), None)
        rows = movement.unslice(x, (n,), (max(0, -k),), (1,))
        return ew.where(
            mask, expand_to(unsqueeze(rows, 1), (n, n)), constant(0, x.value.dtype, (n, n))
        )
    n = max(0, min(x.shape[0] + min(k, 0), x.shape[1] - max(k, 0)))
    i = arange(n)
    return getitem(x, (i + max(0, -k), i + max(0, k)))


def trace(x: Tensor) -> Tensor:
    """Sum of the diagonal of a matrix."""
    return reductions.sum(diag(x))


def allclose(
    x: Tensor, y: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether |x - y| <= atol + rtol |y| everywhere."""
    return bool(
        np.allclose(
            x.detach().array("allclose()"), y.detach().array("allclose()"), rtol, atol, equal_nan
        )
    )


def equal(x: Tensor, y: Tensor) -> bool:
    """Whether x and y have the same shape and elements."""
    return x.shape == y.shape and bool(
        np.array_equal(x.detach().array("equal()"), y.detach().array("equal()"))
    )


__all__ = [
    "allclose", "argsort", "clone", "contiguous", "diag", "equal", "median", "one_hot", "sort",
    "topk", "trace",
]  # fmt: skip
