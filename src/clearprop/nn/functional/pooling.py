"""Pooling: the largest element, the mean, the p-norm of windows, and what puts elements back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop import ops
from clearprop.core import Aval, Tensor, apply, apply_many, int64, wrap
from clearprop.core.tensor import known
from clearprop.errors import DtypeError, ShapeError, UnsupportedDtypeError
from clearprop.ops.broadcasting import cast, expand_to, here, need_tensors, tensor_of, zeros_for
from clearprop.ops.convolution_kernels import output_size
from clearprop.ops.index import PUT, TAKE
from clearprop.ops.movement import reshape_to
from clearprop.ops.pooling import MAX_POOL, SUM_POOL
from clearprop.ops.resample import resample
from clearprop.ops.sizes import listed, numbers

Sizes = tuple[int, ...]


# ---------------------------------------------------------------------- options
def _checked(op: str, x: Any, d: int, integers: bool) -> Tensor:
    """x with d axes of space, channels, and perhaps a batch axis."""
    need_tensors(op, x)
    x = tensor_of(x, op)
    if x.ndim not in (d + 1, d + 2) or 0 in x.shape[-d - 1 :]:
        raise ShapeError(
            f"{op}: Expected {d + 1}D or {d + 2}D (batch mode) tensor with optional 0 dim batch"
            f" size for input, but got: {list(x.shape)}{here()}"
        )
    if x.dtype.category != 2 and not (integers and x.dtype.category == 1):
        raise UnsupportedDtypeError(
            f'{op}: "{op}" not implemented for {x.dtype!r}; convert it with .float(){here()}'
        )
    return x


def _windows(
    op: str, x: Tensor, d: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
    ceil_mode: bool,
) -> tuple[dict[str, Any], Sizes, Sizes]:  # fmt: skip
    """Params of a primitive, the padding that was asked for, and the sizes of the result."""
    kernel = numbers(op, "kernel_size", kernel_size, d)
    empty = stride is None or (isinstance(stride, tuple | list) and not stride)
    step = kernel if empty else numbers(op, "stride", stride, d)
    pads, gaps = numbers(op, "padding", padding, d), numbers(op, "dilation", dilation, d)
    if min(step) < 1 or min(kernel) < 1 or min(gaps) < 1:
        name, value = next(
            (n, v)
            for n, v in (("kernel_size", kernel), ("stride", step), ("dilation", gaps))
            if min(v) < 1
        )
        raise ShapeError(f"{op}: {name} should be greater than zero, but got {list(value)}{here()}")
    if min(pads) < 0 or any(
        p > (e * (k - 1) + 1) // 2 for p, k, e in zip(pads, kernel, gaps, strict=True)
    ):
        raise ShapeError(
            f"{op}: pad should be non-negative and at most half of effective kernel size, but got"
            f" padding={list(pads)}, kernel_size={list(kernel)} and dilation={list(gaps)}{here()}"
        )
    size = x.shape[-d:]
    both = []
    out = []
    for n, k, s, p, e in zip(size, kernel, step, pads, gaps, strict=True):
        t = output_size(n + (s - 1 if ceil_mode else 0), k, s, (p, p), e)
        if ceil_mode and (t - 1) * s >= n + p:
            t -= 1  # the last window would start behind the input
        out.append(t)
        both.append((p, max(0, (t - 1) * s + e * (k - 1) + 1 - n - p)))
    if min(out) < 1:
        channels = x.shape[-d - 1]
        raise ShapeError(
            f"{op}: Given input size: {listed((channels, *size))}. Calculated output size:"
            f" {listed((channels, *out))}. Output size is too small{here()}"
        )
    params = {"kernel": kernel, "stride": step, "padding": tuple(both), "dilation": gaps}
    return params, pads, tuple(out)


def _outputs(op: str, x: Tensor, d: int, output_size: Any) -> Sizes:
    """The sizes of an adaptive pool; None keeps that of the input (for two axes and more)."""
    given = output_size if isinstance(output_size, tuple | list) else (output_size,) * d
    if d > 1 and len(given) == 1:
        given = tuple(given) * d
    if len(given) != d:
        raise ShapeError(f"{op}: output_size must be {d} numbers, got {output_size!r}{here()}")
    if d > 1:
        given = [n if o is None else o for o, n in zip(given, x.shape[-d:], strict=True)]
    out = numbers(op, "output_size", tuple(given), d)
    if min(out) < 0:
        raise ShapeError(
            f"{op}: elements of output_size must be greater than or equal to 0 but received"
            f" {list(out)}{here()}"
        )
    return out


# ---------------------------------------------------------------------- largest element
def _max_pool(
    op: str, d: int, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
    ceil_mode: bool, return_indices: bool,
) -> Any:  # fmt: skip
    x = _checked(op, input, d, True)
    params, pads, out = _windows(op, x, d, kernel_size, stride, padding, dilation, ceil_mode)
    values, winners = apply_many(MAX_POOL, x, **params)
    if not return_indices:
        return values
    axes = [
        np.arange(t)[:, None] * s - p + np.arange(k)[None] * e
        for t, s, p, k, e in zip(
            out, params["stride"], pads, params["kernel"], params["dilation"], strict=True
        )
    ]
    return values, _flat_indices(winners, axes, x.shape[-d:])


def _flat_indices(winners: Tensor, axes: list[np.ndarray], size: Sizes) -> Tensor:
    """Row-major index in the plane of each winner; axes[i][t, k] is where element k of window t
    lies along axis i.
    """
    d, place = len(axes), np.zeros((1,) * 2 * len(axes), np.int64)
    for i, (along, n) in enumerate(zip(axes, size, strict=True)):
        shape = [1] * 2 * d
        shape[i], shape[d + i] = along.shape
        place = place * n + along.reshape(shape)
    out, window = place.shape[:d], math.prod(place.shape[d:])
    start = np.arange(math.prod(out)).reshape(out) * window
    number = cast(winners, int64) + expand_to(wrap(start, None), winners.shape)
    flat = apply(TAKE, wrap(place.reshape(-1), None), reshape_to(number, (number.numel(),)))
    return reshape_to(flat, winners.shape)


def _adaptive_max(op: str, d: int, input: Any, output_size: Any, return_indices: bool) -> Any:
    x = _checked(op, input, d, True)
    out = _outputs(op, x, d, output_size)
    if 0 in out:
        empty = zeros_for(Aval((*x.shape[:-d], *out), x.dtype))
        return (empty, cast(empty, int64)) if return_indices else empty
    y, axes, kernel = x, [], []
    for axis, (n, t) in enumerate(zip(x.shape[-d:], out, strict=True), x.ndim - d):
        places = _adaptive_windows(n, t)
        axes.append(places)
        kernel.append(places.shape[1])
        if n % t:  # windows of several widths: the last element of a short one is repeated
            y = ops.index_select(y, axis, wrap(places.reshape(-1), None))
    values, winners = apply_many(
        MAX_POOL, y, kernel=tuple(kernel), stride=tuple(kernel), padding=((0, 0),) * d,
        dilation=(1,) * d,
    )  # fmt: skip
    return (values, _flat_indices(winners, axes, x.shape[-d:])) if return_indices else values


def _adaptive_windows(n: int, t: int) -> np.ndarray:
    """Element k of window i, for t windows that cover n elements."""
    start = np.arange(t) * n // t
    stop = -(-np.arange(1, t + 1) * n // t)
    width = int((stop - start).max())
    return np.asarray(np.minimum(start[:, None] + np.arange(width), stop[:, None] - 1))


def max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window;  x: (N, C, L) or (C, L). stride None: the kernel size.
    return_indices: also where it is, the first of equals. ceil_mode: windows may hang over the end.

    >>> import clearprop as cp
    >>> cp.nn.functional.max_pool1d(cp.tensor([[1.0, 3.0, 2.0, 0.0]]), 2, return_indices=True)
    (tensor([[3., 2.]]), tensor([[1, 2]]))
    """
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode,
                     return_indices)  # fmt: skip


def max_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """max_pool1d over windows of two axes;  x: (N, C, H, W) or (C, H, W). Indices count through
    the plane, row by row.

    >>> import clearprop as cp
    >>> cp.nn.functional.max_pool2d(cp.arange(16.0).reshape(1, 4, 4), 2)
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode,
                     return_indices)  # fmt: skip


def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """max_pool1d over windows of three axes;  x: (N, C, D, H, W) or (C, D, H, W).

    >>> import clearprop as cp
    >>> cp.nn.functional.max_pool3d(cp.arange(8.0).reshape(1, 2, 2, 2), 2).item()
    7.0
    """
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode,
                     return_indices)  # fmt: skip


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of each of output_size windows, which cover the input: window i is
    floor(i n / t) to ceil((i + 1) n / t).

    >>> import clearprop as cp
    >>> cp.nn.functional.adaptive_max_pool1d(cp.tensor([[1.0, 3.0, 2.0]]), 2)
    tensor([[3., 3.]])
    """
    return _adaptive_max("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """adaptive_max_pool1d over two axes; None keeps a size.

    >>> import clearprop as cp
    >>> cp.nn.functional.adaptive_max_pool2d(cp.zeros(1, 3, 7, 5), (2, None)).shape
    (1, 3, 2, 5)
    """
    return _adaptive_max("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """adaptive_max_pool1d over three axes; None keeps a size.

    >>> import clearprop as cp
    >>> cp.nn.functional.adaptive_max_pool3d(cp.zeros(1, 3, 4, 7, 5), 2).shape
    (1, 3, 2, 2, 2)
    """
    return _adaptive_max("adaptive_max_pool3d", 3, input, output_size, return_indices)


def _with_indices(pool: Callable[..., Any], name: str) -> Callable[..., Any]:
    def both(*args: Any, **kwargs: Any) -> Any:
        return pool(*args, **{**kwargs, "return_indices": True})

    both.__name__ = both.__qualname__ = name
    both.__doc__ = f"(values, indices) of {pool.__name__}."
    return both


max_pool1d_with_indices = _with_indices(max_pool1d, "max_pool1d_with_indices")
max_pool2d_with_indices = _with_indices(max_pool2d, "max_pool2d_with_indices")
max_pool3d_with_indices = _with_indices(max_pool3d, "max_pool3d_with_indices")


# ---------------------------------------------------------------------- mean
def _avg_pool(
    op: str, d: int, input: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> Tensor:  # fmt: skip
    x = _checked(op, input, d, integers=getattr(input, "dtype", None) is int64)
    params, pads, out = _windows(op, x, d, kernel_size, stride, padding, 1, ceil_mode)
    del params["dilation"]
    if divisor_override == 0:
        raise ShapeError(f"{op}: divisor must be not zero{here()}")
    total = apply(SUM_POOL, x, **params)
    if divisor_override is not None:
        return _quotient(total, divisor_override)
    counts = np.ones((1,) * d)
    for i, (n, k, s, p) in enumerate(
        zip(x.shape[-d:], params["kernel"], params["stride"], pads, strict=True)
    ):
        start = np.arange(out[i]) * s - p
        stop = np.minimum(start + k, n + p)
        if not count_include_pad:
            start, stop = np.maximum(start, 0), np.minimum(stop, n)
        shape = [1] * d
        shape[i] = out[i]
        counts = counts * (stop - start).reshape(shape)
    if (counts == counts.flat[0]).all():
        return _quotient(total, int(counts.flat[0]))
    return _quotient(total, expand_to(wrap(counts.astype(x.value.dtype), None), total.shape))


def _quotient(total: Tensor, divisor: Any) -> Tensor:
    """total / divisor, for integers without what is behind the point."""
    return ops.div(total, divisor, rounding_mode="trunc" if total.dtype is int64 else None)


def _adaptive_avg(op: str, d: int, input: Any, output_size: Any) -> Tensor:
    x = _checked(op, input, d, False)
    out = _outputs(op, x, d, output_size)
    if 0 in out:
        return zeros_for(Aval((*x.shape[:-d], *out), x.dtype))
    if any(n % t for n, t in zip(x.shape[-d:], out, strict=True)):
        for axis, t in enumerate(out, x.ndim - d):
            x = resample(x, axis, t, "area")
        return x
    kernel = tuple(n // t for n, t in zip(x.shape[-d:], out, strict=True))
    if max(kernel) == 1:
        return x
    total = apply(SUM_POOL, x, kernel=kernel, stride=kernel, padding=((0, 0),) * d)
    return total / float(math.prod(kernel))


def avg_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """The mean of each window;  x: (N, C, L) or (C, L). stride None: the kernel size.
    count_include_pad: zeros of the padding count as elements.

    >>> import clearprop as cp
    >>> cp.nn.functional.avg_pool1d(cp.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    tensor([[2., 1.]])
    """
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode,
                     count_include_pad, None)  # fmt: skip


def avg_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """avg_pool1d over windows of two axes;  x: (N, C, H, W) or (C, H, W). divisor_override: the sum
    over this number.

    >>> import clearprop as cp
    >>> cp.nn.functional.avg_pool2d(cp.arange(16.0).reshape(1, 4, 4), 2)
    tensor([[[ 2.5000,  4.5000],
             [10.5000, 12.5000]]])
    """
    return _avg_pool("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode,
                     count_include_pad, divisor_override)  # fmt: skip


def avg_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """avg_pool1d over windows of three axes;  x: (N, C, D, H, W) or (C, D, H, W).

    >>> import clearprop as cp
    >>> cp.nn.functional.avg_pool3d(cp.arange(8.0).reshape(1, 2, 2, 2), 2).item()
    3.5
    """
    return _avg_pool("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode,
                     count_include_pad, divisor_override)  # fmt: skip


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of each of output_size windows, which cover the input: window i is floor(i n / t) to
    ceil((i + 1) n / t).

    >>> import clearprop as cp
    >>> cp.nn.functional.adaptive_avg_pool1d(cp.tensor([[1.0, 3.0, 2.0]]), 2)
    tensor([[2.0000, 2.5000]])
    """
    return _adaptive_avg("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """adaptive_avg_pool1d over two axes; None keeps a size.

    >>> import clearprop as cp
    >>> cp.nn.functional.adaptive_avg_pool2d(cp.ones(1, 3, 7, 5), 1).shape
    (1, 3, 1, 1)
    """
    return _adaptive_avg("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """adaptive_avg_pool1d over three axes; None keeps a size.

    >>> import clearprop as cp
    >>> cp.nn.functional.adaptive_avg_pool3d(cp.ones(1, 3, 4, 7, 5), 2).shape
    (1, 3, 2, 2, 2)
    """
    return _adaptive_avg("adaptive_avg_pool3d", 3, input, output_size)


# ---------------------------------------------------------------------- p-norm
def _lp_pool(
    op: str, d: int, input: Any, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool
) -> Tensor:
    need_tensors(op, input)
    kernel = numbers(op, "kernel_size", kernel_size, d)
    powers = tensor_of(input, op) ** norm_type
    mean = _avg_pool(op, d, powers, kernel, stride, 0, ceil_mode, True, None)
    # the relu of |mean| makes the gradient of a window of zeros 0, where the root has none
    return (ops.sign(mean) * ops.relu(ops.abs(mean)) * math.prod(kernel)) ** (1.0 / norm_type)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """(sum of x^p over each window)^(1/p), p = norm_type.

    >>> import clearprop as cp
    >>> cp.nn.functional.lp_pool1d(cp.tensor([[3.0, 4.0]]), 2, 2)
    tensor([[5.]])
    """
    return _lp_pool("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """lp_pool1d over windows of two axes.

    >>> import clearprop as cp
    >>> cp.nn.functional.lp_pool2d(cp.ones(1, 1, 4, 4), 2, 2).shape
    (1, 1, 2, 2)
    """
    return _lp_pool("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """lp_pool1d over windows of three axes.

    >>> import clearprop as cp
    >>> cp.nn.functional.lp_pool3d(cp.ones(1, 1, 4, 4, 4), 2, 2).shape
    (1, 1, 2, 2, 2)
    """
    return _lp_pool("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode)


# ---------------------------------------------------------------------- back to where it was
def _max_unpool(
    op: str, d: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any,
    output_size: Any,
) -> Tensor:  # fmt: skip
    x = _checked(op, input, d, True)
    need_tensors(op, indices)
    kernel = numbers(op, "kernel_size", kernel_size, d)
    step = kernel if stride is None else numbers(op, "stride", stride, d)
    pads = numbers(op, "padding", padding, d)
    size = tuple(
        (t - 1) * s + k - 2 * p for t, s, k, p in zip(x.shape[-d:], step, kernel, pads, strict=True)
    )
    if output_size is not None:
        size = _requested(op, d, output_size, size, step)
    if indices.dtype is not int64:
        raise DtypeError(
            f"{op}: elements in indices should be type int64 but got: {indices.dtype}{here()}"
        )
    if indices.shape != x.shape:
        raise ShapeError(
            f"{op}: Expected shape of indices to be same as that of the input tensor"
            f" ({list(x.shape)}) but got indices tensor with shape: {list(indices.shape)}{here()}"
        )
    plane = math.prod(size)
    value = known(indices)
    if value is not None and value.size and not 0 <= value.min() <= value.max() < plane:
        bad = int(value.max() if value.max() >= plane else value.min())
        raise ShapeError(
            f"{op}: Found an invalid max index: {bad} (output volumes are of size"
            f" {'x'.join(map(str, size))}){here()}"
        )
    lead = x.shape[:-d]
    start = np.arange(math.prod(lead)).reshape(*lead, *(1,) * d) * plane
    place = indices + expand_to(wrap(start, None), x.shape)
    total = math.prod(lead) * plane
    flat = apply(
        PUT, zeros_for(Aval((total,), x.dtype)), reshape_to(x, (x.numel(),)),
        reshape_to(place, (x.numel(),)),
    )  # fmt: skip
    return reshape_to(flat, (*lead, *size))


def _requested(op: str, d: int, wanted: Any, size: Sizes, step: Sizes) -> Sizes:
    """output_size, if it can have been pooled to the input."""
    given = tuple(wanted)
    if len(given) == d + 2:
        given = given[2:]
    if len(given) != d:
        raise ValueError(
            f"{op}: output_size should be a sequence containing {d} or {d + 2} elements, but it has"
            f" a length of '{len(wanted)}'{here()}"
        )
    for i, (n, usual, s) in enumerate(zip(given, size, step, strict=True)):
        if not usual - s < n < usual + s:
            raise ValueError(
                f'{op}: invalid output_size "{given}" (dim {i} must be between {usual - s} and'
                f" {usual + s}){here()}"
            )
    return given


def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:  # fmt: skip
    """Zeros with the elements where max_pool1d found them.

    >>> import clearprop as cp
    >>> F = cp.nn.functional
    >>> F.max_unpool1d(*F.max_pool1d(cp.tensor([[1.0, 3.0, 2.0, 0.0]]), 2, return_indices=True), 2)
    tensor([[0., 3., 2., 0.]])
    """
    return _max_unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:  # fmt: skip
    """max_unpool1d for planes; output_size where several sizes are pooled to the same.

    >>> import clearprop as cp
    >>> F = cp.nn.functional
    >>> y, where = F.max_pool2d(cp.rand(1, 2, 5, 5), 2, return_indices=True)
    >>> F.max_unpool2d(y, where, 2, output_size=(5, 5)).shape
    (1, 2, 5, 5)
    """
    return _max_unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:  # fmt: skip
    """max_unpool1d for volumes.

    >>> import clearprop as cp
    >>> F = cp.nn.functional
    >>> F.max_unpool3d(*F.max_pool3d(cp.rand(1, 2, 4, 4, 4), 2, return_indices=True), 2).shape
    (1, 2, 4, 4, 4)
    """
    return _max_unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)
