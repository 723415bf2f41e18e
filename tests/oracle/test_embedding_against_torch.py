"""Embedding and EmbeddingBag against PyTorch: values, gradients, initial weights, errors."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:::torch", "ignore:Argument order")

RNG = np.random.default_rng(0)
W = RNG.standard_normal((7, 3))


def results(library, call, weight, *index):
    """Value and gradient of a function of a table."""
    w = library.tensor(weight, requires_grad=True)
    y = call(library, w, *map(library.tensor, index))
    seed = np.random.default_rng(1).standard_normal(tuple(y.shape))
    (g,) = library.autograd.grad((y * library.tensor(seed)).sum(), w)
    return y.detach().numpy(), g.numpy(), w.detach().numpy()


def compare(call, *index):
    a, b = (results(library, call, W.copy(), *index) for library in (cp, torch))
    for p, q in zip(a, b, strict=True):
        assert p.dtype == q.dtype and p.shape == q.shape
        np.testing.assert_allclose(p, q, 1e-12, 1e-14)


OPTIONS = [
    {},
    {"padding_idx": 2},
    {"padding_idx": -7, "scale_grad_by_freq": True},
    {"max_norm": 1.0},
    {"max_norm": 0.5, "norm_type": 1.0},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (0,), (2, 1, 3)])
@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_embedding(options, shape, dtype):
    index = RNG.integers(0, 7, shape).astype(dtype)
    if "max_norm" in options:  # writes to the table
        rows = lambda t, w, i: t.nn.functional.embedding(i, w, **options)
    else:
        rows = lambda t, w, i: t.nn.functional.embedding(i, w * 1, **options)
    compare(rows, index)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("last", [False, True])
def test_bags(mode, padding, last):
    index = RNG.integers(0, 7, 9)
    options = {"mode": mode, "padding_idx": padding, "include_last_offset": last}
    bags = lambda t, w, *rest: t.nn.functional.embedding_bag(rest[0], w, *rest[1:], **options)
    for offsets in ([0, 2, 2, 7], [0, 9], [0, 0, 0]):
        compare(bags, index, offsets)
    del options["include_last_offset"]
    compare(bags, RNG.integers(0, 4, (4, 3)))


@pytest.mark.parametrize("padding", [None, 2])
def test_weights_of_samples(padding):
    index, weights = RNG.integers(0, 4, (4, 3)), RNG.standard_normal((4, 3))
    grads = []
    for t in (cp, torch):
        s = t.tensor(weights, requires_grad=True)
        w = t.tensor(W, requires_grad=True)
        y = t.nn.functional.embedding_bag(
            t.tensor(index), w, mode="sum", per_sample_weights=s, padding_idx=padding
        )
        (y * y).sum().backward()
        grads.append((y.detach().numpy(), s.grad.numpy(), w.grad.numpy()))
    for p, q in zip(*grads, strict=True):
        np.testing.assert_allclose(p, q, 1e-12, 1e-14)


@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
@pytest.mark.parametrize("sizes", [(3, 2), (10, 16), (65, 33)])
@pytest.mark.parametrize("padding", [None, 1])
def test_initial_weights(name, sizes, padding):
    both = []
    for t in (cp, torch):
        t.manual_seed(5)
        m = getattr(t.nn, name)(*sizes, padding_idx=padding)
        both.append((m.weight.detach().numpy(), repr(m)))
    np.testing.assert_allclose(both[0][0], both[1][0], 2e-6, 1e-6)
    assert both[0][1] == both[1][1]


def raised(call, t):
    try:
        call(t, t.ones(3, 2))
    except Exception as error:
        return error
    return None


MISTAKES = [
    lambda t, w: t.nn.functional.embedding(t.tensor([3]), w),
    lambda t, w: t.nn.functional.embedding(t.tensor([-1]), w),
    lambda t, w: t.nn.functional.embedding(t.tensor([1.0]), w),
    lambda t, w: t.nn.functional.embedding(t.tensor([1]), w[0]),
    lambda t, w: t.nn.functional.embedding(t.tensor([1]), w, padding_idx=4),
    lambda t, w: t.nn.Embedding(3, 2, padding_idx=-4),
    lambda t, w: t.nn.Embedding(3, 2, _weight=w[:1]),
    lambda t, w: t.nn.Embedding.from_pretrained(w[0]),
    lambda t, w: t.nn.functional.embedding_bag(t.tensor([1]), w),
    lambda t, w: t.nn.functional.embedding_bag(t.tensor([[[1]]]), w),
    lambda t, w: t.nn.functional.embedding_bag(t.tensor([1]), w, t.tensor([1])),
    lambda t, w: t.nn.functional.embedding_bag(t.tensor([1]), w, t.tensor([0.0])),
    lambda t, w: t.nn.functional.embedding_bag(t.tensor([1]), w, t.tensor([0, 3])),
    lambda t, w: t.nn.functional.embedding_bag(t.tensor([1, 1]), w, t.tensor([0, 2, 1])),
    lambda t, w: t.nn.functional.embedding_bag(t.tensor([[1]]), w, t.tensor([0])),
    lambda t, w: t.nn.functional.embedding_bag(t.tensor([[5]]), w),
    lambda t, w: t.nn.functional.embedding_bag(t.tensor([[1]]), w, mode="median"),
    lambda t, w: t.nn.functional.embedding_bag(
        t.tensor([[1]]), w, mode="mean", per_sample_weights=t.ones(1, 1)
    ),
    lambda t, w: t.nn.functional.embedding_bag(
        t.tensor([[1]]), w, mode="sum", per_sample_weights=t.ones(1)
    ),
    lambda t, w: t.nn.functional.one_hot(t.zeros(0).long()),
    lambda t, w: t.nn.functional.one_hot(t.tensor([3]), 2),
    lambda t, w: t.nn.functional.one_hot(t.tensor([1.0])),
]


@pytest.mark.parametrize("call", MISTAKES)
def test_mistakes_raise_the_same_type(call):
    mine, theirs = raised(call, cp), raised(call, torch)
    assert theirs is not None and isinstance(mine, type(theirs))
