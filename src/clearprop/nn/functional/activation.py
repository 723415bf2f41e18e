"""Activations. With `inplace=True` the result is also written over the input."""

from __future__ import annotations

import math
from typing import Any

from clearprop import ops
from clearprop.core import Tensor
from clearprop.errors import DtypeError
from clearprop.nn.warn import warn
from clearprop.ops import sigmoid, tanh, where
from clearprop.ops.broadcasting import constant, here

SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
IMPLICIT = (
    "{op}: Implicit dimension choice for {op} has been deprecated. Change the call to include"
    " dim=X as an argument; dim={dim} was taken."
)


def _zeros(x: Tensor) -> Tensor:
    return constant(0, x.value.dtype, x.shape)


def _needs_float(op: str, x: Tensor) -> None:
    if not x.is_floating_point():
        raise NotImplementedError(
            f'{op}: "{op}_cpu" not implemented for {x.aval}; use .float(){here()}'
        )


def _before(input: Tensor, inplace: bool) -> Tensor:
    """What to compute from: a copy if the input will be overwritten (the derivative wants it)."""
    return ops.clone(input) if inplace else input


def _after(input: Tensor, y: Tensor, inplace: bool) -> Tensor:
    return input.copy_(y) if inplace else y  # type: ignore[attr-defined,no-any-return]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); the derivative at 0 is 0.

    >>> import clearprop as cp
    >>> cp.nn.functional.relu(cp.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return _after(input, ops.relu(_before(input, inplace)), inplace)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6); the derivative at 0 and 6 is 0."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x limited to [min_val, max_val]; unlike clamp the derivative at both bounds is 0."""
    x = _before(input, inplace)
    if x.dtype.category == 1 and min_val == int(min_val) and max_val == int(max_val):
        return _after(input, ops.clamp(x, int(min_val), int(max_val)), inplace)
    inside = (x > min_val) & (x < max_val)
    y = where(inside, x, ops.clamp(x.detach(), min_val, max_val))
    return _after(input, y, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope * x; the derivative at 0 is the slope."""
    _needs_float("leaky_relu", input)
    x = _before(input, inplace)
    return _after(input, where(x > 0, x, x * negative_slope), inplace)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha (e^x - 1) (Clevert et al. 2015)."""
    _needs_float("elu", input)
    x = _before(input, inplace)
    return _after(input, _elu(x, alpha), inplace)


def _elu(x: Tensor, alpha: float) -> Tensor:
    # expm1 of a large x would overflow in the branch that is not taken, and 0 * inf is nan
    below = where(x <= 0, x, _zeros(x))
    return where(x <= 0, alpha * ops.expm1(below), x)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha (e^(x / alpha) - 1) (Barron 2017)."""
    _needs_float("celu", input)
    x = _before(input, inplace)
    below = where(x <= 0, x, _zeros(x))
    return _after(input, where(x <= 0, alpha * ops.expm1(below / alpha), x), inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """1.0507 * elu(x, 1.6733): the self-normalising pair of constants (Klambauer et al. 2017)."""
    _needs_float("selu", input)
    x = _before(input, inplace)
    return _after(input, 1.0507009873554805 * _elu(x, 1.6732632423543772), inplace)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta x)) / beta; the identity where beta x > threshold."""
    _needs_float("softplus", input)
    bx = input * beta
    large = bx > threshold
    return where(large, input, ops.log1p(ops.exp(where(large, _zeros(bx), bx))) / beta)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x) with the normal distribution function (erf), or its approximation by tanh (Hendrycks
    & Gimpel 2016).
    """
    if approximate not in ("none", "tanh"):
        raise DtypeError(
            f"gelu: approximate argument must be either none or tanh, got {approximate!r}{here()}"
        )
    _needs_float("gelu", input)
    x = input
    if approximate == "tanh":
        return 0.5 * x * (1 + tanh(SQRT_2_OVER_PI * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + ops.erf(x * math.sqrt(0.5)))


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    _needs_float("silu", input)
    x = _before(input, inplace)
    return _after(input, x * sigmoid(x), inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x)) (Misra 2019)."""
    _needs_float("mish", input)
    x = _before(input, inplace)
    return _after(input, x * tanh(softplus(x)), inplace)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)) = min(x, 0) - log(1 + e^-|x|)."""
    _needs_float("logsigmoid", input)
    return ops.minimum(input, 0.0) - ops.log1p(ops.exp(-ops.abs(input)))


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (1 + ops.abs(input))


def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """e^x / sum(e^x) along dim. Without dim PyTorch's old choice and a warning: 0 for 0, 1 or 3
    dims, else 1.

    >>> import clearprop as cp
    >>> cp.nn.functional.softmax(cp.zeros(2, 4), dim=1)[0]
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    return ops.softmax(input, _dim("softmax", input, dim), dtype=dtype)


def softmin(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """softmax(-x)."""
    return ops.softmax(-input, _dim("softmin", input, dim), dtype=dtype)


def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """log(softmax(x)), without the digits that the logarithm of a softmax loses."""
    return ops.log_softmax(input, _dim("log_softmax", input, dim), dtype=dtype)


def _dim(op: str, x: Tensor, dim: int | None) -> int:
    if dim is not None:
        return dim
    chosen = 0 if x.ndim in (0, 1, 3) else 1
    warn(IMPLICIT.format(op=op, dim=chosen))
    return chosen
