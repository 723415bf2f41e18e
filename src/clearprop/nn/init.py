"""Initial values of parameters, in place, PyTorch's numbers for the same seed."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from clearprop.autograd import no_grad
from clearprop.core import Tensor, wrap
from clearprop.core import random as random_module
from clearprop.core.random import Generator
from clearprop.errors import did_you_mean
from clearprop.nn.warn import warn

F = TypeVar("F", bound=Callable[..., Any])

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}
_GAINS |= {f"conv{n}d": 1.0 for n in (1, 2, 3)} | {f"conv_transpose{n}d": 1.0 for n in (1, 2, 3)}


_skip = threading.local()


@contextmanager
def skipped() -> Iterator[None]:
    """Inside, the functions of this file leave their tensors as they are, and draw nothing."""
    before = getattr(_skip, "on", False)
    _skip.on = True
    try:
        yield
    finally:
        _skip.on = before


def _skippable(fill: F) -> F:
    @functools.wraps(fill)
    def maybe(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if getattr(_skip, "on", False):
            return tensor
        return fill(tensor, *args, **kwargs)  # type: ignore[no-any-return]

    return maybe  # type: ignore[return-value]


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through an activation: relu sqrt(2), tanh 5/3, leaky_relu
    sqrt(2 / (1 + slope^2)) with slope `param`.

    >>> import clearprop as cp
    >>> cp.nn.init.calculate_gain("leaky_relu", 1.0)
    1.0
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, int | float):
            raise ValueError(f"calculate_gain: negative_slope {slope} not a valid number")
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(
            "calculate_gain: Unsupported nonlinearity"
            f" {nonlinearity}{did_you_mean(nonlinearity, [*_GAINS, 'leaky_relu'])}"
        )
    return _GAINS[nonlinearity]


def _fans(op: str, tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ValueError(
            f"{op}: Fan in and fan out can not be computed for tensor with fewer than 2"
            f" dimensions, got {tensor.aval}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _fan(op: str, tensor: Tensor, mode: str) -> int:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(
            f"{op}: Mode {mode} not supported, please use one of ['fan_in', 'fan_out']"
        )
    return _fans(op, tensor)[mode.lower() == "fan_out"]


def _is_empty(tensor: Tensor) -> bool:
    if tensor.numel() == 0:
        warn(f"init: Initializing zero-element tensors is a no-op, got {tensor.aval}")
    return tensor.numel() == 0


@no_grad()
def _write(tensor: Tensor, value: np.ndarray) -> Tensor:
    new = wrap(np.asarray(value, tensor.value.dtype).reshape(tensor.shape), None)
    return tensor.copy_(new)  # type: ignore[attr-defined,no-any-return]


# ---------------------------------------------------------------------- plain
@_skippable
@no_grad()
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform numbers in [a, b)."""
    return tensor.uniform_(a, b, generator=generator)  # type: ignore[attr-defined,no-any-return]


@_skippable
@no_grad()
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normal numbers."""
    return tensor.normal_(mean, std, generator=generator)  # type: ignore[attr-defined,no-any-return]


@_skippable
@no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """One number everywhere.

    >>> import clearprop as cp
    >>> cp.nn.init.constant_(cp.empty(2), 0.5)
    tensor([0.5000, 0.5000])
    """
    return tensor.fill_(val)  # type: ignore[attr-defined,no-any-return]


@_skippable
def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


@_skippable
def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


@_skippable
def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix (of a rectangle: ones on the diagonal)."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: Only tensors with 2 dimensions are supported, got {tensor.aval}")
    return _write(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


# ---------------------------------------------------------------------- by fan
@_skippable
def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    std = gain * math.sqrt(2.0 / sum(_fans("xavier_uniform_", tensor)))
    a = math.sqrt(3.0) * std
    return uniform_(tensor, -a, a, generator)


@_skippable
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(0, s^2), s = gain sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    std = gain * math.sqrt(2.0 / sum(_fans("xavier_normal_", tensor)))
    return normal_(tensor, 0.0, std, generator)


@_skippable
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """U(-b, b), b = gain sqrt(3 / fan) (He et al. 2015); a is the slope of a leaky_relu."""
    if _is_empty(tensor):
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_fan("kaiming_uniform_", tensor, mode))
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


@_skippable
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """N(0, s^2), s = gain / sqrt(fan) (He et al. 2015); a is the slope of a leaky_relu."""
    if _is_empty(tensor):
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_fan("kaiming_normal_", tensor, mode))
    return normal_(tensor, 0.0, std, generator)


# ---------------------------------------------------------------------- others
@_skippable
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers that fall in [a, b] (absolute bounds), drawn until they do: from the normal
    distribution where more than 0.3 of it is inside, else from the uniform one.
    """
    if not a - 2 * std <= mean <= b + 2 * std:
        warn(
            "trunc_normal_: mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The"
            " distribution of values may be incorrect."
        )
    g = random_module.default_generator if generator is None else generator
    below = [(1 + math.erf((x - mean) / std / math.sqrt(2))) / 2 for x in (a, b)]
    draw = _normal_inside if below[1] - below[0] > 0.3 else _uniform_inside
    return _write(tensor, draw(g, tensor.shape, tensor.value.dtype, (mean, std), (a, b)))


def _normal_inside(
    g: Generator,
    shape: tuple[int, ...],
    d: np.dtype,
    moments: tuple[float, float],
    bounds: tuple[float, float],
) -> np.ndarray:
    """Draw everything anew until everything has once been inside."""
    low, high = (d.type(x) for x in bounds)
    out = g.normal(shape, d, *moments)
    while (outside := (out < low) | (out > high)).any():
        out = np.where(outside, g.normal(shape, d, *moments), out)
    return out


def _uniform_inside(
    g: Generator,
    shape: tuple[int, ...],
    d: np.dtype,
    moments: tuple[float, float],
    bounds: tuple[float, float],
) -> np.ndarray:
    """Uniform numbers, each kept with probability density(x) / greatest density."""
    mean, std = (d.type(x) for x in moments)
    low, high = bounds
    peak = d.type(-0.5 * ((max(low, min(moments[0], high)) - moments[0]) / moments[1]) ** 2)
    out, pending = np.zeros(shape, d), np.ones(shape, bool)
    while pending.any():
        x = g.uniform(shape, d, low, high)
        out = np.where(pending, x, out)
        with np.errstate(divide="ignore"):
            chance = np.log(g.uniform(shape, d))
        pending &= chance > ((x - mean) / std) ** 2 * d.type(-0.5) - peak
    return out


@_skippable
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A (semi-)orthogonal matrix times gain, from the QR decomposition of a normal one (Saxe et al.
    2013); trailing axes count as columns.

    >>> import clearprop as cp
    >>> w = cp.nn.init.orthogonal_(cp.empty(3, 5))
    >>> cp.allclose(w @ w.T, cp.eye(3), atol=1e-6)
    True
    """
    if tensor.ndim < 2:
        raise ValueError(
            f"orthogonal_: Only tensors with 2 or more dimensions are supported, got {tensor.aval}"
        )
    if tensor.numel() == 0:
        return tensor
    rows, cols = tensor.shape[0], tensor.numel() // tensor.shape[0]
    g = random_module.default_generator if generator is None else generator
    drawn = g.normal((rows, cols), tensor.value.dtype)
    q, r = np.linalg.qr(drawn.T if rows < cols else drawn)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform (Mezzadri 2006)
    return _write(tensor, (q.T if rows < cols else q) * tensor.value.dtype.type(gain))


@_skippable
def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """N(0, std^2) with the fraction `sparsity` of every column zero (Martens 2010). Which ones is
    drawn from the default generator, as in PyTorch.
    """
    if tensor.ndim != 2:
        raise ValueError(
            f"sparse_: Only tensors with 2 dimensions are supported, got {tensor.aval}"
        )
    rows, cols = tensor.shape
    g = random_module.default_generator if generator is None else generator
    value = g.normal(tensor.shape, tensor.value.dtype, 0.0, std)
    for column in range(cols):
        order = random_module.default_generator.randperm(rows)
        value[order[: math.ceil(sparsity * rows)], column] = 0
    return _write(tensor, value)


@_skippable
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The kernel of a convolution that passes its channels through: 1 in the middle of
    [i, i], of every group.
    """
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(
            f"dirac_: Only tensors with 3, 4, or 5 dimensions are supported, got {tensor.aval}"
        )
    out, channels = tensor.shape[:2]
    if out % groups:
        raise ValueError(f"dirac_: dim 0 must be divisible by groups, got {out} and {groups}")
    value = np.zeros(tensor.shape)
    middle = tuple(size // 2 for size in tensor.shape[2:])
    each = out // groups
    for group in range(groups):
        for i in range(min(each, channels)):
            value[(group * each + i, i, *middle)] = 1.0
    return _write(tensor, value)


__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]
