"""Ops made of other ops, compiled: values and gradients are those of eager mode."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp

RNG = np.random.default_rng(0)
X = RNG.uniform(0.2, 0.9, (3, 4))
INDEX = np.array([[0, 2, 1, 1], [1, 0, 2, 0]])
MASK = X > 0.5
NAN = np.where(MASK, X, np.nan)

index, mask = cp.tensor(INDEX), cp.tensor(MASK)
places = cp.tensor([2, 0, 2])
OPS = {
    "frexp": lambda x: cp.frexp(x).mantissa,
    "ldexp": lambda x: cp.ldexp(x, places.sum()),
    "fmax": lambda x: cp.fmax(x, 1 - x),
    "hypot": lambda x: cp.hypot(x, x * x),
    "logit": lambda x: cp.logit(x, eps=0.3),
    "isclose": lambda x: cp.isclose(x, x + 1e-9),
    "mvlgamma": lambda x: cp.mvlgamma(x + 1, 2),
    "ndtr": cp.special.ndtr,
    "sort": lambda x: cp.sort(x, 1, descending=True).values,
    "topk": lambda x: cp.topk(x, 2).values,
    "median": lambda x: cp.median(x, 1).values,
    "median of all": cp.median,
    "nanmedian": lambda x: cp.nanmedian(x * 2),
    "kthvalue": lambda x: cp.kthvalue(x, 2, 0).values,
    "mode": lambda x: cp.mode(x, 1).values,
    "quantile": lambda x: cp.quantile(x, 0.3, dim=1),
    "nanquantile": lambda x: cp.nanquantile(cp.where(mask, x, float("nan")), 0.6, dim=1),
    "searchsorted": lambda x: cp.searchsorted(cp.sort(x[0]).values, x) * x,
    "isin": lambda x: cp.isin(x, x[:1]) * x,
    "cummax": lambda x: cp.cummax(x, 1).values,
    "cummin": lambda x: cp.cummin(x, 0).values,
    "logcumsumexp": lambda x: cp.logcumsumexp(x, 1),
    "cumprod": lambda x: cp.cumprod(x, 1),
    "diff": lambda x: cp.diff(x, 2),
    "trapezoid": lambda x: cp.trapezoid(x, dim=0),
    "cov": lambda x: cp.cov(x),
    "corrcoef": lambda x: cp.corrcoef(x)[0, 1:],
    "aminmax": lambda x: cp.aminmax(x).max - cp.aminmax(x, dim=1).min,
    "std_mean": lambda x: cp.std_mean(x, 1)[0],
    "nanmean": lambda x: cp.nanmean(cp.where(mask, x, float("nan")), 0),
    "histc": lambda x: cp.histc(x, 3, 0.0, 1.0) * x[:, :3],
    "histogram": lambda x: cp.histogram(x, 3).hist * x[:, :3],
    "one_hot": lambda x: cp.ops.one_hot(places, 4) * x,
    "scatter": lambda x: cp.scatter(x, 0, index, x[:2] * 2),
    "scatter value": lambda x: cp.scatter(x, 1, index[:, :1], 2.0),
    "scatter_reduce prod": lambda x: cp.scatter_reduce(x, 0, index, x[:2], "prod"),
    "scatter_reduce amax": lambda x: cp.scatter_reduce(x, 0, index, x[:2], "amax"),
    "scatter_reduce mean": lambda x: cp.scatter_reduce(x, 0, index, x[:2], "mean"),
    "index_add": lambda x: cp.index_add(x, 0, places, x, alpha=2),
    "index_copy": lambda x: cp.index_copy(x, 1, places[:2], x[:, :2] * 3),
    "index_fill": lambda x: cp.index_fill(x, 0, places, 1.5),
    "index_put": lambda x: cp.index_put(x, (places,), x[0], accumulate=True),
    "masked_scatter": lambda x: cp.masked_scatter(x, mask, x * 3),
    "put": lambda x: cp.put(x, places, x[0, :3]),
    "take": lambda x: cp.take(x, places),
    "select_scatter": lambda x: cp.select_scatter(x, x[0] * 2, 0, 1),
    "slice_scatter": lambda x: cp.slice_scatter(x, x[:, :2], 1, 0, 4, 2),
    "diagonal_scatter": lambda x: cp.diagonal_scatter(x, x[0, :3]),
    "diagonal": lambda x: x.diagonal(1),
    "diagonal of a transposed matrix": lambda x: x.T.diagonal(-1) * 2,
    "diag_embed": lambda x: cp.diag_embed(x, 1),
    "block_diag": lambda x: cp.block_diag(x, x[0]),
    "vander": lambda x: cp.vander(x[0], 3),
    "trace": cp.trace,
    "rot90": lambda x: cp.rot90(x, 3),
    "tensor_split": lambda x: cp.tensor_split(x, 3, 1)[1],
    "combinations": lambda x: cp.combinations(x[0]),
    "cartesian_prod": lambda x: cp.cartesian_prod(x[0], x[1]),
    "dstack": lambda x: cp.dstack([x, x * 2]),
    "repeat_interleave": lambda x: cp.repeat_interleave(x, 2, 1),
    "sum_to_size": lambda x: x.sum_to_size(1, 4),
}


@pytest.mark.parametrize("name", OPS)
def test_compiled_it_is_the_same(name):
    op = OPS[name]

    def f(x):
        y = op(x)
        if not y.requires_grad:
            return y
        w = cp.cos(cp.arange(y.numel(), dtype=x.dtype)).reshape(y.shape)
        (g,) = cp.autograd.grad((y * w).sum(), x)
        return y.detach(), g

    compiled = cp.compile(f)
    for x in (X, X[::-1].copy()):
        wanted, got = (
            f(cp.tensor(x, requires_grad=True)),
            compiled(cp.tensor(x, requires_grad=True)),
        )
        if not isinstance(wanted, tuple):
            wanted, got = (wanted,), (got,)
        for a, b in zip(got, wanted, strict=True):
            assert a.aval == b.aval
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-12)


IN_PLACE = {
    "exp_": lambda x: x.exp_(),
    "eq_": lambda x: x.eq_(0.5),
    "index_fill_": lambda x: x.index_fill_(0, places, 2.0),
    "scatter_": lambda x: x.scatter_(0, index, 3.0),
    "masked_scatter_": lambda x: x.masked_scatter_(mask, x * 2),
    "diagonal": lambda x: x.diagonal().mul_(3),
    "fill_diagonal_": lambda x: x.fill_diagonal_(7),
    "unsqueeze_": lambda x: x.unsqueeze_(0),
    "t_": lambda x: x.t_().add_(1),
    "out": lambda x: cp.mul(x, 2, out=x),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_compiled_it_writes_the_same(name):
    def f(x):
        y = x * 1
        IN_PLACE[name](y)
        return y + 1

    compiled = cp.compile(f)
    for x in (X, X[::-1].copy()):
        np.testing.assert_allclose(
            compiled(cp.tensor(x)).numpy(), f(cp.tensor(x)).numpy(), rtol=1e-12
        )
