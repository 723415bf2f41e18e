"""grid_sample: images read at any places; affine_grid: the places of a turned or moved image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clearprop import ops
from clearprop.core import Tensor, apply, int64, wrap
from clearprop.errors import DtypeError, ShapeError
from clearprop.ops.broadcasting import cast, expand_to, here, need_tensors
from clearprop.ops.index import GATHER
from clearprop.ops.movement import reshape_to

_MODES, _PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """The input (N, C, H, W) at the places of grid (N, h, w, 2) -> (N, C, h, w); or (N, C, D, H, W)
    at (N, d, h, w, 3). A place is (x, y) or (x, y, z): -1 and 1 are the ends of an axis, the
    centres of its first and last element if align_corners, else their outer borders.

    mode: bilinear (in volumes trilinear), nearest, bicubic (images only). padding_mode, for places
    outside: zeros, border, reflection.

    >>> import clearprop as cp
    >>> x = cp.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    >>> cp.nn.functional.grid_sample(x, cp.zeros(1, 1, 1, 2), align_corners=False).item()
    1.5
    """
    need_tensors("grid_sample", input, grid)
    d = input.ndim - 2
    if mode not in _MODES:
        raise ValueError(f"grid_sample: mode must be one of {_MODES}, got {mode!r}{here()}")
    if padding_mode not in _PADDINGS:
        raise ValueError(
            f"grid_sample: padding_mode must be one of {_PADDINGS}, got {padding_mode!r}{here()}"
        )
    if input.dtype is not grid.dtype:
        raise DtypeError(
            "grid_sample: expected input and grid to have same dtype, but input has"
            f" {input.dtype} and grid has {grid.dtype}{here()}"
        )
    if d not in (2, 3) or grid.ndim != d + 2 or (mode == "bicubic" and d != 2):
        raise ShapeError(
            "grid_sample: expected 4D or 5D input and grid with same number of dimensions (bicubic"
            f" only 4D), but got {input.aval} and {grid.aval}{here()}"
        )
    if grid.shape[0] != input.shape[0] or grid.shape[-1] != d or 0 in input.shape[2:]:
        raise ShapeError(
            "grid_sample: expected grid and input to have same batch size, grid to have size"
            f" {d} in last dimension, and input to have non-empty spatial dimensions, but got"
            f" {input.aval} and {grid.aval}{here()}"
        )
    corners = bool(align_corners)
    sizes = input.shape[2:]
    places = [  # the last axis of space comes first in a grid
        _unscaled(ops.select(grid, -1, d - 1 - i), n, corners) for i, n in enumerate(sizes)
    ]
    around = [
        _neighbours(place, n, mode, padding_mode, corners)
        for place, n in zip(places, sizes, strict=True)
    ]
    total: Any = 0
    for choice in itertools.product(*around):
        flat: Any = 0
        weight: Any = None
        for (index, part), n in zip(choice, sizes, strict=True):
            flat = flat * n + index
            weight = part if weight is None or part is None else weight * part
        value = _picked(input, flat)
        if weight is not None:
            value = value * expand_to(ops.unsqueeze(weight, 1), value.shape)
        total = value + total
    return total  # type: ignore[no-any-return]


def _unscaled(place: Tensor, n: int, corners: bool) -> Tensor:
    """From -1 ... 1 to numbers of elements."""
    return (place + 1) * ((n - 1) / 2) if corners else ((place + 1) * n - 1) / 2


def _inside(place: Tensor, n: int, padding: str, corners: bool) -> Tensor:
    """A place outside, brought in; zeros leave it where it is."""
    if padding == "zeros":
        return place
    if padding == "reflection":
        low, span = (0.0, n - 1.0) if corners else (-0.5, float(n))
        if not span:
            return place * 0
        away = ops.abs(place - low)
        turns = ops.floor(away / span).detach()
        rest = away - turns * span
        place = ops.where(ops.eq(ops.remainder(turns, 2), 0), rest + low, span - rest + low)
    inside = (place > 0) & (place < n - 1)  # the derivative at both ends is 0
    return ops.where(inside, place, ops.clamp(place.detach(), 0, n - 1))


def _neighbours(
    place: Tensor, n: int, mode: str, padding: str, corners: bool
) -> list[tuple[Tensor, Any]]:
    """The elements along one axis that count, and their weights."""
    if mode != "bicubic":
        place = _inside(place, n, padding, corners)
    if mode == "nearest":
        return [_element(ops.round(place), None, n, place)]
    low = ops.floor(place).detach()
    part = place - low
    if mode == "bilinear":
        return [_element(low, 1 - part, n, place), _element(low + 1, part, n, place)]
    out = []
    for k in (-1, 0, 1, 2):
        at = _inside(low + k, n, padding, corners).detach()
        out.append(_element(at, _cubic(part - k, abs(2 * k - 1) == 3), n, place))
    return out


def _cubic(x: Tensor, far: bool) -> Tensor:
    """Keys' cubic with a = -3/4 at a distance up to 1, or from 1 to 2."""
    x, a = ops.abs(x), -0.75
    if far:
        return (((x - 5) * x + 8) * x - 4) * a
    return ((a + 2) * x - (a + 3)) * x * x + 1


def _element(at: Tensor, weight: Any, n: int, place: Tensor) -> tuple[Tensor, Any]:
    """An index that is there; what is outside has weight 0."""
    at = at.detach()
    ok = ops.logical_and(ops.ge(at, 0), ops.le(at, n - 1))
    real = cast(ok, place.dtype)
    index = cast(ops.clamp(ops.where(ok, at, ops.zeros_like(at)), 0, n - 1), int64)
    return index, real if weight is None else ops.where(ok, weight, ops.zeros_like(weight))


def _picked(x: Tensor, flat: Tensor) -> Tensor:
    """The elements of all channels at the given numbers in a plane."""
    n, c = x.shape[:2]
    rows = reshape_to(x, (n, c, math.prod(x.shape[2:])))
    index = expand_to(reshape_to(flat, (n, 1, math.prod(flat.shape[1:]))),
                      (n, c, math.prod(flat.shape[1:])))  # fmt: skip
    return reshape_to(apply(GATHER, rows, index, dim=2), (n, c, *flat.shape[1:]))


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The grid for grid_sample of an image of `size` (N, C, H, W) -> (N, H, W, 2): place (x, y) is
    theta (N, 2, 3) times (x, y, 1). For volumes theta is (N, 3, 4).

    >>> import clearprop as cp
    >>> theta = cp.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> cp.nn.functional.affine_grid(theta, (1, 1, 1, 2), align_corners=True).tolist()
    [[[[-1.0, 0.0], [1.0, 0.0]]]]
    """
    need_tensors("affine_grid", theta)
    d = len(size) - 2
    if not theta.is_floating_point():
        raise ValueError(
            f"affine_grid: Expected theta to have floating point type, but got {theta.aval}{here()}"
        )
    if d not in (2, 3):
        raise NotImplementedError(
            "affine_grid: affine_grid only supports 4D and 5D sizes, for 2D and 3D affine"
            f" transforms, respectively. Got size {tuple(size)}.{here()}"
        )
    if theta.shape != (size[0], d, d + 1):
        raise ValueError(
            f"affine_grid: Expected a batch of {d}D affine matrices of shape Nx{d}x{d + 1} for size"
            f" {tuple(size)}. Got {theta.aval}.{here()}"
        )
    if min(size) <= 0:
        raise ValueError(
            f"affine_grid: Expected non-zero, positive output size. Got {size}{here()}"
        )
    lines = []
    for n in size[2:]:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        lines.append(line if align_corners or n == 1 else line * (n - 1) / n)
    axes = np.meshgrid(*lines, indexing="ij")[::-1]
    base = np.stack([*axes, np.ones(tuple(size[2:]))], -1).reshape(-1, d + 1)
    points = wrap(base.astype(theta.value.dtype), None)
    return reshape_to(points @ ops.transpose(theta, 1, 2), (size[0], *size[2:], d))
