"""Reductions with PyTorch's conventions: sum, mean, var, max, softmax, norm and the like."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from clearprop.core import Tensor, apply, apply1, as_dtype, bool_, dtype, int64, uint8, wrap
from clearprop.core.dtypes import FLOAT
from clearprop.core.tensor import TENSORS
from clearprop.errors import DtypeError, ShapeError
from clearprop.ops import elementwise as ew
from clearprop.ops import movement, reduce
from clearprop.ops.broadcasting import (
    cast,
    constant,
    dims_by_any_name,
    expand_to,
    here,
    normal_dim,
    normal_dims,
    tensor_of,
)
from clearprop.ops.index import gather
from clearprop.ops.shapes import squeeze

F = TypeVar("F", bound=Callable[..., Any])

ALL_DIMS = [tuple(range(ndim)) for ndim in range(65)]  # NumPy's most dimensions: 64
ALL_AXES = [{"dim": d, "keepdim": False} for d in ALL_DIMS]


def _total(x: Tensor, op: str, d: dtype | None) -> Tensor:
    x = tensor_of(x, op)
    if d is not None:
        return cast(x, as_dtype(d))
    return x if x.value.dtype.kind == "f" else cast(x, int64)


def _short(f: F) -> F:
    """`f` after the short way for the sum of all elements of floating-point tensors."""

    @functools.wraps(f)
    def sum(x: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        if not args and not kwargs and x.__class__ in TENSORS and x.value.dtype.kind == "f":
            return apply1(reduce.sum_p, x, ALL_AXES[len(x.value.shape)], np.add.reduce)
        given = args if x is None else (x, *args)  # without x: input=x
        return f(*given, **kwargs)  # type: ignore[no-any-return]

    return sum  # type: ignore[return-value]


@_short
@dims_by_any_name
def sum(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Tensor:
    """Sum over dim (all axes when None); integers and bools give int64.

    >>> import clearprop as cp
    >>> cp.sum(cp.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([4., 6.])
    """
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
    if dim is None and not keepdim:
        total = apply1(reduce.sum_p, x, ALL_AXES[x.ndim], np.add.reduce)
    else:
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
    if isinstance(dim, bool):  # var(x, False): whether unbiased
        dim, unbiased = None, dim
    dims = normal_dims("var", dim, x.ndim)
    correction = 1 if correction is None else correction
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
        d = normal_dim(name, dim, x.ndim)
        if not x.ndim:
            return Extreme(x, wrap(np.zeros((), np.int64), None))
        if not x.shape[d]:
            raise IndexError(
                f"{name}(): Expected reduction dim {d} to have non-zero size, x is {x.aval}{here()}"
            )
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
    dims = _not_empty("amax", x, dim)
    return apply(reduce.amax_p, x, dim=dims, keepdim=keepdim)


@dims_by_any_name
def amin(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Smallest element over dim; ties share the gradient evenly."""
    dims = _not_empty("amin", x, dim)
    return apply(reduce.amin_p, x, dim=dims, keepdim=keepdim)


def _not_empty(op: str, x: Tensor, dim: Any) -> tuple[int, ...]:
    """The dims to reduce; an error where there is nothing along one of them."""
    dims = normal_dims(op, dim, x.ndim)
    if not x.numel() and not dim and dim != 0:
        raise ShapeError(
            f"{op}(): Expected reduction dim to be specified for input.numel() == 0. Specify the"
            f" reduction dim with the 'dim' argument.{here()}"
        )
    for d in dims:
        if not x.shape[d]:
            raise IndexError(
                f"{op}(): Expected reduction dim {d} to have non-zero size, x is {x.aval}{here()}"
            )
    return dims


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
    found = apply(reduce.any_p, cast_bool(x), dim=normal_dims("any", dim, x.ndim), keepdim=keepdim)
    return cast(found, x.dtype) if x.dtype is uint8 else found  # as in PyTorch


@dims_by_any_name
def all(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements over dim are non-zero."""
    found = apply(reduce.all_p, cast_bool(x), dim=normal_dims("all", dim, x.ndim), keepdim=keepdim)
    return cast(found, x.dtype) if x.dtype is uint8 else found


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
    d = normal_dim("cumsum", dim, x.ndim)
    return apply(reduce.cumsum_p, x, dim=d) if x.ndim else x


@dims_by_any_name
def cumprod(x: Tensor, dim: int, *, dtype: dtype | None = None) -> Tensor:
    """Running product along dim; the gradient is exact at zeros."""
    x = _total(x, "cumprod", dtype)
    d = normal_dim("cumprod", dim, x.ndim)
    return reduce.cumprod_of(x, d) if x.ndim else x


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
    top = _largest(x, dims)
    return ew.where(ew.isfinite(top), top, constant(0, top.value.dtype, top.shape))


def _largest(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The largest element over dims, which stay with size 1; 0 over an empty axis."""
    if x.numel():
        return apply(reduce.amax_p, x.detach(), dim=dims, keepdim=True)
    return constant(0, x.value.dtype, reduce.reduced(x.shape, dims, True))


def _softmax_input(op: str, x: Tensor, dim: Any, d: dtype | None) -> tuple[Tensor, tuple[int, ...]]:
    x = x if d is None else cast(x, as_dtype(d))
    if x.dtype.category != FLOAT:
        raise NotImplementedError(
            f'{op}: "{op}_lastdim_kernel_impl" not implemented for {x.aval}; use x.float(){here()}'
        )
    if dim is None:
        raise TypeError(f"{op}: say over which dim, e.g. {op}(x, dim=-1){here()}")
    axis = normal_dim(op, dim, x.ndim)
    return x, ((axis,) if x.ndim else ())


@dims_by_any_name
def softmax(x: Tensor, dim: int | None = None, *, dtype: dtype | None = None) -> Tensor:
    """e^x / sum(e^x) along dim, shifted by the maximum."""
    x, dims = _softmax_input("softmax", x, dim, dtype)
    top = _largest(x, dims)
    e = ew.exp(x - expand_to(top, x.shape))
    return e / expand_to(apply(reduce.sum_p, e, dim=dims, keepdim=True), x.shape)


@dims_by_any_name
def log_softmax(x: Tensor, dim: int | None = None, *, dtype: dtype | None = None) -> Tensor:
    """x - log(sum(e^x)) along dim, shifted by the maximum: keeps the digits that log(softmax(x))
    loses.
    """
    x, dims = _softmax_input("log_softmax", x, dim, dtype)
    shifted = x - expand_to(_largest(x, dims), x.shape)
    total = ew.log(apply(reduce.sum_p, ew.exp(shifted), dim=dims, keepdim=True))
    return shifted - expand_to(total, x.shape)


@dims_by_any_name
def norm(x: Tensor, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
    """(sum |x|^p)^(1/p) over dim; p = inf the largest |x|, p = 0 the count. The gradient at the
    zero vector is 0.
    """
    if x.dtype.category != FLOAT:
        raise DtypeError(
            "norm: linalg.vector_norm: Expected a floating point or complex tensor as input. Got"
            f" {x.aval}; use x.float(){here()}"
        )
    normal_dims("norm", dim, x.ndim)
    if p == "fro":
        p = 2
    if p == math.inf:
        return amax(ew.abs(x), dim, keepdim)
    if p == -math.inf:
        return amin(ew.abs(x), dim, keepdim)
    if p == 0:
        never = constant(False, np.dtype(bool), x.shape)  # a gradient of 0, but one
        return sum(ew.where(never, x, cast(ew.ne(x, 0), x.dtype)), dim, keepdim)
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


__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "cumprod", "cumsum",
    "log_softmax", "logsumexp", "max", "mean", "min", "norm", "prod", "softmax", "std", "sum",
    "var",
]  # fmt: skip
