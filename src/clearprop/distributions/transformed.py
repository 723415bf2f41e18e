"""The distribution of a function of a random variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from clearprop import ops
from clearprop.autograd import no_grad
from clearprop.core import Tensor
from clearprop.distributions import constraints
from clearprop.distributions.distribution import Distribution
from clearprop.distributions.independent import Independent
from clearprop.distributions.parameters import sum_rightmost
from clearprop.distributions.transforms import ComposeTransform, Transform
from clearprop.ops.broadcasting import here


class TransformedDistribution(Distribution):
    """y = f_n(... f_1(x)) with x of a base distribution: log p(y) = log p(x) - log |det dy/dx|.

    >>> import clearprop as cp
    >>> from clearprop.distributions import AffineTransform, Normal, TransformedDistribution
    >>> d = TransformedDistribution(Normal(0.0, 1.0), [AffineTransform(1.0, 2.0)])
    >>> d.log_prob(cp.tensor(1.0))
    tensor(-1.6121)
    """

    arg_constraints: ClassVar = {}

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | Sequence[Transform],
        validate_args: bool | None = None,
    ) -> None:
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        if not all(isinstance(t, Transform) for t in self.transforms):
            raise ValueError(
                f"transforms must be a Transform or a list of Transforms, but was {transforms}"
                + here()
            )
        before = base_distribution.batch_shape + base_distribution.event_shape
        event = len(base_distribution.event_shape)
        whole = ComposeTransform(self.transforms)
        if len(before) < whole.domain.event_dim:
            raise ValueError(
                "base_distribution needs to have shape with size at least"
                f" {whole.domain.event_dim}, but got {before}.{here()}"
            )
        after = whole.forward_shape(before)
        base_distribution = base_distribution.expand(
            whole.inverse_shape(after)[: len(before) - event]
        )
        more = whole.domain.event_dim - event
        if more > 0:
            base_distribution = Independent(base_distribution, more)
        self.base_dist = base_distribution
        change = whole.codomain.event_dim - whole.domain.event_dim
        event = max(whole.codomain.event_dim, event + change)
        cut = len(after) - event
        super().__init__(after[:cut], after[cut:], validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    @property
    def support(self) -> constraints.Constraint:
        if not self.transforms:
            return self.base_dist.support
        support: constraints.Constraint = self.transforms[-1].codomain
        more = len(self.event_shape) - support.event_dim
        return constraints.independent(support, more) if more > 0 else support

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> TransformedDistribution:
        new = self._new(batch_shape)
        new.transforms = self.transforms
        shape = (*batch_shape, *self.event_shape)
        inner = ComposeTransform(self.transforms).inverse_shape(shape)
        new.base_dist = self.base_dist.expand(inner[: len(inner) - len(self.base_dist.event_shape)])
        return new

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            return self._moved(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self._moved(self.base_dist.rsample(sample_shape))

    def _moved(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        dims = len(self.event_shape)
        total: Any = 0.0
        y = value
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            dims += transform.domain.event_dim - transform.codomain.event_dim
            one = transform.log_abs_det_jacobian(x, y)
            total = total - sum_rightmost(one, dims - transform.domain.event_dim)
            y = x
        base = self.base_dist.log_prob(y)
        return total + sum_rightmost(base, dims - len(self.base_dist.event_shape))  # type: ignore[no-any-return]

    def _monotonic(self, value: Tensor) -> Tensor:
        """value, or 1 - value where the transforms together fall."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        if isinstance(sign, int) and sign == 1:
            return value
        return sign * (value - 0.5) + 0.5  # type: ignore[no-any-return]

    def cdf(self, value: Tensor) -> Tensor:
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        if self._validate_args:
            self.base_dist._validate_sample(value)
        return self._monotonic(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        return self._moved(self.base_dist.icdf(self._monotonic(value)))

    def __repr__(self) -> str:
        if self.arg_constraints:
            parts = [f"{n}: {_of(getattr(self, n))}" for n in self.arg_constraints]
            return f"{type(self).__name__}({', '.join(parts)})"
        return f"{type(self).__name__}({self.base_dist!r}, {self.transforms!r})"


def _of(value: Any) -> Any:
    return ops.tensor(0.0).shape if value is None else value.shape if value.ndim else value.item()
