"""Feature transforms φ(x)."""

import math

import numpy as np
import pytest
from sklearn.preprocessing import PolynomialFeatures

import clearprop as cp
from clearprop.data.transforms import (
    RBF,
    Compose,
    Fourier,
    OneHot,
    Polynomial,
    Sine,
    Standardize,
)
from clearprop.errors import DataError, ShapeError

ROWS = np.random.default_rng(0).normal(size=(20, 3))
ALL = [
    Polynomial(3),
    Polynomial(2, include_bias=True, interaction_only=True),
    Fourier(3, period=2.5, include_bias=True),
    Sine([1.0, 2.5], keep=True),
    RBF(ROWS[:4]),
    RBF(k=5, seed=1).fit(ROWS),
    Standardize().fit(ROWS + 3),
    Compose([Standardize(), Polynomial(2), RBF(k=3)]).fit(ROWS),
]
IDS = [f"{i} {type(t).__name__}" for i, t in enumerate(ALL)]


@pytest.mark.parametrize("phi", ALL, ids=IDS)
def test_tensors_and_arrays_give_the_same(phi):
    from_array = phi(ROWS)
    from_tensor = phi(cp.from_numpy(ROWS))
    assert isinstance(from_array, np.ndarray)
    assert isinstance(from_tensor, cp.Tensor)
    assert from_array.dtype == np.float64
    assert np.array_equal(from_array, from_tensor.numpy())


@pytest.mark.parametrize("phi", ALL, ids=IDS)
def test_width_is_what_comes_out(phi):
    assert phi(ROWS).shape == (20, phi.width(3))


@pytest.mark.parametrize("phi", ALL, ids=IDS)
def test_leading_dimensions_are_kept(phi):
    deep = phi(ROWS.reshape(2, 10, 3))
    assert deep.shape == (2, 10, phi.width(3))
    assert np.allclose(deep.reshape(20, -1), phi(ROWS), rtol=1e-14)


@pytest.mark.parametrize("phi", ALL, ids=IDS)
def test_float32_stays_float32(phi):
    assert phi(ROWS.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("phi", ALL, ids=IDS)
def test_derivative_with_respect_to_x(phi):
    direction = np.random.default_rng(1).normal(size=ROWS.shape)
    weight = cp.from_numpy(np.random.default_rng(2).normal(size=phi(ROWS).shape))
    x = cp.tensor(ROWS, requires_grad=True)
    (phi(x) * weight).sum().backward()
    h = 1e-6
    moved = ((phi(ROWS + h * direction) - phi(ROWS - h * direction)) / (2 * h)) * weight.numpy()
    assert math.isclose((x.grad.numpy() * direction).sum(), moved.sum(), rel_tol=1e-6)


@pytest.mark.parametrize("phi", [Polynomial(2), Fourier(1), Sine(), RBF(np.zeros((2, 1)))])
def test_whole_numbers_become_float32(phi):
    assert phi(np.array([[1], [2]])).dtype == np.float32


@pytest.mark.parametrize("phi", ALL, ids=IDS)
def test_a_number_has_no_features(phi):
    with pytest.raises(ShapeError, match="x has no dimensions"):
        phi(np.array(1.0))


def test_a_list_is_refused():
    with pytest.raises(TypeError, match="Polynomial: got a list, wanted a Tensor or an array"):
        Polynomial(2)([[1.0]])


# ---------------------------------------------------------------------- polynomial
@pytest.mark.parametrize("inputs", [1, 2, 4])
@pytest.mark.parametrize("degree", [1, 2, 3, 5])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("interaction", [False, True])
def test_polynomial_is_scikit_learns(inputs, degree, bias, interaction):
    x = ROWS[:, :1].repeat(inputs, axis=1) + np.arange(inputs)
    theirs = PolynomialFeatures(degree, include_bias=bias, interaction_only=interaction)
    ours = Polynomial(degree, include_bias=bias, interaction_only=interaction)
    assert np.allclose(ours(x), theirs.fit_transform(x), rtol=1e-12)
    assert ours.width(inputs) == theirs.n_output_features_


def test_polynomial_of_degree_0_raises():
    with pytest.raises(ValueError, match="degree is 0"):
        Polynomial(0)


# ---------------------------------------------------------------------- waves
def test_fourier_is_its_formula():
    x = ROWS[:, :2]
    got = Fourier(2, period=3.0)(x)
    want = [f(2 * np.pi * k * x / 3) for k in (1, 2) for f in (np.sin, np.cos)]
    assert np.allclose(got, np.concatenate(want, axis=1), rtol=1e-13)


def test_sine_is_its_formula():
    assert np.allclose(Sine([2.0])(ROWS), np.sin(2 * ROWS), rtol=1e-14)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Fourier(0), "order is 0"),
        (lambda: Fourier(1, period=0), "period is 0"),
        (lambda: Sine([]), "no frequencies"),
        (lambda: RBF(), "either centers or k"),
        (lambda: RBF(ROWS, k=2), "either centers or k"),
        (lambda: RBF(k=0), "k is 0"),
        (lambda: RBF(k=1, width=-1.0), "width is -1"),
    ],
)
def test_wrong_options_raise(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# ---------------------------------------------------------------------- bumps
def test_rbf_is_its_formula():
    centers = ROWS[:4]
    got = RBF(centers, width=0.7)(ROWS)
    away = ((ROWS[:, None] - centers) ** 2).sum(axis=2)
    assert np.allclose(got, np.exp(-away / (2 * 0.7**2)), rtol=1e-13)


def test_rbf_chooses_different_rows():
    phi = RBF(k=8, seed=3).fit(ROWS)
    assert len({tuple(c) for c in phi.centers} & {tuple(r) for r in ROWS}) == 8
    assert np.array_equal(phi.centers, RBF(k=8, seed=3).fit(ROWS).centers)
    assert not np.array_equal(phi.centers, RBF(k=8, seed=4).fit(ROWS).centers)


def test_rbf_centers_spread_over_clusters():
    rows = np.concatenate([ROWS[:, :2] * 0.01 + c for c in ((0, 0), (9, 0), (0, 9))])
    centers = RBF(k=3, seed=0).fit(rows).centers
    assert len({tuple(np.round(c / 9).astype(int)) for c in centers}) == 3


def test_rbf_default_width():
    centers = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert math.isclose(RBF(centers).bump_width, 5 / math.sqrt(4))


@pytest.mark.parametrize("rows", [ROWS, np.ones((3, 2))])
def test_rbf_with_one_center_has_a_width(rows):
    phi = RBF(k=1).fit(rows)
    assert phi.bump_width > 0
    assert np.isfinite(phi(rows)).all()


def test_rbf_with_more_centers_than_rows_raises():
    with pytest.raises(DataError, match="k is 3, but there are only 1 different rows"):
        RBF(k=3).fit(np.ones((5, 2)))


def test_rbf_must_be_fitted_and_fit():
    with pytest.raises(ValueError, match=r"RBF: call fit\(x\) first"):
        RBF(k=3)(ROWS)
    with pytest.raises(ShapeError, match=r"RBF: x is f64\[20,3\], the centres have 2 entries"):
        RBF(ROWS[:, :2])(ROWS)


# ---------------------------------------------------------------------- by the data
def test_standardize_gives_mean_0_and_deviation_1():
    z = Standardize().fit(rows := ROWS * (1, 10, 100) + (5, -3, 1e4))(rows)
    assert np.allclose(z.mean(axis=0), 0, atol=1e-12)
    assert np.allclose(z.std(axis=0), 1, rtol=1e-12)


def test_standardize_of_a_constant_is_0():
    rows = np.array([[0.1, 1.0]] * 3 + [[0.1, 2.0]])
    assert np.array_equal(np.abs(Standardize().fit(rows)(rows)[:, 0]) < 1e-15, [True] * 4)


@pytest.mark.parametrize("wrap", [np.asarray, cp.from_numpy])
def test_standardize_inverse_gives_x_back(wrap):
    t = Standardize().fit(ROWS)
    back = t.inverse(t(wrap(ROWS)))
    assert type(back) is type(wrap(ROWS))
    assert np.allclose(np.asarray(back), ROWS, rtol=1e-12)


def test_standardize_must_be_fitted_and_fit():
    with pytest.raises(ValueError, match="Standardize: call fit"):
        Standardize()(ROWS)
    with pytest.raises(ShapeError, match=r"f64\[20,2\], fit saw rows with 3 entries"):
        Standardize().fit(ROWS)(ROWS[:, :2])


@pytest.mark.parametrize("learns", [Standardize(), RBF(k=2)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_fit_names_a_row_that_is_not_finite(learns, value):
    rows = ROWS.copy()
    rows[7, 1] = value
    with pytest.raises(DataError, match=r"row 7 \(from 0\)"):
        learns.fit(rows)


@pytest.mark.parametrize("rows", [np.zeros((0, 3)), np.zeros(3)])
def test_fit_wants_rows(rows):
    with pytest.raises(ShapeError, match="wanted rows"):
        Standardize().fit(rows)


@pytest.mark.parametrize("wrap", [np.asarray, cp.from_numpy])
def test_one_hot_learns_the_values(wrap):
    phi = OneHot().fit(wrap(np.array([5, 3, 5, 9])))
    assert np.asarray(phi(wrap(np.array([[9], [3]])))).tolist() == [[[0, 0, 1]], [[1, 0, 0]]]
    assert phi.width() == 3


@pytest.mark.parametrize("value", [4, 10, -1])
def test_one_hot_of_an_unknown_value_raises(value):
    with pytest.raises(DataError, match=f"OneHot: {value} at position 1 is none of the 3 known"):
        OneHot([3, 5, 9])(np.array([3, value]))


def test_one_hot_of_fractions_raises():
    with pytest.raises(DataError, match="not whole numbers"):
        OneHot([0, 1])(np.array([0.5]))
    assert OneHot([0, 1])(np.array([1.0])).tolist() == [[0.0, 1.0]]


def test_one_hot_must_be_fitted():
    with pytest.raises(ValueError, match="OneHot: call fit"):
        OneHot()(np.array([1]))


def test_compose_fits_each_on_what_comes_before():
    second = Standardize()
    Compose([Polynomial(2), second]).fit(ROWS)
    assert np.allclose(second.mean, Polynomial(2)(ROWS).mean(axis=0))


def test_a_linear_model_on_features_fits_a_curve():
    x = np.linspace(-3, 3, 50)[:, None]
    features = Fourier(2, include_bias=True)(x)
    y = 2 * np.sin(x) - np.cos(2 * x) + 0.5
    weights = np.linalg.lstsq(features, y, rcond=None)[0]
    assert np.allclose(features @ weights, y, atol=1e-12)


def test_rbf_given_a_number_says_that_k_was_meant():
    with pytest.raises(ValueError, match=r"RBF\(k=40\)"):
        RBF(40)
