"""Parameters of distributions: numbers and tensors at one shape, probabilities and logits, what
random numbers start from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop import ops
from clearprop.core import Tensor, float64, get_default_dtype, wrap
from clearprop.core.number import Number
from clearprop.core.random import drawn
from clearprop.nn.functional import binary_cross_entropy_with_logits
from clearprop.ops.broadcasting import here, tensor_as


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Numbers and tensors as tensors of one shape; numbers take the dtype of the first tensor.

    >>> import clearprop as cp
    >>> [x.shape for x in broadcast_all(cp.zeros(2, 1), cp.ones(3), 1.0)]
    [(2, 3), (2, 3), (2, 3)]
    """
    for value in values:
        if not isinstance(value, Tensor | int | float | Number | np.number):
            raise ValueError(
                "Input arguments must all be instances of Number, torch.Tensor or objects"
                f" implementing __torch_function__.: got {type(value).__name__}{here()}"
            )
    first = next((v for v in values if isinstance(v, Tensor)), None)
    d = get_default_dtype() if first is None else first.dtype
    tensors = [v if isinstance(v, Tensor) else tensor_as(v, d, "distribution") for v in values]
    return ops.broadcast_tensors(*tensors)


def sum_rightmost(x: Tensor, n: int) -> Tensor:
    """x summed over its last n axes."""
    return ops.sum(x, tuple(range(-n, 0))) if n else x


def eps_of(x: Tensor) -> float:
    return float(np.finfo(x.value.dtype).eps)


def tiny_of(x: Tensor) -> float:
    return float(np.finfo(x.value.dtype).tiny)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities away from 0 and 1, so that their logits are finite."""
    eps = eps_of(probs)
    return ops.clamp(probs, eps, 1 - eps)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """sigmoid of a single logit, softmax of several."""
    return ops.sigmoid(logits) if is_binary else ops.softmax(logits, -1)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """log(p / (1 - p)) of a single probability, log(p) of several."""
    safe = clamp_probs(probs)
    return ops.log(safe) - ops.log1p(-safe) if is_binary else ops.log(safe)


def bce(logits: Tensor, value: Tensor) -> Tensor:
    """-log of the probability that a Bernoulli of these logits gives `value`."""
    return binary_cross_entropy_with_logits(logits, value, reduction="none")


# ---------------------------------------------------------------------- random numbers
def uniform(shape: Any, like: Tensor) -> Tensor:
    """Uniform numbers in [0, 1)."""
    return ops.rand(tuple(shape), dtype=like.dtype)


def fine_uniform(shape: Any) -> Tensor:
    """Uniform float64 numbers in (0, 1), for quantiles: neither 0 nor 1 comes."""
    return ops.rand(tuple(shape), dtype=float64) * (1 - 2.0**-53) + 2.0**-54


def standard_normal(shape: Any, like: Tensor) -> Tensor:
    return ops.randn(tuple(shape), dtype=like.dtype)


def exponential(shape: Any, like: Tensor) -> Tensor:
    """Exponential numbers of rate 1."""
    size, d = tuple(shape), like.dtype
    return wrap(drawn(size, d, lambda g: g.exponential(size, d.np)), None)
