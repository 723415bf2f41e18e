"""Linear algebra under PyTorch's names: `clearprop.linalg.solve`, `.svd`, `.norm` and so on.

Matrices are in the last two axes, all axes before are batch axes. Everything that PyTorch
differentiates is differentiated, any number of times; a matrix that has not what is asked for
raises LinAlgError.
"""

from __future__ import annotations

from typing import Any

from clearprop.core import Tensor
from clearprop.errors import LinAlgError
from clearprop.ops.contract import matmul
from clearprop.ops.diagonals import diagonal as any_diagonal
from clearprop.ops.factorizations import (
    cholesky,
    cholesky_ex,
    eigh,
    eigvalsh,
    qr,
    svd,
    svdvals,
)
from clearprop.ops.lu import lu, lu_factor, lu_factor_ex, lu_solve
from clearprop.ops.matrix_functions import (
    cond,
    householder_product,
    matrix_norm,
    matrix_power,
    matrix_rank,
    multi_dot,
    norm,
    tensorinv,
    tensorsolve,
    vander,
    vecdot,
    vector_norm,
)
from clearprop.ops.products import linalg_cross as cross
from clearprop.ops.solving import (
    det,
    inv,
    inv_ex,
    lstsq,
    matrix_exp,
    pinv,
    slogdet,
    solve,
    solve_ex,
    solve_triangular,
)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices as a last axis; a view.

    >>> import clearprop as cp
    >>> cp.linalg.diagonal(cp.eye(2))
    tensor([1., 1.])
    """
    return any_diagonal(A, offset, dim1, dim2)


def __getattr__(name: str) -> Any:
    if name in ("eig", "eigvals"):
        raise AttributeError(
            f"clearprop.linalg has no {name!r}: the eigenvalues of a general matrix are complex,"
            " and clearprop has no complex numbers; of a symmetric matrix, use eigh or eigvalsh"
        )
    raise AttributeError(f"module 'clearprop.linalg' has no attribute {name!r}")


__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eigh",
    "eigvalsh", "householder_product", "inv", "inv_ex", "lstsq", "lu", "lu_factor", "lu_factor_ex",
    "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot",
    "norm", "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals",
    "tensorinv", "tensorsolve", "vander", "vecdot", "vector_norm",
]  # fmt: skip
