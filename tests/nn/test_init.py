"""nn.init: distributions, bounds, generators and mistakes. The numbers are compared with PyTorch's
in tests/oracle.
"""

import math
from fractions import Fraction

import numpy as np
import pytest

import clearprop as cp
from clearprop.nn import init

SHAPE = (200, 100)
RANDOM = [name for name in init.__all__ if name not in
          {"calculate_gain", "constant_", "ones_", "zeros_", "eye_", "dirac_"}]  # fmt: skip
OPTIONS = {"sparse_": {"sparsity": 0.25}}


def drawn(name, **options):
    w = cp.empty(*SHAPE)
    assert getattr(init, name)(w, **OPTIONS.get(name, {}), **options) is w
    return w.numpy()


@pytest.mark.parametrize(
    ("name", "options", "bound"),
    [
        ("uniform_", {"a": -3.0, "b": 3.0}, 3),
        ("xavier_uniform_", {}, math.sqrt(6 / 300)),
        ("xavier_uniform_", {"gain": 2.0}, 2 * math.sqrt(6 / 300)),
        ("kaiming_uniform_", {}, math.sqrt(6 / 100)),
        ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "linear"}, math.sqrt(3 / 200)),
        ("kaiming_uniform_", {"a": math.sqrt(5)}, 1 / 10),
    ],
)
def test_uniform_numbers_fill_their_interval(name, options, bound):
    w = drawn(name, **options)
    assert 0.99 * bound < np.abs(w).max() <= bound * (1 + 1e-6)
    # a uniform distribution; three standard deviations of the estimate
    assert abs(w.std() / (bound / math.sqrt(3)) - 1) < 3 / math.sqrt(2 * w.size)
    assert abs(w.mean()) < 3 * bound / math.sqrt(3 * w.size)


@pytest.mark.parametrize(
    ("name", "options", "std"),
    [
        ("normal_", {"std": 0.5}, 0.5),
        ("xavier_normal_", {}, math.sqrt(2 / 300)),
        ("kaiming_normal_", {"nonlinearity": "relu"}, math.sqrt(2 / 100)),
        ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "tanh"}, 5 / 3 / math.sqrt(200)),
    ],
)
def test_normal_numbers_have_their_deviation(name, options, std):
    w = drawn(name, **options)
    assert abs(w.std() / std - 1) < 3 / math.sqrt(2 * w.size)
    assert abs(w.mean()) < 3 * std / math.sqrt(w.size)


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"), [(0, 1, -2, 2), (0, 0.02, -2, 2), (1, 2, 0, 0.5), (0, 1, 3, 4)]
)
@pytest.mark.filterwarnings("ignore:trunc_normal_")
def test_truncated_normal_numbers_have_the_truncated_distribution(mean, std, a, b):
    w = drawn("trunc_normal_", mean=mean, std=std, a=a, b=b).astype(float).ravel()
    assert a <= w.min() and w.max() <= b
    grid = np.linspace(max(a, mean - 4 * std), min(b, mean + 4 * std), 9)[1:-1]
    below = [0.5 * (1 + math.erf((x - mean) / std / math.sqrt(2))) for x in (a, *grid, b)]
    expected = (np.array(below[1:-1]) - below[0]) / (below[-1] - below[0])
    found = [(w < x).mean() for x in grid]
    # Kolmogorov-Smirnov at a risk of about one in 10,000, with a fixed seed
    assert np.abs(found - expected).max() < 2.2 / math.sqrt(w.size)


def test_a_mean_far_outside_is_warned_about():
    with pytest.warns(UserWarning, match="mean is more than 2 std from") as seen:
        init.trunc_normal_(cp.empty(3), mean=5.0)
    assert seen[0].filename == __file__


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (5, 2, 3)])
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_orthogonal_rows_or_columns(shape, gain):
    w = init.orthogonal_(cp.empty(*shape, dtype=cp.float64), gain=gain).numpy()
    w = w.reshape(shape[0], -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), atol=1e-12)


def test_sparse_columns_have_their_zeros():
    assert ((drawn("sparse_") == 0).sum(0) == 50).all()


def test_fixed_values():
    assert init.constant_(cp.empty(2), 0.5).tolist() == [0.5, 0.5]
    assert init.ones_(cp.empty(2)).tolist() == [1, 1]
    assert init.zeros_(cp.ones(2)).tolist() == [0, 0]
    assert init.eye_(cp.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


# (sparse_ draws its zeros from the default generator, as in PyTorch)
@pytest.mark.parametrize("name", [name for name in RANDOM if name != "sparse_"])
def test_a_generator_of_ones_own_repeats_and_does_not_touch_the_default(name):
    before = cp.default_generator.get_state().tolist()
    first = drawn(name, generator=cp.Generator().manual_seed(3))
    again = drawn(name, generator=cp.Generator().manual_seed(3))
    np.testing.assert_array_equal(first, again)
    assert cp.default_generator.get_state().tolist() == before


@pytest.mark.parametrize("name", RANDOM)
def test_parameters_stay_parameters_and_nothing_is_recorded(name):
    p = cp.nn.Parameter(cp.empty(4, 3))
    getattr(init, name)(p, **OPTIONS.get(name, {}))
    assert p.is_leaf and p.requires_grad and p.grad is None


@pytest.mark.parametrize(
    ("nonlinearity", "param", "gain"),
    [
        ("linear", None, 1),
        ("conv2d", None, 1),
        ("sigmoid", None, 1),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("leaky_relu", None, math.sqrt(2 / (1 + 0.01**2))),
        ("leaky_relu", 0.5, math.sqrt(1.6)),
        ("selu", None, 0.75),
    ],
)
def test_gains(nonlinearity, param, gain):
    assert init.calculate_gain(nonlinearity, param) == pytest.approx(gain, rel=1e-15)


def test_mistakes_are_told():
    w = cp.empty(3)
    with pytest.raises(ValueError, match="Unsupported nonlinearity rellu; did you mean 'relu'"):
        init.calculate_gain("rellu")
    with pytest.raises(ValueError, match="negative_slope True not a valid number"):
        init.calculate_gain("leaky_relu", True)
    for name in ("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"):
        with pytest.raises(ValueError, match=rf"{name}: Fan in and fan out can not be .* f32\[3\]"):
            getattr(init, name)(w)
    with pytest.raises(ValueError, match="Mode fan not supported, please use one of"):
        init.kaiming_uniform_(cp.empty(2, 2), mode="fan")
    with pytest.raises(ValueError, match="eye_: Only tensors with 2 dimensions"):
        init.eye_(w)
    with pytest.raises(ValueError, match="sparse_: Only tensors with 2 dimensions"):
        init.sparse_(w, 0.5)
    with pytest.raises(ValueError, match="orthogonal_: Only tensors with 2 or more"):
        init.orthogonal_(w)


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
def test_an_empty_tensor_is_left_alone_with_a_warning(name):
    with pytest.warns(UserWarning, match="zero-element tensors is a no-op"):
        assert getattr(init, name)(cp.empty(3, 0)).shape == (3, 0)


@pytest.mark.parametrize(("a", "b"), [(-3.0, 0.7), (0.1, 0.3), (-1e-3, 1e-3), (1e6, 1e6 + 1)])
def test_uniform_float64_numbers_are_rounded_once(a, b):
    cp.manual_seed(5)
    units = cp.rand(500, dtype=cp.float64).tolist()
    cp.manual_seed(5)
    found = init.uniform_(cp.empty(500, dtype=cp.float64), a, b).tolist()
    span, low = Fraction(b - a), Fraction(a)
    assert found == [float(Fraction(u) * span + low) for u in units]
