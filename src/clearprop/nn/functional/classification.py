"""Losses of classes: log-probabilities or logits against class indices or probabilities.

The class axis is 1 (0 for one sample without a batch axis): input (N, C) or (N, C, d1, ...), target
(N) or (N, d1, ...). Class losses work on rows of classes (N * d1 * ..., C).
"""

from __future__ import annotations

import math

from clearprop import ops
from clearprop.core import Tensor, apply
from clearprop.core.tensor import known
from clearprop.errors import DtypeError, ShapeError
from clearprop.nn.functional.entropy import CROSS_ENTROPY
from clearprop.nn.functional.reduction import check_reduction, reduce
from clearprop.ops import log_softmax, where
from clearprop.ops.broadcasting import constant, expand_to, here
from clearprop.ops.movement import permute, reshape_to


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-w[y] input[y] of log-probabilities; 'mean' divides by the sum of w[y] over the targets that
    are not ignore_index.
    """
    check_reduction("nll_loss", reduction)
    _check_targets("nll_loss", input, target, ignore_index)
    _check_weight("nll_loss", input, weight)
    return _class_loss("nll_loss", input, target, weight, ignore_index, reduction, 0.0)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input)[target], mean over targets. input: logits (N, C) or (N, C, d1, ...);
    target: int64 class indices, or probabilities of input's shape (then 'mean' divides by N). Do
    not put a softmax before it.

    >>> import clearprop as cp
    >>> cp.nn.functional.cross_entropy(cp.zeros(2, 10), cp.tensor([3, 7]))
    tensor(2.3026)
    """
    op = "cross_entropy"
    check_reduction(op, reduction)
    _check_weight(op, input, weight)
    if not 0 <= label_smoothing <= 1:
        raise DtypeError(
            f"{op}: label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}{here()}"
        )
    if input.shape == target.shape and input.ndim:
        if not target.is_floating_point():
            raise DtypeError(
                f"{op}: Expected floating point type for target with class probabilities, got"
                f" {target.aval}; as probabilities: target.float(); as class indices: a shape"
                f" without the class axis{here()}"
            )
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    _check_targets(op, input, target, ignore_index)
    fused = not label_smoothing
    rows = input if fused else log_softmax(input, dim=1 if input.ndim > 1 else 0)
    return _class_loss(op, rows, target, weight, ignore_index, reduction, label_smoothing, fused)


def _class_axis(x: Tensor) -> int:
    return 1 if x.ndim > 1 else 0


def _check_targets(op: str, x: Tensor, target: Tensor, ignore_index: int) -> None:
    if x.ndim == 0:
        raise ShapeError(f"{op}: the input is a 0-d tensor; scores of all classes wanted{here()}")
    wanted = (x.shape[0], *x.shape[2:]) if x.ndim > 1 else ()
    if target.dtype.name not in ("int64", "uint8"):
        advice = (
            f"; probabilities as targets need the shape of the input, {x.aval}"
            if target.is_floating_point()
            else ""
        )
        raise DtypeError(
            f"{op}: expected target dtype to be Long or Byte (expected scalar type Long), but got"
            f" {target.aval}; class indices: target.long(){advice}{here()}"
        )
    if target.shape != wanted:
        raise _shape_error(op, x, target, wanted)
    value = known(target)
    if value is not None and value.size:
        classes = x.shape[_class_axis(x)]
        bad = value[((value < 0) | (value >= classes)) & (value != ignore_index)]
        if bad.size:
            raise IndexError(
                f"{op}: Target {int(bad.flat[0])} is out of bounds. There are {classes} classes: 0"
                f" to {classes - 1}{here()}"
            )


def _shape_error(op: str, x: Tensor, target: Tensor, wanted: tuple[int, ...]) -> Exception:
    saw = f"input is {x.aval}, so class indices of shape {list(wanted)} are wanted, got"
    if x.ndim <= 2 and target.ndim > 1:
        advice = "target.squeeze(1)" if target.shape[1:] == (1,) else "target.argmax(1) if one-hot"
        return ShapeError(
            f"{op}: 0D or 1D target tensor expected, multi-target not supported: {saw}"
            f" {target.aval}; use {advice}{here()}"
        )
    batch = x.shape[0] if x.ndim > 1 else 1
    got = target.shape[0] if target.ndim else 1
    if batch != got or target.ndim != len(wanted):
        return ValueError(
            f"{op}: Expected input batch_size ({batch}) to match target batch_size ({got}): {saw}"
            f" {target.aval}{here()}"
        )
    return ShapeError(
        f"{op}: Expected target size {list(wanted)}, got {list(target.shape)}: the classes are axis"
        f" 1 of the input {x.aval}{here()}"
    )


def _check_weight(op: str, x: Tensor, weight: Tensor | None) -> None:
    classes = x.shape[_class_axis(x)] if x.ndim else 0
    if weight is not None and weight.shape != (classes,):
        raise ShapeError(
            f"{op}: weight tensor should be defined either for all {classes} classes or no classes"
            f" but got weight tensor of shape: {list(weight.shape)}{here()}"
        )


def _rows(x: Tensor) -> Tensor:
    """(N, C, d1, ...) as rows of classes (N * d1 * ..., C)."""
    if x.ndim <= 2:
        return reshape_to(x, (1, *x.shape)) if x.ndim == 1 else x
    moved = permute(x, (0, *range(2, x.ndim), 1))
    return reshape_to(moved, (math.prod(moved.shape[:-1]), x.shape[1]))


def _class_loss(
    op: str,
    logp: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
    logits: bool = False,
) -> Tensor:
    """Log-probabilities, or logits, against class indices."""
    logp, shape = _rows(logp), target.shape
    flat = reshape_to(target, (target.numel(),)).long()  # type: ignore[attr-defined]
    d, rows = logp.value.dtype, (flat.shape[0],)
    value = known(flat)
    none_ignored = value is not None and not (value == ignore_index).any()
    keep = None if none_ignored else ops.ne(flat, ignore_index)
    safe = flat if keep is None else where(keep, flat, 0)
    if logits:
        loss = apply(CROSS_ENTROPY, logp, safe)
    else:
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
    return reduce(op, reshape_to(loss, shape) if reduction == "none" else loss, reduction)


def _soft_cross_entropy(
    x: Tensor, p: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    """Logits against probabilities; ignore_index plays no part."""
    dim = _class_axis(x)
    classes = x.shape[dim]
    if smoothing:
        p = (1 - smoothing) * p + smoothing / classes
    terms = -log_softmax(x, dim=dim) * p
    if weight is not None:
        along = (1,) * dim + (classes,) + (1,) * (x.ndim - dim - 1)
        terms = terms * expand_to(reshape_to(weight, along), x.shape)
    loss = ops.sum(terms, dim)
    if reduction == "mean":
        return ops.sum(loss) / (loss.numel() or math.nan)
    return reduce("cross_entropy", loss, reduction)
