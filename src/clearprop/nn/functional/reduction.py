"""What all losses share: reduction to a number, and the check that shapes belong together."""

from __future__ import annotations

from clearprop import ops
from clearprop.core import Tensor
from clearprop.errors import ShapeError
from clearprop.nn.warn import warn
from clearprop.ops.broadcasting import broadcast_shapes, here, need_tensors

REDUCTIONS = ("none", "mean", "sum")
SAME_COUNT = (
    "{op}: input {x} and target {y} have as many elements in different shapes. Broadcasting (N,1)"
    " with (N,) would compare every output with every target. Make the shapes equal:"
    " output.squeeze(-1), or target.unsqueeze(-1){here}"
)
BROADCASTS = (
    "{op}: Using a target size ({y}) that is different to the input size ({x}). This will likely"
    " lead to incorrect results due to broadcasting. Please ensure they have the same size.{here}"
)


def check_reduction(op: str, reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"{op}: {reduction} is not a valid value for reduction; use 'none', 'mean' or"
            f" 'sum'{here()}"
        )


def reduce(op: str, loss: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of all elements, or all of them."""
    check_reduction(op, reduction)
    match reduction:
        case "mean":
            return ops.mean(loss)
        case "sum":
            return ops.sum(loss)
    return loss


def times_weight(op: str, loss: Tensor, weight: Tensor | None) -> Tensor:
    """The elements of a loss, each times its weight."""
    if weight is None:
        return loss
    if weight.shape != loss.shape:
        raise ValueError(
            f"{op}: Weights and input must have the same size: weight is {weight.aval}, the"
            f" elements of the loss are {loss.aval}{here()}"
        )
    return loss * weight


def weighted(op: str, loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """weight * loss, reduced; the mean divides by the sum of the weights."""
    terms = times_weight(op, loss, weight)
    if weight is not None and reduction == "mean":
        return ops.sum(terms) / ops.sum(weight)
    return reduce(op, terms, reduction)


def check_same_shape(op: str, x: Tensor, y: Tensor) -> None:
    """An error for shapes that can only be meant to be equal, a warning where they broadcast."""
    need_tensors(op, x, y)
    if x.shape == y.shape:
        return
    if x.numel() == y.numel():
        raise ShapeError(SAME_COUNT.format(op=op, x=x.aval, y=y.aval, here=here()))
    broadcast_shapes(op, x.shape, y.shape)
    text = BROADCASTS.format(op=op, x=list(x.shape), y=list(y.shape), here=here())
    warn(text)
