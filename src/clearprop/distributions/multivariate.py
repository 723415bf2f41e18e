"""Normal vectors."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from clearprop import ops
from clearprop.core import Tensor
from clearprop.distributions import constraints
from clearprop.distributions.distribution import Distribution, lazy
from clearprop.distributions.parameters import standard_normal
from clearprop.ops.broadcasting import here
from clearprop.ops.factorizations import cholesky
from clearprop.ops.older_names import cholesky_inverse
from clearprop.ops.solving import solve_triangular


def matvec(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrix times vector, batched."""
    if matrix.ndim == 2:
        return vector @ matrix.mT
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def mahalanobis(tril: Tensor, x: Tensor) -> Tensor:
    """x^T (L L^T)^-1 x."""
    n = x.shape[-1]
    if tril.ndim == 2:  # one matrix: all vectors are columns of one system
        columns = ops.reshape(x, (math.prod(x.shape[:-1]), n)).mT
        found = ops.sum(ops.square(solve_triangular(tril, columns, upper=False)), 0)
        return ops.reshape(found, x.shape[:-1])
    batch = ops.broadcast_shapes(tril.shape[:-2], x.shape[:-1])
    low, column = ops.expand(tril, (*batch, n, n)), ops.expand(x, (*batch, n)).unsqueeze(-1)
    return ops.sum(ops.square(solve_triangular(low, column, upper=False)), (-2, -1))


def half_log_det(tril: Tensor) -> Tensor:
    """log det L, half of log det L L^T."""
    return ops.sum(ops.log(ops.diagonal(tril, dim1=-2, dim2=-1)), -1)


class MultivariateNormal(Distribution):
    """Normal vectors with mean `loc` and one of `covariance_matrix`, `precision_matrix` (its
    inverse) and `scale_tril` (its Cholesky factor, the quickest).

    >>> import clearprop as cp
    >>> d = cp.distributions.MultivariateNormal(cp.zeros(2), cp.eye(2))
    >>> d.log_prob(cp.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.ndim < 1:
            raise ValueError(f"loc must be at least one-dimensional.{here()}")
        given = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        named = [(name, matrix) for name, matrix in given.items() if matrix is not None]
        if len(named) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be"
                f" specified.{here()}"
            )
        name, matrix = named[0]
        if matrix.ndim < 2:
            raise ValueError(
                f"{name} must be at least two-dimensional, with optional leading batch"
                f" dimensions{here()}"
            )
        batch = ops.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        self.__dict__[name] = ops.expand(matrix, (*batch, *matrix.shape[-2:]))
        self._given = name, matrix  # not expanded: one matrix for all means is factorized once
        self.loc = ops.expand(loc, (*batch, loc.shape[-1]))
        super().__init__(batch, loc.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> MultivariateNormal:
        new = super().expand(batch_shape)
        new._given = self._given
        return new

    @lazy
    def _tril(self) -> Tensor:
        """The Cholesky factor of the covariance, without batch axes that repeat it."""
        name, matrix = self._given
        if name == "scale_tril":
            return matrix
        if name == "covariance_matrix":
            return cholesky(matrix)
        # P = M M' with M from the flipped matrix, so L = M^-T is lower triangular
        upper = ops.flip(cholesky(ops.flip(matrix, (-2, -1))), (-2, -1)).mT
        eye = ops.expand(ops.eye(matrix.shape[-1], dtype=matrix.dtype), upper.shape)
        return solve_triangular(upper, eye, upper=False)

    @lazy
    def scale_tril(self) -> Tensor:
        """The Cholesky factor L of the covariance."""
        return ops.expand(self._tril, (*self._batch_shape, *self._tril.shape[-2:]))

    @lazy
    def covariance_matrix(self) -> Tensor:
        """L L^T."""
        return self.scale_tril @ self.scale_tril.mT

    @lazy
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        return cholesky_inverse(self.scale_tril)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return ops.sum(ops.square(self.scale_tril), -1)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        z = standard_normal(self._extended_shape(sample_shape), self.loc)
        return self.loc + matvec(self._tril, z)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        distance = mahalanobis(self._tril, value - self.loc)
        k = self._event_shape[0]
        return -0.5 * (k * math.log(2 * math.pi) + distance) - half_log_det(self._tril)

    def entropy(self) -> Tensor:
        k = self._event_shape[0]
        found = 0.5 * k * (1.0 + math.log(2 * math.pi)) + half_log_det(self._tril)
        return ops.expand(found, self._batch_shape)
