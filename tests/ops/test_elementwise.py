"""Elementwise functions at the values where a choice had to be made: kinks, zeros, inf and nan."""

import numpy as np
import pytest

import clearprop as cp

INF, NAN = float("inf"), float("nan")


def value_and_slope(f, *points):
    """f at the points, and its derivative there for each argument."""
    xs = [cp.tensor(p, dtype=cp.float64, requires_grad=True) for p in points]
    with np.errstate(all="ignore"):
        y = f(*xs)
        y.backward()
    return [y.item(), *(x.grad.item() for x in xs)]


# fmt: off
ONE_ARGUMENT = [
    ("relu", 0.0, 0, 0), ("relu", -0.0, 0, 0), ("relu", NAN, NAN, 1), ("relu", 2.0, 2, 1),
    ("relu", -INF, 0, 0), ("relu", INF, INF, 1),
    ("abs", 0.0, 0, 0), ("abs", -2.0, 2, -1), ("abs", INF, INF, 1),
    ("sign", 0.0, 0, 0), ("sign", -3.0, -1, 0), ("sign", NAN, 0, 0),
    ("floor", -0.5, -1, 0), ("ceil", -1.5, -1, 0), ("trunc", -1.5, -1, 0),
    ("round", 0.5, 0, 0), ("round", 1.5, 2, 0), ("round", 2.5, 2, 0), ("round", -0.5, 0, 0),
    ("sqrt", 0.0, 0, INF), ("sqrt", -1.0, NAN, NAN), ("sqrt", 4.0, 2, 0.25),
    ("rsqrt", 0.0, INF, -INF), ("rsqrt", 4.0, 0.5, -1 / 16),
    ("log", 0.0, -INF, INF), ("log", -1.0, NAN, -1), ("log", 2.0, np.log(2), 0.5),
    ("reciprocal", 0.0, INF, -INF), ("reciprocal", 4.0, 0.25, -1 / 16),
    ("exp", -INF, 0, 0), ("exp", 1000.0, INF, INF), ("exp", NAN, NAN, NAN),
    ("log1p", 1e-20, 1e-20, 1), ("expm1", 1e-20, 1e-20, 1), ("log1p", -1.0, -INF, INF),
    ("sigmoid", 1000.0, 1, 0), ("sigmoid", -1000.0, 0, 0), ("sigmoid", 0.0, 0.5, 0.25),
    ("tanh", 1000.0, 1, 0), ("tanh", -1000.0, -1, 0), ("tanh", 0.0, 0, 1),
    ("asin", 1.0, np.pi / 2, INF), ("acos", 1.0, 0, -INF), ("square", -3.0, 9, -6),
    ("nan_to_num", NAN, 0, 0), ("nan_to_num", INF, np.finfo(float).max, 0),
    ("erf", 0.0, 0, 2 / np.sqrt(np.pi)), ("erf", INF, 1, 0),
]
# fmt: on


@pytest.mark.parametrize(("name", "x", "value", "slope"), ONE_ARGUMENT)
def test_value_and_slope_at_a_special_point(name, x, value, slope):
    got = value_and_slope(getattr(cp, name), x)
    np.testing.assert_allclose(got, [value, slope], rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize(
    ("x", "value", "slope"),
    [(-1.0, -1, 1), (1.0, 1, 1), (0.5, 0.5, 1), (-1.1, -1, 0), (1.1, 1, 0), (NAN, NAN, 0)],
)
def test_clamp_passes_the_gradient_at_its_bounds(x, value, slope):
    np.testing.assert_equal(value_and_slope(lambda t: cp.clamp(t, -1, 1), x), [value, slope])


def test_clamp_with_one_bound_or_crossed_ones():
    x = cp.tensor([-2.0, 0.0, 2.0])
    assert cp.clamp(x, min=-1).tolist() == [-1, 0, 2]
    assert cp.clamp(x, max=1).tolist() == [-2, 0, 1]
    assert cp.clamp(x, 1, -1).tolist() == [-1, -1, -1]
    with pytest.raises((RuntimeError, ValueError), match="clamp"):
        cp.clamp(x)


def test_clamp_with_tensor_bounds_gives_an_equal_bound_nothing():
    x = cp.tensor([1.0, 0.0, 5.0], requires_grad=True)
    lo = cp.tensor([1.0, 1.0, 1.0], requires_grad=True)
    cp.clamp(x, lo).sum().backward()
    assert x.grad.tolist() == [1, 0, 1]
    assert lo.grad.tolist() == [0, 1, 0]


# fmt: off
TWO_ARGUMENTS = [
    (cp.maximum, 1.0, 1.0, 1, 0.5, 0.5), (cp.maximum, 2.0, 1.0, 2, 1, 0),
    (cp.minimum, 1.0, 1.0, 1, 0.5, 0.5), (cp.minimum, 2.0, 1.0, 1, 0, 1),
    (cp.atan2, 0.0, 0.0, 0, 0, 0), (cp.atan2, 1.0, 0.0, np.pi / 2, 0, -1),
    (cp.pow, 0.0, 0.0, 1, 0, 0), (cp.pow, 0.0, 2.0, 0, 0, 0), (cp.pow, 2.0, 0.0, 1, 0, np.log(2)),
    (cp.pow, 0.0, -1.0, INF, -INF, -INF), (cp.pow, -2.0, 2.0, 4, -4, NAN),
    (cp.div, 1.0, 0.0, INF, INF, -INF), (cp.div, 0.0, 0.0, NAN, INF, NAN),
    (cp.remainder, -7.0, 2.0, 1, 1, 4), (cp.fmod, -7.0, 2.0, -1, 1, 3),
]
# fmt: on


@pytest.mark.parametrize(("f", "x", "y", "value", "slope_x", "slope_y"), TWO_ARGUMENTS)
def test_two_arguments_at_a_special_point(f, x, y, value, slope_x, slope_y):
    got = value_and_slope(f, x, y)
    np.testing.assert_allclose(got, [value, slope_x, slope_y], rtol=1e-14)


@pytest.mark.parametrize("f", [cp.maximum, cp.minimum])
@pytest.mark.parametrize(("x", "y"), [(NAN, 1.0), (1.0, NAN)])
def test_maximum_and_minimum_pass_nan_on(f, x, y):
    assert np.isnan(value_and_slope(f, x, y)[0])


@pytest.mark.parametrize(
    ("x", "exponent", "value", "slope"),
    [
        (0.0, 0, 1, 0),
        (5.0, 0, 1, 0),
        (NAN, 0, 1, 0),
        (0.0, 1, 0, 1),
        (0.0, 2, 0, 0),
        (-3.0, 2, 9, -6),
        (-2.0, 3, -8, 12),
        (0.0, 0.5, 0, INF),
        (0.0, -1, INF, -INF),
        (-2.0, 0.5, NAN, NAN),
    ],
)
def test_powers_of_a_fixed_number(x, exponent, value, slope):
    got = value_and_slope(lambda t: t**exponent, x)
    np.testing.assert_allclose(got, [value, slope], rtol=1e-14)


def test_a_number_to_the_power_of_a_tensor():
    np.testing.assert_allclose(value_and_slope(lambda t: 2.0**t, 3.0), [8, 8 * np.log(2)])
    np.testing.assert_allclose(value_and_slope(lambda t: 0.0**t, 3.0), [0, 0])


def test_where_does_not_hide_a_nan_of_the_other_branch():
    x = cp.tensor([0.0, 4.0, -1.0], requires_grad=True)
    with np.errstate(all="ignore"):
        cp.where(x > 0, cp.sqrt(x), x).sum().backward()
    np.testing.assert_equal(x.grad.tolist(), [NAN, 0.25, NAN])


def test_where_inside_and_outside_is_clean():
    x = cp.tensor([-1.0, 4.0], requires_grad=True)
    safe = cp.where(x > 0, x, 1.0)
    cp.where(x > 0, cp.sqrt(safe), x).sum().backward()
    assert x.grad.tolist() == [1, 0.25]


def test_sqrt_of_a_square_has_no_gradient_at_zero():
    with np.errstate(all="ignore"):
        assert np.isnan(value_and_slope(lambda t: cp.sqrt(t * t), 0.0)[1])


def test_masked_fill_gives_the_mask_no_gradient():
    x = cp.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x.masked_fill(cp.tensor([True, False, True]), -INF)
    assert y.tolist() == [-INF, 2, -INF]
    y.sum().backward()
    assert x.grad.tolist() == [0, 1, 0]


@pytest.mark.parametrize("name", ["floor", "ceil", "round", "trunc", "sign"])
def test_a_step_has_a_gradient_of_zero_not_none(name):
    x = cp.tensor([0.3, -1.7], requires_grad=True)
    getattr(cp, name)(x).sum().backward()
    assert x.grad.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (cp.isnan, [False, True, False]),
        (cp.isinf, [False, False, True]),
        (cp.isfinite, [True, False, False]),
        (cp.logical_not, [True, False, False]),
    ],
)
def test_questions_about_elements(f, expected):
    assert f(cp.tensor([0.0, NAN, -INF])).tolist() == expected


def test_bits():
    x, y = cp.tensor([6, 5]), cp.tensor([3, 1])
    assert [(x & y).tolist(), (x | y).tolist(), (x ^ y).tolist()] == [[2, 1], [7, 5], [5, 4]]
    assert (~cp.tensor([True, False])).tolist() == [False, True]
    assert (~x).tolist() == [-7, -6]
    with pytest.raises(NotImplementedError, match="bitwise_and"):
        cp.ones(1) & cp.ones(1)


def test_lerp_is_a_weighted_mean_with_three_gradients():
    assert value_and_slope(cp.lerp, 1.0, 5.0, 0.25) == [2, 0.75, 0.25, 4]


def test_functions_keep_special_shapes():
    for shape in [(), (0,), (2, 0, 3), (1, 1)]:
        assert cp.exp(cp.zeros(shape)).shape == shape


def test_functions_of_strided_views():
    x = cp.arange(12.0).reshape(3, 4)
    for view in (x.t(), x[::2], x[:, 1:3], x.t()[1:]):
        np.testing.assert_array_equal(cp.square(view).numpy(), view.numpy() ** 2)
