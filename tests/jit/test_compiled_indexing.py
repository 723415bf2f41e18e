"""Gathers, scatters, running sums and the places of extremes as native code, against eager mode."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.autograd import grad
from clearprop.core import apply
from clearprop.graph import optimize, trace
from clearprop.jit.program import Program
from clearprop.jit.schedule import Callback, schedule
from clearprop.ops.index import PUT, PUT_ADD

RNG = np.random.default_rng(0)


def index(size, *shape):
    return cp.from_numpy(RNG.integers(0, size, shape))


def assert_native(f, *xs, same=True):
    """f computes compiled what it computes in eager mode, to the bit, and calls nothing back."""
    wanted = f(*xs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    traced = trace(f, *xs)
    graph = optimize(traced.graph)
    left = [k.why for k in schedule(graph).kernels if isinstance(k, Callback)]
    assert not left
    outputs = [np.full(v.aval.shape, 7, v.aval.dtype.np) for v in graph.outputs]
    arrays = [np.ascontiguousarray(x.detach().numpy()) for x in xs] + traced.captured
    Program(graph).run(arrays, outputs)
    for got, y in zip(outputs, wanted, strict=True):
        np.testing.assert_array_equal(got, y.detach().numpy())


@pytest.mark.parametrize("dtype", [cp.float32, cp.float64, cp.int64, cp.bool_, cp.float16])
@pytest.mark.parametrize("width", [1, 3, 16, 67])
def test_rows_by_index(dtype, width):
    x = cp.from_numpy(RNG.integers(0, 2, (50, width))).to(dtype)
    assert_native(lambda x, i: x[i], x, index(50, 4, 30))
    assert_native(lambda x, i: x.T.contiguous().T[i], x, index(50, 9))
    assert_native(lambda x, i: x[:, i], x, index(width, 8))
    assert_native(lambda x, i, j: x[i, j], x, index(50, 5), index(width, 5))
    assert_native(lambda x, i: x[10:40:2][i], x, index(15, 7))


@pytest.mark.parametrize("shape", [(40, 5), (3, 4, 6), (7,), (5, 5000), (6000, 3)])
def test_along_every_axis(shape):
    x = cp.from_numpy(RNG.standard_normal(shape))
    for dim, n in enumerate(shape):
        fewer = tuple(max(1, m - 1) if d != dim else 3 for d, m in enumerate(shape))
        i = index(n, *fewer)
        values = cp.from_numpy(RNG.standard_normal(fewer))
        assert_native(lambda x, i: cp.gather(x, dim, i), x, i)  # noqa: B023
        assert_native(lambda x, i, v: cp.scatter_add(x, dim, i, v), x, i, values)  # noqa: B023
        for f in (cp.argmax, cp.argmin, cp.cumsum):
            assert_native(lambda x: f(x, dim), x)  # noqa: B023
        assert_native(lambda x: tuple(cp.max(x, dim)), x)  # noqa: B023


@pytest.mark.parametrize("dtype", [cp.float32, cp.float64, cp.int64, cp.int8, cp.bool_])
def test_running_sums_of_every_type(dtype):
    for shape in [(200,), (3, 70), (70, 3), (4, 9, 5)]:
        x = cp.from_numpy(RNG.integers(0, 2, shape)).to(dtype)
        for dim in range(len(shape)):
            assert_native(lambda x: cp.cumsum(x, dim, dtype=x.dtype), x)  # noqa: B023
            assert_native(lambda x: cp.cumsum(x.transpose(0, -1), dim, dtype=x.dtype), x)  # noqa: B023


def test_repeated_indices_add_up_in_order():
    base, values = cp.rand(6, 33), cp.rand(400, 33)
    i = index(6, 400)
    assert_native(lambda b, v, i: apply(PUT_ADD, b, v, i), base, values, i)
    assert_native(lambda b, v, i: apply(PUT, b, v, i), base, values, i)
    assert_native(lambda b, v, i: apply(PUT_ADD, b.T, v[:33], i[:33]), base, cp.rand(33, 6), i)


def test_the_first_of_equal_extremes_and_nan():
    x = cp.tensor([[1.0, 3, 3, -1], [2, float("nan"), 5, float("nan")], [0.0, -0.0, 0, -0.0]])
    for dim in (0, 1):
        assert_native(lambda x: cp.argmax(x, dim), x)  # noqa: B023
        assert_native(lambda x: cp.argmin(x, dim), x)  # noqa: B023
        assert_native(lambda x: cp.argmax(x * 2 + 1, dim), x)  # noqa: B023
    for y in (x > 0, (x * 3).nan_to_num().long()):
        assert_native(lambda x: cp.argmax(x, 1), y)
    assert_native(lambda x: cp.argmax(x), x)
    assert_native(lambda x: cp.argmax(x, 1), cp.full((3, 200), -float("inf")))
    assert_native(lambda x: cp.argmax(x[:, :1], 1), x)


def test_an_embedding_with_its_gradient():
    w, i = cp.rand(100, 24).requires_grad_(), index(100, 8, 9)

    def f(w, i):
        y = w[i]
        return y, grad((y * y).sum(), w)[0]

    assert_native(f, w, i)


@pytest.mark.parametrize("rows", [5, 9000])
def test_an_index_out_of_range_is_an_error_before_anything_is_written(rows):
    table = cp.rand(rows, 3)
    seen = cp.zeros(4, 3)
    kept = table.clone()

    @cp.compile
    def look(i):
        seen.copy_(table[i])
        table[i] = cp.zeros(4, 3)
        return seen.sum()

    look(cp.tensor([0, 1, 2, 1]))
    assert look.explain().count("eager") == 0
    table.copy_(kept)
    before = seen.clone()
    for bad in (rows, -rows - 1, 1 << 40):
        with pytest.raises(IndexError, match="out of range"):
            look(cp.tensor([0, 1, bad, 2]))
        assert (seen == before).all() and (table == kept).all()
    look(cp.tensor([-1, 0, -rows, 1]))
    assert (seen[0] == kept[-1]).all() and (table[-1] == 0).all()


def test_rows_are_written_in_place():
    table = cp.rand(3000, 8)

    @cp.compile
    def write(i, rows):
        table[i] = rows

    one = table.clone()
    i, rows = index(3000, 20), cp.rand(20, 8)
    write(i, rows)
    one[i] = rows
    assert (table == one).all()
    (version,) = [v for known in write.versions.values() for v in known]
    assert version.program.plan.arena < 3000 * 8 * 4


def test_a_network_that_begins_with_an_embedding():
    def run(compiled):
        cp.manual_seed(3)
        table, head = nn.Parameter(cp.rand(30, 8)), nn.Linear(8, 5)
        optimizer = cp.optim.Adam([table, *head.parameters()], lr=0.02)

        def step(i, y):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(head(table[i].mean(1)), y)
            loss.backward()
            optimizer.step()
            return loss

        f = cp.compile(step) if compiled else step
        losses = [f(index, y).item() for _ in range(20)]
        assert not compiled or "eager" not in f.explain()
        return losses

    index, y = cp.randint(0, 30, (16, 4)), cp.randint(0, 5, (16,))
    np.testing.assert_allclose(run(True), run(False), rtol=1e-4)


@pytest.mark.parametrize("reduce", ["prod", "amax", "amin", "mean", "sum"])
@pytest.mark.parametrize("dtype", [cp.float32, cp.int64, cp.int8])
def test_scatters_of_every_kind(reduce, dtype):
    if reduce == "mean" and dtype is not cp.float32:
        return
    x = cp.from_numpy(RNG.integers(1, 5, (6, 40))).to(dtype)
    values = cp.from_numpy(RNG.integers(1, 5, (9, 35))).to(dtype)
    if dtype is cp.float32:
        values[2, 3] = float("nan")
    f = lambda x, i, v: cp.scatter_reduce(x, 0, i, v, reduce)
    assert_native(f, x, index(6, 9, 35), values)
    f = lambda x, i, v: cp.scatter_reduce(x, 1, i, v, reduce, include_self=False)
    assert_native(f, x, index(40, 6, 35), values[:6])


@pytest.mark.parametrize("shape", [(5, 7), (4, 1, 3)])
def test_one_index_in_each_row(shape):
    x, one = cp.from_numpy(RNG.standard_normal(shape)), (*shape[:-1], 1)
    i, values = index(shape[-1], *one), cp.from_numpy(RNG.standard_normal(one))
    assert_native(lambda x, i, v: cp.scatter(x, -1, i, v), x, i, values)
    assert_native(lambda x, i, v: cp.scatter_add(x, -1, i, v), x, i, values)
    for reduce in ("prod", "amax", "amin"):
        f = lambda x, i, v: cp.scatter_reduce(x, -1, i, v, reduce)  # noqa: B023
        assert_native(f, x, i, values)
    assert_native(lambda x, i: cp.gather(x * 2, -1, i), x, i)
