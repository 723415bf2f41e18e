"""More ways to turn, join and cut tensors: rot90, tensor_split, dstack, atleast_2d, combinations
and the like; copies.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import clearprop.ops.broadcasting as broadcasting
from clearprop.core import Tensor, apply, int64, local, wrap
from clearprop.errors import ShapeError
from clearprop.ops import movement, reduce, shapes
from clearprop.ops.broadcasting import cast, dims_by_any_name, here, normal_dim
from clearprop.ops.create import sizes
from clearprop.ops.index import getitem
from clearprop.ops.out import takes_out
from clearprop.ops.shapes import cat, flip, meshgrid, narrow, stack, transpose


# ---------------------------------------------------------------------- copies
@takes_out
def clone(x: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy in memory of its own; gradients pass through."""
    return apply(movement.clone_p, x)


def contiguous(x: Tensor, *, memory_format: Any = None) -> Tensor:
    """x itself if its elements lie in row-major order, else a copy."""
    interpreter = local.c.interpreter
    if interpreter is not None:
        return interpreter.contiguous(x, clone)  # type: ignore[no-any-return]
    return x if x.value.flags.c_contiguous else clone(x)


@dims_by_any_name
def narrow_copy(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`length` slices along dim from `start` on, as a copy."""
    return clone(narrow(x, dim, start, length))


# ---------------------------------------------------------------------- turning
def rot90(x: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned k times by 90 degrees in the plane of two axes, from the first towards the second."""
    if len(dims) != 2:
        raise ShapeError(
            f"rot90: expected total rotation dims == 2, but got dims = {len(dims)}{here()}"
        )
    if x.ndim < 2:
        raise ShapeError(f"rot90: expected total dims >= 2, but got total dims = {x.ndim}{here()}")
    a, b = (normal_dim("rot90", d, x.ndim) for d in dims)
    if a == b:
        raise ShapeError(
            f"rot90: expected rotation dims to be different, but got dim0 = {a} and dim1 ="
            f" {b}{here()}"
        )
    match k % 4:
        case 1:
            return transpose(flip(x, b), a, b)
        case 2:
            return flip(x, (a, b))
        case 3:
            return transpose(flip(x, a), a, b)
    return clone(x)


def fliplr(x: Tensor) -> Tensor:
    """The second axis in reverse order."""
    if x.ndim < 2:
        raise ShapeError(f"fliplr: Input must be >= 2-d, got {x.aval}{here()}")
    return flip(x, 1)


def flipud(x: Tensor) -> Tensor:
    """The first axis in reverse order."""
    if x.ndim < 1:
        raise ShapeError(f"flipud: Input must be >= 1-d, got {x.aval}{here()}")
    return flip(x, 0)


def adjoint(x: Tensor) -> Tensor:
    """The last two axes exchanged (all tensors are real)."""
    return shapes.mT(x)


# ---------------------------------------------------------------------- cutting
def split_with_sizes(x: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of the given sizes along dim."""
    return shapes.split(x, list(split_sizes), dim)


@dims_by_any_name
def tensor_split(x: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """So many pieces along dim, the first ones longer by one where it does not divide; or pieces
    between the given indices.
    """
    if not x.ndim:
        raise ShapeError(
            "tensor_split: expected at least a one-dimensional tensor, but got a tensor with 0"
            f" dims{here()}"
        )
    d = normal_dim("tensor_split", dim, x.ndim)
    n = x.shape[d]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        k = indices_or_sections
        if k <= 0:
            raise ShapeError(
                f"tensor_split: number of sections must be larger than 0, got {k}{here()}"
            )
        cuts = list(itertools.accumulate(n // k + (i < n % k) for i in range(k)))[:-1]
    else:
        cuts = [slice(None, i).indices(n)[1] for i in indices_or_sections]
    whole = (slice(None),) * d
    edges = zip([0, *cuts], [*cuts, n], strict=True)
    return tuple(getitem(x, (*whole, slice(a, max(a, b)))) for a, b in edges)


def _cutter(name: str, axis: int, least: int) -> Callable[..., tuple[Tensor, ...]]:
    def op(x: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        if x.ndim < least:
            raise ShapeError(
                f"{name}: requires a tensor with at least {least} dimension, but got a tensor with"
                f" {x.ndim} dimensions!{here()}"
            )
        d = axis if x.ndim > 1 else 0
        if isinstance(indices_or_sections, int) and (
            indices_or_sections <= 0 or x.shape[d] % indices_or_sections
        ):
            raise ShapeError(
                f"{name}: attempted to split along dimension {d}, but the size of the dimension"
                f" {x.shape[d]} is not divisible by the split_size {indices_or_sections}!{here()}"
            )
        return tensor_split(x, indices_or_sections, d)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"Equal pieces along axis {axis}, or pieces between the given indices."
    return op


hsplit, vsplit, dsplit = _cutter("hsplit", 1, 1), _cutter("vsplit", 0, 2), _cutter("dsplit", 2, 3)


# ---------------------------------------------------------------------- joining
def _at_least(name: str, ndim: int, place: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Any:
    def op(*tensors: Any) -> Any:
        if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
            tensors = tuple(tensors[0])
            return tuple(op(x) for x in tensors)
        if len(tensors) != 1:
            return tuple(op(x) for x in tensors)
        (x,) = tensors
        broadcasting.need_tensors(name, x)
        return x if x.ndim >= ndim else movement.reshape_to(x, place(x.shape))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"Tensors with at least {ndim} axes: new ones of size 1 where there are fewer."
    return op


atleast_1d = _at_least("atleast_1d", 1, lambda s: (1,))
atleast_2d = _at_least("atleast_2d", 2, lambda s: (1, *s) if s else (1, 1))
atleast_3d = _at_least("atleast_3d", 3, lambda s: (*s, 1) if len(s) == 2 else (1, *(s or (1,)), 1))


@takes_out
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along a third axis."""
    return cat([atleast_3d(x) if x.ndim else movement.reshape_to(x, (1, 1, 1)) for x in tensors], 2)


@takes_out
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Side by side; vectors become columns."""
    return cat([movement.reshape_to(x, (x.numel(), 1)) if x.ndim < 2 else x for x in tensors], 1)


# ---------------------------------------------------------------------- combining
def _vectors(op: str, tensors: Sequence[Tensor]) -> None:
    for x in tensors:
        if x.ndim != 1:
            raise ShapeError(f"{op}: Expect a 1D vector, but got shape {list(x.shape)}{here()}")


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element of each vector, as rows."""
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        tensors = tuple(tensors[0])
    _vectors("cartesian_prod", tensors)
    if len(tensors) == 1:
        return tensors[0]
    grids = meshgrid(*tensors, indexing="ij")
    return stack([movement.reshape_to(g, (g.numel(),)) for g in grids], 1)


def combinations(x: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of r elements of a vector, as rows.

    >>> import clearprop as cp
    >>> cp.combinations(cp.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    _vectors("combinations", [x])
    if r < 0:
        raise ShapeError(f"combinations: Expect a non-negative number, but got {r}{here()}")
    if not r:
        return wrap(np.empty(0, x.value.dtype), None)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(x.shape[0]), r)), np.int64).reshape(-1, r)
    return getitem(x, wrap(rows, None))


# ---------------------------------------------------------------------- shapes
def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that tensors of these shapes have together."""
    given = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    return broadcasting.broadcast_shapes("broadcast_shapes", *given) if given else ()


def sum_to_size(x: Tensor, *size: Any) -> Tensor:
    """x summed over the axes that would be broadcast from `size`."""
    wanted = sizes("sum_to_size", size)
    lead = x.ndim - len(wanted)
    if lead < 0 or any(n not in (1, m) for n, m in zip(wanted, x.shape[lead:], strict=True)):
        raise ShapeError(
            f"sum_to_size: size {list(wanted)} is not expandable to size {list(x.shape)}.{here()}"
        )
    x = x if x.shape == wanted or x.dtype.category > 1 else cast(x, int64)
    return reduce.sum_to(x, wanted)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Positions in the flattened tensor as one index per axis."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if indices.dtype.category != 1:
        raise TypeError(
            f"unravel_index: expected 'indices' to be integer dtype, but got {indices.aval}{here()}"
        )
    indices = cast(indices, int64)
    out, size = [], math.prod(shape)
    for n in shape:
        size //= n
        out.append(indices // size % n)
    return tuple(out)


__all__ = [
    "adjoint", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_shapes", "cartesian_prod",
    "clone", "column_stack", "combinations", "contiguous", "dsplit", "dstack", "fliplr", "flipud",
    "hsplit", "narrow_copy", "rot90", "split_with_sizes", "sum_to_size", "tensor_split",
    "unravel_index", "vsplit",
]  # fmt: skip
