"""Writing by index, out of place: scatter, scatter_reduce, index_copy, index_put, put,
masked_scatter and parts written into a tensor. The in-place methods are made of these.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clearprop.core import (
    ALIGNED,
    Aval,
    Example,
    Indexed,
    Tensor,
    apply,
    float64,
    int64,
    primitive,
    wrap,
)
from clearprop.core.tensor import known
from clearprop.errors import DtypeError, ShapeError
from clearprop.ops import elementwise as ew
from clearprop.ops import movement, reductions
from clearprop.ops.broadcasting import (
    broadcast_shapes,
    cast,
    constant,
    dims_by_any_name,
    expand_to,
    here,
    is_one,
    normal_dim,
    tensor_as,
    zeros_for,
)
from clearprop.ops.index import (
    GATHER,
    PUT,
    PUT_ADD,
    SCATTER_ADD,
    _entries,
    _places,
    _within,
    basic,
    checked_index,
    getitem,
    long_index,
    put_add,
    setitem_value,
    zeros_of,
)
from clearprop.ops.out import takes_out

_ROWS = np.array([[0, 2], [1, 1]])
_EXAMPLE = Example(
    (Aval((3, 2), float64), Aval((2, 2), int64), Aval((2, 2), float64)),
    {"dim": 0},
    (None, _ROWS, None),
)


def _example(**params: Any) -> Example:
    return Example(_EXAMPLE.avals, {**_EXAMPLE.params, **params}, _EXAMPLE.values)


def _scatter(base: np.ndarray, index: np.ndarray, src: np.ndarray, *, dim: int) -> np.ndarray:
    out = base.copy()
    out[_places(index, dim)] = src
    return out


SCATTER = primitive(
    "scatter",
    doc="base with src[i][j] written at base[index[i][j]][j] along dim; the last of several stays.",
    eager=_scatter,
    shape=lambda base, index, src, *, dim: base,
    vjp=(
        lambda g, _out, _base, index, src_aval, *, dim: apply(
            SCATTER, g, index, zeros_of(src_aval, g), dim=dim
        ),
        None,
        lambda g, _out, _base, index, _src, *, dim: apply(GATHER, g, index, dim=dim),
    ),
    lower=Indexed("set", along=True),
    batch=ALIGNED,
    examples=(
        Example(_EXAMPLE.avals, {"dim": 0}, (None, np.array([[0, 2], [1, 1]]), None)),
        Example(_EXAMPLE.avals, {"dim": 1}, (None, np.array([[0, 1], [1, 0]]), None)),
    ),
)


def _scatter_mul(base: np.ndarray, index: np.ndarray, src: np.ndarray, *, dim: int) -> np.ndarray:
    out = base.copy()
    np.multiply.at(out, _places(index, dim), src)
    return out


SCATTER_MUL = primitive(
    "scatter_mul",
    doc="base with base[index[i][j]][j] multiplied by src[i][j] along dim; no factor may be 0.",
    eager=_scatter_mul,
    shape=lambda base, index, src, *, dim: base,
    vjp=(
        lambda g, out, base, _index, _src, *, dim: g * out / base,
        None,
        lambda g, out, _base, index, src, *, dim: apply(GATHER, g * out, index, dim=dim) / src,
    ),
    lower=Indexed("mul", along=True),
    batch=ALIGNED,
    domain=(0.5, 2.0),
    examples=(_example(),),
)


def _scatter_extreme(
    base: np.ndarray, index: np.ndarray, src: np.ndarray, *, dim: int, largest: bool
) -> np.ndarray:
    out = base.copy()
    (np.maximum if largest else np.minimum).at(out, _places(index, dim), src)
    return out


def _shares(g: Tensor, out: Tensor, base: Tensor, index: Tensor, src: Tensor, dim: int) -> Any:
    """(g divided by the number of winners, who wins of base, who wins of src)."""
    mine = cast(base == out, g.dtype)
    theirs = cast(src == apply(GATHER, out, index, dim=dim), g.dtype)
    return g / apply(SCATTER_ADD, mine, index, theirs, dim=dim), mine, theirs


def _base_rule(
    g: Tensor, out: Any, base: Any, index: Any, src: Any, *, dim: int, largest: bool
) -> Tensor:
    share, mine, _ = _shares(g, out, base, index, src, dim)
    return share * mine


def _src_rule(
    g: Tensor, out: Any, base: Any, index: Any, src: Any, *, dim: int, largest: bool
) -> Tensor:
    share, _, theirs = _shares(g, out, base, index, src, dim)
    return apply(GATHER, share, index, dim=dim) * theirs


SCATTER_EXTREME = primitive(
    "scatter_extreme",
    doc=(
        "The largest (or smallest) of base[index[i][j]][j] and every src[i][j] along dim; equal"
        " ones share the gradient."
    ),
    eager=_scatter_extreme,
    shape=lambda base, index, src, *, dim, largest: base,
    vjp=(_base_rule, None, _src_rule),
    lower=Indexed("extreme", along=True),
    batch=ALIGNED,
    examples=(_example(largest=True), _example(largest=False)),
)


# ---------------------------------------------------------------------- along one axis
def _prepared(op: str, x: Tensor, dim: int, index: Tensor, src: Any) -> tuple[Any, ...]:
    """(x, dim, index, src of the index's shape), checked; a 0-d x becomes a vector."""
    d = normal_dim(op, dim, x.ndim)
    index = long_index(op, index)
    if isinstance(src, Tensor) and src.dtype is not x.dtype:
        raise DtypeError(
            f"{op}(): Expected self.dtype to be equal to src.dtype, got {x.aval} and"
            f" {src.aval}{here()}"
        )
    if not x.ndim:
        x = movement.reshape_to(x, (1,))
    if not index.ndim:
        index = movement.reshape_to(index, (1,))
    if isinstance(src, Tensor) and not src.ndim:
        src = movement.reshape_to(src, (1,))
    if not isinstance(src, Tensor):
        src = constant(src, x.value.dtype, index.shape)
    if not index.numel():
        return x, d, index, None
    if index.ndim != x.ndim or src.ndim != x.ndim:
        raise ShapeError(
            f"{op}: Index tensor must have the same number of dimensions as self and src tensor,"
            f" got {index.aval}, {x.aval} and {src.aval}{here()}"
        )
    for i, (n, m, k) in enumerate(zip(index.shape, x.shape, src.shape, strict=True)):
        if n > k or (i != d and n > m):
            raise ShapeError(
                f"{op}: Expected index {list(index.shape)} to be no larger than self"
                f" {list(x.shape)} apart from dimension {d} and to be no larger in size than src"
                f" {list(src.shape)}{here()}"
            )
    _within(op, index, d, x.shape[d])
    if src.shape != index.shape:
        src = getitem(src, tuple(slice(n) for n in index.shape))
    return x, d, index, src


_REDUCE = {"sum": "sum", "add": "sum", "prod": "prod", "multiply": "prod", "mean": "mean"}
_REDUCE |= {"amax": "amax", "amin": "amin"}


@dims_by_any_name
def scatter(
    x: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Tensor:
    """x with src[i][j] (or one number) written at x[index[i][j]][j] along dim, out of place; with
    `reduce` 'add' or 'multiply' the value that was there is added to or multiplied.

    >>> import clearprop as cp
    >>> cp.scatter(cp.zeros(2, 3), 1, cp.tensor([[2], [0]]), 1.0)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    src = value if src is None else src
    if src is None:
        raise TypeError(f"scatter() missing src (a tensor) or value (a number){here()}")
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise DtypeError(
                f"scatter: reduce argument must be either add or multiply, got {reduce!r}{here()}"
            )
        src = src if isinstance(src, Tensor) else constant(src, x.value.dtype, index.shape)
        return scatter_reduce(x, dim, index, src, _REDUCE[reduce])
    shape = x.shape
    x, d, index, src = _prepared("scatter", x, dim, index, src)
    if src is None:
        return movement.reshape_to(apply(movement.clone_p, x), shape)
    return movement.reshape_to(apply(SCATTER, x, index, src, dim=d), shape)


@dims_by_any_name
def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """x with src[i][j] added at x[index[i][j]][j] along dim (out of place)."""
    shape = x.shape
    x, d, index, src = _prepared("scatter_add", x, dim, index, src)
    if src is None:
        return movement.reshape_to(apply(movement.clone_p, x), shape)
    return movement.reshape_to(apply(SCATTER_ADD, x, index, src, dim=d), shape)


@dims_by_any_name
def scatter_reduce(
    x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """x with src[i][j] combined into x[index[i][j]][j] along dim: 'sum', 'prod', 'mean', 'amax' or
    'amin'. Without include_self the old values at those places do not take part, and get no share
    of the gradient of equal ones (in PyTorch, they do).
    """
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise DtypeError(
            "scatter_reduce: reduce argument must be either sum, prod, mean, amax or amin, got"
            f" {reduce!r}{here()}"
        )
    shape = x.shape
    x, d, index, src = _prepared("scatter_reduce", x, dim, index, src)
    if src is None:
        return movement.reshape_to(apply(movement.clone_p, x), shape)
    ones = constant(1, x.value.dtype, index.shape)
    count = apply(SCATTER_ADD, zeros_for(x), index, ones, dim=d)
    if not include_self:
        x = ew.where(count > 0, _neutral(reduce, x), x)
    match reduce:
        case "sum":
            out = apply(SCATTER_ADD, x, index, src, dim=d)
        case "mean":
            total = apply(SCATTER_ADD, x, index, src, dim=d)
            count = ew.clamp(count + int(include_self), 1)
            floating = x.is_floating_point()
            out = total / count if floating else ew.floor_divide(total, count)
        case "prod":
            out = _scatter_prod(x, d, index, src)
        case _:
            out = apply(SCATTER_EXTREME, x, index, src, dim=d, largest=reduce == "amax")
    return movement.reshape_to(out, shape)


def _neutral(reduce: str, x: Tensor) -> Tensor:
    d = x.value.dtype
    if reduce in ("sum", "mean"):
        return zeros_for(x)
    if reduce == "prod":
        return constant(1, d, x.shape)
    if d.kind == "f":
        return constant(-math.inf if reduce == "amax" else math.inf, d, x.shape)
    info: Any = np.iinfo(d) if d.kind != "b" else None
    low, high = (False, True) if info is None else (int(info.min), int(info.max))
    return constant(low if reduce == "amax" else high, d, x.shape)


def _scatter_prod(x: Tensor, d: int, index: Tensor, src: Tensor) -> Tensor:
    """The product with zeros set apart: with one zero among the factors, only that one has a
    gradient, the product of the others.
    """
    if not x.is_floating_point():
        return apply(SCATTER_MUL, x, index, src, dim=d)
    none, some = x == 0, src == 0
    factors = apply(
        SCATTER_MUL,
        ew.where(none, constant(1, x.value.dtype, x.shape), x),
        index,
        ew.where(some, constant(1, src.value.dtype, src.shape), src),
        dim=d,
    )
    zeros = apply(SCATTER_ADD, cast(none, x.dtype), index, cast(some, x.dtype), dim=d)
    the_zero = apply(
        SCATTER_ADD,
        ew.where(none, x, zeros_for(x)),
        index,
        ew.where(some, src, zeros_for(src)),
        dim=d,
    )
    nothing = zeros_for(x)
    return ew.where(zeros == 0, factors, ew.where(zeros == 1, factors * the_zero, nothing))


# ---------------------------------------------------------------------- slices along one axis
def _slices(op: str, x: Tensor, dim: int, index: Tensor) -> tuple[int, Tensor]:
    d = normal_dim(op, dim, x.ndim)
    if index.ndim > 1:
        raise IndexError(f"{op}(): Index is supposed to be a vector, got {index.aval}{here()}")
    index = movement.reshape_to(long_index(op, index), (index.numel(),))
    return d, checked_index(op, index, x.shape[d] if x.ndim else 1)


def _source(op: str, x: Tensor, d: int, index: Tensor, source: Tensor) -> None:
    """An error if `source` does not have one slice of x's shape for each index."""
    if source.dtype is not x.dtype:
        raise DtypeError(
            f"{op}(): self and source must have the same scalar type (self and source expected to"
            f" have the same dtype), got {x.aval} and {source.aval}{here()}"
        )
    n = source.shape[d] if source.ndim else 1
    if n != index.shape[0]:
        kind: Any = IndexError if op in ("index_copy", "index_fill") else ShapeError
        raise kind(
            f"{op}(): Number of indices ({index.shape[0]}) should be equal to source.size(dim)"
            f" ({n}), for dim: {d}{here()}"
        )
    wanted = (*x.shape[:d], n, *x.shape[d + 1 :]) if x.ndim else source.shape
    if source.shape != wanted:
        raise ShapeError(
            f"{op}(): Source/destination tensor must have same slice shapes: source tensor shape"
            f" must match self tensor shape, excluding the specified dimension, got {x.aval} and"
            f" {source.aval}{here()}"
        )


def _front(x: Tensor, d: int) -> Tensor:
    return movement.permute(x, (d, *(i for i in range(x.ndim) if i != d)))


def _back(x: Tensor, d: int) -> Tensor:
    return movement.permute(x, (*range(1, d + 1), 0, *range(d + 1, x.ndim)))


@dims_by_any_name
def index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """x with alpha * source added to the slices along dim that index names (out of place)."""
    d, index = _slices("index_add", x, dim, index)
    _source("index_add", x, d, index, source)
    source = source if is_one(alpha) else source * alpha
    if not x.ndim:
        return x + movement.reshape_to(reductions.sum(source), ())
    return _back(put_add(_front(x, d), (index,), _front(source, d)), d)


@dims_by_any_name
def index_copy(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """x with the slices of `source` written at the places along dim that index names."""
    d, index = _slices("index_copy", x, dim, index)
    _source("index_copy", x, d, index, source)
    if not x.ndim:
        return movement.reshape_to(source, ())
    return _back(apply(PUT, _front(x, d), _front(source, d), index), d)


@dims_by_any_name
def index_fill(x: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """x with one number in the slices along dim that index names."""
    d, index = _slices("index_fill", x, dim, index)
    value = tensor_as(value, x.dtype, "index_fill")
    if value.ndim:
        raise ShapeError(
            "index_fill: only supports a 0-dimensional value tensor, but got tensor with"
            f" {value.ndim} dimension(s).{here()}"
        )
    shape = (*x.shape[:d], index.shape[0], *x.shape[d + 1 :]) if x.ndim else ()
    return index_copy(x, d, index, expand_to(value, shape))


@dims_by_any_name
def index_reduce(
    x: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """x with the slices of `source` combined into those along dim that index names: 'prod', 'mean',
    'amax' or 'amin'.
    """
    d, index = _slices("index_reduce", x, dim, index)
    shape = tuple(-1 if i == d else 1 for i in range(source.ndim))
    shape = tuple(index.shape[0] if n == -1 else n for n in shape)
    full = expand_to(movement.reshape_to(index, shape), source.shape)
    return scatter_reduce(x, d, full, source, reduce, include_self=include_self)


def index_put(x: Tensor, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """x with x[indices] = values (out of place); `accumulate` adds, and repeated places add up.

    >>> import clearprop as cp
    >>> cp.index_put(cp.zeros(3), (cp.tensor([0, 0]),), cp.tensor(1.0), accumulate=True)
    tensor([2., 0., 0.])
    """
    if isinstance(values, Tensor) and values.dtype is not x.dtype:
        raise DtypeError(
            "index_put: Index put requires the source and destination dtypes match, got"
            f" {x.aval} for the destination and {values.aval} for the source{here()}"
        )
    whole = slice(None)
    part, tensors = basic(x, _entries(x, tuple(whole if i is None else i for i in indices)))
    new = tensor_as(values, x.dtype, "index_put")
    if all(t is None for t in tensors):
        raise IndexError(f"index_put: indices must be tensors{here()}")
    return setitem_value(part, tensors, new, PUT_ADD if accumulate else PUT)


# ---------------------------------------------------------------------- in the flattened tensor
@takes_out
def take(x: Tensor, index: Tensor) -> Tensor:
    """Elements of the flattened tensor, in the shape of index."""
    if index.dtype is not int64:
        raise DtypeError(f"take(): Expected a long tensor for index, but got {index.aval}{here()}")
    return getitem(movement.reshape_to(x, (x.numel(),)), index)


def put(x: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """x with `source` written (or added) at places of the flattened tensor."""
    if index.dtype is not int64:
        raise DtypeError(f"put(): Expected a long tensor for index, but got {index.aval}{here()}")
    if source.dtype is not x.dtype:
        raise DtypeError(
            "put_(): self and source expected to have the same dtype, got"
            f" {x.aval} and {source.aval}{here()}"
        )
    if index.numel() != source.numel():
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, got"
            f" {source.aval} and {index.aval}{here()}"
        )
    n = index.numel()
    where = checked_index("put", movement.reshape_to(index, (n,)), x.numel())
    flat = movement.reshape_to(x, (x.numel(),))
    prim = PUT_ADD if accumulate else PUT
    return movement.reshape_to(apply(prim, flat, movement.reshape_to(source, (n,)), where), x.shape)


def masked_scatter(x: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """x with the elements of `source`, in order, where the mask is True."""
    if source.dtype is not x.dtype:
        raise DtypeError(
            "masked_scatter: expected self and source to have same dtypes but got"
            f" {x.aval} and {source.aval}{here()}"
        )
    shape = broadcast_shapes("masked_scatter", x.shape, mask.shape)
    x, mask = expand_to(x, shape), expand_to(mask, shape)
    given, n = known(mask), source.numel()
    if given is not None and int(given.sum()) > n:
        raise ShapeError(
            f"masked_scatter: expected source to have at least {int(given.sum())} elements, one for"
            f" each True of the mask, got {source.aval}{here()}"
        )
    if not n:
        return apply(movement.clone_p, x)
    flat = movement.reshape_to(mask, (mask.numel(),))
    place = ew.clamp(reductions.cumsum(cast(flat, int64), 0) - 1, 0, n - 1)
    values = getitem(movement.reshape_to(source, (n,)), place)
    return ew.where(mask, movement.reshape_to(values, shape), x)


# ---------------------------------------------------------------------- parts
def _written(op: str, x: Tensor, src: Tensor, d: int, start: int, stop: int, step: int) -> Tensor:
    """x with src at start, start + step, ... along d."""
    region = (slice(None),) * d + (slice(start, stop, step),)
    mask = np.zeros(x.shape, bool)
    mask[region] = True
    if src.shape != mask[region].shape:
        raise ShapeError(
            f"{op}: expected src to have a size equal to the slice of self. src size ="
            f" {list(src.shape)}, slice size = {list(mask[region].shape)}{here()}"
        )
    starts, steps = [0] * x.ndim, [1] * x.ndim
    starts[d], steps[d] = start, step
    full = movement.unslice(cast(src, x.dtype), x.shape, starts, steps)
    return ew.where(wrap(mask, None), full, x)


@dims_by_any_name
def select_scatter(x: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """x with `src` as slice `index` along dim (out of place)."""
    d = normal_dim("select_scatter", dim, x.ndim)
    n = x.shape[d]
    if not -n <= index < n:
        raise IndexError(
            f"select_scatter: index {index} is out of bounds for dimension {d} with size"
            f" {n}{here()}"
        )
    i = index % n
    wide = movement.reshape_to(src, (*src.shape[:d], 1, *src.shape[d:]))
    return _written("select_scatter", x, wide, d, i, i + 1, 1)


@dims_by_any_name
def slice_scatter(
    x: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """x with `src` at start, start + step, ... below end along dim (out of place)."""
    d = normal_dim("slice_scatter", dim, x.ndim)
    if step < 1:
        raise ShapeError(f"slice_scatter: slice step must be positive, got {step}{here()}")
    a, b, s = slice(start, end, step).indices(x.shape[d])
    return _written("slice_scatter", x, src, d, a, max(a, b), s)


def argwhere(x: Tensor) -> Tensor:
    """Indices of the non-zero elements, one row each: int64 (count, x.ndim)."""
    found = np.nonzero(np.atleast_1d(x.array("argwhere()")))
    return wrap(np.stack(found, 1)[:, : x.ndim].astype(np.int64), None)


__all__ = [
    "argwhere", "index_add", "index_copy", "index_fill", "index_put", "index_reduce",
    "masked_scatter", "put", "scatter", "scatter_add", "scatter_reduce",
    "select_scatter", "slice_scatter", "take",
]  # fmt: skip
