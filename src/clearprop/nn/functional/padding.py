"""pad: more elements around the last axes."""

from __future__ import annotations

from typing import Any

from clearprop import ops
from clearprop.core import Tensor
from clearprop.errors import ShapeError, UnsupportedDtypeError
from clearprop.ops.broadcasting import constant, here, need_tensors, tensor_of
from clearprop.ops.movement import slice_, unslice

MODES = ("constant", "reflect", "replicate", "circular")


def pad(input: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """The input with `pad` = (before, after) elements at the last axis, then at the one before it,
    and so on; negative numbers cut off.

    What is put there: `constant`: value (0); `reflect`: the mirror image, the border itself left
    out; `replicate`: the border; `circular`: the other end. All but constant take the axes of space
    of a tensor with or without a batch axis.

    >>> import clearprop as cp
    >>> x = cp.tensor([[1.0, 2.0, 3.0]])
    >>> cp.nn.functional.pad(x, (1, 2))
    tensor([[0., 1., 2., 3., 0., 0.]])
    >>> cp.nn.functional.pad(x, (2, 1), mode="reflect")
    tensor([[3., 2., 1., 2., 3., 2.]])
    """
    need_tensors("pad", input)
    x = tensor_of(input, "pad")
    pairs = _pairs(x, pad)
    if mode not in MODES:
        raise NotImplementedError(
            f"pad: Unrecognised padding mode {mode}; there are {', '.join(MODES)}{here()}"
        )
    if mode == "constant":
        return _constant(x, pairs, 0 if value is None else value)
    if value:
        raise ShapeError(
            f'pad: Padding mode "{mode}" doesn\'t take in value argument, got {value}{here()}'
        )
    if len(pairs) not in (x.ndim - 1, x.ndim - 2) or not 1 <= len(pairs) <= 3:
        raise NotImplementedError(
            f"pad: Padding size {2 * len(pairs)} is not supported for {x.ndim}D input tensor:"
            f" mode={mode!r} pads the last 1, 2 or 3 axes of a tensor that has channels, and"
            f" perhaps a batch axis, before them{here()}"
        )
    if x.dtype.category == 0 and mode != "circular":
        raise UnsupportedDtypeError(f'pad: "{mode}" not implemented for {x.dtype!r}{here()}')
    for i, (before, after) in enumerate(pairs):
        x = _along(x, x.ndim - 1 - i, before, after, mode)
    return x


def _pairs(x: Tensor, pad: Any) -> list[tuple[int, int]]:
    if not isinstance(pad, tuple | list) or any(
        isinstance(p, bool) or not hasattr(p, "__index__") for p in pad
    ):
        raise TypeError(f"pad: argument 'pad' must be tuple of ints, got {pad!r}{here()}")
    if len(pad) % 2:
        raise ShapeError(f"pad: Padding length must be divisible by 2, got {list(pad)}{here()}")
    if len(pad) > 2 * x.ndim:
        raise ShapeError(
            "pad: Padding length should be less than or equal to two times the input dimension but"
            f" got padding length {len(pad)} and input of dimension {x.ndim}{here()}"
        )
    return [(int(a), int(b)) for a, b in zip(pad[::2], pad[1::2], strict=True)]


def _cut(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """x without -before elements at the front and -after at the end, where these are negative."""
    a, b = max(0, -before), x.shape[axis] - max(0, -after)
    if a == 0 and b == x.shape[axis]:
        return x
    if b < a:
        raise ShapeError(
            f"pad: narrow(): length must be non-negative: padding {(before, after)} cuts off more"
            f" than the {x.shape[axis]} elements of dimension {axis}{here()}"
        )
    starts, stops = [0] * x.ndim, list(x.shape)
    starts[axis], stops[axis] = a, b
    return slice_(x, starts, stops, (1,) * x.ndim)


def _constant(x: Tensor, pairs: list[tuple[int, int]], value: Any) -> Tensor:
    for i, (before, after) in enumerate(pairs):
        x = _cut(x, x.ndim - 1 - i, before, after)
    grown = [(max(0, a), max(0, b)) for a, b in pairs]
    if not any(a or b for a, b in grown):
        return x
    if not value:  # zeros: one op for all axes
        starts = [0] * x.ndim
        shape = list(x.shape)
        for i, (a, b) in enumerate(grown):
            starts[-1 - i] = a
            shape[-1 - i] += a + b
        return unslice(x, tuple(shape), starts, (1,) * x.ndim)
    if x.dtype.category == 0:
        value = bool(value)
    elif x.dtype.category == 1:
        value = int(value)
    for i, (a, b) in enumerate(grown):
        axis = x.ndim - 1 - i
        ends = [
            constant(value, x.value.dtype, (*x.shape[:axis], n, *x.shape[axis + 1 :]))
            for n in (a, b)
        ]
        x = _joined([ends[0], x, ends[1]], axis)
    return x


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    kept = [p for p in parts if p.shape[axis]]
    return ops.cat(kept, axis) if len(kept) > 1 else kept[0] if kept else parts[1]


def _part(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    starts, stops = [0] * x.ndim, list(x.shape)
    starts[axis], stops[axis] = start, stop
    return slice_(x, starts, stops, (1,) * x.ndim)


def _along(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """Pad one axis; what is cut off at one end can still be seen in a mirror at the other, but
    does not come round in a circle.
    """
    n, a, b = x.shape[axis], max(0, before), max(0, after)
    least = {"reflect": max(a, b) + 1, "circular": max(a, b), "replicate": min(1, a + b)}[mode]
    if n < least:
        what = {
            "reflect": "Padding size should be less than the corresponding input dimension",
            "circular": "Padding value causes wrapping around more than once",
            "replicate": "Expected a non-empty dimension",
        }[mode]
        raise ShapeError(
            f"pad: {what}, but got: padding {(before, after)} at dimension {axis} of input"
            f" {list(x.shape)}{here()}"
        )
    if mode == "circular":
        return _circle(_cut(x, axis, min(0, before), min(0, after)), axis, a, b)
    if mode == "reflect":
        front = ops.flip(_part(x, axis, 1, a + 1), axis) if a else None
        back = ops.flip(_part(x, axis, n - 1 - b, n - 1), axis) if b else None
    else:
        front = _repeated(x, axis, 0, a) if a else None
        back = _repeated(x, axis, n - 1, b) if b else None
    y = _joined([part for part in (front, x, back) if part is not None], axis)
    return _cut(y, axis, min(0, before), min(0, after))


def _circle(x: Tensor, axis: int, a: int, b: int) -> Tensor:
    """The last a elements before x and the first b behind it, x going on in a circle."""
    n = x.shape[axis]
    before, after = -(-a // n) if a else 0, -(-b // n) if b else 0
    y = _joined([x] * (before + 1 + after), axis)
    return _part(y, axis, before * n - a, (before + 1) * n + b)


def _repeated(x: Tensor, axis: int, at: int, times: int) -> Tensor:
    edge = _part(x, axis, at, at + 1)
    return ops.expand(edge, (*x.shape[:axis], times, *x.shape[axis + 1 :]))
