"""Activations that write over their input: `relu_(x)` is `relu(x, inplace=True)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clearprop.core import Tensor
from clearprop.nn.functional.activation import celu, elu, hardtanh, leaky_relu, relu, selu
from clearprop.nn.functional.piecewise import rrelu, threshold


def _written(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def inplace(input: Tensor, *args: Any, **options: Any) -> Tensor:
        return f(input, *args, inplace=True, **options)

    inplace.__name__ = inplace.__qualname__ = f"{f.__name__}_"
    inplace.__doc__ = f"`{f.__name__}` in place: writes the result into the input and returns it."
    return inplace


relu_ = _written(relu)
elu_ = _written(elu)
celu_ = _written(celu)
selu_ = _written(selu)
leaky_relu_ = _written(leaky_relu)
hardtanh_ = _written(hardtanh)
threshold_ = _written(threshold)
rrelu_ = _written(rrelu)
