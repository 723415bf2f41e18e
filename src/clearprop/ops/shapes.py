"""Shapes, joins and parts with PyTorch's conventions: reshape, transpose, expand, cat, split and
the like.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clearprop.core import Tensor, apply, wrap
from clearprop.core.tensor import known
from clearprop.errors import ShapeError, UnsupportedDtypeError
from clearprop.ops import elementwise as ew
from clearprop.ops import movement
from clearprop.ops.broadcasting import (
    broadcast,
    cast,
    constant,
    dims_by_any_name,
    expand_to,
    here,
    normal_dim,
    normal_dims,
    promote_types_of,
)
from clearprop.ops.create import sizes
from clearprop.ops.index import getitem


def reshape(x: Tensor, *shape: Any) -> Tensor:
    """The same elements in row-major order under another shape; one size may be -1 (worked out from
    the others).

    >>> import clearprop as cp
    >>> cp.arange(6).reshape(2, -1).shape
    (2, 3)
    """
    wanted = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    total = x.numel()
    known = math.prod(n for n in wanted if n != -1)
    if wanted.count(-1) > 1:
        raise ShapeError(f"reshape: only one dimension can be inferred, got {list(wanted)}{here()}")
    full = tuple((total // known if known else 0) if n == -1 else int(n) for n in wanted)
    if math.prod(full) != total or min(full, default=0) < 0:
        raise ShapeError(
            f"reshape: shape '{list(wanted)}' is invalid for input of size {total}: x is"
            f" {x.aval}{here()}"
        )
    return movement.reshape_to(x, full)


def view(x: Tensor, *shape: Any) -> Tensor:
    """reshape that never copies; `view(dtype)` is not offered."""
    y = reshape(x, *shape)
    if known(x) is None:
        shares = y.value.base is not None
    else:
        shares = np.may_share_memory(x.value, y.value)
    if y is not x and x.numel() and not shares:
        raise ShapeError(
            "view: view size is not compatible with input tensor's size and stride (at least one"
            f" dimension spans across two contiguous subspaces). Use .reshape(...) instead.{here()}"
        )
    return y


@dims_by_any_name
def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes start_dim to end_dim joined into one."""
    a, b = normal_dim("flatten", start_dim, x.ndim), normal_dim("flatten", end_dim, x.ndim)
    if a > b:
        raise ShapeError(f"flatten() has invalid args: start_dim cannot come after end_dim{here()}")
    shape = x.shape or (1,)
    return movement.reshape_to(x, (*shape[:a], math.prod(shape[a : b + 1]), *shape[b + 1 :]))


@dims_by_any_name
def unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Axis dim split into axes of the given sizes (one may be -1)."""
    d = normal_dim("unflatten", dim, x.ndim)
    known = math.prod(n for n in sizes if n != -1)
    full = tuple(x.shape[d] // max(known, 1) if n == -1 else n for n in sizes)
    if math.prod(full) != x.shape[d]:
        raise ShapeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {d}"
            f" ({x.shape[d]}){here()}"
        )
    return movement.reshape_to(x, (*x.shape[:d], *full, *x.shape[d + 1 :]))


@dims_by_any_name
def squeeze(x: Tensor, dim: Any = None) -> Tensor:
    """Without the axes of size 1 (all, or those in dim)."""
    dims = normal_dims("squeeze", dim, x.ndim)
    return movement.reshape_to(
        x, tuple(n for d, n in enumerate(x.shape) if n != 1 or d not in dims)
    )


@dims_by_any_name
def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """With a new axis of size 1 at dim."""
    d = normal_dim("unsqueeze", dim, x.ndim + 1)
    return movement.reshape_to(x, (*x.shape[:d], 1, *x.shape[d:]))


@dims_by_any_name
def permute(x: Tensor, *dim: Any) -> Tensor:
    """Axes in another order."""
    given = tuple(dim[0]) if len(dim) == 1 and isinstance(dim[0], tuple | list) else dim
    fits = len(given) == x.ndim
    dims = tuple(normal_dim("permute", d, x.ndim) for d in given) if fits else ()
    if sorted(dims) != list(range(x.ndim)) or not fits:
        raise ShapeError(
            "permute: number of dimensions in the tensor input does not match the length of the"
            f" desired ordering of dimensions i.e. input.dim() = {x.ndim} is not equal to len(dims)"
            f" = {len(given)}; x is {x.aval}, dims are {list(given)}{here()}"
            if len(given) != x.ndim
            else f"permute: duplicate dims are not allowed, got {list(given)}{here()}"
        )
    return movement.permute(x, dims)


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    a, b = normal_dim("transpose", dim0, x.ndim), normal_dim("transpose", dim1, x.ndim)
    if not x.ndim:
        return x
    dims = list(range(x.ndim))
    dims[a], dims[b] = b, a
    return movement.permute(x, tuple(dims))


def t(x: Tensor) -> Tensor:
    """The transposed matrix (1-D and 0-d tensors as they are)."""
    if x.ndim > 2:
        raise ShapeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {x.ndim}D; use .mT or"
            f" transpose(0, 1){here()}"
        )
    return movement.permute(x, (1, 0)) if x.ndim == 2 else x


def mT(x: Tensor) -> Tensor:
    """The last two axes exchanged."""
    if not x.ndim:
        return x
    if x.ndim < 2:
        raise ShapeError(
            f"mT: tensor.mT is only supported on matrices or batches of matrices. Got {x.ndim}-D"
            f" tensor.{here()}"
        )
    return transpose(x, -2, -1)


@dims_by_any_name
def movedim(x: Tensor, source: Any, destination: Any) -> Tensor:
    """Axes `source` moved to the places `destination`."""
    a = [
        normal_dim("movedim", d, x.ndim)
        for d in (source if isinstance(source, tuple | list) else (source,))
    ]
    b = [
        normal_dim("movedim", d, x.ndim)
        for d in (destination if isinstance(destination, tuple | list) else (destination,))
    ]
    if len(a) != len(b):
        raise ShapeError(
            f"movedim: Invalid source or destination dims: source ({a}) should contain the same"
            f" number of dims as destination ({b}){here()}"
        )
    order = [d for d in range(x.ndim) if d not in a]
    for place, axis in sorted(zip(b, a, strict=True)):
        order.insert(place, axis)
    return movement.permute(x, tuple(order))


def expand(x: Tensor, *shape: Any) -> Tensor:
    """Size-1 axes repeated to the given sizes without copying; -1 keeps a size."""
    wanted = sizes_or_keep(shape)
    lead = len(wanted) - x.ndim
    if lead < 0:
        raise ShapeError(
            f"expand: the number of sizes provided ({len(wanted)}) must be greater or equal to the"
            f" number of dimensions in the tensor ({x.ndim}){here()}"
        )
    full = tuple(x.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(wanted))
    for i, n in enumerate(full[:lead]):
        if n < 0:
            raise ShapeError(
                f"expand: The expanded size of the tensor ({n}) isn't allowed in a leading,"
                f" non-existing dimension {i}{here()}"
            )
    for i, n in enumerate(full[lead:]):
        if x.shape[i] not in (1, n):
            raise ShapeError(
                f"expand: The expanded size of the tensor ({n}) must match the existing size"
                f" ({x.shape[i]}) at non-singleton dimension {i + lead}.  Target sizes:"
                f" {list(wanted)}.  Tensor sizes: {list(x.shape)}{here()}"
            )
    return expand_to(x, full)


def sizes_or_keep(shape: tuple[Any, ...]) -> tuple[int, ...]:
    given = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    return tuple(int(n) for n in given)


def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """x expanded to the shape of another tensor."""
    return expand(x, other.shape)


def broadcast_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """x expanded to the given shape."""
    return expand(x, tuple(shape))


def broadcast_tensors(*xs: Tensor) -> tuple[Tensor, ...]:
    """All tensors at their common shape."""
    return broadcast("broadcast_tensors", *xs)


def repeat(x: Tensor, *repeats: Any) -> Tensor:
    """x tiled `repeats[i]` times along axis i (new axes in front)."""
    counts = sizes("repeat", repeats)
    shape = (1,) * (len(counts) - x.ndim) + x.shape
    if len(counts) < x.ndim:
        raise ShapeError(
            "repeat: Number of dimensions of repeat dims can not be smaller than number of"
            f" dimensions of tensor{here()}"
        )
    paired = movement.reshape_to(x, tuple(v for n in shape for v in (1, n)))
    full = expand_to(paired, tuple(v for c, n in zip(counts, shape, strict=True) for v in (c, n)))
    return movement.reshape_to(full, tuple(c * n for c, n in zip(counts, shape, strict=True)))


def tile(x: Tensor, *repeats: Any) -> Tensor:
    """repeat with missing counts taken as 1."""
    counts = sizes("tile", repeats)
    return repeat(x, (1,) * (x.ndim - len(counts)) + counts)


@dims_by_any_name
def flip(x: Tensor, *dim: Any) -> Tensor:
    """Elements in reverse order along the given axes."""
    given = tuple(dim[0]) if len(dim) == 1 and isinstance(dim[0], tuple | list) else dim
    dims = normal_dims("flip", given, x.ndim) if given else ()
    return apply(movement.flip_p, x, dims=dims)


@dims_by_any_name
def roll(x: Tensor, shifts: Any, dim: Any = None) -> Tensor:
    """Elements moved along axes, what falls off the end comes in at the front."""
    if dim is None and isinstance(shifts, tuple | list) and len(shifts) == 1:
        shifts = shifts[0]
    count = tuple(len(s) if isinstance(s, tuple | list) else 1 for s in (shifts, dim))
    if count[0] != count[1] or (dim is None and count[0] != 1):
        raise ShapeError(
            f"roll: shifts and dimensions must align. shifts: {shifts}, dims: {dim}{here()}"
        )
    if dim is None:
        return movement.reshape_to(roll(movement.reshape_to(x, (x.numel(),)), shifts, 0), x.shape)
    if isinstance(dim, tuple | list):
        for s, d in zip(shifts, dim, strict=True):
            x = roll(x, s, d)
        return x
    d = normal_dim("roll", dim, x.ndim)
    n = x.shape[d]
    k = shifts % n if n else 0
    return x if not k else cat([narrow(x, d, n - k, k), narrow(x, d, 0, n - k)], d)


@dims_by_any_name
def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`length` slices along dim from `start` on."""
    if not x.ndim:
        raise ShapeError(f"narrow: narrow() cannot be applied to a 0-dim tensor.{here()}")
    d = normal_dim("narrow", dim, x.ndim)
    n = x.shape[d]
    if not -n <= start <= n:
        raise IndexError(
            f"narrow: start out of range (expected to be in range of [{-n}, {n}], but got"
            f" {start}){here()}"
        )
    start = start + n if start < 0 else start
    if start < 0 or length < 0 or start + length > x.shape[d]:
        raise ShapeError(
            f"narrow: start ({start}) + length ({length}) exceeds dimension size"
            f" ({x.shape[d]}).{here()}"
        )
    return getitem(x, (slice(None),) * d + (slice(start, start + length),))


@dims_by_any_name
def select(x: Tensor, dim: int, index: int) -> Tensor:
    """Slice `index` along dim, without that axis."""
    return getitem(x, (slice(None),) * normal_dim("select", dim, x.ndim) + (index,))


@dims_by_any_name
def split(x: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of the given size (the last may be smaller), or of the given sizes."""
    if not x.ndim:
        raise ShapeError(f"split: split expects at least a 1-dimensional tensor{here()}")
    d = normal_dim("split", dim, x.ndim)
    n = x.shape[d]
    if isinstance(split_size, int):
        if split_size <= 0:
            raise ShapeError(f"split: split_size must be positive, got {split_size}{here()}")
        lengths = [min(split_size, n - i) for i in range(0, n, split_size)] or [0]
    else:
        lengths = list(split_size)
        if sum(lengths) != n:
            raise ShapeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size"
                f" at dimension {d}), but got split_sizes={lengths}{here()}"
            )
    starts = np.cumsum([0, *lengths])
    return tuple(narrow(x, d, int(a), int(k)) for a, k in zip(starts, lengths, strict=False))


@dims_by_any_name
def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size along dim."""
    if not x.ndim:
        raise ShapeError(f"chunk: chunk expects at least a 1-dimensional tensor{here()}")
    d = normal_dim("chunk", dim, x.ndim)
    if chunks < 1:
        raise ShapeError(
            f"chunk: chunk expects `chunks` to be greater than 0, got: {chunks}{here()}"
        )
    if not x.shape[d]:
        return split(x, [0] * chunks, d)
    return split(x, -(-x.shape[d] // chunks), d)


@dims_by_any_name
def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """All slices along dim."""
    d = normal_dim("unbind", dim, x.ndim)
    return tuple(select(x, d, i) for i in range(x.shape[d]))


def _cat_refusal(first: Tensor, x: Tensor, i: int, axis: int) -> str:
    """Why tensor i cannot be put beside the first one."""
    if x.ndim != first.ndim:
        return (
            f"cat: Tensors must have same number of dimensions: got {first.ndim} and {x.ndim};"
            f" tensor 0 is {first.aval}, tensor {i} is {x.aval}"
        )
    pairs = enumerate(zip(first.shape, x.shape, strict=True))
    a, b = next((a, b) for k, (a, b) in pairs if k != axis and a != b)
    return (
        f"cat: Sizes of tensors must match except in dimension {axis}. Expected size {a} but got"
        f" size {b} for tensor number {i} in the list. Tensor 0 is {first.aval}, tensor {i} is"
        f" {x.aval}"
    )


@dims_by_any_name
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors one after the other along an existing axis; their types are promoted."""
    xs = list(tensors)
    if not xs:
        raise ShapeError(f"cat: expected a non-empty list of Tensors{here()}")
    for x in xs:
        if not isinstance(x, Tensor):
            raise TypeError(f"cat: expected Tensors, got {type(x).__name__}{here()}")
    d = promote_types_of(xs)
    kept = [x for x in xs if x.shape != (0,)] or xs[:1]
    ndim = kept[0].ndim
    if not ndim:
        raise ShapeError(
            "cat: zero-dimensional tensor (at position 0) cannot be concatenated; use"
            f" stack(){here()}"
        )
    axis = normal_dim("cat", dim, ndim)
    for i, x in enumerate(kept[1:], 1):
        if x.ndim != ndim or any(
            a != b for k, (a, b) in enumerate(zip(x.shape, kept[0].shape, strict=True)) if k != axis
        ):
            raise ShapeError(_cat_refusal(kept[0], x, i, axis) + here())
    return apply(movement.concat_p, *(cast(x, d) for x in kept), dim=axis)


concat = concatenate = cat


@dims_by_any_name
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    xs = list(tensors)
    if not xs:
        raise ShapeError(f"stack: expects a non-empty TensorList{here()}")
    for i, x in enumerate(xs):
        if x.shape != xs[0].shape:
            raise ShapeError(
                f"stack expects each tensor to be equal size, but got {list(xs[0].shape)} at entry"
                f" 0 and {list(x.shape)} at entry {i}{here()}"
            )
    return cat([unsqueeze(x, dim) for x in xs], normal_dim("stack", dim, xs[0].ndim + 1))


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Side by side: along axis 0 for vectors, axis 1 otherwise."""
    xs = [movement.reshape_to(x, (1,)) if not x.ndim else x for x in tensors]
    if not xs:
        raise ShapeError(f"hstack: hstack expects a non-empty TensorList{here()}")
    return cat(xs, 0 if xs[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """On top of each other: vectors become rows."""
    return cat([movement.reshape_to(x, (1, x.numel())) if x.ndim < 2 else x for x in tensors], 0)


def meshgrid(*tensors: Tensor, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Grids of coordinates of 1-D tensors; indexing 'ij' (matrix) or 'xy' (plane)."""
    if indexing not in ("ij", "xy"):
        raise ShapeError(f"meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}{here()}")
    xs = (
        list(tensors[0])
        if len(tensors) == 1 and isinstance(tensors[0], tuple | list)
        else list(tensors)
    )
    for x in xs:
        if x.ndim > 1:
            raise ShapeError(
                f"meshgrid: Expected 0D or 1D tensor in the tensor list but got: {x.aval}{here()}"
            )
    swap = indexing == "xy" and len(xs) > 1
    if swap:
        xs[0], xs[1] = xs[1], xs[0]
    shape = tuple(x.numel() for x in xs)
    out = [
        expand_to(movement.reshape_to(x, tuple(n if i == j else 1 for j in range(len(xs)))), shape)
        for i, (x, n) in enumerate(zip(xs, shape, strict=True))
    ]
    if swap:
        out[0], out[1] = out[1], out[0]
    return tuple(out)


@dims_by_any_name
def repeat_interleave(
    x: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Every element (or slice along dim) `repeats` times in a row; a tensor says how often each.

    Of repeats alone: the indices 0, 1, ..., each as often as it says.
    """
    if repeats is None:
        return _repeated(x)
    if isinstance(repeats, Tensor) and repeats.numel() != 1:
        if dim is None:
            x, dim = movement.reshape_to(x, (x.numel(),)), 0
        d = normal_dim("repeat_interleave", dim, x.ndim)
        if repeats.shape != (x.shape[d],):
            raise ShapeError(
                "repeat_interleave: repeats must have the same size as input along dim, but got"
                f" repeats {repeats.aval} and x {x.aval}{here()}"
            )
        return getitem(x, (slice(None),) * d + (_repeated(repeats),))
    repeats = int(repeats)
    if repeats < 0:
        raise ShapeError(f"repeat_interleave: Repeats must be non-negative, got {repeats}{here()}")
    if dim is None:
        x, dim = movement.reshape_to(x, (x.numel(),)), 0
    d = normal_dim("repeat_interleave", dim, x.ndim)
    wide = movement.reshape_to(x, (*x.shape[: d + 1], 1, *x.shape[d + 1 :]))
    full = expand_to(wide, (*x.shape[: d + 1], repeats, *x.shape[d + 1 :]))
    return movement.reshape_to(full, (*x.shape[:d], x.shape[d] * repeats, *x.shape[d + 1 :]))


def _repeated(repeats: Tensor) -> Tensor:
    if repeats.dtype.category != 1:
        raise UnsupportedDtypeError(
            f'repeat_interleave: "repeat_interleave_cpu" not implemented for {repeats.aval}{here()}'
        )
    if repeats.ndim != 1:
        raise ShapeError(
            f"repeat_interleave: repeat_interleave only accept 1D vector as repeat, got"
            f" {repeats.aval}{here()}"
        )
    counts = repeats.array("repeat_interleave()")
    if counts.size and counts.min() < 0:
        raise ShapeError(f"repeat_interleave: repeats can not be negative, got {counts}{here()}")
    return wrap(np.repeat(np.arange(len(counts), dtype=counts.dtype), counts), None)


def _triangle(name: str, keep: Callable[..., np.ndarray]) -> Callable[..., Tensor]:
    def op(x: Tensor, diagonal: int = 0) -> Tensor:
        if x.ndim < 2:
            raise ShapeError(
                f"{name}: input tensor must have at least 2 dimensions, got {x.aval}{here()}"
            )
        mask = wrap(keep(np.ones(x.shape[-2:], bool), diagonal), None)
        return ew.where(expand_to(mask, x.shape), x, constant(0, x.value.dtype, x.shape))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = (
        f"The {'lower' if name == 'tril' else 'upper'} triangle of matrices, zeros elsewhere."
    )
    return op


tril, triu = _triangle("tril", np.tril), _triangle("triu", np.triu)


__all__ = [
    "broadcast_tensors", "broadcast_to", "cat", "chunk", "concat", "concatenate", "expand",
    "expand_as", "flatten", "flip", "hstack", "meshgrid", "movedim", "narrow", "permute",
    "repeat", "repeat_interleave", "reshape", "roll", "select", "split", "squeeze", "stack",
    "t", "tile", "transpose", "tril", "triu", "unbind", "unflatten", "unsqueeze", "view",
    "vstack",
]  # fmt: skip
