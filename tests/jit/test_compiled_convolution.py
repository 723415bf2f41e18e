"""Convolutions and their adjoints as native code, against eager mode."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
from clearprop.core import apply
from clearprop.graph import evaluate, trace
from clearprop.jit.program import Program
from clearprop.jit.schedule import Callback, schedule
from clearprop.ops.convolution import CONVOLUTION, CONVOLUTION_INPUT, CONVOLUTION_WEIGHT
from clearprop.ops.convolution_kernels import output_size


def both(f, arrays):
    """What f gives compiled and in eager mode."""
    traced = trace(f, *map(cp.from_numpy, arrays))
    arrays = [np.ascontiguousarray(a) for a in (*arrays, *traced.captured)]
    wanted = evaluate(traced.graph, arrays)
    outputs = [np.full(v.aval.shape, 7, v.aval.dtype.np) for v in traced.graph.outputs]
    program = Program(traced.graph)
    program.run(arrays, outputs)
    left = [k.why for k in schedule(traced.graph).kernels if isinstance(k, Callback)]
    return outputs, wanted, left


def assert_close(got, wanted):
    limit = 1e-4 if got.dtype == np.float32 else 1e-11
    size = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(got, wanted, rtol=limit, atol=limit * size)


def check(rng, n, c, o, size, kernel, stride, padding, dilation, groups, d):
    out = tuple(map(output_size, size, kernel, stride, padding, dilation))
    if min(out) < 1:
        return
    x, w, g = (
        rng.standard_normal(shape).astype(d)
        for shape in ((n, c, *size), (o, c // groups, *kernel), (n, o, *out))
    )
    p = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}

    def f(x, w, g):
        return (
            apply(CONVOLUTION, x, w, **p),
            apply(CONVOLUTION_INPUT, g, w, size=size, **p),
            apply(CONVOLUTION_WEIGHT, x, g, kernel=kernel, **p),
        )

    outputs, wanted, left = both(f, [x, w, g])
    assert not left
    for a, b in zip(outputs, wanted, strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("seed", range(60))
def test_random_convolutions(seed):
    rng = np.random.default_rng(seed)
    axes = int(rng.choice([1, 2, 2, 2, 3]))
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    c, o = (groups * int(rng.choice([1, 2, 3, 5, 8, 17])) for _ in range(2))
    pick = lambda *of: tuple(int(i) for i in rng.choice(of, axes))
    largest = 20 if axes < 3 else 7
    size = tuple(int(i) for i in rng.integers(3, largest, axes))
    padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 4, (axes, 2)))
    d = np.float32 if seed % 3 else np.float64
    check(rng, int(rng.choice([1, 3])), c, o, size, pick(1, 2, 3), pick(1, 1, 2, 3), padding,
          pick(1, 1, 2), groups, d)  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [
        (2, 1, 6, (28, 28), (5, 5), (1, 1), ((2, 2), (2, 2)), (1, 1), 1),  # LeNet
        (2, 6, 16, (14, 14), (5, 5), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
        (1, 3, 33, (19, 37), (7, 7), (2, 2), ((3, 3), (3, 3)), (1, 1), 1),
        (2, 32, 48, (9, 9), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
        (1, 24, 24, (12, 40), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 24),  # one by one
        (3, 40, 20, (5, 5), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
        (2, 4, 5, (100,), (9,), (1,), ((8, 0),), (1,), 1),
        (2, 2, 3, (300,), (50,), (1,), ((20, 5),), (1,), 1),  # long kernels
        (1, 3, 17, (300,), (37,), (4,), ((20, 5),), (3,), 1),
        (1, 2, 18, (12, 200), (3, 41), (2, 5), ((1, 1), (7, 20)), (1, 2), 1),
        (1, 2, 2, (30, 30), (11, 1), (3, 1), ((5, 5), (0, 0)), (2, 1), 2),
    ],
)
def test_convolutions_of_every_form(case):
    check(np.random.default_rng(0), *case, np.float32)


def test_of_views():
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((9, 8, 3, 2)), rng.standard_normal((3, 3, 3, 4))

    def f(x, w):
        x, w = x.permute(3, 2, 1, 0)[:, :, 1:], w.permute(3, 0, 2, 1).flip(2)
        return cp.conv2d(x, w, padding=1)

    (got,), (wanted,), left = both(f, [x, w])
    assert not left
    assert_close(got, wanted)


def test_nan_and_infinity_stay_where_they_are():
    x = np.ones((1, 2, 6, 20), np.float32)
    x[0, 1, 2, 3], x[0, 0, 4, 15] = np.nan, np.inf
    w = np.ones((17, 2, 3, 3), np.float32)
    f = lambda x, w: cp.conv2d(x, w, padding=1)
    (got,), (wanted,), _ = both(f, [x, w])
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("channels", [5, 17])
def test_bias_and_relu_are_done_while_a_tile_is_stored(channels):
    rng = np.random.default_rng(2)
    x, w, b = (
        rng.standard_normal(s).astype("f")
        for s in ((3, 4, 9, 21), (channels, 4, 3, 3), (channels,))
    )
    f = lambda x, w, b: cp.relu(cp.conv2d(x, w, b, padding=1))
    (got,), (wanted,), _ = both(f, [x, w, b])
    assert_close(got, wanted)
    assert (got == 0).any()
    assert len(schedule(trace(f, *map(cp.from_numpy, (x, w, b))).graph).kernels) == 1
    g = lambda x, w, b: cp.relu(cp.conv2d(x, w) + b.reshape(-1, 1, 1)[:1])
    (got,), (wanted,), _ = both(g, [x, w, b])
    assert_close(got, wanted)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_transposed_convolutions_with_bias_and_relu(stride):
    rng = np.random.default_rng(3)
    x, w, b = (rng.standard_normal(s).astype("f") for s in ((2, 6, 7, 9), (6, 5, 2, 3), (5,)))
    f = lambda x, w, b: cp.relu(cp.conv_transpose2d(x, w, b, stride=stride, padding=(0, 1)))
    (got,), (wanted,), left = both(f, [x, w, b])
    assert not left
    assert_close(got, wanted)
