"""Pooling and its adjoints as native code, against eager mode."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
from clearprop.core import apply, apply_many
from clearprop.graph import evaluate, trace
from clearprop.jit.program import Program
from clearprop.jit.schedule import Callback, schedule
from clearprop.ops import pooling
from clearprop.ops.convolution_kernels import output_size


def assert_native(f, *arrays, exact=True):
    """f computes compiled what it computes in eager mode, and calls nothing back."""
    traced = trace(f, *map(cp.from_numpy, arrays))
    arrays = [np.ascontiguousarray(a) for a in (*arrays, *traced.captured)]
    wanted = evaluate(traced.graph, arrays)
    outputs = [np.full(v.aval.shape, 7, v.aval.dtype.np) for v in traced.graph.outputs]
    Program(traced.graph).run(arrays, outputs)
    assert not [k.why for k in schedule(traced.graph).kernels if isinstance(k, Callback)]
    for a, b in zip(outputs, wanted, strict=True):
        if exact:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)


def windows(rng, axes):
    """Params of some windows over an axis each, with no more padding than half of them."""
    while True:
        kernel, stride, dilation = (
            tuple(int(i) for i in rng.choice(of, axes))
            for of in ([1, 2, 3, 5], [1, 2, 3], [1, 1, 2])
        )
        pads = tuple((int(rng.integers(0, k // 2 + 1)), int(rng.integers(0, 2))) for k in kernel)
        size = tuple(int(i) for i in rng.integers(3, 40 if axes == 1 else 21, axes))
        out = tuple(map(output_size, size, kernel, stride, pads, dilation))
        # each window begins before the end of x
        starts = zip(out, stride, pads, size, strict=True)
        if all(t > 0 and (t - 1) * s - a < n for t, s, (a, _), n in starts):
            return size, {"kernel": kernel, "stride": stride, "padding": pads, "dilation": dilation}


@pytest.mark.parametrize("seed", range(40))
def test_random_windows(seed):
    rng = np.random.default_rng(seed)
    axes = int(rng.choice([1, 2, 2, 3]))
    size, p = windows(rng, axes)
    d = np.float32 if seed % 2 else np.float64
    lead = [(), (3,), (2, 3)][seed % 3]
    x = rng.integers(-9, 9, (*lead, *size)).astype(d)
    x.reshape(-1)[:: int(rng.choice([7, 1000]))] = np.nan if seed % 4 == 1 else 0

    def largest(x):
        value, winners = apply_many(pooling.MAX_POOL, x, **p)
        back = apply(pooling.MAX_POOL_INPUT, value, winners, size=size, **p)
        return value, winners, back, apply(pooling.MAX_POOL_PICK, x, winners, **p)

    assert_native(largest, x)
    sums = {k: v for k, v in p.items() if k != "dilation"}
    if max(p["dilation"]) > 1:
        return

    def total(x):
        y = apply(pooling.SUM_POOL, x, **sums)
        return y, apply(pooling.SUM_POOL_INPUT, y, size=size, **sums)

    assert_native(total, x)


def test_all_that_is_minus_infinity():
    x = np.full((2, 5, 37), -np.inf, np.float32)
    p = {"kernel": (3, 3), "stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)}
    assert_native(lambda x: apply_many(pooling.MAX_POOL, x, **p), x)


def test_of_views_and_whole_planes():
    x = np.random.default_rng(0).standard_normal((20, 33, 4, 3)).astype(np.float32)
    p = {"kernel": (2, 3), "stride": (2, 3), "padding": ((0, 0), (0, 0))}
    f = lambda x: apply(pooling.SUM_POOL, x.permute(3, 2, 0, 1), **p)
    assert_native(f, x, exact=False)
    p |= {"kernel": (4, 3), "stride": (4, 3)}
    assert_native(lambda x: apply(pooling.SUM_POOL, x, **p), x, exact=False)
    back = lambda x: apply(pooling.SUM_POOL_INPUT, x, size=(4, 3), **p) * 2
    assert_native(back, x[..., :1, :1].copy())
    p |= {"kernel": (3, 12), "stride": (3, 12)}
    back = lambda x: apply(pooling.SUM_POOL_INPUT, x, size=(13, 38), **p)
    assert_native(back, x[..., :3].copy())
    p |= {"kernel": (17, 33), "stride": (2, 1)}
    f = lambda x: apply(pooling.SUM_POOL, x.permute(3, 2, 0, 1), **p)
    assert_native(f, x, exact=False)
