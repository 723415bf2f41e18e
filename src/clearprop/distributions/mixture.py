"""Mixtures of distributions of one kind."""

from __future__ import annotations

from typing import Any, ClassVar

from clearprop import ops
from clearprop.autograd import no_grad
from clearprop.core import Tensor
from clearprop.distributions import constraints
from clearprop.distributions.categorical import Categorical
from clearprop.distributions.distribution import Distribution
from clearprop.ops.broadcasting import here


class MixtureSameFamily(Distribution):
    """Component k, the last batch axis of `component_distribution`, with the probability that
    `mixture_distribution`, a Categorical, gives it.

    >>> import clearprop as cp
    >>> from clearprop.distributions import Categorical, MixtureSameFamily, Normal
    >>> parts = Normal(cp.tensor([-1.0, 1.0]), 1.0)
    >>> MixtureSameFamily(Categorical(cp.tensor([0.5, 0.5])), parts).mean
    tensor(0.)
    """

    arg_constraints: ClassVar = {}

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                " The Mixture distribution needs to be an instance of"
                f" clearprop.distributions.Categorical{here()}"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                f"The Component distribution needs to be an instance of Distribution{here()}"
            )
        self._mixture, self._parts = mixture_distribution, component_distribution
        batch = component_distribution.batch_shape
        k = mixture_distribution._num_events
        if not batch or batch[-1] != k:
            raise ValueError(
                f"`mixture_distribution component` ({k}) does not equal"
                f" `component_distribution.batch_shape[-1]` ({batch[-1] if batch else ()}){here()}"
            )
        ops.broadcast_shapes(batch[:-1], mixture_distribution.batch_shape)
        event = component_distribution.event_shape
        super().__init__(batch[:-1], event, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> MixtureSameFamily:
        new = self._new(batch_shape)
        new._parts = self._parts.expand((*batch_shape, self._parts.batch_shape[-1]))
        new._mixture = self._mixture.expand(batch_shape)
        return new

    @property
    def mixture_distribution(self) -> Categorical:
        """Which component."""
        return self._mixture

    @property
    def component_distribution(self) -> Distribution:
        """The components."""
        return self._parts

    @property
    def support(self) -> constraints.Constraint:
        return self._parts.support

    @property
    def _at(self) -> int:
        """The axis of the components, counted from the right."""
        return -1 - len(self._event_shape)

    def _weights(self) -> Tensor:
        p = self._mixture.probs
        return p.reshape(*p.shape, *(1,) * len(self._event_shape))  # type: ignore[no-any-return]

    @property
    def mean(self) -> Tensor:
        return ops.sum(self._weights() * self._parts.mean, self._at)

    @property
    def variance(self) -> Tensor:
        weights, mean = self._weights(), self._parts.mean
        within = ops.sum(weights * self._parts.variance, self._at)
        apart = ops.square(mean - self.mean.unsqueeze(self._at))
        return within + ops.sum(weights * apart, self._at)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            values = self._parts.sample(sample_shape)
            chosen = self._mixture.expand(self._batch_shape).sample(sample_shape)
            shape = (*chosen.shape, 1, *self._event_shape)
            index = chosen.reshape(*chosen.shape, 1, *(1,) * len(self._event_shape))
            dim = values.ndim + self._at
            return ops.gather(values, dim, ops.expand(index, shape)).squeeze(dim)

    def _all(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return value.unsqueeze(self._at)

    def log_prob(self, value: Tensor) -> Tensor:
        logs = self._parts.log_prob(self._all(value))
        return ops.logsumexp(logs + ops.log_softmax(self._mixture.logits, -1), -1)

    def cdf(self, value: Tensor) -> Tensor:
        return ops.sum(self._parts.cdf(self._all(value)) * self._mixture.probs, -1)

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self._mixture},\n  {self._parts})"
