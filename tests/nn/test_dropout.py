"""Dropout: what it keeps, how much, and its gradient."""

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.nn import functional as F


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_drops_the_fraction_p_and_scales_the_rest(p):
    y = nn.Dropout(p)(cp.ones(20_000)).numpy()
    assert set(np.unique(y).tolist()) == {0.0, float(np.float32(1) / np.float32(1 - p))}
    # three standard deviations of the fraction of zeros; the seed is fixed
    assert abs((y == 0).mean() - p) < 3 * np.sqrt(p * (1 - p) / y.size)


def test_is_the_identity_in_evaluation_and_for_p_0():
    x = cp.randn(5)
    assert nn.Dropout(0.9).eval()(x) is x
    assert nn.Dropout(0.0)(x) is x
    assert F.dropout(x, 0.9, training=False) is x


def test_p_1_gives_zeros_and_no_gradient():
    x = cp.ones(3, requires_grad=True)
    y = nn.Dropout(1.0)(x)
    y.sum().backward()
    assert y.tolist() == [0, 0, 0] and x.grad.tolist() == [0, 0, 0]


def test_the_gradient_passes_where_the_value_did():
    x = cp.ones(100, requires_grad=True)
    y = nn.Dropout(0.5)(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_every_call_draws_another_mask_and_the_seed_repeats_it():
    x, drop = cp.ones(100), nn.Dropout()
    cp.manual_seed(3)
    first, second = drop(x).tolist(), drop(x).tolist()
    cp.manual_seed(3)
    assert first != second and drop(x).tolist() == first


def test_keeps_the_type():
    assert nn.Dropout()(cp.ones(3, dtype=cp.float64)).dtype is cp.float64


def test_inplace_writes_over_the_input():
    for p in (0.5, 1.0):
        x = cp.ones(50)
        y = nn.Dropout(p, inplace=True)(x)
        assert y is x and (x == 0).any()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_probability_outside_0_to_1_is_refused(p):
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1, but got"):
        nn.Dropout(p)
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1, but got"):
        F.dropout(cp.ones(1), p)
