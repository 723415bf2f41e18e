"""Losses by name, one number per row, and losses of one's own.

A loss here takes what the module gives, before the output activation, so that log(softmax) and
log(sigmoid) keep their digits: z: (n, outputs), y: class indices (n,) or a matrix (n, outputs).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop import ops
from clearprop.autograd import no_grad
from clearprop.core import Tensor
from clearprop.errors import did_you_mean
from clearprop.nn import functional as F
from clearprop.sklearn.layers import Function

Loss = Callable[[Tensor, Tensor], Tensor]

CANONICAL = {"log_loss": ("softmax", "logistic"), "poisson": ("exp",)}
REGRESSION = ("squared_error", "poisson", "absolute_error", "huber")
CLASSIFICATION = ("log_loss",)
AVERAGED = ("squared_error", "absolute_error", "huber")  # loss_ is the mean over the outputs


def loss_of(given: Any, known: tuple[str, ...], activation: str | None, link: Function) -> Loss:
    """The loss by name, or one's own, of the module's outputs z. `activation` is the name of the
    output activation, None for one's own; `link` computes what of it the loss is to see.

    Errors: a name that is not known (ValueError), another kind of object (TypeError).
    """
    if isinstance(given, str):
        if given not in known:
            raise ValueError(
                f"loss: there is no loss {given!r}{did_you_mean(given, known)}; there"
                f" {'are' if len(known) > 1 else 'is'} {', '.join(known)}, or give a function of"
                " outputs and targets"
            )
        return _by_name(given, activation, link)
    if not callable(given):
        raise TypeError(f"loss: wants a name or a function, got {type(given).__name__}")
    own = given
    if getattr(given, "reduction", None) == "mean":  # a loss of nn: one number per row, please
        own = copy.copy(given)
        own.reduction = "none"
    return lambda z, y: _per_row(own(link(z), y))


def per_row(loss: Loss, z: np.ndarray, y: np.ndarray) -> bool:
    """Whether a loss gives one number per row, rather than one for all."""
    y = y if y.dtype == np.int64 else y.astype(z.dtype)
    with no_grad():
        return loss(ops.from_numpy(z), ops.from_numpy(y)).ndim > 0


def _by_name(name: str, activation: str | None, link: Function) -> Loss:
    if name == "log_loss":
        if activation == "softmax":
            return lambda z, y: F.cross_entropy(z, y, reduction="none")
        if activation == "logistic":
            return lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="none").sum(1)
        return lambda z, y: _log_loss(link(z), y)
    if name == "poisson":
        if activation == "exp":  # y log(y / e^z) - y + e^z
            return lambda z, y: (ops.xlogy(y, y) - y * z - y + z.exp()).sum(1)
        return lambda z, y: _poisson(link(z), y)
    row: Loss = {
        "squared_error": lambda d, _: 0.5 * d * d,
        "absolute_error": lambda d, _: d.abs(),
        "huber": lambda d, _: F.huber_loss(d, ops.zeros_like(d), reduction="none"),
    }[name]
    return lambda z, y: row(link(z) - y, y).sum(1)


def _log_loss(p: Tensor, y: Tensor) -> Tensor:
    """-log p[y] of probabilities; of both classes where every output decides for itself."""
    tiny = float(np.finfo(p.value.dtype).eps)
    p = p.clamp(tiny, 1 - tiny)
    if y.ndim == 1:
        return F.nll_loss(p.log(), y, reduction="none")
    return F.binary_cross_entropy(p, y, reduction="none").sum(1)


def _poisson(mean: Tensor, y: Tensor) -> Tensor:
    return (ops.xlogy(y, y / mean) - y + mean).sum(1)


def _per_row(loss: Tensor) -> Tensor:
    """A mean as it is; one number per row, the mean over what else there is."""
    return loss if loss.ndim < 2 else loss.flatten(1).mean(1)
