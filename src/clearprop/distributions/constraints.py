"""What the parameters and values of a distribution may be. `constraint.check(x)` gives True or
False for every element, or for every event where the constraint is about vectors or matrices.

>>> import clearprop as cp
>>> from clearprop.distributions import constraints
>>> constraints.positive.check(cp.tensor([-1.0, 2.0]))
tensor([False,  True])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clearprop import ops
from clearprop.core import Tensor
from clearprop.ops.factorizations import cholesky_ex


class Constraint:
    """A set of allowed values. `event_dim`: how many axes on the right make one value."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        """True where the value is in the set."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}()"


class _Dependent(Constraint):
    """A set that depends on other parameters: it cannot be checked alone."""

    def __init__(self, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def check(self, value: Tensor) -> Tensor:
        raise ValueError("Cannot determine validity of dependent constraint")


class dependent_property(property, _Dependent):
    """A property whose value is a constraint that depends on the instance."""

    def __init__(self, f: Any = None, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        property.__init__(self, f)
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, f: Any) -> dependent_property:
        return dependent_property(f, is_discrete=self.is_discrete, event_dim=self.event_dim)


def is_dependent(constraint: Any) -> bool:
    """Whether a constraint depends on other parameters."""
    return isinstance(constraint, _Dependent)


class _Independent(Constraint):
    """A constraint of every element of an event."""

    def __init__(self, base: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base, self.ndims = base, reinterpreted_batch_ndims
        self.is_discrete = base.is_discrete
        self.event_dim = base.event_dim + reinterpreted_batch_ndims

    def check(self, value: Tensor) -> Tensor:
        found = self.base.check(value)
        if found.ndim < self.ndims:
            raise ValueError(
                f"Expected value.dim() >= {self.base.event_dim + self.ndims} but got {value.ndim}"
            )
        return all_of(found, self.ndims)

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base!r}, {self.ndims})"


def all_of(found: Tensor, ndims: int) -> Tensor:
    """Whether all of the last ndims axes hold."""
    for _ in range(ndims):
        found = ops.all(found, -1)
    return found


class _Boolean(Constraint):
    """0 or 1."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return (value == 0) | (value == 1)


class _OneHot(Constraint):
    """Vectors with one 1 and zeros."""

    is_discrete, event_dim = True, 1

    def check(self, value: Tensor) -> Tensor:
        return ops.all((value == 0) | (value == 1), -1) & (ops.sum(value, -1) == 1)


class _IntegerInterval(Constraint):
    """Integers from lower_bound to upper_bound, both included."""

    is_discrete = True

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Tensor) -> Tensor:
        return (value % 1 == 0) & (self.lower_bound <= value) & (value <= self.upper_bound)

    def __repr__(self) -> str:
        low, high = self.lower_bound, self.upper_bound
        return f"IntegerInterval(lower_bound={low}, upper_bound={high})"


class _IntegerGreaterThan(Constraint):
    """Integers from lower_bound on."""

    is_discrete = True

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound

    def check(self, value: Tensor) -> Tensor:
        return (value % 1 == 0) & (value >= self.lower_bound)

    def __repr__(self) -> str:
        return f"IntegerGreaterThan(lower_bound={self.lower_bound})"


class _Real(Constraint):
    """Any number but nan."""

    def check(self, value: Tensor) -> Tensor:
        return value == value  # all but nan


class _GreaterThan(Constraint):
    """Numbers above lower_bound."""

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound

    def check(self, value: Tensor) -> Tensor:
        return self.lower_bound < value

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}(lower_bound={_shown(self.lower_bound)})"


class _GreaterThanEq(_GreaterThan):
    """Numbers from lower_bound on."""

    def check(self, value: Tensor) -> Tensor:
        return self.lower_bound <= value


class _LessThan(Constraint):
    """Numbers below upper_bound."""

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Tensor) -> Tensor:
        return value < self.upper_bound

    def __repr__(self) -> str:
        return f"LessThan(upper_bound={_shown(self.upper_bound)})"


class _Interval(Constraint):
    """Numbers from lower_bound to upper_bound, both included."""

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Tensor) -> Tensor:
        return (self.lower_bound <= value) & (value <= self.upper_bound)

    def __repr__(self) -> str:
        low, high = _shown(self.lower_bound), _shown(self.upper_bound)
        return f"{type(self).__name__.lstrip('_')}(lower_bound={low}, upper_bound={high})"


class _HalfOpenInterval(_Interval):
    """Numbers from lower_bound on, below upper_bound."""

    def check(self, value: Tensor) -> Tensor:
        return (self.lower_bound <= value) & (value < self.upper_bound)


def _shown(bound: Any) -> Any:
    return bound.item() if isinstance(bound, Tensor) and bound.numel() == 1 else bound


class _Simplex(Constraint):
    """Vectors of probabilities: not negative, and their sum is 1 (within 1e-6)."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return ops.all(value >= 0, -1) & (ops.abs(ops.sum(value, -1) - 1) < 1e-6)


class _Multinomial(Constraint):
    """Vectors of counts that add up to at most upper_bound."""

    is_discrete, event_dim = True, 1

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Tensor) -> Tensor:
        return ops.all(value >= 0, -1) & (ops.sum(value, -1) <= self.upper_bound)


class _LowerTriangular(Constraint):
    """Matrices with zeros above the diagonal."""

    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        return all_of(ops.tril(value) == value, 2)


class _LowerCholesky(_LowerTriangular):
    """Lower triangular matrices with a positive diagonal."""

    def check(self, value: Tensor) -> Tensor:
        positive = ops.diagonal(value, dim1=-2, dim2=-1) > 0
        return super().check(value) & ops.all(positive, -1)


class _Square(Constraint):
    """Square matrices."""

    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        return ops.full(value.shape[:-2], value.shape[-2] == value.shape[-1])


class _Symmetric(_Square):
    """Symmetric matrices, up to rounding."""

    def check(self, value: Tensor) -> Tensor:
        if value.shape[-2] != value.shape[-1]:
            return super().check(value)
        close = ops.abs(value - value.mT) <= 1e-6 + 1e-5 * ops.abs(value.mT)
        return all_of(close, 2)


class _PositiveDefinite(_Symmetric):
    """Symmetric matrices with positive eigenvalues."""

    def check(self, value: Tensor) -> Tensor:
        if value.shape[-2] != value.shape[-1]:
            return super().check(value)
        return super().check(value) & (cholesky_ex(value).info == 0)


class _Cat(Constraint):
    """Constraints of parts of an axis, one after the other."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0, lengths: Any = None) -> None:
        self.parts, self.dim = list(cseq), dim
        self.lengths = [1] * len(self.parts) if lengths is None else list(lengths)
        self.is_discrete = any(c.is_discrete for c in self.parts)
        self.event_dim = max(c.event_dim for c in self.parts)

    def check(self, value: Tensor) -> Tensor:
        found, start = [], 0
        for part, length in zip(self.parts, self.lengths, strict=True):
            found.append(part.check(ops.narrow(value, self.dim, start, length)))
            start += length
        return ops.cat(found, self.dim)


class _Stack(Constraint):
    """Constraints of the slices of an axis."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0) -> None:
        self.parts, self.dim = list(cseq), dim
        self.is_discrete = any(c.is_discrete for c in self.parts)
        self.event_dim = max(c.event_dim for c in self.parts) + (dim + 1 if dim < 0 else 0)

    def check(self, value: Tensor) -> Tensor:
        slices = ops.unbind(value, self.dim)
        return ops.stack([c.check(v) for c, v in zip(self.parts, slices, strict=True)], self.dim)


dependent = _Dependent()
independent = _Independent
boolean, one_hot = _Boolean(), _OneHot()
nonnegative_integer, positive_integer = _IntegerGreaterThan(0), _IntegerGreaterThan(1)
integer_interval = _IntegerInterval
real = _Real()
real_vector = independent(real, 1)
positive, nonnegative = _GreaterThan(0.0), _GreaterThanEq(0.0)
greater_than, greater_than_eq, less_than = _GreaterThan, _GreaterThanEq, _LessThan
multinomial = _Multinomial
unit_interval = _Interval(0.0, 1.0)
interval, half_open_interval = _Interval, _HalfOpenInterval
simplex = _Simplex()
lower_triangular, lower_cholesky = _LowerTriangular(), _LowerCholesky()
square, symmetric, positive_definite = _Square(), _Symmetric(), _PositiveDefinite()
cat, stack = _Cat, _Stack

__all__ = [
    "Constraint", "boolean", "cat", "dependent", "dependent_property", "greater_than",
    "greater_than_eq", "half_open_interval", "independent", "integer_interval", "interval",
    "is_dependent", "less_than", "lower_cholesky", "lower_triangular", "multinomial", "nonnegative",
    "nonnegative_integer", "one_hot", "positive", "positive_definite", "positive_integer", "real",
    "real_vector", "simplex", "square", "stack", "symmetric", "unit_interval",
]  # fmt: skip
