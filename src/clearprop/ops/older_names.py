"""The names of linear algebra that PyTorch has outside `linalg`; where they differ, with the older
meaning.
"""

from __future__ import annotations

from typing import NamedTuple

from clearprop.core import Tensor, apply_many
from clearprop.ops import factorizations, lu, matrix_functions, solving
from clearprop.ops.broadcasting import constant
from clearprop.ops.factorizations import QRPair
from clearprop.ops.matrix import matrices

det, slogdet, logdet = solving.det, solving.slogdet, solving.logdet
inverse = solving.inv
cholesky_solve, cholesky_inverse = solving.cholesky_solve, solving.cholesky_inverse
matrix_exp, matrix_power = solving.matrix_exp, matrix_functions.matrix_power
chain_matmul = matrix_functions.chain_matmul
orgqr = matrix_functions.householder_product


def pinverse(x: Tensor, rcond: float = 1e-15) -> Tensor:
    """linalg.pinv with the older default of the cut-off."""
    return solving.pinv(x, rcond)


def cholesky(x: Tensor, upper: bool = False) -> Tensor:
    """linalg.cholesky."""
    return factorizations.cholesky(x, upper=upper)


def qr(x: Tensor, some: bool = True) -> QRPair:
    """linalg.qr: reduced, or complete with some=False."""
    return factorizations.qr(x, "reduced" if some else "complete")


class SVDOlder(NamedTuple):
    """(U, S, V), as `svd` gives them: V, not its transpose."""

    U: Tensor
    S: Tensor
    V: Tensor


def svd(x: Tensor, some: bool = True, compute_uv: bool = True) -> SVDOlder:
    """(U, S, V) with x = U diag(S) V^T; linalg.svd gives V^T instead. Without compute_uv U and V
    are zeros.

    >>> import clearprop as cp
    >>> cp.svd(cp.tensor([[3.0, 0.0], [0.0, 2.0]])).S
    tensor([3., 2.])
    """
    matrices("svd", x)
    if compute_uv:
        u, s, vh = apply_many(factorizations.SVD, x, full=not some)
        return SVDOlder(u, s, vh.mT)
    m, n = x.shape[-2:]
    u, v = (constant(0, x.value.dtype, (*x.shape[:-2], k, k)) for k in (m, n))
    return SVDOlder(u, factorizations.svdvals(x), v)


def lu_solve(B: Tensor, LU: Tensor, pivots: Tensor) -> Tensor:
    """linalg.lu_solve with B first."""
    return lu.lu_solve(LU, pivots, B)


__all__ = [
    "chain_matmul", "cholesky", "cholesky_inverse", "cholesky_solve", "det", "inverse", "logdet",
    "lu_solve", "matrix_exp", "matrix_power", "orgqr", "pinverse", "qr", "slogdet", "svd",
]  # fmt: skip
