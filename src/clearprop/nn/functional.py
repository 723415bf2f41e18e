"""Layers and losses as functions. Everything is written in ops, so it is differentiated, traced and
drawn like user code.
"""

from __future__ import annotations

import math

import numpy as np

from clearprop import ops
from clearprop.core import Tensor, local, wrap
from clearprop.core import random as random_module
from clearprop.errors import DtypeError, ShapeError
from clearprop.ops import log_softmax, relu, sigmoid, softmax, tanh, where
from clearprop.ops.broadcasting import constant, expand_to, here
from clearprop.ops.movement import permute, reshape_to

one_hot = ops.one_hot


# ---------------------------------------------------------------------- layers
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x W^T + b;  x: (..., in), W: (out, in), b: (out), y: (..., out)."""
    if x.shape[-1:] != weight.shape[-1:]:
        got = "x".join(map(str, x.shape))
        shown = (
            f"{weight.shape[-1]}x{weight.shape[0]}" if weight.ndim == 2 else str(list(weight.shape))
        )
        raise ShapeError(
            f"linear: mat1 and mat2 shapes cannot be multiplied ({got} and {shown}): the layer has"
            f" in_features={weight.shape[-1]}, got {x.shape[-1] if x.ndim else 'a 0-d tensor'}; x"
            f" is {x.aval}, weight is {weight.aval}{here()}"
        )
    y = ops.matmul(x, permute(weight, (1, 0)))
    return y if bias is None else y + expand_to(bias, y.shape)


def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element is 0 with probability p, else x / (1 - p); the identity when not training. The
    mask is drawn from the default generator.
    """
    if not 0 <= p <= 1:
        raise ValueError(
            f"dropout: dropout probability has to be between 0 and 1, but got {p}{here()}"
        )
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0.0
    keep = random_module.default_generator.uniform(x.shape, np.float32) >= p
    mask = wrap(keep.astype(x.value.dtype) / x.value.dtype.type(1 - p), None)
    return x.mul_(mask) if inplace else x * mask  # type: ignore[attr-defined,no-any-return]


# ---------------------------------------------------------------------- activations
def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else slope * x; the derivative at 0 is the slope."""
    return where(x > 0, x, x * negative_slope)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (e^x - 1)."""
    return where(x > 0, x, alpha * ops.expm1(where(x > 0, constant(0, x.value.dtype, x.shape), x)))


def selu(x: Tensor) -> Tensor:
    """1.0507 * elu(x, 1.6733): the self-normalising pair of constants (Klambauer et al. 2017)."""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta x)) / beta; the identity where beta x > threshold."""
    bx = x * beta
    large = bx > threshold
    return where(
        large, x, ops.log1p(ops.exp(where(large, constant(0, x.value.dtype, x.shape), bx))) / beta
    )


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x) with the normal distribution function (erf), or its tanh approximation (Hendrycks &
    Gimpel 2016).
    """
    if approximate == "tanh":
        return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    if approximate != "none":
        raise DtypeError(
            f"gelu: approximate argument must be either none or tanh, got {approximate!r}{here()}"
        )
    return 0.5 * x * (1 + ops.erf(x * math.sqrt(0.5)))


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    return x * sigmoid(x)


def mish(x: Tensor) -> Tensor:
    """x * tanh(softplus(x))."""
    return x * tanh(softplus(x))


def logsigmoid(x: Tensor) -> Tensor:
    """log(sigmoid(x)) = min(x, 0) - log(1 + e^-|x|)."""
    return ops.minimum(x, 0.0) - ops.log1p(ops.exp(-ops.abs(x)))


def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return x / (1 + ops.abs(x))


def hardtanh(x: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x limited to [min_val, max_val]; unlike clamp the derivative at both bounds is 0."""
    low, high = constant(min_val, x.value.dtype, x.shape), constant(max_val, x.value.dtype, x.shape)
    return where(x <= min_val, low, where(x >= max_val, high, x))


def relu6(x: Tensor) -> Tensor:
    """min(max(x, 0), 6)."""
    return hardtanh(x, 0.0, 6.0)


# ---------------------------------------------------------------------- losses
def _reduce(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return ops.mean(loss)
    if reduction == "sum":
        return ops.sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(
        f"loss: {reduction!r} is not a valid value for reduction; use 'none', 'mean' or"
        f" 'sum'{here()}"
    )


def _same_shape(op: str, x: Tensor, y: Tensor) -> None:
    if x.shape == y.shape:
        return
    if x.numel() == y.numel():
        raise ShapeError(
            f"{op}: input {x.aval} and target {y.aval} have as many elements in different shapes;"
            " broadcasting them would compare every output with every target and pull all outputs"
            f" to the mean. Make them equal: output.squeeze(-1), or target.unsqueeze(-1){here()}"
        )
    ops.broadcast_tensors(x.detach(), y.detach())


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Mean of (input - target)^2 over all elements."""
    _same_shape("mse_loss", input, target)
    if input.dtype.category != 2:
        raise NotImplementedError(
            f'mse_loss: "mse_cpu" not implemented for {input.aval}; use .float(){here()}'
        )
    d = input - target
    return _reduce(d * d, reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Mean of |input - target|; the derivative at 0 is 0."""
    _same_shape("l1_loss", input, target)
    return _reduce(ops.abs(input - target), reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta/2."""
    _same_shape("smooth_l1_loss", input, target)
    if beta < 0:
        raise DtypeError(f"smooth_l1_loss does not support negative values for beta.{here()}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    d = ops.abs(input - target)
    return _reduce(where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta), reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """d^2 / 2 where |d| <= delta, else delta (|d| - delta/2)."""
    _same_shape("huber_loss", input, target)
    if delta <= 0:
        raise DtypeError(f"huber_loss does not support non-positive values for delta.{here()}")
    d = ops.abs(input - target)
    return _reduce(where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta)), reduction)


def _classes_last(x: Tensor) -> Tensor:
    """(N, C, d1, ...) as rows of classes (N * d1 * ..., C)."""
    if x.ndim <= 2:
        return reshape_to(x, (1, *x.shape)) if x.ndim == 1 else x
    moved = permute(x, (0, *range(2, x.ndim), 1))
    return reshape_to(moved, (moved.numel() // x.shape[1], x.shape[1]))


def _check_targets(op: str, x: Tensor, target: Tensor, ignore_index: int) -> None:
    wanted = (x.shape[0], *x.shape[2:]) if x.ndim > 1 else ()
    if target.shape != wanted:
        raise ValueError(
            f"{op}: Expected input batch_size ({x.shape[0] if x.ndim > 1 else 1}) to match target"
            f" batch_size ({target.shape[0] if target.ndim else 1}): input is {x.aval}, so class"
            f" indices of shape {list(wanted)} are wanted, got {target.aval}{here()}"
        )
    if target.dtype.name not in ("int64", "uint8"):
        raise DtypeError(
            f'{op}: expected scalar type Long but found {target.dtype.name}: "nll_loss" wants int64'
            f" class indices, use target.long(){here()}"
        )
    value = target.value
    if value.__class__ is np.ndarray and value.size:
        classes = x.shape[1] if x.ndim > 1 else x.shape[0]
        bad = value[((value < 0) | (value >= classes)) & (value != ignore_index)]
        if bad.size:
            raise IndexError(
                f"{op}: Target {int(bad.flat[0])} is out of bounds. There are {classes} classes: 0"
                f" to {classes - 1}{here()}"
            )


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-w[y] input[y] over rows of log-probabilities; 'mean' divides by the sum of w[y] over targets
    that are not ignored.
    """
    _check_targets("nll_loss", input, target, ignore_index)
    return _class_loss(_classes_last(input), target, weight, ignore_index, reduction, 0.0)


def _class_loss(
    logp: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
) -> Tensor:
    """Rows of log-probabilities against class indices."""
    flat = reshape_to(target, (target.numel(),)).long()  # type: ignore[attr-defined]
    d, rows = logp.value.dtype, (flat.shape[0],)
    none_ignored = flat.value.__class__ is np.ndarray and not (flat.value == ignore_index).any()
    keep = None if none_ignored else ops.ne(flat, ignore_index)
    safe = flat if keep is None else where(keep, flat, 0)
    loss = -reshape_to(ops.gather(logp, 1, ops.unsqueeze(safe, 1)), rows)
    w = None if weight is None else ops.index_select(weight, 0, safe)
    if w is not None:
        loss = loss * w
    if smoothing:
        classes = logp.shape[1]
        spread = -logp if weight is None else -logp * expand_to(weight, logp.shape)
        loss = (1 - smoothing) * loss + (smoothing / classes) * ops.sum(spread, 1)
    count = constant(1, d, rows) if w is None else w
    if keep is not None:
        zero = constant(0, d, rows)
        loss, count = where(keep, loss, zero), where(keep, count, zero)
    if reduction == "mean":
        if w is None and keep is None:
            return ops.sum(loss) / (rows[0] or math.nan)
        return ops.sum(loss) / ops.sum(count)
    return _reduce(loss if reduction != "none" else reshape_to(loss, target.shape), reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input)[target], mean over targets. input: logits (N, C) or (N, C, d1, ...);
    target: int64 class indices, or probabilities of input's shape (then 'mean' divides by N). Do
    not put a softmax before it.
    """
    if target.dtype.category == 2:
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    _check_targets("cross_entropy", input, target, ignore_index)
    logp = log_softmax(_classes_last(input), dim=1)
    return _class_loss(logp, target, weight, ignore_index, reduction, label_smoothing)


def _soft_cross_entropy(
    x: Tensor, p: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    if x.shape != p.shape:
        raise ShapeError(
            f"cross_entropy: probabilities {p.aval} as targets need the shape of the input"
            f" {x.aval}; class indices need int64{here()}"
        )
    dim = 1 if x.ndim > 1 else 0
    if smoothing:
        p = (1 - smoothing) * p + smoothing / x.shape[dim]
    terms = -log_softmax(x, dim=dim) * p
    if weight is not None:
        terms = terms * expand_to(
            reshape_to(weight, (1,) * dim + (x.shape[dim],) + (1,) * (x.ndim - dim - 1)), x.shape
        )
    loss = ops.sum(terms, dim)
    return ops.sum(loss) / max(1, loss.numel()) if reduction == "mean" else _reduce(loss, reduction)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """-(y log p + (1-y) log(1-p)) of probabilities, logarithms limited to -100. Logits want
    binary_cross_entropy_with_logits.
    """
    if input.shape != target.shape:
        raise ValueError(
            f"binary_cross_entropy: Using a target size ({list(target.shape)}) that is different to"
            f" the input size ({list(input.shape)}) is deprecated. Please ensure they have the same"
            f" size.{here()}"
        )
    value = input.value
    if value.__class__ is np.ndarray and value.size and not ((value >= 0) & (value <= 1)).all():
        raise DtypeError(
            "binary_cross_entropy: all elements of input should be between 0 and 1; these look"
            f" like logits: use binary_cross_entropy_with_logits{here()}"
        )
    # d/dp = (p - y) / max(p (1-p), 1e-12): the value's logarithms are limited, the derivative's
    # denominator as well
    loss = _bce_value(input, target)
    return _reduce(loss if weight is None else loss * weight, reduction)


def _bce_value(p: Tensor, y: Tensor) -> Tensor:
    q = p.detach()
    log_p, log_q = ops.clamp(ops.log(q), min=-100.0), ops.clamp(ops.log(1 - q), min=-100.0)
    value = (y - 1) * log_q - y * log_p
    if not p.requires_grad or not local.c.grad:
        return value
    slope = (p - y.detach()) / ops.clamp(p * (1 - p), min=1e-12)
    return value + _with_slope(p, slope)


def _with_slope(p: Tensor, slope: Tensor) -> Tensor:
    """A tensor of zeros whose derivative with respect to p is `slope`."""
    return slope.detach() * (p - p.detach())


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """(1-y) x + (1 + (w-1) y) log(1 + e^-x), stable at any x; w = pos_weight multiplies the
    positive term.
    """
    if input.shape != target.shape:
        raise ValueError(
            f"binary_cross_entropy_with_logits: Target size ({list(target.shape)}) must be the same"
            f" as input size ({list(input.shape)}){here()}"
        )
    tail = -logsigmoid(input)
    factor = tail if pos_weight is None else tail * (1 + (pos_weight - 1) * target)
    loss = (1 - target) * input + factor
    return _reduce(loss if weight is None else loss * weight, reduction)


def kl_div(
    input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """p (log p - input) with input = log q; 'batchmean' divides by N, 'mean' by the number of
    elements.
    """
    if log_target:
        loss = ops.exp(target) * (target - input)
    else:
        none = target == 0
        loss = where(none, 0.0, target * ops.log(where(none, 1.0, target))) - target * input
    return ops.sum(loss) / input.shape[0] if reduction == "batchmean" else _reduce(loss, reduction)


__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "dropout", "elu", "gelu", "hardtanh", "huber_loss",
    "kl_div", "l1_loss", "leaky_relu", "linear", "log_softmax", "logsigmoid", "mish", "mse_loss", "nll_loss", "one_hot", "relu",
    "relu6", "selu", "sigmoid", "silu", "smooth_l1_loss", "softmax", "softplus", "softsign", "tanh",
]  # fmt: skip
