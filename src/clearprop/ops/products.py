"""Products of tensors beyond matmul: tensordot, kron, cross, distances between rows, and PyTorch's
sums with a product (addmv, addr, ...).
"""

from __future__ import annotations

import math
from typing import Any

from clearprop.core import Tensor, bool_
from clearprop.errors import DtypeError, ShapeError, UnsupportedDtypeError
from clearprop.ops import elementwise as ew
from clearprop.ops import reductions
from clearprop.ops.broadcasting import (
    broadcast_shapes,
    constant,
    dims_by_any_name,
    expand_to,
    here,
    need_tensors,
    normal_dim,
)
from clearprop.ops.contract import bmm, dot, matmul, mv, outer
from clearprop.ops.create import arange
from clearprop.ops.index import index_select
from clearprop.ops.matrix import floating
from clearprop.ops.movement import permute, reshape_to
from clearprop.ops.reductions import norm, safe_sqrt
from clearprop.ops.shapes import cat, roll, unsqueeze


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Sum of products over axes of a and b: the last `dims` of a with the first of b, or the pairs
    of dims = (axes of a, axes of b).

    >>> import clearprop as cp
    >>> cp.tensordot(cp.ones(2, 3), cp.ones(3, 4), dims=1).shape
    (2, 4)
    """
    op = "tensordot"
    need_tensors(op, a, b)
    if a.dtype is bool_:
        raise UnsupportedDtypeError(
            f"{op}: products of bool tensors are not implemented for 'Bool'; convert them with"
            f" .to(...){here()}"
        )
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise ShapeError(f"{op}: tensordot expects dims >= 0, but got dims={dims}{here()}")
        if dims > min(a.ndim, b.ndim):
            raise ShapeError(
                f"{op}: tensordot expects dims < ndim_a or ndim_b, but got dims={dims} for {a.aval}"
                f" and {b.aval}{here()}"
            )
        dims = (list(range(a.ndim - dims, a.ndim)), list(range(dims)))
    one, two = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(one) != len(two):
        raise ShapeError(
            f"{op}: both dimension lists should have the same length, got {one} and {two}{here()}"
        )
    left_axes = [normal_dim(op, d, a.ndim) for d in one]
    right_axes = [normal_dim(op, d, b.ndim) for d in two]
    for i, j, di, dj in zip(left_axes, right_axes, one, two, strict=True):
        n, m = a.shape[i], b.shape[j]
        if n != m and 1 not in (n, m):
            raise ShapeError(
                f"{op}: contracted dimensions need to match, but first has size {n} in dim {di} and"
                f" second has size {m} in dim {dj}{here()}"
            )
        if n != m:  # an axis of size 1 is summed against all of the other
            if n == 1:
                b = reductions.sum(b, j, True, dtype=b.dtype)
            else:
                a = reductions.sum(a, i, True, dtype=a.dtype)
    rows = [d for d in range(a.ndim) if d not in left_axes]
    columns = [d for d in range(b.ndim) if d not in right_axes]
    left, right = permute(a, (*rows, *left_axes)), permute(b, (*right_axes, *columns))
    shape = (*(a.shape[d] for d in rows), *(b.shape[d] for d in columns))
    k = math.prod(a.shape[d] for d in left_axes)
    left = reshape_to(left, (math.prod(a.shape[d] for d in rows), k))
    right = reshape_to(right, (k, math.prod(b.shape[d] for d in columns)))
    return reshape_to(matmul(left, right), shape)


def inner(x: Tensor, other: Tensor) -> Tensor:
    """Sum of products over the last axis of both: (..., k), (*, k) -> (..., *).

    >>> import clearprop as cp
    >>> cp.inner(cp.tensor([1.0, 2.0]), cp.tensor([3.0, 4.0]))
    tensor(11.)
    """
    need_tensors("inner", x, other)
    if not x.ndim or not other.ndim:
        return x * other
    if x.shape[-1] != other.shape[-1]:
        raise ShapeError(
            "inner: inner() the last dimension must match on both input tensors but got shapes"
            f" {list(x.shape)} and {list(other.shape)}{here()}"
        )
    return tensordot(x, other, ([-1], [-1]))


def vdot(x: Tensor, other: Tensor) -> Tensor:
    """Sum of the products of two vectors (`dot`; there are no complex numbers to conjugate)."""
    if x.ndim == other.ndim == 1 and x.shape != other.shape:
        raise ShapeError(
            f"vdot: inconsistent tensor size, expected tensor {list(x.shape)} and src"
            f" {list(other.shape)} to have the same number of elements{here()}"
        )
    return dot(x, other)


def kron(x: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: every element of x times the whole of other.

    >>> import clearprop as cp
    >>> cp.kron(cp.eye(2), cp.tensor([[1.0, 2.0]]))
    tensor([[1., 2., 0., 0.],
            [0., 0., 1., 2.]])
    """
    need_tensors("kron", x, other)
    n = max(x.ndim, other.ndim)
    a, b = ((*(1 for _ in range(n - t.ndim)), *t.shape) for t in (x, other))
    left = reshape_to(x, tuple(s for size in a for s in (size, 1)))
    right = reshape_to(other, tuple(s for size in b for s in (1, size)))
    return reshape_to(left * right, tuple(p * q for p, q in zip(a, b, strict=True)))


def _same_dtype(op: str, x: Tensor, y: Tensor) -> None:
    if x.dtype is not y.dtype:
        raise DtypeError(
            f"{op}: expected scalar type {x.dtype} but found {y.dtype}; convert one with"
            f" .to(...){here()}"
        )


def _cross(op: str, x: Tensor, y: Tensor, dim: int) -> Tensor:
    shape = broadcast_shapes(op, x.shape, y.shape)
    x, y = expand_to(x, shape), expand_to(y, shape)
    return roll(x, -1, dim) * roll(y, -2, dim) - roll(x, -2, dim) * roll(y, -1, dim)


@dims_by_any_name
def linalg_cross(x: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector at right angles to both: x and other of length 3 along dim; other axes broadcast.

    >>> import clearprop as cp
    >>> cp.linalg.cross(cp.tensor([1.0, 0.0, 0.0]), cp.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    op = "linalg.cross"
    need_tensors(op, x, other)
    if x.ndim != other.ndim:
        raise ShapeError(
            f"{op}: inputs must have the same number of dimensions, got {x.aval} and"
            f" {other.aval}{here()}"
        )
    _same_dtype(op, x, other)
    d = normal_dim(op, dim, x.ndim)
    if x.shape[d] != 3 or other.shape[d] != 3:
        raise ShapeError(
            f"{op}: inputs dimension {dim} must have length 3. Got {x.shape[d]} and"
            f" {other.shape[d]}{here()}"
        )
    return _cross(op, x, other, d)


@dims_by_any_name
def cross(x: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """linalg.cross along the first axis of size 3, or along dim.

    >>> import clearprop as cp
    >>> cp.cross(cp.tensor([1.0, 0.0, 0.0]), cp.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    need_tensors("cross", x, other)
    if dim is None:
        found = [d for d, n in enumerate(x.shape) if n == 3]
        if not found:
            raise ShapeError(f"cross: no dimension of size 3 in input {x.aval}{here()}")
        dim = found[0]
    return linalg_cross(x, other, dim=dim)  # type: ignore[no-any-return]


# ---------------------------------------------------------------------- distances
MM_MODES = {
    "use_mm_for_euclid_dist_if_necessary": None,
    "use_mm_for_euclid_dist": True,
    "donot_use_mm_for_euclid_dist": False,
}


def cdist(
    x1: Tensor,
    x2: Tensor,
    p: float = 2.0,
    compute_mode: str = "use_mm_for_euclid_dist_if_necessary",
) -> Tensor:
    """Distances between the rows of x1 (..., n, k) and of x2 (..., m, k) in the p-norm: (..., n,
    m).

    Differences are taken row by row, which keeps the digits of small distances and needs n * m * k
    numbers for a while; compute_mode='use_mm_for_euclid_dist' takes |x|^2 + |y|^2 - 2 x.y instead.
    The gradient at distance 0 is 0.

    >>> import clearprop as cp
    >>> cp.cdist(cp.tensor([[0.0, 0.0]]), cp.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    op = "cdist"
    need_tensors(op, x1, x2)
    for i, x in enumerate((x1, x2), 1):
        if not x.is_floating_point():
            raise DtypeError(
                f"{op}: cdist only supports floating-point dtypes, X{i} got: {x.aval}{here()}"
            )
        if x.ndim < 2:
            raise ShapeError(
                f"{op}: cdist only supports at least 2D tensors, X{i} got: {x.ndim}D{here()}"
            )
    if x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            f"{op}: X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2:"
            f" {x2.shape[-1]}{here()}"
        )
    if p < 0:
        raise ShapeError(f"{op}: cdist only supports non-negative p values, got {p}{here()}")
    if compute_mode not in MM_MODES:
        raise ValueError(
            f"{op}: {compute_mode} is not a valid value for compute_mode; one of"
            f" {', '.join(MM_MODES)}{here()}"
        )
    _same_dtype(op, x1, x2)
    if p == 2 and MM_MODES[compute_mode]:
        one, two = (reductions.sum(ew.square(x), -1, True) for x in (x1, x2))
        square = one - 2 * matmul(x1, x2.mT) + two.mT
        return safe_sqrt(ew.relu(square))
    batch = broadcast_shapes(op, x1.shape[:-2], x2.shape[:-2])
    n, m, k = x1.shape[-2], x2.shape[-2], x1.shape[-1]
    a = expand_to(unsqueeze(x1, -2), (*batch, n, m, k))
    b = expand_to(unsqueeze(x2, -3), (*batch, n, m, k))
    if not k:
        return constant(0, x1.value.dtype, (*batch, n, m))
    return norm(a - b, p, -1)  # type: ignore[no-any-return]


def pdist(x: Tensor, p: float = 2.0) -> Tensor:
    """Distances between the rows of x (n, k), each pair once: (n (n - 1) / 2).

    >>> import clearprop as cp
    >>> cp.pdist(cp.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]))
    tensor([5.0000, 1.0000, 4.2426])
    """
    need_tensors("pdist", x)
    if x.ndim != 2:
        raise ShapeError(f"pdist: pdist only supports 2D tensors, got: {x.ndim}D{here()}")
    floating("pdist", x)
    if p < 0:
        raise ShapeError(f"pdist: pdist only supports non-negative p values, got {p}{here()}")
    n = x.shape[0]
    if n < 2:
        return constant(0, x.value.dtype, (0,))
    rows = cat([constant(i, arange(1).value.dtype, (n - 1 - i,)) for i in range(n - 1)])
    columns = cat([arange(i + 1, n) for i in range(n - 1)])
    difference = index_select(x, 0, rows) - index_select(x, 0, columns)
    return norm(difference, p, -1)  # type: ignore[no-any-return]


# ---------------------------------------------------------------------- sums with a product
def ger(x: Tensor, vec2: Tensor) -> Tensor:
    """outer under its older name."""
    return outer(x, vec2)


def _plus(op: str, bias: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    if broadcast_shapes(op, bias.shape, product.shape) != product.shape:
        raise ShapeError(
            f"{op}: The expanded size of the tensor must match the existing size: {bias.aval} does"
            f" not broadcast to {product.aval}{here()}"
        )
    added = product if alpha == 1 else alpha * product
    if beta == 0:  # nan and inf in the bias do not count
        return added
    return (bias if beta == 1 else beta * bias) + added


def addmv(bias: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * bias + alpha * (mat @ vec) for a matrix mat and a vector vec."""
    return _plus("addmv", bias, mv(mat, vec), beta, alpha)


def addr(bias: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * bias + alpha * outer(vec1, vec2)."""
    return _plus("addr", bias, outer(vec1, vec2), beta, alpha)


def addbmm(
    bias: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """beta * bias + alpha * the sum over the batch of bmm(batch1, batch2)."""
    return _plus("addbmm", bias, reductions.sum(bmm(batch1, batch2), 0), beta, alpha)


__all__ = [
    "addbmm", "addmv", "addr", "cdist", "cross", "ger", "inner", "kron", "pdist", "tensordot",
    "vdot",
]  # fmt: skip
