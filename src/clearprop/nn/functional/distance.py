"""Distances and angles of pairs of vectors."""

from __future__ import annotations

from clearprop import ops
from clearprop.core import Tensor
from clearprop.ops.broadcasting import broadcast, dims_by_any_name, need_tensors, normal_dim


@dims_by_any_name
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 · x2 / (max(|x1|, eps) max(|x2|, eps)) along dim; the inputs broadcast.

    >>> import clearprop as cp
    >>> cp.nn.functional.cosine_similarity(cp.tensor([3.0, 4.0]), cp.tensor([4.0, 3.0]), dim=0)
    tensor(0.9600)
    """
    need_tensors("cosine_similarity", x1, x2)
    a, b = broadcast("cosine_similarity", x1, x2)
    d = normal_dim("cosine_similarity", dim, a.ndim)
    return ops.sum(_unit(a, d, eps) * _unit(b, d, eps), d)


def _unit(x: Tensor, dim: int, eps: float) -> Tensor:
    length = ops.norm(x, 2, dim, keepdim=True)
    fixed = length.detach()
    return x / (length + (ops.clamp(fixed, min=eps) - fixed))  # as in PyTorch, flat nowhere


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of x1 - x2 + eps over the last axis; the inputs broadcast.

    >>> import clearprop as cp
    >>> cp.nn.functional.pairwise_distance(cp.zeros(1, 2), cp.tensor([[3.0, 4.0]]), eps=0)
    tensor([5.])
    """
    need_tensors("pairwise_distance", x1, x2)
    a, b = broadcast("pairwise_distance", x1, x2)
    return ops.norm(a - b + eps, p, -1, keepdim=keepdim)
