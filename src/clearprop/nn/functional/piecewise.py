"""Activations made of straight and parabolic pieces, with PyTorch's derivatives where they meet."""

from __future__ import annotations

from clearprop import ops
from clearprop.core import Tensor, wrap
from clearprop.core import random as random_module
from clearprop.errors import ShapeError
from clearprop.nn.functional.activation import _after, _before, _needs_float
from clearprop.ops import where
from clearprop.ops.broadcasting import constant, expand_to, here
from clearprop.ops.movement import reshape_to


def _zeros(x: Tensor) -> Tensor:
    return constant(0, x.value.dtype, x.shape)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6; the derivative at -3 and 3 is 0.

    >>> import clearprop as cp
    >>> cp.nn.functional.hardsigmoid(cp.tensor([-4.0, 0.0, 4.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    _needs_float("hardsigmoid", input)
    x = _before(input, inplace)
    inside = (x > -3) & (x < 3)
    y = where(inside, x, ops.clamp(x.detach(), -3.0, 3.0))
    return _after(input, (y + 3) / 6, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · hardsigmoid(x) (Howard et al. 2019); the derivative at -3 is 0, at 3 it is 1."""
    _needs_float("hardswish", input)
    x = _before(input, inplace)
    middle = where((x > -3) & (x < 3), x, _zeros(x))
    y = where(x >= 3, x, where(x <= -3, _zeros(x), middle * (middle + 3) / 6))
    return _after(input, where(x != x, x, y), inplace)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0."""
    _needs_float("hardshrink", input)
    return where((input >= -lambd) & (input <= lambd), _zeros(input), input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, no farther than to 0. Errors: a negative lambd."""
    _needs_float("softshrink", input)
    if lambd < 0:
        raise RuntimeError(
            f"softshrink: lambda must be greater or equal to 0, but found to be {lambd}{here()}"
        )
    inner = where(input != input, input, _zeros(input))
    below = where(input < -lambd, input + lambd, inner)
    return where(input > lambd, input - lambd, below)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - ops.tanh(input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value."""
    x = _before(input, inplace)
    return _after(input, where(x <= threshold, value, x), inplace)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight · x (He et al. 2015); one weight, or one per channel (axis 1)."""
    if weight.ndim > 1:
        raise ShapeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: {weight.aval}{here()}"
        )
    if weight.numel() != 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.numel() != channels or not input.ndim:
            raise ShapeError(
                "prelu: Mismatch of parameter numbers and input channel size. Found parameter"
                f" numbers = {weight.numel()} and channel size = {channels}: the input is"
                f" {input.aval}, its channels are axis 1{here()}"
            )
        shape = (1, -1) + (1,) * (input.ndim - 2) if input.ndim > 1 else (-1,)
        weight = ops.reshape(weight, shape)
    else:
        weight = reshape_to(weight, (1,) * input.ndim)
    return where(input > 0, input, input * expand_to(weight, input.shape))


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """x where x > 0, else a x: a from U(lower, upper) for every element in training, else their
    mean. A number is drawn for every element (PyTorch draws for those that are not positive).
    """
    _needs_float("rrelu", input)
    if lower > upper:
        raise RuntimeError(
            "rrelu: Lower bound should be less than or equal to the upper bound, got"
            f" {lower} and {upper}{here()}"
        )
    x = _before(input, inplace)
    if not training:
        return _after(input, where(x > 0, x, x * ((lower + upper) / 2)), inplace)
    shape, d = input.shape, input.value.dtype.type

    def draw(g: random_module.Generator) -> object:
        return d(lower) + g.uniform(shape, d) * d(upper - lower)

    slope = wrap(random_module.drawn(shape, input.dtype, draw), None)
    return _after(input, where(x > 0, x, x * slope), inplace)
