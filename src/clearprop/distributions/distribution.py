"""The base of all distributions: shapes, sampling, checks of parameters and values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from clearprop import ops
from clearprop.autograd import enable_grad, no_grad
from clearprop.core import Tensor
from clearprop.core.tensor import known
from clearprop.distributions import constraints
from clearprop.ops.broadcasting import here

D = TypeVar("D", bound="Distribution")
Shape = tuple[int, ...]


def holds(mask: Callable[[], Tensor], like: Tensor) -> bool:
    """Whether a check holds everywhere; True while tracing, where it would see one run only."""
    if known(like) is None:
        return True
    value = known(mask())
    return not isinstance(value, np.ndarray) or bool(value.all())


class lazy:
    """An attribute that is computed when first asked for, with its gradient, and kept; while
    tracing it is computed anew, since what a trace makes must not outlive it.
    """

    def __init__(self, f: Callable[[Any], Tensor]) -> None:
        self.f = f
        self.__doc__ = f.__doc__

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self.f(instance)
        if isinstance(value.value, np.ndarray):
            instance.__dict__[self.f.__name__] = value
        return value


class Distribution:
    """A probability distribution over events of shape `event_shape`, one for every index of
    `batch_shape`.

    >>> import clearprop as cp
    >>> d = cp.distributions.Normal(cp.zeros(3), 1.0)
    >>> d.batch_shape, d.event_shape, d.log_prob(cp.zeros(3)).shape
    ((3,), (), (3,))
    """

    has_rsample = False
    has_enumerate_support = False
    arg_constraints: ClassVar[dict[str, Any]] = {}
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their parameters and values, where nothing else is said."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args: True or False wanted, got {value!r}")
        Distribution._validate_args = value

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = tuple(batch_shape), tuple(event_shape)
        if validate_args is not None:
            self._validate_args = bool(validate_args)
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        for name, constraint in self.arg_constraints.items():
            value = self.__dict__.get(name)
            if constraints.is_dependent(constraint) or not isinstance(value, Tensor):
                continue
            if not holds(functools.partial(constraint.check, value.detach()), value):
                raise ValueError(
                    f"Expected parameter {name} (Tensor of shape {value.shape}) of distribution"
                    f" {self!r} to satisfy the constraint {constraint!r}, but found invalid"
                    f" values:\n{_shown(value)}{here()}"
                )

    def _validate_sample(self, value: Any) -> None:
        """ValueError unless value has a fitting shape and lies in the support."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor" + here())
        shape, event = value.shape, self._event_shape
        if shape[len(shape) - len(event) :] != event:
            raise ValueError(
                f"The right-most size of value must match event_shape: {shape} vs {event}.{here()}"
            )
        wanted = self._batch_shape + event
        for i, j in zip(reversed(shape), reversed(wanted), strict=False):
            if i != 1 and j != 1 and i != j:
                raise ValueError(
                    "Value is not broadcastable with batch_shape+event_shape:"
                    f" {shape} vs {wanted}.{here()}"
                )
        try:
            support = self.support
        except NotImplementedError:
            return
        if not holds(functools.partial(support.check, value.detach()), value):
            raise ValueError(
                f"Expected value argument (Tensor of shape {shape}) to be within the support"
                f" ({support!r}) of the distribution {self!r}, but found invalid"
                f" values:\n{_shown(value)}{here()}"
            )

    # ------------------------------------------------------------------ shapes
    @property
    def batch_shape(self) -> Shape:
        """The shape over which parameters are batched."""
        return self._batch_shape

    @property
    def event_shape(self) -> Shape:
        """The shape of one sample of one distribution."""
        return self._event_shape

    def _extended_shape(self, sample_shape: Any = ()) -> Shape:
        return (*sample_shape, *self._batch_shape, *self._event_shape)

    def expand(self: D, batch_shape: Sequence[int], _instance: Any = None) -> D:
        """The same distribution with its parameters expanded to batch_shape."""
        new = self._new(batch_shape)
        for name in (*self.arg_constraints, *self._more_parameters):
            value = self.__dict__.get(name)
            if isinstance(value, Tensor):
                own = value.shape[len(self._batch_shape) :]
                setattr(new, name, ops.expand(value, (*batch_shape, *own)))
        return new

    _more_parameters: ClassVar[tuple[str, ...]] = ()

    def _new(self: D, batch_shape: Sequence[int]) -> D:
        """An instance of the same class, without parameters yet."""
        new = object.__new__(type(self))
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    # ------------------------------------------------------------------ what a subclass gives
    @property
    def support(self) -> constraints.Constraint:
        """The constraint that values satisfy."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        """The mean of the distribution."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        raise NotImplementedError(f"{type(self).__name__} has no mode")

    @property
    def variance(self) -> Tensor:
        """The variance of the distribution."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The standard deviation, the root of the variance."""
        return ops.sqrt(self.variance)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples of shape sample_shape + batch_shape + event_shape, without gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples through which gradients flow to the parameters."""
        raise NotImplementedError(f"{type(self).__name__} has no rsample (has_rsample is False)")

    def sample_n(self, n: int) -> Tensor:
        """sample((n,))."""
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density, or of the probability of a discrete value."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of values up to `value`."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of cdf: the quantile of a probability."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf")

    def entropy(self) -> Tensor:
        """-E[log_prob], one number for every index of batch_shape."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy")

    def perplexity(self) -> Tensor:
        """exp(entropy)."""
        return ops.exp(self.entropy())

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution, along a new first axis."""
        raise NotImplementedError(f"the values of {type(self).__name__} cannot be listed")

    def __repr__(self) -> str:
        parts = []
        for name in self.arg_constraints:
            value = self.__dict__.get(name)
            if isinstance(value, Tensor):
                plain = value.numel() == 1 and isinstance(known(value), np.ndarray)
                parts.append(f"{name}: {value.item() if plain else value.shape}")
        return f"{type(self).__name__}({', '.join(parts)})"


class ExponentialFamily(Distribution):
    """Distributions p(x) = exp(<t(x), theta> - F(theta) + k(x)): Normal, Bernoulli, Gamma, ..."""


def _shown(value: Tensor) -> Any:
    return value.detach().item() if not value.ndim else value.detach()
