"""Diagonals: taking them, writing them, matrices made of them; indices of triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.core import (
    LEADING,
    Aval,
    Example,
    Tensor,
    View,
    apply_view,
    as_dtype,
    dtype,
    float64,
    int64,
    primitive,
    wrap,
)
from clearprop.errors import ShapeError
from clearprop.ops import elementwise as ew
from clearprop.ops import movement, reductions
from clearprop.ops.arrange import clone
from clearprop.ops.broadcasting import cast, constant, here, normal_dim, tensor_of
from clearprop.ops.inplace import overwrite
from clearprop.ops.shapes import cat, stack


def _length(shape: tuple[int, ...], offset: int) -> int:
    n, m = shape[-2:]
    return max(0, min(n + min(offset, 0), m - max(offset, 0)))


def _diagonal(x: np.ndarray, *, offset: int) -> np.ndarray:
    n = _length(x.shape, offset)
    part = x[..., max(0, -offset) :, max(0, offset) :]
    return np.lib.stride_tricks.as_strided(
        part, (*x.shape[:-2], n), (*x.strides[:-2], x.strides[-2] + x.strides[-1])
    )


def embedded(g: Tensor, shape: tuple[int, ...], offset: int) -> Tensor:
    """Zeros of the given shape with g on a diagonal of the last two axes."""
    n, m = shape[-2:]
    start = max(0, -offset) * m + max(0, offset)
    lead = len(shape) - 2
    start = min(start, max(n * m - 1, 0)) if not g.shape[-1] else start
    flat = movement.unslice(g, (*shape[:-2], n * m), (0,) * lead + (start,), (1,) * lead + (m + 1,))
    return movement.reshape_to(flat, shape)


diagonal_p = primitive(
    "diagonal",
    doc="The diagonal of the last two axes, `offset` above the main one, as a last axis.",
    eager=_diagonal,
    shape=lambda x, *, offset: Aval((*x.shape[:-2], _length(x.shape, offset)), x.dtype),
    vjp=(lambda g, _out, x_aval, *, offset: embedded(g, x_aval.shape, offset),),
    lower=View(),
    batch=LEADING,
    examples=(
        Example((Aval((3, 4), float64),), {"offset": 0}),
        Example((Aval((2, 3, 3), float64),), {"offset": 1}),
        Example((Aval((4, 3), float64),), {"offset": -2}),
    ),
)


def _to_end(op: str, x: Tensor, dim1: int, dim2: int) -> tuple[Tensor, tuple[int, ...]]:
    """x with two axes at the end, and the order of axes that does it."""
    a, b = normal_dim(op, dim1, x.ndim), normal_dim(op, dim2, x.ndim)
    if a == b:
        raise ShapeError(f"{op}: diagonal dimensions cannot be identical {dim1}, {dim2}{here()}")
    order = (*(i for i in range(x.ndim) if i not in (a, b)), a, b)
    return movement.permute(x, order) if order != tuple(range(x.ndim)) else x, order


def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes as a last axis; a view of x.

    >>> import clearprop as cp
    >>> cp.diagonal(cp.arange(6).reshape(2, 3), 1)
    tensor([1, 5])
    """
    moved, _ = _to_end("diagonal", x, dim1, dim2)
    return apply_view(diagonal_p, moved, {"offset": int(offset)})


def diagonal_scatter(
    x: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """x with `src` on the diagonal of two axes (out of place)."""
    moved, order = _to_end("diagonal_scatter", x, dim1, dim2)
    wanted = (*moved.shape[:-2], _length(moved.shape, offset))
    if src.shape != wanted:
        raise ShapeError(
            "diagonal_scatter: expected src to have a size equal to the slice of self. src size ="
            f" {list(src.shape)}, slice size = {list(wanted)}{here()}"
        )
    mask = np.zeros(moved.shape, bool)
    _diagonal(mask, offset=offset)[...] = True
    full = embedded(cast(src, x.dtype), moved.shape, offset)
    return movement.permute(
        ew.where(wrap(mask, None), full, moved), tuple(int(i) for i in np.argsort(order))
    )


def diag_embed(x: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last axis of x on a diagonal, zeros elsewhere."""
    if not x.ndim:
        raise IndexError(
            f"diag_embed: Dimension out of range: x needs an axis, but is {x.aval}{here()}"
        )
    n = x.shape[-1] + abs(offset)
    full = embedded(x, (*x.shape[:-1], n, n), offset)
    a, b = normal_dim("diag_embed", dim1, full.ndim), normal_dim("diag_embed", dim2, full.ndim)
    if a == b:
        raise ShapeError(
            f"diag_embed: diagonal dimensions cannot be identical {dim1}, {dim2}{here()}"
        )
    rest = iter(range(full.ndim - 2))
    ends = {a: full.ndim - 2, b: full.ndim - 1}
    order = [ends[i] if i in ends else next(rest) for i in range(full.ndim)]
    return movement.permute(full, tuple(order))


def diag(x: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector as its diagonal."""
    if x.ndim not in (1, 2):
        raise ShapeError(f"diag: Supports 1D or 2D tensors. Got {x.aval}{here()}")
    if x.ndim == 1:
        return diag_embed(x, diagonal)
    return clone(apply_view(diagonal_p, x, {"offset": int(diagonal)}))


def diagflat(x: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements of x, in order, as its diagonal."""
    return diag_embed(movement.reshape_to(x, (x.numel(),)), offset)


def trace(x: Tensor) -> Tensor:
    """Sum of the diagonal of a matrix."""
    if x.ndim != 2:
        raise ShapeError(f"trace: expected a matrix, got {x.aval}{here()}")
    return reductions.sum(diag(x))


def fill_diagonal_(x: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Write one number to the main diagonal of a matrix (or of a hypercube); `wrap` starts again
    below a tall matrix's end.
    """
    if x.ndim < 2:
        raise ShapeError(f"fill_diagonal_: dimensions must larger than 1, got {x.aval}{here()}")
    if x.ndim > 2 and len(set(x.shape)) > 1:
        raise ShapeError(
            f"fill_diagonal_: all dimensions of input must be of equal length, got {x.aval}{here()}"
        )
    mask = np.zeros(x.shape, bool)
    np.fill_diagonal(mask, True, wrap=wrap)
    value = constant(fill_value, x.value.dtype, x.shape)
    return overwrite(x, ew.where(tensor_of(mask, "fill_diagonal_"), value, x), "fill_diagonal_")


def block_diag(*tensors: Tensor) -> Tensor:
    """Matrices along the diagonal of a larger one, zeros elsewhere (vectors are rows)."""
    blocks = []
    for x in tensors:
        if x.ndim > 2:
            raise ShapeError(
                f"block_diag: Input tensors must have 2 or fewer dimensions. Got {x.aval}{here()}"
            )
        blocks.append(movement.reshape_to(x, (1, x.numel())) if x.ndim < 2 else x)
    if not blocks:
        return wrap(np.zeros((1, 0), np.float32), None)
    columns = sum(x.shape[1] for x in blocks)
    rows, start = [], 0
    for x in blocks:
        rows.append(movement.unslice(x, (x.shape[0], columns), (0, start), (1, 1)))
        start += x.shape[1]
    return cat(rows, 0)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Powers of a vector as columns: x^(N-1), ..., x, 1, or the other way round."""
    if x.ndim != 1:
        raise ShapeError(f"vander: x must be a one-dimensional tensor, got {x.aval}{here()}")
    n = x.shape[0] if N is None else N
    if n < 0:
        raise ShapeError(f"vander: N must be non-negative, got {n}{here()}")
    x = x if x.is_floating_point() else cast(x, int64)
    if not n:
        return wrap(np.empty((x.shape[0], 0), x.value.dtype), None)
    powers = [constant(1, x.value.dtype, x.shape)]
    for _ in range(n - 1):
        powers.append(powers[-1] * x)
    return stack(powers if increasing else powers[::-1], 1)


def _triangle(name: str, indices: Any) -> Any:
    def op(
        row: int, col: int, offset: int = 0, *, dtype: dtype | None = None, device: Any = None
    ) -> Tensor:
        found = indices(row, offset, col)
        d = int64 if dtype is None else as_dtype(dtype)
        return wrap(np.stack(found).astype(d.np), None)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = (
        f"Rows and columns of the {'lower' if name[3] == 'l' else 'upper'} triangle of a matrix,"
        " int64 (2, count)."
    )
    return op


tril_indices = _triangle("tril_indices", np.tril_indices)
triu_indices = _triangle("triu_indices", np.triu_indices)


__all__ = [
    "block_diag", "diag", "diag_embed", "diagflat", "diagonal", "diagonal_scatter", "trace",
    "tril_indices", "triu_indices", "vander",
]  # fmt: skip
