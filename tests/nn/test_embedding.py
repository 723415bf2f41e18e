"""Embedding and EmbeddingBag: rows by number, what their gradients leave out, mistakes."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
import clearprop.nn.functional as F
from clearprop import nn

W = np.random.default_rng(0).standard_normal((6, 3))


def table(grad=True):
    return cp.tensor(W, requires_grad=grad)


def gradient(f):
    """The gradient of the sum of f(weight)."""
    w = table()
    f(w).sum().backward()
    return w.grad.numpy()


def count(*index):
    return np.bincount(np.ravel(index), minlength=6)[:, None] * np.ones(3)


def test_rows_and_their_gradient():
    index = np.array([[0, 2], [2, 5]])
    assert np.array_equal(F.embedding(cp.tensor(index), table()).detach().numpy(), W[index])
    assert np.array_equal(gradient(lambda w: F.embedding(cp.tensor(index), w)), count(index))
    assert F.embedding(cp.tensor(3, dtype=cp.int32), table()).shape == (3,)
    assert F.embedding(cp.zeros(0, 2).long(), table()).shape == (0, 2, 3)


def test_the_padding_row_gets_no_gradient_even_from_inf():
    index = cp.tensor([1, 3, 1])
    wanted = count(1, 3, 1)
    wanted[3] = 0
    for padding in (3, -3):
        assert np.array_equal(gradient(lambda w, p=padding: F.embedding(index, w, p)), wanted)
    w = table()
    F.embedding(index, w, 3).backward(cp.full((3, 3), np.inf, dtype=cp.float64))
    assert w.grad[3].tolist() == [0, 0, 0]


def test_gradients_over_frequencies():
    g = gradient(lambda w: F.embedding(cp.tensor([1, 3, 1]), w, scale_grad_by_freq=True))
    assert np.array_equal(g, np.minimum(count(1, 3, 1), 1))


def test_long_rows_that_are_looked_up_are_shortened():
    m = nn.Embedding(6, 3, max_norm=0.5, dtype=cp.float64)
    before = m.weight.detach().clone().numpy()
    y = m(cp.tensor([0, 2, 0]))
    length = np.linalg.norm(before, axis=1, keepdims=True)
    wanted = np.where(length > 0.5, before * 0.5 / (length + 1e-7), before)
    wanted[[1, 3, 4, 5]] = before[[1, 3, 4, 5]]
    np.testing.assert_allclose(m.weight.detach().numpy(), wanted, rtol=1e-12)
    np.testing.assert_allclose(y.detach().numpy(), wanted[[0, 2, 0]], rtol=1e-12)
    y.sum().backward()
    assert np.array_equal(m.weight.grad.numpy(), count(0, 2, 0))


def test_from_pretrained_is_frozen_unless_told_otherwise():
    m = nn.Embedding.from_pretrained(cp.tensor(W), padding_idx=1)
    assert not m.weight.requires_grad and m.padding_idx == 1
    assert np.array_equal(m.weight.detach().numpy(), W)
    assert nn.EmbeddingBag.from_pretrained(cp.tensor(W), freeze=False).weight.requires_grad


def test_initial_weights_are_normal_numbers_and_zeros_for_padding():
    cp.manual_seed(0)
    m = nn.Embedding(400, 50, padding_idx=7)
    w = m.weight.detach().numpy()
    assert not w[7].any() and abs(w.mean()) < 0.05 and abs(w.std() - 1) < 0.05


BAGS = [[0, 2, 2], [], [5], [1, 3]]
FLAT, OFFSETS = np.concatenate(BAGS).astype(np.int64), np.array([0, 3, 3, 4])


def bag(mode, rows):
    if not len(rows):
        return np.zeros(3)
    return {"sum": np.sum, "mean": np.mean, "max": np.max}[mode](rows, axis=0)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 2])
def test_bags(mode, padding):
    wanted = [bag(mode, W[[int(i) for i in b if i != padding]]) for b in BAGS]
    got = F.embedding_bag(
        cp.tensor(FLAT), table(), cp.tensor(OFFSETS), mode=mode, padding_idx=padding
    )
    np.testing.assert_allclose(got.detach().numpy(), wanted, rtol=1e-12)
    with_end = cp.tensor([*OFFSETS, len(FLAT)])
    again = F.embedding_bag(
        cp.tensor(FLAT), table(), with_end, mode=mode, padding_idx=padding, include_last_offset=True
    )
    assert np.array_equal(again.detach().numpy(), got.detach().numpy())
    index = np.array([[0, 2, 2], [2, 2, 2], [5, 1, 0]])
    wanted = [bag(mode, W[[int(i) for i in b if i != padding]]) for b in index]
    got = F.embedding_bag(cp.tensor(index), table(), mode=mode, padding_idx=padding)
    np.testing.assert_allclose(got.detach().numpy(), wanted, rtol=1e-12)


def test_gradients_over_frequencies_in_bags():
    index = cp.tensor([[1, 1], [2, 3], [3, 3]])
    g = gradient(
        lambda w: F.embedding_bag(index, w, mode="sum", scale_grad_by_freq=True, padding_idx=3)
    )
    wanted = np.minimum(count(1, 2), 1)
    np.testing.assert_allclose(g, wanted)


def test_weights_of_samples():
    s = cp.tensor([2.0, 1.0, -1.0, 0.5, 3.0, 1.0], dtype=cp.float64, requires_grad=True)
    y = F.embedding_bag(
        cp.tensor(FLAT), table(False), cp.tensor(OFFSETS), mode="sum", per_sample_weights=s
    )
    np.testing.assert_allclose(y.detach().numpy()[0], 2 * W[0] + W[2] - W[2])
    y.sum().backward()
    np.testing.assert_allclose(s.grad.numpy(), W[FLAT].sum(1))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_a_compiled_bag_with_other_indices_and_offsets(mode):
    def f(index, offsets, w):
        y = F.embedding_bag(index, w, offsets, mode=mode, padding_idx=1)
        return y, cp.autograd.grad((y * y).sum(), w)[0]

    step = cp.compile(f)
    for index, offsets in (
        ([0, 1, 2, 2], [0, 0, 3]),
        ([5, 5, 1, 4], [0, 2, 2]),
        ([1] * 4, [0] * 3),
    ):
        args = cp.tensor(index), cp.tensor(offsets), table()
        for a, b in zip(f(*args), step(*args), strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)


def test_compiled_lookups_with_every_option():
    for options in ({"padding_idx": 2}, {"max_norm": 0.5}, {"scale_grad_by_freq": True}):

        def f(index, w, options=options):
            y = F.embedding(index, w * 1.0 if "max_norm" not in options else w, **options)
            return y * y

        step = cp.compile(f)
        for index in ([0, 2, 2], [5, 1, 1]):
            a, b = (g(cp.tensor(index), table(False)) for g in (f, step))
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)


def test_an_index_out_of_range_in_a_compiled_step():
    step = cp.compile(lambda index, w: F.embedding(index, w) * 2)
    step(cp.tensor([0, 1]), table(False))
    for bad in (6, -1):
        with pytest.raises(IndexError):
            step(cp.tensor([0, bad]), table(False))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: F.embedding(cp.tensor([6]), table()), IndexError, "index out of range in self: 6"),
        (lambda: F.embedding(cp.tensor([-1]), table()), IndexError, "index out of range in self"),
        (lambda: F.embedding(cp.tensor([1.0]), table()), RuntimeError, "Long, Int"),
        (lambda: F.embedding(cp.tensor([1]), table()[0]), RuntimeError, "must be 2-D"),
        (lambda: F.embedding(cp.tensor([1]), table(), 6), AssertionError, "within num_embeddings"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), AssertionError, "within num_embeddings"),
        (lambda: nn.Embedding.from_pretrained(cp.ones(3)), AssertionError, "2-dimensional"),
        (lambda: F.embedding_bag(cp.tensor([1]), table()), ValueError, "offsets has to be a 1D"),
        (
            lambda: F.embedding_bag(cp.tensor([1]), table(), cp.tensor([1])),
            RuntimeError,
            r"offsets\[0\] has to be 0",
        ),
        (
            lambda: F.embedding_bag(cp.tensor([1]), table(), cp.tensor([0, 2])),
            RuntimeError,
            "greater than input's length 1",
        ),
        (
            lambda: F.embedding_bag(cp.tensor([[1]]), table(), cp.tensor([0])),
            ValueError,
            "if input is 2D",
        ),
        (lambda: F.embedding_bag(cp.tensor([[6]]), table()), RuntimeError, "valid range"),
        (lambda: F.embedding_bag(cp.tensor([[1]]), table(), mode="x"), ValueError, "sum, mean or"),
    ],
)
def test_mistakes_are_named(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
