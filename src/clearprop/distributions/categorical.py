"""One of several: Categorical, OneHotCategorical, Multinomial.

A class is found as PyTorch finds it, with the same numbers: one by a race, several from uniform
numbers and the running sum of the probabilities.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from clearprop import ops
from clearprop.autograd import no_grad
from clearprop.core import Tensor, float64, int64
from clearprop.distributions import constraints
from clearprop.distributions.discrete import Binomial, Parametrised, one_of
from clearprop.distributions.distribution import Distribution, lazy
from clearprop.distributions.parameters import (
    broadcast_all,
    fine_uniform,
    logits_to_probs,
    probs_to_logits,
)
from clearprop.ops.broadcasting import here


class Categorical(Parametrised):
    """Class k with probability `probs[..., k]` (which is normalised), or softmax(`logits`).

    >>> import clearprop as cp
    >>> d = cp.distributions.Categorical(cp.tensor([1.0, 3.0]))
    >>> d.probs, d.log_prob(cp.tensor(1))
    (tensor([0.2500, 0.7500]), tensor(-0.2877))
    """

    arg_constraints: ClassVar = {
        "probs": constraints.simplex,
        "logits": constraints.real_vector,
    }
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        name = one_of(probs, logits)
        given = logits if probs is None else probs
        if given.ndim < 1:
            raise ValueError(f"`{name}` parameter must be at least one-dimensional.{here()}")
        if name == "probs":
            self.__dict__["probs"] = given / ops.sum(given, -1, keepdim=True)
        else:
            self.__dict__["logits"] = given - ops.logsumexp(given, -1, keepdim=True)
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], validate_args=validate_args)

    @lazy
    def probs(self) -> Tensor:
        """softmax(logits)."""
        return logits_to_probs(self.logits)

    @lazy
    def logits(self) -> Tensor:
        """log(probs), limited to finite numbers."""
        return probs_to_logits(self.probs)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Categorical:
        new = super().expand(batch_shape)
        new._num_events = self._num_events
        return new

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Tensor:
        return ops.full(self._extended_shape(), math.nan, dtype=self._param.dtype)

    @property
    def mode(self) -> Tensor:
        return ops.argmax(self.probs, -1)

    @property
    def variance(self) -> Tensor:
        return self.mean

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            if math.prod(sample_shape) == 1:  # who comes first, at speeds of `probs`?
                times = -ops.log1p(-ops.rand(*self.probs.shape, dtype=float64))
                first = ops.argmax(self.probs / times.to(self.probs.dtype), -1)
                return ops.reshape(first, shape)
            steps = ops.cumsum(self.probs.to(float64), -1)
            steps = ops.broadcast_to(steps / steps[..., -1:], (*shape, self._num_events))
            rows = fine_uniform((math.prod(self.batch_shape), math.prod(sample_shape)))
            u = ops.broadcast_to(ops.reshape(rows.T, shape).unsqueeze(-1), steps.shape)
            return ops.sum(steps < u, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        index = value.to(int64).unsqueeze(-1)
        shape = ops.broadcast_shapes(index.shape[:-1], self.logits.shape[:-1])
        logits = ops.broadcast_to(self.logits, (*shape, self._num_events))
        return ops.gather(logits, -1, ops.broadcast_to(index, (*shape, 1))).squeeze(-1)

    def entropy(self) -> Tensor:
        least = float(np.finfo(self.logits.value.dtype).min)
        return -ops.sum(ops.clamp(self.logits, least) * self.probs, -1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        found = ops.arange(self._num_events).reshape(-1, *(1,) * len(self.batch_shape))
        return ops.expand(found, (self._num_events, *self.batch_shape)) if expand else found


class OneHotCategorical(Parametrised):
    """Categorical whose samples are vectors with one 1.

    >>> import clearprop as cp
    >>> cp.distributions.OneHotCategorical(cp.tensor([0.0, 1.0])).sample()
    tensor([0., 1.])
    """

    arg_constraints: ClassVar = Categorical.arg_constraints
    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical._param.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> OneHotCategorical:
        new = self._new(batch_shape)
        new._categorical = self._categorical.expand(batch_shape)
        return new

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        return self._categorical.probs  # type: ignore[no-any-return]

    @property
    def logits(self) -> Tensor:
        """Their logarithms."""
        return self._categorical.logits  # type: ignore[no-any-return]

    @property
    def _param(self) -> Tensor:
        return self._categorical._param

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        return self._hot(ops.argmax(self.probs, -1))

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def _hot(self, index: Tensor) -> Tensor:
        return ops.one_hot(index, self._event_shape[0]).to(self._param.dtype)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self._hot(self._categorical.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self._categorical.log_prob(ops.argmax(value, -1))

    def entropy(self) -> Tensor:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        n = self._event_shape[0]
        found = ops.eye(n, dtype=self._param.dtype).reshape(n, *(1,) * len(self.batch_shape), n)
        return ops.expand(found, (n, *self.batch_shape, n)) if expand else found


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """OneHotCategorical whose samples pass gradients to the probabilities as if they were them."""

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        p = self.probs
        return self.sample(sample_shape) + (p - p.detach())


class Multinomial(Distribution):
    """How often each class comes in `total_count` draws.

    >>> import clearprop as cp
    >>> d = cp.distributions.Multinomial(3, cp.tensor([0.0, 1.0]))
    >>> d.sample()
    tensor([0., 3.])
    """

    arg_constraints: ClassVar = Categorical.arg_constraints

    def __init__(
        self,
        total_count: int = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported" + here())
        self.total_count = total_count
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical._param.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Multinomial:
        new = self._new(batch_shape)
        new.total_count = self.total_count
        new._categorical = self._categorical.expand(batch_shape)
        return new

    @property
    def support(self) -> constraints.Constraint:
        return constraints.multinomial(self.total_count)

    @property
    def probs(self) -> Tensor:
        """The probabilities of the classes."""
        return self._categorical.probs  # type: ignore[no-any-return]

    @property
    def logits(self) -> Tensor:
        """Their logarithms."""
        return self._categorical.logits  # type: ignore[no-any-return]

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        draws = self._categorical.sample((self.total_count, *sample_shape))
        counts = ops.sum(ops.one_hot(draws, self._event_shape[0]), 0)
        return counts.to(self._categorical._param.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        total = ops.lgamma(ops.sum(value, -1) + 1)
        none = (value == 0) & (logits == -math.inf)
        powers = ops.where(none, 0.0, logits) * value
        return total - ops.sum(ops.lgamma(value + 1), -1) + ops.sum(powers, -1)

    def entropy(self) -> Tensor:
        n, batch = self.total_count, len(self.batch_shape)
        one = Binomial(n, self.probs, validate_args=False)
        values = ops.arange(1, n + 1, dtype=self.probs.dtype).reshape(n, *(1,) * (batch + 1))
        expected = ops.exp(one.log_prob(values)) * ops.lgamma(values + 1)
        return (
            n * self._categorical.entropy() - math.lgamma(n + 1) + ops.sum(ops.sum(expected, 0), -1)
        )
