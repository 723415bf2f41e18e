"""Special functions against SciPy, and against what their formulas say at the edges."""

import math

import numpy as np
import pytest
from scipy import special

import clearprop as cp

X = np.array([0.3, 0.5, 0.9, 1.5, 2.7])


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("lgamma", special.gammaln), ("digamma", special.psi), ("erfc", special.erfc),
        ("exp2", np.exp2), ("i0", special.i0), ("sinc", np.sinc),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values(name, theirs, dtype):
    x = cp.tensor(X.astype(dtype))
    got = getattr(cp, name)(x)
    assert got.dtype is x.dtype
    np.testing.assert_allclose(got.numpy(), theirs(X), rtol=1e-6 if dtype == "float32" else 1e-14)
    np.testing.assert_array_equal(getattr(x, name)().numpy(), got.numpy())


def test_xlogy_is_zero_at_zero_unless_y_is_nan():
    x, y = cp.tensor([0.0, 0.0, 0.0, 2.0]), cp.tensor([0.0, -1.0, math.nan, 1.0])
    np.testing.assert_array_equal(cp.xlogy(x, y).numpy(), [0, 0, math.nan, 0])


def test_gradients_of_xlogy_at_zero():
    x = cp.tensor([0.0], requires_grad=True)
    y = cp.tensor([0.0], requires_grad=True)
    cp.xlogy(x, y).sum().backward()
    assert x.grad.item() == 0
    assert math.isnan(y.grad.item())


def test_logaddexp_does_not_overflow():
    assert cp.logaddexp(cp.tensor(1000.0), cp.tensor(1000.0)).item() == pytest.approx(1000.6931)
    assert cp.logaddexp2(cp.tensor(3.0), cp.tensor(3.0)).item() == 4.0


def test_erfinv_inverts_erf():
    x = cp.linspace(-0.9, 0.9, 7, dtype=cp.float64)
    np.testing.assert_allclose(cp.erf(cp.erfinv(x)).numpy(), x.numpy(), rtol=1e-12)


def test_log_ndtr_keeps_digits_where_ndtr_underflows():
    x = cp.tensor([-40.0, -1.0, 3.0], dtype=cp.float64, requires_grad=True)
    y = cp.special.log_ndtr(x)
    np.testing.assert_allclose(y.detach().numpy(), special.log_ndtr(x.detach().numpy()), rtol=1e-12)
    assert cp.autograd.gradcheck(cp.special.log_ndtr, x)


def test_mvlgamma_is_scipys():
    x = cp.tensor(X + 1, dtype=cp.float64)
    wanted = [special.multigammaln(v + 1, 3) for v in X]
    np.testing.assert_allclose(cp.mvlgamma(x, 3).numpy(), wanted)


def test_polygamma_of_negative_order_is_refused():
    with pytest.raises(RuntimeError, match="does not support negative n"):
        cp.polygamma(-1, cp.tensor([1.0]))


def test_integers_become_floats():
    assert cp.lgamma(cp.tensor([1, 2, 3])).dtype is cp.float32
    assert cp.xlogy(cp.tensor([1]), cp.tensor([2])).dtype is cp.float32


def test_logit_with_eps_has_no_gradient_outside():
    x = cp.tensor([0.01, 0.5], requires_grad=True)
    cp.logit(x, eps=0.1).sum().backward()
    assert x.grad.tolist() == [0.0, 4.0]
