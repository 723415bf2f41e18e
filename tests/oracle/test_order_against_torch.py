"""Sorting, ranks, scans, statistics and counting against PyTorch: value, dtype, shape, first and
second gradient; ties, nan, infinities, zeros, 0-d, empty and size-1 axes; the same type of error.
"""

from __future__ import annotations

import numpy as np
import pytest
from against_torch import both, call, raises_the_same, rows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5))
CUBE = RNG.normal(size=(2, 3, 4))
TIES = np.array([[1.0, 3.0, 1.0, 3.0, 2.0], [0.0, -0.0, 0.0, 5.0, 5.0]])
NAN = np.array([[1.0, np.nan, 0.5, 2.0], [np.nan, np.nan, 3.0, -1.0], [4.0, 3.0, 2.0, np.inf]])
ZEROS = np.array([[2.0, 0.0, 3.0, 4.0], [0.0, 5.0, 0.0, 2.0], [1.0, 2.0, 3.0, 0.0]])
INTS = RNG.integers(-3, 4, (3, 5))
BOOLS = X > 0
SCALAR = np.array(1.5)
EMPTY = np.zeros((0, 3))


def m(name, *args, **kwargs):
    """The method of the first tensor."""
    return lambda lib, x, *more: getattr(x, name)(*more, *args, **kwargs)


ORDER = [
    ("sort", call("sort"), X),
    ("sort", call("sort", 0, True), X),
    ("sort", call("sort"), TIES),
    ("sort", call("sort", dim=1, descending=True, stable=True), TIES),
    ("sort", call("sort"), SCALAR),
    ("sort", call("sort", 0), EMPTY),
    ("sort", call("sort"), INTS),
    ("sort", call("sort", stable=True), BOOLS),
    ("sort", call("sort", 1), X.T),
    ("sort", call("sort"), NAN[0]),
    ("msort", call("msort"), X),
    ("argsort", call("argsort", -2), X),
    ("argsort", call("argsort", descending=True, stable=True), TIES),
    ("topk", call("topk", 2), X),
    ("topk", call("topk", 2, 0, False), X),
    ("topk", call("topk", 1), SCALAR),
    ("topk", call("topk", 0), X),
    ("topk", call("topk", 3), INTS[:, :3] * 10 + np.arange(3)),
    ("kthvalue", call("kthvalue", 2), X),
    ("kthvalue", call("kthvalue", 3, 0, True), X),
    ("kthvalue", call("kthvalue", 1), SCALAR),
    ("mode", call("mode"), INTS),
    ("mode", call("mode", 0, True), TIES),
    ("mode", call("mode"), SCALAR),
    ("median", call("median"), X),
    ("median", call("median"), TIES),
    ("median", call("median"), CUBE),
    ("median", call("median", 1), X),
    ("median", call("median", 0, True), X),
    ("median", call("median"), SCALAR),
    ("median", call("median"), NAN),
    ("median", call("median"), INTS),
    ("median", call("median", 0), SCALAR),
    ("median", call("median"), np.zeros(0)),
    ("nanmedian", call("nanmedian"), NAN),
    ("nanmedian", call("nanmedian", 1), X),
    ("nanmedian", call("nanmedian"), INTS),
    ("nanmedian", lambda lib, x: lib.nanmedian(x, 1).values, NAN),
    ("median", lambda lib, x: lib.median(x, 1).values, NAN),
    ("median", lambda lib, x: lib.median(x, 1).indices, NAN[:, :2]),
    ("searchsorted", call("searchsorted"), np.sort(X[0]), X),
    ("searchsorted", call("searchsorted", right=True), np.sort(X), X),
    (
        "searchsorted",
        call("searchsorted", side="right", out_int32=True),
        np.array([1, 3, 5, 7]),
        np.array([3, 4, 9]),
    ),
    ("searchsorted", lambda lib, s: lib.searchsorted(s, 3.0), np.array([1.0, 3.0, 5.0])),
    ("searchsorted", lambda lib, s, x: lib.searchsorted(s, x, sorter=lib.argsort(s)), X[0], X[1]),
    ("bucketize", call("bucketize"), X, np.array([-1.0, 0.0, 1.0])),
    ("bucketize", call("bucketize", right=True), INTS, np.array([-1, 0, 2])),
    ("searchsorted", call("searchsorted"), np.arange(3), X),
    ("isin", call("isin"), INTS, np.array([1, 2])),
    ("isin", call("isin", invert=True), INTS, np.array([0])),
    ("isin", lambda lib, x: lib.isin(x, 1), INTS),
    ("isin", call("isin"), X, X[:, :2]),
]


@pytest.mark.parametrize("row", rows(ORDER))
def test_order(row):
    both(*row[1:])


@pytest.mark.parametrize("how", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
@pytest.mark.parametrize("x", [X, NAN[:, :3], TIES[:, :3], X.T], ids=["x", "nan", "ties", "turned"])
def test_quantiles(name, how, x):
    q = np.array([0.0, 0.1, 0.5, 0.77, 1.0])
    for dim, keep in [(None, False), (None, True), (0, False), (-1, True)]:
        options = {"dim": dim, "keepdim": keep, "interpolation": how}
        both(lambda lib, a: getattr(lib, name)(a, 0.4, **options), x)  # noqa: B023
        both(lambda lib, a: getattr(lib, name)(a, lib.tensor(q, dtype=a.dtype), **options), x)  # noqa: B023


SCANS = [
    ("cummax", call("cummax", 1), TIES),
    ("cummax", call("cummax", 0), X),
    ("cummax", call("cummax", 1), INTS),
    ("cummin", call("cummin", 1), TIES),
    ("cummin", call("cummin", -1), X),
    ("cummax", call("cummax", 0), SCALAR),
    ("cummax", lambda lib, x: lib.cummax(x, 1).indices, NAN),
    ("cummin", lambda lib, x: lib.cummin(x, 1).values, NAN),
    ("cummax", call("cummax", 0), EMPTY),
    ("logcumsumexp", call("logcumsumexp", 1), X),
    ("logcumsumexp", call("logcumsumexp", 0), X * 500),
    ("logcumsumexp", call("logcumsumexp", 0), SCALAR),
    ("logcumsumexp", call("logcumsumexp", 1), X.T),
    ("cumprod", call("cumprod", 1), ZEROS),
    ("cumprod", call("cumprod", 0), X),
    ("cumprod", call("cumprod", 1), INTS),
    ("cumprod", call("cumprod", 0), SCALAR),
    ("cumprod", call("cumprod", 0, dtype=None), EMPTY),
    ("cumsum", call("cumsum", 1), X),
    ("cumsum", call("cumsum", 0), BOOLS),
    ("cumsum", call("cumsum", 0), SCALAR),
    ("prod", call("prod", 1), ZEROS),
    ("prod", call("prod"), ZEROS),
    ("prod", call("prod"), X),
    ("prod", call("prod"), EMPTY),
    ("diff", call("diff"), X),
    ("diff", call("diff", 2, 0), X),
    ("diff", call("diff"), INTS),
    ("diff", call("diff"), BOOLS),
    ("diff", call("diff", 0), X),
    ("diff", call("diff", 9), X),
    ("diff", lambda lib, x: lib.diff(x, prepend=x[:, :1], append=x[:, 1:3]), X),
    ("trapezoid", call("trapezoid"), X),
    ("trapezoid", call("trapezoid", dx=0.5, dim=0), X),
    ("trapezoid", call("trapezoid"), X, X[0]),
    ("trapezoid", call("trapezoid"), X, X * 2),
    ("trapz", call("trapz"), X),
    ("trapezoid", call("trapezoid"), X[:, :1]),
    ("cumulative_trapezoid", call("cumulative_trapezoid"), X),
    ("cumulative_trapezoid", call("cumulative_trapezoid", dim=0), X, X),
]


@pytest.mark.parametrize("row", rows(SCANS))
def test_scans(row):
    both(*row[1:])


STATISTICS = [
    ("nansum", call("nansum"), NAN),
    ("nansum", call("nansum", 1, True), NAN),
    ("nansum", call("nansum"), INTS),
    ("nanmean", call("nanmean"), NAN),
    ("nanmean", call("nanmean", (0, 1), True), NAN),
    ("nanmean", call("nanmean", 0), X),
    ("aminmax", call("aminmax"), TIES),
    ("aminmax", call("aminmax", dim=1, keepdim=True), TIES),
    ("aminmax", call("aminmax"), INTS),
    ("aminmax", call("aminmax", dim=0), SCALAR),
    ("std_mean", call("std_mean"), X),
    ("std_mean", call("std_mean", 1, False), X),
    ("var_mean", call("var_mean", dim=0, correction=2, keepdim=True), X),
    ("var_mean", call("var_mean", (0, 2)), CUBE),
    ("dist", call("dist"), X, X[::-1].copy()),
    ("dist", call("dist", 1), X, X[0]),
    ("dist", call("dist", 3.0), X, X[0] + 1),
    ("cov", call("cov"), X),
    ("cov", call("cov"), X[0]),
    ("cov", call("cov", correction=0), X),
    ("cov", call("cov"), INTS),
    (
        "cov",
        lambda lib, x: lib.cov(
            x,
            fweights=lib.tensor([1, 2, 1, 3, 1]),
            aweights=lib.tensor([0.1, 0.5, 1.0, 0.2, 0.7], dtype=lib.float64),
        ),
        X,
    ),
    ("corrcoef", lambda lib, x: lib.corrcoef(x)[0, 1:], X),
    ("corrcoef", lambda lib, x: lib.corrcoef(x).detach(), X),
    ("corrcoef", lambda lib, x: lib.corrcoef(x).detach(), X[0]),
    ("norm", call("norm"), X),
    ("norm", call("norm", 3, 1), X),
    ("norm", call("norm", float("inf"), 0), TIES),
    ("norm", call("norm", 1, 1), ZEROS),
    ("norm", call("norm", 0, 1), ZEROS),
    ("norm", call("norm", "fro"), X),
    ("max", call("max"), TIES),
    ("max", call("max", 1), TIES),
    ("min", call("min", 0, True), X),
    ("max", call("max", 1), BOOLS),
    ("max", call("max"), X, X[0]),
    ("amax", call("amax", (0, 1)), TIES),
    ("amin", call("amin", 1), TIES),
    ("max", call("max", 0), SCALAR),
    ("argmax", call("argmax"), TIES),
    ("argmin", call("argmin", 1, True), TIES),
    ("argmax", call("argmax", 1), NAN),
    ("argmax", call("argmax"), SCALAR),
    ("logsumexp", call("logsumexp", (0, 1), True), X * 100),
    ("logsumexp", call("logsumexp", 0), X),
    ("count_nonzero", call("count_nonzero", (0, 1)), ZEROS),
    ("count_nonzero", call("count_nonzero"), BOOLS),
    ("any", call("any", 1), BOOLS),
    ("all", call("all"), INTS),
    ("any", call("any", (0, 1)), X),
    ("all", call("all"), EMPTY),
]


@pytest.mark.parametrize("row", rows(STATISTICS))
def test_statistics(row):
    both(*row[1:], rtol=1e-6 if row[-1].dtype.kind == "i" else 1e-10)


def test_the_norm_of_a_zero_vector_has_the_gradient_0():
    for p in (1, 2, 3, 0.5, float("inf")):
        both(call("norm", p, 0), ZEROS * 0, second=False)


def test_where_the_extreme_is_nan_the_gradient_goes_to_nan():
    both(call("max"), NAN, second=False)
    both(call("median"), NAN, second=False)


COUNTS = [
    ("unique", call("unique"), INTS),
    ("unique", call("unique", return_inverse=True, return_counts=True), INTS),
    ("unique", call("unique", return_counts=True), TIES),
    ("unique", call("unique", dim=0, return_inverse=True), np.array([[2, 1], [0, 5], [2, 1]])),
    ("unique", call("unique", dim=1, return_counts=True), np.array([[2, 1, 2], [0, 5, 0]])),
    ("unique", call("unique"), BOOLS),
    ("unique", call("unique"), np.zeros(0)),
    ("unique_consecutive", call("unique_consecutive"), np.array([1, 1, 2, 2, 1])),
    ("unique_consecutive", call("unique_consecutive", True, True), np.array([1, 1, 2, 2, 1])),
    ("unique_consecutive", call("unique_consecutive", dim=0), np.array([[1, 2], [1, 2], [0, 2]])),
    ("bincount", call("bincount"), np.array([1, 3, 1, 0])),
    ("bincount", call("bincount", minlength=7), np.array([1, 3])),
    ("bincount", lambda lib, x: lib.bincount(x, lib.tensor([0.5, 1.0, 2.0])), np.array([1, 1, 2])),
    ("bincount", lambda lib, x: lib.bincount(x, lib.tensor([1, 2, 3])), np.array([1, 1, 2])),
    ("bincount", call("bincount"), np.zeros(0, np.int64)),
    ("histc", call("histc", 4), X),
    ("histc", call("histc", bins=5, min=-1, max=1), X),
    ("histc", call("histc", 3), np.ones(4)),
    ("histc", call("histc", bins=2, min=1, max=1), SCALAR),
    ("histogram", call("histogram", 4), X),
    ("histogram", call("histogram", 3, range=(-1.0, 1.0), density=True), X),
    ("histogram", lambda lib, x: lib.histogram(x, lib.tensor([-1.0, 0.0, 0.5], dtype=x.dtype)), X),
    ("histogram", lambda lib, x: lib.histogram(x, 3, weight=x * x), X),
    ("histogram", call("histogram", 2), np.ones(3)),
]


@pytest.mark.parametrize("row", rows(COUNTS))
def test_counts(row):
    both(*row[1:], grad=False)


METHODS = [
    ("sort", m("sort", 1), X),
    ("topk", m("topk", 2), X),
    ("median", m("median"), X),
    ("quantile", m("quantile", 0.5), X),
    ("cummax", m("cummax", 1), X),
    ("diff", m("diff"), X),
    ("nansum", m("nansum"), X),
    ("unique", m("unique"), INTS),
    ("bincount", m("bincount"), np.array([1, 2])),
    ("isclose", m("isclose"), X, X),
    ("mode", m("mode"), INTS),
    ("kthvalue", m("kthvalue", 2), X),
    ("logcumsumexp", m("logcumsumexp", 1), X),
    ("cov", m("cov"), X),
    ("histc", m("histc", 3), X),
]


@pytest.mark.parametrize("row", rows(METHODS))
def test_methods(row):
    both(*row[1:], grad=row[0] not in ("histc",))


@pytest.mark.parametrize(
    "name", ["sort", "cummax", "median", "logcumsumexp", "mode", "nansum", "msort"]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_precisions(name, dtype):
    args = () if name in ("nansum", "msort") else (1,)
    both(call(name, *args), X, dtype=dtype, rtol=1e-4, atol=1e-4)


WRONG = [
    ("topk", call("topk", 6), X),
    ("kthvalue", call("kthvalue", 0), X),
    ("kthvalue", call("kthvalue", 9), X),
    ("sort", call("sort", 2), X),
    ("median", call("median", 0), EMPTY),
    ("mode", call("mode", 0), EMPTY),
    ("quantile", call("quantile", 1.5), X),
    ("quantile", call("quantile", 0.5), INTS),
    ("quantile", call("quantile", 0.5, interpolation="cubic"), X),
    ("quantile", call("quantile", 0.5), np.zeros(0)),
    ("cummax", call("cummax", 3), X),
    ("logcumsumexp", call("logcumsumexp", 0), INTS),
    ("diff", call("diff"), SCALAR),
    ("aminmax", call("aminmax"), EMPTY),
    ("nanmean", call("nanmean"), INTS),
    ("searchsorted", call("searchsorted", side="middle"), X[0], X),
    ("searchsorted", call("searchsorted"), X, X[0]),
    ("bucketize", call("bucketize"), X, X),
    ("bincount", call("bincount"), X[0]),
    ("bincount", call("bincount"), np.array([-1])),
    ("bincount", call("bincount"), INTS),
    ("histc", call("histc", 0), X),
    ("histc", call("histc"), INTS),
    ("cov", call("cov"), CUBE),
    ("corrcoef", call("corrcoef"), CUBE),
    ("cov", call("cov"), BOOLS),
    ("trapezoid", call("trapezoid"), X, X[0, :3]),
    ("argmax", call("argmax"), EMPTY),
    ("max", call("max"), EMPTY),
    ("histogram", call("histogram", 3), INTS),
]


@pytest.mark.parametrize("row", rows(WRONG))
def test_mistakes(row):
    raises_the_same(*row[1:])
