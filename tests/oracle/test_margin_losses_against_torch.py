"""Losses of margins, likelihoods, distances, bilinear forms: values and gradients as PyTorch's,
with every option, and the mistakes that both refuse.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:::torch")
F, T = cp.nn.functional, torch.nn.functional
REDUCTIONS = ("none", "mean", "sum")
RNG = np.random.default_rng(0)
A, B, C = RNG.normal(size=(3, 5, 4))
A[0] = B[0]  # ties: the kinks of the margins
SIGNS = np.where(RNG.normal(size=(5, 4)) > 0, 1.0, -1.0)
CLASSES = np.array([1, 3, 0, 0, 2])
LABELS = np.array([[3, 0, -1, 1], [1, -1, 2, 2], [-1, 0, 0, 0], [0, 1, 2, 3], [2, 2, -1, 0]])
POSITIVE = RNG.random((5, 4)) + 0.1


def run(name, arrays, options):
    """Value and gradients of both libraries."""
    results = []
    for library, functions in ((cp, F), (torch, T)):
        given = [library.tensor(a) for a in arrays]
        inputs = given[:1] if name == "soft_margin_loss" else given  # its target has no gradient
        wanted = [x.requires_grad_() for x in inputs if x.is_floating_point()]
        made = {
            k: library.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()
        }
        out = getattr(functions, name)(*given, **made)
        seed = np.random.default_rng(1).normal(size=tuple(out.shape))
        out.backward(library.tensor(seed))
        zero = [np.zeros(tuple(x.shape)) if x.grad is None else x.grad.numpy() for x in wanted]
        results.append([out.detach().numpy(), *zero])
    return results


def check(name, arrays, **options):
    for ours, theirs in zip(*run(name, arrays, options), strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


CASES = [
    *[("margin_ranking_loss", (A, B, SIGNS), {"margin": m}) for m in (0.0, 0.7)],
    *[("hinge_embedding_loss", (A, SIGNS), {"margin": m}) for m in (1.0, 0.3)],
    *[("cosine_embedding_loss", (A, B, SIGNS[:, 0]), {"margin": m}) for m in (0.0, 0.5)],
    ("cosine_embedding_loss", (A[1], B[1], SIGNS[0, 0]), {}),
    ("soft_margin_loss", (A * 3, SIGNS), {}),
    *[
        ("multi_margin_loss", (A, CLASSES), {"p": p, "margin": m} | w)
        for p, m, w in itertools.product((1, 2), (1.0, 0.5), ({}, {"weight": POSITIVE[0]}))
    ],
    ("multi_margin_loss", (A[0], CLASSES[0]), {}),
    ("multilabel_margin_loss", (A, LABELS), {}),
    ("multilabel_margin_loss", (A[0], LABELS[0]), {}),
    ("multilabel_soft_margin_loss", (A, POSITIVE), {}),
    ("multilabel_soft_margin_loss", (A, POSITIVE), {"weight": POSITIVE[1]}),
    *[
        ("triplet_margin_loss", (A, B, C), {"margin": m, "p": p, "swap": s})
        for m, p, s in itertools.product((1.0, 3.0), (1.0, 2.0, 3.0), (False, True))
    ],
    ("triplet_margin_loss", (A[1], B[1], C[1]), {"eps": 1e-3}),
    ("triplet_margin_with_distance_loss", (A, B, C), {"swap": True}),
    *[
        ("gaussian_nll_loss", (A, B, var), {"full": full, "eps": eps})
        for var, full, eps in itertools.product(
            (POSITIVE, POSITIVE[:, :1], POSITIVE[:, 0]), (False, True), (1e-6, 0.4)
        )
    ],
    ("gaussian_nll_loss", (A, B), {"var": 0.5}),
    *[
        ("poisson_nll_loss", (POSITIVE, POSITIVE * 4), {"log_input": log, "full": full})
        for log, full in itertools.product((False, True), (False, True))
    ],
]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "arrays", "options"), CASES)
def test_losses(name, arrays, options, reduction):
    check(name, arrays, **options, reduction=reduction)


@pytest.mark.parametrize(
    ("name", "arrays", "options"),
    [
        ("cosine_similarity", (A, B), {}),
        ("cosine_similarity", (A, B), {"dim": 0}),
        ("cosine_similarity", (A, B[0]), {"dim": -1}),
        ("cosine_similarity", (A * np.array([[0.0], [1], [1], [1], [1]]), B), {"eps": 0.1}),
        *[("pairwise_distance", (A, B), {"p": p}) for p in (1.0, 2.0, 3.5, np.inf)],
        ("pairwise_distance", (A, B), {"keepdim": True, "eps": 0.0}),
        *[("pdist", (A,), {"p": float(p)}) for p in (0.5, 1.0, 2.0, 3.5)],
        ("bilinear", (A, B, RNG.normal(size=(3, 4, 4)), RNG.normal(size=3)), {}),
        ("bilinear", (RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 3, 2)),
                      RNG.normal(size=(3, 4, 2))), {}),
        ("bilinear", (A[0], B[0], RNG.normal(size=(3, 4, 4))), {}),
        ("glu", (A,), {}),
        ("glu", (RNG.normal(size=(6, 3)),), {"dim": 0}),
        ("prelu", (A, RNG.normal(size=4)), {}),
        ("prelu", (RNG.normal(size=(2, 3, 4)), RNG.normal(size=3)), {}),
        ("prelu", (RNG.normal(size=()), RNG.normal(size=1)), {}),
        ("rrelu", (A,), {}),
        ("softmin", (A,), {"dim": 1}),
        ("threshold", (A,), {"threshold": 0.1, "value": -3.0}),
    ],
)  # fmt: skip
def test_functions(name, arrays, options):
    check(name, arrays, **options)


INPLACE = ["relu_", "elu_", "celu_", "selu_", "leaky_relu_", "hardtanh_", "rrelu_"]


@pytest.mark.parametrize("name", INPLACE)
def test_in_place_forms_write_and_return_their_input(name):
    results = []
    for library, functions in ((cp, F), (torch, T)):
        x = library.tensor(A).requires_grad_()
        y = x * 2
        out = getattr(functions, name)(y)
        assert out is y
        (out * out).sum().backward()
        results.append((out.detach().numpy(), x.grad.numpy()))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


MISTAKES = [
    ("margin_ranking_loss", (A, B[0], SIGNS), {}),
    ("cosine_embedding_loss", (A, B, SIGNS), {}),
    ("multi_margin_loss", (A, CLASSES), {"p": 3}),
    ("multi_margin_loss", (A, CLASSES[:3]), {}),
    ("multi_margin_loss", (A, CLASSES), {"weight": A[0, :3]}),
    ("multilabel_margin_loss", (A, LABELS[:, :3]), {}),
    ("triplet_margin_loss", (A, B[0], C), {}),
    ("gaussian_nll_loss", (A, B, -POSITIVE), {}),
    ("gaussian_nll_loss", (A, B, POSITIVE[:3]), {}),
    ("soft_margin_loss", (A, SIGNS), {"reduction": "most"}),
    ("glu", (A[:, :3],), {}),
    ("softshrink", (A,), {"lambd": -1.0}),
    ("bilinear", (A, B[:2], RNG.normal(size=(3, 4, 4))), {}),
    ("bilinear", (A, B, RNG.normal(size=(3, 4, 5))), {}),
    ("prelu", (A, A[0, :3]), {}),
    ("pdist", (A[0],), {}),
    ("rrelu", (A,), {"lower": 1.0, "upper": 0.5}),
    ("dropout1d", (A[0],), {}),
    ("feature_alpha_dropout", (A[0],), {"training": True}),
]


@pytest.mark.parametrize(("name", "arrays", "options"), MISTAKES)
def test_mistakes_raise_the_same_type(name, arrays, options):
    raised = []
    for library, functions in ((cp, F), (torch, T)):
        made = {
            k: library.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()
        }
        with pytest.raises(Exception) as caught:
            getattr(functions, name)(*[library.tensor(a) for a in arrays], **made)
        raised.append(caught.value)
    assert isinstance(raised[0], type(raised[1])), raised


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (2, 3, 4, 5), (2, 3, 2, 4, 5)])
@pytest.mark.parametrize(
    "name", ["dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout", "alpha_dropout"]
)
@pytest.mark.filterwarnings("ignore:dropout")
def test_dropped_channels_have_the_same_values(name, shape):
    if name == "dropout1d" and len(shape) > 3:
        return
    found = []
    for library, functions in ((cp, F), (torch, T)):
        library.manual_seed(1)
        x = library.ones(*shape, dtype=library.float64)
        seen, patterns = set(), set()
        for _ in range(80):
            y = getattr(functions, name)(x, 0.4, True).numpy().round(9)
            seen |= set(y.ravel().tolist())
            flat = y.reshape(y.shape[0], y.shape[1], -1) if y.ndim > 2 else y[..., None]
            patterns.add(bool((flat == flat[..., :1]).all()))  # one value in every channel
        found.append((seen, False in patterns))
    assert found[0] == found[1]


def test_gumbel_softmax():
    logits = RNG.normal(size=(4000, 3))
    p = np.exp(logits[:1]) / np.exp(logits[:1]).sum()
    many = np.repeat(logits[:1], 4000, 0)
    x = cp.tensor(many, requires_grad=True)
    hard = F.gumbel_softmax(x, hard=True)
    np.testing.assert_allclose(hard.detach().numpy().mean(0), p[0], atol=0.03)
    assert set(hard.detach().numpy().round(12).ravel().tolist()) == {0.0, 1.0}
    hard.sum(0)[0].backward()
    assert np.abs(x.grad.numpy()).max() > 0
    soft = F.gumbel_softmax(cp.tensor(many), tau=0.5, dim=1)
    np.testing.assert_allclose(soft.numpy().sum(1), 1)


LAYERS = [("Bilinear", (3, 4, 5)), ("PReLU", (3,))]


@pytest.mark.parametrize(("name", "sizes"), LAYERS)
def test_layers_start_with_the_very_weights_of_pytorch(name, sizes):
    for seed in (0, 7):
        cp.manual_seed(seed)
        torch.manual_seed(seed)
        ours, theirs = getattr(cp.nn, name)(*sizes), getattr(torch.nn, name)(*sizes)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
