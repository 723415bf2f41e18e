"""Uniform, exponential and other distributions of one real number that a uniform one is turned"
" into."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from clearprop import ops
from clearprop.core import Tensor
from clearprop.distributions import constraints
from clearprop.distributions.distribution import Distribution, ExponentialFamily
from clearprop.distributions.parameters import (
    broadcast_all,
    eps_of,
    exponential,
    tiny_of,
    uniform,
)

EULER = 0.5772156649015329


class Uniform(Distribution):
    """Equally probable numbers in [low, high).

    >>> import clearprop as cp
    >>> cp.distributions.Uniform(0.0, 2.0).log_prob(cp.tensor(1.0))
    tensor(-0.6931)
    """

    has_rsample = True
    low: Tensor
    high: Tensor

    @property
    def arg_constraints(self) -> Any:  # type: ignore[override]
        return {
            "low": constraints.less_than(self.high),
            "high": constraints.greater_than(self.low),
        }

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Uniform:
        new = self._new(batch_shape)
        shape = tuple(batch_shape)
        new.low, new.high = ops.expand(self.low, shape), ops.expand(self.high, shape)
        return new

    @property
    def support(self) -> constraints.Constraint:
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Tensor:
        return self.high * math.nan

    @property
    def stddev(self) -> Tensor:
        return (self.high - self.low) / math.sqrt(12)

    @property
    def variance(self) -> Tensor:
        return ops.square(self.high - self.low) / 12

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        u = uniform(self._extended_shape(sample_shape), self.low)
        return self.low + u * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        inside = (self.low <= value) & (self.high > value)
        return ops.log(inside.to(self.low.dtype)) - ops.log(self.high - self.low)

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return ops.clamp((value - self.low) / (self.high - self.low), 0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        return ops.log(self.high - self.low)


class Exponential(ExponentialFamily):
    """Waiting times: density rate e^(-rate x) for x >= 0.

    >>> import clearprop as cp
    >>> cp.distributions.Exponential(2.0).mean
    tensor(0.5000)
    """

    arg_constraints: ClassVar = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return ops.reciprocal(self.rate)

    @property
    def mode(self) -> Tensor:
        return ops.zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        return ops.reciprocal(self.rate)

    @property
    def variance(self) -> Tensor:
        return ops.pow(self.rate, -2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return exponential(self._extended_shape(sample_shape), self.rate) / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return ops.log(self.rate) - self.rate * value

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -ops.expm1(-self.rate * value)

    def icdf(self, value: Tensor) -> Tensor:
        return -ops.log1p(-value) / self.rate

    def entropy(self) -> Tensor:
        return 1.0 - ops.log(self.rate)


class _LocationScale(Distribution):
    """loc + scale * z with z of a fixed distribution."""

    arg_constraints: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def _score(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return (value - self.loc) / self.scale

    @property
    def mode(self) -> Tensor:
        return self.loc


class Laplace(_LocationScale):
    """Density e^(-|x - loc| / scale) / (2 scale).

    >>> import clearprop as cp
    >>> cp.distributions.Laplace(0.0, 1.0).log_prob(cp.tensor(1.0))
    tensor(-1.6931)
    """

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return 2 * ops.square(self.scale)

    @property
    def stddev(self) -> Tensor:
        return math.sqrt(2) * self.scale

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        eps = eps_of(self.loc)
        u = uniform(self._extended_shape(sample_shape), self.loc) * (2 - eps) + (eps - 1)
        return self.loc - self.scale * ops.sign(u) * ops.log1p(-ops.abs(u))

    def log_prob(self, value: Tensor) -> Tensor:
        return -ops.log(2 * self.scale) - ops.abs(self._score(value))

    def cdf(self, value: Tensor) -> Tensor:
        z = self._score(value)
        return 0.5 - 0.5 * ops.sign(z) * ops.expm1(-ops.abs(z))

    def icdf(self, value: Tensor) -> Tensor:
        term = value - 0.5
        return self.loc - self.scale * ops.sign(term) * ops.log1p(-2 * ops.abs(term))

    def entropy(self) -> Tensor:
        return 1 + ops.log(2 * self.scale)


class Cauchy(_LocationScale):
    """The quotient of two centred normal numbers, shifted and scaled; it has no mean.

    >>> import clearprop as cp
    >>> cp.distributions.Cauchy(0.0, 1.0).cdf(cp.tensor(1.0))
    tensor(0.7500)
    """

    @property
    def mean(self) -> Tensor:
        return ops.full_like(self.loc, math.nan)

    @property
    def variance(self) -> Tensor:
        return ops.full_like(self.loc, math.inf)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        u = uniform(self._extended_shape(sample_shape), self.loc)
        return self.loc + ops.tan(math.pi * (u - 0.5)) * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        tail = ops.log1p(ops.square(self._score(value)))
        return -math.log(math.pi) - ops.log(self.scale) - tail

    def cdf(self, value: Tensor) -> Tensor:
        return ops.atan(self._score(value)) / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        return ops.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self) -> Tensor:
        return math.log(4 * math.pi) + ops.log(self.scale)


class Gumbel(_LocationScale):
    """The largest of many: distribution function e^(-e^(-(x - loc) / scale)).

    >>> import clearprop as cp
    >>> cp.distributions.Gumbel(0.0, 1.0).mean
    tensor(0.5772)
    """

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale * EULER

    @property
    def stddev(self) -> Tensor:
        return (math.pi / math.sqrt(6)) * self.scale

    @property
    def variance(self) -> Tensor:
        return ops.square(self.stddev)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        u = uniform(self._extended_shape(sample_shape), self.loc)
        u = ops.clamp(u, tiny_of(u), 1 - eps_of(u))
        return self.loc - self.scale * ops.log(-ops.log(u))

    def log_prob(self, value: Tensor) -> Tensor:
        z = -self._score(value)
        return z - ops.exp(z) - ops.log(self.scale)

    def cdf(self, value: Tensor) -> Tensor:
        return ops.exp(-ops.exp(-self._score(value)))

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc - self.scale * ops.log(-ops.log(value))

    def entropy(self) -> Tensor:
        return ops.log(self.scale) + (1 + EULER)


class HalfCauchy(Distribution):
    """|x| of a Cauchy variable x around 0.

    >>> import clearprop as cp
    >>> cp.distributions.HalfCauchy(1.0).cdf(cp.tensor(1.0))
    tensor(0.5000)
    """

    arg_constraints: ClassVar = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        (self.scale,) = broadcast_all(scale)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return ops.full_like(self.scale, math.inf)

    @property
    def mode(self) -> Tensor:
        return ops.zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        return ops.full_like(self.scale, math.inf)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        u = uniform(self._extended_shape(sample_shape), self.scale)
        return ops.abs(ops.tan(math.pi * (u - 0.5)) * self.scale)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        found = (
            math.log(2 / math.pi) - ops.log(self.scale) - ops.log1p(ops.square(value / self.scale))
        )
        return ops.where(value >= 0, found, -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return 2 * ops.atan(value / self.scale) / math.pi

    def icdf(self, value: Tensor) -> Tensor:
        return ops.tan(math.pi * value / 2) * self.scale

    def entropy(self) -> Tensor:
        return math.log(2 * math.pi) + ops.log(self.scale)


class Pareto(Distribution):
    """Power-law tails: density alpha scale^alpha / x^(alpha + 1) for x >= scale.

    >>> import clearprop as cp
    >>> cp.distributions.Pareto(1.0, 3.0).mean
    tensor(1.5000)
    """

    arg_constraints: ClassVar = {"scale": constraints.positive, "alpha": constraints.positive}
    has_rsample = True

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = broadcast_all(scale, alpha)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Tensor:
        a = ops.clamp(self.alpha, 1)  # inf up to 1
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        a = ops.clamp(self.alpha, 2)
        return ops.square(self.scale) * a / (ops.square(a - 1) * (a - 2))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        e = exponential(self._extended_shape(sample_shape), self.scale)
        return self.scale * ops.exp(e / self.alpha)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        excess = ops.log(value / self.scale)
        return ops.log(self.alpha) - ops.log(self.scale) - (self.alpha + 1) * excess

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -ops.expm1(-self.alpha * ops.log(value / self.scale))

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * ops.exp(-ops.log1p(-value) / self.alpha)

    def entropy(self) -> Tensor:
        return ops.log(self.scale / self.alpha) + (1 + ops.reciprocal(self.alpha))


class Weibull(Distribution):
    """scale * e^(1 / concentration) with e exponential: life times.

    >>> import clearprop as cp
    >>> cp.distributions.Weibull(1.0, 1.0).mean
    tensor(1.)
    """

    arg_constraints: ClassVar = {
        "scale": constraints.positive,
        "concentration": constraints.positive,
    }
    support = constraints.positive
    has_rsample = True

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.scale * ops.exp(ops.lgamma(1 + ops.reciprocal(self.concentration)))

    @property
    def mode(self) -> Tensor:
        k = self.concentration
        return self.scale * ops.pow((k - 1) / k, ops.reciprocal(k))

    @property
    def variance(self) -> Tensor:
        inverse = ops.reciprocal(self.concentration)
        one, two = ops.lgamma(1 + inverse), ops.lgamma(1 + 2 * inverse)
        return ops.square(self.scale) * (ops.exp(two) - ops.exp(2 * one))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        e = exponential(self._extended_shape(sample_shape), self.scale)
        return self.scale * ops.pow(e, ops.reciprocal(self.concentration))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        z, k = ops.log(value / self.scale), self.concentration
        return ops.log(k / self.scale) + (k - 1) * z - ops.exp(k * z)

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -ops.expm1(-ops.pow(value / self.scale, self.concentration))

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * ops.pow(-ops.log1p(-value), ops.reciprocal(self.concentration))

    def entropy(self) -> Tensor:
        k = self.concentration
        return EULER * (1 - ops.reciprocal(k)) + ops.log(self.scale / k) + 1
