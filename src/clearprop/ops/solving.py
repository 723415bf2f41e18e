"""Inverses, linear systems, determinants, least squares and the matrix exponential."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from clearprop.core import LEADING, Aval, Example, Opaque, Tensor, apply, apply_many, primitive
from clearprop.core.tensor import known
from clearprop.errors import ShapeError
from clearprop.ops import elementwise as ew
from clearprop.ops import reductions
from clearprop.ops.broadcasting import constant, expand_to, here
from clearprop.ops.factorizations import (
    SVDVALS,
    f64,
    first,
    rest,
    right_triangular,
    triangular,
)
from clearprop.ops.lu import ZERO_PIVOT
from clearprop.ops.matrix import (
    as_column,
    identity,
    matrices,
    not_converged,
    over_batch,
    same_batch,
    scipy_linalg,
    singular,
    square,
    zero_pivot,
)
from clearprop.ops.movement import reshape_to
from clearprop.ops.shapes import cat, squeeze

_REGULAR = np.array([[2.0, -0.3, 0.5], [0.4, 1.5, -0.2], [-0.6, 0.1, 0.9]])
_PAIR = np.stack([_REGULAR, _REGULAR.T + np.diag([0.5, 1.0, 1.5])])
_TALL = np.vstack([_REGULAR, [[0.3, 0.8, -0.7]]])
_LINEAR = Opaque("solves linear systems")


# ---------------------------------------------------------------------- inverse
def _inverse(a: np.ndarray, *, check: bool) -> np.ndarray:
    try:
        return np.linalg.inv(a)
    except np.linalg.LinAlgError:
        if check:
            what = "The diagonal element {i} is zero, the inversion could not be completed"
            raise singular("linalg.inv", a, what) from None
    return over_batch(lambda m: np.full_like(m, np.nan) if zero_pivot(m) else np.linalg.inv(m), a)


INVERSE = primitive(
    "inv",
    doc="The inverse of a square matrix.",
    eager=_inverse,
    shape=lambda a, *, check: a,
    vjp=(lambda g, out, _a, *, check: -(out.mT @ g @ out.mT),),
    lower=_LINEAR,
    batch=LEADING,
    examples=(
        Example((f64(3, 3),), {"check": True}, (_REGULAR,)),
        Example((f64(2, 3, 3),), {"check": False}, (_PAIR,)),
    ),
)


def inv(A: Tensor) -> Tensor:
    """The inverse of every matrix of A (..., n, n). Raises LinAlgError where a matrix is singular.

    `solve(A, B)` is faster and keeps more digits than `inv(A) @ B`.

    >>> import clearprop as cp
    >>> cp.linalg.inv(cp.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    square("linalg.inv", A)
    return apply(INVERSE, A, check=True)


class InverseEx(NamedTuple):
    """(inverse, info), as `inv_ex` gives them."""

    inverse: Tensor
    info: Tensor


def inv_ex(A: Tensor, *, check_errors: bool = False) -> InverseEx:
    """(inverse, info) without an error: info is 0, or 1 + the place of a zero pivot (nan there).

    >>> import clearprop as cp
    >>> cp.linalg.inv_ex(cp.ones(2, 2)).info
    tensor(2, dtype=clearprop.int32)
    """
    square("linalg.inv_ex", A)
    return InverseEx(apply(INVERSE, A, check=bool(check_errors)), apply(ZERO_PIVOT, A.detach()))


# ---------------------------------------------------------------------- systems
def _solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        raise singular("linalg.solve", a, "The solver failed") from None


SOLVE = primitive(
    "solve",
    doc="X in A X = B.",
    eager=_solve,
    shape=lambda a, b: b,
    vjp=(
        lambda g, out, a, _b: -(apply(SOLVE, a.mT, g) @ out.mT),
        lambda g, _out, a, _b: apply(SOLVE, a.mT, g),
    ),
    lower=_LINEAR,
    batch=LEADING,
    examples=(
        Example((f64(3, 3), f64(3, 2)), {}, (_REGULAR, None)),
        Example((f64(2, 3, 3), f64(2, 3, 1)), {}, (_PAIR, None)),
    ),
)


def _fitting(op: str, a: Tensor, b: Tensor, left: bool) -> None:
    if a.shape[-1] != b.shape[-2 if left else -1]:
        one, two = ("x".join(map(str, x.shape[-2:])) for x in (a, b))
        equation = "AX = B" if left else "XA = B"
        raise ShapeError(
            f"{op}: Incompatible shapes of A and B for the equation {equation} ({one} and {two}): A"
            f" is {a.aval}, B is {b.aval}{here()}"
        )


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X in A X = B (X A = B with left=False): A (..., n, n), B (..., n, k) or vectors (..., n).

    Batch axes broadcast. Raises LinAlgError where a matrix is singular.

    >>> import clearprop as cp
    >>> cp.linalg.solve(cp.tensor([[2.0, 0.0], [0.0, 4.0]]), cp.tensor([2.0, 2.0]))
    tensor([1.0000, 0.5000])
    """
    op = "linalg.solve"
    square(op, A)
    vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and B.shape == A.shape[:-1])
    b = as_column(B) if vector else B
    matrices(op, A, b)
    if vector and not left:
        raise ShapeError(
            f"{op}: Vector broadcasting of the left hand side is not supported{here()}"
        )
    _fitting(op, A, b, left)
    a, b = same_batch(op, A, b)
    if not left:
        return apply(SOLVE, a.mT, b.mT).mT
    x = apply(SOLVE, a, b)
    return squeeze(x, -1) if vector else x


class SolveEx(NamedTuple):
    """(result, info), as `solve_ex` gives them."""

    result: Tensor
    info: Tensor


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> SolveEx:
    """(X, info): `solve` without an error; where info is not 0, A is singular and X is nan."""
    square("linalg.solve_ex", A)
    info = apply(ZERO_PIVOT, A.detach())
    bad = expand_to(reshape_to(info > 0, (*info.shape, 1, 1)), A.shape)
    if not check_errors:
        A = ew.where(bad, identity(A, A.shape[-1]), A)
    x = solve(A, B, left=left)
    failed = reshape_to(info > 0, (*info.shape, *(1,) * (2 if x.ndim >= A.ndim else 1)))
    return SolveEx(ew.where(failed, np.nan, x), info)


def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X in A X = B (X A = B with left=False) for triangular A, whose other triangle is not read.

    A zero on the diagonal gives inf or nan, not an error.

    >>> import clearprop as cp
    >>> A = cp.tensor([[2.0, 0.0], [1.0, 1.0]])
    >>> cp.linalg.solve_triangular(A, cp.tensor([[2.0], [3.0]]), upper=False)
    tensor([[1.],
            [2.]])
    """
    op = "linalg.solve_triangular"
    square(op, A)
    matrices(op, B, name="B")
    matrices(op, A, B)
    _fitting(op, A, B, left)
    a, b = same_batch(op, A, B)
    f = triangular if left else right_triangular
    return f(a, b, bool(upper), bool(unitriangular))


def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X in A X = B, where L is the Cholesky factor of A.

    >>> import clearprop as cp
    >>> cp.cholesky_solve(cp.tensor([[8.0]]), cp.tensor([[2.0]]))
    tensor([[2.]])
    """
    op = "cholesky_solve"
    square(op, L)
    matrices(op, L, B)
    _fitting(op, L, B, True)
    low, b = same_batch(op, L.mT if upper else L, B)
    return triangular(low.mT, triangular(low, b, False), True)


def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A, where L is the Cholesky factor of A.

    >>> import clearprop as cp
    >>> cp.cholesky_inverse(cp.tensor([[2.0]]))
    tensor([[0.2500]])
    """
    square("cholesky_inverse", L)
    return cholesky_solve(identity(L, L.shape[-1]), L, upper)


# ---------------------------------------------------------------------- determinants
def _cofactor(a: np.ndarray) -> np.ndarray:
    if not a.size:
        return a.copy()
    try:
        inverse = np.linalg.inv(a)
        condition = np.linalg.norm(a, axis=(-2, -1)) * np.linalg.norm(inverse, axis=(-2, -1))
        if (condition < 1e3).all():
            return np.linalg.det(a)[..., None, None] * np.swapaxes(inverse, -1, -2).copy()  # type: ignore[no-any-return]
    except np.linalg.LinAlgError:
        pass  # of singular matrices, too, by the singular values
    u, s, vh = np.linalg.svd(a)
    ones = np.ones((*s.shape[:-1], 1), s.dtype)
    before = np.cumprod(np.concatenate([ones, s[..., :-1]], -1), -1)
    after = np.cumprod(np.concatenate([ones, s[..., :0:-1]], -1), -1)[..., ::-1]
    sign = np.rint(np.linalg.det(u) * np.linalg.det(vh))[..., None, None]
    found = sign * ((u * (before * after)[..., None, :]) @ vh)
    return np.ascontiguousarray(found.astype(a.dtype, copy=False))


def _cofactor_rule(g: Tensor, out: Tensor, a: Tensor) -> Tensor:
    """From out = det(A) A^-T. The inverse makes it a rule for regular matrices."""
    back = apply(INVERSE, a, check=True).mT
    total = reductions.sum(g * out, (-2, -1), keepdim=True)
    return expand_to(total, back.shape) * back - back @ g.mT @ out


COFACTOR = primitive(
    "cofactor",
    doc="The matrix of cofactors, det(A) A^-T, also of a singular matrix: the derivative of det.",
    eager=_cofactor,
    shape=lambda a: a,
    vjp=(_cofactor_rule,),
    lower=_LINEAR,
    batch=LEADING,
    examples=(
        Example((f64(3, 3),), {}, (_REGULAR,)),
        Example((f64(2, 3, 3),), {}, (_PAIR,)),
    ),
)

DET = primitive(
    "det",
    doc="The determinant; its gradient is the matrix of cofactors.",
    eager=np.linalg.det,
    shape=lambda a: Aval(a.shape[:-2], a.dtype),
    vjp=(
        lambda g, _out, a: expand_to(reshape_to(g, (*g.shape, 1, 1)), a.shape) * apply(COFACTOR, a),
    ),
    lower=_LINEAR,
    batch=LEADING,
    examples=(
        Example((f64(3, 3),), {}, (_REGULAR,)),
        Example((f64(2, 3, 3),), {}, (_PAIR,)),
    ),
)


def _slogdet_rule(g: Any, _out: Any, a: Tensor) -> Tensor:
    size = reshape_to(g[1], (*g[1].shape, 1, 1))
    return expand_to(size, a.shape) * apply(INVERSE, a, check=True).mT


SLOGDET = primitive(
    "slogdet",
    doc="Sign of the determinant, and the logarithm of its absolute value.",
    eager=lambda a: tuple(map(np.asarray, np.linalg.slogdet(a))),
    shape=lambda a: (Aval(a.shape[:-2], a.dtype),) * 2,
    vjp=(_slogdet_rule,),
    lower=_LINEAR,
    batch=LEADING,
    outputs=2,
    examples=(
        Example((f64(3, 3),), {}, (_REGULAR,)),
        Example((f64(2, 3, 3),), {}, (_PAIR,)),
    ),
)


def det(A: Tensor) -> Tensor:
    """The determinant of every matrix of A (..., n, n).

    The gradient is right at singular matrices, too; the second one needs a regular matrix.

    >>> import clearprop as cp
    >>> cp.linalg.det(cp.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(-2.)
    """
    square("linalg.det", A)
    return apply(DET, A)


class SlogdetPair(NamedTuple):
    """(sign, logabsdet), as `slogdet` gives them."""

    sign: Tensor
    logabsdet: Tensor


def slogdet(A: Tensor) -> SlogdetPair:
    """(sign, log |det|) of every matrix of A: does not overflow. A singular matrix gives (0, -inf).

    >>> import clearprop as cp
    >>> cp.linalg.slogdet(cp.tensor([[1.0, 2.0], [3.0, 4.0]])).sign
    tensor(-1.)
    """
    square("linalg.slogdet", A)
    return SlogdetPair(*apply_many(SLOGDET, A))


def logdet(A: Tensor) -> Tensor:
    """log(det(A)) of every matrix; nan where the determinant is negative, -inf where it is 0.

    >>> import clearprop as cp
    >>> cp.logdet(cp.eye(3))
    tensor(0.)
    """
    square("logdet", A)
    sign, size = apply_many(SLOGDET, A)
    return ew.where(sign < 0, constant(float("nan"), size.value.dtype, size.shape), size)


# ---------------------------------------------------------------------- pseudoinverse
def _pinv(a: np.ndarray, *, atol: float, rtol: float, hermitian: bool) -> np.ndarray:
    if not a.size:
        return np.zeros((*a.shape[:-2], *a.shape[:-3:-1]), a.dtype)
    try:
        if hermitian:
            s, v = np.linalg.eigh(a)
            u, vh = v, np.swapaxes(v, -1, -2)
        else:
            u, s, vh = np.linalg.svd(a, full_matrices=False)
    except np.linalg.LinAlgError:
        raise not_converged("linalg.pinv", a, "singular values") from None
    size = np.abs(s)
    keep = size > np.maximum(atol, rtol * size.max(-1, keepdims=True))
    inverse = np.where(keep, 1 / np.where(keep, s, 1), 0).astype(a.dtype)
    return np.ascontiguousarray(
        (np.swapaxes(vh, -1, -2) * inverse[..., None, :]) @ np.swapaxes(u, -1, -2)
    )


def _pinv_pull(g: Tensor, p: Tensor, a: Tensor) -> Tensor:
    """Golub and Pereyra (1973): dP = -P dA P + P P' dA' (1 - A P) + (1 - P A) dA' P' P."""
    pt, gt = p.mT, g.mT
    one = gt - a @ (p @ gt)
    two = gt - (gt @ p) @ a
    return -(pt @ g @ pt) + (one @ p) @ pt + pt @ (p @ two)


PINV = primitive(
    "pinv",
    doc=(
        "The Moore-Penrose pseudoinverse; singular values up to max(atol, rtol * largest)"
        " count as 0."
    ),
    eager=_pinv,
    shape=lambda a, *, atol, rtol, hermitian: Aval(
        (*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype
    ),
    vjp=(lambda g, out, a, *, atol, rtol, hermitian: _pinv_pull(g, out, a),),
    lower=Opaque("finds singular values"),
    batch=LEADING,
    examples=(
        Example((f64(4, 3),), {"atol": 0.0, "rtol": 1e-15, "hermitian": False}, (_TALL,)),
        Example((f64(2, 3, 3),), {"atol": 0.0, "rtol": 1e-15, "hermitian": False}, (_PAIR,)),
        Example((f64(3, 4),), {"atol": 0.0, "rtol": 1e-15, "hermitian": False}, (_TALL.T,)),
    ),
)


def _number(x: Any) -> float:
    return float(x.item() if isinstance(x, Tensor) else x)


def cutoffs(a: Tensor, atol: Any, rtol: Any) -> dict[str, float]:
    """PyTorch's defaults: rtol = eps * max(m, n), but 0 where atol is given."""
    low = 0.0 if atol is None else _number(atol)
    if rtol is None:
        rtol = 0.0 if low > 0 else float(np.finfo(a.value.dtype).eps) * max(*a.shape[-2:], 1)
    return {"atol": low, "rtol": _number(rtol)}


def pinv(
    A: Tensor,
    rcond: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
) -> Tensor:
    """The Moore-Penrose pseudoinverse of A (..., m, n): (..., n, m).

    Singular values up to max(atol, rtol * largest) count as 0. The gradient holds while the rank
    stays.

    >>> import clearprop as cp
    >>> cp.linalg.pinv(cp.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    matrices("linalg.pinv", A)
    limits = cutoffs(A, atol, rcond if rtol is None else rtol)
    if hermitian:
        square("linalg.pinv", A)
    return apply(PINV, A, hermitian=bool(hermitian), **limits)


# ---------------------------------------------------------------------- least squares
def _least_squares(a: np.ndarray, b: np.ndarray, *, rcond: float) -> np.ndarray:
    *batch, m, n = a.shape
    k = b.shape[-1]
    size = math.prod(batch)
    pairs = zip(a.reshape(size, m, n), b.reshape(size, m, k), strict=True)
    found = [np.linalg.lstsq(x, y, rcond=rcond)[0] for x, y in pairs]
    return np.array(found, a.dtype).reshape(*batch, n, k)


def _pseudo(a: Tensor, rcond: float) -> Tensor:
    return apply(PINV, a, atol=0.0, rtol=rcond, hermitian=False)


LSTSQ = primitive(
    "lstsq",
    doc="The X of least norm with the least |A X - B|, which is pinv(A) B.",
    eager=_least_squares,
    shape=lambda a, b, *, rcond: Aval((*a.shape[:-2], a.shape[-1], b.shape[-1]), a.dtype),
    vjp=(
        lambda g, _out, a, b, *, rcond: _pinv_pull(g @ b.mT, _pseudo(a, rcond), a),
        lambda g, _out, a, _b, *, rcond: _pseudo(a, rcond).mT @ g,
    ),
    lower=Opaque("solves least squares"),
    batch=LEADING,
    examples=(
        Example((f64(4, 3), f64(4, 2)), {"rcond": 1e-12}, (_TALL, None)),
        Example((f64(3, 4), f64(3, 1)), {"rcond": 1e-12}, (_TALL.T, None)),
    ),
)


class LeastSquares(NamedTuple):
    """(solution, residuals, rank, singular_values), as `lstsq` gives them."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def lstsq(
    A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> LeastSquares:
    """X with the least |A X - B| (and the least norm where that leaves a choice), A (..., m, n).

    As in PyTorch, `residuals` are given for m > n at full rank by the drivers gels, gelsd and
    gelss, `singular_values` by gelsd and gelss; otherwise they are empty. All drivers compute the
    same here.

    >>> import clearprop as cp
    >>> cp.linalg.lstsq(cp.tensor([[1.0], [1.0]]), cp.tensor([[1.0], [3.0]])).solution
    tensor([[2.]])
    """
    op = "linalg.lstsq"
    driver = "gelsy" if driver is None else driver
    if driver not in DRIVERS:
        raise ShapeError(
            f"{op}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), got"
            f" {driver!r}{here()}"
        )
    matrices(op, A)
    vector = B.ndim == A.ndim - 1 and B.shape == A.shape[:-1]
    b = as_column(B) if vector else B
    matrices(op, A, b)
    m, n = A.shape[-2:]
    if b.shape[-2] != m:
        raise ShapeError(
            f"{op}: input.size(-2) should match other.size(-2), A is {A.aval}, B is"
            f" {B.aval}{here()}"
        )
    A, b = same_batch(op, A, b)
    limit = float(np.finfo(A.value.dtype).eps) * max(m, n) if rcond is None else float(rcond)
    x = apply(LSTSQ, A, b, rcond=limit)
    none = constant(0, A.value.dtype, (0,))
    values = apply(SVDVALS, A.detach())
    rank = reductions.sum(values > limit * reductions.amax(values, -1, keepdim=True), -1)
    ranks = known(rank)
    full = ranks is None or bool((ranks == n).all())
    given = m > n and driver != "gelsy" and full
    residuals = reductions.sum(ew.square(A @ x - b), -2) if given else none
    return LeastSquares(
        squeeze(x, -1) if vector else x,
        residuals,
        constant(0, np.dtype(np.int64), (0,)) if driver == "gels" else rank,
        values if driver in ("gelsd", "gelss") else none,
    )


# ---------------------------------------------------------------------- exponential
def _expm(a: np.ndarray) -> np.ndarray:
    if not a.size:
        return a.copy()
    return np.ascontiguousarray(scipy_linalg.expm(a), a.dtype)


def _expm_rule(g: Tensor, _out: Any, a: Tensor) -> Tensor:
    """The upper right block of exp([[A', G], [0, A']])."""
    n = a.shape[-1]
    at = a.mT
    rows = [cat([at, g], -1), cat([constant(0, a.value.dtype, a.shape), at], -1)]
    return first(rest(apply(EXPM, cat(rows, -2)), n, -1), n, -2)


EXPM = primitive(
    "matrix_exp",
    doc="The matrix exponential 1 + A + A A / 2 + A A A / 6 + ... .",
    eager=_expm,
    shape=lambda a: a,
    vjp=(_expm_rule,),
    lower=Opaque("sums a series of matrices"),
    batch=LEADING,
    examples=(Example((f64(2, 2),)), Example((f64(2, 3, 3),))),
)


def matrix_exp(A: Tensor) -> Tensor:
    """exp(A) = 1 + A + A A / 2 + ... of every matrix of A (..., n, n).

    >>> import clearprop as cp
    >>> cp.linalg.matrix_exp(cp.tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    square("linalg.matrix_exp", A)
    return apply(EXPM, A)
