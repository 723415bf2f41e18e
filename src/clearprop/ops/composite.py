"""Ops made of other ops: shape functions, reductions with PyTorch's conventions, softmax, one_hot
and the like.

`dim`/`axis` and `keepdim`/`keepdims` are both accepted everywhere (`dims_by_any_name`).
"""

from __future__ import annotations

import builtins
import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from clearprop.core import Tensor, apply, apply1, as_dtype, bool_, dtype, int64, wrap
from clearprop.core.dtypes import FLOAT
from clearprop.core.tensor import TENSORS
from clearprop.errors import DtypeError, ShapeError
from clearprop.ops import elementwise as ew
from clearprop.ops import movement, reduce
from clearprop.ops.broadcasting import (
    broadcast,
    cast,
    constant,
    expand_to,
    here,
    normal_dim,
    normal_dims,
    promote_types_of,
    tensor_of,
)
from clearprop.ops.create import arange, sizes
from clearprop.ops.index import gather, getitem

F = TypeVar("F", bound=Callable[..., Any])

_ALIASES = {"axis": "dim", "keepdims": "keepdim"}


def dims_by_any_name(f: F) -> F:
    """Let `f` be called with NumPy's `axis` and `keepdims`, too."""

    @functools.wraps(f)
    def named(*args: Any, **kwargs: Any) -> Any:
        if not kwargs:
            return f(*args)
        if not kwargs.keys().isdisjoint(_ALIASES):
            for alias, name in _ALIASES.items():
                if alias in kwargs:
                    if name in kwargs:
                        raise TypeError(
                            f"{f.__name__}: got both {name}= and {alias}=; they mean the"
                            f" same{here()}"
                        )
                    kwargs[name] = kwargs.pop(alias)
        return f(*args, **kwargs)

    return named  # type: ignore[return-value]


# ---------------------------------------------------------------------- shapes
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
    if math.prod(full) != total or builtins.min(full, default=0) < 0:
        raise ShapeError(
            f"reshape: shape '{list(wanted)}' is invalid for input of size {total}: x is"
            f" {x.aval}{here()}"
        )
    return movement.reshape_to(x, full)


def view(x: Tensor, *shape: Any) -> Tensor:
    """reshape that never copies; `view(dtype)` is not offered."""
    y = reshape(x, *shape)
    if (
        x.value.__class__ is np.ndarray
        and y is not x
        and x.numel()
        and not np.may_share_memory(x.value, y.value)
    ):
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
    full = tuple(x.shape[d] // known if n == -1 else n for n in sizes)
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
    dims = tuple(normal_dim("permute", d, x.ndim) for d in given)
    if sorted(dims) != list(range(x.ndim)):
        raise ShapeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the"
            f" length of the desired ordering of dimensions i.e. input.dim() = {x.ndim} is not"
            f" equal to len(dims) = {list(given)}{here()}"
        )
    return movement.permute(x, dims)


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    a, b = normal_dim("transpose", dim0, x.ndim), normal_dim("transpose", dim1, x.ndim)
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
def flip(x: Tensor, dim: Any) -> Tensor:
    """Elements in reverse order along the given axes."""
    return apply(movement.flip_p, x, dims=normal_dims("flip", dim, x.ndim))


@dims_by_any_name
def roll(x: Tensor, shifts: Any, dim: Any = None) -> Tensor:
    """Elements moved along axes, what falls off the end comes in at the front."""
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
    d = normal_dim("narrow", dim, x.ndim)
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
    d = normal_dim("split", dim, x.ndim)
    n = x.shape[d]
    if isinstance(split_size, int):
        if split_size <= 0:
            raise ShapeError(f"split: split_size must be positive, got {split_size}{here()}")
        lengths = [builtins.min(split_size, n - i) for i in range(0, n, split_size)] or [0]
    else:
        lengths = list(split_size)
        if builtins.sum(lengths) != n:
            raise ShapeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size"
                f" at dimension {d}), but got split_sizes={lengths}{here()}"
            )
    starts = np.cumsum([0, *lengths])
    return tuple(narrow(x, d, int(a), int(k)) for a, k in zip(starts, lengths, strict=False))


@dims_by_any_name
def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size along dim."""
    d = normal_dim("chunk", dim, x.ndim)
    return split(x, builtins.max(1, -(-x.shape[d] // chunks)), d)


@dims_by_any_name
def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """All slices along dim."""
    d = normal_dim("unbind", dim, x.ndim)
    return tuple(select(x, d, i) for i in range(x.shape[d]))


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
        if x.ndim != ndim or builtins.any(
            a != b for k, (a, b) in enumerate(zip(x.shape, kept[0].shape, strict=True)) if k != axis
        ):
            raise ShapeError(
                f"cat: Sizes of tensors must match except in dimension {axis}. Expected"
                f" {list(kept[0].shape)} but got {list(x.shape)} for tensor number {i} in the"
                f" list.{here()}"
            )
    return apply(movement.concat_p, *(cast(x, d) for x in kept), dim=axis)


concat = concatenate = cat


@dims_by_any_name
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    xs = list(tensors)
    if not xs:
        raise ShapeError(f"stack expects a non-empty TensorList{here()}")
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
        out = [transpose(x, 0, 1) for x in out]
    return tuple(out)


@dims_by_any_name
def repeat_interleave(x: Tensor, repeats: int, dim: int | None = None) -> Tensor:
    """Every element (or slice along dim) `repeats` times in a row."""
    if dim is None:
        x, dim = movement.reshape_to(x, (x.numel(),)), 0
    d = normal_dim("repeat_interleave", dim, x.ndim)
    wide = movement.reshape_to(x, (*x.shape[: d + 1], 1, *x.shape[d + 1 :]))
    full = expand_to(wide, (*x.shape[: d + 1], repeats, *x.shape[d + 1 :]))
    return movement.reshape_to(full, (*x.shape[:d], x.shape[d] * repeats, *x.shape[d + 1 :]))


def _triangle(name: str, keep: Callable[..., np.ndarray]) -> Callable[..., Tensor]:
    def op(x: Tensor, diagonal: int = 0) -> Tensor:
        mask = wrap(keep(np.ones(x.shape[-2:], bool), diagonal), None)
        return ew.where(expand_to(mask, x.shape), x, constant(0, x.value.dtype, x.shape))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = (
        f"The {'lower' if name == 'tril' else 'upper'} triangle of matrices, zeros elsewhere."
    )
    return op


tril, triu = _triangle("tril", np.tril), _triangle("triu", np.triu)


# ---------------------------------------------------------------------- reductions
ALL_DIMS = [tuple(range(ndim)) for ndim in range(65)]  # NumPy's most dimensions: 64
ALL_AXES = [({"dim": d, "keepdim": False}, {"dim": d, "keepdim": True}) for d in ALL_DIMS]


def _total(x: Tensor, op: str, d: dtype | None) -> Tensor:
    x = tensor_of(x, op)
    if d is not None:
        return cast(x, as_dtype(d))
    return x if x.value.dtype.kind == "f" else cast(x, int64)


@dims_by_any_name
def sum(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Tensor:
    """Sum over dim (all axes when None); integers and bools give int64.

    >>> import clearprop as cp
    >>> cp.sum(cp.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([4., 6.])
    """
    if dim is None and dtype is None and x.__class__ in TENSORS and x.value.dtype.kind == "f":
        return apply1(reduce.sum_p, x, ALL_AXES[len(x.value.shape)][builtins.bool(keepdim)])
    x = _total(x, "sum", dtype)
    dims = ALL_DIMS[x.ndim] if dim is None else normal_dims("sum", dim, x.ndim)
    return apply1(reduce.sum_p, x, {"dim": dims, "keepdim": keepdim})


@dims_by_any_name
def prod(
    x: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: dtype | None = None
) -> Tensor:
    """Product over dim (all axes when None); the gradient is exact at zeros."""
    x = _total(x, "prod", dtype)
    return apply(reduce.prod_p, x, dim=normal_dims("prod", dim, x.ndim), keepdim=keepdim)


def _needs_float(op: str, x: Tensor) -> None:
    if x.dtype.category != FLOAT:
        name = {"int64": "Long", "int32": "Int", "bool": "Bool"}.get(x.dtype.name, x.dtype.name)
        raise DtypeError(
            f"{op}(): could not infer output dtype. Input dtype must be either a floating point or"
            f" complex dtype. Got: {name}; x is {x.aval}: use x.float(){here()}"
        )


def _count(x: Tensor, dims: tuple[int, ...]) -> int:
    return math.prod(x.shape[d] for d in dims)


@dims_by_any_name
def mean(
    x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None
) -> Tensor:
    """Arithmetic mean over dim (all axes when None)."""
    x = x if dtype is None else cast(x, as_dtype(dtype))
    _needs_float("mean", x)
    dims = normal_dims("mean", dim, x.ndim)
    total = apply(reduce.sum_p, x, dim=dims, keepdim=keepdim)
    return total / _count(x, dims) if _count(x, dims) else total * math.nan


@dims_by_any_name
def var(
    x: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float = 1,
) -> Tensor:
    """Variance over dim: sum (x - mean)^2 / (n - correction); correction 1 by default (unbiased), 0
    divides by n.
    """
    _needs_float("var", x)
    dims = normal_dims("var", dim, x.ndim)
    less = correction if unbiased is None else int(unbiased)
    free = _count(x, dims) - less
    if free <= 0:
        warnings.warn(
            f"var(): degrees of freedom is <= 0: {_count(x, dims)} elements, correction {less}; the"
            " result is nan or inf",
            stacklevel=3,
        )
    centred = x - mean(x, dims, True) if dims else x - x
    squares = apply(reduce.sum_p, centred * centred, dim=dims, keepdim=keepdim)
    return squares / free if free > 0 else squares / 0.0


@dims_by_any_name
def std(
    x: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float = 1,
) -> Tensor:
    """Standard deviation over dim; the gradient at a constant is 0, not nan."""
    return safe_sqrt(var(x, dim, unbiased, keepdim, correction=correction))


def safe_sqrt(v: Tensor) -> Tensor:
    """sqrt(v) whose gradient at 0 is 0: the root of 1 is taken there, and put back to 0."""
    zero = v == 0
    return ew.where(
        zero,
        constant(0, v.value.dtype, v.shape),
        ew.sqrt(ew.where(zero, constant(1, v.value.dtype, v.shape), v)),
    )


class Extreme(NamedTuple):
    """(values, indices), as `max(dim=...)` gives them."""

    values: Tensor
    indices: Tensor


def _extreme(name: str, prim: Any, index_prim: Any, pair: Any) -> Callable[..., Any]:
    def op(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
        if isinstance(dim, Tensor):
            return pair(x, dim)
        if not x.numel() and dim is None:
            raise ShapeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify"
                f" the reduction dim with the 'dim' argument.{here()}"
            )
        if dim is None:
            return apply(prim, x, dim=normal_dims(name, None, x.ndim), keepdim=False)
        if not x.ndim:
            return Extreme(x, wrap(np.zeros((), np.int64), None))
        d = normal_dim(name, dim, x.ndim)
        index = apply(index_prim, x, dim=d, keepdim=True)
        values = gather(x, d, index)
        return Extreme(values, index) if keepdim else Extreme(squeeze(values, d), squeeze(index, d))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = (
        f"The {name}imum of all elements (ties share the gradient), or (values, indices) along dim"
        f" (the first one gets it), or the elementwise {name}imum of two tensors."
    )
    return dims_by_any_name(op)


max = _extreme("max", reduce.amax_p, reduce.argmax_p, ew.maximum)
min = _extreme("min", reduce.amin_p, reduce.argmin_p, ew.minimum)


@dims_by_any_name
def amax(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Largest element over dim; ties share the gradient evenly."""
    return apply(reduce.amax_p, x, dim=normal_dims("amax", dim, x.ndim), keepdim=keepdim)


@dims_by_any_name
def amin(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Smallest element over dim; ties share the gradient evenly."""
    return apply(reduce.amin_p, x, dim=normal_dims("amin", dim, x.ndim), keepdim=keepdim)


def _argument(name: str, prim: Any) -> Callable[..., Tensor]:
    def op(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
        if not x.numel() and (dim is None or not x.shape[normal_dim(name, dim, x.ndim)]):
            raise IndexError(
                f"{name}(): Expected reduction dim to have non-zero size, x is {x.aval}{here()}"
            )
        if dim is None:
            flat = apply(prim, movement.reshape_to(x, (x.numel(),)), dim=0, keepdim=False)
            return movement.reshape_to(flat, (1,) * x.ndim) if keepdim else flat
        if not x.ndim:
            return wrap(np.zeros((), np.int64), None)
        return apply(prim, x, dim=normal_dim(name, dim, x.ndim), keepdim=keepdim)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"Index of the first {name[3:]}imum along dim (of the flattened tensor when None)."
    return dims_by_any_name(op)


argmax, argmin = _argument("argmax", reduce.argmax_p), _argument("argmin", reduce.argmin_p)


@dims_by_any_name
def any(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether any element over dim is non-zero."""
    return apply(reduce.any_p, cast_bool(x), dim=normal_dims("any", dim, x.ndim), keepdim=keepdim)


@dims_by_any_name
def all(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements over dim are non-zero."""
    return apply(reduce.all_p, cast_bool(x), dim=normal_dims("all", dim, x.ndim), keepdim=keepdim)


def cast_bool(x: Tensor) -> Tensor:
    return x if x.dtype is bool_ else ew.ne(x, 0)


@dims_by_any_name
def count_nonzero(x: Tensor, dim: Any = None) -> Tensor:
    """Number of non-zero elements over dim."""
    return sum(cast_bool(x), dim)


@dims_by_any_name
def cumsum(x: Tensor, dim: int, *, dtype: dtype | None = None) -> Tensor:
    """Running sum along dim."""
    x = _total(x, "cumsum", dtype)
    return x if not x.ndim else apply(reduce.cumsum_p, x, dim=normal_dim("cumsum", dim, x.ndim))


@dims_by_any_name
def cumprod(x: Tensor, dim: int, *, dtype: dtype | None = None) -> Tensor:
    """Running product along dim; the gradient is exact at zeros."""
    x = _total(x, "cumprod", dtype)
    return x if not x.ndim else reduce.cumprod_of(x, normal_dim("cumprod", dim, x.ndim))


@dims_by_any_name
def logsumexp(x: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))) over dim, shifted by the maximum so that it neither overflows nor loses
    digits.
    """
    x = cast(x, as_dtype(float)) if x.dtype.category != FLOAT else x
    top = finite_max(x, normal_dims("logsumexp", dim, x.ndim))
    total = ew.log(sum(ew.exp(x - expand_to(top, x.shape)), dim, True)) + top
    return (
        total
        if keepdim
        else movement.reshape_to(
            total, reduce.reduced(x.shape, normal_dims("logsumexp", dim, x.ndim), False)
        )
    )


def finite_max(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The largest element over dims as a constant shift (0 where it is infinite, so that inf - inf
    does not arise).
    """
    top = apply(reduce.amax_p, x.detach(), dim=dims, keepdim=True)
    return ew.where(ew.isfinite(top), top, constant(0, top.value.dtype, top.shape))


def _softmax_input(op: str, x: Tensor, dim: Any, d: dtype | None) -> tuple[Tensor, tuple[int, ...]]:
    x = x if d is None else cast(x, as_dtype(d))
    if x.dtype.category != FLOAT:
        raise NotImplementedError(
            f'{op}: "{op}_lastdim_kernel_impl" not implemented for {x.aval}; use x.float(){here()}'
        )
    if dim is None:
        raise TypeError(f"{op}: say over which dim, e.g. {op}(x, dim=-1){here()}")
    return x, ((normal_dim(op, dim, x.ndim),) if x.ndim else ())


@dims_by_any_name
def softmax(x: Tensor, dim: int | None = None, *, dtype: dtype | None = None) -> Tensor:
    """e^x / sum(e^x) along dim, shifted by the maximum."""
    x, dims = _softmax_input("softmax", x, dim, dtype)
    top = apply(reduce.amax_p, x.detach(), dim=dims, keepdim=True)
    e = ew.exp(x - expand_to(top, x.shape))
    return e / expand_to(apply(reduce.sum_p, e, dim=dims, keepdim=True), x.shape)


@dims_by_any_name
def log_softmax(x: Tensor, dim: int | None = None, *, dtype: dtype | None = None) -> Tensor:
    """x - log(sum(e^x)) along dim, shifted by the maximum: keeps the digits that log(softmax(x))
    loses.
    """
    x, dims = _softmax_input("log_softmax", x, dim, dtype)
    shifted = x - expand_to(apply(reduce.amax_p, x.detach(), dim=dims, keepdim=True), x.shape)
    total = ew.log(apply(reduce.sum_p, ew.exp(shifted), dim=dims, keepdim=True))
    return shifted - expand_to(total, x.shape)


@dims_by_any_name
def norm(x: Tensor, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
    """(sum |x|^p)^(1/p) over dim; p = inf the largest |x|, p = 0 the count. The gradient at the
    zero vector is 0.
    """
    if p == "fro":
        p = 2
    if p == math.inf:
        return amax(ew.abs(x), dim, keepdim)
    if p == -math.inf:
        return amin(ew.abs(x), dim, keepdim)
    if p == 0:
        return sum(cast(ew.ne(x, 0), x.dtype), dim, keepdim)
    if p == 1:
        return sum(ew.abs(x), dim, keepdim)
    if p == 2:
        return safe_sqrt(sum(x * x, dim, keepdim))
    size = ew.abs(x)
    zero = size == 0
    total = sum(
        ew.where(
            zero,
            constant(0, x.value.dtype, x.shape),
            ew.pow(ew.where(zero, constant(1, x.value.dtype, x.shape), size), p),
        ),
        dim,
        keepdim,
    )
    nothing = total == 0
    root = ew.pow(ew.where(nothing, constant(1, total.value.dtype, total.shape), total), 1 / p)
    return ew.where(nothing, constant(0, total.value.dtype, total.shape), root)


# ---------------------------------------------------------------------- sorting
@dims_by_any_name
def argsort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Indices that sort x along dim (always stable)."""
    a = x.array("argsort()")
    if not a.ndim:
        return wrap(np.zeros((), np.int64), None)
    d = normal_dim("argsort", dim, x.ndim)
    if descending:  # a stable descending order: sort the reversed sequence, and reverse
        n = a.shape[d]
        return wrap(
            np.ascontiguousarray(np.flip(n - 1 - np.argsort(np.flip(a, d), d, kind="stable"), d)),
            None,
        )
    return wrap(np.argsort(a, d, kind="stable"), None)


@dims_by_any_name
def sort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Extreme:
    """(values, indices) in order along dim."""
    index = argsort(x, dim, descending)
    return Extreme(gather(x, dim, index) if x.ndim else x, index)


@dims_by_any_name
def topk(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Extreme:
    """The k largest (or smallest) along dim: (values, indices), in order."""
    d = normal_dim("topk", dim, x.ndim)
    if not 0 <= k <= x.shape[d]:
        raise ShapeError(
            f"topk: selected index k out of range: k is {k}, dimension {d} has size"
            f" {x.shape[d]}{here()}"
        )
    index = narrow(argsort(x, d, descending=largest), d, 0, k)
    return Extreme(gather(x, d, index), index)


@dims_by_any_name
def median(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element (the lower one of an even count): of all elements, or (values, indices)
    along dim.
    """
    if dim is None:
        flat = movement.reshape_to(x, (x.numel(),))
        return median(flat, 0).values
    d = normal_dim("median", dim, x.ndim)
    index = narrow(argsort(x, d), d, (x.shape[d] - 1) // 2, 1)
    values = gather(x, d, index)
    return Extreme(values, index) if keepdim else Extreme(squeeze(values, d), squeeze(index, d))


# ---------------------------------------------------------------------- others
def one_hot(x: Tensor, num_classes: int = -1) -> Tensor:
    """int64 (..., num_classes) with a 1 at the class of each element."""
    if x.dtype is not int64:
        raise DtypeError(
            f"one_hot: is only applicable to index tensor of type int64, got {x.aval}{here()}"
        )
    if num_classes == -1:
        num_classes = int(x.array("one_hot() without num_classes").max()) + 1
    return cast(
        ew.eq(
            expand_to(unsqueeze(x, -1), (*x.shape, num_classes)),
            expand_to(arange(num_classes), (*x.shape, num_classes)),
        ),
        int64,
    )


def clone(x: Tensor) -> Tensor:
    """A copy in memory of its own; gradients pass through."""
    return apply(movement.clone_p, x)


def contiguous(x: Tensor) -> Tensor:
    """x itself if its elements lie in row-major order, else a copy."""
    return x if x.value.__class__ is not np.ndarray or x.value.flags.c_contiguous else clone(x)


def diag(x: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector as its diagonal."""
    k = diagonal
    if x.ndim == 1:
        n = x.shape[0] + builtins.abs(k)
        mask = wrap(np.eye(n, k=k, dtype=bool), None)
        rows = movement.unslice(x, (n,), (builtins.max(0, -k),), (1,))
        return ew.where(
            mask, expand_to(unsqueeze(rows, 1), (n, n)), constant(0, x.value.dtype, (n, n))
        )
    n = builtins.max(
        0, builtins.min(x.shape[0] + builtins.min(k, 0), x.shape[1] - builtins.max(k, 0))
    )
    i = arange(n)
    return getitem(x, (i + builtins.max(0, -k), i + builtins.max(0, k)))


def trace(x: Tensor) -> Tensor:
    """Sum of the diagonal of a matrix."""
    return sum(diag(x))


def allclose(
    x: Tensor, y: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether |x - y| <= atol + rtol |y| everywhere."""
    return bool(
        np.allclose(
            x.detach().array("allclose()"), y.detach().array("allclose()"), rtol, atol, equal_nan
        )
    )


def equal(x: Tensor, y: Tensor) -> bool:
    """Whether x and y have the same shape and elements."""
    return x.shape == y.shape and bool(
        np.array_equal(x.detach().array("equal()"), y.detach().array("equal()"))
    )


__all__ = [
    "all",
    "allclose",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "argsort",
    "broadcast_tensors",
    "broadcast_to",
    "cat",
    "chunk",
    "clone",
    "concat",
    "concatenate",
    "contiguous",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "diag",
    "equal",
    "expand",
    "expand_as",
    "flatten",
    "flip",
    "hstack",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "median",
    "meshgrid",
    "min",
    "movedim",
    "narrow",
    "norm",
    "one_hot",
    "permute",
    "prod",
    "repeat",
    "repeat_interleave",
    "reshape",
    "roll",
    "select",
    "softmax",
    "sort",
    "split",
    "squeeze",
    "stack",
    "std",
    "sum",
    "t",
    "tile",
    "topk",
    "trace",
    "transpose",
    "tril",
    "triu",
    "unbind",
    "unflatten",
    "unsqueeze",
    "var",
    "view",
    "vstack",
]
