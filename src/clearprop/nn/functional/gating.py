"""Activations in which elements compete or gate each other: glu, gumbel_softmax."""

from __future__ import annotations

from typing import Any

from clearprop import ops
from clearprop.core import Tensor, wrap
from clearprop.core import random as random_module
from clearprop.errors import ShapeError
from clearprop.ops.broadcasting import dims_by_any_name, here, normal_dim


@dims_by_any_name
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a · sigmoid(b) for the two halves a, b of the input along dim (Dauphin et al. 2016).

    >>> import clearprop as cp
    >>> cp.nn.functional.glu(cp.tensor([3.0, 0.0])).tolist()
    [1.5]
    """
    if not input.ndim:
        raise ShapeError(f"glu: does not support 0-dimensional tensors{here()}")
    d = normal_dim("glu", dim, input.ndim)
    size = input.shape[d]
    if size % 2:
        raise ShapeError(
            f"glu: Halving dimension must be even, but dimension {d} is size {size} of"
            f" {input.aval}{here()}"
        )
    a = ops.narrow(input, d, 0, size // 2)
    return a * ops.sigmoid(ops.narrow(input, d, size // 2, size // 2))


@dims_by_any_name
def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample of softmax((logits + noise) / tau) with Gumbel's noise -log(E), E exponential.

    hard: the one-hot vector of the largest, with the derivative of the soft sample (Jang et al.
    2016). `eps` has no effect, as in PyTorch.

    >>> import clearprop as cp
    >>> cp.nn.functional.gumbel_softmax(cp.zeros(2, 3), hard=True).sum(1).tolist()
    [1.0, 1.0]
    """
    shape, d = logits.shape, logits.value.dtype
    noise: Any = wrap(
        random_module.drawn(shape, logits.dtype, lambda g: g.exponential(shape, d)), None
    )
    soft = ops.softmax((logits - ops.log(noise)) / tau, dim)
    if not hard:
        return soft
    axis = normal_dim("gumbel_softmax", dim, logits.ndim)
    winner = ops.one_hot(ops.argmax(soft, axis), shape[axis]).to(logits.dtype)  # type: ignore[attr-defined]
    return ops.movedim(winner, -1, axis) - soft.detach() + soft
