"""Counts: Bernoulli, Binomial, NegativeBinomial, Geometric, Poisson.

Samples come from uniform numbers through the inverse distribution function, in ops, so that they
are drawn anew at every run of a traced function.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from clearprop import ops
from clearprop.autograd import no_grad
from clearprop.core import Tensor, apply, float32
from clearprop.distributions import constraints
from clearprop.distributions.distribution import Distribution, ExponentialFamily, holds, lazy
from clearprop.distributions.gamma import standard_gamma
from clearprop.distributions.parameters import (
    bce,
    broadcast_all,
    fine_uniform,
    logits_to_probs,
    probs_to_logits,
    tiny_of,
    uniform,
)
from clearprop.nn.functional import logsigmoid
from clearprop.ops.broadcasting import here
from clearprop.ops.quantiles import BINOMIAL_QUANTILE, POISSON_QUANTILE


def one_of(probs: Any, logits: Any) -> str:
    if (probs is None) == (logits is None):
        raise ValueError(f"Either `probs` or `logits` must be specified, but not both.{here()}")
    return "logits" if probs is None else "probs"


class Parametrised(Distribution):
    """What is given as `probs` or as `logits`; the other one is computed when asked for."""

    @property
    def _param(self) -> Tensor:
        return self.__dict__["probs" if "probs" in self.__dict__ else "logits"]  # type: ignore[no-any-return]

    @property
    def param_shape(self) -> tuple[int, ...]:
        """The shape of the parameter."""
        return self._param.shape


class OneProbability(Parametrised, ExponentialFamily):
    """Distributions with one probability, given as `probs` or as `logits`."""

    arg_constraints: ClassVar = {"probs": constraints.unit_interval, "logits": constraints.real}

    @lazy
    def probs(self) -> Tensor:
        """The probability, sigmoid(logits)."""
        return logits_to_probs(self.logits, is_binary=True)

    @lazy
    def logits(self) -> Tensor:
        """log(probs / (1 - probs))."""
        return probs_to_logits(self.probs, is_binary=True)


class Bernoulli(OneProbability):
    """1 with probability `probs` = sigmoid(`logits`), else 0.

    >>> import clearprop as cp
    >>> cp.distributions.Bernoulli(0.25).log_prob(cp.tensor(1.0))
    tensor(-1.3863)
    """

    support = constraints.boolean
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        name = one_of(probs, logits)
        (self.__dict__[name],) = broadcast_all(logits if probs is None else probs)
        super().__init__(self._param.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        p = self.probs
        return ops.where(p == 0.5, math.nan, (p >= 0.5).to(p.dtype))

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            p = ops.expand(self.probs, shape)
            return (ops.rand(shape, dtype=float32).to(p.dtype) < p).to(p.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -bce(*broadcast_all(self.logits, value))

    def entropy(self) -> Tensor:
        return bce(self.logits, self.probs)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return _values(2, self, expand)


def _values(n: int, d: Distribution, expand: bool) -> Tensor:
    """0 ... n-1 along a new first axis."""
    param: Tensor = d._param  # type: ignore[attr-defined]
    found = ops.arange(n, dtype=param.dtype).reshape(n, *(1,) * len(d.batch_shape))
    return ops.expand(found, (n, *d.batch_shape)) if expand else found


class Geometric(OneProbability):
    """How many failures come before the first success.

    >>> import clearprop as cp
    >>> cp.distributions.Geometric(0.25).mean
    tensor(3.)
    """

    support = constraints.nonnegative_integer

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        name = one_of(probs, logits)
        (self.__dict__[name],) = broadcast_all(logits if probs is None else probs)
        super().__init__(self._param.shape, validate_args=validate_args)
        if self._validate_args and probs is not None:
            p = self.probs
            if not holds(lambda: p.detach() > 0, p):
                raise ValueError(
                    f"Expected parameter probs (Tensor of shape {p.shape}) of distribution {self!r}"
                    f" to be positive but found invalid values:\n{p.detach()}{here()}"
                )

    @property
    def mean(self) -> Tensor:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Tensor:
        return ops.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            u = uniform(self._extended_shape(sample_shape), self.probs)
            return ops.floor(ops.log(ops.clamp(u, tiny_of(u))) / ops.log1p(-self.probs))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        value, p = broadcast_all(value, self.probs)
        sure = (p == 1) & (value == 0)  # 0 * log(0) is 0 here
        return value * ops.log1p(-ops.where(sure, 0.0, p)) + ops.log(self.probs)

    def entropy(self) -> Tensor:
        return bce(self.logits, self.probs) / self.probs


class Binomial(OneProbability):
    """How many of `total_count` trials succeed.

    >>> import clearprop as cp
    >>> cp.distributions.Binomial(2, 0.5).log_prob(cp.tensor(1.0)).exp()
    tensor(0.5000)
    """

    arg_constraints: ClassVar = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(
        self,
        total_count: Any = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        name = one_of(probs, logits)
        given = logits if probs is None else probs
        count, self.__dict__[name] = broadcast_all(total_count, given)
        self.total_count = count.to(self._param.dtype)
        super().__init__(self._param.shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ops.minimum(ops.floor((self.total_count + 1) * self.probs), self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            n, p = ops.expand(self.total_count, shape), ops.expand(self.probs, shape)
            return apply(BINOMIAL_QUANTILE, n, p, fine_uniform(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n, x = self.total_count, self.logits
        ways = ops.lgamma(n + 1) - ops.lgamma(value + 1) - ops.lgamma(n - value + 1)
        # n log(1 + e^x), split so that it does not overflow
        norm = n * ops.relu(x) + n * ops.log1p(ops.exp(-ops.abs(x)))
        return value * x + ways - norm

    def entropy(self) -> Tensor:
        values = self.enumerate_support(False)
        logs = self.log_prob(values)
        return -ops.sum(ops.exp(logs) * logs, 0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        counts = self.total_count.array("enumerate_support()")
        n = int(counts.max(initial=0))
        if counts.size and counts.min() != n:
            raise NotImplementedError(
                f"Inhomogeneous total count not supported by `enumerate_support`.{here()}"
            )
        return _values(n + 1, self, expand)


class NegativeBinomial(OneProbability):
    """How many successes of probability `probs` come before `total_count` failures.

    >>> import clearprop as cp
    >>> cp.distributions.NegativeBinomial(3.0, 0.5).mean
    tensor(3.)
    """

    arg_constraints: ClassVar = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        name = one_of(probs, logits)
        given = logits if probs is None else probs
        count, self.__dict__[name] = broadcast_all(total_count, given)
        self.total_count = count.to(self._param.dtype)
        super().__init__(self._param.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.total_count * ops.exp(self.logits)

    @property
    def mode(self) -> Tensor:
        return ops.clamp(ops.floor((self.total_count - 1) * ops.exp(self.logits)), 0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean / ops.sigmoid(-self.logits)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            rate = standard_gamma(ops.expand(self.total_count, shape)) * ops.exp(self.logits)
            return apply(POISSON_QUANTILE, rate, fine_uniform(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n, x = self.total_count, self.logits
        plain = n * logsigmoid(-x) + value * logsigmoid(x)
        ways = ops.lgamma(n + value) - ops.lgamma(1.0 + value) - ops.lgamma(n)
        return plain + ops.where(n + value == 0, 0.0, ways)


class Poisson(ExponentialFamily):
    """How many rare events happen: rate^k e^-rate / k!.

    >>> import clearprop as cp
    >>> cp.distributions.Poisson(2.0).log_prob(cp.tensor(0.0))
    tensor(-2.)
    """

    arg_constraints: ClassVar = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        return ops.floor(self.rate)

    @property
    def variance(self) -> Tensor:
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return apply(POISSON_QUANTILE, ops.expand(self.rate, shape), fine_uniform(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return ops.xlogy(value, rate) - rate - ops.lgamma(value + 1)
