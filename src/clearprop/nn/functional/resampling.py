"""interpolate: images and signals at another size."""

from __future__ import annotations

import math
from typing import Any

from clearprop import ops
from clearprop.core import Tensor, apply, float32, uint8
from clearprop.errors import ShapeError, UnsupportedDtypeError
from clearprop.nn.functional import pooling
from clearprop.ops.broadcasting import cast, here, need_tensors, tensor_of
from clearprop.ops.pooling import SUM_POOL_INPUT
from clearprop.ops.resample import resample

# axes of space that a mode takes, and what it is along each of them
_LINES = {
    "linear": (1, "linear"), "bilinear": (2, "linear"), "trilinear": (3, "linear"),
    "bicubic": (2, "cubic"),
}  # fmt: skip
_MODES = ("nearest", "nearest-exact", "area", *_LINES)


def interpolate(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:  # fmt: skip
    """The input (N, C, *S) at another size of its 1, 2 or 3 axes of space: `size`, or the old size
    times `scale_factor`, rounded down.

    mode: nearest, nearest-exact, area, linear (1 axis), bilinear and bicubic (2), trilinear (3).
    align_corners: the first and last places of both sizes lie on each other. antialias: a filter as
    wide as the step, for smaller bilinear and bicubic images.

    >>> import clearprop as cp
    >>> x = cp.tensor([[[0.0, 1.0]]])
    >>> cp.nn.functional.interpolate(x, scale_factor=2)
    tensor([[[0., 0., 1., 1.]]])
    >>> cp.nn.functional.interpolate(x, size=3, mode="linear", align_corners=True)
    tensor([[[0.0000, 0.5000, 1.0000]]])
    """
    op = "interpolate"
    need_tensors(op, input)
    x = tensor_of(input, op)
    d = x.ndim - 2
    if mode not in _MODES or not 1 <= d <= 3:
        raise NotImplementedError(
            f"{op}: Input Error: Only 3D, 4D and 5D input Tensors supported (got {x.ndim}D) for the"
            f" modes: {' | '.join(_MODES)} (got {mode}){here()}"
        )
    if align_corners is not None and mode not in _LINES:
        raise ValueError(
            f"{op}: align_corners option can only be set with the interpolating modes:"
            f" {' | '.join(_LINES)}{here()}"
        )
    out, scales = _sizes(op, x, d, size, scale_factor, recompute_scale_factor)
    if antialias and (mode not in ("bilinear", "bicubic") or d != 2):
        raise ValueError(
            f"{op}: Anti-alias option is restricted to bilinear and bicubic modes and requires a"
            f" 4-D tensor as input{here()}"
        )
    if mode in _LINES and _LINES[mode][0] != d:
        raise NotImplementedError(
            f"{op}: Got {x.ndim}D input, but {mode} mode needs {_LINES[mode][0] + 2}D input{here()}"
        )
    if x.dtype.category != 2 and (x.dtype is not uint8 or mode == "area"):
        raise UnsupportedDtypeError(
            f'{op}: "{mode}" not implemented for {x.dtype!r}; convert it with .float(){here()}'
        )
    if mode == "area":
        adaptive = (pooling.adaptive_avg_pool1d, pooling.adaptive_avg_pool2d,
                    pooling.adaptive_avg_pool3d)[d - 1]  # fmt: skip
        return adaptive(x, out)
    if min(out) < 1 or 0 in x.shape[2:]:
        raise ShapeError(
            f"{op}: Input and output sizes should be greater than 0, but got input"
            f" {list(x.shape[2:])} output {list(out)}{here()}"
        )
    if x.shape[1] == 0:
        raise ShapeError(
            f"{op}: Non-empty {x.ndim}D data tensor expected but got a tensor with sizes"
            f" {list(x.shape)}{here()}"
        )
    if mode == "nearest" and (whole := _whole_factors(x, out, scales)):
        return apply(SUM_POOL_INPUT, x, size=out, kernel=whole, stride=whole,
                     padding=((0, 0),) * d)  # fmt: skip
    along = _LINES[mode][1] + ("-antialias" if antialias else "") if mode in _LINES else mode
    if x.dtype is uint8 and mode in _LINES:
        y = _each_axis(cast(x, float32), out, scales, along, bool(align_corners))
        return cast(ops.clamp(ops.round(y), 0, 255), uint8)
    return _each_axis(x, out, scales, along, bool(align_corners))


def _each_axis(x: Tensor, out: Any, scales: Any, mode: str, corners: bool) -> Tensor:
    for axis, (t, scale) in reversed(list(enumerate(zip(out, scales, strict=True), 2))):
        # an axis that keeps its size stays as it is, whatever the factor: so does PyTorch
        same = t == x.shape[axis] and (mode == "linear" or corners or scale in (None, 1))
        if not same:
            x = resample(x, axis, t, mode, corners, scale)
    return x


def _whole_factors(x: Tensor, out: tuple[int, ...], scales: Any) -> tuple[int, ...] | None:
    """By what whole numbers the sizes grow, if they do."""
    found = []
    for n, t, scale in zip(x.shape[2:], out, scales, strict=True):
        if t % n or (scale is not None and scale != t // n):
            return None
        found.append(t // n)
    return tuple(found)


def _sizes(
    op: str, x: Tensor, d: int, size: Any, factor: Any, recompute: bool | None
) -> tuple[tuple[int, ...], list[float | None]]:
    """The sizes of the result, and the factors in which places are computed, None for the ratio
    of the sizes.
    """
    if size is not None and factor is not None:
        raise ValueError(f"{op}: only one of size or scale_factor should be defined{here()}")
    if size is None and factor is None:
        raise ValueError(f"{op}: either size or scale_factor should be defined{here()}")
    name, value = ("output size", size) if factor is None else ("scale_factor", factor)
    many = isinstance(value, tuple | list)
    if many and len(value) != d:
        raise ValueError(
            f"{op}: Input and {name if factor is not None else 'output'} must have the same number"
            f" of spatial dimensions, but got input with spatial dimensions of"
            f" {list(x.shape[2:])} and {name} of shape {tuple(value)}. Please provide input tensor"
            f" in (N, C, d1, d2, ...,dK) format{here()}"
        )
    values = tuple(value) if many else (value,) * d
    if factor is None:
        if recompute:
            raise ValueError(
                f"{op}: recompute_scale_factor is not meaningful with an explicit size.{here()}"
            )
        if any(isinstance(v, bool) or not hasattr(v, "__index__") for v in values):
            raise TypeError(f"{op}: size must be integers, got {size!r}{here()}")
        return tuple(v.__index__() for v in values), [None] * d
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        raise TypeError(f"{op}: scale_factor must be numbers, got {factor!r}{here()}")
    out = tuple(math.floor(n * float(v)) for n, v in zip(x.shape[2:], values, strict=True))
    return out, [None if recompute else float(v) for v in values]


def upsample(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """interpolate under its old name.

    >>> import clearprop as cp
    >>> cp.nn.functional.upsample(cp.ones(1, 1, 2, 2), scale_factor=2).shape
    (1, 1, 4, 4)
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """interpolate in mode nearest.

    >>> import clearprop as cp
    >>> cp.nn.functional.upsample_nearest(cp.ones(1, 1, 2, 2), size=(3, 5)).shape
    (1, 1, 3, 5)
    """
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """interpolate in mode bilinear with corners aligned.

    >>> import clearprop as cp
    >>> cp.nn.functional.upsample_bilinear(cp.ones(1, 1, 2, 2), size=(3, 5)).shape
    (1, 1, 3, 5)
    """
    return interpolate(input, size, scale_factor, "bilinear", True)
