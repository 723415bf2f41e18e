"""Normal vectors whose covariance has few directions of its own beside a diagonal."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from clearprop import ops
from clearprop.core import Tensor
from clearprop.distributions import constraints
from clearprop.distributions.distribution import Distribution, lazy
from clearprop.distributions.multivariate import half_log_det, mahalanobis, matvec
from clearprop.distributions.parameters import standard_normal
from clearprop.ops.broadcasting import here
from clearprop.ops.factorizations import cholesky
from clearprop.ops.solving import solve_triangular


class LowRankMultivariateNormal(Distribution):
    """Covariance W W^T + diag(D) with W = `cov_factor` (n, m) and D = `cov_diag` (n): log_prob
    costs n m^2, not n^3 (by the identities of Woodbury and Sylvester).

    >>> import clearprop as cp
    >>> d = cp.distributions.LowRankMultivariateNormal(cp.zeros(2), cp.ones(2, 1), cp.ones(2))
    >>> d.variance
    tensor([2., 2.])
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        cov_factor: Tensor,
        cov_diag: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        if loc.ndim < 1:
            raise ValueError(f"loc must be at least one-dimensional.{here()}")
        event = loc.shape[-1:]
        if cov_factor.ndim < 2:
            raise ValueError(
                "cov_factor must be at least two-dimensional, with optional leading batch"
                f" dimensions{here()}"
            )
        if cov_factor.shape[-2:-1] != event:
            raise ValueError(
                f"cov_factor must be a batch of matrices with shape {event[0]} x m{here()}"
            )
        if cov_diag.shape[-1:] != event:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event}{here()}")
        batch = ops.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        self.loc = ops.expand(loc, (*batch, *event))
        self.cov_factor = ops.expand(cov_factor, (*batch, *cov_factor.shape[-2:]))
        self.cov_diag = ops.expand(cov_diag, (*batch, *event))
        super().__init__(batch, event, validate_args=validate_args)

    def _core(self) -> Tensor:
        """The Cholesky factor of 1 + W^T D^-1 W."""
        scaled = self.cov_factor / self.cov_diag.unsqueeze(-1)
        inner = self.cov_factor.mT @ scaled
        eye = ops.eye(inner.shape[-1], dtype=inner.dtype)
        return cholesky(inner + ops.expand(eye, inner.shape))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return ops.sum(ops.square(self.cov_factor), -1) + self.cov_diag

    @lazy
    def covariance_matrix(self) -> Tensor:
        """W W^T + diag(D)."""
        return self.cov_factor @ self.cov_factor.mT + ops.diag_embed(self.cov_diag)

    @lazy
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance."""
        return cholesky(self.covariance_matrix)

    @lazy
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        scaled = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        a = solve_triangular(self._core(), scaled, upper=False)
        return ops.diag_embed(1 / self.cov_diag) - a.mT @ a

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        few = standard_normal((*shape[:-1], self.cov_factor.shape[-1]), self.loc)
        many = standard_normal(shape, self.loc)
        return self.loc + matvec(self.cov_factor, few) + ops.sqrt(self.cov_diag) * many

    def _log_det(self, core: Tensor) -> Tensor:
        return 2 * half_log_det(core) + ops.sum(ops.log(self.cov_diag), -1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        difference, core = value - self.loc, self._core()
        scaled = difference / self.cov_diag
        distance = ops.sum(difference * scaled, -1)
        distance = distance - mahalanobis(core, matvec(self.cov_factor.mT, scaled))
        n = self._event_shape[0]
        return -0.5 * (n * math.log(2 * math.pi) + self._log_det(core) + distance)

    def entropy(self) -> Tensor:
        n = self._event_shape[0]
        return 0.5 * (n * (1 + math.log(2 * math.pi)) + self._log_det(self._core()))
