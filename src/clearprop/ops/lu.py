"""LU decomposition with partial pivoting: the order of the rows is found first, as integers; what
follows is smooth.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from clearprop.core import LEADING, Example, Opaque, Tensor, apply, int32, int64, primitive
from clearprop.core.dtypes import Aval
from clearprop.core.tensor import known
from clearprop.errors import DtypeError, LinAlgError, ShapeError
from clearprop.ops.broadcasting import expand_to, here
from clearprop.ops.factorizations import f64, first, rest, right_triangular, triangular
from clearprop.ops.index import gather
from clearprop.ops.matrix import (
    as_column,
    identity,
    matrices,
    over_batch,
    same_batch,
    scipy_linalg,
    singular,
    square,
    zero_pivot,
)
from clearprop.ops.shapes import cat, tril, triu

_A = np.array([[0.4, 1.5, -0.2], [2.0, -0.3, 0.5], [-0.6, 0.1, 0.9]])


def _pivots_of(a: np.ndarray) -> np.ndarray:
    if not a.size:
        return np.arange(1, min(a.shape) + 1)
    (getrf,) = scipy_linalg.get_lapack_funcs(("getrf",), (a,))
    return np.asarray(getrf(a)[1]) + 1


def _pivots(a: np.ndarray) -> np.ndarray:
    shape = (*a.shape[:-2], min(a.shape[-2:]))
    return over_batch(_pivots_of, a).astype(np.int32).reshape(shape)


PIVOTS = primitive(
    "lu_pivots",
    doc="Step i of the elimination exchanges row i + 1 with row pivots[i] (counted from 1).",
    eager=_pivots,
    shape=lambda a: Aval((*a.shape[:-2], min(a.shape[-2:])), int32),
    vjp=(None,),
    lower=Opaque("factorizes"),
    batch=LEADING,
    examples=(Example((f64(3, 3),), {}, (_A,)), Example((f64(2, 3, 4),))),
)


def _order(pivots: np.ndarray, *, rows: int) -> np.ndarray:
    order = np.broadcast_to(np.arange(rows), (*pivots.shape[:-1], rows)).copy()
    for i in range(pivots.shape[-1]):
        j = pivots[..., i : i + 1].astype(np.int64) - 1
        here, there = order[..., i : i + 1].copy(), np.take_along_axis(order, j, -1)
        np.put_along_axis(order, j, here, -1)
        order[..., i : i + 1] = there
    return order


ORDER = primitive(
    "row_order",
    doc="The order of the rows after the exchanges that the pivots name.",
    eager=_order,
    shape=lambda p, *, rows: Aval((*p.shape[:-1], rows), int64),
    vjp=(None,),
    lower=Opaque("permutes"),
    batch=LEADING,
    examples=(Example((Aval((3,), int32),), {"rows": 4}, (np.array([3, 3, 4]),)),),
)


def _eliminate(a: np.ndarray) -> np.ndarray:
    lu = a.copy()
    for i in range(a.shape[-1] - 1):
        with np.errstate(all="ignore"):
            factors = lu[..., i + 1 :, i : i + 1] / lu[..., i : i + 1, i : i + 1]
        factors = np.where(lu[..., i : i + 1, i : i + 1] == 0, 0, factors).astype(a.dtype)
        lu[..., i + 1 :, i : i + 1] = factors
        lu[..., i + 1 :, i + 1 :] -= factors * lu[..., i : i + 1, i + 1 :]
    return lu


def _eliminate_rule(g: Tensor, out: Tensor, _a: Any) -> Tensor:
    lower = tril(out, -1) + identity(out, out.shape[-1])
    upper = triu(out)
    inner = tril(lower.mT @ tril(g, -1), -1) + triu(triu(g) @ upper.mT)
    # L^-T inner U^-T
    return right_triangular(upper.mT, triangular(lower.mT, inner, True, True), False)


ELIMINATE = primitive(
    "eliminate",
    doc="L - 1 + U in one matrix, with A = L U, without exchanges of rows.",
    eager=_eliminate,
    shape=lambda a: a,
    vjp=(_eliminate_rule,),
    lower=Opaque("factorizes"),
    batch=LEADING,
    examples=(
        Example((f64(3, 3),), {}, (_A[[1, 0, 2]],)),
        Example((f64(2, 3, 3),), {}, (np.stack([np.eye(3) * 2 + 0.3 * _A, _A[[1, 0, 2]]]),)),
    ),
)


# ---------------------------------------------------------------------- functions
def _rows(x: Tensor, order: Tensor) -> Tensor:
    """The rows of matrices in the given order."""
    return gather(x, x.ndim - 2, expand_to(as_column(order), x.shape))


def _factor(op: str, a: Tensor, pivot: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """L, U, the order of the rows, and the pivots."""
    matrices(op, a)
    m, n = a.shape[-2:]
    k = min(m, n)
    base = a.detach()
    if pivot:
        pivots = apply(PIVOTS, base)
    else:
        pivots = apply(PIVOTS, identity(base, k))
    order = apply(ORDER, pivots, rows=m)
    moved = _rows(a, order)
    packed = apply(ELIMINATE, first(first(moved, k, -1), k, -2))
    lower, upper = tril(packed, -1) + identity(packed, k), triu(packed)
    if m > k:
        lower = cat([lower, right_triangular(upper, rest(moved, k, -2), True)], -2)
    if n > k:
        upper = cat([upper, triangular(lower, rest(moved, k, -1), False, True)], -1)
    return lower, upper, order, pivots


class LUTriple(NamedTuple):
    """(P, L, U), as `lu` gives them."""

    P: Tensor
    L: Tensor
    U: Tensor


def lu(A: Tensor, *, pivot: bool = True) -> LUTriple:
    """(P, L, U) with A = P L U: a permutation, a unit lower and an upper triangular matrix.

    >>> import clearprop as cp
    >>> P, L, U = cp.linalg.lu(cp.tensor([[1.0, 2.0], [2.0, 6.0]]))
    >>> U
    tensor([[ 2.,  6.],
            [ 0., -1.]])
    """
    lower, upper, order, _ = _factor("linalg.lu", A, pivot)
    eye = identity(A.detach(), A.shape[-2])
    return LUTriple(_rows(eye, order).mT, lower, upper)


class LUFactor(NamedTuple):
    """(LU, pivots), as `lu_factor` gives them."""

    LU: Tensor
    pivots: Tensor


class LUFactorEx(NamedTuple):
    """(LU, pivots, info), as `lu_factor_ex` gives them."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


ZERO_PIVOT = primitive(
    "lu_info",
    doc="1 + the place of the first zero pivot of the LU decomposition, 0 for a regular matrix.",
    eager=lambda a: (
        over_batch(lambda m: np.asarray(zero_pivot(m)), a).astype(np.int32).reshape(a.shape[:-2])
    ),
    shape=lambda a: Aval(a.shape[:-2], int32),
    vjp=(None,),
    lower=Opaque("factorizes"),
    batch=LEADING,
    examples=(
        Example((f64(3, 3),), {}, (np.ones((3, 3)),)),
        Example((f64(2, 3, 3),), {}, (np.stack([_A, np.diag([1.0, 0.0, 1.0])]),)),
    ),
)


def lu_factor(A: Tensor, *, pivot: bool = True) -> LUFactor:
    """(LU, pivots): L (without its ones) and U in one matrix, and the exchanges of rows, for
    `lu_solve`.

    >>> import clearprop as cp
    >>> cp.linalg.lu_factor(cp.tensor([[1.0, 2.0], [2.0, 6.0]])).pivots
    tensor([2, 2], dtype=clearprop.int32)
    """
    packed, pivots, info = lu_factor_ex(A, pivot=pivot)
    zero = known(info)
    if isinstance(zero, np.ndarray) and zero.any():
        i = int(zero[zero > 0].flat[0])
        raise LinAlgError(
            f"linalg.lu_factor: U[{i},{i}] is zero and using it on lu_solve would result in a"
            " division by zero. If you still want to perform the factorization, consider calling"
            f" linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot){here()}"
        )
    return LUFactor(packed, pivots)


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> LUFactorEx:
    """(LU, pivots, info); info is 0, or 1 + the place of the first zero on U's diagonal."""
    lower, upper, _, pivots = _factor("linalg.lu_factor", A, pivot)
    m, n = A.shape[-2:]
    k = min(m, n)
    low = tril(lower, -1)
    if n > k:
        low = cat([low, rest(upper, k, -1) * 0], -1)
    if m > k:
        upper = cat([upper, rest(lower, k, -2) * 0], -2)
    info = apply(ZERO_PIVOT, A.detach())
    if check_errors and bool((info > 0).any()):
        raise singular("linalg.lu_factor", A.detach().numpy(), "U[{i},{i}] is zero")
    return LUFactorEx(low + upper, pivots, info)


def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """X in A X = B (X A = B with left=False; A^T with `adjoint`) from lu_factor(A).

    >>> import clearprop as cp
    >>> A = cp.tensor([[1.0, 2.0], [2.0, 6.0]])
    >>> cp.linalg.lu_solve(*cp.linalg.lu_factor(A), cp.tensor([[3.0], [8.0]]))
    tensor([[1.],
            [1.]])
    """
    op = "linalg.lu_solve"
    square(op, LU)
    matrices(op, LU, B)
    if pivots.dtype is not int32:
        raise DtypeError(
            f"{op}: pivots should be a Tensor of scalar type torch.int32, got {pivots.aval}{here()}"
        )
    n = LU.shape[-1]
    if B.shape[-2 if left else -1] != n or pivots.shape != LU.shape[:-1]:
        raise ShapeError(
            f"{op}: LU {LU.aval}, pivots {pivots.aval} and B {B.aval} do not fit each other{here()}"
        )
    if not left:
        return lu_solve(LU, pivots, B.mT, adjoint=not adjoint).mT
    order = apply(ORDER, pivots, rows=n)
    permutation = _rows(identity(LU.detach(), n), order)  # A = permutation^T L U
    LU, B = same_batch(op, LU, B)
    if adjoint:
        y = triangular(LU.mT, B, False)
        return permutation.mT @ triangular(LU.mT, y, True, True)
    return triangular(LU, triangular(LU, permutation @ B, False, True), True)
