"""Channels and places exchanged: pixel_shuffle and its inverse, channel_shuffle."""

from __future__ import annotations

from clearprop.core import Tensor
from clearprop.errors import ShapeError
from clearprop.ops.broadcasting import here, need_tensors
from clearprop.ops.movement import permute, reshape_to


def _factor(op: str, x: Tensor, name: str, r: int) -> None:
    need_tensors(op, x)
    if isinstance(r, bool) or not hasattr(r, "__index__"):
        raise TypeError(f"{op}: {name} must be an integer, got {r!r}{here()}")
    if x.ndim < 3:
        raise ShapeError(
            f"{op} expects input to have at least 3 dimensions, but got input with {x.ndim}"
            f" dimension(s): {x.aval}{here()}"
        )
    if r <= 0:
        raise ShapeError(f"{op} expects a positive {name}, but got {r}{here()}")


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C r r, H, W) -> (..., C, H r, W r): r = upscale_factor; the channels of a place become
    a square of places.

    >>> import clearprop as cp
    >>> cp.pixel_shuffle(cp.arange(4.0).reshape(4, 1, 1), 2)
    tensor([[[0., 1.],
             [2., 3.]]])
    """
    r = upscale_factor
    _factor("pixel_shuffle", input, "upscale_factor", r)
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise ShapeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of"
            f" upscale_factor, but input.size(-3)={c} is not divisible by {r * r}{here()}"
        )
    n = len(lead)
    x = reshape_to(input, (*lead, c // (r * r), r, r, h, w))
    x = permute(x, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return reshape_to(x, (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H r, W r) -> (..., C r r, H, W): the inverse of pixel_shuffle.

    >>> import clearprop as cp
    >>> cp.pixel_unshuffle(cp.zeros(1, 3, 4, 6), 2).shape
    (1, 12, 2, 3)
    """
    r = downscale_factor
    _factor("pixel_unshuffle", input, "downscale_factor", r)
    *lead, c, h, w = input.shape
    for name, axis, size in (("height", -2, h), ("width", -1, w)):
        if size % r:
            raise ShapeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but"
                f" input.size({axis})={size} is not divisible by {r}{here()}"
            )
    n = len(lead)
    x = reshape_to(input, (*lead, c, h // r, r, w // r, r))
    x = permute(x, (*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return reshape_to(x, (*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(N, g c, ...) with channels taken from each of the g groups in turn.

    >>> import clearprop as cp
    >>> cp.channel_shuffle(cp.arange(4.0).reshape(1, 4, 1), 2).flatten()
    tensor([0., 2., 1., 3.])
    """
    need_tensors("channel_shuffle", input)
    if isinstance(groups, bool) or not hasattr(groups, "__index__"):
        raise TypeError(f"channel_shuffle: groups must be an integer, got {groups!r}{here()}")
    if input.ndim < 3:
        raise ShapeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes"
            f" {list(input.shape)}{here()}"
        )
    if groups <= 0:
        raise ShapeError(
            "channel_shuffle: Number of groups to divide channels in must be positive. Value of"
            f" groups:{groups}{here()}"
        )
    n, c, *rest = input.shape
    if c % groups:
        raise ShapeError(
            f"channel_shuffle: Number of channels must be divisible by groups. Got {c} channels and"
            f" {groups} groups.{here()}"
        )
    x = reshape_to(input, (n, groups, c // groups, *rest))
    x = permute(x, (0, 2, 1, *range(3, x.ndim)))
    return reshape_to(x, input.shape)


__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]
