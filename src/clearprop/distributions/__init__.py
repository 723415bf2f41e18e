"""Probability distributions: sampling with and without gradients, log_prob, entropy, KL divergence.

Random numbers come from clearprop's generator; inside a compiled function they are drawn anew at
every call.
"""

from clearprop.distributions import constraints, transforms
from clearprop.distributions.bounded import ContinuousBernoulli, Kumaraswamy
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
from clearprop.distributions.low_rank import LowRankMultivariateNormal
from clearprop.distributions.mixture import MixtureSameFamily
from clearprop.distributions.multivariate import MultivariateNormal
from clearprop.distributions.normal import HalfNormal, LogisticNormal, LogNormal, Normal
from clearprop.distributions.registry import biject_to, transform_to
from clearprop.distributions.relaxed import RelaxedBernoulli, RelaxedOneHotCategorical
from clearprop.distributions.transformed import TransformedDistribution
from clearprop.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    CatTransform,
    ComposeTransform,
    CumulativeDistributionTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    PowerTransform,
    ReshapeTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StackTransform,
    StickBreakingTransform,
    TanhTransform,
    Transform,
    identity_transform,
)

__all__ = [
    "AbsTransform", "AffineTransform", "Bernoulli", "Beta", "Binomial", "CatTransform",
    "Categorical", "Cauchy", "Chi2", "ComposeTransform", "ContinuousBernoulli",
    "CumulativeDistributionTransform", "Dirichlet", "Distribution", "ExpTransform", "Exponential",
    "ExponentialFamily", "FisherSnedecor", "Gamma", "Geometric", "Gumbel", "HalfCauchy",
    "HalfNormal", "Independent", "IndependentTransform", "InverseGamma", "Kumaraswamy", "Laplace",
    "LogNormal", "LogisticNormal", "LowRankMultivariateNormal", "LowerCholeskyTransform",
    "MixtureSameFamily", "Multinomial", "MultivariateNormal", "NegativeBinomial", "Normal",
    "OneHotCategorical", "OneHotCategoricalStraightThrough", "Pareto", "Poisson",
    "PositiveDefiniteTransform", "PowerTransform", "RelaxedBernoulli", "RelaxedOneHotCategorical",
    "ReshapeTransform", "SigmoidTransform", "SoftmaxTransform", "SoftplusTransform",
    "StackTransform", "StickBreakingTransform", "StudentT", "TanhTransform", "Transform",
    "TransformedDistribution", "Uniform", "Weibull", "biject_to", "constraints",
    "identity_transform", "kl_divergence", "register_kl", "transform_to", "transforms",
]  # fmt: skip
