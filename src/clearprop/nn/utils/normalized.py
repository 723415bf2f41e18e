"""What weight_norm and spectral_norm compute, in their new and their old form."""

from __future__ import annotations

from typing import Any

from clearprop import ops
from clearprop.core import Tensor
from clearprop.nn.functional import normalize


def norm_except(v: Tensor, dim: int) -> Tensor:
    """The norm over all axes but one, which stay with size 1; over all of them for dim -1."""
    if dim == -1:
        return ops.norm(v)  # type: ignore[no-any-return]
    others = [i for i in range(v.ndim) if i != dim % v.ndim]
    return ops.norm(v, 2, others, keepdim=True) if others else ops.abs(v)


def weight_from(g: Tensor, v: Tensor, dim: int) -> Tensor:
    """g v / |v|."""
    return v * (g / norm_except(v, dim))


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight as a matrix whose rows belong to axis dim."""
    if dim != 0:
        weight = ops.movedim(weight, dim, 0)
    return ops.reshape(weight, (weight.shape[0], -1))


def power_iteration(matrix: Tensor, u: Any, v: Any, steps: int, eps: float) -> None:
    """Move u and then v towards the first singular vectors, in place."""
    fixed = matrix.detach()
    for _ in range(steps):
        u.copy_(normalize(ops.mv(fixed, v), dim=0, eps=eps))
        v.copy_(normalize(ops.mv(fixed.T, u), dim=0, eps=eps))  # type: ignore[attr-defined]


def largest(matrix: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """uᵀ W v, about the largest singular value."""
    return ops.dot(ops.clone(u), ops.mv(matrix, ops.clone(v)))
