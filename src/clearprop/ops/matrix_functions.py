"""Norms, condition numbers, ranks and powers of matrices, and what else is made of the factors."""

from __future__ import annotations

import math
from typing import Any

from clearprop.core import Tensor, apply, as_dtype, int64
from clearprop.errors import DtypeError, ShapeError
from clearprop.ops import elementwise as ew
from clearprop.ops import reductions
from clearprop.ops.broadcasting import (
    cast,
    constant,
    dims_by_any_name,
    expand_to,
    here,
    need_tensors,
    normal_dim,
)
from clearprop.ops.contract import matmul
from clearprop.ops.create import arange
from clearprop.ops.factorizations import eigvalsh, svdvals
from clearprop.ops.lu import ZERO_PIVOT
from clearprop.ops.matrix import as_column, floating, identity, matrices, square
from clearprop.ops.movement import permute, reshape_to
from clearprop.ops.reductions import norm as any_norm
from clearprop.ops.shapes import stack, unsqueeze
from clearprop.ops.solving import INVERSE, cutoffs, inv, solve


# ---------------------------------------------------------------------- norms
def _in(op: str, x: Tensor, dtype: Any) -> Tensor:
    floating(op, x)
    return x if dtype is None else cast(x, as_dtype(dtype))


def _number(ord: Any) -> Any:
    return float(ord) if isinstance(ord, str) and ord.lstrip("+-") == "inf" else ord


@dims_by_any_name
def vector_norm(
    x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """(sum |x|^ord)^(1/ord) over dim (all elements by default); inf and -inf: the largest and the
    smallest |x|; 0: how many are not 0. The gradient at the zero vector is 0.

    >>> import clearprop as cp
    >>> cp.linalg.vector_norm(cp.tensor([3.0, -4.0]))
    tensor(5.)
    """
    op = "linalg.vector_norm"
    x = _in(op, x, dtype)
    ord = _number(ord)
    if not isinstance(ord, int | float):
        raise TypeError(f"{op}: ord must be a number, got {ord!r}{here()}")
    if math.isinf(ord) and not x.numel():
        raise ShapeError(
            f"{op}: cannot compute the {ord} norm on an empty tensor because the operation does not"
            f" have an identity: {x.aval}{here()}"
        )
    if ord < 0 and math.isfinite(ord):
        zero = x == 0  # one zero, and the norm is 0
        size = ew.where(zero, constant(1, x.value.dtype, x.shape), ew.abs(x))
        root = ew.pow(reductions.sum(ew.pow(size, ord), dim, keepdim), 1 / ord)
        none = constant(0, root.value.dtype, root.shape)
        return ew.where(reductions.sum(zero, dim, keepdim) > 0, none, root)
    return any_norm(x, ord, dim, keepdim)  # type: ignore[no-any-return]


@dims_by_any_name
def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """A norm of the matrices in the two axes dim: 'fro' root of the sum of squares, 'nuc' sum of
    the singular values, 2 / -2 the largest / smallest singular value, 1 / -1 the largest / smallest
    sum of a column's |x|, inf / -inf of a row's.

    >>> import clearprop as cp
    >>> cp.linalg.matrix_norm(cp.tensor([[3.0, 0.0], [0.0, -4.0]]), "nuc")
    tensor(7.)
    """
    op = "linalg.matrix_norm"
    need_tensors(op, A)
    if A.ndim < 2:
        raise ShapeError(
            f"{op}: The input tensor A must have at least 2 dimensions, got {A.aval}{here()}"
        )
    A = _in(op, A, dtype)
    if not isinstance(dim, tuple | list) or len(dim) != 2:
        raise ShapeError(f"{op}: dim must be a 2-tuple. Got {dim}{here()}")
    row, column = (normal_dim(op, d, A.ndim) for d in dim)
    if row == column:
        raise ShapeError(f"{op}: dims must be different. Got ({dim[0]}, {dim[1]}){here()}")
    ord = _number(ord)
    if ord == "fro":
        return vector_norm(A, 2, (row, column), keepdim)
    if ord in ("nuc", 2, -2):
        rest = tuple(d for d in range(A.ndim) if d not in (row, column))
        values = svdvals(permute(A, (*rest, row, column)))
        if ord == "nuc":
            found = reductions.sum(values, -1)
        else:
            found = (reductions.amax if ord == 2 else reductions.amin)(values, -1)
        shape = tuple(1 if d in (row, column) else n for d, n in enumerate(A.shape))
        return reshape_to(found, shape) if keepdim else found
    if ord not in (1, -1, math.inf, -math.inf):
        raise ShapeError(f"{op}: Order {ord} not supported.{here()}")
    inner, outer = (row, column) if abs(ord) == 1 else (column, row)
    sums = reductions.sum(ew.abs(A), inner, True)
    found = (reductions.amax if ord > 0 else reductions.amin)(sums, outer, True)
    shape = tuple(n for d, n in enumerate(found.shape) if d not in (row, column))
    return found if keepdim else reshape_to(found, shape)


@dims_by_any_name
def norm(
    A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """NumPy's norm: of a vector if dim is a number, of matrices if dim is a pair, and without both
    `ord` and dim the root of the sum of all squares.

    >>> import clearprop as cp
    >>> cp.linalg.norm(cp.tensor([[3.0, 0.0], [0.0, -4.0]]))
    tensor(5.)
    """
    op = "linalg.norm"
    floating(op, A)
    if dim is not None and not isinstance(dim, tuple | list):
        dim = (dim,)
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if dim is None and A.ndim not in (1, 2):
        raise ShapeError(
            f"{op}: If dim is not specified but ord is, the input must be 1D or 2D. Got"
            f" {A.ndim}D.{here()}"
        )
    if (isinstance(ord, str) and ord in ("fro", "nuc")) or (len(dim) if dim else A.ndim) == 2:
        return matrix_norm(A, ord, dim or (-2, -1), keepdim, dtype=dtype)
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)


def cond(A: Tensor, p: Any = None) -> Tensor:
    """How much solving with A may enlarge relative errors: norm(A) * norm(A^-1), in the norm p (2
    by default: the quotient of the largest and the smallest singular value).

    >>> import clearprop as cp
    >>> cp.linalg.cond(cp.tensor([[4.0, 0.0], [0.0, 2.0]]))
    tensor(2.)
    """
    op = "linalg.cond"
    if p is None or p in (2, -2):
        matrices(op, A)
        values = svdvals(A)
        high, low = reductions.amax(values, -1), reductions.amin(values, -1)
        return low / high if p == -2 else high / low
    square(op, A)
    inverse = apply(INVERSE, A, check=False)
    found = matrix_norm(A, p) * matrix_norm(inverse, p)
    return ew.where(apply(ZERO_PIVOT, A.detach()) > 0, math.inf, found)


def matrix_rank(
    A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """How many singular values exceed max(atol, rtol * largest), int64.

    >>> import clearprop as cp
    >>> cp.linalg.matrix_rank(cp.ones(3, 2))
    tensor(1)
    """
    matrices("linalg.matrix_rank", A)
    limits = cutoffs(A, atol if tol is None else tol, rtol)
    a = A.detach()
    values = ew.abs(eigvalsh(a)) if hermitian else svdvals(a)
    if not values.shape[-1]:
        return reductions.sum(values != 0, -1)
    least = ew.clamp(reductions.amax(values, -1, keepdim=True) * limits["rtol"], limits["atol"])
    return reductions.sum(values > expand_to(least, values.shape), -1)


# ---------------------------------------------------------------------- powers and products
def matrix_power(A: Tensor, n: int) -> Tensor:
    """A @ A @ ... n times by squaring; the inverse first for negative n, the identity for n = 0.

    >>> import clearprop as cp
    >>> cp.linalg.matrix_power(cp.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    tensor([[1., 5.],
            [0., 1.]])
    """
    op = "linalg.matrix_power"
    need_tensors(op, A)
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise ShapeError(f"{op}: A must be batches of square matrices, but it is {A.aval}{here()}")
    if n < 0:
        A, n = inv(A), -n
    found = None
    while n:
        if n % 2:
            found = A if found is None else found @ A
        n //= 2
        if n:
            A = A @ A
    return A * 0 + identity(A, A.shape[-1]) if found is None else found


def multi_dot(tensors: Any) -> Tensor:
    """The product of two or more matrices in the order that needs the fewest multiplications; the
    first and the last may be vectors.

    >>> import clearprop as cp
    >>> cp.linalg.multi_dot([cp.ones(2, 3), cp.ones(3, 1), cp.ones(1, 2)])
    tensor([[3., 3.],
            [3., 3.]])
    """
    op = "linalg.multi_dot"
    xs = list(tensors)
    need_tensors(op, *xs)
    if len(xs) < 2:
        raise ShapeError(
            f"{op}: multi_dot(): expected at least 2 tensors but got {len(xs)}{here()}"
        )
    row, column = xs[0].ndim == 1, xs[-1].ndim == 1
    if row:
        xs[0] = unsqueeze(xs[0], 0)
    if column:
        xs[-1] = unsqueeze(xs[-1], 1)
    for i, x in enumerate(xs):
        if x.ndim != 2:
            raise ShapeError(
                f"{op}: multi_dot(): tensor {i} must be 2D but got {x.ndim}D; only the first and"
                f" the last may be vectors{here()}"
            )
        if i and xs[i - 1].shape[1] != x.shape[0]:
            raise ShapeError(
                f"{op}: multi_dot(): tensors {i - 1} and {i} with shapes {list(xs[i - 1].shape)}"
                f" and {list(x.shape)} cannot be multiplied{here()}"
            )
    found = _in_order(xs)
    shape = found.shape[1 if row else 0 :]
    return reshape_to(found, shape[:-1] if column else shape)


def _in_order(xs: list[Tensor]) -> Tensor:
    """The product in the best order (dynamic programming over the chain)."""
    n = len(xs)
    sizes = [xs[0].shape[0], *(x.shape[1] for x in xs)]
    cost = {(i, i): 0 for i in range(n)}
    split = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i, j], split[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    done: dict[tuple[int, int], Tensor] = {(i, i): x for i, x in enumerate(xs)}
    stack = [(0, n - 1)]
    while stack:
        i, j = stack[-1]
        if (i, j) in done:
            stack.pop()
            continue
        k = split[i, j]
        missing = [part for part in ((i, k), (k + 1, j)) if part not in done]
        if missing:
            stack += missing
        else:
            done[i, j] = matmul(done[i, k], done[k + 1, j])
    return done[0, n - 1]


def chain_matmul(*matrices: Tensor) -> Tensor:
    """multi_dot under its older name: `chain_matmul(A, B, C)`."""
    return matrices[0] if len(matrices) == 1 else multi_dot(matrices)


@dims_by_any_name
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """sum(x * y) along dim; the other axes broadcast.

    >>> import clearprop as cp
    >>> cp.linalg.vecdot(cp.tensor([[1.0, 2.0]]), cp.tensor([[3.0, 4.0]]))
    tensor([11.])
    """
    floating("linalg.vecdot", x)
    floating("linalg.vecdot", y)
    return reductions.sum(x * y, dim)


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """Rows 1, x, x^2, ..., x^(N-1): (..., n) -> (..., n, N), N = n by default.

    >>> import clearprop as cp
    >>> cp.linalg.vander(cp.tensor([2.0, 3.0]), N=3)
    tensor([[1., 2., 4.],
            [1., 3., 9.]])
    """
    n = (x.shape or (1,))[-1] if N is None else N
    if n <= 1 and (N is not None or not x.ndim):
        raise ShapeError(f"linalg.vander: N must be greater than 1, got {n}{here()}")
    x = x if x.is_floating_point() else cast(x, int64)
    columns = [constant(1, x.value.dtype, x.shape)]
    for _ in range(n - 1):
        columns.append(columns[-1] * x)
    return stack(columns, -1)


# ---------------------------------------------------------------------- tensors as matrices
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of A as a map from its last axes to its first `ind` ones."""
    op = "linalg.tensorinv"
    if ind <= 0:
        raise ShapeError(f"{op}: Expected a strictly positive integer for 'ind'. Got {ind}{here()}")
    front, back = A.shape[:ind], A.shape[ind:]
    n = math.prod(front)
    if n != math.prod(back):
        raise ShapeError(
            f"{op}: Expected self to satisfy the requirement prod(self.shape[ind:]) =="
            f" prod(self.shape[:ind]), but got {math.prod(back)} != {n}{here()}"
        )
    return reshape_to(inv(reshape_to(A, (n, n))), (*back, *front))


def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """X with tensordot(A, X, X.ndim) = B."""
    op = "linalg.tensorsolve"
    if dims is not None:
        moved = [normal_dim(op, d, A.ndim) for d in dims]
        A = permute(A, (*(d for d in range(A.ndim) if d not in moved), *moved))
    shape = A.shape[B.ndim :]
    n = B.numel()
    if math.prod(shape) != n or A.numel() != n * n:
        raise ShapeError(
            f"{op}: Expected self to satisfy the requirement prod(self.shape[other.ndim:]) =="
            f" prod(self.shape[:other.ndim]), but got {math.prod(shape)} != {n}{here()}"
        )
    return reshape_to(solve(reshape_to(A, (n, n)), reshape_to(B, (n,))), shape)


def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of H_1 H_2 ... H_k with H_i = 1 - tau_i v_i v_i', where v_i is column i
    of A (..., m, n) below the diagonal, with a 1 on it.

    >>> import clearprop as cp
    >>> cp.linalg.householder_product(cp.tensor([[0.0], [1.0]]), cp.tensor([1.0]))
    tensor([[ 0.],
            [-1.]])
    """
    op = "linalg.householder_product"
    matrices(op, A)
    m, n = A.shape[-2:]
    k = tau.shape[-1]
    if not m >= n >= k:
        raise ShapeError(
            f"{op}: input.shape[-2] must be >= input.shape[-1] >= tau.shape[-1]{here()}"
        )
    if tau.dtype is not A.dtype:
        raise DtypeError(
            f"{op}: tau dtype {tau.dtype} does not match input dtype {A.dtype}{here()}"
        )
    rows = arange(m)
    found = identity(A, m)[..., :n]
    zeros = constant(0, A.value.dtype, (*A.shape[:-2], m))
    for i in reversed(range(k)):
        below = expand_to(rows > i, zeros.shape)
        v = ew.where(
            below, A[..., i], ew.where(expand_to(rows == i, zeros.shape), zeros + 1, zeros)
        )
        scaled = as_column(v * expand_to(tau[..., i : i + 1], v.shape))
        found = found - scaled @ (as_column(v).mT @ found)
    return found
