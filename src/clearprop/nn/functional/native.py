"""Functions that PyTorch has twice: here as they are called at the top level (`torch.dropout`,
`torch.embedding`), with other orders of arguments than in nn.functional.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clearprop.core import Tensor
from clearprop.nn import functional as F


def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`nn.functional.dropout` in the argument order of `torch.dropout`."""
    return F.dropout(input, p, train)


def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`nn.functional.alpha_dropout` in the argument order of `torch.alpha_dropout`."""
    return F.alpha_dropout(input, p, train)


def feature_alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`nn.functional.feature_alpha_dropout` in the argument order of the top-level function."""
    return F.feature_alpha_dropout(input, p, train)


def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of `weight`: `nn.functional.embedding` with the weight first, as `torch.embedding`.

    >>> import clearprop as cp
    >>> cp.embedding(cp.eye(3), cp.tensor([2, 0]))
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    index = None if padding_idx == -1 else padding_idx
    return F.embedding(indices, weight, index, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """`nn.functional.batch_norm` in the argument order of `torch.batch_norm`."""
    del cudnn_enabled
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """`nn.functional.instance_norm` in the argument order of `torch.instance_norm`."""
    del cudnn_enabled
    return F.instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
    )


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
    cudnn_enable: bool = True,
) -> Tensor:
    """`nn.functional.layer_norm`, with the argument that `torch.layer_norm` has besides."""
    del cudnn_enable
    return F.layer_norm(input, normalized_shape, weight, bias, eps)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
    cudnn_enabled: bool = True,
) -> Tensor:
    """`nn.functional.group_norm`, with the argument that `torch.group_norm` has besides."""
    del cudnn_enabled
    return F.group_norm(input, num_groups, weight, bias, eps)


def threshold(input: Tensor, threshold: Any, value: Any) -> Tensor:
    """x where x > threshold, else value."""
    return F.threshold(input, threshold, value)


__all__ = [
    "alpha_dropout", "batch_norm", "dropout", "embedding", "feature_alpha_dropout", "group_norm",
    "instance_norm", "layer_norm", "threshold",
]  # fmt: skip
