"""Losses of margins and likelihoods, distances and dropout of channels, by their formulas."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.nn import functional as F

RNG = np.random.default_rng(0)
A, B, C = RNG.normal(size=(3, 5, 4))
SIGNS = np.where(RNG.normal(size=(5, 4)) > 0, 1.0, -1.0)
t = cp.tensor


def relu(x):
    return np.maximum(x, 0)


def lengths(x):
    return np.sqrt((x**2).sum(-1))


def test_ranking():
    got = F.margin_ranking_loss(t(A), t(B), t(SIGNS), 0.3, reduction="none")
    np.testing.assert_allclose(got.numpy(), relu(-SIGNS * (A - B) + 0.3))


def test_hinge_embedding():
    got = F.hinge_embedding_loss(t(A), t(SIGNS), 0.7, reduction="none")
    np.testing.assert_allclose(got.numpy(), np.where(SIGNS == 1, A, relu(0.7 - A)))


def test_cosine_embedding():
    y = SIGNS[:, 0]
    cos = (A * B).sum(1) / lengths(A) / lengths(B)
    got = F.cosine_embedding_loss(t(A), t(B), t(y), 0.1, reduction="none")
    np.testing.assert_allclose(got.numpy(), np.where(y == 1, 1 - cos, relu(cos - 0.1)))


def test_soft_margin_is_finite_far_out():
    x = t([-1000.0, 0.0, 1000.0])
    got = F.soft_margin_loss(x, cp.ones(3), reduction="none")
    np.testing.assert_allclose(got.numpy(), [1000.0, np.log(2), 0.0], rtol=1e-6)


@pytest.mark.parametrize("p", [1, 2])
def test_multi_margin(p):
    y, w = np.array([0, 3, 1, 2, 2]), np.array([0.5, 1.0, 2.0, 3.0])
    wanted = [
        w[k] * sum(relu(0.8 - A[n, k] + A[n, i]) ** p for i in range(4) if i != k) / 4
        for n, k in enumerate(y)
    ]
    got = F.multi_margin_loss(t(A), t(y), p, 0.8, t(w), reduction="none")
    np.testing.assert_allclose(got.numpy(), wanted)


def test_multilabel_margin():
    y = np.array([[1, -1, 2, 0], [0, 2, -1, 3], [3, 2, 1, 0], [-1, 1, 1, 1], [2, 0, 1, -1]])
    wanted = []
    for row, labels in zip(A, y, strict=True):
        end = list(labels).index(-1) if -1 in labels else 4
        right = list(labels[:end])
        others = [i for i in range(4) if i not in right]
        wanted.append(sum(relu(1 - row[j] + row[i]) for j in right for i in others) / 4)
    got = F.multilabel_margin_loss(t(A), t(y), reduction="none")
    np.testing.assert_allclose(got.numpy(), wanted)


def test_multilabel_soft_margin_is_the_mean_of_binary_cross_entropies():
    y = (SIGNS > 0).astype(float)
    got = F.multilabel_soft_margin_loss(t(A), t(y))
    assert got.item() == pytest.approx(F.binary_cross_entropy_with_logits(t(A), t(y)).item())


def test_triplets():
    near, far, swapped = lengths(A - B + 1e-6), lengths(A - C + 1e-6), lengths(B - C + 1e-6)
    inputs = t(A), t(B), t(C)
    got = F.triplet_margin_loss(*inputs, margin=0.5, reduction="none")
    np.testing.assert_allclose(got.numpy(), relu(near - far + 0.5))
    got = F.triplet_margin_loss(*inputs, margin=0.5, swap=True, reduction="none")
    np.testing.assert_allclose(got.numpy(), relu(near - np.minimum(far, swapped) + 0.5))
    squares = lambda x, y: ((x - y) ** 2).sum(-1)
    got = nn.TripletMarginWithDistanceLoss(distance_function=squares, reduction="sum")(*inputs)
    wanted = relu(((A - B) ** 2).sum(1) - ((A - C) ** 2).sum(1) + 1).sum()
    assert got.item() == pytest.approx(wanted)


def test_likelihoods():
    v, rate = RNG.random((5, 4)) + 0.1, RNG.random((5, 4)) * 5
    got = F.gaussian_nll_loss(t(A), t(B), t(v), full=True, reduction="none")
    density = np.exp(-((A - B) ** 2) / 2 / v) / np.sqrt(2 * np.pi * v)
    np.testing.assert_allclose(got.numpy(), -np.log(density))
    got = F.poisson_nll_loss(t(A), t(rate), reduction="none")
    np.testing.assert_allclose(got.numpy(), np.exp(A) - rate * A)


def test_distances():
    norms = lengths(A) * lengths(B)
    np.testing.assert_allclose(
        F.cosine_similarity(t(A), t(B)).numpy(), (A * B).sum(1) / norms, rtol=1e-12
    )
    np.testing.assert_allclose(
        F.pairwise_distance(t(A), t(B), 3.0, 0.0).numpy(), (np.abs(A - B) ** 3).sum(1) ** (1 / 3)
    )
    pairs = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    np.testing.assert_allclose(F.pdist(t(A)).numpy(), [lengths(A[i] - A[j]) for i, j in pairs])
    w, b = RNG.normal(size=(3, 4, 4)), RNG.normal(size=3)
    np.testing.assert_allclose(
        F.bilinear(t(A), t(B), t(w), t(b)).numpy(), np.einsum("ni,kij,nj->nk", A, w, B) + b
    )


def test_whole_channels_are_dropped():
    x = cp.ones(50, 8, 3, 3)
    y = F.dropout2d(x, 0.25).numpy()
    channel = y.reshape(400, 9)
    assert ((channel == channel[:, :1]).all(1)).all()
    np.testing.assert_allclose(np.unique(y), [0.0, 4 / 3], rtol=1e-6)
    assert 0.1 < (channel[:, 0] == 0).mean() < 0.4


def test_alpha_dropout_keeps_mean_and_variance():
    x = cp.randn(100_000)
    y = F.alpha_dropout(x, 0.3, training=True).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.var() - 1) < 0.02
    assert F.alpha_dropout(x, 0.3) is x
    assert set(F.alpha_dropout(x, 1.0, training=True).numpy().tolist()) == {0.0}


def test_random_slopes_lie_between_their_bounds():
    y = -F.rrelu(-cp.ones(10_000), 0.2, 0.4, training=True).numpy()
    assert 0.2 <= y.min() < 0.21 and 0.39 < y.max() <= 0.4
    assert abs(y.mean() - 0.3) < 0.005


def test_mistakes_are_explained():
    with pytest.raises(RuntimeError, match=r"glu: Halving dimension must be even.*size 3"):
        F.glu(cp.ones(2, 3))
    with pytest.raises(RuntimeError, match="channels are axis 1"):
        nn.PReLU(5)(cp.ones(2, 3))
    with pytest.raises(ValueError, match="var has negative entry"):
        F.gaussian_nll_loss(cp.ones(2), cp.ones(2), -cp.ones(2))
    with pytest.raises(RuntimeError, match="only supports 2D tensors"):
        F.pdist(cp.ones(3))
