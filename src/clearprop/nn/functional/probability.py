"""Losses of probabilities: binary cross-entropy, of probabilities or logits, and the
Kullback-Leibler divergence.
"""

from __future__ import annotations

import numpy as np

from clearprop import ops
from clearprop.core import Tensor
from clearprop.core.tensor import known
from clearprop.errors import DtypeError
from clearprop.nn.functional.activation import logsigmoid
from clearprop.nn.functional.reduction import check_reduction, reduce
from clearprop.nn.warn import warn
from clearprop.ops import where
from clearprop.ops.broadcasting import here

# The least p (1 - p) in the derivative, a float32 in PyTorch's kernels of any type; the logarithms
# in the value are at least -100.
LEAST = float(np.float32(1e-12))
MEAN_OF_KL = (
    "kl_div: reduction: 'mean' divides the total loss by both the batch size and the support"
    " size. 'batchmean' divides only by the batch size, and aligns with the KL div math definition."
)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """-(y log p + (1-y) log(1-p)) of probabilities, logarithms limited to -100. For logits use
    binary_cross_entropy_with_logits, which keeps more digits.
    """
    if input.shape != target.shape:
        raise ValueError(
            f"binary_cross_entropy: Using a target size ({list(target.shape)}) that is different to"
            f" the input size ({list(input.shape)}) is deprecated. Please ensure they have the same"
            f" size.{here()}"
        )
    value = known(input)
    if value is not None and value.size and not ((value >= 0) & (value <= 1)).all():
        raise DtypeError(
            "binary_cross_entropy: all elements of input should be between 0 and 1; these look"
            f" like logits: use binary_cross_entropy_with_logits{here()}"
        )
    loss = _bce(input, target)
    return reduce("binary_cross_entropy", loss if weight is None else loss * weight, reduction)


def _bce(p: Tensor, y: Tensor) -> Tensor:
    """The derivative is (p - y) / max(p (1-p), 1e-12), and so is the derivative of what is written
    here: the logarithms inside, a parabola in d = p - p.detach() = 0 near the ends.
    """
    inside = p * (1 - p) >= LEAST
    q = where(inside, p, 0.5)
    fixed = p.detach()
    d = p - fixed
    log_p = ops.clamp(ops.log(fixed), min=-100.0)
    log_q = ops.clamp(ops.log1p(-fixed), min=-100.0)
    end = (y - 1) * log_q - y * log_p + ((fixed - y) * d + 0.5 * d * d) / LEAST
    return where(inside, (y - 1) * ops.log1p(-q) - y * ops.log(q), end)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """(1-y) x + (1 + (w-1) y) log(1 + e^-x), exact at any x; w = pos_weight multiplies the positive
    term.

    >>> import clearprop as cp
    >>> loss = cp.nn.functional.binary_cross_entropy_with_logits
    >>> loss(cp.tensor([1000.0, -1000.0]), cp.tensor([1.0, 1.0]), reduction="none")
    tensor([   0., 1000.])
    """
    op = "binary_cross_entropy_with_logits"
    if input.shape != target.shape:
        raise ValueError(
            f"{op}: Target size ({list(target.shape)}) must be the same as input size"
            f" ({list(input.shape)}){here()}"
        )
    tail = -logsigmoid(input)
    positive = tail if pos_weight is None else tail * (1 + (pos_weight - 1) * target)
    loss = (1 - target) * input + positive
    return reduce(op, loss if weight is None else loss * weight, reduction)


def kl_div(
    input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """p (log p - input) with input = log q and target = p (log p if log_target); 0 where p = 0.
    'batchmean' divides by N, 'mean' by the number of elements.
    """
    if reduction != "batchmean":
        check_reduction("kl_div", reduction)
    if reduction == "mean":
        warn(MEAN_OF_KL)
    if log_target:
        loss = ops.exp(target) * (target - input)
    else:
        none = target == 0
        loss = where(none, 0.0, target * ops.log(where(none, 1.0, target))) - target * input
    if reduction == "batchmean":
        return ops.sum(loss) / (input.shape[0] if input.ndim else 1)
    return reduce("kl_div", loss, reduction)
