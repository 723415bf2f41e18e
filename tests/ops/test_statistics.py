"""Running extremes, differences, statistics and counts, against NumPy and by formula."""

import numpy as np
import pytest

import clearprop as cp

X = np.random.default_rng(0).normal(size=(3, 5))
NAN = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, 2.0]])


def test_running_extremes_give_the_gradient_to_the_latest_of_equal_ones():
    x = cp.tensor([1.0, 1.0, 0.0], requires_grad=True)
    (cp.cummax(x, 0).values * cp.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [1.0, 5.0, 0.0]
    np.testing.assert_array_equal(cp.cummin(cp.tensor(X), 1).values, np.minimum.accumulate(X, 1))


def test_logcumsumexp_neither_overflows_nor_loses_its_gradient():
    x = cp.tensor([1000.0, 1000.0, -1000.0], dtype=cp.float64, requires_grad=True)
    y = cp.logcumsumexp(x, 0)
    np.testing.assert_allclose(y.detach().numpy(), [1000, 1000 + np.log(2), 1000 + np.log(2)])
    assert cp.autograd.gradcheck(lambda t: cp.logcumsumexp(t, 1), cp.tensor(X, requires_grad=True))
    assert cp.autograd.gradgradcheck(
        lambda t: cp.logcumsumexp(t, 1), cp.tensor(X, requires_grad=True)
    )


@pytest.mark.parametrize("x", [[2.0, 0.0, 3.0], [0.0, 0.0, 3.0], [0.0, 2.0, 0.0]])
def test_cumprod_differentiates_twice_at_zeros(x):
    t = cp.tensor([x], dtype=cp.float64, requires_grad=True)
    assert cp.autograd.gradcheck(lambda t: cp.cumprod(t, 1), t)
    assert cp.autograd.gradgradcheck(lambda t: cp.cumprod(t, 1), t)


def test_differences_and_integrals_are_numpys():
    x, y = cp.tensor(X), np.arange(5.0) ** 2
    np.testing.assert_allclose(cp.diff(x, 2, 0).numpy(), np.diff(X, 2, 0))
    np.testing.assert_allclose(cp.trapezoid(x, cp.tensor(y)).numpy(), np.trapezoid(X, y))
    np.testing.assert_allclose(cp.cumulative_trapezoid(x)[:, -1].numpy(), np.trapezoid(X))


def test_nan_is_left_out():
    x = cp.tensor(NAN, requires_grad=True)
    assert cp.nansum(x).item() == 6.0
    np.testing.assert_array_equal(cp.nanmean(x, 0).detach().numpy(), [1.0, np.nan, 2.5])
    cp.nanmean(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [[1 / 3, 0, 1 / 3], [0, 0, 1 / 3]])


def test_pairs_of_results():
    x = cp.tensor(X)
    low, high = cp.aminmax(x, axis=1, keepdims=True)
    np.testing.assert_array_equal(low.numpy(), X.min(1, keepdims=True))
    np.testing.assert_array_equal(high.numpy(), X.max(1, keepdims=True))
    for f, spread in ((cp.std_mean, X.std(1, ddof=1)), (cp.var_mean, X.var(1, ddof=1))):
        got = f(x, axis=1)
        np.testing.assert_allclose(got[0].numpy(), spread)
        np.testing.assert_allclose(got[1].numpy(), X.mean(1))


def test_covariance_and_correlation_are_numpys():
    x = cp.tensor(X, requires_grad=True)
    f, a = np.array([1, 2, 1, 3, 1]), np.array([0.1, 0.5, 1.0, 0.2, 0.7])
    weighted = cp.cov(x, fweights=cp.tensor(f), aweights=cp.tensor(a))
    np.testing.assert_allclose(weighted.detach().numpy(), np.cov(X, fweights=f, aweights=a))
    np.testing.assert_allclose(cp.corrcoef(x).detach().numpy(), np.corrcoef(X))
    assert cp.autograd.gradcheck(cp.cov, x)


def test_counts_are_numpys():
    x = cp.tensor(X)
    np.testing.assert_array_equal(cp.histc(x, 4, -1, 1).numpy(), np.histogram(X, 4, (-1, 1))[0])
    hist, edges = cp.histogram(x, 3, density=True)
    wanted = np.histogram(X, 3, density=True)
    np.testing.assert_allclose(hist.numpy(), wanted[0])
    np.testing.assert_allclose(edges.numpy(), wanted[1])
    assert cp.bincount(cp.tensor([1, 3, 1]), minlength=5).tolist() == [0, 2, 0, 1, 0]


def test_distance():
    a, b = cp.tensor([1.0, 2.0]), cp.tensor([4.0, 6.0])
    assert cp.dist(a, b).item() == 5.0
    assert cp.dist(a, b, 1).item() == 7.0
