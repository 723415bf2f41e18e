"""What the linear algebra ops share: checks of their inputs, triangles and diagonals of batches of
matrices, kernels that go over a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop.core import Tensor, float16, wrap
from clearprop.core.deferred import Deferred
from clearprop.core.dtypes import FLOAT
from clearprop.errors import DtypeError, LinAlgError, ShapeError, UnsupportedDtypeError
from clearprop.ops import elementwise as ew
from clearprop.ops import reductions
from clearprop.ops.broadcasting import (
    broadcast_shapes,
    constant,
    expand_to,
    here,
    need_tensors,
)
from clearprop.ops.movement import reshape_to
from clearprop.ops.shapes import tril

scipy_linalg = Deferred("scipy.linalg")


# ---------------------------------------------------------------------- checks
def floating(op: str, x: Tensor) -> None:
    """An error unless x has elements that matrix kernels can work with."""
    need_tensors(op, x)
    if x.dtype.category != FLOAT:
        raise DtypeError(
            f"{op}: Expected a floating point or complex tensor as input. Got {x.aval}; use"
            f" x.float(){here()}"
        )


def matrices(op: str, *xs: Tensor, name: str = "A") -> None:
    """An error unless all are (batches of) floating-point matrices of one dtype."""
    for x in xs:
        need_tensors(op, x)
        if x.ndim < 2:
            raise ShapeError(
                f"{op}: The input tensor {name} must have at least 2 dimensions, got"
                f" {x.aval}{here()}"
            )
        floating(op, x)
        if x.dtype is float16:
            raise UnsupportedDtypeError(
                f"{op}: Low precision dtypes not supported. Got {x.aval}; use x.float(){here()}"
            )
    if len({x.dtype for x in xs}) > 1:
        a, b = xs
        raise DtypeError(
            f"{op}: Expected A and B to have the same dtype, but found A of type {a.dtype} and B"
            f" of type {b.dtype} instead; convert one with .to(...){here()}"
        )


def square(op: str, x: Tensor) -> None:
    """An error unless x is a (batch of) square floating-point matrix."""
    matrices(op, x)
    m, n = x.shape[-2:]
    if m != n:
        raise ShapeError(
            f"{op}: A must be batches of square matrices, but they are {m} by {n} matrices:"
            f" {x.aval}{here()}"
        )


def same_batch(op: str, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """x and y with their batch axes broadcast."""
    batch = broadcast_shapes(op, x.shape[:-2], y.shape[:-2])
    return expand_to(x, batch + x.shape[-2:]), expand_to(y, batch + y.shape[-2:])


# ---------------------------------------------------------------------- parts of matrices
def identity(x: Tensor, n: int) -> Tensor:
    """The n by n identity for every matrix of the batch x, in x's dtype."""
    eye = wrap(np.eye(n, dtype=x.value.dtype), None)
    return expand_to(eye, (*x.shape[:-2], n, n))


def _on_diagonal(shape: tuple[int, ...]) -> Tensor:
    return expand_to(wrap(np.eye(shape[-2], shape[-1], dtype=bool), None), shape)


def diagonal_of(x: Tensor) -> Tensor:
    """(..., n, n) -> (..., n)."""
    zero = constant(0, x.value.dtype, x.shape)
    return reductions.sum(ew.where(_on_diagonal(x.shape), x, zero), -1)


def embedded(v: Tensor) -> Tensor:
    """(..., n) -> (..., n, n) with v on the diagonal, zeros elsewhere."""
    shape = (*v.shape, v.shape[-1])
    wide = expand_to(as_row(v), shape)
    return ew.where(_on_diagonal(shape), wide, constant(0, v.value.dtype, shape))


def off_diagonal(x: Tensor) -> Tensor:
    """x with zeros on the diagonal."""
    return ew.where(_on_diagonal(x.shape), constant(0, x.value.dtype, x.shape), x)


def half_lower(x: Tensor) -> Tensor:
    """The lower triangle with half the diagonal: x = half_lower(x) + half_lower(x).mT where x is
    symmetric.
    """
    low = tril(x)
    return ew.where(_on_diagonal(x.shape), low * 0.5, low)


def as_row(v: Tensor) -> Tensor:
    """(..., n) -> (..., 1, n)."""
    return reshape_to(v, (*v.shape[:-1], 1, v.shape[-1]))


def as_column(v: Tensor) -> Tensor:
    """(..., n) -> (..., n, 1)."""
    return reshape_to(v, (*v.shape, 1))


def quotient(x: Tensor, y: Tensor) -> Tensor:
    """x / y, and 0 for 0 / 0: where eigenvalues coincide, a loss that does not see the vectors has
    a gradient all the same.
    """
    both = (x == 0) & (y == 0)
    return x / ew.where(both, constant(1, y.value.dtype, y.shape), y)


# ---------------------------------------------------------------------- kernels
def _flat(a: np.ndarray) -> np.ndarray:
    """With one batch axis."""
    return a.reshape((math.prod(a.shape[:-2]), *a.shape[-2:]))


def over_batch(f: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """f of every matrix of a batch, for kernels that take one matrix."""
    batch = arrays[0].shape[:-2]
    flat = [_flat(a) for a in arrays]
    rows = [np.asarray(f(*row)) for row in zip(*flat, strict=True)]
    return np.stack(rows).reshape((*batch, *rows[0].shape)) if rows else np.empty(batch)


def first_bad(a: np.ndarray, f: Callable[[np.ndarray], int]) -> tuple[str, int]:
    """`(Batch element 3): ` and what f tells of the first matrix that f finds fault with."""
    for i, matrix in enumerate(_flat(a)):
        info = f(matrix)
        if info:
            return (f"(Batch element {i}): " if a.ndim > 2 else ""), info
    return "", 0


def zero_pivot(a: np.ndarray) -> int:
    """1 + the place of the first pivot that is zero in the LU decomposition of a matrix; 0 if none
    is.
    """
    if not a.size:
        return 0
    getrf = scipy_linalg.get_lapack_funcs("getrf", (a,))
    return max(0, int(getrf(np.array(a))[2]))


def singular(op: str, a: np.ndarray, what: str) -> LinAlgError:
    """The error for a batch of matrices of which one is singular; `{i}` in `what` is its zero
    pivot.
    """
    batch, i = first_bad(a, zero_pivot)
    return LinAlgError(
        f"{op}: {batch}{what.format(i=i)} because the input matrix is singular; pinv() or lstsq()"
        f" take any matrix, A + eps * eye(n) is never far from a regular one{here()}"
    )


def not_converged(op: str, a: np.ndarray, kind: Any) -> LinAlgError:
    batch, _ = first_bad(a, lambda m: int(not np.isfinite(m).all()))
    finite = np.isfinite(a).all()
    why = (
        "is ill-conditioned or has too many repeated " + kind
        if finite
        else "contained non-finite values"
    )
    return LinAlgError(
        f"{op}: {batch}The algorithm failed to converge because the input matrix {why}{here()}"
    )
