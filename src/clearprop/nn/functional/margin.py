"""Losses of a margin: how far the right score lies above the wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clearprop import ops
from clearprop.core import Tensor
from clearprop.core.tensor import known
from clearprop.errors import ShapeError
from clearprop.nn.functional.activation import logsigmoid
from clearprop.nn.functional.distance import pairwise_distance
from clearprop.nn.functional.reduction import reduce
from clearprop.ops import where
from clearprop.ops.broadcasting import broadcast, expand_to, here, need_tensors


def _hinge(x: Tensor) -> Tensor:
    """max(0, x); the derivative at 0 is 1."""
    return ops.clamp(x, min=0)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -y (x1 - x2) + margin): y = 1 wants x1 above x2, y = -1 below.

    >>> import clearprop as cp
    >>> cp.nn.functional.margin_ranking_loss(cp.tensor([1.0]), cp.tensor([3.0]), cp.tensor([1.0]))
    tensor(2.)
    """
    op = "margin_ranking_loss"
    need_tensors(op, input1, input2, target)
    if not input1.ndim == input2.ndim == target.ndim:
        raise ShapeError(
            f"{op}: All input tensors should have same dimension but got sizes: input1:"
            f" {input1.aval}, input2: {input2.aval}, target: {target.aval}{here()}"
        )
    return reduce(op, _hinge(-target * (input1 - input2) + margin), reduction)


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, *, reduction: str = "mean"
) -> Tensor:
    """x where y = 1, max(0, margin - x) where y = -1: x is a distance, y whether it should be
    small.
    """
    x, y = broadcast("hinge_embedding_loss", input, target)
    loss = where(y != 1, _hinge(margin - x), 0.0) + where(y != -1, x, 0.0)
    return reduce("hinge_embedding_loss", loss, reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(x1, x2) where y = 1, max(0, cos(x1, x2) - margin) where y = -1.

    x1, x2: (N, D) and y: (N), or (D) and ().
    """
    op = "cosine_embedding_loss"
    need_tensors(op, input1, input2, target)
    if input1.ndim not in (1, 2) or target.ndim != input1.ndim - 1:
        raise ShapeError(
            f"{op}: {target.ndim}D target tensor expected to have one axis less than the inputs,"
            f" (N, D) and (N), or (D) and (); the inputs are {input1.aval} and {input2.aval}, the"
            f" target is {target.aval}{here()}"
        )
    if (input1.ndim == 2 and input2.ndim != 2) or input2.ndim > input1.ndim:
        raise ShapeError(
            f"{op}: {target.ndim}D target tensor expects {input1.ndim}D input tensors, but found"
            f" inputs with sizes {list(input1.shape)} and {list(input2.shape)}{here()}"
        )
    squares = ops.sum(input1 * input1, -1) + 1e-12, ops.sum(input2 * input2, -1) + 1e-12
    cos = ops.sum(input1 * input2, -1) / ops.sqrt(squares[0] * squares[1])
    y, cos = broadcast(op, target, cos)
    loss = where(y == 1, 1 - cos, 0.0) + where(y == -1, _hinge(cos - margin), 0.0)
    return reduce(op, loss, reduction)


def soft_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """log(1 + e^(-y x)) with y = 1 or -1."""
    x, y = broadcast("soft_margin_loss", input, target)
    return reduce("soft_margin_loss", -logsigmoid(x * y), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """w[y]/C · the sum over all classes i other than y of max(0, margin - x[y] + x[i])^p.

    x: (N, C) and y: (N), or (C) and (); p is 1 or 2.
    """
    op = "multi_margin_loss"
    need_tensors(op, input, target)
    if p not in (1, 2):
        raise ValueError(f"{op}: only p == 1 and p == 2 supported, got {p}{here()}")
    if input.ndim not in (1, 2) or target.shape != input.shape[:-1]:
        raise ShapeError(
            f"{op}: inconsistent target size, got: {target.aval} for an input {input.aval}; (N, C)"
            f" and (N), or (C) and () belong together{here()}"
        )
    classes = input.shape[-1]
    if weight is not None and weight.shape != (classes,):
        raise ShapeError(
            f"{op}: inconsistent weight size, expected {classes} but got {weight.aval}{here()}"
        )
    value = known(target)
    if value is not None and value.size and not (0 <= value.min() <= value.max() < classes):
        raise ShapeError(f"{op}: target out of range, there are {classes} classes{here()}")
    index = ops.unsqueeze(target, -1)
    gap = margin - ops.gather(input, -1, index) + input
    one_hot = ops.one_hot(target, classes) == 1
    loss = where(one_hot, 0.0, ops.relu(gap) if p == 1 else ops.relu(gap) ** 2)
    if weight is not None:
        flat = ops.reshape(target, (target.numel(),))
        w = ops.reshape(ops.index_select(weight, 0, flat), target.shape)
        loss = loss * ops.unsqueeze(w, -1)
    return reduce(op, ops.sum(loss, -1) / classes, reduction)


def multilabel_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """1/C · the sum of max(0, 1 - (x[j] - x[i])) over target classes j and all other classes i.

    x: (N, C) or (C); y of that shape: class indices, the first -1 ends them.
    """
    op = "multilabel_margin_loss"
    need_tensors(op, input, target)
    if input.ndim not in (1, 2) or target.shape != input.shape:
        raise ShapeError(
            f"{op}: inconsistent target size: the input is {input.aval}, the target"
            f" {target.aval}; (N, C) or (C) for both{here()}"
        )
    classes = input.shape[-1]
    value = known(target)
    if value is not None and value.size and not (-1 <= value.min() <= value.max() < classes):
        raise ShapeError(f"{op}: target is out of range, there are {classes} classes{here()}")
    given = ops.cumprod((target >= 0).long(), -1) == 1  # type: ignore[attr-defined]
    index = where(given, target, 0)
    hot = (ops.one_hot(index, classes) == 1) & ops.unsqueeze(given, -1)
    other = ops.unsqueeze(~ops.any(hot, -2), -2) & ops.unsqueeze(given, -1)
    gap = 1 - ops.unsqueeze(ops.gather(input, -1, index), -1) + ops.unsqueeze(input, -2)
    loss = where(other, ops.relu(gap), 0.0)
    return reduce(op, ops.sum(loss, (-2, -1)) / classes, reduction)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """The mean over classes of -(y log σ(x) + (1-y) log σ(-x)), y = 0 or 1; x, y: (N, C)."""
    x, y = broadcast("multilabel_soft_margin_loss", input, target)
    loss = -(y * logsigmoid(x) + (1 - y) * logsigmoid(-x))
    if weight is not None:
        loss = loss * expand_to(weight, loss.shape)
    return reduce("multilabel_soft_margin_loss", ops.mean(loss, -1), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Tensor:
    """max(0, |a - p| - |a - n| + margin) with the p-norm of the last axis; swap takes |p - n| for
    |a - n| where it is smaller.
    """
    return _triplet(
        "triplet_margin_loss",
        lambda x, y: pairwise_distance(x, y, p, eps),
        (anchor, positive, negative),
        margin,
        swap,
        reduction,
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with a distance of your own; the Euclidean one if None."""
    distance = pairwise_distance if distance_function is None else distance_function
    op, inputs = "triplet_margin_with_distance_loss", (anchor, positive, negative)
    return _triplet(op, distance, inputs, margin, swap, reduction)


def _triplet(
    op: str,
    distance: Callable[..., Any],
    inputs: tuple[Tensor, Tensor, Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    need_tensors(op, *inputs)
    anchor, positive, negative = inputs
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise ShapeError(
            f"{op}: The anchor, positive, and negative tensors are expected to have the same number"
            f" of dimensions, but got {anchor.aval}, {positive.aval} and {negative.aval}{here()}"
        )
    if margin <= 0:
        raise ValueError(f"{op}: margin must be greater than 0, got {margin}{here()}")
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = ops.minimum(far, distance(positive, negative))
    return reduce(op, _hinge(margin + near - far), reduction)
