"""Layers that normalise, by their formulas in NumPy: values, running statistics, gradients in
training, compiled steps, mistakes.
"""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
import clearprop.nn.functional as F
from clearprop import nn
from clearprop.autograd import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)


def standard(x, axes, eps=1e-5):
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + eps)


def near(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d, (5, 3)),
        (nn.BatchNorm1d, (5, 3, 4)),
        (nn.BatchNorm2d, (5, 3, 4, 2)),
        (nn.BatchNorm3d, (5, 3, 4, 2, 2)),
    ],
)
def test_batch_norm_in_training_and_evaluation(layer, shape):
    m = layer(3, dtype=cp.float64)
    mean, var = np.zeros(3), np.ones(3)
    axes = (0, *range(2, len(shape)))
    for step in range(3):
        x = RNG.standard_normal(shape) * 2 + step
        near(m(cp.tensor(x)), standard(x, axes))
        mean = 0.9 * mean + 0.1 * x.mean(axes)
        var = 0.9 * var + 0.1 * x.var(axes, ddof=1)
        near(m.running_mean, mean)
        near(m.running_var, var)
    assert m.num_batches_tracked.item() == 3
    assert m.num_batches_tracked.dtype is cp.int64
    at = (3,) + (1,) * (len(shape) - 2)
    wanted = (x - mean.reshape(at)) / np.sqrt(var.reshape(at) + 1e-5)
    near(m.eval()(cp.tensor(x)), wanted)
    near(m.running_mean, mean)
    assert m.num_batches_tracked.item() == 3


def test_momentum_none_averages_all_batches_alike():
    m = nn.BatchNorm1d(2, momentum=None, dtype=cp.float64)
    xs = RNG.standard_normal((4, 6, 2))
    for x in xs:
        m(cp.tensor(x))
    near(m.running_mean, xs.mean((0, 1)))
    near(m.running_var, xs.var(1, ddof=1).mean(0))


def test_reset_running_stats():
    m = nn.BatchNorm1d(2)
    m(cp.randn(4, 2))
    m.reset_running_stats()
    assert m.running_mean.tolist() == [0, 0] and m.running_var.tolist() == [1, 1]
    assert m.num_batches_tracked.item() == 0


def test_running_statistics_of_instance_norm():
    m = nn.InstanceNorm1d(3, track_running_stats=True, dtype=cp.float64)
    x = RNG.standard_normal((4, 3, 5))
    near(m(cp.tensor(x)), standard(x, 2))
    mean, var = 0.1 * x.mean((0, 2)), 0.9 + 0.1 * x.var(2, ddof=1).mean(0)
    near(m.running_mean, mean)
    near(m.running_var, var)
    near(m.eval()(cp.tensor(x)), (x - mean[:, None]) / np.sqrt(var[:, None] + 1e-5))


def test_one_example_without_a_batch_axis():
    x = RNG.standard_normal((3, 5))
    near(nn.InstanceNorm1d(3)(cp.tensor(x)), standard(x, 1))


def test_layer_group_and_rms_norm():
    x = RNG.standard_normal((2, 4, 3))
    near(nn.LayerNorm(3, dtype=cp.float64)(cp.tensor(x)), standard(x, 2))
    near(nn.LayerNorm((4, 3), dtype=cp.float64)(cp.tensor(x)), standard(x, (1, 2)))
    grouped = standard(x.reshape(2, 2, 6), 2).reshape(x.shape)
    near(nn.GroupNorm(2, 4, dtype=cp.float64)(cp.tensor(x)), grouped)
    eps = np.finfo(np.float64).eps
    rms = x / np.sqrt((x * x).mean(2, keepdims=True) + eps)
    near(nn.RMSNorm(3, dtype=cp.float64)(cp.tensor(x)), rms)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_local_response_norm_looks_at_the_channels_around(size):
    x = RNG.standard_normal((2, 5, 3))
    wanted = np.empty_like(x)
    for c in range(5):
        near_by = x[:, max(0, c - size // 2) : c + (size - 1) // 2 + 1]
        wanted[:, c] = x[:, c] / (2 + 0.3 / size * (near_by**2).sum(1)) ** 0.5
    near(F.local_response_norm(cp.tensor(x), size, 0.3, 0.5, 2.0), wanted)


def test_normalize_of_a_zero_vector():
    x = cp.zeros(1, 2, dtype=cp.float64, requires_grad=True)
    y = F.normalize(x)
    y.sum().backward()
    assert y.tolist() == [[0, 0]] and x.grad.tolist() == [[1e12, 1e12]]
    near(F.normalize(cp.tensor([[3.0, 4.0]], dtype=cp.float64), p=1, axis=0), [[1, 1]])


TRAINED = {
    "batch": (lambda: nn.BatchNorm1d(3), (4, 3)),
    "batch, images": (lambda: nn.BatchNorm2d(2), (2, 2, 2, 3)),
    "instance": (lambda: nn.InstanceNorm1d(2, affine=True, track_running_stats=True), (2, 2, 3)),
}


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_in_training(name):
    make, shape = TRAINED[name]
    m = make().double()
    x = cp.tensor(RNG.standard_normal(shape), requires_grad=True)
    arguments = [x, *m.parameters()]
    assert gradcheck(lambda x, *_: m(x), arguments)
    assert gradgradcheck(lambda x, *_: m(x), arguments)


STEPPED = TRAINED | {
    "cumulative": (lambda: nn.BatchNorm1d(3, momentum=None), (4, 3)),
    "no statistics": (lambda: nn.BatchNorm1d(3, track_running_stats=False), (4, 3)),
}


@pytest.mark.parametrize("name", STEPPED)
def test_compiled_steps_are_those_of_eager_mode(name):
    make, shape = STEPPED[name]
    sides = []
    for compiled in (False, True):
        m = make().double()
        opt = cp.optim.SGD(m.parameters(), lr=0.1)

        def step(x, m=m, opt=opt):
            opt.zero_grad()
            loss = (m(x) ** 3).mean()
            loss.backward()
            opt.step()
            return loss

        read = lambda x, m=m: m(x)
        sides.append((m, *(cp.compile(f) if compiled else f for f in (step, read))))
    for i in range(8):
        x = cp.tensor(RNG.standard_normal(shape) + i)
        a, b = (step(x).item() for _, step, _ in sides)
        np.testing.assert_allclose(a, b, 1e-10)
        if i % 3 == 2:  # a look at it in evaluation, in between
            a, b = (read(x) for m, _, read in sides if m.eval())
            near(a, b.detach().numpy())
            for m, _, _ in sides:
                m.train()
        for p, q in zip(*(m.state_dict().values() for m, _, _ in sides), strict=True):
            near(p, q.numpy())


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: nn.BatchNorm1d(3)(cp.ones(1, 3)), ValueError, "more than 1 value per channel"),
        (lambda: nn.BatchNorm1d(3)(cp.ones(3)), ValueError, r"2D or 3D input \(got 1D input\)"),
        (lambda: nn.BatchNorm2d(3)(cp.ones(2, 3)), ValueError, r"4D input \(got 2D input\)"),
        (lambda: nn.BatchNorm1d(4)(cp.ones(2, 3)), RuntimeError, "contain 3 elements not 4"),
        (lambda: nn.BatchNorm1d(3)(cp.ones(2, 3).double()), RuntimeError, "mixed dtype"),
        (lambda: F.batch_norm(cp.ones(2, 3), None, None), RuntimeError, "evaluation mode"),
        (lambda: F.batch_norm(cp.ones(2, 3), cp.ones(3), None), RuntimeError, "running_var must"),
        (
            lambda: F.batch_norm(cp.ones(2, 3), cp.ones(3), None, training=True),
            ValueError,
            "both be None",
        ),
        (lambda: nn.InstanceNorm1d(3)(cp.ones(2, 3, 1)), ValueError, "1 spatial element"),
        (lambda: nn.InstanceNorm1d(4, affine=True)(cp.ones(2, 3, 2)), ValueError, "but got: 3"),
        (lambda: nn.LayerNorm(4)(cp.ones(2, 3)), RuntimeError, "expected input with shape"),
        (lambda: F.layer_norm(cp.ones(3), []), RuntimeError, "at least 1-dimensional"),
        (lambda: F.layer_norm(cp.ones(3), 3), TypeError, "must be tuple of ints"),
        (lambda: F.layer_norm(cp.ones(3).long(), [3]), NotImplementedError, "not implemented"),
        (lambda: nn.GroupNorm(2, 3), ValueError, r"\(3\) must be divisible by num_groups \(2\)"),
        (lambda: F.group_norm(cp.ones(2, 3), 2), RuntimeError, "divisible by num_groups"),
        (lambda: F.group_norm(cp.ones(1, 3), 3), ValueError, "more than 1 value per channel"),
        (lambda: nn.LocalResponseNorm(2)(cp.ones(2, 3)), ValueError, "Expected 3D or higher"),
    ],
)  # fmt: skip
def test_mistakes_are_named(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_width_of_instance_norm_that_does_not_matter_is_a_warning():
    with pytest.warns(UserWarning, match="does not match num_features"):
        nn.InstanceNorm1d(4)(cp.ones(2, 3, 2))


def test_a_state_dict_without_a_count_can_be_loaded():
    m = nn.BatchNorm1d(2)
    state = m.state_dict()
    del state["num_batches_tracked"]
    assert m.load_state_dict(state) == ([], [])
