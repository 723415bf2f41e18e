"""Clipping of gradients, from `nn.utils` and from `optim`."""

from __future__ import annotations

import math

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn, optim


def with_grads(*grads, dtype=cp.float64):
    params = [cp.zeros(len(g), dtype=dtype, requires_grad=True) for g in grads]
    for p, g in zip(params, grads, strict=True):
        p.grad = cp.tensor(g, dtype=dtype)
    return params


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0, 0.5, math.inf])
def test_norm_is_that_of_all_gradients_together(order):
    params = with_grads([3.0, -4.0], [12.0])
    total = nn.utils.get_total_norm([p.grad for p in params], order)
    assert total.item() == pytest.approx(np.linalg.norm([3.0, -4.0, 12.0], order), rel=1e-12)


@pytest.mark.parametrize("order", [1.0, 2.0, math.inf])
def test_long_gradients_are_scaled_by_one_factor(order):
    params = with_grads([3.0, -4.0], [12.0])
    total = nn.utils.clip_grad_norm_(params, 0.5, order).item()
    assert total == pytest.approx(np.linalg.norm([3.0, -4.0, 12.0], order))
    factor = 0.5 / (total + 1e-6)
    assert params[0].grad.tolist() == pytest.approx([3 * factor, -4 * factor], rel=1e-12)
    assert params[1].grad.tolist() == pytest.approx([12 * factor], rel=1e-12)


def test_short_gradients_stay_as_they_are():
    params = with_grads([3.0, -4.0])
    optim.clip_grad_norm_(params, 6.0)
    assert params[0].grad.tolist() == [3.0, -4.0]


def test_one_tensor_a_generator_and_none_gradients_are_taken():
    (p,) = with_grads([3.0, 4.0])
    unused = cp.zeros(1, requires_grad=True)
    assert optim.clip_grad_norm_(p, 1.0).item() == 5.0
    assert optim.clip_grad_norm_((q for q in [p, unused]), 10.0).item() == pytest.approx(
        1.0, abs=1e-6
    )
    assert optim.clip_grad_norm_([unused], 1.0).item() == 0.0
    assert unused.grad is None


def test_gradients_of_several_dtypes_keep_theirs():
    params = with_grads([3.0]) + with_grads([4.0], dtype=cp.float32)
    assert optim.clip_grad_norm_(params, 1.0).item() == 5.0
    assert [p.grad.dtype for p in params] == [cp.float64, cp.float32]


def test_norm_that_is_not_finite_is_an_error_when_asked_for():
    params = with_grads([math.inf, 1.0])
    with pytest.raises(RuntimeError, match="non-finite, so it cannot be clipped"):
        optim.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    assert params[0].grad.tolist() == [math.inf, 1.0]


def test_values_are_limited():
    params = with_grads([3.0, -4.0, 0.5])
    nn.utils.clip_grad_value_(params, 1.0)
    assert params[0].grad.tolist() == [1.0, -1.0, 0.5]
