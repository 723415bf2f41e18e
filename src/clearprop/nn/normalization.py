"""Layers that normalise. BatchNorm and InstanceNorm can keep running statistics, which are buffers;
the others compute the same in training and evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clearprop import ops
from clearprop.core import Parameter, Tensor, int64
from clearprop.core.number import count_up
from clearprop.nn import functional as F
from clearprop.nn import init
from clearprop.nn.module import Module
from clearprop.nn.warn import warn
from clearprop.ops.broadcasting import here


class _RunningNorm(Module):
    """What BatchNorm and InstanceNorm share: scale and shift per channel, running statistics."""

    dims: tuple[int, ...]  # how many axes an input may have

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        kind = {"dtype": dtype, "device": device}
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(
                name, Parameter(ops.ones(num_features, **kind)) if wanted else None
            )
        if track_running_stats:
            self.register_buffer("running_mean", ops.zeros(num_features, **kind))
            self.register_buffer("running_var", ops.ones(num_features, **kind))
            self.register_buffer("num_batches_tracked", ops.zeros((), dtype=int64))
            self.register_load_state_dict_pre_hook(_fill_in_count)
        else:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                self.register_buffer(name, None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batches seen."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and no batches seen."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_dims(self, input: Tensor) -> None:
        if input.ndim not in self.dims:
            wanted = " or ".join(f"{n}D" for n in self.dims)
            raise ValueError(
                f"{type(self).__name__}: expected {wanted} input (got {input.ndim}D input): it is"
                f" {input.aval}{here()}"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine},"
            f" bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


def _fill_in_count(module: Module, state: Any, prefix: str, *_: Any) -> None:
    """Files from before PyTorch 0.4.1 have no count of batches."""
    if prefix + "running_mean" in state:
        state.setdefault(prefix + "num_batches_tracked", module.num_batches_tracked)


class _BatchNorm(_RunningNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check_dims(input)
        momentum: Any = self.momentum
        if self.training and self.num_batches_tracked is not None:
            seen = count_up(self.num_batches_tracked)
            momentum = 1.0 / seen if momentum is None else momentum
        keeps = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if keeps else None,
            self.running_var if keeps else None,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            0.0 if momentum is None else momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, mean and biased variance over the batch;
    x: (N, C) or (N, C, L) (Ioffe & Szegedy 2015). In evaluation they are running averages, updated
    in training as running = (1 - momentum) running + momentum new, with the unbiased variance;
    momentum=None averages all batches alike. One value per channel in training is a ValueError.

    >>> import clearprop as cp
    >>> cp.nn.BatchNorm1d(2)(cp.tensor([[1.0, 2.0], [3.0, 2.0]])).detach()
    tensor([[-1.0000,  0.0000],
            [ 1.0000,  0.0000]])
    """

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """BatchNorm1d for images, x: (N, C, H, W): mean and variance over N, H and W.

    >>> import clearprop as cp
    >>> cp.nn.BatchNorm2d(3)(cp.ones(2, 3, 4, 4)).shape
    (2, 3, 4, 4)
    """

    dims = (4,)


class BatchNorm3d(_BatchNorm):
    """BatchNorm1d for volumes, x: (N, C, D, H, W).

    >>> import clearprop as cp
    >>> cp.nn.BatchNorm3d(3)(cp.ones(2, 3, 4, 4, 4)).shape
    (2, 3, 4, 4, 4)
    """

    dims = (5,)


class _InstanceNorm(_RunningNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check_dims(input)
        single = input.ndim == self.dims[0]
        axis = 0 if single else 1
        if input.shape[axis] != self.num_features:
            if self.affine:
                raise ValueError(
                    f"{type(self).__name__}: expected input's size at dim={axis} to match"
                    f" num_features ({self.num_features}), but got: {input.shape[axis]}.{here()}"
                )
            warn(
                f"input's size at dim={axis} does not match num_features. You can silence this"
                " warning by not passing in num_features, which is not used because affine=False"
            )
        y = F.instance_norm(
            ops.unsqueeze(input, 0) if single else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return ops.squeeze(y, 0) if single else y


class InstanceNorm1d(_InstanceNorm):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over each channel of each example; x:
    (N, C, L) or (C, L) (Ulyanov et al. 2016). Scale and shift only with affine=True; with
    track_running_stats=True evaluation uses running statistics.

    >>> import clearprop as cp
    >>> cp.nn.InstanceNorm1d(1)(cp.tensor([[[1.0, 3.0]]]))
    tensor([[[-1.0000,  1.0000]]])
    """

    dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """InstanceNorm1d for images, x: (N, C, H, W) or (C, H, W).

    >>> import clearprop as cp
    >>> cp.nn.InstanceNorm2d(3)(cp.ones(2, 3, 4, 4)).shape
    (2, 3, 4, 4)
    """

    dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """InstanceNorm1d for volumes, x: (N, C, D, H, W) or (C, D, H, W).

    >>> import clearprop as cp
    >>> cp.nn.InstanceNorm3d(3)(cp.ones(2, 3, 4, 4, 4)).shape
    (2, 3, 4, 4, 4)
    """

    dims = (4, 5)


class LayerNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the last axes, whose sizes are
    normalized_shape; mean and biased variance of each example alone (Ba et al. 2016).

    >>> import clearprop as cp
    >>> cp.nn.LayerNorm(2)(cp.tensor([[1.0, 3.0]])).detach()
    tensor([[-1.0000,  1.0000]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        kind = {"dtype": dtype, "device": device}
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            self.register_parameter(
                name, Parameter(ops.ones(self.normalized_shape, **kind)) if wanted else None
            )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps},"
            f" elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


def _shape(sizes: int | Sequence[int]) -> tuple[int, ...]:
    return (sizes,) if isinstance(sizes, int) else tuple(sizes)


class RMSNorm(Module):
    """y = x / sqrt(mean(x^2) + eps) * weight over the last axes, whose sizes are normalized_shape
    (Zhang & Sennrich 2019); eps=None: the smallest step of x's type.

    >>> import clearprop as cp
    >>> cp.nn.RMSNorm(2)(cp.tensor([3.0, -3.0])).detach()
    tensor([ 1., -1.])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        ones = ops.ones(self.normalized_shape, dtype=dtype, device=device)
        self.register_parameter("weight", Parameter(ones) if elementwise_affine else None)

    def reset_parameters(self) -> None:
        """Weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over groups of neighbouring channels of each
    example; x: (N, C, ...), weight and bias: (C) (Wu & He 2018).

    >>> import clearprop as cp
    >>> cp.nn.GroupNorm(2, 4)(cp.tensor([[1.0, 3.0, 4.0, 4.0]])).detach()
    tensor([[-1.0000,  1.0000,  0.0000,  0.0000]])
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_channels ({num_channels}) must be divisible by num_groups"
                f" ({num_groups})"
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        kind = {"dtype": dtype, "device": device}
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(
                name, Parameter(ops.ones(num_channels, **kind)) if wanted else None
            )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine},"
            f" bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """y_c = x_c / (k + alpha/size * sum of x^2 over the `size` channels around c)^beta; x:
    (N, C, L...) (Krizhevsky et al. 2012).

    >>> import clearprop as cp
    >>> cp.nn.LocalResponseNorm(2)(cp.ones(1, 4, 3)).shape
    (1, 4, 3)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
