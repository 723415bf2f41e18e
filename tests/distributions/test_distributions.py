"""Distributions against SciPy's: densities, distribution functions, entropies, moments."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaincinv

import clearprop as cp
import clearprop.distributions as D
from clearprop.autograd import gradcheck

F = cp.float64


def t(x):
    return cp.tensor(x, dtype=F)


CONTINUOUS = {
    "Normal": (D.Normal(t(0.5), t(2.0)), stats.norm(0.5, 2)),
    "LogNormal": (D.LogNormal(t(0.5), t(0.4)), stats.lognorm(0.4, 0, math.exp(0.5))),
    "HalfNormal": (D.HalfNormal(t(2.0)), stats.halfnorm(0, 2)),
    "Uniform": (D.Uniform(t(-1.0), t(2.0)), stats.uniform(-1, 3)),
    "Exponential": (D.Exponential(t(2.0)), stats.expon(0, 0.5)),
    "Laplace": (D.Laplace(t(0.5), t(2.0)), stats.laplace(0.5, 2)),
    "Cauchy": (D.Cauchy(t(0.5), t(2.0)), stats.cauchy(0.5, 2)),
    "HalfCauchy": (D.HalfCauchy(t(2.0)), stats.halfcauchy(0, 2)),
    "Gumbel": (D.Gumbel(t(0.5), t(2.0)), stats.gumbel_r(0.5, 2)),
    "Pareto": (D.Pareto(t(1.0), t(5.0)), stats.pareto(5)),
    "Weibull": (D.Weibull(t(2.0), t(1.5)), stats.weibull_min(1.5, 0, 2)),
    "Gamma": (D.Gamma(t(2.5), t(2.0)), stats.gamma(2.5, 0, 0.5)),
    "small Gamma": (D.Gamma(t(0.3), t(2.0)), stats.gamma(0.3, 0, 0.5)),
    "Chi2": (D.Chi2(t(3.0)), stats.chi2(3)),
    "InverseGamma": (D.InverseGamma(t(5.0), t(2.0)), stats.invgamma(5, 0, 2)),
    "Beta": (D.Beta(t(2.0), t(3.0)), stats.beta(2, 3)),
    "StudentT": (D.StudentT(t(5.0), t(0.5), t(2.0)), stats.t(5, 0.5, 2)),
    "FisherSnedecor": (D.FisherSnedecor(t(4.0), t(12.0)), stats.f(4, 12)),
}
DISCRETE = {
    "Bernoulli": (D.Bernoulli(t(0.3)), stats.bernoulli(0.3)),
    "Geometric": (D.Geometric(t(0.3)), stats.geom(0.3, -1)),
    "Binomial": (D.Binomial(10, t(0.3)), stats.binom(10, 0.3)),
    "NegativeBinomial": (D.NegativeBinomial(5, t(0.3)), stats.nbinom(5, 0.7)),
    "Poisson": (D.Poisson(t(2.5)), stats.poisson(2.5)),
}
ALL = CONTINUOUS | DISCRETE


def has(f):
    try:
        return f()
    except NotImplementedError:
        return None


@pytest.mark.parametrize("name", ALL)
def test_density_distribution_function_and_entropy(name):
    ours, theirs = ALL[name]
    if name in DISCRETE:
        x = np.arange(2.0 if name == "Bernoulli" else 5.0)
        logs = theirs.logpmf(x)
    else:
        x = theirs.ppf([0.1, 0.4, 0.8])
        logs = theirs.logpdf(x)
    np.testing.assert_allclose(ours.log_prob(t(x)).numpy(), logs, rtol=1e-9, atol=1e-12)
    cdf, entropy = has(lambda: ours.cdf(t(x))), has(ours.entropy)
    if cdf is not None:
        np.testing.assert_allclose(cdf.numpy(), theirs.cdf(x), rtol=1e-10)
    if entropy is not None:
        np.testing.assert_allclose(entropy.item(), theirs.entropy(), rtol=1e-9)


@pytest.mark.parametrize("name", [n for n in ALL if "Cauchy" not in n])
def test_moments_and_those_of_samples(name):
    ours, theirs = ALL[name]
    np.testing.assert_allclose(ours.mean.item(), theirs.mean(), rtol=1e-10)
    np.testing.assert_allclose(ours.variance.item(), theirs.var(), rtol=1e-10)
    x = ours.sample((4000,)).numpy()
    assert abs(x.mean() - theirs.mean()) < 5 * theirs.std() / math.sqrt(len(x))
    assert 0.6 < x.std() / theirs.std() < 1.5


@pytest.mark.parametrize("name", CONTINUOUS)
def test_samples_have_the_distribution(name):
    ours, theirs = CONTINUOUS[name]
    assert stats.kstest(ours.sample((2000,)).numpy(), theirs.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", DISCRETE)
def test_counts_come_as_often_as_they_should(name):
    ours, theirs = DISCRETE[name]
    x = ours.sample((4000,)).numpy()
    values = np.arange(5)
    wanted, got = theirs.pmf(values), (x[:, None] == values).mean(0)
    np.testing.assert_allclose(got, wanted, atol=0.035)


def test_vectors_of_probabilities():
    d = D.Dirichlet(t([0.5, 1.0, 3.0]))
    x = d.sample((3000,))
    np.testing.assert_allclose(x.sum(-1).numpy(), 1)
    np.testing.assert_allclose(x.mean(0).numpy(), d.mean.numpy(), atol=0.02)
    p = np.array([0.2, 0.3, 0.5])
    wanted = stats.dirichlet([0.5, 1.0, 3.0])
    np.testing.assert_allclose(d.log_prob(t(p)).item(), wanted.logpdf(p))
    np.testing.assert_allclose(d.entropy().item(), wanted.entropy())
    tiny = D.Dirichlet(cp.full((3,), 1e-3)).sample((50,))
    assert tiny.isfinite().all() and (tiny.amax(-1) > 0.999).any()


def test_one_of_several():
    d = D.Categorical(t([[1.0, 0.0, 3.0], [1.0, 1.0, 2.0]]))
    x = d.sample((4000,))
    assert x.shape == (4000, 2) and x.dtype is cp.int64
    counts = np.stack([(x.numpy() == k).mean(0) for k in range(3)], -1)
    np.testing.assert_allclose(counts, d.probs.numpy(), atol=0.035)
    assert counts[0, 1] == 0
    hot = D.OneHotCategorical(d.probs)
    assert (hot.sample().sum(-1) == 1).all()
    draws = D.Multinomial(20, t([0.2, 0.8])).sample((500,))
    assert (draws.sum(-1) == 20).all()
    np.testing.assert_allclose(draws.mean(0).numpy(), [4, 16], atol=0.5)


def test_multivariate_normal():
    a = np.array([[2.0, 0.5], [0.5, 1.0]])
    theirs = stats.multivariate_normal([1, 2], a)
    x = np.array([[0.0, 1.0], [2.0, 2.0]])
    for d in (
        D.MultivariateNormal(t([1.0, 2.0]), t(a)),
        D.MultivariateNormal(t([1.0, 2.0]), precision_matrix=t(np.linalg.inv(a))),
        D.MultivariateNormal(t([1.0, 2.0]), scale_tril=t(np.linalg.cholesky(a))),
    ):
        np.testing.assert_allclose(d.log_prob(t(x)).numpy(), theirs.logpdf(x))
        np.testing.assert_allclose(d.entropy().item(), theirs.entropy())
        np.testing.assert_allclose(np.cov(d.sample((4000,)).numpy().T), a, atol=0.2)
        np.testing.assert_allclose(d.covariance_matrix.numpy(), a)
        np.testing.assert_allclose(d.precision_matrix.numpy(), np.linalg.inv(a))


def test_a_mixture():
    d = D.MixtureSameFamily(D.Categorical(t([0.3, 0.7])), D.Normal(t([-2.0, 1.0]), t([0.5, 1.0])))
    x = np.linspace(-3, 3, 5)
    p = 0.3 * stats.norm(-2, 0.5).pdf(x) + 0.7 * stats.norm(1, 1).pdf(x)
    np.testing.assert_allclose(d.log_prob(t(x)).exp().numpy(), p)
    s = d.sample((4000,)).numpy()
    assert abs(s.mean() - d.mean.item()) < 0.15 and abs(s.var() - d.variance.item()) < 0.3


def test_between_zero_and_one():
    d = D.Kumaraswamy(t(2.0), t(3.0))
    x = d.sample((2000,)).numpy()
    assert stats.kstest(x, lambda x: 1 - (1 - x**2) ** 3).pvalue > 1e-3
    np.testing.assert_allclose(d.mode.item(), (1 / 5) ** 0.5)
    for p in (0.1, 0.4995, 0.7):
        d = D.ContinuousBernoulli(t(p))
        grid = t(np.linspace(0, 1, 2001))
        np.testing.assert_allclose(d.log_prob(grid).exp().mean().item(), 1, rtol=2e-3)
        assert abs(d.sample((3000,)).mean().item() - d.mean.item()) < 0.02


def test_a_covariance_of_low_rank_is_that_covariance():
    w, diagonal, loc = t([[1.0, 0.2], [0.3, -0.5], [0.0, 2.0]]), t([0.5, 1.0, 2.0]), t([1.0, 0, 2])
    d = D.LowRankMultivariateNormal(loc, w, diagonal)
    full = D.MultivariateNormal(loc, d.covariance_matrix)
    x = full.sample((4,))
    np.testing.assert_allclose(d.log_prob(x).numpy(), full.log_prob(x).numpy())
    np.testing.assert_allclose(d.entropy().item(), full.entropy().item())
    np.testing.assert_allclose(d.precision_matrix.numpy(), full.precision_matrix.numpy())
    np.testing.assert_allclose(
        np.cov(d.sample((4000,)).numpy().T), d.covariance_matrix.numpy(), atol=0.4
    )
    assert abs(D.kl_divergence(d, full).item()) < 1e-9


def test_every_constraint_has_a_transform_into_it():
    x = t(np.random.default_rng(0).standard_normal((3, 3)))
    for name in "real positive unit_interval simplex lower_cholesky positive_definite".split():
        constraint = getattr(D.constraints, name)
        assert constraint.check(D.transform_to(constraint)(x)).all()


# ---------------------------------------------------------------------- gradients of samples
def slope(a, x):
    return cp.core.TABLE["gamma_slope"].eager(a, x, order=0)


@pytest.mark.parametrize("u", [1e-6, 0.02, 0.3, 0.7, 0.98, 1 - 1e-6])
def test_the_gradient_of_a_gamma_sample_is_that_of_its_quantile(u):
    a = np.array([0.2, 0.7, 1.0, 3.0, 20.0, 199.0, 201.0, 5e3, 1e6])
    x = gammaincinv(a, u)
    h = 1e-3 * a
    near = gammaincinv(a + h, u) - gammaincinv(a - h, u)
    away = gammaincinv(a + 2 * h, u) - gammaincinv(a - 2 * h, u)
    np.testing.assert_allclose(slope(a, x), (8 * near - away) / (12 * h), rtol=1e-6)


def test_the_gradient_of_a_gamma_sample_far_out():
    a = np.array([0.5, 0.5, 100.0, 1e3])
    assert (slope(a, np.array([1e-8, 50.0, 250.0, 1.6e3])) > 0).all()
    assert slope(np.array([2.0]), np.array([0.0])) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda a, b: D.Gamma(a, b),
        lambda a, b: D.Beta(a, b),
        lambda a, b: D.StudentT(a + 2, b, b),
        lambda a, b: D.Dirichlet(cp.stack([a, b], -1)),
        lambda a, b: D.FisherSnedecor(a + 1, b + 1),
        lambda a, b: D.Weibull(a, b),
        lambda a, b: D.Normal(a, b),
        lambda a, b: D.Laplace(a, b),
    ],
)
def test_samples_are_functions_of_their_parameters(make):
    def f(a, b):
        cp.manual_seed(3)
        return make(a, b).rsample((3,))

    a = t([0.6, 2.0]).requires_grad_()
    b = t([1.5, 0.9]).requires_grad_()
    assert gradcheck(f, (a, b), atol=1e-6, rtol=1e-5)


def test_the_mean_of_samples_has_the_gradient_of_the_mean():
    a = t(2.0).requires_grad_()
    D.Beta(a, t(3.0)).rsample((4000,)).mean().backward()
    assert abs(a.grad.item() - 3 / 25) < 0.01


# ---------------------------------------------------------------------- compiled
@pytest.mark.parametrize(
    "make",
    [
        lambda a: D.Normal(a, a * a + 1),
        lambda a: D.Gamma(a.exp(), a * a + 1),
        lambda a: D.Beta(a.exp(), a * a + 1),
        lambda a: D.Laplace(a, a.exp()),
        lambda a: D.Independent(D.Normal(a, 1.0), 1),
        lambda a: D.TransformedDistribution(D.Normal(a, 1.0), D.TanhTransform(cache_size=1)),
        lambda a: D.MultivariateNormal(a, scale_tril=cp.eye(3)),
        lambda a: D.StudentT(a.exp() + 1),
    ],
)
def test_compiled_steps_draw_the_same_samples_and_give_the_same_gradients(make):
    def step(a):
        d = make(a)
        x = d.rsample((4,))
        loss = d.log_prob(x).mean() + x.sum()
        if not isinstance(d, D.TransformedDistribution):
            loss = loss + d.entropy().sum()
        return loss.detach(), x.detach(), cp.autograd.grad(loss, a)[0]

    a = cp.tensor([0.3, -0.5, 1.0], requires_grad=True)
    compiled = cp.compile(step)
    cp.manual_seed(2)
    wanted = [step(a), step(a)]
    cp.manual_seed(2)
    got = [compiled(a), compiled(a)]
    for one, two in zip(wanted, got, strict=True):
        for x, y in zip(one, two, strict=True):
            np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-4, atol=1e-4)


def test_a_compiled_policy_step():
    """Actions are drawn inside, as an actor does."""

    def step(logits):
        d = D.Categorical(logits=logits)
        action = d.sample()
        return action, d.log_prob(action), d.entropy(), D.Bernoulli(logits=logits).sample()

    compiled = cp.compile(step)
    logits = cp.randn(5, 4)
    cp.manual_seed(0)
    wanted = [step(logits) for _ in range(3)]
    cp.manual_seed(0)
    got = [compiled(logits) for _ in range(3)]
    for one, two in zip(wanted, got, strict=True):
        for x, y in zip(one, two, strict=True):
            np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-5)
    assert any((got[0][0] != got[k][0]).any() for k in (1, 2))


def test_counts_are_drawn_in_compiled_code():
    rate = cp.tensor([1.0, 5.0])
    f = lambda r: (D.Poisson(r).sample((3,)), D.Binomial(9, r / 6).sample((3,)))
    cp.manual_seed(1)
    wanted = f(rate)
    cp.manual_seed(1)
    for x, y in zip(cp.compile(f)(rate), wanted, strict=True):
        assert (x == y).all()


# ---------------------------------------------------------------------- shapes, checks, KL
def test_expand_keeps_gradients_and_classes():
    loc = cp.zeros(3, requires_grad=True)
    d = D.Normal(loc, 1.0).expand((2, 3))
    assert type(d) is D.Normal and d.batch_shape == (2, 3)
    d.rsample().sum().backward()
    assert loc.grad.tolist() == [2.0, 2.0, 2.0]


def test_probabilities_keep_their_gradient_after_sampling():
    logits = cp.zeros(3, requires_grad=True)
    d = D.Categorical(logits=logits)
    d.sample()
    assert d.probs.requires_grad and d.entropy().requires_grad


def test_checks_can_be_switched_off():
    D.Normal(0.0, -1.0, validate_args=False)
    with pytest.raises(ValueError, match="satisfy the constraint GreaterThan"):
        D.Normal(0.0, -1.0)
    D.Distribution.set_default_validate_args(False)
    try:
        D.Normal(0.0, -1.0)
    finally:
        D.Distribution.set_default_validate_args(True)


def test_kl_is_what_samples_say():
    for p, q in [
        (D.Gamma(2.0, 1.0), D.Gamma(3.0, 2.0)),
        (D.Beta(2.0, 1.5), D.Beta(1.0, 1.0)),
        (D.Laplace(0.0, 1.0), D.Normal(0.5, 2.0)),
        (D.Normal(0.0, 1.0), D.Laplace(0.5, 2.0)),
        (D.Poisson(2.0), D.Poisson(3.0)),
        (D.Gumbel(0.0, 1.0), D.Gumbel(0.5, 2.0)),
    ]:
        x = p.sample((4000,))
        estimate = (p.log_prob(x) - q.log_prob(x)).mean().item()
        assert abs(estimate - D.kl_divergence(p, q).item()) < 0.08, (p, q)


def test_a_formula_can_be_registered():
    class Mine(D.Normal):
        """A normal distribution of my own."""

    @D.register_kl(Mine, Mine)
    def formula(p, q):
        return cp.tensor(42.0)

    assert D.kl_divergence(Mine(0.0, 1.0), Mine(0.0, 1.0)).item() == 42
    assert D.kl_divergence(Mine(0.0, 1.0), D.Normal(0.0, 1.0)).item() == 0


@pytest.mark.parametrize(
    "transform",
    [
        D.ExpTransform(), D.SigmoidTransform(), D.TanhTransform(), D.AffineTransform(1.0, -2.0),
        D.SoftplusTransform(), D.StickBreakingTransform(), D.PowerTransform(2.0),
        D.ComposeTransform([D.AffineTransform(0.0, 0.5), D.TanhTransform()]),
        D.IndependentTransform(D.ExpTransform(), 1), D.ReshapeTransform((3,), (3, 1)),
    ],
    ids=repr,
)  # fmt: skip
def test_transforms_are_undone_and_know_their_jacobian(transform):
    x = t([0.3, 0.9, 0.5])
    y = transform(x)
    np.testing.assert_allclose(transform.inv(y).numpy(), x.numpy(), rtol=1e-9)
    assert transform.codomain.check(y).all()
    jacobian = cp.func.jacrev(transform)(x).numpy()
    got = transform.log_abs_det_jacobian(x, y).sum().item()
    square = jacobian.reshape(-1, 3)[:3]  # the last share of a simplex is what the others leave
    np.testing.assert_allclose(got, np.linalg.slogdet(square)[1], rtol=1e-8, atol=1e-12)
