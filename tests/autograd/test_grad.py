"""autograd.grad(): which gradients come back, and derivatives of any order against formulas."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
from clearprop.autograd import grad

POINTS = [-1.3, -0.2, 0.0, 0.4, 2.1]


def leaf(*values):
    return cp.tensor(list(values), dtype=cp.float64, requires_grad=True)


def derivative(f, order, points):
    """The order-th derivative of an elementwise f."""
    x = leaf(*points)
    y = f(x)
    for _ in range(order):
        (y,) = grad(y.sum(), x, create_graph=True)
    return y.detach().numpy()


def of_tanh(order, points):
    """Derivatives of tanh as polynomials in t = tanh x: P_{n+1} = P_n' (1 - t^2)."""
    p = np.polynomial.Polynomial([0, 1])
    for _ in range(order):
        p = p.deriv() * np.polynomial.Polynomial([1, 0, -1])
    return p(np.tanh(points))


def of_sigmoid(order, points):
    """Derivatives of the logistic function as polynomials in s: P_{n+1} = P_n' (s - s^2)."""
    p = np.polynomial.Polynomial([0, 1])
    for _ in range(order):
        p = p.deriv() * np.polynomial.Polynomial([0, 1, -1])
    return p(1 / (1 + np.exp(-np.asarray(points))))


def of_sin(order, points):
    return np.sin(np.asarray(points) + order * np.pi / 2)


def of_exp_of_square(order, points):
    """(e^{x^2})^{(n)} = P_n(x) e^{x^2}, P_{n+1} = P_n' + 2x P_n."""
    x, p = np.asarray(points), np.polynomial.Polynomial([1.0])
    for _ in range(order):
        p = p.deriv() + np.polynomial.Polynomial([0, 2]) * p
    return p(x) * np.exp(x * x)


@pytest.mark.parametrize("order", range(7))
@pytest.mark.parametrize(
    ("f", "formula"),
    [
        (cp.tanh, of_tanh),
        (cp.sigmoid, of_sigmoid),
        (cp.sin, of_sin),
        (lambda x: (x * x).exp(), of_exp_of_square),
    ],
    ids=["tanh", "sigmoid", "sin", "exp of square"],
)
def test_derivatives_of_any_order(f, formula, order):
    points = POINTS[:-1] if formula is of_exp_of_square else POINTS
    np.testing.assert_allclose(
        derivative(f, order, points), formula(order, points), rtol=1e-9, atol=1e-11
    )


def test_derivatives_of_a_polynomial_end_in_a_constant():
    for order, wanted in enumerate([lambda x: x**3, lambda x: 3 * x**2, lambda x: 6 * x]):
        np.testing.assert_allclose(
            derivative(lambda x: x**3, order, POINTS), wanted(np.array(POINTS)), rtol=1e-15
        )
    np.testing.assert_array_equal(derivative(lambda x: x**3, 3, POINTS), np.full(5, 6.0))


def test_mixed_derivatives_do_not_depend_on_the_order():
    x, y = leaf(0.7), leaf(-0.3)
    z = (x * y).sin() * x.exp()
    (zx,) = grad(z.sum(), x, create_graph=True)
    (zy,) = grad(z.sum(), y, create_graph=True)
    (zxy,) = grad(zx.sum(), y, retain_graph=True)
    (zyx,) = grad(zy.sum(), x)
    np.testing.assert_allclose(zxy.numpy(), zyx.numpy(), rtol=1e-14)
    a, b = 0.7, -0.3
    wanted = np.exp(a) * ((1 + a) * np.cos(a * b) - a * b * np.sin(a * b))
    np.testing.assert_allclose(zxy.numpy(), [wanted], rtol=1e-13)


def test_hessian_of_a_quadratic_form_is_a_plus_its_transpose():
    a = np.random.default_rng(0).normal(size=(4, 4))
    x = leaf(1.0, -2.0, 0.5, 3.0)
    (g,) = grad(x @ cp.from_numpy(a) @ x, x, create_graph=True)
    rows = [grad(g[i], x, retain_graph=True)[0].numpy() for i in range(4)]
    np.testing.assert_allclose(np.stack(rows), a + a.T, rtol=1e-13)


def test_grad_leaves_the_grad_fields_alone():
    x, y = leaf(2.0), leaf(3.0)
    gx, gy = grad((x * y).sum(), [x, y])
    assert (gx.tolist(), gy.tolist()) == ([3.0], [2.0])
    assert x.grad is None
    assert y.grad is None


def test_a_single_input_still_gives_a_tuple():
    x = leaf(2.0)
    out = grad((x * x).sum(), x)
    assert type(out) is tuple
    assert [g.tolist() for g in out] == [[4.0]]


def test_grad_of_an_intermediate_tensor():
    x = leaf(2.0)
    y = x * x
    gx, gy = grad((y * y).sum(), [x, y])
    assert (gx.tolist(), gy.tolist()) == ([32.0], [8.0])


def test_grad_of_the_output_itself_is_one():
    y = leaf(2.0).exp().sum()
    assert grad(y, y)[0].item() == 1.0


def test_grad_outputs_weight_several_outputs():
    x = leaf(1.0, 2.0)
    weights = [cp.tensor([1.0, 10.0], dtype=cp.float64), cp.tensor(100.0, dtype=cp.float64)]
    (g,) = grad([x * x, x.sum()], x, weights)
    assert g.tolist() == [102.0, 140.0]


def test_an_unused_input_is_an_error_unless_allowed():
    x, other = leaf(1.0), leaf(1.0)
    y = (x * 2).sum()
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        grad(y, [x, other], retain_graph=True)
    g, none = grad(y, [x, other], allow_unused=True)
    assert g.tolist() == [2.0]
    assert none is None


def test_materialize_grads_gives_zeros_for_an_unused_input():
    x, other = leaf(1.0), leaf(1.0, 2.0)
    _, zeros = grad((x * 2).sum(), [x, other], materialize_grads=True)
    assert zeros.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="Expected allow_unused to be True"):
        grad((x * 2).sum(), x, allow_unused=False, materialize_grads=True)


def test_an_input_without_gradient_is_an_error():
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match="One of the differentiated Tensors does not require"):
        grad((x * 2).sum(), [x, cp.ones(1)])


def test_grad_frees_unless_it_is_told_to_retain():
    x = leaf(1.0)
    y = x.exp().sum()
    grad(y, x, retain_graph=True)
    grad(y, x)
    with pytest.raises(RuntimeError, match="second time"):
        grad(y, x)


def test_only_the_way_to_the_inputs_is_walked():
    """The op that was freed is not between the output and this input."""
    x, y = leaf(1.0), leaf(2.0)
    freed = y.exp()
    freed.sum().backward()
    (g,) = grad((x * 3 + freed).sum(), x)
    assert g.tolist() == [3.0]


def test_gradient_penalty_trains_through_a_gradient():
    """d/dw |d/dx (w x^2)|^2 = 8 w x^2."""
    w, x = leaf(0.5), leaf(3.0)
    (g,) = grad((w * x * x).sum(), x, create_graph=True)
    (g * g).sum().backward()
    assert w.grad.tolist() == [8 * 0.5 * 9.0]
