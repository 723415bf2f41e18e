"""The transforms: exp, sigmoid, tanh, affine maps and so on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from clearprop import ops
from clearprop.core import Tensor
from clearprop.distributions import constraints
from clearprop.distributions.parameters import eps_of, sum_rightmost, tiny_of
from clearprop.distributions.transform import (
    ComposeTransform,
    IndependentTransform,
    Transform,
    identity_transform,
)
from clearprop.nn.functional import softplus
from clearprop.ops.broadcasting import here
from clearprop.ops.factorizations import cholesky


class _Plain(Transform):
    """A bijective transform of single numbers without parameters: all instances are equal."""

    bijective = True

    @property
    def sign(self) -> Any:
        return 1

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


class ExpTransform(_Plain):
    """y = exp(x)."""

    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return ops.exp(x)

    def _back(self, y: Tensor) -> Tensor:
        return ops.log(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x


class SigmoidTransform(_Plain):
    """y = 1 / (1 + exp(-x))."""

    codomain = constraints.unit_interval

    def _call(self, x: Tensor) -> Tensor:
        return ops.clamp(ops.sigmoid(x), tiny_of(x), 1 - eps_of(x))

    def _back(self, y: Tensor) -> Tensor:
        y = ops.clamp(y, tiny_of(y), 1 - eps_of(y))
        return ops.log(y) - ops.log1p(-y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -softplus(-x) - softplus(x)


class TanhTransform(_Plain):
    """y = tanh(x)."""

    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x: Tensor) -> Tensor:
        return ops.tanh(x)

    def _back(self, y: Tensor) -> Tensor:
        return ops.atanh(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return 2.0 * (math.log(2.0) - x - softplus(-2.0 * x))  # log(1 - y^2) without cancellation


class SoftplusTransform(_Plain):
    """y = log(1 + exp(x))."""

    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return softplus(x)

    def _back(self, y: Tensor) -> Tensor:
        return ops.log(-ops.expm1(-y)) + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -softplus(-x)


class PowerTransform(Transform):
    """y = x^exponent for positive x."""

    domain = codomain = constraints.positive
    bijective = True

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent = exponent if isinstance(exponent, Tensor) else ops.tensor(float(exponent))

    @property
    def sign(self) -> Any:
        return ops.sign(self.exponent)

    def _call(self, x: Tensor) -> Tensor:
        return ops.pow(x, self.exponent)

    def _back(self, y: Tensor) -> Tensor:
        return ops.pow(y, 1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return ops.log(ops.abs(self.exponent * y / x))


class AbsTransform(Transform):
    """y = |x|: not bijective; the inverse gives y."""

    codomain = constraints.nonnegative

    def _call(self, x: Tensor) -> Tensor:
        return ops.abs(x)

    def _back(self, y: Tensor) -> Tensor:
        return y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AbsTransform)

    def __hash__(self) -> int:
        return hash(AbsTransform)


class AffineTransform(Transform):
    """y = loc + scale * x; with event_dim > 0 the log-determinant adds up over those axes.

    >>> import clearprop as cp
    >>> t = cp.distributions.AffineTransform(1.0, 2.0)
    >>> t(cp.tensor([0.0, 1.0])), t.inv(cp.tensor([3.0]))
    (tensor([1., 3.]), tensor([1.]))
    """

    bijective = True

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim

    @property
    def event_dim(self) -> int:
        return self._event_dim

    @property
    def domain(self) -> Any:  # type: ignore[override]
        real = constraints.real
        return constraints.independent(real, self._event_dim) if self._event_dim else real

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        return self.domain

    @property
    def sign(self) -> Any:
        if isinstance(self.scale, Tensor):
            return ops.sign(self.scale)
        return 1 if self.scale > 0 else -1 if self.scale < 0 else 0

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x  # type: ignore[no-any-return]

    def _back(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        size: Any
        if isinstance(self.scale, Tensor):
            size = ops.log(ops.abs(self.scale))
        else:
            size = math.log(abs(self.scale))
        return sum_rightmost(ops.zeros_like(x) + size, self._event_dim)

    def forward_shape(self, shape: Any) -> Any:
        return _joint(shape, self.loc, self.scale)

    def inverse_shape(self, shape: Any) -> Any:
        return _joint(shape, self.loc, self.scale)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AffineTransform):
            return False
        return _same(self.loc, other.loc) and _same(self.scale, other.scale)

    def __hash__(self) -> int:
        return hash(AffineTransform)


def _joint(shape: Any, *parameters: Any) -> Any:
    shapes = [p.shape for p in parameters if isinstance(p, Tensor)]
    return ops.broadcast_shapes(tuple(shape), *shapes)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a is b or ops.equal(a, b)
    return a is b or (not isinstance(a, Tensor) and not isinstance(b, Tensor) and a == b)


class SoftmaxTransform(Transform):
    """y = softmax(x) over the last axis: not bijective; the inverse gives log(y)."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Tensor) -> Tensor:
        return ops.softmax(x, -1)

    def _back(self, y: Tensor) -> Tensor:
        return ops.log(y)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SoftmaxTransform)

    def __hash__(self) -> int:
        return hash(SoftmaxTransform)


class StickBreakingTransform(Transform):
    """n numbers to n + 1 that are positive and add up to 1: each takes its share of what is"
    " left."""

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def _offset(self, x: Tensor) -> Tensor:
        n = x.shape[-1]
        return ops.log(ops.arange(n, 0, -1, dtype=x.dtype))

    def _call(self, x: Tensor) -> Tensor:
        z = ops.sigmoid(x - self._offset(x))
        left = ops.cumprod(1 - z, -1)
        one = ops.ones_like(left[..., :1])
        return ops.cat([z, one], -1) * ops.cat([one, left], -1)

    def _back(self, y: Tensor) -> Tensor:
        front = y[..., :-1]
        left = ops.clamp(1 - ops.cumsum(front, -1), tiny_of(y))
        return ops.log(front) - ops.log(left) + self._offset(front)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        x = x - self._offset(x)
        return ops.sum(-x - softplus(-x) + ops.log(y[..., :-1]), -1)

    def forward_shape(self, shape: Any) -> Any:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Any) -> Any:
        return (*shape[:-1], shape[-1] - 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StickBreakingTransform)

    def __hash__(self) -> int:
        return hash(StickBreakingTransform)


class ReshapeTransform(Transform):
    """The last axes of x in another shape with as many elements."""

    bijective = True

    def __init__(self, in_shape: Sequence[int], out_shape: Sequence[int], cache_size: int = 0):
        super().__init__(cache_size)
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise ValueError(
                f"in_shape, out_shape have different numbers of elements: {in_shape},"
                f" {out_shape}{here()}"
            )

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return constraints.independent(constraints.real, len(self.in_shape))

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        return constraints.independent(constraints.real, len(self.out_shape))

    def _call(self, x: Tensor) -> Tensor:
        return ops.reshape(x, (*x.shape[: x.ndim - len(self.in_shape)], *self.out_shape))

    def _back(self, y: Tensor) -> Tensor:
        return ops.reshape(y, (*y.shape[: y.ndim - len(self.out_shape)], *self.in_shape))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return ops.zeros(x.shape[: x.ndim - len(self.in_shape)], dtype=x.dtype)

    def forward_shape(self, shape: Any) -> Any:
        return (*shape[: len(shape) - len(self.in_shape)], *self.out_shape)

    def inverse_shape(self, shape: Any) -> Any:
        return (*shape[: len(shape) - len(self.out_shape)], *self.in_shape)


class LowerCholeskyTransform(Transform):
    """Matrices to lower triangular ones with exp(diagonal): the upper triangle is dropped."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        diagonal = ops.diagonal(x, dim1=-2, dim2=-1)
        return ops.tril(x, -1) + ops.diag_embed(ops.exp(diagonal))

    def _back(self, y: Tensor) -> Tensor:
        diagonal = ops.diagonal(y, dim1=-2, dim2=-1)
        return ops.tril(y, -1) + ops.diag_embed(ops.log(diagonal))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LowerCholeskyTransform)

    def __hash__(self) -> int:
        return hash(LowerCholeskyTransform)


class PositiveDefiniteTransform(Transform):
    """Matrices to positive-definite ones: L L^T of a LowerCholeskyTransform."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x: Tensor) -> Tensor:
        low = LowerCholeskyTransform()(x)
        return low @ low.mT

    def _back(self, y: Tensor) -> Tensor:
        return LowerCholeskyTransform().inv(cholesky(y))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PositiveDefiniteTransform)

    def __hash__(self) -> int:
        return hash(PositiveDefiniteTransform)


class _Parts(Transform):
    """Other transforms for parts of an axis."""

    def __init__(self, tseq: Sequence[Transform], dim: int, cache_size: int) -> None:
        super().__init__(cache_size)
        self.transforms = [t.with_cache(cache_size) if cache_size else t for t in tseq]
        self.dim = dim

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        return all(t.bijective for t in self.transforms)

    def _split(self, x: Tensor) -> Sequence[Tensor]:
        raise NotImplementedError

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        raise NotImplementedError

    def _call(self, x: Tensor) -> Tensor:
        return self._joined([t(v) for t, v in zip(self.transforms, self._split(x), strict=True)])

    def _back(self, y: Tensor) -> Tensor:
        pairs = zip(self.transforms, self._split(y), strict=True)
        return self._joined([t.inv(v) for t, v in pairs])

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        triples = zip(self.transforms, self._split(x), self._split(y), strict=True)
        return self._joined([t.log_abs_det_jacobian(a, b) for t, a, b in triples])


class CatTransform(_Parts):
    """The next lengths[i] entries of axis dim go through the transform tseq[i].

    >>> import clearprop as cp
    >>> parts = [ExpTransform(), AffineTransform(0.0, 2.0)]
    >>> t = cp.distributions.CatTransform(parts, lengths=[1, 2])
    >>> t(cp.tensor([0.0, 1.0, 2.0]))
    tensor([1., 2., 4.])
    """

    def __init__(
        self, tseq: Sequence[Transform], dim: int = 0, lengths: Any = None, cache_size: int = 0
    ) -> None:
        super().__init__(tseq, dim, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)

    def _split(self, x: Tensor) -> Sequence[Tensor]:
        return ops.split(x, self.lengths, self.dim)

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        return ops.cat(list(parts), self.dim)


class StackTransform(_Parts):
    """Slice i of axis dim goes through the transform tseq[i].

    >>> import clearprop as cp
    >>> t = cp.distributions.StackTransform([ExpTransform(), AffineTransform(0.0, 2.0)])
    >>> t(cp.tensor([0.0, 1.0]))
    tensor([1., 2.])
    """

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(tseq, dim, cache_size)

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        return constraints.stack([t.codomain for t in self.transforms], self.dim)

    def _split(self, x: Tensor) -> Sequence[Tensor]:
        return ops.unbind(x, self.dim)

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        return ops.stack(list(parts), self.dim)


class CumulativeDistributionTransform(Transform):
    """y = F(x), the distribution function of a distribution; uniform where x is distributed so."""

    bijective = True
    codomain = constraints.unit_interval

    def __init__(self, distribution: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return self.distribution.support

    @property
    def sign(self) -> Any:
        return 1

    def _call(self, x: Tensor) -> Tensor:
        return self.distribution.cdf(x)  # type: ignore[no-any-return]

    def _back(self, y: Tensor) -> Tensor:
        return self.distribution.icdf(y)  # type: ignore[no-any-return]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.distribution.log_prob(x)  # type: ignore[no-any-return]


__all__ = [
    "AbsTransform", "AffineTransform", "CatTransform", "ComposeTransform",
    "CumulativeDistributionTransform", "ExpTransform", "IndependentTransform",
    "LowerCholeskyTransform", "PositiveDefiniteTransform", "PowerTransform", "ReshapeTransform",
    "SigmoidTransform", "SoftmaxTransform", "SoftplusTransform", "StackTransform",
    "StickBreakingTransform", "TanhTransform", "Transform", "identity_transform",
]  # fmt: skip
