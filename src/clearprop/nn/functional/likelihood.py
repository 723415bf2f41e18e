"""Negative log-likelihoods of numbers: Gaussian and Poisson."""

from __future__ import annotations

import math

from clearprop import ops
from clearprop.core import Tensor
from clearprop.core.tensor import known
from clearprop.nn.functional.reduction import reduce
from clearprop.ops import where
from clearprop.ops.broadcasting import here, need_tensors


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log v + (x - y)²/v) / 2 with v = max(var, eps), the variance of y around x.

    var: a number, or of the shape of the input, or with a last axis of size 1 or none; `full` adds
    log(2π)/2.

    >>> import clearprop as cp
    >>> nll = cp.nn.functional.gaussian_nll_loss
    >>> nll(cp.tensor([1.0]), cp.tensor([3.0]), cp.tensor([1.0]))
    tensor(2.)
    """
    need_tensors("gaussian_nll_loss", input, target)
    if not isinstance(var, Tensor):
        if var < 0:
            raise ValueError(f"gaussian_nll_loss: var has negative entry/entries: {var}{here()}")
        var = ops.full_like(input.detach(), var)
    if var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = ops.unsqueeze(var, -1)
        elif not (var.shape[:-1] == input.shape[:-1] and var.shape[-1:] == (1,)):
            raise ValueError(
                f"gaussian_nll_loss: var is of incorrect size: {var.aval} for an input"
                f" {input.aval}{here()}"
            )
    value = known(var)
    if value is not None and (value < 0).any():
        raise ValueError(
            f"gaussian_nll_loss: var has negative entry/entries; predict its logarithm, or use"
            f" softplus{here()}"
        )
    fixed = var.detach()
    v = var + (ops.clamp(fixed, min=eps) - fixed)  # the derivative is that of var, as in PyTorch
    loss = 0.5 * (ops.log(v) + (input - target) ** 2 / v)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduce("gaussian_nll_loss", loss, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """e^x - y x with x the logarithm of the rate, or x - y log(x + eps) with log_input=False.

    `full` adds Stirling's y log y - y + log(2π y)/2 where y > 1.
    """
    need_tensors("poisson_nll_loss", input, target)
    if log_input:
        loss = ops.exp(input) - target * input
    else:
        loss = input - target * ops.log(input + eps)
    if full:
        y = where(target > 1, target, 1.0)
        stirling = y * ops.log(y) - y + 0.5 * ops.log(2 * math.pi * y)
        loss = loss + where(target > 1, stirling, 0.0)
    return reduce("poisson_nll_loss", loss, reduction)
