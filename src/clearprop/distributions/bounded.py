"""Kumaraswamy and ContinuousBernoulli: numbers between 0 and 1 whose distribution function has an
inverse in closed form.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from clearprop import ops
from clearprop.core import Tensor
from clearprop.distributions import constraints
from clearprop.distributions.continuous import EULER
from clearprop.distributions.discrete import OneProbability, one_of
from clearprop.distributions.distribution import Distribution
from clearprop.distributions.parameters import (
    bce,
    broadcast_all,
    clamp_probs,
    eps_of,
    tiny_of,
    uniform,
)


class Kumaraswamy(Distribution):
    """Like Beta, with the distribution function 1 - (1 - x^a)^b, a and b the concentrations 1 and
    0.

    >>> import clearprop as cp
    >>> cp.distributions.Kumaraswamy(1.0, 1.0).mean
    tensor(0.5000)
    """

    arg_constraints: ClassVar = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    def _moment(self, n: int) -> Tensor:
        """E x^n = b B(1 + n / a, b)."""
        a, b = 1 + n / self.concentration1, self.concentration0
        return b * ops.exp(ops.lgamma(a) + ops.lgamma(b) - ops.lgamma(a + b))

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        inside = (a >= 1) & (b >= 1)
        found = ops.pow((a - 1) / ops.where(inside, a * b - 1, 1.0), 1 / a)
        return ops.where(inside, found, math.nan)

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - ops.square(self._moment(1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        u = uniform(self._extended_shape(sample_shape), self.concentration1)
        return self.icdf(ops.clamp(u, tiny_of(u), 1 - eps_of(u)))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        a, b = self.concentration1, self.concentration0
        rest = ops.log1p(-ops.pow(value, a))
        return ops.log(a) + ops.log(b) + (a - 1) * ops.log(value) + (b - 1) * rest

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        rest = ops.log1p(-ops.pow(value, self.concentration1))
        return -ops.expm1(self.concentration0 * rest)

    def icdf(self, value: Tensor) -> Tensor:
        power = -ops.expm1(ops.log1p(-value) / self.concentration0)
        return ops.pow(power, 1 / self.concentration1)

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        harmonic = ops.digamma(b + 1) + EULER
        return (1 - 1 / b) + (1 - 1 / a) * harmonic - ops.log(a) - ops.log(b)


class ContinuousBernoulli(OneProbability):
    """Density proportional to p^x (1 - p)^(1 - x) on [0, 1]: for the pixels of an autoencoder
    (Loaiza-Ganem and Cunningham 2019).

    >>> import clearprop as cp
    >>> cp.distributions.ContinuousBernoulli(0.5).mean
    tensor(0.5000)
    """

    support: Any = constraints.unit_interval
    has_rsample = True

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        name = one_of(probs, logits)
        (given,) = broadcast_all(logits if probs is None else probs)
        self._lims = lims
        super().__init__(given.shape, validate_args=False)
        if validate_args is not None:
            self._validate_args = bool(validate_args)
        else:
            del self._validate_args
        self.__dict__[name] = given
        if self._validate_args:
            self._check_parameters()
        if name == "probs":
            self.__dict__["probs"] = clamp_probs(given)

    def expand(self, batch_shape: Any, _instance: Any = None) -> ContinuousBernoulli:
        new = super().expand(batch_shape)
        new._lims = self._lims
        return new

    def _away(self) -> tuple[Tensor, Tensor]:
        """Where p is not near 1/2, and p with another number near it, where series take over."""
        low, high = self._lims
        away = (self.probs <= low) | (self.probs > high)
        return away, ops.where(away, self.probs, low)

    def _log_norm(self) -> Tensor:
        """log(2 atanh(1 - 2 p) / (1 - 2 p))."""
        away, p = self._away()
        size = ops.abs(ops.log1p(-p) - ops.log(p))
        found = ops.log(size) - ops.log(ops.abs(1.0 - 2.0 * p))
        x = ops.square(self.probs - 0.5)
        return ops.where(away, found, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self) -> Tensor:
        away, p = self._away()
        found = p / (2.0 * p - 1.0) + 1.0 / (ops.log1p(-p) - ops.log(p))
        x = self.probs - 0.5
        return ops.where(away, found, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * ops.square(x)) * x)

    @property
    def variance(self) -> Tensor:
        away, p = self._away()
        found = p * (p - 1.0) / ops.square(1.0 - 2.0 * p) + 1.0 / ops.square(
            ops.log1p(-p) - ops.log(p)
        )
        x = ops.square(self.probs - 0.5)
        return ops.where(away, found, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.icdf(uniform(self._extended_shape(sample_shape), self.probs))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -bce(*broadcast_all(self.logits, value)) + self._log_norm()

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        away, p = self._away()
        found = (ops.pow(p, value) * ops.pow(1.0 - p, 1.0 - value) + p - 1.0) / (2.0 * p - 1.0)
        inside = ops.where(away, found, value)
        return ops.where(value <= 0, 0.0, ops.where(value >= 1, 1.0, inside))

    def icdf(self, value: Tensor) -> Tensor:
        away, p = self._away()
        found = (ops.log1p(-p + value * (2.0 * p - 1.0)) - ops.log1p(-p)) / (
            ops.log(p) - ops.log1p(-p)
        )
        return ops.where(away, found, value)

    def entropy(self) -> Tensor:
        high, low = ops.log(self.probs), ops.log1p(-self.probs)
        return self.mean * (low - high) - self._log_norm() - low
