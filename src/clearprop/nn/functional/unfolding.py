"""unfold and fold (im2col, col2im): windows of images as columns, columns added up to images."""

from __future__ import annotations

import math
from typing import Any

from clearprop.core import Tensor
from clearprop.errors import ShapeError, UnsupportedDtypeError
from clearprop.ops.broadcasting import here, need_tensors, tensor_of
from clearprop.ops.movement import permute, reshape_to, slice_, unslice
from clearprop.ops.sizes import numbers
from clearprop.ops.windows import places, unwindow, window

Pair = tuple[int, ...]


def _options(
    op: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[Pair, Pair, Pair, Pair]:
    out = []
    for name, value, least in (
        ("kernel_size", kernel_size, 1), ("dilation", dilation, 1), ("padding", padding, 0),
        ("stride", stride, 1),
    ):  # fmt: skip
        values = numbers(op, name, value, 2)
        if min(values) < least:
            wanted = "greater than zero" if least else "non-negative"
            raise ShapeError(f"{op}: {name} should be {wanted}, but got {list(values)}{here()}")
        out.append(values)
    return tuple(out)  # type: ignore[return-value]


def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """(N, C, H, W) -> (N, C KH KW, T): column t holds window t of all channels, row by row.

    >>> import clearprop as cp
    >>> cp.nn.functional.unfold(cp.arange(6.0).reshape(1, 1, 2, 3), 2)
    tensor([[[0., 1.],
             [1., 2.],
             [3., 4.],
             [4., 5.]]])
    """
    need_tensors("unfold", input)
    x = tensor_of(input, "unfold")
    kernel, gaps, pads, step = _options("unfold", kernel_size, dilation, padding, stride)
    if x.ndim not in (3, 4) or 0 in x.shape[-3:]:
        raise ShapeError(
            "unfold: Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other"
            f" non-zero dimensions for input, but got: {list(x.shape)}{here()}"
        )
    if x.dtype.category == 1:
        raise UnsupportedDtypeError(
            f'unfold: "im2col" not implemented for {x.dtype!r}; convert it with .float(){here()}'
        )
    c, h, w = x.shape[-3:]
    wide = (h + 2 * pads[0], w + 2 * pads[1])
    blocks = tuple(map(places, wide, kernel, step, gaps))
    if min(blocks) < 1:
        raise ShapeError(
            f"unfold: Given input with spatial size {(h, w)}, kernel_size={kernel},"
            f" dilation={gaps}, padding={pads}, calculated shape of the array of sliding blocks as"
            f" {blocks}, but its components must be at least one.{here()}"
        )
    lead = x.shape[:-3]
    if any(pads):
        before = (0,) * (x.ndim - 2) + pads
        x = unslice(x, (*x.shape[:-2], *wide), before, (1,) * x.ndim)
    n = x.ndim
    x = window(x, dim=n - 2, size=kernel[0], step=step[0], dilation=gaps[0])
    x = window(x, dim=n - 1, size=kernel[1], step=step[1], dilation=gaps[1])
    x = permute(x, (*range(n - 2), n, n + 1, n - 2, n - 1))
    return reshape_to(x, (*lead, c * math.prod(kernel), math.prod(blocks)))


def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
    stride: Any = 1,
) -> Tensor:  # fmt: skip
    """(N, C KH KW, T) -> (N, C, H, W): the adjoint of unfold; where windows overlap, they add up.

    >>> import clearprop as cp
    >>> F = cp.nn.functional
    >>> F.fold(F.unfold(cp.ones(1, 1, 2, 3), 2), (2, 3), 2)
    tensor([[[[1., 2., 1.],
              [1., 2., 1.]]]])
    """
    need_tensors("fold", input)
    x = tensor_of(input, "fold")
    size = numbers("fold", "output_size", output_size, 2)
    kernel, gaps, pads, step = _options("fold", kernel_size, dilation, padding, stride)
    if x.ndim not in (2, 3) or 0 in x.shape[-2:]:
        raise ShapeError(
            "fold: Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and"
            f" non-zero dimensions for input, but got: {list(x.shape)}{here()}"
        )
    rows, columns = x.shape[-2:]
    if rows % math.prod(kernel):
        raise ShapeError(
            "fold: Expected size of input's dimension 1 to be divisible by the product of"
            f" kernel_size, but got input.size(1)={rows} and kernel_size={kernel}.{here()}"
        )
    wide = tuple(n + 2 * p for n, p in zip(size, pads, strict=True))
    blocks = tuple(map(places, wide, kernel, step, gaps))
    if min(blocks) < 1 or math.prod(blocks) != columns:
        raise ShapeError(
            f"fold: Given output_size={size}, kernel_size={kernel}, dilation={gaps},"
            f" padding={pads}, stride={step}, expected size of input's dimension 2 to match the"
            f" calculated number of sliding blocks {blocks[0]} * {blocks[1]} ="
            f" {math.prod(blocks)}, but got input.size(2)={columns}.{here()}"
        )
    lead = x.shape[:-2]
    c, n = rows // math.prod(kernel), x.ndim + 1
    x = reshape_to(x, (*lead, c, *kernel, *blocks))
    x = permute(x, (*range(n - 2), n, n + 1, n - 2, n - 1))
    x = unwindow(x, dim=n - 1, length=wide[1], size=kernel[1], step=step[1], dilation=gaps[1])
    x = unwindow(x, dim=n - 2, length=wide[0], size=kernel[0], step=step[0], dilation=gaps[0])
    if any(pads):
        starts = (0,) * (n - 2) + pads
        stops = (*x.shape[:-2], *(p + s for p, s in zip(pads, size, strict=True)))
        x = slice_(x, starts, stops, (1,) * n)
    return x
