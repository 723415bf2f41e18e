"""Initial values of parameters, in place, PyTorch's numbers for the same seed."""

from __future__ import annotations

import math

import numpy as np

from clearprop.autograd import no_grad
from clearprop.core import Tensor, wrap
from clearprop.core import random as random_module
from clearprop.core.deferred import special
from clearprop.core.random import Generator
from clearprop.errors import did_you_mean

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}
_GAINS |= {f"conv{n}d": 1.0 for n in (1, 2, 3)} | {f"conv_transpose{n}d": 1.0 for n in (1, 2, 3)}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through an activation: relu sqrt(2), tanh 5/3, leaky_relu
    sqrt(2 / (1 + slope^2)).
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise ValueError(
            "calculate_gain: Unsupported nonlinearity"
            f" {nonlinearity}{did_you_mean(nonlinearity, [*_GAINS, 'leaky_relu'])}"
        )
    return _GAINS[nonlinearity]


def _fans(x: Tensor) -> tuple[int, int]:
    if x.ndim < 2:
        raise ValueError(
            "init: Fan in and fan out can not be computed for tensor with fewer than 2 dimensions,"
            f" got {x.aval}"
        )
    field = math.prod(x.shape[2:])
    return x.shape[1] * field, x.shape[0] * field


def _correct_fan(x: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(
            f"init: Mode {mode} not supported, please use one of ['fan_in', 'fan_out']"
        )
    return _fans(x)[mode == "fan_out"]


@no_grad()
def uniform_(
    x: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform numbers in [a, b)."""
    return x.uniform_(a, b, generator=generator)  # type: ignore[attr-defined,no-any-return]


@no_grad()
def normal_(
    x: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normal numbers."""
    return x.normal_(mean, std, generator=generator)  # type: ignore[attr-defined,no-any-return]


@no_grad()
def constant_(x: Tensor, val: float) -> Tensor:
    """One number everywhere."""
    return x.fill_(val)  # type: ignore[attr-defined,no-any-return]


def ones_(x: Tensor) -> Tensor:
    """Ones."""
    return constant_(x, 1.0)


def zeros_(x: Tensor) -> Tensor:
    """Zeros."""
    return constant_(x, 0.0)


@no_grad()
def eye_(x: Tensor) -> Tensor:
    """The identity matrix."""
    if x.ndim != 2:
        raise ValueError("eye_: Only tensors with 2 dimensions are supported")
    return x.copy_(wrap(np.eye(*x.shape, dtype=x.value.dtype), None))  # type: ignore[attr-defined,no-any-return]


def xavier_uniform_(x: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    a = math.sqrt(3.0) * gain * math.sqrt(2.0 / sum(_fans(x)))
    return uniform_(x, -a, a, generator)


def xavier_normal_(x: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(0, s^2), s = gain sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return normal_(x, 0.0, gain * math.sqrt(2.0 / sum(_fans(x))), generator)


def kaiming_uniform_(
    x: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """U(-b, b), b = gain sqrt(3 / fan) (He et al. 2015)."""
    bound = math.sqrt(3.0) * (calculate_gain(nonlinearity, a) / math.sqrt(_correct_fan(x, mode)))
    return uniform_(x, -bound, bound, generator)


def kaiming_normal_(
    x: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """N(0, s^2), s = gain / sqrt(fan) (He et al. 2015)."""
    return normal_(
        x, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(_correct_fan(x, mode)), generator
    )


@no_grad()
def trunc_normal_(
    x: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers that fall in [a, b] (absolute bounds), by the inverse distribution function."""
    low, high = (math.erf((v - mean) / (std * math.sqrt(2))) for v in (a, b))
    g = random_module.default_generator if generator is None else generator
    u = g.uniform(x.shape, x.value.dtype, low, high).astype(np.float64)
    value = np.clip(special.erfinv(u) * std * math.sqrt(2) + mean, a, b)
    return x.copy_(wrap(value.astype(x.value.dtype), None))  # type: ignore[attr-defined,no-any-return]


@no_grad()
def orthogonal_(x: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A (semi-)orthogonal matrix from the QR decomposition of a normal one (Saxe et al. 2013)."""
    if x.ndim < 2:
        raise ValueError("orthogonal_: Only tensors with 2 or more dimensions are supported")
    rows, cols = x.shape[0], x.numel() // x.shape[0]
    g = random_module.default_generator if generator is None else generator
    flat = g.normal((rows, cols), x.value.dtype)
    q, r = np.linalg.qr(flat.T if rows < cols else flat)
    q = q * np.sign(np.diag(r))
    return x.copy_(
        wrap((gain * (q.T if rows < cols else q)).reshape(x.shape).astype(x.value.dtype), None)
    )  # type: ignore[attr-defined,no-any-return]
