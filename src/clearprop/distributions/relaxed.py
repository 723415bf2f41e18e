"""Discrete distributions softened until they have a gradient."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from clearprop import ops
from clearprop.core import Tensor
from clearprop.distributions import constraints
from clearprop.distributions.categorical import Categorical
from clearprop.distributions.discrete import Bernoulli
from clearprop.distributions.distribution import Distribution
from clearprop.distributions.parameters import clamp_probs, uniform


class RelaxedBernoulli(Distribution):
    """A Bernoulli variable softened to (0, 1), with a gradient: sigmoid((logits + noise) /
    temperature) (Maddison et al. 2017).

    >>> import clearprop as cp
    >>> d = cp.distributions.RelaxedBernoulli(cp.tensor(0.5), probs=cp.tensor([0.2, 0.9]))
    >>> d.rsample().shape
    (2,)
    """

    arg_constraints: ClassVar = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self._bernoulli = Bernoulli(probs, logits, validate_args)
        d = self._bernoulli._param.dtype
        self.temperature = (
            temperature if isinstance(temperature, Tensor) else ops.tensor(temperature, dtype=d)
        )
        super().__init__(self._bernoulli.batch_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> RelaxedBernoulli:
        new = self._new(batch_shape)
        new._bernoulli, new.temperature = self._bernoulli.expand(batch_shape), self.temperature
        return new

    @property
    def probs(self) -> Tensor:
        """The probability before it is softened."""
        return self._bernoulli.probs  # type: ignore[no-any-return]

    @property
    def logits(self) -> Tensor:
        """Its logit."""
        return self._bernoulli.logits  # type: ignore[no-any-return]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        u = clamp_probs(uniform(self._extended_shape(sample_shape), self.logits))
        noise = ops.log(u) - ops.log1p(-u)
        return ops.sigmoid((self.logits + noise) / self.temperature)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        x = ops.log(value) - ops.log1p(-value)
        shift = self.logits - x * self.temperature
        inner = ops.log(self.temperature) + shift - 2 * ops.log1p(ops.exp(shift))
        return inner - ops.log(value) - ops.log1p(-value)


class RelaxedOneHotCategorical(Distribution):
    """A one-hot vector softened to the inside of the simplex, with a gradient: softmax((logits +
    Gumbel noise) / temperature) (Jang et al. 2017).

    >>> import clearprop as cp
    >>> d = cp.distributions.RelaxedOneHotCategorical(cp.tensor(0.5), probs=cp.ones(3))
    >>> d.rsample((2,)).shape
    (2, 3)
    """

    arg_constraints: ClassVar = Categorical.arg_constraints
    support = constraints.simplex
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        d = self._categorical._param.dtype
        self.temperature = (
            temperature if isinstance(temperature, Tensor) else ops.tensor(temperature, dtype=d)
        )
        shape = self._categorical._param.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> RelaxedOneHotCategorical:
        new = self._new(batch_shape)
        new._categorical, new.temperature = self._categorical.expand(batch_shape), self.temperature
        return new

    @property
    def probs(self) -> Tensor:
        """The probabilities before they are softened."""
        return self._categorical.probs  # type: ignore[no-any-return]

    @property
    def logits(self) -> Tensor:
        """Their logarithms."""
        return self._categorical.logits  # type: ignore[no-any-return]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        u = clamp_probs(uniform(self._extended_shape(sample_shape), self.logits))
        return ops.softmax((self.logits - ops.log(-ops.log(u))) / self.temperature, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        k = self._event_shape[0]
        y = ops.log(value)
        score = self.logits - y * self.temperature
        score = ops.sum(score - ops.logsumexp(score, -1, keepdim=True), -1)
        return score + math.lgamma(k) + (k - 1) * ops.log(self.temperature) - ops.sum(y, -1)
