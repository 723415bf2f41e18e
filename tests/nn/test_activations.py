"""Activations: options, in-place forms, and mistakes. Their numbers are compared with PyTorch's in
tests/oracle, their gradients in tests/contract.
"""

import inspect

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.nn import functional as F

INPLACE = [
    name
    for name in nn.__all__
    if "Dropout" not in name
    and inspect.isclass(getattr(nn, name))
    and issubclass(getattr(nn, name), nn.Module)
    and "inplace" in inspect.signature(getattr(nn, name)).parameters
]


def test_the_in_place_activations_are_those_of_pytorch():
    assert set(INPLACE) == set(
        "ReLU ReLU6 LeakyReLU ELU CELU SELU SiLU Mish Hardtanh Hardsigmoid Hardswish RReLU"
        " Threshold".split()
    )


@pytest.mark.parametrize("name", INPLACE)
def test_in_place_writes_over_the_input_and_has_the_same_gradient(name):
    values = [-2.0, -0.5, 0.3, 1.7]
    options = {"threshold": 0.1, "value": 5.0} if name == "Threshold" else {}
    found = []
    for inplace in (False, True):
        x = cp.tensor(values, dtype=cp.float64, requires_grad=True)
        hidden = x * 1.0
        y = getattr(nn, name)(**options, inplace=inplace).eval()(hidden)
        assert (y is hidden) == inplace
        (y * y).sum().backward()
        found.append((y.tolist(), x.grad.tolist()))
    assert found[0] == found[1]
    assert "inplace=True" in repr(getattr(nn, name)(**options, inplace=True))


def test_in_place_on_a_leaf_is_refused():
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        nn.ReLU(inplace=True)(cp.ones(2, requires_grad=True))


@pytest.mark.parametrize(
    ("f", "closed"),
    [
        (lambda x: F.leaky_relu(x, 0.3), lambda x: np.where(x > 0, x, 0.3 * x)),
        (lambda x: F.elu(x, 2.0), lambda x: np.where(x > 0, x, 2 * np.expm1(x))),
        (lambda x: F.celu(x, 2.0), lambda x: np.where(x > 0, x, 2 * np.expm1(x / 2))),
        (lambda x: F.softplus(x, 2.0), lambda x: np.logaddexp(0, 2 * x) / 2),
        (lambda x: F.hardtanh(x, -0.5, 2.0), lambda x: np.clip(x, -0.5, 2)),
        (F.relu6, lambda x: np.clip(x, 0, 6)),
        (F.silu, lambda x: x / (1 + np.exp(-x))),
        (F.mish, lambda x: x * np.tanh(np.logaddexp(0, x))),
        (F.logsigmoid, lambda x: -np.logaddexp(0, -x)),
        (F.hardsigmoid, lambda x: np.clip(x + 3, 0, 6) / 6),
        (F.hardswish, lambda x: x * np.clip(x + 3, 0, 6) / 6),
        (F.hardshrink, lambda x: np.where(np.abs(x) > 0.5, x, 0)),
        (lambda x: F.softshrink(x, 0.7), lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.7, 0)),
        (F.tanhshrink, lambda x: x - np.tanh(x)),
        (lambda x: F.threshold(x, 0.3, -9.0), lambda x: np.where(x > 0.3, x, -9)),
        (
            lambda x: F.prelu(x, cp.tensor([0.3], dtype=x.dtype)),
            lambda x: np.where(x > 0, x, 0.3 * x),
        ),
        (F.rrelu, lambda x: np.where(x > 0, x, x * (1 / 8 + 1 / 3) / 2)),
        (F.softsign, lambda x: x / (1 + np.abs(x))),
    ],
)
def test_values_follow_the_formula(f, closed):
    x = np.linspace(-7, 7, 57)
    np.testing.assert_allclose(f(cp.tensor(x)).numpy(), closed(x), rtol=1e-12, atol=1e-15)


def test_stable_where_the_plain_formula_overflows():
    x = cp.tensor([-1000.0, 1000.0])
    assert F.logsigmoid(x).tolist() == [-1000, 0]
    assert F.softplus(x).tolist() == [0, 1000]
    assert F.log_softmax(x, dim=0).tolist() == [-2000, 0]
    assert F.softmax(x, dim=0).tolist() == [0, 1]


@pytest.mark.parametrize("shape", [(), (2,), (2, 3), (2, 3, 4), (2, 3, 4, 5)])
def test_softmax_without_a_dim_warns_and_takes_pytorchs_choice(shape):
    x = cp.randn(*shape) if shape else cp.tensor(1.0)
    chosen = 0 if len(shape) in (0, 1, 3) else 1
    with pytest.warns(UserWarning, match=f"Implicit dimension choice.*dim={chosen} was") as seen:
        y = nn.Softmax()(x)
    assert seen[0].filename == __file__
    np.testing.assert_array_equal(y.numpy(), F.softmax(x, chosen).numpy())


def test_softmax_takes_a_type():
    assert F.softmax(cp.tensor([1, 2]), dim=0, dtype=cp.float64).dtype is cp.float64


@pytest.mark.parametrize("name", "leaky_relu elu celu selu softplus gelu silu mish".split())
def test_whole_numbers_are_refused(name):
    with pytest.raises(NotImplementedError, match=rf"{name}: .*not implemented for i64\[2\]; use"):
        getattr(F, name)(cp.tensor([1, 2]))


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(RuntimeError, match="approximate argument must be either none or tanh"):
        F.gelu(cp.ones(1), "erf")
    with pytest.raises(ValueError, match="max_val -1 must be larger than min_val 1"):
        nn.Hardtanh(1, -1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'slope'"):
        nn.LeakyReLU(slope=0.2)
