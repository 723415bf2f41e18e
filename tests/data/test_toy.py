"""The toy sets."""

import numpy as np
import pytest

import clearprop as cp
from clearprop.data import toy

CLASSES = ("circle", "xor", "gauss", "spiral", "moons")
VALUES = ("plane", "multi-gauss")


def points(name, *args, **kwargs):
    x, y = toy.TOY_SETS[name](*args, **kwargs)
    return x.numpy(), y.numpy()


def test_every_set_is_in_one_of_the_lists():
    assert set(CLASSES) | set(VALUES) == set(toy.TOY_SETS)


@pytest.mark.parametrize("name", toy.TOY_SETS)
@pytest.mark.parametrize("n", [1, 2, 7, 300])
def test_shapes_and_types(name, n):
    x, y = toy.TOY_SETS[name](n, 0.1, 3)
    assert (x.shape, x.dtype) == ((n, 2), cp.float32)
    assert (y.shape, y.dtype) == (((n,), cp.int64) if name in CLASSES else ((n, 1), cp.float32))
    assert np.isfinite(x.numpy()).all()


@pytest.mark.parametrize("name", toy.TOY_SETS)
def test_a_seed_fixes_the_points(name):
    a, b, c = points(name, seed=4), points(name, seed=4), points(name, seed=5)
    assert np.array_equal(a[0], b[0])
    assert np.array_equal(a[1], b[1])
    assert not np.array_equal(a[0], c[0])


@pytest.mark.parametrize("name", toy.TOY_SETS)
def test_a_set_leaves_the_default_generator_alone(name):
    cp.manual_seed(0)
    want = cp.rand(3).tolist()
    cp.manual_seed(0)
    points(name)
    assert cp.rand(3).tolist() == want


@pytest.mark.parametrize("name", CLASSES)
def test_both_classes_appear_in_every_part(name):
    _, y = points(name, 400)
    assert set(y[:100]) == set(y[300:]) == {0, 1}
    assert 0.35 < y.mean() < 0.65


@pytest.mark.parametrize("name", toy.TOY_SETS)
def test_points_stay_in_the_picture(name):
    x, _ = points(name, 1000)
    assert np.abs(x).max() < 6.01


def test_circle_without_noise_is_a_disc_in_a_ring():
    x, y = points("circle", 1000)
    r = np.hypot(*x.T)
    assert r[y == 1].max() <= 2.5
    assert r[y == 0].min() >= 3.5


def test_circle_noise_changes_classes_and_not_points():
    (x, y), (noisy_x, noisy_y) = points("circle", 500), points("circle", 500, 0.5)
    assert np.array_equal(x, noisy_x)
    assert 0.02 < (y != noisy_y).mean() < 0.5


def test_xor_without_noise_is_the_sign_of_the_product():
    x, y = points("xor", 1000)
    assert np.array_equal(y, (x.prod(axis=1) > 0).astype(int))
    assert np.abs(x).min() >= 0.3


def test_gauss_has_the_variance_it_says():
    x, y = points("gauss", 20_000, 0.1)
    assert np.allclose(x[y == 1].mean(axis=0), 2, atol=0.05)
    assert np.allclose(x[y == 0].var(axis=0), 0.5 + 0.7, atol=0.06)


def test_spiral_arms_are_half_a_turn_apart():
    x, y = points("spiral", 500)
    arm = {tuple(p) for p in np.round(x[y == 1], 3)}
    turned = {tuple(p + 0.0) for p in np.round(-x[y == 0], 3)}
    assert len(arm & turned) > 240


def test_moons_are_half_circles():
    x, y = points("moons", 500)
    upper = x[y == 0] - np.array([-1.5, -0.75])
    assert np.allclose(np.hypot(*upper.T), 3, atol=1e-5)
    assert upper[:, 1].min() >= 0


def test_plane_is_a_plane():
    x, y = points("plane", 100)
    assert np.allclose(y[:, 0], x.sum(axis=1) / 10, atol=1e-6)


def test_multi_gauss_has_six_bumps():
    x, y = points("multi-gauss", 20_000)
    near = np.hypot(*(x - (4, 2.5)).T) < 0.2
    between = np.hypot(*(x - (-2, 0)).T) < 0.2
    assert y[near].min() > 0.85
    assert np.abs(y[between]).max() == 0
    assert y.min() < -0.9


@pytest.mark.parametrize("noise", [-0.1, float("nan"), float("inf")])
def test_wrong_noise_raises(noise):
    with pytest.raises(ValueError, match=r"toy.moons: noise is"):
        toy.moons(10, noise)


def test_no_points_raise():
    with pytest.raises(ValueError, match=r"toy.xor: n is 0"):
        toy.xor(0)
