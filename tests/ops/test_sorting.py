"""Order, ranks, quantiles and searching, against NumPy."""

import math

import numpy as np
import pytest

import clearprop as cp

X = np.random.default_rng(0).normal(size=(4, 5))
TIES = np.array([1.0, 3.0, 1.0, 3.0, 2.0])
NAN = np.array([2.0, np.nan, 1.0, 5.0])


@pytest.mark.parametrize("descending", [False, True])
def test_sort_keeps_the_order_of_equal_elements(descending):
    values, indices = cp.sort(cp.tensor(TIES), descending=descending)
    order = np.argsort(-TIES if descending else TIES, kind="stable")
    np.testing.assert_array_equal(indices.numpy(), order)
    np.testing.assert_array_equal(values.numpy(), TIES[order])


def test_the_gradient_of_a_sorted_tensor_goes_back_to_its_places():
    x = cp.tensor([3.0, 1.0, 2.0], requires_grad=True)
    (cp.sort(x).values * cp.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [100.0, 1.0, 10.0]


@pytest.mark.parametrize("axis", [0, 1])
def test_topk_kthvalue_and_median_pick_from_the_sorted_elements(axis):
    x, s = cp.tensor(X), np.sort(X, axis)
    np.testing.assert_array_equal(cp.topk(x, 2, axis, largest=False).values, s.take([0, 1], axis))
    np.testing.assert_array_equal(cp.kthvalue(x, 3, axis).values.numpy(), s.take(2, axis))
    middle = (X.shape[axis] - 1) // 2
    np.testing.assert_array_equal(cp.median(x, dim=axis).values.numpy(), s.take(middle, axis))


def test_names_of_axes_and_of_kept_ones():
    x = cp.tensor(X)
    for f in (cp.median, cp.nanmedian, cp.mode):
        assert f(x, axis=1, keepdims=True).values.shape == (4, 1)
    assert cp.quantile(x, 0.5, axis=1, keepdims=True).shape == (4, 1)
    assert cp.nanquantile(x, 0.5, axis=0, keepdims=True).shape == (1, 5)
    assert cp.kthvalue(x, 1, axis=0, keepdims=True).values.shape == (1, 5)


def test_median_is_nan_where_there_is_one_and_nanmedian_is_not():
    x = cp.tensor(NAN)
    assert math.isnan(cp.median(x).item())
    assert cp.median(x, 0).indices.item() == 1
    assert cp.nanmedian(x).item() == 2.0


def test_equal_medians_share_the_gradient():
    x = cp.tensor([2.0, 1.0, 2.0, 3.0, 2.0], requires_grad=True)
    cp.median(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [1 / 3, 0, 1 / 3, 0, 1 / 3], rtol=1e-6)


def test_mode_is_the_smallest_of_the_most_frequent_values():
    values, indices = cp.mode(cp.tensor(TIES))
    assert (values.item(), indices.item()) == (1.0, 2)


@pytest.mark.parametrize("how", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantiles_are_numpys(how):
    q = np.array([0.0, 0.13, 0.5, 0.9, 1.0])
    got = cp.quantile(cp.tensor(X), cp.tensor(q), dim=1, interpolation=how)
    np.testing.assert_allclose(got.numpy(), np.quantile(X, q, axis=1, method=how), rtol=1e-12)
    got = cp.nanquantile(cp.tensor(NAN), cp.tensor(q), interpolation=how)
    np.testing.assert_allclose(got.numpy(), np.nanquantile(NAN, q, method=how), rtol=1e-12)


def test_quantile_has_the_derivative_of_its_two_neighbours():
    x = cp.tensor([0.0, 10.0, 20.0], requires_grad=True)
    cp.quantile(x, 0.25).backward()
    assert x.grad.tolist() == [0.5, 0.5, 0.0]


def test_searching_is_numpys():
    steps = np.array([1.0, 3.0, 3.0, 5.0])
    at = np.array([[0.0, 3.0], [4.0, 9.0]])
    for right in (False, True):
        side = "right" if right else "left"
        got = cp.searchsorted(cp.tensor(steps), cp.tensor(at), right=right)
        np.testing.assert_array_equal(got.numpy(), np.searchsorted(steps, at, side))
        np.testing.assert_array_equal(
            cp.bucketize(cp.tensor(at), cp.tensor(steps), right=right).numpy(), got
        )
    np.testing.assert_array_equal(
        cp.isin(cp.tensor([1, 2, 3]), cp.tensor([3, 1])).numpy(), [1, 0, 1]
    )


def test_unique_is_numpys():
    x = np.array([[3, 1], [3, 2], [3, 1]])
    values, inverse, counts = cp.unique(cp.tensor(x), return_inverse=True, return_counts=True)
    wanted = np.unique(x, return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(values.numpy(), wanted[0])
    np.testing.assert_array_equal(inverse.numpy(), wanted[1].reshape(x.shape))
    np.testing.assert_array_equal(counts.numpy(), wanted[2])
    np.testing.assert_array_equal(cp.unique(cp.tensor(x), dim=0).numpy(), np.unique(x, axis=0))
    assert cp.unique_consecutive(cp.tensor([1, 1, 2, 1])).tolist() == [1, 2, 1]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: cp.topk(x, 9), RuntimeError, "selected index k out of range"),
        (lambda x: cp.kthvalue(x, 0), RuntimeError, "selected number k out of range"),
        (lambda x: cp.quantile(x, 2.0), RuntimeError, r"values must be in the range \[0, 1\]"),
        (lambda x: cp.quantile(x > 0, 0.5), RuntimeError, "must be either float or double dtype"),
        (lambda x: cp.mode(x[:0], 0), IndexError, "Expected reduction dim 0 to have non-zero size"),
    ],
)
def test_mistakes(call, error, text):
    with pytest.raises(error, match=text):
        call(cp.tensor(X))
