"""clearprop.distributions against PyTorch: log_prob, cdf, icdf, entropy, moments, their gradients,
KL divergences, samples where the random streams agree, errors.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaincinv

import clearprop as cp
import clearprop.distributions as ours

torch = pytest.importorskip("torch")
theirs = torch.distributions

RNG = np.random.default_rng(5)
LOC = RNG.standard_normal((3, 1))
SCALE = RNG.uniform(0.5, 2, 4)
ONE = RNG.uniform(0.5, 3, 4)
TWO = RNG.uniform(0.5, 3, (3, 1))
PROBS = RNG.uniform(0.1, 0.9, 4)
NEAR_HALF = np.array([0.1, 0.4995, 0.5, 0.8])
ROWS = RNG.dirichlet(np.ones(4), 3)
LOGITS = RNG.standard_normal((3, 4))
X = RNG.standard_normal((3, 4))
POSITIVE = RNG.uniform(0.2, 3, (3, 4))
UNIT = RNG.uniform(0.1, 0.9, (3, 4))
COUNTS = RNG.integers(0, 5, (3, 4)).astype(float)
BITS = RNG.integers(0, 2, (3, 4)).astype(float)
LOW = np.tril(RNG.standard_normal((3, 3)), -1) + np.diag([0.8, 1.2, 0.6])
SPD = LOW @ LOW.T
VECTORS = RNG.standard_normal((2, 5, 3))
HOT = np.eye(4)[[1, 3, 0]]
DRAWS = np.array([[1.0, 2, 0, 2], [5, 0, 0, 0], [0, 0, 4, 1]])

# name: (maker(module, *parameters), parameters, values)
CASES = {
    "Normal": (lambda d, *p: d.Normal(*p), (LOC, SCALE), X),
    "LogNormal": (lambda d, *p: d.LogNormal(*p), (LOC, SCALE), POSITIVE),
    "HalfNormal": (lambda d, *p: d.HalfNormal(*p), (SCALE,), POSITIVE),
    "Uniform": (lambda d, *p: d.Uniform(*p), (LOC - 3, SCALE + 3), X),
    "Exponential": (lambda d, *p: d.Exponential(*p), (ONE,), POSITIVE),
    "Laplace": (lambda d, *p: d.Laplace(*p), (LOC, SCALE), X),
    "Cauchy": (lambda d, *p: d.Cauchy(*p), (LOC, SCALE), X),
    "HalfCauchy": (lambda d, *p: d.HalfCauchy(*p), (SCALE,), POSITIVE),
    "Gumbel": (lambda d, *p: d.Gumbel(*p), (LOC, SCALE), X),
    "Pareto": (lambda d, *p: d.Pareto(*p), (SCALE * 0.1, ONE + 2), POSITIVE),
    "Weibull": (lambda d, *p: d.Weibull(*p), (SCALE, ONE + 1), POSITIVE),
    "Gamma": (lambda d, *p: d.Gamma(*p), (ONE, TWO), POSITIVE),
    "Chi2": (lambda d, *p: d.Chi2(*p), (ONE,), POSITIVE),
    "InverseGamma": (lambda d, *p: d.InverseGamma(*p), (ONE + 2, TWO), POSITIVE),
    "Beta": (lambda d, *p: d.Beta(*p), (ONE + 1, TWO + 1), UNIT),
    "Dirichlet": (lambda d, *p: d.Dirichlet(*p), (POSITIVE,), ROWS),
    "StudentT": (lambda d, *p: d.StudentT(*p), (ONE + 2, LOC, SCALE), X),
    "FisherSnedecor": (lambda d, *p: d.FisherSnedecor(*p), (ONE + 2, TWO + 4), POSITIVE),
    "Bernoulli": (lambda d, *p: d.Bernoulli(*p), (PROBS,), BITS),
    "Bernoulli logits": (lambda d, p: d.Bernoulli(logits=p), (LOGITS,), BITS),
    "Geometric": (lambda d, *p: d.Geometric(*p), (PROBS,), COUNTS),
    "Geometric logits": (lambda d, p: d.Geometric(logits=p), (LOGITS,), COUNTS),
    "Binomial": (lambda d, *p: d.Binomial(5, *p), (PROBS,), COUNTS),
    "Binomial logits": (lambda d, p: d.Binomial(5, logits=p), (LOGITS,), COUNTS),
    "NegativeBinomial": (lambda d, *p: d.NegativeBinomial(4, *p), (PROBS,), COUNTS),
    "Poisson": (lambda d, *p: d.Poisson(*p), (ONE,), COUNTS),
    "Categorical": (lambda d, *p: d.Categorical(*p), (POSITIVE,), np.array([2, 0, 3])),
    "Categorical logits": (lambda d, p: d.Categorical(logits=p), (LOGITS,), np.array([[2], [0]])),
    "OneHotCategorical": (lambda d, *p: d.OneHotCategorical(*p), (ROWS,), HOT),
    "Multinomial": (lambda d, *p: d.Multinomial(5, *p), (ROWS,), DRAWS),
    "RelaxedBernoulli": (lambda d, *p: d.RelaxedBernoulli(*p), (TWO[0, 0], PROBS), UNIT),
    "RelaxedOneHot": (
        lambda d, t, p: d.RelaxedOneHotCategorical(t[0, 0], p), (TWO, ROWS), ROWS[::-1].copy(),
    ),
    "Multivariate tril": (
        lambda d, m, s: d.MultivariateNormal(m, scale_tril=s), (VECTORS[0, 0], LOW), VECTORS,
    ),
    "Multivariate cov": (
        lambda d, m, s: d.MultivariateNormal(m, (s + s.mT) / 2), (VECTORS[0], SPD), VECTORS,
    ),
    "Multivariate precision": (
        lambda d, m, s: d.MultivariateNormal(m, precision_matrix=(s + s.mT) / 2),
        (VECTORS[0, 0], SPD), VECTORS,
    ),
    "Independent": (lambda d, *p: d.Independent(d.Normal(*p), 1), (LOC, SCALE), X),
    "Transformed": (
        lambda d, *p: d.TransformedDistribution(
            d.Normal(*p), [d.AffineTransform(0.5, 2.0), d.TanhTransform()]
        ),
        (LOC, SCALE), UNIT,
    ),
    "Transformed sigmoid": (
        lambda d, *p: d.TransformedDistribution(
            d.Independent(d.Normal(*p), 1),
            d.ComposeTransform([d.SigmoidTransform(), d.AffineTransform(0.0, -2.0)]),
        ),
        (LOC, SCALE), -UNIT,
    ),
    "Transformed simplex": (
        lambda d, *p: d.TransformedDistribution(d.Normal(*p), d.StickBreakingTransform()),
        (LOC, SCALE[:3]), ROWS,
    ),
    "Kumaraswamy": (lambda d, *p: d.Kumaraswamy(*p), (ONE + 1, TWO + 1), UNIT),
    "ContinuousBernoulli": (lambda d, *p: d.ContinuousBernoulli(*p), (NEAR_HALF,), UNIT),
    "ContinuousBernoulli logits": (
        lambda d, p: d.ContinuousBernoulli(logits=p), (LOGITS,), UNIT,
    ),
    "LogisticNormal": (lambda d, *p: d.LogisticNormal(*p), (LOC, SCALE[:3]), ROWS),
    "LowRank": (
        lambda d, *p: d.LowRankMultivariateNormal(*p), (VECTORS[0], LOW[:, :2], SCALE[:3]), VECTORS,
    ),
    "Mixture": (
        lambda d, w, *p: d.MixtureSameFamily(d.Categorical(w), d.Normal(*p)),
        (PROBS, LOC[0], SCALE), X[:, 0],
    ),
    "Mixture of vectors": (
        lambda d, w, *p: d.MixtureSameFamily(
            d.Categorical(w), d.Independent(d.Normal(*p), 1)
        ),
        (PROBS[:3], LOC, SCALE), X,
    ),
}  # fmt: skip


def made(module, lib, name, dtype="float64", grad=True):
    make, parameters, value = CASES[name]
    ps = [lib.tensor(p.astype(dtype)).requires_grad_(grad) for p in map(np.asarray, parameters)]
    v = np.asarray(value)
    v = lib.tensor(v.astype(dtype) if v.dtype.kind == "f" else v)
    return make(module, *ps), ps, v


def compare(a, b, tol):
    assert tuple(a.shape) == tuple(b.shape)
    assert str(a.dtype).split(".")[-1] == str(b.dtype).split(".")[-1]
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=tol, atol=tol)


def outcome(f):
    try:
        return f()
    except NotImplementedError:
        return None


def with_gradients(lib, f, name, module, dtype, value_too=True):
    d, ps, v = made(module, lib, name, dtype)
    if v.dtype.is_floating_point and value_too:
        v.requires_grad_()
    y = outcome(lambda: f(d, v))
    if y is None:
        return None
    wanted = [*ps, *([v] if v.requires_grad else [])]
    if not y.requires_grad:
        return y, [None] * len(wanted)
    w = lib.tensor(np.cos(np.arange(y.numel())).reshape(tuple(y.shape)).astype(dtype))
    return y, lib.autograd.grad((y * w).sum(), wanted, allow_unused=True)


DISCRETE = {"Bernoulli", "Geometric", "Binomial", "NegativeBinomial", "Poisson"}
QUANTITIES = {
    "log_prob": lambda d, v: d.log_prob(v),
    "cdf": lambda d, v: d.cdf(v),
    "entropy": lambda d, v: d.entropy(),
    "mean": lambda d, v: d.mean,
    "variance": lambda d, v: d.variance,
    "stddev": lambda d, v: d.stddev,
    "mode": lambda d, v: d.mode,
}


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("name", CASES)
def test_quantities_and_their_gradients(name, quantity):
    f = QUANTITIES[quantity]
    value_too = name.split()[0] not in DISCRETE | {"OneHotCategorical", "Multinomial"}
    if name == "Kumaraswamy" and quantity == "mode":
        return  # PyTorch's is nan
    if quantity == "cdf" and ("Gamma" in name or name == "Chi2"):
        f = lambda d, v: d.cdf(v).detach()  # PyTorch has no derivative for the concentration
    wanted = with_gradients(torch, f, name, theirs, "float64", value_too)
    if wanted is None:
        return
    got = with_gradients(cp, f, name, ours, "float64", value_too)
    assert got is not None
    compare(got[0], wanted[0], 1e-7 if name == "Multinomial" else 1e-9)
    for a, b in zip(got[1], wanted[1], strict=True):
        a = 0.0 if a is None else a.numpy()
        b = 0.0 if b is None else b.numpy()
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_float32_and_numbers_of_shapes(name):
    a, _, v = made(ours, cp, name, "float32")
    b, _, w = made(theirs, torch, name, "float32")
    assert tuple(a.batch_shape) == tuple(b.batch_shape)
    assert tuple(a.event_shape) == tuple(b.event_shape)
    assert a.has_rsample == b.has_rsample
    assert a.has_enumerate_support == b.has_enumerate_support
    compare(a.log_prob(v), b.log_prob(w), 2e-4)
    for shape in ((), (2,), (2, 3)):
        assert tuple(a.sample(shape).shape) == tuple(b.sample(shape).shape)
        if a.has_rsample:
            assert a.rsample(shape).requires_grad
        assert not a.sample(shape).requires_grad
    more = (2, *a.batch_shape)
    assert tuple(a.expand(more).sample((5,)).shape) == tuple(b.expand(more).sample((5,)).shape)
    w = b.expand(more).sample()
    compare(a.expand(more).log_prob(cp.tensor(w.numpy())), b.expand(more).log_prob(w), 2e-4)
    assert str(a.sample().dtype).split(".")[-1] == str(b.sample().dtype).split(".")[-1]
    assert repr(a.support) in repr(b.support) or "tensor" in repr(b.support)
    if b.has_enumerate_support and tuple(b.event_shape) in ((), (4,)):
        for expand in (True, False):
            compare(a.enumerate_support(expand), b.enumerate_support(expand), 0)


@pytest.mark.parametrize(
    "name",
    """
    Normal LogNormal HalfNormal Uniform Exponential Laplace Cauchy HalfCauchy Gumbel Pareto Weibull
    Kumaraswamy ContinuousBernoulli Transformed
    """.split(),
)
def test_quantiles(name):
    for lib, module in ((torch, theirs), (cp, ours)):
        d, _, _ = made(module, lib, name)
        u = lib.tensor(UNIT)
        if lib is torch:
            wanted = d.icdf(u)
        else:
            compare(d.icdf(u), wanted, 1e-9)
            np.testing.assert_allclose(d.cdf(d.icdf(u)).detach().numpy(), UNIT, rtol=1e-9)


KL = [
    ("Normal", "Normal"), ("Laplace", "Laplace"), ("Cauchy", "Cauchy"), ("Gumbel", "Gumbel"),
    ("Exponential", "Exponential"), ("Gamma", "Gamma"), ("Exponential", "Gamma"),
    ("Gamma", "Exponential"), ("Beta", "Beta"), ("Dirichlet", "Dirichlet"), ("Pareto", "Pareto"),
    ("Bernoulli", "Bernoulli"), ("Bernoulli logits", "Bernoulli logits"), ("Geometric",
    "Geometric"), ("Poisson", "Poisson"), ("Categorical", "Categorical logits"), ("Binomial",
    "Binomial logits"), ("OneHotCategorical", "OneHotCategorical"), ("Independent", "Independent"),
    ("Multivariate tril", "Multivariate cov"), ("LogNormal", "LogNormal"),
    ("HalfNormal", "HalfNormal"), ("Beta", "Normal"), ("Exponential", "Normal"),
    ("Gamma", "Normal"), ("Gumbel", "Normal"), ("Laplace", "Normal"), ("Uniform", "Normal"),
    ("Normal", "Laplace"), ("Beta", "Exponential"), ("Normal", "Exponential"), ("Chi2", "Gamma"),
    ("Normal", "Beta"),
    ("LowRank", "LowRank"), ("LowRank", "Multivariate cov"), ("Multivariate cov", "LowRank"),
    ("ContinuousBernoulli", "ContinuousBernoulli logits"), ("LogisticNormal", "LogisticNormal"),
    ("Gamma", "Uniform"), ("Uniform", "Uniform"), ("Poisson", "Binomial"), ]  # fmt: skip


@pytest.mark.parametrize(("p", "q"), KL)
def test_kl_divergences_and_their_gradients(p, q):
    results = []
    for lib, module in ((cp, ours), (torch, theirs)):
        one, ps, _ = made(module, lib, p)
        two, qs, _ = made(module, lib, q)
        if p == q and p == "Uniform":
            one = module.Uniform(lib.tensor(LOC), lib.tensor(SCALE + 4))
        kl = module.kl_divergence(one, two)
        grads = []
        if kl.requires_grad and np.isfinite(kl.detach().numpy()).all():
            grads = lib.autograd.grad(kl.sum(), [*ps, *qs], allow_unused=True)
        results.append((kl, grads))
    compare(results[0][0], results[1][0], 1e-9)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        a = 0.0 if a is None else a.numpy()
        b = 0.0 if b is None else b.numpy()
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", ["Normal", "Uniform", "LogNormal", "HalfNormal", "Bernoulli"])
def test_the_same_seed_gives_the_same_samples(name):
    cp.manual_seed(7)
    torch.manual_seed(7)
    a, _, _ = made(ours, cp, name, "float32")
    b, _, _ = made(theirs, torch, name, "float32")
    np.testing.assert_allclose(a.sample((5,)).numpy(), b.sample((5,)).numpy(), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_gradient_of_a_gamma_sample_for_its_concentration(dtype):
    a = np.array([0.05, 0.3, 0.9, 1.0, 2.5, 7.0, 30.0, 150.0, 1e3, 1e5])
    for u in (0.01, 0.3, 0.5, 0.8, 0.99):
        x = np.maximum(gammaincinv(a, u), 1e-30)
        alpha, sample = torch.tensor(a.astype(dtype)), torch.tensor(x.astype(dtype))
        wanted = torch._standard_gamma_grad(alpha, sample).numpy()
        got = cp.core.TABLE["gamma_slope"].eager(a.astype(dtype), x.astype(dtype), order=0)
        np.testing.assert_allclose(got, wanted, rtol=2e-3)  # as exact as PyTorch's is


ERRORS = {
    "scale": lambda lib, d: d.Normal(0.0, -1.0),
    "scales": lambda lib, d: d.Normal(lib.zeros(2), lib.tensor([1.0, -1.0])),
    "nan": lambda lib, d: d.Normal(0.0, 1.0).log_prob(lib.tensor(float("nan"))),
    "no tensor": lambda lib, d: d.Normal(0.0, 1.0).log_prob(1.0),
    "shape": lambda lib, d: d.Normal(lib.zeros(2), 1.0).log_prob(lib.zeros(3)),
    "string": lambda lib, d: d.Normal("a", 1.0),
    "zeros": lambda lib, d: d.Categorical(lib.zeros(3)),
    "class": lambda lib, d: d.Categorical(lib.ones(3)).log_prob(lib.tensor(5)),
    "nothing": lambda lib, d: d.Categorical(),
    "both": lambda lib, d: d.Bernoulli(0.5, 0.5),
    "0-d": lambda lib, d: d.Categorical(lib.tensor(1.0)),
    "uniform": lambda lib, d: d.Uniform(1.0, 0.0),
    "outside": lambda lib, d: d.Uniform(0.0, 1.0).log_prob(lib.tensor(2.0)),
    "kl": lambda lib, d: d.kl_divergence(d.Normal(0.0, 1.0), d.Cauchy(0.0, 1.0)),
    "rsample": lambda lib, d: d.Bernoulli(0.5).rsample(),
    "icdf": lambda lib, d: d.Gamma(1.0, 1.0).icdf(lib.tensor(0.5)),
    "entropy": lambda lib, d: d.Poisson(1.0).entropy(),
    "matrix": lambda lib, d: d.MultivariateNormal(lib.zeros(2)),
    "definite": lambda lib, d: d.MultivariateNormal(lib.zeros(2), -lib.eye(2)),
    "independent": lambda lib, d: d.Independent(d.Normal(lib.zeros(2), 1.0), 2),
    "dirichlet": lambda lib, d: d.Dirichlet(lib.tensor(1.0)),
    "hot": lambda lib, d: d.OneHotCategorical(lib.ones(3)).log_prob(lib.tensor([0.0, 1.0, 1.0])),
    "geometric": lambda lib, d: d.Geometric(0.0),
    "chi2": lambda lib, d: d.Chi2(-1.0),
    "half": lambda lib, d: d.HalfNormal(-1.0),
    "mixture": lambda lib, d: d.MixtureSameFamily(d.Normal(0.0, 1.0), d.Normal(lib.zeros(2), 1.0)),
    "event": lambda lib, d: d.Dirichlet(lib.ones(3)).log_prob(lib.ones(2)),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_have_the_type_and_words_of_pytorch(name):
    f = ERRORS[name]
    with pytest.raises(Exception) as wanted:
        f(torch, theirs)
    with pytest.raises(type(wanted.value)) as got:
        f(cp, ours)
    a, b = (set(str(e.value).lower().replace(":", " ").split()) for e in (wanted, got))
    assert len(a & b) >= len(a) // 2, (str(wanted.value), str(got.value))


def test_parameters_that_an_optimizer_may_move_freely():
    x = RNG.standard_normal((3, 3))
    for name in "real positive unit_interval simplex lower_cholesky positive_definite".split():
        for register in ("biject_to", "transform_to"):
            if register == "biject_to" and name in ("lower_cholesky", "positive_definite"):
                continue
            a = getattr(ours, register)(getattr(ours.constraints, name))
            b = getattr(theirs, register)(getattr(theirs.constraints, name))
            y, z = a(cp.tensor(x)), b(torch.tensor(x))
            compare(y, z, 1e-12)
            compare(a.inv(y), b.inv(z), 1e-9)
            assert getattr(ours.constraints, name).check(y).all()
    for bound in (ours.constraints.greater_than(2.0), ours.constraints.less_than(-1.0)):
        assert bound.check(ours.transform_to(bound)(cp.tensor(x))).all()
    kind = ours.constraints.independent(ours.constraints.interval(-1.0, 3.0), 1)
    assert kind.check(ours.biject_to(kind)(cp.tensor(x))).all()
    with pytest.raises(NotImplementedError):
        ours.biject_to(ours.constraints.boolean)


@pytest.mark.parametrize(
    "make",
    [
        lambda t, d: t.CatTransform([t.ExpTransform(), t.AffineTransform(0.0, 2.0)], 0, [1, 2]),
        lambda t, d: t.StackTransform([t.ExpTransform(), t.TanhTransform(), t.SigmoidTransform()]),
        lambda t, d: t.CumulativeDistributionTransform(d.Normal(0.0, 1.0)),
        lambda t, d: t.StickBreakingTransform(),
        lambda t, d: t.PowerTransform(3.0),
    ],
)
def test_more_transforms(make):
    a, b = make(ours.transforms, ours), make(theirs.transforms, theirs)
    x = np.abs(X[:, :3]) if "Power" in repr(a) else X[:, :3]
    y, z = a(cp.tensor(x)), b(torch.tensor(x))
    compare(y, z, 1e-6)
    compare(a.inv(y), b.inv(z), 1e-6)
    one = a.log_abs_det_jacobian(cp.tensor(x), y)
    compare(one, b.log_abs_det_jacobian(torch.tensor(x), z), 1e-6)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 2)])
@pytest.mark.parametrize("name", ["Categorical", "OneHotCategorical"])
def test_classes_are_drawn_alike(name, shape):
    drawn = []
    for lib in (cp, torch):
        lib.manual_seed(3)
        probs = lib.tensor([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]])
        distribution = getattr(lib.distributions, name)(probs)
        drawn.append([distribution.sample(shape).tolist() for _ in range(5)])
    assert drawn[0] == drawn[1]
