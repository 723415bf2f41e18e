"""Sums, means, extremes and their relatives: axes, names, ties, empty tensors."""

import inspect

import numpy as np
import pytest

import clearprop as cp

X = np.random.default_rng(0).normal(size=(2, 3, 4))

# with keepdim
REDUCING = {
    "sum": np.sum,
    "prod": np.prod,
    "mean": np.mean,
    "amax": np.max,
    "amin": np.min,
    "any": np.any,
    "all": np.all,
    "var": lambda a, **k: np.var(a, ddof=1, **k),
    "std": lambda a, **k: np.std(a, ddof=1, **k),
    "norm": lambda a, **k: np.sqrt(np.sum(a * a, **k)),
    "nansum": np.nansum,
    "nanmean": np.nanmean,
    "logsumexp": lambda a, **k: np.log(np.sum(np.exp(a), **k)),
    "argmax": np.argmax,
    "argmin": np.argmin,
    "max": np.max,
    "min": np.min,
}
SEVERAL = [n for n in REDUCING if n not in ("argmax", "argmin", "max", "min", "prod")]
ALONG = {"cumsum": np.cumsum, "cumprod": np.cumprod, "count_nonzero": np.count_nonzero}


def values(out):
    """The tensor of (values, indices), too."""
    return (out if isinstance(out, cp.Tensor) else out[0]).numpy()


@pytest.mark.parametrize("name", REDUCING)
@pytest.mark.parametrize("dim", [0, 1, -1, -3])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("names", [("dim", "keepdim"), ("axis", "keepdims")])
@pytest.mark.parametrize("method", [False, True])
def test_every_reduction_takes_both_pairs_of_names(name, dim, keep, names, method):
    x = cp.tensor(X)
    options = dict(zip(names, (dim, keep), strict=True))
    out = getattr(x, name)(**options) if method else getattr(cp, name)(x, **options)
    wanted = REDUCING[name](X, axis=dim, keepdims=keep)
    np.testing.assert_allclose(values(out), wanted, rtol=1e-12)


@pytest.mark.parametrize("name", ALONG)
@pytest.mark.parametrize("word", ["dim", "axis"])
def test_what_runs_along_an_axis_takes_both_names(name, word):
    out = getattr(cp, name)(cp.tensor(X), **{word: 1})
    np.testing.assert_allclose(out.numpy(), ALONG[name](X, axis=1), rtol=1e-12)


def test_no_public_function_with_keepdim_is_missing_here():
    found = set()
    for name in cp.ops.NAMES:
        f = getattr(cp, name)
        try:
            names = inspect.signature(f).parameters
        except (TypeError, ValueError):
            continue
        if "keepdim" in names:
            found.add(name)
    others = "aminmax kthvalue median mode nanmedian nanquantile quantile std_mean var_mean"
    assert found - set(REDUCING) <= set(others.split())  # test_sorting.py, test_statistics.py


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("dims", [(0, 2), (-1, 0), (0, 1, 2)])
def test_several_axes(name, dims):
    out = getattr(cp, name)(cp.tensor(X), dim=dims)
    np.testing.assert_allclose(out.numpy(), REDUCING[name](X, axis=dims), rtol=1e-12)


@pytest.mark.parametrize("name", [n for n in REDUCING if n != "logsumexp"])
def test_over_everything(name):
    out = getattr(cp, name)(cp.tensor(X))
    assert out.shape == ()
    np.testing.assert_allclose(out.numpy(), REDUCING[name](X, axis=None), rtol=1e-12)


@pytest.mark.parametrize("name", REDUCING)
@pytest.mark.parametrize("dim", [3, -4])
def test_an_axis_that_is_not_there(name, dim):
    with pytest.raises(IndexError, match=r"Dimension out of range \(expected to be in range of"):
        getattr(cp, name)(cp.tensor(X), dim=dim)


def test_both_names_at_once_are_refused():
    with pytest.raises(TypeError, match="got both dim= and axis="):
        cp.sum(cp.ones(2), dim=0, axis=0)


def test_an_axis_named_twice_is_refused():
    with pytest.raises(RuntimeError, match="appears multiple times in the list of dims"):
        cp.ones(2, 3).sum((0, -2))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("sum", 0), ("prod", 1), ("any", False), ("all", True), ("logsumexp", None)],
)
def test_an_empty_axis_gives_the_neutral_element(name, wanted):
    out = getattr(cp, name)(cp.zeros(2, 0), dim=1)
    assert out.tolist() == [-np.inf if wanted is None else wanted] * 2
    assert getattr(cp, name)(cp.zeros(0, 2), dim=1).shape == (0,)


def test_the_mean_of_nothing_is_nan():
    with np.errstate(all="ignore"):
        assert np.isnan(cp.zeros(0).mean().item())


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_nothing_has_no_extreme(name):
    with pytest.raises((RuntimeError, IndexError), match="Expected reduction dim to"):
        getattr(cp, name)(cp.zeros(0))


@pytest.mark.parametrize(
    ("name", "data", "index"), [("max", [1.0, 3, 3, 2], 1), ("min", [2.0, 1, 3, 1], 1)]
)
def test_the_first_of_equal_ones_is_returned_and_gets_the_gradient(name, data, index):
    x = cp.tensor(data, requires_grad=True)
    assert getattr(cp, f"arg{name}")(x).item() == index
    found, where = getattr(x, name)(0)
    assert where.item() == index and where.dtype is cp.int64
    found.backward()
    assert x.grad.tolist() == [float(i == index) for i in range(4)]


@pytest.mark.parametrize(
    ("f", "data", "expected"),
    [
        (lambda x: x.max(), [1.0, 3, 3, 2], [0, 0.5, 0.5, 0]),
        (lambda x: x.min(), [1.0, 3, 1, 1], [1 / 3, 0, 1 / 3, 1 / 3]),
        (lambda x: x.amax(0), [3.0, 3, 3, 3], [0.25] * 4),
        (lambda x: x.amin(0), [3.0, 1, 2, 1], [0, 0.5, 0, 0.5]),
    ],
)
def test_ties_share_the_gradient_over_everything(f, data, expected):
    x = cp.tensor(data, dtype=cp.float64, requires_grad=True)
    f(x).backward()
    assert x.grad.tolist() == expected


@pytest.mark.parametrize("name", ["max", "min", "amax", "amin", "sum", "mean"])
def test_nan_is_passed_on(name):
    assert np.isnan(getattr(cp, name)(cp.tensor([1.0, np.nan, 2.0])).item())


@pytest.mark.parametrize("correction", [0, 1, 2])
def test_var_and_std_divide_by_n_minus_correction(correction):
    x = cp.tensor(X)
    var = np.var(X, axis=1, ddof=correction)
    np.testing.assert_allclose(cp.var(x, 1, correction=correction).numpy(), var, rtol=1e-12)
    np.testing.assert_allclose(x.std(1, correction=correction).numpy(), var**0.5, rtol=1e-12)


def test_var_of_one_element_is_nan_with_a_warning():
    with np.errstate(all="ignore"), pytest.warns(UserWarning, match="degrees of freedom is <= 0"):
        assert np.isnan(cp.tensor([3.0]).var().item())
    assert cp.tensor([3.0]).var(correction=0).item() == 0


def test_std_of_a_constant_has_gradient_zero():
    x = cp.full((4,), 2.0, requires_grad=True)
    x.std().backward()
    assert x.grad.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("data", "expected"),
    [([2.0, 3, 4], [12, 8, 6]), ([2.0, 0, 4], [0, 8, 0]), ([0.0, 0, 4], [0, 0, 0])],
)
def test_prod_is_exact_with_zeros(data, expected):
    x = cp.tensor(data, requires_grad=True)
    x.prod().backward()
    assert x.grad.tolist() == expected


def test_cumprod_is_exact_with_zeros():
    x = cp.tensor([2.0, 0.0, 3.0], requires_grad=True)
    x.cumprod(0).sum().backward()
    assert x.grad.tolist() == [1, 8, 0]


def test_logsumexp_and_softmax_do_not_overflow():
    x = cp.tensor([1000.0, 1000.0])
    assert cp.logsumexp(x, 0).item() == pytest.approx(1000 + np.log(2))
    assert cp.softmax(x, 0).tolist() == [0.5, 0.5]
    assert cp.log_softmax(cp.tensor([0.0, -1e4]), 0).tolist() == [0, -1e4]


@pytest.mark.parametrize("p", [1, 2, 3, 0.5, np.inf])
def test_the_norm_of_a_zero_vector_has_gradient_zero(p):
    x = cp.zeros(3, requires_grad=True)
    cp.norm(x, p).backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_max_of_two_tensors_is_their_maximum():
    assert cp.max(cp.tensor([1, 5]), cp.tensor([3, 2])).tolist() == [3, 5]


def test_softmax_wants_an_axis_and_floats():
    with pytest.raises(TypeError, match=r"softmax: say over which dim"):
        cp.softmax(cp.ones(2))
    with pytest.raises(NotImplementedError, match="softmax"):
        cp.softmax(cp.tensor([1, 2]), 0)
