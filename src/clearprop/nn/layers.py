"""Layers: Linear, Identity, Flatten, Unflatten."""

from __future__ import annotations

import math
from typing import Any

from clearprop import ops
from clearprop.core import Parameter, Tensor
from clearprop.nn import functional as F
from clearprop.nn import init
from clearprop.nn.module import Module


class Linear(Module):
    """y = x W^T + b;  x: (..., in), W: (out, in), b: (out), y: (..., out). Initial W and b:
    U(-1/sqrt(in), 1/sqrt(in)).

    >>> import clearprop as cp
    >>> cp.nn.Linear(3, 2)(cp.zeros(4, 3)).shape
    (4, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(ops.empty(out_features, in_features, dtype=dtype, device=device))
        if bias:
            self.bias = Parameter(ops.empty(out_features, dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        if self.weight.numel():
            init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features},"
            f" bias={self.bias is not None}"
        )


class Identity(Module):
    """y = x; takes and ignores any arguments when it is made.

    >>> import clearprop as cp
    >>> cp.nn.Identity(54, unused=True)(cp.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Flatten(Module):
    """Axes start_dim to end_dim joined into one: (N, a, b) -> (N, a*b).

    >>> import clearprop as cp
    >>> cp.nn.Flatten()(cp.zeros(2, 8, 8)).shape
    (2, 64)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return ops.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Axis dim split into the given sizes: (N, a*b) -> (N, a, b).

    >>> import clearprop as cp
    >>> cp.nn.Unflatten(1, (8, 8))(cp.zeros(2, 64)).shape
    (2, 8, 8)
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        return ops.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
