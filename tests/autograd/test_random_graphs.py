"""Random graphs: backward on bare arrays, backward that records, and finite differences agree.

Shared nodes, diamonds, views, broadcasting, several outputs, in-place writes.
"""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
from clearprop.autograd import grad

SEEDS = range(60)
SHAPES = [(3, 4), (1, 4), (3, 1), (4,), (1,), ()]

# Smooth and tame everywhere, so that finite differences are exact to many digits.
UNARY = {
    "tanh": lambda x: x.tanh(),
    "sin": lambda x: x.sin(),
    "sigmoid": lambda x: x.sigmoid(),
    "square": lambda x: x * x * 0.3,
    "neg": lambda x: -x,
    "expm1": lambda x: (x.tanh() * 0.5).expm1(),
    "rsqrt": lambda x: (x * x + 1).rsqrt(),
    "clone": lambda x: x.clone(),
}
VIEWS = {
    "transposed back": lambda x: x.reshape(1, -1).t().reshape(x.shape),
    "flat and back": lambda x: x.flatten().view(x.shape),
    "row of a stack": lambda x: cp.stack([x, x * 2])[1],
    "halves": lambda x: cp.cat(cp.split(x.flatten(), 2)).reshape(x.shape),
    "flip": lambda x: x.flatten().flip(0).reshape(x.shape),
    "every second": lambda x: x.flatten().repeat(2)[::2].reshape(x.shape),
    "summed up": lambda x: x.flatten().cumsum(0).reshape(x.shape) * 0.2,
    "twice": lambda x: x.unsqueeze(0).expand(3, *x.shape).sum(0) * 0.4,
}
BINARY = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / (y * y + 1),
    "in place": lambda x, y: (x * 0.5 + y * 0).add_(y),
    "into a part": lambda x, y: _written(x, y),
    "gathered": lambda x, y: (x + y * 0) * y.flatten()[[0, -1, 0]].sum() * 0.3,
}
REDUCTIONS = {
    "mean": lambda x: x.mean(),
    "sum": lambda x: x.sum(-1, keepdim=True) * 0.3 if x.ndim else x,
    "logsumexp": lambda x: x.logsumexp(0) if x.ndim else x,
    "softmax": lambda x: x.softmax(-1) if x.ndim else x,
    "norm": lambda x: (x * x + 0.1).sum().sqrt() * 0.3,
    "matmul": lambda x: (x @ x.mT) * 0.2 if x.ndim == 2 else x,
}


def _written(x, y):
    """A copy of x whose last element is overwritten."""
    z = (x * 1 + y * 0).flatten()
    z[-1] = y.sum() * 0.2
    return z.reshape(cp.broadcast_tensors(x, y)[0].shape)


def fits(x, y):
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return True


def program(seed):
    """A function of three arrays, and the arrays; the same ops on every call."""
    shapes = np.random.default_rng(seed).integers(len(SHAPES), size=3)
    arrays = [np.random.default_rng([seed, i]).normal(size=SHAPES[s]) for i, s in enumerate(shapes)]

    def run(*leaves):
        rng = np.random.default_rng([seed, 99])
        pool = list(leaves)
        for _ in range(12):
            # Recent tensors more often: deep graphs, in which some node is used several times.
            x = pool[-1 - min(int(rng.exponential(2)), len(pool) - 1)]
            y = pool[int(rng.integers(len(pool)))]
            table = [UNARY, VIEWS, BINARY, BINARY, REDUCTIONS][int(rng.integers(5))]
            f = table[list(table)[int(rng.integers(len(table)))]]
            if table is not BINARY:
                pool.append(f(x))
            elif fits(x, y):
                pool.append(f(x, y))
        return sum((t * (0.1 * (k % 7) + 0.2)).sum() for k, t in enumerate(pool))

    return run, arrays


def tensors(arrays):
    return [cp.tensor(a, requires_grad=True) for a in arrays]


def differences(f, arrays, eps=1e-5):
    """Central differences of f, evaluated without recording."""
    out = []
    for i, a in enumerate(arrays):
        slope = np.zeros_like(a)
        for k in np.ndindex(a.shape):
            values = []
            for sign in (1, -1):
                moved = [b.copy() for b in arrays]
                moved[i][k] += sign * eps
                with cp.no_grad():
                    values.append(f(*map(cp.tensor, moved)).item())
            slope[k] = (values[0] - values[1]) / (2 * eps)
        out.append(slope)
    return out


@pytest.mark.parametrize("seed", SEEDS)
def test_three_ways_to_the_gradient_agree(seed):
    f, arrays = program(seed)
    bare = tensors(arrays)
    f(*bare).backward()
    recorded = tensors(arrays)
    f(*recorded).backward(create_graph=True)
    named = tensors(arrays)
    found = grad(f(*named), named)
    for a, b, c, slope in zip(bare, recorded, found, differences(f, arrays), strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.detach().numpy(), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(a.grad.numpy(), c.numpy(), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(a.grad.numpy(), slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS[::5])
def test_the_second_derivative_agrees_with_differences_of_the_first(seed):
    f, arrays = program(seed)
    xs = tensors(arrays)
    direction = [np.cos(np.arange(a.size) + 1.0).reshape(a.shape) for a in arrays]

    def slope(*at):
        first = grad(f(*at), at, create_graph=True)
        return sum((g * cp.tensor(d)).sum() for g, d in zip(first, direction, strict=True))

    second = grad(slope(*xs), xs, materialize_grads=True)
    for i, a in enumerate(arrays):
        ends = []
        for sign in (1, -1):
            moved = [b + sign * 1e-5 * direction[i] if j == i else b for j, b in enumerate(arrays)]
            ends.append(slope(*tensors(moved)).item())
        wanted = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(
            (second[i].numpy() * direction[i]).sum(), wanted, rtol=1e-4, atol=1e-5
        )
        assert a.shape == second[i].shape


@pytest.mark.parametrize("seed", SEEDS[::6])
def test_a_retained_graph_gives_the_same_gradient_again(seed):
    f, arrays = program(seed)
    xs = tensors(arrays)
    y = f(*xs)
    first = [g.numpy().copy() for g in grad(y, xs, retain_graph=True)]
    for a, b in zip(first, grad(y, xs), strict=True):
        np.testing.assert_array_equal(a, b.numpy())


def test_the_programs_use_every_op_of_the_tables():
    used = set()
    tables = [UNARY, VIEWS, BINARY, REDUCTIONS]
    originals = [dict(t) for t in tables]
    try:
        for table in tables:
            for name, f in list(table.items()):
                table[name] = lambda *a, name=name, f=f: used.add(name) or f(*a)
        for seed in SEEDS:
            f, arrays = program(seed)
            f(*map(cp.tensor, arrays))
    finally:
        for table, original in zip(tables, originals, strict=True):
            table.update(original)
    assert used == {name for table in tables for name in table}
