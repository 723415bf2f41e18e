"""Losses of numbers against numbers. input and target: any shape, the same."""

from __future__ import annotations

from clearprop import ops
from clearprop.core import Tensor
from clearprop.errors import DtypeError
from clearprop.nn.functional.reduction import check_same_shape, reduce, times_weight, weighted
from clearprop.ops.broadcasting import here


def _needs_float(op: str, kernel: str, input: Tensor, target: Tensor) -> None:
    if not input.is_floating_point() and not target.is_floating_point():
        raise NotImplementedError(
            f'{op}: "{kernel}" not implemented for {input.aval}; use .float(){here()}'
        )


def mse_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """(input - target)^2; the mean over all elements.

    >>> import clearprop as cp
    >>> cp.nn.functional.mse_loss(cp.tensor([1.0, 3.0]), cp.tensor([1.0, 1.0]))
    tensor(2.)
    """
    check_same_shape("mse_loss", input, target)
    _needs_float("mse_loss", "mse_cpu", input, target)
    d = input - target
    return weighted("mse_loss", d * d, weight, reduction)


def l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """|input - target|; the derivative at 0 is 0."""
    check_same_shape("l1_loss", input, target)
    return weighted("l1_loss", ops.abs(input - target), weight, reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta/2; beta = 0 is l1_loss."""
    check_same_shape("smooth_l1_loss", input, target)
    _needs_float("smooth_l1_loss", "smooth_l1_cpu", input, target)
    if beta < 0:
        raise DtypeError(
            "smooth_l1_loss: smooth_l1_loss does not support negative values for beta, got"
            f" {beta}{here()}"
        )
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    d = ops.abs(input - target)
    near = ops.clamp(d, max=beta)  # d^2 of an infinite d would send 0 * inf back
    loss = 0.5 * near * near / beta + (d - near)
    return reduce("smooth_l1_loss", loss, reduction)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """d^2 / 2 where |d| <= delta, else delta (|d| - delta/2) (Huber 1964)."""
    check_same_shape("huber_loss", input, target)
    _needs_float("huber_loss", "huber_cpu", input, target)
    if delta <= 0:
        raise DtypeError(
            "huber_loss: huber_loss does not support non-positive values for delta, got"
            f" {delta}{here()}"
        )
    d = ops.abs(input - target)
    near = ops.clamp(d, max=delta)  # d^2 of an infinite d would send 0 * inf back
    loss = 0.5 * near * near + delta * (d - near)
    # unlike mse_loss and l1_loss the mean is over all elements, whatever they weigh
    return reduce("huber_loss", times_weight("huber_loss", loss, weight), reduction)
