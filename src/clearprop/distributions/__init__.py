"""Probability distributions: sampling with and without gradients, log_prob, entropy, KL divergence.

Random numbers come from clearprop's generator; inside a compiled function they are drawn anew at
every call.
"""

from clearprop.distributions import constraints, transforms
from clearprop.distributions.categorical import (
    Categorical,
    Multinomial,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
)
from clearprop.distributions.continuous import (
    Cauchy,
    Exponential,
    Gumbel,
    HalfCauchy,
    Laplace,
    Pareto,
    Uniform,
    Weibull,
)
from clearprop.distributions.discrete import (
    Bernoulli,
    Binomial,
    Geometric,
    NegativeBinomial,
    Poisson,
)
from clearprop.distributions.distribution import Distribution, ExponentialFamily
from clearprop.distributions.gamma import (
    Beta,
    Chi2,
    Dirichlet,
    FisherSnedecor,
    Gamma,
    InverseGamma,
    StudentT,
)
from clearprop.distributions.independent import Independent
from clearprop.distributions.kl import kl_divergence, register_kl
from clearprop.distributions.mixture import MixtureSameFamily
from clearprop.distributions.multivariate import MultivariateNormal
from clearprop.distributions.normal import HalfNormal, LogNormal, Normal
from clearprop.distributions.relaxed import RelaxedBernoulli, RelaxedOneHotCategorical
from clearprop.distributions.transformed import TransformedDistribution
from clearprop.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PowerTransform,
    ReshapeTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StickBreakingTransform,
    TanhTransform,
    Transform,
    identity_transform,
)

__all__ = [
    "AbsTransform", "AffineTransform", "Bernoulli", "Beta", "Binomial", "Categorical", "Cauchy",
    "Chi2", "ComposeTransform", "Dirichlet", "Distribution", "ExpTransform", "Exponential",
    "ExponentialFamily", "FisherSnedecor", "Gamma", "Geometric", "Gumbel", "HalfCauchy",
    "HalfNormal", "Independent", "IndependentTransform", "InverseGamma", "Laplace", "LogNormal",
    "LowerCholeskyTransform", "MixtureSameFamily", "Multinomial", "MultivariateNormal",
    "NegativeBinomial", "Normal", "OneHotCategorical", "OneHotCategoricalStraightThrough", "Pareto",
    "Poisson", "PowerTransform", "RelaxedBernoulli", "RelaxedOneHotCategorical", "ReshapeTransform",
    "SigmoidTransform", "SoftmaxTransform", "SoftplusTransform", "StickBreakingTransform",
    "StudentT", "TanhTransform", "Transform", "TransformedDistribution", "Uniform", "Weibull",
    "constraints", "identity_transform", "kl_divergence", "register_kl", "transforms",
]  # fmt: skip
