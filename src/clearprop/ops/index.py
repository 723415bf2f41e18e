"""Reading and writing by index: what `x[...]` and `x[...] = v` mean, gather and scatter.

Integers, slices, None and ... become `slice` and `reshape` views. Integer and bool tensors become
`take`, whose adjoint is `put_add`; repeated indices add up in the gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.core import (
    ALIGNED,
    Aval,
    Example,
    Indexed,
    Tensor,
    apply,
    bool_,
    float64,
    int32,
    int64,
    primitive,
    wrap,
)
from clearprop.core.tensor import known
from clearprop.errors import DtypeError, ShapeError
from clearprop.ops.broadcasting import (
    broadcast_shapes,
    cast,
    dims_by_any_name,
    expand_to,
    here,
    normal_dim,
    tensor_as,
    zeros_for,
)
from clearprop.ops.elementwise import where
from clearprop.ops.movement import permute, reshape_to, slice_

_I = np.array([2, 0, 2])
_J = np.array([1, 1, 0])
_TAKE = (
    Example((Aval((4, 3), float64), Aval((3,), int64)), {}, (None, _I)),
    Example((Aval((4, 3), float64), Aval((3,), int64), Aval((3,), int64)), {}, (None, _I, _J)),
)


def _take_rule(i: int, g: Tensor, _out: Any, x_aval: Any, *idx: Any) -> Tensor:
    return put_add(zeros_of(x_aval, g), idx, g)


def zeros_of(x_aval: Any, g: Tensor) -> Tensor:
    return zeros_for(Aval(x_aval.shape, g.dtype))


def _widened(size: int, mapped: Any, x: Tensor, n: int, more: Any) -> list[Tensor]:
    """x and the index of vmapped indexing over its first axes, the number of the example in front
    of it.
    """
    wide = [
        y if m else expand_to(reshape_to(y, (1, *y.shape)), (size, *y.shape))
        for y, m in zip((x, *more), mapped, strict=True)
    ]
    idx = wide[n:]
    numbers = wrap(np.arange(size).reshape(size, *(1,) * (idx[0].ndim - 1)), None)
    return [*wide[:n], expand_to(numbers, idx[0].shape), *idx]


def _batched_take(size: int, mapped: Any, x: Tensor, *idx: Tensor) -> Tensor:
    if mapped[0]:
        return apply(TAKE, *_widened(size, mapped, x, 1, idx))
    shape = next(i.shape for i, m in zip(idx, mapped[1:], strict=True) if m)
    return apply(TAKE, x, *(expand_to(i, shape) for i in idx))


def _batched_put(prim: Any) -> Any:
    def rule(size: int, mapped: Any, base: Tensor, values: Tensor, *idx: Tensor) -> Tensor:
        return apply(prim(), *_widened(size, mapped, base, 2, (values, *idx)))

    return rule


TAKE = primitive(
    "take",
    doc=(
        "x[i, j, ...] for integer arrays of one shape over the leading axes of x; the other axes"
        " stay whole."
    ),
    eager=lambda x, *idx: x[idx],
    shape=lambda x, *idx: Aval((*idx[0].shape, *x.shape[len(idx) :]), x.dtype),
    vjp=(_take_rule,),
    variadic=True,
    lower=Indexed(),
    batch=_batched_take,
    examples=_TAKE,
)


def _put_add(base: np.ndarray, values: np.ndarray, *idx: np.ndarray) -> np.ndarray:
    out = base.copy()
    if len(idx) == 1 and out.ndim > 1:  # element by element: several times as fast as by rows
        width = out[0].size if len(out) else 0
        places = np.asarray(idx[0]).reshape(-1, 1) * width + np.arange(width)
        np.add.at(out.reshape(-1), places.reshape(-1), values.reshape(-1))
    else:
        np.add.at(out, idx, values)
    return out


def _put(base: np.ndarray, values: np.ndarray, *idx: np.ndarray) -> np.ndarray:
    out = base.copy()
    out[idx] = values
    return out


def _put_add_rule(i: int, g: Tensor, _out: Any, _base: Any, _values: Any, *idx: Any) -> Tensor:
    return g if i == 0 else apply(TAKE, g, *idx)


def _put_rule(i: int, g: Tensor, _out: Any, _base: Any, values_aval: Any, *idx: Any) -> Tensor:
    if i == 0:
        return apply(PUT, g, zeros_of(values_aval, g), *idx)
    return apply(TAKE, g, *idx)


_PUT = (
    Example(
        (Aval((4, 3), float64), Aval((3, 3), float64), Aval((3,), int64)), {}, (None, None, _I)
    ),
)
PUT_ADD = primitive(
    "put_add",
    doc="base with values added at the index; values of repeated indices add up.",
    eager=_put_add,
    shape=lambda base, values, *idx: base,
    vjp=(_put_add_rule,),
    variadic=True,
    lower=Indexed("add"),
    batch=_batched_put(lambda: PUT_ADD),
    examples=_PUT,
)
PUT = primitive(
    "put",
    doc="base with values written at the index.",
    eager=_put,
    shape=lambda base, values, *idx: base,
    vjp=(_put_rule,),
    variadic=True,
    lower=Indexed("set"),
    batch=_batched_put(lambda: PUT),
    examples=(
        Example(
            (Aval((4, 3), float64), Aval((2, 3), float64), Aval((2,), int64)),
            {},
            (None, None, np.array([2, 0])),
        ),
    ),
)

_ROWS = np.array([[0, 2], [1, 1]])
GATHER = primitive(
    "gather",
    doc="out[i][j] = x[index[i][j]][j] along dim (same rank as x).",
    eager=lambda x, index, *, dim: np.take_along_axis(x[_window(x, index, dim)], index, dim),
    shape=lambda x, index, *, dim: Aval(index.shape, x.dtype),
    vjp=(
        lambda g, _out, x_aval, index, *, dim: apply(
            SCATTER_ADD, zeros_for(Aval(x_aval.shape, g.dtype)), index, g, dim=dim
        ),
        None,
    ),
    lower=Indexed(along=True),
    batch=ALIGNED,
    examples=(Example((Aval((3, 2), float64), Aval((2, 2), int64)), {"dim": 0}, (None, _ROWS)),),
)


def _window(x: np.ndarray, index: np.ndarray, dim: int) -> tuple[slice, ...]:
    return tuple(slice(None) if d == dim else slice(0, n) for d, n in enumerate(index.shape))


def _places(index: np.ndarray, dim: int) -> tuple[np.ndarray, ...]:
    grid = np.ogrid[tuple(slice(0, n) for n in index.shape)]
    return tuple(index if d == dim else grid[d] for d in range(index.ndim))


def _scatter_add(base: np.ndarray, index: np.ndarray, src: np.ndarray, *, dim: int) -> np.ndarray:
    out = base.copy()
    np.add.at(out, _places(index, dim), src[tuple(map(slice, index.shape))])
    return out


SCATTER_ADD = primitive(
    "scatter_add",
    doc="base with src[i][j] added at base[index[i][j]][j] along dim.",
    eager=_scatter_add,
    shape=lambda base, index, src, *, dim: base,
    vjp=(
        lambda g, _out, _base, _index, _src, *, dim: g,
        None,
        lambda g, _out, _base, index, _src, *, dim: apply(GATHER, g, index, dim=dim),
    ),
    lower=Indexed("add", along=True),
    batch=ALIGNED,
    examples=(
        Example(
            (Aval((3, 2), float64), Aval((2, 2), int64), Aval((2, 2), float64)),
            {"dim": 0},
            (None, _ROWS, None),
        ),
    ),
)


def put_add(base: Tensor, idx: Any, values: Tensor) -> Tensor:
    return apply(PUT_ADD, base, values, *idx)


def checked_index(op: str, index: Tensor, size: int) -> Tensor:
    """index with negative entries counted from the end; IndexError where out of range."""
    if index.dtype.category != 1:
        raise IndexError(
            f"{op}: tensors used as indices must be long, int, byte or bool tensors, got"
            f" {index.aval}{here()}"
        )
    index = cast(index, int64)
    value = known(index)
    if value is not None and value.size:
        low, high = int(value.min()), int(value.max())
        if low < -size or high >= size:
            bad = high if high >= size else low
            raise IndexError(
                f"{op}: index {bad} is out of bounds for dimension with size {size}{here()}"
            )
        if low >= 0:
            return index
    return where(index < 0, index + size, index)


# ---------------------------------------------------------------------- x[...]
def _entries(x: Tensor, idx: Any) -> list[Any]:
    """The index as a list with one entry per axis of x (None entries aside): slices, ints, None,
    integer tensors.
    """
    parts = list(idx) if isinstance(idx, tuple) else [idx]
    out: list[Any] = []
    for part in parts:
        if isinstance(part, list | np.ndarray):
            array = np.asarray(part)
            part = wrap(array.astype(np.int64) if array.size == 0 else array, None)
        if isinstance(part, bool | np.bool_):
            raise IndexError(f"index: a plain bool is not supported as an index{here()}")
        if isinstance(part, Tensor) and part.dtype.category == 0:
            out += _nonzero_of(part)
        elif isinstance(part, Tensor) and part.ndim == 0:
            out.append(int(part))
        else:
            out.append(part)
    used = sum(p is not None and p is not Ellipsis for p in out)
    if used > x.ndim:
        raise IndexError(
            f"index: too many indices for tensor of dimension {x.ndim}: {used}, x is"
            f" {x.aval}{here()}"
        )
    dots = [i for i, p in enumerate(out) if p is Ellipsis]
    if len(dots) > 1:
        raise IndexError(f"index: only one ellipsis is allowed{here()}")
    at = dots[0] if dots else len(out)
    return out[:at] + [slice(None)] * (x.ndim - used) + out[at + len(dots) :]


def _nonzero_of(mask: Tensor) -> list[Tensor]:
    if not mask.ndim:
        raise IndexError(f"index: a 0-d bool tensor is not supported as an index{here()}")
    found = [wrap(i, None) for i in np.nonzero(mask.array("indexing with a bool tensor"))]
    for i, n in zip(found, mask.shape, strict=True):
        vars(i)["mask_size"] = n
    return found


def basic(x: Tensor, entries: list[Any]) -> tuple[Tensor, list[Tensor | None]]:
    """x after the slices, numbers and Nones; and per remaining axis its integer tensor, or None."""
    bounds: list[tuple[int, int, int]] = []  # start, stop and step per axis of x
    shape: list[int] = []
    tensors: list[Tensor | None] = []
    axis = 0
    for part in entries:
        if part is None:
            shape.append(1)
            tensors.append(None)
            continue
        n = x.value.shape[axis]
        if isinstance(part, slice):
            a, b, s = part.indices(n)
            if s <= 0:
                raise ValueError(f"index: step must be greater than zero; use flip(dims){here()}")
            b = max(a, b)
            bounds.append((a, b, s))
            shape.append(-(-(b - a) // s))
            tensors.append(None)
        elif isinstance(part, Tensor):
            size = getattr(part, "mask_size", n)
            if size != n:
                raise IndexError(
                    "index: The shape of the mask does not match the shape of the indexed tensor"
                    f" {list(x.shape)} at index {axis}{here()}"
                )
            bounds.append((0, n, 1))
            shape.append(n)
            tensors.append(checked_index("index", part, n))
        else:
            try:
                i = part.__index__()
            except AttributeError:
                raise IndexError(
                    "index: only integers, slices (`:`), ellipsis (`...`), None and long or byte"
                    f" Variables are valid indices (got {type(part).__name__}){here()}"
                ) from None
            if not -n <= i < n:
                raise IndexError(
                    f"index {i} is out of bounds for dimension {axis} with size {n}: x is"
                    f" {x.aval}{here()}"
                )
            i %= n
            bounds.append((i, i + 1, 1))
        axis += 1
    if bounds != [(0, n, 1) for n in x.value.shape]:
        starts, stops, steps = (list(column) for column in zip(*bounds, strict=True))
        x = slice_(x, starts, stops, steps)
    return reshape_to(x, tuple(shape)), tensors


def _order(ndim: int, tensors: list[Tensor | None]) -> tuple[list[int], int]:
    """(axes with the indexed ones first, where the index's own axes go in the result): NumPy's
    rule.
    """
    dims = [d for d in range(ndim) if tensors[d] is not None]
    rest = [d for d in range(ndim) if tensors[d] is None]
    adjacent = dims == list(range(dims[0], dims[0] + len(dims)))
    return dims + rest, dims[0] if adjacent else 0


def _indices(tensors: list[Tensor | None]) -> tuple[Tensor, ...]:
    found = [t for t in tensors if t is not None]
    shape = broadcast_shapes("index", *(t.shape for t in found))
    return tuple(expand_to(t, shape) for t in found)


def getitem(x: Tensor, idx: Any) -> Tensor:
    """`x[idx]`: numbers, slices, None and ... give a view; integer and bool tensors give a copy."""
    x, tensors = basic(x, _entries(x, idx))
    if all(t is None for t in tensors):
        return _alias(x)
    order, place = _order(x.ndim, tensors)
    picks = _indices(tensors)
    y = apply(TAKE, permute(x, tuple(order)), *picks)
    k = picks[0].ndim
    if not place:
        return y
    lead = list(range(k, k + place))
    return permute(y, (*lead, *range(k), *range(k + place, y.ndim)))


def _alias(x: Tensor) -> Tensor:
    return x


def setitem_value(
    x: Tensor, tensors: list[Tensor | None], value: Tensor, prim: Any = None
) -> Tensor:
    """x with `value` written where the integer tensors point (all axes of the basic part taken), or
    added by prim=PUT_ADD.
    """
    order, place = _order(x.ndim, tensors)
    picks = _indices(tensors)
    k = picks[0].ndim
    moved = permute(x, tuple(order))
    shape = (*picks[0].shape, *moved.shape[len(picks) :])
    natural = shape[k : k + place] + shape[:k] + shape[k + place :]
    if value.ndim > len(natural) and all(n == 1 for n in value.shape[: value.ndim - len(natural)]):
        value = reshape_to(value, value.shape[value.ndim - len(natural) :])
    value = (
        expand_to(value, natural)
        if value.ndim <= len(natural)
        and all(n in (1, m) for n, m in zip(value.shape[::-1], natural[::-1], strict=False))
        else value
    )
    if value.shape != natural:
        raise ShapeError(
            f"setitem: shape mismatch: value tensor of shape {list(value.shape)} cannot be"
            f" broadcast to indexing result of shape {list(natural)}{here()}"
        )
    turned = permute(
        value, (*range(place, place + k), *range(place), *range(place + k, len(natural)))
    )
    written = apply(prim or PUT, moved, turned, *picks)
    return permute(written, tuple(int(i) for i in np.argsort(order)))


# ---------------------------------------------------------------------- functions
@dims_by_any_name
def gather(x: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """out[i][j] = x[index[i][j]][j] for dim 0, x[i][index[i][j]] for dim 1, and so on.

    >>> import clearprop as cp
    >>> cp.gather(cp.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, cp.tensor([[1], [0]]))
    tensor([[2.],
            [3.]])
    """
    dim = normal_dim("gather", dim, x.ndim)
    index = long_index("gather", index)
    if not x.ndim or not index.ndim:
        shape = index.shape
        x, index = (reshape_to(t, t.shape or (1,)) for t in (x, index))
        return reshape_to(gather(x, dim, index), shape)
    if index.ndim != x.ndim:
        raise ShapeError(
            "gather: Index tensor must have the same number of dimensions as input tensor, got"
            f" {index.aval} and {x.aval}{here()}"
        )
    if any(d != dim and n > m for d, (n, m) in enumerate(zip(index.shape, x.shape, strict=True))):
        raise ShapeError(
            f"gather: Size does not match at dimension: expected index {list(index.shape)} to be no"
            f" larger than self {list(x.shape)} apart from dimension {dim}{here()}"
        )
    _within("gather", index, dim, x.shape[dim])
    return apply(GATHER, x, index, dim=dim)


def long_index(op: str, index: Tensor) -> Tensor:
    """An int32 or int64 index as int64."""
    if index.dtype not in (int32, int64):
        raise DtypeError(f"{op}(): Expected dtype int32/int64 for index, got {index.aval}{here()}")
    return cast(index, int64)


def _within(op: str, index: Tensor, dim: int, size: int) -> None:
    """A RuntimeError for an index out of range; negative ones are, too."""
    value = known(index)
    if value is not None and value.size and not 0 <= value.min() <= value.max() < size:
        bad = int(value.min() if value.min() < 0 else value.max())
        raise ShapeError(
            f"{op}: index {bad} is out of bounds for dimension {dim} with size {size}{here()}"
        )


@dims_by_any_name
def take_along_dim(x: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """gather whose index broadcasts against x except along dim; dim None: over the flattened
    tensor.
    """
    if indices.dtype not in (int64, int32):
        raise DtypeError(
            f"take_along_dim(): dtype of indices should be Long but got {indices.aval}{here()}"
        )
    indices = cast(indices, int64)
    if dim is None:
        indices = checked_index("take_along_dim", indices, x.numel())
        return gather(reshape_to(x, (x.numel(),)), 0, reshape_to(indices, (indices.numel(),)))
    if x.ndim != indices.ndim:
        raise ShapeError(
            "take_along_dim(): input and indices should have the same number of dimensions, but got"
            f" {x.aval} and {indices.aval}{here()}"
        )
    if not x.ndim:
        return gather(x, dim, indices)
    dim = normal_dim("take_along_dim", dim, x.ndim)
    apart = [(*t.shape[:dim], 1, *t.shape[dim + 1 :]) for t in (x, indices)]
    common = broadcast_shapes("take_along_dim", *apart)
    full, shape = ((*common[:dim], t.shape[dim], *common[dim + 1 :]) for t in (x, indices))
    indices = checked_index("take_along_dim", indices, x.shape[dim])
    return gather(expand_to(x, full), dim, expand_to(indices, shape))


@dims_by_any_name
def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of x along dim that a 1-D integer tensor names."""
    dim = normal_dim("index_select", dim, x.ndim)
    if index.ndim > 1:
        raise IndexError(
            f"index_select(): Index is supposed to be a vector, got {index.aval}{here()}"
        )
    index = reshape_to(long_index("index_select", index), (index.numel(),))
    value = known(index)
    if value is not None and value.size and value.min() < 0:
        raise IndexError(f"index_select(): index out of range in self: {int(value.min())}{here()}")
    if not x.ndim:
        return reshape_to(getitem(reshape_to(x, (1,)), index), ())
    return getitem(x, (slice(None),) * dim + (index,))


def masked_fill(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    """x with `value` where the mask is True; the gradient there is 0."""
    if isinstance(value, Tensor) and value.ndim:
        raise ShapeError(
            "masked_fill: masked_fill_ only supports a 0-dimensional value tensor, but got"
            f" {value.aval}; use where(mask, value, x){here()}"
        )
    return where(mask, tensor_as(value, x.dtype, "masked_fill"), x)


def masked_select(x: Tensor, mask: Tensor) -> Tensor:
    """The elements of x where the mask is True, as a 1-D tensor."""
    if mask.dtype is not bool_:
        raise DtypeError(f"masked_select: expected BoolTensor for mask, got {mask.aval}{here()}")
    shape = broadcast_shapes("masked_select", x.shape, mask.shape) or (1,)
    return getitem(expand_to(x, shape), expand_to(mask, shape))


def nonzero(x: Tensor, *, as_tuple: bool = False) -> Any:
    """Indices of the non-zero elements: int64 (count, x.ndim), or one vector per axis."""
    found = np.nonzero(np.atleast_1d(x.detach().array("nonzero()")))
    if as_tuple:
        return tuple(wrap(i, None) for i in found)
    return wrap(np.stack(found, 1)[:, : x.ndim], None)


__all__ = [
    "gather", "getitem", "index_select", "masked_fill", "masked_select", "nonzero",
    "take_along_dim",
]  # fmt: skip
