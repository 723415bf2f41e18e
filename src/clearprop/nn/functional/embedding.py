"""Rows of a table by number, alone or joined in bags."""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop import ops
from clearprop.autograd import Function, no_grad
from clearprop.core import Tensor, apply, int32, int64
from clearprop.core.tensor import known
from clearprop.errors import DtypeError, ShapeError
from clearprop.nn.warn import warn
from clearprop.ops.broadcasting import cast, constant, expand_to, here, need_tensors, zeros_for
from clearprop.ops.elementwise import where
from clearprop.ops.index import TAKE, gather
from clearprop.ops.movement import reshape_to
from clearprop.ops.scattering import index_add


class _Lookup(Function):
    """The rows as they are. Their gradient: 0 at the padding row, over the number of times that an
    index occurs.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, padding: Tensor | None, count: Tensor | None) -> Tensor:
        ctx.save_for_backward(padding, count)
        return rows.view_as(rows)  # type: ignore[attr-defined,no-any-return]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        padding, count = ctx.saved_tensors
        if padding is not None:
            g = where(_beside(padding, g), zeros_for(g), g)
        return g if count is None else g / _beside(count, g), None, None


def _beside(per_row: Tensor, rows: Tensor) -> Tensor:
    """One number per row, at the shape of the rows."""
    return expand_to(reshape_to(per_row, (*per_row.shape, 1)), rows.shape)


def _indices(op: str, name: str, index: Tensor) -> Tensor:
    need_tensors(op, index)
    if index.dtype not in (int64, int32):
        raise DtypeError(
            f"{op}: Expected tensor for argument #1 '{name}' to have one of the following scalar"
            f" types: Long, Int; but got {index.aval} instead; use x.long(){here()}"
        )
    return cast(index, int64)


def _in_range(op: str, index: Tensor, size: int, error: type[Exception]) -> Tensor:
    value = known(index)
    if value is None:  # what comes at run time: out of range below is out of range above
        return where(index < 0, constant(size, np.dtype(np.int64), index.shape), index)
    if value.size and not 0 <= value.min() <= value.max() < size:
        bad = value.min() if value.min() < 0 else value.max()
        raise error(
            f"{op}: index out of range in self: {bad} is not in the valid range [0, {size}), the"
            f" rows of the table{here()}"
        )
    return index


def _padding(op: str, padding_idx: int | None, rows: int) -> int | None:
    if padding_idx is None:
        return None
    assert -rows <= padding_idx < rows, (
        f"{op}: Padding_idx must be within num_embeddings, got {padding_idx} for {rows} rows"
    )
    return padding_idx % rows


def _shorten(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are looked up, and longer than max_norm, to that length, in place."""
    with no_grad():
        rows = weight.shape[0]
        used = _counts(index, rows) > 0
        length = ops.norm(weight, norm_type, 1)
        factor = where(
            ops.logical_and(used, length > max_norm),
            max_norm / (length + 1e-7),  # type: ignore[operator]
            constant(1, weight.value.dtype, (rows,)),
        )
        weight.mul_(_beside(factor, weight))  # type: ignore[attr-defined]


def _counts(index: Tensor, rows: int) -> Tensor:
    """How often every row is looked up."""
    flat = reshape_to(index, (index.numel(),))
    zeros = constant(0, np.dtype(np.int64), (rows,))
    return index_add(zeros, 0, flat, constant(1, np.dtype(np.int64), flat.shape))


def _rows(index: Tensor, weight: Tensor, padding: int | None, scale_grad_by_freq: bool) -> Tensor:
    rows = apply(TAKE, weight, index)
    if padding is None and not scale_grad_by_freq:
        return rows
    mask = None if padding is None else index == padding
    count = None
    if scale_grad_by_freq:
        count = cast(apply(TAKE, _counts(index, weight.shape[0]), index), weight.dtype)
    return _Lookup.apply(rows, mask, count)  # type: ignore[no-any-return]


def _table(op: str, weight: Tensor) -> None:
    need_tensors(op, weight)
    if weight.ndim != 2:
        raise ShapeError(f"{op}: 'weight' must be 2-D, got {weight.aval}{here()}")


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """y[...] = weight[input[...]];  input: int64 or int32 (...), weight: (V, D), y: (..., D).

    The row `padding_idx` gets no gradient. `max_norm` first shortens the rows that are looked up,
    in place. `scale_grad_by_freq` divides a row's gradient by the number of its uses. `sparse` is
    accepted; gradients are dense always, with the same numbers. Raises IndexError out of range.

    >>> import clearprop as cp
    >>> cp.nn.functional.embedding(cp.tensor([1, 0]), cp.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    index = _indices("embedding", "indices", input)
    _table("embedding", weight)
    padding = _padding("embedding", padding_idx, weight.shape[0])
    index = _in_range("embedding", index, weight.shape[0], IndexError)
    if max_norm is not None:
        _shorten(weight, index, max_norm, norm_type)
    return _rows(index, weight, padding, scale_grad_by_freq)


# ---------------------------------------------------------------------- bags
def _check_bags(
    input: Tensor, offsets: Tensor | None, weights: Tensor | None, mode: str, last: bool
) -> None:
    op = "embedding_bag"
    if weights is not None and input.shape != weights.shape:
        raise ValueError(
            f"{op}: If per_sample_weights (torch.Size({list(weights.shape)})) is not None, then it"
            f" must have the same shape as the input (torch.Size({list(input.shape)})){here()}"
        )
    if input.ndim == 2 and offsets is not None:
        raise ValueError(
            f"{op}: if input is 2D, then offsets has to be None, as input is treated is a"
            f" mini-batch of fixed length sequences. However, found offsets of type"
            f" {type(offsets)}{here()}"
        )
    if input.ndim == 1 and (offsets is None or offsets.ndim != 1):
        got = "None" if offsets is None else str(offsets.aval)
        raise ValueError(f"{op}: offsets has to be a 1D Tensor but got {got}{here()}")
    if input.ndim not in (1, 2):
        raise ValueError(
            f"{op}: input has to be 1D or 2D Tensor, but got Tensor of dimension"
            f" {input.ndim}{here()}"
        )
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"{op}: mode has to be one of sum, mean or max, got {mode!r}{here()}")
    if weights is not None and mode != "sum":
        raise NotImplementedError(
            f"{op}: per_sample_weights was not None. per_sample_weights is only supported for"
            f" mode='sum' (got mode={mode!r}){here()}"
        )
    value = None if offsets is None else known(offsets)
    if value is None or not value.size:
        return
    if value[0] != 0:
        raise ShapeError(
            f"{op}: offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start"
            f" from position 0. However, got {value[0]}{here()}"
        )
    if value[-1] > input.shape[0]:
        raise ShapeError(
            f"{op}: offsets[-1] can not be greater than input's length {input.shape[0]} but got"
            f" offsets[-1] of {value[-1]}{here()}"
        )
    if (np.diff(value) < 0).any():
        raise ShapeError(f"{op}: offsets must not decrease, got {value.tolist()}{here()}")


def _bag_of_each(offsets: Tensor, n: int) -> Tensor:
    """The bag that each of n positions belongs to: the last one that begins at or before it."""
    at = ops.arange(n)
    begun = expand_to(reshape_to(offsets, (1, offsets.shape[0])), (n, offsets.shape[0]))
    return ops.sum(cast(begun <= expand_to(reshape_to(at, (n, 1)), begun.shape), int64), 1) - 1


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of the rows of each bag: input (B, L) holds B bags, or input (N)
    holds them one after the other, bag b beginning at offsets[b]; y: (B, D).

    `per_sample_weights` multiplies the rows (mode 'sum'). The index `padding_idx` counts for
    nothing. An empty bag gives zeros. With `include_last_offset` the last offset ends the last bag.
    `scale_grad_by_freq` divides by the uses of the very row (PyTorch 2.13 takes another row's).

    >>> import clearprop as cp
    >>> w = cp.tensor([[1.0], [2.0], [4.0]])
    >>> cp.nn.functional.embedding_bag(cp.tensor([0, 1, 2]), w, cp.tensor([0, 1]), mode="sum")
    tensor([[1.],
            [6.]])
    """
    op = "embedding_bag"
    if weight.dtype is int64 and input.is_floating_point():
        warn(
            "Argument order of nn.functional.embedding_bag was changed: it is"
            " embedding_bag(input, weight, ...)"
        )
        input, weight = weight, input
    _check_bags(input, offsets, per_sample_weights, mode, include_last_offset)
    index = _indices(op, "indices", input)
    _table(op, weight)
    if per_sample_weights is not None and per_sample_weights.dtype is not weight.dtype:
        raise DtypeError(
            f"{op}: Expected per_sample_weights to have the same type as weight, but got"
            f" {per_sample_weights.aval} and {weight.aval}{here()}"
        )
    if mode == "max" and scale_grad_by_freq:
        raise ValueError(
            f"{op}: max mode does not support scaling the gradient by the frequency{here()}"
        )
    padding = _padding(op, padding_idx, weight.shape[0])
    index = _in_range(op, index, weight.shape[0], ShapeError)
    if max_norm is not None:
        _shorten(weight, index, max_norm, norm_type)
    rows = _rows(index, weight, padding, scale_grad_by_freq)
    counts = None if padding is None else index != padding
    if per_sample_weights is not None:
        rows = rows * _beside(per_sample_weights, rows)
    if offsets is None:
        return _joined(rows, counts, mode)
    bags = offsets.shape[0] - include_last_offset
    starts = cast(_indices(op, "offsets", offsets), int64)
    if include_last_offset:
        starts = ops.narrow(starts, 0, 0, bags)
    return _ragged(rows, counts, _bag_of_each(starts, index.shape[0]), bags, mode)


def _joined(rows: Tensor, counts: Tensor | None, mode: str) -> Tensor:
    """(B, L, D) joined along L; `counts` says which of the rows do."""
    if mode == "max":
        return _largest(rows, counts)
    if counts is None:
        return ops.sum(rows, 1) if mode == "sum" else ops.mean(rows, 1)
    total = ops.sum(where(_beside(counts, rows), rows, zeros_for(rows)), 1)
    if mode == "sum":
        return total
    return total / _beside(_at_least_one(ops.sum(counts, 1), total), total)


def _at_least_one(count: Tensor, like: Tensor) -> Tensor:
    return cast(ops.clamp(count, min=1), like.dtype)


def _largest(rows: Tensor, counts: Tensor | None) -> Tensor:
    """The largest along axis 1 of (B, L, D), the first of equal ones; 0 where none counts."""
    shown = rows
    if counts is not None:
        low = constant(-np.inf, rows.value.dtype, rows.shape)
        shown = where(_beside(counts, rows), rows, low)
    best = reshape_to(gather(rows, 1, ops.argmax(shown, 1, True)), (rows.shape[0], rows.shape[2]))
    if counts is None:
        return best
    return where(_beside(ops.any(counts, 1), best), best, zeros_for(best))


def _ragged(rows: Tensor, counts: Tensor | None, bag: Tensor, bags: int, mode: str) -> Tensor:
    """(N, D) joined by bag."""
    n, width = rows.shape
    if mode == "max":
        each = expand_to(reshape_to(ops.arange(bags), (bags, 1)), (bags, n))
        member = each == expand_to(reshape_to(bag, (1, n)), (bags, n))
        if counts is not None:
            member = ops.logical_and(member, expand_to(reshape_to(counts, (1, n)), (bags, n)))
        if not n:
            return ops.zeros(bags, width, dtype=rows.dtype)
        return _largest(expand_to(reshape_to(rows, (1, n, width)), (bags, n, width)), member)
    if counts is not None:
        rows = where(_beside(counts, rows), rows, zeros_for(rows))
    total = index_add(constant(0, rows.value.dtype, (bags, width)), 0, bag, rows)
    if mode == "sum":
        return total
    one = constant(1, np.dtype(np.int64), (n,)) if counts is None else cast(counts, int64)
    size = index_add(constant(0, np.dtype(np.int64), (bags,)), 0, bag, one)
    return total / _beside(_at_least_one(size, total), total)
