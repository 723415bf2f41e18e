"""Matrix products. The primitive takes equal batch axes; `matmul` brings 1-D and broadcast operands
to that form. `linear` is a layer's product with its bias in one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.core import (
    Aval,
    Composed,
    Contract,
    Example,
    Tensor,
    also_arrays,
    apply2,
    float64,
    primitive,
)
from clearprop.errors import DtypeError, ShapeError
from clearprop.ops.broadcasting import broadcast_shapes, expand_to, here, need_tensors, tensor_of
from clearprop.ops.movement import permute, reshape_to
from clearprop.ops.out import into
from clearprop.ops.reduce import sum_to


def _batched_matmul(size: int, mapped: Any, x: Tensor, y: Tensor) -> Tensor:
    """vmap of a product: one large product where the right side is the same for all examples."""
    if mapped[1] or x.ndim != 3:
        if not all(mapped):
            i = 1 if mapped[0] else 0
            one = (x, y)[i]
            wide = expand_to(reshape_to(one, (1, *one.shape)), (size, *one.shape))
            x, y = (x, wide) if i else (wide, y)
        return apply2(MATMUL, x, y)
    n, m, k = x.shape
    return reshape_to(apply2(MATMUL, reshape_to(x, (n * m, k)), y), (n, m, y.shape[-1]))


MATMUL = primitive(
    "matmul",
    doc="Matrix product over the last two axes, batch axes equal.",
    eager=np.matmul,
    shape=lambda x, y: Aval((*x.shape[:-1], y.shape[-1]), x.dtype),
    vjp=(
        lambda g, _out, _x, y: g @ y.mT,
        lambda g, _out, x, _y: x.mT @ g,
    ),
    lower=Contract(),
    batch=_batched_matmul,
    examples=(
        Example((Aval((2, 3), float64), Aval((3, 4), float64))),
        Example((Aval((5, 2, 3), float64), Aval((5, 3, 1), float64))),
        Example((Aval((1, 3), float64), Aval((3, 1), float64))),
    ),
)


def _linear(x: Any, w: Any, b: Any) -> Any:
    y = np.matmul(x, w.T)
    y += b
    return y


def _linear_in_ops(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    y = apply2(MATMUL, x, permute(w, (1, 0)))
    return y + expand_to(b, y.shape)


def _batched_linear(size: int, mapped: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    turned = permute(w, (0, 2, 1) if mapped[1] else (1, 0))
    if mapped[0] or mapped[1]:
        y = _batched_matmul(size, mapped[:2], x, turned)
    else:
        y = apply2(MATMUL, x, turned)
        y = expand_to(reshape_to(y, (1, *y.shape)), (size, *y.shape))
    if mapped[2]:
        b = reshape_to(b, (size, 1, b.shape[1]))
    return y + expand_to(b, y.shape)


LINEAR = primitive(
    "linear",
    doc="x W^T + b for rows x: a product and a bias in one.",
    eager=_linear,
    shape=lambda x, w, _b: Aval((x.shape[0], w.shape[0]), x.dtype),
    vjp=(
        lambda g, _out, _x, w, _b: g @ w,
        lambda g, _out, x, _w, _b: g.mT @ x,
        also_arrays(lambda g, _out, _x, _w, b_aval: sum_to(g, b_aval.shape)),
    ),
    lower=Composed(_linear_in_ops),
    batch=_batched_linear,
    examples=(
        Example((Aval((5, 3), float64), Aval((4, 3), float64), Aval((4,), float64))),
        Example((Aval((1, 3), float64), Aval((1, 3), float64), Aval((1,), float64))),
    ),
)


def _check(op: str, x: Tensor, y: Tensor) -> None:
    need_tensors(op, x, y)
    if x.dtype is not y.dtype:
        raise DtypeError(
            f"{op}: expected m1 and m2 to have the same dtype, but got: {x.aval} and {y.aval};"
            f" convert one with .to(...){here()}"
        )
    if not x.ndim or not y.ndim:
        raise ShapeError(
            f"{op}: both arguments to matmul need to be at least 1D, but they are {x.aval} and"
            f" {y.aval}{here()}"
        )


def matmul(x: Tensor, y: Tensor, *, out: Any = None) -> Tensor:
    """Matrix product: (..., n, k) @ (..., k, m) -> (..., n, m); 1-D operands are a row on the left,
    a column on the right.

    Batch axes broadcast; dtypes must be equal. Raises ShapeError (a RuntimeError) where the inner
    sizes differ.

    >>> import clearprop as cp
    >>> cp.matmul(cp.tensor([[1.0, 2.0]]), cp.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    if out is not None:
        return into(out, matmul(x, y), "matmul")  # type: ignore[no-any-return]
    if isinstance(x, np.ndarray):
        x = tensor_of(x, "matmul")
    elif isinstance(y, np.ndarray):
        y = tensor_of(y, "matmul")
    _check("matmul", x, y)
    sx, sy = x.value.shape, y.value.shape
    if sx[-1] != sy[-2 if len(sy) > 1 else 0]:
        raise _mismatch(x, y)
    if len(sx) == len(sy) == 2:
        return apply2(MATMUL, x, y)
    if len(sx) == 1:
        return _dropped(matmul(reshape_to(x, (1, *sx)), y), -1 if len(sy) == 1 else -2)
    if len(sy) == 1:
        return _dropped(matmul(x, reshape_to(y, (*sy, 1))), -1)
    if len(sy) == 2:  # one matrix for every batch: one large product
        flat = reshape_to(x, (_prod(sx[:-1]), sx[-1]))
        return reshape_to(apply2(MATMUL, flat, y), (*sx[:-1], sy[-1]))
    batch = broadcast_shapes("matmul", sx[:-2], sy[:-2])
    return apply2(MATMUL, expand_to(x, batch + sx[-2:]), expand_to(y, batch + sy[-2:]))


def _prod(shape: tuple[int, ...]) -> int:
    n = 1
    for d in shape:
        n *= d
    return n


def _dropped(x: Tensor, axis: int) -> Tensor:
    shape = list(x.shape)
    if axis == -1 and len(shape) >= 1 and shape[-1] == 1:
        del shape[-1]
    else:
        del shape[axis]
    return reshape_to(x, tuple(shape))


def _mismatch(x: Tensor, y: Tensor) -> ShapeError:
    a = "x".join(map(str, x.shape))
    b = "x".join(map(str, y.shape))
    k = y.shape[-2 if y.ndim > 1 else 0]
    hint = ""
    if x.ndim > 1 and y.ndim > 1 and x.shape[-1] == y.shape[-1]:
        hint = "; did you mean y.mT?"
    elif x.ndim > 1 and y.ndim > 1 and x.shape[-2] == y.shape[-2]:
        hint = "; did you mean x.mT?"
    return ShapeError(
        f"matmul: mat1 and mat2 shapes cannot be multiplied ({a} and {b}): inner sizes"
        f" {x.shape[-1]} and {k} differ, x is {x.aval}, y is {y.aval}{hint}{here()}"
    )


def mm(x: Tensor, mat2: Tensor) -> Tensor:
    """Matrix product of two 2-D tensors."""
    _check("mm", x, mat2)
    if x.ndim != 2 or mat2.ndim != 2:
        raise ShapeError(
            f"mm: {'mat2' if x.ndim == 2 else 'self'} must be a matrix, got {x.aval} and"
            f" {mat2.aval}; matmul takes vectors and batches, too{here()}"
        )
    return matmul(x, mat2)


def bmm(x: Tensor, mat2: Tensor) -> Tensor:
    """Batched matrix product of two 3-D tensors with equal batch size."""
    _check("bmm", x, mat2)
    if x.ndim != 3 or mat2.ndim != 3:
        which = "batch1" if x.ndim != 3 else "batch2"
        raise ShapeError(
            f"bmm: {which} must be a 3D tensor, got {x.aval} and {mat2.aval}; matmul takes others,"
            f" too{here()}"
        )
    if x.shape[0] != mat2.shape[0] or x.shape[2] != mat2.shape[1]:
        raise ShapeError(
            "bmm: Expected size for first two dimensions of batch2 tensor to be:"
            f" {[x.shape[0], x.shape[2]]} but got: {list(mat2.shape[:2])}; they are {x.aval} and"
            f" {mat2.aval}{here()}"
        )
    return matmul(x, mat2)


def mv(x: Tensor, vec: Tensor) -> Tensor:
    """Matrix (n, k) times vector (k)."""
    _check("mv", x, vec)
    if x.ndim != 2 or vec.ndim != 1:
        raise ShapeError(
            f"mv: vector + matrix @ vector expected, got {x.aval} and {vec.aval}{here()}"
        )
    return matmul(x, vec)


def dot(x: Tensor, tensor: Tensor) -> Tensor:
    """Sum of the products of two vectors of one length."""
    _check("dot", x, tensor)
    if x.ndim != 1 or tensor.ndim != 1:
        raise ShapeError(
            f"dot: 1D tensors expected, but got {x.ndim}D and {tensor.ndim}D tensors{here()}"
        )
    return matmul(x, tensor)


def outer(x: Tensor, vec2: Tensor) -> Tensor:
    """x_i * y_j of two vectors: (n), (m) -> (n, m)."""
    need_tensors("outer", x, vec2)
    for name, v in (("self", x), ("vec2", vec2)):
        if v.ndim != 1:
            raise ShapeError(
                f"outer: Expected 1-D argument {name}, but got {v.ndim}-D: {v.aval}{here()}"
            )
    return reshape_to(x, (*x.shape, 1)) * reshape_to(vec2, (1, *vec2.shape))


def addmm(bias: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * bias + alpha * (mat1 @ mat2)."""
    product = mm(mat1, mat2)
    added = product if alpha == 1 else alpha * product
    if beta == 0:  # nan and inf in the bias do not count
        return added
    return (bias if beta == 1 else beta * bias) + added


def baddbmm(
    bias: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """beta * bias + alpha * bmm(batch1, batch2)."""
    product = bmm(batch1, batch2)
    added = product if alpha == 1 else alpha * product
    if beta == 0:  # nan and inf in the bias do not count
        return added
    return (bias if beta == 1 else beta * bias) + added


__all__ = ["addmm", "baddbmm", "bmm", "dot", "matmul", "mm", "mv", "outer"]
