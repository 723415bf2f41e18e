"""Transforms that map all real numbers into a constraint: for parameters that an optimizer may move
freely.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clearprop.core import Tensor
from clearprop.distributions import constraints
from clearprop.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    SigmoidTransform,
    SoftmaxTransform,
    StickBreakingTransform,
    Transform,
    identity_transform,
)
from clearprop.ops.broadcasting import here

Factory = Callable[[Any], Transform]


class ConstraintRegistry:
    """Constraints and the transforms whose results satisfy them: `registry(constraint)`.

    >>> import clearprop as cp
    >>> from clearprop.distributions import constraints, transform_to
    >>> transform_to(constraints.positive)(cp.tensor([-1.0, 0.0]))
    tensor([0.3679, 1.0000])
    """

    def __init__(self) -> None:
        self._factories: dict[type, Factory] = {}

    def register(self, constraint: Any, factory: Factory | None = None) -> Any:
        """Enter a factory (constraint -> transform) for a constraint or its class; a decorator
        where no factory is given.
        """
        if factory is None:
            return lambda factory: self.register(constraint, factory)
        kind = constraint if isinstance(constraint, type) else type(constraint)
        if not issubclass(kind, constraints.Constraint):
            raise TypeError(
                "Expected constraint to be either a Constraint subclass or instance, but got"
                f" {constraint}{here()}"
            )
        self._factories[kind] = factory
        return factory

    def __call__(self, constraint: Any) -> Transform:
        """A transform into the constraint."""
        factory = self._factories.get(type(constraint))
        if factory is None:
            raise NotImplementedError(
                f"Cannot transform {type(constraint).__name__.lstrip('_')} constraints: register"
                f" a transform first{here()}"
            )
        return factory(constraint)


biject_to, transform_to = ConstraintRegistry(), ConstraintRegistry()


def _above(constraint: Any) -> Transform:
    return ComposeTransform([ExpTransform(), AffineTransform(constraint.lower_bound, 1)])


def _below(constraint: Any) -> Transform:
    return ComposeTransform([ExpTransform(), AffineTransform(constraint.upper_bound, -1)])


def _between(constraint: Any) -> Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    if not isinstance(low, Tensor) and not isinstance(high, Tensor) and (low, high) == (0, 1):
        return SigmoidTransform()
    return ComposeTransform([SigmoidTransform(), AffineTransform(low, high - low)])


def _positive(constraint: Any) -> Transform:
    bound = constraint.lower_bound
    return ExpTransform() if not isinstance(bound, Tensor) and bound == 0 else _above(constraint)


for _registry in (biject_to, transform_to):
    _registry.register(constraints.real, lambda c: identity_transform)
    _registry.register(constraints.positive, _positive)
    _registry.register(constraints.nonnegative, _positive)
    _registry.register(constraints.less_than, _below)
    _registry.register(constraints.unit_interval, _between)
    _registry.register(constraints.half_open_interval, _between)
biject_to.register(constraints.simplex, lambda c: StickBreakingTransform())
transform_to.register(constraints.simplex, lambda c: SoftmaxTransform())
transform_to.register(constraints.lower_cholesky, lambda c: LowerCholeskyTransform())
transform_to.register(constraints.positive_definite, lambda c: PositiveDefiniteTransform())


@biject_to.register(constraints.independent)
def _(constraint: Any) -> Transform:
    return IndependentTransform(biject_to(constraint.base), constraint.ndims)


@transform_to.register(constraints.independent)
def _(constraint: Any) -> Transform:
    return IndependentTransform(transform_to(constraint.base), constraint.ndims)


__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]
