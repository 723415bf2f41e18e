"""`h *= gate` could not be differentiated when the gate wanted a gradient.

Cause: the in-place method recorded an op that kept `h` itself, and then overwrote what it had kept.
PyTorch keeps a copy of the old values in that case, and so does clearprop.
"""

from __future__ import annotations

import pytest

import clearprop as cp


def test_the_gate_of_an_in_place_product_gets_the_old_values():
    x = cp.tensor([2.0, 3.0], requires_grad=True)
    gate = cp.tensor([5.0, 7.0], requires_grad=True)
    h = x * 1.0
    h *= gate
    h.sum().backward()
    assert x.grad.tolist() == [5, 7]
    assert gate.grad.tolist() == [2, 3]


def test_data_that_wants_no_gradient_can_be_scaled_in_place():
    data, scale = cp.tensor([2.0, 3.0]), cp.tensor([5.0, 7.0], requires_grad=True)
    data.mul_(scale)
    data.sum().backward()
    assert scale.grad.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("name", "derivative"), [("sin_", lambda v: v.cos()), ("log_", lambda v: 1 / v)]
)
def test_a_function_in_place_uses_the_values_from_before(name, derivative):
    x = cp.tensor([0.5, 1.5], dtype=cp.float64, requires_grad=True)
    y = x.clone()
    getattr(y, name)()
    y.sum().backward()
    assert cp.allclose(x.grad, derivative(x.detach()))


def test_a_view_in_place_uses_the_values_from_before():
    x = cp.tensor([[2.0, 3.0], [4.0, 5.0]], requires_grad=True)
    y = x.clone()
    y[0].pow_(2)
    y.sum().backward()
    assert x.grad.tolist() == [[4, 6], [1, 1]]


def test_second_derivative_through_an_in_place_product():
    x = cp.tensor(3.0, dtype=cp.float64, requires_grad=True)
    y = x * x
    y *= x  # x^3
    (first,) = cp.autograd.grad(y, x, create_graph=True)
    assert first.item() == 27
    assert cp.autograd.grad(first, x)[0].item() == 18


def test_another_op_that_kept_the_old_values_still_notices():
    x = cp.tensor([2.0, 3.0], requires_grad=True)
    h = x * 1.0
    kept = h * h
    h *= x
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        (kept.sum() + h.sum()).backward()
