"""Cholesky, QR, LU, eigenvalue and singular value decompositions of batches of matrices.

The rules are the textbook ones (Giles 2008; Walter and Lehmann 2010), written in ops, so they can
be differentiated again. Signs of vectors are LAPACK's; a loss should not depend on them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from clearprop.core import (
    LEADING,
    Aval,
    Example,
    Opaque,
    Tensor,
    apply,
    apply_many,
    float64,
    int32,
    primitive,
)
from clearprop.errors import AutogradError, LinAlgError, ShapeError
from clearprop.ops.broadcasting import constant, here
from clearprop.ops.matrix import (
    as_column,
    as_row,
    embedded,
    first_bad,
    half_lower,
    matrices,
    not_converged,
    off_diagonal,
    over_batch,
    quotient,
    scipy_linalg,
    square,
)
from clearprop.ops.movement import slice_
from clearprop.ops.shapes import cat, tril, triu


def f64(*shape: int) -> Aval:
    return Aval(shape, float64)


_TALL = np.array([[2.0, -0.3, 0.5], [0.4, 1.5, -0.2], [-0.6, 0.1, 0.9], [0.3, 0.8, -0.7]])
_SQUARE = _TALL[:3]
_SPD = np.array([[2.0, 0.5, -0.3], [0.5, 1.5, 0.2], [-0.3, 0.2, 1.0]])
_PAIR = np.stack([_SPD, np.diag([3.0, 1.0, 2.0]) + 0.1])
"""Well-conditioned inputs of the contract tests, with eigenvalues that lie apart."""


def first(x: Tensor, k: int, axis: int) -> Tensor:
    """The first k rows (axis -2) or columns (axis -1) of matrices."""
    if x.shape[axis] == k:
        return x
    stops = list(x.shape)
    stops[axis] = k
    return slice_(x, (0,) * x.ndim, stops, (1,) * x.ndim)


def rest(x: Tensor, k: int, axis: int) -> Tensor:
    """The others."""
    starts = [0] * x.ndim
    starts[axis] = k
    return slice_(x, starts, x.shape, (1,) * x.ndim)


# ---------------------------------------------------------------------- triangular systems
def _triangular(a: np.ndarray, b: np.ndarray, *, upper: bool, unit: bool) -> np.ndarray:
    if not b.size:
        return np.zeros(b.shape, b.dtype)
    (trsm,) = scipy_linalg.get_blas_funcs(("trsm",), (a,))

    def one(a: np.ndarray, b: np.ndarray) -> np.ndarray:  # in rows: X' A' = B'
        return trsm(1, a.T, b.T, side=1, lower=int(upper), diag=int(unit)).T  # type: ignore[no-any-return]

    return np.ascontiguousarray(over_batch(one, a, b))


def _triangular_matrix_rule(
    g: Tensor, out: Tensor, a: Tensor, _b: Any, *, upper: bool, unit: bool
) -> Tensor:
    whole = -(triangular(a.mT, g, not upper, unit) @ out.mT)
    return triu(whole, int(unit)) if upper else tril(whole, -int(unit))


TRIANGULAR = primitive(
    "solve_triangular",
    doc="X in A X = B for a triangular A; the other triangle is not read.",
    eager=_triangular,
    shape=lambda a, b, *, upper, unit: b,
    vjp=(
        _triangular_matrix_rule,
        lambda g, _out, a, _b, *, upper, unit: triangular(a.mT, g, not upper, unit),
    ),
    lower=Opaque("solves triangular systems"),
    batch=LEADING,
    examples=(
        Example((f64(3, 3), f64(3, 2)), {"upper": False, "unit": False}, (_SQUARE, None)),
        Example((f64(2, 3, 3), f64(2, 3, 1)), {"upper": True, "unit": False}, (_PAIR, None)),
        Example((f64(3, 3), f64(3, 2)), {"upper": True, "unit": True}, (_SQUARE, None)),
    ),
)


def triangular(a: Tensor, b: Tensor, upper: bool, unit: bool = False) -> Tensor:
    return apply(TRIANGULAR, a, b, upper=upper, unit=unit)


def right_triangular(a: Tensor, b: Tensor, upper: bool, unit: bool = False) -> Tensor:
    """X in X A = B."""
    return triangular(a.mT, b.mT, not upper, unit).mT


# ---------------------------------------------------------------------- Cholesky
def minor_of(a: np.ndarray) -> int:
    """The order of the first leading minor that is not positive; 0 if all are."""
    if not a.size:
        return 0
    (potrf,) = scipy_linalg.get_lapack_funcs(("potrf",), (a,))
    return max(0, int(potrf(a, lower=1)[1]))


def _cholesky(a: np.ndarray, *, check: bool) -> np.ndarray:
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        if check:
            raise _not_positive(a) from None
    return over_batch(
        lambda m: np.full_like(m, np.nan) if minor_of(m) else np.linalg.cholesky(m), a
    )


def _not_positive(a: np.ndarray) -> LinAlgError:
    batch, order = first_bad(a, minor_of)
    return LinAlgError(
        f"linalg.cholesky: {batch}The factorization could not be completed because the input is not"
        f" positive-definite (the leading minor of order {order} is not positive-definite); adding"
        f" a little to the diagonal, A + 1e-6 * eye(n), often helps{here()}"
    )


def _cholesky_rule(g: Tensor, out: Tensor, _a: Any, *, check: bool) -> Tensor:
    low = half_lower(out.mT @ g)
    return right_triangular(out, triangular(out.mT, low + low.mT, True), False) * 0.5


CHOLESKY = primitive(
    "cholesky",
    doc="The lower triangular L with A = L L' for a positive-definite A, whose lower half is read.",
    eager=_cholesky,
    shape=lambda a, *, check: a,
    vjp=(_cholesky_rule,),
    lower=Opaque("factorizes"),
    batch=LEADING,
    examples=(
        Example((f64(3, 3),), {"check": True}, (_SPD,), symmetric=True),
        Example((f64(2, 3, 3),), {"check": False}, (_PAIR,), symmetric=True),
    ),
)

MINOR = primitive(
    "cholesky_info",
    doc=(
        "The order of the first leading minor that is not positive, 0 for a positive-definite"
        " matrix."
    ),
    eager=lambda a: over_batch(minor_of, a).astype(np.int32),  # type: ignore[arg-type]
    shape=lambda a: Aval(a.shape[:-2], int32),
    vjp=(None,),
    lower=Opaque("factorizes"),
    batch=LEADING,
    examples=(
        Example((f64(3, 3),), {}, (_SPD,)),
        Example((f64(2, 3, 3),), {}, (np.stack([_SPD, -_SPD]),)),
    ),
)


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """L with A = L L^T for symmetric positive-definite A (..., n, n); `upper` gives R with A = R^T
    R.

    Raises LinAlgError for a matrix that is not positive-definite.

    >>> import clearprop as cp
    >>> cp.linalg.cholesky(cp.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    square("linalg.cholesky", A)
    return apply(CHOLESKY, A.mT, check=True).mT if upper else apply(CHOLESKY, A, check=True)


class CholeskyEx(NamedTuple):
    """(L, info), as `cholesky_ex` gives them."""

    L: Tensor
    info: Tensor


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> CholeskyEx:
    """(L, info): info is 0, or the order of the leading minor that is not positive (L is nan
    there).

    >>> import clearprop as cp
    >>> cp.linalg.cholesky_ex(-cp.eye(2)).info
    tensor(1, dtype=clearprop.int32)
    """
    square("linalg.cholesky_ex", A)
    a = A.mT if upper else A
    low = apply(CHOLESKY, a, check=bool(check_errors))
    return CholeskyEx(low.mT if upper else low, apply(MINOR, a.detach()))


# ---------------------------------------------------------------------- QR
def _qr(a: np.ndarray, *, mode: str) -> tuple[np.ndarray, np.ndarray]:
    q, r = np.linalg.qr(a, mode)  # type: ignore[call-overload]
    return np.ascontiguousarray(q), np.ascontiguousarray(r)


def _qr_shape(a: Aval, *, mode: str) -> tuple[Aval, Aval]:
    *batch, m, n = a.shape
    k = m if mode == "complete" else min(m, n)
    return Aval((*batch, m, k), a.dtype), Aval((*batch, k, n), a.dtype)


def _qr_rule(g: Any, out: Any, _a: Any, *, mode: str) -> Tensor:
    (gq, gr), (q, r) = g, out
    if q.shape[-1] > r.shape[-1]:
        raise AutogradError(
            "linalg.qr: The QR decomposition is not differentiable when mode='complete' and nrows >"
            f" ncols; use mode='reduced'{here()}"
        )
    m = tril(r @ gr.mT - gq.mT @ q)
    return right_triangular(r.mT, gq + q @ (m + tril(m, -1).mT), False)


QR = primitive(
    "qr",
    doc="Q with orthonormal columns and an upper triangular R with A = Q R, for m >= n.",
    eager=_qr,
    shape=_qr_shape,
    vjp=(_qr_rule,),
    lower=Opaque("factorizes"),
    batch=LEADING,
    outputs=2,
    examples=(
        Example((f64(4, 3),), {"mode": "reduced"}, (_TALL,)),
        Example((f64(2, 3, 3),), {"mode": "reduced"}, (_PAIR,)),
        Example((f64(3, 3),), {"mode": "complete"}, (_SQUARE,)),
    ),
)


class QRPair(NamedTuple):
    """(Q, R), as `qr` gives them."""

    Q: Tensor
    R: Tensor


def qr(A: Tensor, mode: str = "reduced") -> QRPair:
    """(Q, R) with A = Q R, Q with orthonormal columns and R upper triangular.

    `mode`: 'reduced' gives Q (..., m, k) and R (..., k, n) with k = min(m, n), 'complete' a square
    Q, 'r' only R (and an empty Q). Signs are LAPACK's.

    >>> import clearprop as cp
    >>> Q, R = cp.linalg.qr(cp.tensor([[3.0, 1.0], [4.0, 2.0]]))
    >>> cp.allclose(Q @ R, cp.tensor([[3.0, 1.0], [4.0, 2.0]]), atol=1e-5)
    True
    """
    matrices("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise ShapeError(
            f"linalg.qr: qr received unrecognized mode {mode!r} but expected one of 'reduced'"
            f" (default), 'r', or 'complete'{here()}"
        )
    m, n = A.shape[-2:]
    q, r = apply_many(
        QR, first(A, min(m, n), -1), mode="complete" if mode == "complete" else "reduced"
    )
    if n > m:  # Q comes from the first columns alone
        r = cat([r, q.mT @ rest(A, m, -1)], -1)
    return QRPair(constant(0, A.value.dtype, (0,)) if mode == "r" else q, r)


# ---------------------------------------------------------------------- eigenvalues
def _eigh(a: np.ndarray, *, lower: bool) -> tuple[np.ndarray, np.ndarray]:
    try:
        w, v = np.linalg.eigh(a, "L" if lower else "U")
    except np.linalg.LinAlgError:
        raise not_converged("linalg.eigh", a, "eigenvalues") from None
    return np.ascontiguousarray(w), np.ascontiguousarray(v)


def _eigh_rule(g: Any, out: Any, _a: Any, *, lower: bool) -> Tensor:
    (gw, gv), (w, v) = g, out
    apart, turn = as_row(w) - as_column(w), v.mT @ gv
    found = v @ (embedded(gw) + quotient(off_diagonal(turn), apart)) @ v.mT
    return (found + found.mT) * 0.5


EIGH = primitive(
    "eigh",
    doc="Eigenvalues in ascending order and orthonormal eigenvectors of a symmetric matrix.",
    eager=_eigh,
    shape=lambda a, *, lower: (Aval(a.shape[:-1], a.dtype), a),
    vjp=(_eigh_rule,),
    lower=Opaque("finds eigenvalues"),
    batch=LEADING,
    outputs=2,
    examples=(
        Example((f64(3, 3),), {"lower": True}, (_SPD,), symmetric=True),
        Example((f64(2, 3, 3),), {"lower": False}, (_PAIR,), symmetric=True),
    ),
)


def _eigvalsh(a: np.ndarray, *, lower: bool) -> np.ndarray:
    try:
        return np.linalg.eigvalsh(a, "L" if lower else "U")
    except np.linalg.LinAlgError:
        raise not_converged("linalg.eigvalsh", a, "eigenvalues") from None


def _eigvalsh_rule(g: Tensor, _out: Any, a: Tensor, *, lower: bool) -> Tensor:
    _, v = apply_many(EIGH, a, lower=lower)
    return (v * as_row(g)) @ v.mT


EIGVALSH = primitive(
    "eigvalsh",
    doc="Eigenvalues of a symmetric matrix in ascending order.",
    eager=_eigvalsh,
    shape=lambda a, *, lower: Aval(a.shape[:-1], a.dtype),
    vjp=(_eigvalsh_rule,),
    lower=Opaque("finds eigenvalues"),
    batch=LEADING,
    examples=(
        Example((f64(3, 3),), {"lower": True}, (_SPD,), symmetric=True),
        Example((f64(2, 3, 3),), {"lower": False}, (_PAIR,), symmetric=True),
    ),
)


class EighPair(NamedTuple):
    """(eigenvalues, eigenvectors), as `eigh` gives them."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def _lower(op: str, triangle: str) -> bool:
    if triangle not in ("L", "l", "U", "u"):
        raise ShapeError(
            f"{op}: Expected UPLO argument to be 'L' or 'U', but got {triangle}{here()}"
        )
    return triangle in ("L", "l")


def eigh(A: Tensor, UPLO: str = "L") -> EighPair:
    """(w, V) with A = V diag(w) V^T for symmetric A (..., n, n): w ascending, V orthonormal.

    Only the lower ('L') or upper ('U') triangle is read. The gradient is finite where eigenvalues
    coincide only if the loss does not depend on V, nor on its signs.

    >>> import clearprop as cp
    >>> cp.linalg.eigh(cp.tensor([[2.0, 1.0], [1.0, 2.0]])).eigenvalues
    tensor([1., 3.])
    """
    square("linalg.eigh", A)
    return EighPair(*apply_many(EIGH, A, lower=_lower("linalg.eigh", UPLO)))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric A (..., n, n) in ascending order: (..., n).

    >>> import clearprop as cp
    >>> cp.linalg.eigvalsh(cp.tensor([[2.0, 1.0], [1.0, 2.0]]))
    tensor([1., 3.])
    """
    square("linalg.eigvalsh", A)
    return apply(EIGVALSH, A, lower=_lower("linalg.eigvalsh", UPLO))


# ---------------------------------------------------------------------- singular values
def _svd(a: np.ndarray, *, full: bool) -> tuple[np.ndarray, ...]:
    try:
        parts = np.linalg.svd(a, full)
    except np.linalg.LinAlgError:
        raise not_converged("linalg.svd", a, "singular values") from None
    return tuple(map(np.ascontiguousarray, parts))


def _svd_shape(a: Aval, *, full: bool) -> tuple[Aval, ...]:
    *batch, m, n = a.shape
    k = min(m, n)
    u, vh = (m, m if full else k), (n if full else k, n)
    return tuple(Aval((*batch, *s), a.dtype) for s in (u, (k,), vh))


def _skew(x: Tensor) -> Tensor:
    return x - x.mT


def _svd_rule(g: Any, out: Any, _a: Any, *, full: bool) -> Tensor:
    (gu, gs, gvh), (u, s, vh) = g, out
    k = s.shape[-1]
    u, gu, vh, gvh = first(u, k, -1), first(gu, k, -1), first(vh, k, -2), first(gvh, k, -2)
    row, column = as_row(s), as_column(s)
    apart = (row - column) * (row + column)
    turn_u, turn_v = u.mT @ gu, vh @ gvh.mT
    inner = (
        quotient(_skew(turn_u), apart) * row
        + column * quotient(_skew(turn_v), apart)
        + embedded(gs)
    )
    left = u @ inner
    if u.shape[-2] > k:
        left = left + (gu - u @ turn_u) / row
    found = left @ vh
    if vh.shape[-1] > k:
        found = found + u @ ((gvh - turn_v.mT @ vh) / column)
    return found


SVD = primitive(
    "svd",
    doc="U, the singular values in descending order, and V' with A = U diag(S) V'.",
    eager=_svd,
    shape=_svd_shape,
    vjp=(_svd_rule,),
    lower=Opaque("finds singular values"),
    batch=LEADING,
    outputs=3,
    examples=(
        Example((f64(4, 3),), {"full": False}, (_TALL,)),
        Example((f64(3, 4),), {"full": False}, (_TALL.T,)),
        Example((f64(2, 3, 3),), {"full": True}, (_PAIR - 0.7,)),
    ),
)


def _svdvals(a: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.svd(a, compute_uv=False)
    except np.linalg.LinAlgError:
        raise not_converged("linalg.svdvals", a, "singular values") from None


def _svdvals_rule(g: Tensor, _out: Any, a: Tensor) -> Tensor:
    u, _, vh = apply_many(SVD, a, full=False)
    return (u * as_row(g)) @ vh


SVDVALS = primitive(
    "svdvals",
    doc="Singular values in descending order.",
    eager=_svdvals,
    shape=lambda a: Aval((*a.shape[:-2], min(a.shape[-2:])), a.dtype),
    vjp=(_svdvals_rule,),
    lower=Opaque("finds singular values"),
    batch=LEADING,
    examples=(
        Example((f64(4, 3),), {}, (_TALL,)),
        Example((f64(2, 3, 3),), {}, (_PAIR,)),
    ),
)


class SVDTriple(NamedTuple):
    """(U, S, Vh), as `svd` gives them."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> SVDTriple:
    """(U, S, Vh) with A = U diag(S) Vh, S descending. With `full_matrices` U and Vh are square.

    The gradient needs singular values that differ, unless the loss depends on S alone
    (`svdvals`); signs of the vectors are LAPACK's.

    >>> import clearprop as cp
    >>> cp.linalg.svd(cp.tensor([[3.0, 0.0], [0.0, -2.0]])).S
    tensor([3., 2.])
    """
    matrices("linalg.svd", A)
    return SVDTriple(*apply_many(SVD, A, full=bool(full_matrices)))


def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values of A (..., m, n), in descending order: (..., min(m, n)).

    >>> import clearprop as cp
    >>> cp.linalg.svdvals(cp.tensor([[3.0, 0.0], [0.0, -2.0]]))
    tensor([3., 2.])
    """
    matrices("linalg.svdvals", A)
    return apply(SVDVALS, A)
