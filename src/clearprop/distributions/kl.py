"""The Kullback-Leibler divergence E_p[log p - log q], in closed form for the pairs registered"
" here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from clearprop import ops
from clearprop.core import Tensor
from clearprop.distributions.bounded import ContinuousBernoulli
from clearprop.distributions.categorical import Categorical, OneHotCategorical
from clearprop.distributions.continuous import (
    EULER,
    Cauchy,
    Exponential,
    Gumbel,
    Laplace,
    Pareto,
    Uniform,
)
from clearprop.distributions.discrete import Bernoulli, Binomial, Geometric, Poisson
from clearprop.distributions.distribution import Distribution, holds
from clearprop.distributions.gamma import Beta, Dirichlet, Gamma
from clearprop.distributions.independent import Independent
from clearprop.distributions.low_rank import LowRankMultivariateNormal
from clearprop.distributions.multivariate import MultivariateNormal, half_log_det, mahalanobis
from clearprop.distributions.normal import Normal
from clearprop.distributions.parameters import sum_rightmost
from clearprop.distributions.transformed import TransformedDistribution
from clearprop.nn.functional import softplus
from clearprop.ops.broadcasting import here
from clearprop.ops.solving import solve_triangular

Formula = Callable[[Any, Any], Tensor]
_FORMULAS: dict[tuple[type, type], Formula] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Formula], Formula]:
    """A decorator: the function below it computes kl_divergence(p, q) for these two types (and
    subclasses without a formula of their own).
    """
    for kind in (type_p, type_q):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(
                f"Expected type_p and type_q to be Distribution subclasses but got {kind}{here()}"
            )

    def enter(formula: Formula) -> Formula:
        _FORMULAS[type_p, type_q] = formula
        return formula

    return enter


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p || q) = E_p[log p(x) - log q(x)], one number for every index of the batch shape.

    Raises NotImplementedError for a pair without a formula; `register_kl` adds one.

    >>> import clearprop as cp
    >>> from clearprop.distributions import Normal, kl_divergence
    >>> kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0))
    tensor(0.5000)
    """
    found = [
        (type(p).__mro__.index(a) + type(q).__mro__.index(b), formula)
        for (a, b), formula in _FORMULAS.items()
        if isinstance(p, a) and isinstance(q, b)
    ]
    if not found:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type"
            f" {type(q).__name__}; add it with register_kl, or average p.log_prob(x) -"
            f" q.log_prob(x) over samples x of p{here()}"
        )
    return min(found, key=lambda pair: pair[0])[1](p, q)


# ---------------------------------------------------------------------- discrete
@register_kl(Bernoulli, Bernoulli)
def _(p: Bernoulli, q: Bernoulli) -> Tensor:
    one = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    one = ops.where(p.probs == 0, 0.0, ops.where(q.probs == 0, math.inf, one))
    zero = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    zero = ops.where(p.probs == 1, 0.0, ops.where(q.probs == 1, math.inf, zero))
    return one + zero


@register_kl(Binomial, Binomial)
def _(p: Binomial, q: Binomial) -> Tensor:
    if not holds(lambda: p.total_count >= q.total_count, p.total_count):
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented" + here()
        )
    logs = p.probs * (p.logits - q.logits) + ops.log1p(-p.probs) - ops.log1p(-q.probs)
    return ops.where(p.total_count > q.total_count, math.inf, p.total_count * logs)


@register_kl(Categorical, Categorical)
def _(p: Categorical, q: Categorical) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    terms = ops.where(q.probs == 0, math.inf, terms)
    return ops.sum(ops.where(p.probs == 0, 0.0, terms), -1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return kl_divergence(p._categorical, q._categorical)


@register_kl(Geometric, Geometric)
def _(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - ops.log1p(-q.probs) / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _(p: Poisson, q: Poisson) -> Tensor:
    return p.rate * (ops.log(p.rate) - ops.log(q.rate)) - (p.rate - q.rate)


# ---------------------------------------------------------------------- location and scale
@register_kl(Normal, Normal)
def _(p: Normal, q: Normal) -> Tensor:
    ratio = ops.square(p.scale / q.scale)
    apart = ops.square((p.loc - q.loc) / q.scale)
    return 0.5 * (ratio + apart - 1 - ops.log(ratio))


@register_kl(Laplace, Laplace)
def _(p: Laplace, q: Laplace) -> Tensor:
    ratio, apart = p.scale / q.scale, ops.abs(p.loc - q.loc)
    return -ops.log(ratio) + apart / q.scale + ratio * ops.exp(-apart / p.scale) - 1


@register_kl(Cauchy, Cauchy)
def _(p: Cauchy, q: Cauchy) -> Tensor:
    wide = ops.square(p.scale + q.scale) + ops.square(p.loc - q.loc)
    return ops.log(wide) - ops.log(4 * p.scale * q.scale)


@register_kl(Gumbel, Gumbel)
def _(p: Gumbel, q: Gumbel) -> Tensor:
    ratio, shift = p.scale / q.scale, (q.loc - p.loc) / q.scale
    last = ops.exp(shift + ops.lgamma(1 + ratio))
    return -ops.log(ratio) - shift + ratio * EULER + last - (1 + EULER)


@register_kl(Uniform, Uniform)
def _(p: Uniform, q: Uniform) -> Tensor:
    found = ops.log((q.high - q.low) / (p.high - p.low))
    return ops.where((q.low > p.low) | (q.high < p.high), math.inf, found)


# ---------------------------------------------------------------------- positive numbers
@register_kl(Exponential, Exponential)
def _(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return -ops.log(ratio) + ratio - 1


@register_kl(Gamma, Gamma)
def _(p: Gamma, q: Gamma) -> Tensor:
    a, b = p.concentration, q.concentration
    return (
        b * ops.log(p.rate / q.rate)
        + ops.lgamma(b) - ops.lgamma(a)
        + (a - b) * ops.digamma(a)
        + (q.rate - p.rate) * (a / p.rate)
    )  # fmt: skip


@register_kl(Exponential, Gamma)
def _(p: Exponential, q: Gamma) -> Tensor:
    ratio, b = q.rate / p.rate, q.concentration
    return -b * ops.log(ratio) + ratio + ops.lgamma(b) + b * EULER - (1 + EULER)


@register_kl(Pareto, Pareto)
def _(p: Pareto, q: Pareto) -> Tensor:
    ratio = q.alpha / p.alpha
    found = q.alpha * ops.log(p.scale / q.scale) - ops.log(ratio) + ratio - 1
    return ops.where(p.scale < q.scale, math.inf, found)


# ---------------------------------------------------------------------- probabilities
@register_kl(Beta, Beta)
def _(p: Beta, q: Beta) -> Tensor:
    return kl_divergence(p._dirichlet, q._dirichlet)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _(p: ContinuousBernoulli, q: ContinuousBernoulli) -> Tensor:
    logs = p.mean * (p.logits - q.logits) + ops.log1p(-p.probs) - ops.log1p(-q.probs)
    return logs + p._log_norm() - q._log_norm()


@register_kl(Dirichlet, Dirichlet)
def _(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, b = p.concentration, q.concentration
    total = ops.sum(a, -1, keepdim=True)
    spread = ops.sum((a - b) * (ops.digamma(a) - ops.digamma(total)), -1)
    norms = ops.sum(ops.lgamma(b), -1) - ops.sum(ops.lgamma(a), -1)
    return ops.lgamma(ops.sum(a, -1)) - ops.lgamma(ops.sum(b, -1)) + norms + spread


# ---------------------------------------------------------------------- vectors, compounds
@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
@register_kl(MultivariateNormal, MultivariateNormal)
def _(p: Any, q: Any) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with different event shapes cannot be"
            f" computed: {p.event_shape} and {q.event_shape}{here()}"
        )
    n = p.event_shape[0]
    batch = ops.broadcast_shapes(p.batch_shape, q.batch_shape)
    low, other = (ops.expand(d.scale_tril, (*batch, n, n)) for d in (q, p))
    spread = ops.sum(ops.square(solve_triangular(low, other, upper=False)), (-2, -1))
    apart = mahalanobis(q.scale_tril, q.loc - p.loc)
    return half_log_det(q.scale_tril) - half_log_det(p.scale_tril) + 0.5 * (spread + apart - n)


@register_kl(Independent, Independent)
def _(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            f"KL between {p!r} and {q!r}: their reinterpreted_batch_ndims differ{here()}"
        )
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError(f"KL between {p!r} and {q!r}: their transforms differ{here()}")
    return kl_divergence(p.base_dist, q.base_dist)


# ---------------------------------------------------------------------- pairs of different kinds
def _to_normal(p: Any, q: Normal) -> Tensor:
    """For a normal q only entropy, mean and variance of p count."""
    spread = p.variance + ops.square(p.mean - q.loc)
    cross = 0.5 * math.log(2 * math.pi) + ops.log(q.scale) + spread / (2 * ops.square(q.scale))
    return cross - p.entropy()


def _to_exponential(p: Any, q: Exponential) -> Tensor:
    """For an exponential q only entropy and mean of p count."""
    return q.rate * p.mean - ops.log(q.rate) - p.entropy()


for _kind in (Beta, Exponential, Gamma, Gumbel, Laplace, Uniform):
    register_kl(_kind, Normal)(_to_normal)
for _kind in (Beta, Gamma):
    register_kl(_kind, Exponential)(_to_exponential)


@register_kl(Normal, Laplace)
def _(p: Normal, q: Laplace) -> Tensor:
    apart = p.loc - q.loc
    score = apart / p.scale
    size = math.sqrt(2 / math.pi) * p.scale * ops.exp(-0.5 * ops.square(score)) + apart * ops.erf(
        math.sqrt(0.5) * score
    )  # E |x - loc|
    return size / q.scale + ops.log(2 * q.scale) - p.entropy()


def _infinite(p: Any, q: Any) -> Tensor:
    """p gives a probability to values that q cannot take."""
    shape = ops.broadcast_shapes(p.batch_shape, q.batch_shape)
    return ops.full(shape, math.inf, dtype=p.mean.dtype)


_REAL, _HALF, _BOUNDED = (Normal, Laplace, Gumbel, Cauchy), (Exponential, Gamma), (Beta, Uniform)
for _p, _q in [
    *((a, b) for a in _REAL for b in (*_HALF, *_BOUNDED, Pareto)),
    *((a, b) for a in _HALF for b in (*_BOUNDED, Pareto)),
    *((Pareto, b) for b in _BOUNDED),
    *((Beta, b) for b in (Pareto,)),
    (Poisson, Bernoulli), (Poisson, Binomial),
]:  # fmt: skip
    register_kl(_p, _q)(_infinite)
