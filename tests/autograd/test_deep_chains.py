"""Graphs far deeper than Python's recursion limit, and when their memory goes."""

from __future__ import annotations

import gc
import weakref

import pytest

import clearprop as cp
from clearprop.autograd import grad

DEPTH = 100_000


class Watched:
    """Weak references to what the nodes of a chain keep."""

    def __init__(self):
        self.references = []

    def add(self, x):
        self.references.append(weakref.ref(x))

    @property
    def alive(self):
        return sum(r() is not None for r in self.references)


@pytest.fixture
def no_collector():
    """Only reference counts free memory here."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def chain(x, depth, step):
    for _ in range(depth):
        x = step(x)
    return x


@pytest.mark.parametrize(
    ("step", "depth"),
    [
        (lambda y: y + 1, DEPTH),
        (lambda y: y * 1.0, DEPTH),
        (lambda y: -y, DEPTH),
        (lambda y: y[None][0], 3000),
    ],
    ids=["add", "mul", "neg", "views"],
)
def test_backward_through_a_long_chain(step, depth):
    x = cp.tensor(2.0, dtype=cp.float64, requires_grad=True)
    chain(x, depth, step).backward()
    assert x.grad.item() == 1.0


def test_second_derivative_through_a_long_chain():
    """y = x^2 + x^2 + ... has y'' = 2 per term."""
    x = cp.tensor(3.0, dtype=cp.float64, requires_grad=True)
    depth, y = 20_000, 0
    for _ in range(depth):
        y = y + x * x
    (g,) = grad(y, x, create_graph=True)
    assert g.item() == 6.0 * depth
    assert grad(g, x)[0].item() == 2.0 * depth


def test_every_op_used_twice_does_not_walk_every_path():
    """2^60 paths, 60 nodes."""
    x = cp.tensor(1.0, dtype=cp.float64, requires_grad=True)
    chain(x, 60, lambda y: y + y).backward()
    assert x.grad.item() == 2.0**60


def test_dropping_a_long_chain_without_backward(no_collector):
    x = cp.tensor(2.0, requires_grad=True)
    y = chain(x, DEPTH, lambda y: y * 1.0)
    node = weakref.ref(y.grad_fn)
    del y
    assert node() is None


def test_dropping_a_long_chain_of_a_gradient(no_collector):
    x = cp.tensor(1.0, dtype=cp.float64, requires_grad=True)
    y = chain(x, 20_000, cp.sin)
    (g,) = grad(y, x, create_graph=True)
    nodes = [weakref.ref(y.grad_fn), weakref.ref(g.grad_fn)]
    del y, g
    assert [n() for n in nodes] == [None, None]


def test_an_error_on_the_way_leaves_no_memory_behind(no_collector):
    x = cp.tensor(1.0, requires_grad=True)
    y = x.exp()
    node = weakref.ref(y.grad_fn)
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    del y
    assert node() is None


def test_memory_is_freed_as_backward_goes(no_collector):
    """When the hook of tensor k runs, what the ops after it kept is gone."""
    watched, alive = Watched(), []
    x = cp.ones(4, requires_grad=True)
    y = x
    for i in range(20):
        y = y.exp() if i % 2 else y * y * 0.1
        y.register_hook(lambda g: alive.append(watched.alive))
        watched.add(y)
    loss = y.sum()
    del y
    loss.backward()
    assert len(alive) == 20
    assert alive == sorted(alive, reverse=True)
    assert alive[-1] <= 2
    assert watched.alive == 0


def test_retain_graph_keeps_what_the_rules_need(no_collector):
    x = cp.ones(4, requires_grad=True)
    y = x * 2
    kept = weakref.ref(y)
    loss = (y * y).sum()
    del y
    loss.backward(retain_graph=True)
    assert kept() is not None
    loss.backward()
    assert kept() is None


def test_without_recording_nothing_is_kept(no_collector):
    x = cp.ones(4, requires_grad=True)
    with cp.no_grad():
        y = x * 2
        kept = weakref.ref(y)
        z = y * y
        del y
    assert kept() is None
    assert z.tolist() == [4.0] * 4


def test_detach_lets_the_history_go(no_collector):
    x = cp.ones(4, requires_grad=True)
    y = (x * 2).exp()
    node = weakref.ref(y.grad_fn)
    y = y.detach()
    assert node() is None


def test_training_for_many_steps_keeps_no_graph(no_collector):
    w = cp.ones(3, requires_grad=True)
    nodes = []
    for _ in range(50):
        loss = (w * w).sum()
        nodes.append(weakref.ref(loss.grad_fn))
        loss.backward()
        with cp.no_grad():
            w.sub_(w.grad * 0.01)
        w.grad = None
    del loss
    assert all(n() is None for n in nodes)
